"""Spectrum: values in falling order with their interval band, the null line, and brackets over values that the
sample cannot tell apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from analysis.results import Spectrum
from dashboard.figures.legends import entry, legend_above
from dashboard.figures.paper import Page, label_axes, log_ticks
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, number, plain
from dashboard.figures.traces import band, line

PAPER_SHAPE = 0.66
LEGEND = 22  # pixels of its line between title and picture
MOST_MARKS = 150  # more values than this are a line without marks
NARROW = 45  # characters of a panel; in a narrower one a legend has no room inside of the axes


def empty(result: Spectrum) -> str:
    values = np.asarray(result.values)
    if len(values) == 0:
        return "There is no value to draw: the spectrum is empty."
    if not np.isfinite(values).any():
        return f"None of the {len(values):,} values is finite."
    if result.log and not (values > 0).any():
        return f"None of the {len(values):,} values is above zero, so a log axis shows nothing."
    return ""


def _drawn(values, log: bool) -> np.ndarray:
    """float32 with NaN where the axis has no place for a value."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(values) & ((values > 0) | (not log)), values, np.nan).astype(np.float32)


def _band(result: Spectrum, log: bool):
    """(low, high) of the interval band; where it reaches zero on a log axis, it ends at the lowest place drawn."""
    if result.low is None or result.high is None:
        return None
    low, high = (np.asarray(v, dtype=np.float64) for v in (result.low, result.high))
    if log:
        seen = np.concatenate(
            [np.asarray(v, float).ravel() for v in (result.values, result.low, result.high)]
        )
        seen = seen[np.isfinite(seen) & (seen > 0)]
        low, high = (np.where(v > 0, v, seen.min()) for v in (low, high))
    return low.astype(np.float32), high.astype(np.float32)


def brackets(result: Spectrum, log: bool) -> list[tuple[int, int, float]]:
    """(first, last, height) of each run of unresolved values, places counted from 1."""
    if result.blocks is None:
        return []
    blocks = np.asarray(result.blocks)
    top = np.fmax(
        np.asarray(result.values, float), -np.inf if result.high is None else np.asarray(result.high, float)
    )
    edges = np.flatnonzero(np.r_[True, blocks[1:] != blocks[:-1], True])
    finite = np.asarray(result.values, float)[np.isfinite(result.values)]
    step = 0.05 * (finite.max() - finite.min() or 1.0)
    found = []
    for start, stop in pairwise(edges):
        height = np.nanmax(top[start:stop]) if np.isfinite(top[start:stop]).any() else np.nan
        if stop - start > 1 and np.isfinite(height) and (height > 0 or not log):
            found.append((int(start) + 1, int(stop), float(height * 1.35 if log else height + step)))
    return found


def _bracket_line(result: Spectrum, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """All brackets as one broken line (x, y), each with feet at its ends."""
    values = np.asarray(result.values, float)
    reach = 0.02 * float(np.nanmax(values) - np.nanmin(values))
    x, y = [], []
    for first, last, height in brackets(result, log):
        foot = height / 1.12 if log else height - reach
        x += [first - 0.2, first - 0.2, last + 0.2, last + 0.2, np.nan]
        y += [foot, height, height, foot, np.nan]
    return np.array(x, np.float32), np.array(y, np.float32)


def notes(result: Spectrum, *, log=None) -> tuple[str, ...]:
    log = result.log if log is None else log
    said = []
    values = np.asarray(result.values, float)
    lost = int((~(values > 0)).sum()) if log else int((~np.isfinite(values)).sum())
    if lost:
        said.append(
            f"{lost:,} of {len(values):,} values have no place on this axis (zero, negative or not a number)"
        )
    if brackets(result, log):
        said.append("a bracket joins values that this sample cannot tell apart")
    return tuple(said)


def screen(result: Spectrum, theme: Theme, *, log=None, height=400, title=True):
    """Plotly figure; `log` overrides the result's own wish."""
    log = result.log if log is None else log
    figure = screen_figure(theme, result.title, notes(result, log=log), height=height, show_title=title)
    x = np.arange(1, len(result.values) + 1, dtype=np.float32)
    interval, name = _band(result, log), markup(result.value_name, 40)
    if interval is not None:
        band(figure, x, *interval, theme.accent, alpha=0.22, name="interval")
    if result.null is not None:
        null = _drawn(result.null, log)
        line(figure, x, null, theme.missing, "null", width=1.5, dash="dash", hover="null %{y:.4g}")
    values, hover = _drawn(result.values, log), f"%{{x}}: {name} %{{y:.4g}}"
    line(figure, x, values, theme.accent, name, width=1.5, markers=len(x) <= MOST_MARKS, hover=hover)
    if brackets(result, log):
        line(figure, *_bracket_line(result, log), theme.muted, "not resolved")
    figure.update_xaxes(title_text="component", range=_places(len(x)))
    figure.update_yaxes(title_text=name, type="log" if log else "linear", exponentformat="power")
    if log and _decades(result) > 1.5:
        figure.update_yaxes(dtick=1)
    legend = {
        "orientation": "h",
        "x": 1,
        "xanchor": "right",
        "y": 1,
        "yanchor": "bottom",
        "traceorder": "normal",
    }
    figure.update_layout(legend=legend, margin_t=figure.layout.margin.t + LEGEND)
    return figure


def _places(k: int) -> list[float]:
    """The range of the component axis."""
    return [0.5 - 0.01 * k, k + 0.5 + 0.01 * k]


def _decades(result: Spectrum) -> float:
    values = np.asarray(result.values, float)
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.log10(values.max() / values.min())) if len(values) else 0.0


def paper(result: Spectrum, page: Page, *, log=None) -> None:
    """Draw on the page."""
    log = result.log if log is None else log
    axes = page.figure.add_subplot()
    x, colour = np.arange(1, len(result.values) + 1), page.mark(0)[0]
    if log:
        axes.set_yscale("log")
    interval = _band(result, log)
    if interval is not None:
        axes.fill_between(x, *interval, color=colour, alpha=0.2, linewidth=0, label="interval")
    if result.null is not None:
        axes.plot(x, _drawn(result.null, log), color="#7a7a7a", dashes=(4, 2), label="null")
    mark = {"marker": "o" if len(x) <= MOST_MARKS else "", "markersize": 2.2 * page.scale}
    axes.plot(x, _drawn(result.values, log), color=colour, label=entry(result.value_name, 30), **mark)
    if brackets(result, log):
        axes.plot(*_bracket_line(result, log), color="#555555", label="not resolved")
    label_axes(page, axes, "component", result.value_name)
    axes.set_xlim(_places(len(x)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    if log:
        log_ticks(axes.yaxis)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        legend_above(page, axes) if page.characters < NARROW else axes.legend(loc="best")


def table(result: Spectrum, **_ignored) -> dict[str, np.ndarray]:
    found = {
        "component": np.arange(1, len(result.values) + 1),
        plain(result.value_name): np.asarray(result.values),
    }
    for name in ("low", "high", "null", "blocks"):
        if getattr(result, name) is not None:
            found[name] = np.asarray(getattr(result, name))
    return found


def words(result: Spectrum) -> str:
    values = np.asarray(result.values, float)
    axis = "a log axis" if result.log else "a linear axis"
    parts = [
        f"{len(values):,} value(s) of {plain(result.value_name)} in falling order on {axis}, from "
        f"{number(np.nanmax(values))} to {number(np.nanmin(values))}."
    ]
    if result.null is not None:
        above = int((values > np.asarray(result.null, float)).sum())
        parts.append(f"{above:,} lie above the null line of structureless data.")
    if result.low is not None:
        parts.append("A band shows the interval of each value.")
    found = brackets(result, result.log)
    if found:
        runs = ", ".join(f"{a} to {b}" for a, b, _ in found[:5])
        parts.append(
            f"Not told apart by this sample: components {runs}{' and more' if len(found) > 5 else ''}."
        )
    return " ".join(parts)
