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

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData, NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.opened import picture_of
from analysis.tokens.routing.gates import gates
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed
from analysis.tokens.routing.territory import neighbour_pairs, same_by_chance, same_expert

OPENING, RUN, ORDERS = 4.0, 16, 99


@dataclass(frozen=True)
class ExpertTerritoryParams:
    sample: int = param(0, "Its place in the store.", low=0, high=1_000_000_000)
    shown: int = param(6, "Most experts drawn, those with the largest gates in the sample.", low=1, high=24)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True)


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
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    found, notes, runs = _in_runs(found) if found.tokens.max() == 0 else (found, [], True)
    grid, leading = (None, 0) if notes else (tap.layout.grid, tap.layout.leading)
    if found.live is not None and not _fits(found, grid, leading):
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
            rows[s], same[s] = (part, pairs, inside), same_expert(winner[part], pairs)
            chance[s] = same_by_chance(winner[inside])
    if not rows:
        raise NotEnoughData(f"{tap.name} has no sample with two neighbouring tokens", "at least one")
    if params.sample not in rows:
        raise NotFound(f"sample {params.sample}", f"one of the {len(rows):,} with neighbouring tokens that were read")
    part, pairs, inside = rows[params.sample]
    orders = _orders(winner[part], pairs, inside - part[0] if False else np.unique(pairs), rng)
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
