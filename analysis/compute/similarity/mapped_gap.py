"""The squared gap between a teacher's features and a student's mapped to them, row by row, and that under a mask."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.cross_prediction import predicted, predictor, reduced
from analysis.compute.rows.shared_places import SharedPlaces
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Estimate


def gaps(student: np.ndarray, teacher: np.ndarray, fold: np.ndarray, mapping: str) -> np.ndarray:
    """(R,) mean over units of the squared difference of `teacher` (R, q) and the mapped `student` (R, p).

    mapping : "none", or "ridge" from the rows of the other folds (R,) with a penalty by generalised cross-validation.
    """
    if mapping == "none":
        return ((teacher - student) ** 2).mean(axis=1)
    one, y, out = predictor(reduced(student), fold), teacher - teacher.mean(axis=0), np.empty(len(teacher))
    cross = one.rows.T @ y
    for fit in one.fits:
        true, made = predicted(one, y, fit, cross)
        out[fit.out] = ((true - made) ** 2).mean(axis=1)
    return out


def masked_estimates(
    data: SharedPlaces, gap: np.ndarray, mask: np.ndarray, units: int, rng: np.random.Generator
) -> list[Estimate]:
    """Mean `gap` (R,) under the `mask` (R,) and, of a mask within [0, 1], its share of the whole gap."""
    sums = [np.bincount(data.sample, v) for v in (mask * gap, mask, gap)]
    held = np.bincount(data.token)
    by_place = [np.bincount(data.token, v) / held for v in (mask, gap)]
    moved = float((held * by_place[0] * by_place[1]).sum())  # Σ mask gap with the mask's samples exchanged
    groups, out = sample_groups(data.n_samples, rng), []
    wanted = [("mean gap under the mask", 1, 0.0, np.inf)]
    if mask.max() <= 1 and gap.any():
        wanted.append(("share of the gap under the mask", 2, 0.0, 1.0))
    for name, by, least, most in wanted:
        whole = float(sums[by].sum())
        rest = [sums[by].sum() - sums[by][g].sum() for g in groups]
        if min(rest) <= 0:
            ends = {}
        else:
            left = np.array([sums[0].sum() - sums[0][g].sum() for g in groups]) / np.array(rest)
            half, value = jackknife_half(left), float(sums[0].sum()) / whole
            ends = {"low": max(value - half, least), "high": min(value + half, most),
                    "interval": "jackknife over groups of samples"}  # fmt: skip
        out.append(Estimate(
            name, float(sums[0].sum()) / whole, **ends, null=moved / whole,
            null_method="masks exchanged between samples, every place kept, exact mean", n=data.n_samples, d=units,
            estimator="weighted by the mask",
        ))  # fmt: skip
    return out
