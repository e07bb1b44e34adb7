"""Which features fire together and which avoid each other? PMI of every pair, pairs that never meet included.

    PMI_ij = log (n_ij n / (n_i n_j))        of n rows, n_i with feature i, n_ij with both

0 for independent features. Lines are ordered by average linkage of Swivel's factors, so that groups that fire together
are blocks; a pair that never meets has at most the PMI of one common row, is drawn with that, and hatched.

Null: each feature's rows drawn anew by themselves: the middle 95 % of PMI is the band by chance.

When it lies: PMI of rare features is noisy; one band for all pairs is too narrow for rare ones and too wide for
frequent ones; a TopK rule makes all features avoid each other a little; tokens of a sample count as independent; in a
tap without zeros active means the highest tenth of a feature's rows.

Cost: O(rows active²) for pairs, 150 steps of O(m² r), O(m²) for each draw.

References: N. Shazeer et al. (2016), "Swivel: improving embeddings by noticing what's missing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.active_features import (
    FEWEST,
    ActivityParams,
    active_features,
    map_cost,
    planted_groups,
)
from analysis.compute.dictionaries.common_rows import moved_rows
from analysis.compute.dictionaries.swivel import counts_of, swivel
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Method, no_progress


@dataclass(frozen=True)
class CoActivationHeatParams(ActivityParams):
    """Which features and rows."""


def co_activation_heat(
    activations, params: CoActivationHeatParams = CoActivationHeatParams(), rng=None, progress=no_progress
) -> Matrix:
    """PMI of every pair of features; pairs that never meet hold that of one common row and are hatched.

    Parameters
    ----------
    activations : Activations or array (rows, features)
        Codes, such as a tap that a feature set encoded.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than sixteen finite rows; fewer than three features that are active often enough.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    rows = active_features(tap, params, rng, progress)
    counts, spread = counts_of(rows.on), []
    own = ~np.eye(len(rows.shown), dtype=bool)
    for draw in range(params.draws):
        progress(0.3 + 0.4 * draw / params.draws, "drawing rows anew")
        spread.append(counts_of(moved_rows(rows.on, rng)).pmi[own])
    progress(0.7, "ordering")
    tree = linkage(swivel(counts, params.rank).places, "average")
    band = np.percentile(spread, [2.5, 97.5])
    pmi, never = counts.pmi, own & (counts.both == 0)
    beyond = float(((pmi[own] < band[0]) | (pmi[own] > band[1])).mean())
    group, off = groups_of(len(pmi), rng), np.where(own, (pmi < band[0]) | (pmi > band[1]), np.nan)
    half = jackknife_half(
        np.array([np.nanmean(off[np.ix_(group != g, group != g)]) for g in np.unique(group)])
    )
    np.fill_diagonal(pmi, 0.0)
    names = tuple(np.array(tap.unit_names)[rows.shown])
    top = np.unravel_index(np.where(own, pmi, -np.inf).argmax(), pmi.shape)
    half = 0.0 if half is None else float(half)
    progress(1.0, "done")
    return Matrix(
        title=f"Pairs of features of {tap.name}: together or never",
        reading=f"{beyond:.0%} of pairs have a PMI outside the middle 95 % of rows drawn anew ({band[0]:.2f} to "
        f"{band[1]:.2f}); {int(never.sum()) // 2:,} of {int(own.sum()) // 2:,} pairs never meet. The largest is "
        f"{names[top[0]]} with {names[top[1]]} ({pmi[top]:.2f}).",
        caveats=(*rows.notes, "A pair that never meets is drawn with the PMI of one common row: it is at most that.",
                 "A feature with itself is left at 0."),
        estimates=(Estimate("share of pairs beyond chance", beyond, max(beyond - half, 0.0), min(beyond + half, 1.0),
                            interval="jackknife over groups of features, t", null=0.05, n=counts.n, d=len(pmi),
                            null_method=f"rows of each feature drawn anew, {params.draws} times"),),
        values=pmi, row_names=names, column_names=names, value_name="PMI", row_order=leaves_list(tree),
        column_order=leaves_list(tree), linkage=tree, diverging=True, null_band=(float(band[0]), float(band[1])),
        few=never, few_means="never met",
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Of two groups that exclude each other: PMI log 2 inside, no meeting across, and 0 for independent features."""
    heat = co_activation_heat(
        planted_groups(np.random.default_rng(0)), CoActivationHeatParams(draws=2, rank=3)
    )
    return (
        CheckLine("inside a group", float(np.log(2)), float(heat.values[0, 1]), 0.15),
        CheckLine("across: never met", 16.0, float(heat.few[:4, 4:8].sum()), 0.0),
        CheckLine("independent", 0.0, float(heat.values[8, 9]), 0.1),
    )


METHODS = (
    Method(
        id="co_activation_heat", family="dictionaries", title="Heat map of features that fire together", version=2,
        function=co_activation_heat, summary="PMI of every pair of features, ordered, with pairs that never meet.",
        params=CoActivationHeatParams, result=Matrix, check=_check, cost=map_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; scaling features; any change of values that are not 0",
        papers=("Swivel: embeddings from co-occurrence, including zeros",),
    ),
)  # fmt: skip
