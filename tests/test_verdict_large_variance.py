"""What two share up to a rotation they share up to a linear map: CKA, ruled by large variance, must not say more."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.similarity.sameness import (
    FAILS,
    HOLDS,
    INFORMATION,
    LARGE,
    SUBSPACE,
    Evidence,
    senses,
    verdict,
)
from analysis.methods.similarity.verdict import same_in_which_sense


def evidence(sense: str, value: float) -> Evidence:
    series = value + np.concatenate([[0.0], np.tile([0.001, -0.001], 5)])
    return Evidence(sense, "", series, 0.0, 0.01, 1e-4)


@pytest.mark.parametrize(
    ("rotation", "linear", "said"),
    [
        (0.97, 0.97, [HOLDS, HOLDS]),
        (0.97, 0.5, [LARGE, FAILS]),
        (0.5, 0.97, [FAILS, HOLDS]),
        (0.5, 0.5, [FAILS] * 2),
    ],
)
def test_a_rotation_without_a_linear_map_is_of_large_variance(rotation, linear, said):
    found = [evidence(SUBSPACE, rotation), evidence(INFORMATION, linear)]
    assert senses(found, 0.9) == said
    assert ("directions of large variance" in verdict(found, 0.9)) == (LARGE in said)


def test_units_that_never_vary_in_one_of_the_two(rng):
    """Nineteen units are the same and five are missing on one side: the one holds the other, and they are no rotation
    of each other."""
    x = rng.standard_normal((600, 24))
    x[:, 19:] *= 0.8
    part = x.copy()
    part[:, 19:] = 1.0
    found = same_in_which_sense(x, part)
    at = dict(zip(found.columns["sense"], found.columns["the same"], strict=True))
    assert found.columns["value"][1] > 0.9  # CKA by itself would say a rotation
    assert at[SUBSPACE] == LARGE
    assert at[INFORMATION] == FAILS
    assert found.reading.startswith("Array (1) holds array (2) and more")
    assert "another basis" not in found.reading
