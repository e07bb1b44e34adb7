"""What does each prototype look at: hue, saturation, intensity or texture? Its score on altered images.

The network is run again on images with the hue turned, the saturation taken out in part, darker, or blurred; a cell is
the mean |change| of a prototype's largest similarity (of another feature, its largest code). Beside it stands what
another image of the data in place of the altered one changes: an alteration that changes less than that hardly counts,
one that changes as much replaces the image. A grey image has no hue to turn and no saturation to lose: exactly 0.

Where the network cannot be run (it needs code of its own, its images are gone, the tap was not recorded token by
token), the rows of the tap themselves are altered and the reason is told: made smaller, drawn to the mean row of their
sample, or with noise. That says how the feature reads its tap, not what it sees in an image.

When it lies: strengths are not comparable between columns, only down a column; a network that is not used to blurred
images answers to their strangeness; the largest similarity may move to another patch; mean |change| hides its sign.

Cost: five runs of the network on the images.

References: "Improving prototypical parts abstraction for case-based reasoning explanations designed for the kidney
stone type recognition"; M. Nauta et al. (2021), "This looks like that, because …".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features.altered_images import (
    HUE,
    INTENSITY,
    KINDS,
    SATURATION,
    TEXTURE,
    AlteredScores,
    altered,
    scores_of_altered,
)
from analysis.features.prototype_evidence import codes_of
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, RESAMPLES, OPENING = 8, 200, 3.0  # seconds to open and run a small network, where there is one
IMAGES, ROWS = "images, where the network can be run", "recorded rows"
SMALLER, MEAN, NOISE = "smaller", "towards the mean", "noise"


@dataclass(frozen=True)
class PrototypeSensitivityParams:
    what: str = param(IMAGES, "What is altered.", choices=(IMAGES, ROWS), label="altered")
    hue: float = param(0.1, "Share of the colour circle that hues are turned by.", low=0.0, high=0.5)
    saturation: float = param(0.5, "Share of the saturation that is taken out.", low=0.0, high=1.0)
    intensity: float = param(0.25, "Share by which images are darker, or rows smaller.", low=0.0, high=1.0)
    blur: float = param(1.0, "Deviation of the blur in pixels.", low=0.0, high=20.0)
    features: int = param(
        40, "Features shown, those whose scores differ most between samples.", low=1, high=500
    )
    maximum_samples: int = param(64, "Most samples, the first ones.", low=8, high=5000)


def prototype_sensitivity(
    activations,
    params: PrototypeSensitivityParams = PrototypeSensitivityParams(),
    rng=None,
    progress=no_progress,
) -> Matrix:
    """Features by alterations: mean |change| of the score.

    Parameters
    ----------
    activations : Activations
        A tap that prototypes, or any other feature set, encoded, recorded patch by patch; else its units.

    Returns
    -------
    Matrix
        `null`: what another image changes. Estimates: for each alteration, its mean share of that.

    Raises
    ------
    NotEnoughData
        Fewer than eight samples with finite rows.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made = tap_dictionary(tap)
    found, notes = _scores(made, params, rng, progress)
    if len(found.clean) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(found.clean)} sample(s) with finite rows", f"at least {FEWEST}"
        )
    shown = np.sort(np.argsort(-found.clean.std(axis=0), kind="stable")[: params.features])
    clean, kinds = found.clean[:, shown], tuple(found.altered)
    change = np.stack([np.abs(found.altered[kind][:, shown] - clean) for kind in kinds], axis=2)
    other = np.abs(clean - clean[_elsewhere(len(clean), rng)])
    value, half = change.mean(axis=0), 1.96 * change.std(axis=0, ddof=1) / np.sqrt(len(clean))
    null = np.repeat(other.mean(axis=0)[:, None], len(kinds), axis=1)
    progress(1.0, "done")
    return Matrix(
        title=f"What changes the scores of {tap.name}", values=value, null=null, low=np.maximum(value - half, 0),
        high=value + half, row_names=tuple(np.array(tap.unit_names, dtype=str)[shown]), column_names=kinds,
        value_name="mean |change| of the score", reading=_reading(value, null, kinds),
        estimates=_estimates(change, other, kinds, rng), caveats=(*notes, found.note, *made.notes),
    )  # fmt: skip


def _scores(made: TapDictionary, params, rng, progress) -> tuple[AlteredScores, list[str]]:
    """Of altered images where that is asked for and can be, else of altered rows, with the reason."""
    strengths = dict(zip(KINDS, (params.hue, params.saturation, params.intensity, params.blur), strict=True))
    if params.what != IMAGES:
        return _of_rows(made, params, rng, progress), []
    try:
        if getattr(made.source, "store", None) is None:
            raise InputError(f"{made.source.name} is an array without a network", "a recorded tap")
        return scores_of_altered(made, strengths, params.maximum_samples, progress, (0.0, 0.9)), []
    except (InputError, NotFound) as why:
        said = f"**Rows were altered, not images**: the network could not be run on images. {str(why).rstrip('.')}."
        return _of_rows(made, params, rng, progress), [said]


def _of_rows(made: TapDictionary, params, rng, progress) -> AlteredScores:
    """The rows of the first samples, altered."""
    layout, source = made.source.layout, made.source
    n = min(layout.n_samples, params.maximum_samples)
    rows = np.arange(layout.offsets[n])
    progress(0.1, "reading rows")
    x = np.asarray(source.take(rows), np.float64)
    good = finite_rows(x)
    x, owner = x[good], layout.sample_of(rows[good])
    if not len(x):
        return AlteredScores(np.zeros((0, 1)), {}, "")
    cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
    middle = np.add.reduceat(x, cuts, axis=0) / np.diff(np.append(cuts, len(x)))[:, None]
    if len(cuts) == len(x):  # one row a sample: the mean of all
        middle = np.repeat(x.mean(axis=0, keepdims=True), len(cuts), axis=0)
    middle = np.repeat(middle, np.diff(np.append(cuts, len(x))), axis=0)
    ways = {SMALLER: x * (1 - params.intensity), MEAN: x + params.saturation * (middle - x),
            NOISE: x + 0.25 * x.std(axis=0) * rng.standard_normal(x.shape)}  # fmt: skip
    score = lambda rows: np.maximum.reduceat(codes_of(made, rows), cuts, axis=0)  # noqa: E731
    found = {}
    for i, (name, rows) in enumerate(ways.items()):
        progress(0.2 + 0.2 * i, f"rows: {name}")
        found[name] = score(rows)
    lost = int((~good).sum())
    said = f"{lost} row(s) with NaN or infinity left out. " if lost else ""
    said += f"Rows of {len(cuts):,} samples were altered; noise is a quarter of each unit's deviation."
    return AlteredScores(score(x), found, said)


def _elsewhere(n: int, rng) -> np.ndarray:
    """(n,) another sample for each: a random order turned by one."""
    order = rng.permutation(n)
    out = np.empty(n, np.int64)
    out[order] = np.roll(order, 1)
    return out


def _estimates(change: np.ndarray, other: np.ndarray, kinds, rng) -> tuple[Estimate, ...]:
    n, k = other.shape
    at = rng.integers(n, size=(RESAMPLES, n))
    each, base, out = change.mean(axis=1), other.mean(axis=1), []
    for i, kind in enumerate(kinds):
        value = float(each[:, i].mean() / max(base.mean(), 1e-300)) if base.any() else 0.0
        drawn = each[:, i][at].mean(axis=1) / np.maximum(base[at].mean(axis=1), 1e-300)
        low, high = np.percentile(drawn, [2.5, 97.5]) if base.any() else (value, value)
        out.append(Estimate(
            f"change by {kind}, as a share of another image's", value, min(float(low), value), max(float(high), value),
            interval="bootstrap over samples", null=1.0, null_method="another sample in place of the altered one",
            n=n, d=k,
        ))  # fmt: skip
    return tuple(out)


def _reading(value, null, kinds) -> str:
    share = value.mean(axis=0) / max(float(null.mean()), 1e-300) if null.any() else np.zeros(len(kinds))
    order = np.argsort(-share, kind="stable")
    said = ", ".join(f"{kinds[i]} {share[i]:.0%}" for i in order)
    return f"Mean change, as a share of what another image changes: {said}."


def _cost(shapes, params: PrototypeSensitivityParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    seconds = m.seconds(flops64=10.0 * n * k * 64, moved=200.0 * n * k + 0.1 * rows)
    return Cost(seconds + OPENING, 8.0 * n * k * 14)


def _check() -> tuple[CheckLine, ...]:
    """A grey image keeps every pixel under another hue, a red one becomes green by a third; rows made smaller change
    units by that share."""
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (9, 9, 1), dtype=np.uint8), 3, axis=2)
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    x = rng.random((40, 5)) + 1
    found = prototype_sensitivity(ArrayActivations(x, "rows"), PrototypeSensitivityParams(intensity=0.25))
    apart = [np.abs(altered(grey, kind, 0.3).astype(int) - grey).max() for kind in (HUE, SATURATION)]
    third = altered(red, HUE, 1 / 3)
    return (
        CheckLine("grey image, another hue", 0.0, float(apart[0]), 0.0),
        CheckLine("grey image, less saturation", 0.0, float(apart[1]), 0.0),
        CheckLine("red turned by a third is green", 200.0, float(third[0, 0, 1] - third[0, 0, 0]), 0.0),
        CheckLine("darker by half", 100.0, float(altered(red, INTENSITY, 0.5)[0, 0, 0]), 0.0),
        CheckLine(
            "an even image has no texture to lose",
            0.0,
            float(np.abs(altered(red, TEXTURE, 1.0) - red).max()),
            0.0,
        ),
        CheckLine("rows smaller by a quarter", 0.25 * x[:, 0].mean(), float(found.values[0, 0]), 1e-7),
    )


METHODS = (
    Method(
        id="prototype_sensitivity", family="dictionaries", title="What changes the scores of prototypes", version=1,
        function=prototype_sensitivity,
        summary="How hue, saturation, intensity and texture of the images change each prototype's score.",
        params=PrototypeSensitivityParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; one number added to a feature",
        papers=(
            "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney "
            "Stone Type Recognition",
        ),
    ),
)  # fmt: skip
