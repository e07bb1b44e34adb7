"""Doubly stochastic membership: sums, optimality, planted unions of subspaces, floors and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.clusters.coding_rate import rates, unit_rows
from analysis.compute.subspaces import sinkhorn
from analysis.compute.subspaces.sinkhorn import affinity, doubly_stochastic, random_cosine, spectral_codes
from analysis.errors import InputError, NotEnoughData
from analysis.methods.subspaces import sinkhorn_membership as method


def tap(x, of):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(of)})


def union(rng, n=160, d=20, classes=4, k=3, noise=0.0):
    of = np.arange(n) % classes
    frames = np.linalg.qr(rng.standard_normal((d, d)))[0].T[: classes * k].reshape(classes, k, d)
    return np.einsum("ni,nid->nd", rng.standard_normal((n, k)), frames[of]) + noise * rng.standard_normal(
        (n, d)
    ), of


# ---------------------------------------------------------------------------- Π
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 40), gamma=st.floats(0.03, 5.0))
def test_rows_and_columns_sum_to_1_and_nothing_is_negative(seed, n, gamma):
    z = unit_rows(np.random.default_rng(seed).standard_normal((n, 5)), False)
    pi, off = doubly_stochastic(affinity(z), gamma)
    assert (pi >= 0).all()
    np.testing.assert_allclose(pi, pi.T, atol=1e-12)
    np.testing.assert_allclose(pi.sum(axis=0), 1, atol=max(10 * off, 1e-8))
    assert off < 1e-6


def test_no_other_doubly_stochastic_matrix_scores_higher(rng):
    """Σ Π a + γ entropy, against mixtures of Π with permutation matrices, which stay doubly stochastic."""
    a = affinity(unit_rows(rng.standard_normal((8, 3)), False))
    pi, _ = doubly_stochastic(a, 0.3)

    def score(p):
        return (p * a).sum() - 0.3 * (p[p > 0] * np.log(p[p > 0])).sum()

    for _ in range(100):
        for step in (1e-3, 0.1, 0.5):
            assert score((1 - step) * pi + step * np.eye(8)[rng.permutation(8)]) < score(pi) + 1e-9


def test_it_is_what_alternating_scaling_gives(rng):
    a = affinity(unit_rows(rng.standard_normal((12, 4)), False))
    other = np.exp(a / 0.2)
    for _ in range(3000):
        other /= other.sum(axis=1, keepdims=True)
        other /= other.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(doubly_stochastic(a, 0.2)[0], other, atol=1e-8)


def test_blocks_of_the_membership_are_the_clusters(rng):
    of = np.repeat([0, 1, 2], [10, 20, 5])
    codes = spectral_codes((of[:, None] == of) / np.bincount(of)[of], 3, rng)
    assert len({(a, b) for a, b in zip(codes, of, strict=True)}) == 3


@pytest.mark.parametrize("d", [1, 2, 3, 10, 200])
def test_random_directions_have_this_mean_cosine(rng, d):
    z = unit_rows(rng.standard_normal((4000, d)), False)
    found = np.abs((z[:2000] * z[2000:]).sum(axis=1))
    assert found.mean() == pytest.approx(random_cosine(d), abs=4 * found.std() / np.sqrt(2000) + 1e-12)


# ---------------------------------------------------------------------------- the method
def test_a_union_of_subspaces_is_found_without_labels(rng):
    x, of = union(rng, noise=0.05)
    found = method.sinkhorn_membership(tap(x, of), method.SinkhornMembershipParams(centre=False))
    values = {e.name: e for e in found.estimates}
    assert values["accuracy under the best matching with the labels"].value > 0.98
    assert (
        values["adjusted Rand index with the labels"].low
        > values["adjusted Rand index with the labels"].null_high
    )
    assert values["coding rate reduction of the clusters"].p_value == 1 / 40


def test_exchanged_labels_and_noise_are_at_chance(rng):
    x, of = union(rng)
    for values, labels in ((x, rng.permutation(of)), (rng.standard_normal(x.shape), of)):
        e = method.sinkhorn_membership(
            tap(values, labels), method.SinkhornMembershipParams(centre=False)
        ).estimates
        assert abs(e[0].value) < 0.08
        assert e[4].low <= e[4].null + 0.02
        assert abs(e[4].value - e[4].null) < 0.03


def test_signs_sizes_and_rotations_change_nothing(rng):
    x, of = union(rng, noise=0.3)
    ask = method.SinkhornMembershipParams(centre=False)
    a = method.sinkhorn_membership(tap(x, of), ask, np.random.default_rng(1))
    turned = x @ np.linalg.qr(rng.standard_normal((20, 20)))[0]
    turned *= (rng.choice([-1, 1], 160) * rng.uniform(0.5, 9, 160))[:, None]
    b = method.sinkhorn_membership(tap(turned, of), ask, np.random.default_rng(1))
    np.testing.assert_allclose(a.values, b.values, atol=1e-9)
    assert a.estimates[4].value == pytest.approx(b.estimates[4].value)


def test_the_picture_is_ordered_by_cluster_and_says_what_it_leaves_out(rng):
    x, of = union(rng)
    found = method.sinkhorn_membership(tap(x, of), method.SinkhornMembershipParams(centre=False, drawn=50))
    assert found.values.shape == (50, 50)
    clusters = [int(name.split(" · ")[0]) for name in found.row_names]
    assert clusters == sorted(clusters)
    assert any("A random 50 of 160" in c for c in found.caveats)
    same = np.equal.outer(clusters, clusters)
    assert found.values[~same].max() < 1e-9


def test_refusals(rng):
    with pytest.raises(InputError, match="equally alike"):
        method.sinkhorn_membership(
            tap(np.ones((40, 3)), np.arange(40) % 2), method.SinkhornMembershipParams(centre=False)
        )
    with pytest.raises(NotEnoughData):
        method.sinkhorn_membership(tap(rng.standard_normal((8, 3)), np.arange(8) % 2))


# ---------------------------------------------------------------------------- the coding rate
def test_the_rate_reduction_is_0_only_for_equal_second_moments(rng):
    x = rng.standard_normal((40, 6))
    of = np.repeat([0, 1], 40)
    e = np.array([0.3, 1.0])
    turned = np.linalg.qr(rng.standard_normal((40, 40)))[0] @ x  # other samples, the same second moment
    np.testing.assert_allclose(rates(np.vstack([x, turned]), of, e).reduction, 0, atol=1e-10)
    assert (rates(np.vstack([x, 1.1 * x]), of, e).reduction > 1e-4).all()


SCALED = doubly_stochastic


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (method, "doubly_stochastic", lambda a, g: (1.001 * SCALED(a, g)[0], 0.0)),
        (method, "spectral_codes", lambda pi, k, rng: rng.integers(k, size=len(pi)).astype(np.int32)),
        (sinkhorn, "STEPS", 1),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
