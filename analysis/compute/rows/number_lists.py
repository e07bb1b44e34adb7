"""Numbers that a person writes as a list of single ones and ranges."""

from __future__ import annotations

import re

import numpy as np

from analysis.errors import ParameterError


def numbers_in(text: str, low: int, high: int, what: str) -> np.ndarray:
    """The rising numbers of a text such as "2-5, 8". Raises ParameterError for anything outside [low, high]."""
    found = []
    for part in text.replace("–", "-").split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        ends = [int(match[1]), int(match[2] or match[1])] if match else []
        if not ends or not low <= ends[0] <= ends[1] <= high:
            raise ParameterError(f"{what} {text!r}", f"numbers from {low} to {high}, such as {low}-{high}")
        found += range(ends[0], ends[1] + 1)
    return np.unique(found)
