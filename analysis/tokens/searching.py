"""The fewest tokens that every layer needs, and how far layers agree which tokens those are.

    k_l = the smallest k <= k_{l-1} with    drop(k_1, …, k_{l-1}, k, k, …, k) <= limit l / L

from shallow to deep, each by bisection: what is dropped is gone in all deeper layers, so counts cannot rise, and no
layer uses up more than its part of the limit. Bisection takes the drop to rise as tokens go; where it does not, fewer
tokens might do as well. The counts are summarised by

    k(l) / T = f + (1 - f) / (1 + e^((l - m) / w))

whose middle m is moved, all else kept, to meet a budget.

Agreement is Kendall's τ over pairs of tokens (ties as τ-b); of rankings that have nothing to do with each other it is 0
with standard deviation √(2 (2 n + 5) / (9 n (n - 1))) for n tokens.

Reference: S. Zhao, Z. Wang, F. Juefei-Xu, X. Xia, M. Liu, X. Wang, M. Liang, N. Zhang, D. N. Metaxas & L. Yu (2025),
"Accelerating multimodal large language models by searching optimal vision token reduction".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress
from analysis.tokens.schedule import Schedule


def fewest(
    drop: Callable[[tuple[int, ...]], float], layers: int, tokens: int, limit: float,
    progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0),
) -> tuple[int, ...]:  # fmt: skip
    """(L,) tokens behind every layer. `drop` of such counts says how far the output has moved, 0 where all stay.

    Raises ParameterError for a limit that is not above 0.
    """
    if not limit > 0:
        raise ParameterError(f"a limit of {limit}", "above 0: with 0 every token stays")
    kept = [tokens] * layers
    for layer in range(layers):
        progress(span[0] + (span[1] - span[0]) * layer / layers, "searching")
        low, high = 1, kept[layer]
        while low < high:
            middle = (low + high) // 2
            if drop((*kept[:layer], *[middle] * (layers - layer))) <= limit * (layer + 1) / layers:
                high = middle
            else:
                low = middle + 1
        kept[layer:] = [high] * (layers - layer)
    return tuple(kept)


def plan_of(kept: Sequence[float], tokens: int) -> Callable[[int], Schedule]:
    """The same shares of any number of free tokens, at least one."""
    share = np.minimum.accumulate(np.asarray(kept, np.float64)) / max(tokens, 1)

    def plan(n: int) -> Schedule:
        left = np.clip(np.ceil(share * n - 1e-9), min(n, 1), n).astype(int)
        return Schedule(tuple(int(r) for r in -np.diff(np.concatenate([[n], left]))), n)

    return plan


@dataclass(frozen=True)
class Sigmoid:
    """k(l) / T of layers l = 1 … L. `explained`: share of the spread of counts over layers, 1 where there is none."""

    middle: float
    width: float
    floor: float
    explained: float = 1.0

    def shares(self, layers: int) -> np.ndarray:
        """(L,) falling with depth."""
        at = np.clip((np.arange(1, layers + 1) - self.middle) / self.width, -700, 700)
        return self.floor + (1 - self.floor) / (1 + np.exp(at))


def fitted(kept: Sequence[int], tokens: int) -> Sigmoid:
    """Least squares over a grid of middles and widths, the floor in closed form, then once more around the best."""
    y, layers = np.asarray(kept, np.float64) / tokens, len(kept)
    middles, widths = np.linspace(-layers, 2 * layers, 61), np.geomspace(0.05, 2.0 * layers, 31)
    best, at = (np.inf, 0.0, 1.0, 0.0), np.arange(1, layers + 1)
    for _ in range(3):
        m, w = (x.ravel()[:, None] for x in np.meshgrid(middles, widths, indexing="ij"))
        s = 1 / (1 + np.exp(np.clip((at - m) / w, -700, 700)))
        over = np.square(1 - s).sum(axis=1)
        floor = np.clip(((y - s) * (1 - s)).sum(axis=1) / np.where(over > 0, over, 1), 0, 1)
        error = np.square(y - s - floor[:, None] * (1 - s)).sum(axis=1)
        least = int(error.argmin())
        best = min(best, (float(error[least]), float(m[least, 0]), float(w[least, 0]), float(floor[least])))
        step = middles[1] - middles[0]
        middles = np.linspace(best[1] - step, best[1] + step, 21)
        widths = np.geomspace(best[2] / 1.3, best[2] * 1.3, 21)
    spread = float(np.square(y - y.mean()).sum())
    return Sigmoid(best[1], best[2], best[3], 1 - best[0] / spread if spread > 1e-12 else 1.0)


def at_budget(curve: Sigmoid, cost: Callable[[np.ndarray], float], target: float, layers: int) -> Sigmoid:
    """The sigmoid moved along depth until `cost` of its shares (L,) is at most `target`, as near as there is; the
    earliest that is looked at where none is as cheap."""
    low, high = -4.0 * layers, 5.0 * layers
    for _ in range(60):
        middle = (low + high) / 2
        cheap = cost(Sigmoid(middle, curve.width, curve.floor).shares(layers)) <= target
        low, high = (middle, high) if cheap else (low, middle)
    return Sigmoid(low, curve.width, curve.floor, curve.explained)


def kendall(scores: np.ndarray) -> np.ndarray:
    """(m, m) τ-b between the rows of scores (m, n); 0 with a row that ranks nothing. O(m n²)."""
    above, below = np.triu_indices(scores.shape[1], 1)
    sign = np.sign(scores[:, above] - scores[:, below]).astype(np.float64)
    length = np.sqrt(np.square(sign).sum(axis=1))
    sign = sign / np.where(length > 0, length, 1)[:, None]
    return sign @ sign.T


def chance_spread(n: int) -> float:
    """Standard deviation of τ between rankings of n tokens that have nothing to do with each other."""
    return float(np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))) if n > 1 else 0.0


def by_place(tables: Sequence[np.ndarray]) -> np.ndarray:
    """(L, L) mean τ of a layer with a layer of the next sample, over the places that both have."""
    found = []
    for one, other in zip(tables, [*tables[1:], tables[0]], strict=True):
        n, layers = min(one.shape[1], other.shape[1]), len(one)
        found.append(kendall(np.concatenate([one[:, :n], other[:, :n]]))[:layers, layers:])
    mean = np.mean(found, axis=0)
    return (mean + mean.T) / 2
