"""Starts Streamlit the way this program needs it: on this machine only, quiet, and quick on reruns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from analysis.errors import InputError

HOST = "127.0.0.1"
FIRST_PORT, PORTS_TRIED = 8501, 50

LIGHT = {
    "primaryColor": "#1f6feb",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f3f5f8",
    "textColor": "#1b1f24",
    "borderColor": "#d5dae1",
}
DARK = {
    "primaryColor": "#2672d9",
    "backgroundColor": "#0f1319",
    "secondaryBackgroundColor": "#191f28",
    "textColor": "#e6eaf0",
    "borderColor": "#333c49",
}
LIGHT_SIDEBAR = {"backgroundColor": "#f3f5f8", "secondaryBackgroundColor": "#e6eaf0"}
DARK_SIDEBAR = {"backgroundColor": "#141922", "secondaryBackgroundColor": "#202834"}
THEMES = {
    "theme.light": LIGHT,
    "theme.dark": DARK,
    "theme.light.sidebar": LIGHT_SIDEBAR,
    "theme.dark.sidebar": DARK_SIDEBAR,
}

OPTIONS = {
    "server.address": HOST,
    "server.allowedHosts": (HOST, "localhost"),  # a foreign name that resolves here is refused
    "server.fileWatcherType": "none",
    "server.maxUploadSize": 1,  # nothing is uploaded: data stay where they are, by path
    "server.headless": "true",  # a browser is opened by us: otherwise Streamlit advertises its tools on every page
    "logger.hideWelcomeMessage": "true",  # the address is printed before
    "server.showEmailPrompt": "false",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "viewer",
    "browser.gatherUsageStats": "false",
    "runner.postScriptGC": "false",  # a full collection after every rerun costs more than the rerun
    "runner.magicEnabled": "false",
    "theme.baseRadius": "6px",
    "theme.showWidgetBorder": "true",
    "theme.paddingTop": "0.5rem",
    "theme.headingFontSizes": '["2rem", "1.6rem", "1.35rem", "1.15rem", "1rem", "0.9rem"]',
}


def serve(workspace: Path, port: int | None = None, open_browser: bool = True) -> int:
    """Serve the dashboard for one workspace until it is interrupted; returns the exit code.

    Parameters
    ----------
    workspace : Path
        Directory of the workspace (created where missing).
    port : int, optional
        Port on 127.0.0.1; by default the first free one from 8501.
    open_browser : bool
        Whether to open a browser window.

    Raises
    ------
    InputError
        The port is taken.
    """
    port = free_port() if port is None else require_free(port)
    url = f"http://{HOST}:{port}"
    print(f"Feature Loupe on {url}  (workspace {workspace}, stop with Ctrl-C)", flush=True)
    if (
        os.name == "posix"
    ):  # become the server: whoever stops this process stops the server, whatever the signal
        os.execve(sys.executable, command(port), environment(workspace, url if open_browser else ""))
    process = subprocess.Popen(command(port), env=environment(workspace, url if open_browser else ""))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait(timeout=10)
        return 0


def command(port: int) -> list[str]:
    """The command line that starts Streamlit on `port`."""
    options = {**OPTIONS, "server.port": port}
    for section, colours in THEMES.items():
        options.update({f"{section}.{name}": value for name, value in colours.items()})
    flags = []
    for name, value in options.items():
        for one in value if isinstance(value, tuple) else (value,):
            flags += [f"--{name}", str(one)]
    return [sys.executable, "-m", "dashboard.serving", "run", str(Path(__file__).with_name("app.py")), *flags]


def environment(workspace: Path, opened: str = "") -> dict[str, str]:
    """The environment of the server process; the packages of this program come first on its path. `opened` : an
    address to show in a browser as soon as it answers."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    own = {"LOUPE_WORKSPACE": str(Path(workspace).resolve()), "LOUPE_OPEN": opened, "PYTHONPATH": path}
    return {**os.environ, **own}


def free_port() -> int:
    """The first free port from 8501."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        if _is_free(port):
            return port
    last = FIRST_PORT + PORTS_TRIED - 1
    raise InputError(f"ports {FIRST_PORT} to {last} are all taken", "a free one", "Give one with --port")


def require_free(port: int) -> int:
    """The port itself, or InputError when something else listens there."""
    if not _is_free(port):
        raise InputError(f"port {port} is taken", "a free port", "Leave --port out, or stop what runs there")
    return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True
