"""The examples of two units: planted ones, against sets made by hand; tokens by their strongest in each sample."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from analysis.activations import ArrayActivations, Layout
from dashboard.browse import pair_examples
from dashboard.browse.unit import Unit


def unit(column, offsets=None, ids=None, store=None, name="s:t") -> Unit:
    """A unit of an array; `offsets` where it has tokens."""
    column = np.asarray(column, np.float32)
    layout = Layout.pooled(len(column)) if offsets is None else Layout(np.asarray(offsets))
    samples = {} if ids is None else {"id": np.asarray(ids)}
    taken = ArrayActivations(column[:, None], name, samples=samples, layout=layout)
    store = store or SimpleNamespace(activations=lambda tap: taken)
    made = Unit(store, name, 0)
    made.__dict__["activations"] = taken
    return made


def pair(x, y):
    """Two units of one store."""
    store = SimpleNamespace()
    return unit(x, store=store), unit(y, store=store)


def test_the_same_unit_shares_all_and_its_opposite_none(rng):
    x = rng.standard_normal(1000)
    same = pair_examples.common(*pair(x, 2 * x + 1))
    assert pair_examples.chosen(same, "both").tolist() == np.argsort(-x)[:64].tolist()
    assert not len(pair_examples.chosen(same, "first"))
    opposite = pair_examples.common(*pair(x, -x))
    assert not len(pair_examples.chosen(opposite, "both"))
    assert pair_examples.chosen(opposite, "first")[0] == x.argmax()
    assert pair_examples.common(*pair(x[:50], x[:50])).k == 25


def test_the_groups_hold_what_they_say(rng):
    x, y = rng.standard_normal((2, 400))
    x[7] = y[7] = 9
    x[11], y[11] = 8, -9
    x[13], y[13] = -9, 8
    found = pair_examples.common(*pair(x, y))
    assert pair_examples.chosen(found, "both")[0] == 7
    assert pair_examples.chosen(found, "first")[0] == 11
    assert pair_examples.chosen(found, "second")[0] == 13
    sets = [set(np.argsort(-v)[:64]) for v in (x, y)]
    assert set(pair_examples.chosen(found, "both")) == sets[0] & sets[1]
    assert set(pair_examples.chosen(found, "first")) == sets[0] - sets[1]
    assert set(pair_examples.chosen(found, "second")) == sets[1] - sets[0]


def test_zeros_of_a_rarely_active_unit_are_not_strong(rng):
    x, y = np.zeros(200), np.zeros(200)
    x[[3, 50]], y[[3, 90, 91]] = 2, 1
    found = pair_examples.common(*pair(x, y))
    assert pair_examples.chosen(found, "both").tolist() == [3]
    assert pair_examples.chosen(found, "first").tolist() == [50]
    assert pair_examples.chosen(found, "second").tolist() == [90, 91]


def test_tokens_of_another_network_are_compared_by_their_strongest_in_a_sample():
    a = unit([1, 5, 2, 0, 7, 3], offsets=[0, 3, 3, 4, 6], ids=["a", "empty", "b", "c"])
    b = unit([10, 20, 30], ids=["c", "x", "a"])
    found = pair_examples.common(a, b)
    assert found.n == 2
    assert sorted(zip(*(v.tolist() for v in found.values), strict=True)) == [(5, 30), (7, 10)]
    assert sorted(found.rows[0].tolist()) == [1, 4]
    assert sorted(found.rows[1].tolist()) == [0, 2]


def test_tokens_of_one_recording_too():
    store = SimpleNamespace()
    a, b = (unit(v, offsets=[0, 2, 4], store=store) for v in ([1, 2, 4, 3], [9, 0, 5, 7]))
    found = pair_examples.common(a, b)
    assert [v.tolist() for v in found.values] == [[2, 4], [9, 7]]
    assert [r.tolist() for r in found.rows] == [[1, 2], [0, 3]]


def test_values_that_are_not_finite_are_left_out():
    found = pair_examples.common(*pair([1, np.nan, 3, 4], [1, 2, np.inf, 0]))
    assert found.rows[0].tolist() == [0, 3]
    tokens = pair_examples.common(
        unit([np.nan, np.nan, 2, np.nan], offsets=[0, 2, 4], ids=["a", "b"]), unit([1, 2], ids=["a", "b"])
    )
    assert tokens.values[0].tolist() == [2]
    assert tokens.rows[0].tolist() == [2]


def test_nothing_in_common():
    found = pair_examples.common(unit([1, 2], ids=["a", "b"]), unit([1, 2], ids=["c", "d"]))
    assert found.n == 0
    assert len(pair_examples.chosen(found, "both")) == 0
