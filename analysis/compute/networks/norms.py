"""Norms of a network: what tokens they are given, and what they do not see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

EXPLODES = 10.0  # medians
ROWS = 64  # tokens that a norm is asked about


def audited(seen: Sequence[tuple[np.ndarray, ...]]) -> dict:
    """Of batches (means, root mean squares, share of the largest unit, present), each (b, T)."""
    there = [present for *_, present in seen]
    mean, scale, peak = (
        np.concatenate([s[i][p] for s, p in zip(seen, there, strict=True)]) for i in range(3)
    )
    middle = max(float(np.median(scale)), 1e-300)
    where = np.concatenate([np.nonzero(p)[1] for p in there])
    return {
        "mean": float(mean.mean()), "scale": float(np.median(scale)), "largest scale": float(scale.max() / middle),
        "largest at": int(where[scale.argmax()]), "exploding": float((scale > EXPLODES * middle).mean()),
        "largest unit": float(peak.mean()),
    }  # fmt: skip


def ignored(apply: Callable, gain, bias, x: np.ndarray, rng: np.random.Generator) -> dict:
    """Relative changes of what a norm makes of rows `x` (n, d) under scale, shift and rotations, gain and bias undone.
    Units whose gain is 0 are left out of it."""
    x = x[rng.permutation(len(x))[:ROWS]]
    d = x.shape[1]
    used = np.ones(d, bool) if gain is None else gain != 0

    def core(rows):
        out = apply(rows) if bias is None else apply(rows) - bias
        return out if gain is None else np.where(used, out / np.where(used, gain, 1.0), 0.0)

    plain = core(x)
    size = max(float(np.linalg.norm(plain)), 1e-300)

    def changed(a, b=plain):
        return float(np.linalg.norm(np.where(used, a - b, 0.0)) / size)

    turn, keeps = rotations(d, rng)
    return {
        "changed by scale": changed(core(3 * x)),
        "changed by shift": changed(core(x + x.std(axis=1, keepdims=True))),
        "changed by rotation": changed(core(x @ turn), plain @ turn),
        "by a rotation that keeps the mean": changed(core(x @ keeps), plain @ keeps),
    }


def rotations(d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two random orthogonal (d, d): any, and one that leaves the vector of ones alone."""
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    basis = np.linalg.qr(np.column_stack([np.ones(d), rng.standard_normal((d, d - 1))]))[0]
    inside = np.eye(d)
    if d > 1:
        inside[1:, 1:] = np.linalg.qr(rng.standard_normal((d - 1, d - 1)))[0]
    return turn, basis @ inside @ basis.T


def shuffled_share(x: np.ndarray, rng: np.random.Generator) -> float:
    """Share of exploding rows of `x` (n, d) once each unit's values are exchanged between rows."""
    square = np.zeros(len(x))
    for unit in x.T:
        square += np.square(unit[rng.permutation(len(x))])
    scale = np.sqrt(square / x.shape[1])
    return float((scale > EXPLODES * np.median(scale)).mean())
