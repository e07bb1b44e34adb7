"""Where work runs: here, in threads, or in one spawned process, all through `concurrent.futures`.

`distributed.Client.get_executor()` and any other `Executor` fit wherever one of these does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

from analysis.errors import ParameterError


class SerialExecutor(Executor):
    """Runs each call at once, in the calling thread: for tests, debugging and small work."""

    def submit(self, fn: Callable, /, *args, **kwargs) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def open_executor(kind: str = "serial", workers: int | None = None) -> Iterator[Executor]:
    """An executor by name: "serial", "threads", or "process" (exactly one, spawned, never forked).

    A spawned process starts clean: a fork would copy the locks of BLAS and Numba threads in whatever state
    they are in.

    Raises
    ------
    ParameterError
        For any other name.
    """
    if kind == "serial":
        executor: Executor = SerialExecutor()
    elif kind == "threads":
        executor = ThreadPoolExecutor(max_workers=workers)
    elif kind == "process":
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(max_workers=1, mp_context=context)
    else:
        raise ParameterError(f"executor {kind!r}", "serial, threads or process")
    with executor:
        yield executor


def merge_over(executor: Executor, partial: Callable, pieces: Iterable, merge: Callable):
    """partial → merge over an executor: `merge(merge(p0, p1), p2) …` in the order of `pieces`.

    The order is fixed so that the last bit of a float does not depend on which worker was faster. Returns None
    when there is no piece.
    """
    total = None
    for part in executor.map(partial, pieces):
        total = part if total is None else merge(total, part)
    return total
