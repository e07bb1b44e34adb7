"""Multiply-adds against the numbers that papers print."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

from analysis.errors import ShapeError
from analysis.tokens.arithmetic import NetworkShape, multiply_adds
from analysis.tokens.rule import AFTER


def deit(width: int) -> NetworkShape:
    return NetworkShape(12, width, width, width, 4 * width, fixed=196 * 768 * width + 1000 * width)


def merging(r: int) -> list[int]:
    counts = [197]
    for _ in range(12):
        counts.append(counts[-1] - min(r, (counts[-1] - 1) // 2))
    return counts


@pytest.mark.parametrize(("width", "r", "printed"), [
    (384, 0, 4.6), (384, 8, 3.4), (384, 13, 2.7), (384, 16, 2.3), (192, 8, 0.9), (192, 12, 0.8), (192, 16, 0.6)
])  # fmt: skip
def test_tome_on_deit(width, r, printed):
    assert round(multiply_adds(deit(width), merging(r)).total / 1e9, 1) == printed


@pytest.mark.parametrize(("keep", "printed"), [(0.9, 4.0), (0.8, 3.5), (0.7, 3.0), (0.6, 2.6), (0.5, 2.3)])
def test_evit_on_deit(keep, printed):
    patches, counts = 196, [197]
    for layer in range(12):
        if layer in (3, 6, 9):
            patches = ceil(keep * patches) + 1  # those kept and the fused one
        counts.append(patches + 1)
    assert round(multiply_adds(deit(384), counts).total / 1e9, 1) == printed


def test_pyramid_drop_on_seven_billion():
    shape = NetworkShape(32, 4096, 4096, 4096, 11008, 3)
    assert round(multiply_adds(shape, [576] * 33, AFTER).total / 1e12, 2) == 3.82
    staircase = [576] * 8 + [288] * 8 + [144] * 8 + [72] * 9
    assert round(multiply_adds(shape, staircase, AFTER).total / 1e12, 2) == 1.78


def test_quadratic_and_linear_parts_apart():
    shape = NetworkShape(2, 8, 8, 8, 32)
    one, two = multiply_adds(shape, [4, 4, 4]), multiply_adds(shape, [8, 8, 8])
    np.testing.assert_allclose(two.linear / one.linear, 2)
    np.testing.assert_allclose(two.quadratic / one.quadratic, 4)
    with pytest.raises(ShapeError, match="3: before each"):
        multiply_adds(shape, [4, 4])
