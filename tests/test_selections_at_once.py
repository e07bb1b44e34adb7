"""Two people give one name to different points, or change what the other deletes: both see it, and nothing is lost."""

from __future__ import annotations

import shutil

import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import make_workspace

from analysis.access import Person, acting_as
from analysis.people import EditConflict, Thing
from analysis.selection import Selection
from dashboard.browse import selections

TAP, BEA = "images:pooled", Person("Bea", "editor")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("at_once") / "ws")


@pytest.fixture
def workspace(made, tmp_path, monkeypatch):
    shutil.copytree(made.path, tmp_path / "ws")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(tmp_path / "ws"))
    return type(made).open(tmp_path / "ws")


def of(name: str, *ids: str) -> Selection:
    return Selection(name, "samples", "images", "pooled", ids)


def saves(workspace, name: str, *ids: str, between=lambda: None):
    """The Map with these points, after Save was pressed with that name; `between` happens while the page is open."""
    at = open_page("map", tap=TAP, sel=selections.keep(workspace, of("", *ids)))
    next(t for t in at.text_input if t.label == "Name").input(name)
    between()
    button(at, "Save").click().run()
    assert is_whole(at), texts(at)
    return at


def beas(workspace, *ids: str) -> None:
    with acting_as(BEA):
        workspace.save_selection(of("odd", *ids))


def points(workspace, name: str) -> list[str]:
    return list(workspace.selection(name).ids)


def test_two_who_give_one_name_at_once_keep_both(workspace):
    at = saves(workspace, "odd", "1", "2", "3", between=lambda: beas(workspace, "3", "4"))
    assert points(workspace, "odd") == ["3", "4"]
    said = texts(at)
    assert "Bea" in said
    assert "2 samples of images" in said
    assert "3 samples of images, 1 of them in both" in said
    button(at, "Keep both").click().run()
    assert is_whole(at)
    assert points(workspace, "odd") == ["3", "4"]
    assert points(workspace, "odd 2") == ["1", "2", "3"]
    assert url(at)["sel"] == ["odd 2"]
    assert "called “odd”" not in texts(at)


def test_one_in_the_others_place_and_the_history_keeps_both(workspace):
    beas(workspace, "3", "4")
    at = saves(workspace, "odd", "1")
    button(at, "Put mine in its place").click().run()
    assert points(workspace, "odd") == ["1"]
    assert url(at)["sel"] == ["odd"]
    (first,) = [c for c in workspace.people.history(Thing.selection("odd")) if c.author == "Bea"]
    workspace.people.restore(first.seq)
    assert points(workspace, "odd") == ["3", "4"]


def test_theirs_is_taken(workspace):
    beas(workspace, "3", "4")
    at = saves(workspace, "odd", "1")
    button(at, "Take theirs").click().run()
    assert points(workspace, "odd") == ["3", "4"]
    assert url(at)["sel"] == ["odd"]


def test_what_changes_again_while_somebody_chooses_is_not_written_over(workspace):
    beas(workspace, "3", "4")
    at = saves(workspace, "odd", "1")
    beas(workspace, "5", "6", "7")
    button(at, "Put mine in its place").click().run()
    assert points(workspace, "odd") == ["5", "6", "7"]
    assert "3 samples of images" in texts(at)
    button(at, "Put mine in its place").click().run()
    assert points(workspace, "odd") == ["1"]


def test_the_same_points_are_no_conflict_and_stay_those_of_whoever_named_them(workspace):
    beas(workspace, "1", "2")
    at = saves(workspace, "odd", "2", "1")
    assert "already" not in texts(at)
    assert workspace.selection("odd").author == "Bea"
    assert url(at)["sel"] == ["odd"]


def test_what_somebody_changed_meanwhile_is_not_deleted_unseen(workspace):
    beas(workspace, "3", "4")
    at = open_page("workspace", show="selections", selection="odd")
    at.checkbox(key="sure:workspace:odd").check().run()
    beas(workspace, "5")
    button(at, "Delete").click().run()
    assert points(workspace, "odd") == ["5"]
    assert "Bea changed this selection since you looked" in texts(at)
    button(at, "Delete").click().run()
    assert not workspace.selections("images")


def test_whoever_may_only_look_keeps_no_lasso_under_a_name(workspace, monkeypatch):
    from analysis import access

    monkeypatch.setattr(access, "_provider", lambda: Person("Vi", "viewer"))
    before = workspace.people.feed(50)
    at = open_page("map", tap=TAP, sel=selections.keep(workspace, of("", "1")))
    assert not [b for b in at.button if b.label == "Save" and not b.disabled]
    assert workspace.people.feed(50) == before


def test_versions_of_selections_are_those_that_were_read(workspace):
    beas(workspace, "1")
    version = workspace.people.selection_version("odd")
    beas(workspace, "2")
    with pytest.raises(EditConflict) as caught:
        workspace.people.delete_selection("odd", version)
    assert (caught.value.mine, caught.value.theirs.author) == (None, "Bea")
    with pytest.raises(EditConflict):
        workspace.save_selection(of("odd", "9"), version)
    workspace.save_selection(of("odd", "9"), caught.value.version)
    assert points(workspace, "odd") == ["9"]
