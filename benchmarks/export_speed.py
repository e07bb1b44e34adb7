"""How long a figure takes to become a file, and how large it is: the first export of a process, then the next ones.

    python benchmarks/export_speed.py [--points 100000] [--runs 5] [--alone | --composed]

First a map of as many points, by category and by value. Then, in a process of its own, four panels on one page: two
maps with one legend, two matrices on one scale; the next exports are of the same panels in each format, and of panels
of which one has changed since (its numbers, so that where everything goes is decided anew). Limits: the first vector
file 3 s with all that has to be imported, each further one 1 s, the PDF 3 MB. Seconds of the processor stand beside
those of the clock, since other work on the machine counts in the latter; the last column is processor time over the
limit.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from analysis.results import Matrix, Result, Scatter
from analysis.sharing.baskets.basket import Basket, Panel

FIRST, NEXT, LARGEST = 3.0, 1.0, 3e6
BLOCKS, IN_A_PANEL = 12, 2000


def main() -> None:
    """Export, look at the clock, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--alone", action="store_true", help="the single figure only")
    only.add_argument("--composed", action="store_true", help="the composed figure only, in this process")
    asked = parser.parse_args()
    if not asked.composed:
        alone(asked.points, asked.runs)
    if asked.composed:
        composed(asked.runs)
    elif not asked.alone:
        sys.stdout.flush()
        command = [sys.executable, __file__, "--composed", "--runs", str(asked.runs)]
        subprocess.run(command, check=True)


def alone(points: int, runs: int) -> None:
    """One map."""
    from dashboard.figures import export

    result = planted(points)
    heading(f"{points:,} points")
    line("first PDF", [timed(lambda: export(result, "pdf", colour="label"))], FIRST)
    for format in ("pdf", "svg", "png"):
        for colour in ("label", "loss"):
            found = [timed(lambda f=format, c=colour: export(result, f, colour=c)) for _ in range(runs)]
            line(f"next {format} by {colour}", found, NEXT)


def composed(runs: int) -> None:
    """Four panels."""
    maps, matrices = [planted(IN_A_PANEL, seed) for seed in (0, 1)], [planted_matrix(seed) for seed in (0, 1)]
    heading("four panels on a page")
    line("first PDF", [timed(lambda: page([*maps, *matrices], "pdf"))], FIRST)
    for format in ("pdf", "svg", "png"):
        found = [timed(lambda f=format: page([*maps, *matrices], f)) for _ in range(runs)]
        line(f"next {format}", found, NEXT)
    others = [[*maps, matrices[0], planted_matrix(seed)] for seed in range(2, 2 + runs)]
    line("next pdf, a panel changed", [timed(lambda r=results: page(r, "pdf")) for results in others], NEXT)


def page(results: list[Result], format: str) -> bytes:
    """The composed figure of a basket with these results."""
    from dashboard.baskets.page import pictures
    from dashboard.baskets.panels import Ready

    panels = tuple(Panel(f"{i:08x}", {"method": "pca", "inputs": []}) for i in range(len(results)))
    basket = Basket("figure", panels)
    ready = [Ready(p, basket.letter(i), basket.stem(i), results[i], {}) for i, p in enumerate(panels)]
    return pictures(basket, ready, (format,))[0][format]


def planted(n: int, seed: int = 0) -> Scatter:
    """Ten groups in a plane."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 10, n)
    label[:10] = range(10)
    at = (rng.normal(size=(10, 2)) * 4)[label] + rng.normal(size=(n, 2))
    columns = {"label": np.array([f"group {k}" for k in label]), "loss": rng.gamma(1, 0.3, n)}
    axes = ("first", "second")
    return Scatter(
        title="Ten groups", positions=at, rows=np.arange(n), columns=columns, colour="label", axes=axes
    )


def planted_matrix(seed: int) -> Matrix:
    """How alike some layers are, each cell with its number."""
    half = np.random.default_rng(seed).random((BLOCKS, BLOCKS)) * (0.5 + 0.1 * seed)
    names = tuple(f"block {i}" for i in range(BLOCKS))
    values = np.clip((half + half.T) / 2 + np.eye(BLOCKS), 0, 1)
    found = Matrix(title="Alike", values=values, row_names=names, column_names=names, value_name="CKA")
    return dataclasses.replace(found, limits=(0.0, float(values.max())))


def timed(work: Callable[[], bytes]) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor, bytes."""
    clock, cpu = time.perf_counter(), time.process_time()
    data = work()
    return time.perf_counter() - clock, time.process_time() - cpu, len(data)


def heading(what: str) -> None:
    print(f"{what:<28}{'clock s':>9}{'cpu s':>8}{'MB':>8}{'limit s':>9}{'cpu/limit':>11}")


def line(name: str, runs: list[tuple[float, float, int]], limit: float) -> None:
    """Medians of some exports."""
    clock, cpu, size = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"{name:<28}{clock:>9.2f}{cpu:>8.2f}{size / 1e6:>8.2f}{limit:>9.1f}{cpu / limit:>11.2f}")


if __name__ == "__main__":
    main()
