"""The caption of a composed figure: of each panel what was written, or a draft out of its result."""

from __future__ import annotations

import re

from analysis.sharing.baskets.basket import Basket
from dashboard.baskets.panels import Ready
from dashboard.baskets.prose import Bold, Prose, as_markdown, as_tex
from dashboard.figures import besides, caption
from dashboard.figures.text import plain, tex

PRINTED = {
    "single": "\\columnwidth",
    "double": "\\textwidth",
    "slide": "\\textwidth",
    "poster": "\\textwidth",
}


def draft(one: Ready) -> str:
    """What a result says of itself; how it was made is in the methods paragraph."""
    return caption(one.result, show=(one.options or {}).get("show", "value"), made=False)


def caption_of(basket: Basket, panels: list[Ready]) -> Prose:
    """The whole caption: its own sentence, then a, b, c."""
    found: Prose = [plain(basket.caption).strip() + " "] if basket.caption.strip() else []
    for one in panels:
        text = draft(one) if one.panel.caption is None else plain(one.panel.caption).strip()
        found += [Bold(one.letter), ", " if text else ". "] if one.letter else []
        found += [text, " "]
    return found[:-1]


def captions_markdown(basket: Basket, panels: list[Ready], said: tuple[str, ...]) -> str:
    """The caption, what belongs into the text, and what is to be known of the arrangement."""
    text = as_markdown(caption_of(basket, panels)) + "\n"
    notes = [*said, *(f"Panel {one.named}: {one.said}." for one in panels if one.said)]
    if notes:
        text += "\n## Of the arrangement\n\n" + "".join(f"- {as_markdown([note])}\n" for note in notes)
    rest = [(one.named, besides(one.result)) for one in panels if one.result is not None]
    if any(words for _, words in rest):
        text += "\n## To say in the text\n\n"
        text += "".join(f"- Panel {named}: {as_markdown([words])}\n" for named, words in rest if words)
    return text


def captions_tex(basket: Basket, panels: list[Ready]) -> str:
    """A figure environment with the caption."""
    width = basket.sheet.get("width", "double")
    wide = "*" if width == "double" else ""
    label = re.sub(r"[^A-Za-z0-9-]+", "-", basket.name).strip("-").lower() or "figure"
    return "\n".join(
        [
            f"\\begin{{figure{wide}}}",
            "\\centering",
            f"\\includegraphics[width={PRINTED.get(width, PRINTED['double'])}]{{figure.pdf}}",
            f"\\caption[{tex(basket.name)}]{{{as_tex(caption_of(basket, panels))}}}",
            f"\\label{{fig:{label}}}",
            f"\\end{{figure{wide}}}",
            "",
        ]
    )
