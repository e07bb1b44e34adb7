"""What each part of a picture does to one place of a layer: squared derivatives of that place by every pixel.

    I(pixel) = mean over random directions v of Σ_channels (∂ <v, y_p> / ∂ x)²,      E over v: |∂ y_p / ∂ x|² / d

with y_p what the layer gives at place p. torch is imported when a network is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.arrays import chosen_samples
from analysis.errors import InputError, NotFound
from analysis.sources.hooked_run import hooked_run
from analysis.sources.input_picture import picture_of
from analysis.sources.rerun import rerun
from analysis.spec import Progress, no_progress

BATCH = 8


@dataclass(frozen=True)
class Influence:
    """`maps` (n, places, rows, columns) over the cells of the layer's grid, not normalised, of the samples at the
    places `samples` (n,) of the store; `one` (places, rows, columns) of the sample `drawn`, which need not be among
    them; `pictures`, the mean of all and that sample (2, height, width[, 3]), or None; `note`, of which samples."""

    maps: np.ndarray
    samples: np.ndarray
    one: np.ndarray
    drawn: int
    pictures: np.ndarray | None
    note: str


def input_influence(
    tap, maximum: int, at: tuple[tuple[float, float], ...], draws: int, rng: np.random.Generator,
    progress: Progress = no_progress, drawn: int | None = None,
) -> Influence:  # fmt: skip
    """Of at most `maximum` samples of a stored tap, a random part above, and of the sample `drawn` (without it the
    first of them); at places given as shares (down, across) of the layer's grid.

    Raises InputError, NotFound: the network cannot be run again; its input is no picture; the layer has no grid.
    """
    run = rerun(tap, tap.layout.n_samples, partial=True, rng=rng)
    samples = np.asarray(run.samples)
    some, one = chosen_samples(len(samples), maximum, rng), _place(samples, drawn)
    seed, maps, total = int(rng.integers(2**31)), [], 0.0

    def of(part):
        given, x = _picture(
            run.loaded.prepare([run.data.items(int(i), int(i) + 1)[0] for i in part]), tap.name
        )
        name = tap.name.partition(":")[2] or tap.name
        with hooked_run(run.loaded.module, [name], gradients=True) as caught:
            run.loaded.run(given)
        y, grid = _on_grid(caught[name], tap)
        return np.stack([_map(y, x, grid, place, draws, seed) for place in at], axis=1), x.detach()

    for start in range(0, len(some), BATCH):
        progress(start / len(some), f"differentiating {tap.name}")
        found, x = of(some[start : start + BATCH])
        maps.append(found)
        total = total + x.sum(dim=0, keepdim=True)
    one = int(some[0]) if one is None else one
    alone, x = of([one])  # by itself: what is drawn moves no mean
    both = [picture_of(given) for given in (total / len(some), x)]
    pictures = None if both[0] is None else np.stack(both)
    note = f"The network was run on {len(some):,} of {run.n:,} samples that were recorded."
    return Influence(np.concatenate(maps), samples[some], alone[0], int(samples[one]), pictures, note)


def _place(samples: np.ndarray, drawn: int | None) -> int | None:
    """Raises NotFound."""
    at = np.flatnonzero(samples == drawn)
    if drawn is not None and not len(at):
        raise NotFound(f"sample {drawn}", f"one of the {len(samples):,} samples that there are")
    return None if drawn is None else int(at[0])


def _picture(prepared, name: str):
    """(what the network is given, the picture in it, of which derivatives are taken)."""
    given = dict(prepared) if isinstance(prepared, Mapping) else {"": prepared}
    key = next((k for k, v in given.items() if getattr(v, "ndim", 0) == 4 and v.is_floating_point()), None)
    if key is None:
        raise InputError(
            f"the network of {name} is not given a picture", "an input of batch, channels, rows and columns"
        )
    given[key] = given[key].detach().clone().requires_grad_(True)
    return (given if key else given[key]), given[key]


def _on_grid(y, tap):
    """((b, cells, d), (rows, columns)) of what a layer gives."""
    if y.ndim == 4:
        return y.flatten(2).transpose(1, 2), tuple(y.shape[2:])
    if y.ndim != 3:
        raise InputError(
            f"{tap.name} gives one vector of each sample", "places on a grid", "Choose an earlier layer"
        )
    layout, tokens = tap.layout, y.shape[1]
    if layout.grid is not None and layout.leading + layout.grid[0] * layout.grid[1] == tokens:
        return y[:, layout.leading :], tuple(layout.grid)
    side = int(np.sqrt(tokens))
    if not 0 <= tokens - side * side <= 8:
        raise NotFound(
            f"a grid among {tokens} tokens of {tap.name}", "a square of patches, with class tokens before it"
        )
    return y[:, tokens - side * side :], (side, side)


def _map(y, x, grid, place, draws: int, seed: int) -> np.ndarray:
    """(b, rows, columns) of one place; samples do not see each other, so that the sum over a batch has each one's."""
    import torch

    rows, columns = grid
    cell = min(int(place[0] * rows), rows - 1) * columns + min(int(place[1] * columns), columns - 1)
    made, total = torch.Generator().manual_seed(seed), 0.0
    for _ in range(draws):
        v = torch.randn(y.shape[2], generator=made, dtype=y.dtype)
        slope = torch.autograd.grad((y[:, cell] @ (v / v.norm())).sum(), x, retain_graph=True)[0]
        total = total + slope.double().square().sum(dim=1)
    pooled = torch.nn.functional.adaptive_avg_pool2d(total[:, None], grid)[:, 0]
    return pooled.detach().numpy() / draws
