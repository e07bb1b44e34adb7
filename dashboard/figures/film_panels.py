"""Panels of a token film as pictures: what is gone is grey, what was merged has one colour and an outline.

A panel is the sample's picture, a few pixels to a cell of the grid; of a text it is a row of cells. What does not
change from step to step is made once for all panels.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.style import GREY_SCALE, OKABE_ITO, VIRIDIS

LONGEST, LEAST = 168, 4  # pixels of a panel's longer side, of a cell
TINT, WASH, HEAT = (
    0.6,
    0.88,
    0.7,
)  # of a group's colour over the picture; of grey over what is gone; of a score
GONE_LIGHT, GONE_DARK, HATCH = (205, 207, 212), (64, 68, 78), 0.72
GREYS = ("#3d3d3d", "#6f6f6f", "#9c9c9c", "#555555", "#868686")


@dataclass(frozen=True)
class Look:
    """`ground` of what is gone, `line` of outlines, `colours` of groups, `scale` of scores."""

    ground: tuple[int, int, int]
    line: tuple[int, int, int]
    colours: tuple[str, ...]
    scale: tuple[str, ...] = VIRIDIS


def look(dark: bool, greyscale: bool = False) -> Look:
    colours = GREYS if greyscale else tuple(c for c in OKABE_ITO if c.lower() != "#000000")
    scale = GREY_SCALE if greyscale else VIRIDIS
    return Look(GONE_DARK if dark else GONE_LIGHT, (250, 250, 250) if dark else (20, 20, 24), colours, scale)


def on_grid(result: TokenFilm) -> bool:
    """Whether tokens lie on a picture."""
    return result.grid is not None and result.cell is not None and (np.asarray(result.cell) >= 0).any()


def pixels_of(result: TokenFilm) -> int:
    """Pixels of a cell's side."""
    return max(LONGEST // max(result.grid), LEAST)


def owners_on_grid(result: TokenFilm, step: int) -> np.ndarray:
    """(rows, columns) the owner of each cell's token, -1 where it is gone, -2 where no token lies."""
    rows, columns = result.grid
    out = np.full(rows * columns, -2)
    cell = np.asarray(result.cell)
    out[cell[cell >= 0]] = np.asarray(result.owner)[step][cell >= 0]
    return out.reshape(rows, columns)


def on_cells(result: TokenFilm, values: np.ndarray, absent) -> np.ndarray:
    """(rows, columns) of `values` (T,) where tokens lie, else `absent`."""
    out = np.full(int(np.prod(result.grid)), absent)
    cell = np.asarray(result.cell)
    out[cell[cell >= 0]] = values[cell >= 0]
    return out.reshape(result.grid)


def group_colour(owner: int, how: Look) -> np.ndarray:
    """RGB of the group that goes by this token: the same in every step, another than that of the token behind it."""
    return _rgb(how.colours[owner % len(how.colours)])


def _rgb(text: str) -> np.ndarray:
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], float)


def scored(result: TokenFilm) -> bool:
    """Whether the rule judged any token."""
    return result.score is not None and bool(np.asarray(result.judged, bool).any())


def scores(result: TokenFilm) -> np.ndarray:
    """(steps, tokens) the scores, NaN where the rule did not judge."""
    return np.where(np.asarray(result.judged, bool), np.asarray(result.score, float), np.nan)


def groups_of(owner: np.ndarray) -> np.ndarray:
    """The owners of more than one token, rising."""
    names, counts = np.unique(owner[owner >= 0], return_counts=True)
    return names[counts > 1]


def panel(result: TokenFilm, step: int, how: Look, show: str = "tokens") -> np.ndarray:
    """(height, width, 3) uint8 of one step on the grid."""
    return next(panels(result, [step], how, show))


def panels(result: TokenFilm, steps: Sequence[int], how: Look, show: str = "tokens") -> Iterator[np.ndarray]:
    """The panels (height, width, 3) uint8 of some steps, in order."""
    pixels = pixels_of(result)
    base, hatch = base_picture(result, pixels), _hatched(*result.grid, pixels, how.ground)
    palette = np.stack([_rgb(c) for c in how.colours]).astype(np.float32)
    values = scores(result) if show == "score" and scored(result) else None
    ends = None if values is None else (np.nanmin(values), np.nanmax(values))
    for step in map(int, steps):
        owner, groups = owners_on_grid(result, step), groups_of(np.asarray(result.owner)[step])
        inside = np.isin(owner, groups)
        out = base
        if values is not None:
            out = _heated(out, on_cells(result, values[step], np.nan), ends, pixels, how.scale)
        elif inside.any():
            out = _mixed(out, widened(palette[owner % len(palette)], pixels), TINT, widened(inside, pixels))
        if (owner == -1).any():
            out = _mixed(out, hatch, WASH, widened(owner == -1, pixels))
        out = out.copy() if out is base else out
        _outline(out, owner, inside, how, pixels)
        yield (out + np.float32(0.5)).astype(np.uint8)


def widened(cells: np.ndarray, pixels: int) -> np.ndarray:
    """(rows pixels, columns pixels, …) every cell as a square of pixels."""
    return cells.repeat(pixels, axis=0).repeat(pixels, axis=1)


def _mixed(base: np.ndarray, over: np.ndarray, share: float, where: np.ndarray) -> np.ndarray:
    """`share` of `over` on the base where a cell is so."""
    weight = np.where(where, np.float32(share), np.float32(0))[..., None]
    return base + weight * (over - base)


def base_picture(result: TokenFilm, pixels: int) -> np.ndarray:
    """The picture stretched over the grid; middle grey where there is none."""
    from PIL import Image

    size = (result.grid[1] * pixels, result.grid[0] * pixels)
    if result.picture is None:
        return np.full((size[1], size[0], 3), 150, np.float32)
    picture = Image.fromarray(np.asarray(result.picture, np.uint8)).convert("RGB")
    way = Image.Resampling.NEAREST if max(picture.size) < max(size) else Image.Resampling.BILINEAR
    return np.asarray(picture.resize(size, way), np.float32)


def _heated(
    base: np.ndarray, values: np.ndarray, ends: tuple[float, float], pixels: int, scale: tuple[str, ...]
) -> np.ndarray:
    """Scores over the picture; in grey instead of it, as the picture would look like other scores."""
    share = (values - ends[0]) / ((ends[1] - ends[0]) or 1.0)
    stops = np.stack([_rgb(c) for c in scale])
    places = np.nan_to_num(share) * (len(stops) - 1)
    colours = np.stack([np.interp(places, np.arange(len(stops)), stops[:, k]) for k in range(3)], axis=-1)
    dense = 1.0 if scale == GREY_SCALE else HEAT
    there = widened(np.isfinite(share), pixels)
    return _mixed(base, widened(colours.astype(np.float32), pixels), dense, there)


@functools.lru_cache(maxsize=8)
def _hatched(rows: int, columns: int, pixels: int, ground: tuple[int, int, int]) -> np.ndarray:
    """(height, width, 3): the ground of what is gone, with thin slanting lines, so that no grey picture looks so."""
    down, along = np.indices((rows * pixels, columns * pixels))
    step = max(pixels // 3, 4)
    colour = np.array(ground, np.float32)
    out = np.where(((down + along) % step == 0)[..., None], np.float32(HATCH) * colour, colour)
    out.setflags(write=False)  # it is handed out again
    return out


def _outline(out: np.ndarray, owner: np.ndarray, inside: np.ndarray, how: Look, pixels: int) -> None:
    """Draw lines where one side belongs to a group and the other does not belong to it."""
    line = np.array(how.line, np.float32)
    down = (owner[1:] != owner[:-1]) & (inside[1:] | inside[:-1])
    along = (owner[:, 1:] != owner[:, :-1]) & (inside[:, 1:] | inside[:, :-1])
    for k in range(max(pixels // 12, 1)):
        row, column = np.nonzero(down.repeat(pixels, axis=1))
        out[(row + 1) * pixels - 1 + k, column] = line
        row, column = np.nonzero(along.repeat(pixels, axis=0))
        out[row, (column + 1) * pixels - 1 + k] = line


def png(picture: np.ndarray) -> str:
    """A picture (height, width, 3 or 4) uint8 as a data address."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
