"""Linear exits: what a layer gives away of the network's answer, against closed forms and another solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr

from analysis.activations import ArrayActivations, Layout
from analysis.compute.outputs import soft_exits
from analysis.compute.outputs.divergences import kl
from analysis.compute.outputs.soft_exits import constant_exit, held_out_exit, log_softmax
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.similarity import exit_divergence as module
from analysis.methods.similarity.exit_divergence import KL, SAME, ExitParams, exit_divergence


def folds(n, rng):
    return rng.permutation(np.arange(n) % soft_exits.FOLDS)


def tap(x, name="layer", **samples):
    return ArrayActivations(np.asarray(x), name=name, samples=samples)


def answers(rng, n=400, d=8, classes=4):
    x = rng.standard_normal((n, d))
    return x, log_softmax(x @ rng.standard_normal((d, classes)))


# ---------------------------------------------------------------------------- the fit
def test_the_fit_is_the_minimum_of_the_penalised_divergence():
    """Second implementation: scikit-learn's logistic regression on each class once, weighted by its probability."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    n, classes, share = 150, 3, 0.01
    x = rng.standard_normal((n, 5)) * np.array([3.0, 1.0, 1.0, 0.3, 0.1])
    logs = log_softmax(np.tanh(x) @ rng.standard_normal((5, classes)) + rng.standard_normal((n, classes)))
    mean, axes, weights, bias = list(soft_exits._path(x, logs, [share]))[-1]
    got = log_softmax((x - mean) @ axes @ weights + bias)
    penalty = share * x.var(axis=0).mean()
    model = LogisticRegression(C=1 / (n * penalty), tol=1e-10, max_iter=5000)
    model.fit(
        np.repeat(x, classes, axis=0),
        np.tile(np.arange(classes), n),
        sample_weight=np.exp(logs).ravel(),
    )
    np.testing.assert_allclose(np.exp(got), model.predict_proba(x), atol=1e-5)


def test_the_slope_is_that_of_the_loss():
    rng = np.random.default_rng(1)
    x, logs = answers(rng, n=60, d=3)
    scores, _ = soft_exits._principal(x - x.mean(axis=0))
    p, variances, penalty = np.exp(logs), (scores**2).mean(axis=0), 0.1
    weights, bias = soft_exits._fitted(scores, variances, p, penalty, np.zeros((3, 4)), np.zeros(4))

    def loss(w, b):
        return kl(logs, log_softmax(scores @ w + b)).mean() + penalty * (w**2).sum() / 2

    best = loss(weights, bias)
    for _ in range(20):
        step = 1e-3 * rng.standard_normal((3, 4))
        assert loss(weights + step, bias) > best
        assert loss(weights, bias + step[0]) >= best - 1e-12


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_logits_linear_in_the_layer_are_read_exactly(scale):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 10))
    logs = log_softmax(scale * x @ rng.standard_normal((10, 4)))
    made, constant = held_out_exit(x, logs, folds(300, rng))
    assert kl(logs, made).mean() < 0.002 * -np.log(np.exp(logs).mean(axis=0)).mean()
    assert constant == 0


def test_shuffled_samples_leave_what_the_constant_exit_leaves():
    rng = np.random.default_rng(3)
    x, logs = answers(rng, n=500)
    fold = folds(500, rng)
    made, constant = held_out_exit(x[rng.permutation(500)], logs, fold)
    nothing = kl(logs, constant_exit(logs, fold)).mean()
    assert kl(logs, made).mean() == pytest.approx(nothing, rel=0.05)
    assert constant >= 2


def test_the_constant_exit_is_the_best_constant_of_the_training_samples():
    rng = np.random.default_rng(4)
    _, logs = answers(rng, n=50)
    fold = folds(50, rng)
    made = constant_exit(logs, fold)
    for f in range(5):
        mean = np.exp(logs[fold != f]).mean(axis=0)
        np.testing.assert_allclose(np.exp(made[fold == f]), np.tile(mean, ((fold == f).sum(), 1)), rtol=1e-12)
    np.testing.assert_allclose(kl(logs, made), rel_entr(np.exp(logs), np.exp(made)).sum(axis=1), atol=1e-12)


def test_no_held_out_answer_enters_its_own_prediction():
    rng = np.random.default_rng(5)
    x, logs = answers(rng, n=100)
    fold = folds(100, rng)
    before, _ = held_out_exit(x, logs, fold)
    other = logs.copy()
    other[fold == 2] = log_softmax(rng.standard_normal(((fold == 2).sum(), 4)))
    after, _ = held_out_exit(x, other, fold)
    np.testing.assert_array_equal(before[fold == 2], after[fold == 2])
    assert np.abs(before - after).max() > 1e-3


def test_more_units_than_samples_and_a_constant_layer():
    rng = np.random.default_rng(6)
    x, logs = answers(rng, n=60)
    fold = folds(60, rng)
    wide = np.hstack([x, 1e-3 * rng.standard_normal((60, 300))])
    made, _ = held_out_exit(wide, logs, fold)
    assert kl(logs, made).mean() < 0.5 * kl(logs, constant_exit(logs, fold)).mean()
    flat, constant = held_out_exit(np.ones((60, 3)), logs, fold)
    np.testing.assert_allclose(flat, constant_exit(logs, fold), atol=1e-12)
    assert constant == 5


# ---------------------------------------------------------------------------- the method
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10**6), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_shifted_and_scaled_units_and_shifted_logits_change_nothing(seed, shift, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((120, 4))
    logits = np.tanh(x) @ rng.standard_normal((4, 3)) * 2
    one = exit_divergence(x, logits)
    other = exit_divergence(
        x * scale * np.array([1, 10, 0.1, 3]) + shift, logits + rng.standard_normal((120, 1))
    )
    assert other.series[KL][0] == pytest.approx(one.series[KL][0], abs=1e-4)
    assert other.null[KL][0] == pytest.approx(one.null[KL][0], abs=1e-9)


def test_deeper_layers_of_a_network_know_more():
    rng = np.random.default_rng(7)
    pixels = rng.standard_normal((300, 8))
    hidden = np.maximum(pixels @ rng.standard_normal((8, 16)) / 3, 0)
    deeper = np.maximum(hidden @ rng.standard_normal((16, 12)) / 4, 0)
    logits = deeper @ rng.standard_normal((12, 5))
    found = exit_divergence(pixels, hidden, deeper, logits)
    assert (np.diff(found.series[KL]) < 0).all()
    assert found.series[KL][-1] < 1e-4
    assert "nats" in found.y_name
    shares = exit_divergence(pixels, hidden, deeper, logits, params=ExitParams(show="top class"))
    assert shares.series[SAME][-1] > 0.99
    often = np.bincount(logits.argmax(axis=1), minlength=5) / 300
    assert shares.null[SAME][-1] == pytest.approx(often @ often, abs=0.005)


def test_accuracy_is_against_the_label_and_the_networks_own_stands_beside():
    rng = np.random.default_rng(8)
    x = rng.standard_normal((300, 6))
    logits = 3 * x[:, :3]
    label = logits.argmax(axis=1)
    label[:60] = (label[:60] + 1) % 3
    found = exit_divergence(
        tap(x), tap(logits, label=label), params=ExitParams(show="top class", label="label")
    )
    assert found.series["right class"][0] == pytest.approx(0.8, abs=0.03)
    own = next(e for e in found.estimates if "itself" in e.name)
    assert own.value == pytest.approx(0.8, abs=1e-12)


def test_unrelated_layers_are_not_beyond_chance():
    rng = np.random.default_rng(9)
    small = 0
    for _ in range(20):
        _, logs = answers(rng, n=100)
        small += exit_divergence(rng.standard_normal((100, 5)), logs).estimates[0].p_value < 0.05
    assert small <= 4


def test_samples_are_matched_by_id_and_tokens_pooled():
    rng = np.random.default_rng(10)
    x, logs = answers(rng, n=200)
    order = rng.permutation(200)
    ids = np.array([f"s{i}" for i in range(200)])
    tokens = np.repeat(x, 2, axis=0) + np.tile([[1.0], [-1.0]], (200, 1))
    layer = ArrayActivations(tokens, samples={"id": ids}, layout=Layout(np.arange(201) * 2))
    out = ArrayActivations(logs[order], samples={"id": ids[order], "label": logs.argmax(axis=1)[order]})
    found = exit_divergence(layer, out, params=ExitParams(show="top class"))
    assert found.series[SAME][0] > 0.98
    np.testing.assert_array_equal(found.series[SAME], found.series["right class"])


def test_refusals():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((30, 3))
    with pytest.raises(ParameterError, match="1 tap"):
        exit_divergence(x)
    with pytest.raises(InputError, match="one unit"):
        exit_divergence(x, x[:, :1])
    with pytest.raises(NotEnoughData, match="at least 25"):
        exit_divergence(x[:20], x[:20])
    with pytest.raises(TooLarge, match="4,096"):
        exit_divergence(x, np.zeros((30, 5000)))
    with pytest.raises(NotFound, match="answer"):
        exit_divergence(x, x, params=ExitParams(label="answer"))


def _in_sample(x, logs, fold, *more):
    *_, best = soft_exits._path(x, logs, soft_exits.PENALTIES)
    return soft_exits._applied(best, x), 0


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "held_out_exit", _in_sample),
        (module, "constant_exit", lambda logs, fold: np.full_like(logs, -np.log(7.0))),
        (soft_exits, "STEPS", 1),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
