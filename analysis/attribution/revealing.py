"""What groups that are revealed one after the other cost."""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError

MOST = 16  # groups


def costs_of(text: str, names) -> np.ndarray:
    """(groups,) of a text such as "1, 1, 5"; ones where it is empty. Raises ParameterError."""
    if not text.strip():
        return np.ones(len(names))
    try:
        found = np.array([float(part) for part in text.split(",")])
    except ValueError:
        found = np.zeros(0)
    if len(found) != len(names) or not (np.isfinite(found) & (found > 0)).all():
        raise ParameterError(
            f"costs {text!r} of {len(names)} groups", "a positive number for each, such as 1, 1, 5"
        )
    return found
