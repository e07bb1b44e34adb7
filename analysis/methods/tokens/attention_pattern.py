"""What does one head look at in one sample? A query's row of attention, over the image or the words, beside its null.

Four maps of one layer and head, in multiples of an even share, A_ij m with m keys that the query may read (1: no more
than any other):

    this sample     what the query reads
    by places       mean attention of the other samples at the same places: what a head gives that knows places only
    beyond places   the difference of the two
    received        mean over queries that may read it of what each token is paid, beside even attention

Told: the distance 1/2 sum_j |A_ij - null_ij| (total variation) of this sample and over samples, 0 for a head that knows
places only and 1 for one that reads where others never do.

Interval: Student's t over samples, none below five: each is held against the others. Null: that distance of the other
samples; of the keys for 90 % the query's own keys read alike.

When it lies: a token deep in a network is no longer its patch; the first token may be read because nothing is wanted (a
sink); one sample is an anecdote, the atlas says what holds over many; the distance from the mean of few others
is larger than from that of many; to look is not to matter.

Cost: one pass of each sample; one row of attention.

References: A. Dosovitskiy et al. (2021), "An image is worth 16x16 words"; G. Xiao et al. (2024), "Efficient streaming
language models with attention sinks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.draw_ends import band
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.drawn import asker_name, beside_the_picture, drawn, listed_name, patches_last
from analysis.tokens.attention.heads import HeadReader, answering, asked_head, heads_of
from analysis.tokens.attention.measures import KEYS, keys_for
from analysis.tokens.attention.position_null import FEWEST, even_rows, others_interval, others_rows
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
NAMES = ("this sample", "by places alone", "beyond places", "received from all")


@dataclass(frozen=True)
class AttentionPatternParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    query: int | None = param(
        None, "The token that looks, from 0; automatic: the class token, or the last of a text.", low=0,
        high=1_000_000,
    )  # fmt: skip
    maximum_samples: int = param(
        32,
        "Most samples that it is compared with; a seeded random subset above.",
        low=2,
        high=2000,
        late=True,
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_pattern(
    activations, params: AttentionPatternParams = AttentionPatternParams(), rng=None, progress=no_progress
) -> TokenMap:
    """What one query of a head reads.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    TokenMap
        This sample, what places alone give, the difference, and what each token receives from all.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample, layer, head or query; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress, also=params.sample)
    at = int(np.flatnonzero(reader.samples == params.sample)[0])
    layer, head = asked_head(reader, params.layer, params.head)
    query = int(answering(reader.layout)[at]) if params.query is None else params.query
    if query >= reader.tokens or not reader.layout.present[at, query]:
        raise ParameterError(
            f"query = {query}", f"a token of the sample, 0 to {int(reader.layout.present[at].sum()) - 1}",
            "Choose another, or none: then the class token asks, or the last of a text",
        )  # fmt: skip
    rows, may = reader.rows(layer, head, query, query + 1), reader.allowed(query, query + 1)
    null = others_rows(rows, may)
    progress(0.8, "what tokens receive")
    got = received(reader, layer, head, at)
    progress(1.0, "done")
    return _map(reader, at, layer, head, query, (rows[:, 0], null[:, 0], may[:, 0]), got)


def received(reader: HeadReader, layer: int, head: int, sample: int) -> np.ndarray:
    """(T,) mass that tokens of one sample receive, over what they would if all were read alike."""
    got, even = np.zeros(reader.tokens), np.zeros(reader.tokens)
    for start, stop in reader.parts():
        got += reader.rows(layer, head, start, stop)[sample].sum(axis=0)
        even += even_rows(reader.allowed(start, stop))[sample].sum(axis=0)
    return got / np.where(even > 0, even, 1)


def _map(reader: HeadReader, at, layer, head, query, found, got) -> TokenMap:
    rows, null, may = found
    there = reader.layout.present[at]
    share = may[at].sum() * np.stack([rows[at], null[at], rows[at] - null[at]])
    values = np.vstack([share, got])[:, there][:, patches_last(reader, at)]
    tokens = np.flatnonzero(there)[patches_last(reader, at)]
    grid, leading, picture, words = drawn(reader, at)
    beside = beside_the_picture(reader, at, words, share[0, there]) if grid and leading else ""
    asked = reader.layout.present[:, query]
    apart = 0.5 * np.abs(rows - null).sum(axis=1)
    asker = asker_name(reader, at, query, words)
    return TokenMap(
        title=f"What {asker} reads: layer {layer + 1}, head {head + 1}, sample {int(reader.samples[at])}",
        reading=_reading(reader, at, query, rows, null, may, asker, words),
        estimates=_estimates(reader, at, apart, asked, rows, may),
        caveats=(*reader.notes, *_caveats(beside)),
        samples=np.full(len(values), reader.samples[at]), values=values, value_name="times an even share",
        grid=grid, leading=leading, names=NAMES, pictures=None if picture is None else picture[None],
        words=(words,) if words and grid is None else (), tokens=tokens,
        token_names=tuple(listed_name(reader, at, int(t), words) for t in tokens),
        asked=int(np.flatnonzero(tokens == query)[0]),
    )  # fmt: skip


def _reading(reader, at, query, rows, null, may, asker, words) -> str:
    best = int(rows[at].argmax())
    name = asker_name(reader, at, best, words)
    places = int(null[at].argmax())
    usual = "as places alone would" if places == best else "which places alone would not"
    return (
        f"{asker[0].upper()}{asker[1:]} reads {name} most, {rows[at, best]:.0%} of its mass, {usual}; "
        f"{int(keys_for(rows[at]))} of {int(may[at].sum())} keys hold 90 % (by places alone "
        f"{int(keys_for(null[at]))}). "
        "By places alone: the mean of the other samples at the same places, all that a head can do that does not look "
        "at content. Received: what all queries together read of each token."
    )


def _estimates(reader, at, apart, asked, rows, may) -> tuple[Estimate, ...]:
    n, d, each = int(asked.sum()), reader.width, apart[asked]
    others = np.delete(apart, at)[np.delete(asked, at)]
    usual = {"null_method": "none: no other sample has this query"}
    if len(others):
        usual = {"null": float(others.mean()), "null_method": f"the other {len(others)} samples"}
        if n >= FEWEST:
            low, high = band(others[:, None])[:, 0]
            usual |= {"null_low": float(low), "null_high": float(high)}
    keys = keys_for(rows[asked]).astype(np.float64)
    even = keys_for(even_rows(may[:, None])[asked, 0]).mean()
    return (
        Estimate("how far this sample is from places alone", float(apart[at]), **usual, n=1, d=d,
                 interval="none: one sample", estimator="total variation between rows"),
        Estimate("over samples: how far from places alone", float(each.mean()), **others_interval(each, 0.0, 1.0),
                 null=0.0, null_method="a head that goes by places alone", n=n, d=d, estimator="mean total variation"),
        Estimate(KEYS, float(keys.mean()), **mean_interval(keys, 1.0), n=n, d=d, unit="keys", null=float(even),
                 null_method="all keys of this query read alike", estimator="mean over samples"),
    )  # fmt: skip


def _caveats(beside: str) -> list[str]:
    said = ["What a token is paid is not what it matters for; one sample is an anecdote."]
    return [*said, beside] if beside else said


def _cost(shapes, params: AttentionPatternParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5  # of a network its own memory comes on top
    passes = min(n, params.maximum_samples) + 2
    return Cost(OPENING + m.seconds(flops64=2.0 * n * RUN * d, moved=held) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A query that only its own copy answers; even attention; a text's first token in the eyes of all."""
    from analysis.activations import ArrayActivations, Layout

    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 400))
    layout = Layout(np.arange(0, 61, 6))
    sharp = attention_pattern(
        ArrayActivations(x, name="planted", layout=layout), AttentionPatternParams(query=3)
    )
    pair = rng.standard_normal((12, 400))
    pair[3], pair[9] = pair[1], pair[11]  # a twin at another place in each of two samples
    twins = attention_pattern(
        ArrayActivations(pair, name="twins", layout=Layout(np.array([0, 6, 12]))),
        AttentionPatternParams(query=4),
    )
    flat = attention_pattern(ArrayActivations(np.full((60, 8), 1.0), name="flat", layout=layout))
    return (
        CheckLine("far apart tokens read themselves: times an even share of 7", 7.0, sharp.values[0, 3], 1e-3),
        CheckLine("alike tokens: times an even share", 1.0, float(flat.values[0].max()), 1e-9),
        CheckLine("alike tokens: from places alone", 0.0, flat.estimates[0].value, 1e-9),
        CheckLine("half of it at another place than in the other: apart", 0.5, twins.estimates[0].value, 1e-3),
        CheckLine("received adds up", 7.0, float(flat.values[3].sum()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_pattern", family="tokens", network="attention",
        title="What one head looks at", version=5, function=attention_pattern,
        summary="One query of one head in one sample, on the image or the words, beside what places alone would give.",
        params=AttentionPatternParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of the other samples; one constant added to all scores of a query",
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
