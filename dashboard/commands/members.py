"""`loupe members`: the people of a workspace, from the host's own shell."""

from __future__ import annotations

import os

from dashboard.commands.output import one_line, plain, print_json, workspace_of
from dashboard.hosting import reading
from dashboard.hosting.roles import Members


def list_(given) -> int:
    """Everybody with a role."""
    found = _members(given).listed()
    if given.json:
        return print_json({"kind": "members", "members": [plain(m) for m in found]})
    for member in found:
        by = f"  (by {member.by}{', ' + member.when[:10] if member.when else ''})" if member.by else ""
        print(one_line(f"{member.email}  {member.role}{by}"))
    if not found:
        print("nobody yet; LOUPE_OWNERS names the first owners of a host")
    return 0


def add(given) -> int:
    """Give a role."""
    made = _members(given).put(given.email, given.role)
    if given.json:
        return print_json({"kind": "member", **plain(made)})
    print(f"{made.email} is {made.role} now")
    return 0


def remove(given) -> int:
    """Take it away."""
    _members(given).remove(given.email)
    if given.json:
        return print_json({"kind": "removed", "email": given.email})
    print(f"{one_line(given.email)} is no member any more")
    return 0


def _members(given) -> Members:
    return Members(workspace_of(given).path, reading.words(os.environ, "LOUPE_OWNERS"))
