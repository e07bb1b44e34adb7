"""Learned functions in the place of softmax, head by head, known by the names and shapes of their tensors.

    ….attn….fouriercoeffs   (2, O, I, K) in each of the heads' own modules, or (2, H, R, K) of all heads
    ….attn….fourier…, coef  (H, R, 2 K) cosines, then sines, of H heads with R rows
    ….attn….coef            (H, R, K) with grid (m,) or (H, m) beside it: B-splines of order m - 1 - K

of modules whose path holds "attn" or "attention". φ(x) = Σ_k a_k cos k x + b_k sin k x, or Σ_k c_k B_k(x).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.tokens.kan import bases

ATTENTION = re.compile(r"(^|[._])(attn|attention)", re.IGNORECASE)
COEFFICIENTS = re.compile(r"(fourier\w*|coef\w*)$", re.IGNORECASE)


@dataclass(frozen=True)
class HeadMaps:
    """Of one layer called `name`: `coefficients` (H, E, K) of heads with E functions each, of the basis `family`;
    `knots` (H, m) of splines, or None."""

    name: str
    family: str
    coefficients: np.ndarray
    knots: np.ndarray | None = None

    @property
    def heads(self) -> int:
        return len(self.coefficients)

    def functions(self, head: int, x: np.ndarray) -> np.ndarray:
        """(E, n) φ(x) of every function of a head."""
        c = self.coefficients[head]
        if self.knots is None:
            return c @ bases.fourier(x, c.shape[1]).T
        return c @ bases.b_splines(x, self.knots[head], self.knots.shape[1] - 1 - c.shape[1]).T

    def span(self) -> tuple[float, float]:
        """Where the functions are defined: a period, or the grid of the splines."""
        if self.knots is None:
            return -np.pi, np.pi
        order = self.knots.shape[1] - 1 - self.coefficients.shape[2]
        return float(self.knots[:, order].min()), float(self.knots[:, -order - 1].max())

    def exchanged(self, rng: np.random.Generator) -> HeadMaps:
        """Coefficients in random order over all heads, functions and places."""
        c = rng.permutation(self.coefficients.ravel()).reshape(self.coefficients.shape)
        return HeadMaps(self.name, self.family, c, self.knots)


def head_maps(weights) -> list[HeadMaps]:
    """By layer, of a checkpoint with `shapes` and `tensor(name)`."""
    own: dict[str, list] = {}
    for key, shape in weights.shapes.items():
        module, _, last = key.rpartition(".")
        if not (ATTENTION.search(module) and COEFFICIENTS.search(last) and len(shape) in (3, 4)):
            continue
        made = _read(weights, module, last, shape)
        if made is None:
            continue
        above, _, number = module.rpartition(".")
        one_head = len(shape) == 4 and number.isdigit()
        own.setdefault(above if one_head else module, []).append(
            (int(number) if one_head else 0, one_head, made)
        )
    return [_joined(name, parts) for name, parts in sorted(own.items(), key=lambda p: _numbered(p[0]))]


def _read(weights, module: str, last: str, shape):
    """(coefficients (H, E, K), knots (H, m) or None), or None where the shapes are not of these."""
    c = np.asarray(weights.tensor(f"{module}.{last}"), np.float64)
    if len(shape) == 4:
        return (np.concatenate([c[0], c[1]], axis=2), None) if shape[0] == 2 else None
    key = f"{module}.grid"
    if key in weights.shapes:
        knots = np.atleast_2d(np.asarray(weights.tensor(key), np.float64))
        if knots.ndim != 2 or knots.shape[1] - 1 - c.shape[2] < 0 or len(knots) not in (1, len(c)):
            return None
        return c, np.broadcast_to(knots, (len(c), knots.shape[1]))
    return (c, None) if c.shape[2] % 2 == 0 else None


def _joined(name: str, parts: list) -> HeadMaps:
    """Heads that have modules of their own, in the order of their numbers: all edges of each are its functions."""
    parts = [p for p in sorted(parts, key=lambda p: p[0]) if p[2][0].shape == parts[0][2][0].shape]
    c, knots = parts[0][2]
    if parts[0][1]:
        c = np.stack([p[2][0].reshape(-1, p[2][0].shape[2]) for p in parts])
    return HeadMaps(name, bases.FOURIER if knots is None else bases.SPLINE, c, knots)


def _numbered(name: str) -> tuple:
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in name.split("."))
