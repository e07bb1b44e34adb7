"""Recorded runs of training in random subspaces: performance by dimension, and the least dimension that suffices.

A run has a dimension d and a performance; the runs of one network are a curve. d_int is the smallest recorded d whose
mean performance is the share of that of full training. Runs that share d are repeats: their deviations about their
means, pooled over d, give the curve's band (Student's t), and drawing the means anew from it gives the interval of
d_int, from the first d that suffices to the one from which on all do, each at its 95 % end. What lies between two
recorded dimensions is open: the interval begins just above the last d that does not suffice.

Reference: C. Li, H. Farkhoor, R. Liu & J. Yosinski (2018), "Measuring the intrinsic dimension of objective landscapes".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.rank_agreement import MOST_EXACT, spearman
from analysis.errors import InputError, ParameterError

DRAWS = 2000
FULL_MARKS = ("", "full", "all", "direct", "baseline", "nan", "none", "inf")


@dataclass(frozen=True)
class Runs:
    """Runs of one network: `dims` (m,) rising, `means` and `counts` (m,) of the runs at each; `spread`, the pooled
    deviation of repeats with its `freedom` (0 where nothing repeats); `full`, the mean of `full_runs` full trainings
    (0: `full` is the mean at the largest d); `size`, the number of parameters, 0 where not known."""

    name: str
    dims: np.ndarray
    means: np.ndarray
    counts: np.ndarray
    spread: float
    freedom: int
    full: float
    full_runs: int
    size: int = 0

    def errors(self) -> np.ndarray | None:
        """(m,) standard errors of the means; None where nothing repeats."""
        return self.spread / np.sqrt(self.counts) if self.freedom else None

    def level(self, share: float, of_way: bool) -> float:
        """The performance that counts as reached; of the way there it starts at the smallest d."""
        start = float(self.means[0]) if of_way else 0.0
        return start + share * (self.full - start)


@dataclass(frozen=True)
class Reached:
    """`value`, the smallest d at the level (NaN: none); [`low`, `high`]; `settled`, the d from which on all are (NaN:
    none); `is_open`, whether the upper end lies beyond what was recorded; `how` the interval was made."""

    value: float
    low: float
    high: float
    settled: float
    is_open: bool
    how: str


def dimensions_in(column: np.ndarray, name: str) -> np.ndarray:
    """(n,) float64 dimensions in a column; NaN where it says full training (no value, "full", infinity).

    Raises ParameterError for other texts, InputError for negative or broken numbers.
    """
    if column.dtype.kind in "fiub":
        out = column.astype(np.float64)
        out[~np.isfinite(out)] = np.nan
    else:
        out = np.array([_number(text, name) for text in column.astype(str)])
    wrong = np.flatnonzero((out < 0) | (out != np.round(out)) & np.isfinite(out))
    if len(wrong):
        raise InputError(
            f"'{name}' of sample {wrong[0]} is {out[wrong[0]]:g}", "whole numbers from 0 on, dimensions",
            "Choose the column of dimensions",
        )  # fmt: skip
    return out


def _number(text: str, name: str) -> float:
    text = text.strip().replace(",", "")
    if text.lower() in FULL_MARKS:
        return np.nan
    try:
        return float(text)
    except ValueError:
        raise ParameterError(
            f"column '{name}' holds {text!r}",
            "dimensions, or 'full' for full training",
            "Choose another column",
        ) from None


def runs_of(name: str, d: np.ndarray, performance: np.ndarray, size: int) -> Runs | None:
    """Of one network's runs `d` (n,), NaN for full training, and `performance` (n,). A run in all `size` dimensions is
    full training, too. None with fewer than two dimensions."""
    full = ~np.isfinite(d) | (size > 0) & (d == size)
    dims, of = np.unique(d[~full], return_inverse=True)
    if len(dims) < 2:
        return None
    values, counts = performance[~full], np.bincount(of)
    means = np.bincount(of, values) / counts
    left = np.append(values - means[of], performance[full] - performance[full].mean() if full.any() else [])
    freedom = len(left) - len(dims) - int(full.any())
    spread = float(np.sqrt((left**2).sum() / freedom)) if freedom else 0.0
    whole = float(performance[full].mean()) if full.any() else float(means[-1])
    return Runs(name, dims.astype(np.int64), means, counts, spread, freedom, whole, int(full.sum()), size)


def d_int(runs: Runs, share: float, of_way: bool, rng: np.random.Generator) -> Reached:
    """The least dimension at the level, see above. O(DRAWS m)."""
    value, settled = _crossings(runs.dims, runs.means[None], np.array([runs.level(share, of_way)]))
    first, last = float(value[0]), float(settled[0])
    how = "between the recorded dimensions; nothing repeats, so that chance from run to run is not in it"
    low, high = first, last
    if runs.freedom:
        means = runs.means + runs.errors() * rng.standard_t(runs.freedom, (DRAWS, len(runs.dims)))
        full = means[:, -1]
        if runs.full_runs:
            error = runs.spread / np.sqrt(runs.full_runs)
            full = runs.full + error * rng.standard_t(runs.freedom, DRAWS)
        start = means[:, 0] if of_way else 0.0
        some, later = _crossings(runs.dims, means, start + share * (full - start))
        low = np.quantile(np.where(np.isnan(some), np.inf, some), 0.025, method="lower")
        high = np.quantile(np.where(np.isnan(later), np.inf, later), 0.975, method="higher")
        how = f"{DRAWS:,} draws of the means (Student's t, deviations of repeats pooled), and the dimensions between"
    is_open = not np.isfinite(high)
    beyond = float(runs.size or runs.dims[-1])
    least = min(first, low) if np.isfinite(first) else low
    before = runs.dims[runs.dims < least]
    begin = float(before[-1] + 1) if len(before) else float(least)
    return Reached(
        first, begin, beyond if is_open else float(max(high, first)), last, is_open,
        how + (", open above" if is_open and not runs.size else ""),
    )  # fmt: skip


def _crossings(dims: np.ndarray, means: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By row of `means` (r, m): the first of `dims` at the level (r,), and the first from which on all are."""
    enough = means >= (levels - 1e-12 * np.abs(levels))[:, None]  # a tie is no matter of rounding
    after = np.logical_and.accumulate(enough[:, ::-1], axis=1)[:, ::-1]
    first, settled = (np.where(e.any(axis=1), dims[e.argmax(axis=1)], np.nan) for e in (enough, after))
    return first, settled


def band(runs: Runs) -> tuple[np.ndarray, np.ndarray] | None:
    """95 % interval (m,), (m,) of each mean, by Student's t with the pooled deviation."""
    errors = runs.errors()
    if errors is None:
        return None
    half = stdtrit(runs.freedom, 0.975) * errors
    return runs.means - half, runs.means + half


def rising(
    d: np.ndarray, performance: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray, float] | None:
    """Spearman's correlation of d and performance over runs, its null of exchanged runs, and two-sided p; None where
    either is the same for all."""
    if len(d) <= MOST_EXACT:
        exact = spearman(d, performance, rng)
        return None if exact is None else (exact.value, exact.null, exact.p)
    a, b = (midranks(v[:, None])[0][:, 0] - (len(v) + 1) / 2 for v in (d, performance))
    scale = np.sqrt((a @ a) * (b @ b))
    if scale == 0:
        return None
    value, null = float(a @ b / scale), np.array([a @ rng.permutation(b) for _ in range(DRAWS - 1)]) / scale
    return value, null, float(add_one_p(abs(value) - 1e-12, np.abs(null)))
