"""Five seeds of a 1-D CNN on radio signals, each with its sparse autoencoder."""

import numpy as np
import pytest
from networks import SparseAutoencoder
from recorded import recorded, rows

from analysis.features.encoding import encode_tap
from analysis.features.importing import import_feature_set
from analysis.methods.dictionaries.dictionary_report import dictionary_report
from analysis.methods.dictionaries.seed_consistency import SeedConsistencyParams, seed_consistency
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.sources.data import open_data

POOLED = "features.12"  # the global average: 256 units
FACTS = {  # seed: accuracy, variance explained by the autoencoder, latents ever active, dead units
    0: (0.9773, 0.9997, 46, 40),
    1: (0.9848, 0.9993, 43, 61),
    2: (0.9735, 0.9995, 47, 59),
    3: (0.9886, 0.9995, 36, 63),
    4: (0.9811, 0.9995, 51, 44),
}


@pytest.fixture(scope="module")
def signals(real):
    return open_data(real / "rf_sae" / "rf_test_iq.npz")


@pytest.fixture(scope="module", params=FACTS)
def seed(request, real, signals, tmp_path_factory):
    """The seed's number, the store of its classifier, and the store of its autoencoder on that store's rows."""
    number = request.param
    folder, source = tmp_path_factory.mktemp(f"seed{number}"), real / "rf_sae" / f"seed_{number}"
    store = recorded(
        source / "classifier.pt", "SignalNet", signals, folder / "cnn", taps=[POOLED, "head.1"], dtype="float32",
        batch=66,
    )  # fmt: skip
    np.save(folder / "pooled.npy", rows(store, POOLED).astype(np.float32))
    latents = recorded(
        SparseAutoencoder(source / "sae.pt"), None, open_data(folder / "pooled.npy"), folder / "sae",
        taps=["latents", "decoder"], dtype="float32",
    )  # fmt: skip
    return number, store, latents


def test_accuracy(seed):
    number, store, _ = seed
    assert store.samples["correct"].mean() == pytest.approx(FACTS[number][0], abs=0.00005)
    assert set(store.samples["predicted"]) <= set(store.classes)
    assert len(store.classes) == 11


def test_dead_units(seed):
    number, store, _ = seed
    assert store.index(POOLED).table()["dead"].sum() == FACTS[number][3]


def test_sparse_autoencoder(seed, real):
    import torch

    number, store, latents = seed
    _, explained, active, _ = FACTS[number]
    table = latents.index("latents").table()
    assert (table["fraction_positive"] > 0).sum() == active
    assert ((rows(latents, "latents") > 0).sum(1) <= 8).all()
    path = real / "rf_sae" / f"seed_{number}" / "sae.pt"
    mean = torch.load(path, weights_only=True, map_location="cpu")["mean"].numpy()
    x, back = rows(store, POOLED), rows(latents, "decoder") + mean
    assert 1 - ((x - back) ** 2).sum() / ((x - x.mean(0)) ** 2).sum() == pytest.approx(explained, abs=0.0001)


@pytest.fixture(scope="module")
def five(real, signals, tmp_path_factory):
    """The stores of the five classifiers."""
    folder = tmp_path_factory.mktemp("five")
    return [
        recorded(
            real / "rf_sae" / f"seed_{k}" / "classifier.pt", "SignalNet", signals, folder / str(k), taps=[POOLED],
            dtype="float32", batch=66,
        )
        for k in FACTS
    ]  # fmt: skip


def test_cka_between_the_five_seeds(five):
    found = cka(*(s.activations(POOLED) for s in five), params=CkaParams(estimator="biased")).values
    values = found[np.triu_indices(5, 1)]
    assert found[3, 4] == values.min() == pytest.approx(0.726, abs=0.0006)
    assert found[0, 2] == values.max() == pytest.approx(0.983, abs=0.0006)


def test_consistency_of_the_five_dictionaries(five, real):
    """Directions of five networks have nothing in common, and the certificate says so; what their features do has."""
    taps = []
    for k, store in enumerate(five):
        features = import_feature_set(real / "rf_sae" / f"seed_{k}" / "sae.pt", name="sae")
        taps.append(encode_tap(store, POOLED, features).activations(f"{POOLED}@sae"))
    by = {
        how: {e.name: e for e in seed_consistency(*taps, params=SeedConsistencyParams(by=how)).estimates}
        for how in ("directions", "codes")
    }
    assert by["directions"]["PW-MCC"].value > 0.14
    assert by["directions"]["PW-MCC less chance"].value == pytest.approx(0, abs=0.01)
    assert by["directions"]["certified share"].value == 0
    assert by["codes"]["PW-MCC less chance"].value > 0.5
    assert 0.1 < by["codes"]["certified share"].value < 0.3  # at most the 46 of 128 that fire


def test_one_dimensional_maps_are_channels_first(real, signals, tmp_path):
    source = real / "rf_sae" / "seed_0" / "classifier.pt"
    store = recorded(
        source, "SignalNet", signals, tmp_path / "s", taps="features.11", tokens="all", limit=4, batch=2
    )
    assert store.activations("features.11").shape == (4 * 256, 256)
    assert store.taps["features.11"].grid is None


def test_each_dictionary_on_its_network(seed, real):
    """The same facts from the imported dictionary as a feature set, its codes as a tap, and the report on that tap."""
    number, store, _ = seed
    _, explained, active, _ = FACTS[number]
    features = import_feature_set(real / "rf_sae" / f"seed_{number}" / "sae.pt", name="sae")
    tap = f"{POOLED}@sae"
    store = store if tap in store.taps else encode_tap(store, POOLED, features)
    c = dictionary_report(store.activations(tap)).columns
    assert c["explained variance"][0] == pytest.approx(explained, abs=0.0001)
    assert round((1 - c["dead"][0]) * c["features"][0]) == active
    assert c["active, 95 % of rows"][0] <= 8
    assert (
        c["explained variance"][0] > c["explained variance"][list(c["dictionary"]).index("random dictionary")]
    )
