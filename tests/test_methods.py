"""What the methods of the projection, correlation and units families say, on data with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import Cancelled, InputError, NotEnoughData, TooLarge
from analysis.methods.correlation.strongest_pairs import StrongestPairsParams, strongest_pairs
from analysis.methods.correlation.units import UnitCorrelationParams, unit_correlation
from analysis.methods.projection.map_quality import MapQualityParams, map_quality
from analysis.methods.projection.pca import PcaParams, pca
from analysis.methods.projection.pca_spectrum import PcaSpectrumParams, pca_spectrum
from analysis.methods.projection.umap import UmapParams, umap
from analysis.methods.units.class_means import ClassMeansParams, class_means
from analysis.methods.units.class_selectivity import ClassSelectivityParams, class_selectivity
from analysis.methods.units.statistics import unit_statistics


def estimate(result, name):
    return next(e for e in result.estimates if e.name.startswith(name))


def with_tokens(x, tokens, **samples):
    """Every row repeated `tokens` times: the same information, `tokens` times the rows."""
    offsets = np.arange(len(x) + 1, dtype=np.int64) * tokens
    return ArrayActivations(np.repeat(x, tokens, axis=0), layout=Layout(offsets), samples=samples)


# ---------------------------------------------------------------------------- PCA
def test_pca_positions_are_the_singular_vectors_times_values(rng):
    x = rng.standard_normal((500, 9)) * np.arange(9, 0, -1) + 100
    result = pca(x)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    signs = np.sign((result.positions * u[:, :2]).sum(axis=0))
    np.testing.assert_allclose(result.positions * signs, u[:, :2] * s[:2], atol=1e-3)
    assert estimate(result, "variance share of PC 1").value == pytest.approx(
        s[0] ** 2 / (s**2).sum(), rel=1e-12
    )
    left = 1 - (s[:2] ** 2 * u[:, :2] ** 2).sum(axis=1) / ((x - x.mean(0)) ** 2).sum(axis=1)
    np.testing.assert_allclose(result.columns["distance to plane"], left, atol=1e-6)


def test_pca_says_when_axes_are_unresolved(rng):
    ring = pca(rng.standard_normal((300, 5)) * [3, 3, 1, 1, 1])
    assert any("PC 1 and PC 2 are unresolved" in c for c in ring.caveats)
    assert not any("PC 2 and PC 3" in c for c in ring.caveats)
    assert "not told apart" in ring.reading
    assert ["one block PC 1–2" in axis for axis in ring.axes] == [True, True]
    assert estimate(ring, "variance of PC 2").p_value < 1e-6


def test_pca_null_of_noise_covers_the_noise(rng):
    inside = 0
    for seed in range(40):
        r = pca(np.random.default_rng(seed).standard_normal((150, 30)), rng=np.random.default_rng(seed))
        e = estimate(r, "variance share of PC 1")
        inside += e.null_low <= e.value <= e.null_high
    assert inside >= 34


def test_pca_draws_a_said_sample_and_uses_all_rows(rng):
    x = rng.standard_normal((1000, 4)) * [4, 3, 2, 1]
    few, all_ = pca(x, PcaParams(maximum_points=100)), pca(x)
    assert len(few.rows) == 100
    assert any("100 of 1,000 points" in c for c in few.caveats)
    np.testing.assert_array_equal(few.positions, all_.positions[few.rows])


def test_repeating_tokens_does_not_make_pca_surer(rng):
    x = rng.standard_normal((200, 6)) * [3, 2, 1, 1, 1, 1]
    once, thrice = pca(x), pca(with_tokens(x, 3))
    for a, b in zip(once.estimates, thrice.estimates, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-9)
        if b.name.startswith("variance share"):
            assert (b.high - b.low) == pytest.approx(a.high - a.low, rel=0.02)
    p = [estimate(r, "variance of PC 2").p_value for r in (once, thrice)]
    assert np.log(p[1]) == pytest.approx(np.log(p[0]), rel=0.25)


def test_pca_of_units_groups_units_that_go_together(rng):
    source = rng.standard_normal((400, 2))
    x = np.repeat(source, 10, axis=1) + 0.5 * rng.standard_normal((400, 20))
    result = pca(x * np.geomspace(1, 100, 20), PcaParams(of="units"))
    assert result.of == "units"
    first = result.positions[:, 0]
    assert (np.sign(first[:10]) == np.sign(first[0])).all()
    assert (np.sign(first[10:]) == -np.sign(first[0])).all()


def test_pca_of_few_rows_uses_the_dual_and_warns(rng):
    result = pca(rng.standard_normal((40, 3000)).astype(np.float16))
    assert np.isfinite(result.positions).all()
    assert any("40 rows for 3,000 units" in c for c in result.caveats)


def test_spectrum_shows_planted_axes_above_the_null(rng):
    x = rng.standard_normal((800, 40))
    mixing = np.linalg.qr(rng.standard_normal((40, 3)))[0].T
    x += 4 * rng.standard_normal((800, 3)) @ mixing
    for null in ("matched Gaussian", "permutation"):
        result = pca_spectrum(x, PcaSpectrumParams(null=null))
        assert estimate(result, "axes above").value == 3
        assert result.null[0] < result.values[2]
    assert len(np.unique(result.blocks[3:])) < 5


def test_permutation_null_keeps_the_tokens_of_a_sample_together(rng):
    """Repeated tokens must not look like more samples: the null stays as wide as that of single rows."""
    x = rng.standard_normal((60, 10))
    single, repeated = (
        pca_spectrum(a, PcaSpectrumParams(null="permutation"), np.random.default_rng(0)).null[0]
        for a in (x, with_tokens(x, 8))
    )
    assert repeated == pytest.approx(single, rel=0.08)


# ---------------------------------------------------------------------------- UMAP and quality
def test_umap_marks_what_it_distorts(rng):
    x = rng.standard_normal((300, 20))
    result = umap(x, UmapParams(epochs=50))
    assert not result.meaningful_axes
    for name in ("trust", "recall"):
        assert np.isfinite(result.columns[name]).all()
    e = estimate(result, "neighbour recall")
    assert e.value == pytest.approx(result.columns["recall"].mean(), abs=1e-6)
    assert e.null < e.low
    assert e.null_low is None  # hubs and mutual neighbours widen it by an amount that no closed form gives


def test_umap_measures_a_said_sample(rng):
    result = umap(rng.standard_normal((300, 5)), UmapParams(epochs=20, quality_points=80, maximum_rows=200))
    assert len(result.rows) == 200
    assert np.isfinite(result.columns["trust"]).sum() == 80
    text = " ".join(result.caveats)
    assert "80 of 200" in text
    assert "random 200 of 300" in text


def test_umap_seeds_differ_and_zero_vectors_are_counted(rng):
    x = rng.standard_normal((120, 6))
    x[:5] = 0
    maps = [umap(x, UmapParams(epochs=20, metric="cosine"), np.random.default_rng(s)) for s in (0, 1)]
    assert not np.array_equal(maps[0].positions, maps[1].positions)
    assert any("5 zero vector" in c for c in maps[0].caveats)


def test_umap_can_be_stopped_inside_the_layout(rng):
    def stop(fraction, doing=""):
        if "epoch" in doing:
            raise Cancelled

    with pytest.raises(Cancelled):
        umap(rng.standard_normal((400, 5)), UmapParams(epochs=2000), progress=stop)


def test_umap_refuses(rng):
    with pytest.raises(NotEnoughData):
        umap(rng.standard_normal((30, 5)))
    with pytest.raises(InputError):
        umap(np.ones((100, 5)))


def test_quality_of_pca_beats_a_random_plane(rng):
    x = rng.standard_normal((300, 12)) * [5, 5, *[1] * 10]
    good, bad = (map_quality(x, MapQualityParams(projection=p)) for p in ("pca", "random plane"))
    name = "trustworthiness"
    assert (good.series[name] > bad.series[name]).all()
    assert (good.low[name] <= good.series[name]).all()
    assert 15 in good.x


# ---------------------------------------------------------------------------- units
def test_unit_statistics_agree_with_scipy(rng):
    from scipy import stats

    x = np.maximum(rng.standard_normal((9000, 4)), 0) * [1, 1e-3, 1e3, 0] + [0, 0, 1e4, 0]
    c = unit_statistics(x).columns
    alive = slice(0, 3)
    np.testing.assert_allclose(c["mean"], x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(c["sd"], x.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(c["skewness"][alive], stats.skew(x[:, alive]), rtol=1e-6)
    np.testing.assert_allclose(c["kurtosis excess"][alive], stats.kurtosis(x[:, alive]), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(c["fraction nonzero"], (x != 0).mean(axis=0))
    assert c["state"].tolist() == ["alive", "alive", "alive", "dead"]


def test_usage_unevenness_by_hand():
    x = np.zeros((100, 2))
    x[:60, 0] = 1
    x[:20, 1] = 2
    x[0, 1] = 3
    e = estimate(unit_statistics(x), "usage unevenness")
    assert e.value == pytest.approx(2 * (0.36 + 0.04) / 0.64)


def test_selectivity_of_noise_is_its_null_and_not_a_half(rng):
    label = np.arange(400) % 8
    result = class_selectivity(ArrayActivations(rng.standard_normal((400, 60)), samples={"label": label}))
    best, held = estimate(result, "mean AUROC"), estimate(result, "mean held-out")
    assert best.value > 0.53
    assert abs(best.value - best.null) < 0.006
    assert held.low <= 0.5 <= held.high
    assert estimate(result, "share of selective").value <= 0.1
    p = result.columns["p of the best"]
    assert abs((p < 0.2).mean() - 0.2) < 0.15


def test_selectivity_with_many_ties_has_a_narrower_null(rng):
    """A unit that is nearly always 0 cannot reach a high AUROC by luck, and its null must know."""
    label = np.arange(300) % 5
    x = np.stack([rng.standard_normal(300), (rng.random(300) < 0.05) * 1.0], axis=1)
    c = class_selectivity(ArrayActivations(x, samples={"label": label})).columns
    assert c["null 95 %"][1] < c["null 95 %"][0]
    assert (c["p of the best"] > 0.001).all()


def test_selectivity_counts_samples_not_tokens(rng):
    label = np.arange(90) % 3
    x = rng.standard_normal((90, 5)) + (label == 1)[:, None]
    once = class_selectivity(ArrayActivations(x, samples={"label": label}))
    tokens = class_selectivity(with_tokens(x, 4, label=label), ClassSelectivityParams(pooling="mean"))
    for name in ("AUROC", "q", "low"):
        np.testing.assert_allclose(once.columns[name], tokens.columns[name], rtol=1e-6)
    assert any("mean over its tokens" in c for c in tokens.caveats)


def test_class_means_by_hand():
    label = np.repeat([0, 1], 10)
    x = np.stack([label * 2.0, np.tile([0.0, 1], 10), np.zeros(20)], axis=1)
    result = class_means(ArrayActivations(x, samples={"label": label}))
    assert result.values.shape == (2, 2)
    np.testing.assert_allclose(result.values[0], np.array([-1, 1]) / np.sqrt(20 / 19))
    np.testing.assert_allclose(result.values[1], 0, atol=1e-12)
    assert result.significant.tolist() == [[True, True], [False, False]]
    assert estimate(result, "mean η²").value == pytest.approx(0.5)


def test_class_means_keep_the_units_the_classes_explain(rng):
    label = np.arange(200) % 2
    x = rng.standard_normal((200, 30))
    x[:, [3, 17]] += 2 * label[:, None]
    result = class_means(ArrayActivations(x, samples={"label": label}), ClassMeansParams(maximum_units=2))
    assert result.row_names == ("3", "17")


# ---------------------------------------------------------------------------- correlation
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_correlation_agrees_with_scipy(rng, method):
    from scipy import stats

    x = (rng.standard_normal((5000, 6)) @ rng.standard_normal((6, 6)) + 1e4).astype(np.float64)
    result = unit_correlation(x, UnitCorrelationParams(method=method))
    expected = np.corrcoef(x, rowvar=False) if method == "pearson" else stats.spearmanr(x).statistic
    np.testing.assert_allclose(result.values, expected, atol=1e-9)


def test_correlation_of_repeated_tokens_is_not_surer(rng):
    x = rng.standard_normal((80, 10))
    once, repeated = unit_correlation(x), unit_correlation(with_tokens(x, 6))
    np.testing.assert_allclose(once.values, repeated.values, atol=1e-12)
    assert once.null_band == pytest.approx(repeated.null_band)
    np.testing.assert_array_equal(once.significant, repeated.significant)
    permuted = unit_correlation(with_tokens(x, 6), UnitCorrelationParams(null="permutation"))
    assert permuted.null_band[1] == pytest.approx(once.null_band[1], rel=0.15)


def test_correlation_of_noise_marks_about_nothing():
    marked = [
        unit_correlation(np.random.default_rng(s).standard_normal((100, 20))).significant.any()
        for s in range(60)
    ]
    assert np.mean(marked) < 0.15


def test_correlation_keeps_the_most_variable_units(rng):
    x = rng.standard_normal((100, 6)) * [1, 5, 1, 4, 1, 1]
    result = unit_correlation(x, UnitCorrelationParams(maximum_units=2))
    assert result.row_names == ("1", "3")
    assert any("2 units with the largest variance of 6" in c for c in result.caveats)


def test_strongest_pairs_over_blocks_equal_one_block(rng, monkeypatch):
    x = rng.standard_normal((300, 25))
    x[:, 20] += x[:, 2]
    x[:, 11] = 4
    whole = strongest_pairs(x, StrongestPairsParams(pairs=40)).columns
    monkeypatch.setattr("analysis.methods.correlation.strongest_pairs.BLOCK", 7)
    parts = strongest_pairs(x, StrongestPairsParams(pairs=40)).columns
    for name in ("unit a", "unit b"):
        np.testing.assert_array_equal(whole[name], parts[name])
    np.testing.assert_allclose(whole["r"], parts["r"], atol=1e-12)
    assert 11 not in whole["unit a"]


@pytest.mark.parametrize(("sign", "good"), [("positive", np.greater), ("negative", np.less)])
def test_strongest_pairs_of_one_sign(rng, sign, good):
    columns = strongest_pairs(
        rng.standard_normal((50, 12)), StrongestPairsParams(pairs=500, sign=sign)
    ).columns
    assert good(columns["r"], 0).all()
    assert 0 < len(columns["r"]) < 66


def test_too_wide_is_refused():
    x = np.broadcast_to(np.float32(0), (10, 40_000))
    with pytest.raises(TooLarge):
        strongest_pairs(ArrayActivations(x, digest="wide"))
