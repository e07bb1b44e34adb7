"""Groups of channels of a map, each with an attention map of its own over the positions.

    A_g   a map of group g that sums to 1 over the P positions, and Σ_c x_c² of the group, Σ_c |x_c|, or the softmax of
          its mean activation, before it is made to
    F̂_c   = A_g ∘ F_c + F_c for the channels c of the group: what such an attention would give; (1 + 1 / P) F where A_g
          is uniform

Groups are runs of channels, as equal as can be. Random groups of the same sizes are what a grouping without meaning
gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.grids.grid_alignment import Grid, MapRows, grid_of
from analysis.compute.grids.map_frequencies import bands
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError
from analysis.spec import Progress, param

FEWEST = 8
ENERGY, ABSOLUTE, SOFTMAX = "share of the energy", "share of the absolute values", "softmax of the mean"
KINDS = (ENERGY, ABSOLUTE, SOFTMAX)


@dataclass(frozen=True)
class GroupParams:
    """What the methods of channel groups ask."""

    groups: int = param(4, "Runs of channels; never more than there are.", low=1, high=256)
    maps: str = param(
        ENERGY, "How the map of a group is made; where each channel is an attention map already, take absolute values "
        "and as many groups as channels.", choices=KINDS,
    )  # fmt: skip
    maximum_samples: int = param(300, "Most samples; a seeded random subset above.", low=8, high=20_000)


@dataclass(frozen=True)
class Groups:
    """Of n samples and g groups: attention `maps` (n, g, P), `mean` (n, g, P) activation, `energy` (n, g, bands) of
    what the groups put out, by frequency; `grid`; `samples` (n,) positions in the tap; `names` (g,) and `notes`."""

    maps: np.ndarray
    mean: np.ndarray
    energy: np.ndarray
    grid: Grid
    samples: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def positions(self) -> int:
        return self.maps.shape[2]

    def entropy(self) -> np.ndarray:
        """(n, g) of each map, of ln P; 1 with a single position."""
        if self.positions == 1:
            return np.ones(self.maps.shape[:2])
        p = np.maximum(self.maps, 1e-300)
        return np.clip(-(self.maps * np.log(p)).sum(axis=2) / np.log(self.positions), 0.0, 1.0)

    def correlations(self, order: np.ndarray | None = None) -> np.ndarray:
        """(n, g, g) between the maps of a sample, over positions, or, with `order` (n,), between a sample's map and one
        of another sample. A map without variance correlates with none. With one position: (1, g, g) between the mean
        activations of groups, over samples."""
        first = self._lines()
        second = (
            first if order is None else self._lines()[order] if self.positions > 1 else self._lines(order)
        )
        return np.einsum("ngp,nhp->ngh", first, second)

    def correlations_elsewhere(self) -> np.ndarray:
        """(n, g, g) between a sample's map and those of all other samples, their mean. Of more than one position."""
        own = self._lines()
        others = (own.sum(axis=0, keepdims=True) - own) / max(len(own) - 1, 1)
        return np.einsum("ngp,nhp->ngh", own, others)

    def _lines(self, order: np.ndarray | None = None) -> np.ndarray:
        x = self.maps if self.positions > 1 else self.mean.transpose(2, 1, 0)
        x = x if order is None else x[:, :, order]
        x = x - x.mean(axis=2, keepdims=True)
        size = np.linalg.norm(x, axis=2, keepdims=True)
        flat = size <= 1e-12 * np.maximum(np.abs(x).max(initial=0.0), 1e-300)
        return np.where(flat, 0.0, x / np.where(flat, 1.0, size))

    def radial(self) -> np.ndarray:
        """(n, g, bands) share of what a group puts out at each distance from DC."""
        whole = self.energy.sum(axis=2, keepdims=True)
        return self.energy / np.where(whole > 0, whole, 1.0)


def channel_groups(
    tap: Activations, params: GroupParams, rng: np.random.Generator, progress: Progress, span: tuple[float, float],
    shuffled: int = 0,
) -> list[Groups]:  # fmt: skip
    """Groups of a tap, then as often as asked those of shuffled channels. Raises InputError, NotEnoughData: other
    numbers of tokens, no activation; fewer than eight finite samples."""
    grid = grid_of(tap)
    rows, c = MapRows(tap, grid), tap.shape[1]
    g = min(params.groups, c)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    wanted = np.zeros(tap.layout.n_samples, bool)
    wanted[chosen] = True
    orders = [np.arange(c), *(rng.permutation(c) for _ in range(shuffled))]
    parts: list[list] = [[] for _ in orders]
    seen, kept = Pass(), []
    for at, block in finite_blocks(rows, seen, progress, "reading maps", span):
        if not wanted[at].any():
            continue
        x = block[wanted[at]].reshape(-1, grid[0] * grid[1], c)
        kept.append(at[wanted[at]])
        for found, order in zip(parts, orders, strict=True):
            found.append(_measured(x, np.array_split(order, g), params.maps, grid))
    samples = np.concatenate(kept) if kept else np.empty(0, int)
    refuse_few(tap.name, len(samples), FEWEST, "sample(s) with finite maps")
    if g < params.groups:
        notes.append(f"There are {c} channel(s), so {g} group(s).")
    if grid == (1, 1):
        notes.append(
            "There is one position only: every map is 1, and groups are correlated over samples instead."
        )
    runs = np.array_split(np.arange(c), g)
    names = tuple(str(tap.unit_names[r[0]]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs)
    out = []
    for found in parts:
        maps, mean, energy = (np.concatenate(x) for x in zip(*found, strict=True))
        out.append(Groups(maps, mean, energy, grid, samples, names, (*seen.notes, *notes)))
    if not np.abs(out[0].energy).any():
        raise InputError(f"all activations of {tap.name} are 0", "activations", "Choose another tap")
    return out


def _measured(x: np.ndarray, runs, how: str, grid: Grid):
    """Maps (m, g, P), mean activations (m, g, P) and radial energies (m, g, bands) of x (m, P, C)."""
    from scipy.fft import dctn

    mean = np.stack([x[:, :, r].mean(axis=2) for r in runs], axis=1)
    maps = attention_maps(x, runs, how)
    of = bands(*grid).ravel()
    energy = np.empty((len(x), len(runs), int(of.max()) + 1))
    for k, r in enumerate(runs):
        out = attended(x[:, :, r], maps[:, k])
        waves = dctn(out.reshape(len(x), *grid, len(r)), axes=(1, 2), norm="ortho")
        each = np.einsum("nhwd,nhwd->nhw", waves, waves).reshape(len(x), -1)
        for b in range(energy.shape[2]):
            energy[:, k, b] = each[:, of == b].sum(axis=1)
    return maps, mean, energy


def attention_maps(x: np.ndarray, runs, how: str) -> np.ndarray:
    """(m, g, P), each summing to 1, of x (m, P, C); uniform where a group is 0 everywhere."""
    if how == SOFTMAX:
        mean = np.stack([x[:, :, r].mean(axis=2) for r in runs], axis=1)
        raw = np.exp(mean - mean.max(axis=2, keepdims=True))
    else:
        size = np.abs(x) if how == ABSOLUTE else x**2
        raw = np.stack([size[:, :, r].sum(axis=2) for r in runs], axis=1)
    whole = raw.sum(axis=2, keepdims=True)
    return np.where(whole > 0, raw / np.where(whole > 0, whole, 1.0), 1 / x.shape[1])


def attended(x: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """A ∘ F + F of F (m, P, channels) and A (m, P)."""
    return x * (1 + maps[:, :, None])
