"""How the energy of maps is spread over spatial frequencies, summed over units and samples, on a tap's own grid.

Of one map x_p, p = 1 … P: DC = P |mean x|², AC = Σ |x_p - mean x|², and DC + AC = Σ |x_p|² (Parseval). The orthonormal
2-D cosine transform (DCT-II) splits AC further: coefficient (u, v) oscillates u / 2 times over the height and v / 2
times over the width.

Null of DC about the mean map (each position centred over the samples): values exchanged between samples at each
position on its own leave exactly 1 / P of the energy to the mean. Null of a band: the positions of each sample
exchanged leave AC spread evenly over its P - 1 coefficients.

References: N. Ahmed, T. Natarajan & K. Rao (1974), "Discrete cosine transform"; N. Park & S. Kim (2022), "How do vision
transformers work?" for the frequencies of feature maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.grids.grid_alignment import MapRows, grid_of
from analysis.compute.streaming import Pass, finite_blocks
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class MapEnergies:
    """Sums over n samples in G groups: `recorded` (G, 2) DC and AC as recorded; `centred` (G, h, w) of each cosine
    coefficient about the mean map, the first being DC; `plain` (G, h, w) the same as recorded."""

    recorded: np.ndarray
    centred: np.ndarray
    plain: np.ndarray
    n: int

    @property
    def positions(self) -> int:
        return self.centred.shape[1] * self.centred.shape[2]

    def dc_share(self, centred: bool) -> np.ndarray:
        """(1 + G,) share of DC in the energy, of all samples, then without each group; 1 where there is no energy."""
        if not centred:
            return _share(self.recorded[:, 0], self.recorded.sum(axis=1))
        return _share(self.centred[:, 0, 0], self.centred.sum(axis=(1, 2)))

    def radial(self, centred: bool) -> np.ndarray:
        """(1 + G, bands) share of the energy at each whole distance from DC, sqrt(u² + v²) rounded."""
        energy = self.centred if centred else self.plain
        of = bands(energy.shape[1], energy.shape[2])
        each = np.array([np.bincount(of.ravel(), weights=e.ravel()) for e in energy])
        return _share(each, energy.sum(axis=(1, 2))[:, None])

    def mean_frequency(self, centred: bool) -> np.ndarray:
        """(1 + G,) cycles per map of AC on average, weighted by energy; 0 without AC."""
        energy = self.centred if centred else self.plain
        cycles, ac = frequencies(*energy.shape[1:]), energy.copy()
        ac[:, 0, 0] = 0.0
        whole = ac.sum(axis=(1, 2))
        return np.where(_rest(whole) > 0, _share((ac * cycles).sum(axis=(1, 2)), whole), 0.0)


def _rest(x: np.ndarray) -> np.ndarray:
    """Sum over groups (G, …), then without each."""
    total = x.sum(axis=0)
    return np.concatenate([total[None], total - x])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(_rest(part), _rest(whole))
    return np.divide(a, b, out=np.ones(a.shape), where=b > 0)


def frequencies(height: int, width: int) -> np.ndarray:
    """(h, w) cycles per map of each coefficient, sqrt(u² + v²) / 2."""
    return np.hypot(np.arange(height)[:, None], np.arange(width)) / 2


def bands(height: int, width: int) -> np.ndarray:
    """(h, w) band of each coefficient, 0 for DC alone."""
    return np.round(2 * frequencies(height, width)).astype(np.int64)


def map_energies(
    tap: Activations,
    ids: np.ndarray,
    group: np.ndarray,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> MapEnergies:
    """Energies of the maps of the samples `ids` (n,), all finite, in jackknife groups (n,). Two passes, O(n P d ln P);
    memory O(P d) and some chunks of 8 MiB."""
    from scipy.fft import dctn

    grid = grid_of(tap)
    rows, positions = MapRows(tap, grid), grid[0] * grid[1]
    own = np.asarray(tap.samples["id"]).astype(str)
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids, own, sorter=order), len(ids) - 1)
    of = np.where(ids[order[at]] == own, group[order[at]], -1)
    mean, half = np.zeros((positions, tap.shape[1])), (span[0] + span[1]) / 2
    for samples, block in finite_blocks(rows, Pass(), progress, "averaging maps", (span[0], half)):
        mean += block[of[samples] >= 0].reshape(-1, *mean.shape).sum(axis=0)
    mean /= len(ids)
    count = int(group.max()) + 1
    recorded, centred, plain = np.zeros((count, 2)), np.zeros((count, *grid)), np.zeros((count, *grid))
    for samples, block in finite_blocks(rows, Pass(), progress, "measuring frequencies", (half, span[1])):
        for g in range(count):
            maps = block[of[samples] == g].reshape(-1, *mean.shape)
            middle = maps.mean(axis=1)
            recorded[g] += positions * (middle**2).sum(), ((maps - middle[:, None]) ** 2).sum()
            for out, x in ((centred, maps - mean), (plain, maps)):
                waves = dctn(x.reshape(-1, *grid, x.shape[2]), axes=(1, 2), norm="ortho")
                out[g] += np.einsum("nhwd,nhwd->hw", waves, waves)
    return MapEnergies(recorded, centred, plain, len(ids))
