"""Do two numbers put a few things in the same order? Spearman's correlation with its null over all orders."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from analysis.compute.statistics.auroc import midranks

MOST_EXACT, DRAWS = 8, 20_000  # 40,320 orders


@dataclass(frozen=True)
class Agreement:
    """Spearman's `value`; its `null` over the orders of one side, all of them if `exact`; two-sided `p`."""

    value: float
    null: np.ndarray
    exact: bool
    p: float


def spearman(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Agreement | None:
    """Of two numbers (k,) of k things; None where one of them is the same for all. Up to eight things every order is
    counted, the seen one among them; beyond, 20,000 seeded ones, and the seen one once."""
    a, b = (midranks(np.asarray(v)[:, None])[0][:, 0] - (len(v) + 1) / 2 for v in (x, y))
    scale = np.sqrt((a @ a) * (b @ b))
    if scale == 0:
        return None
    k, value = len(a), float(a @ b / scale)
    exact = k <= MOST_EXACT
    every = list(permutations(range(k))) if exact else rng.permuted(np.tile(np.arange(k), (DRAWS, 1)), axis=1)
    null = b[np.array(every)] @ a / scale
    extreme = int((np.abs(null) >= abs(value) - 1e-12).sum())
    return Agreement(value, null, exact, extreme / len(null) if exact else (extreme + 1) / (len(null) + 1))
