"""Mixers of tokens as matrices: closed forms, and the recurrences that they unroll."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from analysis.errors import InputError, ShapeError
from analysis.tokens.mixers import convolution as conv
from analysis.tokens.mixers import linear_attention as linear
from analysis.tokens.mixers import measures, routes, ssm
from analysis.tokens.mixers.hidden_attention import Selective, hidden_attention, scanned
from analysis.tokens.mixers.signatures import levy_area, product, signature

T, N = 24, 8


def state_space(rng, channels=3, modes=4) -> ssm.StateSpace:
    a = -rng.uniform(0.1, 2, (channels, modes)) + 1j * rng.uniform(0, 9, (channels, modes))
    b, c = rng.standard_normal((2, channels, modes)) + 1j * rng.standard_normal((2, channels, modes))
    return ssm.StateSpace("s4d", a, b, c, rng.uniform(0.02, 0.2, channels), rng.standard_normal(channels))


def selective(rng, constant=False, wide=False) -> Selective:
    step = rng.uniform(0.05, 1.0, (T, 3))
    shape = (T, 3, N) if wide else (T, N)
    b, c = rng.standard_normal((2, *shape))
    if constant:
        step, b, c = (np.broadcast_to(x[:1], x.shape) for x in (step, b, c))
    a = -np.exp(rng.standard_normal((3, N)))
    return Selective(rng.standard_normal((T, 3)), step, a, b, c, rng.standard_normal(3))


# ---------------------------------------------------------------------------- state spaces
@pytest.mark.parametrize("way", ssm.WAYS)
def test_convolution_with_the_kernel_is_the_recurrence(way, rng):
    space, u = state_space(rng), rng.standard_normal((T, 3))
    found = ssm.kernel(space, T, way)
    for h in range(3):
        y = conv.causal_matrix(found[h], T) @ u[:, h] + space.skip[h] * u[:, h]
        np.testing.assert_allclose(y, ssm.recurrence(space, u, way)[:, h], atol=1e-12)


def test_zero_order_hold_is_exact_for_a_constant_input_and_bilinear_comes_near(rng):
    """Second implementation: the differential equation of a held input, by a matrix exponential."""
    from scipy.linalg import expm

    space = state_space(rng)
    turn, into = ssm.discrete(space)
    h, n = 1, 2
    block = np.array([[space.a[h, n], space.b[h, n]], [0, 0]]) * space.step[h]
    whole = expm(block)
    np.testing.assert_allclose([turn[h, n], into[h, n]], whole[0], atol=1e-13)
    fine = replace(space, step=space.step / 1000)
    np.testing.assert_allclose(*(ssm.discrete(fine, way)[0] for way in ssm.WAYS), atol=1e-6)


def test_kernel_does_not_change_with_the_order_of_modes_or_a_conjugate(rng):
    space = state_space(rng)
    other = [x[:, ::-1].copy() for x in (space.a, space.b, space.c)]
    for x in other:
        x[:, 1] = x[:, 1].conj()
    swapped = replace(space, a=other[0], b=other[1], c=other[2])
    np.testing.assert_allclose(ssm.kernel(space, 9), ssm.kernel(swapped, 9), atol=1e-12)
    family, drift = ssm.nearest_start(ssm.started(ssm.LIN, 4)[None, ::-1].conj())
    assert family == ssm.LIN
    np.testing.assert_allclose(drift, 0, atol=1e-12)


def test_doubling_the_step_halves_the_half_life_and_stability_is_a_negative_real_part(rng):
    space = state_space(rng)
    double = replace(space, step=2 * space.step)
    np.testing.assert_allclose(ssm.half_lives(double), ssm.half_lives(space) / 2, rtol=1e-12)
    turn = np.abs(ssm.discrete(space)[0])
    np.testing.assert_allclose(turn ** ssm.half_lives(space), 0.5, rtol=1e-12)
    space.a[0, 0] = 0.1 + 1j
    assert np.isinf(ssm.half_lives(space)[0, 0])
    np.testing.assert_array_equal(np.abs(ssm.discrete(space)[0]) < 1, space.a.real < 0)


def test_families_that_modes_start_from():
    np.testing.assert_allclose(np.sort(np.linalg.eigvals(ssm.legs(6)).real), -np.arange(6, 0, -1), atol=1e-8)
    normal = ssm.normal_legs(64)
    np.testing.assert_allclose(normal + normal.T, -np.eye(64), atol=1e-12)  # so that all real parts are -1/2
    assert ssm.started(ssm.LEGS, 32).imag.max() == pytest.approx(1303.3, abs=0.05)
    np.testing.assert_allclose(ssm.started(ssm.LIN, 3), -0.5 + 1j * np.pi * np.arange(3))
    inverse = [8 / np.pi * (8 / (2 * n + 1) - 1) for n in (3, 2, 1, 0)]
    np.testing.assert_allclose(ssm.started(ssm.INV, 4), -0.5 + 1j * np.array(inverse))
    np.testing.assert_allclose(ssm.started(ssm.REAL, 3), [-1, -2, -3])


def test_a_layer_is_read_from_its_keys(rng):
    space = state_space(rng)
    pair = np.stack([space.c.real, space.c.imag], axis=-1)
    given = {"log_dt": np.log(space.step), "log_A_real": np.log(-space.a.real), "A_imag": space.a.imag, "C": pair,
             "D": space.skip}  # fmt: skip
    read = ssm.from_weights("s4d", given)
    ones = replace(space, b=np.ones_like(space.b))
    np.testing.assert_allclose(ssm.kernel(read, 9), ssm.kernel(ones, 9), atol=1e-12)
    with pytest.raises(InputError, match="without C"):
        ssm.from_weights("s4d", {k: v for k, v in given.items() if k != "C"})
    with pytest.raises(ShapeError):
        ssm.from_weights("s4d", given | {"log_dt": np.zeros(2)})


# ---------------------------------------------------------------------------- hidden attention
@pytest.mark.parametrize("wide", [False, True])
def test_hidden_attention_is_the_scan(wide, rng):
    scan = selective(rng, wide=wide)
    m = hidden_attention(scan, np.arange(3))
    y = np.stack([m[h] @ scan.u[:, h] for h in range(3)], axis=1) + scan.skip * scan.u
    np.testing.assert_allclose(y, scanned(scan), atol=1e-12)
    assert not np.triu(m, 1).any()
    assert max(measures.semiseparable_rank(x, 1e-10) for x in m) == N
    slow = replace(scan, a=scan.a[:, :1])  # one rate for all states, as in Mamba2
    y = hidden_attention(slow, np.array([1]))[0] @ scan.u[:, 1]
    np.testing.assert_allclose(y, scanned(slow, skip=False)[:, 1], atol=1e-12)


def test_constant_parameters_make_a_toeplitz_matrix(rng):
    for constant, expected in ((True, 1.0), (False, 0.9)):
        score, chance = measures.toeplitz_score(hidden_attention(selective(rng, constant), np.array([0]))[0])
        assert (score > 1 - 1e-12) is constant
        assert score <= expected + 1e-12
        assert chance == pytest.approx((T - 1) / (T * (T + 1) / 2 - 1))


# ---------------------------------------------------------------------------- measures
def test_half_life_of_a_power_and_of_a_uniform_matrix():
    m = conv.causal_matrix(0.8 ** np.arange(400), 400)
    assert measures.half_life(m) == pytest.approx(np.log(2) / -np.log(0.8), rel=1e-9)
    twice = conv.causal_matrix(0.8 ** (2 * np.arange(400)), 400)
    assert measures.half_life(twice) == pytest.approx(measures.half_life(m) / 2, rel=1e-9)
    assert measures.half_life(np.tril(np.ones((40, 40)))) == pytest.approx(20)
    assert np.isnan(measures.half_life(np.zeros((4, 4))))


def test_toeplitz_score_by_chance_is_the_closed_form(rng):
    x = np.tril(np.exp(rng.standard_normal((12, 12))))
    there = np.tril_indices(12)
    found = []
    for _ in range(300):
        y = np.zeros((12, 12))
        y[there] = rng.permutation(x[there])
        found.append(measures.toeplitz_score(y)[0])
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - measures.toeplitz_score(x)[1]) < 4 * error


def test_rank_of_unrelated_entries_is_half_the_tokens(rng):
    assert measures.semiseparable_rank(rng.standard_normal((20, 20)), 1e-9) == 10
    assert measures.semiseparable_rank(np.eye(20)) == 0
    assert measures.effective_rank(np.eye(7)) == pytest.approx(7)


def test_distance_on_the_grid_and_rows_that_are_no_shares():
    far = measures.grid_distances(np.array([-1, 0, 1, 2, 3]), 2)
    assert np.isnan(far[0]).all()
    assert far[1, 4] == pytest.approx(np.sqrt(2))
    assert measures.mean_distance(np.eye(5), far)[0] == 0
    assert measures.mean_distance(np.ones((5, 5)), far) == pytest.approx([(8 + 4 * np.sqrt(2)) / 16] * 2)
    assert measures.mean_distance(np.tril(np.ones((5, 5))), far) == pytest.approx(
        [(4 + 2 * np.sqrt(2)) / 10] * 2
    )
    assert measures.row_faults(np.array([[1.5, -0.5], [0.5, 0.0]])) == pytest.approx((0.5, 0.2))


# ---------------------------------------------------------------------------- convolution and local attention
def test_plane_recurrence_answers_with_binomials(rng):
    a, b, grid = 0.3, 0.5, (5, 6)
    np.testing.assert_allclose(
        conv.two_axis_response(a, b, grid),
        [[comb(i + j, i) * a**i * b**j for j in range(6)] for i in range(5)], rtol=1e-12,
    )  # fmt: skip
    x, h = rng.standard_normal(grid), np.zeros(grid)
    for i in range(5):
        for j in range(6):
            h[i, j] = x[i, j] + (a * h[i - 1, j] if i else 0) + (b * h[i, j - 1] if j else 0)
    m = conv.two_axis_matrix(a, b, grid)
    np.testing.assert_allclose(m @ x.ravel(), h.ravel(), atol=1e-12)
    assert not m[7, 8:].any()  # causal quadrant
    assert m[2 * 6 + 0, 1 * 6 + 1] == 0


def test_filter_on_a_grid_is_scipys_correlation(rng):
    from scipy.ndimage import correlate

    w, x = rng.standard_normal((3, 3)), rng.standard_normal((5, 4))
    np.testing.assert_allclose(
        conv.grid_matrix(w, (5, 4)) @ x.ravel(), correlate(x, w, mode="constant").ravel(), atol=1e-12
    )
    wide = np.zeros((5, 5))
    wide[::2, ::2] = w
    np.testing.assert_allclose(conv.grid_matrix(w, (7, 6), 2), conv.grid_matrix(wide, (7, 6)))


def test_neighbourhood_attention_expands_to_its_span(rng):
    local = rng.dirichlet(np.ones(9), (7, 7))
    m = conv.expanded(local, dilation=2)
    np.testing.assert_allclose(m.sum(axis=1), 1, rtol=1e-12)
    rows = np.divmod(np.flatnonzero(m[3 * 7 + 3]), 7)
    assert np.ptp(rows[0]) + 1 == 2 * (3 - 1) + 1
    assert (np.count_nonzero(m, axis=1) == 9).all()
    with pytest.raises(ShapeError):
        conv.expanded(local, dilation=4)


# ---------------------------------------------------------------------------- kernels and products
def test_linear_attention_is_its_recurrence_and_of_low_rank(rng):
    q, k, v = rng.standard_normal((3, T, 4))
    m = linear.attention_of(q, k, linear.LINEAR, causal=True)
    top, low = np.zeros((4, 4)), np.zeros(4)
    for t in range(T):
        top += np.outer(linear.feature(k[t]), v[t])
        low += linear.feature(k[t])
        f = linear.feature(q[t])
        np.testing.assert_allclose(m[t] @ v, f @ top / (f @ low), atol=1e-12)
    assert measures.semiseparable_rank(m, 1e-10) <= 4
    np.testing.assert_allclose(linear.attention_of(q, k, linear.SOFTMAX).sum(axis=1), 1)


def test_gaussian_kernel_and_its_landmarks(rng):
    q = rng.standard_normal((T, 3))
    g = linear.attention_of(q, q, linear.GAUSSIAN)
    np.testing.assert_allclose(g, g.T)
    np.testing.assert_allclose(np.diag(g), 1)
    assert np.linalg.eigvalsh(g).min() > -1e-10
    low = q @ q.T
    assert linear.nystroem_error(low, np.arange(3)) < 1e-9
    assert linear.nystroem_error(low, np.arange(2)) > 1e-2
    a = g + np.eye(T)
    np.testing.assert_allclose(linear.newton_schulz(a, 40) @ a, np.eye(T), atol=1e-8)
    with pytest.raises(InputError, match="below 1"):
        linear.newton_schulz(a, 3, start=3 * np.eye(T))


def test_fourier_map_gives_what_it_is_given(rng):
    """Coefficients of exp on [-pi, pi] reproduce softmax; rows are not made to sum to 1 by the map."""
    z = rng.uniform(-1.5, 1.5, (6, 6))
    m = np.arange(24)
    at = np.linspace(-2.0, 2.0, 400)
    design = np.concatenate([np.cos(at[:, None] * m), np.sin(at[:, None] * m)], axis=1)
    found = np.linalg.lstsq(design, np.exp(at), rcond=None)[0]
    w = linear.fourier_attention(z, found[:24], found[24:])
    soft = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(w / w.sum(axis=1, keepdims=True), soft, atol=1e-8)
    assert measures.row_faults(w)[0] > 1


def test_axial_and_kronecker_maps_keep_rows(rng):
    rows, columns = rng.dirichlet(np.ones(4), (3, 4)), rng.dirichlet(np.ones(3), (4, 3))
    m = linear.axial(rows, columns)
    np.testing.assert_allclose(m.sum(axis=1), 1)
    assert (m > 0).all()  # two hops reach every cell
    x = rng.standard_normal((3, 4))
    after_rows = np.stack([rows[i] @ x[i] for i in range(3)])
    after = np.stack([columns[j] @ after_rows[:, j] for j in range(4)], axis=1)
    np.testing.assert_allclose(m @ x.ravel(), after.ravel(), atol=1e-12)
    both = np.kron(rows[0], columns[0])
    np.testing.assert_allclose(both.sum(axis=1), 1)
    np.testing.assert_allclose(np.kron(np.eye(1), columns[0]), columns[0])


def test_reduced_keys_tile_the_image(rng):
    cells = linear.strip_cells((6, 4), (3, 2))
    assert (np.bincount(cells) == 4).all()
    a = rng.dirichlet(np.ones(6), 24)
    m = linear.squared(a, cells)
    assert m.shape == (24, 24)
    np.testing.assert_allclose(m.sum(axis=1), 1)
    np.testing.assert_array_equal(linear.squared(m, linear.strip_cells((6, 4), (6, 4))), m)  # nothing reduced
    with pytest.raises(ShapeError):
        linear.strip_cells((6, 4), (4, 2))


# ---------------------------------------------------------------------------- routes
def test_a_route_and_its_way_back_are_the_identity(rng):
    grid = (4, 3)
    found = routes.several(grid)
    assert len(found) == 8
    for order in found.values():
        np.testing.assert_array_equal(np.sort(order), np.arange(12))
        np.testing.assert_array_equal(order[routes.inverse(order)], np.arange(12))
    np.testing.assert_array_equal(found["snake"][:7], [0, 1, 2, 5, 4, 3, 6])
    np.testing.assert_array_equal(found["diagonal"][:6], [0, 1, 3, 2, 4, 6])
    m, x = rng.standard_normal((12, 12)), rng.standard_normal(12)
    order = found["column"]
    there = np.empty(12)
    there[order] = m @ x[order]
    np.testing.assert_allclose(routes.folded(m, order) @ x, there)
    assert len(routes.several((1, 5))) == 2


# ---------------------------------------------------------------------------- path signatures
def test_signature_of_a_segment_of_parts_and_of_a_square(rng):
    v = rng.standard_normal(3)
    one = signature(np.stack([0 * v, v]), 3)
    np.testing.assert_allclose(one[1], np.outer(v, v) / 2, atol=1e-14)
    np.testing.assert_allclose(one[2], np.einsum("i,j,k->ijk", v, v, v) / 6, atol=1e-14)
    path = rng.standard_normal((9, 3))
    whole = signature(path, 3)
    parts = product(signature(path[:5], 3), signature(path[4:], 3))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)
    np.testing.assert_allclose(whole[1] + whole[1].T, np.outer(whole[0], whole[0]), atol=1e-12)
    slow = signature(np.repeat(path, 3, axis=0), 3)
    np.testing.assert_allclose(slow[2], whole[2], atol=1e-12)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], float)
    assert levy_area(signature(square, 2), 0, 1) == pytest.approx(1)
    with pytest.raises(InputError, match="numbers"):
        signature(rng.standard_normal((3, 40)), 6)


# ---------------------------------------------------------------------------- networks
def mamba(kind: str):
    torch = pytest.importorskip("torch")
    t = pytest.importorskip("transformers")
    torch.manual_seed(0)
    common = dict(vocab_size=30, hidden_size=16, num_hidden_layers=2, state_size=4, bos_token_id=0, eos_token_id=0,
                  pad_token_id=0)  # fmt: skip
    if kind == "mamba":
        model = t.MambaForCausalLM(t.MambaConfig(**common)).eval()
    else:
        config = t.Mamba2Config(**common, num_heads=4, head_dim=8, expand=2, n_groups=2, chunk_size=8)
        model = t.Mamba2ForCausalLM(config).eval()
    for name, p in model.named_parameters():  # fresh ones mix next to nothing
        if name.endswith(("in_proj.weight", "x_proj.weight")):
            torch.nn.init.normal_(p, std=0.3)
    return model


class Texts:
    def items(self, start, stop):
        return [np.arange(1, 20) * (i + 1) % 30 for i in range(start, stop)]


def opened(kind: str):
    from analysis.sources.loaded_model import LoadedModel
    from analysis.tokens.mixers.reading import of_scans

    model = mamba(kind)
    torch = pytest.importorskip("torch")
    loaded = LoadedModel(
        model, "text", lambda items: {"input_ids": torch.tensor(np.stack(items))}, causal=True
    )
    return model, of_scans(loaded, Texts(), np.arange(3), (), 16)


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_scans_of_a_network_are_read_and_checked_on_what_it_passes_on(kind):
    model, found = opened(kind)
    hooks = sum(len(m._forward_pre_hooks) for m in model.modules())
    one = found.read(1)
    assert len(found.layers) == len(one.heads) == 2
    assert one.tokens == 19
    m = one.matrix(1, 3)
    assert measures.is_causal(m)
    assert measures.semiseparable_rank(m, 1e-7) <= 4
    assert np.abs(m).max() > 0
    for layer in (0, 1):  # all channels of both layers are what the mixer passes on
        assert one.give(layer, np.arange(one.heads[layer])).shape == (one.heads[layer], 19, 19)
    assert sum(len(m._forward_pre_hooks) for m in model.modules()) == hooks


def test_a_scan_that_is_not_what_the_mixer_does_is_refused():
    model, found = opened("mamba")
    torch = pytest.importorskip("torch")
    mixer = model.backbone.layers[0].mixer
    own = mixer.dt_proj.forward
    mixer.dt_proj.forward = lambda x: own(x) + 1.0  # what the mixer does not ask for in its own pass
    with torch.no_grad():
        one = found.read(0)
    with pytest.raises(InputError, match="unrolled"):
        one.matrix(0, 0)
    assert one.matrix(1, 0).shape == (19, 19)


def test_bilinear_steps_are_the_trapezoid_rule(rng):
    """Second implementation: h' - h = Δ/2 (A h' + A h) + Δ B u of a held input, solved for h'."""
    space = state_space(rng)
    turn, into = ssm.discrete(space, ssm.BILINEAR)
    h = rng.standard_normal(space.a.shape) + 1j * rng.standard_normal(space.a.shape)
    step, u = space.step[:, None], 0.7
    behind = turn * h + into * u
    np.testing.assert_allclose(behind - h, step / 2 * space.a * (behind + h) + step * space.b * u, atol=1e-12)


@pytest.mark.parametrize("grid", [(3, 5), (4, 4), (1, 6)])
def test_what_goes_by_rows_and_columns_apart_is_all_toeplitz_on_its_grid(grid, rng):
    """Any number for each offset, rows and columns apart, is told by it whole; along a line it is not."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    table = rng.standard_normal((2 * grid[0], 2 * grid[1]))
    m = table[rows[:, None] - rows[None], columns[:, None] - columns[None]]
    score, chance = measures.toeplitz_score(m, np.arange(len(m)), grid[1])
    assert score == pytest.approx(1, abs=1e-12)
    offsets = (2 * grid[0] - 1) * (2 * grid[1] - 1)
    assert chance == pytest.approx((offsets - 1) / (m.size - 1), abs=1e-12)
    assert (measures.toeplitz_score(m)[0] < 0.99) == (grid[0] > 1)
