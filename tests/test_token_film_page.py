"""The page Tokens, view Film: tokens that open, boxes, settings of rules; all of it in the URL, by anybody's hand."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from app_pages import HOSTILE, is_whole, open_page, texts, url

from analysis.jobs import handlers, queue
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import token_rules
from dashboard.components import token_choices

TAP = "net:one"


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A tap with tokens, without a network; what the film needs of a sample is there already."""
    workspace = Workspace.create(tmp_path_factory.mktemp("net") / "ws")
    rows = np.random.default_rng(0).standard_normal((6, 12, 5))
    write_store(workspace.path / "stores" / "net", name="net", taps={"one": rows, "two": rows[:, 0]})
    handlers.token_dump(workspace.path, {"input": TAP, "sample": 0}, no_progress)
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_net(net, monkeypatch):
    """No worker is started: the answer of the network waits."""
    monkeypatch.setenv("LOUPE_WORKSPACE", str(net.path))
    monkeypatch.setattr(queue, "start_worker", lambda *_: None)
    monkeypatch.setattr(queue, "wait", lambda *_, **__: None)


def film(**more):
    return open_page("tokens", view="film", tap=TAP, left="40", **more)


def test_the_url_opens_a_token_and_marks_boxes_of_both_rules():
    at = film(rule="pitome", beside="first", open="4.9", boxes="1-3; 9", s__margin="0.5")
    said = texts(at)
    assert is_whole(at)
    assert "PiToMe (margin 0.5)" in said
    assert said.count("tokens in the boxes") == 2
    assert "The token of 9" in said or "9 is gone" in said.replace("Token 9", "9")
    work = [job.arguments for job in queue.listing(token_path(), limit=2)]
    assert {"margin": 0.5} in [w.get("settings") for w in work]


def token_path():
    from dashboard import state

    return state.workspace().path


def test_boxes_outside_are_refused_in_words_and_films_are_drawn_all_the_same():
    at = film(boxes="3-99")
    assert is_whole(at)
    assert "one inside the text" in texts(at)
    assert "leaves" in texts(at)
    assert "in the boxes" not in texts(at)


@pytest.mark.parametrize("asked", ["99999", "-1", "last", HOSTILE[0]])
def test_a_sample_that_is_not_there_is_told_with_what_is_shown_instead(asked):
    at = film(p__sample=asked)
    assert is_whole(at)
    assert "samples 0 to 5: sample 0 is shown" in texts(at)
    assert "asked for sample" not in texts(film(p__sample="0"))


@pytest.mark.parametrize("value", [HOSTILE[0], HOSTILE[5], "9999.9999"])
def test_a_strangers_url_opens_nothing(value):
    at = film(open=value, boxes=value, hand=value, s__margin=value, rule="pitome")
    assert is_whole(at)
    assert "The token of" not in texts(at)


def test_another_rule_takes_the_settings_of_the_last_one_away():
    at = film(rule="pitome", s__margin="0.5")
    at.selectbox(key=next(s.key for s in at.selectbox if s.label == "Rule")).select("tome").run()
    assert "s.margin" not in url(at)
    assert url(at)["left"] == ["40"]


def test_what_is_picked_goes_into_the_url(monkeypatch):
    given = {}
    monkeypatch.setattr(token_choices.state, "set_params", lambda **values: given.update(values))
    from analysis.tokens.kept_dump import place_of

    path = place_of(token_path(), Workspace.open(token_path()).activations(TAP).digest, 0)
    made = token_rules.shown(str(path), "tome", 0.5, 0).film
    tokens = made.owner.shape[1]
    click = {"points": [{"curve_number": 0, "point_index": 2 * tokens + 5}], "box": []}
    token_choices.take(made, "", SimpleNamespace(selection=click))
    assert given == {"open": "2.5"}
    drag = {"points": [], "box": [{"x": [3.2, 0.6], "y": [0, 1]}]}
    token_choices.take(made, "7", SimpleNamespace(selection=drag))
    assert given["boxes"] == "7; 1-3"
    token_choices.take(made, "", SimpleNamespace(selection={"points": [], "box": []}))
    token_choices.take(made, "", None)
    assert given == {"open": "2.5", "boxes": "7; 1-3"}


def test_a_tap_without_tokens_says_where_there_are_some():
    at = open_page("tokens", view="pooling", tap="net:two")
    assert is_whole(at)
    assert "one row of each sample" in texts(at)
    assert "net\\:one" in texts(at)


def test_a_divergence_that_is_next_to_nothing_is_told_without_powers_of_ten():
    answer = {"answers": (), "cosine": 1.0, "seconds": 0.002, "seconds_before": 0.003}
    assert "divergence less than 0.001 nats" in token_rules.answer_sentence(
        {**answer, "nats": 7.2e-05}, "ToMe"
    )
    assert "divergence 0.25 nats" in token_rules.answer_sentence({**answer, "nats": 0.25}, "ToMe")


def test_times_are_told_with_their_range_and_compared_where_ranges_are_apart():
    answer = {"answers": (), "cosine": 1.0, "nats": 0.0, "seconds": 0.0052, "seconds_before": 0.004,
              "most_seconds": 0.0061}  # fmt: skip
    alike = token_rules.answer_sentence({**answer, "most_seconds_before": 0.0055}, "ToMe")
    assert "takes 5.2 to 6.1 ms instead of 4.0 to 5.5 ms." in alike
    slower = token_rules.answer_sentence({**answer, "most_seconds_before": 0.0045}, "ToMe")
    assert "instead of 4.0 to 4.5 ms: with so few tokens, deciding costs more than it saves." in slower


def test_layers_are_told_with_the_linear_and_the_quadratic_part_apart():
    """Against the closed form by hand: 13 tokens of 5 units, blocks of one head and an MLP of 20."""
    from analysis.tokens.kept_dump import place_of

    path = str(place_of(token_path(), Workspace.open(token_path()).activations(TAP).digest, 0))
    one = token_rules.shown(path, "tome", 0.5, 0)
    table = token_rules.layer_table([one], token_rules.opened(path)).columns
    tokens = table["tokens, ToMe"]
    assert tokens[0] == 13
    assert (np.diff(tokens) < 0).all()
    np.testing.assert_allclose(table["quadratic, ToMe"], 2 * tokens**2 * 5 / 1e6)
    behind = np.append(tokens[1:], one.counts[-1])  # ToMe acts before the MLP
    np.testing.assert_allclose(table["linear, ToMe"], (tokens * 4 * 25 + behind * 2 * 5 * 20) / 1e6)
    np.testing.assert_allclose(table["linear, full"], 13 * (4 * 25 + 2 * 5 * 20) / 1e6)
    curve = token_rules.staircase([one], token_rules.opened(path)).series
    np.testing.assert_allclose(curve["ToMe"], table["linear, ToMe"] + table["quadratic, ToMe"])


def test_what_needs_the_network_is_said_where_there_is_none():
    said = texts(film(rule="tome"))
    assert "Only the network itself can tell" in said
    assert "the answer is the network's own" not in said
    assert "Layer by layer" in said


def test_the_run_and_its_film_are_compared():
    owner = np.array([[0, 1, 2, 3], [0, 1, -1, 3]])
    one = SimpleNamespace(film=SimpleNamespace(owner=owner))
    answer = {"seconds": 0.1, "owners": owner.tolist()}
    assert "exactly the tokens of the film" in token_rules.agreement_sentence(answer, one)
    answer["owners"] = [[0, 1, 2, 3], [0, -1, 2, 3]]
    assert "left 3 tokens, 2 of them" in token_rules.agreement_sentence(answer, one)
    assert "0.50" in token_rules.agreement_sentence(answer, one)
    assert token_rules.agreement_sentence(answer | {"seconds": 0.0}, one) == ""


def test_faults_of_the_run_are_reported_by_themselves(monkeypatch):
    from dashboard.components import film_answer

    said = []
    monkeypatch.setattr(film_answer.st, "markdown", said.append)
    monkeypatch.setattr(film_answer.st, "caption", lambda *_: None)
    monkeypatch.setattr(
        film_answer.st, "expander", lambda head, expanded: said.append((head, expanded)) or nothing()
    )
    lines = (("weights of a merge", "fault", "a <sum>"), ("rows of attention", "none found", "fine"),
             ("class token lost", "not seen", "There is none."))  # fmt: skip
    film_answer._faults({"faults": lines}, "EViT")
    assert said[0] == ("Fault report of EViT: 1 fault in this sample", True)
    assert "weights of a merge" in said[1]
    assert "<sum>" not in said[1]
    assert "not there: rows of attention." in said[1]
    assert "Not seen: class token lost" in said[1]


def nothing():
    from contextlib import nullcontext

    return nullcontext()


def test_a_text_behind_a_layer_has_what_is_gone_struck_and_what_merged_underlined():
    from analysis.results import TokenFilm
    from dashboard.figures.film_text import text_after

    made = TokenFilm(title="planted", names=("input", "layer 1"), words=("<a>", "b\n", "c", "d"),
                     owner=np.array([[0, 1, 2, 3], [0, -1, 2, 2]]))  # fmt: skip
    before, behind = (text_after(made, step, "light") for step in (0, 1))
    assert "<s " not in before
    assert "<a>" not in before
    assert behind.count("<s ") == 1
    assert behind.count("border-bottom") == 2
    assert text_after(made, 1, "dark") == behind
