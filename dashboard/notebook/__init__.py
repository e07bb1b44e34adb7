"""Feature Loupe in a notebook:

    from dashboard import notebook as loupe

    view = loupe.open("sample_data/workspace")

Figures are Plotly's, results show their numbers with intervals and nulls, and selections are those of the browser.
Nothing here needs a running server but `view.show` and `view.url`.
"""

from __future__ import annotations

import os

from analysis.workspace import Workspace
from dashboard.notebook import rich
from dashboard.notebook.view import View

__all__ = ["View", "open"]


def open(path: str | os.PathLike, *, server: str = "", theme: str = "light") -> View:
    """The workspace at `path`, to be looked at from a notebook.

    server : address of a dashboard that shows this workspace, such as "http://127.0.0.1:8501"; `view.show()` starts
    one where none is given. theme : "light" or "dark", of the figures.

    Raises NotFound where there is no workspace, ParameterError for an address that is no web address.
    """
    rich.register()
    return View(Workspace.open(path), server=server, theme=theme)
