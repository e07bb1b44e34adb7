"""Adversarial augmentation: projections on spans, gradients, ε = 0, training against SciPy, exact tests, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binomtest

from analysis.activations import ArrayActivations
from analysis.compute.statistics.discordant import gains_over
from analysis.compute.subspaces import adversarial_features as mathematics
from analysis.compute.subspaces import compared_probes
from analysis.compute.subspaces.adversarial_features import (
    ADVERSARIAL,
    FREE,
    PENALTY,
    PLAIN,
    RANDOM,
    gradients,
    moved,
    on_span,
    probabilities,
    train,
    unit_rows,
)
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.concepts import adversarial_augmentation as module
from analysis.methods.concepts.adversarial_augmentation import (
    AdversarialAugmentationParams,
    adversarial_augmentation,
)

FEW = settings(max_examples=20, deadline=None)


@FEW
@given(seed=st.integers(0, 10**6), m=st.integers(1, 12))
def test_projections_lie_in_the_span_and_are_no_longer(seed, m):
    rng = np.random.default_rng(seed)
    g, others = rng.standard_normal((5, 8)), rng.standard_normal((m, 8))
    found = on_span(g, others)
    back = others.T @ np.linalg.lstsq(others.T, found.T, rcond=None)[0]
    np.testing.assert_allclose(back.T, found, atol=1e-9)
    assert (np.linalg.norm(found, axis=1) <= np.linalg.norm(g, axis=1) + 1e-12).all()
    np.testing.assert_allclose((g - found) @ others.T, 0.0, atol=1e-9)
    if m >= 8:  # a batch that spans everything: no effect
        np.testing.assert_allclose(found, g, atol=1e-8)


def test_duplicates_and_zeros_span_no_more(rng):
    one = rng.standard_normal((1, 6))
    g = rng.standard_normal((3, 6))
    many = np.vstack([one, 2 * one, np.zeros((2, 6))])
    np.testing.assert_allclose(on_span(g, many), on_span(g, one), atol=1e-12)
    np.testing.assert_array_equal(on_span(g, np.zeros((2, 6))), 0.0)
    np.testing.assert_array_equal(unit_rows(np.zeros((2, 3))), 0.0)


def test_moves_have_length_epsilon_and_use_the_other_half(rng):
    x, onehot = unit_rows(rng.standard_normal((8, 20))), np.eye(2)[np.arange(8) % 2]
    w, b = rng.standard_normal((20, 2)), np.zeros(2)
    for kind in (ADVERSARIAL, FREE, RANDOM):
        step = moved(x, onehot, w, b, kind, 0.3, rng) - x
        np.testing.assert_allclose(np.linalg.norm(step, axis=1), 0.3)
        if kind != FREE:
            np.testing.assert_allclose(on_span(step[:4], x[4:]), step[:4], atol=1e-10)
            np.testing.assert_allclose(on_span(step[4:], x[:4]), step[4:], atol=1e-10)
    assert moved(x, onehot, w, b, ADVERSARIAL, 0.0, rng) is x


def test_the_adversarial_move_raises_the_loss(rng):
    x, onehot = unit_rows(rng.standard_normal((30, 10))), np.eye(3)[np.arange(30) % 3]
    w, b = rng.standard_normal((10, 3)), np.zeros(3)

    def loss(z):
        return -np.log((probabilities(z, w, b) * onehot).sum(axis=1)).mean()

    plain = loss(x)
    adversarial = loss(moved(x, onehot, w, b, ADVERSARIAL, 0.2, rng))
    assert adversarial > plain + 0.02
    assert loss(moved(x, onehot, w, b, FREE, 0.2, rng)) >= adversarial - 1e-6


@pytest.mark.parametrize("kind", [ADVERSARIAL, FREE, RANDOM])
def test_no_move_is_the_plain_probe_to_the_bit(rng, kind):
    x, of = unit_rows(rng.standard_normal((60, 7))), rng.integers(3, size=60)
    more = {"epochs": 3, "batch": 10, "rate": 1.0, "seed": 5}
    plain, other = train(x, of, 3, PLAIN, 0.5, **more), train(x, of, 3, kind, 0.0, **more)
    for a, b in zip(plain, other, strict=True):
        assert a.tobytes() == b.tobytes()


def test_the_plain_probe_finds_the_minimum_of_its_loss(rng):
    """Against SciPy's minimiser of the same regularised cross-entropy."""
    x, of = unit_rows(rng.standard_normal((80, 3))), rng.integers(2, size=80)
    onehot = np.eye(2)[of]

    def loss(theta):
        w, b = theta[:6].reshape(3, 2), theta[6:]
        return -np.log((probabilities(x, w, b) * onehot).sum(axis=1)).mean() + PENALTY / 2 * (w**2).sum()

    best = minimize(loss, np.zeros(8), tol=1e-10).fun
    w, b = train(x, of, 2, PLAIN, 0.0, epochs=1500, batch=80, rate=1.0, seed=0)
    assert loss(np.r_[w.ravel(), b]) == pytest.approx(best, abs=1e-5)


def test_gradients_by_finite_differences(rng):
    x, w, b = rng.standard_normal((4, 5)), rng.standard_normal((5, 3)), rng.standard_normal(3)
    onehot, found = np.eye(3)[[0, 1, 2, 1]], None
    found = gradients(x, onehot, w, b)
    for i in range(4):
        for j in range(5):
            ends = []
            for sign in (1, -1):
                z = x.copy()
                z[i, j] += sign * 1e-6
                ends.append(-np.log((probabilities(z, w, b) * onehot).sum(axis=1))[i])
            assert found[i, j] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-6)


def test_gains_are_exact_tests_of_discordant_samples_with_holm(rng):
    plain = rng.random(200) < 0.7
    a, b = plain.copy(), plain.copy()
    a[np.flatnonzero(~plain)[:12]] = True
    b[np.flatnonzero(plain)[:3]] = False
    found = gains_over({"linear probe": plain, "a": a, "b": b}, "linear probe")
    assert found["a"][0] == pytest.approx(12 / 200)
    assert found["a"][3] == pytest.approx(
        2 * binomtest(0, 12).pvalue
    )  # two gains: the smaller p counts twice
    assert found["b"][3] == pytest.approx(max(binomtest(0, 3).pvalue, found["a"][3]))
    value, low, high, p = gains_over({"linear probe": plain, "a": plain}, "linear probe")["a"]
    assert (value, p) == (0.0, 1.0)
    assert -0.03 < low < 0.0 < high < 0.03  # a width where nothing changed


def test_classes_without_relation_are_right_as_often_as_chance(rng):
    x, label = rng.standard_normal((240, 6)), rng.integers(3, size=240)
    found = adversarial_augmentation(
        ArrayActivations(x, samples={"label": label}), AdversarialAugmentationParams(epochs=3)
    )
    assert np.abs(found.columns["accuracy"] - 1 / 3).max() < 0.15
    assert (found.columns["p"] > 0.01).all()


def test_a_batch_that_spans_everything_is_said(rng):
    x, label = rng.standard_normal((90, 4)) + 2 * np.eye(4)[np.arange(90) % 3], np.arange(90) % 3
    found = adversarial_augmentation(
        ArrayActivations(x, samples={"label": label}), AdversarialAugmentationParams(epochs=2, batch=32)
    )
    assert any("span everything" in c for c in found.caveats)
    by_name = dict(zip(found.columns["probe"], found.columns["accuracy"], strict=True))
    assert by_name["probe with SeA"] == by_name["probe, gradient not projected"]


def test_refusals(rng):
    label = np.arange(60) % 3
    with pytest.raises(NotEnoughData, match="at least 50"):
        adversarial_augmentation(
            ArrayActivations(rng.standard_normal((40, 3)), samples={"label": label[:40]})
        )
    with pytest.raises(InputError, match="are equal"):
        adversarial_augmentation(ArrayActivations(np.ones((60, 3)), samples={"label": label}))
    with pytest.raises(NotFound):
        adversarial_augmentation(rng.standard_normal((60, 3)))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "on_span", lambda g, others: g),
        (module, "on_span", lambda g, others: 0.99 * on_span(g, others)),
        (module, "gradients", lambda x, y, w, b: -gradients(x, y, w, b)),
        (mathematics, "probabilities", lambda x, w, b: np.full((len(x), w.shape[1]), 1 / w.shape[1])),
        (
            compared_probes,
            "train",
            lambda x, of, c, kind, e, **_: (np.random.default_rng().standard_normal((x.shape[1], c)), 0.0),
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
