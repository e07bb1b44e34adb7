"""Lines that differ by rounding alone are drawn as flat, with an axis that can be read."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.results import Curve
from dashboard import figures


def drawn_range(y) -> tuple[float, float]:
    line = Curve(
        title="entropy", x=np.arange(3.0), x_name="layer", y_name="bits", series={"all": np.asarray(y, float)}
    )
    return tuple(figures.on_screen(line).layout.yaxis.range)


@pytest.mark.parametrize("size", [8.81, -8.81, 1e-12, 1e12])
def test_what_differs_by_rounding_is_flat(size):
    low, high = drawn_range(size * (1 + 1e-13 * np.array([0, 1, -1])))
    assert high - low == pytest.approx(0.2 * abs(size), rel=1e-6)
    assert low < size < high


def test_almost_nothing_is_0():
    assert drawn_range([0, 1e-200, 5e-250]) == (-1.0, 1.0)
    low, high = drawn_range([1e-14, 2e-14, 3e-14])  # small, and yet it differs
    assert 0.9e-14 <= low < high < 3.2e-14 + 1e-14
