"""The empty Plotly figure in the house style: transparent, thin axes, title and notes outside the plot."""

from __future__ import annotations

from dashboard.figures.style import FONT_ON_SCREEN, Theme
from dashboard.figures.text import markup, wrapped


def _axis(theme: Theme) -> dict:
    """A thin axis with outside ticks and no grid."""
    return {
        "showgrid": False,
        "zeroline": False,
        "showline": True,
        "linewidth": 1,
        "linecolor": theme.muted,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": theme.muted,
        "automargin": True,
        "tickfont": {"size": 12, "color": theme.muted},
        "title": {"font": {"size": 13}, "standoff": 8},
    }


def screen_figure(theme: Theme, title: str, notes=(), *, height: int = 420, show_title: bool = True):
    """An empty Plotly figure in the house style; `notes` are the small sentences under the title."""
    import plotly.graph_objects as go

    return go.Figure(layout=screen_layout(theme, title, notes, height=height, show_title=show_title))


def screen_layout(theme: Theme, title: str, notes=(), *, height: int = 420, show_title: bool = True) -> dict:
    """The layout of that figure. Plotly takes a whole one in a tenth of the time of an update."""
    small = [line for note in notes if note for line in wrapped(note, 120, 3)]
    lines = [f"<b>{markup(line)}</b>" for line in wrapped(title, 90, 2)] if show_title and title else []
    style = f"font-size:12px;color:{theme.muted}"  # the notes are needed to read the picture, title or not
    text = "<br>".join(lines + [f"<span style='{style}'>{markup(line)}</span>" for line in small])
    place = {"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    return {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT_ON_SCREEN, "size": 13, "color": theme.text},
        "height": height,
        "title": {
            "text": text, "font": {"size": 15, "color": theme.text}, **place,
            "pad": {"t": 12 + 5 * len(small), "l": 8},
        },
        "margin": {"l": 60, "r": 20, "t": 18 + 20 * (len(lines) + len(small)), "b": 48, "pad": 0},
        "colorway": list(theme.categories),
        "hoverlabel": {"font": {"family": FONT_ON_SCREEN, "size": 12}, "align": "left"},
        "legend": {"font": {"size": 12}, "itemsizing": "constant", "tracegroupgap": 0},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.accent},
        "uirevision": "keep",
        "xaxis": _axis(theme),
        "yaxis": _axis(theme),
    }  # fmt: skip


def screen_sentence(theme: Theme, title: str, sentence: str, *, height: int = 160, show_title: bool = True):
    """A figure that says why there is nothing to draw."""
    figure = screen_figure(theme, title, height=height, show_title=show_title)
    figure.update_xaxes(visible=False, range=[0, 1])
    figure.update_yaxes(visible=False, range=[0, 1])
    figure.add_annotation(
        text="<br>".join(markup(line) for line in wrapped(sentence, 90)),
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 14, "color": theme.muted},
    )
    return figure
