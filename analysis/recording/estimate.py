"""The cost of a recording beforehand, by recording its first batches into a scratch store."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from analysis.recording.batches import run_batch
from analysis.recording.choosing import DEFAULT
from analysis.recording.cost import BATCHES, RecordingCost, Seen, cost_of
from analysis.recording.hooks import Taps
from analysis.recording.plan import Plan, make_plan
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter


def estimate(
    loaded,
    data,
    taps: str | Iterable[str] = DEFAULT,
    *,
    tokens: str = "mean",
    batch: int = 32,
    dtype: str = "float16",
    limit: int | None = None,
    directory=None,
    resume: bool = False,
    seed: int = 0,
) -> RecordingCost:
    """Record one or two batches into a scratch store, and extrapolate. Costs these batches' time.

    `directory` is where the store would go: its disk is asked for free space. With `resume`, where an interrupted
    store lies there, the cost is that of what is left of it. Raises what `make_plan` raises; NotFound, StoreDamaged
    for a store that cannot be resumed.
    """
    plan = make_plan(loaded, data, taps, tokens=tokens, batch=batch, dtype=dtype, limit=limit, seed=seed)
    total = len(data) if limit is None else min(limit, len(data))
    finished = _finished(directory) if resume else 0
    if finished >= total:
        return RecordingCost(
            0, 0.0, 0.0, 0, 0, dict.fromkeys((s.name for s in plan.specs), 0), finished=total
        )
    seen = _seen(loaded, data, plan, range(finished, min(total, finished + BATCHES * batch), batch), total)
    return cost_of(plan, seen, total, finished, directory)


def _finished(directory) -> int:
    """Samples of the store there that need not be recorded again."""
    if directory is None or not (Path(directory) / "manifest.json").exists():
        return 0
    return Store.open(directory).n_samples


def _seen(loaded, data, plan: Plan, starts: range, total: int) -> Seen:
    """What recording the batches at `starts` shows."""
    seen, seed = Seen(), plan.settings["seed"]
    with tempfile.TemporaryDirectory(prefix="loupe-estimate-") as scratch:
        writer = StoreWriter.create(
            Path(scratch) / "store", name="estimate", taps=plan.specs, checkpoint={}, data={}, settings={},
            classes=plan.classes.names, n_expected=total,
        )  # fmt: skip
        with writer, Taps(loaded.module, plan.hooked) as hooks:
            for start in starts:
                began = time.perf_counter()
                b = run_batch(loaded, data, plan, hooks, start, min(start + starts.step, total), seed=seed)
                b.append_to(writer)
                seen.add(b, time.perf_counter() - began)
    return seen
