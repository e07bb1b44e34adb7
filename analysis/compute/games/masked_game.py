"""A model of a table's columns as a game: absent columns take the values of a background set.

v(S) = mean over background rows b of model(x on the columns of S, b on the others), the interventional value function.
The mean over the background is part of the game, never a sample of it: one coalition costs as many model rows as there
are background rows. Where columns are correlated, such mixed rows may be unlike anything the model has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.compute.games.game import Game
from analysis.errors import InputError, ShapeError


def masked_game(
    model: Callable[[np.ndarray], np.ndarray], x: np.ndarray, background: np.ndarray,
    groups: Sequence[Sequence[int]] | np.ndarray | None = None, *, rows: int = 8192, **books,
) -> Game:  # fmt: skip
    """The game of one row.

    Parameters
    ----------
    model : callable
        Rows (n, columns) to (n,) or (n, outputs).
    x : array (columns,)
    background : array (b, columns)
        All of it is used.
    groups : sequence of column numbers for each player, optional
        Together they hold every column once; by default each column is a player.
    rows : int
        Most rows handed to the model at once.
    books
        `budget`, `progress`, `remember` of `Game`.
    """
    x, background = np.asarray(x), np.asarray(background)
    if x.ndim != 1 or background.ndim != 2 or background.shape[1:] != x.shape or not len(background):
        raise ShapeError(f"A row of shape {x.shape} and a background of shape {background.shape}",
                         "(columns,) and (at least one row, the same columns)")  # fmt: skip
    owner = _owners(groups, len(x))
    players, size = int(owner.max()) + 1, len(background)
    mixed_type = np.result_type(x, background)

    def value(coalitions: np.ndarray) -> np.ndarray:
        present = coalitions[:, owner]
        step = max(1, rows // len(coalitions))
        total = 0.0
        for start in range(0, size, step):  # where one coalition alone is more than `rows`
            part = background[start : start + step]
            mixed = np.where(present[:, None], x, part[None]).astype(mixed_type, copy=False)
            answer = np.asarray(model(mixed.reshape(-1, len(x))), dtype=np.float64)
            if answer.ndim == 0 or len(answer) != len(coalitions) * len(part):
                raise ShapeError(f"The model answered {answer.shape} to {len(coalitions) * len(part)} rows",
                                 "one answer for each row")  # fmt: skip
            total = total + answer.reshape(len(coalitions), len(part), -1).sum(axis=1)
        return total / size

    return Game(value, players, batch=max(1, rows // size), background=size, **books)


def _owners(groups: Sequence[Sequence[int]] | np.ndarray | None, columns: int) -> np.ndarray:
    """The player (columns,) of each column; refused where a column has none or several."""
    if groups is None:
        return np.arange(columns)
    times = np.zeros(columns, dtype=np.int64)
    owner = np.zeros(columns, dtype=np.int64)
    for player, group in enumerate(groups):
        group = np.asarray(group, dtype=np.int64).ravel()
        if not len(group) or group.min() < 0 or group.max() >= columns:
            raise InputError(
                f"Player {player} has columns {group.tolist()[:5]}", f"some of 0 to {columns - 1}"
            )
        np.add.at(times, group, 1)
        owner[group] = player
    if (times != 1).any():
        column = int(np.flatnonzero(times != 1)[0])
        found = f"Column {column} belongs to {int(times[column])} players ({int((times != 1).sum())} such columns)"
        raise InputError(
            found, "every column in exactly one group", "Put columns that are in none into a group"
        )
    return owner
