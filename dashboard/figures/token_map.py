"""Token map: one quantity over the tokens of samples, on the image grid where there is one, else in a row.

Where the result has pictures they lie below, and colours over them are the more opaque the further a value is from
zero; where it has the words of a few texts, they are written out with their colour behind them. One scale for all.
"""

from __future__ import annotations

import numpy as np

from analysis.results import TokenMap
from dashboard.figures import token_colours, token_targets, word_flow
from dashboard.figures.cells import nothing
from dashboard.figures.over_pictures import see_through, see_through_on_paper, spread, under
from dashboard.figures.paper import Page, scale_bar
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import Theme, steps
from dashboard.figures.text import breadth, markup, number, plain, shorten
from dashboard.figures.traces import colour_bar

MOST_SAMPLES = 12
MOST_NAMED = 64  # pictures that are not samples: many small ones
MOST_LINES = 60
BESIDE_THE_SCALE = 0.82  # of the page, on paper
NARROWEST, SHORTEST_NAME, LONGEST_NAME = 14, 8, 28  # characters of names over panels on paper
TOKEN_NAMES = 0.6  # inches below a row, at print scale
CHARACTERS = 112  # of names that stand beside each other over panels
NO_VALUE = "#c9c9c9"  # on paper; on screen the theme's
PAPER_COLUMNS = {"single": 4, "double": 6, "slide": 6, "poster": 6}
PAPER_PICTURED = {"single": 2, "double": 4, "slide": 4, "poster": 4}
PAPER_NAMED = {"single": 6, "double": 12, "slide": 10, "poster": 10}


def empty(result: TokenMap) -> str:
    """Why there is nothing to draw, or ""."""
    return nothing(np.asarray(result.values), "token", "values have")


def on_grid(result: TokenMap) -> bool:
    """Whether the tokens after the leading ones fill the image grid."""
    if result.grid is None:
        return False
    return np.asarray(result.values).shape[1] == result.leading + int(result.grid[0]) * int(result.grid[1])


def _small(result: TokenMap) -> bool:
    """Whether panels are many small ones: pictures that are not samples, without one below or too many for large
    ones."""
    return bool(result.names) and (result.pictures is None or len(result.values) > MOST_SAMPLES)


def _paper_columns(result: TokenMap) -> dict[str, int]:
    return PAPER_NAMED if _small(result) else PAPER_PICTURED if result.names else PAPER_COLUMNS


def _most(result: TokenMap) -> int:
    return MOST_NAMED if result.names else MOST_SAMPLES


def _name(result: TokenMap, k: int) -> str:
    return str(result.names[k]) if result.names else f"sample {int(result.samples[k])}"


def _limits(result: TokenMap) -> tuple[float, float, bool]:
    """(low, high, diverging): symmetric about zero where both signs occur."""
    if result.ends is not None:
        low, high = map(float, result.ends)
    else:
        values = np.asarray(result.values, float)[:, result.leading if on_grid(result) else 0 :]
        values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
        low, high = float(values.min()), float(values.max())
    diverging = low < 0 < high
    if diverging:
        high = max(-low, high)
        low = -high
    return (low, high, diverging) if high > low else (low - 0.5, high + 0.5, diverging)


def _pictures(result: TokenMap, limit: int) -> np.ndarray:
    """The first samples as (k, height, width) float32."""
    height, width = map(int, result.grid)
    values = np.asarray(result.values, np.float32)[:limit, result.leading :]
    return values.reshape(-1, height, width)


def notes(result: TokenMap, *, greyscale=False, sheet=None, **_ignored) -> tuple[str, ...]:
    n = len(result.values)
    limit = _most(result) if on_grid(result) else MOST_LINES
    said = [f"the first {limit} of {n:,} {'pictures' if result.names else 'samples'}"] if n > limit else []
    shown = np.asarray(result.values, float)[:limit, result.leading if on_grid(result) else 0 :]
    if not np.isfinite(shown).all():
        said.append("white: no value there" if greyscale else "grey: no value there")
    if on_grid(result) and result.leading:
        one = result.leading == 1
        said.append(
            f"{result.leading} {'token that is' if one else 'tokens that are'} not on the picture: in the table only"
        )
    if result.grid is not None and not on_grid(result):
        said.append("the tokens do not fill the grid, so they are drawn in a row")
    if result.colours is None and (
        (on_grid(result) and result.pictures is not None) or word_flow.fits(result)
    ):
        flowing = word_flow.fits(result)
        in_grey = "lighter than the middle of the scale: below it; darker: above"
        without = "the pictures below are left out: they are grey as well"
        said.append((in_grey if flowing else without) if greyscale else _scale_words(result))
    if greyscale and result.colours is not None:
        said.append("in grey only the lightness of the colours is left")
    if word_flow.fits(result):
        said += word_flow.cut(result, sheet)
    if result.asked is not None and not (on_grid(result) and result.asked < result.leading):
        said.append(token_targets.RING)
    return tuple(said)


def _scale_words(result: TokenMap) -> str:
    """What a colour over a picture or word means."""
    low, high, diverging = _limits(result)
    most = number(max(abs(low), abs(high)))
    full = f"±{most}" if diverging else number(low if abs(low) > abs(high) else high)
    several = "one scale for all: " if len(result.values) > 1 else ""
    if result.ends is None:
        return f"{several}no colour at 0, full colour at {full}"
    beyond = int((np.abs(np.nan_to_num(np.asarray(result.values, float))) > max(abs(low), abs(high))).sum())
    more = f", {beyond:,} shown lie beyond" if beyond else ""
    return f"no colour at 0, full colour at {full}, the same for every sample of the store{more}"


def screen(result: TokenMap, theme: Theme, *, tokens=None, targets=False, height=None, title=True):
    """Plotly figure; `tokens` (per sample a list of token texts) are shown by the pointer and, when few, in the
    cells. `targets`: tokens can be clicked, where they can be chosen."""
    import plotly.graph_objects as go

    if result.colours is not None:
        if on_grid(result):
            return _screen_grid(result, theme, height, title)
        names = [_name(result, k) for k in range(min(len(result.values), MOST_LINES))]
        return token_colours.rows_on_screen(result, theme, notes(result), names, height=height, title=title)
    low, high, diverging = _limits(result)
    if word_flow.fits(result):
        return word_flow.screen(
            result, theme, (low, high, diverging), notes(result), targets=targets, height=height, title=title
        )
    scale = steps(theme.diverging if diverging else theme.sequential)
    if on_grid(result) and result.pictures is not None:
        scale = see_through(theme, low, high, diverging)
    axis = {"colorscale": scale, "cmin": low, "cmax": high, "colorbar": colour_bar(result.value_name, theme)}
    if on_grid(result):
        figure = _screen_grid(result, theme, height, title, targets)
    else:
        lines = np.asarray(result.values, np.float32)[:MOST_LINES]
        figure = screen_figure(
            theme, result.title, notes(result), show_title=title, height=height or 150 + 24 * len(lines)
        )
        _add_missing(figure, lines, theme)
        figure.add_trace(
            go.Heatmap(z=lines, coloraxis="coloraxis", hoverongaps=False, **_token_texts(lines, tokens))
        )
        figure.update_yaxes(
            tickmode="array",
            tickvals=np.arange(len(lines), dtype=np.float32),
            ticks="",
            ticktext=[markup(_name(result, k), 24) for k in range(len(lines))],
            range=[len(lines) - 0.5, -0.5],
            showline=False,
        )
        figure.update_xaxes(title_text="token", showline=False)
        _choosable(figure, result, lines.shape, targets)
    figure.update_layout(coloraxis=axis)
    return figure


def _add_missing(figure, values: np.ndarray, theme: Theme, **panel) -> None:
    """Grey where there is no value: the ground would look like a pale one."""
    import plotly.graph_objects as go

    missing = ~np.isfinite(values)
    if missing.any():
        z = np.where(missing, np.float32(0), np.float32(np.nan))
        grey = {"colorscale": [[0, theme.missing], [1, theme.missing]], "showscale": False}
        figure.add_trace(
            go.Heatmap(z=z, hoverongaps=False, hovertemplate="no value<extra></extra>", **grey, **panel)
        )


def _token_texts(lines: np.ndarray, tokens) -> dict:
    """Heat map options that show token texts; the text itself is never read as markup."""
    if tokens is None:
        return {"hovertemplate": "token %{x}<br>%{z:.4g}<extra></extra>"}
    width = lines.shape[1]
    texts = [
        [markup(t, 24) for t in list(row)[:width]] + [""] * (width - len(row)) for row in tokens[: len(lines)]
    ]
    few = width <= 24
    return {
        "text": texts,
        "hovertemplate": "token %{x}: %{text}<br>%{z:.4g}<extra></extra>",
        **({"texttemplate": "%{text}", "textfont": {"size": 11}} if few else {}),
    }


def _choosable(figure, result: TokenMap, shape: tuple[int, int], targets: bool) -> None:
    """Of maps in a row marks to click, and the one that asks."""
    if targets and token_targets.few(result):
        columns = np.arange(shape[1])
        for k in range(shape[0]):
            figure.add_trace(token_targets.trace(result, k, columns, columns, np.full(shape[1], k), 14))
    if result.asked is not None:
        at = result.asked
        _ringed(figure, at - 0.5, at + 0.5, -0.5, shape[0] - 0.5)


def _panel_choosable(figure, result: TokenMap, k: int, targets: bool, panel: dict) -> None:
    """The same of one panel of a grid."""
    wide = int(result.grid[1])
    if targets and token_targets.few(result):
        cells = np.arange(int(result.grid[0]) * wide)
        figure.add_trace(
            token_targets.trace(
                result, k, result.leading + cells, cells % wide, cells // wide, 120 / wide, **panel
            )
        )
    if result.asked is not None and result.asked >= result.leading:
        i, j = divmod(result.asked - result.leading, wide)
        axes = {"xref": panel["xaxis"], "yref": panel["yaxis"]}
        _ringed(figure, j - 0.5, j + 0.5, i - 0.5, i + 0.5, **axes)


def _ringed(figure, *box: float, **axes) -> None:
    for shape in token_targets.ring(*box, **axes):
        figure.add_shape(shape)


def _screen_grid(result: TokenMap, theme: Theme, height, title: bool, targets: bool = False):
    import plotly.graph_objects as go

    pictures = _pictures(result, _most(result))
    own = None if result.colours is None else token_colours.panels(result, _most(result), True)
    columns = min(_across(result), len(pictures))
    lines = -(-len(pictures) // columns)
    figure = screen_figure(
        theme, result.title, notes(result), show_title=title,
        height=height or 120 + (120 if _small(result) else 190) * lines,
    )  # fmt: skip
    said = [
        [f"row {i + 1}, column {j + 1}" for j in range(pictures.shape[2])] for i in range(pictures.shape[1])
    ]
    hover = "%{hovertext}<br>%{z:.4g}<extra></extra>"
    for k, picture in enumerate(pictures):
        tag = "" if k == 0 else str(k + 1)
        place = _panel(figure, tag, *divmod(k, columns), lines, columns)
        panel = {"xaxis": f"x{tag}", "yaxis": f"y{tag}"}
        if result.colours is not None:
            for one in token_colours.trace(result, k, own[k], **panel):
                figure.add_trace(one)
        else:
            if result.pictures is not None:
                figure.add_trace(
                    go.Image(**spread(under(result, k), picture.shape), hoverinfo="skip", **panel)
                )
            _add_missing(figure, picture, theme, **panel)
            figure.add_trace(
                go.Heatmap(
                    z=picture,
                    hovertext=said,
                    hovertemplate=hover,
                    hoverongaps=False,
                    coloraxis="coloraxis",
                    **panel,
                )
            )
        _panel_choosable(figure, result, k, targets, panel)
        look = {
            "showarrow": False,
            "xanchor": "center",
            "yanchor": "top",
            "font": {"size": 12, "color": theme.muted},
        }
        figure.add_annotation(
            text=markup(_name(result, k), 24 if _small(result) else 34),
            xref="paper",
            yref="paper",
            **place,
            **look,
        )
    figure.update_layout(margin={"l": 12, "b": 12})
    return figure


def _across(result: TokenMap) -> int:
    """Panels beside each other: as many small ones as have room for their names."""
    if not _small(result):
        return 4
    longest = max(min(len(plain(name)), 24) for name in result.names[: _most(result)])
    return int(np.clip(CHARACTERS // (longest + 2), 4, 8))


def _panel(figure, tag: str, i: int, j: int, lines: int, columns: int) -> dict:
    """Lay out the axes of panel (i, j); returns where its name goes."""
    left, top, bare = j / columns, 1 - i / lines, {"visible": False, "constrain": "domain"}
    wide = {"domain": [left + 0.01, left + 1 / columns - 0.01], "anchor": f"y{tag}"}
    high = {"domain": [top - 1 / lines + 0.02, top - 0.09 / lines - 0.02], "anchor": f"x{tag}"}
    shape = {"scaleanchor": f"x{tag}", "autorange": "reversed"}
    figure.update_layout({f"xaxis{tag}": {**bare, **wide}, f"yaxis{tag}": {**bare, **high, **shape}})
    return {"x": left + 0.5 / columns, "y": top}


def shape(result: TokenMap) -> float:
    if not on_grid(result):
        return float(np.clip(0.25 + 0.035 * len(result.values), 0.3, 1.2))
    return 0.75


def _columns_on(result: TokenMap, sheet: Sheet) -> int:
    """Panels beside each other on a sheet: fewer where their names have no room."""
    shown = min(len(result.values), _most(result))
    most = min(sheet.across_of(_paper_columns(result)[sheet.width]), shown)
    if not _small(result):
        return most
    longest = max(min(breadth(_name(result, k)), NARROWEST) for k in range(shown))
    return int(np.clip(BESIDE_THE_SCALE * sheet.characters // (longest + 1), 1, most))


def _panel_names(result: TokenMap, sheet: Sheet) -> list[str]:
    """Names over the panels, shortened to what has room and still unlike."""
    shown = min(len(result.values), _most(result))
    room = int(BESIDE_THE_SCALE * sheet.characters / _columns_on(result, sheet)) - 1
    return told_apart([_name(result, k) for k in range(shown)], max(min(room, LONGEST_NAME), SHORTEST_NAME))


def paper_height(result: TokenMap, sheet: Sheet, *, tokens=None, **_ignored) -> float | None:
    """Inches for the panels of a grid; None leaves it to `shape`."""
    if word_flow.fits(result):
        return word_flow.paper_height(result, sheet)
    if not on_grid(result):
        return None if tokens is None else sheet.inches * shape(result) + TOKEN_NAMES * sheet.scale
    count = min(len(result.values), _most(result))
    columns = _columns_on(result, sheet)
    cell = 0.8 * sheet.inches / max(columns, 2) * result.grid[0] / max(result.grid[1], 1)
    return (min(cell, sheet.inches) + 0.22 * sheet.scale) * -(-count // columns) + 0.2


def paper(result: TokenMap, page: Page, *, tokens=None) -> None:
    """Draw on the page."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    low, high, diverging = _limits(result)
    colours = page.colour_map(diverging).with_extremes(bad="white" if page.greyscale else NO_VALUE)
    if page.greyscale:
        pass  # a colour that is clear at 0 has two ends of the same grey
    elif word_flow.fits(result) or (on_grid(result) and result.pictures is not None):
        colours = see_through_on_paper(colours, low, high, diverging)
    look = {"cmap": colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
    if word_flow.fits(result):
        panels = [page.figure.add_subplot()]
        word_flow.paper(panels[0], result, page, look)
    elif on_grid(result):
        pictures = _pictures(result, _most(result))
        columns = _columns_on(result, page.sheet)
        names = _panel_names(result, page.sheet)
        panels = page.figure.subplots(-(-len(pictures) // columns), columns, squeeze=False).ravel()
        for k, axes in enumerate(panels):
            axes.set_axis_off()
            if k < len(pictures):
                if result.pictures is not None and not (page.greyscale and result.colours is None):
                    high_, wide = pictures[k].shape
                    axes.imshow(under(result, k), cmap="gray", vmin=0, vmax=255, interpolation="nearest",
                                extent=(-0.5, wide - 0.5, high_ - 0.5, -0.5))  # fmt: skip
                if result.colours is None:
                    axes.imshow(pictures[k], **look)
                else:
                    token_colours.on_paper(axes, token_colours.panels(result, k + 1, True)[k], page.greyscale)
                if result.asked is not None and result.asked >= result.leading:
                    i, j = divmod(result.asked - result.leading, int(result.grid[1]))
                    token_targets.ring_on_paper(axes, page, j - 0.5, i - 0.5, 1, 1)
                axes.set_title(names[k], pad=2)
    elif result.colours is not None:
        names = [_name(result, k) for k in range(min(len(result.values), MOST_LINES))]
        token_colours.rows_on_paper(page.figure.add_subplot(), result, names, page.greyscale)
    else:
        panels = [page.figure.add_subplot()]
        _paper_lines(panels[0], result, page, tokens, look)
    if result.colours is not None:
        return
    scale_bar(page, ScalarMappable(Normalize(low, high), look["cmap"]), list(panels), result.value_name)


def _paper_lines(axes, result: TokenMap, page: Page, tokens, look: dict) -> None:
    lines = np.asarray(result.values, np.float32)[:MOST_LINES]
    axes.imshow(lines, aspect="auto", **look)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="y", length=0)
    fits = len(lines) <= page.figure.get_figheight() * 72 / (9 * page.scale)
    axes.set_yticks(
        range(len(lines)) if fits else [],
        [shorten(_name(result, k), 24) for k in range(len(lines))] if fits else [],
    )
    if result.asked is not None:
        token_targets.ring_on_paper(axes, page, result.asked - 0.5, -0.5, 1, len(lines))
    axes.set_xlabel("token")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if tokens is not None and len(lines) == 1 and lines.shape[1] <= 40:
        axes.set_xticks(
            range(lines.shape[1]), [shorten(t, 14) for t in tokens[0][: lines.shape[1]]], rotation=90
        )


def table(result: TokenMap, **_ignored) -> dict[str, np.ndarray]:
    """One line per token: sample, token, value."""
    values = np.asarray(result.values)
    n, width = values.shape if values.ndim == 2 else (0, 0)
    rows = np.array([plain(name) for name in result.names]) if result.names else np.asarray(result.samples)
    return {
        "picture" if result.names else "sample": np.repeat(rows[:n], width),
        "token": np.tile(np.arange(width) if result.tokens is None else np.asarray(result.tokens), n),
        **(
            {"called": np.tile(np.array([plain(name) for name in result.token_names]), n)}
            if result.token_names
            else {}
        ),
        _value_head(result): values.ravel(),
        **token_colours.columns(result),
    }


def _value_head(result: TokenMap) -> str:
    name = plain(result.value_name) or "value"
    return name if name not in ("sample", "picture", "token") else name + " value"


def _called(result: TokenMap, column: int) -> str:
    return plain(result.token_names[column]) if result.token_names else f"token {column}"


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def words(result: TokenMap) -> str:
    values = np.asarray(result.values, float)
    n, width = values.shape
    where = f"on a grid of {result.grid[0]} by {result.grid[1]}" if on_grid(result) else "in a row"
    what = "picture" if result.names else "sample"
    parts = [
        f"{plain(result.value_name)} over {width:,} token(s) of {n:,} {what}(s), {where}, from "
        f"{number(np.nanmin(values))} to {number(np.nanmax(values))}."
    ]
    for i in range(min(n, 3)):
        if np.isfinite(values[i]).any():
            best = int(np.nanargmax(values[i]))
            parts.append(
                f"{_begun(plain(_name(result, i)))}: strongest at {_called(result, best)} ({number(values[i, best])})."
            )
    return " ".join(parts)
