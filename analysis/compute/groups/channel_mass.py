"""How few channels hold most of a sample's activation mass.

    m_c(x) = Σ_positions |activation of channel c|,    k(x) = least k so that the k largest m_c hold r Σ_c m_c

Uniform mass gives k = ⌈r C⌉, one channel that has it all k = 1; k grows with r. A channel is *on* in a sample where it
is one of the k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, TooLarge
from analysis.spec import Progress

FEWEST, MOST_BYTES = 8, 2 << 30
ROUNDING = 1e-9  # of the mass: sums of shares miss r by a bit


@dataclass(frozen=True)
class Masses:
    """`values` (n, C) of the samples at positions `samples` (n,) of a tap, each with some mass; `notes`."""

    values: np.ndarray
    samples: np.ndarray
    notes: tuple[str, ...]


def masses_of(
    tap: Activations, maximum: int, rng: np.random.Generator, progress: Progress, span: tuple[float, float],
    samples: np.ndarray | None = None,
) -> Masses:  # fmt: skip
    """Of at most `maximum` samples, a random part above, or of these `samples` (rising).

    Raises NotEnoughData, InputError, TooLarge: fewer than eight samples, no mass at all, over 2 GiB.
    """
    chosen, notes = random_part(tap.layout.n_samples, maximum, rng) if samples is None else (samples, [])
    if 8 * len(chosen) * tap.shape[1] > MOST_BYTES:
        raise TooLarge(
            f"{len(chosen):,} samples of {tap.shape[1]:,} channels", "at most 2 GiB", "Use fewer samples"
        )
    position = np.full(tap.layout.n_samples, -1)
    position[chosen] = np.arange(len(chosen))
    values, there, seen = np.zeros((len(chosen), tap.shape[1])), np.zeros(len(chosen), bool), Pass()
    for rows, block in finite_blocks(tap, seen, progress, f"reading {tap.name}", span):
        owner = position[tap.layout.sample_of(rows)]
        block, owner = np.abs(block[owner >= 0]), owner[owner >= 0]
        if len(owner):
            cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0])
            values[owner[cuts]] += np.add.reduceat(block, cuts, axis=0)
            there[owner] = True
    refuse_few(tap.name, int(there.sum()), FEWEST, "finite sample(s)")
    some = there & (values.sum(axis=1) > 0)
    if not some.any():
        raise InputError(f"all activations of {tap.name} are 0", "activations", "Choose another tap")
    if some.sum() < there.sum():
        notes.append(f"{int(there.sum() - some.sum())} sample(s) without any activation left out.")
    return Masses(values[some], chosen[some], (*seen.notes, *notes))


def common_masses(
    taps: Sequence[Activations], maximum: int, rng: np.random.Generator, progress: Progress, span
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Masses of the samples that all taps of one recording have, (n, C_i) each; notes. Raises InputError: taps of
    different samples; as `masses_of`."""
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    if any(not np.array_equal(ids[0], other) for other in ids[1:]):
        raise InputError("the taps have different samples", "taps of one recording, in the order of depth")
    n = len(ids[0])
    chosen, notes = random_part(n, maximum, rng)
    whole, step = [], (span[1] - span[0]) / len(taps)
    for i, tap in enumerate(taps):
        found = masses_of(tap, n, rng, progress, (span[0] + i * step, span[0] + (i + 1) * step), chosen)
        own = np.zeros((len(chosen), tap.shape[1]))
        own[np.searchsorted(chosen, found.samples)] = found.values
        whole.append(own)
        notes += found.notes
    good = np.all([w.sum(axis=1) > 0 for w in whole], axis=0)
    refuse_few(taps[0].name, int(good.sum()), FEWEST, "sample(s) with activations in every tap")
    return [w[good] for w in whole], tuple(dict.fromkeys(notes))


def fewest_channels(masses: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(n, shares) k of each sample of `masses` (n, C) for each share. O(n C ln C)."""
    held = np.cumsum(-np.sort(-masses, axis=1), axis=1)
    held /= held[:, -1:]
    return np.stack([(held < r - ROUNDING).sum(axis=1) + 1 for r in shares], axis=1)


def channels_on(masses: np.ndarray, share: float) -> np.ndarray:
    """(n, C) bool: the channel is one of the k of the sample; of equal ones the first."""
    k = fewest_channels(masses, np.array([share]))[:, 0]
    order = np.argsort(-masses, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(masses.shape[1]), order.shape), axis=1)
    return rank < k[:, None]


def exchanged_masses(masses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each channel's masses exchanged between samples: how much each has stays, which go together goes."""
    return rng.permuted(masses, axis=0)
