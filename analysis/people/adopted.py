"""Which workspaces a database is known to have; asked of it once, until something fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import NewerSchema

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


class Adopted:
    """Pairs of a database and a workspace's id."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def has(self, connection: Connection, url: URL, id: str) -> bool:
        """Whether this workspace is in the database. Raises NewerSchema."""
        from sqlalchemy import select

        from analysis.people.tables import WORKSPACES

        key = (str(url), id)
        if key in self._known:
            return True
        if not is_present(connection, str(url)):
            return False
        if connection.execute(select(WORKSPACES.c.id).where(WORKSPACES.c.id == id)).first() is None:
            return False
        self._known.add(key)
        return True

    def forget(self) -> None:
        """After a failure nothing is known of the database: it may be another one."""
        self._known.clear()
        _present.clear()


_present: set[str] = set()


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
