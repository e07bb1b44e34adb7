"""Whether a tap has values below 0, which doubles parts of its index, is read off the bits."""

import numpy as np
import pytest

from analysis.recording.batches import Batch
from analysis.recording.cost import Seen
from analysis.store.batches import TapBlock


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("values", "signed"),
    [
        ([0.0, 1.0], False),
        ([-0.0, 1.0], False),
        ([-1e-6, 1.0], True),
        ([2.0, -np.inf], True),
        ([np.inf, 0.0], False),
    ],
)
def test_a_tap_is_signed_when_a_value_lies_below_zero(dtype, values, signed):
    seen = Seen()
    block = TapBlock(np.array([values], dtype))
    seen.add(Batch(0, 1, {"id": ["a"]}, {"t": block}, None, None, None), seconds=1.0)
    assert ("t" in seen.signed) is signed


def test_a_tap_without_rows_is_not_signed():
    seen = Seen()
    seen.add(
        Batch(0, 1, {"id": ["a"]}, {"t": TapBlock(np.empty((0, 3), np.float16))}, None, None, None),
        seconds=1.0,
    )
    assert not seen.signed
