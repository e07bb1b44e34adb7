"""Prefixes of the units: accuracy of neighbours and probes by how many, and clusters that nest."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.clusters.cluster_tree import purities, shuffled_purities, tree_of
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.neighbours.left_out_votes import left_out_votes
from analysis.compute.rows.prefixes import prefix_sizes
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.methods.clusters import nested_clusters as tree_module
from analysis.methods.clusters.nested_clusters import NestedClustersParams, nested_clusters
from analysis.methods.concepts import accuracy_by_prefix as module
from analysis.methods.concepts.accuracy_by_prefix import AccuracyByPrefixParams, accuracy_by_prefix

NEIGHBOURS, PROBE = module.READERS


def tap(x, label):
    return ArrayActivations(x, samples={"label": np.asarray(label)})


@pytest.fixture
def nested(rng):
    """Twelve units: two groups in the first three, four in the first six, eight in all."""
    fine = np.arange(480) % 8
    parts = [6 * np.eye(2, 3)[fine // 4], 6 * np.eye(4, 3)[fine // 2 % 4], 6 * np.eye(8, 6)[fine]]
    parts[1] = 6 * np.eye(2, 3)[fine // 2 % 2]
    parts[2] = 6 * np.eye(2, 6)[fine % 2]
    return np.hstack(parts) + 0.4 * rng.standard_normal((480, 12)), fine


# ---------------------------------------------------------------------------- accuracy
@pytest.mark.parametrize(
    ("units", "sizes"), [(12, [1, 3, 6, 12]), (8, [1, 2, 4, 8]), (2, [1, 2]), (7, [1, 3, 7])]
)
def test_prefixes_are_halves_of_halves(units, sizes):
    assert list(prefix_sizes(units, 20)) == sizes
    assert list(prefix_sizes(units, 2)) == sizes[-2:]


def test_all_units_give_the_usual_score_of_each_reader(rng):
    of = np.arange(150) % 3
    x = np.eye(3, 8)[of] + 0.8 * rng.standard_normal((150, 8))
    found = accuracy_by_prefix(
        tap(x, of), AccuracyByPrefixParams(neighbours=7, draws=2), rng=np.random.default_rng(2)
    )
    assert found.series[NEIGHBOURS][-1] == left_out_votes(x, of, 7).mean()
    for j, size in enumerate(found.x.astype(int)):
        assert found.series[NEIGHBOURS][j] == left_out_votes(x[:, :size], of, 7).mean()
    generator = np.random.default_rng(2)
    for _ in range(2):
        generator.permutation(8)
    fold = folds_of(of, module.FOLDS, generator)
    scores = held_out_predictions(x, np.eye(3)[of], np.zeros(3, int), fold, np.array([True]))
    assert found.series[PROBE][-1] == (scores.argmax(axis=1) == of).mean()
    for reader in module.READERS:
        assert found.series[f"{reader}, random units"][-1] == found.series[reader][-1]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_votes_by_brute_force(rng, metric):
    of = rng.integers(3, size=90)
    x = np.eye(3, 5)[of] + 0.7 * rng.standard_normal((90, 5))
    z = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    said = module.voted(x, of, 3, AccuracyByPrefixParams(neighbours=5, metric=metric))
    for i in range(90):
        away = np.linalg.norm(z - z[i], axis=1)
        away[i] = np.inf
        votes = np.bincount(of[np.argsort(away)[:5]], minlength=3)
        assert votes[said[i]] == votes.max()


def test_classes_in_the_last_units_are_read_late_and_the_order_is_worse_than_another(rng):
    of = np.arange(300) % 3
    x = np.hstack([np.zeros((300, 12)), 6 * np.eye(3, 4)[of]]) + rng.standard_normal((300, 16))
    params = AccuracyByPrefixParams(draws=19, prefixes=3)
    found = accuracy_by_prefix(tap(x, of), params)
    assert found.series[PROBE][-2] < 0.5
    assert found.series[PROBE][-1] > 0.95
    assert found.estimates[2].high < 0
    assert found.reading.count("is no better than others") == 2
    turned = accuracy_by_prefix(tap(x[:, ::-1], of), params)
    assert turned.series[PROBE][0] > 0.95
    assert turned.estimates[2].low > 0
    assert turned.estimates[2].p_value == pytest.approx(0.05)
    assert turned.reading.count("the order of the units counts") == 2


def test_shuffled_labels_are_read_by_chance_from_every_prefix(rng):
    of = rng.permutation(np.repeat([0, 1, 2], [200, 60, 40]))
    found = accuracy_by_prefix(tap(rng.standard_normal((300, 8)), of), AccuracyByPrefixParams(draws=2))
    for reader in module.READERS:
        assert np.abs(found.series[reader] - found.null[reader]).max() < 0.09
        assert (found.low[reader] <= found.series[reader]).all()
        assert (found.series[reader] <= found.high[reader]).all()


def test_refusals_of_the_curve(rng):
    of = np.arange(60) % 3
    with pytest.raises(NotEnoughData, match="1 unit"):
        accuracy_by_prefix(tap(rng.standard_normal((60, 1)), of))
    with pytest.raises(NotFound):
        accuracy_by_prefix(tap(rng.standard_normal((60, 4)), of), AccuracyByPrefixParams(column="kind"))


# ---------------------------------------------------------------------------- the tree
def test_the_planted_tree_is_found_with_purity_1(nested):
    x, fine = nested
    found = nested_clusters(tap(x, fine), NestedClustersParams(clusters=8, column="label", draws=2))
    c = found.columns
    names = [str(n) for n in c["cluster"]]
    assert names == ["1", *_below("1"), "2", *_below("2")]
    assert list(c["first units"]) == [3, 6, 12, 12, 6, 12, 12] * 2
    assert np.isnan(c["purity"][[0, 7]]).all()
    deeper = np.array([n.count(".") > 0 for n in names])
    np.testing.assert_array_equal(c["purity"][deeper], 1.0)
    leaves = np.array([n.count(".") == 2 for n in names])
    np.testing.assert_array_equal(c["label share"][leaves], 1.0)
    assert sorted(c["label"][leaves]) == [str(i) for i in range(8)]
    np.testing.assert_allclose(c["label share"][~leaves], [0.25, 0.5, 0.5] * 2)
    assert [found.estimates[i].value for i in (0, 2)] == [1.0, 1.0]
    assert found.estimates[0].p_value == pytest.approx(1 / (1 + tree_module.SHUFFLES))


def _below(name):
    return [f"{name}.{s}" for s in ("1", "1.1", "1.2", "2", "2.1", "2.2")]


def test_samples_of_children_add_to_all_and_purity_is_at_most_1(rng):
    x = rng.standard_normal((200, 8))
    found = nested_clusters(x, NestedClustersParams(clusters=12, draws=2))
    c = found.columns
    level = np.array([str(n).count(".") for n in c["cluster"]])
    for i in range(3):
        assert c["samples"][level == i].sum() == 200
    purity = c["purity"][level > 0]
    assert ((purity > 0) & (purity <= 1)).all()
    assert (c["chance"][level > 0] <= c["chance, most"][level > 0] + 1e-12).all()
    assert len(set(c["cluster"])) == len(level)


def test_purities_by_brute_force(rng):
    fine, coarse = rng.integers(5, size=80), rng.integers(3, size=80)
    share, parent = purities(fine, coarse)
    for c in range(5):
        counts = [int(((fine == c) & (coarse == p)).sum()) for p in range(3)]
        assert share[c] == max(counts) / sum(counts)
        assert counts[parent[c]] == max(counts)
    tree = tree_of([coarse, fine])
    assert sorted(tree.samples[tree.level == 1]) == sorted(np.bincount(fine))


def test_shuffled_purity_is_that_of_a_hypergeometric_draw(rng):
    """Two parents of 30 and 20, a child of 10: E max(X, 10 - X) / 10, exactly."""
    from scipy.stats import hypergeom

    coarse = np.repeat([0, 1], [30, 20])
    fine = np.repeat([0, 1], [10, 40])
    x = np.arange(11)
    expected = float(np.maximum(x, 10 - x) @ hypergeom(50, 30, 10).pmf(x)) / 10
    drawn = shuffled_purities(fine, coarse, 4000, rng)[:, 0]
    assert drawn.mean() == pytest.approx(expected, abs=4 * drawn.std() / np.sqrt(4000))


def test_random_units_nest_as_often_as_they_hold_what_the_children_are_made_of(rng):
    """Twelve two-valued units, each half as wide as the one before: four clusters of all are those of units 1 and 2,
    two of any part those of its widest unit. A random half has one of these two with 1 / 2 + 6 / 12 · 6 / 11 = 0.773;
    else purity is about 0.5. So random orders lose 0.114 on average, and most of them nothing."""
    x = rng.choice([-1.0, 1.0], size=(400, 12)) * 0.5 ** np.arange(12) + 1e-3 * rng.standard_normal((400, 12))
    found = nested_clusters(x, NestedClustersParams(clusters=4, levels=2, draws=60))
    nested, beyond = found.estimates
    assert nested.value == 1.0
    assert beyond.value == pytest.approx(0.114, abs=4 * 0.5 * np.sqrt(0.773 * 0.227 / 60))
    assert beyond.value > 0.02
    assert beyond.p_value > 0.5
    assert "no more than with random units" in found.reading


def test_refusals_of_the_tree(rng):
    with pytest.raises(NotEnoughData, match="1 unit"):
        nested_clusters(rng.standard_normal((60, 1)))
    with pytest.raises(NotEnoughData, match="at least 40"):
        nested_clusters(rng.standard_normal((30, 4)), NestedClustersParams(clusters=40))
    with pytest.raises(InputError, match="are equal"):
        nested_clusters(np.ones((60, 4)))
    with pytest.raises(NotFound):
        nested_clusters(rng.standard_normal((60, 4)), NestedClustersParams(column="kind"))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "unit_orders", lambda d, draws, rng: [np.arange(d)] * (draws + 1)),
        (module, "voted", lambda x, of, classes, params: np.zeros(len(x), int)),
        (module, "probed", lambda x, of, classes, fold: of),
        (tree_module, "purities", lambda fine, coarse: (np.ones(int(fine.max()) + 1), None)),
        (
            tree_module,
            "shuffled_purities",
            lambda fine, coarse, draws, rng: np.ones((draws, int(fine.max()) + 1)),
        ),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = where.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
