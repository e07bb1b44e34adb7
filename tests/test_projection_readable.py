"""Sparse and rotated components, local linear maps, aligned series, and what every map says about itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pipeline, registry, results
from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.loadings import (
    adjusted_variances,
    in_words,
    simplicity,
    sparse_directions,
    truncated,
    varimax,
)
from analysis.compute.linear.procrustes import best_residual, residual_share, rotation_onto
from analysis.compute.maps.local_maps import LocalStrain, fit_local_maps, spread_centres, start_at_components
from analysis.compute.maps.map_quality import placement_quality
from analysis.compute.maps.map_report import map_report
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.statistics.ratios import random_direction_shares, ratio_interval, sample_sums
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.projection.aligned_series import AlignedSeriesParams, aligned_series, in_series
from analysis.methods.projection.local_linear_maps import (
    LocalLinearMapsParams,
    ellipses,
    fitted,
    held_out_gain,
    local_linear_maps,
)
from analysis.methods.projection.rotated_pca import RotatedPcaParams, rotated_directions, rotated_pca
from analysis.methods.projection.sparse_pca import SparsePcaParams, sparse_pca

FEW = settings(max_examples=20, deadline=None)
OURS = ("tsne", "directions", "discriminant", "partial_least_squares", "sparse_pca", "rotated_pca",
        "laplacian_eigenmaps", "local_linear_maps", "response_maps", "graph_fusion", "aligned_series",
        "expected_order")  # fmt: skip


def orthogonal(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


# ---------------------------------------------------------------------------- every map
@pytest.mark.parametrize("id", OURS)
def test_every_map_measures_itself_per_point(id, rng):
    method, label = registry.method(id), np.arange(120) % 3
    x = rng.standard_normal((120, 6)) + label[:, None] * np.arange(6)
    taps = [ArrayActivations(x + i, samples={"label": label}) for i in range(method.inputs)]
    result = method.function(*taps, params=method.params(), rng=np.random.default_rng(0))
    names = [e.name for e in result.estimates]
    for column, word in (
        ("trust", "trustworth"),
        ("continuity", "continuity"),
        ("recall", "neighbour recall"),
    ):
        e = next(e for e in result.estimates if e.name.startswith(word))
        assert np.nanmean(result.columns[column]) == pytest.approx(e.value, abs=1e-6)
    assert len(set(names)) == len(names)


BAD = {
    "two points": lambda rng: rng.standard_normal((2, 5)),
    "duplicates": lambda rng: np.repeat(rng.standard_normal((6, 5)), 40, axis=0),
    "one point and its copies": lambda rng: np.vstack([np.zeros((150, 5)), rng.standard_normal((3, 5))]),
    "more units than rows": lambda rng: rng.standard_normal((45, 200)),
    "tiny": lambda rng: 1e-30 * rng.standard_normal((90, 5)),
    "huge": lambda rng: 1e30 * rng.standard_normal((90, 5)),
    "far from zero": lambda rng: 1e8 + rng.standard_normal((90, 5)),
    "one far outlier": lambda rng: np.vstack([rng.standard_normal((90, 5)), np.full((1, 5), 1e7)]),
    "a line": lambda rng: np.linspace(0, 1, 90)[:, None] * np.ones(4),
    "infinite row": lambda rng: np.where(np.arange(90)[:, None] == 3, np.inf, rng.standard_normal((90, 5))),
    "constant units": lambda rng: np.hstack([rng.standard_normal((90, 4)), np.full((90, 3), 1e6)]),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("id", OURS)
@pytest.mark.filterwarnings("error")
def test_bad_input_is_refused_with_a_reason_or_gives_numbers(id, case, rng):
    method, x = registry.method(id), BAD[case](rng)
    tap = ArrayActivations(x, samples={"label": np.arange(len(x)) % 3})
    try:
        result = method.function(*[tap] * method.inputs, params=method.params(), rng=np.random.default_rng(0))
    except (NotEnoughData, InputError, TooLarge):
        return
    assert np.isfinite(result.positions).all()
    for e in result.estimates:
        assert np.isfinite(e.value), e
        assert e.low is None or e.low <= e.value * (1 + np.sign(e.value) * 1e-9) <= e.high * (1 + 1e-6) + 1e-9


def test_map_report_is_placement_quality(rng):
    x = rng.standard_normal((80, 5))
    report, quality = map_report(x, x[:, :2], rng), placement_quality(x, x[:, :2], 15)
    np.testing.assert_allclose(report.columns["trust"], quality.trust[:, 0], rtol=1e-6)
    sampled = map_report(x, x[:, :2], rng, maximum_anchors=50)
    assert np.isfinite(sampled.columns["recall"]).sum() == 50
    assert "50 of 80" in sampled.notes[0]
    assert "at k = 2" in map_report(x[:5], x[:5, :2], rng).estimates[0].name


def test_cloud_knows_its_samples(rng):
    x = rng.standard_normal((12, 3))
    x[4] = np.nan
    tap = ArrayActivations(
        x, layout=Layout(np.array([0, 4, 5, 8, 12]))
    )  # the second sample has no finite row
    cloud = point_cloud(tap, rng, maximum_rows=100)
    assert cloud.sample_numbers.tolist() == [0, 2, 3]
    np.testing.assert_allclose(cloud.sample_means(), [x[:4].mean(0), x[5:8].mean(0), x[8:].mean(0)])
    assert any("NaN" in n for n in cloud.notes)
    with pytest.raises(InputError, match="equal"):
        point_cloud(ArrayActivations(np.ones((9, 2))), rng, maximum_rows=100)


def test_ratio_interval_covers_and_keeps_samples_together(rng):
    inside = 0
    for seed in range(60):
        r = np.random.default_rng(seed)
        above, below = r.gamma(2, size=80), r.gamma(4, size=80)
        low, high = ratio_interval(above, below, r, draws=300)
        inside += low <= 0.5 <= high
    assert 50 <= inside <= 60
    assert sample_sums(np.arange(6.0), np.array([0, 0, 1, 2, 2, 2])).tolist() == [1, 2, 12]
    shares = random_direction_shares(rng.standard_normal((3000, 20)), rng)
    assert shares.mean() == pytest.approx(1 / 20, abs=0.002)


# ---------------------------------------------------------------------------- sparse components
def best_subset(c, r):
    """By trying all subsets: the largest eigenvalue of an r x r block."""
    from itertools import combinations

    return max((np.linalg.eigvalsh(c[np.ix_(s, s)])[-1], s) for s in combinations(range(len(c)), r))


def test_sparse_axis_is_near_the_best_of_all_subsets():
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((100, 9)) @ rng.standard_normal((9, 9))
        x -= x.mean(axis=0)
        found = sparse_directions(x, 1, 3)[0]
        assert (found != 0).sum() == 3
        shares.append(((x @ found) ** 2).sum() / best_subset(x.T @ x, 3)[0])
    assert min(shares) > 0.9
    assert np.mean(np.array(shares) > 0.999) > 0.7


@FEW
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_sparse_axes_follow_a_permutation_of_the_units(seed, r):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 8)) * np.linspace(1, 3, 8)
    x -= x.mean(axis=0)
    order = rng.permutation(8)
    a, b = sparse_directions(x, 2, r), sparse_directions(x[:, order], 2, r)
    np.testing.assert_allclose(np.abs(a[:, order]), np.abs(b), atol=1e-6)


def test_adjusted_variance_never_exceeds_that_of_components(rng):
    x = rng.standard_normal((200, 10)) @ rng.standard_normal((10, 10))
    x -= x.mean(axis=0)
    best = np.linalg.svd(x, compute_uv=False)[:3] ** 2 / 199
    for r in (1, 3, 10):
        added = adjusted_variances(x @ sparse_directions(x, 3, r).T)
        assert (added.cumsum() <= best.cumsum() * (1 + 1e-9)).all()
    np.testing.assert_allclose(added, best, rtol=1e-6)
    twice = np.stack([x[:, 0], x[:, 0] + 1e-9 * x[:, 1]], axis=1)
    assert adjusted_variances(twice)[1] < 1e-12


def test_sparse_pca_of_noise_is_inside_its_null_and_units_do_not_come_again(rng):
    r = sparse_pca(rng.standard_normal((200, 60)), SparsePcaParams(null_draws=30))
    assert r.estimates[0].p_value > 0.03
    assert r.estimates[2].value < 0.7
    planted = rng.standard_normal((200, 1)) * np.r_[np.ones(4), np.zeros(56)] + 0.3 * rng.standard_normal(
        (200, 60)
    )
    r = sparse_pca(planted, SparsePcaParams(units_per_axis=4))
    assert r.estimates[0].value > r.estimates[0].null_high
    assert r.estimates[2].value == 1


def test_words_name_the_strongest_units():
    names = tuple("abcdefgh")
    assert in_words(np.array([0, -0.8, 0, 0.6, 0, 0, 0, 0]), names) == "-0.80 unit b + 0.60 unit d"
    assert in_words(np.full(8, 0.35), names, 2) == "0.35 unit a + 0.35 unit b and 6 more"
    assert in_words(np.zeros(8), names) == ""
    np.testing.assert_array_equal(truncated(np.array([3.0, -4, 1]), 2), [0.6, -0.8, 0])


# ---------------------------------------------------------------------------- rotated components
@FEW
@given(st.integers(0, 10**6))
def test_varimax_undoes_any_mixing_of_simple_axes(seed):
    rng = np.random.default_rng(seed)
    simple = np.zeros((20, 4))
    for j in range(4):
        simple[5 * j : 5 * j + 5, j] = rng.uniform(0.5, 1, 5) * rng.choice([-1, 1], 5)
    simple /= np.linalg.norm(simple, axis=0)
    found = simple @ orthogonal(rng, 4)
    found = found @ varimax(found, rng)
    np.testing.assert_allclose(np.sort(np.abs(simple.T @ found), axis=0)[-1], 1, atol=1e-6)
    assert simplicity(found) == pytest.approx(simplicity(simple))


def test_varimax_is_a_rotation_that_never_lowers_simplicity(rng):
    frame = np.linalg.qr(rng.standard_normal((30, 5)))[0]
    r = varimax(frame, rng)
    np.testing.assert_allclose(r.T @ r, np.eye(5), atol=1e-12)
    assert simplicity(frame @ r) > simplicity(frame)
    assert simplicity(np.eye(6)) == 1
    assert simplicity(np.full((16, 1), 0.25)) == pytest.approx(1 / 16)


def test_two_axes_turn_by_the_closed_form_angle(rng):
    """For two columns, tan 4φ follows from sums of u = a² - b² and v = 2 a b (Kaiser 1958)."""
    frame = np.linalg.qr(rng.standard_normal((12, 2)))[0]
    a, b = frame.T
    u, v = a**2 - b**2, 2 * a * b
    angle = np.arctan2(2 * (u * v).sum(), (u**2 - v**2).sum()) / 4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert simplicity(frame @ varimax(frame, rng)) == pytest.approx(simplicity(frame @ turn), rel=1e-9)


def test_rotation_keeps_the_subspace(rng):
    x = rng.standard_normal((100, 8)) * np.arange(8, 0, -1)
    x -= x.mean(axis=0)
    frame = rotated_directions(x, 3, rng)
    leading = np.linalg.svd(x)[2][:3]
    np.testing.assert_allclose(frame.T @ frame, leading.T @ leading, atol=1e-8)
    result = rotated_pca(x, RotatedPcaParams(rotated=3))
    np.testing.assert_allclose(np.abs(result.positions), np.abs(x @ frame[:2].T), atol=1e-4)
    assert any("turned together" in c for c in result.caveats)


# ---------------------------------------------------------------------------- local linear maps
@pytest.fixture
def bent(rng):
    z = rng.standard_normal((150, 6)) * [4, 3, 2, 1, 1, 1]
    z -= z.mean(axis=0)
    return z, fitted(z, LocalLinearMapsParams(regions=5, steps=15), rng)


def test_weights_are_a_partition_of_unity_and_maps_blend(bent):
    z, model = bent
    w = model.weights(z)
    assert w.shape == (150, 5)
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-12)
    slow = np.array([sum(w[i, c] * model.maps[c] @ z[i] for c in range(5)) for i in range(150)])
    np.testing.assert_allclose(model.place(z), slow, atol=1e-12)
    assert np.isfinite(model.weights(1e6 * z)).all()


def test_jacobian_has_the_change_of_the_weights_in_it(bent):
    z, model = bent
    h = 1e-5
    slope = np.stack([(model.place(z + h * e) - model.place(z - h * e)) / (2 * h) for e in np.eye(6)], axis=2)
    np.testing.assert_allclose(model.jacobian(z), slope, atol=1e-6)
    without = np.tensordot(model.weights(z), model.maps, axes=1)
    assert np.abs(without - slope).max() > 0.05  # what it would be with the weights held fixed


def test_strain_gradient_against_differences(rng):
    z, y = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    w = rng.random((12, 3))
    strain = LocalStrain(z, w / w.sum(axis=1, keepdims=True))
    value, gradient = strain.of(y)
    for i, j in ((0, 0), (5, 1), (11, 0)):
        step = np.zeros_like(y)
        step[i, j] = 1e-6
        slope = (strain.of(y + step)[0] - strain.of(y - step)[0]) / 2e-6
        assert gradient[i, j] == pytest.approx(slope, abs=1e-7)
    slow = 0.0
    for c in range(3):
        weight = strain.w[:, c]
        a, b = (v - weight @ v / weight.sum() for v in (y, z))
        root = np.sqrt(np.outer(weight, weight))
        slow += ((root * (a @ a.T - b @ b.T)) ** 2).sum()
    assert value * strain.total == pytest.approx(slow)


def test_one_region_is_principal_components_whatever_the_steps(rng):
    z = rng.standard_normal((80, 5)) * [5, 4, 3, 2, 1]
    z -= z.mean(axis=0)
    z = z @ np.linalg.svd(z)[2].T
    start = start_at_components(z[:1], 2, 1.0)
    model = fit_local_maps(start, z, 50)
    np.testing.assert_allclose(model.maps, start.maps, atol=1e-6)
    np.testing.assert_allclose(ellipses(model.jacobian(z))["jacobian expansion"], 1, atol=1e-6)


def test_very_wide_regions_are_one_linear_map(rng):
    x = rng.standard_normal((120, 6)) * [4, 3, 1, 1, 1, 1]
    wide = local_linear_maps(x, LocalLinearMapsParams(regions=4, width=10.0, null_draws=1, steps=10))
    assert wide.columns["jacobian expansion"].std() < 0.05


def test_ellipses_of_known_matrices():
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    found = ellipses(np.stack([turn @ np.diag([3.0, 0.5]), np.eye(2), np.zeros((2, 2)), [[1, 0], [0, 0]]]))
    np.testing.assert_allclose(found["jacobian expansion"], [1.5, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["anisotropy"][:2], [6, 1], rtol=1e-5)
    assert found["ellipse angle"][0] == pytest.approx(30, abs=1e-3)
    assert np.isfinite(found["anisotropy"]).all()


def test_maps_are_the_same_after_a_rotation_and_shift(rng):
    x = rng.standard_normal((150, 5)) * [5, 4, 3, 2, 1] + (rng.standard_normal((150, 1)) ** 2) * [
        0,
        0,
        2,
        0,
        0,
    ]
    params = LocalLinearMapsParams(null_draws=1, steps=10, regions=1)
    a, b = (local_linear_maps(v, params) for v in (x, x @ orthogonal(rng, 5) + 3))
    np.testing.assert_allclose(np.abs(a.positions), np.abs(b.positions), atol=1e-3)


def test_a_bend_is_gained_and_a_gaussian_is_not(rng):
    turn = rng.uniform(0, 4.5, 600)
    arc = np.stack([10 * np.cos(turn), 10 * np.sin(turn), 3 * rng.standard_normal(600)], axis=1)
    result = local_linear_maps(arc, LocalLinearMapsParams())
    assert result.estimates[0].value > result.estimates[0].null_high
    assert result.estimates[0].value > 0.8
    half = np.arange(600) % 2 == 0
    assert (
        held_out_gain(rng.standard_normal((600, 4)) * [4, 3, 2, 1], half, LocalLinearMapsParams(), rng) < 0.15
    )


def test_centres_do_not_repeat(rng):
    z = np.repeat(rng.standard_normal((3, 4)), 30, axis=0)
    assert len(spread_centres(z, 8, rng)) == 3


def test_regions_are_read_in_units(rng):
    x = rng.standard_normal((100, 5)) * [9, 4, 0.1, 0.1, 0.1]
    result = local_linear_maps(x, LocalLinearMapsParams(regions=1, null_draws=1))
    assert "right is 1.00 unit 0" in result.reading
    assert all(words.startswith("1.00 unit 0") for words in result.columns["right means"])


# ---------------------------------------------------------------------------- aligned series
@FEW
@given(st.integers(0, 10**6), st.integers(2, 3))
def test_procrustes_is_exact_and_optimal(seed, q):
    rng = np.random.default_rng(seed)
    fixed = rng.standard_normal((20, q))
    fixed -= fixed.mean(axis=0)
    turned = fixed @ orthogonal(rng, q)
    np.testing.assert_allclose(turned @ rotation_onto(turned, fixed), fixed, atol=1e-10)
    other = rng.standard_normal((20, q))
    other -= other.mean(axis=0)
    best = residual_share(other @ rotation_onto(other, fixed), fixed)
    assert best == pytest.approx(best_residual(other, fixed))
    assert all(best <= residual_share(other @ orthogonal(rng, q), fixed) + 1e-12 for _ in range(20))


def test_rotations_draw_no_movement_and_movement_is_what_moved(rng):
    x = rng.standard_normal((300, 5)) * [6, 3, 0.2, 0.2, 0.2]
    moved = x.copy()
    moved[:20, :2] += [4.0, 0.0]
    result = aligned_series(x, x @ orthogonal(rng, 5) + 2, moved, params=AlignedSeriesParams(scale=False))
    assert np.abs(result.frames[1] - result.frames[0]).max() < 1e-5
    assert result.columns["last step"][:20].min() > 3
    assert result.columns["last step"][20:].max() < 1
    assert result.estimates[0].value < 1e-12 < result.estimates[1].value < 0.2
    assert result.estimates[1].p_value == pytest.approx(0.01)


def test_each_frame_is_the_best_turn_of_its_own_projection(rng):
    flat = [v - v.mean(axis=0) for v in rng.standard_normal((4, 50, 2))]
    frames = in_series(flat)
    np.testing.assert_array_equal(frames[0], flat[0])
    for before, after, own in zip(frames, frames[1:], flat[1:], strict=False):
        assert residual_share(after, before) == pytest.approx(best_residual(own, before))
        np.testing.assert_allclose(after @ after.T, own @ own.T, atol=1e-10)


def test_series_keep_only_rows_that_are_finite_everywhere(rng):
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 6))
    x[3], y[7] = np.nan, np.inf
    result = aligned_series(x, y)
    assert sorted(set(range(40)) - set(result.rows)) == [3, 7]
    assert any("2 row(s) with NaN" in c for c in result.caveats)
    with pytest.raises(NotEnoughData):
        aligned_series(x[:10], y[:10])
    with pytest.raises(ParameterError):
        aligned_series(x)
    with pytest.raises(TooLarge):
        matched_taps([_Wide("a"), _Wide("b")], rng, maximum_rows=10**6, minimum=3)


class _Wide:
    """A tap that is too large to hold, and that must not be read."""

    def __init__(self, name):
        self.name, self.shape, self.layout = name, (100_000, 4096), Layout.pooled(100_000)
        self.samples = {"id": np.arange(100_000).astype(str)}

    def take(self, rows):
        raise AssertionError("read before it was refused")


def test_frames_go_through_the_pipeline_and_to_disk(tmp_path, rng):
    taps = [ArrayActivations(rng.standard_normal((30, d)), name=f"layer {d}") for d in (4, 5, 6)]
    result = pipeline.run("aligned_series", taps, {"components": 3})
    results.save(result, tmp_path / "series.npz")
    again = results.load(tmp_path / "series.npz")
    np.testing.assert_array_equal(again.frames, result.frames)
    assert again.frame_names == ("layer 4", "layer 5", "layer 6")
    assert again.frames.shape == (3, 30, 3)
    plain = results.load(_saved(pipeline.run("pca", taps[:1]), tmp_path / "plain.npz"))
    assert plain.frames is None
    assert plain.frame_names == ()


def _saved(result, path):
    results.save(result, path)
    return path


def test_the_pipeline_counts_taps(rng):
    x = [rng.standard_normal((30, 4))] * 3
    with pytest.raises(ParameterError, match="2 or more"):
        pipeline.run("aligned_series", x[:1])
    with pytest.raises(ParameterError, match="Expected 1"):
        pipeline.run("pca", x)
    assert len(pipeline.run("graph_fusion", x).origin.inputs) == 3


def test_an_order_of_taps_is_part_of_the_key(rng):
    taps = [ArrayActivations(rng.standard_normal((30, 4)) * s) for s in (1, 2)]
    method = registry.method("aligned_series")
    keys = {
        pipeline.key(method, [t.digest for t in order], method.params(), 0) for order in (taps, taps[::-1])
    }
    assert len(keys) == 2


def test_scatter_without_frames_is_unchanged():
    fields = {f.name: f.default for f in dataclasses.fields(results.Scatter)}
    assert fields["frames"] is None
    assert fields["frame_names"] == ()
