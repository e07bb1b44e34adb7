"""Does the density of a line of numbers fall between two places and rise again, more than chance makes it?

    depth = max over t in [a, b] of 1 - f(t) / min(max f left of t, max f right of t),   0 without a valley, at most 1

with f a Gaussian kernel estimate, bandwidth 0.9 min(deviation, interquartile range / 1.34) n^(-1/5). The null: the
same estimate with its valleys in [a, b] filled up to the lower bank: a level stretch, the density without a valley in
which chance makes the deepest ones; draws from it are measured in the same way, and so are numbers drawn evenly from
the same range. The larger of the two p counts: at most about 5 % of lines without a valley pass at 5 % (about 1 % of
Gaussian, exponential or t ones).

References: B. Silverman (1981), "Using kernel density estimates to investigate multimodality"; J. & P. Hartigan (1985),
"The dip test of unimodality" (the level density as the least favourable one).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.nulls import add_one_p

GRID = 512
MARGIN = 3.0  # bandwidths beyond the data
BLOCK = 2_000_000  # numbers drawn at once
CLEAR = 4.0  # deviations between two clumps whose valley should be found
TRIALS, DRAWS_TRIED, MOST_TRIED = 50, 39, 1000
LEVEL = 0.05


@dataclass(frozen=True)
class Valley:
    """`depth` in [0, 1] at the place `at`; `null` (draws,) depths without a valley, and `p`; `level` (GRID,) is the
    density with its valleys filled, up to a factor, at the places `grid`."""

    depth: float
    at: float
    null: np.ndarray
    p: float
    grid: np.ndarray
    level: np.ndarray


def bandwidth(y: np.ndarray) -> np.ndarray:
    """Silverman's rule along the last axis of `y` (..., n); at least a millionth of the range."""
    quartile = np.subtract(*np.percentile(y, [75, 25], axis=-1)) / 1.34
    deviation = y.std(axis=-1)
    least = np.where(quartile > 0, np.minimum(deviation, quartile), deviation)
    return np.maximum(0.9 * least * y.shape[-1] ** -0.2, 1e-6 * np.ptp(y, axis=-1))


def density(y: np.ndarray, width: np.ndarray, edges: tuple[float, float]) -> np.ndarray:
    """Kernel estimates (b, GRID), up to a factor, of the rows of `y` (b, n) on an even grid between `edges`, each with
    its own `width` (b,). Linear binning, then a product of Fourier transforms. O(b (n + GRID log GRID))."""
    step = (edges[1] - edges[0]) / (GRID - 1)
    place = np.clip((y - edges[0]) / step, 0, GRID - 1.000001)
    low = place.astype(np.int64)
    right = place - low
    start = low + 2 * GRID * np.arange(len(y))[:, None]  # twice the grid: nothing comes round the corner
    size = 2 * GRID * len(y)
    mass = np.bincount(start.ravel(), (1 - right).ravel(), size) + np.bincount(
        start.ravel() + 1, right.ravel(), size
    )
    waves = np.fft.rfft(mass.reshape(len(y), 2 * GRID), axis=1)
    k = 2 * np.pi * np.arange(waves.shape[1]) / (2 * GRID)
    waves *= np.exp(-0.5 * (np.asarray(width)[:, None] / step * k) ** 2)
    return np.maximum(np.fft.irfft(waves, 2 * GRID, axis=1)[:, :GRID], 0.0)


def depths(f: np.ndarray, grid: np.ndarray, between: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Depth (b,) of the deepest valley of densities `f` (b, g) at places `grid` (g,) between two places, and where."""
    left = np.maximum.accumulate(f, axis=1)
    right = np.maximum.accumulate(f[:, ::-1], axis=1)[:, ::-1]
    peak = np.minimum(left, right)
    depth = np.where(peak > 1e-9 * f.max(axis=1, keepdims=True), 1 - f / np.where(peak > 0, peak, 1.0), 0.0)
    depth[:, (grid < between[0]) | (grid > between[1])] = 0.0
    at = depth.argmax(axis=1)
    return depth[np.arange(len(f)), at], grid[at]


def valley(y: np.ndarray, between: tuple[float, float], draws: int, rng: np.random.Generator) -> Valley:
    """The deepest valley of the numbers `y` (n,) between two places, with its null. O(draws (n + GRID)).

    Numbers that are all equal have no valley.
    """
    y, between = np.asarray(y, np.float64), (min(between), max(between))
    deviation = float(y.std())
    if deviation == 0:
        grid = np.linspace(between[0] - 1, between[1] + 1, GRID)
        return Valley(0.0, float(between[0]), np.zeros(draws), 1.0, grid, np.ones(GRID))
    edges = (y.min() - MARGIN * deviation, y.max() + MARGIN * deviation)
    grid = np.linspace(*edges, GRID)
    found, at = depths(density(y[None], bandwidth(y[None]), edges), grid, between)
    level = filled(density(y[None], bandwidth(y[None]), edges), grid, between)[0]
    share, cell = np.cumsum(level) / level.sum(), grid[1] - grid[0]

    def one_hump(b: int) -> np.ndarray:
        place = np.minimum(np.searchsorted(share, rng.random((b, len(y)))), GRID - 1)
        return grid[place] + cell * (rng.random((b, len(y))) - 0.5)

    def level_line(b: int) -> np.ndarray:
        return rng.uniform(y.min(), y.max(), size=(b, len(y)))

    tests = []
    for draw in (one_hump, level_line):
        null = []
        for start in range(0, draws, max(1, BLOCK // len(y))):
            drawn = draw(min(draws - start, max(1, BLOCK // len(y))))
            null.append(depths(density(drawn, bandwidth(drawn), edges), grid, between)[0])
        null = np.concatenate(null)
        p = float(add_one_p(found[0], null))
        tests.append(Valley(float(found[0]), float(at[0]), null, p, grid, level))
    return max(tests, key=lambda v: (v.p, np.percentile(v.null, 95)))


def filled(f: np.ndarray, grid: np.ndarray, between: tuple[float, float]) -> np.ndarray:
    """Densities (b, g) whose valleys between two places are filled up to the lower of their banks."""
    left = np.maximum.accumulate(f, axis=1)
    right = np.maximum.accumulate(f[:, ::-1], axis=1)[:, ::-1]
    inside = (grid >= between[0]) & (grid <= between[1])
    return np.where(inside, np.minimum(left, right), f)


def power(sizes: tuple[int, int], rng: np.random.Generator, gap: float = CLEAR) -> float:
    """How often the test at 5 % finds the valley between two unit Gaussians `gap` apart, of these sizes (above 1,000
    points as of 1,000), over `TRIALS` simulations."""
    shrink = min(1.0, MOST_TRIED / sum(sizes))
    first, second = (max(1, round(s * shrink)) for s in sizes)
    found = 0
    for _ in range(TRIALS):
        y = rng.standard_normal(first + second)
        y[:first] += gap
        found += valley(y, (0.0, gap), DRAWS_TRIED, rng).p <= LEVEL
    return found / TRIALS
