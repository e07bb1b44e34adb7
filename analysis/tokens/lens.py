"""What a network would answer from each layer: every layer behind it is left out, and the network's own way from its
last state to the answer does the rest. Behind the last layer that is the answer itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.outputs.divergences import kl
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.stream_cost import AT_ONCE

FIRST, SHIFTS = 5, 50  # answers that are compared as a set; ways to shift samples


@dataclass(frozen=True)
class Lens:
    """`answers` (L + 1, n, C) as the network gives them (logits or an embedding), from the input on; the last is its
    own."""

    answers: np.ndarray

    @property
    def logs(self) -> np.ndarray:
        """(L + 1, n, C) log-probabilities."""
        return log_probabilities(self.answers)


def lens(who, progress=lambda f: None) -> Lens:
    """Of all samples of a stream: L passes more than one of each."""
    found, layers = [], len(who.names)
    for part, given in who.batches(AT_ONCE):
        progress(part.start / who.n)
        found.append(np.stack([
            who.passed(given, {i: None for i in range(start, layers)}, states=False).answer
            for start in range(layers + 1)
        ]))  # fmt: skip
    return Lens(np.concatenate(found, axis=1))


def first_answers(z: np.ndarray, k: int) -> np.ndarray:
    """(n, C) 1.0 at the k largest of each row, of equal ones the first."""
    order = np.argsort(-z, axis=1, kind="stable")[:, :k]
    out = np.zeros(z.shape)
    np.put_along_axis(out, order, 1.0, axis=1)
    return out


def paired_and_others(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """((n,) inner products of paired rows, the exact mean over all pairs of different rows)."""
    own, n = np.einsum("ij,ij->i", a, b), len(a)
    if n < 2:
        return own, float("nan")
    return own, float((a.sum(axis=0) @ b.sum(axis=0) - own.sum()) / (n * (n - 1)))


def divergences(end: np.ndarray, layer: np.ndarray) -> tuple[np.ndarray, float]:
    """((n,) KL(end || layer) of log-probabilities (n, C), in nats; the mean of a sample's end with another's layer)."""
    p = np.exp(end)
    _, others = paired_and_others(p, layer)
    return kl(end, layer), float((p * end).sum(axis=1).mean() - others)


def overlaps(end: np.ndarray, layer: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """((n,) shares of the first k answers that both have, the same with another sample's)."""
    own, others = paired_and_others(first_answers(end, k) / k, first_answers(layer, k))
    return own, others


def cosines(end: np.ndarray, layer: np.ndarray) -> tuple[np.ndarray, float]:
    """((n,) between outputs, the same with another sample's)."""
    return paired_and_others(
        *(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300) for x in (end, layer))
    )


def settled(top: np.ndarray) -> np.ndarray:
    """(n,) number of layers behind which the top answer (L + 1, n) is the last one and stays so."""
    same = top == top[-1]
    return (len(top) - np.cumprod(same[::-1], axis=0).sum(axis=0)).astype(int)


def settled_by_chance(top: np.ndarray) -> float:
    """Mean of `settled` where all layers but the last say another sample's top answers (L + 1, n): with few answers
    they agree by chance. Over at most 50 ways to shift samples; NaN for one sample."""
    n = top.shape[1]
    shifts = np.unique(np.linspace(1, n - 1, min(n - 1, SHIFTS)).round().astype(int)) if n > 1 else []
    others = [np.concatenate([np.roll(top[:-1], s, axis=1), top[-1:]]) for s in shifts]
    return float(np.mean([settled(x).mean() for x in others])) if len(others) else float("nan")
