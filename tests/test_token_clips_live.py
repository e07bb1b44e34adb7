"""Networks of clips lose tokens: VideoMAE, whose answer is the mean of its tokens, and TimeSformer, which reads time
and space in turn. Each is compared with a second computation: the network's own layers, masks, or sums by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from test_token_networks import CLIPS, FRAMES, made  # noqa: E402

from analysis.errors import InputError  # noqa: E402
from analysis.tokens.arithmetic import multiply_adds  # noqa: E402
from analysis.tokens.networks.divided import NOTE, crossing  # noqa: E402
from analysis.tokens.networks.shape import shape_of  # noqa: E402
from analysis.tokens.rule import Rule, rule, rules  # noqa: E402
from analysis.tokens.schedule import Schedule, schedule  # noqa: E402
from analysis.tokens.state import GONE, Step, stay  # noqa: E402
from analysis.tokens.view import CLASS, PATCH  # noqa: E402

PLACES, T = 16, 1 + FRAMES * 16


def run_of(kind: str, *how, **more):
    network = made(kind)
    return network, network.run(network.loaded.prepare(network.items), *how, **more)


def without(gone: np.ndarray) -> Rule:
    """A rule that drops the tokens `gone` (B, T) once, wherever it acts."""

    def decide(view, remove, settings, rng) -> Step:
        out = np.take_along_axis(gone, np.maximum(view.state.at, 0), axis=1) & view.free
        return Step(np.where(out, GONE, stay(view.state)), np.where(out, 0.0, np.nan))

    return Rule("these", "These tokens", "", decide, place="after", own_count=True, proportional=False)


def once(layer: int, layers: int = 3):
    return lambda n: Schedule(tuple(int(i == layer) for i in range(layers)), n)


def masked(network, gone: np.ndarray, layer: int) -> torch.Tensor:
    """The answer when tokens stay where they are and nobody reads them behind `layer`: by the network's own modules."""
    model, seen = network.loaded.module.timesformer, torch.from_numpy(~gone)
    x = model.embeddings(network.loaded.prepare(network.items)["pixel_values"])
    frames = 1 + np.arange(PLACES * FRAMES).reshape(PLACES, FRAMES)
    for i, block in enumerate(model.encoder.layer):
        keep = seen if i > layer else torch.ones_like(seen)
        patches = x[:, 1:].clone()
        for place in frames:  # over time
            said = paid(block.temporal_attention, block.temporal_layernorm(x[:, place]), keep[:, place])
            patches[:, place - 1] += block.temporal_dense(said)
        y, cls = torch.cat([x[:, :1], patches], dim=1), []
        new = y.clone()
        for frame in frames.T:  # over space
            own = torch.cat([torch.zeros(1, dtype=int), torch.from_numpy(frame)])
            said = paid(block.attention, block.layernorm_before(y[:, own]), keep[:, own])
            cls.append(torch.where(keep[:, frame].any(dim=1)[:, None], said[:, 0], torch.nan))
            alone = said[:, 0]  # of a clip without any patch it is what the class token says to itself
            new[:, frame] += said[:, 1:]
        mean = torch.stack(cls).nanmean(dim=0)
        new[:, 0] += torch.where(mean.isnan(), alone, mean)
        x = new + block.output(block.intermediate(block.layernorm_after(new)))
    return network.loaded.module.classifier(model.layernorm(x)[:, 0])


def paid(attention, x, keep):
    inner = attention.attention
    q, k, v = inner.qkv(x).reshape(*x.shape[:2], 3, inner.num_heads, -1).permute(2, 0, 3, 1, 4)
    logits = q @ k.transpose(2, 3) * inner.scale + torch.where(keep, 0.0, -1e30)[:, None, None]
    return attention.output((logits.softmax(dim=-1) @ v).transpose(1, 2).reshape(x.shape))


@pytest.mark.parametrize("kind", CLIPS)
def test_what_tokens_of_a_clip_are(kind):
    network, run = run_of(kind)
    layout, has = run.layout, kind.startswith(("vivit", "timesformer"))
    frames = FRAMES if kind.startswith("timesformer") else FRAMES // 2
    assert (layout.grid, layout.frames) == ((frames * 4, 4), frames)
    assert (layout.class_at == 0) == has
    cells = layout.cell[0][layout.kinds[0] == PATCH]
    assert sorted(cells) == list(range(frames * PLACES))
    if kind.startswith("timesformer"):  # the frames of a place, then the next place
        np.testing.assert_array_equal(cells[:FRAMES], np.arange(FRAMES) * PLACES)
    assert layout.free[0].sum() == len(cells) - (kind == "videomae first")
    assert network.in_tuples == (frozenset(range(3)) if kind.startswith("timesformer") else frozenset())


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("name", list(rules()))
def test_every_rule_keeps_a_partition_of_the_tokens_of_clips(kind, name):
    one = rule(name)
    network = made(kind)
    inputs = network.loaded.prepare(network.items)
    layout = network.run(inputs).layout
    run = network.run(inputs, one, lambda n: schedule(one.schedule, 0.5, 3, n), rng=np.random.default_rng(0))
    t = layout.kinds.shape[1]
    for state in run.states:
        lost = (state.place == GONE).sum(axis=1)
        np.testing.assert_allclose(state.size.sum(axis=1), t - lost)  # sizes add up to what is not dropped
        sources = state.sources()
        np.testing.assert_array_equal(sources.sum(axis=1), state.place != GONE)  # each in one token, or none
        np.testing.assert_array_equal(sources.sum(axis=2)[state.valid], state.size[state.valid])
    left = run.states[-1]
    own = np.take_along_axis(left.size, np.maximum(left.place, 0), axis=1)
    stays = ~layout.free
    assert (left.place[stays] != GONE).all()
    assert (own[stays] == 1).all()  # nor is anything merged into them
    assert (left.counts < t).all() or one.own_count  # which may find nothing to take
    assert torch.isfinite(run.logits).all()


@pytest.mark.parametrize("size", [True, False])
def test_the_answer_of_videomae_is_the_mean_of_what_is_left(size):
    from dataclasses import replace

    network = made("videomae")
    one = replace(rule("tome"), proportional=size)
    run = network.run(
        network.loaded.prepare(network.items), one, lambda n: schedule("even", 0.4, 3, n), record=("hidden",)
    )
    state, model = run.states[-1], network.loaded.module
    assert state.size.max() > 1
    weight = state.size if size else state.valid * 1.0
    mean = (run.recorded["hidden"][-1] * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    by_hand = model.classifier(model.fc_norm(torch.from_numpy(mean).float()))
    torch.testing.assert_close(run.logits, by_hand, rtol=1e-4, atol=1e-5)


def test_samples_of_videomae_that_keep_other_numbers_are_as_they_are_alone():
    """What pads the shorter one is no token of the mean."""
    network = made("videomae")
    gone = np.zeros((2, 32), bool)
    gone[0, 3:20], gone[1, 5:9] = True, True
    both = network.run(network.loaded.prepare(network.items), without(gone), once(0))
    assert both.states[-1].counts.tolist() == [15, 28]
    for i in range(2):
        one = network.run(network.loaded.prepare(network.items[i : i + 1]), without(gone[i : i + 1]), once(0))
        torch.testing.assert_close(both.logits[i], one.logits[0], rtol=1e-4, atol=1e-5)


def test_videomae_is_as_its_own_layers_on_the_tokens_that_are_left():
    network = made("videomae")
    gone = np.zeros((2, 32), bool)
    gone[:, 4:15] = True
    run = network.run(network.loaded.prepare(network.items), without(gone), once(0))
    model = network.loaded.module
    with torch.no_grad():
        x = model.videomae.embeddings(network.loaded.prepare(network.items)["pixel_values"], None)
        x = model.videomae.encoder.layer[0](x)[:, ~gone[0]]
        for block in model.videomae.encoder.layer[1:]:
            x = block(x)
        by_hand = model.classifier(model.fc_norm(x.mean(dim=1)))
    torch.testing.assert_close(run.logits, by_hand, rtol=1e-4, atol=1e-5)


def test_a_patch_that_the_answer_is_read_from_stays():
    _, run = run_of("videomae first", rule("even"), lambda n: schedule("even", 0.2, 3, n))
    assert (run.states[-1].owner[:, 0] == 0).all()
    assert not run.layout.free[:, 0].any()


# ---------------------------------------------------------------------------- time and space in turn
@pytest.mark.parametrize("what", ["some", "a frame", "a place", "all of one sample"])
@pytest.mark.parametrize("layer", [0, 1])
def test_timesformer_without_tokens_is_itself_with_nobody_reading_them(what, layer):
    network, rng = made("timesformer"), np.random.default_rng(3)
    gone = np.zeros((2, T), bool)
    body = gone[:, 1:].reshape(2, PLACES, FRAMES)  # a view
    if what == "some":
        body[:] = rng.random(body.shape) < 0.6
    elif what == "a frame":
        body[:, :, 2] = True
    elif what == "a place":
        body[:, 5] = True
    else:
        body[0] = True
    run = network.run(network.loaded.prepare(network.items), without(gone), once(layer))
    assert (run.states[-1].counts == T - gone.sum(axis=1)).all()
    with torch.no_grad():
        torch.testing.assert_close(run.logits, masked(network, gone, layer), rtol=1e-4, atol=1e-4)
    assert NOTE in run.notes


def test_a_clip_without_a_frame_is_run_by_its_own_layers():
    """They count frames by the config: with one fewer they are the network of a shorter clip."""
    network = made("timesformer")
    gone = np.zeros((2, T), bool)
    gone[:, 1:].reshape(2, PLACES, FRAMES)[:, :, 1] = True
    run = network.run(network.loaded.prepare(network.items), without(gone), once(0))
    model = network.loaded.module
    with torch.no_grad():
        x = model.timesformer.embeddings(network.loaded.prepare(network.items)["pixel_values"])
        x = model.timesformer.encoder.layer[0](x)[0][:, ~gone[0]]
        for block in model.timesformer.encoder.layer[1:]:
            block.config.num_frames = FRAMES - 1
            x = block(x)[0]
        model.config.num_frames = FRAMES
        by_hand = model.classifier(model.timesformer.layernorm(x)[:, 0])
    torch.testing.assert_close(run.logits, by_hand, rtol=1e-4, atol=1e-4)


def test_weights_over_space_are_the_softmax_of_each_frame_and_the_class_token():
    """All tokens kept, though sizes count; and what is merged is weighed by its size."""
    network, seen = made("timesformer"), ("queries", "keys", "attention")
    inputs = network.loaded.prepare(network.items)
    for share in (1.0, 0.5):
        run = network.run(inputs, rule("tome"), lambda n, s=share: schedule("even", s, 3, n), record=seen)
        for layer, state in enumerate(run.states[:-1]):
            q, k, told = (run.recorded[name][layer].astype(float) for name in seen)
            frame = np.take_along_axis(run.layout.cell, np.maximum(state.at, 0), axis=1) // PLACES
            kinds = np.take_along_axis(run.layout.kinds, np.maximum(state.at, 0), axis=1)
            weighed = np.exp(q @ k.swapaxes(2, 3) / 2) * state.size[:, None, None]
            want = np.zeros_like(told)
            for b in range(2):
                for f in range(FRAMES):
                    at = np.flatnonzero((kinds[b] == CLASS) | (state.valid[b] & (frame[b] == f)))
                    part = weighed[b][:, at][:, :, at]
                    part = part / part.sum(axis=-1, keepdims=True)
                    part[:, 0] /= FRAMES  # the class token is in each frame
                    want[b][:, at[:, None], at] += part
            np.testing.assert_allclose(told, want, atol=1e-5)
            assert (state.size.max() > 1) == (share < 1 and layer > 0)
        rows = run.recorded["attention"][-1].sum(axis=-1)
        np.testing.assert_allclose(
            rows[np.broadcast_to(run.states[-2].valid[:, None], rows.shape)], 1, atol=1e-5
        )


def test_groups_hold_each_patch_once_and_the_class_token_in_each_frame():
    _, run = run_of("timesformer", rule("tome"), lambda n: schedule("even", 0.3, 3, n))
    meets, state = crossing(run.layout, run.states[-1]), run.states[-1]
    flat = np.arange(state.at.size).reshape(state.at.shape)
    patches = flat[state.valid & (np.take_along_axis(run.layout.cell, np.maximum(state.at, 0), axis=1) >= 0)]
    for groups, first in ((meets.over_time, 0), (meets.over_space, 1)):
        held = groups.members[:, first:]
        assert sorted(held[held >= 0]) == sorted(patches)
        whose = np.broadcast_to(groups.sample[:, None], groups.members.shape)
        there = groups.members >= 0
        np.testing.assert_array_equal(groups.members[there] // state.at.shape[1], whose[there])
    assert set(meets.over_space.members[:, 0]) == {0, state.at.shape[1]}


def test_work_of_time_and_space_in_turn_is_counted_group_by_group():
    network = made("timesformer")
    shape = shape_of(network, network.loaded.prepare(network.items[:1]))
    assert (shape.frames, shape.places) == (FRAMES, PLACES)
    found = multiply_adds(shape, [T] * 4)
    d, m, p = 16, 32, T - 1
    assert found.quadratic[0] == 2 * d * (FRAMES * (PLACES + 1) ** 2 + PLACES * FRAMES**2)
    assert found.linear[0] == T * 4 * d * d + p * 5 * d * d + T * 2 * d * m
    assert shape.fixed == p * 3 * 16 * d + 2 * d
    joint = multiply_adds(
        shape_of(made("timesformer joint"), network.loaded.prepare(network.items[:1])), [T] * 4
    )
    assert joint.quadratic[0] == 2 * T**2 * d
    clip = shape_of(made("videomae"), network.loaded.prepare(network.items[:1]))
    assert clip.fixed == 32 * 3 * 2 * 16 * d + 2 * d


def test_a_network_that_answers_frame_by_frame_is_refused_in_words():
    with pytest.raises(InputError, match="runs each frame by itself"):
        made("timesformer frames")
