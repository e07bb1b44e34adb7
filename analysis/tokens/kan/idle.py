"""Which edges of a layer hardly vary, what goes with them, and which look like a formula."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.tokens.kan.layer import EdgeLayer, Measured
from analysis.tokens.kan.reading import Edges
from analysis.tokens.kan.symbols import CONSTANT, suggested


def idle_edges(own: Measured, below: float) -> np.ndarray:
    """(O, I) bool: deviation at most that share of the node's."""
    return own.deviation <= below * np.sqrt(np.square(own.deviation).sum(axis=1, keepdims=True))


def formulas_of(layer: EdgeLayer, points, some=None) -> tuple[np.ndarray, np.ndarray]:
    """(names, R²), each (O, inputs)."""
    some = range(layer.inputs) if some is None else some
    found = [suggested(points[i], layer.edges(points[i], i)) for i in some]
    return np.array([f[0] for f in found]).T, np.array([f[1] for f in found]).T


def of_varying(names: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """R² of the edges that are no constants, which every formula fits."""
    return fit[names != CONSTANT]


def lost(found: Edges, idle: np.ndarray, rng) -> tuple[float, float | None]:
    """(share of the variance of the nodes' sums that goes with idle edges, half-width by leaving out samples)."""
    layer, of = found.layer, np.unique(found.sample, return_inverse=True)[1].reshape(-1)
    whole, gone = (np.zeros((len(found.x), layer.outputs)) for _ in range(2))
    for i in range(layer.inputs):
        value = layer.edges(found.x[:, i // layer.positions], i)
        whole += value
        gone += value * idle[:, i]

    def share(rows) -> float:
        total = whole[rows].var(axis=0).sum()
        return float(gone[rows].var(axis=0).sum() / total) if total > 0 else 0.0

    groups = groups_of(int(of.max()) + 1, rng)[of]
    half = jackknife_half(np.array([share(groups != g) for g in range(groups.max() + 1)]))
    return share(slice(None)), None if half is None else float(half)
