"""Clicks on the Compare page: a cell opens its pair, Swap swaps, a verdict lists its lines, a view starts anew."""

from __future__ import annotations

import dataclasses
import shutil
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url

from analysis.compute.similarity.similarity_grid import NETWORKS
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.components import compare_pair, compare_similarity, compare_units
from dashboard.parts import figure_block

FIVE = ["a:one", "a:two", "b:one", "b:two", "b:three"]


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Two networks of two and three taps on the same samples; seven of the ten units of `a:one` are in `b:one`, in
    another order, and the others have no partner there."""
    workspace = Workspace.create(tmp_path_factory.mktemp("clicks") / "ws")
    rng = np.random.default_rng(0)
    x, y, z = rng.standard_normal((3, 150, 10))
    ids = [f"s{i}" for i in range(150)]
    some = np.hstack([x[:, 6::-1], y[:, :5]])

    def store(name, **taps):
        write_store(workspace.path / "stores" / name, name=name, taps=taps, samples={"id": ids})

    store("a", one=x, two=y)
    store("b", one=some, two=y @ np.linalg.qr(rng.standard_normal((10, 10)))[0], three=z)
    yield workspace
    shutil.rmtree(workspace.path)


@pytest.fixture(autouse=True)
def _at_nets(nets, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(nets.path))


@pytest.fixture
def click(monkeypatch):
    """`click(at)`: the next figure that listens is told that its point of this number was clicked, once."""
    pending, real = [], figure_block.st.plotly_chart

    def chart(*given, **more):
        said = real(*given, **more)
        if "on_select" in more and pending:
            return SimpleNamespace(selection=SimpleNamespace(points=[{"point_index": pending.pop()}]))
        return said

    monkeypatch.setattr(figure_block.st, "plotly_chart", chart)
    return pending.append


@pytest.fixture
def row(monkeypatch):
    """`row(k)`: the k-th line of the next table that listens is chosen, once."""
    pending, real = [], compare_units.st.dataframe

    def frame(*given, **more):
        said = real(*given, **more)
        if "on_select" in more and pending:
            return SimpleNamespace(selection=SimpleNamespace(rows=[pending.pop()]))
        return said

    monkeypatch.setattr(compare_units.st, "dataframe", frame)
    return pending.append


def control(at, label):
    return next(s for s in at.segmented_control if s.label == label)


def listed(at):
    """The table of pairs of units."""
    return next(d.value for d in at.dataframe if "verdict" in d.value)


# ---------------------------------------------------------------------------- cells
@pytest.mark.parametrize("at", range(6))
def test_a_cell_of_two_networks_opens_the_pair_that_it_shows(nets, monkeypatch, at):
    """Two rows, three columns."""
    went = []
    monkeypatch.setattr(compare_similarity.state, "go", lambda page, **to: went.append((page, to)))
    result = nets.run("cka", FIVE, {"arrangement": NETWORKS})
    assert (result.row_names, result.column_names) == (("one", "two"), ("one", "two", "three"))
    compare_similarity._open_pair(result, FIVE, at)
    ((page, to),) = went
    i, j = divmod(at, 3)
    assert (page, to["view"]) == ("compare", "pair")
    assert to["tap"] == f"a:{result.row_names[i]}"
    assert to["tap2"] == f"b:{result.column_names[j]}"
    pair = nets.run("cka", [to["tap"], to["tap2"]])
    assert pair.values[0, 1] == pytest.approx(result.values[i, j], abs=1e-9)


@pytest.mark.parametrize("at", range(25))
def test_a_cell_of_all_taps_opens_the_pair_that_it_shows_and_the_diagonal_none(nets, monkeypatch, at):
    went = []
    monkeypatch.setattr(compare_similarity.state, "go", lambda page, **to: went.append(to))
    compare_similarity._open_pair(nets.run("cka", FIVE), FIVE, at)
    i, j = divmod(at, 5)
    assert [(to["tap"], to["tap2"]) for to in went] == ([] if i == j else [(FIVE[i], FIVE[j])])


def test_a_click_in_the_page_goes_to_the_pair_and_keeps_where_one_came_from(click):
    """Cell 4 of two rows by three columns: the second row, the second column. What belongs to this view's picture
    alone, its settings, does not come along."""
    click(4)
    at = open_page(
        "compare", tap="a:one", other="b", measure="cca", p__pooling="max", seed="4", show="excess", **{"with": FIVE}
    )  # fmt: skip
    assert is_whole(at), texts(at)
    assert url(at) == {
        "view": ["pair"], "tap": ["a:two"], "tap2": ["b:two"], "measure": ["cca"], "other": ["b"], "with": FIVE,
    }  # fmt: skip
    assert "two on 150 samples" in texts(at)
    control(at, "View").set_value("similarity").run()
    assert is_whole(at), texts(at)
    assert next(s for s in at.selectbox if s.label == "Measure").value == "cca"
    assert next(s for s in at.selectbox if s.label.startswith("Compare the layers")).value == "b"
    assert url(at)["with"] == FIVE


def test_a_click_among_the_taps_that_were_chosen(click):
    """Without `b:one` the columns are two, and cell 2 is the first of the second row."""
    click(2)
    four = ["a:one", "a:two", "b:two", "b:three"]
    at = open_page("compare", tap="a:one", other="b", **{"with": four})
    assert (url(at)["tap"], url(at)["tap2"], url(at)["with"]) == (["a:two"], ["b:two"], four)


def test_a_click_on_a_tap_with_itself_stays(click):
    click(0)
    at = open_page("compare", tap="b:one")
    assert is_whole(at), texts(at)
    assert "view" not in url(at)
    assert url(at)["tap"] == ["b:one"]


def test_a_click_within_one_network(click):
    click(5)  # the second row of three, the third column
    at = open_page("compare", tap="b:one", measure="cca")
    assert (url(at)["view"], url(at)["tap"], url(at)["tap2"]) == (["pair"], ["b:two"], ["b:three"])
    assert url(at)["measure"] == ["cca"]
    assert "other" not in url(at)


# ---------------------------------------------------------------------------- views
@pytest.mark.parametrize(
    ("before", "after"), permutations(["similarity", "pair", "units", "correlations"], 2)
)
def test_another_view_forgets_the_settings_of_the_last_and_keeps_the_taps(before, after):
    at = open_page(
        "compare", view=before, tap="a:one", tap2="b:two", p__pooling="max", p__same="0.8", seed="3"
    )
    assert is_whole(at), texts(at)
    assert {"p.pooling", "p.same", "seed"} <= set(url(at))
    control(at, "View").set_value(after).run()
    assert is_whole(at), texts(at)
    assert not [name for name in url(at) if name.startswith("p.") or name == "seed"]
    assert url(at)["tap"] == ["a:one"]
    assert url(at)["tap2"] == ["b:two"]
    assert url(at).get("view", ["similarity"]) == [after]


def test_another_measure_forgets_the_settings_of_the_last():
    at = open_page("compare", tap="a:one", other="b", p__scaling="standardised", seed="3")
    next(s for s in at.selectbox if s.label == "Measure").set_value("cca").run()
    assert is_whole(at), texts(at)
    assert url(at)["measure"] == ["cca"]
    assert url(at)["other"] == ["b"]
    assert not [name for name in url(at) if name.startswith("p.") or name == "seed"]


@pytest.mark.parametrize("view", ["pair", "units"])
def test_swap_exchanges_the_two_taps(view):
    at = open_page("compare", view=view, tap="a:one", tap2="b:one", pair="3_3", seed="5")
    assert is_whole(at), texts(at)
    button(at, "Swap").click().run()
    assert is_whole(at), texts(at)
    assert (url(at)["tap"], url(at)["tap2"]) == (["b:one"], ["a:one"])
    assert "pair" not in url(at)  # its numbers are of the other order
    assert (url(at)["view"], url(at)["seed"]) == ([view], ["5"])
    assert next(s for s in at.selectbox if s.label == "Other tap").value == "a:one"
    button(at, "Swap").click().run()
    assert (url(at)["tap"], url(at)["tap2"]) == (["a:one"], ["b:one"])


def test_a_tap_with_itself_cannot_be_swapped():
    assert button(open_page("compare", view="pair", tap="a:one", tap2="a:one"), "Swap") is None


# ---------------------------------------------------------------------------- verdicts on units
@pytest.fixture
def matching(nets):
    return nets.run("unit_matching", ["a:one", "b:one"])


def test_each_verdict_lists_its_lines_and_no_other(matching):
    verdict = matching.columns["verdict"]
    kinds = list(dict.fromkeys(verdict.tolist()))
    assert len(kinds) >= 2
    at = open_page("compare", view="units", tap="a:one", tap2="b:one")
    assert control(at, "Pairs").options == [
        f"{kind} ({len(verdict) if kind == 'all' else (verdict == kind).sum():,})" for kind in ("all", *kinds)
    ]
    assert listed(at)["verdict"].tolist() == verdict.tolist()
    for kind in kinds:
        at = open_page("compare", view="units", tap="a:one", tap2="b:one", verdict=kind)
        assert is_whole(at), texts(at)
        assert set(listed(at)["verdict"]) == {kind}
        for name in ("name a", "name b", "r"):
            np.testing.assert_array_equal(listed(at)[name], matching.columns[name][verdict == kind])


def test_choosing_a_verdict_forgets_the_open_pair(matching):
    kind = matching.columns["verdict"][-1]
    at = open_page("compare", view="units", tap="a:one", tap2="b:one", pair=compare_units._names(matching)[0])
    assert "[Unit " in texts(at)
    control(at, "Pairs").set_value(kind).run()
    assert url(at)["verdict"] == [kind]
    assert "pair" not in url(at)
    assert set(listed(at)["verdict"]) == {kind}
    assert "[Unit " not in texts(at)


@pytest.mark.parametrize("line", [0, 2])
def test_a_row_of_a_filtered_list_opens_its_own_units(matching, row, line):
    verdict = matching.columns["verdict"]
    kind = verdict[-1]
    at = int(np.flatnonzero(verdict == kind)[line])
    assert at != line  # its place in the list is not that among all
    row(line)
    page = open_page("compare", view="units", tap="a:one", tap2="b:one", verdict=kind)
    assert is_whole(page), texts(page)
    left, right = int(matching.columns["unit a"][at]), int(matching.columns["unit b"][at])
    assert url(page)["pair"] == [f"{left if left >= 0 else ''}_{right if right >= 0 else ''}"]
    for tap, unit in (("a", left), ("b", right)):
        if unit >= 0:
            assert f"(features?tap={tap}%3Aone&unit={unit})" in texts(page)


# ---------------------------------------------------------------------------- a verdict without an interval
def test_a_sense_without_an_interval_is_drawn_without_one(nets, monkeypatch):
    drawn = []
    monkeypatch.setattr(compare_pair, "bars", lambda lines, **more: drawn.extend(lines))
    result = nets.run("verdict", ["a:one", "b:one"])
    compare_pair._senses(result, 0.9)
    senses = drawn[: len(result.columns["low"])]
    for line, low, high in zip(senses, result.columns["low"], result.columns["high"], strict=True):
        assert (line.low, line.high) == (low, high)
    drawn.clear()
    unknown = {end: np.where(np.arange(3) == 1, np.nan, result.columns[end]) for end in ("low", "high")}
    compare_pair._senses(dataclasses.replace(result, columns={**result.columns, **unknown}), 0.9)
    assert [(line.low is None, line.high is None) for line in drawn[:3]] == [
        (False,) * 2,
        (True,) * 2,
        (False,) * 2,
    ]
