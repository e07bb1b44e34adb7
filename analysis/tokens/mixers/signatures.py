"""Signature of a path: its iterated integrals, level by level, for linear models on irregular series.

A straight segment v has v^(⊗k) / k! on level k; the signature of two paths behind each other is the tensor product of
theirs (Chen). It ignores where a path begins and how fast it is walked: add a constant first row or a time channel
where these matter. ½ (S^ij - S^ji) is the signed area between two channels. Level k has d^k numbers.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import InputError, NotEnoughData

MOST = 2_000_000  # numbers of a signature


def signature(path: np.ndarray, levels: int) -> list[np.ndarray]:
    """Levels 1 to `levels` of the path (T, d) whose points are joined by straight lines: arrays (d,), (d, d), …

    Raises InputError where there would be more than two million numbers, NotEnoughData below two points.
    """
    path = np.asarray(path, np.float64)
    size = sum(path.shape[1] ** k for k in range(1, levels + 1))
    if size > MOST:
        raise InputError(
            f"a signature of {size:,} numbers", f"at most {MOST:,}", "Take fewer channels or levels"
        )
    if len(path) < 2:
        raise NotEnoughData(f"a path of {len(path)} point(s)", "at least 2")
    out = _segment(path[1] - path[0], levels)
    for step in np.diff(path[1:], axis=0):
        out = product(out, _segment(step, levels))
    return out


def _segment(v: np.ndarray, levels: int) -> list[np.ndarray]:
    out = [v]
    for k in range(2, levels + 1):
        out.append(np.multiply.outer(out[-1], v) / k)
    return out


def product(first: list[np.ndarray], second: list[np.ndarray]) -> list[np.ndarray]:
    """Chen's identity: the signature of one path behind another."""
    out = []
    for k in range(1, len(first) + 1):
        level = first[k - 1] + second[k - 1]
        for i in range(1, k):
            level = level + np.multiply.outer(first[i - 1], second[k - i - 1])
        out.append(level)
    return out


def levy_area(levels: list[np.ndarray], i: int, j: int) -> float:
    """Signed area between channels i and j."""
    return float((levels[1][i, j] - levels[1][j, i]) / 2)
