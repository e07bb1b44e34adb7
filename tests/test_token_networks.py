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
from analysis.tokens.dump import needed, record, simulate  # noqa: E402
from analysis.tokens.networks.token_network import TokenNetwork  # noqa: E402
from analysis.tokens.oracle import missed  # noqa: E402
from analysis.tokens.rebuilding import rebuilt  # noqa: E402
from analysis.tokens.rule import rule, rules  # noqa: E402
from analysis.tokens.schedule import at_layer, schedule  # noqa: E402
from analysis.tokens.view import CLASS, PATCH, REGISTER, TEXT  # noqa: E402

WIDE = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32)
PICTURE = dict(image_size=16, patch_size=4)
WORDS = 30


def _images(items):
    return {"pixel_values": torch.from_numpy(np.stack(items)).float()}


def _texts(items):
    longest = max(map(len, items))
    ids = torch.tensor([list(i) + [0] * (longest - len(i)) for i in items])
    mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in items])
    return {"input_ids": ids, "attention_mask": mask}


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
        "mixtral": lambda: t.MixtralForCausalLM(
            t.MixtralConfig(num_key_value_heads=2, num_local_experts=4, **WIDE, **text)
        ),
    }  # fmt: skip
    model = build[kind]().eval()
    for (
        p
    ) in model.parameters():  # attention of fresh networks is nearly uniform: give them something to look at
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.3)
    reads = kind in ("gpt2", "llama", "mixtral")
    items = (
        [rng.integers(1, WORDS, n) for n in (12, 9)] if reads else list(rng.standard_normal((2, 3, 16, 16)))
    )
    network = TokenNetwork(
        LoadedModel(model, "text" if reads else "image", _texts if reads else _images), items
    )
    network.items = items
    return network


KINDS = ("vit", "deit", "dinov2", "registers", "clip", "siglip", "gpt2", "llama", "mixtral")


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind_lose_tokens_and_nothing_else(kind):
    network = made(kind)  # the constructor compares our way through the blocks with the network's own
    inputs = network.loaded.prepare(network.items)
    before = {name: id(m.__dict__.get("forward")) for name, m in network.loaded.module.named_modules()}
    own = network.loaded.forward(inputs).logits
    whole = network.run(inputs, record=("hidden", "attention"))
    counts = [h.shape[1] for h in whole.recorded["hidden"]]
    assert len(counts) == 4
    assert len(set(counts)) == 1
    np.testing.assert_allclose(whole.recorded["attention"][1].sum(axis=-1), 1, atol=1e-5)
    half = network.run(inputs, rule("tome"), lambda n: schedule("even", 0.5, 3, n))
    assert half.states[-1].counts[0] < counts[0]
    assert half.logits.shape == whole.logits.shape
    assert not torch.allclose(half.logits, whole.logits)
    assert before == {
        name: id(m.__dict__.get("forward")) for name, m in network.loaded.module.named_modules()
    }
    if own is not None:
        torch.testing.assert_close(network.loaded.forward(inputs).logits, own, rtol=0, atol=0)


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


@pytest.mark.parametrize("kind", ["vit", "llama"])
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
