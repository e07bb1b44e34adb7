"""The first k principal axes of every class, how much they overlap, and that of classes dealt at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.subspace import cuts_of
from analysis.compute.subspaces.tap_subspaces import leading_axes
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class CentredClasses:
    """Samples `x` (n, d) about their class's mean or about that of all, their class numbers `of` (n,), `names` (C,);
    they span `dimensions`; `notes`."""

    x: np.ndarray
    of: np.ndarray
    names: tuple[str, ...]
    dimensions: int
    notes: tuple[str, ...]


def centred_classes(data: LabelledMatrix, own: bool, k: int) -> CentredClasses:
    """About each class's `own` mean, or the mean of all. Raises NotEnoughData where no more than `k` dimensions are
    spanned."""
    mean = data.values.mean(axis=0)
    x = data.values - mean
    varies = is_varying(x.var(axis=0), mean)
    if own:
        for c in range(len(data.names)):
            x[data.of == c] -= x[data.of == c].mean(axis=0)
    spanned = min(int(varies.sum()), len(x) - (len(data.names) if own else 1))
    if spanned <= k:
        raise NotEnoughData(
            f"the samples span {spanned} dimension(s)", f"more than the {k} of each subspace",
            "Lower the dimension, or choose a wider tap",
        )  # fmt: skip
    still = int((~varies).sum())
    notes = (f"{still} constant unit(s) add nothing.",) if still else ()
    return CentredClasses(x, data.of, data.names, spanned, notes)


def class_axes(x: np.ndarray, of: np.ndarray, classes: int, k: int) -> np.ndarray:
    """(C, d, k) first axes of the samples `x` (n, d), centred as they shall be, of each class."""
    return np.stack([leading_axes(x[of == c], k) for c in range(classes)])


def axes_without_groups(
    data: CentredClasses,
    groups: Sequence[np.ndarray],
    k: int,
    progress: Progress = no_progress,
    span=(0.0, 1.0),
) -> list[np.ndarray]:
    """The same without each group of samples; none where a class keeps too few samples for k axes."""
    found = []
    for i, g in enumerate(groups):
        progress(span[0] + (span[1] - span[0]) * i / len(groups), "leaving samples out")
        stay = np.setdiff1d(np.arange(len(data.x)), g)
        if np.bincount(data.of[stay], minlength=len(data.names)).min() <= k:
            return []
        found.append(class_axes(data.x[stay], data.of[stay], len(data.names), k))
    return found


def overlaps(axes: np.ndarray) -> np.ndarray:
    """(C, C) Σ cos² θ / k of subspaces (C, d, k): ‖AᵀB‖² / k, in one product. O(C² d k²)."""
    classes, d, k = axes.shape
    flat = np.moveaxis(axes, 0, 1).reshape(d, classes * k)
    squares = (flat.T @ flat) ** 2
    return np.minimum(squares.reshape(classes, k, classes, k).sum(axis=(1, 3)) / k, 1.0)


def mean_overlap(axes: np.ndarray) -> float:
    """Over every two classes."""
    return float(overlaps(axes)[np.triu_indices(len(axes), 1)].mean())


def dealt_at_random(
    data: CentredClasses,
    k: int,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span=(0.0, 1.0),
) -> np.ndarray:
    """(draws,) mean overlap when the centred samples are dealt to classes of the same sizes at random."""
    found = np.empty(draws)
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "exchanging labels")
        found[i] = mean_overlap(class_axes(data.x, rng.permutation(data.of), len(data.names), k))
    return found


def defined(data: CentredClasses, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each class (C,): does a gap define its k axes; share of its variance inside them. Raises NotEnoughData where a
    class has fewer."""
    clear, shares = [], []
    for c, name in enumerate(data.names):
        cuts = cuts_of(ArrayActivations(data.x[data.of == c], name=f"class {name}", digest="held"))
        if len(cuts.values) < k:
            raise NotEnoughData(
                f"class {name} varies in {len(cuts.values)} direction(s)", f"at least {k}",
                "Lower the dimension, or record more samples",
            )  # fmt: skip
        clear.append(bool((cuts.held == k).any()))
        shares.append(float(cuts.values[:k].sum() / cuts.values.sum()))
    return np.array(clear), np.array(shares)
