"""Which parts of a picture or a text go to which expert.

A token's neighbours are those beside and below it on the grid, or the next one in a text. Experts have *territory*
where neighbours go to the same expert more often than tokens of the same sample that change places.
"""

from __future__ import annotations

import numpy as np


def neighbour_pairs(tokens: np.ndarray, grid: tuple[int, int] | None, leading: int) -> np.ndarray:
    """(m, 2) places among `tokens` (t,), positions in one sample, of neighbours; those before the grid have none."""
    place = {int(t): i for i, t in enumerate(tokens)}
    found = []
    for i, t in enumerate(tokens):
        cell = int(t) - leading
        if grid is None:
            steps = (int(t) + 1,)
        elif not 0 <= cell < grid[0] * grid[1]:
            continue
        else:
            beside = (int(t) + 1,) if (cell + 1) % grid[1] else ()
            steps = (*beside, *((int(t) + grid[1],) if cell + grid[1] < grid[0] * grid[1] else ()))
        found += [(i, place[s]) for s in steps if s in place]
    return np.array(found, int).reshape(-1, 2)


def same_expert(winner: np.ndarray, pairs: np.ndarray) -> float:
    """Share of neighbours `pairs` (m, 2) that go to one expert, `winner` (t,) of each token."""
    return float((winner[pairs[:, 0]] == winner[pairs[:, 1]]).mean())


def same_by_chance(winner: np.ndarray) -> float:
    """Its mean over all orders of the tokens of the sample: Σ c (c - 1) / (t (t - 1))."""
    counts, t = np.bincount(winner), len(winner)
    return float((counts * (counts - 1)).sum() / (t * (t - 1)))
