"""What a recording will cost, from its first batches: bytes, seconds, and whether they fit on the disk."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from analysis.recording.batches import run_batch
from analysis.recording.choosing import DEFAULT
from analysis.recording.hooks import Taps
from analysis.recording.pace import duration
from analysis.recording.plan import make_plan
from analysis.store.index_files import EXACT_VALUES, SHORT_ROWS
from analysis.store.writer import StoreWriter

PER_TAP = 2_000  # bytes of its lines in the manifest, its checksums and the heads of its files
BATCHES = 2  # the first one also pays for warming up, the second is the one to go by


@dataclass(frozen=True)
class RecordingCost:
    """Before recording.

    bytes : on disk, activations exactly where every sample has as many tokens, with index and sample table.
    seconds, samples_per_second : by the batches that were run. memory : bytes of one batch of taps, about three of
    which are held at once. n_samples, rows : what will be written; rows by tap. free_bytes : where it would go.
    warning : what is wrong with that, in words, "" if nothing is.
    """

    bytes: int
    seconds: float
    samples_per_second: float
    memory: int
    n_samples: int
    rows: dict[str, int]
    free_bytes: int | None = None
    warning: str = ""

    @property
    def words(self) -> str:
        """For a page: "5,000 samples, 1.2 GB, about 3 min 20 s"."""
        return f"{self.n_samples:,} samples, {size(self.bytes)}, about {duration(self.seconds)}"


def size(n: float) -> str:
    """Bytes in words."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= step:
            return f"{n / step:.3g} {unit}"
    return f"{n:.0f} bytes"


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
    seed: int = 0,
) -> RecordingCost:
    """Record the first one or two batches into a scratch store, and extrapolate. Costs these batches' time.

    `directory` is where the store would go: its disk is asked for free space. Raises what `make_plan` raises.
    """
    plan = make_plan(loaded, data, taps, tokens=tokens, batch=batch, dtype=dtype, limit=limit, seed=seed)
    total = len(data) if limit is None else min(limit, len(data))
    seconds, samples, rows, held, extra = [], 0, {}, 0, 0
    with tempfile.TemporaryDirectory(prefix="loupe-estimate-") as scratch:
        writer = StoreWriter.create(
            Path(scratch) / "store", name="estimate", taps=plan.specs, checkpoint={}, data={}, settings={},
            classes=plan.classes.names, n_expected=total,
        )  # fmt: skip
        with writer, Taps(loaded.module, plan.hooked) as hooks:
            for start in range(0, min(total, BATCHES * batch), batch):
                began = time.perf_counter()
                b = run_batch(loaded, data, plan, hooks, start, min(start + batch, total), seed=seed)
                writer.append(
                    b.samples, b.taps, class_index=b.class_index, thumbnails=b.thumbnails, tokens=b.tokens
                )
                seconds.append((time.perf_counter() - began) / (b.stop - b.start))
                samples, extra = b.stop, extra + b.n_bytes
                held = max(held, sum(block.values.nbytes for block in b.taps.values()))
                for name, block in b.taps.items():
                    rows[name] = rows.get(name, 0) + len(block.values)
    rows = {name: round(n * total / samples) for name, n in rows.items()}
    per_sample = min(seconds)
    return _priced(plan, rows, total, per_sample, held, extra * total // samples, directory)


def _priced(
    plan, rows: dict[str, int], total: int, per_sample: float, held: int, extra: int, directory
) -> RecordingCost:
    item = {"float16": 2, "float32": 4}
    activations = sum(rows[s.name] * s.n_units * item[s.dtype] for s in plan.specs)
    index = sum(
        s.n_units * _index_bytes(rows[s.name], total * s.n_units, len(plan.classes.names), item[s.dtype])
        for s in plan.specs
    )
    n_bytes = activations + index + extra + PER_TAP * len(plan.specs)
    free = _free(directory)
    warning = ""
    if free is not None and n_bytes > 0.95 * free:
        warning = f"needs {size(n_bytes)}, but only {size(free)} are free: keep fewer taps, tokens or samples"
    return RecordingCost(n_bytes, per_sample * total, 1 / per_sample, held, total, rows, free, warning)


def _index_bytes(rows: int, values: int, n_classes: int, item: int) -> int:
    """Bytes of the feature index per unit: the table, and a correlation sketch in large stores; in long taps also,
    for dense units (sparse ones need a third), strongest and sampled rows, slots, quantile buckets, class means."""
    n = 150 + (1_024 if values > EXACT_VALUES else 0)
    return n if rows <= SHORT_ROWS else n + (4 + item) * (64 + 506) + item * 512 + 5 * 500 + 15 * n_classes


def _free(directory) -> int | None:
    """Free bytes on the disk of `directory` or of its nearest parent that exists."""
    if directory is None:
        return None
    path = Path(directory).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free
