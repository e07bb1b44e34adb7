"""The spectrum of one representation with what each sample contributes to it, so that functions of several spectra of
the same samples get intervals: first-order changes (an infinitesimal jackknife), s² - λ for a sample with score s on an
axis of eigenvalue λ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.spectra import rank_gradients, rankme, ranks

Z95 = 1.959964


@dataclass(frozen=True)
class SampleSpectrum:
    """Of n samples: `eigenvalues` (r,) of the covariance, falling, all above 0; `scores` (n, r) on the axes;
    `variances` (d,) of the units; `rankme` of the rows as they are."""

    eigenvalues: np.ndarray
    scores: np.ndarray
    variances: np.ndarray
    rankme: float

    @property
    def rank(self) -> int:
        return len(self.eigenvalues)

    @property
    def singular(self) -> np.ndarray:
        """(r,) singular values over the largest."""
        return np.sqrt(self.eigenvalues / self.eigenvalues[0])

    def relative(self) -> np.ndarray:
        """(n, r) each sample's contribution to the logarithm of each eigenvalue, times n."""
        return self.scores**2 / self.eigenvalues - 1

    def singular_error(self) -> np.ndarray:
        """(r,) standard errors of ln σ_i / σ_1."""
        change = self.relative()
        return _error((change - change[:, :1]) / 2)

    def rank_changes(self) -> np.ndarray:
        """(n, 3) each sample's contribution to the logarithm of each of the three `spectra.ranks`, times n."""
        value = np.array(list(ranks(self.eigenvalues).values()))
        return (self.scores**2 - self.eigenvalues) @ (rank_gradients(self.eigenvalues) / value[:, None]).T

    def powered(self, power: float) -> SampleSpectrum:
        """After σ^power for every singular value σ (the largest stays): a head that re-weights what is there, centred
        first; what it would do to the mean is not defined, so RankMe is that of centred rows."""
        factor = self.singular ** (power - 1)
        lam = self.eigenvalues * factor**2
        order = np.argsort(-lam, kind="stable")
        lam = lam[order]
        return SampleSpectrum(lam, (self.scores * factor)[:, order], lam, list(ranks(lam).values())[2])


def spectrum_of(x: np.ndarray) -> SampleSpectrum:
    """Of samples `x` (n, d), up to their scale, which no rank depends on and whose fourth power could overflow. Time
    O(n d min(n, d)), memory O(n d). Raises as `linalg.principal_components`."""
    x = x / (np.abs(x).max() or 1.0)
    mean, directions, lam = principal_components(x, min(x.shape))
    scores = (x - mean) @ directions.T
    return SampleSpectrum(lam, scores, x.var(axis=0, ddof=1), rankme(mean, directions, lam, len(x)))


def log_interval(value, changes: np.ndarray):
    """95 % interval of a positive number from the samples' contributions (n, …) to its logarithm, times n."""
    half = Z95 * _error(changes)
    return value * np.exp(-half), value * np.exp(np.minimum(half, 700.0))


def _error(changes: np.ndarray) -> np.ndarray:
    """Standard error of the mean of contributions (n, …) with mean 0."""
    n = len(changes)
    return np.sqrt((changes**2).sum(axis=0) / n / max(n - 1, 1))
