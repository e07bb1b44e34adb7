"""Similarity of real networks: 39 checkpoints of one run, two hidden layers with dead units in both."""

from __future__ import annotations

import numpy as np
import pytest
from recorded import recorded

from analysis.methods.matching.unit_matching import unit_matching
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.methods.similarity.verdict import same_in_which_sense
from analysis.sources.data import open_data

TAP = "mlp.hidden"


@pytest.fixture(scope="module")
def checkpoints(real, tmp_path_factory):
    """The hidden layer of every checkpoint of the grokking run, on its 133 test pairs."""
    import torch

    folder = tmp_path_factory.mktemp("run")
    values = np.array(torch.load(real / "grokking" / "test_data.pth", weights_only=True))
    np.savez(folder / "test.npz", data=values, labels=values.sum(1) % 23)
    data = open_data(folder / "test.npz", array="data", labels="labels")
    files = sorted((real / "grokking").glob("epoch_*.pth"))
    return [recorded(f, "ModularAddition", data, folder / f.stem, taps=TAP).activations(TAP) for f in files]


def test_the_run_approaches_its_end(checkpoints):
    found = cka(*checkpoints)
    assert found.values.shape == (39, 39)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    np.testing.assert_array_equal(found.values, found.values.T)
    assert found.row_names[0] == "epoch_00000"
    with_last = found.values[-1]
    assert with_last[:3].max() < 0.94  # measured 0.92, 0.93, 0.92
    assert with_last[1] == with_last.min() or with_last[2] == with_last.min()  # while it memorises
    assert (np.diff(with_last[4:]) > -0.005).all()
    neighbours = np.diag(found.values, 1)
    assert neighbours.min() > 0.96
    assert found.significant.all()
    assert "741 of 741 pairs" in found.reading


def test_minibatches_say_the_same(checkpoints):
    some = [checkpoints[i] for i in (0, 10, 38)]
    whole = cka(*some).values
    parts = cka(*some, params=CkaParams(estimator="minibatch", batch=33)).values
    np.testing.assert_allclose(parts, whole, atol=0.02)


def test_neighbouring_checkpoints_are_the_same_units_and_far_ones_are_not(checkpoints):
    near = same_in_which_sense(checkpoints[37], checkpoints[38])
    assert near.reading.startswith("They are the same units")
    far = same_in_which_sense(checkpoints[0], checkpoints[38])
    assert not far.reading.startswith("They are the same units")
    assert near.columns["value"][0] > far.columns["value"][0] + 0.1


def test_units_of_neighbouring_checkpoints_are_matched_to_themselves(checkpoints):
    found = unit_matching(checkpoints[37], checkpoints[38]).columns
    paired = found["unit a"] >= 0
    assert (found["unit a"] == found["unit b"])[paired].mean() > 0.95
