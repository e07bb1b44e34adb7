"""Which parts of the network carry this answer, and how are they wired? A graph of parts with the effect of each path.

Parts are heads and MLPs (of a network without blocks groups of units of its layers, of a probe units). Effect of a
part: do(corrupted) less the run as it is. Effect of an edge: the answer's change where the sender is corrupted on this
one path, all other paths being clean (`analysis.interventions.circuits`). All edges are screened with slopes, the
strongest are run one by one; drawn are those that were run and are not 0 after false-discovery control over all that
were run. Columns hold each part's effect with zero, the mean and another sample's values in its place.

In a linear network the effect of a path is the product of weights and what is changed at its start, and paths add up.

Beside it: the share of the answer that the drawn edges alone keep (faithfulness) and that is left without them (low:
complete), against random sets of as many edges into each depth; how well screening ranks; how many of the strongest
edges stay when what goes into the network is noisy (of words: by two halves of the samples), against random sets.
Interval: Student's t or bootstrap over samples.

Verdict: what each of the three strongest paths puts at its receiver (of a path to the answer its sender, corrupted) is
split into what is connected to the answer and what is not, and checked for dormancy and for values off the natural
range (`analysis.interventions.move_verdict`).

When it lies: zero is off the distribution, and another sample's values say what differs between the two; edges of
opposite effect hide each other in a mean over samples; slopes miss what saturates, so that an edge may be screened out
that matters; a faithful graph need not be the only one.

Cost: rows of n samples: 3 parts for the effects of parts, 4 parts to screen (with and without noise), one for each edge
that is run, parts x (2 + random sets) for the shares, 12 for each of three verdicts.

References: "Causal analysis for robust interpretability of neural networks" (O. Ahmad et al. 2024); K. Wang et al.
(2023), "Interpretability in the wild" (path patching); A. Syed et al. (2023), "Attribution patching outperforms
automated circuit discovery".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, Bench, BenchParams, open_bench, refuse_unmoved
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.circuit_edges import Edges, edge_claim, edges_of, noisy, share_kept
from analysis.interventions.circuit_facts import circuit_estimates, matched_sets, share_of, tested
from analysis.interventions.circuits import BY_HEADS, KINDS, Graph, graph_of, wired
from analysis.interventions.interventions import ABLATIONS, MEAN
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PARTS, FALSE, NAMED = 24, 0.05, 3  # of a small network, for the estimate; paths that the reading names


@dataclass(frozen=True)
class CircuitParams(BenchParams):
    parts: str = param(BY_HEADS, "What the parts are.", choices=KINDS)
    way: str = param(MEAN, "What stands in the place of a corrupted part.", choices=ABLATIONS)
    edges: int = param(48, "Edges that are run one by one, the strongest.", low=4, high=5000)
    groups: int = param(4, "Groups of units of a layer, where there are no blocks.", low=1, high=64)
    most: int = param(32, "Most units of a probe; those that vary most.", low=2, high=400)
    noise: float = param(0.1, "Noise on what goes in, in standard deviations.", low=0.0, high=10.0)
    random: int = param(4, "Random sets of edges.", label="random sets", low=2, high=100)
    maximum_samples: int = param(
        100, "Most samples; a seeded random subset above. With few, no path may be told from 0.", low=8, high=10_000,
        late=True,
    )  # fmt: skip


def circuit(activations, params: CircuitParams = CircuitParams(), rng=None, progress=no_progress) -> Scatter:
    """The graph of an answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its units are the parts.

    Returns
    -------
    Scatter
        A point for each part and one for the answer, by depth; edges that were run and are not 0. Estimates: the shares
        kept and left, agreement of screening, stable edges.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no parts; an answer that hangs on none.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    graph = graph_of(bench, params.parts, params.groups, params.most)
    effects, batches = {}, None
    for k, way in enumerate(ABLATIONS):
        progress(0.1 + 0.1 * k / 3, f"corrupting parts ({way})")
        own = wired(bench, graph, way, rng)
        effects[way] = np.concatenate([w.nodes() for w in own], axis=1)
        batches = own if way == params.way else batches
    refuse_unmoved(effects[params.way], bench)
    edges = edges_of(graph, batches, params.edges, progress, (0.2, 0.6))
    mean, q = tested(edges)
    drawn = np.flatnonzero(edges.verified & (q <= FALSE))
    shares = _shares(batches, graph, drawn, params, rng, progress)
    moved = noisy(batches, params.noise, rng)
    again = edges_of(graph, moved, 0, progress, (0.8, 0.9)).screened if moved else None
    claims = [edge_claim(graph, batches, e) for e in _best(mean, drawn)]
    verdict = verdict_on(bench, claims, rng, progress, (0.9, 1.0))
    estimates = (*circuit_estimates(edges, again, shares, drawn, bench, rng), *verdict.estimates)
    progress(1.0, "done")
    return Scatter(
        title=f"Parts and paths of the answer of {bench.what}",
        reading=f"{_reading(graph, mean, q, drawn, shares, params, edges)} {verdict.sentence}".rstrip(),
        caveats=(*bench.notes, *_caveats(graph, edges, drawn, params, bench), *verdict.caveats), estimates=estimates,
        positions=_positions(graph), rows=np.arange(len(graph.names)), of="parts",
        axes=("depth, from the input to the answer", ""), names="name",
        columns=_columns(graph, effects, params.way), colour="effect", edge_name="effect of the path",
        edges=graph.edges[drawn].astype(np.int32) if len(drawn) else None,
        edge_values=mean[drawn] if len(drawn) else None,
    )  # fmt: skip


def _shares(batches, graph: Graph, drawn, params, rng, progress):
    """(2, n) of the drawn edges alone, and of all others; of random sets and of all edges outside each, [(2, n)]
    each."""
    every = np.zeros(len(graph.edges), dtype=bool)
    own = every.copy()
    own[drawn] = True
    empty = np.concatenate([w.with_edges(every) for w in batches])
    chosen = matched_sets(graph, own, params.random, rng) if len(drawn) else []
    found = []
    for k, kept in enumerate((own, ~own, *chosen, *(~c for c in chosen))):
        progress(0.6 + 0.2 * k / (2 + 2 * len(chosen)), "running sets of edges")
        found.append(share_kept(batches, kept, empty))
    return found[0], found[1], found[2 : 2 + len(chosen)], found[2 + len(chosen) :]


def _positions(graph: Graph) -> np.ndarray:
    stage = np.append(graph.stage, graph.stage.max() + 1).astype(np.float64)
    up = np.zeros(len(stage))
    for s in np.unique(stage):
        own = np.flatnonzero(stage == s)
        up[own] = np.arange(len(own)) - (len(own) - 1) / 2
    return np.column_stack([stage, up])


def _columns(graph: Graph, effects, way: str) -> dict[str, np.ndarray]:
    own = effects[way]
    mean, n = own.mean(axis=1), own.shape[1]
    half = stdtrit(n - 1, 0.975) * own.std(axis=1, ddof=1) / np.sqrt(n)
    numbers = {"effect": mean, "low": mean - half, "high": mean + half}
    numbers |= {f"effect ({w})": e.mean(axis=1) for w, e in effects.items()}
    kinds = np.array([*(c.kind for c in graph.parts), "answer"])
    return {
        "name": np.array(graph.names), "kind": kinds, "layer": np.array([*(c.layer for c in graph.parts), -1]),
        **{name: np.append(v, 0.0) for name, v in numbers.items()},
    }  # fmt: skip


def _best(mean, drawn) -> np.ndarray:
    return drawn[np.argsort(-np.abs(mean[drawn]), kind="stable")[:NAMED]]


def _reading(graph: Graph, mean, q, drawn, shares, params, edges: Edges) -> str:
    if not len(drawn):
        best = int(np.argmin(np.where(edges.verified, q, np.inf)))
        return (
            f"No path can be told from 0 with {edges.effect.shape[1]:,} samples: {int(edges.verified.sum()):,} of "
            f"{len(graph.edges):,} were run, and the surest, {graph.edge_name(best)} ({mean[best]:+.3g}), would be a "
            f"false discovery in {q[best]:.0%} of such cases. Take more samples, or ask for one answer."
        )
    told = ", ".join(f"{graph.edge_name(e)} ({mean[e]:+.3g})" for e in _best(mean, drawn))
    return (
        f"Most hangs on {told}. {len(drawn):,} of {len(graph.edges):,} paths were run and are not 0. Alone they keep "
        f"{share_of(shares[0]):.0%} of the {params.number}; without them {share_of(shares[1]):.0%} is left."
    )


def _caveats(graph: Graph, edges: Edges, drawn, params, bench: Bench) -> list[str]:
    return [
        f"{int(edges.verified.sum()):,} paths were run, the others only screened by slopes; a path that is not drawn "
        "may still matter.",
        f"Corrupted is {params.way}; zero is off the distribution, so compare the three columns of effects.",
        f"{bench.passes:,} rows went through {bench.what}.",
    ]


def _cost(shapes, params: CircuitParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples, parts = min(n, params.maximum_samples), min(k, params.most)
    rows = samples * (parts * (9 + params.random) + params.edges + NAMED * (ROWS + 2))
    held = 40.0 * n * k + 60.0 * samples * parts * 8
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 2e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: paths are units to the answer, they add up, and all of them keep everything."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal((40, 3))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = CircuitParams(reader=PROBE)
    found = circuit(tap, params)
    bench = open_bench(tap, params, np.random.default_rng(0), no_progress, (0, 0.1))
    graph = graph_of(bench, params.parts, params.groups, params.most)
    own = wired(bench, graph, MEAN, rng)
    every = np.ones(len(graph.edges), dtype=bool)
    added = edges_of(graph, own, 0, no_progress, (0, 1)).effect.sum(axis=0)
    y, none = (np.concatenate([w.with_edges(e) for w in own]) for e in (every, ~every))
    effect = np.abs(found.columns["effect (resample)"][:5])
    return (
        CheckLine("all edges give the answer as it is", 0.0, float(np.abs(y - bench.clean).max()), 1e-9),
        CheckLine("paths add up to corrupting everything", 0.0, float(np.abs(y + added - none).max()), 1e-9),
        CheckLine("the planted unit has the largest effect", 0.0, float(effect.argmax()), 0.0),
        CheckLine("a constant unit has none", 0.0, float(effect[1]), 1e-9),
    )


METHODS = (
    Method(
        id="circuit",
        family="attribution",
        title="Which parts and paths carry this answer?",
        summary="Heads, MLPs or groups of units as a graph, each path run by itself, with what the graph alone keeps.",
        version=3,
        function=circuit,
        params=CircuitParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Causal Analysis for Robust Interpretability of Neural Networks",),
        libraries=("torch",),
    ),
)
