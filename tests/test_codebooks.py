"""Codebooks of activations: the rule, the fit, the maps and curves, against closed forms and planted entries."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import encoded

from analysis.compute.dictionaries.codebook_growth import KMEANS, RESIDUAL, SHAKEN, grown, unfitted
from analysis.compute.dictionaries.codebooks import (
    fitted_books,
    gaussian_like,
    least_for_gaussian,
    left_by_stage,
    perplexity,
)
from analysis.errors import InputError, NotEnoughData
from analysis.features import rules
from analysis.features.classical.making import make
from analysis.features.feature_set import FeatureSet
from analysis.methods.dictionaries.dictionary_retrieval import (
    BITS,
    SHANNON,
    DictionaryRetrievalParams,
    dictionary_retrieval,
)
from analysis.methods.dictionaries.unexplained_map import UnexplainedMapParams, unexplained_map
from analysis.store.from_arrays import write_store

D = 6
SMALL = DictionaryRetrievalParams(entries=16, stages=2, stage_entries=4)


def planted(n=240, seed=0):
    """(coarse (4, D), fine (3, D), rows): a coarse point and a fine one far smaller, each combination as often."""
    rng = np.random.default_rng(seed)
    coarse = 20 * np.vstack([np.eye(D)[:3], -np.eye(D)[:3].sum(axis=0)])
    fine = np.vstack([np.eye(D)[3:5], -np.eye(D)[3:5].sum(axis=0)])
    a, b = (v.ravel() for v in np.meshgrid(np.arange(4), np.arange(3), indexing="ij"))
    pick = rng.permutation(np.tile(np.arange(12), n // 12))
    return coarse, fine, coarse[a[pick]] + fine[b[pick]]


def same_points(found, truth):
    return np.abs(found[:, None] - truth[None]).max(axis=2).min(axis=1).max()


def test_planted_stages_come_back_exactly_and_leave_nothing():
    coarse, fine, x = planted()
    books = fitted_books(x - x.mean(axis=0), [4, 3, 5], np.random.default_rng(0), 3)
    assert [len(b) for b in books] == [4, 3]
    assert same_points(books[0], coarse) < 1e-12
    assert same_points(books[1], fine) < 1e-12
    left = left_by_stage(x - x.mean(axis=0), books)
    np.testing.assert_allclose(left[:, 0].mean(), (fine**2).sum(axis=1).mean(), rtol=1e-12)
    assert left[:, 1].max() < 1e-20


def test_a_residual_codebook_is_a_feature_set_with_one_entry_of_each_stage(tmp_path):
    x = planted()[2]
    store = write_store(tmp_path / "s", name="s", taps={"x": x + 3})
    found = make(store, "x", "residual_codebook", {"stages": 2, "entries": 4})
    assert (found.rule, found.levels) == (rules.BY_STAGE, (4, 8))
    rows = (x + 3).astype(np.float32)
    own = found.encode(rows)
    np.testing.assert_array_equal([own[:, :4].sum(axis=1), own[:, 4:].sum(axis=1)], np.ones((2, len(x))))
    assert found.about["components"]["stage"] == [1] * 4 + [2] * 4
    left = ((rows - found.reconstruct(rows)).astype(float) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    assert left < 2e-3 < 1 - found.about["explained_by_stage"][0]
    found.save(tmp_path / "set")
    again = FeatureSet.open(tmp_path / "set")
    assert (again.levels, again.digest) == (found.levels, found.digest)
    with pytest.raises(InputError, match="rising, the last 8"):
        FeatureSet("bad", rules.BY_STAGE, found.encoder, found.decoder, found.bias, found.centre, found.shift,
                   levels=(4, 6))  # fmt: skip


def test_few_points_need_few_stages_and_what_cannot_be_fitted_is_refused(tmp_path):
    coarse = planted()[0]
    store = write_store(
        tmp_path / "s", name="s", taps={"x": np.tile(coarse, (30, 1)), "same": np.ones((120, 3))}
    )
    found = make(store, "x", "residual_codebook", {"stages": 3, "entries": 6})
    assert found.levels == (4,)
    assert any("Nothing is left" in said for said in found.about["caveats"])
    assert same_points(found.decoder + found.centre, coarse) < 1e-5
    with pytest.raises(NotEnoughData, match="components from"):
        make(store, "x", "residual_codebook", {"entries": 4000})
    with pytest.raises(InputError, match="do not vary"):
        make(store, "same", "residual_codebook", {"entries": 4})


def test_stages_never_raise_the_error_of_the_fit():
    x = np.random.default_rng(1).standard_normal((300, D))
    x -= x.mean(axis=0)
    left = left_by_stage(x, fitted_books(x, [8] * 5, np.random.default_rng(0))).sum(axis=0)
    assert (np.diff(left) < 0).all()
    assert left[0] < (x**2).sum()


@pytest.mark.parametrize("d", [1, 2])
def test_distortion_falls_as_entries_to_the_power_minus_two_over_dimensions(d):
    rng = np.random.default_rng(0)
    fit, test = rng.random((2, 3000, d)) - 0.5
    found = grown(fit, test, np.array([4, 8, 16, 32]), (1, 4), rng)[KMEANS]
    assert found.slope() == pytest.approx(-2 / d, rel=0.08)
    if d == 1:  # even intervals are the best code of a uniform number: left is 1 / K² of it
        np.testing.assert_allclose(found.share[:2], [1 / 16, 1 / 64], rtol=0.05)


def test_no_codebook_of_gaussian_rows_beats_shannon_and_one_bit_of_one_number_leaves_what_is_known():
    rng = np.random.default_rng(0)
    variances = np.array([4.0, 1.0, 0.25])
    assert least_for_gaussian(variances, 0) == pytest.approx(1)
    assert least_for_gaussian(np.ones(3), 3) == pytest.approx(0.25)  # 2^(-2 R / d)
    assert least_for_gaussian(variances, 0.5) == pytest.approx((2 + 1.25) / 5.25)  # all bits to the first
    fit, test = rng.standard_normal((2, 4000, 3)) * np.sqrt(variances)
    found = grown(fit, test, np.array([2, 8, 32]), (2, 8), rng)
    for growth in (found[KMEANS], found[RESIDUAL]):
        assert (growth.share > [0.98 * least_for_gaussian(variances, b) for b in growth.bits]).all()
    line = grown(fit[:, :1] / 2, test[:, :1] / 2, np.array([2, 4]), (1, 2), rng)[KMEANS]
    np.testing.assert_allclose(line.share, [1 - 2 / np.pi, 0.11748], rtol=0.05)


def test_a_shaken_centre_is_off_by_a_share_of_the_distance_to_it():
    """One centre in many dimensions: what is left grows by the square of the noise."""
    fit, test = np.random.default_rng(0).standard_normal((2, 400, 500))
    found = unfitted(
        fit - fit.mean(axis=0), test - fit.mean(axis=0), np.array([1]), 0.8, np.random.default_rng(1)
    )
    assert found[SHAKEN].share[0] == pytest.approx(1 + 0.8**2, rel=0.1)


def test_gaussian_rows_have_the_covariance_that_they_are_like():
    rng = np.random.default_rng(0)
    for n in (400, 4):
        x = rng.standard_normal((n, D)) @ rng.standard_normal((D, D))
        z = gaussian_like(x, 200_000, rng)
        np.testing.assert_allclose(z.T @ z / len(z), x.T @ x / n, atol=0.03 * np.trace(x.T @ x) / n)
    assert perplexity(np.arange(8) % 4, 6) == pytest.approx(4)


def test_retrieval_tells_clusters_from_gaussian_rows_and_noise_not():
    rng = np.random.default_rng(0)
    points = 5 * rng.standard_normal((16, D))
    clustered = points[rng.integers(16, size=400)] + 0.1 * rng.standard_normal((400, D))
    first = dictionary_retrieval(clustered, params=SMALL).estimates[0]
    assert first.low > first.null_high + 0.1
    noise = dictionary_retrieval(rng.standard_normal((400, D)), params=SMALL).estimates[0]
    assert abs(noise.value - noise.null) < 0.06
    assert noise.low <= noise.value <= noise.high
    with pytest.raises(InputError, match="do not vary"):
        dictionary_retrieval(np.ones((60, 3)))


def test_a_residual_set_is_drawn_stage_by_stage_and_bits_count_every_stage(tmp_path):
    coarse, fine, x = planted()
    both, zero = 2 * np.vstack([coarse, fine]), np.zeros(D)
    made = FeatureSet("two", rules.BY_STAGE, both.T, both, np.zeros(7), zero, zero, levels=(4, 7), scale=2.0)
    store = encoded(tmp_path / "e", x, [made])
    tap = store.activations(next(t for t in store.taps if t not in store.recorded))
    found = dictionary_retrieval(tap, params=SMALL)
    drawn = found.series["two"]
    fine_share = 4 / 3 / (x**2).sum(axis=1).mean()
    assert drawn[found.x == 4][0] == pytest.approx(1 - fine_share, abs=1e-3)
    assert drawn[found.x == 7][0] == pytest.approx(1, abs=1e-9)
    bits = dictionary_retrieval(tap, params=DictionaryRetrievalParams(16, 2, 4, BITS))
    assert np.isfinite(bits.series["two"][np.isclose(bits.x, 2 + np.log2(3))]).all()
    assert np.isfinite(bits.series[SHANNON]).all()
    where = unexplained_map(tap)
    assert where.values.max() < 1e-6
    assert 0.3 < where.estimates[0].null <= 1  # by least squares, so that random directions never add energy


def test_the_map_shows_the_token_that_no_entry_is_for(tmp_path):
    """Tokens 0 and 2 are points, token 1 is noise; the samples have three, two or three tokens."""
    rng = np.random.default_rng(0)
    points = 10 * rng.standard_normal((4, D))
    parts = [
        np.stack([points[rng.integers(4)], rng.standard_normal(D), points[rng.integers(4)]])[
            : 2 + (i % 3 > 0)
        ]
        for i in range(90)
    ]
    store = write_store(tmp_path / "s", name="s", taps={"x": parts})
    asked = UnexplainedMapParams(stages=1, stage_entries=5, measure="share of its own energy")
    found = unexplained_map(store.activations("x"), params=asked)
    assert found.values.shape == (90, 3)
    left = np.nanmean(found.values, axis=1)
    assert (np.diff(left) <= 0).all()  # most first
    assert np.isnan(found.values[found.samples == 0, 2]).all()
    mean = np.nanmean(found.values, axis=0)
    assert mean[1] > 0.01 > 100 * mean[[0, 2]].max()
    assert "Most is left at token 1" in found.reading
    with pytest.raises(NotEnoughData):
        unexplained_map(np.ones((5, 3)))
