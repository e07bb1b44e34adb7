"""What two methods share that ask how many units of one tap tell a unit of the other: reading the taps, predicting, and
how many units each needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.machine import machine
from analysis.compute.matching.pairing_tests import pooled_p
from analysis.compute.matching.sparse_prediction import FOLDS, Told, moves, told_by
from analysis.compute.matching.unit_sides import unit_sides
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.spec import Cost, param

LEVEL = 0.05  # false-discovery rate of units told beyond chance


@dataclass(frozen=True)
class PredictionParams:
    predicted: str = param("first", "The tap whose units are predicted, from those of the other.",
                           choices=("first", "second"))  # fmt: skip
    units: int = param(10, "Most units of the other tap that may tell one together.", low=1, high=32)
    enough: float = param(0.9, "Share of its largest R² at which a unit counts as told.", low=0.5, high=1.0)
    rows: str = param("samples", "Over samples, matched by id with tokens pooled, or over the tokens themselves, where "
                      "both taps hold the same ones.", choices=("samples", "tokens"))  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_units: int = param(1024, "Most units a side: those of largest variance.", low=2, high=4096)
    maximum_samples: int = param(
        10_000, "Most samples (or tokens); a seeded random subset above.", low=50, high=200_000
    )


DEFAULTS = PredictionParams()


@dataclass(frozen=True)
class ToldUnits:
    """`told`, with the target and predictor units' numbers in their taps and names, the taps' names (targets first),
    how many samples, and what was left out."""

    told: Told
    units: tuple[np.ndarray, np.ndarray]
    names: tuple[np.ndarray, np.ndarray]
    taps: tuple[str, str]
    n_samples: int
    notes: tuple[str, ...]

    @property
    def steps(self) -> int:
        return self.told.fitted.shape[1]

    @property
    def p(self) -> np.ndarray:
        """(p,) chance of so large an R² (at the best number of predictors) after samples were moved, all units taken
        together."""
        return pooled_p(self.told.held_out.max(axis=1), self.told.null.max(axis=2))

    @property
    def q(self) -> np.ndarray:
        return benjamini_hochberg(self.p)

    def needed(self, enough: float) -> np.ndarray:
        """(p,) fewest predictors with which R² reaches `enough` of its largest; 0 where that is not above 0."""
        r2 = self.told.held_out
        most = r2.max(axis=1)
        reached = r2 >= enough * most[:, None] - 1e-12
        return np.where(most > 0, reached.argmax(axis=1) + 1, 0)


def told_units(taps, params: PredictionParams, rng, progress) -> ToldUnits:
    """Read both taps and predict. Raises as `unit_sides` does."""
    sides = unit_sides(
        taps, rng, rows=params.rows, pooling=params.pooling, maximum=params.maximum_samples,
        most_units=params.maximum_units, progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    turn = slice(None) if params.predicted == "first" else slice(None, None, -1)
    (x, y), units, names, taps = (
        pair[turn] for pair in ((sides.x, sides.y), sides.units, sides.names, sides.taps)
    )
    steps, notes = max(1, min(params.units, len(y), sides.n_samples // 4)), list(sides.notes)
    if steps < params.units:
        notes.append(
            f"At most {steps} unit(s) together: there are {len(y)} units and {sides.n_samples} samples."
        )
    told = told_by(x, y, sides.sample, sides.n_samples, steps, rng, progress, (0.2, 1.0))
    notes.append(
        f"Null: samples of one side moved, {len(told.null)} times; {FOLDS} folds of the samples, each predicted by the "
        "others."
    )
    return ToldUnits(told, units, names, taps, sides.n_samples, tuple(notes))


def prediction_cost(shapes, params: PredictionParams) -> Cost:
    (n, a), (m, b) = shapes
    n, p, q = min(n, m, params.maximum_samples), *(min(d, params.maximum_units) for d in (a, b))
    if params.predicted == "second":
        p, q = q, p
    steps, draws, speed = min(params.units, q, max(1, n // 4)), moves(p, q) + 1, machine()
    flops = 2.0 * n * q * (2.0 * q + 2.0 * p * draws) + 2.0 * draws * FOLDS * p * q * steps**2 / 2
    touched = 8.0 * FOLDS * draws * p * q * (steps * 20.0 + 16) + 8.0 * n * (10.0 * (a + b) + 4.0 * p * draws)
    memory = 8.0 * (n * (2.0 * (a + b) + p + q) + q * q * 4 + (draws + 4) * p * q) + min(
        5.0 * 64e6, 8.0 * p * q * (steps + 6)
    )
    return Cost(speed.seconds(flops64=flops, moved=touched, calls=draws * FOLDS * 2000.0) + 0.02, memory)
