"""At which step of training each checkpoint of a series was taken."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from analysis.errors import ParameterError


def checkpoint_steps(text: str, names: Sequence[str]) -> tuple[np.ndarray, bool]:
    """Steps (S,) and whether they are of the training: given as `text`, numbers separated by commas, or else the one
    number in the names that rises with them; otherwise 1, 2, …. Raises ParameterError where given steps do not rise."""
    if text.strip():
        try:
            steps = np.array([float(v) for v in text.split(",")])
        except ValueError:
            raise ParameterError(f"steps = {text!r}", "numbers separated by commas") from None
        if len(steps) != len(names) or not np.isfinite(steps).all() or (np.diff(steps) <= 0).any():
            raise ParameterError(f"steps = {text!r}", f"{len(names)} rising numbers, one for each tap")
        return steps, True
    numbers = [[int(v) for v in re.findall(r"\d+", name)] for name in names]
    if len({len(v) for v in numbers}) == 1 and numbers[0]:
        rising = [c for c in np.array(numbers, dtype=float).T if (np.diff(c) > 0).all()]
        if len(rising) == 1:
            return rising[0], True
    return np.arange(1.0, len(names) + 1), False
