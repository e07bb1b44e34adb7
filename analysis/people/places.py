"""Where a workspace's writings are: `people.db` in it, or PostgreSQL where LOUPE_DATABASE_URL names one.

In PostgreSQL a workspace is known by the id in its hidden file `.people-id`, made when somebody first writes. It does
not travel in a pack, so that what is unpacked beside the original has notes of its own; a folder copied with its hidden
files shares them. Until a workspace is in the database its people.db is what is read, and its content becomes the
first rows there, in the same transaction as the first thing written. From then on people.db is only what was before.

A database with the tables of an older version is brought to the present ones by whoever comes first, also to read:
what is in it could not be shown otherwise.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import access
from analysis.people import workspace_ids
from analysis.people.adopted import ONE_MIGRATES, Adopted
from analysis.people.older_files import CACHE

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from analysis.people.writing import Book, Pen

VARIABLE = "LOUPE_DATABASE_URL"
LONGEST_NAME = 200  # characters of an author's name that are kept: it stands in an index


class Place:
    """Where to read and write; any thread or process may use one."""

    def __init__(self, path: Path) -> None:
        self.path = path  # people.db
        self._adopted = Adopted(path.parent / CACHE)

    @property
    def where(self) -> str:
        """For messages: the file, or the database without its password."""
        from analysis.people import engines

        url = self.url()
        return str(self.path) if url is None else engines.shown(url)

    def url(self) -> URL | None:
        """The database, None where people.db is to be used. Raises ParameterError."""
        text = os.environ.get(VARIABLE, "").strip()
        if not text:
            return None
        from analysis.people import engines

        return engines.parsed(text)

    # ------------------------------------------------------------------ reading
    @contextlib.contextmanager
    def reading(self) -> Iterator[Book | None]:
        """What there is at one moment, None where nothing was ever written. Writes nothing anywhere."""
        if not os.environ.get(VARIABLE) and not self.path.exists():
            yield None  # and SQLAlchemy is not imported
            return
        from analysis.people.refusals import in_words
        from analysis.people.writing import Book

        with contextlib.ExitStack() as stack:
            stack.enter_context(in_words(self.where, self._adopted.forget))
            connection, workspace = self._on_server(stack) or (self._in_file(stack), "")
            yield None if connection is None else Book(connection, workspace)

    def _on_server(self, stack: contextlib.ExitStack) -> tuple[Connection, str] | None:
        url, id = self.url(), workspace_ids.known(self.path.parent)
        if url is None or id is None:
            return None
        from analysis.people import engines

        connection = stack.enter_context(engines.of_server(url).connect())
        stack.enter_context(connection.begin())
        return (connection, id) if self._adopted.has(connection, url, id) else None

    def _in_file(self, stack: contextlib.ExitStack) -> Connection | None:
        from analysis.people import engines, older_files
        from analysis.people.migrating import SCHEMA

        try:
            engine = engines.of_file(self.path)
        except FileNotFoundError:
            return None
        connection = stack.enter_context(engine.connect())
        stack.enter_context(connection.begin())
        version = older_files.file_version(connection, self.path)
        if version == 0:  # begun by somebody who was stopped
            return None
        if version < SCHEMA:
            connection = stack.enter_context(older_files.renewed(self.path).connect())
            stack.enter_context(connection.begin())
        return connection

    # ------------------------------------------------------------------ writing
    @contextlib.contextmanager
    def writing(self, doing: str) -> Iterator[Pen]:
        """One transaction: all of it is kept, or nothing. Raises Forbidden, and as `refusals`."""
        person = access.require("editor", doing)
        from analysis.people.refusals import in_words
        from analysis.people.writing import Pen

        with in_words(self.where, self._adopted.forget):
            engine, workspace = self._writable()
            with engine.connect().execution_options(writes=True) as connection:
                connection.begin()  # undone when the connection is given back before it was kept
                self._prepare(connection, workspace)
                pen = Pen(connection, workspace, person.name[:LONGEST_NAME])
                yield pen
                pen.close()
                self._keep(connection)

    def _keep(self, connection: Connection) -> None:
        from sqlalchemy.exc import DBAPIError

        from analysis.people.refusals import commit_unknown

        try:
            connection.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise commit_unknown(self.where) from None
            raise

    def _writable(self) -> tuple[Engine, str]:
        from analysis.people import engines

        url = self.url()
        if url is None:
            return engines.of_file(self.path, create=True), ""
        return engines.of_server(url), workspace_ids.given(self.path.parent)

    def _prepare(self, connection: Connection, workspace: str) -> None:
        """The present tables, with this workspace in them."""
        from analysis.people import adopted, carrying, figure_moves, migrating, older_files

        if not workspace:
            if older_files.file_version(connection, self.path) < migrating.SCHEMA:
                migrating.upgrade(connection)
                figure_moves.move(connection, "", self.path.parent / CACHE)
            carrying.begin(connection, "")
            return
        url = self.url()
        present = adopted.is_present(connection, str(url))
        if not present:
            connection.exec_driver_sql(ONE_MIGRATES)
            migrating.upgrade(connection)
        if present and self._adopted.has(connection, url, workspace):
            return
        if carrying.begin(connection, workspace):  # not remembered yet: it may be undone
            self._bring(connection, workspace)

    def _bring(self, connection: Connection, workspace: str) -> None:
        """What people.db holds becomes the workspace's first rows in the database."""
        from analysis.people import carrying
        from analysis.people.refusals import in_words

        with contextlib.ExitStack() as stack:
            stack.enter_context(in_words(str(self.path)))
            before = self._in_file(stack)
            if before is not None:
                carrying.copy(before, "", connection, workspace)
