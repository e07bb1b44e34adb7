"""Neighbours that could be one: joining channels 2i and 2i + 1, growing them back, and how alike they are.

    coalesce:     F (d / 2, d),  (F x)_i = (x_2i + x_2i+1) / 2         small W = F_out W T_in
    de-coalesce:  T (d, d / 2),  (T y)_2i = (T y)_2i+1 = y_i           large W = T_out W F_in          F T = 1

A grown network has equal neighbours until training tells them apart: T F x = x. What T F loses of x is half the squared
difference of its pairs.

Likeness of two units: Lin's concordance 2 cov / (var + var + (mean - mean)²) of activations, or 2 <a, b> / (|a|² +
|b|²) of incoming weights: 1 only where the two are equal, 0 on average for unrelated ones.

References: L. Zou, J. Zhang & Y. Asano (2024), "A multi-level framework for accelerating training transformer models";
L. Lin (1989), "A concordance correlation coefficient".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import NotEnoughData, ShapeError, TooLarge

EQUAL = 0.999  # likeness from which on two units are called equal
FEWEST = 2  # pairs
MOST_UNITS = 4096
DRAWS = 999


def coalescing(d: int) -> np.ndarray:
    """F (d / 2, d). Raises ShapeError for an odd number of channels."""
    if d % 2:
        raise ShapeError(f"{d} channels", "an even number")
    return np.repeat(np.eye(d // 2), 2, axis=1) / 2


def growing(d: int) -> np.ndarray:
    """T (2 d, d): every channel twice."""
    return np.repeat(np.eye(d), 2, axis=0)


def coalesced(weight: np.ndarray) -> np.ndarray:
    """A weight (outputs, inputs) between half as many channels on both sides."""
    outputs, inputs = weight.shape
    return coalescing(outputs) @ weight @ growing(inputs // 2)


def grown(weight: np.ndarray) -> np.ndarray:
    """A weight (outputs, inputs) between twice as many channels, which computes the same of doubled inputs."""
    outputs, inputs = weight.shape
    return growing(outputs) @ weight @ coalescing(2 * inputs)


def likeness(a: np.ndarray, b: np.ndarray, centred: bool) -> np.ndarray:
    """(p, q) likeness of columns of `a` (n, p) and `b` (n, q), 0 where both are 0; `centred`: Lin's concordance, about
    each column's mean, otherwise of vectors."""
    shift = np.zeros((a.shape[1], b.shape[1]))
    if centred:
        means = a.mean(axis=0), b.mean(axis=0)
        a, b = a - means[0], b - means[1]
        shift = len(a) * (means[0][:, None] - means[1]) ** 2
    below = (a * a).sum(axis=0)[:, None] + (b * b).sum(axis=0) + shift
    return np.clip(np.divide(2 * a.T @ b, below, out=np.zeros_like(below), where=below > 0), -1.0, 1.0)


@dataclass(frozen=True)
class Neighbours:
    """`alike` (m,), the likeness of each pair of neighbours; `chance` (draws,), the mean of as many random pairs, and
    `expected`, its exact mean; `shifted`, the mean of pairs one place on; `lost`, the share that joining loses; `dead`
    units in pairs left out."""

    alike: np.ndarray
    chance: np.ndarray
    expected: float
    shifted: float
    lost: float
    dead: int

    @property
    def mean(self) -> float:
        return float(self.alike.mean())

    @property
    def p_value(self) -> float:
        return float((1 + (self.chance >= self.mean - 1e-12).sum()) / (1 + len(self.chance)))


def neighbours_in(x: np.ndarray, centred: bool, rng: np.random.Generator) -> Neighbours:
    """Channels 2i and 2i + 1 of `x` (n, d). Time O(n d²), memory O(d²). Raises NotEnoughData, TooLarge."""
    dead = _dead(x, centred)
    pairs, onward = (_living(np.arange(start, x.shape[1] - 1, 2), 1, dead, dead) for start in (0, 1))
    _refuse(x, pairs)
    alike, alive = likeness(x, x, centred), np.flatnonzero(~dead)
    inside = alike[np.ix_(alive, alive)]
    k, m = len(alive), len(pairs)
    expected = float((inside.sum() - np.trace(inside)) / (k * (k - 1)))
    order = np.array([rng.permutation(k)[: 2 * m] for _ in range(DRAWS)])
    chance = inside[order[:, ::2], order[:, 1::2]].mean(axis=1)
    lost = _lost(x[:, pairs[:, 0]], x[:, pairs[:, 1]], centred)
    return _found(alike, pairs, onward, chance, expected, lost, int(dead.sum()))


def neighbours_between(x: np.ndarray, y: np.ndarray, centred: bool, rng: np.random.Generator) -> Neighbours:
    """Units j of two layers `x`, `y` (n, d) that follow each other. Random pairs are units exchanged in one layer."""
    if x.shape != y.shape:
        raise ShapeError(
            f"layers of shapes {x.shape} and {y.shape}", "the same samples (or inputs) and units"
        )
    dead, units = (_dead(x, centred), _dead(y, centred)), np.arange(x.shape[1])
    pairs, onward = (_living(units, step, *dead) for step in (0, 1))
    _refuse(x, pairs)
    alike, alive = likeness(x, y, centred), [np.flatnonzero(~gone) for gone in dead]
    inside = alike[np.ix_(*alive)]
    draws = [(rng.permutation(k)[: len(pairs)] for k in inside.shape) for _ in range(DRAWS)]
    chance = np.array([inside[tuple(drawn)].mean() for drawn in draws])
    lost = _lost(x[:, pairs[:, 0]], y[:, pairs[:, 1]], centred)
    return _found(alike, pairs, onward, chance, float(inside.mean()), lost, int((dead[0] | dead[1]).sum()))


def _found(alike, pairs, onward, chance, expected: float, lost: float, dead: int) -> Neighbours:
    shifted = float(alike[onward[:, 0], onward[:, 1]].mean()) if len(onward) else expected
    return Neighbours(alike[pairs[:, 0], pairs[:, 1]], chance, expected, shifted, lost, dead)


def _dead(x: np.ndarray, centred: bool) -> np.ndarray:
    size = np.abs(x).max(axis=0)
    return np.abs(x - x.mean(axis=0)).max(axis=0) <= 1e-12 * size if centred else size == 0


def _living(first: np.ndarray, step: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(m, 2) pairs of a unit and the one `step` on, both of them living."""
    second = (first + step) % len(other)
    alive = ~(one[first] | other[second])
    return np.column_stack([first[alive], second[alive]])


def _refuse(x: np.ndarray, pairs: np.ndarray) -> None:
    if len(pairs) < FEWEST:
        raise NotEnoughData(
            f"{len(pairs)} pair(s) of units that vary", f"at least {FEWEST}", "Choose a wider tap"
        )
    if x.shape[1] > MOST_UNITS:
        raise TooLarge(f"{x.shape[1]:,} units", f"at most {MOST_UNITS:,}", "Choose a narrower tap")


def _lost(a: np.ndarray, b: np.ndarray, centred: bool) -> float:
    """Σ |a - b|² / 2 over Σ |a|² + |b|² of pairs of columns (n, m), about the mean of both together where `centred`."""
    if centred:
        middle = (a.mean(axis=0) + b.mean(axis=0)) / 2
        a, b = a - middle, b - middle
    return float(((a - b) ** 2).sum() / 2 / ((a * a).sum() + (b * b).sum()))
