"""How far the numbers of a row lie from even, what clipping them loses, and what a random rotation makes of it.

crest       max |x| / RMS of a row: √d where one channel holds all, √(2 ln d) or so of Gaussian ones
kurtosis    mean x⁴ / (mean x²)² of a row: 3 of Gaussian numbers, d where one channel holds all
clipping    Σ (|x| - c)²₊ / Σ x²: what is lost of numbers held to ±c
at b bits   clipping and, inside ±c, the Δ² / 12 of 2^b levels, Δ = 2 c / 2^b, together over mean x²
"""

from __future__ import annotations

import numpy as np


def crest(x: np.ndarray) -> np.ndarray:
    """(n,) of rows (n, d); 1 of rows of zeros."""
    rms = np.sqrt(np.square(x).mean(axis=1))
    return np.where(rms > 0, np.abs(x).max(axis=1) / np.where(rms > 0, rms, 1.0), 1.0)


def kurtosis(x: np.ndarray) -> np.ndarray:
    """(n,) of rows (n, d) around 0; 1 of rows of zeros."""
    square = np.square(x).mean(axis=1)
    good = square > 0
    scaled = x / np.sqrt(np.where(good, square, 1.0))[:, None]
    return np.where(good, (scaled**4).mean(axis=1), 1.0)


def clipped(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(m,) share of Σ x² that is lost when numbers are held to ±`at` (m,)."""
    size, whole = np.abs(x), np.square(x).sum()
    return np.array([np.square(np.maximum(size - c, 0.0)).sum() for c in at]) / max(whole, 1e-300)


def error_at(x: np.ndarray, at: np.ndarray, bits: int) -> np.ndarray:
    """(m,) mean squared error at b bits between ±`at` (m,), over mean x²."""
    steps = (2.0 * np.asarray(at) / 2.0**bits) ** 2 / 12
    inside = np.array([(np.abs(x) <= c).mean() for c in at])
    return clipped(x, at) + steps * inside / max(np.square(x).mean(), 1e-300)


def rotation(d: int, rng: np.random.Generator) -> np.ndarray:
    """(d, d) orthogonal, each as likely as any other."""
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def gaussian_like(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian rows (n, d) with the mean and the second moments of the rows of x."""
    mean = x.mean(axis=0)
    values, axes = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    return mean + rng.standard_normal(x.shape) * np.sqrt(np.maximum(values, 0.0)) @ axes.T


def by_sample(values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """(samples,) means of values (n,) over the rows of each sample."""
    _, of = np.unique(owner, return_inverse=True)
    return np.bincount(of, values) / np.bincount(of)
