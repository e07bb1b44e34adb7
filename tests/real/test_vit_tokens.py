"""Tokens really taken away from a vision transformer that others trained: the published shares of right answers."""

import os
from pathlib import Path

import numpy as np
import pytest
from own_code import code_allowed
from recorded import recorded
from test_vit import digits  # noqa: F401

from analysis.methods.tokens.coverage_holes import CoverageHolesParams, coverage_holes
from analysis.methods.tokens.latency import WHOLE, LatencyParams, latency
from analysis.methods.tokens.reconstruction_error import ReconstructionErrorParams, reconstruction_error
from analysis.methods.tokens.rule_agreement import RuleAgreementParams, rule_agreement
from analysis.methods.tokens.shift_stability import ShiftStabilityParams, shift_stability
from analysis.methods.tokens.token_faults import TokenFaultsParams, token_faults
from analysis.methods.tokens.token_search import TokenSearchParams, token_search
from analysis.methods.tokens.token_survival import TokenSurvivalParams, token_survival
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.tokens.fault import BIASED, FAULT
from analysis.tokens.moved_answers import NATS
from analysis.tokens.networks.token_network import TokenNetwork
from analysis.tokens.rule import rule
from analysis.tokens.schedule import at_layer

BATCH = 300
KNOWN = {
    49: 87.15,
    24: 84.31,
    12: 80.63,
    6: 72.34,
}  # per cent, by patches kept behind the second of six layers
KNOWN_MNIST = {49: 97.21, 24: 96.18, 12: 94.16, 6: 90.01}  # the same on MNIST's 10,000 test images


@pytest.fixture(scope="module")
def network(real, digits):  # noqa: F811
    loaded = open_checkpoint(real / "vit" / "vit_mnist_gpu.pt", model="networks:MnistViT").load()
    return TokenNetwork(loaded, digits.items(0, 2))


def right(network, digits, name, kept):  # noqa: F811
    """Per cent of right answers with so many patches kept by a rule behind the second layer."""
    found, labels = 0, np.asarray(digits.labels).astype(int)
    plan = at_layer(1, kept, network.layers, 49)
    for start in range(0, len(labels), BATCH):
        stop = min(start + BATCH, len(labels))
        run = network.run(network.loaded.prepare(digits.items(start, stop)), rule(name), plan)
        assert set(run.states[-1].counts) == {kept + 1}
        assert run.states[1].counts.max() == 50
        found += int((run.logits.numpy().argmax(axis=1) == labels[start:stop]).sum())
    return 100 * found / len(labels)


@pytest.mark.parametrize(("kept", "known"), KNOWN.items())
def test_published_shares_of_right_answers(network, digits, kept, known):  # noqa: F811
    assert round(right(network, digits, "class_attention", kept), 2) == known


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """MNIST's test images, whose licence does not let them travel with us."""
    folder = Path(os.environ.get("FEATURE_LOUPE_MNIST", ""))
    images, labels = (folder / f"t10k-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    if not images.is_file() or not labels.is_file():
        pytest.skip(f"FEATURE_LOUPE_MNIST names no folder with {images.name} and {labels.name}")
    path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
    pixels = np.fromfile(images, np.uint8)[16:].reshape(-1, 28, 28)
    np.savez(path, images=pixels, labels=np.fromfile(labels, np.uint8)[8:])
    return open_data(path)


@pytest.mark.parametrize(("kept", "known"), KNOWN_MNIST.items())
def test_published_shares_of_right_answers_on_mnist(network, mnist, kept, known):
    assert round(right(network, mnist, "class_attention", kept), 2) == known


@pytest.fixture(scope="module")
def tap(real, digits, tmp_path_factory):  # noqa: F811
    with code_allowed("MnistViT"):
        store = recorded(real / "vit" / "vit_mnist_gpu.pt", "MnistViT", digits, tmp_path_factory.mktemp("vit") / "s",
                         taps=["transformer.layers.3"], tokens="all", limit=32)  # fmt: skip
        yield store.activations("transformer.layers.3")


RULES, FEW = "class_attention,tome,random", 16
ASKED = {
    rule_agreement: RuleAgreementParams(rules=RULES, maximum_samples=FEW),
    token_survival: TokenSurvivalParams(rules=RULES, maximum_samples=FEW),
    coverage_holes: CoverageHolesParams(rules=RULES, maximum_samples=FEW, box="3-5, 3-5"),
    shift_stability: ShiftStabilityParams(rules=RULES, maximum_samples=FEW),
    reconstruction_error: ReconstructionErrorParams(rules=RULES, maximum_samples=FEW),
    latency: LatencyParams(rules=RULES, batch=8, repeats=3),
}


@pytest.fixture(scope="module")
def found(tap):
    return {method: method(tap, asked) for method, asked in ASKED.items()}


def test_every_measure_is_of_the_network(found):
    for result in found.values():
        assert not any("is not run" in c or "Nothing was timed" in c for c in result.caveats), result.caveats


def test_the_class_token_looks_at_the_middle_where_digits_stand(found):
    table = found[coverage_holes].columns
    recall = dict(zip(table["rule"], table["recall in the box"], strict=True))
    assert recall["Class attention"] > 1.5 * recall["Random"]


def test_a_pixel_moves_survivors_less_than_chance_would(found):
    moved = found[shift_stability]
    assert "picture moves by 1 pixel right" in moved.title
    assert moved.series["Class attention"][1] > moved.null["Class attention"][1] + 0.1
    assert moved.series["Random"][1] == pytest.approx(moved.null["Random"][1], abs=0.1)


def test_time_is_told_with_its_noise(found):
    told = {e.name: e for e in found[latency].estimates}
    assert told[WHOLE].low <= told[WHOLE].value <= told[WHOLE].high
    assert all((v > 0).all() for v in found[latency].series.values())
    np.testing.assert_allclose(
        found[latency].null["Class attention"], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], atol=0.06
    )


def test_merging_loses_less_than_random_keep(found):
    assert {e.name: e for e in found[reconstruction_error].estimates}[
        "missed less than random keep, ToMe"
    ].low > 0


def test_trained_layers_need_few_tokens_and_other_samples_confirm_it(tap):
    asked = TokenSearchParams(rule="class_attention", maximum_samples=24, limit=0.1, measure=NATS)
    found = token_search(tap, asked)
    kept, chance = found.series["Class attention"], found.null["Class attention"]
    assert (np.diff(kept) <= 0).all()
    assert kept.mean() < chance.mean()
    assert kept[-1] < 0.1  # the answer is read from the class token
    told = {e.name: e for e in found.estimates}
    drop = told["drop on samples not searched on"]
    assert (
        drop.low <= drop.null <= drop.high
    )  # on twelve other samples no better than random keep can be told


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("tome", set()), ("evit", {"weights of a merge", "log-size term missing"}), ("last", set())],
)
def test_faults_of_rules_in_a_network_that_others_trained(tap, name, wrong):
    found = token_faults(tap, TokenFaultsParams(rule=name, maximum_samples=16)).columns
    verdict = dict(zip(found["fault"], found["verdict"], strict=True))
    assert {k for k, v in verdict.items() if v == FAULT} == wrong
    row = found["found"][list(found["fault"]).index("position bias by row")]
    if name == "last":
        assert verdict["position bias by row"] == BIASED
        assert abs(row) > 10
    computed, left = (
        found[c][list(found["fault"]).index("pruned tokens still computed")] for c in ("found", "expected")
    )
    assert computed == left < 16 * 50 * 6
