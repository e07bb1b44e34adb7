"""How the tokens to be removed are spread over the layers.

Every spread takes one number, the share of the free tokens that are still there after the last layer, and says how many
go behind the attention of each layer. Whole tokens only: shares of a token are carried on to the next layer.

    even     the same number in every layer (ToMe's r)
    once     all behind one layer, the second of six
    thirds   the same share behind layers 4, 7 and 10 of twelve (EViT)
    quarters the same share at the ends of the first three quarters of the depth (PyramidDrop; DynamicViT)
    falling  none in the first 40 % of layers, then the same number in each until only the share is left
    halved   down to the root of the share behind the first layer, then falling (AIM: merged, then pruned)
    second   all behind the second layer (FastV)
    twice    the same share behind a quarter and behind half of the layers (FEATHER)
    sigmoid  1 / (1 + exp((l - m) / w)) behind layer l of L, w = L / 8, m such that the share is left at the end
             (G-Search; m moves to meet a budget)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError


@dataclass(frozen=True)
class Schedule:
    """`remove` (L,) whole tokens behind the attention of each layer, of `tokens` free ones."""

    remove: tuple[int, ...]
    tokens: int

    @property
    def kept(self) -> tuple[int, ...]:
        """(L + 1,) free tokens before each layer and after the last."""
        return tuple(int(k) for k in self.tokens - np.concatenate([[0], np.cumsum(self.remove)]))


def _stages(places: Callable[[int], list[int]]):
    def spread(share: float, layers: int, tokens: int) -> np.ndarray:
        at = sorted({min(p, layers - 1) for p in places(layers)})
        kept = np.full(layers, float(tokens))
        for k, place in enumerate(at, 1):
            kept[place:] = tokens * share ** (k / len(at))
        return kept

    return spread


def _even(share: float, layers: int, tokens: int) -> np.ndarray:
    return tokens * (1 - (1 - share) * np.arange(1, layers + 1) / layers)


def _falling(share: float, layers: int, tokens: int) -> np.ndarray:
    start = int(np.floor(0.4 * layers))
    done = np.clip((np.arange(1, layers + 1) - start) / max(layers - start, 1), 0, 1)
    return tokens * (1 - (1 - share) * done)


def _halved(share: float, layers: int, tokens: int) -> np.ndarray:
    return np.sqrt(share) * _falling(np.sqrt(share), layers, tokens)


def _sigmoid(share: float, layers: int, tokens: int) -> np.ndarray:
    if share >= 1:
        return np.full(layers, float(tokens))
    at = (np.arange(1, layers + 1) - layers) / (layers / 8) - np.log(share / (1 - share))
    return tokens / (1 + np.exp(np.clip(at, -700, 700)))


SPREADS: dict[str, Callable[[float, int, int], np.ndarray]] = {
    "even": _even,
    "once": _stages(lambda n: [max(round(n / 3) - 1, 0)]),
    "thirds": _stages(lambda n: [round(n * k / 4) for k in (1, 2, 3)]),
    "quarters": _stages(lambda n: [max(round(n * k / 4) - 1, 0) for k in (1, 2, 3)]),
    "falling": _falling,
    "halved": _halved,
    "second": _stages(lambda n: [1]),
    "twice": _stages(lambda n: [max(round(n * k / 4) - 1, 0) for k in (1, 2)]),
    "sigmoid": _sigmoid,
}


def schedule(spread: str, share: float, layers: int, tokens: int) -> Schedule:
    """The tokens to remove in each of `layers` so that `share` of `tokens` free ones are left, at least one.

    Raises ParameterError: an unknown spread, a share that is not in (0, 1] (0 would leave nothing), no layer.
    """
    if spread not in SPREADS:
        raise ParameterError(f"spread = {spread!r}", "one of " + ", ".join(SPREADS))
    if not 0 < share <= 1:
        raise ParameterError(
            f"a share of {share} of the tokens", "more than 0 and at most 1: some have to be left"
        )
    if layers < 1 or tokens < 0:
        raise ParameterError(f"{layers} layers and {tokens} free tokens", "at least one layer")
    kept = np.maximum(np.rint(SPREADS[spread](share, layers, tokens) + 1e-9), min(tokens, 1)).astype(int)
    return Schedule(tuple(int(r) for r in -np.diff(np.concatenate([[tokens], kept]))), tokens)


def at_layer(layer: int, keep: int, layers: int, tokens: int) -> Schedule:
    """All but `keep` tokens go behind one layer (0 the first). Raises ParameterError beyond the depth or the tokens."""
    if not 0 <= layer < layers:
        raise ParameterError(f"layer {layer}", f"from 0 to {layers - 1}")
    if not 1 <= keep <= tokens:
        raise ParameterError(f"{keep} tokens kept", f"from 1 to {tokens}")
    return Schedule(tuple(tokens - keep if i == layer else 0 for i in range(layers)), tokens)


def at_cost(
    cost: Callable[[Schedule], float], spread: str, target: float, layers: int, tokens: int
) -> Schedule:
    """The schedule of this spread whose `cost`, which rises with the tokens, is the largest at most `target`, found by
    bisection on the tokens left in the end; the smallest schedule where none is as cheap."""
    low, high = 1, max(tokens, 1)
    while low < high:
        middle = (low + high + 1) // 2
        if cost(schedule(spread, middle / max(tokens, 1), layers, tokens)) <= target:
            low = middle
        else:
            high = middle - 1
    return schedule(spread, low / max(tokens, 1), layers, tokens)
