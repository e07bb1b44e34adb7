"""The heat map of the Correlations view: where one looks and which pair is open are in the URL."""

from __future__ import annotations

import streamlit as st

from analysis.results import Heatmap
from analysis.store.tiles import Tiles
from dashboard import errors, figures, state
from dashboard.browse import heat_picture, heat_range
from dashboard.browse.kept import Kept
from dashboard.components.correlation_choice import Asked
from dashboard.components.heat_map import HeatEvent, heat_map
from dashboard.parts import figure_cache, tap_picker

HEIGHT = 690
_opened = Kept(8)


def draw(result: Heatmap, asked: Asked) -> None:
    """Draw it; zooming redraws this part alone, a click on a cell the whole page with its pair."""
    st.fragment(_draw)(result, asked)


def _draw(result: Heatmap, asked: Asked) -> None:
    tiles = None
    with errors.shown():
        tiles = tiles_of(result)
    with errors.shown():
        picture = heat_picture.picture(
            result,
            theme=state.theme(),
            titles=titles(result, asked),
            label=figure_cache.figure("alt", result, lambda: figures.alt_text(result)),
            help="drag to move, wheel to zoom, Shift-drag for a box; click a cell to open its pair",
        )
        event = heat_map(
            picture,
            key="correlations",
            block=lambda ask: None if tiles is None else heat_picture.answer(tiles, ask.box, ask.most),
            view=heat_range.box_from(state.param("range", ""), result.shape),
            fades=state.param("fade", True),
            marked=place_of(result, opened(result, asked)),
            height=HEIGHT,
        )
        _react(event, result, tiles)


def tiles_of(result: Heatmap) -> Tiles | None:
    """Every cell of a large heat map; None where the overview has them all. Raises StoreDamaged."""
    if not result.tiles:
        return None
    path = state.workspace().cache.folder(result.tiles)
    return _opened.get(str(path), lambda: Tiles.open(path))


def _react(event: HeatEvent, result: Heatmap, tiles: Tiles | None) -> None:
    if event.moved:
        state.set_params(range=heat_range.range_text(event.view))
    if event.fades is not None:
        state.set_params(fade=None if event.fades else False)
    if event.opened is not None and (tiles is not None or not result.tiles):
        i, j = heat_picture.strongest(result, tiles, event.opened)
        open_pair(
            int(result.row_units[result.row_order[i]]), int(result.column_units[result.column_order[j]])
        )


def open_pair(a: int, b: int) -> None:
    """Show the pair of these two, wherever on the page it was chosen."""
    state.set_params(cell=heat_range.pair_text((a, b)))
    st.rerun()


def opened(result: Heatmap, asked: Asked) -> tuple[int, int] | None:
    """The pair that the URL opens: numbers of two units (or samples) that there are, drawn or not."""
    taps = [state.workspace().activations(reference) for reference in asked.sides]
    shape = tuple(tap.layout.n_samples if result.of == "samples" else tap.shape[1] for tap in taps)
    return heat_range.pair_from(state.param("cell", ""), shape)


def place_of(result: Heatmap, pair: tuple[int, int] | None) -> tuple[int, int] | None:
    """Where a pair is drawn: its row and column; None where it is not."""
    if pair is None:
        return None
    lines = [
        (result.row_units[result.row_order] == pair[0]),
        (result.column_units[result.column_order] == pair[1]),
    ]
    return tuple(int(at.argmax()) for at in lines) if all(at.any() for at in lines) else None


def value_at(result: Heatmap, pair: tuple[int, int]) -> float | None:
    """The cell of a pair; None where it is not drawn. Raises StoreDamaged."""
    place = place_of(result, pair)
    if place is None:
        return None
    (i, j), tiles = place, tiles_of(result)
    return float(result.overview[i, j] if tiles is None else tiles.block(i, i + 1, j, j + 1)[0][0, 0])


def titles(result: Heatmap, asked: Asked) -> tuple[str, str]:
    """What rows and columns are; the store is named where there are two."""
    names = list(asked.sides)
    if len({name.partition(":")[0] for name in names}) == 1:
        names = [name.partition(":")[2] for name in names]
    return tuple(f"{result.of} of {tap_picker.shown(n) if ':' in n else n}" for n in names)
