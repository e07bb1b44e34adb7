"""A vision transformer trained on MNIST, on scikit-learn's digits, with all its patch tokens."""

import numpy as np
import pytest
from recorded import recorded, rows

from analysis.recording.taps import dry_run
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = np.zeros((len(found.images), 28, 28), np.uint8)
    for picture, image in zip(pictures, found.images, strict=True):
        small = Image.fromarray((image / 16 * 255).astype(np.uint8)).resize(
            (20, 20), Image.Resampling.BICUBIC
        )
        picture[4:24, 4:24] = np.asarray(small)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, images=pictures, labels=found.target)
    return open_data(path)


@pytest.fixture(scope="module")
def store(real, digits, tmp_path_factory):
    taps = ["*blocks*", "transformer.layers.2.0.fn.to_out"]
    path = real / "vit" / "vit_mnist_gpu.pt"
    return recorded(path, "MnistViT", digits, tmp_path_factory.mktemp("vit") / "s", taps=taps, tokens="all")


def test_accuracy(store):
    assert store.n_samples == 1797
    assert store.samples["correct"].mean() == pytest.approx(0.8715, abs=0.00005)


def test_blocks_and_patch_tokens(store):
    blocks = [f"transformer.layers.{i}" for i in range(6)]
    assert set(blocks) < set(store.taps)
    for block in blocks:
        layout = store.activations(block).layout
        assert (layout.grid, layout.leading) == ((7, 7), 1)
        assert layout.n_rows == 1797 * 50
    assert store.problems == []


def test_class_token_of_the_last_block_decides(store, real):
    """Head and norm applied to the recorded class token give the recorded logits."""
    import torch

    weights = torch.load(real / "vit" / "vit_mnist_gpu.pt", weights_only=True, map_location="cpu")
    last = store.activations("transformer.layers.5")
    token = torch.from_numpy(np.asarray(last.take(last.layout.offsets[:-1]), np.float32))
    norm = torch.nn.functional.layer_norm(
        token, (64,), weights["mlp_head.0.weight"], weights["mlp_head.0.bias"]
    )
    logits = (norm @ weights["mlp_head.1.weight"].T + weights["mlp_head.1.bias"]).numpy()
    np.testing.assert_allclose(logits, rows(store, "outputs.logits"), atol=0.05)  # both came through float16
    assert (logits.argmax(1).astype(str) == store.samples["predicted"]).mean() > 0.998


def test_a_dead_border_pixel_patch_is_the_same_for_every_digit(store):
    """The corner patch never holds ink, and position 0 of the first block sees it only through attention."""
    first = store.activations("transformer.layers.0")
    corner = np.asarray(first.take(first.layout.offsets[:-1] + 1), np.float64)
    centre = np.asarray(first.take(first.layout.offsets[:-1] + 1 + 24), np.float64)
    assert corner.std(0).mean() < 0.5 * centre.std(0).mean()


def test_mean_leaves_the_class_token_out(store, real, digits, tmp_path):
    path = real / "vit" / "vit_mnist_gpu.pt"
    tap = "transformer.layers.3"
    pooled = recorded(
        path, "MnistViT", digits, tmp_path / "m", taps=tap, tokens="mean", dtype="float32", limit=200
    )
    everything = rows(store, tap)[: 200 * 50].reshape(200, 50, 64)
    np.testing.assert_allclose(
        rows(pooled, tap), everything[:, 1:].mean(1), rtol=2**-11, atol=2e-3
    )  # float16


def test_the_dry_run_finds_grid_and_class_token_without_a_config(real, digits):
    loaded = open_checkpoint(real / "vit" / "vit_mnist_gpu.pt", model="networks:MnistViT").load()
    info = {i.name: i for i in dry_run(loaded, digits)}["transformer.layers.5"]
    assert (info.n_tokens, info.n_units, info.grid, info.leading) == (50, 64, (7, 7), 1)
    assert "7 x 7 patches and 1 before" in info.class_token
