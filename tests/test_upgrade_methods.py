"""What an upgrade breaks, how a gallery is filled anew, and pairs that keep their distance: brute force, planted
versions, the ends of the curves, exact nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations
from analysis.compute.retrieval import mixed_gallery, pair_inequalities, upgrade_breaks
from analysis.compute.retrieval.gallery_search import MEASURES, RECALL, Task, scores
from analysis.compute.retrieval.mixed_gallery import mixed_scores, orders_of
from analysis.compute.retrieval.model_versions import ORTHOGONAL
from analysis.compute.retrieval.pair_inequalities import pair_inequalities as pairs_of
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.errors import NotEnoughData, ParameterError
from analysis.methods.retrieval import backfill_curve as backfill
from analysis.methods.retrieval import compatibility_inequalities as inequalities
from analysis.methods.retrieval import upgrade_regressions as regressions
from analysis.methods.retrieval.backfill_curve import NEW, OLD, BackfillParams, backfill_curve
from analysis.methods.retrieval.compatibility_inequalities import InequalityParams, compatibility_inequalities
from analysis.methods.retrieval.upgrade_matrix import UpgradeParams, upgrade_matrix
from analysis.methods.retrieval.upgrade_regressions import RegressionParams, upgrade_regressions

FEW = settings(max_examples=15, deadline=None)
METHODS = (
    (upgrade_regressions, RegressionParams),
    (backfill_curve, BackfillParams),
    (compatibility_inequalities, InequalityParams),
)


def haar(d, rng):
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def classes(rng, k=8, each=12, d=16, noise=0.8):
    label = np.repeat(np.arange(k), each)
    return rng.standard_normal((k, d))[label] + noise * rng.standard_normal((k * each, d)), label


def taps(label, *versions):
    return [
        ArrayActivations(x, name=n, samples={"label": label})
        for x, n in zip(versions, ("old", "new"), strict=True)
    ]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def nearest_right(queries, gallery, label):
    near = unit(queries) @ unit(gallery).T
    np.fill_diagonal(near, -np.inf)
    return label[near.argmax(axis=1)] == label


# ---------------------------------------------------------------------------- what breaks
def test_flips_are_counted_one_by_one(rng):
    x, label = classes(rng)
    y = x + 0.9 * rng.standard_normal(x.shape)
    before, after = nearest_right(x, x, label), nearest_right(y, x, label)
    again = nearest_right(y, y, label)
    found = upgrade_regressions(*taps(label, x, y))
    broken, mended, gain = found.estimates[:3]
    assert broken.value == (before & ~after).mean()
    assert mended.value == (after & ~before).mean()
    assert gain.value == pytest.approx(after.mean() - before.mean(), abs=1e-12)
    assert broken.null == pytest.approx(before.mean() * (1 - after.mean()))
    for c, share in zip(found.columns["class"], found.columns["broken"], strict=True):
        mine = label == int(c)
        assert share == (before & ~after)[mine].mean()
    anew = upgrade_regressions(*taps(label, x, y), params=RegressionParams(gallery=regressions.REINDEXED))
    assert anew.estimates[0].value == (before & ~again).mean()


def test_queries_are_listed_with_what_became_of_them(rng):
    x, label = classes(rng)
    y = x + 0.9 * rng.standard_normal(x.shape)
    found = upgrade_regressions(
        *taps(label, x, y), params=RegressionParams(lines=regressions.QUERIES)
    ).columns
    before, after = nearest_right(x, x, label), nearest_right(y, x, label)
    words = {(True, False): "broken", (False, True): "mended", (True, True): "right both times",
             (False, False): "wrong both times"}  # fmt: skip
    expected = {str(i): words[a, b] for i, (a, b) in enumerate(zip(before, after, strict=True))}
    assert dict(zip(found["query"], found["change"], strict=True)) == expected
    count = (before & ~after).sum()
    assert count > 0
    assert (found["change"][:count] == "broken").all()
    assert (found["margin_before"][:count] > 0).all()
    assert (found["margin_after"][:count] <= 0).all()


def test_equal_versions_break_nothing_and_do_not_drift(rng):
    x, label = classes(rng)
    found = upgrade_regressions(*taps(label, x, x))
    assert [e.value for e in found.estimates[:4]] == [0, 0, 0, 0]
    assert found.estimates[2].p_value == 1
    assert found.estimates[2].low < 0 < found.estimates[2].high  # no change seen is not no change
    assert (found.columns["drift"] == 0).all()
    assert "No class loses a query" in found.reading


def test_a_rotation_breaks_the_old_gallery_and_not_the_new_one(rng):
    x, label = classes(rng, noise=0.4)
    y = x @ haar(16, rng)
    lost = upgrade_regressions(*taps(label, x, y))
    kept = upgrade_regressions(*taps(label, x, y), params=RegressionParams(gallery=regressions.REINDEXED))
    back = upgrade_regressions(*taps(label, x, y), params=RegressionParams(alignment=ORTHOGONAL))
    assert lost.estimates[0].value > 0.5
    assert kept.estimates[0].value == back.estimates[0].value == 0
    assert back.columns["drift"].max() < 1e-12
    assert lost.columns["drift"].mean() > 0.5
    simplex = [e.value for e in kept.estimates if "simplex" in e.name]
    assert simplex[0] == pytest.approx(simplex[1], abs=1e-12)  # rotating moves no cosine


def test_class_means_on_a_simplex_are_recognised(rng):
    label = np.repeat(np.arange(6), 10)
    x = np.eye(6)[label] + 1e-9 * rng.standard_normal((60, 6))
    found = upgrade_regressions(*taps(label, x, 3 * x))
    simplex = [e for e in found.estimates if "simplex" in e.name]
    assert len(simplex) == 2
    for e in simplex:
        assert e.value < 1e-8
        assert e.null_low > 0.1  # random classes of the same sizes are not even
    assert "1/5" in simplex[0].estimator


def test_a_false_alarm_of_a_class_is_rare():
    """Sixty upgrades to an equally good model: few classes change beyond chance."""
    marked = total = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        label = np.repeat(np.arange(6), 20)
        middle = rng.standard_normal((6, 12))[label]
        x, y = (middle + 1.2 * rng.standard_normal((120, 12)) for _ in range(2))
        found = upgrade_regressions(
            *taps(label, x, y), params=RegressionParams(gallery=regressions.REINDEXED)
        )
        marked += (found.columns["q_value"] < 0.05).sum()
        total += 6
    assert marked <= 0.06 * total


# ---------------------------------------------------------------------------- backfill
@FEW
@given(st.integers(0, 10**6), st.sampled_from(MEASURES))
def test_a_mixed_gallery_is_the_gallery_mixed_by_hand(seed, measure):
    rng = np.random.default_rng(seed)
    x, label = classes(rng, k=4, each=6, d=6)
    x, y = unit(x), unit(x + rng.standard_normal(x.shape))
    every = np.arange(24)
    task = Task(every, every, label)
    places, counts = orders_of(label, 3, False, rng), np.array([0, 7, 24])
    found = mixed_scores(task, (y, x), (y, y), places, counts, measure)
    for i, count in enumerate(counts):
        expected = [scores(task, y, np.where(p[:, None] < count, y, x), measure) for p in places]
        np.testing.assert_allclose(found[i], np.mean(expected, axis=0), atol=1e-12)


@pytest.mark.parametrize("by_class", [False, True])
def test_orders_are_permutations(by_class, rng):
    of = np.repeat(np.arange(4), 5)
    for order in orders_of(of, 6, by_class, rng):
        assert sorted(order) == list(range(20))
        if by_class:
            assert all(np.ptp(order[of == c]) == 4 for c in range(4))
    assert len({tuple(o) for o in orders_of(of, 6, by_class, rng)}) == 6


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("alignment", [backfill.AS_THEY_ARE, ORTHOGONAL])
def test_the_ends_of_the_curve_are_cells_of_the_matrix(measure, alignment, rng):
    x, label = classes(rng, each=20)
    y = x @ haar(16, rng) + 0.4 * rng.standard_normal(x.shape)
    more = {"measure": measure, "alignment": alignment}
    curve = backfill_curve(*taps(label, x, y), params=BackfillParams(**more, steps=4))
    cells = upgrade_matrix(*taps(label, x, y), params=UpgradeParams(**more)).values
    assert curve.series[NEW][0] == pytest.approx(cells[1, 0], abs=1e-12)
    assert curve.series[NEW][-1] == pytest.approx(cells[1, 1], abs=1e-12)
    np.testing.assert_allclose(curve.series[OLD], cells[0, 0], atol=1e-12)
    np.testing.assert_allclose(curve.null[NEW], curve.estimates[0].null)
    for name in (NEW, OLD):
        assert (curve.low[name] <= curve.series[name]).all()
        assert (curve.series[name] <= curve.high[name]).all()


def test_the_share_from_which_on_the_new_model_is_as_good(rng):
    values = np.array([0.2, 0.6, 0.4, 0.5, 0.9])
    shares = np.linspace(0, 1, 5)
    assert backfill._overtakes(values, 0.5, shares) == 0.75  # 0.6 does not last
    assert backfill._overtakes(values, 0.1, shares) == 0
    assert backfill._overtakes(values, 0.95, shares) is None
    x, label = classes(rng, noise=0.5)
    found = backfill_curve(*taps(label, x, rng.standard_normal(x.shape)))
    assert "never do as well" in found.reading
    assert not any("as well as the old model" in e.name for e in found.estimates)


def test_equal_versions_make_a_flat_curve(rng):
    x, label = classes(rng)
    found = backfill_curve(*taps(label, x, x), params=BackfillParams(order=backfill.BY_CLASS))
    assert np.ptp(found.series[NEW]) == 0
    assert found.series[NEW][0] == found.series[OLD][0]
    assert found.estimates[4].value == 0


# ---------------------------------------------------------------------------- inequalities
def brute_pairs(old, new, label):
    """Shares by class of i and of j, and the mean over every sample that could stand in the place of new_i."""
    a, b = unit(old), unit(new)
    before, after = a @ a.T, b @ a.T  # i by lines
    n, k = len(label), label.max() + 1
    hold, chance, count = np.zeros((3, k, k))
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            cell = label[i], label[j]
            others = np.delete(after[:, j], j)
            if label[i] == label[j]:
                good, luck = after[i, j] >= before[i, j] - 1e-9, (others >= before[i, j] - 1e-9).mean()
            else:
                good, luck = after[i, j] <= before[i, j] + 1e-9, (others <= before[i, j] + 1e-9).mean()
            hold[cell] += good
            chance[cell] += luck
            count[cell] += 1
    return hold / count, chance / count


def test_pairs_are_those_of_the_definition_and_so_is_their_null(rng):
    x, label = classes(rng, k=4, each=7, d=5)
    y = x + 0.5 * rng.standard_normal(x.shape)
    found = compatibility_inequalities(*taps(label, x, y))
    hold, null = brute_pairs(x, y, label)
    np.testing.assert_allclose(found.values, hold, atol=1e-12)
    np.testing.assert_allclose(found.null, null, atol=1e-12)


def test_leaving_groups_out_is_leaving_their_pairs_out(rng, monkeypatch):
    monkeypatch.setattr(pair_inequalities, "BLOCK_BYTES", 1000)
    x, label = classes(rng, k=3, each=9, d=5)
    x, y = unit(x), unit(x + 0.5 * rng.standard_normal(x.shape))
    group = groups_of(27, rng)
    whole = pairs_of(x, y, label, group)
    for g in (0, 4):
        stay = group != g
        part = pairs_of(x[stay], y[stay], label[stay], np.zeros(stay.sum(), int))
        for kind in (0, 1):
            assert whole.series(kind)[1 + g] == pytest.approx(part.series(kind)[0], abs=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_equal_versions_satisfy_every_inequality_with_equality(metric, rng):
    x, label = classes(rng)
    found = compatibility_inequalities(*taps(label, x, x), params=InequalityParams(metric=metric))
    assert (found.values == 1).all()
    q = x @ haar(16, rng)
    back = compatibility_inequalities(
        *taps(label, x, q), params=InequalityParams(metric=metric, alignment=ORTHOGONAL)
    )
    assert (back.values == 1).all()


def test_an_unrelated_version_lies_on_the_null(rng):
    x, label = classes(rng, noise=0.4)
    for _ in range(5):
        same, other = compatibility_inequalities(*taps(label, x, rng.standard_normal(x.shape))).estimates
        assert same.value == pytest.approx(same.null, abs=0.03)
        assert other.value == pytest.approx(other.null, abs=0.05)


# ---------------------------------------------------------------------------- bad input, for all three
@pytest.mark.parametrize(("method", "params"), METHODS, ids=lambda m: getattr(m, "__name__", ""))
def test_other_than_two_taps_are_refused(method, params, rng):
    x, label = classes(rng)
    for versions in ((x,), (x, x, x)):
        given = [ArrayActivations(v, samples={"label": label}) for v in versions]
        with pytest.raises(ParameterError, match="old version and the new one"):
            method(*given)


@pytest.mark.parametrize(("method", "params"), METHODS, ids=lambda m: getattr(m, "__name__", ""))
def test_more_units_than_samples_to_fit_on_are_refused(method, params, rng):
    x, label = classes(rng, k=4, each=8, d=50)
    with pytest.raises(NotEnoughData, match="fit noise"):
        method(*taps(label, x, x), params=params(alignment=ORTHOGONAL))


@pytest.mark.parametrize(("method", "params"), METHODS, ids=lambda m: getattr(m, "__name__", ""))
def test_widths_that_differ_are_said(method, params, rng):
    x, label = classes(rng, each=20)
    found = method(*taps(label, x, x[:, :9]))
    assert any("nothing aligns" in c for c in found.caveats)
    found = method(*taps(label, x, x[:, :9]), params=params(alignment=ORTHOGONAL))
    assert any("padded with zeros before they are turned" in c for c in found.caveats)


# ---------------------------------------------------------------------------- the checks can fail
COUNTS, MIXED = pair_inequalities.pair_inequalities, mixed_gallery.mixed_scores


def _exchanged_zero(after, before, same, slack, j):
    return np.zeros(before.shape)


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (regressions, regressions, "scores", lambda task, *rest: np.ones(len(task.query))),
        (regressions, regressions, "drifts", lambda old, new, cosine: (np.full(12, 0.01), np.ones(12))),
        (regressions, regressions, "simplex_distance", lambda means: float(np.abs(means).mean())),
        (backfill, backfill, "mixed_scores", lambda task, old, new, *rest: MIXED(task, new, new, *rest)),
        (backfill, backfill, "mixed_scores", lambda task, old, new, *rest: MIXED(task, old, old, *rest)),
        (backfill, backfill, "_overtakes", lambda values, old, shares: 1.0),
        (inequalities, pair_inequalities, "ROUNDING", -1e-3),
        (inequalities, pair_inequalities, "_exchanged", _exchanged_zero),
        (inequalities, inequalities, "pair_inequalities", lambda old, new, *rest: COUNTS(old, old, *rest)),
    ],
)
def test_the_checks_fail_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())


def test_flips_that_forget_what_was_wrong_before_are_noticed(rng):
    """The share that breaks is not the share that is wrong."""
    x, label = classes(rng, noise=1.5)
    y = x + 0.9 * rng.standard_normal(x.shape)
    before, after = nearest_right(x, x, label), nearest_right(y, x, label)
    assert (before & ~after).mean() != (~after).mean()
    found = upgrade_breaks.by_class(
        [str(c) for c in range(8)], label, before, after, np.zeros(8), np.zeros(8), rng
    )
    assert (found["broken"] * found["queries"]).sum() == (before & ~after).sum()
    assert found["queries"].sum() == len(x)
    assert scores(Task(np.arange(96), np.arange(96), label), unit(x), unit(x), RECALL).mean() == before.mean()
