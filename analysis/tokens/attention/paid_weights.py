"""The weights of attention that a network pays, of some of its samples, recorded when a layer is read.

Those of all layers together may be larger than the memory: above `KEPT` bytes a layer is recorded again when it is read
again, and L x H x T² numbers are never held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

BATCH, KEPT = 8, 2**28  # samples in a pass; bytes


def unchanged(inputs, _places):
    return inputs


def inputs_of(who, places: np.ndarray):
    """Prepared inputs of some samples of a network's subject."""
    found = who.opened
    items = [item for p in places for item in found.run.data.items(int(p), int(p) + 1)]
    return found.network.loaded.prepare(items)


def longer(x: np.ndarray, longest: int, name: str) -> np.ndarray:
    """Padded to `longest` tokens behind the last: queries and keys (n, H, T, e), attention (n, H, T, T)."""
    more = max(longest - x.shape[2], 0)
    return np.pad(x, ((0, 0), (0, 0), (0, more), (0, more if name == "attention" else 0))) if more else x


class PaidWeights:
    """(n, H, T, T) float32 by layer: what the network pays, run again for each layer; as many layers are kept as fit
    into `KEPT` bytes, at least the last one read."""

    def __init__(self, who, places: np.ndarray, longest: int = 0, changed: Callable = unchanged) -> None:
        self.who, self.places, self.longest, self.changed = who, places, longest, changed
        self.known: dict[int, np.ndarray] = {}

    def __getitem__(self, layer: int) -> np.ndarray:
        if layer not in self.known:
            while self.known and (len(self.known) + 1) * next(iter(self.known.values())).nbytes > KEPT:
                self.known.pop(next(iter(self.known)))
            self.known[layer] = np.concatenate(list(self._of(layer)))
        return self.known[layer]

    def _of(self, layer: int) -> Iterator[np.ndarray]:
        for k in range(0, len(self.places), BATCH):
            at = self.places[k : k + BATCH]
            inputs = self.changed(inputs_of(self.who, at), at)
            run = self.who.opened.network.run(inputs, record=("attention",), only=layer)
            yield longer(run.recorded["attention"][0], self.longest, "attention")
