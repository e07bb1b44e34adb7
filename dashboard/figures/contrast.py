"""Words in the colour of their line, darkened or lightened until they can be read on the ground they stand on.

Contrast is WCAG 2's: (L1 + 0.05) / (L2 + 0.05) of the relative luminances, 4.5 at least for text of this size.
"""

from __future__ import annotations

import functools

LEAST = 4.5
_STEPS = 40


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _luminance(rgb: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: str, ground: str) -> float:
    """From 1 (alike) to 21 (black on white) of two hex colours."""
    dark, light = sorted(_luminance(_rgb(c)) for c in (colour, ground))
    return (light + 0.05) / (dark + 0.05)


@functools.cache
def readable(colour: str, ground: str, least: float = LEAST) -> str:
    """The hex colour nearest to `colour`, towards black or white, that has this contrast on `ground`."""
    towards = (0.0, 0.0, 0.0) if _luminance(_rgb(ground)) > 0.18 else (1.0, 1.0, 1.0)
    own = _rgb(colour)
    for k in range(_STEPS + 1):
        share = k / _STEPS
        mixed = [round(255 * ((1 - share) * c + share * t)) for c, t in zip(own, towards, strict=True)]
        found = "#{:02X}{:02X}{:02X}".format(*mixed)
        if contrast(found, ground) >= least:
            return found
    return found


def ink(ground: tuple[float, float, float]) -> str:
    """Black or white, whichever is read better on a ground of red, green and blue from 0 to 1: 4.5 : 1 at least."""
    light = _luminance(ground) + 0.05
    return "#000000" if light / 0.05 >= 1.05 / light else "#ffffff"
