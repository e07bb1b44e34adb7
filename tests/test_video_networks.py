"""Video networks of the transformers library, tiny and random: clips in, tokens on a grid of time x rows x columns."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attribution.network_cost import ROWS
from analysis.errors import InputError, NotEnoughData
from analysis.methods.tokens.pooled_shapes import PooledShapesParams, pooled_shapes
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

torch = pytest.importorskip("torch")
t = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 3,
}
FRAMES = 4


def network(kind: str):
    size = {"num_frames": FRAMES, "image_size": 16}
    if kind == "videomae":
        return t.VideoMAEForVideoClassification(
            t.VideoMAEConfig(**SMALL, **size, patch_size=4, tubelet_size=2)
        )
    if kind == "timesformer":
        return t.TimesformerForVideoClassification(t.TimesformerConfig(**SMALL, **size, patch_size=4))
    return t.VivitForVideoClassification(t.VivitConfig(**SMALL, **size, tubelet_size=[2, 4, 4]))


def stored(folder, kind: str, frames: int = FRAMES):
    torch.manual_seed(0)
    model = network(kind).eval()
    model.save_pretrained(folder / "net")
    made = t.VivitImageProcessor if kind == "vivit" else t.VideoMAEImageProcessor
    size = {"height": 16, "width": 16} if kind == "vivit" else {"shortest_edge": 16}
    made(size=size, crop_size={"height": 16, "width": 16}).save_pretrained(folder / "net")
    clips = np.random.default_rng(0).integers(0, 255, (5, frames, 16, 16, 3)).astype(np.uint8)
    np.savez(folder / "d.npz", videos=clips)
    checkpoint, data = open_checkpoint(folder / "net"), open_data(folder / "d.npz")
    made = record(checkpoint, data, folder / "s", name="s", tokens="all", dtype="float32", taps=["*blocks*"])
    return model, checkpoint, data, made


KINDS = {"videomae": (2, 0), "timesformer": (4, 1), "vivit": (2, 1)}  # frames of tokens, tokens before them


@pytest.mark.parametrize("kind", list(KINDS))
def test_clips_are_recorded_on_their_grid_and_pooled(tmp_path, kind):
    model, checkpoint, data, made = stored(tmp_path, kind)
    frames, leading = KINDS[kind]
    name = [n for n in made.taps if ".layer.1" in n or ".layers.1" in n][-1]
    tap = made.activations(name)
    assert (tap.layout.grid, tap.layout.leading) == ((frames * 4, 4), leading)
    inputs = checkpoint.load().prepare(data.items(0, 5))
    assert inputs["pixel_values"].shape == (5, FRAMES, 3, 16, 16)
    seen = []
    handle = model.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        model(**inputs)
    handle.remove()
    own = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    want = own.numpy()
    if kind == "timesformer":  # patch by patch in the network
        body = want[:, 1:].reshape(5, 16, FRAMES, 16).transpose(0, 2, 1, 3).reshape(5, 64, 16)
        want = np.concatenate([want[:, :1], body], axis=1)
    rows = tap.take(np.arange(tap.shape[0])).reshape(want.shape)
    np.testing.assert_allclose(rows, want, atol=1e-5)
    params = PooledShapesParams(frames=frames, times=frames, rows=2, columns=2)
    found = pooled_shapes(tap, params)
    assert f"{frames} x 4 x 4" in found.title
    body = want[:, leading:].reshape(5, frames, 2, 2, 2, 2, 16)
    lengths = np.linalg.norm(body, axis=-1).mean(axis=(3, 5))
    means = np.linalg.norm(body.mean(axis=(3, 5)), axis=-1)
    share = (means.sum(axis=(1, 2, 3)) / lengths.sum(axis=(1, 2, 3))).mean()
    assert found.estimates[0].value == pytest.approx(share, abs=1e-4)
    answered = pooled_shapes(tap)  # run live, the network knows its frames itself
    assert f"{frames} x 4 x 4" in answered.title
    assert answered.estimates[1].name.startswith("answer")
    assert answered.estimates[1].n == 5
    with pytest.raises(NotEnoughData, match="how many frames"):  # of rows nobody knows
        pooled_shapes(tap, PooledShapesParams(source=ROWS))


def test_clips_of_other_lengths_are_read_at_even_places_and_said(tmp_path):
    _, checkpoint, data, _ = stored(tmp_path, "vivit", frames=7)
    loaded = checkpoint.load()
    inputs = loaded.prepare(data.items(0, 1))["pixel_values"]
    assert inputs.shape == (1, FRAMES, 3, 16, 16)
    four = loaded.prepare([data.items(0, 1)[0][[0, 2, 4, 6]]])["pixel_values"]
    torch.testing.assert_close(inputs, four)
    assert any("even places" in note for note in loaded.notes)
    with pytest.raises(InputError, match="a clip"):
        loaded.prepare([np.zeros((16, 16), np.uint8)])
