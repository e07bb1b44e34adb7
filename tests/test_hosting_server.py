"""A whole host as a process: what an attack, a stop and a kill do to it. Nothing of it is imitated."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from hosts import COOKIE_SECRET, Site
from job_processes import until
from oidc_provider import SECRET

from analysis.compute import memory
from analysis.jobs import queue, turns
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

LONG = {"method": "umap", "inputs": ["big:layer"], "params": {"epochs": 2000}}  # half a minute and more
TOKEN = "a token for the metrics"


def made_workspace(path: Path) -> Path:
    made = Workspace.create(path)
    rng = np.random.default_rng(0)
    write_store(
        made.path / "stores" / "big", name="big", taps={"layer": rng.normal(size=(6000, 64)).astype("f4")}
    )
    return made.path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    site = Site(
        folder, {"lab": made_workspace(folder / "lab")}, LOUPE_METRICS_TOKEN=TOKEN, LOUPE_SESSIONS_EACH="20"
    )
    with site.running():
        settled(site)
        yield site


def settled(site: Site) -> None:
    """Until the server answers and has loaded what it loads meanwhile."""
    until(lambda: answers(site))
    sizes = []
    while len(sizes) < 4 or max(sizes[-4:]) - min(sizes[-4:]) > 1 << 20:
        sizes.append(memory.resident_bytes(site.process.pid))
        time.sleep(1)


def answers(site: Site) -> bool:
    try:
        return httpx.get(f"{site.url}/readyz").status_code == 200
    except httpx.TransportError:  # bound, not yet listening
        return False


def metric(site: Site, name: str) -> float:
    """One sample of /metrics, summed over its labels."""
    text = httpx.get(f"{site.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
    return sum(
        float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line)
    )


def sent(site: Site, data: bytes) -> bytes:
    """What the server answers to these bytes; b"" where it hung up without a word."""
    answer = b""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as line:
        try:
            line.sendall(data)
            while piece := line.recv(65536):
                answer += piece
        except (ConnectionError, TimeoutError):
            pass
    return answer


# ---------------------------------------------------------------------------- attacks
def test_a_million_characters_and_other_nonsense_are_answered_and_the_server_lives(site):
    host = f"Host: 127.0.0.1:{site.port}\r\nConnection: close\r\n"
    before = memory.resident_bytes(site.process.pid)
    for _ in range(20):
        answer = sent(site, b"GET /?q=" + b"x" * 1_000_000 + f" HTTP/1.1\r\n{host}\r\n".encode())
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 414")), answer[:100]
    assert sent(site, b"GET /?q=" + b"x" * 30_000 + f" HTTP/1.1\r\n{host}\r\n".encode()).startswith(
        b"HTTP/1.1 414"
    )
    assert sent(site, b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").startswith(
        b"HTTP/1.1 421"
    )
    for nonsense in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\0" * 1000, b"GET / HTTP/9.9\r\n\r\n"):
        assert b"Traceback" not in sent(site, nonsense)
    many = "".join(f"X-{k}: {'y' * 100}\r\n" for k in range(2000))
    assert not sent(site, f"GET / HTTP/1.1\r\n{host}{many}\r\n".encode()).startswith(b"HTTP/1.1 200")
    assert httpx.get(f"{site.url}/healthz").text == "ok\n"
    assert memory.resident_bytes(site.process.pid) - before < 40 << 20


def test_ten_thousand_requests_in_a_burst(site):
    """As quickly as one machine can: each is answered, most with 429, memory stays, and others are served next."""

    async def one(count: int) -> Counter:
        found = Counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for _ in range(count):
            writer.write(
                f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nAccept: text/html\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if "chunked" in head.lower():
                while (size := int(await reader.readline(), 16)) > 0:
                    await reader.readexactly(size + 2)
                await reader.readline()
            else:
                await reader.readexactly(int(re.search(r"(?i)content-length: (\d+)", head)[1]))
            found[int(head.split()[1])] += 1
        writer.close()
        return found

    async def burst() -> Counter:
        return sum(await asyncio.gather(*(one(500) for _ in range(20))), Counter())

    before = memory.resident_bytes(site.process.pid)
    found = asyncio.run(burst())
    assert sum(found.values()) == 10_000
    assert set(found) == {401, 429}
    assert found[429] > 5000
    assert httpx.get(f"{site.url}/healthz").status_code == 200
    assert httpx.get(f"{site.url}/readyz").status_code == 200
    assert memory.resident_bytes(site.process.pid) - before < 60 << 20
    until(lambda: site.visitor().get("/").status_code == 401)  # the bucket fills again


def test_no_endpoint_tells_a_stranger_anything(site):
    assert httpx.get(f"{site.url}/metrics").status_code == 404
    wrong = {"authorization": "Bearer wrong"}
    assert httpx.get(f"{site.url}/metrics", headers=wrong).status_code == 404
    through_a_proxy = {"x-forwarded-for": "203.0.113.7"}
    assert httpx.get(f"{site.url}/readyz", headers=through_a_proxy).json() == {"ready": True}
    text = httpx.get(f"{site.url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
    for hidden in ("example.org", "Ada", str(site.folder), SECRET, COOKIE_SECRET):
        assert hidden not in text


def test_pages_and_cookies_of_somebody_signed_in_carry_the_headers(site):
    until(lambda: site.visitor().get("/").status_code == 401)
    ada = site.signed_in("ada")
    answer = ada.get("/")
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    cookies = [v.lower() for v in ada.last.headers.get_list("set-cookie")]
    assert cookies
    for cookie in cookies:
        assert "httponly" in cookie, cookie
        assert "samesite" in cookie, cookie


# ---------------------------------------------------------------------------- logs
def test_the_log_is_json_without_secrets(site):
    site.signed_in("eve")  # not let in
    lines = [
        line for line in site.log.read_text().splitlines() if line and not line.startswith("Feature Loupe on")
    ]
    assert lines
    for line in lines:
        assert {"time", "level", "logger", "message"} <= set(json.loads(line)), line
    text = site.log.read_text()
    for hidden in (SECRET, COOKIE_SECRET, TOKEN):
        assert hidden not in text


# ---------------------------------------------------------------------------- stops
def long_job(path: Path) -> str:
    """Begun by the host's own environment's worker; returns when it runs."""
    id = queue.submit(path, "method", LONG, title="a long map")
    until(lambda: queue.status(path, id).state == "running", 120)
    return id


def exit_code(site: Site) -> int:
    return site.process.wait(60)


def test_a_stop_says_no_first_parks_what_runs_and_ends_with_zero(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_STOP_SECONDS", "0")
    path = made_workspace(tmp_path / "lab")
    site = Site(tmp_path, {"lab": path}, LOUPE_STOP_SECONDS="0", LOUPE_STOP_NOTICE="1.5")
    with site.running():
        until(lambda: answers(site))
        id = long_job(path)
        waits = queue.submit(path, "check", {"method": "pca"}, start=False)
        assert httpx.get(f"{site.url}/readyz").status_code == 200
        site.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{site.url}/readyz").status_code == 503)
        assert httpx.get(f"{site.url}/healthz").status_code == 200  # alive meanwhile
        assert exit_code(site) == 0
    assert queue.status(path, id).state == "queued", queue.status(path, id)
    assert queue.status(path, waits).state == "queued"
    assert not turns.at_work(path / "jobs")
    with site.running():  # nobody asks for it: what waited goes on
        until(lambda: answers(site))
        until(lambda: queue.status(path, id).state == "running", 120)
        queue.cancel(path, id)
        until(lambda: queue.status(path, waits).state == "done", 120)
        assert queue.status(path, id).state == "cancelled"
        site.process.send_signal(signal.SIGTERM)
        assert exit_code(site) == 0


def test_a_job_that_can_finish_finishes_before_the_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_STOP_SECONDS", "100")
    path = made_workspace(tmp_path / "lab")
    site = Site(tmp_path, {"lab": path}, LOUPE_STOP_SECONDS="100")
    with site.running():
        until(lambda: answers(site))
        short = {**LONG, "params": {"epochs": 50}}
        id = queue.submit(path, "method", short)
        until(lambda: queue.status(path, id).state == "running", 120)
        site.process.send_signal(signal.SIGTERM)
        assert site.process.wait(120) == 0
    assert queue.status(path, id).state == "done"
    assert Workspace.open(path).cached("umap", short["inputs"], short["params"]) is not None


WRITER = """
import sys, itertools
from analysis.workspace import Workspace
people = Workspace.open(sys.argv[1]).people
for k in itertools.count():
    people.note("big", "layer", k % 64, f"note {k} " + "x" * 2000)
    print(k, flush=True)
"""


def test_a_kill_in_the_middle_of_jobs_and_notes_loses_nothing_that_was_kept(tmp_path):
    """SIGKILL to the server, its worker and somebody who writes notes, several times at odd moments."""
    path = made_workspace(tmp_path / "lab")
    site = Site(tmp_path, {"lab": path})
    writer_env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    kept = -1
    for round in range(2):
        with site.running():
            until(lambda: answers(site))
            id = long_job(path)
            waits = queue.submit(path, "check", {"method": "no such method"}, start=False)
            writer = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path)], env=writer_env, stdout=subprocess.PIPE, text=True
            )
            for _ in range(20 + 7 * round):
                kept = int(writer.stdout.readline())
            for pid in (site.process.pid, turns.worker(path / "jobs", "methods")["pid"], writer.pid):
                os.kill(pid, signal.SIGKILL)
            rest = writer.stdout.read().split()
            kept = int(rest[-1]) if rest else kept
            writer.wait(10)
            assert site.process.wait(10) == -signal.SIGKILL
        until(lambda id=id: queue.status(path, id).state == "interrupted")
        assert queue.status(path, waits).state == "queued"
        notes = Workspace.open(path).people.notes("big", "layer")
        for k in range(
            max(0, kept - 63), kept + 1
        ):  # every one that was said to be kept, or a later one there
            number = int(notes[k % 64].split()[1])
            assert number >= k
            assert notes[k % 64] == f"note {number} " + "x" * 2000
        for file in path.glob("people*.db"):
            with closing(sqlite3.connect(file)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        queue.cancel(path, waits)
    with site.running():
        until(lambda: answers(site))
        again = queue.again(path, id)
        until(lambda: queue.status(path, again).state == "running", 120)
        queue.cancel(path, again)
        until(lambda: queue.status(path, again).state == "cancelled", 120)


def open_page(site: Site, person: httpx.Client):
    """Her browser's websocket, with the first page asked for."""
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from websockets.sync.client import connect

    cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    at = site.url.removeprefix("http://")
    page = connect(
        f"ws://{at}/_stcore/stream", subprotocols=["streamlit"], origin=site.url, max_size=None,
        additional_headers={"Cookie": cookies},
    )  # fmt: skip
    message = BackMsg()
    message.rerun_script.page_name = ""
    page.send(message.SerializeToString())
    page.recv(timeout=60)
    return page


def read_to_the_end(page) -> None:
    while True:
        page.recv(timeout=30)


def test_open_pages_are_closed_by_a_stop_and_keep_nobody_waiting(tmp_path):
    from websockets.exceptions import ConnectionClosed

    site = Site(tmp_path, {"lab": made_workspace(tmp_path / "lab")}, LOUPE_METRICS_TOKEN=TOKEN)
    with site.running():
        until(lambda: answers(site))
        pages = [open_page(site, site.signed_in("ada")) for _ in range(3)]
        assert metric(site, "loupe_sessions") == 3
        pages[0].close()
        until(lambda: metric(site, "loupe_sessions") == 2)
        assert metric(site, "loupe_clicks_total") == 3
        until(lambda: metric(site, "loupe_rerun_seconds_count") >= 1)
        site.process.send_signal(signal.SIGTERM)
        assert exit_code(site) == 0
        for page in pages[1:]:
            with pytest.raises(ConnectionClosed):
                read_to_the_end(page)
    assert "closing pages" in site.log.read_text()
    assert "pages did not close in time" not in site.log.read_text()


def test_an_empty_directory_becomes_a_workspace_before_anybody_is_sent_there(tmp_path):
    """A proxy that waits for /readyz would wait for ever for the first visitor to make it."""
    (tmp_path / "empty").mkdir()
    site = Site(tmp_path, {"lab": tmp_path / "empty"})
    with site.running():
        until(lambda: answers(site))
    assert (tmp_path / "empty" / "workspace.json").exists()


def test_a_second_signal_ends_at_once(tmp_path):
    path = made_workspace(tmp_path / "lab")
    site = Site(tmp_path, {"lab": path}, LOUPE_STOP_NOTICE="300")
    with site.running():
        until(lambda: answers(site))
        site.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{site.url}/readyz").status_code == 503)
        began = time.monotonic()
        site.process.send_signal(signal.SIGTERM)
        assert exit_code(site) == 1
        assert time.monotonic() - began < 60
