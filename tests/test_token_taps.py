"""What the views of the page Tokens are made for: told from a store's own words, without opening a network."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.sources.rerun import Rerun, of_one
from dashboard.browse import token_taps
from dashboard.browse.token_questions import QUESTIONS
from dashboard.parts.cost_line import passes_words

TRANSFORMER = {"num_attention_heads": 4, "num_hidden_layers": 2}
RESNET = {"depths": [1, 1], "hidden_sizes": [8, 16]}
GRID = Layout(np.arange(0, 13, 4), grid=(2, 2))
MAMBA = {"state_size": 4, "num_hidden_layers": 2}
MIXTURE = TRANSFORMER | {"num_local_experts": 4}
BOTH = {"text_config": TRANSFORMER, "vision_config": {"patch_size": 4}}


def tap(
    folder, config: dict, name: str = "net:layer", kind: str = "hugging_face", samples=None, pooled=False
):
    (folder / "config.json").write_text(json.dumps(config))
    rows = np.random.default_rng(0).standard_normal((12, 3))
    made = ArrayActivations(rows, name, layout=Layout(np.arange(0, 13), grid=None) if pooled else GRID)
    told = {"checkpoint": {"kind": kind, "path": str(folder)}}
    object.__setattr__(made, "store", SimpleNamespace(manifest=told))
    object.__setattr__(made, "samples", samples or {})
    return made


@pytest.mark.parametrize(
    ("config", "lacks"),
    [(TRANSFORMER, {"routers", "sets", "functions"}), (BOTH, {"routers", "sets", "functions"}),
     (MIXTURE, {"sets", "functions"}),
     (MAMBA, {"rules", "attention", "cache", "routers", "sets", "functions"}),
     (RESNET, {"rules", "attention", "cache", "depth", "routers", "sets", "functions"})],
)  # fmt: skip
def test_a_view_is_made_for_what_a_configuration_says(tmp_path, config, lacks):
    one = tap(tmp_path, config)
    assert {view for view, need in token_taps.NEEDS.items() if need.missing(one)} == lacks


def test_a_network_that_needs_code_has_nothing_that_could_be_run(tmp_path):
    one = tap(tmp_path, MIXTURE, kind="state_dict")
    assert token_taps.NEEDS["attention"].missing(one)
    assert token_taps.NEEDS["routers"].missing(one)


def test_layers_of_a_description_are_read_and_a_file_that_is_gone_is_no_fault(tmp_path):
    described = tmp_path / "network.json"
    described.write_text(json.dumps({"layers": [{"type": "Linear"}, {"type": "TransformerEncoderLayer"}]}))
    one = tap(tmp_path, {}, kind="declared")
    one.store.manifest["checkpoint"]["path"] = str(described)
    assert token_taps.has_heads(one)
    one.store.manifest["checkpoint"]["path"] = str(tmp_path / "gone.json")
    assert not token_taps.has_heads(one)


def test_gates_by_name_or_by_their_numbers_clips_by_a_column_and_tokens_by_the_layout(tmp_path):
    needs = token_taps.NEEDS
    assert not needs["routers"].missing(tap(tmp_path, RESNET, "net:block.gate"))
    between = tap(tmp_path, RESNET)
    assert needs["routers"].missing(between)
    object.__setattr__(between, "chunks", lambda: iter([(0, np.full((4, 3), 0.5))]))
    assert not needs["routers"].missing(between)
    assert not needs["sets"].missing(tap(tmp_path, RESNET, samples={"video": np.arange(4)}))
    text = ArrayActivations(np.zeros((12, 3)), "net:layer", layout=Layout(np.arange(0, 13, 4)))
    assert not needs["sets"].fits(text)
    assert not needs["sets"].missing(text)  # a sample may be a clip, its tokens frames
    assert needs["pooling"].missing(tap(tmp_path, RESNET, pooled=True))


def test_needs_are_those_of_views_that_there_are():
    assert set(token_taps.NEEDS) <= set(QUESTIONS)
    assert all(need.without.endswith(".") and need.which for need in token_taps.NEEDS.values())


def test_questions_that_code_any_rows_are_not_said_to_lack_heads():
    asks = {
        m: token_taps.NEEDS["cache"].concerns(registry.method(m)) for m in QUESTIONS["cache"].asks.values()
    }
    assert {m for m, of_heads in asks.items() if not of_heads} == {
        "tap_bits", "channel_ranges", "rate_distortion", "coded_answer", "bd_rates"}  # fmt: skip
    assert all(token_taps.NEEDS["attention"].concerns(registry.method(m)) for m in asks)


@pytest.mark.parametrize("n", [5, 9])
def test_of_one_sample_it_is_not_said_that_all_were_run(n):
    note = Rerun(None, None, None, np.arange(n), 9).note
    assert of_one((note, "Another note."), 3) == ("The network was run on sample 3.", "Another note.")


def test_passes_are_said_as_a_person_does():
    assert passes_words(1) == "One pass through the network"
    assert passes_words(1234) == "About 1,200 passes through the network"


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_network_of_learned_functions_is_known_by_the_names_of_its_tensors(tmp_path, suffix):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    for name, known in (("spline_weight", True), ("coef", True), ("coefficient", False), ("my_coef", False)):
        path = tmp_path / f"{name}.{suffix}"
        state = {"first.weight": torch.zeros(3, 2), f"layers.0.{name}": torch.zeros(2, 3, 4)}
        save_file(state, str(path)) if suffix == "safetensors" else torch.save(state, path)
        one = tap(tmp_path, {}, kind="state_dict")
        one.store.manifest["checkpoint"]["path"] = str(path)
        assert token_taps.has_edges(one) is known, name
        assert token_taps.NEEDS["functions"].missing(one) is not known
    described = tmp_path / "network.json"
    described.write_text(json.dumps({"weights": f"coef.{suffix}", "layers": []}))
    one.store.manifest["checkpoint"]["path"] = str(described)
    assert token_taps.has_edges(one)
    for gone in (tmp_path / "gone.pt", described.with_name("broken.json")):
        one.store.manifest["checkpoint"]["path"] = str(gone)
        assert not token_taps.has_edges(one)
    described.write_text("[")
    one.store.manifest["checkpoint"]["path"] = str(described)
    assert not token_taps.has_edges(one)
    (tmp_path / "noise.bin").write_bytes(b"\xff" * 40 + b"coef")
    one.store.manifest["checkpoint"]["path"] = str(tmp_path / "noise.bin")
    assert not token_taps.has_edges(one)
