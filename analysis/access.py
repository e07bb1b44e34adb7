"""Who is acting, and what that person may do: told once by whoever knows, asked wherever something is written.

On one's own machine everybody is the owner. A host that knows its visitors says with `told_by` who asks now; the
places that write (people's notes and selections, the queue of jobs, whatever removes something) call `require`, so
that a page which forgot to hide a button still refuses its action.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from analysis.errors import Forbidden

ROLES = ("none", "viewer", "editor", "owner")  # each may do what those before it may
HOSTED = "LOUPE_HOSTED"  # in the environment of a host and of its workers


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


def _unheard(person: Person, role: str, doing: str, allowed: bool) -> None:
    """On one's own machine nobody listens."""


_provider: Callable[[], Person] = at_this_machine
_listener: Callable[[Person, str, str, bool], None] = _unheard


def told_by(
    provider: Callable[[], Person], listener: Callable[[Person, str, str, bool], None] = _unheard
) -> None:
    """From now on, in this process, `provider` says who acts (a host's answer depends on the visitor), and `listener`
    hears what `require` was asked: who, the role that it takes, what, and whether it is allowed. What the listener
    raises, the one who asked gets: what cannot be written down is not done."""
    global _provider, _listener
    _provider, _listener = provider, listener


def hosted() -> bool:
    """Whether this process serves a team, or works for one that does."""
    return os.environ.get(HOSTED) == "1"


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
    allowed = ROLES.index(person.role) >= ROLES.index(role)
    _listener(person, role, doing, allowed)
    if not allowed:
        raise Forbidden(
            f"{person.name or 'a visitor'} may not {doing} here (role: {person.role})",
            f"the role of {role} in this workspace",
            "Ask an owner of the workspace for it",
        )
    return person
