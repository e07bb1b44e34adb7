"""Maps over pictures and over words: where colours lie, and how dense they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from test_figures_planted import token_map

from analysis import results
from dashboard.figures import export, on_paper, on_screen, word_flow
from dashboard.figures.over_pictures import DENSEST, density, see_through, spread, under
from dashboard.figures.style import theme_named


def pictured(**changes):
    picture = np.arange(96, dtype=np.uint8).reshape(1, 8, 12)
    values = np.linspace(-1, 2, 24).reshape(2, 12)
    given = {"values": values, "grid": (2, 6), "leading": 0, "pictures": picture, "names": ("a", "b")}
    return token_map(2, **{**given, **changes})


def texts(n=2, **changes):
    values = np.array([[-1.0, 0.0, 2.0, np.nan]] * n)
    return token_map(n, values=values, grid=None, leading=0, words=(("The", " cat", "\n", "sat"),), **changes)


def test_zero_is_clear_and_both_ends_are_dense():
    np.testing.assert_allclose(density(np.array([0, 0.5, 0.75, 1]), True), DENSEST * np.array([1, 0, 0.5, 1]))
    scale = see_through(theme_named("light"), -2, 2, True)
    alpha = [float(c.rstrip(")").rsplit(",", 1)[1]) for _, c in scale]
    assert alpha[len(alpha) // 2] == 0
    assert alpha[0] == alpha[-1] == pytest.approx(DENSEST)
    one_sign = see_through(theme_named("light"), 1, 4, False)  # far from zero nothing is clear
    assert float(one_sign[0][1].rstrip(")").rsplit(",", 1)[1]) == pytest.approx(DENSEST / 4, abs=1e-3)


def test_a_picture_fills_the_cells_of_its_grid():
    placed = spread(np.zeros((8, 12), np.uint8), (2, 6))
    assert placed["x0"] - placed["dx"] / 2 == pytest.approx(-0.5)
    assert placed["x0"] + placed["dx"] * 11.5 == pytest.approx(5.5)
    assert placed["y0"] + placed["dy"] * 7.5 == pytest.approx(1.5)


def test_the_picture_lies_below_every_map_on_one_scale():
    figure = on_screen(pictured())
    kinds = [trace.type for trace in figure.data]
    assert kinds == ["image", "heatmap"] * 2
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax == -2
    assert all(t.coloraxis == "coloraxis" for t in figure.data if t.type == "heatmap")
    assert under(pictured(), 0).shape == (8, 12)
    coloured = pictured(pictures=np.random.default_rng(0).integers(0, 255, (2, 8, 12, 3), dtype=np.uint8))
    assert not np.array_equal(under(coloured, 0), under(coloured, 1))
    panels = on_paper(pictured()).axes[:2]
    assert [len(panel.images) for panel in panels] == [2, 2]
    assert all(i.get_extent() == panel.images[0].get_extent() for panel in panels for i in panel.images)


def test_words_are_written_out_with_their_value():
    figure = on_screen(texts())
    written = next(t for t in figure.data if t.mode == "text")
    assert list(written.text) == ["The", "·cat", "⏎", "sat"] * 2
    dense = [shape.opacity for shape in figure.layout.shapes[:8:2]]
    assert dense[1] == dense[3] == 0  # zero, and no value
    assert dense[2] == pytest.approx(2 * dense[0])
    below = figure.layout.shapes[1]
    assert below.y0 > figure.layout.shapes[0].y1  # a line under the word
    assert b"cat" in export(texts(), "svg", width="double")


def test_words_beyond_the_ends_of_the_scale_are_as_full_as_its_ends():
    """Ends of a store's maps are below its largest value, so that one spike does not pale all others."""
    narrow = on_screen(texts(ends=(-0.5, 0.5)))
    shapes = [shape.opacity for shape in narrow.layout.shapes[1:8:2]]
    assert shapes[2] == shapes[0] == DENSEST
    assert b"cat" in export(texts(ends=(-0.5, 0.5)), "svg", width="double")


def test_words_wrap_and_long_maps_stay_rows():
    many = token_map(2, values=np.ones((2, 120)), grid=None, leading=0, words=(("seven77",) * 120,))
    placed, names, lines = word_flow.laid_out(many)
    assert max(c + len(w) for *_, c, w in placed) <= word_flow.COLUMNS
    assert len({line for _, _, line, _, _ in placed}) == 2 * 15
    assert [line for line, _ in names] == [0, 17]
    assert lines == 33
    beside = [(a, b) for a, b in pairwise(placed) if a[2] == b[2]]
    assert all(
        b[3] - (a[3] + len(a[4])) >= 1 for a, b in beside
    )  # a whole letter of ground between two words
    assert not word_flow.fits(token_map(30, grid=None, words=(("a",) * 19,)))
    assert not word_flow.fits(token_map(2, grid=None))


def test_pictures_and_words_come_back_from_disk(tmp_path):
    for found in (pictured(), texts()):
        results.save(found, tmp_path / "map.npz")
        again = results.load(tmp_path / "map.npz")
        np.testing.assert_array_equal(again.values, found.values)
        assert (again.pictures is None) == (found.pictures is None)
        assert [list(w) for w in again.words] == [list(w) for w in found.words]
        assert len(on_screen(again).data) == len(on_screen(found).data)


@pytest.mark.parametrize(
    ("name", "across"), [("a", 8), ("frame 0, 11 back", 5), ("a name of many letters", 4)]
)
def test_names_of_small_panels_have_room_beside_each_other(name, across):
    figure = on_screen(pictured(pictures=None, names=tuple(f"{name}{k}" for k in range(9)), values=np.ones((9, 12)),
                                samples=np.arange(9)))  # fmt: skip
    places = sorted(
        {round(a.x, 6) for a in figure.layout.annotations if a.xref == "paper" and a.yanchor == "top"}
    )
    assert len(places) == across
