"""Classical dictionaries of parts: principal components, codes that are not negative, NMF, mixtures of rows, centres,
sparse codes; each against another implementation or a closed form, on rows that it has not seen."""

from __future__ import annotations

import numpy as np
import pytest
from classical_subjects import D, lines, matched, parts, rows, seen, stored
from scipy.optimize import nnls

from analysis.errors import (
    InputError,
    TooLarge,
)
from analysis.features import nonnegative
from analysis.features.classical import convex
from analysis.features.classical.convex import mixed
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.making import make
from analysis.features.classical.nmf import factorised
from analysis.features.classical.semi_nmf import semi_factorised
from analysis.features.nonnegative import nonnegative_codes


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
