"""What stands at a site when a player is absent: one set, chosen and told, never cut in silence.

    mean      the mean of the given samples, token by token where all have as many, else one mean for every token
    samples   each of the given samples in turn; the answer is averaged over them, and nothing else is
    zero      zeros, which may be unlike anything the network has seen

Of samples of other lengths the tokens are taken again from their beginning where they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.sample_groups import GROUPS, sample_groups
from analysis.errors import NotEnoughData, ParameterError, ShapeError

__all__ = ["GROUPS", "KINDS", "MEAN", "SAMPLES", "ZERO", "Background", "Others", "background", "left_out"]

MEAN, SAMPLES, ZERO = "mean", "samples", "zero"
KINDS = (MEAN, SAMPLES, ZERO)


@dataclass(frozen=True)
class Background:
    """`rows` (b, tokens, units) tensor: what stands there; `words` which it is."""

    rows: object
    words: str

    @property
    def size(self) -> int:
        return len(self.rows)


def background(kind: str, clean, others: Sequence = ()) -> Background:
    """For the sample `clean` (tokens, units), of the `others` [(tokens, units)] at the same site.

    Raises ParameterError, NotEnoughData (none given), ShapeError (other units).
    """
    import torch

    if kind not in KINDS:
        raise ParameterError(f"a background {kind!r}", "one of " + ", ".join(KINDS))
    if kind == ZERO:
        return Background(torch.zeros_like(clean)[None], "zero")
    if not others:
        raise NotEnoughData("a background of no samples", "at least one", "Choose more samples, or zero")
    if any(o.shape[1] != clean.shape[1] for o in others):
        raise ShapeError(
            f"samples of {sorted({int(o.shape[1]) for o in others})} units",
            f"{clean.shape[1]} as the explained one",
        )
    tokens, many = len(clean), f"{len(others):,} sample" + "s" * (len(others) > 1)
    if kind == SAMPLES:
        rows = torch.stack([o[torch.arange(tokens) % len(o)] for o in others])
        return Background(rows, f"the answer averaged over {many}")
    if all(len(o) == tokens for o in others):
        mean = torch.stack([o.double() for o in others]).mean(dim=0)
        return Background(mean.to(clean.dtype)[None], f"the mean of {many}, token by token")
    mean = torch.cat([o.double() for o in others]).mean(dim=0)
    return Background(mean.to(clean.dtype).expand(1, tokens, -1), f"the mean over all tokens of {many}")


def left_out(clean, others: Sequence, rng: np.random.Generator) -> list[Background]:
    """The mean background without each of ten random groups of the `others`, or without each of a few; none below 3."""
    if len(others) < 3:
        return []
    kept = [[o for i, o in enumerate(others) if i not in g] for g in sample_groups(len(others), rng)]
    return [background(MEAN, clean, some) for some in kept]


class Others:
    """The samples that backgrounds are made of, `many` of them drawn once for all of `samples`: of a sample that is
    among them another stands in its place, so that none is held against itself."""

    def __init__(self, samples, kind: str, many: int, rng: np.random.Generator) -> None:
        n = len(samples.samples)
        self._many = min(many, n - 1)
        drawn = np.sort(rng.choice(n, size=min(many + 1, n), replace=False)) if kind != ZERO else []
        spare = rng.permutation(len(drawn))  # which of them stands in
        self._drawn = [(int(drawn[k]), samples.run(int(drawn[k])).clean) for k in spare]

    def without(self, i: int) -> list:
        """[(tokens, units)] without the i-th of the samples."""
        return [rows for at, rows in self._drawn if at != i][: self._many]
