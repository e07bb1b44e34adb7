"""What a page waits for when it asks what people wrote, and what a click that writes takes.

    python benchmarks/people_speed.py

A workspace with 10,000 notes, as many stars and 2,000 replies on 20 taps of 500 units, in people.db. Medians and 95th
percentiles of 300 calls each, warm; the peer is the same question put by hand to a bare `sqlite3` connection that is
kept open. Also: the time that `import analysis.people` takes without SQLAlchemy, and SQLAlchemy alone. Limit: 3 ms for
what a page reads (stars and notes of a tap; everything on one feature).
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from analysis.people import People, Thing
from analysis.people.things import digest

TAPS, UNITS, CALLS = 20, 500, 300


def fill(people: People) -> None:
    """All in a few transactions: it would take minutes one by one."""
    for tap in range(TAPS):
        with people.place.writing("fill") as pen:
            for unit in range(UNITS):
                thing = Thing.feature("s", f"layers.{tap}", unit)
                pen.put(thing, "note", "", f"sees edges of {unit} degrees, and little else")
                pen.put(thing, "star", "", "yes")
                if unit < 10:
                    for n in range(10):
                        pen.put(thing, "reply", str(n), "I doubt it")


def timed(call) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    call()
    spent = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        spent.append(1e3 * (time.perf_counter() - start))
    return float(np.median(spent)), float(np.quantile(spent, 0.95))


def seconds_of(code: str) -> float:
    """Least of five fresh processes, less that of an empty one."""

    def once(text: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", text], check=True)
        return time.perf_counter() - start

    return min(once(code) for _ in range(5)) - min(once("import numpy") for _ in range(5))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        people = People(Path(folder) / "people.db")
        fill(people)
        thing = Thing.feature("s", "layers.7", 3)
        bare = sqlite3.connect(people.path)
        spot = digest("feature", "s", "layers.7")

        def by_hand() -> dict:
            asked = (
                "SELECT item, text FROM loupe_entries WHERE workspace = '' AND field = 'note' AND spot = ?"
            )
            return {int(item): text for item, text in bare.execute(asked, (spot,))}

        assert by_hand() == people.notes("s", "layers.7")
        flip = iter(range(10**9))
        asked = {
            "notes of a tap, by hand": by_hand,
            "notes of a tap": lambda: people.notes("s", "layers.7"),
            "stars of a tap": lambda: people.stars("s", "layers.7"),
            "stars of a tap without any": lambda: people.stars("s", "layers.x"),
            "everything on one feature": lambda: people.about(thing),
            "history of one feature": lambda: people.history(thing),
            "a page of the feed": lambda: people.feed(26),
            "the feed of one author": lambda: people.feed(26, author="nobody"),
            "writing a note": lambda: people.write(thing, "note", f"text {next(flip)}"),
        }
        for name, call in asked.items():
            median, high = timed(call)
            print(f"{name:28s} median {median:7.2f} ms   p95 {high:7.2f} ms", flush=True)
    print(f"import analysis.people       {1e3 * seconds_of('import analysis.people'):7.0f} ms")
    print(f"import sqlalchemy            {1e3 * seconds_of('import sqlalchemy'):7.0f} ms")


if __name__ == "__main__":
    main()
