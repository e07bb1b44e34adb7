"""Sparse dictionaries that can be trained, by name: one file each, its equation on top."""

from __future__ import annotations

from analysis.errors import NotFound
from analysis.features.architectures import (
    batch_topk,
    choices,
    distributional,
    end_to_end,
    gradient,
    jump_relu,
    least_volume,
    matryoshka,
    orthogonal,
    pursuit,
    relu,
    topk,
    transcoder,
    variational,
)
from analysis.features.architectures.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        topk.ARCHITECTURE, batch_topk.ARCHITECTURE, jump_relu.ARCHITECTURE, relu.ARCHITECTURE, matryoshka.ARCHITECTURE,
        orthogonal.ARCHITECTURE, pursuit.ARCHITECTURE, choices.MUTUAL, choices.FEATURE,
        gradient.ARCHITECTURE, variational.ARCHITECTURE, transcoder.ARCHITECTURE, end_to_end.ARCHITECTURE,
        least_volume.ARCHITECTURE, distributional.ARCHITECTURE,
    )
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """Raises NotFound listing what there is."""
    if name not in ARCHITECTURES:
        raise NotFound(f"no architecture {name!r}", "one of " + ", ".join(ARCHITECTURES))
    return ARCHITECTURES[name]
