"""Is what is said with confidence p right in a share p of the cases? Calibration by bins, against a perfect model.

In bin b of n_b cases with mean confidence c_b and share right a_b, ECE = Σ_b (n_b / n) |a_b - c_b|. A perfectly
calibrated model has an ECE above 0, too: its cases are right with their own chances, and a bin of n_b of them strays by
about sqrt(c (1 - c) / n_b). That null is drawn: every case right with the chance that the model gave it.

References: M. Naeini, G. Cooper & M. Hauskrecht (2015); C. Guo et al. (2017), "On calibration of modern neural
networks"; J. Bröcker & L. Smith (2007) for the null by consistency resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 200
BINNING = ("equal width", "equal count")


@dataclass(frozen=True)
class Bins:
    """Bins that hold a case: `of` (n,), the bin of each; `count`, mean `confidence` and share `right` (b,)."""

    of: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    right: np.ndarray

    @property
    def ece(self) -> float:
        return float(self.count @ np.abs(self.right - self.confidence) / self.count.sum())


def bins_of(confidence: np.ndarray, right: np.ndarray, count: int, binning: str) -> Bins:
    """`confidence` and `right` (n,) in [0, 1]; equal confidences share a bin."""
    if binning == "equal width":
        place = np.minimum((confidence * count).astype(np.int64), count - 1)
    else:
        edges = np.quantile(confidence, np.arange(1, count) / count)
        place = np.searchsorted(np.unique(edges), confidence, side="right")
    of = np.unique(place, return_inverse=True)[1].reshape(-1)
    held = np.bincount(of)
    return Bins(of, held, np.bincount(of, confidence) / held, np.bincount(of, right) / held)


def ece_by_chance(
    bins: Bins, confidence: np.ndarray, rng: np.random.Generator, draws: int = DRAWS
) -> np.ndarray:
    """(draws,) ECE with the same bins when every case is right with the chance `confidence` (n,). O(draws n)."""
    out = np.empty(draws)
    for i in range(draws):
        hits = np.bincount(bins.of, rng.random(len(confidence)) < confidence, len(bins.count))
        out[i] = np.abs(hits - bins.count * bins.confidence).sum() / len(confidence)
    return out
