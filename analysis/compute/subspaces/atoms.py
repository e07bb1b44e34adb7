"""Atoms of a dictionary beside a subspace of the same units: how much of each lies inside.

The energy of an atom is the share of its squared length inside the subspace, ‖P d‖² / ‖d‖². For a direction drawn
uniformly it is Beta(r / 2, (d - r) / 2), of mean r / d.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from analysis.compute.statistics.sample_groups import (
    jackknife_error,
    mean_interval,
    sample_groups,
    share_interval,
)
from analysis.compute.subspaces.tap_subspaces import axes_without
from analysis.results import Estimate

BLOCK = 1 << 22  # numbers at a time
CHANCE = "a random atom: r / d, exact beta distribution"


def energies(atoms: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(k,) share of the squared length of unit `atoms` (k, d) inside the span of orthonormal `basis` (d, r)."""
    return np.minimum(((atoms @ basis) ** 2).sum(axis=1), 1.0)


def energy_by_chance(r: int, d: int, level: float = 0.95) -> tuple[float, float, float, float]:
    """Of a uniformly random direction: mean, deviation, and the ends of the middle `level`."""
    if r >= d:
        return 1.0, 0.0, 1.0, 1.0
    a, b = r / 2, (d - r) / 2
    deviation = np.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    tail = (1 - level) / 2
    return r / d, float(deviation), float(betaincinv(a, b, tail)), float(betaincinv(a, b, 1 - tail))


def tied_rates(x: np.ndarray, atoms: np.ndarray, active: int) -> np.ndarray:
    """(k,) share of the centred rows `x` (n, d) on which each atom is among the `active` of largest projection above
    0: the code of a top-k autoencoder whose encoder is its decoder. O(n k d)."""
    n, active = len(x), min(active, len(atoms))
    counts, step = np.zeros(len(atoms)), max(1, BLOCK // len(atoms))
    for start in range(0, n, step):
        score = x[start : start + step] @ atoms.T
        top = np.argpartition(-score, active - 1, axis=1)[:, :active]
        fires = np.take_along_axis(score, top, axis=1) > 0
        counts += np.bincount(top[fires], minlength=len(atoms))
    return counts / n


def energy_estimates(energy: np.ndarray, rate: np.ndarray, r: int, d: int, n: int) -> tuple[Estimate, ...]:
    """Mean `energy` (k,) of atoms that fire and of those that never do, their share, and how it goes with their firing
    `rate` (k,), of `n` rows of `d` units."""
    from scipy.stats import rankdata

    mean, deviation, *_ = energy_by_chance(r, d)
    out = []
    for name, mask in (("that fire", rate > 0), ("that never fire", rate == 0)):
        if mask.any():
            spread = 1.96 * deviation / np.sqrt(mask.sum())
            out.append(Estimate(
                f"mean energy of the {int(mask.sum()):,} atoms {name}", float(energy[mask].mean()),
                **(mean_interval(energy[mask], 0.0, 1.0) if mask.sum() > 1 else {}), null=mean,
                null_low=max(mean - spread, 0.0), null_high=min(mean + spread, 1.0), null_method=CHANCE, n=n, d=d,
                estimator=f"‖P d‖² / ‖d‖², r = {r}",
            ))  # fmt: skip
    count = {"n": len(rate), "d": d}
    dead = 1.0 * (rate == 0)
    out.append(Estimate("share of atoms that never fire", float(dead.mean()), **share_interval(dead), estimator="count",
                        **count))  # fmt: skip
    if np.ptp(rate) and np.ptp(np.round(energy, 12)):
        rho = float(np.corrcoef(rankdata(rate), rankdata(np.round(energy, 12)))[0, 1])
        half = 1.96 * 1.03 / np.sqrt(max(len(rate) - 3, 1))
        ends = np.tanh(np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12)) + np.array([-half, half]))
        out.append(Estimate(
            "rank correlation of energy and firing rate", rho, min(float(ends[0]), rho), max(float(ends[1]), rho),
            interval="Fieller's, atoms as draws", null=0.0, null_low=float(-1.96 / np.sqrt(len(rate) - 1)),
            null_high=float(1.96 / np.sqrt(len(rate) - 1)), null_method="energies exchanged, large numbers of atoms",
            estimator="Spearman", **count,
        ))  # fmt: skip
    return tuple(out)


def energy_errors(
    x: np.ndarray, sample: np.ndarray, r: int, atoms: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(k,) standard error of the energy of each of `atoms` (k, d) inside the first r axes of rows `x` (n, d) of a
    `sample` (n,) each; 0 where too few rows would be left to span the subspace."""
    numbers, of = np.unique(sample, return_inverse=True)
    of = np.arange(len(x)) if len(numbers) == 1 else of.reshape(-1)
    groups = [np.flatnonzero(np.isin(of, g)) for g in sample_groups(int(of.max()) + 1, rng)]
    if len(groups) < 3 or r > len(x) - max(map(len, groups)) - 2:
        return np.zeros(len(atoms))
    return jackknife_error(np.array([energies(atoms, b) for b in axes_without(x, r, groups)]))


def energy_guides(place: np.ndarray, r: int, d: int) -> dict[str, np.ndarray]:
    """Level lines from end to end of the `place` (k,) of atoms: what chance gives."""
    mean, _, low, high = energy_by_chance(r, d)
    ends = np.array([place.min(), place.max()]) if np.ptp(place) else place[0] + np.array([-0.5, 0.5])
    lines = {f"chance, r / d = {r} / {d}": mean, "97.5 % of random atoms lie below": high,
             "2.5 % of random atoms lie below": low}  # fmt: skip
    return {name: np.column_stack([ends, [level, level]]) for name, level in lines.items()}
