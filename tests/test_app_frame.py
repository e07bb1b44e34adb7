"""The frame: every page opens, whatever the URL says, and heavy libraries stay out of the server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from app_pages import HOSTILE, is_whole, open_page, texts
from page_stores import make_workspace

from analysis.workspace import Workspace
from dashboard.pages import pages
from dashboard.state import OF_LINKS

PAGES = [page.name for page in pages()]
PARAMS = {
    "workspace": (
        "show",
        "store",
        "checkpoint",
        "data",
        "job",
        "choose",
        "batch",
        "dump",
        "dump_types",
        "name",
    ),
    "basket": (
        "basket",
        "width",
        "columns",
        "widths",
        "heights",
        "font",
        "pt",
        "dpi",
        "letters",
        "share",
        "grey",
        "text",
    ),
    "map": ("tap", "by", "of", "colour", "unit", "sel", "focus", "view", "hide"),
    "features": ("tap", "unit", "sort", "q"),
    "compare": (
        "tap",
        "tap2",
        "view",
        "other",
        "with",
        "measure",
        "show",
        "verdict",
        "pair",
        "what",
        "range",
        "cell",
        "examples",
        "fade",
        "seed",
        "p.measure",
        "p.order",
        "p.level",
        "p.maximum_units",
        "p.column",
    ),
    "attribution": (
        "tap",
        "view",
        "ask",
        "seed",
        "settings",
        "p.sample",
        "p.first",
        "p.second",
        "p.feature",
        "move",
        "dial",
        "range",
        "guess",
        "all",
    ),
    "tokens": (
        "tap",
        "joined",
        "p.rules",
        "view",
        "ask",
        "seed",
        "settings",
        "p.sample",
        "p.layer",
        "p.head",
        "p.measure",
        "rule",
        "left",
        "beside",
        "show",
        "step",
    ),
    "subspaces": (
        "tap",
        "tap2",
        "view",
        "ask",
        "with",
        "seed",
        "settings",
        "erase",
        "eraser",
        "erased_k",
        "job",
        "p.column",
        "p.notion",
        "p.space",
        "p.dimension",
    ),
    "dictionaries": (
        "tap",
        "view",
        "set",
        "path",
        "set_name",
        "architecture",
        "k",
        "scale",
        "as",
        "job",
        "ask",
        "seed",
        "with",
    ),
    "tours": ("edit",),
    "analyses": ("tap", "tap2", "method", "seed", "p.components", "p.column", "colour", "width"),
    "activity": ("about", "by", "in", "before"),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("frame") / "ws")


@pytest.fixture
def at_full(full, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(full.path))
    return full


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens(page, at_full):
    assert is_whole(open_page(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_in_an_empty_workspace_and_says_what_to_do(page, tmp_path, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "new"))
    at = open_page(page)
    assert is_whole(at)
    assert "record" in texts(at).lower()


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_urls_fall_back(page, value, at_full):
    at = open_page(
        page, **dict.fromkeys((name.replace(".", "__") for name in (*PARAMS[page], *OF_LINKS)), value)
    )
    assert is_whole(at), texts(at)
    assert not at.error, [e.value for e in at.error]


@pytest.mark.parametrize("path", ["a file", "newer", "garbage"])
def test_a_bad_workspace_is_a_sentence(path, tmp_path, monkeypatch):
    place = tmp_path / "ws"
    if path == "a file":
        place.write_text("")
    else:
        place.mkdir()
        (place / "workspace.json").write_text('{"schema": 99}' if path == "newer" else "{")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(place))
    at = open_page("workspace")
    assert not at.exception
    assert str(place.name) in texts(at)
    assert "failed unexpectedly" not in texts(at)


def test_the_first_page_is_the_map_once_there_is_one():
    first = next((page for page in pages() if page.default), None)
    assert first is None or first.name == "map"


def test_no_heavy_import_in_the_server(full):
    """Visiting every page with computed results must not load what takes seconds and hundreds of megabytes."""
    reference = "images:pooled"
    full.run("pca", [reference])
    code = """
import os, sys
sys.path.insert(0, "tests")
os.environ["LOUPE_WORKSPACE"] = sys.argv[1]
from app_pages import open_page, is_whole
from dashboard.pages import pages
for page in pages():
    at = open_page(page.name, tap=sys.argv[2], method="pca", show="stores")
    assert is_whole(at), page
heavy = {"torch", "transformers", "umap", "sklearn", "numba", "datasets"} & set(sys.modules)
assert not heavy, heavy
"""
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", code, str(full.path), reference]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
