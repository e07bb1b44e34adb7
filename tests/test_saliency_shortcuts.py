"""Regions of maps, patches that are planted in rows and inputs, and who finds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations, Layout
from analysis.attribution.saliency_court.planting import PlantedTap, painted
from analysis.attribution.saliency_court.regions import chance_to_be_first, of_words, placed, rectangle
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.attribution.shortcut_patch import ShortcutPatchParams, shortcut_patch
from tests.court_subjects import SLOPES, Additive, Picture, Square, data, loaded, trial_of


@pytest.fixture
def network(monkeypatch):
    return trial_of(monkeypatch)


def test_a_red_square_that_decides_is_found_by_slopes_and_more_than_by_edges(network):
    rng = np.random.default_rng(0)
    items = 0.3 * rng.standard_normal((14, 3, 6, 6))
    items[:, 0, :2, :2] += 0.7
    params = ShortcutPatchParams(
        shortcut="the data have it", height=2, width=2, ways=SLOPES, background="zero"
    )
    table = shortcut_patch(network(Square(), items), params, np.random.default_rng(0))
    row = {name: i for i, name in enumerate(table.columns["way"])}
    own = [row[name.strip()] for name in SLOPES.split(",")]
    assert table.columns["area"] == pytest.approx(4 / 36)
    assert (table.columns["share inside"][own] > 0.7).all()
    for against in ("over area, q", "over edges, q"):
        assert (table.columns[against][own] < 0.05).all()
    assert (table.columns["place"][own] == 1).all()
    assert (table.columns["largest inside"][own] == 1).all()
    assert table.columns["share inside"][row["random"]] == pytest.approx(4 / 36, abs=0.06)
    assert table.estimates[0].value == pytest.approx(1, abs=0.1)
    elsewhere = shortcut_patch(
        network(Square(), items), ShortcutPatchParams(shortcut="the data have it", top=4, left=4, height=2, width=2,
                                                      ways=SLOPES, background="zero"), np.random.default_rng(0),
    )  # fmt: skip
    assert (elsewhere.columns["share inside"][own] < 0.1).all()
    assert any("no fault of its own" in said for said in elsewhere.caveats)


def test_a_square_is_painted_into_the_input_where_the_region_of_a_coarser_site_lies(network):
    model, x = loaded(Picture()), data(2, 6, 6)
    inside = np.zeros((3, 3), bool)
    inside[0, 1] = True
    run = painted(SampleRun(model, x, "map"), (3, 3), inside.ravel(), 2.0)
    changed = (run.inputs[0].numpy() != x).all(axis=0)
    assert set(zip(*np.nonzero(changed), strict=True)) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert run.inputs[0, 0, 0, 2].item() == pytest.approx(x.mean() + 2 * torch.as_tensor(x).std().item())
    assert run.site == "map"
    table = shortcut_patch(network(Square(), data(9, 3, 6, 6)), ShortcutPatchParams(ways="gradient x input"))
    assert any("not taught" in said for said in table.caveats)


def test_a_patch_stands_in_the_rows_or_units_of_the_chosen_samples_only():
    x = data(12, 4)
    found = PlantedTap(ArrayActivations(x), np.array([2, 5]), np.array([1]), 3.0).take(np.arange(12))
    assert np.argwhere(found != x).tolist() == [[2, 1], [5, 1]]
    assert found[2, 1] == pytest.approx(x[:, 1].mean() + 3 * x[:, 1].std())
    three = ArrayActivations(x, layout=Layout(np.arange(5) * 3))
    found = PlantedTap(three, np.array([1]), np.array([0, 2]), 3.0).take(np.arange(12))
    assert np.unique(np.argwhere(found != x)[:, 0]).tolist() == [3, 5]


def test_regions_are_held_against_every_equal_one():
    region = rectangle((4, 5), 1, 21, 2, 3, 2, 2)
    assert np.flatnonzero(region.inside).tolist() == [1 + 7, 1 + 8, 1 + 12, 1 + 13]
    assert region.equal.shape == (3 * 4 - 1, 21)
    assert (region.equal.sum(axis=1) == 4).all()
    assert len(np.unique(np.vstack([region.equal, region.inside]), axis=0)) == 12
    assert region.share(np.ones(21)) == pytest.approx(region.area) == 4 / 21
    assert region.place(np.ones(21)) == 0.5
    assert region.place(region.inside - 2.0 * ~region.inside) == 0
    assert rectangle(None, 0, 8, 1, 3, None, None).inside.nonzero()[0].tolist() == [2, 3]
    assert placed(2.0, np.array([1.0, 2.0, 3.0, 0.0])) == pytest.approx(2.5 / 4)
    words = of_words([" The", "cat", " sat", "the"], ["the", "dog"], np.random.default_rng(0))
    assert words.inside.tolist() == [True, False, False, True]
    assert (words.equal.sum(axis=1) == 2).all()
    pieces = of_words(["re", "turn", " (", "re", ")", " re"], ["return"], np.random.default_rng(0))
    assert pieces.inside.tolist() == [True, True, False, False, False, False]
    for asked in ((0, 1), (4, 1), (2, 5)):
        with pytest.raises(ParameterError):
            rectangle((4, 5), 1, 21, *asked, 2, 2)
    with pytest.raises(NotFound):
        of_words(["a"], ["b"], np.random.default_rng(0))


def test_every_way_that_gives_a_map_of_the_network_finds_the_square_that_decides(network):
    items = 0.3 * data(8, 3, 6, 6)
    items[:, 0, :2, :2] += 0.7
    params = ShortcutPatchParams(shortcut="the data have it", height=2, width=2, background="zero", samples=8)
    table = shortcut_patch(network(Square(), items), params, np.random.default_rng(0))
    own = ~table.columns["control"]
    assert own.sum() >= 8
    for name, share in zip(table.columns["way"][own], table.columns["share inside"][own], strict=True):
        assert share > 3 * 4 / 36, name


def test_chance_of_being_first_is_that_of_any_of_the_regions():
    """Of three regions without ties a third, of forty-one 4 / 41; of equal ones none."""
    assert chance_to_be_first(np.array([1.0, 2.0, 3.0]), 0.9) == pytest.approx(1 / 3)
    assert chance_to_be_first(np.arange(41.0), 0.9) == pytest.approx(4 / 41)
    assert chance_to_be_first(np.ones(5), 0.9) == 0
    assert chance_to_be_first(np.array([0.0, 0.0, 0.0, 1.0]), 0.9) == pytest.approx(1 / 4)


def test_a_region_among_few_is_no_shortcut_by_chance_alone(network):
    """Of a line of three places each is first in a third of the samples, not in a tenth."""
    params = ShortcutPatchParams(
        shortcut="the data have it",
        width=1,
        ways="gradient x input",
        background="zero",
        samples=40,
        number="logit",
    )
    table = shortcut_patch(network(Additive(), data(40, 3, 2)), params, np.random.default_rng(0))
    told = table.estimates[1]
    assert told.null == pytest.approx(1 / 3)
    assert told.low > 0.1
    assert told.low < told.null < told.high
    assert any("does not hang on the region" in said for said in table.caveats)


def test_words_are_never_among_their_own_equals():
    few = of_words(["a", "b", "c"], ["b"], np.random.default_rng(0))
    assert few.equal.astype(int).tolist() == [[1, 0, 0], [0, 0, 1]]
    many = of_words(list("abcdefghijklmnop"), ["b", "c"], np.random.default_rng(0))
    assert 90 <= len(many.equal) <= 99
    assert len(np.unique(many.equal, axis=0)) == len(many.equal)
    assert not (many.equal == many.inside).all(axis=1).any()
    assert (many.equal.sum(axis=1) == 2).all()


def test_no_patch_is_planted_for_units_of_a_hidden_layer_which_lie_nowhere_in_the_input(network):
    params = ShortcutPatchParams(ways="gradient")
    for site in ("hidden", "head"):
        with pytest.raises(InputError, match=f"units of {site}, which lie nowhere in the input"):
            shortcut_patch(network(Picture(), data(9, 2, 6, 6), site), params)
    assert len(shortcut_patch(network(Picture(), data(9, 2, 6, 6), "map"), params).columns["way"]) == 3
    row = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    assert shortcut_patch(network(row, data(9, 8)), params).columns["area"][0] == 2 / 8  # columns of a table
