"""A token film of a text: a line for every step, a cell for every token."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures import film_marks
from dashboard.figures.film_panels import group_colour, groups_of, look, scored, scores
from dashboard.figures.film_reading import left, marked_places, pointed, steps_shown
from dashboard.figures.hatching import hatch_on_paper
from dashboard.figures.paper import Page, scale_bar
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import Theme
from dashboard.figures.text import markup, shorten

BESIDE_NAMES = 0.62  # of the page's height, that steps take
MOST_WORDS, LINE = 160, 26  # tokens; pixels


def _word_states(result: TokenFilm, show: str) -> tuple[np.ndarray, np.ndarray]:
    """((steps, tokens), numbers of the steps): NaN where gone; 0 kept, else 1 + the group's number; or the score."""
    shown = steps_shown(result)
    owner = np.asarray(result.owner)[shown][:, :MOST_WORDS]
    if show == "score" and scored(result):
        return np.where(owner < 0, np.nan, scores(result)[shown][:, :MOST_WORDS]), shown
    out = np.zeros(owner.shape)
    for row, mine in zip(out, owner, strict=True):
        for name in groups_of(mine):
            row[mine == name] = 1 + int(name) % 7
    return np.where(owner < 0, np.nan, out), shown


def screen(
    result: TokenFilm,
    theme: Theme,
    said: tuple[str, ...],
    show: str,
    height,
    title: bool,
    opened="",
    boxes="",
):
    import plotly.graph_objects as go

    values, shown = _word_states(result, show)
    how = look(theme.name == "dark")
    figure = screen_figure(theme, result.title, said, show_title=title,
                           height=height or 130 + LINE * len(shown))  # fmt: skip
    heated = show == "score" and scored(result)
    names = ["#E8EEF6" if theme.name == "light" else "#8FA3BA", *how.colours[:7]]
    stops = [[v, c] for i, c in enumerate(names) for v in (i / len(names), (i + 1) / len(names))]
    colours = (
        {"colorscale": "Viridis"} if heated else {"colorscale": stops, "zmin": -0.5, "zmax": len(names) - 0.5}
    )
    figure.add_trace(_targets(result, shown, values.shape[1]))
    grey = "rgb({},{},{})".format(*how.ground)
    figure.add_trace(go.Heatmap(
        z=np.where(np.isnan(values), np.float32(0), np.float32(np.nan)), colorscale=[[0, grey], [1, grey]],
        showscale=False, hoverinfo="skip", xgap=1, ygap=2,
    ))  # fmt: skip
    figure.add_trace(go.Heatmap(
        z=values.astype(np.float32), showscale=heated, hoverinfo="skip", xgap=1, ygap=2, **colours,
    ))  # fmt: skip
    rows = [(float(k), 0.0) for k in range(len(shown))]
    figure.add_traces(film_marks.traces(film_marks.marks(result, opened, boxes), rows, theme))
    figure.update_layout(hovermode="closest", hoverdistance=40)
    figure.update_yaxes(
        tickmode="array", tickvals=np.arange(len(shown)), range=[len(shown) - 0.5, -0.5], showline=False, ticks="",
        ticktext=[f"{markup(result.names[s], 22)} · {left(result, int(s))}" for s in shown],
    )  # fmt: skip
    if result.words and values.shape[1] <= 64:
        figure.update_xaxes(tickmode="array", tickvals=np.arange(values.shape[1]), tickangle=-60,
                            ticktext=[markup(w, 14) for w in result.words[: values.shape[1]]])  # fmt: skip
    figure.update_xaxes(title_text="token", showline=False)
    return figure


def _targets(result: TokenFilm, shown: np.ndarray, tokens: int) -> dict:
    """A mark on every cell, unseen, with what the pointer says: the first trace, as a page is told of marks only."""
    down, along = (m.ravel().astype(np.float32) for m in np.indices((len(shown), tokens)))
    places, unseen = marked_places(result), {"marker": {"opacity": 0}}
    return {
        "type": "scatter", "mode": "markers", "showlegend": False, "x": along, "y": down,
        "hovertext": [said for s in shown for said in pointed(result, int(s), range(tokens), places)],
        "marker": {"size": 12, "opacity": 0, "symbol": "square"}, "selected": unseen, "unselected": unseen,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def paper(result: TokenFilm, page: Page, how, show: str, marks=()) -> None:
    values, shown = _word_states(result, show)
    axes = page.figure.add_subplot()
    if show == "score" and scored(result):
        image = axes.imshow(values, aspect="auto", interpolation="nearest",
                            cmap=page.colour_map(False).with_extremes(bad="white"))  # fmt: skip
        scale_bar(page, image, axes, result.score_name)
    else:
        picture = np.full((*values.shape, 3), 246.0)
        for i, owner in enumerate(np.asarray(result.owner)[shown][:, : values.shape[1]]):
            groups = groups_of(owner)
            for name in groups:
                picture[i, owner == name] = group_colour(int(name), how)
            picture[i, owner < 0] = 150.0 if page.greyscale else how.ground
        axes.imshow(picture.astype(np.uint8), aspect="auto", interpolation="nearest")
    hatch_on_paper(axes, np.asarray(result.owner)[shown][:, : values.shape[1]] < 0, page.scale)
    for k in range(len(shown)):
        film_marks.on_paper(axes, page, marks, 1, k)
    lines = page.figure.get_figheight() * 72 * BESIDE_NAMES / (1.3 * page.sheet.points)
    every = max(1, -(-len(shown) // max(int(lines), 1)))  # a slide is too low for the names of many steps
    named = [f"{shorten(result.names[s], 14)} · {left(result, int(s))}" for s in shown[::every]]
    axes.set_yticks(range(0, len(shown), every), named)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    if result.words and values.shape[1] <= 40:
        axes.set_xticks(
            range(values.shape[1]), [shorten(w, 12) for w in result.words[: values.shape[1]]], rotation=90
        )
    axes.set_xlabel("token")
