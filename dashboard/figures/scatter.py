"""Scatter: points by place and colour. Unselected points stay, dimmed; missing values are grey."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.figures import overlays, point_names, point_pictures
from dashboard.figures.points import Points, axis_name, comparable, counted, limits, points_of, starred
from dashboard.figures.scatter_paper import paper
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import MARKS, Theme, steps
from dashboard.figures.text import listed, markup, number, plain, shorten
from dashboard.figures.traces import colour_bar

__all__ = ["PAPER_SHAPE", "empty", "notes", "paper", "screen", "table", "words"]

WEBGL_ABOVE = 2_000
MOST_STEPS = 12
PAPER_SHAPE = 0.78  # height over width


def empty(result: Scatter) -> str:
    """Why there is nothing to draw, or an empty string."""
    positions = np.asarray(result.positions)
    if len(positions) == 0:
        return "There is no point to draw: the result has 0 rows."
    if positions.ndim != 2 or positions.shape[1] < 2:
        return "There is nothing to draw: the points have fewer than two coordinates."
    if not np.isfinite(positions).all(axis=1).any():
        return f"None of the {len(positions):,} points has a finite position."
    return ""


def screen(result: Scatter, theme: Theme, *, point_size=None, height=560, title=True, **options):
    """Plotly figure; every point carries its place in the result as `customdata`."""
    ready = points_of(result, **options)
    figure = screen_figure(theme, result.title, ready.notes, height=height, show_title=title)
    size = point_size or float(np.clip(9 - 1.3 * np.log10(len(ready.xy)), 2.5, 7))
    for mask, marker, label in _with_stars(result, ready, theme, size):
        _add_points(figure, ready, mask, {"size": size, "line": {"width": 0}, **marker}, label, noun(result))
    overlays.on_screen(figure, result, theme, ready.colour)
    point_names.on_screen(figure, result, theme)
    point_pictures.on_screen(figure, result)
    _screen_axes(figure, result, ready, theme)
    legend_title = markup(ready.colour.name, 30)
    figure.update_layout(
        dragmode="lasso" if ready.xy.shape[1] == 2 else "orbit",
        legend={"title": {"text": legend_title, "font": {"size": 12}}, "y": 1, "yanchor": "top", "x": 1.01},
    )
    return figure


def _with_stars(result: Scatter, ready: Points, theme: Theme, size: float):
    """The layers without their stars, then the stars of each."""
    stars, name = starred(result, ready), plain(result.star_name) or "stars"
    above = []
    for mask, marker, label in _layers(ready, theme):
        if not (mask & stars).any():
            yield mask, marker, label
            continue
        inner, shades = stars[mask], marker["color"]
        own, rest = (shades[inner], shades[~inner]) if isinstance(shades, np.ndarray) else (shades, shades)
        yield mask & ~stars, {**marker, "color": rest}, label
        look = {"color": own, "symbol": "star", "size": 2.2 * size, "line": {"width": 1, "color": theme.text}}
        above.append((mask & stars, {**marker, **look}, f"{label}, {name}" if label else name))
    yield from above


def _layers(ready: Points, theme: Theme):
    """(mask, Plotly marker, label or "") from the lowest layer to the highest."""
    colour, bright = ready.colour, ~ready.faint
    if ready.faint.any():
        yield ready.faint, {"color": theme.dimmed, "opacity": 0.35}, "not selected"
    if colour.kind == "none":
        yield bright, {"color": theme.accent, "opacity": 0.75}, ""
        return
    if (bright & colour.missing).any():
        ring = {"color": theme.missing, "symbol": "circle-open", "line": {"width": 1}, "opacity": 0.8}
        yield bright & colour.missing, ring, f"no {colour.name}"
    if colour.kind == "category":
        last = len(colour.labels) - 1
        order = [last, *range(last)] if colour.gathers else range(last + 1)  # 'other' lies below
        for i in order:
            grey = colour.gathers and i == last
            look = theme.missing if grey else theme.categories[i % 8]
            symbol = "circle" if grey else MARKS[i // 8 % len(MARKS)][0]
            mask = bright & (colour.codes == i)
            if mask.any() or not ready.faint.any():
                opacity = 0.5 if grey else 0.8
                yield mask, {"color": look, "symbol": symbol, "opacity": opacity}, colour.labels[i]
        return
    if colour.missing.all():
        return
    scale = steps(theme.diverging if colour.diverging else theme.sequential)
    mask = bright & ~colour.missing
    bar = colour_bar(colour.name, theme, x=1.01, len=0.9)
    yield (
        mask,
        {
            "color": colour.values[mask],
            "colorscale": scale,
            "cmin": colour.low,
            "cmax": colour.high,
            "colorbar": bar,
            "opacity": 0.85,
        },
        "",
    )


def _add_points(figure, ready: Points, mask: np.ndarray, marker: dict, label: str, noun: str) -> None:
    import plotly.graph_objects as go

    xy = ready.xy[mask]
    many = len(ready.xy) > WEBGL_ABOVE
    shared = {
        "mode": "markers",
        "name": markup(label, 34),
        "showlegend": bool(label),
        "legendrank": 2000 if label.startswith(("other (", "no ")) or label == "not selected" else 1000,
        "marker": marker,
        "customdata": ready.index[mask],
    }
    if ready.hover is not None:
        shared["hovertext"] = [markup(ready.hover[i]) for i in np.flatnonzero(mask)]
        shared["hovertemplate"] = "%{hovertext}<extra></extra>"
    else:
        value = "<br>%{marker.color:.4g}" if isinstance(marker["color"], np.ndarray) else ""
        name = f"<br>{shared['name']}" if label else ""
        shared["hovertemplate"] = f"{noun} %{{customdata}}{name}{value}<extra></extra>"
    if xy.shape[1] > 2:
        marker["size"] = max(2.0, marker["size"] * 0.7)
        marker["symbol"] = {"triangle-up": "cross", "star": "cross"}.get(
            marker.get("symbol"), marker.get("symbol")
        )
        figure.add_trace(go.Scatter3d(x=xy[:, 0], y=xy[:, 1], z=xy[:, 2], **shared))
        return
    kind = go.Scattergl if many else go.Scatter
    figure.add_trace(kind(x=xy[:, 0], y=xy[:, 1], **shared))


def noun(result: Scatter) -> str:
    """What one point is: row, unit, atom, tap."""
    return plain(result.of).removesuffix("s")


def _screen_axes(figure, result: Scatter, ready: Points, theme: Theme) -> None:
    names = [markup(axis_name(result, i), 52) for i in range(ready.xy.shape[1])]
    bare = {"showticklabels": False, "ticks": "", "showline": False, "title": None}
    if ready.xy.shape[1] > 2:
        look = {
            "backgroundcolor": "rgba(0,0,0,0)",
            "gridcolor": theme.grid,
            "zeroline": False,
            "tickfont": {"color": theme.muted, "size": 11},
        }
        axes = {
            f"{letter}axis": {**look, "title": {"text": name}}
            for letter, name in zip("xyz", names, strict=False)
        }
        if not result.meaningful_axes:
            axes = {k: {**v, "showticklabels": False, "title": {"text": ""}} for k, v in axes.items()}
        figure.update_layout(scene={**axes, "aspectmode": "data" if comparable(result) else "cube"})
        return
    within = overlays.reach(result, ready.xy)
    for i, update in enumerate((figure.update_xaxes, figure.update_yaxes)):
        update(title_text=names[i], range=limits(within[:, i]))
        few = np.ptp(within[:, i]) <= MOST_STEPS  # above, Plotly leaves some out by itself
        if few and counted(ready.xy[:, i]) and not comparable(result):
            update(dtick=1)
        if not result.meaningful_axes:
            update(**bare)
    if point_names.bare_second_axis(result):
        figure.update_yaxes(**bare)
    if result.levels:
        figure.update_yaxes(tickmode="array", tickvals=list(result.levels.values()), showline=False, ticks="",
                            ticktext=[markup(name, 24) for name in result.levels], showgrid=True,
                            gridcolor=theme.grid, tickfont={"color": theme.text, "size": 12})  # fmt: skip
    if comparable(result):
        figure.update_yaxes(scaleanchor="x", scaleratio=1)
        figure.update_layout(margin_l=20 if not result.meaningful_axes else 60)


def notes(result: Scatter, *, sheet=None, **options) -> tuple[str, ...]:
    """The sentences that must stand beside the picture, on a sheet where one is given."""
    options.pop("point_size", None)
    said = points_of(result, **options).notes
    if sheet is None or not result.names:
        return said
    on_screen, on_sheet = point_names.note(result), point_names.note(result, sheet)
    return (*(text for text in said if text != on_screen), *([on_sheet] if on_sheet else []))


def table(result: Scatter, *, colour=None, colour_name="", **_ignored) -> dict[str, np.ndarray]:
    """One row per point: its row, its coordinates, every column, and the colour that was given as an array."""
    positions = np.asarray(result.positions)
    width = positions.shape[1] if positions.ndim == 2 else 0
    found = {noun(result): np.asarray(result.rows)}
    for i in range(width):
        found[_free(axis_name(result, i), found)] = positions[:, i]
    for name, values in result.columns.items():
        found[_free(name, found)] = np.asarray(values)
    if colour is not None and not isinstance(colour, str):
        found[_free(colour_name or "colour", found)] = np.asarray(colour)
    lines = overlays.ellipse_lines(result, [axis_name(result, i) for i in range(width)])
    return _with_lines(lines, found) if lines else found


def _with_lines(lines: dict[str, np.ndarray], points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A line for each ellipse, then one for each point; what one of them does not have is empty."""
    n, m = (len(next(iter(t.values()))) for t in (points, lines))
    out = {"drawn": np.array(["ellipse"] * m + ["point"] * n)}
    for name in dict.fromkeys([*points, *lines]):
        parts = [np.asarray(t[name]) if name in t else None for t in (lines, points)]
        text = any(p is not None and p.dtype.kind not in "fiub" for p in parts)
        blank = "" if text else np.nan
        parts = [np.full(k, blank) if p is None else p.astype(str if text else float)
                 for p, k in zip(parts, (m, n), strict=True)]  # fmt: skip
        out[name] = np.concatenate(parts)
    return out


def _free(name: str, taken: dict) -> str:
    return name if name not in taken else _free(name + " (2)", taken)


def words(result: Scatter) -> str:
    """The picture in words: how many points, the axes and their ranges, and the colour."""
    positions = np.asarray(result.positions, dtype=np.float64)
    what = "Map" if not result.meaningful_axes else "Scatter plot"
    parts = [f"{what} of {len(positions):,} {result.of}."]
    if not result.meaningful_axes:
        between = "Each point is a mixture of " + listed(result.corners) + ", which are the corners."
        parts.append(
            between if result.corners else "The axes have no unit; only neighbourhoods mean something."
        )
    else:
        good = positions[np.isfinite(positions).all(axis=1)]
        told = 1 if point_names.bare_second_axis(result) else good.shape[1]
        for i, side in zip(range(told), ("Horizontal", "Vertical", "Depth"), strict=False):
            parts.append(
                f"{side} axis: {axis_name(result, i)}, from {number(good[:, i].min())} to "
                f"{number(good[:, i].max())}."
            )
    ready = points_of(result)
    colour = ready.colour
    if colour.kind == "category":
        sizes = sorted(zip(colour.counts, colour.labels, strict=True), reverse=True)[:3]
        most = ", ".join(f"{shorten(name)} ({count:,})" for count, name in sizes)
        k = len(colour.labels)
        parts.append(
            f"Coloured by {colour.name}: {k:,} categories, the largest {most}." if k > 1
            else f"Coloured by {colour.name}: all {most}."
        )  # fmt: skip
    elif colour.kind == "value" and not colour.missing.all():
        parts.append(
            f"Coloured by {colour.name}, from {number(np.nanmin(colour.values))} to "
            f"{number(np.nanmax(colour.values))}."
        )
    if result.stars is not None and np.any(result.stars):
        parts.append(f"{int(np.sum(result.stars)):,} points are stars: {plain(result.star_name)}.")
    parts.append(overlays.words(result))
    return " ".join(part for part in parts if part)
