"""How long a figure takes to become a file, and how large it is: the first export of a process, then the next ones.

    python benchmarks/export_speed.py [--points 100000] [--runs 5]

The figure is a map of as many points, by category and by value. Limits: the first vector file 3 s with all that has to
be imported, each further one 1 s, the PDF 3 MB. Seconds of the processor stand beside those of the clock, since other
work on the machine counts in the latter.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from analysis.results import Scatter
from dashboard.figures import export

FIRST, NEXT, LARGEST = 3.0, 1.0, 3e6


def main() -> None:
    """Export, look at the clock, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    result = planted(asked.points)
    first = timed(result, "pdf", "label")
    print(f"{asked.points:,} points{'':<12}{'clock s':>9}{'cpu s':>8}{'MB':>8}  limits")
    print(
        f"{'first PDF':<26}{first[0]:>9.2f}{first[1]:>8.2f}{first[2] / 1e6:>8.2f}  {FIRST:g} s, {LARGEST / 1e6:g} MB"
    )
    for format in ("pdf", "svg", "png"):
        for colour in ("label", "loss"):
            runs = [timed(result, format, colour) for _ in range(asked.runs)]
            clock, cpu, size = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"next {format} by {colour:<12}{clock:>9.2f}{cpu:>8.2f}{size / 1e6:>8.2f}  {NEXT:g} s")


def planted(n: int) -> Scatter:
    """Ten groups in a plane."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 10, n)
    at = (rng.normal(size=(10, 2)) * 4)[label] + rng.normal(size=(n, 2))
    columns = {"label": np.array([f"group {k}" for k in label]), "loss": rng.gamma(1, 0.3, n)}
    axes = ("first", "second")
    return Scatter(
        title="Ten groups", positions=at, rows=np.arange(n), columns=columns, colour="label", axes=axes
    )


def timed(result: Scatter, format: str, colour: str) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor, bytes."""
    clock, cpu = time.perf_counter(), time.process_time()
    data = export(result, format, colour=colour)
    return time.perf_counter() - clock, time.process_time() - cpu, len(data)


if __name__ == "__main__":
    main()
