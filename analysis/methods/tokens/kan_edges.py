"""Which activation was chosen where? All edges of a Kolmogorov-Arnold layer, with a formula for each.

For every edge over its observed inputs: deviation of the output; family with the largest selection π (of layers without
a selection: with the largest share of the output's deviation) and the entropy of π in nats, 0 for one family, ln S for
S alike; the simple formula that fits best for the numbers it is free to choose (line, square, cube, sine, exponential,
logarithm, tanh, absolute value, bump, each shifted and stretched on a grid) and its R²; the share of inputs outside the
grid. An edge is *idle* where its deviation is below a share of its node's, √Σ_i dev²; without it the node is the same
up to a constant and that much.

Null of R²: the same library on functions with the coefficients in random order, which are as smooth: of splines many
look like some formula. Of idle edges, and of the entropy of shares: the same exchange; of the entropy of π weights
drawn evenly from the simplex, Σ_{k=2..S} 1/k. Constant edges look like no formula. Intervals: of means over nodes
(Student's t); of the loss by pruning a jackknife over groups of samples.

When it lies: a formula that fits where the inputs are says nothing beyond; R² close to its null names nothing; edges
with inputs that go together stand for each other, so that two weak ones may matter; SiLU and splines can cancel, and
shares count both.

Cost: O(edges points basis), and 60 small fits for each input.

References: Z. Yang, J. Zhang, X. Luo, Z. Lu & L. Shen (2024), "Activation space selectable Kolmogorov-Arnold networks";
Z. Liu et al. (2024), "KAN: Kolmogorov-Arnold networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, null_spread
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.kan.idle import formulas_of, idle_edges, lost, of_varying
from analysis.tokens.kan.layer import Measured, measured, quantile_points
from analysis.tokens.kan.reading import MOST_UNITS, Edges, edges_of
from analysis.tokens.kan.symbols import CONSTANT, suggested

TRIED = 8  # inputs whose edges are fitted in each draw of the null
PAPERS = (
    "Activation Space Selectable Kolmogorov-Arnold Networks",
    "Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention",
)
HELP = {
    "edge": "From which input to which node.",
    "deviation": "Of the edge's output over the observed inputs.",
    "share of the node": "Its variance over that of all edges into the node.",
    "idle": "Whether the deviation is below the asked share of the node's.",
    "family": "The family of functions with the largest weight.",
    "entropy": "Of the weights of the families, in nats: 0 for a single one.",
    "formula": "The simple function that explains most of the edge where its inputs are.",
    "R²": "How much of the edge's variance it explains.",
    "above chance": "Whether that is more than 95 % of edges with coefficients in random order reach.",
    "outside the grid": "Share of the inputs.",
}


@dataclass(frozen=True)
class KanEdgesParams:
    idle_below: float = param(
        0.05, "An edge is idle below this share of its node's deviation.", low=0.0, high=1.0
    )
    shown: int = param(100, "Most edges listed, those that vary most.", low=5, high=2000)
    layer: str = param(
        "", "Layer of edges by its name in the checkpoint; empty: the first that reads this tap."
    )
    column: str = param(
        "label", "Classes that edges are fitted to, where the checkpoint has none.", column=True
    )
    draws: int = param(10, "Draws of the null.", low=5, high=500, late=True)
    maximum_rows: int = param(2000, "Most rows; a seeded random part above.", low=20, high=100_000, late=True)


def kan_edges(
    activations, params: KanEdgesParams = KanEdgesParams(), rng=None, progress=no_progress
) -> Table:
    """A line for each edge.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        What the layer of edges reads.

    Returns
    -------
    Table
        Edges that vary most first. Estimates: selection entropy, idle edges, what is lost without them, formulas.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such layer or column; another number of units than the layers read; rows that do not vary; fewer than ten
        finite rows, or two classes of five.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = edges_of(tap, params.layer, params.column, params.maximum_rows, rng)
    progress(0.3, "edges")
    own = measured(found.layer, found.points)
    names, fit = formulas_of(found.layer, found.points)
    draws, reached = [], []
    some = np.linspace(0, found.layer.inputs - 1, min(TRIED, found.layer.inputs)).astype(int)
    for k in range(params.draws):
        progress(0.4 + 0.5 * k / params.draws, "coefficients in random order")
        other = found.layer.exchanged(rng)
        draws.append(measured(other, found.points))
        reached.append(of_varying(*formulas_of(other, found.points, some)))
    reached = np.concatenate(reached)
    reached = reached if len(reached) else np.ones(1)
    idle = idle_edges(own, params.idle_below)
    told = _estimates(found, own, draws, idle, (names, fit), reached, params, rng)
    progress(1.0, "done")
    columns = _columns(found, own, names, fit, float(np.quantile(reached, 0.95)), idle, params.shown)
    total = idle.size
    few = (
        (f"{params.shown:,} of {total:,} edges are listed: those that vary most.",)
        if total > params.shown
        else ()
    )
    return Table(
        title=f"{total:,} edges: {found.layer.name}", columns=columns, index="edge", sort="deviation", help=HELP,
        estimates=told, reading=_reading(found, told), caveats=(*found.notes, *few,
        "A formula is said of the observed inputs alone."),
    )  # fmt: skip


def _columns(found: Edges, own: Measured, names, fit, chance: float, idle, shown: int) -> dict:
    total = np.square(own.deviation).sum(axis=1, keepdims=True)
    share = np.square(own.deviation) / np.where(total > 0, total, 1.0)
    o, i = np.unravel_index(np.argsort(-own.deviation, axis=None, kind="stable")[:shown], idle.shape)
    families = np.array([f.name for f in found.layer.families])
    inputs, nodes = np.array(found.inputs), np.array(found.nodes)
    return {
        "edge": np.array([f"{a} → {b}" for a, b in zip(inputs[i], nodes[o], strict=True)]),
        "deviation": own.deviation[o, i], "share of the node": share[o, i], "idle": idle[o, i],
        "family": families[own.shares[o, i].argmax(axis=1)], "entropy": own.entropy[o, i],
        "formula": names[o, i], "R²": fit[o, i], "above chance": (fit[o, i] > chance) & (names[o, i] != CONSTANT),
        "outside the grid": own.outside[i],
    }  # fmt: skip


def _estimates(found: Edges, own, draws, idle, formulas, reached, params, rng) -> tuple[Estimate, ...]:
    by = f"coefficients in random order over all edges, {len(draws)} draws"
    common = {"n": len(np.unique(found.sample)), "d": idle.size}
    nodes = {"interval": "none: one node"}
    entropy, kinds = own.entropy.mean(axis=1), len(found.layer.families)
    usual = {**null_spread(np.array([d.entropy.mean() for d in draws])), "null_method": by}
    if found.layer.selection is not None:  # which another order of coefficients leaves as it is
        usual = {"null": float(sum(1 / k for k in range(2, kinds + 1))),
                 "null_method": "weights anywhere on the simplex alike (exact mean)"}  # fmt: skip
    ends = mean_interval(entropy, 0.0, float(np.log(max(kinds, 1))))
    ends = (ends | {"interval": "Student's t over nodes"}) if ends else nodes
    still = idle.mean(axis=1)
    pruned = np.array([idle_edges(d, params.idle_below).mean() for d in draws])
    value, half = lost(found, idle, rng)
    loss = {"interval": "none: fewer than three samples"} if half is None else {
        "low": max(value - half, 0.0), "high": value + half,
        "interval": "jackknife over groups of samples"}  # fmt: skip
    names, fit = formulas
    sure, varying = (fit > np.quantile(reached, 0.95)) & (names != CONSTANT), of_varying(names, fit)
    tried = f"{by}, {min(TRIED, found.layer.inputs)} inputs each"
    return (
        Estimate("selection entropy", float(entropy.mean()), **ends, **usual, unit="nats",
                 estimator="mean over edges", **common),
        Estimate("idle edges", float(still.mean()), **share_interval(still), **against(float(still.mean()), pruned),
                 null_method=by, estimator="share of the edges", **common),
        Estimate("lost without idle edges", value, **loss, null=0.0, null_method="edges that are constant",
                 estimator="share of the nodes' variance, constants kept", **common),
        Estimate("edges like a formula beyond chance", float(sure.mean()), **share_interval(sure.mean(axis=1)),
                 null=0.05, null_method=f"R² above 95 % of {tried}", estimator="share of the edges", **common),
        Estimate("median R² of the formula", float(np.median(varying)) if len(varying) else 0.0,
                 interval="none: all edges are seen", null=float(np.median(reached)), null_method=tried,
                 estimator="median over edges that vary", **common),
    )  # fmt: skip


def _reading(found: Edges, told) -> str:
    entropy, idle, loss, like, _ = told
    most = float(np.log(len(found.layer.families)))
    chosen = (
        f"The choice of a family has {entropy.value:.2f} of at most {most:.2f} nats"
        if most > 0
        else "There is one family of functions"
    )
    return (
        f"{chosen}. {idle.value:.0%} of the edges are idle (coefficients in random order: {idle.null:.0%}); without "
        f"them the nodes lose {loss.value:.2%} of their variance. {like.value:.0%} look more like a formula than 95 % "
        "of edges with coefficients in random order."
    )


def _cost(shapes, params: KanEdgesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some, units = min(n, params.maximum_rows), min(k, MOST_UNITS)
    calls = 60.0 * (units + params.draws * TRIED)
    work = 2.0 * some * (8 * units) ** 2
    moved = 30.0 * n * k
    return Cost(
        0.1 + calls * 1e-4 + m.seconds(flops64=work, moved=moved), some * (k * 16.0 + units * 224.0) + 2e5
    )


def _check() -> tuple[CheckLine, ...]:
    """One-hot selections have entropy 0; a sine is named; constant edges are idle and cost nothing."""
    from analysis.methods.tokens.kan_functions import planted

    x = np.linspace(-3, 3, 64)
    names, fit = suggested(x, np.column_stack([np.sin(2 * np.pi / 4.5 * x), 2 * x + 1, x**2, np.ones(64)]))
    rng = np.random.default_rng(0)
    of = np.repeat([0, 1], 60)
    tap = ArrayActivations(np.column_stack([np.where(of, 2.0, -2.0) + rng.standard_normal(120), np.ones(120)]),
                           "two", {"label": of})  # fmt: skip
    found = kan_edges(tap, KanEdgesParams(draws=5))
    layer, rows = (
        planted(rng),
        rng.uniform(-2, 2, (60, 3)),
    )  # edges from input 0 are constant, one family is chosen
    edges = Edges(layer, quantile_points(rows), tuple("abc"), ("n", "m"), rows, np.arange(60), False, ())
    own = measured(layer, edges.points)
    idle = idle_edges(own, 0.05)
    every = np.ones(idle.shape, bool)
    return (
        CheckLine("a sine is named", 1.0, float(names[0] == "sine" and fit[0] > 0.999), 0.0),
        CheckLine("line, square and constant are named", 1.0,
                  float(tuple(names[1:]) == ("line", "square", "constant")), 0.0),
        CheckLine("one family: entropy", 0.0, found.estimates[0].value, 1e-12),
        CheckLine("one-hot selections: entropy", 0.0, float(own.entropy.max()), 0.0),
        CheckLine("constant edges are idle", 1.0, float(idle[:, 0].all() and not idle[:, 1:].any()), 0.0),
        CheckLine("without them: lost", 0.0, lost(edges, idle, rng)[0], 1e-20),
        CheckLine("without all: lost", 1.0, lost(edges, every, rng)[0], 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="kan_edges", family="tokens", title="KAN edges: families, formulas, pruning", version=2,
        function=kan_edges,
        summary="Which family each edge chose, which formula it looks like, and which edges could go.",
        params=KanEdgesParams, result=Table, check=_check, cost=_cost, minimum_rows=20,
        invariance="constants moved between the edges of a node; the order of inputs and nodes", papers=PAPERS,
    ),
)  # fmt: skip
