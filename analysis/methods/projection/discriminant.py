"""Linear discriminants: the axes on which known classes lie furthest apart, drawn on samples held out.

Fisher's axes solve S_b w = λ S w: between-class covariance over within-class covariance, at most one axis fewer than
classes. S is always shrunk towards a multiple of the identity (Ledoit and Wolf's intensity): with fewer samples than
units it could not be inverted, and arbitrary classes would be perfectly apart. Coordinates are in within-class
standard deviations. Tokens count once per sample, by their mean, when the axes are made.

Every point is placed by a fit that did not see its sample (five folds, each turned onto the fit on all samples).
"Shuffled labels" draws the same picture for classes that mean nothing: what it shows is luck.

When it lies: the axes are chosen to separate the classes, so distances and the shape of the whole cloud mean little;
classes without a difference in means stay together however different they are; samples that belong together (frames
of one clip, copies) must not be spread over folds, or "held out" is not.

Cost: six eigenproblems, O(n d min(n, d)), then O(n d classes) for each shuffle. Memory O(folds n d).

References: R. Fisher (1936), "The use of multiple measurements in taxonomic problems"; O. Ledoit & M. Wolf (2004),
"A well-conditioned estimator for large-dimensional covariance matrices".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.linear.cross_fitting import CrossFitted, cross_fitted, folds_of
from analysis.compute.linear.fisher import (
    Basis,
    accuracies,
    basis_of,
    discriminants,
    inside_principal,
    with_largest_rest,
)
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, MapReport, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.labelled_cloud import Response, with_classes
from analysis.compute.statistics.nulls import against, wilson
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS = 5


@dataclass(frozen=True)
class DiscriminantParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    labels: str = param(
        "as recorded", "Shuffled labels draw the control: the picture that luck makes.",
        choices=("as recorded", "shuffled"),
    )  # fmt: skip
    shuffles: int = param(39, "Shuffles of the labels for the null of the accuracy.", low=9, high=2000)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=200_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def discriminant(
    activations, params: DiscriminantParams = DiscriminantParams(), rng=None, progress=no_progress
) -> Scatter:
    """Fisher's linear discriminants of a tap, cross-fitted.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in within-class standard deviations, each point held out; columns "class",
        "trust", "continuity", "recall". Estimates: held-out accuracy of the nearest class mean in the picture and on
        all discriminants, the ratio λ of the first axis, each against shuffled labels.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such column; fewer than two classes with ten samples; all rows equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    sample_column(activations, params.column)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, progress=progress, span=(0.0, 0.1)
    )
    data = with_classes(activations, cloud, params.column, 2 * FOLDS)
    of = data.of if params.labels == "as recorded" else rng.permutation(data.of)
    x, fold = data.cloud.sample_means(), folds_of(of, FOLDS, rng)
    bases = {}
    for f in range(-1, FOLDS):
        progress(0.1 + 0.2 * (f + 1) / (FOLDS + 1), "eigenvectors")
        bases[f] = basis_of(x[fold != f])
    axes = min(params.components, len(data.names) - 1)
    crossed = _crossed(x, of, fold, bases, len(data.names), params.components)
    found = _estimates(x, of, fold, bases, len(data.names), axes, params.shuffles, rng, progress)
    positions = crossed.held_out(data.cloud.x, data.cloud.sample)
    report = map_report(
        data.cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="supervised", progress=progress
    )  # fmt: skip
    shuffled = "" if params.labels == "as recorded" else " (shuffled labels)"
    columns = {"class": np.array(data.names)[of[data.cloud.sample]], **report.columns}
    return Scatter(
        title=f"Linear discriminants of {activations.name} ({params.column}){shuffled}",
        reading=_reading(found, len(data.names), axes) + " " + report.sentence,
        caveats=_caveats(params, data, crossed, axes, report, found, len(x)),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=data.cloud.rows,
        axes=tuple(
            f"discriminant {i + 1}" if i < axes else "largest other direction"
            for i in range(params.components)
        ),
        columns=columns,
        colour="class",
    )


def _crossed(x, of, fold, bases: dict[int, Basis], classes: int, components: int) -> CrossFitted:
    """The drawn coordinates; with too few classes, the last ones are the largest directions that are left."""

    def fit(f):
        basis = bases[f]
        found = discriminants(basis, of[fold != f], classes).weights[:, :components]
        return basis.mean, basis.vectors @ with_largest_rest(basis, found, components)

    return cross_fitted(x, fold, fit)


def _estimates(x, of, fold, bases, classes, axes, shuffles, rng, progress) -> tuple[Estimate, ...]:
    values = accuracies(x, of, fold, bases, classes, axes)
    null = np.empty((shuffles, 4))
    for i in range(shuffles):
        progress(0.3 + 0.4 * i / shuffles, "shuffling labels")
        null[i] = accuracies(x, rng.permutation(of), fold, bases, classes, axes)
    n, d = x.shape
    names = (
        f"held-out accuracy on {axes} {'axis' if axes == 1 else 'axes'}",
        f"held-out accuracy on all {classes - 1} discriminants",
        "accuracy on the samples that made the axes",
        "between over within variance, axis 1",
    )
    found = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        if i == 1 and axes == classes - 1:
            continue
        low, high = (None, None) if i == 3 else wilson(value * n, n)
        found.append(
            Estimate(
                name, float(value), low, high, interval="" if i == 3 else "Wilson", **against(value, null[:, i]),
                null_method=f"labels shuffled {shuffles} times, axes made anew", n=n, d=d,
                estimator="generalised eigenvalue" if i == 3 else f"nearest class mean, {FOLDS} folds",
            )
        )  # fmt: skip
    weights = discriminants(bases[-1], of, classes).weights
    return (*found, inside_principal(bases[-1], weights)) if weights.size else tuple(found)


def _reading(found, classes: int, axes: int) -> str:
    first = found[0]
    apart = first.low > first.null_high
    word = "tell the classes apart" if apart else "do not tell the classes apart beyond luck"
    return (
        f"The drawn axes {word}: on samples that had no part in making them, {first.value:.0%} lie nearest to the "
        f"mean of their own class of {classes}; with shuffled labels {first.null:.0%}. Coordinates are in "
        "within-class standard deviations; distances to other classes were stretched on purpose."
    )


def _caveats(params, data: Response, crossed, axes: int, report: MapReport, found, n: int) -> tuple[str, ...]:
    notes = [
        f"Every point is held out; between folds the axes differ by {crossed.residual:.0%} of the squared coordinates.",
    ]
    optimism = next(e for e in found if e.name.startswith("accuracy on"))
    if optimism.value > found[0].high:
        notes.append(
            f"On the samples that made the axes the accuracy would read {optimism.value:.0%} (shuffled labels: "
            f"{optimism.null:.0%}): this is why they are not drawn."
        )
    if params.labels == "shuffled":
        notes.append("This is the control: the labels were shuffled, and no class means anything.")
    if axes < params.components:
        notes.append(
            f"{len(data.names)} classes have {axes} discriminant(s); the last axis ignores the labels: it is the "
            "direction of the largest variance that is left."
        )
    if n < len(data.cloud.x):
        notes.append("The axes come from one mean per sample; tokens are drawn on them.")
    return (*notes, *data.notes, *data.cloud.notes, *report.notes)


def _cost(shapes, params: DiscriminantParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    r = min(n, d)
    flops = 6 * (3.0 * n * d * r + 10.0 * r**3) + params.shuffles * 6 * 6.0 * n * r * 10
    seconds = m.seconds(flops64=flops, moved=params.shuffles * 6.0 * n * r * 24)
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 9.0 + 3 * r * r * 8 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """Two classes: the axis is S_w⁻¹ (μ₁ - μ₀); five classes have four ratios; an invertible map changes no ratio;
    random labels with many units look perfect where the axes were made, and are at chance held out."""
    rng = np.random.default_rng(2)
    of = np.arange(900) % 5
    x = rng.standard_normal((900, 12)) @ rng.standard_normal((12, 12)) + 3 * rng.standard_normal((5, 12))[of]
    two = of < 2
    a = basis_of(x[two])
    w = a.vectors @ discriminants(a, of[two], 2, 0.0).weights[:, 0]
    inside = sum(np.cov(x[of == c].T, bias=True) for c in (0, 1))
    fisher = np.linalg.solve(inside, x[of == 1].mean(axis=0) - x[of == 0].mean(axis=0))
    ratios = discriminants(basis_of(x), of, 5, 0.0).ratios
    mapped = discriminants(basis_of(x @ rng.standard_normal((12, 12))), of, 5, 0.0).ratios
    noise = ArrayActivations(rng.standard_normal((200, 600)), samples={"label": np.arange(200) % 2})
    luck = discriminant(noise, DiscriminantParams(shuffles=19), np.random.default_rng(0)).estimates
    cosine = abs(w @ fisher) / np.linalg.norm(w) / np.linalg.norm(fisher)
    return (
        CheckLine("two classes: cosine with S_w⁻¹ (μ₁ - μ₀)", 1.0, float(cosine), 1e-10),
        CheckLine("five classes: number of axes", 4.0, float(len(ratios)), 0.0),
        CheckLine("an invertible map, largest relative change of a ratio", 0.0,
                  float(np.abs(mapped / ratios - 1).max()), 1e-8),
        CheckLine("random labels, 600 units: accuracy where the axis was made, Φ(√(d / n))", 0.958, luck[1].value,
                  0.04),
        CheckLine("random labels: held-out accuracy", 0.5, luck[0].value, 0.12),
    )  # fmt: skip


METHODS = (
    Method(
        id="discriminant",
        family="projection",
        title="Linear discriminants",
        summary="The axes on which known classes lie furthest apart, drawn on held-out samples, beside luck.",
        version=1,
        function=discriminant,
        params=DiscriminantParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=20,
        invariance="rotating, shifting or rescaling all activations together changes nothing; without shrinkage nor "
        "would any invertible linear map",
        papers=(
            "History-Aware Transformation of ReID Features for Multiple Object Tracking",
            "Learning by Reconstruction Produces Uninformative Features",
        ),
    ),
)
