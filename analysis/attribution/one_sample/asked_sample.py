"""One sample that is asked about, and one answer that is wanted of it, by name."""

from __future__ import annotations

import numpy as np

from analysis.attribution.targets import at_position
from analysis.errors import NotFound


def place_of(samples, sample: int, tap) -> int:
    """Where a store's sample is among the explained ones. Raises NotFound."""
    found = np.flatnonzero(samples.samples == sample)
    if not len(found):
        raise NotFound(
            f"sample {sample} of {tap.name}",
            f"one of its {len(samples.samples):,} samples with finite rows and, of a probe, a label",
        )
    return int(found[0])


def answer_wanted(samples, logits, asked: str | None) -> int:
    """The output of this name or number; None: the second likeliest. Raises NotFound."""
    z = at_position(logits, -1)[0].double().numpy()
    if asked is None:
        return int(np.argsort(-z, kind="stable")[1])
    if asked in samples.classes:
        return samples.classes.index(asked)
    if asked.isdecimal() and int(asked) < len(z):
        return int(asked)
    known = ", ".join(samples.classes[:20]) or f"a number from 0 to {len(z) - 1}"
    raise NotFound(f"answer '{asked}'", f"one of {known}")
