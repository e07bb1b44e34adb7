"""How tokens are weighed for two prompts, and what that keeps and gains."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import sample_groups
from analysis.tokens.pooling.weighted_volume import cell_weights, cosines, pooled_volume


def prompt_weights(x, q, cell, temperature) -> np.ndarray:
    """(N,) of tokens x (N, d) for a prompt q (d,), by cell (N,)."""
    return cell_weights(cosines(x, q), cell, temperature)


def prompt_told(x, q, w, cell) -> np.ndarray:
    """(3,): tokens in effect over those of a cell, distance of the two prompts, gain in similarity with the prompt."""
    cells = cell.max() + 1
    entropy = -(w[0] * np.log(np.where(w[0] > 0, w[0], 1.0)))
    counts = np.exp(np.bincount(cell, entropy)) / np.bincount(cell)
    apart = 0.5 * np.bincount(cell, np.abs(w[0] - w[1])).mean()
    average = 1.0 / np.bincount(cell)[cell]
    gain = cosines(pooled_volume(x, w[0], cell), q[0]) - cosines(pooled_volume(x, average, cell), q[0])
    return np.array([counts.mean(), apart, gain.sum() / cells])


def prompt_without(x, q, cell, temperature: float, rng) -> np.ndarray:
    """(G, 3) the same without each group of units."""
    d, found = x.shape[1], []
    for group in sample_groups(d, rng) if d > 2 else []:
        k = np.setdiff1d(np.arange(d), group)
        w = np.stack([prompt_weights(x[:, k], v[k], cell, temperature) for v in q])
        found.append(prompt_told(x[:, k], q[:, k], w, cell))
    return np.array(found).reshape(len(found), 3)


def prompt_null(x, q, usual: np.ndarray | None, cell) -> np.ndarray:
    """(m, 3) of other prompts: tokens in effect, distance of two of them in a row, the gain that their weights give in
    similarity with the prompt."""
    if usual is None or len(usual) < 2:
        return np.zeros((0, 3))
    pairs = zip(usual, np.roll(usual, 1, axis=0), strict=True)
    return np.array([prompt_told(x, q, np.stack(pair), cell) for pair in pairs])
