"""Swivel's factors against the decomposition of which they are the general case, PMI in closed form, and the map and
heat map of what fires together."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.active_features import ActivityParams, active_features
from analysis.compute.dictionaries.swivel import Counts, counts_of, factorised, fit_quality, swivel
from analysis.errors import InputError
from analysis.methods.dictionaries.co_activation_heat import CoActivationHeatParams, co_activation_heat
from analysis.methods.dictionaries.co_activation_map import _partners, co_activation_map
from analysis.spec import no_progress


def test_with_every_pair_seen_and_no_weights_the_factors_are_the_truncated_decomposition(rng):
    pmi = rng.standard_normal((12, 12))
    pmi += pmi.T
    left, size, right = np.linalg.svd(pmi)
    best = (left[:, :3] * size[:3]) @ right[:3]
    ones = np.ones((12, 12))
    found = factorised(pmi, ones > 0, ones, 3)
    np.testing.assert_allclose(found.fitted, best, atol=1e-6)
    moved = factorised(pmi, ones > 0, rng.random((12, 12)) + 0.05, 3)
    assert np.abs(moved.fitted - best).max() > 0.05


def test_full_rank_reproduces_pmi_of_pairs_that_meet_and_keeps_the_others_below():
    rng = np.random.default_rng(0)
    which = rng.integers(0, 2, 500)
    on = (rng.random((500, 8)) < 0.5).astype(float)
    on[:, :3] *= (which == 0)[:, None]
    on[:, 3:6] *= (which == 1)[:, None]
    counts = counts_of(on)
    expected = np.log(on.T @ on * 500 / np.outer(on.sum(axis=0), on.sum(axis=0)) + 1e-300)
    meet = counts.both > 0
    np.testing.assert_allclose(counts.pmi[meet], expected[meet], atol=1e-12)
    assert (~meet).sum() == 18
    found = swivel(counts, 8)
    off = meet & ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(found.fitted[off], counts.pmi[off], atol=0.02)
    assert (found.fitted[~meet] < counts.pmi[~meet]).all()
    share, kept = fit_quality(counts, found)
    assert share > 0.999
    assert kept == 1


def test_a_tap_without_zeros_takes_the_highest_tenth_and_silent_features_are_left_out(rng):
    x = rng.standard_normal((400, 5))
    dense = active_features(ArrayActivations(x, "s:x", {}), ActivityParams(), rng, no_progress)
    np.testing.assert_array_equal(dense.on.toarray().sum(axis=0), [40] * 5)
    assert any("highest tenth" in note for note in dense.notes)
    codes = np.maximum(x, 0)
    codes[:, 4] = 0
    codes[:3, 4] = 1
    sparse = active_features(ArrayActivations(codes, "s:x", {}), ActivityParams(), rng, no_progress)
    np.testing.assert_array_equal(sparse.shown, [0, 1, 2, 3])
    np.testing.assert_array_equal(sparse.on.toarray(), codes[:, :4] > 0)
    with pytest.raises(InputError, match="0 feature"):
        active_features(ArrayActivations(codes, "s:x", {}), ActivityParams(least=300), rng, no_progress)


def test_the_heat_map_is_pmi_in_an_order_that_joins_groups():
    rng = np.random.default_rng(1)
    which = rng.integers(0, 2, 600)
    on = (rng.random((600, 6)) < 0.7).astype(float) * (which[:, None] == np.array([0, 1, 0, 1, 0, 1]))
    tap = ArrayActivations(on, "s:x", {})
    heat = co_activation_heat(tap, CoActivationHeatParams(rank=3, draws=2))
    counts = counts_of(on)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(heat.values[off], counts.pmi[off], atol=1e-12)
    np.testing.assert_array_equal(heat.few, off & (counts.both == 0))
    assert {frozenset(heat.row_order[:3]), frozenset(heat.row_order[3:])} == {
        frozenset((0, 2, 4)),
        frozenset((1, 3, 5)),
    }
    assert heat.null_band[0] < 0 < heat.null_band[1]
    drawn = co_activation_map(tap)
    assert list(drawn.columns["never met"]) == [3] * 6
    assert all((int(p) - i) % 2 == 0 for i, p in enumerate(drawn.columns["best partner"]))


def test_a_partner_meets_often_enough_and_a_band_leaves_one_pair_in_twenty_outside(rng):
    both = np.array(
        [[50.0, 3, 20], [3, 4, 1], [20, 1, 60]]
    )  # three rows of four are a larger PMI than 20 of 50
    pmi = Counts(both, 200).pmi
    assert pmi[0, 1] > pmi[0, 2]
    assert _partners(Counts(both, 200))[0] == 2
    alone = ArrayActivations((rng.random((400, 30)) < 0.4).astype(float), "s:alone")
    share = co_activation_heat(alone, CoActivationHeatParams(draws=5)).estimates[0]
    assert share.value < 0.12
    assert share.low <= share.value <= share.high
