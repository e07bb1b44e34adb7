"""Rows in threads: compiled loops that release the GIL, over fixed ranges of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from analysis.compute.machine import machine

SMALL = 4096  # rows below which a thread costs more than it gains
PIECES = 4  # that each thread would take of the rows were all alike: no thread waits long for another


@contextlib.contextmanager
def row_threads(n: int, threads: int | None = None) -> Iterator[Callable]:
    """Yield run(part, *arguments): calls part(*arguments, start, stop) over all rows and waits.

    What a part computes for a row may not depend on where its range starts or ends; then the answer is the same for
    any number of threads.
    """
    count = max(1, min(threads or machine().cores, 16, -(-n // SMALL)))
    pieces = count * PIECES
    edges = [n * t // pieces for t in range(pieces + 1)]
    if count == 1:
        yield lambda part, *arguments: part(*arguments, 0, n)
        return
    with ThreadPoolExecutor(count - 1) as pool:

        def take(turns, part, arguments) -> None:
            for t in turns:  # handed out once each, to whoever is free
                part(*arguments, edges[t], edges[t + 1])

        def run(part, *arguments) -> None:
            turns = iter(range(pieces))
            jobs = [pool.submit(take, turns, part, arguments) for _ in range(1, count)]
            take(turns, part, arguments)
            for job in jobs:
                job.result()

        yield run
