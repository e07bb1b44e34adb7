"""The null strip: every estimate on one line, its value with interval over the grey band of its null.

Each line has its own scale, because estimates of different units stand below each other; the ends are written
under the line, and every number is written beside it.
"""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate, Result
from dashboard.figures.estimates import detail_words, null_words, value_words
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_figure, screen_sentence
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, number, shorten, wrapped

MOST_LINES = 12
NOTHING = "This result carries no estimate, so there is no null to compare with."


def span(e: Estimate) -> tuple[float, float] | None:
    """The ends of the line of one estimate; None when nothing about it is finite."""
    given = [v for v in (e.value, e.low, e.high, e.null, e.null_low, e.null_high) if v is not None]
    given = [float(v) for v in given if np.isfinite(v)]
    if not given:
        return None
    low, high = min(given), max(given)
    if 0 < low <= high < 1.0001 or -1.0001 < low < 0 <= high < 1.0001:
        low = min(low, 0.0)  # shares and correlations are read against zero
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    return low, high


def _at(value, ends: tuple[float, float]) -> float:
    return (float(value) - ends[0]) / (ends[1] - ends[0])


def _known(*values) -> bool:
    return all(v is not None and np.isfinite(v) for v in values)


def _rest(result: Result) -> tuple[str, ...]:
    n = len(result.estimates)
    return (f"the first {MOST_LINES} of {n:,} estimates; the table has them all",) if n > MOST_LINES else ()


def strip_on_screen(result: Result, theme: Theme, *, height=None):
    """Plotly figure: the words at the left, the line at the right."""
    shown = result.estimates[:MOST_LINES]
    if not shown:
        return screen_sentence(theme, "", NOTHING, height=70)
    figure = screen_figure(
        theme, "", _rest(result), height=height or 74 * len(shown) + 24 + 16 * bool(_rest(result))
    )
    figure.update_layout(margin={"l": 8, "r": 16, "b": 6}, showlegend=False)
    figure.update_yaxes(visible=False, range=[len(shown) - 0.5, -0.5], fixedrange=True)
    figure.update_xaxes(visible=False, range=[-0.04, 1.04], domain=[0.56, 1], fixedrange=True)
    for k, e in enumerate(shown):
        under = "; ".join(part for part in (null_words(e), detail_words(e)) if part)
        style = f"font-size:12px;color:{theme.muted}"
        small = [f"<span style='{style}'>{markup(line)}</span>" for line in wrapped(under, 62, 3)]
        text = "<br>".join([f"<b>{markup(e.name, 44)}</b>  {markup(value_words(e))}", *small])
        figure.add_annotation(
            text=text,
            x=0,
            xref="paper",
            xanchor="left",
            y=k,
            yref="y",
            align="left",
            yanchor="middle",
            showarrow=False,
            font={"size": 13, "color": theme.text},
        )
        _screen_line(figure, e, k, theme)
    return figure


def _screen_line(figure, e: Estimate, k: int, theme: Theme) -> None:
    """One line: its ends, the null, then the value with its interval."""
    ends = span(e)
    if ends is None:
        return
    figure.add_shape(**_stroke((0, 1), (k, k), theme.grid, 2))
    if _known(e.null_low, e.null_high):
        low, high = _at(e.null_low, ends), _at(e.null_high, ends)
        grey = {"fillcolor": theme.missing, "opacity": 0.45, "line": {"width": 0}, "layer": "below"}
        figure.add_shape(type="rect", x0=low, x1=high, y0=k - 0.17, y1=k + 0.17, **grey)
    if _known(e.null):
        at = _at(e.null, ends)
        figure.add_shape(**_stroke((at, at), (k - 0.22, k + 0.22), theme.missing, 2.5))
    small = {"showarrow": False, "yanchor": "top", "font": {"size": 11, "color": theme.muted}}
    for value, side in zip(ends, ("left", "right"), strict=True):
        figure.add_annotation(
            text=markup(number(value)), x=_at(value, ends), y=k + 0.2, xanchor=side, **small
        )
    if _known(e.value):
        _screen_value(figure, e, k, ends, theme)


def _stroke(x: tuple, y: tuple, colour: str, width: float) -> dict:
    look = {"color": colour, "width": width}
    return {"type": "line", "x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1], "line": look, "layer": "below"}


def _screen_value(figure, e: Estimate, k: int, ends, theme: Theme) -> None:
    import plotly.graph_objects as go

    bars = None
    if _known(e.low, e.high):
        up, down = (max(v, 0) / (ends[1] - ends[0]) for v in (e.high - e.value, e.value - e.low))
        look = {"thickness": 1.6, "width": 4, "color": theme.accent}
        bars = {"type": "data", "symmetric": False, "array": [up], "arrayminus": [down], **look}
    words = "<br>".join(markup(text) for text in (shorten(e.name, 60), value_words(e), null_words(e)))
    figure.add_trace(
        go.Scatter(
            x=[_at(e.value, ends)],
            y=[k],
            mode="markers",
            marker={"size": 10, "color": theme.accent},
            error_x=bars,
            hovertemplate=words + "<extra></extra>",
        )
    )


def strip_height(result: Result, width: str) -> float:
    """Inches of the strip on paper."""
    scale, line = (2 if width == "slide" else 1), 0.62 if width == "single" else 0.5
    return (line * max(len(result.estimates[:MOST_LINES]), 1) + 0.12) * scale


def strip_on_paper(result: Result, page: Page) -> None:
    """Draw the strip on a page: words above and below each line where the page is narrow, beside it where wide."""
    shown = result.estimates[:MOST_LINES]
    axes = page.figure.add_subplot()
    axes.set_axis_off()
    wide = page.inches > 5
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim((-1.4, 1.02) if wide else (-0.02, 1.02))
    room = int(page.characters * (0.54 if wide else 0.97))
    look = {"va": "top", "in_layout": False, "linespacing": 1.15}
    for k, e in enumerate(shown):
        x, top = (-1.4, k - 0.4) if wide else (0, k - 0.47)
        axes.text(x, top, shorten(f"{e.name}  {value_words(e)}", room - 4), fontweight="bold", **look)
        under = "; ".join(t for t in (null_words(e), detail_words(e)) if t)
        small = "\n".join(wrapped(under, room, 2))
        axes.text(x, k - 0.14 if wide else k + 0.0, small, color="#555555", **look)
        _paper_line(axes, e, k - 0.05 if wide else k - 0.13, page)


def _paper_line(axes, e: Estimate, y: float, page: Page) -> None:
    ends = span(e)
    if ends is None:
        return
    colour = page.mark(0)[0]
    axes.plot([0, 1], [y, y], color="#dddddd", linewidth=1.2 * page.scale, zorder=1)
    if _known(e.null_low, e.null_high):
        axes.fill_between(
            [_at(e.null_low, ends), _at(e.null_high, ends)],
            y - 0.1,
            y + 0.1,
            color="#b5b5b5",
            linewidth=0,
            zorder=2,
        )
    if _known(e.null):
        axes.plot(
            [_at(e.null, ends)] * 2,
            [y - 0.13, y + 0.13],
            color="#777777",
            linewidth=1.4 * page.scale,
            zorder=3,
        )
    if _known(e.low, e.high):
        axes.plot(
            [_at(e.low, ends), _at(e.high, ends)],
            [y, y],
            color=colour,
            linewidth=1.1 * page.scale,
            marker="|",
            markersize=4 * page.scale,
            zorder=4,
        )
    if _known(e.value):
        axes.plot([_at(e.value, ends)], [y], "o", color=colour, markersize=4 * page.scale, zorder=5)
