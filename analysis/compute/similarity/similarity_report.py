"""A grid of similarities as a Matrix: estimates, what it says and what it does not, the same for every measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.null_ends import null_ends
from analysis.compute.similarity.similarity_grid import Grid
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import FEWEST, jackknife_error
from analysis.results import Estimate, Matrix

LEVEL = 0.05  # false-discovery rate
FEWEST_KNOWN = 8  # samples below which an interval by leaving some out says little
UNSURE = 0.1  # half-width of an interval, as a share of the scale, from which on samples count as too few
BAND = 0.05  # of the values of unrelated pairs lie outside of the null's band
Z = 1.959964


@dataclass(frozen=True)
class Words:
    """How a measure is spoken of: `name` ("CKA"), `estimator`, `null_method`; its value for a tap and itself
    (`perfect`), the `bounds` it cannot leave; `distance`: small means alike. `arrow`: how a cell of an asymmetric
    measure reads, such as "{0} from {1}"."""

    name: str
    estimator: str
    null_method: str
    perfect: float = 1.0
    bounds: tuple[float, float] = (-1.0, 1.0)
    limits: tuple[float, float] = (0.0, 1.0)
    distance: bool = False
    arrow: str = "{0} and {1}"
    interval: str = "jackknife over groups of samples, t"


def similarity_matrix(grid: Grid, words: Words, names: Sequence[str], notes: Sequence[str] = ()) -> Matrix:
    """`names` as the taps call themselves ("store:tap"); `notes`: caveats of the measure and of the data."""
    short = tap_names(names)
    low, high = intervals(grid, words)
    sure = beyond_chance(grid)
    half = jackknife_half(grid.series)  # not cut at the bounds
    unsure = ~(half <= UNSURE * abs(words.limits[1] - words.limits[0])) & (len(grid.series) > 1)
    few = grid.few | (unsure & ~grid.own) | ((grid.n < FEWEST_KNOWN) & ~grid.own)
    estimates = _estimates(grid, words, short, low, high)
    i, j = grid.different()
    band = np.array(null_ends(grid.null[i, j], grid.deviation[i, j], words.bounds, BAND))
    known = np.isfinite(low[~grid.own]).any()
    direction = ", small is alike" * words.distance
    if not grid.symmetric:
        direction += f", {words.arrow.format('row', 'column')}"
    if not grid.symmetric and not grid.square:
        notes = (*notes, "The other direction is had by choosing the other network first.")
    rows, columns = short, short
    title = f"{words.name} of " + (words.arrow.format(*short) if len(short) == 2 else f"{len(short)} taps")
    if not grid.square and len(short) > 2:
        rows, columns, title = _two_networks(grid, words, names)
    return Matrix(
        title=title[:1].upper() + title[1:], reading=_reading(grid, words, short, estimates, sure),
        caveats=(*_few_notes(few, grid), *dict.fromkeys(notes)), estimates=estimates, values=grid.values,
        row_names=tuple(rows[a] for a in grid.rows), column_names=tuple(columns[b] for b in grid.columns),
        value_name=words.name + direction, significant=sure, limits=words.limits, few=few,
        null_band=None if not np.isfinite(band).any() else (float(np.nanmin(band)), float(np.nanmax(band))),
        null=grid.null, low=low if known else None, high=high if known else None,
    )  # fmt: skip


def _two_networks(grid: Grid, words: Words, names: Sequence[str]) -> tuple[list[str], list[str], str]:
    """Row and column names by number of tap, without the store where a side has one; the title says it then."""
    sides, said = [], []
    for numbers in (grid.rows, grid.columns):
        short = list(names)
        for number, name in zip(numbers, tap_names([names[a] for a in numbers]), strict=True):
            short[number] = name
        sides.append(short)
        stores = {names[a].partition(":")[0] for a in numbers}
        said.append(next(iter(stores)) if len(stores) == 1 else f"{len(stores)} networks")
    return *sides, f"{words.name} of taps of {said[0]} (rows) and {said[1]} (columns)"


def beyond_chance(grid: Grid) -> np.ndarray:
    """(p, q) whether a pair is more alike than chance, at a false-discovery rate of 5 %; a tap with itself is."""
    sure = grid.own.copy()
    i, j = grid.different()
    found = benjamini_hochberg(grid.p[i, j]) < LEVEL
    sure[i, j] = found
    if grid.square and grid.symmetric:
        sure[j, i] = found
    return sure


def intervals(grid: Grid, words: Words) -> tuple[np.ndarray, np.ndarray]:
    """(p, q) ends of the 95 % jackknife interval of each cell, within the bounds; NaN where it cannot be had."""
    half = jackknife_half(grid.series)
    half = np.where(grid.own, 0.0, half)
    return tuple(np.clip(grid.values + sign * half, *words.bounds) for sign in (-1, 1))


def jackknife_half(series: np.ndarray) -> np.ndarray:
    """Half-width of the 95 % interval of series[0] from series[1:], the values without each group; any trailing shape,
    NaN where there are fewer than three groups."""
    without = series[1:]
    if len(without) < FEWEST:
        return np.full(series.shape[1:], np.nan)
    return stdtrit(len(without) - 1, 0.975) * jackknife_error(without)


def _estimates(grid: Grid, words: Words, names, low, high) -> tuple[Estimate, ...]:
    i, j = grid.different()
    common = {"n": grid.n, "estimator": words.estimator}

    def null_of(null: float, deviation: float, tries: int = 1) -> dict:
        if not np.isfinite(null):
            return {}
        below, above = null_ends(null, deviation, words.bounds, BAND / tries)
        ends = {"null_low": min(float(below), null), "null_high": max(float(above), null)}
        how = words.null_method + (f"; band and p for one chosen of {tries} pairs" if tries > 1 else "")
        return {"null": null, "null_method": how, **(ends if np.isfinite(deviation) else {})}

    def ends_of(value: float, below: float, above: float) -> dict:
        if not (np.isfinite(below) and np.isfinite(above)):
            return {}
        return {"low": min(below, value), "high": max(above, value), "interval": words.interval}

    def of_cell(word: str, at: int) -> Estimate:
        """A cell; one that was chosen among all (`word`) has the band and the p-value of a choice (Bonferroni)."""
        r, c = i[at], j[at]
        a, b = grid.rows[r], grid.columns[c]
        tries = len(i) if word else 1
        value, p = float(grid.values[r, c]), tries * float(grid.p[r, c])
        return Estimate(
            f"{word}{words.name} of {words.arrow.format(names[a], names[b])}", value,
            **ends_of(value, float(low[r, c]), float(high[r, c])),
            **null_of(float(grid.null[r, c]), float(grid.deviation[r, c]), tries),
            **({"p_value": min(p, 1.0)} if np.isfinite(p) else {}), d=max(grid.units[a], grid.units[b]), **common,
        )  # fmt: skip

    if len(i) <= 2:
        return tuple(of_cell("", at) for at in range(len(i)))
    means = grid.series[:, i, j].mean(axis=1)
    value, half = float(means[0]), float(jackknife_half(means))
    bounded = [float(np.clip(value + sign * half, *words.bounds)) for sign in (-1, 1)]
    mean = Estimate(
        f"mean {words.name} of two taps", value, **ends_of(value, *bounded),
        **null_of(_mean(grid.null[i, j]), _mean(grid.deviation[i, j])),  # the widest: as if all pairs moved as one
        d=max(grid.units), **common,
    )  # fmt: skip
    flat = grid.values[i, j] * (-1 if words.distance else 1)
    return mean, of_cell("most alike: ", int(flat.argmax())), of_cell("least alike: ", int(flat.argmin()))


def _reading(grid: Grid, words: Words, names, estimates, sure) -> str:
    i, j = grid.different()
    unrelated = _unrelated(grid, words.bounds)
    if len(i) <= 2:
        return " ".join(
            _pair_sentence(e, unrelated, bool(sure[r, c]), k)
            for k, (e, r, c) in enumerate(zip(estimates, i, j, strict=True))
        )
    mean, most, least = estimates
    tested = np.isfinite(grid.p[i, j])
    known = int(sure[i, j].sum())
    word = "is" if known == 1 else "are"
    beyond = (
        f" {known:,} of {len(i):,} pairs {word} more alike than chance (q < {LEVEL:g})."
        if tested.any()
        else ""
    )
    return (
        f"The mean {words.name} of two taps is {two_decimals(mean.value)}{unrelated}. Most alike are "
        f"{most.name.partition(' of ')[2]} ({two_decimals(most.value)}), least alike {least.name.partition(' of ')[2]} "
        f"({two_decimals(least.value)}).{beyond}"
    )


def _pair_sentence(e: Estimate, unrelated: str, sure: bool, k: int) -> str:
    within = "" if e.low is None else f" ({two_decimals(e.low)} to {two_decimals(e.high)})"
    verdict = "" if e.p_value is None else ": beyond chance" if sure else ": not shown to be more than chance"
    return f"{e.name} is {two_decimals(e.value)}{within}{unrelated if k == 0 else ''}{verdict}."


def _unrelated(grid: Grid, bounds: tuple[float, float]) -> str:
    i, j = grid.different()
    null, deviation = grid.null[i, j], grid.deviation[i, j]
    if not np.isfinite(null).any():
        return ""
    low, high, reach = np.nanmin(null), np.nanmax(null), np.nanmax(np.append(deviation, -np.inf))
    ends = two_decimals(low), two_decimals(high)
    given = ends[0] if high - low < 0.005 or ends[0] == ends[1] else " to ".join(ends)
    if np.isfinite(reach) and bounds[0] <= low - Z * reach and high + Z * reach <= bounds[1]:
        given += f" ± {Z * reach:.2g}"
    elif np.isfinite(reach):
        below, above = null_ends(null, deviation, bounds, BAND)
        given += (
            f" on average, most of them {two_decimals(np.nanmin(below))} to {two_decimals(np.nanmax(above))}"
        )
    return f"; unrelated representations of {grid.n:,} samples give {given}"


def _mean(values: np.ndarray) -> float:
    """Of those that are known; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def two_decimals(value: float) -> str:
    """A number as sentences say it, without a sign before nothing."""
    text = f"{value:.2f}"
    return "0" if float(text) == 0 else text


def _few_notes(few: np.ndarray, grid: Grid) -> list[str]:
    i, j = grid.different()
    count = int(few[i, j].sum())
    if not count:
        return []
    which = "this" if len(i) == 1 else f"{count} of {len(i)} pairs (hatched)"
    return [f"{grid.n:,} samples are few for {which}: do not read much into the value."]
