"""The two spaces in which subspaces of taps can be compared: of the units, and of the samples."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.activations import Activations
from analysis.compute.rows.some_samples import EVERY, MEAN
from analysis.errors import InputError

AUTOMATIC, UNITS, SAMPLES = "automatic", "units", "samples"
SPACES = (AUTOMATIC, UNITS, SAMPLES)
SPACE_HELP = (
    "Axes of the same units, or components as vectors over the common samples, for taps of any networks. Automatic: "
    "units where taps of one store, or one tap of several stores, have as many of them."
)


def space_of(space: str, taps: Sequence[Activations]) -> str:
    """UNITS or SAMPLES. Automatic is of units where these can be the same ones: equally many, in taps of one store or
    of one name (checkpoints)."""
    if space != AUTOMATIC:
        return space
    stores, names = zip(*(t.name.partition(":")[::2] for t in taps), strict=True)
    one = len(set(stores)) == 1 or len(set(names)) == 1
    return UNITS if one and len({t.shape[1] for t in taps}) == 1 else SAMPLES


def refuse_tokens_of_samples(space: str, tokens: str, taps: Sequence[Activations]) -> None:
    """Raise InputError where every token shall be a row in the space of samples: random subspaces of all rows, by which
    chance is known there, share less than tokens that depend on each other."""
    if space != UNITS and tokens == EVERY and not all(t.layout.is_pooled for t in taps):
        wide = ", ".join(f"{w:,}" for w in dict.fromkeys(t.shape[1] for t in taps))
        raise InputError(
            f"every token as a row in the space of samples (taps of {wide} units)",
            "one row for each sample there: what chance gives to tokens that depend on each other is not known",
            f"Set 'tokens' to '{MEAN}', or take taps of the same units with 'space' {UNITS}",
        )


def space_words(space: str) -> str:
    """Which of the two it was, as a caveat."""
    return f"Compared are subspaces of the {space}."
