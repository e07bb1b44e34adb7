"""How fast it goes and how long it will take, in words for a progress bar."""

from __future__ import annotations

import time
from collections import deque

from analysis.spec import Progress


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    seconds = max(0, round(seconds))
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 6000:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Pace:
    """Reports "1,234 of 5,000 samples, 310 samples/s, 12 s left", at most five times a second.

    The rate is that of the last half minute, so it follows a machine that gets busy.
    """

    def __init__(self, total: int, done: int, progress: Progress) -> None:
        self.total, self._progress = total, progress
        self._marks = deque([(time.perf_counter(), done)])
        self._told = 0.0

    def at(self, done: int) -> None:
        """Say how far it is; `progress` may raise Cancelled."""
        now = time.perf_counter()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30:
            self._marks.popleft()
        if now - self._told < 0.2 and done < self.total:
            return
        self._told = now
        then, before = self._marks[0]
        rate = (done - before) / max(now - then, 1e-9)
        text = f"{done:,} of {self.total:,} samples"
        if rate > 0:
            shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
            text += f", {shown} samples/s, {duration((self.total - done) / rate)} left"
        self._progress(done / self.total if self.total else 1.0, text)
