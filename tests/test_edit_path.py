"""Where edits lead: brute force over neighbours, nothing gained from an axis of nothing, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.subspaces import edit_path as path_module
from analysis.compute.subspaces.edit_path import ANY, BETWEEN, edit_path, ends_of
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.concepts import edit_neighbours as many
from analysis.methods.concepts import edit_path as one
from analysis.methods.concepts.edit_neighbours import OFF, TARGET, EditNeighboursParams, edit_neighbours
from analysis.methods.concepts.edit_path import EditPathParams, edit_path_of_one


def tap(x, label, **more):
    return ArrayActivations(x, samples={"label": np.asarray(label)}, **more)


def made(rng, n=240, d=5, apart=6.0):
    label = np.arange(n) % 3
    return rng.standard_normal((n, d)) + apart * np.eye(d)[label], label


def path_of(x, label, rng, target="1", source="0"):
    return edit_path(
        tap(x, label), "label", target, source, rng, pooling="mean", maximum=10_000, most_moved=1000
    )


def test_neighbours_and_distances_by_brute_force(rng):
    x, label = made(rng)
    path, steps = path_of(x, label, rng), np.array([0.0, 0.7, 2.0])
    share, off = path.landed(steps, np.tile(path.axis, (len(path.moved), 1)), 7)
    for i, z in enumerate(path.moved):
        for j, step in enumerate(steps):
            away = np.linalg.norm(path.references - z - step * path.deviation * path.axis, axis=1)
            near = np.argsort(away)[:7]
            assert share[i, j] == pytest.approx(path.is_target[near].mean())
            expected = ((path.real < away.min()).mean() + (path.real <= away.min()).mean()) / 2
            # an unmoved sample is one of the real ones itself: rounding decides how that tie counts
            assert off[i, j] == pytest.approx(expected, abs=0.5 / len(path.real) + 1e-9)


def test_the_three_parts_do_not_meet(rng):
    x, label = made(rng)
    path = path_of(x, label, rng)
    assert not set(path.moved_samples) & set(path.reference_samples)
    assert (label[path.moved_samples] == 0).all()
    np.testing.assert_array_equal(x[path.reference_samples], path.references)
    np.testing.assert_array_equal(label[path.reference_samples] == 1, path.is_target)
    assert len(path.real) == len(x) - len(path.references)
    assert np.linalg.norm(path.axis) == pytest.approx(1.0)


def test_an_axis_of_nothing_leads_nowhere():
    """Labels at random, many units: averaged over data sets, neighbours are targets as often as all are. Axes made
    from the references themselves would find 10 % more."""
    gains = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, label = rng.standard_normal((180, 20)), rng.integers(2, size=180)
        path = path_of(x, label, rng)
        share, _ = path.landed(np.array([0.0, 2.0]), np.tile(path.axis, (len(path.moved), 1)), 10)
        gains.append(share[:, 1].mean() - path.is_target.mean())
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert abs(np.mean(gains)) < 3.5 * error
    assert error < 0.02


def test_ends_by_name_and_by_number(rng):
    classes = factor_of("c", np.repeat(["a", "b", "c"], [30, 20, 10]))
    assert ends_of(classes, "", "").names == ("c = a", "c = b")
    assert ends_of(classes, "", "a").names == ("c = b", "c = a")
    others = ends_of(classes, "c", "others")
    assert others.target.sum() == 10
    assert others.source.sum() == 50
    number = ends_of(factor_of("age", rng.standard_normal(100)), "", "")
    assert number.target.sum() == number.source.sum() == 25
    with pytest.raises(ParameterError, match="one of a, b, c"):
        ends_of(classes, "z", "")
    with pytest.raises(ParameterError, match="two different"):
        ends_of(classes, "a", "a")
    with pytest.raises(ParameterError, match="a number"):
        ends_of(factor_of("age", rng.standard_normal(100)), "old", "")


def test_a_number_is_an_axis_too(rng):
    number = rng.standard_normal(300)
    x = 0.2 * rng.standard_normal((300, 4))
    x[:, 2] += number
    activations = ArrayActivations(x, samples={"age": number})
    found = edit_neighbours(activations, EditNeighboursParams(column="age", strength=3.0))
    assert found.series[TARGET][0] < 0.05
    assert found.series[TARGET][-1] > 0.8


def test_bands_hold_the_values_and_random_moves_are_as_long(rng):
    x, label = made(rng)
    for random in (BETWEEN, ANY):
        found = edit_neighbours(tap(x, label), EditNeighboursParams(random=random))
        for name in (TARGET, OFF):
            assert (found.low[name] <= found.series[name] + 1e-12).all()
            assert (found.high[name] >= found.series[name] - 1e-12).all()
        path = path_of(x, label, rng)
        np.testing.assert_allclose(np.linalg.norm(path.random_directions(random, rng), axis=1), 1.0)


def test_shift_rotation_and_scale_change_nothing(rng):
    x, label = made(rng)
    q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    a = edit_neighbours(tap(x, label), rng=np.random.default_rng(2))
    b = edit_neighbours(tap(5 * x @ q - 90, label), rng=np.random.default_rng(2))
    for name in (TARGET, OFF):
        np.testing.assert_allclose(a.series[name], b.series[name], atol=1e-9)


def test_rows_of_the_gallery_are_those_of_the_samples_with_tokens_too(rng):
    x, label = made(rng)
    layout = Layout(np.arange(len(x) + 1) * 3)
    found = edit_path_of_one(
        tap(np.repeat(x, 3, axis=0), label, layout=layout), EditPathParams(target="1", source="0")
    )
    plain = edit_path_of_one(tap(x, label), EditPathParams(target="1", source="0"))
    assert list(found.groups) == list(plain.groups)
    for name in found.groups:
        np.testing.assert_array_equal(found.groups[name], 3 * plain.groups[name])
        np.testing.assert_allclose(found.values[name], plain.values[name], atol=1e-9)
    assert label[plain.groups["the sample itself"][0]] == 0


def test_refusals(rng):
    x, label = made(rng)
    with pytest.raises(NotFound):
        edit_neighbours(tap(x, label), EditNeighboursParams(column="nothing"))
    with pytest.raises(NotEnoughData, match="in one third"):
        edit_neighbours(tap(x, np.where(np.arange(240) < 14, "a", np.where(label > 0, "b", "c"))),
                        EditNeighboursParams(target="a"))  # fmt: skip
    with pytest.raises(NotEnoughData):
        edit_neighbours(tap(x[:30], label[:30]))
    with pytest.raises(ParameterError, match="neighbours"):
        edit_neighbours(tap(x, label), EditNeighboursParams(neighbours=100))
    with pytest.raises(ParameterError, match="neither"):
        edit_neighbours(tap(x, [f"own {i}" for i in range(240)]))
    with pytest.raises(ParameterError, match="movable"):
        edit_path_of_one(tap(x, label), EditPathParams(number=5000))
    ends = ends_of(factor_of("c", np.repeat([0, 1], 120)), "", "")
    with pytest.raises(InputError, match="same mean"):
        ends.axis(np.tile([[1.0], [2.0]], (120, 1)), np.ones(240, bool))


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (
            many,
            path_module.EditPath,
            "landed",
            lambda self, steps, u, k: np.zeros((2, len(self.moved), len(steps))),
        ),
        (many, path_module, "_midrank_share", lambda s, v: np.full(len(v), 0.5)),
        (many, path_module.Ends, "axis", lambda self, x, these, made: np.eye(x.shape[1])[1]),
        (one, path_module.EditPath, "nearest", lambda self, i, step, k: (np.arange(k), np.arange(k) + 0.5)),
        (one, path_module.Ends, "axis", lambda self, x, these, made: -np.eye(x.shape[1])[0]),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, module, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
