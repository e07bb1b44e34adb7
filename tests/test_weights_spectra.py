"""Ranks of weights, updates by low rank and Kronecker products, merged updates: closed forms and dense second ways."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

import analysis
from analysis.compute.linear import weight_updates
from analysis.compute.linear.kronecker import (
    energy_within,
    factor_shapes,
    kronecker_singular_values,
    parameters_for,
    rearranged,
    term_cost,
)
from analysis.compute.linear.matrix_ranks import (
    ENTROPY,
    ENTROPY2,
    GAUSSIAN,
    HALF,
    MOST,
    MOVED,
    RANKS,
    RATIO,
    STABLE,
    break_even,
    null_singular_values,
    rank_numbers,
    saved,
    singular_values,
)
from analysis.compute.linear.weight_updates import intruders, random_update, top_overlap
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.weights import subspace_alignment_of_updates as sar_module
from analysis.methods.weights.subspace_alignment_of_updates import (
    ERROR,
    ISO,
    NORM,
    OTHERS,
    SubspaceAlignmentOfUpdatesParams,
    alignment,
    isotropic,
    leading,
    subspace_alignment_of_updates,
)
from analysis.methods.weights.update_energy import LOW_RANK, UpdateEnergyParams, update_energy
from analysis.methods.weights.weight_spectra import WeightSpectraParams, weight_spectra
from analysis.methods.weights.weight_spectrum import WeightSpectrumParams, weight_spectrum
from analysis.methods.weights.weight_update import WeightUpdateParams, weight_update
from analysis.registry import methods
from analysis.sources.layer_weights import layer_matrices

WORKSPACE = Path(__file__).parents[1] / "sample_data" / "workspace"
FEW = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def taps():
    workspace = analysis.open_workspace(WORKSPACE)
    names = (
        "digits-vit:vit.layers.2",
        "digits-vit-seed1:vit.layers.2",
        "digits-resnet:resnet.encoder.stages.0",
    )
    return [workspace.activations(name) for name in names]


def frame(rng, d: int, k: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, k)))[0]


def with_values(rng, m: int, n: int, values) -> np.ndarray:
    return frame(rng, m, len(values)) * np.asarray(values, float) @ frame(rng, n, len(values)).T


# ---------------------------------------------------------------------------- ranks of one matrix
@FEW
@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(1e-6, 1e6))
def test_every_rank_of_equal_singular_values_is_their_number(seed, k, scale):
    found = rank_numbers(singular_values(with_values(np.random.default_rng(seed), 9, 7, [scale] * k)))
    for name in RANKS[:5]:
        assert found[name] == pytest.approx(k, abs=1e-9)
    assert found[RATIO] == pytest.approx(np.sqrt(k), abs=1e-9)


@FEW
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_ranks_are_bounded_by_the_rank_and_ordered(seed, k):
    rng = np.random.default_rng(seed)
    sigma = singular_values(rng.standard_normal((9, k)) @ rng.standard_normal((k, 7)))
    found = rank_numbers(sigma)
    assert (sigma > 0).sum() == k
    assert 1 - 1e-9 <= found[STABLE] <= found[ENTROPY2] + 1e-9  # Rényi entropies fall with their order
    assert found[ENTROPY2] <= found[ENTROPY] + 1e-9 <= k + 2e-9
    assert found[HALF] <= found[MOST] <= k
    energy = np.cumsum(sigma**2) / (sigma**2).sum()
    assert energy[int(found[HALF]) - 1] >= 0.9 > (energy[int(found[HALF]) - 2] if found[HALF] > 1 else 0)


def test_entropies_of_sigma_and_its_square_differ():
    """Two values 2 and 1: p = 2/3 or 4/5."""
    found = rank_numbers(np.array([2.0, 1.0]))
    for name, p in ((ENTROPY, 2 / 3), (ENTROPY2, 4 / 5)):
        assert found[name] == pytest.approx(np.exp(-p * np.log(p) - (1 - p) * np.log(1 - p)), abs=1e-12)
    assert found[STABLE] == pytest.approx(1.25, abs=1e-12)


@pytest.mark.parametrize(("m", "n"), [(10, 30), (768, 3072), (5, 5)])
def test_factors_are_smaller_below_the_break_even_rank_only(m, n):
    line = break_even(m, n)
    for r in range(1, min(m, n) + 1):
        assert (r * (m + n) < m * n) == (r < line) == (saved(m, n, r) > 0)
        assert saved(m, n, r) == pytest.approx(1 - r * (m + n) / (m * n))


@pytest.mark.parametrize(("m", "n"), [(200, 100), (60, 240)])
def test_the_null_is_the_law_of_marchenko_and_pastur(rng, m, n):
    """Its edges and its mean; and the spectra of plainly drawn matrices as a second way."""
    weight = rng.standard_normal((m, n))
    drawn = null_singular_values(weight, GAUSSIAN, rng)
    scale = np.linalg.norm(weight) / np.sqrt(m * n)
    top = np.sqrt(m) + np.sqrt(n)
    bottom = abs(np.sqrt(m) - np.sqrt(n))
    assert drawn[:, 0].mean() / scale == pytest.approx(top, rel=0.03)
    assert drawn[:, -1].mean() / scale == pytest.approx(bottom, rel=0.1)
    np.testing.assert_allclose((drawn**2).sum(axis=1), np.linalg.norm(weight) ** 2, rtol=1e-9)
    plain = np.mean([np.linalg.svd(rng.standard_normal((m, n)), compute_uv=False) for _ in range(20)], axis=0)
    np.testing.assert_allclose(drawn.mean(axis=0) / scale, plain, rtol=0.03)


def test_moved_entries_keep_heavy_tails(rng):
    weight = rng.standard_t(2, (80, 50))
    moved, gaussian = (null_singular_values(weight, how, rng)[:, 0].mean() for how in (MOVED, GAUSSIAN))
    assert moved > 1.3 * gaussian
    energy = (null_singular_values(weight, MOVED, rng) ** 2).sum(axis=1)
    np.testing.assert_allclose(energy, (weight**2).sum(), rtol=1e-9)


def test_planted_directions_are_beyond_noise(rng):
    noise = rng.standard_normal((60, 120))
    weight = noise + 3 * (np.sqrt(60) + np.sqrt(120)) * with_values(rng, 60, 120, [1, 1, 1])
    assert weight_spectra(weight.T).columns["beyond noise"][0] == 3
    assert weight_spectra(noise.T).columns["beyond noise"][0] == 0
    found = weight_spectrum(weight.T)
    np.testing.assert_allclose(found.values, np.linalg.svd(weight, compute_uv=False), rtol=1e-12)
    assert (found.values[:3] > 1.5 * found.null[:3]).all()


def test_zeros_are_refused_and_zero_layers_have_no_rank():
    with pytest.raises(InputError, match="is 0"):
        weight_spectra(np.zeros((5, 4)))
    with pytest.raises(InputError, match="is 0"):
        weight_spectrum(np.zeros((5, 4)))
    assert set(rank_numbers(np.zeros(3)).values()) == {0.0}


# ---------------------------------------------------------------------------- checkpoints
def test_every_layer_of_a_checkpoint(taps):
    found = weight_spectra(taps[0]).columns
    network = layer_matrices([taps[0]])
    assert list(found["layer"]) == list(network.names)
    assert len(found["layer"]) == 26
    for i in (0, 3, 17):
        (weight,) = network.read(network.names[i])
        assert weight.shape == (found["units"][i], found["inputs"][i])
        s = np.linalg.svd(weight, compute_uv=False)
        assert found[STABLE][i] == pytest.approx((s**2).sum() / s[0] ** 2, rel=1e-9)
    some = weight_spectra(taps[0], params=WeightSpectraParams(layers="*.mlp.*, *intermediate.dense"))
    assert len(some.columns["layer"]) == 4
    with pytest.raises(NotFound, match="is called nothing"):
        weight_spectra(taps[0], params=WeightSpectraParams(layers="nothing"))
    with pytest.raises(ParameterError, match="fits 4 layers"):
        weight_spectrum(taps[0], params=WeightSpectrumParams(layer="*intermediate.dense"))


def test_checkpoints_are_matched_by_name_and_shape(taps):
    vit, other, resnet = taps
    read = layer_matrices([vit, other])
    assert len(read.names) == 26
    a, b = read.read(read.names[5])
    assert a.shape == b.shape
    assert not np.allclose(a, b)
    with pytest.raises(InputError, match="under its name and shape"):
        weight_update(vit, resnet)
    with pytest.raises(ParameterError, match="beside checkpoints"):
        weight_update(vit, np.eye(4))
    same = weight_update(vit, vit)
    assert "Nothing changed" in same.reading
    assert all(np.isfinite(v).all() for v in same.columns.values() if v.dtype.kind == "f")
    assert not same.columns["numbers, low rank"].any()
    assert not same.columns["numbers, Kronecker"].any()
    assert same.columns["rank"].sum() == 0


def test_a_tap_without_a_layer_names_some(taps):
    with pytest.raises(NotFound, match="one of vit"):
        weight_spectrum(taps[0])
    found = weight_spectrum(
        taps[0], params=WeightSpectrumParams(layer="vit.encoder.layer.1.intermediate.dense")
    )
    assert len(found.values) == 48
    energy = update_energy(
        *taps[:2], params=UpdateEnergyParams(layer="vit.encoder.layer.1.intermediate.dense")
    )
    assert "the cheapest of these is low rank" in energy.reading


def test_tables_lose_the_inputs_that_are_not_finite_in_one(rng):
    a, b = rng.standard_normal((2, 20, 6))
    full = weight_update(a[2:], b[2:]).columns
    a[0, 1], b[1, 2] = np.nan, np.inf
    found = weight_update(a, b)
    assert any("2 input(s) with NaN" in c for c in found.caveats)
    assert found.columns["relative size"][0] == pytest.approx(full["relative size"][0], rel=1e-12)
    with pytest.raises(InputError, match="tables of one shape"):
        weight_update(a, b[:, :5])
    with pytest.raises(NotEnoughData):
        weight_spectra(np.full((5, 3), np.nan))


# ---------------------------------------------------------------------------- Kronecker products
SHAPES = [(6, 8), (12, 18), (4, 4)]


@FEW
@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.integers(0, 20))
def test_a_kronecker_product_is_one_term_of_its_shape(seed, size, which):
    rng = np.random.default_rng(seed)
    shapes = factor_shapes(*size)
    a, b = shapes[which % len(shapes)]
    left, right = rng.standard_normal((a, b)), rng.standard_normal((size[0] // a, size[1] // b))
    product = np.kron(left, right)
    sigma = kronecker_singular_values(product, (a, b))
    assert sigma[0] == pytest.approx(np.linalg.norm(left) * np.linalg.norm(right), rel=1e-10)
    assert sigma[1:].max(initial=0) < 1e-10 * sigma[0]
    values = np.outer(np.linalg.svd(left, compute_uv=False), np.linalg.svd(right, compute_uv=False))
    own = np.linalg.svd(product, compute_uv=False)
    np.testing.assert_allclose(own[: values.size], np.sort(values.ravel())[::-1], atol=1e-10 * own[0])


@FEW
@given(st.integers(0, 10**6), st.sampled_from(SHAPES))
def test_rearranging_moves_entries_and_keeps_the_energy(seed, size):
    """Second way: the blocks of W, one after another."""
    w = np.random.default_rng(seed).standard_normal(size)
    for a, b in factor_shapes(*size):
        m, n = size[0] // a, size[1] // b
        blocks = [w[i * m : (i + 1) * m, j * n : (j + 1) * n].ravel() for i in range(a) for j in range(b)]
        np.testing.assert_array_equal(rearranged(w, (a, b)), np.array(blocks))
        assert (kronecker_singular_values(w, (a, b)) ** 2).sum() == pytest.approx((w**2).sum(), rel=1e-10)
    own = np.linalg.svd(w, compute_uv=False)
    np.testing.assert_allclose(kronecker_singular_values(w, (size[0], 1)), own, rtol=1e-10)


def test_shapes_are_all_but_the_trivial_ones_the_cheapest_first():
    shapes = factor_shapes(4, 6)
    assert set(shapes) == {(a, b) for a in (1, 2, 4) for b in (1, 2, 3, 6)} - {(1, 1), (4, 6), (4, 1), (1, 6)}
    costs = [term_cost(s, 4, 6) for s in shapes]
    assert costs == sorted(costs)
    assert costs[0] == 10  # 2 x 2 with 2 x 3, or 2 x 3 with 2 x 2
    assert factor_shapes(3, 5) == []


@FEW
@given(st.integers(0, 10**6), st.floats(0.05, 1.0))
def test_numbers_for_a_share_hold_it(seed, share):
    sigma = np.sort(np.random.default_rng(seed).random(12))[::-1]
    numbers = parameters_for(sigma, 7, share)
    held = energy_within(sigma, 7, np.array([numbers, numbers - 1, 0, 10**6]))
    assert held[0] >= share - 1e-9
    assert held[1] < share + 1e-9
    assert list(held[2:]) == [0, 1]
    assert parameters_for(np.zeros(4), 7, share) == 0


# ---------------------------------------------------------------------------- updates
@FEW
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_a_low_rank_update_has_that_rank(seed, r):
    rng = np.random.default_rng(seed)
    w0 = rng.standard_normal((12, 18))
    w1 = w0 + rng.standard_normal((12, r)) @ rng.standard_normal((r, 18))
    sigma = np.linalg.svd(w1 - w0, compute_uv=False)
    assert sigma[r] < 1e-12 * sigma[0]
    found = weight_update(w0.T, w1.T, params=WeightUpdateParams(energy=1.0)).columns
    assert found["rank"][0] == r
    assert found["numbers, low rank"][0] == r * 30
    assert found["relative size"][0] == pytest.approx(np.linalg.norm(w1 - w0) / np.linalg.norm(w0), rel=1e-9)
    assert found["low rank, null"][0] == 12 * 30


def test_overlap_is_that_of_principal_angles_and_chance_of_random_ones(rng):
    w0, update = rng.standard_normal((2, 30, 50))
    found = top_overlap(update, w0, 4)
    u, u0 = (np.linalg.svd(w)[0][:, :4] for w in (update, w0))
    assert found.left == pytest.approx((np.cos(subspace_angles(u, u0)) ** 2).mean(), abs=1e-9)
    drawn = [top_overlap(rng.standard_normal((30, 50)), w0, 4) for _ in range(300)]
    assert np.mean([d.left for d in drawn]) == pytest.approx(4 / 30, abs=0.01)
    assert np.mean([d.right for d in drawn]) == pytest.approx(4 / 50, abs=0.01)
    assert top_overlap(np.zeros((30, 50)), w0, 4) == weight_updates.Overlap(0.0, 0.0, 0.0, 0.0, 0)


def test_intruders_are_new_directions_of_the_tuned_matrix(rng):
    """A strong direction that lies evenly between all of the base's is one; the base's own are none."""
    u = frame(rng, 40, 40)
    w0 = u * np.linspace(2, 1, 40) @ frame(rng, 60, 40).T
    new = u @ np.ones(40) / np.sqrt(40)
    tuned = w0 + 50 * np.outer(new, frame(rng, 60, 1))
    assert intruders(w0, u, 8, 0.5) == 0
    assert intruders(tuned, u, 1, 0.5) == 1
    found = weight_update(w0.T, tuned.T, params=WeightUpdateParams(directions=1)).columns
    assert found["intruders"][0] == 1
    drawn = random_update(tuned - w0, rng)
    assert np.linalg.norm(drawn) == pytest.approx(np.linalg.norm(tuned - w0))


def test_scaling_both_checkpoints_changes_no_share(rng):
    w0, w1 = rng.standard_normal((2, 12, 16))
    one, two = (weight_update(c * w0, c * w1, rng=np.random.default_rng(0)).columns for c in (1.0, 1e-3))
    for name in ("relative size", STABLE, "numbers, Kronecker", "overlap, left", "intruders"):
        assert two[name][0] == pytest.approx(one[name][0], rel=1e-9)


def test_energy_curves_are_cumulative_sums(rng):
    w0, w1 = rng.standard_normal((2, 18, 12))
    found = update_energy(w0, w1, params=UpdateEnergyParams(shapes=18))
    sigma = np.linalg.svd(w1 - w0, compute_uv=False)
    share = np.cumsum(sigma**2) / (sigma**2).sum()
    for x, y in zip(found.x, found.series[LOW_RANK], strict=True):
        assert y == pytest.approx(0 if x < 30 else share[int(x // 30) - 1], abs=1e-12)
    for series in found.series.values():
        assert (np.diff(series) >= 0).all()
        assert series.max() <= 1 + 1e-12
    with pytest.raises(InputError, match="the same in both"):
        update_energy(w0, w0)


# ---------------------------------------------------------------------------- merged updates
def test_alignment_by_its_formula_and_its_limits(rng):
    a, b = rng.standard_normal((2, 20, 30))
    base = rng.standard_normal((20, 30))
    found = subspace_alignment_of_updates(base.T, (base + a).T, (base + b).T)
    u, s, _ = np.linalg.svd(a + b)
    errors = [np.sqrt((s[k:] ** 2).sum() / (s**2).sum()) for k in range(21)]
    k = next(k for k in range(21) if errors[k] <= 0.05)
    expected = [np.linalg.norm(u[:, :k] @ u[:, :k].T @ d) / np.linalg.norm(d) for d in (a, b)]
    np.testing.assert_allclose(found.values[:, 0], expected, atol=1e-10)
    np.testing.assert_allclose(found.null, np.sqrt(k / 20), atol=1e-12)
    scaled = subspace_alignment_of_updates(base.T, (base + 5 * a).T, (base + 5 * b).T)
    np.testing.assert_allclose(scaled.values, found.values, atol=1e-9)
    assert alignment(a, np.eye(20)) == pytest.approx(1, abs=1e-12)  # k is full


def test_an_unrelated_update_has_the_root_mean_square_of_chance(rng):
    basis = frame(rng, 24, 5)
    drawn = [alignment(rng.standard_normal((24, 7)), basis) ** 2 for _ in range(2000)]
    assert np.sqrt(np.mean(drawn)) == pytest.approx(np.sqrt(5 / 24), abs=0.005)


def test_identical_tasks_align_fully_and_disjoint_ones_by_size(rng):
    base, u = rng.standard_normal((16, 40)), frame(rng, 16, 16)
    one = u[:, :3] @ frame(rng, 40, 3).T
    two = u[:, 3:6] @ frame(rng, 40, 3).T
    same = subspace_alignment_of_updates(base.T, (base + one).T, (base + 3 * one).T)
    np.testing.assert_allclose(same.values, 1, atol=1e-12)
    apart = subspace_alignment_of_updates(
        base.T, (base + one).T, (base + two).T, params=SubspaceAlignmentOfUpdatesParams(merged=OTHERS)
    )
    np.testing.assert_allclose(apart.values, 0, atol=1e-10)
    both = subspace_alignment_of_updates(base.T, (base + one).T, (base + 0.01 * two).T)
    np.testing.assert_allclose(
        both.values[:, 0], [1, 0], atol=1e-2
    )  # the weak task is cut off the merged update


def test_flattening_keeps_the_nuclear_norm_and_lowers_the_other(rng):
    for _ in range(10):
        m = rng.standard_normal((9, 5)) * np.geomspace(1, 0.01, 5)
        flat = isotropic(m)
        s, t = (np.linalg.svd(x, compute_uv=False) for x in (m, flat))
        assert t.sum() == pytest.approx(s.sum(), rel=1e-10)
        assert np.linalg.norm(flat) < np.linalg.norm(m)
        assert leading(flat, ERROR).shape[1] == 5 >= leading(m, ERROR).shape[1] >= leading(m, NORM).shape[1]
    base, a, b = rng.standard_normal((3, 8, 20))
    a[4:], b[4:] = 0.0, 0.01 * b[4:]
    params = [SubspaceAlignmentOfUpdatesParams(merging=g) for g in ("sum", ISO)]
    plain, flat = (
        subspace_alignment_of_updates(base.T, (base + a).T, (base + b).T, params=p) for p in params
    )
    assert (flat.values >= plain.values - 1e-12).all()


def test_a_checkpoint_without_an_update_is_refused_and_layers_counted(taps, rng):
    base = rng.standard_normal((6, 8))
    with pytest.raises(InputError, match="differ from the base"):
        subspace_alignment_of_updates(base, base, base + 1)
    found = subspace_alignment_of_updates(taps[0], taps[1], taps[1])
    assert found.values.shape == (2, 26)
    np.testing.assert_allclose(found.values[0], found.values[1], atol=1e-12)
    assert len(set(found.row_names)) == 2


# ---------------------------------------------------------------------------- checks that fail on broken code
def wrong_edge(weight, null):
    return 0.5 * float(null.max())


spectra = "analysis.methods.weights.weight_spectra"
BROKEN = [
    ("weight_spectra", f"{spectra}.rank_numbers", lambda s: rank_numbers(s**2)),
    ("weight_spectra", f"{spectra}.noise_edge", wrong_edge),
    ("weight_spectra", f"{spectra}.break_even", lambda m, n: m * n / max(m, n)),
    ("weight_spectrum", "analysis.methods.weights.weight_spectrum.noise_edge", wrong_edge),
    ("weight_spectrum", "analysis.methods.weights.weight_spectrum.singular_values", lambda w: singular_values(w) ** 2),
    ("weight_update", "analysis.methods.weights.weight_update.top_overlap",
     lambda u, b, k: top_overlap(u, np.roll(b, 1, axis=0), k)),
    ("weight_update", "analysis.compute.linear.kronecker.rearranged",
     lambda w, s: w.reshape(s[0] * s[1], -1)),
    ("weight_update", "analysis.methods.weights.weight_update.intruders", lambda *a: 3),
    ("update_energy", "analysis.compute.linear.kronecker.rearranged", lambda w, s: w.reshape(s[0] * s[1], -1)),
    ("update_energy", "analysis.methods.weights.update_energy.parameters_for", lambda s, c, e: len(s) * c),
    ("subspace_alignment_of_updates", f"{sar_module.__name__}.leading",
     lambda m, rule: np.linalg.svd(m)[0][:, -5:]),
    ("subspace_alignment_of_updates", f"{sar_module.__name__}.isotropic", lambda m: 1.1 * isotropic(m)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_checks_fail_on_broken_code(monkeypatch, method, target, broken):
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in methods()[method].check())
