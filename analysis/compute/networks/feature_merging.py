"""Which units of a layer are the same feature twice: merging the closest pair first, from weights alone.

A unit is x = (w, b), its incoming weights and bias. Two units are equivalent when the next layer can take one for the
other without any change of the network:

    up to a positive scale (ReLU):  x_j = c x_i, c > 0, so that a_j = c a_i;  distance |x_i / |x_i| - x_j / |x_j||
    equal (any nonlinearity):       x_j = x_i;                                distance |x_i - x_j| / (mean |x|²)^½

Both distances are 0 for equivalent units and about √2 for unrelated ones. Merging j into i deletes j and adds c v_j to
v_i, the outgoing weights, with c = |x_j| / |x_i| (or 1); what stays of a pair is the unit nearer to all others, as it
was. Distances between those that stay never change, so they rise along the path and a threshold beta has one answer:
the closest pair is merged until none is closer than beta.

Error of the merged layer: its output becomes o + e, e = Σ over steps of (c a_i - a_j) v_j with the v of that step.

The definitions of beta, of the unit that stays and of c are this program's; Chen et al. (2023), whose iterative feature
merging this follows, may weigh differently.

References: Y. Chen, Z. Zhou & J. Yan (2023), "Going beyond neural network feature similarity"; W. Kim et al. (2020),
"Neuron merging".
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotEnoughData, TooLarge
from analysis.spec import Progress, no_progress

MOST_UNITS = 8192  # their distances take half a GiB
MOST_INPUTS = 16_384  # that an estimate of time reckons with
NEAR = 1e-3  # squared distance below which products have lost their digits: taken again from differences
ROUNDING = 1e-9  # distance that rounding alone may leave between equivalent units
RELU, EQUAL = "ReLU (up to positive scale)", "any activation (equal weights only)"


@dataclass(frozen=True)
class MergePath:
    """Steps in order: unit `merged` (m,) goes into `kept` (m,), a_merged = `scale` (m,) a_kept, at `distance` (m,),
    rising. `alive` (k,) are the units that took part, `empty` (e,) those without any weight, which are dead."""

    kept: np.ndarray
    merged: np.ndarray
    scale: np.ndarray
    distance: np.ndarray
    alive: np.ndarray
    empty: np.ndarray

    def steps(self, thresholds: np.ndarray) -> np.ndarray:
        """How many steps (t,) are made when pairs closer than each threshold (t,) are merged."""
        return np.searchsorted(self.distance, np.asarray(thresholds) + ROUNDING, side="right")

    def left(self, thresholds: np.ndarray) -> np.ndarray:
        """Share (t,) of the units that is left then."""
        return (len(self.alive) - self.steps(thresholds)) / len(self.alive)


def merge_path(
    x: np.ndarray,
    equivalence: str = RELU,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> MergePath:
    """All merges down to one unit, of `x` (units, inputs), the bias being the weight of an input that is always 1.

    Time O(units² inputs), memory 8 bytes per pair. Raises NotEnoughData below two units with weights, TooLarge above
    8,192, InputError where a weight is not finite.
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        raise InputError("a weight is NaN or infinite", "finite weights", "Leave that input or unit out")
    size = np.linalg.norm(x, axis=1)
    alive, empty = np.flatnonzero(size > 0), np.flatnonzero(size == 0)
    if len(alive) < 2:
        raise NotEnoughData(f"{len(alive)} unit(s) with a weight that is not 0", "at least 2")
    if len(alive) > MOST_UNITS:
        raise TooLarge(f"{len(alive):,} units", f"at most {MOST_UNITS:,}", "Choose a narrower layer")
    size = size[alive]
    relu = equivalence == RELU
    y = x[alive] / (size[:, None] if relu else np.sqrt(np.mean(size**2)))
    squared = _squared_distances(y, progress, span)
    # what stays: the unit nearer to all others; which is the same after any reordering or rescaling
    outer = (y * y).sum(axis=1) * len(y) - 2 * y @ y.sum(axis=0)
    steps = _greedy(squared, outer)
    kept, merged = steps[:, 0].astype(np.int64), steps[:, 1].astype(np.int64)
    scale = size[merged] / size[kept] if relu else np.ones(len(kept))
    return MergePath(alive[kept], alive[merged], scale, np.sqrt(steps[:, 2]), alive, empty)


def _squared_distances(y: np.ndarray, progress: Progress, span: tuple[float, float]) -> np.ndarray:
    """(k, k) squared distances, infinite on the diagonal; small ones exact to rounding."""
    k, norms = len(y), (y * y).sum(axis=1)
    out = np.empty((k, k))
    for start in range(0, k, 512):
        progress(span[0] + (span[1] - span[0]) * start / k, "comparing units")
        rows = slice(start, min(start + 512, k))
        block = norms[rows, None] + norms - 2 * y[rows] @ y.T
        i, j = np.nonzero(block < NEAR * np.maximum(norms[rows, None], norms))
        for piece in range(0, len(i), 4096):
            a, b = i[piece : piece + 4096], j[piece : piece + 4096]
            block[a, b] = ((y[start + a] - y[b]) ** 2).sum(axis=1)
        out[rows] = np.maximum(block, 0.0)
    lower = np.tril_indices(k, -1)
    out[lower] = out.T[lower]  # one number for each pair
    np.fill_diagonal(out, np.inf)
    return out


def _greedy(squared: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """(k - 1, 3) kept, merged, squared distance, the closest living pair first; `squared` is used up.

    The heap holds each unit's nearest living neighbour: a stale entry is looked up again when it comes to the top.
    """
    k = len(squared)
    nearest = squared.argmin(axis=1)
    heap = [(squared[i, nearest[i]], i, int(nearest[i])) for i in range(k)]
    heapq.heapify(heap)
    living, steps = np.ones(k, bool), []
    while len(steps) < k - 1:
        distance, i, j = heapq.heappop(heap)
        if not living[i]:
            continue
        if living[j]:
            kept, gone = (i, j) if (outer[i], i) <= (outer[j], j) else (j, i)
            steps.append((kept, gone, distance))
            living[gone] = False
            squared[:, gone] = np.inf
            i = kept
        j = int(squared[i].argmin())
        heapq.heappush(heap, (squared[i, j], i, j))
    return np.array(steps)


def folded_outgoing(outgoing: np.ndarray, path: MergePath, steps: int) -> np.ndarray:
    """Outgoing weights (units, outputs) after so many steps: rows of merged units 0, added to the unit that stays."""
    v = np.array(outgoing, dtype=np.float64)
    for kept, gone, c in zip(path.kept[:steps], path.merged[:steps], path.scale[:steps], strict=True):
        v[kept] += c * v[gone]
        v[gone] = 0.0
    return v


@dataclass(frozen=True)
class OutputErrors:
    """`relative` (m,): root of the mean squared change of the layer's output after each step, over the root of its
    variance; `squares` (m, n) what each row adds to it and `variance` (n,) to the denominator."""

    relative: np.ndarray
    squares: np.ndarray
    variance: np.ndarray


def output_errors(activations: np.ndarray, outgoing: np.ndarray, path: MergePath) -> OutputErrors:
    """What merging does to the output of the layer that reads these units.

    `activations` (n, units) after the nonlinearity; `outgoing` (units, outputs). Time O(m n outputs), memory
    O(n (m + outputs)). Raises InputError where the output does not vary.
    """
    a, v = np.asarray(activations, dtype=np.float64), np.array(outgoing, dtype=np.float64)
    output = (a - a.mean(axis=0)) @ v
    variance = (output**2).sum(axis=1)
    if not variance.sum() > 0:
        raise InputError("the layer's output is the same for every row", "rows that differ")
    change = np.zeros_like(output)
    squares = np.empty((len(path.kept), len(a)))
    for s, (kept, gone, c) in enumerate(zip(path.kept, path.merged, path.scale, strict=True)):
        change += np.outer(c * a[:, kept] - a[:, gone], v[gone])
        v[kept] += c * v[gone]
        squares[s] = np.einsum("ij,ij->i", change, change)
    return OutputErrors(np.sqrt(squares.sum(axis=1) / variance.sum()), squares, variance)


def pair_correlations(activations: np.ndarray, path: MergePath) -> np.ndarray:
    """Pearson's r (m,) of the two units of each step over `activations` (n, units); 0 where one does not vary."""
    z = _scores(activations)
    return np.clip(np.einsum("ij,ij->j", z[:, path.kept], z[:, path.merged]), -1.0, 1.0)


def mean_correlation(activations: np.ndarray) -> float:
    """Mean of Pearson's r over all pairs of the units (n, units) that vary; 0 for fewer than two."""
    z = _scores(activations)
    k = int(z.any(axis=0).sum())
    together = z.sum(axis=1)
    return float((together @ together - k) / (k * (k - 1))) if k > 1 else 0.0


def _scores(activations: np.ndarray) -> np.ndarray:
    """Units (n, units) about their means and of length 1; 0 where one does not vary."""
    a = np.asarray(activations, dtype=np.float64)
    z = a - a.mean(axis=0)
    size = np.sqrt((z * z).sum(axis=0))
    size[size <= 1e-7 * np.abs(a).max(axis=0, initial=0.0) * np.sqrt(len(a))] = np.inf
    return z / size


# ---------------------------------------------------------------------------- what chance gives
def random_path(x: np.ndarray, path: MergePath, equivalence: str, rng: np.random.Generator) -> MergePath:
    """As many merges of the same units as in `path`, of pairs drawn at random, with the scales of their weights."""
    size, order = np.linalg.norm(x, axis=1), rng.permutation(path.alive)
    merged = order[: len(path.merged)]
    kept = np.array([rng.choice(order[i + 1 :]) for i in range(len(merged))])
    scale = size[merged] / size[kept] if equivalence == RELU else np.ones(len(merged))
    return MergePath(kept, merged, scale, path.distance, path.alive, path.empty)


def null_draws(units: int, inputs: int) -> int:
    """How many null layers to merge: 19 where one is cheap, at least 4."""
    return int(np.clip(4e9 / (units**2 * (inputs + 30.0)), 4, 19))


def moved_paths(
    x: np.ndarray,
    equivalence: str,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
    bias: bool = False,
) -> list[MergePath]:
    """Merges of the layer with the weights of every unit moved between its inputs, each unit on its own; with `bias`,
    the last column stays. Units without weights are left out."""
    x = x[np.linalg.norm(x, axis=1) > 0]
    last, found = x.shape[1] - bool(bias), []
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "merging moved weights")
        mixed = np.column_stack([rng.permuted(x[:, :last], axis=1), x[:, last:]])
        found.append(merge_path(mixed, equivalence))
    return found


def gaussian_paths(
    shape: tuple[int, int],
    equivalence: str,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> list[MergePath]:
    """Merges of independent Gaussian weights (units, inputs)."""
    found = []
    for i in range(draws):
        progress(span[0] + (span[1] - span[0]) * i / draws, "merging Gaussian weights")
        found.append(merge_path(rng.standard_normal(shape), equivalence))
    return found
