"""Points that are stamped on paper: each once, in its place and colour, none of the colours over all others."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dashboard.figures.many_points import draw_points, rounds
from dashboard.figures.style import RASTER_ABOVE

N = RASTER_ABOVE + 1


def test_every_point_is_drawn_once_in_its_colour(rng):
    for n in (1, 70, 5_000):
        codes = rng.integers(0, 7, n)
        drawn = list(rounds(codes, 8))
        assert all((codes[points] == k).all() for k, points in drawn)
        assert np.array_equal(np.sort(np.concatenate([points for _, points in drawn])), np.arange(n))


def pixels(xy, palette, codes, draw=draw_points) -> np.ndarray:
    figure = Figure(figsize=(2, 2), dpi=100)
    canvas, axes = FigureCanvasAgg(figure), figure.add_axes((0, 0, 1, 1))
    draw(axes, xy, palette, codes, 4.0)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def paths(axes, xy, palette, codes, side):
    axes.scatter(*xy.T, c=palette[codes], s=side**2, linewidths=0)


def test_stamps_look_as_paths_do(rng):
    xy, palette = rng.random((N, 2)), np.array([[0.0, 0.4, 0.7, 1.0]])
    codes = np.zeros(N, int)
    stamped, drawn = pixels(xy, palette, codes), pixels(xy, palette, codes, paths)
    assert np.abs(stamped.mean(axis=(0, 1)) - drawn.mean(axis=(0, 1))).max() < 4  # of 255: as much ink
    shift = np.roll(drawn, 20, axis=1)
    assert np.abs(stamped - drawn).mean() < 0.35 * np.abs(stamped - shift).mean()  # in the same places


def test_no_colour_lies_over_the_others(rng):
    """Three colours over one another at random share the area equally; drawn one after another the last has it all."""
    xy, codes = np.tile(rng.random((1, 2)) * 0.2 + 0.4, (60_000, 1)), rng.integers(0, 3, 60_000)
    xy = xy + rng.normal(0, 0.12, xy.shape)
    seen = pixels(xy, np.eye(4)[:3] + np.eye(4)[3], codes)[80:120, 80:120].mean(axis=(0, 1))
    assert seen.max() < 1.6 * seen.min()
