"""What is known about a set of edges: which are not 0, what they keep of the answer, how firm they are."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtr

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.rank_agreement import spearman
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.set_overlap import jaccard, jaccard_by_chance, random_sets
from analysis.interventions.bench import Bench
from analysis.interventions.circuit_edges import Edges
from analysis.interventions.circuits import Graph
from analysis.results import Estimate


def tested(edges: Edges) -> tuple[np.ndarray, np.ndarray]:
    """Mean effects (E,), and q of their being 0, of those that were run; 1 for the others."""
    x = edges.effect
    n, mean = x.shape[1], x.mean(axis=1)
    error = x.std(axis=1, ddof=1) / np.sqrt(n)
    real = edges.verified & (np.abs(mean) > 1e-6 * np.abs(mean).max(initial=0))
    p = np.where(real, np.minimum(2 * stdtr(n - 1, -np.abs(mean) / np.maximum(error, 1e-300)), 1.0), np.nan)
    return mean, np.nan_to_num(benjamini_hochberg(p, tests=max(len(edges.screened), 1)), nan=1.0)


def matched_sets(graph: Graph, chosen: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(draws, E) bool random sets of as many edges into every depth as `chosen` (E,) has: those of all edges alike
    rarely join the input to the answer, and against such nothing is hard to beat."""
    stage = np.append(graph.stage, graph.stage.max() + 1)[graph.edges[:, 1]]
    found = np.zeros((draws, len(chosen)), dtype=bool)
    for s in np.unique(stage[chosen]):
        own = np.flatnonzero(stage == s)
        found[:, own] = random_sets(np.full(draws, int(chosen[own].sum())), len(own), rng)
    return found


def share_of(both: np.ndarray) -> float:
    """Ratio of the means of `share_kept`."""
    below = float(both[1].sum())
    return float(both[0].sum()) / below if below else 0.0


def circuit_estimates(edges: Edges, again, shares, drawn, bench: Bench, rng) -> tuple[Estimate, ...]:
    """`again`: edges screened under noise, or None; `shares` of the `drawn` edges, all others, random sets, all outside
    each of these."""
    n, d, made = bench.n, bench.made.source.shape[1], []
    chance, left = (np.array([share_of(b) for b in sets]) for sets in shares[2:])
    for name, both, null in (("kept by the drawn edges alone", shares[0], chance),
                             ("left without the drawn edges", shares[1], left)):  # fmt: skip
        if both[1].sum() != 0:
            both = both * np.sign(both[1].sum())
            how = {} if not len(null) else {
                "null": float(null.mean()), "null_low": float(null.min()), "null_high": float(null.max()),
                "null_method": f"{len(null)} random sets of as many edges into each depth"}  # fmt: skip
            made.append(Estimate(name, share_of(both), *ratio_interval(both[0], both[1], rng), **how, n=n, d=d,
                                 interval="bootstrap over samples", estimator="share of the answer beyond that of no "
                                 "edges"))  # fmt: skip
    run = np.flatnonzero(edges.verified)
    ranks = (
        spearman(edges.screened[run].mean(axis=1), edges.effect[run].mean(axis=1), rng)
        if len(run) > 2
        else None
    )
    if ranks is not None:
        made.append(Estimate("agreement of screening and running", ranks.value, null=0.0, p_value=ranks.p,
                             n=len(run), d=d, null_method="orders of one side", estimator="Spearman",
                             interval="none: the edges of this network are all there are"))  # fmt: skip
    k = max(1, min(len(drawn), len(edges.screened) // 4))
    sets = np.zeros((2, len(edges.screened)), dtype=bool)
    half = rng.permutation(n) < n // 2
    both = (
        (edges.screened, again) if again is not None else (edges.screened[:, half], edges.screened[:, ~half])
    )
    for own, found in zip(sets, both, strict=True):
        own[np.argsort(-np.abs(found.mean(axis=1)), kind="stable")[:k]] = True
    between = "under noise" if again is not None else "by two halves of the samples"
    made.append(Estimate(f"of the {k} strongest edges, shared {between}", float(jaccard(sets)[0, 1]), n=n, d=d,
                         null=float(jaccard_by_chance(np.array([k, k]), sets.shape[1])[0, 1]),
                         null_method="random sets of as many edges", estimator="shared / together",
                         interval="none: the edges of this network are all there are"))  # fmt: skip
    return tuple(made)
