"""Synthetic samples among real classes: counted in all units, drawn as stars."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.errors import NotEnoughData, ShapeError
from analysis.methods.similarity.synthetic_cloud import (
    OF_MEANS,
    SyntheticCloudParams,
    _held_out,
    synthetic_cloud,
)
from dashboard.figures import scatter
from dashboard.figures.style import LIGHT


@pytest.fixture
def clouds():
    rng = np.random.default_rng(0)
    of, made = np.arange(90) % 3, np.arange(12) % 3
    real = rng.standard_normal((90, 5)) + 6 * np.eye(5)[of]
    return real, of, 0.3 * rng.standard_normal((12, 5)) + 6 * np.eye(5)[made], made


def told(real, of, synthetic, made, **params):
    taps = [
        ArrayActivations(x, name, {"label": y})
        for x, name, y in ((real, "real", of), (synthetic, "made", made))
    ]
    return synthetic_cloud(*taps, SyntheticCloudParams(**params))


def test_stars_of_the_wrong_class_and_stars_off_the_plane_are_counted(clouds):
    real, of, synthetic, made = clouds
    assert told(*clouds).estimates[0].value == 1
    assert told(real, of, synthetic, (made + 1) % 3).estimates[0].value == 0
    far = synthetic + 50 * np.eye(5)[4]  # a unit that no class uses
    one, other = (told(real, of, s, made) for s in (synthetic, far))
    shares = [
        {e.name: e.value for e in f.estimates}["variance in the plane, synthetic"] for f in (one, other)
    ]
    assert shares[1] < 0.1 < shares[0]
    offset = [{e.name: e for e in f.estimates}["offset of a class"] for f in (one, other)]
    assert offset[0].value < 2 * offset[0].null
    assert offset[1].value > 20


def test_real_samples_are_held_against_means_without_them(clouds):
    rng = np.random.default_rng(1)
    x, of = rng.standard_normal((30, 4)), np.arange(30) % 3
    means = np.stack([x[of == c].mean(axis=0) for c in range(3)])
    hits = 0
    for i in range(30):
        rest = np.arange(30) != i
        own = np.stack([x[rest & (of == c)].mean(axis=0) for c in range(3)])
        hits += int(np.linalg.norm(x[i] - own, axis=1).argmin() == of[i])
    assert _held_out(x, of, means) == pytest.approx(hits / 30, abs=1e-15)


def test_a_plane_of_class_means_shows_them_better_and_rotation_changes_nothing(clouds):
    real, of, synthetic, made = clouds
    noisy = real + np.array([0, 0, 0, 20.0, 20.0]) * np.random.default_rng(2).standard_normal(real.shape)
    found = told(noisy, of, synthetic, made, axes=OF_MEANS)
    apart = [
        np.linalg.norm(found.ellipses[i, :2] - found.ellipses[j, :2]) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert min(apart) > 6
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((5, 5)))[0]
    moved = told(3 * noisy @ turn + 1, of, 3 * synthetic @ turn + 1, made, axes=OF_MEANS)
    np.testing.assert_allclose(np.abs(moved.positions), 3 * np.abs(found.positions), atol=1e-8)


def test_stars_are_drawn_on_top_in_the_colours_of_their_class(clouds):
    found = told(*clouds)
    figure = scatter.screen(found, LIGHT)
    points, stars = figure.data[:3], figure.data[3:6]
    assert [len(t.x) for t in (*points, *stars)] == [30, 30, 30, 4, 4, 4]
    assert all(t.marker.symbol == "star" for t in stars)
    assert [t.marker.color for t in points] == [t.marker.color for t in stars]
    by_value = scatter.screen(found, LIGHT, colour="sample").data
    assert [(len(t.x), len(t.marker.color)) for t in by_value[:2]] == [(90, 90), (12, 12)]
    assert "12 points are stars: synthetic samples." in scatter.words(found)


def test_what_cannot_be_compared_is_refused(clouds):
    real, of, synthetic, made = clouds
    with pytest.raises(ShapeError):
        told(real, of, synthetic[:, :4], made)
    with pytest.raises(NotEnoughData, match="no class with three real"):
        told(real, of, synthetic, made + 5)
