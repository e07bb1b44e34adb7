"""What stands at a site when a player is absent: one set, chosen and told, never cut in silence.

    mean      the mean of the given samples, token by token where all have as many, else one mean for every token
    samples   each of the given samples in turn; the answer is averaged over them, and nothing else is
    zero      zeros, which may be unlike anything the network has seen

Of samples of other lengths the tokens are taken again from their beginning where they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import NotEnoughData, ParameterError, ShapeError

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
