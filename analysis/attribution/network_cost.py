"""What a method will take of taps that know their network: how large it is, and how many samples and tokens there are.

    seconds = the method's own + passes × 3 weights × tokens of a sample / speed of this machine

Two operations for each weight and token, and half as many again where some passes go backward; of convolutions, whose
weights are used at many places, the tokens of the tap are taken for those places. A guess within a few times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from analysis.activations import Activations
from analysis.attribution.units.explained_units import AUTO, CONDITIONAL, SLOPES, UnitPartsParams
from analysis.compute.machine import machine
from analysis.features.readers import PROBE
from analysis.features.tap_dictionary import recorded_tap
from analysis.sources.checkpoint import CODELESS
from analysis.sources.network_facts import is_of
from analysis.spec import Cost, Method

OPERATIONS = 3.0  # of a pass, for each weight and token
ROWS = "the recorded rows"  # in the place of a network, as settings called "source" say it


def cost_of(method: Method, taps: Sequence[Activations], params) -> Cost:
    """Of the method with `params` of its own type; as it says itself where there is no network to be run again, or none
    of the kind that it runs."""
    more = _tokens(method, taps)
    found = method.cost(tuple(tuple(tap.shape) for tap in taps), params, *more)
    told = getattr(params, "reader", "") == PROBE or getattr(params, "source", "") == ROWS
    unasked = told or (method.asks is not None and not method.asks(taps, params))
    if not found.passes or unasked or not any(runs(method, tap) for tap in taps):
        return dataclasses.replace(found, passes=0)
    each = max(operations_of_a_pass(tap) for tap in taps)
    if not each:
        return found
    if _by_slopes(taps[0], params):
        params = dataclasses.replace(params, way=SLOPES)
    samples = tuple(
        (tap.layout.n_samples, tap.shape[1]) for tap in taps
    )  # passes are of samples, not of tokens
    passes = min(found.passes, method.cost(samples, params, *more).passes)
    return Cost(found.seconds + machine().seconds(flops32=each * passes), found.bytes, passes)


def runs(method: Method, tap: Activations) -> bool:
    """Whether a method can run the network of a tap."""
    return can_be_run(tap) and is_of(method.network, network_of(tap))


def _tokens(method: Method, taps: Sequence[Activations]) -> tuple[float, ...]:
    """The tokens of a sample of the first tap for a method that counts them; nothing where the tap has pooled them."""
    layout = taps[0].layout
    return (layout.n_rows / max(layout.n_samples, 1),) if method.by_tokens and not layout.is_pooled else ()


def can_be_run(tap: Activations) -> bool:
    """Whether a tap knows a network that files alone make again, were they still there."""
    return network_of(tap).get("kind") in CODELESS


def operations_of_a_pass(tap: Activations) -> float:
    """Of one sample through the network that a tap was recorded from; 0 where it cannot be run again."""
    if not can_be_run(tap):
        return 0.0
    tokens = tap.layout.n_rows / max(tap.layout.n_samples, 1)
    return OPERATIONS * float(network_of(tap).get("n_parameters") or 0) * tokens


def _by_slopes(tap: Activations, params) -> bool:
    """Whether "automatic" will be slopes, as `explained_units` chooses them."""
    asked = isinstance(params, UnitPartsParams) and params.way == AUTO and params.absent != CONDITIONAL
    return asked and network_of(tap).get("modality") != "table"


def network_of(tap: Activations) -> dict:
    """What a store says of the network that a tap was recorded from; {} where it knows none."""
    manifest = getattr(getattr(recorded_tap(tap), "store", None), "manifest", None) or {}
    return manifest.get("checkpoint") or {}
