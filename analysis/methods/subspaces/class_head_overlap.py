"""Which classes share directions in a head of subspaces? Σ cos² θ of every two classes' frames.

A Grassmann class head is a stack [C, d, k] of orthonormal frames S_c; the logit of class c is ‖S_cᵀx‖. θ are the
principal angles of two frames: Σ cos² θ = ‖S_aᵀS_b‖² is k where they are the same, 0 where they are orthogonal, and
k² / d on average for random ones, with a deviation that is known exactly (`compute.subspaces.angles`).

The stack is a tensor of the checkpoint that the tap was recorded from, by its name in the file; or, without a name,
it is made after the fact from the tap's own classes: the k leading directions of each class's second moment, not
centred. A stack of a file is judged on the tap's samples, if it reads them: how often its largest logit is the class.

When it lies: frames made after the fact from few samples overlap less than the classes do, and more where all samples
share a large mean; overlapping frames need not be confused, as samples fill them unevenly. Frames of a file that
are not orthonormal are made so, which is said: the span stays, the logits do not.

Cost: O(C² d k²) for the angles, O(n d min(n, d)) for frames made here, eleven times for intervals.

Reference: H. Wang, Z. Li & W. Zhang (2023), "Get the best of both worlds: improving accuracy and transferability by
Grassmann class representation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.nulls import wilson
from analysis.compute.statistics.sample_groups import GROUPS
from analysis.compute.subspaces.angles import overlap_by_chance
from analysis.compute.subspaces.class_frame_overlaps import frames_of_classes, overlaps
from analysis.compute.subspaces.class_frames import right_and_shares
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, Matrix
from analysis.sources.classifier_head import rows_of_classes
from analysis.sources.weights import NetworkWeights, weights_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

ORTHONORMAL = 1e-3  # largest entry of SᵀS - 1 that is rounding of a file in half precision
FEWEST = 5


@dataclass(frozen=True)
class ClassHeadOverlapParams:
    tensor: str = param(
        "", "Name of the [C, d, k] stack in the checkpoint; empty: made from the tap's classes."
    )
    column: str = param("label", "The sample column that holds the classes.", column=True)
    dimension: int = param(4, "k of frames that are made here.", label="k", low=1, high=1024)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def class_head_overlap(
    activations, params: ClassHeadOverlapParams = ClassHeadOverlapParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of class subspaces, from a file or from the tap.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        Classes x classes, Σ cos² θ in [0, k] with its chance k² / d; intervals (jackknife over samples) for frames made
        here, none for frames of a file, which are what they are. Estimates: mean overlap of two classes, and the share
        of samples whose own class has the largest logit (held out for frames made here).

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column or tensor; a tensor of another shape; fewer than two classes with five samples, or than k.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    if params.tensor:
        frames, names, right, notes = _of_file(weights_of(activations), params.tensor, data)
        half = None
    else:
        frames, half, right = frames_of_classes(data, params.dimension, rng, progress)
        names, notes = data.names, []
    progress(0.95, "measuring angles")
    values = overlaps(frames)
    d, k = frames[0].shape
    low, high = (None, None) if half is None else (np.clip(values - half, 0, k), np.clip(values + half, 0, k))
    chance, spread = (k * v for v in overlap_by_chance(k, k, d))
    null = np.full_like(values, chance)
    np.fill_diagonal(null, k)
    estimates = _estimates(values, half, right, data, chance, spread, k, d)
    return Matrix(
        title=f"Overlap of class subspaces, {params.tensor or activations.name}", values=values, row_names=names,
        column_names=names, value_name="Σ cos² θ", limits=(0.0, float(k)), null=null, low=low, high=high,
        null_band=(max(chance - 1.96 * spread, 0.0), min(chance + 1.96 * spread, float(k))),
        reading=_reading(values, names, estimates, k), estimates=estimates,
        caveats=(*_caveats(params), *notes, *data.notes),
    )  # fmt: skip


def _of_file(network: NetworkWeights, key: str, data: LabelledMatrix):
    """Frames, class names, 1 where the sample's own class has the largest logit (n,), and notes."""
    if key not in network.shapes:
        stacks = [name for name, shape in network.shapes.items() if len(shape) == 3]
        raise NotFound(
            f"{network.path.name} has no tensor '{key}'",
            "one of " + (", ".join(stacks[:8]) or "those with three axes, of which there is none"),
            "Name one that holds a frame for each class, or leave it empty",
        )
    stack = network.tensor(key)
    if stack.ndim != 3 or stack.shape[2] > stack.shape[1] or len(stack) < 2:
        raise InputError(
            f"'{key}' has shape {stack.shape}",
            "[classes, units, k] with k no larger than the units",
            "Name another tensor, or leave it empty",
        )
    d = data.values.shape[1]
    if stack.shape[1] != d:
        raise InputError(
            f"'{key}' reads {stack.shape[1]} units and the tap has {d}",
            "the tap that the head reads",
            "Choose it",
        )
    rows = rows_of_classes(network, data.names, len(stack))
    names = [str(i) for i in range(len(stack))]
    for row, name in zip(rows, data.names, strict=True):
        names[row] = name
    off = max(float(np.abs(s.T @ s - np.eye(s.shape[1])).max()) for s in stack)
    notes = []
    if off > ORTHONORMAL:
        notes.append(f"Frames of '{key}' were not orthonormal (off by {off:.2g}) and have been made so.")
    if off > ORTHONORMAL:
        stack = np.linalg.qr(stack)[0]
    frames, k = list(stack), stack.shape[2]
    right = right_and_shares(data.values, np.array(rows)[data.of], frames, k)[0][:, -1]
    return frames, tuple(names), right, notes


def _estimates(
    values, half, right, data: LabelledMatrix, chance, spread, k: int, d: int
) -> tuple[Estimate, ...]:
    pairs = np.triu_indices(len(values), 1)
    mean, n = float(values[pairs].mean()), len(right)
    ends = {}
    if half is not None:  # the mean of the half-widths: cells move together
        reach = float(half[pairs].mean())
        ends = {"low": max(mean - reach, 0.0), "high": min(mean + reach, float(k)),
                "interval": "jackknife over samples, as if all pairs moved together"}  # fmt: skip
    near = 1.96 * spread
    top, count = float(right.mean()), data.counts / n
    low, high = wilson(top * n, n)
    return (
        Estimate("mean Σ cos² θ of two classes", mean, **ends, null=chance, null_low=max(chance - near, 0.0),
                 null_high=min(chance + near, float(k)), null_method="random subspaces: k² / d exactly, ± 1.96 "
                 "deviations of a pair", n=n, d=d, estimator=f"k = {k}"),
        Estimate("samples whose own class has the largest logit", top, min(low, top), max(high, top), interval="Wilson",
                 null=float((count**2).sum()), null_method="answers as frequent as the classes, exchanged", n=n, d=d,
                 estimator="held out" if half is not None else "the file's head"),
    )  # fmt: skip


def _reading(values, names, estimates, k: int) -> str:
    off = values.copy()
    np.fill_diagonal(off, -1.0)
    a, b = np.unravel_index(off.argmax(), off.shape)
    mean, top = estimates
    return (
        f"Two classes share {mean.value:.2f} of {k} dimension(s) on average, random subspaces {mean.null:.2f}; most "
        f"do {names[a]} and {names[b]} ({off[a, b]:.2f}). The largest logit is the own class for {top.value:.1%} of "
        f"samples (by chance {top.null:.1%})."
    )


def _caveats(params) -> list[str]:
    if params.tensor:
        return ["Frames of a file have no sampling error; its head may read the tap pooled in another way."]
    return [
        "Frames were made after the fact, from second moments about zero: a mean that all classes have is shared."
    ]


def _cost(shapes, params: ClassHeadOverlapParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    r = min(n, d)
    flops = (GROUPS + 1) * (4.0 * n * d * r + 40.0 * r**3)
    return Cost(m.seconds(flops64=flops, moved=GROUPS * n * d * 40.0) + 0.02, n * d * 8 * 3.0 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Three planes: two share a line, the third orthogonal to both: Σ cos² θ = 1, 0, 0 of 2; random ones k² / d."""
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.standard_normal((20, 20)))[0].T
    planes = np.array([axes[[0, 1]], axes[[1, 2]], axes[[3, 4]]])
    of = np.arange(300) % 3
    x = np.einsum("ni,nid->nd", rng.standard_normal((300, 2)), planes[of])
    shown = class_head_overlap(
        ArrayActivations(x, samples={"label": of}), ClassHeadOverlapParams(dimension=2)
    )
    random = [np.linalg.qr(rng.standard_normal((40, 5)))[0] for _ in range(60)]
    mean = float(overlaps(random)[np.triu_indices(60, 1)].mean())
    return (
        CheckLine("planes that share a line", 1.0, float(shown.values[0, 1]), 1e-9),
        CheckLine("orthogonal planes", 0.0, float(shown.values[0, 2]), 1e-9),
        CheckLine("random frames: k² / d", 25 / 40, mean, 0.02),
        CheckLine("the chance that is shown", 0.2, float(shown.null[0, 1]), 1e-12),
        CheckLine("own class has the largest logit", 1.0, shown.estimates[1].value, 0.01),
    )


METHODS = (
    Method(
        id="class_head_overlap", family="subspaces", title="Overlap of a head's class subspaces", version=1,
        function=class_head_overlap,
        summary="Which classes share directions in a head with a subspace for each, read from a file or made here.",
        params=ClassHeadOverlapParams, result=Matrix, check=_check, cost=_cost, minimum_rows=10,
        invariance="turning the columns of any frame, or all units together, changes nothing",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
