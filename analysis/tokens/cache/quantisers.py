"""Numbers at b bits: each row (a token) by itself, 2^b levels at equal distance Δ from its least number to its largest.

Of numbers that lie evenly in a step the mean squared error is Δ² / 12; each bit halves Δ and so adds 6.02 dB. One
channel that is far larger than the others widens Δ for all of them: a random rotation spreads it, and keeping the
eighth of the axes with the most variance at twice the bits costs b + b / 8 on average (8 and 4 bits: 4.5).
"""

from __future__ import annotations

import numpy as np

PLAIN, ROTATED, MIXED = "as it is", "rotated", "mixed"
WAYS = (PLAIN, ROTATED, MIXED)
DECIBEL = 20 * np.log10(2)  # of one bit
HIGH = 8  # one of so many axes is held at twice the bits


def quantised(x: np.ndarray, bits: int) -> np.ndarray:
    """(..., d) rows at 2^bits levels between their ends, each the middle of its step; a row of one value stays."""
    low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    step = (high - low) / 2.0**bits
    wide = step > 0
    place = np.floor((x - low) / np.where(wide, step, 1))
    return np.where(wide, low + (np.clip(place, 0, 2.0**bits - 1) + 0.5) * step, x)


def at_bits(x: np.ndarray, bits: int, way: str, axes: np.ndarray) -> np.ndarray:
    """Rows (n, d) quantised `way`. `axes` (d, d) orthogonal: of ROTATED random, of MIXED principal, the first eighth
    held at twice the bits."""
    if way == PLAIN:
        return quantised(x, bits)
    turned = x @ axes
    if way == ROTATED:
        return quantised(turned, bits) @ axes.T
    top = high_axes(x.shape[1])
    parts = [quantised(turned[:, :top], 2 * bits), quantised(turned[:, top:], bits)]
    return np.concatenate(parts[: 1 + (top < x.shape[1])], axis=1) @ axes.T


def high_axes(d: int) -> int:
    """How many axes are held at twice the bits."""
    return max(int(round(d / HIGH)), 1)


def mean_bits(bits: int, way: str, d: int) -> float:
    """Bits of a number on average, the two ends of a row not counted."""
    return bits * (1 + high_axes(d) / d) if way == MIXED else float(bits)


def axes_of(way: str, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(d, d) what `at_bits` wants, from rows (n, d)."""
    d = x.shape[1]
    if way == ROTATED:
        return np.linalg.qr(rng.standard_normal((d, d)))[0]
    if way == MIXED:
        return np.linalg.eigh(x.T @ x)[1][:, ::-1]
    return np.eye(d)


def decibels(signal: float, noise: float, most: float = 200.0) -> float:
    """10 log10 (signal / noise), `most` where there is no noise, 0 where there is nothing at all."""
    if signal <= 0:
        return 0.0
    return min(10 * float(np.log10(signal / noise)), most) if noise > 0 else most


def quantised_columns(w: np.ndarray, bits: int) -> np.ndarray:
    """A matrix of weights with each row quantised by itself around 0: whole multiples of the largest number over
    2^(b-1) - 1 (at one bit its sign times the mean size)."""
    if bits == 1:
        return np.sign(w) * np.abs(w).mean(axis=-1, keepdims=True)
    step = np.abs(w).max(axis=-1, keepdims=True) / (2.0 ** (bits - 1) - 1)
    return np.round(w / np.where(step > 0, step, 1)) * step
