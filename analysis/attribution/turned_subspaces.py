"""How far the subspace of a sample under augmentations turns when each place of it is hidden, for two fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.augmentations import Augmentations, augmentations, blurred
from analysis.attribution.backgrounds import MEAN, background
from analysis.attribution.hidden_places import Places, hidden_places
from analysis.attribution.pairs.pair_maps import vectors
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import TapRuns, tap_runs
from analysis.compute.rows.token_sets import token_sets
from analysis.compute.subspaces.occluded_subspaces import span, turned
from analysis.spec import no_progress, param

FEWEST = 8
MEAN_FILL, BLUR, OTHER = "mean of other samples", "blurred", "another sample"


@dataclass(frozen=True)
class OccludedParams:
    sample: int = param(0, "Which sample, by its place in the store.", low=0, high=100_000_000)
    size: int | None = param(
        None, "Side of a hidden square of an image; automatic: eight across.", low=1, high=512
    )
    augmentations: int = param(8, "Versions of the sample, itself among them.", low=1, high=200)
    dimensions: int = param(3, "Of the subspace: fewer than versions (one version: 1).", low=1, high=100)
    shift: int = param(1, "Most cells that a version is moved by.", low=0, high=64)
    mirrored: bool = param(False, "Half of the versions are mirrored.")
    brightness: float = param(
        0.1, "Most that a version is brighter or darker, as a share.", low=0.0, high=1.0
    )
    noise: float = param(0.05, "Noise of a version, as a share of the sample's spread.", low=0.0, high=2.0)
    centred: bool = param(False, "Take the mean sample of the tap off every vector.")
    others: int = param(
        12, "Other samples: the mean that fills, and how far another sample turns it.", low=4, high=200
    )


@dataclass(frozen=True)
class Turned:
    """Of `fills`: `heats` (fills, places) and cos² of the principal angles, falling, `squares` (fills, places, k);
    `apart` (others,), `apart_squares` (others, k) the same of other samples. `k` dimensions were found, `asked` for."""

    fills: tuple[str, ...]
    heats: np.ndarray
    squares: np.ndarray
    apart: np.ndarray
    apart_squares: np.ndarray
    k: int
    asked: int
    passes: int
    places: Places
    run: SampleRun
    runs: TapRuns
    notes: tuple[str, ...]


def turned_subspaces(tap, params: OccludedParams, rng: np.random.Generator, progress) -> Turned:
    """Raises as `augmentation_occlusion`."""
    sets = token_sets(tap, rng, maximum=max(4 * params.others, 50), minimum=FEWEST, wanted=(params.sample,),
                      progress=progress, span=(0.0, 0.1))  # fmt: skip
    progress(0.1, "opening the network")
    runs = tap_runs(tap)
    run = runs.run(params.sample)
    vector, x = runs.vector(run, params.sample), run.clean
    some = rng.permutation(np.setdiff1d(sets.samples, params.sample))[: params.others]
    others = [runs.run(int(i)).clean for i in some]
    spread = np.concatenate([o.double().numpy() for o in others]).std(axis=0)
    versions = augmentations(params.augmentations, run.shape, run.grid, rng, shift=params.shift, flips=params.mirrored,
                             brightness=params.brightness, noise=params.noise, spread=spread)  # fmt: skip
    centre = sets.means().mean(axis=0) if params.centred else np.zeros(tap.shape[1])
    k = params.dimensions if params.augmentations > 1 else 1
    places = hidden_places(runs, run, params.sample, params.size)
    who = places.players
    passes = params.augmentations * (2 * len(who.names) + len(others) + 1)
    fills = _fills(run, others, places.side)
    hidden = [_hidden(x, who, fill) for fill in fills.values()]
    first = span(_vectors(run, versions, x, vector) - centre, k)
    heats = np.empty((len(fills), len(who.names)))
    squares = np.zeros((*heats.shape, first.shape[1]))
    for f, m in np.ndindex(heats.shape):
        progress(0.15 + 0.75 * (f * heats.shape[1] + m) / heats.size, f"{passes:,} passes")
        found = span(_vectors(run, versions, hidden[f][m], vector) - centre, k)
        heats[f, m], own = turned(first, found)
        squares[f, m] = own[: first.shape[1]]
    apart = [_apart(first, run, versions, o, vector, centre, k) for o in others]
    return Turned(
        tuple(fills), heats, squares, np.array([a[0] for a in apart]), np.array([a[1] for a in apart]),
        first.shape[1], k, passes, places, run, runs, (*sets.notes, *runs.notes),
    )  # fmt: skip


def caveats_of(found: Turned) -> list[str]:
    """What was run, and how places were hidden."""
    run, size = found.run, found.places.side
    tokens = "columns" if run.shape[0] == 1 else "cells" if run.grid is not None else "tokens"
    side = f"squares of {size} x {size}" if size > 1 else f"{tokens} one by one"
    said = [f"{found.passes:,} passes through {found.runs.what}, hiding {side}."]
    if found.k < found.asked:
        said.append(f"The versions span {found.k} dimensions, fewer than the {found.asked} asked for.")
    return said


def _fills(run, others, size: int) -> dict:
    """What stands in a hidden place, (tokens, units) by name."""
    mean = background(MEAN, run.clean, others).rows[0]
    if run.shape[0] == 1:
        return {MEAN_FILL: mean, OTHER: others[0]}
    return {MEAN_FILL: mean, BLUR: blurred(run.clean, run.grid, 2 * size + 1)}


def _hidden(x, who, fill):
    """(places, tokens, units), each without one."""
    import torch

    return who.mixed(~torch.eye(len(who.names), dtype=torch.bool), x, fill)


def _vectors(run, versions: Augmentations, x, vector) -> np.ndarray:
    """(augmentations, units). Always in batches of one size, so that equal samples give equal bits."""
    return vectors(run, versions.of(x), vector, no_progress, (0.0, 1.0))


def _apart(first, run, versions: Augmentations, other, vector, centre, k: int) -> tuple[float, np.ndarray]:
    import torch

    x = other[torch.arange(run.shape[0]) % len(other)]
    heat, squares = turned(first, span(_vectors(run, versions, x, vector) - centre, k))
    return heat, squares[: first.shape[1]]
