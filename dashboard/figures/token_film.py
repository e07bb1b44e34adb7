"""Token film: what is left of a sample's tokens, step by step; grey is gone, one colour and an outline is one token."""

from __future__ import annotations

import base64
import io

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures import film_words
from dashboard.figures.film_panels import groups_of, look, on_grid, panel, scored, scores
from dashboard.figures.film_reading import MOST_STEPS, left, marked_places, pointed, steps_shown
from dashboard.figures.film_words import MOST_WORDS
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, plain, shorten

A_ROW, HEAD, PANEL = 7, 60, 172  # panels of a line; pixels
TOP, GAP = 0.2, 0.07  # above and between panels, of their height and width
PAPER_ROW = {"single": 4, "double": 7, "slide": 7}


def empty(result: TokenFilm) -> str:
    owner = np.asarray(result.owner)
    if owner.ndim != 2 or not owner.size:
        return "There is no step to draw: the film is empty."
    if (owner[0] < 0).all():
        return "No token is there to begin with."
    return ""


def notes(result: TokenFilm, *, show="tokens", **_ignored) -> tuple[str, ...]:
    said = ["grey: gone"]
    if any(len(groups_of(row)) for row in np.asarray(result.owner)):
        said.append(
            "outlined: merged into one" if show == "score" else "one colour, outlined: merged into one token"
        )
    if show == "score" and scored(result):
        said.append(f"colour: {plain(result.score_name)}, dark is low")
    if len(result.names) > MOST_STEPS:
        said.append(f"{MOST_STEPS} of {len(result.names)} steps")
    if not on_grid(result) and np.asarray(result.owner).shape[1] > MOST_WORDS:
        said.append(f"the first {MOST_WORDS} of {np.asarray(result.owner).shape[1]:,} tokens")
    beside = 0 if result.cell is None else int((np.asarray(result.cell) < 0).sum())
    if on_grid(result) and beside:
        said.append(f"{beside} token(s) outside the picture: in the table only")
    return tuple(said)


def _one_line(result: TokenFilm, show: str) -> tuple[str, ...]:
    return (" · ".join(notes(result, show=show)),)


def screen(result: TokenFilm, theme: Theme, *, show="tokens", height=None, title=True):
    """Plotly figure; `show`: "tokens", or "score" for what the rule judged by."""
    if not on_grid(result):
        return film_words.screen(result, theme, _one_line(result, show), show, height, title)
    shown = steps_shown(result)
    columns = min(A_ROW, len(shown))
    lines = -(-len(shown) // columns)
    figure = screen_figure(theme, result.title, _one_line(result, show), show_title=title,
                           height=height or HEAD + PANEL * lines)  # fmt: skip
    rows, wide = result.grid
    apart = (rows * (1 + TOP), wide * (1 + GAP))  # from a panel to the next, in cells
    images, titles, x, y, said = [], [], [], [], []
    how, places = look(theme.name == "dark"), marked_places(result)
    for k, step in enumerate(map(int, shown)):
        down, right = (k // columns) * apart[0], (k % columns) * apart[1]
        place = {"x": right - 0.5, "y": down - 0.5, "sizex": wide, "sizey": rows, "sizing": "stretch"}
        picture = _png(panel(result, step, how, show))
        images.append({"source": picture, "xref": "x", "yref": "y", "layer": "below", **place})
        name = f"{markup(result.names[step], 22)} · {left(result, step)}"
        titles.append({"text": name, "x": right + (wide - 1) / 2,
                       "y": down - 0.5, "yanchor": "bottom", "xanchor": "center", "showarrow": False,
                       "font": {"size": 12, "color": theme.muted}})  # fmt: skip
        _add_cells(result, step, places, (down, right), x, y, said)
    figure.add_trace(
        {"type": "scatter", "x": np.array(x, np.float32), "y": np.array(y, np.float32), "mode": "markers",
         "marker": {"size": 14, "opacity": 0, "symbol": "square"}, "showlegend": False, "hovertext": said,
         "hovertemplate": "%{hovertext}<extra></extra>"}
    )  # fmt: skip
    bare = {"visible": False, "constrain": "domain", "fixedrange": True}
    figure.update_layout(
        images=images, annotations=titles, margin={"l": 8, "r": 8, "b": 8}, hovermode="closest",
        xaxis={**bare, "range": [-0.5, apart[1] * (columns - 1) + wide - 0.5]},
        yaxis={**bare, "scaleanchor": "x", "range": [apart[0] * (lines - 1) + rows - 0.5, -0.5 - TOP * rows]},
    )  # fmt: skip
    return figure


def _add_cells(result: TokenFilm, step: int, places: list[str], corner, x: list, y: list, said: list) -> None:
    """What the pointer says on the cells of one panel; `corner` its first row and column."""
    cell, wide = np.asarray(result.cell), result.grid[1]
    there = np.flatnonzero(cell >= 0)
    x += (corner[1] + cell[there] % wide).tolist()
    y += (corner[0] + cell[there] // wide).tolist()
    said += pointed(result, step, there.tolist(), places)


def _png(picture: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def shape(result: TokenFilm) -> float:
    return 0.5 if on_grid(result) else float(np.clip(0.25 + 0.05 * len(result.names), 0.3, 1.2))


def paper_height(result: TokenFilm, width: str, **_ignored) -> float | None:
    """Inches for the panels of a film on a grid; None leaves it to `shape`."""
    if not on_grid(result):
        return None
    inches = {"single": 3.5, "double": 7.2, "slide": 10.0}[width]
    columns = min(PAPER_ROW[width], len(steps_shown(result)))
    cell = inches / max(columns, 2) * min(result.grid[0] / max(result.grid[1], 1), 3)
    return min((cell + (0.4 if width == "slide" else 0.22)) * -(-len(steps_shown(result)) // columns), 9.5)


def paper(result: TokenFilm, page: Page, *, show="tokens") -> None:
    """Draw on the page."""
    how = look(False, page.greyscale)
    if not on_grid(result):
        film_words.paper(result, page, how, show)
        return
    shown = steps_shown(result)
    columns = min(PAPER_ROW[page.width], len(shown))
    panels = page.figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for k, axes in enumerate(panels):
        axes.set_axis_off()
        if k < len(shown):
            axes.imshow(panel(result, int(shown[k]), how, show), interpolation="nearest")
            name = f"{shorten(result.names[shown[k]], 14)} · {left(result, int(shown[k]))}"
            axes.set_title(name, pad=2)


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
        found["row"] = np.tile(np.where(cell < 0, -1, cell // result.grid[1]), f)
        found["column"] = np.tile(np.where(cell < 0, -1, cell % result.grid[1]), f)
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
        f"{counts[0]} tokens {where} become {counts[-1]} in {len(counts) - 1} steps: {gone} are gone, "
        f"{merged} of those left hold more than one. Counts by step: {', '.join(map(str, counts[:20]))}."
    )
