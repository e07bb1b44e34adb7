"""CKA from minibatches beside its null: samples exchanged within batches, every exchange of a batch tried."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from analysis.compute.similarity.cka_grid import batch_grid
from analysis.compute.similarity.hsic_batches import batch_products
from analysis.methods.similarity.cka import CkaParams, cka


def hollow_centred(gram):
    """U-centring by projection, an independent way: the part of the off-diagonal that no sum of row effects tells."""
    n = len(gram)
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    effects = (np.arange(n) == i[:, None]).astype(float) + (np.arange(n) == j[:, None])
    rest = gram[i, j] - effects @ np.linalg.lstsq(effects, gram[i, j], rcond=None)[0]
    out = np.zeros((n, n))
    out[i, j] = rest
    return out


def by_hand(x, y, batches):
    """CKA over batches, and its values under every exchange: mean and deviation. Batches are exchanged independently,
    so that the variances of their sums add."""
    cross = xx = yy = mean = variance = 0.0
    for rows in batches:
        a, b = (hollow_centred(m[rows] @ m[rows].T) for m in (x, y))
        every = np.array([(a * b[np.ix_(p, p)]).sum() for p in map(list, permutations(range(len(rows))))])
        cross, xx, yy = cross + (a * b).sum(), xx + (a * a).sum(), yy + (b * b).sum()
        mean, variance = mean + every.mean(), variance + every.var()
    scale = np.sqrt(xx * yy)
    return cross / scale, mean / scale, np.sqrt(variance) / scale


@pytest.mark.parametrize(("batch", "count"), [(4, 7), (5, 4), (6, 3), (6, 1)])
def test_value_and_null_are_those_of_every_exchange_within_batches(batch, count):
    rng = np.random.default_rng(batch)
    n = batch * count
    x, y = rng.standard_normal((n, 3)) + 5, rng.exponential(size=(n, 2)) ** 2
    y[:, 0] += x[:, 0]
    drawn = np.random.default_rng(9)
    expected = by_hand(x, y, drawn.permutation(n).reshape(count, batch))
    grid, _, found = batch_grid([x, y], np.array([0]), np.array([1]), np.random.default_rng(9), batch=batch)
    assert found == count
    assert grid.values[0, 0] == pytest.approx(expected[0], abs=1e-9)
    assert grid.null[0, 0] == pytest.approx(expected[1], abs=1e-9)
    assert grid.deviation[0, 0] == pytest.approx(expected[2], rel=1e-9)


def test_the_variance_of_random_exchanges_within_batches():
    """4,000 drawn exchanges of 60 samples in ten batches of six; deviation of a variance about 2.5 %."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((60, 4)), rng.exponential(size=(60, 3))
    parts = [[hollow_centred(m[i : i + 6] @ m[i : i + 6].T) for i in range(0, 60, 6)] for m in (x, y)]
    drawn = np.zeros(4000)
    for a, b in zip(*parts, strict=True):
        orders = rng.permuted(np.tile(np.arange(6), (len(drawn), 1)), axis=1)
        drawn += (a * b[orders[:, :, None], orders[:, None, :]]).sum(axis=(1, 2))
    _, variance, _ = batch_products([x, y], np.arange(60), 6, lambda m, _: m @ m.T)
    assert drawn.var() == pytest.approx(variance[0, 1], rel=0.1)
    np.testing.assert_allclose(variance, variance.T)


def test_without_each_group_of_batches():
    """Twelve batches in ten groups: the sums without a group are those over the batches that stay."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    series, _, count = batch_products([x, y], np.arange(60), 5, lambda m, _: m @ m.T)
    each = [
        (hollow_centred(x[i : i + 5] @ x[i : i + 5].T) * hollow_centred(y[i : i + 5] @ y[i : i + 5].T)).sum()
        for i in range(0, 60, 5)
    ]
    assert (count, len(series)) == (12, 11)
    for g in range(10):
        stay = [v for k, v in enumerate(each) if k % 10 != g]
        assert series[1 + g, 0, 1] == pytest.approx(sum(stay), abs=1e-9)


def test_the_band_shown_is_that_of_the_batches():
    """Wider than of all samples at once: pairs of samples of different batches are not compared."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 36, 4))
    e = cka(x, y, params=CkaParams(estimator="minibatch", batch=6), rng=np.random.default_rng(9)).estimates[0]
    _, _, deviation = by_hand(x, y, np.random.default_rng(9).permutation(36).reshape(6, 6))
    assert (e.null, e.null_high) == pytest.approx((0, stats.norm.ppf(0.975) * deviation), rel=1e-6, abs=1e-12)
    assert deviation > 1.5 * np.sqrt(2 / (36 * 33))
