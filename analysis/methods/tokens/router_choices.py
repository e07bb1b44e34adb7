"""How many experts does a token need? Mass, overflow and error over the number k of experts it goes to.

    mass = Σ of the k largest gates;   idle = share of experts that no token goes to;   overflow at capacity c n k / E
    error = |y_k - y_E| / |y_E|,   y_k = Σ p_e f_e(x) / Σ p_e over the k largest

The error needs the experts themselves, each run on every token; it is drawn where the network is run. Mass reaches 1
and the error 0 at k = E. Where there are more experts than the task has parts, k has to exceed the number of cells of a
part before a token reaches all that fit it.

Null: each expert's logits exchanged between tokens, for mass, idle experts and overflow; of the error k experts that
are chosen at random. Bands: Student's t over samples.

When it lies: a network was trained at its own k, and its other layers follow from it; the mixture of all experts is
what the router would like, not the truth; gates that were cut before they were recorded hold no mass beyond the cut;
some routers rescale gates by other rules.

Cost: one pass; E passes of an expert over 256 tokens; O(n E) for each k, twice.

References: H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024), "Statistical perspective of top-K sparse softmax gating
mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.choices import by_sample, errors, idle_and_overflow, masses
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed
from analysis.tokens.routing.routers import expert_outputs

OPENING, TOKENS, MOST = 4.0, 256, 32
MASS, IDLE, OVERFLOW, ERROR = "mass of the gates", "idle experts", "overflow", "error of the output"
EXCHANGED, AT_RANDOM = "each expert's logits exchanged between tokens", "as many experts at random"


@dataclass(frozen=True)
class RouterChoicesParams:
    experts_per_token: int | None = param(
        None,
        "Experts of a token that numbers are told at; empty: what the network says, else 1.",
        low=1,
        high=64,
    )
    capacity: float = param(1.25, "Capacity of an expert, as a multiple of an even load.", low=0.1, high=16.0)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def router_choices(
    activations, params: RouterChoicesParams = RouterChoicesParams(), rng=None, progress=no_progress
) -> Curve:
    """What each further expert adds.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Curve
        Over k up to 32: mass, idle experts, overflow, and the error where experts can be run. Estimates at the k of
        the network.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    most = max(min(found.experts, MOST), k)
    progress(0.5, "counting")
    own = _measured(found.logits, found.samples, most, params.capacity)
    progress(0.7, "counting exchanged logits")
    null = _measured(rng.permuted(found.logits, axis=0), found.samples, most, params.capacity)
    progress(0.85, "running experts")
    notes = _with_errors(own, null, found, most, rng)
    progress(1.0, "done")
    x, low, high = np.arange(1.0, most + 1), {}, {}
    for name, values in own.items():
        ends = [mean_interval(v, 0.0) for v in values.T]
        if ends[0]:
            low[name], high[name] = (np.array([e[side] for e in ends]) for side in ("low", "high"))
    if most < found.experts:
        notes.append(f"The first {most} of {found.experts} experts of a token are drawn.")
    return Curve(
        title=f"Experts that a token needs, of {found.experts}, {found.what}", reading=_reading(own, k, found),
        caveats=(*dict.fromkeys((*found.notes, *said)), *notes), estimates=_estimates(own, null, found, k), x=x,
        x_name="experts of a token", y_name="share", series={n: v.mean(axis=0) for n, v in own.items()},
        low=low, high=high, null={n: v.mean(axis=0) for n, v in null.items()},
    )  # fmt: skip


def _measured(logits, samples, most: int, capacity: float) -> dict[str, np.ndarray]:
    """By name (S, most), of each sample; (1, most) of all tokens together."""
    idle, over = idle_and_overflow(logits, most, capacity)
    return {MASS: by_sample(masses(logits, most), samples), IDLE: idle[None], OVERFLOW: over[None]}


def _with_errors(own: dict, null: dict, found: Routed, most: int, rng) -> list[str]:
    """Adds the error to both where experts can be run; what is to be said of it."""
    if found.live is None:
        return ["Experts cannot be run here: the error of the output is not known."]
    some = np.sort(rng.permutation(len(found.logits))[:TOKENS])
    outputs = expert_outputs(found.live.run.loaded, found.live.router, found.live.given[some])
    if outputs is None:
        return ["It is not known how these experts are asked: the error of the output is not known."]
    logits, samples = found.logits[some], found.samples[some]
    own[ERROR] = by_sample(errors(logits, outputs, most), samples)
    order = np.argsort(rng.random(logits.shape), axis=1)
    null[ERROR] = by_sample(errors(logits, outputs, most, order), samples)
    return [f"Errors are those of {len(some)} tokens, against the mixture of all experts."]


def _estimates(own: dict, null: dict, found: Routed, k: int) -> tuple[Estimate, ...]:
    out = []
    for name, values in own.items():
        at = values[:, k - 1]
        ends = mean_interval(at, 0.0) or {"interval": "none: one number of all tokens"}
        out.append(Estimate(f"{name} at {k}", float(at.mean()), **ends, null=float(null[name][:, k - 1].mean()),
                            null_method=AT_RANDOM if name == ERROR else EXCHANGED, n=len(found.logits),
                            d=found.experts, estimator="mean over samples"))  # fmt: skip
    return tuple(out)


def _reading(own: dict, k: int, found: Routed) -> str:
    mass = own[MASS].mean(axis=0)
    enough = int(np.searchsorted(mass, 0.9)) + 1
    needed = (
        f"{enough} expert{'s' * (enough > 1)} would hold"
        if enough <= len(mass)
        else f"more than {len(mass)} experts hold"
    )
    error = "" if ERROR not in own else (
        f" Its output is {own[ERROR][:, k - 1].mean():.0%} away from that of all experts together."
    )  # fmt: skip
    return (
        f"With {k} expert{'s' * (k > 1)}, a token's gates hold {mass[k - 1]:.0%} of their mass; {needed} 90%. "
        f"{own[IDLE][0, k - 1]:.0%} of {found.experts} experts are idle then, {own[IDLE][0, -1]:.0%} at {len(mass)}."
        + error
    )


def _cost(shapes, params: RouterChoicesParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some, most = min(n, params.maximum_samples), min(e, MOST)
    seconds = m.seconds(moved=8.0 * n * e + 2 * most * some * e * 250.0)
    return Cost(OPENING + seconds, some * e * 8.0 * 6 + some * most * 8.0 * 4 + 1e5, some)


def _check() -> tuple[CheckLine, ...]:
    """Equal gates hold k / E, sure ones all at once; all experts make no error, the first of two equal ones half."""
    rng = np.random.default_rng(0)
    even = router_choices(ArrayActivations(np.ones((40, 4)) / 4, "even")).series
    sure = router_choices(ArrayActivations(50.0 * np.eye(4)[np.arange(40) % 4], "sure")).series
    logits, outputs = rng.standard_normal((30, 4)), rng.standard_normal((4, 30, 6))
    found = errors(logits, outputs, 4)
    two = np.stack([np.full((30, 6), 1.0), np.full((30, 6), 3.0)])
    halves = errors(np.zeros((30, 2)), two, 1)
    return (
        CheckLine("equal gates: mass of two of four", 0.5, float(even[MASS][1]), 1e-9),
        CheckLine("equal gates: one expert takes all", 0.75, float(even[IDLE][0]), 0.0),
        CheckLine("sure gates: mass of one", 1.0, float(sure[MASS][0]), 1e-9),
        CheckLine("all experts: no error", 0.0, float(found[:, -1].max()), 1e-12),
        CheckLine("outputs 1 and 3 at equal gates, the first", 0.5, float(halves.max()), 1e-12),
    )


METHODS = (
    Method(
        id="router_choices", family="tokens", network="experts",
        title="Experts that a token needs", version=3, function=router_choices,
        summary="Gate mass, idle experts, overflow and error of the output over the number of experts of a token.",
        params=RouterChoicesParams, result=Curve, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token, the order of tokens and of experts",
        papers=("Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
