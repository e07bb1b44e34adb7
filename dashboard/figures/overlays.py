"""What lies over a scatter besides its points: edges, darker where their value is high, ellipses, and named guides."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.figures import point_pictures
from dashboard.figures.colours import Colouring
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import markup, number, plain

STEPS = 4  # groups of edges by value
NAME_PART = np.array([0.5, 0.08])  # of the points' range, that the name of a guide takes
OUTLINE = 40  # corners of a drawn ellipse


def edge_groups(result: Scatter) -> list[np.ndarray]:
    """Edges (m, 2) in groups of rising value, about a quarter of the edges each; nothing without edges."""
    if result.edges is None or not len(result.edges):
        return []
    edges = np.asarray(result.edges)
    places = np.asarray(result.positions, dtype=np.float64)
    good = np.isfinite(places[edges]).all(axis=(1, 2))
    values = np.zeros(len(edges)) if result.edge_values is None else np.asarray(result.edge_values)
    order = np.flatnonzero(good)[np.argsort(values[good], kind="stable")]
    return [edges[part] for part in np.array_split(order, STEPS) if len(part)]


def outlines(result: Scatter) -> np.ndarray:
    """Corners (m, OUTLINE + 1, 2) of the ellipses, closed."""
    if result.ellipses is None or not len(result.ellipses):
        return np.empty((0, OUTLINE + 1, 2))
    x, y, a, b, angle = np.asarray(result.ellipses, dtype=np.float64).T[:, :, None]
    turn = np.linspace(0, 2 * np.pi, OUTLINE + 1)
    along, across = a * np.cos(turn), b * np.sin(turn)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x + c * along - s * across, y + s * along + c * across], axis=2)


def reach(result: Scatter, xy: np.ndarray) -> np.ndarray:
    """Places (m, …) that must be in view: of points, of guides, pictures and ellipses that stand for something."""
    named = (*result.guides.values(), *(np.atleast_2d(at) for at in result.corners.values()))
    guides = [np.asarray(g, dtype=np.float64) for g in named] if xy.shape[1] == 2 else []
    if result.ellipse_columns and xy.shape[1] == 2:  # which may reach beyond their points
        guides.append(outlines(result).reshape(-1, 2))
    return np.concatenate([xy, *guides, *point_pictures.corners(result)])


def corner_names(result: Scatter) -> tuple[np.ndarray, list[tuple[str, np.ndarray, int, int]]]:
    """The outline (m, 2) of the corners, closed, and of each (name, place, side across, side upwards), the sides -1, 0
    or 1: where its name stands, so that it covers no point and is not cut."""
    places = np.array([np.asarray(at, dtype=np.float64) for at in result.corners.values()]).reshape(-1, 2)
    if not len(places):
        return places, []
    off = places - places.mean(axis=0)
    size = np.abs(off).max() or 1.0
    across = np.where(np.abs(off[:, 0]) < 0.1 * size, 0, np.sign(off[:, 0])).astype(int)
    up = np.where(off[:, 1] < -0.1 * size, -1, 1)
    names = [
        (name, at, int(a), int(u)) for name, at, a, u in zip(result.corners, places, across, up, strict=True)
    ]
    return np.concatenate([places, places[:1]]), names


def ellipse_groups(result: Scatter, colour: Colouring | None) -> list[tuple[int, bool, np.ndarray]]:
    """(label of the colouring or -1, dashed, numbers of the ellipses): those that look alike. An ellipse has the
    colour of its points where the column that colours them is one of the ellipses', too."""
    count = 0 if result.ellipses is None else len(result.ellipses)
    dashed = (
        np.zeros(count, bool) if result.ellipse_dashed is None else np.asarray(result.ellipse_dashed, bool)
    )
    code = np.full(count, -1)
    if colour is not None and colour.kind == "category" and colour.name in result.ellipse_columns:
        labels = {label: i for i, label in enumerate(colour.labels)}
        values = np.asarray(result.ellipse_columns[colour.name])
        code = np.array([labels.get(plain(str(v)), -1) for v in values])
    looks = sorted(set(zip(code.tolist(), dashed.tolist(), strict=True)))
    return [(c, d, np.flatnonzero((code == c) & (dashed == d))) for c, d in looks]


def _of_ellipse(result: Scatter, i: int) -> str:
    """What the pointer says on an outline."""
    said = [(name, np.asarray(values)[i]) for name, values in result.ellipse_columns.items()]
    return "<br>".join(
        f"{markup(name, 30)} {number(v) if isinstance(v, np.floating) else markup(str(v), 40)}"
        for name, v in said
    )


def on_paper(axes, page, result: Scatter, i: int, j: int, colour: Colouring | None = None) -> None:
    """Edges below the points of the coordinates i and j, ellipses above (of a plane map only)."""
    from matplotlib.collections import LineCollection

    places = np.asarray(result.positions, dtype=np.float64)[:, [i, j]]
    groups = edge_groups(result)
    for step, edges in enumerate(groups, STEPS - len(groups)):  # a few lines are all dark
        shade = str(round(0.8 - 0.22 * step, 2))
        axes.add_collection(
            LineCollection(
                places[edges],
                colors=shade,
                linewidths=(0.3 + 0.15 * step) * page.scale,
                zorder=0.3 + step / 100,
            )
        )
    corners = outlines(result) if places.shape[1] == np.asarray(result.positions).shape[1] else []
    for code, dashed, which in ellipse_groups(result, colour) if len(corners) else []:
        look = {
            "colors": "#222222" if code < 0 else page.mark(code)[0],
            "linestyles": "dashed" if dashed else "solid",
        }
        width = (0.5 if code < 0 else 0.9) * page.scale
        axes.add_collection(LineCollection(corners[which], linewidths=width, zorder=2, **look))
    if result.corners and np.asarray(result.positions).shape[1] == 2:
        corners_on_paper(axes, page, result)
    for name, guide in result.guides.items() if np.asarray(result.positions).shape[1] == 2 else ():
        axes.plot(
            *np.asarray(guide).T, color="#777777", linewidth=0.6 * page.scale, linestyle="--", zorder=0.9
        )
        up = _freer_side(places, np.asarray(guide, dtype=np.float64)[-1], reach(result, places))
        axes.annotate(plain(name), guide[-1], (0, 1.5 * up), textcoords="offset points", ha="right",
                      va="bottom" if up > 0 else "top", color="#555555", fontsize="small", zorder=3,
                      bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.6, "pad": 0.3})  # fmt: skip


def _freer_side(places: np.ndarray, end: np.ndarray, view: np.ndarray) -> int:
    """1 where a name above the end of a guide covers no more points than one below it, -1 otherwise; `view` are
    places (m, 2) that the picture holds."""
    good = places[np.isfinite(places).all(axis=1)]
    if not len(good):
        return 1
    wide, high = NAME_PART * (np.nanmax(view, axis=0) - np.nanmin(view, axis=0))
    near = good[(good[:, 0] > end[0] - wide) & (good[:, 0] <= end[0])][:, 1] - end[1]
    return 1 if np.sum((near >= 0) & (near < high)) <= np.sum((near < 0) & (near > -high)) else -1


def corners_on_paper(axes, page, result: Scatter) -> None:
    """The outline of the corners and their names outside."""
    outline, names = corner_names(result)
    axes.plot(*outline.T, color="#777777", linewidth=0.6 * page.scale, zorder=0.5)
    for name, at, across, up in names:
        side = {-1: "left", 0: "center", 1: "right"}[across]
        axes.annotate(plain(name), at, (0, 4 * up * page.scale), textcoords="offset points", ha=side,
                      va="bottom" if up > 0 else "top", color="#1a1a1a", zorder=3)  # fmt: skip


def corners_on_screen(figure, result: Scatter, theme: Theme) -> None:
    """The same on screen."""
    outline, names = corner_names(result)
    path = "M" + " L".join(f"{x:.6g},{y:.6g}" for x, y in outline)
    figure.add_shape(type="path", path=path, line={"color": theme.muted, "width": 1}, layer="below")
    for name, at, across, up in names:
        figure.add_annotation(x=float(at[0]), y=float(at[1]), text=markup(name, 40), showarrow=False, yshift=6 * up,
                              xanchor={-1: "left", 0: "center", 1: "right"}[across],
                              yanchor="bottom" if up > 0 else "top",
                              font={"color": theme.text, "size": 12})  # fmt: skip


def on_screen(figure, result: Scatter, theme: Theme, colour: Colouring | None = None) -> None:
    """The same as Plotly traces; edges go below the points that are already there."""
    import plotly.graph_objects as go

    places = np.asarray(result.positions, dtype=np.float64)
    flat = places.shape[1] == 2
    plane = go.Scattergl if len(places) > 2_000 else go.Scatter  # as the points, or they would be covered
    groups, before = edge_groups(result), len(figure.data)
    for step, edges in enumerate(groups, STEPS - len(groups)):
        line = {"color": theme.muted, "width": 0.5 + 0.4 * step}
        ends = np.full((len(edges), 3, places.shape[1]), np.nan)
        ends[:, :2] = places[edges]
        where = dict(zip("xyz", ends.reshape(-1, places.shape[1]).T, strict=False))
        kind = plane if flat else go.Scatter3d
        figure.add_trace(kind(**where, mode="lines", line=line, opacity=0.4 + 0.15 * step, hoverinfo="skip",
                              showlegend=False))  # fmt: skip
    if groups:
        figure.data = figure.data[before:] + figure.data[:before]
    corners = outlines(result) if flat else []
    for code, dashed, which in ellipse_groups(result, colour) if len(corners) else []:
        broken = np.concatenate([corners[which], np.full((len(which), 1, 2), np.nan)], axis=1).reshape(-1, 2)
        line = {
            "color": theme.text if code < 0 else theme.categories[code % 8],
            "width": 1 if code < 0 else 1.8,
        }
        hover = {"hoverinfo": "skip"}
        if result.ellipse_columns:
            texts = np.repeat([_of_ellipse(result, k) for k in which], corners.shape[1] + 1)
            hover = {"hovertext": texts.tolist(), "hovertemplate": "%{hovertext}<extra></extra>"}
        figure.add_trace(
            go.Scatter(x=broken[:, 0], y=broken[:, 1], mode="lines", showlegend=False, **hover,
                       line={**line, **({"dash": "dash"} if dashed else {})})
        )  # fmt: skip
    if result.corners and flat:
        corners_on_screen(figure, result, theme)
    for name, guide in result.guides.items() if flat else ():
        x, y = np.asarray(guide, dtype=np.float64).T
        line = {"color": theme.muted, "width": 1.2, "dash": "dash"}
        figure.add_trace(plane(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False))
        figure.add_annotation(x=x[-1], y=y[-1], text=markup(name, 60), showarrow=False, xanchor="right",
                              yanchor="bottom", font={"color": theme.text, "size": 11},
                              bgcolor=translucent(theme.ground, 0.75))  # fmt: skip


def words(result: Scatter) -> str:
    """The edges, ellipses and guides in words; empty when there are none."""
    parts = []
    if result.edges is not None and len(result.edges):
        parts.append(f"{len(result.edges):,} lines join points")
        if result.edge_values is not None:
            low, high = np.min(result.edge_values), np.max(result.edge_values)
            parts[0] += (
                f"; the darker, the larger their {result.edge_name or 'value'} ({number(low)} to {number(high)})"
            )
    if result.ellipses is not None and len(result.ellipses):
        what = plain(result.ellipse_name) or "what the map makes of a small ball of the data there"
        parts.append(f"{len(result.ellipses):,} ellipses show {what}")
    if result.guides:
        parts.append(
            "Dashed, to read the points against: " + ", ".join(plain(name) for name in result.guides)
        )
    return " ".join(part + "." for part in parts)


def ellipse_lines(result: Scatter, names: list[str]) -> dict[str, np.ndarray]:
    """What a table says of ellipses that stand for something: their centres under the coordinates' `names`, half axes,
    angle and columns; nothing otherwise."""
    if result.ellipses is None or not len(result.ellipses) or not result.ellipse_columns:
        return {}
    centre, half, angle = np.split(np.asarray(result.ellipses, dtype=np.float64), [2, 4], axis=1)
    axes = {"longer half axis": half[:, 0], "shorter half axis": half[:, 1], "angle": angle[:, 0]}
    return {**dict(zip(names, centre.T, strict=False)), **axes, **result.ellipse_columns}
