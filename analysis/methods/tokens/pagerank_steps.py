"""What does a score by PageRank become with more steps? Its share on the first token, and which tokens it would keep.

    p ← (1 - δ) p A + δ / t,    A = softmax(log a / τ) row by row, K steps from the uniform p

for every head of a layer, then the root mean square over heads: the score of AIM, which takes K = 5, δ = 0, τ = 0.1. Of
each number of steps is told

    first      p_1 / Σ p, the share of the score on the first token
    the same   |A ∩ B| / |A ∪ B| of the half of the tokens that are kept by it and by the published five steps

Below a causal mask the first token is the only one that reads nothing but itself: without damping all mass ends there,
whatever the tokens hold, and a score is one of a number of steps. δ > 0 keeps it spread.

Interval: Student's t over samples. Null: of the share attention that reads all alike, walked in the same way; of the
sets as many tokens at random (exact).

When it lies: what a walk along one layer's attention reaches need not matter for the answer; a share of the first token
as large as the null is the mask's and not the network's; sets may agree because both follow the place (compare the
score divided by that of even attention, a setting of the rule); heads with large mass rule the root mean square.

Cost: one pass of each sample, then samples x heads x T² for each step, twice; a block of queries is held at a time.

References: Y. Zhong, Z. Liu, Y. Li & L. Wang (2025), "AIM: adaptive inference of multi-modal LLMs via token merging and
pruning".
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
from analysis.tokens.attention.position_null import even_rows
from analysis.tokens.choosing import lowest
from analysis.tokens.rules.pagerank import PAPER, sharpened
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.survivors import chance_jaccards, jaccard
from analysis.tokens.tap_dump import RUN

OPENING, PUBLISHED = 4.0, 5
FIRST, SAME = "share on the first token", "same half kept as with 5 steps"
MEAN_FIRST = "The first token is the mean of the others, which stands for what reads them."


@dataclass(frozen=True)
class PagerankStepsParams:
    layer: int | None = param(
        None, "Its number, from 1; automatic: the tap's, else the last.", low=1, high=1000
    )
    steps: int = param(20, "Most steps of the walk.", low=PUBLISHED, high=200)
    damping: float = param(0.0, "Share δ that starts anew at any token in every step.", low=0.0, high=1.0)
    temperature: float = param(0.1, "τ of the softmax over the logits of attention.", low=0.01, high=10.0)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def pagerank_steps(
    activations, params: PagerankStepsParams = PagerankStepsParams(), rng=None, progress=no_progress
) -> Curve:
    """The score by PageRank after every number of steps.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Curve
        Over steps: share of the score on the first token, and how much of the half that is kept stays the same.

    Raises
    ------
    ParameterError, NotEnoughData
        No such layer; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    layer, _ = asked_head(reader, params.layer, 1)
    found = walked(reader, layer, params, lambda f: progress(0.4 + 0.4 * f, "walking along attention"))
    null = walked(
        reader, layer, params, lambda f: progress(0.8 + 0.2 * f, "walking along even attention"), True
    )
    progress(1.0, "done")
    return _curve(reader, layer, params, first_shares(found, reader), first_shares(null, reader),
                  *kept_alike(found, reader))  # fmt: skip


def walked(
    reader: HeadReader, layer: int, params: PagerankStepsParams, progress=lambda f: None, alike: bool = False
) -> np.ndarray:
    """(K, n, T) score after each of the steps; `alike`: of attention that reads all it may alike."""
    heads = range(1 if alike else reader.heads)
    there = reader.layout.present
    start = there / there.sum(axis=1, keepdims=True)
    mass, out = np.repeat(start[None], len(heads), axis=0), np.empty((params.steps, *start.shape))
    for step in range(params.steps):
        progress(step / params.steps)
        new = np.zeros_like(mass)
        for first, end in reader.parts():
            for head in heads:
                rows = even_rows(reader.allowed(first, end)) if alike else sharpened(
                    reader.rows(layer, head, first, end), params.temperature)  # fmt: skip
                new[head] += (mass[head, :, None, first:end] @ rows)[:, 0]
        mass = (1 - params.damping) * new + params.damping * start
        out[step] = np.sqrt(np.square(mass).mean(axis=0))
    return out


def first_shares(scores: np.ndarray, reader: HeadReader) -> np.ndarray:
    """(K, n) share of scores (K, n, T) on the first token that is no padding."""
    first = reader.layout.present.argmax(axis=1)
    return scores[:, np.arange(reader.n), first] / np.maximum(scores.sum(axis=2), 1e-300)


def kept_alike(scores: np.ndarray, reader: HeadReader) -> tuple[np.ndarray, np.ndarray]:
    """((K, n) Jaccard index of the half of the tokens that each number of steps keeps and the published one, (n,) the
    same by chance). Of tokens that a rule may remove, where there are any."""
    free = reader.layout.free if reader.layout.free.any(axis=1).all() else reader.layout.present
    remove = free.sum(axis=1) // 2
    kept = [free & ~lowest(score, free, remove) for score in scores]
    published = kept[PUBLISHED - 1]
    return np.stack([jaccard(k, published) for k in kept]), chance_jaccards(free, published, published)


def _curve(reader, layer: int, params: PagerankStepsParams, first, null, same, chance) -> Curve:
    value = {FIRST: first, SAME: same}
    ends = {name: [mean_interval(x, 0.0, 1.0) for x in of] for name, of in value.items()}
    free = {FIRST: null.mean(axis=1), SAME: np.full(params.steps, chance.mean())}
    at, last = PUBLISHED - 1, params.steps
    known = {"n": reader.n, "d": reader.heads, "estimator": "mean over samples", "unit": "share"}
    mask = (
        "below a causal mask all mass ends there" if reader.layout.causal else "no token reads itself alone"
    )
    return Curve(
        title=f"PageRank of layer {layer + 1} of {reader.what}, step by step",
        reading=f"After {PUBLISHED} steps {first[at].mean():.0%} of the score lies on the first token, after {last} "
        f"{first[-1].mean():.0%} (attention that reads all alike: {null[at].mean():.0%} and {null[-1].mean():.0%}; "
        f"{mask if params.damping == 0 else 'damped'}). One step keeps {same[0].mean():.0%} of the same half as "
        f"{PUBLISHED}, {last} steps {same[-1].mean():.0%} (by chance {chance.mean():.0%}).",
        caveats=(*reader.notes, *([MEAN_FIRST] if reader.mean_first else []),
                 f"{reader.heads} heads, root mean square; temperature {params.temperature:g}, damping "
                 f"{params.damping:g}. What is kept is half of the tokens, behind this layer alone."),
        estimates=(
            Estimate(f"{FIRST}, {PUBLISHED} steps", float(first[at].mean()), **ends[FIRST][at],
                     null=float(null[at].mean()), null_method="attention that reads all alike", **known),
            Estimate("one step: same half kept", float(same[0].mean()), **ends[SAME][0], null=float(chance.mean()),
                     null_method="as many tokens at random", **known),
        ),
        x=np.arange(1.0, last + 1), x_name="steps", y_name="share",
        series={k: v.mean(axis=1) for k, v in value.items()},
        low={k: np.array([e.get("low", np.nan) for e in of]) for k, of in ends.items()},
        high={k: np.array([e.get("high", np.nan) for e in of]) for k, of in ends.items()}, null=free,
    )  # fmt: skip


def _cost(shapes, params: PagerankStepsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    work = 4.0 * rows * RUN * (d + 10) * params.steps
    return Cost(
        OPENING
        + m.seconds(flops64=work, moved=held + 8.0 * n * d, calls=30.0 * params.steps)
        + 2e-3 * passes,
        held,
        passes,
    )


def _check() -> tuple[CheckLine, ...]:
    """Uniform causal attention over 20 tokens: 0.18, 0.8227 and 0.99999 after 1, 5 and 20 steps; all damped, and
    attention to all alike: 1/20."""
    zeros = np.zeros((2, 2, 20, 3))
    text, picture = planted(*zeros, causal=True), planted(*zeros)
    asked = PagerankStepsParams()
    found, flat = (first_shares(walked(r, 0, asked), r)[:, 0] for r in (text, picture))
    damped = first_shares(walked(text, 0, PagerankStepsParams(damping=1.0)), text)[:, 0]
    one = sum(1 / (i + 1) for i in range(20)) / 20
    same, _ = kept_alike(walked(text, 0, asked), text)
    return (
        CheckLine("uniform causal attention, 1 step", one, found[0], 1e-12),
        CheckLine("5 steps", 0.8227, found[4], 5e-5),
        CheckLine("20 steps", 0.99999, found[19], 1e-5),
        CheckLine("attention to all alike, 20 steps", 0.05, flat[19], 1e-12),
        CheckLine("all of it starts anew", 0.05, damped[19], 1e-12),
        CheckLine("even attention is its own null", 0.0,
                  np.abs(walked(text, 0, asked) - walked(text, 0, asked, alike=True)).max(), 1e-12),
        CheckLine("five steps keep what five keep", 1.0, same[4].min(), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="pagerank_steps", family="tokens", network="attention",
        title="PageRank, step by step", version=1, function=pagerank_steps,
        summary="Share of the score on the first token, and which half of the tokens it keeps, over steps of the walk.",
        params=PagerankStepsParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query", papers=PAPER,
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
