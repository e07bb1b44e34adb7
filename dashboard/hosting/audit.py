"""Who did what here: one JSON object a line, only ever appended.

    {"time": "2026-01-05T09:12:31.482Z", "who": "ada@example.org", "role": "editor", "what": "changed",
     "which": "write a note on unit 7", "workspace": "lab", "from": "192.0.2.7"}

`what` is one of WHAT. No text that people write, no token and no cookie is in it. A file that has grown to ROTATE bytes
is put aside under the time of that moment; the newest KEPT of those stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from analysis.store.durable import made_directory, write_all

WHAT = ("signed in", "signed out", "sign-in failed", "refused", "opened", "changed", "exported", "started")
FILE = "audit.jsonl"
ROTATE, KEPT, LONGEST = 8 << 20, 50, 400
BURST, PER = (
    20,
    60.0,
)  # lines of one kind from one address within so many seconds; what is left out is counted


class AuditLog:
    """The log in the directory `place` (made, for its owner only). Any thread or process may write."""

    def __init__(self, place: Path) -> None:
        self.place, self._lock = Path(place), threading.Lock()
        self._seen: dict[tuple[str, str], list] = {}

    def write(
        self,
        what: str,
        who: str = "",
        which: str = "",
        *,
        role: str = "",
        workspace: str = "",
        address: str = "",
    ) -> None:
        """Append one line. Raises OSError where it cannot be written: then nothing must be done either."""
        line = {"time": _now(), "who": who, "role": role, "what": what, "which": which, "workspace": workspace,
                "from": address}  # fmt: skip
        short = {k: v if len(v) <= LONGEST else v[:LONGEST] + "…" for k, v in line.items() if v}
        data = (
            json.dumps(short) + "\n"
        ).encode()  # ASCII: neither a line break nor a control sign comes through
        with self._lock:
            if not self.place.is_dir():
                made_directory(self.place)
                self.place.chmod(0o700)
            while True:
                fd = os.open(self.place / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX)
                    if not self._is_current(fd):
                        continue  # another process has put it aside meanwhile
                    if os.fstat(fd).st_size + len(data) > ROTATE and os.fstat(fd).st_size:
                        self._put_aside()
                        continue
                    write_all(fd, data)
                    return
                finally:
                    os.close(fd)

    def limited(self, what: str, which: str, address: str, who: str = "") -> None:
        """As `write`, for what strangers can cause: at most BURST lines of a kind from an address within PER seconds;
        the next line tells how many were left out."""
        now, key = time.monotonic(), (what, address)
        with self._lock:
            if len(self._seen) > 10_000:
                self._seen.clear()
            began, n = self._seen.get(key, [now, 0])
            left_out = 0
            if now - began > PER:
                left_out, began, n = max(0, n - BURST), now, 0
            self._seen[key] = [began, n + 1]
            if n >= BURST:
                return
        self.write(what, who, f"{which} (and {left_out} more before)" if left_out else which, address=address)

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.place / FILE))
        except FileNotFoundError:
            return False

    def _put_aside(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        os.rename(self.place / FILE, self.place / f"audit-{stamp}.jsonl")
        for old in sorted(self.place.glob("audit-*.jsonl"))[:-KEPT]:
            old.unlink(missing_ok=True)


def read(place: Path) -> Iterator[dict]:
    """Every line, oldest first; what is not JSON (a disk that was full) is passed over."""
    place = Path(place)
    for file in [*sorted(place.glob("audit-*.jsonl")), place / FILE]:
        if not file.exists():
            continue
        with open(file, encoding="utf-8", errors="replace") as f:
            for line in f:
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
