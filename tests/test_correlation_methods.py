"""Units with sample columns, classes and samples with each other, one pair: second implementations and nulls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis import pipeline, registry
from analysis.activations import ArrayActivations, Layout
from analysis.arrays import upper
from analysis.compute.correlation.metadata_relations import (
    Column,
    interval,
    largest_by_chance,
    ratio_p,
    relate,
    usable_columns,
)
from analysis.compute.correlation.sample_relations import lines_of, null_similarities, tail
from analysis.compute.retrieval import class_gap as gaps
from analysis.compute.rows.tap_rows import TapRows
from analysis.errors import NotEnoughData, NotFound
from analysis.methods.correlation.classes import ClassCorrelationParams, class_correlation
from analysis.methods.correlation.metadata import UnitMetadataParams, unit_metadata_correlation
from analysis.methods.correlation.pair import UnitPairParams, unit_pair
from analysis.methods.correlation.samples import SampleSimilarityParams, sample_similarity
from analysis.store.cache import ResultCache
from analysis.store.tiles import Tiles

FEW = settings(max_examples=15, deadline=None)


def tap(x, name="t", layout=None, **samples):
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def estimate(result, start):
    return next(e for e in result.estimates if e.name.startswith(start))


# ---------------------------------------------------------------------------- units x sample columns
def eta(x, of):
    groups = [x[of == c] for c in np.unique(of)]
    return np.sqrt(sum(len(g) * (g.mean() - x.mean()) ** 2 for g in groups) / ((x - x.mean()) ** 2).sum())


@FEW
@given(st.integers(0, 10**6), st.booleans())
def test_cells_are_r_and_eta_over_the_samples_that_have_a_value(seed, ranks):
    rng = np.random.default_rng(seed)
    n = 120
    x = rng.standard_normal((n, 6)) + rng.uniform(-5, 5, 6)
    size, label = rng.standard_normal(n).round(1), rng.integers(0, 4, n)
    size[rng.integers(n, size=10)], label[rng.integers(n, size=7)] = np.nan, -1
    x[:, 0] += np.where(np.isfinite(size), size, 0)
    kind = np.array(["x", "yy", "z", "", "x"])[rng.integers(0, 5, n)]
    method = "spearman" if ranks else "pearson"
    found = unit_metadata_correlation(
        tap(x, size=size, label=label, kind=kind, good=rng.random(n) < 0.5), UnitMetadataParams(method=method)
    )
    assert found.column_names == ("size", "label", "kind", "good")
    there = np.isfinite(size)
    r = stats.spearmanr if ranks else stats.pearsonr
    for j in range(6):
        assert found.values[j, 0] == pytest.approx(r(x[there, j], size[there]).statistic, abs=1e-9)
        assert found.values[j, 1] == pytest.approx(eta(x[label >= 0, j], label[label >= 0]), abs=1e-9)
        assert found.values[j, 2] == pytest.approx(eta(x[kind != "", j], kind[kind != ""]), abs=1e-9)
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert any("different numbers of samples" in c for c in found.caveats)


def test_p_values_of_eta_are_those_of_the_analysis_of_variance(rng):
    of = np.repeat([0, 1, 2], [10, 20, 40])
    x = rng.standard_normal((70, 30)) + 0.4 * of[:, None]
    found = relate(x, Column("c", of=of, classes=3), False)
    expected = [stats.f_oneway(*(v[of == c] for c in range(3))).pvalue for v in x.T]
    np.testing.assert_allclose(found.p, expected, rtol=1e-9)
    np.testing.assert_allclose(ratio_p(np.array([0.0, 1.0]), 3, 70), [1, 0], atol=1e-12)


@pytest.mark.parametrize("classes", [2, 6])
def test_eta_of_noise_has_its_null_and_its_largest(rng, classes):
    of = np.arange(90) % classes
    found = relate(rng.standard_normal((90, 4000)), Column("c", of=of, classes=classes), False)
    assert found.value.mean() == pytest.approx(found.null, rel=0.03)
    for level in (0.05, 0.5):
        assert (found.p <= level).mean() == pytest.approx(level, abs=0.02)
    largest = [
        relate(rng.standard_normal((90, 50)), Column("c", of=of, classes=classes), False) for _ in range(300)
    ]
    middle = np.median([r.value.max() for r in largest])
    assert largest_by_chance(largest[0], 0.5) == pytest.approx(middle, rel=0.03)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_intervals_of_eta_cover_the_share_that_was_planted(share):
    """Class means fixed, as the noncentral F has it: 95 of 100, not below 92."""
    rng = np.random.default_rng(8)
    of, means = np.arange(120) % 4, np.array([-1.0, -1.0, 1.0, 1.0])
    x = np.sqrt(share) * means[of][:, None] + np.sqrt(1 - share) * rng.standard_normal((120, 600))
    low, high = interval(relate(x, Column("c", of=of, classes=4), False), np.arange(600), False)
    covered = ((low <= np.sqrt(share)) & (np.sqrt(share) <= high)).mean()
    assert covered >= (0.92 if share else 0.95)
    assert np.isfinite(low).all()
    assert (low <= high).all()


def test_columns_that_say_nothing_are_left_out_and_named(rng):
    n = 60
    samples = {
        "id": np.arange(n), "text": np.arange(n).astype(str), "name": np.arange(n).astype(str),
        "same": np.ones(n), "size": np.arange(n) * 1.0, "kind": np.arange(n) % 3, "label": np.arange(n) % 3,
        "nothing": np.full(n, np.nan),
    }  # fmt: skip
    found, notes = usable_columns(samples, np.arange(n))
    assert [c.name for c in found] == ["size", "kind", "label"]
    assert [c.classes for c in found] == [0, 0, 3]
    assert "name, same, nothing" in notes[0]
    with pytest.raises(NotFound, match="no sample column of numbers"):
        unit_metadata_correlation(tap(rng.standard_normal((n, 3)), name=samples["name"]))


def test_the_units_that_go_with_a_column_are_drawn_and_the_rest_counted(rng):
    x = rng.standard_normal((200, 30))
    size = rng.standard_normal(200)
    x[:, 17] -= size
    x[:, 4] = 2.0
    found = unit_metadata_correlation(tap(x, size=size), UnitMetadataParams(maximum_units=5))
    assert len(found.row_names) == 5
    assert "17" in found.row_names
    assert found.significant[found.row_names.index("17"), 0]
    assert any("1 constant unit(s)" in c for c in found.caveats)
    assert any("The 5 of 29 units" in c for c in found.caveats)
    strongest = estimate(found, "strongest with size: unit 17")
    assert strongest.value == pytest.approx(abs(np.corrcoef(x[:, 17], size)[0, 1]))
    assert strongest.p_value < 1e-6


# ---------------------------------------------------------------------------- class x class
def test_cells_are_the_cosines_of_centred_class_means(rng):
    label = np.repeat(["a", "b", "c", "d"], [10, 20, 30, 40])
    x = rng.standard_normal((100, 7)) * 3 + 100
    x[label == "b"] += 2
    means = np.array([x[label == c].mean(axis=0) for c in "abcd"])
    z = means - means.mean(axis=0)
    cosine = z @ z.T / np.outer(np.linalg.norm(z, axis=1), np.linalg.norm(z, axis=1))
    found = class_correlation(tap(x, label=label))
    np.testing.assert_allclose(found.values, cosine, atol=1e-12)
    np.testing.assert_array_equal(np.diag(found.values), 1)
    assert found.row_names == ("a", "b", "c", "d")
    r = class_correlation(tap(x, label=label), ClassCorrelationParams(measure="pearson")).values
    np.testing.assert_allclose(r, np.corrcoef(z), atol=1e-12)
    scaled = class_correlation(
        tap(x * [1, 2, 3, 4, 5, 6, 70], label=label), ClassCorrelationParams(scaling="standardised")
    )
    np.testing.assert_allclose(
        scaled.values,
        class_correlation(tap(x, label=label), ClassCorrelationParams(scaling="standardised")).values,
    )


@FEW
@given(st.integers(0, 10**6))
def test_rotation_shift_and_scale_of_the_whole_change_no_class_cosine(seed):
    rng = np.random.default_rng(seed)
    label = np.arange(60) % 4
    x = rng.standard_normal((60, 5)) + rng.standard_normal((4, 5))[label]
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    few = ClassCorrelationParams(permutations=19, draws=40)
    one, other = (class_correlation(tap(v, label=label), few).values for v in (x, 3 * x @ q - 8))
    np.testing.assert_allclose(one, other, atol=1e-9)
    stretched = class_correlation(tap(x * [30, 1, 1, 1, 1], label=label), few).values
    assert np.abs(stretched - one).max() > 1e-3


def test_a_simplex_shows_its_angle_and_labels_without_meaning_are_not_marked(rng):
    label = np.repeat(np.arange(6), 200)
    x = rng.standard_normal((1200, 30))
    x[np.arange(1200), label] += 20
    found = class_correlation(tap(x, label=label))
    assert upper(found.values) == pytest.approx(-1 / 5, abs=0.02)
    assert found.estimates[0].value == pytest.approx(-0.2, abs=1e-3)
    noise = rng.standard_normal((1200, 300))
    shuffled = class_correlation(tap(noise, label=label))
    assert upper(shuffled.significant).sum() <= 1
    low, high = shuffled.null_band
    assert low < -0.2 < high
    np.testing.assert_allclose(upper(shuffled.null), -0.2, atol=0.03)


def test_intervals_of_class_cosines_cover_the_planted_ones():
    """Classes at planted places in 20 dimensions, 100 samples each; at least 85 of 100."""
    places = np.random.default_rng(0).standard_normal((4, 20)) * 0.7
    z = places - places.mean(axis=0)
    true = (z[0] @ z[1]) / np.linalg.norm(z[0]) / np.linalg.norm(z[1])
    label, hits = np.repeat(np.arange(4), 100), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = places[label] + rng.standard_normal((400, 20))
        found = class_correlation(tap(x, label=label), ClassCorrelationParams(permutations=19), rng)
        hits += found.low[0, 1] <= true <= found.high[0, 1]
    assert hits >= 51


def test_classes_that_are_too_small_are_drawn_as_uncertain_or_left_out(rng):
    label = np.repeat(["a", "b", "c", "d"], [30, 30, 6, 3])
    found = class_correlation(tap(rng.standard_normal((69, 4)), label=label))
    assert found.row_names == ("a", "b", "c")
    assert found.few.tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert any("d (3)" in c for c in found.caveats)
    with pytest.raises(NotEnoughData, match="2 classes"):
        class_correlation(tap(rng.standard_normal((60, 4)), label=np.arange(60) % 2))
    with pytest.raises(NotFound):
        class_correlation(rng.standard_normal((60, 4)))


# ---------------------------------------------------------------------------- sample x sample
def stored(x, **params):
    return sample_similarity(x, SampleSimilarityParams(order="as stored", **params))


@FEW
@given(st.integers(0, 10**6))
def test_cells_are_the_similarities_of_their_formulas(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((25, 6)) * rng.uniform(0.1, 5, 6) + rng.uniform(-9, 9, 6)
    z = x - x.mean(axis=0)

    def cosine(v):
        return v @ v.T / np.outer(np.linalg.norm(v, axis=1), np.linalg.norm(v, axis=1))

    apart = np.linalg.norm(z[:, None] - z, axis=2)
    rms = np.sqrt((upper(apart) ** 2).mean())
    np.testing.assert_allclose(stored(x).overview, cosine(z), atol=1e-6)
    np.testing.assert_allclose(stored(x, centred=False).overview, cosine(x), atol=1e-6)
    np.testing.assert_allclose(stored(x, measure="pearson").overview, np.corrcoef(z), atol=1e-6)
    np.testing.assert_allclose(
        stored(x, measure="pearson", centred=False).overview, np.corrcoef(x), atol=1e-6
    )
    np.testing.assert_allclose(stored(x, measure="distance").overview, 1 - apart / rms, atol=1e-5)
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    for measure in ("cosine", "distance"):
        np.testing.assert_allclose(
            stored(5 * x @ q + 3, measure=measure).overview, stored(x, measure=measure).overview, atol=1e-5
        )


def test_samples_stand_by_class_and_then_by_group(rng):
    label, group = rng.integers(3, size=120), rng.integers(2, size=120)
    x = 6 * np.eye(8)[label] + 3 * np.eye(8)[3 + group] + 0.3 * rng.standard_normal((120, 8))
    label = np.array(["b", "a", "c"])[label]
    found = sample_similarity(tap(x, label=label))
    drawn = label[found.row_units[found.row_order]]
    assert (np.diff(drawn.view(np.uint32)) >= 0).all()
    assert (
        np.count_nonzero(np.diff(2 * np.unique(drawn, return_inverse=True)[1] + group[found.row_order])) == 5
    )
    assert found.row_names[0].startswith(label[0] + " · ")
    assert found.of == "samples"
    more = estimate(found, "more alike inside")
    assert more.low > more.null_high
    assert more.p_value == pytest.approx(1 / 201)
    alone = sample_similarity(tap(x, label=label), SampleSimilarityParams(order="clusters"))
    assert alone.linkage.shape == (119, 4)
    for params in ({"column": "kind"}, {"column": "none"}):
        with pytest.raises(NotFound):
            sample_similarity(tap(x, label=label), SampleSimilarityParams(**params))
    kinds = sample_similarity(tap(x, kind=label), SampleSimilarityParams(column="kind"))
    assert kinds.reading.endswith("Blocks on the diagonal are classes.")


def test_what_samples_of_one_class_have_in_common_is_counted_pair_by_pair(rng):
    alike, of = rng.standard_normal((20, 20)), rng.integers(3, size=20)
    alike = alike + alike.T
    np.fill_diagonal(alike, 0)
    i, j = np.triu_indices(20, 1)
    same = of[i] == of[j]
    expected = alike[i, j][same].mean() - alike[i, j][~same].mean()
    assert gaps.gap(alike, of) == pytest.approx(expected)


def test_noise_stays_inside_the_band_and_the_null_is_that_of_exchanged_units(rng):
    x = rng.exponential(size=(300, 60)) ** 2
    found = stored(x)
    values = upper(found.overview)
    assert (np.abs(values) <= found.null_band[1]).mean() == pytest.approx(0.95, abs=0.01)
    assert found.share_significant < 0.01
    null = null_similarities(x, "cosine", True, rng)
    for level in (0.5, 0.05, 0.01):
        assert (tail(null, np.abs(values)) <= level).mean() == pytest.approx(level, rel=0.15, abs=0.002)
    assert tail(null, np.array([2.0]))[0] == 1 / (1 + len(null))


def test_many_samples_go_to_tiles_and_come_back(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("analysis.store.heat_cells.MOST", 20)
    monkeypatch.setattr("analysis.methods.correlation.samples.MOST", 20)
    monkeypatch.setattr("analysis.store.tiles.SIDE", 8)
    monkeypatch.setattr("analysis.compute.correlation.sample_relations.LINES", 7)
    x = rng.standard_normal((70, 5))
    x[11] *= 40  # an outlier: similarities below -1
    for measure in ("cosine", "distance"):
        found = pipeline.run("sample_similarity", [x], {"measure": measure}, cache=ResultCache(tmp_path))
        cells = Tiles.open(ResultCache(tmp_path).folder(found.tiles)).block(0, 70, 0, 70)[0]
        monkeypatch.setattr("analysis.methods.correlation.samples.MOST", 512)
        monkeypatch.setattr("analysis.store.heat_cells.MOST", 512)
        whole = stored(x, measure=measure).overview
        monkeypatch.setattr("analysis.methods.correlation.samples.MOST", 20)
        monkeypatch.setattr("analysis.store.heat_cells.MOST", 20)
        np.testing.assert_allclose(cells, whole[np.ix_(found.row_order, found.row_order)], atol=5e-4)


def test_samples_without_a_direction_are_left_out_and_equal_ones_refused(rng):
    x = rng.standard_normal((30, 4))
    x[3] = 2.5  # no r over its units
    found = stored(x, measure="pearson", centred=False)
    assert found.shape == (29, 29)
    assert 3 not in found.row_units
    assert any("1 sample(s) without a direction" in c for c in found.caveats)
    with pytest.raises(NotEnoughData, match="unit"):
        stored(np.ones((30, 4)))
    with pytest.raises(NotEnoughData, match="at least 4"):
        stored(x[:3])
    lines, good = lines_of(np.vstack([np.zeros(3), np.eye(3)]), "cosine", False)
    assert good.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(lines.between(np.arange(3), np.arange(3)), np.eye(3))


def test_tokens_are_pooled_and_rows_with_nan_left_out(rng):
    x = rng.standard_normal((90, 4))
    x[:3] = np.nan
    t = tap(x, layout=Layout(np.arange(31) * 3))
    found = stored(t)
    assert found.shape == (29, 29)
    assert any("mean over its tokens" in c for c in found.caveats)
    pooled = x.reshape(30, 3, 4).mean(axis=1)[1:]
    np.testing.assert_allclose(found.overview, stored(pooled).overview, atol=1e-6)


# ---------------------------------------------------------------------------- one pair
def test_the_numbers_of_a_pair_are_those_of_scipy(rng):
    x = np.round(rng.standard_normal((150, 3)), 1)
    x[:, 1] += x[:, 0]
    found = unit_pair(x)
    r, rank, distance, shared = found.estimates
    expected = stats.pearsonr(x[:, 0], x[:, 1])
    assert r.value == pytest.approx(expected.statistic, abs=1e-12)
    assert r.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert (r.low, r.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-9)
    assert rank.value == pytest.approx(stats.spearmanr(x[:, 0], x[:, 1]).statistic, abs=1e-12)
    assert rank.high - rank.low > r.high - r.low  # Bonett and Wright
    assert distance.value > distance.null_high
    best = [set(np.argsort(-x[:, j], kind="stable")[:64]) for j in (0, 1)]
    assert shared.value == len(best[0] & best[1])
    chance = stats.hypergeom(150, 64, 64)
    assert shared.null == pytest.approx(chance.mean())
    assert shared.p_value == pytest.approx(chance.sf(shared.value - 1), rel=1e-6)
    assert (shared.null_low, shared.null_high) == (chance.ppf(0.025), chance.ppf(0.975))
    np.testing.assert_array_equal(found.positions, x[:, :2])
    both = found.columns["strongest of"] == "both"
    assert set(np.flatnonzero(both)) == best[0] & best[1]


def test_a_pair_of_two_networks_is_matched_by_id_and_pooled(rng):
    x, y = rng.standard_normal((40, 3, 2)), rng.standard_normal((40, 5))
    ids, order = np.array([f"s{i}" for i in range(40)]), rng.permutation(40)
    one = ArrayActivations(
        x.reshape(120, 2), "a:t", {"id": ids, "label": ids}, Layout(np.arange(41) * 3), ("u", "v")
    )
    other = ArrayActivations(y[order], "b:t", {"id": ids[order]})
    found = unit_pair(one, other, params=UnitPairParams(unit_a=1, unit_b=4))
    assert found.estimates[0].value == pytest.approx(np.corrcoef(x.mean(1)[:, 1], y[:, 4])[0, 1], abs=1e-12)
    assert found.axes == ("a:t unit v", "b:t unit 4")
    assert found.of == "samples"
    assert found.estimates[0].n == 40


def test_tokens_of_a_pair_are_points_and_samples_are_counted(rng):
    x = rng.standard_normal((600, 2))
    found = unit_pair(tap(x, layout=Layout(np.arange(31) * 20)), params=UnitPairParams(maximum_points=100))
    assert found.positions.shape == (100, 2)
    np.testing.assert_array_equal(found.positions, x[found.rows])
    assert found.estimates[0].n == 30
    assert found.of == "rows"
    assert any("A random 100 of 600 points" in c for c in found.caveats)
    assert any("count 30 samples, not 600" in c for c in found.caveats)


def test_a_unit_with_itself_and_units_that_are_not_there(rng):
    x = rng.standard_normal((50, 3))
    found = unit_pair(x, params=UnitPairParams(unit_a=2, unit_b=2))
    assert found.estimates[0].value == pytest.approx(1)
    assert found.axes[0] != found.axes[1]
    with pytest.raises(NotFound, match="no unit 3"):
        unit_pair(x, params=UnitPairParams(unit_b=3))
    x[:, 1] = 4
    with pytest.raises(NotEnoughData, match="vary"):
        unit_pair(x)


# ---------------------------------------------------------------------------- checks that can fail
def _uncentred(x, measure, centred):
    return lines_of(x, measure, False)


BROKEN = [
    ("unit_metadata_correlation", "analysis.methods.correlation.metadata.relate",
     lambda x, column, ranks: relate(x[np.random.default_rng(0).permutation(len(x))], column, ranks)),
    ("unit_metadata_correlation", "analysis.compute.correlation.metadata_relations.fdtrc", lambda *_: np.zeros(30)),
    ("class_correlation", "analysis.methods.correlation.classes._alike",
     lambda means, measure: np.tile(np.eye(means.shape[-2]), (*means.shape[:-2], 1, 1))),
    ("class_correlation", "analysis.methods.correlation.classes.benjamini_hochberg", lambda p: np.ones(p.shape)),
    ("sample_similarity", "analysis.methods.correlation.samples.lines_of", _uncentred),
    ("sample_similarity", "analysis.methods.correlation.samples.tail", lambda null, size: np.zeros(np.shape(size))),
    ("unit_pair", "analysis.methods.correlation.pair.distance_correlations", lambda x: np.corrcoef(x, rowvar=False)),
    ("unit_pair", "analysis.methods.correlation.pair.tap_rows",
     lambda columns, rng, **_: TapRows(columns)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    declared = registry.methods()[method]
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in declared.check())
