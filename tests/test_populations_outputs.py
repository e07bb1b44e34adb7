"""What models say about the same samples: divergences, disagreement as an error estimate, calibration; brute force,
SciPy, closed forms, exact nulls, bad input."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs_subjects import by_name, sure, tap
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr, softmax

from analysis.activations import Layout
from analysis.compute.outputs import calibration as bins_module
from analysis.compute.outputs import divergences
from analysis.compute.outputs.calibration import bins_of, ece_by_chance
from analysis.compute.outputs.divergences import exchanged_mean, flips, js, kl
from analysis.compute.outputs.ensemble import cace, disagreement, error, labels_exchanged, votes_of
from analysis.compute.outputs.model_outputs import labels_of, log_probabilities, model_outputs
from analysis.compute.populations.planted_models import planted_predictions
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.populations import (
    disagreement_by as by_module,
)
from analysis.methods.populations import (
    expected_calibration as calibration_module,
)
from analysis.methods.populations import (
    output_disagreement as matrix_module,
)
from analysis.methods.populations import (
    worst_disagreements as worst_module,
)
from analysis.methods.populations.expected_calibration import CalibrationParams, expected_calibration
from analysis.methods.populations.output_disagreement import OutputDisagreementParams, output_disagreement
from analysis.methods.populations.worst_disagreements import (
    CHANGES,
    WorstDisagreementsParams,
    worst_disagreements,
)
from analysis.spec import no_progress

FEW = settings(max_examples=15, deadline=None)


# ---------------------------------------------------------------------------- divergences
@FEW
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 10]))
def test_divergences_are_those_of_scipy(seed, classes):
    rng = np.random.default_rng(seed)
    x, y = 3 * rng.standard_normal((2, 30, classes))
    p, q = softmax(x, axis=1), softmax(y, axis=1)
    a, b = (log_probabilities(v, "auto", "m", []) for v in (x, y))
    np.testing.assert_allclose(np.exp(a), p, rtol=1e-12)
    np.testing.assert_allclose(kl(a, b), rel_entr(p, q).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(js(a, b), jensenshannon(p, q, axis=1) ** 2, atol=1e-9)
    assert (kl(a, b) >= 0).all()
    assert (js(a, b) <= np.log(2)).all()
    np.testing.assert_allclose(js(a, b), js(b, a), atol=1e-12)
    assert np.abs(kl(a, b) - kl(b, a)).max() > 1e-6


def test_one_model_twice_is_zero_exactly_and_opposite_answers_are_ln_2():
    rng = np.random.default_rng(1)
    a = log_probabilities(5 * rng.standard_normal((200, 7)), "auto", "m", [])
    assert not kl(a, a).any()
    assert not js(a, a).any()
    far = [log_probabilities(800 * np.eye(3)[[i]], "auto", "m", []) for i in (0, 1)]
    assert js(*far)[0] == pytest.approx(np.log(2), abs=1e-15)
    assert kl(*far)[0] == pytest.approx(800)


@pytest.mark.parametrize("measure", ["KL", "different top class", "JS"])
def test_the_null_is_the_mean_over_all_exchanges(measure):
    rng = np.random.default_rng(2)
    a, b = (log_probabilities(2 * rng.standard_normal((5, 3)), "auto", "m", []) for _ in range(2))
    every = [divergences.BY_ROW[measure](a, b[list(p)]).mean() for p in permutations(range(5))]
    tolerance = 0.1 if measure == "JS" else 1e-12  # JS: 20 draws
    assert exchanged_mean(measure, a, b, rng) == pytest.approx(np.mean(every), abs=tolerance)


@FEW
@given(st.integers(0, 10**6))
def test_adding_a_number_to_a_samples_logits_or_reordering_classes_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, 40, 5))
    order = rng.permutation(5)
    for measure in divergences.MEASURES:
        params = OutputDisagreementParams(measure=measure)
        one = output_disagreement(x, y, params=params).values
        other = output_disagreement(x + 50 * rng.standard_normal((40, 1)), y, params=params).values
        turned = output_disagreement(x[:, order], y[:, order], params=params).values
        np.testing.assert_allclose(other, one, atol=1e-10)
        np.testing.assert_allclose(turned, one, atol=1e-12)


# ---------------------------------------------------------------------------- reading outputs
def test_probabilities_are_told_from_logits_and_zeros_are_read_as_tiny():
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    said = []
    np.testing.assert_allclose(np.exp(log_probabilities(p, "auto", "m", said)), p, atol=1e-11)
    assert said == ["m: 1 probabilities of 0 are read as 1e-12, or a divergence could be infinite."]
    half = softmax(np.random.default_rng(0).standard_normal((50, 1000)), axis=1).astype(np.float16)
    np.testing.assert_allclose(np.exp(log_probabilities(half.astype(float), "auto", "m", [])).sum(axis=1), 1)
    logits = log_probabilities(p, "logits", "m", [])
    np.testing.assert_allclose(np.exp(logits), softmax(p, axis=1))
    assert np.isfinite(log_probabilities(np.array([[1e8, -1e8, 0.0]]), "auto", "m", [])).all()


def test_samples_are_matched_by_id_and_classes_by_name():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 30, 3))
    ids = np.array([f"s{i}" for i in range(30)])
    order = rng.permutation(30)[:20]
    one = tap(x, id=ids, names=("a", "b", "c"), label=np.repeat(["a", "b", "c"], 10))
    other = tap(y[np.ix_(order, [2, 0, 1])], id=ids[order], names=("c", "a", "b"))
    found = output_disagreement(one, other, params=OutputDisagreementParams(measure="KL"))
    stay = np.sort(order)
    p, q = softmax(x[stay], axis=1), softmax(y[stay], axis=1)
    assert found.values[0, 1] == pytest.approx(rel_entr(p, q).sum(axis=1).mean(), abs=1e-10)
    assert any("by name" in c for c in found.caveats)
    labels = np.repeat([0, 1, 2], 10)[stay]
    wrong = ((p.argmax(axis=1) != labels).mean() + (q.argmax(axis=1) != labels).mean()) / 2
    assert by_name(found)["mean error of the models"].value == pytest.approx(wrong)


def test_tokens_are_compared_row_by_row_and_each_sample_counts_once():
    rng = np.random.default_rng(4)
    lengths = np.array([1, 5, 2, 4, 3])
    layout = Layout(np.r_[0, np.cumsum(lengths)])
    x, y = rng.standard_normal((2, 15, 4))
    found = output_disagreement(
        tap(x, layout=layout), tap(y, layout=layout), params=OutputDisagreementParams(measure="JS")
    )
    each = jensenshannon(softmax(x, axis=1), softmax(y, axis=1), axis=1) ** 2
    expected = np.mean([part.mean() for part in np.split(each, np.cumsum(lengths)[:-1])])
    assert found.values[0, 1] == pytest.approx(expected, abs=1e-9)
    assert any("counts once" in c for c in found.caveats)
    with pytest.raises(InputError, match="other tokens"):
        output_disagreement(tap(x, layout=layout), tap(rng.standard_normal((5, 4))))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["cat", "dog", "", "cat"]), [0, 1, -1, 0]),
        (np.array([1, 0, -1, 2]), [1, 0, -1, 2]),
        (np.array([1.0, 0.0, np.nan, 2.0]), [1, 0, -1, 2]),
        (np.array(["1", "0", "", "2"]), [1, 0, -1, 2]),
    ],
)
def test_labels_by_name_or_number(labels, expected):
    one = tap(np.eye(4)[:, :3], label=labels)
    assert labels_of(one, "label", ("cat", "dog", "cow"), np.arange(4)).tolist() == expected


def test_labels_that_name_no_class_are_refused_where_asked_for_and_ignored_otherwise():
    x = np.random.default_rng(5).standard_normal((10, 3))
    one = tap(x, label=np.array(["ant"] * 10))
    assert (labels_of(one, "", ("a", "b", "c"), np.arange(10)) == -1).all()
    assert len(output_disagreement(one, x + 1).estimates) == 1
    with pytest.raises(InputError, match="holds 'ant'"):
        output_disagreement(one, x + 1, params=OutputDisagreementParams(label="label"))
    with pytest.raises(NotFound, match="no sample column"):
        output_disagreement(one, x + 1, params=OutputDisagreementParams(label="truth"))
    with pytest.raises(NotFound, match="has a class"):
        output_disagreement(
            tap(x, label=np.full(10, -1)), x + 1, params=OutputDisagreementParams(label="label")
        )


# ---------------------------------------------------------------------------- disagreement as an error estimate
def test_calibrated_models_disagree_as_often_as_they_err():
    """The fact of the paper row (0.499 against 0.506 at n = 20,000): labels and answers drawn from the same p(x)."""
    _, label, top = planted_predictions(np.random.default_rng(6), 20_000, 10, 2)
    found = by_name(output_disagreement(*(sure(t, 10, label=label) for t in top),
                                        params=OutputDisagreementParams(maximum_samples=20_000)))  # fmt: skip
    assert found["disagreement of the two models"].value == pytest.approx(
        found["mean error of the models"].value, abs=0.015
    )
    assert found["disagreement less error"].p_value > 0.01
    assert found["calibration error of the votes"].p_value > 0.01


def test_models_that_err_alike_disagree_less_than_they_err():
    rng = np.random.default_rng(7)
    label = rng.integers(4, size=2000)
    common = np.where(rng.random(2000) < 0.3, (label + 1) % 4, label)  # wrong together
    taps = [sure(np.where(rng.random(2000) < 0.02, 3, common), 4, label=label) for _ in range(3)]
    found = by_name(output_disagreement(*taps))
    gap, vote = found["disagreement less error"], found["calibration error of the votes"]
    assert gap.high < -0.2
    assert gap.p_value < 0.01
    assert vote.p_value < 0.01
    assert vote.value > vote.null_high


def test_one_model_many_times_disagrees_never_and_the_page_warns():
    rng = np.random.default_rng(8)
    label = rng.integers(3, size=200)
    one = sure((label + (rng.random(200) < 0.4)) % 3, label=label)
    found = output_disagreement(one, one, one)
    assert not found.values.any()
    assert by_name(found)["mean error of the models"].value > 0.2
    assert sum("not independent models" in c for c in found.caveats) == 3
    close = sure((label + (rng.random(200) < 0.4)) % 3, label=label)
    assert not any("not independent models" in c for c in output_disagreement(one, close).caveats)


@FEW
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_votes_disagreement_and_error_by_pairs(seed, models):
    rng = np.random.default_rng(seed)
    top, label = rng.integers(4, size=(models, 25)), rng.integers(4, size=25)
    votes = votes_of(top, 4)
    pairs = np.mean([top[a] != top[b] for a, b in combinations(range(models), 2)], axis=0)
    np.testing.assert_allclose(disagreement(votes), pairs, atol=1e-12)
    np.testing.assert_allclose(error(votes, label), (top != label).mean(axis=0), atol=1e-12)


@FEW
@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(0, 1))
def test_the_calibration_error_bounds_disagreement_less_error(seed, models, skill):
    """|(M - 1) / M disagreement - error| <= CACE in every sample, whatever models and labels are like."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=60)
    top = np.where(rng.random((models, 60)) < skill, label, rng.integers(3, size=(models, 60)))
    votes = votes_of(top, 3)
    gap = disagreement(votes).mean() * (models - 1) / models - error(votes, label).mean()
    assert abs(gap) <= cace(votes, label) + 1e-12
    by_hand = 0.0
    for q in range(models + 1):
        here = votes == q
        by_hand += abs((here & (np.eye(3)[label] > 0)).sum() - here.sum() * q / models)
    assert cace(votes, label) == pytest.approx(by_hand / 60)


def test_the_label_exchanged_with_a_vote_is_the_mean_over_all_exchanges():
    rng = np.random.default_rng(9)
    top, label = rng.integers(3, size=(2, 4)), rng.integers(3, size=4)
    everyone, gaps, errors = np.vstack([label, top]), [], []
    for choice in np.ndindex(3, 3, 3, 3):
        swapped = everyone.copy()
        for i, j in enumerate(choice):
            swapped[[0, j], i] = swapped[[j, 0], i]
        votes = votes_of(swapped[1:], 3)
        gaps.append((disagreement(votes) - error(votes, swapped[0])).mean())
        errors.append(cace(votes, swapped[0]))
    assert np.mean(gaps) == pytest.approx(0, abs=1e-12)
    drawn = labels_exchanged(top, label, 3, np.arange(4), rng, draws=4000)
    assert drawn.gap.mean() == pytest.approx(0, abs=0.02)
    assert drawn.gap.std() == pytest.approx(np.std(gaps), rel=0.06)
    assert drawn.cace.mean() == pytest.approx(np.mean(errors), rel=0.03)


def test_the_p_value_of_disagreement_less_error_is_uniform_for_calibrated_models():
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        _, label, top = planted_predictions(rng, 60, 3, 3)
        taps = [sure(t, label=label) for t in top]
        p.append(by_name(output_disagreement(*taps, rng=rng))["disagreement less error"].p_value)
    assert 0 <= np.mean(np.array(p) < 0.1) <= 0.25
    assert 0.35 < np.mean(p) < 0.65


def test_the_ensemble_is_the_mean_of_the_softmax_outputs():
    rng = np.random.default_rng(10)
    student, *teachers = rng.standard_normal((3, 30, 4))
    found = output_disagreement(
        student,
        *teachers,
        params=OutputDisagreementParams(measure="KL", ensemble="mean of all but the first"),
    )
    mean = (softmax(teachers[0], axis=1) + softmax(teachers[1], axis=1)) / 2
    expected = rel_entr(mean, softmax(student, axis=1)).sum(axis=1).mean()
    assert found.row_names[-1] == "mean of all but the first"
    assert found.values[3, 0] == pytest.approx(expected, abs=1e-12)


def test_the_matrix_has_intervals_and_nulls():
    rng = np.random.default_rng(11)
    answers = rng.integers(4, size=(3, 200))
    answers[1] = np.where(rng.random(200) < 0.9, answers[0], answers[1])
    found = output_disagreement(*(sure(a, 4) for a in answers))
    share = (answers[0] != answers[1]).mean()
    ci = stats.binomtest(int(200 * share), 200).proportion_ci(method="wilson")
    assert (found.low[0, 1], found.high[0, 1]) == pytest.approx((ci.low, ci.high), abs=2e-3)
    shares = [np.bincount(a, minlength=4) / 200 for a in answers]
    assert found.null[0, 1] == pytest.approx(1 - shares[0] @ shares[1], abs=1e-12)
    np.testing.assert_array_equal(found.values, found.values.T)
    assert found.few[0, 1] == ((ci.high - ci.low) / 2 > 0.1)


def test_points_of_a_path_disagree_more_the_farther_apart_they_are():
    """Disagreement between the points r of a straight path between two linear classifiers, and flips of a sample."""
    rng = np.random.default_rng(12)
    x, ends = rng.standard_normal((400, 6)), rng.standard_normal((2, 6, 3))
    path = [tap(x @ ((1 - r) * ends[0] + r * ends[1]), f"r={r:g}") for r in np.linspace(0, 1, 5)]
    found = output_disagreement(*path).values
    assert (np.diff(found[0]) >= -0.03).all()
    assert found[0, 4] == pytest.approx(
        (ends_differ := (x @ ends[0]).argmax(1) != (x @ ends[1]).argmax(1)).mean()
    )
    worst = worst_disagreements(*path, params=WorstDisagreementsParams(measure=CHANGES, number=400))
    changes = np.zeros(400)
    changes[worst.groups["differ most"]] = worst.values["differ most"]
    top = np.array([p.values.argmax(axis=1) for p in path])
    np.testing.assert_array_equal(changes, (np.diff(top, axis=0) != 0).sum(axis=0))
    assert (changes[ends_differ] >= 1).all()


# ---------------------------------------------------------------------------- calibration
@pytest.mark.parametrize("binning", bins_module.BINNING)
def test_the_calibration_error_by_its_definition(binning):
    rng = np.random.default_rng(21)
    confidence = rng.beta(5, 2, 300)
    right = (rng.random(300) < confidence**2).astype(float)
    edges = (
        np.linspace(0, 1, 9) if binning == "equal width" else np.quantile(confidence, np.linspace(0, 1, 9))
    )
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, 7)
    by_hand = sum((place == b).mean() * abs(right[place == b].mean() - confidence[place == b].mean())
                  for b in range(8) if (place == b).any())  # fmt: skip
    assert bins_of(confidence, right, 8, binning).ece == pytest.approx(by_hand, abs=1e-12)


def test_equal_confidences_share_a_bin_and_one_is_inside():
    bins = bins_of(np.array([1.0, 1.0, 1.0, 0.5]), np.array([1, 1, 0, 1.0]), 10, "equal count")
    assert bins.count.tolist() == [1, 3]
    assert bins_of(np.ones(4), np.ones(4), 10, "equal width").count.tolist() == [4]


def test_the_null_of_the_calibration_error_is_that_of_a_calibrated_model():
    rng = np.random.default_rng(22)
    confidence = rng.uniform(0.2, 1, 200)
    again = [
        bins_of(confidence, (rng.random(200) < confidence).astype(float), 10, "equal width").ece
        for _ in range(400)
    ]
    bins = bins_of(confidence, np.ones(200), 10, "equal width")
    assert ece_by_chance(bins, confidence, rng, 400).mean() == pytest.approx(np.mean(again), rel=0.05)


def test_a_model_trained_to_boast_is_overconfident_and_a_modest_one_is_not():
    rng = np.random.default_rng(23)
    logits = 1.5 * rng.standard_normal((1500, 4))
    p = softmax(logits, axis=1)
    label = (rng.random(1500)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    gaps = [
        by_name(expected_calibration(tap(s * logits, label=label)))["confidence less accuracy"]
        for s in (1, 3, 0.3)
    ]
    assert gaps[0].p_value > 0.01
    assert gaps[1].value > 0.1 > -0.1 > gaps[2].value
    curve = expected_calibration(tap(logits, label=label))
    assert ((curve.low["share right"] <= curve.x) & (curve.x <= curve.high["share right"])).mean() >= 0.8
    np.testing.assert_array_equal(curve.null["share right"], curve.x)


def test_one_output_is_judged_by_its_sigmoid_against_a_column():
    from scipy.special import expit
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(24)
    logits = rng.standard_normal((400, 3))
    striped = (rng.random(400) < expit(2 * logits[:, 1])).astype(int)
    one = tap(logits, striped=striped, names=("a", "is it striped?", "c"))
    params = CalibrationParams(output="is it striped?", column="striped")
    found = expected_calibration(one, params)
    e = by_name(found)
    assert e["AUC"].value == pytest.approx(roc_auc_score(striped, logits[:, 1]), abs=1e-12)
    assert e["mean probability less mean target"].value == pytest.approx(
        (expit(logits[:, 1]) - striped).mean(), abs=1e-12
    )
    mixed = [tap(logits, striped=rng.permutation(striped), names=one.unit_names) for _ in range(40)]
    shuffled = [by_name(expected_calibration(m, params))["AUC"] for m in mixed]
    assert {a.null for a in shuffled} == {0.5}
    assert np.mean([a.value for a in shuffled]) == pytest.approx(0.5, abs=4 * 0.03 / np.sqrt(40))
    assert sum(a.null_low < a.value < a.null_high for a in shuffled) >= 34
    soft = tap(logits, striped=expit(logits[:, 1]), names=one.unit_names)
    assert by_name(expected_calibration(soft, params))["expected calibration error"].value < 1e-12
    with pytest.raises(NotFound, match="no unit 'd'"):
        expected_calibration(one, CalibrationParams(output="d", column="striped"))
    with pytest.raises(InputError, match="outside 0 to 1"):
        expected_calibration(
            tap(logits, striped=striped * 3), CalibrationParams(output="1", column="striped")
        )


def test_tokens_are_averaged_and_unlabelled_samples_left_out():
    rng = np.random.default_rng(25)
    x = rng.standard_normal((60, 3))
    label = rng.integers(3, size=30)
    label[:5] = -1
    found = expected_calibration(tap(x, label=label, layout=Layout(np.arange(31) * 2)))
    p = softmax(x, axis=1).reshape(30, 2, 3).mean(axis=1)[5:]
    assert by_name(found)["accuracy"].value == pytest.approx((p.argmax(axis=1) == label[5:]).mean())
    assert any("5 sample(s) without a label" in c for c in found.caveats)


# ---------------------------------------------------------------------------- refusals
def test_refusals():
    x = np.random.default_rng(26).standard_normal((20, 3))
    with pytest.raises(ParameterError, match="1 tap"):
        output_disagreement(x)
    with pytest.raises(InputError, match="3 classes and array has 2"):
        output_disagreement(x, x[:, :2])
    with pytest.raises(InputError, match="one unit"):
        output_disagreement(x[:, :1], x[:, :1])
    with pytest.raises(NotEnoughData):
        output_disagreement(x[:3], x[:3])
    with pytest.raises(InputError, match="equal"):
        output_disagreement(x, np.ones((20, 3)))
    with pytest.raises(NotEnoughData, match="9 sample"):
        expected_calibration(tap(x[:9], label=np.zeros(9, int)))


def test_rows_with_nan_are_left_out_on_both_sides(rng):
    x, y = rng.standard_normal((2, 40, 3))
    x[3], y[[5, 6]] = np.nan, np.inf
    stay = np.setdiff1d(np.arange(40), [3, 5, 6])
    found = output_disagreement(x, y)
    assert found.values[0, 1] == pytest.approx((x[stay].argmax(1) != y[stay].argmax(1)).mean())
    data = model_outputs([tap(x), tap(y)], "auto", rng, maximum=100, progress=no_progress)
    np.testing.assert_array_equal(data.rows, stay)


def test_tied_answers_are_counted(rng):
    x = rng.standard_normal((20, 3))
    x[:4] = 1.0
    found = output_disagreement(x, np.where(np.arange(20)[:, None] < 4, [1.0, 0.0, 0.0], x))
    assert any("In 4 answer(s)" in c for c in found.caveats)


# ---------------------------------------------------------------------------- the checks can fail
def reverse_kl(a, b):
    return KL(b, a)


def with_replacement(votes):
    """Disagreement that counts a model against itself."""
    m = votes.sum(axis=1)
    return 1 - (votes * votes).sum(axis=1) / (m * m)


def uncentred(values, of):
    counts = np.bincount(of)
    return float((np.bincount(of, values) ** 2 / counts).sum() / max(values @ values, 1e-300))


def by_number(logs, measure):
    return np.arange(len(logs[0])) * 1.0


def never_above_zero(*_):
    return np.zeros(9)


def no_better_than_chance(*_):
    return np.array([[0.5], [0.5]])


def without_exponential(x, *_):
    return np.log(np.abs(x) / np.abs(x).sum(axis=1, keepdims=True))


KL = divergences.kl
REPORT, CASES = "analysis.compute.outputs.disagreement_report", "analysis.compute.outputs.calibration_cases"


@pytest.mark.parametrize(
    ("module", "change"),
    [
        (matrix_module, lambda patch: patch.setitem(divergences.BY_ROW, "KL", reverse_kl)),
        (matrix_module, lambda patch: patch.setitem(divergences.BY_ROW, "JS", lambda a, b: KL(a, b))),
        (matrix_module, lambda patch: patch.setattr(f"{REPORT}.disagreement", with_replacement)),
        (matrix_module, lambda patch: patch.setattr(f"{REPORT}.error", lambda v, y: 0 * y + 0.3)),
        (by_module, lambda patch: patch.setitem(divergences.BY_ROW, "KL", reverse_kl)),
        (by_module, lambda patch: patch.setattr(by_module, "explained", uncentred)),
        (by_module, lambda patch: patch.setattr(by_module, "add_one_p", lambda v, null: 0.001)),
        (worst_module, lambda patch: patch.setattr(worst_module, "divergence", by_number)),
        (worst_module, lambda patch: patch.setitem(divergences.BY_ROW, "JS", lambda a, b: flips(a, b) + 0.1)),
        (
            calibration_module,
            lambda patch: patch.setattr(calibration_module, "ece_by_chance", never_above_zero),
        ),
        (
            calibration_module,
            lambda patch: patch.setattr(calibration_module, "class_auroc", no_better_than_chance),
        ),
        (calibration_module, lambda patch: patch.setattr(f"{CASES}.log_probabilities", without_exponential)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, change):
    check = module.METHODS[0].check
    change(monkeypatch)
    assert not all(line.passed for line in check())
