"""A vision transformer trained on MNIST, on scikit-learn's digits, with all its patch tokens."""

import numpy as np
import pytest
from recorded import recorded, rows

from analysis.compute.rows.some_samples import EVERY, MEAN
from analysis.methods.rank.rank_series import RankSeriesParams, rank_series
from analysis.methods.subspaces.subspace_movie import SubspaceMovieParams, subspace_movie
from analysis.recording.taps import dry_run
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

BLOCKS = [f"transformer.layers.{i}" for i in range(6)]


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
    assert set(BLOCKS) < set(store.taps)
    for block in BLOCKS:
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


def test_the_rank_of_tokens_falls_with_depth_where_that_of_their_means_rises(store):
    """What a row is decides the sign: tokens of an image become alike while images become less alike."""
    taps = [store.activations(block) for block in BLOCKS]
    lines = {}
    for tokens in (MEAN, EVERY):
        found = rank_series(*taps, params=RankSeriesParams(notion="participation ratio", tokens=tokens))
        lines[tokens] = found.series[store.name]
        assert found.x_labels == tuple(BLOCKS)
        assert {e.n for e in found.estimates} == {1797}
    np.testing.assert_allclose(lines[MEAN], [6.23, 4.37, 4.74, 5.33, 6.05, 6.31], atol=0.02)
    np.testing.assert_allclose(lines[EVERY], [13.84, 13.80, 10.97, 11.47, 9.90, 10.13], atol=0.02)
    x = np.asarray(taps[3].take(np.arange(1797 * 50)), np.float64)
    lam = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    assert lines[EVERY][3] == pytest.approx(lam.sum() ** 2 / (lam**2).sum(), rel=1e-6)


@pytest.mark.parametrize("tokens", [MEAN, EVERY])
def test_the_main_subspace_turns_in_the_first_blocks_and_hardly_in_the_last(store, tokens):
    taps = [store.activations(block) for block in BLOCKS]
    found = subspace_movie(*taps, params=SubspaceMovieParams(tokens=tokens, draws=20))
    moved, random = found.series["velocity"], found.series["random subspaces"]
    assert moved.argmax() == 0
    assert moved.argmin() == 4
    assert moved[0] > 0.7 * random[0]
    assert moved[4] < 0.15 * random[4]
    for e in found.estimates:
        assert e.n == 1797 if tokens == MEAN else 1600 < e.n < 1797  # 5,000 of the tokens are not of all
        assert e.low > e.null
    assert found.x_labels == tuple(BLOCKS[1:])
