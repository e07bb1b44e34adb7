"""Where on the picture, or in the text, does each expert work? Gates of every token of one sample, expert by expert.

Drawn are the experts with the largest share of the sample, the gate of each over the tokens. Told is how often
neighbours (beside and below on the grid; the next word) go to the same expert,

    s = share of neighbours with the same top expert,    by chance  Σ_e c_e (c_e - 1) / (T (T - 1))

over all samples, and for this one: c_e tokens of a sample go to e. That is the mean over all orders of the tokens, so
that s is 1 with one expert for all, and so is what chance gives.

Interval: Student's t over samples; of the sample none. Null: the tokens of each sample in another order.

When it lies: what neighbours have in common they have for many reasons (positions alone make territory); a gate that is
large is not a large effect; one sample is an anecdote, s over all is not.

Cost: one pass, O(n E).

Reference: H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024), "Statistical perspective of top-K sparse softmax gating
mixture of experts".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData, NotFound
from analysis.results import Estimate, TokenMap
from analysis.sources.input_picture import picture_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.gates import gates
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed
from analysis.tokens.routing.territory import neighbour_pairs, same_by_chance, same_expert

OPENING, RUN, ORDERS = 4.0, 16, 99


@dataclass(frozen=True)
class ExpertTerritoryParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    shown: int = param(6, "Most experts drawn, those with the largest gates in the sample.", low=1, high=24)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def expert_territory(
    activations, params: ExpertTerritoryParams = ExpertTerritoryParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Gates over the tokens of one sample.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1; or any tap of a network with a router. Of a tap with one row a sample,
        runs of 16 rows are read as samples.

    Returns
    -------
    TokenMap
        Gate of each expert drawn. Estimates: neighbours of one expert, over samples and in this one.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample; fewer than eight finite tokens, no neighbours; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress, params.sample)
    found, notes = _in_runs(found) if found.tokens.max() == 0 else (found, [])
    grid, leading = tap.layout.grid, tap.layout.leading
    if (
        notes or grid is None or found.tokens.max() + 1 > leading + grid[0] * grid[1]
    ):  # the router's are others
        grid, leading = None, 0
    winner = found.logits.argmax(axis=1)
    order = np.argsort(found.samples, kind="stable")
    rows, same, chance = {}, {}, {}
    parts = np.split(order, np.flatnonzero(np.diff(found.samples[order])) + 1)
    for i, part in enumerate(parts):
        if i % 64 == 0:
            progress(0.5 + 0.4 * i / len(parts), "looking at neighbours")
        pairs = neighbour_pairs(found.tokens[part], grid, leading)
        inside = part[np.unique(pairs)]
        if len(inside) > 1:
            s = int(found.samples[part[0]])
            rows[s], same[s] = (part, pairs), same_expert(winner[part], pairs)
            chance[s] = same_by_chance(winner[inside])
    if not rows:
        raise NotEnoughData(f"{tap.name} has no sample with two neighbouring tokens", "at least one")
    if params.sample not in rows:
        raise NotFound(
            f"sample {params.sample}", f"one of the {len(rows):,} with neighbouring tokens that were read"
        )
    part, pairs = rows[params.sample]
    orders = _orders(winner[part], pairs, np.unique(pairs), rng)
    progress(1.0, "done")
    estimates = _estimates(same, chance, orders, params.sample, found)
    p = gates(found.logits[part])
    drawn = np.argsort(-p.mean(axis=0), kind="stable")[: params.shown]
    length = int(found.tokens[part].max()) + 1 if grid is None else grid[0] * grid[1] + leading
    values = np.full((len(drawn), length), np.nan)
    values[:, found.tokens[part]] = p[:, drawn].T
    picture, words = _over(found, params.sample, length)
    return TokenMap(
        title=f"Where experts work in sample {params.sample}, {found.what}", estimates=estimates,
        reading=_reading(estimates, p, drawn, found, params), value_name="gate", grid=grid, leading=leading,
        caveats=(*dict.fromkeys(found.notes), *notes, "Positions alone can make territory.", *_left_out(drawn, found)),
        samples=np.full(len(drawn), params.sample), values=values,
        names=tuple(f"{found.names[e]} ({p[:, e].mean():.0%})" for e in drawn), pictures=picture, words=words,
    )  # fmt: skip


def _in_runs(found: Routed) -> tuple[Routed, list[str]]:
    """Rows of a tap with one a sample, in runs of neighbours."""
    at = np.arange(len(found.logits))
    return replace(found, samples=at // RUN, tokens=at % RUN, live=None), [
        f"The tap holds one row of each sample: {RUN} neighbours are read as one sample."
    ]


def _orders(winner: np.ndarray, pairs: np.ndarray, inside: np.ndarray, rng) -> np.ndarray:
    """(ORDERS,) share of neighbours with one expert, tokens that have neighbours in another order."""
    out = np.empty(ORDERS)
    for i in range(ORDERS):
        moved = winner.copy()
        moved[inside] = winner[rng.permutation(inside)]
        out[i] = same_expert(moved, pairs)
    return out


def _estimates(same: dict, chance: dict, orders, sample: int, found: Routed) -> tuple[Estimate, ...]:
    own, null = np.array(list(same.values())), np.array(list(chance.values()))
    common = {"n": len(found.logits), "d": found.experts}
    over = own - null
    return (
        Estimate("neighbours that go to one expert", float(own.mean()), **mean_interval(own, 0.0, 1.0),
                 null=float(null.mean()), null_method="mean over all orders of each sample's tokens",
                 estimator="mean over samples", **common),
        Estimate("beyond chance", float(over.mean()), **mean_interval(over), null=0.0,
                 null_method="mean over all orders of each sample's tokens", estimator="difference, mean over samples",
                 **common),
        Estimate("in this sample", same[sample], interval="none: one sample", **against(same[sample], orders),
                 null_method=f"its tokens in {ORDERS} other orders", estimator="share of neighbours", **common),
    )  # fmt: skip


def _over(found: Routed, sample: int, length: int):
    """(picture (1, …) or None, words) below the map, where the network was run."""
    if found.live is None:
        return None, ()
    run = found.live.run
    at = int(np.flatnonzero(np.asarray(run.samples) == sample)[0])
    item = run.data.items(at, at + 1)
    texts = run.loaded.tokens(item)
    if texts:
        return None, ((*map(str, texts[0][:length]), *[""] * (length - len(texts[0]))),)
    inputs = run.loaded.prepare(item)
    picture = picture_of(inputs if isinstance(inputs, Mapping) else {"input": inputs})
    return (None if picture is None else picture[None]), ()


def _reading(estimates, p: np.ndarray, drawn, found: Routed, params) -> str:
    over, _, own = estimates
    most = int(drawn[0])
    more = "more often than" if own.p_value <= 0.05 else "no more often than"
    return (
        f"The largest gates in sample {params.sample} are those of {found.names[most]} ({p[:, most].mean():.0%}). "
        f"Neighbours go to one expert {own.value:.0%} of the time here, {more} tokens in another order "
        f"({own.null:.0%}); over {over.n:,} tokens of all samples read {over.value:.0%}, by chance {over.null:.0%}."
    )


def _left_out(drawn, found: Routed) -> list[str]:
    if len(drawn) == found.experts:
        return []
    return [f"The {len(drawn)} of {found.experts} experts with the largest gates in the sample are drawn."]


def _cost(shapes, params: ExpertTerritoryParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(moved=n * e * 16.0 + some * 20_000.0),
        some * e * 8.0 * 4 + some * 400.0 + 1e5,
        some,
    )


def _check() -> tuple[CheckLine, ...]:
    """The left half of each picture goes to one expert, the right half to another: of 4 x 4 neighbours 20 of 24 are at
    home, by chance 7 of 15. Without an order there is no territory."""
    left = np.tile(np.repeat([0, 0, 1, 1], 1), 4)
    layout = Layout(np.arange(31) * 16, grid=(4, 4))
    halves = ArrayActivations(9.0 * np.eye(3)[np.tile(left, 30)], "halves", layout=layout)
    rng = np.random.default_rng(0)
    mixed = ArrayActivations(9.0 * np.eye(3)[rng.integers(0, 3, 480)], "mixed", layout=layout)
    found, none = expert_territory(halves), expert_territory(mixed)
    return (
        CheckLine("two halves: neighbours at home", 20 / 24, found.estimates[0].value, 1e-12),
        CheckLine("two halves: by chance", 7 / 15, found.estimates[0].null, 1e-12),
        CheckLine("two halves: by other orders", 7 / 15, found.estimates[2].null, 0.05),
        CheckLine("at random: beyond chance", 0.0, none.estimates[1].value, 0.05),
        CheckLine("gates over a token's experts", 1.0, float(found.values[:, 0].sum()), 1e-9),
    )


METHODS = (
    Method(
        id="expert_territory", family="tokens", network="experts",
        title="Where experts work", version=3, function=expert_territory,
        summary="Each expert's gate over the picture or text of one sample, and whether neighbours go to one expert.",
        params=ExpertTerritoryParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=16,
        invariance="one number added to all logits of a token, the order of experts and of samples",
        papers=(
            "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",
            "Redesigning Multi-Scale Neural Network for Crowd Counting",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
