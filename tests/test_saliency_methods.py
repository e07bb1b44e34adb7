"""Maps of samples in a network of their own: which site, what lies below, what is left out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.activations import ArrayActivations
from analysis.attribution.saliency.asked import THE_INPUT
from analysis.attribution.saliency.ways import WAYS
from analysis.errors import NotFound
from analysis.methods.attribution.saliency_by_layer import SaliencyByLayerParams, saliency_by_layer
from analysis.methods.attribution.saliency_map import SaliencyMapParams, saliency_map
from analysis.methods.attribution.saliency_ways import SaliencyWaysParams, saliency_ways
from analysis.sources import rerun
from analysis.sources.loaded_model import LoadedModel

N = 12


@pytest.fixture
def tap(monkeypatch):
    """A tap that holds means over places, of a network that can be run: class 1 where the upper left is bright."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2),
    ).double().eval()  # fmt: skip
    images = np.random.default_rng(0).standard_normal((N, 1, 8, 8))
    items = SimpleNamespace(items=lambda a, b: list(images[a:b]))
    loaded = LoadedModel(
        net, "image", lambda found: torch.as_tensor(np.stack(found)), class_names=("no", "yes")
    )
    found = rerun.Rerun(loaded, items, np.arange(N) % 2, np.arange(N), N)
    monkeypatch.setattr(rerun, "rerun", lambda *_args, **_more: found)
    made = ArrayActivations(images.mean(axis=(2, 3)), name="planted:2")
    object.__setattr__(made, "store", SimpleNamespace(recorded=["0", "2", "5", "outputs.logits"]))
    object.__setattr__(made, "spec", SimpleNamespace(tokens="spatial-mean"))
    return made


def test_a_recorded_mean_is_mapped_over_the_places_that_it_is_a_mean_of(tap):
    found = saliency_map(tap, SaliencyMapParams(way="gradient x input", sample=3, more=1, null_samples=4))
    assert found.values.shape == (2, 16)
    assert found.grid == (4, 4)
    assert found.pictures.shape == (2, 8, 8)
    assert found.samples[0] == 3
    assert found.names[0].startswith("sample 3: ")
    pixels = saliency_map(
        tap, SaliencyMapParams(way="gradient x input", more=0, site=THE_INPUT, null_samples=4)
    )
    assert (pixels.values.shape, pixels.grid) == ((1, 64), (8, 8))
    with pytest.raises(NotFound, match=f"sample {N}"):
        saliency_map(tap, SaliencyMapParams(sample=N))


def test_ways_that_have_no_rule_are_left_out_by_name(tap):
    found = saliency_ways(tap, SaliencyWaysParams(sample=1, budget=64, masks=60))
    assert np.abs(found.values).max(axis=1) == pytest.approx(np.where(np.abs(found.values).any(axis=1), 1, 0))
    assert found.names[0] == "gradient (2)"
    assert "edges (control)" in found.names
    said = [c for c in found.caveats if c.startswith("Left out")]
    assert len(said) + len(found.names) == len(WAYS)
    assert found.pictures.shape == (1, 8, 8)


def test_layers_are_brought_to_one_grid_and_what_has_no_place_is_left_out(tap):
    found = saliency_by_layer(tap, SaliencyByLayerParams(sample=2, null_samples=3))
    assert found.names == ("0", "2", "all layers, product")
    assert any(c.startswith("Left out, 5") for c in found.caveats)
    assert found.grid == (8, 8)
    np.testing.assert_allclose(found.values.mean(axis=1), 1)  # in even shares
    product = found.values[0] * found.values[1]
    np.testing.assert_allclose(found.values[2], product / product.mean(), atol=1e-10)


@pytest.mark.parametrize("way", ["gradient x input", "integrated gradients"])
def test_full_colour_means_the_same_whichever_sample_is_shown(way):
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    x = rng.standard_normal((60, 6)) + np.eye(6)[label] * 2
    x[7] *= 50  # a sample whose own map is far larger
    tap = ArrayActivations(x, samples={"label": label})
    found = [
        saliency_map(
            tap, SaliencyMapParams(sample=s, more=0, way=way, reader="probe"), np.random.default_rng(3)
        )
        for s in (0, 7, 31)
    ]
    assert len({f.ends for f in found}) == 1
    assert np.abs(found[1].values).max() > found[1].ends[1]
