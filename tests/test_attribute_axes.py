"""Axes of attributes: identities of edits, what is left outside, faders and their scores, separate subspaces,
refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import ridge_probe
from analysis.compute.linear.ridge_probe import held_out_predictions, ridge_weights
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.subspaces import attribute_axes, edit_effects, factor_subspaces, fader_scores
from analysis.compute.subspaces import probe_r2 as probing
from analysis.compute.subspaces.attribute_axes import (
    COVARIANCE,
    FITS,
    REGRESSION,
    edited,
    nearest_orthonormal,
    outside,
    separate_subspaces,
)
from analysis.compute.subspaces.attribute_data import attribute_data
from analysis.compute.subspaces.edit_effects import edit_effects as effects_of
from analysis.compute.subspaces.edit_effects import halves_of, real_directions, steps_of
from analysis.compute.subspaces.fader_scores import gaps, sap_and_mig, squared_correlations
from analysis.compute.subspaces.probe_r2 import held_errors, probe_r2
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import attribute_projection as projection
from analysis.methods.concepts import attribute_subspaces as subspaces
from analysis.methods.concepts import faders as fading
from analysis.methods.concepts.attribute_projection import AttributeProjectionParams, attribute_projection
from analysis.methods.concepts.attribute_subspaces import AttributeSubspacesParams, attribute_subspaces
from analysis.methods.concepts.faders import FadersParams, faders

FEW = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 10**6)


def planted(rng, n=400, d=8, m=2, noise=0.5):
    y = rng.standard_normal((n, m))
    return y @ rng.standard_normal((m, d)) + noise * rng.standard_normal((n, d)), y


def tap(x, y, **more):
    return ArrayActivations(x, samples={f"a{i}": column for i, column in enumerate(np.asarray(y).T)}, **more)


# ---------------------------------------------------------------------------- identities of an edit
@FEW
@given(seed=seeds, fit=st.sampled_from(FITS))
def test_an_edit_sets_its_coordinates_and_nothing_else(seed, fit):
    rng = np.random.default_rng(seed)
    z, y = planted(rng, n=60, d=6, m=3)
    m = attribute_axes.attribute_axes(z, y, fit)
    new = rng.standard_normal((60, 3))
    moved = edited(z, m, new)
    np.testing.assert_allclose(m @ m.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(moved @ m.T, new, atol=1e-10)
    np.testing.assert_allclose(outside(moved, m), outside(z, m), atol=1e-10)
    np.testing.assert_allclose(edited(z, m, z @ m.T), z, atol=1e-12)


@FEW
@given(seed=seeds)
def test_edits_of_two_attributes_commute(seed):
    rng = np.random.default_rng(seed)
    z, y = planted(rng, n=50, d=5, m=2)
    m = attribute_axes.attribute_axes(z, y)
    a, b = rng.standard_normal((2, 50, 1))
    one = edited(edited(z, m[:1], a), m[1:], b)
    other = edited(edited(z, m[1:], b), m[:1], a)
    np.testing.assert_allclose(one, other, atol=1e-10)
    np.testing.assert_allclose(one, edited(z, m, np.hstack([a, b])), atol=1e-10)


def test_the_axes_are_the_best_of_all_orthonormal_ones(rng):
    """‖z - Mᵀ y‖² by its definition: no perturbed orthonormal M has less."""
    z, y = planted(rng, n=300, d=6, m=2)
    z, y = z - z.mean(axis=0), (y - y.mean(axis=0)) / y.std(axis=0)
    m = attribute_axes.attribute_axes(z, y)

    def loss(axes):
        return ((z - y @ axes) ** 2).sum()

    for scale in (1e-3, 1e-2, 0.1, 1.0):
        for _ in range(50):
            other = np.linalg.qr((m + scale * rng.standard_normal(m.shape)).T)[0].T
            other *= np.sign((other * m).sum(axis=1, keepdims=True))
            assert loss(other) >= loss(m) - 1e-9


def test_the_covariance_fit_leaves_nothing_linear_where_it_was_fitted_and_regression_does(rng):
    """Brute force by least squares on the same samples."""
    z, y = planted(rng, n=500, d=6, m=2)
    z[:, 0] *= 5  # one direction of large variance, so that weights and covariance differ
    left = {}
    for fit in FITS:
        rest = outside(z - z.mean(axis=0), attribute_axes.attribute_axes(z, y, fit))
        fitted = rest @ np.linalg.lstsq(rest, y - y.mean(axis=0), rcond=1e-10)[0]
        left[fit] = (fitted**2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
    assert left[COVARIANCE] < 1e-20
    assert left[REGRESSION] > 0.02


def test_white_data_give_both_fits_the_same_axes(rng):
    z, y = planted(rng, n=2000, d=5, m=2)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    white = (z - z.mean(axis=0)) @ vectors / np.sqrt(values)
    one, two = (attribute_axes.attribute_axes(white, y, fit) for fit in FITS)
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_attributes_that_determine_each_other_are_refused(rng):
    z, y = planted(rng)
    with pytest.raises(InputError, match="independent directions"):
        attribute_axes.attribute_axes(z, np.column_stack([y, y[:, 0] - 2 * y[:, 1]]))
    with pytest.raises(InputError, match="independent directions"):
        nearest_orthonormal(rng.standard_normal((2, 3)))


# ---------------------------------------------------------------------------- probes
def test_ridge_weights_are_those_of_the_shared_probe(rng):
    """Predictions of the weights are the held-out predictions of `ridge_probe` for a fold it did not see."""
    x, y = planted(rng, n=120)
    fold = np.arange(120) % 2
    expected = held_out_predictions(x, y, np.arange(2), fold)[fold == 1]
    train, test = fold == 0, fold == 1
    w = ridge_weights(x[train], y[train])
    found = (x[test] - x[train].mean(axis=0)) @ w + y[train].mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert ridge_probe.PENALTIES[0] < 1e-3


def test_r2_by_its_definition_and_null_near_zero(rng):
    x, y = planted(rng, n=300)
    y = np.column_stack([y[:, 0], rng.standard_normal(300)])
    fold = rng.permutation(np.arange(300) % 5)
    held = held_errors(x, y, fold, np.array([rng.permutation(300) for _ in range(20)]))
    found = probe_r2(held, np.arange(300) % 10)
    predicted = held_out_predictions(x, y, np.arange(2), fold)
    middle = np.array([y[fold != f].mean(axis=0) for f in range(5)])[fold]
    np.testing.assert_allclose(
        found.value, 1 - ((y - predicted) ** 2).sum(0) / ((y - middle) ** 2).sum(0), rtol=1e-10
    )
    assert found.value[0] > 0.5 > 0.05 > abs(found.value[1])
    assert np.abs(found.null).max() < 0.05
    assert found.p[0] < 1e-6 < 1e-3 < found.p[1]
    assert (found.low <= found.value).all()
    assert (found.value <= found.high).all()


# ---------------------------------------------------------------------------- attribute_projection
def test_correlated_attributes_move_each_other_by_their_correlation(rng):
    """One unit each, and correlation r: axes must be orthonormal, and here they are the units; the data move by r."""
    n, r = 4000, 0.6
    y = rng.standard_normal((n, 2)) @ np.linalg.cholesky([[1, r], [r, 1]]).T
    z = np.column_stack([y, 0.1 * rng.standard_normal((n, 3))])
    found = attribute_projection(tap(z, y), AttributeProjectionParams(columns="a0, a1", maximum_samples=4000))
    np.testing.assert_allclose(found.values[:, 5:7], [[1, r], [r, 1]], atol=0.03)  # correlations
    # M is the polar factor of Cov(z, y) = [[1, r], [r, 1]], the identity: read-outs of z = y are the units themselves
    np.testing.assert_allclose(found.values[:, 3:5], np.eye(2), atol=0.05)
    assert any("share directions" in c for c in found.caveats)


def test_leakage_is_measured_on_samples_that_did_not_make_the_axes(rng):
    """Many units, few samples: in-sample leakage is 0 by construction, held-out is not, and must be seen."""
    z, y = planted(rng, n=80, d=30, m=1, noise=0.3)
    halves = halves_of(np.zeros(80), rng)
    errors = edit_effects.read_in_and_out(z, y, halves, REGRESSION, 20, rng)
    outer = probe_r2(errors["outside"], np.arange(80) % 10)
    assert outer.value[0] > 0.2  # a regression's axis leaves most of it


@FEW
@given(seed=st.integers(0, 50))
def test_rotation_shift_and_scale_change_nothing(seed):
    rng = np.random.default_rng(seed)
    z, y = planted(rng, n=120, d=5)
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    params = AttributeProjectionParams(columns="a0, a1")
    one = attribute_projection(tap(z, y), params, rng=np.random.default_rng(1))
    two = attribute_projection(tap(3 * z @ q + 7, y), params, rng=np.random.default_rng(1))
    np.testing.assert_allclose(one.values, two.values, atol=1e-6)


def test_random_moves_have_unit_length_and_skip_duplicates(rng):
    x = np.repeat(rng.standard_normal((5, 3)), 4, axis=0)
    found = real_directions(x, 200, rng)
    assert found.shape == (200, 3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)


def test_a_step_raises_the_attribute_by_one_deviation(rng):
    z = 3.0 * rng.standard_normal((5000, 1)) @ np.array([[0.6, 0.8]])
    y = (z @ [[0.6], [0.8]]) / 3
    m = attribute_axes.attribute_axes(z + 1e-9 * rng.standard_normal(z.shape), y)
    np.testing.assert_allclose(steps_of(z, y, m), y.std() * 3 * np.array([[0.6, 0.8]]), atol=0.01)


def test_effects_of_unrelated_attributes_are_within_chance(rng):
    x, y = rng.standard_normal((400, 6)), rng.standard_normal((400, 3))
    found = effects_of(x, y, halves_of(np.zeros(400), rng), COVARIANCE, np.arange(400) % 10, rng)
    assert np.abs(found.values).max() < 0.1
    assert (found.low <= found.values).all()


def test_classes_have_a_reference_and_missing_labels_are_left_out(rng):
    label = np.array(["a"] * 40 + ["b"] * 30 + ["c"] * 20 + [""] * 10)
    x = rng.standard_normal((100, 4))
    x[:, 2] = 5.0
    data = attribute_data(
        ArrayActivations(x, samples={"label": label}), "label", rng, pooling="mean", maximum=1000, minimum=20
    )
    assert data.names == ("label = b", "label = c")
    assert data.x.shape == (90, 3)
    assert any("reference" in note and "label = a" in note for note in data.notes)
    assert any("constant unit" in note for note in data.notes)
    np.testing.assert_allclose(data.y.std(axis=0), 1.0)


def test_rare_classes_are_in_both_halves_and_survive_every_group_left_out():
    """Five samples of a class among 205: halves at random would lose it once in sixteen data sets."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label = np.r_[np.zeros(120), np.ones(80), np.full(5, 2)].astype(int)
        x = rng.standard_normal((205, 6)) + np.eye(6)[label]
        found = attribute_projection(ArrayActivations(x, samples={"label": label}), rng=rng)
        assert found.row_names == ("label = 1", "label = 2")
        assert np.isfinite(found.values).all()


def test_refusals(rng):
    x, y = planted(rng, n=100)
    with pytest.raises(NotFound, match="nothing"):
        attribute_projection(tap(x, y), AttributeProjectionParams(columns="nothing"))
    with pytest.raises(NotEnoughData, match="at least 40"):
        attribute_projection(tap(x[:30], y[:30]), AttributeProjectionParams(columns="a0"))
    with pytest.raises(InputError, match="independent directions"):
        attribute_projection(
            tap(x, np.column_stack([y, y[:, 0]])), AttributeProjectionParams(columns="a0, a2")
        )
    with pytest.raises(InputError, match="independent directions"):
        attribute_projection(tap(x[:, :1], y), AttributeProjectionParams(columns="a0, a1"))
    with pytest.raises(InputError, match="no unit"):
        attribute_projection(tap(np.ones((100, 3)), y), AttributeProjectionParams(columns="a0"))


def test_more_units_than_samples_and_tokens(rng):
    z, y = planted(rng, n=60, d=200)
    found = attribute_projection(tap(z, y), AttributeProjectionParams(columns="a0, a1"))
    assert np.isfinite(found.values).all()
    layout = Layout(np.arange(61) * 2)
    tokens = tap(np.repeat(z, 2, axis=0), y, layout=layout)
    again = attribute_projection(tokens, AttributeProjectionParams(columns="a0, a1"))
    np.testing.assert_allclose(again.values, found.values, atol=1e-8)


# ---------------------------------------------------------------------------- attribute_subspaces
@FEW
@given(seed=seeds)
def test_separate_subspaces_are_orthonormal_and_as_near_as_can_be(seed):
    rng = np.random.default_rng(seed)
    parts = [np.linalg.qr(rng.standard_normal((9, k)))[0] for k in (1, 2, 3)]
    found = separate_subspaces(parts)
    joint, given_ = np.hstack(found), np.hstack(parts)
    np.testing.assert_allclose(joint.T @ joint, np.eye(6), atol=1e-10)
    other = np.linalg.qr(joint + 0.05 * rng.standard_normal(joint.shape))[0]
    other *= np.sign((other * joint).sum(axis=0))
    assert ((joint - given_) ** 2).sum() <= ((other - given_) ** 2).sum() + 1e-9


def test_parts_that_are_orthogonal_stay_and_parts_that_meet_are_refused(rng):
    q = np.linalg.qr(rng.standard_normal((6, 4)))[0]
    np.testing.assert_allclose(np.hstack(separate_subspaces([q[:, :2], q[:, 2:]])), q, atol=1e-12)
    with pytest.raises(InputError):
        separate_subspaces([q[:, :2], q[:, 1:3]])


def test_directions_without_evidence_are_not_kept(rng):
    x = rng.standard_normal((300, 10))
    number = factor_of("number", x[:, 0] + 0.1 * rng.standard_normal(300))
    found = factor_subspaces.factor_basis(x, number, np.arange(300), 4, rng)
    assert found.shape == (10, 1)
    assert abs(found[0, 0]) > 0.95
    classes = rng.integers(4, size=300)
    four = factor_subspaces.factor_basis(
        x + 3 * np.eye(10)[classes], factor_of("c", classes), np.arange(300), 5, rng
    )
    assert four.shape == (10, 3)  # one fewer than classes


def test_coordinates_do_not_leak_and_scores_may(rng):
    """Correlated noise makes the read-out of one attribute use the other's axis."""
    n = 1500
    y = rng.standard_normal((n, 2))
    shared = rng.standard_normal(n)
    z = 0.2 * rng.standard_normal((n, 6))
    z[:, 0] += y[:, 0] + shared
    z[:, 1] += y[:, 1] + shared
    found = attribute_subspaces(tap(z, y), AttributeSubspacesParams(columns="a0, a1", directions=1))
    apart = ~np.eye(2, dtype=bool)
    assert np.abs(found.values[:, 2:][apart]).max() < 1e-12
    np.testing.assert_allclose(np.diag(found.values[:, 2:]), 1.0, atol=1e-12)
    assert found.values[:, :2][apart].min() > 0.2
    assert found.estimates[0].value < 0.85


def test_moves_by_brute_force(rng):
    """Root mean square over many unit directions of the subspace."""
    basis, w = np.linalg.qr(rng.standard_normal((7, 3)))[0], rng.standard_normal((7, 2))
    x = rng.standard_normal((400, 7)) * np.arange(1, 8)
    found = factor_subspaces.moves_of(factor_subspaces.covariance(x), [basis], [w]).values[0, 0]
    u = rng.standard_normal((200_000, 3))
    u = (u / np.linalg.norm(u, axis=1, keepdims=True)) @ basis.T
    step = np.sqrt((((x - x.mean(axis=0)) @ basis) ** 2).mean())
    assert found == pytest.approx(step * np.sqrt(((u @ w) ** 2).mean()), rel=0.01)


# ---------------------------------------------------------------------------- faders
def test_a_shuffled_attribute_has_one_over_n_minus_one(rng):
    n = 25
    x, y = rng.standard_normal((n, 1)), rng.standard_normal((n, 1))
    found = [squared_correlations(x, rng.permutation(y))[0, 0] for _ in range(20_000)]
    assert np.mean(found) == pytest.approx(1 / (n - 1), rel=0.05)


def test_a_perfect_fader_and_its_leakage(rng):
    y = rng.standard_normal((300, 2))
    x = np.column_stack([rng.standard_normal((300, 2)), -3 * y[:, 1] + 2, y[:, 0] / 7])
    found = faders(tap(x, y), FadersParams(columns="a0, a1"))
    assert found.row_names == ("unit 3 for a0", "unit 2 for a1")
    np.testing.assert_allclose(np.diag(found.values[:, :2]), 1.0, atol=1e-12)
    assert found.values[0, 2] == pytest.approx(1.0)
    assert found.values[1, 3] == pytest.approx(-1.0)
    assert found.null[0, 0] == pytest.approx(1 / 149)
    given_ = faders(tap(x, y), FadersParams(columns="a0, a1", faders="2, 3"))
    assert np.diag(given_.values[:, :2]).max() < 0.1


def test_correlations_agree_with_scipy(rng):
    x, y = rng.standard_normal((80, 3)), rng.standard_normal((80, 2))
    x[:, 2] = 1.0
    found = squared_correlations(x, y)
    for i in range(2):
        for j in range(2):
            assert found[i, j] == pytest.approx(stats.pearsonr(x[:, i], y[:, j])[0] ** 2)
    assert (found[2] == 0).all()
    values = fader_scores.measured(x[:, :2], y, np.arange(80) % 10)[0]
    assert values[0, 3] == pytest.approx(stats.spearmanr(x[:, 0], y[:, 1])[0])


def test_sap_and_mig_fall_to_nothing_for_a_copied_unit(rng):
    y = rng.standard_normal((600, 1))
    x = rng.standard_normal((600, 5))
    x[:, 1] = y[:, 0]
    orders = np.array([rng.permutation(600) for _ in range(5)])
    alone = sap_and_mig(x, y, orders)
    x[:, 2] = y[:, 0]
    copied = sap_and_mig(x, y, orders)
    assert alone[0][0, 0] > 0.95
    assert alone[1][0, 0] > 0.9
    assert copied[0][0, 0] == pytest.approx(0.0, abs=1e-12)
    assert copied[1][0, 0] == pytest.approx(0.0, abs=1e-6)
    assert alone[0][1:].max() < 0.05
    np.testing.assert_allclose(gaps(np.array([[0.2, 1.0], [0.7, 0.4]])), [0.5, 0.6])


def test_faders_refuse(rng):
    x, y = planted(rng, n=100)
    with pytest.raises(ParameterError, match="1 fader"):
        faders(tap(x, y), FadersParams(columns="a0, a1", faders="1"))
    with pytest.raises(ParameterError, match="unit '99'"):
        faders(tap(x, y), FadersParams(columns="a0", faders="99"))
    x[:, 1] = 0
    with pytest.raises(ParameterError, match="does not vary"):
        faders(tap(x, y), FadersParams(columns="a0", faders="1"))


# ---------------------------------------------------------------------------- checks can fail
def _not_orthonormal(a):
    return a / np.linalg.norm(a, axis=0)


def _apart_only(parts):
    return [p / np.linalg.norm(p) * 1.01 for p in parts]


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (projection, projection, "edited", lambda z, axes, c: z + 0.9 * (c - z @ axes.T) @ axes),
        (projection, projection, "outside", lambda z, axes: z),
        (projection, edit_effects, "outside", lambda z, axes: z),
        (projection, edit_effects, "ridge_weights", lambda x, y: np.ones((x.shape[1], y.shape[1]))),
        (projection, attribute_axes, "nearest_orthonormal", lambda a: np.eye(*a.shape)[::-1]),
        (subspaces, factor_subspaces, "separate_subspaces", _apart_only),
        (subspaces, factor_subspaces, "ridge_weights", lambda x, y: np.ones((x.shape[1], y.shape[1]))),
        (subspaces, factor_subspaces, "_groups",
         lambda factor, k: np.random.default_rng(ord(factor.name[0])).integers(3, size=len(factor.of))),
        (fading, fader_scores, "squared_correlations", lambda x, y: 0.99 * squared_correlations(x, y)),
        (fading, fader_scores, "midranks", lambda v: (np.sin(7 * v), None)),
        (fading, fader_scores, "gaps", lambda s: s.max(axis=0) * 0.9),
        (fading, fader_scores, "entropies", lambda y, bins: np.ones(y.shape[1])),
    ],
)  # fmt: skip
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def test_r2_of_the_training_samples_would_be_noticed(monkeypatch, rng):
    """Probes that saw the samples find something in noise."""
    x, y = rng.standard_normal((60, 40)), rng.standard_normal((60, 1))
    fold, moves = np.arange(60) % 5, np.array([rng.permutation(60) for _ in range(20)])
    assert probe_r2(held_errors(x, y, fold, moves), np.arange(60) % 10).value[0] < 0.2
    monkeypatch.setattr(
        probing, "held_out_predictions", lambda x, y, *_, **__: x @ np.linalg.lstsq(x, y, rcond=None)[0]
    )
    assert probe_r2(held_errors(x, y, fold, moves), np.arange(60) % 10).value[0] > 0.4
