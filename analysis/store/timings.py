"""How long runs of networks took on this machine, so that the next one is estimated from them.

What one pass takes depends on the network, which a method's own estimate does not know. Kept are passes, estimated and
real seconds of the last runs by machine, tap and method. An estimate is multiplied by

    real / estimated seconds of the run of this method on this tap that is nearest in passes,

else by the median of that over the other methods on the tap. Runs much smaller or larger (more than `LIKE` times) make
no estimate shorter: opening a network takes most of a small one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import secrets
from pathlib import Path
from statistics import median

KEPT, FEWEST, LIKE, MOST_BYTES = 5, 2, 4.0, 4 << 20  # runs of a method; other methods that tell something


class Timings:
    """A small file of what runs took. A damaged one counts as empty; of two writers at once one may be lost."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def add(self, tap: str, method: str, passes: int, estimated: float, seconds: float) -> None:
        """Keep one run. A folder that cannot be written to is left as it is."""
        if passes <= 0 or not (0 < estimated < math.inf and 0 < seconds < math.inf):
            return
        known = self._read()
        runs = known.setdefault(_machine(), {}).setdefault(tap, {}).setdefault(method, [])
        runs[:] = [*runs, [float(passes), float(estimated), float(seconds)]][-KEPT:]
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(known))
            os.replace(beside, self.path)
        except OSError:
            beside.unlink(missing_ok=True)

    def factor(self, tap: str, method: str, passes: int) -> float:
        """What an estimate of a run of so many passes is multiplied by; 1 where too little is known."""
        here = {name: runs for name, runs in self._read().get(_machine(), {}).get(tap, {}).items() if runs}
        if passes <= 0 or (method not in here and len(here) < FEWEST):
            return 1.0
        if method in here:
            return _nearest(here[method], passes)
        return median(_nearest(runs, passes) for runs in here.values())

    def _read(self) -> dict:
        try:
            if self.path.stat().st_size > MOST_BYTES:
                return {}
            known = json.loads(self.path.read_text())
            return {
                machine: {
                    tap: {name: [_run(run) for run in runs] for name, runs in methods.items()}
                    for tap, methods in taps.items()
                }
                for machine, taps in known.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _nearest(runs: list[list[float]], passes: int) -> float:
    """The factor of the run nearest in passes, the latest of them."""
    off, _, found = min(
        (abs(math.log(count / passes)), -k, took / told) for k, (count, told, took) in enumerate(runs)
    )
    return found if off <= math.log(LIKE) else max(found, 1.0)


def _run(given) -> list[float]:
    passes, estimated, seconds = map(float, given)
    if not all(0 < v < math.inf for v in (passes, estimated, seconds)):
        raise ValueError(given)
    return [passes, estimated, seconds]


def _machine() -> str:
    """Tells this machine from others without naming it."""
    told = f"{platform.node()} {platform.machine()} {os.cpu_count()}"
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
