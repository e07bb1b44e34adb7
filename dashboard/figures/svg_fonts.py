"""Fonts inside an SVG: the text stays text and looks the same where the font is not installed.

Each face is cut down to the characters that are written in it and put into the file as WOFF.
"""

from __future__ import annotations

import base64
import io
import re
from functools import lru_cache

_TEXT = re.compile(r"<text style=\"([^\"]*)\"[^>]*>(.*?)</text>", re.DOTALL)
_TSPAN = re.compile(r"<[^>]*>")
_PLACE = "</style>"
Face = tuple[str, bool, bool]  # family, bold, italic


def with_fonts(svg: bytes) -> bytes:
    """The same SVG with an @font-face for every face that its texts use."""
    text = svg.decode("utf-8")
    rules = [_rule(face, "".join(sorted(used))) for face, used in sorted(_used(text).items())]
    added = "".join(rule for rule in rules if rule)
    head, found, rest = text.partition(_PLACE)
    return (head + added + found + rest).encode("utf-8") if found else svg


def _used(svg: str) -> dict[Face, set[str]]:
    """Characters by the face that writes them: the first named family that has them."""
    from html import unescape

    found: dict[Face, set[str]] = {}
    for style, inside in _TEXT.findall(svg):
        look = dict(part.strip().split(": ", 1) for part in style.split(";") if ": " in part)
        families = re.findall(r"'([^']+)'", look.get("font-family", ""))
        bold = int(look.get("font-weight", "400")) >= 600
        italic = look.get("font-style", "normal") != "normal"
        for character in set(unescape(_TSPAN.sub("", inside))):
            for family in families:
                if ord(character) in _characters((family, bold, italic)):
                    found.setdefault((family, bold, italic), set()).add(character)
                    break
    return found


@lru_cache(maxsize=32)
def _file(face: Face) -> str:
    """The file of a face that comes with the drawing library; "" where it has none."""
    from matplotlib import font_manager

    family, bold, italic = face
    wish = font_manager.FontProperties(
        family=[family], weight="bold" if bold else "normal", style="italic" if italic else "normal"
    )
    try:
        return str(font_manager.findfont(wish, fallback_to_default=False))
    except ValueError:
        return ""


@lru_cache(maxsize=32)
def _characters(face: Face) -> frozenset[int]:
    from fontTools.ttLib import TTFont

    path = _file(face)
    if not path:
        return frozenset()
    with TTFont(path, lazy=True) as font:
        return frozenset(font.getBestCmap())


@lru_cache(maxsize=256)
def _rule(face: Face, used: str) -> str:
    """CSS that holds the part of the font that is used; the dates in it are the font's own."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    asked = subset.Options(
        layout_features=["kern", "mark", "mkmk", "ccmp"], hinting=False, notdef_outline=True
    )
    asked.drop_tables += ["FFTM"]  # the dates of its editor
    with TTFont(_file(face), recalcTimestamp=False) as font:
        cutter = subset.Subsetter(asked)
        cutter.populate(text=used)
        cutter.subset(font)
        font.flavor, out = "woff", io.BytesIO()
        font.save(out, reorderTables=True)
    data, (family, bold, italic) = base64.b64encode(out.getvalue()).decode("ascii"), face
    look = f"font-weight:{700 if bold else 400};font-style:{'italic' if italic else 'normal'}"
    return f"@font-face{{font-family:'{family}';{look};src:url(data:font/woff;base64,{data}) format('woff')}}"
