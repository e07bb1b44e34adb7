"""Dimension of classes, of targets and uniformity of points: against formulas written out, planted sets, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist

from analysis.activations import ArrayActivations
from analysis.compute.neighbours.dimension_readings import (
    TWO_NN,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.rank.dimension_of_classes import dimension_of_classes
from analysis.methods.rank.features_against_targets import (
    FeaturesAgainstTargetsParams,
    features_against_targets,
)
from analysis.methods.rank.uniformity import UniformityParams, uniformity


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def turned(x, d, seed=0):
    """x (n, k) in d >= k units, rotated at random."""
    return x @ np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0][: x.shape[1]]


def value(result, name):
    return next(e for e in result.estimates if e.name == name)


# ---------------------------------------------------------------------------- classes
def test_null_of_a_class_has_its_size(rng):
    """One cloud in classes of 40 and 360: each reads what its own null does, though their nulls differ."""
    label = np.repeat([0, 1], [40, 360])
    found = dimension_of_classes(ArrayActivations(rng.random((400, 6)), samples={"label": label})).columns
    assert (found["p"] > 0.05).all()
    assert ((found["null low"] <= found[TWO_NN]) & (found[TWO_NN] <= found["null high"])).all()
    assert found["null of the MLE"][1] > 1.1 * found["null of the MLE"][0]


def test_small_classes_are_left_out_and_one_is_refused(rng):
    x = rng.random((200, 4))
    label = np.repeat([0, 1, 2], [90, 90, 20])
    found = dimension_of_classes(ArrayActivations(x, samples={"label": label}))
    assert list(found.columns["class"]) == ["0", "1"]
    assert any("2 (20)" in c for c in found.caveats)
    same = x.copy()
    same[label == 1] = same[label == 1][0]
    with pytest.raises(NotEnoughData, match="1 class"):
        dimension_of_classes(ArrayActivations(same, samples={"label": label}))


# ---------------------------------------------------------------------------- targets
def regression(h, y, **more):
    columns = {f"y{i}": column for i, column in enumerate(np.atleast_2d(y.T))}
    params = FeaturesAgainstTargetsParams(**{"targets": ", ".join(columns), **more})
    return features_against_targets(ArrayActivations(h, samples=columns), params=params)


def test_a_linear_map_of_the_targets_has_their_dimension(rng):
    y = rng.standard_normal((300, 3)) * [1, 5, 100]
    found = regression(y @ rng.standard_normal((3, 20)), y)
    ratio = value(found, "ID_H / ID_Y (TwoNN)")
    assert ratio.low < 1 < ratio.high  # any map: the ratio is 1 up to the noise of other distances
    assert ratio.value == pytest.approx(1, abs=0.25)
    assert value(found, "feature variance outside").value == pytest.approx(0, abs=1e-12)
    assert value(found, "target variance explained").value == pytest.approx(1, abs=1e-12)
    assert value(found, "overlap with the readout").value == pytest.approx(1, abs=1e-12)
    tap = features_against_targets(y @ rng.standard_normal((3, 20)), y)
    assert any("Targets are the tap" in c for c in tap.caveats)


def test_regimes_are_told_in_words(rng):
    y, z = rng.random((500, 2)), rng.random((500, 3))
    assert "called under-compressed" in regression(np.hstack([y, z]), y).reading
    assert "called over-compressed" in regression(np.outer(y[:, 0], rng.standard_normal(6)), y).reading
    assert "as far as the interval tells" in regression(turned(y, 6), y).reading


def test_unrelated_features_have_the_nulls(rng):
    y = rng.standard_normal((400, 2))
    shares = [
        value(regression(rng.standard_normal((400, 10)), y), "target variance explained") for _ in range(5)
    ]
    assert shares[0].null == 2 / 399
    assert np.mean([e.value for e in shares]) == pytest.approx(2 / 399, abs=0.006)
    found = regression(rng.standard_normal((400, 10)), y)
    outside = value(found, "feature variance outside")
    assert outside.null_low - 0.02 < outside.value < outside.null_high + 0.02


def test_collapse_by_hand(rng):
    h, y = rng.standard_normal((120, 5)) * [3, 2, 1, 1, 1], rng.standard_normal((120, 2))
    y[:, 1] = h[:, 0] + 0.1 * y[:, 1]
    found = regression(h, y, scaling="as recorded")
    c, t = h - h.mean(0), y - y.mean(0)
    lam, vectors = np.linalg.eigh(c.T @ c)
    assert value(found, "feature variance outside").value == pytest.approx(
        1 - lam[-2:].sum() / lam.sum(), rel=1e-9
    )
    scores = c @ vectors[:, -2:]
    fit = scores @ np.linalg.lstsq(scores, t, rcond=None)[0]
    assert value(found, "target variance explained").value == pytest.approx(
        (fit**2).sum() / (t**2).sum(), rel=1e-9
    )
    readout = np.linalg.qr(np.linalg.lstsq(c, t, rcond=None)[0])[0]
    cosines = np.linalg.svd(readout.T @ vectors[:, -2:], compute_uv=False)
    assert value(found, "overlap with the readout").value == pytest.approx((cosines**2).mean(), rel=1e-9)


def test_targets_that_repeat_have_no_dimension(rng):
    found = regression(rng.standard_normal((200, 4)), rng.integers(0, 5, 200).astype(float)[:, None])
    assert not any(e.name.startswith("ID_Y") for e in found.estimates)
    assert any("too few different values" in c for c in found.caveats)


def test_classes_are_targets_of_0_and_1(rng):
    """The same as naming the indicator columns oneself."""
    of, h = np.arange(200) % 4, rng.standard_normal((200, 6))
    names = np.array(["ant", "bee", "cat", "dog"])
    found, by_hand = regression(h, names[of][:, None]), regression(h, np.eye(4)[of])
    assert [e.value for e in found.estimates] == [e.value for e in by_hand.estimates]
    assert any("4 classes: each is a target of 0 and 1, 3 directions" in c for c in found.caveats)
    words = names[of].astype("U9")
    words[:8] = ["", "", "one", "two", "", "", "", ""]
    notes = " ".join(regression(h, words[:, None]).caveats)
    assert "6 sample(s) without a label" in notes
    assert "one (1), two (1)" in notes
    assert any("readout" in e.name and e.n == 192 for e in regression(h, words[:, None]).estimates)


def test_more_units_than_samples_fit_anything(rng):
    found = regression(rng.standard_normal((80, 200)), rng.standard_normal((80, 1)))
    assert not any("readout" in e.name for e in found.estimates)
    assert any("any targets would fit" in c for c in found.caveats)


def test_refusals_of_targets(rng):
    h = rng.standard_normal((100, 4))
    with pytest.raises(NotEnoughData, match="another value for each of 100 samples"):
        regression(h, np.arange(100).astype(str)[:, None])
    with pytest.raises(InputError, match="do not vary"):
        regression(h, np.ones((100, 1)))
    with pytest.raises(ParameterError, match="no target"):
        regression(h, h, targets=" , ")
    y = rng.standard_normal((100, 1))
    y[:10] = np.nan
    assert any("10 sample(s) without a finite target" in c for c in regression(h, y).caveats)
    with pytest.raises(ParameterError, match="3 taps"):
        features_against_targets(h, h, h)


# ---------------------------------------------------------------------------- uniformity
def test_lengths_of_points_do_not_count(rng):
    x = rng.standard_normal((200, 6))
    one, other = uniformity(x), uniformity(x * rng.lognormal(size=(200, 1)))
    assert value(one, "uniformity").value == pytest.approx(value(other, "uniformity").value, rel=1e-9)
    from_mean = uniformity(x + 50, UniformityParams(directions="from the mean"))
    again = uniformity(x, UniformityParams(directions="from the mean"))
    assert value(from_mean, "uniformity").value == pytest.approx(value(again, "uniformity").value, rel=1e-6)
    assert value(uniformity(x + 50), "uniformity").value < 0.2
    assert value(uniformity(x + 50), "uniformity against independent units").value == pytest.approx(
        1, abs=0.1
    )


def test_uniform_points_are_uniform_and_histograms_whole(rng):
    inside = 0
    for _ in range(10):
        found = uniformity(rng.standard_normal((150, 5)))
        e = value(found, "uniformity")
        inside += e.low < 1 < e.high
        assert found.counts["edges"].sum() == 149
        assert found.null.sum() == pytest.approx(149, abs=1e-9)
    assert inside >= 8


def test_uniformity_by_hand(rng):
    x = rng.standard_normal((60, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scaled = value(uniformity(x), "tree length / n^((D - 1) / D)").value
    assert scaled == pytest.approx(minimum_spanning_tree(cdist(x, x)).sum() / 60 ** (2 / 3), rel=1e-9)


def test_collapse_is_said(rng):
    same = uniformity(np.outer(rng.random(60) + 0.1, rng.standard_normal(5)))
    assert "complete collapse" in same.reading
    few = np.repeat(rng.standard_normal((4, 12)), 50, axis=0) + 0.01 * rng.standard_normal((200, 12))
    found = uniformity(few)
    assert "drawn together" in found.reading
    assert "as between clusters" in found.reading
    assert value(found, "uniformity").high < 0.2
    assert "Nothing beyond" in uniformity(rng.standard_normal((200, 12)) * np.linspace(0.1, 3, 12)).reading


def test_points_without_a_direction_and_dead_units(rng):
    x = rng.standard_normal((60, 5))
    x[:3], x[:, 4] = 0, 0
    found = uniformity(x)
    assert any("3 point(s) at the centre" in c for c in found.caveats)
    assert any("1 unit(s) without a value" in c for c in found.caveats)
    with pytest.raises(NotEnoughData):
        uniformity(np.vstack([np.zeros((50, 3)), x[3:15, :3]]))
    with pytest.raises(InputError):
        uniformity(x[:, :1])
