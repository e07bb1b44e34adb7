"""A store with the gradients of what a network answers beside one of its taps: a derived store of two taps.

The network is run again on its own data, sample by sample or a few at a time, and differentiated once. Gradients are in
float32 and as many as the rows of the tap, row by row: what `analysis.features.architectures.gradient` trains with,
and a tap like any other for every method (its norm by row says where the answer depends on this place at all).
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from analysis.errors import ParameterError
from analysis.sources.live_tap import SCALARS, LiveTap, live_tap
from analysis.spec import Progress, no_progress
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

BATCH = 32  # samples at a time
SUFFIX = ".gradient"


def gradient_store(
    workspace,
    store: str,
    tap: str,
    scalar: str = "margin",
    name: str = "",
    *,
    live: LiveTap | None = None,
    progress: Progress = no_progress,
) -> Store:
    """Write `tap` of `store` again under `name` ("STORE with gradients"), and beside it the tap `TAP.gradient`.

    Parameters
    ----------
    scalar : what is differentiated: "margin", the largest logit less the mean of all; "answer", log p of the likeliest
        answer, which hardly moves where the network is certain.
    live : the network itself; where it is not given, it is opened from what the store names.

    Raises
    ------
    ParameterError, NotFound, InputError
        No such scalar, store or tap; a network or data that are gone or other ones; a tap that was not recorded with
        all its tokens. Nothing is left behind then.
    """
    if scalar not in SCALARS:
        raise ParameterError(f"scalar {scalar!r}", "one of " + ", ".join(SCALARS))
    source = workspace.store(store)
    activations = source.activations(tap)
    live = live or live_tap(activations)
    live.refuse_others(activations)
    directory = workspace.new_store_path(name or f"{store} with gradients")
    made_here = not directory.exists()
    try:
        with _created(source, tap, directory, name or f"{store} with gradients", scalar) as writer:
            _write(source, tap, writer, live, scalar, progress)
            return writer.finish()
    except BaseException:
        if made_here:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def _created(source: Store, tap: str, directory, name: str, scalar: str) -> StoreWriter:
    about, names = source.manifest, tuple(source.activations(tap).unit_names)
    own = replace(source.taps[tap], unit_names=names)
    of = f"{source.name}:{tap}"
    facts = {"of": of, "digest": source.activations(tap).digest, "scalar": scalar}
    return StoreWriter.create(
        directory, name=name, taps=[own, replace(own, name=tap + SUFFIX, dtype="float32")],
        checkpoint=dict(about.get("checkpoint") or {}), data={**(about.get("data") or {}), "gradients": facts},
        settings={"seed": 0}, classes=source.classes, n_expected=source.n_samples,
    )  # fmt: skip


def _write(
    source: Store, tap: str, writer: StoreWriter, live: LiveTap, scalar: str, progress: Progress
) -> None:
    activations, n, classes = source.activations(tap), source.n_samples, source.class_index
    offsets = activations.layout.offsets
    columns = {c: np.asarray(source.samples[c]) for c in source.samples}
    for start in range(0, n, BATCH):
        stop = min(start + BATCH, n)
        progress(start / n, f"{start:,} of {n:,} samples differentiated")
        counts = np.diff(offsets[start : stop + 1])
        values = np.asarray(activations.take(np.arange(offsets[start], offsets[stop])), np.float32)
        found = live.gradients(np.arange(start, stop), scalar)
        tokens = [source.tokens(i) for i in range(start, stop)]
        writer.append(
            {c: v[start:stop] for c, v in columns.items()},
            {tap: TapBlock(values, counts), tap + SUFFIX: TapBlock(found, counts)},
            class_index=None if classes is None else classes[start:stop],
            thumbnails=[source.thumbnail(i) for i in range(start, stop)],
            tokens=None if all(t is None for t in tokens) else [t or [] for t in tokens],
        )
