"""A series of subspaces, one of each tap, with what sampling alone does to them.

The axes of a tap are found on all samples, without each of ten groups of samples (intervals), and on samples drawn
again, the same at every tap (what sampling alone moves). Subspaces lie in the space of units, where taps must share
their units, or of samples: the scores along the same axes, orthonormalised, which any networks share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from analysis.activations import Activations
from analysis.compute.rows.common_rows import (
    MOST_HELP,
    TOKENS_HELP,
    TOKENS_OF_ALL,
    CommonRows,
    common_rows,
    naming_tokens,
)
from analysis.compute.rows.some_samples import MEAN
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.subspaces.differences import ARC, CHORD
from analysis.compute.subspaces.spaces import (
    AUTOMATIC,
    SAMPLES,
    SPACE_HELP,
    SPACES,
    UNITS,
    refuse_tokens_of_samples,
    space_of,
)
from analysis.compute.subspaces.subspace import Cuts, cuts_of
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress, param

ONE, OWN = "one for all taps", "of each tap"
VELOCITY, ACCELERATION = "velocity", "acceleration"
FEWEST = 20  # samples: ten groups of two


@dataclass(frozen=True)
class SeriesParams:
    """What every view of a series of subspaces asks."""

    order: str = param(
        VELOCITY, "Velocity is the movement of one step; acceleration is how far a tap lies from half-way between its "
        "neighbours.", choices=(VELOCITY, ACCELERATION), label="velocity or acceleration",
    )  # fmt: skip
    space: str = param(AUTOMATIC, SPACE_HELP, choices=SPACES)
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS_OF_ALL)
    dimension: int | None = param(
        None, "Axes of each subspace; automatic: where eigenvalues are told apart.", low=1, high=256
    )
    cut: str = param(
        ONE,
        "An automatic dimension is the same for all taps, or at the largest gap of each.",
        choices=(ONE, OWN),
        label="automatic dimension is",
    )
    most: int = param(
        10, "Most axes of an automatic dimension.", low=1, high=256, label="most axes (automatic)"
    )
    measure: str = param(CHORD, "Sum over angles that is called movement.", choices=(CHORD, ARC))
    maximum_samples: int = param(5000, MOST_HELP, low=50, high=100_000)


@dataclass(frozen=True)
class Series:
    """Of m taps: `values` (n, d) each; `dims` (m,), 0 where no cut is held, with the reason in `why`; `gaps` (m,)
    λ_k / λ_{k+1}; `axes`, `without` (G of them) and `redrawn` (B of them) bases (d, k) of each tap, empty where no cut
    is held; `groups`, the rows left out; `space`; the `sample` (n,) of each row, of `samples` in all."""

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    dims: np.ndarray
    why: tuple[str, ...]
    gaps: np.ndarray
    axes: tuple[np.ndarray, ...]
    without: tuple[tuple[np.ndarray, ...], ...]
    redrawn: tuple[tuple[np.ndarray, ...], ...]
    groups: tuple[np.ndarray, ...]
    space: str
    sample: np.ndarray
    samples: int

    @property
    def n(self) -> int:
        """What counts as independent: samples, however many rows each has."""
        return self.samples

    @property
    def d(self) -> int:
        """Of the space in which subspaces can lie: centred samples span n - 1."""
        return self.values[0].shape[1] if self.space == UNITS else self.n - 1

    @property
    def width(self) -> int:
        """Coordinates of a basis."""
        return self.values[0].shape[1] if self.space == UNITS else self.n

    def windows(self, order: str) -> list[tuple[int, ...]]:
        """Taps that a step (two) or a bend (three) is made of, where each has a subspace."""
        size = 2 if order == VELOCITY else 3
        runs = [tuple(range(i, i + size)) for i in range(len(self.dims) - size + 1)]
        return [run for run in runs if all(self.dims[t] > 0 for t in run)]

    def seen(self, t: int, basis: np.ndarray, left_out: np.ndarray | None = None) -> np.ndarray:
        """The subspace of tap t spanned by axes `basis` (d, k), in the series' space; (n', k) without some samples."""
        if self.space == UNITS:
            return basis
        x = self.values[t] if left_out is None else np.delete(self.values[t], left_out, axis=0)
        return np.linalg.qr((x - x.mean(axis=0)) @ basis)[0]


def asked_series(
    taps: Sequence[Activations],
    params: SeriesParams,
    rng: np.random.Generator,
    draws: int,
    progress: Progress,
) -> tuple[SeriesParams, CommonRows, Series]:
    """`params` with their space settled, the rows that are compared, and the series of `subspace_series`. Raises as
    the two below."""
    params = replace(params, space=space_of(params.space, taps))
    data = series_rows(taps, params, rng, progress)
    names = tap_names([t.name for t in taps])
    return params, data, subspace_series(taps, data, names, params, rng, draws, progress)


def series_rows(
    taps: Sequence[Activations],
    params: SeriesParams,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> CommonRows:
    """What a series is made of. Raises as `common_rows`, and InputError for tokens in the space of samples."""
    refuse_tokens_of_samples(params.space, params.tokens, taps)
    return common_rows(
        taps,
        rng,
        tokens=params.tokens,
        maximum=params.maximum_samples,
        minimum=FEWEST,
        progress=progress,
        span=span,
    )


def subspace_series(
    taps: Sequence[Activations],
    data: CommonRows,
    names: Sequence[str],
    params: SeriesParams,
    rng: np.random.Generator,
    draws: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 0.9),
) -> Series:
    """Subspaces of the `taps`, whose rows are `data`. Time O((11 + draws) n d min(n, d)) for each.

    Raises
    ------
    InputError
        Taps of different widths in the space of units.
    NotEnoughData
        Not two neighbouring taps (three, for acceleration) whose cut is held, with the reason of each.
    """
    widths = [x.shape[1] for x in data.values]
    if params.space == UNITS and len(set(widths)) > 1:
        raise InputError(
            "taps of " + ", ".join(f"{w:,}" for w in dict.fromkeys(widths)) + " units",
            "as many units in every tap, the same ones",
            f"Choose taps of one width, or set 'space' to '{SAMPLES}' where a method offers it",
        )
    half = (span[0] + 2 * span[1]) / 3
    cuts = []
    for i, name in enumerate(names):
        progress(span[0] + (half - span[0]) * i / len(names), f"cutting {name}")
        cuts.append(cuts_of(data.tap(i, name)))
    with naming_tokens(taps, params.tokens):
        dims, why = _dimensions(cuts, params)
    groups, n = data.groups(rng), data.n_samples
    counts = [np.bincount(rng.integers(n, size=n), minlength=n)[data.sample] for _ in range(draws)]
    axes, without, redrawn, gaps = [], [], [], np.ones(len(names))
    for t, (x, cut, k) in enumerate(zip(data.values, cuts, dims, strict=True)):
        progress(half + (span[1] - half) * t / len(names), f"drawing samples of {names[t]} again")
        axes.append(cut.axes.directions[:k].T)
        gaps[t] = cut.values[k - 1] / cut.values[k] if 0 < k < len(cut.values) else 1.0
        without.append(_without(x, k, groups))
        redrawn.append(tuple(leading_axes(x, k, w) for w in counts) if k else ())
    found = Series(
        tuple(names), data.values, np.array(dims), tuple(why), gaps, tuple(axes), tuple(without), tuple(redrawn),
        tuple(groups), params.space, data.sample, n,
    )  # fmt: skip
    if not found.windows(params.order):
        size = "two" if params.order == VELOCITY else "three"
        with naming_tokens(taps, params.tokens):
            raise NotEnoughData(
                f"no {size} neighbouring taps have a subspace ({'; '.join(w for w in why if w)})",
                f"{size} taps in a row that are cut where eigenvalues differ",
                f"Choose another dimension, set 'cut' to '{OWN}', or record more samples",
            )
    return found


def _dimensions(cuts: list[Cuts], params: SeriesParams) -> tuple[list[int], list[str]]:
    """Dimension of each tap, 0 with a reason where the data define none."""
    shared = params.dimension
    if shared is None and params.cut == ONE:
        shared = _shared_dimension(cuts, params.most, 2 if params.order == VELOCITY else 3)
    dims, why = [], []
    for cut in cuts:
        try:
            dims.append((cut.at(shared) if shared else cut.automatic(params.most)).k)
            why.append("")
        except NotEnoughData as error:
            dims.append(0)
            why.append(error.found)
    return dims, why


def _shared_dimension(cuts: list[Cuts], most: int, size: int) -> int:
    """The one at which the most runs of `size` neighbouring taps can be cut, then the most taps; of several, that with
    the largest gaps. Raises NotEnoughData."""
    can, gap = np.zeros((len(cuts), most + 1), bool), np.zeros(most + 1)
    for t, cut in enumerate(cuts):
        r = len(cut.values)
        for k in cut.held[(cut.held <= most) & (cut.held < r)]:
            can[t, k] = True
            gap[k] += np.log(cut.values[k - 1] / cut.values[k])
    held = can.sum(axis=0)
    runs = sum(can[i : i + size].all(axis=0).astype(int) for i in range(len(cuts) - size + 1))
    if held.max() < 2:
        raise NotEnoughData(
            f"no two taps have a gap between the same eigenvalues among the first {most}",
            "taps that can be cut at one dimension",
            f"Set 'cut' to '{OWN}', raise 'most', or record more samples",
        )
    return int(np.lexsort((gap, held, runs))[-1])


def leading_axes(x: np.ndarray, k: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(d, k) principal axes of `x` (n, d), rows counted `weights` (n,) times. O(n d min(n, d))."""
    w = np.ones(len(x)) if weights is None else weights
    x, w = x[w > 0], w[w > 0]
    centred = (x - w @ x / w.sum()) * np.sqrt(w)[:, None]
    n, d = centred.shape
    if n < d:
        vectors = eigh(centred @ centred.T, subset_by_index=[n - k, n - 1])[1][:, ::-1]
        return np.linalg.qr(centred.T @ vectors)[0]
    return eigh(centred.T @ centred, subset_by_index=[d - k, d - 1])[1][:, ::-1]


def _without(x: np.ndarray, k: int, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    if k == 0:
        return ()
    return tuple(leading_axes(np.delete(x, group, axis=0), k) for group in groups)
