"""Heads measured block by block: as from whole arrays, with known answers, held against places alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, Layout
from analysis.compute.statistics.skewed_means import skewed_interval
from analysis.errors import NotFound, ParameterError
from analysis.methods.tokens.attention_atlas import beyond
from analysis.methods.tokens.head_memory import head_memory, memories
from analysis.spec import no_progress
from analysis.tokens.attention import isotropic as share
from analysis.tokens.attention import measures as m
from analysis.tokens.attention.heads import HeadReader, answering, planted, softmax_over, token_name
from analysis.tokens.attention.kernels import KERNELS, confused
from analysis.tokens.attention.memory import energy, like_both, retrieved, separation, update
from analysis.tokens.attention.position_null import Measured, even, measured, others_rows
from analysis.tokens.attention.rollout import largest_flow, rolled, rollouts, with_shortcut
from analysis.tokens.view import CLASS, PADDING, PATCH, TEXT, TokenLayout

RNG = np.random.default_rng
SMALL = 3 * 4 * 37  # entries: four queries of three samples


def with_class(n: int = 3, side: int = 6, seed: int = 0) -> HeadReader:
    q, k = RNG(seed).standard_normal((2, n, side * side + 1, 5))
    kinds = np.full(q.shape[:2], PATCH)
    kinds[:, 0] = CLASS
    cell = np.broadcast_to(np.arange(side * side + 1) - 1, kinds.shape)
    return HeadReader(
        TokenLayout(kinds, kinds == PATCH, cell, (side, side)), [q[:, None]], [k[:, None]], np.arange(n), 5
    )


def text(lengths=(9, 6, 9), seed: int = 1) -> HeadReader:
    t = max(lengths)
    q, k = RNG(seed).standard_normal((2, len(lengths), t, 4))
    there = np.arange(t) < np.array(lengths)[:, None]
    kinds = np.where(there, TEXT, PADDING)
    return HeadReader(TokenLayout(kinds, there, np.full(kinds.shape, -1), None, causal=True),
                      [q[:, None]], [k[:, None]], np.arange(len(lengths)), 4)  # fmt: skip


def dense(reader: HeadReader) -> np.ndarray:
    """The whole attention by a second way."""
    q, k = reader.queries[0][:, 0], reader.keys[0][:, 0]
    weight = np.exp(np.einsum("nie,nje->nij", q, k) / np.sqrt(q.shape[2]))
    weight *= reader.layout.present[:, None, :] * reader.layout.present[:, :, None]
    if reader.layout.causal:
        weight *= np.tri(weight.shape[1])
    return weight / np.where(weight.sum(axis=2, keepdims=True) > 0, weight.sum(axis=2, keepdims=True), 1)


def by_hand(a: np.ndarray, layout: TokenLayout, b: int, measure: str) -> float:
    there = np.flatnonzero(layout.present[b])
    a = a[b][np.ix_(there, there)]
    if measure == m.ENTROPY:
        return float(np.mean([-sum(p * np.log(p) for p in row if p > 0) for row in a]))
    if measure == m.KEYS:
        return float(
            np.mean([next(k for k in range(1, len(a) + 1) if sum(sorted(row)[-k:]) >= 0.9) for row in a])
        )
    if measure == m.SHARE:
        each = [next(k for k in range(1, len(a) + 1) if sum(sorted(row)[-k:]) >= 0.9) for row in a]
        may = [i + 1 if layout.causal else len(a) for i in range(len(a))]
        return float(np.median(np.array(each) / may))
    if measure == m.GINI:
        got = a.sum(axis=0)
        return float(np.abs(got[:, None] - got).sum() / (2 * len(got) ** 2 * got.mean()))
    if measure == m.COSINE:
        unit = a / np.linalg.norm(a, axis=1, keepdims=True)
        return float((unit @ unit.T)[~np.eye(len(a), dtype=bool)].mean())
    if measure == m.RANK:
        s = np.linalg.svd(a, compute_uv=False)
        return float((s > 0.01 * s[0]).sum())
    wide = layout.grid[1] if layout.grid else 10**6
    cells = layout.cell[b][there] if layout.grid else np.arange(len(there))
    on = np.flatnonzero(cells >= 0)
    total = 0.0
    for i in on:
        row = a[i, on] / a[i, on].sum()
        for p, j in zip(row, on, strict=True):
            dy, dx = (abs(x - y) for x, y in zip(divmod(cells[i], wide), divmod(cells[j], wide), strict=True))
            total += p * (np.hypot(dx, dy) if measure == m.DISTANCE else max(dx, dy) <= 1)
    return total / len(on)


@pytest.mark.parametrize("measure", list(m.UNITS))
@pytest.mark.parametrize("made", [with_class, text])
def test_block_by_block_is_as_from_the_whole_array(made, measure):
    reader = made()
    found = measured(reader, measure, held=SMALL)
    a = dense(reader)
    for b in range(reader.n):
        assert found.value[0, 0, b] == pytest.approx(by_hand(a, reader.layout, b, measure), abs=1e-9)


def test_the_null_is_the_mean_of_the_others_made_whole():
    reader = text()
    a, null = dense(reader), others_rows(dense(reader), reader.allowed(0, 9))
    np.testing.assert_allclose(null[1, :6], (a[0, :6] + a[2, :6]) / 2, atol=1e-12)
    np.testing.assert_allclose(null[0, 7], a[2, 7], atol=1e-12)
    assert not null[1, 6:].any()
    alone = text((9, 6))
    np.testing.assert_allclose(others_rows(dense(alone), alone.allowed(0, 9))[0, 8], 1 / 9, atol=1e-12)


def test_heads_that_go_by_places_are_not_beyond_them_and_others_are():
    place = np.broadcast_to(RNG(0).standard_normal((9, 4)), (6, 9, 4))
    for measure in m.UNITS:
        assert not beyond(measured(planted(place, place), measure)).any()
    loud = [
        beyond(measured(planted(*RNG(s).standard_normal((2, 12, 9, 4))), m.ENTROPY)).all() for s in range(5)
    ]
    assert all(loud)


def test_attention_to_all_alike_has_known_distances_and_received_mass():
    for side, far in ((14, 7.281), (7, 3.609), (16, 8.326)):
        x = np.zeros((2, side * side, 1))
        assert even(planted(x, x, (side, side)), m.DISTANCE)[0] == pytest.approx(far, abs=5e-4)
        assert even(planted(x, x, (side, side)), m.COSINE)[0] == pytest.approx(1)
    x = np.zeros((1, 20, 1))
    got = planted(x, x, causal=True).rows(0, 0)[0].mean(axis=0)
    assert (got[0], got[-1]) == pytest.approx((0.180, 0.0025), abs=5e-4)


def test_a_shift_away_from_borders_has_its_length_as_distance():
    side, a = 9, np.zeros((81, 81))
    for i in range(81):
        y, x = divmod(i, side)
        a[i, (min(y + 3, 8)) * side + min(x + 4, 8)] = 1
    tally = m.Tally(m.DISTANCE, planted(np.zeros((1, 81, 1)), np.zeros((1, 81, 1)), (9, 9)).layout)
    inside = np.zeros((1, 81, 81))
    inside[0, :5] = a[:5]  # the first row's queries that reach
    tally.add(inside, 0)
    assert tally.finish()[0] == pytest.approx(5.0)


def test_memory_stays_that_of_a_block():
    t, held = 2048, 2**16
    q, k = RNG(0).standard_normal((2, 1, t, 4)).astype(np.float32)
    reader = planted(q, k)
    tracemalloc.start()
    try:
        for measure in (m.ENTROPY, m.COSINE):
            measured(reader, measure, held=held)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * t * t / 4  # a quarter of one head's array


def test_rank_of_many_tokens_from_one_pass():
    left, right = RNG(0).standard_normal((2, 300, 7))
    a = left @ right.T
    tally = m.Tally(m.RANK, planted(np.zeros((1, 300, 1)), np.zeros((1, 300, 1))).layout)
    for start in range(0, 300, 70):
        tally.add(a[None, start : start + 70], start)
    s = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(tally._projected(0), compute_uv=False)[:7], s[:7], rtol=1e-8)
    assert tally.finish()[0] == 7


def test_isotropic_share_of_weights_and_of_moments():
    rng, d = RNG(0), 8
    w = rng.standard_normal((300, d, d))
    assert np.mean([share.share_of_weights(x) for x in w]) == pytest.approx(1 / d**2, rel=0.2)
    low = rng.standard_normal((d, 3))
    assert share.share_of_weights(low @ np.linalg.pinv(low)) == pytest.approx(3 / d)  # the cap of a head
    x = rng.standard_normal((30, 200, d))
    there = np.ones(x.shape[:2], bool)
    one = np.eye(d) + 0.5 * rng.standard_normal((d, d))
    value, null = share.shares(x @ one, x, there, d)
    assert value.mean() == pytest.approx(share.share_of_weights(one), rel=0.05)
    assert abs(null.mean()) < 0.005
    shifted, _ = share.shares(x @ one + 7, x - 3, there, d)
    np.testing.assert_allclose(shifted, value, atol=1e-9)
    root = share.roots(x @ one, x, there, d)
    assert root.mean() ** 2 == pytest.approx(value.mean(), rel=0.01)
    np.testing.assert_allclose(share.roots(-x @ one, x, there, d), -root, atol=1e-9)
    low, high = share.squared_ends(np.array([-1.0, 0.5, -3.0]), np.array([0.5, 2.0, -1.0]))
    np.testing.assert_allclose([low, high], [[0, 0.25, 1], [1, 4, 9]])


@pytest.mark.parametrize("kind", ["random", "mixed", "same"])
def test_the_interval_of_the_isotropic_share_holds_what_it_says(kind):
    """Of random weights, where the share is near 0, Student's t of the share itself held 84 to 88 %."""
    rng, d, covered, plain = RNG(5), 16, [], []
    for _ in range(12):
        wq, wk = rng.standard_normal((2, d, 8))
        wk = {"random": wk, "mixed": wk + 0.6 * wq, "same": wq}[kind]
        truth = share.share_of_weights(wq @ wk.T)
        x = rng.standard_normal((20, 12, 16, d))  # trials, samples, tokens
        there = np.ones((12, 16), bool)
        roots = np.stack([share.roots(one @ wq, one @ wk, there, d) for one in x], axis=1)
        low, high = share.squared_ends(*skewed_interval(roots, rng))
        covered += ((low <= truth) & (truth <= high)).tolist()
        for one in x:
            v = share.shares(one @ wq, one @ wk, there, d)[0]
            plain.append(abs(v.mean() - truth) <= 2.201 * v.std(ddof=1) / np.sqrt(12))
    assert np.mean(covered) >= 0.92
    assert kind != "random" or np.mean(plain) < np.mean(covered) - 0.02


def test_rows_with_nothing_to_read_are_zero_and_large_scores_are_finite():
    rows = softmax_over(
        np.array([[[1e4, -1e4, 3.0], [5.0, 1.0, 2.0]]]), np.array([[[True, True, False], [False] * 3]])
    )
    np.testing.assert_allclose(rows[0], [[1, 0, 0], [0, 0, 0]])


def test_tokens_that_the_answer_is_read_from():
    assert answering(with_class().layout).tolist() == [0, 0, 0]
    assert answering(text().layout).tolist() == [8, 5, 8]
    assert token_name(with_class().layout, 0, 8) == "patch in row 2, column 2"


def test_what_is_not_there_is_refused():
    from analysis.methods.tokens.attention_pattern import AttentionPatternParams, attention_pattern

    x = RNG(0).standard_normal((64, 5))
    for wrong, error in (
        ({"sample": 64}, NotFound),
        ({"layer": 2}, ParameterError),
        ({"query": 17}, ParameterError),
    ):
        with pytest.raises(error):
            attention_pattern(x, AttentionPatternParams(**wrong))


# ---------------------------------------------------------------------------- through layers
def test_rollout_block_by_block_is_the_product_of_layers():
    a, b = text(seed=2), text(seed=3)
    reader = HeadReader(a.layout, a.queries + b.queries, a.keys + b.keys, a.samples, 4)
    found = rollouts(reader, answering(reader.layout), no_progress, held=60)
    for s, n in enumerate((9, 6, 9)):
        low, high = (with_shortcut(dense(r)[s][:n, :n]) for r in (a, b))
        np.testing.assert_allclose(found[s, :n], (high @ low)[n - 1], atol=1e-12)
        np.testing.assert_allclose(rolled(np.stack([low, high]), n - 1), (high @ low)[n - 1], atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_rows_of_layers_are_divided_by_their_own_sums():
    """And not, for want of a kept axis, column by column."""
    w = np.diag([0.0, 1.0, 3.0]) + np.tri(3)
    mixing = with_shortcut(w)
    np.testing.assert_allclose(mixing.sum(axis=-1), 1)
    np.testing.assert_allclose(mixing[2], [1 / 7, 1 / 7, 5 / 7])
    np.testing.assert_allclose(with_shortcut(np.zeros((3, 3))), np.eye(3))


def test_largest_flow_is_that_of_a_linear_program_and_no_less_than_rollout():
    from scipy.optimize import linprog

    mixing, t = with_shortcut(RNG(0).dirichlet(np.ones(4), (2, 4))), 4
    found = largest_flow(mixing, 1)
    edges = [
        (layer * t + j, (layer + 1) * t + i, mixing[layer, i, j])
        for layer in (0, 1)
        for i in range(t)
        for j in range(t)
    ]
    for source in range(t):
        through = np.zeros((3 * t, len(edges)))
        for e, (start, end, _) in enumerate(edges):
            through[start, e] -= 1
            through[end, e] += 1
        inner = [v for v in range(3 * t) if v not in (source, 2 * t + 1)]
        best = linprog(
            -through[2 * t + 1],
            A_eq=through[inner],
            b_eq=np.zeros(len(inner)),
            bounds=[(0, c) for *_, c in edges],
        )
        assert found[source] == pytest.approx(-best.fun, abs=1e-5)
    assert (found >= rolled(mixing, 1) - 1e-5).all()


# ---------------------------------------------------------------------------- memories and kernels
def test_memories_fall_into_place():
    x = RNG(0).standard_normal((6, 5))
    points, stays = retrieved(x, x, 50.0)
    assert stays
    np.testing.assert_allclose(update(x, points, 50.0), points, atol=1e-5)
    cluster = np.concatenate([np.tile([5.0, 0], (3, 1)), np.tile([0, 5.0], (2, 1))]) + 0.01 * RNG(
        1
    ).standard_normal((5, 2))
    of, apart, _ = memories(cluster, 2.0)
    assert of.tolist() == [0, 0, 0, 1, 1]
    assert (apart < 1).all()
    products = x @ x.T
    assert separation(x)[2] == pytest.approx(products[2, 2] - max(np.delete(products[2], 2)))


def test_a_state_goes_to_the_mean_or_to_a_pattern_as_the_sharpness_says():
    """β near 0: the mean of all patterns; a large one the stored pattern; energies never rise and are not below 0."""
    x = RNG(0).standard_normal((8, 16))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    start = x + 0.05 * RNG(1).standard_normal(x.shape)
    mean = np.tile(x.mean(axis=0), (8, 1))
    np.testing.assert_allclose(update(x, start, 1e-9), mean, atol=1e-8)
    np.testing.assert_allclose(retrieved(x, start, 1e-9)[0], mean, atol=1e-8)
    found, stays = retrieved(x, start, 60.0)
    assert stays
    np.testing.assert_allclose(found, x, atol=1e-5)
    for beta in (0.5, 4.0, 30.0):
        weight = np.exp(beta * start @ x.T)
        weight /= weight.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(update(x, start, beta), weight @ x, atol=1e-12)
        state, last = start, energy(x, start, beta)
        for _ in range(20):
            state = update(x, state, beta)
            now = energy(x, state, beta)
            assert (now <= last + 1e-12).all()
            assert (now >= -1e-12).all()
            last = now


def test_even_weights_of_queries_and_keys_stand_at_one_over_the_square_of_the_width():
    reader = planted(*RNG(0).standard_normal((2, 6, 12, 5)))
    np.testing.assert_allclose(share.isotropic(reader, no_progress, RNG(0)).even, 1 / 25, rtol=1e-12)


def test_heads_beyond_places_are_counted_at_five_per_cent_false_discoveries():
    """One head of twenty at p = 0.02 is what twenty heads give; at p = 0.001 it counts."""
    n, null = 9, np.zeros((1, 20, 9))
    away = np.linspace(-1, 1, n)
    error = away.std(ddof=1) / np.sqrt(n)
    for p, many in ((0.02, 0), (0.001, 1)):
        value = np.zeros((1, 20, n)) + away
        value[0, 7] += stdtrit(n - 1, 1 - p / 2) * error
        assert beyond(Measured(value, null, np.zeros(n))).sum() == many


def test_the_null_of_memories_keeps_mean_and_covariance_of_queries_and_keys_exactly():
    q, k = RNG(3).standard_normal((2, 20, 4)) + 1
    drawn = np.hstack(like_both(q, k, RNG(2)))
    np.testing.assert_allclose(drawn.mean(axis=0), np.hstack([q, k]).mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(np.hstack([q, k]).T), atol=1e-12)
    inside = []
    for seed in range(40):  # Gaussian keys are their own null: memories differ from it by chance alone
        keys = RNG(seed).standard_normal((8, 16, 6)) @ RNG(100 + seed).standard_normal((6, 6))
        tap = ArrayActivations(keys.reshape(-1, 6), layout=Layout(np.arange(9) * 16))
        told = head_memory(tap, rng=RNG(seed)).estimates[0]
        inside.append(told.low <= told.null <= told.high)
    assert np.mean(inside) >= 0.85  # 95 % less what the null's own draws add


def test_a_third_kernel_is_blind_to_what_it_should_be():
    q, k = RNG(0).standard_normal((2, 12, 4))
    may = np.tri(12, dtype=bool)
    for name, kernel in KERNELS.items():
        rows = kernel(q, k, may)
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12, err_msg=name)
        assert not rows[~may].any(), name
    x = np.concatenate([np.abs(q), 2 * np.abs(q), 3 * np.abs(q)])  # of which ReLU leaves something
    many = np.ones((36, 12), bool)
    assert confused(x, KERNELS["ReLU, linear"](x, k, many)) > 0.02
    assert confused(x, KERNELS["ReLU, mean taken off"](x, k, many)) == 0
