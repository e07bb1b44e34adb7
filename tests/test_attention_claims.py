"""Attention read as kernel PCA: positive controls, explicit feature maps as a second implementation, and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks import head_claims, kernel_attention
from analysis.compute.networks.claim_report import Line, beyond, claim_reading
from analysis.compute.networks.head_claims import QUANTITIES
from analysis.compute.networks.kernel_attention import (
    assigned,
    captured,
    cosines,
    key_space,
    log_term_ratio,
    u_centred,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import attention_claims as module
from analysis.methods.similarity.attention_claims import AttentionClaimsParams, attention_claims
from analysis.methods.similarity.cka import CkaParams, cka

LARGEST, ASSIGNED, LINEAR, BIASED, GRAM, BY_V, BY_G, RATIO = QUANTITIES


def arrays(seed, n=30, d=4, many=1):
    return np.random.default_rng(seed).standard_normal((3, n * many, d))


def run(q, k, v, tokens=None, **more):
    layout = None if tokens is None else Layout(np.arange(len(q) // tokens + 1) * tokens)
    taps = [ArrayActivations(x, layout=layout) for x in (q, k, v)]
    return attention_claims(*taps, params=AttentionClaimsParams(**{"draws": 100, **more}))


def values(found):
    return dict(zip(found.columns["claim"], found.columns["value"], strict=True))


def explicit(q, k, kernel):
    """Features of keys and queries, centred by the keys' mean, from the joint Gram matrix: a second implementation."""
    points, n = np.vstack([k, q]), len(k)
    if kernel == "linear":
        gram = points @ points.T
    else:
        raw = np.exp(points @ points.T / np.sqrt(k.shape[1]))
        g = raw[:, :n].sum(axis=1)
        gram = raw / g / g[:, None]
    values, vectors = np.linalg.eigh(gram)
    features = vectors * np.sqrt(np.maximum(values, 0))
    features -= features[:n].mean(axis=0)
    return features[:n], features[n:]


# ---------------------------------------------------------------------------- mathematics
@pytest.mark.parametrize("kernel", ["softmax", "linear"])
def test_the_key_space_is_that_of_explicit_features(kernel):
    q, k, _ = arrays(0, n=20, d=3)
    space = key_space(q, k, kernel)
    keys, queries = explicit(q, k, kernel)
    scale = np.trace(keys @ keys.T) / np.trace(space.gram)
    np.testing.assert_allclose(
        space.gram * scale, keys @ keys.T, atol=1e-9 * scale * space.gram.max() + 1e-12
    )
    np.testing.assert_allclose(space.cross * scale, queries @ keys.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(space.lengths * scale, (queries**2).sum(axis=1), rtol=1e-6)
    s = np.linalg.svd(keys, compute_uv=False)
    np.testing.assert_allclose(space.values * scale, s[: len(space.values)] ** 2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kernel", ["softmax", "linear"])
def test_what_is_captured_is_the_projection_of_explicit_features(kernel):
    q, k, v = arrays(1, n=15, d=3)
    keys, queries = explicit(q, k, kernel)
    directions = keys.T @ (v - v.mean(axis=0))
    basis = np.linalg.qr(directions)[0]
    expected = ((queries @ basis) ** 2).sum(axis=1) / (queries**2).sum(axis=1)
    assert captured(key_space(q, k, kernel), v) == pytest.approx(expected.mean(), abs=1e-7)


def test_centred_grams_give_the_unbiased_cka():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 25, 3))
    got = (u_centred(x @ x.T) * u_centred(y @ y.T)).sum()
    assert got == pytest.approx(cka(x, y).values[0, 1], abs=1e-10)


def test_the_assignment_is_the_best_of_all():
    found = np.random.default_rng(3).random((4, 6))
    best = max(np.mean([found[i, p[i]] for i in range(4)]) for p in itertools.permutations(range(6), 4))
    assert assigned(found) == pytest.approx(best, abs=1e-12)


def test_term_ratio_by_hand():
    q, k, v = arrays(4, n=12, d=3)
    raw = np.exp(q @ k.T / np.sqrt(3))
    h = raw @ v / raw.sum(axis=1, keepdims=True)
    phi = np.exp((q * q).sum(axis=1) / np.sqrt(3)) / raw.sum(axis=1) ** 2
    expected = np.log10(phi.mean() / (h**2).sum(axis=1).mean())
    assert log_term_ratio(q, k, v, "softmax") == pytest.approx(expected, abs=1e-9)


def test_large_queries_and_keys_do_not_overflow():
    q, k, v = arrays(5)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = values(run(100 * q, 30 * k, 1e6 * v))
    assert all(np.isfinite(x) for x in found.values())
    assert 0 <= found[BY_V] <= 1


# ---------------------------------------------------------------------------- facts
@pytest.mark.parametrize("kernel", ["softmax", "linear"])
def test_values_made_of_the_eigenvectors_have_cosine_one_and_cka_one(kernel):
    q, k, _ = arrays(6, n=40, d=5)
    space = key_space(q, k, kernel)
    v = space.vectors[:, :5][:, ::-1] * [3, -1, 2, 1, 5]
    found = values(run(q, k, v, kernel=kernel))
    assert found[LARGEST] == pytest.approx(1.0, abs=1e-9)
    assert found[ASSIGNED] == pytest.approx(1.0, abs=1e-9)
    assert found[BY_V] == pytest.approx(found[BY_G], abs=1e-9)
    even = values(run(q, k, space.vectors[:, :5], kernel=kernel))
    assert even[LINEAR] == pytest.approx(1.0, abs=1e-9)
    root = values(run(q, k, space.vectors * np.sqrt(space.values), kernel=kernel))
    assert root[GRAM] == pytest.approx(1.0, abs=1e-9)


def test_rotated_eigenvectors_keep_cka_and_lose_the_cosine():
    q, k, _ = arrays(7, n=40, d=5)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    found = values(run(q, k, key_space(q, k, "linear").vectors[:, :5] @ turn, kernel="linear"))
    assert found[LINEAR] == pytest.approx(1.0, abs=1e-9)
    assert found[ASSIGNED] < 0.95


def test_unrelated_values_support_nothing_and_the_biased_floor_stands_beside():
    found = run(*arrays(8, n=24, d=16, many=10), tokens=24)
    assert not (found.columns["verdict"] == "beyond the null").any()
    assert "do not support" in found.reading
    got = values(found)
    assert abs(got[LINEAR]) < 0.1
    assert got[BIASED] == pytest.approx(found.columns["null"][3], abs=0.05)
    assert got[BIASED] > 0.3  # about d / (N + d)
    assert any("d / (N + d) = 0.40" in c for c in found.caveats)


def test_the_biased_line_is_the_biased_cka():
    q, k, v = arrays(9, n=20, d=3)
    first = key_space(q, k, "softmax").vectors[:, :3]
    expected = cka(v, first, params=CkaParams(estimator="biased")).values[0, 1]
    assert values(run(q, k, v))[BIASED] == pytest.approx(expected, abs=1e-10)


def test_a_weak_relation_is_found_and_said_with_its_null():
    q, k, noise = arrays(10, n=40, d=5, many=6)
    v = np.vstack(
        [key_space(q[i : i + 40], k[i : i + 40], "softmax").vectors[:, :5] for i in range(0, 240, 40)]
    )
    found = run(q, k, v + 0.15 * noise, tokens=40)
    assert "linear CKA" in found.reading
    assert "null" in found.reading
    assert found.columns["verdict"][2] == "beyond the null"
    assert found.columns["value"][2] < 0.9
    low, high = found.estimates[2].low, found.estimates[2].high
    assert low < found.columns["value"][2] < high


def test_unrelated_heads_are_rarely_beyond_the_null():
    wrong = sum(
        (run(*arrays(100 + i, n=16, d=3)).columns["verdict"] == "beyond the null").any() for i in range(20)
    )
    assert wrong <= 4


# ---------------------------------------------------------------------------- invariances, data
def test_shifted_values_scaled_columns_and_the_order_of_tokens_change_no_cosine():
    q, k, v = arrays(11, n=25, d=4)
    one = values(run(q, k, v))
    order = np.random.default_rng(1).permutation(25)
    other = values(run(q[order], k[order], (v * [2, 0.1, -3, 1] + 5)[order]))
    for name in (LARGEST, ASSIGNED, BY_V, BY_G):
        assert other[name] == pytest.approx(one[name], abs=1e-8)
    assert values(run(q, k, 7 * v + 1))[LINEAR] == pytest.approx(one[LINEAR], abs=1e-9)


def test_one_head_is_its_own_columns():
    q, k, v = arrays(12, n=30, d=8)
    one = values(run(q, k, v, heads=2, head=1))
    assert one == values(run(q[:, 4:], k[:, 4:], v[:, 4:]))


def test_sequences_are_averaged():
    q, k, v = arrays(13, n=20, d=4, many=3)
    whole = values(run(q, k, v, tokens=20))
    each = [values(run(q[i : i + 20], k[i : i + 20], v[i : i + 20])) for i in (0, 20, 40)]
    for name in QUANTITIES:
        assert whole[name] == pytest.approx(np.mean([e[name] for e in each]), abs=1e-9)


def test_short_sequences_have_no_unbiased_cka_and_that_is_said():
    found = run(*arrays(14, n=3, d=4, many=10), tokens=3)
    assert LINEAR not in found.columns["claim"]
    assert any("fewer than four tokens" in c for c in found.caveats)


def test_one_sequence_has_an_interval_over_its_tokens_and_a_short_one_none():
    found = run(*arrays(18, n=40, d=4))
    assert all("tokens" in e.interval for e in found.estimates[:8])
    assert all(e.low <= e.value <= e.high for e in found.estimates[:8])
    short = run(*arrays(18, n=5, d=4))
    assert all(e.low is None for e in short.estimates)


def test_equal_keys_and_long_sequences():
    q, k, v = arrays(15, n=40, d=4, many=2)
    k[:40] = 1.0
    found = run(q, k, v, tokens=40, maximum_tokens=16)
    assert any("1 sequence(s)" in c for c in found.caveats)
    assert any("random 16 tokens" in c for c in found.caveats)
    assert found.estimates[0].n == 1


def test_refusals():
    q, k, v = arrays(16, n=20, d=6)
    with pytest.raises(ParameterError, match="heads = 4"):
        run(q, k, v, heads=4)
    with pytest.raises(ParameterError, match="head = 2"):
        run(q, k, v, heads=2, head=2)
    with pytest.raises(InputError, match="keys 4"):
        run(q, k[:, :4], v)
    with pytest.raises(NotEnoughData):
        run(q, k, v, tokens=2)
    with pytest.raises(InputError, match="equal"):
        run(q, np.ones_like(k), v, tokens=10)


# ---------------------------------------------------------------------------- verdicts
def test_the_verdict_controls_the_tests_and_says_only_what_exceeds():
    null = np.linspace(-1, 1, 200)
    lines = [Line("a", np.full(3, 2.0), null, "x", 1.0), Line("b", np.zeros(3), null, "x", 1.0)]
    lines += [Line("free", np.full(3, 9.0), null, "x")]
    found = beyond(lines)
    assert found.tolist() == [True, False, False]
    text = claim_reading(lines, found)
    assert "a 2.00" in text
    assert "b 0" not in text
    assert "free" not in text
    weak = [Line(str(i), np.full(3, 0.96), null, "x", 1.0) for i in range(2)]
    weak += [Line(str(i), np.zeros(3), null, "x", 1.0) for i in range(20)]
    assert not beyond(weak).any()


def _uncentred(q, k, kernel):
    space = key_space(q, k, kernel)
    values, vectors = np.linalg.eigh(k @ k.T)
    return kernel_attention.KeySpace(space.gram, values[::-1], vectors[:, ::-1], space.cross, space.lengths)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (head_claims, "key_space", _uncentred),
        (head_claims, "assigned", lambda found: float(found.mean())),
        (head_claims, "u_centred", lambda gram: gram / np.linalg.norm(gram)),
        (head_claims, "captured", lambda space, a: 0.9 * captured(space, a)),
        (head_claims, "cosines", lambda v, space: cosines(v[::-1], space)),
        (module, "beyond", lambda lines: np.array([line.claimed is not None for line in lines])),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
