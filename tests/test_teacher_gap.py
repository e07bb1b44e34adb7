"""Teacher and student by place, and masks: closed forms, brute force, and the facts that must hold exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.rows import shared_places
from analysis.compute.similarity import mapped_gap
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.similarity import feature_gap as gap_module
from analysis.methods.similarity import mask_overlap as mask_module
from analysis.methods.similarity.feature_gap import FeatureGapParams, feature_gap
from analysis.methods.similarity.mask_overlap import MaskOverlapParams, mask_overlap

PLAIN = {"mapping": "none", "scale": "as recorded"}


def tap(x, tokens=1, ids=None, grid=None, leading=0, name="tap"):
    n = len(x) // tokens
    samples = {} if ids is None else {"id": np.asarray(ids)}
    layout = Layout(np.arange(n + 1) * tokens, grid=grid, leading=leading)
    return ArrayActivations(np.asarray(x), name=name, samples=samples, layout=layout)


def gap(*taps, **more):
    return feature_gap(*taps, params=FeatureGapParams(**more))


# ---------------------------------------------------------------------------- gap: facts
@pytest.mark.parametrize("mapping", ["none", "ridge"])
def test_a_student_that_is_the_teacher_has_no_gap_whatever_the_mask(mapping):
    rng = np.random.default_rng(0)
    t, masks = rng.standard_normal((160, 5)), rng.random((160, 3))
    for m in range(3):
        found = gap(tap(t, 4), tap(t, 4), tap(masks, 4), mapping=mapping, mask=m)
        assert found.values.shape == (40, 4)
        assert found.values.max() < 1e-20
        assert found.estimates[1].value < 1e-20


def test_a_mask_of_ones_gives_the_plain_squared_error():
    rng = np.random.default_rng(1)
    t, s = rng.standard_normal((2, 160, 5))
    bare = gap(tap(t, 4), tap(s, 4), **PLAIN)
    masked = gap(tap(t, 4), tap(s, 4), tap(np.ones((160, 1)), 4), **PLAIN)
    np.testing.assert_array_equal(bare.values, masked.values)
    assert bare.estimates[0].value == pytest.approx(((t - s) ** 2).mean(), abs=1e-12)
    assert masked.estimates[1].value == pytest.approx(((t - s) ** 2).mean(), abs=1e-12)
    assert masked.estimates[1].null == pytest.approx(masked.estimates[1].value, abs=1e-12)
    assert masked.estimates[2].value == pytest.approx(1.0, abs=1e-12)


def test_the_map_is_the_mask_times_the_squared_gap_of_each_place():
    rng = np.random.default_rng(2)
    t, s, m = rng.standard_normal((60, 3)), rng.standard_normal((60, 3)), rng.random((60, 2))
    found = gap(tap(t, 3), tap(s, 3), tap(m, 3), mask=1, **PLAIN)
    for i in range(20):
        for j in range(3):
            row = 3 * i + j
            assert found.values[i, j] == pytest.approx(m[row, 1] * ((t[row] - s[row]) ** 2).mean(), abs=1e-12)
    weighted = (m[:, 1] * ((t - s) ** 2).mean(axis=1)).sum()
    assert found.estimates[1].value == pytest.approx(weighted / m[:, 1].sum(), abs=1e-12)


def test_the_masks_null_is_the_mean_over_exchanged_masks():
    rng = np.random.default_rng(3)
    t, s = rng.standard_normal((2, 40, 2))
    m = np.tile([[0.2], [1.0]], (20, 1)) * rng.random((40, 1))
    found = gap(tap(t, 2), tap(s, 2), tap(m, 2), **PLAIN)
    squares = ((t - s) ** 2).mean(axis=1).reshape(20, 2)
    draws = [(squares * m.reshape(20, 2)[rng.permutation(20)]).sum() / m.sum() for _ in range(4000)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(found.estimates[1].null - np.mean(draws)) < 5 * error


def test_the_share_of_an_unrelated_student_is_one_and_of_half_noise_a_half():
    rng = np.random.default_rng(4)
    t, noise = rng.standard_normal((2, 2000, 6))
    assert gap(tap(t), tap(noise), maximum_samples=2000).estimates[0].value == pytest.approx(1.0, abs=0.02)
    half = gap(tap(t), tap(t + noise), maximum_samples=2000).estimates[0]
    assert half.value == pytest.approx(0.5, abs=0.03)
    assert half.low < 0.5 < half.high
    assert half.null == pytest.approx(1.0, abs=0.02)


def test_ridge_is_least_squares_of_the_other_folds():
    rng = np.random.default_rng(5)
    s = rng.standard_normal((300, 4))
    t = s @ rng.standard_normal((4, 3)) + 0.01 * rng.standard_normal((300, 3)) + 5
    fold = rng.permutation(np.arange(300) % 5)
    got = mapped_gap.gaps(s, t, fold, "ridge")
    for f in range(5):
        train, test = fold != f, fold == f
        a = np.column_stack([s, np.ones(300)])
        weights = np.linalg.lstsq(a[train], t[train], rcond=None)[0]
        np.testing.assert_allclose(
            got[test], ((t[test] - a[test] @ weights) ** 2).mean(axis=1), rtol=0.05, atol=1e-6
        )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_an_invertible_map_of_the_student_and_a_rotation_of_the_teacher_change_nothing(seed, scale):
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((120, 4))
    t = s @ rng.standard_normal((4, 5)) + rng.standard_normal((120, 5))
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    skew = np.linalg.qr(rng.standard_normal((4, 4)))[0] * scale
    one, other = gap(tap(t, 2), tap(s, 2)), gap(tap(scale * t @ turn + 7, 2), tap(s @ skew - 2, 2))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-6, atol=1e-9)


def test_grids_of_different_size_are_brought_to_the_teachers():
    rng = np.random.default_rng(6)
    small = rng.standard_normal((30, 1, 2))
    t, s = np.repeat(small, 16, axis=1), np.repeat(small, 5, axis=1)
    s[:, 0] = 99.0  # a leading token, left out
    found = gap(
        tap(t.reshape(-1, 2), 16, grid=(4, 4)), tap(s.reshape(-1, 2), 5, grid=(2, 2), leading=1), **PLAIN
    )
    assert found.values.shape == (30, 16)
    assert found.values.max() < 1e-20
    assert any("interpolation" in c for c in found.caveats)


def test_samples_are_matched_by_id_and_bad_ones_left_out():
    rng = np.random.default_rng(7)
    t = rng.standard_normal((40, 3))
    ids = np.array([f"s{i}" for i in range(20)])
    order = rng.permutation(20)
    s = t.reshape(20, 2, 3)[order].reshape(40, 3).copy()
    s[5, 1] = np.nan
    found = gap(tap(t, 2, ids), tap(s, 2, ids[order]), **PLAIN)
    assert found.values.max() == 0
    assert len(found.samples) == 19
    assert order[2] not in found.samples
    assert any("NaN" in c for c in found.caveats)


def test_samples_of_different_length_leave_blank_places():
    rng = np.random.default_rng(8)
    offsets = np.append(0, np.cumsum(np.arange(12) % 3 + 1))
    x = rng.standard_normal((offsets[-1], 3))
    one = ArrayActivations(x, layout=Layout(offsets))
    other = ArrayActivations(x + 1.0, layout=Layout(offsets))
    found = gap(one, other, **PLAIN)
    assert found.values.shape == (12, 3)
    np.testing.assert_array_equal(np.isfinite(found.values).sum(axis=1), np.arange(12) % 3 + 1)
    np.testing.assert_allclose(found.values[np.isfinite(found.values)], 1.0)


def test_refusals_of_the_gap():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((30, 3))
    with pytest.raises(ParameterError, match="1 tap"):
        feature_gap(x)
    with pytest.raises(ParameterError, match="3 and 2 units"):
        gap(tap(x), tap(x[:, :2]), mapping="none")
    with pytest.raises(ParameterError, match="mask = 4"):
        gap(tap(x), tap(x), tap(abs(x)), mask=4)
    with pytest.raises(InputError, match="goes from -"):
        gap(tap(x), tap(x), tap(x))
    with pytest.raises(InputError, match="never changes"):
        gap(tap(np.full((30, 3), 0.1)), tap(x))
    with pytest.raises(InputError, match="different places"):
        gap(tap(x, 2), tap(x, 3))
    with pytest.raises(NotEnoughData, match="at least 10"):
        gap(tap(x[:9]), tap(x[:9]))
    with pytest.raises(NotEnoughData, match="same id"):
        gap(tap(x, ids=[f"a{i}" for i in range(30)]), tap(x, ids=[f"b{i}" for i in range(30)]))


# ---------------------------------------------------------------------------- masks
@pytest.mark.parametrize("measure", ["cosine", "Dice"])
def test_identical_masks_are_one_and_disjoint_ones_zero(measure):
    rng = np.random.default_rng(10)
    a = rng.random((80, 1)) * np.tile([[1], [0], [1], [0]], (20, 1))
    b = rng.random((80, 1)) * np.tile([[0], [1], [0], [0]], (20, 1))
    found = mask_overlap(tap(np.hstack([a, a, b]), 4), MaskOverlapParams(measure=measure))
    assert found.values[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert found.values[0, 2] == 0
    np.testing.assert_array_equal(found.values, found.values.T)


def test_overlaps_are_those_of_scipy_and_of_sets():
    from scipy.spatial.distance import dice

    rng = np.random.default_rng(11)
    x = (rng.random((60, 4)) < 0.4).astype(float)
    cosine = mask_overlap(tap(x, 3)).values
    sets = mask_overlap(tap(x, 3), MaskOverlapParams(measure="Dice")).values
    for i in range(4):
        for j in range(4):
            a, b = x[:, i], x[:, j]
            assert cosine[i, j] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)), abs=1e-12)
            assert sets[i, j] == pytest.approx(1 - dice(a.astype(bool), b.astype(bool)), abs=1e-12)


def test_the_null_is_the_mean_over_exchanged_samples():
    rng = np.random.default_rng(12)
    x = rng.random((60, 2)) * np.tile([[1.0], [3.0], [0.2]], (20, 1))
    found = mask_overlap(tap(x, 3))
    a, b = x.T.reshape(2, 20, 3)
    draws = [(a * b[rng.permutation(20)]).sum() / np.sqrt((a**2).sum() * (b**2).sum()) for _ in range(2000)]
    assert abs(found.null[0, 1] - np.mean(draws)) < 5 * np.std(draws) / np.sqrt(2000)


def test_masks_that_love_the_same_places_are_not_beyond_chance_and_ones_that_agree_are():
    rng = np.random.default_rng(13)
    places = np.tile([[1.0], [0.0], [0.0], [2.0]], (200, 1))
    x = np.hstack([places * rng.random((800, 3)), np.zeros((800, 1))])
    x[:, 3] = x[:, 0] * rng.uniform(0.8, 1.2, 800)
    found = mask_overlap(tap(x, 4))
    assert found.values[0, 1] > 0.6
    assert not found.significant[:3, :3].any()
    assert found.significant[0, 3]
    assert found.low[0, 3] <= found.values[0, 3] <= found.high[0, 3]


def test_intervals_hold_in_about_nineteen_of_twenty():
    rng, inside = np.random.default_rng(14), 0
    for _ in range(100):
        found = mask_overlap(tap((rng.random((100, 2)) < 0.5).astype(float)))
        inside += found.low[0, 1] <= 0.5 <= found.high[0, 1]
    assert inside >= 88


def test_empty_masks_are_left_out_and_negative_ones_are_said():
    rng = np.random.default_rng(15)
    x = rng.standard_normal((40, 3))
    x[:, 1] = 0.0
    found = mask_overlap(x)
    assert found.row_names == ("0", "2")
    assert any("0 everywhere" in c for c in found.caveats)
    assert any("below 0" in c for c in found.caveats)
    with pytest.raises(InputError, match="1 of 1"):
        mask_overlap(x[:, :1])
    with pytest.raises(NotEnoughData):
        mask_overlap(x[:3])
    with pytest.raises(TooLarge):
        mask_overlap(np.ones((10, 1100)))


# ---------------------------------------------------------------------------- checks that can fail
@pytest.mark.parametrize(
    ("checked", "where", "name", "broken"),
    [
        (gap_module, gap_module, "gaps", lambda *more: 1.001 * mapped_gap.gaps(*more)),
        (gap_module, mapped_gap, "predicted", lambda one, y, fit, cross: (y[fit.out], 0.9 * y[fit.out])),
        (gap_module, shared_places.SharedPlaces, "by_place", lambda self, v: v.reshape(16, -1).T),
        (mask_module, mask_module, "overlap", lambda products, measure: np.clip(products / 1e4, -1, 1)),
        (mask_module, mask_module, "MaskOverlapParams", lambda **_: MaskOverlapParams(maximum_samples=100_000)),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, checked, where, name, broken):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
