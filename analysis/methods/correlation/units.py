"""Which units of a tap go together: their correlation matrix, ordered so that groups show.

Pearson's r from float64 moments merged over chunks, or Spearman's from ranks. Average-linkage clustering orders
the units. A cell outside the null band is more than two unrelated units would show.

When it lies: r sees straight-line (Pearson) or rising (Spearman) relations only; two units that are rarely active
correlate through their zeros; a common cause (brightness, token position) makes everything correlate; tokens of
one sample depend on each other, so the null counts samples, not rows. Units that never change have no correlation
and are left out.

The permutation null compares like with like: it is drawn for the very rows whose r is shown, a seeded random subset
above `maximum_rows`. The interval of the largest |r| holds for all pairs together.

Cost: one or two passes, O(n d²) operations and O(d²) memory for d drawn units; Spearman also O(n d ln n) and the
rows in memory.

References: R. A. Fisher (1915) for the null; D. Bonett & T. Wright (2000) for the interval of ranks; Z. Šidák (1967);
Y. Benjamini & Y. Hochberg (1995); Z. Bar-Joseph et al. (2001) for the optimal leaf order.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations, load_matrix
from analysis.arrays import upper
from analysis.compute.correlation.correlations import (
    clustered,
    grouped_moments,
    jackknife_mean_absolute,
    mean_absolute,
    varying_units,
)
from analysis.compute.correlation.pair_tests import (
    PairTests,
    analytic_tests,
    largest_estimate,
    mean_estimate,
    moved_tests,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.moments import Moments
from analysis.compute.statistics.nulls import wilson
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

GROUPS = 10  # of samples, for the jackknife
GROUP_UNITS = 1024  # above, ten matrices would take too much memory
PERMUTATIONS = 20


@dataclass(frozen=True)
class UnitCorrelationParams:
    method: str = param("pearson", "Straight-line (pearson) or rank (spearman) correlation.",
                        choices=("pearson", "spearman"))  # fmt: skip
    maximum_units: int = param(512, "Most units to draw: those with the largest variance.", low=2, high=4096)
    order: str = param("signed", "Group units that rise together (signed), or opposites too (absolute).",
                       choices=("signed", "absolute"))  # fmt: skip
    null: str = param(
        "analytic",
        "Null of a cell: Gaussian units at the number of samples (analytic), or the data with each unit's samples "
        "moved (permutation; needs the tap in memory).",
        choices=("analytic", "permutation"),
    )
    level: float = param(0.05, "False-discovery rate of the marked cells.", low=1e-4, high=0.5)
    maximum_rows: int = param(
        50_000, "Most rows for ranks and permutations; a seeded random subset above.", low=100, high=1_000_000
    )


def unit_correlation(
    activations, params: UnitCorrelationParams = UnitCorrelationParams(), rng=None, progress=no_progress
) -> Matrix:
    """Unit-by-unit correlation of one tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        `values` (d, d) in [-1, 1] without NaN; `row_order` and `linkage` of the clustering; `null_band` the 95 %
        band of a cell for unrelated units; `significant` after Benjamini-Hochberg over all pairs. Estimates: mean
        |r|, largest |r|, share of significant pairs.

    Raises
    ------
    NotEnoughData
        Fewer than four finite rows or samples, or fewer than two units that vary.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    units, notes = varying_units(activations, params.maximum_units, progress, (0.0, 0.2))
    found = _measured(activations, units, params, rng, notes, progress)
    progress(0.7, "testing pairs")
    tested = _tested(found, activations.layout, params, rng, notes, progress)
    r, band = found.r, tested.band
    significant = np.zeros(r.shape, dtype=bool)
    significant[np.triu_indices(len(r), 1)] = tested.q < params.level
    significant |= significant.T
    progress(0.9, "ordering units")
    order, tree = clustered(r, params.order == "absolute")
    names = tuple(str(activations.unit_names[j]) for j in units)
    estimates = _estimates(found, tested, params)
    return Matrix(
        title=f"{params.method.capitalize()} correlation between units of {activations.name}",
        reading=_reading(estimates, band, len(r), params),
        caveats=tuple(notes),
        estimates=estimates,
        values=r,
        row_names=names,
        column_names=names,
        value_name=f"{params.method.capitalize()} r",
        row_order=order,
        column_order=order,
        linkage=tree,
        null_band=(-band, band),
        significant=significant,
        limits=(-1.0, 1.0),
        diverging=True,
    )


@dataclass(frozen=True)
class _Measured:
    """`r` (d, d); `half`-width of the interval of the mean |r|, None where not made; independent `samples`; the
    `rows` (n,) and their values or ranks `x` (n, d) where they had to be in memory."""

    r: np.ndarray
    half: float | None
    samples: int
    rows: np.ndarray | None = None
    x: np.ndarray | None = None


def _measured(activations, units, params, rng, notes, progress) -> _Measured:
    layout, seen, rows, x = activations.layout, Pass(), None, None
    if params.method == "spearman" or params.null == "permutation":
        rows, x = _in_memory(activations, units, params, rng, notes, progress)
        blocks = [(rows, x)]
    else:
        blocks = finite_blocks(activations, seen, progress, "correlating", (0.2, 0.7), units)
    groups = grouped_moments(blocks, layout, GROUPS if len(units) <= GROUP_UNITS else 1)
    whole = functools.reduce(Moments.merge, groups)
    half = jackknife_mean_absolute(groups) if len(groups) == GROUPS else None
    samples = seen.n_samples if rows is None else len(np.unique(layout.sample_of(rows)))
    refuse_few(activations.name, samples, 4, "sample(s) among the rows used")
    if not layout.is_pooled:
        notes.append(
            f"Tokens of one sample depend on each other: the null and the tests count {samples:,} samples, not "
            f"{whole.n:,} rows, and are on the cautious side."
        )
    return _Measured(whole.correlation(), half, samples, rows, x)


def _in_memory(activations, units, params, rng, notes, progress):
    """Row numbers (n,) and values or midranks (n, d) of the chosen units, at most `maximum_rows` finite rows."""
    progress(0.3, "reading")
    loaded = load_matrix(activations, maximum_rows=params.maximum_rows, minimum_rows=4, rng=rng)
    if loaded.is_sampled:
        notes.append(f"A random {len(loaded.rows):,} of {loaded.n_total:,} rows used.")
    x = np.asarray(loaded.values[:, units], dtype=np.float64)
    if params.method == "spearman":
        progress(0.4, "ranking")
        x = midranks(x)[0]
    return loaded.rows, x


def _tested(found: _Measured, layout, params, rng, notes, progress) -> PairTests:
    if params.null == "analytic":
        return analytic_tests(found.r, found.samples)
    notes.append(f"Null from {PERMUTATIONS} moves of the samples, pooled over all pairs.")
    return moved_tests(found.r, found.x, layout, found.rows, PERMUTATIONS, rng, progress, (0.7, 0.9))


def _estimates(found: _Measured, tested: PairTests, params) -> tuple[Estimate, ...]:
    r, samples = found.r, found.samples
    d, pairs = len(r), np.abs(upper(r))
    common = {"n": samples, "d": d, "estimator": params.method}
    share = float((tested.q < params.level).mean())
    low, high = wilson(share * d, d)
    return (
        mean_estimate(mean_absolute(r), found.half, len(pairs), samples, tested, common),
        largest_estimate(upper(r)[pairs.argmax()], len(pairs), samples, common, tested.largest),
        Estimate(f"share of pairs with q < {params.level:g}", share, low, high, interval="Wilson, units as draws",
                 null=0.0, null_method="false-discovery control", **common),
    )  # fmt: skip


def _reading(estimates, band: float, d: int, params) -> str:
    mean, top, share = estimates
    blocks = " Blocks on the diagonal are groups of units that say the same thing." if share.value > 0 else ""
    return (
        f"{share.value:.0%} of the pairs of the {d} units correlate beyond chance (false-discovery rate "
        f"{params.level:g}). A cell within ±{band:.3f} is what unrelated units show; the mean |r| is {mean.value:.3f} "
        f"against {mean.null:.3f} by chance, the strongest pair {top.value:.2f}.{blocks}"
    )


def _cost(shapes, params: UnitCorrelationParams) -> Cost:
    (n, d), m = shapes[0], machine()
    u = min(d, params.maximum_units)
    count = GROUPS if u <= GROUP_UNITS else 1
    flops = 2.0 * n * u * u + 3.0 * count * u * u * 10
    memory = (count + 12) * u * u * 8 + min(n, 4096) * d * 8 * 4
    if params.null == "permutation" or params.method == "spearman":
        rows = min(n, params.maximum_rows)
        memory += rows * (d * 4 + u * 24)
        flops += (PERMUTATIONS * 2.0 * rows * u * u + rows * u * 500) * (params.null == "permutation")
    seconds = m.seconds(flops64=flops, moved=n * d * 140.0 + u * u * 900.0) + (u <= 512) * u**2 * 1.5e-6
    return Cost(seconds + 0.01, memory)


def _check() -> tuple[CheckLine, ...]:
    """Two planted groups with r = 0.6 and -0.6 between their halves; noise has the closed-form mean |r|."""
    rng = np.random.default_rng(6)
    n = 4000
    source = rng.standard_normal((n, 2))
    x = np.sqrt(0.6) * np.repeat(source, 6, axis=1) + np.sqrt(0.4) * rng.standard_normal((n, 12))
    x[:, 3:6] *= -1
    x = np.hstack([x[:, ::2], x[:, 1::2], np.ones((n, 1))]) * 7 + 1e4
    found = unit_correlation(x, UnitCorrelationParams(order="absolute"))
    noise = unit_correlation(rng.standard_normal((500, 40)))
    group = np.array([0, 0, 0, 1, 1, 1] * 2)[found.row_order]
    inside = np.abs(found.values[np.ix_([0, 1], [0, 1])][0, 1])
    return (
        CheckLine("planted |r|", 0.6, float(inside), 0.04),
        CheckLine("opposite sign", -1.0, float(np.sign(found.values[0, 2])), 0.0),
        CheckLine("groups are contiguous (changes)", 1.0, float((np.diff(group) != 0).sum()), 0.0),
        CheckLine("constant unit left out", 12.0, float(len(found.values)), 0.0),
        CheckLine(
            "noise: mean |r| against √(2 / πn)", np.sqrt(2 / np.pi / 500), noise.estimates[0].value, 0.004
        ),
        CheckLine("noise: significant pairs", 0.0, noise.estimates[2].value, 0.01),
    )


METHODS = (
    Method(
        id="unit_correlation",
        family="correlation",
        title="Unit correlation",
        summary="Which units of a tap go together, ordered so that groups show.",
        version=2,
        function=unit_correlation,
        params=UnitCorrelationParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="shifting or rescaling any unit changes nothing but its sign; Spearman: any rising function",
    ),
)
