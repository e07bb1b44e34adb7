"""Overlap of gates: sets by hand, chance against SciPy and simulation, gates against SciPy unit by unit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.activations import ArrayActivations
from analysis.compute.groups.class_gates import class_gates, mean_interval
from analysis.compute.statistics.set_overlap import (
    jaccard,
    jaccard_by_chance,
    overlap_p,
    random_sets,
    shared_by_chance,
)
from analysis.errors import NotEnoughData, NotFound
from analysis.methods.units.gate_overlap import GateOverlapParams, gate_overlap


def planted(rng, n=640, d=30, gates=((0, 1, 2, 3), (2, 3, 4, 5), (10, 11), ()), classes=8, shift=2.0):
    """Independent units; the first classes are `shift` higher on their own."""
    of = np.arange(n) % classes
    x = rng.standard_normal((n, d))
    for c, units in enumerate(gates):
        x[np.ix_(of == c, list(units))] += shift
    return x, of


def run(x, label, seed=0, **params):
    data = ArrayActivations(x, samples={"label": np.asarray(label)})
    return gate_overlap(data, GateOverlapParams(**params), np.random.default_rng(seed))


def named(result) -> dict:
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- sets
def test_overlap_is_that_of_sets(rng):
    sets = rng.random((6, 20)) < np.linspace(0, 0.8, 6)[:, None]
    found = jaccard(sets)
    for i, a in enumerate(sets):
        for j, b in enumerate(sets):
            one, other = set(np.flatnonzero(a)), set(np.flatnonzero(b))
            expected = len(one & other) / len(one | other) if one | other else 0.0
            assert found[i, j] == expected


@pytest.mark.parametrize(
    ("a", "b", "d"), [(3, 5, 20), (0, 4, 9), (7, 7, 7), (15, 12, 20), (1, 1, 2), (40, 300, 512)]
)
def test_chance_agrees_with_scipy(a, b, d):
    k, chance = shared_by_chance(a, b, d)
    law = stats.hypergeom(d, a, b)
    np.testing.assert_allclose(chance, law.pmf(k), rtol=1e-8, atol=1e-14)
    assert chance.sum() == pytest.approx(1, abs=1e-10)
    expected = law.expect(lambda k: k / (a + b - k)) if a + b else 0.0
    assert jaccard_by_chance(np.array([a, b]), d)[0, 1] == pytest.approx(expected, abs=1e-9)


def test_chance_agrees_with_simulation(rng):
    sizes, d = np.array([3, 8, 20]), 40
    draws = np.array([jaccard(random_sets(sizes, d, rng)) for _ in range(4000)])
    expected = jaccard_by_chance(sizes, d)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        error = draws[:, i, j].std() / np.sqrt(4000)
        assert abs(draws[:, i, j].mean() - expected[i, j]) < 4 * error


def test_the_tail_is_that_of_the_hypergeometric_and_holds_its_level(rng):
    sizes, d = np.array([6, 9, 12, 20]), 50
    sets = random_sets(sizes, d, rng)
    assert (sets.sum(axis=1) == sizes).all()
    p, i, j = overlap_p(sets), 1, 3
    shared = (sets[i] & sets[j]).sum()
    assert p[i, j] == pytest.approx(stats.hypergeom(d, 9, 20).sf(shared - 1), rel=1e-8)
    many = np.array([overlap_p(random_sets(sizes, d, rng))[0, 2] for _ in range(1500)])
    assert (many <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


# ---------------------------------------------------------------------------- gates
def test_gates_agree_with_scipy_unit_by_unit(rng):
    x, of = planted(rng, n=160, d=10, gates=((0, 1), (1, 2)), classes=4, shift=0.9)
    g, p = np.empty((4, 10)), np.empty((4, 10))
    for c in range(4):
        mine, rest = x[of == c], x[of != c]
        p[c] = stats.ttest_ind(mine, rest, equal_var=False).pvalue
        pooled = np.sqrt((39 * mine.var(axis=0, ddof=1) + 119 * rest.var(axis=0, ddof=1)) / 158)
        g[c] = (1 - 3 / (4 * 160 - 9)) * (mine.mean(axis=0) - rest.mean(axis=0)) / pooled
    q = stats.false_discovery_control(p.ravel()).reshape(4, 10)
    constant = np.full((160, 200), 3.0)  # no tests: they make no other unit's q larger
    found = class_gates(np.hstack([x, constant]), of, np.arange(4), 0.4)
    np.testing.assert_array_equal(found.sets[:, :10], (q < 0.05) & (np.abs(g) >= 0.4))
    assert not found.sets[:, 10:].any()
    assert found.sets.any()
    assert not found.sets.all()


def test_planted_gates_are_found_and_compared(rng):
    x, of = planted(rng)
    found = run(x, of)
    assert found.row_names[:4] == ("0 (4)", "1 (4)", "2 (2)", "3 (0)")
    np.testing.assert_allclose(found.values[:3, :3], [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])
    np.testing.assert_array_equal(found.values, found.values.T)
    known = named(found)
    assert known["share of units in no gate"].value == pytest.approx(22 / 30)
    assert known["share of units in one gate only"].value == pytest.approx(6 / 30)
    assert known["gates on the busiest unit"].value == 2
    assert known["mean share of units in a gate"].null < 0.005
    assert known["mean share of units in a gate"].p_value == 1 / 20
    assert "Furthest above chance are 0 and 1 (0.33, by chance 0.08)" in found.reading
    assert any("5 class(es) have an empty gate" in c for c in found.caveats)


def test_gates_that_crowd_onto_the_same_units_are_noticed(rng):
    x, of = planted(rng, n=800, gates=tuple((0, 1, 2) for _ in range(4)), classes=8)
    x[np.ix_(of >= 4, [0, 1, 2])] -= 2.0
    found, spread = (
        run(x, of),
        run(*planted(rng, gates=tuple((3 * c, 3 * c + 1, 3 * c + 2) for c in range(8)))),
    )
    unused = named(found)["share of units in no gate"]
    assert unused.value > unused.null_high
    assert unused.p_value < 0.05
    assert "crowd" in found.reading
    assert "crowd" not in spread.reading
    assert named(found)["gates on the busiest unit"].value == 8
    off = ~np.eye(8, dtype=bool)
    assert found.significant[off].all()
    assert not spread.significant[off].any()


def test_shuffled_labels_leave_no_gate(rng):
    x, of = planted(rng)
    found = run(x, rng.permutation(of))
    assert not found.values.any()
    assert "all gates are empty" in found.reading
    assert not found.significant.any()


def test_the_expected_unused_share_is_the_product_of_what_gates_leave(rng):
    found = named(run(*planted(rng)))
    expected = (1 - 4 / 30) ** 2 * (1 - 2 / 30)
    assert found["share of units in no gate"].null == pytest.approx(expected, abs=0.01)


def test_the_interval_is_that_of_leaving_out_a_class(rng):
    values = jaccard(rng.random((7, 30)) < 0.4)
    means = []
    for c in range(7):
        kept = np.delete(np.arange(7), c)
        means.append(values[np.ix_(kept, kept)][np.triu_indices(6, 1)].mean())
    half = stats.t.ppf(0.975, 6) * np.sqrt(6 / 7 * ((means - np.mean(means)) ** 2).sum())
    mean = values[np.triu_indices(7, 1)].mean()
    assert mean_interval(values) == pytest.approx((mean - half, mean + half), rel=1e-9)


# ---------------------------------------------------------------------------- invariances and odd input
def test_the_order_and_scale_of_units_and_the_names_of_classes_do_not_matter(rng):
    x, of = planted(rng)
    one = run(x, of)
    other = run(x[:, rng.permutation(30)] * np.geomspace(1e-3, 1e3, 30) + 5, np.array(list("hgfedcba"))[of])
    np.testing.assert_array_equal(one.values, other.values[::-1, ::-1])


def test_only_the_most_frequent_classes_are_drawn_and_that_is_said(rng):
    x, of = planted(rng)
    kept = np.r_[np.flatnonzero(of != 5), np.flatnonzero(of == 5)[:30]]
    found = run(x[kept], of[kept], maximum_classes=7)
    assert found.column_names == ("0", "1", "2", "3", "4", "6", "7")
    assert any("7 most frequent of 8 classes" in c for c in found.caveats)
    whole = run(x[kept], of[kept])
    np.testing.assert_array_equal(found.values, np.delete(np.delete(whole.values, 5, 0), 5, 1))


def test_constant_units_and_rows_with_nan(rng):
    x, of = planted(rng)
    x = np.hstack([x, np.full((640, 30), 2.0)])
    one = run(x, of)
    assert any("30 constant unit(s)" in c for c in one.caveats)
    assert named(one)["share of units in no gate"].value == pytest.approx(52 / 60)
    expected = (30 + 30 * (1 - 4 / 30) ** 2 * (1 - 2 / 30)) / 60  # random gates hold units that vary
    assert named(one)["share of units in no gate"].null == pytest.approx(expected, abs=0.004)
    x[:4, 0] = np.nan
    other = run(x, of)
    assert any("4 of 640 rows hold NaN" in c for c in other.caveats)
    np.testing.assert_array_equal(one.values, other.values)


def test_two_classes_share_their_gate(rng):
    x, of = planted(rng, classes=2, gates=((0, 1),))
    found = run(x, of)
    np.testing.assert_array_equal(found.values, np.ones((2, 2)))
    assert any("same by construction" in c for c in found.caveats)


def test_one_class_far_out_is_in_every_gate_of_few_classes_and_that_is_said(rng):
    """Means 3, 0 and 0: the other two lie 1.5 below the mean of all others."""
    x, of = planted(rng, n=600, classes=3, gates=((0,),), shift=3.0)
    found = run(x, of)
    assert found.values[1, 2] == 1.0
    assert any("moves 'all others'" in c for c in found.caveats)
    assert not any("moves 'all others'" in c for c in run(*planted(rng)).caveats)


def test_refusals(rng):
    x, of = planted(rng, n=80)
    with pytest.raises(NotFound):
        run(x, of, column="nothing")
    with pytest.raises(NotEnoughData, match="two such classes"):
        run(x, np.zeros(80))
    with pytest.raises(NotEnoughData, match="vary"):
        run(np.ones((80, 3)), of)


def test_markup_in_labels_stays_text(rng):
    from dashboard.figures import export, on_screen

    x, of = planted(rng, n=160)
    found = run(x, np.array([f"<b>{c}</b>" for c in range(8)])[of])
    assert "<b>0</b>" in found.column_names
    assert "<b>0</b>" not in on_screen(found).to_json()
    assert export(found, "pdf").startswith(b"%PDF")
