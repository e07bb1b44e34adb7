"""Which heads do the same, and which are fixed patterns that could be cut? Heads against heads.

    likeness   cosine between the patterns of two heads in one sample, less what they do by place:
               <A_a - null_a, A_b - null_b> / (|.| |.|), null the mean of the other samples at the same places;
               mean over samples

Heads that share only where they look by place (all read the neighbour) have 0, those that go with the same content 1.
Null of a cell: the second head in another sample, plus likeness / (n - 1): what is left of n samples less the mean of
the others adds up to 0, so that copies would seem opposite there. Of the most alike pair: the most alike of as many
pairs in the null. Beside it, for every head, the share of its pattern that goes by content,

    (n - 1)/n |A - null|² / |A|²       0: a fixed pattern, which its mean may replace at little cost to what it looks at

the factor for what the mean of n - 1 others varies itself.

Interval: Student's t over samples. Cells count where likeness differs from 0, which the null is over all pairs of
samples (t over samples, Benjamini-Hochberg over pairs). With fewer than five samples there is neither: each is held
against the others.

When it lies: alike patterns with other values do other things, and a fixed pattern may matter (the previous word):
whether a head can be cut is what the answer loses without it, which this does not ask; heads without content of their
own have likenesses of noise; the null of few samples is noisy and shared by both heads.

Cost: one pass of each sample; (heads T)² a sample, a block of queries at a time.

References: P. Michel, O. Levy & G. Neubig (2019), "Are sixteen heads really better than one?"; A. Raganato, Y. Scherrer
& J. Tiedemann (2020), "Fixed encoder self-attention patterns in transformer-based machine translation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HELD, HeadReader, heads_of, planted
from analysis.tokens.attention.position_null import FEWEST, others_interval, others_rows
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, Q = 4.0, 0.05


@dataclass(frozen=True)
class HeadSimilarityParams:
    maximum_samples: int = param(24, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def head_similarity(
    activations, params: HeadSimilarityParams = HeadSimilarityParams(), rng=None, progress=no_progress
) -> Matrix:
    """Likeness of all heads of a network.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Matrix
        Heads by heads; estimates on pairs that are alike and on the share that goes by content.

    Raises
    ------
    NotEnoughData
        Fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    found = likeness(reader, lambda f, doing="": progress(0.4 + 0.6 * f, doing))
    progress(1.0, "done")
    return _matrix(reader, *found)


def likeness(reader: HeadReader, progress=no_progress, held: int = HELD):
    """((n, G, G) likeness, (n, G, G) with the second head in the next sample, (n, G) share that goes by content) of G
    heads, layer by layer."""
    which = [(layer, head) for layer in range(reader.layers) for head in range(reader.heads)]
    own, crossed = (np.zeros((reader.n, len(which), len(which))) for _ in range(2))
    whole = np.zeros((reader.n, len(which)))
    for start, stop in reader.parts(max(held // len(which), 1)):
        progress(start / reader.tokens, "comparing heads")
        may, parts = reader.allowed(start, stop), []
        for g, (layer, head) in enumerate(which):
            rows = reader.rows(layer, head, start, stop)
            whole[:, g] += np.square(rows).sum(axis=(1, 2))
            parts.append((rows - others_rows(rows, may)).reshape(reader.n, -1))
        x = np.stack(parts, axis=1)  # (n, G, queries x T)
        own += x @ x.transpose(0, 2, 1)
        crossed += x @ np.roll(x, 1, axis=0).transpose(0, 2, 1)
    size = np.sqrt(np.einsum("ngg->ng", own))
    size = np.where(size > 1e-9 * np.sqrt(np.maximum(whole, 1e-300)), size, np.inf)  # nothing beyond places
    fewer = (reader.n - 1) / reader.n  # the mean of the others varies too
    content = np.where(np.isfinite(size), fewer * np.square(size) / np.maximum(whole, 1e-300), 0.0)
    own = own / (size[:, :, None] * size[:, None])
    crossed = crossed / (size[:, :, None] * np.roll(size, 1, axis=0)[:, None])
    return own, crossed + own.mean(axis=0) / (reader.n - 1), content


def _matrix(reader: HeadReader, own, crossed, content) -> Matrix:
    n, g = own.shape[:2]
    value, null = own.mean(axis=0), crossed.mean(axis=0)
    error = own.std(axis=0, ddof=1) / np.sqrt(n)
    t = np.abs(value) / np.where(error > 1e-12, error, 1e-12)
    upper, enough = np.triu_indices(g, 1), n >= FEWEST
    q = np.ones((g, g))
    q[upper] = benjamini_hochberg(2 * stdtr(n - 1, -t[upper])) if enough else 1.0
    more = (np.minimum(q, q.T) <= Q) & ~np.eye(g, dtype=bool)
    half = stdtrit(n - 1, 0.975) * own.std(axis=0, ddof=1) / np.sqrt(n)
    ends = (np.maximum(value - half, -1), np.minimum(value + half, 1)) if enough else (None, None)
    names = tuple(f"{layer + 1}.{head + 1}" for layer in range(reader.layers) for head in range(reader.heads))
    return Matrix(
        title=f"Heads alike beyond places, of {reader.what}",
        reading=_reading(names, value, null, content, more if enough else None),
        caveats=(*reader.notes, *_caveats(n)), estimates=_estimates(reader, own, crossed, content),
        values=value, null=null, low=ends[0], high=ends[1], significant=more if enough else None,
        row_names=names, column_names=names, value_name="likeness beyond places", limits=(-1.0, 1.0), diverging=True,
    )  # fmt: skip


def _reading(names, value, null, content, more) -> str:
    by_content = content.mean(axis=0)
    fixed = int(by_content.argmin())
    said = f"Head {names[fixed]} goes least by content ({by_content[fixed]:.0%}), nearest to a fixed pattern."
    if len(names) < 2:
        return f"There is one head; {by_content[0]:.0%} of its pattern goes by content."
    apart = np.where(np.eye(len(names), dtype=bool), -np.inf, value)
    a, b = np.unravel_index(apart.argmax(), apart.shape)
    upper = np.triu_indices(len(names), 1)
    chance, of = null[upper].max(), len(upper[0])
    tested = "too few samples to test pairs" if more is None else (
        f"{int(more[upper].sum())} of {of} pairs differ from chance"
    )  # fmt: skip
    return (
        f"Most alike are heads {names[min(a, b)]} and {names[max(a, b)]} (layer.head; {apart[a, b]:.2f}; by chance the "
        f"most alike of {of} pair{'s' if of > 1 else ''} has {chance:.2f}); {tested}. {said}"
    )


def _caveats(n: int) -> list[str]:
    return [
        f"{n} samples; the null of each is the mean of the others.",
        "Whether a head can be cut is what the answer loses without it; this is about what it looks at.",
    ]


def _estimates(reader, own, crossed, content) -> tuple[Estimate, ...]:
    n, d, g = reader.n, reader.width, own.shape[1]
    each = content.mean(axis=1)
    told = [
        Estimate("share that goes by content", float(each.mean()), **others_interval(each, 0.0, 1.0), null=0.0, n=n,
                 d=d, null_method="heads that go by places alone", estimator="mean over heads and samples")
    ]  # fmt: skip
    if g > 1:
        upper = np.triu_indices(g, 1)
        pair, chance = (np.abs(x[:, upper[0], upper[1]]).mean(axis=1) for x in (own, crossed))
        told.append(Estimate("likeness of two heads, mean size", float(pair.mean()), **others_interval(pair, 0.0, 1.0),
                             null=float(chance.mean()), null_method="the second head in another sample", n=n, d=d,
                             estimator="mean over pairs and samples"))  # fmt: skip
    return tuple(told)


def _cost(shapes, params: HeadSimilarityParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    flops = 20.0 * rows * RUN * d
    return Cost(OPENING + m.seconds(flops64=flops, moved=held + 8.0 * n * d) + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """A head and its copy; two that have nothing in common; two that go by the same places."""
    rng = np.random.default_rng(0)
    q, k, other_q, other_k = rng.standard_normal((4, 20, 12, 4))
    reader = planted(q, k)
    reader.queries, reader.keys = ([np.stack(x, axis=1)] for x in ((q, q, other_q), (k, k, other_k)))
    own, _, content = (x.mean(axis=0) for x in likeness(reader))
    place = np.broadcast_to(rng.standard_normal((12, 4)), (5, 12, 4))
    fixed = planted(place, place)
    fixed.queries, fixed.keys = [np.stack([place, place], axis=1)], [np.stack([place, place], axis=1)]
    by_place = likeness(fixed)
    four = planted(q[:4], k[:4])
    four.queries, four.keys = [np.stack([q[:4]] * 2, axis=1)], [np.stack([k[:4]] * 2, axis=1)]
    sharp = planted(np.eye(3)[[[0, 0, 0], [1, 1, 1]]] * 1e3, np.eye(3)[[[0, 1, 2]] * 2])
    return (
        CheckLine("copies, the second in another sample", 0.0, likeness(four)[1][:, 0, 1].mean(), 0.15),
        CheckLine(
            "two samples of which each reads its own key: by content", 1.0, likeness(sharp)[2].min(), 1e-9
        ),
        CheckLine("a head and its copy", 1.0, own[0, 1], 1e-12),
        CheckLine("heads of nothing in common", 0.0, own[0, 2], 0.1),
        CheckLine("by the same places: likeness beyond them", 0.0, np.abs(by_place[0]).max(), 1e-12),
        CheckLine("by places: share that goes by content", 0.0, by_place[2].max(), 1e-12),
        CheckLine("by content: its share", 0.1, content.min(), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="head_similarity", family="tokens", network="attention",
        title="Heads that do the same", version=3, function=head_similarity,
        summary="Heads against heads: how alike their patterns are beyond places, and which are fixed patterns.",
        params=HeadSimilarityParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
