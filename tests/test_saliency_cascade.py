"""Layers with other weights, which come back; and maps of a network that forgets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.attribution.saliency import ways as registry
from analysis.attribution.saliency.map_likeness import chance_half
from analysis.attribution.saliency.way import SaliencyMap, Way
from analysis.attribution.saliency_court.permuted_labels import permuted_probe
from analysis.attribution.saliency_court.reset_layers import (
    DRAWN,
    SHUFFLED,
    layers_behind,
    reset_weights,
    short_name,
    stages_of,
)
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import logit_target
from analysis.errors import Cancelled, InputError
from analysis.methods.attribution.cascade_randomisation import (
    CascadeRandomisationParams,
    cascade_randomisation,
)
from tests.court_subjects import Picture, data, loaded, state, trial_of


@pytest.fixture
def network(monkeypatch):
    return trial_of(monkeypatch)


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.attend = (
            torch.nn.Linear(4, 4),
            torch.nn.MultiheadAttention(4, 1, batch_first=True),
        )
        self.norm, self.head = torch.nn.LayerNorm(4), torch.nn.Linear(4, 4)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        h = self.embedding(x)
        return self.head(self.norm(h + self.attend(h, h, h)[0])).mean(dim=1)


@pytest.mark.parametrize("kind", [DRAWN, SHUFFLED])
def test_weights_are_other_ones_and_come_back_bit_for_bit_also_after_an_exception(kind):
    torch.manual_seed(0)
    module = Tied()
    own, tensors = state(module), {name: id(p) for name, p in module.named_parameters()}
    with reset_weights(module, kind, np.random.default_rng(0)) as reset:
        reset(["head"])
        assert not torch.equal(module.head.weight, own["embedding.weight"])
        assert torch.equal(module.embedding.weight, own["embedding.weight"])  # shared no longer
        new = module.head.weight.detach()
        if kind == SHUFFLED:
            assert torch.equal(new.flatten().sort().values, own["embedding.weight"].flatten().sort().values)

    def broken():
        with reset_weights(module, kind, np.random.default_rng(0)) as reset:
            reset(["head", "attend"])
            reset(["head", "norm"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert module.head.weight is module.embedding.weight
    assert {name: id(p) for name, p in module.named_parameters()} == tensors
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())


def test_layers_behind_a_site_come_from_the_output_downwards():
    model = loaded(Tied())
    x = data(5, 4)
    run = SampleRun(model, x)
    target = logit_target(run.logits)
    layers, lost = layers_behind(run, target)
    assert lost == []
    assert layers[:2] == ["head", "norm"]
    assert set(layers[2:4]) == {"attend", "attend.out_proj"}  # whose weights its parent reads
    assert layers[4:] == ["embedding"]
    assert layers_behind(SampleRun(model, x, "attend"), target)[0] == ["head", "norm"]
    assert stages_of(layers, 2) == [layers[:3], layers[3:]]
    assert not any(m._forward_hooks for m in model.module.modules())
    names = ["encoder.stages.2.layers.0.normalization", "head", "3.1", ""]
    assert [short_name(name) for name in names] == ["2.0 normaliz", "head", "3.1", "the whole"]


def test_edges_fail_the_cascade_slopes_pass_and_the_network_is_as_before(network):
    module = Picture()
    tap, own = network(module, data(8, 2, 6, 6), "map"), state(module)
    params = CascadeRandomisationParams(ways="gradient", draws=4, samples=8)
    found = cascade_randomisation(tap, params, np.random.default_rng(0))
    assert found.x_labels == ("as trained", "head", "hidden")
    np.testing.assert_allclose(found.series["edges"], 1, atol=1e-9)
    assert abs(found.series["random"][-1]) < 2 * chance_half(np.full(16, 36))
    assert found.series["gradient"][-1] < 0.35 < found.series["gradient"][0]
    assert "FAIL: edges;" in found.reading
    assert "lose the map: gradient, random" in found.reading
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())

    def stop(fraction, doing=""):
        if "other weights" in doing and not torch.equal(module.head.weight, own["head.weight"]):
            raise Cancelled

    with pytest.raises(Cancelled) as kept:  # whoever holds the exception holds what was under way
        cascade_randomisation(tap, params, np.random.default_rng(0), stop)
    assert kept.tb is not None
    assert all(torch.equal(p, own[name]) for name, p in module.named_parameters())


def test_the_last_site_has_no_layer_behind_it(network):
    tap = network(Picture(), data(8, 2, 6, 6), "head")
    with pytest.raises(InputError, match="no layer with weights"):
        cascade_randomisation(tap, CascadeRandomisationParams(ways="gradient"))


def test_a_probe_of_permuted_labels_is_of_the_same_samples():
    label = np.array(["a", "b", "c"])[np.r_[np.arange(40) % 2, [2, 2]]]  # c is too rare, and stays out
    tap = ArrayActivations(data(42, 3), name="m", samples={"label": label})
    first, second = (permuted_probe(tap, None, 7, np.random.default_rng(s)) for s in (0, 1))
    np.testing.assert_array_equal(first.samples, np.arange(40))
    np.testing.assert_array_equal(second.samples, first.samples)
    answers = [[s.run(i).logits.argmax().item() for i in range(40)] for s in (first, second)]
    assert answers[0] != answers[1]
    assert list(tap.samples["label"]) == list(label)


def test_the_spread_between_draws_is_in_the_interval_however_many_samples(network):
    """The slope of a linear layer is the same for every sample: draws are all that varies."""
    tap = network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2)), data(30, 1, 6, 6))
    params = CascadeRandomisationParams(ways="gradient", number="logit", answer=0, samples=30, draws=3)
    found = cascade_randomisation(tap, params, np.random.default_rng(1))
    told = {e.name: e for e in found.estimates}["likeness in the end, gradient"]
    assert told.high - told.low > 0.2
    assert (found.low["gradient"][-1], found.high["gradient"][-1]) == (told.low, told.high)
    assert told.null == pytest.approx(1)  # any sample has the same map
    assert "cannot be told (a wide interval: ask for more draws): gradient" in found.reading
    wide = {e.name: e for e in found.estimates}["likeness in the end, edges"]
    assert (wide.low, wide.high) == pytest.approx((1, 1))


def test_a_way_without_a_map_does_not_pass_the_cascade(network, monkeypatch):
    blank = Way("blank", "", lambda q: SaliencyMap(np.zeros(q.run.shape[0]), 1), lambda *_: 1, signed=True)
    monkeypatch.setitem(registry.WAYS, "blank", blank)
    tap = network(Picture(), data(8, 2, 6, 6), "map")
    found = cascade_randomisation(tap, CascadeRandomisationParams(ways="blank", draws=3, samples=8))
    assert "have no map to lose, as it is the same everywhere: blank" in found.reading
    np.testing.assert_array_equal(found.series["blank"], 0)
