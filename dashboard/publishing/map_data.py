"""A map as data: places, all the colours that it can have, and what its picture distorts."""

from __future__ import annotations

import numpy as np

from analysis.results import Result, Scatter
from dashboard.browse import colour_sources, projections
from dashboard.browse.picture import MapPicture, coloured, picture
from dashboard.figures import estimates
from dashboard.figures.colours import colouring
from dashboard.figures.style import DARK, LIGHT
from dashboard.figures.text import plain
from dashboard.publishing.scripts import bytes64


def drawn_map(result: Scatter, store, activations, reference: str) -> dict:
    """What the map's page needs; columns as base64."""
    of_units = result.of == "units"
    layout = None if of_units else activations.layout
    shown = picture(result, layout, dims=min(np.asarray(result.positions).shape[1], 3))
    spec = store.taps[reference.partition(":")[2]]
    return {
        "n": shown.n, "label": shown.label, "of": shown.of, "dims": shown.dims, "grid": shown.grid,
        "axes": shown.axes, "positions": bytes64(shown.positions.data),
        "members": None if shown.members is None else bytes64(shown.members.data),
        "rows": bytes64(np.asarray(result.rows).astype("<i4").tobytes()) if of_units else None,
        "series": _series(shown), "colours": _colours(result, store, activations),
        "patches": {"grid": spec.grid, "leading": spec.leading},
        "usual": colour_sources.default_source(colour_sources.sources(store, result)),
        **said(result),
    }  # fmt: skip


def said(result: Result) -> dict:
    """Reading, caveats and every number with its interval and its null, in words."""
    lines = [
        [plain(e.name), estimates.value_words(e), estimates.null_words(e), estimates.detail_words(e)]
        for e in result.estimates
    ]
    return {
        "reading": plain(result.reading),
        "caveats": [plain(c) for c in result.caveats],
        "estimates": lines,
    }


def _series(shown: MapPicture) -> dict | None:
    if shown.series is None:
        return None
    frames = [bytes64(frame.data) for frame in shown.series.frames]
    return {"frames": frames, "names": list(shown.series.names), "step": shown.series.step}


def _colours(result: Scatter, store, activations) -> list[dict]:
    """Every colouring but those by single units, with its look in light and in dark."""
    made = []
    for source in colour_sources.sources(store, result):
        if source.group in ("unit", "none"):
            continue
        values, name, categorical = colour_sources.values_of(source, store, result, activations)
        if values is None:
            continue
        found = colouring(values, name, categorical=categorical, n=len(result.rows))
        (light, column), (dark, _) = coloured(found, LIGHT), coloured(found, DARK)
        if light is None:
            continue
        note = colour_sources.PLACEMENT.get(source.name, "") if source.group == "placement" else ""
        for look in (light, dark):
            look["note"] = f"{note}. {look['note']}".rstrip(". ") if note else look["note"]
        made.append(
            {
                "id": source.id,
                "name": source.name,
                "light": light,
                "dark": dark,
                "column": bytes64(column.data),
            }
        )
    return made


def samples_of(result: Scatter, activations) -> np.ndarray:
    """The samples that its points are, or lie in; none where points are units."""
    if result.of == "units":
        return np.zeros(0, np.int64)
    return np.unique(activations.layout.sample_of(np.asarray(result.rows)))


def name_of(method: str) -> str:
    """A projection as the field writes it."""
    known = projections.methods().get(method)
    return method if known is None else projections.short_name(known)
