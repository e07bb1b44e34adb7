"""What this process is a host of: told once when it starts, asked by pages and by whoever writes.

Nothing here on one's own machine: `current()` is None, everybody is the owner, and pages look as they always did.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from analysis import access
from analysis.access import Person
from dashboard.hosting import settings as reading
from dashboard.hosting import sign_in
from dashboard.hosting.audit import AuditLog
from dashboard.hosting.roles import Members
from dashboard.hosting.settings import Settings
from dashboard.hosting.sign_in import Identity, NotLetIn
from dashboard.hosting.sign_outs import SignOuts

NOBODY = Person("", "none")
REMEMBERED_S = 0.1  # so long a run of a page, which asks some thirty times, takes a visitor for the same


@dataclass(frozen=True)
class Host:
    """Everything about the host that outlives a request."""

    settings: Settings
    members: Mapping[str, Members] = field(init=False, default_factory=dict)

    @cached_property
    def audit(self) -> AuditLog:
        return AuditLog(self.settings.audit)

    @cached_property
    def sign_outs(self) -> SignOuts:
        return SignOuts(self.settings.audit)

    @property
    def workspaces(self) -> dict[str, Path]:
        return dict(self.settings.workspaces)

    def people(self, workspace: str) -> Members:
        """The members of one workspace, by its name. Raises KeyError."""
        return Members(self.workspaces[workspace], self.settings.owners)

    def role(self, workspace: str, email: str) -> str:
        return self.people(workspace).role(email, self.settings.default_role)

    def open_to(self, email: str) -> list[str]:
        """Names of the workspaces in which this person may at least look."""
        return [name for name in self.workspaces if self.role(name, email) != "none"]


_current: Host | None = None
_just_now = threading.local()  # a run of a page has a thread to itself


def begin(settings: Settings | None = None) -> Host:
    """Make this process a host, of `settings` or of what the environment says. Workers inherit that they are hosted
    and which roots may be read, and no secret."""
    global _current
    _current = Host(settings or reading.read())
    os.environ[access.HOSTED] = "1"
    os.environ["LOUPE_ROOTS"] = os.pathsep.join(map(str, _current.settings.roots))
    access.told_by(visitor, written_down)
    return _current


def current() -> Host | None:
    """The host; None on one's own machine."""
    return _current


def takes_uploads() -> bool:
    """Whether a visitor may upload a file."""
    return _current is None or _current.settings.uploads_mb > 0


def identity() -> Identity | None:
    """Who looks at the page that asks; None where nobody is signed in, or where no page asks (a thread of the
    server). Raises NotLetIn."""
    from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

    context = get_script_run_ctx(suppress_warning=True)
    if _current is None or context is None:
        return None
    return sign_in.who(context.user_info, _current.settings, _current.sign_outs)


def visitor() -> Person:
    """Whoever asks now, with her role in the workspace that she looks at. For `access.told_by`. Within one run of a
    page it is asked anew after REMEMBERED_S; the gate asks at every click."""
    from dashboard import state

    run, workspace = _run(), state.workspace_name()
    found, of, where, until = getattr(_just_now, "visitor", (NOBODY, None, "", 0.0))
    if run is None or of is not run or where != workspace or time.monotonic() > until:
        found = _visitor(workspace)
        _just_now.visitor = found, run, workspace, time.monotonic() + REMEMBERED_S
    return found


def _run() -> object | None:
    """What one run of a page has to itself: Streamlit makes the places that it writes to anew for each."""
    from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

    return getattr(get_script_run_ctx(suppress_warning=True), "cursors", None)


def _visitor(workspace: str) -> Person:
    try:
        found = identity()
    except NotLetIn:
        found = None
    if found is None:
        return NOBODY
    return Person(found.email, _current.role(workspace, found.email), found.id)


def written_down(person: Person, role: str, doing: str, allowed: bool) -> None:
    """Every change goes to the audit log before it happens, and what is refused. For `access.told_by`."""
    if allowed and role != "viewer":
        note("changed", doing, person)
    elif not allowed and _current is not None:
        from dashboard import state

        _current.audit.limited("refused", doing, state.came_from(), person.name)


def note(what: str, which: str, person: Person | None = None) -> None:
    """A line of the audit log about whoever acts; nothing on one's own machine."""
    if _current is None:
        return
    from dashboard import state

    person = person or access.acting()
    _current.audit.write(what, person.name, which, role=person.role, workspace=state.workspace_name(),
                         address=state.came_from())  # fmt: skip


def exporting(call: Callable[[], bytes], which: str) -> Callable[[], bytes]:
    """`call`, which makes a file when somebody clicks, written down as that person's export when it does. A page that
    is drawn knows who; the click itself comes as a request of its own."""
    if _current is None:
        return call
    from dashboard import state

    person, host = access.require("viewer", "export"), _current
    at = {"role": person.role, "workspace": state.workspace_name(), "address": state.came_from()}

    def made() -> bytes:
        data = call()
        host.audit.write("exported", person.name, which, **at)
        return data

    return made
