"""One token of a film, large: what is inside it as it is, everything else faded."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.film_marks import OPENED, inside
from dashboard.figures.film_panels import base_picture, on_cells, on_grid, png, widened
from dashboard.figures.film_text import REGION, word

SIDE, FADED = 320, 0.8  # pixels of the longer side; of the ground over what is not inside


def opened_picture(result: TokenFilm, at: tuple[int, int], theme: str) -> str:
    """The picture as a data address; "" of a text, and of a token that is gone."""
    here = inside(result, *at)
    if not on_grid(result) or not here.any():
        return ""
    pixels = max(SIDE // max(result.grid), 4)
    base, cells = base_picture(result, pixels), on_cells(result, here, False)
    ground = np.float32(30 if theme == "dark" else 240)
    out = np.where(widened(cells, pixels)[..., None], base, (1 - FADED) * base + FADED * ground)
    line = np.array([int(OPENED[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
    thick, edge = max(pixels // 16, 2), np.pad(cells, 1)
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        beside = np.roll(edge, shift, axis)[1:-1, 1:-1]
        rim = widened(cells & ~beside, pixels)
        down, along = np.indices(rim.shape) % pixels
        place = down if axis == 0 else along
        out[rim & ((place < thick) if shift == 1 else (place >= pixels - thick))] = line
    return png((out + np.float32(0.5)).astype(np.uint8))


def opened_text(result: TokenFilm, at: tuple[int, int]) -> str:
    """HTML: the text, what is inside the token marked in it; "" where there are no words, or it is gone."""
    here = inside(result, *at)
    if not result.words or not here.any():
        return ""
    mark = f'<b style="border-bottom:3px solid {OPENED}">'
    said = [f"{mark}{word(w)}</b>" if in_it else word(w) for w, in_it in zip(result.words, here, strict=True)]
    css = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;max-height:12em;overflow-y:auto"
    return f'<div {REGION}="The text with this token marked" style="{css}">{"".join(said)}</div>'
