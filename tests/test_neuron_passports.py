"""What neurons read and write, against dense algebra, on checkpoints written here in the shapes of GPT-2 and Llama."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from analysis.activations import ArrayActivations
from analysis.attribution.clamping import EVERY, LAST, answered, clamped, moved, ranges
from analysis.attribution.sample_run import SampleRun
from analysis.compute.networks.vocabulary import mean_row, said_by
from analysis.errors import InputError, NotFound, ParameterError
from analysis.features import neuron_vectors
from analysis.features.neuron_vectors import GATE, READS, WRITES, neurons_of
from analysis.methods.attribution.neuron_passport import NeuronPassportParams, neuron_passport
from analysis.methods.attribution.passport_agreement import passport_agreement
from analysis.sources.loaded_model import LoadedModel
from analysis.sources.weights import NetworkWeights

D, V, M = 8, 30, 12  # stream, vocabulary, neurons


def blocks(rows, size):
    return lambda: ((a, rows[a : a + size]) for a in range(0, len(rows), size))


def test_tokens_and_entropies_are_those_of_the_whole_matrix_whatever_the_blocks(rng):
    rows, w = rng.standard_normal((V, D)) * 3, rng.standard_normal((5, D))
    centred = rows - rows.mean(axis=0)
    logits = w @ centred.T
    cosine = logits / np.linalg.norm(centred, axis=1) / np.linalg.norm(w, axis=1)[:, None]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    for size in (1, 7, V):
        mean, count = mean_row(blocks(rows, size))
        found = said_by(blocks(rows, size), mean, w, 4)
        assert count == V
        np.testing.assert_array_equal(found.first, np.argsort(-cosine, axis=1)[:, :4])
        np.testing.assert_array_equal(found.last, np.argsort(cosine, axis=1)[:, :4])
        np.testing.assert_allclose(found.entropy, -(p * np.log(p)).sum(axis=1), atol=1e-12)
        score = (cosine.max(axis=1) - cosine.mean(axis=1)) / cosine.std(axis=1)
        np.testing.assert_allclose(found.score, score, atol=1e-10)


def test_rows_with_nan_are_no_tokens_and_equal_rows_are_refused(rng):
    rows = rng.standard_normal((V, D))
    rows[3, 1] = np.nan
    mean, count = mean_row(blocks(rows, 10))
    assert count == V - 1
    assert 3 not in said_by(blocks(rows, 10), mean, np.eye(D), V - 1).first
    with pytest.raises(InputError, match="equal"):
        said_by(blocks(np.ones((V, D)), 10), np.ones(D), np.eye(D), 2)


def written(folder, tensors, config):
    folder.mkdir()
    save_file(
        {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, folder / "model.safetensors"
    )
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {k: v.shape for k, v in tensors.items()}
    return NetworkWeights(folder, "hugging_face", "digest", shapes)


@pytest.fixture
def llama(tmp_path, rng):
    table, stem = rng.standard_normal((V, D)), "model.layers.0."
    tensors = {
        "model.embed_tokens.weight": rng.standard_normal((V, D)), "lm_head.weight": table,
        f"{stem}mlp.up_proj.weight": rng.standard_normal((M, D)),
        f"{stem}mlp.gate_proj.weight": rng.standard_normal((M, D)),
        f"{stem}mlp.down_proj.weight": rng.standard_normal((D, M)),
        f"{stem}post_attention_layernorm.weight": 1 + rng.random(D), f"{stem}input_layernorm.weight": np.ones(D),
        "model.norm.weight": 1 + rng.random(D),
    }  # fmt: skip
    middle = (table - table.mean(axis=0))[11]
    tensors[f"{stem}mlp.down_proj.weight"][:, 4] = middle / tensors["model.norm.weight"]
    tensors[f"{stem}mlp.up_proj.weight"][4] = table[20] - table.mean(axis=0)
    tensors[f"{stem}mlp.up_proj.weight"][4] /= tensors[f"{stem}post_attention_layernorm.weight"]
    config = {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False}
    return tensors, written(tmp_path / "llama", tensors, config)


class Tap(ArrayActivations):
    """Of a network of which only the weights are there."""

    store = object()


def passport(monkeypatch, network, **params):
    monkeypatch.setattr(neuron_vectors, "weights_of", lambda tap: network)
    return neuron_passport(Tap(np.zeros((2, D))), NeuronPassportParams(draws=20, **params))


def test_a_gated_block_is_read_and_written_through_the_right_gains(monkeypatch, llama):
    tensors, network = llama
    found = passport(monkeypatch, network, tokens=1).columns
    assert found["writes"][4] == "11"
    assert found["reads"][4] == "20"
    assert found["writes: cosine"][4] == pytest.approx(1, abs=1e-6)
    stem = "model.layers.0.mlp."
    up, gate, down = (tensors[f"{stem}{k}_proj.weight"] for k in ("up", "gate", "down"))
    read = up * tensors["model.layers.0.post_attention_layernorm.weight"]
    write = down.T  # as it goes into the stream, which the last gain has not seen
    cosines = [(a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
               for a, b in ((read, write), (up, gate))]  # fmt: skip
    np.testing.assert_allclose(found["cosine of read and write"], cosines[0], atol=1e-6)
    np.testing.assert_allclose(found["cosine of up and gate"], cosines[1], atol=1e-6)


def test_a_block_with_turned_weights_and_a_tied_table(monkeypatch, tmp_path, rng):
    stem, table = "transformer.h.0.", rng.standard_normal((V, D))
    tensors = {
        "transformer.wte.weight": table, f"{stem}ln_2.weight": np.ones(D), f"{stem}ln_2.bias": np.zeros(D),
        f"{stem}mlp.c_fc.weight": rng.standard_normal((D, M)), f"{stem}mlp.c_fc.bias": np.zeros(M),
        f"{stem}mlp.c_proj.weight": rng.standard_normal((M, D)), f"{stem}mlp.c_proj.bias": np.zeros(D),
        "transformer.ln_f.weight": np.ones(D), "transformer.ln_f.bias": np.zeros(D),
    }  # fmt: skip
    network = written(tmp_path / "gpt", tensors, {"architectures": ["GPT2LMHeadModel"]})
    monkeypatch.setattr(neuron_vectors, "weights_of", lambda tap: network)
    made = neurons_of(Tap(np.zeros((2, D))))
    layer = made.layer("transformer.h.0.mlp")
    assert set(layer.vectors) == {READS, WRITES}
    for kind, weight in (
        (READS, tensors[f"{stem}mlp.c_fc.weight"].T),
        (WRITES, tensors[f"{stem}mlp.c_proj.weight"]),
    ):
        np.testing.assert_allclose(
            layer.vectors[kind], weight - weight.mean(axis=1, keepdims=True), atol=1e-6
        )
    np.testing.assert_allclose(np.vstack([r for _, r in made.unembedding()]), table, atol=1e-6)
    np.testing.assert_allclose(network.rows("transformer.wte.weight", 5, 9), table[5:9], atol=1e-6)
    assert GATE not in layer.vectors
    with pytest.raises(NotFound, match="no MLP block"):
        neurons_of(Tap(np.zeros((2, D))), "transformer.h.7.mlp")


def test_of_a_network_that_sees_the_part_that_answers_is_read(monkeypatch, tmp_path, rng):
    """The vision tower beside a language model is as wide and has no gates: its neurons write no words."""
    stem, tower = "language_model.model.layers.0.", "vision_tower.vision_model.encoder.layers.0."
    tensors = {
        "lm_head.weight": rng.standard_normal((V, D)), "language_model.model.norm.weight": np.ones(D),
        f"{stem}mlp.up_proj.weight": rng.standard_normal((M, D)),
        f"{stem}mlp.gate_proj.weight": rng.standard_normal((M, D)),
        f"{stem}mlp.down_proj.weight": rng.standard_normal((D, M)),
        f"{tower}mlp.fc1.weight": rng.standard_normal((M, D)), f"{tower}mlp.fc2.weight": rng.standard_normal((D, M)),
    }  # fmt: skip
    network = written(tmp_path / "llava", tensors, {"architectures": ["LlavaForConditionalGeneration"]})
    found = passport(monkeypatch, network)
    assert {n.partition(":")[0] for n in found.columns["neuron"]} == {f"{stem}mlp"}
    assert any("vision_tower.vision_model.encoder.layers do not write" in c for c in found.caveats)


def test_experts_are_blocks_of_their_own(monkeypatch, tmp_path, rng):
    stem, tensors = (
        "model.layers.0.block_sparse_moe.experts.",
        {"lm_head.weight": rng.standard_normal((V, D))},
    )
    for e in range(2):
        tensors |= {f"{stem}{e}.{w}.weight": rng.standard_normal((M, D)) for w in ("w1", "w3")}
        tensors[f"{stem}{e}.w2.weight"] = rng.standard_normal((D, M))
    network = written(tmp_path / "mixtral", tensors, {"architectures": ["MixtralForCausalLM"]})
    found = passport(monkeypatch, network, tokens=1)
    assert len(found.columns["neuron"]) == 2 * M
    table = tensors["lm_head.weight"] - tensors["lm_head.weight"].mean(axis=0)
    for e, kind, word in ((0, "w1", "gate"), (1, "w3", "reads")):
        at = list(found.columns["neuron"]).index(f"{stem}{e}:3")
        row = tensors[f"{stem}{e}.{kind}.weight"][3]
        known = (table @ row / np.linalg.norm(table, axis=1)).argmax()
        assert found.columns[word][at] == str(known)
    assert any("router sends there" in c for c in found.caveats)


def test_two_checkpoints_agree_by_place(monkeypatch, llama):
    _, network = llama
    monkeypatch.setattr(neuron_vectors, "weights_of", lambda tap: network)
    same = passport_agreement(Tap(np.zeros((2, D))), Tap(np.zeros((2, D))))
    assert list(same.columns["same first token"]) == [1.0, 1.0, 1.0]
    with pytest.raises(ParameterError, match="one sort"):
        passport_agreement(Tap(np.zeros((2, D))), np.ones((4, D)))
    with pytest.raises(InputError, match="one architecture"):
        passport_agreement(np.random.default_rng(0).random((5, 4)), np.random.default_rng(0).random((5, 3)))


# ---------------------------------------------------------------------------- clamping
class Block(torch.nn.Module):
    """Tokens, neurons, and a token's word from the last one: neuron 2 writes along the row of word 5."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.act, self.up = torch.nn.GELU(), torch.nn.Linear(4, 6)
        down = 0.1 * torch.randn(6, D)
        self.out = torch.randn(V, D)
        down[2] = self.out[5]
        self.down = torch.nn.Parameter(down)

    def forward(self, x):
        return (self.act(self.up(x)) @ self.down.to(x.dtype)) @ self.out.to(x.dtype).T


@pytest.fixture
def run():
    loaded = LoadedModel(
        Block().double().eval(), "array", lambda items: torch.stack([torch.as_tensor(i) for i in items])
    )
    return SampleRun(loaded, np.random.default_rng(0).standard_normal((3, 4)), "act")


def test_a_clamped_neuron_answers_as_algebra_says_and_raises_its_word(run):
    block, values = run.loaded.module, np.linspace(-2, 6, 9)
    hidden = run.clean[-1].repeat(len(values), 1)
    hidden[:, 2] = torch.as_tensor(values)
    known = torch.softmax(hidden @ block.down @ block.out.double().T, dim=1).detach().numpy()
    for where in (EVERY, LAST):
        np.testing.assert_allclose(clamped(run, 2, values, where), known, atol=1e-12)
    assert (np.diff(clamped(run, 2, values)[:, 5]) > 0).all()
    own = clamped(run, 2, np.array([float(run.clean[-1, 2])]), LAST)[0]
    np.testing.assert_allclose(own, answered(run), atol=1e-12)
    assert not run.loaded.module.act._forward_hooks


def test_the_answer_moves_most_with_the_neuron_that_has_the_longest_way_to_the_words(run):
    class Samples:
        samples = np.arange(3)

        def run(self, i):
            return run

    ends, _ = ranges(Samples(), None, lambda *_: None)
    assert ends.shape == (2, 6)
    found = moved(
        Samples(), 2, np.array([0, 1, 3]), np.linspace(*ends[:, 2], 5), ends, EVERY, lambda *_: None
    )
    assert (found.apart > found.chance.max()).all()
    np.testing.assert_allclose(found.mean[-1] - found.mean[0], found.effect[0], atol=1e-12)
    with pytest.raises(NotFound, match="unit 9"):
        clamped(run, 9, np.zeros(1))
    with pytest.raises(ParameterError, match="one of"):
        clamped(run, 0, np.zeros(1), "somewhere")
