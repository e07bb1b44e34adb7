"""Latent volume: principal components as the exact case, pruning by hand, the refusal to interpret, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.linear import pruned_decoder as compute
from analysis.compute.linear.pruned_decoder import fitted_decoder, pruned_errors
from analysis.compute.subspaces.angles import principal_angles
from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.methods.rank import latent_volume as module
from analysis.methods.rank.latent_volume import ERROR, SIZE, LatentVolumeParams, latent_volume, needed

FEW = settings(max_examples=15, deadline=None)


def coded(rng, n=400, m=5, p=12, noise=0.0):
    """Latents of falling deviation in a random order, and what a random decoder makes of them."""
    z = rng.standard_normal((n, m)) * rng.permutation(np.geomspace(4, 0.2, m)) + 3
    return z, z @ rng.standard_normal((m, p)) + noise * rng.standard_normal((n, p))


# ---------------------------------------------------------------------------- exact cases
@FEW
@given(st.integers(0, 10**6))
def test_an_orthonormal_linear_decoder_is_principal_components(seed):
    """Kept latents span the leading principal subspace of the targets, and their errors are what it leaves."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((300, 8)) * np.geomspace(5, 0.5, 8) @ np.linalg.qr(rng.standard_normal((8, 8)))[0]
    centred = y - y.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    shuffle = rng.permutation(8)
    z = (centred @ axes.T)[:, shuffle]
    order = np.argsort(-z.std(axis=0))
    decoder = fitted_decoder(z, y)
    np.testing.assert_array_equal(shuffle[order], np.arange(8))
    for k in (1, 3, 5):
        assert principal_angles(np.linalg.qr(decoder[:, order[:k]])[0], axes[:k].T).max() < 1e-7
    found = latent_volume(z, y)
    left = 1 - np.r_[0, np.cumsum(size**2)] / (size**2).sum()
    np.testing.assert_allclose(found.series[ERROR], left, atol=0.03)
    assert found.series[SIZE] == pytest.approx(np.r_[1, size / size[0]], rel=1e-9)


@FEW
@given(st.integers(0, 10**6))
def test_errors_are_those_of_latents_put_at_their_mean_by_hand(seed):
    rng = np.random.default_rng(seed)
    z, y = coded(rng, n=60, noise=0.5)
    order, fold = rng.permutation(5), np.arange(60) % 2
    found = pruned_errors(z, y, order, fold)
    for k in (0, 2, 5):
        lost = size = 0.0
        for side in (0, 1):
            train, test = z[fold != side], z[fold == side].copy()
            design = np.c_[np.ones(len(train)), train]
            weight = np.linalg.lstsq(design, y[fold != side], rcond=None)[0]
            test[:, order[k:]] = train.mean(axis=0)[order[k:]]
            rest = y[fold == side] - np.c_[np.ones(len(test)), test] @ weight
            lost += (rest**2).sum()
            size += ((y[fold == side] - y[fold != side].mean(axis=0)) ** 2).sum()
        assert found.relative()[k] == pytest.approx(lost / size, rel=1e-8)


def test_a_dead_latent_changes_nothing(rng):
    z, y = coded(rng)
    dead = np.insert(z, 2, 7.0, axis=1)
    one, other = latent_volume(z, y), latent_volume(dead, y)
    np.testing.assert_allclose(other.series[ERROR][:6], one.series[ERROR], atol=1e-12)
    assert other.series[ERROR][-1] == pytest.approx(other.series[ERROR][-2], abs=1e-14)
    assert other.estimates[2].value == pytest.approx(one.estimates[2].value, rel=1e-6)
    assert any("1 latent(s) never vary" in c for c in other.caveats)
    few, more = (latent_volume(v, y, LatentVolumeParams(eta=0.1)).estimates[2] for v in (z, dead))
    by_hand = np.append(z.std(axis=0, ddof=1), 0) + 0.1 * z.std(axis=0, ddof=1).max()
    norm = np.linalg.norm(fitted_decoder(z, y), 2)
    assert more.value == pytest.approx(norm * np.exp(np.log(by_hand).mean()), rel=1e-9)
    assert more.low < more.value < min(more.high, few.value)


def test_latents_needed_is_the_last_that_matters():
    assert needed(np.array([1.0, 0.5, 0.2, 0.2, 0.195]), 0.01) == 2
    assert needed(np.array([1.0, 0.1, 0.4, 0.1]), 0.01) == 3  # an error that rises again on the way
    assert needed(np.array([0.1, 0.1, 0.1]), 0.01) == 0


def test_the_null_of_needed_latents_is_a_random_order(rng):
    z = rng.standard_normal((500, 8)) * np.r_[[3.0] * 2, [0.01] * 6]
    found = latent_volume(z, z @ np.linalg.qr(rng.standard_normal((12, 8)))[0].T)
    assert found.estimates[1].value == 2
    assert found.estimates[1].null > 4
    assert (found.null[ERROR] >= found.series[ERROR] - 1e-9).all()


# ---------------------------------------------------------------------------- volume
@FEW
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_rescaled_latents_with_a_free_decoder_have_the_same_volume(seed, scale):
    rng = np.random.default_rng(seed)
    z, y = coded(rng)
    one, other = latent_volume(z, y).estimates[2], latent_volume(scale * z - 5, y).estimates[2]
    assert other.value == pytest.approx(one.value, rel=1e-8)
    assert one.value <= one.null


def test_a_given_bound_is_used_and_then_scale_counts(rng):
    z, y = coded(rng)
    one, other = (latent_volume(c * z, y, LatentVolumeParams(lipschitz=2.0)).estimates[2] for c in (1, 0.1))
    assert one.value == pytest.approx(2 * np.exp(np.log(z.std(axis=0, ddof=1)).mean()), rel=1e-9)
    assert other.value == pytest.approx(one.value / 10, rel=1e-9)


def test_without_a_decoder_there_is_no_volume_and_the_reading_says_why(rng):
    z, _ = coded(rng)
    found = latent_volume(z, rng.standard_normal((400, 3)))
    assert not any("volume" in e.name for e in found.estimates)
    assert "Volume is not interpreted" in found.reading
    assert found.estimates[0].value > 0.95


def test_the_interval_of_the_volume_covers():
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        z = rng.exponential(size=(200, 3)) * [3, 1, 0.5]
        e = latent_volume(z, z, LatentVolumeParams(lipschitz=1.0)).estimates[2]
        hits += e.low <= 1.5 ** (1 / 3) <= e.high
    assert hits >= 85


# ---------------------------------------------------------------------------- bad input
def test_bad_input(rng, monkeypatch):
    z, y = coded(rng, n=40)
    with pytest.raises(NotEnoughData, match="13 samples for 5 latents"):
        latent_volume(z[:13], y[:13])
    with pytest.raises(InputError, match="equal"):
        latent_volume(np.ones((40, 3)), y)
    with pytest.raises(NotEnoughData):
        latent_volume(z, ArrayActivations(y, samples={"id": [f"x{i}" for i in range(40)]}))
    assert any("20 samples for 5" in c for c in latent_volume(z[:20], y[:20]).caveats)
    double = latent_volume(np.c_[z, z[:, :1]], y)
    assert np.isfinite(double.series[ERROR]).all()
    monkeypatch.setattr(module, "MOST_LATENTS", 4)
    with pytest.raises(TooLarge, match="5 latents"):
        latent_volume(z, y)


# ---------------------------------------------------------------------------- broken code
def _uncentred(z, y):
    return np.linalg.lstsq(z + 1, y, rcond=None)[0].T


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (compute, "fitted_decoder", _uncentred),
        (module, "EXPLAINED", 5.0),
        (module, "pruned_errors", lambda z, y, order, fold: ERRORS(z, y, order[::-1], fold)),
        (module.np.linalg, "norm", lambda *_: 1.0 + 1e-6),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


ERRORS = compute.pruned_errors
