"""A small client of Firefox by WebDriver BiDi (W3C): what a test of plain pages needs, without a driver program."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
PREFS = {  # nothing is asked of the network
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "data:,",
}


class Firefox:
    """One window without a screen. Use as a context; `faults` are console errors and scripts' own."""

    def __init__(self, prefs: dict | None = None, patience: float = 120.0) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="firefox-"))
        lines = [
            f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in {**PREFS, **(prefs or {})}.items()
        ]
        (self._profile / "user.js").write_text("\n".join(lines))
        self._patience, self._numbers, self.faults = patience, itertools.count(1), []
        self._process = self._socket = None

    def __enter__(self) -> Firefox:
        from websockets.sync.client import connect

        command = [
            FIREFOX,
            "--headless",
            "--no-remote",
            "--profile",
            str(self._profile),
            "--remote-debugging-port",
            "0",
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "HOME": str(self._profile), "MOZ_HEADLESS_WIDTH": "1440", "MOZ_HEADLESS_HEIGHT": "900"},
        )  # fmt: skip
        self._socket = connect(
            f"{self._address()}/session", max_size=None, proxy=None, open_timeout=self._patience
        )
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded"])
        self.page = self.call("browsingContext.getTree")["contexts"][0]["context"]
        return self

    def _address(self) -> str:
        end = time.monotonic() + self._patience
        while time.monotonic() < end and self._process.poll() is None:
            if select.select([self._process.stderr], [], [], 1)[0]:
                found = re.search(r"ws://[\d.]+:\d+", self._process.stderr.readline())
                if found:
                    return found[0]
        raise RuntimeError("Firefox does not listen")

    def __exit__(self, *_) -> None:
        if self._socket is not None:
            self._socket.close()
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stderr.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **params):
        """One command of the protocol, and its answer. Raises RuntimeError for a refusal."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            heard = json.loads(self._socket.recv(timeout=self._patience))
            if heard.get("method") == "log.entryAdded" and heard["params"]["level"] == "error":
                self.faults.append(heard["params"]["text"])
            if heard.get("id") == number:
                if heard["type"] == "error":
                    raise RuntimeError(f"{method}: {heard['error']}: {heard['message']}")
                return heard["result"]

    def open(self, url: str) -> None:
        """Load a page anew."""
        self.call("browsingContext.navigate", context=self.page, url="about:blank", wait="complete")
        self.call("browsingContext.navigate", context=self.page, url=url, wait="complete")

    def size(self, width: int, height: int) -> None:
        """Of the page, in CSS pixels."""
        self.call(
            "browsingContext.setViewport", context=self.page, viewport={"width": width, "height": height}
        )

    def value(self, expression: str):
        """What a JavaScript expression gives in the page, as JSON knows it. Runs beside the page's policy."""
        found = self.call(
            "script.evaluate", expression=f"(async () => JSON.stringify(await ({expression})) ?? null)()",
            target={"context": self.page}, awaitPromise=True,
        )  # fmt: skip
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        text = found["result"].get("value")
        return None if text is None else json.loads(text)

    def until(self, expression: str):
        """Wait for an expression to be true, and give it."""
        end = time.monotonic() + self._patience
        while not (value := self.value(expression)):
            if time.monotonic() > end:
                raise RuntimeError(f"never: {expression}; {self.faults}")
            time.sleep(0.1)
        return value

    def keys(self, text: str) -> None:
        """Type into what has the focus."""
        steps = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keys", "actions": steps}]
        self.call("input.performActions", context=self.page, actions=actions)

    def click(self, x: float, y: float) -> None:
        """At a place in the page, in CSS pixels."""
        move = {"type": "pointerMove", "x": round(x), "y": round(y)}
        steps = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        actions = [{"type": "pointer", "id": "mouse", "actions": steps}]
        self.call("input.performActions", context=self.page, actions=actions)

    def picture(self, out: Path) -> None:
        """A PNG of what is in sight."""
        data = self.call("browsingContext.captureScreenshot", context=self.page)["data"]
        Path(out).write_bytes(base64.b64decode(data))
