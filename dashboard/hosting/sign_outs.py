"""Sign-ins that were ended: a cookie that somebody copied before is worth nothing afterwards.

Kept in a file, so that a restart does not bring them back; each until the sign-in would have ended by itself.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from analysis.store.durable import made_directory, write_file

FILE = "signed_out.json"


class SignOuts:
    """Kept in the directory `place`. Any thread may ask."""

    def __init__(self, place: Path) -> None:
        self.file, self._lock = Path(place) / FILE, threading.Lock()
        self._ended: dict[str, float] = self._read()

    def has(self, key: str) -> bool:
        return key in self._ended

    def add(self, key: str, until: float) -> None:
        """End the sign-in `key`, which would have ended at `until`."""
        with self._lock:
            now = time.time()
            kept = {k: t for k, t in self._ended.items() if t > now}
            self._ended = {**kept, key: until}
            made_directory(self.file.parent)  # from here on it may fail, and is in force until a restart
            write_file(self.file, json.dumps(self._ended).encode())

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self.file.read_text())
            return {str(k): float(t) for k, t in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
