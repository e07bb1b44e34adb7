"""Curve: named series over one axis, each with its band and its null, labelled at the line itself."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.labels import label_heights
from dashboard.figures.paper import Page, entry, label_axes, legend_above
from dashboard.figures.screen import screen_figure
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import DASHES, MOST_CATEGORIES, Theme
from dashboard.figures.text import markup, number, plain, power_of_ten, shorten, unique
from dashboard.figures.traces import band, line

PAPER_SHAPE = 0.66
DIRECT_LABELS = 8
MOST_TICKS = 24  # names along the axis; of more, every second, third, …
ON_SCREEN, NAME = 75, 22  # characters of all names of the axis, and of one at most
ROUNDING, NOTHING = 1e-9, 1e-100  # of the values; below the second all are 0
MOST_DECADES = 3  # up to which a log axis has ticks at 2 and 5, too


def empty(result: Curve) -> str:
    if not result.series or len(result.x) == 0:
        return "There is no line to draw: the curve has no point."
    if not any(np.isfinite(np.asarray(v, float)).any() for v in result.series.values()):
        return f"None of the {len(result.series):,} series has a finite value."
    if result.log_x and not (np.asarray(result.x, float) > 0).any():
        return "No place is above zero, so a log axis shows nothing."
    return ""


def chosen(result: Curve) -> tuple[list[str], list[str]]:
    """(names drawn in colour, names drawn as thin grey lines): the first 20 keep a colour."""
    names = list(result.series)
    return names[:MOST_CATEGORIES], names[MOST_CATEGORIES:]


def notes(result: Curve) -> tuple[str, ...]:
    said = []
    coloured, rest = chosen(result)
    if rest:
        said.append(
            f"{len(result.series):,} series: the first {len(coloured)} have a colour, the others are thin grey"
        )
    if result.log_x and (np.asarray(result.x, float) <= 0).any():
        said.append("places at or below zero have none on a log axis and are not drawn")
    if result.null:
        said.append("dashed grey: the null, what structureless data gives")
    if any(len(places) for places in result.marks.values()):
        said.append(f"diamonds: {plain(result.mark_name)}")
    return tuple(said)


def _drawn(result: Curve, x: np.ndarray, name: str) -> np.ndarray:
    """(m,) bool: the places of a line that are handed over; a gap is left out where lines run on across it."""
    return np.isfinite(np.asarray(result.series[name], float)) if result.joined else np.ones(len(x), bool)


def _marked(result: Curve, name: str) -> np.ndarray:
    """(m,) bool: the places of a series that stand out."""
    return np.isin(np.asarray(result.x, float), np.asarray(result.marks.get(name, ()), float))


def _span(result: Curve) -> tuple[float, float]:
    parts = [*result.series.values(), *result.low.values(), *result.high.values(), *result.null.values()]
    values = np.concatenate([np.asarray(v, float).ravel() for v in parts])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high))
    if high - low <= ROUNDING * size or size < NOTHING:  # a flat line: what it differs by is rounding
        margin = 0.1 * size if size >= NOTHING else 1.0
    else:
        margin = 0.05 * (high - low)
    return low - margin, high + margin


def _ends(result: Curve, names: list[str]) -> dict[str, tuple[float, float]]:
    """(x, y) of the last finite point of each series."""
    x, found = np.asarray(result.x, float), {}
    for name in names:
        y = np.asarray(result.series[name], float)
        good = np.flatnonzero(np.isfinite(y) & np.isfinite(x) & ((x > 0) | (not result.log_x)))
        if len(good):
            found[name] = (float(x[good[-1]]), float(y[good[-1]]))
    return found


def screen(result: Curve, theme: Theme, *, height=None, title=True):
    """Plotly figure."""
    coloured, rest = chosen(result)
    direct = len(result.series) <= DIRECT_LABELS
    height = height or (400 if direct else max(400, 130 + 20 * (len(coloured) + 2)))
    figure = screen_figure(theme, result.title, notes(result), height=height, show_title=title)
    x, named = np.asarray(result.x, np.float32), {"text": _hovered(result)} if result.x_labels else {}
    if result.log_x:  # Plotly would draw a line from the left edge instead of leaving these out
        x = np.where(x > 0, x, np.float32(np.nan))
    for k, name in enumerate(rest):
        group = {"legendgroup": "other", "legendrank": 2000, "showlegend": k == 0, "opacity": 0.5}
        line(
            figure, x, result.series[name], theme.missing, f"other ({len(rest):,} series)", width=0.8, **group
        )
    for k, name in enumerate(coloured):
        if name in result.low and name in result.high:
            good = _drawn(result, x, name)
            ends = result.low[name][good], result.high[name][good]
            band(figure, x[good], *ends, theme.categories[k % 8])
    for k, name in enumerate(result.null):
        group = {"legendgroup": "null", "showlegend": k == 0 and not direct}
        hover = f"null of {markup(name, 30)} %{{y:.4g}}"
        line(
            figure, x, result.null[name], theme.missing, "null", width=1.3, dash="dash", hover=hover, **group
        )
    at = "%{text}" if named else "%{x:.4g}"
    for k, name in enumerate(coloured):
        label, dash = markup(name, 34), DASHES[k // 8 % 4][0]
        look = {"dash": dash, "markers": direct and len(x) <= 60, "showlegend": not direct}
        hover = f"{label}<br>{at}: %{{y:.4g}}"
        good = _drawn(result, x, name)
        said = {key: np.asarray(texts, object)[good].tolist() for key, texts in named.items()}
        line(
            figure,
            x[good],
            result.series[name][good],
            theme.categories[k % 8],
            label,
            hover=hover,
            **look,
            **said,
        )
        _diamonds(figure, result, x, name, theme.categories[k % 8])
    kind = _log_axis(x) if result.log_x else {"type": "linear"}
    if result.x_labels:
        places, names = _ticks(result, ON_SCREEN)
        kind |= {"tickmode": "array", "tickvals": places, "ticktext": [markup(name) for name in names]}
    elif (
        not result.log_x and len(x) <= MOST_TICKS // 2 and (np.asarray(result.x) == np.round(result.x)).all()
    ):
        kind |= {"tickmode": "array", "tickvals": x, "ticktext": [number(at) for at in result.x]}
    figure.update_xaxes(title_text=markup(result.x_name, 80), exponentformat="power", **kind)
    figure.update_yaxes(title_text=markup(result.y_name, 44), range=_span(result), exponentformat="power")
    if direct and len(coloured) > 1:
        _direct(figure, result, coloured, theme, height)
    return figure


def _diamonds(figure, result: Curve, x: np.ndarray, name: str, colour: str) -> None:
    import plotly.graph_objects as go

    at = _marked(result, name)
    if at.any():
        hover = (
            f"{markup(name, 34)}<br>{markup(result.mark_name, 30)}: %{{x:.4g}} (%{{y:.4g}})<extra></extra>"
        )
        look = {"symbol": "diamond", "size": 12, "color": colour, "line": {"width": 1.5, "color": "white"}}
        y = np.asarray(result.series[name], np.float32)[at]
        figure.add_trace(
            go.Scatter(x=x[at], y=y, mode="markers", marker=look, hovertemplate=hover, showlegend=False)
        )


def _ticks(result: Curve, room: int) -> tuple[np.ndarray, list[str]]:
    """Places along x and their names, shortened to so many characters in all where that leaves something of them."""
    x = np.asarray(result.x, float)
    named = np.flatnonzero([bool(name) for name in result.x_labels])  # "" has no tick
    every = max(1, -(-len(named) // MOST_TICKS))
    shown = named[::every]
    names = told_apart(
        [result.x_labels[i] for i in named], int(np.clip(room // max(len(shown), 1) - 1, 8, NAME))
    )
    return x[shown], names[::every]


def _hovered(result: Curve) -> list[str]:
    """The whole name of each place, with its number."""
    places = zip(result.x_labels, result.x, strict=True)
    return [f"{markup(name, 60)} ({number(at)})" if name else number(at) for name, at in places]


def _log_axis(x: np.ndarray) -> dict:
    """Ticks at 1, 2, 5, 10 … in one size (Plotly mixes sizes and powers); at powers of ten over many decades."""
    x = x[np.isfinite(x)].astype(float)
    first, last = np.floor(np.log10([x.min(), x.max()])).astype(int)
    if last - first > MOST_DECADES:
        return {"type": "log", "dtick": 1}
    places = [b * 10.0**e for e in range(first, last + 1) for b in (1, 2, 5)]
    return {"type": "log", "tickmode": "array", "tickvals": places, "ticktext": [f"{v:g}" for v in places]}


def _direct(figure, result: Curve, names: list[str], theme: Theme, height: int) -> None:
    """Names at the right end of the lines, spread so that none covers another."""
    ends = _ends(result, names)
    heights = label_heights([y for _, y in ends.values()], _span(result), 17 / max(height - 120, 100))
    for (name, _), y in zip(ends.items(), heights, strict=True):
        colour = theme.categories[names.index(name) % 8]
        figure.add_annotation(
            text=markup(name, 26),
            x=1.01,
            xref="paper",
            xanchor="left",
            y=y,
            yref="y",
            yanchor="middle",
            showarrow=False,
            font={"size": 12, "color": colour},
        )
    longest = max(len(shorten(name, 26)) for name in ends)
    figure.update_layout(margin_r=int(24 + 6.8 * longest))


def paper(result: Curve, page: Page) -> None:
    """Draw on the page."""
    axes = page.figure.add_subplot()
    x = np.asarray(result.x, float)
    coloured, rest = chosen(result)
    for name in rest:
        axes.plot(x, result.series[name], color="#c4c4c4", linewidth=0.4 * page.scale, zorder=1)
    for k, name in enumerate(coloured):
        if name in result.low and name in result.high:
            good = _drawn(result, x, name)
            ends = result.low[name][good], result.high[name][good]
            axes.fill_between(x[good], *ends, color=page.line(k)[0], alpha=0.16, linewidth=0)
    for values in result.null.values():
        axes.plot(x, values, color="#8a8a8a", dashes=(4, 2), linewidth=0.8 * page.scale)
    for k, name in enumerate(coloured):
        colour, dash = page.line(k)
        good, at = _drawn(result, x, name), _marked(result, name)
        axes.plot(
            x[good],
            result.series[name][good],
            color=colour,
            linestyle=dash,
            label=entry(name, 26),
            marker="o" if len(x) <= 30 and len(coloured) <= DIRECT_LABELS else "",
            markersize=2.2 * page.scale,
        )
        size = 5 * page.scale
        axes.plot(x[at], result.series[name][at], "D", color=colour, markersize=size, markeredgecolor="white")
    if rest:
        axes.plot([], [], color="#c4c4c4", linewidth=0.4 * page.scale, label=f"other ({len(rest):,} series)")
    label_axes(page, axes, result.x_name, result.y_name)
    axes.set_ylim(_span(result))
    if result.log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(power_of_ten)
        axes.xaxis.set_minor_formatter("")
    if result.x_labels:
        _paper_ticks(page, axes, result)
    if 1 < len(result.series) <= DIRECT_LABELS:
        _paper_labels(axes, result, coloured, page)
    elif len(result.series) > 1:
        legend_above(page, axes)


def _paper_ticks(page: Page, axes, result: Curve) -> None:
    """Names along the axis, slanted where they would touch."""
    places, names = _ticks(result, page.characters)
    slanted = sum(len(name) + 2 for name in names) > 0.8 * page.characters
    look = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.minorticks_off()
    axes.set_xticks(places, names, **look)


def _paper_labels(axes, result: Curve, names: list[str], page: Page) -> None:
    ends = _ends(result, names)
    gap = 9.5 * page.scale / (page.figure.get_figheight() * 72 * 0.78)
    heights = label_heights([y for _, y in ends.values()], _span(result), gap)
    for (name, _), y in zip(ends.items(), heights, strict=True):
        axes.annotate(
            shorten(name, 18),
            (1.015, y),
            xycoords=("axes fraction", "data"),
            va="center",
            color=page.line(names.index(name))[0],
            annotation_clip=False,
        )


def table(result: Curve, **_ignored) -> dict[str, np.ndarray]:
    columns = [(plain(result.x_name) or "x", np.asarray(result.x))]
    if result.x_labels:
        columns = [(columns[0][0], np.array([plain(name) for name in result.x_labels])), ("place", result.x)]
    for name, values in result.series.items():
        columns.append((name, np.asarray(values)))
        for part in ("low", "high", "null"):
            if name in getattr(result, part):
                columns.append((f"{name} {part}", np.asarray(getattr(result, part)[name])))
    columns += [
        (f"{name} null", np.asarray(v)) for name, v in result.null.items() if name not in result.series
    ]
    return dict(zip(unique([n for n, _ in columns]), [v for _, v in columns], strict=True))


def words(result: Curve) -> str:
    x = np.asarray(result.x, float)
    ends = [number(np.nanmin(x)), number(np.nanmax(x))]
    if result.x_labels:
        ends = [shorten(result.x_labels[int(i)], 40) for i in (np.nanargmin(x), np.nanargmax(x))]
    parts = [
        f"{len(result.series):,} line(s) of {plain(result.y_name)} over {plain(result.x_name)} from "
        f"{ends[0]} to {ends[1]} ({len(x):,} places)."
    ]
    for name, values in list(result.series.items())[:6]:
        y = np.asarray(values, float)
        if np.isfinite(y).any():
            good = y[np.isfinite(y)]
            text = f"{shorten(name)} goes from {number(good[0])} to {number(good[-1])}, highest {number(good.max())}"
            null = result.null.get(name)
            parts.append(
                text + (f", null {number(np.nanmean(null))} on average." if null is not None else ".")
            )
        places = np.asarray(result.marks.get(name, ()), float)
        if len(places):
            parts.append(f"{plain(result.mark_name)} of {shorten(name)}: {', '.join(map(number, places))}.")
    return " ".join(parts)
