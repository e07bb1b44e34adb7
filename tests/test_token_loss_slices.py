"""The loss along the path that training took: by hand, and by second ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from declared_subjects import description, mlp, table, write
from scipy.linalg import svd

from analysis.activations import ArrayActivations
from analysis.compute.networks.optimiser_path import path_components, random_like
from analysis.errors import InputError, ShapeError
from analysis.methods.tokens.loss_plane import LossPlaneParams, loss_plane
from analysis.methods.tokens.loss_slices import LossSlicesParams, loss_slices
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.tokens.networks.plane_told import lowest
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


def test_a_curvature_is_compared_with_a_range_of_random_directions(rng):
    """Rows whose loss is a bowl, steep along the path: by hand the null is the mean curvature, weighed by tensor."""
    from analysis.methods.tokens import loss_slices as file
    from analysis.tokens.networks.loss_field import Landscape

    h = np.r_[50.0, np.full(399, 1.0)]
    vectors = np.outer([-2.0, -1.0, 0.0], np.eye(1, 400)[0])
    vectors[:, 1] = [0.0, 0.1, 0.0]
    bowl = Landscape(vectors, np.zeros(400, int), lambda w: np.full(30, h @ w**2), "a bowl", ())
    path, params = path_components(vectors), LossSlicesParams(places=5, directions=40)
    x = file._axis(path.places[:, 0], params)
    made = file._slices(bowl, path, x, bowl.loss, params, rng)
    told = file.slice_estimates(400, path, x, made, "abc")
    bent = next(e for e in told if e.name == "curvature of the first component at the end")
    wide = (x[-1] - x[0]) ** 2
    assert bent.value == pytest.approx(2 * 50 * wide, rel=0.01)
    assert bent.null == pytest.approx(2 * h.mean() * wide, rel=0.15)
    assert bent.null_low < bent.null < bent.null_high < bent.value
    assert bent.p_value == pytest.approx(1 / 41)
    alike = Landscape(vectors, np.zeros(400, int), lambda w: np.full(30, w @ w), "a ball", ())
    made = file._slices(alike, path, x, alike.loss, params, rng)
    even = file.slice_estimates(400, path, x, made, "abc")
    ball = next(e for e in even if e.name == bent.name)
    assert ball.value == pytest.approx(ball.null, rel=1e-6)


# ---------------------------------------------------------------------------- plane
def test_a_plane_is_the_loss_of_the_network_with_those_weights(run_of_four):
    """Cell by cell by hand, over the first two components by SciPy's SVD."""
    states, taps, x = run_of_four
    found = loss_plane(*taps, params=LossPlaneParams(maximum_samples=40, side=5))
    vectors = np.stack([flat(s) for s in states.values()])
    _, sizes, axes = svd(vectors - vectors.mean(axis=0), full_matrices=False)
    axes = np.array([a * (1 if a @ (vectors[-1] - vectors[0]) > 0 else -1) for a in axes[:2]])
    places = (vectors - vectors[-1]) @ axes.T
    lines = []
    for line in places.T:
        more = 0.3 * np.ptp(line)  # 0, the last checkpoint, is among them
        lines.append(np.linspace(line.min() - more, line.max() + more, 5))
    by_hand = [[loss_by_hand(vectors[-1] + a * axes[0] + b * axes[1], x).mean() for a in lines[0]]
               for b in lines[1][::-1]]  # fmt: skip
    np.testing.assert_allclose(found.values, by_hand, rtol=1e-3, atol=1e-5)
    assert ((found.low <= found.values) & (found.values <= found.high)).all()
    assert [float(n.split()[1]) for n in found.column_names] == pytest.approx(lines[0], rel=0.01, abs=0.01)
    assert [float(n.split()[1]) for n in found.row_names] == pytest.approx(lines[1][::-1], rel=0.01, abs=0.01)
    by = {e.name: e for e in found.estimates}
    share = sizes**2 / (sizes**2).sum()
    assert by["share of the path in the plane"].value == pytest.approx(share[:2].sum(), abs=1e-4)
    own = np.array([loss_by_hand(v, x) for v in vectors])
    below = np.array([loss_by_hand(vectors[-1] + p @ axes, x) for p in places])
    missed = by["loss on the plane under the checkpoints"]
    assert missed.value == pytest.approx((below - own).mean(), abs=1e-4)
    (way,) = (c for c in found.caveats if c.startswith("The path"))
    assert "run-1 " in way
    assert "run-90 +0, +0" in way
    framed = {tuple(o) for o in found.outlines}
    for place in places:
        column, row = (int(np.abs(np.array(line) - p).argmin()) for line, p in zip(lines, place, strict=True))
        assert (4 - row, 5 - row, column, column + 1) in framed
    assert len(framed) <= len(vectors)
    with pytest.raises(InputError, match="are alike"):
        loss_plane(taps[0], taps[0], taps[0])
    with pytest.raises(InputError, match="on one line"):
        loss_plane(taps[0], taps[1], taps[1])


def test_the_lowest_cell_is_told_of_samples_that_it_was_not_chosen_on(rng):
    """Losses of pure noise: the lowest of 169 cells is far below 0 on the samples that chose it, and not on others."""
    from analysis.methods.tokens import loss_plane as file
    from analysis.tokens.networks.loss_field import Landscape

    vectors = np.cumsum(rng.standard_normal((6, 50)), axis=0)
    noise = Landscape(vectors, np.zeros(50, int), lambda w: 5 + rng.standard_normal(40), "noise", ())
    gains = []
    for seed in range(12):
        path = path_components(vectors)
        plane, _ = file.measured(noise, path, noise.loss, LossPlaneParams(), np.random.default_rng(seed))
        told = file.plane_estimates(50, path, plane, [f"c{i}" for i in range(6)])
        gains.append(told[2].value)
        assert (plane.at[-1] - plane.own.reshape(-1, 40)[plane.own.mean(axis=2).argmin()]).mean() > 0.2
    assert abs(np.mean(gains)) < 4 * np.sqrt(2 / 20 / 12)


def test_minima_are_lower_than_all_around_them_and_lie_inside():
    bowl = np.add.outer(np.arange(-2, 3) ** 2, np.arange(-1, 4) ** 2)
    assert np.argwhere(lowest(bowl)).tolist() == [[2, 1]]
    assert not lowest(np.add.outer(np.arange(5), np.arange(5))).any()  # an edge is no minimum
    assert not lowest(np.zeros((5, 5))).any()
    assert not lowest(np.zeros((2, 2))).any()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("path_components", lambda vectors: path_components(np.roll(vectors, 1, axis=1))),
        ("walk_shares", lambda steps: np.full(len(steps), 1 / len(steps))),
        ("lowest", lambda means: means == means.min(axis=0)),
        ("over", lambda loss, last, axes, x, y: np.stack([[loss(last + a * axes[0]) for a in x] for _ in y])),
    ],
)
def test_the_check_of_the_plane_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import loss_plane as file

    monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())


def test_a_checkpoint_far_along_the_second_component_is_framed_on_top():
    from analysis.methods.tokens import loss_plane as file

    plane = file.Plane(np.arange(3.0), np.arange(4.0), *[np.zeros(0)] * 5)
    assert file._framed(np.array([[0.1, 2.9], [0.0, 3.0]]), plane).tolist() == [[0, 1, 0, 1]]
    assert file._framed(np.array([[2.0, 0.0]]), plane).tolist() == [[3, 4, 2, 3]]
