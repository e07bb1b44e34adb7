"""Which directions of variance can be told from noise at all: the spiked covariance model.

Of n independent rows of d units with noise of variance v in every direction, c = d / n, the eigenvalues of the
covariance fill [v (1 - √c)², v (1 + √c)²] (Marchenko & Pastur 1967). A direction with additional variance l v shows as
an eigenvalue of its own only if l > √c, and then tends to

    λ = v (1 + l) (1 + c / l),        squared overlap of its axis with the truth (1 - c / l²) / (1 + c / l)

(Baik, Ben Arous & Péché 2005; Paul 2007). The largest of pure noise follows Tracy and Widom's law around the edge
(Johnstone 2001), here by Chiani's (2014) gamma approximation of it. The noise variance is the median eigenvalue over
that of the Marchenko-Pastur law (Gavish & Donoho 2014), which a few directions of signal hardly move. That estimate
varies too, so that pure noise passes the 5 % edge in 5 to 10 % of cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc, gammaincinv

SHAPE, SCALE, SHIFT = 46.446, 0.186054, 9.84801  # of the gamma law close to Tracy and Widom's, order 1


def quantiles(c: float, probability: np.ndarray) -> np.ndarray:
    """Quantiles of the Marchenko-Pastur law of unit variance and ratio c = d / n; of its part above 0 for c > 1."""
    low, high = (1 - np.sqrt(c)) ** 2, (1 + np.sqrt(c)) ** 2
    angle = np.linspace(0.0, np.pi, 4001)  # x = middle - half cos(angle): no square roots are left
    half = (high - low) / 2
    x = (high + low) / 2 - half * np.cos(angle)
    density = (half * np.sin(angle)) ** 2 / np.maximum(x, 1e-300)
    density[0] = density[1] if low <= 0 else density[0]
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(probability, mass / mass[-1], x)


def noise_variance(eigenvalues: np.ndarray, n: int, d: int) -> float:
    """From the eigenvalues (r,) above 0 of a covariance of n rows (divided by n - 1) of d units that vary."""
    return float(np.median(eigenvalues) / quantiles(d / max(n - 1, 1), np.array([0.5]))[0])


@dataclass(frozen=True)
class Noise:
    """The `variance` of the noise in a spectrum, and how many `units` bring it."""

    variance: float
    units: int
    n: int

    @property
    def c(self) -> float:
        return self.units / max(self.n - 1, 1)

    @property
    def edge(self) -> float:
        """What its largest eigenvalue exceeds in 5 % of cases."""
        return self.variance * noise_edge(self.n, self.units)

    @property
    def middle(self) -> float:
        """The mean of its largest eigenvalue."""
        return self.variance * mean_edge(self.n, self.units)


def noise_in(eigenvalues: np.ndarray, n: int, alive: int) -> Noise:
    """In the eigenvalues (r,), falling and all above 0, of n rows of units of which `alive` vary. Units that repeat
    others bring no noise of their own: a spectrum that stops early has as many units as directions."""
    r = len(eigenvalues)
    units = r if r < min(n - 1, alive) else alive
    return Noise(noise_variance(eigenvalues, n, units), units, n)


def _edge_law(n: int, d: int) -> tuple[float, float]:
    """Centre and scale of the largest eigenvalue of unit noise (Johnstone 2001) for n - 1 degrees of freedom."""
    a, b = np.sqrt(max(n - 1, 1) - 0.5), np.sqrt(d - 0.5)
    return (a + b) ** 2 / max(n - 1, 1), (a + b) * (1 / a + 1 / b) ** (1 / 3) / max(n - 1, 1)


def noise_edge(n: int, d: int, level: float = 0.05) -> float:
    """What the largest eigenvalue of unit noise exceeds with probability `level`: just above (1 + √c)²."""
    centre, scale = _edge_law(n, d)
    return float(centre + scale * (SCALE * gammaincinv(SHAPE, 1 - level) - SHIFT))


def mean_edge(n: int, d: int) -> float:
    """The mean of the largest eigenvalue of unit noise."""
    centre, scale = _edge_law(n, d)
    return float(centre + scale * (SHAPE * SCALE - SHIFT))


def noise_p(values: np.ndarray, n: int, d: int) -> np.ndarray:
    """p that the largest eigenvalue of unit noise is at least each of `values`."""
    centre, scale = _edge_law(n, d)
    return gammaincc(SHAPE, np.maximum((np.asarray(values) - centre) / scale + SHIFT, 0.0) / SCALE)


def strength(values: np.ndarray, c: float) -> np.ndarray:
    """l of eigenvalues λ / v of signal directions, by inverting λ = (1 + l)(1 + c / l); √c for values below the edge,
    which is the least that could show."""
    middle = np.asarray(values, dtype=np.float64) - 1 - c
    return np.where(
        middle >= 2 * np.sqrt(c), (middle + np.sqrt(np.maximum(middle**2 - 4 * c, 0.0))) / 2, np.sqrt(c)
    )


def shown_at(l: np.ndarray, c: float) -> np.ndarray:  # noqa: E741
    """λ / v at which directions of strength `l` show; the edge where they do not."""
    l = np.maximum(l, np.sqrt(c))  # noqa: E741
    return (1 + l) * (1 + c / l)


def axis_overlap(l: np.ndarray, c: float) -> np.ndarray:  # noqa: E741
    """Squared cosine between a direction of strength `l` and the axis found for it; 0 up to √c."""
    l = np.maximum(l, 1e-300)  # noqa: E741
    return np.maximum((1 - c / l**2) / (1 + c / l), 0.0)
