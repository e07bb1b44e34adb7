"""How much does a network rely on each route of its scans? Its own route weights, normalised, as parts of 1.

    w_k = mean over samples of p_k,   p the weights of one sample, Σ_k p_k = 1       routes in use = exp(-Σ w ln w)

A Vision Mamba that scans an image along several routes may weigh them (the scan route attention of MHS-VM). The tap
holds these weights, a unit for each route; of several heads, head by head. The folded scan, given the same tap as its
second, draws each route beside its share.

Interval: Student's t over samples. Null: weights of a sample exchanged between its routes, 1 / K on average, with
95 % of its spread in closed form; p by the normal law.

When it lies: a weight says what is taken, not what it is worth: a route whose scan gives small numbers adds little at
any weight; weights of single channels may differ where their mean does not; names of routes that were not recorded are
a guess, which is said.

Cost: one pass of the tap.

Reference: "MHS-VM: multi-head scanning for Vision Mamba".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Ledger
from analysis.sources.own_module import recorded_from
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.route_weights import ASK, FEWEST, RouteWeights, normalised, route_weights_of
from analysis.tokens.routing.gates import effective
from analysis.tokens.routing.routed import like_gates, named_gates

WIDE, NAMED = 1.959964, {"route", "routes", "sra"}  # words of a tap's name


@dataclass(frozen=True)
class RouteWeightsParams:
    routes: str = param("", ASK)
    heads: int = param(1, "Heads that lie one after the other in the units.", low=1, high=1024)
    head: int | None = param(None, "Which head, from 1; automatic: their mean.", low=1, high=1024)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random part above.", low=3, high=100_000, late=True
    )


def route_weights(
    activations, params: RouteWeightsParams = RouteWeightsParams(), rng=None, progress=no_progress
) -> Ledger:
    """Shares of the routes of a scan.

    Parameters
    ----------
    activations : Activations or array (rows, heads x routes): what weighs the routes, for samples or tokens.

    Returns
    -------
    Ledger
        Shares of the routes, which add up to 1, each beside what it would be by chance. Estimates: the same, and how
        many routes are in use.

    Raises
    ------
    InputError, ParameterError, NotEnoughData
        A stored tap that is neither named as weights are nor between 0 and 1; one route; fewer than three samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    _refuse_others(tap)
    found = route_weights_of(
        tap, params.routes, params.heads, params.head, params.maximum_samples, rng, progress
    )
    mean, ends, spread = _measured(found)
    told = _estimates(found, mean, ends, spread)
    progress(1.0, "done")
    best = int(np.argmax(mean))
    return Ledger(
        title=f"Weights of the routes, {tap.name}", names=found.names, values=mean, start=0.0, end=1.0,
        residual=1.0 - float(mean.sum()), low=np.array([e.get("low", m) for e, m in zip(ends, mean, strict=True)]),
        high=np.array([e.get("high", m) for e, m in zip(ends, mean, strict=True)]),
        null_low=np.maximum(1 / len(mean) - WIDE * spread, 0.0) * np.ones(len(mean)),
        null_high=np.minimum(1 / len(mean) + WIDE * spread, 1.0) * np.ones(len(mean)),
        value_name="share of the weight", start_name="nothing", end_name="all routes", estimates=told,
        reading=f"{found.names[best]} has {mean[best]:.0%} of the weight of {len(mean)} routes (by chance "
        f"{1 / len(mean):.0%} each); as many as {told[-1].value:.2g} routes are in use.",
        caveats=(*found.notes, f"{len(found.samples):,} samples. A weight is not what a route is worth."),
    )  # fmt: skip


def _refuse_others(tap) -> None:
    said = set(re.split(r"[^a-z]+", tap.name.partition(":")[2].lower()))
    if not hasattr(tap, "store") or NAMED & said or named_gates(tap) or like_gates(tap):
        return
    raise InputError(
        f"{tap.name} holds no weights of routes: numbers leave 0 to 1, and its name says nothing of routes",
        "a tap with a unit for each route of a scan", recorded_from("*route*"),
    )  # fmt: skip


def _measured(found: RouteWeights) -> tuple[np.ndarray, list[dict], float]:
    """((K,) shares, their intervals, standard deviation of a share where each sample's weights change places)."""
    p = found.shares
    ends = [mean_interval(p[:, k], 0.0, 1.0) for k in range(p.shape[1])]
    return p.mean(axis=0), ends, float(np.sqrt(p.var(axis=1).sum()) / len(p))


def _estimates(found: RouteWeights, mean, ends, spread: float) -> tuple[Estimate, ...]:
    n, k = found.shares.shape
    facts = {"n": n, "d": k, "null_method": "weights exchanged between the routes of a sample, closed form"}
    away = np.abs(mean - 1 / k)
    p = 2 * ndtr(-away / spread) if spread > 1e-12 else np.where(away > 1e-9, 0.0, 1.0)
    shares = [
        Estimate(f"share of {name}", float(mean[i]), **(ends[i] or {"interval": "none: one sample"}), null=1 / k,
                 null_low=max(1 / k - WIDE * spread, 0.0), null_high=min(1 / k + WIDE * spread, 1.0),
                 p_value=float(p[i]), estimator="mean over samples", **facts)
        for i, name in enumerate(found.names)
    ]  # fmt: skip
    each = effective(found.shares)
    return (*shares, Estimate("routes in use in a sample", float(each.mean()),
                              **(mean_interval(each, 1.0, k) or {"interval": "none: one sample"}), null=float(k),
                              null_method="all routes alike", n=n, d=k,
                              estimator="exp of the entropy, mean over samples"),
            Estimate("routes in use", float(effective(mean[None])[0]), interval="none: one number of the mean shares",
                     null=float(k), null_method="all routes alike", n=n, d=k,
                     estimator="exp of the entropy of the shares"))  # fmt: skip


def _cost(shapes, params: RouteWeightsParams) -> Cost:
    n, k = shapes[0]
    return Cost(0.02 + machine().seconds(moved=n * k * 80.0), n * k * 8.0 * 5 + 30.0 * n + 1e4)


def _check() -> tuple[CheckLine, ...]:
    """Logits of a known softmax give it back; weights of sum 2 are halved; all alike use all routes, a choice one."""
    rng = np.random.default_rng(0)
    wanted = np.array([0.5, 0.25, 0.15, 0.1])
    logits = np.tile(np.log(wanted), (30, 1)) + rng.standard_normal((30, 1)) + 3.0
    soft = route_weights(ArrayActivations(logits, "logits"))
    half = route_weights(ArrayActivations(np.tile([0.9, 0.9, 0.2], (12, 1)), "parts"))
    even = route_weights(ArrayActivations(np.full((12, 4), 0.25), "even"))
    free = rng.dirichlet(np.ones(4), 4000)
    chance = route_weights(ArrayActivations(free, "free"))
    two = normalised(np.concatenate([wanted, wanted[::-1]])[None], 2)[0]
    return (
        CheckLine("logits of ½: its share", 0.5, float(soft.values[0]), 1e-9),
        CheckLine("shares add up", 1.0, float(soft.values.sum()), 1e-12),
        CheckLine("weights of sum 2 are halved", 0.45, float(half.values[0]), 1e-9),
        CheckLine("all alike: routes in use", 4.0, even.estimates[-1].value, 1e-9),
        CheckLine("weights at random: within their null", float(chance.null_high.max()), float(chance.values.max()),
                  0.005, "at most"),
        CheckLine("two heads, one after the other", 0.1, float(two[0, 1, 0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="route_weights", family="tokens", title="Weights of scan routes", version=1, function=route_weights,
        summary="How much of its weight a network gives to each route of its scans, beside chance.",
        params=RouteWeightsParams, result=Ledger, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of samples; one factor of all weights of a sample, one number added to all its logits",
        papers=("MHS-VM: multi-head scanning for Vision Mamba",),
    ),
)  # fmt: skip
