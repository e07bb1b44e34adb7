"""Every kind of result on screen and on paper: drawn from float32 arrays, text as text, and never a crash."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time

import numpy as np
import pytest
from test_figures_planted import (
    ESTIMATES,
    NASTY,
    curve,
    distribution,
    hostile,
    matrix,
    ordinary,
    scatter,
    table,
)

from analysis.errors import LoupeError, NotFound, ParameterError, ShapeError
from analysis.results import Curve
from dashboard.figures import alt_text, caption, estimates_table, null_strip, on_paper, on_screen, table_twin
from dashboard.figures.colours import colouring
from dashboard.figures.labels import label_heights
from dashboard.figures.style import DARK, LIGHT

EVERY = {**ordinary(), **hostile()}
POINT_KEYS = ("x", "y", "z", "customdata")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", sorted(EVERY))
def test_on_screen_draws_or_says_why_not(name, theme):
    figure = on_screen(EVERY[name], theme=theme)
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert "Source Sans Pro" in figure.layout.font.family
    assert len(figure.data) > 0 or len(figure.layout.annotations) > 0
    text = figure.to_json()
    assert "<b>bold" not in text.replace("&lt;", "")
    assert "$x_1" not in text
    assert "%{y} a_b" not in text
    for trace in figure.data:
        for key in POINT_KEYS:
            values = getattr(trace, key, None)
            if values is not None:
                assert isinstance(values, np.ndarray), (trace.type, key)
                assert values.dtype in (np.float32, np.int32), (trace.type, key, values.dtype)


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(
    "name", sorted(set(EVERY) - {"scatter_big", "scatter_labels", "matrix_big", "spectrum_long"})
)
def test_on_paper_draws_at_the_width_asked(name):
    width = "slide" if name in ordinary() else "double"  # single columns are drawn by the SVG tests
    figure = on_paper(EVERY[name], width=width, greyscale=True)
    assert figure.get_figwidth() == {"double": 7.2, "slide": 10.0}[width]
    assert 0.3 < figure.get_figheight() <= (5.7 if width == "slide" else 9.0)
    figure.draw_without_rendering()


@pytest.mark.parametrize("name", sorted(EVERY))
def test_words_and_twin_of_everything(name):
    result = EVERY[name]
    text = alt_text(result)
    assert text
    assert "\x00" not in text
    assert "nan" not in text.lower().replace(NASTY.lower(), "").split()
    assert "null" in text
    assert "seed 7" in caption(result)
    assert "9f2c1e77aa01" in caption(result)
    lengths = {len(column) for column in table_twin(result).values()}
    assert len(lengths) <= 1


def test_alt_text_says_kind_axes_n_range_and_null():
    text = alt_text(scatter())
    for part in ("Scatter plot of 1,797 rows", "PC 1 (31.2 %), from", "10 categories", "trustworthiness: 0.934",
                 "95% interval 0.921 to 0.947", "null 0.502, range 0.49 to 0.515", "n = 1,797", "d = 64",
                 "KL divergence: 1.94 nat (no interval; null not known; n = 1,797; exact)"):  # fmt: skip
        assert part in text, part
    assert "neighbourhoods" in alt_text(scatter(meaningful_axes=False))
    assert "(the null)" in alt_text(matrix())


def test_scatter_is_webgl_above_2000_points_and_knows_every_row():
    assert {trace.type for trace in on_screen(scatter(1999)).data} == {"scatter"}
    figure = on_screen(scatter(100_000))
    assert {trace.type for trace in figure.data} == {"scattergl"}
    rows = np.sort(np.concatenate([trace.customdata for trace in figure.data]))
    assert np.array_equal(rows, np.arange(100_000))


def test_scatter_of_many_points_is_built_at_once():
    result = scatter(100_000, colour="loss")
    on_screen(result)
    begun = time.perf_counter()
    on_screen(result)
    assert time.perf_counter() - begun < 1.0  # about 30 ms alone; the bound only catches a loop over points


def test_unselected_points_stay_dimmed_and_countable():
    result = scatter(500)
    chosen = result.columns["label"] == "digit 3"
    for options in ({"selected": chosen}, {"dimmed": ~chosen}, {"selected": np.flatnonzero(chosen)}):
        figure = on_screen(result, **options)
        faint = next(trace for trace in figure.data if trace.name == "not selected")
        assert len(faint.x) == (~chosen).sum()
        assert sum(len(trace.x) for trace in figure.data) == 500
        assert figure.data[0] is faint  # below the others
        assert f"{chosen.sum()} of 500" in figure.layout.title.text
    with pytest.raises(ShapeError):
        on_screen(result, selected=np.ones(3, bool))
    assert "not selected" not in [trace.name for trace in on_screen(result, selected=[]).data]


def test_colour_by_column_array_or_nothing():
    result = scatter(100)
    assert len(on_screen(result, colour="").data) == 1
    figure = on_screen(result, colour=np.linspace(-1, 1, 100), colour_name="sign")
    marker = figure.data[0].marker
    assert (marker.cmin, marker.cmax) == (-1, 1)
    assert marker.colorscale[5][1] == LIGHT.diverging[5]
    assert marker.colorbar.title.text == "sign"
    with pytest.raises(NotFound, match="label, loss"):
        on_screen(result, colour="lable")
    with pytest.raises(ShapeError):
        on_screen(result, colour=np.ones(3))
    assert (
        on_screen(result, hover=[f"row {i} {NASTY}" for i in range(100)])
        .data[0]
        .hovertext[0]
        .count("&lt;b&gt;")
        == 1
    )


def test_at_most_twenty_categories_and_the_rest_is_said():
    found = colouring(np.array([f"c{i % 300}" for i in range(3000)] + ["c7"] * 50), "class")
    assert len(found.labels) == 20
    assert found.labels[-1] == "other (281 values)"
    assert "c7" in found.labels
    assert sum(found.counts) == 3050
    for result in (EVERY["scatter_labels"], EVERY["curve_many"], EVERY["distribution_many"]):
        shown = {t.name for t in on_screen(result).data if t.showlegend is not False}
        assert len(shown) <= 22
        assert any(name.startswith("other (") for name in shown)


def test_missing_labels_are_grey_and_named():
    found = colouring(np.array(["a", "", "nan", "b"]), "label")
    assert found.codes.tolist() == [0, -1, -1, 1]
    figure = on_screen(EVERY["scatter_missing"])
    grey = next(trace for trace in figure.data if trace.name == "no label")
    assert grey.marker.color == LIGHT.missing
    assert len(grey.x) == 100


@pytest.mark.parametrize(
    ("values", "kind"),
    [(np.arange(5), "category"), (np.arange(50), "value"), (np.ones(3), "value"), (np.array([True, False]), "category"),
     (np.array(["x", None], dtype=object), "category")],
)  # fmt: skip
def test_what_counts_as_a_category(values, kind):
    assert colouring(values).kind == kind


def test_axes_without_meaning_have_no_numbers():
    figure = on_screen(scatter(meaningful_axes=False))
    assert figure.layout.xaxis.showticklabels is False
    assert figure.layout.yaxis.scaleanchor == "x"
    assert "only neighbourhoods mean something" in figure.layout.title.text
    axes = on_paper(scatter(meaningful_axes=False)).axes[0]
    assert len(axes.get_xticks()) == 0


def test_equal_aspect_only_for_comparable_axes():
    assert on_screen(scatter()).layout.yaxis.scaleanchor == "x"
    assert on_screen(scatter(axes=("mean", "sd"))).layout.yaxis.scaleanchor is None


def test_matrix_is_drawn_in_its_order_and_fades_what_is_not_significant():
    result = matrix()
    figure = on_screen(result)
    drawn = result.values[np.ix_(result.row_order, result.column_order)]
    faded, sure = (t.z for t in figure.data if t.type == "heatmap")
    assert np.allclose(np.where(np.isnan(sure), faded, sure), drawn, atol=1e-6)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 1)
    assert list(figure.layout.yaxis.ticktext) == [f"unit {i}" for i in result.row_order]
    band = figure.layout.shapes[0]
    assert (band.y0, band.y1) == pytest.approx((0.345, 0.655))
    assert on_screen(matrix(70, 61)).layout.yaxis.showticklabels is False


def test_a_matrix_without_a_significant_cell_keeps_its_scale():
    """Plotly draws no scale for a trace without a value; one that all share is drawn for those that have some."""
    result = matrix()
    figure = on_screen(dataclasses.replace(result, significant=np.zeros_like(result.values, bool)))
    drawn = [t for t in figure.data if t.type == "heatmap" and np.isfinite(np.asarray(t.z, float)).any()]
    assert [t.coloraxis for t in drawn] == ["coloraxis"]
    assert drawn[0].showscale is not False
    assert figure.layout.coloraxis.colorbar.title.text


@pytest.mark.parametrize(
    ("x", "ticks"),
    [
        ([1, 2, 5, 10, 50], ["1", "2", "5", "10", "20", "50"]),
        ([0.02, 0, 0.3], ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
    ],
)
def test_a_log_axis_has_plain_numbers(x, ticks):
    result = Curve(
        title="t", x=np.array(x, float), series={"a": np.arange(len(x))}, x_name="x", y_name="y", log_x=True
    )
    axis = on_screen(result).layout.xaxis
    assert axis.type == "log"
    assert list(axis.ticktext) == ticks
    assert list(axis.tickvals) == pytest.approx([float(t) for t in ticks])


def test_a_log_axis_of_many_decades_has_powers():
    x = np.geomspace(1, 1e8, 20)
    result = Curve(title="t", x=x, series={"a": x}, x_name="x", y_name="y", log_x=True)
    assert on_screen(result).layout.xaxis.dtick == 1


def test_large_matrices_are_gathered_and_say_so():
    result = EVERY["matrix_big"]
    figure = on_screen(result)
    assert figure.data[0].z.shape == (600, 700)
    assert "the strongest |value| of 2 × 3 cells" in figure.layout.title.text
    z = np.where(np.isnan(figure.data[1].z), figure.data[0].z, figure.data[1].z)
    block = result.values[:2, :3].ravel()
    assert z[0, 0] == pytest.approx(block[np.abs(block).argmax()], rel=1e-6)
    sure = f"{int(np.sum(result.significant)):,} of {result.values.size:,} cells significant"
    assert sure in figure.layout.title.text.replace("<br>", " ")  # cells, not the blocks they are gathered in
    mean = on_screen(result, aggregate="mean")
    assert np.nansum([t.z[0, 0] for t in mean.data]) == pytest.approx(block.mean(), rel=1e-5)


def test_spectrum_brackets_what_is_not_resolved():
    figure = on_screen(EVERY["spectrum"])
    bracket = next(trace for trace in figure.data if trace.name == "not resolved")
    assert np.nanmin(bracket.x) == pytest.approx(4.8)
    assert np.nanmax(bracket.x) == pytest.approx(14.2)
    assert figure.layout.yaxis.type == "log"
    assert on_screen(EVERY["spectrum"], log=False).layout.yaxis.type == "linear"
    assert "components 5 to 7, 10 to 14" in alt_text(EVERY["spectrum"])


def test_direct_labels_keep_clear_of_each_other(rng):
    values = rng.normal(size=8) * 0.01
    heights = label_heights(values, (-1.0, 1.0), 0.05)
    assert np.diff(np.sort(heights)).min() >= 0.1 - 1e-9
    assert np.array_equal(np.argsort(heights), np.argsort(values))
    assert heights.mean() == pytest.approx(values.mean())
    assert np.array_equal(label_heights([0.0, 0.5], (0, 1), 0.05), [0.0, 0.5])
    assert label_heights([0.0, 0.0, 0.0], (0, 1), 0.05).min() >= 0  # a name below the axis would not be drawn


def test_places_below_zero_are_left_out_on_a_log_axis():
    figure = on_screen(EVERY["curve_log"])
    assert all(np.isnan(trace.x[0]) and (trace.x[1:] > 0).all() for trace in figure.data)
    assert "not drawn" in figure.layout.title.text


def test_stacked_distribution_adds_up():
    result = distribution(6, null=None, markers={})
    total = sum(result.counts.values())
    lines = [trace for trace in on_screen(result).data if trace.customdata is not None]
    assert np.array_equal(lines[-1].y[::2], total.astype(np.float32))
    overlaid = [t for t in on_screen(result, mode="overlay").data if t.customdata is not None]
    assert np.array_equal(overlaid[-1].y, overlaid[-1].customdata)
    assert on_screen(result, log_y=True).layout.yaxis.type == "log"


def test_table_shows_200_rows_and_says_so():
    figure = on_screen(table(300))
    assert len(figure.data[0].cells.values[0]) == 200
    assert "200 of 300" in figure.layout.title.text
    assert table_twin(table(300))["sd"][0] == table(300).columns["sd"].max()


def parts_of_strip(html: str, kind: str) -> list[tuple[float, float | None]]:
    """Left end and width, in per cent of the line, of every part of one kind."""
    found = re.findall(
        rf"data-part='{kind}' style='position:absolute;left:([-\d.]+)%;(?:width:([\d.]+)%)?", html
    )
    return [(float(left), float(wide) if wide else None) for left, wide in found]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_null_strip_draws_value_interval_and_null(theme):
    html = null_strip(scatter(), theme)
    assert len(parts_of_strip(html, "line")) == len(parts_of_strip(html, "value")) == len(ESTIMATES)
    assert len(parts_of_strip(html, "null-band")) == 2
    e = ESTIMATES[0]  # a share, so its line runs from 0 to the greatest of its numbers
    top = max(v for v in (e.value, e.high, e.null, e.null_high) if v is not None)
    assert parts_of_strip(html, "value")[0][0] == pytest.approx(100 * e.value / top, abs=1e-3)
    assert parts_of_strip(html, "null")[0][0] == pytest.approx(100 * e.null / top, abs=1e-3)
    interval = (100 * e.low / top, 100 * (e.high - e.low) / top)
    assert parts_of_strip(html, "interval")[0] == pytest.approx(interval, abs=1e-3)
    for part in (
        "trustworthiness",
        "0.934 [0.921, 0.947]",
        "null 0.502",
        "n 1,797",
        "d 64",
        "null not known",
    ):
        assert part in html, part
    assert "no estimate" in null_strip(scatter(estimates=()), theme)
    assert estimates_table(scatter())["null"][0] == 0.502


def test_null_strip_shows_markup_as_text():
    hostile = dataclasses.replace(
        ESTIMATES[0], name="<img src=x onerror='a()'>\"", estimator="</div><script>"
    )
    html = null_strip(scatter(estimates=(hostile,)))
    assert "<img" not in html
    assert "<script" not in html
    assert "onerror=&#x27;" in html


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_text_is_legible(theme):
    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        parts = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return parts @ [0.2126, 0.7152, 0.0722]

    for colour in (theme.text, theme.muted):
        bright, dark = sorted((luminance(colour), luminance(theme.ground)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_unknown_wishes_are_refused():
    for wrong in (lambda: on_screen(scatter(), theme="pink"), lambda: on_paper(scatter(), width="leaflet")):
        with pytest.raises(ParameterError):
            wrong()
    with pytest.raises(TypeError):
        on_screen("a picture")
    with pytest.raises(ParameterError, match="nonsense"):
        on_screen(scatter(), nonsense=1)
    assert issubclass(NotFound, LoupeError)


def test_import_needs_no_drawing_library():
    import subprocess

    names = "('plotly', 'matplotlib', 'streamlit')"
    code = f"import sys, json, dashboard.figures; print(json.dumps([m for m in {names} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_labels_that_begin_with_an_underscore_stay_in_the_legend():
    names = [f"_hidden {i}" for i in range(25)]
    result = curve(5, 0, series={name: np.arange(5.0) + i for i, name in enumerate(names)}, null={})
    legend = on_paper(result).legends[0]
    assert [text.get_text().strip() for text in legend.get_texts()][:20] == names[:20]


NAMES = tuple(f"encoder.very.deep.module.blocks.{i}.output" for i in range(9))


def test_places_with_names_are_drawn_by_them():
    """On screen, on paper, in the table and in words; short, unlike, and with the whole name under the pointer."""
    from matplotlib.figure import Figure

    curve = Curve(
        title="t", x=np.arange(2.0, 11.0), x_name="tap", y_name="y", series={"a": np.arange(9.0)},
        low={"a": np.arange(9.0) - 1}, high={"a": np.arange(9.0) + 1}, x_labels=NAMES,
    )  # fmt: skip
    axis = on_screen(curve).layout.xaxis
    assert list(axis.tickvals) == list(curve.x)
    assert len(set(axis.ticktext)) == 9
    assert all(len(text) <= 22 and str(i) in text for i, text in enumerate(axis.ticktext))
    line = next(t for t in on_screen(curve).data if t.name == "a")
    assert line.text[3] == f"{NAMES[3]} (5)"
    assert "%{text}" in line.hovertemplate
    page = on_paper(curve)
    assert isinstance(page, Figure)
    shown = [text.get_text() for text in page.axes[0].get_xticklabels()]
    assert len(set(shown)) == 9
    assert shown[8] != NAMES[8]
    columns = table_twin(curve)
    assert columns["tap"].tolist() == list(NAMES)
    assert columns["place"].tolist() == list(curve.x)
    assert NAMES[0][:10] in alt_text(curve)


def test_of_many_named_places_some_are_named():
    many = Curve(title="t", x=np.arange(100.0), x_name="tap", y_name="y", series={"a": np.ones(100)},
                 x_labels=tuple(f"step-{i:05d}" for i in range(100)))  # fmt: skip
    shown = on_screen(many).layout.xaxis
    assert 10 <= len(shown.tickvals) <= 24
    assert len(set(shown.ticktext)) == len(shown.tickvals)
