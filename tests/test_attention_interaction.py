"""Attention that is there where nothing interacts, and interactions where nobody attends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution.attention_maps import attention_of, gathered
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError
from analysis.methods.attribution import attention_interaction as method
from analysis.methods.attribution.attention_interaction import (
    AttentionInteractionParams,
    attention_interaction,
)
from analysis.sources.loaded_model import LoadedModel

N, TOKENS, D = 12, 5, 4


class Attends(torch.nn.Module):
    """Attention over the tokens, which the answer reads only where `of` does."""

    def __init__(self, of) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = torch.nn.MultiheadAttention(D, 2, batch_first=True).double()
        with torch.no_grad():
            self.attention.in_proj_weight *= 4
        self.of = of

    def forward(self, x):
        mixed, _ = self.attention(x, x, x, need_weights=False)
        return self.of(x, mixed)[:, None]


class Samples:
    is_network, number, input_names, classes = True, "", (), ()
    what, notes = "the network", ()

    def __init__(self, x, module) -> None:
        self.x, self.samples = x, np.arange(len(x))
        self.loaded = LoadedModel(module, "array", lambda items: torch.as_tensor(np.stack(items)))

    def run(self, i, site=None):
        return SampleRun(self.loaded, self.x[i])


@pytest.fixture
def table(monkeypatch):
    def made(of, **params):
        x = np.random.default_rng(1).standard_normal((N, TOKENS, D))
        samples = Samples(x, Attends(of))
        monkeypatch.setattr(method, "explained_samples", lambda *_: (samples, ()))
        tap = ArrayActivations(x.reshape(-1, D), layout=Layout(np.arange(N + 1) * TOKENS))
        settings = AttentionInteractionParams(samples_asked=8, draws=100, **params)
        return attention_interaction(tap, settings), samples

    return made


@pytest.mark.parametrize("way", ["Shapley interaction", "left out together"])
def test_a_network_that_adds_up_its_tokens_attends_and_does_not_interact(table, way):
    found, samples = table(lambda x, _: x.sum(dim=(1, 2)), interaction=way)
    told = {e.name: e.value for e in found.estimates}
    assert told["strongest interaction of the answer's change"] == 0
    assert told["attention off the even share"] > 0.1
    assert not found.columns["beyond chance"].any()
    assert "adds up" in found.reading
    module = samples.loaded.module
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_interaction_is_found_whoever_attends(table):
    """A product of two tokens is their interaction; where the answer is made of attention, so is the interaction."""
    found, samples = table(lambda x, _: x[:, 0, 0] * x[:, 1, 0], background="zero")
    assert found.estimates[0].value == pytest.approx(1)  # x0 x1 is all of the answer's change
    assert list(found.columns["head"]) == ["mean of all heads", "layer 0, head 0", "layer 0, head 1"]
    assert found.columns["rank correlation"][0] < 0.5
    run = samples.run(0)
    weights = attention_of(run)
    assert weights.shape == (1, 2, TOKENS, TOKENS)
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    x = torch.as_tensor(samples.x[:1])
    known = samples.loaded.module.attention(x, x, x, average_attn_weights=False)[1].detach().numpy()
    np.testing.assert_allclose(weights[0], known[0])


def test_tokens_that_play_as_one_share_their_attention(table):
    found, _ = table(lambda x, mixed: torch.tanh(mixed).sum(dim=(1, 2)), players=3)
    assert any("Neighbouring tokens" in c for c in found.caveats)
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=(1, 1, 5))
    joined = gathered(weights, np.array([0, 0, 1, 1, 2]))
    np.testing.assert_allclose(joined.sum(axis=-1), 1)
    assert joined[0, 0, 0, 1] == pytest.approx(weights[0, 0, :2, 2:4].sum() / 2)


def test_a_network_without_attention_is_refused():
    run = Samples(np.ones((1, TOKENS, D)), torch.nn.Flatten()).run(0)
    with pytest.raises(InputError, match="attention over its tokens"):
        attention_of(run)


class Fused(torch.nn.Module):
    """As transformers' networks: weights are told by the plain way only."""

    def __init__(self, broken=False) -> None:
        super().__init__()
        self.config, self.seen, self.broken = SimpleNamespace(_attn_implementation="sdpa"), [], broken

    def set_attn_implementation(self, name) -> None:
        self.config._attn_implementation = name

    def forward(self, x, output_attentions=False):
        self.seen.append(self.config._attn_implementation)
        if not output_attentions:
            return SimpleNamespace(logits=x.sum(dim=1))
        if self.broken:
            raise ZeroDivisionError
        plain = self.config._attn_implementation == "eager"
        weights = torch.softmax(x @ x.transpose(1, 2), dim=-1)[:, None]
        return SimpleNamespace(logits=x.sum(dim=1), attentions=(weights,) if plain else (None,))


def test_fused_attention_is_switched_to_the_plain_way_for_the_run_and_back():
    x = np.random.default_rng(0).standard_normal((1, TOKENS, D))
    run = Samples(x, Fused()).run(0)
    module = run.loaded.module.train()
    maps = attention_of(run)
    assert maps.shape == (1, 1, TOKENS, TOKENS)
    np.testing.assert_allclose(maps.sum(axis=-1), 1)
    assert module.seen == ["sdpa", "eager"]
    assert module.config._attn_implementation == "sdpa"
    assert module.training
    module.broken = True
    with pytest.raises(ZeroDivisionError):
        attention_of(run)
    assert module.config._attn_implementation == "sdpa"


def test_that_attention_is_read_in_the_plain_way_is_said(table):
    found, _ = table(lambda x, _: x.sum(dim=(1, 2)))
    assert any("plain attention, which tells its weights" in c for c in found.caveats)


class FusedKernel(torch.nn.Module):
    """Attention by torch's fused kernel, which hides its weights."""

    def __init__(self, mask=None, **how) -> None:
        super().__init__()
        self.mask, self.how, self.dropped = mask, how, torch.nn.Dropout(0.5)

    def forward(self, x):
        heads = x[:, None].expand(-1, 4, -1, -1) * torch.arange(1, 5, dtype=x.dtype)[:, None, None]
        few = heads[:, ::2] if self.how.get("enable_gqa") else heads
        mixed = torch.nn.functional.scaled_dot_product_attention(heads, few, few, self.mask, **self.how)
        return self.dropped(mixed).sum(dim=(1, 2))


@pytest.mark.parametrize(
    "how",
    [{}, {"scale": 2.0}, {"is_causal": True}, {"enable_gqa": True}, {"mask": torch.eye(TOKENS, dtype=torch.bool)},
     {"mask": torch.linspace(-2, 2, TOKENS).double().expand(TOKENS, -1)}],
)  # fmt: skip
def test_weights_that_a_fused_kernel_hides_are_those_it_mixes_by(how):
    """What the weights make of the values is what the kernel gave; the network is in the mode it was in."""
    x = np.random.default_rng(2).standard_normal((1, TOKENS, D))
    samples = Samples(x, FusedKernel(**how).double())
    samples.loaded.module.train()
    weights = attention_of(samples.run(0))
    assert samples.loaded.module.dropped.training
    assert weights.shape == (1, 4, TOKENS, TOKENS)
    factors = np.array([1, 1, 3, 3]) if how.get("enable_gqa") else np.arange(1, 5)
    mixed = np.einsum("hts,hsd->d", weights[0], factors[:, None, None] * x)
    with torch.no_grad():
        known = samples.loaded.module.eval()(torch.as_tensor(x))
    np.testing.assert_allclose(mixed, known[0].numpy(), atol=1e-12)


def test_a_layer_in_eval_mode_inside_a_network_in_training_stays_so():
    layer = torch.nn.TransformerEncoderLayer(D, 2, 8, batch_first=True, dtype=torch.float64)
    layer.linear1.eval()
    samples = Samples(np.random.default_rng(3).standard_normal((1, TOKENS, D)), layer)
    weights = attention_of(samples.run(0))  # the layer's own fast way knows no weights
    np.testing.assert_allclose(weights.sum(axis=-1), np.ones((1, 2, TOKENS)))
    assert (layer.training, layer.dropout.training, layer.linear1.training) == (True, True, False)
