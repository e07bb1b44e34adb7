"""Heat maps against Gaussian targets: what each form of target says, by hand and by SciPy, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.tokens import heatmap_targets as method
from analysis.methods.tokens.heatmap_targets import HeatmapTargetsParams, heatmap_targets
from analysis.tokens import gaussian_maps, heatmap_fit
from analysis.tokens.gaussian_maps import OFF, bells, fits, moved_peaks
from analysis.tokens.heatmap_fit import PLACES, explained
from analysis.tokens.landmark_targets import EDGE, XS_FIRST

GRID = (12, 10)
CELLS = np.stack(np.divmod(np.arange(120), 10)[::-1], axis=1).astype(float)
AT = "{}: distance from the target".format


def planted(rng, n=12, landmarks=3, width=1.4, noise=0.0, columns=None):
    centre = rng.uniform([3, 3], [6, 8], (n, landmarks, 2))
    maps = bells(centre.reshape(-1, 2), width, CELLS).reshape(n, landmarks, -1).transpose(0, 2, 1)
    maps = maps + noise * rng.standard_normal(maps.shape)
    return tap(maps, columns or {}), centre, maps


def tap(maps, columns=None, name="s:maps"):
    n, t, landmarks = maps.shape
    return ArrayActivations(
        maps.reshape(-1, landmarks), name, columns or {}, Layout(np.arange(n + 1) * t, GRID)
    )


def named(centre, names="abc"):
    return {f"{k}{axis}": centre[:, i, j] for i, k in enumerate(names) for j, axis in enumerate("xy")}


def told(result):
    return {e.name: e for e in result.estimates}


ASKED = {"columns": "ax,ay, bx,by, cx,cy", "width": 1.4}


# ---------------------------------------------------------------------------- the mathematics
def test_the_nearest_gaussian_is_scipys(rng):
    _, _, maps = planted(rng, 4, 1, noise=0.15)
    h = maps[:, :, 0]
    found = fits(h, np.ones(h.shape, bool), CELLS)

    def model(cells, a, b, x, y, s):
        return a + b * np.exp(-((cells[:, 0] - x) ** 2 + (cells[:, 1] - y) ** 2) / (2 * s * s))

    for i in range(4):
        best, _ = curve_fit(model, CELLS, h[i], p0=[0, 1, *CELLS[h[i].argmax()], 1.4])
        left = np.square(h[i] - model(CELLS, *best)).sum() / np.square(h[i] - h[i].mean()).sum()
        np.testing.assert_allclose(found.centre[i], best[2:4], atol=1e-4)
        assert found.width[i] == pytest.approx(abs(best[4]), abs=1e-4)
        assert found.height[i] == pytest.approx(best[1], abs=1e-4)
        assert found.base[i] == pytest.approx(best[0], abs=1e-4)
        assert found.r2[i] == pytest.approx(1 - left, abs=1e-7)


def test_a_dip_is_no_peak_and_unknown_places_do_not_count(rng):
    _, centre, maps = planted(rng, 3, 1)
    h, there = maps[:, :, 0].copy(), np.ones((3, 120), bool)
    assert (fits(-h, there, CELLS).r2 <= 0.5).all()
    there[:, :10] = False
    h[:, :10] = 50.0
    np.testing.assert_allclose(fits(h, there, CELLS).centre, centre[:, 0], atol=1e-6)


def test_places_are_read_off_a_map_as_their_definitions_say(rng):
    """By hand: a quarter towards the larger neighbour; the vertex of a parabola; neither across an edge."""
    centre = np.array([[4.3, 5.0], [0.0, 2.8], [9.0, 11.0]])
    h = bells(centre, 1.2, CELLS)
    quarter, vertex = moved_peaks(h, np.ones(h.shape, bool), GRID)
    np.testing.assert_allclose(quarter, [[4.25, 5.0], [0.0, 2.75], [9.0, 11.0]])
    np.testing.assert_allclose(vertex, centre, atol=1e-12)


def test_a_peak_anywhere_in_its_cell_is_off_as_the_closed_form_says():
    """By a fine grid of places in the cell instead of the integral."""
    at = (np.arange(400) + 0.5) / 400 - 0.5
    assert np.hypot(at[:, None], at).mean() == pytest.approx(OFF, abs=1e-5)


def test_what_a_target_explains(rng):
    h, g = rng.standard_normal((2, 5, 40))
    raw, alike = explained(h, g, np.ones((5, 40), bool))
    for i in range(5):
        r = np.corrcoef(h[i], g[i])[0, 1]
        assert raw[i] == pytest.approx(1 - np.square(h[i] - g[i]).sum() / np.square(g[i] - g[i].mean()).sum())
        assert alike[i] == pytest.approx(max(r, 0) ** 2)


# ---------------------------------------------------------------------------- forms of targets
def test_columns_a_tap_of_coordinates_and_a_tap_of_maps_say_the_same(rng):
    maps, centre, values = planted(rng)
    n = len(centre)
    with_columns, _, _ = planted(np.random.default_rng(0))
    with_columns = tap(values, named(centre))
    by_columns = told(heatmap_targets(with_columns, params=HeatmapTargetsParams(**ASKED)))
    coordinates = ArrayActivations(centre.reshape(n, -1), "s:xy")
    by_tap = told(heatmap_targets(maps, coordinates, params=HeatmapTargetsParams(width=1.4)))
    by_maps = told(heatmap_targets(maps, tap(values, name="s:target")))
    assert by_columns.keys() == by_tap.keys() == by_maps.keys()
    for name, e in by_columns.items():
        assert by_tap[name].value == pytest.approx(e.value, abs=1e-6)
        assert by_maps[name].value == pytest.approx(e.value, abs=1e-6)
    assert by_columns["explained by the target as it is"].value == pytest.approx(1)
    assert by_columns["explained by the target as it is"].null < 0.6
    for name in PLACES[:2]:
        off = np.linalg.norm(centre.reshape(-1, 2) - np.round(centre).reshape(-1, 2), axis=1)
        want = off.mean() if name == PLACES[0] else by_columns[AT(name)].value
        assert by_columns[AT(name)].value == pytest.approx(want)


def test_samples_of_a_second_store_are_matched_by_id(rng):
    _, centre, values = planted(rng)
    ids = np.array([f"p{i}" for i in range(12)])
    order = rng.permutation(12)
    maps = tap(values, {"id": ids})
    xy = ArrayActivations(centre[order].reshape(12, -1), "other:xy", {"id": ids[order]})
    found = told(heatmap_targets(maps, xy, params=HeatmapTargetsParams(width=1.4)))
    assert found["explained by the target as it is"].value == pytest.approx(1)


def test_pixels_with_zero_at_the_edge_and_all_x_first_are_the_same_landmarks(rng):
    _, centre, values = planted(rng)
    pixels = (centre + 0.5) * 4
    flat = np.concatenate([pixels[:, :, 0], pixels[:, :, 1]], axis=1)
    found = heatmap_targets(
        tap(values), ArrayActivations(flat, "s:xy"),
        params=HeatmapTargetsParams(width=1.4, cell_size=4.0, zero=EDGE, order=XS_FIRST),
    )  # fmt: skip
    assert told(found)["explained by the target as it is"].value == pytest.approx(1)


def test_a_map_moved_by_a_cell_is_a_cell_off_in_every_way(rng):
    _, centre, values = planted(rng)
    shifted = centre + np.array([1.0, 0.0])
    found = told(heatmap_targets(tap(values, named(np.round(shifted))), params=HeatmapTargetsParams(**ASKED)))
    off = np.linalg.norm(np.round(centre) - np.round(shifted), axis=2).mean()
    assert found[AT(PLACES[0])].value == pytest.approx(off) == 1.0
    assert found[AT(PLACES[0])].null > 1.0


def test_unknown_landmarks_and_those_outside_are_left_out_and_said(rng):
    _, centre, values = planted(rng)
    wrong = values.copy()
    wrong[2, :, 1] = wrong[3, :, 0] = wrong[4, :, 2] = rng.random((120,))
    centre[2, 1], centre[3, 0], centre[4, 2] = np.nan, [99, 3], [3, -7]
    found = heatmap_targets(tap(wrong, named(centre)), params=HeatmapTargetsParams(**ASKED))
    assert told(found)["explained by the target as it is"].value == pytest.approx(1)
    assert any("1 target(s) without coordinates" in c for c in found.caveats)
    assert any("2 landmark(s) outside the map" in c for c in found.caveats)


# ---------------------------------------------------------------------------- what is shown
def test_prediction_and_target_lie_beside_each_other_in_one_height(rng):
    _, centre, values = planted(rng)
    found = heatmap_targets(
        tap(5 + 3 * values, named(centre)), params=HeatmapTargetsParams(sample=7, **ASKED)
    )
    assert found.grid == GRID
    assert found.names[:2] == (f"{found.names[0][0]}: prediction", f"{found.names[0][0]}: target")
    assert len(found.names) == 6
    np.testing.assert_allclose(found.values[::2], found.values[1::2], atol=1e-9)
    np.testing.assert_array_equal(found.samples, 7)
    assert told(found)["explained up to height and base"].value == pytest.approx(1)
    assert told(found)["explained by the target as it is"].value < 0
    few = heatmap_targets(tap(values, named(centre)), params=HeatmapTargetsParams(shown=1, **ASKED))
    assert len(few.names) == 2
    assert any("1 of 3 landmarks are drawn" in c for c in few.caveats)


def test_without_targets_each_map_is_compared_with_its_own_gaussian(rng):
    maps, _, _ = planted(rng, noise=0.05)
    found = heatmap_targets(maps)
    by = told(found)
    assert by["explained by a Gaussian of its own"].low > by["explained by a Gaussian of its own"].null + 0.5
    assert by["width of that Gaussian"].value == pytest.approx(1.4, abs=0.1)
    assert not any("target as it is" in name for name in by)
    assert any("No targets are known" in c for c in found.caveats)
    noise = told(heatmap_targets(tap(rng.standard_normal((12, 120, 3)))))
    own = noise["explained by a Gaussian of its own"]
    assert own.low < own.null < own.high


def test_what_a_perfect_map_leaves_is_said_of_the_very_targets(rng):
    _, centre, values = planted(rng, n=60)
    whole = told(heatmap_targets(tap(values, named(centre)), params=HeatmapTargetsParams(**ASKED)))
    for name in PLACES[:4]:
        said = float(whole[AT(name)].estimator.rsplit(" ", 1)[1])
        assert whole[AT(name)].value == pytest.approx(said, abs=6e-4)


# ---------------------------------------------------------------------------- refusals
def test_what_is_no_target_is_refused(rng):
    maps, centre, values = planted(rng)
    with pytest.raises(NotFound, match="no sample column 'ax'"):
        heatmap_targets(maps, params=HeatmapTargetsParams(**ASKED))
    with pytest.raises(ParameterError, match="4 coordinates for 3"):
        heatmap_targets(
            tap(values, named(centre)), params=HeatmapTargetsParams(columns="ax, ay, bx, by", width=1.4)
        )
    with pytest.raises(InputError, match="120 places of 2 maps"):
        heatmap_targets(maps, tap(values[:, :, :2], name="s:target"))
    words = {name: np.array(["left"] * 12) for name in named(centre)}
    with pytest.raises(InputError, match="holds no numbers"):
        heatmap_targets(tap(values, words), params=HeatmapTargetsParams(**ASKED))
    with pytest.raises(NotEnoughData, match="a map that varies"):
        heatmap_targets(tap(np.ones((12, 120, 2))))
    with pytest.raises(NotFound, match="sample 40"):
        heatmap_targets(maps, params=HeatmapTargetsParams(sample=40))


# ---------------------------------------------------------------------------- the check
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (method, "OFF", 0.5),
        (heatmap_fit, "moved_peaks", lambda h, there, grid: (CELLS[:1] * np.ones((len(h), 2)),) * 2),
        (heatmap_fit, "explained", lambda h, g, there: explained(h, g, there)[::-1]),
        (heatmap_fit, "soft_argmax", lambda x, there, cells, b: np.zeros((len(x), x.shape[2], 2))),
        (gaussian_maps, "STEPS", 1),
    ],
    ids=["closed form", "neighbours", "height", "soft-argmax", "too few steps"],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in method._check())
