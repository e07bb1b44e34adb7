"""A residual stream unrolled: what of its last state comes from the first one, and from what each block wrote.

With shortcut weights α, block l writes w_l = x_l - α_l x_{l-1}, and x_L = Πα x_0 + Σ_l (Π_{j > l} α_j) w_l exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.compute.linear.spectra import entropy_rank
from analysis.compute.rows.common_rows import CommonRows
from analysis.errors import InputError, NotEnoughData

FEWEST = 8  # samples


def decaying(last: float, blocks: int) -> np.ndarray:
    """(blocks,) shortcut weights that fall linearly with depth, from 1 before the first to `last` at the last block."""
    return 1.0 - (1.0 - last) * np.arange(1, blocks + 1) / blocks


def unrolled(states: Sequence[np.ndarray], alphas: np.ndarray) -> list[np.ndarray]:
    """(n, d) what of the last state comes from the first, then from the write of each block; they sum to it."""
    after = np.append(np.cumprod(alphas[::-1])[::-1], 1.0)
    writes = [x - a * before for x, a, before in zip(states[1:], alphas, states[:-1], strict=True)]
    return [after[0] * states[0], *(c * w for c, w in zip(after[1:], writes, strict=True))]


def unit_rows(x: np.ndarray) -> np.ndarray:
    """(n, d) rows of length 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def paired_product(
    a: np.ndarray, b: np.ndarray, place: np.ndarray | None = None
) -> tuple[np.ndarray, float | None]:
    """(n,) inner product of the two rows of each sample, or of each of its tokens, and the exact mean over all pairs of
    different samples: those at the same `place` (n,), which no sample has twice. None where no two share one."""
    own = np.einsum("ij,ij->i", a, b)
    place = np.zeros(len(a), int) if place is None else place
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    one, other = (np.add.reduceat(x[order], starts, axis=0) for x in (a, b))
    count = np.diff(np.append(starts, len(a))).astype(float)
    pairs = float((count * (count - 1)).sum())
    return own, float((np.vdot(one, other) - own.sum()) / pairs) if pairs else None


def rank_share(x: np.ndarray) -> float:
    """exp entropy of the covariance's eigenvalues over the number of units; 0 where samples do not differ."""
    centred = x - x.mean(axis=0)
    scale = np.abs(centred).max()
    if not scale > 1e-13 * np.abs(x).max():
        return 0.0
    centred = centred / scale
    gram = centred.T @ centred if x.shape[0] >= x.shape[1] else centred @ centred.T
    return entropy_rank(np.linalg.eigvalsh(gram)) / x.shape[1]


def usable_states(data: CommonRows, names) -> tuple[CommonRows, list[str]]:
    """`data` of states of one width, without rows that are 0 in some state; notes. Raises InputError where widths
    differ, NotEnoughData below eight samples."""
    widths = [x.shape[1] for x in data.values]
    if len(set(widths)) > 1:
        raise InputError(
            "states of " + ", ".join(f"{w:,}" for w in dict.fromkeys(widths)) + " units", "states of one stream",
            "Choose taps of one width",
        )  # fmt: skip
    good, notes = np.logical_and.reduce([(x != 0).any(axis=1) for x in data.values]), []
    if not good.all():
        rows = "token(s)" if data.has_tokens else "sample(s)"
        notes.append(f"{int((~good).sum())} {rows} that are 0 in some state left out.")
    left = data.only(good)
    if left.n_samples < FEWEST:
        raise NotEnoughData(
            f"{left.n_samples} sample(s) that are not 0 in any of {', '.join(names)}", f"{FEWEST}",
            "Record more samples, or leave out taps that are 0",
        )  # fmt: skip
    return left, notes
