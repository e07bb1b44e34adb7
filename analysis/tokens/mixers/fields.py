"""How far and which way a field around the middle of a grid reaches; the derivative of rows that read each other."""

from __future__ import annotations

import numpy as np
from scipy.special import comb

NUMBERS = (
    "distance that reaches it", "down", "across", "across over down", "cells that hold half", "share in its own row",
    "share from behind it",
)  # fmt: skip


def derivative(x: np.ndarray, p: int, v: np.ndarray) -> np.ndarray:
    """(t, d) of <v, Σ_j a_j x_j>, a = softmax(x x_p / √d), by every row of x (t, d)."""
    root = np.sqrt(x.shape[1])
    logits = x @ x[p] / root
    a = np.exp(logits - logits.max())
    a /= a.sum()
    off = a * (x @ v - a @ (x @ v)) / root
    slope = a[:, None] * v + off[:, None] * x[p]
    slope[p] += off @ x
    return slope


def cell_at(place: tuple[float, float], grid: tuple[int, int]) -> tuple[int, int]:
    """(row, column) of a place given as shares (down, across) of a grid."""
    return tuple(min(int(share * side), side - 1) for share, side in zip(place, grid, strict=True))


def measured(maps: np.ndarray, place: tuple[float, float] = (0.5, 0.5)) -> np.ndarray:
    """(n, 7) of maps (n, rows, columns) of sum 1, around the cell at a place: what `NUMBERS` names. Behind it is what
    comes later row by row."""
    n, rows, columns = maps.shape
    own = cell_at(place, (rows, columns))
    i, j = np.abs(np.arange(rows) - own[0]), np.abs(np.arange(columns) - own[1])
    far = (maps * np.hypot(i[:, None], j)).sum(axis=(1, 2))
    down, across = (maps * i[:, None]).sum(axis=(1, 2)), (maps * j).sum(axis=(1, 2))
    even = np.array([i.mean(), j.mean()])  # a flat field of this grid counts as one without a direction
    ratio = (across + 1e-12) * max(even[0], 1e-12) / ((down + 1e-12) * max(even[1], 1e-12))
    flat = maps.reshape(n, -1)
    half = (np.cumsum(-np.sort(-flat, axis=1), axis=1) < 0.5 - 1e-12).sum(axis=1) + 1.0
    row, behind = maps[:, own[0]].sum(axis=1), flat[:, own[0] * columns + own[1] + 1 :].sum(axis=1)
    return np.stack([far, down, across, ratio, half, row, behind], axis=1)


def raster(
    x: np.ndarray, grid: tuple[int, int], place: tuple[float, float], forgets: float,
    there: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """(rows, columns) of sum 1: squared weights with which a scan by rows, B = x, C = x / √d, that forgets half in so
    many cells, reads the cells x (rows * columns, d) at a place. What is read is centred and of unit size; of cells
    that are not `there` (rows * columns,) bool nothing is read."""
    there = np.ones(len(x), bool) if there is None else there
    x = np.where(there[:, None], x - x[there].mean(axis=0), 0.0)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    row, column = cell_at(place, grid)
    p = row * grid[1] + column
    weight = np.where(
        np.arange(len(x)) <= p, (x @ x[p]) * 0.5 ** (np.abs(p - np.arange(len(x))) / forgets), 0.0
    )
    if not weight.any():
        weight[p] = 1.0  # a picture of one colour, or no token at the place: the place alone
    return (np.square(weight) / np.square(weight).sum()).reshape(grid)


def stepped(a: float, b: float, side: int) -> np.ndarray:
    """(side, side) answers of h(i, j) = a h(i - 1, j) + b h(i, j - 1) + x to an impulse in the corner, step by step."""
    h = np.zeros((side + 1, side + 1))
    for i in range(1, side + 1):
        for j in range(1, side + 1):
            h[i, j] = a * h[i - 1, j] + b * h[i, j - 1] + float(i == j == 1)
    return h[1:, 1:]


def closed(a: float, b: float, side: int) -> np.ndarray:
    """The same in closed form, C(i + j, i) a^i b^j."""
    i, j = np.indices((side, side))
    return comb(i + j, i) * a**i * b**j


def recurrence(a: float, b: float, side: int = 15) -> np.ndarray:
    """(1, side, side) squared answers of a plane recurrence to an impulse in the middle, of sum 1; 0 outside the
    quadrant behind it."""
    found, middle = np.zeros((side, side)), side // 2
    found[middle:, middle:] = np.square(closed(a, b, side - middle))
    return (found / found.sum())[None]
