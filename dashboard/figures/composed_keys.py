"""Legends and colour scales of several panels: what says the same stands once, what does not is kept apart and told.

Two legends are one when their title, their names in order and their marks are the same. Two scales are one when they
are of the same quantity in the same colours: then all panels get the ends that hold all values. A bar in which chance
is hatched stays beside its panel where chance differs between panels, on the common scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.results import Heatmap, Matrix, Result, TokenMap
from dashboard.figures.composed_panel import Alone, Said
from dashboard.figures.legends import LEGEND_LINE, drawn_as, legend_lines, setting
from dashboard.figures.paper import Key, Page, dress_bar
from dashboard.figures.sheet import Sheet
from dashboard.figures.text import listed, plain

BAR, BAR_WIDE = 0.42, 1.7  # inches of a shared bar with its name, at print scale
Drawn = Callable[[int, tuple[float, float]], Alone]  # (place, ends): what the drawing on that scale tells


@dataclass(frozen=True)
class Keys:
    """What stands once: `shared` names it for each panel; `legends` and `bars` are as the panel at that place has them,
    each with the letters of its panels; `ends` of the common scale on which a panel is drawn, None for its own; `said`
    is what was kept apart, and why."""

    shared: list[set[str]]
    ends: list[tuple[float, float] | None]
    legends: list[tuple[int, str]] = field(default_factory=list)
    bars: list[tuple[int, str]] = field(default_factory=list)
    said: tuple[str, ...] = ()

    @classmethod
    def apart(cls, n: int) -> Keys:
        """Each panel for itself."""
        return cls([set() for _ in range(n)], [None] * n)

    def part(self, part, i: int):
        """The panel at this place, on the scale that it has in common with others."""
        return on_scale(part, self.ends[i])


def on_scale(part, ends: tuple[float, float] | None):
    """The panel on a colour scale with these ends; None: as it is."""
    return part if ends is None else replace(part, result=with_ends(part.result, *ends))


def inches_above(sheet: Sheet, keys: Keys, pages: list[Alone]) -> float:
    """Inches of the shared legends; `pages` tell of the panels' drawings alone."""
    return sum(
        LEGEND_LINE * sheet.scale * _lines(sheet, pages[i].legends[0], who) + 0.03 * sheet.scale
        for i, who in keys.legends
    )


def inches_below(sheet: Sheet, keys: Keys) -> float:
    """Inches of the shared bars."""
    return BAR * sheet.scale * -(-len(keys.bars) // _bars_across(sheet))


def agreed(parts: list, pages: list[Alone], draw: Drawn) -> Keys:
    """What these panels can say once; `pages` tell of their drawings alone."""
    keys, said = Keys.apart(len(parts)), []
    letters = [part.letter for part in parts]
    _legends(keys, pages, letters, said)
    _bars(keys, pages, letters, draw, said)
    return replace(keys, said=tuple(said))


# ---------------------------------------------------------------------------- legends
def _legends(keys: Keys, pages: list[Alone], letters: list[str], said: list[str]) -> None:
    groups: dict[Said, list[int]] = {}
    for i, page in enumerate(pages):
        if len(page.legends) == 1:
            groups.setdefault(page.legends[0], []).append(i)
    for members in groups.values():
        if len(members) > 1:
            for i in members:
                keys.shared[i].add("legend")
            keys.legends.append((members[0], _who(members, letters)))
    by_title: dict[str, list[list[int]]] = {}
    for said_there, members in groups.items():
        if said_there.title:
            by_title.setdefault(said_there.title, []).append(members)
    for title, kept in by_title.items():
        if len(kept) > 1:
            counts = listed([str(len(pages[m[0]].legends[0].labels)) for m in kept])
            who = listed([letters[i] for m in kept for i in m], 12)
            said.append(
                f"Panels {who} have legends called “{plain(title)}” whose entries are not the same ({counts} entries): "
                "these are kept apart, and a colour means what its own legend says."
            )


def _lines(sheet: Sheet, key: Key | Said, who: str) -> int:
    return legend_lines(sheet, key.labels, _titled(key.title, who))[1]


def _titled(title: str, who: str) -> str:
    return f"{title} ({who})" if title and who else title or who


def _who(members: list[int], letters: list[str]) -> str:
    """The letters of the panels that something is of; "" where it is of all."""
    return "" if len(members) == len(letters) else ", ".join(letters[i] for i in members if letters[i])


def draw_legends(figure, sheet: Sheet, keys: Keys, pages: list[Page]) -> None:
    """At the head of the page, one below the other; `pages` are the panels' drawings."""
    top = figure.get_figheight()
    for i, who in keys.legends:
        key = pages[i].legends[0]
        title = _titled(key.title, who)
        figure.legend(
            handles=key.handles, title=title or None, loc="upper left",
            bbox_to_anchor=(0.0, top / figure.get_figheight()),
            title_fontproperties={"size": sheet.points}, **drawn_as(setting(sheet, key.labels, title)),
        )  # fmt: skip
        top -= LEGEND_LINE * sheet.scale * _lines(sheet, key, who) + 0.03 * sheet.scale


# ---------------------------------------------------------------------------- colour scales
def _bars(keys: Keys, pages: list[Alone], letters: list[str], draw: Drawn, said: list[str]) -> None:
    groups: dict[str, list[int]] = {}
    for i, page in enumerate(pages):
        if len(page.bars) == 1 and page.bars[0].label:
            groups.setdefault(page.bars[0].label, []).append(i)
    for label, members in groups.items():
        if len(members) > 1:
            bars = [p.bars[0] if p.bars else None for p in pages]
            _one_scale(keys, bars, members, letters, draw, said, label)


def _one_scale(keys: Keys, bars: list, members, letters, draw: Drawn, said: list[str], label: str) -> None:
    who = listed([letters[i] for i in members], 12)
    if len({bars[i].colours for i in members}) > 1:
        said.append(f"Panels {who} show “{label}” in other colours: each keeps its own scale.")
        return
    low, high = min(bars[i].ends[0] for i in members), max(bars[i].ends[1] for i in members)
    changed, found = set(), {}
    for i in members:
        found[i] = bars[i]
        if bars[i].ends != (low, high):
            on_it = draw(i, (low, high))
            found[i] = on_it.bars[0] if on_it.bars else bars[i]
            changed.add(i)
        if found[i].ends != (low, high):
            said.append(f"Panels {who} show “{label}” on scales with different ends: each keeps its own.")
            return
    for i in changed:
        keys.ends[i] = (low, high)
    if len({found[i].band and tuple(np.round(found[i].band, 6)) for i in members}) > 1:
        said.append(
            f"Panels {who} show “{label}” on one scale; each keeps its bar, since what chance gives (hatched) differs."
        )
        return
    for i in members:
        keys.shared[i].add("bar")
    keys.bars.append((members[0], _who(members, letters)))


def with_ends(result: Result, low: float, high: float) -> Result:
    """The same result on a colour scale from low to high, where its kind has a scale that can be set."""
    if isinstance(result, (Matrix, Heatmap)):
        return replace(result, limits=(low, high))
    return replace(result, ends=(low, high)) if isinstance(result, TokenMap) else result


def _bars_across(sheet: Sheet) -> int:
    return max(1, int(sheet.inches / (BAR_WIDE * sheet.scale * 1.25)))


def draw_bars(figure, sheet: Sheet, keys: Keys, pages: list[Page], below: float) -> None:
    """At the foot of the page, which has so many inches below its panels, beside each other."""
    from matplotlib.cm import ScalarMappable

    across, high = _bars_across(sheet), figure.get_figheight()
    for k, (i, who) in enumerate(keys.bars):
        bar = pages[i].bars[0]
        line, column = divmod(k, across)
        left = 0.22 * sheet.scale + column * sheet.inches / across
        foot = below - BAR * sheet.scale * line - 0.09 * sheet.scale
        wide = min(BAR_WIDE * sheet.scale, sheet.inches * 0.85)
        place = (left / sheet.inches, foot / high, wide / sheet.inches, 0.07 * sheet.scale / high)
        axes = figure.add_axes(place, label="<colorbar>")
        scale = ScalarMappable(bar.scale.norm, bar.scale.get_cmap())
        drawn = figure.colorbar(scale, cax=axes, orientation="horizontal")
        dress_bar(drawn, replace(bar, label=_titled(bar.label, who)), sheet.scale)
