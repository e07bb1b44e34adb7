"""Estimates in words and as a table: value, interval, null, n, d, estimator."""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate, Result
from dashboard.figures.rounding import WORDS, is_rounding, rounded
from dashboard.figures.text import number, plain

NONE = "none: "  # and why a number has no interval, or no null
_FIELDS = ("value", "low", "high", "level", "null", "null_low", "null_high", "p_value")


def estimates_table(result: Result) -> dict[str, np.ndarray]:
    """One line per estimate: name, value, low, high, level, interval, null …, n, d, estimator, unit."""
    found: dict[str, np.ndarray] = {"name": np.array([e.name for e in result.estimates], dtype=str)}
    for name in _FIELDS:
        given = [getattr(e, name) for e in result.estimates]
        found[name] = np.array([np.nan if v is None else float(v) for v in given], dtype=np.float64)
    for name in ("interval", "null_method", "estimator", "unit"):
        found[name] = np.array([getattr(e, name) for e in result.estimates], dtype=str)
    for name in ("n", "d"):
        found[name] = np.array([getattr(e, name) for e in result.estimates], dtype=np.int64)
    return found


def value_words(e: Estimate) -> str:
    """0.62 [0.58, 0.66] with its unit."""
    shown = rounded(e)
    text = number(shown.value) + (f" {plain(e.unit)}" if e.unit else "")
    if shown.low is not None and shown.high is not None:
        text += f" [{number(shown.low)}, {number(shown.high)}]"
    return text + (f" ({WORDS})" if is_rounding(e) else "")


def null_words(e: Estimate) -> str:
    """What structureless data gives, in a few words; says so when it is not known."""
    e = rounded(e)
    if e.null is None and e.null_low is None:
        return "no null" if e.null_method.startswith(NONE) else "null not known"
    text = "null" + (f" {number(e.null)}" if e.null is not None else "")
    if e.null_low is not None and e.null_high is not None:
        text += f" [{number(e.null_low)}, {number(e.null_high)}]"
    return text


def detail_words(e: Estimate) -> str:
    """Estimator, n, d, how interval and null were made, p."""
    parts = [plain(e.estimator)] if e.estimator else []
    parts += [f"n {e.n:,}"] if e.n else []
    parts += [f"d {e.d:,}"] if e.d else []
    if rounded(e).low is not None and e.interval:
        parts.append(f"{e.level:.0%} interval: {plain(e.interval)}{_no_spread(e)}")
    elif e.interval.startswith(NONE):
        parts.append(f"no interval: {plain(e.interval.removeprefix(NONE))}")
    if e.null_method.startswith(NONE):
        parts.append(f"no null: {plain(e.null_method.removeprefix(NONE))}")
    elif e.null_method:
        parts.append(f"null: {plain(e.null_method)}")
    if e.p_value is not None:
        parts.append(f"p {number(e.p_value, 2)}")
    return ", ".join(parts)


def _no_spread(e: Estimate) -> str:
    """What an interval without a width does not say: of samples that all agree, with the share of others that may not
    (Clopper and Pearson 1934, one-sided: near 3 / n at 95 %)."""
    if e.low != e.high or is_rounding(e) or e.n < 2:
        return ""
    if not any(word in e.interval for word in ("samples", "queries")):
        return " (no spread was seen, which does not show that there is none)"
    others = 1 - (1 - e.level) ** (1 / e.n)
    return f" (all agree; up to {others:.1%} of other samples may not)"


def sentence(e: Estimate, *, sizes: bool = True) -> str:
    """One estimate for ears: name, value, interval, null; n, d and estimator with `sizes`."""
    nothing, e = is_rounding(e), rounded(e)
    text = f"{plain(e.name)}: {number(e.value)}" + (f" {plain(e.unit)}" if e.unit else "")
    parts = [WORDS if nothing else _interval(e), _null(e)]
    if sizes:
        parts += [", ".join([f"n = {e.n:,}"] * bool(e.n) + [f"d = {e.d:,}"] * bool(e.d)), plain(e.estimator)]
    return f"{text} ({'; '.join(part for part in parts if part)})"


def how_sentence(estimates) -> str:
    """How the intervals and the nulls of some estimates were made; "" where it is not known."""
    intervals, nulls = ([how for how in dict.fromkeys(plain(getattr(e, of)) for e in estimates)
                         if how and not how.startswith(NONE)] for of in ("interval", "null_method"))  # fmt: skip
    parts = [f"Intervals: {'; '.join(intervals)}"] * bool(intervals)
    parts += [f"Nulls: {'; '.join(nulls)}"] * bool(nulls)
    return ". ".join(parts)


def _interval(e: Estimate) -> str:
    if e.low is not None and e.high is not None:
        return f"{e.level:.0%} interval {number(e.low)} to {number(e.high)}"
    return (
        f"no interval: {plain(e.interval.removeprefix(NONE))}"
        if e.interval.startswith(NONE)
        else "no interval"
    )


def _null(e: Estimate) -> str:
    if e.null_method.startswith(NONE):
        return f"no null: {plain(e.null_method.removeprefix(NONE))}"
    if e.null_low is not None and e.null_high is not None:
        middle = f"{number(e.null)}, " if e.null is not None else ""
        return f"null {middle}range {number(e.null_low)} to {number(e.null_high)}"
    return f"null {number(e.null)}"
