"""How much of a head's learned function is an exponential, and how much of it lies below 0."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.nulls import null_spread
from analysis.results import Estimate


def best_exponential(x: np.ndarray, y: np.ndarray) -> float:
    e = np.exp(x)
    return float(e @ y / (e @ e))


def explained(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the sum of squares of y (n,) that c exp(x) explains."""
    total = float(y @ y)
    return 1 - float(np.square(y - best_exponential(x, y) * np.exp(x)).sum()) / total if total > 0 else 0.0


def share_words(share: float) -> str:
    """In per cent, with the digits that a small one has: nothing that is there is called 0 %."""
    if share <= 0:
        return "0 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.095 else f"{100 * share:.2g} %" if share >= 1e-4 \
        else "below 0.01 %"  # fmt: skip


def of_head(name: str, x, own: np.ndarray, others: list[np.ndarray]) -> list[Estimate]:
    facts = {"interval": "none: weights are no sample", "n": own.shape[1], "d": own.shape[0], "unit": "share",
             "null_method": f"coefficients in random order, {len(others)} draws"}  # fmt: skip
    chance = np.array([explained(x, o.mean(axis=0)) for o in others])
    below = np.array([float((o < 0).mean()) for o in others])
    return [
        Estimate(f"explained by an exponential, {name}", explained(x, own.mean(axis=0)), **null_spread(chance), **facts,
                 estimator="1 - squared distance from the best c exp(x) over the sum of squares"),
        Estimate(f"below 0, {name}", float((own < 0).mean()), **null_spread(below), **facts,
                 estimator="share of functions and scores"),
    ]  # fmt: skip
