"""One point for each sample and unit: what the unit adds to the number, and whether it was high or low then.

Across, the part φ_ij of the number that sample i owes to unit j (Shapley values or expected gradients, as in
`global_attribution`, from whose kept parts this is drawn); a line of points for each of the strongest units, strongest
on top, spread up and down where many parts are alike; colour is the unit's own value, as its place among the samples (0
lowest, 1 highest), so that units of any scale share one colour bar. A line that goes from blue to red acts one way; one
that is mixed bends or hangs on other units.

Null: the share of all parts that the shown units hold, against that of units listened to alike; and of each unit's
value and part Spearman's correlation, which is 0 in shuffled samples.

When it lies: parts are against a background and share what units do together; up and down means only how many; a unit
that is read with both signs looks like noise here and is none (see its dependence); units beyond the shown ones may
together be more than any.

Cost: as `global_attribution`; nothing where its parts are kept.

Reference: S. Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for trees".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.units.unit_estimates import missed, sampling_error
from analysis.attribution.units.unit_parts import (
    FEWEST,
    UnitParts,
    UnitPartsParams,
    caveats,
    parts_cost,
    unit_parts,
)
from analysis.attribution.units.unit_summary import unit_summary
from analysis.compute.correlation.correlations import fisher_interval, null_quantile
from analysis.compute.statistics.auroc import midranks
from analysis.features.readers import PROBE
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

VALUE = "unit's value, 0 lowest, 1 highest"
BINS, REACH, DRAWS = 60, 0.4, 300  # places of like parts; how far points are spread; resamples


@dataclass(frozen=True)
class AttributionBeeswarmParams(UnitPartsParams):
    shown: int = param(10, "Units shown, the strongest.", low=1, high=40)


def attribution_beeswarm(
    activations,
    params: AttributionBeeswarmParams = AttributionBeeswarmParams(),
    rng=None,
    progress=no_progress,
) -> Scatter:
    """Parts of many samples, unit by unit.

    Returns
    -------
    Scatter
        A point for each sample and shown unit. Columns: the place of its value, the value, unit, sample. Estimates: the
        share that the shown units hold, how far the strongest acts one way, residual and sampling error.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        As `global_attribution`.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    parts = unit_parts(tap, params, rng, progress)
    progress(0.95, "placing points")
    found = unit_summary(parts.values, parts.standard_reach, DRAWS, rng)
    best = np.argsort(-np.where(parts.own, found.size, -1.0), kind="stable")
    best = best[: min(params.shown, int(parts.own.sum()))]
    n, height = len(parts.full), np.arange(len(best))[::-1]
    places = np.column_stack([
        parts.values[:, best].T.ravel(),
        np.concatenate([h + spread(parts.values[:, j]) for h, j in zip(height, best, strict=True)]),
    ])  # fmt: skip
    ranked = (midranks(parts.x[:, best])[0] - 1) / max(n - 1, 1)
    words, names = parts.explained.words, parts.names[best]
    progress(1.0, "done")
    return Scatter(
        title=f"What {parts.explained.whose} add to the {words}", reading=_reading(parts, ranked, best),
        caveats=(*caveats(parts, params), *_left(parts, best)),
        estimates=_estimates(parts, found, ranked, best, tap.shape[1]), positions=places,
        rows=np.arange(len(places)), of="parts", axes=(f"part of the {words}", "unit, strongest on top"),
        columns={
            VALUE: ranked.T.ravel(), "value": parts.x[:, best].T.ravel(),
            "unit": np.repeat(names, n), "sample": np.tile(parts.explained.samples.samples, len(best)),
        },
        colour=VALUE,
        levels=dict(zip(map(str, names), height.astype(float).tolist(), strict=True)),
        guides={"adds nothing": np.array([[0.0, -0.6], [0.0, len(best) - 0.4]])},
    )  # fmt: skip


def spread(values: np.ndarray) -> np.ndarray:
    """(n,) heights within ±REACH: points of one bin stand side by side, the fullest bin reaching furthest."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.linspace(-REACH, REACH, len(values))
    bins = np.minimum(((values - low) / (high - low) * BINS).astype(np.int64), BINS - 1)
    order = np.argsort(bins, kind="stable")
    count = np.bincount(bins, minlength=BINS)
    place = np.arange(len(values)) - np.repeat(np.cumsum(count) - count, count)
    side = np.where(place % 2, 1.0, -1.0) * ((place + 1) // 2)
    out = np.empty(len(values))
    out[order] = side
    return out * (2 * REACH / max(int(count.max()), 2))


def _left(parts: UnitParts, best: np.ndarray) -> tuple[str, ...]:
    more = int(parts.own.sum()) - len(best)
    return (f"{more:,} units with smaller parts are not shown.",) if more else ()


def _follows(parts: UnitParts, ranked: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(shown,) Spearman's correlation of value and part; 0 where one does not vary."""
    a, b = ranked - ranked.mean(axis=0), midranks(parts.values[:, best])[0]
    b = b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), scale, out=np.zeros(len(best)), where=scale > 0)


def _estimates(parts: UnitParts, found, ranked, best, d: int) -> tuple[Estimate, ...]:
    n, share = len(parts.full), float(found.size[best].sum() / found.size.sum())
    drawn = found.draws_size[:, best].sum(axis=1) / np.maximum(found.draws_size.sum(axis=1), 1e-300)
    low, high = np.quantile(drawn, [0.025, 0.975])
    reach, one = parts.standard_reach.mean(axis=0), float(_follows(parts, ranked, best)[0])
    ends = [float(e) for e in fisher_interval(one, n, ranks=True)]
    chance = null_quantile(n, 0.95)
    return (
        Estimate("share that is shown", share, min(float(low), share), max(float(high), share),
                 interval="Poisson bootstrap over samples", null=float(reach[best].sum() / reach.sum()),
                 null_method="all units listened to alike, each in its standard deviations", n=n, d=d,
                 estimator="mean |part| of the shown units / of all"),
        Estimate("strongest unit: value and part", one, min(ends[0], one), max(ends[1], one),
                 interval="Fisher's, ranks", null=0.0, null_low=-chance, null_high=chance,
                 null_method="samples shuffled, by Student's t", n=n, d=d, estimator="Spearman's correlation"),
        missed(parts, d), *sampling_error(parts, d),
    )  # fmt: skip


def _reading(parts: UnitParts, ranked, best) -> str:
    one, names = _follows(parts, ranked, best), parts.names[best]
    up, down = ([n for n, r in zip(names, sign * one, strict=True) if r > 0.7] for sign in (1, -1))
    bent = [n for n, r in zip(names, one, strict=True) if abs(r) <= 0.7]
    groups = (
        ("high values raise it in", up),
        ("high values lower it in", down),
        ("no one direction in", bent),
    )
    said = [
        f"{w} {', '.join(some[:4])}{' and others' if len(some) > 4 else ''}" for w, some in groups if some
    ]
    return f"Of the {parts.explained.words}: " + "; ".join(said) + " (|Spearman| above or below 0.7)."


def _cost(shapes, params) -> Cost:
    own = parts_cost(shapes, params)
    points = min(shapes[0][0], params.maximum_samples) * min(params.shown, shapes[0][1])
    return Cost(own.seconds, own.bytes + 300.0 * points, own.passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of one unit that decides: its parts follow its value, one way, for every sample."""
    rng = np.random.default_rng(0)
    label = np.arange(48) % 2
    x = np.column_stack([rng.standard_normal(48), label * 4.0 + rng.standard_normal(48)])
    tap = ArrayActivations(x, name="planted", samples={"label": label}, unit_names=("noise", "decides"))
    params = AttributionBeeswarmParams(reader=PROBE, number="logit", answer=1)
    found = attribution_beeswarm(tap, params)
    top = found.columns["unit"] == "decides"
    lines = spread(np.array([0.0, 0.0, 0.0, 1.0]))
    return (
        CheckLine("the deciding unit is on top", 1.0, float(found.positions[top, 1].min() > 0.5), 0.0),
        CheckLine("value and part of it", 1.0, found.estimates[1].value, 0.02),
        CheckLine("all parts are shown", 1.0, found.estimates[0].value, 1e-12),
        CheckLine("a point alone is not moved", 0.0, float(lines[3]), 0.0),
        CheckLine("points alike are spread", 3.0, float(len(np.unique(lines[:3]))), 0.0),
    )


METHODS = (
    Method(
        id="attribution_beeswarm",
        family="attribution",
        title="What each unit adds, sample by sample",
        summary="A point for each sample and strong unit: its part in the answer, coloured by the unit's value.",
        version=2,
        function=attribution_beeswarm,
        params=AttributionBeeswarmParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a rising change of a unit's scale, for its colour; a constant on a unit that the network undoes",
        papers=(
            "Employing Explainable Artificial Intelligence (XAI) Methodologies to Analyze the Correlation between "
            "Input Variables and Tensile Strength in Additively Manufactured Samples",
            "SHAP: a unified approach",
        ),
        libraries=("torch",),
    ),
)
