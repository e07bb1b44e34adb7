"""From any older schema to the present one, by Alembic, in one transaction: killed in the middle, it is as before."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from sqlalchemy import Connection, text

from analysis.errors import StoreDamaged

HEAD, SCHEMA = "0004", 4  # the last revision; PRAGMA user_version of a people.db that has it
REVISION = {0: "", 1: "0001", 2: "0002", 3: "0003", SCHEMA: HEAD}  # of a people.db by its user_version
FOLDER = Path(__file__).parent / "migrations"
# Alembic keeps what it works on in its own module: two threads would mix theirs
_one_at_a_time = threading.Lock()


def _after_fork() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.Lock()  # whoever held it is not here


os.register_at_fork(after_in_child=_after_fork)


def upgrade(connection: Connection) -> None:
    """Bring the tables to HEAD inside the connection's transaction. Takes 0.3 s where Alembic is not loaded yet.
    Raises StoreDamaged."""
    import logging

    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    if connection.dialect.name == "sqlite":
        held = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if REVISION[held] and held < SCHEMA:
            with _one_at_a_time:
                command.stamp(config, REVISION[held])
    try:
        with _one_at_a_time:
            command.upgrade(config, HEAD)
    except (ValueError, TypeError) as error:
        raise StoreDamaged(f"an older people.db holds what cannot be read ({error})", "what was written to it",
                           "Restore it from a copy; it was left as it is") from None  # fmt: skip
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA}")


def revision(connection: Connection) -> str:
    """What a PostgreSQL database has: a revision, "" where it has nothing of ours."""
    if connection.execute(text("SELECT to_regclass('loupe_schema')")).scalar_one() is None:
        return ""
    return connection.execute(text("SELECT version_num FROM loupe_schema")).scalar_one_or_none() or ""
