"""Points of a pair of units know which samples they are, also where two stores were matched by id."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.methods.correlation.pair import UnitPairParams, unit_pair


def stores(rng, tokens):
    ids = np.array([f"s{i}" for i in range(60)])
    label = np.arange(60) % 3
    x = rng.standard_normal((60, 2))
    first = np.repeat(x, tokens, axis=0)
    one = ArrayActivations(
        first, name="a:x", samples={"id": ids, "label": label}, layout=Layout(np.arange(61) * tokens)
    )
    order = rng.permutation(60)[:40]
    other = ArrayActivations(x[order] * 2, name="b:x", samples={"id": ids[order]})
    return one, other, x, label, np.sort(order)


@pytest.mark.parametrize(("tokens", "of"), [(1, "rows"), (3, "samples")])
def test_points_matched_by_id_are_those_samples_of_the_first_store(rng, tokens, of):
    one, other, x, label, common = stores(rng, tokens)
    found = unit_pair(one, other, params=UnitPairParams(unit_a=0, unit_b=0))
    assert found.of == of
    np.testing.assert_array_equal(np.sort(found.rows), common)
    np.testing.assert_allclose(found.positions[:, 0], x[found.rows, 0])
    np.testing.assert_allclose(found.positions[:, 1], 2 * x[found.rows, 0])
    np.testing.assert_array_equal(found.columns["label"], label[found.rows])


def test_points_of_one_store_are_its_rows(rng):
    one, _, x, label, _ = stores(rng, 3)
    found = unit_pair(one, params=UnitPairParams(unit_a=0, unit_b=1))
    assert (found.of, len(found.rows)) == ("rows", 180)
    np.testing.assert_allclose(found.positions[:, 0], x[found.rows // 3, 0])
    np.testing.assert_array_equal(found.columns["label"], label[found.rows // 3])
    assert found.reading.startswith("Unit 0 and unit 1")
