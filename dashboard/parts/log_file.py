"""Once per server process: faults of the pages go to dashboard.log in the workspace, with the number the page shows."""

from __future__ import annotations

import logging
import os
from logging.handlers import RotatingFileHandler

import streamlit as st

from dashboard import errors, state
from dashboard.hosting import host


@st.cache_resource(show_spinner=False)
def once() -> bool:
    """Open the log, on one's own machine (a host writes to its own). Returns True (something for the cache to hold)."""
    if host.current() is not None:
        return True
    with errors.shown():
        _open_log()
    return True


def _open_log() -> None:
    logger = logging.getLogger("loupe")
    if os.environ.get("LOUPE_HOSTED") or any(isinstance(h, RotatingFileHandler) for h in logger.handlers):
        return  # a host writes its log to standard error
    file = state.workspace().path / "dashboard.log"
    handler = RotatingFileHandler(file, maxBytes=1 << 20, backupCount=1, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
