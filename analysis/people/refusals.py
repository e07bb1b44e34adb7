"""What a database's failures mean to a person. Neither passwords nor written texts are repeated."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator

from sqlalchemy import exc

from analysis.errors import Busy, InputError, LoupeError, StoreDamaged
from analysis.store.durable import DiskFull


class Unreachable(InputError):
    """The database does not answer. What was being written is not kept, or `remedy` says that it is not known."""


@contextlib.contextmanager
def in_words(where: str, failed: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turn failures of the enclosed work into refusals; `where` : the file, or the database without its password;
    `failed` is called before."""
    try:
        yield
    except (exc.DBAPIError, exc.TimeoutError) as error:
        failed()
        found = getattr(error, "orig", None) or error
        raise (_of_sqlite if isinstance(found, sqlite3.Error) else _of_server)(found, where) from None
    except sqlite3.Error as error:
        raise _of_sqlite(error, where) from None


def _of_sqlite(error: Exception, where: str) -> LoupeError:
    said = str(error)
    if "full" in said:
        return DiskFull(f"the disk is full: {where} could not be written", "free space",
                        "Free some and write it again; what was there before is kept")  # fmt: skip
    if "locked" in said or "busy" in said:
        return Busy(f"{where} is being written by others ({said})", "a moment's rest", "Try again")
    if isinstance(error, sqlite3.OperationalError):
        return InputError(f"{where} cannot be written or read ({said})", "a writable workspace",
                          "Check its permissions and disk space")  # fmt: skip
    return StoreDamaged(f"{where} is damaged ({said})", "the file with what people wrote",
                        "Restore it from a copy, or move it away to begin anew")  # fmt: skip


def _of_server(error: Exception, where: str) -> LoupeError:
    import psycopg

    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
        return Busy(f"{where} is being written by others", "a moment's rest", "Try again")
    if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(f"the disk of {where} is full", "free space", "Free some and write it again")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | exc.TimeoutError):
        kind = type(error).__name__ if "password" in said.lower() else said
        return Unreachable(f"{where} does not answer ({kind})", "a running database",
                           "Nothing was written. Try again when it runs")  # fmt: skip
    return InputError(f"{where} refused ({type(error).__name__})", "tables of this program that may be written",
                      "Check the database's permissions and its log")  # fmt: skip


def commit_unknown(where: str) -> Unreachable:
    """The connection was lost between asking to keep it and the answer."""
    return Unreachable(f"{where} was lost while it kept what you wrote", "an answer",
                       "It is there whole or not at all: look before you write it again")  # fmt: skip
