"""Bits against error: what is least for Gaussian rows, and how far two measured curves lie apart.

    R(D) = Σ_i max(0, ½ log2(λ_i / θ)),    D = Σ_i min(θ, λ_i)        (reverse water-filling, λ eigenvalues)
    BD-rate(A, B) = 10^{mean over the common quality of log10 rate_B - log10 rate_A} - 1

BD-rate of a curve with itself is 0, and (1 + BD(A, B)) (1 + BD(B, A)) = 1. Between measured points log rate is a line,
or a piecewise cubic without overshoot over quality (in place of the single cubic of G. Bjontegaard, 2001, which swings
where points are more than four).
"""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError

LEAST, FEWEST_POINTS = 1e-12, 4


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


def rising(rate: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rate, quality) of the points, by rate, that have some rate and better quality than every point before."""
    rate, quality = np.asarray(rate, np.float64), np.asarray(quality, np.float64)
    some = np.flatnonzero((rate > LEAST) & np.isfinite(rate) & np.isfinite(quality))
    some = some[np.lexsort((-quality[some], rate[some]))]  # of one rate the best
    best = np.maximum.accumulate(quality[some])
    some = some[quality[some] > np.concatenate([[-np.inf], best[:-1]])] if len(some) else some
    return rate[some], quality[some]


def bjontegaard(curve, other, names: tuple[str, str] = ("one curve", "the other")) -> float:
    """BD-rate of `other` over `curve`, each (rates (k,), qualities (k,)): the integral of the difference of two
    piecewise cubics of log rate over the quality that both have, by its length. Exact for two curves a factor apart.

    Raises InputError: fewer than four points that rise, or no quality in common.
    """
    from scipy.interpolate import PchipInterpolator

    fits, ends = [], []
    for (rate, quality), name in zip((curve, other), names, strict=True):
        rate, quality = rising(rate, quality)
        if len(rate) < FEWEST_POINTS:
            raise InputError(
                f"{len(rate)} point(s) of {name} with rising rate and quality", f"{FEWEST_POINTS} or more"
            )
        fits.append(PchipInterpolator(quality, np.log(rate)))
        ends.append((quality[0], quality[-1]))
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    if not low < high:
        said = " and ".join(f"{name} {a:.3g} to {b:.3g}" for name, (a, b) in zip(names, ends, strict=True))
        raise InputError(f"no quality in common: {said}", "curves whose qualities overlap")
    return float(np.expm1((fits[1].integrate(low, high) - fits[0].integrate(low, high)) / (high - low)))
