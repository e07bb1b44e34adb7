"""Task similarity: closed forms and SciPy as second implementations, the evidence's null by enumeration, invariances,
planted sources, bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import label_evidence
from analysis.compute.linear.cross_prediction import predictor, reduced
from analysis.compute.linear.label_evidence import exchanged_mean, held_out_classes, log_likelihoods, mixture
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.similarity.task_report import highest_correlation
from analysis.errors import InputError, NotEnoughData, NotFound, TooLarge
from analysis.methods.similarity import task_similarity as module
from analysis.methods.similarity.cka import cka
from analysis.methods.similarity.task_similarity import TaskSimilarityParams, task_similarity

FEW = settings(max_examples=10, deadline=None)


def source(x, of, name="s", ids=None, **more):
    samples = {"label": np.asarray(of)} | ({} if ids is None else {"id": np.asarray(ids)})
    return ArrayActivations(x, name=name, samples=samples, **more)


def lines(result):
    return {
        str(name): {k: c[i] for k, c in result.columns.items()}
        for i, name in enumerate(result.columns["source"])
    }


def turn(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


# ---------------------------------------------------------------------------- second implementations
def test_the_columns_by_their_definitions(rng):
    of = rng.integers(3, size=90)
    first, second = (
        rng.standard_normal((90, 5)) + np.eye(3, 5)[of],
        rng.standard_normal((90, 7)) + 2 * np.eye(3, 7)[of],
    )
    found = lines(task_similarity(source(first, of, "a"), source(second, of, "b")))
    different = pdist(of[:, None].astype(float), "hamming")
    for name, x in (("a", first), ("b", second)):
        line = found[name]
        assert line["distances, labels"] == pytest.approx(spearmanr(pdist(x), different).statistic, abs=1e-10)
        assert line["CKA, labels"] == pytest.approx(cka(x, np.eye(3)[of]).values[0, 1], abs=1e-10)
        away = np.linalg.norm(x[:, None] - x, axis=2)
        np.fill_diagonal(away, np.inf)
        near = np.argsort(away, axis=1)[:, :10]
        hits = (of[near] == of[:, None]).sum(axis=1)
        logs = np.log((hits + np.bincount(of)[of] / 90) / 11)
        assert line["evidence"] == pytest.approx(logs.mean() - exchanged_mean(of, 10), abs=1e-10)
    assert found["b"]["distances, reference"] == pytest.approx(
        spearmanr(pdist(first), pdist(second)).statistic, abs=1e-10
    )
    assert found["b"]["CKA, reference"] == pytest.approx(cka(first, second).values[0, 1], abs=1e-10)
    assert found["a"]["distances, reference"] == found["a"]["CKA, reference"] == 1
    shares = [found[name]["distances, labels"] for name in "ab"]
    assert [found[name]["weight"] for name in "ab"] == pytest.approx(np.array(shares) / np.sum(shares))


def test_the_probe_is_ridge_on_class_membership(rng):
    of, fold = rng.integers(3, size=60), np.arange(60) % 5
    x, member = rng.standard_normal((60, 4)) + np.eye(3, 4)[of], np.eye(3)[of]
    scores = held_out_classes(predictor(reduced(x), fold), member)
    largest = [np.linalg.norm(x[fold != f] - x[fold != f].mean(0), 2) ** 2 for f in range(5)]
    for f in range(5):
        made = [
            Ridge(share * largest[f], solver="svd").fit(x[fold != f], member[fold != f]).predict(x[fold == f])
            for share in np.append(1e-14, 10.0 ** np.arange(-10.0, 5.0))
        ]
        assert min(np.abs(m - scores[fold == f]).max() for m in made) < 1e-8
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-10)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_evidence_of_exchanged_labels_is_an_exact_mean(k):
    """All 5,040 orders of the labels of seven samples."""
    rng = np.random.default_rng(k)
    of = np.array([0, 0, 0, 1, 1, 2, 0])
    near = np.array([rng.choice(np.delete(np.arange(7), i), k, replace=False) for i in range(7)])
    every = [log_likelihoods(near, of[list(order)]).mean() for order in permutations(range(7))]
    assert exchanged_mean(of, k) == pytest.approx(np.mean(every), abs=1e-12)


def test_the_mixture_has_the_least_error_of_all(rng):
    member = np.eye(3)[rng.integers(3, size=80)]
    scores = [member * share + 0.4 * rng.standard_normal((80, 3)) for share in (0.9, 0.6, 0.0)]
    weights = mixture(scores, member)

    def error(w):
        return ((sum(a * s for a, s in zip(w, scores, strict=True)) - member) ** 2).sum()

    best = minimize(error, np.full(3, 1 / 3), method="SLSQP", bounds=[(0, 1)] * 3, options={"ftol": 1e-14},
                    constraints={"type": "eq", "fun": lambda w: w.sum() - 1})  # fmt: skip
    np.testing.assert_allclose(weights, best.x, atol=1e-5)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_classes_are_counted_and_what_is_missing_is_said():
    found = class_codes(np.array([3, 3, 3, -1, 7, 7, 7, 9, 1, 1, 1]), "label", 3)
    assert found.names == ("1", "3", "7")
    assert found.codes.tolist() == [1, 1, 1, 2, 2, 2, 0, 0, 0]
    assert found.stay.tolist() == [True] * 3 + [False] + [True] * 3 + [False] + [True] * 3
    assert "1 sample(s) without a label left out." in found.notes
    assert any("fewer than 3 samples left out: 9 (1)" in note for note in found.notes)
    np.testing.assert_array_equal(found.one_hot().sum(axis=0), found.counts)


# ---------------------------------------------------------------------------- facts and invariances
@FEW
@given(st.integers(0, 10**6))
def test_the_same_features_have_1_random_ones_about_0_and_rotations_change_nothing(seed):
    rng = np.random.default_rng(seed)
    of = np.arange(120) % 4
    x = 2 * np.eye(4, 6)[of] + rng.standard_normal((120, 6))
    noise = rng.standard_normal((120, 6))
    copies = {"x": x, "same": x, "turned": 5 * x @ turn(rng, 6) - 3, "noise": noise}
    found = lines(task_similarity(*(source(v, of, name) for name, v in copies.items())))
    for name in ("same", "turned"):
        for column in ("distances, reference", "CKA, reference"):
            assert found[name][column] == pytest.approx(1, abs=1e-9)
        for column in ("distances, labels", "CKA, labels", "evidence", "probe accuracy"):
            assert found[name][column] == pytest.approx(found["x"][column], abs=1e-9)
    assert found["noise"]["distances, labels"] == pytest.approx(0, abs=0.12)
    assert found["noise"]["CKA, labels"] == pytest.approx(0, abs=0.1)
    assert found["noise"]["evidence"] == pytest.approx(0, abs=0.2)
    assert found["noise"]["distances, labels"] < found["x"]["distances, labels"]


def test_sources_are_ranked_by_how_much_they_know():
    rng = np.random.default_rng(2)
    of = rng.integers(5, size=400)
    taps = [
        source(s * 3 * np.eye(5, 8)[of] + rng.standard_normal((400, 8)), of, f"s{s}")
        for s in (0.3, 0.0, 1.0, 0.6)
    ]
    found = task_similarity(*taps)
    assert found.columns["source"].tolist() == ["s1.0", "s0.6", "s0.3", "s0.0"]
    for column in ("CKA, labels", "evidence", "probe accuracy"):
        assert (np.diff(found.columns[column][:3]) < 0).all()
    assert found.columns["weight"].sum() == pytest.approx(1)
    assert (found.columns["q"][:3] < 0.05).all()
    assert found.columns["q"][3] > 0.05
    assert found.columns["stacked weight"][0] > 0.7
    agreement = found.estimates[-1]
    assert agreement.value == 1
    assert agreement.n == 4
    sharp = task_similarity(*taps, params=TaskSimilarityParams(power=50.0))
    assert sharp.columns["weight"][0] > 0.99
    even = task_similarity(*taps, params=TaskSimilarityParams(power=0.0)).columns["weight"]
    assert even[:3] == pytest.approx(even[0])


def test_unrelated_labels_are_rarely_called_close():
    called = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = task_similarity(source(rng.standard_normal((60, 3)), rng.integers(3, size=60)))
        called += found.columns["q"][0] < 0.05
    assert called <= 2


def test_what_classes_wholly_apart_reach(rng):
    """Every pair of one class nearer than every other, no ties: √(3 f (1 - f)), which is said."""
    of = np.repeat([0, 1, 2], [30, 20, 10])
    found = task_similarity(source(100 * np.eye(3)[of] + 0.1 * rng.standard_normal((60, 3)), of))
    assert found.columns["distances, labels"][0] == pytest.approx(
        highest_correlation(np.array([30, 20, 10])), abs=1e-4
    )
    assert f"classes wholly apart {found.columns['distances, labels'][0]:.2f}" in found.reading


def test_one_source_is_enough_and_its_estimates_say_their_nulls(rng):
    of = np.arange(60) % 3
    found = task_similarity(source(rng.standard_normal((60, 4)) + 3 * np.eye(3, 4)[of], of, "only"))
    assert len(found.columns["source"]) == 1
    assert found.columns["weight"][0] == found.columns["stacked weight"][0] == 1
    accuracy = found.estimates[3]
    assert accuracy.null == pytest.approx(1 / 3)
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert "Closest to the 3 classes" in found.reading


# ---------------------------------------------------------------------------- bad input
def test_samples_are_matched_by_id_with_the_first_sources_labels(rng):
    of, ids = np.arange(60) % 3, np.array([f"i{i}" for i in range(60)])
    x = rng.standard_normal((60, 4)) + np.eye(3, 4)[of]
    order = rng.permutation(60)[:50]
    whole = task_similarity(source(x, of, "a", ids), source(x[order], np.full(50, -1), "b", ids[order]))
    found = lines(whole)
    stay = np.sort(order)
    expected = spearmanr(pdist(x[stay]), pdist(of[stay, None].astype(float), "hamming")).statistic
    assert found["b"]["distances, labels"] == pytest.approx(expected, abs=1e-10)
    assert found["b"]["distances, reference"] == pytest.approx(1)
    assert whole.estimates[0].n == 50


def test_tokens_constant_units_and_bad_rows(rng):
    of = np.arange(60) % 3
    tokens = rng.standard_normal((60, 2, 4)) + np.eye(3, 4)[of][:, None]
    pooled = np.hstack([tokens.mean(axis=1), np.ones((60, 2))])
    pooled[[4, 5]] = np.nan
    found = task_similarity(
        source(tokens.reshape(120, 4), of, "tokens", layout=Layout(np.arange(61) * 2)),
        source(pooled, of, "pooled"),
    )
    line = lines(found)["pooled"]
    assert line["distances, reference"] == pytest.approx(1)
    assert found.estimates[0].n == 58
    assert all(np.isfinite(c).all() for c in found.columns.values() if c.dtype.kind == "f")


def test_refusals(rng, monkeypatch):
    x = rng.standard_normal((30, 3))
    with pytest.raises(NotFound, match="label"):
        task_similarity(x)
    with pytest.raises(NotEnoughData, match="1 of 2 class"):
        task_similarity(source(x, np.r_[np.zeros(27), np.ones(3)]))
    with pytest.raises(InputError, match="2 ids"):
        task_similarity(source(x, np.arange(30) % 2, ids=np.arange(30) % 2))
    with pytest.raises(InputError, match="all samples"):
        task_similarity(source(np.ones((30, 2)), np.arange(30) % 2))
    from analysis.compute.similarity import dissimilarity_agreement

    monkeypatch.setattr(dissimilarity_agreement, "MOST_BYTES", 1000)
    with pytest.raises(TooLarge):
        task_similarity(source(x, np.arange(30) % 2))


# ---------------------------------------------------------------------------- checks that can fail
def _blind_probe(one, member):
    return np.random.default_rng(0).random(member.shape)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (
            module,
            "label_dissimilarities",
            lambda of: (of[:, None] == of)[np.triu_indices(len(of), 1)].astype(float),
        ),
        (module, "log_likelihoods", lambda indices, of: 0.9 * label_evidence.log_likelihoods(indices, of)),
        (module, "exchanged_mean", lambda of, k: -np.log(4)),
        (module, "held_out_classes", _blind_probe),
        (module, "mixture", lambda scores, member: np.full(len(scores), 1 / len(scores))),
        (module, "alignment", lambda cross, own, others: np.full(len(cross), 0.5)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
