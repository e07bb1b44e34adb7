"""Projection-weighted CCA: is what a tap holds most of also in another tap? Rows weigh, columns are looked into.

    PWCCA(X, Y) = Σ_i w_i ρ_i / Σ_i w_i,    w_i = Σ_j |<h_i, x_j>|

with the canonical variates h_i of X (unit length) and its centred units x_j: canonical correlations in directions
that carry much of X count more. The weights are X's, so that PWCCA(X, Y) is not PWCCA(Y, X): row a, column b says how
much of what a holds is seen in b. There are min(p, q) correlations and as many variates, whichever side is larger.

Null: random subspaces of as many dimensions. The variates are then turned at random and independent of ρ, so that the
null is that of the plain mean ρ, whatever the weights; its deviation is larger, and follows from how uneven the
weights of randomly turned variates are. A pair counts as alike where its mean ρ² under exchanged samples, known
exactly, passes Cantelli's bound and Benjamini-Hochberg at 5 %.

When it lies: weights are sums of sizes, so that a unit of huge scale decides (the invariance of CCA is gone on the
weighing side); it weighs by size only, and the variates of largest weight are not those of largest variance; where
correlations are equal, their variates, and so the weights, are arbitrary; with few samples for each direction it has
CCA's floor.

Cost: that of CCA by mean ρ, with the singular vectors; both directions of a pair from one decomposition. Memory
O(n Σ d + 20 Σ r² + Σ r d).

References: A. Morcos, M. Raghu & S. Bengio (2018), "Insights on representational similarity in neural networks with
canonical correlation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.canonical import TOLERANCE
from analysis.compute.similarity.canonical_grid import (
    NULL_METHODS,
    PLAIN,
    canonical_flops,
    canonical_grid,
    canonical_sides,
    rank_note,
    side_notes,
)
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, arranged
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 4


@dataclass(frozen=True)
class PwccaParams:
    variance: float = param(
        1.0, "Share of each side's variance that is kept beforehand; 1, as published, keeps every direction.",
        low=0.01, high=1.0,
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    tolerance: float = param(
        TOLERANCE, "Directions below this share of the largest singular value are rounding (float16: 1e-3).",
        low=1e-13, high=0.5,
    )  # fmt: skip
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def pwcca(*taps, params: PwccaParams = PwccaParams(), rng=None, progress=no_progress) -> Matrix:
    """PWCCA of two or more taps, both ways.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), the weights from the row's tap, 1 on the diagonal (or the first network's taps by the
        others'); `null`, `low` and `high` of each cell; `significant` beyond chance (false-discovery rate 5 % over
        cells); `few` where there are fewer than 10 samples for each direction, or the interval is wider than ± 0.1.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; nothing varies; fewer than four common samples; two taps with more
        directions than samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    variance = None if params.variance >= 1 else params.variance
    sides = canonical_sides(
        data.values,
        names,
        rng,
        tolerance=params.tolerance,
        variance=variance,
        weighted=True,
        progress=progress,
    )
    grid = canonical_grid(sides, rows, columns, rng, measure=PLAIN, weighted=True, progress=progress)
    words = Words(
        "PWCCA", "mean ρ weighted by Σ |<variate, unit>| of the first", NULL_METHODS[PLAIN], bounds=(0.0, 1.0),
        arrow="{0} as seen in {1}", interval="jackknife over groups of samples, t"
        + ("" if variance is None else ", kept directions fixed"),
    )  # fmt: skip
    short = tap_names(names)
    notes = [
        *side_notes(short, sides, grid, params.tolerance), rank_note(short, sides),
        "The value rises with dimensions per sample: compare it with its null, never with 0.",
        "Row a, column b weighs by a: how much of what a holds is in b. Units of large scale weigh more.",
    ]  # fmt: skip
    return similarity_matrix(grid, words, names, (*notes, *data.notes))


def _cost(shapes, params: PwccaParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    sides = [(units, min(units, n - 1)) for _, units in shapes]
    flops, held = canonical_flops(sides, n, decomposed=True)
    held += sum(8.0 * (11 * r * r + r * d) for d, r in sides)
    return Cost(machine().seconds(flops64=1.5 * flops, moved=20 * held) + 0.01, held)


def _check() -> tuple[CheckLine, ...]:
    """An invertible map: 1 both ways. One of two independent units shared, three times as large as the other: 3/4 of
    what X holds is in Y, and 1/2 of what Y holds is in X. Unrelated data: the floor of mean ρ."""
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((500, 20)), rng.standard_normal((500, 40))
    z = np.linalg.qr(np.column_stack([np.ones(400), rng.standard_normal((400, 3))]))[0][:, 1:]

    def values(a, b) -> np.ndarray:
        return pwcca(ArrayActivations(a), ArrayActivations(b)).values

    mapped = values(x, x @ rng.standard_normal((20, 20)) - 30)
    shared = values(z[:, :2] * [3, 1], z[:, [0, 2]])
    more = values(z, z[:, :1])
    unrelated = values(x, y)
    return (
        CheckLine("any invertible map, seen in it", 1.0, float(mapped[0, 1]), 1e-9),
        CheckLine("and back", 1.0, float(mapped[1, 0]), 1e-9),
        CheckLine("the larger of two units shared, 3 to 1", 0.75, float(shared[0, 1]), 1e-9),
        CheckLine("the same with the other's weights, 1 to 1", 0.5, float(shared[1, 0]), 1e-9),
        CheckLine("three units against one of them: one correlation", 1.0, float(more[0, 1]), 1e-9),
        CheckLine("unrelated, 20 and 40 units, n = 500", 0.26, float(unrelated[0, 1]), 0.03),
        CheckLine("and back", 0.26, float(unrelated[1, 0]), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="pwcca", family="similarity", title="PWCCA (projection-weighted CCA)", version=2, function=pwcca,
        summary="How much of what one layer or network holds is also in another, weighted by how much it holds of it.",
        params=PwccaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="any invertible linear map of the column's tap changes nothing; of the row's tap only shifting, one "
        "common scale, reordering and flipping the signs of units",
        papers=("SVCCA",),
    ),
)  # fmt: skip
