"""How much of a gallery has to be embedded anew after an upgrade: the score of the new model's queries against the
share of the gallery that is.

At share 0 the gallery is all old, at 1 all new; between, each gallery sample counts by the version it has. The order in
which samples are embedded anew is random (several orders are averaged), or class by class. Beside the curve stands what
the old model reached with its own queries, before anything changed. The estimates: the ends, the old model's score, the
mean over the curve, and the share from which on the new queries do as well as the old model did.

Null: a random ranking, exact from the sizes of the classes; it is the same for every mixture. Intervals resample
queries.

When it lies: distances to the old and the new part of the gallery are compared as they are, and where one version lies
nearer to everything, its samples win whether right or wrong; without an alignment the old part mostly misleads; an
order by importance, which a service would choose, does better than a random one.

Cost: O(n² (d + shares x orders)), for mAP times ln n; memory O(n d).

References: S. Ricci et al. (2024), "Backward-compatible aligned representations via an orthogonal transformation
layer"; S. Seo et al. (2023), "Online backfilling with no regret for large-scale image retrieval".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.gallery_search import MEASURES, PRECISION, RECALL, chance_by_class, scores
from analysis.compute.retrieval.mixed_gallery import mixed_scores, orders_of
from analysis.compute.retrieval.model_versions import (
    ALIGNMENTS,
    AS_THEY_ARE,
    ASKING,
    EVERY,
    FEWEST,
    ORTHOGONAL,
    Versions,
    versions_of,
    width_notes,
)
from analysis.compute.retrieval.upgrade_report import DRAWS, INTERVAL, with_intervals
from analysis.compute.rows.metric_space import METRICS
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM, BY_CLASS = "random", "class by class"
NEW, OLD = "new queries", "old model before the upgrade"


@dataclass(frozen=True)
class BackfillParams:
    column: str = param("label", "Sample column whose equal values are the right answers.", column=True)
    measure: str = param(RECALL, "Whether the nearest is right, or the whole ranking.", choices=MEASURES)
    alignment: str = param(
        AS_THEY_ARE, "Compare versions as they are, or turn the new onto the old first.", choices=ALIGNMENTS
    )
    order: str = param(RANDOM, "The order in which the gallery is embedded anew.", choices=(RANDOM, BY_CLASS))
    orders: int = param(5, "Orders that are averaged.", low=1, high=50)
    steps: int = param(10, "Steps from no sample embedded anew to all.", low=2, high=100)
    metric: str = param("cosine", "How the gallery is ranked.", choices=METRICS)
    asking: str = param(EVERY, "Who asks whom.", choices=ASKING)
    query_share: float = param(0.5, "Share of each class that asks, where some do.", low=0.05, high=0.95)
    hold_out: float = param(0.3, "Share of each class that the map is fitted on.", low=0.05, high=0.8)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def backfill_curve(*taps, params: BackfillParams = BackfillParams(), rng=None, progress=no_progress) -> Curve:
    """Score of the new version's queries by the share of the gallery that it has embedded.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units), the old version and the new one, of the same samples (by id).

    Returns
    -------
    Curve
        x = share embedded anew; the series "new queries" and "old model before the upgrade", each with a 95 % band
        over queries and a random ranking as null.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData, TooLarge
        Not two taps; otherwise as `model_versions.versions_of`.
    """
    if len(taps) != 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two: the old version and the new one")
    rng = rng or np.random.default_rng(0)
    v = versions_of(
        [as_activations(t) for t in taps], rng, column=params.column, metric=params.metric, asking=params.asking,
        query_share=params.query_share, alignment=params.alignment, hold_out=params.hold_out,
        maximum=params.maximum_samples, progress=progress,
    )  # fmt: skip
    turned, onto = v.placed(1, v.rotation(1, 0), 0)
    old, new = v.points
    q, g = v.task.query, v.task.gallery
    before = scores(v.task, old[q], old[g], params.measure, progress, (0.3, 0.4))
    shares = np.linspace(0, 1, params.steps + 1)
    counts = np.round(shares * len(g)).astype(np.int64)
    places = orders_of(v.task.of[g], params.orders, params.order == BY_CLASS, rng)
    each = mixed_scores(
        v.task, (turned, onto), (new, new), places, counts, params.measure, progress, (0.4, 0.9)
    )
    values, low, high = with_intervals(np.vstack([each, before[None]]), rng)
    expected, deviation = chance_by_class(v.task, params.measure)
    estimates = _estimates(
        v, each, before, shares, (values, low, high), (expected, deviation), params.measure, rng
    )
    flat = np.ones(len(shares))
    return Curve(
        title=f"Backfilling the gallery of {v.names[0]} with {v.names[1]}",
        reading=_reading(v, estimates, params), caveats=(*width_notes(v), *_caveats(params, v), *v.notes),
        estimates=estimates, x=shares, x_name="share of the gallery embedded anew", y_name=params.measure,
        series={NEW: values[:-1], OLD: values[-1] * flat}, low={NEW: low[:-1], OLD: low[-1] * flat},
        high={NEW: high[:-1], OLD: high[-1] * flat}, null={NEW: expected * flat},
    )  # fmt: skip


def _estimates(v: Versions, each, before, shares, bands, null, measure: str, rng) -> tuple[Estimate, ...]:
    values, low, high = bands
    made = {"n": len(before), "d": max(v.widths)}
    chance = {
        "null": null[0], "null_low": max(null[0] - 1.96 * null[1], 0.0),
        "null_high": min(null[0] + 1.96 * null[1], 1.0),
        "null_method": "random ranking, exact; band as if the queries of a class were right or wrong together",
        "interval": INTERVAL,
        "estimator": f"{measure}, mean over queries",
    }  # fmt: skip
    found = [
        Estimate(f"{measure} {name}", float(values[i]), float(low[i]), float(high[i]), **chance, **made)
        for i, name in (
            (0, "with nothing embedded anew"),
            (-2, "with all embedded anew"),
            (-1, "of the old model"),
        )
    ]
    whole = each.mean(axis=0)
    mean, ends = float(whole.mean()), [float(e[0]) for e in bootstrap_mean(whole[:, None], rng, draws=DRAWS)]
    found.append(
        Estimate(
            f"mean {measure} over the curve", mean, min(ends[0], mean), max(ends[1], mean), **chance, **made
        )
    )
    value = _overtakes(values[:-1], values[-1], shares)
    if value is not None:
        found.append(_share_estimate(value, each, before, shares, made, rng))
    return tuple(found)


def _overtakes(values: np.ndarray, old: float, shares: np.ndarray) -> float | None:
    """The least share from which on the curve stays at or above the old score; None where it ends below."""
    below = np.flatnonzero(values < old - 1e-12)
    if not len(below):
        return float(shares[0])
    return None if below[-1] == len(shares) - 1 else float(shares[below[-1] + 1])


def _share_estimate(value: float, each, before, shares, made, rng) -> Estimate:
    """Its interval by resampled queries; a curve that ends below counts as 1."""
    drawn = []
    for _ in range(DRAWS):
        rows = rng.integers(len(before), size=len(before))
        found = _overtakes(each[:, rows].mean(axis=1), before[rows].mean(), shares)
        drawn.append(1.0 if found is None else found)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Estimate(
        "share embedded anew at which the new queries do as well as the old model", value, float(min(low, value)),
        float(max(high, value)), interval=f"bootstrap over queries, {DRAWS} draws; never counts as 1",
        estimator="least share from which on the curve stays at or above", **made,
    )  # fmt: skip


def _reading(v: Versions, estimates, params: BackfillParams) -> str:
    start, end, old = estimates[:3]
    first = (
        f"Queries of {v.names[1]} reach a {params.measure} of {start.value:.2f} in the old gallery and {end.value:.2f} "
        f"once all of it is embedded anew; {v.names[0]} reached {old.value:.2f} (random ranking {start.null:.2f})."
    )
    if len(estimates) < 5:
        return f"{first} They never do as well as the old model did."
    share = estimates[4]
    if share.value == 0:
        return f"{first} They do at least as well as the old model from the start."
    return f"{first} From {share.value:.0%} on ({share.low:.0%} to {share.high:.0%}) they do as well as the old model."


def _caveats(params: BackfillParams, v: Versions) -> list[str]:
    notes = [
        f"{len(v.task.query):,} queries; mean over {params.orders} {params.order} order(s); intervals take queries as "
        "independent, although those of one class go together."
    ]
    if not v.is_aligned:
        notes.append("Nothing is aligned: what is missing at the start may be a mere rotation of the space.")
    return notes


def _cost(shapes, params: BackfillParams) -> Cost:
    m = machine()
    n, d = min(min(rows for rows, _ in shapes), params.maximum_samples), max(units for _, units in shapes)
    pairs = float(n) ** 2 * (params.query_share * (1 - params.query_share) if params.asking != EVERY else 1.0)
    flops = 3 * 2.0 * pairs * d + (12.0 * d**3 if params.alignment == ORTHOGONAL else 0)
    each = 900.0 if params.measure == PRECISION else 70.0
    moved = pairs * each * (params.steps * params.orders + 1) + DRAWS * 60.0 * n * params.steps
    read = sum(8.0 * rows * units for rows, units in shapes)
    held = 8.0 * n * d * 9 + (80 << 20) * min(1.0, n * n / (1 << 20))
    return Cost(m.seconds(flops64=flops, moved=moved + 3 * read) + 0.02, held + 8.0 * n * params.steps * 6)


def _check() -> tuple[CheckLine, ...]:
    """Equal versions: a flat line. A rotated version: from chance (the mean of many rotations) to its own recall; flat
    once aligned. A version that learned more, in the same space: does as well from the start."""
    rng = np.random.default_rng(6)
    label = np.repeat(np.arange(12), 20)
    middle, noise = rng.standard_normal((12, 20))[label], rng.standard_normal((240, 20))
    x, better = middle + 1.1 * noise, middle + 0.5 * noise

    def asked(a, b, **more) -> Curve:
        taps = [ArrayActivations(m, name=n, samples={"label": label}) for m, n in ((a, "old"), (b, "new"))]
        return backfill_curve(*taps, params=BackfillParams(steps=4, orders=2, **more))

    def turned() -> np.ndarray:
        q, r = np.linalg.qr(rng.standard_normal((20, 20)))
        return x @ (q * np.sign(np.diag(r)))  # uniform over all rotations

    same = asked(x, x).series[NEW]
    crossed = [asked(x, turned()).series[NEW] for _ in range(30)]
    aligned = asked(x, turned(), alignment=ORTHOGONAL).series[NEW]
    return (
        CheckLine("equal versions: rise and fall of the curve", 0.0, float(np.ptp(same)), 0.0),
        CheckLine("rotated: mean start is chance", 19 / 239, float(np.mean([c[0] for c in crossed])), 0.025),
        CheckLine("rotated: end is the old recall", float(same[0]), float(crossed[0][-1]), 1e-9),
        CheckLine("rotated, then aligned: rise and fall", 0.0, float(np.ptp(aligned)), 1e-9),
        CheckLine("a version that learned more: share to do as well", 0.0, asked(x, better).estimates[4].value, 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="backfill_curve", family="retrieval", title="Backfill curve", version=1, function=backfill_curve,
        summary="How much of a gallery must be embedded anew before an upgraded model's queries do as well as the old.",
        params=BackfillParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating or scaling both versions together; with the orthogonal alignment rotating each on its own",
        papers=("Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",),
    ),
)  # fmt: skip
