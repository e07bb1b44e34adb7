"""What function does each edge of a Kolmogorov-Arnold layer compute, where its inputs are?

    φ_oi(x) = Σ_s π_ois φ_ois(x),  node o = Σ_i φ_oi(x_i)

The edges into one node whose outputs vary most are drawn from the lowest to the highest input, beside the density of
the inputs and the best straight line over it (null: what a plain weight would do). Outside the grid of the splines the
plane is shaded: there a spline is 0 and what is left is the base alone. A checkpoint's layer is read at the tap that it
reads; without one, B-spline edges are fitted from the units to the classes of a column, and this is said.

Interval of an edge's deviation: jackknife over groups of samples; of a fit this holds the fit fixed. Null: the same
coefficients in random order over all edges, of the edge that varies most the one that varies most then, and so on.

When it lies: edges of one node are told apart only up to constants, and those whose inputs go together stand for each
other; a lively function where no input falls means nothing (see the density); the deviation on these data is not that
on others; a fitted layer says what could be read there, not what the network reads.

Cost: reading the layer, then O(inputs points basis nodes).

References: Z. Liu et al. (2024), "KAN: Kolmogorov-Arnold networks"; Z. Yang, J. Zhang, X. Luo, Z. Lu & L. Shen (2024),
"Activation space selectable Kolmogorov-Arnold networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, share_interval
from analysis.errors import NotFound
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.kan import bases
from analysis.tokens.kan.layer import EdgeLayer, Family
from analysis.tokens.kan.reading import MOST_UNITS, Edges, edges_of

PLACES, DENSITY, OUTSIDE = 160, "density of inputs", "outside the grid"
PAPERS = (
    "Activation Space Selectable Kolmogorov-Arnold Networks",
    "Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention",
)


@dataclass(frozen=True)
class KanFunctionsParams:
    node: int = param(1, "Node whose edges are drawn, counted from 1.", low=1, high=100_000)
    shown: int = param(6, "Most edges drawn, those that vary most.", low=1, high=20)
    layer: str = param(
        "", "Layer of edges by its name in the checkpoint; empty: the first that reads this tap."
    )
    column: str = param(
        "label", "Classes that edges are fitted to, where the checkpoint has none.", column=True
    )
    draws: int = param(20, "Draws of the null.", low=9, high=500, late=True)
    maximum_rows: int = param(2000, "Most rows; a seeded random part above.", low=20, high=100_000, late=True)


def kan_functions(
    activations, params: KanFunctionsParams = KanFunctionsParams(), rng=None, progress=no_progress
) -> Curve:
    """Functions of the edges into a node.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        What the layer of edges reads.

    Returns
    -------
    Curve
        φ over the input for each edge less its mean over the data, the density, and what lies outside the grid.
        Estimates: deviations of the edges, and the share of inputs outside.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such node, layer or column; another number of units than the layers read; rows that do not vary; fewer than
        ten finite rows, or two classes of five.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = edges_of(tap, params.layer, params.column, params.maximum_rows, rng)
    layer = found.layer
    if params.node > layer.outputs:
        raise NotFound(f"node {params.node} of {layer.name}", f"1 to {layer.outputs}")
    progress(0.4, "edges")
    spread = _spread(layer, found, params.node - 1)
    order = np.argsort(-spread, kind="stable")[: params.shown]
    chance = np.empty((params.draws, layer.inputs))
    for k in range(params.draws):
        progress(0.5 + 0.4 * k / params.draws, "coefficients in random order")
        chance[k] = _spread(layer.exchanged(rng), found, params.node - 1)
    told = _estimates(found, params.node - 1, order, spread, chance, rng)
    progress(1.0, "done")
    return Curve(
        title=f"Edges into {found.nodes[params.node - 1]}, {layer.name}", **_lines(found, params.node - 1, order),
        estimates=told, reading=_reading(found, params.node - 1, order, spread, told),
        caveats=(*found.notes, "Each edge is drawn less its mean over the data: constants belong to the node.",
                 "Dashed is the best straight line over the data; the density has no scale."),
    )  # fmt: skip


def _spread(layer: EdgeLayer, found: Edges, node: int) -> np.ndarray:
    """(I,) deviation of each edge into a node."""
    return np.array([layer.edges(found.points[i], i)[:, node].std() for i in range(layer.inputs)])


def _axis(found: Edges, order: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """(name, middles (k,), halves (k,)): inputs as they are where all edges have one grid, else on that of each."""
    spans = np.array([found.layer.span(i) for i in order])
    seen = np.array([[found.points[i].min(), found.points[i].max()] for i in order])
    ends = np.where(np.isfinite(spans), spans, seen)
    width = ends[:, 1] - ends[:, 0]
    alike = (
        np.ptp(spans[:, 0]) < 1e-6 * width.max()
        if np.isfinite(spans).all()
        else width.max() < 3 * width.min()
    )
    if alike:
        return "input", np.zeros(len(order)), np.ones(len(order))
    name = "input, its grid from -1 to 1" if np.isfinite(spans).all() else "input, its range from -1 to 1"
    return name, ends.mean(axis=1), np.maximum(width / 2, 1e-300)


def _lines(found: Edges, node: int, order: np.ndarray) -> dict:
    layer, (axis, middle, half) = found.layer, _axis(found, order)
    seen = (found.points[order] - middle[:, None]) / half[:, None]
    width = float(seen.max() - seen.min()) or 1.0
    u = np.linspace(seen.min() - 0.05 * width, seen.max() + 0.05 * width, PLACES)
    series, null = {}, {}
    for k, i in enumerate(order):
        own = layer.edges(found.points[i], i)[:, node]
        series[found.inputs[i]] = layer.edges(middle[k] + half[k] * u, i)[:, node] - own.mean()
        varies = np.ptp(seen[k]) > 0
        slope = np.polyfit(seen[k] - seen[k].mean(), own, 1)[0] if varies else 0.0
        null[found.inputs[i]] = slope * (u - seen[k].mean())
    low, high = (float(f(v)) for f, v in ((np.min, list(series.values())), (np.max, list(series.values()))))
    heights, edges = np.histogram(seen.ravel(), bins=40, range=(u[0], u[-1]))
    density = np.interp(u, (edges[1:] + edges[:-1]) / 2, heights / max(heights.max(), 1))
    series[DENSITY] = low + 0.5 * (high - low) * density
    ends = (np.array([layer.span(i) for i in order]) - middle[:, None]) / half[:, None]
    beyond = np.any([(u < a) | (u >= b) for a, b in ends], axis=0)
    bands, controls = {}, (DENSITY,)
    if beyond.any():  # a band without height where the grid is
        floor = np.full(PLACES, low)
        series[OUTSIDE] = floor
        bands, controls = {OUTSIDE: (floor, np.where(beyond, high, low))}, (DENSITY, OUTSIDE)
    return {"x": u, "x_name": axis, "y_name": "output of the edge, less its mean", "series": series, "null": null,
            "low": {k: v[0] for k, v in bands.items()}, "high": {k: v[1] for k, v in bands.items()},
            "controls": controls}  # fmt: skip


def _estimates(found: Edges, node: int, order, spread, chance, rng) -> tuple[Estimate, ...]:
    layer, of = found.layer, np.unique(found.sample, return_inverse=True)[1].reshape(-1)
    groups = groups_of(int(of.max()) + 1, rng)[of]
    by = f"coefficients in random order, the edge of the same rank, {len(chance)} draws"
    ranked = -np.sort(-chance, axis=1)  # edges are chosen by what they vary
    common = {"n": int(of.max()) + 1, "d": layer.inputs}
    out = []
    for rank, i in enumerate(order):
        value = layer.edges(found.x[:, i // layer.positions], i)[:, node]
        half = jackknife_half(np.array([value[groups != g].std() for g in range(groups.max() + 1)]))
        ends = {"interval": "none: fewer than three samples"} if half is None else {
            "low": max(float(spread[i] - half), 0.0), "high": float(spread[i] + half),
            "interval": "jackknife over groups of samples"}  # fmt: skip
        out.append(Estimate(f"deviation of the output, {found.inputs[i]}", float(spread[i]), **ends,
                            **against(float(spread[i]), ranked[:, rank]), null_method=by,
                            estimator="over 64 quantiles of the input", **common))  # fmt: skip
    x = found.x[:, order // layer.positions]
    ends = np.array([layer.span(i) for i in order])
    beyond = np.bincount(of, ((x < ends[:, 0]) | (x >= ends[:, 1])).mean(axis=1)) / np.bincount(of)
    out.append(Estimate("inputs outside the grid", float(beyond.mean()), **share_interval(beyond),
                        null_method="none: a grid may hold all inputs", estimator="share of the rows",
                        **common))  # fmt: skip
    return tuple(out)


def _reading(found: Edges, node: int, order, spread, told) -> str:
    first, total = order[0], float(np.square(spread).sum())
    share = float(np.square(spread[order]).sum()) / total if total > 0 else 0.0
    return (
        f"Of {found.layer.inputs} edges into {found.nodes[node]} the one from {found.inputs[first]} varies most, by "
        f"{told[0].value:.3g} (coefficients in random order: {told[0].null:.3g}). The {len(order)} that are drawn hold "
        f"{share:.0%} of the edges' variance; {told[-1].value:.1%} of their inputs lie outside the grid."
    )


def _cost(shapes, params: KanFunctionsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some, units = min(n, params.maximum_rows), min(k, MOST_UNITS)
    work = 2.0 * some * (8 * units) ** 2 + params.draws * units * 64 * 8 * 20.0
    return Cost(0.1 + m.seconds(flops64=work, moved=30.0 * n * k), some * (k * 16.0 + units * 8 * 28.0) + 2e5)


def planted(rng: np.random.Generator, inputs: int = 3) -> EdgeLayer:
    """Two nodes whose edges from input 0 are constant, and a line where splines lie on their own knots."""
    grid = bases.even_knots(-2.0, 2.0, 8, 3)
    c = rng.standard_normal((2, inputs, 11))
    c[:, 0], middle = 1.0, (grid[1:-3] + grid[2:-2] + grid[3:-1]) / 3
    c[:, 1] = middle
    spline = Family(
        bases.SPLINE, c, lambda x, i: bases.b_splines(x, grid, 3), np.tile([-2.0, 2.0], (inputs, 1))
    )
    wave = Family(bases.FOURIER, 0.1 * rng.standard_normal((2, inputs, 4)), lambda x, i: bases.fourier(x, 4))
    chosen = np.zeros((2, inputs, 2))
    chosen[..., 0] = 1.0
    return EdgeLayer("planted", (spline, wave), chosen)


def _check() -> tuple[CheckLine, ...]:
    """Splines add up to 1: constant coefficients are a constant edge; those at their knots' means are the line."""
    rng = np.random.default_rng(0)
    layer, x = planted(rng), np.linspace(-1.99, 1.99, 50)
    of = np.repeat([0, 1], 100)
    tap = ArrayActivations(np.column_stack([np.where(of, 2.0, -2.0) + rng.standard_normal(200),
                                            rng.standard_normal(200)]), "two", {"label": of})  # fmt: skip
    fit = kan_functions(tap, KanFunctionsParams(draws=9))
    return (
        CheckLine("constant coefficients", 1.0, float(layer.edges(x, 0).min()), 1e-12),
        CheckLine("linear coefficients: the line", 0.0, float(np.abs(layer.edges(x, 1)[:, 0] - x).max()), 1e-12),
        CheckLine("fit: the unit that tells varies most", 1.0, float(next(iter(fit.series)) == "0"), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="kan_functions", family="tokens", title="Functions of KAN edges", version=3, function=kan_functions,
        summary="The learned function on each edge into a node, over the density of its inputs and its spline grid.",
        params=KanFunctionsParams, result=Curve, check=_check, cost=_cost, minimum_rows=20,
        invariance="constants moved between the edges of a node; the order of inputs and nodes", papers=PAPERS,
    ),
)  # fmt: skip
