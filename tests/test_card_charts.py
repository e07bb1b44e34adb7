"""Charts below each other are one component: what the browser is told, who hears of a click, and the order on the
page."""

import json
import math

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.bars import Chart, Line


def test_a_chart_holds_everything_that_it_draws_on_its_scale():
    lines = [Line("a", 0.2, 0.1, 0.5, null=(-0.4, 0.3)), Line("b", math.nan)]
    drawn = Chart("c", lines, reach=1.0, note="n").data()
    assert (drawn["low"], drawn["high"]) == (-0.4, 1.0)
    assert [line["name"] for line in drawn["lines"]] == ["a"]
    json.dumps(drawn, allow_nan=False)
    assert Chart("c", zero=None).data()["high"] == 1.0


def _page():
    import streamlit as st

    from analysis.errors import InputError
    from dashboard.components.bars import Chart, Line, Sheet

    sheet = Sheet("sheet")
    for name in ("one", "two"):
        with sheet.part():
            sheet.add(Chart(name, [Line(name, 1.0, id=name)], opens=lambda id: st.write(f"opened {id}")))
    with sheet.part():
        raise InputError("refused")
    with sheet.part():
        sheet.add(Chart("three"))
    sheet.flush()
    sheet.flush()


@pytest.fixture
def page():
    return AppTest.from_function(_page, default_timeout=30).run()


def test_charts_share_a_component_until_something_else_is_drawn(page):
    drawn = [json.loads(e.proto.json)["charts"] for e in page.get("bidi_component")]
    assert [[chart["label"] for chart in charts] for charts in drawn] == [["one", "two"], ["three"]]
    kinds = [element.type for element in page.main.children.values()]
    assert kinds == ["bidi_component", "error", "bidi_component"]


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        ({"chart": "two", "id": "two"}, "two"),
        ({"chart": "one", "id": "two"}, None),
        ("two", None),
        (None, None),
    ],
)
def test_a_click_is_heard_by_its_own_chart(monkeypatch, told, heard):
    from dashboard.components import bars

    monkeypatch.setattr(bars, "_bars", lambda **named: {"open": told})
    lines = {name: Chart(name, [Line(name, 1.0, id=name)]) for name in ("one", "two")}
    found = bars.charts(list(lines.values()), key="k")
    assert found == (None if heard is None else (lines[heard], heard))
