"""Where a workspace's writings are: `people.db` in it, or PostgreSQL where LOUPE_DATABASE_URL names one.

In PostgreSQL a workspace is known by the id in its hidden file `.people-id`, made when somebody first writes. It does
not travel in a pack, so that what is unpacked beside the original has notes of its own; a folder copied with its hidden
files shares them. Until a workspace is in the database its people.db is what is read, and its content becomes the
first rows there, in the same transaction as the first thing written. From then on people.db is only what was before.

A database with the tables of an older version is brought to the present ones by whoever comes first, also to read:
what is in it could not be shown otherwise.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import access
from analysis.errors import InputError, NewerSchema, StoreDamaged

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from analysis.people.writing import Book, Pen

VARIABLE, ID_FILE = "LOUPE_DATABASE_URL", ".people-id"
ONE_MIGRATES = "SELECT pg_advisory_xact_lock(7316523)"  # others wait
CACHE = "cache"  # beside people.db: the workspace's results
LONGEST_NAME = 200  # characters of an author's name that are kept: it stands in an index
ID = re.compile(r"[0-9a-f]{32}")
_copies: dict[tuple, Path] = {}  # of older files, as they will be


class Place:
    """Where to read and write; any thread or process may use one."""

    def __init__(self, path: Path) -> None:
        self.path = path  # people.db
        self._adopted: set[tuple[str, str]] = set()  # (database, id) that are known to be there

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
            stack.enter_context(in_words(self.where, self._forget))
            connection, workspace = self._on_server(stack) or (self._in_file(stack), "")
            yield None if connection is None else Book(connection, workspace)

    def _on_server(self, stack: contextlib.ExitStack) -> tuple[Connection, str] | None:
        url, id = self.url(), self.id()
        if url is None or id is None:
            return None
        from analysis.people import engines

        connection = stack.enter_context(engines.of_server(url).connect())
        stack.enter_context(connection.begin())
        return (connection, id) if self._is_adopted(connection, url, id) else None

    def _is_adopted(self, connection: Connection, url: URL, id: str) -> bool:
        from sqlalchemy import select

        from analysis.people.tables import WORKSPACES

        key = (str(url), id)
        if key in self._adopted:
            return True
        if not (_is_present(connection, url) or _brought_up(connection, url)):
            return False
        if connection.execute(select(WORKSPACES.c.id).where(WORKSPACES.c.id == id)).first() is None:
            return False
        self._name_figures(connection, url, id)
        self._adopted.add(key)
        return True

    def _name_figures(self, connection: Connection, url: URL, id: str) -> None:
        """What was written on figures before revision 0004 is given its new names, kept by itself."""
        from sqlalchemy import select

        from analysis.people import engines, figure_moves
        from analysis.people.tables import WORKSPACES

        if not figure_moves.waiting(connection, id):
            return
        with engines.of_server(url).begin() as writes:
            writes.execute(select(WORKSPACES.c.id).where(WORKSPACES.c.id == id).with_for_update())
            figure_moves.move(writes, id, self.path.parent / CACHE)

    def _in_file(self, stack: contextlib.ExitStack) -> Connection | None:
        from analysis.people import engines
        from analysis.people.migrating import SCHEMA

        try:
            engine = engines.of_file(self.path)
        except FileNotFoundError:
            return None
        connection = stack.enter_context(engine.connect())
        stack.enter_context(connection.begin())
        version = file_version(connection, self.path)
        if version == 0:  # begun by somebody who was stopped
            return None
        if version < SCHEMA:
            connection = stack.enter_context(_renewed(self.path).connect())
            stack.enter_context(connection.begin())
        return connection

    # ------------------------------------------------------------------ writing
    @contextlib.contextmanager
    def writing(self, doing: str) -> Iterator[Pen]:
        """One transaction: all of it is kept, or nothing. Raises Forbidden, and as `refusals`."""
        person = access.require("editor", doing)
        from analysis.people.refusals import in_words
        from analysis.people.writing import Pen

        with in_words(self.where, self._forget):
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
        return engines.of_server(url), self.id() or self._new_id()

    def _prepare(self, connection: Connection, workspace: str) -> None:
        """The present tables, with this workspace in them."""
        from analysis.people import carrying, figure_moves, migrating

        if not workspace:
            if file_version(connection, self.path) < migrating.SCHEMA:
                migrating.upgrade(connection)
                figure_moves.move(connection, "", self.path.parent / CACHE)
            carrying.begin(connection, "")
            return
        url = self.url()
        present = _is_present(connection, url)
        if not present:
            connection.exec_driver_sql(ONE_MIGRATES)
            migrating.upgrade(connection)
        if present and self._is_adopted(connection, url, workspace):
            return
        if carrying.begin(connection, workspace):  # not remembered yet: it may be undone
            self._bring(connection, workspace)

    def _forget(self) -> None:
        """After a failure nothing is known of the database: it may be another one."""
        self._adopted.clear()
        _present.clear()

    def _bring(self, connection: Connection, workspace: str) -> None:
        """What people.db holds becomes the workspace's first rows in the database."""
        from analysis.people import carrying
        from analysis.people.refusals import in_words

        with contextlib.ExitStack() as stack:
            stack.enter_context(in_words(str(self.path)))
            before = self._in_file(stack)
            if before is not None:
                carrying.copy(before, "", connection, workspace)

    # ------------------------------------------------------------------ the workspace's id
    def id(self) -> str | None:
        """How the database knows this workspace, None where it never did. Raises StoreDamaged."""
        try:
            text = (self.path.parent / ID_FILE).read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        if not ID.fullmatch(text):
            raise StoreDamaged(
                f"{self.path.parent / ID_FILE} holds no id", "32 hexadecimal digits", "Restore it"
            )
        return text

    def _new_id(self) -> str:
        """Made whole or not at all, and once: whoever is second takes the first one's."""
        file = self.path.parent / ID_FILE
        beside = file.with_name(f"{ID_FILE}.{uuid.uuid4().hex}.tmp")
        try:
            beside.write_text(uuid.uuid4().hex, encoding="ascii")
            with contextlib.suppress(FileExistsError):
                os.link(beside, file)
        except OSError as error:
            raise InputError(f"{file} cannot be written ({error.strerror})", "a writable workspace",
                             "What the database calls it is kept in its folder") from None  # fmt: skip
        finally:
            beside.unlink(missing_ok=True)
        return self.id()


def file_version(connection: Connection, path: Path) -> int:
    """PRAGMA user_version of a people.db. Raises NewerSchema."""
    from analysis.people.migrating import SCHEMA

    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if not 0 <= version <= SCHEMA:
        raise NewerSchema(f"{path} has schema {version}", f"at most {SCHEMA}", "Update Feature Loupe")
    return version


_present: set[str] = set()


def _brought_up(connection: Connection, url: URL) -> bool:
    """Whether the database had the tables of an older version; it has the present ones now."""
    from analysis.people import engines, migrating

    if not migrating.revision(connection):
        return False
    with engines.of_server(url).begin() as writes:
        writes.exec_driver_sql(ONE_MIGRATES)
        migrating.upgrade(writes)
    return _is_present(connection, url)


def _is_present(connection: Connection, of: URL) -> bool:
    """Whether the database has the present tables. Raises NewerSchema."""
    from analysis.people import migrating

    url = str(of)
    if url in _present:
        return True
    found = migrating.revision(connection)
    if found and found not in migrating.REVISION.values():
        raise NewerSchema(f"the database has schema {found[:40]!r}", f"at most {migrating.HEAD!r}",
                          "Update Feature Loupe")  # fmt: skip
    if found != migrating.HEAD:
        return False
    _present.add(url)
    return True


def _renewed(path: Path) -> Engine:
    """The pool of a copy of an older people.db, brought to the present schema: looking never writes."""
    from analysis.people import carrying, engines

    found = os.stat(path)
    key = (str(path), found.st_ino, found.st_mtime_ns, found.st_size, os.getpid())
    if key not in _copies:
        folder = Path(tempfile.mkdtemp(prefix="loupe-people-"))
        atexit.register(_remove_copy, folder, os.getpid())
        carrying.renew(path, folder / "people.db")
        _copies[key] = folder / "people.db"
    return engines.of_file(_copies[key])


def _remove_copy(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child leaves its parent's
        shutil.rmtree(folder, ignore_errors=True)
