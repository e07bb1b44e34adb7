"""An older people.db is read as it is, brought to the present schema by the first writer, and never half; a newer one
is refused. A workspace moves into PostgreSQL with all that was written, once."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import pytest
from people_subjects import by, new_database, older

from analysis.errors import InputError, NewerSchema, ParameterError, StoreDamaged
from analysis.people import People, Thing, migrating, workspace_ids
from analysis.selection import Selection
from analysis.workspace import Workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def copies(tmp_path, monkeypatch):
    """Copies of older files lie where they go with the test: a worker of pytest ends without clearing up."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))


def version(path: Path) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def holds_what_was_written(people: People, schema: int) -> None:
    assert people.selection("fours").ids.tolist() == ["a", "b"]
    assert (people.selection("fours").author, people.selection("fours").note) == ("ann", "odd")
    if schema == 2:
        assert people.selection("some").ids.tolist() == [2, 5, 9]
    assert people.stars("s", "t") == (3,)
    assert people.notes("s", "t") == {7: "sees edges"}
    found = people.about(Thing.feature("s", "t", 7)).note
    assert (found.author, found.made) == ("bob", "2026-01-04T00:00:00+00:00")
    said = [(c.author, c.field, c.before) for c in people.feed()]
    assert said[-2 - schema :][0] == ("bob", "note", None)
    assert len(said) == 2 + schema


@pytest.mark.parametrize("schema", [1, 2])
def test_an_older_file_is_read_without_being_written_and_kept_by_the_first_writer(tmp_path, schema):
    path = older(tmp_path / "people.db", schema)
    before, people = path.read_bytes(), People(path)
    holds_what_was_written(people, schema)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copies", "people.db"]
    people.note("s", "t", 8, "new")
    assert version(path) == migrating.SCHEMA
    assert people.notes("s", "t") == {7: "sees edges", 8: "new"}
    people.note("s", "t", 8, "")
    people.restore(people.history(Thing.selection("fours"))[-1].seq)
    assert people.selection("fours").ids.tolist() == ["a", "b"]
    with sqlite3.connect(path) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not tables & {"selections", "stars", "notes"}


@pytest.mark.parametrize("schema", [1, 2])
def test_a_migration_that_is_killed_leaves_the_file_as_it_was(tmp_path, schema):
    path = older(tmp_path / "people.db", schema)
    code = """
import os, signal, sys
from pathlib import Path
from analysis.people import People, migrating
real = migrating.upgrade
def upgrade(connection):
    real(connection)
    os.kill(os.getpid(), signal.SIGKILL)
migrating.upgrade = upgrade
People(Path(sys.argv[1])).note("s", "t", 1, "x")
"""
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    holds_what_was_written(People(path), schema)
    assert version(path) == schema
    People(path).note("s", "t", 1, "x")
    assert People(path).notes("s", "t") == {1: "x", 7: "sees edges"}


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = older(tmp_path / "people.db", 1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE selections SET ids = 'not json'")
    db.close()
    before = path.read_bytes()
    for ask in (lambda p: p.notes("s", "t"), lambda p: p.note("s", "t", 1, "x")):
        with pytest.raises(StoreDamaged, match=r"people\.db"):
            ask(People(path))
    assert path.read_bytes() == before


def test_many_begin_at_once(tmp_path):
    """The first writers of an older file all want to migrate it."""
    path = older(tmp_path / "people.db", 2)
    failed = []

    def write(k: int) -> None:
        try:
            People(path).note("s", "t", 100 + k, "x")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed
    assert len(People(path).notes("s", "t")) == 7


def test_a_newer_file_and_a_newer_database_are_refused_and_left(tmp_path, server, monkeypatch):
    path = tmp_path / "people.db"
    People(path).note("s", "t", 1, "x")
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    for ask in (lambda p: p.notes("s", "t"), lambda p: p.note("s", "t", 1, "y"), lambda p: p.feed()):
        with pytest.raises(NewerSchema, match="99"):
            ask(People(path))
    assert path.read_bytes() == before
    other = People(tmp_path / "w" / "people.db")
    other.path.parent.mkdir()
    name = new_database(server, monkeypatch)
    other.note("s", "t", 1, "x")
    server.sql("UPDATE loupe_schema SET version_num = '9999'", name)
    from analysis.people import adopted

    adopted._present.clear()  # as after a restart
    for ask in (lambda p: p.notes("s", "t"), lambda p: p.note("s", "t", 1, "y")):
        with pytest.raises(NewerSchema, match="9999"):
            ask(People(other.path))


def test_the_migrations_make_what_the_tables_say_in_both(people):
    """The tables as Alembic made them, asked of the database, are those of tables.py."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from analysis.people.tables import METADATA

    people.set_star(Thing.sample("s", "1"))
    with people.place.reading() as book:
        context = MigrationContext.configure(book.connection, opts={"version_table": "loupe_schema"})
        assert compare_metadata(context, METADATA) == []


def test_the_last_migration_is_the_one_that_the_program_expects():
    from alembic.script import ScriptDirectory

    found = ScriptDirectory(str(migrating.FOLDER))
    assert found.get_current_head() == migrating.HEAD
    assert migrating.REVISION[migrating.SCHEMA] == migrating.HEAD


def test_the_migrations_are_in_the_package_that_is_installed():
    import setuptools

    found = setuptools.find_packages(str(ROOT), include=["analysis*"])
    assert {"analysis.people.migrations", "analysis.people.migrations.versions"} <= set(found)


def test_the_sample_workspace_as_it_was_then(tmp_path):
    """With a people.db of schema 2: read by everything, then written."""
    shutil.copytree(
        ROOT / "sample_data" / "workspace", tmp_path / "w", ignore=shutil.ignore_patterns("stores", "cache")
    )
    (tmp_path / "w" / "stores").mkdir()
    older(tmp_path / "w" / "people.db", 2)
    workspace = Workspace.open(tmp_path / "w")
    assert [s.name for s in workspace.selections()] == ["fours", "some"]
    workspace.star("s", "t", 9)
    assert workspace.stars("s", "t") == (3, 9)


@pytest.mark.parametrize("schema", [2, 3])
def test_a_read_only_workspace_can_be_read(schema, monkeypatch):
    """By whoever may not write there; as root may write anywhere, a forked child becomes another user."""
    monkeypatch.setattr(tempfile, "tempdir", None)  # where another user can go too
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as scratch:
        folder = Path(name)
        Path(scratch).chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", scratch)
        older(folder / "people.db", 2)
        if schema == 3:
            People(folder / "people.db").star("s", "t", 4)
        assert People(folder / "people.db").notes(
            "s", "t"
        )  # everything is imported, and a connection is open
        folder.chmod(0o555)
        (folder / "people.db").chmod(0o444)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                read_only_as_it_is(folder)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        folder.chmod(0o755)
    assert status == 0


def read_only_as_it_is(folder: Path) -> None:
    people = People(folder / "people.db")
    assert people.notes("s", "t") == {7: "sees edges"}
    assert len(people.selections()) == 2
    with pytest.raises(InputError, match="writable"):
        people.note("s", "t", 1, "x")
    with pytest.raises(InputError, match="writable"):
        People(folder / "other.db").note("s", "t", 1, "x")


# ---------------------------------------------------------------------------- into PostgreSQL
def test_a_workspace_moves_into_the_database_with_its_history(tmp_path, server, monkeypatch):
    path = older(tmp_path / "people.db", 2)
    with by("ann"):
        People(path).reply(Thing.feature("s", "t", 7), "no")
    before, content = People(path).feed(), path.read_bytes()
    new_database(server, monkeypatch)
    people = People(path)
    assert people.feed() == before  # nothing is in the database yet: the file is read, and nothing is written
    assert not (tmp_path / ".people-id").exists()
    people.note("s", "t", 8, "in the database")
    assert people.feed()[1:] == before
    assert people.feed()[0].seq == before[0].seq + 1
    assert path.read_bytes() == content
    assert people.selection("some").ids.tolist() == [2, 5, 9]
    assert People(path).notes("s", "t")[8] == "in the database"


def test_workspaces_share_a_database_and_see_only_their_own(tmp_path, server, monkeypatch):
    name = new_database(server, monkeypatch)
    made = []
    for n in range(3):
        (tmp_path / str(n)).mkdir()
        made.append(People(tmp_path / str(n) / "people.db"))
        made[n].note("s", "t", 1, f"of {n}")
        made[n].save_selection(Selection("mine", "rows", "s", "t", [n]))
    assert [p.notes("s", "t")[1] for p in made] == ["of 0", "of 1", "of 2"]
    assert [p.selection("mine").ids.tolist() for p in made] == [[0], [1], [2]]
    assert [len(p.feed()) for p in made] == [2, 2, 2]
    assert server.sql("SELECT count(*) FROM loupe_workspaces", name) == [(3,)]
    made[0].delete_selection("mine")
    assert len(made[1].selections()) == 1


def test_processes_that_begin_at_once_agree(tmp_path, server, monkeypatch):
    """Four processes write first, in an empty database: one migrates, one names the workspace, all write."""
    new_database(server, monkeypatch)
    older(tmp_path / "people.db", 2)
    code = "import sys; from pathlib import Path; from analysis.people import People; " + (
        "People(Path(sys.argv[1])).note('s', 't', int(sys.argv[2]), 'x')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "people.db", str(100 + k)], cwd=ROOT)
        for k in range(4)
    ]
    assert [p.wait(120) for p in running] == [0] * 4
    people = People(tmp_path / "people.db")
    assert sorted(people.notes("s", "t")) == [7, 100, 101, 102, 103]
    assert [c.seq for c in people.feed()] == list(range(8, 0, -1))


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "secret", "sqlite:///x?password=secret", "postgresql+x://u:secret@h/d",
                                 "postgresql://u:secret@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d?password=secret",
                                 "postgresql://u:secret@127.0.0.1:99999999/d"])  # fmt: skip
def test_a_password_is_never_shown(tmp_path, monkeypatch, url):
    monkeypatch.setenv("LOUPE_DATABASE_URL", url)
    people = People(tmp_path / "people.db")
    for ask in (
        lambda: people.note("s", "t", 1, "x"),
        lambda: (workspace_ids.given(tmp_path), people.notes("s", "t")),
    ):
        with pytest.raises((ParameterError, InputError)) as caught:
            ask()
        assert "secret" not in str(caught.value) + repr(caught.value)
        assert caught.value.__cause__ is None
        (tmp_path / ".people-id").unlink(missing_ok=True)
    assert not (tmp_path / "people.db").exists()


def test_a_wrong_password_is_a_sentence_without_it(tmp_path, server, monkeypatch):
    monkeypatch.setenv("LOUPE_DATABASE_URL", server.url(password="a-wrong-one"))
    with pytest.raises(InputError, match="does not answer") as caught:
        People(tmp_path / "people.db").note("s", "t", 1, "x")
    assert "a-wrong-one" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_letter_is_refused_before_anything_is_written(
    tmp_path, server, monkeypatch, encoding
):
    """`initdb` in the C locale makes SQL_ASCII, where texts come back as bytes; LATIN1 refuses most names."""
    name = f"loupe_{encoding.lower()}"
    server.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    monkeypatch.setenv("LOUPE_DATABASE_URL", server.url(name))
    with pytest.raises(InputError, match=f"keeps its texts as {encoding}") as caught:
        People(tmp_path / "people.db").note("s", "t", 1, "Größe")
    assert "UTF8" in str(caught.value)
    assert server.sql("SELECT count(*) FROM pg_tables WHERE tablename LIKE 'loupe%'", name) == [(0,)]
