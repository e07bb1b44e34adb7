"""What the methods that draw single parts of rows give, against second ways to the same numbers and by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from test_figures_planted import filmed

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks.random_projections import random_basis
from analysis.errors import NotFound, ParameterError
from analysis.methods.attribution.channel_group_agreement import (
    ChannelGroupAgreementParams,
    channel_group_agreement,
)
from analysis.methods.tokens.coarse_sources import CoarseSourcesParams, coarse_sources
from analysis.methods.tokens.crop_bill import CropBillParams, crop_bill
from analysis.methods.tokens.merge_criteria import MergeCriteriaParams, merge_criteria
from analysis.methods.tokens.pooled_shapes import PooledShapesParams, pooled_shapes, shrinking
from analysis.methods.tokens.projected_tokens import PICTURES, ProjectedTokensParams, projected_tokens
from analysis.methods.tokens.query_budget import ASKED, EXACT, UNIFORM, QueryBudgetParams, query_budget
from analysis.methods.tokens.reading_after_drops import (
    ReadingAfterDropsParams,
    kept_reading,
    moved,
    reading_after_drops,
)
from analysis.methods.tokens.set_weight_map import SetWeightMapParams, set_weight_map
from analysis.sources.stored_pictures import stored_pictures
from analysis.tokens.block_masks import block_left, both_left, gone_of, random_left
from analysis.tokens.criteria import CHANCE, JOINT, Overheard, alone, pairs, shared
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.over_samples import plan_of
from analysis.tokens.pooling.projector import cell_attention
from analysis.tokens.pooling.set_numbers import evenness, front, grown, spread_within
from analysis.tokens.pooling.token_sets import token_sets
from analysis.tokens.pooling.volume_rule import ladder, pooled_to, shape_of
from analysis.tokens.pooling.weighted_volume import volume_cells
from analysis.tokens.projected import BLOCK, KEPT, MASKED, REST, changes, rebuilt
from analysis.tokens.projected_pixels import WHOLE, patches_of, pixels_r2, redrawn, whole_picture
from analysis.tokens.read_after import ANSWER, WORDS, Stage, paid, stages
from analysis.tokens.rule import rule
from analysis.tokens.rules.mctf import MctfSettings
from analysis.tokens.schedule import schedule
from analysis.tokens.state import TokenState
from analysis.tokens.sub_images import bill, crops_of
from analysis.tokens.subject import RowSubject
from analysis.tokens.view import CLASS, PATCH, TEXT, TokenLayout
from analysis.workspace import Workspace
from dashboard.browse.token_questions import QUESTIONS
from dashboard.figures import curve_film, curve_screen
from dashboard.figures.style import theme_named as theme

SAMPLES = Path(__file__).parents[1] / "sample_data" / "workspace"


def tokens(x, grid=None):
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), name="planted", layout=Layout(np.arange(n + 1) * t, grid=grid))


# ---------------------------------------------------------------------------- what is read behind a removal
def test_what_is_read_behind_a_removal_is_the_answering_row_brought_to_one(rng):
    """By hand: pyramid_drop on a dump of rows keeps the largest of the class token's row, renormalised."""
    tap = tokens(rng.standard_normal((3, 8, 5)))
    who = RowSubject(tap, 3, rng, lambda f, doing="": None)
    found, layout, given = stages(
        who, 1, rule("pyramid_drop"), plan_of(rule("pyramid_drop"), 0.125, 4), ANSWER, rng
    )
    row = who.dump.recorded["mean attention"][0][1, 0]
    assert given is None
    assert [s.left for s in found] == [8, 4, 2, 1]
    for stage in found:
        kept = np.r_[0, 1 + np.argsort(-row[1:], kind="stable")[: stage.left]]
        want = np.zeros(9)
        want[kept] = row[kept] / row[kept].sum()
        np.testing.assert_allclose(stage.after, want, atol=1e-12)
        np.testing.assert_allclose(stage.before, row, atol=1e-12)
        np.testing.assert_array_equal(np.flatnonzero(stage.there), np.sort(kept))
        assert kept_reading(stage, layout.free[0]) == pytest.approx(row[kept[1:]].sum() / row[1:].sum())
        assert moved(stage) == pytest.approx(0.0, abs=1e-12)


def test_moving_is_half_the_distance_after_renormalising():
    stage = Stage(1, 2, np.array([0.5, 0.25, 0.25]), np.array([0.5, 0.5, 0.0]), np.array([True, True, False]))
    assert moved(stage) == pytest.approx(0.5 * (abs(0.5 - 2 / 3) + abs(0.5 - 1 / 3)))
    assert kept_reading(stage, np.array([False, True, True])) == pytest.approx(0.5)


def test_words_read_as_their_mean_and_merged_tokens_share_what_is_read_of_them():
    kinds = np.array([[PATCH, PATCH, TEXT, TEXT]])
    layout = TokenLayout(kinds, kinds == PATCH, np.full((1, 4), -1), causal=False)
    attention = np.array([[[1.0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]])
    state = TokenState.start(np.ones((1, 4), bool))
    np.testing.assert_allclose(paid(attention, state, layout, WORDS), [0, 0.5, 0.5, 0])
    one = TokenState(np.array([[0, 2, 3]]), np.array([[0, 0, 1, 2]]), np.array([[2.0, 1, 1]]))
    merged = np.array([[[1.0, 0, 0], [0.8, 0.2, 0], [0.4, 0.2, 0.4]]])
    np.testing.assert_allclose(paid(merged, one, layout, WORDS), [0.3, 0.3, 0.2, 0.2])
    kinds = np.array([[CLASS, PATCH, PATCH, PATCH]])
    seen = TokenLayout(kinds, kinds == PATCH, np.full((1, 4), -1))
    np.testing.assert_allclose(paid(attention, state, seen, WORDS), [1, 0, 0, 0])  # no text: the class token


def test_maps_of_stages_average_one_over_the_tokens_there(rng):
    found = reading_after_drops(tokens(rng.standard_normal((4, 6, 3))), ReadingAfterDropsParams(share=0.2))
    counts = [np.isfinite(row).sum() for row in found.values]
    for row, count in zip(found.values, counts, strict=True):
        assert np.nansum(row) == pytest.approx(count)
    assert counts[0] == 7
    assert counts[-1] < counts[2]
    everything = reading_after_drops(
        tokens(rng.standard_normal((4, 6, 3))), ReadingAfterDropsParams(share=1.0)
    )
    assert len(everything.values) == 1
    assert "removes nothing" in everything.reading


# ---------------------------------------------------------------------------- criteria of merging
def test_each_criterion_alone_is_the_rule_with_the_others_left_out(rng):
    tap = tokens(rng.standard_normal((3, 12, 6)))
    who, settings = RowSubject(tap, 3, rng, lambda f, doing="": None), MctfSettings()
    plan = plan_of(rule("mctf"), 0.3, 4)
    heard = Overheard(2, settings, np.random.default_rng(0))
    given = who.one(0)[0]
    listened = who.answer(given, heard.rule(), plan, settings, rng)
    plain = who.answer(given, rule("mctf"), plan, settings, rng)
    np.testing.assert_array_equal(
        listened.states[-1].owner, plain.states[-1].owner
    )  # listening changes nothing
    np.testing.assert_array_equal(heard.steps[JOINT].into, plain.steps[2].into)
    np.testing.assert_array_equal(heard.state.owner, plain.states[2].owner)
    counts = {name: len(pairs(heard.state, step)) for name, step in heard.steps.items()}
    assert len(set(counts.values())) == 1  # as many pairs each, chance too
    assert counts[CHANCE] > 0
    only = alone(MctfSettings(similarity=0.0), "similarity")
    assert (only.similarity, only.information, only.size) == (1.0, 0.0, 0.0)


def test_likeness_alone_brings_copies_together_and_reading_alone_what_is_read_least(rng):
    x = np.repeat(rng.standard_normal((3, 6, 8)), 2, axis=1)
    found = merge_criteria(tokens(x), MergeCriteriaParams(share=0.34, layer=1))
    owner = dict(zip(found.names, found.owner, strict=True))
    groups = [np.flatnonzero(owner["similarity alone"] == o) for o in np.unique(owner["similarity alone"])]
    made = [(int(g[0]), int(g[-1])) for g in groups if len(g) > 1]
    assert made
    assert all((a - 1) // 2 == (b - 1) // 2 for a, b in made)
    np.testing.assert_array_equal(owner["before"], np.arange(13))
    sizes = [np.unique(owner[n], return_counts=True)[1].sum() for n in found.names]
    assert set(sizes) == {13}  # nothing is lost


def test_pairs_are_the_same_whichever_way_they_go():
    assert shared({(1, 2), (3, 4)}, {(2, 1), (5, 6)}) == pytest.approx(1 / 3)
    assert shared(set(), set()) == 1.0


def test_a_layer_that_merges_nothing_is_refused_in_words(rng):
    tap = tokens(rng.standard_normal((3, 12, 6)))
    with pytest.raises(ParameterError, match=r"layer 9, behind which nothing is merged"):
        merge_criteria(tap, MergeCriteriaParams(layer=9))


# ---------------------------------------------------------------------------- where a coarse token comes from
def test_source_regions_are_those_that_make_the_coarse_tokens(rng):
    """The coarse token that the projector makes is the sum of patches by the weights that are drawn."""
    x = rng.standard_normal((4, 16, 7))
    found = coarse_sources(tokens(x, (4, 4)), CoarseSourcesParams(sample=2, token=1)).values
    cell = [2, 3, 6, 7]
    np.testing.assert_allclose(found[0] @ x[2], x[2, cell].mean(axis=0))
    np.testing.assert_allclose(found[1] @ x[2], cell_attention(x[2, cell]) @ x[2, cell])
    np.testing.assert_allclose(found[2] @ x[2], x[2, 6])
    assert not found[:3, np.setdiff1d(np.arange(16), cell)].any()
    assert (found[3] > 0).all()
    np.testing.assert_allclose(found[:4].sum(axis=1), 1.0)
    for k, own in enumerate(([0, 1, 4, 5], cell, [8, 9, 12, 13], [10, 11, 14, 15])):
        one = coarse_sources(tokens(x, (4, 4)), CoarseSourcesParams(sample=2, token=k)).values
        np.testing.assert_allclose(
            one[1, own], found[4, own]
        )  # local: a patch gives to its own coarse token only


def test_patches_that_no_cell_takes_are_said(rng):
    found = coarse_sources(tokens(rng.standard_normal((3, 25, 4)), (5, 5)))
    assert any(c.startswith("9 of 25 patches lie beyond the last whole cell") for c in found.caveats)
    assert (found.values[4].reshape(5, 5)[4] == 0).all()
    whole = coarse_sources(tokens(rng.standard_normal((3, 16, 4)), (4, 4)))
    assert not any("beyond" in c for c in whole.caveats)


def test_a_coarse_token_that_is_not_there_is_refused(rng):
    with pytest.raises(NotFound, match="coarse token 4"):
        coarse_sources(tokens(rng.standard_normal((3, 16, 4)), (4, 4)), CoarseSourcesParams(token=4))


# ---------------------------------------------------------------------------- crops of a page
def laid(kinds, cell, grid, frames=1):
    kinds = np.asarray(kinds)[None]
    return TokenLayout(kinds, kinds == PATCH, np.asarray(cell)[None], grid, frames=frames)


def test_crops_cut_the_grid_into_parts_that_hold_every_token_once():
    layout = laid([CLASS, *[PATCH] * 15], [-1, *range(15)], (3, 5))
    crop, parts = crops_of(layout, 2, 2)
    assert parts == (2, 2)
    assert crop[0] == -1
    np.testing.assert_array_equal(crop[1:].reshape(3, 5), [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 2, 3, 3]])
    frames, parts = crops_of(laid([PATCH] * 6, range(6), (6, 1), frames=3), 2, 2)
    assert parts == (3, 1)  # the network's own crops
    np.testing.assert_array_equal(frames, [0, 0, 1, 1, 2, 2])
    line, parts = crops_of(laid([PATCH] * 5, [-1] * 5, None), 2, 2)
    assert parts == (1, 4)
    assert sorted(np.bincount(line)) == [1, 1, 1, 2]


def test_the_bill_of_a_crop_is_the_rule_run_on_that_crop_alone(rng):
    noise = np.where(np.arange(16) < 6, 0.02, 0.8)[:, None] * rng.standard_normal((3, 16, 6))
    x = np.repeat(rng.standard_normal((3, 8, 6)), 2, axis=1) + noise
    who = RowSubject(tokens(x, (4, 4)), 3, rng, lambda f, doing="": None)
    dump = who.one(1)[1]
    crop, _ = crops_of(dump.layout, 2, 2)
    made = bill(dump, 1, crop, 0.9)
    unit = x - x.mean(axis=(0, 1))
    unit /= np.linalg.norm(unit, axis=2, keepdims=True)
    for c in range(4):
        at = np.flatnonzero(crop == c)
        alike = unit[1, at - 1] @ unit[1, at - 1].T - 2 * np.eye(4)
        dense = 1 - (alike.max(axis=1) > 0.9).mean()
        assert made.density[c] == pytest.approx(dense)
        kept = at[np.argsort(-made.read[at])[: max(int(np.ceil(4 * dense)), 1)]]
        np.testing.assert_array_equal(np.flatnonzero(made.kept & (crop == c)), np.sort(kept))
        assert sorted(made.rank()[at]) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert len(set(made.density.values())) > 1
    hidden = dump.recorded["hidden"]
    other = dataclasses.replace(
        dump, recorded=dump.recorded | {"hidden": [hidden[0], *[-h for h in hidden[1:]]]}
    )
    other.recorded["hidden"][2] = np.ones_like(hidden[2])
    assert set(bill(other, 1, crop, 0.9).density.values()) == {0.0}  # what stands behind the second layer
    assert bill(other, 0, crop, 0.9).density == made.density
    gone = simulate(dump, rule("correlation_guided"), plan_of(rule("correlation_guided"), 0.5, 4))
    whole = bill(dump, 1, np.where(crop >= 0, 0, -1), 0.9)  # the rule takes the picture as one crop
    np.testing.assert_array_equal(gone.states[-1].place[0] >= 0, whole.kept | (crop < 0))


def test_pages_show_the_sampled_tokens_alone(rng):
    x = np.repeat(rng.standard_normal((4, 4, 5)), 4, axis=1)
    found = crop_bill(tokens(x, (4, 4)), CropBillParams(down=4, across=1))
    assert np.isfinite(found.values[0]).sum() == 4  # rows of copies: one token each
    assert (found.values[1] == 0).all()
    kept = [e.value for e in found.estimates if e.name.startswith("tokens kept")]
    assert kept == [1.0] * 4
    assert not any("at random" in c for c in found.caveats)
    some = crop_bill(tokens(x, (4, 4)), CropBillParams(maximum_samples=3))
    assert any(c.startswith("Means are of 3 of 4 samples, at random") for c in some.caveats)
    with pytest.raises(NotFound, match="layer 9"):
        crop_bill(tokens(x, (4, 4)), CropBillParams(layer=9))


# ---------------------------------------------------------------------------- weights of elements by channel
def test_weights_are_a_softmax_over_the_elements_that_are_there(rng):
    from scipy.special import softmax

    x = rng.standard_normal((5, 6, 4)) * [1, 2, 3, 4] + 1
    every = x.reshape(-1, 4)
    z = 1.5 * (x[3] - every.mean(axis=0)) / every.std(axis=0)
    for count in (None, 4, 1):
        found = set_weight_map(tokens(x), SetWeightMapParams(sample=3, elements=count, sharpness=1.5))
        np.testing.assert_allclose(found.values, softmax(z[:count], axis=0), atol=1e-12)
        lead = found.values.argmax(axis=0)[found.column_order]
        assert (np.diff(lead) >= 0).all()
    few = set_weight_map(tokens(x), SetWeightMapParams(channels=2))
    assert few.values.shape == (6, 2)
    assert any("2 of 4 channels" in c for c in few.caveats)
    with pytest.raises(NotFound, match="7 elements"):
        set_weight_map(tokens(x), SetWeightMapParams(elements=7))


def test_the_distance_of_a_growing_set_with_even_scores_is_that_of_a_mean_of_as_many(rng):
    x = rng.standard_normal((400, 10, 5))
    sets = token_sets(tokens(x), 400, rng)
    for share in (0.3, 0.5, 1.0):
        away, exact = grown(sets, np.zeros_like(x), share, rng)
        assert np.sqrt(np.square(away).mean()) == pytest.approx(exact.mean(), abs=0.02)
    assert grown(sets, x, 1.0, rng)[0].max() < 1e-12


def test_the_element_that_all_channels_take_is_in_front(rng):
    scores = rng.standard_normal((2, 5, 8))
    scores[0, 3] += 20
    present = np.ones((2, 5), bool)
    assert front(scores, present)[0] == 1.0
    present[0, 3] = False
    assert front(scores, present)[0] < 1.0


def test_equal_elements_and_copies_lead_nothing_and_it_is_said(rng):
    present = np.ones((1, 4), bool)
    assert front(np.zeros((1, 4, 8)), present)[0] == 0.0
    twice = rng.standard_normal((1, 4, 8))
    twice[0, 2] = twice[0, 1] = 9.0
    assert front(twice, present)[0] == 0.0
    x = rng.standard_normal((5, 6, 4))
    assert (
        "no element leads a channel" in set_weight_map(tokens(x), SetWeightMapParams(sharpness=0.0)).reading
    )


def test_the_null_of_elements_in_effect_has_the_spread_of_each_sample_not_of_all_samples(rng):
    """Gaussian rows about a place of each sample's own: by chance as many elements count as in the data."""
    x = rng.standard_normal((60, 8, 30)) + 6 * rng.standard_normal((60, 1, 30))
    found = set_weight_map(tokens(x), SetWeightMapParams(sharpness=4.0)).estimates[0]
    assert found.value == pytest.approx(found.null, abs=0.01)
    assert found.value < 0.95
    present = np.ones((60, 8), bool)
    present[:, 5:] = False
    np.testing.assert_allclose(spread_within(x, present), x[:, :5].std(axis=1, ddof=1))
    assert evenness(np.where(present[..., None], 1 / 5, 0.0) * np.ones((1, 1, 30)), present)[
        0
    ] == pytest.approx(1)


# ---------------------------------------------------------------------------- groups of channels among the poolings
def test_agreement_of_channel_groups_is_asked_among_the_poolings_and_answers_on_heads(rng):
    assert "channel_group_agreement" in QUESTIONS["pooling"].asks.values()
    store = Workspace.open(SAMPLES).store("digits-vit-patches")
    found = channel_group_agreement(store.activations("vit.layers.3"), ChannelGroupAgreementParams(groups=4))
    assert found.values.shape == (4, 4)  # 48 channels of four heads
    assert found.row_names[1] == "12 to 23"
    assert found.estimates[0].low < found.estimates[0].value < found.estimates[0].high
    assert found.estimates[1].null < found.estimates[1].low  # more than place alone gives


# ---------------------------------------------------------------------------- pooling to a shape
def test_pooling_to_a_shape_merges_cells_of_time_rows_and_columns(rng):
    """Of four frames of 2 x 3 behind a class token: by hand, and no cell reaches over what it should not."""
    kinds = np.r_[CLASS, np.full(24, PATCH)]
    layout = laid(kinds, np.r_[-1, np.arange(24)], (8, 3), frames=4)
    dump = TokenDump(
        layout, {"hidden": [rng.standard_normal((1, 25, 4))] * 4, "mean keys": [np.zeros((1, 25, 4))] * 3}
    )
    assert shape_of(layout) == (4, 2, 3)
    cell = np.arange(24)
    frame, row, column = cell // 6, cell % 6 // 3, cell % 3
    for high in (1, 2):
        plan = schedule("second", high * 6 / 24, 3, 24)
        found = simulate(dump, pooled_to((2, high, 3)), plan).states[-1]
        group = found.place[0][1:]
        for i in range(24):
            same = (frame // 2 == frame[i] // 2) & (column == column[i]) & ((row == row[i]) | (high == 1))
            np.testing.assert_array_equal(group == group[i], same)
        assert found.counts[0] == 6 * high + 1
    assert found.place[0][0] == 0  # the class token stays alone
    assert found.size[0, 0] == 1


def test_ladders_halve_time_or_space_alone():
    assert ladder((4, 6, 3), True) == [(4, 6, 3), (2, 6, 3), (1, 6, 3)]
    assert ladder((4, 6, 3), False) == [(4, 6, 3), (4, 3, 1), (4, 1, 1)]
    assert ladder((1, 2, 2), True) == [(1, 2, 2)]


def test_a_pooled_token_is_never_longer_than_the_mean_length_in_its_cell(rng):
    x, present = rng.standard_normal((24, 5)), np.ones(24, bool)
    present[[3, 7]] = False
    for wanted in [(4, 2, 3), (2, 2, 3), (4, 1, 1), (1, 1, 1)]:
        cell = volume_cells((4, 2, 3), wanted)
        means = [x[present & (cell == c)].mean(axis=0) for c in np.unique(cell[present])]
        usual = [np.linalg.norm(x[present & (cell == c)], axis=1).mean() for c in np.unique(cell[present])]
        want = np.linalg.norm(means, axis=1).sum() / sum(usual)
        got = shrinking(np.where(present[:, None], x, 0), present, cell)
        assert got == pytest.approx(want)
        assert got <= 1 + 1e-12


def test_a_network_that_pools_to_its_own_shape_answers_as_it_did():
    store = Workspace.open(SAMPLES).store("digits-vit-patches")
    ask = PooledShapesParams(times=1, rows=4, columns=4, maximum_samples=4)
    found = pooled_shapes(store.activations("vit.layers.3"), ask)
    by = {e.name: e for e in found.estimates}
    assert by["answer, pooled to 1 x 4 x 4"].value == 1.0
    assert by["length, pooled to 1 x 4 x 4"].value == pytest.approx(1.0)
    assert found.series["answer, space pooled"][0] < 1.0  # one token in place of sixteen changes something
    with pytest.raises(ParameterError, match="1 x 5 x 4"):
        pooled_shapes(
            store.activations("vit.layers.3"), PooledShapesParams(rows=5, columns=4, maximum_samples=2)
        )


# ---------------------------------------------------------------------------- random projections and masks
def test_what_is_rebuilt_is_the_part_that_is_known_and_a_held_out_fit_of_the_rest(rng):
    """The other way to the same numbers: scikit-learn's ridge on the same folds, its penalty held very small."""
    from sklearn.linear_model import LinearRegression

    n, t, d, k = 30, 6, 8, 3
    mix = rng.standard_normal((d, d))
    x = rng.standard_normal((n * t, d)) @ mix
    sample, q = np.repeat(np.arange(n), t), random_basis(d, k, rng)
    left = np.concatenate([random_left(np.arange(t), 3, rng) for _ in range(n)])
    found = rebuilt(x, sample, q, {MASKED: left, BLOCK: ~left}, 3, np.random.default_rng(7))
    fold = (np.random.default_rng(7).permutation(n) % 3)[sample]
    c = x - x.mean(axis=0)
    p = q @ q.T
    for way, known in ((KEPT, c @ p), (REST, c - c @ p)):
        told = c @ q if way == KEPT else known
        hat = np.empty_like(c)
        for f in range(3):
            model = LinearRegression().fit(told[fold != f], (c - known)[fold != f])
            hat[fold == f] = known[fold == f] + model.predict(told[fold == f])
        errors = np.square(c - hat).sum(axis=1)
        assert found.errors[way].sum() == pytest.approx(errors.sum(), rel=0.02)
    assert not found.errors[MASKED][left].any()
    assert (found.errors[MASKED][~left] > 0).all()
    assert not found.errors[BLOCK][~left].any()
    np.testing.assert_allclose(found.spread, np.square(c).sum(axis=1))


def test_what_the_network_goes_on_with_adds_up_and_masks_free_tokens_alone(rng):
    q, behind = random_basis(6, 2, rng), rng.standard_normal((1, 4, 6))
    left, free = np.array([False, True, False, True]), np.array([False, True, True, True])
    made = {
        w: f(None, behind) for w, f in changes(q, {MASKED: left, BLOCK: ~left}, free, np.full(6, 9.0)).items()
    }
    np.testing.assert_allclose(made[KEPT] + made[REST], behind)
    np.testing.assert_allclose(made[KEPT] @ q, behind @ q)
    np.testing.assert_array_equal(made[MASKED][0, [0, 1, 3]], behind[0, [0, 1, 3]])
    assert (made[MASKED][0, 2] == 9.0).all()
    assert [(made[BLOCK][0, t] == 9.0).all() for t in range(4)] == [False, True, False, True]


def test_masking_leaves_the_share_of_tokens_that_projection_leaves_of_dimensions(rng):
    assert [t - gone_of(t, 0.3) for t in (10, 20, 3, 1)] == [3, 6, 1, 1]
    known = [(None, np.r_[-1, np.arange(16)], (4, 4))] * 5
    for left in both_left([17] * 5, known, 0.3, rng).values():
        assert [int(s.sum()) for s in left] == [5] * 5
        assert all(s[0] for s in left)  # the class token


@pytest.mark.parametrize(("grid", "gone"), [((4, 4), 5), ((3, 7), 11), ((7, 3), 20), (None, 6), ((5, 5), 0)])
def test_a_block_is_one_rectangle_less_some_of_its_last_row(grid, gone):
    """Random tokens are no block: they are not neighbours."""
    high, wide = grid or (1, 12)
    cell, seen = np.r_[-1, np.arange(high * wide)], set()
    for seed in range(40):
        left = block_left(cell, grid, gone, np.random.default_rng(seed))
        assert (~left).sum() == gone
        assert left[0]
        rows, columns = np.divmod(cell[~left], wide)
        if gone:
            area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            assert 0 <= area - gone <= np.ptp(columns)
            full = rows < rows.max()
            assert all((rows == r).sum() == np.ptp(columns) + 1 for r in np.unique(rows[full]))
        seen.add(tuple(cell[~left]))
    assert len(seen) > 1 or gone in (0, 20)


def test_patches_are_cut_out_of_pictures_and_laid_again(rng):
    images = [rng.random((3, 8, 6)) for _ in range(4)]
    cells = [np.r_[-1, rng.permutation(12)] for _ in images]
    found = patches_of(images, cells, (4, 3))
    assert found.y.shape == (48, 12)
    at = 13 * np.arange(4)[:, None] + np.arange(1, 13)
    np.testing.assert_array_equal(found.rows, at.ravel())
    for i, image in enumerate(images):
        mine = slice(12 * i, 12 * i + 12)
        again = whole_picture(found.y[mine], found.cell[mine], found)
        np.testing.assert_array_equal(again, image.transpose(1, 2, 0))
    token = found.y[5].reshape(2, 2, 3)  # by hand
    row, column = divmod(int(found.cell[5]), 3)
    np.testing.assert_array_equal(
        token, images[0][:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].transpose(1, 2, 0)
    )
    assert patches_of(images, cells, (3, 3)) is None
    assert patches_of([images[0], images[1][:, :4]], cells[:2], (4, 3)) is None


def test_pixels_that_tokens_hold_are_drawn_again_and_those_of_another_sample_are_not(rng):
    """Tokens that are their pixels turned; masked ones know the mean of those left and their place alone."""
    n, d = 40, 12
    images = [rng.standard_normal((3, 4, 4)) for _ in range(n)]
    cells = [np.arange(4)] * n
    patches = patches_of(images, cells, (2, 2))
    turn = np.linalg.qr(rng.standard_normal((d, d)))[0]
    sample, left = np.repeat(np.arange(n), 4), np.tile([True, True, False, True], n)
    found = redrawn(
        patches.y @ turn,
        sample,
        random_basis(d, 6, rng),
        {MASKED: left},
        patches,
        4,
        np.random.default_rng(1),
    )
    assert pixels_r2(found, WHOLE) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found.pictures[WHOLE], images[0].transpose(1, 2, 0), atol=0.05)
    np.testing.assert_array_equal(found.pictures[""], images[0].transpose(1, 2, 0))
    assert pixels_r2(found, KEPT) == pytest.approx(0.5, abs=0.1)
    assert pixels_r2(found, MASKED) == pytest.approx(0.75, abs=0.1)
    for source in (WHOLE, KEPT, REST, MASKED):
        assert pixels_r2(found, source, strange=True) < 0.05
    masked = found.pictures[MASKED]
    np.testing.assert_allclose(masked[:2], images[0].transpose(1, 2, 0)[:2], atol=0.05)
    assert np.abs(masked[2:, :2] - images[0].transpose(1, 2, 0)[2:, :2]).mean() > 0.3


def test_a_sample_network_rebuilds_its_pictures():
    tap = Workspace.open(SAMPLES).activations("digits-vit-patches:vit.layers.2")
    found = projected_tokens(tap, ProjectedTokensParams(sample=3, show=PICTURES, maximum_samples=24))
    assert found.names[0] == "the picture"
    assert found.grid == (8, 8)
    assert found.colours.shape == (6, 64, 3)
    assert np.ptp(found.values[0]) == 1
    by = {e.name: e for e in found.estimates}
    pixels = {name.removeprefix("R² of pixels from "): e for name, e in by.items() if "pixels" in name}
    assert pixels[WHOLE].value > pixels[REST].value > pixels[KEPT].value > pixels[BLOCK].value
    assert all(e.low > e.null for e in pixels.values())
    tokens_ = projected_tokens(tap, ProjectedTokensParams(sample=3, maximum_samples=24))
    assert tokens_.estimates == found.estimates
    assert tokens_.values.shape == (6, 16)
    rows = projected_tokens(tokens(np.random.default_rng(0).standard_normal((9, 8, 5))),
                            ProjectedTokensParams(show=PICTURES))  # fmt: skip
    assert any("No pixels are rebuilt" in c for c in rows.caveats)


def test_the_check_of_projected_tokens_fails_on_broken_code(monkeypatch):
    from analysis.methods.tokens import projected_tokens as file

    assert all(line.passed for line in file._check())
    real = file.redrawn
    monkeypatch.setattr(file, "redrawn", lambda x, *rest: real(np.roll(x, 1, axis=0), *rest))
    assert not all(line.passed for line in file._check())


# ---------------------------------------------------------------------------- bars over a film strip
def budget_of(**more):
    store = Workspace.open(SAMPLES).store("digits-vit-patches")
    return query_budget(
        store.activations("vit.layers.3"), QueryBudgetParams(**{"frames": 6, "budget": 40} | more)
    )


def test_a_budget_lies_over_the_pictures_of_its_frames():
    found = budget_of(first=4)
    assert found.bars == (ASKED,)
    assert found.controls == (UNIFORM,)
    assert found.pictures.shape[0] == len(found.x) == 6
    store = Workspace.open(SAMPLES).store("digits-vit-patches")
    np.testing.assert_array_equal(
        found.pictures[2], stored_pictures(store.activations("vit.layers.3"), [6])[0]
    )
    assert found.series[ASKED].sum() == found.series[EXACT].sum() == pytest.approx(40)
    assert np.abs(found.series[ASKED] - found.series[EXACT]).max() < 1  # what rounding does
    assert query_budget(tokens(np.ones((8, 3, 2)) * np.arange(8)[:, None, None])).pictures is None


def test_bars_stand_on_zero_and_pictures_lie_at_their_places_on_screen_and_on_paper():
    found = budget_of()
    made = curve_screen.screen(found, theme("light"))
    bar = next(t for t in made.data if t.type == "bar")
    np.testing.assert_allclose(bar.y, found.series[ASKED])
    assert [i.x for i in made.layout.images] == found.x.tolist()
    assert made.layout.yaxis.domain[0] > max(i.y + i.sizey / 2 for i in made.layout.images)
    assert made.layout.yaxis.range[0] <= 0
    ghost = next(t for t in made.data if t.name == UNIFORM)
    assert ghost.line.dash == "dot"
    plain = curve_screen.screen(dataclasses.replace(found, pictures=None), theme("light"))
    assert not plain.layout.images
    assert plain.layout.yaxis.domain is None


def test_of_many_pictures_every_second_is_drawn_and_it_is_said():
    many = dataclasses.replace(filmed(60), title="many")
    assert len(curve_film.filmed(many)) == 20
    assert curve_film.notes(many) == ("20 of 60 pictures are drawn",)
    assert curve_film.notes(filmed(12)) == ()
