"""At most so many samples, a random part of them above."""

from __future__ import annotations

import numpy as np


def random_part(
    samples: int | np.ndarray, maximum: int, rng: np.random.Generator, what: str = "samples"
) -> tuple[np.ndarray, list[str]]:
    """`samples` (m,), rising, or all of so many: as they are up to `maximum`, above a random part of that size, rising,
    with a note that names `what` they are."""
    every = np.arange(samples) if np.ndim(samples) == 0 else np.asarray(samples)
    if len(every) <= maximum:
        return every, []
    chosen = np.sort(rng.choice(every, size=maximum, replace=False))
    return chosen, [f"A random {maximum:,} of {len(every):,} {what} used."]
