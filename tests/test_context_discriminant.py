"""A projection for just these groups: scipy's eigenvalues, invariance, the future, controls, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from analysis.activations import ArrayActivations
from analysis.compute.linear.fisher import basis_of, discriminants
from analysis.compute.subspaces import told_apart_report as report
from analysis.compute.subspaces.told_apart import group_margin, group_similarity, sample_margins, told_apart
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.subspaces import context_discriminant as method

Ask = method.ContextDiscriminantParams


def tap(x, of, **columns):
    return ArrayActivations(np.asarray(x), samples={"label": np.asarray(of), **columns})


def groups(rng, n=300, d=12, k=4, effect=1.0):
    of = np.arange(n) % k
    return rng.standard_normal((n, d)) + effect * rng.standard_normal((k, d))[of], of


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_at_most_k_less_one_ratios_which_no_invertible_map_changes(seed, k):
    """Without shrinkage; against scipy's generalised eigenvalues of the history."""
    rng = np.random.default_rng(seed)
    x, of = groups(rng, 240, 9, k)
    later = rng.permutation(240) < 100
    found = told_apart(x, of, later, k, 0.0).ratios
    mapped = told_apart(x @ rng.standard_normal((9, 9)) + 5, of, later, k, 0.0).ratios
    assert len(found) == k - 1
    np.testing.assert_allclose(mapped, found, rtol=1e-5)
    past, codes = x[~later], of[~later]
    means, shares = (
        np.array([past[codes == c].mean(axis=0) for c in range(k)]),
        np.bincount(codes) / len(codes),
    )
    rest = past - means[codes]
    off = means - past.mean(axis=0)
    values = eigh((off * shares[:, None]).T @ off, rest.T @ rest / len(rest), eigvals_only=True)[::-1]
    np.testing.assert_allclose(values[: k - 1], found, rtol=1e-6)
    assert (np.abs(values[k - 1 :]) < 1e-9).all()


def test_two_groups_have_fishers_axis(rng):
    x, of = groups(rng, 400, 6, 2)
    later = np.arange(400) % 4 == 0
    found = told_apart(x, of, later, 2, 0.0)
    past, codes = x[~later], of[~later]
    a, b = past[codes == 0], past[codes == 1]
    within = (np.cov(a.T, bias=True) * len(a) + np.cov(b.T, bias=True) * len(b)) / len(past)
    w = np.linalg.solve(within, b.mean(axis=0) - a.mean(axis=0))
    score = (x[later] - past.mean(axis=0)) @ w
    np.testing.assert_allclose(np.abs(found.after), 1)  # one axis: only the side is left
    assert (np.sign(found.after[:, 1]) == np.sign(score)).all()


def test_equal_isotropic_spread_has_the_span_of_the_means(rng):
    """Exactly isotropic inside each group: the discriminants span the centred means."""
    base = np.vstack([np.eye(6), -np.eye(6)])
    means = rng.standard_normal((3, 6)) * 2
    x = np.vstack([base + m for m in means] * 2)
    of = np.tile(np.repeat(np.arange(3), 12), 2)
    later = np.arange(72) >= 36
    span = np.linalg.qr((means - means.mean(axis=0)).T)[0][:, :2]
    basis = basis_of(x[~later])
    axes = np.linalg.qr(basis.vectors @ discriminants(basis, of[~later], 3).weights)[0]
    np.testing.assert_allclose(np.linalg.svd(axes.T @ span)[1], 1, atol=1e-9)


def test_margins_by_hand():
    similar = np.array([[0.9, 0.2, 0.1], [0.3, 0.8, 0.5], [0.0, 0.7, 0.6], [0.5, 0.1, 0.0]])
    of = np.array([0, 1, 2, 0])
    np.testing.assert_allclose(sample_margins(similar, of), [0.7, 0.3, -0.1, 0.4])
    np.testing.assert_allclose(group_similarity(similar, of)[0], [0.7, 0.15, 0.05])
    assert group_margin(similar, of) == pytest.approx(0.6 - 0.7)


def test_similarities_are_those_of_a_loop(rng):
    x, of = groups(rng, 60, 5, 3)
    later = np.arange(60) >= 30
    found = told_apart(x, of, later, 3)
    past = x[~later] - x[~later].mean(axis=0)
    row = x[40] - x[~later].mean(axis=0)
    for c in range(3):
        m = past[of[~later] == c].mean(axis=0)
        assert found.before[10, c] == pytest.approx(m @ row / np.linalg.norm(m) / np.linalg.norm(row))


def test_meaningless_groups_look_apart_on_the_history_only(rng):
    e = method.context_discriminant(tap(rng.standard_normal((80, 300)), np.arange(80) % 4)).estimates
    assert e[5].value > 0.5
    assert e[5].null > 0.5
    assert e[2].null_low <= e[2].value <= e[2].null_high + 0.1
    assert e[0].value < 0.1


def test_the_future_is_what_comes_later(rng):
    """Groups that exchange places half-way: told apart at random halves, wrong in the future."""
    of, when = np.arange(400) % 2, np.arange(400) // 2
    shift = np.where((when < 100) == (of == 0), 3.0, -3.0)
    x = rng.standard_normal((400, 5)) + shift[:, None] * np.eye(5)[0]
    future = method.context_discriminant(tap(x, of, frame=when), Ask(time="frame"))
    assert future.estimates[2].value < 0.1
    shuffled = method.context_discriminant(tap(x, of, frame=rng.permutation(when)), Ask(time="frame"))
    assert 0.2 < shuffled.estimates[2].value < 0.8
    assert not any("not in time" in c for c in future.caveats)


def test_change_is_after_less_before_and_groups_can_be_named(rng):
    x, of = groups(rng, 300, 10, 5)
    shown = [method.context_discriminant(tap(x, of), Ask(show=s, groups="4, 1"), np.random.default_rng(3)).values
             for s in ("after", "before", "change")]  # fmt: skip
    assert shown[0].shape == (2, 2)
    np.testing.assert_allclose(shown[2], shown[0] - shown[1])


def test_refusals(rng):
    x, of = groups(rng)
    with pytest.raises(NotFound):
        method.context_discriminant(tap(x, of), Ask(time="frame"))
    with pytest.raises(InputError, match="number for every sample"):
        method.context_discriminant(tap(x, of, frame=np.array(["a"] * 300)), Ask(time="frame"))
    with pytest.raises(NotEnoughData, match="before and two after"):
        method.context_discriminant(tap(x, of, frame=of), Ask(time="frame"))
    with pytest.raises(NotEnoughData, match="'9' is no group"):
        method.context_discriminant(tap(x, of), Ask(groups="1, 9"))
    with pytest.raises(NotEnoughData, match="one group"):
        method.context_discriminant(tap(x, of), Ask(groups="1"))


TOLD = told_apart


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (
            method,
            "told_apart",
            lambda x, of, later, k, a=None: TOLD(x, np.roll(of, 1) * later + of * ~later, later, k, a),
        ),
        (report, "sample_margins", lambda similar, of: -np.ones(len(of))),
        (report, "group_margin", lambda similar, of: 0.3),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, name, broken):
    check = method.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
