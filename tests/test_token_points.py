"""Moves, orders, matches, mixes and biases of tokens: against closed forms, second ways and the sample networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import analysis
from analysis.activations import ArrayActivations, Layout
from analysis.compute.matching.point_assignment import dustbin_assignment, homography, moved, plane_motion
from analysis.errors import InputError, NotFound, ParameterError
from analysis.methods.tokens.adapted_features import adapted_features, paired
from analysis.methods.tokens.affine_stress import COSINE, AffineStressParams, affine_stress, verified
from analysis.methods.tokens.attention_bias import AttentionBiasParams, attention_bias
from analysis.methods.tokens.box_attention import LEAKED, BoxAttentionParams, box_attention
from analysis.methods.tokens.branch_mix import branch_mix
from analysis.methods.tokens.growth_timeline import growth_timeline
from analysis.methods.tokens.heatmap_channels import heatmap_channels
from analysis.methods.tokens.point_matches import PointMatchesParams, point_matches
from analysis.methods.tokens.prompt_attention import PromptAttentionParams, prompt_attention
from analysis.methods.tokens.token_order import TokenOrderParams, token_order
from analysis.methods.tokens.view_sets import ViewSetsParams, view_sets
from analysis.tokens.attention.heads import planted
from analysis.tokens.matched_points import pooled
from analysis.tokens.reordered import order_of, reordered
from analysis.tokens.subject import AUTOMATIC

SAMPLE = Path(__file__).parent.parent / "sample_data" / "workspace"


@pytest.fixture(scope="module")
def workspace():
    if not SAMPLE.exists():
        pytest.skip("no sample workspace")
    pytest.importorskip("transformers")
    return analysis.open_workspace(SAMPLE)


def tokens(x: np.ndarray, name: str = "tokens", grid=None, **columns) -> ArrayActivations:
    """A tap of (n, T, d)."""
    layout = Layout(np.arange(len(x) + 1) * x.shape[1], grid)
    return ArrayActivations(x.reshape(-1, x.shape[2]), name, columns, layout)


def told(result) -> dict[str, float]:
    return {e.name: e.value for e in result.estimates}


def test_a_picture_that_is_not_moved_has_its_own_embedding_and_a_turned_one_has_not(workspace):
    found = affine_stress(
        workspace.activations("digits-vit:vit.layers.2"), AffineStressParams(maximum_samples=6)
    )
    assert "The network was run" in found.caveats[0]
    assert found.series[COSINE][0] == pytest.approx(1, abs=1e-12)
    assert found.series[COSINE][-1] < 0.9
    assert found.null[COSINE][-1] < found.series[COSINE][-1]


def test_embeddings_made_again_are_those_of_the_store(workspace):
    from analysis.sources.rerun import rerun
    from analysis.tokens.reembedding import embedded, pooled_as

    tap = workspace.activations("digits-vit:vit.layers.2")
    run = rerun(tap, 450)
    inputs, stored = run.loaded.prepare(run.data.items(0, 4)), np.asarray(tap.take(np.arange(4)), float)
    made = embedded(run.loaded, "vit.layers.2", inputs, pooled_as(run.loaded, "vit.layers.2", inputs, stored))
    np.testing.assert_allclose(made, stored, rtol=0, atol=2e-3)  # half precision


def test_more_are_recognised_the_more_strangers_are_let_in():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((60, 8))
    b = a + 2.5 * rng.standard_normal(a.shape)
    right = [verified(a, b, np.arange(60), far)[1].mean() for far in (0.001, 0.01, 0.1, 0.4)]
    assert right == sorted(right)
    assert 0 < right[0] < right[-1] < 1 or right[-1] == 1
    with pytest.raises(Exception, match="one identity"):
        verified(a, b, np.zeros(60), 0.1)


def test_plain_attention_behind_a_tap_knows_no_order_and_a_causal_text_model_does(workspace):
    few = TokenOrderParams(maximum_samples=2, shuffles=2, sample=7)
    vit = token_order(workspace.activations("digits-vit-patches:vit.layers.2"), params=few)
    assert told(vit)["change of the answer in another order"] < 1e-5
    assert "sample 7" in vit.title
    assert vit.positions.shape == (16, 2)
    gpt, _ = reordered(
        workspace.activations("python-gpt:transformer.h.2"), 2, np.random.default_rng(0), AUTOMATIC, 7
    )
    one = order_of(gpt, 0, 2, np.random.default_rng(0))  # a pass for every token: one sample has to do
    assert gpt.is_network
    assert one.changed.min() > 0.01
    assert one.influence.max() > 0.01
    np.testing.assert_array_equal(one.back, 0)


def test_a_path_goes_through_coordinates_of_a_second_tap():
    rng = np.random.default_rng(0)
    x, where = rng.standard_normal((3, 8, 5)), rng.standard_normal((3, 8, 3))
    found = token_order(tokens(x), tokens(where, "where"), params=TokenOrderParams(sample=2))
    np.testing.assert_allclose(found.positions, where[2], atol=1e-12)
    own = np.linalg.norm(np.diff(where[2], axis=0), axis=1).sum()
    every = np.linalg.norm(where[2][:, None] - where[2][None], axis=2)
    expected = 7 * every[~np.eye(8, dtype=bool)].mean()
    assert told(found)["length of the path of this sample"] == pytest.approx(own / expected, rel=1e-12)
    with pytest.raises(InputError, match="coordinates"):
        token_order(tokens(x), tokens(where[:, :7], "fewer"), params=TokenOrderParams())
    with pytest.raises(ParameterError, match="sample 9"):
        token_order(tokens(x), params=TokenOrderParams(sample=9))


def test_assignment_with_a_dustbin_is_the_plain_iteration_and_turns_round_with_its_pictures():
    rng = np.random.default_rng(0)
    s, z = rng.standard_normal((5, 7)), 0.3
    p, off = dustbin_assignment(s, z, iterations=2000)
    assert off <= 1e-9
    np.testing.assert_allclose(p[:, :-1].sum(axis=0), 1, atol=1e-9)
    k = np.exp(np.pad(s, ((0, 1), (0, 1)), constant_values=z))
    for _ in range(3000):
        k *= (np.array([1] * 5 + [7]) / k.sum(axis=1))[:, None]
        k *= np.array([1] * 7 + [5]) / k.sum(axis=0)
    np.testing.assert_allclose(p, k, atol=1e-7)
    far = 400 * s  # in logarithms
    np.testing.assert_allclose(dustbin_assignment(far, z, iterations=20)[0][:, :-1].sum(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(dustbin_assignment(s.T, z, iterations=2000)[0], p.T, atol=1e-7)


def test_the_motion_of_a_plane_is_found_among_wrong_matches():
    rng = np.random.default_rng(0)
    h = np.array([[1.1, 0.2, 3.0], [-0.1, 0.9, 1.0], [0.01, 0.02, 1.0]])
    a = rng.uniform(0, 10, (40, 2))
    b = moved(h, a)
    np.testing.assert_allclose(homography(a, b), h, atol=1e-9)
    b[:12] += rng.uniform(3, 6, (12, 2))
    np.testing.assert_allclose(plane_motion(a, b, 0.1, rng), h, atol=1e-6)
    assert homography(np.stack([np.arange(6.0), np.arange(6.0)], axis=1), a[:6]) is None  # in a line


def test_pooling_keeps_what_is_read_and_as_many_of_each_picture():
    scores = np.zeros((12, 12))
    scores[:, [2, 9]] = 5.0
    first, second = pooled(scores, 6, 2, 0.5)
    assert (first >= 1).sum() == (second >= 1).sum() == 3
    assert (first == 2).sum() == (second == 2).sum() == 2
    assert first[2] == second[3] == 2


def test_points_of_moved_pictures_are_wrong_at_the_same_place(workspace):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 4, 4, 30))
    a, b = (tokens(v.reshape(4, 16, 30), n, (4, 4)) for v, n in ((x, "a"), (np.roll(x, 1, axis=2), "b")))
    found = told(point_matches(a, b))
    assert found["right among matches"] == 0
    assert found["error of a match"] >= 1
    patches = [workspace.activations(f"digits-vit-patches:vit.layers.{i}") for i in (2, 3)]
    few = PointMatchesParams(maximum_samples=6)
    assert told(point_matches(*patches, params=few))["right among matches"] > 0.9


def test_a_number_of_the_checkpoint_that_is_the_mix_is_named(monkeypatch):
    from analysis.sources import weights

    values = {"att.alpha": np.array([np.log(0.57 / 0.43)]), "scale": np.array([3.0])}
    network = SimpleNamespace(shapes={k: v.shape for k, v in values.items()}, tensor=values.__getitem__)
    monkeypatch.setattr(weights, "weights_of", lambda _tap: network)
    a, b = np.random.default_rng(0).standard_normal((2, 40, 5))
    found = branch_mix(*(ArrayActivations(v, n) for v, n in ((a, "a"), (b, "b"), (0.57 * a + 0.43 * b, "y"))))
    assert any("'att.alpha' of the checkpoint has the sigmoid 0.570" in c for c in found.caveats)
    with pytest.raises(InputError, match="threes"):
        branch_mix(*(ArrayActivations(v, n) for v, n in ((a, "a"), (b, "b"))))


def test_peak_shares_are_those_added_up_by_hand():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((30, 16, 4)), rng.standard_normal((4, 3))
    maps = x @ weight + 2.0
    found = heatmap_channels(tokens(x, "f", (4, 4)), tokens(maps, "h", (4, 4)))
    parts = np.zeros(4)
    for i in range(30):
        peak = maps[i, :, 1].argmax()
        parts += weight[:, 1] * (x[i, peak] - x[i].mean(axis=0))
    np.testing.assert_allclose(found.values[1], parts / parts.sum(), atol=1e-9)
    height = sum(maps[i, :, 1].max() - maps[i, :, 1].mean() for i in range(30))
    assert parts.sum() == pytest.approx(height, rel=1e-12)


def test_a_bias_in_the_weights_is_read_back_less_its_mean(monkeypatch):
    from analysis.tokens.attention import biases

    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 6, 9, 4))
    bias = rng.standard_normal((6, 9, 9))
    reader = planted(q, k, grid=(3, 3))
    logits = q @ k.transpose(0, 2, 1) + bias
    weights = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    reader.weights, reader.who = [weights[:, None]], SimpleNamespace(is_network=True)
    monkeypatch.setattr(biases, "heads_of", lambda *_a, **_k: reader)
    found = attention_bias(np.zeros((60, 4)), AttentionBiasParams(sample=2, query=5))
    np.testing.assert_allclose(found.values[0], bias[2, 5] - bias[2, 5].mean(), atol=1e-9)
    assert told(found)["of the sample: share"] > 0.7


def test_a_trained_network_without_a_bias_has_none(workspace):
    tap = workspace.activations("digits-vit-patches:vit.layers.2")
    found = attention_bias(tap, AttentionBiasParams(sample=40, maximum_samples=4))
    assert found.reading.startswith("Attention has no bias")
    assert not found.values.any()
    with pytest.raises(NotFound, match="no sample column"):
        attention_bias(tap, AttentionBiasParams(landmarks="x,y"))


def test_prompts_that_see_the_same_patches_do_not_answer_the_image():
    rng = np.random.default_rng(0)
    prompts, patches = (np.repeat(rng.standard_normal((1, t, 6)), 5, axis=0) for t in (3, 10))
    found = prompt_attention(tokens(prompts, "p"), tokens(patches, "k"), PromptAttentionParams(sample=4))
    assert told(found)["answers the image"] == 0
    assert found.values.shape == (3, 10)
    other = prompt_attention(tokens(prompts, "p"), tokens(rng.standard_normal((5, 10, 6)), "k"))
    assert told(other)["answers the image"] > 0.1


def test_layers_are_paired_by_name_in_whatever_order_they_are_given():
    rng = np.random.default_rng(0)
    taps = [ArrayActivations(rng.standard_normal((9, 3)), n) for n in ("f:a", "f:b", "t:b", "t:a")]
    assert [(x.name, y.name) for x, y in paired(taps)] == [("f:a", "t:a"), ("f:b", "t:b")]
    with pytest.raises(InputError, match="3 taps"):
        adapted_features(*taps[:3])


def test_trained_numbers_are_those_that_moved_or_are_new():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 4))
    more = np.column_stack([x, rng.standard_normal(20)])
    names = tuple("abcde")
    taps = [
        ArrayActivations(x, "base", unit_names=names[:4]),
        ArrayActivations(more, "adapted", unit_names=names),
    ]
    assert growth_timeline(*taps).estimates[-1].value == pytest.approx(20 / 80)


def test_order_of_views_matters_to_a_network_with_positions(workspace):
    gpt = workspace.activations("python-gpt:transformer.h.1")
    found = view_sets(gpt, ViewSetsParams(views=3, maximum_samples=2))
    assert found.estimates[3].name == "change of order"
    assert found.estimates[3].value > 0
    assert found.values[0, 2] == 0  # a causal network reads no later view
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-6)
    assert not any("first attention" in said for said in found.caveats)  # taken away at the input


def test_boxes_lie_on_the_patches_of_a_network(workspace):
    vit = workspace.activations("digits-vit:vit.layers.2")
    halves = BoxAttentionParams(boxes="1-2, 1-4; 3-4, 1-4", maximum_samples=4)
    own, leak = (box_attention(vit, params=BoxAttentionParams(**vars(halves) | {"show": s})).values
                 for s in (halves.show, LEAKED))  # fmt: skip
    assert own.shape == (4, 2)
    rest = 1 - own - leak  # the class token
    assert ((rest > 0) & (rest < 0.5)).all()


def test_rows_of_the_first_picture_have_names_where_they_can_be_told_apart():
    from analysis.methods.tokens.point_matches import _rows

    grid = np.array([[c, r] for r in range(3) for c in range(2)], dtype=float)
    assert _rows(grid) == {"row 1": 0.0, "row 2": -1.0, "row 3": -2.0}
    assert _rows(grid + 0.25) == {}
    assert _rows(np.column_stack([np.zeros(40), np.arange(40.0)])) == {}
