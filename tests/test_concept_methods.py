"""Concept methods end to end: how a concept is named, what is refused, planted answers, invariances, derived stores."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from concept_subjects import tap, two_classes

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.compute.groups.concept import Concept, ConceptParams, asked_concept, ordered_concept
from analysis.compute.groups.concept_samples import ConceptSamples, concept_samples
from analysis.compute.linear.ranking_axes import (
    spearman,
)
from analysis.compute.rows.membership import pack
from analysis.compute.subspaces.erasing import ERASERS, LEACE, MEAN, halved
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.concepts.axis_cosines import AxisCosinesParams, axis_cosines
from analysis.methods.concepts.band_probe import BandProbeParams, band_probe
from analysis.methods.concepts.collateral_damage import CollateralDamageParams, collateral_damage
from analysis.methods.concepts.concept_erasure import ConceptErasureParams, concept_erasure
from analysis.methods.concepts.erasure_by_rank import ErasureByRankParams, erasure_by_rank
from analysis.methods.concepts.layer_trajectory import LayerTrajectoryParams, layer_trajectory, placed
from analysis.methods.concepts.rank_along_axis import RankAlongAxisParams, rank_along_axis
from analysis.methods.concepts.rankability import RankabilityParams, rankability
from analysis.recording.erased import erased_store
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main

PAPERS = (
    "Linear Adversarial Concept Erasure (R-LACE)",
    "Linear Adversarial Concept Erasure",
    "Learning by Reconstruction Produces Uninformative Features",
    "Mechanistic interpretability for adversarial inputs (subspace rerouting)",
    "On the rankability of visual embeddings",
)


@pytest.mark.parametrize("title", PAPERS)
def test_a_method_serves(title):
    assert [m.id for m in registry.methods().values() if title in m.papers]


# ---------------------------------------------------------------------------- naming a concept
def test_the_grammar_of_a_concept():
    n = 60
    kinds = np.array(["a", "b", "c"])[np.arange(n) % 3]
    data = tap(np.zeros((n, 2)), label=kinds, size=np.linspace(0, 1, n), whole=np.arange(n) % 4)

    def ask(**more):
        return asked_concept(data, ConceptParams(**more), 5)

    at, concept, _ = ask()
    assert concept.classes == ("a", "b", "c")
    assert concept.rank == 2
    assert not ask(column="whole")[1].is_number
    assert ask(column="size")[1].is_number
    at, concept, _ = ask(first="b")
    np.testing.assert_array_equal(concept.of == 1, kinds[at] == "b")
    assert len(at) == n
    at, concept, _ = ask(first="c", second="a")
    assert set(kinds[at]) == {"a", "c"}
    np.testing.assert_array_equal(concept.of == 1, kinds[at] == "c")
    inside = np.arange(n) < 12
    at, concept, _ = ask(inside=pack(inside))
    np.testing.assert_array_equal(concept.of == 1, inside)
    outside = np.arange(n) >= 50
    at, concept, _ = ask(inside=pack(inside), outside=pack(outside))
    np.testing.assert_array_equal(at, np.flatnonzero(inside | outside))
    with pytest.raises(NotFound, match="nothing"):
        ask(first="nothing")
    with pytest.raises(ParameterError, match="membership"):
        ask(inside=pack(np.ones(9, bool)))


def test_selections_of_tokens_stand_for_their_samples():
    data = tap(np.random.default_rng(0).standard_normal((40, 2)), tokens=4)
    inside = np.zeros(40, bool)
    inside[[1, 5]] = True  # samples 0 and 1
    outside = np.zeros(40, bool)
    outside[[6, 12]] = True  # samples 1 and 3
    at, concept, notes = asked_concept(data, ConceptParams(inside=pack(inside), outside=pack(outside)), 1)
    np.testing.assert_array_equal(at, [0, 3])
    assert any("both selections" in note for note in notes)
    at, concept, _ = asked_concept(data, ConceptParams(inside=pack(inside)), 1)
    np.testing.assert_array_equal(concept.of, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0])


def test_what_orders_samples():
    n = 30
    data = tap(
        np.zeros((n, 2)), few=np.arange(n) % 3 - 1, text=(np.arange(n) % 7).astype(str),
        two=np.array(["no", "yes"])[np.arange(n) % 2], three=np.array(list("abc"))[np.arange(n) % 3],
    )  # fmt: skip
    for column, expected in (
        ("few", np.arange(n) % 3 - 1),
        ("text", np.arange(n) % 7),
        ("two", np.arange(n) % 2),
    ):
        concept = ordered_concept(data, ConceptParams(column=column), 5)[1]
        np.testing.assert_array_equal(concept.values, expected)
    with pytest.raises(InputError, match="3 classes without an order"):
        ordered_concept(data, ConceptParams(column="three"), 5)
    one = ordered_concept(data, ConceptParams(column="three", first="b"), 5)[1]
    np.testing.assert_array_equal(one.values, np.arange(n) % 3 == 1)


# ---------------------------------------------------------------------------- refusals
@pytest.mark.parametrize("method", [concept_erasure, erasure_by_rank, collateral_damage, band_probe])
def test_bad_concepts_are_refused_with_the_reason(method, rng):
    x = rng.standard_normal((80, 3))
    with pytest.raises(InputError, match="one value 7 for all 80"):
        method(tap(x, label=np.full(80, 7)))
    with pytest.raises(NotEnoughData, match=r"1 of 2 class\(es\).*b \(1\)"):
        method(tap(x, label=np.array(["a"] * 79 + ["b"])))
    with pytest.raises(TooLarge, match="60 classes"):
        method(tap(rng.standard_normal((1200, 3)), label=(np.arange(1200) % 60).astype(str)))
    with pytest.raises(InputError, match="every unit"):
        method(tap(np.ones((80, 3)), label=np.arange(80) % 2))
    with pytest.raises(InputError, match="one value"):
        method(tap(x, label=np.full(80, 0.25)))


def test_a_second_group_without_a_first_does_not_count_for_nothing():
    given = tap(np.eye(80, 3), label=np.arange(80) % 2)
    for asked in ({"second": "1"}, {"outside": "80:1"}):
        with pytest.raises(ParameterError, match="no first group"):
            asked_concept(given, ConceptParams(**asked), 5)
        with pytest.raises(ParameterError, match="no first group"):
            ordered_concept(given, ConceptParams(**asked), 5)


@pytest.mark.parametrize("method", [concept_erasure, erasure_by_rank, collateral_damage])
def test_half_of_the_samples_must_exceed_the_units(method, rng):
    label = np.arange(80) % 2
    with pytest.raises(NotEnoughData, match=r"40 samples.* for 40 units"):
        method(tap(rng.standard_normal((80, 40)), label=label))
    x = np.hstack([rng.standard_normal((80, 20)), np.ones((80, 30))])  # constant units do not count
    assert any("30 constant" in c for c in method(tap(x, label=label)).caveats)


def test_a_number_that_is_constant_in_a_half_is_refused():
    x = np.random.default_rng(0).standard_normal((60, 2))
    concept = Concept("y", None, (), np.r_[5.0, np.ones(59)])
    data = ConceptSamples(x, np.arange(60), np.arange(2), concept, ())
    with pytest.raises(NotEnoughData, match="varies in both halves"):
        halved(data, 4, np.random.default_rng(0))


def test_two_clicked_samples(rng):
    x, _ = two_classes()
    y = x[:, 0] + 0.1 * rng.standard_normal(len(x))
    data = tap(x, label=y)
    low, high = str(int(y.argmin())), str(int(y.argmax()))
    found = rankability(data, RankabilityParams(low=low, high=high))
    axis = x[int(high)] - x[int(low)]
    test_n = found.estimates[0].n
    assert found.estimates[0].value == pytest.approx(spearman(x @ axis, y), abs=0.15)
    assert test_n <= 200
    turned = rankability(data, RankabilityParams(low=high, high=low))
    assert turned.estimates[0].value == pytest.approx(-found.estimates[0].value, abs=1e-12)
    for method, params in ((rankability, RankabilityParams), (rank_along_axis, RankAlongAxisParams)):
        with pytest.raises(ParameterError, match="two different samples"):
            method(data, params(low="3", high="3"))
        with pytest.raises(ParameterError, match="two different samples"):
            method(data, params(low="3"))
        with pytest.raises(NotFound, match="'nobody'"):
            method(data, params(low="3", high="nobody"))
        same = np.array(x)
        same[7] = same[3]
        with pytest.raises(InputError, match="equal activations"):
            method(tap(same, label=y), params(low="3", high="7"))


def test_two_clicks_sort_samples_without_any_attribute():
    x, _ = two_classes()
    found = rank_along_axis(tap(x), RankAlongAxisParams(low="0", high="1"))
    assert [e.name for e in found.estimates] == ["share of the variance along the axis"]
    axis = (x[1] - x[0]) / np.linalg.norm(x[1] - x[0])
    share = (x @ axis).var() / x.var(axis=0).sum()
    assert found.estimates[0].value == pytest.approx(share, rel=1e-9)
    rows = np.concatenate(list(found.groups.values()))
    values = np.concatenate(list(found.values.values()))
    expected = (x - x.mean(axis=0)) @ axis
    np.testing.assert_allclose(values, (expected / expected.std())[rows], atol=1e-9)
    assert (np.diff(values) >= 0).all()


# ---------------------------------------------------------------------------- planted answers
def test_a_number_is_erased_by_one_dimension(rng):
    x = rng.standard_normal((3000, 6))
    y = x[:, 0] + 0.5 * rng.standard_normal(3000) + 9
    found = concept_erasure(tap(x, label=y), ConceptErasureParams(maximum_samples=3000))
    at = {str(m): i for i, m in enumerate(found.columns["method"])}
    assert (found.columns["dimensions"][1:-1] == 1).all()
    assert found.columns["linear"][0] == pytest.approx(0.8, abs=0.05)
    for name in (LEACE, "cross-covariance projection", "R-LACE"):
        assert found.columns["linear"][at[name]] < 0.02
        assert found.columns["covariance left"][at[name]] < 1e-9
    assert str(found.columns["method"][np.argmax(found.columns["least edit"])]) in ERASERS


def test_the_marked_method_is_the_least_edit_of_those_that_blind():
    x, label = two_classes(2000, 4)
    c = concept_erasure(tap(x, label=label)).columns
    named = np.isin(c["method"], ERASERS) & c["blinds"]
    assert c["least edit"].sum() == 1
    assert c["edit"][c["least edit"]][0] == c["edit"][named].min()
    at = {str(m): i for i, m in enumerate(c["method"])}
    assert c["edit"][at[LEACE]] <= c["edit"][at["cross-covariance projection"]] * 1.05


def test_nothing_is_shown_where_there_was_nothing_to_read(rng):
    found = concept_erasure(tap(rng.standard_normal((400, 4)), label=np.arange(400) % 2))
    assert found.columns["least edit"].sum() == 0
    assert "nothing that a linear probe reads" in found.reading


def test_scores_do_not_change_with_shift_and_scale():
    x, label = two_classes(300, 5)
    one, two = (concept_erasure(tap(z, label=label)).columns for z in (x, 40 * x - 1e3))
    for probe in ("linear", "kNN"):
        np.testing.assert_allclose(one[probe], two[probe], atol=0.02)
    np.testing.assert_allclose(one["edit share"], two["edit share"], rtol=1e-3)


def test_the_rank_curve_starts_at_all_and_ends_at_the_classes():
    rng = np.random.default_rng(1)
    label = np.arange(1500) % 3
    x = rng.standard_normal((1500, 5)) + 3 * np.eye(5)[:3][label]
    found = erasure_by_rank(tap(x, label=label), ErasureByRankParams(method=MEAN))
    np.testing.assert_array_equal(found.x, [0, 1, 2])
    assert found.series["linear"][0] > 0.85
    assert found.series["linear"][2] < 0.42
    assert found.series["linear"][0] > found.series["linear"][1] > found.series["linear"][2]
    assert (found.low["linear"] <= found.series["linear"]).all()
    np.testing.assert_allclose(found.series["majority"], 1 / 3, atol=0.01)
    searched = erasure_by_rank(tap(x, label=label), ErasureByRankParams(method="R-LACE", most=2))
    assert searched.series["linear"][-1] < 0.42


@pytest.mark.parametrize("seed", range(3))
def test_erasing_a_random_label_leaves_the_others_inside_their_band(seed):
    rng = np.random.default_rng(seed)
    one, lost = rng.integers(2, size=(2, 1200))
    y = rng.standard_normal(1200)
    x = rng.standard_normal((1200, 40)) + 1.5 * one[:, None] * np.eye(40)[1] + y[:, None] * np.eye(40)[2]
    c = collateral_damage(tap(x, lost=lost, one=one, y=y), CollateralDamageParams(column="lost")).columns
    assert list(c["column"]) == ["lost (erased)", "one", "y"]
    assert (c["after"][1:] >= c["before low"][1:]).all()
    assert (c["association"][1:] < 0.02).all()
    assert not c["damaged"].any()


def test_a_meaningless_label_takes_what_holds_the_variance_and_is_told_from_a_real_one():
    """A direction found in noise lies along the largest axis: erasing it costs the column there, and so do exchanged
    values, so that nothing is marked; random directions would not have shown it."""
    rng = np.random.default_rng(0)
    one, lost = rng.integers(2, size=(2, 1500))
    y = rng.standard_normal(1500)
    x = rng.standard_normal((1500, 8)) + 2 * one[:, None] * np.eye(8)[1] + 4 * y[:, None] * np.eye(8)[2]
    data = tap(x, lost=lost, one=one, y=y)
    c = collateral_damage(data, CollateralDamageParams(column="lost")).columns
    assert c["damage low"][2] > c["random most"][2]
    assert c["p"][2] > 0.05
    assert not c["damaged"].any()
    real = collateral_damage(data, CollateralDamageParams(column="one")).columns
    assert real["damage"][0] > 0.25
    assert real["damaged"].tolist() == [True, False, False]


def test_columns_that_are_no_concepts_are_said(rng):
    x, label = two_classes(200)
    names = np.array([f"n{i}" for i in range(200)])
    found = collateral_damage(tap(x, label=label, name=names, text=names))
    assert any("no concepts" in c and "name" in c for c in found.caveats)
    assert found.columns["column"].tolist() == ["label (erased)"]


# ---------------------------------------------------------------------------- bands, layers, cosines
def test_bands_split_the_variance_and_may_overlap(rng):
    x = rng.standard_normal((300, 6)) * np.array([6.0, 4, 3, 2, 1, 0.1])
    label = (x[:, 5] > 0).astype(int)
    c = band_probe(tap(x, label=label), BandProbeParams(shares="0.01, 20, 90")).columns
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))[::-1]
    share = values / values.sum()
    for first, last, got in zip(c["first"], c["last"], c["variance share"], strict=True):
        assert got == pytest.approx(share[first - 1 : last].sum(), abs=1e-9)
    at = {str(b): i for i, b in enumerate(c["band"])}
    assert c["variance share"][at["top 90 %"]] + c["variance share"][at["bottom 20 %"]] > 1
    assert c["score"][at["bottom 0.01 %"]] > 0.9
    assert c["score"][at["top 90 %"]] < 0.65
    for shares in ("", "0, 50", "100", "ten"):
        with pytest.raises(ParameterError, match="percentages"):
            band_probe(tap(x, label=label), BandProbeParams(shares=shares))


def test_class_means_lie_at_half_their_distance(rng):
    x, label = two_classes(200, 5)
    first, fold = label == 1, np.repeat([0, 1], 200)
    place = placed(np.vstack([x, x]), np.tile(first, 2)[None], fold)[200:, 0]
    assert place[first].mean() == pytest.approx(0.5, abs=1e-12)
    assert place[~first].mean() == pytest.approx(-0.5, abs=1e-12)
    step = x[first].mean(axis=0) - x[~first].mean(axis=0)
    middle = (x[first].mean(axis=0) + x[~first].mean(axis=0)) / 2
    np.testing.assert_allclose(
        place * np.linalg.norm(step), (x - middle) @ step / np.linalg.norm(step), atol=1e-9
    )


def layers(n=120, d=40, gaps=(0.0, 0.0, 4.0), seed=0):
    rng = np.random.default_rng(seed)
    label = np.array(["no", "yes"])[np.arange(n) % 2]
    return [
        ArrayActivations(rng.standard_normal((n, d)) + g * (label == "yes")[:, None] * np.eye(d)[0], name=f"m:{i}",
                         samples={"label": label})
        for i, g in enumerate(gaps)
    ]  # fmt: skip


def test_layers_separate_where_they_do_and_shuffled_labels_do_not():
    found = layer_trajectory(*layers())
    value = found.series["held-out AUROC"]
    assert value[2] > 0.9
    assert "separable in 2" in found.reading
    assert (np.abs(value[:2] - 0.5) < 0.2).all()
    none = layer_trajectory(*layers(gaps=(0, 0, 0), seed=3))
    assert "in no layer" in none.reading
    assert np.mean([e.null_high for e in none.estimates[::2]]) < 0.75


def test_layers_are_invariant_to_rotation_scale_and_shift(rng):
    taps = layers(gaps=(1.0, 2.0))
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    moved = [dataclasses.replace(t, values=-3 * t.values @ turn + 8, digest="") for t in taps]
    one, two = (layer_trajectory(*t).series["held-out AUROC"] for t in (taps, moved))
    np.testing.assert_allclose(one, two, atol=1e-9)


def test_a_trajectory_needs_two_sets_and_two_layers(rng):
    a, b = layers()[:2]
    with pytest.raises(ParameterError, match="1 tap"):
        layer_trajectory(a)
    numbers = [dataclasses.replace(t, samples={"label": rng.standard_normal(120)}, digest="") for t in (a, b)]
    with pytest.raises(InputError, match="is a number"):
        layer_trajectory(*numbers)
    few = [
        dataclasses.replace(t, samples={"label": np.array(["x"] * 115 + ["y"] * 5)}, digest="")
        for t in (a, b)
    ]
    with pytest.raises(NotEnoughData):
        layer_trajectory(*few)
    found = layer_trajectory(a, b, params=LayerTrajectoryParams(inside=pack(np.arange(120) < 50), draws=19))
    assert any("50 and 70 samples" in c for c in found.caveats)


def test_cosines_of_axes_are_those_of_the_means(rng):
    x, label = two_classes(300, 4)
    other = (np.arange(300) // 2) % 2
    found = axis_cosines(tap(x, label=label, other=other))
    a, b = (x[c == 1].mean(axis=0) - x[c == 0].mean(axis=0) for c in (label, other))
    assert found.values[0, 1] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-9)
    assert not found.significant[0, 1]
    with pytest.raises(NotEnoughData, match="1 axis"):
        axis_cosines(tap(x, label=label))
    read = axis_cosines(tap(x, label=label, other=other), AxisCosinesParams(axis="read by a probe"))
    np.testing.assert_allclose(np.diag(read.values), 1.0)


# ---------------------------------------------------------------------------- derived stores
@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path / "ws")
    x, label = two_classes(300, 6)
    tokens = np.random.default_rng(0).standard_normal((300, 3, 5)) + label[:, None, None]
    x[4, 1] = np.nan
    x = np.hstack([x, np.full((300, 1), 2.0)])
    write_store(
        made.new_store_path("s"), name="s", taps={"a": x, "b": tokens}, labels=[f"k{v}" for v in label],
        samples={"size": np.arange(300.0)},
    )  # fmt: skip
    return made


def test_an_erased_store_is_a_store_without_the_concept(workspace):
    made = erased_store(workspace, "s", "a", "label", name="without")
    old, new = workspace.activations("s:a"), workspace.activations("without:a")
    x, y = (np.asarray(t.take(np.arange(300)), float) for t in (old, new))
    good = np.isfinite(x).all(axis=1)
    np.testing.assert_array_equal(x[~good], y[~good])
    np.testing.assert_array_equal(y[good, 6], 2.0)
    of = np.asarray(made.samples["label"])[good] == "k1"
    assert np.abs(y[good][of].mean(axis=0) - y[good][~of].mean(axis=0)).max() < 1e-5
    assert np.linalg.matrix_rank(np.cov(y[good], rowvar=False), tol=1e-6) == 5
    assert made.manifest["data"]["erased"]["method"] == LEACE
    assert made.manifest["data"]["erased"]["digest"] == old.digest
    assert any("erased from s:a" in p for p in made.problems)
    np.testing.assert_array_equal(made.samples["size"], workspace.store("s").samples["size"])
    assert made.classes == workspace.store("s").classes
    found = workspace.run("concept_erasure", ["without:a"])
    assert "nothing that a linear probe reads" in found.reading


def test_tokens_are_erased_one_by_one(workspace):
    made = erased_store(workspace, "s", "b", "label", MEAN)
    assert made.name == "s without label"
    new = workspace.activations("s without label:b")
    assert new.shape == (900, 5)
    mean = np.asarray(new.take(np.arange(900)), float).reshape(300, 3, 5).mean(axis=1)
    of = np.asarray(made.samples["label"]) == "k1"
    assert np.abs(mean[of].mean(axis=0) - mean[~of].mean(axis=0)).max() < 1e-5
    assert made.verify() == []


def test_refused_erasures_leave_nothing_behind(workspace):
    before = sorted(p.name for p in (workspace.path / "stores").iterdir())
    with pytest.raises(ParameterError, match="one of LEACE"):
        erased_store(workspace, "s", "a", "label", "magic")
    with pytest.raises(NotFound):
        erased_store(workspace, "s", "a", "nothing")
    with pytest.raises(NotFound):
        erased_store(workspace, "s", "c", "label")
    with pytest.raises(InputError, match="already a store"):
        erased_store(workspace, "s", "a", "label", name="s")

    def stop(fraction, doing=""):
        if "written" in doing:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erased_store(workspace, "s", "a", "label", progress=stop)
    assert sorted(p.name for p in (workspace.path / "stores").iterdir()) == before


def test_the_command_erases(workspace, capsys):
    where = ["--workspace", str(workspace.path)]
    assert (
        main(
            ["erase", "s:a", "size", "--method", "INLP", "--dimensions", "2", "--name", "n", "--json", *where]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)
    assert Workspace.open(workspace.path).store("n").manifest["data"]["erased"]["dimensions"] == 2
    assert main(["erase", "s", "label", *where]) == 2
    assert main(["erase", "s:a", "label", "--dimensions", "0", *where]) == 2
    assert main(["erase", "s:a", "label", "--name", "n", *where]) == 1
    shutil.rmtree(workspace.path)


def test_a_subset_is_seeded_and_said():
    x, label = two_classes(400)
    found = concept_samples(
        tap(x, label=label), ConceptParams(), minimum=5, maximum=100, rng=np.random.default_rng(1)
    )
    again = concept_samples(
        tap(x, label=label), ConceptParams(), minimum=5, maximum=100, rng=np.random.default_rng(1)
    )
    np.testing.assert_array_equal(found.samples, again.samples)
    assert any("A random 100 of 400" in n for n in found.notes)
    np.testing.assert_array_equal(found.x, x[found.samples])
    np.testing.assert_array_equal(found.concept.of, label[found.samples])
