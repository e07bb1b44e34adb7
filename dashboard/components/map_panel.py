"""The map itself, and what a person's clicks on it do to the URL."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from analysis.activations import Activations
from analysis.errors import LoupeError
from analysis.results import Scatter
from analysis.selection import Selection
from dashboard import errors, state
from dashboard.browse import cards, map_state, map_view, selections
from dashboard.browse.map_state import Look
from dashboard.browse.picture import MapPicture
from dashboard.browse.unit_words import word_of
from dashboard.components import redraw
from dashboard.components.sample_map import MapEvent, sample_map

HEIGHT = 640
LINK = "map"  # what the two maps of a page share


@dataclass(frozen=True)
class Shown:
    """What is on the map: everything the panels beside it need.

    result : the points that are drawn. only : the selection that filters them. whole : the projection with all.
    """

    result: Scatter
    store: object
    reference: str
    activations: Activations
    selection: Selection | None
    focus: int | None
    whole: Scatter
    only: Selection | None = None

    @property
    def tap(self) -> str:
        return self.reference.partition(":")[2]

    @property
    def store_name(self) -> str:
        return self.reference.partition(":")[0]

    @property
    def word(self) -> str:
        """What a coordinate of the tap is called: "unit" or "feature"."""
        return word_of(self.store, self.tap)


@dataclass(frozen=True)
class Side:
    """One of the two maps. `name` tells them apart in the URL and on the page; `layers`: more fields of the picture;
    `rows`: what identifies the points, where a selection may go from one map to the other in the browser."""

    name: str = ""
    layers: dict = field(default_factory=dict)
    rows: str | None = None
    link: bool = False
    together: bool = False
    selects: bool = True
    height: int = HEIGHT

    @property
    def key(self) -> str:
        return f"map{self.name}"


def shown(result: Scatter, reference: str) -> Shown:
    """Read selection, filter and focus from the URL."""
    workspace = state.workspace()
    store = workspace.store(reference.partition(":")[0])
    activations = workspace.activations(reference)
    n = activations.shape[1 if result.of == "units" else 0]
    focus = state.param("focus", -1, range(n))
    selection = selections.find(workspace, state.param("sel", ""))
    only = selections.find(workspace, state.param("only", ""))
    tap = reference.partition(":")[2]
    part = map_state.only(result, only, store, tap, activations.layout)
    only = None if part is result else only
    return Shown(part, store, reference, activations, selection, None if focus < 0 else focus, result, only)


def draw(at: Shown, look: Look, side: Side = Side()) -> None:
    """Draw a map; a lasso, a click or a new view goes into the URL and redraws this part of the page."""
    picture = map_state.picture_of(
        at.result, at.store, at.activations, at.tap, look=look, selection=at.selection if side.selects else None,
        focus=at.focus if side.selects else None, card=state.get(f"card of {side.key}"), view=_view(side.name),
    )  # fmt: skip
    extra = {"stamp": state.get(f"stamp of {side.key}", 0)}
    linked = {"link": LINK, "link_view": side.together, "rows": side.rows} if side.link else {}
    series = picture.series and dataclasses.replace(picture.series, note=_series_note(at.result))
    axes = _short_axes(picture.axes, picture.dims)
    picture = dataclasses.replace(picture, extra=extra, series=series, axes=axes, **linked, **side.layers)
    event = sample_map(picture, key=side.key, height=side.height)
    with errors.shown():
        _react(event, at, picture, side)


def _series_note(result: Scatter) -> str:
    """What the scrubber says beside the name of a frame: how much of the places is movement, against no relation."""
    left = [e for e in result.estimates if e.name.startswith("residual of ")]
    if not left:
        return ""
    most = max(left, key=lambda e: e.value)
    null = "" if most.null is None else f" (unrelated points: {most.null:.0%})"
    return f"turned onto each other; at most {most.value:.0%} of the squared places is movement{null}"


def _short_axes(axes: tuple[str, ...] | None, dims: int) -> tuple[str, ...] | None:
    """In the corner of a turned map there is room for "PC 1", not for its share of the variance."""
    return axes if axes is None or dims < 3 else tuple(axis.partition(" (")[0] for axis in axes)


def _view(name: str) -> dict | None:
    """The view that the URL asks for."""
    texts = {word: state.param(word + name, "") for word in ("view", "draw", "turn")}
    step = state.param(f"step{name}", -1, range(10_000))
    return map_view.view_from(**texts, hide=state.param(f"hide{name}", ""), step=None if step < 0 else step)


def _react(event: MapEvent, at: Shown, picture: MapPicture, side: Side) -> None:
    rows = at.result.rows
    if event.view is not None:
        state.set_params(**{word + side.name: v for word, v in map_view.view_params(event.view).items()})
    if event.step is not None:
        state.set_params(**{f"step{side.name}": event.step})
    if event.selected is not None and side.selects:
        state.put(f"stamp of {side.key}", event.stamp)
        state.set_params(sel=_kept(event.selected, at, picture.n), vs=None)
    if event.clicked is not None and side.selects:
        row = int(rows[event.clicked])
        state.set_params(focus=None if row == at.focus else row)
    if event.hovered is not None:
        state.put(f"card of {side.key}", _card(at, event.hovered, int(rows[event.hovered])))
    if (event.selected, event.clicked, event.hovered) != (None, None, None):
        redraw.here()


def _kept(packed: str, at: Shown, n: int) -> str | None:
    """The URL's word for the points that were drawn around; None for none."""
    mask = selections.unpacked(packed, n) if packed else None
    if mask is None or not mask.any():
        return None
    chosen = selections.of_points(mask, at.result, at.activations.layout, at.store, at.tap)
    home = state.current_tap()
    if home and home[0] != at.store_name:  # drawn on the map of another network: the same samples here
        chosen = selections.carried(chosen, at.store, state.workspace().store(home[0]))
    return selections.keep(state.workspace(), chosen)


def _card(at: Shown, point: int, row: int) -> dict:
    try:
        if at.result.of == "units":
            return cards.unit_card(at.store, at.tap, point, row)
        return cards.card(at.store, at.tap, at.activations.layout, point, row)
    except LoupeError as refusal:  # a store that is damaged in one place still shows the rest of its map
        return {"row": point, "title": str(row), "lines": [refusal.found]}
