"""Audio clips that remember their sampling rate."""

from __future__ import annotations

from math import gcd

import numpy as np


class Clip(np.ndarray):
    """Mono samples (t,) float32 in [-1, 1] with `sampling_rate` in Hz (None for derived arrays)."""

    sampling_rate: int | None = None

    @classmethod
    def of(cls, samples: np.ndarray, sampling_rate: int) -> Clip:
        clip = np.asarray(samples, dtype=np.float32).view(cls)
        clip.sampling_rate = int(sampling_rate)
        return clip


def resampled(clip: np.ndarray, rate: int) -> np.ndarray:
    """The clip at `rate` Hz by a polyphase filter; unchanged where its own rate is unknown or equal."""
    own = getattr(clip, "sampling_rate", None)
    if own is None or own == rate:
        return clip
    from scipy.signal import resample_poly

    divisor = gcd(own, rate)
    return Clip.of(resample_poly(np.asarray(clip), rate // divisor, own // divisor), rate)
