"""Whatever is done in whatever order, what people wrote is what a plain dictionary would hold."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from people_subjects import by, new_database

from analysis.errors import NotFound
from analysis.people import EditConflict, People, Thing
from analysis.selection import Selection

THINGS = [Thing.feature("s", "t", 0), Thing.feature("s", "t", 10), Thing.feature("s", "u", 0), Thing.sample("s", "0"),
          Thing.figure("k", "d")]  # fmt: skip
things, names = st.sampled_from(THINGS), st.sampled_from(["ann", "bob"])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
tags = texts.map(lambda t: " ".join(t.split())).filter(bool)


class Model(RuleBasedStateMachine):
    """`held` : {(thing, field, part): text}; `past` : (the change's number, what it left, its key)."""

    remembered = Bundle("remembered")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.people = People(Path(self.folder.name) / "people.db")
        self.held: dict = {}
        self.selections: dict = {}
        self.past: list = []
        self.who: dict = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def _changed(self, key: tuple, text: str | None, name: str) -> None:
        if self.held.get(key) == text:
            return
        self.held.pop(key, None)
        if text is not None:
            self.held[key], self.who[key] = text, name
        self.past.append((len(self.past) + 1, text, key, name))

    @initialize(target=remembered, thing=things)
    def at_first(self, thing):
        return thing, "note", 0

    @rule(thing=things, field=st.sampled_from(["note", "name"]), text=texts, name=names)
    def write(self, thing, field, text, name):
        with by(name):
            self.people.write(thing, field, text)
        self._changed((thing, field, ""), text if text.strip() else None, name)

    @rule(target=remembered, thing=things, field=st.sampled_from(["note", "name"]))
    def read(self, thing, field):
        entry = getattr(self.people.about(thing), field)
        return thing, field, entry.version if entry else 0

    @rule(seen=remembered, text=texts, name=names)
    def write_what_was_read_before(self, seen, text, name):
        thing, field, version = seen
        key, after = (thing, field, ""), text if text.strip() else None
        there = max((n for n, _, k, _ in self.past if k == key), default=0) if key in self.held else 0
        with by(name):
            if version == there or self.held.get(key) == after:
                self.people.write(thing, field, text, version=version)
                self._changed(key, after, name)
            else:
                with pytest.raises(EditConflict) as caught:
                    self.people.write(thing, field, text, version=version)
                theirs = caught.value.theirs
                assert (theirs.text if theirs else None) == self.held.get(key)

    @rule(thing=things, on=st.booleans(), name=names)
    def star(self, thing, on, name):
        with by(name):
            self.people.set_star(thing, on)
        self._changed((thing, "star", ""), "yes" if on else None, name)

    @rule(thing=things, word=tags, on=st.booleans(), name=names)
    def tag(self, thing, word, on, name):
        with by(name):
            self.people.tag(thing, word, on)
        self._changed((thing, "tag", word), "yes" if on else None, name)

    @rule(thing=things, text=texts.filter(str.strip), name=names)
    def reply(self, thing, text, name):
        with by(name):
            entry = self.people.reply(thing, text)
        self._changed((thing, "resolved", ""), None, name)
        self._changed((thing, "reply", entry.part), text, name)
        assert entry.version == len(self.past)

    @rule(thing=things, on=st.booleans(), name=names)
    def resolve(self, thing, on, name):
        with by(name):
            self.people.resolve(thing, on)
        self._changed((thing, "resolved", ""), "yes" if on else None, name)

    @rule(data=st.data(), name=names)
    def restore(self, data, name):
        if not self.past:
            with pytest.raises(NotFound):
                self.people.restore(1)
            return
        seq, text, key, _ = data.draw(st.sampled_from(self.past))
        with by(name):
            self.people.restore(seq)
        self._changed(key, text, name)

    @rule()
    def open_anew(self):
        self.people = People(self.people.path)

    @rule(text=texts)
    def fail_in_the_middle(self, text):
        """A transaction that does not end leaves nothing."""
        with contextlib.suppress(ZeroDivisionError), self.people.place.writing("test") as pen:
            pen.put(THINGS[0], "note", "", text + "x")
            pen.put(THINGS[1], "tag", "x", text + "x")
            raise ZeroDivisionError

    @invariant()
    def all_is_as_the_dictionary_says(self):
        fields = ("note", "name", "star", "tag", "reply", "resolved")
        there = {
            (e.thing, e.field, e.part): (e.text, e.author) for f in fields for e in self.people.entries(f)
        }
        assert there == {key: (text, self.who[key]) for key, text in self.held.items()}
        for thing in THINGS:
            about = self.people.about(thing)
            assert (about.note.text if about.note else None) == self.held.get((thing, "note", ""))
            assert {t.part for t in about.tags} == {p for t, f, p in self.held if (t, f) == (thing, "tag")}
        feed = [(c.seq, c.after, (c.thing, c.field, c.part), c.author) for c in self.people.feed(500)]
        assert feed == self.past[::-1][:500]
        assert self.people.stars("s", "t") == tuple(
            u for u in (0, 10) if (Thing.feature("s", "t", u), "star", "") in self.held
        )


def test_in_a_file(monkeypatch):
    monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    run_state_machine_as_test(
        Model, settings=settings(max_examples=12, stateful_step_count=25, deadline=None)
    )


def test_on_a_server(server, monkeypatch):
    """Many workspaces in one database, one after the other."""
    new_database(server, monkeypatch)
    run_state_machine_as_test(
        Model, settings=settings(max_examples=12, stateful_step_count=25, deadline=None)
    )


def test_selections_are_what_a_dictionary_would_hold(people):
    from random import Random

    rng, held = Random(0), {}
    for _ in range(120):
        name, other = rng.choice("abcd"), rng.choice("abcd")
        what = rng.choice(["save", "save", "delete", "rename"])
        if what == "save":
            ids = sorted(rng.sample(range(50), 3))
            people.save_selection(Selection(name, "rows", "s", "t", ids))
            held[name] = ids
        elif what == "delete" and name in held:
            people.delete_selection(name)
            del held[name]
        elif what == "rename" and name in held and (other not in held):
            people.rename_selection(name, other)
            held[other] = held.pop(name)
        assert {s.name: s.ids.tolist() for s in people.selections()} == held
