"""Alignment of two spaces: mates found by brute force, ties that know nothing, exact nulls, rotated and shuffled
copies."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.retrieval.mate_search import cosine, exchanged_hits, mate_search, nearness, small_cka
from analysis.compute.similarity import aligned_split, alignment_steps
from analysis.compute.similarity.aligned_split import aligned
from analysis.compute.similarity.modality_gap import gap_estimates, mate_angle
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.similarity import alignment_sweep as module
from analysis.methods.similarity.alignment_sweep import AlignmentSweepParams, alignment_sweep
from analysis.spec import make_params

FEW = settings(max_examples=20, deadline=None)


def sweep(x, y, **params):
    return alignment_sweep(x, y, AlignmentSweepParams(**params))


# ---------------------------------------------------------------------------- finding mates
@FEW
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_matching_is_the_best_of_all_assignments_and_recall_counts_ranks(seed, n):
    rng = np.random.default_rng(seed)
    similarity = rng.standard_normal((n, n))
    found = mate_search(similarity, rng)
    best = max(permutations(range(n)), key=lambda p: similarity[np.arange(n), list(p)].sum())
    assert tuple(found.matched) == best
    ranks = np.array([1 + (similarity[i] > similarity[i, i]).sum() for i in range(n)])
    np.testing.assert_array_equal(found.ranks, ranks)
    for at in (1, 2, 5):
        assert found.recall(at) == pytest.approx((ranks <= at).mean())
    assert found.matching == pytest.approx((np.array(best) == np.arange(n)).mean())


def test_ties_count_by_chance_and_never_by_position():
    """Everything equally similar: the answer stands on the diagonal, which must not help."""
    rng = np.random.default_rng(0)
    found = [mate_search(np.ones((20, 20)), rng) for _ in range(200)]
    assert found[0].recall(1) == pytest.approx(1 / 20)
    assert found[0].recall(5) == pytest.approx(5 / 20)
    assert (found[0].ranks == 10.5).all()
    assert np.mean([f.matching for f in found]) == pytest.approx(1 / 20, abs=4 / np.sqrt(200) / 20)
    assert np.mean([(f.nearest == np.arange(20)).mean() for f in found]) == pytest.approx(1 / 20, abs=0.03)
    doubled = mate_search(np.kron(np.eye(5), np.ones((2, 2))), rng)  # every sample has an equal
    assert doubled.recall(1) == 0.5
    assert doubled.recall(2) == 1.0


def test_exchanging_mates_gives_1_of_m_on_average_whatever_was_guessed(rng):
    """All 720 exchanges of six mates, also where several samples guess the same."""
    guesses = np.array([[0, 0, 0, 1, 2, 5], [0, 1, 2, 3, 4, 5]])
    every = np.array([(guesses == np.array(p)).mean(axis=1) for p in permutations(range(6))])
    np.testing.assert_allclose(every.mean(axis=0), 1 / 6)
    drawn = exchanged_hits(guesses, 2000, rng)
    np.testing.assert_allclose(drawn.mean(axis=0), 1 / 6, atol=4 * every.std() / np.sqrt(2000))


def test_similarities_are_what_they_say(rng):
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    x[2] = 0
    for i in range(5):
        for j in range(4):
            expected = 0 if i == 2 else x[i] @ y[j] / np.linalg.norm(x[i]) / np.linalg.norm(y[j])
            assert cosine(x, y)[i, j] == pytest.approx(expected, abs=1e-12)
            assert nearness(x, y)[i, j] == pytest.approx(-0.5 * ((x[i] - y[j]) ** 2).sum(), abs=1e-12)


def test_cka_without_each_group_is_its_definition(rng):
    x, y = rng.standard_normal((24, 5)), rng.standard_normal((24, 3))
    y += x[:, :3]
    group = np.arange(24) % 4
    found = small_cka(x, y, group)
    for g in range(-1, 4):
        a, b = x[group != g], y[group != g]
        k, l = a @ a.T, b @ b.T  # noqa: E741
        n = len(a)

        def hsic(k, l, n=n):  # noqa: E741
            """Song et al. 2012, equation 5, times n (n - 3)."""
            k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
            return (
                np.trace(k @ l) + k.sum() * l.sum() / (n - 1) / (n - 2) - 2 * (k.sum(0) @ l.sum(0)) / (n - 2)
            )

        assert found[1 + g] == pytest.approx(hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l)), abs=1e-10)


# ---------------------------------------------------------------------------- the split
def test_test_samples_are_placed_by_what_the_training_samples_say(rng):
    x, y = rng.standard_normal((200, 6)) * [5, 3, 1, 1, 1, 1] + 9, rng.standard_normal((200, 4))
    y[:, :2] += x[:, :2]
    test = np.arange(200) < 50
    found = aligned(x, y, test, None, ("x", "y"))
    a, b = (v[~test] - v[~test].mean(0) for v in (x, y))
    values, vectors = np.linalg.eig(np.linalg.solve(a.T @ a, a.T @ b) @ np.linalg.solve(b.T @ b, b.T @ a))
    w = vectors.real[:, np.argsort(-values.real)[:4]]
    v = np.linalg.solve(b.T @ b, b.T @ a @ w)
    w, v = w / (a @ w).std(0, ddof=1), v / (b @ v).std(0, ddof=1)
    np.testing.assert_allclose(found.rho, np.sqrt(np.sort(values.real)[::-1][:4]), atol=1e-7)
    np.testing.assert_allclose(np.abs(found.x), np.abs((x[test] - x[~test].mean(0)) @ w), atol=1e-5)
    np.testing.assert_allclose(np.abs(found.y), np.abs((y[test] - y[~test].mean(0)) @ v), atol=1e-5)
    weights = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(found.mapped, (x[test] - x[~test].mean(0)) @ weights, atol=1e-9)
    np.testing.assert_allclose(found.target, y[test] - y[~test].mean(0), atol=1e-12)


def test_changing_a_test_sample_changes_no_direction(rng):
    x, y = rng.standard_normal((2, 100, 5))
    test = np.arange(100) < 20
    before = aligned(x, y, test, 0.9, ("x", "y"))
    x[3] += 100
    after = aligned(x, y, test, 0.9, ("x", "y"))
    np.testing.assert_array_equal(before.rho, after.rho)
    np.testing.assert_array_equal(before.x[4:], after.x[4:])


# ---------------------------------------------------------------------------- the sweep
@pytest.mark.parametrize("similarity", ["cosine", "distance"])
def test_a_rotated_copy_is_found_whole(rng, similarity):
    x = rng.standard_normal((300, 12))
    y = 3 * x @ np.linalg.qr(rng.standard_normal((12, 12)))[0] + 5
    found = sweep(x, y, variance=1.0, similarity=similarity)
    np.testing.assert_array_equal(found.x, [1, 2, 4, 8, 12])
    for name in ("matching accuracy", "recall at 1", "recall at 5", "CKA"):
        assert found.series[name][-1] == pytest.approx(1, abs=1e-9), name
        assert found.series["full space: " + name][0] == pytest.approx(1, abs=1e-9), name
    if similarity == "distance":  # one direction is enough, where cosine knows two values only
        assert found.series["recall at 1"][0] > 0.9
    else:
        assert found.series["recall at 1"][0] < 0.1


def test_shuffled_pairs_give_1_of_m_and_are_called_chance(rng):
    x, y = rng.standard_normal((600, 10)), rng.standard_normal((600, 10))
    y[:, :5] = x[rng.permutation(600), :5]
    found = sweep(x, y)
    m = found.estimates[0].n
    assert m == 180
    for name, chance in (
        ("matching accuracy", 1 / m),
        ("recall at 1", 1 / m),
        ("recall at 5", 5 / m),
        ("CKA", 0),
    ):
        assert found.series[name].mean() == pytest.approx(chance, abs=0.02), name
        np.testing.assert_allclose(found.null[name], chance)
    assert "no more than chance" in found.reading
    assert found.estimates[0].p_value > 0.05


def test_few_shared_directions_beat_all_and_the_full_space(rng):
    z = rng.standard_normal((500, 5))
    x, y = (
        np.hstack([z + 0.1 * rng.standard_normal((500, 5)), rng.standard_normal((500, 70))]) for _ in range(2)
    )
    found = sweep(x, y, variance=1.0)
    at = {int(k): i for i, k in enumerate(found.x)}
    matching = found.series["matching accuracy"]
    assert matching[at[4]] > matching[-1] + 0.3
    assert matching[at[4]] > found.series["full space: matching accuracy"][0] + 0.3
    assert "(k = 4)" in found.estimates[0].name
    assert found.estimates[0].p_value < 0.01
    assert found.estimates[0].null > 1 / 150
    assert all((found.low[k] <= v).all() and (v <= found.high[k]).all() for k, v in found.series.items())


def test_more_directions_than_training_samples_fit_and_find_nothing(rng):
    found = sweep(*rng.standard_normal((2, 100, 200)), variance=1.0)
    assert found.series["recall at 1"].max() < 0.3
    assert any("More kept dimensions than training samples" in c for c in found.caveats)


def test_samples_are_matched_by_id(rng):
    x = rng.standard_normal((100, 4))
    ids = np.array([f"s{i}" for i in range(100)])
    order = rng.permutation(100)[:80]
    found = sweep(
        ArrayActivations(x, samples={"id": ids}),
        ArrayActivations(x[order], samples={"id": ids[order]}),
        variance=1.0,
    )
    assert found.series["matching accuracy"][-1] == 1
    assert any("80 samples matched by id" in c for c in found.caveats)


# ---------------------------------------------------------------------------- the gap
def test_the_gap_is_the_distance_of_the_means_and_none_where_sides_are_exchangeable(rng):
    x = rng.standard_normal((200, 6))
    shift = np.array([3.0, 4, 0, 0, 0, 0])
    group = np.arange(200) % 10
    gap, angle = gap_estimates(x, x + shift, group, 99, rng)
    assert gap.value == pytest.approx(5, rel=1e-12)
    assert gap.p_value == 0.01
    assert gap.low <= 5 <= gap.high
    assert (gap.null, gap.null_high) < (1.0, 2.0)
    a, b = x.mean(0), (x + shift).mean(0)
    expected = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert angle.value == pytest.approx(expected, abs=1e-6)
    p = [
        gap_estimates(*rng.standard_normal((2, 50, 4)), np.arange(50) % 10, 99, rng)[0].p_value
        for _ in range(100)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.12
    assert np.mean(p) == pytest.approx(0.5, abs=0.12)


def test_the_angle_between_mates_is_small_for_mates_and_90_degrees_for_strangers(rng):
    x = rng.standard_normal((150, 8))
    found = mate_angle(x, 2 * x, 99, rng)
    assert found.value == pytest.approx(0, abs=1e-4)
    assert found.null == pytest.approx(90, abs=3)
    assert found.p_value == 0.01
    assert mate_angle(x, rng.standard_normal((150, 8)), 99, rng).p_value > 0.01
    angles = np.degrees(np.arccos(np.clip(cosine(x[:5], x[5:10]), -1, 1)))
    every = [angles[np.arange(5), list(p)].mean() for p in permutations(range(5))]
    assert mate_angle(x[:5], x[5:10], 9, rng).null == pytest.approx(np.mean(every), rel=1e-12)


def test_the_gap_is_shown_only_where_units_can_be_the_same(rng):
    x = rng.standard_normal((100, 4))
    names = [e.name for e in sweep(x, x + 1).estimates]
    assert "gap between the means" in names
    assert "gap between the means" not in [e.name for e in sweep(x, x[:, :3]).estimates]


# ---------------------------------------------------------------------------- bad input
def test_refusals_and_odd_units(rng):
    x = rng.standard_normal((100, 4))
    with pytest.raises(NotEnoughData, match="30 sample"):
        sweep(x[:30], x[:30])
    with pytest.raises(InputError, match="all samples of"):
        sweep(x, np.ones((100, 2)))
    with pytest.raises(ParameterError, match="similarity"):
        make_params(AlignmentSweepParams, {"similarity": "euclid"})
    odd = np.hstack([x, x, np.full((100, 2), 3.0)]).astype(np.float32)
    assert sweep(odd, x, variance=1.0).series["matching accuracy"][-1] == 1
    assert np.isfinite(list(sweep(x, x[:, :1]).series.values())).all()


def _told_the_answer(similarity, rng):
    from scipy.optimize import linear_sum_assignment

    found = mate_search(similarity, rng)
    matched = linear_sum_assignment(np.round(similarity, -1), maximize=True)[1]  # ties go by position
    return type(found)(found.closer, found.tied, found.nearest, matched)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (alignment_steps, "mate_search", _told_the_answer),
        (alignment_steps, "small_cka", lambda x, y, group: np.full(11, 0.9)),
        (aligned_split, "span_of", lambda x, name, **more: _unplaced(x, name, **more)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def _unplaced(x, name, **more):
    """Weights that do not belong to the basis."""
    from dataclasses import replace

    from analysis.compute.similarity.canonical import span_of

    span = span_of(x, name, **more)
    return replace(span, weights=np.roll(span.weights, 1, axis=1))
