"""Search by sets of descriptors and by visible cells: formulas against loops, and what may not change them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval.late_interaction import (
    BOTH,
    CHANCE,
    SUM,
    best,
    expected_best,
    item_scores,
    shifted_score,
    unit_rows,
)
from analysis.compute.retrieval.visible_cells import all_scores, contributions, mask_of
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.retrieval.late_interaction import LateInteractionParams, late_interaction
from analysis.methods.retrieval.masked_retrieval import MaskedRetrievalParams, masked_retrieval


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_scores_of_sets_are_those_of_loops():
    counts = np.array([3, 1, 5])
    offsets, q = np.r_[0, counts.cumsum()], unit_rows(data(4, 6))
    items = unit_rows(data(9, 6, seed=1))
    sets = np.split(items, offsets[1:-1])
    one_by_one = [[max(float(t @ p) for p in item) for t in q] for item in sets]
    np.testing.assert_allclose(best(items @ q.T, offsets), one_by_one, atol=1e-14)
    np.testing.assert_allclose(item_scores(items @ q.T, offsets, SUM), np.sum(one_by_one, axis=1), atol=1e-14)
    back = [np.mean([max(float(t @ p) for t in q) for p in item]) for item in sets]
    both = (np.mean(one_by_one, axis=1) + back) / 2
    np.testing.assert_allclose(item_scores(items @ q.T, offsets, BOTH), both, atol=1e-14)


def test_the_largest_of_some_draws_is_that_of_all_draws_counted_out():
    similar = data(5, 2)
    found = expected_best(similar, np.array([1, 3]))
    np.testing.assert_allclose(found[0], similar.mean(axis=0), atol=1e-14)
    every = np.array([similar[list(at)].max(axis=0) for at in np.ndindex(5, 5, 5)])
    np.testing.assert_allclose(found[1], every.mean(axis=0), atol=1e-14)


def test_more_descriptors_never_lower_a_sum_and_do_lower_what_is_normalised():
    q, items = unit_rows(data(6, 8)), unit_rows(data(40, 8, seed=2))
    for m in range(1, 39):
        few, more = (item_scores(items[:k] @ q.T, np.array([0, k]), SUM)[0] for k in (m, m + 1))
        assert more >= few
    offsets = np.array([0, 4, 40])  # both sets are noise
    plain, less, both = (item_scores(items @ q.T, offsets, size) for size in (SUM, CHANCE, BOTH))
    assert plain[1] - plain[0] > 1
    assert abs(less[1] - less[0]) < 0.5 * (plain[1] - plain[0])
    assert abs(both[1] - both[0]) < 0.5 * (plain[1] - plain[0])


def test_the_order_of_descriptors_does_not_matter():
    x, order = data(10 * 4, 6), np.random.default_rng(1)
    shuffled = np.concatenate([order.permutation(part) for part in np.split(x, 10)])
    layout = Layout(np.arange(11, dtype=np.int64) * 4)
    found = [
        late_interaction(ArrayActivations(v, layout=layout), LateInteractionParams(queries=3)).columns
        for v in (x, shuffled)
    ]
    np.testing.assert_array_equal(found[0]["sample"], found[1]["sample"])
    np.testing.assert_allclose(found[0]["score"], found[1]["score"], atol=1e-12)
    np.testing.assert_allclose(found[0]["votes"].sum(), 1.0)


@pytest.mark.parametrize("reach", [0, 1])
def test_matches_that_agree_about_a_shift_are_those_of_loops(reach):
    grid, similar = (2, 3), data(6, 6)
    scores = {}
    for down in range(-1, 2):
        for along in range(-2, 3):
            total = 0.0
            for t in range(6):
                near = [
                    similar[t, p] for p in range(6)
                    if max(abs(p // 3 - t // 3 - down), abs(p % 3 - t % 3 - along)) <= reach
                ]  # fmt: skip
                total += max(0.0, max(near, default=0.0))
            scores[down, along] = total
    value, shift = shifted_score(similar, grid, reach)
    assert value == pytest.approx(max(scores.values()), abs=1e-14)
    assert scores[shift] == pytest.approx(value, abs=1e-14)


def test_places_need_a_grid():
    with pytest.raises(InputError, match="grid"):
        late_interaction(data(20, 4), LateInteractionParams(consistent=True))
    with pytest.raises(NotFound, match="sample 20"):
        late_interaction(data(20, 4), LateInteractionParams(query=20))


def test_cells_add_up_and_hidden_ones_enter_nowhere():
    q, g, visible = data(6, 3), data(7, 6, 3, seed=1), np.array([1, 0, 1, 1, 0, 0], bool)
    parts = contributions(q, g, visible)
    flat, own = g[:, visible].reshape(7, -1), q[visible].ravel()
    known = flat @ own / np.linalg.norm(flat, axis=1) / np.linalg.norm(own)
    np.testing.assert_allclose(parts.sum(axis=1), known, atol=1e-14)
    noisy = g.copy()
    noisy[:, ~visible] = 1e6
    np.testing.assert_array_equal(parts, contributions(q, noisy, visible))
    np.testing.assert_allclose(
        all_scores(np.vstack([q[None], g]), np.array([0]), visible)[0, 1:], known, atol=1e-14
    )
    with pytest.raises(InputError, match="hides every cell"):
        contributions(q, g, np.zeros(6, bool))


def test_a_mask_is_what_was_written():
    np.testing.assert_array_equal(np.flatnonzero(mask_of(12, (3, 4), "2-3", "4", "", False)), [7, 11])
    np.testing.assert_array_equal(
        np.flatnonzero(mask_of(12, (3, 4), "1", "", "0, 10-11", True)), range(4, 10)
    )
    assert mask_of(12, None, "", "", "", True).all()
    for asked, said in (
        (("4", "", ""), "rows '4'"),
        (("", "", "3-"), "cells '3-'"),
        (("", "", "12"), "0 to 11"),
    ):
        with pytest.raises(ParameterError, match=said):
            mask_of(12, (3, 4), *asked, False)


def test_an_empty_mask_and_samples_of_different_length_are_refused():
    layout = Layout(np.arange(11, dtype=np.int64) * 4, (2, 2))
    tap = ArrayActivations(data(40, 3), layout=layout)
    with pytest.raises(InputError, match="hides every cell"):
        masked_retrieval(tap, MaskedRetrievalParams(rows="1-2", hide=True))
    uneven = ArrayActivations(data(40, 3), layout=Layout(np.array([0, 1, 5, 9, 14, 18, 22, 26, 30, 35, 40])))
    with pytest.raises(InputError, match="1 to 5 tokens"):
        masked_retrieval(uneven)
