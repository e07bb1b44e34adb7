"""The unit pairs of two taps that correlate most, from all pairs: which unit of the one goes with which of the other.

Pearson's r over the same rows where both taps hold the same tokens of the same samples, else over samples matched by id
with their tokens pooled. Only the strongest pairs are kept; the matrix is never held.

When it lies: as `strongest_pairs` does. A unit may be in many pairs: this is no matching. A common cause (brightness,
position, class) makes units of any two networks correlate; the null is that of unrelated units, not of such a cause.

Cost: O(n p q) operations, a pass for each panel of some thousand units, memory about a gigabyte beside the chunks;
taps of different networks are pooled in memory, at most 4 GiB.

References: R. A. Fisher (1915); Y. Benjamini & Y. Hochberg (1995); Z. Šidák (1967); Y. Li et al. (2016), "Convergent
learning: do different neural networks learn the same representations?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.correlation.correlations import null_quantile
from analysis.compute.correlation.drawing_order import EXACT
from analysis.compute.correlation.pair_list import HELP, pair_caveats, pair_columns, pair_estimates
from analysis.compute.correlation.pair_sums import CHUNK_VALUES, PRECISE
from analysis.compute.correlation.strongest import SIGNS, strongest
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.rows.tap_rows import tap_rows
from analysis.errors import TooLarge
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_UNITS = 32_768


@dataclass(frozen=True)
class StrongestPairsAcrossParams:
    pairs: int = param(100, "Pairs to list.", low=1, high=10_000)
    sign: str = param("both", "Which pairs: rising together, opposite, or both.", choices=SIGNS)
    pooling: str = param(
        "mean", "How tokens become one value, where the taps do not have the same.", choices=("mean", "max")
    )
    maximum_samples: int = param(
        100_000, "Most samples of two networks; a seeded random subset above.", low=50, high=1_000_000
    )


def strongest_pairs_across(
    one,
    other,
    params: StrongestPairsAcrossParams = StrongestPairsAcrossParams(),
    rng=None,
    progress=no_progress,
) -> Table:
    """The most correlated pairs of a unit of `one` with a unit of `other`.

    Parameters
    ----------
    one, other : Activations or arrays (rows, units), of samples in common.

    Returns
    -------
    Table
        One line per pair, strongest first; see `compute.correlation.pair_list.HELP`; units a are of `one`, units b of
        `other`. Estimates: the largest |r| and how many listed pairs have q < 0.05.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        As `compute.rows.tap_rows.tap_rows` does; fewer than four samples, or a tap without a unit that varies; more
        than 32,768 units.
    """
    taps = (as_activations(one), as_activations(other))
    rng = rng or np.random.default_rng(0)
    for tap in taps:
        if tap.shape[1] > MOST_UNITS:
            raise TooLarge(
                f"{tap.name} has {tap.shape[1]:,} units", f"at most {MOST_UNITS:,}", "Choose a narrower tap"
            )
    rows = tap_rows(taps, rng, maximum=params.maximum_samples, pooling=params.pooling, progress=progress)
    found = strongest(rows, params.pairs, params.sign, progress, (0.1, 1.0))
    total = found.units[0] * found.units[1]
    columns, names = pair_columns(taps, found, total), tap_names([tap.name for tap in taps])
    missing = [
        f"{tap.shape[1] - count} constant unit(s) of {name} have no correlation and are left out."
        for tap, count, name in zip(taps, found.units, names, strict=True) if count < tap.shape[1]
    ]  # fmt: skip
    return Table(
        title=f"Strongest unit pairs of {names[0]} and {names[1]}",
        reading=(
            f"Of {total:,} pairs, {int((columns['q'] < 0.05).sum())} of the {len(found.r)} listed correlate beyond "
            f"chance (q < 0.05). The strongest has |r| = {abs(found.r[0]) if len(found.r) else 0:.3f}; the largest of "
            f"as many unrelated pairs would reach {null_quantile(found.samples, 0.5 ** (1 / total)):.3f}. They join "
            f"{len(np.unique(found.a))} units of {names[0]} with {len(np.unique(found.b))} of {names[1]}."
        ),
        caveats=(*rows.notes, *found.notes, *missing, *pair_caveats(found)),
        estimates=pair_estimates(columns, found.samples, total, min(found.units)),
        columns=columns, index="pair", sort="|r|", help=HELP,
    )  # fmt: skip


def _cost(shapes, params: StrongestPairsAcrossParams) -> Cost:
    m, n = machine(), min(rows for rows, _ in shapes)
    p, q = shapes[0][1], shapes[-1][1]
    wide = max(p, q)
    rows = min(n, max(256, min(8192, CHUNK_VALUES // wide)))
    bytes_of, memory = (16, rows * (p + q) * 20.0) if wide <= PRECISE else (12, rows * (p + q) * 8.0 + 3e8)
    panels = -(-p // EXACT)
    seconds = m.seconds(flops64=2.0 * n * p * q, moved=n * (p + q * panels) * 100.0 + p * q * 200.0)
    return Cost(seconds + 0.01, memory + bytes_of * min(p, EXACT) * q + 60.0 * min(p, 256) * q)


def _check() -> tuple[CheckLine, ...]:
    """A copy of a unit under noise is found with its r; all pairs agree with NumPy; noise stays below its largest."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((800, 20)), rng.standard_normal((800, 15))
    y[:, 9] = -0.8 * x[:, 4] + 0.6 * y[:, 9]
    found = strongest_pairs_across(x + 1e5, y * 1e-3, StrongestPairsAcrossParams(pairs=300)).columns
    exact = np.corrcoef(x, y, rowvar=False)[:20, 20:]
    noise = strongest_pairs_across(*rng.standard_normal((2, 800, 20)))
    gap = np.abs(found["r"] - exact[found["unit a"], found["unit b"]]).max()
    return (
        CheckLine("first pair", 409.0, float(found["unit a"][0] * 100 + found["unit b"][0]), 0.0),
        CheckLine("its r", -0.8, float(found["r"][0]), 0.05),
        CheckLine("pairs listed", 300.0, float(len(found["r"])), 0.0),
        CheckLine("largest difference from numpy.corrcoef", 0.0, float(gap), 1e-10),
        CheckLine("noise: largest |r| at most", noise.estimates[0].null_high * 1.15, noise.estimates[0].value, 0.0,
                  "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="strongest_pairs_across",
        family="correlation",
        title="Strongest pairs of two taps",
        summary="The unit pairs of two layers or networks that correlate most, from all pairs.",
        version=1,
        function=strongest_pairs_across,
        params=StrongestPairsAcrossParams,
        result=Table,
        check=_check,
        cost=_cost,
        inputs=2,
        minimum_rows=4,
        invariance="shifting or rescaling any unit changes nothing but the sign of its pairs",
        papers=("Convergent Learning: Do different neural networks learn the same representations?",),
    ),
)
