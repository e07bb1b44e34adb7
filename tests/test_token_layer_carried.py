"""One layer and head on the page Tokens: that of the tap until another is chosen, and carried through its views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from app_pages import is_whole, open_page, url

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.errors import InputError, NotFound, ParameterError
from analysis.jobs import queue
from analysis.methods.tokens.attention_pattern import AttentionPatternParams, attention_pattern
from analysis.methods.tokens.mixing_matrix import mixing_matrix
from analysis.methods.tokens.retrieval_layers import RetrievalLayersParams, retrieval_layers
from analysis.spec import params_of
from analysis.store.from_arrays import write_store
from analysis.tokens.attention.heads import asked_head, planted
from analysis.tokens.over_samples import notes_of
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.rule import rule, rules
from analysis.workspace import Workspace
from dashboard.browse import rule_words
from dashboard.browse.token_questions import FILM, QUESTIONS, carried, carried_to, open_settings

SAMPLE = Path(__file__).parents[1] / "sample_data" / "workspace"
BLOCKS = ("vit.layers.0", "vit.layers.1", "vit.layers.2")


@pytest.mark.parametrize(
    ("where", "layer"),
    [("vit.layers.1", 1), ("vit.layers.2.attention", 2), ("vit.layers.1.mlp.fc1", 1), ("vit.layers.10", None),
     ("vit.layernorm", None), ("outputs.logits", None), ("vit", None), ("vit.layers", None), ("", None)],
)  # fmt: skip
def test_a_tap_lies_in_the_layer_of_its_name(where, layer):
    assert layer_of_tap(SimpleNamespace(tap=where), BLOCKS) == layer
    encoded = SimpleNamespace(tap="features", source=lambda: SimpleNamespace(tap=where))
    assert layer_of_tap(encoded, BLOCKS) == layer


def test_a_layer_whose_mixer_is_named_deeper_is_found_from_the_block():
    scans = [f"backbone.layers.{i}.mixer" for i in range(3)]
    assert layer_of_tap(SimpleNamespace(tap="backbone.layers.1"), scans) == 1
    assert layer_of_tap(SimpleNamespace(tap="backbone"), scans) is None
    rows = ArrayActivations(np.ones((4, 2)), name="rows")
    assert layer_of_tap(rows, scans) is None
    assert [named_layer(n, own, 4) for n, own in ((2, 3), (None, 1), (None, None))] == [1, 1, 3]


def test_without_a_number_the_head_is_in_the_layer_of_the_tap_else_in_the_last():
    reader = planted(*np.random.default_rng(0).standard_normal((2, 3, 5, 2)))
    reader.queries, reader.keys = reader.queries * 3, reader.keys * 3
    assert asked_head(reader, None, 1) == (2, 0)
    reader.own = 1
    assert asked_head(reader, None, 1) == (1, 0)
    assert asked_head(reader, 3, 1) == (2, 0)
    with pytest.raises(ParameterError, match="layers 1 to 3"):
        asked_head(reader, 4, 1)


def test_attention_and_mixing_open_at_the_layer_of_the_tap():
    sample_workspace = Workspace(SAMPLE)
    tap = sample_workspace.activations("digits-vit:vit.layers.1")
    assert ": layer 2, head 1" in attention_pattern(tap).title
    assert "layer 2 (vit.layers.1" in mixing_matrix(tap).title
    last = sample_workspace.activations("digits-vit:vit.layernorm")
    assert ": layer 4, head 1" in attention_pattern(last).title
    assert "layer 4 (vit.layers.3" in mixing_matrix(last).title


def test_what_is_carried_means_the_same_to_every_question():
    methods = registry.methods()
    for view in QUESTIONS.values():
        for id in view.asks.values():
            known = {p.name: p for p in params_of(methods[id].params)}
            for name in carried(methods[id]):
                p = known.get(name.removeprefix("p."))
                assert p is None or p.kind == "int", (id, name)
            assert {known[n].kind for n in open_settings(methods[id])} <= {"int", "float", "choice"}
    assert carried(methods["kan_functions"]) == ("p.head", "p.sample")
    assert carried_to("functions") == ("p.head", "p.sample")
    assert carried_to(FILM) == ("p.layer", "p.head", "p.sample")


@pytest.fixture
def net(tmp_path, monkeypatch):
    workspace = Workspace.create(tmp_path / "ws")
    rows = np.random.default_rng(0).standard_normal((6, 12, 5))
    write_store(workspace.path / "stores" / "net", name="net", taps={"one": rows})
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    monkeypatch.setattr(queue, "start_worker", lambda *_: None)
    monkeypatch.setattr(queue, "wait", lambda *_, **__: None)


def test_layer_head_and_sample_outlast_questions_and_views_and_other_settings_do_not(net):
    chosen = {"p__layer": "1", "p__head": "2", "p__sample": "3", "p__query": "4"}
    at = open_page("tokens", view="attention", ask="attention_pattern", tap="net:one", **chosen)
    assert is_whole(at)
    assert [n.value for n in at.number_input if n.label in ("Layer", "Head", "Query")] == [1, 2, 4]
    at.selectbox[_place(at.selectbox, "Question")].set_value("head_memory").run()
    assert {k: v[0] for k, v in url(at).items() if k.startswith("p.")} == {
        "p.layer": "1", "p.head": "2", "p.sample": "3"
    }  # fmt: skip
    at.selectbox[_place(at.selectbox, "Question")].set_value("attention_atlas").run()  # takes none of them
    at.segmented_control[0].set_value("mixing").run()
    assert is_whole(at)
    assert {k: v[0] for k, v in url(at).items() if k.startswith("p.")} == {
        "p.layer": "1", "p.head": "2", "p.sample": "3"
    }  # fmt: skip
    assert [n.value for n in at.number_input if n.label in ("Layer", "Head")] == [1, 2]
    at.segmented_control[0].set_value("functions").run()  # its layers have names
    assert "p.layer" not in url(at)
    assert url(at)["p.sample"] == ["3"]


def _place(widgets, label: str) -> int:
    return next(i for i, w in enumerate(widgets) if w.label == label)


def test_the_measure_of_the_atlas_is_asked_in_the_open(net):
    at = open_page("tokens", view="attention", ask="attention_atlas", tap="net:one")
    assert any(s.label == "Measure" for s in at.selectbox)


def test_every_rule_is_told_in_a_sentence_and_shared_notes_are_one_line():
    lines = rule_words.glossary().splitlines()
    assert len(lines) == len(rules()) > 25
    assert all(len(one.says.split()) > 3 and line.endswith(one.says)
               for one, line in zip(rules().values(), lines, strict=True))  # fmt: skip
    assert len({one.says for one in rules().values()}) == len(rules())
    lines = notes_of(rules().values())
    assert len(lines) == len({line.partition(": ")[2] for line in lines})
    assert any(line.startswith("Spatial pooling, ") or ", Spatial pooling: " in line for line in lines)


@pytest.mark.parametrize("method", ["confidence_histograms", "class_confusion", "expected_calibration"])
def test_units_of_a_hidden_layer_are_not_taken_for_answers(method):
    """They are numbered, as the digits are: their softmax would have 3 % of them right."""
    workspace, run = Workspace(SAMPLE), registry.method(method).function
    with pytest.raises(
        InputError, match=r"48 units of a layer inside the network.*Choose the tap outputs.logits"
    ):
        run(workspace.activations("digits-vit:vit.layers.2"))
    told = {e.name: e.value for e in run(workspace.activations("digits-vit:outputs.logits")).estimates}
    assert told.get("accuracy", 1.0) > 0.9


def test_pictures_are_told_to_have_no_words():
    with pytest.raises(InputError, match=r"tokens are no words.*Choose a tap of a language model"):
        retrieval_layers(
            Workspace(SAMPLE).activations("digits-vit:vit.layers.2"), RetrievalLayersParams(maximum_samples=2)
        )


def test_of_a_tap_of_one_row_a_sample_the_sample_is_read_with_its_neighbours():
    rows = np.random.default_rng(0).standard_normal((70, 5))
    few = AttentionPatternParams(sample=37, query=6)
    found, other = (attention_pattern(rows, replace(few, sample=s)) for s in (37, 32))
    assert "sample 37" in found.title
    np.testing.assert_array_equal(found.values, other.values)
    assert not np.array_equal(found.values, attention_pattern(rows, replace(few, sample=20)).values)
    with pytest.raises(NotFound, match="one of 0 to 63"):
        attention_pattern(rows, replace(few, sample=64))


def test_a_rule_that_says_nothing_of_itself_is_refused(monkeypatch):
    from analysis.tokens.rules import tome

    monkeypatch.setattr(tome, "RULES", (replace(rule("tome"), says=""),))
    rules.cache_clear()
    try:
        with pytest.raises(ValueError, match="'tome' does not say"):
            rules()
    finally:
        rules.cache_clear()
