"""Figures for print: the letters asked for, fonts inside the files, numbers as they are, and what grey loses."""

from __future__ import annotations

import base64
import csv
import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import nullcontext
from itertools import combinations

import numpy as np
import pyarrow.parquet
import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader
from streamlit.testing.v1 import AppTest
from test_figures_planted import curve, gallery, matrix, scatter, table

from analysis.errors import ParameterError
from dashboard import cli
from dashboard.commands import figure_options
from dashboard.commands.output import write_figure
from dashboard.figures import export, grey_check, on_paper, pdf_fonts, saving, table_twin
from dashboard.figures.grey import lightness, series_looks
from dashboard.figures.style import OKABE_ITO, ON_WHITE, RASTER_ABOVE
from dashboard.figures.text import cell, tex

SVG = "{http://www.w3.org/2000/svg}"
FEW = scatter(60, groups=3)


def sizes_in(svg: bytes) -> Counter:
    """Text sizes in points: the drawing's unit is the point, as its width in points and its view box agree."""
    root = ET.fromstring(svg)
    assert root.get("width") == root.get("viewBox").split()[2] + "pt"
    styles = [node.get("style") for node in root.iter(SVG + "text")]
    return Counter(float(re.search(r"font-size: ([\d.]+)px", style)[1]) for style in styles)


@pytest.mark.parametrize(("look", "names"), [({"width": "poster"}, 24.0), ({"font_size": 9.5}, 9.5)])
def test_text_has_the_size_asked_as_printed(look, names):
    assert set(sizes_in(export(FEW, "svg", **look))) == {names, names - 0.5}
    page = PdfReader(io.BytesIO(export(FEW, "pdf", **look))).pages[0]
    assert float(page.mediabox.width) == pytest.approx({24.0: 16, 9.5: 3.5}[names] * 72, abs=0.5)
    found = set()
    page.extract_text(visitor_text=lambda text, _, at, __, size: text.strip() and found.add(size * at[3]))
    assert {round(size, 2) for size in found if size} == {names, names - 0.5}


def test_letters_without_room_and_images_without_end_are_refused():
    for look, word in (({"font_size": 31}, "30 points"), ({"width": "poster", "dpi": 800}, "750 dpi")):
        with pytest.raises(ParameterError) as refused:
            on_paper(FEW, **look)
        assert word in refused.value.expected
    with pytest.raises(ParameterError, match="Comic"):
        on_paper(FEW, font="Comic")


@pytest.mark.parametrize(("font", "face"), [("sans", "DejaVuSans"), ("serif", "STIXGeneral")])
def test_the_fonts_are_inside_the_pdf(font, face, tmp_path):
    data = export(FEW, "pdf", font=font)
    fonts = [f.get_object() for f in PdfReader(io.BytesIO(data)).pages[0]["/Resources"]["/Font"].values()]
    assert {str(f["/BaseFont"]).split("+")[1].split("-")[0] for f in fonts} == {face}
    inside = [f["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object() for f in fonts]
    assert all(len(one["/FontFile2"].get_object().get_data()) > 500 for one in inside)
    if shutil.which("pdffonts"):
        (tmp_path / "a.pdf").write_bytes(data)
        said = subprocess.run(
            ["pdffonts", tmp_path / "a.pdf"], capture_output=True, text=True, check=True
        ).stdout
        assert all(line.split()[-5] == "yes" for line in said.splitlines()[2:])


def test_the_fonts_inside_the_svg_hold_every_character_that_is_written():
    result = scatter(40, groups=2, axes=("size ≤ 10⁻³", "漢 −α"), title="bold <title>")
    data = export(result, "svg", font="serif", title=True)
    root, faces = ET.fromstring(data), {}
    rules = re.findall(r"@font-face\{([^}]*)\}", "".join(node.text for node in root.iter(SVG + "style")))
    for rule in rules:
        packed = re.search(r"base64,([A-Za-z0-9+/=]+)\)", rule)[1]
        name = re.search(r"family:'([^']+)';font-weight:(\d+)", rule).groups()
        faces[name] = set(TTFont(io.BytesIO(base64.b64decode(packed))).getBestCmap())
    for node in root.iter(SVG + "text"):
        style, written = node.get("style"), {ord(c) for c in "".join(node.itertext())} - {ord("漢")}
        weight = (re.search(r"font-weight: (\d+)", style) or [0, "400"])[1]
        families = re.findall(r"'([^']+)'", style.split("font-family")[1])
        assert written <= set().union(*(faces.get((family, weight), set()) for family in families)), style
    assert "size ≤ 10⁻³" in {"".join(node.itertext()) for node in root.iter(SVG + "text")}
    assert data == export(result, "svg", font="serif", title=True)


def glyphs_of(data: bytes) -> dict:
    """{(font, character): its outline's points, its width} of a PDF, through its own maps."""
    found = {}
    for one in PdfReader(io.BytesIO(data)).pages[0]["/Resources"]["/Font"].values():
        font = one.get_object()
        below = font["/DescendantFonts"][0].get_object()
        file = TTFont(io.BytesIO(below["/FontDescriptor"].get_object()["/FontFile2"].get_object().get_data()))
        places = below["/CIDToGIDMap"].get_object().get_data()
        words = font["/ToUnicode"].get_object().get_data().decode("latin1")
        for first, last, to in re.findall(r"<(\w+)> <(\w+)>\s+\[?<(\w+)>", words):
            for at in range(int(first, 16), int(last, 16) + 1):
                name = file.getGlyphName(int.from_bytes(places[2 * at : 2 * at + 2], "big"))
                points = file["glyf"][name].getCoordinates(file["glyf"])[0]
                said = str(font["/BaseFont"]).split("+")[1], int(to, 16) + at - int(first, 16)
                found[said] = list(points), file["hmtx"][name][0]
    return found


@pytest.mark.parametrize("font", ["sans", "serif"])
def test_the_glyphs_inside_the_pdf_are_those_of_the_whole_font(font, monkeypatch):
    result = scatter(40, groups=2, axes=("size ≤ 10⁻³ fi", "Ångström −α"), title="AVATAR ffi é")
    ours = export(result, "pdf", font=font, title=True)
    assert export(result, "pdf", font=font, title=True) == ours
    pdf_fonts._cut.cache_clear()
    assert export(result, "pdf", font=font, title=True) == ours, "what is kept is what is made"
    monkeypatch.setattr(saving, "own_cut", nullcontext)
    whole = export(result, "pdf", font=font, title=True)
    assert glyphs_of(ours) == glyphs_of(whole)
    assert len(glyphs_of(ours)) > 25
    assert len(ours) < len(whole)
    texts = [PdfReader(io.BytesIO(data)).pages[0].extract_text() for data in (ours, whole)]
    assert texts[0] == texts[1]


def images_of(result, **look) -> list:
    return list(PdfReader(io.BytesIO(export(result, "pdf", **look))).pages[0].images)


def test_any_panel_with_too_many_points_is_an_image_at_the_dpi_asked():
    few, many = (
        gallery(1, n, values={"band 0": np.arange(float(n))}) for n in (RASTER_ABOVE, RASTER_ABOVE + 1)
    )
    assert not images_of(few)
    (coarse,), (fine,) = images_of(many, dpi=100), images_of(many, dpi=200)
    assert fine.image.width / coarse.image.width == pytest.approx(2, abs=0.03)
    assert 200 < coarse.image.width <= 350  # of 3.5 inches
    assert "band 0" in PdfReader(io.BytesIO(export(many, "pdf", dpi=100))).pages[0].extract_text()


def test_parquet_holds_what_is_plotted_and_repeats():
    data, twin = export(FEW, "parquet"), table_twin(FEW)
    back = pyarrow.parquet.read_table(io.BytesIO(data)).to_pydict()
    assert list(back) == list(twin)
    for name, values in twin.items():
        assert back[name] == values.tolist(), name
    assert export(FEW, "parquet") == data
    named = table(1, columns={"=x": np.array(["=1+1", "\ud800"]), "y": np.array([np.nan, -2.0])}, sort="")
    back = pyarrow.parquet.read_table(io.BytesIO(export(named, "parquet")))
    assert back["=x"].to_pylist() == ["=1+1", "?"]
    assert np.isnan(back["y"].to_pylist()[0])


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_matrix_drawn_beyond_its_null_is_written_so(layout):
    null = np.linspace(-0.2, 0.2, 36).reshape(6, 6)
    result = matrix(6, 6, null=null)
    rows = list(csv.reader(io.StringIO(export(result, "csv", layout=layout, show="excess").decode())))
    order = np.arange(6) if result.row_order is None else np.asarray(result.row_order)
    asked = (np.asarray(result.values) - null)[np.ix_(order, order)]
    found = [row[-1] for row in rows[1:]] if layout == "long" else [row[1:] for row in rows[1:]]
    assert np.array_equal(np.array(found, float).reshape(6, 6), asked)


ATTACKS = (
    "=1+1", "a\r=1", "a;=1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "\u00a0=1",
    "\ufeff=1", "-inf", "+1_0", "＝1", "\n-1",
)  # fmt: skip


def test_no_cell_of_text_is_a_formula_and_no_number_is_changed():
    safe = [text if text.startswith("a") else "'" + text for text in ATTACKS]
    assert [cell(text) for text in ATTACKS] == safe
    assert [cell(text) for text in ("-1", "+2.5e-3", "-.5", "a=1", "")] == ["-1", "+2.5e-3", "-.5", "a=1", ""]
    numbers = np.array([-1.5, -np.inf, 1e-300, *np.arange(12.0)])
    result = table(1, columns={"@name": np.array(ATTACKS), "x": numbers}, sort="")
    rows = list(csv.reader(io.StringIO(export(result, "csv").decode(), newline="")))
    assert [row[0] for row in rows] == ["'@name", *safe]
    assert b',"' not in export(result, "csv")  # no number in quotes
    assert all(f'"{text}"'.encode() in export(result, "csv") for text in ("a\r=1", "a;=1", "'\t=1", "'\r=1"))
    assert [float(row[1]) for row in rows[1:]] == numbers.tolist()


def test_no_text_is_a_command_of_latex():
    names = ["[2pt]", "*", r"\input{/etc/passwd}", r"^^5cinput", "a--b", "$$x$$", "``q''", "%", "~"]
    body = export(table(1, columns={"name": np.array(names), "n": np.arange(9)}, sort=""), "tex").decode()
    rows = body.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert not [row for row in rows if row.startswith(("[", "*"))]
    assert rows[2].startswith(r"\textbackslash{}input\{/etc/passwd\} ")
    assert rows[3].startswith(r"\textasciicircum{}\textasciicircum{}5cinput")
    left = re.sub(r"\\(textbackslash|textasciicircum|textasciitilde|[{}$%&#_\\])", "", "".join(rows))
    assert not set(left) & set("\\$%#_^~")
    assert tex("a--b ``q''") == "a-{}-b `{}`q'{}'"


def test_the_grey_check_names_what_looks_the_same_in_grey():
    series = {name: np.arange(5.0) + i for i, name in enumerate(("green", "orange", "first"))}
    three = curve(5, 0, series=series, null={}, low={}, high={})
    (said,) = grey_check(three)
    assert "green and orange" in said
    assert grey_check(three, greyscale=True) == ()
    many = {f"s {i}": np.arange(5.0) + i for i in range(20)}
    crowd = curve(5, 0, series=many, null={}, low={}, high={})
    assert len(series_looks(on_paper(crowd, greyscale=True))) >= 20
    assert grey_check(crowd, greyscale=True) == ()
    assert grey_check(scatter(400, groups=20), greyscale=True) == ()
    assert any("sign" in text for text in grey_check(matrix(5, 5)))
    assert grey_check(scatter(60, colour="loss")) == ()
    known = {"white": 100.0, "black": 0.0, "#777777": 50.03, "#ff0000": 53.24}
    assert {name: pytest.approx(lightness(name), abs=0.02) for name in known} == known


SEEN = {  # Machado, Oliveira and Fernandes 2009, severity 1, in linear light
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}


def nearest(colours, seen) -> float:
    """The smallest distance in CIE Lab of two colours as somebody sees them."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.array(seen).T
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear, 0, 1) @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(lab, 2))


@pytest.mark.parametrize("sight", sorted(SEEN))
def test_the_colours_of_categories_are_told_apart_by_the_colour_blind(sight):
    assert nearest(OKABE_ITO, SEEN[sight]) > 10
    assert nearest(ON_WHITE, SEEN[sight]) > 10
    taken_for_green = {"protanopia": "#e4882c", "deuteranopia": "#84882c"}[sight]
    assert nearest((taken_for_green, "#2ca02c"), SEEN[sight]) < 10


def test_the_command_line_prints_as_asked(tmp_path, capsys):
    out = tmp_path / "a.svg"
    flags = "--width double --font-size 9 --font serif --dpi 150 --greyscale --no-title --part figure --check-grey"
    given = cli.build_parser().parse_args(["render", "recipe.json", "--out", str(out), *flags.split()])
    look = {"width": "double", "font_size": 9.0, "font": "serif", "dpi": 150.0, "greyscale": True, "title": False,
            "part": "figure"}  # fmt: skip
    assert figure_options.of(given) == look
    write_figure(given, FEW, {"title": True, "width": "slide"})
    assert out.read_bytes() == export(FEW, "svg", **look)
    assert capsys.readouterr().err == ""
    given = cli.build_parser().parse_args(
        ["run", "pca", "a:b", "--out", str(tmp_path / "a.csv"), "--check-grey"]
    )
    write_figure(given, FEW, {})
    assert "digit 0" in capsys.readouterr().err


def test_the_menu_asks_how_to_print_and_the_url_keeps_it():
    def page():
        import streamlit as st
        from test_figures_planted import scatter

        from dashboard.parts import export_menu

        result = scatter(60, groups=3, origin=None)
        st.code(repr(export_menu.sheet_form(result, "t")))
        export_menu.in_grey(result)

    at = AppTest.from_function(page).run(timeout=30)
    assert not at.exception, at.exception
    assert at.code[0].value == "{'width': 'single'}"
    assert "In grey" in at.caption[0].value
    for name, value in {"width": "poster", "font": "serif", "pt": "30", "dpi": "99999", "grey": "1"}.items():
        at.query_params[name] = value
    at.run(timeout=30)
    asked = {"width": "poster", "font": "serif", "font_size": 30.0, "greyscale": True}
    assert at.code[0].value == repr(asked)
    export(FEW, "csv", **asked)
