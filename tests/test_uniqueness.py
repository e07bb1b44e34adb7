"""The sufficiently scattered condition against brute force, closed forms and the published hexagon."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from dictionary_subjects import atoms, encoded, planted_codes, set_of
from scipy.sparse import csr_array

from analysis.compute.dictionaries.scattered import enumerate_vertices, trades
from analysis.compute.dictionaries.sparse_codes import together
from analysis.errors import InputError
from analysis.methods.dictionaries.uniqueness import OPEN, TRADED, UNIQUE, UniquenessParams, uniqueness


def hexagon(a: float) -> np.ndarray:
    return np.array(list(permutations((a, 1 - a, 0.0))))


@pytest.mark.parametrize(("a", "q"), [(0.6, 1.375), (0.65, 1.0720), (2 / 3, 1.0), (0.7, 1.0), (1.0, 1.0)])
def test_the_hexagon_flips_at_two_thirds(a, q):
    found = enumerate_vertices(hexagon(a))
    assert found.q == pytest.approx(q, abs=5e-5)
    assert found.scattered == (a > 2 / 3 + 1e-9)
    if q > 1:
        np.testing.assert_allclose(
            np.sort(found.x)[1:], np.sort(found.x)[-1], atol=1e-9
        )  # one concept for two


def brute(h: np.ndarray) -> float:
    """Largest |x|² over all points where r - 1 rows are tight, that satisfy the others."""
    r, best = h.shape[1], 0.0
    for rows in combinations(range(len(h)), r - 1):
        system = np.vstack([h[list(rows)], np.ones(r)])
        if abs(np.linalg.det(system)) < 1e-9:
            continue
        x = np.linalg.solve(system, np.r_[np.zeros(r - 1), 1])
        if (h @ x >= -1e-9).all():
            best = max(best, float(x @ x))
    return best


@pytest.mark.parametrize(("r", "share"), [(2, 0.9), (3, 0.6), (3, 0.9), (4, 0.7), (5, 0.6)])
def test_vertices_are_those_of_brute_force(r, share):
    rng = np.random.default_rng(r)
    for _ in range(3):
        h = rng.random((16, r)) * (rng.random((16, r)) < share)
        h = h[h.any(axis=1)]
        found = enumerate_vertices(h)
        assert np.isfinite(found.q)
        assert found.q == pytest.approx(brute(h), rel=1e-6)
        assert (h @ found.x >= -1e-9).all()
        assert found.x.sum() == pytest.approx(1)
        assert found.x @ found.x == pytest.approx(found.q)


def test_codes_that_leave_a_direction_free_are_unbounded():
    h = np.random.default_rng(0).random((3, 5))
    found = enumerate_vertices(h)
    assert np.isinf(found.q)
    assert not found.scattered
    assert found.x.sum() == pytest.approx(0, abs=1e-9)


def test_a_trade_is_feasible_and_no_further():
    """Feature 2 fires only where 0 does; the bound is that of the polytope in their plane."""
    rng = np.random.default_rng(4)
    h = rng.random((60, 4)) * (rng.random((60, 4)) < 0.5)
    h[:, 2] *= h[:, 0] > 0
    found = trades(csr_array(h), together([csr_array(h)]))
    assert list(found.inside) == [-1, -1, 0, -1]
    t = found.most[2]
    x = np.array([1 + t, 0, -t, 0])
    assert (h @ x).min() == pytest.approx(0, abs=1e-12)
    assert (h @ np.array([1 + 1.01 * t, 0, -1.01 * t, 0])).min() < -1e-6
    assert found.q[2] == pytest.approx(x @ x)
    assert found.q[2] <= enumerate_vertices(h[h.any(axis=1)]).q + 1e-9


def test_verdicts_on_planted_codes():
    """Feature 0 fires alone once, 1 never alone and never inside another, 2 only with 0."""
    h = np.array([[1, 0, 0, 0.0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]] * 3)
    result = uniqueness(h, UniquenessParams(draws=2))
    c = result.columns
    assert list(c["verdict"]) == [UNIQUE, OPEN, TRADED, UNIQUE]
    assert c["taken over by"][2] == "0"
    assert list(c["rows of its own"]) == [3, 0, 0, 3]
    assert result.estimates[0].value > 1
    assert "away from 2" in result.reading


def test_scale_and_order_do_not_matter():
    rng = np.random.default_rng(0)
    h = rng.random((50, 5)) * (rng.random((50, 5)) < 0.95)
    first = uniqueness(h, UniquenessParams(draws=2)).estimates[0].value
    again = (
        uniqueness(h[rng.permutation(50)] * rng.uniform(0.1, 9, 5), UniquenessParams(draws=2))
        .estimates[0]
        .value
    )
    assert again == pytest.approx(first)
    assert first > 1 + 1e-3


def test_a_threshold_makes_rows_pure():
    h = np.eye(3)[np.arange(30) % 3] + 0.02
    low, high = (uniqueness(h, UniquenessParams(threshold=t, draws=2)) for t in (0.01, 0.05))
    assert low.estimates[0].value > 1
    assert high.estimates[0].value == pytest.approx(1)
    assert "sufficiently scattered" in high.reading


def test_many_features_of_an_encoded_tap(tmp_path):
    """One feature in each row: separable, whatever their number; two in each row: pairs only, nothing claimed."""
    a = np.eye(24)
    one = encoded(tmp_path / "s", planted_codes(200, active=1) @ a, [set_of("p", a)])
    result = uniqueness(one.activations("mlp@p"), UniquenessParams(draws=2))
    assert "sufficiently scattered" in result.reading
    two = encoded(tmp_path / "t", planted_codes(300, active=2) @ atoms(24, 30), [set_of("p", atoms(24, 30))])
    result = uniqueness(two.activations("mlp@p"), UniquenessParams(draws=2))
    assert result.estimates[0].name == "q*, lower bound"
    assert any("only pairs" in c for c in result.caveats)
    with pytest.raises(InputError, match="two or more"):
        uniqueness(np.outer(np.arange(20.0), [1, 0]))
