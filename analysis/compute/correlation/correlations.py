"""Correlations between units: null distribution, tests, and drawing order."""

from __future__ import annotations

import functools

import numpy as np
from scipy.special import betaln, stdtr, stdtrit  # scipy.stats would cost half a second of start-up

from analysis.activations import Activations, Layout
from analysis.arrays import upper
from analysis.compute.statistics.moments import Moments, UnitMoments, unit_moments_of
from analysis.compute.statistics.multiple_testing import simultaneous_z
from analysis.compute.statistics.nulls import moved_samples
from analysis.compute.streaming import Pass, refuse_few
from analysis.spec import Progress, no_progress


def null_quantile(n: int, probability: float) -> float:
    """|r| that two unrelated Gaussian units stay below with the given probability at n independent samples.

    From r √((n - 2) / (1 - r²)) ~ Student t with n - 2 degrees of freedom; 1 for n <= 2.
    """
    if n <= 2:
        return 1.0
    t = -stdtrit(n - 2, (1 - probability) / 2)
    return float(t / np.sqrt(n - 2 + t * t))


def correlation_p(r: np.ndarray, n: int) -> np.ndarray:
    """Two-sided p-values of r against 0 at n independent samples, by the same t distribution. Exact for tiny p."""
    r = np.clip(np.abs(r), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        t = r * np.sqrt((n - 2) / (1 - r * r))
    return np.minimum(2 * stdtr(n - 2, -t), 1.0)


def fisher_interval(
    r: np.ndarray, n: int, *, pairs: int = 1, ranks: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval (low, high) of r at n independent samples, through artanh (Fisher 1915).

    `pairs` > 1: wide enough to hold for the strongest of so many pairs. `ranks`: r is Spearman's, whose artanh has
    variance (1 + r² / 2) / (n - 3) (Bonett & Wright 2000).
    """
    r = np.clip(r, -1 + 1e-15, 1 - 1e-15)
    half = simultaneous_z(pairs) * np.sqrt((1 + r * r / 2 if ranks else 1.0) / max(n - 3, 1))
    return np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)


def absolute_interval(low: float, high: float) -> tuple[float, float]:
    """The interval of |r| from that of r (or of any signed effect)."""
    ends = sorted((abs(float(low)), abs(float(high))))
    return (0.0, ends[1]) if low < 0 < high else (ends[0], ends[1])


def mean_absolute_null(n: int) -> float:
    """Mean |r| of unrelated Gaussian units: 1 / ((n - 2) B(1/2, (n - 2) / 2) / 2), about √(2 / (π n))."""
    return float(np.exp(np.log(2.0) - np.log(n - 2.0) - betaln(0.5, (n - 2) / 2.0)))


def mean_absolute(r: np.ndarray) -> float:
    """Mean |r| over the pairs of different units."""
    d = len(r)
    return float((np.abs(r).sum() - np.abs(np.diag(r)).sum()) / (d * (d - 1)))


def jackknife_mean_absolute(groups: list[Moments]) -> float:
    """Half-width of the 95 % interval of the mean |r|, leaving out one group of samples at a time.

    Time O(groups² d²).
    """
    count, values = len(groups), []
    for left_out in range(count):
        rest = functools.reduce(Moments.merge, groups[:left_out] + groups[left_out + 1 :])
        values.append(mean_absolute(rest.correlation()))
    error = np.sqrt((count - 1) * np.var(values))
    return float(stdtrit(count - 1, 0.975) * error)


def clustered(r: np.ndarray, absolute: bool) -> tuple[np.ndarray, np.ndarray]:
    """Drawing order (d,) and SciPy linkage (d - 1, 4) by average linkage on 1 - r (or 1 - |r|).

    Leaves are ordered optimally up to 512 units (cubic time), above as the tree gives them. Time O(d²).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    distance = upper(1.0 - (np.abs(r) if absolute else r))
    tree = linkage(np.maximum(distance, 0.0), method="average", optimal_ordering=len(r) <= 512)
    return leaves_list(tree).astype(np.int64), tree


def correlatable_units(
    activations: Activations, progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0)
) -> tuple[UnitMoments, np.ndarray, Pass]:
    """Moments of all units, the numbers of those that vary, and the pass that saw them. One pass, O(n d).

    Raises NotEnoughData below four finite rows or samples, or two units that vary.
    """
    seen = Pass()
    moments = unit_moments_of(activations, seen, progress, span)
    refuse_few(activations.name, moments.n if moments else 0, 4)
    refuse_few(activations.name, seen.n_samples, 4, "sample(s) with finite values")
    units = np.flatnonzero(moments.varies())
    refuse_few(activations.name, len(units), 2, "unit(s) that vary")
    return moments, units, seen


def varying_units(
    activations: Activations,
    maximum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> tuple[np.ndarray, list[str]]:
    """The units that vary, at most `maximum` (those with the largest variance), and in words what was left out.

    Raises NotEnoughData below four finite rows or samples, or two units that vary. One pass, O(n d).
    """
    moments, varies, seen = correlatable_units(activations, progress, span)
    notes, d = list(seen.notes), activations.shape[1]
    if len(varies) < d:
        notes.append(f"{d - len(varies)} constant unit(s) have no correlation and are left out.")
    units = varies
    if len(varies) > maximum:
        by_variance = np.argsort(-moments.variance[varies], kind="stable")
        units = np.sort(varies[by_variance[:maximum]])
        notes.append(f"The {len(units)} units with the largest variance of {len(varies)} shown.")
    return units, notes


def grouped_moments(blocks, layout, count: int) -> list[Moments]:
    """Moments of `count` groups of samples (sample number modulo count), those that have any row."""
    groups: list[Moments | None] = [None] * count
    for rows, block in blocks:
        group = layout.sample_of(rows) % count
        for g in range(count):
            mine = block if count == 1 else block[group == g]
            if len(mine):
                part = Moments.of(mine)
                groups[g] = part if groups[g] is None else groups[g].merge(part)
    return [g for g in groups if g is not None]


def moved_correlations(
    x: np.ndarray, layout: Layout, rows: np.ndarray, draws: int, rng, progress, span
) -> tuple[np.ndarray, np.ndarray]:
    """|r| of all pairs when every unit's samples are moved on their own: pooled and sorted, and the largest of each
    move (draws,).

    `x` (n, d) are the values (or ranks) at the `rows` (n,) of the tap. Time O(draws n d²), memory O(draws d²).
    """
    counts = np.bincount(layout.sample_of(rows), minlength=layout.n_samples)
    offsets = np.concatenate([[0], np.cumsum(counts[counts > 0])])
    found = []
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "moving samples")
        found.append(np.abs(upper(Moments.of(moved_samples(x, rng, offsets)).correlation())))
    return np.sort(np.concatenate(found)), np.array([r.max() for r in found])
