"""How long runs of networks took on this machine, so that the next one is estimated from them.

What one pass takes depends on the network, which a method's own estimate does not know. Kept are passes and seconds of
the last runs by machine, tap and method; an estimate is

    seconds = a + b passes ,    a: the shortest run on this tap (what opening takes, at most), b: seconds beyond it

where b is the median over the runs of this method, else over those of others on the same tap.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
from pathlib import Path
from statistics import median

KEPT, FEWEST, MOST_BYTES = 5, 2, 4 << 20  # runs of a method; other methods that tell something; of the file


class Timings:
    """A small file of what runs took. A damaged one counts as empty; of two writers at once one may be lost."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def add(self, tap: str, method: str, passes: int, seconds: float) -> None:
        """Keep one run. A folder that cannot be written to is left as it is."""
        if passes <= 0 or not 0 <= seconds < float("inf"):
            return
        known = self._read()
        runs = known.setdefault(_machine(), {}).setdefault(tap, {}).setdefault(method, [])
        runs[:] = [*runs, [int(passes), float(seconds)]][-KEPT:]
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(known))
            os.replace(beside, self.path)
        except OSError:
            beside.unlink(missing_ok=True)

    def seconds(self, tap: str, method: str, passes: int) -> float | None:
        """What a run of so many passes will take; None where too little is known."""
        here = self._read().get(_machine(), {}).get(tap, {})
        runs = {name: [r for r in found if r[0] > 0] for name, found in here.items()}
        runs = {name: found for name, found in runs.items() if found}
        if passes <= 0 or not runs or (method not in runs and len(runs) < FEWEST):
            return None
        least = min(took for found in runs.values() for _, took in found)
        each = {
            name: median(max(took - least, took / 2) / count for count, took in found)
            for name, found in runs.items()
        }
        return least + passes * (each[method] if method in each else median(each.values()))

    def _read(self) -> dict:
        try:
            if self.path.stat().st_size > MOST_BYTES:
                return {}
            known = json.loads(self.path.read_text())
            return {
                machine: {
                    tap: {method: [[int(p), float(s)] for p, s in runs] for method, runs in methods.items()}
                    for tap, methods in taps.items()
                }
                for machine, taps in known.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _machine() -> str:
    """Tells this machine from others without naming it."""
    told = f"{platform.node()} {platform.machine()} {os.cpu_count()}"
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
