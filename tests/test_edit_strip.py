"""Pictures of a moved sample: by the rest of a network that draws, or by a linear decoder, on planted pictures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from analysis.activations import ArrayActivations
from analysis.attribution import picture_decoders
from analysis.attribution.picture_decoders import decoder_of
from analysis.attribution.sample_run import SampleRun
from analysis.errors import ParameterError
from analysis.methods.attribution.edit_strip import EditStripParams, edit_strip
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import no_progress

N, D, SIDE = 60, 6, 4


@pytest.fixture
def pictures():
    """Of N samples: what a tap has, and pictures that are linear in it but for a little noise."""
    rng = np.random.default_rng(0)
    x, way = rng.standard_normal((N, D)), rng.standard_normal((D, SIDE * SIDE))
    return x, way, x @ way + 0.01 * rng.standard_normal((N, SIDE * SIDE)) + 3


def tap_of(x) -> ArrayActivations:
    made = ArrayActivations(x, "store:tap")
    object.__setattr__(made, "store", SimpleNamespace(recorded=["tap"]))
    return made


def test_a_linear_decoder_draws_what_is_linear(pictures, monkeypatch):
    x, way, y = pictures
    loaded = LoadedModel(
        None, "image", lambda items: torch.as_tensor(np.stack(items)).reshape(-1, 1, SIDE, SIDE)
    )
    runs = SimpleNamespace(is_network=True, loaded=loaded, item=lambda i: y[i])
    monkeypatch.setattr(picture_decoders, "tap_runs", lambda tap: runs)
    tap = ArrayActivations(x, "planted")
    found = edit_strip(tap, EditStripParams(direction="unit:3", sample=7, points=3, farthest=2.0))
    assert (found.values.shape, found.grid) == ((3, SIDE * SIDE), (SIDE, SIDE))
    np.testing.assert_allclose(found.values[1], y[7], atol=0.05)
    np.testing.assert_allclose(found.values[2] - found.values[1], 2 * x[:, 3].std() * way[3], atol=0.02)
    told = {e.name: e for e in found.estimates}
    assert told["picture that the decoder rebuilds"].value > 0.999
    noise = np.random.default_rng(1).standard_normal(y.shape)
    y[:] = noise
    blind = {e.name: e for e in edit_strip(tap, EditStripParams(direction="unit:3")).estimates}
    assert abs(blind["picture that the decoder rebuilds"].value) < 0.2


class Draws(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.code, self.draw = nn.Linear(9, D), nn.Linear(D, SIDE * SIDE)

    def forward(self, x):
        return self.draw(self.code(x)).reshape(-1, 1, SIDE, SIDE)


def test_a_network_that_gives_pictures_draws_them_itself(pictures, monkeypatch):
    torch.manual_seed(0)
    module, items = Draws().double(), np.random.default_rng(2).standard_normal((N, 9))
    loaded = LoadedModel(module, "array", lambda some: torch.as_tensor(np.stack(some)))
    run = lambda i: SampleRun(loaded, items[i], "code")  # noqa: E731
    samples = SimpleNamespace(samples=np.arange(N), run=run, what="the network", notes=("run",))
    monkeypatch.setattr(picture_decoders, "NetworkSamples", lambda *_: samples)
    x = module.code(torch.as_tensor(items)).detach().numpy()
    found = decoder_of(tap_of(x), 5, np.arange(N), x, np.random.default_rng(0), no_progress, (0, 1))
    move = np.random.default_rng(3).standard_normal((2, D))
    known = module.draw(torch.as_tensor(x[5] + move)).detach().numpy()
    np.testing.assert_allclose(found.draw(move), known, atol=1e-12)
    assert (found.grid, found.rebuilt) == ((SIDE, SIDE), None)


def test_a_network_without_pictures_says_so_and_one_direction_is_asked_for(pictures, monkeypatch):
    def none(*_):
        raise picture_decoders.InputError("it gives (10,)", "pictures")

    monkeypatch.setattr(picture_decoders, "NetworkSamples", none)
    monkeypatch.setattr(picture_decoders, "tap_runs", lambda tap: SimpleNamespace(is_network=False))
    x = pictures[0]
    found = decoder_of(tap_of(x), 5, np.arange(N), x, np.random.default_rng(0), no_progress, (0, 1))
    assert found.grid is None
    assert any("it gives (10,)" in note for note in found.notes)
    with pytest.raises(ParameterError, match="no direction"):
        edit_strip(ArrayActivations(x), EditStripParams(direction=""))
