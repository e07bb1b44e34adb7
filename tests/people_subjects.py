"""Places to write in: a people.db, or a database of its own on a real PostgreSQL server; and files of older schemas."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path

from postgres_server import Server

from analysis import access

_numbers = itertools.count()


def new_database(server: Server, monkeypatch) -> str:
    """An empty one, that LOUPE_DATABASE_URL names from now on."""
    name = f"loupe_{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name}")
    monkeypatch.setenv("LOUPE_DATABASE_URL", server.url(name))
    return name


def by(name: str, role: str = "editor"):
    """Whatever is done inside is done by this person."""
    return access.acting_as(access.Person(name, role))


OLD = """
CREATE TABLE IF NOT EXISTS selections (
    name TEXT PRIMARY KEY, of TEXT NOT NULL, store TEXT NOT NULL, tap TEXT NOT NULL, ids {ids} NOT NULL,
    note TEXT NOT NULL, author TEXT NOT NULL, made TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stars (
    store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, author TEXT NOT NULL, made TEXT NOT NULL,
    PRIMARY KEY (store, tap, unit));
CREATE TABLE IF NOT EXISTS notes (
    store TEXT NOT NULL, tap TEXT NOT NULL, unit INTEGER NOT NULL, text TEXT NOT NULL, author TEXT NOT NULL,
    made TEXT NOT NULL, PRIMARY KEY (store, tap, unit));
"""


def older(path: Path, schema: int) -> Path:
    """A people.db as the program of that schema wrote it. That of schema 2 was begun with schema 1."""
    from analysis.selection import Selection, to_bytes

    with sqlite3.connect(path) as old:
        old.executescript(OLD.format(ids="TEXT"))
        rows = [
            ("fours", "samples", "s", "t", json.dumps(["b", "a"]), "odd", "ann", "2026-01-02T00:00:00+00:00")
        ]
        if schema == 2:
            packed = to_bytes(Selection("", "rows", "s", "t", [5, 2, 9]))
            rows.append(("some", "rows", "s", "t", packed, "", "bob", "2026-01-01T00:00:00+00:00"))
        old.executemany("INSERT INTO selections VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        old.execute("INSERT INTO stars VALUES ('s', 't', 3, 'ann', '2026-01-03T00:00:00+00:00')")
        old.execute(
            "INSERT INTO notes VALUES ('s', 't', 7, 'sees edges', 'bob', '2026-01-04T00:00:00+00:00')"
        )
        old.execute(f"PRAGMA user_version = {schema}")
    old.close()
    return path
