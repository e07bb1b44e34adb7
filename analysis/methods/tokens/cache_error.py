"""What do fewer dimensions of keys and values cost? Error over bytes, of the heads or of the network's answer.

Keys of every head are projected to rank r around their mean, and values too: by the query-weighted optimum

    M* = S_Q^{-1/2} [S_Q^{1/2} S_K^{1/2}]_r S_K^{-1/2},

by PCA of the keys, by random directions, query-weighted with the ranks of keys shared out (r a head on average,
dimensions going where the singular values of the logits are largest, as a price λ for a dimension would have it), and
by trained nested projections U_{:r} U_{:r}' where a file or the checkpoint has them (`analysis.tokens.cache.trained`).

    of the heads    root of the summed squared error of what they give, over its size, mean over heads
    of the answer   the network runs with projected keys in all layers at once: Kullback-Leibler divergence of the
                    answer (of text: of the next token) from the one without

Judged on samples that the projection was not fitted on. Interval: Student's over samples. Null: random directions.

When it lies: the optimum is one of logits, not of outputs, and not of masked ones, so that PCA can be nearer; errors
of layers add up in the answer and may cancel; few tokens to fit on make the optimum fit their noise; a trained
projection may have seen these samples; projections of keys behind rotary positions, as here, differ from ones before
them.

Cost: attention of every head, or a pass of the network, for each way and rank.

References: B. Lin et al. (2024), "MatryoshkaKV: adaptive KV compression via trainable orthogonal projection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.errors import (
    PCA,
    RANDOM,
    TRAINED,
    WAYS,
    WEIGHTED,
    answer_errors,
    output_errors,
    ranks_of,
    relative,
    ways_of,
)
from analysis.tokens.cache.projections import cache_bytes
from analysis.tokens.cache.reading import read_cache, with_trained
from analysis.tokens.cache.trained import HELP as TRAINED_HELP
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

BYTES, RANKS = "bytes of a token", "numbers held"
OPENING, OUTPUT, ANSWER = 6.0, "what the heads give", "the network's answer"


@dataclass(frozen=True)
class CacheErrorParams:
    of: str = param(OUTPUT, "What the error is of.", choices=(OUTPUT, ANSWER))
    over: str = param(BYTES, "What the error is drawn over.", choices=(BYTES, RANKS))
    values: bool = param(True, "Whether values are projected to the same rank as keys.")
    trained: str = param("", TRAINED_HELP)
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose keys: the network's, or the recorded rows.", choices=SOURCES, late=True
    )

    def files(self) -> tuple[str, ...]:
        return (self.trained,)


def cache_error(
    activations, params: CacheErrorParams = CacheErrorParams(), rng=None, progress=no_progress
) -> Curve:
    """Error over rank, by projection.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are queries, keys and values.

    Returns
    -------
    Curve
        x = bytes of a token, or numbers held for a key or a value; a line for each way to choose them, with bands.
        Estimates: errors at half of the dimensions, and what is gained over PCA, paired by sample.

    Raises
    ------
    InputError, NotEnoughData
        Attention that cannot be taken apart; a file of no or other projections; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = with_trained(
        read_cache(tap, params.maximum_samples, rng, params.source, progress), params.trained, tap
    )
    ways = ways_of(cache, WAYS)
    ranks, said = ranks_of(cache.shape[-1]), list(cache.notes)
    answers = params.of == ANSWER and cache.who.is_network and cache.who.classifies
    if answers:
        each = answer_errors(cache, ways, ranks, params.values, rng, progress)
    else:
        errors, size = output_errors(cache, ways, ranks, params.values, rng, progress)
        each = {w: relative(errors[w], size[:, None]).mean(axis=(2, 3)) for w in ways}
        if params.of == ANSWER:
            said.append(
                "There is no network with classes or next tokens to run: the error is that of the heads."
            )
    progress(1.0, "done")
    return _curve(cache, each, ranks, answers, params, said, tap.shape[1])


def _curve(cache, each, ranks, answers: bool, params, said, d: int) -> Curve:
    low, high = {}, {}
    for way, x in each.items():
        ends = [mean_interval(x[:, j], least=0.0) for j in range(len(ranks))]
        low[way], high[way] = (np.array([e[k] for e in ends]) for k in ("low", "high"))
    mean = {way: x.mean(axis=0) for way, x in each.items()}
    told = _estimates(each, ranks, d, "nats" if answers else "share")
    x, x_name = _across(cache, ranks, params)
    return Curve(
        title=f"Cost of fewer dimensions in the cache of {cache.who.what}", x=x, x_name=x_name,
        y_name="divergence of the answer (nats)" if answers else "error of what the heads give", series=mean,
        low=low, high=high, null={w: mean[RANDOM] for w in mean if w != RANDOM}, controls=(RANDOM,),
        estimates=told, reading=_reading(told, ranks), caveats=(*said, *_caveats(cache)),
    )  # fmt: skip


def _across(cache, ranks, params) -> tuple[np.ndarray, str]:
    """Places of the ranks and what they count; values that are not projected are held whole."""
    layers, heads, _, e = cache.shape
    held = "keys and values" if params.values else "keys"
    if params.over == RANKS:
        return ranks.astype(float), f"numbers held for each key{' and value' * params.values} (of {e})"
    each = np.array([cache_bytes(layers, heads, 1, r) for r in ranks])
    taken = each if params.values else (each + cache_bytes(layers, heads, 1, e)) / 2
    return taken, f"bytes of the cache for each token, 16 bits ({held} of {ranks[0]} to {e} numbers)"


def _estimates(each, ranks, d: int, unit: str) -> tuple[Estimate, ...]:
    at = _half(ranks)
    facts = {"n": len(each[PCA]), "d": d, "unit": unit}
    found = [
        Estimate(f"error at rank {ranks[at]}, {way}", float(x[:, at].mean()), **mean_interval(x[:, at], least=0.0),
                 null=float(each[RANDOM][:, at].mean()), null_method="random directions", estimator="mean over samples",
                 **facts)
        for way, x in each.items() if way != RANDOM
    ]  # fmt: skip
    for way in (TRAINED, WEIGHTED) if TRAINED in each else (WEIGHTED,):
        gain = each[PCA][:, at] - each[way][:, at]
        by = " by the trained projection" if way == TRAINED else ""
        found.append(Estimate(
            f"gained over PCA{by} at rank {ranks[at]}", float(gain.mean()), **mean_interval(gain), null=0.0,
            null_method="the same projection", estimator="difference, paired by sample", **facts,
        ))  # fmt: skip
    return tuple(found)


def _half(ranks) -> int:
    return int(np.argmin(np.abs(ranks - ranks[-1] / 2)))


def _reading(told, ranks) -> str:
    values = {e.name.split(", ", 1)[-1]: e.value for e in told if e.name.startswith("error")}
    gain = told[-1]
    if gain.low is not None and gain.low > 0:
        better = "looking at queries helps"
    elif gain.high is not None and gain.high < 0:
        better = "PCA of the keys is nearer"
    else:
        better = "no difference between the two can be told"
    listed = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    return f"At rank {ranks[_half(ranks)]} of {ranks[-1]} the error is: {listed}, random {told[0].null:.3g}; {better}."


def _caveats(cache) -> list[str]:
    layers, heads, _, e = cache.shape
    whole = cache_bytes(layers, heads, 1, e)
    return [
        f"Held whole, keys and values take {whole:,.0f} bytes for each token at 16 bits; rank r takes r / {e} of it.",
        "Keys are projected as they are read, behind rotary positions where there are any.",
    ]


def _cost(shapes, params: CacheErrorParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    held = 8.0 * samples * (RUN + 1) * (5.0 * d + 2 * RUN) + 384.0 * d * d + 1e5
    passes = min(n, params.maximum_samples) * (1 + (params.of == ANSWER) * 4 * 12)
    return Cost(OPENING + m.seconds(flops64=6e5 * d * samples, moved=8.0 * n * d), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Keys of rank 2 in four units: nothing is lost from rank 2 on, and at rank 4 in random directions neither."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((96, 2)) @ rng.standard_normal((2, 4))
    found = cache_error(ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 97, 12))))
    return (
        CheckLine("error at the rank of the keys", 0.0, float(found.series[WEIGHTED][1]), 1e-6),
        CheckLine("PCA where queries are keys", 0.0, float(found.series[PCA][1]), 1e-6),
        CheckLine("random directions at that rank", 0.05, float(found.series[RANDOM][1]), 0.0, "at least"),
        CheckLine("all dimensions, random directions", 0.0, float(found.series[RANDOM][3]), 1e-6),
    )


METHODS = (
    Method(
        id="cache_error", family="tokens", network="attention",
        title="Cost of fewer dimensions in the cache", version=3,
        function=cache_error,
        summary="Keys and values projected to fewer dimensions: what the heads and the network's answer lose.",
        params=CacheErrorParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="one rotation of queries and keys of a head; a constant added to all keys",
        papers=(
            "MatryoshkaKV: Adaptive KV Compression via Trainable Orthogonal Projection",
            "MatryoshkaKV: trainable orthogonal projection of the KV cache",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
