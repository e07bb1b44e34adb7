"""Encoders of one dictionary, atoms as pictures, their usage, and moments of point clouds: identities that hold, and
a second way to the same numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries.encoders import codes_on, matching_pursuit, rebuilt_by_llc, soft_threshold
from analysis.compute.grids.pyramid import cell_names, pooled
from analysis.compute.subspaces.moment_matrix import largest_angle, moment_basis, moment_matrix
from analysis.errors import InputError, LoupeError, ShapeError
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.tap_dictionary import TapDictionary
from analysis.methods.dictionaries.atom_mosaic import AtomMosaicParams, atom_mosaic
from analysis.methods.dictionaries.atom_usage import PYRAMID, AtomUsageParams, atom_usage
from analysis.methods.dictionaries.encoder_comparison import (
    LLC,
    OMP,
    EncoderComparisonParams,
    comparison_of,
)
from analysis.methods.subspaces.moment_subspace import MomentSubspaceParams, moment_subspace
from dashboard.figures import token_map as figure
from dashboard.figures.style import theme_named


# ---------------------------------------------------------------------------- encoders
def unit(rng, k, d):
    a = rng.standard_normal((k, d))
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def test_orthonormal_atoms_make_pursuit_the_largest_products(rng):
    z, basis = rng.standard_normal((30, 10)), np.linalg.qr(rng.standard_normal((10, 10)))[0]
    products = z @ basis.T
    for k in (1, 3, 10):
        taken, energy = matching_pursuit(z, basis, k)
        largest = np.argsort(-np.abs(products), axis=1)[:, :k]
        np.testing.assert_array_equal(taken, largest)  # in order, too
        want = np.zeros_like(products)
        np.put_along_axis(want, largest, np.take_along_axis(products, largest, 1), 1)
        np.testing.assert_allclose(codes_on(z, basis, taken), want, atol=1e-13)
        np.testing.assert_allclose(energy[:, k], ((z - want @ basis) ** 2).sum(axis=1), atol=1e-12)


def test_pursuit_leaves_what_least_squares_on_its_atoms_leaves_and_no_less_than_the_best_subset(rng):
    z, atoms = rng.standard_normal((6, 5)), unit(rng, 8, 5)
    taken, energy = matching_pursuit(z, atoms, 3)
    for i, own in enumerate(taken):
        assert len(set(own)) == 3
        left = z[i] - codes_on(z[i : i + 1], atoms, own[None])[0] @ atoms
        np.testing.assert_allclose(energy[i, 3], left @ left, atol=1e-12)
        best = min(
            ((z[i] - codes_on(z[i : i + 1], atoms, np.array([s]))[0] @ atoms) ** 2).sum()
            for s in itertools.combinations(range(8), 3)
        )
        assert energy[i, 3] >= best - 1e-12
    assert (np.diff(energy, axis=1) <= 1e-15).all()


def test_soft_threshold_and_locality_constrained_codes(rng):
    z, atoms = rng.standard_normal((12, 6)), unit(rng, 9, 6)
    codes, products = soft_threshold(z, atoms, 4), z @ atoms.T
    assert ((codes != 0).sum(axis=1) == 4).all()
    level = np.sort(np.abs(products), axis=1)[:, -5]
    on = codes != 0
    np.testing.assert_allclose(np.abs(codes)[on], (np.abs(products) - level[:, None])[on], atol=1e-14)
    # LLC by Lagrange: the stationary point of |u - Σ c b|² + β tr(C) |c|² under Σ c = 1
    u = z[0] / np.linalg.norm(z[0])
    near = np.argsort(-(atoms @ u))[:3]
    apart = atoms[near] - u
    gram = apart @ apart.T
    gram += 1e-4 * np.trace(gram) * np.eye(3)
    system = np.block([[2 * gram, np.ones((3, 1))], [np.ones((1, 3)), np.zeros((1, 1))]])
    c = np.linalg.solve(system, [0, 0, 0, 1])[:3]
    np.testing.assert_allclose(
        rebuilt_by_llc(z, atoms, 3)[0], np.linalg.norm(z[0]) * c @ atoms[near], atol=1e-10
    )


def test_a_planted_dictionary_is_better_than_a_random_one_by_pursuit(rng):
    atoms, codes = unit(rng, 24, 16), np.zeros((200, 24))
    for row in codes:
        row[rng.choice(24, 2, replace=False)] = 1 + rng.random(2)
    zero, tap = np.zeros(16), ArrayActivations(codes @ atoms, "mlp")

    def of(rule, **more):
        return TapDictionary(
            tap, tap, FeatureSet("d", rule, atoms.T, atoms, np.zeros(24), zero, zero, **more), False
        )

    found = comparison_of(of(rules.LINEAR), EncoderComparisonParams(most=4, draws=1), rng)
    at = list(found.x).index(2)
    assert found.series[OMP][at] < 0.05
    assert found.null[OMP][at] > 0.3
    assert found.series[LLC][at] > found.series[OMP][at]
    with pytest.raises(InputError, match="rebuild nothing"):
        comparison_of(of(rules.PROTOTYPE, epsilon=1e-4), EncoderComparisonParams(), rng)


# ---------------------------------------------------------------------------- pictures and places
def test_atoms_are_pictures_in_the_order_of_their_use(rng):
    x = np.maximum(rng.standard_normal((300, 12)) - np.linspace(1.5, 0, 12), 0)
    found = atom_mosaic(
        ArrayActivations(x, "patches"), AtomMosaicParams(height=2, width=3, order="channels first")
    )
    assert found.grid == (2, 3)
    assert found.samples.tolist() == np.argsort(-(x > 0).sum(axis=0), kind="stable").tolist()
    assert found.samples[0] == 11
    for picture, atom in zip(found.values, found.samples, strict=True):  # unit 6 begins the second channel
        np.testing.assert_array_equal(picture, 0.5 * (np.arange(6) == atom % 6))
    assert found.names[0].startswith("11 · ")
    drawn = figure.screen(found, theme_named("light"))
    assert found.names[0] in [a.text for a in drawn.layout.annotations]
    assert "picture" in figure.table(found)
    square = atom_mosaic(ArrayActivations(x, "patches"))  # 12 = 2 × 2 × 3
    assert square.grid == (2, 2)
    for height, width in ((5, 2), (7, 1)):
        with pytest.raises(ShapeError, match="12 numbers"):
            atom_mosaic(ArrayActivations(x), AtomMosaicParams(height=height, width=width, channels=1))


def test_pyramid_cells_and_their_children(rng):
    for height, width in ((8, 8), (5, 7), (4, 4)):
        v = rng.random((height * width, 3))
        mean, top = pooled(v, height, width, "mean"), pooled(v, height, width, "max")
        assert [len(m) for m in mean] == [1, 4, 16]
        assert len(cell_names(height, width)) == 21
        np.testing.assert_allclose(mean[0][0], v.mean(axis=0), atol=1e-14)
        for i in (0, 1):
            s = 2**i
            children = top[i + 1].reshape(s, 2, s, 2, 3).transpose(0, 2, 1, 3, 4).reshape(s * s, 4, 3)
            np.testing.assert_array_equal(top[i], children.max(axis=1))
            if height == width:
                children = mean[i + 1].reshape(s, 2, s, 2, 3).transpose(0, 2, 1, 3, 4).reshape(s * s, 4, 3)
                np.testing.assert_allclose(mean[i], children.mean(axis=1), atol=1e-14)
    assert [len(p) for p in pooled(rng.random((9, 2)), 1, 9, "mean")] == [1, 2, 4]


def test_usage_over_places_and_samples_against_the_plain_means(rng):
    x = rng.random((12, 17, 3)).astype(np.float32)
    tap = ArrayActivations(x.reshape(-1, 3), "t", layout=Layout(np.arange(13) * 17, (4, 4), 1))
    found = atom_usage(tap, AtomUsageParams(along=PYRAMID, draws=2))
    atom = [int(name.split()[0]) for name in found.row_names]
    own = x[:, 1:].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found.values[:, 5:], own[:, atom].T, atol=1e-12)
    runs = atom_usage(tap, AtomUsageParams(bins=3, draws=2))
    plain = x[:, 1:].astype(np.float64).reshape(3, 4 * 16, 3).mean(axis=1)
    np.testing.assert_allclose(
        runs.values, plain[:, [int(n.split()[0]) for n in runs.row_names]].T, atol=1e-12
    )


# ---------------------------------------------------------------------------- point clouds
def test_motion_multiplies_the_moment_matrix_from_the_right(rng):
    f, x = rng.standard_normal((40, 9)), rng.standard_normal((40, 3))
    turn, move = np.linalg.qr(rng.standard_normal((3, 3)))[0], rng.standard_normal(3)
    by = np.block([[np.ones((1, 1)), move[None]], [np.zeros((3, 1)), turn.T]])
    np.testing.assert_allclose(moment_matrix(f, x @ turn.T + move), moment_matrix(f, x) @ by, atol=1e-12)
    still = moment_basis(f, x)
    for own, moved in ((f, x @ turn.T + move), (f, x @ turn.T + 1e4), (f[::-1], x[::-1])):
        assert np.radians(largest_angle(still, moment_basis(own, moved))) < 1e-10
    places = rng.integers(0, 8, (40, 3)).astype(float)  # whole numbers can be moved far without rounding
    far = moment_basis(f, places + 2.0**40)
    assert far.shape == (9, 4)
    assert np.radians(largest_angle(moment_basis(f, places), far)) < 1e-10
    assert largest_angle(still, moment_basis(f, x + 0.3 * np.sin(3 * x))) > 1
    assert largest_angle(still, moment_basis(f[:30], x[:30])) > 1  # a part of the object is another subspace


def test_clouds_by_named_units_or_by_the_grid(rng):
    f, x = rng.standard_normal((2, 25, 8)), rng.standard_normal((25, 3))
    clouds = [np.hstack([f[0], x]), np.hstack([f[0], 2 * x[:, ::-1] + 5]), np.hstack([f[1], x])]
    names = (*(f"f{i}" for i in range(8)), "a", "b", "c")
    layout = Layout(np.arange(4) * 25, (5, 5), 0)
    tap = ArrayActivations(np.concatenate(clouds), "clouds", {"id": np.array(["p", "q", "r"])}, layout, names)
    found = moment_subspace(tap, MomentSubspaceParams(coordinates="a, b, c", clouds="p,q,r"))
    assert found.row_names == ("p", "q", "r")
    assert found.values[0, 1] < 1e-8
    assert found.significant[0, 1]
    assert found.values[0, 2] > 20
    assert not found.significant[0, 2]
    assert any("image grid" in c for c in moment_subspace(tap).caveats)
    for asked in ({"coordinates": "a, z"}, {"clouds": "p, w"}):
        with pytest.raises(LoupeError):
            moment_subspace(tap, MomentSubspaceParams(**asked))
