"""The figures of a chosen subset: starred, tagged, of a basket, by recipe; and what was written about them."""

from __future__ import annotations

import json

import numpy as np
import page_stores
import publishing_subjects as subjects
import pytest
from test_figures_planted import curve

from analysis.errors import NotFound, ParameterError
from analysis.people import figure_things
from analysis.sharing.baskets.shelf import Baskets
from analysis.workspace import Workspace
from dashboard.baskets.adding import add
from dashboard.colouring import coloured
from dashboard.publishing.asked import Asked
from dashboard.publishing.bundle import publish

TAPS = ("images:pooled", "images:blocks.0")
NASTY = "<img src=x onerror=window.pwned=9> $x^2$"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Two spectra and two maps; of the first tap both are starred, the other spectrum has a tag and a thread."""
    workspace = Workspace.create(tmp_path_factory.mktemp("chosen") / "w")
    page_stores.images(workspace.path / "stores" / "images", n=60)
    people = workspace.people
    for tap in TAPS:
        workspace.run("pca_spectrum", [tap], {"draws": 20})
        workspace.run("pca", [tap])
    for method in ("pca_spectrum", "pca"):
        params = {"draws": 20} if method == "pca_spectrum" else {}
        people.set_star(figure_things.of_result(workspace.run(method, [TAPS[0]], params)))
    other = figure_things.of_result(workspace.run("pca_spectrum", [TAPS[1]], {"draws": 20}))
    people.tag(other, "paper")
    people.write(other, "note", NASTY)
    people.reply(other, "why so flat?")
    add(workspace, "mine", coloured(workspace.run("pca", [TAPS[1]]), workspace, "loss"), {})
    mask = np.arange(300) < 7
    add(workspace, "mine", workspace.run("pca", [TAPS[1]]), {"selected": mask})
    add(workspace, "mine", curve(origin=None, title="Drawn by hand"), {})
    Baskets(workspace.path).create("empty")
    return workspace


def figures_of(workspace, out, *words, **asked):
    """(what was written, titles by the name of their files)."""
    given = {"taps": TAPS, "features": "0-1", "maps": ("none",), **asked}
    made = publish(workspace, out / "b", Asked(figures=words, **given))
    return made, sorted(p.stem for p in (made.path / "figures").glob("*.svg"))


def test_starred_figures_are_those_with_a_star(workspace, tmp_path):
    made, names = figures_of(workspace, tmp_path, "starred")
    assert names == ["000-pca-images-pooled", "001-pca-spectrum-images-pooled"]
    left = (made.path / "index.html").read_text()
    title = workspace.run("pca_spectrum", [TAPS[1]], {"draws": 20}).title
    assert f"figure: {title}" in left
    assert "not among the figures asked for" in left


def test_a_tag_names_figures_too_and_each_goes_once(workspace, tmp_path):
    _, names = figures_of(workspace, tmp_path, "tag:paper", "starred", "tag:paper")
    assert len(names) == 3
    assert names[0] == "000-pca-spectrum-images-blocks-0"


def test_a_starred_figure_of_a_tap_that_stays_out_is_said(workspace, tmp_path):
    made, names = figures_of(workspace, tmp_path, "starred", taps=(TAPS[1],))
    assert names == []
    assert (
        "a chosen figure of images:pooled",
        "its tap is not shown, or its numbers are no longer kept",
    ) in made.plan.left_out


def test_a_basket_is_drawn_as_it_is_there(workspace, tmp_path):
    made, names = figures_of(workspace, tmp_path, "basket:mine")
    assert names == ["000-pca-images-blocks-0", "001-pca-images-blocks-0", "002-drawn"]
    recipe = json.loads((made.path / "figures" / "000-pca-images-blocks-0.json").read_text())
    assert recipe["figure"]["colour"] == Baskets(workspace.path).open("mine").panels[0].options["colour"]
    assert "loss" in recipe["figure"]["colour"]
    by_loss, marked = ((made.path / "figures" / f"{name}.svg").read_bytes() for name in names[:2])
    assert by_loss != marked
    assert "plotted" in json.loads((made.path / "figures" / "002-drawn.json").read_text()), (
        "no method makes it"
    )
    assert (made.path / "figures" / "002-drawn.csv").stat().st_size > 50
    assert "Drawn by hand" in (made.path / "figures.html").read_text()


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("basket:none such",), NotFound, "mine"),
        (("basket:empty",), NotFound, "empty"),
        (("basket:../../etc",), ParameterError, "name a basket"),
        (("tag:thesis",), NotFound, "paper"),
        (("kept", "starred"), ParameterError, "alone"),
        ((), ParameterError, "alone"),
        (("stared",), NotFound, "starred"),
    ],
)
def test_unknown_words_are_refused_and_leave_nothing(workspace, tmp_path, words, error, said):
    with pytest.raises(error, match=said):
        figures_of(workspace, tmp_path, *words)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_starred(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    page_stores.images(workspace.path / "stores" / "images", n=30)
    with pytest.raises(NotFound, match="no figure is starred"):
        figures_of(workspace, tmp_path, "starred")


def test_what_was_written_about_a_figure_stands_below_it_as_text(workspace, tmp_path):
    made, _ = figures_of(workspace, tmp_path, "tag:paper", "starred")
    for page in ("figures.html", "notes.html"):
        said = (made.path / page).read_text()
        assert "&lt;img src=x" in said
        assert "<img src=x" not in said
        assert "why so flat?" in said
        assert said.count('<span class="badge">paper</span>') == 1
    assert "window.pwned" not in json.dumps(subjects.data(made.path, "site"))
