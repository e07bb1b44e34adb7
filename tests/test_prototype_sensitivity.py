"""Scores of prototypes on altered images: alterations against another library, and a small network that is run on them
against the same by hand."""

from __future__ import annotations

import colorsys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.errors import InputError
from analysis.features import altered_images, rules
from analysis.features.altered_images import HUE, INTENSITY, KINDS, SATURATION, TEXTURE, altered
from analysis.features.feature_set import FeatureSet
from analysis.features.tap_dictionary import TapDictionary
from analysis.methods.dictionaries import prototype_sensitivity as method
from analysis.methods.dictionaries.prototype_sensitivity import (
    PrototypeSensitivityParams,
    prototype_sensitivity,
)
from analysis.sources.loaded_model import LoadedModel
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec

N, D, K, SIDE = 12, 5, 4, 6


def test_colours_are_those_of_another_implementation(rng):
    image = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    for share in (0.0, 0.1, 0.5, 0.9):
        want = np.empty_like(image)
        for i, j in np.ndindex(7, 5):
            h, s, v = colorsys.rgb_to_hsv(*(image[i, j] / 255))
            want[i, j] = np.rint(255 * np.array(colorsys.hsv_to_rgb((h + share) % 1, s, v)))
        assert np.abs(altered(image, HUE, share).astype(int) - want).max() <= 1  # halves may round either way
    np.testing.assert_array_equal(altered(image, HUE, 0.0), image)
    gone = altered(image, SATURATION, 1.0)
    assert np.ptp(gone, axis=2).max() == 0
    blurred = altered(image, TEXTURE, 2.0)
    assert blurred.astype(float).std(axis=(0, 1)).max() < image.astype(float).std(axis=(0, 1)).min()
    np.testing.assert_array_equal(altered(image, INTENSITY, 1.0), 0)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = torch.nn.Conv2d(3, D, 3), torch.nn.Linear(D, 2)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean(dim=(2, 3)))


@pytest.fixture
def known(tmp_path, monkeypatch, rng):
    """The set on the recorded maps of a network, its images (the second half grey), and the network."""
    images = rng.integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    images[N // 2 :] = images[N // 2 :, :, :, :1]
    net = Tiny().eval()

    def prepare(items):
        whole = np.stack([np.asarray(i) for i in items])
        return torch.from_numpy(whole / 255).float().permute(0, 3, 1, 2)

    with torch.no_grad():
        maps = net.conv(prepare(images)).permute(0, 2, 3, 1).numpy().reshape(N, -1, D)
    spec = TapSpec("conv", D, "float32", tokens="all", grid=(SIDE - 2, SIDE - 2))
    store = write_store(tmp_path / "s", name="s", taps={"conv": maps}, specs={"conv": spec})
    source, vectors, zero = store.activations("conv"), maps[:K, 0], np.zeros(D)
    features = FeatureSet("p", rules.PROTOTYPE, vectors.T, vectors, np.zeros(K), zero, zero, epsilon=1e-4)
    run = SimpleNamespace(
        loaded=LoadedModel(net, "image", prepare), n=N, note="The network was run on all samples.",
        data=SimpleNamespace(items=lambda a, b: list(images[a:b])),
    )  # fmt: skip
    monkeypatch.setattr(altered_images, "rerun", lambda *_, **__: run)
    monkeypatch.setattr(method, "tap_dictionary", lambda tap: TapDictionary(tap, source, features, False))
    return SimpleNamespace(source=source, images=images, net=net, prepare=prepare, features=features, run=run)


def test_the_network_is_run_on_altered_images(known):
    """Every score by hand; of grey images hue and saturation change nothing at all."""
    strengths = dict.fromkeys(KINDS, 0.3)
    made = method.tap_dictionary(known.source)
    found = altered_images.scores_of_altered(made, strengths, 100, lambda *_: None, (0, 1))
    for kind in KINDS:
        changed = np.stack([altered(i, kind, 0.3) for i in known.images])
        with torch.no_grad():
            rows = known.net.conv(known.prepare(changed)).permute(0, 2, 3, 1).numpy().reshape(N, -1, D)
        vectors = known.features.directions.astype(np.float64)
        d2 = ((rows.astype(np.float64)[:, :, None] - vectors) ** 2).sum(axis=3).min(axis=1)
        np.testing.assert_allclose(found.altered[kind], np.log((d2 + 1) / (d2 + 1e-4)), atol=1e-8)
    for kind in (HUE, SATURATION):
        np.testing.assert_array_equal(found.altered[kind][N // 2 :], found.clean[N // 2 :])
        assert np.abs(found.altered[kind] - found.clean)[: N // 2].max() > 1e-3
    shown = prototype_sensitivity(known.source, PrototypeSensitivityParams())
    assert shown.column_names == KINDS
    assert not any("Rows were altered" in c for c in shown.caveats)


def test_what_cannot_be_run_is_told_and_rows_are_altered_instead(known):
    known.run.data.items = lambda a, b: list(255 - known.images[a:b])  # other images than recorded
    found = prototype_sensitivity(known.source)
    assert any("Rows were altered, not images" in c and "recorded rows" in c for c in found.caveats)
    assert "noise" in found.column_names
    known.run.loaded.modality = "text"
    made = method.tap_dictionary(known.source)
    with pytest.raises(InputError, match="Expected images"):
        altered_images.scores_of_altered(made, {}, 9, lambda *_: None, (0, 1))
