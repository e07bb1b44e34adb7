"""Scatter on paper: points in a fixed random order, so that no category hides the others."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.figures import overlays, point_names, point_pictures
from dashboard.figures.legends import entry, legend_above
from dashboard.figures.many_points import draw_points
from dashboard.figures.paper import Page, label_axes, scale_bar
from dashboard.figures.points import Points, axis_name, comparable, counted, limits, points_of, starred
from dashboard.figures.style import RASTER_ABOVE
from dashboard.figures.text import shorten

DIMMED, MISSING = "#b4b4b4", "#9a9a9a"
LARGER = {"*": 1.6, "^": 1.2, "X": 1.15}  # marks that look smaller than others of their size
GREY_DIMMED, GREY_MISSING = ".", "P"  # marks in grey, where shades alone are those of categories


def paper(result: Scatter, page: Page, *, point_size=None, **options) -> None:
    """Draw on the page: points in a fixed random order, so that no category hides the others."""
    options.pop("hover", None)
    ready = points_of(result, **options)
    pairs = [(0, 1)] if ready.xy.shape[1] == 2 else [(0, 1), (0, 2)]
    panels = page.figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (i, j) in zip(panels, pairs, strict=True):
        axes.set_rasterization_zorder(1.2 if len(ready.xy) > RASTER_ABOVE else None)
        overlays.on_paper(axes, page, result, i, j, ready.colour)
        if ready.xy.shape[1] == 2:
            point_names.on_paper(axes, page, result)
        picture = _paper_points(axes, page, ready, i, j, point_size)
        _paper_stars(axes, page, ready, starred(result, ready), i, j)
        point_pictures.on_paper(axes, result, page.greyscale)
        _paper_axes(axes, page, result, ready, i, j)
    colour = ready.colour
    if picture is not None and not colour.missing.all():
        scale_bar(page, picture, list(panels), colour.name)
    elif colour.kind == "category":
        _paper_legend(page, ready, result)


def _paper_points(axes, page: Page, ready: Points, i: int, j: int, point_size):
    """Draw the layers; returns what a colour bar needs, or None."""
    xy, colour, bright = ready.xy[:, [i, j]], ready.colour, ~ready.faint
    side = (point_size or float(np.clip(5.2 - 0.9 * np.log10(len(xy)), 0.8, 4))) * page.scale
    order = np.random.default_rng(0).permutation(len(xy))
    dimmed, missing = _marks_beside(page)
    _of_one_colour(axes, xy[ready.faint], DIMMED, 0.6, side, 0.5, dimmed)
    if colour.kind == "none":
        _of_one_colour(axes, xy[order][bright[order]], page.mark(0)[0], 0.75, side, 1)
        return None
    _of_one_colour(axes, xy[bright & colour.missing], MISSING, 0.6, side, 0.8, missing)
    keep = order[(bright & ~colour.missing)[order]]
    if colour.kind == "value":
        return _by_value(axes, page, xy[keep], colour, colour.values[keep], side)
    marks = [_category_mark(page, ready, k) for k in range(len(colour.labels))]
    palette = _colours([shade for shade, _ in marks], 0.85)
    for shape in dict.fromkeys(m for _, m in marks):
        mine = keep[np.array([m == shape for _, m in marks])[colour.codes[keep]]]
        if len(mine):
            look = {"mark": shape}
            draw_points(axes, xy[mine], palette, colour.codes[mine], side * LARGER.get(shape, 1), **look)
    return None


def _marks_beside(page: Page) -> tuple[str, str]:
    """Of points that are dimmed, and of those without a value."""
    return (GREY_DIMMED, GREY_MISSING) if page.greyscale else ("o", "o")


def _of_one_colour(
    axes, xy: np.ndarray, shade: str, alpha: float, side: float, zorder: float, mark: str = "o"
) -> None:
    if len(xy):
        palette, codes = _colours([shade], alpha), np.zeros(len(xy), int)
        draw_points(axes, xy, palette, codes, side, mark=mark, zorder=zorder)


def _colours(shades: list[str], alpha: float) -> np.ndarray:
    from matplotlib.colors import to_rgba_array

    return to_rgba_array(shades, alpha)


def _by_value(axes, page: Page, xy: np.ndarray, colour, values: np.ndarray, side: float):
    """Points in the colours of a scale; the scale, for its bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(colour.low, colour.high), page.colour_map(colour.diverging, marks=True))
    steps = scale.cmap.N
    at = np.clip(scale.norm(values.astype(float)).filled(0) * steps, 0, steps - 1).astype(int)
    if len(xy):
        draw_points(axes, xy, scale.cmap(np.arange(steps)), at, side)
    return scale


def _paper_stars(axes, page: Page, ready: Points, stars: np.ndarray, i: int, j: int) -> None:
    """Over the points, in their colours."""
    colour, mine = ready.colour, np.flatnonzero(stars & ~ready.faint)
    if not len(mine):
        return
    if colour.kind == "category":
        shades = [
            _category_mark(page, ready, k)[0] if k >= 0 else MISSING for k in colour.codes[mine].tolist()
        ]
    elif colour.kind == "value":
        scale = page.colour_map(colour.diverging, marks=True)
        span = max(colour.high - colour.low, 1e-300)
        shades = scale(np.clip((colour.values[mine] - colour.low) / span, 0, 1))
    else:
        shades = page.mark(0)[0]
    look = {"s": (7 * page.scale) ** 2, "linewidths": 0.5, "edgecolors": "#222222", "zorder": 1.1}
    axes.scatter(*ready.xy[mine][:, [i, j]].T, c=shades, marker="*", **look)


def _category_mark(page: Page, ready: Points, k: int) -> tuple[str, str]:
    labels = ready.colour.labels
    if ready.colour.gathers and k == len(labels) - 1:
        return "#8a8a8a", "."
    return page.mark(k)


def _paper_legend(page: Page, ready: Points, result: Scatter) -> None:
    """The categories that have a point which is not dimmed, then what is grey."""
    from matplotlib.lines import Line2D

    colour, seen = ready.colour, np.unique(ready.colour.codes[~ready.faint])
    entries = [(*_category_mark(page, ready, k), entry(colour.labels[k], 24)) for k in seen if k >= 0]
    dimmed, missing = _marks_beside(page)
    if (colour.missing & ~ready.faint).any():
        entries.append((MISSING, missing, f"no {shorten(colour.name, 20)}"))
    if ready.faint.any():
        entries.append((DIMMED, dimmed, "not selected"))
    if (starred(result, ready) & ~ready.faint).any():
        entries.append(("#222222", "*", shorten(result.star_name or "stars", 24)))
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            color=c,
            marker=m,
            markeredgewidth=0,
            markersize=3.5 * LARGER.get(m, 1) * page.scale,
        )
        for c, m, _ in entries
    ]
    legend_above(page, handles=handles, labels=[text for *_, text in entries], title=shorten(colour.name, 40))


def _paper_axes(axes, page: Page, result: Scatter, ready: Points, i: int, j: int) -> None:
    within = overlays.reach(result, ready.xy)
    if comparable(result) and np.ptp(within, axis=0).max() > 0:
        axes.margins(
            0.03 if result.pictures is None else 0.06
        )  # names stand below the lowest picture's point
        axes.set_aspect("equal", adjustable="datalim")
    else:
        axes.set_xlim(limits(within[:, i]))
        axes.set_ylim(limits(within[:, j]))
    for axis, k in ((axes.xaxis, i), (axes.yaxis, j)):
        if counted(ready.xy[:, k]):
            axis.get_major_locator().set_params(integer=True)
    if result.levels:
        axes.set_yticks(list(result.levels.values()), [shorten(name, 18) for name in result.levels])
        axes.tick_params(axis="y", length=0)
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#e3e3e3", linewidth=0.5 * page.scale)
    if point_names.bare_second_axis(result):
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        label_axes(page, axes, axis_name(result, i), "")
        return
    if result.meaningful_axes:
        label_axes(page, axes, axis_name(result, i), axis_name(result, j))
        return
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
