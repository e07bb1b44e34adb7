"""The channels of two taps on the scenes that both have: their units, or a token for each."""

from __future__ import annotations

import numpy as np

from analysis.arrays import chosen_samples
from analysis.compute.rows.common_samples import common_samples, shared_positions
from analysis.errors import InputError
from analysis.spec import Progress

FEWEST = 10  # scenes
UNITS, TOKENS = "units", "tokens"


def read_channels(taps, channels: str, maximum: int, rng, progress: Progress):
    """((n, p, e), (n, q, e), notes) of at most `maximum` scenes in common. Raises InputError, NotEnoughData."""
    if channels == UNITS:
        got = common_samples(taps, rng, maximum=maximum, minimum=FEWEST, progress=progress)
        return *(v[:, :, None] for v in got.values), list(got.notes)
    if any(t.layout.is_pooled for t in taps) or taps[0].shape[1] != taps[1].shape[1]:
        if all(t.layout.is_pooled for t in taps):
            found = read_channels(taps, UNITS, maximum, rng, progress)
            found[2].append("Samples have one row each: their units are taken for the channels.")
            return found
        raise InputError(f"taps of {taps[0].shape[1]} and {taps[1].shape[1]} units, of tokens or not",
                         "tokens of as many units in both", "Take units for the channels")  # fmt: skip
    positions, said = shared_positions(taps, FEWEST)
    positions = positions[:, chosen_samples(positions.shape[1], maximum, rng)]
    found = [_tokens(t, at) for t, at in zip(taps, positions, strict=True)]
    good = np.isfinite(found[0]).all(axis=(1, 2)) & np.isfinite(found[1]).all(axis=(1, 2))
    if good.sum() < FEWEST:
        raise InputError(f"{int(good.sum())} scene(s) with finite tokens in both", f"at least {FEWEST}")
    if not good.all():
        said = [*said, f"{int((~good).sum())} scene(s) with NaN or infinity left out."]
    return found[0][good], found[1][good], list(said)


def _tokens(tap, at: np.ndarray) -> np.ndarray:
    """(n, channels, units) of the samples at these places."""
    layout = tap.layout
    counts = np.diff(layout.offsets)[at] - layout.leading
    if (counts != counts[0]).any() or counts[0] < 1:
        raise InputError(f"{tap.name} has from {counts.min()} to {counts.max()} tokens a sample",
                         "a token for each channel, the same in all")  # fmt: skip
    rows = layout.offsets[at][:, None] + layout.leading + np.arange(counts[0])
    return np.asarray(tap.take(rows.ravel()), np.float64).reshape(len(at), int(counts[0]), -1)


def channel_names(tap, count: int, channels: str) -> tuple[str, ...]:
    """Of a tap's channels, as its units say where these are channels."""
    own = tuple(str(u) for u in tap.unit_names)
    return own if len(own) == count and (channels == UNITS or tap.layout.is_pooled) else tuple(
        f"channel {k}" for k in range(count))  # fmt: skip
