"""Which units go together, all at once: the map of a tap with itself, or of two taps, also of different networks.

Pearson's r (a straight line), Spearman's (a rising curve), the cosine of the units as they are, the bias-corrected
distance correlation (any relation), or the mutual information between binned units (any relation, in nats). Units are
drawn by their groups or by what is known of each; up to 32,768 of them, cells on disk as tiles to zoom into.

Null: see `compute.correlation.map_tests`; a cell beyond the threshold passes Benjamini and Hochberg's rule over all
pairs.

When it lies: Pearson and Spearman see lines and rising curves only; distance correlation and mutual information say
that there is a relation, not which; units that are rarely active go together through their zeros; a common cause
(brightness, position in a text) makes everything go together; a gathered cell shows its strongest pair, so a map seen
from far away looks stronger than it is. Tokens of one sample depend on each other: tests count samples, not rows.

Cost: O(n p q). Pearson and cosine in one pass up to 4,096 units a side, beyond that two passes and one for each panel
of some thousand units, a gigabyte of memory; ranks, distances and bins need their rows in memory (said where a part is
used); distances O(n² p q) of at most 512 units, and of as many rows as 4e12 operations allow.

References: see `compute.correlation.pair_sums`, `compute.correlation.distance_correlation`,
`compute.correlation.binned_information`; Y. Benjamini & Y. Hochberg (1995); R. Sokal & C. Michener (1958) for average
linkage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.correlation.correlation_reading import map_caveats, map_sentence
from analysis.compute.correlation.drawing_order import DrawingOrder
from analysis.compute.correlation.map_orders import BY_COLUMN, order_by_column
from analysis.compute.correlation.map_tests import estimates_of
from analysis.compute.correlation.measured_map import MEASURES, SLOW_UNITS, Measured, measured
from analysis.compute.correlation.pair_tally import PairTally
from analysis.compute.kept import folder, key_of
from analysis.compute.machine import machine
from analysis.compute.rows.loaded_rows import MOST_BYTES
from analysis.compute.rows.tap_names import tap_names
from analysis.results import Heatmap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.store.heat_cells import MOST, HeatCells


@dataclass(frozen=True)
class CorrelationMapParams:
    measure: str = param("pearson", "How two units go together.", choices=tuple(MEASURES))
    order: str = param(
        "clusters", "Lines by their groups (of opposites too), by what is known of each unit, or as stored.",
        choices=("clusters", "clusters with opposites", *BY_COLUMN, "as stored"),
    )  # fmt: skip
    column: str = param(
        "", "The sample column of the classes, for the order by class; none: label.", column=True
    )
    maximum_units: int = param(
        16_384, "Most units of a tap: those with the largest variance.", low=2, high=32_768
    )
    maximum_rows: int = param(
        50_000, "Most rows for ranks, distances and bins, and most samples of two networks; a random part above.",
        low=100, high=1_000_000,
    )  # fmt: skip
    pooling: str = param(
        "mean", "How tokens become one value, where two taps do not have the same.", choices=("mean", "max")
    )
    bins: int = param(12, "Most bins of a unit for mutual information.", low=2, high=32)
    level: float = param(0.05, "False-discovery rate of what counts as significant.", low=1e-4, high=0.5)


def correlation_map(
    *taps, params: CorrelationMapParams = CorrelationMapParams(), rng=None, progress=no_progress
) -> Heatmap:
    """All units of one tap against each other, or of two taps.

    Parameters
    ----------
    *taps : one or two Activations or arrays (rows, units). Two are taken row by row where they have the same tokens of
        the same samples; else samples are matched by id and tokens pooled.

    Returns
    -------
    Heatmap
        In drawing order; `tiles` where more than 512 units a side (without a workspace they live as long as the
        process). Estimates: mean and largest magnitude, share of pairs beyond chance.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, NotFound, TooLarge
        More than two taps; ids that do not fit; fewer than four samples or two units that vary; an order by a class
        that is not there; over 4 GiB.
    """
    taps = tuple(as_activations(t) for t in taps)
    rng = rng or np.random.default_rng(0)
    found = measured(taps, params, rng, progress, (0.0, 0.6))
    orders = _orders(found, taps, params, rng, progress)
    key = _key(taps, params, rng) if max(len(u) for u in found.units) > MOST else ""
    tally, shape = PairTally(found.relation.symmetric), tuple(len(u) for u in found.units)
    with HeatCells(
        folder(key) if key else None, shape, found.largest, symmetric=found.relation.symmetric
    ) as cells:
        for row, column, values, tested in found.relation.blocks(orders, progress, (0.7, 0.95)):
            cells.write(row, column, values)
            tally.add(row, column, values, tested)
        overview, gathered = cells.finish()
    progress(0.95, "testing pairs")
    return _result(taps, params, found, orders, tally, overview, gathered, key)


def _orders(found: Measured, taps, params, rng, progress) -> tuple[DrawingOrder, DrawingOrder]:
    progress(0.6, "ordering units")
    if params.order.startswith("clusters"):
        return found.relation.by_groups(params.order == "clusters", rng)
    if params.order == "as stored":
        made = [DrawingOrder(np.arange(len(units))) for units in found.units]
        return made[0], made[-1]
    made, column = [], params.column or "label"
    for i, (tap, units) in enumerate(zip(taps, found.units, strict=False)):
        span = (0.6 + 0.05 * i, 0.65 + 0.05 * i)
        made.append(order_by_column(tap, units, params.order, column, rng, progress, span))
    return made[0], made[-1]


def _key(taps, params, rng) -> str:
    """The key of the tiles: all that can change a cell."""
    made_of = {
        "taps": [tap.digest for tap in taps], "version": 1, "draw": int(rng.integers(2**31)),
        "params": {k: v for k, v in vars(params).items() if k != "level"},
    }  # fmt: skip
    return key_of("correlation map", made_of)


def _result(taps, params, found, orders, tally, overview, gathered, key) -> Heatmap:
    relation, null = found.relation, found.null
    threshold, share = tally.significant(null.p_of, params.level)
    names = tap_names([tap.name for tap in taps])
    sides = [np.array(tap.unit_names, dtype=str) for tap in (taps[0], taps[-1])]
    p, q = (len(u) for u in found.units)
    estimates = estimates_of(
        tally, null, share, params.level, params.measure, min(p, q), relation.samples, relation.half
    )
    title = MEASURES[params.measure].title
    what = (
        f"between units of {names[0]}"
        if len(taps) == 1
        else f"of the units of {names[0]} with those of {names[1]}"
    )
    return Heatmap(
        title=f"{title} {what}", reading=map_sentence(params, estimates, null, tally, (p, q), gathered),
        caveats=map_caveats(found, orders, gathered), estimates=estimates,
        overview=overview, shape=(p, q), gathered=gathered, tiles=key,
        row_names=sides[0][found.units[0]], column_names=sides[1][found.units[1]],
        row_units=found.units[0].astype(np.int64), column_units=found.units[1].astype(np.int64),
        row_order=orders[0].order, column_order=orders[1].order,
        linkage=orders[0].linkage, row_groups=orders[0].groups,
        column_linkage=orders[1].linkage, column_groups=orders[1].groups,
        null_band=null.band, limits=found.limits, value_name=MEASURES[params.measure].name,
        diverging=found.limits[0] < 0, share_significant=share, threshold=threshold if null.one else float("nan"),
    )  # fmt: skip


def _cost(shapes, params: CorrelationMapParams) -> Cost:
    m, n = machine(), min(rows for rows, _ in shapes)
    d = [min(units, params.maximum_units) for _, units in shapes]
    p, q = d[0], d[-1]
    small = (p if len(d) == 1 else p + q) <= 1024
    seconds, memory = 0.02, 5e6 + 96.0 * p * q + min(n, 8192) * (p + q) * 12.0
    if params.measure in ("pearson", "cosine"):
        flops = 2.0 * n * p * q
        seconds += m.seconds(
            flops64=flops * small * 2, flops32=flops * (not small), moved=n * sum(d) * 120.0 + p * q * 300
        )
        memory = (14 if small else 4) * 10.0 * p * q * (1.1 if small else 1) + min(n, 4096) * sum(d) * 24.0
        if max(p, q) > 4096:
            memory = 1.5 * 2**30 + min(n, 4096) * sum(d) * 16.0
    elif params.measure == "distance correlation":
        p, q = min(p, SLOW_UNITS), min(q, SLOW_UNITS)
        rows = min(n, params.maximum_rows, int(np.sqrt(4e12 / (p * q))))
        seconds += m.seconds(flops64=1.0 * rows**2 * p * q, moved=rows**2 * (p + q) * 20.0)
        memory += rows * sum(d) * 60.0 + 1.2e8
    else:
        rows = min(n, params.maximum_rows, MOST_BYTES // (4 * sum(d)))
        factor = 2.0 * params.bins**2 if params.measure == "mutual information" else 2.0
        seconds += m.seconds(flops32=factor * rows * p * q, moved=rows * sum(d) * 400.0 + p * q * 900)
        memory += rows * sum(d) * 30.0
    return Cost(seconds + (max(p, q) > 512) * p * q * 1e-7, memory)


def _check() -> tuple[CheckLine, ...]:
    """Planted groups and a copy of a tap; closed forms for Gaussian pairs; noise stays inside the band."""
    rng = np.random.default_rng(6)
    n = 3000
    source = rng.standard_normal((n, 2))
    x = np.sqrt(0.6) * np.repeat(source, 6, axis=1) + np.sqrt(0.4) * rng.standard_normal((n, 12))
    x[:, 3:6] *= -1
    x = np.hstack([x[:, ::2], x[:, 1::2], np.ones((n, 1))]) * 7 + 1e4
    found = correlation_map(x, params=CorrelationMapParams(order="clusters with opposites"))
    group = np.array([0, 0, 0, 1, 1, 1] * 2)[found.row_units[found.row_order]]
    exact = np.corrcoef(x[:, :12], rowvar=False)[np.ix_(found.row_order, found.column_order)]
    noise = correlation_map(rng.standard_normal((500, 40)))
    pair = rng.standard_normal((n, 2)) @ [[1, 0.6], [0, 0.8]]

    def value(measure: str) -> float:
        return float(correlation_map(pair, params=CorrelationMapParams(measure=measure)).overview[0, 1])

    r, root = 0.6, np.sqrt
    gaussian = r * np.arcsin(r) + root(1 - r * r) - r * np.arcsin(r / 2) - root(4 - r * r) + 1
    stored = CorrelationMapParams(order="as stored")
    other = correlation_map(ArrayActivations(x), ArrayActivations(x[:, :5] * -2), params=stored)
    rank, distance, nats = (value(m) for m in ("spearman", "distance correlation", "mutual information"))
    return (
        CheckLine("largest difference from numpy.corrcoef", 0.0, float(np.abs(found.overview - exact).max()), 1e-6),
        CheckLine("groups are contiguous (changes)", 1.0, float((np.diff(group) != 0).sum()), 0.0),
        CheckLine("constant unit left out", 12.0, float(found.shape[0]), 0.0),
        CheckLine("a unit with its opposite in another tap", -1.0, float(np.diag(other.overview).max()), 1e-6),
        CheckLine("noise: mean |r| against √(2 / πn)", root(2 / np.pi / 500), noise.estimates[0].value, 0.004),
        CheckLine("noise: significant pairs", 0.0, noise.share_significant, 0.01),
        CheckLine("Spearman of a Gaussian pair, 6 / π asin(r / 2)", 6 / np.pi * np.arcsin(r / 2), rank, 0.04),
        CheckLine("distance correlation of it", root(gaussian / (1 + np.pi / 3 - root(3))), distance, 0.04),
        CheckLine("mutual information of it, -ln(1 - r²) / 2", -0.5 * np.log(1 - r * r), nats, 0.04),
    )  # fmt: skip


METHODS = (
    Method(
        id="correlation_map",
        family="correlation",
        title="Correlation map",
        summary="How all units of a tap, or of two, go together, drawn by their groups, up to 32,768 of them.",
        version=2,
        function=correlation_map,
        params=CorrelationMapParams,
        result=Heatmap,
        check=_check,
        cost=_cost,
        more_inputs=True,
        minimum_rows=4,
        invariance="shifting or rescaling a unit changes at most the sign of its pairs (cosine: rescaling only); ranks "
        "and mutual information ignore any rising function, distance correlation ignores signs too",
        papers=(
            "Feature Selection with Distance Correlation",
            "Convergent Learning: Do different neural networks learn the same representations?",
            "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",
        ),
    ),
)
