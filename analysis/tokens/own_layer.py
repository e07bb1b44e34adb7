"""Which layer is looked at where nobody names one: that of the tap, else the last.

Who chose the tap of the third block and asks what a head does there means the third block.
"""

from __future__ import annotations

from collections.abc import Sequence

from analysis.activations import Activations

AUTOMATIC_LAYER = "automatic: that of the tap, else the last"


def layer_of_tap(tap: Activations, names: Sequence[str]) -> int | None:
    """The place among layers, by their modules' names, of the one that a tap is the output of, lies in or holds (the
    last of several); None of a tap of none, such as the answers of a network."""
    own = getattr(tap, "source", None)
    where = str(getattr(tap if own is None else own(), "tap", ""))
    if not where:
        return None
    inside = [i for i, name in enumerate(names) if name and (where + ".").startswith(name + ".")]
    holds = [i for i, name in enumerate(names) if name.startswith(where + ".")]
    if inside:
        return max(inside, key=lambda i: len(names[i]))
    return holds[-1] if 0 < len(holds) < len(names) else None  # a module of all layers is none of them


def named_layer(number: int | None, own: int | None, count: int) -> int:
    """The layer of a number from 1, counted from 0; without one `own`, else the last of `count`."""
    if number is not None:
        return number - 1
    return count - 1 if own is None else own
