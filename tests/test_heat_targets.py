"""Cells of a heat map that is not square: what a click on one and the pointer over one say, and which are hatched."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.results import Matrix
from dashboard import figures
from dashboard.figures import hatching
from dashboard.figures.matrix import words
from dashboard.figures.paper import paper_style
from dashboard.figures.sheet import sheet
from dashboard.figures.targets import MOST

ROWS, COLUMNS = ("r0", "r1"), ("c0", "c1", "c2", "c3")
VALUES = np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
FEW = np.array([[False, True, True, False], [False, False, True, False]])
SURE = np.array([[True, True, False, True], [False, True, False, True]])


def rectangle(**changes) -> Matrix:
    """Two rows by four columns, every number of every cell another one."""
    given = {
        "title": "CKA", "values": VALUES, "row_names": ROWS, "column_names": COLUMNS, "value_name": "CKA",
        "significant": SURE, "limits": (0.0, 1.0), "null": VALUES / 10, "low": VALUES - 0.01, "high": VALUES + 0.02,
        "few": FEW,
    }  # fmt: skip
    return Matrix(**{**given, **changes})


def targets(result, **options):
    """The trace whose points are clicked, and its number among the traces."""
    traces = figures.on_screen(result, targets=True, **options).data
    (found,) = [t for t in traces if t.type == "scatter" and t.mode == "markers"]
    return found


# ---------------------------------------------------------------------------- targets
def test_the_number_of_a_point_is_that_of_its_cell_row_by_row():
    marks = targets(rectangle())
    assert len(marks.x) == 8
    for at in range(8):
        i, j = divmod(at, 4)
        assert (marks.y[at], marks.x[at]) == (i, j)
        assert marks.text[at] == f"r{i}<br>c{j}"
        null, low, high, value = marks.customdata[at]
        assert value == pytest.approx(VALUES[i, j])
        assert (null, low, high) == pytest.approx(
            (VALUES[i, j] / 10, VALUES[i, j] - 0.01, VALUES[i, j] + 0.02)
        )


def test_what_the_pointer_reads_is_in_the_place_where_the_template_looks():
    marks = targets(rectangle())
    assert "%{text}<br>CKA %{customdata[3]:.4g}" in marks.hovertemplate
    assert "interval %{customdata[1]:.3g} to %{customdata[2]:.3g}" in marks.hovertemplate
    assert "null %{customdata[0]:.3g}" in marks.hovertemplate
    assert "%{hovertext}" in marks.hovertemplate
    bare = targets(rectangle(null=None, low=None, high=None))
    assert "%{text}<br>CKA %{customdata[0]:.4g}" in bare.hovertemplate
    np.testing.assert_allclose(np.ravel(bare.customdata), VALUES.ravel(), rtol=1e-6)


def test_remarks_sit_on_their_cells():
    marks = targets(rectangle())
    for at, said in enumerate(marks.hovertext):
        cell = divmod(at, 4)
        assert ("not significant" in said) == (not SURE[cell])
        assert ("too few samples" in said) == FEW[cell]
    assert set(targets(rectangle(significant=None, few=None)).hovertext) == {""}


def test_in_another_drawing_order_names_values_and_remarks_move_together():
    rows, columns = np.array([1, 0]), np.array([2, 0, 3, 1])
    marks = targets(rectangle(row_order=rows, column_order=columns))
    for at in range(8):
        i, j = rows[at // 4], columns[at % 4]
        assert (marks.y[at], marks.x[at]) == divmod(at, 4)
        assert marks.text[at] == f"r{i}<br>c{j}"
        assert marks.customdata[at][3] == pytest.approx(VALUES[i, j])
        assert ("not significant" in marks.hovertext[at]) == (not SURE[i, j])
        assert ("too few samples" in marks.hovertext[at]) == FEW[i, j]


def test_of_the_excess_the_pointer_reads_the_excess():
    marks = targets(rectangle(), show="excess")
    np.testing.assert_allclose(np.array(marks.customdata)[:, 3], 0.9 * VALUES.ravel(), rtol=1e-6)
    np.testing.assert_allclose(np.array(marks.customdata)[:, 1], 0.9 * VALUES.ravel() - 0.01, rtol=1e-6)


def test_rows_and_columns_of_the_picture_are_those_of_the_targets():
    """The first row is drawn at 0, on top, beside its own name; fading is where the remarks say so."""
    figure = figures.on_screen(rectangle(), targets=True)
    assert tuple(figure.layout.yaxis.ticktext) == ROWS
    assert tuple(figure.layout.xaxis.ticktext) == COLUMNS
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    faded, sure = [t for t in figure.data if t.type == "heatmap"]
    np.testing.assert_array_equal(np.isfinite(np.array(faded.z)), ~SURE)
    np.testing.assert_array_equal(np.isfinite(np.array(sure.z)), SURE)
    assert faded.opacity < 0.5


def test_a_matrix_of_too_many_cells_has_no_targets():
    n = int(np.sqrt(MOST)) + 1
    big = rectangle(
        values=np.zeros((n, n)),
        row_names=(),
        column_names=(),
        significant=None,
        null=None,
        low=None,
        high=None,
        few=None,
    )
    assert not [t for t in figures.on_screen(big, targets=True).data if t.type == "scatter"]
    assert not [t for t in figures.on_screen(rectangle()).data if t.type == "scatter" and t.mode == "markers"]


# ---------------------------------------------------------------------------- hatching
def hatched_on_screen(figure):
    """Cells that have strokes, and how many: every stroke stays within one cell."""
    (lines,) = [t for t in figure.data if t.type == "scatter" and t.mode == "lines"]
    x, y = (np.asarray(v, float).reshape(-1, 3) for v in (lines.x, lines.y))
    assert np.isnan(x[:, 2]).all()
    assert np.isfinite(x[:, :2]).all()
    counts = np.zeros(FEW.shape, int)
    for a, b in zip(x[:, :2], y[:, :2], strict=True):
        # the middle of a stroke lies at most a quarter of a cell from that of its cell
        i, j = int(np.round(b.mean())), int(np.round(a.mean()))
        assert np.abs(a - j).max() <= 0.5
        assert np.abs(b - i).max() <= 0.5
        counts[i, j] += 1
    return counts


def test_on_screen_the_right_cells_are_hatched():
    counts = hatched_on_screen(figures.on_screen(rectangle()))
    np.testing.assert_array_equal(counts, 3 * FEW)


def test_on_screen_many_cells_are_veiled_in_the_right_place(monkeypatch):
    monkeypatch.setattr(hatching, "MOST_LINED", 2)
    veil = figures.on_screen(rectangle()).data[-1]
    assert veil.type == "heatmap"
    np.testing.assert_array_equal(np.isfinite(np.array(veil.z, float)), FEW)


def test_on_paper_the_right_cells_are_hatched():
    with paper_style(sheet("single")):
        figure = figures.on_paper(rectangle())
    (patches,) = [c for axes in figure.axes for c in axes.collections if c.get_hatch()]
    found = np.zeros(FEW.shape, bool)
    for path in patches.get_paths():
        (x0, y0), (x1, y1) = path.get_extents().min, path.get_extents().max
        assert (x1 - x0, y1 - y0) == pytest.approx((1, 1))
        found[round((y0 + y1) / 2), round((x0 + x1) / 2)] = True
    np.testing.assert_array_equal(found, FEW)
    image = next(axes for axes in figure.axes if axes.images).images[0]
    assert image.get_array().shape[:2] == FEW.shape
    assert image.origin == "upper"


def test_nothing_is_hatched_where_samples_are_enough():
    none = rectangle(few=np.zeros_like(FEW))
    assert not [t for t in figures.on_screen(none).data if t.type == "scatter"]
    with paper_style(sheet("single")):
        figure = figures.on_paper(none)
    assert not [c for axes in figure.axes for c in axes.collections if c.get_hatch() == "////"]


# ---------------------------------------------------------------------------- in words
def test_the_words_of_a_similarity_leave_out_each_with_itself():
    values = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.25], [0.3, 0.25, 1.0]])
    null = np.where(np.eye(3, dtype=bool), np.nan, 0.1)
    names = ("a", "b", "c")
    square = rectangle(
        values=values, null=null, low=None, high=None, few=None, row_names=names, column_names=names,
        significant=np.eye(3, dtype=bool) | (values > 0.5), null_band=(0.0, 0.28),
    )  # fmt: skip
    text = words(square)
    assert "The diagonal, each with itself, is left out. Values from 0.25 to 0.8, median 0.3." in text
    assert "The largest, 0.8, is in row a, column b." in text
    assert "33% of the cells lie inside" in text  # one pair of three
    assert "1 of 3 pairs are significant" in text


def test_the_words_of_two_networks_with_the_same_names_have_every_cell():
    values = np.array([[0.95, 0.8], [0.7, 0.9]])
    between = rectangle(
        values=values, null=np.full((2, 2), 0.1), low=None, high=None, few=None, row_names=("a", "b"),
        column_names=("a", "b"), significant=values > 0.75,
    )  # fmt: skip
    text = words(between)
    assert "each with itself" not in text
    assert "Values from 0.7 to 0.95" in text
    assert "The largest, 0.95, is in row a, column a." in text
    assert "3 of 4 cells are significant" in text
    assert "Values from 0.1 to 0.8" in words(rectangle())
    assert "The largest, 0.8, is in row r1, column c3." in words(rectangle())
