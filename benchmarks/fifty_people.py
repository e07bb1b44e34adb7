"""Fifty people browse the sample workspace at once, a scripted minute each: map, cards, heat maps, a note.

    python benchmarks/fifty_people.py [--people 50] [--seconds 60] [--without]

Asked of two cores: no error; the 95th percentile of a click's server time 1 s or less, and 3 times better than the
same pages without the caches that sessions share (`--without` measures both); 20 MB or less for a session that idles.

A hosted server as `loupe serve --hosted` starts it, and fifty people who are signed in: clients that speak the
browser's protocol over its websocket (`browser_page.py`). A click is the message that a browser would send, and it is
over when the server says that the page is complete. Its server time runs from the moment when the message is in the server's socket to the
moment when the last message of the answer is in the client's: all waits for other people's clicks count. Beside it
stands what the client sees, which holds its own reading too: the clients run on the same two cores. One real browser
opens the map and a card in the middle of it, and says how long a person waits until they are drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from browser_page import Page
from loopback import CHROMIUM, FLAGS, free_port, stop, wait_for

ROOT = Path(__file__).parents[1]
LIMIT_S, TIMES_BETTER, LIMIT_MB = 1.0, 3.0, 20.0
TAPS = ("digits-resnet:resnet.encoder.stages.2", "digits-vit:vit.layers.2", "python-gpt-code:transformer.h.2")
EARLY = 2  # a run that gives way to the next one; the page is not complete yet
NOTE = "Keep the note"
COOKIE_SECRET = "for this benchmark only: fifty people are signed in with it"


@dataclass
class Person:
    """One open page: its address, what is on it, and what happened."""

    number: int
    port: int
    socket: object = None
    page: str = ""
    query: str = ""
    shown: Page = field(default_factory=Page)
    times: list[tuple[str, float]] = field(default_factory=list)  # as the client sees them
    sent: list[float] = field(default_factory=list)  # when each click was in the server's socket
    errors: list[str] = field(default_factory=list)

    async def open(self) -> None:
        from websockets.asyncio.client import connect

        at = f"127.0.0.1:{self.port}"
        cookies = signed_in(f"person{self.number}@example.org", f"http://{at}")
        self.socket = await connect(
            f"ws://{at}/_stcore/stream", subprotocols=["streamlit", cookies["_streamlit_xsrf"]], origin=f"http://{at}",
            max_size=None, compression=None, open_timeout=60, ping_interval=None,
            additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())},
            user_agent_header=str(self.number),
        )  # fmt: skip

    async def click(self, what: str, page: str | None = None, query: dict | None = None, **widgets) -> None:
        """Open an address or use widgets (by label: True for a button, a text for a field), until all is there."""
        from streamlit.proto.BackMsg_pb2 import BackMsg

        if missing := [label for label in widgets if self.shown.labelled(label) is None]:
            self.errors.append(f"{what}: there is no {', '.join(missing)}")
            return
        message = BackMsg()
        asked = message.rerun_script
        self.shown.asks(asked, widgets, elsewhere=page is not None)
        if page is not None:
            self.page, self.query = page, urlencode(query or {})
        asked.page_name, asked.query_string = self.page, self.query
        asked.context_info.url = f"http://127.0.0.1:{self.port}/{self.page}"
        asked.context_info.timezone = "UTC"
        started = time.perf_counter()
        self.sent.append(time.monotonic())
        await self.socket.send(message.SerializeToString())
        await self._complete(what)
        self.times.append((what, time.perf_counter() - started))

    async def _complete(self, what: str) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message = self.shown.whole(ForwardMsg.FromString(await self.socket.recv()))
            kind = message.WhichOneof("type")
            if kind == "delta":
                self.shown.drawn(message)
                self._seen(what, message.delta.new_element)
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "script_finished" and message.script_finished != EARLY:
                if message.script_finished == 1:
                    self.errors.append(f"{what}: the page could not be compiled")
                self.shown.complete()
                return

    def _seen(self, what: str, element) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.errors.append(f"{what}: {element.exception.type} {element.exception.message[:200]}")
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.errors.append(f"{what}: {element.alert.body[:200]}")


async def minute(person: Person, seconds: float) -> None:
    """What one person does: she looks a few seconds at each thing."""
    choice = random.Random(person.number)
    until = time.monotonic() + seconds

    async def look() -> bool:
        await asyncio.sleep(choice.uniform(1.5, 4.5))
        return time.monotonic() < until

    await asyncio.sleep(choice.uniform(0, 3))
    await person.open()
    await person.click("map", "", {})
    while await look():
        tap = choice.choice(TAPS)
        await person.click("map of another tap", "", {"tap": tap})
        if not await look():
            break
        await person.click("features", "features", {"tap": tap})
        if not await look():
            break
        await person.click("card", "features", {"tap": tap, "unit": choice.randrange(40)})
        for _ in range(3):
            if not await look():
                return
            await person.click("next card", Next=True)
        if not await look():
            break
        await person.click("note", **{"Note": f"person {person.number} was here", NOTE: True})
        if not await look():
            break
        await person.click("similarity", "compare", {})
        if not await look():
            break
        await person.click("heat map", "compare", {"view": "correlations", "tap": tap})


# ---------------------------------------------------------------------------- the server
def serve(port: int, workspace: str, shared: bool, notes: str) -> None:
    """The hosted server; without `shared`, every session makes for itself what caches would have kept. When each click
    was answered goes to the file `notes` at the end."""
    if not shared:
        without_caches()
    os.environ.update(
        LOUPE_PUBLIC_URL=f"http://127.0.0.1:{port}", LOUPE_PORT=str(port), LOUPE_WORKSPACES=f"lab={workspace}",
        LOUPE_OWNERS="owner@example.org", LOUPE_DEFAULT_ROLE="editor", LOUPE_ALLOWED_DOMAINS="example.org",
        LOUPE_OIDC_ISSUER="http://127.0.0.1:1", LOUPE_OIDC_CLIENT_ID="x", LOUPE_OIDC_CLIENT_SECRET="y" * 32,
        LOUPE_COOKIE_SECRET=COOKIE_SECRET, LOUPE_SESSIONS_EACH="200", LOUPE_REQUESTS_A_SECOND="1000",
        LOUPE_AUDIT=str(Path(notes).parent),
    )  # fmt: skip
    from dashboard.hosting import asgi, metrics

    whose: ContextVar[str] = ContextVar("whose", default="")
    page, click = metrics.Watched._page, metrics.Metrics.click
    answers = open(notes, "a", buffering=1)  # noqa: SIM115  until the process ends

    async def noted_page(self, scope, receive, send) -> None:
        whose.set(dict(scope["headers"]).get(b"user-agent", b"").decode())
        await page(self, scope, receive, send)

    def noted_click(self, name: str, seconds: float) -> None:
        answers.write(f"{whose.get()} {time.monotonic()}\n")
        click(self, name, seconds)

    metrics.Watched._page, metrics.Metrics.click = noted_page, noted_click
    asgi.main()


def signed_in(email: str, origin: str) -> dict[str, str]:
    """The cookies of somebody whom the provider knows; the server's secret is ours."""
    import json

    from streamlit.web.server.starlette import starlette_app_utils as cookies

    claims = {"provider": "default", "origin": origin, "is_logged_in": True, "iat": int(time.time()), "sub": email,
              "email": email, "email_verified": True, "nonce": email}  # fmt: skip
    user = cookies.create_signed_value(COOKIE_SECRET, "_streamlit_user", json.dumps(claims))
    return {"_streamlit_user": user.decode(), "_streamlit_xsrf": cookies.generate_xsrf_token_string()}


def without_caches() -> None:
    """Take away what one session has of another's work in this process: kept pictures, tables and figures, opened
    stores, results that were read. Files stay as they are."""
    import functools

    plain = {name: getattr(functools, name) for name in ("cache", "lru_cache")}

    def ours(function) -> bool:
        return function.__module__.startswith(("dashboard.", "analysis.workspace", "analysis.features.shelf"))

    def cache(function):
        if not ours(function) or function.__name__ == "_open_workspace":
            return plain["cache"](function)
        return _uncached(function)

    def lru_cache(maxsize=128, typed=False):
        if callable(maxsize):
            return cache(maxsize)
        return lambda function: (
            _uncached(function) if ours(function) else plain["lru_cache"](maxsize, typed)(function)
        )

    functools.cache, functools.lru_cache = cache, lru_cache
    from analysis import workspace
    from dashboard.browse import kept

    kept.Kept.get = lambda self, key, make: make()
    kept.Kept.__contains__ = lambda self, key: False
    opened = workspace.Workspace.store

    def store(self, name):
        self._opened.pop(name, None)
        return opened(self, name)

    workspace.Workspace.store = store


def _uncached(function):
    function.cache_clear = function.cache_info = lambda: None
    return function


# ---------------------------------------------------------------------------- measuring
def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say how much memory a process holds")


async def idle_sessions(port: int, pid: int, people: int) -> float:
    """Megabytes for each page that is open and does nothing, once what all share is there."""
    first = [Person(1000 + k, port) for k in range(3)]
    for person in first:  # what all share
        await person.open()
        await browse(person)
    await asyncio.sleep(8)  # what the server loads meanwhile
    before = resident_mb(pid)
    crowd = [Person(2000 + k, port) for k in range(people)]
    for person in crowd:
        await person.open()
        await browse(person)
    await asyncio.sleep(2)
    taken = (resident_mb(pid) - before) / people
    for person in (*first, *crowd):
        await person.socket.close()
    return taken


async def browse(person: Person) -> None:
    await person.click("map", "", {"tap": TAPS[0]})
    await person.click("card", "features", {"tap": TAPS[0], "unit": 3})
    await person.click("heat map", "compare", {"view": "correlations", "tap": TAPS[0]})
    await person.click("map", "", {"tap": TAPS[0]})


def browser_beside(port: int, found: dict) -> None:
    """One real browser in the crowd: seconds until the map's canvas, and until a card, are there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        origin = f"http://127.0.0.1:{port}"
        cookies = signed_in("browser@example.org", origin).items()
        page.context.add_cookies([{"name": name, "value": value, "url": origin} for name, value in cookies])
        for name, address, drawn in (
            ("seconds until the map in a browser", "", "canvas"),
            ("seconds until a card in a browser", "features?unit=3", "button:has-text('Next')"),
        ):
            started = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/{address}", timeout=120_000)
            page.wait_for_selector(drawn, timeout=120_000)
            found[name] = time.perf_counter() - started
        found["errors in the browser"] = page.locator("text=failed unexpectedly").count()
        browser.close()


async def crowd(port: int, people: int, seconds: float, beside: bool) -> tuple[list[Person], dict]:
    """All people at once, and a browser among them."""
    found: dict = {}
    everybody = [Person(k, port) for k in range(people)]

    async def one(person: Person) -> None:
        try:
            await minute(person, seconds)
            await person.socket.close()
        except Exception as error:
            person.errors.append(f"{type(error).__name__}: {error}"[:300])

    async def look() -> None:
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(browser_beside, port, found)

    await asyncio.gather(*(one(person) for person in everybody), *([look()] if beside else []))
    return everybody, found


def notes_kept(workspace: Path) -> int:
    """Cards with a note of one of the crowd; several may have written to one."""
    from analysis.workspace import Workspace

    people = Workspace.open(workspace).people
    found = [text for tap in TAPS for text in people.notes(*tap.split(":", 1)).values()]
    return sum("was here" in text for text in found)


def processor_seconds(pid: int) -> float:
    """What a process has used of the processors until now."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def measure(
    workspace: Path, people: int, seconds: float, shared: bool
) -> tuple[dict, dict, list[str], float, dict]:
    """({click: seconds in the server}, {click: seconds for the client}, errors, MB a session, what the browser saw) of
    a server of its own."""
    port = free_port()
    answers = workspace.parents[1] / f"answers-{port}"
    answers.touch()
    command = [
        sys.executable,
        __file__,
        "--serve",
        str(port),
        str(workspace),
        "shared" if shared else "alone",
        str(answers),
    ]
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LOUPE_")}
    log = open(answers.with_suffix(".log"), "w")  # noqa: SIM115
    server = subprocess.Popen(
        command,
        env={**clean, "PYTHONPATH": path},
        cwd=ROOT,
        start_new_session=True,
        stdout=log,
        stderr=log,
    )
    try:
        wait_for(port, server)
        idle = asyncio.run(idle_sessions(port, server.pid, people)) if shared else float("nan")
        used = processor_seconds(server.pid)
        everybody, seen = asyncio.run(crowd(port, people, seconds, shared))
        clicks = sum(len(person.times) for person in everybody)
        seen["notes that the workspace holds afterwards"] = notes_kept(workspace)
        seen["MB that the server holds then"] = resident_mb(server.pid)
        seen["processor seconds of the server for each click"] = (
            processor_seconds(server.pid) - used
        ) / clicks
    finally:
        stop(server)
    times = defaultdict(list)
    for person in everybody:
        for what, taken in person.times:
            times[what].append(taken)
    errors = [error for person in everybody for error in person.errors]
    return server_times(everybody, answers), times, errors, idle, seen


def server_times(everybody: list[Person], answers: Path) -> dict[str, list[float]]:
    """{click: seconds from the server's socket to the client's}: both processes read one clock."""
    ended = defaultdict(list)
    for line in answers.read_text().splitlines():
        whose, when = line.rsplit(" ", 1)
        ended[whose].append(float(when))
    found = defaultdict(list)
    for person in everybody:
        whole = ended[str(person.number)]
        if len(whole) < len(person.times):
            raise SystemExit(f"person {person.number}: {len(person.times)} clicks, {len(whole)} answers")
        for (what, _), began, end in zip(person.times, person.sent, whole, strict=False):
            found[what].append(end - began)
    return found


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(title: str, times: dict, errors: list[str]) -> float:
    """Print one table; returns the 95th percentile over all clicks."""
    print(f"\n{title}\n{'click':<22}{'clicks':>8}{'median s':>10}{'p95 s':>9}{'max s':>9}")
    every = [t for values in times.values() for t in values]
    for what, values in [*times.items(), ("all", every)]:
        print(
            f"{what:<22}{len(values):>8}{statistics.median(values):>10.3f}{percentile(values, 0.95):>9.3f}"
            f"{max(values):>9.3f}"
        )
    print(f"errors: {len(errors)}")
    for error in sorted(set(errors))[:10]:
        print(f"  {error}")
    return percentile(every, 0.95)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--without", action="store_true", help="also without the shared caches")
    parser.add_argument(
        "--serve", nargs=4, metavar=("PORT", "WORKSPACE", "SHARED", "NOTES"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.serve:
        serve(int(given.serve[0]), given.serve[1], given.serve[2] == "shared", given.serve[3])
        return
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_data", Path(folder) / "sample_data")  # notes are written
        workspace = Path(folder) / "sample_data" / "workspace"
        inside, times, errors, idle, seen = measure(workspace, given.people, given.seconds, True)
        p95 = report(f"{given.people} people, {given.seconds:.0f} s, in the server", inside, errors)
        client = report("the same as the clients see it", times, errors)
        print(
            f"\np95 of a click: {p95:.3f} s in the server, limit {LIMIT_S:.0f} s; {client:.3f} s for the client"
        )
        if any(what == "note" for what in times) and not seen["notes that the workspace holds afterwards"]:
            raise SystemExit("no note was kept: the clients do not do what people do")
        print(f"memory of an idle session: {idle:.1f} MB, limit {LIMIT_MB:.0f} MB")
        for name, value in seen.items():
            print(f"{name}: {value:.3f}")
        if given.without:
            inside, _, errors, _, seen = measure(workspace, given.people, given.seconds, False)
            alone = report("in the server without the shared caches", inside, errors)
            for name, value in seen.items():
                print(f"{name}: {value:.3f}")
            print(
                f"\np95 without: {alone:.3f} s, {alone / p95:.1f} times that with them, asked {TIMES_BETTER:.0f}"
            )


if __name__ == "__main__":
    main()
