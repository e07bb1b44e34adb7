"""A hosted dashboard and its provider as processes on free loopback ports, and a person who signs in by HTTP."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import httpx2 as httpx
from oidc_provider import CLIENT, SECRET

ROOT = Path(__file__).parents[1]
COOKIE_SECRET = "a cookie secret for tests only, of more than 32 characters"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def process(command: list[str], port: int, log: Path, env: dict) -> Iterator[subprocess.Popen]:
    """Runs until the end of the block; ended by its process id."""
    with log.open("w") as out:
        running = subprocess.Popen(command, env=env, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def answer(opened, seconds: float = 60) -> bytes:
    """All bytes that a page's socket brings until the server says that the page is complete. TimeoutError."""
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    got, early = b"", 2  # a run that gives way to the next one
    while True:
        data = opened.recv(timeout=seconds)
        got, message = got + data, ForwardMsg.FromString(data)
        if message.WhichOneof("type") == "script_finished" and message.script_finished != early:
            return got


class Site:
    """A provider and a host that trusts it. `url`, `provider`, `workspaces` (name to directory), `audit`."""

    def __init__(self, folder: Path, workspaces: dict[str, Path], base: str = "", **more: str) -> None:
        self.folder, self.workspaces = folder, workspaces
        self.port, self.provider_port = free_port(), free_port()
        self.url, self.provider = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.provider_port}"
        self.base, self.audit = base, folder / "audit"
        self.audit.mkdir(exist_ok=True)
        self.log = folder / "host.log"
        self.environment = {
            "LOUPE_PUBLIC_URL": self.url + base, "LOUPE_PORT": str(self.port), "LOUPE_OWNERS": "ada@example.org",
            "LOUPE_WORKSPACES": ",".join(f"{name}={path}" for name, path in workspaces.items()),
            "LOUPE_OIDC_ISSUER": self.provider, "LOUPE_OIDC_CLIENT_ID": CLIENT, "LOUPE_OIDC_CLIENT_SECRET": SECRET,
            "LOUPE_COOKIE_SECRET": COOKIE_SECRET, "LOUPE_ALLOWED_DOMAINS": "example.org",
            "LOUPE_AUDIT": str(self.audit), **more,
        }  # fmt: skip

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LOUPE_")}
        env = {**clean, "PYTHONPATH": str(ROOT)}
        provider = [sys.executable, str(ROOT / "tests" / "oidc_provider.py"), str(self.provider_port)]
        host = [sys.executable, "-m", "dashboard.cli", "serve", "--hosted"]
        with (
            process(provider, self.provider_port, self.folder / "provider.log", env),
            process(host, self.port, self.log, {**env, **self.environment}) as self.process,
        ):
            yield self

    def tell(self, **told) -> None:
        """What the provider's next tokens say."""
        assert httpx.post(f"{self.provider}/control", json=told).status_code == 200

    def visitor(self) -> httpx.Client:
        """A browser without scripts."""
        return httpx.Client(base_url=self.url, timeout=60, headers={"accept": "text/html"})

    def signed_in(self, name: str) -> httpx.Client:
        """As `visitor`, after the whole round through the provider, whatever came of it."""
        client = self.visitor()
        start = re.search(r'href="([^"]*auth/login[^"]*)"', client.get(f"{self.base}/").text)[1]
        there = client.get(unescape(start))
        back = client.get(there.headers["location"] + f"&as={name}")
        client.last = client.get(back.headers["location"])
        return client

    def lines(self) -> list[dict]:
        from dashboard.hosting import audit

        return list(audit.read(self.audit))
