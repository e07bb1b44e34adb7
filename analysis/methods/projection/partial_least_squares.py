"""Partial least squares: the axes that vary most together with a response, drawn on samples held out.

The first axis is the direction of largest covariance with the response (a class, as one indicator column each, or
a number): the first left singular vector of XᵀY. The next ones do the same after what the earlier scores explain is
taken off (SIMPLS). Unlike discriminants it needs no inverse, so it works with more units than samples; unlike
principal components it looks for what goes along with the response. Coordinates have unit variance on the samples
that made them. Tokens count once per sample, by their mean.

Every point is placed by a fit that did not see its sample (five folds, each turned onto the fit on all samples). Q²
is the share of the response's variance that the held-out predictions explain: below 0, worse than the mean.

When it lies: units of large scale own the axes (standardise to give each one vote); on the samples that made them
the axes separate any labels; an axis goes along with the response, it does not cause it.

Cost: O(n d (responses + components)) for each of 6 fits and each shuffle. Memory O(n d).

References: H. Wold (1975); S. de Jong (1993), "SIMPLS: an alternative approach to partial least squares regression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.linear.cross_fitting import cross_fitted, folds_of
from analysis.compute.linear.least_squares_components import simpls
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.labelled_cloud import Response, with_classes, with_numbers
from analysis.compute.statistics.moments import is_varying
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS = 5


@dataclass(frozen=True)
class PartialLeastSquaresParams:
    column: str = param("label", "The sample column that is the response.", column=True)
    response: str = param(
        "classes", "How to read the column: as classes or as a number.", choices=("classes", "number")
    )
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    standardise: bool = param(
        True, "Give every unit unit variance first, so that none owns the axes by scale."
    )
    shuffles: int = param(39, "Shuffles of the response for the null of Q².", low=9, high=2000)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=200_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def partial_least_squares(
    activations,
    params: PartialLeastSquaresParams = PartialLeastSquaresParams(),
    rng=None,
    progress=no_progress,
) -> Scatter:
    """Partial least squares of a tap on a sample column, cross-fitted.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in standard deviations, each point held out; columns "response", "trust",
        "continuity", "recall". Estimates: Q² of all drawn axes and of the first, each against a shuffled response.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such column; text as a number; fewer than two classes with ten samples, or fewer than 20 samples.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    sample_column(activations, params.column)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, progress=progress, span=(0.0, 0.1)
    )
    if params.response == "classes":
        data = with_classes(activations, cloud, params.column, 2 * FOLDS)
        y, shown = np.eye(len(data.names))[data.of], np.array(data.names)[data.of]
    else:
        data = with_numbers(activations, cloud, params.column, 4 * FOLDS)
        y, shown = data.values[:, None], data.values
    scale = _scale(data.cloud.x, params.standardise)
    points, x = data.cloud.x * scale, data.cloud.sample_means() * scale
    fold = folds_of(data.of if data.of is not None else np.zeros(len(x)), FOLDS, rng)
    crossed = cross_fitted(x, fold, _fit(x, y, fold, params.components), progress, (0.1, 0.2))
    found = _estimates(x, y, fold, params, rng, progress)
    positions = crossed.held_out(points, data.cloud.sample)
    report = map_report(
        data.cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="supervised", progress=progress
    )  # fmt: skip
    return Scatter(
        title=f"Partial least squares of {activations.name} on {params.column}",
        reading=_reading(found[0], params) + " " + report.sentence,
        caveats=(*_caveats(params, data, crossed.residual, len(x)), *report.notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=data.cloud.rows,
        axes=tuple(f"PLS {i + 1}" for i in range(params.components)),
        columns={"response": shown[data.cloud.sample], **report.columns},
        colour="response",
    )


def _scale(x: np.ndarray, standardise: bool) -> np.ndarray:
    """One over each unit's standard deviation, 0 for constant units; or ones."""
    if not standardise:
        return np.ones(x.shape[1])
    variance, mean = x.var(axis=0), x.mean(axis=0)
    varies = is_varying(variance, mean)
    return np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)


def _fit(x: np.ndarray, y: np.ndarray, fold: np.ndarray, k: int):
    """The fit that `cross_fitted` asks for: mean and weights (d, k) with unit score variance, padded with 0."""

    def fit(f: int):
        train = fold != f
        mean = x[train].mean(axis=0)
        weights, _ = simpls(x[train] - mean, y[train] - y[train].mean(axis=0), k)
        weights = np.pad(weights, ((0, 0), (0, k - weights.shape[1])))
        return mean, weights * np.sqrt(train.sum())

    return fit


def left_over(x: np.ndarray, y: np.ndarray, fold: np.ndarray, k: int) -> np.ndarray:
    """Per sample (n, k + 1): the squared error of the held-out prediction by 0, 1 .. k components."""
    out = np.empty((len(x), k + 1))
    for f in range(fold.max() + 1):
        train, test = fold != f, fold == f
        mean, middle = x[train].mean(axis=0), y[train].mean(axis=0)
        weights, loadings = simpls(x[train] - mean, y[train] - middle, k)
        scores = (x[test] - mean) @ weights
        error = y[test] - middle
        out[test, 0] = (error**2).sum(axis=1)
        for i in range(k):
            if i < weights.shape[1]:
                error = error - np.outer(scores[:, i], loadings[:, i])
            out[test, i + 1] = (error**2).sum(axis=1)
    return out


def _estimates(x, y, fold, params, rng, progress) -> tuple[Estimate, ...]:
    k, (n, d) = params.components, x.shape
    left = left_over(x, y, fold, k)
    null = np.empty((params.shuffles, k + 1))
    for i in range(params.shuffles):
        progress(0.2 + 0.5 * i / params.shuffles, "shuffling the response")
        shuffled = left_over(x, y[rng.permutation(n)], fold, k).sum(axis=0)
        null[i] = 1 - shuffled / shuffled[0]
    found = []
    for axes in (k, 1):
        value = 1 - left[:, axes].sum() / left[:, 0].sum()
        low, high = ratio_interval(left[:, 0] - left[:, axes], left[:, 0], rng, draws=500)
        found.append(
            Estimate(
                f"Q² of {axes} {'axis' if axes == 1 else 'axes'}", float(value), min(low, value), max(high, value),
                interval="bootstrap over samples, fits held fixed", **against(value, null[:, axes]),
                null_method=f"response shuffled {params.shuffles} times, axes made anew", n=n, d=d,
                estimator=f"held-out share of the response's variance, {FOLDS} folds",
            )
        )  # fmt: skip
    return tuple(found)


def _reading(q: Estimate, params) -> str:
    word = "go along with" if q.low > q.null_high else "do not go along with"
    beyond = "" if q.low > q.null_high else " beyond luck"
    return (
        f"The drawn axes {word} {params.column}{beyond}: on samples that had no part in making them they explain "
        f"{q.value:.0%} of its variance (shuffled: {q.null:.0%}). Distances along the axes are in standard "
        "deviations of the scores, not in the units of the activations."
    )


def _caveats(params, data: Response, residual: float, n: int) -> tuple[str, ...]:
    notes = [
        f"Every point is held out; between folds the axes differ by {residual:.0%} of the squared coordinates."
    ]
    if not params.standardise:
        notes.append("Units were not standardised: those of large scale own the axes.")
    if n < len(data.cloud.x):
        notes.append("The axes come from one mean per sample; tokens are drawn on them.")
    return (*notes, *data.notes, *data.cloud.notes)


def _cost(shapes, params: PartialLeastSquaresParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    fits = 6 + FOLDS * params.shuffles
    seconds = m.seconds(flops64=fits * 2.0 * n * d * (10 + 2 * params.components), moved=fits * n * d * 32.0)
    seconds += m.seconds(**report_cost(n, d, params.quality_points)) + fits * d * 1e-6
    return Cost(seconds + 0.05, n * d * 8 * 5.0 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """One response along one of 20 units among louder ones; with as many axes as units it is least squares;
    a response of noise is not predicted."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((600, 20)) * np.linspace(1, 5, 20)
    y = x[:, [0]] + 0.5 * rng.standard_normal((600, 1))
    xc, yc = x - x.mean(axis=0), y - y.mean(axis=0)
    weights, loadings = simpls(xc, yc, 20)
    exact = np.linalg.lstsq(xc, yc, rcond=None)[0]
    scores = xc @ weights
    tap = ArrayActivations(x, samples={"label": y[:, 0]})
    planted = partial_least_squares(tap, PartialLeastSquaresParams(response="number", shuffles=19))
    blank = ArrayActivations(rng.standard_normal((120, 300)), samples={"label": np.arange(120) % 3})
    nothing = partial_least_squares(blank, PartialLeastSquaresParams(shuffles=19)).estimates[0]
    return (
        CheckLine("as many axes as units: largest difference from least squares", 0.0,
                  float(np.abs(weights @ loadings.T - exact).max()), 1e-9),
        CheckLine("scores are orthonormal", 0.0, float(np.abs(scores.T @ scores - np.eye(20)).max()), 1e-9),
        CheckLine("planted response: Q² is 1 / 1.25", 0.8, planted.estimates[0].value, 0.04),
        CheckLine("three classes of noise, 300 units: Q² is not above 0", 0.0, nothing.value, 0.05, "at most"),
        CheckLine("nor beyond the shuffled ones", 0.05, nothing.p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="partial_least_squares",
        family="projection",
        title="Partial least squares",
        summary="The axes that vary most together with a class or a number, drawn on held-out samples.",
        version=1,
        function=partial_least_squares,
        params=PartialLeastSquaresParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=20,
        invariance="shifting any unit changes nothing; rescaling single units neither when they are standardised",
    ),
)
