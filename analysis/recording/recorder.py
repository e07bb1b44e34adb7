"""Record: a network and data into a store, in one streaming pass.

Memory is a few batches, whatever the number of samples: the forward passes run here, one thread behind them
writes. A killed recording is taken up at the first batch that was not finished.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from analysis.errors import Cancelled, TooLarge
from analysis.recording.batches import Batch, run_batch
from analysis.recording.behind import Behind
from analysis.recording.choosing import DEFAULT
from analysis.recording.cost import Forecast, RecordingCost
from analysis.recording.hooks import Taps
from analysis.recording.origin import (
    beforehand,
    checkpoint_entry,
    data_entry,
    note_once,
    refuse_other,
    said_of_cuts,
)
from analysis.recording.pace import Pace
from analysis.recording.plan import Plan, make_plan
from analysis.spec import Progress, no_progress
from analysis.store.manifest import read as read_manifest
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter


def record(
    checkpoint,
    data,
    directory,
    *,
    name: str,
    taps: str | Iterable[str] = DEFAULT,
    tokens: str = "mean",
    batch: int = 32,
    limit: int | None = None,
    dtype: str = "float16",
    resume: bool = False,
    seed: int = 0,
    progress: Progress = no_progress,
    cancelled: Callable[[], bool] | None = None,
    announce: Callable[[RecordingCost], None] | None = None,
    loaded=None,
) -> Store:
    """Record the taps of a network on a data set.

    Parameters
    ----------
    checkpoint : Checkpoint
    data : DataSource
    directory : path
        Of the store; made here.
    name : str
        Of the store.
    taps : names or globs
        See `analysis.recording.choosing`; the default is the network's blocks, what goes into the first and the
        last hidden vector before the head.
    tokens : "all", "mean", "cls", "last" or "spatial-mean"
        See `analysis.recording.pooling`; "name@tokens=cls" says otherwise for one tap.
    batch : int
        Samples per forward pass.
    limit : int, optional
        Only the first so many samples.
    dtype : "float16" or "float32"
        On disk. Finite values that float16 cannot hold (above 65,504), or many that it rounds coarsely (below 6.1e-5),
        are said among the problems of the store.
    resume : bool
        Go on with a store that was interrupted; the same as starting where there is none, and nothing to do
        where it is complete.
    progress : callable
        Gets the fraction and "1,234 of 5,000 samples, 310 samples/s, 12 s left"; may raise Cancelled.
    cancelled : callable, optional
        Asked before each batch; True stops.
    announce : callable, optional
        Gets the cost of what is to be recorded, after two batches.
    loaded : LoadedModel, optional
        The checkpoint, where it is already loaded.

    Returns
    -------
    Store

    Raises
    ------
    Busy
        Another process is recording into `directory`.
    Cancelled
        Stopped on request; finished batches are kept and `resume=True` goes on.
    InputError, NotFound, ParameterError
        See `make_plan`; also when what is to be resumed was recorded from something else.
    TooLarge
        The disk has no room for it, by the first batch. A store begun here is removed.
    """
    directory = Path(directory)
    made_here = not directory.exists()
    loaded = loaded or checkpoint.load()
    loaded.module.eval()
    plan = make_plan(loaded, data, taps, tokens=tokens, batch=batch, dtype=dtype, limit=limit, seed=seed)
    total = len(data) if limit is None else min(limit, len(data))
    if resume and (directory / "manifest.json").exists():
        refuse_other(read_manifest(directory), checkpoint, data, plan)
        if read_manifest(directory).get("complete"):
            return Store.open(directory)
        writer = StoreWriter.resume(directory)
    else:
        entries = {"checkpoint": checkpoint_entry(checkpoint, loaded), "data": data_entry(data)}
        writer = _new(directory, name, plan, entries, total)
    forecast = Forecast(plan, total, writer.finished_samples, directory, announce)
    try:
        with writer:
            note_once(writer, beforehand(data, plan))
            _stream(loaded, data, plan, writer, total, forecast, progress, cancelled)
            if loaded.text_inputs is not None:
                note_once(writer, said_of_cuts(directory, loaded.text_inputs.limit))
            progress(1.0, f"{total:,} samples recorded, finishing the feature index")
            return writer.finish()
    except TooLarge:
        if made_here and not writer.finished_samples:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def _new(directory: Path, name: str, plan: Plan, entries: dict, total: int) -> StoreWriter:
    return StoreWriter.create(
        directory, name=name, taps=plan.specs, settings=plan.settings, classes=plan.classes.names, n_expected=total,
        **entries,
    )  # fmt: skip


def _stream(
    loaded, data, plan: Plan, writer: StoreWriter, total: int, forecast: Forecast, progress: Progress, cancelled
) -> None:  # fmt: skip
    """Everything from the first unfinished sample on, batch by batch, in the data's order."""
    first, batch = writer.finished_samples, plan.settings["batch"]
    pace = Pace(total, first, progress)

    def write(b: Batch) -> None:
        b.append_to(writer)

    with Taps(loaded.module, plan.hooked) as taps, Behind(write) as behind:
        for start in range(first, total, batch):
            pace.at(start)
            if cancelled is not None and cancelled():
                raise Cancelled(
                    f"Stopped at {start:,} of {total:,} samples", "", "Resume to go on from there"
                )
            began, stop = time.perf_counter(), min(start + batch, total)
            b = run_batch(loaded, data, plan, taps, start, stop, seed=plan.settings["seed"])
            forecast.see(b, time.perf_counter() - began)
            behind.put(b)
            del b  # free the batch before the next one is made
    pace.at(total)
