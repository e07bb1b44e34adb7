"""A direction in the space of a tap's units, as text: how a vector from elsewhere becomes a parameter of a method."""

from __future__ import annotations

import base64
import binascii

import numpy as np

from analysis.errors import ParameterError


def pack_direction(vector) -> str:
    """`vector` (d,) as text (little-endian float32, base64). Raises ParameterError unless finite and not 0."""
    vector = np.asarray(vector, np.float64)
    if vector.ndim != 1 or not len(vector) or not np.isfinite(vector).all() or not vector.any():
        raise ParameterError(
            f"a direction of shape {vector.shape}", "one finite number for each unit, not all of them 0"
        )
    return base64.b64encode((vector / np.abs(vector).max()).astype("<f4").tobytes()).decode()


def unpack_direction(text: str, units: int) -> np.ndarray:
    """(units,) of unit length. Raises ParameterError when the text is not of so many units."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ParameterError(
            "a direction that cannot be read", "base64 of 32-bit numbers, as made by pack_direction"
        ) from None
    if len(data) != 4 * units:
        raise ParameterError(f"a direction of {len(data) / 4:g} numbers", f"one for each of {units} units")
    vector = np.frombuffer(data, "<f4").astype(np.float64)
    if not np.isfinite(vector).all() or not vector.any():
        raise ParameterError("a direction of NaN, infinity or zeros only", "finite numbers")
    return vector / np.linalg.norm(vector)
