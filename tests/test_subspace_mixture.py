"""Mixtures of subspaces: closed forms of the posterior against densities and their gradients, recovery of planted
subspaces, the jump at N_k = d_k, and broken code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from analysis.activations import ArrayActivations, Layout
from analysis.compute.subspaces import union_fits, union_report
from analysis.compute.subspaces.angles import overlap, principal_angles
from analysis.compute.subspaces.union import (
    gap_dimension,
    k_subspaces,
    leading,
    posterior_mean,
    posterior_weights,
)
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.rank import subspace_mixture as file
from analysis.methods.rank.subspace_mixture import SubspaceMixtureParams, subspace_mixture


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def planted(rng, k, d, q, each, noise=0.0):
    bases = [np.linalg.qr(rng.standard_normal((q, d)))[0] for _ in range(k)]
    x = np.vstack([rng.standard_normal((each, d)) @ b.T for b in bases])
    return bases, x + noise * rng.standard_normal(x.shape), np.repeat(np.arange(k), each)


def value(result, start):
    return next(e for e in result.estimates if e.name.startswith(start))


# ---------------------------------------------------------------------------- closed forms
@pytest.mark.parametrize("dims", [(2, 2, 2), (1, 2, 4)])
def test_posterior_is_bayes_and_its_mean_is_tweedies(rng, dims):
    """Weights from the densities of the components; E[x0 | x] = (x + γ² ∇ log p(x)) / s by finite differences."""
    s, gamma, shares = 0.8, 0.3, np.array([0.2, 0.5, 0.3])
    bases = [np.linalg.qr(rng.standard_normal((6, d)))[0] for d in dims]
    normals = [multivariate_normal(np.zeros(6), s**2 * b @ b.T + gamma**2 * np.eye(6)) for b in bases]

    def log_p(x):
        return np.log(sum(p * normal.pdf(x) for p, normal in zip(shares, normals, strict=True)))

    x = rng.standard_normal((5, 6))
    density = np.stack([p * normal.pdf(x) for p, normal in zip(shares, normals, strict=True)], axis=1)
    np.testing.assert_allclose(
        posterior_weights(x, bases, shares, s, gamma), density / density.sum(axis=1, keepdims=True), rtol=1e-9
    )
    step = 1e-5
    slope = np.stack([(log_p(x + step * e) - log_p(x - step * e)) / (2 * step) for e in np.eye(6)], axis=1)
    np.testing.assert_allclose(
        posterior_mean(x, bases, shares, s, gamma), (x + gamma**2 * slope) / s, atol=1e-8
    )


def test_weights_do_not_overflow(rng):
    bases = [np.eye(4)[:, :1], np.eye(4)[:, 1:2]]
    w = posterior_weights(1e4 * rng.standard_normal((9, 4)), bases, np.array([0.5, 0.5]), 1.0, 1e-6)
    assert np.isfinite(w).all()
    np.testing.assert_allclose(w.sum(axis=1), 1)


@pytest.mark.parametrize("n", [1, 3, 5, 6, 7, 20])
def test_recovery_jumps_at_as_many_samples_as_dimensions(rng, n):
    """N clean samples of a subspace of 6 dimensions give N / 6 of it, and all of it from N = 6 on."""
    basis = np.linalg.qr(rng.standard_normal((40, 6)))[0]
    found, squares = leading(rng.standard_normal((n, 6)) @ basis.T, 6)
    found = found[:, squares[:6] > 1e-12 * squares[0]]
    cosines = np.cos(principal_angles(basis, found)) ** 2
    assert cosines.sum() / 6 == pytest.approx(min(n, 6) / 6, abs=1e-12)


def test_gap_dimension_by_hand():
    assert gap_dimension(np.array([9.0, 8.0, 1.0, 0.5]), 3) == (2, 8.0)
    assert gap_dimension(np.array([9.0, 8.0, 1.0, 0.01]), 2) == (2, 8.0)
    assert gap_dimension(np.array([9.0, 8.0, 0.0]), 2) == (2, np.inf)


# ---------------------------------------------------------------------------- fits
def test_planted_subspaces_are_found_exactly(rng):
    bases, x, of = planted(rng, 3, 2, 12, 60)
    fit = k_subspaces(x, 3, 2, rng, 20)
    assert fit.kept == pytest.approx((x**2).sum(), rel=1e-12)
    assert 1 <= fit.reached((x**2).sum()) <= 20
    for j in range(3):
        same = of[fit.codes == j]
        assert (same == same[0]).all()
        assert principal_angles(fit.bases[j], bases[same[0]])[-1] < 1e-7


def test_starts_find_local_minima(rng):
    """The reason for many starts: they do not all end alike."""
    _, x, _ = planted(rng, 5, 2, 12, 40)
    fit = k_subspaces(x, 5, 2, rng, 20)
    assert fit.ends.min() < 0.97 * fit.ends.max()


def test_a_subspace_that_runs_empty_is_filled(rng):
    x = np.vstack([np.outer(rng.standard_normal(50), np.eye(4)[0]), 0.01 * rng.standard_normal((5, 4))])
    fit = k_subspaces(x, 3, 1, rng, 5)
    assert (np.bincount(fit.codes, minlength=3) > 0).all()


def test_turned_and_stretched_samples_have_the_same_pieces(rng):
    _, x, _ = planted(rng, 2, 2, 8, 60, noise=0.02)
    q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    one, other = subspace_mixture(x), subspace_mixture(30 * x @ q - 5)
    assert list(one.columns["samples"]) == list(other.columns["samples"])
    np.testing.assert_allclose(one.columns["overlap"], other.columns["overlap"], atol=1e-6)


def test_dial_and_angles_of_the_method(rng):
    bases, x, _ = planted(rng, 2, 3, 10, 70, noise=0.02)
    found = subspace_mixture(x, SubspaceMixtureParams(components=2, through="zero"))
    assert list(found.columns["dimension"]) == [3, 3]
    np.testing.assert_allclose(found.columns["samples / dimension"], found.columns["samples"] / 3)
    truth = np.degrees(principal_angles(*bases))
    assert found.columns["smallest angle"][0] == pytest.approx(truth[0], abs=2)
    assert found.columns["largest angle"][0] == pytest.approx(truth[-1], abs=2)
    assert found.columns["overlap"][0] == pytest.approx(overlap(np.radians(truth)), abs=0.03)
    assert value(found, "samples that clearly").value > 0.9


def test_one_cloud_is_not_called_pieces(rng):
    found = subspace_mixture(rng.standard_normal((300, 6)), SubspaceMixtureParams(dimension=2))
    union, one = found.estimates[:2]
    assert union.value > one.value + 0.02  # pieces always keep more, held out too
    assert union.null == pytest.approx(union.value, abs=0.06)
    assert "Nothing beyond one Gaussian cloud" in found.reading
    assert value(found, "samples that clearly").value < 0.9


def test_tokens_of_a_sample_are_held_out_together(rng):
    _, x, _ = planted(rng, 2, 1, 6, 20, noise=0.05)
    tap = ArrayActivations(np.repeat(x, 4, axis=0), layout=Layout(np.arange(41) * 4))
    held = union_fits.kept_held_out(
        np.repeat(x, 4, axis=0), np.repeat(np.arange(40), 4), 2, 1, np.random.default_rng(0), 4,
        lambda *_: None, (0, 1),
    )[0]  # fmt: skip
    assert held.share > 0.9
    assert (held.kept.reshape(40, 4) == held.kept.reshape(40, 4)[:, :1]).all()
    assert subspace_mixture(tap, SubspaceMixtureParams(components=2)).estimates[0].n == 160


def test_refusals(rng):
    x = rng.standard_normal((60, 5))
    with pytest.raises(NotEnoughData, match="for 10 subspaces of 4"):
        subspace_mixture(x, SubspaceMixtureParams(components=10, dimension=4))
    with pytest.raises(ParameterError, match="dimension = 5 in 5 axes"):
        subspace_mixture(x, SubspaceMixtureParams(dimension=5))
    with pytest.raises(NotEnoughData, match="at least 40"):
        subspace_mixture(x[:30])
    with pytest.raises(InputError):
        subspace_mixture(np.ones((60, 5)))
    with pytest.raises(NotEnoughData, match="span 1 direction"):
        subspace_mixture(np.outer(x[:, 0], x[0]))
    wide = subspace_mixture(rng.standard_normal((60, 300)).astype(np.float16))
    assert wide.estimates[0].d == 40


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (union_fits, "assigned", lambda x, bases: (np.zeros(len(x), int), ((x @ bases[0]) ** 2).sum(axis=1))),
        (union_report, "gap_dimension", lambda values, most: (most, 1.0)),
        (file, "gaussian_like", lambda x, kind, rng: x),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in file._check())
