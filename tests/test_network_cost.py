"""What a run of a network is said to take grows with its weights, the tokens of a sample and the passes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis import pipeline
from analysis.activations import ArrayActivations, Layout
from analysis.compute.machine import machine
from analysis.features.readers import PROBE


def tap(weights: int, tokens: int = 5, samples: int = 40, kind: str = "hugging_face", modality: str = "text"):
    layout = Layout(np.arange(samples + 1) * tokens)
    made = ArrayActivations(np.zeros((samples * tokens, 8)), name="store:layer", layout=layout)
    told = {"checkpoint": {"kind": kind, "n_parameters": weights, "modality": modality}}
    object.__setattr__(made, "store", SimpleNamespace(manifest=told))
    return made


def beyond(method: str, taps, **params) -> tuple[float, int]:
    """Seconds over what the method says without a network, and passes."""
    own = pipeline.cost(method, [t.shape for t in taps], params)
    found = pipeline.cost_of(method, taps, params)
    return found.seconds - own.seconds, found.passes


def test_seconds_are_three_operations_for_each_weight_token_and_pass():
    for weights, tokens in ((10**6, 5), (10**7, 5), (10**6, 50)):
        more, passes = beyond("attention_interaction", [tap(weights, tokens)])
        assert passes > 0
        known = machine().seconds(flops32=3.0 * weights * tokens * passes)
        assert more == pytest.approx(known, rel=1e-9)


def test_passes_are_of_samples_and_not_of_their_tokens():
    few, many = (beyond("activation_patching", [tap(10**6, tokens)])[1] for tokens in (1, 100))
    assert few == many


def test_where_no_network_is_run_nothing_is_added():
    for given, params in ((tap(10**8, kind="state_dict"), {}), (tap(10**8), {"reader": PROBE})):
        assert beyond("activation_patching", [given], **params) == (0, 0)
    assert beyond("direct_logit_attribution", [ArrayActivations(np.zeros((20, 3)))])[0] == 0
    assert beyond("why_similar", [tap(10**8)])[0] == 0  # compares what was recorded


def test_parts_of_units_are_found_by_slopes_but_in_tables():
    by_slopes = beyond("global_attribution", [tap(10**6)], way="expected gradients")[1]
    assert beyond("global_attribution", [tap(10**6)])[1] == by_slopes
    assert beyond("global_attribution", [tap(10**6, modality="table")])[1] != by_slopes


def test_passes_are_those_that_a_method_makes():
    """Samples times runs of a timing; none of a comparison of files."""
    assert beyond("latency", [tap(10**6)], rules="tome", repeats=3, batch=2)[1] >= 2 * 2 * 3
    assert pipeline.cost("growth_timeline", [(20, 3), (20, 3)], {}).passes == 0
