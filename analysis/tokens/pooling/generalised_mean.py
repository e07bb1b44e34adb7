"""Generalised mean of positive numbers, and how much each of them counts in it.

    f = (1/T Σ_i x_i^p)^{1/p},      w_i = x_i^p / Σ_j x_j^p

p = 1 is the mean, p -> 0 the geometric mean, p -> ∞ the maximum, from below with f >= max T^{-1/p}; f grows with p. One
p serves all channels, or each has its own (those of a group the same). The weights are a softmax of p log x over the
tokens. Computed as f = max · exp(log1p(mean expm1(p log(x / max))) / p), which neither overflows for large p nor
cancels for small.

Reference: B. Ko, H.-G. Kim, B. Heo, S. Yun, S. Chun, G. Gu & W. Kim (2022), "Group generalized mean pooling for vision
transformer".
"""

from __future__ import annotations

import numpy as np

CLAMP, SHIFT = "clamp at ε", "shift each channel to start at ε"
WAYS = (CLAMP, SHIFT)


def made_positive(
    x: np.ndarray, present: np.ndarray, how: str, epsilon: float
) -> tuple[np.ndarray, float, float]:
    """((n, T, d) above 0, share of the numbers that were clamped, ε): ε is `epsilon` of the root mean square."""
    there = x[present]
    spread = float(np.sqrt(np.square(there).mean())) if there.size else 0.0
    least = epsilon * (spread if spread > 0 else 1.0)
    if how == SHIFT:
        out = x - there.min(axis=0) + least
        return np.where(present[..., None], out, least), 0.0, least
    return np.maximum(x, least), float((there < least).mean()), least


def generalised_mean(x: np.ndarray, p, present: np.ndarray | None = None) -> np.ndarray:
    """(…, d) of positive `x` (…, T, d); `p` >= 0, one number or (d,), 0 the geometric mean and ∞ the maximum. Tokens
    that are not `present` (…, T) are left out. O(T d)."""
    here = np.ones(x.shape[:-1], bool) if present is None else present
    most = np.where(here[..., None], x, 0.0).max(axis=-2, keepdims=True)
    logs = np.where(here[..., None], np.log(np.where(here[..., None], x, 1.0)) - np.log(most), 0.0)
    count = here.sum(axis=-1)[..., None]
    p = np.broadcast_to(np.asarray(p, np.float64), x.shape[-1:])
    finite = np.where(np.isfinite(p) & (p > 0), p, 1.0)
    with np.errstate(under="ignore"):
        inside = np.expm1(finite * logs).sum(axis=-2) / count
        middle = np.log1p(inside) / finite
        found = np.where(np.isinf(p), 0.0, np.where(p == 0, logs.sum(axis=-2) / count, middle))
        return most[..., 0, :] * np.exp(found)


def token_weights(x: np.ndarray, p: float, present: np.ndarray | None = None) -> np.ndarray:
    """(…, T, d) x^p / Σ x^p over tokens; at p = ∞ shared by the tokens that are largest."""
    here = np.ones(x.shape[:-1], bool) if present is None else present
    most = np.where(here[..., None], x, 0.0).max(axis=-2, keepdims=True)
    if np.isinf(p):
        weight = ((x >= most) & here[..., None]).astype(np.float64)
    else:
        logs = np.log(np.where(here[..., None], x, 1.0)) - np.log(most)
        with np.errstate(under="ignore"):
            weight = np.exp(p * np.where(here[..., None], logs, 0.0)) * here[..., None]
    return weight / weight.sum(axis=-2, keepdims=True)
