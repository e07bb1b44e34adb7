"""Weights as entries of a codebook: single weights, or runs of them along a neuron's inputs, and what the codebook
itself takes. Bits per weight count the number of each entry and the entries, 16 bits a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.clusters.kmeans import kmeans

NUMBER = 16  # bits of a number of a codebook
SETTLED, ROUNDS = 1e-10, 2000  # of Lloyd's rounds on single weights
QUANTILES = np.linspace(0.05, 0.95, 10)


@dataclass(frozen=True)
class Coded:
    """`error` (units,) squares lost of each neuron's weights, `bits` per weight with the codebook's own, `counts`
    (size,) how many weights or runs take each entry."""

    error: np.ndarray
    bits: float
    counts: np.ndarray

    @property
    def size(self) -> int:
        return len(self.counts)

    @property
    def usage(self) -> np.ndarray:
        """(size,) share of each entry."""
        return self.counts / self.counts.sum()

    @property
    def entropy(self) -> float:
        """Bits that a number of an entry takes when frequent ones are written shorter."""
        share = self.usage[self.usage > 0]
        return float(-(share * np.log2(share)).sum())


def scalar_codebook(values: np.ndarray, k: int) -> np.ndarray:
    """At most k centres, rising, for numbers `values` (n,): Lloyd's rounds from their quantiles, which end in the best
    ones where the density is log-concave (Fleischer 1964). O(n log n) and O(k log n) a round."""
    rising = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(rising)])
    centres = np.unique(np.quantile(rising, (np.arange(k) + 0.5) / k))
    before = np.inf
    for _ in range(ROUNDS):
        edges = np.searchsorted(rising, (centres[1:] + centres[:-1]) / 2, side="right")
        edges = np.concatenate([[0], edges, [len(rising)]])
        count = np.diff(edges)
        means = np.diff(sums[edges])[count > 0] / count[count > 0]
        gain = float((means**2 * count[count > 0]).sum())
        centres = np.unique(means)
        if before < np.inf and gain - before <= SETTLED * abs(gain):
            break
        before = gain
    return centres


def nearest_number(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Number of the nearest of rising `centres` (k,), of the shape of `values`."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values, side="right")


def coded_single(weight: np.ndarray, k: int) -> Coded:
    """One codebook of k numbers for all weights (units, inputs): log₂ k + 16 k / n bits each."""
    centres = scalar_codebook(weight.ravel(), k)
    codes = nearest_number(weight, centres)
    size = len(centres)
    bits = np.log2(size) + NUMBER * size / weight.size
    return Coded(
        ((weight - centres[codes]) ** 2).sum(axis=1), float(bits), np.bincount(codes.ravel(), minlength=size)
    )


def neuron_groups(weight: np.ndarray, groups: int, rng: np.random.Generator) -> np.ndarray:
    """(units,) group of each neuron by the distribution of its weights: k-means on ten quantiles."""
    return kmeans(np.quantile(weight, QUANTILES, axis=1).T, groups, rng).codes


def coded_by_groups(weight: np.ndarray, k: int, of: np.ndarray) -> Coded:
    """A codebook of k numbers for each group `of` (units,) of neurons; the group of each neuron is counted too."""
    error, counts = np.empty(len(weight)), []
    bits = len(weight) * np.log2(of.max() + 1)
    for g in range(of.max() + 1):
        own = of == g
        found = coded_single(weight[own], k)
        error[own] = found.error
        counts.append(found.counts)
        bits += found.bits * own.sum() * weight.shape[1]
    return Coded(error, float(bits / weight.size), np.concatenate(counts))


def runs_of(weight: np.ndarray, length: int) -> np.ndarray:
    """(n, m) runs of m consecutive inputs of a neuron: m the largest divisor of the inputs that is at most `length`."""
    inputs = weight.shape[1]
    m = max(j for j in range(1, min(length, inputs) + 1) if inputs % j == 0)
    return weight.reshape(-1, m)


def coded_runs(
    weight: np.ndarray, length: int, k: int, rng: np.random.Generator, keep: int | None = None
) -> tuple[Coded, float]:
    """Runs of weights as the nearest of k entries in their `keep` leading directions (all by default), and the squares
    that lie outside these directions: error = outside + clustering, exactly, since directions are orthonormal.

    (log₂ k) / m + 16 (k keep + keep m) / n bits per weight; the directions themselves only where some are left out.
    """
    runs = runs_of(weight, length)
    m = runs.shape[1]
    d = m if keep is None else min(keep, m)
    axes = np.linalg.svd(runs, full_matrices=False)[2][:d]
    inside = runs @ axes.T
    fit = kmeans(inside, k, rng, 1)
    rebuilt = fit.centres[fit.codes] @ axes
    error = ((runs - rebuilt) ** 2).sum(axis=1).reshape(len(weight), -1).sum(axis=1)
    outside = float(((runs - inside @ axes) ** 2).sum())
    size = len(fit.centres)
    own = NUMBER * (size * d + (d * m if d < m else 0)) / weight.size
    counts = np.bincount(fit.codes, minlength=size)
    return Coded(error, float(np.log2(size) / m + own), counts), outside


def gaussian_weight(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent Gaussian entries with the mean and the deviation of the weights."""
    return weight.mean() + weight.std() * rng.standard_normal(weight.shape)
