"""Diffusion spectral entropy: a random walk written out, published facts, invariances, intervals, bias, broken code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.neighbours import diffusion_entropy as compute
from analysis.compute.neighbours.diffusion_entropy import (
    diffusion_eigenvalues,
    entropies,
    half_width,
    matched_gaussian,
    median_distance,
    mutual_information,
    random_half,
    spectral_entropy,
    squared_distances,
)
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.rank import diffusion_entropy_by_layer as layers_module
from analysis.methods.rank import diffusion_spectral_entropy as module
from analysis.methods.rank.diffusion_entropy_by_layer import (
    DiffusionByLayerParams,
    diffusion_entropy_by_layer,
)
from analysis.methods.rank.diffusion_spectral_entropy import DiffusionParams, diffusion_spectral_entropy

FEW = settings(max_examples=15, deadline=None)
SIZES = [72, *[8] * 7]


def tap(x, labels=None, **more):
    return ArrayActivations(x, samples={} if labels is None else {"label": np.asarray(labels)}, **more)


def groups(rng, sizes, d=8, spread=1e-4):
    of = np.repeat(np.arange(len(sizes)), sizes)
    return 100 * np.eye(len(sizes), d)[of] + spread * rng.standard_normal((len(of), d)), of


def walk(x, sigma, anisotropy):
    """The diffusion operator row by row, not symmetrised, and its eigenvalues."""
    n = len(x)
    g = np.array([[np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2)) for b in x] for a in x])
    q = g.sum(axis=1)
    k = np.array([[g[i, j] / (q[i] * q[j]) ** anisotropy for j in range(n)] for i in range(n)])
    p = k / k.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    return np.sort(np.linalg.eigvals(p).real)


# ---------------------------------------------------------------------------- a second implementation
@FEW
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.2, 1.0]))
def test_eigenvalues_are_those_of_the_walk_written_out(seed, anisotropy, width):
    x = np.random.default_rng(seed).standard_normal((20, 3)) * [3, 1, 1] + 50
    squared = squared_distances(x)
    sigma = width * median_distance(squared)
    found = diffusion_eigenvalues(squared, sigma, anisotropy)
    np.testing.assert_allclose(found, walk(x, sigma, anisotropy), atol=1e-10)
    assert found[-1] == pytest.approx(1, abs=1e-12)


def test_dividing_out_density_is_not_the_plain_walk(rng):
    """A published program computes the spectrum of the latter under the name of the former."""
    x = np.vstack([rng.standard_normal((30, 2)), 0.2 * rng.standard_normal((30, 2)) + 3])
    squared = squared_distances(x)
    plain, divided = (diffusion_eigenvalues(squared, 1.0, a) for a in (0.0, 0.5))
    assert np.abs(plain - divided).max() > 0.01


def test_entropy_is_that_of_the_powered_eigenvalues():
    assert spectral_entropy(np.array([1.0, 1, 1, 1])) == pytest.approx(2)
    assert spectral_entropy(np.array([1.0, 0.5])) == pytest.approx(
        -(2 / 3) * np.log2(2 / 3) - np.log2(1 / 3) / 3
    )
    p = np.array([1, 1 / 8]) / (9 / 8)
    assert spectral_entropy(np.array([1.0, 0.5]), 3) == pytest.approx(-(p * np.log2(p)).sum())
    assert spectral_entropy(np.array([1.0, -1e-17, 0.0])) == 0


# ---------------------------------------------------------------------------- published facts
def test_a_tiny_kernel_gives_log2_n_exactly_and_a_huge_one_nothing(rng):
    squared = squared_distances(rng.standard_normal((128, 6)))
    assert entropies(squared, 1e-6, (1, 4)).tolist() == [7.0, 7.0]
    assert entropies(squared, 1e6, (1,))[0] < 1e-6


@pytest.mark.parametrize("sizes", [SIZES, [16] * 8, [113, 15], [60, 2, 2]])
def test_groups_count_once_whatever_their_sizes(rng, sizes):
    x, _ = groups(rng, sizes)
    found = diffusion_spectral_entropy(tap(x), DiffusionParams(width=0.05 if len(sizes) > 3 else 1e-1))
    squared = squared_distances(x)
    assert entropies(squared, 5.0, (1, 3)) == pytest.approx(np.log2(len(sizes)), abs=1e-6)
    if sizes == SIZES:
        assert found.estimates[0].value == pytest.approx(3, abs=1e-6)


def test_mutual_information_misses_what_random_parts_miss(rng):
    """Eight groups of 16: a random 16 of 128 has fewer than eight groups in it, by how much is drawn here by hand."""
    x, of = groups(rng, [16] * 8)
    seen = [len(np.unique(of[rng.choice(128, 16, replace=False)])) for _ in range(4000)]
    expected = np.log2(seen).mean()
    assert 2.7 < expected < 2.9
    found = diffusion_spectral_entropy(tap(x, of), DiffusionParams(width=0.05, column="label")).estimates[2]
    assert found.value == pytest.approx(expected, abs=0.06)
    assert found.value < 3
    assert found.p_value == pytest.approx(1 / 21)


def test_mutual_information_of_shuffled_labels_goes_below_zero():
    values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, of = groups(rng, [16] * 8)
        values.append(mutual_information(squared_distances(x), rng.permutation(of), 5.0, 1, 0.5, rng))
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(30)


# ---------------------------------------------------------------------------- invariances
@FEW
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_rotation_shift_and_scale_leave_it(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((30, 4)) * [4, 2, 1, 1]
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    one, other = (diffusion_spectral_entropy(tap(v)) for v in (x, scale * (x @ turn + 3)))
    np.testing.assert_allclose(other.values, one.values, atol=1e-7)


def test_the_order_of_samples_and_equal_samples(rng):
    x = rng.standard_normal((40, 3))
    squared, turned = squared_distances(x), squared_distances(x[::-1])
    assert entropies(squared, 0.5, (1,)) == pytest.approx(entropies(turned, 0.5, (1,)), abs=1e-10)
    double = squared_distances(np.repeat(x, 2, axis=0) + 1e3)
    assert (double[::2, 1::2].diagonal() == 0).all()
    assert median_distance(double) == pytest.approx(median_distance(squared), rel=1e-3)
    assert entropies(double, 1e-6, (1,))[0] == pytest.approx(np.log2(40), abs=1e-9)


def test_it_falls_with_width_and_time(rng):
    found = diffusion_spectral_entropy(tap(rng.standard_normal((60, 5)))).values
    assert (np.diff(found, axis=0) <= 1e-9).all()
    assert (np.diff(found, axis=1) <= 1e-9).all()


# ---------------------------------------------------------------------------- null and interval
def test_the_matched_gaussian_has_the_covariance(rng):
    x = rng.exponential(size=(400, 3)) @ rng.standard_normal((3, 3)) + 5
    drawn = np.mean([np.cov(matched_gaussian(x, rng).T) for _ in range(20)], axis=0)
    np.testing.assert_allclose(drawn, np.cov(x.T), atol=0.05 * np.abs(np.cov(x.T)).max())


def test_a_gaussian_is_its_own_null_and_groups_are_not(rng):
    cloud = diffusion_spectral_entropy(tap(rng.standard_normal((200, 4)))).estimates[0]
    assert cloud.low <= cloud.null <= cloud.high
    x, _ = groups(rng, [50] * 4, d=4)
    found = diffusion_spectral_entropy(tap(x), DiffusionParams(width=0.25)).estimates[0]
    assert found.null > found.high + 1


def test_the_interval_sees_the_spread_over_samples():
    """Deviation over 60 data sets against the mean half-width, within a factor of 1.6."""
    values, halves = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((80, 2)) * [1, 1 + 3 * (seed >= 0)]
        squared = squared_distances(x)
        values.append(entropies(squared, 0.5 * median_distance(squared), (1,))[0])
        parts = [random_half(np.arange(80), rng) for _ in range(10)]
        inner = [squared[np.ix_(p, p)] for p in parts]
        halves.append(half_width(np.array([entropies(s, 0.5 * median_distance(s), (1,))[0] for s in inner])))
    ratio = np.mean(halves) / 2.262 / np.std(values)
    assert 1 / 1.6 < ratio < 1.6


def test_halves_keep_the_tokens_of_a_sample_together(rng):
    sample = np.repeat(np.arange(10), 3)
    part = random_half(sample, rng)
    assert len(part) == 15
    assert (np.bincount(sample[part], minlength=10) % 3 == 0).all()


# ---------------------------------------------------------------------------- layers
def test_one_tap_alone_and_among_layers_agree(rng):
    x, of = groups(rng, [30] * 3, spread=20.0)
    alone = diffusion_spectral_entropy(tap(x)).estimates[0].value
    found = diffusion_entropy_by_layer(tap(x, of), tap(3 * x[:, ::-1] + 1, of))
    assert found.series["entropy"] == pytest.approx([alone, alone], abs=1e-9)
    assert list(found.series) == ["entropy"]
    change = found.estimates[-1]
    assert (change.low, change.value, change.high) == pytest.approx((0, 0, 0), abs=1e-9)


def test_samples_are_matched_by_id_and_so_are_their_labels(rng):
    x, of = groups(rng, [16] * 4, d=4)
    ids = np.array([f"s{i}" for i in range(64)])
    turn = rng.permutation(64)
    one = ArrayActivations(x, samples={"id": ids, "label": of})
    other = ArrayActivations(x[turn], samples={"id": ids[turn], "label": of[turn]})
    p = DiffusionByLayerParams(width=0.05, column="label")
    found = diffusion_entropy_by_layer(other, one, params=p)
    told = found.series["DSMI with the classes"]
    assert told == pytest.approx([told[0]] * 2, abs=0.05)
    assert told[0] > 1.8


def test_unknown_labels_are_left_out_of_the_information_alone(rng):
    x, of = groups(rng, [20] * 3, d=3)
    of = of.astype(float)
    of[::7] = np.nan
    found = diffusion_entropy_by_layer(tap(x, of), tap(x, of), params=DiffusionByLayerParams(column="label"))
    assert any("9 sample(s) without a label" in c for c in found.caveats)
    assert found.estimates[0].n == 60


# ---------------------------------------------------------------------------- bad input
def test_refusals(rng):
    x = rng.standard_normal((40, 3))
    with pytest.raises(NotEnoughData):
        diffusion_spectral_entropy(tap(x[:15]))
    with pytest.raises(NotEnoughData, match="5 samples"):
        diffusion_spectral_entropy(tap(x, layout=Layout(np.arange(6) * 8)))
    with pytest.raises(InputError, match="equal"):
        diffusion_spectral_entropy(tap(np.ones((40, 3))))
    with pytest.raises(NotFound, match="kind"):
        diffusion_spectral_entropy(tap(x), DiffusionParams(column="kind"))
    with pytest.raises(NotEnoughData, match="two such classes"):
        diffusion_spectral_entropy(tap(x, np.zeros(40)), DiffusionParams(column="label"))
    with pytest.raises(ParameterError):
        diffusion_entropy_by_layer(tap(x))


def test_a_sample_of_the_rows_is_said(rng):
    found = diffusion_spectral_entropy(tap(rng.standard_normal((120, 3))), DiffusionParams(maximum_rows=50))
    assert any("random 50 of 120" in c for c in found.caveats)
    assert found.estimates[0].n == 50
    assert found.limits[1] == pytest.approx(np.log2(50))


def test_many_dimensions_and_few_samples(rng):
    found = diffusion_spectral_entropy(tap(rng.standard_normal((20, 500)).astype(np.float16)))
    assert np.isfinite(found.values).all()


# ---------------------------------------------------------------------------- broken code
@pytest.mark.parametrize(
    ("checked", "where", "name", "broken"),
    [
        (
            module,
            compute,
            "spectral_entropy",
            lambda v, t=1.0: float(-(v * np.log2(np.maximum(v, 1e-300))).sum()),
        ),
        (module, compute, "spectral_entropy", lambda v, t=1.0: np.log(2) * ENTROPY(v, t)),
        (module, module, "median_distance", lambda squared: 1.0),
        (
            module,
            module,
            "mutual_information",
            lambda squared, of, *how: INFORMATION(squared, np.sort(of), *how),
        ),
        (layers_module, layers_module, "median_distance", lambda squared: 500.0),
        (
            layers_module,
            layers_module,
            "matched_gaussian",
            lambda x, rng: np.zeros_like(x) + np.arange(len(x))[:, None],
        ),
        (layers_module, layers_module, "mutual_information", lambda squared, of, *how: 2.84),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, checked, where, name, broken):
    check = checked.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


ENTROPY, INFORMATION = compute.spectral_entropy, compute.mutual_information
