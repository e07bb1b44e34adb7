"""Could this head be held in fewer numbers: blocks of many sizes, few keys of each query, or few dimensions?

At budgets that none goes beyond, shares of all entries that may be read, the relative error |Â - A| / |A| of

    blocks          the adaptive multi-resolution approximation: a block has the score q̄ · k̄ of its mean query and key,
                    which is the mean of its scores exactly; the heaviest is cut in four until the budget is spent
    largest keys    the largest entries of each row
    low rank        singular vectors of A, 2 m numbers a direction

all with rows that sum to 1. Beside it the mass that blocks miss: exp(mean) <= mean(exp), so that pooled attention gives
less than there is. Or blocks alone, one line for each head of the layer. At the full budget blocks are exact.

Interval: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and covariance (a token
stays as like itself as it is), which keep the spread and lose the order of tokens that blocks live on.

When it lies: largest keys and low rank are chosen knowing the attention, blocks are not; blocks are runs of neighbours
in the order of tokens (of a picture, rows of patches); numbers are counted, and neither time nor the indices that
say where they belong; an error of A is not one of the answer. At most 192 tokens of a sample are taken.

Cost: one pass of each sample, and T² log T + one SVD of T x T for each sample, twice.

References: Z. Zeng, S. Pal, J. Kline, G. Fung & V. Singh (2022), "Multi resolution analysis (MRA) for approximate
self-attention".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of
from analysis.tokens.attention.memory import like_both
from analysis.tokens.attention.multiresolution import Blocks, compared, missed_mass, said_of, scaled
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, SHARES, TOLD = 4.0, np.array([0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0]), 2
BLOCKS, KEYS, RANK, MISSED = "blocks", "largest keys", "low rank", "mass that blocks miss"
WAYS, HEADS = "three ways, one head", "blocks, all heads of the layer"
NULL = "Gaussian queries and keys of the same joint mean and covariance"


@dataclass(frozen=True)
class AttentionCompressionParams:
    compare: str = param(WAYS, "Ways of one head, or heads of one way.", choices=(WAYS, HEADS))
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int = param(1, "Its number in the layer, from 1.", low=1, high=1000)
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=500, late=True)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_compression(
    activations,
    params: AttentionCompressionParams = AttentionCompressionParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Errors of attention from fewer numbers.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Curve
        Relative errors over the share of entries, and the mass that blocks miss.

    Raises
    ------
    ParameterError, NotEnoughData
        No such layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    layer, head = asked_head(reader, params.layer, params.head)
    heads = range(reader.heads) if params.compare == HEADS else (head,)
    found, null = (np.zeros((len(heads), reader.n, len(SHARES), 4)) for _ in range(2))
    causal = reader.layout.causal
    for i, h in enumerate(heads):
        for b in range(reader.n):
            progress(0.4 + 0.6 * (i * reader.n + b) / (len(heads) * reader.n), "cutting blocks")
            q, k = scaled(reader, layer, h, b)
            found[i, b] = compared(q, k, causal, SHARES)
            null[i, b] = compared(*like_both(q, k, rng, reader.mean_first), causal, SHARES)
    progress(1.0, "done")
    if params.compare == HEADS:
        names = [f"head {h + 1}" for h in heads]
        return _curve(reader, f"layer {layer + 1}", names, found[..., 0], null[..., 0])
    which = f"layer {layer + 1}, head {head + 1}"
    ways = (BLOCKS, KEYS, RANK, MISSED)
    return _curve(reader, which, ways, np.moveaxis(found[0], 2, 0), np.moveaxis(null[0], 2, 0))


def _mean(values: np.ndarray) -> np.ndarray:
    """(…) mean over the last axis but one of what is finite, NaN where nothing is."""
    there = np.isfinite(values)
    count = there.sum(axis=-2)
    return np.where(count > 0, np.where(there, values, 0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def _curve(reader: HeadReader, which: str, names, found, null) -> Curve:
    """Of (series, n, shares)."""
    value, chance = _mean(found), _mean(null)
    ends = [[mean_interval(x[np.isfinite(x)], 0.0) for x in of.T] for of in found]
    return Curve(
        title=f"Attention from fewer numbers: {which} of {reader.what}",
        reading=_reading(names, value, chance),
        caveats=(*said_of(reader), *_caveats(reader, names, value)),
        estimates=_estimates(reader, names, found, chance),
        x=SHARES, x_name="numbers held, as a share of the entries of attention",
        y_name="relative error, or share of mass" if MISSED in names else "relative error of attention",
        series=dict(zip(names, value, strict=True)), null=dict(zip(names, chance, strict=True)),
        low={n: np.array([e.get("low", np.nan) for e in of]) for n, of in zip(names, ends, strict=True)},
        high={n: np.array([e.get("high", np.nan) for e in of]) for n, of in zip(names, ends, strict=True)},
    )  # fmt: skip


def _told(value: np.ndarray) -> int:
    """The share that numbers are given for: the fifth, or the first that all have."""
    return next(i for i in range(TOLD, len(SHARES)) if np.isfinite(value[:, i]).all())


def _reading(names, value, chance) -> str:
    at = _told(value)
    start = f"At {SHARES[at]:.0%} of the numbers "
    if MISSED not in names:
        best, worst = int(value[:, at].argmin()), int(value[:, at].argmax())
        if len(names) == 1:
            return (
                f"{start}blocks give its only head with an error of {value[0, at]:.2f} (Gaussian queries and keys: "
                f"{chance[0, at]:.2f})."
            )
        return (
            f"{start}blocks give {names[best]} with an error of {value[best, at]:.2f} and {names[worst]} with "
            f"{value[worst, at]:.2f} (Gaussian queries and keys: {chance[best, at]:.2f} and {chance[worst, at]:.2f})."
        )
    said = ", ".join(
        f"{n} {v:.2f} ({c:.2f})" for n, v, c in zip(names[:3], value[:3, at], chance[:3, at], strict=True)
    )
    best = names[int(value[:3, at].argmin())]
    return (
        f"{start}the error is, with that of Gaussian queries and keys: {said}; {best} has the least. Blocks miss "
        f"{value[3, at]:.0%} of the mass before rows are made whole."
    )


def _caveats(reader, names, value) -> list[str]:
    said = ["Blocks do not know the attention beforehand; the other ways do." if MISSED in names
            else "Blocks are runs of neighbouring tokens."]  # fmt: skip
    if reader.layout.causal and not np.isfinite(value[:, 0]).all():
        said.append("Small budgets have no blocks: entries along the diagonal of a text are held one by one.")
    if KEYS in names:
        said.append("Where a budget has not one key for each row, those without read all alike.")
    if reader.layout.causal:
        said.append("Low rank pays for both halves of the square, of a text only one is read.")
    return said


def _estimates(reader, names, found, chance) -> tuple[Estimate, ...]:
    at, said = _told(_mean(found)), []
    for i, name in enumerate(names):
        each = found[i, :, at][np.isfinite(found[i, :, at])]
        said.append(
            Estimate(f"{name if name == MISSED else f'error of {name}'} at {SHARES[at]:.0%}", float(each.mean()),
                     **(mean_interval(each, 0.0) or {"interval": "none: one sample"}), null=float(chance[i, at]),
                     null_method=NULL, n=len(each),
                     d=reader.queries[0].shape[3], estimator="mean over samples")
        )  # fmt: skip
    return tuple(said)


def _cost(shapes, params: AttentionCompressionParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=8.0 * rows * RUN * d, moved=held + 8.0 * n * d, calls=6000.0 * samples)
        + 2e-3 * passes, held, passes,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Means of blocks are products of means; the full budget is exact; runs of equal tokens need few blocks."""
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 32, 5))
    found, runs = compared(q, k, True, SHARES), [np.repeat(x[:2], 16, axis=0) for x in (q, k)]
    blocks = Blocks(q, k, False).refine(40)
    scores, coarse = q @ k.T, blocks.scores()
    size, a, b = max(blocks.leaves)
    part = scores[a * size : (a + 1) * size, b * size : (b + 1) * size]
    all_ = np.ones((32, 32), bool)
    return (
        CheckLine("a block has the mean of its scores", float(part.mean()), blocks.leaves[size, a, b], 1e-12),
        CheckLine("full budget, blocks: error", 0.0, found[-1, 0], 1e-12),
        CheckLine("full budget, largest keys: error", 0.0, found[-1, 1], 1e-12),
        CheckLine("exp(mean) <= mean(exp)", 0.0, missed_mass(coarse, scores, all_), 0.0, "at least"),
        CheckLine("two runs of equal tokens: error of four blocks", 0.0,
                  compared(*runs, False, np.array([4 / 1024]))[0, 0], 1e-12),
        CheckLine("areas of blocks sum to all", 32 * 33 / 2,
                  sum(Blocks(q, k, True).area(*leaf) for leaf in Blocks(q, k, True).leaves), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_compression", family="tokens", network="attention",
        title="Attention from fewer numbers", version=4,
        function=attention_compression,
        summary="Errors of blocks of many sizes, of the largest keys and of low rank at the same budget, for a head.",
        params=AttentionCompressionParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one rotation of all queries and keys",
        papers=("Multi Resolution Analysis (MRA) for Approximate Self-Attention",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
