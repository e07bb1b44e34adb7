"""How far frames of classes overlap, and frames made of samples with what leaving samples out does to them."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.class_frames import class_frames, right_and_shares
from analysis.errors import NotEnoughData


def overlaps(frames: list[np.ndarray]) -> np.ndarray:
    """Σ cos² θ (C, C) of orthonormal frames (d, k), k on the diagonal. O(C² d k²)."""
    count, k = len(frames), frames[0].shape[1]
    stack = np.concatenate(frames, axis=1)
    values = np.array([((f.T @ stack) ** 2).reshape(k, count, k).sum(axis=(0, 2)) for f in frames])
    np.fill_diagonal(values, k)
    return np.clip((values + values.T) / 2, 0.0, k)


def frames_of_classes(data: LabelledMatrix, k: int, rng, progress):
    """Frames of all samples, half-widths of the overlaps (C, C), held-out right answers (n,)."""
    classes, fold = len(data.names), folds_of(data.of, GROUPS, rng)
    fewest = min(int(np.bincount(data.of[fold != f], minlength=classes).min()) for f in range(GROUPS))
    if k > min(fewest, data.values.shape[1]):
        raise NotEnoughData(
            f"k = {k} with {data.values.shape[1]} units and {fewest} samples of the smallest class in nine tenths",
            "at most the smaller of the two",
            "Lower k",
        )
    without, right = [], np.empty(len(data.of))
    for f in range(GROUPS):
        progress(0.2 + 0.7 * f / GROUPS, "leaving samples out")
        train, test = fold != f, fold == f
        frames = class_frames(data.values[train], data.of[train], classes, k)
        _refuse_thin(frames, data.names, k)
        without.append(overlaps(frames))
        right[test] = right_and_shares(data.values[test], data.of[test], frames, k)[0][:, -1]
    frames = class_frames(data.values, data.of, classes, k)
    return frames, jackknife_half(np.array(without)), right


def _refuse_thin(frames, names, k: int) -> None:
    for frame, name in zip(frames, names, strict=True):
        if frame.shape[1] < k:
            raise NotEnoughData(f"class {name} has {frame.shape[1]} direction(s)", f"{k}", "Lower k")
