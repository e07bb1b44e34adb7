"""The server process: Streamlit, with what the pages need being loaded while the browser is still connecting.

    python -m dashboard.serving run dashboard/app.py [Streamlit's flags]

Streamlit runs the app's first line when the first visitor is there; by then a second has passed in which this
process had nothing to do.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import sys
import threading
import time
import webbrowser
from urllib.parse import urlsplit

NEEDED = (  # in the order of need, for the map
    "analysis.workspace",
    "pandas",  # Streamlit asks it about whatever is sent to a component
    "pyarrow.parquet",
    "dashboard.components.map_panel",
)
FAMILIES = ("projection", "clusters")  # of the methods that the map offers
LATER = (  # what other pages draw with, and what the first who writes a note needs
    "plotly.graph_objects", "dashboard.figures.screen", "analysis.people.history", "alembic.runtime.migration",
    "alembic.operations",
)  # fmt: skip
SHOW_WITHIN = 60.0  # seconds for the server to answer; later, no browser is opened
LATER_SECONDS = 2.0  # by then the map is drawn; before, these would take its processor time


def load() -> None:
    """Import NEEDED and the map's methods, then LATER and all methods, and freeze; whatever fails will fail again where
    it can be shown."""
    _import(NEEDED)
    with contextlib.suppress(Exception):
        for family in FAMILIES:
            importlib.import_module("analysis.registry").family(family)
    time.sleep(LATER_SECONDS)
    _import(LATER)
    with contextlib.suppress(Exception):
        importlib.import_module("analysis.registry").methods()
    gc.collect()
    gc.freeze()  # these live as long as the process: a full collection that looks at them costs 140 ms


def show(url: str) -> None:
    """Open a browser at `url` once something listens there; nothing where there is no screen."""
    if sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        return
    at = urlsplit(url)
    until = time.monotonic() + SHOW_WITHIN
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection((at.hostname, at.port), timeout=1):
            break
        time.sleep(0.05)
    else:
        return
    webbrowser.open(url)


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def main() -> None:
    """Start loading, and serve."""
    from streamlit.web import cli

    threading.Thread(
        target=load, name="loading", daemon=True
    ).start()  # now: sooner, it would delay the server
    if url := os.environ.get("LOUPE_OPEN"):
        threading.Thread(target=show, args=(url,), name="showing", daemon=True).start()
    sys.argv[0] = "streamlit"
    sys.exit(cli.main())


if __name__ == "__main__":
    main()
