"""Householder reflections and their products, orthogonality of weights, blocks of equal singular values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.compute.subspaces import householder as mathematics
from analysis.compute.subspaces.householder import (
    change_to_orthogonal,
    defect,
    equal_blocks,
    product,
    reflected,
    reflections_of,
)
from analysis.errors import InputError, LoupeError, NotEnoughData
from analysis.methods.concepts import householder_directions as module
from analysis.methods.concepts.householder_directions import (
    HouseholderDirectionsParams,
    householder_directions,
)

FEW = settings(max_examples=30, deadline=None)


@FEW
@given(seed=st.integers(0, 10**6), d=st.integers(2, 9), k=st.integers(1, 9))
def test_reflections_and_their_products(seed, d, k):
    """HHᵀ = I, determinant -1, eigenvalues (-1, 1, …); k of them: orthogonal with determinant (-1)^k."""
    vectors = np.random.default_rng(seed).standard_normal((k, d))
    h = product(vectors[:1])
    np.testing.assert_allclose(
        h, np.eye(d) - 2 * np.outer(vectors[0], vectors[0]) / (vectors[0] @ vectors[0]), atol=1e-12
    )
    np.testing.assert_allclose(h @ h.T, np.eye(d), atol=1e-12)
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(h)), [-1, *np.ones(d - 1)], atol=1e-10)
    many = product(vectors)
    np.testing.assert_allclose(many @ many.T, np.eye(d), atol=1e-10)
    assert np.linalg.det(many) == pytest.approx((-1.0) ** k)
    expected = np.eye(d)
    for v in vectors:
        expected = expected @ product(v[None])
    np.testing.assert_allclose(many, expected, atol=1e-10)


@FEW
@given(seed=st.integers(0, 10**6), d=st.integers(2, 12), share=st.floats(0.1, 1.0))
def test_every_frame_is_made_of_reflections(seed, d, share):
    k = max(1, int(share * d))
    frame = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, k)))[0]
    vectors, signs = reflections_of(frame)
    np.testing.assert_allclose(product(vectors)[:, :k] * signs, frame, atol=1e-10)
    np.testing.assert_array_equal(np.abs(signs), 1.0)


def test_a_frame_of_axes_is_rebuilt_too():
    vectors, signs = reflections_of(np.eye(4)[:, :2])
    np.testing.assert_allclose(product(vectors)[:, :2] * signs, np.eye(4)[:, :2], atol=1e-15)
    np.testing.assert_array_equal(reflected(np.zeros(3), np.eye(3)), np.eye(3))


def test_the_defect_by_its_definition(rng):
    w = rng.standard_normal((9, 5))
    gram = w.T @ w
    values = np.linalg.svd(w, compute_uv=False)
    scaled = gram / (np.trace(gram) / 5) - np.eye(5)
    assert defect(values) == pytest.approx(np.linalg.norm(scaled) / np.sqrt(5))
    assert defect(np.r_[3.0, np.zeros(4)]) == pytest.approx(2.0)  # sqrt(k - 1) at rank 1
    assert defect(np.full(6, 0.3)) == pytest.approx(0.0, abs=1e-12)


def test_the_change_to_the_nearest_orthogonal_layer_by_brute_force(rng):
    w = rng.standard_normal((7, 4))
    u, s, v = np.linalg.svd(w, full_matrices=False)
    best = min(np.linalg.norm(w - c * u @ v) / np.linalg.norm(w) for c in np.linspace(0, 2 * s[0], 20001))
    assert change_to_orthogonal(s) == pytest.approx(best, abs=1e-6)


def test_blocks_do_not_grow_by_small_steps():
    """Each value is compared with the first of its block: a slow fall is no block."""
    falling = 0.995 ** np.arange(20)
    assert equal_blocks(falling, 0.01)[-1] > 5
    np.testing.assert_array_equal(equal_blocks(np.array([3.0, 2.0, 2.0, 1.999, 1.0]), 0.01), [0, 1, 1, 1, 2])


@FEW
@given(seed=st.integers(0, 1000))
def test_rotating_inputs_and_units_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((8, 6))
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (8, 6))
    a, b = householder_directions(w), householder_directions(5 * left @ w @ right)
    np.testing.assert_allclose(b.values, 5 * a.values, rtol=1e-9)
    for one, other in zip(a.estimates, b.estimates, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-9)


def test_an_orthogonal_layer_is_one_block_and_a_gaussian_one_is_as_its_null(rng):
    flat = householder_directions(np.linalg.qr(rng.standard_normal((40, 10)))[0])
    assert set(flat.blocks) == {0}
    assert "All singular values are equal" in flat.reading
    gauss = householder_directions(rng.standard_normal((200, 60)) * 0.1)
    for e in gauss.estimates:
        assert e.value == pytest.approx(e.null, rel=0.1)
    np.testing.assert_allclose(gauss.values, gauss.null, rtol=0.12)
    low = householder_directions(rng.standard_normal((40, 3)) @ rng.standard_normal((3, 10)))
    assert len(low.values) == 3
    assert any("0 up to rounding" in c for c in low.caveats)


def test_refusals(rng):
    with pytest.raises(NotEnoughData, match="at least two"):
        householder_directions(rng.standard_normal((5, 1)))
    with pytest.raises(InputError, match="are 0"):
        householder_directions(np.zeros((5, 4)))
    with pytest.raises(LoupeError, match="table of weights"):
        householder_directions(rng.standard_normal((5, 4)), HouseholderDirectionsParams(layer="fc"))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (mathematics, "reflected", lambda v, x: x - 1.9 * np.outer(v, v @ x) / (v @ v)),
        (module, "equal_blocks", lambda values, tolerance: np.arange(len(values))),
        (module, "reflections_of", lambda frame: (frame.T.copy(), np.ones(frame.shape[1]))),
        (module, "NUMBERS", {**module.NUMBERS, "orthogonality defect": lambda s: defect(s) + 0.01}),
        (
            module,
            "NUMBERS",
            {**module.NUMBERS, "effective directions, participation ratio": lambda s: float(len(s))},
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
