"""Components taken out: what stands in their place, and a change of the same size in a random direction beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.interventions.bench import Bench
from analysis.interventions.components import Component
from analysis.interventions.interventions import (
    MEAN,
    RESAMPLE,
    ZERO,
    Cell,
    Intervention,
    part_of,
    put_values,
    zeroed,
)
from analysis.interventions.many_samples import means_at, others_of
from analysis.spec import Progress, no_progress

WORDS = {
    MEAN: "the mean over all samples", ZERO: "zero", RESAMPLE: "what another sample, drawn at random, has there",
}  # fmt: skip


def ablations(
    bench: Bench, components: Sequence[Component], way: str, rng: np.random.Generator
) -> list[list[Cell]]:
    """Of each batch the cell that takes each component out. "zero" of a feature: it is not active."""
    runs, places = bench.runs, list(dict.fromkeys(p for c in components for p in c.places))
    if way == ZERO:
        return [[zeroed(c) for c in components] for _ in runs]
    if way == MEAN:
        mean = means_at(runs, places)
        return [[put_values(c, mean.__getitem__) for c in components] for _ in runs]
    others = others_of(runs, list(dict.fromkeys(p.site for p in places)), rng)
    return [
        [put_values(c, lambda p, given=given: part_of(p).read(given[p.site])) for c in components]
        for given in others
    ]


def random_twins(bench: Bench, cells: Sequence[Sequence[Cell]], draws: int, rng: np.random.Generator):
    """Of each batch, for each cell `draws` cells that change each token of a sample as far, in one random direction of
    all units of the site, the same for all tokens and samples: a part moves along its own direction in all of them."""
    import torch

    found, seeds = [], rng.integers(2**62, size=(len(cells[0]) if len(cells) else 0, draws))
    for run, own in zip(bench.runs, cells, strict=True):
        x = run.caught({e.site: 0 for cell in own for e in cell})
        twins = []
        for k, cell in enumerate(own):
            moved = [(e.site, (e.applied(x[e.site]) - x[e.site]).norm(dim=-1, keepdim=True)) for e in cell]
            for seed in seeds[k]:
                twin, drawn = [], np.random.default_rng(seed)
                for site, size in moved:
                    way = torch.as_tensor(drawn.standard_normal((1, 1, x[site].shape[-1])))
                    way /= way.norm(dim=-1, keepdim=True)
                    twin.append(Intervention(site, lambda size=size, way=way: size * way, way="add"))
                twins.append(tuple(twin))
        found.append(twins)
    return found


def changes(
    bench: Bench, cells: Sequence[Sequence[Cell]], progress: Progress = no_progress, span=(0.0, 1.0)
) -> np.ndarray:
    """(cells, n): the number that is looked at with each cell, less that of the run as it is."""
    found, step = [], (span[1] - span[0]) / len(bench.batches)
    for k, (run, target, own) in enumerate(zip(bench.runs, bench.targets, cells, strict=True)):
        at = span[0] + k * step
        inner = lambda f, doing="", at=at: progress(at + step * f, doing)  # noqa: E731
        found.append(run.answers(own, target.of, progress=inner) - target.of(run.logits).numpy())
    return np.concatenate(found, axis=1)
