"""The small files of the queue: replaced whole, so that any process may look at any time."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path


def read_json(path: Path) -> dict | None:
    """What the file says; None where it is not there, or not whole."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def write_json(path: Path, value: dict) -> None:
    """Replace the file. Raises OSError, and then leaves the old one and nothing beside it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        beside.write_text(json.dumps(value))
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def process_alive(pid, began: str | None = None) -> bool:
    """Whether a process is there and works (a zombie does not); with `began`, whether it is still the same one: after
    a restart the number may be another's."""
    try:
        os.kill(int(pid), 0)
        state, since = _stat(int(pid))
        return state != "Z" and began in (None, since)
    except FileNotFoundError:
        return not Path("/proc/self").exists()  # no /proc on this system: the signal was answered
    except (OSError, TypeError, ValueError, IndexError):
        return False


def began(pid: int) -> str | None:
    """When a process began, in the system's own count; None where that cannot be known."""
    try:
        return _stat(pid)[1]
    except (OSError, IndexError):
        return None


def _stat(pid: int) -> tuple[str, str]:
    with open(f"/proc/{pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return words[0], words[19]
