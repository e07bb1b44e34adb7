"""Objective landscapes in random subspaces: the block-sum toy of the paper in closed form, the ends d = 0 and d = D,
dense and sparse subspaces, a probe against scikit-learn, and broken code."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import landscape
from analysis.compute.subspaces.landscape import (
    OF_FULL,
    OF_WAY,
    RandomSubspace,
    landscape_dimension,
    performance_curve,
    random_subspace,
    reached,
)
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.rank import probe_landscape as file
from analysis.methods.rank.probe_landscape import Probe, ProbeLandscapeParams, probe_landscape

SIZE, WANTED = 1000, np.arange(1.0, 11)
BLOCKS = np.kron(np.eye(10), np.ones(100))  # sums of ten blocks of a hundred parameters


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def loss(theta):
    return float(((BLOCKS @ theta - WANTED) ** 2).sum())


def solved(space, rng):
    """The least loss in a subspace, negative: least squares."""
    inside = np.linalg.lstsq(BLOCKS @ np.asarray(space.columns), WANTED - BLOCKS @ space.start, rcond=None)[0]
    return -loss(space.place(inside))


def toy(dimensions, **more):
    return landscape_dimension(
        solved, lambda rng: np.zeros(SIZE), lambda rng: 0.0, dimensions, counted=OF_WAY, share=0.9999, **more
    )


# ---------------------------------------------------------------------------- the paper's toy
def test_ten_constraints_take_ten_dimensions():
    found = toy([1, 5, 8, 9, 10, 11, 50, SIZE], seeds=4)
    e = found.estimates[0]
    assert (e.value, e.low, e.high, e.d) == (10, 10, 10, SIZE)
    line = dict(zip(found.x.tolist(), found.series["performance"], strict=True))
    assert line[9] < -1e-3
    assert line[10] > -1e-10
    assert line[SIZE] > -1e-10  # all parameters: what full training gives
    assert line[0] == -loss(np.zeros(SIZE)) == -385.0  # nothing trained: the initial loss
    assert "10 random directions (10 to 10 over runs) of 1,000 parameters" in found.reading


def test_residual_of_nine_dimensions_in_closed_form(rng):
    """What is left of the ten wanted sums lies along the one direction that nine columns do not reach."""
    space = random_subspace(np.zeros(SIZE), 9, rng)
    missing = np.linalg.svd(BLOCKS @ space.columns)[0][:, -1]
    assert -solved(space, rng) == pytest.approx((missing @ WANTED) ** 2, rel=1e-9)


def test_gradients_are_pulled_back(rng):
    for sparse in (False, True):
        space = random_subspace(rng.standard_normal(SIZE), 6, rng, sparse)

        def value(inside, space=space):
            return loss(space.place(inside))

        def slope(inside, space=space):
            return space.pull(2 * BLOCKS.T @ (BLOCKS @ space.place(inside) - WANTED))

        at = rng.standard_normal(6)
        assert check_grad(value, slope, at) < 1e-3 * np.linalg.norm(slope(at))


# ---------------------------------------------------------------------------- subspaces
@pytest.mark.parametrize("sparse", [False, True])
def test_columns_have_length_one_and_nearly_right_angles(rng, sparse):
    space = random_subspace(np.zeros(10_000), 20, rng, sparse)
    columns = space.columns.toarray() if sparse else space.columns
    np.testing.assert_allclose(np.linalg.norm(columns, axis=0), 1, rtol=1e-12)
    assert np.abs(columns.T @ columns - np.eye(20)).max() < 0.06  # 1 / √D is 0.01
    if sparse:
        assert (np.count_nonzero(columns, axis=0) == 100).all()


def test_a_large_network_gets_a_sparse_subspace(rng):
    space = random_subspace(np.zeros(2_000_000), 3, rng)
    assert space.columns.nnz == 3 * round(np.sqrt(2_000_000))
    assert space.place(np.ones(3)).shape == (2_000_000,)
    assert random_subspace(np.zeros(50), 0, rng).place(np.zeros(0)).shape == (50,)
    assert random_subspace(np.zeros(50), 0, rng, True).place(np.zeros(0)).shape == (50,)


# ---------------------------------------------------------------------------- where a share is reached
def test_reached_by_hand():
    dims, found = np.array([0, 1, 2, 4]), np.array([[0.5, 0.6, 0.9, 0.8], [0.5, 0.5, 0.6, 0.7]])
    whole = np.array([1.0, 1.0])
    np.testing.assert_array_equal(reached(dims, found, whole, 0.9, OF_FULL), [2, np.nan])
    np.testing.assert_array_equal(reached(dims, found, whole, 0.2, OF_WAY), [1, 2])
    np.testing.assert_array_equal(reached(dims, found, whole, 0.5, OF_FULL), [0, 0])


def test_runs_that_do_not_reach_it_count():
    dims, whole = np.array([0, 1, 2]), np.ones(3)
    late = np.array([[0.1, 0.95, 1.0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.95]])
    found = performance_curve(dims, late, whole, 9, 0.9, OF_FULL, "x")
    assert (found.estimates[0].value, found.estimates[0].low, found.estimates[0].high) == (2, 1, 2)
    assert any("1 of 3 run(s) do not reach" in c for c in found.caveats)
    none = performance_curve(dims, late[[1, 1, 0]], whole, 9, 0.9, OF_FULL, "x")
    assert [e.name for e in none.estimates] == ["full performance"]
    assert none.reading.startswith("No number of dimensions")
    ready = performance_curve(dims, 0 * late + [0.95, 0.96, 1], whole, 9, 0.9, OF_FULL, "x")
    assert any("already in 3 run(s)" in c for c in ready.caveats)


def test_refusals_of_landscapes():
    with pytest.raises(ParameterError, match="dimension 1001 of 1000"):
        toy([1001])
    with pytest.raises(ParameterError, match="different whole numbers"):
        toy([3, 3])
    with pytest.raises(ParameterError, match="at least one above 0"):
        toy([0])
    start = lambda rng: np.zeros(SIZE)  # noqa: E731
    with pytest.raises(InputError, match="nothing negative"):
        landscape_dimension(solved, start, lambda rng: -1.0, [1], counted=OF_FULL)
    with pytest.raises(InputError, match="not finite"):
        landscape_dimension(lambda space, rng: np.nan, start, lambda rng: 1.0, [1])
    with pytest.raises(InputError, match="more than the start"):
        landscape_dimension(lambda space, rng: 2.0, start, lambda rng: 1.0, [1])


def test_one_run_has_no_band_and_the_seed_decides():
    one = toy([1, 9], seeds=1)
    assert not one.low
    again = [toy([1, 9], seeds=2, rng=np.random.default_rng(s)).series["performance"] for s in (4, 4, 5)]
    np.testing.assert_array_equal(again[0], again[1])
    assert (again[0][1:] != again[2][1:]).all()


# ---------------------------------------------------------------------------- the probe
def classes(rng, n=240, d=8, k=3, apart=3.0):
    label = np.arange(n) % k
    return rng.standard_normal((n, d)) + apart * np.eye(k, d)[label], label


def test_probe_gradient_and_ends(rng):
    x, label = classes(rng)
    probe = Probe(x, label, 3)
    assert probe.size == 27
    some, others = probe.halves(np.random.default_rng(1))
    assert len(np.intersect1d(some, others)) == 0
    assert (np.bincount(label[some]) == 40).all()
    space = random_subspace(probe.start(np.random.default_rng(1)), 5, rng)
    at = rng.standard_normal(5)
    error = check_grad(lambda t: probe._loss(t, space, some)[0], lambda t: probe._loss(t, space, some)[1], at)
    assert error < 1e-5
    none = random_subspace(space.start, 0, rng)
    assert probe.train(none, np.random.default_rng(1)) == pytest.approx(1 / 3)
    turned = RandomSubspace(space.start, np.linalg.qr(rng.standard_normal((27, 27)))[0])
    whole = probe.full(np.random.default_rng(1))
    assert probe.train(turned, np.random.default_rng(1)) == pytest.approx(whole, abs=0.01)  # d = D: the same


def test_whole_probe_is_that_of_scikit_learn(rng):
    from sklearn.linear_model import LogisticRegression

    x, label = classes(rng, apart=1.5)
    probe = Probe(x, label, 3)
    some, others = probe.halves(np.random.default_rng(1))
    other = LogisticRegression(C=1 / (file.PENALTY * len(some)), max_iter=2000).fit(x[some], label[some])
    assert probe.full(np.random.default_rng(1)) == pytest.approx(
        other.score(x[others], label[others]), abs=0.01
    )


def test_more_classes_take_more_directions(rng):
    found = []
    for k in (2, 8):
        x, label = classes(rng, n=400, d=24, k=k, apart=5.0)
        found.append(probe_landscape(ArrayActivations(x, samples={"label": label})))
    assert 3 * found[0].estimates[0].value < found[1].estimates[0].value
    assert found[0].x[-1] == 50  # all parameters
    assert found[1].x[-1] == 200


def test_repeated_units_change_nothing(rng):
    """A random weight for each of eight copies is one random weight, eight times the variance."""
    x, label = classes(rng, n=300, d=12, apart=4.0)
    params = ProbeLandscapeParams(runs=9)
    one, eight = (
        probe_landscape(ArrayActivations(v, samples={"label": label}), params) for v in (x, np.tile(x, 8))
    )
    few, many = (f.estimates[0].value for f in (one, eight))
    assert 0.6 <= many / few <= 1.7  # a step of the dimensions tried


def test_scale_and_shift_of_units_do_not_count(rng):
    x, label = classes(rng)
    one, other = (
        probe_landscape(ArrayActivations(v, samples={"label": label}))
        for v in (x, x * np.logspace(-3, 3, 8) + 40)
    )
    np.testing.assert_allclose(one.series["performance"], other.series["performance"], atol=0.02)


def test_accuracies_of_two_runs_have_a_band_within_0_and_1(rng):
    label = np.arange(60) % 2
    tap = ArrayActivations(rng.standard_normal((60, 4)) + label[:, None], samples={"label": label})
    found = probe_landscape(tap, ProbeLandscapeParams(runs=2, most=4))
    assert min(line.min() for line in found.low.values()) >= 0
    assert max(line.max() for line in found.high.values()) <= 1
    full = next(e for e in found.estimates if e.name == "full performance")
    assert 0 <= full.low <= full.value <= full.high <= 1


def test_classes_without_relation_are_refused_or_at_chance(rng):
    x, label = rng.standard_normal((200, 5)), np.arange(200) % 2
    try:
        found = probe_landscape(
            ArrayActivations(x, samples={"label": label}), ProbeLandscapeParams(counted=OF_WAY)
        )
    except InputError:
        return
    assert abs(found.series["performance"] - 0.5).max() < 0.12


def test_refusals_of_the_probe(rng):
    x, label = classes(rng)
    with pytest.raises(NotFound):
        probe_landscape(x)
    with pytest.raises(NotEnoughData):
        probe_landscape(ArrayActivations(x, samples={"label": np.arange(240)}))
    with pytest.raises(InputError, match="no unit"):
        probe_landscape(ArrayActivations(np.ones_like(x), samples={"label": label}))
    x[:, 0] = 3
    found = probe_landscape(ArrayActivations(x, samples={"label": label}))
    assert any("1 constant unit(s)" in c for c in found.caveats)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (
            file,
            "random_subspace",
            lambda start, d, rng, sparse=None: random_subspace(start, max(d - 1, 0), rng),
        ),
        (file.Probe, "_accuracy", lambda self, theta, some: float(np.mean(self.of[some] == 0))),
        (landscape, "reached", lambda dims, found, *_: np.full(len(found), dims[-1])),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    try:
        assert not all(line.passed for line in file._check())
    except InputError:  # a probe that learns nothing is refused
        assert where is file.Probe
