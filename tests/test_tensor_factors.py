"""CP and Tucker factors: planted ones, two other ways to the same numbers, smooth profiles, blocks of taps, and the
feature sets that are made of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from analysis.activations import ArrayActivations, Layout
from analysis.compute.tensors.blocks import REFUSE, token_block
from analysis.compute.tensors.cp import Components, core_consistency, cp, kruskal_rank, worst_cancelling
from analysis.compute.tensors.products import mixed_along_samples, mode_spectra, summed, times, unfolded
from analysis.compute.tensors.smoothing import FAR, chosen_smoothness, foretold, kernel, smoothed
from analysis.compute.tensors.tucker import higher_order_svd, tucker
from analysis.errors import InputError, NotEnoughData, ParameterError, ShapeError
from analysis.features.classical.making import make
from analysis.features.row_stream import held_out_rows
from analysis.methods.dictionaries.tensor_components import TensorComponentsParams, tensor_components
from analysis.methods.dictionaries.tensor_number import TensorNumberParams, tensor_number
from analysis.methods.dictionaries.tensor_profiles import TensorProfilesParams, _in_order, tensor_profiles
from analysis.methods.dictionaries.tucker_core import tucker_core
from analysis.store.from_arrays import write_store


def planted(shape, k, seed=0, noise=0.0, positive=False):
    """(factors, array): k components whose factors are independent."""
    rng = np.random.default_rng(seed)
    factors = [rng.standard_normal((size, k)) for size in shape]
    factors = [np.abs(f) * (rng.random(f.shape) < 0.7) + 0.01 for f in factors] if positive else factors
    x = summed(factors)
    return factors, x + noise * x.std() * rng.standard_normal(x.shape)


def matched(found, truth):
    """Cosines without a sign of the best one-to-one matching of columns."""
    f, t = found / np.linalg.norm(found, axis=0), truth / np.linalg.norm(truth, axis=0)
    cosine = np.abs(f.T @ t)
    return cosine[linear_sum_assignment(-cosine)]


def jennrich(x, k, rng):
    """Unit profiles of an exact array by simultaneous diagonalisation of two random mixtures of its slices."""
    u, v = rng.standard_normal((2, x.shape[0]))
    one, two = np.tensordot(u, x, (0, 0)), np.tensordot(v, x, (0, 0))  # (positions, units)
    values, vectors = np.linalg.eig(one.T @ np.linalg.pinv(two.T))
    return np.real(vectors[:, np.argsort(-np.abs(values))[:k]])


# ---------------------------------------------------------------------- CP
def test_planted_components_come_back_and_are_those_of_simultaneous_diagonalisation():
    rng = np.random.default_rng(1)
    factors, x = planted((30, 7, 9), 4)
    assert sum(kruskal_rank(f) for f in factors) >= 2 * 4 + 2
    found = cp(x, 4, rng)
    for own, truth in zip(found.factors, factors, strict=True):
        assert matched(own, truth).min() > 1 - 1e-6
    assert matched(found.factors[2], jennrich(x, 4, rng)).min() > 1 - 1e-6
    assert found.explained == pytest.approx(1, abs=1e-8)
    np.testing.assert_allclose(summed(found.weighted()), x, atol=1e-3 * x.std())
    assert (np.diff(found.weights) <= 0).all()
    np.testing.assert_allclose([np.linalg.norm(f, axis=0) for f in found.factors], 1, atol=1e-12)


def test_what_is_left_is_what_the_whole_array_says_and_four_axes_go_too():
    _, x = planted((12, 5, 4, 6), 3, noise=0.5)
    found = cp(x, 2, np.random.default_rng(0))
    assert found.left == pytest.approx(((x - summed(found.weighted())) ** 2).sum(), rel=1e-9)
    factors, exact = planted((12, 5, 4, 6), 3, seed=2)
    again = cp(exact, 3, np.random.default_rng(0))
    assert matched(again.factors[3], factors[3]).min() > 1 - 1e-5


def test_profiles_that_may_not_be_negative_are_not_and_are_recovered():
    factors, x = planted((30, 7, 9), 3, seed=3, noise=0.02, positive=True)
    x = np.maximum(x, 0)
    found = cp(x, 3, np.random.default_rng(0), nonnegative=(0, 1, 2))
    assert min(f.min() for f in found.factors) >= 0
    for own, truth in zip(found.factors, factors, strict=True):
        assert matched(own, truth).min() > 0.99


def test_core_consistency_is_100_at_the_planted_number_and_falls_beyond():
    _, x = planted((30, 7, 9), 3, noise=0.1)
    rng = np.random.default_rng(0)
    known, more = (core_consistency(x, cp(x, k, rng)) for k in (3, 5))
    assert known > 95
    assert more < 40
    _, exact = planted((30, 7, 9), 3)
    assert core_consistency(exact, cp(exact, 3, rng, settles=1e-14)) == pytest.approx(100, abs=1e-3)


def test_two_that_cancel_are_seen():
    """The limit of (a + t b)³ - a³ over t: rank 3, but no best fit of rank 2."""
    a, b = np.eye(4)[:2]

    def outer(p, q, r):
        return np.einsum("i,j,k->ijk", p, q, r)

    x = outer(a, a, b) + outer(a, b, a) + outer(b, a, a)
    found = cp(x, 2, np.random.default_rng(0), settles=1e-12, sweeps=300)
    assert worst_cancelling(found) < -0.85
    _, fine = planted((9, 6, 5), 2)
    assert worst_cancelling(cp(fine, 2, np.random.default_rng(0))) > -0.85


# ---------------------------------------------------------------------- Tucker
def test_multilinear_ranks_of_a_planted_core_are_exact_and_full_ranks_rebuild():
    rng = np.random.default_rng(0)
    core = rng.standard_normal((2, 3, 4))
    x = core
    for mode, size in enumerate((11, 7, 8)):
        x = times(x, rng.standard_normal((size, core.shape[mode])), mode)
    assert [int((s > 1e-6 * s[0]).sum()) for s in mode_spectra(x)] == [2, 3, 4]  # products: half the digits
    found = tucker(x, (2, 3, 4))
    assert found.left < 1e-9 * found.total
    rebuilt = found.core
    for mode, factor in enumerate(found.factors):
        rebuilt = times(rebuilt, factor, mode)
        own = unfolded(found.core, mode)
        gram = own @ own.T
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-8 * gram.max())
        assert (np.diff(np.diag(gram)) <= 1e-8 * gram.max()).all()
    np.testing.assert_allclose(rebuilt, x, atol=1e-8 * np.abs(x).max())


def test_cutting_costs_at_most_the_tails_and_alternating_no_more():
    x = np.random.default_rng(0).standard_normal((9, 6, 7))
    ranks = (3, 2, 4)
    tails = sum((s[r:] ** 2).sum() for s, r in zip(mode_spectra(x), ranks, strict=True))
    first, better = higher_order_svd(x, ranks), tucker(x, ranks)
    assert better.left <= first.left <= tails
    assert better.left < 0.999 * first.left
    for mode in range(3):  # canonical: slices of the core orthogonal, and falling
        gram = unfolded(better.core, mode) @ unfolded(better.core, mode).T
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-9 * gram.max())
        assert (np.diff(np.diag(gram)) <= 0).all()


def test_slices_of_the_core_are_orthogonal_and_fall():
    x = np.random.default_rng(0).standard_normal((9, 7, 6))
    core = tucker(x, (3, 4, 2)).core
    for mode in range(3):
        products = unfolded(core, mode) @ unfolded(core, mode).T
        np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-9 * np.trace(products))
        assert (np.diff(np.diag(products)) <= 0).all()


def test_a_refit_is_put_in_the_order_and_signs_of_the_first():
    rng = np.random.default_rng(0)
    factors = [np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (12, 8, 6)]
    found = Components(tuple(factors), np.array([3.0, 2, 1]), 0.0, 14.0)
    order, sign = [2, 0, 1], np.array([-1.0, 1, -1])
    moved = tuple(f[:, order] * s for f, s in zip(factors, (1, sign, sign), strict=True))
    again = _in_order(Components(moved, found.weights[order], 0.0, 14.0), found)
    for own, same in zip(again.factors, found.factors, strict=True):
        np.testing.assert_allclose(own, same)
    np.testing.assert_allclose(again.weights, found.weights)


def test_of_rank_one_cp_and_tucker_are_the_same():
    x = planted((9, 6, 7), 1, noise=0.3)[1]
    one, other = cp(x, 1, np.random.default_rng(0), settles=1e-14), tucker(x, (1, 1, 1))
    assert one.left == pytest.approx(other.left, rel=1e-9)
    for a, b in zip(one.factors, other.factors, strict=True):
        assert matched(a, b).min() > 1 - 1e-6


def test_mixing_samples_keeps_each_unit_and_its_course_over_positions():
    x = np.arange(5 * 3 * 2, dtype=float).reshape(5, 3, 2)
    mixed = mixed_along_samples(x, np.random.default_rng(0))
    for unit in range(2):
        assert sorted(map(tuple, mixed[:, :, unit])) == sorted(map(tuple, x[:, :, unit]))
    assert not np.array_equal(mixed, x)


# ---------------------------------------------------------------------- smooth profiles
def test_the_exponential_kernel_on_ordered_points_has_an_inverse_of_three_diagonals():
    places = np.sort(np.random.default_rng(0).random(12))[:, None] * 10
    inverse = np.linalg.inv(kernel(places, places, 2.5))
    far = np.abs(np.subtract.outer(np.arange(12), np.arange(12))) > 1
    assert np.abs(inverse[far]).max() < 1e-9 * np.abs(inverse).max()


def test_the_band_widens_away_from_what_is_known():
    places = np.arange(4.0)[:, None]
    profiles = np.random.default_rng(0).standard_normal((4, 2))
    at, band = foretold(profiles, places, np.array([[0.0], [3.5], [5.0], [9.0], [1e5]]), 2.0, 1e-9)
    assert (np.diff(band[:, 0]) > 0).all()
    np.testing.assert_allclose(at[0], profiles[0], atol=1e-6)
    np.testing.assert_allclose(at[-1], profiles.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(band[-1], profiles.std(axis=0), rtol=1e-9)


def test_smooth_profiles_are_found_smooth_and_shuffled_ones_not():
    rng = np.random.default_rng(0)
    t = np.arange(24)
    profiles = np.stack([np.sin(t / 4), np.cos(t / 7)], axis=1) + 0.5
    factors = [rng.standard_normal((20, 2)), profiles, rng.standard_normal((6, 2))]
    x = summed(factors)
    x += 1.5 * x.std() * rng.standard_normal(x.shape)
    places = t[:, None].astype(float)
    chosen = chosen_smoothness(x, 2, 1, places, rng)
    assert chosen.helps
    assert chosen.error < 0.9
    assert chosen.scale > 3
    rough = cp(x, 2, rng)
    fine, band = smoothed(x, rough, 1, places, chosen)
    assert matched(fine.factors[1], profiles).mean() > matched(rough.factors[1], profiles).mean() + 0.002
    assert (band > 0).all()
    assert fine.left == pytest.approx(((x - summed(fine.weighted())) ** 2).sum(), rel=1e-9)
    order = rng.permutation(24)
    shuffled = chosen_smoothness(x[:, order], 2, 1, places, rng)
    assert shuffled.error > chosen.error + 0.05
    assert chosen.chance > chosen.error + 0.05


# ---------------------------------------------------------------------- blocks of taps
def tap(values, lengths, **more):
    offsets = np.r_[0, np.cumsum(lengths)].astype(np.int64)
    return ArrayActivations(values, layout=Layout(offsets, **more), name="t")


def test_a_block_is_the_tokens_where_they_were():
    x = np.random.default_rng(0).standard_normal((36, 4))
    block = token_block([tap(x, [3] * 12)], np.random.default_rng(0), maximum=100)
    np.testing.assert_array_equal(block.values, x.reshape(12, 3, 4))
    assert block.modes == ("sample", "position", "unit")
    both = token_block([tap(x, [3] * 12), tap(2 * x, [3] * 12)], np.random.default_rng(0), maximum=100)
    np.testing.assert_array_equal(both.values[:, :, 1], 2 * x.reshape(12, 3, 4))
    pictures = tap(np.tile(x, (2, 1))[:45], [5] * 9, grid=(2, 2), leading=1)
    grid = token_block([pictures], np.random.default_rng(0), maximum=100)
    assert grid.places[0, 0] >= FAR
    np.testing.assert_array_equal(grid.places[1:], [[0, 0], [0, 1], [1, 0], [1, 1]])
    pooled = tap(x, [1] * 36)
    assert token_block([pooled, pooled], np.random.default_rng(0), maximum=9).values.shape == (9, 2, 4)


def test_samples_of_different_lengths_are_cut_and_told_or_refused():
    lengths = [2] * 3 + [5] * 10 + [9]
    x = np.random.default_rng(0).standard_normal((sum(lengths), 4))
    own = tap(x, lengths)
    block = token_block([own], np.random.default_rng(0), maximum=100)
    assert block.values.shape == (11, 5, 4)
    np.testing.assert_array_equal(block.values[0], x[6:11])
    assert (
        "Samples have 2 to 9 positions: cut to the first 5, and 3 shorter sample(s) left out." in block.notes
    )
    with pytest.raises(InputError, match="2 to 9 positions"):
        token_block([own], np.random.default_rng(0), maximum=100, lengths=REFUSE)
    with pytest.raises(ShapeError, match="layers of equal width"):
        token_block([own, tap(x[:, :3], lengths)], np.random.default_rng(0), maximum=100)
    gap = x.copy()
    gap[6, 0] = np.nan
    block = token_block([tap(gap, lengths)], np.random.default_rng(0), maximum=100)
    assert len(block.values) == 10
    assert "1 sample(s) with NaN or infinity left out." in block.notes


# ---------------------------------------------------------------------- feature sets
N, T, D = 60, 6, 8


def stored(folder, x, **more):
    return write_store(folder / "s", name="s", taps={"x": list(np.asarray(x, np.float32))}, **more)


def test_cp_directions_are_the_planted_ones_and_codes_their_least_squares(tmp_path):
    factors, x = planted((N, T, D), 3, noise=0.02)
    x = summed(factors)
    store = stored(tmp_path, x)
    found = make(store, "x", "cp", {"components": 3})
    about = found.about
    assert matched(found.decoder.T, factors[2]).min() > 0.999
    assert about["explained_by_model"] > 0.99
    assert about["explained_by_model"] > about["explained_of_mixed_samples"] + 0.2
    assert about["core_consistency"] > 95
    rows = x.reshape(-1, D).astype(np.float32)[:50]
    other = np.linalg.lstsq(found.decoder.T, (rows - found.centre).T, rcond=None)[0].T
    np.testing.assert_allclose(found.encode(rows), other, atol=1e-3)
    profiles = np.array(about["position_profiles"])
    assert matched(profiles.T, factors[1]).min() > 0.99
    assert json.loads(json.dumps(about)) == about


def test_cp_of_parts_takes_units_of_either_sign_and_smooth_profiles_say_what_they_gained(tmp_path):
    _, x = planted((N, T, D), 2, positive=True)
    store = stored(tmp_path / "a", x)
    found = make(store, "x", "cp", {"components": 2, "signs": "not negative"})
    assert found.decoder.min() >= 0
    assert (found.encode(x.reshape(-1, D).astype(np.float32)) >= 0).all()
    assert found.about["held_out"]["explained_variance"] > 0.98
    signed = make(stored(tmp_path / "b", x * np.where(np.arange(D) % 2, 1, -1)), "x", "cp", {
        "components": 2, "signs": "not negative"})  # fmt: skip
    assert any("profiles of units may be" in line for line in signed.about["caveats"])
    assert matched(np.abs(signed.decoder.T), found.decoder.T).min() > 0.99
    smooth = make(store, "x", "cp", {"components": 2, "profiles": "smooth"})
    assert "smoothness" in smooth.about
    assert any("smooth" in line for line in smooth.about["caveats"])


def test_tucker_with_every_profile_is_pca_and_says_that_it_can_be_turned(tmp_path):
    x = planted((N, T, D), 4, noise=0.3)[1]
    store = stored(tmp_path, x)
    asked = {"components": 3, "position_profiles": T, "sample_profiles": N, "centre": "all rows"}
    found = make(store, "x", "tucker", asked)
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    own = x.reshape(-1, D)[~held]
    axes = np.linalg.svd(own - own.mean(axis=0), full_matrices=False)[2][:3]
    np.testing.assert_allclose(np.abs(found.decoder @ axes.T), np.eye(3), atol=1e-4)
    assert any("any rotation of them fits as well" in line for line in found.about["caveats"])
    few = make(store, "x", "tucker", {"components": 30, "position_profiles": 1, "sample_profiles": 2})
    assert few.n_features == 2
    assert few.about["core"] == [2, 1, 2]


@pytest.mark.parametrize("kind", ["cp", "tucker"])
def test_both_need_tokens_take_gaps_and_keep_the_bar(tmp_path, kind):
    x = planted((N, T, D), 3, noise=0.1)[1]
    x[4, 2, 1] = np.nan
    store, seen = stored(tmp_path / "a", x), []
    one, two = (
        make(store, "x", kind, {"components": 3}, progress=lambda share, doing="": seen.append(share))
        for _ in range(2)
    )
    assert one.digest == two.digest
    assert seen[: len(seen) // 2] == sorted(seen[: len(seen) // 2])
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    assert one.about["rows"]["not_finite"] == int(not held[4 * T + 2])
    pooled = write_store(tmp_path / "p", name="p", taps={"x": x[:, 0].astype(np.float32)})
    with pytest.raises(NotEnoughData, match="one row for each sample"):
        make(pooled, "x", kind)
    with pytest.raises(InputError, match="do not vary"):
        make(stored(tmp_path / "c", np.ones((N, T, D))), "x", kind)


# ---------------------------------------------------------------------- analyses
def tokens(x, **more):
    n, t, d = x.shape
    return ArrayActivations(
        x.reshape(-1, d), layout=Layout(np.arange(n + 1, dtype=np.int64) * t), name="t", **more
    )


def test_profiles_lie_in_their_bands_and_layers_are_a_mode_of_their_own():
    factors, x = planted((40, 6, 8), 2, noise=0.3)
    found = tensor_profiles(tokens(x), params=TensorProfilesParams(components=2, copies=10))
    truth = [np.sqrt((summed([f[:, [r]] for f in factors]) ** 2).mean(axis=(0, 2))) for r in (0, 1)]
    own = np.abs(np.array(list(found.series.values())))
    errors = [np.abs(own - t).max(axis=1).min() for t in truth]
    assert max(errors) < 0.25 * np.max(truth)
    for name, line in found.series.items():
        assert (found.low[name] <= line + 1e-9).all()
        assert (line <= found.high[name] + 1e-9).all()
    depth = np.array([1.0, 2.0, 4.0, 8.0])
    layers = [tokens(x * s) for s in depth]
    along = tensor_profiles(*layers, params=TensorProfilesParams(components=2, along="layers", copies=5))
    for line in along.series.values():
        np.testing.assert_allclose(line / line[-1], depth / 8, atol=1e-3)
    assert along.x_name == "layer"


def test_reordered_units_and_one_scale_change_nothing_but_names():
    x = planted((40, 5, 7), 2, noise=0.2)[1]
    turn = np.random.default_rng(1).permutation(7)
    asked = {"components": 2, "copies": 2}
    one = tensor_components(tokens(x), params=TensorComponentsParams(**asked))
    other = tensor_components(tokens(5 * x[:, :, turn], unit_names=[str(j) for j in turn]),
                              params=TensorComponentsParams(**asked))  # fmt: skip
    np.testing.assert_allclose(other.columns["lost without it"], one.columns["lost without it"], atol=2e-3)
    assert [set(u.replace("−", "").split(", ")) for u in one.columns["units"]] == [
        set(u.replace("−", "").split(", ")) for u in other.columns["units"]
    ]
    np.testing.assert_allclose(other.columns["weight"], 5 * one.columns["weight"], rtol=1e-2)


def test_a_table_is_said_to_be_one_and_two_layers_to_be_few():
    x = np.random.default_rng(0).standard_normal((40, 6))
    table = tucker_core(x)
    assert any("One position only" in line for line in table.caveats)
    pair = tucker_core(*[tokens(np.random.default_rng(s).standard_normal((30, 4, 5))) for s in (0, 1)])
    assert any("2 layers are nearly one" in line for line in pair.caveats)
    assert any("any rotation of the profiles" in line for line in pair.caveats)


def test_two_planted_components_are_the_number_and_noise_has_none():
    x = planted((40, 6, 8), 2, noise=0.2)[1]
    asked = TensorNumberParams(largest=3, copies=3)
    found = tensor_number(tokens(x), params=asked)
    assert found.estimates[0].value == 2
    assert found.estimates[1].value == pytest.approx(1 / 1.04, abs=0.02)
    noise = np.random.default_rng(0).standard_normal((40, 6, 8))
    assert (
        tensor_number(tokens(noise), params=TensorNumberParams(largest=2, copies=3)).estimates[0].value == 0
    )
    with pytest.raises(ParameterError, match="largest = 1"):
        tensor_number(tokens(x), params=TensorNumberParams(smallest=2, largest=1))
