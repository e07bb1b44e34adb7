"""Pages of a host without a browser: the host begun in this process, and who looks at the page said by the test."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from app_pages import open_page

from analysis import access
from analysis.workspace import Workspace
from dashboard.hosting import host
from dashboard.hosting.settings import Settings
from dashboard.hosting.sign_in import Identity

OWNER, EDITOR, VIEWER, STRANGER = (f"{name}@example.org" for name in ("ada", "eva", "vic", "sam"))
_here: list[str] = []


@contextlib.contextmanager
def hosted(
    monkeypatch, folder: Path, workspaces: dict[str, Path] | None = None, **more
) -> Iterator[host.Host]:
    """A host whose first workspace has an owner, an editor and a viewer."""
    workspaces = workspaces or {"lab": Workspace.create(folder / "lab").path}
    audit = folder / "audit"
    audit.mkdir(exist_ok=True)
    given = {"public_url": "https://loupe.example.org", "metadata_url": "", "client_id": "x", "owners": (OWNER,),
             "workspaces": tuple(workspaces.items()), "audit": audit}  # fmt: skip
    for name in (access.HOSTED, "LOUPE_ROOTS"):
        monkeypatch.setenv(name, "")  # so that they are as before afterwards
    before = access._provider, access._listener
    try:
        serving = host.begin(Settings(**{**given, **more}))
        monkeypatch.setattr(host, "identity", identity)
        first = serving.people(next(iter(workspaces)))
        with access.acting_as(access.Person(OWNER, "owner")):
            first.put(EDITOR, "editor")
            first.put(VIEWER, "viewer")
        yield serving
    finally:
        access.told_by(*before)
        host._current = None
        os.environ.pop(access.HOSTED, None)
        _here.clear()


def identity() -> Identity | None:
    """Who the test says looks at the page."""
    return Identity(_here[-1], f"sub-{_here[-1]}", "key", time.time() + 60) if _here else None


def become(email: str) -> None:
    """From now on this person looks at pages."""
    _here[:] = [email]


def open_as(email: str, page: str, **params):
    """The page as that person sees it."""
    become(email)
    return open_page(page, **params)
