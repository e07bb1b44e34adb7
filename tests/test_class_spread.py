"""Spread within classes: unbiased sums, slow second implementations, invariances, planted cases, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import class_spread
from analysis.compute.subspaces import class_spread_report as report
from analysis.compute.subspaces.class_spread import (
    along_means,
    between_basis,
    class_moments,
    frame_overlaps,
    participation,
)
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.subspaces import within_class_spread as method


def tap(x, of):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(of)})


@pytest.mark.parametrize(("n", "d"), [(12, 5), (6, 40)])
def test_traces_are_those_of_the_covariance(rng, n, d):
    x, of = rng.standard_normal((2 * n, d)), np.arange(2 * n) % 2
    trace, square, counts = class_moments(x, of, 2)
    for c in range(2):
        s = np.cov(x[of == c].T)
        assert trace[c] == pytest.approx(np.trace(s))
        assert square[c] == pytest.approx(np.trace(s @ s))
        assert counts[c] == n


@pytest.mark.parametrize("n", [5, 12])
def test_the_corrected_sums_are_unbiased_for_gaussian_data(rng, n):
    """(m - 1)(m + 2) / m² times (tr Σ)² and tr Σ²; mean of 6,000 draws, tolerance 4 standard errors."""
    scale = np.array([3.0, 2, 1, 1, 0.5])
    a, b, m = (scale**2).sum() ** 2, (scale**4).sum(), n - 1
    tops, bottoms = [], []
    for _ in range(6000):
        trace, square, _ = class_moments(rng.standard_normal((n, 5)) * scale, np.zeros(n, int), 1)
        tops.append((m + 1) / m * trace[0] ** 2 - 2 / m * square[0])
        bottoms.append(square[0] - trace[0] ** 2 / m)
    factor = (m - 1) * (m + 2) / m**2
    for found, true in ((tops, a), (bottoms, b)):
        assert np.mean(found) == pytest.approx(factor * true, abs=4 * np.std(found) / np.sqrt(6000))


def test_few_samples_have_the_same_participation_ratio_as_many(rng):
    """12 equal directions from 10 samples: plug-in about 5, corrected 12 on average of the ratio of means."""
    drawn = [class_moments(rng.standard_normal((400, 12)), np.arange(400) // 10, 40) for _ in range(10)]
    trace, square, counts = (np.concatenate(v) for v in zip(*drawn, strict=True))
    assert (trace**2 / square).mean() < 7
    m = 9
    ratio = ((m + 1) / m * trace**2 - 2 / m * square).mean() / (square - trace**2 / m).mean()
    assert ratio == pytest.approx(12, rel=0.06)
    assert np.median(participation(trace, square, counts, 12)) > 9


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-4, 1e4))
def test_rotation_and_scale_change_no_number(seed, scale):
    rng = np.random.default_rng(seed)
    of = np.arange(60) % 3
    x = rng.standard_normal((60, 6)) * [4, 3, 2, 1, 1, 1] + rng.standard_normal((3, 6))[of]
    fold = rng.permutation(np.arange(60) % 5)
    a = report.spread_of(x, of, 3, fold, 2).numbers
    b = report.spread_of(scale * x @ np.linalg.qr(rng.standard_normal((6, 6)))[0], of, 3, fold, 2).numbers
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_between_basis_spans_the_centred_means(rng):
    x, of = rng.standard_normal((40, 9)), np.arange(40) % 4
    means = np.array([x[of == c].mean(axis=0) for c in range(4)])
    basis = between_basis(x, of, 4)
    assert basis.shape == (9, 3)
    rest = means - means.mean(axis=0)
    np.testing.assert_allclose(rest @ basis @ basis.T, rest, atol=1e-10)


def test_held_out_means_are_not_drawn_along_the_spread(rng):
    """Noise in 200 units, 10 samples a class: by the same samples' means more of the spread seems along the means."""
    of = np.arange(50) % 5
    x = rng.standard_normal((50, 200))
    fold = np.arange(50) // 5 % 5
    above, below, rank = along_means(x, of, 5, fold)
    assert rank == 4
    assert above.sum() / below.sum() == pytest.approx(4 / 200, abs=0.01)


def test_overlap_is_the_mean_squared_cosine(rng):
    x, of = rng.standard_normal((60, 8)) + 2, np.arange(60) % 3
    found = frame_overlaps(x, of, 3, 2)
    frames = [np.linalg.svd(x[of == c])[2][:2] for c in range(3)]
    assert found[0, 1] == pytest.approx((np.linalg.svd(frames[0] @ frames[1].T)[1] ** 2).mean())
    np.testing.assert_allclose(np.diag(found), 1)


def test_a_common_mean_hides_right_angles(rng):
    of = np.arange(300) % 3
    x = 4 * np.eye(10)[of] + 0.3 * rng.standard_normal((300, 10)) + 30
    values = {e.name: e for e in method.within_class_spread(tap(x, of)).estimates}
    assert values["mean |cosine| of two class means"].value > 0.99
    assert values["the same, less the mean of all"].value == pytest.approx(0.5, abs=0.02)


def test_a_class_in_two_directions_has_that_gap(rng):
    of = np.arange(400) % 2
    x = np.zeros((400, 10))
    x[of == 0, :2] = 5 * rng.standard_normal((200, 2))
    x[of == 1, 2:7] = 5 * rng.standard_normal((200, 5))
    found = method.within_class_spread(tap(x + 0.2 * rng.standard_normal(x.shape), of)).columns
    assert list(found["gap dimension"]) == [2, 5]
    np.testing.assert_allclose(found["participation ratio"], [2, 5], rtol=0.08)
    assert found["share of the spread"].sum() == pytest.approx(1)


def test_classes_that_spread_in_fewer_directions_than_any_samples(rng):
    of = np.arange(300) % 5
    spans = np.linalg.qr(rng.standard_normal((5, 20, 20)))[0][:, :, :2]
    x = np.einsum("ndk,nk->nd", spans[of], rng.standard_normal((300, 2)))
    e = method.within_class_spread(tap(x, of)).estimates[0]
    assert e.high < e.null_low
    noise = method.within_class_spread(tap(rng.standard_normal((300, 20)), of)).estimates[0]
    assert noise.low <= noise.null <= noise.high


def test_a_class_without_spread_is_0_and_none_at_all_is_refused(rng):
    of = np.arange(60) % 3
    x = rng.standard_normal((60, 5))
    x[of == 1] = 7.0
    found = method.within_class_spread(tap(x, of)).columns
    assert found["spread"][1] == 0
    assert found["participation ratio"][1] == 0
    assert found["gap dimension"][1] == 0
    with pytest.raises(InputError, match="beyond rounding"):
        method.within_class_spread(tap(np.eye(3)[of], of))
    with pytest.raises(NotEnoughData):
        method.within_class_spread(tap(x[:24], of[:24]))
    with pytest.raises(NotFound):
        method.within_class_spread(tap(x, of), method.WithinClassSpreadParams(column="kind"))


MOMENTS, ALONG = class_spread.class_moments, class_spread.along_means


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("participation", lambda trace, square, counts, d: 1.1 * trace**2 / square),
        ("along_means", lambda x, of, c, fold: (lambda a, w, r: (w - a, w, r))(*ALONG(x, of, c, fold))),
        ("mean_cosines", lambda x, of, c: np.eye(c)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(report, name, broken)
    assert not all(line.passed for line in check())
