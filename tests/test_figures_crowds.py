"""Pictures that many things share: lines that are ranked in a list, rows with names, corners of mixtures, ledgers."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.results import Curve, Estimate, Ledger, Scatter
from dashboard.figures import alt_text, on_paper, on_screen
from dashboard.figures.crowd import ranked, reach, total_name
from dashboard.figures.curve_parts import crowded
from dashboard.figures.overlays import corner_names
from dashboard.figures.point_names import named

X = np.linspace(0, 1, 6)


def lines(n: int, summed=True, controls=("way 1",)) -> Curve:
    """Line k rises to the same end, with area k / n; of the last nothing is known."""
    names = [f"way {k}" for k in range(n)]
    estimates = tuple(
        Estimate(f"area, {name}", k / n, k / n - 0.1, k / n + 0.1, null=0.4, null_low=0.3, null_high=0.5)
        for k, name in enumerate(names[:-1])
    )
    return Curve(
        title="t", x=X, x_name="share", y_name="answer", series={name: X ** (1 + k) for k, name in enumerate(names)},
        low={n: X - 0.1 for n in names}, high={n: X + 0.1 for n in names}, estimates=estimates if summed else (),
        controls=controls,
    )  # fmt: skip


def test_many_lines_are_ranked_by_what_sums_them_up():
    rows = ranked(lines(12))
    assert [row.name for row in rows] == [f"way {k}" for k in (*range(10, -1, -1), 11)]
    assert total_name(lines(12)) == "area"
    assert rows[0].value == pytest.approx(10 / 12)
    assert (rows[0].low, rows[0].high) == pytest.approx((10 / 12 - 0.1, 10 / 12 + 0.1))
    assert np.isnan(rows[-1].value)
    low, high = reach(rows)
    assert low < -0.1  # of the lowest interval
    assert high > 10 / 12 + 0.1


def test_no_two_lines_of_a_crowd_look_alike():
    rows = ranked(lines(30, controls=("way 1", "way 2", "way 3")))
    assert len({(row.control, row.hue, row.dash) for row in rows}) == 30
    assert {row.name for row in rows if row.control} == {"way 1", "way 2", "way 3"}


def test_the_axis_of_a_crowd_holds_the_bands_that_are_drawn_and_no_others():
    given = lines(12)
    high = {**given.high, "way 2": X + 40.0}  # far down in the list: its band is not drawn
    hidden = Curve(**{**vars(given), "high": high})
    assert on_screen(hidden).layout.yaxis.range[1] < 2
    assert on_paper(hidden).axes[0].get_ylim()[1] < 2
    drawn = Curve(**{**vars(given), "high": {**given.high, "way 10": X + 40.0}})  # the first of the list
    assert on_screen(drawn).layout.yaxis.range[1] > 41
    assert on_paper(drawn).axes[0].get_ylim()[1] > 41


def test_names_do_not_change_their_look_with_their_rank():
    given = lines(12)
    turned = tuple(Estimate(e.name, -e.value) for e in given.estimates)
    other = Curve(**{**vars(given), "estimates": turned})
    assert [r.name for r in ranked(other)] != [r.name for r in ranked(given)]
    assert {r.name: (r.hue, r.dash) for r in ranked(other)} == {
        r.name: (r.hue, r.dash) for r in ranked(given)
    }


@pytest.mark.parametrize("summed", [True, False])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_names_every_line_apart_from_the_others(summed, theme):
    figure = on_screen(lines(12, summed), theme=theme)
    named = {note.text: note.y for note in figure.layout.annotations}
    assert {f"way {k}" for k in range(12)} <= set(named)
    heights = np.sort(list(named.values()))
    span = abs(np.subtract(*(figure.layout.yaxis2.range if summed else figure.layout.yaxis.range)))
    pixels = np.diff(heights) / span * (figure.layout.height - 130)
    assert pixels.min() > 12  # of a line of text
    bands = [trace for trace in figure.data if trace.fill == "tonexty"]
    assert len(bands) == 2
    assert ("xaxis2" in figure.layout) == summed
    inches = "single" if summed else "double"  # in one column a list that says nothing else is a legend
    page, names = on_paper(lines(12, summed), width=inches), [r.name for r in ranked(lines(12, summed))]
    assert [t.get_text() for t in page.axes[1].get_yticklabels()] == names
    if not summed:
        (legend,) = on_paper(lines(12, summed)).legends
        assert [text.get_text() for text in legend.get_texts()] == names


def test_a_page_that_asks_for_a_low_picture_gets_all_of_a_list():
    low, own = (on_screen(lines(28), height=height).layout.height for height in (400, None))
    assert low == own
    assert low > 28 * 17
    assert on_screen(lines(10), height=900).layout.height == 900


def test_few_lines_and_too_many_have_no_list():
    assert [crowded(lines(n)) for n in (8, 9, 32, 33)] == [False, True, True, False]
    assert [crowded(lines(n, summed=False)) for n in (8, 9, 20, 21)] == [False, True, True, False]


def swarm() -> Scatter:
    return Scatter(
        title="t", positions=np.array([[0.0, 1], [1, 0]]), rows=np.arange(2), axes=("part", "unit"),
        levels={"age": 1.0, "<b>income</b>": 0.0},
    )  # fmt: skip


def test_heights_with_names_have_no_numbers():
    axis = on_screen(swarm()).layout.yaxis
    assert list(axis.tickvals) == [1, 0]
    assert list(axis.ticktext) == ["age", "&lt;b&gt;income&lt;/b&gt;"]
    labels = on_paper(swarm()).axes[0].get_yticklabels()
    assert [t.get_text() for t in labels] == ["age", "<b>income</b>"]


def test_names_of_corners_stand_outside():
    places = {"top": np.array([0.0, 1]), "right": np.array([0.9, -0.5]), "left": np.array([-0.9, -0.5])}
    result = Scatter(
        title="t", positions=np.array([[0.0, 0]]), rows=np.arange(1), corners=places, meaningful_axes=False
    )
    outline, names = corner_names(result)
    np.testing.assert_array_equal(outline[0], outline[-1])
    assert [(name, across, up) for name, _, across, up in names] == [
        ("top", 0, 1), ("right", 1, -1), ("left", -1, -1),
    ]  # fmt: skip
    figure = on_screen(result)
    sides = {n.text: (n.xanchor, n.yanchor, n.yshift) for n in figure.layout.annotations}
    assert sides == {
        "top": ("center", "bottom", 6), "right": ("right", "top", -6), "left": ("left", "top", -6)
    }  # fmt: skip
    assert figure.layout.xaxis.range[0] < -0.9  # the corners are in view
    assert "neighbourhoods" not in figure.layout.title.text + alt_text(result)
    assert {"top", "right", "left"} <= {t.get_text() for t in on_paper(result).axes[0].texts}


def test_numbers_of_a_ledger_stand_clear_of_whiskers_and_bands():
    result = Ledger(
        title="t", names=("a", "b"), values=np.array([1.0, -2.0]), start=0.0, end=-1.0, low=np.array([0.0, -3.0]),
        high=np.array([2.5, -1.5]), null_low=np.array([-1.0, -1.0]), null_high=np.array([1.0, 3.0]),
    )  # fmt: skip
    notes = {n.text: n.x for n in on_screen(result).layout.annotations}
    assert notes["−2"] == 3.0  # the end of its band; it begins at 0
    assert notes["+1"] == -2.0 + 2.5  # of its whisker


def test_few_points_are_named_where_they_stand():
    names = np.array(["head 0.1", "<b>MLP</b>"])
    result = Scatter(
        title="t", positions=np.array([[0.0, 0], [1, 0]]), rows=np.arange(2), axes=("depth", ""), names="name",
        columns={"name": names},
    )  # fmt: skip
    figure = on_screen(result)
    assert [(n.x, n.y, n.text) for n in figure.layout.annotations] == [
        (0, 0, "head 0.1"), (1, 0, "&lt;b&gt;MLP&lt;/b&gt;"),
    ]  # fmt: skip
    assert figure.layout.yaxis.showticklabels is False
    assert {t.get_text() for t in on_paper(result).axes[0].texts} == set(names)
    close = np.array([[0.0, 0], [0.001, 0], [1, 1]])
    told = named(Scatter(title="t", positions=close, rows=np.arange(3), names="name",
                         columns={"name": np.array(["a", "b", "c"])}))  # fmt: skip
    assert len(told) == 2  # no two names lie on each other
    below = np.array([[0.0, 0], [0.0, 0.03], [1, 1]])
    told = named(Scatter(title="t", positions=below, rows=np.arange(3), names="name",
                         columns={"name": np.array(["a", "b", "c"])}))  # fmt: skip
    assert [name for _, name, _ in told] == ["b", "c"]  # nor on a point
    many = Scatter(title="t", positions=np.zeros((61, 2)), rows=np.arange(61), names="name",
                   columns={"name": np.array(["x"] * 61)})  # fmt: skip
    assert not on_screen(many).layout.annotations
