"""Variational dictionaries: draws and divergences by their equations, their limits, and what a finished set says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.errors import Cancelled
from analysis.features.architectures.topk import TopK, TopKParams
from analysis.features.architectures.variational import Variational, VariationalParams
from analysis.features.training import train

D, N, ATOMS, LATENTS = 10, 900, 14, 20
FAST = {"tokens": 12_000, "batch": 100, "learning_rate": 1e-2}
SHORT = {"tokens": 1200, "batch": 60, "learning_rate": 6e-3, "every": 4, "checkpoint_every": 6}
NO_ONE = torch.zeros(LATENTS, dtype=torch.bool)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Planted:
    """Rows of two of 14 concepts in 10 dimensions."""

    name = "s"

    def __init__(self):
        rng = np.random.default_rng(0)
        atoms = rng.standard_normal((ATOMS, D))
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        sizes = np.zeros((N, ATOMS))
        at = rng.random((N, ATOMS)).argsort(axis=1)[:, :2]
        np.put_along_axis(sizes, at, 0.5 + rng.random((N, 2)), axis=1)
        self.x = (sizes @ atoms).astype(np.float32)

    def activations(self, tap):
        return ArrayActivations(self.x, "s:x")


def made(seed=0, **more):
    params = VariationalParams(LATENTS, 3, **{"divergence": 0.01, **more})
    return Variational(params, D, np.random.default_rng(seed))


def rows(n=40, seed=1):
    return torch.from_numpy(
        (np.random.default_rng(seed).standard_normal((n, D)) / np.sqrt(D)).astype(np.float32)
    )


def shaken(dictionary, seed=5):
    """Weights away from where they start, in float64."""
    rng = np.random.default_rng(seed)
    for name, w in dictionary.weights.items():
        moved = w.detach().double().numpy() + 0.1 * rng.standard_normal(w.shape)
        dictionary.weights[name] = torch.from_numpy(moved).requires_grad_(True)
    return dictionary


def test_loss_and_divergence_are_those_of_the_equation():
    """Held-out rows take the means; in NumPy, row by row."""
    dictionary, z = shaken(made(prior=0.2)), rows().double()
    w = {n: v.detach().numpy() for n, v in dictionary.weights.items()}
    left, divergence = [], []
    for row in z.numpy() - w["centre"]:
        mean = row @ w["encoder"] + w["bias"]
        variance = 0.2**2 * np.exp(row @ w["spread"] + w["log_variance"])
        own = 0.5 * (mean**2 / 0.04 + variance / 0.04 - 1 - np.log(variance / 0.04))
        assert (own >= 0).all()
        codes = np.where(mean >= np.sort(mean)[-3], np.maximum(mean, 0), 0)
        left.append(((row - codes @ w["decoder"]) ** 2).sum())
        divergence.append(own.sum())
    found = dictionary.loss(z)
    assert found.parts["unexplained"].item() == pytest.approx(np.mean(left), rel=1e-9)
    assert found.total.item() == pytest.approx(np.mean(left) + 0.01 * np.mean(divergence), rel=1e-9)


def test_the_gradient_agrees_with_differences_through_the_draws():
    dictionary, z, rng = shaken(made()), rows().double(), np.random.default_rng(6)
    dictionary.loss(z, NO_ONE, step=3).total.backward()
    for name, w in dictionary.weights.items():
        flat, found = w.detach().view(-1), w.grad.view(-1)
        for i in rng.choice(len(flat), 4, replace=False):
            old, sides = float(flat[i]), []
            for sign in (1, -1):
                flat[i] = old + sign * 1e-6
                sides.append(float(dictionary.loss(z, NO_ONE, step=3).total.detach()))
            flat[i] = old
            assert found[i].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-6), name


def test_a_fixed_variance_costs_half_the_squared_mean_and_the_prior_nothing():
    fixed, z = made(variance="fixed", prior=0.3), rows()
    assert set(fixed.weights) == {"encoder", "bias", "decoder", "centre"}
    mean = fixed.products(z).detach()
    found = fixed.divergences(mean, fixed.log_variances(z))
    np.testing.assert_allclose(found.numpy(), 0.5 * (mean.numpy() / 0.3) ** 2, atol=1e-6)
    zero = torch.zeros(5, 2)
    assert torch.equal(fixed.divergences(zero, zero), zero)  # the posterior is the prior
    draws = torch.stack([fixed.drawn(zero[:1], zero[:1], step) for step in range(4000)])
    assert draws.std().item() == pytest.approx(0.3, rel=0.03)
    narrow = torch.full((2000, 1), 2 * np.log(0.5))  # log σ²/τ² of half the prior's deviation
    assert fixed.drawn(0 * narrow, narrow, 1).std().item() == pytest.approx(0.15, rel=0.05)
    assert torch.equal(fixed.drawn(mean, zero[:1, :1], 7), fixed.drawn(mean, zero[:1, :1], 7))


def test_certain_and_free_of_charge_it_is_topk():
    """No divergence to pay and a width of nearly nothing."""
    dictionary = made(divergence=0.0, prior=1e-4, width=1e-3)
    plain = TopK(TopKParams(LATENTS, 3), D, np.random.default_rng(0))
    found, expected = dictionary.loss(rows(), NO_ONE), plain.loss(rows(), NO_ONE)
    np.testing.assert_allclose(found.codes.numpy(), expected.codes.numpy(), atol=1e-6)
    assert found.total.item() == pytest.approx(expected.total.item(), rel=1e-5)


def test_it_learns_says_how_sure_it_is_and_codes_by_its_means():
    store = Planted()
    free = train(store, "x", "variational", {"latents": LATENTS, "k": 2, "divergence": 0}, FAST)
    dear = train(store, "x", "variational", {"latents": LATENTS, "k": 2, "divergence": 0.1}, FAST)
    assert free.about["held_out"]["explained_variance"] > 0.85
    assert dear.about["held_out"]["explained_variance"] < 0.5
    said, other = free.about["posterior"], dear.about["posterior"]
    assert len(said["width"]) == len(said["divergence"]) == LATENTS
    assert sum(other["divergence"]) < 0.2 * sum(said["divergence"])
    assert min(other["width"]) > 3 * max(said["width"])
    assert said["collapsed"] == 0
    assert 0.9 < said["kept_when_drawn"] <= 1
    assert other["kept_when_drawn"] < 0.7
    json.dumps(free.about)
    assert free.about["held_out"]["explained_variance"] == pytest.approx(
        free.about["curve"][-1]["explained_variance"], abs=1e-3
    )  # the curve takes the means, as the set does


def test_latents_that_carry_nothing_are_counted():
    """Eight of twenty have the prior whatever the row, a ninth nearly."""
    dictionary = made()
    with torch.no_grad():
        for name in ("encoder", "spread"):
            dictionary.weights[name][:, :9] = 0
        dictionary.weights["log_variance"][:9] = 0
        dictionary.weights["bias"][8] = 0.1 * 0.3
    said = dictionary.facts([rows(), rows(7)])["posterior"]
    assert said["collapsed"] == 8
    np.testing.assert_allclose(said["divergence"][:9], [0] * 8 + [0.5 * 0.3**2], atol=1e-5)
    np.testing.assert_allclose(said["width"], [0.1] * 9 + [0.01] * 11, rtol=1e-4)


def test_a_resume_draws_the_same(tmp_path):
    store, params, said = Planted(), {"latents": LATENTS, "k": 2}, []
    whole = train(store, "x", "variational", params, SHORT, name="f")

    def stop(share, doing=""):
        said.append("rows:" in doing or doing.endswith("rows"))
        if sum(said) == 9:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(store, "x", "variational", params, SHORT, directory=tmp_path, progress=stop)
    again = train(store, "x", "variational", params, SHORT, name="f", directory=tmp_path, resume=True)
    assert again.digest == whole.digest
    assert again.about == whole.about
