"""Tokens as colours: against loops over pairs, a least-squares reader of the place, and planted pictures."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import results
from analysis.activations import ArrayActivations, Layout
from analysis.errors import InputError
from analysis.methods.tokens.token_colours import TokenColoursParams, token_colours
from analysis.tokens.pooling.colours import (
    LINEAR,
    PLACES,
    as_colours,
    neighbours_alike,
    of_place,
    shuffled_inside,
    without_place,
)
from dashboard.figures import on_screen
from dashboard.figures.export import export


def tap_of(x, grid=(4, 4)):
    n, t, d = x.shape
    return ArrayActivations(x.reshape(-1, d), "planted", layout=Layout(np.arange(n + 1) * t, grid=grid))


def test_neighbours_and_places_are_those_of_loops(rng):
    c, present = rng.standard_normal((3, 12, 2)), rng.random((3, 12)) < 0.8
    c[~present] = 0
    found = neighbours_alike(c, present, (3, 4))
    for k in range(3):
        at = [(i // 4, i % 4, c[k, i]) for i in range(12) if present[k, i]]
        near = [
            np.sum((a - b) ** 2)
            for i, (r, q, a) in enumerate(at)
            for s, t, b in at[i + 1 :]
            if abs(r - s) + abs(q - t) == 1
        ]
        every = [np.sum((a - b) ** 2) for i, (*_, a) in enumerate(at) for *_, b in at[i + 1 :]]
        assert found[k] == pytest.approx(1 - np.mean(near) / np.mean(every), abs=1e-12)
    residual = sum(
        np.square(c[present[:, t], t] - c[present[:, t], t].mean(axis=0)).sum()
        for t in range(12)
        if present[:, t].any()
    )
    whole = np.square(c[present] - c[present].mean(axis=0)).sum()
    assert of_place(c, present) == pytest.approx(1 - residual / whole, abs=1e-12)
    other = shuffled_inside(c, present, rng)
    for k in range(3):
        np.testing.assert_array_equal(np.sort(other[k, present[k], 0]), np.sort(c[k, present[k], 0]))
    assert not np.array_equal(other, c)


def test_without_row_and_column_no_linear_reader_tells_them(rng):
    place = np.stack(np.divmod(np.arange(12), 4), axis=1)
    x = rng.standard_normal((50, 12, 9)) + place @ rng.standard_normal((2, 9))
    there = np.ones((50, 12), bool)
    for way, after in ((LINEAR, 0.0), (PLACES, 0.0)):
        left = without_place(x, there, way, (3, 4)).reshape(-1, 9)
        target = np.tile(place - place.mean(axis=0), (50, 1))
        fit = left @ np.linalg.lstsq(left, target, rcond=None)[0]
        assert np.square(fit).sum() / np.square(target).sum() == pytest.approx(after, abs=1e-12)
    assert of_place(without_place(x, there, PLACES, (3, 4)), there) == pytest.approx(0, abs=1e-12)
    assert of_place(x, there) > 0.3


def test_two_halves_have_two_colours_and_what_is_cut_off_is_the_end():
    c = np.zeros((2, 4, 3))
    c[:, :2, 0], c[:, 2:, 0], c[0, 0, 1] = -1, 1, 5
    found = as_colours(c, np.ones((2, 4), bool))
    assert (found[:, :2, 0] == 0).all()
    assert (found[:, 2:, 0] == 255).all()
    assert (found[..., 2] == 128).all()  # no spread, no colour


def test_the_map_is_drawn_kept_and_tabled(rng, tmp_path):
    x = rng.standard_normal((20, 16, 8))
    x[:, :8, 0] += 20
    found = token_colours(tap_of(x), TokenColoursParams(shown=5, first=3))
    assert list(found.samples) == [3, 4, 5, 6, 7]
    assert found.colours.shape == (5, 16, 3)
    assert abs(int(found.colours[0, 0, 0]) - int(found.colours[0, 15, 0])) > 150
    figure = on_screen(found)
    assert [t.type for t in figure.data] == ["image", "heatmap"] * 5
    row = token_colours(tap_of(x, None), TokenColoursParams(shown=5))
    assert [t.type for t in on_screen(row).data] == ["image", "heatmap"]
    assert list(on_screen(row).layout.yaxis.ticktext) == [f"sample {k}" for k in range(5)]
    for one in (found, row):
        assert b"<image" in export(one, "svg", width="double")
        assert export(one, "csv").splitlines()[0].endswith(b"red,green,blue")
    results.save(found, tmp_path / "kept.npz")
    np.testing.assert_array_equal(results.load(tmp_path / "kept.npz").colours, found.colours)


def test_tokens_that_are_all_alike_are_refused():
    with pytest.raises(InputError, match="all alike"):
        token_colours(tap_of(np.ones((20, 16, 8))))
    place = np.broadcast_to(np.random.default_rng(0).standard_normal((16, 8)), (20, 16, 8))
    with pytest.raises(InputError, match="Take nothing away"):
        token_colours(tap_of(place), TokenColoursParams(remove=PLACES))
