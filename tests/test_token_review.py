"""What methods of tokens got wrong once: nulls of the largest of many, dependent pairs, ties, gaps, choices unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.errors import NotFound
from analysis.methods.tokens import kan_edges, kan_functions
from analysis.methods.tokens.affine_stress import AffineStressParams, affine_stress
from analysis.methods.tokens.attention_bias import TAP, AttentionBiasParams, attention_bias
from analysis.methods.tokens.box_attention import MAPS, BoxAttentionParams, box_attention
from analysis.methods.tokens.branch_mix import branch_mix
from analysis.methods.tokens.expert_accuracy import expert_accuracy
from analysis.methods.tokens.frame_localisation import TABLE, FrameLocalisationParams, frame_localisation
from analysis.methods.tokens.heatmap_channels import ATTENTION, HeatmapChannelsParams, heatmap_channels
from analysis.methods.tokens.interest_strip import interest_strip
from analysis.methods.tokens.memory_age import HITS, MASS, MemoryAgeParams, memory_age
from analysis.methods.tokens.memory_read import MemoryReadParams, memory_read
from analysis.methods.tokens.patch_law import PatchLawParams, patch_law_of
from analysis.methods.tokens.point_matches import PLANE, PointMatchesParams, point_matches
from analysis.methods.tokens.signature_path import SignaturePathParams, signature_path
from analysis.methods.tokens.signature_words import SignatureWordsParams, signature_words
from analysis.methods.tokens.stream_fusion import StreamFusionParams, stream_fusion
from analysis.methods.tokens.token_order import token_order
from analysis.methods.tokens.view_sets import view_sets


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def whole(x, name="tokens", grid=None, **columns):
    """A tap whose samples are the sets x (n, T, d)."""
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), name, columns, Layout(np.arange(n + 1) * t, grid))


def by_name(result):
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- memory
def test_a_still_video_is_hit_at_all_ages_alike(rng):
    still = np.tile(rng.standard_normal((3, 1, 4, 8)), (1, 5, 1, 1)).reshape(3, 20, 8)
    found = memory_age(whole(still), MemoryAgeParams(frames=5))
    np.testing.assert_allclose(found.series[HITS], found.null[HITS], atol=1e-9)


def test_a_frame_that_is_missing_is_a_frame_of_age_and_a_place_that_reads_nothing_has_none(rng):
    x = rng.standard_normal((2, 3, 4, 8))
    x[:, 1] = np.nan  # the middle frame of three
    found = memory_age(whole(x.reshape(2, 12, 8)), MemoryAgeParams(frames=3))
    assert list(found.x) == [2]
    x = rng.standard_normal((2, 3, 4, 8))
    x[:, :2, 0] = np.nan  # nothing stands before this place
    local = memory_age(whole(x.reshape(2, 12, 8)), MemoryAgeParams(frames=3, local=True, window=0))
    assert local.series[MASS].sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(local.null[MASS].sum(), 1, atol=1e-12)
    assert "one frame" not in local.reading
    read = memory_read(whole(x.reshape(2, 12, 8)), MemoryReadParams(frames=3, local=True, window=0, place=2))
    assert by_name(read)["distance of what is read"].null == 0  # read alike inside the window
    np.testing.assert_allclose(read.values.max(axis=1).sum(), 2, atol=1e-9)  # even shares of the window


def test_frames_without_a_grid_have_no_window_to_leak_from(rng):
    found = memory_age(whole(rng.standard_normal((3, 9, 8))), MemoryAgeParams(frames=3))
    assert not any("outside" in name for name in by_name(found))
    other = memory_age(whole(rng.standard_normal((3, 12, 8))), MemoryAgeParams(frames=3))
    assert any("outside" in name for name in by_name(other))


def test_the_frame_that_is_read_most_is_compared_with_what_others_read_most(rng):
    over = []
    for _ in range(20):
        found = memory_read(
            whole(rng.standard_normal((9, 24, 6))), MemoryReadParams(frames=6, temperature=0.3)
        )
        over.append([found.estimates[i].value > found.estimates[i].null_high for i in (0, 1)])
    assert np.mean(over, axis=0).max() <= 0.2


# ---------------------------------------------------------------------------- moments
def clips(rng, layers, label, n=6, frames=8):
    samples = {"clip": np.repeat(np.arange(n), frames).astype(str), "frame": np.tile(np.arange(frames), n),
               "moment": np.tile(label, n), "id": np.arange(n * frames).astype(str)}  # fmt: skip
    x = rng.standard_normal((layers, n * frames, 12))
    return [ArrayActivations(v, f"s:layer {i}", samples=samples) for i, v in enumerate(x)]


def test_queries_of_a_clip_are_turned_together(rng):
    taps = clips(rng, 1, np.repeat(["walks", "runs"], 4))
    q = rng.standard_normal(12)
    names = {"id": np.array(["walks", "runs"])}
    both = frame_localisation(*taps, ArrayActivations(np.stack([q, -q]), "q", names)).estimates[0]
    one = frame_localisation(*taps, ArrayActivations(q[None], "q", {"id": names["id"][:1]})).estimates[0]
    # the second query says what the first one says: two of them are no more certain than one
    assert both.value == pytest.approx(one.value, abs=1e-12)
    assert both.null_high - both.null_low == pytest.approx(one.null_high - one.null_low, rel=0.15)


def test_chance_of_turns_by_nothing_is_the_number_itself(rng):
    from analysis.tokens.sets.moments import auroc, chance_of_means

    x, inside = rng.standard_normal((4, 7, 5)), [np.arange(7) < k for k in (2, 3, 4, 3)]
    own = []
    for c in range(3):
        query = sum(x[j][inside[j]].sum(axis=0) for j in range(4) if j != c)
        own.append(auroc((x[c] / np.linalg.norm(x[c], axis=1)[:, None]) @ query, inside[c]))
    still = chance_of_means(list(x), inside, [np.array([0, 7])] * 4, [0, 1, 2])
    np.testing.assert_allclose(still, np.mean(own), atol=1e-12)


def test_cells_count_after_all_of_them_and_chance_is_that_of_the_best_layer(rng):
    taps = clips(rng, 20, np.array(["walks"] * 3 + [""] * 5))
    found = frame_localisation(*taps, params=FrameLocalisationParams(show=TABLE))
    assert not found.significant.any()
    assert f"by chance {found.estimates[0].null:.2f}" in found.reading.replace(
        "the best by chance", "by chance"
    )
    assert found.estimates[0].null > 0.55
    with pytest.raises(NotFound, match="swims"):
        frame_localisation(*taps, params=FrameLocalisationParams(query="swims"))
    few = frame_localisation(*taps[:2], params=FrameLocalisationParams(maximum_clips=3))
    assert any("of 6 clips were read" in said for said in few.caveats)


# ---------------------------------------------------------------------------- views, prompts, boxes, histories
def test_another_order_of_two_views_is_another_order(monkeypatch, rng):
    from analysis.tokens.sets.views import Answers

    asked = []
    monkeypatch.setattr(Answers, "reordered", lambda _self, order: asked.append(list(order)))
    for seed in range(8):
        view_sets(whole(rng.standard_normal((4, 2, 6))), rng=np.random.default_rng(seed))
    assert asked == [[1, 0]] * 8


def test_the_most_needed_view_is_the_largest_of_many_and_a_share_that_never_varies_counts(rng):
    p = [view_sets(whole(rng.standard_normal((12, 6, 5)))).estimates[2].p_value for _ in range(12)]
    assert 0.2 < np.mean(p) < 0.8
    same = np.repeat(4 * rng.standard_normal((1, 4, 6)), 5, axis=0)  # the same attention in every set
    assert view_sets(whole(same)).significant.all()


def test_pairs_of_samples_that_share_one_are_not_independent():
    from analysis.tokens.attention.prompt_use import answering

    rng, n, held = np.random.default_rng(0), 14, []
    for _ in range(1000):
        u = rng.uniform(size=n)
        a = np.stack([u, 1 - u], axis=1)[:, None]
        _, ends = answering(a, np.ones((n, 1), bool), rng)
        held.append(ends["low"] <= 1 / 3 <= ends["high"])
    assert 0.94 < np.mean(held) < 0.97  # as if independent: 0.93; leaving out alone: 0.98
    assert "low" not in answering(a[:2], np.ones((2, 1), bool), rng)[1]  # one pair, counted twice


def test_recorded_maps_of_several_taps_are_of_the_same_samples(rng):
    maps = rng.uniform(size=(12, 16, 3))
    boxes = np.array(["1-2, 1-2", "1-2, 1-2; 3-4, 3-4", "1, 1; 2, 2; 3-4, 1-4"] * 4)
    taps = [whole(maps, name, (4, 4), boxes=boxes) for name in ("s:a", "s:b", "s:c")]
    found = box_attention(*taps, params=BoxAttentionParams(reading=MAPS, maximum_samples=3))
    for row in found.values[1:]:
        np.testing.assert_array_equal(row, found.values[0])
    told = by_name(found)
    assert "mass in the own box, mean of 3 layers" in told
    assert "the largest of 3 layers" in told["mass in the own box, a"].estimator


def test_an_item_that_is_not_finite_keeps_its_place(rng):
    x = rng.standard_normal((2, 6, 4))
    x[0, 1] = np.nan
    ads = rng.standard_normal((5, 4))
    found = interest_strip(whole(x), ArrayActivations(ads))
    assert found.values.shape[1] == 6
    assert np.isnan(found.values[:, 1]).all()
    assert found.values[0, 3] == pytest.approx(x[0, 3] @ ads[0] / 2)


# ---------------------------------------------------------------------------- moves, matches, maps, biases, mixes
def test_pictures_of_one_person_are_one_sample(rng):
    x = rng.standard_normal((24, 16, 6))
    tap = whole(x, grid=(4, 4), who=np.repeat(np.arange(4), 6))
    found = affine_stress(tap, AffineStressParams(identity="who"))
    assert {e.n for e in found.estimates} == {4}
    alone = affine_stress(tap)
    assert {e.n for e in alone.estimates} == {24}
    assert (
        found.estimates[0].high - found.estimates[0].low != alone.estimates[0].high - alone.estimates[0].low
    )


def test_a_plane_is_fitted_to_matches_of_noise_as_well(rng):
    a, b = (whole(rng.standard_normal((6, 16, 5)), n, (4, 4)) for n in "ab")
    params = PointMatchesParams(truth=PLANE, confidence=0.0, dustbin=-1.0, levels=1)
    right = point_matches(a, b, params).estimates[0]
    assert right.value > 0.25  # four of them always are, and a random partner is right in 1 of 16
    assert right.null == pytest.approx(right.value, abs=0.15)
    sure = point_matches(a, a, PointMatchesParams(levels=1)).estimates[0]
    assert sure.value == 1
    assert sure.low < 0.9  # six samples are no certainty


def test_every_sample_of_heat_maps_is_left_out_once_and_by_itself(rng):
    from analysis.tokens.heatmaps import held_out

    f, h, there = rng.standard_normal((20, 9, 4)), rng.standard_normal((20, 9, 2)), np.ones((20, 9), bool)
    own, _, made = held_out(f, h, there, np.random.default_rng(1))
    assert own.shape == (20,)
    assert (np.abs(made).sum(axis=(1, 2)) > 0).all()
    for i in (0, 7, 19):
        other = h.copy()
        other[i] += 100 * f[i, :, :1]
        np.testing.assert_array_equal(held_out(f, other, there, np.random.default_rng(1))[2][i], made[i])
    left, whole_ = np.square(h - made).sum(), np.square(h).sum()
    assert own.mean() == pytest.approx(1 - left / whole_, abs=0.05)


def test_channels_that_have_nothing_to_do_with_each_other_attend_to_themselves(rng):
    taps = [whole(rng.standard_normal((10, 36, d)), n, (6, 6)) for d, n in ((5, "f"), (2, "h"))]
    found = heatmap_channels(*taps, HeatmapChannelsParams(show=ATTENTION))
    assert np.diag(found.null).min() > 0.9
    np.testing.assert_allclose(found.values, found.null, atol=0.05)


def test_a_bias_of_noise_has_the_parts_of_chance(rng):
    found = attention_bias(whole(rng.standard_normal((6, 81, 1))), AttentionBiasParams(source=TAP))
    for estimate in found.estimates[1:4]:
        assert estimate.value == pytest.approx(estimate.null, abs=0.06)
    assert found.estimates[2].null > 0.05  # of six samples a sixth is the same in all


def test_two_branches_in_equal_parts_are_a_mix_of_them(rng):
    a, b, other = rng.standard_normal((3, 40, 6))

    def fits(y):
        return branch_mix(*(ArrayActivations(v, n) for v, n in zip((a, b, y), "aby", strict=True))).estimates[
            1
        ]

    assert fits((a + b) / 2).value == pytest.approx(1, abs=1e-9)
    assert fits((a + b) / 2 + 1e-6 * other).value == pytest.approx(1, abs=1e-3)
    assert fits(other).value < 0.2
    assert fits((a + b) / 2).null < 0.5


def test_the_length_of_a_path_stands_beside_lengths_of_random_orders(rng):
    length = by_name(token_order(whole(rng.standard_normal((3, 10, 2)))))["length of the path of this sample"]
    assert length.null_low < 1 < length.null_high


# ---------------------------------------------------------------------------- edges
def two_classes(rng, units=6):
    of = np.repeat([0, 1], 60)
    return ArrayActivations(
        rng.standard_normal((120, units)) + of[:, None] * (np.arange(units) == 2), "t", {"label": of}
    )


def test_edges_chosen_by_their_deviation_are_compared_rank_by_rank(rng):
    told = kan_functions.kan_functions(
        two_classes(rng), kan_functions.KanFunctionsParams(draws=30)
    ).estimates[:-1]
    null = [e.null for e in told]
    assert null == sorted(null, reverse=True)
    assert null[0] > 1.2 * null[-1]


def test_constant_edges_look_like_no_formula_and_another_order_is_no_null_of_a_selection(rng, monkeypatch):
    from dataclasses import replace

    from analysis.tokens.kan.layer import Family

    layer = kan_functions.planted(rng)
    still = replace(
        layer,
        families=tuple(
            Family(f.name, np.zeros_like(f.coefficients), f.basis, f.inside) for f in layer.families
        ),
    )
    for one, name in ((still, "edges like a formula beyond chance"), (layer, "selection entropy")):
        x = rng.standard_normal((50, 3))
        edges = kan_edges.Edges(
            one, np.sort(x, axis=0)[:48].T, tuple("abc"), ("n", "m"), x, np.arange(50), False, ()
        )
        monkeypatch.setattr(kan_edges, "edges_of", lambda *_a, edges=edges: edges)
        found = by_name(kan_edges.kan_edges(x, kan_edges.KanEdgesParams(draws=5)))[name]
        assert found.value == 0
        assert found.null == (0.05 if one is still else 0.5)  # Σ 1 / k of two families


# ---------------------------------------------------------------------------- paths, streams, experts, patches
def loops(rng, n=20):
    of, angle = np.arange(n) % 2, np.linspace(0, 2 * np.pi, 9)
    turn = np.where(of, 1, -1)[:, None] * angle + rng.uniform(0, 6, (n, 1))
    return whole(np.stack([np.cos(turn), np.sin(turn)], axis=2), label=of)


def test_all_told_right_is_no_certainty_and_one_path_is_one(rng):
    words = signature_words(loops(rng), SignatureWordsParams(draws=9, levels=2, time=False))
    assert words.estimates[0].value == 1
    assert words.estimates[0].low < 0.95
    assert "the most by chance" in words.reading
    path = signature_path(loops(rng), SignaturePathParams(draws=20, levels=2))
    assert [e.n for e in path.estimates[:2]] == [1, 20]
    assert all("deviations" in axis for axis in path.axes)


def test_p_of_few_draws_and_groups_holds_its_level():
    from analysis.compute.statistics.nulls import away_p

    rng = np.random.default_rng(0)
    draws, value, errors = rng.standard_normal((10, 4000)), rng.standard_normal(4000), np.full(4000, 1e-9)
    p = away_p(value - draws.mean(axis=0), draws, errors, 10)
    assert np.mean(p < 0.01) < 0.015
    assert np.mean(p < 0.2) == pytest.approx(0.2, abs=0.03)
    assert list(away_p(np.array([0.0, 1.0]), np.zeros((5, 2)), np.zeros(2), 5)) == [1, 0]


def test_three_of_three_are_few(rng):
    from analysis.compute.statistics.nulls import binomial_p

    assert binomial_p(np.array([3.0]), np.array([3]), np.array([0.1]))[0] == pytest.approx(2 * 0.001)
    assert binomial_p(np.array([0.0]), np.array([4]), np.array([0.5]))[0] == pytest.approx(2 / 16)
    of = np.r_[np.repeat([0, 1], 40), 2, 2]
    answers = np.where(np.arange(3) == np.r_[rng.integers(0, 2, 80), 2, 0][:, None], 5.0, 0.0)
    found = expert_accuracy(*(ArrayActivations(answers, n, {"label": of}) for n in "ab"))
    assert not found.significant[:, -1].any()  # one of two samples of a class
    alike = [e for e in found.estimates if e.name.startswith(("all together less", "different top class"))]
    assert len(alike) > 1
    for e in alike:  # two experts that are the same: 82 samples do not show that they never differ
        assert e.value == 0
        assert e.high > 0.02


def test_a_fit_to_nothing_is_what_a_fitted_fusion_is_compared_with(rng):
    x, y = rng.standard_normal((2, 120, 3))

    def share(of):
        taps = [ArrayActivations(v, n, {"label": of.astype(int)}) for v, n in ((x, "x"), (y, "y"))]
        return stream_fusion(*taps, params=StreamFusionParams(answer=1, draws=19)).estimates[0]

    assert share(x[:, 0] * y[:, 1] > 0).p_value == pytest.approx(1 / 20)
    assert share(rng.permutation(120) % 2).p_value > 0.05


def test_sizes_that_are_not_known_are_no_pixels(rng):
    loss = 1 + rng.standard_normal((30, 1)) * 0.1 + np.arange(3) * 0.2
    taps = [ArrayActivations(rng.standard_normal((30, 2)), f"t{k}", {"loss": loss[:, k]}) for k in range(3)]
    found = patch_law_of(*taps, params=PatchLawParams(draws=20))
    assert not any(
        "pixels" in text for text in (found.x_name, found.reading, *found.caveats, *by_name(found))
    )
    assert all(e.p_value is None for e in found.estimates[1:])
    known = patch_law_of(*taps, params=PatchLawParams(draws=20, sizes="4, 8, 16"))
    assert "pixels" in known.x_name


def test_places_that_all_agree_in_nine_samples_are_no_certainty():
    from analysis.methods.tokens.lens_words import _over_samples

    found = _over_samples(np.ones((9, 2)), "layer 2", 4)
    assert found.value == 1
    assert found.low < 0.9
