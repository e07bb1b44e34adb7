"""Pairs of features that share rows, counted by compiled loops: against a plain product and a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from analysis.compute.dictionaries import common_rows
from analysis.compute.dictionaries.common_rows import Meetings, log_ratio


def codes(rows: int, k: int, share: float, seed: int = 0):
    """Rows of 0 and 1 in which some features never fire and two always fire together."""
    x = np.random.default_rng(seed).random((rows, k)) < share * np.linspace(0.3, 2, k)
    x[:, 3], x[:, 7] = x[:, 2], False
    return x.astype(float)


def plain(x):
    """(i, j, common rows, low end of the log ratio) of all pairs that share a row."""
    counts = np.round(x.T @ x).astype(int)
    np.fill_diagonal(counts, 0)
    i, j = np.nonzero(counts)
    fires = x.sum(axis=0)
    return i, j, counts[i, j], log_ratio(counts[i, j], fires[i] * fires[j] / len(x))


@pytest.fixture(params=["rows", "product", "blocks"])
def x(request, monkeypatch):
    """Few active, counted row by row, in one block or in many; many active, counted by one product."""
    if request.param == "blocks":
        monkeypatch.setattr(common_rows, "BLOCK", 50)
    return codes(400, 60, 0.3 if request.param == "product" else 0.03)


def test_every_pair_is_counted_once(x):
    found = np.zeros((60, 60), int)
    for first, ends, partner, count in Meetings(csr_array(x)).blocks():
        for i in range(len(ends) - 1):
            own = slice(ends[i], ends[i + 1])
            assert len(set(partner[own])) == len(partner[own])
            found[first + i, partner[own]] = count[own]
    expected = x.T @ x
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("many", [1, 4, 100])
def test_the_best_partners_are_those_of_a_sort(x, many):
    i, j, count, (value, low, _) = plain(x)
    listed = []
    for feature in range(60):
        own = np.flatnonzero((i == feature) & (count >= 2) & (value > 1e-12))
        order = own[np.lexsort((j[own], -count[own], -np.round(low[own], 9)))][:many]
        listed += [(feature, a, b) for a, b in zip(j[order], count[order], strict=True)]
    assert list(zip(*Meetings(csr_array(x)).best(many, 2), strict=True)) == listed


def test_pairs_beyond_chance_are_those_whose_low_end_is_above_0(x):
    i, j, count, (_, low, _) = plain(x)
    good = (i < j) & (count >= 2) & (low > 0)
    found = Meetings(csr_array(x)).beyond(2)
    assert good.sum() > 0
    for ours, theirs in zip(found[:3], (i, j, count), strict=True):
        np.testing.assert_array_equal(ours, theirs[good])
    np.testing.assert_allclose(found[3], low[good], atol=1e-12)
