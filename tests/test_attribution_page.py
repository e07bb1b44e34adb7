"""The Attribution page: every question is asked, answered or refused in words; one sample on top; moved features."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from app_pages import HOSTILE, is_whole, open_page, texts, url

from analysis import registry
from analysis.jobs import handlers, queue
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard import errors
from dashboard.browse.attribution_questions import QUESTIONS, WHAT_IF, samples_of
from dashboard.components import questions

N = 60
ASKED = [(view, id) for view, known in QUESTIONS.items() for id in known.asks.values()]
FAMILIES = ("attribution",)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A tap with classes, without a network: a linear probe answers."""
    workspace = Workspace.create(tmp_path_factory.mktemp("net") / "ws")
    rng = np.random.default_rng(0)
    label = np.arange(N) % 3
    rows = np.c_[4.0 * np.eye(3)[label], rng.standard_normal((N, 5))]
    samples = {"id": [f"s{i}" for i in range(N)], "label": label.astype(str)}
    write_store(workspace.path / "stores" / "net", name="net", taps={"one": rows}, samples=samples)
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_net(net, monkeypatch):
    """No worker is started: what is asked as a job is answered here, or waits."""
    monkeypatch.setenv("LOUPE_WORKSPACE", str(net.path))
    monkeypatch.setattr(queue, "start_worker", lambda *_: None)
    monkeypatch.setattr(queue, "wait", lambda *_, **__: None)


def answered(net) -> None:
    """Do what is queued."""
    for job in queue.listing(net.path, limit=5):
        if job.kind == "what_if" and job.state == "queued":
            folder = net.path / "jobs" / job.id
            result = handlers.what_if(net.path, job.arguments, no_progress)
            queue.write_json(folder / "outcome.json", {"state": "done", "result": result, "seconds": 0.1})


def test_every_question_has_a_method_and_every_method_a_question():
    asked, known = {id for _, id in ASKED}, registry.methods()
    assert asked <= set(known)
    assert {id for id, m in known.items() if m.family in FAMILIES} <= asked
    assert len(ASKED) == len(asked)


@pytest.mark.parametrize(("view", "ask"), ASKED)
def test_a_question_is_answered_offered_or_refused_in_words(view, ask, monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 0.3)
    at = open_page("attribution", view=view, ask=ask, tap="net:one")
    assert is_whole(at), texts(at)
    said = texts(at)
    assert errors.escape(registry.method(ask).title) in said
    boxes = [box.label for box in at.number_input if box.label.endswith(", 0 to 59")]
    assert len(boxes) == len(samples_of(registry.method(ask)))


def test_two_samples_are_chosen_and_compared(monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("attribution", view="pair", ask="why_similar", tap="net:one", p__first="4", p__second="9")
    assert is_whole(at), texts(at)
    assert "Samples 4 and 9" in texts(at)
    assert {box.label for box in at.number_input} >= {"One sample, 0 to 59", "The other sample, 0 to 59"}


def test_the_chosen_sample_is_the_one_that_is_explained(monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 30.0)
    at = open_page("attribution", ask="sample_attribution", tap="net:one", p__sample="7")
    assert is_whole(at)
    assert "sample 7" in texts(at) or "of sample 7" in str(at.get("plotly_chart")[0].proto)
    assert url(at)["p.sample"] == ["7"]


def test_moved_features_are_answered(net):
    link = {"view": WHAT_IF, "tap": "net:one", "p__sample": "3", "move": ["0=1.5"]}
    assert is_whole(open_page("attribution", **link))
    answered(net)
    at = open_page("attribution", **link)
    assert is_whole(at), texts(at)
    said = texts(at)
    assert "The straight line says" in said
    assert "linear probe" in said
    assert len(at.slider) >= 6
    assert any("unit 0" in s.label for s in at.slider)
    undo = next(b for b in at.button if b.label == "Put all back")
    undo.click().run()
    assert "move" not in url(at)


def test_a_moved_dial_goes_into_the_link(net):
    open_page("attribution", view=WHAT_IF, tap="net:one", p__sample="3")
    answered(net)
    at = open_page("attribution", view=WHAT_IF, tap="net:one", p__sample="3")
    at.slider[0].set_value(at.slider[0].max).run()
    assert is_whole(at)
    assert len(url(at)["move"]) == 1


@pytest.mark.parametrize("view", [*QUESTIONS, WHAT_IF])
def test_strangers_values_do_no_harm(view):
    for value in HOSTILE[:3]:
        at = open_page(
            "attribution", view=view, tap="net:one", ask=value, p__sample=value, move=[value], dial=[value]
        )
        assert is_whole(at), texts(at)
        assert "<script>" not in texts(at)


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(Workspace.create(tmp_path / "empty").path))
    assert is_whole(open_page("attribution"))


def test_a_guess_comes_before_the_answer(monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 60.0)
    link = {"ask": "counterfactual_dialogue", "tap": "net:one", "p__sample": "3"}
    at = open_page("attribution", **link)
    assert is_whole(at), texts(at)
    said = texts(at)
    assert "what would the network say?" in said
    assert "it would say" not in said  # the table would tell
    offered = [b for b in at.button if b.key and b.key.startswith("guess 1")]
    assert len(offered) >= 2
    offered[0].click().run()
    assert is_whole(at)
    assert url(at)["guess"][0].startswith("1:")
    assert "as you guessed" in texts(at) or "where you guessed" in texts(at)


def test_everything_can_be_told_at_once(monkeypatch):
    monkeypatch.setattr(questions, "AT_ONCE", 60.0)
    at = open_page("attribution", ask="counterfactual_dialogue", tap="net:one", p__sample="3", all="true")
    assert is_whole(at), texts(at)
    assert at.dataframe
