"""Where does a student's representation differ from its teacher's? The squared gap at each place of each sample.

    gap(place) = (1 / units) Σ_units (T - g(S))²,    with a mask M(place) >= 0:   M · gap

Taps: the teacher's features T, the student's S at the same places (tokens, pixels) of the same samples, and, if given,
a third tap with a unit for each mask. g maps the student to the teacher's units: ridge regression from the places of
other samples (five folds; the penalty by generalised cross-validation inside the training part), or nothing where both
have the same units. Image grids of different size are brought to the teacher's by interpolation. A gap is drawn as
recorded, which makes its mean the mean squared error, or as a share of the teacher's variance.

With a mask the mean gap under it is Σ M gap / Σ M, and where masks are within [0, 1], Σ M gap / Σ gap is the share of
the whole gap that lies under it; a mask of ones gives the plain mean and 1.

Null: the student's samples exchanged, every place kept, and all mapped anew: about the teacher's variance. Of the mask:
exchanged between samples, every place kept, mean exact. Intervals: Student's t over samples; ratios by jackknife over
groups of samples.

When it lies: with as many units as places of other samples, or more, the map is poor and the gap large for that alone;
a gap of 0 after ridge says that the teacher is a linear function of the student, not that both are equal; units of
large variance rule (see `predicted_units` for each unit); folds share samples, so that intervals are a little too
narrow.

Cost: O(rows d²) for each of five folds, twice; memory O(rows d).

References: Q. Lan & Q. Tian (2025), "ACAM-KD: Adaptive and cooperative attention masking for knowledge distillation";
A. Romero et al. (2015), "FitNets: Hints for thin deep nets" (the student mapped to the teacher's units).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.shared_places import SharedPlaces, shared_places
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.mapped_gap import gaps, masked_estimates
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS = 10, 5
SCALES = ("share of variance", "as recorded")


@dataclass(frozen=True)
class FeatureGapParams:
    mapping: str = param(
        "ridge", "Ridge maps the student to the teacher's units on other samples; none compares unit with unit.",
        choices=("ridge", "none"),
    )  # fmt: skip
    scale: str = param(
        "share of variance", "The gap as a share of the teacher's variance, or in its own squared units.",
        choices=SCALES,
    )  # fmt: skip
    mask: int = param(0, "Which unit of the third tap is the mask, counted from 0.", low=0, high=100_000)
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=10, high=20_000)


def feature_gap(
    *taps, params: FeatureGapParams = FeatureGapParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Squared gap between a teacher's features and a student's, by place.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units): teacher, student and, if there are masks, a tap of these.

    Returns
    -------
    TokenMap
        `values` (samples, tokens), times the mask where there is one. Estimates: the mean gap and, with a mask, the
        mean gap under it and, of masks within [0, 1], its share of the whole.

    Raises
    ------
    ParameterError
        Fewer than two or more than three taps; no mapping between different numbers of units; no such mask.
    InputError, NotEnoughData, TooLarge
        Different places; a teacher that never changes; a mask below 0 or of zeros; fewer than ten samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    _refuse(taps, params)
    data = shared_places(taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress)
    names = tap_names([t.name for t in taps])
    teacher, student = data.values[:2]
    variance = float(((teacher - teacher.mean(axis=0)) ** 2).mean())
    if variance <= 1e-24 * float(np.abs(teacher).max()) ** 2:
        raise InputError(f"{names[0]} never changes", "a teacher whose units vary", "Choose another tap")
    unit = variance if params.scale == SCALES[0] else 1.0
    fold = rng.permutation(np.arange(data.n_samples) % FOLDS)[data.sample]
    progress(0.3, "mapping the student")
    gap = gaps(student, teacher, fold, params.mapping) / unit
    progress(0.6, "mapping exchanged samples")
    null = gaps(data.exchanged(student, rng), teacher, fold, params.mapping) / unit
    progress(0.9, "weighing by the mask")
    mask = None if len(taps) < 3 else _mask(data.values[2][:, params.mask], names[2])
    estimates = [_mean_gap(data, gap, null, teacher.shape[1], params)]
    if mask is not None:
        estimates += masked_estimates(data, gap, mask, teacher.shape[1], rng)
    shown = gap if mask is None else gap * mask
    return TokenMap(
        title=f"Gap between {names[0]} and {names[1]}" + ("" if mask is None else f" under mask {params.mask}"),
        reading=_reading(estimates, names, params), caveats=(*_caveats(data, student, params), *data.notes),
        estimates=tuple(estimates), samples=data.positions, values=data.by_place(shown),
        value_name=("squared gap" if params.scale != SCALES[0] else "squared gap, share of the teacher's variance")
        + (" times mask" if mask is not None else ""),
        grid=data.grid, leading=data.leading,
    )  # fmt: skip


def _refuse(taps, params: FeatureGapParams) -> None:
    if not 2 <= len(taps) <= 3:
        raise ParameterError(f"{len(taps)} tap(s)", "a teacher, a student and at most one tap of masks")
    if params.mapping == "none" and taps[0].shape[1] != taps[1].shape[1]:
        raise ParameterError(
            f"mapping = 'none' between {taps[0].shape[1]} and {taps[1].shape[1]} units", "'ridge', or equal numbers"
        )  # fmt: skip
    if len(taps) == 3 and params.mask >= taps[2].shape[1]:
        raise ParameterError(
            f"mask = {params.mask}", f"at most {taps[2].shape[1] - 1}, the last of {taps[2].name}"
        )


def _mask(mask: np.ndarray, name: str) -> np.ndarray:
    if mask.min() < 0 or not mask.any():
        raise InputError(
            f"the mask of {name} goes from {mask.min():.3g} to {mask.max():.3g}", "0 or more, and not 0 everywhere",
            "Record the masks after their sigmoid or softmax",
        )  # fmt: skip
    return mask


def _mean_gap(data: SharedPlaces, gap, null, units: int, params) -> Estimate:
    method = "samples exchanged once" + (" and mapped anew" if params.mapping == "ridge" else "")
    mapped = "unit with unit" if params.mapping == "none" else f"ridge, {FOLDS} folds of samples"
    return Estimate(
        "mean gap", float(data.per_sample(gap).mean()), **mean_interval(data.per_sample(gap), 0.0),
        null=float(data.per_sample(null).mean()), null_method=method, n=data.n_samples, d=units, estimator=mapped,
        unit="of the teacher's variance" if params.scale == SCALES[0] else "squared units",
    )  # fmt: skip


def _reading(estimates, names, params) -> str:
    mean = estimates[0]
    of = " of the teacher's variance" if params.scale == SCALES[0] else " (squared units)"
    text = (
        f"On average the gap between {names[0]} and {names[1]} is {mean.value:.3g}{of}, {mean.null:.3g} for exchanged "
        "samples."
    )
    for e in estimates[1:]:
        text += f" The {e.name} is {e.value:.3g} ({e.null:.3g} for masks of other samples)."
    return text


def _caveats(data: SharedPlaces, student: np.ndarray, params) -> list[str]:
    notes = []
    if params.mapping == "ridge":
        notes.append(
            "A gap of 0 says that the teacher is a linear function of the student, not that both are equal."
        )
        if student.shape[1] * 1.25 >= len(student):
            notes.append(
                f"{student.shape[1]} units on {len(student)} places: the map is poor, and the gap large for that alone."
            )
    notes.append("Units of large variance rule the gap; places of one sample are not independent.")
    return notes


def _cost(shapes, params: FeatureGapParams) -> Cost:
    m, n = (
        machine(),
        min(min(rows for rows, _ in shapes), params.maximum_samples),
    )  # one token a sample is assumed
    q, p = shapes[0][1], shapes[1][1]
    r = min(p, n)
    flops = 2 * FOLDS * (12.0 * n * r * r + 4.0 * n * r * q) if params.mapping == "ridge" else 0.0
    moved = 8.0 * n * (p + q) * 20 + 8.0 * max(rows for rows, _ in shapes) * 10
    fits = FOLDS * min(r, n) * r if params.mapping == "ridge" else 0
    return Cost(
        m.seconds(flops64=flops, moved=moved) + 0.02, 8.0 * (n * (3 * p + 4 * q) + fits + 2.0 * r * q)
    )


def _check() -> tuple[CheckLine, ...]:
    """Student = teacher, and a teacher that is linear in the student: 0, whatever the mask. Noise of a known variance:
    that share. Unrelated: the whole variance. A mask of ones: the plain mean, all of the gap; one over the half of the
    places where all of the noise is: twice the mean, all of the gap."""
    rng = np.random.default_rng(1)
    layout = Layout(np.arange(101) * 16, grid=(4, 4))
    t = rng.standard_normal((1600, 8))
    half = np.tile(np.arange(16) < 8, 100).astype(float)
    noisy = t + half[:, None] * rng.standard_normal((1600, 8))
    masks = np.column_stack([np.ones(1600), half])

    def run(*arrays, **more) -> TokenMap:
        return feature_gap(
            *(ArrayActivations(a, layout=layout) for a in arrays), params=FeatureGapParams(**more)
        )

    plain = run(t, noisy, mapping="none", scale="as recorded")
    ones, inside = (
        run(t, noisy, masks, mapping="none", scale="as recorded", mask=i).estimates for i in (0, 1)
    )
    apart = run(t, rng.standard_normal((1600, 6)))
    return (
        CheckLine("student = teacher: largest gap", 0.0, float(run(t, t, masks, mapping="none").values.max()), 0.0),
        CheckLine("teacher linear in the student: largest gap", 0.0,
                  float(run(t, t @ rng.standard_normal((8, 10)) - 3).values.max()), 1e-12),
        CheckLine("noise at half of the places: squared error", float(((t - noisy) ** 2).mean()),
                  plain.estimates[0].value, 1e-12),
        CheckLine("mask of ones: the plain mean", plain.estimates[0].value, ones[1].value, 1e-12),
        CheckLine("mask of ones: all of the gap", 1.0, ones[2].value, 1e-12),
        CheckLine("mask where the noise is: twice the mean", 2 * plain.estimates[0].value, inside[1].value, 1e-12),
        CheckLine("places without noise", 0.0, float(plain.values[:, 8:].max()), 0.0),
        CheckLine("unrelated: the whole variance", 1.0, apart.estimates[0].value, 0.03),
        CheckLine("unrelated: its null", 1.0, apart.estimates[0].null, 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_gap", family="similarity", title="Teacher-student gap by place", version=1, function=feature_gap,
        summary="Where in the samples a student's features differ from its teacher's, with a mask if there is one.",
        params=FeatureGapParams, result=TokenMap, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="with ridge every invertible linear map and shift of the student where places are many; with shares "
        "scaling the teacher; rotating the teacher; the order of samples",
        papers=("ACAM-KD: Adaptive and Cooperative Attention Masking for Knowledge Distillation",),
    ),
)  # fmt: skip
