"""Weights of matched units, reliability by place, and divergence by layer: closed forms, brute force, invariances,
planted cases, nulls, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching import matched_rows, row_matching
from analysis.compute.matching.matched_rows import paired_rows, random_pairings
from analysis.compute.matching.row_matching import halves_of, match
from analysis.compute.matching.weight_rows import least_beyond_chance, weights_of
from analysis.compute.rows.grid_resampling import bilinear, region_means
from analysis.compute.similarity.sample_alignment import alignment_of_each, gram, larger_p
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, ShapeError
from analysis.methods.populations import divergence_by_layer as layer_module
from analysis.methods.populations import matched_geometry as geometry_module
from analysis.methods.populations import reliability_difference as reliability_module
from analysis.methods.populations.divergence_by_layer import DivergenceParams, divergence_by_layer
from analysis.methods.populations.matched_geometry import MatchedGeometryParams, matched_geometry
from analysis.methods.populations.reliability_difference import ReliabilityParams, reliability_difference

FEW = settings(max_examples=10, deadline=None)


def tap(x, name="m", layout=None, **samples):
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def turn(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def two_networks(rng, n=300, k=30, d=8, noise=0.3):
    """The same units with noise, in another order, and weights that are alike up to noise and a rotation."""
    x, w = rng.standard_normal((n, k)), rng.standard_normal((k, d))
    order = rng.permutation(k)
    y = x[:, order] + noise * rng.standard_normal((n, k))
    v = (w[order] + noise * rng.standard_normal((k, d))) @ turn(rng, d)
    return x, y, w, v, order


# ---------------------------------------------------------------------------- scores of paired rows
@FEW
@given(st.integers(0, 10**6))
def test_scores_of_paired_rows_by_their_definitions(seed):
    rng = np.random.default_rng(seed)
    u = rng.standard_normal((40, 3))
    v = u @ rng.standard_normal((3, 5)) + rng.standard_normal((40, 5))
    pairs = paired_rows(u, v, 1.0)
    a, b = (np.linalg.qr(m - m.mean(axis=0))[0] for m in (u, v))
    assert (pairs.one.shape[1], pairs.other.shape[1]) == (3, 5)
    assert pairs.svcca() == pytest.approx(np.linalg.svd(a.T @ b)[1].mean(), abs=1e-9)
    cosine = [m @ m.T / np.outer(*[np.linalg.norm(m, axis=1)] * 2) for m in (u, v)]
    i, j = np.triu_indices(40, 1)
    assert pairs.rsa() == pytest.approx(stats.spearmanr(cosine[0][i, j], cosine[1][i, j]).statistic, abs=1e-9)


@FEW
@given(st.integers(0, 10**6))
def test_rotating_rescaling_and_permuting_change_nothing(seed):
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((30, 4)), rng.standard_normal((30, 4))
    v += u
    one, other = paired_rows(u, v, 0.99), paired_rows(3 * u @ turn(rng, 4), v @ turn(rng, 4) * 1e-3, 0.99)
    assert other.svcca() == pytest.approx(one.svcca(), abs=1e-9)
    assert other.rsa() == pytest.approx(one.rsa(), abs=1e-9)
    order = rng.permutation(30)
    both = paired_rows(u[order], v[order], 0.99)
    assert both.svcca() == pytest.approx(one.svcca(), abs=1e-9)
    assert both.rsa() == pytest.approx(one.rsa(), abs=1e-9)
    np.testing.assert_allclose(both.rsa_of_each(), one.rsa_of_each()[order], atol=1e-9)
    same = paired_rows(u, 2 * u @ turn(rng, 4), 0.99)
    assert (same.svcca(), same.rsa()) == (pytest.approx(1), pytest.approx(1))
    np.testing.assert_allclose(same.rsa_of_each(), 1, atol=1e-9)


def test_nulls_of_random_pairing_are_exact():
    """Over all pairings RSA has mean 0, and the mean squared canonical correlation is max(r, s) / (k - 1)."""
    rng = np.random.default_rng(1)
    u, v = rng.standard_normal((6, 2)), rng.exponential(size=(6, 2))
    pairs = paired_rows(u, v, 1.0)
    assert pairs.one.shape[1] == pairs.other.shape[1] == 1  # (6 - 1) // 4
    every = [list(p) for p in permutations(range(6))]
    assert np.mean([pairs.rsa(o) for o in every]) == pytest.approx(0, abs=1e-12)
    assert np.mean([pairs.svcca(o) ** 2 for o in every]) == pytest.approx(1 / 5, abs=1e-12)
    drawn = random_pairings(pairs, 500, rng)
    assert drawn[1].mean() == pytest.approx(0, abs=0.1)


def test_the_first_unit_with_a_single_cosine_to_all_has_no_arrangement():
    pairs = paired_rows(np.eye(6), np.random.default_rng(2).standard_normal((6, 4)), 0.99)
    assert pairs.rsa() == 0
    assert not pairs.rsa_of_each().any()


# ---------------------------------------------------------------------------- matched geometry
@pytest.mark.parametrize("matching", ["one to one", "many to one"])
def test_the_same_network_in_another_order_and_basis(matching):
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((200, 40)), rng.standard_normal((40, 9))
    order = rng.permutation(40)
    found = matched_geometry(
        x, 3 * x[:, order] - 5, w, w[order] @ turn(rng, 9), MatchedGeometryParams(matching=matching)
    )
    assert (order[found.columns["second"].astype(int)] == found.columns["first"].astype(int)).all()
    assert len(found.columns["first"]) == 40
    assert [e.value for e in found.estimates[:3]] == pytest.approx([1, 1, 1], abs=1e-9)
    assert found.estimates[0].p_value == pytest.approx(1 / 200)


def test_alike_weights_are_beyond_random_pairs_and_unrelated_ones_are_not():
    rng = np.random.default_rng(4)
    x, y, w, v, order = two_networks(rng)
    alike = matched_geometry(x, y, w, v)
    assert (order[alike.columns["second"].astype(int)] == alike.columns["first"].astype(int)).all()
    assert all(e.p_value < 0.01 for e in alike.estimates[:2])
    assert alike.estimates[1].value > 0.5
    chance = {e.name: e for e in alike.estimates[3:]}
    for e in alike.estimates[:2]:
        assert e.value > chance[f"{e.name}, if matched on exchanged samples"].high
    unrelated = matched_geometry(x, y, w, rng.standard_normal(v.shape))
    assert all(e.p_value > 0.01 for e in unrelated.estimates[:2])
    assert unrelated.estimates[2].value > 0.8  # the units are matched all the same


def test_p_values_of_unrelated_weights_are_uniform():
    rng = np.random.default_rng(5)
    p = []
    for _ in range(150):
        pairs = paired_rows(rng.standard_normal((20, 6)), rng.standard_normal((20, 5)), 0.99)
        drawn = random_pairings(pairs, 39, rng)
        p.append(
            [(1 + (d >= v).sum()) / 40 for d, v in zip(drawn, (pairs.svcca(), pairs.rsa()), strict=True)]
        )
    for column in np.array(p).T:
        assert 0.02 < (column <= 0.1).mean() < 0.2
        assert abs(column.mean() - 0.5) < 0.1


def test_the_correlation_that_is_reported_is_not_inflated_by_the_matching():
    """Unrelated units, every pair kept: matched on one half they correlate well there, and 0 on the other."""
    rng = np.random.default_rng(6)
    x, y, w, v = (rng.standard_normal(s) for s in ((80, 40), (80, 40), (40, 5), (40, 5)))
    found = matched_geometry(x, y, w, v, MatchedGeometryParams(matching="many to one", least=0.0))
    assert found.columns["r matched"].mean() > 0.25
    held = found.estimates[2]
    assert abs(held.value) < 0.08
    assert held.null_low <= held.null <= held.null_high


def test_one_half_matches_and_the_other_is_reported():
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((41, 4)), rng.standard_normal((41, 3))
    usable = [np.ones(4, bool), np.array([True, False, True])]
    halves = halves_of((x, y), usable, 100, ("a", "b"), np.random.default_rng(99))
    order = np.random.default_rng(99).permutation(41)
    mine, rest = order[:20], order[20:]
    assert (halves.n_matching, halves.n_held_out) == (20, 21)
    found = match(halves, False, -1.0)
    assert found.first.tolist() == [0, 1, 2, 3]
    for i, j, r, held in zip(found.first, found.second, found.matched, found.held_out, strict=True):
        every = [np.corrcoef(x[mine, i], y[mine, k])[0, 1] for k in (0, 2)]
        assert j == (0, 2)[int(np.argmax(every))]
        assert r == pytest.approx(max(every), abs=1e-12)
        assert held == pytest.approx(np.corrcoef(x[rest, i], y[rest, j])[0, 1], abs=1e-12)


def test_the_least_correlation_is_the_quantile_of_the_best_of_many():
    rng = np.random.default_rng(8)
    best = []
    for _ in range(400):
        x, y = rng.standard_normal((40, 1)), rng.standard_normal((40, 25))
        x, y = x - x.mean(), y - y.mean(axis=0)
        best.append((x.T @ y / np.linalg.norm(x) / np.linalg.norm(y, axis=0)).max())
    assert (np.array(best) < least_beyond_chance(40, 25)).mean() == pytest.approx(0.95, abs=0.035)


def test_weights_as_rows_or_columns_and_dead_or_broken_ones():
    rng = np.random.default_rng(9)
    x, y, w, v, _ = two_networks(rng)
    w[3], v[5] = 0.0, np.nan
    rows, columns = matched_geometry(x, y, w, v), matched_geometry(x, y, w.T, v.T)
    for name, values in rows.columns.items():
        np.testing.assert_array_equal(columns.columns[name], values)
    assert sum("zero, NaN or infinite" in c for c in rows.caveats) == 2
    assert any("columns of its weights" in c for c in columns.caveats)
    assert "3" not in rows.columns["first"].tolist()
    assert "5" not in rows.columns["second"].tolist()
    with pytest.raises(ShapeError, match="30 units"):
        weights_of(tap(rng.standard_normal((7, 9))), 30, "a")
    with pytest.raises(ShapeError):
        matched_geometry(x, y, w, v[:-1])


def test_dead_units_are_left_out_and_many_to_one_repeats_partners():
    rng = np.random.default_rng(10)
    x, w = rng.standard_normal((200, 12)), rng.standard_normal((12, 4))
    twice = np.hstack([x, x + 0.05 * rng.standard_normal(x.shape), np.zeros((200, 6))])
    weights = np.vstack([w, w + 0.05 * rng.standard_normal(w.shape), rng.standard_normal((6, 4))])
    many = matched_geometry(twice, x, weights, w, MatchedGeometryParams(matching="many to one"))
    assert len(many.columns["first"]) == 24
    assert set(many.columns["partner serves"]) == {2}
    assert any("12 pair(s) repeat a partner" in c for c in many.caveats)
    assert any("6 unit(s) that do not vary" in c for c in many.caveats)
    single = matched_geometry(twice, x, weights, w)
    assert len(single.columns["first"]) == 12
    assert set(single.columns["partner serves"]) == {1}


def test_too_few_pairs_are_refused(rng):
    x, w = rng.standard_normal((100, 4)), rng.standard_normal((4, 3))
    with pytest.raises(NotEnoughData, match=r"4 pair\(s\)"):
        matched_geometry(x, x + 0.0, w, w + 0.0)
    with pytest.raises(NotEnoughData, match="15 sample"):
        matched_geometry(x[:15], x[:15], w, w)


# ---------------------------------------------------------------------------- reliability by place
def test_entropy_and_cross_entropy_are_those_of_scipy():
    rng = np.random.default_rng(11)
    x, y = 2 * rng.standard_normal((2, 24, 5))
    layout, label = Layout(np.arange(9) * 3), rng.integers(5, size=8)
    p, q = softmax(x, axis=1), softmax(y, axis=1)
    one, other = tap(x, layout=layout, label=label), tap(y, layout=layout)
    found = reliability_difference(one, other)
    expected = (stats.entropy(q, axis=1) - stats.entropy(p, axis=1)).reshape(8, 3)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    surprise = reliability_difference(one, other, ReliabilityParams(measure="cross-entropy"))
    at = np.repeat(label, 3)
    expected = np.log(p[np.arange(24), at]) - np.log(q[np.arange(24), at])
    np.testing.assert_allclose(surprise.values, expected.reshape(8, 3), atol=1e-12)
    assert found.estimates[0].value == pytest.approx(found.values.mean())
    assert found.estimates[1].value == pytest.approx((found.values > 0).mean())


def test_equal_peers_have_no_direction_and_swapping_negates():
    rng = np.random.default_rng(12)
    layout = Layout(np.arange(21) * 4, grid=(2, 2))
    a, b = (tap(rng.standard_normal((80, 3)), layout=layout) for _ in range(2))
    same = reliability_difference(a, a)
    assert not same.values.any()
    assert np.isnan(reliability_difference(a, a, ReliabilityParams(show="direction")).values).all()
    assert "no direction" in same.reading
    assert same.estimates[0].value == 0
    assert same.estimates[0].p_value == 1
    for show in ("difference", "direction"):
        params = ReliabilityParams(show=show)
        one, other = reliability_difference(a, b, params), reliability_difference(b, a, params)
        np.testing.assert_allclose(one.values, -other.values, atol=1e-12)
    e, f = (r.estimates[1].value for r in (one, other))
    assert e + f == pytest.approx(1)


def test_places_that_are_equal_are_blank_in_the_direction_only():
    rng = np.random.default_rng(13)
    x, y = rng.standard_normal((2, 40, 3))
    y[:10] = x[:10][:, ::-1] + 4  # the same entropy
    found = reliability_difference(x, y, ReliabilityParams(show="direction"))
    assert np.isnan(found.values[:10]).all()
    assert set(found.values[10:].ravel()) <= {1.0, -1.0}
    assert any("25.0%" in c for c in found.caveats)


def test_a_region_is_the_mean_of_its_places():
    rng = np.random.default_rng(14)
    values = rng.standard_normal((3, 12))
    values[0, 5] = np.nan
    picture = values.reshape(3, 3, 4)
    found = region_means(values, (3, 4), 2).reshape(3, 3, 4)
    assert found[1, 0, 0] == pytest.approx(picture[1, :2, :2].mean())
    assert found[2, 2, 3] == pytest.approx(picture[2, 2, 2:].mean())
    assert found[0, 1, 1] == pytest.approx(np.nanmean(picture[0, :2, :2]))
    np.testing.assert_allclose(region_means(values, (3, 4), 1), values)
    with pytest.raises(ParameterError, match="no image grid"):
        reliability_difference(
            rng.standard_normal((9, 3)), rng.standard_normal((9, 3)), ReliabilityParams(region=2)
        )


@pytest.mark.parametrize(
    ("source", "target"), [((2, 2), (4, 4)), ((4, 4), (2, 2)), ((3, 5), (7, 2)), ((1, 1), (3, 3))]
)
def test_grids_are_carried_over_like_torch_does(source, target):
    torch = pytest.importorskip("torch")
    picture = np.random.default_rng(15).standard_normal(source)
    weights = bilinear(source, target)
    wanted = torch.nn.functional.interpolate(
        torch.tensor(picture)[None, None], size=target, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    np.testing.assert_allclose((weights @ picture.ravel()).reshape(target), wanted, atol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-15)
    np.testing.assert_allclose(bilinear(source, source), np.eye(source[0] * source[1]), atol=1e-15)


def test_a_convolutional_map_against_patches_with_a_class_token():
    """2 x 2 patches behind a class token against a 4 x 4 map: on the finer grid, the class token left out."""
    rng = np.random.default_rng(16)
    cnn = tap(rng.standard_normal((80, 3)), "cnn", Layout(np.arange(6) * 16, grid=(4, 4)))
    vit = tap(rng.standard_normal((25, 3)), "vit", Layout(np.arange(6) * 5, grid=(2, 2), leading=1))
    found = reliability_difference(cnn, vit)
    assert (found.values.shape, found.grid, found.leading) == ((5, 16), (4, 4), 0)
    q = softmax(vit.values, axis=1).reshape(5, 5, 3)[0, 1:]
    p = softmax(cnn.values, axis=1)[:16]
    expected = stats.entropy(bilinear((2, 2), (4, 4)) @ q, axis=1) - stats.entropy(p, axis=1)
    np.testing.assert_allclose(found.values[0], expected, atol=1e-12)
    back = reliability_difference(vit, cnn)
    assert back.values.shape == (5, 4)
    assert any("bilinear" in c for c in found.caveats)


def test_texts_of_different_length_and_samples_in_another_order():
    rng = np.random.default_rng(17)
    lengths = np.array([2, 4, 1])
    offsets, ids = np.r_[0, np.cumsum(lengths)], np.array(["a", "b", "c"])
    x, y = rng.standard_normal((2, 7, 3))
    one = tap(x, layout=Layout(offsets), id=ids)
    other = tap(np.vstack([y[6:], y[2:6], y[:2]]), layout=Layout(np.array([0, 1, 5, 7])), id=ids[::-1])
    found = reliability_difference(one, other)
    gap = stats.entropy(softmax(y, axis=1), axis=1) - stats.entropy(softmax(x, axis=1), axis=1)
    np.testing.assert_allclose(found.values[1], gap[2:6], atol=1e-12)
    np.testing.assert_allclose(found.values[0, :2], gap[:2], atol=1e-12)
    assert np.isnan(found.values[0, 2:]).all()
    longer = tap(rng.standard_normal((8, 3)), layout=Layout(np.array([0, 2, 6, 8])), id=ids)
    with pytest.raises(InputError, match="different numbers of tokens"):
        reliability_difference(one, longer)


def test_the_sign_test_is_exact_for_exchanged_peers():
    """Peers of one kind: p uniform; the band of the null holds 95 %."""
    inside, p = 0, []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        found = reliability_difference(*rng.standard_normal((2, 30, 3)), rng=rng).estimates[0]
        inside += found.null_low <= found.value <= found.null_high
        p.append(found.p_value)
    assert inside >= 70
    assert abs(np.mean(p) - 0.5) < 0.12


def test_refusals_of_peers(rng):
    x = rng.standard_normal((12, 3))
    with pytest.raises(InputError, match="3 classes and m has 2"):
        reliability_difference(tap(x), tap(x[:, :2]))
    with pytest.raises(InputError, match="one unit"):
        reliability_difference(x[:, :1], x[:, :1])
    with pytest.raises(NotFound, match="no sample column 'label'"):
        reliability_difference(x, x + 1, ReliabilityParams(measure="cross-entropy"))
    ids = [np.array([f"{k}{i}" for i in range(12)]) for k in "ab"]
    with pytest.raises(NotEnoughData, match="0 sample"):
        reliability_difference(tap(x, id=ids[0]), tap(x, id=ids[1]))
    broken = x.copy()
    broken[:11] = np.nan
    with pytest.raises(NotEnoughData, match="1 sample"):
        reliability_difference(x, broken)


# ---------------------------------------------------------------------------- divergence by layer
@FEW
@given(st.integers(0, 10**6))
def test_alignment_of_a_sample_is_a_correlation_of_similarities(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    k, other = gram(x), gram(y)
    found = alignment_of_each(k, other)
    a, b = (m - m.mean(axis=0) for m in (x, y))
    for i in range(20):
        rest = np.delete(np.arange(20), i)
        assert found[i] == pytest.approx(np.corrcoef(a[rest] @ a[i], b[rest] @ b[i])[0, 1], abs=1e-9)
    np.testing.assert_allclose(alignment_of_each(k, gram(3 * x @ turn(rng, 4) + 7)), 1, atol=1e-9)


def test_welchs_test_is_scipys():
    rng = np.random.default_rng(18)
    x, y = rng.standard_normal(12) + 0.5, 3 * rng.standard_normal(30)
    expected = stats.ttest_ind(x, y, equal_var=False, alternative="greater").pvalue
    assert larger_p(x, y) == pytest.approx(expected)
    assert larger_p(np.ones(3), np.ones(4)) == 1
    assert larger_p(np.full(3, 2.0), np.ones(4)) == 0


def layers(rng, at, n=400, depth=4):
    """Two networks that are rotations of each other up to layer `at`, where 40 samples move, and stay moved."""
    x = rng.standard_normal((n, 10))
    one, other, moved = [], [], x.copy()
    for depth_now in range(depth):
        if depth_now == at:
            moved[:40] = rng.standard_normal((40, 10))
        one.append(x @ turn(rng, 10))
        other.append(2 * moved @ turn(rng, 10))
    answers = 5 * np.eye(3)[rng.integers(3, size=n)]
    different = answers.copy()
    different[:40] = np.roll(answers[:40], 1, axis=1)
    return [*one, answers, *other, different]


@pytest.mark.parametrize("at", [0, 2, 3])
def test_the_layer_where_two_networks_part_is_found(at):
    found = divergence_by_layer(*layers(np.random.default_rng(at), at))
    assert f"first at layer {at + 1}," in found.reading
    most, rest = found.series["answers differ most"], found.series["other samples"]
    np.testing.assert_allclose(most[:at], 0, atol=1e-9)
    assert (most[at:] > 0.8).all()
    assert (rest[at:] < 0.4).all()
    assert found.null["other samples"] == pytest.approx(np.ones(4), abs=0.05)


def test_unrelated_layers_do_not_part_anywhere():
    rng = np.random.default_rng(19)
    parts = 0
    for _ in range(15):
        taps = rng.standard_normal((8, 80, 5))
        parts += "first at layer" in divergence_by_layer(*taps).reading
    assert parts <= 3


def test_one_network_twice_never_parts(rng):
    x, answers = rng.standard_normal((60, 5)), rng.standard_normal((60, 3))
    found = divergence_by_layer(x, answers, x, answers)
    assert found.series["other samples"].tolist() == [0.0]
    assert "At no layer" in found.reading
    assert any("never differ" in c for c in found.caveats)


def test_refusals_of_layers(rng):
    x = rng.standard_normal((60, 5))
    with pytest.raises(ParameterError, match=r"5 tap\(s\)"):
        divergence_by_layer(x, x, x, x, x)
    with pytest.raises(ParameterError, match=r"2 tap\(s\)"):
        divergence_by_layer(x, x)
    with pytest.raises(InputError, match="Put the outputs last"):
        divergence_by_layer(x, x[:, :3], x, x[:, :4])
    with pytest.raises(NotEnoughData, match="19 sample"):
        divergence_by_layer(*[x[:19]] * 4)
    few = divergence_by_layer(x, x[:, :3], x + 1, x[:, ::-1][:, :3], params=DivergenceParams(share=0.01))
    assert any("2 samples count" in c for c in few.caveats)


# ---------------------------------------------------------------------------- the checks can fail
def not_centred(rows, variance):
    left = np.linalg.svd(rows, full_matrices=False)[0]
    return left[:, : max(1, len(rows) // 2)]


def by_weight(halves, matched_once, least):
    found = MATCH(halves, matched_once, least)
    return row_matching.Matched(
        found.first, np.roll(found.second, 1), found.matched, found.held_out, found.n_dropped
    )


def coordinates_compared(rows):
    return np.outer(rows[:, 0], rows[:, 0]) * (1 - np.eye(len(rows)))


def half_a_place_off(gap, peers, side):
    return np.roll(REGION(gap, peers, side), 1, axis=1)


def absolute_difference(peers, label):
    return np.abs(DIFFERENCE(peers, label)) + 0.01


def rotation_seen(k, other):
    return ALIGNMENT(k, other) - 0.2


MATCH, REGION = row_matching.match, reliability_module._by_region
DIFFERENCE, ALIGNMENT = reliability_module.difference, layer_module.alignment_of_each


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (geometry_module, matched_rows, "_directions", not_centred),
        (geometry_module, geometry_module, "match", by_weight),
        (geometry_module, matched_rows, "_ranked", coordinates_compared),
        (reliability_module, reliability_module, "difference", absolute_difference),
        (reliability_module, reliability_module, "_by_region", half_a_place_off),
        (layer_module, layer_module, "alignment_of_each", rotation_seen),
        (layer_module, layer_module, "larger_p", lambda x, y: 0.001),
        (layer_module, layer_module, "js", lambda a, b: np.arange(len(a)) * 1.0),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
