"""How many tokens should each layer keep in its cache? One threshold for all layers, against other ways to share.

A token matters by the attention it receives, m_l(j), as a share of its layer's. Kept first it is worth most:

    one threshold   k_l = min { k : kept mass of the k first ≥ τ },  τ the largest with Σ k_l ≤ budget
    uniform         as many in each layer
    greedy          the largest shares wherever they are
    pyramid         falling linearly with depth, the last layer a quarter of the mean

One threshold makes the least mass that any layer keeps as large as it can be; greedy makes the sum so, and starves
layers whose attention is spread out. Bytes of a cache: 2 L H T e · 2 at 16 bits.

Interval: Student's over samples. Null: the same shares when every token is read alike.

When it lies: attention received in a pass over the whole text is not what later tokens will read; causal attention
gives the first tokens more readers (readers are counted, unless that is switched off); heads are averaged, and one that
needs a rare token is outvoted; mass is not error of the answer; the first token takes much as a sink.

Cost: one pass, attention once.

References: A. Wang et al. (2024), "PrefixKV: adaptive prefix KV cache is what vision instruction-following models need
for efficient generation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.counts import all_scores, shared
from analysis.tokens.cache.layer_budget import (
    GREEDY,
    PYRAMID,
    THRESHOLD,
    UNIFORM,
    WAYS,
    allotted,
    gini,
    kept_mass,
    masses,
    order_of,
    retained,
)
from analysis.tokens.cache.projections import cache_bytes
from analysis.tokens.cache.reading import read_cache
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, POINTS = 6.0, 21
KEPT, MASS = "tokens kept in each layer", "mass kept in each layer"
LORENZ, LEAST = "mass over tokens", "least mass over budgets"
SHOWN = (KEPT, MASS, LORENZ, LEAST)
BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class CacheBudgetParams:
    share: float = param(0.3, "Share of all tokens of all layers that may stay.", low=0.01, high=1.0)
    shown: str = param(KEPT, "What is drawn.", choices=SHOWN)
    sinks: int = param(0, "First tokens that always stay.", low=0, high=100)
    recent: int = param(0, "Last tokens that always stay.", low=0, high=1000)
    fair: bool = param(True, "Divide what a token receives by how many tokens could read it.")
    maximum_samples: int = param(
        32, "Most samples; a seeded random subset above.", low=2, high=5000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def cache_budget(
    activations, params: CacheBudgetParams = CacheBudgetParams(), rng=None, progress=no_progress
) -> Curve:
    """Tokens that each layer keeps, by way of sharing.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens, of one layer.

    Returns
    -------
    Curve
        As `shown`: over layers, over tokens (one line a layer) or over budgets, with bands. Estimates: the least mass
        that a layer keeps and the sum, by way; unevenness; bytes for a sample.

    Raises
    ------
    InputError, NotEnoughData
        Attention that cannot be taken apart; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = read_cache(tap, params.maximum_samples, rng, params.source, progress)
    scores, none = all_scores(cache, params.fair, progress)
    progress(0.85, "sharing tokens out")
    found = {w: [shared(s, w, params.share, params.sinks, params.recent) for s in scores] for w in WAYS}
    chance = {w: [shared(s, w, params.share, params.sinks, params.recent) for s in none] for w in WAYS}
    told = _estimates(cache, found, chance, scores, none, params, tap.shape[1])
    drawn = _drawn(cache, scores, none, found, chance, params)
    progress(1.0, "done")
    return Curve(
        title=f"Tokens in the cache of {cache.who.what}", estimates=told, reading=_reading(told, params),
        caveats=(*cache.notes, *_caveats(cache, params)), **drawn,
    )  # fmt: skip


def _drawn(cache, scores, none, found, chance, params) -> dict:
    layers = cache.shape[0]
    if params.shown in (KEPT, MASS):

        def of(one, s):
            return one[0] / s.shape[1] if params.shown == KEPT else one[1]

        lines = {w: np.array([of(f, s) for f, s in zip(found[w], scores, strict=True)]) for w in WAYS}
        null = {w: np.mean([of(f, s) for f, s in zip(chance[w], none, strict=True)], axis=0) for w in WAYS}
        y = "share of the tokens kept" if params.shown == KEPT else "share of received attention kept"
        return _lines(np.arange(1, layers + 1), "layer", y, lines, null)
    if params.shown == LORENZ:
        x = np.linspace(0, 1, POINTS)
        each, flat = (
            np.array([_lorenz(s, x) for s in scores]),
            np.array([_lorenz(s, x) for s in none]).mean(axis=0),
        )
        names = cache.names[0]
        return _lines(x, "share of the tokens, the most read first", "share of received attention",
                      {n: each[:, i] for i, n in enumerate(names)},
                      {n: flat[i] for i, n in enumerate(names)})  # fmt: skip

    def least(which, way):
        return np.array(
            [[shared(s, way, b, params.sinks, params.recent)[1].min() for b in BUDGETS] for s in which]
        )

    return _lines(np.array(BUDGETS), "share of all tokens kept", "least mass that a layer keeps",
                  {w: least(scores, w) for w in WAYS}, {w: least(none, w).mean(axis=0) for w in WAYS})  # fmt: skip


def _lines(x, x_name: str, y_name: str, each: dict, null: dict) -> dict:
    ends = {w: [mean_interval(v[:, j], 0.0, 1.0) for j in range(len(x))] for w, v in each.items()}
    return {
        "x": np.asarray(x, float), "x_name": x_name, "y_name": y_name, "null": null,
        "series": {w: v.mean(axis=0) for w, v in each.items()},
        **{k: {w: np.array([e[k] for e in ends[w]]) for w in each} for k in ("low", "high")},
    }  # fmt: skip


def _lorenz(scores: np.ndarray, x: np.ndarray) -> np.ndarray:
    mass = masses(scores)
    curves = retained(mass, order_of(mass))
    return np.array([np.interp(x, np.linspace(0, 1, c.size), c) for c in curves])


def _estimates(cache, found, chance, scores, none, params, d: int) -> tuple[Estimate, ...]:
    facts = {"n": cache.n, "d": d, "null_method": "every token read alike", "estimator": "mean over samples"}
    told = []
    for name, take in (("least mass of a layer", np.min), ("mass of a layer", np.mean)):
        for way in WAYS:
            x, y = (np.array([take(f[1]) for f in of[way]]) for of in (found, chance))
            told.append(Estimate(f"{name}, {way}", float(x.mean()), **mean_interval(x, 0.0, 1.0), null=float(y.mean()),
                                 unit="share", **facts))  # fmt: skip
    x, y = (np.array([gini(masses(s)).mean() for s in of]) for of in (scores, none))
    told.append(Estimate("unevenness of received attention (Gini)", float(x.mean()), **mean_interval(x, 0.0, 1.0),
                         null=float(y.mean()), **facts))  # fmt: skip
    _, heads, _, e = cache.shape
    bytes_ = np.array([cache_bytes(1, heads, f[0].sum(), e) for f in found[THRESHOLD]])
    whole = np.array([cache_bytes(cache.shape[0], heads, s.tokens, e) for s in cache.samples])
    told.append(Estimate("bytes of the cache of a sample", float(bytes_.mean()), **mean_interval(bytes_, 0.0),
                         null=float(whole.mean()), unit="bytes",
                         **{**facts, "null_method": "all tokens kept"}))  # fmt: skip
    return tuple(told)


def _reading(told, params) -> str:
    least = {e.name.split(", ")[1]: e.value for e in told[: len(WAYS)]}
    return (
        f"With {params.share:.0%} of the tokens every layer keeps at least {least[THRESHOLD]:.0%} of its received "
        f"attention by one threshold, {least[UNIFORM]:.0%} where layers keep as many, {least[GREEDY]:.0%} by greedy "
        f"choice and {least[PYRAMID]:.0%} by a pyramid; attention is uneven by {told[-2].value:.2f} (Gini)."
    )


def _caveats(cache, params) -> list[str]:
    said = ["Bytes are those of 16-bit numbers; mass that is kept is not the answer that is kept."]
    if not params.fair and cache.causal:
        said.append(
            "Received attention is not divided by the number of readers: early tokens have more of them."
        )
    if cache.shape[0] == 1:
        said.append("There is one layer, so that all ways keep the same tokens.")
    return said


def _cost(shapes, params: CacheBudgetParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    held = 8.0 * samples * (RUN + 1) * (5.0 * d + 2 * RUN) + 1e5
    return Cost(
        OPENING + m.seconds(flops64=2e4 * d * samples, moved=8.0 * n * d),
        held,
        min(n, params.maximum_samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """Layers read alike keep as many each; one that reads a single token keeps it alone and leaves its share to the
    others: 1, 66, 66, 66 of 100; and rows that are all alike keep the mass that they keep tokens."""
    flat = np.full((4, 100), 0.01)
    spike = flat.copy()
    spike[0] = np.eye(100)[7]
    curves = [retained(m, order_of(m)) for m in (flat, spike)]
    alike, one = (allotted(THRESHOLD, c, 200) for c in curves)
    rows = np.tile(np.eye(4), (24, 2))
    tap = ArrayActivations(rows, name="planted", layout=Layout(np.arange(0, 97, 8)))
    found = cache_budget(tap, CacheBudgetParams(share=1.0))
    greedy = kept_mass(curves[1], allotted(GREEDY, curves[1], 200)).sum()
    return (
        CheckLine("alike: tokens of the first layer", 50, alike[0], 0.0),
        CheckLine("a spike: tokens of its layer", 1, one[0], 0.0),
        CheckLine("a spike: tokens of the others", 66, one[1:].mean(), 0.0),
        CheckLine("greedy keeps most in all", kept_mass(curves[1], one).sum(), greedy, 1e-9, "at least"),
        CheckLine("all tokens: least mass", 1.0, found.estimates[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="cache_budget", family="tokens", network="attention",
        title="Tokens in the cache of each layer", version=2, function=cache_budget,
        summary="How many tokens each layer keeps by one threshold, as many each, greedily or as a pyramid.",
        params=CacheBudgetParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="a factor of the attention that a layer's tokens receive",
        papers=(
            "PrefixKV: Adaptive Prefix KV Cache is What Vision Instruction-Following Models Need for Efficient "
            "Generation",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
