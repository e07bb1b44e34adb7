"""Which numbers of a matrix are only rounding, so that no colour is given to it.

zero     no |value| is above what the precision of its cell leaves, 1e-24 (the rounding of numbers near 1, squared),
         or 1e-12 of what the scale, nulls and intervals of the matrix reach
alike    the largest and the smallest value differ by less than 1e-12 of their size
"""

from __future__ import annotations

import numpy as np

NOTHING, ALIKE = 1e-24, 1e-12
ZERO, SAME = "zero", "alike"
ROUNDED = {
    ZERO: "all cells are 0 but for rounding, so that none has a colour",
    SAME: "all cells are the same but for rounding: one colour for all",
}


def known_size(result) -> float:
    """The largest number that the scale, the nulls and the intervals of a matrix or heat map tell of."""
    parts = (getattr(result, name, None) for name in ("limits", "null_band", "null", "low", "high"))
    each = [np.abs(np.asarray(p, np.float64)) for p in parts if p is not None]
    return max((float(x[np.isfinite(x)].max(initial=0.0)) for x in each), default=0.0)


def only_rounding(values: np.ndarray, known: float = 0.0, floor: np.ndarray | None = None) -> str:
    """ZERO, SAME or "": of finite values (p, q), of which exact zeros need no word; `known` the largest number that is
    told of elsewhere, `floor` (p, q) the precision of each cell."""
    finite = np.isfinite(values)
    size, whole = np.abs(values[finite]), values[finite]
    most = float(size.max(initial=0.0))
    if most == 0.0:
        return ""
    least = np.maximum(max(NOTHING, ALIKE * known), 0.0 if floor is None else np.nan_to_num(floor[finite]))
    if (size <= least).all():
        return ZERO
    spread = float(whole.max() - whole.min())
    return SAME if 0.0 < spread <= ALIKE * most else ""


def without_rounding(values: np.ndarray, rounded: str) -> np.ndarray:
    """The same with one number for all finite cells where they are only rounding."""
    if not rounded:
        return values
    finite = np.isfinite(values)
    one = 0.0 if rounded == ZERO else float(np.median(values[finite]))
    return np.where(finite, one, values)
