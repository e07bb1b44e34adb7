"""How evenly does a router spread tokens over its experts, and how many would it drop?

    f_e = share of choices that fall on expert e,  P_e = its mean gate,   balance loss E Σ_e f_e P_e   (1: even)
    at a capacity of c n k / E choices each:   overflow = Σ_e max(0, n_e - capacity) / (n k)
    exp(H) of a token's gates = experts in use for it;  exp(H) of f = experts that share the load

Gates are the softmax of router logits; a token goes to the k experts with the largest.

Null: the experts of each sample renamed at random, so that tokens are as sure as before and tokens of a sample still go
together, and no expert is preferred. Intervals: jackknife over groups of samples.

When it lies: an even load says nothing of whether the choice means anything (random routing is even, and a router that
sorts by content need not be); overflow is counted over all tokens at once, while a network drops within a batch, in
its order; of a router with noise, groups or a balancing bias the choice is not quite that of its logits; units that
are no gates give numbers, too.

Cost: one pass (of the network, where it can be run), O(n E) for each draw of the null.

References: W. Fedus, B. Zoph & N. Shazeer (2022), "Switch transformers"; H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024),
"Statistical perspective of top-K sparse softmax gating mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import add_one_p, null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.load import Load, dealt, load
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, Routed, routed

OPENING, DEALT = 4.0, "experts of each sample renamed at random"
HELP = {
    "share": "Share of all choices that fall on it.",
    "low": "95 % interval of the share, jackknife over groups of samples.",
    "high": "95 % interval of the share, jackknife over groups of samples.",
    "by chance": "97.5th percentile with experts renamed at random.",
    "mean gate": "Mean of its softmax gate over all tokens.",
    "dropped": "Share of its choices beyond its capacity.",
}


@dataclass(frozen=True)
class RouterLoadParams:
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    capacity: float = param(1.25, "Capacity of an expert, as a multiple of an even load.", low=0.1, high=16.0)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    draws: int = param(50, "Draws of the null.", low=9, high=2000, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def router_load(
    activations, params: RouterLoadParams = RouterLoadParams(), rng=None, progress=no_progress
) -> Table:
    """Load of each expert.

    Parameters
    ----------
    activations : Activations or array (tokens, experts)
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Table
        An expert each. Estimates: balance loss, overflow, experts that share the load, experts in use for a token.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    own = np.unique(found.samples, return_inverse=True)[1]
    one = own.max() == 0
    groups = groups_of(len(own), rng) if one else groups_of(int(own.max()) + 1, rng)[own]
    parts = load(found.logits, k, groups)
    null = []
    for i in range(params.draws):
        progress(0.5 + 0.5 * i / params.draws, "renaming experts at random")
        moved = dealt(found.logits, np.arange(len(own)) if one else own, rng)
        null.append(load(moved, k, np.zeros(len(own), int)))
    progress(1.0, "done")
    estimates = _estimates(parts, null, params.capacity)
    single = ("There is one sample only: its tokens are taken as independent.",) if one else ()
    return Table(
        title=f"Load of {found.experts} experts, {found.what}", reading=_reading(parts.whole, null, estimates, k),
        caveats=(*dict.fromkeys((*found.notes, *said, *single)), _overflow_note(params, estimates)),
        estimates=estimates, columns=_columns(parts, null, found, params.capacity), index="expert", sort="share",
        help=HELP,
    )  # fmt: skip


def _columns(parts: Load, null: list[Load], found: Routed, capacity: float) -> dict[str, np.ndarray]:
    whole, f = parts.whole, parts.whole.shares[0]
    half = jackknife_half(parts.without.shares)
    half = np.zeros(len(f)) if half is None else half
    lost = whole.lost(capacity)[0] / np.maximum(whole.counts[0], 1)
    return {
        "expert": np.array(found.names, str), "share": f, "low": np.maximum(f - half, 0),
        "high": np.minimum(f + half, 1),
        "by chance": np.percentile([x.shares[0] for x in null], 97.5, axis=0),
        "mean gate": whole.mass[0] / whole.tokens[0], "dropped": lost,
    }  # fmt: skip


def _estimates(parts: Load, null: list[Load], capacity: float) -> tuple[Estimate, ...]:
    n, e = int(parts.tokens.sum()), parts.experts
    asked = (
        ("balance loss", lambda x: x.balance(), 1, (0.0, float(e)), "E Σ f P"),
        (f"overflow at capacity {capacity:g}", lambda x: x.overflow(capacity), 1, (0.0, 1.0), "share of choices"),
        ("experts that share the load", lambda x: x.evenness(), -1, (1.0, float(e)), "exp(entropy of f)"),
        ("experts in use for a token", lambda x: x.in_use(), 0, (1.0, float(e)), "mean exp(entropy of gates)"),
    )  # fmt: skip
    out = []
    for name, of, side, (least, most), by in asked:
        value, half = float(of(parts.whole)[0]), jackknife_half(of(parts.without))
        draws = np.array([of(x)[0] for x in null])
        ends = {} if half is None else {
            "low": max(value - float(half), min(least, value)), "high": min(value + float(half), max(most, value)),
            "interval": "jackknife over groups of samples",
        }  # fmt: skip
        if side:
            beside = {**null_spread(draws), "null_method": f"{DEALT}, {len(null)} draws",
                      "p_value": float(add_one_p(side * value, side * draws))}  # fmt: skip
        else:
            beside = {"null": float(e), "null_method": "equal gates for all experts"}
        out.append(Estimate(name, value, **ends, **beside, n=n, d=e, estimator=by))
    return tuple(out)


def _reading(whole: Load, null: list[Load], estimates, k: int) -> str:
    balance, over, share, used = estimates
    f = whole.shares[0]
    busiest = float(np.mean([x.shares[0].max() for x in null]))
    never = int((whole.counts[0] == 0).sum())
    return (
        f"With {k} expert{'s' * (k > 1)} for each token, the busiest of {len(f)} takes {f.max():.0%} of the choices "
        f"(even: {1 / len(f):.0%}; the busiest by chance: {busiest:.0%}) and {never} take none; the load is that of "
        f"{share.value:.1f} equally busy experts. Balance loss {balance.value:.2f} (by chance "
        f"{balance.null:.2f}, even 1); {over.value:.1%} of the choices would be dropped. A token's gates "
        f"use {used.value:.1f} experts."
    )


def _overflow_note(params: RouterLoadParams, estimates) -> str:
    return (
        f"Overflow is counted over all tokens at once, at {params.capacity:g} times an even load: within batches it is "
        "larger."
    )


def _cost(shapes, params: RouterLoadParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * e + (params.draws + 2) * some * e * 400.0)
    return Cost(OPENING + seconds, some * e * 8.0 * 7 + 1e5, some)


def planted(kind: str, tokens: int = 4, samples: int = 60, experts: int = 4) -> ArrayActivations:
    """ "even": token t goes to expert t mod E; "one": all go to the first."""
    rows = np.arange(tokens * samples)
    at = rows % experts if kind == "even" else np.zeros(len(rows), int)
    return ArrayActivations(
        30.0 * np.eye(experts)[at], f"planted {kind}", layout=Layout(np.arange(samples + 1) * tokens)
    )


def _check() -> tuple[CheckLine, ...]:
    """Even routing has a balance loss of 1 and drops nothing; one busy expert has E and drops all but its capacity."""
    few = RouterLoadParams(draws=9)
    even, one = router_load(planted("even"), few).estimates, router_load(planted("one"), few).estimates
    shifted = ArrayActivations(
        planted("one").values + np.arange(240)[:, None], "with one number added to a token"
    )
    alike = router_load(shifted, few).estimates
    return (
        CheckLine("even routing: balance loss", 1.0, even[0].value, 1e-9),
        CheckLine("even routing: overflow", 0.0, even[1].value, 0.0),
        CheckLine("even routing: experts that share the load", 4.0, even[2].value, 1e-9),
        CheckLine("one busy expert of four: balance loss", 4.0, one[0].value, 1e-9),
        CheckLine("one busy expert of four: overflow at 1.25", 1 - 1.25 / 4, one[1].value, 1e-12),
        CheckLine("sure gates: experts in use", 1.0, one[3].value, 1e-6),
        CheckLine("a number added to all logits of a token", one[0].value, alike[0].value, 1e-9),
    )


METHODS = (
    Method(
        id="router_load", family="tokens", network="experts",
        title="Load and overflow of experts", version=3, function=router_load,
        summary="Share of tokens that each expert of a router takes, balance loss, and what would be dropped.",
        params=RouterLoadParams, result=Table, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token; factors of all logits leave load and overflow",
        papers=(
            "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",
            "Mixture of Prompt Learning for Vision Language Models",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
