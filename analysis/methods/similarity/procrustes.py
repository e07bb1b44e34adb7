"""Procrustes similarity: how well can one representation be turned onto another? Taps x taps.

s = |XᵀY|_* / (|X|_F |Y|_F) of centred X (n, p), Y (n, q): the cosine between X and the rotation of Y that fits it best
(reflections included; the narrower side has units that are 0). 1 when one is the other up to rotation, scale and shift.
Also as the angle arccos s and as the chord sqrt(2 - 2 s), which are metrics: near 0 the chord is measured on the turned
clouds, because the arccos of a number near 1 loses all below 1e-8.

Null: samples exchanged between the two sides. s is never 0: unrelated clouds of p units give about 0.85 √(p / n). The
mean is that of clouds turned freely against each other, the chance of as much is an upper bound that holds for any data
(`compute.similarity.shape_null`); pairs count as alike after Benjamini-Hochberg at 5 %.

When it lies: directions of large variance rule; with few samples per unit everything can be turned onto everything
(compare with the null, never with 0); it ignores rotations only, so that two networks may hold the same information and
differ; pooled tokens hide where things are.

Cost: for a tap one singular value decomposition O(n d min(n, d)); for a pair a product O(n p q) and eleven times the
singular values of (p, q), from which the interval comes.

References: P. Schönemann (1966), "A generalized solution of the orthogonal Procrustes problem"; A. Williams et al.
(2021), "Generalized shape metrics on neural representations"; F. Ding et al. (2021), "Grounding representation
similarity with statistical testing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.similarity.shape_cost import shape_cost
from analysis.compute.similarity.shape_pairs import ANGLE, CHORD, NULL_METHODS, SIMILARITY, shape_pair
from analysis.compute.similarity.shapes import ROTATIONS, shape_of
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, arranged, compared, groups_of
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 4
WORDS = {
    SIMILARITY: Words("Procrustes similarity", "orthogonal Procrustes, cosine", NULL_METHODS[ROTATIONS],
                      bounds=(0.0, 1.0)),
    ANGLE: Words("Procrustes angle", "orthogonal Procrustes, radians", NULL_METHODS[ROTATIONS], perfect=0.0,
                 bounds=(0.0, np.pi / 2), limits=(0.0, np.pi / 2), distance=True),
    CHORD: Words("Procrustes distance", "orthogonal Procrustes, clouds of size 1", NULL_METHODS[ROTATIONS],
                 perfect=0.0, bounds=(0.0, np.sqrt(2)), limits=(0.0, np.sqrt(2)), distance=True),
}  # fmt: skip


@dataclass(frozen=True)
class ProcrustesParams:
    measure: str = param(
        SIMILARITY, "The cosine after turning (1 alike), or a distance: its angle in radians, or the chord (0 alike).",
        choices=tuple(WORDS),
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def procrustes(
    *taps, params: ProcrustesParams = ProcrustesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Procrustes similarity or distance of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 (distances: 0) on the diagonal, or the first network's taps by the others';
        `null`, `low` and `high` of each cell; `few` where unrelated clouds would be alike at 0.7.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than four common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    group = groups_of(len(data.ids), rng)
    shapes = []
    for i, x in enumerate(data.values):
        progress(0.3 + 0.3 * i / len(taps), "measuring taps")
        shapes.append(shape_of(x, group))
    words = WORDS[params.measure]
    grid = compared(
        shapes, lambda a, b: shape_pair(a, b, ROTATIONS, params.measure), rows, columns, n=len(group),
        units=[x.shape[1] for x in data.values], perfect=words.perfect, progress=progress, span=(0.6, 1.0),
    )  # fmt: skip
    notes = [*constant_notes(names, data.values), "Directions of large variance rule.", *data.notes]
    return similarity_matrix(grid, words, names, notes)


def _cost(shapes, params: ProcrustesParams) -> Cost:
    return shape_cost(shapes, params.maximum_samples)


def _check() -> tuple[CheckLine, ...]:
    """A rotated, scaled and shifted copy: 1, and an angle of 0. Unrelated data: 8 / (3 π) √(p / n). Half of the units
    shared: each of the others finds what chance gives it."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 600, 60))
    q = np.linalg.qr(rng.standard_normal((60, 60)))[0]

    def value(a, b, **more) -> float:
        return float(procrustes(a, b, params=ProcrustesParams(**more)).values[0, 1])

    unrelated, null = value(x, y), procrustes(x, y).estimates[0].null
    return (
        CheckLine("rotated, scaled and shifted: similarity", 1.0, value(x, 7 * x @ q - 30), 1e-12),
        CheckLine("the same: angle", 0.0, value(x, 7 * x @ q - 30, measure=ANGLE), 1e-12),
        CheckLine("unrelated: 0.85 √(p / n)", 8 / (3 * np.pi) * np.sqrt(60 / 599), unrelated, 0.01),
        CheckLine("unrelated: its null", unrelated, null, 0.01),
        CheckLine("one unit of deviation 2, shared, and one of 1, not", 4 / 5, value(*_halves(rng)), 0.02),
    )


def _halves(rng) -> tuple[np.ndarray, np.ndarray]:
    z = rng.standard_normal((20_000, 3))
    return z[:, [0, 1]] * [2, 1], z[:, [0, 2]] * [2, 1]


METHODS = (
    Method(
        id="procrustes", family="similarity", title="Procrustes similarity", version=2, function=procrustes,
        summary="How well one layer or network can be turned onto another.",
        params=ProcrustesParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, papers=("SVCCA",),
        invariance="rotating, scaling or shifting either side changes nothing; stretching one direction does",
    ),
)  # fmt: skip
