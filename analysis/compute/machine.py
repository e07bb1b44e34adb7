"""How fast this machine is: what cost estimates are made of.

Measured once per process in under 50 ms, so that an estimate follows the machine it is shown on.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import numpy as np

REACHED = 0.4  # share of the measured peaks that whole methods reach (benchmarks/projection_speed.py)


@dataclass(frozen=True)
class Machine:
    """Measured speed: `flops64`/`flops32` operations per second in matrix products, `bandwidth` in bytes per
    second of a plain pass over memory, `cores` this process may use."""

    flops64: float
    flops32: float
    bandwidth: float
    cores: int

    def seconds(self, *, flops64: float = 0, flops32: float = 0, moved: float = 0, calls: float = 0) -> float:
        """Estimated seconds: matrix-product operations, bytes passed over, and small Python-level calls."""
        product = flops64 / self.flops64 + flops32 / self.flops32
        return (product + moved / self.bandwidth) / REACHED + calls * 2e-6


@functools.cache
def machine() -> Machine:
    """The machine of this process. Two small matrix products and one copy, best of several; < 50 ms.

    The products are small enough for one thread: with several, a thread that another program keeps waiting would
    make the machine look a hundred times slower than it is. A shared machine has no more to give than that.
    """
    rng = np.random.default_rng(0)
    a = rng.standard_normal((64, 64))
    b = a.astype(np.float32)
    block = np.ones(1 << 21)
    work = 2.0 * a.shape[0] ** 3
    copied = np.empty_like(block)
    return Machine(
        flops64=work / _best(lambda: a @ a),
        flops32=work / _best(lambda: b @ b),
        bandwidth=2.0 * block.nbytes / _best(lambda: np.copyto(copied, block)),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
    )


def _best(action, budget: float = 0.01) -> float:
    """Shortest of as many runs as fit the budget (at least three), in seconds: a run that had to share the
    machine with somebody says nothing about the machine."""
    shortest, started, runs = float("inf"), time.perf_counter(), 0
    while runs < 3 or (runs < 50 and time.perf_counter() - started < budget):
        began = time.perf_counter()
        action()
        shortest = min(shortest, time.perf_counter() - began)
        runs += 1
    return max(shortest, 1e-7)
