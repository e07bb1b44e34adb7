"""Crops and their labels: counts by hand, SciPy, all exchanges of small cases, coverage under clustering, bad input."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy, spearmanr

from analysis.activations import ArrayActivations, Layout
from analysis.compute.groups import within_groups
from analysis.compute.groups.within_groups import spearman_within
from analysis.compute.outputs import crop_labelling, crop_reading, crop_report
from analysis.compute.outputs.crop_labelling import (
    entropies,
    entropy_by_chance,
    kinds_by_chance,
    kinds_of,
    labels_used,
    softened,
)
from analysis.compute.statistics import clustered_means
from analysis.compute.statistics.clustered_means import (
    clustered_error,
    clustered_mean_interval,
    clustered_share_interval,
)
from analysis.compute.statistics.nulls import wilson
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.populations import crop_labels as module
from analysis.methods.populations.crop_labels import CropLabelsParams, crop_labels

FEW = settings(max_examples=15, deadline=None)


def crops(n_images=12, each=6, classes=5, seed=0, **changed):
    """Logits of crops and their columns: the true class is surer the larger the crop, with noise."""
    rng = np.random.default_rng(seed)
    n = n_images * each
    area = rng.uniform(0.05, 1.0, n)
    label = np.repeat(rng.integers(classes, size=n_images), each)
    logits = rng.standard_normal((n, classes))
    logits[np.arange(n), label] += 4 * area
    columns = {"image": np.repeat([f"i{k}" for k in range(n_images)], each), "area": area, "label": label}
    return logits, {**columns, **changed}


def run(x, columns, layout=None, names=(), **params):
    tap = ArrayActivations(x, samples=columns, layout=layout, unit_names=names)
    return crop_labels(tap, CropLabelsParams(**params))


def by_name(result):
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- the labels
@FEW
@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_labels_used_sum_to_1_and_are_the_teachers_from_the_lower_threshold_on(seed, one, other, smoothing):
    rng = np.random.default_rng(seed)
    p, label = softmax(4 * rng.standard_normal((40, 6)), axis=1), rng.integers(6, size=40)
    confidence = p[np.arange(40), label]
    kind = kinds_of(confidence, min(one, other), max(one, other))
    used = labels_used(p, label, kind, smoothing)
    np.testing.assert_allclose(used.sum(axis=1), 1.0, atol=1e-12)
    soft = confidence >= min(one, other)
    np.testing.assert_array_equal(used[soft], p[soft])
    for i in np.flatnonzero(~soft):
        by_hand = (1 - smoothing) * np.eye(6)[label[i]] + smoothing / 6
        np.testing.assert_allclose(used[i], by_hand, atol=1e-15)


def test_the_ends_of_smoothing_and_of_entropy():
    np.testing.assert_array_equal(softened(np.array([2]), 4, 0.0), [[0, 0, 1, 0]])
    np.testing.assert_allclose(softened(np.array([2]), 4, 1.0), np.full((1, 4), 0.25))
    p = np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(entropies(p), [0, np.log(4), np.log(2)], atol=1e-15)
    q = np.random.default_rng(0).dirichlet(np.ones(7), size=20)
    np.testing.assert_allclose(entropies(q), entropy(q, axis=1), atol=1e-12)


def test_a_confidence_on_a_threshold_belongs_to_the_surer_kind():
    assert kinds_of(np.array([0.0, 0.2, 0.5, 0.6, 1.0]), 0.2, 0.6).tolist() == [2, 1, 1, 0, 0]
    assert kinds_of(np.array([0.0, 1.0]), 0.0, 0.0).tolist() == [0, 0]


@pytest.mark.parametrize("lower", [0.0, 0.3, 0.5])
def test_nulls_are_the_means_over_all_exchanges_of_labels(lower):
    rng = np.random.default_rng(1)
    p, label = rng.dirichlet(np.ones(3), size=5), np.array([0, 0, 2, 1, 2])
    shares, used = [], []
    for order in permutations(range(5)):
        mine = label[list(order)]
        kind = kinds_of(p[np.arange(5), mine], lower, 0.6)
        shares.append(np.bincount(kind, minlength=3) / 5)
        used.append(entropies(labels_used(p, mine, kind, 0.2)).mean())
    np.testing.assert_allclose(kinds_by_chance(p, label, lower, 0.6), np.mean(shares, axis=0), atol=1e-12)
    assert entropy_by_chance(p, label, entropies(p), lower, 0.2) == pytest.approx(np.mean(used), abs=1e-12)


# ---------------------------------------------------------------------------- within images
@FEW
@given(st.integers(0, 10**6))
def test_correlation_within_groups_is_scipys_in_each_group(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 9, size=6)
    of = rng.permutation(np.repeat(np.arange(6), sizes))
    x, y = rng.integers(4, size=(2, len(of))).astype(float)  # ties
    x[of == 0] = 1.0  # a group that says nothing
    found = spearman_within(x, y, of, rng)
    values, weights = [], []
    for g in range(6):
        a, b = x[of == g], y[of == g]
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            values.append(spearmanr(a, b).statistic)
            weights.append(len(a) - 1)
    if not values:
        assert found is None
        return
    assert found.value == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    assert found.skipped == 6 - len(values)


def test_exchanges_stay_inside_groups_and_have_the_exact_mean_and_variance():
    """All exchanges of two groups, of 4 and 3; then the spread of the seeded ones."""
    rng = np.random.default_rng(2)
    of = np.array([0, 1, 0, 0, 1, 1, 0])
    x, y = rng.standard_normal((2, 7))
    y[2] = y[0]  # a tie
    every = []
    for a, b in product(permutations(range(4)), permutations(range(3))):
        turned = y.copy()
        turned[of == 0], turned[of == 1] = y[of == 0][list(a)], y[of == 1][list(b)]
        rho = [spearmanr(x[of == g], turned[of == g]).statistic for g in (0, 1)]
        every.append(np.average(rho, weights=[3, 2]))
    assert np.mean(every) == pytest.approx(0.0, abs=1e-12)
    assert np.var(every) == pytest.approx(1 / 5, abs=1e-12)
    found = spearman_within(x, y, of, rng)
    exact = np.mean(np.abs(every) >= abs(found.value) - 1e-9)
    assert found.p == pytest.approx(exact, abs=0.06)  # 999 draws: four standard errors
    assert found.low >= min(every) - 1e-12
    assert found.high <= max(every) + 1e-12


def test_differences_between_images_are_no_correlation_within():
    """Images with large crops are surer altogether, and inside an image nothing goes with the area: a plain correlation
    is high, the one within is not."""
    rng = np.random.default_rng(3)
    of = np.repeat(np.arange(40), 8)
    shift = rng.uniform(0, 5, 40)[of]
    x, y = shift + rng.uniform(0, 1, 320), shift + rng.uniform(0, 1, 320)
    assert spearmanr(x, y).statistic > 0.8
    found = spearman_within(x, y, of, rng)
    assert abs(found.value) < 0.2
    assert found.p > 0.01


def test_p_of_no_relation_is_uniform():
    rng = np.random.default_rng(4)
    of = np.repeat(np.arange(5), 4)
    p = np.array([spearman_within(*rng.standard_normal((2, 20)), of, rng).p for _ in range(150)])
    assert abs((p < 0.5).mean() - 0.5) < 0.16  # four standard errors
    assert (p < 0.05).mean() < 0.13


# ---------------------------------------------------------------------------- intervals over images
def test_clustered_error_is_the_jackknife_over_clusters():
    rng = np.random.default_rng(5)
    of, values = np.array([0] * 5 + [1] * 2 + [2] * 7 + [3] * 1), rng.standard_normal(15)
    without = np.array([values[of != g].mean() for g in range(4)])
    by_hand = np.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum())
    assert clustered_error(values, of) == (pytest.approx(by_hand), 4)
    ends = clustered_mean_interval(values, of, "images")
    assert ends["low"] < values.mean() < ends["high"]
    assert "4 images" in ends["interval"]


def test_single_crops_give_wilsons_interval_and_copies_of_crops_change_nothing():
    rng = np.random.default_rng(6)
    values = (rng.random(400) < 0.3).astype(float)
    alone = clustered_share_interval(values, np.arange(400), "crops")
    low, high = wilson(values.sum(), 400)
    assert alone["low"] == pytest.approx(low, abs=2e-3)
    assert alone["high"] == pytest.approx(high, abs=2e-3)
    copied = clustered_share_interval(np.repeat(values, 9), np.repeat(np.arange(400), 9), "images")
    assert copied["low"] == pytest.approx(alone["low"], abs=1e-12)
    assert copied["high"] == pytest.approx(alone["high"], abs=1e-12)


def test_intervals_cover_where_crops_of_an_image_are_alike():
    """Each image has its own share (Beta(1, 1)); 95 % asked for. Wilson's over crops as draws does far worse."""
    rng = np.random.default_rng(7)
    of, hit, naive = np.repeat(np.arange(25), 20), 0, 0
    for _ in range(300):
        values = (rng.random(500) < rng.random(25)[of]).astype(float)
        ends = clustered_share_interval(values, of, "images")
        low, high = wilson(values.sum(), 500)
        hit += ends["low"] <= 0.5 <= ends["high"]
        naive += low <= 0.5 <= high
    assert hit / 300 > 0.9
    assert naive / 300 < 0.75


def test_all_crops_of_one_kind_have_an_interval_by_images_and_two_images_none():
    ones = np.ones(60)
    ends = clustered_share_interval(ones, np.repeat(np.arange(6), 10), "images")
    assert ends["high"] == 1.0
    assert ends["low"] < wilson(6, 6)[0] + 1e-9  # six draws, and t is wider than the normal
    assert clustered_share_interval(ones, np.repeat([0, 1], 30), "images") == {}
    assert clustered_mean_interval(ones, np.repeat([0, 1], 30), "images") == {}


# ---------------------------------------------------------------------------- the method
@pytest.mark.parametrize("confidence", module.CONFIDENCES)
def test_against_a_second_implementation(confidence):
    x, columns = crops()
    found = run(x, columns, confidence=confidence, lower=0.3, upper=0.7, smoothing=0.2)
    p = softmax(x, axis=1)
    true = p[np.arange(72), columns["label"]]
    c = true if confidence == "of the true label" else p.max(axis=1)
    words = ["easy positive" if v >= 0.7 else "hard positive" if v >= 0.3 else "hard negative" for v in c]
    np.testing.assert_array_equal(found.columns["kind"], words)
    np.testing.assert_allclose(found.positions, np.column_stack([columns["area"], c]), atol=1e-12)
    value = by_name(found)
    for name in set(words):
        e = value[f"share of {name}s"]
        assert e.value == pytest.approx(np.mean([w == name for w in words]))
        assert e.low < e.value < e.high
        assert (e.null is None) == (confidence == "largest")
    used = [
        entropy(p[i]) if c[i] >= 0.3 else entropy(0.8 * np.eye(5)[columns["label"][i]] + 0.04)
        for i in range(72)
    ]
    np.testing.assert_allclose(found.columns["entropy of the label used"], used, atol=1e-9)
    assert value["mean entropy of the labels used"].value == pytest.approx(np.mean(used))
    assert value["mean entropy of the teacher's labels"].value == pytest.approx(entropy(p, axis=1).mean())
    right = value["share of crops whose true class the teacher names"]
    assert right.value == pytest.approx((p.argmax(axis=1) == columns["label"]).mean())


def test_confidence_that_depends_on_the_area_alone():
    rng = np.random.default_rng(8)
    area = rng.permuted(np.tile(np.arange(1, 11) / 10, (15, 1)), axis=1).ravel()
    image, label = np.repeat(np.arange(15), 10), np.repeat(np.arange(15) % 3, 10)
    p = np.repeat((1 - area)[:, None] / 2, 3, axis=1)
    p[np.arange(150), label] = area
    found = by_name(run(p, {"image": image, "area": area, "label": label}, lower=0.35, upper=0.75))
    assert [found[f"share of {k}s"].value for k in crop_labelling.KIND_NAMES] == pytest.approx(
        [0.3, 0.4, 0.3]
    )
    rho = found[crop_report.CORRELATION]
    assert rho.value == pytest.approx(1.0)
    assert rho.p_value == pytest.approx(0.001)


def test_thresholds_of_0_give_every_crop_its_soft_label_and_of_1_hardly_any():
    x, columns = crops()
    free = run(x, columns, lower=0.0, upper=0.0)
    assert set(free.columns["kind"]) == {"easy positive"}
    assert all(text.startswith("teacher: ") for text in free.columns["label used"])
    own = entropy(softmax(x, axis=1), axis=1)
    np.testing.assert_allclose(free.columns["entropy of the label used"], own, atol=1e-9)
    strict = run(x, columns, lower=1.0, upper=1.0)
    assert all(text.startswith("softened truth: ") for text in strict.columns["label used"])
    names = [text.split(": ")[1].split()[0] for text in strict.columns["label used"]]
    assert names == columns["label"].astype(str).tolist()


@FEW
@given(st.integers(0, 10**6))
def test_invariances(seed):
    """Numbers added to a crop's logits, order of classes and of crops; of the correlation any rising map of area."""
    rng = np.random.default_rng(seed)
    x, columns = crops(6, 4, seed=seed)
    plain = run(x, columns)
    order, turn = rng.permutation(5), rng.permutation(24)
    same = [
        run(x + 9 * rng.standard_normal((24, 1)), columns),
        run(x[:, order], {**columns, "label": np.argsort(order)[columns["label"]]}),
        run(x[turn], {k: v[turn] for k, v in columns.items()}),
        run(softmax(x, axis=1), columns),
    ]
    for other in same:
        for a, b in zip(plain.estimates[:6], other.estimates[:6], strict=True):
            assert b.value == pytest.approx(a.value, abs=1e-9)
        assert other.estimates[6].value == pytest.approx(plain.estimates[6].value, abs=1e-9)
    squared = run(x, {**columns, "area": columns["area"] ** 2})
    assert squared.estimates[6].value == pytest.approx(plain.estimates[6].value, abs=1e-12)
    colder = run(3 * x, columns)  # not what it ignores
    assert colder.estimates[5].value < plain.estimates[5].value


def test_points_are_rows_of_the_tap_whatever_is_left_out():
    x, columns = crops()
    x[[3, 40]] = np.nan
    columns["label"][5] = -1
    columns["area"][6] = np.nan
    found = run(x, columns)
    stay = np.delete(np.arange(72), [3, 5, 6, 40])
    np.testing.assert_array_equal(found.rows, stay)
    np.testing.assert_array_equal(found.columns["image"], columns["image"][stay])
    np.testing.assert_allclose(found.positions[:, 0], columns["area"][stay])
    assert found.of == "rows"
    assert any("2 of 72 rows hold NaN" in c or "NaN or infinity" in c for c in found.caveats)
    assert any("2 crop(s) without" in c for c in found.caveats)


def test_above_the_most_whole_images_are_taken():
    x, columns = crops(30, 6)
    found = run(x, columns, maximum_samples=50)
    assert len(found.rows) == 48  # eight images of six crops
    assert set(np.unique(found.columns["image"], return_counts=True)[1]) == {6}
    assert any("8 of 30 images used, 48 of 180 crops" in c for c in found.caveats)


def test_tokens_of_a_crop_are_averaged_and_points_are_samples():
    x, columns = crops()
    layout = Layout(np.arange(73) * 2)
    found = run(np.repeat(x, 2, axis=0), columns, layout=layout)
    assert found.of == "samples"
    np.testing.assert_allclose(found.positions, run(x, columns).positions)


def test_labels_by_name_and_columns_of_other_names():
    x, columns = crops()
    names = tuple("abcde")
    other = {"origin": columns["image"], "share": columns["area"], "truth": np.array(names)[columns["label"]]}
    found = run(x, other, names=names, image="origin", area="share", label="truth")
    assert [e.value for e in found.estimates] == pytest.approx([e.value for e in run(x, columns).estimates])
    np.testing.assert_array_equal(found.columns["true class"], other["truth"])


def test_without_area_or_image_what_is_missing_is_said():
    x, columns = crops()
    found = run(x, {"label": columns["label"]})
    assert "entropy" in found.axes[0]
    assert crop_report.CORRELATION not in by_name(found)
    assert any("No column holds the area" in c for c in found.caveats)
    assert any("count as independent" in c for c in found.caveats)
    assert "crops" in found.estimates[0].interval
    again = run(x, {"label": columns["label"], "id": np.repeat("same", 72)})  # ids are no images
    assert again.estimates[0].low == found.estimates[0].low
    single = run(x, {**columns, "image": np.arange(72)})  # found by its name: no refusal, but no correlation
    assert crop_report.CORRELATION not in by_name(single)
    assert any("an image of its own" in c for c in single.caveats)


def test_a_sure_and_wrong_teacher_is_told_where_the_largest_probability_counts():
    columns = crops()[1]
    wrong = 30 * np.eye(5)[(columns["label"] + 1) % 5]
    found = run(wrong, columns, confidence="largest")
    assert by_name(found)["share of easy positives"].value == 1.0
    assert any(c.startswith("72 crop(s) keep a soft label whose first class is not") for c in found.caveats)
    assert by_name(run(wrong, columns))["share of hard negatives"].value == 1.0


# ---------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("column", ["image", "area", "label"])
def test_a_missing_column_is_refused(column):
    x, columns = crops()
    with pytest.raises(NotFound, match="no sample column 'other'"):
        run(x, columns, **{column: "other"})


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.0001, 224.0, np.inf])
def test_areas_outside_the_image_are_refused(bad):
    x, columns = crops()
    columns["area"][7] = bad
    with pytest.raises(InputError, match="above 0 and at most 1"):
        run(x, columns)


def test_bad_input():
    x, columns = crops()
    with pytest.raises(InputError, match="no two crops"):
        run(x, {**columns, "image": np.arange(72)}, image="image")
    with pytest.raises(InputError, match="'ant'"):
        run(x, {**columns, "label": np.array(["ant"] * 72)})
    with pytest.raises(InputError, match="names of the 5 classes"):
        run(x, {**columns, "label": columns["label"] + 3})
    with pytest.raises(InputError, match="column of numbers"):
        run(x, {**columns, "area": np.array(["large"] * 72)})
    with pytest.raises(NotFound, match="has a class"):
        run(x, {**columns, "label": np.full(72, -1)})
    with pytest.raises(ParameterError, match="upper threshold"):
        run(x, columns, lower=0.5, upper=0.4)
    with pytest.raises(InputError, match="one unit"):
        run(x[:, :1], columns)
    with pytest.raises(NotEnoughData, match="3 crop"):
        run(x[:3], {k: v[:3] for k, v in columns.items()})
    with pytest.raises(NotEnoughData, match="0 crop"):
        run(x * np.nan, columns)


@pytest.mark.parametrize("cut", [0.9, 1.2])
def test_soft_labels_that_do_not_sum_to_1_are_refused(cut):
    x, columns = crops()
    p = softmax(x, axis=1)
    p[4] *= cut if cut < 1 else 1 / p[4].max()
    with pytest.raises(InputError, match="rows sum from"):
        run(p, columns)
    assert run(p, columns, outputs="logits").positions.shape == (72, 2)
    run(softmax(x, axis=1).astype(np.float16), columns)  # half precision still sums to 1


def test_crops_of_one_size_say_nothing_of_the_area():
    x, columns = crops()
    found = run(x, {**columns, "area": np.full(72, 0.25)})
    assert crop_report.CORRELATION not in by_name(found)
    assert any("No image has two crops" in c for c in found.caveats)


# ---------------------------------------------------------------------------- the check can fail
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "kinds_of", lambda c, lower, upper: np.where(c >= upper, 0, 1)),
        (module, "labels_used", lambda p, label, kind, e: 0.999 * labels_used(p, label, kind, e)),
        (module, "labels_used", lambda p, label, kind, e: p),
        (within_groups, "_ranks_within", lambda v, of: np.random.default_rng(0).standard_normal(len(v))),
        (within_groups, "add_one_p", lambda seen, drawn: 0.0),
        (crop_labelling, "softened", lambda label, classes, e: np.eye(classes)[label]),
        (crop_reading, "log_probabilities", lambda x, *_: x - x.max(axis=1, keepdims=True)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())


def test_the_coverage_test_can_fail(monkeypatch):
    monkeypatch.setattr(
        clustered_means, "clustered_error", lambda v, of, w=None: (v.std() / np.sqrt(len(v)), 25)
    )
    with pytest.raises(AssertionError):
        test_intervals_cover_where_crops_of_an_image_are_alike()
