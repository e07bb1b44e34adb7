"""What people wrote travels in a pack, from a file and from PostgreSQL, and arrives in either."""

from __future__ import annotations

import sqlite3

import pytest
from packing_subjects import forged, made, members
from people_subjects import by, new_database, older

from analysis.errors import LoupeError
from analysis.people import People, Step, Thing
from analysis.sharing.packing import pack
from analysis.sharing.unpacking import unpack
from analysis.workspace import Workspace

UNIT = Thing.feature("first", "a/tap", 2)
SECRET = "a-secret-that-was-deleted"


def fill(people: People) -> None:
    with by("Ann"):
        people.write(UNIT, "note", "an older text")
        people.write(UNIT, "note", "likes vowels, mostly")
        people.tag(UNIT, "vowels")
    with by("Bob"):
        people.reply(UNIT, "only e")
        link = people.short_link("map", {"tap": "first:a/tap"}, {"first:a/tap": "0"})
        people.save_tour("", "A walk", "slowly", (Step(link, "here"), Step(link, "again")))


def all_of(people: People) -> list:
    fields = ("note", "name", "star", "tag", "reply", "resolved")
    return [people.feed(500), [people.entries(f) for f in fields], people.selections(), people.tours(),
            [s.made for s in people.selections()], people.follow(people.tours()[0].steps[0].link)]  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, monkeypatch):
    """A function that makes this the place for all that is written from now on."""
    if request.param == "sqlite":
        return lambda: monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    server = request.getfixturevalue("server")
    return lambda: new_database(server, monkeypatch)


@pytest.mark.parametrize("arrives", ["sqlite", "postgresql"])
def test_all_of_it_arrives_wherever_it_was_and_goes(tmp_path, monkeypatch, database, arrives, request):
    database()
    workspace = made(tmp_path)
    fill(workspace.people)
    before = all_of(workspace.people)
    packed = pack(workspace, tmp_path / "w.zip")
    if arrives == "sqlite":
        monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    else:
        new_database(request.getfixturevalue("server"), monkeypatch)
    here = Workspace.open(unpack(packed.path, tmp_path / "here").path)
    assert all_of(here.people) == before
    with by("Cem"):
        here.people.reply(UNIT, "written here")  # with PostgreSQL it moves there now
    assert all_of(here.people)[0][1:] == before[0]
    assert pack(Workspace.open(here.path), tmp_path / "back.zip").n_files == packed.n_files


def test_the_same_words_give_the_same_bytes_from_both(tmp_path, server, monkeypatch):
    monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    workspace = made(tmp_path)
    fill(workspace.people)
    from_file = pack(workspace, tmp_path / "a.zip").path.read_bytes()
    new_database(server, monkeypatch)
    workspace.people.set_star(UNIT)  # moves it
    workspace.people.set_star(UNIT, False)
    assert (workspace.path / ".people-id").exists()
    assert b".people-id" not in pack(workspace, tmp_path / "b.zip").path.read_bytes()
    people = members(tmp_path / "b.zip")["workspace/people.db"]
    (tmp_path / "people.db").write_bytes(people)
    monkeypatch.delenv("LOUPE_DATABASE_URL")
    moved = People(tmp_path / "people.db").feed(500)
    assert moved == workspace.people.feed(500)  # without the star that was taken back
    assert len(from_file) == (tmp_path / "b.zip").stat().st_size


def test_an_unpacked_copy_has_notes_of_its_own_in_the_same_database(tmp_path, server, monkeypatch):
    new_database(server, monkeypatch)
    workspace = made(tmp_path)
    here = Workspace.open(unpack(pack(workspace, tmp_path / "w.zip").path, tmp_path / "here").path)
    here.people.write(UNIT, "note", "of the copy")
    assert workspace.people.about(UNIT).note.text == "likes vowels"
    workspace.people.write(UNIT, "note", "of the original")
    assert here.people.about(UNIT).note.text == "of the copy"


def test_replacing_a_workspace_brings_its_notes_back_to_those_of_the_pack(tmp_path, database):
    database()
    workspace = made(tmp_path)
    packed = pack(workspace, tmp_path / "w.zip")
    workspace.people.write(UNIT, "note", "later")
    unpack(packed.path, workspace.path, replace=True)
    assert Workspace.open(workspace.path).notes("first", "a/tap") == {2: "likes vowels"}
    Workspace.open(workspace.path).note("first", "a/tap", 3, "new")
    assert Workspace.open(workspace.path).notes("first", "a/tap") == {2: "likes vowels", 3: "new"}


def test_what_was_removed_does_not_travel_and_what_is_there_keeps_its_history(tmp_path, database):
    database()
    workspace = made(tmp_path)
    people, other = workspace.people, Thing.feature("first", "a/tap", 4)
    people.write(other, "note", SECRET)
    people.write(other, "note", "")
    people.write(other, "note", "written anew")
    people.write(other, "note", "and changed")
    people.tag(other, SECRET)
    people.tag(other, SECRET, on=False)
    reply = people.reply(other, SECRET)
    people.edit_reply(other, reply.part, "")
    tour = people.save_tour("", SECRET, "", ())
    people.delete_tour(tour.id)
    data = members(pack(workspace, tmp_path / "w.zip").path)["workspace/people.db"]
    assert SECRET.encode() not in data
    (tmp_path / "people.db").write_bytes(data)
    here = Workspace.open(unpack(tmp_path / "w.zip", tmp_path / "here").path)
    assert [(c.before, c.after) for c in here.people.history(other)] == [
        ("written anew", "and changed"), (None, "written anew")]  # fmt: skip
    assert SECRET in str(people.history(other))  # at home it can be restored


@pytest.mark.parametrize("schema", [1, 2])
def test_an_older_file_travels_too(tmp_path, monkeypatch, schema):
    monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    workspace = made(tmp_path)
    workspace.people.path.unlink()
    older(workspace.people.path, schema)
    content = workspace.people.path.read_bytes()
    packed = pack(workspace, tmp_path / "w.zip")
    assert workspace.people.path.read_bytes() == content
    assert Workspace.open(unpack(packed.path, tmp_path / "here").path).notes("s", "t") == {7: "sees edges"}


ATTACKS = {
    "a text that is bytes": "UPDATE loupe_entries SET text = x'00ff'",
    "a number that is a text": "UPDATE loupe_changes SET seq = 'x' WHERE seq = 1",
    "a planet": "UPDATE loupe_entries SET kind = 'planet'",
    "a unit that is no number": "UPDATE loupe_entries SET item = '1e9'",
    "a field of no kind": "UPDATE loupe_changes SET field = 'exec'",
    "ids that cannot be unpacked": "UPDATE loupe_selections SET ids = x'00'",
    "a link that is no list": "INSERT INTO loupe_links VALUES ('', 'aaaaaaaa', 'map', '[', '{}', 'a', '')",
    "what a selection was, not as JSON": "UPDATE loupe_changes SET after = '{' WHERE field = 'selection'",
    "no tables": "DROP TABLE loupe_entries",
    "a view for a table": "ALTER TABLE loupe_tours RENAME TO x; CREATE VIEW loupe_tours AS SELECT * FROM x",
    "a newer schema": "PRAGMA user_version = 77",
    "an old schema that is none": "PRAGMA user_version = 1",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_people_file_that_nobody_can_have_written_is_refused(tmp_path, monkeypatch, attack):
    monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    workspace = made(tmp_path)
    files = members(pack(workspace, tmp_path / "w.zip").path)
    (tmp_path / "people.db").write_bytes(files["workspace/people.db"])
    with sqlite3.connect(tmp_path / "people.db") as db:
        db.executescript(attack)
    db.close()
    bad = forged(tmp_path / "f.zip", {**files, "workspace/people.db": (tmp_path / "people.db").read_bytes()})
    with pytest.raises(LoupeError):
        unpack(bad, tmp_path / "here")
    assert not (tmp_path / "here").exists()
