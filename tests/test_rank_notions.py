"""Notions of rank: every formula against the singular values, closed forms, orders, invariances, intervals, moments
kept, samples chosen, and the spiked covariance."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.clusters.coding_rate import rate
from analysis.compute.linear import spiked, tap_spectrum
from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.rows.some_samples import EVERY, MEAN, SomeSamples, equal_samples, some_samples
from analysis.compute.statistics.rank_agreement import spearman
from analysis.compute.streaming import Pass
from analysis.compute.subspaces import rank_notions as notions
from analysis.compute.subspaces.subspace_error import error_by_chance, subspace_error
from analysis.errors import InputError, NotEnoughData
from analysis.store.cache import ResultCache

FEW = settings(max_examples=15, deadline=None)
measured = tap_spectrum.tap_spectrum


def tap(x, name="t", tokens=1, **samples):
    layout = Layout(np.arange(len(x) // tokens + 1) * tokens)
    return ArrayActivations(np.asarray(x), name, {k: np.asarray(v) for k, v in samples.items()}, layout)


def numbers(x, **options) -> dict[str, float]:
    spectrum = measured(tap(x))
    null = np.ones((3, spectrum.d))
    found = notions.ranked(spectrum, null, settings=notions.Settings(**options))
    return {one.notion.name: one.value for one in found}


def by_hand(x, tolerance=0.01, epsilon=0.5) -> dict[str, float]:
    """Every formula from singular values of the data."""
    c = x - x.mean(axis=0)
    s, raw = np.linalg.svd(c, compute_uv=False), np.linalg.svd(x, compute_uv=False)
    s = s[s > s[0] * 1e-7]
    share = np.cumsum(s**2) / (s**2).sum()

    def entropy(w):
        p = w[w > 0] / w.sum()
        return np.exp(-(p * np.log(p)).sum())

    z = c / np.sqrt((c**2).sum(axis=1).mean())
    return {
        "participation ratio": (s**2).sum() ** 2 / (s**4).sum(), "entropy rank of σ²": entropy(s**2),
        "entropy rank of σ, centred": entropy(s), "RankMe": entropy(raw),
        "stable rank, centred": np.linalg.norm(c) ** 2 / np.linalg.norm(c, 2) ** 2,
        "stable rank": np.linalg.norm(x) ** 2 / np.linalg.norm(x, 2) ** 2, "ε-rank": (s >= tolerance * s[0]).sum(),
        "numerical rank": np.linalg.matrix_rank(c, tol=1e-7 * s[0]), "axes for 90 %": np.argmax(share >= 0.9) + 1,
        "axes for 99 %": np.argmax(share >= 0.99) + 1, "coding rate": rate(z, np.array([epsilon]))[0] / np.log(2),
    }  # fmt: skip


# ---------------------------------------------------------------------------- formulas
@FEW
@given(
    st.integers(0, 10**6),
    st.sampled_from([(60, 7), (9, 30), (30, 30), (5, 1), (4, 3)]),
    st.sampled_from([0.0, 20.0]),
    st.sampled_from([(0.01, 0.5), (0.3, 2.0)]),
)
def test_every_number_is_that_of_its_formula(seed, shape, mean, options):
    """Sums over σ lose what is below √ε of the largest: at most r √ε ln(1 / √ε), 1e-5 for thirty directions."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 0.8 ** np.arange(shape[1]) + mean
    found = numbers(x, tolerance=options[0], epsilon=options[1])
    for name, value in by_hand(x, *options).items():
        tolerance = 1e-5 if name in ("RankMe", "entropy rank of σ, centred") else 1e-7
        assert found[name] == pytest.approx(value, rel=tolerance), name


def test_equal_singular_values_have_rank_k_and_the_paper_s_small_number_adds_nothing():
    """20 of 64 directions: 20, and 20.0015 with 1e-7 added to every share."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((300, 20))
    x = np.linalg.qr(basis - basis.mean(axis=0))[0] @ np.linalg.qr(rng.standard_normal((64, 20)))[0].T
    found = numbers(x)
    for name in notions.NAMES[:8]:
        assert found[name] == pytest.approx(20, abs=1e-6), name
    p = np.r_[np.full(20, 1 / 20), np.zeros(44)] + 1e-7
    assert np.exp(-(p * np.log(p)).sum()) == pytest.approx(20.0015, abs=5e-5)


def test_a_geometric_spectrum_has_a_closed_form():
    """σ_k = q^k: ln RankMe = -Σ p ln p with p_k = q^k (1 - q) / (1 - q^m), the sums done by formula."""
    q, m = 0.7, 12
    rng = np.random.default_rng(1)
    basis = rng.standard_normal((200, m))
    x = np.linalg.qr(basis - basis.mean(axis=0))[0] * q ** np.arange(m)
    first = (1 - q) / (1 - q**m)
    mean = q / (1 - q) - m * q**m / (1 - q**m)  # of k under p
    found = numbers(x)
    assert found["RankMe"] == pytest.approx(np.exp(-np.log(first) - mean * np.log(q)), rel=1e-9)
    assert found["participation ratio"] == pytest.approx(
        ((1 - q ** (2 * m)) / (1 - q**2)) ** 2 * (1 - q**4) / (1 - q ** (4 * m)), rel=1e-9
    )


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(50, 6), (8, 20)]), st.floats(0.3, 1.0))
def test_the_order_of_the_ranks(seed, shape, fall):
    rng = np.random.default_rng(seed)
    found = numbers(rng.standard_normal(shape) * fall ** np.arange(shape[1]) + rng.standard_normal(shape[1]))
    three = [found[n] for n in ("participation ratio", "entropy rank of σ²", "entropy rank of σ, centred")]
    assert 1 <= three[0] <= three[1] <= three[2] <= found["numerical rank"] <= min(shape[0] - 1, shape[1])
    assert 1 <= found["stable rank, centred"] <= three[0]
    assert found["axes for 90 %"] <= found["axes for 99 %"] <= found["numerical rank"]


def test_a_large_mean_makes_rankme_small_and_centred_ones_stay():
    """As published: 63.7 of 64 dimensions, 2.6 with 50 added to all."""
    x = np.random.default_rng(2).standard_normal((2000, 64))
    here, there = numbers(x), numbers(x + 50)
    assert here["RankMe"] == pytest.approx(63.7, abs=0.2)
    assert there["RankMe"] == pytest.approx(2.6, abs=0.1)
    for name, notion in notions.BY_NAME.items():
        if not notion.raw:
            assert there[name] == pytest.approx(here[name], rel=1e-9), name


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(80, 6), (7, 15)]), st.sampled_from([1e-8, 3.0, 1e9]))
def test_rotating_and_scaling_change_nothing(seed, shape, scale):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 0.7 ** np.arange(shape[1]) + 1
    x[:, -1] = 3.0  # a constant unit is no longer one when turned
    q = np.linalg.qr(rng.standard_normal((shape[1],) * 2))[0]
    here, there = numbers(x), numbers(scale * x @ q)
    for name in notions.NAMES:
        if name != notions.ABOVE or shape[0] > shape[1]:
            assert there[name] == pytest.approx(here[name], rel=1e-6), name


def test_the_numbers_that_counts_and_caps_allow(rng):
    """Nothing exceeds its cap, which isotropic data of many samples reach."""
    spectrum = measured(tap(rng.standard_normal((20_000, 5))))
    for one in notions.ranked(spectrum, notions.null_spectra(spectrum, 0)):
        assert one.value <= one.cap + 1e-9
        if not one.notion.counted and "stable" not in one.notion.name:
            assert one.value == pytest.approx(one.cap, rel=2e-3), one.notion.name


# ---------------------------------------------------------------------------- intervals and nulls
def test_eigenvalues_without_a_group_are_those_of_the_rest_to_first_order(rng):
    x = rng.standard_normal((2000, 6)) * [4, 3, 2.2, 1.5, 1, 0.6] + [5, 0, 0, 1, 0, 0]
    found = measured(tap(x))
    group = np.random.default_rng(2000).permutation(np.arange(2000) % 100)
    for g in (0, 57):
        rest = x[group != g]
        np.testing.assert_allclose(
            found.without()[g], np.linalg.eigvalsh(np.cov(rest, rowvar=False))[::-1], rtol=3e-3
        )
        np.testing.assert_allclose(
            found.without(raw=True)[g], np.linalg.eigvalsh(rest.T @ rest / len(rest))[::-1], rtol=3e-3
        )
    assert found.sizes.sum() == 2000
    np.testing.assert_allclose(found.parts.sum(axis=0) / 1999, found.values, rtol=1e-10)
    np.testing.assert_allclose(found.raw_parts.sum(axis=0) / 2000, found.raw, rtol=1e-10)


SMOOTH = [n.name for n in notions.NOTIONS if not n.counted]


@pytest.mark.parametrize("tokens", [1, 5])
def test_intervals_cover_what_many_samples_say(tokens):
    """Heavy tails, a mean, tokens that repeat their sample: in at least 88 of 100 draws, for every smooth number."""
    scale, mean = np.array([3.0, 2.0, 1.4, 1.0, 0.7]), np.array([1.0, 0, 0, 0.5, 0])

    def draw(n, seed):
        r = np.random.default_rng(seed)
        x = r.standard_t(8, (n, 5)) * scale + mean
        return np.repeat(x, tokens, axis=0) + 0.1 * r.standard_normal((n * tokens, 5))

    truth = numbers(draw(200_000, 999)[:: 1 if tokens == 1 else 2])
    hits = dict.fromkeys(SMOOTH, 0)
    for seed in range(100):
        spectrum = measured(tap(draw(800, seed), tokens=tokens))
        for one in notions.ranked(spectrum, np.ones((1, 5)), SMOOTH):
            hits[one.notion.name] += one.low <= truth[one.notion.name] <= one.high
    assert min(hits.values()) >= 88, hits


@pytest.mark.parametrize(("n", "d"), [(1000, 20), (400, 100), (60, 120)])
def test_intervals_are_as_wide_as_other_samples_differ_or_wider_where_units_are_many(n, d):
    values, errors = [], []
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((n, d)) * np.linspace(0.3, 1.5, d)
        found = notions.ranked(measured(tap(x)), np.ones((1, d)), SMOOTH)
        values.append([np.log(one.value) for one in found])
        errors.append([np.log(one.value / one.low) / 1.984 for one in found])
    ratio = np.mean(errors, axis=0) / np.std(values, axis=0)
    assert ratio.min() > 0.8
    assert ratio.max() < (1.3 if n == 1000 else 7.0)


def test_intervals_that_take_tokens_as_samples_would_be_too_narrow(rng):
    x = np.repeat(rng.standard_normal((300, 5)) * [3, 2, 1, 1, 1], 10, axis=0)
    together, apart = measured(tap(x, tokens=10)), measured(tap(x))
    wide, narrow = (notions.ranked(s, np.ones((1, 5)), ("RankMe",))[0] for s in (together, apart))
    assert together.samples == 300
    assert apart.samples == 3000
    assert np.log(wide.high / wide.low) > 2 * np.log(narrow.high / narrow.low)


def test_counts_have_intervals_around_them(rng):
    x = rng.standard_normal((500, 20)) * 0.8 ** np.arange(20)
    spectrum = measured(tap(x))
    null = notions.null_spectra(spectrum, 0)
    for one in notions.ranked(spectrum, null):
        if one.notion.name == "numerical rank":
            assert one.low is None
        else:
            assert one.low <= one.value <= one.high
    few = measured(tap(x[:60]))
    wide, narrow = (notions.ranked(s, null, ("axes for 99 %",))[0] for s in (few, spectrum))
    assert wide.high - wide.low >= narrow.high - narrow.low


def test_unrelated_units_lie_on_the_null(rng):
    x = rng.standard_normal((400, 100)) * rng.uniform(0.3, 2, 100)
    spectrum = measured(tap(x))
    for one in notions.ranked(spectrum, notions.null_spectra(spectrum, 5)):
        spread = max(4 * one.null.std(), 0.03 * one.null_mean, 2.0 if one.notion.counted else 0.0)
        assert abs(one.value - one.null_mean) < spread, one.notion.name


# ---------------------------------------------------------------------------- moments kept
@dataclass
class Counted:
    """A tap that counts its passes."""

    whole: ArrayActivations
    passes: list = field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.whole, name)

    def chunks(self, rows=4096):
        self.passes.append(rows)
        yield from self.whole.chunks(rows)


def test_a_spectrum_is_measured_once_in_a_workspace_and_anew_without(rng, tmp_path):
    kept.forget()
    one = Counted(tap(rng.standard_normal((100, 4)), "s:a", tokens=2))
    cache = ResultCache(tmp_path)
    with kept.keeping(cache):
        first = measured(one)
        assert len(one.passes) == 2
        kept.forget()  # as in another process
        again = measured(one)
        assert len(one.passes) == 2
        seen = Pass()
        moments = tap_spectrum.kept_moments(one, seen)
        assert len(one.passes) == 2
        assert (moments.n, seen.n_samples, seen.independent) == (100, 50, 50)
        np.testing.assert_allclose(moments.covariance, np.cov(one.whole.values, rowvar=False))
        pooled = measured(one, None, MEAN)
        assert pooled.n == 50
    assert_same(first, again)
    assert_same(first, measured(one))
    assert len(one.passes) > 2


def assert_same(a: TapSpectrum, b: TapSpectrum):
    assert (a.n, a.samples, a.notes) == (b.n, b.samples, b.notes)
    for name in ("values", "raw", "parts", "raw_parts", "sizes", "mean", "variances"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_memory_is_bounded_by_the_units_whatever_the_rows():
    d, layout = 32, Layout.pooled(100_000)
    part = np.random.default_rng(0).standard_normal((4096, d)).astype(np.float32)

    class Endless:
        name, digest, unit_names, shape = "s:a", "d", tuple(map(str, range(d))), (100_000, d)

        def __init__(self):
            self.layout, self.samples = layout, {"id": np.arange(100_000).astype(str)}

        def chunks(self, rows=4096):
            for start in range(0, 100_000, 4096):
                yield start, part[: 100_000 - start]

    endless = Endless()
    measured(endless)
    tracemalloc.start()
    found = measured(endless)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.n == 100_000
    assert peak < 0.5 * 100_000 * d * 8
    kept_bytes = sum(
        getattr(found, k).nbytes for k in ("values", "raw", "parts", "raw_parts", "mean", "variances")
    )
    assert kept_bytes < 2 * 100 * (d + 1) * 8 + 8 * 8 * d


@pytest.mark.parametrize("n", [3, 4])
def test_three_rows_are_too_few(rng, n):
    if n == 3:
        for d in (2, 9):
            with pytest.raises(NotEnoughData):
                measured(tap(rng.standard_normal((3, d))))
    else:
        assert measured(tap(rng.standard_normal((4, 9)))).values.shape == (3,)


def test_rows_that_cannot_be_used(rng):
    x = rng.standard_normal((50, 4))
    x[3, 1], x[10] = np.nan, np.inf
    found = measured(tap(x))
    assert found.n == 48
    assert "2 of 50 rows" in found.notes[0]
    np.testing.assert_allclose(
        found.values, np.linalg.eigvalsh(np.cov(np.delete(x, [3, 10], 0), rowvar=False))[::-1]
    )
    with pytest.raises(InputError, match="constant"):
        measured(tap(np.ones((20, 3))))
    doubled = measured(tap(np.hstack([x[20:], x[20:], np.ones((30, 2))])))
    assert doubled.constant == 2
    assert len(doubled.values) == 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_precision_of_the_input(rng, dtype):
    x = (rng.standard_normal((300, 6)) + 100).astype(dtype)
    assert numbers(x)["participation ratio"] == pytest.approx(
        by_hand(x.astype(np.float64))["participation ratio"], rel=1e-9
    )


# ---------------------------------------------------------------------------- some samples
def test_a_view_is_the_rows_of_its_samples(rng):
    x = rng.standard_normal((60, 3))
    whole = tap(x, tokens=3, label=np.arange(20))
    at = np.array([1, 4, 5, 19])
    view, _ = some_samples(whole, at, EVERY)
    rows = (at[:, None] * 3 + np.arange(3)).ravel()
    assert isinstance(view, SomeSamples)
    np.testing.assert_array_equal(np.concatenate([b for _, b in view.chunks(7)]), x[rows])
    starts = [(s, len(b)) for s, b in view.chunks(7)]
    assert [s for s, _ in starts] == np.cumsum([0, *[m for _, m in starts[:-1]]]).tolist()
    np.testing.assert_array_equal(view.take([0, 5, 11]), x[rows[[0, 5, 11]]])
    np.testing.assert_array_equal(view.unit(1), x[rows, 1])
    np.testing.assert_array_equal(view.samples["label"], at)
    assert view.shape == (12, 3)
    pooled, notes = some_samples(whole, at, MEAN)
    np.testing.assert_allclose(pooled.values, x.reshape(20, 3, 3)[at].mean(axis=1))
    assert "mean over its tokens" in notes[-1]
    assert len({view.digest, whole.digest, pooled.digest, some_samples(whole, at[:3], EVERY)[0].digest}) == 4
    assert some_samples(whole, None, EVERY)[0] is whole


def test_equal_samples_are_the_common_ones_or_as_many(rng):
    ids = np.array([f"s{i}" for i in range(30)])
    order = rng.permutation(30)[:20]
    a, b = tap(rng.standard_normal((30, 2)), id=ids), tap(rng.standard_normal((20, 2)), id=ids[order])
    found = equal_samples([a, b], 100, 4, rng)
    (at, other), notes = found.positions, found.notes
    assert found.same
    assert ids[at].tolist() == ids[order][other].tolist()
    assert "20 samples of each" in notes[0]
    at, other = equal_samples([a, b], 7, 4, rng).positions
    assert ids[at].tolist() == ids[order][other].tolist()
    assert len(at) == 7
    apart = tap(rng.standard_normal((12, 2)), id=[f"other{i}" for i in range(12)])
    found = equal_samples([a, apart], 100, 4, rng)
    (at, other), notes = found.positions, found.notes
    assert not found.same
    assert len(at) == len(other) == 12
    assert "of its own" in notes[0]
    twice = tap(rng.standard_normal((30, 2)), id=np.repeat(ids[:15], 2))
    assert not equal_samples([a, twice], 100, 4, rng).same
    with pytest.raises(NotEnoughData, match="12 sample"):
        equal_samples([a, apart], 100, 13, rng)


def test_row_numbers_of_other_data_match_nothing(rng):
    """Two stores whose ids are row numbers: the same samples by their labels, or not."""
    label = np.arange(40) % 4
    a, b, c = (tap(rng.standard_normal((40, 2)), name, label=of) for name, of in
               (("one:x", label), ("two:x", label), ("three:x", label[::-1])))  # fmt: skip
    assert equal_samples([a, b], 100, 4, rng).same
    found = equal_samples([a, c], 100, 4, rng)
    assert not found.same
    assert "of its own" in found.notes[0]


# ---------------------------------------------------------------------------- spiked covariance
def test_strength_inverts_where_it_shows():
    for c in (0.1, 0.5, 1.0, 3.0):
        l = np.sqrt(c) * np.array([1.01, 1.5, 4.0, 50.0])  # noqa: E741
        np.testing.assert_allclose(spiked.strength(spiked.shown_at(l, c), c), l, rtol=1e-9)
        assert spiked.shown_at(np.array(0.3 * np.sqrt(c)), c) == pytest.approx((1 + np.sqrt(c)) ** 2)
        assert spiked.axis_overlap(np.array(0.99 * np.sqrt(c)), c) == 0
    assert spiked.shown_at(np.array(3.0), 0.5) == pytest.approx(4.667, abs=1e-3)
    assert spiked.axis_overlap(np.array(3.0), 0.5) == pytest.approx(0.810, abs=5e-4)


def test_a_planted_direction_shows_as_the_law_says():
    """n = 2,000, d = 1,000: λ 4.67 and overlap 0.810 for strength 3; nothing for 0.4. The eigenvalue of one draw has a
    deviation of (1 + l) √(2 (1 - c / l²) / n) = 0.12, and four of them are allowed."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((2000, 1000))
    for strength, value, overlap, tolerance in ((3.0, 4.667, 0.810, 0.04), (0.4, 2.914, 0.0, 0.04)):
        y = x.copy()
        y[:, 0] *= np.sqrt(1 + strength)
        found, vectors = np.linalg.eigh(np.cov(y, rowvar=False))
        assert found[-1] == pytest.approx(value, abs=0.5)
        assert vectors[0, -1] ** 2 == pytest.approx(overlap, abs=tolerance)
        assert spiked.noise_variance(found, 2000, 1000) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("n", "d"), [(400, 100), (100, 400), (200, 200)])
def test_the_law_of_noise(n, d):
    """Its quantiles, the 5 % edge and the mean of the largest, over 60 draws."""
    spectra = []
    for seed in range(60):
        x = np.random.default_rng(seed).standard_normal((n, d))
        s = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[: min(n - 1, d)]
        spectra.append(s**2 / (n - 1))
    spectra = np.array(spectra)
    at = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(np.quantile(spectra, at), spiked.quantiles(d / (n - 1), at), rtol=0.03)
    largest = spectra[:, 0]
    assert largest.mean() == pytest.approx(spiked.mean_edge(n, d), rel=0.01)
    assert (largest > spiked.noise_edge(n, d)).mean() < 0.16
    assert np.quantile(largest, 0.95) == pytest.approx(spiked.noise_edge(n, d), rel=0.03)
    p = spiked.noise_p(largest, n, d)
    assert abs(np.mean(p) - 0.5) < 0.15
    assert spiked.noise_p(np.array([spiked.noise_edge(n, d)]), n, d)[0] == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_span_of_leading_axes_is_as_far_off_as_its_spectrum_says(k):
    lam, n, found = np.array([6.0, 4.0, 2.0, 1.5, 0.6, 0.3]), 1500, []
    for seed in range(150):
        x = np.random.default_rng(seed).standard_normal((n, 6)) * np.sqrt(lam)
        axes = np.linalg.eigh(np.cov(x, rowvar=False))[1][:, ::-1][:, :k]
        found.append(k - (axes[:k] ** 2).sum())
    expected = sum(lam[i] * lam[j] / (lam[i] - lam[j]) ** 2 for i in range(k) for j in range(k, 6)) / n
    assert subspace_error(lam, k, n, 6) == pytest.approx(expected, rel=1e-12)
    assert np.mean(found) == pytest.approx(expected, rel=0.2)


def test_a_cut_between_equal_eigenvalues_is_not_known_at_all_and_the_laws_agree_in_large_samples():
    assert subspace_error(np.array([2.0, 1.0, 1.0]), 2, 1000, 3) == 1
    assert subspace_error(np.array([2.0, 1.0]), 2, 1000, 5) == 0  # nothing follows
    d, n, strength = 100, 10**6, 3.0
    spectrum = np.r_[1 + strength, np.ones(d - 1)]
    outside = 1 - spiked.axis_overlap(np.array(strength), (d - 1) / n)
    assert subspace_error(spectrum, 1, n, d) == pytest.approx(outside, rel=1e-3)


@FEW
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_a_random_span_is_as_far_off_as_chance(k, seed):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(300):
        q = np.linalg.qr(rng.standard_normal((10, k)))[0]
        found.append(k - (q[:k] ** 2).sum())
    assert np.mean(found) == pytest.approx(error_by_chance(k, 10), abs=5 * np.std(found) / np.sqrt(300))


# ---------------------------------------------------------------------------- agreement of orders
@FEW
@given(st.lists(st.integers(0, 4), min_size=4, max_size=7), st.integers(0, 10**6))
def test_spearman_is_scipy_s_and_its_p_exact(x, seed):
    from itertools import permutations

    from scipy.stats import spearmanr

    y = np.random.default_rng(seed).integers(0, 5, len(x)).astype(float)
    found = spearman(np.array(x), y, np.random.default_rng(0))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found is None
        return
    assert found.value == pytest.approx(spearmanr(x, y)[0], abs=1e-12)
    every = [spearmanr(x, y[list(o)])[0] for o in permutations(range(len(x)))] if len(x) <= 5 else None
    if every is not None:
        assert found.p == pytest.approx(np.mean(np.abs(every) >= abs(found.value) - 1e-9))
        assert sorted(found.null) == pytest.approx(sorted(every), abs=1e-9)


def test_many_things_are_ordered_at_random():
    rng = np.random.default_rng(0)
    x = np.arange(12)
    like, unlike = spearman(x, x**2, rng), spearman(x, rng.permutation(12), rng)
    assert (like.exact, len(like.null)) == (False, 20_000)
    assert like.p == pytest.approx(1 / 20_001)
    assert unlike.p > 0.05
    assert abs(like.null.mean()) < 0.01
