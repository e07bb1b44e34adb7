"""The section Train of the Dictionaries page: what it offers, refuses, starts, shows while and after it runs."""

from __future__ import annotations

import json
import shutil

import jobs_at_once
import numpy as np
import pytest
from app_pages import HOSTILE, button, is_whole, open_page, texts, url

from analysis.errors import ParameterError
from analysis.features.sweep import PointFacts, asked_values
from analysis.features.unfinished import at_work, note_end
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import sweep_points, training_curves, training_kinds
from dashboard.parts.training_asked import values_of

SMALL = {"p.latents": "16", "p.k": "2", "t.tokens": "1280", "t.batch": "64", "t.every": "4"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("training") / "ws")
    x = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    write_store(workspace.path / "stores" / "net", name="net", taps={"mlp": x})
    write_store(workspace.path / "stores" / "tiny", name="tiny", taps={"mlp": x[:3]})
    return workspace


@pytest.fixture
def own(kept, tmp_path, monkeypatch):
    shutil.copytree(kept.path, tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    return Workspace.open(tmp_path / "ws")


def opened(tap="net:mlp", **values):
    at = open_page("dictionaries", view="train", tap=tap, **values)
    assert is_whole(at), texts(at)
    return at


def line(tokens, explained, loss=0.5, held=0.5, dead=0.0):
    return {"step": tokens // 64, "tokens": tokens, "loss": loss, "held_out_loss": held,
            "explained_variance": explained, "l0": 2.0, "dead": dead}  # fmt: skip


# ---------------------------------------------------------------------- what the section stands on
def test_every_kind_says_what_it_is():
    for kind in training_kinds.kinds().values():
        assert kind.summary
        assert "\n\n    " in kind.equation  # a formula, set apart
    assert all(k.words for k in training_kinds.kinds().values() if k.group == training_kinds.LEARNED)


def test_the_sentence_says_what_is_seen():
    rising = [line(1000 * i, 0.1 * i) for i in range(1, 6)]
    assert "**50.0%**" in training_curves.sentence(rising)
    assert "still rises (+10.0 points over the last 1,000 rows)" in training_curves.sentence(rising)
    assert "hardly moves" in training_curves.sentence([line(1000 * i, 0.5) for i in range(1, 6)])
    assert "It falls" in training_curves.sentence([line(1000 * i, 1 - 0.1 * i) for i in range(1, 6)])
    assert "2 times that of training" in training_curves.sentence([line(1000, 0.5, 0.2, 0.4)])
    assert "times that" not in training_curves.sentence([line(1000, 0.5, 0.2, 0.2)])
    assert "More than half" in training_curves.sentence([line(1000, 0.5, dead=0.6)])
    assert training_curves.sentence([]) == ""
    found = training_curves.curves({"k=1": rising[:2], "k=2": rising[1:3]})
    np.testing.assert_allclose(found["explained_variance"].series["k=1"], [0.1, 0.2, np.nan])
    assert list(found["explained_variance"].x) == [1000, 2000, 3000]


def test_a_beaten_set_is_dimmed_and_every_point_is_named():
    given = ((1, 0.5, True), (4, 0.6, True), (2, 0.4, False))
    points = [PointFacts(k, k, ev, 0.0, on, f"k={k}", f"s k={k}") for k, ev, on in given]
    found, beaten = sweep_points.front(points, "t")
    assert list(found.columns["value"]) == [1, 2, 4]
    assert list(beaten) == [False, True, False]
    assert list(found.guides) == ["k=1", "k=2", "k=4"]
    np.testing.assert_allclose(found.guides["k=2"], [[2, 0.4], [2, 0.4]])
    np.testing.assert_allclose(found.guides["k=4"], [[1, 0.5], [4, 0.6]])  # along the front
    assert "k=2: another set" in sweep_points.in_words(points)


def test_values_are_read_as_people_type_them():
    assert values_of("4, 8;16  0.5") == [4, 8, 16, 0.5]
    for text, said in (("", "empty"), (" , ", "empty"), ("4, x", "'x'"), ("1 " * 21, "21 values")):
        with pytest.raises(ParameterError, match=said):
            values_of(text)


def test_two_values_of_one_label_are_refused_before_one_of_them_is_lost():
    """Folders and names have six digits of a value."""
    with pytest.raises(ParameterError, match="six digits"):
        asked_values("relu", [0.01000001, 0.01000002], None, None)
    assert list(asked_values("topk", [8, 4], {"latents": 16}, None)) == ["k=8", "k=4"]


# ---------------------------------------------------------------------- the page
@pytest.mark.parametrize(
    ("tap", "values", "said"),
    [
        ("net:mlp", {"p.latents": "4", "p.k": "5"}, "k = 5 of 4 latents"),
        ("net:mlp", {"called": "a/b"}, "cannot name"),
        ("net:mlp", {"many": "several sparsities", "values": ","}, "list of values is empty"),
        ("tiny:mlp", {}, "3 rows of 3 samples"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_starts(own, tap, values, said):
    at = opened(tap, **values)
    assert said in texts(at).replace("\\", "")
    assert button(at, "Train") is None


def test_strangers_values_do_no_harm(own):
    names = ("kind", "many", "values", "called", "p.k", "p.latents", "t.tokens", "job", "seed", "keep")
    for shift in (0, 5):
        opened(**{name: HOSTILE[(i + shift) % len(HOSTILE)] for i, name in enumerate(names)})


def test_a_set_is_trained_judged_and_encoded_by_clicks(own, monkeypatch):
    jobs_at_once.install(monkeypatch)
    at = opened(**SMALL, called="mine")
    assert "20 steps" in texts(at)
    button(at, "Train").click().run()
    assert is_whole(at), texts(at)
    assert "mine** is finished" in texts(at)
    held = own.features.open("mine").about["held_out"]
    shown = {m.label: m.value for m in at.metric}
    assert shown["Explained variance"] == f"{held['explained_variance']:.1%}"
    assert "20 samples that training never saw" in texts(at)
    assert "called" not in url(at)
    button(at, "Encode net › mlp and open its features").click().run()
    assert is_whole(at), texts(at)
    assert "mlp@mine" in Workspace.open(own.path).store("net").taps
    assert url(at)["tap"] == ["net:mlp@mine"]
    assert "already a feature set" in texts(opened(**SMALL, called="mine"))


def test_what_diverged_offers_a_lower_rate(own, monkeypatch):
    done = jobs_at_once.install(monkeypatch)
    arguments = {
        "input": "net:mlp", "architecture": "topk", "name": "lost", "params": {"latents": 16, "k": 2}, "seed": 0,
        "training": {"tokens": 1280, "batch": 64, "learning_rate": 0.5},
    }  # fmt: skip
    folder = own.path / "training" / "lost"
    with at_work(folder, "train", arguments):
        note_end(folder, "train", arguments, "the loss is nan at step 14 of 20")
    at = opened()
    assert "diverged" in texts(at)
    assert "nothing is kept" in texts(at)
    assert next(n.value for n in at.number_input if n.label == "Learning rate from here on") == 0.05
    button(at, "Start again").click().run()
    assert is_whole(at), texts(at)
    assert [job.arguments["training"]["learning_rate"] for job in done.values()] == [0.05]
    assert own.features.names() == ["lost"]


def test_a_sweep_is_drawn_and_its_sets_are_kept_or_closed(own, monkeypatch):
    jobs_at_once.install(monkeypatch)
    values = {name: v for name, v in SMALL.items() if name != "p.k"}
    at = opened(**values, called="sw", many="several sparsities", values="1, 2")
    button(at, "Train 2 sets").click().run()
    assert is_whole(at), texts(at)
    assert "sw: what sparsity costs" in texts(at).replace("\\", "")
    assert list(at.dataframe[0].value["Set"]) == ["k=1", "k=2"]
    assert own.features.names() == []
    next(b for b in at.button if b.key == "close:sw").click().run()
    assert is_whole(at), texts(at)
    assert not (own.path / "training" / "sw").exists()


def test_a_training_that_runs_shows_its_curve(own, monkeypatch):
    from analysis.jobs import queue

    monkeypatch.setattr(queue, "start_worker", lambda *a: None)
    arguments = {"input": "net:mlp", "architecture": "topk", "name": "live"}
    queue.submit(own.path, "train", arguments, title="Train live")
    folder = own.path / "training" / "live"
    with at_work(folder, "train", arguments):
        assert "curves begin after 100 steps" in texts(opened())
        (folder / "curve.json").write_text(json.dumps([line(1000 * i, 0.1 * i) for i in range(1, 6)]))
        at = opened()
    assert "After 5,000 rows **50.0%**" in texts(at)
    assert len(at.get("plotly_chart")) == 4
