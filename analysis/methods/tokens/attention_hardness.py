"""Which heads could be computed cheaply, and what stands against it: large scores, rank, and the degree of polynomials.

For each head, mean over samples of

    bound       B = max |q_i · k_j| / √width, the mean key taken off (softmax does not see it), beside √log n
    rank        singular values of exp(scores) above 1 % of the largest, of n; rows are divided by their largest first,
                which softmax does not see
    degree      least degree of a polynomial in place of exp whose attention is within an error; it takes
                C(width + degree, degree) features of each query and key, whatever the number of tokens

A head is marked cheap "by polynomials" where it takes fewer features than it has tokens, or "by low rank" where a
quarter of n will do. The theorem: as n grows, attention is nearly linear where entries are of smaller order than
√log n, and nearly quadratic above (unless the strong exponential time hypothesis fails). Of networks that draw a
picture as maps from coarse to fine, `maps` gives the share of attention that each map takes: the last one of side n
alone costs n⁴.

Interval: Student's t over samples. Null: Gaussian queries and keys with the sample's joint mean and covariance.

When it lies: a theorem about growing n is guidance, and no verdict on one head of finite n; a polynomial may be worse
than another map of features; the largest score is one entry, often of a sink; low rank of exp(scores) is not yet a way
to find it without computing them. See also "Could attention be computed fast?", which asks for entries of queries and
keys. At most 192 tokens of a sample are taken.

Cost: one pass of each sample, and one SVD of T x T for each head and sample, twice.

References: Y. Ke et al. (2025), "On computational limits and provably efficient criteria of visual autoregressive
models"; J. Alman & Z. Song (2023), "Fast attention requires bounded entries".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.hardness import MOST_DEGREE, cost_of_maps, hardness
from analysis.tokens.attention.heads import HeadReader, heads_of
from analysis.tokens.attention.memory import like_both
from analysis.tokens.attention.multiresolution import said_of, scaled
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, LOW = 4.0, 0.25  # seconds; of the tokens: a low rank
NULL = "Gaussian queries and keys of the same joint mean and covariance"
HELP = {
    "layer.head": "Layer and head, both counted from 1.",
    "largest score": "Largest |q · k| / √width over pairs, the mean key taken off; mean over samples.",
    "largest score, low": "95 % interval of it over samples.",
    "largest score, high": "95 % interval of it over samples.",
    "of Gaussian": "The same of Gaussian queries and keys of the same joint mean and covariance.",
    "over √log n": "Largest score divided by √log n; theory has fast ways for those that stay well below 1.",
    "rank of exp": "Singular values of exp(scores), rows divided by their largest, above 1 % of the largest.",
    "rank of Gaussian": "The same of Gaussian queries and keys.",
    "degree": f"Least degree of a polynomial that is within the error; {MOST_DEGREE + 1}: none up to {MOST_DEGREE}.",
    "features": "Features of queries and keys that it takes; none where a sample has no such polynomial.",
    "cheap": "By polynomials: fewer features than tokens. By low rank: at most a quarter of the tokens.",
}


@dataclass(frozen=True)
class AttentionHardnessParams:
    error: float = param(0.1, "Largest relative error of attention by a polynomial.", low=1e-6, high=1.0)
    maps: str = param("", "Sides of maps from coarse to fine, such as 1 2 4 8; empty: none.")
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=500, late=True)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_hardness(
    activations, params: AttentionHardnessParams = AttentionHardnessParams(), rng=None, progress=no_progress
) -> Table:
    """What stands against fast attention, head by head.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Table
        A line for each head.

    Raises
    ------
    ParameterError, NotEnoughData
        Sides of maps that are no whole numbers; fewer than two samples of two tokens.
    """
    sides = sides_of(params.maps)
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    found, causal = [], reader.layout.causal
    for layer in range(reader.layers):
        for head in range(reader.heads):
            progress(0.4 + 0.6 * len(found) / (reader.layers * reader.heads), "measuring heads")
            pairs = [scaled(reader, layer, head, b) for b in range(reader.n)]
            own = [hardness(q, k, causal, params.error) for q, k in pairs]
            drawn = [like_both(q, k, rng, reader.mean_first) for q, k in pairs]
            free = [hardness(q, k, causal, params.error) for q, k in drawn]
            found.append((f"{layer + 1}.{head + 1}", own, free))
    progress(1.0, "done")
    return _table(reader, found, params.error, sides)


def sides_of(text: str) -> tuple[int, ...]:
    """Whole numbers from text. Raises ParameterError."""
    parts = text.replace(",", " ").split()
    if not all(p.isdigit() and int(p) > 0 for p in parts):
        raise ParameterError(f"maps = {text!r}", "sides of maps as whole numbers, such as 1 2 4 8 16")
    return tuple(int(p) for p in parts)


def _table(reader: HeadReader, found, limit: float, sides) -> Table:
    n = np.array([h.tokens for h in found[0][1]], np.float64)
    over = np.sqrt(np.log(np.maximum(n, 2)))
    bound, rank, degree = (
        np.array([[[getattr(h, name) for h in which] for which in both[1:]] for both in found], np.float64)
        for name in ("bound", "rank", "degree")
    )  # (heads, own or free, samples)
    (features, cheap), (_, free) = (_cheap([both[i] for both in found], n.mean()) for i in (1, 2))
    ends = [mean_interval(b, 0.0) for b in bound[:, 0]]
    below = (bound / over).mean(axis=2) < 1
    return Table(
        title=f"What stands against fast attention, of {reader.what}",
        reading="Fast approximations of attention are accurate where scores stay small (below about √log n) or "
        f"exp(scores) has a low rank. At {n.mean():.0f} tokens √log n is {over.mean():.2f}; "
        f"{int(below[:, 0].sum())} of {len(found)} heads "
        f"stay below it ({int(below[:, 1].sum())} of Gaussian ones). exp(scores) has a rank of {rank[:, 0].mean():.0f} "
        f"on average (Gaussian {rank[:, 1].mean():.0f}); "
        f"{int((cheap != '').sum())} are marked as cheap (Gaussian {int((free != '').sum())}).",
        caveats=(*said_of(reader), "√log n is about growing n and holds no constants: guidance, no verdict on a head.",
                 *(["Pairs that a text does not read are counted in largest score and rank."]
                   if reader.layout.causal else []),
                 *_maps_said(sides)),
        estimates=_estimates(reader, bound, rank / n, over),
        columns={
            "layer.head": np.array([name for name, *_ in found]), "cheap": cheap,
            "largest score": bound[:, 0].mean(axis=1),
            "of Gaussian": bound[:, 1].mean(axis=1), "over √log n": (bound[:, 0] / over).mean(axis=1),
            "rank of exp": rank[:, 0].mean(axis=1), "rank of Gaussian": rank[:, 1].mean(axis=1),
            "degree": np.median(degree[:, 0], axis=1), "features": features,
            "largest score, low": np.array([e["low"] for e in ends]),
            "largest score, high": np.array([e["high"] for e in ends]),
        }, index="layer.head", help=HELP,
    )  # fmt: skip


def _cheap(heads, n: float) -> tuple[np.ndarray, np.ndarray]:
    """(features that polynomials take, NaN where none will do; how it is cheap) of heads, samples of each."""
    few = np.array([max(h.degree for h in head) <= MOST_DEGREE for head in heads])
    features = np.where(few, [float(np.median([h.features for h in head])) for head in heads], np.nan)
    by_rank = np.array([np.mean([h.rank for h in head]) <= LOW * n for head in heads])
    by_powers = few & (features < n)
    return features, np.where(by_powers, np.where(by_rank, "by both", "by polynomials"),
                              np.where(by_rank, "by low rank", ""))  # fmt: skip


def _maps_said(sides) -> list[str]:
    if not sides:
        return []
    share = cost_of_maps(sides)
    return [
        f"Of maps of sides {', '.join(map(str, sides))} the last takes {share[-1]:.0%} of all attention"
        + (f", the one before it {share[-2]:.0%}." if len(sides) > 1 else ".")
    ]


def _estimates(reader, bound, rank, over) -> tuple[Estimate, ...]:
    heads, n = len(bound), bound.shape[2]
    facts = {"d": reader.queries[0].shape[3], "null_method": NULL}
    below = ((bound / over).mean(axis=2) < 1).astype(np.float64)
    each = {
        "largest score over √log n, mean over heads": bound / over,
        "rank of exp(scores), share of tokens": rank,
    }
    return (
        *(
            Estimate(name, float(x[:, 0].mean()), **mean_interval(x[:, 0].mean(axis=0), 0.0),
                     null=float(x[:, 1].mean()), n=n, estimator="mean over samples and heads", **facts)
            for name, x in each.items()
        ),
        Estimate("heads below √log n", float(below[:, 0].mean()), interval="none: these are all heads",
                 null=float(below[:, 1].mean()), n=heads, estimator="share of heads", **facts),
    )  # fmt: skip


def _cost(shapes, params: AttentionHardnessParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=8.0 * rows * RUN * d, moved=held + 8.0 * n * d, calls=3000.0 * samples)
        + 2e-3 * passes, held, passes,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Rank grows with the bound: about 9, 37, 147 of 256 at |scores| up to 0.5, 2, 6; equal keys need nothing."""
    rng = np.random.default_rng(0)
    q, k = rng.uniform(-1, 1, (2, 256, 8))
    k -= k.mean(axis=0)
    top = np.abs(q @ k.T).max()
    ranks = [hardness(q * (b / top), k, False, 0.1).rank for b in (0.5, 2.0, 6.0)]
    flat, small = hardness(q, np.ones((256, 8)), True, 1e-9), hardness(q * (0.5 / top), k, False, 1e-3)
    return (
        CheckLine("|scores| up to 0.5: rank", 9.0, ranks[0], 1.0),
        CheckLine("up to 2: rank", 37.0, ranks[1], 6.0),
        CheckLine("up to 6: rank", 147.0, ranks[2], 20.0),
        CheckLine("equal keys: largest score", 0.0, flat.bound, 1e-12),
        CheckLine("equal keys: degree", 0.0, float(flat.degree), 0.0),
        CheckLine("|scores| up to 0.5: degree for 0.1 %", 3.0, float(small.degree), 1.0),
        CheckLine("maps of 1 and 2: the last takes", 4 * 5 / 21, cost_of_maps((1, 2))[-1], 1e-12),
    )


METHODS = (
    Method(
        id="attention_hardness", family="tokens", network="attention",
        title="Which heads could be computed cheaply?", version=4,
        function=attention_hardness,
        summary="Head by head: the largest score beside √log n, the rank of exp(scores), the degree of a polynomial.",
        params=AttentionHardnessParams, result=Table, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of tokens; one vector added to all keys; one rotation of all queries and keys",
        papers=(
            "On Computational Limits and Provably Efficient Criteria of Visual Autoregressive Models: A Fine-Grained "
            "Complexity Analysis",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
