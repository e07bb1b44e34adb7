"""What is made ready for the heat map in Python: cells in steps, names, trees, blocks; and what comes back."""

from __future__ import annotations

import numpy as np
import pytest
from heat_component_page import Matrix, heatmap
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.cluster.hierarchy import dendrogram, linkage

from analysis.results import Origin
from dashboard.browse import heat_picture
from dashboard.components.heat_map import HeatEvent, _event


def unpacked(column) -> tuple[np.ndarray, tuple]:
    """The values of a block and (row, column, level), read by hand from its bytes."""
    row, first, level, rows, columns = np.frombuffer(column.data[:20], "<i4")
    scale = np.frombuffer(column.data[20:24], "<f4")[0]
    steps = np.frombuffer(column.data[32:], "<i2").reshape(rows, columns).astype(np.float64)
    return np.where(steps == -32768, np.nan, steps * np.float64(scale)), (row, first, level)


@given(some.integers(0, 2**32 - 1), some.integers(1, 40), some.integers(1, 40), some.floats(1e-6, 1e6))
@settings(max_examples=40)
def test_a_block_loses_at_most_half_a_step(seed, p, q, size):
    values = np.random.default_rng(seed).standard_normal((p, q)) * size
    values[0, 0] = np.nan
    scale = heat_picture.scale_of(values)
    back, place = unpacked(heat_picture.packed(values, 3, (8, 16), scale))
    assert place == (8, 16, 3)
    assert np.isnan(back[0, 0])
    left = np.isfinite(values)
    assert (np.isfinite(back) == left).all()
    assert (np.abs(back - values)[left] <= scale * 0.501).all()  # 0.001: the scale travels as float32


def test_what_tiles_store_travels_without_loss():
    steps = np.arange(-32767, 32768, 7, dtype=np.int16)[None]
    scale = np.float32(1 / 32767)
    back, _ = unpacked(heat_picture.packed(steps * scale, 0, (0, 0), float(scale)))
    assert (np.rint(back / np.float64(scale)) == steps).all()


def test_cells_without_any_size_are_zero():
    back, _ = unpacked(
        heat_picture.packed(np.zeros((2, 3)), 0, (0, 0), heat_picture.scale_of(np.zeros((2, 3))))
    )
    assert (back == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_branches_are_those_of_scipy(seed):
    """Leaves in drawing order, as a Heatmap has them: the same brackets as SciPy's own dendrogram."""
    points = np.random.default_rng(seed).standard_normal((12, 2))
    order = dendrogram(linkage(points, "average"), no_plot=True)["leaves"]
    merged = linkage(points[order], "average")
    made = heat_picture.tree(merged, np.arange(13))
    lines = np.frombuffer(made.column.data, "<f4").reshape(-1, 5)
    expected = dendrogram(merged, no_plot=True, distance_sort=False)
    ours = sorted(zip(np.sort(lines[:, [0, 4]], axis=1).tolist(), lines[:, 2].tolist(), strict=True))
    theirs = sorted((sorted((d[0], d[3])), d[1]) for d in expected["dcoord"])
    assert np.allclose([[*low, top] for low, top in ours], [[*low, top] for low, top in theirs], atol=1e-6)
    assert made.height == pytest.approx(merged[:, 2].max())
    # a merge of two neighbours stands between its two leaves
    first = lines[np.argmin(lines[:, 2])]
    assert first[3] - first[1] == pytest.approx(1)


def test_branches_of_groups_stand_in_the_middle_of_their_lines():
    merged = np.array([[0, 1, 0.5, 2], [2, 3, 1.0, 3]])
    lines = np.frombuffer(heat_picture.tree(merged, np.array([0, 10, 20, 60])).column.data, "<f4").reshape(
        -1, 5
    )
    assert lines[0].tolist() == [0, 5, 0.5, 15, 0]
    assert lines[1].tolist() == [0, 40, 1.0, 10, 0.5]


@pytest.mark.parametrize("groups", [None, np.arange(3), np.array([0, 4])])
def test_a_tree_that_does_not_fit_is_left_out(groups):
    assert heat_picture.tree(np.array([[0, 1, 0.5, 2], [2, 3, 1.0, 3]]), groups) is None


def test_names_are_one_a_line_whatever_they_hold():
    names = np.array(["a\nb", "<b>x</b>", "‮evil", "", "y" * 500])
    lines = heat_picture.named(names).data.decode().split("\n")
    assert lines[:2] == ["a b", "<b>x</b>"]
    assert lines[2] == "evil"
    assert len(lines) == 5
    assert len(lines[4]) == heat_picture.LONGEST_NAME


def test_names_of_a_wide_tap_never_weigh_a_megabyte():
    column = heat_picture.named(np.array(["a rather long name of a unit " + str(i) for i in range(32_768)]))
    assert len(column.data) < 1_000_000
    assert column.data.count(b"\n") == 32_767


def test_names_are_in_drawing_order():
    result = heatmap(np.eye(3), row_order=np.array([2, 0, 1]), row_names=np.array(["a", "b", "c"]))
    made = heat_picture.picture(result, theme="light", titles=("", ""), label="", help="")
    assert made.names[0].data == b"c\na\nb"
    assert made.names[1].data == b"c0\nc1\nc2"


def test_the_whole_first_picture_of_a_large_matrix_stays_below_three_megabytes():
    d = 16_384
    result = heatmap(
        np.zeros((1, 1)), overview=np.zeros((512, 512), np.float32), gathered=32, shape=(d, d), tiles="x",
        row_names=np.array([f"layer4.2.conv3 channel {i}" for i in range(d)]), column_names=np.arange(d).astype(str),
        row_units=np.arange(d), column_units=np.arange(d), row_order=np.arange(d), column_order=np.arange(d),
        linkage=linkage(np.arange(512.0)[:, None]), row_groups=np.arange(0, d + 1, 32),
    )  # fmt: skip
    made = heat_picture.picture(result, theme="dark", titles=("", ""), label="", help="")
    columns = [made.cells, *made.names, *(t.column for t in made.trees if t)]
    assert sum(len(c.data) for c in columns) < 3_000_000
    assert len(made.cells.data) == 32 + 2 * 512 * 512


def test_limits():
    assert heat_picture.colour_limits(heatmap(np.array([[0.2, -0.5]]), limits=None)) == (-0.5, 0.5)
    assert heat_picture.colour_limits(heatmap(np.full((1, 2), 3.0), limits=None, diverging=False)) == (
        2.5,
        3.5,
    )
    assert heat_picture.colour_limits(heatmap(np.array([[0.2, 7]]), limits=(0, 2), diverging=False)) == (0, 2)


def test_an_answer_is_what_was_asked_for():
    values = np.random.default_rng(0).standard_normal((700, 600))
    tiles = Matrix(values)
    back, place = unpacked(heat_picture.answer(tiles, (100, 140, 300, 333), 512))
    assert place == (100, 300, 0)
    assert np.abs(back - values[100:140, 300:333]).max() <= tiles.scale * 0.501
    back, place = unpacked(
        heat_picture.answer(tiles, (0, 700, 0, 600), 100_000)
    )  # never more than 512 a side
    assert place == (0, 0, 1)
    assert back.shape == (350, 300)


def test_the_strongest_of_a_gathered_cell_is_no_unit_with_itself():
    values = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 64))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1)
    values[40, 44] = values[44, 40] = -0.9
    same = {"column_names": np.array([f"r{i}" for i in range(64)])}
    result = heatmap(values, 8, **same)
    assert heat_picture.strongest(result, Matrix(values), (40, 48, 40, 48)) == (40, 44)
    assert heat_picture.strongest(result, Matrix(values), (3, 4, 3, 4)) == (
        3,
        3,
    )  # a person may ask for itself
    other = heatmap(values, 8)  # other units with the same numbers: the diagonal is a pair like any other
    i, j = heat_picture.strongest(other, Matrix(values), (40, 48, 40, 48))
    assert i == j
    small = heatmap(values)
    assert heat_picture.strongest(small, None, (44, 45, 40, 41)) == (44, 40)


def test_units_of_two_taps_with_the_same_numbers_are_not_the_same():
    """Unit 3 of one layer with unit 3 of the next is a pair like any other, and often the strongest."""
    values = np.full((8, 8), 0.1)
    np.fill_diagonal(values, 0.9)
    names = {"row_names": np.arange(8).astype(str), "column_names": np.arange(8).astype(str)}
    given = {"method": "m", "version": 1, "params": {}, "seed": 0, "versions": {}}
    tree = {"linkage": linkage(np.arange(8.0)[:, None]), "row_groups": np.arange(9)}
    tree |= {"column_linkage": tree["linkage"], "column_groups": np.arange(9)}
    one, two = (
        heatmap(values, **names, **tree, threshold=0.5, origin=Origin(inputs=({"name": "t"},) * k, **given))
        for k in (1, 2)
    )
    assert heat_picture.strongest(two, None, (2, 5, 2, 5)) == (2, 2)
    i, j = heat_picture.strongest(one, None, (2, 5, 2, 5))
    assert i != j
    assert "of the pairs" in heat_picture.threshold_words(one)
    assert "of the cells" in heat_picture.threshold_words(two)
    shown = [heat_picture.picture(r, theme="light", titles=("", ""), label="", help="") for r in (one, two)]
    assert [made.trees[1] is None for made in shown] == [True, False]


def test_the_drawing_order_decides_which_units_are_the_same():
    order = np.array([1, 0, 2])
    values = np.array([[1, 0.1, 0.2], [0.1, 1, 0.3], [0.2, 0.3, 1]])[np.ix_(order, order)]
    names = np.array(["a", "b", "c"])
    result = heatmap(values, row_order=order, column_order=order, row_names=names, column_names=names)
    assert values[heat_picture.strongest(result, None, (0, 3, 0, 3))] == 0.3
    shifted = heatmap(values, row_order=order, column_order=np.arange(3), row_names=names, column_names=names)
    assert heat_picture.strongest(shifted, None, (0, 2, 0, 2)) == (0, 0)  # b with a


KEY = "0123456789abcdef" * 2


def test_what_a_browser_sends_is_checked():
    shape = (100, 80)
    told = lambda **given: _event(given, shape)  # noqa: E731
    good = {"box": [1, 2, 3, 4], "ask": KEY, "block": [0, 10, 0, 20], "most": 460}
    event = told(view=good)
    assert (event.moved, event.view, event.ask.box, event.ask.most) == (
        True,
        (1, 2, 3, 4),
        (0, 10, 0, 20),
        460,
    )
    assert told(view={"box": None}).moved
    assert told(view={"box": None}).view is None
    for bad in (
        [0, 0, 0, 1], [0, 101, 0, 1], [-1, 2, 0, 1], [0, 1.5, 0, 1], [0, True, 0, 1], "0101", [0, 1, 0], None, {},
        [0, float("nan"), 0, 1], [0, 1, 0, 10**30],
    ):  # fmt: skip
        assert told(view={**good, "box": bad}).view is None
        assert told(view={**good, "block": bad}).ask is None
    for bad in ("", KEY[1:], KEY + "0", KEY.upper(), "../" + KEY[3:], None, 5, KEY[:-1] + "\n"):
        assert told(view={**good, "ask": bad}).ask is None
    for bad in (None, "512", 1.5, True):
        assert told(view={**good, "most": bad}).ask is None
    assert told(view={**good, "most": 10**9}).ask.most == 512
    assert told(view={**good, "most": -5}).ask.most == 64
    assert told(open={"rows": [3, 4], "columns": [5, 6]}).opened == (3, 4, 5, 6)
    for bad in (
        {},
        {"rows": 3, "columns": 4},
        {"rows": [3, 4]},
        {"rows": [3, 200], "columns": [5, 6]},
        "x",
        None,
    ):
        assert told(open=bad).opened is None
    assert told(fade={"on": False}).fades is False
    assert told(fade={"on": "no"}).fades is None
    assert told() == HeatEvent()
