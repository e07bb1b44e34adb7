"""What the axes of a dumped array mean: samples, tokens, units. The rule is said in `DumpTap.rule`.

=============  ==========================================================================
(n, d)         one row of d units per sample
(n, t, d)      t tokens of d units
(n, c, h, w)   h * w image positions, row by row, of c units; (n, h, w, c) with channels="last"
=============  ==========================================================================

With tokens="mean" the mean over the tokens is kept instead, one row per sample. What the t tokens are may be said by a
token-type map (`analysis.sources.token_types`): tokens that are no patches are then kept before the patches, and means
are of patches alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import ParameterError, ShapeError
from analysis.sources.token_types import TokenTypes, fitting


@dataclass(frozen=True)
class DumpTap:
    """One array of a dump as a tap. `n_tokens` rows per sample; `tokens` "all" or "mean"; `dtype` as dumped."""

    name: str
    n_units: int
    n_tokens: int
    dtype: str
    rule: str
    tokens: str = "all"
    grid: tuple[int, int] | None = None
    unit_names: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    channels: str = "first"
    types: TokenTypes | None = None
    said: str = ""  # the map as text

    @property
    def leading(self) -> int:
        return self.types.leading if self.types and self.tokens == "all" else 0

    @property
    def stored_dtype(self) -> str:
        """float16 only where the dump is: everything else keeps float32."""
        return "float16" if self.dtype == "float16" else "float32"

    @property
    def is_read_otherwise(self) -> bool:
        """Whether pooling or the channel axis makes other rows of the same array than the defaults would."""
        return (
            self.tokens != "all"
            or self.types is not None
            or (self.channels != "first" and len(self.shape) == 4)
        )

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample in memory before pooling, as float32."""
        return 4 * int(np.prod(self.shape[1:], dtype=np.int64))

    def rows(self, block: np.ndarray) -> np.ndarray:
        """(samples, …) as stored -> (rows, units) floating."""
        block = block if block.dtype.kind == "f" else block.astype(np.float32)
        if block.ndim == 4:
            block = block if self.channels == "last" else block.transpose(0, 2, 3, 1)
            block = block.reshape(len(block), -1, block.shape[3])
        if self.types is not None:
            block = block[:, list(self.types.order)]
            block = block[:, self.types.leading :] if self.tokens == "mean" else block
        if block.ndim == 3 and self.tokens == "mean":
            block = block.mean(axis=1, dtype=np.float64).astype(np.float32)
        return block.reshape(-1, block.shape[-1])


def as_tap(
    name: str,
    shape: Sequence[int],
    dtype: str,
    *,
    tokens: str = "all",
    channels: str = "first",
    unit_names=(),
    types: str = "",
) -> DumpTap:
    """Decide what the axes of an array of `shape` are. `types` hold for arrays of as many tokens as they name.

    Raises ShapeError for other than two to four axes, ParameterError for unknown choices.
    """
    if tokens not in ("all", "mean"):
        raise ParameterError(f"tokens = {tokens!r}", "all or mean")
    if channels not in ("first", "last"):
        raise ParameterError(f"channels = {channels!r}", "first or last")
    shape = tuple(int(s) for s in shape)
    if len(shape) not in (2, 3, 4):
        raise ShapeError(
            f"array '{name}' has shape {shape}",
            "(samples, units), (samples, tokens, units) or (samples, channels, height, width)",
            "Reshape it, or leave it out with arrays=",
        )
    if 0 in shape:
        raise ShapeError(f"array '{name}' is empty (shape {shape})", "at least one sample, token and unit")
    common = {"dtype": dtype, "unit_names": tuple(unit_names), "shape": shape, "channels": channels}
    if len(shape) == 2:
        return DumpTap(name, shape[1], 1, rule=f"{shape[1]} units, one row per sample", **common)
    if len(shape) == 3:
        count, units, grid, what = shape[1], shape[2], None, "tokens"
        found = fitting([types], count)
        if found is not None:
            common |= {"types": found, "said": types}
            grid, what = found.grid, f"tokens ({found.told})"
            count = grid[0] * grid[1] if tokens == "mean" else count
    else:
        height, width = shape[1:3] if channels == "last" else shape[2:]
        units = shape[3] if channels == "last" else shape[1]
        count, grid, what = height * width, (height, width), f"positions ({height} x {width})"
    if tokens == "mean":
        return DumpTap(
            name, units, 1, rule=f"mean over {count} {what} of {units} units", tokens="mean", **common
        )
    return DumpTap(name, units, count, rule=f"{count} {what} of {units} units", grid=grid, **common)
