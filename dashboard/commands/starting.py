"""`loupe`: the dashboard. Imports nothing heavy, because a person is waiting for the first picture."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import InputError, NotFound
from dashboard.server import serve

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "workspace"


def start(given) -> int:
    """Open the dashboard on the workspace asked for (made if missing), or on the sample workspace."""
    path = workspace_path(given)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file", "a directory for the workspace")
    if path.is_dir() and any(path.iterdir()) and not (path / "workspace.json").exists():
        raise InputError(
            f"{path} holds other things and no workspace",
            "a workspace, or a new directory",
            "Choose another one",
        )
    return serve(path, given.port, open_browser=not given.no_browser)


def workspace_path(given) -> Path:
    """The workspace's directory. Raises NotFound when none is named and the sample is not there."""
    if given.workspace is not None:
        return given.workspace
    if not (SAMPLE / "workspace.json").exists():
        raise NotFound(
            f"the sample workspace is not at {SAMPLE}",
            "an installation from the source tree",
            "Name one with --workspace DIR",
        )
    return SAMPLE
