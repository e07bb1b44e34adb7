"""Merging equivalent units: exact identities, a brute-force search, invariances, planted twins, nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks import feature_merging as compute
from analysis.compute.networks.feature_merging import (
    EQUAL,
    RELU,
    folded_outgoing,
    gaussian_paths,
    merge_path,
    moved_paths,
    output_errors,
    pair_correlations,
    random_path,
)
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.methods.weights import feature_merging as merging
from analysis.methods.weights import merge_pairs as pairs
from analysis.methods.weights.feature_merging import FeatureMergingParams, feature_merging
from analysis.methods.weights.merge_pairs import MergePairsParams, merge_pairs

FEW = settings(max_examples=20, deadline=None)
KINDS = st.sampled_from([RELU, EQUAL])


def layer(rng, units=30, inputs=20, outputs=11):
    return (
        rng.standard_normal((units, inputs)),
        rng.standard_normal(units),
        rng.standard_normal((units, outputs)),
    )


def with_bias(w, b):
    return np.column_stack([w, b])


def output(w, b, v, x):
    return np.maximum(x @ w.T + b, 0) @ v


def brute(x, equivalence):
    """Distances of all pairs, and at every step the least among the living, looked up anew."""
    size = np.linalg.norm(x, axis=1)
    y = x / size[:, None] if equivalence == RELU else x / np.sqrt(np.mean(size**2))
    d = np.linalg.norm(y[:, None] - y[None], axis=2)
    np.fill_diagonal(d, np.inf)
    outer = (d[np.isfinite(d)].reshape(len(x), -1) ** 2).sum(axis=1)
    found = []
    while np.isfinite(d).any():
        i, j = np.unravel_index(d.argmin(), d.shape)
        kept, gone = (i, j) if outer[i] <= outer[j] else (j, i)
        found.append((kept, gone, d[i, j]))
        d[gone] = d[:, gone] = np.inf
    return np.array(found)


# ---------------------------------------------------------------------------- the path
@FEW
@given(st.integers(0, 10**6), KINDS, st.sampled_from([(3, 3), (5, 2), (20, 4), (12, 40)]))
def test_the_path_is_that_of_the_brute_force_search(seed, equivalence, shape):
    x = np.random.default_rng(seed).standard_normal(shape) * np.linspace(0.2, 4, shape[0])[:, None]
    found, expected = merge_path(x, equivalence), brute(x, equivalence)
    np.testing.assert_allclose(found.distance, expected[:, 2], atol=1e-9)
    np.testing.assert_array_equal(found.kept, expected[:, 0])
    np.testing.assert_array_equal(found.merged, expected[:, 1])
    assert (np.diff(found.distance) >= -1e-12).all()


def test_the_path_is_the_same_in_blocks(rng):
    x = rng.standard_normal((1100, 5))
    found, expected = merge_path(x).distance, brute(x, RELU)[:, 2]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@FEW
@given(st.integers(0, 10**6), st.integers(0, 12))
def test_planted_twins_leave_exactly_the_others(seed, twins):
    """C - m of C units are left at a threshold of 0, whatever the scales; and nothing else before it is large."""
    rng = np.random.default_rng(seed)
    w, b, _ = layer(rng)
    factor = rng.uniform(0.05, 20, twins)
    w[30 - twins :], b[30 - twins :] = factor[:, None] * w[:twins], factor * b[:twins]
    path = merge_path(with_bias(w, b))
    np.testing.assert_array_equal(path.left(np.array([0.0, 0.2])), (30 - twins) / 30)
    assert merge_path(with_bias(w, b), EQUAL).left(0.0) == 1.0


def test_equal_weights_are_merged_whatever_the_nonlinearity(rng):
    w, b, v = layer(rng)
    w[4], b[4] = w[9], b[9]
    path = merge_path(with_bias(w, b), EQUAL)
    assert path.left(0.0) == pytest.approx(29 / 30)
    assert path.scale[0] == 1
    x = rng.standard_normal((50, 20))
    for f in (np.tanh, np.abs, lambda z: z * np.exp(-z)):
        a = f(x @ w.T + b)
        np.testing.assert_allclose(a @ folded_outgoing(v, path, 1), a @ v, atol=1e-11)


@FEW
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_merging_a_scaled_twin_leaves_the_function_as_it_is(seed, factor):
    rng = np.random.default_rng(seed)
    w, b, v = layer(rng)
    w[7], b[7] = factor * w[3], factor * b[3]
    path = merge_path(with_bias(w, b))
    x = rng.standard_normal((100, 20))
    before, after = output(w, b, v, x), output(w, b, folded_outgoing(v, path, 1), x)
    assert np.abs(after - before).max() <= 1e-13 * np.abs(before).max()
    assert not folded_outgoing(v, path, 1)[path.merged[0]].any()


def test_three_twins_chain(rng):
    """Each is a multiple of the others; the one that stays takes in both, with the right factors."""
    w, b, v = layer(rng)
    for j, c in ((11, 3.0), (20, 0.25)):
        w[j], b[j] = c * w[5], c * b[5]
    path = merge_path(with_bias(w, b))
    assert {*path.kept[:2], *path.merged[:2]} == {5, 11, 20}
    x = rng.standard_normal((100, 20))
    folded = folded_outgoing(v, path, 2)
    assert (np.abs(folded).max(axis=1) > 0).sum() == 28
    np.testing.assert_allclose(output(w, b, folded, x), output(w, b, v, x), atol=1e-11)


def test_without_bias_a_twin_differs_by_its_bias(rng):
    w, b, _ = layer(rng)
    w[7] = w[3]
    assert merge_path(w).distance[0] < 1e-12
    assert merge_path(with_bias(w, b)).distance[0] > 0.01


@FEW
@given(st.integers(0, 10**6))
def test_order_and_positive_scale_of_units_change_nothing_and_a_sign_does(seed):
    rng = np.random.default_rng(seed)
    w, b, _ = layer(rng)
    w[25:], b[25:] = 0.9 * w[:5] + 0.1 * w[5:10], b[:5]
    x = with_bias(w, b)
    order, scale = rng.permutation(30), rng.uniform(0.01, 50, (30, 1))
    plain, moved = merge_path(x), merge_path((x * scale)[order])
    np.testing.assert_allclose(moved.distance, plain.distance, atol=1e-9)
    assert [order[k] for k in moved.merged] == list(plain.merged)
    np.testing.assert_allclose(
        moved.scale, (plain.scale * (scale[plain.merged] / scale[plain.kept])[:, 0]), rtol=1e-9
    )
    flipped = x * np.where(np.arange(30) == 27, -1, 1)[:, None]
    assert (plain.left(0.4), merge_path(flipped).left(0.4)) == (25 / 30, 26 / 30)
    np.testing.assert_allclose(merge_path(x[order], EQUAL).distance, merge_path(x, EQUAL).distance, atol=1e-9)


@pytest.mark.parametrize("equivalence", [RELU, EQUAL])
def test_random_weights_keep_every_unit_over_a_wide_range(equivalence):
    for seed in range(5):
        path = merge_path(np.random.default_rng(seed).standard_normal((200, 400)), equivalence)
        np.testing.assert_array_equal(path.left(np.array([0.1, 0.5, 1.0])), 1.0)
        assert path.left(2.0) == pytest.approx(1 / 200)
        assert np.median(path.distance) == pytest.approx(np.sqrt(2), abs=0.15)


def test_dead_units_take_no_part(rng):
    w, b, _ = layer(rng)
    w[[2, 17]], b[[2, 17]] = 0, 0
    path = merge_path(with_bias(w, b))
    np.testing.assert_array_equal(path.empty, [2, 17])
    assert len(path.alive) == 28
    assert not {2, 17} & {*path.kept, *path.merged}


def test_merging_refuses(rng):
    with pytest.raises(NotEnoughData, match="1 unit"):
        merge_path(np.vstack([np.ones(4), np.zeros(4)]))
    with pytest.raises(InputError, match="NaN"):
        merge_path(np.array([[1.0, np.nan], [1, 2]]))
    with pytest.raises(TooLarge, match="8,192"):
        merge_path(rng.standard_normal((8200, 2)))


# ---------------------------------------------------------------------------- what data say
@FEW
@given(st.integers(0, 10**6), KINDS)
def test_the_error_is_that_of_the_merged_layer_at_every_step(seed, equivalence):
    rng = np.random.default_rng(seed)
    w, b, v = layer(rng, units=8, inputs=5, outputs=3)
    x = rng.standard_normal((40, 5))
    a = np.maximum(x @ w.T + b, 0)
    path = merge_path(with_bias(w, b), equivalence)
    errors = output_errors(a, v, path)
    out = a @ v
    for s in range(len(path.kept)):
        change = a @ folded_outgoing(v, path, s + 1) - out
        expected = np.sqrt((change**2).sum() / ((out - out.mean(axis=0)) ** 2).sum())
        assert errors.relative[s] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(
        errors.squares.sum(axis=1) / errors.variance.sum(), errors.relative**2, rtol=1e-9
    )


def test_correlations_of_pairs_are_pearsons(rng):
    w, b, _ = layer(rng, units=6)
    a = np.maximum(rng.standard_normal((50, 20)) @ w.T + b, 0) + 1e4
    a[:, 3] = 7.0
    path = merge_path(with_bias(w, b))
    found = pair_correlations(a, path)
    for r, i, j in zip(found, path.kept, path.merged, strict=True):
        expected = 0.0 if 3 in (i, j) else np.corrcoef(a[:, i], a[:, j])[0, 1]
        assert r == pytest.approx(expected, abs=1e-8)


def test_random_merges_are_as_many_and_use_each_unit_once(rng):
    x = rng.standard_normal((15, 4))
    path = merge_path(x)
    found = random_path(x, path, RELU, rng)
    assert len(set(found.merged)) == 14
    gone = set()
    for kept, merged in zip(found.kept, found.merged, strict=True):
        assert kept not in gone
        assert kept != merged
        gone.add(merged)
    size = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(found.scale, size[found.merged] / size[found.kept])


def test_moved_weights_keep_each_units_numbers_and_its_bias(rng, monkeypatch):
    seen = []
    monkeypatch.setattr(compute, "merge_path", lambda x, *_: seen.append(x))
    x = rng.standard_normal((6, 5)) * np.arange(1, 7)[:, None]
    moved_paths(x, RELU, 1, rng, bias=True)
    gaussian_paths((6, 5), RELU, 1, rng)
    moved = seen[0]
    assert seen[1].shape == (6, 5)
    np.testing.assert_array_equal(moved[:, -1], x[:, -1])
    np.testing.assert_array_equal(np.sort(moved[:, :-1]), np.sort(x[:, :-1]))
    assert not np.array_equal(moved, x)


# ---------------------------------------------------------------------------- the methods
def test_complexity_of_planted_twins_beside_its_null(rng):
    w, b, v = layer(rng, units=50, inputs=40)
    w[45:], b[45:] = 2 * w[:5], 2 * b[:5]
    x = rng.standard_normal((200, 40))
    acts = np.maximum(x @ w.T + b, 0)
    found = feature_merging(with_bias(w, b).T, acts, v.T, params=FeatureMergingParams(beta=0.1))
    left, closest, error = found.estimates
    assert left.value == pytest.approx(0.9)
    assert left.null == 1
    assert left.p_value == pytest.approx(1 / 20)
    assert closest.value < 1e-12 < 0.5 < closest.null_low
    assert error.value < 1e-12
    np.testing.assert_allclose(found.series["distinct features left"][0], 0.9)
    np.testing.assert_array_equal(found.null["distinct features left"][:12], 1.0)
    assert found.series["relative error of the output"][-1] > 0.3
    assert "90% of the 50 units" in found.reading


def test_a_random_layer_is_outside_its_null_as_rarely_as_it_should():
    """The range of 19 draws leaves out one in ten."""
    outside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        e = feature_merging(rng.standard_normal((30, 40)), rng=rng).estimates[1]
        outside += not e.null_low <= e.value <= e.null_high
    assert 1 <= outside <= 14


def test_the_error_has_an_interval_over_samples_not_rows(rng):
    w, b, v = layer(rng)
    x = np.repeat(rng.standard_normal((30, 20)), 8, axis=0)
    acts = np.maximum(x @ w.T + b, 0)
    params = FeatureMergingParams(beta=1.2)
    rows = feature_merging(with_bias(w, b).T, acts, v.T, params=params).estimates[2]
    tap = ArrayActivations(acts, layout=Layout(np.arange(31) * 8))
    samples = feature_merging(with_bias(w, b).T, tap, v.T, params=params).estimates[2]
    assert (rows.n, samples.n) == (240, 30)
    assert samples.value == pytest.approx(rows.value)
    assert samples.high - samples.low > 2 * (rows.high - rows.low)


def test_a_part_of_the_rows_and_inputs_left_out_are_said(rng):
    w, b, v = layer(rng)
    table = with_bias(w, b).T
    acts = np.abs(rng.standard_normal((300, 30)))
    acts[5, 2], bad = np.nan, table.copy()
    bad[0, 0] = np.inf
    found = feature_merging(bad, acts, v.T, params=FeatureMergingParams(maximum_rows=100))
    said = " ".join(found.caveats)
    assert "1 input(s) with NaN or infinity" in said
    assert "random" in said


def test_the_table_of_pairs(rng):
    w, b, v = layer(rng)
    w[7], b[7] = 4 * w[3], 4 * b[3]
    acts = np.maximum(rng.standard_normal((60, 20)) @ w.T + b, 0)
    tap = ArrayActivations(with_bias(w, b).T, unit_names=tuple(f"u{i}" for i in range(30)))
    found = merge_pairs(tap, acts, v.T, params=MergePairsParams(pairs=10))
    c = found.columns
    assert {c["kept"][0], c["merged"][0]} == {"u3", "u7"}
    assert c["scale"][0] == pytest.approx(4 if c["merged"][0] == "u7" else 0.25)
    assert c["correlation"][0] == pytest.approx(1)
    assert c["output error"][0] < 1e-12 < c["output error"][1]
    assert c["closer than chance"].tolist() == [True] + [False] * 9
    assert list(c["units left"]) == list(range(29, 19, -1))
    assert found.estimates[0].value == pytest.approx(1 / 30)
    assert found.estimates[1].null == pytest.approx(
        (np.corrcoef(acts, rowvar=False).sum() - 30) / (30 * 29), abs=1e-9
    )
    assert "The first 10 of 29 steps" in " ".join(found.caveats)
    plain = merge_pairs(tap)
    assert "correlation" not in plain.columns
    assert len(plain.columns["step"]) == 29


@pytest.mark.parametrize("method", [feature_merging, merge_pairs])
def test_the_methods_refuse(rng, method):
    w = rng.standard_normal((20, 6))
    with pytest.raises(InputError, match="has 5 units"):
        method(w, rng.standard_normal((40, 5)))
    with pytest.raises(ParameterError, match="4 taps"):
        method(w, w, w, w)
    with pytest.raises(NotEnoughData, match="0 unit"):
        method(np.zeros((20, 6)))
    with pytest.raises(InputError, match="same for every row"):
        method(w, np.ones((40, 6)), w)
    with pytest.raises(ParameterError, match="table of weights itself"):
        method(w, params=(MergePairsParams if method is merge_pairs else FeatureMergingParams)(layer="fc1"))


def test_accuracy_needs_a_network(rng):
    with pytest.raises(InputError, match="not known, so the network cannot be run"):
        feature_merging(rng.standard_normal((20, 6)), params=FeatureMergingParams(accuracy=True))


# ---------------------------------------------------------------------------- checks that can fail
def _not_folded(outgoing, path, steps):
    return outgoing


def _never_scaled(x, equivalence=RELU, *_):
    found = merge_path(x, equivalence)
    return compute.MergePath(
        found.kept, found.merged, np.ones(len(found.kept)), found.distance, found.alive, found.empty
    )


@pytest.mark.parametrize(
    ("where", "name", "broken", "checked"),
    [
        (merging, "merge_path", _never_scaled, merging),
        (merging, "merge_path", lambda x, e=RELU, *_: merge_path(x, EQUAL), merging),
        (compute, "ROUNDING", 1.0, merging),
        (pairs, "merge_path", _never_scaled, pairs),
        (pairs, "pair_correlations", lambda a, path: np.zeros(len(path.kept)), pairs),
        (compute, "_squared_distances", lambda y, *_: np.where(np.eye(len(y)) > 0, np.inf, 1.0), pairs),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken, checked):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
