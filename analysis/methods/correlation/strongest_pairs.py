"""The unit pairs of a tap that correlate most, from all pairs, whatever the width of the tap.

Pearson's r of every pair from float64 cross-moments; only the strongest are kept. Up to 4,096 units the whole
matrix is one pass; above, pairs of blocks of 4,096 units are done one after the other, a pass each.

When it lies: as for the correlation matrix; and the strongest of millions of pairs is large even for unrelated
units, so its null is that of the largest pair. The q-values use the listed pairs among all pairs made and are upper
bounds. An interval in the table holds its pair fixed; that of the largest |r| holds for all pairs together.

Cost: O(n d²) operations, ⌈d / 4096⌉ (⌈d / 4096⌉ + 1) / 2 passes, memory O(min(d, 4096)²).

References: R. A. Fisher (1915); Y. Benjamini & Y. Hochberg (1995); Z. Šidák (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.correlations import (
    correlatable_units,
    correlation_p,
    fisher_interval,
    null_quantile,
)
from analysis.compute.machine import machine
from analysis.compute.moments import CrossMoments, UnitMoments
from analysis.compute.multiple_testing import benjamini_hochberg, sidak
from analysis.compute.pair_tests import largest_estimate
from analysis.compute.streaming import finite_blocks
from analysis.errors import TooLarge
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

BLOCK = 4096
MOST_UNITS = 32_768

HELP = {
    "unit a": "number of the first unit",
    "unit b": "number of the second unit",
    "name a": "its name",
    "name b": "its name",
    "r": "Pearson correlation over the rows",
    "|r|": "its size",
    "low": "lower end of the 95 % interval (Fisher), samples as independent",
    "high": "upper end of the 95 % interval (Fisher), samples as independent",
    "p": "chance of such an |r| for one pair of unrelated units",
    "p of the largest": "chance that the largest of all pairs reaches it, were all units unrelated",
    "q": "false-discovery rate among all pairs (upper bound)",
}


@dataclass(frozen=True)
class StrongestPairsParams:
    pairs: int = param(100, "Pairs to list.", low=1, high=10_000)
    sign: str = param("both", "Which pairs: rising together, opposite, or both.",
                      choices=("both", "positive", "negative"))  # fmt: skip


def strongest_pairs(
    activations, params: StrongestPairsParams = StrongestPairsParams(), rng=None, progress=no_progress
) -> Table:
    """The most correlated unit pairs.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        One line per pair, strongest first; see `HELP`. Estimates: the largest |r| and how many listed pairs have
        q < 0.05.

    Raises
    ------
    NotEnoughData
        Fewer than four finite rows or samples, or two units that vary.
    TooLarge
        More than 32,768 units.
    """
    activations = as_activations(activations)
    d = activations.shape[1]
    if d > MOST_UNITS:
        raise TooLarge(
            f"{activations.name} has {d:,} units", f"at most {MOST_UNITS:,}", "Choose a narrower tap"
        )
    moments, units, seen = correlatable_units(activations, progress, (0.0, 0.2))
    samples = seen.n_samples
    a, b, r = _strongest(activations, moments, units, params, progress)
    total = len(units) * (len(units) - 1) // 2
    columns = _columns(activations, a, b, r, samples, total)
    return Table(
        title=f"Strongest unit pairs of {activations.name}",
        reading=(
            f"Of {total:,} pairs, {int((columns['q'] < 0.05).sum())} of the {len(r)} listed correlate beyond chance "
            f"(q < 0.05). The strongest has |r| = {abs(r[0]) if len(r) else 0:.3f}; the largest of as many unrelated "
            f"pairs would reach {null_quantile(samples, 0.5 ** (1 / total)):.3f}."
        ),
        caveats=(*seen.notes, *_caveats(activations, d, units, samples, moments.n)),
        estimates=_estimates(columns, samples, total, len(units)),
        columns=columns,
        index="pair",
        sort="|r|",
        help=HELP,
    )


def _strongest(activations, moments: UnitMoments, units: np.ndarray, params, progress):
    """Unit numbers and r of the strongest pairs, falling by |r|, ties by unit number."""
    scale = np.sqrt(moments.m2)
    starts = list(range(0, len(units), BLOCK))
    jobs = [(i, j) for i in starts for j in starts if i <= j]
    best = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    for done, (i, j) in enumerate(jobs):
        left, right = units[i : i + BLOCK], units[j : j + BLOCK]
        span = (0.2 + 0.8 * done / len(jobs), 0.2 + 0.8 * (done + 1) / len(jobs))
        r = _cross(activations, left, right, progress, span).cross
        r /= scale[left][:, None]
        r /= scale[right]
        if i == j:
            r[np.tril_indices(len(left))] = np.nan  # each pair once, no unit with itself
        best = _keep(best, left, right, np.clip(r, -1.0, 1.0, out=r), params)
    return best


def _cross(activations, left, right, progress, span) -> CrossMoments:
    total = None
    for _, block in finite_blocks(activations, None, progress, "correlating", span):
        part = CrossMoments.of(block[:, left], block[:, right])
        total = part if total is None else total.merge(part)
    return total


def _keep(best, left, right, r, params):
    """The strongest pairs of `best` and of the block `r` together."""
    score = {"both": np.abs(r), "positive": r, "negative": -r}[params.sign].ravel()
    score = np.where(np.isnan(score), -np.inf, score)
    if len(score) > params.pairs:
        cut = np.partition(score, len(score) - params.pairs)[len(score) - params.pairs]
        cut = max(cut, np.nextafter(0, 1))
        # all above the cut, and of the many that may tie with it only as many as could be listed
        flat = np.append(np.flatnonzero(score > cut), np.flatnonzero(score == cut)[: params.pairs])
    else:
        flat = np.flatnonzero(score > 0)
    rows, columns = np.divmod(flat, r.shape[1])
    a, b = np.append(best[0], left[rows]), np.append(best[1], right[columns])
    values = np.append(best[2], r.ravel()[flat])
    order = np.lexsort((b, a, -np.abs(values)))[: params.pairs]
    return a[order], b[order], values[order]


def _columns(activations, a, b, r, samples: int, total: int) -> dict[str, np.ndarray]:
    names = np.array(activations.unit_names, dtype=str)
    p, (low, high) = correlation_p(r, samples), fisher_interval(r, samples)
    return {
        "unit a": a,
        "unit b": b,
        "name a": names[a],
        "name b": names[b],
        "r": r,
        "|r|": np.abs(r),
        "low": low,
        "high": high,
        "p": p,
        "p of the largest": sidak(p, total),
        "q": benjamini_hochberg(p, tests=total),
    }


def _estimates(columns, samples: int, total: int, d: int) -> tuple[Estimate, ...]:
    if not len(columns["r"]):
        return ()
    common = {"n": samples, "d": d, "estimator": "pearson"}
    return (
        largest_estimate(columns["r"][0], total, samples, common, p=float(columns["p of the largest"][0])),
        Estimate("listed pairs with q < 0.05", float((columns["q"] < 0.05).sum()), null=0.0, unit="pairs",
                 null_method="false-discovery control", **common),
    )  # fmt: skip


def _caveats(activations, d: int, units, samples: int, n: int) -> list[str]:
    notes = []
    if len(units) < d:
        notes.append(f"{d - len(units)} constant unit(s) have no correlation and are left out.")
    if samples < n:
        notes.append(f"Tests and intervals count {samples:,} samples, not {n:,} dependent rows.")
    notes.append("Gaussian null: for rarely active units a few shared rows make a large r.")
    return notes


def _cost(shapes, params: StrongestPairsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    block, blocks = min(d, BLOCK), -(-d // BLOCK)
    passes = blocks * (blocks + 1) / 2
    memory = 7 * block**2 * 8 + min(n, 4096) * (d * 8 + block * 8 * 4)
    return Cost(
        m.seconds(flops64=2.0 * n * block**2 * passes, moved=n * d * 250 + passes * block**2 * 600), memory
    )


def _check() -> tuple[CheckLine, ...]:
    """A planted pair is first with its r; all pairs agree with NumPy; noise stays below its largest null."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((800, 30))
    x[:, 21] = -0.8 * x[:, 4] + 0.6 * rng.standard_normal(800)
    found = strongest_pairs(x + 1e5, StrongestPairsParams(pairs=435)).columns
    expected = np.corrcoef(x, rowvar=False)
    noise = strongest_pairs(rng.standard_normal((800, 30)))
    gap = np.abs(found["r"] - expected[found["unit a"], found["unit b"]]).max()
    return (
        CheckLine("first pair", 421.0, float(found["unit a"][0] * 100 + found["unit b"][0]), 0.0),
        CheckLine("its r", -0.8, float(found["r"][0]), 0.05),
        CheckLine("pairs listed", 435.0, float(len(found["r"])), 0.0),
        CheckLine("largest difference from numpy.corrcoef", 0.0, float(gap), 1e-10),
        CheckLine("noise: largest |r| at most", noise.estimates[0].null_high * 1.15, noise.estimates[0].value, 0.0,
                  "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="strongest_pairs",
        family="correlation",
        title="Strongest pairs",
        summary="The unit pairs that correlate most, from all pairs of a tap.",
        version=2,
        function=strongest_pairs,
        params=StrongestPairsParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="shifting or rescaling any unit changes nothing but the sign of its pairs",
    ),
)
