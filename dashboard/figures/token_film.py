"""Token film: what is left of a sample's tokens, step by step; grey is gone, one colour and an outline is one token."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures import film_marks, film_words
from dashboard.figures.film_panels import groups_of, look, on_grid, panels, pixels_of, png, scored, scores
from dashboard.figures.film_reading import (
    A_ROW,
    MOST_STEPS,
    TOP,
    apart,
    clicked,
    corners,
    dragged,
    left,
    marked_places,
    pointed,
    steps_shown,
)
from dashboard.figures.film_words import MOST_WORDS
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_layout
from dashboard.figures.sheet import Sheet
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, plain

HEAD, PANEL = 60, 172  # pixels
PAPER_NAME, SHORTEST_NAME = 24, 6  # characters of names over panels on paper
WORD_LINE = 0.14  # inches of a step of a text, at print scale
PAPER_ROW = {"single": 4, "double": 7, "slide": 7, "poster": 7}


def empty(result: TokenFilm) -> str:
    owner = np.asarray(result.owner)
    if owner.ndim != 2 or not owner.size:
        return "There is no step to draw: the film is empty."
    if (owner[0] < 0).all():
        return "No token is there to begin with."
    return ""


def notes(
    result: TokenFilm, *, show="tokens", opened="", boxes="", greyscale=False, **_ignored
) -> tuple[str, ...]:
    said = ["hatched: gone" if greyscale else "grey or hatched: gone"]
    if any(len(groups_of(row)) for row in np.asarray(result.owner)):
        said.append(
            "outlined: merged into one"
            if show == "score"
            else "outlined, of one shade: merged into one token"
        )
    if show == "score" and scored(result):
        dark = "grey: {}, dark is high" if greyscale else "colour: {}, dark is low"
        said.append(dark.format(plain(result.score_name)))
        if not on_grid(result) and ((np.asarray(result.owner) >= 0) & ~np.asarray(result.judged, bool)).any():
            said.append("without a colour: not judged")
    if opened and film_marks.opened_of(result, opened):
        line = "dashed line" if greyscale else "red line"
        said.append(f"{line}: what is inside the opened token")
    if boxes.strip():
        said.append("dotted: boxes")
    if len(result.names) > MOST_STEPS:
        said.append(f"{MOST_STEPS} of {len(result.names)} steps")
    if not on_grid(result) and np.asarray(result.owner).shape[1] > MOST_WORDS:
        said.append(f"the first {MOST_WORDS} of {np.asarray(result.owner).shape[1]:,} tokens")
    beside = 0 if result.cell is None else int((np.asarray(result.cell) < 0).sum())
    if on_grid(result) and beside:
        said.append(f"{beside} token(s) outside the picture: in the table only")
    return tuple(said)


def _one_line(result: TokenFilm, show: str, opened: str, boxes: str) -> tuple[str, ...]:
    return (" · ".join(notes(result, show=show, opened=opened, boxes=boxes)),)


def screen(result: TokenFilm, theme: Theme, *, show="tokens", opened="", boxes="", height=None, title=True):
    """Plotly figure; `show`: "tokens", or "score" for what the rule judged by; `opened` and `boxes` as in
    `film_marks`. The first trace has a mark for every cell of every panel, in this order."""
    import plotly.graph_objects as go

    if not on_grid(result):
        said = _one_line(result, show, opened, boxes)
        return film_words.screen(result, theme, said, show, height, title, opened, boxes)
    shown, pixels = steps_shown(result), pixels_of(result)
    columns = min(A_ROW, len(shown))
    lines = -(-len(shown) // columns)
    (rows, wide), (down, right), places = result.grid, apart(result, pixels), corners(result, pixels)
    picture = png(_sheet(result, shown, look(theme.name == "dark"), show, places, pixels))
    size = {"sizex": right * (columns - 1) + wide, "sizey": down * (lines - 1) + rows, "sizing": "stretch"}
    image = {"source": picture, "xref": "x", "yref": "y", "layer": "below", "x": -0.5, "y": -0.5, **size}
    bare = {"visible": False, "constrain": "domain", "fixedrange": True}
    layout = screen_layout(theme, result.title, _one_line(result, show, opened, boxes), show_title=title,
                           height=height or HEAD + PANEL * lines)  # fmt: skip
    layout |= {
        "images": [image], "margin": {**layout["margin"], "l": 8, "r": 8, "b": 8},
        "hovermode": "closest", "hoverdistance": 40,
        "newselection": {"line": {"color": theme.text, "width": 1, "dash": "dot"}},
        "xaxis": {**bare, "range": [-0.5, size["sizex"] - 0.5]},
        "yaxis": {**bare, "scaleanchor": "x", "range": [size["sizey"] - 0.5, -0.5 - TOP * rows]},
    }  # fmt: skip
    marked = film_marks.traces(film_marks.marks(result, opened, boxes), places, theme)
    return go.Figure([_cells(result, shown, places), _titles(result, shown, places, theme), *marked], layout)


def _sheet(result: TokenFilm, shown, how, show: str, places, pixels: int) -> np.ndarray:
    """(height, width, 4) uint8: all panels where they lie, nothing between them."""
    rows, wide = (n * pixels for n in result.grid)
    at = [(round(down * pixels), round(right * pixels)) for down, right in places]
    sheet = np.zeros((max(y for y, _ in at) + rows, max(x for _, x in at) + wide, 4), np.uint8)
    for (y, x), picture in zip(at, panels(result, shown, how, show), strict=True):
        sheet[y : y + rows, x : x + wide, :3] = picture
        sheet[y : y + rows, x : x + wide, 3] = 255
    return sheet


def _titles(result: TokenFilm, shown, places, theme: Theme) -> dict:
    middle, above = (result.grid[1] - 1) / 2, 0.5 + 0.03 * result.grid[0]
    return {
        "type": "scatter", "mode": "text", "hoverinfo": "skip", "showlegend": False, "cliponaxis": False,
        "x": np.array([right + middle for _, right in places], np.float32),
        "y": np.array([down - above for down, _ in places], np.float32), "textposition": "top center",
        "text": [f"{markup(result.names[s], 22)} · {left(result, int(s))}" for s in shown],
        "textfont": {"size": 12, "color": theme.muted},
    }  # fmt: skip


def _cells(result: TokenFilm, shown, places) -> dict:
    """A mark on every cell of every panel, unseen, with what the pointer says."""
    cell, wide, said = np.asarray(result.cell), result.grid[1], []
    there, where = np.flatnonzero(cell >= 0), marked_places(result)
    corner = np.asarray(places)
    for step in map(int, shown):
        said += pointed(result, step, there.tolist(), where)
    unseen = {"marker": {"opacity": 0}}
    return {
        "type": "scatter", "mode": "markers", "showlegend": False, "hovertext": said,
        "x": (corner[:, 1:] + cell[there] % wide).ravel().astype(np.float32),
        "y": (corner[:, :1] + cell[there] // wide).ravel().astype(np.float32),
        "marker": {"size": 14, "opacity": 0, "symbol": "square"}, "selected": unseen, "unselected": unseen,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def shape(result: TokenFilm) -> float:
    return 0.5 if on_grid(result) else float(np.clip(0.25 + 0.05 * len(result.names), 0.3, 1.2))


def paper_height(result: TokenFilm, sheet: Sheet, **_ignored) -> float | None:
    """Inches for the panels of a film on a grid; None leaves it to `shape`."""
    if not on_grid(result):
        return max(sheet.inches * shape(result), (WORD_LINE * len(steps_shown(result)) + 0.6) * sheet.scale)
    columns = min(sheet.across_of(PAPER_ROW[sheet.width]), len(steps_shown(result)))
    cell = sheet.inches / max(columns, 2) * min(result.grid[0] / max(result.grid[1], 1), 3)
    lines = -(-len(steps_shown(result)) // columns)
    return min((cell + 0.22 * sheet.scale) * lines + 0.08 * sheet.scale, sheet.highest + 0.5)


def paper(result: TokenFilm, page: Page, *, show="tokens", opened="", boxes="") -> None:
    """Draw on the page."""
    how, marks = look(False, page.greyscale), film_marks.marks(result, opened, boxes)
    if not on_grid(result):
        film_words.paper(result, page, how, show, marks)
        return
    shown = steps_shown(result)
    columns = min(page.sheet.across_of(PAPER_ROW[page.width]), len(shown))
    pictures = panels(result, shown, how, show)
    counts = max(len(f" · {left(result, int(s))}") for s in shown)
    room = min(PAPER_NAME, int(0.95 * page.characters / max(columns, 2)) - 1 - counts)
    names = told_apart([result.names[s] for s in shown], max(room, SHORTEST_NAME))
    for k, axes in enumerate(page.figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if k < len(shown):
            axes.imshow(next(pictures), interpolation="nearest")
            film_marks.on_paper(axes, page, marks, pixels_of(result))
            axes.set_title(f"{names[k]} · {left(result, int(shown[k]))}", pad=2)


def table(result: TokenFilm, **_ignored) -> dict[str, np.ndarray]:
    """One line per step and token."""
    owner = np.asarray(result.owner)
    f, t = owner.shape
    steps = [plain(n) for n in result.names]
    found = {"step": np.repeat(np.array(steps, dtype=str), t), "token": np.tile(np.arange(t), f)}
    if result.words:
        found["word"] = np.tile(np.array([plain(w) for w in result.words], dtype=str), f)
    if on_grid(result):
        cell = np.asarray(result.cell)
        found["row"] = np.tile(np.where(cell < 0, -1, cell // result.grid[1] + 1), f)
        found["column"] = np.tile(np.where(cell < 0, -1, cell % result.grid[1] + 1), f)
    found["in token"] = owner.ravel()
    inside = np.zeros((f, t), int)
    for row, mine in zip(inside, owner, strict=True):
        row[mine >= 0] = np.bincount(mine[mine >= 0], minlength=t)[mine[mine >= 0]]
    found["tokens inside"] = inside.ravel()
    if scored(result):
        found[plain(result.score_name) or "score"] = scores(result).ravel()
    return found


def words(result: TokenFilm) -> str:
    if empty(result):
        return empty(result)
    counts = [left(result, s) for s in range(len(result.names))]
    merged = sum(len(groups_of(row)) for row in np.asarray(result.owner)[-1:])
    gone = int((np.asarray(result.owner)[-1] < 0).sum() - (np.asarray(result.owner)[0] < 0).sum())
    where = f"on a grid of {result.grid[0]} by {result.grid[1]}" if on_grid(result) else "in a row"
    return (
        f"{counts[0]:,} token(s) {where} become {counts[-1]:,} in {len(counts) - 1} step(s): {gone:,} are gone, "
        f"{merged} of those left hold more than one. Counts by step: {', '.join(map(str, counts[:20]))}."
    )


def place(result: TokenFilm, index: int) -> str:
    """The token behind the index-th mark of the figure, as "step.token"."""
    cells = int((np.asarray(result.cell) >= 0).sum()) if on_grid(result) else 0
    return clicked(result, index, cells or min(np.asarray(result.owner).shape[1], MOST_WORDS))


def box(result: TokenFilm, x, y) -> str:
    """The box, of a text the stretch, that was drawn over the figure from x[0], y[0] to x[1], y[1]; "" of none."""
    pixels = pixels_of(result) if on_grid(result) else 1
    return dragged(result, x, y, pixels, min(np.asarray(result.owner).shape[1], MOST_WORDS))
