"""Sub-embeddings: blocks declared and found, what each learner finds, adds and knows, redundancy; identities, second
implementations, planted learners, nulls, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score, silhouette_score

from analysis.activations import ArrayActivations, Layout
from analysis.compute.clusters.coding_rate import unit_rows
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.retrieval.gallery_search import RECALL, Task, chance_alone
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.similarity import attribute_auc, dimension_blocks
from analysis.compute.similarity.attribute_auc import attribute_aucs, ordered_right
from analysis.compute.similarity.dimension_blocks import best_cut, blocks_of, silhouette
from analysis.compute.similarity.similarity_grid import groups_of
from analysis.errors import NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.similarity import sub_embedding_attributes as attributes_module
from analysis.methods.similarity import sub_embedding_redundancy as redundancy_module
from analysis.methods.similarity import sub_embeddings as learners_module
from analysis.methods.similarity.cka import cka
from analysis.methods.similarity.sub_embedding_attributes import AttributeParams, sub_embedding_attributes
from analysis.methods.similarity.sub_embedding_redundancy import RedundancyParams, sub_embedding_redundancy
from analysis.methods.similarity.sub_embeddings import SubEmbeddingParams, sub_embeddings

FEW = settings(max_examples=15, deadline=None)


def haar(d, rng):
    q, r = np.linalg.qr(rng.standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def classes(rng, k=6, each=20, d=6, noise=0.8):
    label = np.repeat(np.arange(k), each)
    return rng.standard_normal((k, d))[label] + noise * rng.standard_normal((k * each, d)), label


def learners(x, label, blocks=0, layout=None, **params):
    tap = ArrayActivations(x, samples={"label": label}, layout=layout)
    return sub_embeddings(tap, params=SubEmbeddingParams(blocks=blocks, **params))


def recall(distance, label):
    away = distance.copy()
    np.fill_diagonal(away, np.inf)
    return (label[away.argmin(axis=1)] == label).mean()


# ---------------------------------------------------------------------------- blocks
def test_declared_blocks_are_equal_and_in_order():
    x = np.arange(60.0).reshape(5, 12) ** 1.1
    found = blocks_of(x, 3, np.random.default_rng(0))
    assert [m.tolist() for m in found.members] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert found.names[1] == "units 4–7"
    for count in (5, 13, 1):
        with pytest.raises(ParameterError, match="a number that divides them: 2, 3, 4, 6, 12"):
            blocks_of(x, count, np.random.default_rng(0))
    with pytest.raises(ParameterError, match="none"):
        blocks_of(x[:, :1], 2, np.random.default_rng(0))


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(5, 4, 3), (8, 2, 2, 2), (3, 3)]))
def test_groups_that_share_a_factor_are_found_whatever_their_order_and_sign(seed, sizes):
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.standard_normal((300, len(sizes)))[:, of] + 0.5 * rng.standard_normal((300, len(of)))
    order = rng.permutation(len(of))
    x = (x * rng.choice([-2.0, 5.0], len(of)))[:, order] + 100
    found = blocks_of(x, 0, rng)
    mine = {frozenset(np.flatnonzero(of[order] == c).tolist()) for c in range(len(sizes))}
    assert {frozenset(m.tolist()) for m in found.members} == mine
    assert found.silhouette > found.null.max()
    assert [len(m) for m in found.members] == sorted(sizes, reverse=True)


def test_the_silhouette_is_the_usual_one(rng):
    r = np.abs(np.corrcoef(rng.standard_normal((12, 30))))
    distance = np.maximum(1 - r, 0)
    np.fill_diagonal(distance, 0)
    for codes in (np.arange(12) % 3, np.repeat([0, 1, 2], [1, 5, 6])):
        assert silhouette(distance, codes) == pytest.approx(
            silhouette_score(distance, codes, metric="precomputed"), abs=1e-12
        )
    codes, quality = best_cut(r)
    assert quality == silhouette(distance, codes)


def test_independent_units_have_no_blocks_and_that_is_said():
    said = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = blocks_of(rng.standard_normal((100, 10)), 0, rng)
        said += any("the blocks are arbitrary" in n for n in found.notes)
    assert said >= 17  # the best of 20 null draws is passed once in 21


def test_constant_units_belong_to_no_block(rng):
    x = np.hstack(
        [
            rng.standard_normal((60, 2)).repeat(3, axis=1) + 0.3 * rng.standard_normal((60, 6)),
            np.ones((60, 2)),
        ]
    )
    found = blocks_of(x, 0, rng)
    assert sorted(np.concatenate(found.members)) == list(range(6))
    assert any("2 constant unit(s) belong to no block" in n for n in found.notes)
    assert blocks_of(x, 4, rng).notes == ("Block(s) without any change: units 6–7.",)
    with pytest.raises(NotEnoughData, match="2 unit"):
        blocks_of(x[:, [0, 3, 6]], 0, rng)


def test_too_many_units_to_cluster_are_refused(monkeypatch, rng):
    monkeypatch.setattr(dimension_blocks, "MOST_UNITS", 10)
    with pytest.raises(TooLarge, match="Declare equal blocks"):
        blocks_of(rng.standard_normal((20, 12)), 0, rng)


# ---------------------------------------------------------------------------- what each learner finds
@FEW
@given(st.integers(0, 10**6))
def test_the_cosine_of_joined_unit_blocks_is_the_mean_of_the_blocks_cosines(seed):
    rng = np.random.default_rng(seed)
    blocks = [unit_rows(rng.standard_normal((10, d)) * rng.exponential(), False) for d in (2, 5, 3)]
    joined = unit_rows(np.hstack(blocks), False)
    np.testing.assert_allclose(joined @ joined.T, np.mean([b @ b.T for b in blocks], axis=0), atol=1e-14)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_recalls_and_gains_are_those_of_the_definition(metric, rng):
    x, label = classes(rng, d=4, noise=1.2)
    y, _ = classes(rng, d=4, noise=1.2)
    z = np.hstack([x, y, rng.standard_normal((120, 4))])
    found = learners(z, label, 3, metric=metric).columns
    joined, before = np.zeros((120, 120)), None
    for k in range(3):
        part = z[:, 4 * k : 4 * k + 4]
        if metric == "cosine":
            unit = part / np.linalg.norm(part, axis=1, keepdims=True)
            away = 1 - unit @ unit.T
        else:
            away = ((part[:, None] - part) ** 2).sum(axis=2)
        joined = joined + away
        assert found["recall@1"][k] == pytest.approx(recall(away, label), abs=1e-12)
        assert found["joined recall@1"][k] == pytest.approx(recall(joined, label), abs=1e-12)
        if k:
            assert found["gain"][k] == pytest.approx(recall(joined, label) - before, abs=1e-12)
        else:
            assert found["gain"][0] == pytest.approx(recall(joined, label) - 19 / 119, abs=1e-12)
        before = recall(joined, label)
        assert found["low"][k] <= found["recall@1"][k] <= found["high"][k]
        assert found["gain low"][k] <= found["gain"][k] <= found["gain high"][k]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_learner_twice_adds_exactly_nothing(metric, rng):
    x, label = classes(rng)
    found = learners(np.hstack([x, x]), label, 2, metric=metric)
    assert found.columns["gain"][1] == 0
    assert found.columns["q_value"][1] == 1
    assert found.columns["recall@1"][0] == found.columns["recall@1"][1]
    assert "After the first 1 no block adds" in found.reading
    turned = learners(np.hstack([x, x @ haar(6, rng)]), label, 2, metric=metric)
    assert turned.columns["gain"][1] == 0


def test_clusters_agree_with_the_classes_as_much_as_they_do(rng):
    x, label = classes(rng, noise=0.1)
    found = learners(np.hstack([x, rng.standard_normal((120, 6))]), label, 2).columns
    assert found["NMI"][0] > 0.9
    assert found["NMI"][1] < found["NMI by chance"][1] + 0.06
    codes = np.arange(120) % 5
    contingency = learners_module.Contingency.of(codes, label)
    assert learners_module.mutual_information(contingency) == pytest.approx(
        normalized_mutual_info_score(codes, label), abs=1e-12
    )


def test_the_band_of_chance_is_that_of_moved_classes(rng):
    """Mean and deviation of recall@1 when the classes move to other samples: no wider than the band, not far below."""
    x, label = rng.standard_normal((90, 3)), np.repeat(np.arange(6), 15)
    every = np.arange(90)
    found = [
        learners_module.scores(Task(every, every, rng.permutation(label)), x, x, RECALL).mean()
        for _ in range(1500)
    ]
    mean, deviation = chance_alone(Task(every, every, label), RECALL)
    assert np.mean(found) == pytest.approx(mean, abs=4 * deviation / np.sqrt(1500))
    assert 0.7 * deviation < np.std(found) < 1.05 * deviation


def test_noise_adds_nothing_beyond_chance():
    marked = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        x, label = classes(rng, noise=0.9)
        found = learners(np.hstack([x, *rng.standard_normal((2, 120, 6))]), label, 3).columns
        marked += int(((found["q_value"] < 0.05) & (found["gain"] > 0))[1:].sum())
        assert found["q_value"][0] < 0.05
    assert marked <= 2


def test_more_units_than_samples_and_tokens(rng):
    x, label = classes(rng, each=5, d=40)
    found = learners(x.repeat(2, axis=0), label, 4, layout=Layout(np.arange(31) * 2)).columns
    np.testing.assert_allclose(found["recall@1"], learners(x, label, 4).columns["recall@1"])
    assert list(found["units"]) == [10] * 4


def test_a_constant_block_finds_what_chance_finds(rng):
    x, label = classes(rng)
    for metric in ("cosine", "euclidean"):
        found = learners(np.hstack([x, np.full((120, 6), 2.0)]), label, 2, metric=metric)
        assert found.columns["recall@1"][1] == pytest.approx(found.columns["by chance"][1], abs=1e-12)
        assert found.columns["gain"][1] == 0
        assert any("without any change: units 6–11" in c for c in found.caveats)


# ---------------------------------------------------------------------------- what each learner knows
@FEW
@given(st.integers(0, 10**6))
def test_pairs_ordered_right_are_auc_and_concordance(seed):
    rng = np.random.default_rng(seed)
    member, score = rng.random(40) < 0.4, rng.integers(6, size=40).astype(float)
    member[:2] = True, False
    one_fold = np.zeros(40, int)
    found = ordered_right(score[:, None], member[:, None].astype(float), one_fold)
    assert found == pytest.approx(roc_auc_score(member, score), abs=1e-12)
    z, s = rng.standard_normal((2, 40))
    found = ordered_right(s[:, None], z[:, None], one_fold)
    assert found == pytest.approx((kendalltau(z, s).statistic + 1) / 2, abs=1e-12)


def test_pairs_are_compared_inside_a_fold_only(rng):
    score, target = rng.standard_normal((60, 1)), (rng.random((60, 1)) < 0.5).astype(float)
    fold = np.arange(60) % 3
    offset = 1e3 * fold[:, None]
    assert ordered_right(score, target, fold) == ordered_right(score + offset, target, fold)
    assert ordered_right(score, np.zeros((60, 1)), fold) == 0.5  # no pairs


def test_an_attribute_that_is_not_there_is_told_at_one_half():
    values, p = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        factor = factor_of("f", rng.choice(["a", "b", "c"], size=100, p=[0.6, 0.3, 0.1]))
        moves = np.array([rng.permutation(100) for _ in range(20)])
        (found,) = attribute_aucs(
            rng.standard_normal((100, 5)),
            [factor],
            folds_of(np.zeros(100), 5, rng),
            groups_of(100, rng),
            moves,
        )
        values.append(found.value)
        p.append(found.p)
        assert found.null == pytest.approx(0.5, abs=0.06)
        assert found.low <= found.value <= found.high
    assert np.mean(values) == pytest.approx(0.5, abs=0.025)
    assert np.mean(np.array(p) < 0.05) <= 0.15


def test_an_attribute_in_each_block_makes_a_diagonal_matrix(rng):
    """Block-diagonal planted data; the number follows its unit with r = sqrt(0.9): a share 1/2 + arcsin(r) / π."""
    n = 400
    one, two, z = rng.integers(2, size=n), rng.integers(4, size=n), rng.standard_normal(n)
    x = rng.standard_normal((n, 12))
    x[:, :2] += 2.5 * np.eye(2)[one]
    x[:, 4:8] += 2.5 * np.eye(4)[two]
    x[:, 11] += 3 * z
    tap = ArrayActivations(x, samples={"one": one, "two": two, "z": z})
    found = sub_embedding_attributes(tap, params=AttributeParams(blocks=3))
    assert found.column_names == ("one", "two", "z")
    np.testing.assert_array_equal(found.significant, np.eye(3, dtype=bool))
    assert found.values[2, 2] == pytest.approx(0.5 + np.arcsin(np.sqrt(0.9)) / np.pi, abs=0.02)
    # two Gaussians 2.5 sqrt(2) apart: an AUC of Φ(2.5)
    assert found.values[0, 0] == pytest.approx(0.9938, abs=0.01)
    assert np.abs(found.values[~np.eye(3, dtype=bool)] - 0.5).max() < 0.12
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert "one best in units 0–3" in found.reading
    for e, name in zip(found.estimates, found.column_names, strict=True):
        assert e.name.startswith(f"{name} in units")
        assert e.p_value < 0.05


def test_turning_inside_a_block_changes_nothing_and_mixing_does(rng):
    x, label = classes(rng, d=4)
    z = np.hstack([x, rng.standard_normal((120, 4))])
    turn = np.kron(np.eye(2), np.ones((4, 4))) * haar(8, rng)
    turn[:4, :4], turn[4:, 4:] = haar(4, rng), haar(4, rng)
    tap = ArrayActivations(z, samples={"label": label})
    params = AttributeParams(blocks=2)
    plain = sub_embedding_attributes(tap, params=params).values
    turned = sub_embedding_attributes(
        ArrayActivations(z @ turn, samples={"label": label}), params=params
    ).values
    np.testing.assert_allclose(turned, plain, atol=1e-9)
    mixed = sub_embedding_attributes(
        ArrayActivations(z @ haar(8, rng), samples={"label": label}), params=params
    )
    assert mixed.values[1, 0] > plain[1, 0] + 0.1


# ---------------------------------------------------------------------------- redundancy
def test_redundancy_is_cka_of_the_blocks(rng):
    x = rng.standard_normal((80, 4))
    z = np.hstack(
        [x, 3 * x @ haar(4, rng) + 7, x + rng.standard_normal((80, 4)), rng.standard_normal((80, 4))]
    )
    found = sub_embedding_redundancy(ArrayActivations(z), params=RedundancyParams(blocks=4))
    assert found.values[0, 1] == pytest.approx(1, abs=1e-12)
    for i in range(4):
        for j in range(i):
            expected = cka(z[:, 4 * i : 4 * i + 4], z[:, 4 * j : 4 * j + 4]).values[0, 1]
            assert found.values[i, j] == pytest.approx(expected, abs=1e-12)
    assert found.significant[0, 1]
    assert not found.significant[0, 3]
    assert found.row_names[0] == "units 0–3"


def test_redundancy_with_odd_samples(rng):
    x = rng.standard_normal((60, 6))
    x[:2] = np.nan
    z = np.hstack([x, np.ones((60, 3))])
    found = sub_embedding_redundancy(ArrayActivations(z), params=RedundancyParams(blocks=3))
    assert found.values[0, 2] == 0
    assert any("without any change: units 6–8" in c for c in found.caveats)
    assert any("NaN" in c for c in found.caveats)
    assert found.estimates[0].n == 58
    some = sub_embedding_redundancy(
        ArrayActivations(z), params=RedundancyParams(blocks=3, maximum_samples=50)
    )
    assert any("A random 50 of 60" in c for c in some.caveats)


# ---------------------------------------------------------------------------- refusals
def test_refusals(rng):
    x, label = classes(rng)
    tap = ArrayActivations(x, samples={"label": label})
    with pytest.raises(NotFound, match="no sample column 'kind'"):
        sub_embeddings(tap, params=SubEmbeddingParams(column="kind"))
    with pytest.raises(NotEnoughData, match="at least two such classes"):
        sub_embeddings(ArrayActivations(x, samples={"label": np.arange(120)}))
    with pytest.raises(ParameterError, match="4 equal blocks of 6 units"):
        sub_embeddings(tap, params=SubEmbeddingParams(blocks=4))
    with pytest.raises(NotFound, match="no sample column is a known factor"):
        sub_embedding_attributes(ArrayActivations(x))
    with pytest.raises(NotEnoughData, match="10 finite sample"):
        sub_embedding_attributes(ArrayActivations(x[:10], samples={"label": label[:10]}))
    with pytest.raises(NotEnoughData, match="3 finite sample"):
        sub_embedding_redundancy(ArrayActivations(x[:3]))


# ---------------------------------------------------------------------------- the checks can fail
SCORES = learners_module.scores


def _other_block(x, count, rng):
    found = blocks_of(x, count, rng)
    return dimension_blocks.Blocks(found.members[::-1], found.names)


def _even_odd(x, count, rng):
    if count:
        return blocks_of(x, count, rng)
    members = (np.arange(0, x.shape[1], 2), np.arange(1, x.shape[1], 2))
    return dimension_blocks.Blocks(members, ("group 1 (8)", "group 2 (8)"))


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (learners_module, learners_module, "unit_rows", lambda x, centre: x + np.arange(len(x))[:, None]),
        (learners_module, learners_module, "scores", lambda task, x, y, *rest: SCORES(task, x, y[::-1], *rest)),
        (learners_module, learners_module, "mutual_information", lambda table: float(table.count.max())),
        (learners_module, learners_module, "scores", lambda task, *rest: np.ones(len(task.query))),
        (redundancy_module, redundancy_module, "blocks_of", _even_odd),
        (redundancy_module, dimension_blocks, "silhouette", lambda distance, codes: -float(codes.max())),
        (attributes_module, attributes_module, "blocks_of", _other_block),
        (attributes_module, attribute_auc, "held_out_predictions", lambda x, y, *rest: y),
        (attributes_module, attribute_auc, "held_out_predictions",
         lambda x, y, *rest: np.random.default_rng(0).standard_normal(y.shape)),
    ],
)  # fmt: skip
def test_the_checks_fail_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())
