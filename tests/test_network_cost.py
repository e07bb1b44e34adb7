"""What a run of a network is said to take grows with its weights, the tokens of a sample and the passes."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import pipeline, registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.machine import machine
from analysis.features.readers import PROBE
from analysis.sources.network_facts import KINDS
from analysis.tokens.subject import ROWS


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


def of_a_folder(folder, config: dict, **more):
    """A tap whose network's configuration lies in a folder."""
    (folder / "config.json").write_text(json.dumps(config))
    made = tap(10**6, **more)
    made.store.manifest["checkpoint"]["path"] = str(folder)
    return made


def test_passes_are_those_that_a_method_makes(tmp_path):
    """Samples times runs of a timing; none of a comparison of files."""
    one = of_a_folder(tmp_path, {"num_attention_heads": 2})
    assert beyond("latency", [one], rules="tome", repeats=3, batch=2)[1] >= 2 * 2 * 3
    assert pipeline.cost("growth_timeline", [(20, 3), (20, 3)], {}).passes == 0


def test_no_passes_are_told_of_a_network_that_the_method_does_not_run(tmp_path):
    """A network without attention is not run by what looks at attention; where rows are asked for none is."""
    attends, scans, neither = (
        {"num_attention_heads": 4}, {"state_size": 8}, {"depths": [1, 2]},
    )  # fmt: skip
    runs = {
        "attention_atlas": (True, False, False), "cache_rank": (True, False, False),
        "view_sphere": (True, False, False), "token_ledger": (True, True, False), "logit_lens": (True, True, False),
        "router_load": (False, False, False), "ssm_memory": (False, True, False), "ssm_poles": (False, True, False),
        "ssm_kernel": (False, True, False), "token_order": (True, True, True), "band_dropout": (True, True, True),
    }  # fmt: skip
    for method, expected in runs.items():
        told = [beyond(method, [of_a_folder(tmp_path, c)])[1] > 0 for c in (attends, scans, neither)]
        assert tuple(told) == expected, method
    mixture = of_a_folder(tmp_path, attends | {"num_local_experts": 4})
    assert beyond("router_load", [mixture])[1] > 0
    assert beyond("token_ledger", [mixture])[1] > 0
    assert beyond("token_ledger", [mixture], source=ROWS) == (0, 0)
    assert {m.network for m in registry.methods().values()} - set(KINDS) == {""}


@pytest.mark.parametrize("method", ["view_sets", "view_sphere"])
def test_views_that_are_samples_of_their_own_pass_through_no_network(tmp_path, method):
    """No head sees two of them: their rows are read. Where a sample is a set, the network is asked."""
    one = of_a_folder(tmp_path, {"num_attention_heads": 4})
    assert beyond(method, [one])[1] > 0
    one.samples["object"] = np.repeat(np.arange(10), 4).astype(str)
    assert beyond(method, [one]) == (0, 0)
    assert beyond(method, [one], views=5)[1] > 0  # the tokens of a sample are asked for as its views


def test_two_taps_for_two_axes_pass_through_no_network(tmp_path):
    taps = [of_a_folder(tmp_path, {"num_attention_heads": 4}) for _ in range(2)]
    for method in ("axis_attention", "axis_matrix"):
        assert beyond(method, taps[:1])[1] > 0
        assert beyond(method, taps)[1] == 0


def test_the_order_of_tokens_costs_a_pass_for_each_token():
    few, many, pooled = (tap(10**6, tokens) for tokens in (5, 577, 1))
    assert pipeline.cost_of("token_order", [few], {"maximum_samples": 10}).passes == 10 * (5 + 5 + 1)
    assert pipeline.cost_of("token_order", [many], {"maximum_samples": 10}).passes == 10 * (577 + 5 + 1)
    assert pipeline.cost_of("token_order", [pooled], {"maximum_samples": 10}).passes == 10 * (
        16 + 5 + 1
    )  # not known
    assert (
        pipeline.cost_of("token_order", [many]).bytes > 50 * pipeline.cost("token_order", [many.shape]).bytes
    )
