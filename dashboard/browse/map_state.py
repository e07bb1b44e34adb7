"""The map that a URL stands for: its picture, and its view as short text."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from analysis.activations import Activations
from analysis.people import Selection
from analysis.results import Scatter
from dashboard.browse import cards, colour_sources, selections
from dashboard.browse.colour_sources import Source
from dashboard.browse.kept import Kept
from dashboard.browse.picture import MapPicture, picture

_pictures, _thin = Kept(12), Kept(4)


def picture_of(
    result: Scatter,
    store,
    activations: Activations,
    tap: str,
    *,
    source: Source,
    unit: int = 0,
    theme: str = "light",
    selection: Selection | None = None,
    focus: int | None = None,
    card: dict | None = None,
    view: dict | None = None,
) -> MapPicture:
    """All that the map shows. Columns are kept between runs, so that a click does not sort labels again."""
    key = (
        activations.digest,
        identity(result),
        source.id,
        unit if source.id == colour_sources.UNIT else None,
        theme,
    )
    drawn = _pictures.get(key, lambda: _coloured(result, store, activations, source, unit, theme))
    mask = selections.points_of(selection, result, activations.layout, store, tap)
    place = np.flatnonzero(np.asarray(result.rows) == focus) if focus is not None else []
    return drawn.with_state(
        mask=mask,
        cards=cards.pack(store) if result.of != "units" else None,
        card=card,
        focus=int(place[0]) if len(place) else None,
        view=view,
    )


def _coloured(result, store, activations, source: Source, unit: int, theme: str) -> MapPicture:
    values, name, categorical = colour_sources.values_of(source, store, result, activations, unit)
    layout = None if result.of == "units" else activations.layout
    note = colour_sources.PLACEMENT.get(source.name, "") if source.group == "placement" else ""
    return picture(result, layout, theme=theme, values=values, name=name, categorical=categorical, note=note)


def identity(result: Scatter) -> tuple:
    """What tells one projection from another: points, method, version, parameters, inputs, seed."""
    o = result.origin
    if o is None:
        return (id(result),)
    inputs = tuple(str(i.get("digest")) for i in o.inputs)
    return (len(result.rows), o.method, o.version, repr(sorted(o.params.items())), inputs, o.seed)


def thinned(result: Scatter, most: int = 4000) -> Scatter:
    """A seeded random part of the points, for a picture too small for all of them."""
    n = len(result.positions)
    if n <= most:
        return result
    return _thin.get((identity(result), most), lambda: _part(result, most))


def _part(result: Scatter, most: int) -> Scatter:
    kept = np.sort(np.random.default_rng(0).choice(len(result.positions), most, replace=False))
    columns = {name: np.asarray(values)[kept] for name, values in result.columns.items()}
    return dataclasses.replace(
        result,
        positions=np.asarray(result.positions)[kept],
        rows=np.asarray(result.rows)[kept],
        columns=columns,
    )


def view_params(view: dict) -> dict[str, str | None]:
    """What the map shows (corner to corner) and which categories it hides, for the URL."""
    box, hidden = view.get("box"), view.get("hidden")
    return {
        "view": None if box is None else "_".join(f"{v:.5g}" for v in box),
        "hide": "_".join(str(int(c)) for c in hidden) or None,
    }


def view_from(view: str, hide: str) -> dict | None:
    """The inverse; anything that is not such a text is ignored."""
    box, hidden = None, [int(c) for c in hide.split("_") if c.isdecimal() and len(c) < 4]
    try:
        numbers = [float(v) for v in view.split("_")]
        good = len(numbers) == 4 and all(map(math.isfinite, numbers))
        if good and numbers[0] < numbers[2] and numbers[1] < numbers[3]:
            box = numbers
    except ValueError:
        pass
    return {"box": box, "hidden": hidden} if box or hidden else None


def coloured_result(result: Scatter, store, activations: Activations, source: Source, unit: int) -> Scatter:
    """The projection with the colours of the screen as its own, for the export."""
    values, name, _ = colour_sources.values_of(source, store, result, activations, unit)
    if values is None:
        return dataclasses.replace(result, colour="")
    return dataclasses.replace(result, columns={**result.columns, name: np.asarray(values)}, colour=name)
