"""Procrustes similarity of representations that have nothing in common: what to expect, and how unlikely a value is.

s = |XᵀY|_* / (|X| |Y|) (nuclear over Frobenius norms) of centred X, Y with squared singular values λ, μ, |X| = |Y| = 1.
When the samples of one side are exchanged,

- its *mean* is that of two clouds turned freely against each other in N = n - 1 dimensions. The squared singular
  values of XᵀY then follow the free product of both spectra, whose S-transform is the product of theirs (Voiculescu
  1987): with h(t) = (1/N) Σ s_i² / (s_i² + t²) the sum is Σ s_i = (2 N / π) ∫ t dh, and t(h)² = h / ((1 - h) a b)
  where a(h) solves (1/N) Σ λ a / (1 + λ a) = h, and b(h) the same for μ. Right for many directions, some percent too
  high for one only, more under heavy tails.
- its *chance* of exceeding a value has a bound without any assumption. By Hölder's inequality

      s² <= (Σ λ^e)^((1 - e) / e) (Σ μ^f)^((1 - f) / f) tr(U λ^e Uᵀ V μ^f Vᵀ)

  for (e, f) = (1/2, 1), (2/3, 2/3) and (1, 1/2), with U, V the left singular vectors. Mean and variance of the trace
  under exchange are known exactly (`exchange_moments`), so that Cantelli's inequality for it bounds the chance of s.
  The least of the three bounds is a bound.

The *deviation* is that of the tightest of the three by the delta method: about right, too large under heavy tails.

References: D. Voiculescu (1987), "Multiplication of certain non-commuting random variables"; F. Kazi-Aoual et al.
(1995); F. Cantelli (1928).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from analysis.compute.statistics.exchange_moments import Centred, cantelli_p, centred_moments

EXPONENTS = (0.5, 2 / 3, 1.0)
PAIRS = ((0, 2), (1, 1), (2, 0))  # of exponents, one a side
NODES, HALVINGS = 40, 70


@dataclass(frozen=True)
class Spread:
    """What is to be known of one centred cloud of length 1: `squares` (r,), its squared singular values λ, and
    `powers`, U λ^e Uᵀ for the three exponents e."""

    squares: np.ndarray
    powers: tuple[Centred, ...]

    @classmethod
    def of(cls, basis: np.ndarray, singular: np.ndarray) -> Spread:
        """From left singular vectors (n, r) and singular values (r,), any unit. Time O(n r)."""
        squares = (singular / np.linalg.norm(singular)) ** 2
        leverage = basis**2
        return cls(squares, tuple(_power(leverage, squares**e) for e in EXPONENTS))

    @property
    def n(self) -> int:
        return self.powers[0].n


def _power(leverage: np.ndarray, values: np.ndarray) -> Centred:
    diagonal = leverage @ values
    return Centred(float(values.sum()), float(values @ values), float(diagonal @ diagonal), len(leverage))


def unrelated_mean(one: Spread, other: Spread) -> float:
    """Mean of s when samples are exchanged. Time O(r) for each of 40 nodes."""
    space = one.n - 1
    x, weight = np.polynomial.legendre.leggauss(NODES)
    angle = np.pi * (x + 1) / 4
    highest = min(len(one.squares), len(other.squares)) / space
    h = highest * np.sin(angle) ** 2  # so that square roots at both ends are smooth
    step = highest * np.sin(2 * angle) * np.pi / 4 * weight
    a, b = _reached(one.squares, space, h), _reached(other.squares, space, h)
    t = np.sqrt(h / ((1 - h) * a * b))
    return float(min(2 * space / np.pi * (t @ step), 1.0))


def _reached(squares: np.ndarray, space: int, h: np.ndarray) -> np.ndarray:
    """a (m,) with (1/N) Σ λ a / (1 + λ a) = h (m,), by halving in log a."""
    log = np.log(squares)
    low, high = (np.full(len(h), end) for end in (-log.max() - 60.0, -log.min() + 60.0))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below = expit(middle[:, None] + log).sum(axis=1) < h * space
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.exp((low + high) / 2)


def unrelated_deviation(one: Spread, other: Spread) -> float:
    """Standard deviation of s when samples are exchanged, about."""
    mean, deviation = min(_bounds(one, other))
    return deviation / (2 * np.sqrt(mean))


def chance(value: float, one: Spread, other: Spread) -> float:
    """Bound of the chance that exchanged samples give s >= `value`; holds for any data."""
    return min(
        float(cantelli_p(max(value, 0.0) ** 2, mean, deviation)) for mean, deviation in _bounds(one, other)
    )


def _bounds(one: Spread, other: Spread) -> list[tuple[float, float]]:
    """Mean and deviation of each of the three upper bounds of s²."""
    found = []
    for i, j in PAIRS:
        a, b = one.powers[i], other.powers[j]
        scale = a.trace ** (1 / EXPONENTS[i] - 1) * b.trace ** (1 / EXPONENTS[j] - 1)
        mean, variance = centred_moments(a, b)
        found.append((scale * mean, scale * float(np.sqrt(variance))))
    return found
