"""Bits against error: what is least for Gaussian rows, and how far two measured curves lie apart.

    R(D) = Σ_i max(0, ½ log2(λ_i / θ)),    D = Σ_i min(θ, λ_i)        (reverse water-filling, λ eigenvalues)
    BD-rate(A, B) = 10^{mean over the common quality of log10 rate_B - log10 rate_A} - 1

BD-rate of a curve with itself is 0, and (1 + BD(A, B)) (1 + BD(B, A)) = 1.
"""

from __future__ import annotations

import numpy as np

LEAST = 1e-12


def water_level(eigenvalues: np.ndarray, error: float) -> float:
    """θ with Σ min(θ, λ_i) = `error`, at most Σ λ."""
    values = np.sort(np.maximum(eigenvalues, 0))
    if error >= values.sum():
        return float(values[-1])
    below = np.concatenate([[0.0], np.cumsum(values)[:-1]])  # what the smaller ones hold, all of them flooded
    theta = (error - below) / (len(values) - np.arange(len(values)))
    return float(theta[np.flatnonzero(theta <= values)[0]])


def least_bits(eigenvalues: np.ndarray, error: float) -> float:
    """R(D) in bits of a whole row, `error` being D, a sum over its numbers."""
    theta = water_level(eigenvalues, error)
    above = eigenvalues[eigenvalues > theta]
    return float(0.5 * np.log2(above / theta).sum()) if theta > 0 else float("inf")


def entropy(codes: np.ndarray) -> float:
    """Empirical entropy in bits of whole numbers (n,): the least that a code for single numbers needs on average."""
    counts = np.unique(codes, return_counts=True)[1]
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def bd_rate(rate: np.ndarray, quality: np.ndarray, other: np.ndarray, other_quality: np.ndarray) -> float:
    """How much more rate the other curve needs at the same quality, on average over where both have one, linear between
    points in log rate; NaN where they have none in common. Qualities rise."""
    low, high = max(quality.min(), other_quality.min()), min(quality.max(), other_quality.max())
    if not low < high:
        return float("nan")
    at = np.unique(np.concatenate([[low, high], quality, other_quality]))
    at = at[(at >= low) & (at <= high)]
    logs = [
        np.interp(at, q, np.log10(np.maximum(r, LEAST))) for r, q in ((rate, quality), (other, other_quality))
    ]
    return float(10 ** (np.trapezoid(logs[1] - logs[0], at) / (high - low)) - 1)
