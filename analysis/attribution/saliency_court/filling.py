"""Tokens put into a background, or taken out of a sample, in the order of a map.

    insertion   y(b + parts of the first k tokens)      from the background to the sample
    deletion    y(x - parts of the first k tokens)      from the sample to the background

Of an answer that is a sum over tokens, y = y(b) + Σ φ_u, the order of falling φ has the largest insertion area and the
smallest deletion area of all; a random order has in the mean the straight line y(b) + (k / T) Σ φ_u, and the variance
k (T - k) / (T - 1) times that of the φ_u at k.

Reference: V. Petsiuk, A. Das & K. Saenko (2018), "RISE".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target

ROWS, MOST = 64, 1 << 22  # of the network at once, and numbers at its site
INSERTION, DELETION = "insertion", "deletion"


def order_of(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Tokens (T,) from the largest value to the smallest; equal ones in any order."""
    return np.lexsort((rng.random(len(values)), -values))


def counts_of(tokens: int, points: int) -> np.ndarray:
    """(points + 1,) numbers of tokens, from none to all."""
    return np.floor(np.arange(points + 1) * tokens / points + 0.5).astype(np.int64)


def filled(
    run: SampleRun, base, target: Target, orders: np.ndarray, counts: np.ndarray, direction: str
) -> tuple[np.ndarray, int]:
    """(orders, counts) float64 of the target, after so many tokens of each of `orders` (k, T); and the rows that went
    through the network. `base` (tokens, units) is the background. Ends are taken from one run."""
    import torch

    k, tokens = orders.shape
    place = np.empty_like(orders)
    np.put_along_axis(place, orders, np.arange(tokens)[None], axis=1)
    inner = np.flatnonzero((counts > 0) & (counts < tokens))
    inside = (place[:, None, :] < counts[inner][None, :, None]).reshape(-1, tokens)
    inside = np.concatenate([inside, np.zeros((1, tokens), bool), np.ones((1, tokens), bool)])
    if direction == DELETION:
        inside = ~inside
    rows, found = max(1, min(ROWS, MOST // max(run.clean.numel(), 1))), []
    for start in range(0, len(inside), rows):
        put = torch.as_tensor(inside[start : start + rows])[:, :, None]
        found.append(run.values(torch.where(put, run.clean, base), target).double().numpy())
    found = np.concatenate(found)
    out = np.empty((k, len(counts)))
    out[:, inner] = found[:-2].reshape(k, len(inner))
    out[:, counts == 0], out[:, counts == tokens] = found[-2], found[-1]
    return out, len(inside)


def areas(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Under curves (…, counts), over the share of tokens."""
    return np.trapezoid(values, counts / counts[-1], axis=-1)
