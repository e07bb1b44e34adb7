"""Probes against second implementations: Newton against L-BFGS, the small network against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from analysis.compute.groups.concept import Concept
from analysis.compute.linear import softmax_regression
from analysis.compute.linear.small_network import fit_network
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.machine import Machine
from analysis.compute.subspaces.erasing import ERASERS
from analysis.compute.subspaces.probe_cost import eraser_cost, probe_cost
from analysis.compute.subspaces.probes import PROBES, probe_folds, scored


def value(fit, x, of, penalty) -> float:
    out = x @ fit.weights + fit.intercept
    loss = np.log(np.exp(out - out.max(1, keepdims=True)).sum(1)) + out.max(1) - out[np.arange(len(x)), of]
    return float(loss.mean() + penalty / 2 * (fit.weights**2).sum())


@pytest.mark.parametrize("penalty", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("apart", [0.0, 1.0, 40.0])
def test_newton_finds_the_minimum_that_lbfgs_approaches(rng, monkeypatch, penalty, apart):
    of = np.arange(200) % 2
    x = rng.standard_normal((200, 6))
    x[:, 0] += apart * of
    mine = softmax_fit(x, of, 2, penalty)
    monkeypatch.setattr(softmax_regression, "MOST_NEWTON", 0)
    theirs = softmax_fit(x, of, 2, penalty, steps=5000)
    assert value(mine, x, of, penalty) <= value(theirs, x, of, penalty) + 1e-12
    np.testing.assert_allclose(
        mine.weights, theirs.weights, atol=2e-2 * max(1.0, np.abs(theirs.weights).max())
    )
    assert mine.loss == pytest.approx(value(mine, x, of, 0.0), abs=1e-9)
    np.testing.assert_allclose(mine.weights.sum(axis=1), 0.0, atol=1e-12)


def test_newton_goes_on_from_where_it_was(rng):
    of = np.arange(100) % 2
    x = rng.standard_normal((100, 4)) + of[:, None]
    one = softmax_fit(x, of, 2, 0.1)
    again = softmax_fit(x, of, 2, 0.1, softmax_fit(x, of, 2, 10.0))
    np.testing.assert_allclose(one.weights, again.weights, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_the_slope_of_the_network_is_that_of_its_loss(rng, monkeypatch, classes):
    x, of = rng.standard_normal((30, 3)), np.arange(30) % 3
    y = x[:, 0] ** 2
    seen = {}

    def minimize(objective, begin, **_):
        seen["error"] = max(
            abs(
                (objective(begin + 1e-6 * e)[0] - objective(begin - 1e-6 * e)[0]) / 2e-6
                - objective(begin)[1][i]
            )
            for i, e in enumerate(np.eye(len(begin)))
        )
        return type("Found", (), {"x": begin})

    monkeypatch.setattr("scipy.optimize.minimize", minimize)
    fit_network(x, of if classes > 1 else None, y if classes == 1 else None, classes, 4, 2.0, 5, rng)
    assert seen["error"] < 1e-6


@pytest.mark.parametrize("number", [False, True])
def test_the_network_reads_as_well_as_scikit_learns(rng, number):
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    x = rng.standard_normal((1200, 3))
    y = x[:, 0] * x[:, 1]
    of, half = (y > 0).astype(np.int64), slice(600)
    mine = fit_network(x[half], None if number else of[half], y[half] if number else None, 1 if number else 2, 32, 1.0,
                       60, np.random.default_rng(0))  # fmt: skip
    make = MLPRegressor if number else MLPClassifier
    theirs = make(hidden_layer_sizes=(32,), solver="lbfgs", alpha=1.0, max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(x[half], y[half] if number else of[half])
    test = slice(600, None)
    if number:
        error = [float(((p - y[test]) ** 2).mean()) for p in (mine(x[test])[:, 0], theirs.predict(x[test]))]
        assert error[0] < max(1.5 * error[1], 0.05)
    else:
        right = [
            float((p == of[test]).mean()) for p in (mine(x[test]).argmax(axis=1), theirs.predict(x[test]))
        ]
        assert right[0] > right[1] - 0.03
        assert right[0] > 0.9


@pytest.mark.parametrize("number", [False, True])
@pytest.mark.parametrize("probe", PROBES)
def test_a_bare_score_is_the_value_of_the_whole_one(rng, probe, number):
    of = np.arange(90) % 2
    x = rng.standard_normal((90, 3)) + of[:, None]
    concept = Concept("y", None, (), x[:, 0] + of) if number else Concept("c", of, ("a", "b"), None)
    fold = probe_folds(concept, 2, rng)
    whole, bare = (
        scored(x, concept, fold, probe, 1.0, np.random.default_rng(1), bare=b) for b in (False, True)
    )
    assert bare.value == whole.value
    np.testing.assert_array_equal(bare.right, whole.right)
    assert np.isnan(bare.low)
    assert whole.low <= whole.value <= whole.high


def test_estimates_grow_with_everything_that_takes_time():
    m = Machine(2e10, 4e10, 1e10, 2)
    for probe in PROBES:
        base = m.seconds(**probe_cost(probe, 1000, 64, 4, 4))
        assert m.seconds(**probe_cost(probe, 4000, 64, 4, 4)) > base
        assert m.seconds(**probe_cost(probe, 1000, 640, 4, 4)) > base
        assert m.seconds(**probe_cost(probe, 1000, 64, 4, 8)) > base
    for name in ERASERS:
        assert (
            m.seconds(**eraser_cost(name, 1000, 640, 4, 3))
            > m.seconds(**eraser_cost(name, 1000, 64, 4, 3))
            > 0
        )
