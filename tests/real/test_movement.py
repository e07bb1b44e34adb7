"""The hidden layer of one training run on modular addition: it moves, slower and slower, until neurons are waves."""

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.methods.subspaces.moved_samples import PART, MovedSamplesParams, moved_samples
from analysis.methods.subspaces.subspace_movie import SubspaceMovieParams, subspace_movie

EPOCHS = (0, 200, 400, 600, 800, 10000)


@pytest.fixture(scope="module")
def weights(real):
    import torch

    def read(epoch):
        state = torch.load(real / "grokking" / f"epoch_{epoch:05d}.pth", weights_only=True)
        return state["model"]["mlp.W_in"].double().numpy()

    return {epoch: read(epoch) for epoch in (*EPOCHS, 2000, 49800)}


@pytest.fixture(scope="module")
def taps(real, weights):
    import torch

    pairs = np.array(torch.load(real / "grokking" / "train_data.pth", weights_only=True))
    given = np.eye(23)[pairs].sum(axis=1)
    ids = np.array([f"{a}+{b}" for a, b in pairs])
    return [
        ArrayActivations(np.maximum(given @ weights[e].T, 0), name=f"epoch {e}", samples={"id": ids})
        for e in EPOCHS
    ]


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.278), (2000, 0.618), (10000, 0.808), (49800, 0.892)])
def test_neurons_become_single_frequencies(weights, epoch, share):
    power = np.abs(np.fft.rfft(weights[epoch], axis=1))[:, 1:] ** 2
    assert (power.max(axis=1) / power.sum(axis=1)).mean() == pytest.approx(share, abs=0.0006)


@pytest.mark.parametrize("space", ["units", "samples"])
def test_equal_steps_get_shorter_and_none_is_sampling(taps, space):
    """The space of 22 (a sum over one-hot inputs, about its mean) is cut at each epoch; four steps of 200 epochs."""
    found = subspace_movie(*taps, params=SubspaceMovieParams(most=30, space=space))
    assert "22 dimension(s)" in found.reading
    assert not any("left out" in c for c in found.caveats)
    steps = found.series["velocity"][:4]
    assert (np.diff(steps) < 0).all()
    assert steps[0] > 2 * steps[3]
    for e in found.estimates:
        assert e.value > 2 * e.null
        assert e.p_value < 0.05
        assert e.low > e.null
    assert (found.series["velocity"] < found.series["random subspaces"]).all()


def test_the_pairs_that_moved(taps):
    params = MovedSamplesParams(most=30, space="samples", step=2)
    found = moved_samples(*taps, params=params)
    assert len(found.columns["sample"]) == 396
    movie = subspace_movie(*taps, params=SubspaceMovieParams(most=30, space="samples", draws=10))
    assert found.columns[PART].sum() == pytest.approx(movie.series["velocity"][0], rel=1e-9)
