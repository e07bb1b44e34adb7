"""Flips of concepts against every set of them, moves against their definition, slopes along chance directions drawn
without them, and mixed differences against dividends."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.attribution.concepts.concept_moves import Levels, group_levels, random_like
from analysis.attribution.concepts.concept_slopes import along, along_groups, along_random
from analysis.attribution.concepts.concepts import Concepts
from analysis.attribution.concepts.counterfactual_search import Moves, fewest_flips, least_move, margin_of
from analysis.attribution.mixed_differences import coalitions_without, differences
from analysis.compute.games.interactions import dividends
from analysis.errors import NotFound
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.methods.attribution.concept_sensitivity import (
    ConceptSensitivityParams,
    _without_classes,
    concept_sensitivity,
)
from analysis.methods.attribution.counterfactual_dialogue import (
    CounterfactualDialogueParams,
    counterfactual_dialogue,
)


def curved(seed: int, d: int = 5, classes: int = 3):
    """A network of one hidden layer, and a sample of two tokens."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((d, 8)), rng.standard_normal((8, classes))
    return (lambda x: np.tanh(x.mean(axis=1) @ a) @ b), rng.standard_normal((2, d)), rng


def test_no_smaller_set_suffices_where_all_were_tried():
    sizes = []
    for seed in range(12):
        ask, h, rng = curved(seed)
        moves = Moves(
            0.7 * rng.standard_normal((10, 2, 5)), np.repeat(np.arange(5), 2), np.arange(10) % 2 == 0
        )
        wanted = int(ask(h[None])[0].argmin())
        found = fewest_flips(ask, h, moves, wanted, most=5)
        if not found.reached:
            continue
        k = len(found.chosen)
        sizes.append(k)
        assert len({int(moves.concept[j]) for j in found.chosen}) == k
        ends = h + np.tensordot(found.amounts, moves.rows[list(found.chosen)], 1)
        np.testing.assert_allclose(ask(ends[None])[0], found.logits[-1], atol=1e-12)
        assert found.logits[-1].argmax() == wanted
        for smaller in range(1, min(k, 4)):
            for s in combinations(range(10), smaller):
                if len({int(moves.concept[j]) for j in s}) == smaller:
                    assert margin_of(ask((h + moves.rows[list(s)].sum(axis=0))[None]), wanted)[0] <= 0
    assert max(sizes) >= 2  # some needed more than one


def test_two_moves_that_only_work_together_are_found_where_greed_passes_them_by():
    """Greed takes c, d, e, or runs out of gains without e; a and b do it alone."""

    def ask(x):
        a, b, c, d, e = x[:, 0].T
        return np.stack([np.zeros(len(x)), 0.5 * c + 0.3 * d + 0.2 * e + 2 * a * b - 0.9], axis=1)

    for moved in (5, 4):
        rows = np.eye(5)[:moved, None]
        moves = Moves(rows, np.arange(moved), np.ones(moved, bool))
        found = fewest_flips(ask, np.zeros((1, 5)), moves, 1)
        assert found.reached
        assert sorted(found.chosen) == [0, 1]
        assert len(fewest_flips(ask, np.zeros((1, 5)), moves, 1, exact=False).chosen) != 2 or moved == 4


def test_the_last_move_goes_only_as_far_as_it_must():
    ask, h, rng = curved(1)
    moves = Moves(3 * rng.standard_normal((10, 2, 5)), np.arange(10), np.ones(10, bool))
    wanted = int(np.argsort(-ask(h[None])[0])[1])
    found = fewest_flips(ask, h, moves, wanted)
    whole = h + moves.rows[list(found.chosen[:-1])].sum(axis=0)
    less = whole + 0.999 * found.amounts[-1] * moves.rows[found.chosen[-1]]
    assert found.reached
    assert 0 < found.amounts[-1] < 1
    assert margin_of(ask(less[None]), wanted)[0] <= 0


def test_the_least_move_of_a_curved_network_reaches_the_margin():
    ask, h, _ = curved(2)
    wanted = int(np.argsort(-ask(h[None])[0])[1])
    number = lambda x: float(margin_of(ask(x[None]), wanted)[0])  # noqa: E731

    def sloped(x):
        steps = 1e-5 * np.eye(h.size).reshape(-1, *h.shape)
        return number(x), np.array([(number(x + s) - number(x - s)) / 2e-5 for s in steps]).reshape(h.shape)

    move = least_move(sloped, h, 0.1)
    assert number(h + move) >= 0.1 - 1e-6
    assert least_move(lambda x: (0.0, np.zeros_like(h)), h, 1.0) is None


def test_a_group_is_moved_to_what_its_members_are_like(rng):
    labels = np.repeat(["a", "b", "c"], 10)
    rows = list(
        rng.standard_normal((30, 4, 3)) + np.repeat([[[0.0, 0, 0]], [[3, 0, 0]], [[0, 3, 0]]], 10, axis=0)
    )
    for tokens in (4, 6):  # its own direction at every token, or all tokens alike
        levels, h = group_levels(rows, labels, tokens, 5), rng.standard_normal((tokens, 3))
        moves = levels.moves(h, SimpleNamespace())
        assert levels.tokens == (4 if tokens == 4 else 1)
        v = levels._directions(tokens)
        like = rows if tokens == 4 else [np.repeat(r.mean(axis=0)[None], 6, axis=0) for r in rows]
        known = np.median([(r * v[1]).sum() for r, label in zip(like, labels, strict=True) if label == "b"])
        assert levels.high[1] == pytest.approx(known)
        for row, j, adds in zip(moves.rows, moves.concept, moves.adds, strict=True):
            reached = float(((h + row) * v[j]).sum())
            assert reached == pytest.approx(levels.high[j] if adds else levels.low[j])
        assert set(labels[levels.shows[1]]) == {"b"}


def test_without_a_feature_what_it_adds_is_gone_at_every_token(rng):
    d, k = 4, 6
    directions = rng.standard_normal((k, d)).astype(np.float32)
    features = FeatureSet(
        "f", rules.RELU, directions.T.copy(), directions, *(np.zeros(n, np.float32) for n in (k, d, d))
    )
    made = SimpleNamespace(features=features, of_units=False)
    concepts = Concepts(tuple("abcdef"), directions, np.zeros(k, int), np.arange(k), ())
    levels, h = (
        Levels(concepts, np.zeros(k), np.full(k, 9.0), np.zeros((k, 3), int), 1, True),
        rng.standard_normal((3, d)),
    )
    codes = np.maximum(h @ directions.T.astype(np.float64), 0)
    moves = levels.moves(h, made)
    for row, j, adds in zip(moves.rows, moves.concept, moves.adds, strict=True):
        known = (9.0 - codes[:, j].mean()) * np.ones(3) if adds else -codes[:, j]
        np.testing.assert_allclose(row, known[:, None] * directions[j], rtol=1e-4, atol=1e-5)
    drawn = random_like(moves, np.ones(moves.rows.shape[2]), rng)
    size = lambda m: np.linalg.norm(m.rows, axis=(1, 2))  # noqa: E731
    np.testing.assert_allclose(size(drawn), size(moves))


def test_a_sample_that_is_answered_so_already_needs_no_flip_and_unknown_ones_are_refused(rng):
    label = np.arange(60) % 3
    tap = ArrayActivations(4 * np.eye(5)[label] + rng.random((60, 5)), name="t", samples={"label": label})
    table = counterfactual_dialogue(tap, CounterfactualDialogueParams(sample=4, wanted=str(label[4])))
    assert len(table.columns["step"]) == 0
    assert "already" in table.reading
    for params, words in (({"sample": 60}, "sample 60"), ({"wanted": "7"}, "answer '7'")):
        with pytest.raises(NotFound, match=words):
            counterfactual_dialogue(tap, CounterfactualDialogueParams(**params))


def test_random_directions_are_drawn_as_if_they_were_there(rng):
    """Second moments and quantiles of what 20,000 directions give, drawn in full and by inner products."""
    rows, slopes = rng.standard_normal((7, 40)) * np.linspace(0.2, 3, 40), rng.standard_normal((5, 40))
    v = rng.standard_normal((20_000, 40))
    full = along(v / np.linalg.norm(v, axis=1)[:, None], rows, slopes)
    short = along_random(rows, slopes, 20_000, rng)
    np.testing.assert_allclose(short @ short.T / 20_000, full @ full.T / 20_000, atol=0.08 * np.var(full))
    for q in (5, 50, 95):
        np.testing.assert_allclose(
            *(np.percentile(x, q, axis=1) for x in (short, full)), atol=0.1 * full.std()
        )


def test_random_groups_are_groups(rng):
    rows, slopes = rng.standard_normal((6, 9)), rng.standard_normal((3, 9))
    concepts = Concepts(("a", "b"), np.eye(9)[:2], np.array([2, 2]), np.full(2, -1), ())
    every = []
    for s in combinations(range(6), 2):
        inside = np.isin(np.arange(6), s)
        v = rows[inside].mean(axis=0) - rows[~inside].mean(axis=0)
        every.append(along(v[None] / np.linalg.norm(v), rows, slopes)[:, 0])
    found = along_groups(concepts, rows, slopes, 200, rng)
    near = np.abs(found.T[:, None] - np.array(every)[None]).max(axis=2)
    assert near.min(axis=1).max() < 1e-10
    assert len(set(near.argmin(axis=1))) == 15  # all of them


def test_concepts_without_meaning_pass_no_more_than_false_discoveries_do(rng):
    passed = []
    for seed in range(6):
        own = np.random.default_rng(seed)
        label, mark = np.arange(90) % 3, own.integers(3, size=90).astype(str)
        x = 2 * np.eye(8)[label] + own.standard_normal((90, 8))
        tap = ArrayActivations(x, name="t", samples={"label": label, "mark": mark})
        params = ConceptSensitivityParams(column="mark", draws=400, reader="a linear probe")
        passed.append(concept_sensitivity(tap, params, np.random.default_rng(seed)).significant.any())
    assert sum(passed) <= 2


def test_mixed_differences_are_dividends_of_what_is_left_out(rng):
    """Δ_A = (-1)^|A| times the dividend of A in the game of leaving out."""
    v = rng.standard_normal(32)
    asked, sets = coalitions_without(5, [0, 1, 2, 3, 4])
    number = lambda present: (present * 2 ** np.arange(5)).sum(axis=1)  # noqa: E731
    found = differences(v[number(asked)][None], sets)
    game = dividends(v[number(np.array([[not m >> i & 1 for i in range(5)] for m in range(32)]))][:, None])[
        :, 0
    ]
    for group, values, sign in ((found.pairs, found.pair, 1), (found.triples, found.triple, -1)):
        known = [sign * game[sum(2**i for i in s)] for s in group.tolist()]
        np.testing.assert_allclose(values[0], known, atol=1e-12)
    whole = -sum(game[sum(2**i for i in s)] for n in (1, 2, 3) for s in combinations((0, 2, 4), n))
    assert found.lost[0, found.triples.tolist().index([0, 2, 4])] == pytest.approx(whole)


def test_a_network_without_classes_says_what_stands_for_an_answer():
    with_classes, encoder = (SimpleNamespace(what="the network", number=n) for n in ("", "embedding"))
    assert _without_classes(with_classes) == ()
    assert "coordinate of its embedding that is largest" in _without_classes(encoder)[0]
