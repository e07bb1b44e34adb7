"""How many keys hold 90 % and 99 % of what queries read, as the context grows?

For nested parts of m tokens of each sample (the first m of a text, m at random of others), the mean over queries of the
fewest keys that hold 90 % (99 %) of the row of attention among them, made whole: the budget that a pruned or cached
attention would need if it knew which keys. A line that stops rising: as many keys do for any context.

Interval: Student's t over samples that are long enough. Null: Gaussian queries and keys with the sample's joint mean
and covariance; beside it, all keys read alike (0.9 m of m).

When it lies: the keys are known afterwards, and a rule has to guess them; mass is not what values do with it; queries
of a text read backwards, so that half of them have fewer than m / 2 keys; contexts end where the samples do.

Cost: one pass of each sample, then samples x heads x T² sorted for each part; a block of queries is held at a time.

References: P. Indyk, M. Kapralov, K. Sheth & T. Wagner (2024), "Kernel matrix-vector multiplication under sparsity
assumptions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HeadReader, asked_head, heads_of, planted
from analysis.tokens.attention.sparsity import LEAST, NOT_DRAWN, gaussian, needs, over_contexts, ranks
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, SIZES, MASSES = 4.0, 8, (0.9, 0.99)
ALIKE, ALONE = "90 %, all keys read alike", {"interval": "none: one sample"}
NULL = "Gaussian queries and keys of the same joint mean and covariance"


@dataclass(frozen=True)
class KeyCoverageParams:
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    head: int | None = param(
        None,
        "Its number in the layer, from 1; automatic: mean over all heads of the layer.",
        low=1,
        high=1000,
    )
    maximum_samples: int = param(
        16, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def key_coverage(
    activations, params: KeyCoverageParams = KeyCoverageParams(), rng=None, progress=no_progress
) -> Curve:
    """Keys that hold most of the mass, over the length of the context.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Curve
        Keys for 90 % and 99 % of a row, mean over queries and samples, over the tokens in the context.

    Raises
    ------
    ParameterError, NotEnoughData
        No such layer or head; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    layer, head = asked_head(reader, params.layer, params.head or 1)
    heads = range(reader.heads) if params.head is None else (head,)
    sizes, rank, other = contexts(reader), ranks(reader.layout, rng), gaussian(reader, rng)
    progress(0.5, "counting keys")
    found = np.stack([keys_needed(reader, layer, heads, rank, sizes, mass) for mass in MASSES])
    progress(0.75, "counting keys of Gaussian heads")
    null = np.stack([keys_needed(other, layer, heads, rank, sizes, mass) for mass in MASSES])
    progress(1.0, "done")
    which = f"layer {layer + 1}" + ("" if params.head is None else f", head {head + 1}")
    return _curve(reader, sizes, found, null, which, len(heads))


def contexts(reader: HeadReader) -> np.ndarray:
    """(s,) sizes of contexts that two samples at least have, rising by the same factor."""
    longest = int(np.sort(reader.layout.present.sum(axis=1))[-2])
    return np.unique(np.rint(np.geomspace(min(LEAST, longest), longest, SIZES)).astype(int))


def keys_needed(reader: HeadReader, layer: int, heads, rank, sizes: np.ndarray, mass: float) -> np.ndarray:
    """(n, s) keys for this mass, mean over heads and queries; NaN where the sample is shorter."""
    each = np.broadcast_to(sizes, (reader.n, len(sizes)))
    told = np.zeros(each.shape)
    for head in heads:
        total, count = over_contexts(reader, layer, head, rank, each, needs(mass))
        told += total / count / len(heads)
    return np.where(each <= reader.layout.present.sum(axis=1)[:, None], told, np.nan)


def _curve(reader, sizes, found, null, which: str, heads: int) -> Curve:
    names = [f"{mass:.0%}".replace("%", " %") for mass in MASSES]
    value, chance = np.nanmean(found, axis=1), np.nanmean(null, axis=1)
    ends = [[mean_interval(x[np.isfinite(x)], 1.0) for x in of.T] for of in found]
    keys = (np.arange(1, sizes.max() + 1) * MASSES[0] - 1e-9).astype(int) + 1
    alike = np.array([keys[:m].mean() if reader.layout.causal else keys[m - 1] for m in sizes], np.float64)
    rise, free = (np.array([_rise(sizes, one) for one in of[0]]) for of in (found, null))
    told = np.isfinite(rise) & np.isfinite(free)
    last = found[:, np.isfinite(found[0, :, -1]), -1]
    return Curve(
        title=f"Keys that hold 90 % and 99 % of what {which} of {reader.what} reads",
        reading=f"In {sizes[-1]} tokens {value[0, -1]:.1f} keys hold 90 % and {value[1, -1]:.1f} hold 99 % of a row on "
        f"average (Gaussian queries and keys: {chance[0, -1]:.1f} and {chance[1, -1]:.1f}; all read alike: "
        f"{alike[-1]:.1f})."
        + (
            f" Over the last half of its contexts keys for 90 % of a sample grow like the context to the power "
            f"{rise[told].mean():.2f} (Gaussian {free[told].mean():.2f})." if told.any() else ""
        ),
        caveats=(*reader.notes, *_of_fewer(found[0], sizes), *([NOT_DRAWN] if reader.weights is not None else []),
                 "Which keys these are is known only afterwards; a rule has to guess them.",
                 *(["A query of a text reads backwards: in a context of m it has m / 2 keys on average."]
                   if reader.layout.causal else [])),
        estimates=(*(
            Estimate(f"keys for {name} in {sizes[-1]} tokens", float(x.mean()), **(mean_interval(x, 1.0) or ALONE),
                     null=float(c), null_method=NULL, n=len(x), d=heads, unit="keys",
                     estimator="mean over queries, heads and samples")
            for name, x, c in zip(names, last, chance[:, -1], strict=True)
        ), *([] if not told.any() else [
            Estimate("power that keys for 90 % grow with", float(rise[told].mean()),
                     **(mean_interval(rise[told]) or ALONE), null=float(free[told].mean()), null_method=NULL,
                     n=int(told.sum()), d=heads, estimator="least squares on logarithms of each sample, mean")])),
        x=sizes.astype(np.float64), x_name="tokens in the context", y_name="keys, mean over queries", log_x=True,
        series={**dict(zip(names, value, strict=True)), ALIKE: alike}, controls=(ALIKE,),
        low={name: np.array([e.get("low", np.nan) for e in of]) for name, of in zip(names, ends, strict=True)},
        high={name: np.array([e.get("high", np.nan) for e in of]) for name, of in zip(names, ends, strict=True)},
        null=dict(zip(names, chance, strict=True)),
    )  # fmt: skip


def _of_fewer(found: np.ndarray, sizes: np.ndarray) -> list[str]:
    """What is to be said where not all samples are long enough."""
    n = np.isfinite(found).sum(axis=0)
    if n[-1] == n[0]:
        return []
    return [
        f"{n[0]} samples have {sizes[0]} tokens, {n[-1]} have {sizes[-1]}: the curve is not of the same ones."
    ]


def _rise(sizes: np.ndarray, keys: np.ndarray) -> float:
    """Slope of log keys on log size over the upper half of the contexts that a sample has; NaN of fewer than two."""
    there = np.flatnonzero(np.isfinite(keys))
    there = there[len(there) // 2 :]
    if len(there) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes[there]), np.log(keys[there]), 1)[0])


def _cost(shapes, params: KeyCoverageParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=8.0 * rows * RUN * d, moved=held + 8.0 * n * d, calls=900.0 * samples)
        + 2e-3 * passes, held, passes,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """All alike: 0.9 m and 0.99 m of m; each its own key: one."""
    rng = np.random.default_rng(0)
    same, own = np.zeros((2, 50, 3)), np.broadcast_to(np.eye(50), (2, 50, 50))
    alike, apart, text = planted(same, same), planted(own, own, scale=200.0), planted(same, same, causal=True)
    rank, sizes = ranks(alike.layout, rng), np.array([10, 50])
    even, few = (keys_needed(r, 0, (0,), rank, sizes, 0.9)[0] for r in (alike, apart))
    back = keys_needed(text, 0, (0,), ranks(text.layout, rng), np.array([10]), 0.9)[0, 0]
    return (
        CheckLine("10 keys alike: for 90 %", 9.0, even[0], 1e-9),
        CheckLine("50 keys alike: for 90 %", 45.0, even[1], 1e-9),
        CheckLine(
            "50 keys alike: for 99 %", 50.0, keys_needed(alike, 0, (0,), rank, sizes, 0.99)[0, 1], 1e-9
        ),
        CheckLine("each its own: for 90 %", 1.0, few[1], 1e-9),
        CheckLine(
            "10 words, alike, backwards", np.mean([np.ceil(0.9 * i - 1e-9) for i in range(1, 11)]), back, 1e-9
        ),
    )


METHODS = (
    Method(
        id="key_coverage", family="tokens", network="attention",
        title="How many keys hold what is read?", version=4, function=key_coverage,
        summary="Keys that hold 90 and 99 % of a row of attention, over the length of the context.",
        params=KeyCoverageParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("Kernel matrix-vector multiplication under sparsity assumptions",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
