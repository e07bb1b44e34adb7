"""URL state: what is acceptable comes through with its type, everything else becomes the default."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from app_pages import button, open_page, url
from page_stores import make_workspace
from streamlit.testing.v1 import AppTest

from dashboard import state


def ask(script: str, **params):
    at = AppTest.from_string(f"from dashboard import state\nimport streamlit as st\n{script}")
    for name, value in params.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, at.exception
    return at


@pytest.mark.parametrize(
    ("call", "given", "expected"),
    [
        ("state.param('x', 3)", "7", 7),
        ("state.param('x', 3)", "seven", 3),
        ("state.param('x', 3)", "9" * 5000, 3),
        ("state.param('x', 0.5)", "0.25", 0.25),
        ("state.param('x', 0.5)", "nan", 0.5),
        ("state.param('x', 0.5)", "inf", 0.5),
        ("state.param('x', True)", "false", False),
        ("state.param('x', True)", "maybe", True),
        ("state.param('x', 'a', ['a', 'b'])", "b", "b"),
        ("state.param('x', 'a', ['a', 'b'])", "c", "a"),
        ("state.param('x', 2, [2, 3])", "3", 3),
        ("state.param('x', 4, range(10))", "10", 4),
        ("state.param('x', 4, range(10))", "9", 9),
        ("state.param('x', [], ['a', 'b'])", ["b", "z", "b"], ["b"]),
        ("state.param('x', 5, state.between(1, 9, int))", "12", 5),
        ("state.param('x', 5, state.between(1, 9, int))", "9", 9),
        ("state.param('x', 'd')", "y" * (state.LONGEST + 1), "d"),
    ],
)
def test_param(call, given, expected):
    at = ask(f"value = {call}\nst.text(repr(value))", x=given)
    assert at.text[0].value == repr(expected)


def test_set_params_writes_and_removes():
    at = ask("state.set_params(a=1, b=None, c=['x', 'y'], d=True)", b="old")
    assert url(at) == {"a": ["1"], "c": ["x", "y"], "d": ["true"]}


def test_a_bound_widget_shows_the_url_and_writes_to_it():
    script = "st.selectbox('L', ['a', 'b', 'c'], **state.bound('l', 'a', ['a', 'b', 'c'], resets=('p.',)))"
    at = ask(script, l="b", **{"p.k": "3"})
    assert at.selectbox[0].value == "b"
    at.selectbox[0].set_value("c").run()
    assert url(at) == {"l": ["c"]}
    at.selectbox[0].set_value("a").run()
    assert url(at) == {}


def test_links():
    assert state.link("map") == "./"
    assert state.link("analyses", tap="a b:c", seed=0, none=None) == "analyses?tap=a+b%3Ac&seed=0"


def test_the_tap_is_kept_and_written_into_the_url(tmp_path, monkeypatch):
    make_workspace(tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    at = open_page("analyses", tap="texts:nowhere")
    chosen = url(at)["tap"][0]
    assert chosen.startswith("images:")
    at = open_page("analyses", tap="images:pooled")
    assert url(at)["tap"] == ["images:pooled"]
    at.sidebar.selectbox[0].set_value("table").run()
    assert url(at)["tap"][0].startswith("table:")


def test_coming_back_finds_the_page_as_it_was_left(tmp_path, monkeypatch):
    make_workspace(tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    at = open_page("analyses", tap="images:pooled", method="pca_spectrum")
    at.switch_page("views/workspace.py")
    at.query_params.clear()
    at.run()
    at.switch_page("views/analyses.py")
    at.query_params.clear()
    at.run()
    assert url(at)["method"] == ["pca_spectrum"]
    assert button(at, "Run") is not None


def test_the_taps_are_asked_for_once_a_run_and_anew_afterwards(monkeypatch):
    """A store that comes while a page is drawn is not half there; what runs between two runs, and the next, see it."""
    asked = []

    def listed():
        asked.append(1)
        stores = (SimpleNamespace(name=str(k), store=SimpleNamespace(taps=["t"])) for k in range(len(asked)))
        return list(stores)

    def page():
        import streamlit as st

        from dashboard import state

        state.enter_page("map")
        inside = [state.tap_references() for _ in range(3)]
        state.leave_page("map")
        st.text(repr(inside))
        st.text(repr(state.tap_references()))

    monkeypatch.setattr(state, "workspace", lambda: SimpleNamespace(stores=listed))
    at = AppTest.from_function(page).run()
    assert [t.value for t in at.text] == [repr([["0:t"]] * 3), repr(["0:t", "1:t"])]
    assert at.run().text[0].value == repr([["0:t", "1:t", "2:t"]] * 3)
