"""Gallery: groups of rows to look at; as pictures where they are given, otherwise as their values."""

from __future__ import annotations

import numpy as np

from analysis.results import Gallery
from dashboard.figures.grey_pictures import without_colour
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import Theme
from dashboard.figures.text import listed, markup, number, plain, shorten

MOST_GROUPS = 20
PER_GROUP = {"single": 8, "double": 16, "slide": 12, "poster": 12}
TEXTS = 3  # of a group, on paper


def empty(result: Gallery) -> str:
    if not any(len(rows) for rows in result.groups.values()):
        return "There is no row to show: every group is empty."
    return ""


def _shown(result: Gallery) -> list[str]:
    return list(result.groups)[:MOST_GROUPS]


def _values(result: Gallery, name: str) -> np.ndarray:
    """float32 values of a group, its places 1, 2, … where the result gives none."""
    rows = result.groups[name]
    values = result.values.get(name)
    if values is None or len(values) != len(rows):
        return np.arange(1, len(rows) + 1, dtype=np.float32)
    return np.asarray(values, np.float32)


def notes(result: Gallery, *, pictures=None, sheet=None, **_ignored) -> tuple[str, ...]:
    said = []
    if len(result.groups) > MOST_GROUPS:
        said.append(f"the first {MOST_GROUPS} of {len(result.groups):,} groups")
    if pictures is not None and sheet is not None:
        most = max(len(rows) for rows in result.groups.values())
        text = _is_text(result, pictures)
        shown, where = (TEXTS, "before") if text else (sheet.across_of(PER_GROUP[sheet.width]), "below")
        if most > shown:
            said.append(
                f"the first {shown} of up to {most:,} rows of each group, {plain(result.value_name)} {where}"
            )
    return tuple(said)


def screen(result: Gallery, theme: Theme, *, height=None, title=True):
    """Plotly strip: one line per group, one dot per row at its value. The page shows the items themselves."""
    import plotly.graph_objects as go

    names = _shown(result)
    figure = screen_figure(
        theme, result.title, notes(result), height=height or 110 + 34 * len(names), show_title=title
    )
    for k, name in enumerate(names):
        values = _values(result, name)
        rows = np.asarray(result.groups[name]).astype(np.int32)
        figure.add_trace(
            go.Scatter(
                x=values,
                y=np.full(len(values), k, np.float32),
                mode="markers",
                name=markup(name, 30),
                customdata=rows,
                marker={"size": 9, "color": theme.accent, "opacity": 0.55, "line": {"width": 0}},
                showlegend=False,
                hovertemplate="row %{customdata}<br>%{x:.4g}<extra></extra>",
            )
        )
    figure.update_yaxes(
        tickmode="array",
        tickvals=np.arange(len(names), dtype=np.float32),
        showline=False,
        ticks="",
        ticktext=[markup(f"{shorten(n, 26)} ({len(result.groups[n]):,})") for n in names],
        range=[len(names) - 0.4, -0.6],
        showgrid=True,
        gridcolor=theme.grid,
    )
    figure.update_xaxes(title_text=_axis(result), exponentformat="power")
    return figure


def _axis(result: Gallery) -> str:
    return plain(result.value_name) if result.values else "place in the group"


def shape(result: Gallery) -> float:
    return float(np.clip(0.16 + 0.085 * len(_shown(result)), 0.25, 1.3))


def paper(result: Gallery, page: Page, *, pictures=None) -> None:
    """`pictures` maps a row to an image array (height, width[, 3 or 4]) or to a text; without it, a strip of values."""
    if pictures is not None:
        (_texts if _is_text(result, pictures) else _pictures)(result, page, pictures)
        return
    axes = page.figure.add_subplot()
    names = _shown(result)
    for k, name in enumerate(names):
        values = _values(result, name)
        axes.axhline(k, color="#e2e2e2", linewidth=0.5 * page.scale, zorder=0)
        axes.plot(
            values,
            np.full(len(values), k),
            "o",
            color=page.mark(0)[0],
            alpha=0.55,
            markeredgewidth=0,
            markersize=3.2 * page.scale,
        )
    axes.set_yticks(range(len(names)), [f"{shorten(n, 24)} ({len(result.groups[n]):,})" for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_axis(result))


def _pictures(result: Gallery, page: Page, pictures) -> None:
    """A row of pictures per group, sharp pixels, the value below each."""
    names = _shown(result)
    columns = min(
        page.sheet.across_of(PER_GROUP[page.width]), max(len(rows) for rows in result.groups.values())
    )
    parts = page.figure.subfigures(len(names), 1, squeeze=False)[:, 0]
    for part, name in zip(parts, names, strict=True):
        rows, values = np.asarray(result.groups[name]), result.values.get(name)
        line = part.subplots(1, columns, squeeze=False)[0]
        part.suptitle(
            shorten(name, page.characters),
            x=0,
            ha="left",
            fontweight="bold",
            fontsize="medium",
            parse_math=False,
        )
        for k, axes in enumerate(line):
            axes.set_axis_off()
            picture = _picture(pictures, int(rows[k])) if k < len(rows) else None
            if picture is None:
                continue
            picture, look = without_colour(picture) if page.greyscale else (picture, {})
            axes.imshow(picture, cmap="gray", interpolation="nearest", **look)
            if values is not None and k < len(values):
                axes.text(
                    0.5,
                    -0.05,
                    number(values[k], 2, padded=True),
                    transform=axes.transAxes,
                    ha="center",
                    va="top",
                    fontsize="small",
                )


def _looked_up(pictures, row: int):
    return pictures(row) if callable(pictures) else pictures.get(row)


def _picture(pictures, row: int):
    found = _looked_up(pictures, row)
    return None if found is None or isinstance(found, str) else np.asarray(found)


def _is_text(result: Gallery, pictures) -> bool:
    first = next((int(rows[0]) for rows in result.groups.values() if len(rows)), None)
    return first is not None and isinstance(_looked_up(pictures, first), str)


def _texts(result: Gallery, page: Page, pictures) -> None:
    """Lines of text below the name of each group, the value before each."""
    axes = page.figure.add_subplot()
    axes.set_axis_off()
    lines = []
    for name in _shown(result):
        lines.append((shorten(name, page.characters), "", True))
        values = result.values.get(name)
        for k, row in enumerate(np.asarray(result.groups[name])[:TEXTS]):
            value = number(values[k], 2, padded=True) if values is not None and k < len(values) else ""
            words = " ".join(str(_looked_up(pictures, int(row)) or "").split())
            lines.append((shorten(words, int(page.characters * 0.85)), value, False))
    axes.set_xlim(0, 1)
    axes.set_ylim(len(lines), 0)
    for k, (words, value, heading) in enumerate(lines):
        look = {"va": "center", "parse_math": False}
        axes.text(0 if heading else 0.12, k + 0.5, words, fontweight="bold" if heading else "normal", **look)
        axes.text(0.1, k + 0.5, value, ha="right", **look)


def paper_height(result: Gallery, sheet: Sheet, *, pictures=None, **_ignored) -> float | None:
    """Inches for a grid of pictures; None leaves it to `shape`."""
    if pictures is None:
        return None
    if _is_text(result, pictures):
        return 0.16 * sheet.scale * sum(1 + min(TEXTS, len(result.groups[name])) for name in _shown(result))
    columns = min(sheet.across_of(PER_GROUP[sheet.width]), max(len(rows) for rows in result.groups.values()))
    return (sheet.inches / max(columns, 4) + 0.32 * sheet.scale) * len(_shown(result)) + 0.15


def table(result: Gallery, **_ignored) -> dict[str, np.ndarray]:
    """One line per row: group, place in the group, row, value."""
    names = [n for n, rows in result.groups.items() if len(rows)]
    if not names:
        return {"group": np.zeros(0, "U1"), "place": np.zeros(0, int), "row": np.zeros(0, int)}
    sizes = [len(result.groups[n]) for n in names]
    found = {
        "group": np.repeat(np.array(names, dtype=str), sizes),
        "place": np.concatenate([np.arange(1, s + 1) for s in sizes]),
        "row": np.concatenate([np.asarray(result.groups[n]) for n in names]),
    }
    if result.values:
        blank = [np.full(s, np.nan) for s in sizes]
        found[plain(result.value_name)] = np.concatenate(
            [
                np.asarray(result.values[n]) if len(result.values.get(n, ())) == s else b
                for n, s, b in zip(names, sizes, blank, strict=True)
            ]
        )
    return found


def words(result: Gallery) -> str:
    total = sum(len(rows) for rows in result.groups.values())
    parts = [f"{len(result.groups):,} group(s) of rows to look at, {total:,} row(s) in all."]
    for name in _shown(result)[:6]:
        values = np.asarray(result.values.get(name, ()), float)
        rows = listed(np.asarray(result.groups[name])[:5])
        ends = ""
        if len(values) and np.isfinite(values).any():
            ends = f", {plain(result.value_name)} from {number(np.nanmin(values))} to {number(np.nanmax(values))}"
        parts.append(f"{shorten(name)}: {len(result.groups[name]):,} row(s), first {rows}{ends}.")
    return " ".join(parts)
