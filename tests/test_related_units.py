"""Pearson's r of a unit with its neighbours and its interval, against SciPy; and how its neighbours are found."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from analysis.store import correlation
from analysis.store.correlation import Pearson, fisher_interval
from analysis.store.from_arrays import write_store
from analysis.store.summaries import Rows, UnitSummary


@pytest.mark.parametrize("n", [4, 5, 20, 3000])
def test_r_and_its_interval_agree_with_scipy(rng, n):
    x = rng.standard_normal(n) + 1e4
    y = 0.5 * x + rng.standard_normal(n)
    r, pairs = Pearson(x).with_(y)
    expected = stats.pearsonr(x, y)
    assert pairs == n
    assert r == pytest.approx(expected.statistic, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert fisher_interval(r, n) == pytest.approx((interval.low, interval.high), abs=1e-6)


def test_pairs_that_are_not_finite_do_not_count(rng):
    x, y = rng.standard_normal((2, 50))
    x[:7], y[5:12] = np.nan, np.inf
    r, pairs = Pearson(x).with_(y)
    assert pairs == 38
    assert r == pytest.approx(np.corrcoef(x[12:], y[12:])[0, 1], rel=1e-9)


def test_one_column_is_compared_with_many_of_either_precision(rng):
    """Each answer stands alone, whatever was asked before: memory is used again."""
    x = rng.standard_normal(60) + 100
    to_x = Pearson(x)
    for k in range(6):
        y = (0.3 * k * x + rng.standard_normal(60)).astype(np.float32 if k % 2 else np.float64)
        y[: 3 * (k % 3)] = np.nan
        r, pairs = to_x.with_(y)
        assert pairs == 60 - 3 * (k % 3)
        assert r == pytest.approx(
            np.corrcoef(x[60 - pairs :], y[60 - pairs :].astype(np.float64))[0, 1], abs=1e-12
        )


def test_what_has_no_correlation_says_nan(rng):
    x = rng.standard_normal(10)
    assert np.isnan(Pearson(x).with_(np.full(10, 2.0))[0])
    assert np.isnan(Pearson(x[:3]).with_(x[:3])[0])
    low, high = fisher_interval(1.0, 10)
    assert 0.99 < low <= high <= 1


def test_only_the_best_guesses_are_read_of_a_long_tap_and_all_of_a_short_one(tmp_path, rng, monkeypatch):
    """200 samples, of 10 tokens in one tap; the limit lies between the two lengths."""
    x = rng.standard_normal((200, 10, 8)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"long": x, "short": x.mean(axis=1)})
    read = []
    real = correlation._by_sample

    def counted(store, tap, unit):
        read.append(tap)
        return real(store, tap, unit)

    monkeypatch.setattr(correlation, "_by_sample", counted)
    monkeypatch.setattr(correlation, "_LONG", 1000)
    monkeypatch.setattr(correlation, "_is_held", lambda *_: False)  # as of a store too large for memory
    found = store.index("short").correlated(0, k=2)
    assert found[0][:2] == ("long", 0)
    read.remove("short")  # the unit itself
    assert read.count("long") <= 2
    assert "short" in read


def test_one_column_is_in_memory_at_a_time(tmp_path, rng):
    n, d = 200_000, 24
    store = write_store(tmp_path / "s", name="s", taps={"m": rng.standard_normal((n, d)).astype(np.float16)})
    store.index("m").correlated(0, k=1)  # what is kept between cards
    tracemalloc.start()
    store.index("m").correlated(0, k=7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * (8 * n)


def test_a_missing_value_neither_moves_the_mean_nor_counts_as_zero(rng):
    """Candidates: cosines of the sketches estimate r of what is there, far from zero and with gaps."""
    n = 20_000
    z = rng.standard_normal(n)
    x = np.stack([50 + z, 50 + z + 0.5 * rng.standard_normal(n), 50 + rng.standard_normal(n)]).astype(
        np.float32
    )
    x[1:, rng.random(n) < 0.3] = np.nan
    halves = [UnitSummary(3), UnitSummary(3)]
    for k, half in enumerate(halves):
        at = slice(k * n // 2, (k + 1) * n // 2)
        half.update(x[:, at], Rows.pooled(k * n // 2, n // 2))
    halves[0].merge(halves[1])
    kept = halves[0].finish().sketch.astype(np.float64)
    cosine = kept @ kept[0] / np.linalg.norm(kept, axis=1) / np.linalg.norm(kept[0])
    expected = np.sqrt(0.7 * 0.8)  # r = sqrt(0.8), on the 70 % that both have
    assert cosine[1] == pytest.approx(expected, abs=0.1)
    assert abs(cosine[2]) < 0.1


def test_gaps_of_a_partial_survive_saving(tmp_path, rng):
    x = rng.standard_normal((2, 100)).astype(np.float32)
    x[1, ::3] = np.nan
    summary = UnitSummary(2)
    summary.update(x, Rows.pooled(0, 100))
    summary.save(tmp_path / "part.npz")
    back = UnitSummary.load(tmp_path / "part.npz")
    np.testing.assert_array_equal(back.missing, summary.missing)
    np.testing.assert_array_equal(back.finish().sketch, summary.finish().sketch)
