"""How much of a module does each token use? Learners (parts of a module that a gate switches on) run per token.

    k(token) = learners whose gate is open;   mean k = the budget;   with a budget B the gates above the (1 - B)
    quantile of all are open, so that the mean is B E

Where the gate chooses how many (unit j: j learners), k is the unit with the largest value.

Null: learners that open independently, each as often as it does (Poisson-binomial, exact; of a choice of how many:
none but its own frequencies). The variance of k splits into that between samples and that between tokens of one sample:
conditional computation that only knows samples has none of the second. Intervals: jackknife over samples.

When it lies: learners need not cost the same; open gates are not seconds; k of a trained gate follows its own threshold
where that is not 0.5; what a token loses by fewer learners is not told.

Cost: one pass, O(n E).

Reference: B. Wójcik, A. Devoto, K. Pustelnik, P. Minervini & S. Scardapane (2024), "Adaptive computation modules:
granular conditional computation for efficient inference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.clustered_means import clustered_mean_interval
from analysis.compute.statistics.nulls import null_spread
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.learners import BUDGET_HELP, EACH, FEWEST, HOW_MANY, UNITS_HELP, learners_of

MOST_BINS, SWAPS = 60, 50


@dataclass(frozen=True)
class LearnersUsedParams:
    units: str = param(EACH, UNITS_HELP, choices=(EACH, HOW_MANY))
    budget: float | None = param(None, BUDGET_HELP, low=0.01, high=1.0)


def learners_used(
    activations, params: LearnersUsedParams = LearnersUsedParams(), rng=None, progress=no_progress
) -> Distribution:
    """Histogram of learners that tokens use.

    Parameters
    ----------
    activations : Activations or array (tokens, learners)
        Gates between 0 and 1, or what goes into their sigmoid; or scores of 0, 1, … learners.

    Returns
    -------
    Distribution
        Tokens by learners in use, beside independent ones. Estimates: mean, its share of all, spread, the part of it
        between tokens of one sample.

    Raises
    ------
    NotEnoughData
        Fewer than eight finite tokens, or two learners.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = learners_of(tap, params.units, params.budget, progress)
    k, most, null, of = found.used, found.most, found.chance, found.of
    progress(0.7, "comparing samples")
    edges = _edges(most)
    estimates = _estimates(k, most, null, of, rng)
    progress(1.0, "done")
    expected = None if null is None else np.histogram(np.arange(most + 1), edges, weights=null * len(k))[0]
    return Distribution(
        title=f"Learners that tokens of {tap.name} use", reading=_reading(estimates, most, k),
        caveats=(*found.notes, *_one_each(of), "Learners are counted, not timed."), estimates=estimates,
        edges=edges,
        counts={"tokens": np.histogram(k, edges)[0]}, value_name="learners in use", null=expected,
        markers={"mean (the budget)": float(k.mean())},
    )  # fmt: skip


def _edges(most: int) -> np.ndarray:
    step = -(-(most + 1) // MOST_BINS)
    return np.arange(0, -(-(most + 1) // step) + 1) * step - 0.5


def _between_tokens(k: np.ndarray, of: np.ndarray) -> float:
    """Share of the variance that is within samples; 0 where nothing varies."""
    counts = np.bincount(of)
    mean = np.bincount(of, weights=k) / counts
    whole = float(np.var(k))
    return float(np.square(k - mean[of]).mean() / whole) if whole > 0 else 0.0


def _estimates(k, most: int, null, of, rng) -> tuple[Estimate, ...]:
    n, common = len(k), {"n": len(k), "d": most}
    few = {"interval": "none: fewer than three samples"}
    mean, ends = (
        float(k.mean()),
        clustered_mean_interval(k, of, "samples", least=0.0, most=float(most)) or few,
    )
    scaled = {a: v if isinstance(v, str) else v / most for a, v in ends.items()}
    square = np.square(k - mean)
    spread = clustered_mean_interval(square, of, "samples", least=0.0) or few
    chance = {"null_method": "none: one choice, no learners of their own"}
    if null is not None:
        j = np.arange(len(null))
        chance = {"null": float(null @ j**2 - (null @ j) ** 2), "null_method": "independent learners, exact"}
    within = _between_tokens(k, of)
    moved = np.array([_between_tokens(rng.permutation(k), of) for _ in range(SWAPS)])
    full = {"null": float(most), "null_method": "all learners run"}
    return (
        Estimate("learners in use", mean, **ends, **full, estimator="mean over tokens", **common),
        Estimate("share of all learners", mean / most, **scaled, null=1.0, null_method="all learners run",
                 estimator="mean over tokens", **common),
        Estimate("variance of learners in use", float(square.mean()), **spread, **chance, estimator="over tokens",
                 **common),
        Estimate("share of it between tokens of one sample", within, interval="none: one number of all tokens",
                 **null_spread(moved), null_method=f"tokens exchanged between samples, {SWAPS} draws",
                 estimator="variance within samples over all", n=n, d=most),
    )  # fmt: skip


def _one_each(of: np.ndarray) -> list[str]:
    if np.bincount(of).max() > 1:
        return []
    return ["Every sample has one token: nothing can lie between tokens of one sample."]


def _reading(estimates, most: int, k) -> str:
    mean, share, spread, within = estimates
    beside = "" if spread.null is None else f" (independent learners: {spread.null:.1f})"
    return (
        f"A token uses {mean.value:.1f} of {most} learners on average ({share.value:.0%}), {k.min()} to {k.max()}. The "
        f"variance is {spread.value:.1f}{beside}, of which {within.value:.0%} lies between tokens of one sample, "
        f"{within.null:.0%} where tokens are exchanged between samples."
    )


def _cost(shapes, params: LearnersUsedParams) -> Cost:
    (n, e), m = shapes[0], machine()
    return Cost(0.02 + m.seconds(moved=n * e * 60.0 + SWAPS * n * 80.0), n * e * 8.0 * 3.5 + n * 60.0 + 1e4)


def _check() -> tuple[CheckLine, ...]:
    """The mean is the budget; independent gates vary like Σ p (1 - p); samples that share a number have no spread
    inside."""
    rng = np.random.default_rng(0)
    g = rng.random((4000, 6))
    plain = learners_used(ArrayActivations(g, "independent")).estimates
    held = learners_used(ArrayActivations(g, "independent"), LearnersUsedParams(budget=0.25)).estimates
    whole = learners_used(ArrayActivations(g, "independent"), LearnersUsedParams(budget=1.0)).estimates
    own = np.repeat(np.arange(50) % 4, 8)
    layout = Layout(np.arange(51) * 8)
    samples = ArrayActivations((np.arange(6) < own[:, None]).astype(float), "by sample", layout=layout)
    choice = ArrayActivations(np.eye(5)[own], "how many", layout=layout)
    by_sample = learners_used(samples).estimates
    chosen = learners_used(choice, LearnersUsedParams(units=HOW_MANY)).estimates
    return (
        CheckLine("a budget of a quarter", 1.5, held[0].value, 1e-12),
        CheckLine("the whole budget", 6.0, whole[0].value, 1e-12),
        CheckLine("independent gates: variance", plain[2].null, plain[2].value, 0.1),
        CheckLine("one number for a sample: nothing between its tokens", 0.0, by_sample[3].value, 1e-12),
        CheckLine("a choice of how many is as many gates", by_sample[0].value, chosen[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="learners_used", family="tokens", title="Learners that a token uses", version=3, function=learners_used,
        summary="How many parts of a gated module run for each token, at its own gates or at a budget.",
        params=LearnersUsedParams, result=Distribution, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of learners and of tokens; with a budget every rising map of all gates",
        papers=("Adaptive Computation Modules: Granular Conditional Computation For Efficient Inference",),
    ),
)  # fmt: skip
