"""What people write, with its history, in SQLite and in PostgreSQL: the same words, the same answers."""

from __future__ import annotations

import os
import pickle

import pytest
from people_subjects import by

from analysis.errors import Forbidden, InputError, NotFound, ParameterError
from analysis.people import EditConflict, Step, Thing
from analysis.selection import Selection

UNIT = Thing.feature("s", "t", 7)
HOSTILE = ["'; DROP TABLE loupe_entries; --", '"; SELECT 1; --', "<script>alert(1)</script>", "=1+1", "%s %(x)s :x ?",
           "\\'; --", "日本語 🔬", "a\nb\r\n\tc", "NULL", "{}", "$$ $1 ${x}"]  # fmt: skip


def test_everything_on_one_thing(people):
    with by("ann"):
        note = people.write(UNIT, "note", "sees edges")
        people.write(UNIT, "name", "edges")
        people.set_star(UNIT)
        people.tag(UNIT, "doubtful")
    with by("bob"):
        people.tag(UNIT, "  to   check ")
        people.reply(UNIT, "corners too")
        people.reply(UNIT, "and <b>bars</b>")
    about = people.about(UNIT)
    assert (about.note.text, about.note.author, about.note.version) == ("sees edges", "ann", note.version)
    assert about.note.made.endswith("+00:00")
    assert about.name.text == "edges"
    assert about.star.author == "ann"
    assert [(t.part, t.author) for t in about.tags] == [("doubtful", "ann"), ("to check", "bob")]
    assert [r.text for r in about.replies] == ["corners too", "and <b>bars</b>"]
    assert about.resolved is None
    assert people.about(Thing.feature("s", "t", 8)) == type(about)()
    assert (people.stars("s", "t"), people.notes("s", "t"), people.names("s", "t"), people.tags("s", "t")) == (
        (7,), {7: "sees edges"}, {7: "edges"}, {7: ("doubtful", "to check")})  # fmt: skip
    assert people.all_tags() == {"doubtful": 1, "to check": 1}
    people.set_star(UNIT, False)
    people.tag(UNIT, "doubtful", on=False)
    people.write(UNIT, "note", "  ")
    assert (people.stars("s", "t"), people.notes("s", "t"), people.tags("s", "t")) == (
        (),
        {},
        {7: ("to check",)},
    )


def test_things_of_every_kind_are_apart(people):
    things = [UNIT, Thing.feature("s", "u", 7), Thing.feature("r", "t", 7), Thing.sample("s", "7"),
              Thing.selection("7"), Thing.figure("7", "8"), Thing.figure("7", "9")]  # fmt: skip
    for n, thing in enumerate(things):
        people.write(thing, "note", f"note {n}")
    assert [people.about(thing).note.text for thing in things] == [f"note {n}" for n in range(len(things))]
    assert [e.text for e in people.entries("note", "figure")] == ["note 5", "note 6"]
    assert people.notes("s", "t") == {7: "note 0"}
    ids = {thing.id for thing in things}
    assert len(ids) == len(things)
    assert Thing.feature("a", "b", 1, place="x") == Thing.feature("a", "b", 1)


def test_the_second_writer_is_told_and_has_both_texts(people):
    with by("ann"):
        first = people.write(UNIT, "note", "one", version=0)
    with by("bob"):
        people.write(UNIT, "note", "two", version=first.version)
    with by("ann"), pytest.raises(EditConflict, match="bob changed this note") as caught:
        people.write(UNIT, "note", "three", version=first.version)
    conflict = pickle.loads(pickle.dumps(caught.value))  # crosses processes whole
    assert (conflict.mine, conflict.theirs.text, conflict.theirs.author) == ("three", "two", "bob")
    assert people.about(UNIT).note.text == "two"
    people.write(UNIT, "note", "two and three", version=conflict.version)
    with pytest.raises(EditConflict):
        people.write(UNIT, "note", "", version=conflict.version)
    people.write(UNIT, "note", "")
    with pytest.raises(EditConflict, match="somebody removed") as caught:
        people.write(UNIT, "note", "four", version=conflict.version)
    assert caught.value.theirs is None
    people.write(UNIT, "note", "four", version=caught.value.version)
    with pytest.raises(EditConflict):  # there is one that the writer has not seen
        people.write(UNIT, "note", "five", version=0)


def test_writing_again_after_an_uncertain_answer_is_no_conflict_and_no_change(people):
    people.write(UNIT, "note", "one", version=0)
    assert people.write(UNIT, "note", "one", version=0).text == "one"
    people.set_star(UNIT)
    people.set_star(UNIT)
    people.tag(UNIT, "a")
    people.tag(UNIT, "a")
    assert len(people.history(UNIT)) == 3


def test_a_version_never_comes_back(people):
    """A note that was removed and written anew is another one, also for whoever read the first."""
    first = people.write(UNIT, "note", "one")
    people.write(UNIT, "note", "")
    people.write(UNIT, "note", "another")
    with pytest.raises(EditConflict):
        people.write(UNIT, "note", "mine", version=first.version)


def test_history_says_who_changed_what_from_what_to_what_and_leads_back(people):
    for name, text in (("ann", "one"), ("bob", "two"), ("cem", "")):
        with by(name):
            people.write(UNIT, "note", text)
    found = people.history(UNIT, "note")
    assert [(c.author, c.before, c.after) for c in found] == [
        ("cem", "two", None), ("bob", "one", "two"), ("ann", None, "one")]  # fmt: skip
    with by("ann"):
        people.restore(found[-1].seq)
    assert people.about(UNIT).note.text == "one"
    assert (people.history(UNIT)[0].author, people.history(UNIT)[0].before) == ("ann", None)
    with pytest.raises(NotFound):
        people.restore(10_000)
    stale = people.about(UNIT).note.version
    people.write(UNIT, "note", "newer")
    with pytest.raises(EditConflict):
        people.restore(found[-1].seq, version=stale)
    people.restore(found[0].seq)  # to where there was none
    assert people.about(UNIT).note is None


def test_a_thread_is_settled_and_opened_again(people):
    with by("ann"):
        reply = people.reply(UNIT, "why?")
    people.resolve(UNIT)
    assert people.about(UNIT).resolved is not None
    with by("bob"):
        people.reply(UNIT, "because")
    about = people.about(UNIT)
    assert about.resolved is None
    edited = people.edit_reply(UNIT, reply.part, "why indeed?", version=reply.version)
    assert [r.text for r in people.about(UNIT).replies] == ["why indeed?", "because"]
    with pytest.raises(EditConflict):
        people.edit_reply(UNIT, reply.part, "x", version=reply.version)
    people.edit_reply(UNIT, reply.part, "", version=edited.version)
    assert [r.text for r in people.about(UNIT).replies] == ["because"]
    with pytest.raises(NotFound):
        people.edit_reply(UNIT, reply.part, "x")
    with pytest.raises(ParameterError):
        people.reply(UNIT, " ")


def test_the_feed_is_newest_first_paged_and_filtered(people):
    for n in range(7):
        with by("ann" if n % 2 else "bob"):
            people.write(Thing.feature("s", "t", n), "note", f"n{n}")
    people.write(Thing.sample("r", "x", place="map?focus=1"), "note", "a sample")
    first = people.feed(limit=3)
    assert [c.after for c in first] == ["a sample", "n6", "n5"]
    assert first[0].thing.place == "map?focus=1"
    assert [c.after for c in people.feed(3, before=first[-1].seq)] == ["n4", "n3", "n2"]
    assert [c.after for c in people.feed(author="ann")] == ["n5", "n3", "n1"]
    assert [c.after for c in people.feed(kind="sample")] == ["a sample"]
    assert [c.after for c in people.feed(store="r")] == ["a sample"]
    assert {"ann", "bob"} < set(people.authors()) | {"ann"}
    with pytest.raises(ParameterError, match="500"):
        people.feed(10_000)


def test_order_is_that_of_the_changes_whatever_the_clock_says(people, monkeypatch):
    """The clock goes back an hour between two changes: as when two hosts disagree, or a clock is set."""
    from analysis.people import writing

    for hour, text in (("12", "first"), ("11", "second"), ("13", "third"), ("10", "last")):
        at = f"SELECT '2026-01-01T{hour}:00:00+00:00'"
        monkeypatch.setattr(writing, "NOW", {"sqlite": at, "postgresql": at})
        people.write(UNIT, "note", text)
    assert [c.after for c in people.feed()] == ["last", "third", "second", "first"]
    assert people.about(UNIT).note.text == "last"
    assert people.about(UNIT).note.made[11:13] == "10"


def test_the_time_is_the_databases_and_no_processes(people, monkeypatch):
    import datetime
    import time

    monkeypatch.setattr(time, "time", lambda: 0.0)

    class Skewed(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr(datetime, "datetime", Skewed)
    assert people.write(UNIT, "note", "x").made > "2025"


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_every_field_is_kept_as_text(people, text):
    """Each field of each thing with what would be a command if it were ever put into one."""
    stem = text.strip()
    thing = Thing("feature", text, text, "3")
    for field in ("note", "name"):
        people.write(thing, field, text)
    people.tag(thing, text)
    people.reply(thing, text)
    sample = Thing.sample(text, text, place=text)
    people.write(sample, "note", text)
    people.save_selection(Selection(text, "samples", text, text, [stem, "b"], note=text, author=text))
    link = people.short_link("map", {text: [text, text]}, {text: text})
    tour = people.save_tour("", text, text, (Step(link, text),))
    with by(text):
        people.write(Thing.figure(text, text, text, text), "note", text)
    about = people.about(thing)
    assert (about.note.text, about.name.text, about.replies[0].text) == (text, text, text)
    assert about.tags[0].part == " ".join(text.split())
    assert people.feed(1, author=text)[0].author == text
    assert people.feed(kind="sample", store=text)[0].thing.place == text
    kept = people.selection(stem)
    assert (kept.note, kept.author, kept.store, sorted(kept.ids)) == (text, text, text, sorted([stem, "b"]))
    assert people.follow(link).params == {text: [text, text]}
    assert people.follow(link).seen == {text: text}
    assert people.tour(tour.id).steps == (Step(link, text),)
    assert people.entries("tag", tag=text) == [] or " ".join(text.split()) == text
    for odd in (text, "x" * 50):
        with pytest.raises(NotFound):
            people.follow(odd)
        with pytest.raises(NotFound):
            people.tour(odd)


@pytest.mark.parametrize(
    ("write", "limit"),
    [
        (lambda p, t: p.write(UNIT, "note", t), "20,000"),
        (lambda p, t: p.reply(UNIT, t), "20,000"),
        (lambda p, t: p.write(UNIT, "name", t), "200"),
        (lambda p, t: p.tag(UNIT, t), "60"),
        (lambda p, t: p.save_tour("", t, "", ()), "200"),
        (lambda p, t: p.save_tour("", "a", t, ()), "20,000"),
        (lambda p, t: p.short_link("map", {"tap": t}), "100,000"),
        (lambda p, t: p.write(Thing.sample("s", t), "note", "x"), "4,000"),
        (lambda p, t: p.save_selection(Selection(t, "rows", "s", "t", [1])), "4,000"),
    ],
)
def test_a_million_characters_are_refused_with_the_limit(people, write, limit):
    with pytest.raises(ParameterError, match=f"1,000,\\d+ characters.*{limit}"):
        write(people, "x" * 1_000_000)
    for odd in ("a\0b", "\ud800"):
        with pytest.raises(ParameterError):
            write(people, odd)
    assert people.feed() == []


def test_the_longest_names_of_people_are_cut(people):
    with by("日" * 5_000):
        people.write(UNIT, "note", "x")
    assert people.about(UNIT).note.author == "日" * 200
    assert people.feed(author="日" * 200)


def test_the_longest_that_is_allowed_is_kept(people):
    text, far = "ü" * 20_000, "日" * 4_000
    thing = Thing("feature", far, far, "1")
    people.write(thing, "note", text)
    people.write(Thing.sample(far, far), "note", text)
    people.save_selection(Selection(far, "rows", far, far, [1]))
    assert people.about(thing).note.text == text
    assert people.notes(far, far) == {1: text}
    assert people.selection(far).ids.tolist() == [1]


def test_selections_have_versions_a_history_and_other_names(people):
    with by("ann"):
        people.save_selection(Selection("odd", "rows", "s", "t", [1, 2]))
        read = people.selection_version("odd")
    with by("bob"):
        people.save_selection(Selection("odd", "rows", "s", "t", [3]), version=read)
    with by("ann"), pytest.raises(EditConflict, match="bob changed this selection"):
        people.save_selection(Selection("odd", "rows", "s", "t", [9]), version=read)
    with pytest.raises(EditConflict):
        people.save_selection(Selection("odd", "rows", "s", "t", [9]), version=0)
    people.write(Thing.selection("odd"), "note", "look")
    people.rename_selection("odd", "even")
    assert people.about(Thing.selection("even")).note.text == "look"
    with pytest.raises(NotFound):
        people.selection("odd")
    found = people.history(Thing.selection("even"))
    assert [c.field for c in found] == ["renamed", "note", "selection", "selection"]
    people.restore(found[-1].seq)
    assert people.selection("even").ids.tolist() == [1, 2]
    assert people.selection("even").author == "ann"
    people.delete_selection("even")
    people.restore(found[-2].seq)
    assert people.selection("even").ids.tolist() == [3]
    people.save_selection(Selection("other", "rows", "s", "t", [1]))
    with pytest.raises(ParameterError, match="already"):
        people.rename_selection("other", "even")


def test_a_short_link_is_the_same_for_the_same_page(people):
    params = {"tap": "s:t", "sel": ["a", "b"], "unit": 3, "more": True}
    link = people.short_link("map", params, {"s:t": "d1"})
    assert len(link) == 8
    assert link == people.short_link("map", dict(reversed(params.items())), {"s:t": "d1"})
    found = people.follow(link)
    assert (found.page, found.params) == (
        "map", {"tap": ["s:t"], "sel": ["a", "b"], "unit": ["3"], "more": ["true"]})  # fmt: skip
    assert found.seen == {"s:t": "d1"}
    assert link != people.short_link("map", params, {"s:t": "d2"})  # the data have changed
    assert link != people.short_link("features", params, {"s:t": "d1"})
    with pytest.raises(ParameterError):
        people.short_link("../etc", {})


def test_short_links_that_begin_alike_are_told_apart(people, monkeypatch):
    from analysis.people import link_rows

    monkeypatch.setattr(link_rows, "SHORTEST", 8)
    first = people.short_link("map", {"a": "1"})
    with people.place.writing("make a link that is in the way") as pen:
        from sqlalchemy import insert

        other = people_link_id("map", {"a": ["2"]})
        pen.connection.execute(insert(link_rows.LINKS).values(
            workspace=pen.workspace, id=other[:8], page="map", query="{}", seen="{}", author="", made=""))  # fmt: skip
    second = people.short_link("map", {"a": "2"})
    assert second == other[:9]
    assert people.follow(second).params == {"a": ["2"]}
    assert people.follow(first).params == {"a": ["1"]}


def people_link_id(page: str, params: dict) -> str:
    """A second way to the same id."""
    import base64
    import hashlib
    import json

    digest = hashlib.sha256(json.dumps([page, json.dumps(params), "{}"]).encode()).digest()
    return base64.b32encode(digest).decode().lower()


def test_tours(people):
    a, b = people.short_link("map", {"x": "1"}), people.short_link("features", {"x": "2"})
    tour = people.save_tour("", "What it learned", "Begin here", (Step(a, "one"), Step(b, "two"), Step(a)))
    assert people.tour(tour.id) == tour
    assert [s.link for s in tour.steps] == [a, b, a]
    again = people.save_tour(tour.id, "What it learned", "", (Step(b),), version=tour.version)
    with pytest.raises(EditConflict) as caught:
        people.save_tour(tour.id, "Mine", "", (), version=tour.version)
    assert caught.value.theirs == again
    assert [t.title for t in people.tours()] == ["What it learned"]
    oldest = people.history(Thing("tour", item=tour.id))[-1]
    people.delete_tour(tour.id)
    with pytest.raises(NotFound):
        people.tour(tour.id)
    people.restore(oldest.seq)
    assert people.tour(tour.id).steps == tour.steps
    with pytest.raises(NotFound, match="short link"):
        people.save_tour("", "x", "", (Step("aaaaaaaa"),))
    with pytest.raises(NotFound):
        people.save_tour("nowhere", "x", "", ())


WRITES = {
    "write": lambda p: p.write(UNIT, "note", "x"),
    "name": lambda p: p.write(UNIT, "name", "x"),
    "set_star": lambda p: p.set_star(UNIT),
    "star": lambda p: p.star("s", "t", 1),
    "note": lambda p: p.note("s", "t", 1, "x"),
    "tag": lambda p: p.tag(UNIT, "x"),
    "reply": lambda p: p.reply(UNIT, "x"),
    "edit_reply": lambda p: p.edit_reply(UNIT, "1", "x"),
    "resolve": lambda p: p.resolve(UNIT),
    "save_selection": lambda p: p.save_selection(Selection("b", "rows", "s", "t", [1])),
    "rename_selection": lambda p: p.rename_selection("a", "b"),
    "delete_selection": lambda p: p.delete_selection("a"),
    "restore": lambda p: p.restore(1),
    "short_link": lambda p: p.short_link("map", {}),
    "save_tour": lambda p: p.save_tour("", "x", "", ()),
    "delete_tour": lambda p: p.delete_tour("x"),
}


@pytest.mark.parametrize("role", ["viewer", "none"])
def test_whoever_may_only_look_writes_nothing(people, role):
    with by("ann"):
        people.save_selection(Selection("a", "rows", "s", "t", [1]))
    before = people.feed()
    for write in WRITES.values():
        with by("eve", role), pytest.raises(Forbidden, match="eve may not"):
            write(people)
    assert people.feed() == before


def test_every_method_that_writes_is_in_that_test():
    import inspect

    from analysis.people import People

    source = {name: inspect.getsource(m) for name, m in inspect.getmembers(People, inspect.isfunction)}
    writers = {n for n, text in source.items() if "place.writing(" in text}
    assert writers <= set(WRITES)
    assert len(writers) >= 12


def test_looking_writes_nothing_and_needs_no_library(tmp_path):
    import subprocess
    import sys

    code = """
import sys, pathlib
from analysis.people import People, Thing
people = People(pathlib.Path(sys.argv[1]) / "people.db")
people.about(Thing.feature("s", "t", 1)); people.feed(); people.selections(); people.stars("s", "t"); people.tours()
people.history(Thing.sample("s", "1")); people.all_tags(); people.authors(); people.entries("note")
assert not {m for m in sys.modules if m.split(".")[0] in ("sqlalchemy", "alembic", "psycopg")}
"""
    env = {k: v for k, v in os.environ.items() if k != "LOUPE_DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_field_or_kind_is_refused(people):
    people.set_star(UNIT)
    for bad in (lambda: people.entries("secret"), lambda: people.entries("note", "planet"),
                lambda: Thing("planet", "s"), lambda: people.tag(UNIT, "  ")):  # fmt: skip
        with pytest.raises(ParameterError):
            bad()
    with pytest.raises(InputError):
        people.save_selection(Selection("a", "rows", "s", "t", []))
    with pytest.raises(NotFound):
        people.write(UNIT, "star", "x")
