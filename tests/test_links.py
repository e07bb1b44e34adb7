"""Short links that remember what they showed, and tours of them, through the pages themselves."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from app_pages import button, is_whole, open_page, texts, url
from page_stores import images, make_workspace

from analysis import access
from analysis.access import Person, acting_as
from analysis.people import Step
from analysis.selection import Selection
from dashboard import errors
from dashboard.browse import link_contents

TAP = "images:pooled"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = make_workspace(tmp_path_factory.mktemp("links") / "ws")
    workspace.run("pca", [TAP])
    return workspace


@pytest.fixture
def workspace(made, tmp_path, monkeypatch):
    path = tmp_path / "ws"
    shutil.copytree(made.path, path)
    monkeypatch.setenv("LOUPE_WORKSPACE", str(path))
    return type(made).open(path)


def change(workspace):
    """The same store with other numbers."""
    place = workspace.path / "stores" / "images"
    shutil.rmtree(place)
    images(place, n=180)


def shared(page, **params):
    """The page with Share opened and a short link made; its id."""
    at = open_page(page, **params)
    at.session_state["share"] = True
    at.run()
    button(at, "Make a short link").click().run()
    assert is_whole(at), texts(at)
    (made,) = [c.value for c in at.code if "?link=" in str(c.value)]
    return made.partition("?link=")[2]


def test_a_short_link_leads_to_the_page_with_its_whole_state(workspace):
    id = workspace.people.short_link("analyses", {"tap": TAP, "method": "pca", "p.components": "3"})
    at = open_page("map", link=id)
    assert is_whole(at)
    assert at.title[0].value != "Map"
    found = url(at)
    assert found["link"] == [id]
    assert found["tap"] == [TAP]
    assert found["method"] == ["pca"]
    assert found["p.components"] == ["3"]


def test_an_address_that_says_more_than_its_link_wins(workspace):
    id = workspace.people.short_link("analyses", {"tap": TAP, "method": "pca"})
    at = open_page("analyses", link=id, tap="table:values", method="kmeans")
    assert url(at).get("method") == ["kmeans"]


@pytest.mark.parametrize("id", ["nothing-there", "aaaaaaaa", "../../x", "<b>x</b>", "a" * 9000])
def test_a_link_that_leads_nowhere_says_so_and_the_page_is_drawn(workspace, id):
    at = open_page("map", link=id)
    assert is_whole(at)
    assert at.title[0].value == "Map"
    assert len(id) > 8000 or "no short link" in texts(at) or "characters" in texts(at)
    assert "<b>" not in texts(at)


def test_what_a_page_shows_is_remembered_and_a_change_is_told(workspace):
    seen = link_contents.contents(
        workspace, {"tap": [TAP], "other": ["x", "nowhere:tap"]}, {"0" * 32: "A title"}
    )
    assert set(seen) == {f"tap {TAP}", "result " + "0" * 32}
    assert link_contents.changes(workspace, seen) == []
    change(workspace)
    assert link_contents.changes(workspace, seen) == [f"The activations {TAP} are other ones now."]
    shutil.rmtree(workspace.path / "stores" / "images")
    assert link_contents.changes(workspace, seen) == [f"The activations {TAP} are gone."]


def test_a_selection_that_holds_other_points_is_a_change(workspace):
    def save(ids):
        workspace.save_selection(Selection("odd", "rows", "images", "pooled", np.array(ids)))

    save([1, 2])
    seen = link_contents.contents(workspace, {"sel": ["odd"]}, {})
    save([2, 1])
    assert link_contents.changes(workspace, seen) == []
    save([1, 3])
    assert link_contents.changes(workspace, seen) == ["The selection odd holds other points now."]
    workspace.people.delete_selection("odd")
    assert link_contents.changes(workspace, seen) == ["The selection odd is gone."]


@pytest.mark.parametrize("key", ["../outside", "./../outside", "outside", "0" * 31, "A" * 32, "", "\0" * 32])
def test_a_key_from_a_stranger_names_no_file(workspace, key):
    """Where such a key were followed, a result of elsewhere would be shown, and a damaged file there removed."""
    kept = next(p for p in workspace.cache.directory.glob("*.npz") if len(p.stem) == 32)
    places = [
        workspace.path / "outside.npz",
        *(workspace.cache.directory / f"{n}.npz" for n in ("outside", "0" * 31)),
    ]
    for place in places:
        shutil.copy(kept, place)
    assert link_contents.kept_results(workspace, {"result " + key: "x"}) == ([], 1)
    for place in places:
        place.write_bytes(b"something of hers")
    link_contents.kept_results(workspace, {"result " + key: "x"})
    assert all(place.exists() for place in places)


def test_both_are_offered_when_the_data_have_changed(workspace):
    id = shared("analyses", tap=TAP, method="pca")
    seen = workspace.people.follow(id).seen
    assert f"tap {TAP}" in seen
    assert any(name.startswith("result ") for name in seen)
    before = open_page("map", link=id)
    assert "have changed" not in texts(before)
    change(workspace)
    now = open_page("map", link=id)
    assert "have changed" in texts(now)
    assert "1 kept" in texts(now)
    then = open_page("analyses", **{n: v[-1] for n, v in url(now).items()}, then="true")
    assert is_whole(then)
    told = workspace.cache.get(next(n for n in seen if n.startswith("result ")).removeprefix("result "))
    assert errors.escape(told.title) in [h.value for h in then.subheader]
    assert then.get("plotly_chart")
    assert "Colour by" not in [s.label for s in then.selectbox]  # of today's 180 samples


def test_a_viewer_makes_no_link_and_is_told_why(workspace, monkeypatch):
    monkeypatch.setattr(access, "_provider", lambda: Person("Vi", "viewer"))
    at = open_page("analyses", tap=TAP, method="pca")
    at.session_state["share"] = True
    at.run()
    assert button(at, "Make a short link").disabled
    assert "takes the role of editor" in button(at, "Make a short link").help
    assert not [c for c in at.code if "?link=" in str(c.value)]
    assert workspace.people.feed(limit=50) == []


def tour_of(workspace, *words):
    links = [workspace.people.short_link("analyses", {"tap": TAP, "seed": str(n)}) for n in range(len(words))]
    return workspace.people.save_tour("", "What it <b>learned", "", tuple(map(Step, links, words)))


def test_a_tour_is_played_from_stop_to_stop(workspace):
    tour = tour_of(workspace, "first *words*", "then <script>alert(1)</script>", "last")
    at = open_page("tours")
    button(at, "Play").click().run()
    assert is_whole(at)
    assert "Stop 1 of 3" in texts(at)
    assert r"first \*words\*" in texts(at)
    button(at, "Next").click().run()
    assert url(at)["step"] == ["1"]
    assert url(at)["seed"] == ["1"]
    assert "<script>" not in texts(at)
    button(at, "Next").click().run()
    assert button(at, "Next").disabled
    button(at, "End").click().run()
    assert "tour" not in url(at)
    assert url(at)["seed"] == ["2"]
    assert workspace.people.tour(tour.id).version == tour.version


def test_stops_are_moved_and_taken_out(workspace):
    tour = tour_of(workspace, "a", "b", "c")
    at = open_page("tours", edit=tour.id)
    button(at, "Later").click().run()
    assert [s.text for s in workspace.people.tour(tour.id).steps] == ["b", "a", "c"]
    button(at, "Take out").click().run()
    assert [s.text for s in workspace.people.tour(tour.id).steps] == ["a", "c"]
    assert is_whole(at)


def test_words_go_with_their_stop_and_none_is_lost_when_stops_move(workspace):
    tour = tour_of(workspace, "a", "b", "c")
    links = [s.link for s in tour.steps]
    at = open_page("tours", edit=tour.id)

    def said():
        return [t.value for t in at.text_area if t.label.startswith("Stop ")]

    def kept():
        return [(s.link, s.text) for s in workspace.people.tour(tour.id).steps]

    next(t for t in at.text_area if t.label.startswith("Stop 2")).input("b, typed and not saved")
    button(at, "Later").click().run()
    assert said() == ["b, typed and not saved", "a", "c"], "the boxes show what is kept"
    button(at, "Save").click().run()
    button(at, "Take out").click().run()
    assert said() == ["a", "c"]
    button(at, "Save").click().run()
    assert kept() == [(links[0], "a"), (links[2], "c")]
    version = workspace.people.tour(tour.id).version
    button(at, "Earlier").click().run()
    assert kept() == [(links[0], "a"), (links[2], "c")], "the first goes nowhere"
    button(at, "Look at it").click().run()
    assert url(at)["tour"] == [tour.id]
    assert workspace.people.tour(tour.id).version <= version + 1


def test_two_who_edit_a_tour_lose_nothing(workspace):
    tour = tour_of(workspace, "a", "b")
    at = open_page("tours", edit=tour.id)
    with acting_as(Person("Bea", "editor")):
        workspace.people.save_tour(tour.id, "Bea's title", "", tour.steps, tour.version)
    title = next(t for t in at.text_input if t.label == "Title")
    title.input("My title")
    button(at, "Save").click().run()
    assert workspace.people.tour(tour.id).title == "Bea's title"
    assert "Bea" in texts(at)
    assert "My title" in texts(at)
    assert "Bea's title" in texts(at)
    button(at, "Keep mine").click().run()
    assert workspace.people.tour(tour.id).title == "My title"
