"""What is made ready for the map in Python: positions and quantities in steps, the seen plane, the message limit."""

from __future__ import annotations

import numpy as np
import pytest
import streamlit as st
from hypothesis import given, settings
from hypothesis import strategies as some

from analysis.errors import InputError
from analysis.results import Scatter
from dashboard.browse import picture
from dashboard.components.buffers import publish
from dashboard.components.sample_map import _event


@given(some.integers(0, 2**32 - 1), some.sampled_from([2, 3]))
@settings(max_examples=30, deadline=None)
def test_steps_of_a_grid_lose_at_most_half_a_step(seed, dims):
    rng = np.random.default_rng(seed)
    points = (rng.standard_normal((50, dims)) * rng.lognormal(0, 4, dims) + rng.normal(0, 100, dims)).astype(
        np.float32
    )
    points[rng.random(50) < 0.1] = np.nan
    column, grid = with_threshold(points)
    steps = np.frombuffer(column.data, np.uint16).reshape(-1, dims).astype(np.float64)
    low, high = np.array(grid[:dims]), np.array(grid[dims:])
    lost = np.isnan(points).any(axis=1)
    assert (steps[lost] == 65535).all()
    back = low + (high - low) / 65534 * steps[~lost]
    assert (np.abs(back - points[~lost]) <= (high - low) / 65534 * 0.5001).all()


def with_threshold(points):
    saved, picture.GRID_ABOVE = picture.GRID_ABOVE, 1
    try:
        return picture.placed(points)
    finally:
        picture.GRID_ABOVE = saved


def test_a_constant_coordinate_and_no_place_at_all():
    column, grid = with_threshold(np.array([[1, 5], [2, 5], [3, 5]], np.float32))
    assert grid == (1, 5, 3, 6)
    assert np.frombuffer(column.data, np.uint16).tolist() == [0, 0, 32767, 0, 65534, 0]
    column, grid = with_threshold(np.full((3, 2), np.nan, np.float32))
    assert grid is None


def test_a_quantity_in_255_steps():
    values = np.array([0, 1, 0.5, -9, 9, np.nan, 1 / 254])
    assert picture.in_steps(values, 0, 1).tolist() == [0, 254, 127, 0, 254, 255, 1]


def test_many_points_send_steps_and_few_send_numbers(monkeypatch):
    result = Scatter(title="t", positions=np.zeros((10, 2), np.float32), rows=np.arange(10))
    values = np.linspace(0, 1, 10)
    few = picture.picture(result, None, values=values, name="v")
    assert len(few.colour_column.data) == 40
    assert "bits" not in few.colour
    monkeypatch.setattr(picture, "STEPS_ABOVE", 9)
    many = picture.picture(result, None, values=values, name="v")
    assert len(many.colour_column.data) == 10
    assert many.colour["bits"] == 8


def test_a_million_different_labels():
    n = 1_000_000
    result = Scatter(title="t", positions=np.zeros((n, 2), np.float32), rows=np.arange(n))
    made = picture.picture(result, None, values=np.arange(n).astype(str), name="id")
    assert len(made.colour["names"]) <= 20
    assert sum(made.colour["counts"]) == n
    assert len(made.colour_column.data) == n


def test_a_series_of_placings_comes_with_the_picture():
    frames = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    result = Scatter(
        title="t", positions=frames[-1], rows=np.arange(4), frames=frames, frame_names=("a", "b", "c")
    )
    made = picture.picture(result, None)
    assert made.series.names == ("a", "b", "c")
    assert made.series.frames[-1].key == made.positions.key
    assert made.series.step == 2
    assert set(made.columns()) >= {"positions", "frame 0", "frame 1", "frame 2"}


def test_three_dimensions_where_there_are_three():
    result = Scatter(
        title="t", positions=np.zeros((4, 3), np.float32), rows=np.arange(4), axes=("a", "b", "c")
    )
    assert picture.picture(result, None).dims == 2
    made = picture.picture(result, None, dims=3)
    assert (made.dims, made.axes, len(made.positions.data)) == (3, ("a", "b", "c"), 48)


def test_the_plane_that_is_seen():
    """Turned by a quarter around the upright axis, the third axis lies where the first was; distances are kept."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((100, 3))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    assert np.allclose(picture.projected(points, {"yaw": 0, "pitch": 0}), (points - middle)[:, :2])
    assert np.allclose(
        picture.projected(points, {"yaw": np.pi / 2, "pitch": 0}), (points - middle)[:, [2, 1]]
    )
    above = picture.projected(points, {"yaw": 0, "pitch": np.pi / 2})
    assert np.allclose(above, np.stack([points[:, 0] - middle[0], middle[2] - points[:, 2]], axis=1))
    turned = picture.projected(points, {"yaw": 0.3, "pitch": 0.8})
    assert (np.linalg.norm(turned, axis=1) <= np.linalg.norm(points - middle, axis=1) + 1e-9).all()
    assert np.allclose(picture.projected(points[:, :2], None), points[:, :2])


def test_a_column_over_the_message_limit_is_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(st, "get_option", lambda name: 1)
    with pytest.raises(InputError, match=r"1,000,000 bytes.*maxMessageSize"):
        publish("big", picture.Column(bytes(1_000_000)))


def test_what_a_browser_sends_beside_box_and_hidden_is_checked():
    seen = lambda **more: _event({"view": {"box": None, "hidden": [], **more}}, 10).view  # noqa: E731
    assert seen(mode="both", step=2, camera={"yaw": 1, "pitch": 0.5}) == {
        "box": None, "hidden": [], "mode": "both", "step": 2, "camera": {"yaw": 1.0, "pitch": 0.5},
    }  # fmt: skip
    for bad in (
        {"mode": "<script>"},
        {"camera": {"yaw": "x"}},
        {"camera": 3},
        {"camera": {"yaw": float("nan"), "pitch": 0}},
        {"step": True},
        {"step": -1},
        {"step": 10**9},
    ):
        assert seen(**bad) == {"box": None, "hidden": []}
    assert _event({"step": {"step": 3}}, 10).step == 3
    assert _event({"step": {"step": "3"}}, 10).step is None
