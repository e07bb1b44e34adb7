"""SVCCA: canonical correlations of what holds most of the variance. Taps x taps, checkpoints or seeds among them.

Each side is first cut down to the leading principal directions that hold 99 % of its variance (Σ σ², not Σ σ), then
canonical correlations are the singular values of Q_XᵀQ_Y; their mean is the similarity (the paper's), or their mean
square. So directions that hardly vary, which plain CCA counts like any other, have no say. The kept dimensions are
given: a layer with few of them is a simple one, whatever its width.

Null: random subspaces of as many dimensions for mean ρ (0.26 at 20 and 40 dimensions and 500 samples), exact moments
under exchanged samples for mean ρ², max(p, q) / (n - 1); a pair counts as alike where mean ρ² passes Cantelli's bound
and Benjamini-Hochberg at 5 %. Intervals hold the kept directions fixed.

When it lies: the share decides: at 99 % a wide layer still keeps hundreds of directions, and few samples then make
any two layers alike (compare with the null; below 10 samples for each direction a cell is hatched); a single unit of
huge variance can be all that is kept; 99 % of one layer may be 3 directions and of the other 300, and then the mean
is over 3. Maps of a convolutional layer are pooled to one value for each channel; position-as-sample gives other
numbers.

Cost: for each tap a QR factorisation O(n d²); for each pair products O(n p q) of the kept dimensions and eleven small
singular value decompositions. Memory O(n Σ d + 10 Σ r²).

References: M. Raghu, J. Gilmer, J. Yosinski & J. Sohl-Dickstein (2017), "SVCCA: Singular vector canonical correlation
analysis for deep learning dynamics and interpretability".
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
class SvccaParams:
    variance: float = param(0.99, "Share of each side's variance that is kept.", low=0.01, high=1.0)
    measure: str = param(
        PLAIN, "Mean ρ is what is published; mean ρ² has an exact null.", choices=(PLAIN, SQUARED)
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def svcca(*taps, params: SvccaParams = SvccaParams(), rng=None, progress=no_progress) -> Matrix:
    """SVCCA of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 1 on the diagonal (or the first network's taps by the others'); `null`, `low` and
        `high` of each cell; `significant` beyond chance (false-discovery rate 5 % over pairs); `few` where there are
        fewer than 10 samples for each kept direction, or the interval is wider than ± 0.1.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; nothing varies; fewer than four common samples; two taps with more kept
        directions than samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    sides = canonical_sides(
        data.values, names, rng, tolerance=TOLERANCE, variance=params.variance, progress=progress
    )
    grid = canonical_grid(sides, rows, columns, rng, measure=params.measure, progress=progress)
    words = Words(
        f"SVCCA {params.measure}", f"{params.measure} of the directions with {params.variance:.3g} of the variance",
        NULL_METHODS[params.measure], bounds=(0.0, 1.0),
        interval="jackknife over groups of samples, t, kept directions fixed",
    )  # fmt: skip
    short = tap_names(names)
    notes = [
        *side_notes(short, sides, grid, TOLERANCE),
        f"Kept at {params.variance:.3g} of the variance. {rank_note(short, sides)}",
        "The value rises with dimensions per sample: compare it with its null, never with 0.",
    ]  # fmt: skip
    return similarity_matrix(grid, words, names, (*notes, *data.notes))


def _cost(shapes, params: SvccaParams) -> Cost:
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    sides = [(units, min(units, n - 1)) for _, units in shapes]
    flops, held = canonical_flops(sides, n, decomposed=params.measure == PLAIN)
    return Cost(machine().seconds(flops64=flops, moved=20 * held) + 0.01, held)


def _check() -> tuple[CheckLine, ...]:
    """Three loud directions shared through a map of their own, among forty quiet ones that are not: exactly these
    three are kept and alike, which CCA of everything cannot see. Unrelated data: the floors."""
    rng = np.random.default_rng(7)
    shared, x, y = rng.standard_normal((800, 3)), *rng.standard_normal((2, 800, 43))
    turns = [np.linalg.qr(rng.standard_normal((43, 43)))[0] for _ in range(2)]
    x[:, :3], y[:, :3] = shared * [5, 3, 2], shared @ rng.standard_normal((3, 3))
    x[:, 3:], y[:, 3:] = 1e-3 * x[:, 3:], 1e-3 * y[:, 3:]
    free = rng.standard_normal((500, 60))

    def found(a, b, **more) -> Matrix:
        return svcca(ArrayActivations(a), ArrayActivations(b), params=SvccaParams(**more))

    planted = found(x @ turns[0], y @ turns[1])
    return (
        CheckLine("three shared directions: mean ρ", 1.0, float(planted.values[0, 1]), 1e-4),
        CheckLine("and three are kept", 3.0, float(planted.estimates[0].d), 0.0),
        CheckLine("keeping all of 43 directions: no more than (3 + 40 · 0.24) / 43 and luck", 0.35,
                  float(found(x @ turns[0], y @ turns[1], variance=1.0).values[0, 1]), 0.0, "at most"),
        CheckLine("unrelated, 20 and 40 units, n = 500: mean ρ", 0.26,
                  float(found(free[:, :20], free[:, 20:], variance=1.0).values[0, 1]), 0.025),
        CheckLine("the same: mean ρ² is max(p, q) / (n - 1)", 40 / 499,
                  float(found(free[:, :20], free[:, 20:], variance=1.0, measure=SQUARED).values[0, 1]), 0.015),
    )  # fmt: skip


METHODS = (
    Method(
        id="svcca", family="similarity", title="SVCCA", version=2, function=svcca,
        summary="Whether the directions with nearly all of the variance are shared by two or more layers or networks.",
        params=SvccaParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting either side changes nothing, nor does any invertible map of the kept "
        "directions; stretching changes which directions are kept",
        papers=("SVCCA",),
    ),
)  # fmt: skip
