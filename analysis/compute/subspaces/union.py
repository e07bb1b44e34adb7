"""A union of K low-dimensional subspaces through one point: each sample belongs to the subspace nearest to it.

K-subspaces alternates between two steps, as k-means does: give each sample to the subspace that keeps most of it,
k(x) = argmax |U_kᵀ x|², and put each subspace through the leading directions of its samples. Many random starts,
because most of them end in a local minimum. The model behind it is a mixture of N(0, s² U_k U_kᵀ + γ² I), whose
posterior weights and posterior mean have closed forms:

    w_k ∝ π_k exp(s² |U_kᵀ x|² / (2 γ² (s² + γ²))) (s² + γ²)^(-d_k / 2) γ^(d_k)
    E[U_k a | x] = s / (s² + γ²) Σ_k w_k U_k U_kᵀ x        for x = s U_k a + γ ε

References: P. Bradley & O. Mangasarian (2000), "k-plane clustering"; P. Wang et al. (2024), "Diffusion models learn
low-dimensional distributions via subspace clustering".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.spec import Progress, no_progress

PASSES = 60
SAME = 1e-6  # share of the total below which two ends count as one


@dataclass(frozen=True)
class Union:
    """`bases` (K, q, d) orthonormal, `codes` (n,) the subspace of each sample, `kept` the sum of |U_kᵀ x|², `ends`
    (restarts,) that sum at the end of each start."""

    bases: np.ndarray
    codes: np.ndarray
    kept: float
    ends: np.ndarray

    def reached(self, total: float) -> int:
        """How many starts ended as well as the best one, of `total` = Σ |x|²."""
        return int((self.ends >= self.kept - SAME * total).sum())


def leading(x: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The d leading directions (q, d) of samples `x` (m, q) about zero, and all q mean squares along directions,
    falling. O(m q² + q³)."""
    values, vectors = np.linalg.eigh(x.T @ x / max(len(x), 1))
    return vectors[:, ::-1][:, :d], np.maximum(values[::-1], 0.0)


def k_subspaces(
    x: np.ndarray,
    k: int,
    d: int,
    rng: np.random.Generator,
    restarts: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Union:
    """The best of some starts on `x` (n, q); d < q, k d <= n. Subspaces by falling number of samples.

    Time O(restarts passes (n q k d + k q³)).
    """
    best, ends = None, np.empty(restarts)
    for i in range(restarts):
        progress(span[0] + (span[1] - span[0]) * i / restarts, f"fitting {k} subspaces of {d} dimension(s)")
        bases, codes, ends[i] = _one_start(x, k, d, rng)
        if best is None or ends[i] > best[2]:
            best = bases, codes, ends[i]
    bases, codes, kept = best
    order = np.argsort(-np.bincount(codes, minlength=k), kind="stable")
    return Union(bases[order], np.argsort(order)[codes], float(kept), ends)


def assigned(x: np.ndarray, bases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subspace (n,) that keeps most of each sample, and how much |U_kᵀ x|² (n,)."""
    inside = np.stack([((x @ basis) ** 2).sum(axis=1) for basis in bases], axis=1)
    codes = inside.argmax(axis=1)
    return codes, inside[np.arange(len(x)), codes]


def _one_start(x: np.ndarray, k: int, d: int, rng) -> tuple[np.ndarray, np.ndarray, float]:
    chosen = rng.permutation(len(x))[: k * d].reshape(k, d)
    bases = np.stack([np.linalg.qr(x[rows].T)[0] for rows in chosen])
    codes, kept = assigned(x, bases)
    total = float(kept.sum())
    for _ in range(PASSES):
        _fill(x, codes, kept, k, d)
        bases = np.stack([leading(x[codes == j], d)[0] for j in range(k)])
        codes, kept = assigned(x, bases)
        last, total = total, float(kept.sum())
        if total <= last * (1 + 1e-12):
            break
    return bases, codes, total


def _fill(x: np.ndarray, codes: np.ndarray, kept: np.ndarray, k: int, d: int) -> None:
    """Give a subspace with fewer than d samples the d worst fitted ones of those that have some to spare."""
    for j in range(k):
        counts = np.bincount(codes, minlength=k)
        if counts[j] < d:
            spare = np.flatnonzero(counts[codes] > 2 * d)
            worst = spare[np.argsort((x[spare] ** 2).sum(axis=1) - kept[spare])[::-1][:d]]
            codes[worst] = j


def gap_dimension(values: np.ndarray, most: int) -> tuple[int, float]:
    """The dimension before the largest ratio of neighbouring `values` (q,), falling, up to `most`, and that ratio;
    infinite where nothing follows."""
    values = np.where(values > values[0] * 1e-12, values, 0.0)
    most = min(most, len(values) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(values[1 : most + 1] > 0, values[:most] / values[1 : most + 1], np.inf)
    ratio[values[:most] <= 0] = 1.0
    at = int(np.argmax(ratio))
    return at + 1, float(ratio[at])


def posterior_weights(
    x: np.ndarray, bases: Sequence[np.ndarray], shares: np.ndarray, s: float, gamma: float
) -> np.ndarray:
    """(n, K) probability of each component given x (n, q), for shares π (K,) and bases (q, d_k) of any dimensions."""
    both = s**2 + gamma**2
    logs = np.stack(
        [
            np.log(share)
            + s**2 * ((x @ basis) ** 2).sum(axis=1) / (2 * gamma**2 * both)
            - basis.shape[1] / 2 * np.log(both / gamma**2)
            for basis, share in zip(bases, shares, strict=True)
        ],
        axis=1,
    )
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs)
    return weights / weights.sum(axis=1, keepdims=True)


def posterior_mean(
    x: np.ndarray, bases: Sequence[np.ndarray], shares: np.ndarray, s: float, gamma: float
) -> np.ndarray:
    """(n, q) mean of the clean point U_k a given x = s U_k a + γ ε: what the best denoiser of the mixture gives."""
    weights = posterior_weights(x, bases, shares, s, gamma)
    projected = [w[:, None] * (x @ basis @ basis.T) for w, basis in zip(weights.T, bases, strict=True)]
    return s / (s**2 + gamma**2) * np.sum(projected, axis=0)
