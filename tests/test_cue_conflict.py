"""Cue conflict on two Gaussian cues, whose best reader is known, and on columns that say what is to come out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from analysis.activations import ArrayActivations
from analysis.compute.groups.cue_conflict import planted_cue
from analysis.errors import NotEnoughData, NotFound, ParameterError
from analysis.methods.attribution.cue_reliance import CueRelianceParams, cue_reliance
from analysis.methods.attribution.cue_reliance_by_layer import (
    NETWORK,
    READ,
    CueRelianceByLayerParams,
    cue_reliance_by_layer,
)


def two_gaussians(rng, mean, n=3000):
    y = np.arange(n) % 2
    z = np.outer(2 * y - 1, mean) + rng.standard_normal((n, 2))
    return z, {"label": y, "a": (z[:, 0] > 0).astype(int), "b": (z[:, 1] > 0).astype(int)}


def quadrature(mean) -> float:
    """Share of conflicts in which the sign of mean · z is that of the second cue, by the density on a grid."""
    at = np.linspace(-8, 8, 1201)
    a, b = np.meshgrid(at, at, indexing="ij")
    points = np.stack([a, b], axis=-1)
    p = sum(multivariate_normal(s * np.asarray(mean)).pdf(points) for s in (1, -1))
    apart = a * b < 0
    follows = (mean[0] * a + mean[1] * b > 0) == (b > 0)
    return float(p[apart & follows].sum() / p[apart].sum())


@pytest.mark.parametrize("mean", [(0.9, 0.5), (0.6, 0.6)])
def test_the_optimal_reader_follows_the_second_cue_as_often_as_the_density_says(rng, mean):
    z, columns = two_gaussians(rng, mean)
    found = cue_reliance(
        ArrayActivations(z, samples=columns),
        params=CueRelianceParams(core="a", shortcut="b", maximum_samples=3000),
    ).columns
    assert found["optimal reader"][1] == pytest.approx(quadrature(mean), abs=0.04)
    assert found["bias"][1] == pytest.approx(0, abs=0.04)  # a linear reader
    assert found["reliance"].sum() == pytest.approx(1)  # of two labels one of the cues is always followed
    known = [np.mean(columns[c] == columns["label"]) for c in "ab"]
    np.testing.assert_allclose(found["predictivity"], known)
    assert (found["availability"] > 0.95).all()


def test_a_network_that_reads_the_shortcut_alone_is_told_and_is_drawn_as_a_level(rng):
    z, columns = two_gaussians(rng, (0.9, 0.5), 600)
    columns["predicted"] = columns["b"]
    taps = [ArrayActivations(v, name, columns) for name, v in (("s:one", z), ("s:two", z * 3 + 1))]
    found = cue_reliance(*taps, params=CueRelianceParams(core="a", shortcut="b"))
    np.testing.assert_array_equal(found.columns["reliance"], [0, 1, 0, 1])
    assert found.columns["bias, low"][1] > 0
    assert "more than it deserves" in found.reading
    line = cue_reliance_by_layer(*taps, params=CueRelianceByLayerParams(core="a", shortcut="b"))
    np.testing.assert_array_equal(line.series[NETWORK], [1, 1])
    for cue in READ.values():  # scaling and shifting units is no matter to a linear probe
        assert line.series[cue][0] == pytest.approx(line.series[cue][1], abs=0.01)
    columns["predicted"] = np.array(["unheard of"] * 600)
    other = cue_reliance(
        ArrayActivations(z, samples=columns), params=CueRelianceParams(core="a", shortcut="b")
    )
    assert any("no label of" in c for c in other.caveats)


def test_a_planted_cue_agrees_as_often_as_asked_and_is_followed_when_the_tap_knows_nothing(rng):
    label = np.arange(200) % 4
    cue, units = planted_cue(label, 0.7, 50.0, rng)
    assert np.mean(cue == label.astype(str)) == pytest.approx(0.7)
    np.testing.assert_array_equal(units.argmax(axis=1).astype(str), cue)
    tap = ArrayActivations(rng.standard_normal((200, 3)), samples={"label": label})
    found = cue_reliance(tap, params=CueRelianceParams(agreement=0.7, strength=50.0)).columns
    assert found["reliance"][1] > 0.8
    assert found["availability"][1] == 1
    assert found["availability"][0] > found["availability by chance"][0]  # it is read through the shortcut


def test_too_few_conflicts_one_column_twice_and_no_such_column_are_refused(rng):
    label = np.arange(100) % 2
    near = label.copy()
    near[:20] = 1 - near[:20]
    tap = ArrayActivations(rng.standard_normal((100, 3)), samples={"label": label, "near": near})
    with pytest.raises(NotEnoughData, match="different labels of 20"):
        cue_reliance(tap, params=CueRelianceParams(shortcut="near"))
    with pytest.raises(ParameterError, match="both cues"):
        cue_reliance(tap, params=CueRelianceParams(shortcut="label"))
    with pytest.raises(NotFound, match="background"):
        cue_reliance(tap, params=CueRelianceParams(shortcut="background"))
