"""Processor time of the hosted server for one click, by what is clicked.

    python benchmarks/click_cost.py [--rounds 15]

One signed-in person on the sample workspace, over the browser's own protocol, as in `fifty_people.py`, which says how
long fifty of them wait: that follows from what is measured here, and this does not depend on who else uses the machine
(much: caches of the processor are shared). Every kind of click is made once before it counts, and then in turns, so
that a slower minute is a slower minute for all of them. All threads of the server count, also what it does for others
meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import fifty_people
from fifty_people import NOTE, ROOT, TAPS, Person, processor_seconds
from loopback import free_port, stop, wait_for

SETTLES_S = 8.0  # what the server loads when the first page is there


def kinds(turn: int) -> dict[str, list[tuple[str | None, dict | None, dict]]]:
    """{kind: clicks as (page, query, widgets)}: of each kind as many as there are taps."""
    unit = 3 + turn
    return {
        "map of another tap": [("", {"tap": tap}, {}) for tap in TAPS],
        "features": [("features", {"tap": tap}, {}) for tap in TAPS],
        "card": [("features", {"tap": tap, "unit": unit}, {}) for tap in TAPS],
        "next card": [(None, None, {"Next": True}) for _ in TAPS],
        "note": [(None, None, {"Note": f"turn {turn}.{k}", NOTE: True}) for k in range(len(TAPS))],
        "similarity": [("compare", {}, {}) for _ in TAPS],
        "heat map": [("compare", {"view": "correlations", "tap": tap}, {}) for tap in TAPS],
    }


async def clicks(port: int, pid: int, rounds: int) -> tuple[dict, dict, list[str]]:
    """({kind: ms of processor a click, by turn}, {kind: seconds of each click}, errors)."""
    person, used, seconds = Person(1, port), defaultdict(list), defaultdict(list)
    await person.open()
    for turn in range(rounds + 1):
        for kind, made in kinds(turn).items():
            person.times.clear()
            before = processor_seconds(pid)
            for page, query, widgets in made:
                await person.click(kind, page, query, **widgets)
            await asyncio.sleep(0.05)  # what comes after the last message
            if turn:
                used[kind].append((processor_seconds(pid) - before) / len(made) * 1000)
                seconds[kind] += [taken for _, taken in person.times]
        if not turn:
            await asyncio.sleep(SETTLES_S)
    await person.socket.close()
    return used, seconds, person.errors


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT / "sample_data", Path(folder) / "sample_data")  # notes are written
        workspace, port = Path(folder) / "sample_data" / "workspace", free_port()
        answers = Path(folder) / "answers"
        path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LOUPE_")}
        server = subprocess.Popen(
            [sys.executable, fifty_people.__file__, "--serve", str(port), str(workspace), "shared", str(answers)],
            env={**clean, "PYTHONPATH": path}, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(port, server)
            time.sleep(1.0)
            used, seconds, errors = asyncio.run(clicks(port, server.pid, rounds))
        finally:
            stop(server)
    print(f"{'click':<20}{'clicks':>8}{'processor ms':>14}{'median s':>10}")
    for kind, found in used.items():
        print(
            f"{kind:<20}{len(seconds[kind]):>8}{statistics.mean(found):>14.1f}"
            f"{statistics.median(seconds[kind]):>10.3f}"
        )
    print(f"{'all':<28}{statistics.mean(t for found in used.values() for t in found):>14.1f}")
    print(f"errors: {len(errors)}", *sorted(set(errors))[:5], sep="\n  ")


if __name__ == "__main__":
    main()
