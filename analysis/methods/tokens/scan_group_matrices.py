"""Do base and novel classes scan in different patterns? The matrix of a selective scan, averaged by group of classes.

    P_i[t, s]    share of what token t reads that it reads of s, in sample i: |M| over its row sum, M the scan unrolled
    drawn        mean of P over the novel classes less that over the base classes; or either mean
    apart        mean over tokens t of ½ Σ_s |novel - base|, the total variation of what a token reads: 0 where both
                 groups scan alike, 1 where they read nothing in common

Δ, B and C of a selective scan depend on the input and are captured while the network runs; the mean over up to 16
channels of one layer is shown. Of a tap that belongs to no network of scans its rows are scanned instead, forgetting
half in eight tokens.

Interval: of what is apart the jackknife over groups of samples; of distances Student's t over samples, of their
difference Welch's. Null:
groups exchanged between samples; a cell is marked where it leaves it at 5 % false discoveries.

When it lies: two means of finitely many samples are always somewhat apart, which the null says and the number does not;
|M| is without the gate, the skip and the values; classes whose content lies elsewhere in the image differ here although
the scan treats all content alike.

Cost: one pass of each sample; O(T² N) for each channel; exchanges O(n T²) each, of at most 64 x 64 cells.

References: X. Li et al. (2024), "Mamba-FSCIL: dynamic adaptation with selective state space model for few-shot
class-incremental learning"; A. Ali, I. Zimerman & L. Wolf (2024), "The hidden attention of Mamba models".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.two_groups import two_groups
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval
from analysis.compute.statistics.two_means import welch_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.scan_matrices import FEWEST, SHOWN, ScanMatrices, scan_matrices
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING, LEVEL = 6.0, 0.05
APART, BASE, NOVEL = "novel less base", "base classes", "novel classes"
EXCHANGED = "groups exchanged between samples"


@dataclass(frozen=True)
class ScanGroupMatricesParams:
    measure: str = param(APART, "Which matrix is drawn.", choices=(APART, BASE, NOVEL))
    layer: int | None = param(
        None, "Which scan, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    novel: str = param("", "The novel classes, with commas; empty: the later half of all in order.")
    column: str = param("label", "Sample column of classes.", column=True)
    exchanges: int = param(200, "Exchanges of groups.", low=39, high=5000, late=True)
    maximum_samples: int = param(
        64, "Most samples; a seeded random subset above.", low=6, high=5000, late=True
    )
    source: str = param(
        AUTOMATIC,
        "Whose scans: captured of the network, or of the recorded rows.",
        choices=SOURCES,
        late=True,
    )


def scan_group_matrices(
    activations, params: ScanGroupMatricesParams = ScanGroupMatricesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Scans of base and novel classes as matrices.

    Parameters
    ----------
    activations : Activations with the class column
        Any tap of a network of selective scans that can be run again; otherwise its rows are scanned.

    Returns
    -------
    Matrix
        Rows read, columns are read; above 64 tokens neighbours together. Estimates: how far apart the groups are, and
        how far each reads.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such column, class or layer; fewer than three samples of a group; over 1,024 tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sample_column(tap, params.column)
    found = scan_matrices(tap, params.maximum_samples, params.layer, params.source, rng, progress)
    groups = two_groups(tap, params.column, params.novel, found.samples)
    x, far = found.shares[groups.stay].reshape(groups.stay.sum(), -1), found.far[groups.stay]
    progress(0.8, "exchanging groups")
    null = np.array([less(x, rng.permutation(groups.second)) for _ in range(params.exchanges)])
    own = less(x, groups.second)
    told = _estimates(found, x, far, groups.second, null, rng)
    progress(1.0, "done")
    return _drawn(found, groups, x, own, null, told, params)


def less(x: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(cells,) mean of the second group less that of the first, of x (n, cells)."""
    return x[second].mean(axis=0) - x[~second].mean(axis=0)


def apart(difference: np.ndarray) -> np.ndarray:
    """Total variation of rows, their mean, of differences (…, T * T) of matrices whose rows sum to 1."""
    side = round(difference.shape[-1] ** 0.5)
    return 0.5 * np.abs(difference).reshape(*difference.shape[:-1], side, side).sum(axis=-1).mean(axis=-1)


def _estimates(found: ScanMatrices, x, far, second, null, rng) -> tuple[Estimate, ...]:
    n, d = len(x), found.tokens
    value, of = float(apart(less(x, second))), groups_of(n, rng)
    without = [apart(less(x[of != g], second[of != g])) for g in range(of.max() + 1)
               if min(second[of != g].sum(), (~second[of != g]).sum()) > 0]  # fmt: skip
    half = jackknife_half(np.array(without))
    ends = {"interval": "none: too few samples"} if half is None else {
        "low": max(value - float(half), 0.0), "high": min(value + float(half), 1.0),
        "interval": "jackknife over groups of samples"}  # fmt: skip
    moved = [
        float(far[s].mean() - far[~s].mean()) for s in (rng.permutation(second) for _ in range(len(null)))
    ]
    gap = float(far[second].mean() - far[~second].mean())
    p = (1 + (np.abs(moved) >= abs(gap) - 1e-15).sum()) / (1 + len(moved))
    return (
        Estimate("apart", value, **ends, **against(value, apart(null)), null_method=EXCHANGED, n=n, d=d,
                 estimator="total variation of what a token reads, mean over tokens"),
        Estimate("distance read from, novel less base", gap, **welch_interval(far[second], far[~second]),
                 **null_spread(np.array(moved)), p_value=float(p), null_method=EXCHANGED, n=n, d=d, unit="tokens",
                 estimator="difference of means over samples"),
        *(Estimate(f"distance read from, {name}", float(far[of_it].mean()), null=found.even, n=int(of_it.sum()), d=d,
                   null_method="all that is readable, alike", unit="tokens", **mean_interval(far[of_it], 0.0),
                   estimator="Σ P |t - s|, mean over tokens and samples")
          for name, of_it in ((BASE, ~second), (NOVEL, second))),
    )  # fmt: skip


def fewest_marked(tests: int, exchanges: int) -> int:
    """How many of so many cells have to leave the null together for any to be marked: the k-th smallest of m p-values
    counts up to k / m of the level, and none is below 1 / (1 + exchanges)."""
    return max(ceil(tests / (LEVEL * (1 + exchanges)) - 1e-9), 1)


def _drawn(found: ScanMatrices, groups, x, own, null, told, params) -> Matrix:
    side, second = len(found.starts), groups.second
    p = (1 + (np.abs(null) >= np.abs(own) - 1e-15).sum(axis=0)) / (1 + len(null))
    read = np.abs(x).sum(axis=0) > 0  # cells that nothing may read are no tests
    sure = np.zeros(len(p), bool)
    sure[read] = benjamini_hochberg(p[read]) <= LEVEL
    values = {APART: own, BASE: x[~second].mean(axis=0), NOVEL: x[second].mean(axis=0)}[params.measure]
    wide = found.tokens > side
    names = tuple(f"{s} …" if wide else f"{s}" for s in found.starts)
    by = told[0]
    said = [
        f"Novel classes: {', '.join(groups.names)}.",
        f"{len(x)} samples, {int(second.sum())} of them novel.",
    ]
    few = fewest_marked(int(read.sum()), len(null))
    if few > 1 and params.measure == APART:
        said.append(
            f"With {len(null)} exchanges p is at least {1 / (1 + len(null)):.2g}: fewer than {few} cells cannot be "
            "marked."
        )
    if wide:
        said.append(f"Neighbours of {found.tokens:,} tokens are drawn together, at most {SHOWN}.")
    return Matrix(
        title=f"What tokens read, {params.measure}: {found.what}, {found.layer}", values=values.reshape(side, side),
        row_names=names, column_names=names, value_name=f"share read, {params.measure}",
        diverging=params.measure == APART, significant=sure.reshape(side, side) if params.measure == APART else None,
        null=null.mean(axis=0).reshape(side, side) if params.measure == APART else None, estimates=told,
        reading=f"What a token reads is {by.value:.1%} apart between novel and base classes ({by.null:.1%} where they "
        f"are exchanged, p = {by.p_value:.2g}); {int(sure.sum())} of {int(read.sum())} cells differ beyond that. Novel "
        f"classes read {abs(told[1].value):.2g} tokens {'farther' if told[1].value > 0 else 'nearer'} "
        f"(p = {told[1].p_value:.2g}).",
        caveats=(*found.notes, *groups.notes, *said),
    )  # fmt: skip


def _cost(shapes, params: ScanGroupMatricesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    cells = min(n / max(some, 1), SHOWN) ** 2
    draws = m.seconds(moved=16.0 * some * cells * params.exchanges, calls=20.0 * params.exchanges)
    held = 26.0 * n * k + 9.0 * 17 * n + 8.0 * cells * (params.exchanges * 3 + some * 2) + 2e6
    return Cost(OPENING + draws + m.seconds(moved=30.0 * n * k), held, some)


def _check() -> tuple[CheckLine, ...]:
    """Rows that are alike are read alike but for what is forgotten; novel samples whose first token alone is unlike
    read it less; the same scans in both groups are not apart beyond exchanged groups."""
    rng = np.random.default_rng(0)
    label, layout = np.arange(40) % 4, Layout(np.arange(41) * 6)

    def told(x, **more):
        tap = ArrayActivations(x.reshape(-1, 8), "rows", {"label": label}, layout)
        return scan_group_matrices(tap, ScanGroupMatricesParams(exchanges=99, **more))

    free = rng.standard_normal((40, 6, 8))
    moved = free.copy()
    moved[label >= 2, 1:] = moved[label >= 2, 1:2] + 0.1 * free[label >= 2, 1:]
    none, own = told(free), told(moved)
    base = told(moved, measure=BASE)
    left, right = np.eye(2).ravel(), np.eye(2)[::-1].ravel()
    return (
        CheckLine("matrices with nothing in common: apart", 1.0, float(apart(left - right)), 1e-12),
        CheckLine("rows of a mean matrix add up", 1.0, float(base.values.sum(axis=1).min()), 1e-9),
        CheckLine("scans alike: p", 0.02, none.estimates[0].p_value, 0.0, "at least"),
        CheckLine("scans unlike: p", 0.01, own.estimates[0].p_value, 1e-9),
        CheckLine("and cells are marked", 1.0, float(own.significant.sum()), 0.0, "at least"),
        CheckLine("nothing reads ahead", 0.0, float(np.abs(np.triu(own.values, 1)).max()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="scan_group_matrices", family="tokens", title="Scan matrices of base and novel classes", version=2,
        function=scan_group_matrices,
        summary="What tokens read in a selective scan, by group of classes, cell by cell beside exchanged groups.",
        params=ScanGroupMatricesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of samples; one factor of all that a token reads",
        papers=("Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
                "Learning",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
