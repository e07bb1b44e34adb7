"""Frames, views, prompts, boxes and histories: closed forms, and what the papers' facts say of them."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, ShapeError
from analysis.methods.tokens.box_attention import LEAKED, MAPS, BoxAttentionParams, box_attention
from analysis.methods.tokens.frame_localisation import TABLE, FrameLocalisationParams, frame_localisation
from analysis.methods.tokens.interest_strip import DOT, InterestStripParams, interest_strip
from analysis.methods.tokens.memory_age import HITS, MASS, MemoryAgeParams, memory_age
from analysis.methods.tokens.memory_read import MemoryReadParams, memory_read
from analysis.methods.tokens.prompt_volume import DIFFERENCE, PromptVolumeParams, prompt_volume
from analysis.methods.tokens.view_sets import NEEDED, ViewSetsParams, view_sets
from analysis.sources.digests import file_digest
from analysis.sources.weights import LayerWeights
from analysis.store.from_arrays import write_store
from analysis.tokens.pooling.weighted_volume import cosines
from analysis.tokens.sets.boxes import align, boxes_in, cells_inside, lost, unpool
from analysis.tokens.sets.clips import Clips
from analysis.tokens.sets.interest import PRELU, RELU, SIGMOID, unit_in, unit_weights
from analysis.tokens.sets.memory import ALL, COSINE, DISTANCE, affinities, read
from analysis.tokens.sets.memory import DOT as BY_DOT
from analysis.tokens.sets.moments import auroc
from dashboard.browse.token_questions import QUESTIONS


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def whole(x, **more):
    """A tap whose samples are the sets x (n, T, d)."""
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(n + 1) * t, **more))


# ---------------------------------------------------------------------------- which rows are frames
def test_frames_by_column_in_their_order_and_frames_in_a_sample_are_the_same_clip(rng):
    x = rng.standard_normal((2, 3, 4, 5))  # clips, frames, patches
    order = np.array([4, 2, 0, 5, 1, 3])
    samples = {
        "clip": np.repeat(["b", "a"], 3)[order],
        "frame": np.tile([10, 20, 30], 2)[order],
        "id": order.astype(str),
    }
    by_column = ArrayActivations(
        x.reshape(6, 4, 5)[order].reshape(-1, 5),
        samples=samples,
        layout=Layout(np.arange(7) * 4, grid=(2, 2)),
    )
    found = Clips(by_column, None, None, None)
    first = found.read(1)
    assert found.names == ["clip a", "clip b"]
    np.testing.assert_array_equal(first.x, x[0])
    assert list(first.frames) == [10, 20, 30]
    assert list(order[first.samples]) == [0, 1, 2]
    assert found.at(int(np.flatnonzero(order == 4)[0])) == (0, 1)
    inside = Clips(whole(x.reshape(2, 12, 5)), None, None, 3).read(0)
    np.testing.assert_array_equal(inside.x, x[0])
    assert inside.grid == (2, 2)
    np.testing.assert_array_equal(inside.means, x[0].mean(axis=1))


def test_missing_tokens_frames_that_do_not_divide_and_unknown_columns(rng):
    x = rng.standard_normal((2, 6, 5))
    x[0, 2:4] = np.nan  # a whole frame
    x[0, 0, 1] = np.inf
    clips = Clips(whole(x), None, None, 3)
    first = clips.read(0)
    assert first.n == 2
    assert first.present.tolist() == [[False, True], [True, True]]
    assert "3 of 6 rows hold NaN" in clips.notes[0]
    with pytest.raises(ParameterError, match="4 frames of the 6 tokens"):
        Clips(whole(x), None, None, 4).read(0)
    lonely = {"clip": np.array(["a", "a", ""])}
    with pytest.raises(NotFound, match="sample 2 of array belongs to no clip"):
        Clips(ArrayActivations(rng.standard_normal((3, 4)), samples=lonely), None, None, None).at(2)
    with pytest.raises(NotFound, match="no sample column 'scene'"):
        Clips(whole(x), "scene", None, None)


# ---------------------------------------------------------------------------- memory
def test_affinities_are_those_of_their_definition(rng):
    q, k = rng.standard_normal((3, 8)), rng.standard_normal((5, 8))
    square = [[-((a - b) @ (a - b)) / np.sqrt(8) for b in k] for a in q]
    np.testing.assert_allclose(affinities(q, k, DISTANCE), square, atol=1e-12)
    np.testing.assert_allclose(affinities(q + 1e6, k + 1e6, DISTANCE), square, atol=1e-7)
    np.testing.assert_allclose(
        affinities(q, k, BY_DOT), [[a @ b / np.sqrt(8) for b in k] for a in q], atol=1e-12
    )
    np.testing.assert_allclose(affinities(3 * q, k, COSINE), affinities(q, 5 * k, COSINE), atol=1e-12)
    w = read(affinities(q, k, DISTANCE), 1.0, most=2)
    assert ((w > 0).sum(axis=1) == 2).all()
    np.testing.assert_allclose(w.sum(axis=1), 1, atol=1e-12)


def test_a_frame_in_the_memory_reads_itself_by_distance_and_the_longest_by_dot_product(rng):
    x = rng.standard_normal((1, 12, 20))
    x[0, 5] = 2 * x[0, 10]  # longer, in frame 1 of 3, the same direction as the place that asks
    asked = {"frames": 3, "memory": ALL, "query_frame": 3, "place": 3, "temperature": 0.01}
    tap = whole(np.concatenate([x, rng.standard_normal((1, 12, 20))]))
    near = memory_read(tap, MemoryReadParams(**asked))
    far = memory_read(tap, MemoryReadParams(**asked, affinity=BY_DOT))
    assert near.values.argmax() == 10
    assert far.values.argmax() == 5
    assert BY_DOT in far.title
    assert any("long tokens" in said for said in far.caveats)
    with pytest.raises(NotEnoughData, match="no frame in the memory"):
        memory_read(tap, MemoryReadParams(frames=3, query_frame=1))


def test_age_of_one_memory_frame_is_one_bar_and_a_window_keeps_all_inside(rng):
    one = memory_age(whole(rng.standard_normal((3, 2 * 9, 6))), MemoryAgeParams(frames=2))
    assert list(one.x) == [1]
    assert one.series[MASS][0] == pytest.approx(1, abs=1e-12)
    many = whole(rng.standard_normal((3, 5 * 16, 6)))
    free, local = (memory_age(many, MemoryAgeParams(frames=5, window=1, local=at)) for at in (False, True))
    assert free.estimates[2].value > 0.3
    assert local.estimates[2].value == 0
    for found in (free, local):
        assert found.series[MASS].sum() == pytest.approx(1, abs=1e-12)
        assert found.series[HITS].sum() == pytest.approx(1, abs=1e-12)
    # frames 1 to 4 read ages 1 to t alike: share of age 1 is the mean of 1, 1/2, 1/3, 1/4
    assert free.null[MASS][0] == pytest.approx(np.mean([1, 1 / 2, 1 / 3, 1 / 4]), abs=1e-12)


# ---------------------------------------------------------------------------- moments of a query
def videos(rng, clips=6, frames=8, d=10):
    n = clips * frames
    frame = np.tile(np.arange(frames), clips)
    start = np.repeat(rng.integers(0, 5, clips), frames)
    moment = np.where((frame >= start) & (frame < start + 3), "dog", "")
    samples = {"clip": np.repeat(np.arange(clips), frames).astype(str), "frame": frame, "moment": moment}
    return rng.standard_normal((n, d)), samples | {"id": np.array([f"f{i}" for i in range(n)])}


def test_auroc_counts_pairs_and_turns_keep_half_on_average(rng):
    scores = np.array([[0.1, 0.5, 0.5, 0.9]])
    assert auroc(scores, np.array([False, True, False, True]))[0] == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    x, samples = videos(rng)
    found = frame_localisation(
        *(ArrayActivations(rng.standard_normal(x.shape), samples=samples) for _ in range(3)),
        params=FrameLocalisationParams(show=TABLE),
    )
    assert found.estimates[0].p_value > 0.05
    assert found.null[:, 0] == pytest.approx(0.5, abs=0.03)
    assert found.estimates[0].null > 0.5  # the best of three


def test_text_embeddings_find_moments_in_their_layer_and_shuffled_frames_shuffle_columns(rng):
    x, samples = videos(rng)
    y = 0.3 * x
    y[samples["moment"] == "dog", 0] += 3
    words = ArrayActivations(np.eye(2, 10), samples={"id": np.array(["dog", "cat"])})
    layers = [ArrayActivations(v, name=n, samples=samples) for v, n in ((x, "early"), (y, "late"))]
    table = frame_localisation(*layers, words, params=FrameLocalisationParams(show=TABLE))
    assert table.column_names == ("dog",)
    assert table.values[1, 0] > 0.95
    assert table.estimates[0].name.startswith("AUROC, late")
    assert table.estimates[0].p_value < 0.01
    clip = frame_localisation(*layers, words)
    turned = np.concatenate([rng.permutation(8), np.arange(8, 48)])
    moved = [ArrayActivations(t.values[turned], name=t.name, samples=samples) for t in layers]
    again = frame_localisation(*moved, words, params=FrameLocalisationParams(query="dog"))
    np.testing.assert_allclose(again.values, clip.values[:, turned[:8]], atol=1e-12)
    with pytest.raises(ShapeError, match="10 units and the queries of"):
        frame_localisation(*layers, ArrayActivations(np.eye(2, 9), samples={"id": np.array(["dog", "cat"])}))


# ---------------------------------------------------------------------------- prompts
def test_pooled_weights_are_a_softmax_of_cosines_and_two_prompts_differ(rng):
    x, q = rng.standard_normal((2, 8, 6)), rng.standard_normal((9, 6))
    params = {"frames": 2, "temperature": 0.3}
    found = prompt_volume(whole(x), ArrayActivations(q), PromptVolumeParams(**params))
    w = np.exp(cosines(x[0], q[0]) / 0.3)
    np.testing.assert_allclose(found.values.ravel(), 8 * w / w.sum(), atol=1e-12)
    other = np.exp(cosines(x[0], q[1]) / 0.3)
    apart = 0.5 * np.abs(w / w.sum() - other / other.sum()).sum()
    assert found.estimates[1].value == pytest.approx(apart, abs=1e-12)
    both = prompt_volume(whole(x), ArrayActivations(q), PromptVolumeParams(**params, show=DIFFERENCE))
    np.testing.assert_allclose(both.values.ravel(), 8 * (w / w.sum() - other / other.sum()), atol=1e-12)
    cells = prompt_volume(whole(x), ArrayActivations(q), PromptVolumeParams(**params, times=2))
    np.testing.assert_allclose(cells.values.sum(axis=1), 4, atol=1e-12)  # each frame a cell of its own
    with pytest.raises(ShapeError, match="two taps of one space"):
        prompt_volume(whole(x), ArrayActivations(q[:, :5]))
    with pytest.raises(NotFound, match="prompt 9"):
        prompt_volume(whole(x), ArrayActivations(q), PromptVolumeParams(prompt=9))


# ---------------------------------------------------------------------------- views
def test_views_of_a_column_are_those_of_samples(rng):
    x = rng.standard_normal((5, 4, 30))
    inside = view_sets(whole(x))
    samples = {"object": np.repeat(np.arange(5), 4).astype(str), "view": np.tile(np.arange(4), 5)}
    order = rng.permutation(20)
    rows = ArrayActivations(x.reshape(20, 30)[order], samples={k: v[order] for k, v in samples.items()})
    by_column = view_sets(rows)
    np.testing.assert_allclose(by_column.values, inside.values, atol=1e-12)
    assert any("no head of it sees two" in c for c in by_column.caveats)
    assert not any("checkpoint" in c for c in by_column.caveats)
    needed = view_sets(whole(x), ViewSetsParams(show=NEEDED))
    np.testing.assert_allclose(needed.values.mean(axis=0).max(), needed.estimates[2].value, atol=1e-12)
    with pytest.raises(ParameterError, match="3 views of the 4 tokens"):
        view_sets(whole(x), ViewSetsParams(views=3))


# ---------------------------------------------------------------------------- boxes
def test_regions_put_back_and_cut_out_are_the_same_on_whole_cells(rng):
    x = rng.standard_normal((6, 8, 3))
    box = boxes_in("2-4, 3-7", (6, 8))[0]
    np.testing.assert_array_equal(box, [1, 2, 4, 7])
    np.testing.assert_allclose(align(x, box, (3, 5)), x[1:4, 2:7], atol=1e-12)
    f = rng.standard_normal((3, 5, 3))
    np.testing.assert_allclose(align(unpool(f, box, (6, 8)), box, (3, 5)), f, atol=1e-12)
    assert lost(x, box) < 1e-20
    assert lost(x, boxes_in("0.2 0.2 0.7 0.7", (6, 8))[0]) > 0.01
    outside = unpool(f, box, (6, 8)).reshape(48, 3)[~cells_inside(box[None], (6, 8))[0]]
    assert not outside.any()


@pytest.mark.parametrize("text", ["0-2, 1", "1-2, 7-9", "0.5 0.5 0.2 0.9", "0 0 1.2 1", "left"])
def test_boxes_that_are_none_or_lie_outside_are_refused(text):
    with pytest.raises(ParameterError, match="box"):
        boxes_in(text, (6, 8))


def test_mass_of_maps_in_own_and_other_boxes_with_different_numbers_of_boxes(rng):
    maps = np.zeros((4, 4, 4, 2))
    maps[:, 0, :, 0] = 1  # the first row: half of it in each of two boxes
    maps[:, 3, 0, 1] = 1
    boxes = np.array(["1-2, 1-2; 1-2, 3-4", "1-2, 1-2; 1-2, 3-4", "1, 1-4", ""])
    tap = ArrayActivations(
        maps.reshape(-1, 2), samples={"boxes": boxes}, layout=Layout(np.arange(5) * 16, grid=(4, 4))
    )
    own = box_attention(tap, params=BoxAttentionParams(reading=MAPS))
    leak = box_attention(tap, params=BoxAttentionParams(reading=MAPS, show=LEAKED))
    np.testing.assert_allclose(own.values, [[(0.5 + 0.5 + 1) / 3, 0]], atol=1e-12)
    np.testing.assert_allclose(leak.values, [[1 / 3, 0]], atol=1e-12)
    np.testing.assert_allclose(own.null, [[0.25, 0.25]], atol=1e-12)
    with pytest.raises(InputError, match=r"2 unit\(s\) for 3 instances"):
        box_attention(tap, params=BoxAttentionParams(reading=MAPS, boxes="1, 1; 2, 2; 3, 3"))
    plain = ArrayActivations(rng.standard_normal((40, 3)))
    with pytest.raises(InputError, match="no grid"):
        box_attention(plain, params=BoxAttentionParams(boxes="1, 1"))


def test_the_same_samples_of_every_step_are_read_and_the_seed_that_is_told_can_be_given(rng):
    boxes = np.array(["1-2, 1-2"] * 30)
    maps = np.zeros((30, 16, 1))
    maps[np.arange(30), np.arange(30) % 16] = 1
    taps = [ArrayActivations(maps.reshape(-1, 1), name=f"step {i}", samples={"boxes": boxes},
                             layout=Layout(np.arange(31) * 16, grid=(4, 4))) for i in range(3)]  # fmt: skip
    found = box_attention(*taps, params=BoxAttentionParams(reading=MAPS, maximum_samples=7),
                          rng=np.random.default_rng(5))  # fmt: skip
    np.testing.assert_array_equal(found.values[1:], found.values[:1].repeat(2, axis=0))
    assert not any("seed" in c and "seed 5" not in c for c in found.caveats), found.caveats


# ---------------------------------------------------------------------------- histories
def network(rng, d=5, hidden=7, slopes=True):
    state = {
        "items.weight": rng.standard_normal((20, d)),
        "attention.0.weight": rng.standard_normal((hidden, 4 * d)),
        "attention.0.bias": rng.standard_normal(hidden),
        "attention.1.weight": rng.uniform(0, 1, hidden),
        "attention.2.weight": rng.standard_normal((1, hidden)),
        "attention.2.bias": rng.standard_normal(1),
    }
    return state if slopes else {k: v for k, v in state.items() if k != "attention.1.weight"}


def test_the_activation_unit_of_a_checkpoint_weighs_the_items(tmp_path, rng):
    state = network(rng)
    path = tmp_path / "net.safetensors"
    save_file(state, str(path))
    items, ads = rng.standard_normal((4, 6, 5)), rng.standard_normal((9, 5))
    known = {"kind": "state_dict", "path": str(path), "digest": file_digest(path)}
    store = write_store(tmp_path / "s", name="s", taps={"history": items}, checkpoint=known)
    tap = store.activations("history")
    found = interest_strip(tap, ArrayActivations(ads), InterestStripParams(sample=2, candidate=3))

    def one(k, q):
        x = np.concatenate([q, k, q - k, q * k])
        z = state["attention.0.weight"] @ x + state["attention.0.bias"]
        z = np.where(z > 0, z, state["attention.1.weight"] * z)
        return (state["attention.2.weight"] @ z + state["attention.2.bias"])[0]

    wanted = [one(k, ads[3]) for k in items[2]]
    np.testing.assert_allclose(found.values[0], wanted, rtol=1e-5, atol=1e-5)  # stored in single precision
    assert found.estimates[0].value == pytest.approx(sum(wanted), rel=1e-4)
    assert any("attention.0 to attention.2" in said and PRELU in said for said in found.caveats)
    dot = interest_strip(tap, ArrayActivations(ads), InterestStripParams(sample=2, candidate=3, weights=DOT))
    np.testing.assert_allclose(dot.values[0], items[2] @ ads[3] / np.sqrt(5), atol=1e-5)
    same = interest_strip(tap, ArrayActivations(ads), InterestStripParams(candidate=3, other_candidate=3))
    assert not same.values[2].any()


def test_units_are_found_by_shape_only_where_they_read_an_item_beside_a_candidate(rng):
    def weights(state):
        shapes = {k: v.shape for k, v in state.items()}
        layers = [k.removesuffix(".weight") for k, v in state.items() if v.ndim == 2]
        return SimpleNamespace(
            shapes=shapes, layers=layers, tensor=state.get, inputs=lambda n: shapes[f"{n}.weight"][1],
            units=lambda n: shapes[f"{n}.weight"][0],
            layer=lambda n: LayerWeights(n, state[f"{n}.weight"], state.get(f"{n}.bias")),
        )  # fmt: skip

    plain = network(rng, slopes=False)
    found = unit_in(weights(plain), 5)
    assert (found.parts, found.slopes, found.name) == (4, (), "attention.0")
    assert unit_in(weights(plain), 6) is None
    k, q = rng.standard_normal((3, 5)), rng.standard_normal(5)
    by = [unit_weights(found, bend, k, q) for bend in (RELU, SIGMOID)]
    assert np.abs(by[0] - by[1]).max() > 1e-3


# ---------------------------------------------------------------------------- the page
def test_every_question_of_the_view_has_its_method_and_paper():
    for id in QUESTIONS["sets"].asks.values():
        (method,) = importlib.import_module(f"analysis.methods.tokens.{id}").METHODS
        assert method.id == id
        assert method.papers


def test_a_handful_of_prompts_is_enough_for_a_video(rng):
    from analysis import pipeline
    from analysis.methods.tokens.prompt_volume import METHODS

    pipeline.validate(
        METHODS[0], [whole(rng.standard_normal((4, 8, 6))), ArrayActivations(rng.standard_normal((2, 6)))]
    )


def test_a_prompt_is_called_by_its_text_before_its_id_and_label():
    from analysis.tokens.sets.called import called

    def tap(**samples):
        return ArrayActivations(np.zeros((2, 3)), samples={k: np.array(v) for k, v in samples.items()})

    assert called("prompt", tap(), 1) == "prompt 1"
    assert called("prompt", tap(id=["row-0", "row-1"]), 1) == "prompt 1 (row-1)"
    assert (
        called("prompt", tap(id=["row-0", "row-1"], text=["a", "a dog\nruns"]), 1) == "prompt 1 (a dog runs)"
    )
    assert called("item", tap(label=["cat", "7"]), 0) == "item 0 (cat)"
    assert called("item", tap(label=["cat", "7"]), 1) == "item 1"
    assert called("item", tap(text=["x" * 40, ""]), 0) == f"item 0 ({'x' * 23}…)"
