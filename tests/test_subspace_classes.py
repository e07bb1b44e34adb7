"""Classes as subspaces: planted planes, chance, exchanged labels, classes that are left out, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from analysis.activations import ArrayActivations, Layout
from analysis.compute.subspaces import class_overlap
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces import class_angles as angles_module
from analysis.methods.subspaces import class_subspaces as module
from analysis.methods.subspaces.class_angles import ClassAnglesParams, class_angles
from analysis.methods.subspaces.class_subspaces import ALL, ClassSubspacesParams, class_subspaces


def classes(rng, bases, n=100, size=4.0, noise=0.3, apart=5.0):
    """n samples of each class around a mean of its own, spread along its basis."""
    d = bases[0].shape[0]
    x = noise * rng.standard_normal((n * len(bases), d))
    for c, basis in enumerate(bases):
        x[c * n : (c + 1) * n] += size * rng.standard_normal((n, basis.shape[1])) @ basis.T
        x[c * n : (c + 1) * n] += apart * rng.standard_normal(d)
    return x, np.repeat(np.arange(len(bases)), n)


def run(x, labels, **more):
    return class_subspaces(
        ArrayActivations(x, samples={"label": labels}), params=ClassSubspacesParams(**more)
    )


def brute(x, labels, k, about_all=False):
    """Overlap of every two classes by SciPy's angles between right singular vectors."""
    bases = []
    for c in np.unique(labels):
        part = x[labels == c] - (x.mean(axis=0) if about_all else x[labels == c].mean(axis=0))
        bases.append(np.linalg.svd(part)[2][:k].T)
    return np.array([[(np.cos(subspace_angles(a, b)) ** 2).mean() for b in bases] for a in bases])


@pytest.mark.parametrize("about_all", [False, True])
@pytest.mark.parametrize(("n", "d"), [(60, 10), (25, 40)])
def test_overlaps_are_those_of_singular_vectors(rng, about_all, n, d):
    x, labels = classes(rng, [random_basis(d, 3, rng) for _ in range(4)], n=n)
    more = {"about": ALL} if about_all else {}
    np.testing.assert_allclose(run(x, labels, **more).values, brute(x, labels, 3, about_all), atol=1e-9)


def test_where_a_class_lies_matters_about_the_mean_of_all_only(rng):
    basis = random_basis(12, 2, rng)
    x, labels = classes(rng, [basis] * 3, apart=0.0)
    moved = x + 60 * np.eye(12)[:3][labels]
    plain, away = run(x, labels, dimension=2), run(moved, labels, dimension=2)
    np.testing.assert_allclose(plain.values, away.values, atol=1e-9)
    assert run(moved, labels, dimension=1, about=ALL).values[0, 1] == pytest.approx(
        0.25, abs=0.01
    )  # (-1/2)², 3 corners


@given(seed=st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_turning_shifting_and_scaling_change_nothing(seed):
    rng = np.random.default_rng(seed)
    x, labels = classes(rng, [random_basis(8, 2, rng) for _ in range(3)], n=30)
    turn = random_basis(8, 8, rng)
    for about in (ALL, module.OWN):
        asked = {"dimension": 2, "draws": 5, "about": about}
        one, other = run(x, labels, **asked), run(0.1 * x @ turn + 9, labels, **asked)
        np.testing.assert_allclose(one.values, other.values, atol=1e-8)


def test_one_covariance_is_what_exchanged_labels_give_and_own_planes_are_below(rng):
    shared, own = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, labels = classes(rng, [random_basis(10, 2, rng)] * 4, n=15, noise=2.0)
        shared.append(module._own(run(x, labels, dimension=2)).p_value)
        x, labels = classes(rng, [random_basis(10, 2, rng) for _ in range(4)], n=15, noise=0.5)
        own.append(module._own(run(x, labels, dimension=2)).p_value)
    assert np.mean(shared) > 0.25
    assert sum(p < 0.05 for p in shared) <= 3
    assert max(own) < 0.05


def test_few_samples_lower_the_overlap_and_exchanged_labels_show_it(rng):
    basis = random_basis(60, 3, rng)
    few = run(*classes(rng, [basis] * 4, n=12, noise=2.0))
    many = run(*classes(rng, [basis] * 4, n=400, noise=2.0))
    assert module._own(few).value < 0.9 < module._own(many).value
    assert module._own(few).null == pytest.approx(module._own(few).value, abs=0.12)


def test_chance_is_k_of_the_dimensions_that_are_spanned(rng):
    x, labels = classes(rng, [random_basis(20, 3, rng) for _ in range(3)])
    x[:, 5] = 7.0
    found = run(x, labels)
    assert found.null[0, 1] == pytest.approx(3 / 19)
    assert any("1 constant unit" in c for c in found.caveats)
    wide = run(*classes(rng, [random_basis(90, 2, rng) for _ in range(3)], n=20), dimension=2)
    assert wide.null[0, 1] == pytest.approx(2 / 57)  # 60 samples, three means


def test_classes_without_a_gap_are_marked_and_named(rng):
    x, labels = classes(rng, [random_basis(12, 3, rng), random_basis(12, 3, rng), np.eye(12)], n=80)
    found = run(x, labels)
    np.testing.assert_array_equal(
        found.few, [[False, False, True], [False, False, True], [True, True, False]]
    )
    assert any("not told apart in 1 of 3 classes (2)" in c for c in found.caveats)


def test_small_classes_are_left_out_and_counted(rng):
    x, labels = classes(rng, [random_basis(9, 2, rng) for _ in range(4)], n=30)
    keep = np.r_[0:60, 60:61, 90:95]
    found = run(x[keep], labels[keep], dimension=2)
    assert found.row_names == ("0", "1")
    assert any("2 class(es) with fewer than 10 samples left out: 3 (5), 2 (1)" in c for c in found.caveats)
    with pytest.raises(NotEnoughData, match=r"1 of 1 class"):
        run(x[:30], labels[:30])
    with pytest.raises(NotEnoughData, match=r"1 of 2 class.*0 \(30\), 1 \(1\)"):
        run(x[:31], labels[:31])


def test_refusals_and_odd_input(rng):
    x, labels = classes(rng, [random_basis(9, 2, rng) for _ in range(3)], n=30)
    with pytest.raises(NotFound):
        run(x, labels, column="colour")
    with pytest.raises(NotEnoughData, match="span 3 dimension"):
        run(x[:, :3], labels)
    with pytest.raises(InputError, match="constant"):
        run(np.where(labels[:, None] == 1, 2.0, x), labels)
    text = np.array(["a", "b", ""])[labels]
    found = run(x, text, dimension=2)
    assert found.row_names == ("a", "b")
    assert any("30 sample(s) without a label" in c for c in found.caveats)
    doubled = run(np.hstack([x, x]), labels, dimension=2)
    np.testing.assert_allclose(doubled.values, run(x, labels, dimension=2).values, atol=1e-9)
    tokens = ArrayActivations(
        np.repeat(x, 2, axis=0), samples={"label": labels}, layout=Layout(np.arange(0, 181, 2))
    )
    pooled = class_subspaces(tokens, params=ClassSubspacesParams(dimension=2))
    np.testing.assert_allclose(pooled.values, run(x, labels, dimension=2).values, atol=1e-9)


# ---------------------------------------------------------------------------- two classes
def test_angles_of_two_classes_are_those_of_their_singular_vectors(rng):
    x, labels = classes(rng, [random_basis(15, 3, rng) for _ in range(3)], n=60)
    found = class_angles(
        ArrayActivations(x, samples={"label": labels}), params=ClassAnglesParams(first="2", second="0")
    )
    bases = [np.linalg.svd(x[labels == c] - x[labels == c].mean(axis=0))[2][:3].T for c in (2, 0)]
    np.testing.assert_allclose(
        found.series["principal angles"], np.degrees(np.sort(subspace_angles(*bases))), atol=1e-6
    )
    assert "class 2 (3) and class 0 (3)" in found.title
    assert (found.low["principal angles"] <= found.series["principal angles"]).all()


def test_the_two_largest_classes_are_taken_and_what_cannot_be_is_refused(rng):
    x, labels = classes(rng, [random_basis(15, 2, rng) for _ in range(3)], n=60)
    tap = ArrayActivations(x[20:], samples={"label": labels[20:]})
    assert "class 1 (2) and class 2 (2)" in class_angles(tap, params=ClassAnglesParams(dimension=2)).title
    assert (
        "class 0 (2) and class 1 (2)"
        in class_angles(tap, params=ClassAnglesParams(first="0", dimension=2)).title
    )
    with pytest.raises(NotFound, match="no class '7'"):
        class_angles(tap, params=ClassAnglesParams(first="7"))
    with pytest.raises(ParameterError, match="twice"):
        class_angles(tap, params=ClassAnglesParams(first="1", second="1"))
    with pytest.raises(NotEnoughData, match="direction"):
        class_angles(tap, params=ClassAnglesParams(dimension=40))
    assert any(
        "not told apart" in c for c in class_angles(tap, params=ClassAnglesParams(dimension=4)).caveats
    )


# ---------------------------------------------------------------------------- checks that can fail
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "overlaps", lambda axes: 1.01 * class_overlap.overlaps(axes)),
        (module, "overlap_by_chance", lambda p, q, d: (0.2, 0.1)),
        (module, "dealt_at_random", lambda data, k, draws, *_: np.zeros(draws)),
        (class_overlap, "leading_axes", lambda x, k: np.linalg.svd(x + 5.0)[2][:k].T),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())


def test_the_check_of_angles_fails_on_broken_code(monkeypatch):
    target = "analysis.compute.subspaces.angle_curve.principal_angles"
    monkeypatch.setattr(target, lambda a, b: np.sort(subspace_angles(a, b)) + 0.01)
    assert not all(line.passed for line in angles_module.METHODS[0].check())
