"""The unit pairs of a tap that correlate most, from all pairs, whatever the width of the tap.

Pearson's r of every pair; only the strongest are kept. Up to 1,024 units from float64 cross-moments in one pass after
that for the moments; above, float32 chunks added up in float64 and checked (`compute.correlation.pair_sums`), one pass
up to 4,096 units, then one for each panel of units.

When it lies: as for the correlation matrix; and the strongest of millions of pairs is large even for unrelated
units, so its null is that of the largest pair. The q-values use the listed pairs among all pairs made and are upper
bounds. An interval in the table holds its pair fixed; that of the largest |r| holds for all pairs together.

Cost: O(n d²) operations; memory up to about a gigabyte and a half beside the tap's own chunks, whatever its width.

References: R. A. Fisher (1915); Y. Benjamini & Y. Hochberg (1995); Z. Šidák (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.correlation.correlations import correlatable_units, null_quantile
from analysis.compute.correlation.drawing_order import EXACT
from analysis.compute.correlation.pair_list import HELP, pair_caveats, pair_columns, pair_estimates
from analysis.compute.correlation.pair_sums import CHUNK_VALUES, PRECISE
from analysis.compute.correlation.strongest import Strongest, StrongestFound, strongest
from analysis.compute.machine import machine
from analysis.compute.rows.tap_rows import TapRows
from analysis.compute.statistics.moments import CrossMoments
from analysis.compute.streaming import finite_blocks
from analysis.errors import TooLarge
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

BLOCK = 4096
MOST_UNITS = 32_768


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
        One line per pair, strongest first; see `compute.correlation.pair_list.HELP`. Estimates: the largest |r| and how
        many listed pairs have q < 0.05.

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
    found = (_few if d <= PRECISE else _many)(activations, params, progress)
    samples, units, r = found.samples, found.units[0], found.r
    total = units * (units - 1) // 2
    columns = pair_columns((activations, activations), found, total)
    return Table(
        title=f"Strongest unit pairs of {activations.name}",
        reading=(
            f"Of {total:,} pairs, {int((columns['q'] < 0.05).sum())} of the {len(r)} listed correlate beyond chance "
            f"(q < 0.05). The strongest has |r| = {abs(r[0]) if len(r) else 0:.3f}; the largest of as many unrelated "
            f"pairs would reach {null_quantile(samples, 0.5 ** (1 / total)):.3f}."
        ),
        caveats=(*found.notes, *_caveats(d, found)),
        estimates=pair_estimates(columns, samples, total, units),
        columns=columns,
        index="pair",
        sort="|r|",
        help=HELP,
    )


def _many(activations, params, progress) -> StrongestFound:
    return strongest(TapRows((activations,)), params.pairs, params.sign, progress)


def _few(activations, params, progress) -> StrongestFound:
    """In float64 throughout: moments, then cross-moments of blocks of units."""
    moments, units, seen = correlatable_units(activations, progress, (0.0, 0.2))
    scale, best = np.sqrt(moments.m2), Strongest(params.pairs, params.sign)
    starts = list(range(0, len(units), BLOCK))
    jobs = [(i, j) for i in starts for j in starts if i <= j]
    for done, (i, j) in enumerate(jobs):
        left, right = units[i : i + BLOCK], units[j : j + BLOCK]
        span = (0.2 + 0.8 * done / len(jobs), 0.2 + 0.8 * (done + 1) / len(jobs))
        r = _cross(activations, left, right, progress, span).cross
        r /= scale[left][:, None]
        r /= scale[right]
        if i == j:
            r[np.tril_indices(len(left))] = np.nan  # each pair once, no unit with itself
        best.add(left, right, np.clip(r, -1.0, 1.0, out=r))
    return StrongestFound(*best.found(), (len(units),) * 2, moments.n, seen.n_samples, 0.0, seen.notes)


def _cross(activations, left, right, progress, span) -> CrossMoments:
    total = None
    for _, block in finite_blocks(activations, None, progress, "correlating", span):
        part = CrossMoments.of(block[:, left], block[:, right])
        total = part if total is None else total.merge(part)
    return total


def _caveats(d: int, found: StrongestFound) -> list[str]:
    notes = []
    if found.units[0] < d:
        notes.append(f"{d - found.units[0]} constant unit(s) have no correlation and are left out.")
    return notes + pair_caveats(found)


def _cost(shapes, params: StrongestPairsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    if d <= PRECISE:
        memory = 7 * d**2 * 8 + min(n, 4096) * d * 40
        return Cost(m.seconds(flops64=2.0 * n * d**2, moved=n * d * 250 + d**2 * 600), memory)
    panels, height = -(-d // EXACT), min(d, EXACT)
    memory = 12.0 * height * d + min(n, CHUNK_VALUES // d) * d * 12.0 + 3e8
    flops = n * d * (d + height) if panels > 1 else n * d * d
    return Cost(m.seconds(flops32=1.0 * flops, moved=n * d * 60.0 * panels + d * d * 100.0), memory)


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
        version=3,
        function=strongest_pairs,
        params=StrongestPairsParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="shifting or rescaling any unit changes nothing but the sign of its pairs",
    ),
)
