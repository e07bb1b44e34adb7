"""Queries by one version of a model in the gallery of another: scores and their chance by brute force and enumeration,
paired tests, alignment, the upgrade matrix on planted versions, bad input."""

from __future__ import annotations

import re
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.activations import ArrayActivations, Layout
from analysis.compute.retrieval import gallery_search, model_versions
from analysis.compute.retrieval.class_drift import class_means, drifts, simplex_distance
from analysis.compute.retrieval.gallery_search import (
    MEASURES,
    PRECISION,
    RECALL,
    Task,
    average_precision,
    chance,
    chance_by_class,
    margins,
    scores,
)
from analysis.compute.retrieval.model_versions import ORTHOGONAL, SPLIT, in_share, versions_of
from analysis.compute.statistics import paired_gain
from analysis.compute.statistics.paired_gain import flipped_sums, gain_p, paired_ends, paired_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.retrieval import upgrade_matrix as module
from analysis.methods.retrieval.upgrade_matrix import UpgradeParams, upgrade_matrix

FEW = settings(max_examples=20, deadline=None)


def haar(d, rng):
    """Uniform over all rotations and reflections."""
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def classes(rng, k=8, each=12, d=16, noise=0.6):
    label = np.repeat(np.arange(k), each)
    return rng.standard_normal((k, d))[label] + noise * rng.standard_normal((k * each, d)), label


def tap(x, label, name="t", ids=None, column="label", layout=None):
    samples = {column: np.asarray(label)} | ({} if ids is None else {"id": np.asarray(ids)})
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def asked(label, *versions, **params):
    names = ["a:t", "b:t", "c:t", "d:t"]
    taps = [tap(x, label, n) for x, n in zip(versions, names, strict=False)]
    return upgrade_matrix(*taps, params=UpgradeParams(**params))


def brute(queries, gallery, label, measure, metric="cosine"):
    """One sample at a time, leaving itself out; no ties expected."""
    out = []
    for i, q in enumerate(queries):
        if metric == "cosine":
            away = -(gallery @ q) / np.linalg.norm(gallery, axis=1)
        else:
            away = np.linalg.norm(gallery - q, axis=1)
        order = [j for j in np.argsort(away) if j != i]
        right = label[order] == label[i]
        places = np.flatnonzero(right) + 1
        out.append(right[0] if measure == RECALL else np.mean(np.arange(1, len(places) + 1) / places))
    return float(np.mean(out))


# ---------------------------------------------------------------------------- scores of a ranking
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(6, 2), (7, 3), (5, 4)]), st.integers(1, 4))
def test_scores_with_ties_are_the_mean_over_all_orders_of_the_tied(seed, shape, values):
    rng = np.random.default_rng(seed)
    g, r = shape
    distance = rng.integers(values, size=g).astype(float)
    right = rng.permutation(np.arange(g) < r)
    found = []
    for order in permutations(range(g)):
        order = sorted(order, key=lambda j: distance[j])  # a stable sort keeps the drawn order among equals
        places = np.flatnonzero(right[order]) + 1
        found.append((right[order][0], np.mean(np.arange(1, r + 1) / places)))
    recall, precision = np.mean(found, axis=0)
    assert average_precision(distance[None], right[None])[0] == pytest.approx(precision, abs=1e-12)
    assert gallery_search._first_right(distance[None], right[None])[0] == pytest.approx(recall, abs=1e-12)


@pytest.mark.parametrize(("m", "r"), [(4, 1), (5, 2), (6, 5), (3, 3)])
def test_chance_is_the_mean_over_all_rankings(m, r):
    of = np.array([0] * (r + 1) + [1] * (m - r))  # sample 0 asks all others
    task = Task(np.array([0]), np.arange(m + 1), of)
    every = []
    for order in permutations(range(m)):
        right = np.array([j < r for j in order])
        places = np.flatnonzero(right) + 1
        every.append((right[0], np.mean(np.arange(1, r + 1) / places)))
    expected = np.mean(every, axis=0)
    assert chance(task, RECALL)[0] == pytest.approx(expected[0], abs=1e-12)
    assert chance(task, PRECISION)[0] == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("block", [1, 1 << 23])
def test_scores_are_those_of_one_query_at_a_time_whatever_the_blocks(measure, block, rng, monkeypatch):
    monkeypatch.setattr(gallery_search, "BLOCK_BYTES", block)
    x, label = classes(rng)
    y = x + 0.4 * rng.standard_normal(x.shape)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y)]
    every = np.arange(len(x))
    task = Task(every, every, label)
    assert scores(task, *unit, measure).mean() == pytest.approx(brute(x, y, label, measure), abs=1e-12)
    assert scores(task, x, y, measure).mean() == pytest.approx(
        brute(x, y, label, measure, "euclidean"), abs=1e-12
    )


def test_margins_are_positive_where_the_nearest_is_right(rng):
    x, label = classes(rng, noise=1.2)
    every = np.arange(len(x))
    task = Task(every, every, label)
    np.testing.assert_array_equal(margins(task, x, x) > 0, scores(task, x, x, RECALL) == 1)


def test_the_band_of_chance_lets_classes_move_together():
    """Ten equal classes whose queries are right or wrong together: the variance of a mean of ten coins."""
    of = np.repeat(np.arange(10), 30)
    task = Task(np.arange(300), np.arange(300), of)
    mean, deviation = chance_by_class(task, RECALL)
    p = 29 / 299
    assert (mean, deviation) == pytest.approx((p, np.sqrt(p * (1 - p) / 10)), rel=1e-12)


def test_equal_gallery_samples_are_exact_ties(rng):
    """Four copies of each point with two labels: the three others are equally near, one of them right."""
    x = rng.standard_normal((20, 33)).repeat(4, axis=0)
    label = np.tile([0, 0, 1, 1], 20) + 2 * np.repeat(np.arange(20), 4)
    every = np.arange(80)
    np.testing.assert_allclose(scores(Task(every, every, label), x, x, RECALL), 1 / 3, atol=1e-12)


# ---------------------------------------------------------------------------- paired tests
@FEW
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40))
def test_gains_of_right_and_wrong_are_mcnemars_exact_test(changes):
    d = np.array(changes, float)
    gains, losses = int((d > 0).sum()), int((d < 0).sum())
    expected = stats.binomtest(gains, gains + losses, alternative="greater").pvalue if gains + losses else 1.0
    assert gain_p(d, np.random.default_rng(0)) == pytest.approx(expected, abs=1e-12)


def test_other_gains_are_tested_by_all_signs():
    d = np.array([0.3, -0.1, 0.25, 0.2, 0.05, -0.02, 0.4, 0.1])
    every = np.array([np.dot(s, d) for s in product([-1, 1], repeat=len(d))])
    exact = (every >= d.sum() - 1e-12).mean()
    assert gain_p(d, np.random.default_rng(1)) == pytest.approx(exact, abs=0.02)
    sums = flipped_sums(d[:, None], np.random.default_rng(2), 4000)
    assert sums.std() == pytest.approx(np.sqrt((d**2).sum()), rel=0.05)


@pytest.mark.parametrize(
    ("table", "expected"),
    # Newcombe (1998), table III, method 10: a, b, c, d -> interval of p1 - p2
    [((36, 12, 2, 0), (0.0569, 0.3404)), ((20, 12, 2, 16), (0.0562, 0.3292)), ((54, 0, 0, 0), (-0.0664, 0.0664))],
)  # fmt: skip
def test_the_paired_interval_is_newcombes(table, expected):
    a, b, c, d = table
    after = np.repeat([True, True, False, False], [a, b, c, d])
    before = np.repeat([True, False, True, False], [a, b, c, d])
    assert paired_interval(before, after) == pytest.approx(expected, abs=6e-4)


def test_answers_that_did_not_change_leave_a_width_and_numbers_have_students(rng):
    told = np.ones(54)
    ends = paired_ends(told, told)
    assert (ends["low"], ends["high"]) == pytest.approx((-0.0664, 0.0664), abs=6e-4)
    scores = rng.random((2, 54))
    assert paired_ends(*scores) == mean_interval(scores[1] - scores[0])


def test_the_paired_interval_covers():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        before, noise = rng.random(60) < 0.6, rng.random(60)
        after = np.where(before, noise < 0.9, noise < 0.5)
        low, high = paired_interval(before, after)
        hits += low <= 0.6 * 0.9 + 0.4 * 0.5 - 0.6 <= high
    assert hits >= 276


# ---------------------------------------------------------------------------- alignment
def params(**more):
    base = {
        "column": "label", "metric": "cosine", "asking": "every sample asks all others", "query_share": 0.5,
        "alignment": ORTHOGONAL, "hold_out": 0.4, "maximum": 1000,
    }  # fmt: skip
    return base | more


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_planted_rotation_is_recovered_on_samples_that_fitted_nothing(metric, rng):
    """The rotation found on the hold-out is the planted one to 8e-16 or so."""
    x, label = classes(rng, d=12, each=20)
    q = haar(12, rng)
    v = versions_of([tap(x, label, "a"), tap(x @ q, label, "b")], rng, **params(metric=metric))
    rotation = v.rotation(1, 0)
    np.testing.assert_allclose(rotation, q.T, atol=1e-13)
    a, b = v.placed(1, rotation, 0)
    assert not np.intersect1d(v.hold_out, v.task.query).size
    assert not np.intersect1d(v.hold_out, v.task.gallery).size
    np.testing.assert_allclose(a, b, atol=1e-13)


def test_orthogonal_maps_change_no_recall_within_a_version(rng):
    x, label = classes(rng)
    found = asked(label, x, x @ haar(16, rng)).values
    assert found[0, 0] == found[1, 1]


@pytest.mark.parametrize("measure", MEASURES)
def test_zero_padding_restores_a_rotated_embedding_of_more_dimensions(measure, rng):
    """Twelve dimensions turned inside twenty: the same points, so alignment makes all four cells equal."""
    x, label = classes(rng, d=12, each=20)
    y = np.hstack([x, np.zeros((len(x), 8))]) @ haar(20, rng)
    for old, new in ((x, y), (y, x)):
        found = asked(label, old, new, alignment=ORTHOGONAL, measure=measure)
        assert np.ptp(found.values) < 1e-9
        assert any("padded with zeros before they are turned" in c for c in found.caveats)
    plain = asked(label, x, y, measure=measure)
    assert any("nothing aligns" in c for c in plain.caveats)


def test_a_hold_out_smaller_than_the_width_is_refused(rng):
    x, label = classes(rng, k=5, each=10, d=40)
    with pytest.raises(NotEnoughData, match="15 samples for 40 units, whose rotation would fit noise"):
        asked(label, x, x, alignment=ORTHOGONAL)


def test_what_a_fit_of_unrelated_versions_leaves_is_said(rng):
    """The fit looks good on its own samples only."""
    x, label = classes(rng, k=10, each=12, d=30, noise=3.0)
    found = asked(label, x, rng.standard_normal(x.shape), alignment=ORTHOGONAL)
    note = next(c for c in found.caveats if c.startswith("What rotation leaves over"))
    free, fitted, _, exchanged = (int(share) for share in re.findall(r"(\d+)%", note))
    assert abs(free - exchanged) < 6
    assert free > 90
    assert fitted < free - 25


def test_stratified_shares(rng):
    of = np.repeat(np.arange(4), [10, 20, 5, 1])
    for share in (0.1, 0.3, 0.5, 0.9):
        kept = np.bincount(of[in_share(of, share, rng)], minlength=4)
        assert (np.abs(kept - share * np.bincount(of)) <= 0.5 + 1e-9).all()


# ---------------------------------------------------------------------------- the matrix
@pytest.mark.parametrize("measure", MEASURES)
def test_every_cell_is_the_brute_force(measure, rng):
    x, label = classes(rng)
    y, z = x + 0.5 * rng.standard_normal(x.shape), 2 * x + 0.3
    found = asked(label, x, y, z, measure=measure)
    for t, q in enumerate((x, y, z)):
        for k, g in enumerate((x, y, z)):
            assert found.values[t, k] == pytest.approx(brute(q, g, label, measure), abs=1e-12)
    np.testing.assert_allclose(found.null, chance(Task(np.arange(96), np.arange(96), label), measure).mean())
    assert ((found.low <= found.values) & (found.values <= found.high)).all()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("alignment", [module.AS_THEY_ARE, ORTHOGONAL])
def test_equal_versions_give_one_value_and_no_gain(measure, alignment, rng):
    x, label = classes(rng)
    found = asked(label, x, x, x, measure=measure, alignment=alignment)
    assert np.ptp(found.values) == 0
    np.testing.assert_array_equal(found.significant, np.eye(3, dtype=bool))
    assert found.estimates[0].value == 0
    assert found.estimates[1].value == found.values[0, 0]


def test_a_rotated_version_is_lost_and_found():
    """Cross retrieval is at chance on average over rotations, the diagonal stays, alignment restores all exactly."""
    rng = np.random.default_rng(5)
    x, label = classes(rng, k=10, each=12)
    own, crossed = asked(label, x, x).values[0, 0], []
    for _ in range(30):
        y = x @ haar(16, rng)
        found = asked(label, x, y)
        assert found.values[1, 1] == own
        crossed += [found.values[0, 1], found.values[1, 0]]
        assert not found.significant[1, 0]
    assert np.mean(crossed) == pytest.approx(11 / 119, abs=0.03)
    expected, deviation = chance_by_class(Task(np.arange(120), np.arange(120), label), RECALL)
    assert (np.array(crossed) < expected + 3 * deviation).all()
    aligned = asked(label, x, y, alignment=ORTHOGONAL)
    assert np.ptp(aligned.values) == 0


def test_versions_that_learn_more_are_compatible_with_all_before_them():
    rng = np.random.default_rng(2)
    label = np.repeat(np.arange(12), 15)
    middle, noise = rng.standard_normal((12, 20))[label], rng.standard_normal((180, 20))
    versions = [middle + s * noise for s in (1.6, 1.0, 0.5)]
    found = asked(label, *versions)
    np.testing.assert_array_equal(found.significant, np.tri(3, dtype=bool))
    ac, am = found.estimates[:2]
    assert ac.name == "average compatibility"
    assert (ac.value, ac.p_value) == (1.0, pytest.approx(1 / 8, abs=0.15))
    assert am.value == pytest.approx(found.values[np.tril_indices(3)].mean(), abs=1e-12)
    assert 0.2 < ac.null < 0.5  # coins, less ties
    back = asked(label, *versions[::-1])
    assert back.estimates[0].value == 0
    np.testing.assert_array_equal(back.significant, np.eye(3, dtype=bool))


def test_unrelated_versions_are_never_called_compatible():
    """Gains over an own gallery at chance come by luck only: at most 5 % or so of forty."""
    marked = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        label = np.repeat(np.arange(6), 20)
        marked += asked(label, *rng.standard_normal((2, 120, 8))).significant[1, 0]
    assert marked <= 6


def test_queries_apart_from_the_gallery(rng):
    x, label = classes(rng, each=20)
    found = asked(label, x, x, asking=SPLIT, query_share=0.25)
    assert found.estimates[1].n == 40
    assert any("40 samples ask a gallery of 120" in c for c in found.caveats)
    np.testing.assert_allclose(found.null, 15 / 120)


# ---------------------------------------------------------------------------- bad input
def test_samples_are_matched_by_id_and_labels_must_agree(rng):
    x, label = classes(rng)
    ids = np.array([f"s{i}" for i in range(len(x))])
    order = rng.permutation(len(x))[:80]
    y = x + 0.3 * rng.standard_normal(x.shape)
    found = upgrade_matrix(tap(x, label, "a", ids), tap(y[order], label[order], "b", ids[order]))
    stay = np.sort(order)
    assert found.values[1, 0] == pytest.approx(brute(y[stay], x[stay], label[stay], RECALL), abs=1e-12)
    other = label.copy()
    other[3] = 99
    with pytest.raises(InputError, match="give the same samples different 'label'"):
        upgrade_matrix(tap(x, label, "a", ids), tap(y, other, "b", ids))
    double = np.where(ids == "s1", "s0", ids)
    mixed = np.where(np.arange(len(x)) == 1, 5, label)
    with pytest.raises(InputError, match="several samples under one id"):
        upgrade_matrix(tap(x, mixed, "a", double), tap(y, mixed, "b", double))


def test_tokens_are_pooled(rng):
    x, label = classes(rng, each=6)
    tokens = x[:, None] + np.array([-1.0, 0.0, 1.0])[:, None] * rng.standard_normal((len(x), 1, 16))
    layout = Layout(np.arange(len(x) + 1) * 3)
    found = upgrade_matrix(tap(x, label, "a"), tap(tokens.reshape(-1, 16), label, "b", layout=layout))
    assert np.ptp(found.values) < 1e-9


def test_samples_without_a_label_or_a_partner(rng):
    x, label = classes(rng)
    text = np.array([f"c{v}" for v in label])
    text[:5], text[5] = "", "alone"
    found = asked(text, x, x)
    assert any("5 sample(s) without a label" in c for c in found.caveats)
    assert any("1 sample(s) without another one of their class" in c for c in found.caveats)
    assert found.estimates[1].n == 90


@pytest.mark.parametrize("spoil", ["huge", "tiny", "zero rows", "constant unit", "float16"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_odd_values_give_numbers(rng, spoil, metric):
    x, label = classes(rng)
    if spoil == "huge":
        x *= 1e300
    elif spoil == "tiny":
        x *= 1e-300
    elif spoil == "zero rows":
        x[:3] = 0
    elif spoil == "constant unit":
        x[:, 2] = 7
    else:
        x = x.astype(np.float16)
    found = asked(label, x, x, metric=metric)
    assert np.isfinite(found.values).all()
    assert np.ptp(found.values) == 0
    if spoil in ("huge", "tiny"):
        assert found.values[0, 0] > 0.8


def test_refusals(rng):
    x, label = classes(rng)
    with pytest.raises(NotFound, match="no sample column 'kind'"):
        asked(label, x, x, column="kind")
    with pytest.raises(ParameterError, match="1 tap"):
        asked(label, x)
    with pytest.raises(NotEnoughData, match="at least two"):
        asked(np.zeros(len(x), int), x, x)
    with pytest.raises(NotEnoughData, match="0 quer"):
        asked(np.arange(len(x)), x, x)
    with pytest.raises(InputError, match="all samples"):
        asked(label, x, np.ones_like(x))


# ---------------------------------------------------------------------------- simplex and drift
@pytest.mark.parametrize("k", [3, 5, 10])
def test_a_regular_simplex_has_cosines_of_minus_one_over_k_less_one(k, rng):
    simplex = (np.eye(k) - 1 / k) @ np.pad(np.eye(k), ((0, 0), (0, 4))) @ haar(k + 4, rng)
    unit = simplex / np.linalg.norm(simplex, axis=1, keepdims=True)
    np.testing.assert_allclose((unit @ unit.T)[np.triu_indices(k, 1)], -1 / (k - 1), atol=1e-14)
    assert simplex_distance(5 * simplex + 3) < 1e-14
    assert simplex_distance(simplex[: k - 1] if k > 3 else simplex * [[1], [2], [3]]) < 1e-14 or k == 3
    assert simplex_distance(simplex + 0.3 * rng.standard_normal(simplex.shape)) > 0.01


def test_drift_is_one_less_the_cosine_of_class_means(rng):
    x, label = classes(rng)
    y = x @ haar(16, rng)
    old, new = (class_means(v, label, 8) for v in (x, y))
    np.testing.assert_allclose(old[3], x[label == 3].mean(axis=0))
    moved, elsewhere = drifts(old, new, True)
    a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (old, new))
    apart = 1 - b @ a.T
    np.testing.assert_allclose(moved, np.diag(apart), atol=1e-12)
    np.testing.assert_allclose(elsewhere, (apart.sum(axis=1) - np.diag(apart)) / 7, atol=1e-12)
    assert (drifts(old, old, True)[0] == 0).all()
    np.testing.assert_allclose(drifts(old, old + 2, False)[0], 8)  # 2 sqrt(16)


# ---------------------------------------------------------------------------- the check can fail
SCORES, ROTATION = gallery_search.scores, model_versions.rotation_onto


def _with_itself(task, queries, gallery, measure, *rest):
    return np.ones(len(task.query))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "scores", _with_itself),
        (module, "scores", lambda task, q, g, *rest: SCORES(task, g, q, *rest) * 0.9),
        (model_versions, "rotation_onto", lambda a, b: np.eye(a.shape[1])),
        (model_versions, "rotation_onto", lambda a, b: ROTATION(a, b).T),
        (gallery_search, "average_precision", lambda distance, right: right.mean(axis=1)),
        (module, "gain_p", lambda gains, rng: 0.5),
        (module, "gain_p", lambda gains, rng: 0.0),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):  # and passes on this: the contract
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())


def test_a_p_of_gains_that_forgets_the_losses_is_noticed(monkeypatch):
    monkeypatch.setattr(paired_gain, "betainc", lambda a, b, x: x**a)
    d = np.array([1.0, 1, 1, -1, -1, 0])
    assert gain_p(d, np.random.default_rng(0)) != pytest.approx(
        stats.binomtest(3, 5, alternative="greater").pvalue
    )


def test_versions_are_called_by_their_stores_where_the_tap_is_the_same():
    assert model_versions.version_names(["v1:head", "v2:head"]) == ("v1", "v2")
    assert model_versions.version_names(["v1:head", "v1:pool"]) == ("head", "pool")
    assert model_versions.version_names(["v1:head", "v2:pool"]) == ("v1:head", "v2:pool")
    assert model_versions.version_names(["a", "a"]) == ("a (1)", "a (2)")
