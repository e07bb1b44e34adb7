"""The parts that x - background falls into; a coalition puts the parts of its players back.

    x_S = background + Σ_{k in S} part_k ,   Σ_k part_k = x - background

Tokens and units are coordinates: their parts do not overlap. The part of a feature is its activation, less that on the
background, times its direction; what the dictionary leaves over is a player of its own, so that nothing is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.errors import InputError, ShapeError

REST = "not explained by the dictionary"
ROUNDING = 1e-6  # of what changed: less left over than this is the rounding of stored weights


class Players(Protocol):
    names: tuple[str, ...]

    def mixed(self, coalitions, x, base):
        """(m, tokens, units) tensor of coalitions (m, players) bool, x and base (tokens, units)."""
        ...

    def inner(self, slopes, x, base):
        """(players,) tensor: <slopes, part_k> of slopes (tokens, units)."""
        ...

    def changed(self, x, base) -> np.ndarray:
        """(players,) bool: whose part is not 0, beyond rounding."""
        ...


@dataclass(frozen=True)
class Coordinates:
    """Players that own coordinates: `owner` (tokens, units), (tokens, 1) or (1, units) of player numbers."""

    owner: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        found = np.unique(self.owner)
        if self.owner.ndim != 2 or not np.array_equal(found, np.arange(len(self.names))):
            raise InputError(
                f"{len(self.names)} names for the players {found[:8].tolist()}",
                "a name for each, all with a part",
            )

    def mixed(self, coalitions, x, base):
        import torch

        self._refuse(x)
        return torch.where(coalitions[:, torch.as_tensor(self.owner)], x, base)

    def inner(self, slopes, x, base):
        import torch

        self._refuse(x)
        each = (slopes * (x - base)).double()
        owner = torch.as_tensor(np.broadcast_to(self.owner, x.shape).copy()).flatten()
        return torch.zeros(len(self.names), dtype=torch.float64).index_add(0, owner, each.flatten())

    def changed(self, x, base) -> np.ndarray:
        self._refuse(x)
        other = np.broadcast_to((x != base).numpy(), x.shape)
        owner = np.broadcast_to(self.owner, x.shape)
        return np.bincount(owner[other], minlength=len(self.names)) > 0

    def _refuse(self, x) -> None:
        if any(a not in (1, b) for a, b in zip(self.owner.shape, x.shape, strict=True)):
            raise ShapeError(
                f"players that own {self.owner.shape} of {tuple(x.shape)} tokens and units", "all of them"
            )


def each_token(tokens: int, names: Sequence[str] = ()) -> Coordinates:
    """Every token a player."""
    return Coordinates(np.arange(tokens)[:, None], tuple(names) or tuple(f"token {i}" for i in range(tokens)))


def each_unit(units: int, names: Sequence[str] = ()) -> Coordinates:
    """Every unit a player, in all tokens together."""
    return Coordinates(np.arange(units)[None], tuple(names) or tuple(f"unit {j}" for j in range(units)))


def patches(grid: tuple[int, int], size: int, leading: int = 0) -> Coordinates:
    """Squares of `size` x `size` tokens of a grid, cut off at its lower and right edge; each leading token (class
    token, registers) is a player of its own. Named by row and column, from 1."""
    high, wide = grid
    if not 1 <= size <= max(high, wide):
        raise InputError(f"patches of {size} x {size} on a grid of {high} x {wide}", f"1 … {max(high, wide)}")
    row, column = np.divmod(np.arange(high * wide), wide)
    across = -(-wide // size)
    owner = (row // size) * across + column // size
    names = [f"row {r + 1}, column {c + 1}" for r, c in np.ndindex(-(-high // size), across)]
    first = [f"leading token {i + 1}" for i in range(leading)]
    return Coordinates(np.r_[np.arange(leading), leading + owner][:, None], (*first, *names))


def grouped(groups: Sequence[Sequence[int]], names: Sequence[str], n: int, of: str = "tokens") -> Coordinates:
    """Named groups of tokens or of units that cover all n of them once. Raises InputError."""
    owner = np.full(n, -1)
    for k, group in enumerate(groups):
        at = np.asarray(group, np.int64)
        if len(at) and not (at.min() >= 0 and at.max() < n):
            raise InputError(f"'{names[k]}' has {of[:-1]} {int(at.max())}", f"0 … {n - 1}")
        if (owner[at] >= 0).any() or len(np.unique(at)) < len(at):
            raise InputError(f"'{names[k]}' has {of} that another player has", "each in one group")
        owner[at] = k
    if (owner < 0).any():
        raise InputError(
            f"{int((owner < 0).sum())} of {n} {of} are of no player, such as {int(np.argmax(owner < 0))}",
            "players that cover the input", "Put the others into a group of their own",
        )  # fmt: skip
    return Coordinates(owner[:, None] if of == "tokens" else owner[None], tuple(names))


class Features:
    """Features of a set as players: the `chosen` ones by themselves, all others together, and what the set leaves
    over.

    `codes` : rows (n, units) to activations (n, features), numpy; `directions` (features, units). Holds players x
    tokens x units numbers.
    """

    def __init__(
        self, codes, directions: np.ndarray, chosen: Sequence[int], names: Sequence[str] = ()
    ) -> None:
        self._codes, self._directions = codes, np.asarray(directions, np.float64)
        self._chosen = np.asarray(chosen, np.int64)
        others = len(directions) - len(self._chosen)
        own = tuple(names) or tuple(f"feature {j}" for j in self._chosen)
        self._some_left = others > 0
        self.names = (*own, *((f"the other {others:,} features",) if others else ()), REST)

    def parts(self, x, base):
        """(players, tokens, units) float64 tensor."""
        import torch

        change = self._change(x, base)
        parts = [change[:, j, None] * self._directions[j] for j in self._chosen]
        explained = change @ self._directions
        if self._some_left:
            parts.append(explained - np.sum(parts, axis=0) if parts else explained)
        left = (x - base).double().numpy() - explained
        return torch.as_tensor(np.stack([*parts, left]))

    def mixed(self, coalitions, x, base):
        import torch

        parts = self.parts(x, base)
        put = torch.einsum("mk,ktd->mtd", coalitions.double(), parts)
        return (base.double() + put).to(x.dtype)

    def inner(self, slopes, x, base):
        import torch

        slopes, change = slopes.double().numpy(), self._change(x, base)
        each = (change * (slopes @ self._directions.T)).sum(axis=0)
        whole = float((slopes * (x - base).double().numpy()).sum())
        found = [each[self._chosen]]
        if self._some_left:
            found.append([each.sum() - each[self._chosen].sum()])
        return torch.as_tensor(np.concatenate([*found, [whole - each.sum()]]))

    def differ(self, x, base) -> np.ndarray:
        """(chosen,) bool: which of the chosen features are not the same on both."""
        return (self._change(x, base)[:, self._chosen] != 0).any(axis=0)

    def changed(self, x, base) -> np.ndarray:
        change, apart = self._change(x, base), (x - base).double().numpy()
        left = np.abs(apart - change @ self._directions).max(initial=0)
        alone = np.isin(np.arange(change.shape[1]), self._chosen)
        some = (change != 0).any(axis=0)
        others = [bool(some[~alone].any())] if self._some_left else []
        return np.r_[some[self._chosen], others, left > ROUNDING * np.abs(apart).max(initial=0)].astype(bool)

    def standing(self, x, base) -> tuple[np.ndarray, np.ndarray]:
        """(players,) each: the mean over tokens of what a player is in x (the length of what is left over), and how far
        it is from `base`, summed over tokens."""
        codes, change = self._codes(x.double().numpy()), self._change(x, base)
        left = (x - base).double().numpy() - change @ self._directions
        own, far = codes.mean(axis=0), np.abs(change).sum(axis=0)
        mean, reach = [own[self._chosen]], [far[self._chosen]]
        if self._some_left:
            mean.append([own.sum() - own[self._chosen].sum()])
            reach.append([far.sum() - far[self._chosen].sum()])
        lengths = np.linalg.norm(left, axis=1)
        return np.concatenate([*mean, [lengths.mean()]]), np.concatenate([*reach, [lengths.sum()]])

    def _change(self, x, base) -> np.ndarray:
        """(tokens, features): activations less those on the background."""
        return self._codes(x.double().numpy()) - self._codes(base.double().numpy())
