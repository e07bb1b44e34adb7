"""Quantities of depth, mixing, caches and routers, each written out a second time in a few lines, on random data."""

from itertools import product

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.signal import correlate2d
from scipy.stats import entropy

from analysis.compute.networks.depth import change_of_level, changed_updates, sizes_and_cosines
from analysis.tokens import lens as lenses
from analysis.tokens.cache.layer_budget import (
    THRESHOLD,
    allotted,
    gini,
    kept_mass,
    masses,
    order_of,
    received,
    retained,
)
from analysis.tokens.cache.projections import Principal, QueryWeighted, cache_bytes, logit_error, shared_out
from analysis.tokens.cache.quantisers import decibels, quantised
from analysis.tokens.cache.shared_subspaces import linear_cka, stored_share, tail_share
from analysis.tokens.exits import SAME, hits, leaving, lens_exits
from analysis.tokens.mixers import measures, ssm
from analysis.tokens.mixers.convolution import causal_matrix, grid_matrix
from analysis.tokens.mixers.hidden_attention import Selective, hidden_attention
from analysis.tokens.mixers.linear_attention import LINEAR, SOFTMAX, attention_of
from analysis.tokens.routing.classes import information
from analysis.tokens.routing.gates import effective, gates
from analysis.tokens.routing.likeness import likeness, together
from analysis.tokens.routing.load import load
from analysis.tokens.routing.territory import neighbour_pairs, same_by_chance, same_expert
from analysis.tokens.stream import RandomStream

CLOSE = 1e-10


@pytest.fixture
def who(rng):
    present = np.arange(7) < np.array([[7], [4], [6], [7], [5]])
    return RandomStream(rng.standard_normal((5, 7, 6)), present, rng, layers=4)


# ---------------------------------------------------------------------------- depth
def test_size_and_cosine_of_what_a_layer_adds(who):
    p = who.passed(np.arange(5))
    size, cosine = sizes_and_cosines(p.states[:-1], p.states[1:], p.present)
    for b, layer in product(range(5), range(4)):
        told = []
        for t in np.flatnonzero(p.present[b]):
            h, u = p.states[layer][b, t], p.states[layer + 1][b, t] - p.states[layer][b, t]
            told.append(
                (np.linalg.norm(u) / np.linalg.norm(h), h @ u / np.linalg.norm(h) / np.linalg.norm(u))
            )
        np.testing.assert_allclose((size[b, layer], cosine[b, layer]), np.mean(told, axis=0), atol=CLOSE)


def test_the_change_of_level_is_the_split_with_the_least_squares(rng):
    profiles = rng.standard_normal((6, 9)) + (np.arange(9) >= 3)
    y = profiles.mean(axis=0)
    left = [y[:k].var() * k + y[k:].var() * (9 - k) for k in range(1, 9)]
    found = change_of_level(profiles, rng)
    assert found.at == 1 + int(np.argmin(left))
    assert found.share == pytest.approx(1 - min(left) / (y.var() * 9))


def test_what_later_layers_change_without_one(who):
    plain, other = who.passed(np.arange(5)), who.passed(np.arange(5), {1: None})
    np.testing.assert_array_equal(other.states[2], other.states[1])
    found = changed_updates(plain.states, other.states, plain.present, largest=False)
    for b, layer in product(range(5), (2, 3)):
        u, v = (x.states[layer + 1][b] - x.states[layer][b] for x in (plain, other))
        each = np.linalg.norm(u - v, axis=1) / np.linalg.norm(u, axis=1)
        assert found[b, layer] == pytest.approx(each[plain.present[b]].mean())
    assert not found[:, 0].any()


def test_the_lens_reads_every_state_with_the_last_readout(who):
    states, found = who.passed(np.arange(5)).states, lenses.lens(who)

    def unit(x):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True))

    for layer, b in product(range(5), range(5)):
        pooled = unit(states[layer][b][who.present[b]]).mean(axis=0)
        np.testing.assert_allclose(found.answers[layer, b], unit(pooled) @ who.readout, atol=CLOSE)
    p = np.exp(found.logs)
    own, null = lenses.divergences(found.logs[-1], found.logs[2])
    np.testing.assert_allclose(own, [entropy(p[-1, i], p[2, i]) for i in range(5)], atol=CLOSE)
    pairs = [entropy(p[-1, i], p[2, j]) for i in range(5) for j in range(5) if i != j]
    assert null == pytest.approx(np.mean(pairs))
    share, chance = lenses.overlaps(found.logs[-1], found.logs[2], 3)
    top = [[set(np.argsort(-z)[:3]) for z in found.logs[k]] for k in (-1, 2)]
    np.testing.assert_allclose(share, [len(a & b) / 3 for a, b in zip(*top, strict=True)])
    others = [len(top[0][i] & top[1][j]) / 3 for i in range(5) for j in range(5) if i != j]
    assert chance == pytest.approx(np.mean(others))
    first = found.logs.argmax(axis=2)
    ends = [min(k for k in range(5) if (first[k:, i] == first[-1, i]).all()) for i in range(5)]
    np.testing.assert_array_equal(lenses.settled(first), ends)


def test_samples_leave_at_the_first_exit_that_is_sure_enough(who):
    logs = lens_exits(who)
    for threshold in (0.0, 0.3, 0.6, 1.05):
        each = [next((k for k in range(4) if np.exp(logs[k, i]).max() >= threshold), 3) for i in range(5)]
        np.testing.assert_array_equal(leaving(logs, threshold), each)
    top = logs.argmax(axis=2)
    np.testing.assert_array_equal(hits(logs, None)[SAME], top == top[-1])


# ---------------------------------------------------------------------------- caches
def test_no_projection_of_keys_beats_the_query_weighted_one(rng):
    q, k = (rng.standard_normal((30, 6)) @ rng.standard_normal((6, 6)) for _ in range(2))
    best, keys = QueryWeighted(q.T @ q, k.T @ k), Principal(k.T @ k)
    singular = np.linalg.svd(q @ k.T, compute_uv=False)
    for rank in range(1, 6):
        left = np.linalg.norm(q @ k.T - q @ best(rank) @ k.T) ** 2
        assert left == pytest.approx((singular[rank:6] ** 2).sum())
        assert logit_error(q, k, best(rank)) == pytest.approx(left)
        assert np.linalg.matrix_rank(best(rank), tol=1e-6) == rank
        assert np.linalg.norm(q @ k.T - q @ keys(rank) @ k.T) ** 2 > left * (1 + 1e-6)  # PCA is not optimal


def test_ranks_are_shared_out_as_well_as_any_others_would_be(rng):
    energies = -np.sort(-rng.random((3, 5)), axis=1)
    tails = {
        r: sum(e[k:].sum() for e, k in zip(energies, r, strict=True)) for r in product(range(1, 6), repeat=3)
    }
    for total in (3, 7, 11):
        found = tuple(shared_out(energies, total))
        assert sum(found) == total
        assert tails[found] == pytest.approx(min(v for r, v in tails.items() if sum(r) == total))


def test_layers_in_one_subspace(rng):
    x = [rng.standard_normal((20, 4)) for _ in range(3)]
    s = np.linalg.svd(np.hstack(x), compute_uv=False)
    assert tail_share(np.hstack(x), 5, rng) == pytest.approx((s[5:] ** 2).sum() / (s**2).sum())
    assert stored_share(20, 3, 4, 5) == (20 * 5 + 5 * 12) / (20 * 12)
    a, b = (v - v.mean(axis=0) for v in x[:2])
    k, m = a @ a.T, b @ b.T
    assert linear_cka(a, b) == pytest.approx((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m))


def test_one_threshold_leaves_no_layer_worse_off_than_any_other_sharing(rng):
    attention = rng.dirichlet(0.4 * np.ones(5), (3, 5))
    mass = masses(received(attention, False, False))
    np.testing.assert_allclose(mass, attention.sum(axis=1) / 5)
    curves = retained(mass, order_of(mass))
    for budget in (4, 7, 10):
        found = allotted(THRESHOLD, curves, budget)
        assert found.sum() <= budget
        each = [np.sort(m)[::-1] for m in mass]
        least = max(
            min(e[:k].sum() for e, k in zip(each, ks, strict=True))
            for ks in product(range(1, 6), repeat=3) if sum(ks) <= budget
        )  # fmt: skip
        assert kept_mass(curves, found).min() == pytest.approx(least)
    x = mass[0]
    assert gini(mass)[0] == pytest.approx(np.abs(x[:, None] - x).sum() / (2 * len(x) ** 2 * x.mean()))
    assert cache_bytes(3, 2, 5, 8, 4) == 2 * 3 * 2 * 5 * 8 / 2  # keys and values, half a byte each


def test_rows_at_b_bits(rng):
    x = rng.standard_normal((4, 9))
    for bits in (2, 4):
        edges = [np.linspace(r.min(), r.max(), 2**bits + 1) for r in x]
        near = [(e[:-1] + e[1:]) / 2 for e in edges]
        known = [[n[np.abs(n - v).argmin()] for v in r] for r, n in zip(x, near, strict=True)]
        np.testing.assert_allclose(quantised(x, bits), known, atol=CLOSE)
    assert decibels(100.0, 1.0) == pytest.approx(20)


# ---------------------------------------------------------------------------- mixing
def test_a_scan_as_a_matrix_is_what_its_recurrence_gives(rng):
    t, h, n = 6, 2, 3
    step, a, b, c = rng.random((t, h)), -rng.random((h, n)), rng.random((t, n)), rng.random((t, n))
    scan = Selective(np.zeros((t, h)), step, a, b, c, np.zeros(h))
    for k, m in enumerate(hidden_attention(scan, np.arange(h))):
        for s in range(t):
            state, column = np.zeros(n), []
            for r in range(t):
                state = np.exp(step[r, k] * a[k]) * state + step[r, k] * b[r] * (r == s)
                column.append(c[r] @ state)
            np.testing.assert_allclose(m[:, s], column, atol=CLOSE)
        assert measures.semiseparable_rank(m) <= n
        assert max(np.linalg.matrix_rank(m[j:, :j]) for j in range(1, t)) <= n


def test_filters_and_linear_attention_as_matrices(rng):
    w, x = rng.standard_normal((3, 5)), rng.standard_normal((4, 6))
    np.testing.assert_allclose(
        (grid_matrix(w, (4, 6)) @ x.ravel()).reshape(4, 6), correlate2d(x, w, mode="same"), atol=CLOSE
    )
    kernel, u = rng.standard_normal(3), rng.standard_normal(8)
    np.testing.assert_allclose(causal_matrix(kernel, 8) @ u, np.convolve(u, kernel)[:8], atol=CLOSE)
    q, k = rng.standard_normal((2, 5, 3))
    phi = [np.where(v > 0, v + 1, np.exp(v)) for v in (q, k)]
    exact = {LINEAR: phi[0] @ phi[1].T, SOFTMAX: np.exp(q @ k.T / np.sqrt(3))}
    for (kind, weights), causal in product(exact.items(), (False, True)):
        weights = np.tril(weights) if causal else weights
        known = weights / weights.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(attention_of(q, k, kind, causal), known, atol=CLOSE)


def test_half_life_toeplitz_score_and_distance(rng):
    m = rng.random((7, 7))
    lag = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    by = np.array([m[lag == d].mean() for d in range(7)])
    left = 1 - np.cumsum(by) / by.sum()
    k = int(np.argmax(left <= 0.5))
    before = left[k - 1] if k else 1.0
    assert measures.half_life(m) == pytest.approx(k + np.log(before / 0.5) / np.log(before / left[k]))
    offset = np.subtract.outer(np.arange(7), np.arange(7))
    middle = sum((offset == o).sum() * (m[offset == o].mean() - m.mean()) ** 2 for o in range(-6, 7))
    score, chance = measures.toeplitz_score(m)
    assert score == pytest.approx(middle / (m.var() * 49))
    assert chance == pytest.approx(12 / 48)
    drawn = [measures.toeplitz_score(rng.permuted(m.ravel()).reshape(7, 7))[0] for _ in range(800)]
    assert np.mean(drawn) == pytest.approx(chance, abs=0.01)
    cells = np.array([0, 1, 2, 3, 4, 5, -1])  # of 2 x 3, and one token without a place
    place = [(c // 3, c % 3) for c in cells[:6]]
    far = np.array([[np.hypot(a - c, b - d) for c, d in place] for a, b in place])
    found = measures.mean_distance(m, measures.grid_distances(cells, 3))
    np.testing.assert_allclose(found, ((m[:6, :6] * far).sum() / m[:6, :6].sum(), far.mean()))


def test_poles_and_answers_to_an_impulse(rng):
    a, b, c = (rng.standard_normal((2, 3)) + 1j * rng.standard_normal((2, 3)) for _ in range(3))
    space = ssm.StateSpace("planted", -np.abs(a.real) + 1j * a.imag, b, c, rng.random(2) + 0.1, rng.random(2))
    poles, into = ssm.discrete(space)
    for h in range(2):
        x = space.step[h] * np.diag(space.a[h])
        turn = expm(x)
        np.testing.assert_allclose(poles[h], np.diag(turn), atol=CLOSE)
        gain = np.linalg.solve(np.diag(space.a[h]), (turn - np.eye(3)) @ b[h])
        np.testing.assert_allclose(into[h], gain, atol=CLOSE)
        known = [2 * (c[h] @ np.linalg.matrix_power(turn, lag) @ gain).real for lag in range(6)]
        np.testing.assert_allclose(ssm.kernel(space, 6)[h], known, atol=CLOSE)
        np.testing.assert_allclose(np.abs(poles[h]) ** ssm.half_lives(space)[h], 0.5, atol=CLOSE)


# ---------------------------------------------------------------------------- routers
def test_load_overflow_and_balance_are_counted(rng):
    z, k, factor = 2 * rng.standard_normal((40, 4)), 2, 1.25
    found, p = load(z, k, np.zeros(40, int)), np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    taken = np.zeros(4)
    for row in z:
        for e in np.argsort(-row)[:k]:
            taken[e] += 1
    assert found.balance()[0] == pytest.approx(4 * (taken / 80 * p.mean(axis=0)).sum())
    room = np.ceil(factor * 80 / 4)
    assert found.overflow(factor)[0] == pytest.approx(sum(max(c - room, 0) for c in taken) / 80)
    assert found.evenness()[0] == pytest.approx(np.exp(entropy(taken)))
    assert found.in_use()[0] == pytest.approx(np.mean([np.exp(entropy(row)) for row in p]))
    for tau in (0.3, 3.0):
        soft = np.exp(z / tau) / np.exp(z / tau).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(gates(z, tau), soft, atol=CLOSE)
        np.testing.assert_allclose(effective(soft), [np.exp(entropy(row)) for row in soft])


def test_redundancy_classes_and_territory(rng):
    held = rng.standard_normal((3, 5, 2))
    for i, j in product(range(3), repeat=2):
        apart = np.square(held[i] - held[j]).sum() / (np.square(held[i]).sum() + np.square(held[j]).sum())
        assert likeness(held)[i, j] == pytest.approx(1 - apart)
    z = rng.standard_normal((4, 30))
    np.testing.assert_allclose(together(z), np.corrcoef(z - z.mean(axis=0)), atol=CLOSE)
    q, hot = rng.dirichlet(np.ones(3), 20), np.eye(2)[np.arange(20) % 2]
    joint = sum(np.outer(a, b) for a, b in zip(q, hot, strict=True)) / 20
    outer = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    assert information(q, hot) == pytest.approx(entropy(joint.ravel(), outer.ravel()))
    winner = rng.integers(0, 3, 12)
    pairs = neighbour_pairs(np.arange(1, 13), (3, 4), 1)  # one class token before a grid of 3 x 4
    grid = winner.reshape(3, 4)
    same = [*(grid[:, 1:] == grid[:, :-1]).ravel(), *(grid[1:] == grid[:-1]).ravel()]
    assert same_expert(winner, pairs) == pytest.approx(np.mean(same))
    drawn = [same_expert(rng.permuted(winner), pairs) for _ in range(3000)]
    assert same_by_chance(winner) == pytest.approx(np.mean(drawn), abs=0.01)
