"""What the analyses of samples × positions × units have in common: their parameters, and the block they look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.tensors.blocks import (
    ALL,
    CUT,
    EACH,
    LAYER,
    ORIGIN,
    POSITION,
    REFUSE,
    Block,
    centred,
    token_block,
)
from analysis.errors import InputError
from analysis.spec import Progress, param

ANY, NOT_NEGATIVE = "any", "not negative"
FEW_LAYERS = 4
TABLE = (
    "One position only: this is a table of samples × units. Its components are any rotation of each other (profiles of "
    "a third mode are what singles them out); choose a tap with tokens, or several layers."
)


@dataclass(frozen=True)
class BlockParams:
    centre: str = param(
        EACH, "What activations are taken about, where profiles may be negative: the mean over samples at each "
        "position, the mean of all rows, or the origin.", choices=(EACH, ALL, ORIGIN), late=True,
    )  # fmt: skip
    lengths: str = param(
        CUT, "What to do with samples of different lengths.", choices=(CUT, REFUSE), late=True
    )
    maximum_samples: int = param(
        200, "Most samples; a seeded random part above.", low=20, high=100_000, late=True
    )


@dataclass(frozen=True)
class ComponentParams(BlockParams):
    signs: str = param(
        ANY, "Whether profiles may be negative. Those of units may be all the same where activations are.",
        choices=(ANY, NOT_NEGATIVE), late=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """`block` as read; `x` its centred values; `nonnegative` modes; `name` of what it is; `notes`."""

    block: Block
    x: np.ndarray
    nonnegative: tuple[int, ...]
    name: str
    notes: tuple[str, ...]

    @property
    def between(self) -> tuple[str, ...]:
        """The modes between samples and units."""
        return self.block.modes[1:-1]


def asked_block(taps: Sequence, params: BlockParams, rng: np.random.Generator, progress: Progress) -> Asked:
    """Raises what `token_block` raises, and InputError where nothing varies."""
    taps = [as_activations(t) for t in taps]
    block = token_block(taps, rng, maximum=params.maximum_samples, lengths=params.lengths, progress=progress)
    plain, name = getattr(params, "signs", ANY) == NOT_NEGATIVE, " + ".join(tap_names([t.name for t in taps]))
    x, _ = centred(block.values, ORIGIN if plain else params.centre)
    if not (x**2).sum() > 1e-20 * (block.values**2).sum():
        raise InputError(f"the samples of {name} do not vary", "samples that differ", "Choose another tap")
    notes = [TABLE] if block.is_table else []
    if {LAYER, POSITION} <= set(block.modes) and len(taps) < FEW_LAYERS:
        notes.append(
            f"{len(taps)} layers are nearly one: components must share a profile over both. A single tap shows what "
            "positions do."
        )
    modes, more = signed_modes(x) if plain else ((), [])
    return Asked(block, x, modes, name, (*block.notes, *notes, *more))


def signed_modes(x: np.ndarray) -> tuple[tuple[int, ...], list[str]]:
    """The modes whose profiles can do without values below 0: all, or all but the units' where `x` has some; a note."""
    if (x < 0).any():
        said = f"{(x < 0).mean():.0%} of the values are below 0: profiles of units may be, those of other modes not."
        return tuple(range(x.ndim - 1)), [said]
    return tuple(range(x.ndim)), []
