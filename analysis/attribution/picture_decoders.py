"""What a point of a tap looks like: by the rest of its network, where that gives pictures, or by a linear decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.attribution.explained_samples import NetworkSamples
from analysis.attribution.tap_runs import tap_runs
from analysis.compute.linear.ridge_probe import held_out_predictions, ridge_weights
from analysis.errors import InputError, LoupeError
from analysis.spec import Progress

MOST_SIDE, FOLDS = 48, 5  # of a picture, in pixels; of the judging of a linear decoder


@dataclass(frozen=True)
class Decoder:
    """`draw` moves (m, units), added to the sample, to pictures (m, places) over `grid` (None: units in a row); `kind`
    in words. `rebuilt` (n, 2) of other samples: squared error of the picture, and its squared distance from the mean
    picture; None where there is nothing to rebuild. `unit` of what is drawn."""

    draw: object
    grid: tuple[int, int] | None
    kind: str
    unit: str
    rebuilt: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Drawn:
    catch, words = (), "the picture that the network gives"
    wanted: tuple[int, int] | None = None

    def of(self, logits, caught):
        if logits is None or logits.ndim != 4 or logits.shape[1] not in (1, 3):
            shape = None if logits is None else tuple(logits.shape[1:])
            raise InputError(f"a network that gives {shape}", "pictures of one or three channels")
        return logits.mean(dim=1).flatten(1)


def decoder_of(
    tap, sample: int, samples: np.ndarray, means: np.ndarray, rng, progress: Progress, span
) -> Decoder:
    """For one sample; `samples` (n,) with the `means` (n, units) of their tokens, the sample among them."""
    notes: list[str] = []
    if getattr(tap, "store", None) is not None:
        try:
            return _network(tap, sample, rng)
        except LoupeError as why:
            notes.append(f"The rest of the network draws nothing: {why.found}.")
    pictures = _pictures(tap, samples, progress, span)
    at = int(np.flatnonzero(samples == sample)[0])
    if pictures is None:
        own = means[at]
        notes.append("There are no pictures to decode: the units of the tap themselves are shown.")
        return Decoder(
            lambda moves: own + moves, None, "the units themselves", "activation", None, tuple(notes)
        )
    y, grid = pictures
    weights, middle, mean = ridge_weights(means, y), y.mean(axis=0), means.mean(axis=0)
    fold = rng.permutation(np.arange(len(y)) % FOLDS)
    guess = held_out_predictions(means, y, np.zeros(y.shape[1], np.int64), fold)
    rebuilt = np.column_stack([((y - guess) ** 2).sum(axis=1), ((y - middle) ** 2).sum(axis=1)])
    return Decoder(lambda moves: middle + (means[at] - mean + moves) @ weights, grid,
                   f"a linear decoder (ridge) of {len(y)} samples", "brightness", rebuilt, tuple(notes))  # fmt: skip


def _network(tap, sample: int, rng) -> Decoder:
    import torch

    samples = NetworkSamples(tap, tap.layout.n_samples, rng)
    at = np.flatnonzero(samples.samples == sample)
    if not len(at):
        raise InputError(f"sample {sample} that cannot be run", "one that can")
    run, target = samples.run(int(at[0])), _Drawn()
    first = run.logits
    target.of(first, {})  # its refusal
    grid = tuple(int(s) for s in first.shape[-2:])

    def draw(moves):
        x = run.clean + torch.as_tensor(np.asarray(moves)).to(run.clean.dtype)[:, None]
        return run.values(x, target).detach().double().numpy()

    return Decoder(draw, grid, f"the rest of {samples.what}", "brightness", None, samples.notes)


def _pictures(tap, samples, progress: Progress, span):
    """(n, places) brightness of the pictures that went into the network, and their grid; None where there are none."""
    runs, found = tap_runs(tap), []
    if not runs.is_network:
        return None
    for k, i in enumerate(samples):
        progress(span[0] + (span[1] - span[0]) * k / len(samples), "reading pictures")
        picture = _picture(runs.loaded.prepare([runs.item(int(i))]))
        if picture is None:
            return None
        step = -(-max(picture.shape) // MOST_SIDE)
        found.append(picture[::step, ::step])
    if len({p.shape for p in found}) > 1:
        return None
    return np.stack([p.ravel() for p in found]), found[0].shape


def _picture(inputs) -> np.ndarray | None:
    """(height, width) mean over channels of the picture among prepared inputs; None where there is none."""
    for x in inputs.values() if isinstance(inputs, Mapping) else [inputs]:
        if getattr(x, "ndim", 0) == 4 and x.shape[1] in (1, 3) and x.is_floating_point():
            return x[0].double().mean(dim=0).numpy()
    return None
