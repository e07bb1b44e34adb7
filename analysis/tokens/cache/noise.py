"""Signal over noise, in decibels, of keys, values, tokens or what heads give, when the cache is held at few bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.tokens.cache.quantisers import MIXED, at_bits, axes_of, decibels, high_axes
from analysis.tokens.cache.reading import Cache, Cached, attended

OUTPUT, KEYS, VALUES, TOKENS = "what the heads give", "keys", "values", "tokens"
PARTS, FOLDS = (OUTPUT, KEYS, VALUES, TOKENS), 2


def rows_of(cache: Cache, part: str, layer: int) -> list[np.ndarray]:
    """[(H, t, d)] of each sample: what is held at few bits in a layer, centred over all tokens (tokens are one head)."""
    if part == TOKENS:
        mean = np.concatenate([s.hidden[layer + 1] for s in cache.samples]).mean(axis=0)
        return [(s.hidden[layer + 1] - mean)[None] for s in cache.samples]
    return [getattr(s, part)[layer] for s in cache.samples]


def axes_for(rows: list[np.ndarray], way: str, fold: int, rng) -> list[np.ndarray]:
    """(d, d) of each head, from the samples that are not of this fold."""
    x = np.concatenate([r for i, r in enumerate(rows) if i % FOLDS != fold], axis=1)
    return [axes_of(way, head, rng) for head in x]


def held(x: np.ndarray, bits: int, way: str, axes: list[np.ndarray]) -> np.ndarray:
    """Rows (H, t, d) at so many bits."""
    return np.stack([at_bits(head, bits, way, a) for head, a in zip(x, axes, strict=True)])


def noise_of_layer(cache: Cache, part: str, way: str, bits, layer: int, rng) -> np.ndarray:
    """(n, B) decibels of each sample for each number of bits."""
    parts = (KEYS, VALUES) if part == OUTPUT else (part,)
    rows = [rows_of(cache, p, layer) for p in parts]
    axes = [[axes_for(r, way, f, rng) for f in range(FOLDS)] for r in rows]
    out = np.zeros((cache.n, len(bits)))
    for i, s in enumerate(cache.samples):
        whole = (
            attended(s.queries[layer], rows[0][i], rows[1][i], cache.causal) if part == OUTPUT else rows[0][i]
        )
        signal = float(np.square(whole).sum())
        for j, b in enumerate(bits):
            less = [held(r[i], b, way, a[i % FOLDS]) for r, a in zip(rows, axes, strict=True)]
            found = attended(s.queries[layer], *less, cache.causal) if part == OUTPUT else less[0]
            out[i, j] = decibels(signal, float(np.square(found - whole).sum()))
    return out


def structureless(cache: Cache, rng) -> Cache:
    """The same with Gaussian keys, values and tokens of the same second moments in each layer and head."""
    like = {}
    for part in (KEYS, VALUES):
        x = np.concatenate([getattr(s, part) for s in cache.samples], axis=2)
        like[part] = np.array([[_root(head) for head in layer] for layer in x])
    hidden = np.concatenate([s.hidden for s in cache.samples], axis=1)
    like[TOKENS] = np.array([_root(layer - layer.mean(axis=0)) for layer in hidden])
    samples = [
        Cached(s.queries, *(rng.standard_normal(getattr(s, p).shape) @ like[p] for p in (KEYS, VALUES)),
               rng.standard_normal(s.hidden.shape) @ like[TOKENS])
        for s in cache.samples
    ]  # fmt: skip
    return replace(cache, samples=samples)


def _root(x: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    return (vectors * np.sqrt(np.maximum(values, 0))).T


def basis_overlap(cache: Cache, part: str, layer: int) -> tuple[float, float]:
    """(mean squared cosine between the axes that either half of the samples would hold at twice the bits, what random
    axes of as many have), mean over heads."""
    rows = rows_of(cache, KEYS if part == OUTPUT else part, layer)
    halves = [axes_for(rows, MIXED, f, None) for f in range(FOLDS)]
    d = rows[0].shape[2]
    k = high_axes(d)
    return float(
        np.mean([np.square(a[:, :k].T @ b[:, :k]).sum() / k for a, b in zip(*halves, strict=True)])
    ), k / d
