"""Which simple formula an edge looks like: least squares of its values at the observed inputs by a few functions.

Inputs are brought to [-1, 1] over their observed range, so that each formula stands for all its shifts and stretches on
a coarse grid. They are tried in the order of `NAMES`; each has to explain 1 % of the variance more than the best
before it.
"""

from __future__ import annotations

import numpy as np

LINE, CONSTANT, MARGIN = "line", "constant", 0.01
NAMES = (
    LINE,
    "square",
    "cube",
    "sine",
    "exponential",
    "logarithm",
    "tanh",
    "absolute value",
    "bump",
    CONSTANT,
)


def designs(z: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(name, (n, p) columns beside the constant) of z (n,) in [-1, 1]."""
    one = [z, np.column_stack([z, z**2]), np.column_stack([z, z**2, z**3])]
    out = list(zip(NAMES, one, strict=False))
    out += [
        ("sine", np.column_stack([np.sin(b * z), np.cos(b * z)])) for b in np.pi / 2 * np.arange(1, 9) / 1.5
    ]
    out += [("exponential", np.exp(b * z)) for b in (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0)]
    out += [("logarithm", np.log(1.05 + s * z)) for s in (1, -1)]
    centres = np.linspace(-0.75, 0.75, 7)
    out += [("tanh", np.tanh(b * (z - c))) for b in (2.0, 4.0, 8.0) for c in centres]
    out += [("absolute value", np.abs(z - c)) for c in centres]
    out += [("bump", np.exp(-b * (z - c) ** 2)) for b in (4.0, 16.0) for c in centres]
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
    best = np.zeros(y.shape[1])
    name = np.full(y.shape[1], LINE, dtype="<U16")
    for k, (what, columns) in enumerate(designs(scaled(x))):
        columns = columns.reshape(len(x), -1)
        q, r = np.linalg.qr(columns - columns.mean(axis=0))
        q = q[:, np.abs(np.diag(r)) > 1e-9]
        r2 = np.where(flat, 0.0, np.square(q.T @ away).sum(axis=0) / np.where(flat, 1.0, total))
        better = r2 > best + (MARGIN if k and what != LINE else 0.0)
        better |= (r2 > best) & (name == what)
        best, name = np.where(better, r2, best), np.where(better, what, name)
    return np.where(flat, CONSTANT, name), np.where(flat, 1.0, np.minimum(best, 1.0))
