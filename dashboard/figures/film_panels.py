"""Panels of a token film as pictures: what is gone is grey, what was merged has one colour and an outline.

A panel is the sample's picture, a few pixels to a cell of the grid; of a text it is a row of cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.style import OKABE_ITO, VIRIDIS

LONGEST, LEAST = 168, 4  # pixels of a panel's longer side, of a cell
TINT, WASH = 0.6, 0.88  # of a group's colour over the picture; of grey over what is gone
GONE_LIGHT, GONE_DARK, HATCH = (205, 207, 212), (64, 68, 78), 0.72
GREYS = ("#3d3d3d", "#6f6f6f", "#9c9c9c", "#555555", "#868686")


@dataclass(frozen=True)
class Look:
    """`ground` of what is gone, `line` of outlines, `colours` of groups."""

    ground: tuple[int, int, int]
    line: tuple[int, int, int]
    colours: tuple[str, ...]


def look(dark: bool, greyscale: bool = False) -> Look:
    colours = GREYS if greyscale else tuple(c for c in OKABE_ITO if c.lower() != "#000000")
    return Look(GONE_DARK if dark else GONE_LIGHT, (250, 250, 250) if dark else (20, 20, 24), colours)


def on_grid(result: TokenFilm) -> bool:
    """Whether tokens lie on a picture."""
    return result.grid is not None and result.cell is not None and (np.asarray(result.cell) >= 0).any()


def owners_on_grid(result: TokenFilm, step: int) -> np.ndarray:
    """(rows, columns) the owner of each cell's token, -1 where it is gone, -2 where no token lies."""
    rows, columns = result.grid
    out = np.full(rows * columns, -2)
    cell = np.asarray(result.cell)
    out[cell[cell >= 0]] = np.asarray(result.owner)[step][cell >= 0]
    return out.reshape(rows, columns)


def values_on_grid(result: TokenFilm, step: int) -> np.ndarray:
    """(rows, columns) the score of each cell's token, NaN where there is none."""
    out = np.full(int(np.prod(result.grid)), np.nan)
    cell = np.asarray(result.cell)
    out[cell[cell >= 0]] = scores(result)[step][cell >= 0]
    return out.reshape(result.grid)


def group_colour(owner: int, how: Look) -> np.ndarray:
    """RGB of the group that goes by this token: the same in every step, another than that of the token behind it."""
    text = how.colours[owner % len(how.colours)]
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
    owner = owners_on_grid(result, step)
    pixels = max(LONGEST // max(owner.shape), LEAST)
    base = _base(result, owner.shape, pixels)
    wide = np.kron(owner, np.ones((pixels, pixels), int))
    if show == "score" and scored(result):
        base = _heated(result, step, base, pixels)
    base = np.where(
        (wide == -1)[..., None], (1 - WASH) * base + WASH * _hatched(wide.shape, pixels, how), base
    )
    groups = groups_of(np.asarray(result.owner)[step])
    if show == "tokens" and len(groups):
        colours = np.zeros((int(groups.max()) + 1, 3))
        colours[groups] = [group_colour(int(name), how) for name in groups]
        inside = np.isin(wide, groups)
        base = base.astype(np.float64)
        base[inside] = (1 - TINT) * base[inside] + TINT * colours[wide[inside]]
    return _outlined(base, wide, groups, how, max(pixels // 12, 1)).round().astype(np.uint8)


def _base(result: TokenFilm, shape: tuple[int, int], pixels: int) -> np.ndarray:
    """The picture stretched over the grid; middle grey where there is none."""
    from PIL import Image

    size = (shape[1] * pixels, shape[0] * pixels)
    if result.picture is None:
        return np.full((size[1], size[0], 3), 150.0)
    picture = Image.fromarray(np.asarray(result.picture, np.uint8)).convert("RGB")
    way = Image.Resampling.NEAREST if max(picture.size) < max(size) else Image.Resampling.BILINEAR
    return np.asarray(picture.resize(size, way), float)


def _heated(result: TokenFilm, step: int, base: np.ndarray, pixels: int) -> np.ndarray:
    values = scores(result)
    low, high = np.nanmin(values), np.nanmax(values)
    share = (values_on_grid(result, step) - low) / ((high - low) or 1.0)
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in VIRIDIS], float)
    places = np.nan_to_num(share) * (len(stops) - 1)
    colours = np.stack([np.interp(places, np.arange(len(stops)), stops[:, k]) for k in range(3)], axis=-1)
    wide = np.kron(colours, np.ones((pixels, pixels, 1)))
    judged = np.kron(np.isfinite(share), np.ones((pixels, pixels), bool))
    return np.where(judged[..., None], 0.3 * base + 0.7 * wide, base)


def _hatched(shape: tuple[int, int], pixels: int, how: Look) -> np.ndarray:
    """(height, width, 3): the ground of what is gone, with thin slanting lines, so that no grey picture looks so."""
    down, along = np.indices(shape)
    step = max(pixels // 3, 4)
    return np.where(((down + along) % step == 0)[..., None], HATCH * np.array(how.ground, float), how.ground)


def _outlined(base: np.ndarray, wide: np.ndarray, groups: np.ndarray, how: Look, thick: int) -> np.ndarray:
    """Lines where one side belongs to a group and the other does not belong to it."""
    inside = np.isin(wide, groups)
    edge = np.zeros(wide.shape, bool)
    down = (wide[1:] != wide[:-1]) & (inside[1:] | inside[:-1])
    along = (wide[:, 1:] != wide[:, :-1]) & (inside[:, 1:] | inside[:, :-1])
    for k in range(thick):
        edge[k : len(edge) - 1][: len(down) - k] |= down[: len(down) - k]
        edge[:, k : edge.shape[1] - 1][:, : along.shape[1] - k] |= along[:, : along.shape[1] - k]
    return np.where(edge[..., None], np.array(how.line, float), base)
