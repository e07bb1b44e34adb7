"""Does attention look sparse enough to be computed in less than all pairs? The slope of log mass on log context.

For nested parts of m tokens of each sample

    row mass        Σ_i Σ_j A_ij / max_j A_ij                        of the softmax, as the network reads
    distance        Σ_i Σ_j exp(-|q_i - k_j|² / 2σ²), σ² = √width    over all pairs

and the least-squares slope of log mass on log m. About 1: every query has a few keys however long the context is, which
is what fast products with kernel matrices assume (total mass linear in m). 2: all keys are alike, the worst case; read
only backwards it comes out a little below 2, which is told.

Interval of a head: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and
covariance: below it, attention is sparser than its spread alone makes it. Heads count where the two differ (paired t
over samples, Benjamini-Hochberg over heads).

When it lies: a slope over contexts of tens or hundreds of tokens says little about thousands; a single sink that all
queries read makes mass linear and is no sparsity that a hash would find; parts of a picture are random, not smaller
pictures; mass of the largest weight is not mass of the values.

Cost: one pass of each sample, then samples x heads x T² for each of six parts, twice; a block of queries is held at a
time.

References: P. Indyk, M. Kapralov, K. Sheth & T. Wagner (2024), "Kernel matrix-vector multiplication under sparsity
assumptions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.methods.tokens.attention_atlas import beyond
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HeadReader, heads_of, planted
from analysis.tokens.attention.position_null import Measured, even_rows
from analysis.tokens.attention.sparsity import (
    NOT_DRAWN,
    gaussian,
    kernel_mass,
    over_contexts,
    ranks,
    row_mass,
    sizes_of,
    slopes,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0
SOFTMAX, DISTANCE = "row mass of the softmax", "distance kernel"
NULL = "Gaussian queries and keys of the same joint mean and covariance"


@dataclass(frozen=True)
class AttentionSlopeParams:
    mass: str = param(SOFTMAX, "Which mass is followed over the context.", choices=(SOFTMAX, DISTANCE))
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_slope(
    activations, params: AttentionSlopeParams = AttentionSlopeParams(), rng=None, progress=no_progress
) -> Matrix:
    """The slope of log mass on log context, of all heads.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Matrix
        Layers by heads: mean slopes over samples with intervals, and those of Gaussian queries and keys.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    rank, other = ranks(reader.layout, rng), gaussian(reader, rng)
    value, null = (np.zeros((reader.layers, reader.heads, reader.n)) for _ in range(2))
    for layer in range(reader.layers):
        for head in range(reader.heads):
            progress(0.4 + 0.6 * (layer * reader.heads + head) / value[..., 0].size, "reading heads")
            value[layer, head] = of_head(reader, layer, head, rank, params.mass)
            null[layer, head] = of_head(other, layer, head, rank, params.mass)
    progress(1.0, "done")
    return _matrix(reader, Measured(value, null, _alike(reader, rank, params.mass)), params.mass)


def of_head(reader: HeadReader, layer: int, head: int, rank: np.ndarray, mass: str) -> np.ndarray:
    """(n,) slopes."""
    sizes = sizes_of(reader.layout)
    if mass == DISTANCE:
        return slopes(sizes, kernel_mass(reader, layer, head, rank, sizes))
    return slopes(sizes, over_contexts(reader, layer, head, rank, sizes, row_mass)[0])


def _alike(reader: HeadReader, rank: np.ndarray, mass: str) -> np.ndarray:
    """(n,) slopes where all keys are alike."""
    sizes = sizes_of(reader.layout)
    if mass == DISTANCE:
        return np.full(reader.n, 2.0)
    total = np.zeros(sizes.shape)
    for start, stop in reader.parts():
        rows = even_rows(reader.allowed(start, stop))
        for k in range(sizes.shape[1]):
            inside = rank < sizes[:, k, None]
            total[:, k] += (row_mass(rows * inside[:, None]) * inside[:, start:stop]).sum(axis=1)
    return slopes(sizes, total)


def _matrix(reader: HeadReader, found: Measured, mass: str) -> Matrix:
    n, value, null = reader.n, found.value.mean(axis=2), found.null.mean(axis=2)
    half = stdtrit(n - 1, 0.975) * found.value.std(axis=2, ddof=1) / np.sqrt(n)
    more, alike = beyond(found), float(found.even.mean())
    low, high = (np.unravel_index(f(value), value.shape) for f in (np.argmin, np.argmax))
    nearer = int((value < (1 + alike) / 2).sum())
    return Matrix(
        title=f"Slope of log mass on log context ({mass}), of {reader.what}",
        reading=f"Slopes run from {value[low]:.3g} (layer {low[0] + 1}, head {low[1] + 1}) to {value[high]:.3g} "
        f"(layer {high[0] + 1}, head {high[1] + 1}); 1 is a few keys however long the context, {alike:.3g} all keys "
        f"alike. {nearer} of {value.size} {'heads are' if value.size > 1 else 'head is'} nearer to the first, "
        f"{int((more & (value < null)).sum())} sparser than Gaussian queries and keys of the same spread.",
        caveats=(*reader.notes, f"Contexts of {sizes_of(reader.layout).min()} to {reader.layout.present.sum(1).max()} "
                 "tokens: what longer ones do is not known.",
                 *([NOT_DRAWN] if reader.weights is not None and mass == SOFTMAX else []),
                 "A sink that all queries read makes a slope of 1, too; see which keys are read."),
        estimates=_estimates(reader, found, more),
        values=value, null=null, low=value - half, high=value + half, significant=more,
        row_names=tuple(f"layer {i + 1}" for i in range(reader.layers)),
        column_names=tuple(f"head {h + 1}" for h in range(reader.heads)), value_name="slope of log mass on log context",
    )  # fmt: skip


def _estimates(reader, found: Measured, more: np.ndarray) -> tuple[Estimate, ...]:
    each, null = (x.mean(axis=(0, 1)) for x in (found.value, found.null))
    apart, facts = each - null, {"n": reader.n, "d": reader.queries[0].shape[3], "null_method": NULL}
    shared = more.reshape(-1).astype(np.float64)
    return (
        Estimate("slope, mean over heads", float(each.mean()), **mean_interval(each), null=float(null.mean()),
                 estimator="mean over samples of least squares on logarithms", **facts),
        Estimate("apart from Gaussian queries and keys", float(apart.mean()), **mean_interval(apart), null=0.0,
                 estimator="paired mean over samples", **facts),
        Estimate("heads unlike Gaussian ones", float(shared.mean()), interval="none: these are all heads", null=0.0,
                 null_method=f"{NULL}, at 5 % false discoveries", n=shared.size, d=facts["d"],
                 estimator="share of heads, Benjamini-Hochberg"),
    )  # fmt: skip


def _cost(shapes, params: AttentionSlopeParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    flops = 8.0 * rows * RUN * d
    return Cost(
        OPENING + m.seconds(flops64=flops, moved=held + 8.0 * n * d, calls=600.0 * samples) + 2e-3 * passes,
        held,
        passes,
    )


def _check() -> tuple[CheckLine, ...]:
    """Keys all alike: 2; each query its own key: 1; the kernel of equal points."""
    rng = np.random.default_rng(0)
    same, own = np.zeros((2, 48, 3)), np.broadcast_to(np.eye(48), (2, 48, 48))
    alike, apart = planted(same, same), planted(own, own, scale=200.0)
    rank = ranks(alike.layout, rng)
    text = planted(same, same, causal=True)
    return (
        CheckLine("all keys alike", 2.0, of_head(alike, 0, 0, rank, SOFTMAX)[0], 1e-9),
        CheckLine("all keys alike, distances", 2.0, of_head(alike, 0, 0, rank, DISTANCE)[0], 1e-9),
        CheckLine("each its own key", 1.0, of_head(apart, 0, 0, rank, SOFTMAX)[0], 1e-9),
        CheckLine("each its own key, distances", 1.0, of_head(apart, 0, 0, rank, DISTANCE)[0], 1e-9),
        CheckLine("alike and read backwards only", _alike(text, ranks(text.layout, rng), SOFTMAX)[0],
                  of_head(text, 0, 0, ranks(text.layout, rng), SOFTMAX)[0], 1e-12),
        CheckLine("which is below 2", 2.0, _alike(text, ranks(text.layout, rng), SOFTMAX)[0], 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_slope", family="tokens", network="attention",
        title="Is attention sparse as the context grows?", version=3,
        function=attention_slope,
        summary="Layers by heads: how the mass of attention grows with the context, 1 for a few keys, 2 for all alike.",
        params=AttentionSlopeParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query (row mass)",
        papers=("Kernel matrix-vector multiplication under sparsity assumptions",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
