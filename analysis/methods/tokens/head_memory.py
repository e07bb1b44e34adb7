"""A head as a memory: which tokens does it keep apart, and which melt into one?

The keys x_i of one sample are stored patterns. From every key

    ξ <- X' softmax(β X ξ)        β = a factor of 1 / sqrt(width of the head)

runs to its fixed point; tokens with one fixed point are one memory. Beside each

    separation      Δ_i = x_i · x_i - max_j x_i · x_j; retrieval errs like exp(-β Δ)
    keys for 90 %   fewest keys that hold 90 % of its own row of attention: one (single), fewer than half (metastable),
                    or more (global)

The energy -lse(β, X ξ) + ξ'ξ / 2 + log(N) / β + M² / 2 never rises on the way.

Interval: Student's t over samples. Null: Gaussian tokens whose queries and keys together have exactly the mean and
covariance of the sample's.

When it lies: the network takes one step, from a query and not from a key, and adds values and the shortcut: these are
what the keys would do if left to themselves; few long keys capture all; a shared mean of the keys moves everything
alike; what counts as one point is a tolerance (0.001 of the longest key).

Cost: one pass of each sample, at most 400 updates of N² e.

References: H. Ramsauer et al. (2021), "Hopfield networks is all you need".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.drawn import asker_name, drawn
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of
from analysis.tokens.attention.measures import keys_for
from analysis.tokens.attention.memory import distinct, energy, like_both, retrieved, separation, update
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, MOST = 4.0, 512  # seconds; keys that are started from
SINGLE, METASTABLE, GLOBAL = "single", "metastable", "global"
HELP = {
    "token": "The token whose key it is.",
    "fixed point": "Number of the memory that its key runs to; equal numbers are one memory.",
    "tokens in it": "How many keys run to the same.",
    "separation": "Its product with itself less the largest with another; below 0 another one is nearer by product.",
    "keys for 90 %": "Fewest keys that hold 90 % of what it reads.",
    "reads": "One key (single), fewer than half of the keys (metastable), or more (global).",
}


@dataclass(frozen=True)
class HeadMemoryParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    sharpness: float = param(
        1.0, "Factor of β = 1 / sqrt(width): small melts, large keeps apart.", low=1e-3, high=1e4
    )
    maximum_samples: int = param(
        16, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def head_memory(
    activations, params: HeadMemoryParams = HeadMemoryParams(), rng=None, progress=no_progress
) -> Table:
    """The memories of one head in one sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Table
        A line for each token, with the memory that its key runs to. Estimates over samples.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample, layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress, also=params.sample)
    at = int(np.flatnonzero(reader.samples == params.sample)[0])
    layer, head = asked_head(reader, params.layer, params.head)
    told, chance, shown, stays = [], [], None, True
    for b in range(reader.n):
        progress(0.4 + 0.6 * b / reader.n, "running to fixed points")
        there = reader.layout.present[b]
        queries, keys = (x[layer][b, head][there].astype(np.float64) for x in (reader.queries, reader.keys))
        of, apart, still = memories(keys, params.sharpness)
        told.append(_numbers(of, apart))
        other = like_both(queries, keys, rng, reader.mean_first)[1]
        chance.append(_numbers(*memories(other, params.sharpness)[:2]))
        if b == at:
            shown = of, apart
        stays &= still
    progress(1.0, "done")
    return _table(reader, at, layer, head, shown, np.array(told), np.array(chance), stays)


def memories(keys: np.ndarray, sharpness: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """((m,) fixed point of each key, (m,) separation, whether all stay) of at most 512 keys."""
    size = float(np.sqrt(np.square(keys).sum(axis=1).max()))
    points, stays = retrieved(keys, keys[:MOST], sharpness / np.sqrt(keys.shape[1]))
    return distinct(points, size), separation(keys)[:MOST], stays


def _numbers(of, apart) -> tuple[float, float, float]:
    """Memories per token, share of the largest, mean separation."""
    return (of.max() + 1) / len(of), float(np.bincount(of).max() / len(of)), float(apart.mean())


def _table(reader: HeadReader, at, layer, head, shown, told, chance, stays) -> Table:
    of, apart = shown
    there = np.flatnonzero(reader.layout.present[at])[: len(of)]
    words = drawn(reader, at)[3]
    row = _rows(reader, layer, head, at, there)
    readable = (
        np.cumsum(reader.layout.present[at])[there]
        if reader.layout.causal
        else reader.layout.present[at].sum()
    )
    kind = np.where(row <= 1, SINGLE, np.where(row < 0.5 * readable, METASTABLE, GLOBAL))
    count = np.bincount(of)
    notes = [] if stays else ["Some states still moved after 400 updates."]
    if reader.layout.present[at].sum() > MOST:
        notes.append(f"The first {MOST} keys were started from; all are stored.")
    return Table(
        title=f"Memories of layer {layer + 1}, head {head + 1} in sample {int(reader.samples[at])}",
        reading=_reading(of, count, told, chance, kind),
        caveats=(*reader.notes, *notes, "Keys left to themselves: a network takes one step, from a query."),
        estimates=_estimates(reader, told, chance),
        columns={
            "token": np.array([f"{t}: {asker_name(reader, at, int(t), words)}" for t in there]),
            "fixed point": of + 1, "tokens in it": count[of], "separation": apart, "keys for 90 %": row, "reads": kind,
        }, index="token", help=HELP,
    )  # fmt: skip


def _rows(reader, layer, head, at, there) -> np.ndarray:
    """(m,) keys that hold 90 % of the rows of these tokens."""
    found = np.zeros(reader.tokens, int)
    for start, stop in reader.parts():
        found[start:stop] = keys_for(reader.rows(layer, head, start, stop)[at])
    return found[there]


def _reading(of, count, told, chance, kind) -> str:
    words = {SINGLE: "one key (single)", METASTABLE: "fewer than half of the keys (metastable)",
             GLOBAL: "half of the keys or more (global)"}  # fmt: skip
    most = ", ".join(f"{(kind == k).sum()} {text}" for k, text in words.items() if (kind == k).any())
    many = "one memory" if len(count) == 1 else f"{len(count)} memories, the largest of {count.max()}"
    return (
        "A memory is where a key stays when the head's attention is applied to it again and again. "
        f"{len(of)} keys run to {many}. Of the tokens' rows, 90 % of the mass lies on: {most}. Over samples there are "
        f"{told[:, 0].mean():.2f} memories a token, of Gaussian keys of the same spread {chance[:, 0].mean():.2f}."
    )


def _estimates(reader, told, chance) -> tuple[Estimate, ...]:
    facts = {"n": len(told), "d": reader.queries[0].shape[3], "estimator": "mean over samples",
             "null_method": "Gaussian tokens whose queries and keys have the same mean and covariance"}  # fmt: skip
    names = (
        ("memories a token", 0.0, 1.0),
        ("share of the largest memory", 0.0, 1.0),
        ("separation", -np.inf, np.inf),
    )
    return tuple(
        Estimate(name, float(told[:, i].mean()), **mean_interval(told[:, i], low, high),
                 null=float(chance[:, i].mean()), **facts)
        for i, (name, low, high) in enumerate(names)
    )  # fmt: skip


def _cost(shapes, params: HeadMemoryParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5  # of a network its own memory comes on top
    samples = min(max(n // RUN, 1), params.maximum_samples)
    flops = 2.0 * n * RUN * d + samples * 800.0 * RUN**2 * d
    passes = min(n, params.maximum_samples) + 2
    return Cost(
        OPENING + m.seconds(flops64=flops, moved=held, calls=2000.0 * samples) + 2e-3 * passes, held, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """Eight unit patterns: β = 30 gives them back, β near 0 their mean; copies are one memory; energy falls."""
    rng = np.random.default_rng(1)
    x = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    back, _ = retrieved(x, x, 30.0)
    melted, _ = retrieved(x, x, 1e-6)
    state, fall = rng.standard_normal((5, 8)), []
    for _ in range(20):
        new = update(x, state, 4.0)
        fall.append((energy(x, state, 4.0) - energy(x, new, 4.0)).min())
        state = new
    pair = 3.0 + 2.0 * rng.standard_normal((40, 4))
    drawn = np.hstack(like_both(pair[:, :2], pair[:, 2:], rng))
    apart = np.abs(np.cov(drawn.T) - np.cov(pair.T)).max()
    wide = 2.0 * np.eye(4)
    twice = np.repeat(x[:4], 2, axis=0)
    return (
        CheckLine("β = 30: stored patterns come back", 0.0, np.abs(back - x).max(), 1e-9),
        CheckLine("β near 0: the mean of all", 0.0, np.abs(melted - x.mean(axis=0)).max(), 1e-6),
        CheckLine("energy never rises", 0.0, min(fall), 1e-12, "at least"),
        CheckLine("energy is not below 0", 0.0, energy(x, state, 4.0).min(), 1e-12, "at least"),
        CheckLine("four patterns there twice: memories", 4.0, memories(twice, 30 * np.sqrt(8))[0].max() + 1.0, 0.0),
        CheckLine("four of length 2 melt at β = 1/2", 1.0, memories(wide, 1.0)[0].max() + 1.0, 0.0),
        CheckLine("and are kept apart at β = 1", 4.0, memories(wide, 2.0)[0].max() + 1.0, 0.0),
        CheckLine("Gaussian queries and keys: mean", 0.0, np.abs(drawn.mean(axis=0) - pair.mean(axis=0)).max(), 1e-9),
        CheckLine("Gaussian queries and keys: covariance", 0.0, apart, 1e-9),
        CheckLine("orthonormal: separation", 1.0, separation(x).min(), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_memory", family="tokens", network="attention",
        title="A head as a memory", version=4, function=head_memory,
        summary="Keys as stored patterns: which tokens a head keeps apart, which melt into one, and how sharply.",
        params=HeadMemoryParams, result=Table, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of keys; one rotation of all of them",
        papers=("Hopfield Networks is All You Need",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
