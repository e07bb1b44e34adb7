"""Consistency across seeds: what random dictionaries reach, exact invariances, certificates on planted dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import D, K, atoms, encoded, planted_codes, set_of
from scipy.optimize import linear_sum_assignment

from analysis.compute.dictionaries.coherence import random_directions
from analysis.compute.dictionaries.consistency import (
    matched_cosines,
    moved_sets,
    pairwise_consistency,
    random_sets,
)
from analysis.errors import InputError, ShapeError
from analysis.features import rules
from analysis.methods.dictionaries.seed_consistency import SeedConsistencyParams, seed_consistency
from analysis.spec import no_progress


@pytest.mark.parametrize(("d", "k", "expected"), [(64, 256, 0.331), (64, 1024, 0.377), (128, 1024, 0.270)])
def test_what_random_dictionaries_reach(d, k, expected):
    rng = np.random.default_rng(0)
    a, b = (random_directions(k, d, rng).astype(float) for _ in range(2))
    partner, cosine = matched_cosines(a, b, True)
    assert cosine.mean() == pytest.approx(expected, abs=0.006)
    assert len(set(partner)) == k


def test_the_matching_is_the_one_of_the_largest_sum():
    rng = np.random.default_rng(1)
    a, b = random_directions(12, 5, rng).astype(float), random_directions(15, 5, rng).astype(float)
    for signed in (True, False):
        scores = a @ b.T if signed else np.abs(a @ b.T)
        i, j = linear_sum_assignment(-scores)
        assert matched_cosines(a, b, signed)[1].sum() == pytest.approx(scores[i, j].sum())
    assert (matched_cosines(b, a, True)[0] == -1).sum() == 3
    assert (matched_cosines(b, a, True)[1][matched_cosines(b, a, True)[0] == -1] == 0).all()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The planted dictionary, itself again in another order with other lengths, turned round, half of it, another."""
    rng, a = np.random.default_rng(3), atoms()
    order = rng.permutation(K)
    half = np.concatenate([a[: K // 2], atoms(K // 2, seed=8)])
    sets = [
        set_of("a", a), set_of("again", a[order] * rng.uniform(0.5, 2, (K, 1))), set_of("turned", -a),
        set_of("half", half[rng.permutation(K)]), set_of("other", atoms(seed=9)),
        set_of("linear", a, rules.LINEAR), set_of("linear turned", -a[order], rules.LINEAR),
    ]  # fmt: skip
    return encoded(tmp_path_factory.mktemp("s") / "s", planted_codes(150) @ a, sets)


def found(store, *names, **params):
    taps = [store.activations(f"mlp@{n}") for n in names]
    result = seed_consistency(*taps, params=SeedConsistencyParams(**params))
    return {e.name: e for e in result.estimates}, result.columns


def test_the_same_features_in_another_order_are_all_certified(store):
    estimates, columns = found(store, "a", "again")
    assert estimates["PW-MCC"].value == pytest.approx(1, abs=1e-6)
    assert estimates["certified share"].value == 1
    a, again = atoms(), store.activations("mlp@again")
    from analysis.features.tap_dictionary import tap_dictionary

    partner = tap_dictionary(again).features.directions[columns["partner 1"].astype(int)]
    assert (np.einsum("ij,ij->i", a, partner) / np.linalg.norm(partner, axis=1)).min() > 0.9999


def test_chance_is_taken_off(store):
    """Unrelated dictionaries match far above 0, and nothing is left of it."""
    estimates, _ = found(store, "a", "other", draws=30)
    assert estimates["PW-MCC"].value > 0.4
    assert estimates["PW-MCC less chance"].value == pytest.approx(0, abs=0.05)
    assert estimates["certified share"].value == 0
    assert estimates["PW-MCC"].p_value > 0.03


def test_the_planted_half_is_certified(store):
    _, columns = found(store, "a", "half", draws=30)
    yes = columns["certified"] == "yes"
    assert yes[: K // 2].all()
    assert yes[K // 2 :].sum() <= 1


def test_a_sign_matters_where_codes_are_rectified_only(store):
    assert found(store, "a", "turned")[0]["PW-MCC"].value < 0.75
    assert found(store, "linear", "linear turned")[0]["PW-MCC"].value == pytest.approx(1, abs=1e-6)


def test_three_dictionaries_average_over_pairs(store):
    one = {p: found(store, *p)[0]["PW-MCC"].value for p in (("a", "half"), ("a", "other"), ("half", "other"))}
    estimates, columns = found(store, "a", "half", "other")
    assert estimates["PW-MCC"].value == pytest.approx(np.mean(list(one.values())))
    assert estimates["certified share"].value == 0  # what half has, other has not
    np.testing.assert_allclose(
        columns["matched"],
        (found(store, "a", "half")[1]["matched"] + found(store, "a", "other")[1]["matched"]) / 2,
    )


def test_dictionaries_of_two_networks_are_matched_by_codes(tmp_path, store):
    """Their activations are turned against each other, so that directions say nothing and codes everything."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((D, D)))[0]
    x = planted_codes(150) @ atoms()
    order = np.random.default_rng(1).permutation(K)
    there = encoded(tmp_path / "t", x @ turn, [set_of("b", (atoms() @ turn)[order])])
    pair = store.activations("mlp@a"), there.activations("mlp@b")
    by_codes = {e.name: e.value for e in seed_consistency(*pair).estimates}
    assert by_codes["PW-MCC"] == pytest.approx(1, abs=1e-3)
    by_directions = seed_consistency(*pair, params=SeedConsistencyParams(by="directions"))
    assert {e.name: e.value for e in by_directions.estimates}["PW-MCC"] < 0.8
    assert any("different activations" in c for c in by_directions.caveats)


def test_refusals(tmp_path, store):
    other = encoded(
        tmp_path / "t", np.random.default_rng(0).standard_normal((40, 5)), [set_of("b", atoms(9, 5))]
    )
    with pytest.raises(ShapeError, match="16, 5 dimensions"):
        seed_consistency(store.activations("mlp@a"), other.activations("mlp@b"),
                         params=SeedConsistencyParams(by="directions"))  # fmt: skip
    with pytest.raises(InputError, match="1 dictionary"):
        seed_consistency(store.activations("mlp@a"))


def test_the_null_of_a_feature_is_calibrated():
    """p-values of unrelated features against the pooled null are uniform, within what 40 dictionaries of 24 allow."""
    rng, below = np.random.default_rng(0), []
    for _ in range(40):
        sets = random_sets([np.zeros((K, D))] * 3, rng)
        c = pairwise_consistency(sets, True, lambda: random_sets(sets, rng), 4, no_progress, (0, 1))  # noqa: B023
        below.append((c.cosine.mean(axis=0) > np.quantile(c.null_feature, 0.9)).mean())
    assert np.mean(below) == pytest.approx(0.1, abs=0.025)


def test_moved_samples_stay_lines():
    lines = random_directions(5, 30, np.random.default_rng(0))
    moved = moved_sets([lines, lines], np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(moved[1], axis=1), np.sort(lines, axis=1))
    assert not np.array_equal(moved[1], lines)
