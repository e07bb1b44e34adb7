"""How far answers move when a rule leaves so many tokens behind every layer: of a network, or of rows that are read by
their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.tokens.arithmetic import NetworkShape, multiply_adds
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.outputs import log_probabilities, logits_of_answer
from analysis.tokens.rule import Rule
from analysis.tokens.searching import plan_of
from analysis.tokens.view import CLASS

CHANGED, NATS = "answers that change", "nats"
BATCH = 32
LEAST = 1e-30


class NetworkAnswers:
    """Of an `Opened` network. `measure`: CHANGED or NATS; of a network that does not classify it is 1 - cosine of its
    output instead. Prepared inputs and whole answers are kept in memory."""

    def __init__(self, live, measure: str) -> None:
        self.live, self.network, self.n = live, live.network, live.n
        self.layers = live.network.layers
        self.measure = measure if live.classifies else "1 - cosine of the output"
        items = [live.run.data.items(i, i + 1)[0] for i in range(live.n)]
        self._items, self._whole = items, {}
        layout = self.network.run(self.network.loaded.prepare(items[:1])).layout
        self.tokens, self.fixed = int(layout.free.sum()), int((layout.present & ~layout.free).sum())
        self.notes = tuple(live.notes)
        self._inputs: dict[tuple[int, ...], object] = {}

    def moved(self, kept: Sequence[int], rule: Rule, samples: np.ndarray) -> np.ndarray:
        """(m,) of samples (m,)."""
        return np.concatenate([
            self._moved(kept, rule, tuple(samples[i : i + BATCH].tolist())) for i in range(0, len(samples), BATCH)
        ])  # fmt: skip

    def _moved(self, kept, rule: Rule, part: tuple[int, ...]) -> np.ndarray:
        if part not in self._inputs:
            self._inputs[part] = self.network.loaded.prepare([self._items[i] for i in part])
            self._whole[part] = logits_of_answer(self.network.run(self._inputs[part]))
        run = self.network.run(
            self._inputs[part], rule, plan_of(kept, self.tokens), rng=np.random.default_rng([0, part[0]])
        )
        a, b = self._whole[part], logits_of_answer(run)
        if self.measure == CHANGED:
            return (a.argmax(axis=1) != b.argmax(axis=1)) * 1.0
        if self.measure == NATS:
            p, q = log_probabilities(a), log_probabilities(b)
            return np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
        lengths = np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), LEAST)
        return 1 - (a * b).sum(axis=1) / lengths

    def cost(self, kept: Sequence[float], rule: Rule) -> float:
        """Multiply-adds of a sample with as many tokens as the first, by those of all its tokens."""
        shape, whole = self.live.shape(), np.full(self.layers + 1, self.tokens + self.fixed)
        less = np.concatenate([[self.tokens], np.asarray(kept, float)]) + self.fixed
        return multiply_adds(shape, less, rule.place).total / multiply_adds(shape, whole, rule.place).total


class RowAnswers:
    """Of a dump: squared distance of the mean over the tokens left from that over all, by the spread of tokens."""

    measure = "distance of the mean"

    def __init__(self, dump: TokenDump, notes: tuple[str, ...]) -> None:
        self.dump, self.n, self.layers, self.notes = dump, dump.n, dump.layers, notes
        self.tokens = int(dump.layout.free.sum(axis=1).max())
        self.fixed = int((dump.layout.kinds == CLASS).sum(axis=1).max())

    def moved(self, kept: Sequence[int], rule: Rule, samples: np.ndarray) -> np.ndarray:
        """(m,) of samples (m,)."""
        part = self.dump.rows(samples)
        run = simulate(
            part, rule, plan_of(kept, self.tokens), rng=np.random.default_rng([0, int(samples[0])])
        )
        left = (run.states[-1].owner == np.arange(part.layout.free.shape[1])) & part.layout.free
        x, free = part.recorded["hidden"][0], part.layout.free
        mean, less = (
            np.einsum("bt,btd->bd", m / m.sum(axis=1, keepdims=True), x) for m in (free * 1.0, left * 1.0)
        )
        spread = (np.square(x - mean[:, None]).sum(axis=2) * free).sum(axis=1) / free.sum(axis=1)
        return np.square(less - mean).sum(axis=1) / np.where(spread > 0, spread, 1.0)

    def cost(self, kept: Sequence[float], rule: Rule) -> float:
        """Multiply-adds of blocks as wide as the rows, four times as wide inside, by those of all tokens."""
        d = self.dump.recorded["hidden"][0].shape[2]
        shape, whole = (
            NetworkShape(self.layers, d, d, d, 4 * d),
            np.full(self.layers + 1, self.tokens + self.fixed),
        )
        less = np.concatenate([[self.tokens], np.asarray(kept, float)]) + self.fixed
        return multiply_adds(shape, less, rule.place).total / multiply_adds(shape, whole, rule.place).total
