"""Training of a sparse dictionary on a tap: the loop.

    every step   a batch of rows, the loss of the architecture, Adam on its gradient (learning rate with a linear
                 warm-up and a linear decay to 0), decoder rows held at length 1
    every few    explained variance and L0 of the held-out samples and the share of dead latents: a line of the curve

The loss is one of float32, whatever the tap is stored in. A training that is stopped, by a person or a crash, goes on
from its last checkpoint and ends with the bits that it would have had (same machine, same number of threads).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from analysis.features.asking import asked
from analysis.features.feature_set import FeatureSet
from analysis.features.row_stream import RowStream
from analysis.features.training_run import LOOKING, Run
from analysis.features.training_settings import Training
from analysis.spec import Progress, no_progress
from analysis.store.reader import Store


def train(
    store: Store,
    tap: str,
    architecture: str = "topk",
    params: dict | object | None = None,
    training: dict | Training | None = None,
    *,
    name: str = "",
    seed: int = 0,
    directory: Path | None = None,
    resume: bool = False,
    progress: Progress = no_progress,
) -> FeatureSet:
    """Train a dictionary on the rows of a tap.

    Parameters
    ----------
    architecture : a name of `analysis.features.architectures.ARCHITECTURES`.
    params, training : the architecture's parameters and how to train, as dataclasses or as plain values.
    name : of the set; architecture and tap where empty.
    directory : where checkpoints and the curve go; none are kept without.
    resume : go on from the checkpoint in `directory`, where there is one.

    Returns
    -------
    FeatureSet, whose `about` has tap, store, digests, parameters, seed, rows seen, curve, caveats and what the finished
    set does on the held-out samples.

    Time: three products of (rows, units) with (units, latents) forwards and backwards for every row seen. Memory: the
    weights four times, a batch of codes a few times, and about 600 MB of rows.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError
        No such tap or architecture; parameters out of range, k above the latents; too few rows; a checkpoint of
        another training.
    Diverged
        The loss became NaN or infinite; the last good checkpoint stays.
    Cancelled
        By `progress`; a checkpoint is written first.
    """
    kind, params, training = asked(architecture, params, training)
    activations = store.activations(tap)
    dictionary = kind.make(params, activations.shape[1], np.random.default_rng([seed, 0]))
    stream = RowStream(
        activations, training.held_out, seed, lambda share, doing="": progress(LOOKING * share, doing)
    )
    what = {
        "store": store.name, "tap": tap, "store_digest": activations.digest, "architecture": kind.name,
        "parameters": dataclasses.asdict(params), "training": dataclasses.asdict(training), "seed": seed,
    }  # fmt: skip
    run = Run(dictionary, stream, training, what, directory)
    run.begin(resume)
    run.go(progress)
    return run.finished(name or f"{kind.name} {tap}")
