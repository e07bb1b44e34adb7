"""Names by a language model: nothing is sent without one, exactly what was shown is sent with one, the key is nowhere,
names are judged on examples that they were not made from, and whatever a server answers is said in words."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
import time
import urllib.request

import app_pages
import numpy as np
import page_stores
import pytest
from dictionary_subjects import set_of
from model_servers import KEY, ModelServer, examples_of, reply

from analysis.errors import Cancelled, InputError, LoupeError, NotEnoughData, NotFound, ParameterError
from analysis.features import rules
from analysis.features.encoding import encode_tap
from analysis.jobs import queue, worker
from analysis.naming import prompts
from analysis.naming.detection import Detection
from analysis.naming.evidence import active_rows, evidence
from analysis.naming.http_model import MOST_BYTES
from analysis.naming.preview import preview
from analysis.naming.proposals import Proposal, Proposals
from analysis.naming.proposing import propose
from analysis.naming.settings import configured
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.browse import naming
from dashboard.cli import main

WORDS = ("def", " f", "(", "while", " x", "\n", " ⟦odd⟧", " <b>bold</b>")
TAP = "code:h.0@words"
WHILE = WORDS.index("while")
RARE, DEAD = len(WORDS), len(WORDS) + 1  # features: of a word of five samples; of none


def text_store(workspace: Workspace) -> None:
    """100 texts in which feature j is active on word j only, for half of the texts "while" among them."""
    rng = np.random.default_rng(0)
    others = [j for j in range(len(WORDS)) if j != WHILE]
    lines, values = [], []
    for i in range(100):
        of = rng.choice(others, 60)
        if i % 2:
            of[rng.integers(60)] = WHILE
        row = np.zeros((60, len(WORDS) + 2), np.float32)
        row[np.arange(60), of] = 1 + rng.random(60)
        tokens = [WORDS[j] for j in of]
        if i < 5:
            tokens[30], row[30], row[30, RARE] = f" rare{i}", 0, 2
        lines.append(tokens)
        values.append(row)
    store = write_store(
        workspace.path / "stores" / "code", name="code", taps={"h.0": values}, tokens=lines,
        samples={"id": [f"secret-id-{i}" for i in range(100)]},
    )  # fmt: skip
    encode_tap(store, "h.0", set_of("words", np.eye(len(WORDS) + 2), active=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = Workspace.create(tmp_path_factory.mktemp("names") / "w")
    text_store(workspace)
    page_stores.images(workspace.path / "stores" / "images", n=120)
    return workspace


@pytest.fixture
def bare(monkeypatch):
    """No configuration, and no proxy of whoever runs the tests."""
    for name in [n for n in os.environ if n.startswith("LOUPE_NAMER_") or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server(monkeypatch, bare):
    found = ModelServer()
    monkeypatch.setenv("LOUPE_NAMER_URL", found.url)
    monkeypatch.setenv("LOUPE_NAMER_MODEL", "tiny")
    monkeypatch.setenv("LOUPE_NAMER_KEY", KEY)
    monkeypatch.setenv("LOUPE_NAMER_TIMEOUT", "10")
    yield found
    found.close()


@pytest.fixture
def clean(made):
    """The workspace without names."""
    yield made
    Proposals(made.path).path.unlink(missing_ok=True)


def knows_while(question: str, is_fit: bool) -> str:
    if not is_fit:
        return "<think>hm\nName: no</think>\n\nName: **the word while**\nand more"
    return json.dumps([i for i, text in examples_of(question).items() if "while" in text])


# ---------------------------------------------------------------------- with a server
def test_a_name_is_asked_for_judged_and_kept_and_the_key_is_in_no_file(clean, server):
    server.answers = knows_while
    seen = preview(clean.store("code"), "h.0@words", WHILE)
    work = {"input": TAP, "features": [WHILE], "shown": f"{server.url}/chat/completions"}
    id = queue.submit(clean.path, "name_features", work, start=False)
    worker.run_job(clean.path, id)
    ended = queue.status(clean.path, id)
    assert (ended.state, ended.result["beyond"], ended.result["without"]) == ("done", 1, {}), ended.error
    kept = naming.proposed(clean, TAP)[WHILE]
    assert (kept.name, kept.model, kept.score) == ("the word while", "tiny", Detection(10, 10, 10, 0))
    assert kept.asked == f"{server.url}/chat/completions"
    # what went over the wire is what was shown
    assert [path for path, _, _ in server.seen] == ["/v1/chat/completions"] * 2
    for (_, headers, body), question in zip(server.seen, (seen.name, seen.fit), strict=True):
        assert headers["Authorization"] == f"Bearer {KEY}"
        fields = {"model": "tiny", "temperature": 0, "stream": False}
        assert {k: v for k, v in body.items() if k != "messages"} == fields
        shown = [{"role": role, "content": text.replace(prompts.PLACE, kept.name)} for role, text in question]
        assert body["messages"] == shown
    files = [p for p in clean.path.rglob("*") if p.is_file()]
    assert not [p for p in files if KEY.encode() in p.read_bytes()]
    assert "secret-id" not in json.dumps([body for _, _, body in server.seen])


def test_a_note_stands_before_a_model_and_a_model_before_an_automatic_name(clean, server):
    server.answers = lambda question, is_fit: "[1, 2, 3]" if is_fit else "something"
    propose(clean, TAP, [WHILE])
    found = naming.proposed(clean, TAP)
    assert not found[WHILE].score.beyond_chance
    assert "does not beat chance" in naming.proposal_sentence(found[WHILE])
    assert naming.names(None, [""] * 4, {}, found) == ("",) * 4
    good, unsure = Proposal(0, "good", "m", "x", Detection(10, 10, 9, 0)), Proposal(1, "guess", "m", "x")
    proposals = {0: good, 1: unsure}
    assert naming.names(None, ["a", "b"], {}, proposals) == ("good", "guess (not scored)")
    assert naming.names(None, ["a", "b"], {0: "mine"}, proposals) == ("mine", "guess (not scored)")
    assert "0.95 (0.74 to 0.99; 0.50 by chance" in naming.proposal_sentence(good)
    # of other activations under the same name it says nothing
    assert Proposals(clean.path).of("code", "h.0@words", "another digest") == {}
    Proposals(clean.path).forget("code", "h.0@words", WHILE)
    assert naming.proposed(clean, TAP) == {}


def test_a_rare_feature_is_named_and_not_scored_and_a_dead_one_is_skipped_in_a_list(clean, server):
    found = propose(clean, TAP, [RARE, DEAD, 0])
    assert [p.unit for p in found.found] == [RARE, 0]
    assert "never active" in found.without[DEAD]
    assert found.found[0].score is None
    assert "only 2 held-out examples" in found.found[0].unscored
    assert len(server.seen) == 3
    server.answers = lambda question, is_fit: "I cannot say" if is_fit else "a name"
    assert "cannot be read" in propose(clean, TAP, [0]).found[0].unscored


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ((500, {}, f"out of memory, {KEY}".encode()), "HTTP 500: 'out of memory, …'"),
        ((401, {}, b""), "Look at LOUPE_NAMER_KEY"),
        ((200, {}, b"<html>a login page</html>"), "no JSON: '<html>a login page</html>'"),
        ((200, {}, b"\xff\xfe"), "no JSON"),
        ((200, {}, b"[" * 100_000), "no JSON"),
        ((200, {}, b'{"error": "no such model"}'), "without choices"),
        ((200, {}, b'{"choices": []}'), "without choices"),
        ((200, {}, reply("")), "answer is empty"),
        ((200, {}, reply(None)), "answer is empty"),
        ((200, {}, reply(" \u202e\n** **")), "answer is empty"),
        ((200, {}, b" " * (MOST_BYTES + 1)), "more than 1 MB"),
        ((200, {"Content-Length": "9999"}, b'{"cut'), "no JSON"),
        ((429, {"Retry-After": "9999"}, b""), "Wait, or ask for fewer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_server_should_not_answer_is_said_in_words(clean, server, raw, said):
    server.raw = raw
    with pytest.raises(InputError) as refusal:
        propose(clean, TAP, [0])
    assert said in str(refusal.value)
    assert KEY not in str(refusal.value)
    assert server.host in str(refusal.value) or "empty" in said
    assert naming.proposed(clean, TAP) == {}


def test_a_redirect_is_not_followed(clean, server):
    other = ModelServer()
    try:
        for code in (301, 302, 303, 307, 308):
            server.raw = (code, {"Location": f"{other.url}/chat/completions"}, b"")
            with pytest.raises(InputError, match="sends on to") as refusal:
                propose(clean, TAP, [0])
            assert other.host in str(refusal.value)
        assert other.seen == []
    finally:
        other.close()


def test_a_pause_that_the_server_wants_is_kept(clean, server):
    answers = iter([(429, {"Retry-After": "0"}, b""), (200, {}, reply("a name")), (200, {}, reply("[1]"))])
    server.raw = lambda: next(answers)
    assert propose(clean, TAP, [0]).found[0].score is not None
    assert len(server.seen) == 3


def test_silence_ends_at_the_time_limit_and_a_closed_port_at_once(clean, server, monkeypatch):
    server.wait = threading.Event()
    monkeypatch.setenv("LOUPE_NAMER_TIMEOUT", "0.2")
    with pytest.raises(InputError, match=r"did not answer within 0\.2 s"):
        propose(clean, TAP, [0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LOUPE_NAMER_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(InputError, match="nothing answers at"):
            propose(clean, TAP, [0])


def test_cancel_does_not_wait_for_the_server_and_keeps_what_was_named(clean, server):
    server.wait = threading.Event()
    server.wait.set()

    def progress(share: float, doing: str = "") -> None:
        if share >= 0.5:
            server.wait.clear()  # the second feature gets no answer
        if len(server.seen) == 3:
            raise Cancelled()

    with pytest.raises(Cancelled):
        propose(clean, TAP, [0, 1], progress=progress)
    assert list(naming.proposed(clean, TAP)) == [0]
    assert len(server.seen) == 3


def test_nobody_is_asked_but_who_was_shown(clean, server):
    with pytest.raises(ParameterError, match="nothing was sent"):
        propose(clean, TAP, [0], shown="http://other/v1/chat/completions")
    for wrong in ([], range(600)):
        with pytest.raises(ParameterError, match="features to name"):
            propose(clean, TAP, wrong)
    with pytest.raises(NotFound, match="no feature 99"):
        propose(clean, TAP, [99])
    assert server.seen == []


# ---------------------------------------------------------------------- without one
def test_nothing_is_opened_where_no_model_is_configured(made, bare, monkeypatch):
    opened = []

    def refuse(*given, **_):
        opened.append(given)
        raise AssertionError("opened")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    with pytest.raises(NotFound, match="nothing was sent"):
        propose(made, TAP, [0])
    assert main(["features", "name", TAP, "0", "--show", "--workspace", str(made.path)]) == 0
    monkeypatch.setenv("LOUPE_WORKSPACE", str(made.path))
    for params in ({}, {"unit": "3"}):
        at = app_pages.open_page("features", tap=TAP, model="true", **params)
        assert app_pages.is_whole(at)
        assert "LOUPE_NAMER_URL" in app_pages.texts(at)
        assert not [b for b in at.button if "Send" in b.label]
    assert opened == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", "ftp://host/x"), ("URL", "host:1"), ("URL", f"http://user:{KEY}@host/"), ("URL", "http://"),
        ("URL", f"http://host/{KEY} x"), ("URL", "http://host:99999/"), ("URL", "file:///etc/passwd"), ("MODEL", ""),
        ("KEY", f"{KEY}\nX-Other: 1"), ("KEY", f"{KEY}é"), ("COMMAND", "cat"), ("TIMEOUT", "soon"), ("TIMEOUT", "nan"),
        ("OPTIONS", "[1]"), ("OPTIONS", '{"messages": []}'), ("OPTIONS", "{"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused_without_repeating_them(name, value):
    good = {"LOUPE_NAMER_URL": "https://host/v1", "LOUPE_NAMER_MODEL": "m"}
    with pytest.raises(ParameterError, match=f"LOUPE_NAMER_{name}") as refusal:
        configured({**good, f"LOUPE_NAMER_{name}": value})
    assert KEY not in str(refusal.value)


def test_settings_show_host_and_path_and_hide_the_rest(bare, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:pass@proxy.example:3128")
    secret = {"LOUPE_NAMER_MODEL": "m", "LOUPE_NAMER_KEY": KEY}
    far = configured({**secret, "LOUPE_NAMER_URL": f"http://far.example:8/v1/?key={KEY}"})
    assert (far.where, far.host) == ("http://far.example:8/v1/chat/completions", "far.example:8")
    assert far.url == f"http://far.example:8/v1/chat/completions?key={KEY}"
    assert (far.is_open, far.is_local, far.proxy_host) == (True, False, "proxy.example")
    assert KEY not in repr(far)
    assert "pass" not in repr(far)
    for host in ("localhost", "127.0.0.1", "[::1]"):
        near = configured({**secret, "LOUPE_NAMER_URL": f"http://{host}:1/v1/chat/completions"})
        assert (near.is_open, near.is_local, near.proxy_host) == (False, True, "")
        assert near.where.endswith(":1/v1/chat/completions")
    assert configured({}) is None
    assert configured({"LOUPE_NAMER_MODEL": "m", "LOUPE_NAMER_KEY": KEY}) is None


# ---------------------------------------------------------------------- a program
def test_a_program_is_asked_without_a_shell(clean, bare, monkeypatch, tmp_path):
    script = tmp_path / "model.py"
    script.write_text(
        "import json, sys\nasked = json.load(sys.stdin)\n"
        "assert sys.argv[1:] == [';', 'touch', 'made'], sys.argv\n"
        "print('[1]' if asked['task'] == 'fit' else 'by ' + asked['model'])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOUPE_NAMER_COMMAND", f"'{sys.executable}' -S '{script}' ';' touch made")
    found = propose(clean, TAP, [0]).found[0]
    assert found.name == f"by {os.path.basename(sys.executable)}"
    assert found.score is not None
    assert not (tmp_path / "made").exists()
    for command, said in (
        (f"'{sys.executable}' -S -c 'raise SystemExit(3)'", "ended with 3"),
        ("no-such-program", "cannot be started"),
    ):
        monkeypatch.setenv("LOUPE_NAMER_COMMAND", command)
        with pytest.raises(InputError, match=said):
            propose(clean, TAP, [0])
    monkeypatch.setenv("LOUPE_NAMER_COMMAND", f"'{sys.executable}' -S -c 'import time; time.sleep(60)'")
    monkeypatch.setenv("LOUPE_NAMER_TIMEOUT", "0.2")
    began = time.monotonic()
    with pytest.raises(InputError, match=r"did not answer within 0\.2 s"):
        propose(clean, TAP, [0])
    assert time.monotonic() - began < 50  # it was ended, not waited for


# ---------------------------------------------------------------------- what is told
def test_examples_to_judge_by_are_of_other_samples_and_silent_ones_hold_no_active_token(made):
    found = evidence(made.store("code"), "h.0@words", WHILE)
    assert all("⟦while⟧" in e.text for e in (*found.strongest, *found.weak))
    assert all(
        e.text.count("⟦") == 1 for e in found.strongest
    )  # one "while" each, and the text's own marks are none
    assert any("[odd]" in e.plain for e in (*found.strongest, *found.silent))
    assert found.strongest[0].strength == 10 >= found.weak[-1].strength
    assert (len(found.strongest), len(found.weak), len(found.silent)) == (8, 4, 6)
    assert [("while" in e.plain) for e in found.silent] == [False] * 6
    assert sum(e.active for e in found.held_out) == 10 == len(found.held_out) // 2
    assert all(("while" in e.plain) == e.active and "⟦" not in e.plain for e in found.held_out)
    assert found == evidence(made.store("code"), "h.0@words", WHILE)
    for seed in range(5):  # whatever the samples are divided into
        told = evidence(made.store("code"), "h.0@words", WHILE, seed)
        of = {e.sample for e in (*told.strongest, *told.weak, *told.silent)}
        assert not of & {e.sample for e in told.held_out}


def test_of_pictures_labels_and_columns_are_told_and_no_id_or_path(made):
    found = evidence(made.store("images"), "blocks.0", 3)  # class b in patch 2
    assert found.strongest[0].text.startswith("label: b; predicted: ")
    assert "patch in row 2 of 2, column 1 of 2" in found.strongest[0].text
    asked = json.dumps(preview(made.store("images"), "blocks.0", 3).name)
    assert "loss" not in asked
    assert "source: <script>" in asked.replace("\\", "")
    assert "no picture" in preview(made.store("images"), "blocks.0", 3).told
    with pytest.raises(NotEnoughData, match="never active"):
        evidence(made.store("images"), "blocks.0", 0)


def test_a_feature_that_is_never_0_is_active_in_its_upper_tenth(made):
    store = encode_tap(made.store("images"), "pooled", set_of("linear", np.eye(16), rule=rules.LINEAR))
    for tap in ("pooled", "pooled@linear"):
        rows, values, gaps = active_rows(store.activations(tap), 1)
        assert (len(rows), len(gaps)) == (12, 0)  # of 120
        x = store.activations("pooled").unit(1)
        assert sorted(rows) == sorted(np.argsort(-x)[:12])
        assert (values > 0).all()


def test_a_tap_of_numbers_alone_has_nothing_to_tell(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"t": np.eye(9)})
    with pytest.raises(NotEnoughData, match="neither texts, labels nor columns"):
        evidence(store, "t", 0)


# ---------------------------------------------------------------------- judging
def test_the_score_is_newcombes_and_its_chance_that_of_every_permutation():
    known = Detection(70, 80, 56, 48)  # Newcombe (1998), his first example: 0.2 (0.0524 to 0.3339)
    assert 2 * known.auroc - 1 == pytest.approx(0.2, abs=1e-12)
    assert [2 * v - 1 for v in known.interval] == pytest.approx([0.0524, 0.3339], abs=5e-5)
    for hits, alarms in itertools.product(range(5), range(4)):
        one = Detection(4, 3, hits, alarms)
        chance = one.by_chance()
        assert sum(p for _, p in chance) == pytest.approx(1, abs=1e-12)
        assert sum(v * p for v, p in chance) == pytest.approx(0.5, abs=1e-12)
        said = [True] * (hits + alarms) + [False] * (7 - hits - alarms)
        every = [0.5 * (1 + sum(s[:4]) / 4 - sum(s[4:]) / 3) for s in itertools.permutations(said)]
        assert one.p_value == pytest.approx(np.mean([v >= one.auroc - 1e-12 for v in every]), abs=1e-12)
        assert one.chance_high == pytest.approx(np.quantile(every, 0.95, method="inverted_cdf"), abs=1e-12)
    assert Detection(10, 10, 10, 0).beyond_chance
    assert not Detection(10, 10, 10, 10).beyond_chance  # a name that fits everything
    assert not Detection(10, 10, 0, 0).beyond_chance
    assert not Detection(10, 10, 0, 10).beyond_chance


def test_answers_are_read_as_text_and_nothing_else():
    for answer, name in (
        ('"opening quotes"', "opening quotes"), ("**Name:** `x` ", "x"), ("a\u202eb\x00\tc", "ab c"),
        ("<think>no</think> yes", "yes"), ("half thought</think>yes", "yes"), ("<img src=x>", "<img src=x>"),
        ("\n\n first\nsecond", "first"),
    ):  # fmt: skip
        assert prompts.read_name(answer) == name
    assert len(prompts.read_name("x" * 500)) == prompts.LONGEST_NAME
    for answer, numbers in (("[]", []), ("[2, 5]", [2, 5]), ("So: [1]\n[3,3, 2]", [2, 3]), ("4, 1", [1, 4])):
        assert prompts.read_numbers(answer, 20) == numbers
    for answer in ("", "none", "all of them", "1-5", "[21]", "[0]", "[-1]", "1 and 2"):
        with pytest.raises(LoupeError):
            prompts.read_numbers(answer, 20)


# ---------------------------------------------------------------------- the page and the command
def test_the_page_shows_whom_and_what_before_anything_is_sent(clean, server, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(clean.path))
    hostile = Proposal(3, "<b>x</b> [l](http://evil.example)", "tiny", "x", Detection(10, 10, 10, 0))
    Proposals(clean.path).keep("code", "h.0@words", clean.activations(TAP).digest, hostile)
    at = app_pages.open_page("features", tap=TAP, unit="3", model="true")
    assert app_pages.is_whole(at)
    said, shown = app_pages.texts(at), "\n".join(c.value for c in at.code)
    assert f"`{server.url}/chat/completions`" in said
    assert "2 requests" in said
    assert KEY not in said
    seen = preview(clean.store("code"), "h.0@words", 3)
    assert all(text in shown for _, text in (*seen.name, *seen.fit))
    assert "<b>" not in said.replace(shown, "")
    assert "&lt;b&gt;x" in said
    at = app_pages.open_page("features", tap=TAP, model="true", many="4")
    assert app_pages.is_whole(at)
    assert "up to 8 requests" in app_pages.texts(at)
    assert "4 features (0, 1, 2, 4)" in app_pages.texts(at)  # 3 has such a name
    assert app_pages.button(at, f"Send it for 4 features to {server.host}".replace(":", "\\:")) is not None
    assert server.seen == []


def test_the_command_names_and_shows(clean, server, capsys):
    server.answers = knows_while
    at = ["--workspace", str(clean.path)]
    assert main(["features", "name", TAP, str(WHILE), "--show", *at]) == 0
    out = capsys.readouterr().out
    assert server.seen == []
    assert f"{server.url}/chat/completions" in out
    assert "⟦while⟧" in out
    assert main(["features", "name", TAP, str(WHILE), "--json", *at]) == 0
    found = json.loads(capsys.readouterr().out)["names"][0]
    assert (found["name"], found["estimate"]["value"], found["estimate"]["null"]) == (
        "the word while",
        1.0,
        0.5,
    )
    assert main(["features", "name", TAP, str(WHILE), *at]) == 0
    assert "beyond it" in capsys.readouterr().out
