"""Products of all pairs of units in one pass: against float64, with what single precision costs and when it is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.correlation import clumps as clumping
from analysis.compute.correlation import pair_sums as module
from analysis.compute.correlation.clumps import clumps
from analysis.compute.correlation.pair_sums import TOLERANCE, pair_sums
from analysis.compute.correlation.pair_tally import PairTally
from analysis.compute.correlation.strongest import Strongest
from analysis.compute.correlation.unit_relations import panels
from analysis.compute.correlation.unit_sketch import profiles, unit_sketches
from analysis.compute.rows.tap_rows import TapRows, tap_rows
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData, ParameterError

FEW = settings(max_examples=20, deadline=None)


class Chunked(ArrayActivations):
    """Chunks of uneven length, as shards give them; never more than asked for."""

    def chunks(self, rows=4096):
        start = 0
        for size in (3, 50, 1, 90) * 1000:
            size = min(size, rows)
            if start >= len(self.values):
                return
            yield start, self.values[start : start + size]
            start += size


def rows_of(*arrays, kind=ArrayActivations):
    return TapRows(tuple(kind(x, name=f"s:{i}", digest="d") for i, x in enumerate(arrays)))


def exact(x, y=None):
    x = x.astype(np.float64)
    y = x if y is None else y.astype(np.float64)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0)[:, None] * (y**2).sum(axis=0))
    return np.divide(x.T @ y, scale, out=np.zeros((x.shape[1], y.shape[1])), where=scale > 0)


# ---------------------------------------------------------------------------- against float64
@FEW
@given(
    st.integers(0, 10**6), st.sampled_from([np.float16, np.float32, np.float64]), st.booleans(), st.booleans()
)
def test_sums_are_those_of_float64_whatever_chunks_and_types(seed, kind, two, precise):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((400, 9)) * rng.uniform(0.5, 3, 9) + rng.uniform(-9, 9, 9)).astype(kind)
    y = (x[:, :5].astype(float) + rng.standard_normal((400, 5))).astype(kind)
    found = pair_sums(rows_of(*((x, y) if two else (x,)), kind=Chunked), precise=precise)
    assert found.n == 400
    tolerance = 1e-9 if precise or kind == np.float64 else TOLERANCE
    np.testing.assert_allclose(found.correlation(), exact(x, y if two else None), atol=tolerance)
    z = (x if not two else y).astype(float)
    np.testing.assert_allclose(found.mean_y, z.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(found.square_y, ((z - z.mean(axis=0)) ** 2).sum(axis=0), rtol=1e-7)
    wide = x.astype(float)
    cosine = wide.T @ z / np.outer(np.linalg.norm(wide, axis=0), np.linalg.norm(z, axis=0))
    np.testing.assert_allclose(found.cosine(), cosine, atol=tolerance)


DIFFICULT = {
    "copies": lambda z, n: np.repeat(z, 6, axis=1),
    "copies behind a ReLU": lambda z, n: np.maximum(np.repeat(z, 6, axis=1), 0),
    "rarely active": lambda z, n: np.repeat(np.maximum(z - 2, 0), 6, axis=1),
    "two values": lambda z, n: np.repeat((z > 0) * 0.1, 6, axis=1),
    "empty background": lambda z, n: np.where(np.arange(n)[:, None] % 3 > 0, 0.3, np.repeat(z, 6, axis=1)),
    "saturated": lambda z, n: np.tanh(4 * np.repeat(z, 6, axis=1)),
    "large means": lambda z, n: np.repeat(z, 6, axis=1) + 1e4,
    "drifting": lambda z, n: np.repeat(z, 6, axis=1) + np.linspace(0, 50, n)[:, None],
    "heavy tails": lambda z, n: np.sign(np.repeat(z, 6, axis=1)) * np.abs(np.repeat(z, 6, axis=1)) ** 5,
    "sorted": lambda z, n: np.sort(np.repeat(z, 6, axis=1), axis=0),
}


@pytest.mark.parametrize("name", sorted(DIFFICULT))
@pytest.mark.parametrize("n", [700, 9000])
def test_nothing_is_off_by_more_than_the_tolerance_and_single_precision_says_how_far(
    rng, monkeypatch, name, n
):
    monkeypatch.setattr(module, "PRECISE", 4)
    x = DIFFICULT[name](rng.standard_normal((n, 6)), n).astype(np.float32)
    for rows, against in ((rows_of(x), None), (rows_of(x, x[:, ::-1].copy()), x[:, ::-1])):
        expected, single = exact(x, against), pair_sums(rows, precise=False)
        # few units: all pairs are among the checked ones; shifting rounds each value once
        assert np.abs(single.correlation() - expected).max() <= 1.1 * single.error + 1e-8
        found = pair_sums(rows)
        assert np.abs(found.correlation() - expected).max() <= TOLERANCE
        assert found.error <= TOLERANCE


@pytest.mark.parametrize("name", sorted(DIFFICULT))
def test_single_precision_is_enough_for_what_networks_give(rng, name):
    x = DIFFICULT[name](rng.standard_normal((9000, 6)), 9000).astype(np.float32)
    assert pair_sums(rows_of(x), precise=False).error <= TOLERANCE


def test_units_that_take_one_value_often_are_shifted_by_it(rng, monkeypatch):
    """Without it, the same small product is added again and again and rounded the same way each time."""
    x = np.maximum(np.repeat(rng.standard_normal((9000, 6)), 6, axis=1), 0).astype(np.float32)
    shifted = pair_sums(rows_of(x), precise=False).error
    monkeypatch.setattr(clumping, "OFTEN", 2.0)
    monkeypatch.setattr(module, "SUSPECT", 1.0)
    assert pair_sums(rows_of(x), precise=False).error > 2 * shifted


@pytest.mark.parametrize("two", [False, True])
def test_units_that_take_two_values_often_are_multiplied_in_double(rng, monkeypatch, two):
    monkeypatch.setattr(module, "PRECISE", 4)
    n = 9000
    x = rng.standard_normal((n, 30)).astype(np.float32)
    for j in (3, 4, 17):  # 0, a background, and what is neither
        x[:, j] = np.where(x[:, 0] > 0.3, 0, np.where(x[:, 0] > -0.4, 0.17 + j / 100, np.maximum(x[:, j], 0)))
    y = np.ascontiguousarray(x[:, ::-1][:, :29]) * np.float32(3)
    found, expected = pair_sums(rows_of(x, y) if two else rows_of(x)), exact(x, y if two else None)
    hard = [3, 4, 17]
    assert 0 < found.error <= TOLERANCE
    off = np.abs(found.correlation() - expected)
    assert off[hard].max() < 1e-8  # the values have one rounding when they are shifted
    assert off[:, [29 - j for j in hard] if two else hard].max() < 1e-8
    assert off.max() <= TOLERANCE
    monkeypatch.setattr(clumping, "AGAIN", 2.0)
    monkeypatch.setattr(module, "SUSPECT", 1.0)
    worse = pair_sums(rows_of(x, y) if two else rows_of(x), precise=False).correlation()
    assert np.abs(worse - expected)[hard].max() > 1e-8


def test_units_that_are_off_with_themselves_are_multiplied_in_double(rng, monkeypatch):
    x = rng.standard_normal((6000, 20)).astype(np.float32)
    x[:, 7:9] = np.sign(x[:, 7:8]) * np.abs(x[:, 7:8]) ** 9
    monkeypatch.setattr(module, "SUSPECT", 1.0)
    plain = pair_sums(rows_of(x), precise=False)
    monkeypatch.setattr(module, "SUSPECT", -1.0)
    monkeypatch.setattr(module, "DIFFICULT", 2.0)
    every = pair_sums(rows_of(x), precise=False)
    assert every.error < 1e-12 < plain.error
    np.testing.assert_allclose(every.correlation(), exact(x), atol=5e-7)


def test_clumps_are_the_values_that_are_taken_most(rng):
    x = rng.standard_normal((2000, 6)).astype(np.float32)
    x[rng.random(2000) < 0.3, 1], x[rng.random(2000) < 0.02, 2], x[:, 3] = 0.7, 0.7, 4
    x[rng.random(2000) < 0.5, 4] = -1
    x[rng.random(2000) < 0.3, 4] = 0.5
    x[rng.random(2000) < 0.4, 5] = 2 + 1e-6 * rng.standard_normal()  # nearly equal is as good
    found = clumps(x)
    assert np.isnan(found.value[[0, 2]]).all()
    np.testing.assert_allclose(found.value[[1, 3, 4, 5]], [0.7, 4, -1, 2], atol=1e-5)
    assert found.several.tolist() == [False, False, False, False, True, False]
    assert not clumps(x[:1]).several.any()


@pytest.mark.parametrize("size", [1e20, 1e-20])
def test_where_single_precision_is_not_enough_the_pass_is_made_in_double(rng, monkeypatch, size):
    monkeypatch.setattr(module, "PRECISE", 4)
    x = (rng.standard_normal((3000, 12)) * size).astype(np.float32)
    x[:, 6:] = x[:, :6]
    assert not pair_sums(rows_of(x), precise=False).error <= TOLERANCE
    found = pair_sums(rows_of(x))
    assert found.error == 0.0
    np.testing.assert_allclose(found.correlation(), exact(x), atol=1e-9)


def test_units_may_be_chosen_on_either_side(rng):
    x, y = (rng.standard_normal((60, d)).astype(np.float32) for d in (7, 9))
    whole = exact(x, y)
    for left, right in (([1, 2, 3], [8, 0, 4]), ([6, 1], [2, 3, 4]), ([5], [7])):
        found = pair_sums(rows_of(x, y), np.array(left), np.array(right))
        np.testing.assert_allclose(found.correlation(), whole[np.ix_(left, right)], atol=1e-9)


def test_constant_units_have_no_correlation_and_rows_with_nan_are_left_out(rng):
    x, y = (rng.standard_normal((80, 5)).astype(np.float32) for _ in range(2))
    x[:, 2], y[:, 1] = 0.1, -7
    x[3, 0], y[[10, 11], 4] = np.nan, np.inf
    stay, seen = np.setdiff1d(np.arange(80), [3, 10, 11]), Pass()
    found = pair_sums(rows_of(x, y, kind=Chunked), seen=seen)
    assert (seen.n_rows, seen.n_nonfinite, found.n) == (80, 3, 77)
    assert [v.tolist().index(False) for v in found.varies()] == [2, 1]
    assert (found.correlation()[2] == 0).all()
    good = np.ix_([0, 1, 3, 4], [0, 2, 3, 4])
    np.testing.assert_allclose(found.correlation()[good], exact(x[stay], y[stay])[good], atol=1e-9)
    assert pair_sums(rows_of(np.full((3, 2), np.nan))).n == 0


@pytest.mark.parametrize("two", [False, True])
def test_panels_cover_every_pair_once(rng, monkeypatch, two):
    monkeypatch.setattr("analysis.compute.correlation.unit_relations.LINES", 4)
    monkeypatch.setattr("analysis.compute.correlation.unit_relations.PANEL_BYTES", 12 * 5 * 13)
    x, y = (rng.standard_normal((50, d)).astype(np.float32) for d in (13, 13))
    rows = rows_of(x, y) if two else rows_of(x)
    order = rng.permutation(13)
    out, starts = np.full((13, 13), np.nan), []
    for start, first, sums in panels(rows, order, order, not two):
        starts.append(start)
        assert first == (0 if two else start)
        out[start : start + len(sums.mean_x), first:] = sums.correlation()
    assert starts == [0, 5, 10]
    whole = exact(x, y if two else None)[np.ix_(order, order)]
    there = np.isfinite(out)
    assert there[np.triu_indices(13)].all()
    np.testing.assert_allclose(out[there], whole[there], atol=1e-9)


# ---------------------------------------------------------------------------- which rows
def test_taps_with_the_same_tokens_go_row_by_row_and_others_are_matched_by_id(rng):
    x, y = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
    layout, ids = Layout(np.arange(0, 61, 3)), np.array([f"s{i}" for i in range(20)])
    one, other = (ArrayActivations(v, n, {"id": ids}, layout) for v, n in ((x, "a"), (y, "b")))
    found = tap_rows((one, other), rng, maximum=100)
    assert found.taps == (one, other)
    order = rng.permutation(20)
    pooled = ArrayActivations(y.reshape(20, 3, 2).mean(axis=1)[order], "c", {"id": ids[order]})
    found = tap_rows((one, pooled), rng, maximum=100)
    np.testing.assert_allclose(
        pair_sums(found).correlation(),
        exact(x.reshape(20, 3, 3).mean(1), y.reshape(20, 3, 2).mean(1)),
        atol=1e-9,
    )
    with pytest.raises(ParameterError, match="3 taps"):
        tap_rows((one, other, one), rng, maximum=100)
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with the same id"):
        tap_rows((one, ArrayActivations(y, "d", {"id": [f"t{i}" for i in range(60)]})), rng, maximum=100)


# ---------------------------------------------------------------------------- sketches, tallies, the strongest
def test_products_of_sketches_estimate_correlations(rng):
    n, d = 5000, 60
    x = (rng.standard_normal((n, d)) + rng.standard_normal((n, 3))[:, np.arange(d) % 3] + 100).astype(
        np.float32
    )
    y = (x[:, :40] + rng.standard_normal((n, 40))).astype(np.float32)
    x[:, 7] = 3
    one, other = unit_sketches(rows_of(x, y, kind=Chunked))
    assert not one.varies[7]
    off = (one.lines @ other.lines.T - exact(x, y)).ravel()
    assert abs(off.mean()) < 0.005
    assert 0.01 < off.std() < 0.04  # 1 / sqrt(1024) = 0.031 for unrelated units, less for related ones
    np.testing.assert_allclose(one.mean, x.mean(axis=0, dtype=float), rtol=1e-6)
    keep = np.setdiff1d(np.arange(d), 7)
    r = np.asarray(one.lines @ other.lines.T, float)
    lines = r / np.maximum(np.linalg.norm(r, axis=1, keepdims=True), 1e-300)
    np.testing.assert_allclose(profiles(one, other) @ profiles(one, other).T, lines @ lines.T, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(one.lines[keep], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_tally_in_blocks_is_that_of_the_whole(rng, symmetric):
    r = rng.uniform(-1, 1, (23, 23))
    r = (r + r.T) / 2 if symmetric else r
    tally = PairTally(symmetric)
    for i in range(0, 23, 5):
        first = i if symmetric else 0
        tally.add(i, first, r[i : i + 5, first:])
    pairs = r[np.triu_indices(23, 1)] if symmetric else r.ravel()
    assert tally.pairs == len(pairs)
    assert tally.mean == pytest.approx(np.abs(pairs).mean())
    assert tally.value == pairs[np.abs(pairs).argmax()]
    assert r[tally.at] == tally.value


@pytest.mark.parametrize("strength", [0.0, 0.15, 0.4])
def test_the_threshold_is_that_of_benjamini_and_hochberg(rng, strength):
    from analysis.compute.correlation.correlations import correlation_p
    from analysis.compute.statistics.multiple_testing import benjamini_hochberg

    x = rng.standard_normal((200, 50)) + strength * rng.standard_normal((200, 1))
    r, tally = np.corrcoef(x, rowvar=False), PairTally(True)
    tally.add(0, 0, r)
    threshold, share = tally.significant(lambda t: correlation_p(t, 200), 0.05)
    pairs = np.abs(r[np.triu_indices(50, 1)])
    sure = benjamini_hochberg(correlation_p(pairs, 200)) < 0.05
    if not sure.any():
        assert np.isinf(threshold)
        assert share == 0
        return
    assert share == pytest.approx(sure.mean(), abs=1 / len(pairs))
    np.testing.assert_array_equal(pairs >= threshold, sure)


@pytest.mark.parametrize("sign", ["both", "positive", "negative"])
def test_the_strongest_of_blocks_are_those_of_the_whole(rng, sign):
    r = np.round(rng.uniform(-1, 1, (30, 40)), 2)  # many ties
    best = Strongest(25, sign)
    for i in range(0, 30, 7):
        best.add(np.arange(i, min(i + 7, 30)), np.arange(40), r[i : i + 7])
    a, b, found = best.found()
    size = {"both": np.abs(r), "positive": r, "negative": -r}[sign]
    np.testing.assert_array_equal(np.abs(found), np.sort(size.ravel())[::-1][:25])
    np.testing.assert_array_equal(found, r[a, b])
    assert len(set(zip(a.tolist(), b.tolist(), strict=True))) == 25
