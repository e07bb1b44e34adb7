"""How far apart two representations of the same samples lie, for what is lost when only their relations are compared.

The gap is the distance |mean x - mean y|, for two sides whose units are the same ones (two towers of one model).
Null: each sample's x and y swapped or not at random, as if it were chance which side a vector is from. The geodesic
angle is the arc between the directions of two vectors, arccos of their cosine.

Reference: W. Liang et al. (2022), "Mind the gap: understanding the modality gap in multi-modal contrastive
representation learning".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.mate_search import cosine
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate


def gap_estimates(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, draws: int, rng: np.random.Generator
) -> tuple[Estimate, Estimate]:
    """The gap, and the angle between the two means, of rows `x`, `y` (n, d). Time O(draws n d)."""
    apart, middle = x - y, (x + y).mean(axis=0) / 2
    moved = rng.choice([-1.0, 1.0], size=(draws, len(x))) @ apart / len(x)
    rest = [group != g for g in range(group.max() + 1)]
    gaps = np.array(
        [np.linalg.norm(apart.mean(axis=0)), *(np.linalg.norm(apart[r].mean(axis=0)) for r in rest)]
    )
    means = [(v.mean(axis=0), *(v[r].mean(axis=0) for r in rest)) for v in (x, y)]
    angles = np.array([_angle(a, b) for a, b in zip(*means, strict=True)])
    swapped = np.array([_angle(middle + e / 2, middle - e / 2) for e in moved])
    how = {"interval": "jackknife over groups of samples, t", "n": len(x), "d": x.shape[1]}
    how["null_method"] = f"sides of each sample swapped at random, {draws} times"
    lengths = np.linalg.norm(moved, axis=1)
    return (
        Estimate("gap between the means", float(gaps[0]), *_ends(gaps, np.inf), **against(gaps[0], lengths),
                 estimator="|mean x - mean y|, as recorded", **how),
        Estimate("angle between the means", float(angles[0]), *_ends(angles, 180.0), **against(angles[0], swapped),
                 estimator="arccos of the cosine of the means, as recorded", unit="°", **how),
    )  # fmt: skip


def mate_angle(x: np.ndarray, y: np.ndarray, draws: int, rng: np.random.Generator) -> Estimate:
    """Mean angle between mates `x` and `y` (n, k) along shared directions, against exchanged mates. O(n² k + draws
    n)."""
    n = len(x)
    angles = np.degrees(np.arccos(np.clip(cosine(x, y), -1.0, 1.0)))
    own = np.diag(angles)
    drawn = np.array([angles[np.arange(n), rng.permutation(n)].mean() for _ in range(draws)])
    reach = 1.959964 * float(own.std(ddof=1)) / np.sqrt(n)
    low, high = (float(v) for v in np.percentile(drawn, [2.5, 97.5]))
    return Estimate(
        "angle between mates along the shared directions", float(own.mean()), max(float(own.mean()) - reach, 0.0),
        min(float(own.mean()) + reach, 180.0), interval="mean ± 1.96 standard errors", null=float(angles.mean()),
        null_low=float(min(low, angles.mean())), null_high=float(max(high, angles.mean())),
        null_method=f"mates exchanged: exact mean, 95 % of {draws} exchanges", n=n, d=x.shape[1], unit="°",
        p_value=float((1 + (drawn <= own.mean()).sum()) / (1 + draws)),
        estimator="mean arccos of the cosine of held-out mates",
    )  # fmt: skip


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two vectors; 0 where one has no length. By the sine and the cosine, exact for tiny angles."""
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        return 0.0
    a, b = a / lengths[0], b / lengths[1]
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def _ends(series: np.ndarray, most: float) -> tuple[float, float]:
    half = float(np.nan_to_num(jackknife_half(series)))
    return max(float(series[0]) - half, 0.0), min(float(series[0]) + half, most)
