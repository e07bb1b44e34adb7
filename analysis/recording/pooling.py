"""From (batch, tokens, units) to the rows that are kept.

What each choice means, also where tokens are padding or stand before the image grid:

=============  ==================================================================================
all            every token that is not padding, in order
mean           mean over the tokens that are neither padding nor leading: a ViT's class and register
               tokens are *not* in it (the patch mean of the field), a text's [CLS] and [SEP] are
               (the mean pooling of sentence encoders)
cls            the class token: the first one, or the first that is not padding
last           the last token that is not padding
spatial-mean   mean over the positions of an image grid, leading tokens left out
=============  ==================================================================================

An output without tokens, (batch, units), is kept as it is whatever was chosen.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ParameterError

HALF_LARGEST = 65_504.0
HALF_NORMAL = 2.0**-14  # below it float16 keeps fewer digits
TOKENS = ("all", "mean", "cls", "last", "spatial-mean")


def check_choice(tokens: str) -> str:
    """Return `tokens`, or raise ParameterError naming the choices."""
    if tokens not in TOKENS:
        raise ParameterError(f"tokens = {tokens!r}", "one of " + ", ".join(TOKENS))
    return tokens


def pool(x, tokens: str, *, leading: int = 0, mask=None, half: bool = False):
    """Rows to keep of `x` (batch, tokens, units), as a tensor that owns its memory.

    Parameters
    ----------
    x : torch.Tensor, (batch, tokens, units)
    tokens : one of `TOKENS`
    leading : int
        Tokens before the image grid.
    mask : torch.Tensor of bool, (batch, tokens), optional
        False where a token is padding.
    half : bool
        The rows will be stored as float16: copy them as such where all of them fit.

    Returns
    -------
    rows : torch.Tensor, (rows, units)
        Always a copy: what the network does to `x` in place afterwards does not reach it.
    counts : ndarray (batch,) int64 or None
        Rows of each sample; None where all samples have rows / batch.
    """
    n, length, units = x.shape
    if length == 1 and mask is None:
        return x[:, 0].clone(), None
    if tokens == "all":
        if mask is None or bool(mask.all()):
            rows = x.reshape(n * length, units)
            return (_halved(rows, x) if half else _owned(rows, x)), None
        return x[mask], mask.sum(1).cpu().numpy().astype(np.int64)
    if tokens in ("mean", "spatial-mean"):
        return _mean(x[:, leading:], None if mask is None else mask[:, leading:]), None
    if mask is None:
        return x[:, 0 if tokens == "cls" else length - 1].clone(), None
    return x[_rows(x), _edge(mask, first=tokens == "cls")], None


def _mean(x, mask):
    """Token mean (batch, units) in at least float32; a sample of nothing but padding gives NaN."""
    import torch

    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    if mask is None:
        return x.mean(1, dtype=dtype)
    kept = torch.where(mask[:, :, None], x, 0).sum(1, dtype=dtype)  # `where`: 0 x NaN in the padding is NaN
    return kept / mask.sum(1, dtype=dtype)[:, None]


def _edge(mask, *, first: bool):
    """Position of the first or last True of each row of `mask`; padding may stand on either side."""
    import torch

    if first:
        return mask.int().argmax(1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, positions, -1).amax(1).clamp_min(0)


def _rows(x):
    import torch

    return torch.arange(len(x), device=x.device)


def _halved(rows, x):
    """float16 copy of float32 `rows` if all are finite and fit, which halves what is copied and moved; else as they
    are, so that the store can count what overflows, or what becomes 0 where all of them are tiny."""
    import torch

    if rows.dtype != torch.float32 or not rows.numel():
        return _owned(rows, x)
    low, high = torch.aminmax(rows)
    low, high = float(low), float(high)
    fits = low >= -HALF_LARGEST and high <= HALF_LARGEST  # False for NaN too
    fits = fits and (low == high == 0 or max(-low, high) >= HALF_NORMAL)
    return rows.half() if fits else _owned(rows, x)


def _owned(rows, x):
    """`rows` with memory of its own (reshape copies only where it must)."""
    return rows.clone() if rows.data_ptr() == x.data_ptr() else rows
