"""A cooperative game as a function of coalitions: asked in batches, counted, remembered, held to a budget.

The value v(S) of a coalition S is an output of the network when the players in S are there and the others are not.
Whatever estimates Shapley values only ever asks for v; this wrapper keeps the books. Every distinct coalition is
evaluated once: answers are kept under the coalition's packed bits, so an estimator that was stopped, or a second one on
the same game, pays only for what is new.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.errors import InputError, ParameterError, ShapeError, TooLarge
from analysis.spec import Progress, no_progress

Value = Callable[[np.ndarray], np.ndarray]  # coalitions (m, players) bool -> (m,) or (m, outputs)


class Game:
    """A game with its count of evaluations.

    Parameters
    ----------
    value : callable
        Coalitions (m, players) of booleans to values (m,) or (m, outputs).
    players : int
    batch : int
        Most coalitions handed to `value` at once.
    budget : int, optional
        Most distinct coalitions that may be evaluated, the empty and the full one included.
    background : int
        Rows of the model that one coalition costs: the size of the background set that `value` averages over.
    remember : bool
        Keep every answer. About 150 + players / 8 + 8 outputs bytes each.
    progress : callable, optional
        Called before each batch with the share of the budget that is spent; it may raise `Cancelled`. Answers up to
        there are kept: asking again goes on.

    Attributes
    ----------
    evaluations : int
        Distinct coalitions evaluated so far (without `remember`: coalitions evaluated).
    outputs : int or None
        Known after the first evaluation.
    """

    def __init__(
        self, value: Value, players: int, *, batch: int = 256, budget: int | None = None, background: int = 1,
        remember: bool = True, progress: Progress = no_progress,
    ) -> None:  # fmt: skip
        if players < 1 or batch < 1 or background < 1:
            found = f"A game of {players} players, batches of {batch}, a background of {background} rows"
            raise ParameterError(found, "at least 1 of each")
        self.value, self.players, self.batch, self.background = value, players, batch, background
        self.budget, self.remember, self.progress = budget, remember, progress
        self.evaluations, self.outputs = 0, None
        self._known: dict[bytes, np.ndarray] = {}

    @property
    def model_rows(self) -> int:
        """Rows that went through the model."""
        return self.evaluations * self.background

    @property
    def left(self) -> float:
        """Evaluations that the budget still allows; infinite without one."""
        return np.inf if self.budget is None else self.budget - self.evaluations

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """v of nobody and v of everybody, (outputs,) each; two evaluations the first time."""
        nobody, everybody = np.zeros(self.players, dtype=bool), np.ones(self.players, dtype=bool)
        answers = self(np.stack([nobody, everybody]))
        return answers[0], answers[1]

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        """Values (m, outputs) of `coalitions` (m, players), float64."""
        coalitions = self._checked(coalitions)
        if not self.remember:
            return self._evaluated(coalitions)
        packed = np.packbits(coalitions, axis=1)
        keys = [row.tobytes() for row in packed]
        new = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._known}
        rows = np.sort(np.fromiter(new.values(), dtype=np.int64, count=len(new)))
        self._affordable(len(rows))
        for start in range(0, len(rows), self.batch):
            chunk = rows[start : start + self.batch]
            for i, answer in zip(chunk, self._evaluated(coalitions[chunk]), strict=True):
                self._known[keys[i]] = answer
        return np.stack([self._known[key] for key in keys]) if keys else np.empty((0, self.outputs or 1))

    def unremembered(self, coalitions: np.ndarray) -> np.ndarray:
        """The same without looking up or keeping answers: for sweeps over more coalitions than memory should hold."""
        return self._evaluated(self._checked(coalitions))

    def _checked(self, coalitions: np.ndarray) -> np.ndarray:
        coalitions = np.asarray(coalitions)
        if coalitions.ndim != 2 or coalitions.shape[1] != self.players:
            raise ShapeError(
                f"Coalitions of shape {coalitions.shape}", f"(any number, {self.players} players)"
            )
        return coalitions.astype(bool, copy=False)

    def _affordable(self, wanted: int) -> None:
        if wanted > self.left:
            found = f"{wanted:,} more evaluations are asked for and {self.left:,} are left of {self.budget:,}"
            raise TooLarge(found, "", "Raise the budget, or ask for fewer")

    def _evaluated(self, coalitions: np.ndarray) -> np.ndarray:
        """Straight from the function, batch by batch, and counted."""
        self._affordable(len(coalitions))
        answers = []
        for start in range(0, len(coalitions), self.batch):
            asked = coalitions[start : start + self.batch]
            goal = self.budget or self.evaluations + len(coalitions) - start
            self.progress(min(1.0, self.evaluations / goal), f"{self.evaluations:,} coalitions evaluated")
            answers.append(self._answer(asked))
            self.evaluations += len(asked)
        return np.concatenate(answers) if answers else np.empty((0, self.outputs or 1))

    def _answer(self, asked: np.ndarray) -> np.ndarray:
        answer = np.asarray(self.value(asked), dtype=np.float64)
        answer = answer[:, None] if answer.ndim == 1 else answer
        outputs = self.outputs or answer.shape[-1]
        if answer.shape != (len(asked), outputs):
            raise ShapeError(f"The game answered {answer.shape} to {len(asked)} coalitions",
                             f"({len(asked)}, {outputs}): one row each, as many outputs every time")  # fmt: skip
        bad = int((~np.isfinite(answer)).any(axis=1).sum())
        if bad:
            raise InputError(f"The value of {bad} of {len(asked)} coalitions is NaN or infinite", "finite values",
                             "Look at the model's answers to inputs with parts left out")  # fmt: skip
        self.outputs = outputs
        return answer
