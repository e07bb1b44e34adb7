"""`loupe audit`: who did what on a host."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from analysis.errors import NotFound, ParameterError
from dashboard.commands.output import one_line
from dashboard.hosting import audit as log


def audit(given) -> int:
    """Print the lines that fit, oldest first; with --json as they are written."""
    place = _place(given)
    found = (line for line in log.read(place) if _fits(line, given))
    for line in deque(found, maxlen=given.last) if given.last else found:
        print(_as_json(line) if given.json else _as_text(line))
    return 0


def _place(given) -> Path:
    place = given.log or Path(os.environ.get("LOUPE_AUDIT") or "")
    if given.log is None and not os.environ.get("LOUPE_AUDIT"):
        if given.workspace is None:
            raise ParameterError(
                "no log is named", "--log DIR, --workspace DIR, or LOUPE_AUDIT in the environment"
            )
        place = given.workspace / "audit"
    if not place.is_dir():
        raise NotFound(f"there is no audit log in {place}", "the directory that the host's LOUPE_AUDIT names")
    return place


def _fits(line: dict, given) -> bool:
    said = {name: str(line.get(name, "")) for name in ("time", "who", "what", "which", "workspace")}
    return (
        given.who.lower() in said["who"].lower()
        and given.what in ("", said["what"])
        and given.place in ("", said["workspace"])
        and given.which in said["which"]
        and said["time"] >= given.since
    )


def _as_json(line: dict) -> str:
    import json

    return json.dumps(line)


def _as_text(line: dict) -> str:
    said = {name: one_line(str(value)) for name, value in line.items()}
    who = " ".join(
        part for part in (said.get("who", "-"), f"({said['role']})" if said.get("role") else "") if part
    )
    where = f" in {said['workspace']}" if said.get("workspace") else ""
    which = f": {said['which']}" if said.get("which") else ""
    source = f"  [{said['from']}]" if said.get("from") else ""
    return f"{said.get('time', '?')}  {who}  {said.get('what', '?')}{where}{which}{source}"
