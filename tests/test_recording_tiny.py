"""Tiny randomly initialised networks of many families, saved to disk, opened, listed and recorded."""

import numpy as np
import pytest

from analysis.errors import NotFound, ParameterError
from analysis.recording.recorder import record
from analysis.recording.taps import choose_taps, dry_run
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tiny_networks import FAMILIES, TEXTS  # noqa: E402


def hooks_left(module) -> int:
    return sum(len(m._forward_hooks) for m in module.modules())


TEXT = ("gpt2", "llama", "bert")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoint, loaded network and data of a family, made once."""
    made = {}

    def get(family: str):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            model, processor = FAMILIES[family][0](transformers)
            model.save_pretrained(folder / "net")
            processor.save_pretrained(folder / "net")
            checkpoint = open_checkpoint(folder / "net")
            made[family] = checkpoint, checkpoint.load(), data_for(family, folder)
        return made[family]

    return get


def data_for(family: str, folder):
    rng = np.random.default_rng(0)
    if family in TEXT:
        (folder / "t.txt").write_text("\n".join(TEXTS))
        return open_data(folder / "t.txt")
    if family == "wav2vec2":
        import soundfile

        (folder / "clips").mkdir()
        for i, length in enumerate((1600, 1600, 800, 1200, 1600)):
            soundfile.write(folder / "clips" / f"{i}.wav", rng.normal(size=length).clip(-1, 1) * 0.3, 16000)
        return open_data(folder / "clips")
    size = transformers.AutoImageProcessor.from_pretrained(folder / "net", backend="pil").size["height"]
    pixels = rng.integers(0, 255, (5, size, size, 3)).astype(np.uint8)
    np.savez(folder / "d.npz", images=pixels, labels=np.array([0, 1, 2, 0, 1]))
    return open_data(folder / "d.npz")


@pytest.mark.parametrize("family", FAMILIES)
def test_layout_grid_leading_and_blocks(saved, family):
    _, block, tokens, units, grid, leading, n_blocks = FAMILIES[family]
    _, loaded, data = saved(family)
    infos = {i.name: i for i in dry_run(loaded, data)}
    info = infos[block]
    assert (info.n_tokens, info.n_units, info.grid, info.leading) == (tokens, units, grid, leading)
    assert info.problem == ""
    assert info.is_block
    assert info.bytes_per_sample == tokens * units * 2
    if n_blocks is not None:
        assert sum(i.is_block for i in infos.values()) == n_blocks
    assert hooks_left(loaded.module) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_recorded_rows_are_the_networks_own_hidden_states(saved, family, tmp_path):
    """The second implementation: a plain hook on one batch, and the layout known from the family."""
    _, block, _, units, grid, leading, _ = FAMILIES[family]
    checkpoint, loaded, data = saved(family)
    store = record(
        checkpoint,
        data,
        tmp_path / "s",
        name="s",
        taps=block,
        tokens="all",
        batch=5,
        dtype="float32",
        loaded=loaded,
    )
    inputs = loaded.prepare(data.items(0, len(data)))
    kept = []
    handle = loaded.module.get_submodule(block).register_forward_hook(lambda m, i, o: kept.append(o))
    with torch.inference_mode():
        loaded.forward(inputs)
    handle.remove()
    x = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    if family in ("resnet", "convnext"):
        x = x.flatten(2).transpose(1, 2)
    x = x.numpy()
    acts = store.activations(block)
    if family in TEXT:
        counts = inputs["attention_mask"].sum(1).tolist()
        expected = np.concatenate([x[i, :n] for i, n in enumerate(counts)])
        assert [len(store.tokens(i)) for i in range(5)] == counts
    elif family == "wav2vec2":
        frames = loaded.module._get_feat_extract_output_lengths(inputs["attention_mask"].sum(1)).tolist()
        expected = np.concatenate([x[i, :n] for i, n in enumerate(frames)])
        counts = frames
    else:
        expected, counts = x.reshape(-1, units), [x.shape[1]] * 5
    assert np.diff(acts.layout.offsets).tolist() == counts
    assert (acts.layout.grid, acts.layout.leading) == (grid, leading)
    np.testing.assert_array_equal(acts.take(np.arange(acts.shape[0])), expected)
    assert hooks_left(loaded.module) == 0
    assert store.problems == []


@pytest.mark.parametrize("family", FAMILIES)
def test_default_taps_and_every_choice_of_tokens(saved, family, tmp_path):
    checkpoint, loaded, data = saved(family)
    infos = dry_run(loaded, data)
    for tokens in ("mean", "cls", "last", "spatial-mean"):
        directory = tmp_path / tokens
        needs_class = tokens == "cls" and not any(i.class_token for i in infos)
        conv = family in ("resnet", "convnext")
        refused = (
            needs_class
            or (tokens == "last" and conv)
            or (tokens == "spatial-mean" and family in (*TEXT, "wav2vec2"))
        )
        block = FAMILIES[family][1]
        if refused:
            with pytest.raises(ParameterError, match=f"'{tokens}' for tap"):
                record(checkpoint, data, directory, name="s", taps=block, tokens=tokens, loaded=loaded)
            assert not directory.exists()
        else:
            store = record(
                checkpoint, data, directory, name="s", taps=block, tokens=tokens, batch=2, loaded=loaded
            )
            assert store.activations(block).layout.is_pooled
        assert hooks_left(loaded.module) == 0
    store = record(checkpoint, data, tmp_path / "default", name="s", batch=2, loaded=loaded)
    defaults = {i.name for i in infos if i.is_default}
    assert set(store.taps) == defaults
    assert {i.name for i in infos if i.is_block} <= defaults
    assert store.n_samples == 5


def test_language_model_columns_and_token_losses(saved, tmp_path):
    checkpoint, loaded, data = saved("gpt2")
    taps = ["transformer.h.0", "outputs.logits"]
    store = record(
        checkpoint, data, tmp_path / "s", name="s", taps=taps, tokens="all", batch=2, dtype="float32"
    )
    losses, logits = store.activations("outputs.token_loss"), store.activations("outputs.logits")
    lengths = np.diff(logits.layout.offsets)
    assert (
        np.diff(losses.layout.offsets).tolist() == (lengths - 1).tolist()
    )  # the last token predicts nothing
    assert logits.shape == (lengths.sum(), 11)
    ids = [loaded.prepare([t])["input_ids"][0].numpy() for t in TEXTS]
    rows = logits.take(np.arange(lengths.sum()))
    logs = rows - np.log(np.exp(rows.astype(np.float64)).sum(1, keepdims=True))
    for i, own in enumerate(ids):
        start = logits.layout.offsets[i]
        expected = -logs[start : start + len(own) - 1][np.arange(len(own) - 1), own[1:]]
        got = losses.take(np.arange(*losses.layout.offsets[i : i + 2]))[:, 0]
        np.testing.assert_allclose(got, expected, atol=1e-5)
        if len(own) > 1:
            assert store.samples["loss"][i] == pytest.approx(expected.mean(), abs=1e-5)
        else:
            assert np.isnan(store.samples["loss"][i])
    assert "correct" not in store.samples


def test_several_batches_give_what_one_batch_gives(saved, tmp_path):
    checkpoint, _, data = saved("bert")
    block = FAMILIES["bert"][1]
    stores = [
        record(
            checkpoint, data, tmp_path / str(b), name="s", taps=block, tokens="all", batch=b, dtype="float32"
        )
        for b in (1, 2, 5)
    ]
    values = [s.activations(block).take(np.arange(s.activations(block).shape[0])) for s in stores]
    for v in values[1:]:
        np.testing.assert_allclose(v, values[0], atol=1e-5)  # padding is masked, not absent


def test_a_tap_may_have_its_own_choice(saved, tmp_path):
    checkpoint, loaded, data = saved("registers")
    taps = [
        "encoder.layer.0@tokens=all",
        "encoder.layer.1@tokens=cls",
        "layernorm@tokens=all,leading=1",
        "embeddings",
    ]
    store = record(checkpoint, data, tmp_path / "s", name="s", taps=taps, dtype="float32", loaded=loaded)
    spec = store.taps
    assert [spec[n].tokens for n in ("embeddings", "encoder.layer.0", "encoder.layer.1")] == [
        "mean",
        "all",
        "cls",
    ]
    assert (spec["encoder.layer.0"].grid, spec["encoder.layer.0"].leading) == ((4, 4), 5)
    assert (spec["layernorm"].grid, spec["layernorm"].leading) == (None, 1)  # 20 tokens are no 4 x 4
    kept = []
    handle = loaded.module.get_submodule("encoder.layer.1").register_forward_hook(
        lambda m, i, o: kept.append(o)
    )
    with torch.inference_mode():
        loaded.forward(loaded.prepare(data.items(0, 5)))
    handle.remove()
    x = kept[0][0] if isinstance(kept[0], tuple) else kept[0]
    np.testing.assert_allclose(
        store.activations("encoder.layer.1").take(np.arange(5)), x[:, 0].numpy(), atol=1e-5
    )


def test_names_globs_and_near_misses(saved):
    _, loaded, data = saved("vit")
    infos = dry_run(loaded, data)
    assert [i.name for i in choose_taps(infos, "vit.layers.?")] == ["vit.layers.0", "vit.layers.1"]
    assert [i.name for i in choose_taps(infos, ["classifier", "vit.embeddings"])] == [
        "vit.embeddings",
        "classifier",
    ]
    with pytest.raises(NotFound, match=r"'vit\.layers\.1'"):
        choose_taps(infos, "vit.layer.1")
    with pytest.raises(NotFound, match="at least one"):
        choose_taps(infos, [])
    with pytest.raises(ParameterError, match="tokens"):
        choose_taps(infos, "classifier@tokens=median")
    with pytest.raises(ParameterError, match=r"call=last or 0\.\.0"):
        choose_taps(infos, "classifier@call=3")
