"""The loss of a series of checkpoints as a function of all weights: of the network on its data, or of probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.common_samples import common_samples
from analysis.errors import InputError, LoupeError, ShapeError
from analysis.sources.rerun import rerun

FEWEST, PENALTY = 20, 1e-2


@dataclass(frozen=True)
class Landscape:
    """`vectors` (S, P) weights of the checkpoints, `parts` (P,) which tensor each is of, `loss` of weights (P,) the
    loss (n,) of each sample; `what` has it; `notes`."""

    vectors: np.ndarray
    parts: np.ndarray
    loss: Callable[[np.ndarray], np.ndarray]
    what: str
    notes: tuple[str, ...]


def loss_field(taps, names, params, rng: np.random.Generator, told) -> Landscape:
    """Of taps called `names`; `params.maximum_samples` the loss is of, `params.column` of probes where the network
    cannot be run again. Raises ShapeError of other tensors, NotFound, NotEnoughData."""
    try:
        return _of_networks(taps, names, params, rng, told)
    except ShapeError:
        raise
    except LoupeError as why:
        return _of_probes(taps, names, params, rng, str(why).split(". ")[0], told)


def _of_networks(taps, names, params, rng, told) -> Landscape:
    seed, states = int(rng.integers(2**31)), []
    for i, tap in enumerate(taps):
        told(i / len(taps))
        run = rerun(tap, params.maximum_samples, partial=True, rng=np.random.default_rng(seed))
        states.append(run.weights())
    shapes = {k: v.shape for k, v in states[-1].items()}
    for state, name in zip(states, names, strict=True):
        if {k: v.shape for k, v in state.items()} != shapes:
            raise ShapeError(f"other tensors in {name} than in {names[-1]}", "checkpoints of one network")
    sizes = [int(np.prod(s)) for s in shapes.values()]
    cuts, first = np.cumsum(sizes)[:-1], run.measure().loss
    if not np.isfinite(first).any():
        raise InputError("a network without a loss", "labels that its classes are compared with")

    def loss(weights: np.ndarray) -> np.ndarray:
        parts = np.split(weights.astype(np.float32), cuts)
        return run.measure({k: p.reshape(s) for (k, s), p in zip(shapes.items(), parts, strict=True)}).loss

    vectors = np.stack([np.concatenate([v.ravel() for v in s.values()]).astype(np.float32) for s in states])
    what = f"the network ({type(run.loaded.module).__name__})"
    return Landscape(vectors, np.repeat(np.arange(len(sizes)), sizes), loss, what, (run.note,))


def _of_probes(taps, names, params, rng, why: str, told) -> Landscape:
    wide = {t.shape[1] for t in taps}
    if len(wide) > 1:
        raise ShapeError(
            f"taps of {', '.join(map(str, sorted(wide)))} units", "the same tap of every checkpoint"
        )
    data = common_samples(taps, rng, maximum=max(params.maximum_samples, FEWEST), minimum=FEWEST)
    codes = class_codes(np.asarray(column_by_id(taps[-1], data.ids, params.column)), params.column, 5)
    values, k = [v[codes.stay] for v in data.values], len(codes.names)
    mean, size = values[-1].mean(axis=0), values[-1].std(axis=0)
    size = np.where(size > 1e-9 * max(float(size.max()), 1e-300), size, 1.0)
    fits = []
    for i, v in enumerate(values):
        told(i / len(values))
        fit = softmax_fit((v - mean) / size, codes.codes, k, PENALTY)
        fits.append(np.concatenate([fit.weights.ravel(), fit.intercept]))
    x, rows = (values[-1] - mean) / size, np.arange(len(codes.codes))

    def loss(weights: np.ndarray) -> np.ndarray:
        scores = x @ weights[:-k].reshape(-1, k) + weights[-k:]
        top = scores.max(axis=1)
        return top + np.log(np.exp(scores - top[:, None]).sum(axis=1)) - scores[rows, codes.codes]

    note = (
        f"No network was run ({why}): the path is of linear probes of '{params.column}', fitted to each tap."
    )
    return Landscape(np.array(fits), np.r_[np.zeros(fits[0].size - k, int), np.ones(k, int)], loss,
                     f"a probe of '{params.column}'", (note, *data.notes, *codes.notes))  # fmt: skip
