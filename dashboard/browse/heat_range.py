"""Which part of a heat map a person looks at, as short text for the URL and back: a stranger's text is only ignored."""

from __future__ import annotations

import re

from dashboard.browse.heat_picture import Box

_BOX = re.compile(r"(\d{1,9})-(\d{1,9})_(\d{1,9})-(\d{1,9})")
_PAIR = re.compile(r"(\d{1,9})_(\d{1,9})")


def range_text(box: Box | None) -> str | None:
    """ "601-650_1201-1250": lines as they are counted on the picture, from 1, both ends seen; None for everything."""
    return None if box is None else f"{box[0] + 1}-{box[1]}_{box[2] + 1}-{box[3]}"


def box_from(text: str, shape: tuple[int, int]) -> Box | None:
    """The inverse; None for what lies outside the matrix, too."""
    found = _BOX.fullmatch(text)
    if found is None:
        return None
    r0, r1, c0, c1 = map(int, found.groups())
    inside = 1 <= r0 <= r1 <= shape[0] and 1 <= c0 <= c1 <= shape[1]
    return (r0 - 1, r1, c0 - 1, c1) if inside else None


def pair_text(pair: tuple[int, int] | None) -> str | None:
    """ "12_40": two unit numbers."""
    return None if pair is None else f"{pair[0]}_{pair[1]}"


def pair_from(text: str, shape: tuple[int, int]) -> tuple[int, int] | None:
    """The inverse; `shape`: how many units there are on either side."""
    found = _PAIR.fullmatch(text)
    if found is None:
        return None
    a, b = map(int, found.groups())
    return (a, b) if a < shape[0] and b < shape[1] else None
