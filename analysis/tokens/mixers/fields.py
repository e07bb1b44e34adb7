"""How far and which way a field around the middle of a grid reaches; the derivative of rows that read each other."""

from __future__ import annotations

import numpy as np
from scipy.special import comb

NUMBERS = ("distance that reaches it", "down", "across", "across over down", "cells that hold half")


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


def measured(maps: np.ndarray) -> np.ndarray:
    """(n, 5) of maps (n, rows, columns) of sum 1, around their middle: what `NUMBERS` names."""
    n, rows, columns = maps.shape
    i, j = np.abs(np.arange(rows) - rows // 2), np.abs(np.arange(columns) - columns // 2)
    far = (maps * np.hypot(i[:, None], j)).sum(axis=(1, 2))
    down, across = (maps * i[:, None]).sum(axis=(1, 2)), (maps * j).sum(axis=(1, 2))
    even = np.array([i.mean(), j.mean()])  # a flat field of this grid counts as one without a direction
    ratio = (across + 1e-12) * max(even[0], 1e-12) / ((down + 1e-12) * max(even[1], 1e-12))
    order = -np.sort(-maps.reshape(n, -1), axis=1)
    half = (np.cumsum(order, axis=1) < 0.5 - 1e-12).sum(axis=1) + 1.0
    return np.stack([far, down, across, ratio, half], axis=1)


def recurrence(a: float, b: float, side: int = 15) -> np.ndarray:
    """(1, side, side) squared answers of a plane recurrence to an impulse in the middle, of sum 1."""
    i, j = np.meshgrid(*[np.arange(side) - side // 2] * 2, indexing="ij")
    there = (i >= 0) & (j >= 0)
    m, n = np.where(there, i, 0), np.where(there, j, 0)
    found = np.where(there, np.square(comb(m + n, m) * a**m * b**n), 0.0)
    return (found / found.sum())[None]
