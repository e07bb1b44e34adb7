"""Independent components: directions along which activations are as far from Gaussian as they can be.

    y = (x - mean) V λ^(-1/2),   c = W y with W orthogonal,   x' = mean + W λ^(1/2) Vᵀ c

FastICA (Hyvärinen 1999), symmetric, with log cosh: w ← E y tanh(w·y) - E(1 - tanh²(w·y)) w for all rows of W, then W ←
(W Wᵀ)^(-1/2) W, from several seeded starts, the one farthest from Gaussian. Codes have variance 1; components come by
falling non-Gaussianity, each with the sign of positive skewness (its largest entry positive where it has none).

Of Gaussian data every rotation is as good as another, and what a fit finds is chance. So each component is tried on
rows of samples that it has not seen: those that are no more non-Gaussian there than chance are named, and where all
are, on 100 samples or more, there is no answer. Components beyond the number of sources are such. ICA finds at most as
many features as units, and dense ones look Gaussian; sources that are not independent come out mixed.
Time O(n d²) once and O(n k²) for each of at most 300 steps and start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.arrays import first_sign
from analysis.errors import InputError
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.non_gaussian import (
    GAUSSIAN_LOG_COSH,
    LOG_COSH,
    Departure,
    departures,
    log_cosh,
)
from analysis.features.classical.pca import axes_of
from analysis.spec import param

STEPS, SETTLED = 300, 1e-7
SKEWED = 0.05  # skewness above which it has the sign
ENOUGH = 100  # held-out samples on which Gaussian-looking components are taken for it


@dataclass(frozen=True)
class ICAParams:
    components: int = param(16, "How many components, of as many principal ones", low=1, high=1024)
    starts: int = param(2, "Seeded starts, the least Gaussian of which counts", low=1, high=20)
    maximum_rows: int = param(
        50_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 21
    )


def make(rows: FitRows, params: ICAParams, rng, progress) -> Fitted:
    """Raises InputError where no component is non-Gaussian beyond chance."""
    mean, axes, values, _ = axes_of(rows, params.components, progress, (0.0, 0.3))
    _, x, said = rows.loaded(params.maximum_rows, progress, (0.3, 0.5))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    if len(axes) < params.components:
        said += (f"The rows span {len(axes)} directions: there are no more components.",)
    white, colour = axes.T / np.sqrt(values), axes * np.sqrt(values)[:, None]
    y = (x - mean) @ white
    found = []
    for start in range(params.starts):

        def tick(share: float, start: int = start) -> None:
            progress(0.5 + 0.45 * (start + share) / params.starts, f"start {start + 1} of {params.starts}")

        turn, settled = turned(y, rng, tick=tick)
        found.append((float(((_negentropy(y @ turn.T)) ** 2).sum()), turn, settled))
    _, turn, settled = max(found, key=lambda f: f[0])
    if not settled:
        said += (f"Not settled after {STEPS} steps: some directions may be between two components.",)
    turn = _ordered(turn, y, colour)
    tried = departures((rows.held - mean) @ white @ turn.T, rows.samples_of(rows.held_rows), LOG_COSH)
    return Fitted(
        turn @ colour, mean, encoder=white @ turn.T, caveats=said + chance_said(tried, rows),
        components={"non-Gaussianity": tried.value, "its error": tried.error, "q": tried.q,
                    "skewness": ((y @ turn.T) ** 3).mean(axis=0)},
    )  # fmt: skip


def turned(
    y: np.ndarray,
    rng: np.random.Generator,
    steps: int = STEPS,
    settles: float = SETTLED,
    tick: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, bool]:
    """W (k, k) orthogonal for white rows `y` (n, k), and whether it settled."""
    w = _orthogonal(rng.standard_normal((y.shape[1],) * 2))
    for number in range(steps):
        tick(number / steps)
        g = np.tanh(y @ w.T)
        new = _orthogonal(g.T @ y / len(y) - (1 - g**2).mean(axis=0)[:, None] * w)
        moved = np.abs(np.abs(np.einsum("ij,ij->i", new, w)) - 1).max()
        w = new
        if moved < settles:
            return w, True
    return w, False


def _orthogonal(w: np.ndarray) -> np.ndarray:
    """The orthogonal matrix nearest to it: (W Wᵀ)^(-1/2) W."""
    left, _, right = np.linalg.svd(w)
    return left @ right


def _negentropy(c: np.ndarray) -> np.ndarray:
    return log_cosh(c).mean(axis=0) - GAUSSIAN_LOG_COSH


def _ordered(turn: np.ndarray, y: np.ndarray, colour: np.ndarray) -> np.ndarray:
    turn = turn[np.argsort(-np.abs(_negentropy(y @ turn.T)), kind="stable")]
    skewness = ((y @ turn.T) ** 3).mean(axis=0)
    directions = turn @ colour
    plain = np.sign((first_sign(directions) * directions).sum(axis=1))
    return turn * np.where(np.abs(skewness) > SKEWED, np.sign(skewness), plain)[:, None]


def chance_said(tried: Departure, rows: FitRows) -> tuple[str, ...]:
    """What is to be said of components that look Gaussian. Raises InputError where all do, on 100 samples or more: on
    fewer, components that are not Gaussian may look so."""
    if not tried.known:
        return ("Too few held-out samples to say which components are non-Gaussian beyond chance.",)
    if not tried.beyond.any() and rows.held_samples >= ENOUGH:
        raise InputError(
            f"none of {len(tried.q)} component(s) of {rows.name} is non-Gaussian beyond chance on {len(rows.held):,} "
            "held-out rows",
            "activations with directions that are not Gaussian",
            "Use PCA: of Gaussian activations every rotation is as good as another. Or record more samples",
        )
    plain = np.flatnonzero(~tried.beyond)
    if not len(plain):
        return ()
    shown = ", ".join(map(str, plain[:12])) + (f" and {len(plain) - 12} more" if len(plain) > 12 else "")
    return (
        f"Not shown to be more non-Gaussian than chance on {len(rows.held):,} held-out rows of {rows.held_samples:,} "
        f"samples, so perhaps of arbitrary direction: {shown}.",
    )


CLASSICAL = Classical(
    "ica", "ICA", "Directions that are as far from Gaussian as can be, each tried on held-out samples", ICAParams,
    ("A. Hyvärinen (1999), Fast and robust fixed-point algorithms for independent component analysis",), make,
)  # fmt: skip
