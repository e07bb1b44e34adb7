"""Who may do what in one workspace: `members.json` in it, which only its owners change.

Owners that the environment names are owners of every workspace; nobody takes that away on a page, so that nobody locks
the host's owner out. A file that cannot be read gives a role to nobody else.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from analysis import access
from analysis.errors import InputError, NotFound, ParameterError
from analysis.store.durable import write_file
from dashboard.hosting.settings import EMAIL

FILE, LOCK, SCHEMA = "members.json", ".members.lock", 1
GIVEN = ("viewer", "editor", "owner")  # what a member can be
BY_HOST = "the host's environment"


@dataclass(frozen=True)
class Member:
    """`by` gave the role at `when` (ISO, UTC)."""

    email: str
    role: str
    by: str = ""
    when: str = ""


class Members:
    """The people of the workspace at `path`; `owners`: those whom the environment names."""

    def __init__(self, path: Path, owners: tuple[str, ...] = ()) -> None:
        self.path, self.owners = Path(path), tuple(o.lower() for o in owners)

    def role(self, email: str, default: str = "none") -> str:
        """What this person may; `default` for one who is no member. Cost: a look at one file's date."""
        email = email.lower()
        if email in self.owners:
            return "owner"
        found, problem = _read(self.path / FILE)
        if problem:
            return "none"
        return found[email].role if email in found else default

    def listed(self) -> list[Member]:
        """Everybody with a role, owners first. Raises InputError where the file cannot be read."""
        found = self._whole()
        kept = [m for m in found.values() if m.email not in self.owners]
        kept += [Member(email, "owner", BY_HOST) for email in self.owners]
        return sorted(kept, key=lambda m: (-access.ROLES.index(m.role), m.email))

    def put(self, email: str, role: str) -> Member:
        """Give somebody a role. Raises Forbidden, ParameterError, InputError where nobody would be left as owner."""
        email = _address(email)
        if role not in GIVEN:
            raise ParameterError(f"the role {role[:40]!r}", "one of " + ", ".join(GIVEN))
        person = access.require("owner", f"make {email} {role} of this workspace")
        made = Member(email, role, person.name, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._changing(email) as found:
            found[email] = made
        return made

    def remove(self, email: str) -> None:
        """Take the role away. Raises Forbidden, NotFound, InputError where nobody would be left as owner."""
        email = _address(email)
        access.require("owner", f"remove {email} from this workspace")
        with self._changing(email) as found:
            if email not in found:
                raise NotFound(
                    f"{email} is no member of this workspace", "one who is", "Look at the list of people"
                )
            del found[email]

    @contextmanager
    def _changing(self, email: str) -> Iterator[dict[str, Member]]:
        """The members, to be changed: one change at a time, written whole."""
        if email in self.owners:
            raise InputError(
                f"{email} is an owner by the host's environment",
                "somebody else",
                "Change LOUPE_OWNERS and start again",
            )
        with open(self.path / LOCK, "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = dict(self._whole())
            had = any(m.role == "owner" for m in found.values())
            yield found
            if had and not self.owners and not any(m.role == "owner" for m in found.values()):
                raise InputError(
                    "nobody would be left as owner", "at least one owner", "Make somebody owner first"
                )
            members = {m.email: {k: v for k, v in asdict(m).items() if k != "email"} for m in found.values()}
            write_file(
                self.path / FILE, json.dumps({"schema": SCHEMA, "members": members}, indent=1).encode()
            )

    def _whole(self) -> dict[str, Member]:
        found, problem = _read(self.path / FILE)
        if problem:
            raise InputError(
                f"{self.path / FILE} cannot be read ({problem})",
                "the people of this workspace",
                "Restore it from a copy, or remove it and begin anew; until then only LOUPE_OWNERS come in",
            )
        return found


def _read(file: Path) -> tuple[dict[str, Member], str]:
    """The members by e-mail, and what is wrong with the file."""
    try:
        at = os.stat(file)
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, error.strerror or "no access"
    return _parsed(str(file), (at.st_mtime_ns, at.st_size, at.st_ino))


@functools.lru_cache(maxsize=64)
def _parsed(file: str, stamp: tuple) -> tuple[dict[str, Member], str]:
    try:
        with open(file, encoding="utf-8") as f:
            given = json.load(f)
        if given["schema"] > SCHEMA:
            return {}, f"schema {given['schema']}, at most {SCHEMA} is known"
        found = {e.lower(): Member(e.lower(), m["role"], m.get("by", ""), m.get("when", ""))
                 for e, m in given["members"].items()}  # fmt: skip
    except OSError as error:
        return {}, error.strerror or "no access"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, "it is not what this program writes"
    if bad := [m.email for m in found.values() if m.role not in GIVEN]:
        return {}, f"the role of {bad[0][:80]}"
    return found, ""


def _address(email: str) -> str:
    email = email.strip().lower()
    if not EMAIL.fullmatch(email):
        raise ParameterError(f"{email[:80]!r} is no e-mail address", "one such as ada@example.org")
    return email
