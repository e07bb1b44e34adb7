"""Classical dictionaries as feature sets: each against another implementation or a closed form, on rows that it has not
seen, and what goes wrong is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, nnls

from analysis.compute.linear.linalg import principal_components
from analysis.compute.statistics.moments import CrossMoments, Moments
from analysis.errors import (
    Cancelled,
    InputError,
    LoupeError,
    NotEnoughData,
    NotFound,
    ParameterError,
    TooLarge,
)
from analysis.features import nonnegative
from analysis.features.classical import CLASSICAL, convex, cumulants
from analysis.features.classical.contrastive import DIFFERENCE, RATIO, ContrastiveParams, separated
from analysis.features.classical.control import AXES
from analysis.features.classical.convex import mixed
from analysis.features.classical.cumulants import beyond_gaussian, paired, powers
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.making import make
from analysis.features.classical.nmf import factorised
from analysis.features.classical.non_gaussian import (
    GAUSSIAN_LOG_COSH,
    KURTOSIS,
    LOG_COSH,
    departures,
    log_cosh,
)
from analysis.features.classical.semi_nmf import semi_factorised
from analysis.features.classical.supervised import JOINT, MEANS, Design
from analysis.features.encoding import encode_tap
from analysis.features.nonnegative import nonnegative_codes
from analysis.features.row_stream import held_out_rows
from analysis.jobs.handlers import HANDLERS
from analysis.spec import no_progress, params_of
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main

D = 8


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) * np.arange(1, D + 1) @ rng.standard_normal((D, D)) + 3).astype(
        np.float32
    )


def stored(folder, x, **more):
    return write_store(folder / "s", name="s", taps={"x": x}, **more)


def seen(store, tap="x", seed=0):
    """The rows that a fit with this seed sees, in float64, and those it does not."""
    a = store.activations(tap)
    held = held_out_rows(a, 0.1, seed)[0]
    x = a.take(np.arange(a.shape[0])).astype(np.float64)
    return x[~held], x[held]


def lines(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def matched(found, truth):
    """Cosines of the best one-to-one matching."""
    cosine = lines(found) @ lines(truth).T
    return cosine[linear_sum_assignment(-cosine)]


# ---------------------------------------------------------------------- PCA
def test_pca_is_that_of_the_rows_it_has_seen(tmp_path):
    from sklearn.decomposition import PCA

    store = stored(tmp_path, rows() + 1000)
    found, (x, held) = make(store, "x", "pca", {"components": 3}), seen(store)
    other = PCA(3, svd_solver="full").fit(x)
    assert np.abs(np.abs(found.decoder @ other.components_.T) - np.eye(3)).max() < 1e-5
    np.testing.assert_allclose(found.about["components"]["variance"], other.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(
        found.about["components"]["share of variance"], other.explained_variance_ratio_, rtol=1e-6
    )
    left = ((held - other.inverse_transform(other.transform(held))) ** 2).sum()
    assert found.about["held_out"]["explained_variance"] == pytest.approx(
        1 - left / ((held - held.mean(axis=0)) ** 2).sum(), abs=1e-5
    )
    assert found.about["rows"]["trained_on"] == 360
    assert found.about["held_out"]["random_directions"] == 3 / D
    assert (found.decoder[np.arange(3), np.abs(found.decoder).argmax(axis=1)] > 0).all()


def test_pca_of_fewer_rows_than_units_and_than_components(tmp_path):
    x = np.random.default_rng(0).standard_normal((12, 30)).astype(np.float32)
    store = stored(tmp_path, x)
    found, (own, _) = make(store, "x", "pca", {"components": 64}), seen(store)
    assert found.n_features == len(own) - 1
    assert any("span" in line for line in found.about["caveats"])
    np.testing.assert_allclose(found.reconstruct(own.astype(np.float32)), own, atol=1e-4)


# ---------------------------------------------------------------------- codes that are not negative
@pytest.mark.parametrize(("k", "d"), [(12, 30), (20, 8)])
def test_non_negative_codes_are_those_of_another_solver(k, d):
    rng = np.random.default_rng(k)
    atoms = rng.random((k, d)) - 0.2
    x = np.vstack([np.zeros(d), -np.ones(d), rng.standard_normal((200, d)) + rng.random((200, 1))])
    found = nonnegative_codes(x, atoms)
    other = np.array([nnls(atoms.T, row)[0] for row in x])
    np.testing.assert_allclose(found @ atoms, other @ atoms, atol=1e-6)
    if k < d:
        np.testing.assert_allclose(found, other, atol=1e-6)
    assert (found >= 0).all()
    assert not found[0].any()


def test_equal_atoms_share_and_an_atom_of_length_0_takes_nothing():
    atoms = np.random.default_rng(0).random((3, 10))
    found = nonnegative_codes(2 * atoms[:1] + atoms[1:2], np.vstack([atoms, atoms[:1], np.zeros(10)]))
    np.testing.assert_allclose(found, [[1, 1, 0, 1, 0]], atol=1e-5)


def test_rows_that_rounding_keeps_from_ending_are_solved_one_by_one(monkeypatch):
    rng = np.random.default_rng(0)
    atoms, x = rng.random((6, 9)), rng.random((20, 9))
    usual = nonnegative_codes(x, atoms)
    monkeypatch.setattr(nonnegative, "STEPS", 0)
    np.testing.assert_allclose(nonnegative_codes(x, atoms), usual, atol=1e-6)


# ---------------------------------------------------------------------- NMF, convex, k-means, sparse coding
def parts(n=500, k=4, seed=0):
    """(atoms, rows): rows of 0 and above, each of one or two of k atoms that have units of their own."""
    rng = np.random.default_rng(seed)
    atoms = rng.random((k, 12)) * (rng.random((k, 12)) < 0.5) + np.eye(k, 12)
    codes = rng.exponential(size=(n, k)) * (rng.random((n, k)) < 0.4)
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True), codes @ atoms


def test_nmf_finds_planted_parts_and_leaves_no_more_over_than_another_solver(tmp_path):
    from sklearn.decomposition import NMF

    atoms, x = parts()
    store = stored(tmp_path, x)
    found = make(store, "x", "nmf", {"components": 4})
    assert matched(found.decoder, atoms).min() > 0.999
    assert found.about["held_out"]["explained_variance"] > 0.999
    noisy = np.maximum(x + 0.3 * np.random.default_rng(1).standard_normal(x.shape), 0)
    own = factorised(noisy, 4, np.random.default_rng(0))[0]
    other = NMF(4, init="nndsvda", max_iter=500).fit(noisy).reconstruction_err_ ** 2
    assert own < 1.01 * other


def test_nmf_refuses_values_below_0_or_splits_them_off(tmp_path):
    atoms, x = parts()
    signs = np.where(np.arange(12) % 2, 1, -1)
    store = stored(tmp_path, x * signs)
    with pytest.raises(InputError, match="below 0, the least is"):
        make(store, "x", "nmf", {"components": 4})
    found = make(store, "x", "nmf", {"components": 4, "negative": "split signs"})
    assert matched(found.decoder, atoms * signs).min() > 0.999
    assert any("split off" in line for line in found.about["caveats"])
    assert (found.encode((x * signs).astype(np.float32)) >= 0).all()


def by_multiplying(x, codes, steps):
    """Semi-NMF by the multiplicative rule of Ding, Li & Jordan: squares left over."""

    def split(m):
        return (np.abs(m) + m) / 2, (np.abs(m) - m) / 2

    for _ in range(steps):
        atoms = np.linalg.pinv(codes.T @ codes) @ codes.T @ x
        (a, b), (p, q) = split(x @ atoms.T), split(atoms @ atoms.T)
        codes = codes * np.sqrt((a + codes @ q) / np.maximum(b + codes @ p, 1e-12))
    return ((x - codes @ np.linalg.lstsq(codes, x, rcond=None)[0]) ** 2).sum()


def test_semi_nmf_spans_the_cone_of_planted_directions_and_beats_the_multiplicative_rule(tmp_path):
    rng = np.random.default_rng(0)
    atoms = lines(rng.standard_normal((4, 12)))
    codes = rng.exponential(size=(150, 4)) * (rng.random((150, 4)) < 0.4)
    x = codes @ atoms
    found = make(stored(tmp_path, x), "x", "semi_nmf", {"components": 4, "centre": "origin", "starts": 1})
    inside = (
        nonnegative_codes(atoms, found.decoder) @ found.decoder
    )  # wider cones fit as well, none that is narrower
    np.testing.assert_allclose(inside, atoms, atol=0.03)
    assert found.about["held_out"]["explained_variance"] > 0.99
    noisy = x + 0.3 * rng.standard_normal(x.shape)
    own = semi_factorised(noisy, 4, np.random.default_rng(0))[0]
    other = by_multiplying(noisy, np.random.default_rng(0).random((150, 4)) + 0.2, 200)
    assert own < 1.01 * other


def test_semi_nmf_of_one_feature_that_all_rows_share_is_its_principal_direction():
    rng = np.random.default_rng(0)
    x = np.outer(1 + rng.random(80), rng.standard_normal(6)) + 0.01 * rng.standard_normal((80, 6))
    left, atoms, settled = semi_factorised(x, 1, rng)
    sizes, axes = np.linalg.svd(x, full_matrices=False)[1:]
    assert settled
    assert abs(atoms[0] @ axes[0]) == pytest.approx(1, abs=1e-9)
    assert left == pytest.approx((sizes[1:] ** 2).sum(), rel=1e-6)


def test_convex_atoms_are_mixtures_of_rows_and_planted_corners_come_back():
    rng = np.random.default_rng(0)
    corners = 3 * rng.standard_normal((4, 7))
    x = np.vstack([corners, rng.dirichlet(np.ones(4), 200) * rng.uniform(0.2, 0.9, (200, 1)) @ corners])
    weights, settled = mixed(x, 4, np.random.default_rng(1))
    assert settled
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    atoms = weights @ x
    assert matched(atoms, corners).min() > 0.995
    assert ((x - nonnegative_codes(x, atoms) @ atoms) ** 2).sum() < 1e-3 * (x**2).sum()
    more = mixed(x + 0.1 * rng.standard_normal(x.shape), 6, np.random.default_rng(1))[0]
    np.testing.assert_allclose(more.sum(axis=1), 1, atol=1e-12)


def test_a_convex_dictionary_names_the_rows_that_it_is_mixed_from(tmp_path, monkeypatch):
    monkeypatch.setattr(convex, "NAMED", 1000)
    x = rows()
    found = make(stored(tmp_path, x), "x", "convex", {"components": 3, "centre": "origin"})
    for atom, named in zip(found.decoder, found.about["mixed_from"], strict=True):
        assert sum(weight for _, weight in named) == pytest.approx(1)
        np.testing.assert_allclose(sum(w * x[i] for i, w in named), atom, rtol=1e-4, atol=1e-4)
    assert list(map(len, found.about["mixed_from"])) == found.about["components"]["rows mixed"]


def test_kmeans_is_as_good_as_another_and_every_row_goes_to_its_nearest_centre(tmp_path):
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((3, D))
    x = centres[rng.choice(3, 300, p=[0.6, 0.3, 0.1])] + rng.standard_normal((300, D))
    store = stored(tmp_path, x)
    found, (own, held) = make(store, "x", "kmeans", {"components": 3}), seen(store)
    other = KMeans(3, n_init=5, random_state=0).fit(own)
    codes = found.encode(own.astype(np.float32))
    left = ((own - found.reconstruct(own.astype(np.float32))) ** 2).sum()
    assert left == pytest.approx(other.inertia_, rel=1e-4)
    np.testing.assert_allclose(found.about["components"]["share of rows"], codes.mean(axis=0), atol=1e-6)
    assert (np.diff(codes.sum(axis=0)) <= 0).all()
    near = np.linalg.norm(held[:, None] - (found.decoder + found.centre), axis=2).argmin(axis=1)
    assert (found.encode(held.astype(np.float32)).argmax(axis=1) == near).all()


def test_sparse_coding_finds_planted_atoms(tmp_path):
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((24, 16))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((1500, 24))
    at = rng.random(codes.shape).argsort(axis=1)[:, :2]
    np.put_along_axis(codes, at, 0.5 + rng.random((1500, 2)), axis=1)
    store = stored(tmp_path, codes @ atoms)
    found = make(store, "x", "sparse_coding", {"components": 24, "active": 2})
    assert matched(found.decoder + 0, atoms).mean() > 0.9
    null = make(store, "x", "random", {"components": 24, "active": 2})
    ours, chance = (f.about["held_out"]["explained_variance"] for f in (found, null))
    assert ours > 0.9 > chance + 0.2
    assert (found.encode(store.activations("x").take(np.arange(99))) > 0).sum(axis=1).max() <= 2


def test_random_directions_explain_k_of_d_by_least_squares(tmp_path):
    store = stored(tmp_path, np.random.default_rng(0).standard_normal((400, 60)))
    found = make(store, "x", "random", {"components": 15, "codes": "least squares"})
    assert found.about["held_out"]["explained_variance"] == pytest.approx(0.25, abs=0.06)
    with pytest.raises(TooLarge, match="in memory"):
        FitRows(store.activations("x"), 0.1, 0).loaded(300, most_bytes=1000)
    few = make(store, "x", "random", {"components": 3, "codes": "TopK", "active": 9})
    assert few.active == 3


# ---------------------------------------------------------------------- ICA and fourth cumulants
def sources(n=2500, seed=0):
    """(mixing, rows): three independent sources, skewed, heavy-tailed and flat, and two Gaussian ones, in D units."""
    rng = np.random.default_rng(seed)
    s = np.stack([rng.exponential(size=n) - 1, rng.laplace(size=n), rng.uniform(-1, 1, n),
                  *rng.standard_normal((2, n))], axis=1)  # fmt: skip
    s /= s.std(axis=0)
    mixing = rng.standard_normal((5, D))
    return mixing, s @ mixing + 5


def test_ica_finds_planted_sources_and_names_components_that_are_gaussian(tmp_path):
    from sklearn.decomposition import FastICA

    mixing, x = sources()
    store = stored(tmp_path, x)
    found, (own, _) = make(store, "x", "ica", {"components": 5}), seen(store)
    unit = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
    assert np.abs(lines(found.decoder) @ unit[:3].T).max(axis=0).min() > 0.995
    skewed = np.abs(lines(found.decoder) @ unit[0]).argmax()
    assert lines(found.decoder)[skewed] @ unit[0] > 0  # the sign of its long tail
    assert any("arbitrary direction: 3, 4." in line for line in found.about["caveats"])
    other = FastICA(5, fun="logcosh", whiten="unit-variance", random_state=0, tol=1e-7, max_iter=1000).fit(
        own
    )
    cosines = np.abs(lines(found.decoder) @ lines(other.mixing_.T).T)
    assert np.sort(cosines.max(axis=1))[-3:].min() > 0.999
    codes = found.encode(own.astype(np.float32))
    np.testing.assert_allclose(np.cov(codes.T, bias=True), np.eye(5), atol=5e-3)
    departure = np.abs(log_cosh(codes).mean(axis=0) - GAUSSIAN_LOG_COSH)
    assert (np.diff(departure) < 1e-6).all()


@pytest.mark.parametrize("kind", ["ica", "cumulants"])
def test_gaussian_rows_have_no_non_gaussian_directions(tmp_path, kind):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2000, D)) @ rng.standard_normal((D, D))
    with pytest.raises(InputError, match=r"none"):
        make(stored(tmp_path, x), "x", kind, {"components": 4})


def test_a_departure_from_gaussian_has_the_error_that_it_says():
    """Over many draws z has the spread of 1, also where the rows of a sample are alike."""
    rng, samples = np.random.default_rng(0), np.repeat(np.arange(400), 5)
    for by in (LOG_COSH, KURTOSIS):
        y = rng.standard_normal((400, 300)).repeat(5, axis=0)
        y = 0.8 * y + 0.6 * rng.standard_normal(y.shape)
        found = departures(y, samples, by)
        assert 0.8 < (found.value / found.error).std() < 1.25
        assert found.beyond.mean() < 0.05
    few = departures(rng.standard_normal((8, 2)), np.arange(8), LOG_COSH)
    assert not few.known
    assert not few.beyond.any()


@pytest.mark.parametrize(("r", "rank"), [(5, 3), (5, 8)])
def test_planted_powers_come_back_up_to_sign_and_order(r, rank):
    """Exactly, also where there are more than dimensions; the rank is that of the flattening."""
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((rank, r))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    w = np.where(rng.random(rank) < 0.5, -1, 1) * rng.uniform(1, 3, rank)
    tensor = np.einsum("i,ij,ik->jk", w, paired(a), paired(a))
    found, weights, inside = powers(tensor, rank, rng)
    cosines = np.abs(found @ a.T)
    np.testing.assert_allclose(cosines.max(axis=1), 1, atol=1e-6)
    assert sorted(cosines.argmax(axis=1)) == list(range(rank))
    np.testing.assert_allclose(weights, w[cosines.argmax(axis=1)], rtol=1e-4)
    np.testing.assert_allclose(inside, 1, atol=1e-8)


def test_the_flattening_has_the_rank_of_the_sum_up_to_its_size():
    rng = np.random.default_rng(0)
    for terms, rank in ((10, 10), (16, 15), (20, 15)):
        squares = paired(rng.standard_normal((terms, 5)))
        assert np.linalg.matrix_rank(squares.T @ squares) == rank


def test_cumulants_over_pairs_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    y = rng.exponential(size=(50, 3))
    y = np.linalg.qr(y - y.mean(axis=0))[0] * np.sqrt(50)
    eye = np.eye(3)
    full = np.einsum("ni,nj,nk,nl->ijkl", y, y, y, y) / 50
    full -= sum(np.einsum(f"{a},{b}->ijkl", eye, eye) for a, b in (("ij", "kl"), ("ik", "jl"), ("il", "jk")))
    squares = paired(y)
    found = beyond_gaussian(squares.T @ squares / 50)
    a, b = rng.standard_normal((2, 3))
    both = paired(a[None])[0] @ found @ paired(b[None])[0]
    assert both == pytest.approx(np.einsum("ijkl,i,j,k,l", full, a, a, b, b), rel=1e-9)


@pytest.mark.parametrize(("most", "least"), [(10_000, 0.025), (200, 0.01)])  # drawn as it is; from fewer rows
def test_one_in_twenty_gaussian_data_sets_is_given_a_rank(monkeypatch, most, least):
    """Over edges of many seeds, against cumulants of data whitened and multiplied here."""
    monkeypatch.setattr(cumulants, "NULL_ROWS", most)
    rng, own = np.random.default_rng(0), []
    for _ in range(400):
        y = rng.standard_normal((600, 3)) @ rng.standard_normal((3, 3))
        y -= y.mean(axis=0)
        y = y @ np.linalg.inv(np.linalg.cholesky(y.T @ y / 600)).T
        own.append(np.abs(np.linalg.eigvalsh(beyond_gaussian(paired(y).T @ paired(y) / 600))).max())
    edges = np.array([cumulants.gaussian_edge(600, 3, rng) for _ in range(15)])
    assert least < (np.array(own)[:, None] > edges).mean() < 0.08


def test_fourth_order_directions_of_rows_are_the_sources(tmp_path):
    mixing, x = sources(6000)
    found = make(stored(tmp_path, x), "x", "cumulants", {"dimensions": 5, "components": 3})
    unit = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
    cosines = np.abs(lines(found.decoder) @ unit.T)
    assert cosines.max(axis=1).min() > 0.95
    assert sorted(cosines.argmax(axis=1)) == [0, 1, 2]
    assert found.about["components"]["weight"][0] == pytest.approx(6, abs=2)  # an exponential's


# ---------------------------------------------------------------------- supervised, contrastive, control
def design(z, of, x):
    return Design(tuple(map(str, range(z.shape[1]))), np.array(of), np.zeros(max(of) + 1, bool), Moments.of(x),
                  Moments.of(z), CrossMoments.of(x, z))  # fmt: skip


def test_conditional_means_are_least_squares_where_the_design_is_balanced_and_not_else():
    rng = np.random.default_rng(0)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(3), np.arange(2), indexing="ij"))
    a, b = np.tile(a, 5), np.tile(b, 5)
    x = rng.standard_normal((30, D))
    z = np.hstack([np.eye(3)[a], np.eye(2)[b]])
    made = design(z, [0, 0, 0, 1, 1], x)
    assert made.balanced
    np.testing.assert_allclose(made.directions(JOINT), made.directions(MEANS), atol=1e-13)
    np.testing.assert_allclose(made.directions(MEANS)[1], x[a == 1].mean(axis=0) - x.mean(axis=0), atol=1e-13)
    keep = np.arange(30) > 2
    uneven = design(z[keep], [0, 0, 0, 1, 1], x[keep])
    assert not uneven.balanced
    assert np.abs(uneven.directions(JOINT) - uneven.directions(MEANS)).max() > 0.01
    fitted = z[keep] @ uneven.directions(JOINT)
    plain = np.linalg.lstsq(np.c_[z[keep], np.ones(27)], x[keep], rcond=None)[0]
    other = np.c_[z[keep], np.ones(27)] @ plain
    np.testing.assert_allclose(fitted - fitted.mean(axis=0), other - other.mean(axis=0), atol=1e-12)
    share = z[keep].mean(axis=0)
    for of in (slice(0, 3), slice(3, 5)):
        np.testing.assert_allclose(share[of] @ uneven.directions(JOINT)[of], 0, atol=1e-12)
        np.testing.assert_allclose(share[of] @ uneven.directions(MEANS)[of], 0, atol=1e-12)


def test_a_supervised_dictionary_reads_its_columns_off_other_samples(tmp_path):
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, 500), rng.standard_normal(500)
    x = 4 * np.eye(3, D)[kind] + np.outer(size, np.eye(D)[5]) + 0.2 * rng.standard_normal((500, D))
    store = stored(tmp_path, x, labels=[f"k{i}" for i in kind], samples={"size": size})
    found = make(store, "x", "supervised", {"columns": "label, size"})
    assert found.about["components"]["value"] == ["label = k0", "label = k1", "label = k2", "size"]
    codes = found.encode(store.activations("x").take(np.arange(500)))
    assert (codes[:, :3].argmax(axis=1) == kind).all()
    np.testing.assert_allclose(codes[:, :3].sum(axis=1), 1, atol=1e-3)
    assert np.corrcoef(codes[:, 3], size)[0, 1] > 0.95
    assert found.about["held_out_by_columns"] > 0.9
    assert found.about["held_out"]["explained_variance"] > 0.9
    values = encode_tap(store, "x", found).activations(f"x@{found.name}")
    assert values.unit_names == ("label = k0", "label = k1", "label = k2", "size")
    with pytest.raises(NotFound, match="no sample column"):
        make(store, "x", "supervised", {"columns": "colour"})


def test_one_class_is_no_attribute(tmp_path):
    store = stored(tmp_path, rows(), labels=["a"] * 400)
    with pytest.raises(NotFound, match="no sample column is a known factor"):
        make(store, "x", "supervised")
    with pytest.raises(InputError, match="covers all rows"):
        make(store, "x", "contrastive", {"background": "label=a"})


def covariances(seed=0):
    rng = np.random.default_rng(seed)
    root, u = rng.standard_normal((6, 6)), rng.standard_normal(6)
    background = root @ root.T + np.eye(6)
    return background, u


def test_one_direction_more_than_the_background_has_is_found_exactly():
    background, u = covariances()
    unit = u / np.linalg.norm(u)
    target = background + np.outer(u, u)
    for problem in (DIFFERENCE, RATIO):
        asked = ContrastiveParams(problem=problem, components=1, common=0, ridge=0.0)
        filters, directions, values, _ = separated(target, background, asked)
        assert abs(directions[0] @ unit) == pytest.approx(1, abs=1e-9)
        assert filters[:, 0] @ directions[0] == pytest.approx(1, abs=1e-9)
    inverse = np.linalg.solve(background, u)
    assert values[0] == pytest.approx(1 + u @ inverse, rel=1e-9)
    assert abs(filters[:, 0] @ inverse) == pytest.approx(
        np.linalg.norm(filters) * np.linalg.norm(inverse), rel=1e-9
    )


@pytest.mark.parametrize("problem", [DIFFERENCE, RATIO])
def test_salient_and_common_parts_do_not_read_each_other(problem):
    background, u = covariances()
    asked = ContrastiveParams(problem=problem, components=2, common=4)
    filters, directions, _, n = separated(background + 9 * np.outer(u, u), background, asked)
    np.testing.assert_allclose(directions @ filters, np.eye(6), atol=1e-8)
    assert n == 2
    more = separated(background, background, ContrastiveParams(problem=problem, components=9, common=9))
    assert more[3] == 6


def test_without_a_background_contrastive_components_are_principal_ones(tmp_path):
    store = stored(tmp_path, rows(), labels=["a", "b"] * 200)
    asked = {"background": "label=b", "alpha": 0, "components": 3, "common": 0}
    found = make(store, "x", "contrastive", asked)
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    own = store.activations("x").take(np.flatnonzero(~held & (np.arange(400) % 2 == 0))).astype(np.float64)
    _, axes, values = principal_components(own, 3)
    np.testing.assert_allclose(found.decoder, axes, atol=1e-5)
    np.testing.assert_allclose(found.about["components"]["value"], values, rtol=1e-9)


def two_groups(n=1200, seed=0):
    """(rows, group): unit 0 varies most in both, unit 1 in the target alone."""
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.5
    x = rng.standard_normal((n, D)) * np.r_[10, np.ones(D - 1)]
    x[target, 1] += 4 * rng.standard_normal(target.sum())
    return x, np.where(target, "t", "b")


@pytest.mark.parametrize("kind", ["contrastive", "control"])
def test_what_the_target_does_alone_comes_first_and_carries_over(tmp_path, kind):
    x, group = two_groups()
    store = stored(tmp_path, x, labels=group)
    if kind == "contrastive":
        found = make(store, "x", kind, {"background": "label=b", "components": 1, "common": 1})
    else:
        found = make(store, "x", kind, {"control": "b", "components": 2})
    assert np.abs(lines(found.decoder)[0]).argmax() == 1
    table = found.about["components"]
    ratio = next(v for name, v in table.items() if name.startswith("held-out"))
    assert table["low"][0] < 17 < table["high"][0]
    assert ratio[0] > 8
    if kind == "contrastive":
        assert table["part"] == ["salient", "common"]
        assert np.abs(found.decoder[1]).argmax() == 0
    else:
        assert any(line.endswith("within the interval: 1.") for line in found.about["caveats"])


def test_the_control_is_white_afterwards(tmp_path):
    x, group = two_groups()
    x[:, 7] = 3  # a unit that does not vary
    store = stored(tmp_path, x, labels=group)
    asked = {"control": "label=b", "directions": AXES, "ridge": 0, "components": 64}
    found = make(store, "x", "control", asked)
    held = held_out_rows(store.activations("x"), 0.1, 0)[0]
    codes = found.encode(store.activations("x").take(np.flatnonzero(~held & (group == "b"))))
    np.testing.assert_allclose(np.cov(codes.T), np.eye(7), atol=1e-4)
    assert not found.decoder[:, 7].any()
    np.testing.assert_allclose(found.reconstruct(x.astype(np.float32)), x, atol=1e-3)


def test_a_group_is_a_selection_a_class_or_a_value(tmp_path):
    x, group = two_groups(300)
    store = stored(tmp_path, x, labels=group)

    def selections(name):
        if name != "mine":
            raise NotFound(f"no selection {name!r}", "one of mine")
        return np.flatnonzero(group == "b")

    asked = [make(store, "x", "contrastive", {"background": b}, selections=selections).digest
             for b in ("mine", "b", "label=b", "label = b")]  # fmt: skip
    assert len(set(asked)) == 1
    for given, error, said in (
        ("", ParameterError, "no group"), ("label=c", NotFound, "one of b, t"), ("others", NotFound, "one of mine"),
        ("colour=b", NotFound, "no sample column"),
    ):  # fmt: skip
        with pytest.raises(error, match=said):
            make(store, "x", "contrastive", {"background": given}, selections=selections)
    both = make(store, "x", "contrastive", {"background": "b", "target": "label=t"})
    assert not any("both groups" in line for line in both.about["caveats"])
    with pytest.raises(InputError, match="covers all rows"):
        make(store, "x", "contrastive", {"background": "b", "target": "mine"}, selections=selections)


# ---------------------------------------------------------------------- of every kind
ROWS = [
    kind for kind in CLASSICAL if kind.name not in ("cp", "tucker")
]  # those need whole samples with tokens
GIVEN = {"contrastive": {"background": "label=b"}, "control": {"control": "label=b"}}
SMALL = {"maximum_rows": 100, "starts": 1}


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """A store with two rows of NaN, one with infinity, and a unit that does not vary."""
    x = np.abs(parts(300)[1].astype(np.float32))
    x[:, 3] = 7
    x[[5, 90]] = np.nan
    x[200, 1] = np.inf
    return stored(tmp_path_factory.mktemp("holes"), x, labels=["a", "b", "b"] * 100)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_gaps_and_constant_units_are_taken_and_said(holes, kind):
    store = holes
    known = {p.name for p in params_of(kind.params)}
    asked = {**GIVEN.get(kind.name, {}), **{k: v for k, v in SMALL.items() if k in known}}
    if "components" in known:
        asked["components"] = 3
    found, again = (make(store, "x", kind.name, asked, seed=1) for _ in range(2))
    assert found.digest == again.digest
    about = found.about
    assert json.loads(json.dumps(about)) == about
    assert (about["architecture"], about["seed"], about["tap"]) == (kind.name, 1, "x")
    lost = about["rows"]["not_finite"]
    assert any(f"{lost} rows hold NaN" in line for line in about["caveats"]) == bool(lost)
    if "maximum_rows" not in known:
        held = held_out_rows(store.activations("x"), 0.1, 1)[0]
        assert lost == 3 - held[[5, 90, 200]].sum()
        assert about["rows"]["trained_on"] == 270 - lost
    elif kind.name != "control":
        assert about["rows"]["trained_on"] + lost == 100
        assert any("random 100 of 270" in line for line in about["caveats"])
    assert set(map(len, about["components"].values())) <= {found.n_features}
    assert 0 < about["held_out"]["explained_variance"] <= 1 or kind.name in ("random", "supervised")
    assert np.isfinite(found.encode(store.activations("x").take([0]))).all()


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_the_bar_rises_to_the_end_and_stops_the_work(tmp_path, kind):
    store, seen = stored(tmp_path, parts(300)[1], labels=["a", "b", "b"] * 100), []
    asked = {"components": 3} if "components" in {p.name for p in params_of(kind.params)} else {}
    asked |= GIVEN.get(kind.name, {})
    make(store, "x", kind.name, asked, progress=lambda share, doing: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def stop(share, doing):
        if share >= seen[len(seen) // 2]:
            raise Cancelled

    with pytest.raises(Cancelled):
        make(store, "x", kind.name, asked, progress=stop)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_too_little_is_refused_in_words(tmp_path, kind):
    few = write_store(tmp_path / "f", name="f", taps={"x": rows(5)}, labels=["a", "b", "b", "a", "a"])
    with pytest.raises((NotEnoughData, NotFound)):
        make(few, "x", kind.name, GIVEN.get(kind.name))
    flat = stored(tmp_path, np.zeros((60, D), np.float32), labels=["a", "b", "b"] * 20)
    if kind.name in ("kmeans", "random"):
        assert make(flat, "x", kind.name).about["held_out"]["explained_variance"] is None
    else:
        with pytest.raises(LoupeError):
            make(flat, "x", kind.name, {**GIVEN.get(kind.name, {})})
    if kind.name in ("nmf", "semi_nmf", "ica", "kmeans", "convex", "sparse_coding"):
        small = write_store(tmp_path / "g", name="g", taps={"x": np.abs(rows(30))})
        with pytest.raises(NotEnoughData, match="500 components from 27 rows"):
            make(small, "x", kind.name, {"components": 500})


def test_a_job_makes_one_and_the_command_line_too(tmp_path, capsys):
    workspace = Workspace.create(tmp_path / "w")
    write_store(workspace.path / "stores" / "net", name="net", taps={"x": rows()})
    asked = {"input": "net:x", "kind": "pca", "name": "axes", "params": {"components": 2}}
    assert HANDLERS["make_features"](workspace.path, asked, no_progress) == {"features": "axes"}
    assert workspace.encode("net:x", "axes") == "net:x@axes"
    with pytest.raises(InputError, match="encoded by a feature set"):
        make(workspace.store("net"), "x@axes", "pca")
    with pytest.raises(InputError, match="already"):
        HANDLERS["make_features"](workspace.path, asked, no_progress)
    at = ["--workspace", str(workspace.path)]
    given = ["features", "make", "net:x", "pca", "--name", "two", "--set", "components=3", "--json", *at]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["n_features"] == 3
    assert workspace.features.open("two").about["parameters"] == {"components": 3}
    assert main(["features", "make", "net:x", "magic", *at]) == 1
    assert "one of pca" in capsys.readouterr().err
    assert main(["features", "make", "net:x", "pca", "--set", "components=0", *at]) == 2
