"""Random directions as long as a given one, where length is counted in the natural deviations of units.

    r = c σ ∘ z ,   z standard normal,   ‖r / σ‖ = ‖v / σ‖

Columns of a table have units of measure: a step of one square millimetre is little and one of a ratio is much, so that
the same length in them says nothing. Units that never vary are not moved; where all units vary alike these are random
directions of the same Euclidean length. A direction that only units move which never vary is as long as it is.
"""

from __future__ import annotations

import numpy as np


def random_directions(
    direction: np.ndarray, deviation: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """(draws, units) beside `direction` (units,); `deviation` (units,) of the units over natural rows."""
    varies = deviation > 1e-9 * max(float(deviation.max(initial=0.0)), 1e-300)
    scale = np.where(varies, deviation, 0.0)
    length = float(np.linalg.norm(direction[varies] / deviation[varies]))
    if length == 0:
        scale, length = np.ones_like(deviation), float(np.linalg.norm(direction))
    z = rng.standard_normal((draws, len(direction)))
    z = np.where(scale > 0, z, 0.0)
    return length * scale * z / np.linalg.norm(z, axis=1, keepdims=True)
