"""Over-smoothing on a graph: how fast features of nodes become alike as they are averaged over neighbours.

    Â = D^(-1/2) (A + I) D^(-1/2);   of one tap the blocks X, Â X, Â² X, … ;   of several taps each layer as it is

(`compute.neighbours.graph_smoothing`). Samples are nodes. Edges come from a sample column that lists each node's
neighbours by id, or else are the nearest neighbours in the first tap. Drawn are σ2 / σ1, the entropy rank of the
singular values (not centred) over the largest possible, the Dirichlet energy share, and the share of the sum of squares
outside the directions that last for ever, one for each connected piece. Of one tap also |λ|^k, the rate that theory
gives to what passes slowest.

Null: features exchanged between the nodes of the same graph: energy and passing share of features that know no edges.

When it lies: rank 1 before the output need not hurt; isolated nodes are pieces of their own and never smooth; nearest
neighbours of the tap itself are smooth by construction; residual connections and weights of a real network counteract
what the bare operator does; one graph is one sample, so there are no intervals.

Cost: O(n d min(n, d)) for each depth or layer and O(edges d) for each null; memory O(n d), and n² up to 3,000 nodes.

References: J. Sun, L. Zhang, G. Chen et al. (2023), "Feature expansion for graph neural networks"; K. Oono & T. Suzuki
(2020), "Graph neural networks exponentially lose expressive power for node classification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.neighbours.graph_laplacian import adjacency
from analysis.compute.neighbours.graph_smoothing import (
    Graph,
    graph_of,
    linked,
    next_eigenvalue,
    smoothed,
    smoothness,
)
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, TooLarge
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RATIO, RANK, ENERGY, PASSING, THEORY = (
    "σ₂ / σ₁", "entropy rank over the most", "Dirichlet energy share", "share that passes", "|λ| to the depth",
)  # fmt: skip
FEWEST, DRAWS, MOST_NODES = 5, 3, 50_000


@dataclass(frozen=True)
class OverSmoothingParams:
    neighbours: str = param(
        "", "Sample column with the ids of each node's neighbours; empty: nearest neighbours.", column=True
    )
    k: int = param(10, "Nearest neighbours of a node where no column is given.", low=1, high=100)
    depth: int = param(16, "How often one tap is averaged over neighbours.", low=1, high=200)


def over_smoothing(
    *taps, params: OverSmoothingParams = OverSmoothingParams(), rng=None, progress=no_progress
) -> Curve:
    """Rank and smoothness over depth.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        Features of nodes; several: the layers of one network in their order, matched by id.

    Returns
    -------
    Curve
        x = depth k, or the layer; the series named above. Estimates: energies at both ends, the rate, the pieces.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge
        No such column; no edge; equal samples; fewer than five nodes; more than 50,000.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    links = sample_column(taps[0], params.neighbours) if params.neighbours else None
    values, ids, notes = _nodes(taps, rng, progress)
    progress(0.3, "reading the graph")
    graph = _graph(values[0], ids, links, taps[0], params)
    alone = len(values) == 1
    blocks = smoothed(graph, values[0], params.depth) if alone else iter(values)
    steps, found, null = params.depth + 1 if alone else len(values), [], []
    for i, x in enumerate(blocks):
        progress(0.4 + 0.4 * i / steps, "measuring smoothness")
        found.append(smoothness(graph, x))
    for i in range(DRAWS):
        progress(0.8 + 0.06 * i, "exchanging nodes")
        order = rng.permutation(len(ids))
        mixed = smoothed(graph, values[0][order], params.depth) if alone else (x[order] for x in values)
        null.append([(s.energy, s.passing) for s in (smoothness(graph, x, ranks=False) for x in mixed)])
    rate = next_eigenvalue(graph, rng) if alone else None
    most = np.array([min(v.shape) for v in values] if not alone else [min(values[0].shape)] * steps)
    series = {RATIO: np.array([s.ratio for s in found]), RANK: np.array([s.rank for s in found]) / most,
              ENERGY: np.array([s.energy for s in found]), PASSING: np.array([s.passing for s in found])}  # fmt: skip
    depth = np.arange(steps) + (0 if alone else 1)
    if rate is not None:
        series[THEORY] = rate**depth
    chance = np.mean(null, axis=0)
    names = tap_names([t.name for t in taps])
    estimates = _estimates(series, chance, graph, rate, depth, values)
    progress(1.0, "done")
    return Curve(
        title=f"Smoothing of {names[0]}" if alone else f"Smoothness of {len(taps)} layers",
        reading=_reading(series, chance, graph, rate, depth, alone),
        caveats=(*notes, *graph.notes, *_caveats(graph, rate)),
        estimates=estimates, x=depth, x_name="times averaged over neighbours" if alone else "layer",
        x_labels=() if alone else names, y_name="share",
        series=series, null={ENERGY: chance[:, 0], PASSING: chance[:, 1]},
    )  # fmt: skip


def _nodes(taps, rng, progress) -> tuple[tuple[np.ndarray, ...], np.ndarray, tuple[str, ...]]:
    """Features of each tap (n, d), the ids of the nodes, and notes."""
    n = taps[0].layout.n_samples
    if n > MOST_NODES:
        raise TooLarge(
            f"{n:,} nodes", f"at most {MOST_NODES:,}", "A part of the nodes would be another graph"
        )
    if len(taps) > 1:
        data = common_samples(taps, rng, maximum=MOST_NODES, minimum=FEWEST, progress=progress)
        return data.values, data.ids, data.notes
    x, kept, notes = pooled_samples(taps[0], "mean", np.arange(n), progress, (0.0, 0.3))
    refuse_few(taps[0].name, len(x), FEWEST, "node(s)")
    if (x == x[0]).all():
        raise InputError(f"all nodes of {taps[0].name} are equal", "nodes that differ", "Choose another tap")
    return (x,), np.asarray(taps[0].samples["id"]).astype(str)[kept], tuple(notes)


def _graph(x, ids, links, tap, params) -> Graph:
    if links is None:
        k = min(params.k, len(ids) - 1)
        found = nearest(x, k)
        said = f"Edges are the {k} nearest neighbours in {tap.name}, on which it is smooth by construction."
        return graph_of(adjacency(found.indices, found.distances), (said,))
    own = np.asarray(tap.samples["id"]).astype(str)
    order = np.argsort(own)
    mine = np.asarray(links)[order[np.searchsorted(own, ids, sorter=order)]]
    edges, unknown = linked(ids, mine)
    said = (f"{unknown} neighbour(s) are no sample of these taps and were left out.",) if unknown else ()
    return graph_of(edges, said)


def _estimates(series, chance, graph: Graph, rate, depth, values) -> tuple[Estimate, ...]:
    made, out = {"n": len(values[0]), "d": values[0].shape[1]}, []
    mixed = f"features exchanged between nodes, {DRAWS} draws"
    for i in (0, -1):
        for c, name in enumerate((ENERGY, PASSING)):
            out.append(Estimate(f"{name} at {depth[i]}", float(series[name][i]), null=float(chance[i, c]),
                                null_method=mixed, estimator="sum of squares, not centred", **made))  # fmt: skip
    out.append(
        Estimate("connected pieces", graph.pieces, estimator="edges and self-loops", unit="pieces", **made)
    )
    if rate is not None:
        out.append(
            Estimate(
                "slowest rate |λ|", rate, estimator="largest |eigenvalue| below the lasting ones", **made
            )
        )
    return tuple(out)


def _reading(series, chance, graph: Graph, rate, depth, alone: bool) -> str:
    energy, passing = series[ENERGY], series[PASSING]
    said = (
        f"The graph has {graph.edges:,} edges and {graph.pieces:,} connected piece(s). The Dirichlet energy share goes "
        f"from {energy[0]:.3g} ({chance[0, 0]:.3g} for exchanged nodes) to {energy[-1]:.3g}, the share that is not yet "
        f"smoothed away for ever from {passing[0]:.3g} to {passing[-1]:.3g}"
    )
    if not alone:
        return said + f" over {len(depth)} layers."
    if rate is None:
        return said + f" after {depth[-1]} averagings."
    return (
        said + f" after {depth[-1]} averagings; what passes slowest falls to {rate:.4f} of itself each time."
    )


def _caveats(graph: Graph, rate) -> list[str]:
    notes = ["One graph is one sample: there are no intervals."]
    if graph.pieces > 1:
        notes.append(f"The rank cannot be smoothed below what {graph.pieces:,} pieces keep.")
    if rate is not None and rate > 0.999:
        notes.append(
            "The slowest rate is so near to 1 that smoothing to the end takes thousands of averagings."
        )
    return notes


def _cost(shapes, params: OverSmoothingParams) -> Cost:
    m, (n, d) = machine(), shapes[0]
    steps = params.depth + 1 if len(shapes) == 1 else len(shapes)
    flops = (
        steps * 6.0 * n * d * min(n, d)
        + (4.0 * n**3 if n <= 3000 and len(shapes) == 1 else 0.0)
        + 2.0 * n * n * d
    )
    moved = steps * (1 + DRAWS) * n * (d + 20.0) * 8 * 20
    dense = 24.0 * n * n if n <= 3000 and len(shapes) == 1 else 0.0
    search = 0.0 if params.neighbours else min(8.0 * n * n, 1.5e8)  # of nearest neighbours, in blocks
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.05, 8.0 * n * (6.0 * d + 60) + dense + search)


def _ring(rng, n: int = 60, d: int = 5, pieces: int = 1) -> ArrayActivations:
    """Random features of nodes on rings."""
    size = n // pieces
    links = [" ".join(str(i // size * size + (i % size + s) % size) for s in (1, 2, 5)) for i in range(n)]
    return ArrayActivations(rng.standard_normal((n, d)), samples={"links": np.array(links)})


def _check() -> tuple[CheckLine, ...]:
    """A connected graph: σ2 / σ1 falls by |λ| at each step once only the slowest is left. Three pieces
    keep rank three. Exchanged features have the energy 1 - tr Â / n."""
    rng = np.random.default_rng(30)
    tap = _ring(rng, d=12)
    one = over_smoothing(tap, params=OverSmoothingParams(neighbours="links", depth=120))
    rate = one.estimates[-1].value
    fall = one.series[RATIO][100] / one.series[RATIO][80]
    three = over_smoothing(_ring(rng, pieces=3), params=OverSmoothingParams(neighbours="links", depth=200))
    turn = np.exp(2j * np.pi * np.outer(np.arange(60), (1, 2, 5)) / 60).real
    by_hand = np.sort(np.abs((1 + 2 * turn.sum(axis=1)) / 7))[-2]
    left = float(three.series[RANK][-1])
    return (
        CheckLine("slowest rate of a ring, in closed form", by_hand, rate, 1e-9),
        CheckLine("fall of σ₂ / σ₁ over 20 steps", 20 * np.log(rate), float(np.log(fall)), 0.05),
        CheckLine("three pieces: entropy rank at the end, at most", 3 / 5, left, 1e-3, "at most"),
        CheckLine("three pieces: and more than one", 1.5 / 5, left, 0.0, "at least"),
        CheckLine("three pieces counted", 3.0, three.estimates[4].value, 0.0),
        CheckLine("energy of exchanged features", 6 / 7, one.estimates[0].null, 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="over_smoothing", family="rank", title="Over-smoothing on a graph", version=2, function=over_smoothing,
        summary="How fast features of nodes become alike as they are averaged over neighbours, or from layer to layer.",
        params=OverSmoothingParams, result=Curve, check=_check, cost=_cost, more_inputs=True, minimum_rows=FEWEST,
        invariance="the order of nodes; rotating the features or scaling them together",
        papers=("Feature Expansion for Graph Neural Networks",),
    ),
)  # fmt: skip
