"""Layers whose numbers can be rounded: the blocks of a network that is run, or parts of the units of a tap."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from analysis.errors import InputError, NotEnoughData
from analysis.tokens.cache.quantisers import quantised_columns

BATCH, PARTS = 16, 4
TURNED = ("Conv1D",)  # modules whose weights stand as (inputs, outputs)


class BlocksOfNetwork:
    """The matrices of each block of a NetworkSubject's network."""

    notes: tuple[str, ...] = ("Biases, norms, embeddings and the readout are not rounded.",)

    def __init__(self, who) -> None:
        self.who, self.run = who, who.opened.run
        blocks = who.opened.network.blocks
        self.names = tuple(b.name for b in blocks)
        self.count = len(blocks)
        self._weights = [_matrices(b, self.run.original) for b in blocks]
        self.sizes = np.array([sum(self.run.original[n].size for n in w) for w in self._weights])
        first = self.run.measure()
        self._of_loss = bool(np.isfinite(first.loss).any())
        self._known = np.isfinite(first.loss if self._of_loss else first.correct)
        self.loss_name = "loss" if self._of_loss else "share of wrong answers"
        if not self._of_loss and not np.isfinite(first.correct).any():
            raise InputError(
                f"{who.what} without labels or next tokens",
                "a network with a loss",
                "Record labels with the samples",
            )

    def numbers(self) -> list[np.ndarray]:
        """All weights of each layer."""
        return [np.concatenate([self.run.original[n].ravel() for n in w]) for w in self._weights]

    def lims(self, score: Callable) -> np.ndarray:
        """(n, L) mean over tokens of a score of rows before and after each layer."""
        found = []
        for _, dump in self.who.dumps(BATCH, ("hidden",)):
            for b in range(dump.n):
                x = [h[b][dump.layout.present[b]].astype(np.float64) for h in dump.recorded["hidden"]]
                found.append([score(before, after).mean() for before, after in pairwise(x)])
        return np.array(found)

    def loss(self, which: frozenset, bits: int, high: int | None) -> np.ndarray:
        """(n,) of each sample with the layers `which` at `bits`, the others at `high` bits (None: as they are)."""
        changed = {}
        for i, names in enumerate(self._weights):
            b = bits if i in which else high
            for name, turned in names.items() if b is not None else ():
                w = self.run.original[name].astype(np.float64)
                changed[name] = (quantised_columns(w.T, b).T if turned else quantised_columns(w, b)).astype(
                    self.run.original[name].dtype
                )
        found = self.run.measure(changed)
        loss = (found.loss if self._of_loss else 1 - found.correct)[self._known]
        if not np.isfinite(loss).all():
            raise InputError(
                f"{int((~np.isfinite(loss)).sum())} of {len(loss)} samples have no finite loss with "
                f"{len(which)} layer(s) at {bits} bits", "a network that still computes",
                "Choose more bits: to leave these samples out would hide the worst",
            )  # fmt: skip
        return loss


class PartsOfRows:
    """Neighbouring units of a tap, as if each part were added to the others by a layer of its own."""

    notes: tuple[str, ...] = (
        f"Up to {PARTS} parts of the tap's units stand for layers; their numbers are rounded.",
    )
    loss_name = "squared error of the rows over their size"

    def __init__(self, who, name: str) -> None:
        dump = who.dump
        x, there = dump.recorded["hidden"][0], dump.layout.present
        self._rows = [a[p] for a, p in zip(x, there, strict=True)]
        d = x.shape[2]
        self._parts = [p for p in np.array_split(np.arange(d), min(PARTS, d)) if len(p)]
        self._size = float(np.mean([np.square(r).sum() / len(r) for r in self._rows]))
        if len(self._parts) < 2 or self._size == 0:
            raise NotEnoughData(f"{name} with {d} unit(s), or rows that do not vary", "two units or more that vary",
                                "Choose another tap")  # fmt: skip
        self.count = len(self._parts)
        self.names = tuple(f"units {p[0]} to {p[-1]}" for p in self._parts)
        self.sizes = np.array([len(p) for p in self._parts])

    def numbers(self) -> list[np.ndarray]:
        return [np.concatenate([r[:, p].ravel() for r in self._rows]) for p in self._parts]

    def lims(self, score: Callable) -> np.ndarray:
        found = []
        for r in self._rows:
            without = []
            for p in self._parts:
                before = r.copy()
                before[:, p] = 0
                without.append(score(before, r).mean())
            found.append(without)
        return np.array(found)

    def loss(self, which: frozenset, bits: int, high: int | None) -> np.ndarray:
        out = []
        for r in self._rows:
            error = 0.0
            for i, p in enumerate(self._parts):
                b = bits if i in which else high
                if b is not None:
                    error += float(np.square(quantised_columns(r[:, p], b) - r[:, p]).sum())
            out.append(error / len(r) / self._size)
        return np.array(out)


def layers_of(who, name: str) -> BlocksOfNetwork | PartsOfRows:
    """Layers of a subject. Raises InputError, NotEnoughData."""
    return BlocksOfNetwork(who) if who.is_network else PartsOfRows(who, name)


def _matrices(block, original: dict[str, np.ndarray]) -> dict[str, bool]:
    """Names of the matrices of a block in memory, and whether each stands as (inputs, outputs)."""
    found = {}
    for name, module in block.module.named_modules():
        for own, value in module.named_parameters(recurse=False):
            key = ".".join(part for part in (block.name, name, own) if part)
            if value.ndim == 2 and key in original:
                found[key] = type(module).__name__ in TURNED
    return found
