"""How few paths keep the answer? Faithfulness and completeness against the number of paths, beside random sets.

Paths between parts are ranked as in `analysis.interventions.circuit_edges`: screened by slopes, the strongest run one
by one. Of the k first

    kept alone       (y of these paths, all others corrupted - y of none) / (y as it is - y of none)
    left without     the same of all other paths: what the answer does without these

as ratios of means over samples. 1 is the answer as it is, 0 that of a network with all parts corrupted. A circuit that
is faithful reaches 1 with few paths alone, and one that is complete leaves little without them. What stands in the
place of a corrupted part matters, so both are drawn for zero, for the mean and for another sample's values, in the
same order of paths.

Band: bootstrap over samples. Null: random sets of as many paths into each depth.

Verdict: what the strongest path that was run puts at its receiver is split into what is connected to the answer and
what is not, and checked for dormancy and for values off the natural range (`analysis.interventions.move_verdict`).

When it lies: where y as it is is hardly more than y of none, the ratio is of noise; over 1 and under 0 are possible, as
paths work against each other; the order comes from single paths, and a better set may exist; few random paths rarely
join the input to the answer and keep little.

Cost: rows of n samples: 2 parts to rank, one for each path that is run, and parts x sizes x (6 + 2 random sets) for the
curves, 12 for the verdict.

References: "Causal analysis for robust interpretability of neural networks" (O. Ahmad et al. 2024); K. Wang et al.
(2023), "Interpretability in the wild" (faithfulness, completeness).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.features.readers import PROBE
from analysis.interventions.bench import FEWEST, OPENING, BenchParams, open_bench, refuse_unmoved
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.circuit_edges import edge_claim, edges_of, share_kept
from analysis.interventions.circuit_facts import matched_sets, share_of
from analysis.interventions.circuits import BY_HEADS, KINDS, graph_of, wired
from analysis.interventions.interventions import ABLATIONS, MEAN
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

KEPT, LEFT, ENOUGH = "kept alone", "left without", 0.8


@dataclass(frozen=True)
class CircuitCurveParams(BenchParams):
    parts: str = param(BY_HEADS, "What the parts are.", choices=KINDS)
    way: str = param(MEAN, "What ranks the paths stands in the place of a part.", choices=ABLATIONS)
    edges: int = param(48, "Paths that are run one by one, the strongest.", low=4, high=5000)
    sizes: int = param(7, "Numbers of paths that are looked at.", low=2, high=40)
    groups: int = param(4, "Groups of units of a layer, where there are no blocks.", low=1, high=64)
    most: int = param(32, "Most units of a probe; those that vary most.", low=2, high=400)
    random: int = param(2, "Random sets of each size.", label="random sets", low=1, high=50)


def circuit_curve(
    activations, params: CircuitCurveParams = CircuitCurveParams(), rng=None, progress=no_progress
) -> Curve:
    """What the strongest paths keep of the answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its units are the parts.

    Returns
    -------
    Curve
        Shares kept and left over the number of paths, for each way to corrupt. Estimates: paths that keep 80 %, and
        what is left without them.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no parts; an answer that hangs on none.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1))
    graph = graph_of(bench, params.parts, params.groups, params.most)
    ways = (params.way, *(w for w in ABLATIONS if w != params.way))
    batches = {way: wired(bench, graph, way, rng) for way in ways}
    order = edges_of(graph, batches[params.way], params.edges, progress, (0.1, 0.4)).order
    e = len(order)
    x = np.unique(np.geomspace(1, e, min(params.sizes, e)).round().astype(np.int64))
    nothing = np.zeros(e, dtype=bool)
    empty = {way: np.concatenate([w.with_edges(nothing) for w in own]) for way, own in batches.items()}
    refuse_unmoved(bench.clean - empty[params.way], bench)
    found, chance = {}, {}
    for i, k in enumerate(x):
        kept = nothing.copy()
        kept[order[:k]] = True
        for j, (way, own) in enumerate(batches.items()):
            progress(0.4 + 0.55 * (i + j / len(ways)) / len(x), f"running {k:,} paths")
            found[KEPT, way, i] = share_kept(own, kept, empty[way])
            found[LEFT, way, i] = share_kept(own, ~kept, empty[way])
        drawn = matched_sets(graph, kept, params.random, rng)
        for name, sets in ((KEPT, drawn), (LEFT, ~drawn)):
            some = [share_of(share_kept(batches[params.way], s, empty[params.way])) for s in sets]
            chance[name, i] = float(np.mean(some))
    claim = edge_claim(graph, batches[params.way], int(order[0]))
    verdict = verdict_on(bench, [claim], rng, progress, (0.95, 1.0))
    progress(1.0, "done")
    return _curve(bench, params, x, ways, found, chance, verdict, rng)


def _curve(bench, params, x, ways, found, chance, verdict, rng) -> Curve:
    series, low, high, null = {}, {}, {}, {}
    for name in (KEPT, LEFT):
        for way in ways:
            line = f"{name} ({way})"
            both = [found[name, way, i] for i in range(len(x))]
            series[line] = np.array([share_of(b) for b in both])
            if way == params.way:
                ends = [_ends(b, rng) for b in both]
                low[line], high[line] = (np.array(v) for v in zip(*ends, strict=True))
                null[line] = np.array([chance[name, i] for i in range(len(x))])
    own = series[f"{KEPT} ({params.way})"]
    return Curve(
        title=f"What paths keep of the answer of {bench.what}",
        reading=f"{_reading(x, own, series, null, params)} {verdict.sentence}",
        caveats=(*bench.notes, *_caveats(bench, params), *verdict.caveats),
        estimates=(*_estimates(bench, params, x, found, chance, rng), *verdict.estimates),
        x=x.astype(np.float64), x_name="paths, the strongest first", y_name="share of the answer", series=series,
        low=low, high=high, null=null, log_x=True,
    )  # fmt: skip


def _ends(both, rng) -> tuple[float, float]:
    sign = np.sign(both[1].sum())
    if sign == 0:
        return share_of(both), share_of(both)
    return ratio_interval(sign * both[0], sign * both[1], rng)


def _first(x, own) -> int:
    """Place of the fewest paths that keep 80 %, else of the most that were looked at."""
    enough = np.flatnonzero(own >= ENOUGH)
    return int(enough[0]) if len(enough) else len(x) - 1


def _estimates(bench, params, x, found, chance, rng) -> tuple[Estimate, ...]:
    own = np.array([share_of(found[KEPT, params.way, i]) for i in range(len(x))])
    i, d = _first(x, own), bench.made.source.shape[1]
    made = []
    for name in (KEPT, LEFT):
        both = found[name, params.way, i]
        low, high = _ends(both, rng)
        value = share_of(both)
        made.append(Estimate(f"{name}, {x[i]:,} paths", value, min(low, value), max(high, value), n=bench.n, d=d,
                             interval="bootstrap over samples", null=chance[name, i],
                             null_method=f"{params.random} random sets of as many paths into each depth",
                             estimator="ratio of means beyond the network of no paths"))  # fmt: skip
    return tuple(made)


def _reading(x, own, series, null, params) -> str:
    i = _first(x, own)
    left = series[f"{LEFT} ({params.way})"][i]
    chance = null[f"{KEPT} ({params.way})"][i]
    first = (
        f"{x[i]:,} of {x[-1]:,} paths alone keep {own[i]:.0%} of the {params.number}"
        if own[i] >= ENOUGH
        else f"No number of paths that was looked at keeps {ENOUGH:.0%} alone"
    )
    return f"{first}; without them {left:.0%} is left. As many random paths keep {chance:.0%}."


def _caveats(bench, params) -> list[str]:
    return [
        f"Paths are ranked with {params.way}; the bands and the null are of that way, too.",
        "Zero is off the distribution: where its curve differs from the others, trust those.",
        f"{bench.passes:,} rows went through {bench.what}.",
    ]


def _cost(shapes, params: CircuitCurveParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples, parts = min(n, params.maximum_samples), min(k, params.most)
    rows = samples * (parts * (4 + params.sizes * (6 + 2 * params.random)) + params.edges + ROWS)
    held = 20.0 * n * k + 30.0 * samples * parts
    held += verdict_bytes(samples, k)
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 2e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe of one planted unit: its path alone keeps nearly all, all paths exactly all, and without all of
    them nothing is left."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 6.0 + rng.standard_normal(40), 0.3 * rng.standard_normal((40, 3))])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = circuit_curve(tap, CircuitCurveParams(reader=PROBE, sizes=4))
    kept, left = (found.series[f"{name} ({MEAN})"] for name in (KEPT, LEFT))
    return (
        CheckLine("all paths", 1.0, float(kept[-1]), 1e-9),
        CheckLine("without all paths", 0.0, float(left[-1]), 1e-9),
        CheckLine("the planted path alone", 1.0, float(kept[0]), 0.2),
        CheckLine("kept and left of a linear network", 1.0, float((kept + left)[0]), 1e-9),
    )


METHODS = (
    Method(
        id="circuit_curve",
        family="attribution",
        title="How few paths keep this answer?",
        summary="Share of the answer that the strongest paths keep alone, and that is left without them.",
        version=2,
        function=circuit_curve,
        params=CircuitCurveParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Causal Analysis for Robust Interpretability of Neural Networks",),
        libraries=("torch",),
    ),
)
