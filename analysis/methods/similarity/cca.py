"""Canonical correlation analysis: do two representations span the same directions? Taps x taps.

The canonical correlations ρ_1 >= ρ_2 ... are the largest correlations that a combination of units of one tap has with
a combination of units of the other, each pair of combinations uncorrelated with those before it. One number for a
pair is mean ρ² over min(p, q) correlations (the share of the variance of one side's canonical variates that the other
explains), or mean ρ. Both are 1 when one representation is any invertible linear map of the other.

Null: samples exchanged between the sides. Mean ρ² has then the mean max(p, q) / (n - 1) and a variance known exactly,
for any data; a pair counts as alike where even Cantelli's bound on chance passes Benjamini-Hochberg at 5 %. For mean
ρ the null drawn is that of random subspaces, and the test that of its mean ρ². The value is of the samples at hand
and includes this floor: held-out CCA does not.

When it lies: with few samples. Every direction counts the same, also one of a millionth of the variance, so that d
units have d directions in which to find a correlation by chance: 0.64 is the mean ρ of two unrelated taps of 150
units at 300 samples. Where p + q > n - 1, p + q - n + 1 correlations are exactly 1 for any data: a pair is refused,
cells of a matrix are hatched, as they are below 10 samples for each direction. Pooled tokens hide where things are.

Cost: for each tap a QR factorisation O(n d²); for each pair products O(n p q + 10 p q (p + q)), for mean ρ eleven
singular value decompositions more. Memory O(n Σ d + 10 Σ r²).

References: H. Hotelling (1936), "Relations between two sets of variates"; M. Raghu et al. (2017), "SVCCA"; S.
Kornblith et al. (2019), "Similarity of neural network representations revisited"; F. Kazi-Aoual et al. (1995) for the
null.
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
    SQUARED,
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
class CcaParams:
    measure: str = param(
        SQUARED, "Mean ρ² has an exact null; mean ρ is what most published numbers are.", choices=(SQUARED, PLAIN)
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    tolerance: float = param(
        TOLERANCE, "Directions below this share of the largest singular value are rounding (float16: 1e-3).",
        low=1e-13, high=0.5,
    )  # fmt: skip
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def cca(*taps, params: CcaParams = CcaParams(), rng=None, progress=no_progress) -> Matrix:
    """Canonical correlations of two or more taps, in one number each.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal (or the first network's taps by the others'); `null`, `low` and
        `high` of each cell; `significant` beyond chance (false-discovery rate 5 % over pairs); `few` where there are
        fewer than 10 samples for each direction, or the interval is wider than ± 0.1.

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
    sides = canonical_sides(data.values, names, rng, tolerance=params.tolerance, progress=progress)
    grid = canonical_grid(sides, rows, columns, rng, measure=params.measure, progress=progress)
    words = Words(
        f"CCA {params.measure}",
        f"{params.measure} of the samples at hand, singular values above {params.tolerance:g} of the largest",
        NULL_METHODS[params.measure], bounds=(0.0, 1.0),
    )  # fmt: skip
    short = tap_names(names)
    notes = [
        *side_notes(short, sides, grid, params.tolerance), rank_note(short, sides),
        "The value rises with dimensions per sample: compare it with its null, never with 0.",
        "Every direction counts the same, however little of the variance it has.",
    ]  # fmt: skip
    return similarity_matrix(grid, words, names, (*notes, *data.notes))


def _cost(shapes, params: CcaParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    sides = [(units, min(units, n - 1)) for _, units in shapes]
    flops, held = canonical_flops(sides, n, decomposed=params.measure == PLAIN)
    return Cost(machine().seconds(flops64=flops, moved=20 * held) + 0.01, held)


def _check() -> tuple[CheckLine, ...]:
    """An invertible map: 1. Two directions with correlations 0.6 and 0.8 planted in 20 units: their squares, beyond
    the floor. Unrelated data: the floors of mean ρ² and of mean ρ."""
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((500, 20)), rng.standard_normal((500, 40))
    z = rng.standard_normal((4000, 6))
    planted = np.hstack([z[:, :2] * [0.6, 0.8] + z[:, 4:] * [0.8, 0.6], rng.standard_normal((4000, 1))])

    def value(a, b, **more) -> float:
        return float(cca(ArrayActivations(a), ArrayActivations(b), params=CcaParams(**more)).values[0, 1])

    mapped = x @ rng.standard_normal((20, 20)) * 1e3 - 30
    return (
        CheckLine("any invertible map: mean ρ²", 1.0, value(x, mapped), 1e-9),
        CheckLine("any invertible map: mean ρ", 1.0, value(x, mapped, measure=PLAIN), 1e-9),
        CheckLine("ρ of 0.6, 0.8 and 0: mean ρ²", 1 / 3, value(z[:, :4], planted), 0.02),
        CheckLine("unrelated: mean ρ² is max(p, q) / (n - 1)", 40 / 499, value(x, y), 0.015),
        CheckLine("unrelated, 20 and 40 units, n = 500: mean ρ", 0.26, value(x, y, measure=PLAIN), 0.025),
    )  # fmt: skip


METHODS = (
    Method(
        id="cca", family="similarity", title="CCA (canonical correlations)", version=2, function=cca,
        summary="Whether two or more layers or networks span the same directions, in whatever basis.",
        params=CcaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="any invertible linear map and any shift of either side changes nothing; losing a direction does",
        papers=("SVCCA",),
    ),
)  # fmt: skip
