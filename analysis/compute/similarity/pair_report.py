"""How alike two samples are, against how alike others are; and which parts of it lie beyond what others give."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.draw_ends import tail
from analysis.compute.statistics.nulls import against, wilson
from analysis.results import Estimate

DRAWS = 400
EXACT = "of these two samples it is exact"


def score_estimates(
    score: float, partners: np.ndarray, pooled: np.ndarray, pair: tuple[int, int], rng: np.random.Generator,
    tokens: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[Estimate, ...]:  # fmt: skip
    """The `score` of two samples against those of the first with its `partners` (m,), and among disjoint random pairs
    of the others in `pooled` (n, d). `tokens`: of both, whose redrawing gives the interval of a score of means."""
    n, d = pooled.shape
    others = rng.permutation(np.setdiff1d(np.arange(n), pair))
    half = len(others) // 2
    first, second = pooled[others[:half]], pooled[others[half : 2 * half]]
    pairs = (first * second).sum(axis=1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))
    below = float((pairs < score).sum() + (pairs == score).sum() / 2)
    interval = {"interval": f"none: {EXACT}"} if tokens is None else _redrawn(*tokens, score, rng)
    share = below / max(half, 1)
    low, high = wilson(below, max(half, 1))
    return (
        Estimate("cosine of the two samples", score, **interval, **against(score, partners), n=n, d=d,
                 null_method=f"the first sample and each of {len(partners):,} random others",
                 estimator="of what the tap gives for them, pooled"),
        Estimate("other pairs that are less alike", share, min(low, share), max(high, share), n=half, d=d,
                 interval="Wilson over disjoint random pairs", null=0.5, null_method="a random pair",
                 estimator="share of random pairs of other samples, ties by half"),
    )  # fmt: skip


def _redrawn(x: np.ndarray, y: np.ndarray, score: float, rng: np.random.Generator) -> dict:
    """Percentiles of the score over redrawn tokens of both; nothing where one has too few to redraw."""
    if min(len(x), len(y)) < 4:
        return {"interval": f"none: {EXACT}"}
    draws = []
    for _ in range(DRAWS):
        f, g = (t[rng.integers(len(t), size=len(t))].mean(axis=0) for t in (x, y))
        size = np.linalg.norm(f) * np.linalg.norm(g)
        draws.append(f @ g / size if size > 0 else 0.0)
    low, high = np.percentile(draws, [2.5, 97.5])
    return {
        "low": float(min(low, score)),
        "high": float(max(high, score)),
        "interval": "bootstrap over the tokens of both",
    }


def beyond_estimate(values: np.ndarray, null: np.ndarray, draws: int, d: int) -> Estimate:
    """The share of the parts (m,) outside the null's ends (2, m), of those that are anything but 0 here or there."""
    beyond, m = outside(values, null), max(int(((null[0] < null[1]) | (values != 0)).sum()), 1)
    low, high = wilson(beyond, m)
    share = beyond / m
    return Estimate(
        "parts beyond the null", share, min(low, share), max(high, share), interval="Wilson over parts",
        null=2 * tail(draws) / (draws + 1), null_method=f"the same parts with {draws} other partners, exact",
        n=m, d=d, estimator="outside what random partners give",
    )  # fmt: skip


def outside(values: np.ndarray, null: np.ndarray) -> int:
    """How many of the parts (m,) lie outside the null's ends (2, m), beyond rounding."""
    slack = 1e-9 * max(float(np.abs(values).max(initial=0)), 1e-300)
    return int(((values < null[0] - slack) | (values > null[1] + slack)).sum())
