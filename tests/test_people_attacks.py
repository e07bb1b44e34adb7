"""What must not lose or halve what people write: kills, lost servers, full disks, many writers, replaced files."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from people_subjects import by, new_database

from analysis.errors import InputError, LoupeError
from analysis.people import EditConflict, People, Thing
from analysis.people.refusals import Unreachable
from analysis.store.durable import DiskFull

ROOT = Path(__file__).parents[1]
UNIT = Thing.feature("s", "t", 7)


def replayed(people: People) -> dict:
    """What there should be, from the history alone: its changes made one after the other. Fails where they leave a gap,
    or where a change does not begin with what the one before left."""
    held: dict = {}
    changes, before = [], None
    while page := people.feed(500, before):
        changes += page
        before = page[-1].seq
    changes.reverse()
    assert [c.seq for c in changes] == list(range(1, len(changes) + 1))
    for change in changes:
        key = (change.thing.id, change.field, change.part)
        assert held.get(key) == change.before, change
        held[key] = change.after
    return {key: text for key, text in held.items() if text is not None}


def is_whole(people: People) -> int:
    """The entries are exactly what the history gives; how many changes there are."""
    now = {(e.thing.id, e.field, e.part): e.text for field in ("note", "name", "star", "tag", "reply", "resolved")
           for e in people.entries(field)}  # fmt: skip
    assert now == replayed(people)
    newest = people.feed(1)
    return newest[0].seq if newest else 0


WRITER = """
import sys
from pathlib import Path
from analysis.people import People, Thing
people, k = People(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    thing = Thing.feature("s", "t", k % 5)
    people.write(thing, "note", f"note {k} " + "x" * 5000)
    people.reply(thing, f"reply {k} " + "y" * 3000)
    people.set_star(thing, k % 2 == 0)
    k += 1
    print(k, flush=True)
"""


def test_killed_while_writing_nothing_is_half(people):
    """SIGKILL at moments of all sorts: what was said to be kept is there, and nothing in between."""
    rng, said = random.Random(0), 0
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, people.path], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout.readline() == "ready\n"
        rounds = [int(child.stdout.readline()) for _ in range(rng.randint(1, 4))]
        time.sleep(0.02 * rng.random())
        child.kill()
        rounds += [int(line) for line in child.stdout.read().split("\n")[:-1]]
        child.wait()
        said += max(rounds)
        is_whole(people)
        assert len(people.entries("reply")) >= said
    assert said >= 5
    people.write(UNIT, "note", "afterwards")
    is_whole(people)


def test_killed_within_a_transaction_nothing_of_it_is_there(people):
    people.write(UNIT, "note", "before")
    code = """
import os, signal, sys
from pathlib import Path
from analysis.people import People, Thing
people = People(Path(sys.argv[1]))
with people.place.writing("test") as pen:
    for k in range(400):
        pen.put(Thing.feature("s", "t", k), "note", "", "z" * 2000)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, people.path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert people.notes("s", "t") == {7: "before"}
    assert is_whole(people) == 1
    people.write(UNIT, "note", "after")  # nobody waits for the dead
    assert is_whole(people) == 2


COUNTER = """
import sys, threading
from pathlib import Path
from analysis import access
from analysis.people import EditConflict, People, Thing
people, who, n = People(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
thing, failed = Thing.feature("s", "t", 7), []

def work(k):
    try:
        with access.acting_as(access.Person(f"{who}{k}", "editor")):
            for i in range(n):
                people.reply(thing, f"{who}{k}-{i}")
                people.tag(thing, f"{who}{k}-{i}")
                note = people.about(thing).note
                while True:  # as a person who keeps both texts: hers is added to what is there
                    text = (note.text if note else "") + f" {who}{k}-{i}"
                    try:
                        people.write(thing, "note", text, version=note.version if note else 0)
                        break
                    except EditConflict as conflict:
                        note = conflict.theirs
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
if failed:
    raise failed[0]
"""


def test_two_processes_with_four_threads_each_lose_nothing(people):
    n = 4
    running = [
        subprocess.Popen([sys.executable, "-c", COUNTER, people.path, who, str(n)], cwd=ROOT) for who in "ab"
    ]
    assert [p.wait(240) for p in running] == [0, 0]
    expected = sorted(f"{who}{k}-{i}" for who in "ab" for k in range(4) for i in range(n))
    about = people.about(UNIT)
    assert sorted(about.note.text.split()) == expected
    assert sorted(r.text for r in about.replies) == expected
    assert sorted(t.part for t in about.tags) == expected
    assert all(r.text.startswith(r.author) for r in about.replies)
    assert is_whole(people) == 3 * len(expected)


def test_a_fork_and_its_parent_both_write(people):
    """A connection is never used on both sides of a fork."""
    people.write(UNIT, "note", "parent")
    children = []
    for k in range(3):
        child = os.fork()
        if child == 0:
            try:
                for i in range(5):
                    people.reply(UNIT, f"child {k} {i}")
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    for i in range(5):
        people.reply(UNIT, f"parent {i}")
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert len(people.about(UNIT).replies) == 20
    is_whole(people)


# ---------------------------------------------------------------------------- the file
def test_a_file_that_is_replaced_is_opened_anew(tmp_path):
    """As `loupe unpack --replace` does: nothing is written into the file that is gone."""
    people, other = People(tmp_path / "people.db"), People(tmp_path / "other.db")
    people.write(UNIT, "note", "old")
    other.write(UNIT, "note", "new")
    os.replace(other.path, people.path)
    assert people.about(UNIT).note.text == "new"
    people.write(UNIT, "name", "kept")
    with sqlite3.connect(people.path) as db:
        assert db.execute("SELECT count(*) FROM loupe_entries").fetchone() == (2,)
    people.path.unlink()
    assert people.about(UNIT).note is None
    people.write(UNIT, "note", "begun anew")
    assert People(people.path).about(UNIT).note.text == "begun anew"


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    from analysis.people import engines

    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "before")
    engines.forget(people.path)
    real = engines._begin

    def small(connection) -> None:
        real(connection)
        connection.exec_driver_sql("PRAGMA max_page_count = 30")

    monkeypatch.setattr(engines, "_begin", small)

    def fill() -> None:
        for k in range(100):
            people.reply(UNIT, f"{k} " + "x" * 19_000)

    with pytest.raises(DiskFull, match="disk is full"):
        fill()
    monkeypatch.setattr(engines, "_begin", real)
    engines.forget(people.path)
    assert people.about(UNIT).note.text == "before"
    is_whole(people)
    people.reply(UNIT, "room again")
    is_whole(people)


def test_a_file_that_may_not_grow_keeps_what_was_there(tmp_path):
    """The system refuses the write itself, in the middle of a transaction."""
    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "before")
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            size = people.path.stat().st_size + 50_000
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            for k in range(50):
                people.reply(UNIT, f"{k} " + "x" * 19_000)
            os._exit(1)
        except LoupeError as refusal:
            os._exit(0 if "people.db" in str(refusal) else 2)
        except BaseException:
            os._exit(3)
    assert os.waitpid(child, 0)[1] == 0
    assert people.about(UNIT).note.text == "before"
    is_whole(people)
    people.reply(UNIT, "x" * 19_000)
    is_whole(people)


def test_a_file_begun_by_somebody_who_was_stopped_is_empty(tmp_path):
    (tmp_path / "people.db").touch()
    people = People(tmp_path / "people.db")
    assert people.feed() == []
    people.set_star(UNIT)
    assert people.stars("s", "t") == (7,)


def test_the_workspace_folder_is_gone(tmp_path):
    people = People(tmp_path / "w" / "people.db")
    assert people.feed() == []
    with pytest.raises(InputError, match="writable"):
        people.set_star(UNIT)


# ---------------------------------------------------------------------------- the server
def test_a_server_that_stops_in_the_middle(tmp_path, server, monkeypatch):
    """Threads write all the time while it is cut off and comes back: each write is there, or was refused in words."""
    new_database(server, monkeypatch)
    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "begun")
    kept, refused, odd, stop = [], [], [], threading.Event()

    def work(k: int) -> None:
        i = 0
        while not stop.is_set():
            i += 1
            try:
                people.reply(UNIT, f"{k}-{i}")
                kept.append(f"{k}-{i}")
            except LoupeError as refusal:
                refused.append((f"{k}-{i}", refusal))
                time.sleep(0.02)
            except BaseException as error:
                odd.append(error)
                return

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    [t.start() for t in threads]
    try:
        for _ in range(2):
            wait_for_more(kept, 10)
            server.stop()
            wait_for_more(refused, 4)
            with pytest.raises(Unreachable, match="does not answer"):
                people.feed()
            server.start()
            wait_for_more(kept, 10)  # by itself
    finally:
        if server.process is None:
            server.start()
        stop.set()
        [t.join() for t in threads]
    assert not odd, odd
    there = {r.text for r in people.about(UNIT).replies}
    assert set(kept) <= there
    unknown = {text for text, refusal in refused if "look before" in refusal.remedy}
    assert there - set(kept) <= unknown  # only what was said to be uncertain
    is_whole(people)


def wait_for_more(of: list, more: int, seconds: float = 60.0) -> None:
    until, there = time.monotonic() + seconds, len(of)
    while len(of) <= there + more:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("when", ["between", "before it is kept"])
def test_a_server_that_stops_within_a_transaction(tmp_path, server, monkeypatch, when):
    new_database(server, monkeypatch)
    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "before")

    def write() -> None:
        with people.place.writing("test") as pen:
            pen.put(UNIT, "note", "", "after")
            pen.put(UNIT, "name", "", "after")
            if when == "between":
                server.stop()
                pen.put(UNIT, "star", "", "yes")
            else:
                pen.close()
                monkeypatch.setattr(pen, "close", server.stop)

    try:
        with pytest.raises(Unreachable) as caught:
            write()
    finally:
        server.start()
    uncertain = when == "before it is kept"
    assert ("look before you write it again" in str(caught.value)) is uncertain
    about = people.about(UNIT)
    assert (about.note.text, about.name, about.star) == ("before", None, None)
    people.write(UNIT, "note", "after")
    is_whole(people)


def test_a_writer_that_hangs_does_not_stop_the_others_for_ever(tmp_path, server, monkeypatch):
    """Somebody's process stands still within a transaction: others are refused in words, and then go on."""
    from analysis.people import engines

    monkeypatch.setattr(
        engines, "SERVER", {"lock_timeout": "300ms", "idle_in_transaction_session_timeout": "1500ms"}
    )
    new_database(server, monkeypatch)
    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "before")
    code = """
import sys, time
from pathlib import Path
from analysis.people import People, Thing, engines
engines.SERVER = {"idle_in_transaction_session_timeout": "1500ms"}
people = People(Path(sys.argv[1]))
with people.place.writing("test") as pen:
    pen.put(Thing.feature("s", "t", 7), "note", "", "hanging")
    print("in", flush=True)
    time.sleep(60)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, people.path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "in\n"
        with pytest.raises(LoupeError, match="written by others"):
            people.write(UNIT, "note", "after")
        assert people.about(UNIT).note.text == "before"  # who reads does not wait
        until = time.monotonic() + 30
        while True:
            try:
                people.write(UNIT, "note", "after")
                break
            except LoupeError:
                assert time.monotonic() < until
    finally:
        child.kill()
        child.wait()
    assert is_whole(people) == 2


def test_a_database_that_was_emptied_is_begun_anew(tmp_path, server, monkeypatch):
    name = new_database(server, monkeypatch)
    people = People(tmp_path / "people.db")
    people.write(UNIT, "note", "lost")
    assert people.about(UNIT).note.text == "lost"
    server.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
    with pytest.raises(LoupeError):
        people.about(UNIT)
    people.write(UNIT, "note", "again")
    assert is_whole(people) == 1


def test_conflicts_across_processes_and_hosts_are_the_same(people):
    """Two objects for one workspace, as two servers have them."""
    other = People(people.path)
    with by("ann"):
        first = people.write(UNIT, "note", "one")
        people.write(UNIT, "note", "two", version=first.version)
    with by("bob"), pytest.raises(EditConflict, match="ann changed"):
        other.write(UNIT, "note", "three", version=first.version)
