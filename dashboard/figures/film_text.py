"""A step of a token film as the text itself: words that are gone are grey and struck through, merged ones have the
colour of their token underneath."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.film_panels import group_colour, groups_of, look
from dashboard.figures.text import markup

TALL = "16em"
REGION = 'tabindex="0" role="region" aria-label'  # what scrolls is a stop of Tab, so that arrows scroll it


def text_after(result: TokenFilm, step: int, theme: str) -> str:
    """HTML of all words of the sample as they are after a step (0: the input); "" where there are no words."""
    if not result.words:
        return ""
    owner, how = np.asarray(result.owner)[step], look(theme == "dark")
    merged = {
        int(name): "#{:02x}{:02x}{:02x}".format(*map(int, group_colour(int(name), how)))
        for name in groups_of(owner)
    }
    said = [_word(word, int(mine), merged) for word, mine in zip(result.words, owner, strict=True)]
    css = (
        f"font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;max-height:{TALL};overflow-y:auto"
    )
    return f'<div {REGION}="The text at this step" style="{css};line-height:1.7">{"".join(said)}</div>'


def _word(text: str, owner: int, merged: dict[int, str]) -> str:
    said = word(text)
    if owner < 0:
        return f'<s style="opacity:0.45">{said}</s>'
    if owner in merged:
        return f'<span style="border-bottom:3px solid {merged[owner]}">{said}</span>'
    return said


def word(text: str) -> str:
    """A token that can be seen, safe to show: a line's end has a sign of its own."""
    return "".join(markup(part) + "↵\n" for part in text.split("\n")[:-1]) + markup(text.split("\n")[-1])
