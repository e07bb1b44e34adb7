"""Transformers run block by block: the network's own answers, tokens really gone, nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from analysis.errors import InputError  # noqa: E402
from analysis.sources.loaded_model import LoadedModel  # noqa: E402
from analysis.tokens.arithmetic import multiply_adds  # noqa: E402
from analysis.tokens.dump import needed, record, simulate  # noqa: E402
from analysis.tokens.mixers.scan_capture import captured  # noqa: E402
from analysis.tokens.networks.shape import shape_of  # noqa: E402
from analysis.tokens.networks.token_network import TokenNetwork, answer_tensor  # noqa: E402
from analysis.tokens.oracle import missed  # noqa: E402
from analysis.tokens.rebuilding import rebuilt  # noqa: E402
from analysis.tokens.rule import rule, rules  # noqa: E402
from analysis.tokens.schedule import at_layer, schedule  # noqa: E402
from analysis.tokens.state import GONE  # noqa: E402
from analysis.tokens.view import CLASS, PADDING, PATCH, REGISTER, TEXT  # noqa: E402

WIDE = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32)
PICTURE = dict(image_size=16, patch_size=4)
WORDS, PICTURED = 30, 29  # of them the one that stands for a token of a picture
SCANS = ("mamba", "mamba2")
READS = ("gpt2", "llama", "mixtral", *SCANS)
CLIPS = ("vivit", "videomae", "videomae first", "timesformer", "timesformer joint")
FRAMES = 4


def _images(items):
    return {"pixel_values": torch.from_numpy(np.stack(items)).float()}


def _texts(items):
    longest = max(map(len, items))
    ids = torch.tensor([list(i) + [0] * (longest - len(i)) for i in items])
    mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in items])
    return {"input_ids": ids, "attention_mask": mask}


def _pictured(items):
    """A picture of 16 tokens behind the first word of each text."""
    words = _texts([[1, *[PICTURED] * 16, *text] for _, text in items])
    return {**words, "pixel_values": torch.from_numpy(np.stack([picture for picture, _ in items])).float()}


def made(kind: str) -> TokenNetwork:
    import transformers as t

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    text = dict(vocab_size=WORDS, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    build = {
        "vit": lambda: t.ViTForImageClassification(t.ViTConfig(**WIDE, **PICTURE)),
        "deit": lambda: t.DeiTForImageClassification(t.DeiTConfig(**WIDE, **PICTURE)),
        "dinov2": lambda: t.Dinov2ForImageClassification(t.Dinov2Config(**WIDE, **PICTURE)),
        "registers": lambda: t.Dinov2WithRegistersForImageClassification(
            t.Dinov2WithRegistersConfig(num_register_tokens=2, **WIDE, **PICTURE)
        ),
        "clip": lambda: t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(projection_dim=8, **WIDE, **PICTURE)),
        "siglip": lambda: t.SiglipForImageClassification(
            t.SiglipConfig(vision_config={**WIDE, **PICTURE}, text_config={**WIDE, **text})
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(t.GPT2Config(n_embd=16, n_layer=3, n_head=4, n_positions=32, **text)),
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(num_key_value_heads=2, **WIDE, **text)),
        "mamba": lambda: t.MambaForCausalLM(t.MambaConfig(hidden_size=16, num_hidden_layers=3, state_size=4, **text)),
        "mamba2": lambda: t.Mamba2ForCausalLM(
            t.Mamba2Config(hidden_size=16, num_hidden_layers=3, state_size=4, num_heads=4, head_dim=8, n_groups=2,
                           **text)
        ),
        "llava": lambda: t.LlavaForConditionalGeneration(
            t.LlavaConfig(vision_config=t.CLIPVisionConfig(projection_dim=8, **WIDE, **PICTURE),
                          text_config=t.LlamaConfig(**WIDE, **text), image_token_id=PICTURED, vision_feature_layer=-1)
        ),
        "vivit": lambda: t.VivitForVideoClassification(
            t.VivitConfig(image_size=16, num_frames=FRAMES, tubelet_size=[2, 4, 4], **WIDE)
        ),
        **{f"videomae{name}": lambda mean=mean: t.VideoMAEForVideoClassification(
            t.VideoMAEConfig(num_frames=FRAMES, tubelet_size=2, use_mean_pooling=mean, **WIDE, **PICTURE)
        ) for name, mean in (("", True), (" first", False))},
        **{f"timesformer{name}": lambda kind=kind: t.TimesformerForVideoClassification(
            t.TimesformerConfig(num_frames=FRAMES, attention_type=kind, **WIDE, **PICTURE)
        ) for name, kind in (("", "divided_space_time"), (" joint", "joint_space_time"), (" frames", "space_only"))},
        "mixtral": lambda: t.MixtralForCausalLM(
            t.MixtralConfig(num_key_value_heads=2, num_local_experts=4, **WIDE, **text)
        ),
    }  # fmt: skip
    model = build[kind]().eval()
    for name, p in model.named_parameters():
        if p.ndim > 1 and "A_log" not in name:  # attention of fresh networks is nearly uniform
            torch.nn.init.normal_(p, std=0.3)
    pictures, texts = (
        list(rng.standard_normal((2, 3, 16, 16))),
        [rng.integers(1, PICTURED, n) for n in (12, 9)],
    )
    items, prepare = (texts, _texts) if kind in READS else (pictures, _images)
    if kind.startswith(("vivit", "videomae", "timesformer")):
        items = list(rng.standard_normal((2, FRAMES, 3, 16, 16)))
    if kind == "llava":
        items, prepare = list(zip(pictures, texts, strict=True)), _pictured
    network = TokenNetwork(LoadedModel(model, "text" if kind in READS else "image", prepare), items)
    network.items = items
    return network


KINDS = (
    "vit",
    "deit",
    "dinov2",
    "registers",
    "clip",
    "siglip",
    "gpt2",
    "llama",
    "mixtral",
    "llava",
    *SCANS,
    *CLIPS,
)


def left_behind(module) -> list:
    """Forward passes of single modules, hooks, and how attention is computed."""
    return [
        (name, "forward" in vars(m), len(m._forward_hooks) + len(m._forward_pre_hooks),
         getattr(getattr(m, "config", None), "_attn_implementation", None))
        for name, m in module.named_modules()
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind_lose_tokens_and_nothing_else(kind):
    network = made(kind)
    inputs, scans = network.loaded.prepare(network.items), kind in SCANS
    before = left_behind(network.loaded.module)
    own = answer_tensor(network._own(inputs))
    whole = network.run(inputs, record=("hidden", "attention", "keys", "mean influence"))
    there = torch.from_numpy(whole.layout.present) if own.ndim == 3 else slice(None)
    torch.testing.assert_close(
        whole.logits[there], own[there], rtol=0, atol=1e-4 * float(own.detach().abs().max())
    )
    counts = {h.shape[1] for h in whole.recorded["hidden"]}
    t = counts.pop()
    assert not counts
    assert ("attention" in whole.recorded) == ("keys" in whole.recorded) != scans
    shares = [whole.recorded["mean influence"], *([] if scans else [whole.recorded["attention"]])]
    for share in shares:
        rows = share[1].sum(axis=-1)
        real = np.broadcast_to(whole.layout.present.reshape(2, *[1] * (rows.ndim - 2), t), rows.shape)
        np.testing.assert_allclose(rows[real], 1, atol=1e-5)
    if not scans:
        assert whole.recorded["keys"][2].shape == (2, 4, t, 4)
    one = rule("received_influence" if scans else "tome")
    half = network.run(inputs, one, lambda n: schedule("even", 0.5, 3, n), record=("hidden",))
    left = half.states[-1].counts
    assert (left < whole.states[0].counts).all()
    assert half.recorded["hidden"][-1].shape[1] == left.max()
    assert half.logits.shape == whole.logits.shape
    assert not torch.allclose(half.logits, whole.logits)
    assert left_behind(network.loaded.module) == before
    torch.testing.assert_close(answer_tensor(network._own(inputs)), own, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_that_takes_nothing_leaves_the_answer_bit_by_bit(kind):
    network = made(kind)
    inputs = network.loaded.prepare(network.items)
    whole = network.run(inputs)
    some = ("received_influence", "random") if kind in SCANS else ("tome", "mctf", "received_influence")
    for id in rules() if kind in ("vit", "gpt2") else some:
        same = network.run(inputs, rule(id), lambda n, id=id: schedule(rule(id).schedule, 1.0, 3, n))
        torch.testing.assert_close(same.logits, whole.logits, rtol=0, atol=0)
        assert same.steps == [None] * 3


@pytest.mark.parametrize("kind", ["vit", "siglip", "gpt2", "videomae", "timesformer joint"])
def test_all_tokens_kept_attend_by_ordinary_softmax_though_sizes_count(kind):
    """softmax(q k' / sqrt(d)), of text over those before; what is left of half the tokens is weighed by its size."""
    network, seen = made(kind), ("queries", "keys", "attention")
    inputs = network.loaded.prepare(network.items)
    for share in (1.0, 0.5):
        run = network.run(
            inputs, rule("tome"), lambda n, share=share: schedule("even", share, 3, n), record=seen
        )
        for layer, state in enumerate(run.states[:-1]):
            q, k, paid = (run.recorded[name][layer].astype(float) for name in seen)
            logits = q @ k.swapaxes(-1, -2) / 2 + np.where(state.valid, 0, -np.inf)[:, None, None]
            if network.run(inputs).layout.causal:
                logits = logits + np.where(np.tri(q.shape[2]) > 0, 0, -np.inf)
            plain = np.exp(logits - logits.max(axis=-1, keepdims=True))
            weighed = plain * np.maximum(state.size, 1e-12)[:, None, None]
            here = np.broadcast_to(state.valid[:, None, :], paid.shape[:3])
            for made_of, right in ((plain, state.size.max() <= 1), (weighed, True)):
                want = made_of / made_of.sum(axis=-1, keepdims=True)
                assert np.allclose(paid[here], want[here], atol=1e-5) == right, (share, layer)


def test_words_and_pictures_are_told_apart():
    network = made("llava")
    inputs = network.loaded.prepare(network.items)
    layout = network.run(inputs).layout
    assert layout.causal
    assert layout.kinds[1].tolist() == [TEXT] + [PATCH] * 16 + [TEXT] * 9 + [PADDING] * 3
    assert (layout.free == (layout.kinds == PATCH)).all()
    assert layout.grid == (4, 4)
    assert layout.cell[0, 1:17].tolist() == list(range(16))
    for one in rules().values():
        if not one.own_count:
            left = network.run(inputs, one, lambda n, one=one: schedule(one.schedule, 0.25, 3, n)).states[-1]
            alone = np.take_along_axis(left.size, np.maximum(left.place, 0), axis=1) == 1
            assert ((left.place != GONE) & alone)[layout.kinds == TEXT].all(), one.id
    two = {**inputs, "pixel_values": inputs["pixel_values"].repeat(2, 1, 1, 1)}
    two["input_ids"] = torch.cat([inputs["input_ids"][:, :17], inputs["input_ids"][:, 1:]], dim=1)
    two["attention_mask"] = (two["input_ids"] > 0).long()
    both = network.run(two).layout
    assert (both.grid, both.frames) == ((8, 4), 2)
    shape = shape_of(network, network.loaded.prepare(network.items[:1]))
    module = network.loaded.module.model
    tower = sum(p.numel() for m in (module.vision_tower, module.multi_modal_projector) for p in m.parameters()
                if p.ndim > 1 and p.shape != (17, 16))  # fmt: skip
    assert shape.fixed == 16 * tower + WORDS * 16


@pytest.mark.parametrize("kind", SCANS)
def test_a_scan_goes_on_over_the_tokens_that_are_left(kind):
    network = made(kind)
    inputs = network.loaded.prepare(network.items[:1])
    run = network.run(inputs, rule("even"), at_layer(0, 4, 3, 10))
    module, left = network.loaded.module, run.states[-1].at[0]
    assert len(left) == 6
    with torch.no_grad():
        x = module.backbone.embeddings(inputs["input_ids"])
        x = module.backbone.layers[0](x)[:, left]
        for block in module.backbone.layers[1:]:
            x = block(x)
        by_hand = module.lm_head(module.backbone.norm_f(x))
    torch.testing.assert_close(run.logits[:, left], by_hand, rtol=0, atol=1e-4)
    for one in ("fastv", "tome", "dynamicvit"):
        with pytest.raises(InputError, match="has no attention"):
            network.run(inputs, rule(one), at_layer(0, 4, 3, 10))
    dump = record(network, network.items[:1], needed(list(rules().values())))
    assert "keys" not in dump.recorded
    for one in rules().values():
        if not network.refused(one):
            found = simulate(dump, one, schedule(one.schedule, 0.5, 3, 10))
            assert found.counts[-1] < 12
        else:
            with pytest.raises(InputError, match=r"have no attention: choose .*Random"):
                simulate(dump, one, schedule(one.schedule, 0.5, 3, 10))


def test_influence_is_weight_times_what_is_passed_on():
    network = made("vit")
    inputs = network.loaded.prepare(network.items)
    run = network.run(inputs, record=("attention", "values", "mean influence"))
    taken = run.recorded["attention"][1] * np.linalg.norm(run.recorded["values"][1], axis=-1)[:, :, None]
    shares = taken.mean(axis=1) / taken.mean(axis=1).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(run.recorded["mean influence"][1], shares, atol=1e-6)
    scans = made("mamba")
    inputs = scans.loaded.prepare(scans.items[:1])
    run, found = scans.run(inputs, record=("mean influence",)), captured(scans.loaded, inputs)[1]
    matrices = (
        np.abs(found.matrices(np.arange(found.scan.channels))) * np.abs(found.gate[:, :, 0].T)[:, :, None]
    )
    taken = (matrices * np.abs(found.values[:, :, 0].T)[:, None]).sum(axis=0)
    np.testing.assert_allclose(
        run.recorded["mean influence"][1][0], taken / taken.sum(axis=1, keepdims=True), atol=1e-6
    )
    cost = shape_of(scans, inputs)
    mixer = scans.blocks[0].attention
    each = sum(
        m.weight.numel() for m in (mixer.in_proj, mixer.conv1d, mixer.x_proj, mixer.dt_proj, mixer.out_proj)
    )
    added = multiply_adds(cost, [7, 7, 7, 7])
    assert added.quadratic.sum() == 0
    assert added.linear[0] == pytest.approx(7 * (each + 3 * 32 * 4))


def test_tokens_have_their_kinds():
    def kinds(name):
        network = made(name)
        inputs = network.loaded.prepare(network.items)
        return network.run(inputs).layout

    assert kinds("vit").kinds[0].tolist() == [CLASS] + [PATCH] * 16
    assert kinds("vit").grid == (4, 4)
    assert kinds("deit").kinds[0, :3].tolist() == [CLASS, REGISTER, PATCH]
    assert kinds("registers").kinds[0, :4].tolist() == [CLASS, REGISTER, REGISTER, PATCH]
    assert kinds("siglip").class_at is None
    assert (kinds("siglip").kinds == PATCH).all()
    text = kinds("llama")
    assert text.causal
    assert text.kinds[1].tolist() == [TEXT] * 9 + [-1] * 3
    assert text.free[1].tolist() == [False] + [True] * 7 + [False] * 4  # the first, the last and padding stay


def test_merging_copies_is_lossless_with_the_size_of_tokens_and_not_without():
    network = made("vit")
    picture = np.zeros((3, 16, 16))
    network.loaded.module.vit.embeddings.position_embeddings.data.zero_()  # patches alike are tokens alike
    inputs = network.loaded.prepare([picture])
    whole = network.run(inputs)
    plan = schedule("even", 0.5, 3, 16)
    for id in ("tome", "mctf", "pitome"):
        half = network.run(inputs, rule(id), plan)
        assert half.states[-1].counts.tolist() == [9]
        torch.testing.assert_close(half.logits, whole.logits, rtol=0, atol=1e-5)
        without = network.run(inputs, replace(rule(id), proportional=False), plan)
        assert (without.logits - whole.logits).abs().max() > 1e-3


def test_tokens_are_made_again_for_what_reads_them_all():
    network = made("dinov2")
    inputs, seen = network.loaded.prepare(network.items), []
    norm = network.loaded.module.dinov2.layernorm
    handle = norm.register_forward_pre_hook(lambda _module, args: seen.append(args[0].clone()))
    try:
        run = network.run(inputs, rule("cluster_rebuild"), at_layer(0, 5, 3, 16), record=("hidden",))
        network.run(inputs, rule("even"), at_layer(0, 5, 3, 16))
    finally:
        handle.remove()
    assert [x.shape[1] for x in seen] == [17, 6]
    assert [h.shape[1] for h in run.recorded["hidden"]] == [17, 6, 6, 6]  # fewer where it costs
    made_again = rebuilt(run.recorded["hidden"][-1], run.states, run.steps)
    np.testing.assert_allclose(seen[0].numpy(), made_again, atol=1e-5)


def test_tokens_become_what_a_rule_makes_of_them():
    network = made("vit")
    inputs = network.loaded.prepare(network.items)
    run = network.run(inputs, rule("power_pooling"), at_layer(1, 4, 3, 16), record=("hidden",))
    assert run.recorded["hidden"][2].shape[1] == 5
    np.testing.assert_allclose(run.recorded["hidden"][2][:, 1], run.steps[1].values[:, 1], atol=1e-5)


def test_what_is_missed_is_the_answer_without_one_token():
    network = made("vit")
    inputs = network.loaded.prepare(network.items[:1])
    found = missed(network, inputs, layer=1)
    assert np.isnan(found[0, 0, 0])
    least = int(np.nanargmin(found[0, :, 0]))
    given = {"oracle": found}
    without = network.run(inputs, rule("dynamicvit"), at_layer(1, 15, 3, 16), given=given)
    assert least not in without.states[-1].at[0]
    p, q = (torch.log_softmax(r.logits.double(), -1)[0] for r in (network.run(inputs), without))
    assert float((p.exp() * (p - q)).sum()) == pytest.approx(found[0, least, 0], abs=1e-6)
    most = int(np.nanargmax(found[0, :, 0]))
    scores = np.where(np.arange(found.shape[1]) == most, -1.0, found[0, :, 0])[None, :, None]
    gone = network.run(inputs, rule("dynamicvit"), at_layer(1, 15, 3, 16), given={"oracle": scores})
    assert most not in gone.states[-1].at[0]
    q = torch.log_softmax(gone.logits.double(), -1)[0]
    nats, turned = float((p.exp() * (p - q)).sum()), float((q.exp() * (q - p)).sum())
    assert nats == pytest.approx(found[0, most, 0], rel=1e-6)
    assert abs(nats - turned) > 1e-3 * nats  # which of the two answers comes first is told


@pytest.mark.parametrize("kind", ["vit", "llama", "timesformer"])
def test_a_dump_gives_the_first_decision_of_the_network_itself(kind):
    network = made(kind)
    inputs = network.loaded.prepare(network.items)
    dump = record(network, network.items, needed(list(rules().values())))
    for one in rules().values():
        if kind == "llama" and one.id in ("class_attention", "evit"):
            continue  # no class token
        plan = lambda n, one=one: schedule(one.schedule, 0.5, 3, n)  # noqa: E731
        live, there = network.run(inputs, one, plan), simulate(dump, one, plan)
        first = next(i for i, step in enumerate(live.steps) if step is not None) + 1
        np.testing.assert_array_equal(there.states[first].owner, live.states[first].owner, one.id)
        assert torch.isfinite(live.logits).all(), one.id


def test_positions_stay_or_are_numbered_anew():
    network = made("llama")
    inputs, plan = network.loaded.prepare(network.items[:1]), at_layer(0, 4, 3, 10)
    stay, anew = (network.run(inputs, rule("even"), plan, repack=r).logits for r in (False, True))
    last = inputs["attention_mask"].sum() - 1
    assert (stay[0, last] - anew[0, last]).abs().max() > 1e-4
    assert stay.shape[1] == 12  # a readout of text finds its positions


def test_a_padded_text_is_as_it_is_alone():
    network = made("llama")
    plan = lambda n: schedule("even", 0.5, 3, n)  # noqa: E731
    both = network.run(network.loaded.prepare(network.items), rule("tome"), plan)
    alone = network.run(network.loaded.prepare(network.items[1:]), rule("tome"), plan)
    np.testing.assert_array_equal(both.states[-1].owner[1, :9], alone.states[-1].owner[0])
    torch.testing.assert_close(both.logits[1, 8], alone.logits[0, 8], rtol=1e-4, atol=1e-5)


def test_everything_is_as_before_after_an_exception():
    network = made("vit")
    inputs = network.loaded.prepare(network.items)

    def fail(*_):
        raise RuntimeError("on purpose")

    with pytest.raises(InputError, match="on purpose"):
        network.run(inputs, replace(rule("tome"), decide=fail), schedule("even", 0.5, 3, 16))
    module = network.loaded.module
    assert not any("forward" in vars(m) for m in module.modules())
    assert module.config._attn_implementation != "feature_loupe_tokens"


def test_a_model_in_training_mode_is_run_in_eval_mode_and_stays_in_training_mode():
    network = made("vit")
    inputs = network.loaded.prepare(network.items)
    there = network.run(inputs).logits
    network.loaded.module.train()
    torch.testing.assert_close(network.run(inputs).logits, there, rtol=0, atol=0)
    assert network.loaded.module.training


def test_a_network_without_known_blocks_is_refused():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    with pytest.raises(InputError, match="no stack of transformer blocks"):
        TokenNetwork(LoadedModel(model, "image", lambda items: torch.from_numpy(np.stack(items)).float()), [])


def test_windows_of_swin_are_named():
    import transformers as t
    from tiny_networks import swin

    model, _ = swin(t)
    with pytest.raises(InputError, match=r"SwinModel has attention in windows .*: 4"):
        TokenNetwork(LoadedModel(model, "image", _images), [np.zeros((3, 32, 32))])


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_padding_before_a_text_is_as_padding_behind_it(kind):
    network = made(kind)
    inputs = network.loaded.prepare(network.items)
    turned = {k: v.clone() for k, v in inputs.items()}
    for name, value in turned.items():
        value[1] = torch.cat([inputs[name][1, 9:], inputs[name][1, :9]])
    for one in rules().values():
        if not network.refused(one) and one.id != "random":
            plan = lambda n, one=one: schedule(one.schedule, 0.5, 3, n)  # noqa: E731
            behind, before = (network.run(x, one, plan) for x in (inputs, turned))
            owner = before.states[-1].owner[1, 3:]
            np.testing.assert_array_equal(
                behind.states[-1].owner[1, :9], np.where(owner >= 0, owner - 3, -1), one.id
            )
            torch.testing.assert_close(behind.logits[1, 8], before.logits[1, 11], rtol=1e-4, atol=1e-4)


def test_a_schedule_of_another_network_is_refused():
    network = made("vit")
    with pytest.raises(InputError, match="49 free tokens over 6 layers"):
        network.run(network.loaded.prepare(network.items), rule("tome"), schedule("even", 0.5, 6, 49))


@pytest.mark.parametrize("kind", ["vit", "llama"])
def test_the_atlas_notices_attention_that_queries_and_keys_do_not_tell(kind):
    from analysis.tokens.attention.heads import _tells

    network = made(kind)
    inputs = network.loaded.prepare(network.items[:1])

    def subject(factor):
        def dumps(_size, names):
            run = network.run(inputs, record=names)
            if "queries" in names:
                run.recorded["queries"][1] = factor * run.recorded["queries"][1]
            yield slice(0, 1), run

        data = SimpleNamespace(items=lambda start, stop: network.items[start:stop])
        return SimpleNamespace(
            dumps=dumps, opened=SimpleNamespace(network=network, run=SimpleNamespace(data=data))
        )

    assert _tells(subject(1))
    assert not _tells(subject(2))


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_keys_and_queries_without_positions_are_those_of_the_projections(kind):
    """What the rule FEATHER scores by: the network's own projections, before the rotary positions turn them."""
    network = made(kind)
    inputs, caught = network.loaded.prepare(network.items[:1]), {}
    attention = network.blocks[1].attention
    hooks = [
        part.register_forward_hook(lambda m, i, out, name=name: caught.update({name: out.detach()}))
        for name, part in (("plain queries", attention.q_proj), ("plain keys", attention.k_proj))
    ]
    try:
        run = network.run(inputs, record=(*caught, "plain queries", "plain keys", "queries", "keys"))
    finally:
        for hook in hooks:
            hook.remove()
    t = inputs["input_ids"].shape[1]
    for name, out in caught.items():
        own = out.reshape(1, t, -1, 4).transpose(1, 2)
        own = own.repeat_interleave(
            4 // own.shape[1], dim=1
        ).numpy()  # two heads of queries share one of keys
        np.testing.assert_allclose(run.recorded[name][1], own, atol=1e-5)
        turned = run.recorded[name.removeprefix("plain ")][1]
        assert np.abs(turned - own)[:, :, 1:].max() > 0.1
        np.testing.assert_allclose(turned[:, :, 0], own[:, :, 0], atol=1e-6)  # position 0 turns nothing
    assert len(caught) == 2
