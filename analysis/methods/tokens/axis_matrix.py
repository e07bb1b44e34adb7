"""Which places of one axis read which: bands by bands in nm, frames by frames, columns by columns.

Of a block with one attention along each axis the matrix of one of them, mean over the lines (or one line): rows read,
columns are read. Found as in "Attention along two axes" (one tap: the network, or its rows; two taps: one for each).
With wavelengths (given, of the network's configuration, or as units are named) the axis is in nm and the mean distance
of what is read is told in nm.

Interval: Student's t over samples, the one that is drawn and at most seven others; lines and rows of one are no
independent draws. Null: all places alike, in closed form; rows are made whole where a part goes to tokens off the grid.

When it lies: neighbouring bands are alike, so that a band that reads its neighbours may as well have read itself; a
mean over lines hides lines that differ; heads are averaged; attention says what is mixed, not what the answer uses.

Cost: one pass of the sample; O(H W²).

References: "LESS ViT"; J. Ho et al. (2019), "Axial attention in multidimensional transformers".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.axes import reach
from analysis.tokens.mixers.axis_reading import AxisParams, axes_of, of_one_tap

ONE = "none: one sample, whose lines are no independent draws"
OPENING, MOST = 6.0, 160  # seconds; places that are drawn
FIRST, SECOND = "the first (along a line: bands, frames, columns)", "the second (across lines: patches, rows)"


@dataclass(frozen=True)
class AxisMatrixParams(AxisParams):
    axis: str = param(FIRST, "Which of the two.", choices=(FIRST, SECOND))
    line: int | None = param(None, "One line, from 1; automatic: the mean of all.", low=1, high=1_000_000)


def axis_matrix(
    *taps, params: AxisMatrixParams = AxisMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """Places of one axis by places of it.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        One tap, or one for each axis (first, second).

    Returns
    -------
    Matrix
        Rows read, columns are read. Estimates: distance read from, places read, share that stays.

    Raises
    ------
    NotFound, InputError, ParameterError, NotEnoughData
        No such sample, block or line; an axis of one place, or of over 160; fewer than two samples of two tokens.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = axes_of(taps, params, rng, lambda f, doing="": progress(0.8 * f, doing))
    first = params.axis == FIRST
    lines = _lines(found.factored, first, params.line)
    w = lines.shape[1]
    if not 2 <= w <= MOST:
        raise InputError(
            f"an axis of {w} places", f"2 to {MOST}", "Choose the other axis, or other places of a line"
        )
    names, at, unit = (
        (found.names, found.at, found.unit) if first else (None, np.arange(w, dtype=float), "places")
    )
    told = _estimates([_lines(one, first, params.line) for one in found.all], at, unit, taps[0].shape[1])
    progress(1.0, "done")
    mean, names = lines.mean(axis=0), names or tuple(str(k + 1) for k in range(w))
    whose = (
        f"line {params.line}"
        if params.line is not None
        else "all lines share it"
        if len(lines) == 1
        else "mean of "
    )
    whose += f"{len(lines)} lines" if whose.endswith("of ") else ""
    return Matrix(
        title=f"Which {'bands' if unit == 'nm' else 'places'} read which ({whose}): {found.factored.name}",
        values=mean, row_names=names, column_names=names, value_name="share of what the row reads",
        null=np.full((w, w), 1 / w), estimates=told, reading=_reading(mean, names, told, unit),
        caveats=(*found.notes, f"Drawn is sample {params.sample}; heads are averaged.", *_off_grid(found, first)),
    )  # fmt: skip


def _off_grid(found, first: bool) -> list[str]:
    lost = 0.0 if first else found.factored.lost
    return [f"{lost:.1%} of this attention goes to tokens off the grid (class token)."] if lost > 0 else []


def _lines(own, first: bool, line: int | None) -> np.ndarray:
    """(lines, W, W) of one axis. Raises NotFound."""
    lines = own.first if first else own.second
    if line is None:
        return lines[:1] if own.shared else lines
    if line > len(lines):
        raise NotFound(f"line {line}", f"1 to {len(lines)}", "Choose another, or none: then all")
    return lines[line - 1 : line]


def _estimates(samples, at: np.ndarray, unit: str, d: int) -> tuple[Estimate, ...]:
    w, far = len(at), np.abs(at[:, None] - at[None])
    distance = [((x * far).sum(axis=2) / x.sum(axis=2)).mean() for x in samples]
    places = [np.mean([[reach(row) for row in line] for line in x]) for x in samples]
    stays = [(np.diagonal(x, axis1=1, axis2=2) / x.sum(axis=2)).mean() for x in samples]
    out = []
    for name, values, chance, of, how in (
        ("distance read from", distance, far.mean(), unit, "mean of Σ A d"),
        ("places read", places, float(w), "", "exp of the entropy"),
        ("share that stays", stays, 1 / w, "", "mean of the diagonal"),
    ):
        each = np.array(values)
        ends = mean_interval(each, 0.0) or {"interval": ONE}
        out.append(Estimate(name, float(each.mean()), **ends, null=float(chance), null_method="all places alike",
                            n=len(each), d=d, unit=of, estimator=how))  # fmt: skip
    return tuple(out)


def _reading(mean: np.ndarray, names, told, unit: str) -> str:
    read = int(mean.mean(axis=0).argmax())
    return (
        f"Places read {told[0].value:.3g} {unit} away on average ({told[0].null:.3g} if all alike), "
        f"{told[1].value:.1f} of {len(names)} of them; {told[2].value:.0%} stays where it is. "
        f"Most is read of {names[read]} ({mean[:, read].mean():.0%} of all reading; {1 / len(names):.0%} if all alike)."
    )


def _cost(shapes, params: AxisMatrixParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * n * k + 9.0 * 17 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7, moved=8.0 * n * k), held, 1)


def _check() -> tuple[CheckLine, ...]:
    """Equal rows: all alike, at a known distance in nm; weights that were recorded come back."""
    x = np.ones((24, 2))
    x[12:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24]), grid=(3, 4)))
    even = axis_matrix(tap, params=AxisMatrixParams(wavelengths="400, 500, 700, 800"))
    own = np.random.default_rng(0).dirichlet(np.ones(4), 4)
    taps = [ArrayActivations(np.vstack([a, a]), name=name, layout=Layout(np.arange(0, 2 * len(a) + 1, len(a))),
                             unit_names=tuple(f"band {600 + 10 * k} nm" for k in range(len(a))))
            for name, a in (("spectrum", own), ("space", np.eye(3)))]  # fmt: skip
    found = axis_matrix(*taps)
    apart = 10 * np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    return (
        CheckLine("equal rows: share of each", 0.25, float(even.values.max()), 1e-12),
        CheckLine("their distance in nm, all alike", even.estimates[0].null, even.estimates[0].value, 1e-9),
        CheckLine("which is", 2 * (100 + 300 + 400 + 200 + 300 + 100) / 16, even.estimates[0].null, 1e-9),
        CheckLine("recorded weights come back", 0.0, float(np.abs(found.values - own).max()), 1e-12),
        CheckLine("distance in nm", float((own * apart).sum() / 4), found.estimates[0].value, 1e-9),
    )


METHODS = (
    Method(
        id="axis_matrix", family="tokens", asks=of_one_tap,
        title="Attention within one axis", version=5, function=axis_matrix,
        summary="Which bands (in nm), frames or columns read which, where a network attends along each axis apart.",
        params=AxisMatrixParams, result=Matrix, check=_check, cost=_cost, more_inputs=True, most_inputs=2,
        minimum_rows=4, invariance="the order of heads and of lines",
        papers=("LESS ViT: multi-modal & hyperspectral geospatial foundation model",
                "Axial Attention in Multidimensional Transformers"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
