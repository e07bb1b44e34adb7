"""Two provably robust CNNs on the 10,000 Fashion-MNIST test images: accuracy, dead units, similarity."""

import numpy as np
import pytest
from recorded import recorded

from analysis.methods.similarity.cka import CkaParams, cka
from analysis.sources.data import open_data

PER_CLASS = (0.723, 0.915, 0.553, 0.878, 0.645, 0.908, 0.523, 0.804, 0.943, 0.935)
HIDDEN = "6"  # the ReLU after the hidden linear map


@pytest.fixture(scope="module")
def stores(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fashion")
    data = open_data(real / "fashion" / "fashion_mnist_test.npz")
    return {
        name: recorded(
            real / "fashion" / f"{name}.pth", "fashion_cnn", data, folder / name, taps=[HIDDEN, "3"], batch=500,
            dtype="float32",
        )
        for name in ("fashion_mnist", "mnist")
    }  # fmt: skip


def test_accuracy_in_all_and_per_class(stores):
    samples = stores["fashion_mnist"].samples
    assert (samples["predicted"] == samples["label"]).mean() == pytest.approx(0.7827, abs=1e-9)
    assert samples["correct"].mean() == pytest.approx(0.7827, abs=1e-9)
    names = stores["fashion_mnist"].classes
    shares = [samples["correct"][samples["label"] == name].mean() for name in names]
    np.testing.assert_allclose(shares, PER_CLASS, atol=1e-9)


def test_the_digit_network_knows_little_of_clothes(stores):
    assert stores["mnist"].samples["correct"].mean() == pytest.approx(0.1261, abs=1e-9)


@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_ninety_of_a_hundred_hidden_units_are_dead(stores, name):
    table = stores[name].index(HIDDEN).table()
    assert table["dead"].sum() == 90
    assert (table["maximum"][table["dead"]] == 0).all()
    assert (table["fraction_positive"][~table["dead"]] > 0).all()


def test_linear_cka_of_the_two_hidden_layers(stores):
    """The published number is of the biased estimate; with 10,000 samples of few live units the two agree."""
    taps = [stores[n].activations(HIDDEN) for n in ("fashion_mnist", "mnist")]
    biased, unbiased = (cka(*taps, params=CkaParams(estimator=e)) for e in ("biased", "unbiased"))
    assert biased.values[0, 1] == pytest.approx(0.616, abs=0.0006)
    assert unbiased.values[0, 1] == pytest.approx(biased.values[0, 1], abs=0.001)
    assert unbiased.estimates[0].low <= 0.616 <= unbiased.estimates[0].high
    assert unbiased.significant.all()


def test_convolution_maps_are_averaged_over_the_image(stores):
    assert stores["mnist"].taps["3"].tokens == "mean"
    assert stores["mnist"].activations("3").shape == (10_000, 32)


def test_the_published_pictures_as_a_folder(real, tmp_path):
    """100 of the PNGs through the folder reader are the same samples as in the array: the first ten per class."""
    data = open_data(real / "fashion" / "png_sample")
    store = recorded(real / "fashion" / "fashion_mnist.pth", "fashion_cnn", data, tmp_path / "s", taps=HIDDEN)
    assert store.n_samples == 100
    assert store.thumbnail(0).startswith(b"\x89PNG")
    assert store.samples["media_path"][0].endswith(".png")
    assert 0.65 <= store.samples["correct"].mean() <= 0.95
