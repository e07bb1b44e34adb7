"""What the court says of planted dictionaries: hidden and split attributes, edits, budgets, atoms, absorption."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import encoded, set_of

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.allocation import Spent, independent_share, zipf
from analysis.compute.dictionaries.composition import rebuilt_by_others
from analysis.compute.dictionaries.coverage import strengths
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features import rules
from analysis.features.edits import chosen_features
from analysis.features.rivals import CLASSES, MEAN, OWN, RANDOM
from analysis.features.tap_dictionary import tap_dictionary
from analysis.methods.dictionaries.absorption import AbsorptionParams, absorption, planted_absorption
from analysis.methods.dictionaries.allocation import AllocationParams, _budget, allocation
from analysis.methods.dictionaries.attribute_coverage import attribute_coverage
from analysis.methods.dictionaries.composition import composition
from analysis.methods.dictionaries.dictionary_court import AXES, KEPT, LOST, VARIANCE, dictionary_court
from analysis.methods.dictionaries.edit_success import NAMES, EditSuccessParams, edit_success
from analysis.methods.dictionaries.loss_recovered import LossRecoveredParams, loss_recovered
from dashboard.browse.dictionary_questions import WORDED

TITLES = (
    "Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
    "Towards Principled Evaluations of Sparse Autoencoders",
    "Mutual Choice & Feature Choice SAEs",
    "Features that Make a Difference: Leveraging Gradients for Improved Dictionary Learning",
    "OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",
)


@pytest.mark.parametrize("title", TITLES)
def test_every_paper_of_the_court_has_a_method(title):
    assert any(title in m.papers for m in registry.families()["dictionaries"])


def test_every_question_has_its_method():
    installed = {m.id for m in registry.families()["dictionaries"]}
    assert set(WORDED.values()) <= installed
    assert len(set(WORDED.values())) == len(WORDED)


# ---------------------------------------------------------------------- attributes
def by_value(found) -> dict[str, dict]:
    c = found.columns
    return {v.split(" = ")[0]: {k: c[k][i] for k in c} for i, v in enumerate(c["value"])}


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_feature_copied_n_times_is_over_split_in_n(n):
    rng = np.random.default_rng(n)
    label = (rng.random(200) < 0.4) * 1
    x = np.column_stack([label[:, None] * np.arange(1, n + 1), rng.random((200, 2))])
    found = by_value(attribute_coverage(ArrayActivations(x, "x", {"a": label})))["a"]
    assert found["pieces"] == n
    assert found["verdict"] == ("one feature" if n == 1 else "over-split")


def test_a_concept_in_parts_counts_its_parts():
    """Three features, each of a third of the samples of the concept, none of which is a rule for it."""
    label, part = np.arange(600) % 2, np.arange(600) // 2 % 3
    x = 0.01 * np.random.default_rng(0).random((600, 6))
    x[np.arange(600), part] += label
    found = by_value(attribute_coverage(ArrayActivations(x, "x", {"a": label})))["a"]
    assert (found["verdict"], found["pieces"], found["copies"]) == ("over-split", 3, 0)


def test_of_two_concepts_of_ten_to_one_the_weaker_is_occluded(tmp_path):
    """One active feature a row: where both concepts are there, only the feature of the strong one fires. With two
    active features both are told: then it is not the tap that hides the weak one."""
    rng = np.random.default_rng(0)
    strong, weak = (rng.random((2, 300)) < 0.5) * 1
    axes = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    x = 10 * strong[:, None] * axes[0] + weak[:, None] * axes[1] + 0.01 * rng.standard_normal((300, 8))
    sets = [set_of(f"k{active}", axes[:2], rules.TOPK, active) for active in (1, 2)]
    store = encoded(tmp_path / "s", x, sets)
    verdicts = {
        active: by_value(
            attribute_coverage(_with(store.activations(f"mlp@k{active}"), strong=strong, weak=weak))
        )
        for active in (1, 2)
    }
    assert verdicts[1]["weak"]["verdict"] == "occluded"
    assert verdicts[1]["weak"]["occluded by"].startswith("strong")
    assert verdicts[1]["strong"]["verdict"] == verdicts[2]["weak"]["verdict"] == "one feature"
    assert verdicts[1]["strong"]["strength"] / verdicts[1]["weak"]["strength"] == pytest.approx(10, rel=0.02)


class _with:
    """An encoded tap with more sample columns."""

    def __init__(self, tap, **columns) -> None:
        self._tap = tap
        self.samples = {"id": np.asarray(tap.samples["id"]), **columns}

    def __getattr__(self, name):
        return getattr(self._tap, name)


def test_strength_holds_other_attributes_fixed():
    """Of correlated concepts the difference of means has both effects in it, the strength has one."""
    rng = np.random.default_rng(0)
    a = rng.random(4000) < 0.5
    b = np.where(rng.random(4000) < 0.8, a, ~a)
    x = np.column_stack([3.0 * a, 1.0 * b])
    found = strengths(x, np.column_stack([~a, a, ~b, b]), np.array([0, 0, 1, 1]))
    assert found[1] / found[3] == pytest.approx(3 * a.std() / b.std(), rel=1e-9)


# ---------------------------------------------------------------------- edits
def test_the_greedy_exchange_is_the_edit_where_directions_are_orthogonal():
    change = np.array([0.0, 2.0, -1.0, 0.5])
    assert chosen_features(np.zeros(4), change, np.eye(4), change, 2).tolist() == [1, 2]
    assert len(chosen_features(np.zeros(4), change, np.eye(4), change, 9)) == 3  # nothing is won by the first


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Four classes, one direction each, and two colours along another: a dictionary of these directions."""
    rng = np.random.default_rng(0)
    label, colour = np.arange(320) % 4, np.arange(320) // 4 % 2
    axes = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    x = 3 * axes[label] + 3 * axes[4 + colour] + 0.1 * rng.standard_normal((320, 10))
    store = encoded(
        tmp_path_factory.mktemp("s") / "s", x, [set_of("true", axes[:6], rules.RELU)], label, tuple("abcd")
    )
    return _with(store.activations("mlp@true"), label=np.array(list("abcd"))[label], colour=colour), x


def test_the_planted_dictionary_edits_like_the_supervised_one(planted):
    found = edit_success(planted[0], EditSuccessParams(features=2))
    c, at = found.columns, {n: i for i, n in enumerate(NAMES)}
    assert c["success"][at[OWN]] > 0.95
    assert c["success"][at["class means"]] > 0.95
    assert c["success"][at["a random direction"]] < 0.1
    assert c["edit size"][at[OWN]] == pytest.approx(1.0, abs=0.1)
    none = edit_success(planted[0], EditSuccessParams(features=1)).columns
    assert none["edit size"][at[OWN]] < 0.8  # half of the exchange: one direction of two
    e = found.estimates[0]
    assert e.low <= e.value <= e.high
    assert e.null < 0.1


def test_the_random_edit_is_not_one_direction_of_luck():
    """Two classes: one direction for all samples leads all of them to the other class, or none."""
    rng = np.random.default_rng(0)
    of = np.arange(160) % 2
    x = 0.3 * rng.standard_normal((160, 3))
    x[:, 1] += 4 * of
    tap = ArrayActivations(x, "x", {"label": of})
    null = [
        edit_success(tap, EditSuccessParams(features=1), np.random.default_rng(seed)).estimates[0].null
        for seed in range(4)
    ]
    assert min(null) > 0.1  # 1/4 of all directions, within what 64 of them give
    assert max(null) < 0.45


def test_edits_without_classes_that_are_told_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(NotEnoughData):
        edit_success(ArrayActivations(rng.standard_normal((40, 3)), "x", {"label": np.arange(40)}))


# ---------------------------------------------------------------------- loss, by a probe
def test_a_probe_stands_in_and_says_so(planted):
    found = loss_recovered(planted[0])
    assert any("linear probe" in c for c in found.caveats)
    at = {n: i for i, n in enumerate(found.columns["replaced by"])}
    c = found.columns["loss recovered"]
    assert c[at["untouched"]] == 1.0
    assert c[at[MEAN]] == 0.0
    assert c[at[OWN]] > 0.9 > c[at[RANDOM]]
    assert found.columns["lost without its part"][at[OWN]] > 0.9


def test_noise_is_refused_and_so_is_a_tap_without_a_use():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 5))
    with pytest.raises(InputError, match="neither ablation"):
        loss_recovered(ArrayActivations(x, "x", {"label": np.arange(200) % 2}))
    with pytest.raises(NotFound, match="no labels and no network"):
        loss_recovered(ArrayActivations(x))
    with pytest.raises(NotFound, match="colour"):
        loss_recovered(ArrayActivations(x), LossRecoveredParams(column="colour"))


def test_the_court_has_every_axis_for_every_dictionary_and_no_average(planted):
    found = dictionary_court(planted[0])
    assert found.column_names == AXES
    assert [n.split(" (")[0] for n in found.row_names] == ["true", "PCA", "random", CLASSES]
    assert found.few.tolist() == [[False] * 5] * 3 + [[False] * 4 + [True]]
    assert (found.low <= found.values + 1e-9).all()
    assert (found.values <= found.high + 1e-9).all()
    own = dict(zip(AXES, found.values[0], strict=True))
    report = loss_recovered(planted[0], LossRecoveredParams(maximum_samples=300)).columns
    assert own[LOST] > 0.8
    assert own[KEPT] == pytest.approx(report["loss recovered"][0], abs=0.05)
    assert own[VARIANCE] == pytest.approx(report["explained variance"][0], abs=1e-9)
    assert any("no ranking" in c for c in found.caveats)


# ---------------------------------------------------------------------- budget, composition, absorption
def test_zipf_of_an_exact_law_and_of_equal_shares():
    assert zipf(1e9 / np.arange(1, 500) ** 1.3)[0] == pytest.approx(1.3, abs=1e-9)
    assert zipf(np.full(40, 7))[0] == pytest.approx(0.0, abs=1e-12)


def test_independent_features_per_row_have_their_exact_spread():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.2, 60)
    x = (rng.random((3000, 60)) < p) * 1.0
    found = allocation(ArrayActivations(x), AllocationParams(drawn="features per row"))
    e = {k.name: k for k in found.estimates}
    assert e["spread of features per row"].value == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(found.series["rows"], found.null["rows"], atol=0.025)
    assert independent_share(np.arange(61), x.sum(axis=0), 3000).sum() == pytest.approx(1.0, abs=5e-3)


def test_the_declared_budget_is_counted_in_every_row(tmp_path):
    x = np.random.default_rng(0).standard_normal((100, 8))
    tap = encoded(tmp_path / "s", x, [set_of("k", np.eye(8), rules.TOPK, 2)]).activations("mlp@k")
    name = "rows with more than the declared 2 features"
    found = allocation(tap)
    assert {e.name: e.value for e in found.estimates}[name] == 0
    assert "holds in every row" in found.reading
    over = Spent(np.zeros((1, 8), np.int64), np.array([[0, 10, 85, 5, 0, 0, 0, 0, 0]]))
    assert _budget(tap_dictionary(tap), over, 100)[0].value == 5


def test_random_dictionaries_are_no_compositions_and_planted_sums_are():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((60, 30))
    u[50:] = u[:10] + u[10:20]
    share, parts = rebuilt_by_others(u, np.arange(50, 60), 2)
    np.testing.assert_allclose(share, 1.0, atol=1e-6)
    assert all(set(p) == {i, i + 10} for i, p in enumerate(parts.tolist()))
    found = composition(ArrayActivations(rng.standard_normal((60, 12))))
    assert found.estimates[0].value == 0.0


def test_a_few_compositions_are_told_among_many_atoms(tmp_path):
    """Three sums and their six parts of 300 features: as many random directions as features could not tell them."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((300, 100))
    u[:3] = u[10:13] + u[20:23]
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    store = encoded(tmp_path / "s", rng.standard_normal((40, 100)), [set_of("sums", u, rules.RELU)])
    verdict = composition(store.activations("mlp@sums")).columns["verdict"]
    assert set(np.flatnonzero(verdict == "composed")) == {0, 1, 2, 10, 11, 12, 20, 21, 22}


def test_a_special_case_that_another_feature_took_is_absorbed_and_named():
    x, columns = planted_absorption(np.random.default_rng(5))
    c = absorption(ArrayActivations(x, "x", columns), AbsorptionParams(draws=4)).columns
    at = list(c["value"]).index("b = 1")
    assert c["absorbed"][at] == pytest.approx((x[columns["b"] == 1, 1] > 0.5).mean())
    assert c["by"][at] == "1"
    x[:, 0] += x[:, 1]  # the general feature fires there as well
    c = absorption(ArrayActivations(x, "x", columns), AbsorptionParams(draws=4)).columns
    assert c["absorbed"][at] == 0
