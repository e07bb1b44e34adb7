"""LiDAR: how many directions tell items apart beyond the spread of their own views.

    Σ = S_w^(-1/2) S_b S_w^(-1/2),    LiDAR = exp(-Σ p ln p),    p = λ / Σ λ,    λ the eigenvalues of Σ

(`compute.linear.lidar`). A class is one item with several views of it (crops, augmentations), given by a sample column
that names the item; S_w is then what the views define as noise. With class labels instead the same formula is a
supervised number. The ridge δ in S_w is either a share of the mean within-class variance, so that scaling all
activations changes nothing, or absolute as published. LiDAR lies between 1 and min(d, classes - 1).

Null: labels exchanged between samples. Then all directions differ by noise alone and to the same degree, so LiDAR of
*nothing* is high, near min(d, classes - 1); what a network has learned is in the eigenvalues above the null's largest,
whose number is given too. Intervals: jackknife over ten groups of classes (single classes below twenty).

When it lies: where S_w is nearly singular the ridge decides, and LiDAR at ten times the ridge, given beside it, moves;
few views make S_w noisy, few items cap the value; the noise of class means (S_w / q) adds a floor of 1 / q to all
eigenvalues and so raises LiDAR; augmentations that destroy what matters make it look like noise; a high value is no
proof of a good representation, nor a low one of a bad one.

Cost: O(N d² + d³) and O(d³ + C d²) for each of ten groups and 5 to 50 draws; memory O(N d + d²).

References: V. Thilak et al. (2024), "LiDAR: Sensing linear probing performance in joint embedding SSL architectures".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.lidar import (
    BetweenSpectrum,
    Classes,
    Ridge,
    between_spectrum,
    classes_of,
    refuse_equal_views,
    views_of,
    with_exchanged_labels,
    without_groups,
)
from analysis.compute.linear.linalg import principal_components
from analysis.compute.linear.spectra import entropy_rank, rankme
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.results import Estimate, Spectrum
from analysis.spec import CheckLine, Cost, Method, no_progress, param

VIEWS, LABELS = "views of one item", "class labels"
RELATIVE, ABSOLUTE = "share of the mean within-class variance", "absolute"
ENOUGH_VIEWS = 10


@dataclass(frozen=True)
class LidarParams:
    column: str = param("label", "Sample column that names the item (or class) of each sample.", column=True)
    classes_are: str = param(
        LABELS, "Views of one item: self-supervised, as published; class labels: supervised.",
        choices=(LABELS, VIEWS),
    )  # fmt: skip
    ridge: float = param(1e-4, "δ, added to the within-class covariance.", low=0.0, high=10.0)
    ridge_is: str = param(
        RELATIVE, "Absolute as published, or relative to the scale.", choices=(RELATIVE, ABSOLUTE)
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(50_000, "Most samples; a seeded random part above.", low=50, high=1_000_000)


def lidar(activations, params: LidarParams = LidarParams(), rng=None, progress=no_progress) -> Spectrum:
    """Eigenvalues of Σ with null and intervals, and LiDAR made from them.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Tokens are pooled; the samples need the column.

    Returns
    -------
    Spectrum
        `values` (min(d, classes - 1),): between-class over within-class variance along each discriminant direction.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than three classes with two samples or more, or fewer samples beyond one per class than
        units; nothing varies within classes, or singularly without a ridge; over 4 GiB.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = views_of(activations, params.column, params.pooling, params.maximum_samples, rng, progress)
    found = classes_of(data.x, data.of, data.classes)
    refuse_equal_views(activations.name, found)
    ridge = Ridge(params.ridge, params.ridge_is == RELATIVE)
    main = between_spectrum(found, ridge.of(found))
    progress(0.3, "leaving classes out")
    without = without_groups(data.x, data.of, found, ridge, rng)
    null = with_exchanged_labels(data, ridge, _draws(data.x.shape[1]), rng, progress, (0.4, 1.0))
    low, high = _log_band(main.values, without)
    tenfold = entropy_rank(between_spectrum(found, ridge.of(found, 10.0)).values)
    estimates = _estimates(data.x, main, without, null, tenfold)
    progress(1.0, "done")
    return Spectrum(
        title=f"LiDAR spectrum of {activations.name} by '{params.column}'",
        reading=_reading(main, null, estimates, params),
        caveats=(*data.notes, *_caveats(found, main, params)),
        estimates=estimates, values=main.values, value_name="variance between over within classes",
        low=low, high=high, null=null.mean(axis=0),
    )  # fmt: skip


def _draws(d: int) -> int:
    return int(np.clip(1e10 / d**3, 5, 50))


def _log_band(values: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Jackknife intervals on the logarithmic scale; an eigenvalue of 0 stays 0."""
    tiny = 1e-12 * values[0]
    half = np.minimum(jackknife_half(np.log(np.maximum(without, tiny))), 700.0)
    positive = values > tiny
    return np.where(positive, values * np.exp(-half), values), np.where(
        positive, values * np.exp(half), values
    )


def _estimates(x, main: BetweenSpectrum, without, null, tenfold: float) -> tuple[Estimate, ...]:
    most, n, d = len(main.values), len(x), x.shape[1]
    exchanged_by = {"null_method": f"labels exchanged between samples, {len(null)} draws"}
    value, chance = entropy_rank(main.values), np.array([entropy_rank(v) for v in null])
    half = float(jackknife_half(np.log([entropy_rank(v) for v in without])))
    low, high = np.clip(value * np.exp([-half, half]), 1.0, most)
    jack = {"interval": "jackknife over groups of classes", "n": n, "d": d}
    spread = {k: v for k, v in against(value, chance).items() if k != "p_value"}
    edge = float(np.quantile(null[:, 0], 0.95))
    first = _log_band(main.values, without)
    mean, axes, lam = principal_components(x, min(x.shape))
    return (
        Estimate("LiDAR", value, min(low, value), max(high, value), estimator="exp of the entropy of λ(Σ)",
                 **jack, **exchanged_by, **spread),
        Estimate("LiDAR at ten times the ridge", tenfold, n=n, d=d, estimator=f"δ = {10 * main.delta:.2g}"),
        Estimate("largest eigenvalue", float(main.values[0]), float(first[0][0]), float(first[1][0]), **jack,
                 **exchanged_by, **against(float(main.values[0]), null[:, 0]), estimator="λ(Σ)"),
        Estimate("directions above exchanged labels", int((main.values > edge).sum()), null=0.0, n=n, d=d,
                 estimator="λ(Σ) above the 95 % quantile of the null's largest", unit="directions", **exchanged_by),
        Estimate("entropy rank of √λ of the same samples (centred)", rankme(mean, axes, lam, n), n=n, d=d,
                 estimator="singular values of the centred samples, views not told from items"),
    )  # fmt: skip


def _reading(main, null, estimates, params: LidarParams) -> str:
    value, tenfold, _, above, plain = estimates
    what = "items" if params.classes_are == VIEWS else "classes"
    said = (
        f"LiDAR is {value.value:.2f} of at most {len(main.values)} ({value.low:.2f} to {value.high:.2f}); exchanged "
        f"labels give {value.null:.2f}, for they treat all directions alike. {int(above.value)} direction(s) tell "
        f"{what} apart beyond exchanged labels. The spectrum of the same samples without labels has an entropy rank of "
        f"{plain.value:.1f}."
    )
    if abs(tenfold.value - value.value) > 0.1 * value.value:
        said += (
            f" With ten times the ridge it is {tenfold.value:.2f}: here the ridge decides, not the network."
        )
    return said


def _caveats(found: Classes, main: BetweenSpectrum, params) -> list[str]:
    (classes, d), q = found.means.shape, found.counts
    notes = []
    if params.classes_are == LABELS:
        notes.append(
            "Classes are labels: this is a supervised number and not the published one, which uses views."
        )
    else:
        notes.append("What counts as noise is what the views vary in.")
    if np.median(q) < ENOUGH_VIEWS:
        notes.append(
            f"Classes have {np.median(q):.0f} samples in the middle; below {ENOUGH_VIEWS} the noise of their means "
            "adds about 1 / samples to every eigenvalue and raises LiDAR."
        )
    if classes - 1 < d:
        notes.append(
            f"{classes:,} classes allow at most {classes - 1:,} of {d:,} directions; compare at equal numbers."
        )
    if q.min() < q.max():
        notes.append(
            f"Classes have {q.min()} to {q.max()} samples; each counts once between, by its samples within."
        )
    if main.below:
        notes.append(
            f"In {main.below} of {d} directions the variance within classes is below the ridge ({main.delta:.2g}): "
            "there the ridge decides."
        )
    return notes


def _cost(shapes, params: LidarParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n, draws = min(n, params.maximum_samples), _draws(d)
    flops = 6.0 * n * d * d + (draws + 12) * 22.0 * d**3
    return Cost(
        m.seconds(flops64=flops, moved=n * d * 8 * (12 + draws * 3)) + 0.02, 8.0 * (5 * n * d + 8 * d * d)
    )


def _planted(rng, items: int, q: int, d: int, noise: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Items in d directions of unequal size, `q` views each, and `noise` units that know no items."""
    of = np.repeat(np.arange(items), q)
    centre = rng.standard_normal((items, d)) * np.linspace(3, 5, d)
    views = centre[of] + 0.3 * rng.standard_normal((len(of), d))
    return np.hstack([views, 4 * rng.standard_normal((len(of), noise))]), of


def _check() -> tuple[CheckLine, ...]:
    """Eight directions and then eight units of pure noise: the plain rank about doubles, LiDAR stays. An invertible map
    leaves it. Means at equal distances in equal noise give d exactly."""
    from analysis.activations import ArrayActivations

    def of(x, classes, **more):
        tap = ArrayActivations(x, samples={"label": classes})
        return lidar(tap, LidarParams(classes_are=VIEWS, **more)).estimates

    rng = np.random.default_rng(86)
    x, classes = _planted(rng, 300, 10, 8, 8)
    one, both = of(x[:, :8], classes), of(x, classes)
    mapped = of(x[:, :8] @ rng.standard_normal((8, 8)), classes, ridge=1e-12)
    cross = np.vstack([np.eye(5), -np.eye(5)])
    flat = (10 * cross[:, None] + cross[None]).reshape(
        -1, 5
    )  # ten means and, around each, ten views, all on a cross
    equal = of(flat, np.repeat(np.arange(10), 10), ridge=0.0)
    few = of(x[:50, :8], classes[:50])
    return (
        CheckLine("8 directions", entropy_rank(np.linspace(3, 5, 8) ** 2), one[0].value, 0.15),
        CheckLine("and 8 units of noise", one[0].value, both[0].value, 0.1),
        CheckLine("the plain rank rises by", 6.5, both[4].value - one[4].value, 0.0, "at least"),
        CheckLine("after an invertible map", of(x[:, :8], classes, ridge=1e-12)[0].value, mapped[0].value, 1e-6),
        CheckLine("equal eigenvalues", 5.0, equal[0].value, 1e-9),
        CheckLine("five items: at most", 4.0, few[0].value, 0.0, "at most"),
        CheckLine("directions above exchanged labels", 8.0, both[3].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="lidar", family="rank", title="LiDAR (discriminant rank)", version=1, function=lidar,
        summary="How many directions tell items apart beyond the spread of their own views.",
        params=LidarParams, result=Spectrum, check=_check, cost=_cost, minimum_rows=6,
        invariance="shifting, rotating, with the relative ridge scaling; any invertible map as the ridge nears 0",
        papers=("LiDAR: linear-discriminant-analysis rank",),
    ),
)  # fmt: skip
