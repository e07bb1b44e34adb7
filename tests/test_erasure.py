"""Erasing in closed form and by search: identities, a second implementation from the paper, and least edits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orth, sqrtm

from analysis.activations import ArrayActivations, Layout
from analysis.compute.groups.concept import Concept, ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.linear.softmax_regression import constant_loss, softmax_fit
from analysis.compute.subspaces.adversarial_erasure import adversarial_projection, onto_fantope
from analysis.compute.subspaces.angles import principal_angles
from analysis.compute.subspaces.concept_moments import concept_moments, tap_concept_moments
from analysis.compute.subspaces.erasing import (
    ERASERS,
    NESTED,
    covariance_left,
    erased,
    first_dimensions,
    squared_edits,
)
from analysis.compute.subspaces.erasure import (
    covariance_projection,
    discriminant_projection,
    leace,
    mean_projection,
    random_projection,
    refuse_few_for_units,
)
from analysis.compute.subspaces.iterated_erasure import iterated_nullspace
from analysis.compute.subspaces.probes import LINEAR, NEIGHBOURS, PROBES, probe_folds, scored
from analysis.errors import NotEnoughData


def classes(of) -> Concept:
    return Concept("c", np.asarray(of), tuple(str(i) for i in range(int(max(of)) + 1)), None)


def number(y) -> Concept:
    return Concept("y", None, (), np.asarray(y, float))


def clouds(n=600, d=8, c=3, seed=0):
    """Classes of unequal sizes in correlated units, far from the origin."""
    rng = np.random.default_rng(seed)
    of = rng.choice(c, n, p=np.arange(1, c + 1) / (c * (c + 1) / 2))
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 2 * rng.standard_normal((c, d))[of] + 50
    return x, classes(of)


def cross(x, concept):
    return concept_moments(x, concept).cross


# ---------------------------------------------------------------------------- closed forms
@pytest.mark.parametrize("c", [2, 3, 5])
@pytest.mark.parametrize("make", [leace, mean_projection, covariance_projection])
def test_full_rank_leaves_no_covariance_and_takes_classes_less_one_dimensions(make, c):
    x, concept = clouds(c=c)
    m = concept_moments(x, concept)
    eraser = make(m, c - 1)
    left = eraser(x)
    assert np.abs(cross(left, concept)).max() < 1e-12 * m.scale * 100
    assert eraser.rank == c - 1
    assert np.linalg.matrix_rank(np.cov(left, rowvar=False), tol=1e-8) == x.shape[1] - (c - 1)
    assert covariance_left(eraser, m) < 1e-12
    np.testing.assert_allclose(left.mean(axis=0), x.mean(axis=0), atol=1e-9)


def test_leace_is_the_formula_of_the_paper():
    """x - W⁺ P W (x - μ), W the inverse square root, P onto the columns of W Σ_xz: scipy's square root and pinv."""
    x, concept = clouds(c=4)
    m = concept_moments(x, concept)
    root = np.real(sqrtm(m.covariance))
    w = np.linalg.inv(root)
    seen = w @ m.cross
    p = seen @ np.linalg.pinv(seen, rcond=1e-9)
    expected = x - (x - m.mean) @ (root @ p @ w).T
    np.testing.assert_allclose(leace(m, 3)(x), expected, atol=1e-9)


def test_leace_edits_least_of_all_affine_maps_that_leave_no_covariance():
    """Any such map is LEACE's plus (I - QQᵀ) R with Q the span of Σ_xz: none of many edits less."""
    x, concept = clouds(c=3)
    m = concept_moments(x, concept)
    best, frame = leace(m, 2), orth(m.cross, rcond=1e-9)
    least = squared_edits(best, x).mean()
    centred, rng = x - m.mean, np.random.default_rng(1)
    outside = np.eye(x.shape[1]) - frame @ frame.T
    for size in (1e-3, 0.1, 1.0):
        for _ in range(20):
            other = best.matrix + outside @ (size * rng.standard_normal(best.matrix.shape))
            assert np.abs(other.T @ m.cross).max() < 1e-9
            assert ((centred @ other - centred) ** 2).sum(axis=1).mean() >= least
    orthogonal = squared_edits(covariance_projection(m, 2), x).mean()
    assert least < orthogonal  # 6.78 < 7.76 in the toy of the paper row


@pytest.mark.parametrize("name", [e for e in ERASERS if e != "LEACE"])
def test_projections_are_symmetric_idempotent_and_have_the_trace(name):
    x, concept = clouds(c=3)
    m = concept_moments(x, concept)
    eraser = erased(name, x, concept, m, 2)
    p = eraser.matrix
    np.testing.assert_allclose(p @ p, p, atol=1e-10)
    np.testing.assert_allclose(p, p.T, atol=1e-10)
    assert np.trace(p) == pytest.approx(x.shape[1] - eraser.rank, abs=1e-9)
    np.testing.assert_allclose(eraser(eraser(x)), eraser(x), atol=1e-9)


def test_leace_is_an_oblique_projection():
    x, concept = clouds()
    p = leace(concept_moments(x, concept), 2).matrix
    np.testing.assert_allclose(p @ p, p, atol=1e-10)
    assert np.abs(p - p.T).max() > 1e-3


def test_one_direction_takes_r2_from_064_to_nothing():
    """u = X_cᵀ y_c / ‖·‖: no linear reader is left for least squares (001b #0: 0.640 to 5e-32)."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, 12)) + 7
    y = x @ rng.standard_normal(12)
    y = y + rng.standard_normal(400) * y.std() * 0.75

    def r2(z):
        z, t = z - z.mean(axis=0), y - y.mean()
        fitted = z @ np.linalg.lstsq(z, t, rcond=1e-10)[0]
        return float(fitted @ fitted) / float(t @ t)

    eraser = covariance_projection(concept_moments(x, number(y)), 1)
    assert eraser.rank == 1
    assert r2(x) == pytest.approx(0.64, abs=0.06)
    assert r2(eraser(x)) < 1e-25


def test_mean_and_cross_covariance_agree_where_they_must():
    x, two = clouds(c=2)
    m = concept_moments(x, two)
    np.testing.assert_allclose(mean_projection(m, 1).matrix, covariance_projection(m, 1).matrix, atol=1e-10)
    x, four = clouds(c=4)
    m = concept_moments(x, four)
    assert principal_angles(mean_projection(m, 3).read, covariance_projection(m, 3).read).max() < 1e-7
    assert principal_angles(mean_projection(m, 1).read, covariance_projection(m, 1).read).max() > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_leace_follows_every_linear_change_of_the_units(seed, c):
    x, concept = clouds(200, 5, c, seed)
    if np.bincount(concept.of, minlength=c).min() < 2:
        return
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((5, 5)) + 3 * np.eye(5)
    once = leace(concept_moments(x, concept), c - 1)(x) @ a
    then = leace(concept_moments(x @ a, concept), c - 1)(x @ a)
    np.testing.assert_allclose(once, then, atol=1e-6 * np.abs(x @ a).max())


def test_duplicated_units_and_more_units_than_samples():
    x, concept = clouds()
    doubled = np.hstack([x, x[:, :3]])
    m = concept_moments(doubled, concept)
    eraser = leace(m, 2)
    assert np.abs(cross(eraser(doubled), concept)).max() < 1e-8
    rng = np.random.default_rng(0)
    wide, of = rng.standard_normal((30, 90)), np.arange(30) % 3
    m = concept_moments(wide, classes(of))
    assert np.abs(cross(leace(m, 2)(wide), classes(of))).max() < 1e-8


def test_fewer_dimensions_are_the_first_of_more():
    x, concept = clouds(c=5)
    m = concept_moments(x, concept)
    for name in NESTED:
        more, fewer = erased(name, x, concept, m, 4), erased(name, x, concept, m, 2)
        np.testing.assert_allclose(first_dimensions(more, 2).matrix, fewer.matrix, atol=1e-6)


def test_leace_of_fewer_dimensions_takes_the_largest_canonical_correlations():
    from sklearn.cross_decomposition import CCA

    x, concept = clouds(2000, c=4)
    m = concept_moments(x, concept)
    one = leace(m, 1).read[:, 0]
    scores = CCA(1, scale=False).fit(x, np.eye(4)[concept.of][:, :3]).transform(x)[:, 0]
    assert abs(np.corrcoef(scores, x @ one)[0, 1]) > 1 - 1e-5


def test_lda_is_the_within_class_direction():
    """Second form: (S_w)⁻¹ (μ_1 - μ_0), which shrinkage hardly moves at n = 5,000; it leaves covariance behind."""
    x, concept = clouds(5000, 6, 2)
    m = concept_moments(x, concept)
    means = [x[concept.of == i].mean(axis=0) for i in (0, 1)]
    within = sum(np.cov(x[concept.of == i], rowvar=False) * (concept.of == i).mean() for i in (0, 1))
    w = np.linalg.solve(within, means[1] - means[0])
    eraser = discriminant_projection(x, concept, m, 1)
    assert abs(eraser.read[:, 0] @ w) / np.linalg.norm(w) > 0.999
    assert covariance_left(eraser, m) > 0.05


def test_constant_number_of_halves_and_ties():
    y = np.r_[np.zeros(80), np.ones(20)]  # the median is the lowest value
    x = np.random.default_rng(0).standard_normal((100, 4)) + 3 * y[:, None]
    eraser = mean_projection(concept_moments(x, number(y)), 1)
    expected = x[80:].mean(axis=0) - x[:80].mean(axis=0)
    assert abs(eraser.read[:, 0] @ expected) / np.linalg.norm(expected) == pytest.approx(1.0, abs=1e-12)
    top = np.r_[np.zeros(20), np.ones(80)]
    assert mean_projection(concept_moments(x, number(top)), 1).rank == 1


def test_fewer_samples_than_units_are_refused():
    refuse_few_for_units(11, 10, "samples")
    with pytest.raises(NotEnoughData, match="10 samples for 10 units"):
        refuse_few_for_units(10, 10, "samples")


def test_a_concept_without_any_trace_removes_nothing():
    x = np.vstack([np.eye(3), np.eye(3)])
    m = concept_moments(x, classes([0, 0, 0, 1, 1, 1]))
    assert mean_projection(m, 1).rank == covariance_projection(m, 1).rank == leace(m, 1).rank == 0


# ---------------------------------------------------------------------------- searches
def test_the_regression_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    x, concept = clouds(300, 5, 3)
    x = (x - x.mean(axis=0)) / x.std()
    mine = softmax_fit(x, concept.of, 3, 0.01, steps=2000)
    theirs = LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-10, max_iter=10_000).fit(x, concept.of)
    weights = mine.weights - mine.weights.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(weights.T, theirs.coef_ - theirs.coef_.mean(axis=0), atol=1e-3)
    assert (mine.predicted(x) == theirs.predict(x)).mean() > 0.99


def test_inlp_removes_what_the_first_probe_reads_and_needs_more_dimensions():
    x, concept = clouds(1500, 6, 2)
    m = concept_moments(x, concept)
    one = iterated_nullspace(x, concept, m, 1)
    w = softmax_fit((x - m.mean) / m.scale, concept.of, 2, 1e-3).weights
    w = w[:, 1] - w[:, 0]
    assert abs(one.read[:, 0] @ w) / np.linalg.norm(w) > 1 - 1e-6
    left = [covariance_left(iterated_nullspace(x, concept, m, k), m) for k in (1, 2, 4)]
    assert left[0] > left[1] > left[2]
    assert left[0] > 0.05
    assert iterated_nullspace(x, concept, m, 99).rank <= 6


@pytest.mark.parametrize("c", [2, 3])
def test_rlace_finds_the_class_means_where_the_answer_is_known(c):
    x, concept = clouds(1200, 8, c, seed=2)
    m = concept_moments(x, concept)
    found = adversarial_projection(x, concept, m, c - 1)
    assert found.rank == c - 1
    assert covariance_left(found, m) < 0.05
    assert principal_angles(found.read, mean_projection(m, c - 1).read).max() < 0.1


def test_rlace_of_fewer_dimensions_hurts_the_probe_at_least_as_much_as_the_leading_means():
    x, concept = clouds(900, 6, 4, seed=5)
    m = concept_moments(x, concept)

    def left(eraser):
        z = (eraser(x) - m.mean) / m.scale
        return softmax_fit(z, concept.of, 4, 1e-4, steps=500).loss

    found = left(adversarial_projection(x, concept, m, 1))
    others = [left(make(m, 1)) for make in (mean_projection, covariance_projection)]
    assert max(others) * 0.97 < found <= constant_loss(concept.of, 4) + 1e-9


def test_rlace_of_a_number_is_the_closed_form_of_its_game():
    x, _ = clouds()
    y = x[:, 0] + np.random.default_rng(0).standard_normal(len(x))
    m = concept_moments(x, number(y))
    got = adversarial_projection(x, number(y), m, 1)
    np.testing.assert_array_equal(got.matrix, covariance_projection(m, 1).matrix)
    assert got.name == "R-LACE"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_fantope_projection_is_the_nearest_point(seed, k):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((6, 6)) * 2
    a = a + a.T
    p = onto_fantope(a, k)
    values = np.linalg.eigvalsh(p)
    assert values.min() > -1e-9
    assert values.max() < 1 + 1e-9
    assert np.trace(p) == pytest.approx(k, abs=1e-8)
    for _ in range(10):  # <a - p, v - p> <= 0 for every v of the set
        q = np.linalg.qr(rng.standard_normal((6, k)))[0]
        assert np.sum((a - p) * (q @ q.T - p)) <= 1e-7
    np.testing.assert_allclose(onto_fantope(p, k), p, atol=1e-7)


# ---------------------------------------------------------------------------- probes
@pytest.mark.parametrize("seed", range(4))
def test_after_leace_no_linear_probe_beats_the_majority_by_more_than_its_interval(seed):
    rng = np.random.default_rng(seed)
    of = (rng.random(4000) < 0.3).astype(int)
    x = rng.standard_normal((4000, 4)) + 2 * of[:, None] * rng.standard_normal(4)
    fit, held = slice(0, 3000), slice(3000, None)
    eraser = leace(concept_moments(x[fit], classes(of[fit])), 1)
    concept = classes(of[held])
    score = scored(eraser(x[held]), concept, probe_folds(concept, 4, rng), LINEAR, 1.0, rng)
    assert score.low <= score.chance
    before = scored(x[held], concept, probe_folds(concept, 4, rng), LINEAR, 1.0, rng)
    assert before.reads


@pytest.mark.parametrize("probe", PROBES)
def test_probes_read_nothing_from_noise_and_everything_from_a_copy(probe):
    rng = np.random.default_rng(0)
    concept = classes(np.arange(300) % 3)
    fold = probe_folds(concept, 4, rng)
    noise = scored(rng.standard_normal((300, 5)), concept, fold, probe, 1.0, rng)
    assert not noise.reads
    assert noise.null == pytest.approx(1 / 3, abs=0.03)
    copy = scored(
        6 * np.eye(3)[concept.of] + 0.1 * rng.standard_normal((300, 3)), concept, fold, probe, 1.0, rng
    )
    assert copy.value > 0.98
    y = number(rng.standard_normal(300))
    own = scored(np.column_stack([y.values, y.values]) * 2, y, probe_folds(y, 4, rng), probe, 1.0, rng)
    assert own.value > 0.9
    none = scored(rng.standard_normal((300, 2)), y, probe_folds(y, 4, rng), probe, 1.0, rng)
    assert none.value < 0.05
    assert not none.reads


def test_neighbours_are_those_of_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    from analysis.compute.subspaces.probes import READERS

    rng = np.random.default_rng(1)
    of = rng.integers(2, size=200)  # two classes, an odd number of neighbours: no ties
    x = rng.standard_normal((200, 3)) + of[:, None]
    mine = READERS[NEIGHBOURS](x[:150], classes(of[:150]), x[150:], rng)
    theirs = KNeighborsClassifier(15).fit(x[:150], of[:150]).predict(x[150:])
    np.testing.assert_array_equal(mine, theirs)


def test_what_an_eraser_leaves_of_a_direction_is_not_read():
    """Rounding is 1e-16 of the label and must not be blown up by scaling."""
    rng = np.random.default_rng(2)
    of = np.arange(200) % 2
    x = np.full((200, 2), 3.0) + 1e-13 * of[:, None]
    concept = classes(of)
    for probe in PROBES:
        assert not scored(x, concept, probe_folds(concept, 4, rng), probe, 1.0, rng).reads


def test_random_directions_are_orthonormal_and_seeded():
    m = concept_moments(*clouds())
    one, two = (random_projection(m, 3, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_allclose(one.read.T @ one.read, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(one.read, two.read)


# ---------------------------------------------------------------------------- moments of a tap of any length
@pytest.mark.parametrize("kind", ["classes", "number", "ties"])
def test_moments_of_a_tap_are_those_of_its_pooled_samples(kind, monkeypatch):
    """Chunks that cut samples in two, rows that are not finite, samples without the concept, a constant unit: as from
    the matrix of pooled samples at once (`concept_samples`), whose covariance NumPy makes."""
    rng = np.random.default_rng(5)
    tokens = rng.integers(1, 9, 300)
    offsets = np.r_[0, np.cumsum(tokens)]
    label = rng.integers(-1, 3, 300)  # -1: none
    values = rng.standard_normal((offsets[-1], 7)) + 30 + np.repeat(label, tokens)[:, None]
    values[:, 4] = 2.0
    values[rng.choice(len(values), 40, replace=False), 1] = np.nan
    values[offsets[11] : offsets[12]] = np.inf
    number = np.where(label < 0, np.nan, label + 0.0 if kind == "ties" else rng.standard_normal(300))
    samples = {"label": label, "number": number + (1e-3 * (label == 2) if kind == "ties" else 0)}
    tap = ArrayActivations(values.astype(np.float32), "t", samples=samples, layout=Layout(offsets))
    pieces = ArrayActivations.chunks
    monkeypatch.setattr(ArrayActivations, "chunks", lambda self, rows=37: pieces(self, min(rows, 37)))
    ask = ConceptParams("label" if kind == "classes" else "number")
    found, units, concept = tap_concept_moments(tap, ask, minimum=5)
    data = concept_samples(tap, ask, minimum=5, maximum=10**6, rng=rng)
    np.testing.assert_array_equal(units, data.units)
    assert (concept.classes, concept.n, found.n) == (data.concept.classes, len(data.x), len(data.x))
    np.testing.assert_allclose(found.covariance, np.cov(data.x.T, bias=True), rtol=1e-11, atol=1e-12)
    whole = concept_moments(data.x, data.concept)
    for name in ("mean", "cross", "between", *(() if kind == "classes" else ("halves",))):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-10, atol=1e-11)


def test_the_halves_of_a_number_are_the_means_of_its_halves():
    x, _ = clouds(n=101)
    y = np.random.default_rng(0).standard_normal(101)
    upper = y > np.median(y)
    expected = x[upper].mean(axis=0) - x[~upper].mean(axis=0)
    np.testing.assert_allclose(concept_moments(x, number(y)).halves, expected, atol=1e-12)
