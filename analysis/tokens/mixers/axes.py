"""Attention along one axis after the other, and what both together reach: rows then columns of an image, frames then
patches of a clip, bands then patches of a spectral image.

Tokens lie on a grid of H lines by W places. The first attention goes along each line, the second across lines at each
place; cell (i, j) reads (k, l) by

    C[(i, j), (k, l)] = S_j[i, k] F_k[j, l]

Rows of C sum to 1 where those of F and S do; every cell is reached in two hops. Where all lines share one F and all
places one S it is the Kronecker product S ⊗ F. H W² + W H² numbers stand for (H W)².
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.errors import InputError
from analysis.tokens.mixers.attention_calls import Call
from analysis.tokens.mixers.own_grids import recorded, softmaxed

ALL = 1024  # tokens above which some stand for all


@dataclass(frozen=True)
class Factored:
    """`first` (H, W, W) along each line, `second` (W, H, H) across them; `shared`: one of each for all; `lost` share
    that goes to tokens off the grid."""

    name: str
    first: np.ndarray
    second: np.ndarray
    shared: bool = False
    lost: float = 0.0

    @property
    def grid(self) -> tuple[int, int]:
        return len(self.first), len(self.second)

    def composed(self, i: int, j: int) -> np.ndarray:
        """(H, W) what cell (i, j) reads in two hops."""
        return self.second[j, i][:, None] * self.first[:, j]

    def along_first(self, i: int, j: int) -> np.ndarray:
        """(H, W) in the first hop alone."""
        out = np.zeros(self.grid)
        out[i] = self.first[i, j]
        return out

    def along_second(self, i: int, j: int) -> np.ndarray:
        out = np.zeros(self.grid)
        out[:, j] = self.second[j, i]
        return out

    def some(self, rng: np.random.Generator) -> np.ndarray:
        """(m, 2) cells that stand for all."""
        cells = np.argwhere(np.ones(self.grid, bool))
        return cells if len(cells) <= ALL else cells[np.sort(rng.choice(len(cells), ALL, replace=False))]


def reach(shares: np.ndarray) -> float:
    """exp of the entropy of shares of any shape, made whole: of how many cells alike one would read as evenly."""
    p = shares[shares > 0] / max(shares.sum(), 1e-300)
    return float(np.exp(-(p * np.log(p)).sum()))


def factored_of(calls: list[Call]) -> list[Factored]:
    """Neighbouring calls of a network whose lines are each other's places, or which are one for all lines and of
    different sizes, of one block. No call is in two pairs. Means over heads."""
    found, taken = [], None
    for a, b in pairwise(calls):
        if a is taken or a.weights.ndim != 4 or b.weights.ndim != 4:
            continue
        (lines, _, w, w_keys), (places, _, h, h_keys) = a.weights.shape, b.weights.shape
        leading = h - lines
        if w != w_keys or h != h_keys or min(w, h) < 2:
            continue
        name = f"{a.name}, {b.name}"
        first, second = a.weights.mean(axis=1), b.weights.mean(axis=1)
        if lines == places == 1 and w != h and one_block(a.name, b.name):
            found.append(kronecker(name, first[0], second[0]))
            taken = b
        elif places == w and lines > 1 and leading in (0, 1):
            inside = second[:, leading:, leading:]
            lost = float(1 - inside.sum(axis=2).mean()) if leading else 0.0
            found.append(Factored(name, first, inside, lost=lost))
            taken = b
    return found


def one_block(a: str, b: str) -> bool:
    """Whether two modules are parts of one, by their names: not two places of a list, nor of two towers."""
    parts = [name.split(".") for name in (a, b)]
    shared = 0
    while shared < min(map(len, parts)) and parts[0][shared] == parts[1][shared]:
        shared += 1
    apart = [part for own in parts for part in own[shared:]]
    return not any(part.isdigit() for part in apart)


def kronecker(name: str, first: np.ndarray, second: np.ndarray) -> Factored:
    """One matrix (W, W) along all lines and one (H, H) across them."""
    w, h = len(first), len(second)
    return Factored(name, np.broadcast_to(first, (h, w, w)), np.broadcast_to(second, (w, h, h)), shared=True)


def of_rows(name: str, x: np.ndarray, grid: tuple[int, int]) -> Factored:
    """Softmax attention of rows x (H W, d) with the others of their line, and of their place."""
    cells = x.reshape(*grid, -1)
    return Factored(name, _own(cells), _own(cells.swapaxes(0, 1)))


def _own(lines: np.ndarray) -> np.ndarray:
    return softmaxed(lines @ lines.swapaxes(1, 2) / np.sqrt(lines.shape[2]))


def of_two(name: str, a: np.ndarray, b: np.ndarray) -> Factored:
    """Of one sample the rows of two taps, `a` of the first axis and `b` of the second: weights of attention that were
    recorded (rows that sum to 1 for each head), or else rows that read each other. As many rows of both are all cells;
    otherwise `a` has the W places of a line and `b` the H lines.

    Raises InputError where weights do not fit a grid.
    """
    p, q = recorded(a), recorded(b)
    if p is None or q is None or len(a) != len(b):
        return kronecker(name, _square(a, p), _square(b, q))
    p, q = p.mean(axis=0), q.mean(axis=0)
    w, h = p.shape[1], q.shape[1]
    if h * w != len(a):
        if h == w == len(a):
            return kronecker(name, p, q)
        raise InputError(
            f"{len(a)} tokens that read {w} along the first axis and {h} along the second", f"{h} x {w} tokens",
            "Record the weights of both attentions of one block, all tokens in the order of lines",
        )  # fmt: skip
    return Factored(name, p.reshape(h, w, w), q.reshape(h, w, h).swapaxes(0, 1))


def _square(rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is not None and weights.shape[1] == weights.shape[2]:
        return weights.mean(axis=0)
    return _own(rows[None])[0]


def near_square(tokens: int) -> tuple[int, int]:
    """The sides of the grid of so many cells that is nearest to a square, lines first."""
    h = max(k for k in range(1, int(tokens**0.5) + 1) if tokens % k == 0)
    return h, tokens // h
