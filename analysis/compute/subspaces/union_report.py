"""The numbers of a union of subspaces: component by component, and of the whole with intervals and chance."""

from __future__ import annotations

import numpy as np

from analysis.compute.neighbours.dimension_readings import COVARIANCE, null_range
from analysis.compute.rows.cloud import Cloud
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.compute.subspaces.angles import overlap, overlap_by_chance, principal_angles
from analysis.compute.subspaces.union import Union, gap_dimension, leading
from analysis.compute.subspaces.union_fits import HeldOut, fitted_weights
from analysis.results import Estimate

CLEAR = 0.9  # posterior weight from which a sample clearly belongs


def component_columns(x: np.ndarray, fit: Union, d: int, most: int) -> dict[str, np.ndarray]:
    """A line for each component of the fit of points `x` (n, q) by subspaces of `d` dimensions; the own dimension of a
    component is looked for up to `most`."""
    k, q = len(fit.bases), x.shape[1]
    angles = np.array([[principal_angles(a, b) if i != j else np.full(d, np.inf) for j, b in enumerate(fit.bases)]
                       for i, a in enumerate(fit.bases)])  # fmt: skip
    near = angles.mean(axis=2).argmin(axis=1)
    lines = []
    for j in range(k):
        mine = x[fit.codes == j]
        own, gap = gap_dimension(leading(mine, d)[1], min(most, q - 1)) if len(mine) else (d, 1.0)
        inside = float(((mine @ fit.bases[j]) ** 2).sum() / max((mine**2).sum(), 1e-300))
        to = angles[j, near[j]]
        lines.append((f"subspace {j + 1}", len(mine), own, min(gap, 1e12), len(mine) / own, inside,
                      f"subspace {near[j] + 1}", np.degrees(to[0]), np.degrees(to[-1]), overlap(to)))  # fmt: skip
    names = ("component", "samples", "dimension", "gap", "samples / dimension", "share kept", "nearest",
             "smallest angle", "largest angle", "overlap")  # fmt: skip
    return {name: np.array(column) for name, column in zip(names, zip(*lines, strict=True), strict=True)}


def union_estimates(
    x: np.ndarray,
    fit: Union,
    held: HeldOut,
    one: HeldOut,
    null: np.ndarray,
    columns: dict,
    d: int,
    cloud: Cloud,
    rng,
) -> tuple[Estimate, ...]:
    """What the union and one subspace keep held out, beside `null` (draws, 2); N_k / d_k, overlap, who belongs."""
    n, q = x.shape
    about = {"n": n, "d": q}
    groups = [np.isin(cloud.sample, g, invert=True) for g in sample_groups(cloud.n_samples, rng)]

    def share(found: HeldOut, chance) -> dict:
        half = jackknife_half(np.array([found.kept[g].sum() / found.all[g].sum() for g in groups]))
        v = found.share
        ends = {} if half is None else {
            "low": max(v - float(half), 0.0), "high": min(v + float(half), 1.0),
            "interval": "jackknife over groups of samples, fits held, t",
        }  # fmt: skip
        return {**ends, **null_range(chance, COVARIANCE)}

    mean, deviation = overlap_by_chance(d, d, q)
    belong = fitted_weights(x, fit).max(axis=1) > CLEAR
    few = columns["samples / dimension"]
    return (
        Estimate("squares kept by the union, held out", held.share, **share(held, null[:, 0]), **about,
                 estimator=f"{len(fit.bases)} subspaces of {d} dimension(s), fitted on the other half"),
        Estimate("squares kept by one subspace, held out", one.share, **share(one, null[:, 1]), **about,
                 estimator=f"{d} leading directions of the other half"),
        Estimate("smallest samples / dimension", float(few.min()), **about, estimator="N_k / d_k"),
        Estimate("overlap of nearest components", float(columns["overlap"].mean()), null=mean,
                 null_low=max(mean - 1.96 * deviation, 0.0), null_high=min(mean + 1.96 * deviation, 1.0),
                 null_method=f"random subspaces of {q} axes, exact; the nearest of several have more", **about,
                 estimator="Σ cos² θ / d"),
        Estimate("samples that clearly belong to one", float(belong.mean()), **about,
                 estimator=f"posterior weight above {CLEAR}, s and γ fitted"),
    )  # fmt: skip
