"""Who is acting, and what that person may do: told once by whoever knows, asked wherever something is written.

On one's own machine everybody is the owner. A host that knows its visitors says with `told_by` who asks now; the
places that write (people's notes and selections, the queue of jobs, whatever removes something) call `require`, so
that a page which forgot to hide a button still refuses its action.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from analysis.errors import Forbidden

ROLES = ("none", "viewer", "editor", "owner")  # each may do what those before it may


@dataclass(frozen=True)
class Person:
    """Somebody who acts. `name` : how others know her (author of what she writes). `role` : one of ROLES. `id` : what
    her provider calls her, never shown ("" on one's own machine)."""

    name: str
    role: str = "owner"
    id: str = ""


_acting: ContextVar[Person | None] = ContextVar("acting", default=None)


def at_this_machine() -> Person:
    """Whoever runs this process."""
    try:
        return Person(getpass.getuser())
    except (KeyError, OSError):  # a container without a name for its user
        return Person("")


_provider: Callable[[], Person] = at_this_machine


def told_by(provider: Callable[[], Person]) -> None:
    """From now on, in this process, `provider` says who acts (a host's answer depends on the visitor)."""
    global _provider
    _provider = provider


def acting() -> Person:
    """Who acts now."""
    return _acting.get() or _provider()


@contextmanager
def acting_as(person: Person) -> Iterator[None]:
    """Within this block `person` acts (a worker that does somebody's job)."""
    token = _acting.set(person)
    try:
        yield
    finally:
        _acting.reset(token)


def may(role: str) -> bool:
    """Whether whoever acts has at least this role."""
    return ROLES.index(acting().role) >= ROLES.index(role)


def require(role: str, doing: str) -> Person:
    """Whoever acts, if she has at least this role, else Forbidden; `doing` : what is asked, as "write a note"."""
    person = acting()
    if ROLES.index(person.role) < ROLES.index(role):
        raise Forbidden(
            f"{person.name or 'a visitor'} may not {doing} here (role: {person.role})",
            f"the role of {role} in this workspace",
            "Ask an owner of the workspace for it",
        )
    return person
