"""Inputs on which a number could be wrong without anything failing: constants, one sample, ties, huge values."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from analysis import results
from analysis.activations import ArrayActivations, Layout
from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.groups.group_sums import GroupSums, entries_of, entry_means
from analysis.compute.maps.map_quality import placement_quality
from analysis.compute.neighbours.neighbours import nearest
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.multiple_testing import simultaneous_z
from analysis.compute.statistics.nulls import bootstrap
from analysis.errors import NotEnoughData, NotFound
from analysis.jobs import queue, worker
from analysis.methods.correlation.strongest_pairs import StrongestPairsParams, strongest_pairs
from analysis.methods.correlation.units import UnitCorrelationParams, unit_correlation
from analysis.methods.projection.pca import pca
from analysis.methods.projection.pca_spectrum import PcaSpectrumParams, pca_spectrum
from analysis.methods.units.class_selectivity import class_selectivity
from analysis.methods.units.selection_contrast import ContrastParams, contrast, selection_contrast
from analysis.methods.units.statistics import gaussian_kurtosis, unit_statistics


def tokens(x, offsets, **samples):
    return ArrayActivations(x, layout=Layout(np.asarray(offsets, np.int64)), samples=samples)


# ---------------------------------------------------------------------------- what counts as independent
@pytest.mark.parametrize("method", [unit_correlation, strongest_pairs, unit_statistics])
def test_samples_without_a_finite_row_do_not_count(rng, method):
    x = rng.standard_normal((1000, 6))
    alone = method(tokens(x[:50], np.arange(0, 51, 10)))
    x[50:] = np.nan
    beside = method(tokens(x, np.arange(0, 1001, 10)))
    for a, b in zip(alone.estimates, beside.estimates, strict=True):
        assert (a.n, a.null, a.low, a.high) == (b.n, b.null, b.low, b.high)


@pytest.mark.parametrize("null", ["matched Gaussian", "permutation"])
def test_the_tokens_of_one_sample_have_a_null_and_an_interval(rng, null):
    x = rng.standard_normal((200, 6)) * [3, 2, 1, 1, 1, 1]
    one, many = tokens(x, [0, 200]), ArrayActivations(x)
    for method, params in ((pca, ()), (pca_spectrum, (PcaSpectrumParams(null=null, draws=20),))):
        a, b = (method(t, *params, rng=np.random.default_rng(0)) for t in (one, many))
        for e, f in zip(a.estimates, b.estimates, strict=True):
            assert (e.low, e.high) == (f.low, f.high)
            assert e.null == pytest.approx(f.null)
        assert any("one sample only" in c for c in a.caveats)
        assert not any("one sample only" in c for c in b.caveats)


def test_ranks_and_moves_count_the_samples_of_the_rows_that_were_drawn(rng):
    x = tokens(rng.standard_normal((4000, 5)), np.arange(0, 4001, 4))
    params = {"maximum_rows": 100}
    for more in ({"method": "spearman"}, {"null": "permutation"}):
        found = unit_correlation(x, UnitCorrelationParams(**params, **more))
        assert found.estimates[0].n <= 100
        assert any("100 of 4,000 rows" in c for c in found.caveats)
    assert found.null_band[1] > 0.15  # of r at 100 rows, and r is of the same 100 rows
    assert found.estimates[0].value == pytest.approx(found.estimates[0].null, abs=0.08)


def test_draws_that_were_asked_for_are_made(rng):
    found = pca_spectrum(rng.standard_normal((60, 4)), PcaSpectrumParams(null="permutation", draws=45))
    assert "45 draws" in found.estimates[0].null_method


# ---------------------------------------------------------------------------- a group against the rest
def test_contrast_of_constant_and_of_wholly_determined_units(rng):
    x, inside = rng.standard_normal((1000, 4)), np.arange(1000) % 4 == 0
    x[:, 1], x[:, 2], x[:, 3] = 0.1, inside, 1e6 / 3
    c = contrast(x, inside).columns
    by = {u: (g, p) for u, g, p in zip(c["unit"], c["difference"], c["p_value"], strict=True)}
    assert c["unit"][0] == 2
    assert by[2][0] > 100
    assert by[2][1] < 1e-10
    assert by[1] == by[3] == (0.0, 1.0)
    assert all(np.isfinite(v).all() for v in c.values())


def test_contrast_interval_holds_for_the_unit_that_was_chosen():
    """Of forty units of noise the largest difference is far from 0, but its true value is 0."""
    inside = np.arange(60) % 2 == 0
    covered = 0
    for seed in range(60):
        x = np.random.default_rng(seed).standard_normal((60, 40))
        top = contrast(x, inside, rng=np.random.default_rng(0)).estimates[0]
        covered += top.low == 0
        assert top.p_value > 1e-3
    assert covered >= 54


@pytest.mark.parametrize("n", [6, 9, 40])
def test_differences_of_random_groups_are_hedges_g(n):
    rng = np.random.default_rng(n)
    x, groups = rng.standard_normal((n, 3)) + 1e6, np.array([rng.permutation(n) < 3 for _ in range(5)])
    taps, side = ArrayActivations(x), np.arange(n) < 4
    sums = GroupSums(3, side, groups)
    for step in entry_means(taps, side, entries_of(taps, side)[0]):
        sums.add(*step)
    expected = []
    for g in groups:
        a, b = x[g], x[~g]
        pooled = (a.var(axis=0) * len(a) + b.var(axis=0) * len(b)) / (n - 2)
        small = 1 - 3 / (4 * n - 9)
        expected.append(np.abs(small * (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(pooled)).max())
    np.testing.assert_allclose(sums.largest_of_groups()[0], expected, rtol=1e-6)


def test_contrast_names_the_values_there_are_and_counts_missing_ones(rng):
    label = np.array(["a", "b", ""] * 20)
    x = ArrayActivations(rng.standard_normal((60, 3)), samples={"label": label})
    with pytest.raises(NotFound, match=r"a \(20\), b \(20\)"):
        selection_contrast(x, ContrastParams(value="zebra"))
    label[:] = [""] * 40 + ["a"] * 15 + ["b"] * 5
    found = selection_contrast(ArrayActivations(x.values, samples={"label": label}))
    assert found.title.endswith("label = a")
    assert any("40 row(s) without a value" in c for c in found.caveats)


# ---------------------------------------------------------------------------- intervals of the largest
def test_simultaneous_half_widths():
    assert simultaneous_z(1) == pytest.approx(1.959964, abs=1e-6)
    assert simultaneous_z(5) == pytest.approx(2.568758, abs=1e-5)
    assert 6.5 < simultaneous_z(10**9) < 7.5


def test_the_interval_of_the_largest_correlation_covers_zero_for_noise():
    covered = []
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((50, 30))
        covered += [f(x).estimates[i].low == 0 for f, i in ((unit_correlation, 1), (strongest_pairs, 0))]
    assert np.mean(covered) > 0.85


def test_the_interval_of_a_rank_correlation_covers(rng):
    """Bonett and Wright: at ρ = 0.9 Fisher's own interval is a fifth too narrow for Spearman's r."""
    from scipy.stats import spearmanr

    true = 6 / np.pi * np.arcsin(0.9 / 2)
    inside = np.zeros(2)
    for _ in range(1500):
        x = rng.standard_normal((60, 2))
        y = 0.9 * x[:, 0] + np.sqrt(1 - 0.81) * x[:, 1]
        r = spearmanr(x[:, 0], y).statistic
        for i, ranks in enumerate((False, True)):
            low, high = fisher_interval(r, 60, ranks=ranks)
            inside[i] += low <= true <= high
    assert inside[0] / 1500 < 0.94
    assert 0.94 < inside[1] / 1500 < 0.975


def test_pairs_that_tie_do_not_push_out_stronger_ones():
    rng = np.random.default_rng(0)
    x = np.zeros((64, 60))
    x[np.arange(60), np.arange(60)] = 1.0  # one row each: every pair has the same r
    strong = rng.standard_normal(64)
    x = np.column_stack([x, strong, strong + 0.1 * rng.standard_normal(64)])
    found = strongest_pairs(x, StrongestPairsParams(pairs=30)).columns
    assert (found["unit a"][0], found["unit b"][0]) == (60, 61)
    everything = strongest_pairs(x, StrongestPairsParams(pairs=5000)).columns["|r|"]
    np.testing.assert_allclose(found["|r|"], everything[:30])


# ---------------------------------------------------------------------------- statistics of units
def test_kurtosis_of_few_gaussian_samples_has_its_own_mean_and_spread(rng):
    x = rng.standard_normal((20, 40_000))
    c = unit_statistics(x).columns
    mean, sd = gaussian_kurtosis(20)
    assert c["kurtosis excess"].mean() == pytest.approx(mean, abs=0.02)
    assert c["kurtosis excess"].std() == pytest.approx(sd, rel=0.05)
    assert abs(c["kurtosis z"].mean()) < 0.03
    inside = np.abs(c["mean"]) <= c["mean ±"]
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_unevenness_cannot_be_below_one(rng):
    rate = rng.random(30)
    x = (rng.random((400, 30)) < rate) * 1.0
    e = unit_statistics(x).estimates[3]
    assert 1 <= e.low <= e.value <= e.high


def test_the_largest_mean_has_the_null_of_the_largest(rng):
    inside = [unit_statistics(rng.standard_normal((200, 50))).estimates[2] for _ in range(60)]
    assert np.mean([e.null_low <= e.value <= e.null_high for e in inside]) > 0.85
    assert all(e.null > 0.1 for e in inside)


def test_bootstrap_of_one_value_is_no_interval(rng):
    assert bootstrap(np.ones(1), lambda x: x.mean(axis=1), rng) == (None, None)
    low, high = bootstrap(rng.standard_normal(400), lambda x: x.mean(axis=1), rng)
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.2)


# ---------------------------------------------------------------------------- classes
def test_refusals_name_few_of_many_classes(rng):
    label = np.repeat([f"class {i:03d}" for i in range(300)], 2)
    x = ArrayActivations(rng.standard_normal((600, 3)), samples={"label": label})
    with pytest.raises(NotEnoughData, match=r"0 of 300 class.* and 295 more") as refusal:
        class_selectivity(x)
    assert len(str(refusal.value)) < 400


def test_a_large_mean_makes_no_ties_between_classes(rng):
    x, label = rng.standard_normal((90, 4)), np.arange(90) % 3
    near, far = (
        class_selectivity(ArrayActivations(x + c, samples={"label": label})).columns for c in (0, 1e8)
    )
    np.testing.assert_array_equal(near["AUROC"], far["AUROC"])
    assert labelled_matrix(ArrayActivations(x, samples={"label": label})).values.dtype == np.float64


# ---------------------------------------------------------------------------- neighbours
@pytest.mark.parametrize("scale", [1e-160, 1e-25, 1e20, 1e150])
def test_neighbours_at_any_scale(rng, scale):
    x = rng.standard_normal((300, 5))
    plain, scaled = nearest(x, 5), nearest(x * scale, 5)
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_allclose(plain.distances, scaled.distances / scale, rtol=1e-6)
    quality = [placement_quality(x * s, x[:, :2] * s, 5).trust for s in (1.0, scale)]
    np.testing.assert_array_equal(*quality)


@pytest.mark.parametrize("levels", [2, 5, 300])
def test_map_quality_of_tied_data_by_the_definition(levels):
    """Ranks by sorting (distance, index) pairs, one point at a time."""
    rng = np.random.default_rng(levels)
    x, y = rng.integers(0, levels, (120, 2)).astype(float), rng.integers(0, levels, (120, 1)).astype(float)
    k, n, trust, continuity = 20, 120, [], []
    for i in range(n):
        orders = []
        for space in (x, y):
            away = ((space - space[i]) ** 2).sum(axis=1)
            orders.append(sorted((j for j in range(n) if j != i), key=lambda j, away=away: (away[j], j)))
        ranks = [{j: r for r, j in enumerate(order, 1)} for order in orders]
        scale = 2 / (k * (2 * n - 3 * k - 1))
        trust.append(1 - scale * sum(max(0, ranks[0][j] - k) for j in orders[1][:k]))
        continuity.append(1 - scale * sum(max(0, ranks[1][j] - k) for j in orders[0][:k]))
    quality = placement_quality(x, y, k)
    np.testing.assert_allclose(quality.trust[:, 0], trust, atol=1e-12)
    np.testing.assert_allclose(quality.continuity[:, 0], continuity, atol=1e-12)


# ---------------------------------------------------------------------------- arrays and files
def test_the_digest_of_an_array_knows_its_samples(rng):
    x = rng.standard_normal((12, 3))
    samples = {"id": np.array(["a", "b"])}
    halves, thirds = tokens(x, [0, 6, 12], **samples), tokens(x, [0, 4, 12], **samples)
    assert halves.digest != thirds.digest
    assert ArrayActivations(x, unit_names=("a", "b", "c")).digest != ArrayActivations(x).digest
    assert tokens(x, [0, 6, 12], **samples).digest == halves.digest


def test_whole_numbers_keep_their_digits():
    assert np.diff(ArrayActivations(np.array([[2**24], [2**24 + 1]])).values, axis=0)[0, 0] == 1


def test_threads_may_keep_the_same_result_at_once(tmp_path):
    result, failed = unit_statistics(np.random.default_rng(0).standard_normal((50, 400))), []

    def keep():
        try:
            for _ in range(5):
                results.save(result, tmp_path / "same.npz")
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=keep) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert [p.name for p in tmp_path.iterdir()] == ["same.npz"]
    results.load(tmp_path / "same.npz")


# ---------------------------------------------------------------------------- the queue
def test_jobs_of_one_second_run_in_their_order(tmp_path):
    ids = [queue.submit(tmp_path, "method", {}, start=False) for _ in range(20)]
    assert ids == sorted(ids)
    over = set()
    for id in ids:
        assert worker.next_job(tmp_path, "methods", over) == id
        (tmp_path / "jobs" / id / "taken").touch()
    assert worker.next_job(tmp_path, "methods", over) is None
    assert over == set(ids)


def test_a_look_at_the_lock_does_not_end_a_starting_worker(tmp_path):
    """Whoever asks whether a worker is alive holds its lock for a moment."""
    import fcntl

    (tmp_path / "jobs").mkdir()
    lock = open(tmp_path / "jobs" / "worker-methods.lock", "wb")  # noqa: SIM115 - held until the timer fires
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(0.2, lock.close).start()
    queue.submit(tmp_path, "check", {"method": "no such method"}, start=False)
    worker.main([str(tmp_path), "methods", "--parent", "999999999"])
    assert queue.listing(tmp_path)[0].state == "failed"


def test_a_job_that_comes_while_the_worker_ends_is_still_run(tmp_path, monkeypatch):
    (tmp_path / "jobs").mkdir()
    serve, late = worker._serve, []

    def ending(*args):
        serve(*args)
        if not late:  # after the last look, before the lock is gone
            late.append(queue.submit(tmp_path, "check", {"method": "no such method"}, start=False))

    monkeypatch.setattr(worker, "_serve", ending)
    worker.main([str(tmp_path), "methods", "--parent", "999999999"])
    assert queue.status(tmp_path, late[0]).state == "failed"
