"""Ledger: a number as a sum of parts, as steps from its start to its end, the largest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import Ledger
from dashboard.figures.hatching import strokes
from dashboard.figures.paper import Page, label_axes
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import Theme, translucent
from dashboard.figures.text import MINUS, markup, number, plain, shorten

MOST = 14  # parts drawn one by one; the others are one line
SMALL = 1e-9  # residual, of the largest part, below which it is rounding
LINE, HEAD = 26, 120  # pixels of a line, of all else
PAPER_LINE = 0.19  # inches
AROUND = 0.6  # inches of title and notes, at print scale


@dataclass(frozen=True)
class Step:
    """One line: it goes from `before` by `value`. `kind`: "end", "part", "others" or "residual"."""

    name: str
    before: float
    value: float
    kind: str = "part"
    low: float | None = None
    high: float | None = None
    null_low: float | None = None
    null_high: float | None = None


def empty(result: Ledger) -> str:
    values = np.asarray(result.values, float)
    if len(values) == 0:
        return "There is no part to draw: the ledger is empty."
    if not np.isfinite(values).any() or not np.isfinite([result.start, result.end]).all():
        return f"None of the {len(values):,} parts, or not both ends, are finite."
    return ""


def order(result: Ledger) -> np.ndarray:
    """Places of the finite parts, the largest first."""
    values = np.asarray(result.values, float)
    found = np.flatnonzero(np.isfinite(values))
    return found[np.argsort(-np.abs(values[found]), kind="stable")]


def steps(result: Ledger, rows: int | None = None) -> list[Step]:
    """The lines from top to bottom, both ends among them."""
    values, ranked, most = np.asarray(result.values, float), order(result), rows or MOST
    shown = ranked if len(ranked) <= most else ranked[:most]
    at, found = float(result.start), [Step(result.start_name, 0.0, float(result.start), "end")]
    for i in shown:
        found.append(Step(str(result.names[i]), at, float(values[i]), "part", *_beside(result, int(i))))
        at += float(values[i])
    rest = ranked[len(shown) :]
    if len(rest):
        found.append(Step(f"the other {len(rest):,} parts", at, float(values[rest].sum()), "others"))
        at += float(values[rest].sum())
    if abs(result.residual) > SMALL * max(float(np.abs(values[ranked]).max()), 1e-300):
        found.append(Step("residual", at, float(result.residual), "residual"))
    return [*found, Step(result.end_name, 0.0, float(result.end), "end")]


def _beside(result: Ledger, i: int) -> tuple[float | None, ...]:
    """low, high, null_low, null_high of one part."""
    arrays = (result.low, result.high, result.null_low, result.null_high)
    return tuple(None if a is None or not np.isfinite(a[i]) else float(a[i]) for a in arrays)


def notes(result: Ledger, *, rows=None, sheet: Sheet | None = None) -> tuple[str, ...]:
    m, most = len(np.asarray(result.values)), rows or MOST
    if sheet is not None:
        most = _most(sheet, rows)
    said = [f"the {most} largest of {m:,} parts, the others as one"] if len(order(result)) > most else []
    lost = m - len(order(result))
    if lost:
        said.append(f"{lost:,} parts are not finite")
    if result.low is not None:
        said.append("whiskers: the interval of a part")
    if result.null_low is not None:
        said.append("pale grey: what chance gives it")
    return tuple(said)


def _reach(lines: list[Step]) -> list[float]:
    """The range of the axis: all steps, whiskers and bands, and both ends."""
    ends = []
    for s in lines:
        if s.kind == "end":
            ends.append(s.value)
            continue
        beside = (0.0, s.value, s.low, s.high, s.null_low, s.null_high)
        ends += [s.before + v for v in beside if v is not None]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or 0.5
    return [low - room, high + (0.14 * (high - low) or 0.5)]  # with the numbers at the right


def _right(s: Step) -> float:
    """Where its number begins: right of its bar, whiskers and band."""
    return s.before + max(v for v in (0.0, s.value, s.low, s.high, s.null_low, s.null_high) if v is not None)


def screen(result: Ledger, theme: Theme, *, rows=None, height=None, title=True):
    """Plotly figure; `rows`: parts drawn one by one."""
    import plotly.graph_objects as go

    lines = steps(result, rows)
    tall = height or HEAD + LINE * len(lines)
    figure = screen_figure(theme, result.title, notes(result, rows=rows), height=tall, show_title=title)
    places = np.arange(len(lines), dtype=np.float32)
    drawn = [(i, s) for i, s in enumerate(lines) if s.kind != "end"]
    bands = [(i, s) for i, s in drawn if s.null_low is not None and s.null_high is not None]
    if bands:
        figure.add_trace(
            go.Bar(
                y=_floats(i for i, _ in bands), base=_floats(s.before + s.null_low for _, s in bands),
                x=_floats(s.null_high - s.null_low for _, s in bands), orientation="h", width=0.9, hoverinfo="skip",
                marker={"color": translucent(theme.missing, 0.35), "line": {"width": 0}}, showlegend=False,
            )
        )  # fmt: skip
    figure.add_trace(
        go.Bar(
            y=_floats(i for i, _ in drawn), base=_floats(s.before for _, s in drawn),
            x=_floats(s.value for _, s in drawn),
            orientation="h", width=0.62, showlegend=False, marker={"color": [_colour(s, theme) for _, s in drawn]},
            error_x=_whiskers([s for _, s in drawn], theme),
            hovertext=[_pointed(s) for _, s in drawn], hovertemplate="%{hovertext}<extra></extra>",
        )
    )  # fmt: skip
    for i, s in enumerate(lines):
        if s.kind != "end":
            figure.add_annotation(x=_right(s), y=i, text=f"{s.value:+.3g}".replace("-", MINUS), showarrow=False,
                                  xanchor="left", xshift=5, font={"size": 12, "color": theme.text})  # fmt: skip
        else:
            figure.add_annotation(
                x=s.value, y=i, text=f"<b>{number(s.value)}</b>", showarrow=False, xanchor="left", xshift=6
            )
            figure.add_shape(type="line", x0=s.value, x1=s.value, y0=i - 0.4, y1=i + 0.4,
                             line={"color": theme.text, "width": 2})  # fmt: skip
    names = [markup(s.name, 34) for s in lines]
    figure.update_yaxes(tickmode="array", tickvals=places, ticktext=names, range=[len(lines) - 0.4, -0.6],
                        showline=False, ticks="")  # fmt: skip
    figure.update_xaxes(title_text=markup(result.value_name, 60), range=_reach(lines), showgrid=True,
                        gridcolor=theme.grid, exponentformat="power")  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0.3)
    return figure


def _floats(values) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.array(list(values), np.float64).astype(np.float32)


def _colour(s: Step, theme: Theme) -> str:
    if s.kind != "part":
        return theme.missing
    return theme.categories[1] if s.value >= 0 else theme.categories[0]


def _whiskers(drawn: list[Step], theme: Theme) -> dict | None:
    if not any(s.low is not None and s.high is not None for s in drawn):
        return None
    up = [0.0 if s.high is None else max(s.high - s.value, 0.0) for s in drawn]
    down = [0.0 if s.low is None else max(s.value - s.low, 0.0) for s in drawn]
    look = {"color": theme.text, "thickness": 1.2, "width": 3}
    return {"type": "data", "symmetric": False, "array": _floats(up), "arrayminus": _floats(down), **look}


def _pointed(s: Step) -> str:
    said = [f"<b>{markup(s.name, 60)}</b>", f"{s.value:+.4g}"]
    if s.low is not None and s.high is not None:
        said.append(f"interval {number(s.low)} to {number(s.high)}")
    if s.null_low is not None and s.null_high is not None:
        said.append(f"by chance {number(s.null_low)} to {number(s.null_high)}")
    return "<br>".join(said)


def _most(sheet: Sheet, rows: int | None) -> int:
    """Parts that stand one by one on a sheet, below each other at their own height."""
    lines = (sheet.highest / sheet.scale - 0.55 - AROUND) / PAPER_LINE
    return max(3, min(rows or MOST, int(lines) - 4))  # without start, end, the others and the residual


def paper_height(result: Ledger, sheet: Sheet, *, rows=None, **_ignored) -> float | None:
    """Inches: a line for each step."""
    return min(sheet.scale * (PAPER_LINE * len(steps(result, _most(sheet, rows))) + 0.55), sheet.highest)


def paper(result: Ledger, page: Page, *, rows=None) -> None:
    """Draw on the page."""
    lines, axes = steps(result, _most(page.sheet, rows)), page.figure.add_subplot()
    for i, s in enumerate(lines):
        if s.kind == "end":
            axes.plot([s.value, s.value], [i - 0.4, i + 0.4], color="#1a1a1a", linewidth=1.4 * page.scale)
            axes.annotate(
                number(s.value),
                (s.value, i),
                xytext=(3 * page.scale, 0),
                textcoords="offset points",
                va="center",
            )
            continue
        if s.null_low is not None and s.null_high is not None:
            axes.barh(i, s.null_high - s.null_low, left=s.before + s.null_low, height=0.9, color="#dddddd")
        axes.barh(i, s.value, left=s.before, height=0.62, **_ink(s, page))
        if s.low is not None and s.high is not None:
            reach = [[max(s.value - s.low, 0.0)], [max(s.high - s.value, 0.0)]]
            axes.errorbar(s.before + s.value, i, xerr=reach, color="#1a1a1a", linewidth=0.7 * page.scale,
                          capsize=1.5 * page.scale)  # fmt: skip
        axes.annotate(f"{s.value:+.2g}".replace("-", MINUS), (_right(s), i), xytext=(2 * page.scale, 0),
                      textcoords="offset points", va="center", fontsize="small")  # fmt: skip
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(_reach(lines))
    axes.set_yticks(range(len(lines)), [shorten(s.name, max(page.characters // 3, 8)) for s in lines])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    label_axes(page, axes, result.value_name, "")


def _ink(s: Step, page: Page) -> dict:
    """Told apart in grey too: parts that lower it are hatched."""
    if s.kind != "part":
        return {"color": "#9a9a9a"}
    up = s.value >= 0
    look = {"color": page.mark(1)[0] if up else page.mark(0)[0]}
    return look if up else {**look, "hatch": strokes(4, page.scale), "edgecolor": "white", "linewidth": 0}


def table(result: Ledger, **_ignored) -> dict[str, np.ndarray]:
    """All parts, the largest first, then the residual and both ends."""
    at = np.argsort(-np.abs(np.nan_to_num(np.asarray(result.values, float))), kind="stable")
    ends = [result.residual, result.start, result.end]
    names = [plain(result.names[i]) for i in at]
    found = {
        "part": np.array([*names, "residual", plain(result.start_name), plain(result.end_name)], dtype=str),
        plain(result.value_name) or "value": np.r_[np.asarray(result.values, float)[at], ends],
    }
    for name in ("low", "high", "null_low", "null_high"):
        column = getattr(result, name)
        if column is not None:
            found[name.replace("_", " ")] = np.r_[np.asarray(column, float)[at], np.full(3, np.nan)]
    return found


def words(result: Ledger) -> str:
    values, ranked = np.asarray(result.values, float), order(result)
    parts = [
        f"{len(ranked):,} part{'s' * (len(ranked) != 1)} of {plain(result.value_name)} lead "
        f"from {number(result.start)} "
        f"({plain(result.start_name)}) to {number(result.end)} ({plain(result.end_name)})."
    ]
    told = [f"{plain(result.names[i])} {'+' * bool(values[i] > 0)}{number(values[i])}" for i in ranked[:5]]
    parts.append(f"The largest: {'; '.join(told)}.")
    if result.residual:
        parts.append(f"The parts miss the end by {number(result.residual)}.")
    return " ".join(parts)
