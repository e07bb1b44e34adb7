"""Which experts do the same? Likeness of every two experts of a router.

    routing:  correlation over tokens of their logits, gauge fixed (less the mean over experts)
    outputs:  L_ij = 2 Σ f_i(x) · f_j(x) / (Σ |f_i(x)|² + Σ |f_j(x)|²) over tokens x, each expert run on all of them
    weights:  the same of all weights of the two experts

1 for copies, 0 for what has nothing in common; 1 - L is the squared distance as a share of both lengths. Too many
experts for a task end up sharing a *cell*: tokens for which two experts are as good, so that their logits rise
together.

Null: what each has for other samples (logits or outputs exchanged, whole samples at once, as tokens of one sample are
alike); weights exchanged within the expert. Logits less their mean correlate by -1 / (E - 1) where experts have nothing
to do with each other. Pairs stand out that exceed their null beyond Benjamini-Hochberg at 5 % (Student's t of the
draws). Intervals: jackknife over experts; of tokens between two experts over samples.

When it lies: weights of two experts whose hidden units are in another order differ, though they do the same: outputs
are what counts; outputs are compared on the tokens at hand, also those that the expert never gets; a common mean output
makes all experts alike, and the null as well; logits rise together where two experts are always used together, too,
and these may complement each other.

Cost: one pass of the network; outputs: E forward passes of an expert over all tokens; O(n E²).

References: H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024), "Statistical perspective of top-K sparse softmax gating
mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import upper
from analysis.compute.correlation.correlations import clustered
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, student_p
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.likeness import (
    FEW_SAMPLES,
    exchanged,
    likeness,
    pairs_interval,
    shared_cells,
    together,
)
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed
from analysis.tokens.routing.routers import expert_outputs, expert_weights

OUTPUTS, WEIGHTS, ROUTING = "outputs, else routing", "weights, else routing", "routing"
OPENING, LEVEL, TOKENS, ALIKE = 4.0, 0.05, 256, 0.9
NULLS = {OUTPUTS: "outputs", WEIGHTS: "weights", ROUTING: "logits"}


@dataclass(frozen=True)
class ExpertRedundancyParams:
    compare: str = param(OUTPUTS, "What of two experts is compared.", choices=(OUTPUTS, WEIGHTS, ROUTING))
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    draws: int = param(20, "Draws of the null.", low=9, high=1000, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def expert_redundancy(
    activations, params: ExpertRedundancyParams = ExpertRedundancyParams(), rng=None, progress=no_progress
) -> Matrix:
    """Likeness of experts.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1, of which routing is compared; or any tap of a network with a router.

    Returns
    -------
    Matrix
        `values` (E, E) in clustered order, `significant` pairs above their null. Estimates: mean likeness, the nearest
        pair, pairs above 0.9, choices that share a cell with another expert of the token.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    progress(0.45, "comparing experts")
    held, how, notes, samples = _compared(found, params.compare, rng)
    of = together if how == ROUTING else likeness
    values, null = of(held), []
    for i in range(params.draws):
        progress(0.5 + 0.5 * i / params.draws, f"exchanging {NULLS[how]}")
        null.append(of(exchanged(held, rng, samples)))
    progress(1.0, "done")
    sure = np.zeros(values.shape, bool)
    at = np.triu_indices(len(values), 1)
    sure[at] = benjamini_hochberg(student_p(values[at], np.array([x[at] for x in null]))) < LEVEL
    order, tree = clustered(values, absolute=False)
    estimates = _estimates(values, np.array(null), found, k, how)
    return Matrix(
        title=f"Likeness of {found.experts} experts by {how.partition(',')[0]}, {found.what}",
        reading=_reading(values, estimates, found, how), 
        caveats=(*dict.fromkeys((*found.notes, *said)), *notes, *_few(samples)),
        estimates=estimates, values=values, row_names=found.names, column_names=found.names, row_order=order,
        column_order=order, linkage=tree, value_name="likeness", diverging=True, limits=(-1.0, 1.0),
        significant=sure | sure.T, null_band=tuple(map(float, np.percentile([upper(x) for x in null], [2.5, 97.5]))),
    )  # fmt: skip


def _compared(found: Routed, how: str, rng) -> tuple[np.ndarray, str, list[str], np.ndarray | None]:
    """((E, …) what is compared, how in the end, notes, samples of the tokens it is of, None of weights)."""
    if how != ROUTING and found.live is not None:
        live = found.live
        if how == WEIGHTS:
            return expert_weights(live.run.loaded, live.router), how, [
                "Hidden units in another order make experts differ by their weights that do the same."
            ], None  # fmt: skip
        some = np.sort(rng.permutation(len(live.given))[:TOKENS])
        outputs = expert_outputs(live.run.loaded, live.router, live.given[some])
        if outputs is not None:
            said = f"Experts were run on {len(some)} tokens, whether they get them or not."
            return outputs, how, [said], found.samples[some]
    why = (
        ["Logits of two experts, less their mean, are each other's mirror image."]
        if found.experts == 2
        else []
    )
    why += (
        []
        if how == ROUTING
        else [f"The {how.partition(',')[0]} of experts are not known here: routing is compared."]
    )
    return np.ascontiguousarray(found.logits.T), ROUTING, why, found.samples


def _few(samples: np.ndarray | None) -> list[str]:
    if samples is None or len(np.unique(samples)) >= FEW_SAMPLES:
        return []
    return [
        f"Fewer than {FEW_SAMPLES} samples: their tokens are exchanged as if independent, which finds too much."
    ]


def _estimates(values, null: np.ndarray, found: Routed, k: int, how: str) -> tuple[Estimate, ...]:
    n, e = len(found.logits), found.experts
    pairs, chance = upper(values), np.array([upper(x) for x in null])
    by, common = f"{NULLS[how]} exchanged, {len(null)} draws", {"n": n, "d": e}
    out = [
        Estimate("mean likeness of two experts", float(pairs.mean()), **pairs_interval(values),
                 **against(float(pairs.mean()), chance.mean(axis=1)), null_method=by, estimator="mean over pairs",
                 **common),
        Estimate("likeness of the nearest pair", float(pairs.max()), interval="none: a maximum",
                 **against(float(pairs.max()), chance.max(axis=1)), null_method=by,
                 estimator="maximum over pairs", **common),
        Estimate(f"pairs above {ALIKE:g}", float((pairs > ALIKE).mean()), interval="none: all pairs are seen",
                 null=float((chance > ALIKE).mean()), null_method=by, estimator="share of pairs", **common),
    ]  # fmt: skip
    own, moved = shared_cells(found.logits, k, found.samples)
    out.append(Estimate("tokens between two experts", **own, **moved, estimator="the last choice and the first that is "
                        "left out differ by less than 10 % in their gates", **common))  # fmt: skip
    return tuple(out)


def _reading(values, estimates, found: Routed, how: str) -> str:
    i, j = np.unravel_index(
        np.argmax(np.where(np.eye(len(values), dtype=bool), -np.inf, values)), values.shape
    )
    mean, most, pairs, between = estimates
    return (
        f"By {how.partition(',')[0]}, two experts are alike by {mean.value:.2f} on average, by chance {mean.null:.2f}. "
        f"The nearest are {found.names[i]} and {found.names[j]} with {most.value:.2f}, by chance up to "
        f"{most.null_high:.2f}; {pairs.value:.0%} of the pairs are above {ALIKE:g}, and {between.value:.0%} of the "
        "tokens lie between two experts."
    )


def _cost(shapes, params: ExpertRedundancyParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(
        flops64=2.0 * params.draws * some * e * e, moved=8.0 * n * e + (params.draws + 3) * some * e * 60.0
    )
    return Cost(OPENING + seconds, some * e * 8.0 * 5 + (params.draws + 4) * e * e * 24.0 + e * 1e5 / 3, some)


def _check() -> tuple[CheckLine, ...]:
    """A copied expert has likeness 1 to its original; independent logits correlate by -1 / (E - 1)."""
    rng, few = np.random.default_rng(0), ExpertRedundancyParams(draws=9)
    x = rng.standard_normal((4000, 5))
    apart = expert_redundancy(ArrayActivations(x, "independent"), few)
    x[:, 4] = x[:, 1]
    copied = expert_redundancy(ArrayActivations(x, "with a copy"), few)
    f = rng.standard_normal((3, 500, 4))
    f[2] = f[0]
    return (
        CheckLine("a copy: likeness to its original", 1.0, float(copied.values[1, 4]), 1e-9),
        CheckLine("a copy stands out", 1.0, float(copied.significant[1, 4]), 0.0),
        CheckLine("independent experts of five", -0.25, apart.estimates[0].value, 0.01),
        CheckLine("which is their null", -0.25, apart.estimates[0].null, 0.01),
        CheckLine("outputs of a copy", 1.0, float(likeness(f)[0, 2]), 1e-12),
        CheckLine(
            "outputs that are turned round", -1.0, float(likeness(np.stack([f[0], -f[0]]))[0, 1]), 1e-12
        ),
    )


METHODS = (
    Method(
        id="expert_redundancy", family="tokens", network="experts", title="Experts that do the same", version=3,
        function=expert_redundancy,
        summary="Likeness of every two experts by outputs, weights or routing, and tokens that lie between two.",
        params=ExpertRedundancyParams, result=Matrix, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token, the order of tokens; routing also shifts and positive "
        "factors of all logits",
        papers=("Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
