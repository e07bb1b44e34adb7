"""Notes, names, tags, threads and their history on the pages, by several people; the page that tells what changed."""

from __future__ import annotations

import dataclasses

import app_pages
import pytest
from people_subjects import by

from analysis import access
from analysis.people import Thing, figure_things
from analysis.selection import Selection
from analysis.workspace import Workspace
from dashboard.browse.written import remade

TAP = "images:pooled"
HOSTILE = "<script>alert(1)</script> **b** [x](javascript:1) :material/star: $x$"


@pytest.fixture
def at_card(opened):
    """A function that opens the card of a unit that no other test writes on."""
    number = iter(range(UNITS.pop(0), 16))
    unit = next(number)
    return lambda: app_pages.open_page("features", tap=TAP, unit=str(unit)), Thing.feature(
        "images", "pooled", unit
    )


UNITS = list(range(10))


def area(at, label: str):
    return next(a for a in at.text_area if a.label == label)


def keep(at, text: str):
    area(at, "Note").set_value(text)
    return app_pages.button(at, "Keep the note").click().run()


def test_two_who_write_at_once_lose_nothing(opened, at_card):
    """Both have the card open; the second is shown both texts and keeps each of them in turn."""
    open_card, thing = at_card
    for choice, left in (
        ("Keep mine", "hers"),
        ("Keep theirs", "his"),
        ("Keep the merged text", "his\n\nhers"),
    ):
        with by("Ann"):
            opened.people.write(thing, "note", "")
        hers = open_card()
        with by("Bob"):
            opened.people.write(thing, "note", "his")
        hers = hers.run()  # as after any click of hers elsewhere on the page
        at = keep(hers, "hers")
        said = app_pages.texts(at)
        assert "Bob changed this note while you were writing" in said
        assert {"hers", "his"} <= {c.value for c in at.code}
        assert opened.people.about(thing).note.text == "his"
        at = app_pages.button(at, choice).click().run()
        assert opened.people.about(thing).note.text == left
        assert area(at, "Note").value == left
        assert "while you were writing" not in app_pages.texts(at)
        assert app_pages.is_whole(at)


def test_a_third_who_writes_while_the_second_chooses(opened, at_card):
    open_card, thing = at_card
    at = open_card()
    with by("Bob"):
        opened.people.write(thing, "note", "his")
    at = keep(at, "hers")
    with by("Cem"):
        opened.people.write(thing, "note", "a third")
    at = app_pages.button(at, "Keep mine").click().run()
    assert opened.people.about(thing).note.text == "a third"
    assert "Cem changed this note" in app_pages.texts(at)
    app_pages.button(at, "Keep mine").click().run()
    assert opened.people.about(thing).note.text == "hers"


def test_what_others_write_meanwhile_is_said_before_one_writes(opened, at_card):
    """Any click draws the panel anew: the text that somebody is writing stays hers, with the version she read."""
    open_card, thing = at_card
    at = open_card()
    with by("Bob"):
        opened.people.write(thing, "note", "his")
    at = at.run()
    assert area(at, "Note").value == ""
    assert "Bob" in app_pages.texts(at)
    assert "has another text" in app_pages.texts(at)
    at = app_pages.button(at, "Show the new text").click().run()
    assert area(at, "Note").value == "his"
    keep(at, "ours")
    assert opened.people.about(thing).note.text == "ours"


def test_name_tags_thread_and_history(opened, at_card):
    open_card, thing = at_card
    at = open_card()
    name = next(t for t in at.text_input if t.label == "Name")
    at = name.set_value("a name").run()
    assert opened.people.about(thing).name.text == "a name"
    assert "a name" in app_pages.texts(at)
    tags = next(m for m in at.multiselect if m.label == "Tags")
    with by("Bob"):
        opened.people.tag(thing, "his")
    at = at.run()
    tags = next(m for m in at.multiselect if m.label == "Tags")
    assert tags.value == ["his"]
    with by("Bob"):
        opened.people.reply(thing, HOSTILE)
    at = at.run()
    area(at, "Reply").set_value("and I say no")
    at = app_pages.button(at, "Reply").click().run()
    assert [r.text for r in opened.people.about(thing).replies] == [HOSTILE, "and I say no"]
    assert area(at, "Reply").value in ("", None)
    assert "<script>" not in app_pages.texts(at)
    at = app_pages.button(at, "Mark as settled").click().run()
    assert opened.people.about(thing).resolved
    at = keep(at, "one")
    at = keep(at, "two")
    opened.people.restore(next(c.seq for c in opened.people.history(thing, "note") if c.after == "one"))
    assert opened.people.about(thing).note.text == "one"
    assert app_pages.is_whole(at.run())


def test_the_name_and_tags_are_in_the_list(opened):
    thing = Thing.feature("images", "blocks.0", 5)
    opened.people.write(thing, "note", "a note's first line")
    opened.people.write(thing, "name", "the name")
    opened.people.tag(thing, "odd")
    at = app_pages.open_page("features", tap="images:blocks.0")
    table = at.dataframe[0].value
    assert table["name"][table["unit"] == 5].tolist() == ["the name"]
    assert table["tags"][table["unit"] == 5].tolist() == ["odd"]
    at = app_pages.open_page("features", tap="images:blocks.0", tag="odd")
    assert at.dataframe[0].value["unit"].tolist() == [5]
    at = app_pages.open_page("features", tap="images:blocks.0", tag="nobody's")
    assert len(at.dataframe[0].value) == 16


@pytest.fixture
def as_viewer(monkeypatch):
    monkeypatch.setattr(access, "_provider", lambda: access.Person("Vera", "viewer"))


def test_whoever_may_only_look_reads_all_and_writes_nothing(opened, at_card, as_viewer):
    open_card, thing = at_card
    with by("Ann"):
        opened.people.write(thing, "note", "see here")
        opened.people.write(thing, "name", "named")
        opened.people.tag(thing, "tagged")
        opened.people.reply(thing, "a reply")
    before = opened.people.feed(1)
    at = open_card()
    said = app_pages.texts(at)
    assert all(word in said for word in ("see here", "named", "tagged", "a reply"))
    labels = {b.label for b in at.button}
    assert not labels & {"Keep the note", "Reply", "Mark as settled", "Restore", "Open it again"}
    assert app_pages.is_whole(at)
    assert opened.people.feed(1) == before


def test_a_forgotten_button_still_refuses(opened, at_card, monkeypatch):
    """The page was drawn for an editor, who is a viewer by the time she clicks."""
    open_card, thing = at_card
    at = open_card()
    area(at, "Note").set_value("no")
    monkeypatch.setattr(access, "_provider", lambda: access.Person("Vera", "viewer"))
    at = app_pages.button(at, "Keep the note").click().run()
    assert opened.people.about(thing).note is None
    assert "Vera may not write a note" in app_pages.texts(at)
    at = app_pages.open_page("features", tap=TAP, unit="1")
    assert app_pages.is_whole(at)


def test_notes_on_a_sample_a_selection_and_a_figure(opened):
    store = opened.store("images")
    id = str(store.samples["id"][3])
    at = app_pages.open_page("map", tap=TAP, focus="3")
    assert any("Notes on this sample" in e.label for e in at.expander)
    with by("Ann"):
        opened.people.write(Thing.sample("images", id), "note", "blurred")
        opened.save_selection(Selection("few", "samples", "images", "pooled", store.samples["id"][:4]))
        opened.people.set_star(Thing.selection("few"))
    at = app_pages.open_page("map", tap=TAP, focus="3", sel="few")
    labels = [e.label for e in at.expander]
    assert "Notes on this sample: a note" in labels
    assert "Notes on this selection: ★" in labels
    result = opened.run("pca", [TAP])
    with by("Ann"):
        opened.people.write(figure_things.of_result(result), "note", "for figure 2")
    at = app_pages.open_page("analyses", tap=TAP, method="pca")
    assert "Notes on this figure: a note" in [e.label for e in at.expander]
    opened.delete_selection("few")


def with_versions(result, version, **libraries):
    """The same result, made by other versions."""
    origin = dataclasses.replace(
        result.origin, version=version, versions={**result.origin.versions, **libraries}
    )
    return dataclasses.replace(result, origin=origin)


def test_a_figure_is_its_recipe_without_versions(opened):
    result = opened.run("pca", [TAP])
    thing = figure_things.of_result(result)
    assert figure_things.of_result(with_versions(result, 99, numpy="9.9")) == thing
    assert figure_things.of_result(opened.run("pca", [TAP], seed=1)) != thing
    assert (thing.store, thing.tap) == ("images", "pooled")
    assert figure_things.of_result(opened.run("pca", [TAP])) == thing
    assert figure_things.of_result(opened.run("pca", [TAP], {"components": 3})) != thing
    assert figure_things.of_result(dataclasses.replace(result, origin=None)) is None


def test_a_note_stays_with_a_figure_that_was_made_again_and_the_page_says_so(opened):
    result = opened.run("pca", [TAP])
    before = with_versions(result, result.origin.version - 1, numpy="1.0.<b>")
    thing = figure_things.of_result(before)
    opened.people.write(thing, "note", "look at the tail")
    assert "again" not in remade(thing, opened.people.about(thing))
    at = app_pages.open_page("analyses", tap=TAP, method="pca")
    (label,) = [e.label for e in at.expander if "this figure" in e.label]
    assert label == "Notes on this figure: a note, made again with other versions since"
    now = figure_things.of_result(result)
    said = remade(now, opened.people.about(now))
    assert f"version {result.origin.version - 1} then, {result.origin.version} now" in said
    assert f"numpy 1.0.<b> then, {result.origin.versions['numpy']} now" in said
    opened.people.write(now, "note", "looked again")
    assert remade(now, opened.people.about(now)) == ""
    first = next(c for c in opened.people.history(now) if c.after == "look at the tail")
    opened.people.restore(first.seq)  # with what was written, the versions of then
    assert "1.0.<b>" in remade(now, opened.people.about(now))


def test_a_renamed_selection_keeps_its_notes(opened):
    ids = opened.store("images").samples["id"][:3]
    opened.save_selection(Selection("first name", "samples", "images", "pooled", ids))
    opened.people.write(Thing.selection("first name"), "note", "look")
    at = app_pages.open_page("map", tap=TAP, sel="first name")
    next(t for t in at.text_input if t.label == "New name").set_value("second name")
    app_pages.button(at, "Rename").click().run()
    assert opened.people.about(Thing.selection("second name")).note.text == "look"
    opened.delete_selection("second name")


# ---------------------------------------------------------------------------- the page of what changed
@pytest.fixture
def written(tmp_path, monkeypatch, page_stores_made):
    """A workspace of its own, with the stores of the others."""
    workspace = Workspace.create(tmp_path / "w")
    (workspace.path / "stores").rmdir()
    (workspace.path / "stores").symlink_to(page_stores_made.path / "stores")
    monkeypatch.setenv("LOUPE_WORKSPACE", str(workspace.path))
    return workspace


def test_the_feed_says_what_changed_and_leads_there(written):
    people = written.people
    with by("Ann"):
        people.write(Thing.feature("images", "pooled", 3), "note", HOSTILE)
    with by("Bob"):
        people.write(Thing.feature("images", "pooled", 3), "note", "edges")
        people.set_star(Thing.sample("images", "7", place="./?tap=images%3Apooled&focus=7"))
    at = app_pages.open_page("activity")
    said = app_pages.texts(at)
    assert app_pages.is_whole(at)
    assert "<script>" not in said
    assert "changed the note on unit 3 of images" in said
    assert "starred sample 7" in said
    opens = [b for b in at.button if b.label == "Open"]
    assert len(opens) == 3
    there = opens[0].click().run()
    assert app_pages.url(there)["focus"] == ["7"]
    assert any("Notes on this sample: ★" in e.label for e in there.expander)
    there = [b for b in app_pages.open_page("activity").button if b.label == "Open"][1].click().run()
    assert app_pages.url(there)["unit"] == ["3"]
    assert "Unit 3" in app_pages.texts(there)


def test_the_feed_is_filtered_and_paged_by_its_url(written):
    for n in range(60):
        with by("Ann" if n % 2 else "Bob"):
            written.people.write(Thing.feature("images", "pooled", n % 8), "note", f"text {n}")
    at = app_pages.open_page("activity")
    assert sum("text" in m.value for m in at.markdown) == 25
    at = app_pages.button(at, "Older").click().run()
    assert "before" in app_pages.url(at)
    assert any("text 34" in m.value for m in at.markdown)
    assert not any("“text 35”" in m.value.split("→")[-1] for m in at.markdown)
    at = app_pages.button(at, "Newest").click().run()
    assert "before" not in app_pages.url(at)
    at = app_pages.open_page("activity", by="Ann")
    assert all("Bob" not in m.value for m in at.markdown)
    assert "Nothing that passes" in app_pages.texts(app_pages.open_page("activity", about="sample"))


PLACES = (
    "https://evil.example/?x=1", "javascript:alert(1)", "//evil.example", "../../etc", "nowhere?x=1",
    "?" + "a&" * 5000, "features?tap=" + "x" * 10_000, "http://[", "./?tap=%00&view=%ff",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_place_from_a_strangers_file_leads_nowhere_else(written, place):
    written.people.set_star(Thing.sample("images", "7", place=place))
    at = app_pages.open_page("activity")
    assert app_pages.is_whole(at)
    assert "evil" not in app_pages.texts(at)
    button = app_pages.button(at, "Open")
    if button is not None:  # one of our own pages, which judges its parameters itself
        assert app_pages.is_whole(button.click().run())


def test_every_sort_of_change_has_words(written):
    from analysis.people import Step

    people, unit = written.people, Thing.feature("images", "pooled", 3)
    people.write(unit, "note", "a")
    people.write(unit, "note", "")
    people.write(unit, "name", "n")
    people.set_star(unit)
    people.set_star(unit, False)
    people.tag(unit, "t")
    people.tag(unit, "t", on=False)
    people.reply(unit, "r")
    people.resolve(unit)
    people.resolve(unit, False)
    people.save_selection(Selection("s1", "rows", "images", "pooled", [1], note="how"))
    people.rename_selection("s1", "s2")
    people.delete_selection("s2")
    link = people.short_link("map", {"tap": TAP})
    people.save_tour("", "the way", "x", (Step(link),))
    people.write(Thing.figure("k", "d"), "note", "f")
    said = ""
    for about in ({}, {"about": "link"}):  # short links are listed when they are asked for
        at = app_pages.open_page("activity", **about)
        assert app_pages.is_whole(at)
        assert ("a short link" in app_pages.texts(at)) is bool(about)
        said += app_pages.texts(at)
    expected = (
        "wrote a note on", "removed the note on", "gave a name to", "took the star from", "took a tag from",
        "settled the thread on", "opened again the thread on", "saved the selection", "renamed",
        "deleted the selection", "made a short link to the page map", "wrote the tour", "a figure",
    )  # fmt: skip
    for words in expected:
        assert words in said, words
