"""The Subspaces page: every question is asked, answered or refused in words; links, and strangers' values."""

import re
import shutil
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from app_pages import HOSTILE, button, is_whole, open_page, texts, url

from analysis import registry
from analysis.jobs import queue
from analysis.selection import Selection
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard import errors
from dashboard.browse.subspace_questions import QUESTIONS
from dashboard.components import questions

N = 150
ASKED = [(view, id) for view, known in QUESTIONS.items() for id in known.asks.values()]


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A network of three layers, of which the last is wider, on samples with three classes and a number."""
    workspace = Workspace.create(tmp_path_factory.mktemp("net") / "ws")
    rng = np.random.default_rng(0)
    label, number = np.arange(N) % 3, rng.standard_normal(N)
    source = np.c_[4 * np.eye(3)[label], 3 * number] @ rng.standard_normal((4, 10))
    taps = {
        "one": source + rng.standard_normal((N, 10)),
        "two": source @ np.linalg.qr(rng.standard_normal((10, 10)))[0] + rng.standard_normal((N, 10)),
        "three": source @ rng.standard_normal((10, 14)) + rng.standard_normal((N, 14)),
    }
    samples = {"id": [f"s{i}" for i in range(N)], "label": label.astype(str), "number": number}
    write_store(workspace.path / "stores" / "net", name="net", taps=taps, samples=samples)
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_net(net, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(net.path))


def test_every_question_has_a_method_and_every_method_a_question():
    families = {"rank", "subspaces", "concepts"}
    asked = {id for _, id in ASKED}
    known = registry.methods()
    assert asked <= set(known)
    assert {id for id, m in known.items() if m.family in families} <= asked
    assert len(ASKED) == len(asked)


@pytest.mark.parametrize(("view", "ask"), ASKED)
def test_a_question_is_answered_offered_or_refused_in_words(view, ask, monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 0.3)
    at = open_page("subspaces", view=view, ask=ask, tap="net:one")
    assert is_whole(at), texts(at)
    assert errors.escape(registry.method(ask).title) in texts(at)
    shown = at.get("plotly_chart") or at.dataframe or at.error or at.warning or at.info
    assert shown or any(b.label.startswith("Compute") for b in at.button) or "Before you rely" in texts(at)


def test_one_tap_is_enough_for_a_method_of_one_or_more(monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("subspaces", view="rank", ask="rank_by_size", tap="net:one")
    assert registry.method("rank_by_size").more_inputs
    assert at.get("plotly_chart"), texts(at)


@pytest.mark.parametrize("view", QUESTIONS)
def test_each_view_opens_with_an_answer(view, monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("subspaces", view=view, tap="net:one")
    assert is_whole(at), texts(at)
    assert not at.error, texts(at)
    assert at.get("plotly_chart") or at.dataframe
    assert "Before you rely on it" in texts(at)


def test_a_link_restores_the_question_and_its_settings():
    at = open_page(
        "subspaces", view="rank", ask="rank_by_size", tap="net:two", p__notion="participation ratio"
    )
    assert is_whole(at)
    assert "participation ratio" in texts(at)
    assert url(at)["ask"] == ["rank_by_size"]


def test_another_view_forgets_what_belongs_to_the_question():
    at = open_page("subspaces", view="rank", ask="rank_by_size", tap="net:two", p__notion="RankMe", seed="3")
    at.segmented_control[0].set_value("dimension").run()
    assert is_whole(at)
    assert not {"ask", "p.notion", "seed"} & set(url(at))


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["view", "ask", "with", "p__column", "tap"])
def test_strangers_values_do_no_harm(name, value, monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 0.1)
    assert is_whole(open_page("subspaces", **{name: value}))


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(Workspace.create(tmp_path / "ws").path))
    at = open_page("subspaces")
    assert is_whole(at)
    assert "Workspace" in texts(at)


def test_a_concept_is_erased_for_good_and_the_map_is_offered(net, monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 0.0)
    at = open_page("subspaces", view="concepts", ask="concept_erasure", tap="net:one", erase="true")
    assert is_whole(at), texts(at)
    button(at, "Write the store").click().run()
    job = url(at)["job"][0]
    assert queue.wait(net.path, job, timeout=120).state == "done"
    at = open_page("subspaces", view="concepts", ask="concept_erasure", tap="net:one", erase="true", job=job)
    assert "net without label" in texts(at)
    assert button(at, "Show it on the map")
    made = net.store("net without label")
    assert list(made.taps) == ["one"]
    label = made.samples["label"]
    x = made.activations("one").take(np.arange(N)).astype(float)
    means = np.array([x[label == c].mean(axis=0) for c in np.unique(label)])
    assert np.ptp(means, axis=0).max() < 1e-5  # no linear probe of these samples reads it
    named = next(t.value for t in at.text_input if t.label == "Name of the store")
    assert named == "net without label 2"
    at = open_page("subspaces", view="rank", tap="net without label:one")
    assert is_whole(at)


def test_a_name_that_is_taken_is_refused_in_words(net):
    at = open_page(
        "subspaces", view="concepts", ask="concept_erasure", tap="net:one", erase="true", erased_name="net"
    )
    button(at, "Write the store").click().run()
    job = queue.wait(net.path, url(at)["job"][0], timeout=120)
    assert job.state == "failed"
    assert "net" in job.error["found"]
    assert list(net.store("net").taps) == ["one", "two", "three"]


@pytest.mark.parametrize("two", [False, True])
def test_groups_of_the_map_are_taken_along_by_their_names(net, two, monkeypatch):
    net.save_selection(
        Selection("the zeros", "samples", "net", "one", tuple(f"s{i}" for i in range(0, N, 3)))
    )
    net.save_selection(Selection("the ones", "samples", "net", "one", tuple(f"s{i}" for i in range(1, N, 3))))
    more = {"vs": "the ones"} if two else {}
    at = open_page("map", tap="net:one", sel="the zeros", **more)
    assert is_whole(at), texts(at)
    links = re.findall(r"\]\((subspaces\?[^)]*)\)", texts(at))
    assert len(links) == 3
    monkeypatch.setattr(questions, "AT_ONCE", 20.0)
    for link in links:
        asked = {n.replace(".", "__"): v[0] for n, v in parse_qs(urlsplit(link).query).items()}
        assert asked["p__inside"] == "the zeros"
        assert ("p__outside" in asked) == two
        at = open_page("subspaces", **asked)
        assert is_whole(at), texts(at)
        assert not at.error, texts(at)
        assert at.dataframe or at.get("plotly_chart") or "percent" in texts(at)


def test_a_group_without_a_name_is_told_to_get_one(net):
    from dashboard.browse import selections

    word = selections.keep(net, Selection("", "samples", "net", "one", tuple(f"s{i}" for i in range(30))))
    at = open_page("map", tap="net:one", sel=word)
    assert is_whole(at)
    assert "Save it under a name" in texts(at)


def test_a_question_about_checkpoints_says_what_it_needs(net):
    at = open_page("subspaces", view="movement", ask="subspace_alignment_of_updates", tap="net:one")
    said = texts(at)
    assert "3 checkpoints of one network" in said
    assert "show=record" in said
    assert not at.error
    tables = open_page(
        "subspaces", view="movement", ask="subspace_alignment_of_updates", tap="net:one", p__table="true"
    )
    assert "checkpoints of one network" not in texts(tables)
