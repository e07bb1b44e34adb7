"""One question to the configured model: stopped on request while it waits, paused where the server wants a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from analysis.errors import InputError
from analysis.naming import http_model, program_model
from analysis.naming.settings import Settings

LOOK = 0.2
MOST_PAUSE, PAUSES = 60.0, 3  # seconds; how often
NAME, FIT = "name", "fit"  # tasks


def ask(settings: Settings, messages: Sequence[dict], task: str, go_on: Callable[[], None]) -> str:
    """The answer's text, as it came.

    `go_on` is called several times a second and raises where nothing more is wanted: the answer is then dropped.
    Raises InputError in words.
    """
    if settings.command:
        return program_model.answer(settings, messages, task, go_on)
    for attempt in range(PAUSES + 1):
        try:
            return _in_time(settings, messages, go_on)
        except http_model.TooSoon as pause:
            if pause.seconds > MOST_PAUSE or attempt == PAUSES:
                raise
            _wait(pause.seconds, go_on)
    raise AssertionError("unreachable")


def _in_time(settings: Settings, messages, go_on) -> str:
    """A thread of its own waits for the server: one that sends a byte now and then keeps nobody longer than agreed."""
    found: list = []

    def run() -> None:
        try:
            found.append(http_model.answer(settings, messages))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True, name="language model")
    until = time.monotonic() + settings.timeout + 1.0
    thread.start()
    while True:
        thread.join(LOOK)
        if not thread.is_alive():
            break
        go_on()
        if time.monotonic() > until:
            raise InputError(
                f"{settings.host} did not finish its answer within {settings.timeout:g} s", "an answer",
                "Try again, or set LOUPE_NAMER_TIMEOUT to more seconds",
            )  # fmt: skip
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _wait(seconds: float, go_on) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        go_on()
        time.sleep(min(LOOK, left))
