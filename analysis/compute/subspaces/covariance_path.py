"""The way from one covariance to another, and its spectrum on the way.

    Bures-Wasserstein   Σ_t = R_t R_tᵀ,  R_t = (1 - t) A^½ + t B^½ Q,  Q the rotation that brings B^½ nearest A^½
    log-Euclidean       Σ_t = exp((1 - t) log A + t log B)

The first is that of optimal transport: Gaussian samples moved in straight lines to their partners; any rank (where a
direction of one has nothing of the other the way is not unique). Between covariances of trace 1 a distance δ apart its
trace falls to 1 - t (1 - t) δ². The second keeps the logarithm of the determinant on a straight line.

References: R. Bhatia, T. Jain & Y. Lim (2019), "On the Bures-Wasserstein distance between positive definite matrices";
V. Arsigny et al. (2006), "Log-Euclidean metrics".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.spectra import participation_ratio
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.covariance_distances import BURES, LOG, Spread, between, prepared

PATHS = (BURES, LOG)
DRAWS = 10  # of turned axes


def on_the_way(name: str, a: Spread, b: Spread, places: Sequence[float]) -> list[np.ndarray]:
    """The covariances (d, d) at `places` from 0 (`a`) to 1 (`b`). O(d³) in all and O(d³) each."""
    if name == LOG:
        first, last = a.mapped(np.log), b.mapped(np.log)
        return [_exponential((1 - t) * first + t * last) for t in places]
    first, other = a.mapped(np.sqrt), b.mapped(np.sqrt)
    left, _, right = np.linalg.svd(other @ first)
    last = other @ left @ right
    roots = [(1 - t) * first + t * last for t in places]
    return [root @ root.T for root in roots]


def _exponential(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(values)) @ vectors.T


def spectra_on_the_way(name: str, a: Spread, b: Spread, places: Sequence[float]) -> np.ndarray:
    """(places, d) falling eigenvalues. O(places d³)."""
    return np.array([np.maximum(np.linalg.eigvalsh(c)[::-1], 0.0) for c in on_the_way(name, a, b, places)])


def turned_freely(spread: Spread, rng: np.random.Generator) -> Spread:
    """By a rotation drawn uniformly."""
    q, r = np.linalg.qr(rng.standard_normal(spread.matrix.shape))
    return spread.turned(q * np.where(np.diag(r) < 0, -1.0, 1.0))


@dataclass(frozen=True)
class Way:
    """From one tap to the next: eigenvalues `spectra` (1 + G, places, d), on all samples and without each group,
    `turned` (draws, places, d) with axes turned at random, and the `length` (1 + G,) with those of turned axes."""

    spectra: np.ndarray
    turned: np.ndarray
    length: np.ndarray
    lengths: np.ndarray

    def middle(self, which: str = "spectra") -> np.ndarray:
        """(…,) participation ratios in the middle."""
        found = getattr(self, which)
        return np.array([participation_ratio(row[found.shape[1] // 2]) for row in found])

    def ends(self) -> tuple[float, float]:
        return participation_ratio(self.spectra[0, 0]), participation_ratio(self.spectra[0, -1])


def way_between(name: str, first: Sequence[Spread], last: Sequence[Spread], places: np.ndarray, rng) -> Way:
    """From the first of `first` to the first of `last`, covariances on all samples and then without each group."""

    def length(a: Spread, b: Spread) -> float:
        return between(name, prepared(name, a), prepared(name, b))

    pairs = list(zip(first, last, strict=True))
    turned = [turned_freely(last[0], rng) for _ in range(DRAWS)]
    return Way(
        np.array([spectra_on_the_way(name, a, b, places) for a, b in pairs]),
        np.array([spectra_on_the_way(name, first[0], b, places) for b in turned]),
        np.array([length(a, b) for a, b in pairs]), np.array([length(first[0], b) for b in turned]),
    )  # fmt: skip


def held_shares(ways: list[Way], counts: list[int]) -> dict[str, np.ndarray]:
    """By name (4, places): share held by the first axes, its null, low and high."""

    def held(spectra: np.ndarray, k: int) -> np.ndarray:
        return np.minimum(spectra[..., :k].sum(axis=-1) / spectra.sum(axis=-1), 1.0)

    found = {}
    for k in counts:
        parts = []
        for i, way in enumerate(ways):
            every, null = held(way.spectra, k), held(way.turned, k).mean(axis=0)
            half = jackknife_half(every[1:])
            half = np.zeros(len(null)) if half is None else half
            part = np.array(
                [every[0], null, np.maximum(every[0] - half, 0.0), np.minimum(every[0] + half, 1.0)]
            )
            parts.append(part if i == len(ways) - 1 else part[:, :-1])
        found[f"first {k} axes" if k > 1 else "first axis"] = np.concatenate(parts, axis=1)
    return found
