"""What distinguishes a group, and what chance gives: against brute force and known laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotEnoughData, ParameterError, ShapeError
from analysis.methods.units.selection_contrast import (
    ContrastParams,
    contrast,
    pack,
    selection_contrast,
    unpack,
)
from analysis.results import Scatter
from dashboard.browse import (
    describe,
    selections,
)
from dashboard.browse.class_shares import best_by_chance, class_shares
from dashboard.browse.labels import Labels
from dashboard.browse.unit import best_correlation_by_chance


@pytest.fixture
def workspace(page_stores_made):
    return page_stores_made


@pytest.fixture
def store(workspace):
    return workspace.store("images")


def test_contrast_equals_brute_force(rng):
    x, inside = rng.standard_normal((500, 7)) * 3 + 100, rng.random(500) < 0.3
    found = contrast(x, inside)
    order = np.argsort(found.columns["unit"])
    a, b = x[inside], x[~inside]
    n1, n0 = len(a), len(b)
    pooled = np.sqrt(((n1 - 1) * a.var(0, ddof=1) + (n0 - 1) * b.var(0, ddof=1)) / (n1 + n0 - 2))
    g = (1 - 3 / (4 * (n1 + n0) - 9)) * (a.mean(0) - b.mean(0)) / pooled
    test = stats.ttest_ind(a, b, equal_var=False)
    np.testing.assert_allclose(found.columns["difference"][order], g, atol=1e-12)
    np.testing.assert_allclose(found.columns["p_value"][order], test.pvalue, rtol=1e-9)
    q = stats.false_discovery_control(test.pvalue)
    np.testing.assert_allclose(found.columns["q_value"][order], q, rtol=1e-9)
    np.testing.assert_allclose(found.columns["mean_inside"][order], a.mean(0), rtol=1e-12)


def test_contrast_does_not_depend_on_chunks_and_joins_the_tokens_of_a_sample(rng):
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, 60))])
    layout = Layout(offsets)
    x, inside = rng.standard_normal((offsets[-1], 4)), rng.random(offsets[-1]) < 0.4

    class Chunked(ArrayActivations):
        def chunks(self, rows=5):
            return super().chunks(rows=5)

    whole = contrast(ArrayActivations(x, layout=layout), inside)
    parts = contrast(Chunked(x, layout=layout), inside)
    sample = layout.sample_of(np.arange(len(x)))
    a = np.array([x[inside & (sample == i)].mean(0) for i in range(60) if (inside & (sample == i)).any()])
    b = np.array([x[~inside & (sample == i)].mean(0) for i in range(60) if (~inside & (sample == i)).any()])
    test = stats.ttest_ind(a, b, equal_var=False)
    for found in (whole, parts):
        np.testing.assert_allclose(
            found.columns["p_value"][np.argsort(found.columns["unit"])], test.pvalue, rtol=1e-8
        )
    fires = (x[inside] > 0).mean(0)
    np.testing.assert_allclose(parts.columns["fires_inside"][np.argsort(parts.columns["unit"])], fires)


def test_contrast_null_of_random_groups_covers_a_random_group(rng):
    """With nothing planted the strongest difference lies among those of random groups nearly always."""
    beyond = 0
    for _ in range(40):
        x, inside = rng.standard_normal((200, 20)), np.arange(200) < 40
        top = contrast(x, inside, rng=rng).estimates[0]
        beyond += top.value > top.null_high
    assert beyond <= 8  # expected 40 / 25 = 1.6; binomial tail beyond 8 is under 1e-4


def test_a_drawn_group_is_compared_with_other_places_of_the_map(rng):
    """A lasso at the edge of a Gaussian cloud always differs; groups drawn elsewhere differ as much."""
    x = rng.standard_normal((600, 10))
    result = Scatter(title="", positions=x[:, :2], rows=np.arange(600))
    inside = np.zeros(600, bool)
    inside[np.argsort(x[:, 0])[-60:]] = True
    found = describe.units_at_once(ArrayActivations(x), inside, result, "60 samples")
    top = found.estimates[0]
    assert top.value > 1.5
    assert top.null_high > 1.2
    assert "other places" in top.null_method
    assert top.p_value is None


def test_the_interval_of_the_largest_difference_holds_it(rng):
    """|g| near 0: the interval of g reaches over 0, that of |g| starts there."""
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((60, 1))
        top = contrast(x, np.arange(60) < 25).estimates[0]
        assert 0 <= top.low <= top.value <= top.high


def test_contrast_refuses(rng):
    x = rng.standard_normal((10, 2))
    with pytest.raises(NotEnoughData):
        contrast(x, np.arange(10) < 1)
    with pytest.raises(NotEnoughData):
        contrast(x, np.ones(10, bool))
    with pytest.raises(ShapeError):
        contrast(x, np.ones(9, bool))


def test_contrast_of_constant_and_broken_units(rng):
    x = rng.standard_normal((50, 3))
    x[:, 1], x[4, 2] = 7.0, np.nan
    found = contrast(x, np.arange(50) < 20)
    assert all(np.isfinite(found.columns[c]).all() for c in found.columns)
    assert found.columns["difference"][found.columns["unit"] == 1] == 0


@given(st.lists(st.booleans(), min_size=1, max_size=70))
@settings(max_examples=50, deadline=None)
def test_membership_round_trip(flags):
    np.testing.assert_array_equal(unpack(pack(flags), len(flags)), flags)
    np.testing.assert_array_equal(selections.unpacked(pack(flags), len(flags)), flags)


def test_membership_that_is_none():
    for text in ("", "%%%", "AAAA", "AAAAAAAAAAAA"):
        assert selections.unpacked(text, 100) is None
        with pytest.raises(ParameterError):
            unpack(text, 100)


def test_the_method_takes_a_column_or_a_packed_group(store):
    tap = store.activations("pooled")
    by_label = selection_contrast(tap, ContrastParams(value="c"))
    assert by_label.columns["unit"][0] == 5  # planted: unit 5 is 3 higher for class c
    inside = np.asarray(store.samples["label"]) == "c"
    packed = selection_contrast(tap, ContrastParams(inside=pack(inside)))
    np.testing.assert_array_equal(packed.columns["difference"], by_label.columns["difference"])


def test_class_shares_against_the_hypergeometric_law():
    codes = np.repeat([0, 1, 2], [50, 30, 20])
    labels = Labels(("a", "b", "c"), codes, np.array([50, 30, 20]))
    inside = np.zeros(100, bool)
    inside[45:65] = True
    found = {c.name: c for c in class_shares(labels, inside)}
    assert [found[n].inside for n in "abc"] == [5, 15, 0]
    assert sum(c.inside for c in found.values()) == found["a"].n == 20
    law = stats.hypergeom(100, 30, 20)
    assert found["b"].chance_high == law.ppf(0.975) / 20
    assert found["b"].q < 1e-3
    assert class_shares(labels, np.zeros(100, bool)) == []


def test_the_best_of_many_classes_by_chance():
    """64 samples of ten equal classes: the commonest is 11 to 12 of them, not 6.4."""
    drawn = best_by_chance((100,) * 10, 64)
    simulated = np.random.default_rng(5)
    pool = np.repeat(np.arange(10), 100)
    brute = [np.bincount(simulated.choice(pool, 64, replace=False)).max() for _ in range(500)]
    assert abs(drawn.mean() - np.mean(brute)) < 0.3
    assert best_by_chance((), 5).max() == 0


def test_best_correlation_by_chance(rng):
    """The largest |r| of one unit with 40 independent ones, over 100 samples."""
    tops = []
    for _ in range(300):
        x = rng.standard_normal((100, 41))
        x -= x.mean(0)
        x /= np.linalg.norm(x, axis=0)
        tops.append(np.abs(x[:, 0] @ x[:, 1:]).max())
    assert abs(np.quantile(tops, 0.95) - best_correlation_by_chance(40, 100)) < 0.03
