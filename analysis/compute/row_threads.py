"""Rows in threads: compiled loops that release the GIL, over fixed ranges of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from analysis.compute.machine import machine

SMALL = 4096  # rows below which a thread costs more than it gains


@contextlib.contextmanager
def row_threads(n: int, threads: int | None = None) -> Iterator[Callable]:
    """Yield run(part, *arguments): calls part(*arguments, start, stop) over all rows and waits.

    What a part computes for a row may not depend on where its range starts or ends; then the answer is the same for
    any number of threads.
    """
    count = max(1, min(threads or machine().cores, 16, -(-n // SMALL)))
    edges = [n * t // count for t in range(count + 1)]
    if count == 1:
        yield lambda part, *arguments: part(*arguments, 0, n)
        return
    with ThreadPoolExecutor(count - 1) as pool:

        def run(part, *arguments) -> None:
            jobs = [pool.submit(part, *arguments, edges[t], edges[t + 1]) for t in range(1, count)]
            part(*arguments, 0, edges[1])
            for job in jobs:
                job.result()

        yield run
