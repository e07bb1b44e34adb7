"""Named directions, discriminants, partial least squares, response maps and expected orders: known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.cross_fitting import cross_fitted, folds_of
from analysis.compute.linear.fisher import basis_of, discriminants
from analysis.compute.linear.least_squares_components import simpls
from analysis.compute.linear.stein import first_moment, response_directions, second_moment, span_angle
from analysis.compute.maps.order import (
    cosines,
    line_correlation,
    order_distance,
    order_fall,
    ring_correlation,
)
from analysis.compute.rows.membership import pack, pack_named, unpack_named
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.projection.directions import DirectionsParams, directions
from analysis.methods.projection.discriminant import DiscriminantParams, discriminant
from analysis.methods.projection.expected_order import ExpectedOrderParams, expected_order
from analysis.methods.projection.partial_least_squares import (
    PartialLeastSquaresParams,
    partial_least_squares,
)
from analysis.methods.projection.response_maps import ResponseMapsParams, response_maps

FEW = settings(max_examples=20, deadline=None)


def tap(x, labels, **more):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(labels)}, **more)


def estimate(result, name):
    return next(e for e in result.estimates if e.name.startswith(name))


def orthogonal(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


# ---------------------------------------------------------------------------- named directions
def test_unit_axes_show_the_activations_themselves(rng):
    x = rng.standard_normal((60, 5)) + 3
    named = ArrayActivations(x, unit_names=("a", "b", "c", "d", "0-1"), samples={"label": np.arange(60) % 2})
    plain = directions(named, DirectionsParams("unit:c", "unit:1"))
    np.testing.assert_allclose(plain.positions, x[:, [2, 1]], rtol=1e-6)
    pair = directions(
        named, DirectionsParams("unit:0-1", "unit:a-b")
    )  # the name is nearer than the difference
    np.testing.assert_allclose(pair.positions[:, 0], x[:, 4], rtol=1e-6)
    np.testing.assert_allclose(pair.positions[:, 1], (x[:, 0] - x[:, 1]) / np.sqrt(2), rtol=1e-5)


def test_component_axes_are_those_of_pca(rng):
    x = rng.standard_normal((200, 6)) * [6, 5, 4, 3, 2, 1]
    result = directions(x, DirectionsParams("pc:3", "pc:1"))
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(result.positions), np.abs((u * s)[:, [2, 0]]), atol=1e-4)
    assert estimate(result, "angle").value == pytest.approx(90, abs=1e-6)
    assert estimate(result, "variance share along PC 1").value == pytest.approx(s[0] ** 2 / (s**2).sum())


def test_only_samples_that_did_not_make_the_axis_are_drawn(rng):
    label = np.arange(100) % 2
    x = rng.standard_normal((100, 4)) + label[:, None]
    half = directions(tap(x, label), DirectionsParams("class:1-0", "pc:1"))
    whole = directions(tap(x, label), DirectionsParams("class:1-0", "pc:1", drawn="all"))
    assert len(half.rows) == 50
    made = whole.columns["half"] == "made the axes"
    assert sorted([*half.rows, *whole.rows[made]]) == list(range(100))
    np.testing.assert_array_equal(half.positions, whole.positions[~made])
    mean = [x[np.sort(whole.rows[made])][label[np.sort(whole.rows[made])] == c].mean(axis=0) for c in (1, 0)]
    w = (mean[0] - mean[1]) / np.linalg.norm(mean[0] - mean[1])
    np.testing.assert_allclose(whole.positions[:, 0], x @ w - (mean[0] + mean[1]) @ w / 2, atol=1e-5)


def test_separation_of_meaningless_groups_stays_inside_its_null():
    inside, above = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        r = directions(
            tap(rng.standard_normal((60, 100)), np.arange(60) % 2), DirectionsParams("class:1-0"), rng=rng
        )
        e = estimate(r, "separation")
        inside += e.null_low <= e.value <= e.null_high
        above += e.p_value < 0.05
    assert inside >= 34
    assert above <= 6


def test_selections_that_are_classes_give_the_same_picture(rng):
    label = np.arange(90) % 3
    x = rng.standard_normal((90, 4)) + label[:, None]
    named = pack_named({"two": label == 2, "no-ught": label == 0})
    a = directions(tap(x, label), DirectionsParams("class:2-0", "class:2"))
    b = directions(x, DirectionsParams("selection:two-no-ught", "selection:two", selections=named))
    np.testing.assert_array_equal(a.positions, b.positions)
    assert set(b.columns["horizontal group"]) == {"two", "no-ught", "neither"}


def test_tokens_of_a_sample_stay_on_one_side_and_count_once(rng):
    label = np.arange(40) % 2
    x = rng.standard_normal((40, 5)) + 2 * label[:, None]
    layout = Layout(np.arange(41) * 3)
    thrice = tap(np.repeat(x, 3, axis=0), label, layout=layout)
    once = directions(tap(x, label), DirectionsParams("class:1-0", "pc:1"))
    many = directions(thrice, DirectionsParams("class:1-0", "pc:1"))
    np.testing.assert_array_equal(np.unique(many.rows // 3), once.rows)
    a, b = estimate(once, "separation"), estimate(many, "separation")
    assert (a.value, a.n) == (pytest.approx(b.value), b.n)


@FEW
@given(st.integers(0, 10**6))
def test_class_axes_turn_with_the_data(seed):
    rng = np.random.default_rng(seed)
    label = np.arange(60) % 3
    x = rng.standard_normal((60, 5)) + label[:, None] * rng.standard_normal(5)
    moved = x @ orthogonal(rng, 5) + rng.standard_normal(5)
    a, b = (directions(tap(v, label), DirectionsParams("class:0-1", "class:2")) for v in (x, moved))
    np.testing.assert_allclose(a.positions, b.positions, atol=1e-4)
    assert estimate(a, "angle").value == pytest.approx(estimate(b, "angle").value, abs=1e-6)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ("cat", "unit:12"), ("", "unit:12"), ("unit:9", "unit:9 is not known"), ("unit:1-1", "not known"),
        ("pc:0", "from 1 to"), ("pc:99", "from 1 to"), ("pc:x", "from 1 to"), ("class:dog", "0, 1"),
        ("selection:mine", "none"), ("class:0-0", "not known"),
    ],
)  # fmt: skip
def test_axes_that_cannot_be_read_are_refused_with_what_there_is(axis, words, rng):
    with pytest.raises(ParameterError, match=words):
        directions(tap(rng.standard_normal((40, 4)), np.arange(40) % 2), DirectionsParams(axis, "pc:1"))


def test_ambiguous_hyphens_are_refused(rng):
    label = np.array(["a", "a-b", "b-c", "c"])[np.arange(80) % 4]
    with pytest.raises(ParameterError, match="two ways"):
        directions(tap(rng.standard_normal((80, 4)), label), DirectionsParams("class:a-b-c", "pc:1"))


def test_groups_too_small_or_equal_are_refused(rng):
    label = np.r_[np.zeros(50, int), np.ones(7, int)]
    with pytest.raises(NotEnoughData, match="7 sample"):
        directions(tap(rng.standard_normal((57, 3)), label), DirectionsParams("class:1-0", "pc:1"))
    x = np.vstack([np.ones((40, 3)), rng.standard_normal((10, 3))])
    with pytest.raises(InputError, match="same mean"):
        directions(tap(x, np.r_[np.arange(40) % 2, np.full(10, -1)]), DirectionsParams("class:1-0", "unit:2"))
    with pytest.raises(NotFound, match="no sample column"):
        directions(rng.standard_normal((40, 3)))


def test_named_memberships_round_trip_and_refuse(rng):
    groups = {"ä b": rng.random(21) < 0.5, "x": rng.random(21) < 0.5}
    again = unpack_named(pack_named(groups), 21)
    assert all((again[k] == groups[k]).all() for k in groups)
    assert unpack_named("", 21) == {}
    for text in ("[1]", "{", '{"a": 1}', '{"a": "???"}', pack_named({"a": np.ones(40, bool)})):
        with pytest.raises(ParameterError):
            unpack_named(text, 21)
    assert pack(groups["x"]) in pack_named(groups)


# ---------------------------------------------------------------------------- discriminants
def scatter_matrices(x, of):
    means = np.array([x[of == c].mean(axis=0) for c in range(of.max() + 1)])
    within = sum((x[of == c] - means[c]).T @ (x[of == c] - means[c]) for c in range(of.max() + 1)) / len(x)
    centred = means[of] - x.mean(axis=0)
    return within, centred.T @ centred / len(x)


@FEW
@given(st.integers(0, 10**6), st.floats(0.0, 0.9), st.booleans())
def test_discriminants_solve_the_generalised_eigenproblem(seed, shrinkage, wide):
    rng = np.random.default_rng(seed)
    n, d = (40, 55) if wide else (80, 7)
    of = np.arange(n) % 4
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal((4, d))[of]
    shrinkage = max(shrinkage, 0.05) if wide else shrinkage
    within, between = scatter_matrices(x, of)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    basis = basis_of(x)
    found = discriminants(basis, of, 4, shrinkage)
    w = basis.vectors @ found.weights
    assert len(found.ratios) == 3
    np.testing.assert_allclose(between @ w, shrunk @ w * found.ratios, atol=1e-6 * np.abs(between @ w).max())
    np.testing.assert_allclose(w.T @ shrunk @ w, np.eye(3), atol=1e-6)


def test_shrinkage_is_that_of_scikit_learn(rng):
    from sklearn.covariance import ledoit_wolf_shrinkage

    for n, d in ((60, 8), (50, 90), (400, 12)):
        of = np.arange(n) % 3
        x = rng.standard_normal((n, d)) * np.linspace(0.2, 3, d) + 2 * rng.standard_normal((3, d))[of]
        means = np.array([x[of == c].mean(axis=0) for c in range(3)])
        expected = ledoit_wolf_shrinkage(x - means[of], assume_centered=True)
        assert discriminants(basis_of(x), of, 3).shrinkage == pytest.approx(expected, rel=1e-6)


def test_equal_isotropic_classes_span_their_centred_means(rng):
    d, of = 6, np.repeat(np.arange(3), 4 * 6)
    corners = np.vstack([np.eye(d), -np.eye(d)])
    means = 5 * rng.standard_normal((3, d))
    x = means[of] + np.tile(np.repeat(corners, 2, axis=0), (3, 1))
    basis = basis_of(x)
    w = basis.vectors @ discriminants(basis, of, 3).weights
    assert span_angle(w, (means - means.mean(axis=0)).T[:, :2]) < 1e-5


def test_held_out_accuracy_of_meaningless_classes_is_chance(rng):
    result = discriminant(
        tap(rng.standard_normal((150, 300)), np.arange(150) % 3), DiscriminantParams(shuffles=19)
    )
    held, same = estimate(result, "held-out accuracy on 2"), estimate(result, "accuracy on the samples")
    assert abs(held.value - 1 / 3) < 0.12
    assert same.value > 0.9
    assert same.null > 0.9  # luck looks just as good there
    assert "do not tell the classes apart" in result.reading


def test_the_control_is_one_click_away(rng):
    label = np.arange(150) % 3
    x = rng.standard_normal((150, 10)) + 4 * np.eye(3, 10)[label]
    real = discriminant(tap(x, label), DiscriminantParams(shuffles=9))
    control = discriminant(tap(x, label), DiscriminantParams(labels="shuffled", shuffles=9))
    assert estimate(real, "held-out").value > 0.95
    assert estimate(control, "held-out").value < 0.5
    assert any("control" in c for c in control.caveats)


def test_two_classes_have_one_discriminant_and_a_filler(rng):
    label = np.arange(100) % 2
    x = rng.standard_normal((100, 6)) * [1, 9, 1, 1, 1, 1] + 3 * np.eye(1, 6)[0] * label[:, None]
    result = discriminant(tap(x, label), DiscriminantParams(shuffles=9))
    assert result.axes == ("discriminant 1", "largest other direction")
    assert abs(np.corrcoef(result.positions[:, 1], x[:, 1])[0, 1]) > 0.99


def test_discriminants_in_the_quietest_component_are_outside_the_loud_ones(rng):
    label = np.arange(300) % 2
    x = rng.standard_normal((300, 8)) * [9, 8, 7, 6, 5, 4, 3, 0.1]
    x[:, 7] += 0.5 * label
    quiet = estimate(
        discriminant(tap(x, label), DiscriminantParams(shuffles=9)), "share of the discriminants"
    )
    x[:, 0] += 60 * label
    loud = estimate(
        discriminant(tap(x[:, :7], label), DiscriminantParams(shuffles=9)), "share of the discriminants"
    )
    assert quiet.value < 0.1 < 0.5 < quiet.null  # not 0: shrinkage leans towards the loud directions
    assert loud.value > 0.9


def test_many_classes_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(TooLarge, match="301 classes"):
        discriminant(tap(rng.standard_normal((3010, 2)), np.arange(3010) % 301))


def test_cross_fitting_turns_folds_onto_the_whole(rng):
    x = rng.standard_normal((200, 3))
    fold = folds_of(np.zeros(200), 5, rng)

    def fit(f):
        turn = orthogonal(np.random.default_rng(f + 1), 3)
        return x[fold != f].mean(axis=0), turn[:, :3]

    crossed = cross_fitted(x, fold, fit)
    assert crossed.residual < 1e-20
    placed = crossed.held_out(x, np.arange(200))
    np.testing.assert_allclose(np.linalg.norm(np.diff(placed, axis=0)[::7], axis=1),
                               np.linalg.norm(np.diff(x, axis=0)[::7], axis=1), atol=0.3)  # fmt: skip


# ---------------------------------------------------------------------------- partial least squares
@FEW
@given(st.integers(0, 10**6))
def test_simpls_maximises_covariance_and_ends_at_least_squares(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 2))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    w, loadings = simpls(x, y, 6)
    first = np.linalg.svd(x.T @ y)[0][:, 0]
    assert abs(first @ w[:, 0]) / np.linalg.norm(w[:, 0]) == pytest.approx(1)
    np.testing.assert_allclose((x @ w).T @ (x @ w), np.eye(6), atol=1e-8)
    np.testing.assert_allclose(w @ loadings.T, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-8)


def test_partial_least_squares_agrees_with_scikit_learn(rng):
    from sklearn.cross_decomposition import PLSRegression

    x, y = rng.standard_normal((80, 7)), rng.standard_normal((80, 1))
    w, loadings = simpls(x - x.mean(axis=0), y - y.mean(axis=0), 3)
    other = PLSRegression(3, scale=False).fit(x, y)  # one response: NIPALS and SIMPLS are the same
    np.testing.assert_allclose((w @ loadings.T)[:, 0], other.coef_[0], atol=1e-8)


def test_q2_is_what_it_says(rng):
    x = rng.standard_normal((400, 5))
    y = x[:, 0] + rng.standard_normal(400)
    r = partial_least_squares(tap(x, y), PartialLeastSquaresParams(response="number", shuffles=9))
    assert estimate(r, "Q² of 2").value == pytest.approx(0.5, abs=0.08)
    assert "go along with" in r.reading
    same = partial_least_squares(tap(x * [1, 100, 1, 0.01, 1], y),
                                 PartialLeastSquaresParams(response="number", shuffles=9))  # fmt: skip
    np.testing.assert_allclose(same.positions, r.positions, atol=1e-4)


def test_numbers_that_are_none_are_refused(rng):
    x = rng.standard_normal((60, 3))
    number = PartialLeastSquaresParams(response="number")
    for labels, error in (
        (np.array(["a", "b"])[np.arange(60) % 2], ParameterError),
        (np.ones(60), ParameterError),
        (np.full(60, np.nan), NotEnoughData),
    ):
        with pytest.raises(error):
            partial_least_squares(tap(x, labels), number)


# ---------------------------------------------------------------------------- response maps
def test_moments_of_gaussian_links_have_their_closed_forms():
    rng = np.random.default_rng(0)
    x, beta = rng.standard_normal((200_000, 5)), np.array([0.6, 0, 0.8, 0, 0])
    t = x @ beta
    np.testing.assert_allclose(first_moment(x, (t**3)[:, None])[:, 0], 3 * beta, atol=0.1)  # E f' = 3 E t²
    np.testing.assert_allclose(first_moment(x, (t**2)[:, None])[:, 0], 0, atol=0.03)
    np.testing.assert_allclose(second_moment(x, (t**2)[:, None])[0], 2 * np.outer(beta, beta), atol=0.06)
    np.testing.assert_allclose(second_moment(x, t[:, None])[0], 0, atol=0.03)
    u, s = response_directions(x, (np.exp(t) - np.exp(0.5))[:, None], "first", 1)
    assert abs(u[:, 0] @ beta) > 0.999
    assert s[0] == pytest.approx(np.exp(0.5), rel=0.02)


@pytest.mark.parametrize("order", ["first", "second", "both"])
def test_orders_see_what_they_should(order, rng):
    x = rng.standard_normal((1500, 6)) @ rng.standard_normal((6, 6))
    z = (x - x.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    params = ResponseMapsParams(response="number", order=order, shuffles=9)
    even = estimate(response_maps(tap(x, z[:, 0] ** 2), params), "Q²").value
    rising = estimate(response_maps(tap(x, z[:, 0]), params), "Q²").value
    assert (even > 0.9) == (order != "first")
    assert (rising > 0.9) == (order != "second")


def test_response_maps_ignore_invertible_maps(rng):
    x = rng.standard_normal((300, 5))
    y = x[:, 0] + x[:, 1] ** 2
    params = ResponseMapsParams(response="number", shuffles=9)
    a, b = (response_maps(tap(v, y), params) for v in (x, x @ rng.standard_normal((5, 5)) + 4))
    np.testing.assert_allclose(np.abs(a.positions), np.abs(b.positions), atol=1e-3)
    assert estimate(a, "Q²").value == pytest.approx(estimate(b, "Q²").value, abs=1e-6)


def test_halves_agree_where_there_is_something_and_not_in_noise(rng):
    x = rng.standard_normal((800, 6))
    params = ResponseMapsParams(response="number", shuffles=9)
    real = response_maps(tap(x, x[:, 0] + x[:, 1] ** 2), params)
    noise = response_maps(tap(x, rng.standard_normal(800)), params)
    assert estimate(real, "angle").high < estimate(real, "angle").null_low
    assert estimate(noise, "angle").value > 45
    assert "not shown to depend" in noise.reading


# ---------------------------------------------------------------------------- expected order
@FEW
@given(st.integers(3, 30), st.floats(-10, 10), st.sampled_from([1, -1]))
def test_ring_correlation_ignores_the_start_and_the_sense(m, start, sense):
    expected = 2 * np.pi * np.arange(m) / m
    value, found = ring_correlation(sense * expected + start, expected)
    assert value == pytest.approx(1)
    assert found == sense or m == 3 or np.isclose(value, ring_correlation(expected, expected)[0])


def test_cosines_on_a_ring_are_a_function_of_the_distance():
    turn = 2 * np.pi * np.arange(12) / 12
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    distance = order_distance(12, True)
    np.testing.assert_allclose(cosines(ring), np.cos(2 * np.pi * distance / 12), atol=1e-12)
    assert order_fall(cosines(ring).round(9), distance) == pytest.approx(1)
    assert distance.max() == 6
    assert line_correlation(np.array([3.0, 2, 1]), np.arange(3)) == 1


def test_p_of_mixed_orders_is_uniform():
    turn = 2 * np.pi * np.arange(8) / 8
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = np.stack([np.cos(turn), np.sin(turn)], axis=1)[np.arange(32) % 8] + 0.01 * rng.standard_normal(
            (32, 2)
        )
        label = rng.permutation(8)[np.arange(32) % 8]
        p.append(
            expected_order(tap(x, label), ExpectedOrderParams(permutations=99), rng=rng).estimates[0].p_value
        )
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) < 0.1) < 0.25


def test_months_in_their_named_order(rng):
    months = np.array(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug"])
    turn = 2 * np.pi * np.arange(8) / 8
    x = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)[np.arange(80) % 8]
    x = x + 0.05 * rng.standard_normal((80, 3))
    named = tap(x, months[np.arange(80) % 8])
    right = expected_order(named, ExpectedOrderParams(order="jan, feb,mar,apr,may,jun,jul,aug"))
    alphabet = expected_order(named)
    assert right.estimates[0].value > 0.99
    assert right.columns["off the expected place"].max() < 10
    assert alphabet.estimates[0].value < right.estimates[0].value
    with pytest.raises(ParameterError, match="'dec'"):
        expected_order(named, ExpectedOrderParams(order="jan,feb,dec"))


def test_a_line_is_followed_by_its_rank(rng):
    place = np.arange(90) % 9
    x = place[:, None] * [1.0, 2, 0] + 0.1 * rng.standard_normal((90, 3))
    r = expected_order(tap(x, place), ExpectedOrderParams(cyclic=False))
    assert r.estimates[0].value == 1
    assert r.estimates[0].p_value < 0.01
