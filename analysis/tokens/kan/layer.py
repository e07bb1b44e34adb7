"""A layer with a function on each edge: φ_oi(x) = Σ_s π_ois φ_ois(x), φ_ois a sum over the basis of family s.

The observed inputs of an edge stand as P quantile points, each of the same weight, so that a mean over them is one
over the data. The deviation of an edge is that of its output there; an edge of deviation 0 is a constant, and can be
left out once the bias has taken it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

POINTS = 64


@dataclass(frozen=True)
class Family:
    """`coefficients` (O, I, K) of `basis(x (n,), i) -> (n, K)`; `inside` (I, 2) where it is defined, or None."""

    name: str
    coefficients: np.ndarray
    basis: Callable[[np.ndarray, int], np.ndarray]
    inside: np.ndarray | None = None


@dataclass(frozen=True)
class EdgeLayer:
    """`families` (S); `selection` (O, I, S) of rows of sum 1, or None; `unit` (I,) which unit of the tap each input is,
    `positions` of a kernel for each unit."""

    name: str
    families: tuple[Family, ...]
    selection: np.ndarray | None
    positions: int = 1

    @property
    def outputs(self) -> int:
        return self.families[0].coefficients.shape[0]

    @property
    def inputs(self) -> int:
        return self.families[0].coefficients.shape[1]

    def parts(self, x: np.ndarray, i: int) -> np.ndarray:
        """(S, n, O) what each family gives on the edges from input i, weighed by its selection."""
        out = np.stack([f.basis(x, i) @ f.coefficients[:, i].T for f in self.families])
        return out if self.selection is None else out * self.selection[:, i].T[:, None, :]

    def edges(self, x: np.ndarray, i: int) -> np.ndarray:
        """(n, O)."""
        return self.parts(x, i).sum(axis=0)

    def span(self, i: int) -> tuple[float, float]:
        """Where every family with a grid is defined, of input i."""
        ends = [f.inside[i] for f in self.families if f.inside is not None]
        if not ends:
            return -np.inf, np.inf
        return float(max(e[0] for e in ends)), float(min(e[1] for e in ends))

    def exchanged(self, rng: np.random.Generator) -> EdgeLayer:
        """Coefficients of each family in random order over all edges and places: functions of the same basis and size
        without a form. Selections are exchanged inside each edge, which keeps their entropy."""
        families = tuple(
            replace(f, coefficients=rng.permutation(f.coefficients.ravel()).reshape(f.coefficients.shape))
            for f in self.families
        )
        chosen = self.selection
        if chosen is not None:
            chosen = rng.permuted(chosen, axis=2)
        return replace(self, families=families, selection=chosen)


@dataclass(frozen=True)
class Measured:
    """Of all edges (O, I): `deviation` of the output over the observed inputs, `shares` (O, I, S) of the families,
    `entropy` of these in nats; `outside` (I,) share of the inputs beyond the grid."""

    deviation: np.ndarray
    shares: np.ndarray
    entropy: np.ndarray
    outside: np.ndarray


def measured(layer: EdgeLayer, points: np.ndarray) -> Measured:
    """`points` (I, P) quantiles of what each input was. O(I P K O)."""
    shape = (layer.outputs, layer.inputs)
    deviation, shares = np.zeros(shape), np.zeros((*shape, len(layer.families)))
    outside = np.zeros(layer.inputs)
    for i in range(layer.inputs):
        parts = layer.parts(points[i], i)
        deviation[:, i] = parts.sum(axis=0).std(axis=0)
        spread = parts.std(axis=1).T
        low, high = layer.span(i)
        outside[i] = ((points[i] < low) | (points[i] >= high)).mean()
        shares[:, i] = layer.selection[:, i] if layer.selection is not None else _of_one(spread)
    logs = np.where(shares > 0, np.log(np.where(shares > 0, shares, 1)), 0)
    return Measured(deviation, shares, -(shares * logs).sum(axis=2), outside)


def _of_one(spread: np.ndarray) -> np.ndarray:
    total = spread.sum(axis=1, keepdims=True)
    return np.where(total > 1e-300, spread / np.where(total > 1e-300, total, 1), 1 / spread.shape[1])


def quantile_points(x: np.ndarray, positions: int = 1) -> np.ndarray:
    """(I, POINTS) of rows x (n, d), each unit `positions` times in a row."""
    at = (np.arange(POINTS) + 0.5) / POINTS
    return np.repeat(np.quantile(x, at, axis=0).T, positions, axis=0)
