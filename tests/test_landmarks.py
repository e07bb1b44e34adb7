"""Landmark errors and shape modes: closed forms, SciPy's Procrustes, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import procrustes

from analysis.activations import ArrayActivations
from analysis.compute.similarity import landmark_shapes
from analysis.compute.similarity.landmark_shapes import (
    as_complex,
    as_real,
    error_ellipses,
    procrustes_distance,
    shape_modes,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import landmark_errors as module
from analysis.methods.similarity.landmark_errors import ORDERS, LandmarkParams, landmark_errors


def shapes(rng, n=60, landmarks=7, spread=0.3):
    face = rng.standard_normal(landmarks) + 1j * rng.standard_normal(landmarks)
    return face + spread * (rng.standard_normal((n, landmarks)) + 1j * rng.standard_normal((n, landmarks)))


def flat(z):
    return np.stack([z.real, z.imag], axis=-1).reshape(len(z), -1)


def run(z, w, **more):
    return landmark_errors(flat(z), flat(w), LandmarkParams(**more))


def value(found, start):
    return next(e for e in found.estimates if e.name.startswith(start))


# ---------------------------------------------------------------------------- shapes
def test_procrustes_distance_is_scipys():
    rng = np.random.default_rng(0)
    z, w = shapes(rng), shapes(rng)
    got = procrustes_distance(z, w)
    for a, b, d in zip(z, w, got, strict=True):
        points = [np.column_stack([x.real, x.imag]) for x in (b, a)]
        rotation_only = procrustes(*points)[2]
        mirrored = procrustes(points[0], points[1] * [1, -1])[2]  # SciPy allows reflections, we do not
        assert np.isclose(d**2, rotation_only, atol=1e-10) or (
            d**2 > rotation_only and np.isclose(rotation_only, mirrored)
        )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-3, 3), st.floats(-50, 50))
def test_procrustes_distance_is_zero_under_similarity_transforms_only(seed, scale, angle, shift):
    z = shapes(np.random.default_rng(seed), n=5)
    moved = scale * np.exp(1j * angle) * z + shift
    assert procrustes_distance(moved, z).max() < 1e-9
    assert procrustes_distance(moved.conj(), z).min() > 1e-3
    assert procrustes_distance(moved + 0.2 * scale * np.eye(5, 7), z).min() > 1e-3


def test_all_modes_reproduce_the_shapes_exactly_and_fewer_do_not():
    rng = np.random.default_rng(1)
    z = shapes(rng) * rng.uniform(1, 5, (60, 1)) * np.exp(1j * rng.uniform(-3, 3, (60, 1))) + 20
    model = shape_modes(z)
    np.testing.assert_allclose(model.kept(z, len(model.modes)), z, atol=1e-9)
    np.testing.assert_allclose(model.modes @ model.modes.T, np.eye(len(model.modes)), atol=1e-10)
    errors = [np.abs(model.kept(z, k) - z).max() for k in range(0, 11, 2)]
    assert errors[0] > errors[2] > errors[5] > 1e-3
    squared = [((model.aligned(z) - model.aligned(model.kept(z, k))) ** 2).sum() / 59 for k in range(4)]
    np.testing.assert_allclose(squared, [model.variances[k:].sum() for k in range(4)], rtol=1e-9)


def test_the_mean_shape_is_the_best_one():
    rng = np.random.default_rng(2)
    z = shapes(rng, n=40)
    model = shape_modes(z)
    mean = as_complex(model.mean)

    def cost(m):
        return (procrustes_distance(np.tile(m, (len(z), 1)), z) ** 2).sum()

    turned = model.turns[:, None] * (z - model.centres[:, None])
    assert np.abs(turned.mean(axis=1)).max() < 1e-12
    best = cost(mean)
    for _ in range(20):
        assert (
            cost(mean + 0.05 * np.abs(mean).max() * (rng.standard_normal(7) + 1j * rng.standard_normal(7)))
            > best
        )


def test_ellipses_are_those_of_the_covariance():
    rng = np.random.default_rng(3)
    z = rng.standard_normal((500, 4)) * [3, 1, 1, 2] + 1j * rng.standard_normal((500, 4)) * [1, 2, 1, 0.1]
    z *= np.exp(1j * np.array([0.0, 0.5, 1.0, -1.2]))
    long, short, angle = error_ellipses(z)
    for j in range(4):
        values, vectors = np.linalg.eigh(np.cov(z[:, j].real, z[:, j].imag))
        np.testing.assert_allclose([short[j], long[j]], np.sqrt(values), rtol=1e-9)
        direction = np.array([np.cos(np.radians(angle[j])), np.sin(np.radians(angle[j]))])
        assert abs(direction @ vectors[:, 1]) == pytest.approx(1.0, abs=1e-9)
    assert angle[0] == pytest.approx(0.0, abs=5)
    assert angle[3] == pytest.approx(np.degrees(-1.2), abs=3)


# ---------------------------------------------------------------------------- the method
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 1000), st.sampled_from(["bounding box", "two landmarks"]))
def test_the_nme_does_not_change_with_the_size_of_the_images(seed, scale, size):
    rng = np.random.default_rng(seed)
    w = shapes(rng, n=20)
    z = w + 0.1 * shapes(rng, n=20)
    one, other = run(z, w, size=size), run(scale * z, scale * w, size=size)
    for e, f in zip(one.estimates, other.estimates, strict=True):
        assert f.value == pytest.approx(e.value, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(one.columns["angle"], other.columns["angle"], atol=1e-6)


def test_errors_by_hand():
    rng = np.random.default_rng(4)
    w = shapes(rng, n=30)
    z = w + 0.2 * shapes(rng, n=30)
    found = run(z, w, size="two landmarks", first=2, second=5)
    by_hand = np.array([np.abs(a - b) / np.abs(b[2] - b[5]) for a, b in zip(z, w, strict=True)])
    np.testing.assert_allclose(found.columns["mean error"], by_hand.mean(axis=0), rtol=1e-12)
    assert value(found, "NME").value == pytest.approx(by_hand.mean(), rel=1e-12)
    assert value(found, "share of samples").value == (by_hand.mean(axis=1) > 0.1).mean()
    box = run(z, w)
    area = np.array([np.sqrt(np.ptp(b.real) * np.ptp(b.imag)) for b in w])
    assert value(box, "NME").value == pytest.approx((np.abs(z - w) / area[:, None]).mean(), rel=1e-12)


def test_both_orders_of_units_are_the_same_landmarks():
    rng = np.random.default_rng(5)
    w = shapes(rng)
    z = w + 0.1
    one = landmark_errors(flat(z), flat(w))
    other = landmark_errors(as_real(z), as_real(w), LandmarkParams(order=ORDERS[1]))
    for name in one.columns:
        np.testing.assert_allclose(one.columns[name], other.columns[name], atol=1e-12)


def test_a_perfect_prediction_has_no_error_and_no_direction():
    w = shapes(np.random.default_rng(6))
    found = run(w, w)
    assert value(found, "NME").value == 0
    assert not any(e.name.startswith("share of the squared") for e in found.estimates)
    assert value(found, "Procrustes").value < 1e-12


def test_errors_along_modes_are_within_them_and_others_are_as_many_as_chance():
    rng = np.random.default_rng(7)
    face = rng.standard_normal(8) + 1j * rng.standard_normal(8)
    ways = rng.standard_normal((2, 8)) + 1j * rng.standard_normal((2, 8))
    w = face + 0.2 * rng.standard_normal((400, 2)) @ ways
    model = shape_modes(w)
    along = as_complex(rng.standard_normal((400, 2)) @ model.modes[:2]) / model.turns[:, None]
    assert value(run(w + 0.1 * along, w, modes=2), "share of the squared").value == pytest.approx(
        1.0, abs=1e-9
    )
    noise = rng.standard_normal((400, 8)) + 1j * rng.standard_normal((400, 8))
    found = value(run(w + 0.1 * noise, w, modes=4), "share of the squared")
    assert found.null == 4 / 16
    assert found.low < 0.25 < found.high


def test_the_null_is_the_error_of_other_samples_predictions():
    rng = np.random.default_rng(8)
    w = shapes(rng, n=200)
    found = run(w, w, size="two landmarks")
    size = np.abs(w[:, 0] - w[:, 1])
    every = (np.abs(w[None] - w[:, None]) / size[:, None, None]).mean(axis=(0, 1))
    np.testing.assert_allclose(found.columns["null"], every, rtol=0.1)


def test_samples_are_matched_by_id_and_faces_without_a_size_left_out():
    rng = np.random.default_rng(9)
    w = shapes(rng, n=20)
    w[3, 1] = w[3, 0]
    ids, order = np.array([f"f{i}" for i in range(20)]), rng.permutation(20)
    predicted = ArrayActivations(flat(w + 0.1)[order], samples={"id": ids[order]})
    target = ArrayActivations(flat(w), samples={"id": ids})
    found = landmark_errors(predicted, target, LandmarkParams(size="two landmarks"))
    np.testing.assert_allclose(found.columns["long axis"] > 0, True)
    assert value(found, "NME").n == 19
    assert any("no size" in c for c in found.caveats)
    keep = np.delete(np.arange(20), 3)
    expected = (0.1 / np.abs(w[keep, 0] - w[keep, 1])).mean()
    assert value(found, "NME").value == pytest.approx(expected, rel=1e-9)


def test_refusals():
    rng = np.random.default_rng(10)
    x = rng.standard_normal((30, 8))
    with pytest.raises(InputError, match="7 units"):
        landmark_errors(x[:, :7], x[:, :7])
    with pytest.raises(InputError, match=r"8 units and .* has 6"):
        landmark_errors(x, x[:, :6])
    with pytest.raises(InputError, match=r"2 landmark\(s\)"):
        landmark_errors(x[:, :4], x[:, :4])
    with pytest.raises(ParameterError, match="0 to 3"):
        landmark_errors(x, x, LandmarkParams(size="two landmarks", second=4))
    with pytest.raises(ParameterError, match="two different"):
        landmark_errors(x, x, LandmarkParams(size="two landmarks", first=1))
    with pytest.raises(NotEnoughData, match="at least 10"):
        landmark_errors(x[:9], x[:9])
    x[:, 2:4] = x[:, :2]
    with pytest.raises(NotEnoughData, match="has a size"):
        landmark_errors(x, x, LandmarkParams(size="two landmarks"))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "_sizes", lambda w, params: np.ones(len(w))),
        (module, "procrustes_distance", lambda z, w: np.abs(z - w).mean(axis=1)),
        (landmark_shapes.ShapeModes, "moved", lambda self, error: as_real(error)),
        (landmark_shapes.ShapeModes, "kept", lambda self, z, k: z + 1e-3),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
