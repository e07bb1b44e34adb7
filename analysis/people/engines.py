"""One pool of connections for each database and process: opening one takes longer than asking it.

A forked child begins anew (a connection must not be used on both sides of a fork), and a people.db that was replaced by
another file is opened anew.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from functools import lru_cache
from pathlib import Path

from sqlalchemy import URL, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from analysis.errors import InputError, NotInstalled, ParameterError

WAIT = 30.0  # seconds for others who write
SERVER = {  # a writer that stops answering must not keep all others waiting
    "lock_timeout": "15s", "statement_timeout": "60s", "idle_in_transaction_session_timeout": "60s",
}  # fmt: skip
_engines: dict[tuple, Engine] = {}
_lock = threading.Lock()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # whoever held it is not here
    for engine in _engines.values():
        engine.dispose(close=False)
    _engines.clear()


os.register_at_fork(after_in_child=_after_fork)


def _kept(key: tuple, make) -> Engine:
    engine = _engines.get(key)
    if engine is None:
        with _lock:
            engine = _engines.get(key)
            if engine is None:
                engine = _engines[key] = make()
    return engine


def of_file(path: Path, create: bool = False) -> Engine:
    """The pool of a people.db. It is not made unless `create`."""
    place = os.path.abspath(path)
    if create and not os.path.exists(place):
        sqlite3.connect(f"{Path(place).as_uri()}?mode=rwc", uri=True).close()
    found = os.stat(place)
    key = (place, found.st_dev, found.st_ino)
    if key not in _engines:
        forget(path)  # another file of that name
    return _kept(key, lambda: _file_engine(f"{Path(place).as_uri()}?mode=rw"))


def forget(path: Path) -> None:
    """Close all connections to a people.db, whichever file it was."""
    place = os.path.abspath(path)
    with _lock:
        for key in [k for k in _engines if k[0] == place]:
            _engines.pop(key).dispose()


def _file_engine(uri: str) -> Engine:
    def connect():
        found = sqlite3.connect(uri, uri=True, timeout=WAIT, check_same_thread=False, isolation_level=None)
        found.execute("PRAGMA trusted_schema = OFF")  # it may have come from a stranger
        return found

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=56)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection) -> None:
    """Writers queue at the beginning; Python's own way takes the lock too late, when two may wait for each other."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def of_server(url: URL) -> Engine:
    """The pool of a PostgreSQL database; a lost connection is noticed before it is used. Raises NotInstalled."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise NotInstalled("psycopg is not installed", "it, for PostgreSQL",
                           "pip install 'feature-loupe[hosted]'") from None  # fmt: skip
    options = " ".join(f"-c {name}={value}" for name, value in SERVER.items())
    given = {"connect_timeout": 5, "application_name": "feature-loupe", "options": options, **url.query}
    given |= {"keepalives_idle": 30, "tcp_user_timeout": 30_000, "client_encoding": "utf8"}
    look = {
        "pool_pre_ping": True,
        "pool_size": 5,
        "max_overflow": 15,
        "pool_timeout": 15,
        "pool_recycle": 1800,
    }

    def make() -> Engine:
        engine = create_engine(url.set(query={}), connect_args=given, **look)
        event.listen(engine, "connect", lambda connection, record: _any_letter(connection, url))
        return engine

    return _kept((url.render_as_string(hide_password=False),), make)


def answers(url: URL) -> None:
    """Ask the database whether it would hold what people write. Raises Unreachable, InputError, NotInstalled."""
    from analysis.people.refusals import in_words

    with in_words(shown(url)), of_server(url).connect():
        pass


def _any_letter(connection, url: URL) -> None:
    """A database made in the C locale keeps bytes, one made in Latin-1 refuses most names: both said before writing."""
    held = connection.info.parameter_status("server_encoding")
    if held != "UTF8":
        raise InputError(f"{shown(url)} keeps its texts as {held}", "a database in UTF8",
                         "Make one: createdb --encoding UTF8 --template template0 NAME")  # fmt: skip


@lru_cache(maxsize=8)
def parsed(text: str) -> URL:
    """LOUPE_DATABASE_URL for psycopg 3. Raises ParameterError, which never repeats the text: it may hold a password."""
    try:
        url = make_url(text)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError):
        kind = "a text that is none"
    if kind not in ("postgresql", "postgres"):
        raise ParameterError(f"LOUPE_DATABASE_URL is {kind}", "postgresql://user:password@host:port/database",
                             "Leave it out to keep people's notes in the workspace")  # fmt: skip
    return url.set(drivername="postgresql+psycopg")


def shown(url: URL) -> str:
    """The database without its password, and without options that may hold one."""
    return f"the database {url.set(query={}, drivername='postgresql').render_as_string(hide_password=True)}"
