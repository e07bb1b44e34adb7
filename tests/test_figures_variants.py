"""Printed figures with every option, and of hostile results, in one column: read, whole, and told apart in grey."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest
from test_figures_layout import SMALLEST, colours_of, written
from test_figures_planted import (
    curve,
    distribution,
    gallery,
    hostile,
    ledger,
    matrix,
    ordinary,
    scatter,
    spectrum,
    table,
    token_film,
    token_map,
)

from analysis.results import Result
from dashboard.figures import grey_check, on_paper
from dashboard.figures.contrast import contrast, ink
from dashboard.figures.grey import lightness
from dashboard.figures.legends import MOST_LINES, setting
from dashboard.figures.paper import Page, paper_style
from dashboard.figures.sheet import sheet
from dashboard.figures.style import GREYS

SEEN = 1.95  # contrast with white paper that a mark has at least, in grey
SEEN_IN_COLOUR = 1.45
PLAIN = {"linkage": None, "row_order": None, "column_order": None, "significant": None, "null_band": None}
LARGE = {
    "scatter_big",
    "scatter_labels",
    "matrix_big",
    "spectrum_long",
    "ledger_huge",
}  # slow, and drawn elsewhere


def coloured(row: int) -> np.ndarray:
    return np.random.default_rng(row).integers(0, 255, (12, 12, 3)).astype(np.uint8)


def in_words(row: int) -> str:
    return f"the quick brown fox jumps over the lazy dog {row} " * 3


@cache
def variants() -> dict[str, tuple[Result, dict]]:
    """Options that change what is drawn, each with a result that shows them."""
    rng, few = np.random.default_rng(0), scatter(400)
    names = np.array([f"checkpoint {i}" for i in range(12)])
    classes = np.array(["" if i % 9 == 0 else f"class {i % 20}" for i in range(800)])
    cells = tuple(f"a long name {i}" for i in range(12))
    words = (tuple(f"word{i}" for i in range(150)),)
    return {
        **{
            f"estimates of {name}": (ordinary()[name], {"part": "estimates"})
            for name in ("scatter", "curve", "table")
        },
        **{
            f"{name} with its title": (ordinary()[name], {"title": True})
            for name in ("scatter", "curve", "ledger")
        },
        "scatter selected": (few, {"dimmed": np.arange(400) % 5 > 0}),
        "scatter of one colour": (few, {"colour": None}),
        "scatter of classes": (scatter(800, columns={"label": classes}), {"dimmed": np.arange(800) % 7 == 0}),
        "scatter of many classes": (scatter(800, groups=40), {}),
        "scatter of signs": (scatter(400, columns={"d": rng.normal(size=400)}, colour="d"), {}),
        "scatter with names": (
            scatter(12, columns={"name": names, "x": rng.random(12)}, names="name", colour="x"),
            {},
        ),
        "matrix of 3": (matrix(3, 3, row_names=cells[:3], column_names=cells[:3], **PLAIN), {}),
        "matrix of 10": (matrix(10, 10, **PLAIN), {}),
        "matrix of 12": (matrix(12, 12, row_names=cells, column_names=cells), {}),
        "matrix of counts": (
            matrix(
                12, 12, values=rng.integers(0, 99_999, (12, 12)), limits=None, diverging=False, **PLAIN
            ),
            {},
        ),
        "matrix beyond its null": (matrix(8, 8, null=np.full((8, 8), 0.1)), {"show": "excess"}),
        "matrix that is low": (
            matrix(
                3, 10, column_names=tuple(f"{i} (medium, {i}06)" for i in range(10)),
                value_name="share told right", **PLAIN,
            ),
            {},
        ),
        "tokens with long names": (
            token_map(15, names=tuple(f"frame {i}, {15 - i} frames back" for i in range(15))),
            {},
        ),
        "film with long names": (
            token_film(names=("before", "all three alike", "likeness alone", "information alone", "size alone")),
            {},
        ),
        "spectrum without log": (spectrum(12), {"log": False}),
        "curve on a log axis": (curve(20, 6, log_x=True), {}),
        "curve of 12 lines": (curve(20, 12, low={}, high={}), {}),
        "curve with names of places": (
            curve(8, 3, x_labels=tuple(f"blocks.{i}.attention" for i in range(8))),
            {},
        ),
        "distribution stacked": (distribution(6), {"mode": "stack"}),
        "distribution overlaid": (distribution(8), {"mode": "overlay"}),
        "distribution on a log axis": (distribution(3), {"log_y": True}),
        "distribution of many": (distribution(40), {}),
        "gallery of pictures": (gallery(3, 12), {"pictures": coloured}),
        "gallery of texts": (gallery(3, 5), {"pictures": in_words}),
        "film of scores": (token_film(), {"show": "score", "opened": "2.3", "boxes": "1-2, 1-2"}),
        "film of scored words": (token_film(on_grid=False), {"show": "score", "opened": "2.3"}),
        "ledger of 40": (ledger(40), {"rows": 40}),
        "tokens of a sample": (
            token_map(1, grid=None, leading=0),
            {"tokens": [[f"token {i}" for i in range(18)]]},
        ),
        "tokens with names": (token_map(30, names=tuple(f"head {i // 6}.{i % 6}" for i in range(30))), {}),
        "tokens in colours": (
            token_map(3, colours=rng.integers(0, 255, (3, 65, 3)).astype(np.uint8)),
            {},
        ),
        "tokens in colours in rows": (
            token_map(3, grid=None, leading=0, colours=rng.integers(0, 255, (3, 18, 3)).astype(np.uint8)),
            {},
        ),
        "words of long texts": (
            token_map(3, grid=None, leading=0, values=rng.normal(size=(3, 150)), words=words),
            {},
        ),
    }  # fmt: skip


@cache
def every() -> dict[str, tuple[Result, dict]]:
    awful = {f"hostile {name}": (result, {}) for name, result in hostile().items() if name not in LARGE}
    return {**variants(), **awful}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("greyscale", [False, True])
@pytest.mark.parametrize("name", sorted(every()))
def test_text_is_read_whole_and_stands_alone(name, greyscale, monkeypatch):
    result, options = every()[name]
    texts, (across, down) = written(result, monkeypatch, greyscale=greyscale, **options)
    assert texts
    assert not [t for t in texts if t.points < SMALLEST]
    assert not [
        t for t in texts if t.box[0] < -1 or t.box[1] < -1 or t.box[2] > across + 1 or t.box[3] > down + 1
    ]
    assert not [(a.text, b.text) for a, b in combinations(texts, 2) if a.over(b)]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", sorted(every()))
def test_in_grey_there_is_no_colour_and_nothing_looks_like_another(name):
    result, options = every()[name]
    with paper_style(sheet()):
        assert colours_of(on_paper(result, greyscale=True, dpi=80, **options)) <= 12
    assert grey_check(result, greyscale=True, **options) == ()


@pytest.mark.parametrize("name", ["film of scored words", "hostile token_film_long", "tokens with names",
                                  "estimates of scatter", "scatter with names"])  # fmt: skip
@pytest.mark.parametrize("width", ["slide", "poster"])
def test_texts_of_large_sheets_stand_alone(name, width, monkeypatch):
    result, options = every()[name]
    texts, _ = written(result, monkeypatch, width=width, **options)
    assert not [t for t in texts if t.points < 0.8 * sheet(width).points]
    assert not [(a.text, b.text) for a, b in combinations(texts, 2) if a.over(b)]
    if "estimates" in name:
        assert any("permutation, 100 draws" in t.text for t in texts), "what is said of a null is not cut"


def test_shades_of_grey_are_seen_on_paper_and_told_apart():
    page = Page(None, sheet(), greyscale=True)
    scale = page.colour_map(False)
    ends = ["#{:02x}{:02x}{:02x}".format(*(round(255 * v) for v in scale(end)[:3])) for end in (0.0, 1.0)]
    for shade in (*GREYS, *ends):
        assert contrast(shade, "#ffffff") >= SEEN, shade
    assert min(abs(lightness(a) - lightness(b)) for a, b in combinations(GREYS, 2)) >= 10
    assert abs(lightness(ends[0]) - lightness(ends[1])) > 60, "a scale wants its room as well"


@pytest.mark.parametrize("diverging", [False, True])
def test_marks_in_colour_are_seen_on_paper_too(diverging):
    """And a point at zero, which a map of cells draws white."""
    page = Page(None, sheet(), greyscale=False)
    for at in np.linspace(0, 1, 33):
        shade = "#{:02x}{:02x}{:02x}".format(
            *(round(255 * v) for v in page.colour_map(diverging, marks=True)(at)[:3])
        )
        assert contrast(shade, "#ffffff") >= SEEN_IN_COLOUR, at
    for i in range(8):
        assert contrast(page.mark(i)[0], "#ffffff") >= SEEN_IN_COLOUR
        assert contrast(page.line(i)[0], "#ffffff") >= SEEN_IN_COLOUR


@pytest.mark.parametrize("greyscale", [False, True])
@pytest.mark.parametrize("diverging", [False, True])
def test_numbers_in_cells_are_read_on_every_colour_of_a_scale(diverging, greyscale):
    scale = Page(None, sheet(), greyscale).colour_map(diverging)
    for at in np.linspace(0, 1, 256):
        ground = scale(at)[:3]
        shown = "#{:02x}{:02x}{:02x}".format(*(round(255 * v) for v in ground))
        assert contrast(ink(ground), shown) >= 4.4, at


def test_numbers_that_would_be_too_small_are_left_out_of_cells():
    with paper_style(sheet()):
        told, bare = (on_paper(matrix(n, n, **PLAIN)).axes[0].texts for n in (10, 12))
    assert len(told) == 100
    assert min(text.get_fontsize() for text in told) >= SMALLEST
    assert len(bare) == 0
    with paper_style(sheet("double")):
        assert len(on_paper(matrix(12, 12, **PLAIN), width="double").axes[0].texts) == 144


def test_a_legend_of_a_slide_leaves_room_for_the_plot():
    labels = [f"a category with a long name {i}" for i in range(21)]
    found = setting(sheet("slide"), labels, "label")
    assert found.lines <= MOST_LINES + 1
    assert len({*found.labels}) == len(labels)
    assert found.points >= 0.8 * sheet("slide").points
    grown = setting(sheet(), labels, "label")
    assert grown.labels == tuple(labels), "a page that grows cuts nothing"
    crowd = scatter(800, columns={"label": np.array([labels[i % 21] for i in range(800)])})
    with paper_style(sheet("slide")):
        figure = on_paper(crowd, width="slide")
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent().height
    assert legend < 0.38 * figure.bbox.height


def test_words_without_room_are_left_out_and_counted(monkeypatch):
    many = token_map(3, grid=None, leading=0, values=np.ones((3, 390)), words=(("wordword",) * 390,))
    shown = [t.text for t in written(many, monkeypatch)[0]]
    count = shown.count("wordword")
    assert 100 < count < 1170
    assert any(f"the first {count:,} of 1,170 words" in text for text in shown)
    few = ordinary()["token_words"]
    assert not [t.text for t in written(few, monkeypatch)[0] if "the first" in t.text]


def test_scores_of_a_film_in_grey_are_not_what_is_gone_or_unjudged():
    result = token_film(on_grid=False)
    with paper_style(sheet()):
        axes = on_paper(result, greyscale=True, show="score").axes[0]
        image = axes.images[0]
        shown = image.cmap(image.norm(image.get_array()))[..., 0]
    judged, gone = np.asarray(result.judged), np.asarray(result.owner) < 0
    assert shown[judged & ~gone].max() < 0.75
    assert (shown[gone] == 1).all()
    hatched = [c for c in axes.collections if c.get_hatch()]
    assert sum(len(c.get_paths()) for c in hatched) == gone.sum()


def test_in_grey_a_matrix_without_a_significant_cell_is_drawn_all_the_same(monkeypatch):
    result = matrix(6, 6, **{**PLAIN, "significant": np.zeros((6, 6), bool)})
    with paper_style(sheet()):
        (image,) = on_paper(result, greyscale=True).axes[0].images
    assert (np.asarray(image.get_array()) < 0.9).all()
    said = " ".join(t.text for t in written(result, monkeypatch, greyscale=True)[0])
    assert "all are drawn alike" in said
    assert "left white" not in said


def test_names_of_panels_and_lines_of_tables_stay_unlike(monkeypatch):
    names = [
        f"vit.encoder.layer.{k}.{part}.weight" for k in range(4) for part in ("attention.key", "output.dense")
    ]
    result = table(8, columns={"tensor": np.array(names), "entries": np.arange(8)}, sort="")
    shown = [t.text for t in written(result, monkeypatch)[0]]
    cells = [text for text in shown if "weight" in text or "…" in text]
    assert len({*cells}) == len(cells) == 8
    film, _ = variants()["film with long names"]
    panels = [t.text for t in written(film, monkeypatch)[0] if " · " in t.text]
    assert len({*panels}) == len(panels) == 5
