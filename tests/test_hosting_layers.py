"""The layers of a host, each with what it is there against: bursts, long addresses, foreign hosts, cookies, secrets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import ParameterError
from analysis.jobs import queue, turns, worker
from analysis.workspace import Workspace
from dashboard.hosting import headers, logs
from dashboard.hosting import readiness as asking
from dashboard.hosting.doorman import REMEMBERED, Bounds, Doorman, hosts_of
from dashboard.hosting.endpoints import Endpoints
from dashboard.hosting.headers import Headers, safe_cookie
from dashboard.hosting.metrics import Metrics, Watched
from dashboard.hosting.readiness import Readiness
from dashboard.hosting.watching import read as watching

HOST = ((b"host", b"loupe.example.org"),)


async def plain(scope, receive, send) -> None:
    """An application that says where the request came from, and sets two cookies."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    while scope.get("read"):
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            break
    cookies = [
        (b"set-cookie", b"_streamlit_xsrf=1; Path=/; SameSite=Lax"),
        (b"Set-Cookie", b"own=2; HttpOnly"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": cookies})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


def ask(app, path: str = "/", *, client: str = "203.0.113.7", headers=HOST, kind: str = "http", **more):
    """(status, headers, body) of one request."""
    sent, more = [], {"method": "GET", "query_string": b"", **more}
    body = list(more.pop("body", [b""]))

    async def receive():
        if kind == "websocket":
            return {"type": "websocket.connect"}
        return {"type": "http.request", "body": body.pop(0) if body else b"", "more_body": bool(body)}

    async def send(message):
        sent.append(message)

    scope = {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "client": (client, 1),
        "headers": list(headers),
    }
    asyncio.run(app({**scope, **more}, receive, send))
    start = sent[0] if sent else {}
    return (
        start.get("status", start.get("code")),
        start.get("headers", []),
        b"".join(m.get("body", b"") for m in sent),
    )


# ---------------------------------------------------------------------------- headers
def test_every_answer_carries_the_headers():
    status, found, _ = ask(Headers(plain, secure=True))
    said = {name.decode(): value.decode() for name, value in found}
    assert status == 200
    assert said["x-content-type-options"] == "nosniff"
    assert said["x-frame-options"] == "DENY"
    assert said["referrer-policy"] == "same-origin"
    assert said["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "camera=()" in said["permissions-policy"]
    policy = dict(part.strip().partition(" ")[::2] for part in said["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "'unsafe-eval'" not in policy["script-src"]
    assert not re.search(r"https?:|\*", said["content-security-policy"])  # nothing from elsewhere
    assert "strict-transport-security" not in {
        name.decode() for name, _ in ask(Headers(plain, secure=False))[1]
    }


def test_the_scripts_of_streamlits_page_are_those_of_the_policy():
    """Fails when Streamlit's page changes in a way that this does not understand."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    inline = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert (
        len(inline) == page.count("<script") - page.count('src="./static/js') == len(headers.inline_hashes())
    )
    for script, allowed in zip(inline, headers.inline_hashes(), strict=True):
        assert allowed == f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
    assert "onload=" not in page


def test_a_page_with_a_tighter_policy_keeps_it():
    async def tight(scope, receive, send):
        await send(
            {
                "type": "http.response.start",
                "status": 401,
                "headers": [(b"Content-Security-Policy", b"tight")],
            }
        )
        await send({"type": "http.response.body"})

    found = [v for n, v in ask(Headers(tight, secure=False))[1] if n.lower() == b"content-security-policy"]
    assert found == [b"tight"]


@pytest.mark.parametrize(
    ("cookie", "secure", "expected"),
    [
        (b"a=1", False, b"a=1; SameSite=Lax; HttpOnly"),
        (b"a=1; path=/; SameSite=Strict; HttpOnly", True, b"a=1; path=/; SameSite=Strict; HttpOnly; Secure"),
        (
            b"_streamlit_xsrf=1; SameSite=Lax",
            True,
            b"_streamlit_xsrf=1; SameSite=Lax; Secure",
        ),  # scripts read it
        (b"a=1; secure; httponly; samesite=none", True, b"a=1; secure; httponly; samesite=none"),
    ],
)
def test_cookies_are_kept_from_scripts_other_sites_and_open_lines(cookie, secure, expected):
    assert safe_cookie(cookie, secure) == expected


# ---------------------------------------------------------------------------- the doorman
def doorman(**bounds) -> Doorman:
    now = [0.0]
    made = Doorman(
        plain, "https://loupe.example.org", Bounds(**bounds), ("10.0.0.0/8", "::1"), clock=lambda: now[0]
    )
    made.now = now
    return made


def test_an_address_of_a_million_characters_is_refused():
    assert ask(doorman(), query_string=b"x" * 1_000_000)[0] == 414
    assert ask(doorman(), "/" + "x" * 1_000_000)[0] == 414
    assert ask(doorman(), kind="websocket", query_string=b"x" * 1_000_000)[0] == 1008
    assert ask(doorman(), query_string=b"x" * 10_000)[0] == 200


def test_headers_and_bodies_are_bounded():
    assert ask(doorman(), headers=(*HOST, (b"cookie", b"x" * 70_000)))[0] == 431
    for length in (b"99999999999", b"-1", b"1e9", b"abc", b""):
        assert ask(doorman(), headers=(*HOST, (b"content-length", length)))[0] == 400
    assert ask(doorman(), headers=(*HOST, (b"content-length", b"100")))[0] == 200


def test_a_body_that_does_not_say_its_length_ends_at_the_bound():
    read = []

    async def counting(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            read.append(len(message["body"]))
            assert message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})

    made = Doorman(counting, "https://loupe.example.org", Bounds(body=1000))
    assert ask(made, body=[b"x" * 100] * 1000, method="POST")[0] == 200
    assert sum(read) == 1000


def test_ten_thousand_requests_at_once_are_refused_beyond_the_burst_and_forgiven_later():
    made = doorman(burst=100, each_second=10)
    found = [ask(made)[0] for _ in range(10_000)]
    assert found.count(200) == 100
    assert found.count(429) == 9900
    assert ask(made, client="203.0.113.8")[0] == 200  # somebody else
    made.now[0] += 1.0
    assert [ask(made)[0] for _ in range(11)] == [200] * 10 + [429]


def test_what_is_kept_about_visitors_is_bounded():
    made = doorman()
    for k in range(REMEMBERED + 500):
        made._may_still(f"198.51.{k // 250}.{k % 250}")
    assert len(made.buckets) == REMEMBERED


def test_another_host_than_the_public_one_is_refused():
    for wrong in (b"evil.example", b"loupe.example.org.evil.example", b"", b"loupe.example.org:8501"):
        assert ask(doorman(), headers=((b"host", wrong),))[0] == 421
    assert ask(doorman(), headers=())[0] == 421
    assert ask(doorman(), headers=(*HOST, *HOST))[0] == 421  # two of them: who is asked depends on who reads
    assert ask(doorman(), headers=((b"host", b"LOUPE.example.org:443"),))[0] == 200
    assert hosts_of("http://127.0.0.1:8501") == {"127.0.0.1:8501"}
    assert hosts_of("http://[::1]:8501") == {"[::1]:8501"}


def test_who_asks_is_believed_to_the_proxy_only():
    forged = (*HOST, (b"x-forwarded-for", b"192.0.2.1, 10.0.0.9"))
    assert ask(doorman(), client="203.0.113.7", headers=forged)[2] == b"203.0.113.7"  # no proxy: not believed
    assert ask(doorman(), client="10.0.0.5", headers=forged)[2] == b"192.0.2.1"
    lied = (*HOST, (b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"198.51.100.4"))
    assert ask(doorman(), client="10.0.0.5", headers=lied)[2] == b"198.51.100.4"  # the last hop saw it
    assert ask(doorman(), client="10.0.0.5")[2] == b"10.0.0.5"


def test_open_pages_are_bounded_in_all_and_for_each_and_given_back():
    made = doorman(sessions=3, sessions_each=2)

    async def crowd():
        waiting = asyncio.Event()
        refused = []

        async def receive():
            await waiting.wait()
            return {"type": "websocket.disconnect"}

        async def send(message):
            if message["type"] == "websocket.close":
                refused.append(message["code"])

        async def page(client):
            connect = iter([{"type": "websocket.connect"}])

            async def first():
                return next(connect, None) or await receive()

            scope = {"type": "websocket", "path": "/", "client": (client, 1), "headers": list(HOST)}
            await made(scope, first, send)

        open_pages = [asyncio.ensure_future(page(c)) for c in ("a", "a", "a", "b", "b")]
        await asyncio.sleep(0.05)
        assert refused == [1013, 1013]  # the third of a, and b's second: three are open
        assert made.open == {"a": 2, "b": 1}
        waiting.set()
        await asyncio.gather(*open_pages)

    asyncio.run(crowd())
    assert made.open == {}


def test_requests_that_are_being_answered_are_bounded_and_given_back():
    async def broken(scope, receive, send):
        raise RuntimeError("a fault")

    made = Doorman(broken, "https://loupe.example.org", Bounds(at_once=2))
    for _ in range(5):
        with pytest.raises(RuntimeError):
            ask(made)
    assert made.answering == 0
    made.answering = 2
    status, found, _ = ask(made)
    assert status == 503
    assert (b"retry-after", b"5") in found


# ---------------------------------------------------------------------------- endpoints
@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "w").path


def endpoints(path, token: str = "") -> Endpoints:
    return Endpoints(plain, Readiness([("lab", path)]), lambda: ("text/plain", b"loupe_x 1"), token)


def test_health_and_readiness(workspace):
    app = endpoints(workspace)
    assert ask(app, "/healthz", headers=()) == ask(app, "/healthz", headers=())
    assert ask(app, "/healthz")[0] == 200
    assert ask(app, "/readyz")[2] == b'{"ready": true}'
    app.readiness.stopping = True
    assert ask(app, "/healthz")[0] == 200
    status, _, body = ask(app, "/readyz", client="127.0.0.1", headers=())
    assert status == 503
    assert json.loads(body) == {"ready": False, "wrong": {"stopping": "the server was told to stop"}}
    assert ask(app, "/readyz")[2] == b'{"ready": false}'  # a stranger learns no more
    assert ask(app, "/readyz", method="POST")[0] == 405


def test_not_ready_without_the_workspace_the_database_the_disk_or_memory(workspace, monkeypatch):
    assert Readiness([("lab", workspace)]).wrong() == {}
    with monkeypatch.context() as patch:
        full = asking.shutil.disk_usage(workspace)._replace(free=1 << 20)
        patch.setattr(asking.shutil, "disk_usage", lambda _: full)
        assert Readiness([("lab", workspace)]).wrong() == {"disk (lab)": "1.0 MiB left"}
    with monkeypatch.context() as patch:
        patch.setattr(asking.memory, "free_bytes", lambda: 1 << 20)
        assert Readiness([("lab", workspace)]).wrong() == {"workers (lab)": "1.0 MiB of memory left"}
    people = workspace / "people.db"
    people.write_bytes(b"this is no database" * 100)
    assert list(Readiness([("lab", workspace)]).wrong()) == ["database (lab)"]
    people.unlink()
    (workspace / "workspace.json").unlink()
    assert "workspace (lab)" in Readiness([("lab", workspace)]).wrong()


def test_the_database_is_asked_before_anybody_wrote(workspace, monkeypatch):
    """A workspace that the database does not know yet reads nothing from it."""
    monkeypatch.setenv("LOUPE_DATABASE_URL", "postgresql://ada:secret@127.0.0.1:1/nothing")
    said = Readiness([("lab", workspace)]).wrong()
    assert "does not answer" in said["database (lab)"]
    assert "secret" not in said["database (lab)"]


def test_a_thousand_questions_a_second_ask_the_disk_once(workspace, monkeypatch):
    asked = []
    monkeypatch.setitem(asking.QUESTIONS, "disk", lambda path: asked.append(path) or "")
    ready = Readiness([("lab", workspace)])
    for _ in range(1000):
        ready.wrong()
    assert len(asked) <= 3


def test_metrics_are_for_this_machine_or_for_whoever_has_the_token(workspace):
    app = endpoints(workspace)
    assert ask(app, "/metrics", client="127.0.0.1", headers=())[0] == 200
    assert ask(app, "/metrics")[0] == 404
    through_a_proxy = (*HOST, (b"x-forwarded-for", b"127.0.0.1"))
    assert ask(app, "/metrics", client="127.0.0.1", headers=through_a_proxy)[0] == 404
    app = endpoints(workspace, "a token of some length")
    assert ask(app, "/metrics", client="127.0.0.1")[0] == 404
    for wrong in (
        b"Bearer",
        b"Bearer a token of some lengt",
        b"Basic a token of some length",
        "Bearer é".encode(),
    ):
        assert ask(app, "/metrics", headers=((b"authorization", wrong),))[0] == 404
    assert ask(app, "/metrics", headers=((b"authorization", b"Bearer a token of some length"),))[0] == 200


# ---------------------------------------------------------------------------- metrics
def value(metrics: Metrics, name: str, **labels) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_requests_pages_and_runs_are_counted(workspace):
    metrics = Metrics([("lab", workspace)], ["map", "tokens"])
    app = Watched(plain, metrics, "team/loupe")
    for path in (
        "/team/loupe/",
        "/team/loupe/tokens",
        "/team/loupe/anna@example.org",
        "/team/loupe/static/x.js",
    ):
        ask(app, path)
    assert value(metrics, "loupe_requests_total", route="page", status="2xx") == 2
    assert value(metrics, "loupe_requests_total", route="other", status="2xx") == 1
    assert value(metrics, "loupe_requests_total", route="static", status="2xx") == 1
    ask(app, kind="websocket")
    assert value(metrics, "loupe_sessions_opened_total") == 1
    assert value(metrics, "loupe_sessions") == 0
    with pytest.raises(KeyError), metrics.page("map"):
        raise KeyError
    with metrics.page("anna"):
        pass
    assert value(metrics, "loupe_rerun_seconds_count", page="map") == 1
    assert value(metrics, "loupe_rerun_seconds_count", page="other") == 1
    text = metrics.exposition()[1].decode()
    assert "anna" not in text


def test_jobs_are_counted_by_state_and_kind(workspace, monkeypatch):
    from analysis.access import Person, acting_as

    metrics = Metrics([("lab", workspace)], [])
    for name in ("Anna", "Ben", "Ben"):
        with acting_as(Person(name, "editor", name)):
            queue.submit(workspace, "check", {"method": "pca"}, start=False)
    assert value(metrics, "loupe_jobs", workspace="lab", kind="check", state="queued") == 3
    assert value(metrics, "loupe_queue_length", workspace="lab") == 3
    assert value(metrics, "loupe_queue_people", workspace="lab") == 2
    taken = worker.take(workspace, "methods", set())
    assert value(metrics, "loupe_jobs", workspace="lab", kind="check", state="running") == 1
    assert value(metrics, "loupe_queue_length", workspace="lab") == 2
    queue.write_json(workspace / "jobs" / taken / "outcome.json", {"state": "done", "seconds": 2.5})
    turns.note_now(workspace / "jobs", "methods")
    for _ in range(2):  # counted once
        assert value(metrics, "loupe_jobs_ended_total", workspace="lab", kind="check", state="done") == 1
        assert value(metrics, "loupe_job_seconds_total", workspace="lab", kind="check") == 2.5
    assert value(metrics, "loupe_jobs", workspace="lab", kind="check", state="running") is None


def test_cache_memory_and_disk_are_told(workspace):
    from analysis.store import cache

    metrics = Metrics([("lab", workspace)], [])
    before = value(metrics, "loupe_cache_requests_total", answer="miss")
    cache.ResultCache(workspace / "cache").get("nothing")
    assert value(metrics, "loupe_cache_requests_total", answer="miss") == before + 1
    assert value(metrics, "loupe_memory_bytes", of="server") > 1 << 20
    assert value(metrics, "loupe_memory_free_bytes") > 0
    assert value(metrics, "loupe_workspace_bytes", workspace="lab", part="cache") == 0


def test_errors_of_the_log_and_of_databases_are_counted(workspace):
    import sqlalchemy

    metrics = Metrics([("lab", workspace)], [])
    metrics.count_errors()
    try:
        logging.getLogger("loupe.dashboard").error("error 12345678")
        logging.getLogger("loupe.dashboard").warning("no error")
        assert value(metrics, "loupe_errors_total", logger="loupe") == 1
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect() as connection, pytest.raises(sqlalchemy.exc.OperationalError):
            connection.execute(sqlalchemy.text("SELECT * FROM nothing"))
        assert value(metrics, "loupe_database_errors_total") == 1
    finally:
        root = logging.getLogger()
        root.handlers[:] = [h for h in root.handlers if type(h).__name__ != "_Counting"]


# ---------------------------------------------------------------------------- log lines
SECRET = "a secret of the client that nobody may read"


def line(message: str, *args, lines=None, **record) -> dict:
    made = logging.LogRecord("loupe.x", logging.ERROR, __file__, 1, message, args, record.get("exc_info"))
    return json.loads((lines or logs.Lines([SECRET])).format(made))


def test_a_line_says_when_what_where_and_whose():
    with logs.about(page="map", person=logs.pseudonym("anna@example.org", "key")):
        found = line("error 0a1b2c3d in %s", "a part")
    assert found["level"] == "ERROR"
    assert found["error"] == "0a1b2c3d"
    assert found["page"] == "map"
    assert found["time"].endswith("+00:00")
    assert re.fullmatch("[0-9a-f]{12}", found["person"])
    assert "page" not in line("later")


def test_a_pseudonym_is_the_same_for_one_key_and_another_for_another():
    assert logs.pseudonym("anna", "k") == logs.pseudonym("anna", "k") != logs.pseudonym("anna", "l")
    assert logs.pseudonym("anna", "k") != logs.pseudonym("ben", "k")
    assert logs.pseudonym("", "k") == ""


@pytest.mark.parametrize(
    "text",
    [
        f"the secret is {SECRET}",
        "postgresql://loupe:hunter2hunter2@db/loupe",
        "Authorization: Bearer abcdefgh.ijklmnop",
        "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "GET /oauth2callback?code=4/0AX4XfWhunter2&state=xyzhunter2",
    ],
)
def test_no_secret_reaches_a_line(text):
    found = json.dumps(line(text))
    assert logs.CUT in found
    for hidden in (SECRET, "hunter2", "abcdefgh", "eyJhbG"):
        assert hidden not in found


def test_a_traceback_is_in_the_line_without_secrets_and_on_one_line():
    try:
        raise ValueError(f"with {SECRET}\nand a second line")
    except ValueError:
        made = logging.LogRecord("loupe", logging.ERROR, __file__, 1, "error 12345678", (), sys.exc_info())
    text = logs.Lines([SECRET]).format(made)
    assert "\n" not in text
    found = json.loads(text)
    assert "Traceback" in found["traceback"]
    assert SECRET not in text


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_whatever_is_logged_is_one_line_of_json(text):
    found = logs.Lines([SECRET]).format(logging.LogRecord("x", logging.INFO, "", 1, "%s", (text,), None))
    assert "\n" not in found
    assert "\r" not in found
    assert isinstance(json.loads(found)["message"], str)


# ---------------------------------------------------------------------------- what the environment says
def test_bounds_and_tokens_come_from_the_environment():
    env = {"LOUPE_METRICS_TOKEN": "0123456789abcdef", "LOUPE_PROXIES": "10.0.0.0/8, ::1", "LOUPE_SESSIONS": "7",
           "LOUPE_REQUESTS_A_SECOND": "5", "LOUPE_STOP_NOTICE": "2"}  # fmt: skip
    found = watching(env, uploads_mb=100)
    assert found.token == "0123456789abcdef"
    assert "LOUPE_METRICS_TOKEN" not in env  # no worker inherits it
    assert found.proxies == ("10.0.0.0/8", "::1")
    assert (found.bounds.sessions, found.bounds.burst, found.bounds.body) == (7, 50, 101 << 20)
    assert found.notice == 2.0
    assert watching({}).bounds == Bounds()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("LOUPE_PROXIES", "everybody"), ("LOUPE_SESSIONS", "0"), ("LOUPE_METRICS_TOKEN", "short"),
     ("LOUPE_REQUESTS_A_SECOND", "-1"), ("LOUPE_STOP_NOTICE", "soon")],
)  # fmt: skip
def test_what_the_environment_says_wrongly_is_refused_by_its_name(name, wrong):
    with pytest.raises(ParameterError, match=name):
        watching({name: wrong})


def test_streamlits_application_takes_what_a_host_gives_it(workspace):
    """The public interface that all of this stands on: `st.App(script, middleware=, lifespan=, on_script_error=)`."""
    import inspect

    import streamlit

    wanted = {"script_path", "middleware", "lifespan", "on_script_error"}
    assert wanted <= set(inspect.signature(streamlit.App).parameters)
    assert "config" in inspect.signature(streamlit.App.run).parameters
