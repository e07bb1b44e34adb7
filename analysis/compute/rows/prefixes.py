"""Prefixes of a tap's units: the first d, d / 2, d / 4 … of them, as nested (Matryoshka) training orders them."""

from __future__ import annotations

import numpy as np

from analysis.errors import NotEnoughData


def prefix_sizes(units: int, most: int) -> np.ndarray:
    """At most `most` sizes, rising, the last of them `units`, each about half of the next. Raises NotEnoughData for a
    single unit, which has no prefix but itself."""
    if units < 2:
        raise NotEnoughData(f"{units} unit(s)", "two or more, to have a first half", "Choose a wider tap")
    return np.array([units >> k for k in range(most) if units >> k][::-1])


def unit_orders(units: int, draws: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The order as it is, then `draws` random ones: their prefixes are as many units at random."""
    return [np.arange(units), *(rng.permutation(units) for _ in range(draws))]
