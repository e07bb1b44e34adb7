"""Which workspaces a database is known to have; asked of it once, until something fails. What an older version of this
program left there is brought to the present before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import NewerSchema

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


ONE_MIGRATES = "SELECT pg_advisory_xact_lock(7316523)"  # others wait


class Adopted:
    """Pairs of a database and a workspace's id. `cache` : of the workspace, whose results know what figures are of."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._known: set[tuple[str, str]] = set()

    def has(self, connection: Connection, url: URL, id: str) -> bool:
        """Whether this workspace is in the database. Raises NewerSchema."""
        from sqlalchemy import select

        from analysis.people.tables import WORKSPACES

        key = (str(url), id)
        if key in self._known:
            return True
        if not (is_present(connection, str(url)) or _brought_up(connection, url)):
            return False
        if connection.execute(select(WORKSPACES.c.id).where(WORKSPACES.c.id == id)).first() is None:
            return False
        self._name_figures(connection, url, id)
        self._known.add(key)
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
            figure_moves.move(writes, id, self.cache)

    def forget(self) -> None:
        """After a failure nothing is known of the database: it may be another one."""
        self._known.clear()
        _present.clear()


_present: set[str] = set()


def _brought_up(connection: Connection, url: URL) -> bool:
    """Whether the database had the tables of an older version; it has the present ones now."""
    from analysis.people import engines, migrating

    if not migrating.revision(connection):
        return False
    with engines.of_server(url).begin() as writes:
        writes.exec_driver_sql(ONE_MIGRATES)
        migrating.upgrade(writes)
    return is_present(connection, str(url))


def is_present(connection: Connection, url: str) -> bool:
    """Whether the database has the present tables. Raises NewerSchema."""
    from analysis.people import migrating

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
