"""Where does a head need its entries one by one, and where do blocks do? The adaptive partition over its attention.

The attention of one head in one sample, in multiples of an even share (A_ij times the keys that query i may read), with
the blocks of the multi-resolution approximation drawn around it at a given budget: each block has the score q̄ · k̄ of
its mean query and key; the heaviest, area times exp(q̄ · k̄), is cut in four until the budget is spent.

Told: the error |Â - A| / |A| with rows made whole, and the mass that blocks miss, exp(mean) <= mean(exp).

Interval: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and covariance.

When it lies: blocks are runs of neighbours in the order of tokens (of a picture, rows of patches, so that what lies
below a patch is far away); a sink is a column, which squares hold badly; one sample is an anecdote. At most 192
tokens of a sample are taken.

Cost: one pass of each sample, T² log T for each of them.

References: Z. Zeng, S. Pal, J. Kline, G. Fung & V. Singh (2022), "Multi resolution analysis (MRA) for approximate
self-attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.drawn import drawn, short_name
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of
from analysis.tokens.attention.memory import like_both
from analysis.tokens.attention.multiresolution import (
    Blocks,
    attention_of,
    error,
    missed_mass,
    said_of,
    scaled,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
NULL = "Gaussian queries and keys of the same joint mean and covariance"


@dataclass(frozen=True)
class AttentionBlocksParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    share: float = param(
        0.1,
        "Blocks, as a share of the entries of attention (a text has at least its diagonal).",
        low=0.001,
        high=1.0,
    )
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=500, late=True)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_blocks(
    activations, params: AttentionBlocksParams = AttentionBlocksParams(), rng=None, progress=no_progress
) -> Matrix:
    """One head in one sample with the blocks that approximate it.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Matrix
        Queries by keys, with blocks around them. Estimates over samples.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample, layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress, also=params.sample)
    at = int(np.flatnonzero(reader.samples == params.sample)[0])
    layer, head = asked_head(reader, params.layer, params.head)
    told, chance = np.zeros((reader.n, 2)), np.zeros((reader.n, 2))
    for b in range(reader.n):
        progress(0.4 + 0.6 * b / reader.n, "cutting blocks")
        q, k = scaled(reader, layer, head, b)
        blocks, scores = cut(q, k, reader.layout.causal, params.share)
        free = like_both(q, k, rng, reader.mean_first)
        told[b] = errors(blocks, scores)
        chance[b] = errors(*cut(*free, reader.layout.causal, params.share))
        if b == at:
            shown = blocks, scores
    progress(1.0, "done")
    return _matrix(reader, at, layer, head, shown, told, chance)


def cut(q: np.ndarray, k: np.ndarray, causal: bool, share: float) -> tuple[Blocks, np.ndarray]:
    """(blocks, scores (m, m) with -inf where nothing may be read) of scaled q and k."""
    m = len(q)
    scores = np.where(np.tri(m, dtype=bool) | (not causal), q @ k.T, -np.inf)
    return Blocks(q, k, causal).refine(int(np.ceil(share * np.isfinite(scores).sum() - 1e-9))), scores


def errors(blocks: Blocks, scores: np.ndarray) -> tuple[float, float]:
    """(relative error of attention, share of mass that blocks miss)."""
    coarse = blocks.scores()
    return error(attention_of(coarse), attention_of(scores)), missed_mass(coarse, scores, np.isfinite(scores))


def _matrix(reader: HeadReader, at: int, layer: int, head: int, shown, told, chance) -> Matrix:
    blocks, scores = shown
    m, a, entries = len(scores), attention_of(scores), int(np.isfinite(scores).sum())
    values = a * np.isfinite(scores).sum(axis=1, keepdims=True)
    words = drawn(reader, at)[3]
    there = np.flatnonzero(reader.layout.present[at])[:m]
    names = tuple(f"{i}: {short_name(reader, at, int(t), words)}" for i, t in enumerate(there))
    single = sum(size == 1 for size, _, _ in blocks.leaves)
    return Matrix(
        title=f"Blocks over layer {layer + 1}, head {head + 1}, sample {int(reader.samples[at])}",
        reading=f"{len(blocks.leaves):,} blocks stand for {entries:,} entries; {single:,} entries are held one by one, "
        f"the largest block has {max(blocks.area(*leaf) for leaf in blocks.leaves):,}. The error of this sample is "
        f"{told[at, 0]:.2f}, over samples {told[:, 0].mean():.2f} (Gaussian queries and keys "
        f"{chance[:, 0].mean():.2f}); blocks miss {told[at, 1]:.0%} of the mass.",
        caveats=(*said_of(reader), "Colours end at the 99th percentile; blocks are runs of neighbouring tokens."),
        estimates=tuple(
            Estimate(name, float(told[:, i].mean()), **mean_interval(told[:, i], 0.0), null=float(chance[:, i].mean()),
                     null_method=NULL, n=len(told), d=reader.queries[0].shape[3], estimator="mean over samples")
            for i, name in enumerate(("relative error of attention", "mass that blocks miss"))
        ),
        values=values, row_names=names, column_names=names, value_name="times an even share",
        limits=(0.0, max(float(np.quantile(values[np.isfinite(scores)], 0.99)), 1.0)),
        outlines=blocks.outlines(), outline_name="blocks with one score each",
    )  # fmt: skip


def _cost(shapes, params: AttentionBlocksParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 20.0 * n * d + 300.0 * n + 1e5  # of a network its own memory comes on top
    samples = min(max(n // RUN, 1), params.maximum_samples)
    passes = min(n, params.maximum_samples) + 2
    return Cost(
        OPENING + m.seconds(flops64=2.0 * n * RUN * d, moved=held, calls=4000.0 * samples) + 2e-3 * passes,
        held,
        passes,
    )


def _check() -> tuple[CheckLine, ...]:
    """All entries: exact, and nothing is missed; blocks cover each entry once; equal tokens are one block."""
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 21, 4))
    full, part = cut(q, k, True, 1.0), cut(q, k, False, 0.2)
    cover = np.zeros((21, 21))
    for top, bottom, left, right in part[0].outlines():
        cover[top:bottom, left:right] += 1
    alike = cut(np.ones((21, 4)), np.ones((21, 4)), False, 0.001)
    return (
        CheckLine("all entries: error", 0.0, errors(*full)[0], 1e-12),
        CheckLine("all entries: mass missed", 0.0, errors(*full)[1], 1e-12),
        CheckLine("each entry is in blocks", 1.0, float(cover.min()), 0.0),
        CheckLine("and in no more than one", 1.0, float(cover.max()), 0.0),
        CheckLine("equal tokens: error of one block", 0.0, errors(*alike)[0], 1e-12),
        CheckLine("equal tokens: blocks", 1.0, float(len(alike[0].leaves)), 0.0),
        CheckLine("a fifth of the entries: mass missed", 0.0, errors(*part)[1], 0.0, "at least"),
    )


METHODS = (
    Method(
        id="attention_blocks", family="tokens", network="attention",
        title="Blocks over one head", version=4, function=attention_blocks,
        summary="The attention of a head in a sample, with the blocks of an adaptive approximation drawn around it.",
        params=AttentionBlocksParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of the other samples; one rotation of all queries and keys",
        papers=("Multi Resolution Analysis (MRA) for Approximate Self-Attention",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
