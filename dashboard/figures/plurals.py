""" "1 unit(s)" as a person writes it: 1 unit, 2 units."""

from __future__ import annotations

import re

_THINGS = (
    "adapter|angle|answer|atom|attribute|bin|block|cell|channel|checkpoint|clip|cluster|column|component|concept|crop|"
    "dimension|direction|domain|draw|edge|exemplar|expert|fader|feature|file|frame|group|head|image|input|item|label|"
    "landmark|latent|layer|level|line|link|mode|network|neuron|node|number|output|pair|picture|piece|place|point|position|"
    "prompt|prototype|rank|row|run|sample|selection|sequence|series|shape|size|source|step|store|tap|template|term|"
    "text|token|unit|value|vector|view"
)
# a number, up to two words that describe the thing ("3 constant unit(s)"), the thing
_COUNTED = re.compile(rf"(?:(?<![\w.,])([\d,]+)((?: [a-z-]+){{0,2}}) )?\b({_THINGS}|class)\((e?s)\)")


def counted(text: str) -> str:
    """The text with one or several of a thing said as that; several where no number stands before it."""
    return _COUNTED.sub(_said, text) if "s)" in text else text


def _said(found: re.Match) -> str:
    number, between, thing, ending = found.groups()
    before = "" if number is None else f"{number}{between} "
    return f"{before}{thing}" + ("" if number == "1" else ending)
