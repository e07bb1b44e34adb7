"""How far are predicted landmarks from their targets, in which direction, and is the error one of the shape?

Taps: predictions and targets (or a student and its teacher), each with two units for every landmark. The error of a
landmark is its distance to the target divided by the size of the face: the distance between two landmarks, such as the
eyes, or the root of the area of the target's bounding box; the normalised mean error (NME) is its mean. Of the errors'
scatter the ellipse of one standard deviation is given: half axes and the angle of the longer.

Shape: targets are aligned to their mean by rotation, scaling and shifting, and their principal components are the modes
of an active shape model. The *tolerant* target keeps the first k modes of a target (all modes reproduce it exactly);
beside the error to the target that to the tolerant one is given. The share of the squared error that lies within the
first k modes says whether predictions are wrong as faces vary; an error without direction gives k / (2 L).

Null: the predictions of other samples, mean of twenty seeded exchanges. Intervals: Student's t over samples; the share
by jackknife over groups of samples.

When it lies: the order of the units and the two landmarks are yours to name; a bounding box of landmarks is not that of
a detector, and NMEs of papers with another denominator do not compare; the mean hides a few lost faces (see the share
of failures); modes are fitted to the targets that are compared; depth rotation is no similarity transform.

Cost: O(n L²); memory O(n L).

References: S. Fard & M. Mahoor (2021), "Facial landmark points detection using knowledge distillation-based neural
networks"; T. Cootes et al. (1995), "Active shape models"; I. Dryden & K. Mardia (1998), "Statistical shape analysis".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.landmark_report import landmark_estimates, landmark_reading
from analysis.compute.similarity.landmark_shapes import error_ellipses, procrustes_distance, shape_modes
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, SMALLEST = 10, 20, 1e-9
ORDERS = ("x y of each landmark", "all x, then all y")
HELP = {
    "landmark": "Number of the landmark, from 0.",
    "mean error": "Mean distance to the target, in face sizes.",
    "low": "Lower end of the 95 % interval of the mean error (Student's t over samples).",
    "high": "Upper end of it.",
    "null": "Mean error of other samples' predictions (twenty exchanges).",
    "to tolerant": "Mean distance to the target rebuilt from its first shape modes.",
    "bias x": "Mean of prediction less target, in face sizes.",
    "bias y": "The same along y, in the direction in which y was recorded.",
    "long axis": "Half axis of the error ellipse, one standard deviation, in face sizes.",
    "short axis": "The shorter half axis.",
    "angle": "Of the long axis from the x axis, in degrees.",
}


@dataclass(frozen=True)
class LandmarkParams:
    order: str = param(ORDERS[0], "How the units of a tap are ordered.", choices=ORDERS)
    size: str = param(
        "bounding box", "What an error is divided by: the root of the area of the target's box, or the distance of two "
        "landmarks.", choices=("bounding box", "two landmarks"),
    )  # fmt: skip
    first: int = param(
        0, "First of the two landmarks, counted from 0 (such as the outer corner of an eye).", low=0
    )
    second: int = param(1, "Second of the two landmarks.", low=0)
    modes: int = param(5, "Shape modes k of the tolerant target.", low=1, high=1000)
    failure: float = param(0.1, "An NME of a sample above which it counts as failed.", low=0.0, high=10.0)
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )


def landmark_errors(
    predicted, target, params: LandmarkParams = LandmarkParams(), rng=None, progress=no_progress
) -> Table:
    """Errors of predicted landmarks.

    Parameters
    ----------
    predicted, target : Activations or arrays (rows, 2 L), of the same samples (matched by id).

    Returns
    -------
    Table
        A line for each landmark (see `help`). Estimates: NME, share of failures, mean Procrustes distance, the share of
        the squared error within the first k modes, and the error to the tolerant target.

    Raises
    ------
    InputError
        Odd or different numbers of units; fewer than three landmarks; faces without a size.
    ParameterError, NotEnoughData
        A landmark that is not there, or one twice; fewer than ten samples with a face size.
    """
    taps = [as_activations(predicted), as_activations(target)]
    rng = rng or np.random.default_rng(0)
    _refuse(taps, params)
    data = common_samples(taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress)
    names, notes = tap_names([t.name for t in taps]), list(data.notes)
    z, w = (_complex(x, params.order) for x in data.values)
    size = _sizes(w, params)
    good = size > SMALLEST * np.abs(w).max()
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) whose target has no size left out.")
        z, w, size = z[good], w[good], size[good]
    if len(z) < FEWEST:
        raise NotEnoughData(
            f"{len(z)} sample(s) whose target has a size", f"at least {FEWEST}", "Choose other landmarks for the size"
        )  # fmt: skip
    progress(0.5, "aligning shapes")
    model = shape_modes(w)
    k = min(params.modes, len(model.modes))
    error = (z - w) / size[:, None]
    far, tolerant = np.abs(error), np.abs(z - model.kept(w, k)) / size[:, None]
    progress(0.8, "exchanging samples")
    null = np.mean(
        [np.abs(z[rng.permutation(len(z))] - w).T @ (1 / size) / len(z) for _ in range(DRAWS)], axis=0
    )
    moved = model.moved(z - w)
    inside = ((moved @ model.modes[:k].T) ** 2).sum(axis=1), (moved**2).sum(axis=1)
    estimates = landmark_estimates(
        far, tolerant, null, procrustes_distance(z, w), inside, (k, params.size, params.failure, DRAWS), rng
    )
    columns = _columns(far, tolerant, error, null)
    return Table(
        title=f"Landmarks of {names[0]} against {names[1]}", reading=landmark_reading(far, estimates, k, names),
        caveats=(*_caveats(params, model, k), *notes), estimates=estimates, columns=columns,
        index="landmark", sort="mean error", help=HELP,
    )  # fmt: skip


def _refuse(taps, params: LandmarkParams) -> None:
    units = [t.shape[1] for t in taps]
    if units[0] != units[1] or units[0] % 2:
        raise InputError(
            f"{taps[0].name} has {units[0]} units and {taps[1].name} has {units[1]}",
            "twice as many units as landmarks in both",
        )
    count = units[0] // 2
    if count < 3:
        raise InputError(f"{count} landmark(s)", "three or more, or there is no shape")
    if params.size == "two landmarks" and (
        max(params.first, params.second) >= count or params.first == params.second
    ):
        raise ParameterError(
            f"first = {params.first}, second = {params.second}",
            f"two different landmarks of 0 to {count - 1}",
        )


def _complex(x: np.ndarray, order: str) -> np.ndarray:
    if order == ORDERS[0]:
        return x[:, ::2] + 1j * x[:, 1::2]
    half = x.shape[1] // 2
    return x[:, :half] + 1j * x[:, half:]


def _sizes(w: np.ndarray, params: LandmarkParams) -> np.ndarray:
    if params.size == "two landmarks":
        return np.abs(w[:, params.first] - w[:, params.second])
    return np.sqrt(np.ptp(w.real, axis=1) * np.ptp(w.imag, axis=1))


def _columns(far, tolerant, error, null) -> dict[str, np.ndarray]:
    ends = [mean_interval(f, 0.0) for f in far.T]
    long, short, angle = error_ellipses(error)
    return {
        "landmark": np.arange(far.shape[1]), "mean error": far.mean(axis=0),
        "low": np.array([e["low"] for e in ends]), "high": np.array([e["high"] for e in ends]), "null": null,
        "to tolerant": tolerant.mean(axis=0), "bias x": error.real.mean(axis=0), "bias y": error.imag.mean(axis=0),
        "long axis": long, "short axis": short, "angle": angle,
    }  # fmt: skip


def _caveats(params: LandmarkParams, model, k: int) -> list[str]:
    whole = float(model.variances.sum())
    share = float(model.variances[:k].sum()) / whole if whole > 0 else 1.0
    notes = [
        f"Every two units are taken for x and y of a landmark ({params.order}): of a tap of anything else these "
        "numbers mean nothing.",
        f"The first {k} shape mode(s) hold {share:.0%} of the variance of the target shapes, to which they are fitted.",
    ]
    if k < params.modes:
        notes.append(f"There are {k} shape mode(s) only: the tolerant target is the target.")
    if params.size == "bounding box":
        notes.append("NMEs by the landmarks' bounding box do not compare with inter-ocular ones.")
    return notes


def _cost(shapes, params: LandmarkParams) -> Cost:
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), shapes[0][1]
    moved = 8.0 * n * d * (60 + DRAWS * 6) + 8.0 * max(rows for rows, _ in shapes) * d * 4
    return Cost(machine().seconds(flops64=14.0 * n * d * min(n, d), moved=moved) + 0.01, 8.0 * n * d * 14.0)


def _check() -> tuple[CheckLine, ...]:
    """Predictions that are similarity transforms of the targets: Procrustes distance 0. Images ten times as large: the
    same NME. Every landmark off by a tenth of the eyes' distance: 0.1. All modes: the target itself. Errors without
    direction: k / (2 L) within k modes; along the first mode: all."""
    rng = np.random.default_rng(53)
    face = rng.standard_normal(10) + 1j * rng.standard_normal(10)
    ways = (
        rng.standard_normal((2, 400, 1))
        * 0.2
        * (rng.standard_normal((2, 1, 10)) + 1j * rng.standard_normal((2, 1, 10)))
    )
    w = face + ways.sum(axis=0)
    eyes = np.abs(w[:, :1] - w[:, 1:2])

    def flat(z) -> np.ndarray:
        return np.stack([z.real, z.imag], axis=-1).reshape(len(z), -1)

    def run(z, w, **more) -> dict[str, float]:
        params = LandmarkParams(**{"size": "two landmarks", "modes": 4, **more})
        return {e.name: e.value for e in landmark_errors(flat(z), flat(w), params).estimates}

    turn = rng.uniform(1, 3, (400, 1)) * np.exp(2j * np.pi * rng.random((400, 1)))
    off = w + 0.1 * eyes * np.exp(2j * np.pi * rng.random((400, 10)))
    noise = w + 0.1 * (rng.standard_normal(w.shape) + 1j * rng.standard_normal(w.shape))
    model = shape_modes(w)
    first = model.modes[0, :10] + 1j * model.modes[0, 10:]
    along = w + 0.1 * first / model.turns[:, None]
    share = "share of the squared error within {} shape mode(s)".format
    return (
        CheckLine("similarity transforms", 0.0, run(turn * w + 3 - 2j, w)["Procrustes distance"], 1e-9),
        CheckLine("off by a tenth of the eyes' distance: NME", 0.1, run(off, w)["NME"], 1e-12),
        CheckLine("images ten times as large: the same", 0.1, run(10 * off, 10 * w)["NME"], 1e-12),
        CheckLine("all modes: the target itself", 0.1, run(off, w, modes=20)["NME to the target of 20 mode(s)"], 1e-9),
        CheckLine("errors without direction: 4 of 20", 0.2, run(noise, w)[share(4)], 0.02),
        CheckLine("errors along the first mode: all", 1.0, run(along, w, modes=1)[share(1)], 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="landmark_errors", family="similarity", title="Landmark errors", version=2, function=landmark_errors,
        summary="How far predicted landmarks are from their targets, in which direction, and whether as shapes vary.",
        params=LandmarkParams, result=Table, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="scaling the images; for the Procrustes distance rotating, scaling and shifting each sample",
        papers=(
            "Facial Landmark Points Detection Using Knowledge Distillation-Based Neural Networks",
            "Cascaded Dual Vision Transformer for Accurate Facial Landmark Detection",
        ),
    ),
)  # fmt: skip
