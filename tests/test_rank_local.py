"""Local rank: Jacobians written out and by torch, published facts, thresholds, nulls, refusals, broken code."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import local_spectra as compute
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.methods.rank import local_rank as module
from analysis.methods.rank.local_rank import GRID, LocalRankParams, local_rank
from analysis.sources import jacobians as source

FEW = settings(max_examples=10, deadline=None)
STORES = Path(__file__).parents[1] / "sample_data" / "workspace"


def tap(jacobians, name="layer"):
    n, outputs, inputs = jacobians.shape
    layout = Layout(np.arange(n + 1) * outputs)
    return ArrayActivations(jacobians.reshape(n * outputs, inputs), name=name, layout=layout)


def network(rng, widths, n=30, linear=False):
    """Jacobians (n, units, inputs) of every layer of a random network."""
    h = rng.standard_normal((n, widths[0]))
    jacobian, layers = np.tile(np.eye(widths[0]), (n, 1, 1)), []
    for a, b in pairwise(widths):
        w = rng.standard_normal((b, a)) / np.sqrt(a)
        before = h @ w.T
        on = np.ones_like(before) if linear else (before > 0).astype(float)
        jacobian, h = on[:, :, None] * (w @ jacobian), before * on
        layers.append(jacobian)
    return layers


def counted(jacobians, epsilon):
    return np.mean([(s > epsilon * s[0]).sum() for s in (np.linalg.svd(j)[1] for j in jacobians)])


# ---------------------------------------------------------------------------- definition and published facts
@FEW
@given(st.integers(0, 10**6))
def test_the_exact_rank_never_rises_with_depth_and_is_numpys(seed):
    layers = network(np.random.default_rng(seed), (30, 20, 8, 25, 25))
    found = local_rank(*(tap(j, f"l{i}") for i, j in enumerate(layers)))
    exact = [e.value for e in found.estimates if "exact" in e.name]
    by_hand = [np.mean([np.linalg.matrix_rank(j) for j in layer]) for layer in layers]
    assert exact == pytest.approx(by_hand)
    assert (np.diff(exact) <= 0).all()
    assert exact[-1] <= 8


@FEW
@given(st.integers(0, 10**6))
def test_the_curve_is_the_count_above_each_threshold(seed):
    jacobians = network(np.random.default_rng(seed), (9, 14, 6))[-1]
    found = local_rank(tap(jacobians))
    at = [0, 20, 30, 40, 47]
    assert found.series["layer"][at] == pytest.approx([counted(jacobians, GRID[i]) for i in at])
    assert (np.diff(found.series["layer"]) <= 0).all()


def test_a_linear_network_has_one_rank_everywhere_at_most_its_narrowest_layer(rng):
    layers = network(rng, (30, 20, 8, 25), linear=True)
    for layer in layers:
        e = local_rank(tap(layer)).estimates[1]
        assert e.low == e.value == e.high == min(20 if layer is layers[0] else 8, 30)


@FEW
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_scale_and_rotation_leave_the_curve_and_an_invertible_map_only_the_exact_rank(seed, scale):
    rng = np.random.default_rng(seed)
    jacobians = network(rng, (9, 14, 6))[-1]
    turn, back = (np.linalg.qr(rng.standard_normal((k, k)))[0] for k in (6, 9))
    one, other = local_rank(tap(jacobians)), local_rank(tap(scale * turn @ jacobians @ back))
    np.testing.assert_allclose(other.series["layer"], one.series["layer"], atol=1 / 30 + 1e-9)
    bent = local_rank(tap(np.diag(np.logspace(0, 4, 6)) @ jacobians))
    assert bent.estimates[1].value == one.estimates[1].value
    assert bent.estimates[0].value < one.estimates[0].value


def test_rounding_is_that_of_the_stored_type(rng):
    jacobians = rng.standard_normal((10, 12, 4)) @ rng.standard_normal((10, 4, 12))
    for dtype in (np.float64, np.float32, np.float16):
        assert local_rank(tap(jacobians.astype(dtype))).estimates[1].value == 4


def test_gaussian_matrices_are_their_own_null(rng):
    found = local_rank(tap(rng.standard_normal((60, 10, 12))))
    np.testing.assert_allclose(found.series["layer"], found.null["layer"], atol=1.2)
    direct = [np.linalg.svd(rng.standard_normal((10, 12)), compute_uv=False) for _ in range(400)]
    drawn = compute.gaussian_jacobians(compute.LocalSpectrum(np.zeros((1, 10)), 10, 12, 1e-16, ()), 400, rng)
    relative = [v / v[:, :1] for v in (np.array(direct), drawn.values)]
    np.testing.assert_allclose(relative[1].mean(axis=0), relative[0].mean(axis=0), atol=0.02)


# ---------------------------------------------------------------------------- networks
@pytest.fixture(scope="module")
def stores():
    return {e.name: e.store for e in analysis.open_workspace(STORES).stores()}


def test_a_network_is_differentiated_as_torch_does(stores):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from analysis.sources.rerun import rerun

    activations = stores["digits-vit"].activations("outputs.logits")
    found = source.local_spectra(activations, 3)
    run = rerun(activations, 3)
    module_ = run.loaded.module.double()
    inputs = run.loaded.prepare(run.data.items(0, 3))
    (name,) = [k for k, v in inputs.items() if v.is_floating_point()]
    assert "a random 3 of" in found.note
    for i in range(3):
        x = inputs[name][i : i + 1].double()
        jacobian = torch.autograd.functional.jacobian(lambda v: module_(**{name: v}).logits[0], x)
        expected = np.linalg.svd(jacobian.reshape(10, -1).numpy(), compute_uv=False)
        np.testing.assert_allclose(found.values[i], expected, rtol=1e-8)


def test_a_pooled_layer_is_differentiated_as_it_was_recorded(stores):
    """Directional derivatives by finite differences of the pooled output, through the hook alone."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from analysis.sources.rerun import rerun

    activations = stores["digits-vit"].activations("vit.layers.1")
    found = source.local_spectra(activations, 3)
    assert found.how == "its mean over tokens without the first 1"
    assert (found.outputs, found.inputs) == (48, 64)
    run = rerun(activations, 3)
    module_, caught = run.loaded.module.double(), []
    modules = dict(module_.named_modules())
    modules["vit.layers.1"].register_forward_hook(lambda _, __, out: caught.append(out))
    given = dict(run.loaded.prepare(run.data.items(0, 1)))
    (name,) = [k for k, v in given.items() if v.is_floating_point()]
    x = given[name].double()
    columns = []
    with torch.no_grad():
        for j in range(64):
            step = torch.zeros(64, dtype=torch.float64)
            step[j] = 1e-5
            ends = []
            for sign in (1, -1):
                module_(**{**given, name: x + sign * step.reshape(x.shape)})
                out = caught[-1][0] if isinstance(caught[-1], tuple) else caught[-1]
                ends.append(out.reshape(-1, 17, 48)[0, 1:].mean(0).numpy())
            columns.append((ends[0] - ends[1]) / 2e-5)
    expected = np.linalg.svd(np.array(columns), compute_uv=False)
    np.testing.assert_allclose(found.values[0], expected, atol=1e-6 * expected[0])


def test_what_cannot_be_run_is_refused(stores, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    with pytest.raises(InputError, match="no derivative"):
        local_rank(
            stores["python-gpt"].activations("transformer.h.0"), params=LocalRankParams(maximum_samples=3)
        )
    logits = stores["digits-resnet"].activations("outputs.logits")
    monkeypatch.setattr(source, "RECORDED", 0.0)
    with pytest.raises(InputError, match="recorded numbers"):
        local_rank(logits, params=LocalRankParams(maximum_samples=3))
    monkeypatch.undo()
    monkeypatch.setattr(source, "MOST_OUTPUTS", 9)
    with pytest.raises(TooLarge, match="10 outputs"):
        local_rank(logits, params=LocalRankParams(maximum_samples=3))


def test_a_stored_tap_may_be_taken_as_jacobians(stores):
    found = local_rank(
        stores["digits-vit-patches"].activations("vit.layers.2"), params=LocalRankParams(stored=True)
    )
    assert any("stored Jacobian" in c for c in found.caveats)


# ---------------------------------------------------------------------------- bad input
def test_bad_input(rng):
    jacobians = rng.standard_normal((6, 4, 5))
    with pytest.raises(NotEnoughData):
        local_rank(tap(jacobians[:2]))
    with pytest.raises(InputError, match="are 0"):
        local_rank(tap(np.zeros((6, 4, 5))))
    holed = jacobians.copy()
    holed[2, 1, 0] = np.nan
    found = local_rank(tap(holed))
    assert found.estimates[0].n == 5
    assert any("5 of 6 samples" in c for c in found.caveats)
    holed[3] = 0
    assert any("1 Jacobian(s) are 0" in c for c in local_rank(tap(holed)).caveats)
    assert local_rank(tap(jacobians), params=LocalRankParams(maximum_samples=4)).estimates[0].n == 4


# ---------------------------------------------------------------------------- broken code
def _absolute(self, thresholds):
    return (self.values[:, :, None] > np.asarray(thresholds)).sum(axis=1)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (compute.LocalSpectrum, "counts", _absolute),
        (compute.np.linalg, "svd", lambda x, compute_uv=False: np.sort(np.linalg.norm(x, axis=1))[::-1]),
        (
            module,
            "gaussian_jacobians",
            lambda layer, draws, rng: layer.__class__(layer.values[:, :3], 3, 9, 1e-16, ()),
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
