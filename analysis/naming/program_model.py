"""One question to a program on this machine: JSON {"task", "model", "messages"} to its input, the answer on its output.

It is started from a list of arguments, without a shell.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from analysis.errors import InputError
from analysis.naming.settings import Settings

LOOK = 0.2  # seconds between two looks whether to go on
SHOWN = 200


def answer(settings: Settings, messages: Sequence[dict], task: str, go_on: Callable[[], None]) -> str:
    """What the program writes. `go_on` raises where it is to stop. Raises InputError in words."""
    name = os.path.basename(settings.command[0])
    try:
        program = subprocess.Popen(
            settings.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "") or "its arguments cannot be passed on"
        raise InputError(
            f"the program {name} cannot be started ({reason})", "a program", "Look at LOUPE_NAMER_COMMAND"
        ) from None
    asked = json.dumps({"task": task, "model": settings.model, "messages": list(messages)}).encode()
    try:
        out, said = _finished(program, asked, settings.timeout, go_on, name)
    finally:
        _ended(program)
    if program.returncode:
        why = " ".join(settings.without_key(said.decode("utf-8", "replace")).split())[-SHOWN:]
        raise InputError(
            f"the program {name} ended with {program.returncode}: {why or 'it said nothing'}", "0"
        )
    return out.decode("utf-8", "replace")


def _finished(program, asked: bytes, seconds: float, go_on, name: str) -> tuple[bytes, bytes]:
    until, given = time.monotonic() + seconds, asked
    while True:
        try:
            return program.communicate(given, timeout=LOOK)
        except subprocess.TimeoutExpired:
            given = None
        go_on()
        if time.monotonic() > until:
            raise InputError(
                f"the program {name} did not answer within {seconds:g} s", "an answer",
                "Set LOUPE_NAMER_TIMEOUT to more seconds",
            )  # fmt: skip


def _ended(program) -> None:
    """It and what it has started, as these are a group of their own."""
    if program.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    for pipe in (program.stdin, program.stdout, program.stderr):
        with contextlib.suppress(OSError):
            pipe.close()
