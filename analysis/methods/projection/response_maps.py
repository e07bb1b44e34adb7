"""Response maps: the directions a response depends on, whatever the form of the dependence.

For Gaussian activations whitened to z, and a response y that depends on them through a few directions B only, the
first-order moment E[y z] and the second-order moment E[y (z zᵀ - I)] both lie in the span of B, whatever the link
(Stein's identities). The first sees what rises with the response, the second what curves with it (y = (βᵀz)² is
invisible to the first, and gives 2 β βᵀ in the second). The drawn axes are the leading singular vectors of one or of
both side by side; classes give one response each. Tokens count once per sample, by their mean.

Every point is placed by a fit that did not see its sample (five folds, each turned onto the fit on all samples).
Q² is the held-out share of the response that a quadratic function of the drawn axes predicts.

When it lies: the identities need Gaussian activations; heavy tails pull the moments, so activations are whitened in
their leading components and long rows are drawn in (`clip`); what lies outside those components is not seen; with
few samples for p (p + 1) / 2 second-order entries the axes are luck (see the split-half angle).

Cost: O(n d min(n, d)) once per fold, then O(n p² responses) per shuffle or split. Memory O(n d).

Reference: paper "Nonlinear multiple response regression / learning latent spaces"; C. Stein (1981); K.-C. Li (1992),
"On principal Hessian directions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.linear.cross_fitting import cross_fitted, folds_of, held_out_errors
from analysis.compute.linear.loadings import in_words
from analysis.compute.linear.stein import (
    ORDERS,
    first_moment,
    quadratic_fit,
    response_directions,
    second_moment,
    split_half_angle,
    whitening,
)
from analysis.compute.machine import machine
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.labelled_cloud import with_classes, with_numbers
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS = 5


@dataclass(frozen=True)
class ResponseMapsParams:
    column: str = param("label", "The sample column that is the response.", column=True)
    response: str = param(
        "classes", "How to read the column: as classes or as a number.", choices=("classes", "number")
    )
    order: str = param("both", "Moments to use: first sees rising, second curved dependence.", choices=ORDERS)
    kept: int = param(15, "Principal components that are whitened and searched.", low=2, high=200)
    clip: float = param(3.0, "Longest row after whitening, in typical lengths; longer ones are drawn in.", low=1.0,
                        high=100.0)  # fmt: skip
    shuffles: int = param(39, "Shuffles of the response for the nulls.", low=9, high=2000)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=200_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def response_maps(
    activations, params: ResponseMapsParams = ResponseMapsParams(), rng=None, progress=no_progress
) -> Scatter:
    """First- and second-order response directions of a tap, cross-fitted.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Scatter
        `positions` (points, 2) in standard deviations, each point held out; columns "response", "trust",
        "continuity", "recall". Estimates: Q², the strength of both axes, the split-half angle, each with a null.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such column; text as a number; fewer than two classes with ten samples, or fewer than 40 samples.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    sample_column(activations, params.column)
    cloud = point_cloud(activations, rng, maximum_rows=params.maximum_rows, progress=progress)
    if params.response == "classes":
        data = with_classes(activations, cloud, params.column, 2 * FOLDS)
        y, shown = np.eye(len(data.names))[data.of], np.array(data.names)[data.of]
    else:
        data = with_numbers(activations, cloud, params.column, 8 * FOLDS)
        y, shown = data.values[:, None], data.values
    x = data.cloud.sample_means()
    y = (y - y.mean(axis=0)) / np.sqrt(((y - y.mean(axis=0)) ** 2).sum(axis=1).mean())
    fold = folds_of(data.of if data.of is not None else np.zeros(len(x)), FOLDS, rng)
    kept = min(params.kept, max(2, len(x) // 10))
    white = [whitening(x[fold != f], kept) for f in range(-1, FOLDS)]
    progress(0.2, "moments of the response")
    crossed = cross_fitted(x, fold, lambda f: _fit(x[fold != f], y[fold != f], white[f + 1], params))
    found = _estimates(x, y, fold, white, params, rng, progress)
    positions = crossed.held_out(data.cloud.x, data.cloud.sample)
    report = map_report(
        data.cloud.x, positions, rng, maximum_anchors=params.quality_points, drawn="supervised", progress=progress
    )  # fmt: skip
    notes = (*data.notes, *data.cloud.notes, *report.notes)
    return Scatter(
        title=f"Response map of {activations.name} for {params.column} ({_order(params)})",
        reading=_reading(found, crossed.weights, activations.unit_names, params) + " " + report.sentence,
        caveats=(*_caveats(crossed.residual, x, kept, params, found), *notes),
        estimates=(*found, *report.estimates),
        positions=positions.astype(np.float32),
        rows=data.cloud.rows,
        axes=("response direction 1", "response direction 2"),
        columns={"response": shown[data.cloud.sample], **report.columns},
        colour="response",
    )


def _order(params) -> str:
    return "first and second order" if params.order == "both" else f"{params.order} order"


def _fit(x, y, white, params) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and weights (d, 2) of the two leading directions, padded with 0."""
    z = white.scores(x, params.clip)
    u, _ = response_directions(z, y - y.mean(axis=0), params.order, 2)
    return white.mean, np.pad(white.to @ u, ((0, 0), (0, 2 - u.shape[1])))


def _left_over(x, y, fold, white, params) -> tuple[np.ndarray, np.ndarray]:
    """Squared held-out errors (n,) of the quadratic prediction and of the mean."""
    return held_out_errors(
        x, y, fold, lambda f: _fit(x[fold != f], y[fold != f], white[f + 1], params), quadratic_fit
    )


def _strengths(x, y, white, params) -> np.ndarray:
    s = response_directions(white[0].scores(x, params.clip), y - y.mean(axis=0), params.order, 2)[1]
    return np.pad(s[:2], (0, 2 - len(s[:2])))


def _estimates(x, y, fold, white, params, rng, progress) -> tuple[Estimate, ...]:
    n, d = x.shape
    left, whole = _left_over(x, y, fold, white, params)
    values = np.append(1 - left.sum() / whole.sum(), _strengths(x, y, white, params))
    null = np.empty((params.shuffles, 3))
    for i in range(params.shuffles):
        progress(0.25 + 0.3 * i / params.shuffles, "shuffling the response")
        other = y[rng.permutation(n)]
        a, b = _left_over(x, other, fold, white, params)
        null[i] = np.append(1 - a.sum() / b.sum(), _strengths(x, other, white, params))
    low, high = ratio_interval(whole - left, whole, rng, draws=500)
    found = []
    for i, name in enumerate(("Q² of the drawn axes", "strength of axis 1", "strength of axis 2")):
        sure = (min(low, values[i]), max(high, values[i])) if i == 0 else (None, None)
        found.append(
            Estimate(
                name, float(values[i]), *sure, interval="" if i else "bootstrap over samples, fits held fixed",
                **against(values[i], null[:, i]), null_method=f"response shuffled {params.shuffles} times", n=n, d=d,
                estimator="quadratic in the axes, held out" if i == 0 else "singular value of the moments",
            )
        )  # fmt: skip

    def plane(mine: np.ndarray) -> np.ndarray:
        mean, weights = _fit(x[mine], y[mine], whitening(x[mine], white[0].to.shape[1]), params)
        return (x - mean) @ weights

    return (*found, split_half_angle(plane, n, d, white[0].to.shape[1], rng, progress, (0.55, 0.69)))


def _reading(found, weights, names, params) -> str:
    q = found[0]
    word = "depends on" if q.low > q.null_high else "is not shown to depend on"
    length = np.maximum(np.linalg.norm(weights, axis=0), 1e-300)
    first, second = (in_words(w, names, 4) or "nothing" for w in (weights / length).T)
    return (
        f"{params.column} {word} the drawn directions: a quadratic function of them predicts {q.value:.0%} of it on "
        f"held-out samples (shuffled: {q.null:.0%}). Direction 1 weighs {first}; direction 2 {second}."
    )


def _caveats(residual: float, x, kept: int, params, found) -> list[str]:
    notes = [
        f"Every point is held out; between folds the axes differ by {residual:.0%} of the squared coordinates."
    ]
    if found[2].value <= found[2].null_high:
        notes.append("The second axis is no stronger than with a shuffled response: read the first only.")
    if kept < params.kept:
        notes.append(f"{len(x)} samples allow {kept} components to be searched, not {params.kept}.")
    if kept < x.shape[1]:
        notes.append(f"Only the {kept} leading principal components were searched.")
    return notes


def _cost(shapes, params: ResponseMapsParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    r, p = min(n, d), min(params.kept, d)
    bases = (7 + 20) * (2.0 * n * d * r + 10.0 * r**3)
    each = 12.0 * n * d * p + 6 * 10 * 2.0 * n * p * p
    seconds = m.seconds(
        flops64=1.4 * (bases + (params.shuffles + 8) * each), moved=params.shuffles * n * d * 60.0
    )
    seconds += m.seconds(**report_cost(n, d, params.quality_points))
    return Cost(seconds + 0.05, n * d * 8 * 5.0 + 3 * r * r * 8 + report_bytes(n, d))


def _check() -> tuple[CheckLine, ...]:
    """y = (βᵀx)²: nothing at first order, 2 β βᵀ at second; a linear response gives least squares; noise nothing."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40_000, 6))
    beta = np.linalg.qr(rng.standard_normal((6, 1)))[0]
    y = (x @ beta) ** 2
    values, vectors = np.linalg.eigh(second_moment(x, y)[0])
    line = x @ beta + 0.1 * rng.standard_normal((40_000, 1))
    slope = first_moment(x, line)[:, 0]
    tap = ArrayActivations(x[:3000] @ rng.standard_normal((6, 6)), samples={"label": y[:3000, 0]})
    bent = response_maps(tap, ResponseMapsParams(response="number", shuffles=19))
    noise = ArrayActivations(x[:300], samples={"label": np.arange(300) % 2})
    blank = response_maps(noise, ResponseMapsParams(shuffles=19)).estimates
    return (
        CheckLine("even link: length of the first moment", 0.0, float(np.linalg.norm(first_moment(x, y))), 0.08),
        CheckLine("even link: top eigenvalue of the second moment", 2.0, float(values[-1]), 0.15),
        CheckLine("its cosine with β", 1.0, float(abs(vectors[:, -1] @ beta[:, 0])), 1e-3),
        CheckLine("linear link: cosine with β", 1.0, float(slope @ beta[:, 0] / np.linalg.norm(slope)), 1e-3),
        CheckLine("even link, mixed units: held-out share predicted", 0.95, bent.estimates[0].value, 0.0, "at least"),
        CheckLine("labels without meaning: held-out share predicted", 0.0, blank[0].value, 0.05, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="response_maps",
        family="projection",
        title="Response maps",
        summary="The directions that a label or number depends on, linearly or not, drawn on held-out samples.",
        version=1,
        function=response_maps,
        params=ResponseMapsParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=20,
        invariance="any invertible linear map of the activations changes nothing while all components are kept",
        papers=("Nonlinear multiple response regression / learning latent spaces",),
    ),
)
