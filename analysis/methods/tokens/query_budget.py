"""How many tokens should each frame get for a query? A budget shared out by relevance, against as many for each.

    n_t = B s_t / Σ s,      s_t = mean_i exp(cos(x_ti - m, q - m) / τ)

over the tokens of frame t, m the mean of all frames, q the mean of the query's tokens. Every frame gets the whole part
of its share, what is left goes to the largest remainders: Σ n_t = B. Frames are samples that follow each other; the
query is any sample of the store. In the paper a language model that is asked scores the frames.

Interval: jackknife over groups of units, which says how far the shares hang on single units. Null: other samples as
queries, which gives each frame what it gets whatever is asked for; of the frame that gets most, what the first frame of
another query gets, whichever that is.

When it lies: a cosine in the space of a tap is no relevance to a question; a query that is among the frames gets most
of the budget; frames of few tokens cannot give more than they have, which is said and not mended; near 0 τ gives all to
one frame, far above 1 the same to each.

Cost: O(frames · tokens · d) for each query.

Reference: Y. Luo, W. Chen, X. Zheng, W. Huang, S. Yin, H. Lin, C. Fu, J. Huang, J. Ji, J. Luo & R. Ji (2025), "QuoTA:
query-oriented token assignment via CoT query decouple for long video comprehension".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations, Layout, as_activations
from analysis.arrays import chosen_samples, finite_rows
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotFound
from analysis.results import Curve, Estimate
from analysis.sources.stored_pictures import stored_pictures
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.shared_budget import shared
from analysis.tokens.pooling.weighted_volume import cosines

QUERIES, FEWEST = 40, 6
ASKED, UNIFORM = "by relevance to the query", "as many for each frame"
EXACT, PICTURED = "before rounding", 128  # frames of which pictures are kept


@dataclass(frozen=True)
class QueryBudgetParams:
    sample: int = param(0, "The query: a sample.", low=0)
    first: int = param(1, "The first frame: a sample.", low=0)
    frames: int = param(16, "Samples in a row that are frames.", low=2, high=512)
    budget: int = param(64, "Tokens to share out.", low=1, high=1_000_000)
    temperature: float = param(0.25, "τ of relevance: small favours few frames.", low=0.01, high=100.0)


def query_budget(
    activations, params: QueryBudgetParams = QueryBudgetParams(), rng=None, progress=no_progress
) -> Curve:
    """Tokens of every frame.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Tokens of frames that are samples in a row; of a tap of one row a sample each frame is one vector.

    Returns
    -------
    Curve
        Tokens over frames: by relevance, as bars over the frames' pictures where the store has some, before rounding,
        and as many for each; null: other queries. Estimates: the share of the frame that gets most, frames that count
        in effect.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample; fewer than two frames, or than six samples with a finite row.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    n = tap.layout.n_samples
    refuse_few(tap.name, n, FEWEST, "sample(s)")
    for name, value in (("sample", params.sample), ("first", params.first)):
        if value >= n:
            raise NotFound(f"{name} = {value}", f"a sample from 0 to {n - 1:,}")
    progress(0.0, "reading frames")
    numbers = np.arange(params.first, min(params.first + params.frames, n))
    found = [(i, _tokens(tap, int(i), seen)) for i in numbers]
    found = [(i, x) for i, x in found if len(x)]
    refuse_few(tap.name, len(found), 2, "frame(s) with a finite token")
    numbers, frames = np.array([i for i, _ in found]), [x for _, x in found]
    query = _tokens(tap, params.sample, seen)
    refuse_few(f"sample {params.sample}", len(query), 1, "finite token(s)")
    middle = np.concatenate(frames).mean(axis=0)
    progress(0.4, "other queries")
    asked = _other_queries(n, numbers, params.sample, rng)
    others = [_tokens(tap, int(i), seen) for i in asked]
    others = [q.mean(axis=0) - middle for q in others if len(q)]
    refuse_few(tap.name, len(others), 2, "other sample(s) with a finite token, as queries of the null")
    frames = [x - middle for x in frames]
    progress(0.6, "relevance")
    scores = relevance(frames, query.mean(axis=0) - middle, params.temperature)
    chance = np.array([_share(relevance(frames, q, params.temperature)) for q in others])
    progress(0.8, "without groups of units")
    without = _without_units(frames, query.mean(axis=0) - middle, params.temperature, rng)
    progress(1.0, "done")
    notes = list(seen.notes)
    if np.isin(asked, numbers).any():
        notes.append(
            "All other samples are frames: queries of the null are frames too, and favour themselves."
        )
    pictures = stored_pictures(tap, numbers) if len(numbers) <= PICTURED else None
    return _curve(tap.name, numbers, frames, scores, chance, without, params, notes, tap.shape[1], pictures)


def _other_queries(n: int, frames: np.ndarray, query: int, rng) -> np.ndarray:
    """Samples that are neither frames nor the query; where there are none, frames too."""
    some = np.setdiff1d(chosen_samples(n, QUERIES + len(frames), rng), [query])
    away = np.setdiff1d(some, frames)
    return (away if len(away) else some)[:QUERIES]


def relevance(frames: list[np.ndarray], query: np.ndarray, temperature: float) -> np.ndarray:
    """(F,) mean exp((cos - 1) / τ) of frames (T, d) each; the largest there could be is 1."""
    with np.errstate(under="ignore"):
        return np.array([np.exp((cosines(x, query) - 1) / temperature).mean() for x in frames])


def _share(scores: np.ndarray) -> np.ndarray:
    total = scores.sum()
    return scores / total if total > 0 else np.full(len(scores), 1 / len(scores))


def _tokens(tap: Activations, sample: int, seen: Pass) -> np.ndarray:
    """(T, d) finite tokens of one sample, without what stands before a grid."""
    layout = tap.layout
    lead = 0 if layout.is_pooled else layout.leading
    x = np.asarray(tap.take(np.arange(layout.offsets[sample] + lead, layout.offsets[sample + 1])), np.float64)
    good = finite_rows(x)
    seen.n_rows += len(x)
    seen.n_nonfinite += int(len(x) - good.sum())
    seen.n_samples += 1
    return x[good]


def _without_units(frames, query, temperature: float, rng) -> np.ndarray:
    """(G, F) shares without each group of units."""
    d = len(query)
    if d < 3:
        return np.zeros((0, len(frames)))
    keeps = [np.setdiff1d(np.arange(d), g) for g in sample_groups(d, rng)]
    return np.array([_share(relevance([x[:, k] for x in frames], query[k], temperature)) for k in keeps])


def _curve(name, numbers, frames, scores, chance, without, params, notes, d, pictures) -> Curve:
    share, count = _share(scores), len(frames)
    tokens, uniform = (shared(s, params.budget) for s in (share, np.ones(count)))
    half = jackknife_half(without) if len(without) else None
    ends = {} if half is None else {
        "low": {ASKED: np.maximum(np.minimum(params.budget * (share - half), tokens), 0.0)},
        "high": {ASKED: np.maximum(params.budget * (share + half), tokens)},
    }  # fmt: skip
    usual = chance.mean(axis=0)
    short = [i for i, t, x in zip(numbers, tokens, frames, strict=True) if t > len(x)]
    said = [
        *notes,
        "A cosine stands for relevance; a language model that was asked would score frames otherwise.",
    ]
    if params.sample in numbers:
        said.append(f"The query, sample {params.sample}, is one of the frames.")
    if short:
        said.append(f"{len(short)} of {count} frames get more tokens than they have.")
    best = int(share.argmax())
    reading = (
        f"Frame {numbers[best]} gets most, {tokens[best]} of {params.budget} tokens; alike each would get about "
        f"{params.budget / count:.3g}. Other queries give it {params.budget * usual[best]:.3g}; the frame that "
        f"another query likes most gets {params.budget * chance.max(axis=1).mean():.3g}."
    )
    return Curve(
        title=f"Tokens of each frame for sample {params.sample}, {name}", reading=reading, caveats=tuple(said),
        estimates=_estimates(share, chance, without, half, count, d, numbers), x=numbers.astype(float),
        x_name="frame (sample)", y_name="tokens", controls=(UNIFORM,),
        series={ASKED: tokens.astype(float), EXACT: params.budget * share, UNIFORM: uniform.astype(float)},
        bars=(ASKED,), pictures=pictures,
        null={ASKED: params.budget * usual}, **ends,
    )  # fmt: skip


def _estimates(share, chance, without, half, count: int, d: int, numbers) -> tuple[Estimate, ...]:
    best = int(share.argmax())
    how = "jackknife over groups of units"
    none = {"interval": "none: too few units to leave some out"}
    ends = none if half is None else {"low": max(float(share[best] - half[best]), 0.0),
                               "high": min(float(share[best] + half[best]), 1.0), "interval": how}  # fmt: skip
    frames = float(effective(share[None])[0])
    spread = jackknife_half(effective(without)) if len(without) else None
    around = none if spread is None else {"low": max(frames - float(spread), 1.0), "high": frames + float(spread),
                                        "interval": how}  # fmt: skip
    return (
        Estimate(f"share of the budget, frame {numbers[best]}", float(share[best]), **ends,
                 **against(float(share[best]), chance.max(axis=1)), n=count, d=d, estimator="before rounding",
                 null_method="the first frame of other samples as queries"),
        Estimate("frames that count in effect", frames, **around, null=float(effective(chance).mean()),
                 null_method="other samples as queries", n=count, d=d, estimator="exp of the entropy of shares"),
    )  # fmt: skip


def _cost(shapes, params: QueryBudgetParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.frames * 16)
    held = 8.0 * d * (3.0 * params.frames + QUERIES) + 4e4
    return Cost(
        0.005 + m.seconds(moved=8.0 * rows * d * QUERIES, calls=60.0 * QUERIES * params.frames) + 1e-9 * n,
        held,
    )


def _check() -> tuple[CheckLine, ...]:
    """The budget is spent exactly; equal frames get alike; a frame like the query gets most; hot: alike. Two frames,
    along the query and against it at τ = 2: shares 1 / (1 + e^{-1}) and the rest."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 4, 30))
    x[5] = x[12] + 0.1 * rng.standard_normal((4, 30))

    def found(x, **more):
        n, t, d = x.shape
        tap = ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(n + 1) * t))
        return query_budget(tap, QueryBudgetParams(**more))

    near = found(x, sample=12, first=0, frames=10, budget=101)
    hot = found(x, sample=12, first=0, frames=10, budget=100, temperature=100.0).series[ASKED]
    two = np.array([[1.0, 0], [-1, 0], [1, 0], [0, 1], [0, 2], [1, 1]])[:, None]
    ends = found(two, sample=2, first=0, frames=2, budget=1000, temperature=2.0).series[ASKED]
    return (
        CheckLine("tokens in all", 101.0, float(near.series[ASKED].sum()), 0.0),
        CheckLine("the frame that is like the query", 5.0, float(near.series[ASKED].argmax()), 0.0),
        CheckLine("equal frames", 10.0, float(found(np.ones((6, 2, 3)), frames=5, budget=50).series[ASKED].max()), 0.0),
        CheckLine("hot: alike", 10.0, float(hot.max()), 1.0),
        CheckLine("along and against the query: tokens", round(1000 / (1 + np.exp(-1))), float(ends[0]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="query_budget", family="tokens", title="Tokens of frames for a query", version=3, function=query_budget,
        summary="A budget of tokens shared out over frames by relevance, against as many for each.",
        params=QueryBudgetParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotations of the units, one scale for all, a constant added to a unit; the order of tokens",
        papers=("QuoTA: Query-oriented Token Assignment via CoT Query Decouple for Long Video Comprehension",),
    ),
)  # fmt: skip
