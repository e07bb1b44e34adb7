"""Edges of Kolmogorov-Arnold layers: bases in closed form and by SciPy, layers as checkpoints hold them, formulas,
idle edges. The answer of a whole layer is computed a second time, by SciPy's splines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.special import eval_chebyt, expit

from analysis.activations import ArrayActivations
from analysis.errors import InputError, NotFound
from analysis.methods.tokens.kan_edges import KanEdgesParams, idle_edges, kan_edges
from analysis.methods.tokens.kan_functions import OUTSIDE, KanFunctionsParams, kan_functions
from analysis.sources.checkpoint import open_checkpoint
from analysis.tokens.kan import bases
from analysis.tokens.kan.layer import EdgeLayer, Family, measured, quantile_points
from analysis.tokens.kan.reading import layers_of
from analysis.tokens.kan.symbols import suggested

O, I, G, P = 3, 4, 5, 3  # nodes, inputs, intervals, order  # noqa: E741


@pytest.fixture
def spline_state(rng) -> dict[str, np.ndarray]:
    """The tensors of one spline layer with a base, as float32."""
    grid = np.tile(bases.even_knots(-1.0, 1.0, G, P), (I, 1))
    made = {
        "kan.grid": grid,
        "kan.spline_weight": rng.standard_normal((O, I, G + P)),
        "kan.spline_scaler": rng.standard_normal((O, I)),
        "kan.base_weight": rng.standard_normal((O, I)),
    }
    return {k: v.astype(np.float32) for k, v in made.items()}


class Weights:
    """A checkpoint in memory."""

    def __init__(self, state):
        self.state, self.shapes = state, {k: v.shape for k, v in state.items()}

    def tensor(self, key):
        return self.state[key].astype(np.float64)


def stored(state, folder, x, **more):
    """A tap whose manifest names a file with these tensors."""
    from safetensors.numpy import save_file

    path = folder / "kan.safetensors"
    save_file(state, path)
    tap = ArrayActivations(x, "s:kan", **more)
    entry = {"path": str(path), "digest": open_checkpoint(path).digest}
    object.__setattr__(tap, "store", SimpleNamespace(manifest={"checkpoint": entry}))
    return tap


# ---------------------------------------------------------------------------- bases
def test_splines_are_those_of_scipy_and_add_up_to_one_inside_the_grid():
    knots = bases.even_knots(-2.0, 1.0, 6, 3)
    x = np.linspace(-1.999, 0.999, 101)
    found = bases.b_splines(x, knots, 3)
    own = np.array([BSpline.basis_element(knots[i : i + 5], extrapolate=False)(x) for i in range(9)]).T
    np.testing.assert_allclose(found, np.nan_to_num(own), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert (bases.b_splines(np.array([-10.0, 10.0]), knots, 3) == 0).all()


def test_chebyshev_is_that_of_scipy_at_tanh_and_waves_are_orthogonal():
    x = np.linspace(-3, 3, 41)
    own = np.array([eval_chebyt(k, np.tanh(x)) for k in range(6)]).T
    np.testing.assert_allclose(bases.chebyshev(x, 6), own, atol=1e-12)
    angle = -np.pi + 2 * np.pi * np.arange(64) / 64
    waves = bases.fourier(angle, 8)
    np.testing.assert_allclose(waves.T @ waves / 32, np.eye(8), atol=1e-12)


# ---------------------------------------------------------------------------- layers of checkpoints
def test_the_sum_of_the_edges_is_the_answer_of_the_layer(spline_state, rng):
    layer = layers_of(Weights(spline_state), I)["kan"]
    x = rng.uniform(-0.99, 0.99, (20, I))
    state = {k.removeprefix("kan."): v.astype(np.float64) for k, v in spline_state.items()}
    each = [[BSpline.basis_element(state["grid"][i, j : j + P + 2], False)(x[:, i]) for j in range(G + P)]
            for i in range(I)]  # fmt: skip
    spline = np.einsum("ikn,oik,oi->no", np.nan_to_num(each), state["spline_weight"], state["spline_scaler"])
    base = (x * expit(x)) @ state["base_weight"].T
    own = sum(layer.edges(x[:, i], i) for i in range(I))
    np.testing.assert_allclose(own, spline + base, atol=1e-10)


def test_the_other_way_of_naming_a_layer_is_the_same_layer(spline_state):
    other = {
        "act.grid": spline_state["kan.grid"],
        "act.coef": spline_state["kan.spline_weight"].transpose(1, 0, 2),
        "act.scale_sp": spline_state["kan.spline_scaler"].T,
        "act.scale_base": spline_state["kan.base_weight"].T,
        "act.mask": np.ones((I, O), np.float32),
    }
    a, b = layers_of(Weights(spline_state), I)["kan"], layers_of(Weights(other), I)["act"]
    x = np.linspace(-0.9, 0.9, 7)
    np.testing.assert_allclose(a.edges(x, 2), b.edges(x, 2), atol=1e-12)
    other["act.mask"][2] = 0
    assert (layers_of(Weights(other), I)["act"].edges(x, 2) == 0).all()


def test_a_selection_weighs_families_of_the_modules_under_it(spline_state, rng):
    state = {f"block.{k}": v for k, v in spline_state.items() if "base" not in k and "scaler" not in k}
    state["block.cheby.cheby_coeffs"] = rng.standard_normal((I, O, 4)).astype(np.float32)
    one = np.zeros((O, I, 2), np.float32)
    one[..., 1] = 1.0
    chosen = layers_of(Weights(state | {"block.selection": one}), I)["block"]
    alone = layers_of(Weights({"c.cheby_coeffs": state["block.cheby.cheby_coeffs"]}), I)["c"]
    x = np.linspace(-0.9, 0.9, 7)
    np.testing.assert_allclose(chosen.edges(x, 1), alone.edges(x, 1), atol=1e-12)
    found = measured(chosen, quantile_points(rng.uniform(-1, 1, (50, I))))
    assert (found.entropy == 0).all()
    soft = layers_of(Weights(state | {"block.selection": np.zeros(2, np.float32)}), I)["block"]
    found = measured(soft, quantile_points(rng.uniform(-1, 1, (50, I))))
    np.testing.assert_allclose(found.entropy, np.log(2), atol=1e-12)


def test_positions_of_a_kernel_have_edges_of_their_own(spline_state, rng):
    state = {"conv.grid": spline_state["kan.grid"][:1],
             "conv.spline_weight": rng.standard_normal((2, 3, 2, 2, G + P)).astype(np.float32)}  # fmt: skip
    layer = layers_of(Weights(state), 3)["conv"]
    assert (layer.inputs, layer.positions) == (12, 4)
    np.testing.assert_array_equal(
        layer.families[0].coefficients[1, 7], state["conv.spline_weight"][1, 1, 1, 1].astype(float)
    )


# ---------------------------------------------------------------------------- the methods on a stored tap
def test_functions_are_those_of_the_file_and_the_plane_beyond_the_grid_is_marked(spline_state, rng, tmp_path):
    x = rng.uniform(-1.5, 1.5, (200, I))
    tap = stored(spline_state, tmp_path, x)
    found = kan_functions(tap, KanFunctionsParams(node=2, draws=9))
    assert "node 2" in found.title
    layer = layers_of(Weights(spline_state), I)["kan"]
    for i in range(I):
        own = layer.edges(found.x, i)[:, 1]  # one grid for all: inputs as they are
        np.testing.assert_allclose(np.diff(found.series[str(i)]), np.diff(own), atol=1e-10)
    beyond = found.high[OUTSIDE] > found.low[OUTSIDE]
    np.testing.assert_array_equal(beyond, (found.x < -1) | (found.x >= np.float32(1.0)))
    outside = found.estimates[-1]
    assert outside.value == pytest.approx((np.abs(x) > 1).mean(), abs=0.01)
    each = measured(layer, quantile_points(x)).outside
    np.testing.assert_allclose(each, (np.abs(x) > 1).mean(axis=0), atol=1 / 64)
    assert not any("No layer of edges" in c for c in found.caveats)
    with pytest.raises(NotFound, match="1 to 3"):
        kan_functions(tap, KanFunctionsParams(node=4, draws=9))
    with pytest.raises(NotFound, match="kan"):
        kan_functions(tap, KanFunctionsParams(layer="other", draws=9))
    with pytest.raises(InputError, match="4 inputs"):
        kan_functions(stored(spline_state, tmp_path, x[:, :3]), KanFunctionsParams(draws=9))


def test_an_idle_edge_is_found_and_leaving_it_out_costs_its_variance_alone(spline_state, rng, tmp_path):
    state = dict(spline_state)
    state["kan.spline_weight"][:, 2], state["kan.base_weight"][:, 2] = 0.7, 0.0  # constant inside the grid
    found = kan_edges(stored(state, tmp_path, rng.uniform(-0.9, 0.9, (200, I))), KanEdgesParams(draws=5))
    idle = {
        str(e).partition(" ")[0]
        for e, gone in zip(found.columns["edge"], found.columns["idle"], strict=True)
        if gone
    }
    assert idle == {"2"}
    by = {e.name: e for e in found.estimates}
    assert by["idle edges"].value == pytest.approx(1 / I)
    assert by["lost without idle edges"].value < 1e-12
    assert set(found.columns["formula"][found.columns["idle"]]) == {"constant"}


def test_formulas_of_known_functions_and_their_null(rng):
    x = np.sort(rng.uniform(-2, 3, 64))
    made = {
        "exponential": np.exp(0.8 * x),
        "cube": (x - 1) ** 3,
        "bump": np.exp(-2.56 * (x - 0.5) ** 2),
        "line": 3 * x,
    }
    names, fit = suggested(x, np.column_stack(list(made.values())))
    assert list(names) == list(made)
    assert (fit > 0.99).all()
    noise = suggested(x, rng.standard_normal((64, 50)))[1]
    assert noise.mean() < 0.3


def test_coefficients_in_random_order_are_the_same_numbers(rng):
    layer = EdgeLayer("l", (Family("B-spline", rng.standard_normal((2, 3, 4)), None),), None)
    other = layer.exchanged(rng).families[0].coefficients
    np.testing.assert_array_equal(np.sort(other.ravel()), np.sort(layer.families[0].coefficients.ravel()))
    assert (other != layer.families[0].coefficients).any()


def test_idle_is_judged_by_the_node_and_not_by_the_layer():
    own = SimpleNamespace(deviation=np.array([[1.0, 0.04], [0.001, 0.001]]))
    np.testing.assert_array_equal(idle_edges(own, 0.05), [[False, True], [False, False]])
