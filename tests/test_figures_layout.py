"""Printed figures of every kind, as an editor looks at them: no text is tiny, cut off or under another."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from test_figures_planted import curve, distribution, matrix, ordinary, scatter, token_map

from dashboard.figures import on_paper, on_screen, point_pictures
from dashboard.figures.export import laid_out
from dashboard.figures.paper import paper_style
from dashboard.figures.sheet import sheet

LOOKS = [
    *(
        (width, greyscale, "sans")
        for width in ("single", "double", "slide", "poster")
        for greyscale in (False, True)
    ),
    *((width, True, "serif") for width in ("single", "double", "slide", "poster")),
]
SMALLEST = 6.0  # points, in print at the size that a preset has by itself
SLACK = 0.2  # of a line's height, above and below, that letters leave free


@dataclasses.dataclass(frozen=True)
class Written:
    """Text on the page with its box in pixels, y downwards."""

    text: str
    points: float
    box: tuple[float, float, float, float]

    def over(self, other: Written) -> bool:
        """Whether the letters of the two touch."""
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        return min(c, g) - max(a, e) > 1 and min(d, h) - max(b, f) > 1


def written(result, monkeypatch, **look) -> tuple[list[Written], tuple[float, float]]:
    """Whatever text is drawn, and the page's size in pixels."""
    found, draw = [], RendererAgg.draw_text

    def note(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        wide, high, below = self.get_text_width_height_descent(s, prop, False)
        free = SLACK * high
        across, down = (x, x + wide), (y - high + below + free, y + below - free)
        if round(angle) == 90:
            across, down = (x - high + below + free, x + below - free), (y - wide, y)
        if s.strip() and round(angle) in (0, 90):
            found.append(Written(s, prop.get_size_in_points(), (across[0], down[0], across[1], down[1])))
        return draw(self, gc, x, y, s, prop, angle, ismath, mtext)

    monkeypatch.setattr(RendererAgg, "draw_text", note)
    with paper_style(sheet(look.get("width", "single"), font=look.get("font", "sans"))):
        figure = laid_out(on_paper(result, **look))
        canvas = FigureCanvasAgg(figure)
        found.clear()  # the layout measures without drawing, but a look at the size may not
        canvas.draw()
    return found, (figure.bbox.width, figure.bbox.height)


@pytest.mark.parametrize(("width", "greyscale", "font"), LOOKS)
@pytest.mark.parametrize("name", sorted(ordinary()))
def test_text_can_be_read_is_whole_and_stands_alone(name, width, greyscale, font, monkeypatch):
    look = {"width": width, "greyscale": greyscale, "font": font}
    texts, (across, down) = written(ordinary()[name], monkeypatch, **look)
    assert texts
    assert not [t for t in texts if t.points < SMALLEST]
    cut = [t for t in texts if t.box[0] < -1 or t.box[1] < -1 or t.box[2] > across + 1 or t.box[3] > down + 1]
    assert not cut
    assert not [(a.text, b.text) for a, b in combinations(texts, 2) if a.over(b)]


def test_the_look_at_texts_finds_what_is_wrong(monkeypatch):
    """The test above fails on texts that are tiny, leave the page, or lie on each other."""
    import dashboard.figures.paper as paper

    draw = paper.label_axes

    def badly(page, axes, x, y):
        draw(page, axes, x, y)
        axes.text(0.5, 0.5, "tiny", fontsize=3, transform=axes.transAxes)
        axes.text(0.5, 0.5, "upon it", transform=axes.transAxes)
        page.figure.text(0.95, 0.5, "over the edge of the page")

    monkeypatch.setattr("dashboard.figures.curve_paper.label_axes", badly)
    texts, (across, _) = written(curve(), monkeypatch)
    assert [t.text for t in texts if t.points < SMALLEST] == ["tiny"]
    assert [t.text for t in texts if t.box[2] > across + 1] == ["over the edge of the page"]
    assert ("tiny", "upon it") in [(a.text, b.text) for a, b in combinations(texts, 2) if a.over(b)]


def colours_of(figure) -> float:
    """How far from grey the most colourful pixel of the drawn figure is, 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    return float((pixels.max(axis=2) - pixels.min(axis=2)).max())


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_a_figure_in_grey_has_no_colour(name):
    with paper_style(sheet()):
        drawn = colours_of(on_paper(ordinary()[name], greyscale=True, dpi=80))
    assert drawn <= 12  # the grey of film grounds is a little blue


def test_in_grey_what_is_not_significant_is_white_and_no_value_is(monkeypatch):
    result = matrix(6, 6, linkage=None, row_order=None, column_order=None)
    with paper_style(sheet()):
        (image,) = on_paper(result, greyscale=True).axes[0].images
        kept = np.asarray(image.get_array())
    assert (kept[~result.significant] == 1).all()
    assert (kept[result.significant] < 0.9).all()
    said = " ".join(t.text for t in written(result, monkeypatch, greyscale=True)[0])
    assert "left white" in said
    assert "faded" not in said


def test_in_grey_signs_of_words_and_maps_are_light_and_dark():
    words = token_map(1, grid=None, leading=0, values=np.array([[-1.0, 0.0, 1.0]]), words=(("a", "b", "c"),))
    with paper_style(sheet()):
        boxes = on_paper(words, greyscale=True).axes[0].patches
    grounds = [box.get_facecolor()[0] for box in boxes[::2]]
    assert grounds[0] > grounds[1] + 0.2 > grounds[2] + 0.4


def test_a_caption_of_a_marked_place_is_not_crossed(monkeypatch):
    result = distribution(markers={"first": 1.0, "second": 1.4})
    with paper_style(sheet()):
        names = {t.get_text(): t for t in on_paper(result).axes[0].texts}
    assert all(names[n].get_bbox_patch().get_alpha() > 0.7 for n in ("first", "second"))


def test_a_name_of_a_marked_place_crosses_no_other_mark():
    with paper_style(sheet()):
        figure = on_paper(distribution())
        figure.draw_without_rendering()
        axes = figure.axes[0]
        lines = axes.transData.transform([(at, 0) for at in distribution().markers.values()])[:, 0]
        boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(lines) == 2
    assert not [x for x in lines for box in boxes if box.x0 - 1 < x < box.x1 + 1]


def test_in_grey_each_line_has_its_own_marks_and_a_name_that_moved_is_led_to_its_line():
    with paper_style(sheet()):
        axes = on_paper(curve(), greyscale=True).axes[0]
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert len({line.get_marker() for line in named}) == len(named) > 2
    ends = {tuple(np.round((line.get_xdata()[-1], line.get_ydata()[-1]), 9)) for line in named}
    led = [text for text in axes.texts if text.arrow_patch is not None]
    assert led
    assert {tuple(np.round(text.xy, 9)) for text in led} <= ends


def test_pictures_of_points_stand_beside_each_other():
    close = scatter(
        3, pictures=np.zeros((3, 4, 4), np.uint8), colour="", columns={},
        positions=np.array([[0.0, 0.0], [0.2, 0.0], [10.0, 10.0]]),
    )  # fmt: skip
    first, second, far = point_pictures.placed(close)
    assert (first.side, far.side) == ((0, 1), (0, 1)), "alone: above"
    assert second.side != first.side
    for result in (close, ordinary()["scatter_pictures"]):
        found = point_pictures.placed(result)
        assert len(found) == len(result.positions)
        assert not point_pictures.note(result)
        assert max(_shared(one.box, other.box) for one, other in combinations(found, 2)) < 1e-6


def test_pictures_that_have_no_room_are_left_out_and_counted():
    crowd = scatter(
        40, pictures=np.zeros((40, 4, 4), np.uint8), colour="", columns={},
        positions=np.concatenate([np.random.default_rng(0).normal(size=(39, 2)) * 0.01, [[10.0, 10.0]]]),
    )  # fmt: skip
    found = point_pictures.placed(crowd)
    assert 2 < len(found) < 40
    assert max(_shared(one.box, other.box) for one, other in combinations(found, 2)) < 1e-6
    said = f"{40 - len(found)} of 40 pictures have no room and are left out"
    assert point_pictures.note(crowd) == said
    with paper_style(sheet()):
        figure = on_paper(crowd)
        assert said in figure._supxlabel.get_text()
        assert len(figure.axes[0].images) == len(found)


def test_names_beside_pictures_lie_on_none_of_them(monkeypatch):
    result = ordinary()["scatter_pictures"]
    with paper_style(sheet()):
        figure = laid_out(on_paper(result))
        figure.draw_without_rendering()
        axes = figure.axes[0]
        names = [text.get_window_extent() for text in axes.texts]
        pictures = [image.get_window_extent() for image in axes.images]
    assert names
    assert pictures
    for one in names:
        for other in pictures:
            assert not (
                min(one.x1, other.x1) - max(one.x0, other.x0) > 2
                and min(one.y1, other.y1) - max(one.y0, other.y0) > 2
            )


def test_a_long_name_of_an_axis_stands_in_two_lines():
    long = "the share of the variance that is left when all but the first axes are taken away"
    with paper_style(sheet()):
        axes = on_paper(scatter(50, axes=(long, "short"))).axes[0]
    assert axes.get_xlabel().replace("\n", " ") == long
    assert axes.get_xlabel().count("\n") == 1
    assert axes.get_ylabel() == "short"


def _shared(one, other) -> float:
    (a, b, c, d), (e, f, g, h) = one, other
    return max(min(b, f) - max(a, e), 0) * max(min(d, h) - max(c, g), 0)


def test_no_tick_stands_between_two_layers(monkeypatch):
    """Places that are whole numbers, of points and of lines, on screen and on paper; others have their fractions."""
    layers, values = np.repeat([1.0, 2, 3], 4), np.linspace(0, 1, 12)
    points = scatter(12, positions=np.column_stack([layers, values]), axes=("layer", "distance"))
    lines = curve(x=np.array([1.0, 2, 3]), series={"a": np.array([0.1, 0.5, 0.2])}, low={}, high={}, null={})
    for result in (points, lines):
        with paper_style(sheet()):
            axes = on_paper(result).axes[0]
        np.testing.assert_array_equal(axes.get_xticks(), np.round(axes.get_xticks()))
        assert (axes.get_yticks() % 1 > 0).any()
    figure = on_screen(points)
    assert figure.layout.xaxis.dtick == 1
    assert figure.layout.yaxis.dtick is None
