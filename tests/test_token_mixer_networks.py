"""Attention of any shape, mixers out of work, bands and stages, on tiny networks whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
t = pytest.importorskip("transformers")

from torch import nn  # noqa: E402

from analysis.activations import ArrayActivations  # noqa: E402
from analysis.errors import InputError  # noqa: E402
from analysis.methods.tokens.attention_work import AttentionWorkParams, attention_work  # noqa: E402
from analysis.methods.tokens.axis_attention import axis_attention  # noqa: E402
from analysis.methods.tokens.band_dropout import BandDropoutParams, band_dropout  # noqa: E402
from analysis.methods.tokens.feature_collapse import feature_collapse  # noqa: E402
from analysis.methods.tokens.mixer_ablation import mixer_ablation  # noqa: E402
from analysis.methods.tokens.reduced_attention import ReducedAttentionParams, reduced_attention  # noqa: E402
from analysis.sources.loaded_model import LoadedModel  # noqa: E402
from analysis.tokens.mixers import alone, attention_calls, axes, bands, collapse, work  # noqa: E402
from analysis.tokens.mixers.attention_calls import ALIKE, ITSELF, own_keys, paid, watched  # noqa: E402
from analysis.tokens.mixers.linear_attention import axial  # noqa: E402
from analysis.tokens.mixers.own_grids import laid  # noqa: E402


class Attention(nn.Module):
    """One head by the fused kernel, or by a softmax."""

    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.qkv, self.proj, self.fused = nn.Linear(width, 3 * width), nn.Linear(width, width), fused

    def forward(self, x):
        q, k, v = self.qkv(x).unsqueeze(1).chunk(3, dim=-1)
        if self.fused:
            out = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v
        return self.proj(out.squeeze(1))


class Block(nn.Module):
    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.attn, self.up, self.down = (
            Attention(width, fused),
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, x):
        x = x + self.attn(x)
        return x + self.down(self.up(x).relu())


class Tokens(nn.Module):
    def __init__(self, width: int = 24, layers: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, fused=i % 2 == 0) for i in range(layers))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=1))


class Gated(nn.Module):
    """A gated filter, as is left of a Mamba block without its scan."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.value, self.gate = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.conv(self.value(x)) * self.gate(x).sigmoid()


class GatedNet(nn.Module):
    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 2, stride=2)
        self.stages = nn.ModuleList([Gated(channels), Gated(channels)])
        self.head = nn.Linear(channels, 3)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean(dim=(2, 3)))


def run_of(module, samples: np.ndarray, causal: bool = False):
    """As `rerun` gives one."""
    loaded = LoadedModel(module.eval(), None, lambda items: torch.from_numpy(np.stack(items)), causal=causal)
    data = SimpleNamespace(items=lambda i, j: list(samples[i:j]))
    return SimpleNamespace(
        loaded=loaded, data=data, n=len(samples), samples=np.arange(len(samples)), note="Run."
    )


def tokens_run(seed: int = 0):
    torch.manual_seed(seed)
    x = np.random.default_rng(seed).standard_normal((3, 25, 24)).astype(np.float32)
    return run_of(Tokens(), x)


# ---------------------------------------------------------------------------- attention of any shape
def test_fused_and_plain_attention_are_caught_alike():
    run = tokens_run()
    calls = paid(run.loaded, run.loaded.prepare(run.data.items(0, 1)))
    assert [c.name for c in calls] == ["blocks.0.attn", "blocks.1.attn"]
    assert [c.weights.shape for c in calls] == [(1, 1, 25, 25)] * 2
    x = torch.from_numpy(run.data.items(0, 1)[0])[None]
    q, k, _ = run.loaded.module.blocks[0].attn.qkv(x).chunk(3, dim=-1)
    by_hand = (q @ k.transpose(-1, -2) / 24**0.5).softmax(dim=-1).detach().numpy()
    np.testing.assert_allclose(calls[0].weights[0, 0], by_hand[0], atol=1e-6)


@pytest.mark.parametrize("layer", [0, 1])  # the fused kernel, a softmax
def test_attention_of_one_module_is_exchanged_and_nothing_stays(layer):
    run = tokens_run()
    module, x = run.loaded.module, run.loaded.prepare(run.data.items(0, 1))
    block = module.blocks[layer].attn
    before = module(x)
    given = x if layer == 0 else module.blocks[0](x)
    value = block.qkv(given).chunk(3, dim=-1)[2]
    for way, mixed in ((ITSELF, value), (ALIKE, value.mean(dim=1, keepdim=True).expand(value.shape))):
        with watched(module, keep=False, alter=(f"blocks.{layer}.attn", way)):
            found = module(x)
        behind = given + block.proj(mixed)
        part = module.blocks[layer]
        behind = behind + part.down(part.up(behind).relu())
        for later in module.blocks[layer + 1 :]:
            behind = later(behind)
        torch.testing.assert_close(found, module.head(behind.mean(dim=1)), atol=1e-5, rtol=1e-5)
        assert (found - before).abs().max() > 1e-4
    torch.testing.assert_close(module(x), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_keys_that_are_fewer():
    np.testing.assert_array_equal(own_keys((16, 4)), [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3])
    with pytest.raises(InputError, match="16 tokens over 5 keys"):
        own_keys((16, 5))
    torch.manual_seed(0)
    config = t.PvtConfig(image_size=32, num_encoder_blocks=2, depths=[1, 1], sequence_reduction_ratios=[4, 1],
                         hidden_sizes=[8, 16], patch_sizes=[4, 2], strides=[4, 2], num_attention_heads=[1, 2],
                         mlp_ratios=[2, 2], num_labels=3)  # fmt: skip
    images = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    run = run_of(t.PvtForImageClassification(config), images)
    calls = paid(run.loaded, run.loaded.prepare(run.data.items(0, 1)))
    assert [c.weights.shape[1:] for c in calls] == [
        (1, 64, 4),
        (2, 17, 17),
    ]  # the last stage has a class token
    first = laid(calls[0].weights[0], (8, 8))
    assert first.keys == (2, 2)
    assert (np.bincount(first.covers) == 16).all()  # areas sum to H W
    np.testing.assert_allclose(first.squared.sum(axis=2), 1, atol=1e-6)
    counted = work.work_of(run.loaded, run.loaded.prepare(run.data.items(0, 1)))
    np.testing.assert_allclose(counted.attention, [2 * 64 * 4 * 8, 2 * 17**2 * 16])
    np.testing.assert_allclose(counted.full, [2 * 64**2 * 8, 2 * 17**2 * 16])
    who = alone.MixerNetwork(run, "")
    assert [p.kind for p in who.parts] == [alone.ATTENTION] * 2
    less = who.passed(0, alter=(who.parts[0], ITSELF))
    assert np.abs(less.answer - who.passed(0).answer).max() > 0


def test_divided_space_and_time_are_two_axes():
    torch.manual_seed(0)
    config = t.TimesformerConfig(image_size=8, patch_size=4, num_frames=3, hidden_size=8, num_hidden_layers=2,
                                 num_attention_heads=2, intermediate_size=16, num_labels=3)  # fmt: skip
    clips = np.random.default_rng(0).standard_normal((1, 3, 3, 8, 8)).astype(np.float32)
    run = run_of(t.TimesformerForVideoClassification(config), clips)
    calls = paid(run.loaded, run.loaded.prepare(run.data.items(0, 1)))
    assert [c.weights.shape for c in calls[:2]] == [(4, 2, 3, 3), (3, 2, 5, 5)]
    found = axes.factored_of(calls)
    assert [f.grid for f in found] == [(4, 3), (4, 3)]
    assert 0.01 < found[0].lost < 0.9  # to the class token
    whole = axial(found[0].first, found[0].second).reshape(4, 3, 4, 3)
    np.testing.assert_allclose(found[0].composed(2, 1), whole[2, 1], atol=1e-12)
    np.testing.assert_allclose(whole.sum(axis=(2, 3)).mean(), 1 - found[0].lost, atol=1e-6)


def test_ordinary_attention_is_no_pair_of_axes():
    run = tokens_run()
    assert axes.factored_of(paid(run.loaded, run.loaded.prepare(run.data.items(0, 1)))) == []


# ---------------------------------------------------------------------------- work
def test_work_of_a_usual_block_is_the_closed_form():
    run = tokens_run()
    found = work.work_of(run.loaded, run.loaded.prepare(run.data.items(0, 1)), repeats=2)
    usual = work.plain_block(25, 24)
    for i, name in enumerate(("blocks.0", "blocks.1")):
        assert found.names[i] == name
        assert (found.linear[i], found.attention[i], found.full[i]) == (
            usual.linear[0],
            usual.full[0],
            usual.full[0],
        )
    assert found.crossover == pytest.approx(6 * 24)
    assert found.outside == 24 * 3
    assert found.seconds.shape == (2, 2)
    assert (found.seconds > 0).all()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in run.loaded.module.modules())


# ---------------------------------------------------------------------------- mixers out of work
def gated_run():
    torch.manual_seed(0)
    module = GatedNet()
    first = module.stages[0].conv
    with torch.no_grad():  # a filter that is an identity
        first.weight.zero_()
        first.bias.zero_()
        first.weight[:, :, 2, 2] = 1.0
    images = np.random.default_rng(0).standard_normal((3, 3, 12, 12)).astype(np.float32)
    return run_of(module, images)


def test_an_identity_branch_out_of_work_changes_nothing_and_another_does():
    who = alone.MixerNetwork(gated_run(), "stages.1")
    assert [(p.name, p.kind) for p in who.parts] == [("stages.0.conv", "filter"), ("stages.1.conv", "filter")]
    plain = who.passed(0)
    first, second = (who.passed(0, alter=(p, ITSELF)) for p in who.parts)
    np.testing.assert_allclose(first.answer, plain.answer, atol=1e-6)
    np.testing.assert_allclose(first.feature, plain.feature, atol=1e-6)
    assert np.abs(second.answer - plain.answer).max() > 1e-3
    assert second.feature.shape == plain.feature.shape
    module = who.module
    with torch.no_grad():  # by hand: only the centre weight of the second filter
        x = module.stages[0](module.stem(who._given(0)))
        gated = module.stages[1]
        value = gated.value(x)
        middle = value * gated.conv.weight[:, 0, 2, 2][:, None, None] + gated.conv.bias[:, None, None]
        by_hand = module.head((x + middle * gated.gate(x).sigmoid()).mean(dim=(2, 3)))[0]
    np.testing.assert_allclose(second.answer, by_hand.numpy(), atol=1e-5)
    nothing = who.passed(0, alter=(who.parts[1], alone.NOTHING))
    assert np.abs(nothing.out["stages.1.conv"]).max() == 0
    np.testing.assert_allclose(who.passed(0).answer, plain.answer)


def test_what_is_pushed_is_added():
    who = alone.MixerNetwork(gated_run(), "")
    plain, part = who.passed(1), who.parts[1]
    back = who.passed(1, alter=(part, alone.NOTHING)).answer
    pushed = who.passed(1, push=(part, -plain.out[part.name])).answer
    np.testing.assert_allclose(pushed, back, atol=1e-5)


def test_a_scan_whose_state_reads_nothing_is_an_identity():
    """B = 0 and D = 1: the scan gives its input."""
    torch.manual_seed(0)
    config = t.MambaConfig(vocab_size=12, hidden_size=8, num_hidden_layers=2, state_size=4, bos_token_id=0,
                           eos_token_id=1, pad_token_id=0)  # fmt: skip
    model = t.MambaForCausalLM(config).eval()
    with torch.no_grad():
        for layer in model.backbone.layers:
            nn.init.normal_(layer.mixer.in_proj.weight, std=0.5)
            nn.init.normal_(layer.mixer.x_proj.weight, std=0.5)
        quiet = model.backbone.layers[0].mixer
        rank = quiet.x_proj.out_features - 8
        quiet.x_proj.weight[rank : rank + 4] = 0.0
        quiet.D.fill_(1.0)
    words = np.random.default_rng(0).integers(2, 12, (2, 7))
    run = run_of(model, words, causal=True)
    who = alone.MixerNetwork(run, "backbone.layers.0")
    assert [p.kind for p in who.parts] == ["scan", "scan"]
    plain = who.passed(0)
    moved = [np.abs(who.passed(0, alter=(p, ITSELF)).answer - plain.answer).max() for p in who.parts]
    assert moved[0] < 1e-6
    assert moved[1] > 1e-4


# ---------------------------------------------------------------------------- bands and stages
def test_a_band_that_no_weight_reads_carries_nothing(rng):
    run = gated_run()
    with torch.no_grad():
        run.loaded.module.stem.weight[:, 1] = 0.0
    who = bands.NetworkBands(run, "stages.0")
    assert who.values.shape == (3, 3, 12, 12)
    own = who.passed(0, who.values[0])
    for way in bands.WAYS:
        moved = []
        for band in range(3):
            less = bands.without(who.values, 0, np.array([band]), way, 2)
            np.testing.assert_array_equal(np.delete(less, band, 0), np.delete(who.values[0], band, 0))
            instead = who.values[2, band] if way == bands.OTHER else who.values[:, band].mean()
            np.testing.assert_allclose(less[band], np.broadcast_to(instead, (12, 12)))
            moved.append([np.abs(a - b).max() for a, b in zip(own, who.passed(0, less), strict=True)])
        assert max(moved[1]) < 1e-9
        assert min(moved[0]) > 1e-4
    much = bands.as_much(who.values[0], less, rng)
    np.testing.assert_allclose(np.linalg.norm(much - who.values[0]), np.linalg.norm(less - who.values[0]))
    one = run_of(nn.Conv2d(1, 2, 1), np.zeros((2, 1, 4, 4), np.float32))
    with pytest.raises(InputError, match="single channel"):
        bands.NetworkBands(one, "")


class Averages(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3), keepdim=True).expand(x.shape) + 0 * x


@pytest.mark.parametrize("kind", collapse.KINDS)
def test_tokens_that_are_averaged_are_alike_clean_and_corrupted(kind, rng):
    run = gated_run()
    run.loaded.module.stages.append(Averages())
    who = collapse.NetworkStages(run)
    assert who.names == ("stages.0", "stages.1", "stages.2")
    clean, worse = who.stages(0, kind, 1.0, rng)
    assert clean[0].shape == (36, 4)
    for side in (clean, worse):
        assert collapse.effective_rank(side[2]) == pytest.approx(1, abs=1e-4)
        assert collapse.mean_cosine(side[2]) == pytest.approx(1, abs=1e-6)
        assert collapse.mean_cosine(side[0]) < 0.999
    assert np.abs(clean[0] - worse[0]).max() > 1e-3
    again = who.stages(0, kind, 0.0, rng)
    np.testing.assert_allclose(again[0][1], again[1][1], atol=1e-5)


def test_stages_are_in_the_order_in_which_they_run():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, x):
            return self.layers[0](self.layers[1](x)).mean(dim=1)

    who = collapse.NetworkStages(run_of(Backwards(), np.ones((2, 5, 4), np.float32)))
    assert who.names == ("layers.1", "layers.0")


def test_texts_keep_their_words_when_they_are_corrupted(rng):
    ids = torch.arange(40)[None]
    out = collapse.corrupted({"input_ids": ids}, collapse.NOISE, 2.0, rng)["input_ids"]
    assert (out != ids).any()
    assert sorted(out[0].tolist()) == ids[0].tolist()


def test_routers_are_no_attention():
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.router = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=-1))

        def forward(self, x):
            return self.router(x).mean(dim=1)

    run = run_of(Router(), np.zeros((1, 5, 4), np.float32))
    with pytest.raises(InputError, match="no softmax over tokens"):
        paid(run.loaded, run.loaded.prepare(run.data.items(0, 1)))
    assert attention_calls.ROUTERS


# ---------------------------------------------------------------------------- the methods on such a network
@pytest.fixture
def rerun_gives(monkeypatch):
    """The network that taps are run again on."""

    def put(run):
        import analysis.sources.rerun

        monkeypatch.setattr(analysis.sources.rerun, "rerun", lambda *_a, **_k: run)

    return put


def tap_named(name: str, n: int = 40, d: int = 6) -> ArrayActivations:
    return ArrayActivations(np.random.default_rng(1).standard_normal((n, d)), name=f"store:{name}")


def test_the_methods_read_the_network(rerun_gives):
    rerun_gives(tokens_run())
    found = mixer_ablation(tap_named("blocks.1"))
    assert found.x_labels == ("blocks.0", "blocks.1")  # without what all end with
    assert list(found.series) == ["the answer", "the feature"]
    assert (found.series["the answer"] > 0).all()
    spent = attention_work(tap_named("blocks.1"), AttentionWorkParams(repeats=1))
    assert spent.estimates[0].value == pytest.approx(25 / 144)
    assert "short" in spent.reading
    seen = reduced_attention(tap_named("blocks.1"), ReducedAttentionParams(layer=2, token=7))
    assert seen.grid == (5, 5)
    np.testing.assert_allclose(seen.values.mean(axis=1), 1, atol=1e-6)
    stages = feature_collapse(tap_named("blocks.1"))
    assert stages.x_labels == ("blocks.0", "blocks.1")
    alone_axis = axis_attention(tap_named("blocks.1"))
    assert any("along one axis only" in c for c in alone_axis.caveats)


def test_the_methods_on_filters(rerun_gives):
    rerun_gives(gated_run())
    found = mixer_ablation(tap_named("stages.1"))
    for name in ("the answer", "the feature"):
        np.testing.assert_allclose(found.series[name][0], 0, atol=1e-6)
        assert found.low[name][1] <= found.series[name][1] <= found.high[name][1]
    lost = band_dropout(tap_named("stages.1"), BandDropoutParams(wavelengths="665, 560, 490"))
    np.testing.assert_array_equal(lost.x, [490, 560, 665])
    spent = attention_work(tap_named("stages.1"))
    assert any("no softmax attention" in c for c in spent.caveats)
    assert spent.estimates[1].value == pytest.approx(36)
