"""Distribution: histograms of groups, laid over each other or stacked, with markers and the null."""

from __future__ import annotations

import numpy as np

from analysis.results import Distribution
from dashboard.figures.legends import entry, legend_above
from dashboard.figures.paper import Page, label_axes, log_ticks
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import DASHES, MOST_CATEGORIES, Theme
from dashboard.figures.text import markup, number, plain, shorten, unique
from dashboard.figures.traces import band, line

PAPER_SHAPE = 0.62
OVERLAID = 4


def empty(result: Distribution) -> str:
    if len(result.edges) < 2 or not result.counts:
        return "There is nothing to count: the distribution has no bin."
    if not np.isfinite(np.asarray(result.edges, float)).all():
        return "The bins have no finite edges."
    if sum(float(np.nansum(np.asarray(c, float))) for c in result.counts.values()) <= 0:
        return "Every bin is empty: there is no value to draw."
    return ""


def groups(result: Distribution) -> dict[str, np.ndarray]:
    """At most 20 groups, the largest by total; the rest added up as 'other'."""
    counts = {name: np.nan_to_num(np.asarray(c, float)) for name, c in result.counts.items()}
    if len(counts) <= MOST_CATEGORIES:
        return counts
    kept = sorted(counts, key=lambda name: -counts[name].sum())[: MOST_CATEGORIES - 1]
    rest = [name for name in counts if name not in kept]
    found = {name: c for name, c in counts.items() if name in kept}
    found[f"other ({len(rest):,} groups)"] = np.sum([counts[name] for name in rest], axis=0)
    return found


def _arranged(result: Distribution, mode: str, log: bool):
    """Yield (name, bottom, top) of each group from the lowest to the highest. On a log axis heights do not add up,
    so nothing is stacked there unless it is asked for."""
    counts = groups(result)
    stack = mode == "stack" or (mode == "auto" and len(counts) > OVERLAID and not log)
    base = np.zeros(len(result.edges) - 1)
    for name, values in counts.items():
        yield name, base.copy() if stack else np.zeros_like(base), base + values if stack else values
        if stack:
            base = base + values


def _stairs(edges, counts) -> tuple[np.ndarray, np.ndarray]:
    """The outline of a histogram as a line: (2 b,) x and y."""
    return np.repeat(edges, 2)[1:-1].astype(np.float32), np.repeat(counts, 2).astype(np.float32)


def _floor(result: Distribution, log: bool) -> float:
    """The lowest count drawn: half of the smallest filled bin on a log axis."""
    if not log:
        return 0.0
    filled = [c[c > 0].min() for c in groups(result).values() if (c > 0).any()]
    return float(min(filled)) / 2


def notes(result: Distribution, **_options) -> tuple[str, ...]:
    said = []
    if len(result.counts) > MOST_CATEGORIES:
        said.append(f"{len(result.counts):,} groups: the {MOST_CATEGORIES - 1} largest are in the legend")
    if result.null is not None:
        said.append("light grey: the null, what structureless data gives")
    return tuple(said)


def screen(result: Distribution, theme: Theme, *, mode="auto", log_y=None, height=None, title=True):
    """Plotly figure; `mode` is "overlay", "stack" or "auto" (overlaid up to 4 groups and on a log axis)."""
    log = result.log_y if log_y is None else log_y
    height = height or max(380, 130 + 20 * (min(len(result.counts), MOST_CATEGORIES) + 1))
    figure = screen_figure(theme, result.title, notes(result), height=height, show_title=title)
    edges, floor = np.asarray(result.edges, float), _floor(result, log)
    if result.null is not None:
        x, y = _stairs(edges, np.maximum(np.nan_to_num(np.asarray(result.null, float)), floor))
        band(figure, x, np.full_like(y, floor), y, theme.missing, alpha=0.25, legendgroup="null")
        line(figure, x, y, theme.muted, "null", width=1.5, dash="dash", legendgroup="null")
    for k, (name, bottom, top) in enumerate(_arranged(result, mode, log)):
        other = name.startswith("other (") and len(result.counts) > MOST_CATEGORIES
        colour, dash = theme.missing if other else theme.categories[k % 8], DASHES[k // 8 % 4][0]
        x, upper = _stairs(edges, np.maximum(top, floor))
        label, group = markup(name, 34), {"legendgroup": str(k)}
        band(figure, x, _stairs(edges, np.maximum(bottom, floor))[1], upper, colour, alpha=0.3, **group)
        group["customdata"] = np.repeat(top - bottom, 2).astype(np.float32)
        hover = f"{label}<br>%{{x:.4g}}: %{{customdata:,.4g}}"
        line(figure, x, upper, colour, label, width=1.4, dash=dash, hover=hover, **group)
    _markers(figure, result, theme)
    _screen_axes(figure, result, mode, log)
    return figure


def _screen_axes(figure, result: Distribution, mode: str, log: bool) -> None:
    limits, kind = _counts_range(result, mode, log), "log" if log else "linear"
    figure.update_xaxes(title_text=markup(result.value_name, 80), exponentformat="power")
    figure.update_yaxes(title_text="count", type=kind, exponentformat="power", range=limits)
    if log and limits[1] - limits[0] > 1.5:
        figure.update_yaxes(dtick=1)
    several = len(result.counts) > 1 or result.null is not None
    legend = {"x": 1.01, "y": 1, "yanchor": "top", "traceorder": "normal"}
    figure.update_layout(showlegend=several, legend=legend)


def _counts_range(result: Distribution, mode: str, log: bool) -> list[float]:
    """Limits of the count axis (powers of ten on a log axis), with room above for the names of markers."""
    tops = [float(top.max()) for *_, top in _arranged(result, mode, log)]
    highest = max(tops + ([] if result.null is None else [float(np.nan_to_num(result.null).max())]))
    if log:
        floor = float(np.log10(_floor(result, True)))
        return [floor, floor + (np.log10(highest) - floor) * (1.2 if result.markers else 1.05)]
    return [0.0, highest * (1.22 if result.markers else 1.05)]


def _markers(figure, result: Distribution, theme: Theme) -> None:
    shown = [(name, float(at)) for name, at in result.markers.items() if np.isfinite(at)]
    middle = 0.65 * float(result.edges[-1]) + 0.35 * float(result.edges[0])  # names are written towards it
    for k, (name, at) in enumerate(sorted(shown, key=lambda item: item[1])):
        figure.add_shape(
            type="line",
            x0=at,
            x1=at,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": theme.text, "width": 1, "dash": "dot"},
        )
        figure.add_annotation(
            x=at,
            y=1 - 0.07 * (k % 4),
            yref="paper",
            text=markup(name, 24),
            showarrow=False,
            xanchor="right" if at > middle else "left",
            xshift=-3 if at > middle else 3,
            yanchor="top",
            font={"size": 12, "color": theme.text},
        )


def paper(result: Distribution, page: Page, *, mode="auto", log_y=None) -> None:
    """Draw on the page."""
    log = result.log_y if log_y is None else log_y
    axes = page.figure.add_subplot()
    edges, floor = np.asarray(result.edges, float), _floor(result, log)
    if result.null is not None:
        x, y = _stairs(edges, np.maximum(np.nan_to_num(np.asarray(result.null, float)), floor))
        axes.fill_between(x, floor, y, color="#b5b5b5", alpha=0.4, linewidth=0, label="null")
        axes.plot(x, y, color="#7a7a7a", dashes=(4, 2), linewidth=0.8 * page.scale)
    for k, (name, bottom, top) in enumerate(_arranged(result, mode, log)):
        other = name.startswith("other (") and len(result.counts) > MOST_CATEGORIES
        colour, dash = ("#8a8a8a", (0, (12, 2))) if other else page.line(k)
        x, upper = _stairs(edges, np.maximum(top, floor))
        axes.fill_between(
            x, _stairs(edges, np.maximum(bottom, floor))[1], upper, color=colour, alpha=0.28, linewidth=0
        )
        axes.plot(x, upper, color=colour, linestyle=dash, linewidth=0.9 * page.scale, label=entry(name, 26))
    label_axes(page, axes, result.value_name, "count")
    axes.set_xlim(edges[0], edges[-1])
    if log:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    bottom, top = _counts_range(result, mode, log)
    axes.set_ylim((10**bottom, 10**top) if log else (bottom, top))
    _paper_markers(axes, result, page)
    if len(result.counts) > 1 or result.null is not None:
        legend_above(page, axes)


def _paper_markers(axes, result: Distribution, page: Page) -> None:
    shown = sorted(
        ((name, float(at)) for name, at in result.markers.items() if np.isfinite(at)), key=lambda m: m[1]
    )
    places = [at for _, at in shown]
    for k, (name, at) in enumerate(shown):
        axes.axvline(at, color="#1a1a1a", linewidth=0.7 * page.scale, linestyle=(0, (1, 1.5)))
        text = shorten(name, 22)
        left = _to_the_left(result, at, places, len(text) / (page.characters * 0.8))
        place = {"ha": "right" if left else "left", "va": "top"}
        aside, down = 3 * page.scale, -1.3 * page.sheet.points * (k % 4)  # each on a line of its own
        clear = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 0.8}  # of lines behind it
        axes.annotate(
            text,
            (at, 1),
            (-aside if left else aside, down),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            bbox=clear,
            **place,
        )


def _to_the_left(result: Distribution, at: float, places: list[float], share: float) -> bool:
    """Whether the name of a marked place, which takes this share of the axis, is written to its left: where it has room
    and crosses no other mark, and otherwise towards the middle."""
    low, high = float(result.edges[0]), float(result.edges[-1])
    wide, inwards = share * (high - low), at > 0.65 * high + 0.35 * low
    for left in (inwards, not inwards):
        start, end = (at - wide, at) if left else (at, at + wide)
        if start >= low and end <= high and not any(start < other < end for other in places if other != at):
            return left
    return inwards


def table(result: Distribution, **_ignored) -> dict[str, np.ndarray]:
    edges = np.asarray(result.edges)
    columns = [("from", edges[:-1]), ("to", edges[1:])]
    columns += [(name, np.asarray(c)) for name, c in result.counts.items()]
    if result.null is not None:
        columns.append(("null", np.asarray(result.null)))
    return dict(zip(unique([n for n, _ in columns]), [v for _, v in columns], strict=True))


def words(result: Distribution) -> str:
    edges, counts = np.asarray(result.edges, float), groups(result)
    middle = (edges[1:] + edges[:-1]) / 2
    total = sum(c.sum() for c in counts.values())
    parts = [
        f"Histogram of {plain(result.value_name)} in {len(middle):,} bin(s) from {number(edges[0])} to "
        f"{number(edges[-1])}, n = {number(total)} in {len(result.counts):,} group(s)."
    ]
    for name, c in list(counts.items())[:6]:
        if c.sum() > 0:
            mean = number((c * middle).sum() / c.sum())
            parts.append(
                f"{shorten(name)}: {number(c.sum())} value(s), mean about {mean}, fullest bin at "
                f"{number(middle[c.argmax()])}."
            )
    if result.null is not None and np.nansum(result.null) > 0:
        null = np.nan_to_num(np.asarray(result.null, float))
        parts.append(
            f"The null (structureless data) has mean about {number((null * middle).sum() / null.sum())}."
        )
    parts += [f"Marked: {shorten(name)} at {number(at)}." for name, at in list(result.markers.items())[:6]]
    return " ".join(parts)
