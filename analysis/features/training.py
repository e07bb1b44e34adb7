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
from typing import TYPE_CHECKING

import numpy as np

from analysis.errors import ParameterError
from analysis.features.architectures import Architecture
from analysis.features.asking import asked
from analysis.features.beside import Beside
from analysis.features.feature_set import FeatureSet
from analysis.features.row_stream import RowStream
from analysis.features.training_run import LOOKING, Run
from analysis.features.training_settings import Training
from analysis.installed import need
from analysis.spec import Progress, no_progress, params_of
from analysis.store.reader import Store

if TYPE_CHECKING:
    from analysis.sources.live_tap import LiveTap


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
    live: LiveTap | None = None,
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
    live : the network itself, for an architecture that runs it (`analysis.sources.live_tap`); where it is not given, it
        is opened from the files that the store was recorded from.

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
    NotInstalled
        There is no torch.
    Diverged
        The loss became NaN or infinite; the last good checkpoint stays.
    Cancelled
        By `progress`; a checkpoint is written first.
    """
    need("torch", "Training a dictionary")
    kind, params, training = asked(architecture, params, training)
    activations = store.activations(tap)
    beside = _beside(store, tap, kind, params)
    more = {} if beside is None else {"n_beside": beside.n_units}
    dictionary = kind.make(params, activations.shape[1], np.random.default_rng([seed, 0]), **more)
    given = (activations, training.held_out, seed)

    def looking(share: float, doing: str = "") -> None:
        progress(LOOKING * share, doing)

    what = {
        "store": store.name, "tap": tap, "store_digest": activations.digest, "architecture": kind.name,
        "parameters": dataclasses.asdict(params), "training": dataclasses.asdict(training), "seed": seed,
    }  # fmt: skip
    if kind.live:
        from analysis.features.architectures.end_to_end import later_names
        from analysis.features.sample_stream import SampleStream
        from analysis.sources.live_tap import live_tap

        live = live or live_tap(activations, later_names(params))
        stream = SampleStream(*given, looking)
        dictionary.attach(stream, live)
    else:
        stream = RowStream(*given, looking, beside)
    if beside is not None:
        what["beside"] = {"tap": getattr(params, kind.beside), "digest": beside.activations.digest}
    run = Run(dictionary, stream, training, what, directory)
    run.begin(resume)
    run.go(progress)
    return run.finished(name or f"{kind.name} {tap}")


def _beside(store: Store, tap: str, kind: Architecture, params) -> Beside | None:
    """The second tap that an architecture reads. Raises ParameterError where it is not named, NotFound."""
    if not kind.beside:
        return None
    name = getattr(params, kind.beside)
    if not name:
        said = next(p.help for p in params_of(kind.params) if p.name == kind.beside)
        raise ParameterError(
            f"no {kind.beside} for {kind.title}",
            f"{kind.beside}: a tap of {store.name} with the rows of {tap}",
            said,
        )
    return Beside(store.activations(name), kind.beside_centred)
