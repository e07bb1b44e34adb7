"""The entries of one field of an embedding table: how their variance is spread over dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.spectra import entropy_rank


@dataclass(frozen=True)
class Field:
    """`entries` (n, d) of one field and their `weight` (n,), which adds up to 1."""

    name: str
    entries: np.ndarray
    weight: np.ndarray

    @staticmethod
    def of(name: str, entries: np.ndarray, often: np.ndarray) -> Field:
        """`often` (n,): how often each occurs."""
        return Field(name, entries, often / max(float(often.sum()), np.finfo(float).tiny))

    @property
    def effective(self) -> float:
        """Their effective number."""
        square = float((self.weight**2).sum())
        return 1 / square if square else 0.0

    def covariance(self, keep: np.ndarray | None = None) -> np.ndarray:
        """(d, d), of the rows `keep` (n,) bool only."""
        rows = slice(None) if keep is None else keep
        w = self.weight[rows] / max(float(self.weight[rows].sum()), np.finfo(float).tiny)
        z = self.entries[rows] - w @ self.entries[rows]
        return (z * w[:, None]).T @ z


def kept(importance: np.ndarray) -> np.ndarray:
    """(d,) share of the importance that the 1, 2, … most important dimensions have."""
    falling = np.sort(importance)[::-1]
    return np.cumsum(falling) / max(float(falling.sum()), np.finfo(float).tiny)


def field_rank(covariance: np.ndarray, reads: np.ndarray) -> float:
    """exp of the entropy of the eigenvalues of `covariance` (d, d), each dimension times the root of `reads` (d,); 0
    where nothing is left. O(d³)."""
    root = np.sqrt(reads)
    values = np.maximum(np.linalg.eigvalsh(covariance * root[:, None] * root), 0.0)
    return entropy_rank(values) if values.any() else 0.0
