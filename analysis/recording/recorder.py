"""Record: a network and data into a store, in one streaming pass.

Memory is a few batches, whatever the number of samples: the forward passes run here, one thread behind them
writes. A killed recording is taken up at the first batch that was not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from analysis.errors import Cancelled
from analysis.recording.batches import Batch, run_batch
from analysis.recording.behind import Behind
from analysis.recording.choosing import DEFAULT
from analysis.recording.hooks import Taps
from analysis.recording.origin import beforehand, checkpoint_entry, data_entry, note_once, refuse_other
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
    """
    directory = Path(directory)
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
        writer = StoreWriter.create(
            directory, name=name, taps=plan.specs, checkpoint=checkpoint_entry(checkpoint, loaded),
            data=data_entry(data), settings=plan.settings, classes=plan.classes.names, n_expected=total,
        )  # fmt: skip
    with writer:
        note_once(writer, beforehand(data, plan))
        _stream(loaded, data, plan, writer, total, progress, cancelled)
        progress(1.0, f"{total:,} samples recorded, finishing the feature index")
        return writer.finish()


def _stream(loaded, data, plan: Plan, writer: StoreWriter, total: int, progress: Progress, cancelled) -> None:
    """Everything from the first unfinished sample on, batch by batch, in the data's order."""
    first, batch = writer.finished_samples, plan.settings["batch"]
    pace = Pace(total, first, progress)

    def write(b: Batch) -> None:
        writer.append(
            b.samples, b.taps, class_index=b.class_index, thumbnails=b.thumbnails, tokens=b.tokens
        )  # fmt: skip

    with Taps(loaded.module, plan.hooked) as taps, Behind(write) as behind:
        for start in range(first, total, batch):
            pace.at(start)
            if cancelled is not None and cancelled():
                raise Cancelled(
                    f"Stopped at {start:,} of {total:,} samples", "", "Resume to go on from there"
                )
            stop = min(start + batch, total)
            behind.put(run_batch(loaded, data, plan, taps, start, stop, seed=plan.settings["seed"]))
    pace.at(total)
