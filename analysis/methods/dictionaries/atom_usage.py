"""When and where is each atom used? Atoms sorted by how often they fire, along the samples or over a spatial pyramid.

    samples in order    mean |code| of an atom in runs of samples in the order they were recorded (frames of a film)
    spatial pyramid     |codes| pooled over the whole image, its 2 × 2 and its 4 × 4 cells, averaged over samples: K
                        atoms give K · 21 numbers; a line of tokens is cut into 1, 2 and 4 parts

Null of a cell is what the atom has without order or place: its mean over all samples, or its pooled value when the
places of each sample are shuffled. Among the numbers, the share of the variance of usage that lies between the columns
(η²) against columns drawn at random.

When it lies: samples that were recorded class by class change at the borders of classes, whatever the atoms do; a mean
hides an atom that is large once; maxima over larger cells are larger by having more places, which is why shuffled
places are the null.

Cost: two passes over the codes; as many shuffles as asked of the atoms that are shown.

References: "Online unsupervised feature learning for visual tracking"; S. Lazebnik et al. (2006), "Beyond bags of
features: spatial pyramid matching".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.dictionaries.firing import firing
from analysis.compute.grids.pyramid import cell_names, levels_of, pooled
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.between_groups import between_share
from analysis.compute.statistics.nulls import against
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, RESAMPLES = 8, 100
ORDER, PYRAMID = "samples in order", "spatial pyramid"


@dataclass(frozen=True)
class AtomUsageParams:
    along: str = param(ORDER, "What the columns are.", choices=(ORDER, PYRAMID))
    pooling: str = param("mean", "How places become a cell, of a pyramid.", choices=("mean", "max"))
    atoms: int = param(40, "Atoms shown, those that fire most.", low=2, high=500)
    bins: int = param(40, "Runs of samples.", low=2, high=400)
    draws: int = param(20, "Shuffles for the null.", low=2, high=200)
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=20, high=100_000)


def atom_usage(
    activations, params: AtomUsageParams = AtomUsageParams(), rng=None, progress=no_progress
) -> Matrix:
    """Atoms by runs of samples, or by cells of a spatial pyramid.

    Parameters
    ----------
    activations : Activations
        A tap that a feature set encoded, or any other: its units are then the atoms.

    Returns
    -------
    Matrix
        Mean |code|. Estimates: share of the variance of usage between columns, atoms ever used.

    Raises
    ------
    NotEnoughData
        Fewer than eight samples with finite rows.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    seen = Pass()
    fired = firing(tap, seen, progress, (0.0, 0.3))
    atoms = np.argsort(-(fired.count + 1e-9 * np.abs(fired.total)), kind="stable")[: params.atoms]
    samples, said = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    rows, size = _of_samples(tap, atoms, samples, progress)
    samples = samples[[len(r) > 0 for r in rows]]
    rows = [r for r in rows if len(r)]
    if len(rows) < FEWEST:
        raise NotEnoughData(f"{tap.name} has {len(rows)} sample(s) with finite rows", f"at least {FEWEST}")
    columns_of = _in_order if params.along == ORDER else _over_places
    (value, chance, sums, columns, null), notes = columns_of(rows, samples, tap, size, params, rng, progress)
    progress(1.0, "done")
    names = tuple(f"{tap.unit_names[j]} ({fired.count[j] / max(fired.n, 1):.2g})" for j in atoms)
    largest = params.along == PYRAMID and params.pooling == "max"
    return Matrix(
        title=f"Usage of atoms of {tap.name}, {params.along}", values=null[0], row_names=names, column_names=columns,
        value_name="mean of the largest |code|" if largest else "mean |code|", null=null[1],
        estimates=_estimates(value, chance, sums, fired.count, len(rows)),
        reading=_reading(value, chance, names, null[0], columns),
        caveats=(*seen.notes, *said, *notes, "In brackets: the share of rows in which an atom fires."),
    )  # fmt: skip


def _estimates(value: float, chance, sums, fired: np.ndarray, n: int) -> tuple[Estimate, ...]:
    low, high = np.percentile(sums, [2.5, 97.5])
    return (
        Estimate("variance of usage between columns", value, min(float(low), value), max(float(high), value),
                 interval="bootstrap over samples, about its middle", null_method="columns drawn at random",
                 n=n, d=len(fired), **against(value, chance)),
        Estimate("atoms ever used", float((fired > 0).mean()), n=n, d=len(fired)),
    )  # fmt: skip


def _of_samples(tap, atoms, samples, progress) -> tuple[list[np.ndarray], tuple[int, int] | None]:
    """|codes| (tokens, atoms) of each sample, leading tokens left out; the grid where every sample fills it."""
    layout, chosen = tap.layout, np.zeros(tap.layout.n_samples, bool)
    chosen[samples] = True
    parts: list[list] = [[] for _ in range(layout.n_samples)]
    lead = 0 if layout.grid is None else layout.leading
    for rows, block in finite_blocks(tap, Pass(), progress, "reading codes", (0.3, 0.6), units=atoms):
        owner = layout.sample_of(rows)
        keep = chosen[owner] & (rows - layout.offsets[owner] >= lead)
        block, owner = np.abs(block[keep]), owner[keep]
        cuts = np.flatnonzero(np.r_[True, np.diff(owner) != 0]) if len(owner) else []
        for i, part in zip(owner[cuts], np.split(block, cuts[1:]), strict=True) if len(owner) else ():
            parts[i].append(part)
    out = [np.concatenate(parts[i]) if parts[i] else np.zeros((0, len(atoms))) for i in samples]
    grid = layout.grid
    if grid is None or any(len(r) not in (0, grid[0] * grid[1]) for r in out):
        grid = None
    return out, grid


def _in_order(rows, samples, tap, size, params, rng, progress):
    """Runs of samples in the order recorded."""
    means = np.stack([r.mean(axis=0) for r in rows])
    bins = min(params.bins, len(rows))
    of = np.arange(len(rows)) * bins // len(rows)
    values = np.stack([means[of == b].mean(axis=0) for b in range(bins)], axis=1)
    null = np.repeat(means.mean(axis=0)[:, None], bins, axis=1)
    chance = []
    for draw in range(params.draws):
        progress(0.7 + 0.2 * draw / params.draws, "shuffling samples")
        chance.append(between_share(means, rng.permutation(of)))
    value, sums = between_share(means, of), _resampled(means, of, np.arange(len(rows)), rng)
    ids = np.asarray(tap.samples["id"]).astype(str)[samples]
    columns = tuple(f"from {ids[np.flatnonzero(of == b)[0]]}" for b in range(bins))
    return (value, np.array(chance), sums, columns, (values, null)), ()


def _over_places(rows, samples, tap, size, params, rng, progress):
    """Cells of a pyramid over the image, or parts of a line of tokens."""
    shape = size or (1, min(len(r) for r in rows))
    levels = levels_of(*shape)
    cells = lambda r: np.concatenate(pooled(r, *(size or (1, len(r))), params.pooling)[: len(levels)])  # noqa: E731
    names = tuple(cell_names(*shape))
    pooled_rows = [cells(r)[: len(names)] for r in rows]
    every, fine = np.stack(pooled_rows), len(pooled_rows[0]) - _coarse(names)
    group = np.tile(np.arange(fine), len(rows))
    finest = every[:, -fine:].reshape(-1, every.shape[2])
    null, chance = np.zeros(every.shape[1:]), []
    for draw in range(params.draws):
        progress(0.7 + 0.2 * draw / params.draws, "shuffling places")
        mixed = np.stack([cells(r[rng.permutation(len(r))])[: len(names)] for r in rows])
        null += mixed.mean(axis=0) / params.draws
        chance.append(between_share(mixed[:, -fine:].reshape(-1, every.shape[2]), group))
    value, owner = between_share(finest, group), np.repeat(np.arange(len(rows)), fine)
    sums = _resampled(finest, group, owner, rng)
    said = () if size is not None else ("Tokens are no image grid: they are cut along their order.",)
    return (value, np.array(chance), sums, names, (every.mean(axis=0).T, null.T)), said


def _coarse(names) -> int:
    """How many cells are not of the finest level."""
    return {1: 0, 3: 1, 7: 3, 5: 1, 21: 5}[len(names)]


def _resampled(values, group, owner, rng) -> np.ndarray:
    """η² of resampled samples, moved so that their middle is the estimate's: resampling alone raises it."""
    n, out = owner.max() + 1, []
    starts = np.searchsorted(owner, np.arange(n + 1))
    for _ in range(RESAMPLES):
        at = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in rng.integers(n, size=n)])
        out.append(between_share(values[at], group[at]))
    out = np.array(out)
    return np.clip(out - np.median(out) + between_share(values, group), 0, 1)


def _reading(value, chance, names, values, columns) -> str:
    r, c = np.unravel_index(int(np.argmax(values - values.mean(axis=1, keepdims=True))), values.shape)
    return (
        f"{value:.1%} of the variance of usage lies between columns ({np.mean(chance):.1%} by chance). The largest "
        f"rise over an atom's own mean: {names[r]} in {columns[c]}."
    )


def _cost(shapes, params: AtomUsageParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n, atoms = min(rows, params.maximum_samples), min(k, params.atoms)
    work = (params.draws + RESAMPLES) * 64.0 * n * atoms + 40.0 * rows * k
    return Cost(m.seconds(moved=work) + n * 2e-4, 8.0 * n * atoms * 6 + 8.0 * min(rows, 4096) * k * 3.5)


def _check() -> tuple[CheckLine, ...]:
    """One atom in one corner, one in the first half of the samples; and the pyramid's own identities."""
    rng, n = np.random.default_rng(0), 40
    x = 0.1 * rng.random((n, 16, 3))
    x[:, 0, 0] += 4
    x[: n // 2, :, 1] += 2
    tap = ArrayActivations(x.reshape(-1, 3), "planted", layout=Layout(np.arange(n + 1) * 16, (4, 4), 0))
    place = atom_usage(tap, AtomUsageParams(along=PYRAMID, draws=4), np.random.default_rng(0))
    order = atom_usage(tap, AtomUsageParams(bins=2, draws=4), np.random.default_rng(0))
    v, top = rng.random((64, 5)), [None, None]
    mean, top = pooled(v, 8, 8, "mean"), pooled(v, 8, 8, "max")
    down = lambda a, s: a.reshape(s, 2, s, 2, 5).transpose(0, 2, 1, 3, 4).reshape(s * s, 4, 5)  # noqa: E731
    gaps = [np.abs(mean[i] - down(mean[i + 1], 2**i).mean(axis=1)).max() for i in (0, 1)]
    tops = [np.abs(top[i] - down(top[i + 1], 2**i).max(axis=1)).max() for i in (0, 1)]
    corner = next(i for i, name in enumerate(place.row_names) if name.startswith("0 "))
    half = next(i for i, name in enumerate(order.row_names) if name.startswith("1 "))
    return (
        CheckLine("cells of levels 1, 2, 4", 21.0, float(sum(map(len, mean))), 0.0),
        CheckLine("a coarse mean is the mean of its children", 0.0, float(max(gaps)), 1e-12),
        CheckLine("a coarse maximum is the maximum of its children", 0.0, float(max(tops)), 0.0),
        CheckLine("the corner's cell", 5.0, float(np.argmax(place.values[corner])), 0.0),
        CheckLine("used in one half", 2.0, float(order.values[half, 0] - order.values[half, 1]), 0.05),
    )


METHODS = (
    Method(
        id="atom_usage", family="dictionaries", title="Usage of atoms over samples and places", version=1,
        function=atom_usage,
        summary="How much each atom is used along the samples, or in the cells of a spatial pyramid.",
        params=AtomUsageParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="signs of codes; reordering atoms",
        papers=("Online Unsupervised Feature Learning for Visual Tracking",),
    ),
)  # fmt: skip
