"""Exemplar axes: barycentric subspaces against closed forms and least squares, names, nulls, and the Map page."""

from __future__ import annotations

from itertools import combinations

import app_pages
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import barycentric as bary
from analysis.compute.linear.barycentric import principal_cloud
from analysis.compute.maps.exemplar_luck import gaussian_exemplars, loneliness, random_exemplars
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.projection.exemplar_axes import ExemplarAxesParams, exemplar_axes
from dashboard.browse import projections
from dashboard.figures.points import comparable

FEW = settings(max_examples=20, deadline=None)
HERE = "analysis.methods.projection.exemplar_axes"


def orthogonal(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def cloud_of(rng, n=40, d=5):
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3 * rng.standard_normal(d)


def run(x, exemplars="", seed=0, **more):
    params = ExemplarAxesParams(exemplars, **{"null_draws": 9, **more})
    return exemplar_axes(x, params, np.random.default_rng(seed))


def weights_of(result):
    names = [c for c in result.columns if c.startswith("weight ")]
    return np.stack([result.columns[c] for c in names], axis=1)


def who(result):
    """Places of the corners in the order A, B, C."""
    named = [(text, i) for i, text in enumerate(result.columns["exemplar"]) if text]
    return [i for _, i in sorted(named)]


# a second implementation, in the coordinates of the data: the bordered normal equations of Σ w = 1
def direct(x, corners):
    """Weights (n, k + 1) and distances (n,) of the points `x` on the flat through `corners` (k + 1, d)."""
    m = len(corners)
    middle = corners.mean(axis=0)
    c, y = corners - middle, x - middle
    system = np.block([[c @ c.T, np.ones((m, 1))], [np.ones((1, m)), np.zeros((1, 1))]])
    right = np.vstack([c @ y.T, np.ones((1, len(y)))])
    w = np.linalg.lstsq(system, right, rcond=None)[0][:m].T
    return w, np.linalg.norm(y - w @ c, axis=1)


def left_by(x, corners):
    return (direct(x, corners)[1] ** 2).sum() / (len(x) - 1)


# ---------------------------------------------------------------------------- the facts
@given(st.integers(0, 10_000))
@FEW
def test_full_flag_of_principal_components_adds_to_sum_j_lambda_j_and_is_the_least(seed):
    rng = np.random.default_rng(seed)
    x = cloud_of(rng, 30, 4)
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    best = bary.principal_nested(values, 4)
    assert best.sum() == pytest.approx(values @ np.arange(1, 5), rel=1e-10)
    for k in range(4):
        assert best[: k + 1].sum() == pytest.approx(values @ np.minimum(np.arange(1, 5), k + 1), rel=1e-10)
    axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2]
    flags = [x.mean(axis=0) + np.vstack([np.zeros(4), axes[:i]]) for i in range(5)]
    assert [left_by(x, f) for f in flags] == pytest.approx(list(best), abs=1e-9 * best[0])
    for _ in range(5):  # any other flag of flats, through samples or not
        other = x[rng.choice(30, 5, replace=False)] if rng.random() < 0.5 else rng.standard_normal((5, 4))
        steps = np.array([left_by(x, other[: i + 1]) for i in range(5)])
        assert (steps >= best - 1e-9 * best[0]).all()


@given(st.integers(0, 10_000))
@FEW
def test_unexplained_variance_is_that_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    x = cloud_of(rng)
    cloud, picked = principal_cloud(x), list(rng.choice(40, 4, replace=False))
    steps = bary.nested(cloud, cloud.z[picked])
    assert list(steps) == pytest.approx([left_by(x, x[picked[: i + 1]]) for i in range(4)], rel=1e-9)
    assert (np.diff(steps) < 0).all()
    left = bary.after(cloud, picked[:2])
    others = [i for i in range(40) if i not in picked[:2]][::7]
    assert list(left[others]) == pytest.approx([left_by(x, x[[*picked[:2], i]]) for i in others], rel=1e-8)
    assert np.isinf(left[picked[:2]]).all()


@given(st.integers(0, 10_000), st.integers(1, 3))
@FEW
def test_weights_and_residuals_are_those_of_least_squares(seed, k):
    rng = np.random.default_rng(seed)
    x = cloud_of(rng)
    cloud, picked = principal_cloud(x), list(rng.choice(40, k + 1, replace=False))
    flat = bary.flat_through(cloud.z[picked], cloud.smallest)
    places = flat.coordinates(cloud.z)
    w, far = flat.weights(places), flat.residuals(cloud.z)
    expected = direct(x, x[picked])
    scale = np.abs(expected[0]).max()
    np.testing.assert_allclose(w, expected[0], atol=1e-7 * scale)
    np.testing.assert_allclose(far, expected[1], atol=1e-8 * far.max())
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-10 * scale)
    np.testing.assert_allclose(w[picked], np.eye(k + 1), atol=1e-9)
    np.testing.assert_allclose(far[picked], 0, atol=1e-9)
    np.testing.assert_allclose(pdist(places[picked]), pdist(x[picked]), rtol=1e-9)  # drawn at true distances
    assert (pdist(places) <= pdist(x) * (1 + 1e-9)).all()


@given(st.integers(0, 10_000), st.booleans())
@FEW
def test_turn_shift_and_scale_change_no_weight_and_no_choice(seed, exchange):
    rng = np.random.default_rng(seed)
    x = cloud_of(rng, 60, 4)
    found = []
    for points in (x, 5 * x @ orthogonal(rng, 4) + rng.standard_normal(4)):
        cloud = principal_cloud(points)
        picked = bary.choose(cloud, 3, exchange)
        flat = bary.flat_through(cloud.z[picked], cloud.smallest)
        places = flat.coordinates(cloud.z)
        found.append((picked, places, flat.weights(places), flat.residuals(cloud.z)))
    (picked, places, w, far), (again, larger, v, further) = found
    assert picked == again
    np.testing.assert_allclose(w, v, atol=1e-8 * np.abs(w).max())
    np.testing.assert_allclose(5 * places, larger, atol=1e-9 * np.abs(larger).max())
    np.testing.assert_allclose(5 * far, further, atol=1e-9 * further.max())


def test_the_whole_map_ignores_a_turn_and_not_a_stretched_unit(rng):
    x = cloud_of(rng, 60, 4)
    first, second = run(x), run(3 * x @ orthogonal(rng, 4) + 1)
    assert who(first) == who(second)
    np.testing.assert_allclose(weights_of(first), weights_of(second), atol=1e-4)
    np.testing.assert_allclose(3 * first.positions, second.positions, atol=1e-4)
    assert not np.allclose(weights_of(first), weights_of(run(x * [1, 1, 1, 9])), atol=1e-2)


# ---------------------------------------------------------------------------- choosing
@pytest.mark.parametrize("seed", range(4))
def test_forward_is_the_best_at_every_step_by_trying_all(seed):
    x = cloud_of(np.random.default_rng(seed), 25, 5)
    picked = bary.forward(principal_cloud(x), 4)
    for i in range(4):
        tried = [left_by(x, x[[*picked[:i], j]]) if j not in picked[:i] else np.inf for j in range(25)]
        assert int(np.argmin(tried)) == picked[i]
    assert picked[0] == np.argmin(((x - x.mean(axis=0)) ** 2).sum(axis=1))


@pytest.mark.parametrize("seed", range(4))
def test_no_single_exchange_is_better_and_the_order_is_that_of_least_auv(seed):
    x = cloud_of(np.random.default_rng(seed), 25, 5)
    cloud = principal_cloud(x)
    picked = bary.choose(cloud, 3, True)
    value = left_by(x, x[picked])
    assert value <= left_by(x, x[bary.forward(cloud, 3)]) * (1 + 1e-12)
    for j in range(3):
        others = picked[:j] + picked[j + 1 :]
        tried = [left_by(x, x[[*others, i]]) for i in range(25) if i not in picked]
        assert min(tried) >= value * (1 - 1e-9)
        assert bary.instead(cloud, picked, j).min() == pytest.approx(min(tried), rel=1e-9)
    for pair in combinations(range(3), 2):
        other = list(picked)
        other[pair[0]], other[pair[1]] = other[pair[1]], other[pair[0]]
        assert bary.nested(cloud, cloud.z[picked]).sum() <= bary.nested(cloud, cloud.z[other]).sum() * (
            1 + 1e-12
        )
    assert bary.choose(cloud, 3, True, [4])[0] == 4


def test_copies_of_a_corner_are_never_the_next_one(rng):
    x = np.repeat(rng.standard_normal((4, 6)), 30, axis=0)
    picked = bary.choose(principal_cloud(x), 3, True)
    assert len({i // 30 for i in picked}) == 3
    assert len(bary.forward(principal_cloud(x), 9)) == 4  # four different points span no more


@pytest.mark.parametrize("rank", [1, 2])
def test_points_on_a_line_or_plane_get_fewer_corners_and_an_empty_axis(rng, rank):
    x = rng.standard_normal((50, rank)) @ rng.standard_normal((rank, 7))
    r = run(x, components=3)
    assert (r.positions[:, rank:] == 0).all()
    assert len(who(r)) == rank + 1
    assert r.estimates[0].value == pytest.approx(1, abs=1e-9)
    assert r.columns["residual"].max() < 1e-6
    assert any(f"{rank} dimension" in c for c in r.caveats)
    np.testing.assert_allclose(pdist(r.positions), pdist(x), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------- what the result says
@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("tokens", [1, 3])
def test_the_numbers_are_those_of_the_drawn_points(rng, components, tokens):
    x = cloud_of(rng, 90, 6)
    r = run(ArrayActivations(x, layout=Layout(np.arange(0, 91, tokens))), components=components)
    corners, k = who(r), components
    w, far = direct(x, x[corners])
    np.testing.assert_allclose(weights_of(r), w, atol=1e-4)
    np.testing.assert_allclose(r.columns["residual"], far, atol=1e-4)
    c = x - x.mean(axis=0)
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    inside = ((r.positions - r.positions.mean(axis=0)) ** 2).sum()
    share, over, auv, outside = r.estimates[:4]
    assert share.value == pytest.approx(inside / (c**2).sum(), rel=1e-5)
    assert over.value == pytest.approx(share.value / (values[:k].sum() / values.sum()), rel=1e-9)
    steps = sum(left_by(x, x[corners[: i + 1]]) for i in range(k + 1))
    assert auv.value == pytest.approx(steps / (values @ np.minimum(np.arange(1, 7), k + 1)), rel=1e-9)
    assert auv.value >= 1
    assert over.value <= 1
    assert outside.value == pytest.approx((w < -1e-9).any(axis=1).mean(), abs=1e-9)
    across = r.columns["distance to plane"]
    places = r.positions - r.positions.mean(axis=0)
    np.testing.assert_allclose(across, far**2 / (far**2 + (places**2).sum(axis=1)), atol=1e-4)
    assert (across[corners] == 0).all() or across[corners].max() < 1e-12
    assert sorted(map(tuple, r.edges)) == sorted(combinations(corners, 2))
    np.testing.assert_allclose(sorted(r.edge_values), sorted(pdist(x[corners])), rtol=1e-6)
    assert comparable(r)


def test_equal_corners_are_drawn_at_equal_distances_and_places_are_the_mixtures(rng):
    for components in (2, 3):
        r = run(cloud_of(rng), drawn="equal corners", components=components)
        corners = r.positions[who(r)]
        np.testing.assert_allclose(pdist(corners), 1, rtol=1e-5)
        np.testing.assert_allclose(weights_of(r) @ corners, r.positions, atol=1e-4)
        assert "lengths are not true" in r.reading
        assert comparable(r)


def test_the_next_best_is_said(rng):
    x = cloud_of(rng, 25, 5)
    r = run(x, "3, 8, 11")
    value = left_by(x, x[[3, 8, 11]])
    tried = {i: left_by(x, x[[i, 8, 11]]) for i in range(25) if i not in (3, 8, 11)}
    best = min(tried, key=tried.get)
    many = sum(v <= 1.01 * value for v in tried.values())
    change = tried[best] / value - 1
    word = f"{abs(change):.1%} {'more' if change >= 0 else 'less'}"
    assert (
        f"The next best: {best} in the place of A leaves {word} unexplained ({many} samples would"
        in r.caveats[0]
    )
    assert len(r.reading) < 1300


# ---------------------------------------------------------------------------- naming
def classes(rng, n=90):
    label = np.array(["ash", "birch", "cedar"])[np.arange(n) % 3]
    x = rng.standard_normal((n, 5)) + 3 * np.eye(5)[np.arange(n) % 3]
    return x, label


def test_samples_are_named_by_id_by_class_and_in_part(rng):
    x, label = classes(rng)
    ids = np.array([f"tree {i}" for i in range(90)], dtype="<U12")
    ids[4], ids[5] = "a, b", "class:ash"
    tap = ArrayActivations(x, samples={"id": ids, "label": label})
    assert who(run(tap, 'tree 7, "a, b", class:ash')) == [7, 4, 5]  # an id comes before a class
    near = {c: min(np.flatnonzero(label == c), key=lambda i, c=c: np.linalg.norm(x[i] - x[label == c].mean(0)))
            for c in ("ash", "birch", "cedar")}  # fmt: skip
    assert who(run(tap, "class:cedar, tree 1, class:birch")) == [near["cedar"], 1, near["birch"]]
    r = run(tap, "tree 7")
    assert who(r)[0] == 7
    assert "the first (1) as named" in r.reading
    assert "A is tree 7 (birch)" in r.reading
    assert "A = birch tree 7 to B = " in r.axes[0]
    assert "A = tree 77 to B = " in run(tap, "tree 77").axes[0]  # no room for its class, cedar
    each = run(tap, choice="one per class")
    assert set(who(each)) == set(near.values())
    assert "(cedar)" in each.reading


def test_a_named_sample_is_on_the_map_of_a_random_subset(rng):
    x = cloud_of(rng, 400, 4)
    r = run(x, "17, 250, 399", maximum_rows=50)
    assert list(r.rows[who(r)]) == [17, 250, 399]
    assert (np.diff(r.rows) > 0).all()
    assert 50 <= len(r.rows) <= 53
    np.testing.assert_allclose(weights_of(r), direct(x[r.rows], x[[17, 250, 399]])[0], atol=1e-4)


def test_tokens_are_named_with_their_sample(rng):
    x = cloud_of(rng, 60, 4)
    tap = ArrayActivations(
        x, layout=Layout(np.array([0, 1, *range(4, 61, 4)])), samples={"id": [f"s#{i}" for i in range(16)]}
    )
    r = run(tap, "s#0, s#2#1, s#15#3")
    assert who(r) == [0, 5, 59]
    assert "B is s#2#1" in r.reading
    for bad in ("s#2", "s#2#4", "s#2#x", "s#99#0"):
        with pytest.raises(ParameterError, match="exemplar"):
            run(tap, bad)


def test_names_that_cannot_be_are_refused_in_words(rng):
    x, label = classes(rng)
    x[3] = x[2] + x[1] - x[0]
    x[6] = 2 * x[4] - x[5]
    x[8] = np.nan
    tap = ArrayActivations(x, samples={"label": label})
    for text, error, said in (
        ("nobody", ParameterError, "ids such as 0, 1, 2"),
        ("x" * 20_000, ParameterError, "…"),
        ("<b>7</b>", ParameterError, "no sample"),
        ("7, 7", ParameterError, "one sample twice"),
        ("1, 2, 4, 5", ParameterError, "at most 3"),
        ("4, 5, 6", InputError, "lie on one line"),
        ("8", InputError, "exemplar '8' holds NaN"),
        ("class:oak", ParameterError, "ash, birch, cedar"),
    ):
        with pytest.raises(error, match=said) as caught:
            run(tap, text)
        assert len(str(caught.value)) < 400
    for more in ({"exemplars": "class:ash"}, {"choice": "one per class"}):
        with pytest.raises(NotFound, match="label"):
            run(x, **more)
    with pytest.raises(NotFound, match="species"):
        run(tap, column="species")


def test_one_class_is_too_few_and_missing_labels_are_none(rng):
    x = cloud_of(rng, 30, 4)
    with pytest.raises(NotEnoughData, match="3 classes"):
        run(ArrayActivations(x, samples={"label": np.zeros(30, int)}), choice="one per class")
    label = np.where(np.arange(30) < 6, -1, np.arange(30) % 3)  # -1 is no class
    r = run(ArrayActivations(x, samples={"label": label}), choice="one per class")
    assert min(who(r)) >= 6
    every = run(
        ArrayActivations(x, samples={"kind": [f"k{i}" for i in range(30)]}),
        choice="one per class",
        column="kind",
    )
    assert len(who(every)) == 3  # as many classes as samples


def test_markup_in_ids_and_labels_stays_text_and_axes_stay_of_one_scale(rng):
    ids = np.array([f"<i>({i}), 5 %</i>" for i in range(40)])
    r = run(ArrayActivations(cloud_of(rng), samples={"id": ids, "label": ["<script>"] * 40}))
    assert comparable(r)
    assert "<i>(" in r.columns["exemplar"][who(r)[0]]


# ---------------------------------------------------------------------------- luck
@pytest.mark.parametrize(("n", "d"), [(60, 10), (40, 80)])
def test_gaussian_points_have_the_mean_and_the_covariance_of_the_data(rng, n, d):
    cloud, seen = principal_cloud(rng.standard_normal((n, d)) * np.arange(1, d + 1)), []
    gaussian_exemplars(cloud, lambda c: seen.append(c.z) or [0, 1, 2], 2, rng)
    for z in seen:
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-9 * np.sqrt(cloud.variances[0]))
        np.testing.assert_allclose(
            z.T @ z / (n - 1), np.diag(cloud.variances), atol=1e-9 * cloud.variances[0]
        )
    assert not np.allclose(seen[0], seen[1])


def test_noise_is_within_its_null_and_samples_that_stand_out_are_beyond_it():
    p = [
        run(np.random.default_rng(s).standard_normal((80, 12)), seed=s, null_draws=39).estimates
        for s in range(2)
    ]
    assert min(e[1].p_value for e in p) > 0.03
    assert min(e[2].p_value for e in p) > 0.03
    rng = np.random.default_rng(0)
    x = rng.dirichlet(np.full(3, 0.2), 150) @ (12 * np.eye(3, 30)) + rng.standard_normal((150, 30)) * 0.3
    heavy = rng.standard_normal((150, 30)) * (rng.random((150, 1)) < 0.8) * 1.5
    x += heavy - heavy[:, :3] @ np.eye(3, 30)
    r = run(x, null_draws=39)  # three kinds of pure samples, a fifth of the points without noise across
    e = r.estimates
    assert e[1].value > e[1].null_high
    assert "some samples stand out" in r.reading
    assert e[1].p_value == pytest.approx(1 / 40)


def test_a_small_accumulated_variance_is_the_good_side(rng):
    x = cloud_of(rng, 60, 5)
    e = run(
        x, ", ".join(map(str, bary.forward(principal_cloud(x), 3)))
    ).estimates  # named: held against random ones
    assert e[2].value < e[2].null_low
    assert e[2].p_value == pytest.approx(1 / 201)


def test_random_exemplars_are_samples_and_their_shares_are_those_of_least_squares(rng):
    x = cloud_of(rng, 12, 3)
    luck = random_exemplars(principal_cloud(x), 2, 3000, rng)
    every = [[left_by(x, x[[a]]) + left_by(x, x[[a, b]]) for b in range(12) if b != a] for a in range(12)]
    total = np.trace(np.cov(x.T))
    assert luck.accumulated.mean() == pytest.approx(np.mean(every) / total, rel=0.03)
    assert luck.accumulated.min() == pytest.approx(np.min(every) / total, rel=1e-9)
    assert ((luck.inside > 0) & (luck.inside < 1)).all()


def test_an_outlier_makes_a_good_looking_corner_and_is_said_to(rng):
    x = rng.standard_normal((100, 4))
    x[31] = 40
    r = run(x)
    assert 31 in who(r)
    assert any("(31) lies" in c and "outlier" in c for c in r.caveats)
    times = loneliness(principal_cloud(x), [31, 0])
    near = np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)[:, 1]
    np.testing.assert_allclose(times, near[[31, 0]] / np.median(near), rtol=1e-6)
    even = np.stack(np.meshgrid(np.arange(12.0), np.arange(9.0)), axis=-1).reshape(-1, 2)
    assert not any("outlier" in c for c in run(even).caveats)


def test_a_thin_triangle_is_said_to_be_one(rng):
    x = rng.standard_normal((60, 4)) * [10, 1, 1, 1]
    x[:3] = [[-20, 0, 0, 0], [20, 0, 0, 0], [0, 0.5, 0, 0]]
    assert any("thin" in c for c in run(x, "0, 1, 2").caveats)
    x[2] = [0, 9, 0, 0]
    assert not any("thin" in c for c in run(x, "0, 1, 2").caveats)


# ---------------------------------------------------------------------------- bad input, and as every map
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
    "two different points": lambda rng: np.repeat(rng.standard_normal((2, 5)), 20, axis=0),
    "infinite row": lambda rng: np.where(np.arange(90)[:, None] == 3, np.inf, rng.standard_normal((90, 5))),
    "constant units": lambda rng: np.hstack([rng.standard_normal((90, 4)), np.full((90, 3), 1e6)]),
    "all constant": lambda rng: np.ones((90, 4)),
}


@pytest.mark.parametrize("choice", ["exchanged", "one per class"])
@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("error")
def test_bad_input_is_refused_with_a_reason_or_gives_numbers(case, choice, rng):
    x = BAD[case](rng)
    tap = ArrayActivations(x, samples={"label": np.arange(len(x)) % 4})
    try:
        r = run(tap, choice=choice)
    except (NotEnoughData, InputError, TooLarge):
        return
    assert np.isfinite(r.positions).all()
    for name in ("distance to plane", "residual", "weight A", "weight B"):
        assert np.isfinite(r.columns[name]).all(), name
    for e in r.estimates:
        assert np.isfinite(e.value), e
        assert e.low is None or e.low - 1e-9 <= e.value <= e.high + 1e-9


def test_a_far_outlier_does_not_drown_the_choice(rng):
    """Where one squared norm is 1e14 times the others, the second direction is still that of the data."""
    x = np.vstack([rng.standard_normal((90, 3)) * [1, 30, 1], [[1e7, 0, 0]]])
    r = run(x, choice="forward")
    corners = who(r)
    assert 90 in corners
    span = np.linalg.qr((x[corners[1:]] - x[corners[0]]).T)[0]
    assert np.linalg.norm(span.T @ [0, 1, 0]) > 0.99


def test_every_map_measures_itself_per_point(rng):
    r = run(cloud_of(rng, 120, 6))
    for column, word in (
        ("trust", "trustworth"),
        ("continuity", "continuity"),
        ("recall", "neighbour recall"),
    ):
        e = next(e for e in r.estimates if e.name.startswith(word))
        assert np.nanmean(r.columns[column]) == pytest.approx(e.value, abs=1e-6)
    assert len({e.name for e in r.estimates}) == len(r.estimates)


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("analysis.compute.linear.barycentric.principal_nested", lambda v, k: 0.9 * v.sum() / np.arange(1, k + 2)),
        (
            "analysis.compute.linear.barycentric.Flat.weights",
            lambda self, c: np.full((len(c), len(self.corners)), 1 / 3),
        ),
        ("analysis.compute.linear.barycentric.forward", lambda cloud, count, *_: [0, 1, 2]),
        ("analysis.compute.maps.exemplar_report.add_one_p", lambda value, null: 1 / (1 + len(null))),
        ("analysis.compute.maps.exemplar_report.principal_nested", lambda v, k: np.full(k + 1, 0.9 * v.sum())),
    ],
    ids=["flag", "weights", "choice", "p", "best"],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, target, broken):
    method = registry.method("exemplar_axes")
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in method.check())


# ---------------------------------------------------------------------------- on the page
def test_it_stands_among_the_linear_projections():
    method = projections.methods()["exemplar_axes"]
    assert projections.group_of(method) == projections.LINEAR
    assert method.papers == ("Barycentric Subspace Analysis",)


def test_the_map_page_draws_it(opened):
    for more in (
        {"p__choice": "one per class", "colour": "map:exemplar"},
        {"p__components": "3", "p__exemplars": "3, 7, class:a", "colour": "map:residual"},
    ):
        at = app_pages.open_page("map", tap="images:pooled", by="exemplar_axes", **more)
        said = app_pages.texts(at)
        assert app_pages.is_whole(at), said
        assert "Meanwhile" not in said
        assert "The corners are samples" in said, more


def test_the_map_page_takes_hostile_names_and_markup(opened):
    for text in app_pages.HOSTILE[::2]:
        at = app_pages.open_page("map", tap="images:pooled", by="exemplar_axes", p__exemplars=text)
        assert app_pages.is_whole(at), text[:40]
        assert "<script>" not in app_pages.texts(at)
    more = {"p__choice": "one per class", "p__column": "source", "p__exemplars": "4"}
    at = app_pages.open_page("map", tap="images:pooled", by="exemplar_axes", **more)
    assert app_pages.is_whole(at)
    assert any("&lt;script&gt;" in str(m.value) for m in at.markdown)
    assert not any("<script>" in str(m.value) for m in (*at.markdown, *at.caption))
