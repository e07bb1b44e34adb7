"""The tokens of some samples, one of which somebody wants to see."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.errors import NotFound
from analysis.spec import Progress
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets


def sets_with(
    tap: Activations,
    sample: int,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress,
    minimum: int = 2,
) -> TokenSets:
    """Of at most `maximum` samples, `sample` among them; of a tap of one row a sample, runs of 16 neighbours.

    Raises NotFound where there is no such sample, and as `token_sets`."""
    total = tap.layout.n_rows // RUN if tap.layout.is_pooled else tap.layout.n_samples
    if sample >= total:
        raise NotFound(f"sample {sample} of {tap.name}", f"one of 0 to {total - 1}")
    others = np.setdiff1d(chosen_samples(total, maximum, rng), [sample])[: maximum - 1]
    asked = np.sort(np.r_[sample, others])
    return token_sets(tap, len(asked), rng, progress, minimum=minimum, only=asked)


def place_in(sets: TokenSets, sample: int) -> tuple[int, tuple[str, ...]]:
    """(where it stands among them, what to say): the first one where its tokens are not finite."""
    at = np.flatnonzero(sets.samples == sample)
    if len(at):
        return int(at[0]), ()
    return 0, (f"Sample {sample} lacks finite tokens: sample {sets.samples[0]} is drawn instead.",)
