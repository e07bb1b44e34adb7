"""The loss along the path that training took: by hand, and by second ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from declared_subjects import description, mlp, table, write
from scipy.linalg import svd

from analysis.activations import ArrayActivations
from analysis.compute.networks.optimiser_path import path_components, random_like
from analysis.errors import InputError, ShapeError
from analysis.methods.tokens.loss_slices import LossSlicesParams, loss_slices
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.tokens.networks.slices_told import bent_at


def trained(folder, states):
    """Stores of a small network with these tensors, on the same table of two classes."""
    rows = table(folder / "rows.csv")
    data = open_data(folder / "rows.csv", label="kind")
    _, layers = mlp(sizes=(3, 4, 2))
    said = description(layers, "table", {"columns": ["age", "rooms", "homes"]}, classes=["a", "b"])
    taps = []
    for step, state in states.items():
        path = write(folder / f"net-{step}", said, state)
        name = f"run-{step}"
        made = record(open_checkpoint(path), data, folder / name, name=name, taps=["1"], dtype="float32")
        taps.append(made.activations("1"))
    return taps, np.stack([rows["age"], rows["rooms"], rows["homes"]], axis=1)


def flat(state) -> np.ndarray:
    return np.concatenate([v.numpy().astype(np.float64).ravel() for v in state.values()])


def loss_by_hand(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,) of a network 3 - 4 - 2 with a ReLU, its tensors in a row; labels are 0, 1, 0, 1, …"""
    w, b, v, c = np.split(weights, [12, 16, 24])
    scores = np.maximum(x @ w.reshape(4, 3).T + b, 0) @ v.reshape(2, 4).T + c
    return np.logaddexp(scores[:, 0], scores[:, 1]) - scores[np.arange(len(x)), np.arange(len(x)) % 2]


@pytest.fixture
def run_of_four(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    module, _ = mlp(sizes=(3, 4, 2))
    states = {}
    for step in (1, 10, 30, 90):
        states[step] = {k: v.clone() for k, v in module.state_dict().items()}
        with torch.no_grad():
            for p in module.parameters():
                p += 0.05 * torch.randn_like(p)
    return states, *trained(tmp_path, states)


def test_slices_are_the_loss_of_the_network_with_those_weights(run_of_four):
    """By hand: the loss at the last weights and so far along the principal components of all four, by SciPy's SVD."""
    states, taps, x = run_of_four
    found = loss_slices(*taps, params=LossSlicesParams(maximum_samples=40, draws=1))
    vectors = np.stack([flat(s) for s in states.values()])
    _, sizes, axes = svd(vectors - vectors.mean(axis=0), full_matrices=False)
    for j, name in enumerate(("first component", "second component")):
        axis = axes[j] * (1 if axes[j] @ (vectors[-1] - vectors[0]) > 0 else -1)
        by_hand = [loss_by_hand(vectors[-1] + a * axis, x).mean() for a in found.x]
        np.testing.assert_allclose(found.series[name], by_hand, rtol=1e-3, atol=1e-5)
        if j == 0:
            np.testing.assert_allclose(found.marks[name], (vectors - vectors[-1]) @ axis, atol=1e-5)
    on = np.searchsorted(found.x, found.marks["first component"])
    np.testing.assert_allclose(
        found.series["the path"][on], [loss_by_hand(v, x).mean() for v in vectors], rtol=1e-4
    )
    by = {e.name: e for e in found.estimates}
    share = sizes**2 / (sizes**2).sum()
    assert by["share of the path in the first component"].value == pytest.approx(share[0], abs=1e-4)
    assert by["loss at run-90"].null == pytest.approx(loss_by_hand(vectors[0], x).mean(), rel=1e-4)
    line = np.linspace(0, 1, 11)[1:-1]
    ends = loss_by_hand(vectors[0], x), loss_by_hand(vectors[-1], x)
    there = [loss_by_hand((1 - t) * vectors[0] + t * vectors[-1], x) for t in line]
    hill = max((v - (1 - t) * ends[0] - t * ends[1]).mean() for v, t in zip(there, line, strict=True))
    assert by["barrier on the straight line"].value == pytest.approx(hill, abs=1e-4)


def test_the_network_is_as_before_and_a_still_run_is_refused(run_of_four):
    _, taps, _ = run_of_four
    few = LossSlicesParams(places=5, draws=1)
    one, two = (loss_slices(*taps, params=few) for _ in range(2))
    np.testing.assert_array_equal(one.series["first component"], two.series["first component"])
    with pytest.raises(InputError, match="same weights"):
        loss_slices(taps[0], taps[0], taps[0])


def test_networks_that_are_not_known_are_probed(rng):
    label = np.arange(90) % 3
    means = np.eye(3, 5)[label]
    rows = [
        ArrayActivations(rng.standard_normal((90, 5)) + k * means, f"r{k}", {"label": label})
        for k in range(4)
    ]
    found = loss_slices(*rows)
    assert any("linear probes of 'label'" in c for c in found.caveats)
    by = {e.name: e for e in found.estimates}
    assert by["loss at r3"].value < by["loss at r3"].null  # fitted to it
    with pytest.raises(ShapeError, match="units"):
        loss_slices(*rows[:2], ArrayActivations(rng.standard_normal((90, 4)), "w", {"label": label}))


def test_a_random_walk_in_many_dimensions_has_the_shares_that_are_told(rng):
    """Antognini & Sohl-Dickstein: nothing but chance, and yet most of it in one component."""
    walk = np.cumsum(rng.standard_normal((30, 20_000)), axis=0)
    found = path_components(walk)
    np.testing.assert_allclose(found.shares, found.walk, atol=0.01)
    assert found.walk[0] > 0.55
    axis, parts = rng.standard_normal(60), np.repeat([0, 1, 2], 20)
    axis[parts == 1] = 0
    drawn = random_like(axis, parts, rng)
    for part in range(3):
        assert np.linalg.norm(drawn[parts == part]) == pytest.approx(np.linalg.norm(axis[parts == part]))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("path_components", lambda vectors: path_components(np.roll(vectors, 1, axis=1))),
        ("walk_shares", lambda steps: np.full(len(steps), 1 / len(steps))),
        ("bent_at", lambda x, loss, at: np.gradient(loss, axis=0)[at]),
    ],
)
def test_the_check_of_slices_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import loss_slices as file

    monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())


def test_curvature_is_not_taken_of_checkpoints_that_hardly_differ(rng):
    """A parabola with rounding noise: a neighbour 1e-6 away would make thousands of it."""
    x = np.sort(np.r_[np.linspace(-1, 1, 11), 1e-6])
    loss = (3 * x**2)[:, None] + 1e-6 * rng.standard_normal((12, 4))
    np.testing.assert_allclose(bent_at(x, loss, int(np.searchsorted(x, 0.0))), 6.0, atol=1e-2)
    np.testing.assert_allclose(bent_at(x, 3 * x[:, None] ** 2, 11), 6.0, atol=1e-6)  # at an end too
