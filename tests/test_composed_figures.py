"""Composed figures: panels of any kind on one page, real text, one legend where it says the same, nothing overlaps."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache

import numpy as np
import pytest
from test_figures_planted import NASTY, curve, hostile, matrix, ordinary, scatter, token_map
from test_printed_figures import sizes_in

from analysis.errors import ParameterError
from dashboard.figures import composed_axes, composed_keys
from dashboard.figures.composed import Arrangement, Part, compose
from dashboard.figures.paper import paper_style
from dashboard.figures.sheet import sheet

SVG = "{http://www.w3.org/2000/svg}"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ORDINARY = ordinary()
CELLS = {"linkage": None, "null_band": None, "significant": None}


def parts(*results, **spans) -> list[Part]:
    return [Part(r, LETTERS[i], span=spans.get(LETTERS[i], 1)) for i, r in enumerate(results)]


def drawn(given, width="double", *, greyscale=False, **arrangement):
    """(figure, what was said), with all its places fixed."""
    asked = sheet(width)
    with paper_style(asked):
        found = compose(given, asked, Arrangement(**arrangement), greyscale=greyscale)
        found.figure.draw_without_rendering()
    return found.figure, found.said


def saved(figure_parts, format, width="double", **arrangement) -> bytes:
    asked, out = sheet(width), io.BytesIO()
    with paper_style(asked):
        figure = compose(figure_parts, asked, Arrangement(**arrangement)).figure
        figure.savefig(
            out, format=format, dpi=asked.dpi, metadata={"Date": None} if format == "svg" else None
        )
    return out.getvalue()


@cache
def rows_of_kinds(width: str, greyscale: bool):
    names = sorted(ORDINARY)
    columns = 1 if width == "single" else 2 + greyscale
    return [
        (names[k : k + columns], *drawn(parts(*(ORDINARY[n] for n in names[k : k + columns])), width,
                                        greyscale=greyscale, columns=columns))
        for k in range(0, len(names), columns)
    ]  # fmt: skip


def texts_of(owner) -> list:
    """What is written in a panel, as boxes in dots."""
    from matplotlib.text import Text

    unseen = set()  # of ticks beyond the ends of an axis, or of no axis: never drawn
    for axes in owner.axes:
        for axis in (axes.xaxis, axes.yaxis):
            ticks = {id(t) for t in axis._update_ticks()} if axes.axison else set()
            every = (*axis.get_major_ticks(), *axis.get_minor_ticks())
            unseen |= {id(label) for t in every if id(t) not in ticks for label in (t.label1, t.label2)}
    found = [
        t for t in owner.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen
    ]
    return [(t.get_text(), t.get_window_extent()) for t in found]


@pytest.mark.parametrize("greyscale", [False, True])
@pytest.mark.parametrize("width", ["single", "double"])
def test_no_text_leaves_its_panel_or_lies_over_another(width, greyscale):
    for names, figure, _ in rows_of_kinds(width, greyscale):
        for i, (one, other) in enumerate(itertools.combinations(figure.subfigs, 2)):
            for (a, box), (b, beside) in itertools.product(texts_of(one), texts_of(other)):
                shared = box.overlaps(beside) and box.intersection(box, beside)
                assert not shared or min(shared.width, shared.height) < 1.5, (names, i, a, b)
        wide, high = figure.bbox.size
        for panel in figure.subfigs:
            for text, box in texts_of(panel):
                assert box.x0 > -3, (names, text, box)
                assert box.x1 < wide + 3, (names, text, box)
                assert box.y0 > -3, (names, text, box)
                assert box.y1 < high + 3, (names, text, box)


def test_axes_beside_and_below_each_other_are_in_line():
    results = (
        scatter(200, columns={}, colour=""),
        curve(),
        curve(9, 2),
        scatter(100, columns={}, colour="", seed=4),
    )
    figure, _ = drawn(parts(*results))
    boxes = [panel.axes[0].get_window_extent() for panel in figure.subfigs]
    for a, b in ((0, 1), (2, 3)):
        assert boxes[a].y0 == pytest.approx(boxes[b].y0, abs=0.6)
        assert boxes[a].y1 == pytest.approx(boxes[b].y1, abs=0.6)
    for a, b in ((0, 2), (1, 3)):
        assert boxes[a].x0 == pytest.approx(boxes[b].x0, abs=0.6)
    apart = [p.axes[0].get_position(original=True) for p in _without_lines(results).subfigs]
    assert abs(apart[0].x0 - apart[2].x0) > 1e-3 or abs(apart[0].y1 - apart[1].y1) > 1e-3


def _without_lines(results):
    """The same page, nobody having put the axes in line."""
    before = composed_axes._shared
    composed_axes._shared = lambda *_, **__: None
    try:
        return drawn(parts(*results))[0]
    finally:
        composed_axes._shared = before


def legends_of(figure) -> list[tuple[str, int]]:
    """(title, entries) of the page's own legends and of those of panels."""
    every = [*figure.legends, *(g for panel in figure.subfigs for g in panel.legends)]
    return [(g.get_title().get_text(), len(g.get_texts())) for g in every]


def test_equal_categories_have_one_legend():
    figure, said = drawn(parts(scatter(100), scatter(100, seed=1), curve()))
    assert legends_of(figure) == [("label (a, b)", 10)]
    assert not said
    figure, _ = drawn(parts(scatter(100), scatter(100, seed=1)), share=False)
    assert legends_of(figure) == [("label", 10), ("label", 10)]


def test_other_categories_are_kept_apart_and_it_is_said():
    figure, said = drawn(parts(scatter(100), scatter(100, groups=3)))
    assert sorted(legends_of(figure)) == [("label", 3), ("label", 10)]
    assert len(said) == 1
    assert "a, b" in said[0]
    assert "“label”" in said[0]
    same_names = scatter(100, groups=3), scatter(100, groups=3, seed=2)
    swapped = same_names[1].columns["label"].copy()
    figure, said = drawn(
        parts(same_names[0], scatter(100, groups=3, columns={"label": np.char.add("x", swapped)}))
    )
    assert len(legends_of(figure)) == 2
    assert said


def colour_bars(figure) -> list:
    return [a for f in (figure, *figure.subfigs) for a in f._localaxes if a.get_label() == "<colorbar>"]


def test_equal_quantities_have_one_scale_that_holds_all_values():
    few = matrix(6, 6, limits=(-0.5, 0.5), **CELLS)
    figure, said = drawn(parts(few, matrix(6, 6, seed=3, limits=(-1.0, 1.0), **CELLS)))
    (bar,) = colour_bars(figure)
    assert bar.get_xlim() == (-1.0, 1.0)
    assert bar.get_xlabel() == "Pearson r"
    assert not said
    alone, _ = drawn(parts(few))
    assert colour_bars(alone)[0].get_ylim() == (-0.5, 0.5)
    shades = [f.subfigs[0].axes[0].images[0].get_array() for f in (figure, alone)]
    assert not np.allclose(*shades)  # drawn again, not only labelled


def test_other_units_have_their_own_scale():
    figure, _ = drawn(parts(matrix(6, 6, **CELLS), matrix(6, 6, value_name="cosine", **CELLS)))
    assert len(colour_bars(figure)) == 2
    figure, said = drawn(
        parts(matrix(6, 6, **CELLS), matrix(6, 6, diverging=False, limits=(0.0, 1.0), **CELLS))
    )
    assert len(colour_bars(figure)) == 2
    assert "other colours" in said[0]
    bands = [matrix(6, 6, **{**CELLS, "null_band": band}) for band in ((-0.1, 0.1), (-0.3, 0.3))]
    figure, said = drawn(parts(*bands))
    assert len(colour_bars(figure)) == 2
    assert "chance" in said[0]


@pytest.mark.parametrize(
    ("width", "points"), [("single", 7.5), ("double", 7.5), ("slide", 15.0), ("poster", 24.0)]
)
def test_letters_have_the_size_asked_as_printed(width, points):
    given = parts(scatter(60, groups=3), curve())
    given[0] = Part(given[0].result, "a", "A title")
    sizes = set(sizes_in(saved(given, "svg", width)))
    assert sizes == {points, points - 0.5, points + 1.0}


def test_the_page_is_a_vector_with_text_and_heavy_panels_are_images():
    given = parts(scatter(4000), curve())
    root = ET.fromstring(saved(given, "svg"))
    words = {"".join(node.itertext()).strip() for node in root.iter(SVG + "text")}
    assert {"a", "b", "PC 1 (31.2 %)", "accuracy", "block 0"} <= words
    assert len(list(root.iter(SVG + "image"))) == 1
    assert not list(ET.fromstring(saved(parts(scatter(200), curve()), "svg")).iter(SVG + "image"))


def test_markup_in_titles_and_letters_is_text():
    given = [Part(curve(), "<b>", NASTY), Part(curve(5, 2), "$x$", "<script>alert(1)</script>")]
    root = ET.fromstring(saved(given, "svg"))
    words = {"".join(node.itertext()).strip() for node in root.iter(SVG + "text")}
    assert {"<b>", "$x$", "<script>alert(1)</script>"} <= words
    assert not list(root.iter(SVG + "script"))


@pytest.mark.parametrize("name", sorted(set(hostile()) - {"scatter_big", "matrix_big"}))
def test_hostile_results_do_not_break_the_page(name):
    figure, _ = drawn(parts(hostile()[name], curve()))
    assert len(figure.subfigs) == 2


def test_what_does_not_fit_is_refused_with_what_to_do():
    with pytest.raises(ParameterError, match="columns"):
        drawn(parts(*[curve()] * 3), columns=0)
    with pytest.raises(ParameterError, match="panel"):
        drawn(parts(*[curve()] * 6), "poster", columns=6)
    with pytest.raises(ParameterError, match="rows"):
        drawn(parts(*[curve()] * 12), columns=1)
    with pytest.raises(ParameterError, match="widths"):
        drawn(parts(curve(), curve()), widths=(1.0,))
    with pytest.raises(ParameterError, match="0 panels"):
        drawn([])


def test_rows_columns_ratios_and_spans():
    figure, _ = drawn(parts(curve(), curve(), curve(), a=2), widths=(2.0, 1.0), heights=(1.0, 2.0))
    first, second, third = (panel.bbox for panel in figure.subfigs)
    assert first.width > 0.95 * figure.bbox.width
    assert second.width == pytest.approx(2 * third.width, rel=0.02)
    assert second.height > first.height


def test_a_slide_keeps_its_shape():
    figure, _ = drawn(parts(curve(), scatter(60, groups=3)), "slide")
    assert tuple(figure.get_size_inches()) == pytest.approx((10.0, 5.625))


def test_same_bytes_with_another_hash_seed():
    code = (
        "import sys, hashlib; sys.path.insert(0, 'tests')\n"
        "from test_composed_figures import *\n"
        "given = parts(*(ORDINARY[n] for n in ('curve_many', 'distribution_many', 'matrix', 'token_map')))\n"
        "print(hashlib.sha256(saved(given, 'svg')).hexdigest())"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-c", code]
    outputs = {
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=root,
                       env={**os.environ, "PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "77", "2000")
    }  # fmt: skip
    assert len(outputs) == 1


def test_scales_of_token_maps_are_set_too():
    maps = token_map(), token_map(values=token_map().values * 3)
    ends = [composed_keys.with_ends(one, -9.0, 9.0).ends for one in maps]
    assert ends == [(-9.0, 9.0)] * 2
    assert len(colour_bars(drawn(parts(*maps))[0])) == 1
