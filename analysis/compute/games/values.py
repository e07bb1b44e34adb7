"""What an estimator of a game returns: values with their error, their cost and how far they are from adding up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute.games.game import Game


@dataclass(frozen=True)
class PlayerValues:
    """Values of the players of one game.

    `values` (players, outputs); `errors` (players, outputs) their standard errors, 0 where exact and NaN where nothing
    tells; `residual` (outputs,) is the sum of the values less v(everybody) - v(nobody); `evaluations` distinct
    coalitions and `model_rows` rows of the model used; `pairs` independent repeats that the errors come from (0: exact)
    and `freedom` their degrees of freedom; `empty`, `full` (outputs,) the two ends; `method` in words.
    """

    values: np.ndarray
    errors: np.ndarray
    residual: np.ndarray
    evaluations: int
    model_rows: int
    pairs: int
    freedom: int
    empty: np.ndarray
    full: np.ndarray
    method: str

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Bounds (players, outputs) by Student's t; NaN where there are no degrees of freedom."""
        if self.pairs == 0:
            return self.values - self.errors, self.values + self.errors
        reach = stdtrit(self.freedom, 0.5 + level / 2) if self.freedom > 0 else np.nan
        half = np.where(self.errors == 0, 0.0, reach * self.errors)
        return self.values - half, self.values + half


def of_game(
    game: Game, values: np.ndarray, errors: np.ndarray, method: str, *, pairs: int = 0,
    freedom: int | None = None, spent_before: int = 0,
) -> PlayerValues:  # fmt: skip
    """The result of an estimator that found `values`; `spent_before`: the game's count when it began."""
    empty, full = game.ends
    used = game.evaluations - spent_before
    return PlayerValues(
        values, errors, values.sum(axis=0) - (full - empty), used, used * game.background, pairs,
        pairs - 1 if freedom is None else freedom, empty, full, method,
    )  # fmt: skip
