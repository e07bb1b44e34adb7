"""A dashboard that a notebook starts on its own machine, and a page of it in a frame."""

from __future__ import annotations

import atexit
import subprocess
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from analysis.errors import InputError, ParameterError
from dashboard import server as streamlit_server

PATIENCE = 120.0  # seconds until a busy machine has started it


def web_address(text: str) -> str:
    """An address without its last slash. Raises ParameterError for anything but http and https."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(f"server = {text!r}", "a web address, such as http://127.0.0.1:8501")
    return text.rstrip("/")


@dataclass(frozen=True)
class Frame:
    """A page inside the notebook. `src` is its address."""

    src: str
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.src)}" width="100%" height="{int(self.height)}" '
            'style="border:1px solid #d5dae1" title="Feature Loupe"></iframe>'
        )


class Server:
    """A dashboard on 127.0.0.1 that ends with this process."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process, self.address = process, f"http://{streamlit_server.HOST}:{port}"
        atexit.register(self.stop)

    @classmethod
    def start(cls, workspace: Path) -> Server:
        """On the first free port. Raises InputError where it does not answer."""
        port = streamlit_server.free_port()
        process = subprocess.Popen(
            streamlit_server.command(port), env=streamlit_server.environment(workspace),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        started, end = cls(process, port), time.monotonic() + PATIENCE
        while not started._answers():
            if process.poll() is not None or time.monotonic() > end:
                started.stop()
                raise InputError(
                    "the dashboard did not start", "a server on this machine", "Start `loupe` yourself"
                )
            time.sleep(0.1)
        return started

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """End it; done twice it is the same."""
        atexit.unregister(self.stop)
        if self.alive:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answers(self) -> bool:
        from urllib.error import URLError
        from urllib.request import ProxyHandler, build_opener

        try:  # no proxy: it is on this machine
            with build_opener(ProxyHandler({})).open(f"{self.address}/_stcore/health", timeout=2) as reply:
                return reply.status == 200
        except (URLError, OSError):
            return False
