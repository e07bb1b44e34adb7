"""Disagreement along a column of the samples, and the samples with most of it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from outputs_subjects import tap
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax

from analysis.compute.rows.column_places import explained, explained_by_chance, places_of
from analysis.errors import NotEnoughData, NotFound
from analysis.methods.populations.disagreement_by import DisagreementByParams, disagreement_by
from analysis.methods.populations.worst_disagreements import (
    WorstDisagreementsParams,
    worst_disagreements,
)


# ---------------------------------------------------------------------------- along a column
def orbit(rng, shifts=8, images=30):
    """Every cyclic shift of some signals, with the shift and the number of the signal."""
    base = rng.standard_normal((images, shifts))
    x = np.concatenate([np.roll(base, s, axis=1) for s in range(shifts)])
    return base, x, np.repeat(np.arange(shifts), images), np.tile(np.arange(images), shifts)


def circular_network(x, filters, head):
    """Circular convolution, ReLU, global average: invariant to cyclic shifts."""
    wide = np.stack([np.roll(x, k, axis=1) for k in range(filters.shape[1])], axis=2)
    return np.maximum(wide @ filters.T, 0).mean(axis=1) @ head


def test_a_circular_network_has_a_flat_orbit_and_a_fully_connected_one_does_not():
    """The toy of the paper: orbit disagreement only for the network that lacks the equivariance."""
    rng = np.random.default_rng(13)
    base, x, shift, image = orbit(rng)
    filters, head = rng.standard_normal((4, 3)), 3 * rng.standard_normal((4, 3))
    wide = rng.standard_normal((8, 3))
    params = DisagreementByParams(column="shift", measure="KL", within="image")

    def against_itself(network):
        now, at_rest = network(x), np.tile(network(base), (8, 1))
        return disagreement_by(tap(now, shift=shift, image=image), tap(at_rest), params)

    invariant = against_itself(lambda v: circular_network(v, filters, head))
    not_so = against_itself(lambda v: v @ wide)
    assert np.abs(invariant.series["KL"]).max() < 1e-12
    assert not_so.series["KL"][0] == 0
    assert (not_so.series["KL"][1:] > 0.1).all()
    assert not_so.estimates[1].p_value < 0.01
    assert "not flat" in not_so.reading
    both = disagreement_by(
        tap(circular_network(x, filters, head), shift=shift, image=image), tap(x @ wide), params
    )
    assert (both.series["KL"] > 0).all()


def test_the_curve_is_the_mean_at_each_place_and_its_null_the_mean_of_all():
    rng = np.random.default_rng(14)
    x, y = rng.standard_normal((2, 60, 3))
    angle = np.repeat([0.0, 30.0, 60.0], 20)
    found = disagreement_by(tap(x, angle=angle), y, DisagreementByParams(column="angle", measure="JS"))
    each = jensenshannon(softmax(x, axis=1), softmax(y, axis=1), axis=1) ** 2
    np.testing.assert_allclose(found.series["JS"], each.reshape(3, 20).mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(found.null["JS"], each.mean(), atol=1e-9)
    low, high = stats.t.interval(0.95, 19, each[:20].mean(), stats.sem(each[:20]))
    assert (found.low["JS"][0], found.high["JS"][0]) == pytest.approx((max(low, 0), high), abs=1e-9)
    assert found.x.tolist() == [0, 30, 60]


def test_eta_squared_and_its_exact_mean():
    rng = np.random.default_rng(15)
    values, of = rng.exponential(size=6), np.array([0, 0, 1, 1, 1, 2])
    groups = [values[of == g] for g in range(3)]
    f = stats.f_oneway(*groups).statistic
    assert explained(values, of) == pytest.approx(2 * f / (2 * f + 3))
    every = [explained(values, of[list(p)]) for p in permutations(range(6))]
    assert np.mean(every) == pytest.approx(2 / 5, abs=1e-12)
    assert explained(np.full(5, 7.3), np.array([0, 0, 1, 1, 1])) == 0
    drawn = explained_by_chance(values, of, None, 2000, rng)
    assert drawn.mean() == pytest.approx(0.4, abs=0.02)


def test_exchanges_stay_inside_an_original():
    rng = np.random.default_rng(16)
    of, within = np.tile([0, 1], 20), np.repeat(np.arange(20), 2)
    values = np.repeat(rng.standard_normal(20) * 100, 2) + 0.1 * of  # originals differ far more than places
    free = explained_by_chance(values, of, None, 199, rng)
    inside = explained_by_chance(values, of, within, 199, rng)
    assert explained(values, of) > inside.max()
    assert explained(values, of) < np.median(free)


def test_places_of_numbers_and_texts():
    rng = np.random.default_rng(17)
    column = np.r_[rng.standard_normal(97), [np.nan] * 3]
    found = places_of(column, 5, "angle")
    assert len(found.x) == 5
    assert np.bincount(found.of).tolist() == pytest.approx([97 / 5] * 5, abs=1)
    for g in range(5):
        assert found.x[g] == pytest.approx(column[found.samples[found.of == g]].mean())
    assert any("3 sample(s) without a value" in n for n in found.notes)
    texts = places_of(np.array(["b", "a", "", "b"]), 5, "kind")
    assert (texts.names, texts.x.tolist(), texts.of.tolist()) == (("a", "b"), [0, 1], [1, 0, 1])
    with pytest.raises(NotEnoughData, match="1 value"):
        places_of(np.ones(9), 5, "angle")


def test_a_label_free_pair_and_a_missing_column():
    rng = np.random.default_rng(18)
    x, y = rng.standard_normal((2, 30, 3))
    with pytest.raises(NotFound, match="no sample column 'angle'"):
        disagreement_by(x, y, DisagreementByParams(column="angle"))
    many = tap(x, angle=np.arange(30.0))
    assert len(disagreement_by(many, y, DisagreementByParams(column="angle", bins=4)).x) == 4


# ---------------------------------------------------------------------------- worst inputs
def test_the_worst_samples_are_the_largest_divergences():
    rng = np.random.default_rng(19)
    x, y = rng.standard_normal((2, 100, 4))
    each = rel_entr(softmax(x, axis=1), softmax(y, axis=1)).sum(axis=1)
    found = worst_disagreements(x, y, params=WorstDisagreementsParams(measure="KL", number=10))
    assert found.groups["differ most"].tolist() == np.argsort(-each)[:10].tolist()
    assert found.groups["agree most"].tolist() == np.argsort(each)[:10].tolist()
    np.testing.assert_allclose(found.values["differ most"], np.sort(each)[::-1][:10], atol=1e-12)
    assert found.estimates[1].value == pytest.approx(each.max())
    pairs = [g for g in found.groups if "→" in g]
    for name in pairs:
        a, b = map(int, name.split(" → "))
        rows = found.groups[name]
        assert (x[rows].argmax(axis=1) == a).all()
        assert (y[rows].argmax(axis=1) == b).all()


def test_rows_of_the_gallery_are_those_of_the_first_tap():
    rng = np.random.default_rng(20)
    x = rng.standard_normal((50, 3))
    y = x.copy()
    y[7] = -9 * x[7]
    ids = np.array([f"s{i}" for i in range(50)])
    order = rng.permutation(50)
    found = worst_disagreements(tap(x, id=ids), tap(y[order], id=ids[order]))
    assert found.groups["differ most"][0] == 7
