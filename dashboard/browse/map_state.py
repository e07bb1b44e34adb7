"""The map that a URL stands for: its picture, and its view as short text."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.activations import Activations
from analysis.results import Partition, Scatter
from analysis.selection import Selection
from dashboard.browse import cards, colour_sources, selections
from dashboard.browse.colour_sources import Source
from dashboard.browse.kept import Kept
from dashboard.browse.map_identity import identity
from dashboard.browse.picture import MapPicture, picture
from dashboard.browse.unit_words import word_of

_pictures, _parts = Kept(12), Kept(6)


@dataclasses.dataclass(frozen=True)
class Look:
    """How a person wants the points drawn. `groups`: the selections that colour them; `only`: the one that filters
    them; `dims`: 2 or 3; `clusters`: those that colour them."""

    source: Source
    unit: int = 0
    theme: str = "light"
    dims: int = 2
    groups: tuple[Selection, ...] = ()
    only: Selection | None = None
    clusters: Partition | None = None

    @property
    def key(self) -> tuple:
        """Equal for equal colours of equal points."""
        of_unit = self.unit if self.source.id == colour_sources.UNIT else None
        names = tuple((s.name, s.digest) for s in self.groups)
        only = self.only and self.only.digest
        made = self.clusters and identity(self.clusters)
        return (self.source.id, of_unit, self.theme, self.dims, names, only, made)


def picture_of(
    result: Scatter,
    store,
    activations: Activations,
    tap: str,
    *,
    look: Look,
    selection: Selection | None = None,
    focus: int | None = None,
    card: dict | None = None,
    view: dict | None = None,
) -> MapPicture:
    """All that the map shows. Columns are kept between runs, so that a click does not sort labels again.

    `result` is what is left after `look.only` (see `only`).
    """
    key = (activations.digest, identity(result), look.key)
    drawn = _pictures.get(key, lambda: _coloured(result, store, activations, tap, look))
    mask = selections.points_of(selection, result, activations.layout, store, tap)
    place = np.flatnonzero(np.asarray(result.rows) == focus) if focus is not None else []
    return drawn.with_state(
        mask=mask,
        cards=cards.pack(store) if result.of != "units" else None,
        card=card,
        focus=int(place[0]) if len(place) else None,
        view=view,
    )


def _coloured(result, store, activations, tap: str, look: Look) -> MapPicture:
    source = look.source
    values, name, categorical = colour_sources.values_of(
        source, store, result, activations, look.unit, look.groups, look.clusters
    )
    layout = None if result.of == "units" else activations.layout
    note = colour_sources.PLACEMENT.get(source.name, "") if source.group == "placement" else ""
    drawn = picture(
        result,
        layout,
        theme=look.theme,
        values=values,
        name=name,
        categorical=categorical,
        note=note,
        dims=look.dims,
    )
    return dataclasses.replace(drawn, of=f"{word_of(store, tap)}s") if layout is None else drawn


def dims_of(result: Scatter) -> int:
    """Coordinates of a place on this map: 2 or 3."""
    return min(int(np.asarray(result.positions).shape[1]), 3)


def only(result: Scatter, selection: Selection | None, store, tap: str, layout) -> Scatter:
    """The points that a selection covers, as a map of their own; the whole map where it covers none."""
    if selection is None:
        return result
    key = ("only", identity(result), selection.digest, store.digest)

    def made() -> Scatter:
        mask = selections.points_of(selection, result, layout, store, tap)
        return result if mask is None or mask.all() else part(result, np.flatnonzero(mask))

    return _parts.get(key, made)


def thinned(result: Scatter, most: int = 4000) -> Scatter:
    """A seeded random part of the points, for a picture too small for all of them."""
    n = len(result.positions)
    if n <= most:
        return result
    return _parts.get((identity(result), most), lambda: _thinned(result, most))


def _thinned(result: Scatter, most: int) -> Scatter:
    return part(result, np.sort(np.random.default_rng(0).choice(len(result.positions), most, replace=False)))


def part(result: Scatter, kept: np.ndarray) -> Scatter:
    """The points `kept` (indices, rising) of a map, with everything that is known about them."""
    return dataclasses.replace(
        result,
        **_edges_among(result, kept),
        positions=np.asarray(result.positions)[kept],
        rows=np.asarray(result.rows)[kept],
        columns={name: np.asarray(values)[kept] for name, values in result.columns.items()},
        frames=None if result.frames is None else np.asarray(result.frames)[:, kept],
    )


def _edges_among(result: Scatter, kept: np.ndarray) -> dict:
    """The edges with both ends among the kept points."""
    if result.edges is None:
        return {}
    place = np.full(len(result.positions), -1, np.int32)
    place[kept] = np.arange(len(kept))
    ends = place[np.asarray(result.edges)]
    there = (ends >= 0).all(axis=1)
    values = None if result.edge_values is None else np.asarray(result.edge_values)[there]
    return {"edges": ends[there], "edge_values": values}


def coloured_result(result: Scatter, store, activations: Activations, look: Look) -> Scatter:
    """The projection with the colours of the screen as its own, for the export."""
    values, name, _ = colour_sources.values_of(
        look.source, store, result, activations, look.unit, look.groups, look.clusters
    )
    if look.only is not None:
        result = dataclasses.replace(result, title=f"{result.title}, only {look.only.name or 'a selection'}")
    if values is None:
        return dataclasses.replace(result, colour="")
    return dataclasses.replace(result, columns={**result.columns, name: np.asarray(values)}, colour=name)
