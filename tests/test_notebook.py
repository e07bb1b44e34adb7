"""The notebook: run by a real Jupyter kernel, and what it says beside what the pages say."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import page_stores
import pytest
from app_pages import is_whole, open_page, texts
from test_figures_planted import NASTY, hostile, ordinary, scatter

from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.selection import Selection
from dashboard import figures
from dashboard import notebook as loupe
from dashboard.notebook.rich import result_html, result_text
from dashboard.notebook.view import View

ROOT = Path(__file__).parents[1]
TAP = "images:pooled"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return page_stores.make_workspace(tmp_path_factory.mktemp("notebook") / "workspace")


@pytest.fixture
def view(workspace) -> View:
    return loupe.open(workspace.path)


def executed(*cells: str) -> list:
    """The outputs of each cell, by a kernel of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    return [cell.outputs for cell in book.cells]


def shown(outputs: list) -> dict:
    (one,) = [o.data for o in outputs if o.output_type in ("execute_result", "display_data")]
    return one


def test_a_kernel_shows_figures_results_and_selections(workspace, view, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    result = view.run("pca", TAP)
    workspace.people.save_selection(
        Selection("from outside", "samples", "images", "", view_ids(workspace)[:7])
    )
    cells = executed(
        f"from dashboard import notebook as loupe\nview = loupe.open({str(workspace.path)!r})\nview",
        f"result = view.run('pca', {TAP!r})\nresult",
        "view.figure(result)",
        f"view.map({TAP!r}, selected='from outside')",
        "view.select('from the kernel', view.selection('from outside'), note='the same')",
    )
    assert "images" in shown(cells[0])["text/html"]
    table = shown(cells[1])["text/html"]
    assert table == result_html(result)
    assert result.estimates[0].name in table
    assert shown(cells[1])["text/plain"] == result_text(result)
    for outputs in cells[2:4]:
        drawn = shown(outputs)["application/vnd.plotly.v1+json"]
        assert len(drawn["data"][0]["x"]) or drawn["data"][0]["x"]["bdata"]
    assert "from the kernel: 7 samples of images (the same)" in shown(cells[4])["text/plain"]
    assert len(workspace.selection("from the kernel")) == 7


def view_ids(workspace) -> np.ndarray:
    return np.asarray(workspace.store("images").samples["id"])


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.text = set(), ""

    def handle_starttag(self, tag, attrs):
        assert {name for name, _ in attrs} <= {"style"}
        self.found.add(tag)

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", sorted({**ordinary(), **hostile()}))
def test_a_result_is_shown_with_its_nulls_and_nothing_of_it_is_markup(name):
    result = {**ordinary(), **hostile()}[name]
    tags = Tags()
    tags.feed(result_html(result))
    assert tags.found <= {
        "div",
        "b",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "p",
        "ul",
        "li",
        "small",
        "span",
    }
    for e in result.estimates:
        assert figures.estimates.value_words(e) in tags.text
        assert figures.estimates.null_words(e) in tags.text
    assert "$" not in result_html(result)


def test_markup_in_a_title_is_text():
    said = result_html(scatter(5, title=NASTY, reading="<script>alert(1)</script> $x$", caveats=(NASTY,)))
    assert "<script" not in said
    assert "<b>bold" not in said
    assert "$" not in said


def test_selections_are_those_of_the_workspace_at_every_line(workspace, view):
    ids = view_ids(workspace)
    assert "made here" not in view.selections()
    kept = view.select("made here", ids[:5], at="images")
    assert list(workspace.selection("made here").ids) == sorted(ids[:5]) == list(kept.ids)
    workspace.save_selection(Selection("made here", "samples", "images", "", ids[:9]))  # as a page does
    assert len(view.selection("made here")) == 9
    mask = np.arange(len(ids)) < 4
    assert len(view.select("by mask", mask, at="images")) == 4
    assert view.select("units", [3, 1], at=TAP, of="units").ids.tolist() == [1, 3]
    assert len(view.select("fewer", view.selection("made here") - view.selection("by mask"))) == 5
    assert view.selection("fewer").note == "made here minus by mask"
    workspace.delete_selection("by mask")
    with pytest.raises(NotFound):
        view.selection("by mask")


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (lambda v: v.select("a", ["no such sample"], at="images"), NotFound),
        (lambda v: v.select("a", [99], at=TAP, of="units"), NotFound),
        (lambda v: v.select("a", [-1], at=TAP, of="rows"), NotFound),
        (lambda v: v.select("a", [0]), ParameterError),
        (lambda v: v.select("a", [True, False], at="images"), ParameterError),
        (lambda v: v.select("a", [0.5], at=TAP, of="units"), ParameterError),
        (lambda v: v.select("a", [], at="images"), InputError),
        (lambda v: v.select("", [1], at=TAP, of="units"), ParameterError),
        (lambda v: v.select("a", [1], at=TAP, of="dragons"), ParameterError),
        (lambda v: v.figure(v.run("pca", TAP), colour="no such column"), NotFound),
        (lambda v: v.map(TAP, selected="nobody"), NotFound),
        (lambda v: v.url("map"), InputError),
        (lambda v: loupe.open(v.workspace.path, server="javascript:alert(1)"), ParameterError),
        (lambda v: loupe.open(v.workspace.path, server="http://here").url("nowhere"), ParameterError),
        (lambda v: loupe.open(v.workspace.path / "stores"), NotFound),
    ],
)
def test_what_cannot_be_is_refused_in_words(view, refused, kind):
    before = view.selections()
    with pytest.raises(kind) as error:
        refused(view)
    assert isinstance(error.value, LoupeError)
    assert error.value.expected
    assert view.selections() == before


def test_a_figure_has_the_colours_and_the_selection_asked(workspace, view):
    result = view.run("pca", TAP)
    view.select("five", view_ids(workspace)[:5], at="images")
    sizes = sorted(
        len(trace.x) for trace in view.figure(result, colour="", selected="five").data if trace.x is not None
    )
    assert sum(sizes) == 240
    by_unit = view.figure(result, colour="Unit 3")
    assert by_unit.data[0].marker.color is not None
    labels = {trace.name for trace in view.map(TAP).data}
    assert {"a", "b", "c"} <= labels


def test_an_address_opens_the_same_result_on_the_page(workspace, view, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    here = loupe.open(workspace.path, server="http://127.0.0.1:9/")
    both = [TAP, "images:blocks.0"]
    asked = (("pca", TAP, {"components": 3}), ("correlation_map", TAP, {}), ("cka", both, {}))
    for method, taps, params in asked:
        at = open_page("analyses", **open_query(here.url(here.run(method, taps, seed=3, **params))))
        assert is_whole(at)
        assert "Kept with these settings" in texts(at), method
    assert here.url("map", tap=TAP, sel="a b").startswith("http://127.0.0.1:9/?tap=images%3Apooled&sel=a+b")
    with pytest.raises(ParameterError):
        here.url(scatter(5, origin=None))


def open_query(url: str) -> dict:
    from urllib.parse import parse_qs, urlsplit

    return {
        name.replace(".", "__"): v if len(v) > 1 else v[0]
        for name, v in parse_qs(urlsplit(url).query).items()
    }


def test_a_page_in_a_frame_starts_a_server_that_ends(view):
    from urllib.request import ProxyHandler, build_opener

    frame = view.show("map", tap=TAP, sel='"><script>')
    try:
        assert frame.src.startswith("http://127.0.0.1:")
        html = frame._repr_html_()
        assert html.count("<") == 2
        assert "<script" not in html
        with build_opener(ProxyHandler({})).open(frame.src, timeout=20) as reply:
            assert reply.status == 200
        process = view._started.process
        assert view.url().startswith(view.server)
    finally:
        view.stop()
    assert process.poll() is not None
    assert view.server == ""
    with pytest.raises(OSError):
        os.kill(process.pid, 0)


def test_the_readme_runs_in_a_kernel(tmp_path, monkeypatch):
    import shutil

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    copy = shutil.copytree(ROOT / "sample_data" / "workspace", tmp_path / "ws")
    code = re.search(
        r"```python\n(from dashboard import notebook.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )[1]
    assert "view.show" in code
    lines = code.replace("sample_data/workspace", str(copy))
    executed(lines + "\nassert len(view.selection('hard')) and fig.data\nview.stop()")
