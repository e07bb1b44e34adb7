"""Checkpoints of one training run on modular addition: train and test accuracy along the way."""

import numpy as np
import pytest
from recorded import recorded

from analysis.sources.data import open_data

ACCURACY = {  # epoch: train, test
    0: (0.0379, 0.0602), 200: (0.3712, 0.0), 1000: (0.7323, 0.0), 1600: (0.8535, 0.2707), 2000: (0.9874, 0.6692),
    3000: (1.0, 0.7068), 5000: (1.0, 0.7068), 8000: (1.0, 0.8722), 10000: (1.0, 0.9474), 15000: (1.0, 0.9774),
    49800: (1.0, 0.9774),
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(real, tmp_path_factory):
    import torch

    folder, found = tmp_path_factory.mktemp("pairs"), {}
    for part in ("train", "test"):
        values = np.array(torch.load(real / "grokking" / f"{part}_data.pth", weights_only=True))
        np.savez(folder / f"{part}.npz", data=values, labels=values.sum(1) % 23)
        found[part] = open_data(folder / f"{part}.npz", array="data", labels="labels")
    return found


@pytest.mark.parametrize("epoch", ACCURACY)
def test_accuracy_along_the_run(real, pairs, epoch, tmp_path):
    for part, expected in zip(("train", "test"), ACCURACY[epoch], strict=True):
        store = recorded(
            real / "grokking" / f"epoch_{epoch:05d}.pth", "ModularAddition", pairs[part], tmp_path / part,
            taps="mlp.hidden",
        )  # fmt: skip
        assert store.n_samples == {"train": 396, "test": 133}[part]
        assert store.samples["correct"].mean() == pytest.approx(expected, abs=0.00006)
        assert store.activations("mlp.hidden").shape == (store.n_samples, 512)
