"""What if each class were a subspace instead of one row of weights? Held-out accuracy of ‖S_cᵀx‖ over the dimension k.

S_c is the span of the k leading eigenvectors of the class's second moment (not centred: the logit is measured from the
origin), made on four fifths of the samples and asked of the other fifth (`compute.subspaces.class_frames`). On the same
folds: a linear probe (ridge, penalty chosen inside the training part) and the nearest class mean, which do not depend
on k. Two more lines say how much of a held-out sample's squared length lies in the subspace of its own class and, on
average, in those of others; by chance k / d.

Null of the accuracies: answers exchanged between samples, its mean exact. Intervals: Wilson's, Student's t for shares.

When it lies: the origin decides. Activations after a ReLU have a large mean that every S_c contains: then take the mean
off, which the network's head would not do. A sample and its negative get one answer: there is no evidence against a
class. Towards k = d every class holds everything and accuracy falls to chance; the best k of the curve was chosen on
these samples and is too good, k is a parameter. Subspaces made after training understate what a head trained so does.

Cost: for each of five folds O(n d (min(n, d) + C k)); memory O(n (d + k) + C d k).

Reference: H. Wang, Z. Li & W. Zhang (2023), "Get the best of both worlds: improving accuracy and transferability by
Grassmann class representation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.subspaces.class_frames import class_frames, right_and_shares
from analysis.compute.subspaces.class_heads_report import (
    NEAREST,
    OTHERS,
    OWN,
    PROBE,
    SUBSPACES,
    bands_of,
    estimates_of,
)
from analysis.compute.subspaces.neural_collapse import nearest_mean
from analysis.errors import InputError
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, FEWEST = 5, 5
RECORDED, CENTRED = "as recorded", "mean taken off"


@dataclass(frozen=True)
class ClassHeadsParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    origin: str = param(
        RECORDED, "Lengths are measured from zero, as a head does, or from the mean of the samples.",
        choices=(RECORDED, CENTRED),
    )  # fmt: skip
    dimension: int = param(4, "k at which the numbers are given.", label="k", low=1, high=4096)
    most: int = param(
        32,
        "Largest k of the curve; never more than the smallest class has samples.",
        low=1,
        high=4096,
        label="largest dimension tried",
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def class_heads(
    activations, params: ClassHeadsParams = ClassHeadsParams(), rng=None, progress=no_progress
) -> Curve:
    """Subspaces of classes as a classifier, over their dimension.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Curve
        x = k; accuracies of class subspaces, of a linear probe and of the nearest mean, and shares of the squared
        length in the own and in other subspaces, all held out, with 95 % bands and nulls. Estimates: each at
        `dimension`, and the difference to the linear probe.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with five samples; activations that are all zero; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    x = _scaled(data.values, activations.name)
    fold = folds_of(data.of, FOLDS, rng)
    k, notes = _widest(data, fold, params)
    right, own, others, fewest = _held_out(x, data, fold, k, params.origin, progress)
    progress(0.8, "fitting a linear probe")
    probe = _probe(x, data, fold, progress)
    near = (nearest_mean(x - x.mean(axis=0), data.of, len(data.names), fold) == data.of).astype(float)
    chance = _chance(data)
    at = min(params.dimension, k) - 1
    if fewest < at + 1:
        notes.append(f"A class has {fewest} direction(s) and no more: at larger k its subspace holds these.")
    estimates = estimates_of(right[:, at], probe, near, own[:, at], others[:, at], at + 1, chance, x.shape)
    lines = {SUBSPACES: right, PROBE: probe[:, None], NEAREST: near[:, None], OWN: own, OTHERS: others}
    values, low, high = bands_of(lines, k)
    every, share = np.full(k, chance), np.arange(1, k + 1) / x.shape[1]
    return Curve(
        title=f"Classes of {activations.name} as subspaces ({params.column})", x=np.arange(1, k + 1),
        reading=_reading(estimates, values, at), caveats=(*_caveats(params, data, values), *notes, *data.notes),
        estimates=estimates, x_name="dimension k of a class", y_name="share, held out", series=values, low=low,
        high=high, null={SUBSPACES: every, PROBE: every, NEAREST: every, OWN: share, OTHERS: share},
    )  # fmt: skip


def _scaled(x: np.ndarray, name: str) -> np.ndarray:
    scale = float(np.abs(x).max())
    if scale == 0:
        raise InputError(f"all activations of {name} are 0", "some that are not", "Choose another tap")
    return x / scale


def _widest(data: LabelledMatrix, fold: np.ndarray, params) -> tuple[int, list[str]]:
    """Largest k that every class has samples for in every training part, and what to say of it."""
    fewest = min(int(np.bincount(data.of[fold != f], minlength=len(data.names)).min()) for f in range(FOLDS))
    k = max(1, min(params.most, data.values.shape[1], fewest))
    if k < params.dimension:
        return k, [
            f"k = {params.dimension} is more than the smallest class or the tap allows; numbers are at k = {k}."
        ]
    return k, []


def _held_out(x, data: LabelledMatrix, fold, k: int, origin: str, progress):
    """Right answers, own and other shares (n, k), each by frames that did not see the sample; the fewest directions of
    a frame."""
    out, fewest = tuple(np.empty((len(x), k)) for _ in range(3)), k
    for f in range(FOLDS):
        progress(0.2 + 0.6 * f / FOLDS, "subspaces of classes")
        train, test = fold != f, fold == f
        centre = x[train].mean(axis=0) if origin == CENTRED else 0.0
        frames = class_frames(x[train] - centre, data.of[train], len(data.names), k)
        fewest = min(fewest, *(frame.shape[1] for frame in frames))
        for line, found in zip(
            out, right_and_shares(x[test] - centre, data.of[test], frames, k), strict=True
        ):
            line[test] = found
    return *out, fewest


def _probe(x, data: LabelledMatrix, fold, progress) -> np.ndarray:
    """1 where the ridge probe of the other folds is right (n,)."""
    targets = (data.of[:, None] == np.arange(len(data.names))).astype(float)
    group = np.zeros(len(data.names), np.int64)
    scores = held_out_predictions(x, targets, group, fold, np.array([True]), progress, (0.8, 1.0))
    return (scores.argmax(axis=1) == data.of).astype(float)


def _chance(data: LabelledMatrix) -> float:
    """Right by chance when answers are as frequent as classes."""
    return float(((data.counts / data.counts.sum()) ** 2).sum())


def _reading(e, values, at: int) -> str:
    gain = e[3]
    than = (
        "about as good as"
        if gain.low <= 0 <= gain.high
        else "better than"
        if gain.value > 0
        else "worse than"
    )
    return (
        f"With {at + 1} dimension(s) a class, subspaces name {e[0].value:.1%} of held-out samples right, {than} a "
        f"linear "
        f"probe ({e[1].value:.1%}; the nearest class mean {e[2].value:.1%}, by chance {e[0].null:.1%}). A sample has "
        f"{e[4].value:.0%} of its squared length in the subspace of its own class, {e[5].value:.0%} in those of "
        f"others, "
        f"{e[4].null:.0%} in a random one."
    )


def _caveats(params, data: LabelledMatrix, values) -> list[str]:
    notes, best = [], values[SUBSPACES]
    notes.append(
        f"The best k of the curve is {int(best.argmax()) + 1} ({best.max():.1%}); it was chosen on these samples and "
        f"is "
        "a little too good."
    )
    if params.origin == RECORDED:
        x = data.values
        mean = float((x.mean(axis=0) ** 2).sum() / max((x**2).sum(axis=1).mean(), 1e-300))
        if mean > 0.5:
            notes.append(
                f"{mean:.0%} of the squared length is the mean of all samples, which every class's subspace holds: try "
                f"origin '{CENTRED}'."
            )
    notes.append("Folds share training samples, so that the intervals are a little too narrow.")
    return notes


def _cost(shapes, params: ClassHeadsParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    r = min(n, d)
    flops = FOLDS * (6.0 * n * d * r + 40.0 * r**3 + 20.0 * n * d * params.most)
    return Cost(
        m.seconds(flops64=flops, moved=FOLDS * n * d * 60.0) + 0.02,
        n * d * 8 * 4.5 + n * params.most * 80 + 1e6,
    )


def _check() -> tuple[CheckLine, ...]:
    """Six classes in orthogonal planes of 24 units, each symmetric about 0: planes tell all, class means nothing; a
    sample has all of its length in its own plane, and random directions hold k / d; at k = d nothing is told."""
    rng = np.random.default_rng(7)
    of = np.arange(900) % 6
    planes = np.linalg.qr(rng.standard_normal((24, 24)))[0].T.reshape(12, 2, 24)[:6]
    x = np.einsum("ni,nid->nd", rng.standard_normal((900, 2)), planes[of])
    shown = class_heads(ArrayActivations(x, samples={"label": of}), ClassHeadsParams(dimension=2, most=2))
    noise = ArrayActivations(rng.standard_normal((900, 24)), samples={"label": of})
    blind = class_heads(noise, ClassHeadsParams(dimension=24, most=24))
    values = [e.value for e in shown.estimates]
    return (
        CheckLine("orthogonal planes: accuracy at k = 2", 1.0, values[0], 0.005),
        CheckLine("class means know a sample from its negative only: about half", 0.5, values[2], 0.1),
        CheckLine("length in the own plane", 1.0, values[4], 1e-9),
        CheckLine("length in the planes of others", 0.0, values[5], 1e-9),
        CheckLine("noise: accuracy at k = d", 1 / 6, blind.estimates[0].value, 1e-9),
        CheckLine("noise: share at k = 6 of 24", 0.25, float(blind.series[OTHERS][5]), 0.02),
        CheckLine("noise: share at k = d", 1.0, float(blind.series[OWN][23]), 1e-9),
    )


METHODS = (
    Method(
        id="class_heads", family="subspaces", title="Classes as subspaces", version=2, function=class_heads,
        summary="How well a subspace for each class names held-out samples, against a linear probe and class means.",
        params=ClassHeadsParams, result=Curve, check=_check, cost=_cost, minimum_rows=10,
        invariance="rotating or scaling all activations together changes nothing, nor does the sign of any sample "
        "where "
        "the origin is as recorded (for the subspaces); shifting does",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
