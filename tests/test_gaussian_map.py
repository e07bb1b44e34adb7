"""Classes of two taps as ellipses in one plane: the ellipses, the distances, zero-shot accuracies and the drawing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import gaussian_plane as mathematics
from analysis.compute.subspaces.gaussian_classes import gaussians_of, wasserstein
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.concepts import gaussian_map as module
from analysis.methods.concepts.gaussian_map import POINTS, POSTERIORS, GaussianMapParams, gaussian_map
from analysis.results import Origin
from analysis.selection import Selection
from dashboard import colouring
from dashboard.figures import scatter
from dashboard.figures.export import export, on_paper
from dashboard.figures.style import LIGHT

OWN = "W₂ to the other tap"


def tap(x, label, name="tap"):
    return ArrayActivations(x, samples={"label": np.asarray(label)}, name=name)


@pytest.fixture
def two(rng):
    """Four classes in five units; the second tap has fewer samples, and class 3 elsewhere."""
    label, other = np.arange(240) % 4, np.arange(80) % 4
    centres, spread = 5 * rng.standard_normal((4, 5)), rng.uniform(0.5, 2, (4, 5))
    x = centres[label] + spread[label] * rng.standard_normal((240, 5))
    y = centres[other] + spread[other] * rng.standard_normal((80, 5))
    y[other == 3] += 40
    return x, label, y, other


def asked(two, **how):
    x, label, y, other = two
    return gaussian_map(tap(x, label, "net:image"), tap(y, other, "net:attribute"), GaussianMapParams(**how))


def test_w2_is_that_of_the_gaussians_and_the_same_both_ways(two):
    x, label, y, other = two
    one, back = asked(two), asked((y, other, x, label))
    expected = np.diag(wasserstein(gaussians_of(x, label, 4), gaussians_of(y, other, 4)))
    np.testing.assert_allclose(one.ellipse_columns[OWN], np.tile(expected, 2), rtol=1e-12)
    np.testing.assert_allclose(back.ellipse_columns[OWN], one.ellipse_columns[OWN], rtol=1e-12)
    same = asked((x, label, x, label))
    np.testing.assert_array_equal(same.ellipse_columns[OWN], 0.0)
    wider = x[label == 0].mean(axis=0)
    scaled = np.where((label == 0)[:, None], wider + 1.5 * (x - wider), x)
    found = asked((x, label, scaled, label)).ellipse_columns[OWN][:4]
    assert found[0] == pytest.approx(0.5 * np.linalg.norm(x[label == 0].std(axis=0)))
    assert (found[1:] == 0).all()


def test_an_ellipse_is_the_covariance_of_its_drawn_points(two):
    """Points in whitened coordinates of their ellipse have unit covariance and mean 0."""
    found = asked(two, deviations=1.0, plane=POINTS)
    for i, (x, y, a, b, angle) in enumerate(found.ellipses):
        mine = (found.columns["class"] == found.ellipse_columns["class"][i]) & (
            found.columns["tap"] == found.ellipse_columns["tap"][i]
        )
        z = found.positions[mine] - [x, y]
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(np.cov((z @ turn / [a, b]).T, bias=True), np.eye(2), atol=1e-9)
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9)
    assert list(found.ellipse_dashed) == [False] * 4 + [True] * 4
    np.testing.assert_allclose(
        asked(two, deviations=2.0, plane=POINTS).ellipses[:, 2:4], 2 * found.ellipses[:, 2:4]
    )


def test_posterior_variance_is_in_the_ellipse_as_in_draws_from_the_posteriors(rng):
    label = np.repeat([0, 1], 30)
    means = 6 * np.eye(2, 3)[label] + 0.3 * rng.standard_normal((60, 3))
    variances = rng.uniform(0.5, 2.0, (60, 3)) * [1.0, 4.0, 0.2]
    latent = np.hstack([means, np.log(variances)])
    with_it = asked((latent, label, latent, label), holds=POSTERIORS, deviations=1.0)
    without = asked((means, label, means, label), deviations=1.0)
    assert (with_it.ellipses[:, 2] > 2 * without.ellipses[:, 2]).all()
    drawn = (means[:, None] + np.sqrt(variances)[:, None] * rng.standard_normal((60, 4000, 3))).reshape(-1, 3)
    plane = mathematics.plane_of(module_sides(means, label), [gaussians_of(means, label, 2).means] * 2, True)
    z = (drawn - plane[0]) @ plane[1]
    for c in (0, 1):
        spread = np.cov(z[np.repeat(label, 4000) == c].T, bias=True)
        np.testing.assert_allclose(
            np.sqrt(np.linalg.eigvalsh(spread)[::-1]), with_it.ellipses[c, 2:4], rtol=0.02
        )


def module_sides(x, label):
    from analysis.compute.subspaces.gaussian_sides import Side

    return [Side(x, label, None)] * 2


@pytest.mark.parametrize("shape", [(60, 4), (12, 30)])
def test_the_plane_is_the_leading_one_of_a_singular_value_decomposition(rng, shape):
    x = rng.standard_normal(shape) * np.linspace(3, 0.5, shape[1])
    label = np.arange(shape[0]) % 2
    middle, axes, shares = mathematics.plane_of(module_sides(x, label), [], False)
    s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[1:]
    np.testing.assert_allclose(middle, x.mean(axis=0))
    np.testing.assert_allclose(np.abs(np.diag(vt[:2] @ axes)), 1.0, atol=1e-9)
    np.testing.assert_allclose(shares, s[:2] ** 2 / (s**2).sum())


def test_seen_unseen_and_their_harmonic_mean(two):
    """Class 3's attributes lie elsewhere: unseen accuracy 0, so the harmonic mean is 0."""
    found = {e.name: e.value for e in asked(two, unseen="3").estimates}
    assert found["accuracy of unseen classes"] == 0.0
    assert found["harmonic mean of seen and unseen"] == 0.0
    assert found["accuracy of seen classes"] > 0.6
    other = {e.name: e.value for e in asked(two, unseen="1").estimates}
    s, u, h = (
        other[k]
        for k in (
            "accuracy of seen classes",
            "accuracy of unseen classes",
            "harmonic mean of seen and unseen",
        )
    )
    assert 0 < s < 1
    assert h == pytest.approx(2 * s * u / (s + u))
    assert h <= 2 * min(s, u)
    split = asked(two, unseen="3")
    np.testing.assert_array_equal(split.columns["split"] == "unseen", split.columns["class"] == "3")


def test_two_samples_of_one_gaussian_are_as_far_apart_as_sampling_says(rng):
    """The mean of W₂² over 200 pairs of samples within 10 % of the square of what is said."""
    n, m, d = 40, 25, 6
    spread = np.linspace(0.5, 2, d)
    squares, said = [], []
    for _ in range(100):
        x, y = (spread * rng.standard_normal((2 * k, d)) for k in (n, m))
        a, b = np.repeat([0, 1], n), np.repeat([0, 1], m)
        whole = [gaussians_of(x, a, 2), gaussians_of(y, b, 2)]
        squares += list(np.diag(wasserstein(*whole)) ** 2)
        sides = [module_sides(x, a)[0], module_sides(y, b)[0]]
        said.append((mathematics.sampling_floor(sides, whole) ** 2).mean())
    assert np.mean(said) == pytest.approx(np.mean(squares), rel=0.1)


def test_what_the_plane_shows(rng):
    """Two taps apart along one unit only that the class means do not differ in: nothing of it is shown."""
    label = np.arange(200) % 3
    x = 9 * np.vstack([np.zeros(4), np.eye(2, 4)])[label] + 0.1 * rng.standard_normal((200, 4))
    hidden = asked((x, label, x + np.array([0, 0, 0, 2.0]), label)).estimates[-1]
    shown = asked((x, label, x + np.array([2.0, 0, 0, 0]), label)).estimates[-1]
    assert hidden.value < 0.05
    assert shown.value == pytest.approx(1.0, abs=0.05)
    assert hidden.null == pytest.approx(0.5)


def test_refusals_and_chosen_classes(two):
    x, label, y, other = two
    with pytest.raises(InputError, match="two taps of one space"):
        asked((x, label, y[:, :3], other))
    with pytest.raises(InputError, match="log-variances"):
        asked(two, holds=POSTERIORS)
    with pytest.raises(ParameterError, match="7"):
        asked(two, only="7")
    with pytest.raises(NotEnoughData, match="in both taps"):
        asked((x, label, y, other + 9))
    few = asked(two, only="1, 2")
    assert set(few.columns["class"]) == {"1", "2"}
    assert len(few.ellipses) == 4
    assert any("2 of 4 common classes" in c for c in few.caveats)
    assert few.estimates[1].n == 240


# ---------------------------------------------------------------------------- the drawing
def test_ellipses_have_their_class_s_colour_and_the_second_tap_is_dashed(two):
    found = asked(two)
    lines = [t for t in scatter.screen(found, LIGHT).data if t.mode == "lines"]
    assert len(lines) == 8
    points = {t.name: t.marker.color for t in scatter.screen(found, LIGHT).data if t.mode == "markers"}
    for line in lines:
        said = str(line.hovertext[0])
        name = said.split("<br>")[0].split(" ")[-1]
        assert line.line.color == points[name]
        assert (line.line.dash == "dash") == ("attribute" in said)
        assert OWN in said
    plain = [t for t in scatter.screen(found, LIGHT, colour="tap").data if t.mode == "lines"]
    assert len(plain) == 2  # one colour for each tap


def test_outlines_reach_into_the_picture(rng):
    """Posterior ellipses far wider than their points are not cut off on screen."""
    label = np.repeat([0, 1], 20)
    means = np.eye(2)[label] + 0.01 * rng.standard_normal((40, 2))
    latent = np.hstack([means, np.full((40, 2), np.log(25.0))])
    figure = scatter.screen(asked((latent, label, latent, label), holds=POSTERIORS), LIGHT)
    low, high = figure.layout.xaxis.range
    assert low < -9
    assert high > 9


def test_the_table_has_a_line_for_each_ellipse_before_the_points(two):
    found = asked(two, unseen="3")
    table = scatter.table(found)
    assert {len(c) for c in table.values()} == {8 + 320}
    assert list(table["drawn"][:9]) == ["ellipse"] * 8 + ["point"]
    np.testing.assert_allclose(table["longer half axis"][:8], found.ellipses[:, 2])
    assert np.isnan(table["longer half axis"][8:]).all()
    assert list(table["class"][:4]) == ["0", "1", "2", "3"]
    said = scatter.words(found)
    assert "8 ellipses show a class in image (solid) or attribute (dashed), 2 deviations wide" in said
    assert "small ball" not in said
    assert scatter.notes(found) == (
        "ellipses: a class in image (solid) or attribute (dashed), 2 deviations wide",
    )


def test_on_paper_as_many_outlines_with_dashes(two):
    figure = on_paper(asked(two))
    lines = [c for c in figure.axes[0].collections if type(c).__name__ == "LineCollection"]
    assert sum(len(c.get_paths()) for c in lines) == 8
    dashes = [c.get_linestyle()[0][1] is not None for c in lines]
    assert sum(dashes) == 4
    assert len({tuple(c.get_colors()[0]) for c in lines}) == 4
    assert export(asked(two), "pdf")[:4] == b"%PDF"


def test_points_of_two_taps_are_coloured_by_their_own_columns_only(two):
    """Their rows are not the first tap's, whose labels and units would colour the wrong points."""
    store = SimpleNamespace(samples={"label": two[1]}, complete=True)
    workspace = SimpleNamespace(store=lambda name: store, activations=lambda name: tap(two[0], two[1]))
    origin = Origin("gaussian_map", 1, {}, ({"name": "net:image"}, {"name": "net:attribute"}), 0, {})
    result = replace(asked(two), origin=origin)
    ids = [s.id for s in colouring.offered(result, workspace)]
    assert ids == list(result.columns)
    assert colouring.coloured(result, workspace, "tap").colour == "tap"
    assert colouring.coloured(result, workspace, "label").colour == "class"
    assert colouring.covered(result, workspace, Selection("some", "samples", "net", "", ["0", "1"])) is None


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "wasserstein", lambda a, b: np.linalg.norm(a.means[:, None] - b.means, axis=2)),
        (
            module,
            "ellipses_in",
            lambda s, m, c, axes, o, k: mathematics.ellipses_in(s, m, c, axes, o, 1.01 * k),
        ),
        (module, "share_in_plane", lambda g, axes: 0.5),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
