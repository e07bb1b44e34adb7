"""Shape distances: metrics on representations, each blind to a group of transformations that is stated. Taps x taps.

A centred representation is whitened in part, X (α I + (1 - α) Σ^(-1/2)); its distance to another one is the angle (or
the Euclidean distance) after the best transformation of what is to be ignored (`compute.similarity.shapes`):

- *rotations*, α = 1: the Procrustes angle. α = 0: every invertible linear map is ignored; the angle is
  arccos(Σ ρ_i / √(p q)) of the canonical correlations. Between: in part.
- *permutations of units* (α = 1), with their signs or without: which unit is which is ignored. The assignment is
  Hungarian; a unit without gain stays without a partner.
- *nothing* (α = 1): unit i against unit i, for checkpoints of one run or networks of one initialisation.

The angle also ignores scale; the Euclidean distance (root mean square per sample, in the activations' unit) does not.
All are metrics: symmetric, 0 for a tap with itself, and never more than by way of a third tap. Whitened, p of q
directions lie arccos √(p / q) from all q of them: every direction of either side counts.

Null: samples exchanged. Rotations: mean of freely turned clouds and a bound of p for any data
(`compute.similarity.shape_null`); nothing: exact moments; permutations: the given number of exchanges, p with one
added, so never below 1 / (1 + exchanges).

When it lies: whitening (α < 1) makes the smallest directions count as much as the largest, so that it needs many more
samples than directions; unrelated clouds of many units lie at angles well below a right one; α between 0 and 1 has no
closed meaning, and for the Euclidean distance depends on the activations' unit.

Cost: for a tap a singular value decomposition O(n d min(n, d)), eleven with whitening; for a pair eleven decompositions
or assignments of (p, q); permutations also `exchanges` assignments a pair.

References: A. Williams, E. Kunz, S. Kornblith & S. Linderman (2021), "Generalized shape metrics on neural
representations"; W. Hoeffding (1951), "A combinatorial central limit theorem"; B. Phipson & G. Smyth (2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.similarity.shape_cost import shape_cost
from analysis.compute.similarity.shape_pairs import ANGLE, DISTANCE, NULL_METHODS, shape_pair
from analysis.compute.similarity.shapes import IGNORED, NOTHING, PERMUTATIONS, ROTATIONS, SIGNED, shape_of
from analysis.compute.similarity.similarity_grid import ALL, ARRANGEMENTS, Grid, arranged, compared, groups_of
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.errors import ParameterError
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 4
DRAWN = (PERMUTATIONS, SIGNED)  # with a null from exchanges


@dataclass(frozen=True)
class ShapeDistanceParams:
    ignored: str = param(
        ROTATIONS, "What a difference may be without counting: rotations, which unit is which, or nothing.",
        choices=IGNORED,
    )  # fmt: skip
    alpha: float = param(
        1.0, "Whitening before: 1 none, 0 whole (then every invertible linear map is ignored). Rotations only.",
        low=0.0, high=1.0,
    )  # fmt: skip
    measure: str = param(
        "angular", "Angular (radians, ignores scale) or Euclidean (in the activations' unit, per sample).",
        choices=("angular", "Euclidean"),
    )  # fmt: skip
    arrangement: str = param(ALL, "Which taps are rows and columns.", choices=ARRANGEMENTS)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    exchanges: int = param(50, "Exchanges of the samples for the null of permutations.", low=19, high=2000)
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def shape_distance(
    *taps, params: ShapeDistanceParams = ShapeDistanceParams(), rng=None, progress=no_progress
) -> Matrix:
    """Shape distance of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id); any numbers of units, but the same
        where nothing is ignored.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric, 0 on the diagonal, or the first network's taps by the others'; `null`, `low` and
        `high` of each cell; `few` where unrelated clouds would be alike at a cosine of 0.7.

    Raises
    ------
    ParameterError
        Fewer than two taps; whitening together with permutations or nothing; other widths where nothing is ignored.
    InputError, NotEnoughData, TooLarge
        An id twice; equal samples; fewer than four common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    names = [t.name for t in taps]
    rows, columns = arranged(names, params.arrangement)
    _refuse(taps, params)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    n, sized = len(data.ids), params.measure == "Euclidean"
    group = groups_of(n, rng)
    orders = np.array([rng.permutation(n) for _ in range(params.exchanges * (params.ignored in DRAWN))])
    shapes = []
    for i, x in enumerate(data.values):
        progress(0.3 + 0.3 * i / len(taps), "measuring taps")
        shapes.append(shape_of(x, group, ignored=params.ignored, alpha=params.alpha, sized=sized))
    measure = DISTANCE if sized else ANGLE
    grid = compared(
        shapes, lambda a, b: shape_pair(a, b, params.ignored, measure, orders), rows, columns, n=n,
        units=[x.shape[1] for x in data.values], perfect=0.0, progress=progress, span=(0.6, 1.0),
    )  # fmt: skip
    notes = [*constant_notes(names, data.values), *_notes(params), *data.notes]
    return similarity_matrix(grid, _words(params, grid), names, notes)


def _refuse(taps, params: ShapeDistanceParams) -> None:
    if params.alpha < 1 and params.ignored != ROTATIONS:
        raise ParameterError(
            f"alpha = {params.alpha:g} with '{params.ignored}' ignored",
            "alpha = 1",
            "Ignore rotations to whiten",
        )
    widths = [t.shape[1] for t in taps]
    if params.ignored == NOTHING and len(set(widths)) > 1:
        raise ParameterError(
            f"taps of {', '.join(map(str, widths))} units", "as many units in each where nothing is ignored",
            "Ignore rotations or permutations, or choose taps of one width",
        )  # fmt: skip


def _words(params: ShapeDistanceParams, grid: Grid) -> Words:
    drawn = f"{params.exchanges} exchanges of samples, p with one added"
    null = NULL_METHODS.get(params.ignored, drawn)
    kind = f"ignoring {params.ignored}" + (f", alpha {params.alpha:g}" if params.ignored == ROTATIONS else "")
    if params.measure == "angular":
        most = np.pi if params.ignored == NOTHING else np.pi / 2
        name, bounds, limits = "shape angle", (0.0, most), (0.0, np.pi / 2)
    else:
        highest = max(float(grid.values.max()), float(np.nanmax(grid.null)))
        name, bounds, limits = "shape distance", (0.0, np.inf), (0.0, highest or 1.0)
    return Words(
        name, f"{params.measure}, {kind}", null, perfect=0.0, bounds=bounds, limits=limits, distance=True
    )


def _notes(params: ShapeDistanceParams) -> list[str]:
    if params.ignored in DRAWN:
        return [
            f"p-values come from {params.exchanges} exchanges, so none is below {1 / (params.exchanges + 1):.2g}."
        ]
    if params.alpha == 1:
        return ["Directions of large variance rule."]
    return [
        "Whitening lets the smallest directions count as the largest: it needs many more samples than directions."
    ]


def _cost(shapes, params: ShapeDistanceParams) -> Cost:
    return shape_cost(
        shapes, params.maximum_samples, whitened=params.alpha < 1,
        decomposed=params.ignored == ROTATIONS, exchanges=params.exchanges * (params.ignored in DRAWN),
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A rotation, an invertible linear map and a permutation, each seen by those only who do not ignore it."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((500, 30)) * np.linspace(1, 3, 30)
    turn, mix = np.linalg.qr(rng.standard_normal((30, 30)))[0], rng.standard_normal((30, 30))
    other = rng.permutation(30)

    def value(a, b, **more) -> float:
        return float(shape_distance(a, b, params=ShapeDistanceParams(**more)).values[0, 1])

    two, others = rng.standard_normal((2, 20_000, 2))
    signed = x[:, other] * np.where(np.arange(30) % 2, -1.0, 1.0)
    return (
        CheckLine("rotated and scaled: angle", 0.0, value(x, 5 * x @ turn + 2), 1e-12),
        CheckLine("rotated: Euclidean", 0.0, value(x, x @ turn + 2, measure="Euclidean"), 1e-12),
        CheckLine("twice as large: Euclidean is the root mean square", np.sqrt(x.var(axis=0).sum()),
                  value(x, 2 * x, measure="Euclidean"), 1e-10),
        CheckLine("linear map, whitened", 0.0, value(x, x @ mix, alpha=0.0), 1e-9),
        CheckLine("linear map, not whitened", 0.2, value(x, x @ mix), 0.0, "at least"),
        CheckLine("permuted", 0.0, value(x, x[:, other], ignored=PERMUTATIONS), 1e-12),
        CheckLine("permuted, nothing ignored", 1.0, value(x, x[:, other], ignored=NOTHING), 0.0, "at least"),
        CheckLine("permuted and signs turned", 0.0, value(x, signed, ignored=SIGNED), 1e-12),
        CheckLine("unrelated, nothing ignored: a right angle", np.pi / 2, value(two, others, ignored=NOTHING), 0.03),
        CheckLine("one of two directions, whitened: 45 degrees", np.pi / 4,
                  value(two[:, :1], np.hstack([two, np.ones((20_000, 1))]), alpha=0.0), 1e-10),
    )  # fmt: skip


METHODS = (
    Method(
        id="shape_distance", family="similarity", title="Shape distance", version=2, function=shape_distance,
        summary="How far apart layers or networks are as shapes, in a metric that ignores what you say.",
        params=ShapeDistanceParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="shifting; rotations (alpha 1), every invertible linear map (alpha 0), permutations of units, or "
        "nothing, as chosen; the angle also scale",
    ),
)  # fmt: skip
