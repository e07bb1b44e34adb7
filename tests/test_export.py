"""Files: the same result gives the same bytes, with real text, embedded fonts and exactly the plotted numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from functools import cache

import numpy as np
import pytest
from pypdf import PdfReader
from test_figures_planted import (
    LONG,
    NASTY,
    ORIGIN,
    curve,
    gallery,
    hostile,
    matrix,
    ordinary,
    scatter,
    table,
    token_map,
)

from analysis.errors import ParameterError
from analysis.sharing.recipes import numbers_in
from dashboard.figures import export, on_paper, table_twin
from dashboard.figures.paper import paper_style
from dashboard.figures.sheet import sheet
from dashboard.figures.text import cell, markup, number, plain, power_of_ten, shorten, tex, unique

ORDINARY = ordinary()
HOSTILE = hostile()
SVG = "{http://www.w3.org/2000/svg}"


@cache
def exported(name: str, format: str) -> bytes:
    return export({**ORDINARY, **HOSTILE}[name], format)


def fonts_of(pdf: PdfReader) -> list:
    return [font.get_object() for page in pdf.pages for font in page["/Resources"].get("/Font", {}).values()]


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_pdf_has_embedded_fonts_real_text_and_the_size_asked(name):
    pdf = PdfReader(io.BytesIO(exported(name, "pdf")))
    assert len(pdf.pages) == 1
    assert float(pdf.pages[0].mediabox.width) == pytest.approx(3.5 * 72, abs=0.5)
    fonts = fonts_of(pdf)
    assert fonts
    for font in fonts:
        assert font["/Subtype"] == "/Type0"  # TrueType (42), not outlines (3)
        descriptor = font["/DescendantFonts"][0].get_object()["/FontDescriptor"]
        assert "/FontFile2" in descriptor.get_object()
    assert pdf.pages[0].extract_text().strip()
    assert "/CreationDate" not in pdf.metadata
    assert pdf.metadata.title == ORDINARY[name].title
    assert "null" in pdf.metadata.subject


@pytest.mark.parametrize(("width", "inches"), [("double", 7.2), ("slide", 10.0)])
def test_pages_have_the_width_asked(width, inches):
    pdf = PdfReader(io.BytesIO(export(ORDINARY["matrix"], "pdf", width=width)))
    assert float(pdf.pages[0].mediabox.width) == pytest.approx(inches * 72, abs=0.5)


def test_pdf_text_can_be_searched():
    text = PdfReader(io.BytesIO(exported("scatter", "pdf"))).pages[0].extract_text()
    for part in ("PC 1 (31.2 %)", "digit 9", "label"):
        assert part in text


@pytest.mark.parametrize(
    "name", sorted(set(ORDINARY) | (set(HOSTILE) - {"scatter_big", "scatter_labels", "matrix_big"}))
)
def test_svg_is_xml_with_text(name):
    root = ET.fromstring(exported(name, "svg"))
    assert root.get("width") == "252pt"
    words = ["".join(node.itertext()) for node in root.iter(SVG + "text")]
    assert words
    assert not list(root.iter(SVG + "script"))
    assert not list(root.iter(SVG + "b"))


def test_markup_in_names_is_text_in_the_svg():
    result = matrix(
        2,
        2,
        values=np.eye(2),
        row_names=("$x_1^2$", "<i>a</i>"),
        column_names=("&amp;", "a_b"),
        linkage=None,
        row_order=None,
        column_order=None,
        significant=None,
    )
    root = ET.fromstring(export(result, "svg"))
    words = {"".join(node.itertext()) for node in root.iter(SVG + "text")}
    assert {"$x_1^2$", "<i>a</i>", "&amp;", "a_b"} <= words


@pytest.mark.parametrize("format", ["pdf", "svg", "png", "csv", "tex", "json"])
@pytest.mark.parametrize(
    "name", ["scatter", "matrix", "curve", "distribution", "table", "token_map", "spectrum", "gallery"]
)
def test_same_result_same_bytes(name, format, monkeypatch):
    first = exported(name, format)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert export(ORDINARY[name], format) == first


ONE_OF_EACH = ("scatter", "matrix", "heatmap", "spectrum", "curve", "distribution", "table", "partition", "gallery",
               "token_map", "token_film", "ledger")  # fmt: skip
DIGESTS = """
import sys, hashlib
sys.path.insert(0, {tests!r})
from test_figures_planted import ordinary
from dashboard.figures import export
for name in {names!r}:
    print(name, *(hashlib.sha256(export(ordinary()[name], f)).hexdigest() for f in ("csv", "svg", "pdf", "png")))
"""


def test_same_bytes_in_another_process_elsewhere(tmp_path):
    """Another order of hashes, another place, time zone, language and date of the same figures."""
    tests = os.path.dirname(os.path.abspath(__file__))
    kinds = {type(ORDINARY[name]) for name in ONE_OF_EACH}
    assert kinds == {type(result) for result in ORDINARY.values()}
    code = DIGESTS.format(tests=tests, names=ONE_OF_EACH)
    around = (
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Auckland", "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1"},
        {"PYTHONHASHSEED": "2000", "TZ": "America/Lima", "LC_ALL": "de_DE.UTF-8", "LANG": "ja_JP.UTF-8"},
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=place,
            env={**os.environ, "PYTHONPATH": os.path.dirname(tests), **given},
        ).stdout.splitlines()
        for place, given in zip((tmp_path, "/"), around, strict=True)
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == len(ONE_OF_EACH)


def drawn_numbers(figure) -> np.ndarray:
    """Every coordinate, size and width that is drawn, rising."""
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Rectangle

    found = []
    for line in figure.findobj(lambda o: hasattr(o, "get_xydata")):
        found.append(np.asarray(line.get_xydata(), float))
    for dots in figure.findobj(PathCollection):
        found.append(np.asarray(dots.get_offsets(), float))
    found.append([[bar.get_width(), bar.get_height()] for bar in figure.findobj(Rectangle)])
    numbers = np.concatenate([np.ravel(one) for one in found])
    return np.sort(numbers[np.isfinite(numbers)])


@pytest.mark.parametrize(
    ("name", "columns"),
    [("scatter", ("PC 1 (31.2 %)", "PC 2 (12.9 %)")), ("curve", None), ("spectrum", ("eigenvalue", "null")),
     ("gallery", ("activation",)), ("partition", ("size", "stability")), ("ledger_plain", ("logit difference",))],
)  # fmt: skip
def test_the_numbers_in_the_csv_are_those_that_are_drawn(name, columns):
    result = ORDINARY[name]
    with paper_style(sheet()):
        drawn = drawn_numbers(on_paper(result))
    read = read_csv(export(result, "csv"))
    columns = columns or tuple(result.series)
    for column in columns:
        key = next(k for k in read if k == column or k.startswith(column))
        written = np.array([float(v) for v in read[key] if v])
        after = np.searchsorted(drawn, written).clip(1, len(drawn) - 1)
        off = np.minimum(abs(drawn[after] - written), abs(drawn[after - 1] - written))
        assert len(written), column
        assert (off <= 1e-6 * (1 + abs(written))).all(), (column, written[off.argmax()])


def test_threads_draw_the_same_as_one_alone():
    alone, found = export(ORDINARY["curve"], "svg"), []
    jobs = [
        threading.Thread(target=lambda w=w: found.append((w, export(ORDINARY["curve"], "svg", width=w))))
        for w in ("single", "slide", "single", "double")
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert all(data == alone for width, data in found if width == "single")


def test_a_users_settings_change_nothing():
    import matplotlib

    alone = export(ORDINARY["curve"], "pdf")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "pdf.fonttype": 3}):
        assert export(ORDINARY["curve"], "pdf") == alone
        assert matplotlib.rcParams["font.size"] == 30


def test_points_above_3000_are_an_image_inside_the_vector_file():
    big = exported("scatter_big", "pdf")
    assert len(big) < 3 << 20
    page = PdfReader(io.BytesIO(big)).pages[0]
    assert len(page.images) >= 1
    assert "PC 1" in page.extract_text()
    assert not PdfReader(io.BytesIO(export(scatter(2900), "pdf"))).pages[0].images
    assert len(export(HOSTILE["scatter_big"], "svg")) < 3 << 20


def read_csv(data: bytes) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(data.decode("utf-8"))))
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


@pytest.mark.parametrize("name", sorted(set(ORDINARY) - {"gallery"}))
def test_csv_gives_the_arrays_back(name):
    twin, read = table_twin(ORDINARY[name]), read_csv(export(ORDINARY[name], "csv"))
    assert list(read) == list(twin)
    for key, column in twin.items():
        if column.dtype.kind == "f":
            back = np.array([v or "nan" for v in read[key]], dtype=column.dtype)
            assert np.array_equal(back, column, equal_nan=True), key
        else:
            assert read[key] == [str(v) for v in column.tolist()], key


def test_csv_has_the_colour_that_was_given():
    result, colour = scatter(20), np.linspace(0, 1, 20)
    read = read_csv(export(result, "csv", colour=colour, colour_name="depth", width="double"))
    assert np.array_equal(np.array(read["depth"], float), colour)


def test_csv_runs_no_formula():
    names = [
        "=SUM(1)",
        "+1+1",
        "-2+3",
        "@cmd",
        "\t=1",
        "-1",
        "1e5",
        "plain",
        "a,b",
        'say "so"',
        "two\nlines",
        "  =1",
    ]
    result = table(1, columns={"=evil()": np.array(names), "x": np.arange(12.0) - 6}, sort="")
    rows = list(csv.reader(io.StringIO(export(result, "csv").decode())))
    assert rows[0] == ["'=evil()", "x"]
    assert [row[0] for row in rows[1:]] == [
        "'=SUM(1)",
        "'+1+1",
        "'-2+3",
        "'@cmd",
        "'\t=1",
        *names[5:11],
        "'  =1",
    ]
    assert [float(row[1]) for row in rows[1:]] == list(np.arange(12.0) - 6)
    assert cell("－1+1") == "'－1+1"


def test_csv_survives_every_hostile_result():
    for name in set(HOSTILE) - {"matrix_big", "scatter_big"}:
        data = export(HOSTILE[name], "csv")
        assert list(csv.reader(io.StringIO(data.decode("utf-8"))))


def test_matrix_csv_long_carries_significance():
    read = read_csv(export(matrix(), "csv", layout="long"))
    assert len(read["row"]) == 24 * 24
    assert set(read["significant"]) == {"True", "False"}


def test_latex_is_escaped_and_booktabs():
    result = table(
        2, columns={"50% & more_$": np.array(["a_b#1", "~^\\{}<x>"]), "n": np.array([1, 2])}, sort=""
    )
    text = export(result, "tex").decode()
    for part in (
        r"\shortstack{50\% \&\\more\_\$}",
        r"a\_b\#1",
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}",
        r"\textless{}x\textgreater{}",
        "\\toprule",
        "\\midrule",
        "\\bottomrule",
        r"\begin{tabular}{lr}",
    ):
        assert part in text, part
    assert "seed 7" in text
    body = export(scatter(), "tex").decode()
    assert "trustworthiness" in body
    assert r"$-$" in export(matrix(4, 4), "tex").decode()


def test_recipe_is_the_origins():
    recipe = json.loads(export(scatter(), "json", width="double"))
    assert recipe["method"] == "pca"
    assert recipe["inputs"][0]["digest"].startswith("9f2c")
    assert recipe["figure"] == {"width": "double"}
    assert "figure" not in json.loads(export(scatter(), "json"))
    alone = json.loads(export(scatter(origin=None), "json", width="double"))
    assert "method" not in alone  # nothing made it, so that the recipe holds what is plotted
    assert alone["figure"] == {"width": "double"}
    assert np.array_equal(numbers_in(alone).positions, scatter().positions)
    with pytest.raises(ParameterError, match="gif"):
        export(scatter(), "gif")


def test_png_has_the_pixels_asked():
    from PIL import Image

    image = Image.open(io.BytesIO(export(ORDINARY["curve"], "png", width="double", dpi=100)))
    assert image.size[0] == 720
    assert "Accuracy of a linear probe" in image.text["Title"]


def test_null_strip_on_paper():
    for width in ("single", "double", "slide"):
        text = (
            PdfReader(io.BytesIO(export(scatter(), "pdf", part="estimates", width=width)))
            .pages[0]
            .extract_text()
        )
        assert "trustworthiness" in text
        assert "null 0.502" in text
    assert read_csv(export(scatter(), "csv", part="estimates"))["n"] == ["1797"] * 4
    with pytest.raises(ParameterError):
        on_paper(scatter(), part="whole")


def test_gallery_of_pictures(rng):
    result = gallery(3, 20)
    pictures = {int(row): rng.random((8, 8)) for rows in result.groups.values() for row in rows}
    data = export(result, "pdf", width="double", pictures=pictures)
    assert PdfReader(io.BytesIO(data)).pages[0].images
    assert export(result, "pdf", width="double", pictures=pictures) == data


def test_tokens_are_written_under_a_single_sample():
    tokens = [[f"w{i}" for i in range(19)]]
    text = export(token_map(1, grid=None), "svg", width="double", tokens=tokens).decode()
    assert ">w18<" in text


@pytest.mark.parametrize("value", [NASTY, LONG, "", "\ud800 lone", "ünïcode 漢字"])
def test_text_functions_never_fail(value):
    for turn in (plain, markup, tex, cell):
        turn(value)
    assert len(shorten(value, 10)) <= 10
    assert not set(plain(value)) & {"\x00", "\x07", "\n", "\u202e"}
    assert "<" not in markup(value)


def test_numbers_for_people():
    shown = [number(v) for v in (1234567, -0.5, 0.000123456, 12345.6, np.nan, np.inf, None, 2.0)]
    assert shown == ["1,234,567", "−0.5", "0.000123", "12,346", "not a number", "∞", "not known", "2"]
    assert [number(v, padded=True) for v in (5.0, -1.0, 0.85)] == ["5.00", "−1.00", "0.850"]
    assert [power_of_ten(v) for v in (1e-4, 0.1, 10, 3e5, 1e6)] == ["10⁻⁴", "0.1", "10", "3×10⁵", "10⁶"]
    assert unique(["a", "a", "a (2)", "a", "b"]) == ["a", "a (2)", "a (2) (2)", "a (3)", "b"]


@pytest.mark.parametrize("format", ["pdf", "csv", "tex", "json"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scatter", {"colr": "label"}), ("scatter", {"point_size": "big"}), ("scatter", {"dpi": 10**7}),
        ("matrix", {"aggregate": "median"}), ("curve", {"log": True}), ("spectrum", {"log": "yes"}),
        ("distribution", {"mode": "pile"}), ("table", {"rows": -1}), ("matrix", {"width": ["single"]}),
        ("scatter", {"greyscale": 1}), ("scatter", {"part": "all"}),
    ],
)  # fmt: skip
def test_unknown_options_are_refused_in_every_format(name, options, format):
    with pytest.raises(ParameterError) as refused:
        export(ORDINARY[name], format, **options)
    assert next(iter(options)) in refused.value.found
    assert refused.value.expected


def test_a_long_latex_table_says_that_it_was_cut():
    text = export(table(500), "tex").decode()
    told = re.search(r"first (\d+) of 500 rows", text.split("\\caption{")[1].split("\n")[0])
    assert told
    assert int(told[1]) == text.split("\\midrule")[1].split("\\bottomrule")[0].count("\\\\\n")


def test_tables_of_pages_run_no_formula():
    """The browser saves a table as it is shown."""
    from dashboard.table_cells import safe

    evil = ["=SUM(1)", "-2+3", "@cmd", "a", "-", "", "-1.5", None, 3, "  =1", "\t=1"]
    good = ["'=SUM(1)", "'-2+3", "'@cmd", "a", "-", "", "-1.5", None, 3, "'  =1", "'\t=1"]
    assert safe([{"Name": v, "=n": 1} for v in evil]) == [{"Name": v, "'=n": 1} for v in good]
    assert safe({"Name": evil, "x": [1.0, -1.0]}) == {"Name": good, "x": [1.0, -1.0]}
    plain = np.array(["a", "b"])
    assert safe({"Name": plain})["Name"] is plain
    assert list(safe({"Name": np.array(["a", "=b()"])})["Name"]) == ["a", "'=b()"]
    assert safe("anything else") == "anything else"


def test_every_table_of_a_page_goes_that_way():
    import ast
    from pathlib import Path

    found = {}
    for path in (Path(__file__).parents[1] / "dashboard").rglob("*.py"):
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            where = getattr(getattr(call.func, "value", None), "id", "")
            if where in ("st", "left", "right") and call.func.attr in ("dataframe", "table", "data_editor"):
                found[f"{path.name}:{call.lineno}"] = ast.unparse(call.args[0]).startswith(
                    "table_cells.safe("
                )
    assert len(found) >= 15
    assert [at for at, fine in found.items() if not fine] == []


def test_heads_of_latex_tables_break_where_words_end():
    from dashboard.figures.latex import _lines

    assert _lines("vit.layernorm", 10) == ["vit.", "layernorm"]
    assert _lines("vit.layers.3", 10) == ["vit.", "layers.3"]
    assert _lines("standard deviation", 10) == ["standard", "deviation"]
    assert _lines("a b", 10) == ["a b"]
    assert _lines("abcdefghijklm", 10) == ["abcdefghij", "klm"], "one word that is too long is cut"


def test_files_are_called_by_what_was_run_on_what():
    from dashboard.parts.export_menu import file_stem

    def of(*names):
        return file_stem(curve(origin=dataclasses.replace(ORIGIN, inputs=tuple({"name": n} for n in names))))

    assert of("digits:vit.layers.2") == "pca-digits-vit.layers.2"
    assert of(*(f"digits:vit.layers.{i}" for i in range(12))) == "pca-digits-12-taps"
    assert of(*(f"{'ab'[i % 2]}:vit.layers.{i}" for i in range(12))) == "pca-a-b-12-taps"
    assert file_stem(curve(origin=None, title="Values of unit 3 of a:b")) == "curve-Values-of-unit-3-of-a-b"
    assert len(of("x" * 300)) <= 120
