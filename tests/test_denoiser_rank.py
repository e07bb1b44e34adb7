"""The best denoiser of a mixture of subspaces: published formula, Tweedie, derivative, rank; stored Jacobians."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import mixture_denoiser as compute
from analysis.compute.linear.mixture_denoiser import Mixture
from analysis.compute.subspaces import denoiser_ranks
from analysis.compute.subspaces.union import posterior_mean, posterior_weights
from analysis.errors import InputError, NotEnoughData
from analysis.methods.rank import denoiser_rank as module
from analysis.methods.rank.denoiser_rank import DenoiserRankParams, denoiser_rank

FEW = settings(max_examples=15, deadline=None)
CASES = given(st.integers(0, 10**6), st.floats(0.2, 2.0), st.floats(0.2, 2.0))


def planted(rng, q=7, dims=(2, 2, 2), equal=True):
    shares = rng.dirichlet(np.ones(len(dims)) * 5)
    bases = [np.linalg.qr(rng.standard_normal((q, d)))[0] for d in dims]
    return Mixture(shares, bases, [np.ones(d) if equal else rng.uniform(0.2, 3, d) for d in dims])


def density(mixture, x, noise, signal):
    """Of noised samples, written out with full covariances."""
    covariances = [signal**2 * (b * v) @ b.T + noise**2 * np.eye(len(b))
                   for b, v in zip(mixture.bases, mixture.variances, strict=True)]  # fmt: skip
    parts = [p * multivariate_normal(np.zeros(mixture.q), c).pdf(x)
             for p, c in zip(mixture.shares, covariances, strict=True)]  # fmt: skip
    return np.sum(parts, axis=0)


@FEW
@CASES
def test_with_equal_variances_it_is_the_published_formula(seed, noise, signal):
    """s / (s² + γ²) Σ w_k U_k U_kᵀ x, w_k ∝ π_k exp(s² |U_kᵀ x|² / (2 γ² (s² + γ²))), as the mixture page has it."""
    rng = np.random.default_rng(seed)
    mixture, x = planted(rng), 2 * rng.standard_normal((6, 7))
    given_ = (x, mixture.bases, mixture.shares, signal, noise)
    np.testing.assert_allclose(mixture.weights(x, noise, signal), posterior_weights(*given_), atol=1e-9)
    np.testing.assert_allclose(mixture.denoised(x, noise, signal), posterior_mean(*given_), atol=1e-9)
    power = [p * np.exp(signal**2 * ((x @ b) ** 2).sum(axis=1) / (2 * noise**2 * (signal**2 + noise**2)))
             for p, b in zip(mixture.shares, mixture.bases, strict=True)]  # fmt: skip
    np.testing.assert_allclose(
        mixture.weights(x, noise, signal), np.transpose(power / np.sum(power, axis=0)), atol=1e-9
    )


@FEW
@CASES
def test_it_is_tweedies_formula_with_unequal_dimensions_and_variances(seed, noise, signal):
    rng = np.random.default_rng(seed)
    mixture, x, step = planted(rng, dims=(1, 2, 4), equal=False), rng.standard_normal((3, 7)), 1e-4
    slope = np.stack(
        [(np.log(density(mixture, x + step * e, noise, signal)) - np.log(density(mixture, x - step * e, noise, signal)))
         / (2 * step) for e in np.eye(7)], axis=1,
    )  # fmt: skip
    np.testing.assert_allclose(mixture.denoised(x, noise, signal), (x + noise**2 * slope) / signal, atol=1e-4)


@FEW
@CASES
def test_the_derivative_is_that_of_the_denoiser_symmetric_and_never_negative(seed, noise, signal):
    rng = np.random.default_rng(seed)
    mixture, x, step = planted(rng, dims=(1, 2, 4), equal=False), rng.standard_normal((3, 7)), 1e-5
    found = mixture.jacobians(x, noise, signal)
    by_hand = np.stack(
        [(mixture.denoised(x + step * e, noise, signal) - mixture.denoised(x - step * e, noise, signal)) / (2 * step)
         for e in np.eye(7)], axis=2,
    )  # fmt: skip
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    np.testing.assert_allclose(found, np.swapaxes(found, 1, 2), atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > -1e-9


@pytest.mark.parametrize("dims", [(2, 2, 2), (1, 3, 5)])
def test_where_one_piece_dominates_the_rank_is_its_dimension(dims):
    rng = np.random.default_rng(1)
    mixture = planted(rng, q=20, dims=dims)
    for basis, d in zip(mixture.bases, dims, strict=True):
        x = rng.standard_normal((30, d)) @ basis.T + 0.02 * rng.standard_normal((30, 20))
        clear = mixture.weights(x, 0.02).max(axis=1) > 1 - 1e-9
        assert clear.mean() > 0.7
        values = np.linalg.eigvalsh(mixture.jacobians(x[clear], 0.02))
        assert ((values > 0.1 * values[:, -1:]).sum(axis=1) == d).all()
    blurred = np.linalg.eigvalsh(mixture.jacobians(rng.standard_normal((5, 20)) * 10, 10.0))
    assert (
        (blurred > 1e-3 * blurred[:, -1:]).sum(axis=1) == sum(dims)
    ).all()  # much noise: all pieces at once


def samples(rng, k=3, d=2, q=12, each=80):
    bases = [np.linalg.qr(rng.standard_normal((q, d)))[0] for _ in range(k)]
    clean = np.vstack([rng.standard_normal((each, d)) @ b.T for b in bases])
    return clean + 0.02 * rng.standard_normal(clean.shape)


def test_fitted_to_samples_the_curve_falls_to_the_dimension_of_a_piece():
    found = denoiser_rank(samples(np.random.default_rng(2)), params=DenoiserRankParams(axes=12))
    line, null = next(iter(found.series.values())), next(iter(found.null.values()))
    assert line[0] == pytest.approx(2, abs=0.2)
    assert line[-1] > 3
    assert 6 <= null[0] <= 12  # what one Gaussian would keep: all that the pieces span together
    assert found.estimates[0].null == null[0]
    assert "2 dimension(s)" in found.reading


def test_one_cloud_keeps_what_one_gaussian_keeps():
    """No pieces: the fitted ones overlap, and at much noise nothing is told from one Gaussian."""
    x = np.random.default_rng(3).standard_normal((300, 4))
    found = denoiser_rank(x, params=DenoiserRankParams(dimension=2, components=2))
    assert next(iter(found.null.values())).tolist() == [4] * 13
    assert found.estimates[3].value < 1


def test_a_tap_each_has_a_line_of_its_own():
    rng = np.random.default_rng(4)
    taps = [ArrayActivations(samples(rng, d=d, q=10), name=f"net:d{d}") for d in (1, 2)]
    found = denoiser_rank(*taps)
    assert list(found.series) == ["d1", "d2"]
    assert [line[0] for line in found.series.values()] == pytest.approx([1, 2], abs=0.3)


def test_stored_jacobians_are_counted_by_level():
    rng = np.random.default_rng(5)
    levels = []
    for rank in (4, 2, 3):
        j = rng.standard_normal((12, 6, rank)) @ rng.standard_normal((12, rank, 9))
        levels.append(ArrayActivations(j.reshape(72, 9), layout=Layout(np.arange(13) * 6)))
    found = denoiser_rank(*levels, params=DenoiserRankParams(stored=True, epsilon=1e-6))
    assert next(iter(found.series.values())).tolist() == [4, 2, 3]
    assert next(iter(found.null.values())).tolist() == [6, 6, 6]
    assert "at level 2 of 3" in found.reading
    with pytest.raises(InputError, match="Jacobians of a tap are 0"):
        denoiser_rank(ArrayActivations(np.zeros((72, 9)), layout=Layout(np.arange(13) * 6)),
                      params=DenoiserRankParams(stored=True))  # fmt: skip


def test_too_few_points_are_refused():
    rng = np.random.default_rng(6)
    with pytest.raises(NotEnoughData):
        denoiser_rank(rng.standard_normal((30, 5)))
    with pytest.raises(NotEnoughData, match="Ask for fewer"):
        denoiser_rank(rng.standard_normal((60, 20)), params=DenoiserRankParams(components=10, dimension=9))


def test_broken_denoisers_fail_the_check(monkeypatch):
    with monkeypatch.context() as at:
        at.setattr(
            compute.Mixture,
            "jacobians",
            lambda self, x, noise, signal=1.0: np.tile(np.eye(self.q), (len(x), 1, 1)),
        )
        assert not all(line.passed for line in module._check())
    with monkeypatch.context() as at:
        at.setattr(denoiser_ranks, "steepest_dimension", lambda *_: 1)
        assert not all(line.passed for line in module._check())
