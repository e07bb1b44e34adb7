"""Networks run again with other weights: recorded numbers come back, reordering changes nothing; averages, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import analysis
from analysis.arrays import chosen_samples
from analysis.compute.networks.feature_merging import EQUAL, folded_outgoing, merge_path
from analysis.compute.networks.network_alignment import aligned_network, average, axes_of, shuffled_network
from analysis.errors import InputError, NotFound
from analysis.methods.weights.feature_merging import FeatureMergingParams, feature_merging
from analysis.methods.weights.fusion_readiness import FusionReadinessParams, fusion_readiness
from analysis.sources.live_tap import live_tap
from analysis.sources.rerun import reading_weight, rerun
from analysis.sources.unit_weights import reader_weights, unit_weights

WORKSPACE = Path(__file__).parents[1] / "sample_data" / "workspace"
HIDDEN = "vit.encoder.layer.2.intermediate.dense"


@pytest.fixture(scope="module")
def taps():
    workspace = analysis.open_workspace(WORKSPACE)
    names = {
        "vit": "digits-vit:vit.layers.2", "seed1": "digits-vit-seed1:vit.layers.2",
        "gpt": "python-gpt:transformer.h.1", "resnet": "digits-resnet:resnet.encoder.stages.0",
        "patches": "digits-vit-patches:vit.layers.2",
    }  # fmt: skip
    return {k: workspace.activations(v) for k, v in names.items()}


@pytest.fixture(scope="module")
def vit(taps):
    return rerun(taps["vit"], 1000)


@pytest.fixture(scope="module")
def gpt(taps):
    return rerun(taps["gpt"], 1000)


def close(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------------------- running
def test_the_recorded_losses_and_answers_come_back(taps, vit, gpt):
    found = vit.measure()
    np.testing.assert_allclose(found.loss, taps["vit"].samples["loss"], atol=1e-5)
    np.testing.assert_array_equal(found.correct, taps["vit"].samples["correct"])
    text = gpt.measure()
    np.testing.assert_allclose(text.loss, taps["gpt"].samples["loss"], atol=1e-5)
    assert 0.55 < text.correct.mean() < 0.7


def test_a_part_of_the_samples_is_a_random_one_of_the_seed_whatever_was_drawn(taps):
    """Classes of data sorted by class are all there; losses are those recorded of these samples."""
    rng = np.random.default_rng(7)
    first = chosen_samples(1000, 60, rng)
    rng.random(10)
    np.testing.assert_array_equal(chosen_samples(1000, 60, rng), first)
    assert (np.diff(first) > 0).all()
    assert len(np.unique(first // 100)) == 10  # ten classes of a hundred, one after the other
    assert not np.array_equal(first, chosen_samples(1000, 60, np.random.default_rng(8)))
    np.testing.assert_array_equal(chosen_samples(40, 60, rng), np.arange(40))
    part, total = rerun(taps["vit"], 40, rng=rng), taps["vit"].layout.n_samples
    assert part.samples.max() > total // 2
    assert part.note.endswith(f"on a random 40 of {total} samples that were recorded (seed 7).")
    np.testing.assert_array_equal(part.labels, np.asarray(taps["vit"].store.class_index)[part.samples])
    np.testing.assert_allclose(part.measure().loss, taps["vit"].samples["loss"][part.samples], atol=1e-5)


def test_a_tap_of_all_tokens_is_put_back_into_its_network(taps):
    """Its own rows change nothing, and those recorded in half precision next to nothing; means cannot be put back."""
    live, at = live_tap(taps["gpt"]), np.array([3, 0])
    assert live.later == ("transformer.h.0", "transformer.h.2", "transformer.h.3")
    live.refuse_others(taps["gpt"])
    inputs, clean = live.clean(at)
    assert list(clean.later) == ["transformer.h.2", "transformer.h.3"]  # the first runs before
    assert np.array_equal(live.spliced(inputs, clean.rows).logits.numpy(), clean.logits.numpy())
    offsets = taps["gpt"].layout.offsets
    rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in at])
    stored = torch.from_numpy(np.array(taps["gpt"].take(rows), np.float32))
    np.testing.assert_allclose(live.spliced(inputs, stored).logits.numpy(), clean.logits.numpy(), atol=0.1)
    assert np.abs(live.spliced(inputs, 0 * stored).logits.numpy() - clean.logits.numpy()).max() > 1
    with pytest.raises(InputError, match="gives 68 rows of 48 units for 4 samples"):
        live_tap(taps["vit"]).refuse_others(taps["vit"])
    with pytest.raises(NotFound, match=r"no module 'transformer.h.9'"):
        live_tap(taps["gpt"], ["transformer.h.9"])


def test_changed_weights_are_put_back_also_after_a_failure(vit, monkeypatch):
    before = vit.measure()
    spoiled = {"vit.layers.0.mlp.fc1.weight": vit.original["vit.layers.0.mlp.fc1.weight"] * 0}
    assert vit.measure(spoiled).loss.mean() > before.loss.mean() + 0.01
    np.testing.assert_array_equal(vit.measure().loss, before.loss)
    monkeypatch.setattr(vit.loaded, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vit.measure(spoiled)
    monkeypatch.undo()
    np.testing.assert_array_equal(vit.measure().loss, before.loss)


def test_a_layer_of_the_file_is_found_in_the_network_under_its_other_name(taps, vit, gpt):
    units = unit_weights(taps["vit"], layer=HIDDEN)
    reader, _ = reader_weights(units, "")
    name, weight, axis = reading_weight(vit, units.network, reader.name)
    assert (name, weight.shape, axis) == ("vit.layers.2.mlp.fc2.weight", (48, 96), 1)
    units = unit_weights(taps["gpt"], layer="transformer.h.1.mlp.c_fc")
    name, weight, axis = reading_weight(gpt, units.network, reader_weights(units, "")[0].name)
    assert (name, weight.shape, axis) == ("transformer.h.1.mlp.c_proj.weight", (320, 80), 0)
    with pytest.raises(NotFound, match="0 parameters"):
        vit.name_of(np.ones((48, 96)))


def test_merging_planted_twins_of_a_real_network_changes_nothing(vit):
    """GELU units with equal weights: one goes, the other takes over what it gave."""
    changed = vit.weights()
    up, bias, down = (f"vit.layers.2.mlp.{k}" for k in ("fc1.weight", "fc1.bias", "fc2.weight"))
    for j in (5, 60):
        changed[up][j], changed[bias][j] = changed[up][17], changed[bias][17]
    twins = {k: changed[k] for k in (up, bias, down)}
    path = merge_path(np.column_stack([changed[up], changed[bias]]), EQUAL)
    assert path.left(0.0) == pytest.approx(94 / 96)
    merged = {**twins, down: folded_outgoing(changed[down].T, path, 2).T.astype(np.float32)}
    assert (np.abs(merged[down]).max(axis=0) > 0).sum() == 94
    np.testing.assert_allclose(vit.measure(merged).loss, vit.measure(twins).loss, atol=1e-4)


def test_a_network_is_run_on_the_data_that_it_was_recorded_on(taps, monkeypatch):
    some = rerun(taps["patches"], 40)  # recorded from a part of the data, by a pattern that the store knows
    known = np.asarray(taps["patches"].samples["loss"])[some.samples]
    np.testing.assert_allclose(some.measure().loss, known, atol=1e-5)
    monkeypatch.setitem(
        taps["patches"].store.manifest, "data", {**taps["patches"].store.manifest["data"], "options": {}}
    )
    with pytest.raises(InputError, match="not what digits-vit-patches"):
        rerun(taps["patches"], 100)
    part = rerun(taps["patches"], 40, partial=True)
    np.testing.assert_allclose(part.measure().loss, known, atol=1e-5)


def test_a_network_that_cannot_be_run_again_is_refused():
    with pytest.raises(InputError, match="knows no checkpoint"):
        rerun(analysis.ArrayActivations(np.ones((4, 4))), 10)


# ---------------------------------------------------------------------------- aligning
@pytest.mark.parametrize("which", ["vit", "gpt"])
def test_a_shuffled_network_is_the_same_function_and_is_put_back_exactly(request, which, rng):
    run = request.getfixturevalue(which)
    own = run.weights()
    mixed = shuffled_network(own, run.heads, rng)
    assert sum(not np.array_equal(own[k], mixed[k]) for k in own) > 30
    np.testing.assert_allclose(run.measure(mixed).loss, run.measure().loss, atol=1e-4)
    table = "classifier.weight" if which == "vit" else "transformer.wte.weight"
    stream = np.array(
        [np.flatnonzero((mixed[table] == column[:, None]).all(axis=0))[0] for column in own[table].T]
    )
    back = aligned_network(own, mixed, stream, run.heads)
    assert close(back, own)
    assert close(average(own, back, 0.5), own)
    np.testing.assert_allclose(run.measure(average(own, mixed, 0.5)).loss.mean(), 3, atol=3)


def test_aligning_another_network_leaves_its_function(taps, vit):
    other = rerun(taps["seed1"], 1000)
    stream = np.random.default_rng(0).permutation(48)
    aligned = aligned_network(vit.weights(), other.weights(), stream, 4)
    np.testing.assert_allclose(vit.measure(aligned).loss, other.measure().loss, atol=1e-4)
    assert not close(aligned, other.weights())


def test_aligning_refuses(taps, vit):
    own = vit.weights()
    with pytest.raises(InputError, match="cannot be aligned"):
        axes_of("resnet.embedder.embedder.convolution.weight")
    with pytest.raises(InputError, match="one architecture"):
        aligned_network(own, {k: v for k, v in own.items() if "classifier" not in k}, np.arange(48), 4)
    with pytest.raises(InputError, match="tap of 10 units"):
        aligned_network(own, own, np.arange(10), 4)
    with pytest.raises(InputError, match="heads"):
        aligned_network(own, own, np.arange(48), 0)
    with pytest.raises(InputError, match="cannot be aligned"):
        fusion_readiness(taps["resnet"], taps["resnet"], params=FusionReadinessParams(networks=True))


# ---------------------------------------------------------------------------- the methods
def test_accuracy_along_the_merge_path(taps):
    params = FeatureMergingParams(layer=HIDDEN, accuracy=True, beta=1.0, maximum_rows=128)
    found = feature_merging(taps["vit"], params=params)
    curve, e = found.series["accuracy"], found.estimates[-1]
    some = chosen_samples(taps["vit"].layout.n_samples, 128, np.random.default_rng(0))
    assert curve[0] == np.mean(taps["vit"].samples["correct"][some])
    assert found.null["accuracy"][0] == curve[0]
    assert curve[-1] <= curve[0]
    assert np.ptp(found.null["accuracy"]) > 0
    assert e.low < e.value < e.high
    assert e.n == 128
    assert any("'gelu', which is not equivalent" in c for c in found.caveats)
    assert any("'vit.encoder.layer.2.output.dense' is taken to read" in c for c in found.caveats)


def test_a_network_averaged_with_itself_is_itself_and_two_seeds_are_not(taps):
    params = FusionReadinessParams(networks=True, maximum_samples=64)
    some = chosen_samples(taps["vit"].layout.n_samples, 64, np.random.default_rng(0))
    right = {k: np.mean(taps[k].samples["correct"][some]) for k in ("vit", "seed1")}
    same = fusion_readiness(taps["vit"], taps["vit"], params=params)
    np.testing.assert_allclose(same.series["accuracy, aligned"], right["vit"])
    barrier = {e.name: e for e in same.estimates}["loss barrier, networks aligned"]
    assert barrier.value == pytest.approx(0, abs=1e-6)
    assert barrier.null > 0.5
    two = fusion_readiness(taps["vit"], taps["seed1"], params=params)
    np.testing.assert_allclose(two.series["accuracy, aligned"][[0, -1]], list(right.values()))
    assert two.series["accuracy, as numbered"][5] < 0.3
    assert "right answers when aligned" in two.reading
