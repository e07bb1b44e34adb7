"""Friedman's H²: how much of what two columns do together, over many rows, is more than the sum of their own effects.

    H²_jk = Σ_rows (P_jk - P_j - P_k)² / Σ_rows P_jk²,

P_S the partial dependence on columns S at the row's values, less its mean over rows (J. Friedman & B. Popescu 2008).
P_S is the value of the coalition S in the row's game, so the same books count it: M columns take rows times
M (M + 1) / 2 evaluations of a background each. 0 for additive models, 1 where the columns act only together. Where
P_jk hardly varies the ratio says nothing (NaN where it does not vary). Standard errors are the jackknife's over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.compute.games.game import Game
from analysis.compute.games.masked_game import masked_game
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

FEWEST = 3  # rows


@dataclass(frozen=True)
class PairStrengths:
    """`squared` (columns, columns, outputs) H², symmetric, 0 on the diagonal; `errors` alike; `share` alike: the
    variance of P_jk that the ratio is of. `evaluations` coalitions and `model_rows` rows of the model used."""

    squared: np.ndarray
    errors: np.ndarray
    share: np.ndarray
    evaluations: int
    model_rows: int


def friedman_h2(
    model: Callable[[np.ndarray], np.ndarray], rows: np.ndarray, background: np.ndarray,
    groups: list | None = None, progress: Progress = no_progress,
) -> PairStrengths:  # fmt: skip
    """H² of all pairs of columns (or of `groups`) over `rows` (n, columns) against `background` (b, columns)."""
    rows = np.asarray(rows)
    if len(rows) < FEWEST:
        raise NotEnoughData(f"{len(rows)} rows", f"at least {FEWEST}: the measure is a variance over rows")
    games = (masked_game(model, row, background, groups) for row in rows)
    return friedman_of(games, len(rows), progress)


def friedman_of(games: Iterable[Game], n: int, progress: Progress = no_progress) -> PairStrengths:
    """The same of n games of the same players, one for each row or sample."""
    answers, asked, cost = [], 0, 0
    for done, game in enumerate(games):
        progress(done / n, f"partial dependence at {done:,} of {n:,} rows")
        players = game.players
        pairs = np.array(list(combinations(range(players), 2)), dtype=np.int64).reshape(-1, 2)
        alone = np.eye(players, dtype=bool)
        answers.append(game(np.concatenate([alone, alone[pairs[:, 0]] | alone[pairs[:, 1]]])))
        asked, cost = asked + game.evaluations, cost + game.model_rows
    if len(answers) < FEWEST:
        raise NotEnoughData(f"{len(answers)} rows", f"at least {FEWEST}: the measure is a variance over rows")
    dependence = np.stack(answers)
    rounding = 1e-12 * np.abs(dependence).max(axis=(0, 1))
    dependence = dependence - dependence.mean(axis=0)
    own, joint = dependence[:, :players], dependence[:, players:]
    beyond = (joint - own[:, pairs[:, 0]] - own[:, pairs[:, 1]]) ** 2
    whole = joint**2
    whole = np.where(whole.mean(axis=0) > rounding**2, whole, 0.0)
    return _ratios(beyond, whole, pairs, players, asked, cost)


def _ratios(beyond, whole, pairs, players, asked, cost) -> PairStrengths:
    """From the squares (rows, pairs, outputs) above and below the line."""
    n, outputs = len(beyond), beyond.shape[2]
    above, below = beyond.sum(axis=0), whole.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(below > 0, above / below, np.nan)
        without = (above - beyond) / (below - whole)
        errors = np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    filled = [np.zeros((players, players, outputs)) for _ in range(3)]
    for table, of_pairs in zip(filled, (ratio, errors, below / n), strict=True):
        table[pairs[:, 0], pairs[:, 1]] = table[pairs[:, 1], pairs[:, 0]] = of_pairs
    return PairStrengths(*filled, asked, cost)
