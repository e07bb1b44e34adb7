"""How alike experts are: in what they make of tokens, in their weights, in which tokens they are chosen for."""

from __future__ import annotations

import numpy as np

from analysis.arrays import upper
from analysis.compute.statistics.clustered_means import clustered_share_interval
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.tokens.routing.cells import in_blocks
from analysis.tokens.routing.gates import gates

NEAR, DRAWN = 0.1, 1024  # of the larger gate; Gaussian tokens
FEW_SAMPLES = 8  # of which there are too few orders


def likeness(held: np.ndarray) -> np.ndarray:
    """(E, E) 2 <f_i, f_j> / (|f_i|² + |f_j|²) of what experts hold (E, …); 0 where both are 0."""
    flat = held.reshape(len(held), -1)
    inner = flat @ flat.T
    own = np.diag(inner)
    both = own[:, None] + own
    out = np.divide(2 * inner, both, out=np.zeros_like(inner), where=both > 0)
    np.fill_diagonal(out, 1.0)
    return np.clip(out, -1.0, 1.0)


def together(logits: np.ndarray) -> np.ndarray:
    """(E, E) correlations of logits (E, n) less their mean over experts; 0 of one that does not vary."""
    x = logits - logits.mean(axis=0)
    x = x - x.mean(axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1)
    largest = length.max(initial=0.0)
    x = np.divide(
        x, length[:, None], out=np.zeros_like(x), where=(length > 1e-12 * max(largest, 1e-300))[:, None]
    )
    out = np.clip(x @ x.T, -1.0, 1.0)
    np.fill_diagonal(out, 1.0)
    return out


def pairs_interval(values: np.ndarray) -> dict:
    """95 % interval of the mean over pairs of experts, `values` (E, E), one expert left out at a time; from four on."""
    if len(values) < 4:
        return {"interval": "none: fewer than four experts"}
    keep = ~np.eye(len(values), dtype=bool)
    without = np.array([upper(values[row][:, row]).mean() for row in keep])
    mean, half = float(upper(values).mean()), float(jackknife_half(without))
    return {
        "low": max(mean - half, -1.0),
        "high": min(mean + half, 1.0),
        "interval": "jackknife over experts",
    }


def exchanged(held: np.ndarray, rng: np.random.Generator, samples: np.ndarray | None = None) -> np.ndarray:
    """What experts hold (E, n, …) of n tokens of the samples (n,), each expert's with whole samples exchanged at
    random: tokens of one sample are alike, and stay together. Where there are fewer than eight samples, tokens are
    exchanged; without samples, as of weights, all entries."""
    if samples is None:
        return rng.permuted(held.reshape(len(held), -1), axis=1)
    at = np.argsort(samples, kind="stable")
    _, starts, counts = np.unique(samples[at], return_index=True, return_counts=True)
    if len(starts) < FEW_SAMPLES:
        starts, counts = np.arange(len(at)), np.ones(len(at), int)
    out = np.empty_like(held)
    for one, moved in zip(held, out, strict=True):
        moved[at] = one[at[in_blocks(starts, counts, rng)]]
    return out


def shared_cells(logits: np.ndarray, k: int, samples: np.ndarray) -> tuple[dict, dict]:
    """(share of tokens whose last choice has a gate less than 10 % above that of the first expert left out, with its
    interval; the same of Gaussian logits of their size) as an `Estimate` takes them."""
    if k >= logits.shape[1]:
        return {"value": 0.0, "interval": "none: a token goes to all experts"}, {
            "null": 0.0, "null_method": "a token goes to all experts"}  # fmt: skip
    near = _near(logits, k)
    _, of = np.unique(samples, return_inverse=True)
    ends = clustered_share_interval(near.astype(float), of, "samples")
    ends = ends or {"interval": "none: fewer than three samples"}
    value = float(near.mean())
    other = np.random.default_rng(0).standard_normal((DRAWN, logits.shape[1])) * logits.std()
    return {"value": value, **ends}, {
        "null": float(_near(other, k).mean()), "null_method": "Gaussian logits of the same spread"}  # fmt: skip


def _near(logits: np.ndarray, k: int) -> np.ndarray:
    """(n,) bool."""
    p = -np.sort(-gates(logits), axis=1)
    return p[:, k] > (1 - NEAR) * p[:, k - 1]
