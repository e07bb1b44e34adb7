"""A workspace seen from a notebook: the same results, selections and addresses as in the browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import numpy as np

from analysis.errors import InputError, ParameterError
from analysis.results import Result
from analysis.selection import Selection
from analysis.workspace import Workspace
from dashboard import addresses, colouring, figures
from dashboard.browse.projections import DEFAULT
from dashboard.notebook import choosing
from dashboard.notebook.frame import Frame, Server, web_address
from dashboard.pages import pages

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


class View:
    """Made by `open`. `workspace` is what is behind it, for all that is not here."""

    def __init__(self, workspace: Workspace, *, server: str = "", theme: str = "light") -> None:
        self.workspace, self.theme = workspace, theme
        self._server = web_address(server) if server else ""
        self._started: Server | None = None

    # ------------------------------------------------------------------ results
    def run(self, method: str, taps: str | Sequence[str], *, seed: int = 0, **params) -> Result:
        """Run a method on one tap "store:tap" or several, or take what an earlier identical run left.

        Raises NotFound for an unknown method or tap, ParameterError for its parameters, and what the method refuses.
        """
        references = [taps] if isinstance(taps, str) else list(taps)
        return self.workspace.run(method, references, params, seed=seed)

    def figure(
        self, result: Result, *, colour: str = "", selected: str | Selection = "", **options
    ) -> Figure:
        """A Plotly figure of any result, as the pages draw it.

        colour : of points, by a column of the samples, "Unit 12" or "Selection: a name". selected : a selection that
        stays bright. options : as of `dashboard.figures.on_screen`.
        """
        if colour:
            result = choosing.coloured(result, self.workspace, colour)
        if selected:
            chosen = self.selection(selected) if isinstance(selected, str) else selected
            options["selected"] = choosing.covered(result, self.workspace, chosen)
        return figures.on_screen(result, **{"theme": self.theme, **options})

    def map(
        self,
        tap: str,
        method: str = DEFAULT,
        *,
        colour: str = "label",
        selected: str | Selection = "",
        seed=0,
        **params,
    ) -> Figure:
        """The tap's map as a Plotly figure: `run` and `figure` in one line. Tens of seconds for a neighbour map that
        nobody asked for before, nothing afterwards."""
        result = self.run(method, tap, seed=seed, **params)
        known = {s.id for s in colouring.offered(result, self.workspace)} if colour == "label" else {colour}
        return self.figure(result, colour=colour if colour in known else "", selected=selected)

    # ------------------------------------------------------------------ selections
    def selection(self, name: str) -> Selection:
        """A named selection as it is now, whoever saved it. Raises NotFound, listing the names."""
        return self.workspace.selection(name)

    def selections(self) -> dict[str, Selection]:
        """All named selections as they are now."""
        return {s.name: s for s in self.workspace.selections()}

    def select(self, name: str, ids, *, at: str = "", of: str = "samples", note: str = "") -> Selection:
        """Save a selection; pages show it when they are next drawn. One of the same name is replaced.

        ids : a Selection, or ids of samples, or numbers of rows or units, or a mask (n,) bool over them.
        at : "store" for samples, "store:tap" for rows and units; not needed with a Selection, nor where the workspace
        has one store. of : "samples", "rows" or "units".

        Raises NotFound for ids that are not there, ParameterError for a missing name or place, InputError for none.
        """
        found = ids if isinstance(ids, Selection) else choosing.found(self.workspace, ids, at, of)
        kept = dataclasses.replace(found, name=name, note=note or found.note, author="", made="")
        return self.workspace.save_selection(kept)

    # ------------------------------------------------------------------ the running dashboard
    @property
    def server(self) -> str:
        """Address of the dashboard: the one given, or the one started here; "" where there is none."""
        if self._started is not None and not self._started.alive:
            self._started = None
        return self._server or (self._started.address if self._started else "")

    def url(self, what: Result | str = "map", **values) -> str:
        """Where the dashboard shows the same: a result, or a page with its URL parameters, such as
        `view.url("map", tap="digits-vit:vit.layers.3", sel="hard")`.

        Raises InputError where no dashboard is known, ParameterError for an unknown page.
        """
        if not self.server:
            raise InputError(
                "no running dashboard is known",
                "its address",
                'Open with server="http://127.0.0.1:8501", or start one with view.show()',
            )
        if isinstance(what, Result):
            return urljoin(self.server + "/", addresses.of_result(what))
        if what not in {page.name for page in pages()}:
            raise ParameterError(f"page {what!r}", "one of " + ", ".join(page.name for page in pages()))
        return urljoin(self.server + "/", addresses.page_address(what, **values))

    def show(self, what: Result | str = "map", *, height: int = 760, **values) -> Frame:
        """The page itself inside the notebook; starts a dashboard on this machine where none is known, which ends
        with the notebook or with `stop`. Arguments as of `url`; `height` in pixels."""
        if not self.server:
            self._started = Server.start(self.workspace.path)
        return Frame(self.url(what, **values), int(height))

    def stop(self) -> None:
        """End the dashboard that `show` started."""
        if self._started is not None:
            self._started.stop()
            self._started = None

    # ------------------------------------------------------------------ itself
    def taps(self) -> list[str]:
        """Every "store:tap" that can be opened."""
        return [f"{e.name}:{tap}" for e in self.workspace.stores() if e.store for tap in e.store.taps]

    def __repr__(self) -> str:
        stores = [e for e in self.workspace.stores() if e.store]
        return f"View of {self.workspace.path}: {len(stores)} stores, {len(self.taps())} taps"

    def _repr_html_(self) -> str:
        rows = [
            (e.name, f"{len(np.asarray(e.store.samples['id'])):,}", ", ".join(e.store.taps)) if e.store
            else (e.name, "", f"cannot be opened: {e.problem}")
            for e in self.workspace.stores()
        ]  # fmt: skip
        head = "<tr><th>Store</th><th>Samples</th><th>Taps</th></tr>"
        body = "".join("<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in row) + "</tr>" for row in rows)
        return f"<div><b>{escape(str(self.workspace.path))}</b><table>{head}{body}</table></div>"
