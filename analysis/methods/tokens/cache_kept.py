"""Which tokens of one sample stay in the cache of each layer?

Each layer keeps the k_l tokens that receive most attention (over the number of tokens that could read them), k_l by one
threshold τ on the kept mass, the largest with Σ k_l within the budget, or by another way of sharing. Layers choose by
themselves: a token that one layer has dropped can be in the cache of the next.

Told: the least mass that a layer keeps and how far the kept sets of neighbouring layers agree (Jaccard). Null: as many
tokens at random in each layer, with the range of the draws. And what a token that stays receives, in even shares, which
is above 1 by the choice of the largest alone. Of one sample there are no intervals
but that of the random draws.

When it lies: one sample is an anecdote; attention that is received over the whole sample is known only afterwards; a
layer's tokens are judged by the mean over heads; a token is useful to the answer or not whatever attention says.

Cost: one pass of the network.

References: A. Wang et al. (2024), "PrefixKV: adaptive prefix KV cache is what vision instruction-following models need
for efficient generation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenFilm
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.counts import shared
from analysis.tokens.cache.layer_budget import (
    THRESHOLD,
    WAYS,
    kept_mass,
    masses,
    order_of,
    received,
    retained,
)
from analysis.tokens.state import GONE
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject
from analysis.tokens.tap_dump import RUN

OPENING = 6.0
NO_INTERVAL = {"interval": "none: one sample"}


@dataclass(frozen=True)
class CacheKeptParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    share: float = param(0.3, "Share of all tokens of all layers that may stay.", low=0.01, high=1.0)
    way: str = param(THRESHOLD, "How tokens are shared out between layers.", choices=WAYS)
    sinks: int = param(0, "First tokens that always stay.", low=0, high=100)
    recent: int = param(0, "Last tokens that always stay.", low=0, high=1000)
    fair: bool = param(True, "Divide what a token receives by how many tokens could read it.", late=True)
    draws: int = param(
        50, "Times that as many tokens are kept at random, for the null.", low=3, high=1000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def cache_kept(
    activations, params: CacheKeptParams = CacheKeptParams(), rng=None, progress=no_progress
) -> TokenFilm:
    """Tokens in the cache of each layer, of one sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    TokenFilm
        A step for each layer: tokens in its cache, and the attention that each received.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample; fewer than two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(
        tap, tap.layout.n_samples, rng, params.source, lambda f, doing="": progress(0.5 * f, doing)
    )
    at = np.flatnonzero(who.samples == params.sample)
    if not len(at):
        raise NotFound(f"sample {params.sample} of {tap.name}", f"one of 0 to {who.samples.max()}")
    progress(0.6, "the network")
    given, dump = who.one(int(at[0]), ("mean attention", "hidden"))
    layout, there = dump.layout, dump.layout.present[0]
    weights = np.stack(dump.recorded["mean attention"])[: who.layers if who.is_network else 1, 0][:, there][
        :, :, there
    ]
    scores = received(weights.astype(np.float64), layout.causal, params.fair)
    counts, mass = shared(scores, params.way, params.share, params.sinks, params.recent)
    order = order_of(masses(scores), params.sinks, params.recent)
    kept = np.array([np.isin(np.arange(order.shape[1]), o[:k]) for o, k in zip(order, counts, strict=True)])
    progress(0.8, "kept at random")
    told = _estimates(scores, counts, mass, kept, params, rng, tap.shape[1])
    progress(1.0, "done")
    t, cell = kept.shape[1], layout.cell[0][there]
    every = np.arange(t)
    words = who.opened.words(int(at[0])) if who.is_network else ()
    return TokenFilm(
        title=f"Tokens of sample {params.sample} in the cache of each layer",
        names=tuple(f"layer {i + 1}" for i in range(len(kept))), owner=np.where(kept, every, GONE), score=scores,
        judged=np.ones(scores.shape, bool), score_name="attention received",
        grid=layout.grid if (cell >= 0).any() else None,
        cell=cell if layout.grid is not None and (cell >= 0).any() else None,
        picture=picture_of(given) if who.is_network else None, words=words if len(words) == t else (), estimates=told,
        reading=_reading(told, counts, t, params), caveats=(*of_one(notes, params.sample), *_caveats(kept)),
    )  # fmt: skip


def _agreement(kept: np.ndarray) -> float:
    """Mean Jaccard overlap of the tokens (L, t) that neighbouring layers keep; 1 of one layer."""
    if len(kept) < 2:
        return 1.0
    both, either = (kept[1:] & kept[:-1]).sum(axis=1), (kept[1:] | kept[:-1]).sum(axis=1)
    return float((both / either).mean())


def _estimates(scores, counts, mass, kept, params, rng, d: int) -> tuple[Estimate, ...]:
    own, chance = masses(scores), []
    for _ in range(params.draws):
        drawn = np.argsort(rng.random(own.shape), axis=1)
        held = np.array([np.isin(np.arange(own.shape[1]), o[:k]) for o, k in zip(drawn, counts, strict=True)])
        chance.append((kept_mass(retained(own, drawn), counts).min(), _agreement(held), _received(own, held)))
    found = []
    for i, (name, value, unit) in enumerate((
        ("least mass of a layer", mass.min(), "share"), ("overlap of neighbours", _agreement(kept), "share"),
        ("attention of a token that stays", _received(own, kept), "of an even share"),
    )):  # fmt: skip
        draws = np.array(chance)[:, i]
        found.append(Estimate(
            name, float(value), **NO_INTERVAL, null=float(draws.mean()), null_low=float(draws.min()),
            null_high=float(draws.max()), null_method="as many at random in each layer, range of the draws", n=1, d=d,
            unit=unit, estimator="over layers",
        ))  # fmt: skip
    gain = mass.min() - np.array(chance)[:, 0]
    found.append(Estimate(
        "least mass beyond random tokens", float(gain.mean()),
        **{**mean_interval(gain), "interval": "Student's t over random draws; of one sample"}, null=0.0,
        null_method="a choice like chance", n=len(gain), d=d, unit="share", estimator="difference, over draws",
    ))  # fmt: skip
    return tuple(found)


def _received(own: np.ndarray, kept: np.ndarray) -> float:
    """Mean of the masses `own` (L, t) of the tokens that stay, in even shares."""
    return float(own[kept].mean() * own.shape[1])


def _reading(told, counts, t: int, params) -> str:
    least, most = int(counts.argmin()), int(counts.argmax())
    spread = f"from {counts[least]} in layer {least + 1} to {counts[most]} in layer {most + 1}"
    if counts[least] == counts[most]:
        spread = f"{counts[0]} in each layer"
    return (
        f"Of {t} tokens {spread} stay, and every layer keeps at least {told[0].value:.0%} of its received attention "
        f"(as many at random: {told[0].null:.0%}); neighbouring layers share {told[1].value:.0%} of them."
    )


def _caveats(kept) -> list[str]:
    said = ["Layers choose by themselves: a token that is gone in one can be there in the next."]
    if len(kept) == 1:
        said.append("There is one layer, with no neighbour to agree with.")
    return said


def _cost(shapes, params: CacheKeptParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5
    return Cost(OPENING + m.seconds(flops64=1e6, moved=8.0 * n * d), held, 1)


def _check() -> tuple[CheckLine, ...]:
    """One row of many is far larger than the others: it is the one that everything reads, and stays; a budget of
    everything keeps everything."""
    rng = np.random.default_rng(0)
    x = 0.01 * rng.standard_normal((40, 8)) + 1.0
    x[[5, 25]] *= 6
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 20, 40])))
    small, whole = (cache_kept(tap, CacheKeptParams(share=s)) for s in (0.1, 1.0))
    return (
        CheckLine("the large row stays", 6.0, small.owner[0][6], 0.0),
        CheckLine(
            "tokens of a tenth of twenty and the class token", 2.0, (small.owner[0] != GONE).sum(), 0.0
        ),
        CheckLine("all kept", 21.0, (whole.owner[0] != GONE).sum(), 0.0),
        CheckLine("all of the mass", 1.0, whole.estimates[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="cache_kept", family="tokens", network="attention",
        title="Which tokens stay in the cache", version=3, function=cache_kept,
        summary="One sample's tokens in the cache of each layer when all layers together may keep so many.",
        params=CacheKeptParams, result=TokenFilm, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="a factor of the attention that a layer's tokens receive",
        papers=(
            "PrefixKV: Adaptive Prefix KV Cache is What Vision Instruction-Following Models Need for Efficient "
            "Generation",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
