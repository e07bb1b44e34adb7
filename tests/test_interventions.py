"""Interventions on small networks: what they leave alone, what they change, and that nothing of them stays."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from analysis.attribution import targets
from analysis.errors import InputError, NotFound
from analysis.interventions import components as parts
from analysis.interventions import interventions as done
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import INPUT, Site, units_of
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.many_samples import another, exchanged, means_of
from analysis.interventions.many_targets import many_targets
from analysis.sources.loaded_model import LoadedModel

torch = pytest.importorskip("torch")


def loaded(module) -> LoadedModel:
    return LoadedModel(module.eval(), "array", lambda items: torch.as_tensor(np.stack(items)))


def hooks(module) -> int:
    """How many hang on it, without those that transformers leaves for good where it was once asked for attention."""
    every = (
        h for m in module.modules() for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())
    )
    return sum(getattr(h, "__name__", "") != "output_capturing_hook" for h in every)


@functools.cache
def hugging_face(kind: str):
    """A tiny one of random weights, and inputs of four samples; the last of words is padded by two."""
    import transformers as hf

    torch.manual_seed(0)
    words = {"input_ids": torch.randint(1, 20, (4, 7)), "attention_mask": torch.ones(4, 7, dtype=torch.int64)}
    words["attention_mask"][3, 5:] = 0
    common = {"vocab_size": 20, "max_position_embeddings": 16}
    if kind == "gpt2":
        config = hf.GPT2Config(n_embd=12, n_layer=3, n_head=3, vocab_size=20, n_positions=16)
        return LoadedModel(hf.GPT2LMHeadModel(config).eval(), "text", None, causal=True), words
    if kind == "llama":
        config = hf.LlamaConfig(hidden_size=12, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
                                intermediate_size=20, **common)  # fmt: skip
        return LoadedModel(hf.LlamaForCausalLM(config).eval(), "text", None, causal=True), words
    if kind == "bert":
        config = hf.BertConfig(
            hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, **common
        )
        return LoadedModel(hf.BertForSequenceClassification(config).eval(), "text", None), words
    if kind == "vit":
        config = hf.ViTConfig(hidden_size=12, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20,
                              image_size=8, patch_size=4, num_channels=1, num_labels=3)  # fmt: skip
        return LoadedModel(hf.ViTForImageClassification(config).eval(), "image", None), torch.randn(
            4, 1, 8, 8
        )
    config = hf.ResNetConfig(num_channels=1, embedding_size=4, hidden_sizes=[4, 6], depths=[1, 1], num_labels=3,
                             layer_type="basic")  # fmt: skip
    return LoadedModel(hf.ResNetForImageClassification(config).eval(), "image", None), torch.randn(
        4, 1, 16, 16
    )


@pytest.fixture
def gpt():
    model, inputs = hugging_face("gpt2")
    return BatchRun(model, inputs), network_parts(model, inputs)


KNOWN = {
    "gpt2": (3, 3, 4, "transformer.h.1.attn.c_proj", "transformer.h.1.mlp.c_proj"),
    "llama": (2, 3, 4, "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj"),
    "bert": (2, 2, 6, "bert.encoder.layer.1.attention.output.dense", "bert.encoder.layer.1.output.dense"),
    "vit": (2, 4, 3, "vit.layers.1.attention.o_proj", "vit.layers.1.mlp.fc2"),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_the_parts_of_a_transformer_are_found_by_how_it_runs(kind):
    found = network_parts(*hugging_face(kind))
    depth, heads, width, attention, mlp = KNOWN[kind]
    assert (found.depth, found.heads, found.head_width) == (depth, heads, width)
    assert (found.attention[1], found.mlps[1]) == (attention, mlp)
    assert found.kinds == parts.KINDS
    assert len(found.components(parts.HEADS, parts.MLPS)) == depth * (heads + 1)
    assert (found.embedding is None) == (kind == "vit")


def test_a_convolutional_network_has_layers_and_channels_only():
    model, inputs = hugging_face("resnet")
    found = network_parts(model, inputs)
    assert found.kinds == (parts.LAYERS,)
    assert [c.places[0].site.module for c in found.components(parts.LAYERS)] == list(found.layers)
    with pytest.raises(NotFound, match="no attention"):
        found.components(parts.HEADS)
    with pytest.raises(NotFound, match="no MLPs"):
        found.components(parts.MLPS)
    run = BatchRun(model, inputs)
    site = Site(found.layers[-1])
    x = run.caught([site])[site]
    cell = done.zeroed(units_of(site, [2], "channel")[0])
    maps = torch.stack([*x[..., :2].unbind(-1), torch.zeros_like(x[..., 2]), *x[..., 3:].unbind(-1)], dim=1)
    known = model.module.classifier(maps.mean(dim=-1)[..., None, None])
    logits = next(run.logits_with([cell]))[1][0]
    torch.testing.assert_close(logits, known.detach(), atol=1e-5, rtol=0)


def test_heads_that_do_not_fit_are_refused():
    model, inputs = hugging_face("gpt2")
    config = model.module.config
    config.n_head, kept = 5, config.n_head
    try:
        found = network_parts(model, inputs)
    finally:
        config.n_head = kept
    with pytest.raises(NotFound, match="5 heads as the configuration says do not fit"):
        found.components(parts.HEADS)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "vit"])
def test_patching_a_run_into_itself_changes_nothing(kind):
    """Bit for bit, in a batch of as many samples."""
    model, inputs = hugging_face(kind)
    run, found = BatchRun(model, inputs), network_parts(model, inputs)
    every = found.components(*parts.KINDS)
    own = run.caught([s for c in every for s in c.sites])
    for component in every:
        logits = next(run.logits_with([done.patched(component, own)]))[1][0]
        assert torch.equal(logits, run.logits), component.name
    many = done.patched(every[0], own) + done.patched(every[-1], own)
    assert torch.equal(next(run.logits_with([many]))[1][0], run.logits)
    assert hooks(model.module) == 0


def test_patching_everything_is_the_source_run_and_some_tokens_are_not(gpt):
    run, found = gpt
    other = BatchRun(run.loaded, {**run.inputs, "input_ids": run.inputs["input_ids"].flip(0)})
    last = found.components(parts.RESIDUALS)[-1]
    source = other.caught(last.sites)
    whole, one = next(
        run.logits_with([done.patched(last, source), done.patched(last, source, done.at_tokens(7, 2))])
    )[1]
    torch.testing.assert_close(whole, other.logits, atol=1e-6, rtol=0)
    torch.testing.assert_close(one[:, 2], other.logits[:, 2], atol=1e-6, rtol=0)
    keep = [0, 1, 3, 4, 5, 6]
    torch.testing.assert_close(one[:, keep], run.logits[:, keep], atol=1e-6, rtol=0)
    assert (one[:, 2] - run.logits[:, 2]).abs().max() > 1e-3
    embedding = parts.Component("", "", (parts.Place(Site(found.embedding)),))
    early = other.caught(embedding.sites)
    ends = next(run.logits_with([done.patched(embedding, early)]))[1][0]
    torch.testing.assert_close(ends[:, :5], other.logits[:, :5], atol=1e-6, rtol=0)


def test_a_head_is_its_slice_of_the_projection(gpt):
    """Zeroing it takes its part from what attention gives, and a sweep of all cells at once is each of them alone."""
    run, found = gpt
    heads = found.components(parts.HEADS)
    head = heads[4]
    projection = Site(found.attention[1])
    into = run.caught([Site(found.attention[1], INPUT)]).popitem()[1]
    weight = run.loaded.module.transformer.h[1].attn.c_proj.weight.detach()
    own = run.caught([projection])[projection]
    cut = run.caught([projection], done.zeroed(head))[projection]
    torch.testing.assert_close(own - cut, into[..., 4:8] @ weight[4:8], atol=1e-6, rtol=0)
    target = many_targets(run, targets.DIFFERENCE)
    cells = [done.zeroed(h) for h in heads]
    together, alone = run.answers(cells, target.of), run.answers(cells, target.of, rows=1)
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together.shape == (9, 4)
    assert np.abs(together - target.of(run.logits).numpy()).max(axis=1).min() > 1e-6


def test_targets_are_read_at_the_last_token_that_is_not_padding(gpt):
    run, _ = gpt
    np.testing.assert_array_equal(run.last, [6, 6, 6, 4])
    target = many_targets(run, targets.DIFFERENCE, answer=3)
    z = run.logits.double()
    last = list(enumerate([6, 6, 6, 4]))
    known = [float(z[i, t, 3] - max(z[i, t, j] for j in range(20) if j != 3)) for i, t in last]
    np.testing.assert_allclose(target.of(run.logits), known, atol=1e-12)
    loss = many_targets(run, targets.LOSS, answer=np.array([1, 2, 3, 4])).of(run.logits[None])
    known = [-float(torch.log_softmax(z[i, t], 0)[i + 1]) for i, t in last]
    np.testing.assert_allclose(loss, [known], atol=1e-12)


def test_large_logits_are_not_kept_but_run_again(gpt, monkeypatch):
    run, found = gpt
    monkeypatch.setattr("analysis.interventions.batch_run.KEPT", 0)
    other = BatchRun(run.loaded, run.inputs)
    before = other.passes
    assert torch.equal(other.logits, run.logits)
    assert other.passes == before + 4
    cells = [done.zeroed(h) for h in found.components(parts.HEADS)]
    target = many_targets(run, targets.LOGIT)
    monkeypatch.setattr("analysis.interventions.batch_run.MEMORY", 3 * other.logit_bytes)
    np.testing.assert_allclose(other.answers(cells, target.of), run.answers(cells, target.of), atol=1e-6)


def test_means_and_exchanges_leave_padding_out(gpt):
    run, found = gpt
    site = Site(found.blocks[0])
    x = run.caught([site])[site].double()
    mean = means_of([run], [site])[site]
    real = torch.cat([x[:3].flatten(0, 1), x[3, :5]])
    torch.testing.assert_close(mean, real.mean(dim=0))
    even = BatchRun(run.loaded, {k: v[:3] for k, v in run.inputs.items()})
    torch.testing.assert_close(means_of([even], [site])[site], x[:3].mean(dim=0), atol=1e-6, rtol=0)
    moved = exchanged(x, np.array([3, 0, 1, 2]), run.lengths(7))
    torch.testing.assert_close(moved[0], x[3, [0, 1, 2, 3, 4, 0, 1]])
    torch.testing.assert_close(moved[1], x[0])
    order = another(9, np.random.default_rng(0))
    assert sorted(order) == list(range(9))
    assert (order != np.arange(9)).all()


class InPlace(torch.nn.Module):
    """Doubles, a ReLU in place behind it, and a head; with dropout, which training would use."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.rise = torch.nn.Linear(3, 5), torch.nn.ReLU(inplace=True)
        self.drop, self.head = torch.nn.Dropout(0.9), torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.drop(self.rise(self.first(x))))


def test_directions_units_and_features_on_a_network_that_works_in_place():
    model = loaded(InPlace().double())
    x = np.random.default_rng(0).standard_normal((4, 3))
    run, site = BatchRun(model, torch.as_tensor(x)), Site("first")
    given = run.caught([site])[site]
    torch.testing.assert_close(given[:, 0], model.module.first(torch.as_tensor(x)).detach())
    assert (given < 0).any()
    u = np.arange(1.0, 6.0)
    unit = u / np.linalg.norm(u)

    def known(h):
        return model.module.head(torch.relu(torch.as_tensor(h))).detach()

    h = given[:, 0].numpy()
    along = done.Along(u)
    both = done.Features(lambda rows: np.maximum(rows @ np.stack([u, -u]).T, 0), np.stack([unit, -unit]), [0])
    cells = [
        done.steered(site, u, 0.5), done.clamped(site, along, 2.0), done.clamped(site, done.Units(1, 2), 3.0),
        done.clamped(site, both, 0.0), (done.Intervention(site, along.read(given), along),),
        (done.Intervention(site, both.read(given), both),),
    ]  # fmt: skip
    found = next(run.logits_with(cells))[1]
    clamped = h.copy()
    clamped[:, 1] = 3.0
    expected = [h + 0.5 * u, h + (2.0 - h @ unit)[:, None] * unit, clamped,
                h - np.maximum(h @ u, 0)[:, None] * unit]  # fmt: skip
    for logits, changed in zip(found, expected, strict=False):
        torch.testing.assert_close(logits, known(changed), atol=1e-12, rtol=0)
    alone = next(run.logits_with([cells[4]]))[1][0]
    assert torch.equal(alone, run.logits)
    assert torch.equal(next(run.logits_with([cells[5]]))[1][0], run.logits)
    with pytest.raises(InputError, match="length 0"):
        done.Along(np.zeros(5))


def test_features_of_one_set_are_taken_out_together_from_what_they_were():
    """Of a set that keeps the largest activation, taking the first out makes the second active."""
    model = loaded(InPlace().double())
    run, site = (
        BatchRun(model, torch.as_tensor(np.random.default_rng(2).standard_normal((3, 3)))),
        Site("first"),
    )

    def largest(rows):
        return np.where(np.abs(rows) == np.abs(rows).max(axis=1, keepdims=True), rows, 0.0)

    places = [parts.Place(site, special=done.Features(largest, np.eye(5), j)) for j in range(5)]
    cell = tuple(e for p in places for e in done.zeroed(parts.Component("", "", (p,))))
    x = run.caught([site])[site][:, 0].numpy()
    known = model.module.head(torch.relu(torch.as_tensor(x - largest(x)))).detach()
    torch.testing.assert_close(next(run.logits_with([cell]))[1][0], known, atol=1e-12, rtol=0)
    means = (done.Intervention(site, torch.full((1, 1), 0.5), p.special) for p in places)
    known = model.module.head(torch.relu(torch.as_tensor(x - largest(x) + 0.5))).detach()
    torch.testing.assert_close(next(run.logits_with([tuple(means)]))[1][0], known, atol=1e-12, rtol=0)


def test_nothing_is_left_behind_by_success_a_refusal_or_an_exception():
    model = loaded(InPlace().double())
    model.module.train()
    run, site = BatchRun(model, torch.ones(2, 3, dtype=torch.float64)), Site("first")
    assert torch.equal(next(run.logits_with([done.steered(site, np.ones(5), 0.0)]))[1][0], run.logits)

    class Broken(done.Units):
        def written(self, x, values):
            raise RuntimeError("broken")

    for cell, said in (
        (done.clamped(Site("nowhere"), done.Units(), 0.0), "no module 'nowhere'"),
        (done.clamped(Site("nowhere", INPUT), done.Units(), 0.0), "no module 'nowhere'"),
        (done.steered(site, np.ones(4), 1.0), "must match"),
        (done.clamped(site, Broken(), 0.0), "broken"),
        (done.clamped(Site("head", INPUT), Broken(), 0.0), "broken"),
    ):
        with pytest.raises((NotFound, InputError, RuntimeError), match=said):
            run.caught([site], cell)
    with pytest.raises(NotFound, match="class 9"):
        many_targets(run, targets.LOGIT, answer=9)
    assert hooks(model.module) == 0
    assert all(m.training for m in model.module.modules())


def test_the_input_itself_is_a_site_and_stays_as_it_was():
    model = loaded(InPlace().double())
    inputs = torch.ones(2, 3, dtype=torch.float64)
    run, site = BatchRun(model, inputs), Site(INPUT)
    found = next(run.logits_with([done.clamped(site, done.Units(0, 1), 5.0), ()]))[1]
    changed = inputs.clone()
    changed[:, 0] = 5.0
    torch.testing.assert_close(found[0], model.module(changed).detach())
    torch.testing.assert_close(found[1], run.logits)
    assert (inputs == 1).all()
