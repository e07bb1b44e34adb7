"""Which simple formula an edge looks like: least squares of its values at the observed inputs by a few functions.

Inputs are brought to [-1, 1] over their observed range, so that each formula stands for all its shifts and stretches on
a coarse grid. The one of least ln(1 - R² + 0.001) + k / 2 is suggested, k the numbers that it is free to choose: one
more number has to explain 40 % of what is left.
"""

from __future__ import annotations

import numpy as np

LINE, CONSTANT, SMALL = "line", "constant", 1e-3


def designs(z: np.ndarray) -> list[tuple[str, np.ndarray, int]]:
    """(name, (n, p) columns beside the constant, numbers that are free) of z (n,) in [-1, 1]."""
    out = [
        (LINE, z, 1),
        ("square", np.column_stack([z, z**2]), 2),
        ("cube", np.column_stack([z, z**2, z**3]), 3),
    ]
    out += [("sine", np.column_stack([np.sin(b * z), np.cos(b * z)]), 3) for b in np.pi / 3 * np.arange(1, 9)]
    out += [("exponential", np.exp(b * z), 2) for b in (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0)]
    out += [("logarithm", np.log(1.05 + s * z), 2) for s in (1, -1)]
    centres = np.linspace(-0.75, 0.75, 7)
    out += [("tanh", np.tanh(b * (z - c)), 3) for b in (2.0, 4.0, 8.0) for c in centres]
    out += [("absolute value", np.abs(z - c), 2) for c in centres]
    out += [("bump", np.exp(-b * (z - c) ** 2), 3) for b in (4.0, 16.0) for c in centres]
    return out


def scaled(x: np.ndarray) -> np.ndarray:
    """To [-1, 1]; 0 where all are the same."""
    low, high = float(x.min()), float(x.max())
    return np.zeros_like(x) if high <= low else 2 * (x - low) / (high - low) - 1


def suggested(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(names (m,), R² (m,)) of the values y (n, m) at x (n,)."""
    away = y - y.mean(axis=0)
    total = np.square(away).sum(axis=0)
    flat = total <= 1e-20 * (1 + np.square(y).sum(axis=0))
    fit, least = np.zeros(y.shape[1]), np.full(y.shape[1], np.inf)
    name = np.full(y.shape[1], LINE, dtype="<U16")
    for what, columns, free in designs(scaled(x)):
        columns = columns.reshape(len(x), -1)
        q, r = np.linalg.qr(columns - columns.mean(axis=0))
        q = q[:, np.abs(np.diag(r)) > 1e-9]
        r2 = np.where(flat, 0.0, np.square(q.T @ away).sum(axis=0) / np.where(flat, 1.0, total))
        cost = np.log(np.maximum(1 - r2, 0.0) + SMALL) + free / 2
        better = cost < least
        least, fit, name = (
            np.where(better, cost, least),
            np.where(better, r2, fit),
            np.where(better, what, name),
        )
    return np.where(flat, CONSTANT, name), np.where(flat, 1.0, np.minimum(fit, 1.0))
