"""Rankings refined by their own first hits, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.retrieval.refining import BOTH, QUERY, again, unit
from analysis.methods.retrieval.refined_ranking import (
    RefinedRankingParams,
    precision,
    refined_ranking,
    sizes_of,
)


def test_refined_scores_are_those_by_hand(rng):
    q, x = unit(rng.standard_normal((1, 6)))[0], unit(rng.standard_normal((5, 6)))
    k, beta, power = 2, 0.7, 1.5

    def towards(one, others):
        cosine = others @ one
        best = np.argsort(-cosine)[:k]
        moved = one + beta * sum(max(cosine[j], 0.0) ** power * others[j] for j in best if cosine[j] > 0)
        return moved / np.linalg.norm(moved)

    asked = towards(q, x)
    np.testing.assert_allclose(again(q, x, QUERY, k, beta, power), x @ asked)
    refined = np.stack([towards(x[i], np.delete(x, i, axis=0)) for i in range(5)])
    np.testing.assert_allclose(again(q, x, BOTH, k, beta, power), refined @ asked)


def test_what_is_behind_the_hits_stays_behind_and_no_weight_changes_nothing(rng):
    from analysis.compute.retrieval.gallery_search import Task

    x, of = unit(rng.standard_normal((30, 8))), np.arange(30) % 3
    task, sizes = Task(np.arange(30), np.arange(30), of), sizes_of(12, 30)
    still, _ = precision(x, task, sizes, RefinedRankingParams(hits=12, weight=0.0), rng, lambda f: None)
    for way in (QUERY, BOTH):
        np.testing.assert_allclose(
            still[way], np.broadcast_to(still["as searched"], still[way].shape), atol=1e-12
        )
    one, _ = precision(x, task, np.array([1]), RefinedRankingParams(weight=5.0), rng, lambda f: None)
    np.testing.assert_allclose(one[BOTH][0], one["as searched"], atol=1e-12)  # a single hit has nowhere to go


def test_rotated_vectors_are_ranked_alike(rng):
    of = np.arange(60) % 3
    x = 2 * np.eye(3, 8)[of] + rng.standard_normal((60, 8))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    first, second = (
        refined_ranking(ArrayActivations(v, samples={"label": of}), RefinedRankingParams(hits=20))
        for v in (x, x @ turn + 4)
    )
    assert first.estimates[1].value == pytest.approx(second.estimates[1].value, abs=1e-9)
