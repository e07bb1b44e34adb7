"""A matrix whose cells have a null, an interval and a mark for too few samples: on screen, on paper, as numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis.errors import ParameterError
from analysis.results import Matrix, load, save
from dashboard import figures
from dashboard.figures.cells import cells_of, counted
from dashboard.figures.hatching import MOST_LINED

NAMES = ("a", "b", "c")


def similarity(**changes) -> Matrix:
    values = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.25], [0.3, 0.25, 1.0]])
    null = np.array([[np.nan, 0.1, 0.2], [0.1, np.nan, 0.2], [0.2, 0.2, np.nan]])
    few = np.zeros((3, 3), bool)
    few[0, 2] = few[2, 0] = True
    given = {
        "title": "CKA", "values": values, "row_names": NAMES, "column_names": NAMES, "value_name": "CKA",
        "significant": np.eye(3, dtype=bool) | (values > 0.5), "limits": (0.0, 1.0), "null_band": (0.0, 0.2),
        "null": null, "low": values - 0.05, "high": values + 0.05, "few": few,
    }  # fmt: skip
    return Matrix(**{**given, **changes})


def test_the_excess_is_what_is_beyond_the_null_of_each_cell():
    cells = cells_of(similarity(), show="excess")
    np.testing.assert_allclose(cells.values[0, 1:], [0.7, 0.1], atol=1e-6)
    assert np.isnan(np.diag(cells.values)).all()
    assert (cells.low, cells.high) == pytest.approx((-0.7, 0.7))
    assert cells.diverging
    assert cells.value_name == "CKA − null"
    assert any("beyond the null" in note for note in cells.notes)
    assert not any("grey bar" in note for note in cells.notes)


def test_a_matrix_without_nulls_has_values_only():
    plain = similarity(null=None, low=None, high=None, few=None)
    cells = cells_of(plain, show="excess")
    np.testing.assert_allclose(cells.values, plain.values, atol=1e-7)
    assert cells.few is None
    assert cells.beside is None


def test_pairs_are_counted_and_not_the_diagonal():
    assert counted(similarity()) == (1, 3)
    one_way = similarity(values=np.array([[1.0, 0.8, 0.3], [0.2, 1.0, 0.25], [0.3, 0.25, 1.0]]))
    assert counted(one_way) == (2, 6)
    between = similarity(column_names=("x", "y", "z"))
    assert counted(between) == (5, 9)
    seeds = similarity(
        null=np.full((3, 3), 0.1)
    )  # two networks of one architecture: the same names, other things
    assert counted(seeds) == (5, 9)
    assert any("1 of 3 pairs significant" in note for note in cells_of(similarity()).notes)


@pytest.mark.parametrize("show", ["value", "excess"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_screen_cells_say_their_interval_and_null_and_few_are_hatched(show, theme):
    figure = figures.on_screen(similarity(), theme=theme, show=show)
    heat = [t for t in figure.data if t.type == "heatmap"]
    lines = [t for t in figure.data if t.type == "scatter"]
    assert "null %{customdata[0]" in heat[-1].hovertemplate
    assert "95 % interval" in heat[-1].hovertemplate
    ends = [0.75, 0.85] if show == "value" else [0.65, 0.75]  # the interval is of what is shown
    np.testing.assert_allclose(heat[-1].customdata[0, 1], [0.1, *ends])
    assert len(lines) == 1
    assert np.isfinite(lines[0].x).sum() == 2 * 6  # two cells, three strokes of two ends each


def test_a_large_matrix_is_veiled_instead_of_hatched():
    side = int(np.sqrt(MOST_LINED)) + 5
    values = np.zeros((side, side))
    names = tuple(map(str, range(side)))
    big = similarity(values=values, row_names=names, column_names=names, significant=None, null=None, low=None,
                     high=None, few=np.ones((side, side), bool))  # fmt: skip
    traces = figures.on_screen(big).data
    assert [t.type for t in traces] == ["heatmap", "heatmap"]
    assert traces[1].opacity < 0.5


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
@pytest.mark.parametrize("show", ["value", "excess"])
def test_on_paper_the_two_views_differ_and_repeat(format, show):
    bytes_of = figures.export(similarity(), format, show=show)
    assert bytes_of == figures.export(similarity(), format, show=show)
    other = {"value": "excess", "excess": "value"}[show]
    assert bytes_of != figures.export(similarity(), format, show=other)
    assert bytes_of != figures.export(similarity(few=None), format, show=show)


def test_numbers_leave_with_null_and_interval():
    lines = figures.export(similarity(), "csv").decode().splitlines()
    assert lines[0] == "row,column,CKA,low,high,null,significant,too few samples"
    assert len(lines) == 10
    wide = figures.export(similarity(), "csv", layout="wide").decode().splitlines()
    assert wide[0] == "row,a,b,c"
    assert len(figures.export(similarity(), "tex").decode().splitlines()) < 20


def test_it_goes_to_disk_and_back(tmp_path):
    result = similarity()
    save(result, tmp_path / "r.npz")
    back = load(tmp_path / "r.npz")
    for field in dataclasses.fields(result):
        a, b = getattr(result, field.name), getattr(back, field.name)
        np.testing.assert_array_equal(a, b) if isinstance(a, np.ndarray) else None
    assert back.few.dtype == bool


def test_words_count_pairs_and_hatched_cells():
    text = figures.alt_text(similarity())
    assert "1 of 3 pairs are significant" in text
    assert "2 cells are hatched" in text


def test_an_unknown_view_is_refused():
    with pytest.raises(ParameterError, match="show"):
        figures.on_screen(similarity(), show="surplus")
