"""Architectures: each codes by its equation, keeps its budget, and becomes a set that codes as it was trained to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.errors import NotFound, ParameterError
from analysis.features import rules
from analysis.features.adam import Adam
from analysis.features.architectures import ARCHITECTURES, architecture
from analysis.features.architectures.batch_topk import MEMORY, BatchTopK, BatchTopKParams
from analysis.features.architectures.choices import (
    FeatureChoice,
    FeatureChoiceParams,
    MutualChoice,
    MutualChoiceParams,
    budgets,
)
from analysis.features.architectures.jump_relu import JumpRelu, JumpReluParams, _functions
from analysis.features.architectures.matryoshka import Matryoshka, MatryoshkaParams, level_sizes
from analysis.features.architectures.orthogonal import Orthogonal, OrthogonalParams
from analysis.features.architectures.pursuit import Pursuit, PursuitParams
from analysis.features.architectures.topk import TopK, TopKParams
from analysis.spec import make_params, params_of

D, LATENTS, N = 7, 18, 64
ALONE = sorted(
    name for name, kind in ARCHITECTURES.items() if not (kind.beside or kind.live or kind.ordered)
)  # one tap is all; few ordered latents have tests of their own


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def given(name, **more):
    """Parameters of LATENTS latents and k = 3 where there is a k."""
    kind = architecture(name)
    sizes = {"latents": LATENTS, "k": 3}
    known = {p.name for p in params_of(kind.params)}
    return kind, make_params(kind.params, {n: v for n, v in {**sizes, **more}.items() if n in known})


def started(name, seed=0, **more):
    kind, params = given(name, **more)
    beside = {"n_beside": D} if kind.beside else {}
    return kind.make(params, D, np.random.default_rng(seed), **beside)


def rows(n=N, seed=1):
    return torch.from_numpy(
        (np.random.default_rng(seed).standard_normal((n, D)) / np.sqrt(D)).astype(np.float32)
    )


def trained(dictionary, steps=12, rate=1e-2):
    adam = Adam(dictionary.weights)
    for step in range(steps):
        found = dictionary.loss(rows(seed=step), step=step, share=1.0)
        adam.zero()
        found.total.backward()
        dictionary.before_step()
        adam.step(rate, step + 1)
        dictionary.after_step(found.codes)
    return dictionary


def test_adam_follows_the_paper():
    """Against its equations in float64."""
    w = torch.tensor([1.0, -2.0, 0.5], requires_grad=True)
    adam, expected, m, v = Adam({"w": w}), w.detach().double().numpy().copy(), 0.0, 0.0
    for t in range(1, 6):
        gradient = np.array([0.3, -4.0, 1e-3]) * t * (-1) ** t
        w.grad = torch.tensor(gradient, dtype=torch.float32)
        adam.step(0.01 * t, t)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected -= 0.01 * t * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(w.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ALONE)
def test_the_finished_set_codes_as_the_dictionary_does(name):
    """In raw units: mean 5, scale 0.3. Rules that share a budget in training are compared by their threshold."""
    dictionary = trained(started(name))
    mean, scale, z = np.linspace(-5, 5, D), 0.3, rows(seed=99)
    made = dictionary.finish("set", mean, scale, {})
    codes = made.encode((z.numpy() / scale + mean).astype(np.float32))
    with torch.no_grad():
        p = dictionary.products(z)
        expected = dictionary.codes(z, p).numpy()
    if made.rule == rules.JUMP:
        expected = rules.jump(p.numpy().copy(), made.threshold)
        near = np.abs(p.numpy() - made.threshold) < 1e-4
        expected[near], codes[near] = 0, 0
    np.testing.assert_allclose(codes, expected, atol=2e-5)
    assert (codes != 0).any()
    np.testing.assert_allclose(made.lengths, 1, atol=1e-5)
    left = z.numpy() - scale * (made.decode(codes) - mean)
    np.testing.assert_allclose(
        left, z.numpy() - dictionary.decoded(torch.from_numpy(codes)).detach().numpy(), atol=1e-5
    )


@pytest.mark.parametrize("name", ALONE)
def test_the_loss_falls_and_its_gradient_leaves_the_lengths_alone(name):
    dictionary = started(name)
    first = dictionary.loss(rows(seed=7), share=1.0).parts["unexplained"].item()
    found = dictionary.loss(rows(), share=1.0)
    found.total.backward()
    dictionary.before_step()
    d = dictionary.weights["decoder"]
    assert (d.grad * d).sum(dim=1).abs().max().item() < 1e-6
    assert float(d.grad.abs().max()) > 1e-3
    assert trained(dictionary, 60).loss(rows(seed=7), share=1.0).parts["unexplained"].item() < first


def test_names_parameters_and_k_above_the_latents():
    with pytest.raises(NotFound, match="batch_topk"):
        architecture("top")
    for name in ARCHITECTURES:
        kind = architecture(name)
        assert kind.sparsity in {p.name for p in params_of(kind.params)} or (
            kind.ordered and not kind.sparsity
        )
        assert all(p.help for p in params_of(kind.params))
        if kind.sparsity == "k":
            with pytest.raises(ParameterError, match="k = 19 of 18 latents"):
                started(name, k=LATENTS + 1)


# ---------------------------------------------------------------------- budgets
def test_topk_never_fires_more_than_k():
    dictionary = trained(TopK(TopKParams(LATENTS, 3), D, np.random.default_rng(0)))
    z = rows(500)
    codes = dictionary.codes(z, dictionary.products(z))
    assert int((codes != 0).sum(dim=1).max()) == 3
    ties = torch.ones(4, LATENTS)
    assert (dictionary.codes(None, ties) != 0).sum(dim=1).tolist() == [3] * 4


@pytest.mark.parametrize("make", [(BatchTopK, BatchTopKParams), (MutualChoice, MutualChoiceParams)])
def test_a_batch_spends_its_budget_exactly_and_on_the_largest(make):
    kind, params = make
    dictionary = kind(params(LATENTS, 3), D, np.random.default_rng(0))
    p = dictionary.products(rows()).detach()
    codes = dictionary.codes(None, p)
    assert int((codes != 0).sum()) == 3 * N
    assert float(codes[codes > 0].min()) >= float(p[codes == 0].max())
    assert (codes != 0).sum(dim=1).unique().numel() > 1  # rows differ


@pytest.mark.parametrize("exponent", [0.0, 0.7, 2.0])
def test_feature_choice_gives_every_feature_its_rows(exponent):
    own = budgets(LATENTS, N, 3, exponent)
    assert own.sum() == 3 * N
    assert own.min() >= 0
    assert own.max() <= N
    assert (np.diff(own) <= 0).all() if exponent else np.ptp(own) <= 1
    dictionary = FeatureChoice(FeatureChoiceParams(LATENTS, 3, exponent), D, np.random.default_rng(0))
    p = torch.from_numpy(np.random.default_rng(2).random((N, LATENTS)).astype(np.float32)) + 0.1
    codes = dictionary.codes(None, p)
    np.testing.assert_array_equal((codes != 0).sum(dim=0).numpy(), own)
    for j in np.flatnonzero((own > 0) & (own < N)):
        assert float(codes[:, j][codes[:, j] > 0].min()) >= float(p[:, j][codes[:, j] == 0].max())
    assert int((dictionary.codes(None, -p) != 0).sum()) == 0


def test_all_choices_agree_where_the_budget_is_everything():
    p = torch.from_numpy(np.random.default_rng(3).random((5, 4)).astype(np.float32))
    for kind, params in (
        (TopK, TopKParams),
        (BatchTopK, BatchTopKParams),
        (FeatureChoice, FeatureChoiceParams),
    ):
        codes = kind(params(4, 4), D, np.random.default_rng(0)).codes(None, p)
        assert torch.equal(codes, p)


def test_the_threshold_is_the_weighted_mean_of_the_smallest_codes_from_the_first_step():
    dictionary, smallest = BatchTopK(BatchTopKParams(LATENTS, 3), D, np.random.default_rng(0)), []
    for step in range(5):
        codes = dictionary.codes(None, dictionary.products(rows(seed=step)).detach())
        dictionary.after_step(codes)
        smallest.append(float(codes[codes > 0].min()))
    weights = MEMORY ** np.arange(4, -1, -1.0)
    assert dictionary.threshold.dtype == np.float64
    np.testing.assert_allclose(dictionary.threshold[0], weights @ smallest / weights.sum(), rtol=1e-12)


# ---------------------------------------------------------------------- JumpReLU
def test_straight_through_gradients_are_those_of_the_paper():
    jump, step = _functions()
    p = torch.tensor([[0.4, 0.52, 0.7, -1.0]], requires_grad=True)
    threshold = torch.tensor([0.5, 0.5, 0.5, 0.5], requires_grad=True)
    above = torch.tensor([[2.0, 3.0, 5.0, 7.0]])
    (jump(p, threshold, 0.1) * above).sum().backward()
    np.testing.assert_allclose(p.grad, [[0, 3, 5, 0]])
    np.testing.assert_allclose(threshold.grad, [0, -0.5 / 0.1 * 3, 0, 0], rtol=1e-6)
    p.grad = threshold.grad = None
    (step(p, threshold, 0.3) * above).sum().backward()
    assert p.grad is None
    np.testing.assert_allclose(threshold.grad, [-2 / 0.3, -3 / 0.3, 0, 0], rtol=1e-6)


def test_the_threshold_learns():
    dictionary = JumpRelu(JumpReluParams(LATENTS, penalty=0.05), D, np.random.default_rng(0))
    trained(dictionary, 60)
    moved = dictionary.array("threshold")
    assert moved.min() > 0.05  # from 0.01, in 60 steps of 0.01
    assert dictionary.weights["threshold"].dtype == torch.float32


@pytest.mark.parametrize("target", [2.0, 6.0])
def test_a_target_is_met_whatever_the_price(target):
    params = JumpReluParams(LATENTS, penalty=10.0, target=target)
    dictionary = trained(JumpRelu(params, D, np.random.default_rng(0)), 200)
    l0 = (dictionary.loss(rows(seed=98)).codes != 0).sum(dim=1).double().mean()
    assert abs(float(l0) - target) < 0.15 * target


# ---------------------------------------------------------------------- Matryoshka, OrtSAE, pursuit
def test_every_level_takes_its_share_of_one_selection():
    assert level_sizes(18, 3) == (4, 9, 18)
    assert level_sizes(2, 5) == (1, 2)
    dictionary = Matryoshka(MatryoshkaParams(LATENTS, 3, 3), D, np.random.default_rng(0))
    z = rows()
    found = dictionary.loss(z)
    assert int((found.codes != 0).sum()) == 3 * N
    w = dictionary.weights
    errors = [
        ((z - w["centre"] - found.codes[:, :m] @ w["decoder"][:m]) ** 2).sum(dim=1).mean().item()
        for m in (4, 9, 18)
    ]
    assert found.total.item() == pytest.approx(np.mean(errors), rel=1e-5)
    assert dictionary.finish("m", np.zeros(D), 1.0, {}).levels == (4, 9, 18)


def test_likeness_is_the_mean_squared_largest_cosine_of_each_chunk():
    whole = Orthogonal(OrthogonalParams(LATENTS, 3, chunk=LATENTS), D, np.random.default_rng(0))
    d = whole.array("decoder")
    cosines = d @ d.T - 2 * np.eye(LATENTS)
    expected = np.mean(np.maximum(cosines.max(axis=1), 0) ** 2)
    assert whole.likeness(0).item() == pytest.approx(expected, rel=1e-5)
    parts = Orthogonal(OrthogonalParams(LATENTS, 3, chunk=5), D, np.random.default_rng(0))
    seen = {round(parts.likeness(step).item(), 6) for step in range(4)}
    assert len(seen) == 4  # dealt anew
    assert max(seen) < expected


def test_ortsae_lowers_the_largest_cosine():
    """Against the same dictionary, seed and rows without the penalty."""
    found = []
    for weight in (0.0, 0.25):
        made = trained(Orthogonal(OrthogonalParams(LATENTS, 3, weight), D, np.random.default_rng(0)), 100)
        d = made.array("decoder")
        found.append(d @ d.T - 2 * np.eye(LATENTS))
    free, apart = found
    assert apart.max() < free.max() - 0.1
    assert apart.max(axis=1).mean() < free.max(axis=1).mean() - 0.1
    welch = np.sqrt((LATENTS - D) / (D * (LATENTS - 1)))
    assert np.abs(apart + 2 * np.eye(LATENTS) - np.eye(LATENTS)).max() >= welch  # of cosines of either sign


def test_pursuit_takes_a_parent_then_its_child_where_topk_takes_two_siblings():
    """Parents orthogonal to each other and to every child, children alike (cosine 0.9): with the planted dictionary
    the pursuit leaves nothing and stays there; TopK with the same directions spends both codes above the child."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0].T
    children = np.sqrt(0.9) * basis[2] + np.sqrt(0.1) * basis[3:9]
    truth = np.concatenate([basis[:2], children]).astype(np.float32)
    n = 200
    parent, child = rng.integers(2, size=n), 2 + rng.integers(6, size=n)
    z = torch.from_numpy(0.6 * truth[parent] + 0.8 * truth[child])
    left, found = {}, {}
    for kind, params in ((Pursuit, PursuitParams(8, 2)), (TopK, TopKParams(8, 2))):
        dictionary = kind(params, 12, np.random.default_rng(0))
        with torch.no_grad():
            dictionary.weights["decoder"].copy_(torch.from_numpy(truth))
            if kind is TopK:
                dictionary.weights["encoder"].copy_(torch.from_numpy(truth.T))
        result = dictionary.loss(z)
        left[kind] = result.parts["unexplained"].item()
        found[kind] = result.codes.numpy()
    expected = np.zeros((n, 8), np.float32)
    expected[np.arange(n), parent], expected[np.arange(n), child] = 0.6, 0.8
    np.testing.assert_allclose(found[Pursuit], expected, atol=1e-5)
    assert left[Pursuit] < 1e-9
    assert left[TopK] > 0.3
    assert (found[TopK][:, :2] > 0).mean() < 0.01
