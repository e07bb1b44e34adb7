"""What methods on a residual stream share: how many samples go at once, help texts, cost."""

from __future__ import annotations

from analysis.compute.machine import machine
from analysis.spec import Cost
from analysis.tokens.stream import BLOCKS
from analysis.tokens.tap_dump import RUN

AT_ONCE, OPENING = 32, 6.0
SAMPLES_HELP = "Most samples; a seeded random subset above."
SOURCE_HELP = "Whose stream: the network's, or that of random blocks over the recorded rows."


def passes_cost(shapes, params, passes: float, held: float = 0.0) -> Cost:
    """Of so many passes of every sample; `held` bytes beside the states of a batch."""
    (n, k), m = shapes[0], machine()
    samples = max(min(n // RUN + 1, params.maximum_samples), 1)
    rows = samples * RUN
    states = 8.0 * min(samples, AT_ONCE) * RUN * k * (2 * BLOCKS + 8)
    weights = 8.0 * 3 * BLOCKS * k * k
    took = m.seconds(flops64=6.0 * BLOCKS * passes * rows * k * k + 1e7 * passes * min(n, params.maximum_samples),
                     moved=8.0 * n * k)  # fmt: skip
    held += 40.0 * rows * k + states + weights
    return Cost(OPENING + took, held, int(passes * min(n, params.maximum_samples)))
