"""Layers left out, altered and read out: against the same done by hand, on small networks and on random blocks."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import betainc

from analysis.compute.networks.depth import change_of_level, fresh, sizes_and_cosines
from analysis.compute.networks.norms import ignored
from analysis.compute.networks.random_projections import energy_kept, energy_variance, random_basis
from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.exits import THRESHOLDS, costs_of, leaving
from analysis.tokens.lens import cosines, divergences, overlaps
from analysis.tokens.readouts import NOT_LINEAR, frozen_answers, linear
from analysis.tokens.stream import NetworkStream, RandomStream, _norm

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from analysis.errors import InputError  # noqa: E402
from analysis.sources.loaded_model import LoadedModel  # noqa: E402
from analysis.tokens.networks.token_network import TokenNetwork  # noqa: E402
from analysis.tokens.rule import rule  # noqa: E402


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32,
                                    image_size=16, patch_size=4, num_labels=7)  # fmt: skip
    model = transformers.ViTForImageClassification(config).eval()
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    items = list(np.random.default_rng(0).standard_normal((3, 3, 16, 16)))
    found = TokenNetwork(LoadedModel(model, "image", lambda x: {"pixel_values": torch.from_numpy(np.stack(x)).float()}),
                         items)  # fmt: skip
    return found, found.loaded.prepare(items)


def readout(network, states) -> np.ndarray:
    """Norm and head by hand."""
    model = network.loaded.module
    with torch.inference_mode():
        return model.classifier(model.vit.layernorm(torch.from_numpy(states))[:, 0]).numpy()


def test_a_network_without_a_layer_is_the_other_layers_one_after_the_other(network):
    network, inputs = network
    plain = network.run(inputs, record=("hidden", "between"))
    without = network.run(inputs, record=("hidden", "between"), altered={1: None})
    with torch.inference_mode():
        third = network.blocks[2].module(torch.from_numpy(plain.recorded["hidden"][1]))
        third = third[0] if isinstance(third, tuple) else third
    np.testing.assert_allclose(without.recorded["hidden"][3], third.numpy(), atol=2e-5)
    np.testing.assert_array_equal(without.recorded["hidden"][2], without.recorded["hidden"][1])
    np.testing.assert_array_equal(without.recorded["between"][1], without.recorded["hidden"][1])
    again = network.run(inputs)
    np.testing.assert_array_equal(again.logits.numpy(), plain.logits.numpy())  # nothing stays behind


@pytest.mark.parametrize("start", [0, 2])
def test_the_lens_is_the_networks_own_norm_and_head(network, start):
    network, inputs = network
    plain = network.run(inputs, record=("hidden",))
    read = network.run(inputs, altered={i: None for i in range(start, 3)})
    np.testing.assert_allclose(
        read.logits.numpy(), readout(network, plain.recorded["hidden"][start]), atol=2e-5
    )


def test_an_altered_layer_hands_on_what_it_is_told(network):
    network, inputs = network
    seen = {}

    def halved(before, behind):
        seen["before"], seen["behind"] = before.numpy(), behind.numpy()
        return (before + behind) / 2

    plain = network.run(inputs, record=("hidden",)).recorded["hidden"]
    run = network.run(inputs, record=("hidden",), altered={0: halved})
    np.testing.assert_array_equal(seen["before"], plain[0])
    np.testing.assert_allclose(seen["behind"], plain[1], atol=1e-6)
    np.testing.assert_allclose(run.recorded["hidden"][1], (plain[0] + plain[1]) / 2, atol=1e-5)
    with pytest.raises(InputError, match="one of the two"):
        network.run(inputs, rule("random"), altered={0: None})


def test_equal_orthogonal_updates_give_one_over_the_root():
    states = [np.eye(9)[: i + 1].sum(axis=0)[None, None] for i in range(9)]
    sizes, cosine = sizes_and_cosines(states[:-1], states[1:], np.ones((1, 1), bool))
    np.testing.assert_allclose(sizes[0], fresh(8), atol=1e-12)
    np.testing.assert_allclose(cosine, 0, atol=1e-12)


def test_what_is_padding_does_not_count():
    rng = np.random.default_rng(0)
    h, x = rng.standard_normal((2, 2, 5, 4))
    present = np.array([[True] * 3 + [False] * 2, [True] * 5])
    whole = sizes_and_cosines([h], [x], present)
    h[0, 3:], x[0, 3:] = 100, -7
    for a, b in zip(whole, sizes_and_cosines([h], [x], present), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_change_of_level_is_found_and_none_in_a_flat_line():
    rng = np.random.default_rng(0)
    step = np.repeat([[1.0] * 6 + [0.3] * 6], 30, axis=0) + 0.05 * rng.standard_normal((30, 12))
    found = change_of_level(step, rng)
    assert (found.at, found.low, found.high) == (6, 6, 6)
    assert found.p < 0.01
    assert found.share > 0.95
    flat = change_of_level(np.ones((30, 12)), rng)
    assert flat.share == 0
    assert flat.p == 1


@pytest.mark.parametrize("way", [divergences, cosines, lambda a, b: overlaps(a, b, 3)])
def test_other_samples_are_all_pairs_one_by_one(way):
    rng = np.random.default_rng(0)
    end, layer = (x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in rng.standard_normal((2, 6, 8)))
    own, others = way(end, layer)
    pairs = np.array([[way(end[i : i + 1], layer[j : j + 1])[0][0] for j in range(6)] for i in range(6)])
    np.testing.assert_allclose(own, np.diag(pairs), atol=1e-12)
    np.testing.assert_allclose(others, pairs[~np.eye(6, dtype=bool)].mean(), atol=1e-12)


def test_leaving_is_the_first_exit_that_is_sure_enough():
    p = np.array([[[0.5, 0.5], [0.9, 0.1]], [[0.8, 0.2], [0.6, 0.4]], [[0.55, 0.45], [0.3, 0.7]]])
    logs = np.log(p)
    assert leaving(logs, 0.0).tolist() == [0, 0]
    assert leaving(logs, 0.75).tolist() == [1, 0]
    assert leaving(logs, 0.85).tolist() == [2, 0]
    assert leaving(logs, THRESHOLDS[-1]).tolist() == [2, 2]


def test_random_blocks_that_are_left_out_are_the_identity():
    rng = np.random.default_rng(0)
    who = RandomStream(rng.standard_normal((4, 5, 6)), np.ones((4, 5), bool), rng, 3)
    plain, none = who.passed(slice(0, 4)), who.passed(slice(0, 4), {i: None for i in range(3)})
    for state in none.states:
        np.testing.assert_array_equal(state, plain.states[0])
    assert np.abs(plain.answer - none.answer).max() > 0.1


def test_norms_ignore_what_they_should_with_gains_and_biases():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 12)) + 2
    gain, bias = rng.uniform(0.5, 2, 12), rng.standard_normal(12)
    for centred in (True, False):

        def norm(rows, centred=centred):
            rows = rows - rows.mean(axis=1, keepdims=True) * centred
            return rows / np.sqrt(np.square(rows).mean(axis=1, keepdims=True)) * gain + bias

        found = ignored(norm, gain, bias, x, rng)
        assert found["changed by scale"] < 1e-12
        assert (found["changed by shift"] < 1e-12) == centred
        assert (found["changed by rotation"] < 1e-12) != centred
        assert found["by a rotation that keeps the mean"] < 1e-12


def test_a_network_of_torch_norms_is_told_apart(network):
    network, _ = network
    rng = np.random.default_rng(0)
    norm = _norm("one", (0, 0), network.blocks[0].norm1)
    x = rng.standard_normal((8, 16))
    np.testing.assert_allclose(norm.apply(x).mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(norm.apply(x), axis=1), 4, rtol=1e-3
    )  # √16, gains of a fresh network


@pytest.mark.parametrize(("k", "d"), [(6, 20), (1, 3)])
def test_energy_kept_by_random_subspaces_is_beta_whatever_the_vector(k, d):
    rng, n = np.random.default_rng(0), 800
    x = np.vstack([np.eye(d)[:1], np.arange(1.0, d + 1)[None]])
    energies = np.sort([energy_kept(x, random_basis(d, k, rng)) for _ in range(n)], axis=0)
    a, b = k / 2, (d - k) / 2
    assert energy_variance(k, d) == pytest.approx(a * b / ((a + b) ** 2 * (a + b + 1)))
    away = np.abs(betainc(a, b, energies) - (np.arange(n)[:, None] + 0.5) / n).max(axis=0)
    assert (away < 1.95 / np.sqrt(n)).all()  # Kolmogorov's 0.1 %


def test_cost_of_exits_is_that_of_the_layers_passed():
    rng = np.random.default_rng(0)
    who = RandomStream(rng.standard_normal((5, 6, 8)), np.ones((5, 6), bool), rng, 4)
    np.testing.assert_allclose(costs_of(who), np.arange(1, 5) / 4)  # layers alike, nothing outside them


def streamed(network) -> NetworkStream:
    """The network of the fixture on its three items."""
    found, _ = network
    items = list(np.random.default_rng(0).standard_normal((3, 3, 16, 16)))
    who = NetworkStream.__new__(NetworkStream)

    def prepared(a, b):
        return found.loaded.prepare(items[a:b])

    who.samples, who.classifies = np.arange(3), True
    who.opened = SimpleNamespace(
        network=found, run=SimpleNamespace(data=SimpleNamespace(items=lambda a, b: items[a:b])), prepared=prepared,
        batches=lambda size: [(slice(0, 2), prepared(0, 2)), (slice(2, 3), prepared(2, 3))], words=lambda place: (),
    )  # fmt: skip
    return who


def test_every_token_is_read_as_if_it_were_the_picture(network):
    who = streamed(network)
    states = who.passed(who.alone(1)).states
    model = network[0].loaded.module
    with torch.inference_mode():
        by_hand = model.classifier(model.vit.layernorm(torch.from_numpy(states[2][0]).float())).numpy()
    np.testing.assert_allclose(who.read(1, states[2][0]), by_hand, atol=2e-5)
    np.testing.assert_allclose(who.read(1, states[-1][0, :1]), who.passed(who.alone(1)).answer, atol=2e-5)
    assert who.places(1)[:3] == ("class token", "row 1, column 1", "row 1, column 2")


def test_a_frozen_norm_divides_by_the_size_of_the_last_state_and_answers_add_up(network):
    who = streamed(network)
    model, states = network[0].loaded.module, who.passed(who.alone(0)).states
    z = np.stack([who.read(0, x[0, :1]) for x in states])  # (L + 1, 1, C)
    norm = model.vit.layernorm
    w, b, gain, bias = (
        p.detach().double().numpy() for p in (*model.classifier.parameters(), *norm.parameters())
    )
    size = states[-1][0, 0].std()
    wanted = [(gain * (x[0, 0] - x[0, 0].mean()) / size + bias) @ w.T + b for x in states]
    each = np.concatenate([z, *[np.stack([who.read(i, x[0, :1]) for x in who.passed(who.alone(i)).states])
                                for i in (1, 2)]], axis=1)  # fmt: skip
    found, said = frozen_answers(who, each)
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-4)
    np.testing.assert_allclose(found[-1], each[-1], atol=1e-12)
    assert not said


def test_a_readout_that_is_no_norm_and_linear_map_is_left_as_it_is():
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 5, 6))
    w = rng.standard_normal((6, 4))
    plain = linear(lambda x: x @ w / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + 1e-12), one, other)
    assert not plain.centred
    assert linear(lambda x: np.tanh(x @ w), one, other) is None
    who = RandomStream(
        rng.standard_normal((4, 5, 6)), np.ones((4, 5), bool), rng, 2
    )  # the mean of five tokens
    z = np.stack([who.passed(np.arange(4)).answer] * 3)
    found, said = frozen_answers(who, z)
    assert said == (NOT_LINEAR,)
    np.testing.assert_array_equal(found, z)


def test_leaving_early_saves_layers_and_nothing_outside_them(monkeypatch):
    """Of a network whose patches and readout cost as much as two of its four layers."""
    x = np.random.default_rng(0).standard_normal((3, 5, 6))
    who = RandomStream(x, np.ones((3, 5), bool), np.random.default_rng(1), 4)
    plain = who.shape()
    found = multiply_adds(plain, [5.0] * 5)
    monkeypatch.setattr(who, "shape", lambda: replace(plain, fixed=found.total / 2))
    np.testing.assert_allclose(costs_of(who), (np.arange(1, 5) + 2) / 6, atol=1e-12)
