"""The methods of the rank family: planted cases, published numbers, equal n, invariances, bad input, and checks that
fail on broken code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import pipeline, registry
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.clusters.coding_rate import rate
from analysis.compute.linear import spiked, tap_spectrum
from analysis.compute.linear.tap_probe import Probed
from analysis.compute.rows.some_samples import EqualSamples
from analysis.compute.subspaces import rank_changes as changes
from analysis.compute.subspaces import rank_notions as notions
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.rank import rank_dossier as dossier_module
from analysis.methods.rank.rank_against_accuracy import RankAgainstAccuracyParams, rank_against_accuracy
from analysis.methods.rank.rank_by_size import RankBySizeParams, rank_by_size
from analysis.methods.rank.rank_changes import RankChangesParams, rank_changes
from analysis.methods.rank.rank_dossier import RankDossierParams, rank_dossier
from analysis.methods.rank.rank_series import RankSeriesParams, rank_series
from analysis.methods.rank.spectrum_edges import SpectrumEdgesParams, spectrum_edges
from analysis.store.cache import ResultCache

FEW = settings(max_examples=10, deadline=None)


def tap(x, name="t", tokens=1, **samples):
    layout = Layout(np.arange(len(x) // tokens + 1) * tokens)
    return ArrayActivations(np.asarray(x), name, {k: np.asarray(v) for k, v in samples.items()}, layout)


def line(table) -> dict[str, float]:
    return dict(zip(table.columns[table.index].tolist(), table.columns["value"].tolist(), strict=True))


# ---------------------------------------------------------------------------- dossier
def test_the_dossier_judges_nothing_and_names_every_formula(rng):
    found = rank_dossier(rng.standard_normal((300, 12)) * np.linspace(0.2, 2, 12))
    said = " ".join((found.reading, *found.caveats))
    assert "neither good nor bad" in said
    assert "equal n" in said
    assert found.columns["notion"].tolist() == list(notions.NAMES)
    assert all(found.columns["formula"])
    assert (found.columns["low"] <= found.columns["value"]).all()
    assert (found.columns["value"] <= found.columns["high"]).all()
    assert (found.columns["value"] <= found.columns["at most"] + 1e-9).all()
    for e, name in zip(found.estimates, notions.NAMES, strict=True):
        assert e.name.startswith(name)
        assert e.null_low <= e.null <= e.null_high
        assert (e.n, e.d) == (300, 12)


def test_a_dossier_of_so_many_samples_is_that_of_a_subset(rng):
    x = rng.standard_normal((400, 5)) * [3, 2, 1, 1, 1]
    found = rank_dossier(tap(x, tokens=2), RankDossierParams(samples=50, tokens="every token is a row"))
    assert found.estimates[0].n == 50  # samples; their tokens are 100 rows
    assert "100 rows" in found.reading
    assert any("random 50 of 200" in c for c in found.caveats)
    again = rank_dossier(tap(x, tokens=2), RankDossierParams(samples=900, tokens="every token is a row"))
    assert again.estimates[0].n == 200
    assert any("there are 200" in c for c in again.caveats)


def test_tokens_are_rows_or_averaged(rng):
    x = rng.standard_normal((300, 4)) * [2, 1, 1, 1]
    rows = rank_dossier(tap(x, tokens=3), RankDossierParams(tokens="every token is a row"))
    pooled = rank_dossier(tap(x, tokens=3))
    assert line(rows)["participation ratio"] == pytest.approx(line(rank_dossier(x))["participation ratio"])
    mean = x.reshape(100, 3, 4).mean(axis=1)
    assert line(pooled)["participation ratio"] == pytest.approx(
        line(rank_dossier(mean))["participation ratio"]
    )


def test_the_mean_is_named_where_it_decides(rng):
    x = rng.standard_normal((200, 10))
    assert "mean is the largest direction" in rank_dossier(x + 30).reading
    assert "mean is the largest direction" not in rank_dossier(x).reading


# ---------------------------------------------------------------------------- by size
def test_an_isotropic_source_of_256_dimensions_as_published():
    x = np.random.default_rng(1).standard_normal((8192, 256)).astype(np.float32)
    found = rank_by_size(x, params=RankBySizeParams(sizes=7, draws=3))
    at = dict(zip(found.x.astype(int).tolist(), found.series["array"], strict=True))
    for n, value in {128: 118, 256: 206, 512: 237, 2048: 252, 8192: 255}.items():
        assert at[n] == pytest.approx(value, abs=1.5), n
    assert "118 at n = 128 and 255 at n = 8,192" in found.reading
    np.testing.assert_allclose(found.null["array"], found.series["array"], rtol=0.02)
    assert (np.diff(found.series["array"]) > 0).all()


def test_taps_are_compared_on_nested_samples_that_they_share(rng):
    x = rng.standard_normal((256, 12))
    ids = np.arange(256).astype(str)
    order = rng.permutation(256)
    taps = [tap(x, "a", id=ids), tap(2 * x[order], "b", id=ids[order])]
    found = rank_by_size(*taps, params=RankBySizeParams(sizes=4))
    assert found.x.tolist() == [32, 64, 128, 256]
    np.testing.assert_allclose(found.series["a"], found.series["b"], rtol=1e-9)
    assert "order of the taps" in found.reading
    few = rank_by_size(tap(x, "a", id=ids), tap(x[:40], "c", id=ids[:40]), params=RankBySizeParams(sizes=2))
    assert few.x.tolist() == [20, 40]
    np.testing.assert_allclose(few.series["a"], few.series["c"], rtol=1e-9)


def test_sizes_halve_and_stop_at_eight(rng):
    assert rank_by_size(rng.standard_normal((100, 3))).x.tolist() == [12, 25, 50, 100]
    assert rank_by_size(rng.standard_normal((9, 3))).x.tolist() == [9]
    with pytest.raises(NotEnoughData):
        rank_by_size(rng.standard_normal((7, 3)))


# ---------------------------------------------------------------------------- changes
def cells(found) -> dict[tuple[str, str], float]:
    return {
        (row, column): found.values[i, j]
        for i, row in enumerate(found.row_names)
        for j, column in enumerate(found.column_names)
    }


def test_eight_units_of_noise_take_rankme_from_8_to_16(rng):
    """7.9 to 15.6 as published, where the noise is a little weaker than the units."""
    x = rng.standard_normal((2000, 8)) * np.linspace(0.8, 1.2, 8)
    before = line(rank_dossier(x))["RankMe"]
    found = cells(rank_changes(x, RankChangesParams(noise_units=8, noise_scale=0.7)))
    assert before == pytest.approx(7.9, abs=0.1)
    assert before * (1 + found["adding noise units", "RankMe"]) == pytest.approx(15.6, abs=0.2)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(60, 5), (15, 40)]))
def test_what_theory_says_stays_stays(seed, shape):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 0.8 ** np.arange(shape[1]) + rng.standard_normal(shape[1])
    found = rank_changes(x)
    assert found.estimates[-1].value == 0
    for i, change in enumerate(changes.CHANGES):
        for j, name in enumerate(notions.NAMES):
            if name not in change.moves:
                assert abs(found.values[i, j]) < 1e-6, (change.name, name)


def test_cells_are_what_the_dossier_says_before_and_after(rng):
    x = rng.standard_normal((200, 6)) * [3, 2, 2, 1, 1, 0.5] + 0.5
    found = cells(rank_changes(x))
    factor = np.where(np.arange(6) == np.argmax(x.var(axis=0)), 10, 1)
    before = line(rank_dossier(x))
    for row, after in (
        ("centring", x - x.mean(axis=0)), ("largest unit × 10", x * factor), ("every unit twice", np.hstack([x, x])),
    ):  # fmt: skip
        for name, value in line(rank_dossier(after)).items():
            scale = max(before[name], 1) if notions.BY_NAME[name].counted else before[name]
            assert found[row, name] == pytest.approx((value - before[name]) / scale, abs=1e-9), (row, name)


def test_changes_of_structureless_data_lie_on_their_null(rng):
    x = rng.standard_normal((1500, 10)) * np.linspace(0.5, 2, 10) + 1
    found = rank_changes(x)
    smooth = [j for j, n in enumerate(notions.NOTIONS) if not n.counted]
    np.testing.assert_allclose(found.values[:, smooth], found.null[:, smooth], atol=0.08)
    assert (found.low <= found.values + 1e-12).all()
    assert (found.values <= found.high + 1e-12).all()
    assert found.significant[list(found.row_names).index("adding noise units")].sum() >= 7
    assert not found.significant[list(found.row_names).index("rotating")].any()


def test_intervals_of_a_change_are_paired(rng):
    """Scaling moves nothing on any sample, so that its interval has no width, though each number has one."""
    found = rank_changes(rng.standard_normal((100, 4)) * [5, 2, 1, 1])
    i = list(found.row_names).index("all × 10")
    smooth = [j for j, n in enumerate(notions.NOTIONS) if not n.counted]
    assert np.abs(found.high[i, smooth] - found.low[i, smooth]).max() < 1e-9


# ---------------------------------------------------------------------------- series
def test_all_taps_of_a_series_have_the_same_number_of_samples(rng):
    """Noise at 60 and 600 samples of one source: apart by themselves, the same in a series."""
    x = rng.standard_normal((600, 80))
    taps = [tap(x, "big:x"), tap(x[:60], "small:x")]
    found = rank_series(*taps)
    assert {e.n for e in found.estimates} == {60}
    np.testing.assert_allclose(found.series["x"][0], found.series["x"][1], rtol=1e-9)
    apart = [line(rank_dossier(t))["RankMe"] for t in taps]
    assert apart[0] > 1.2 * apart[1]
    assert any("60 samples of each" in c for c in found.caveats)


def test_networks_are_curves_over_depth_and_stores_of_one_tap_a_series(rng):
    def layer(k, name):
        basis = rng.standard_normal((200, k))
        return tap(np.linalg.qr(basis - basis.mean(axis=0))[0] @ rng.standard_normal((k, 16)), name)

    taps = [
        layer(k, f"{store}:{i}")
        for store in ("a", "b")
        for i, k in enumerate((2, 5, 9)[: 3 if store == "a" else 2])
    ]
    found = rank_series(*taps, params=RankSeriesParams(notion="numerical rank"))
    assert found.x_name == "relative depth"
    np.testing.assert_allclose(found.series["a"], [2, 5, 9])
    np.testing.assert_allclose(found.series["b"], [2, 3.5, 5])
    assert not found.low
    along = rank_series(
        *(layer(k, f"step{k}:encoder") for k in (3, 4, 6)), params=RankSeriesParams(notion="RankMe")
    )
    assert list(along.series) == ["encoder"]
    assert along.x.tolist() == [0, 1, 2]
    assert (along.low["encoder"] <= along.series["encoder"]).all()
    assert "neither good nor bad" in " ".join(along.caveats)


def test_another_notion_of_a_series_reads_nothing_again(rng, monkeypatch, tmp_path):
    kept.forget()
    passes, real = [], tap_spectrum._measured
    monkeypatch.setattr(tap_spectrum, "_measured", lambda t, *more: passes.append(t.name) or real(t, *more))
    taps = [tap(rng.standard_normal((50, 4)), f"s:{i}") for i in range(3)]
    cache = ResultCache(tmp_path)
    pipeline.run("rank_series", taps, cache=cache)
    kept.forget()  # as in another process
    second = pipeline.run("rank_series", taps, {"notion": "participation ratio"}, cache=cache)
    pipeline.run("rank_dossier", taps[:1], cache=cache)
    assert passes == ["s:0", "s:1", "s:2"]
    plain = pipeline.run("rank_series", taps, {"notion": "participation ratio"})
    np.testing.assert_array_equal(second.series["s"], plain.series["s"])
    np.testing.assert_array_equal(second.null["s"], plain.null["s"])


# ---------------------------------------------------------------------------- against accuracy
def runs(ranks, noise, n=400, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(6, size=n)
    means = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    return [
        tap(4 * means[label] * (np.arange(6) < k) + s * rng.standard_normal((n, 6)), f"run{i}:x", label=label)
        for i, (k, s) in enumerate(zip(ranks, noise, strict=True))
    ]


def test_rank_orders_runs_as_accuracy_does_or_the_other_way_round():
    spread = RankAgainstAccuracyParams(notion="participation ratio")
    like = rank_against_accuracy(*runs((1, 2, 3, 6), (0.5,) * 4), params=spread)
    assert like.estimates[0].value == 1.0
    assert like.estimates[0].p_value == pytest.approx(2 / 24)
    assert [e.value for e in like.estimates[1:3]] == [
        0.0, pytest.approx(like.columns["accuracy"].max() - like.columns["accuracy"][0])
    ]  # fmt: skip
    unlike = rank_against_accuracy(*runs((6,) * 4, (9.0, 2.0, 1.4, 0.9)),
                                   params=RankAgainstAccuracyParams(notion="participation ratio"))  # fmt: skip
    assert unlike.estimates[0].value == -1.0
    assert unlike.estimates[1].value > 0.5
    assert unlike.estimates[2].value == 0.0
    assert "neither good nor bad" in " ".join(unlike.caveats)


def test_regret_is_the_difference_of_two_accuracies_with_the_interval_of_paired_samples():
    found = rank_against_accuracy(*runs((6,) * 4, (9.0, 5.0, 3.0, 1.0)),
                                  params=RankAgainstAccuracyParams(notion="participation ratio"))  # fmt: skip
    e, accuracy = found.estimates[1], found.columns["accuracy"]
    assert e.value == pytest.approx(accuracy.max() - accuracy[found.columns["rank"].argmax()])
    assert e.null == pytest.approx(accuracy.max() - accuracy.mean())
    assert e.low < e.value < e.high
    assert 0.05 < e.high - e.low < 0.2  # about 4 √(p q / n) of 400 samples


def test_labels_that_say_nothing_are_told_by_chance():
    taps = runs((0, 0, 0, 0), (1.0,) * 4, n=600)
    found = rank_against_accuracy(*taps)
    assert (np.abs(found.columns["accuracy"] - found.columns["chance"]) < 4 * np.sqrt(5 / 36 / 600)).all()


def test_runs_are_matched_by_id_whatever_the_order_of_their_samples(rng):
    taps = runs((1, 2, 3, 6), (0.5,) * 4)
    order = rng.permutation(400)
    label, ids = taps[2].samples["label"], taps[2].samples["id"]
    moved = [*taps[:2], tap(taps[2].values[order], "run2:x", label=label[order], id=ids[order]), taps[3]]
    here, there = rank_against_accuracy(*taps), rank_against_accuracy(*moved)
    for column in ("rank", "accuracy", "accuracy low"):
        np.testing.assert_allclose(there.columns[column], here.columns[column], rtol=1e-9)
    assert there.estimates[1].interval == here.estimates[1].interval != ""


def test_notes_on_many_taps_are_said_once(rng):
    taps = [tap(np.hstack([rng.standard_normal((60, 30)), np.ones((60, 1))]), f"s:{i}") for i in range(20)]
    found = rank_series(*taps)
    said = [c for c in found.caveats if "constant" in c]
    assert len(said) == 1
    assert said[0].startswith("s:0, s:1, s:2 and 17 more: 1 constant")
    unlike = [tap(rng.standard_normal((60, 30 + i)), f"s:{i}") for i in range(20)]
    assert any("8 more such notes" in c for c in rank_series(*unlike).caveats)


def test_runs_on_other_samples_have_no_paired_interval(rng):
    taps = runs((1, 2, 3, 6), (0.5,) * 4)
    taps[3] = tap(taps[3].values, "run3:x", label=taps[3].samples["label"], id=[f"o{i}" for i in range(400)])
    found = rank_against_accuracy(*taps)
    assert found.estimates[1].low is None
    assert any("not of the same samples" in c for c in found.caveats)


def test_what_cannot_be_compared_is_refused(rng):
    taps = runs((1, 2, 3, 6), (0.5,) * 4)
    with pytest.raises(NotEnoughData, match="at least 4"):
        rank_against_accuracy(*taps[:3])
    with pytest.raises(ParameterError):
        pipeline.run("rank_against_accuracy", taps[:3])
    with pytest.raises(NotFound, match="grade"):
        rank_against_accuracy(*taps, params=RankAgainstAccuracyParams(column="grade"))
    one = [tap(t.values, t.name, label=np.zeros(400, int)) for t in taps]
    with pytest.raises(NotEnoughData, match="class"):
        rank_against_accuracy(*one)
    few = [tap(t.values[:19], t.name, label=t.samples["label"][:19]) for t in taps]
    with pytest.raises(NotEnoughData):
        rank_against_accuracy(*few)


def test_equal_ranks_have_no_order(rng):
    x = rng.standard_normal((60, 5))
    label = np.arange(60) % 2
    found = rank_against_accuracy(*(tap(x, f"r{i}:x", label=label) for i in range(4)))
    assert "no order to compare" in found.reading
    assert not any("correlation" in e.name for e in found.estimates)


# ---------------------------------------------------------------------------- edges
def test_planted_directions_are_found_with_their_strengths(rng):
    strengths = np.array([8.0, 3.0, 0.4])
    x = rng.standard_normal((1600, 400))
    q = np.linalg.qr(rng.standard_normal((400, 3)))[0]
    x += (x @ q * (np.sqrt(1 + strengths) - 1)) @ q.T
    found = spectrum_edges(0.1 * x + 3)
    by = {e.name: e for e in found.estimates}
    assert by["directions above noise"].value == 2
    assert by["noise variance"].value == pytest.approx(0.01, rel=0.02)
    for i, l in enumerate(strengths[:2]):  # noqa: E741
        e = by[f"strength of direction {i + 1}"]
        assert e.low <= l <= e.high
        assert e.value == pytest.approx(l, rel=0.15)
        axis = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][i]
        assert by[f"squared overlap of axis {i + 1} with the truth"].value == pytest.approx(
            (axis @ q[:, i]) ** 2, abs=0.05
        )


def test_the_span_above_noise_has_its_expected_error(rng):
    """Six units, two strong: what many samples say of Σ sin² θ lies in the interval."""
    lam = np.array([9.0, 5.0, 1.0, 1.0, 1.0, 1.0])
    e = next(
        e
        for e in spectrum_edges(rng.standard_normal((2000, 6)) * np.sqrt(lam)).estimates
        if "sin² θ" in e.name
    )
    truth = sum(lam[i] * lam[j] / (lam[i] - lam[j]) ** 2 for i in range(2) for j in range(2, 6)) / 2000
    assert e.low <= truth <= e.high
    assert e.null == pytest.approx(2 * (1 - 2 / 6))


@pytest.mark.parametrize("edge", ["Marchenko-Pastur", "permutation"])
@pytest.mark.parametrize("shape", [(300, 60), (60, 300)])
def test_noise_has_no_direction(edge, shape):
    params = SpectrumEdgesParams(edge=edge)
    hits = [
        spectrum_edges(np.random.default_rng(s).standard_normal(shape), params).estimates[0].value
        for s in range(20)
    ]
    assert np.mean(np.array(hits) > 0) <= 0.25


def test_a_unit_of_large_scale_stands_out_only_as_recorded(rng):
    x = rng.standard_normal((300, 40))
    x[:, 3] *= 8
    recorded = spectrum_edges(x)
    assert recorded.estimates[0].value == 1
    assert any("by its scale alone" in c for c in recorded.caveats)
    assert spectrum_edges(x, SpectrumEdgesParams(scaling="standardised")).estimates[0].value == 0
    assert spectrum_edges(x, SpectrumEdgesParams(edge="permutation")).estimates[0].value == 0


@pytest.mark.parametrize("params", [{}, {"edge": "permutation"}, {"scaling": "standardised"}])
def test_units_that_repeat_or_never_change_and_wide_data(rng, params):
    x = rng.standard_normal((200, 10))
    x = np.hstack([x, x, np.full((200, 3), 5.0)])
    found = spectrum_edges(x, SpectrumEdgesParams(**params))
    assert len(found.values) == 10
    # to permutations, units that repeat others are related
    assert (found.estimates[0].value > 0) == (params.get("edge") == "permutation")
    assert any("3 constant" in c for c in found.caveats)
    wide = spectrum_edges(rng.standard_normal((30, 200)), SpectrumEdgesParams(**params))
    assert len(wide.values) == 29
    for bad in (x[:9], np.ones((40, 3))):
        with pytest.raises((NotEnoughData, InputError)):
            spectrum_edges(bad, SpectrumEdgesParams(**params))


def test_tokens_are_averaged_before_the_edge_is_drawn(rng):
    x = np.repeat(rng.standard_normal((100, 20)), 6, axis=0) + 0.01 * rng.standard_normal((600, 20))
    found = spectrum_edges(tap(x, tokens=6))
    assert found.estimates[0].n == 100
    assert found.estimates[0].value == 0


# ---------------------------------------------------------------------------- checks that can fail
RATE, NUMBER = notions.coding_rate, notions.number
MEASURED = tap_spectrum._measured
BROKEN = [
    ("rank_dossier", "analysis.compute.subspaces.rank_notions.participation_ratio", lambda s: 1.001 * len(s)),
    ("rank_dossier", "analysis.compute.subspaces.rank_notions.entropy_rank", lambda s: float(len(s)) * 1.001),
    ("rank_dossier", "analysis.compute.subspaces.rank_notions.axes_for", lambda s, share: len(s) - 1),
    ("rank_dossier", "analysis.compute.subspaces.rank_notions.coding_rate", lambda s, d, e: 1.001 * RATE(s, d, e)),
    ("rank_dossier", "analysis.compute.linear.spiked.noise_edge", lambda n, d: 1.0),
    ("rank_by_size", "analysis.compute.subspaces.rank_notions.entropy_rank", lambda s: float((s > 0).sum())),
    ("rank_by_size", "analysis.methods.rank.rank_by_size._sizes", lambda n, most: np.array([n, n, n])),
    ("rank_by_size", "analysis.methods.rank.rank_by_size.null_spectra", lambda s, seed, draws: np.ones((3, s.d))),
    ("rank_changes", "analysis.compute.subspaces.rank_changes._size", lambda x: 0.01),
    ("rank_changes", "analysis.compute.subspaces.rank_changes.number",
     lambda n, s, t, o: float(s[0]) if n.name == "participation ratio" else NUMBER(n, s, t, o)),
    ("rank_series", "analysis.methods.rank.rank_series.equal_samples",
     lambda taps, *_: EqualSamples(tuple(np.arange(t.layout.n_samples) for t in taps), True, ())),
    ("rank_series", "analysis.methods.rank.rank_series.at_depths", lambda x, network, s: s[:, ::-1]),
    ("rank_against_accuracy", "analysis.compute.statistics.rank_agreement.midranks", lambda v: (-np.abs(v), None)),
    ("rank_against_accuracy", "analysis.methods.rank.rank_against_accuracy.tap_probe",
     lambda t, at, c, m, rng, *_: Probed(np.ones(len(at), bool), at.astype(str), 0.5, ())),
    ("spectrum_edges", "analysis.compute.subspaces.edge_report.subspace_error", lambda s, k, n, d: 0.5),
    ("spectrum_edges", "analysis.compute.subspaces.edge_report.strength", lambda v, c: v),
    ("spectrum_edges", "analysis.compute.subspaces.edge_report.axis_overlap", lambda l, c: np.ones_like(l)),  # noqa: E741
    ("spectrum_edges", "analysis.compute.linear.spiked.noise_variance", lambda s, n, d: float(np.median(s))),
    ("spectrum_edges", "analysis.compute.linear.spiked.noise_edge", lambda n, d: 1.5),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    declared = registry.methods()[method]
    monkeypatch.setattr(target, broken)
    assert not all(one.passed for one in declared.check())


def test_the_coding_rate_is_that_of_rows_of_one_length(rng):
    """Where all centred rows have the same length the rate is that of unit rows."""
    x = rng.standard_normal((100, 6))
    x = np.vstack([x, -x])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = line(rank_dossier(5 * x + 2))["coding rate"]
    assert found == pytest.approx(rate(x, np.array([0.5]))[0] / np.log(2), rel=1e-9)


def test_estimates_of_the_dossier_are_its_table(rng):
    found = dossier_module.rank_dossier(rng.standard_normal((50, 4)))
    np.testing.assert_array_equal(found.columns["value"], [e.value for e in found.estimates])
    np.testing.assert_array_equal(found.columns["null"], [e.null for e in found.estimates])
    assert spiked.noise_edge(50, 4) > (1 + np.sqrt(4 / 49)) ** 2 * 0.9
