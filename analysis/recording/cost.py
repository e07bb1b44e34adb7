"""What a recording costs, from its first batches: bytes, seconds, and whether they fit on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.errors import TooLarge
from analysis.recording.batches import Batch
from analysis.recording.pace import duration
from analysis.recording.plan import Plan
from analysis.store.index_files import EXACT_VALUES, SHORT_ROWS

BATCHES = 2  # the first one also pays for warming up, the second is the one to go by
_PER_TAP = 2_000  # bytes of its lines in the manifest, its checksums and the heads of its files
_FILL = 0.95  # of the free space that a recording may take


@dataclass(frozen=True)
class RecordingCost:
    """Before recording.

    bytes : on disk, activations exactly where every sample has as many tokens, with index and sample table.
    seconds, samples_per_second : by the batches that were run. memory : bytes of one batch of taps, about three of
    which are held at once. n_samples, rows : what will be written; rows by tap. free_bytes : where it would go.
    warning : what is wrong with that, in words, "" if nothing is. finished : samples that an interrupted recording
    holds already; nothing else here counts them, but the index, which is written at the end, is that of all samples.
    """

    bytes: int
    seconds: float
    samples_per_second: float
    memory: int
    n_samples: int
    rows: dict[str, int]
    free_bytes: int | None = None
    warning: str = ""
    finished: int = 0

    @property
    def words(self) -> str:
        """For a page: "5,000 samples, 1.2 GB, about 3 min 20 s"."""
        left = f"{self.n_samples:,} of {self.n_samples + self.finished:,} samples left"
        samples = left if self.finished else f"{self.n_samples:,} samples"
        return f"{samples}, {size(self.bytes)}, about {duration(self.seconds)}"


def size(n: float) -> str:
    """Bytes in words."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= step:
            return f"{n / step:.3g} {unit}"
    return f"{n:.0f} bytes"


@dataclass
class Seen:
    """What the first batches said. samples : in them. seconds : per sample, of each batch. rows : by tap. signed : taps
    with a value below 0. extra : bytes of their samples' own. memory : of the largest."""

    samples: int = 0
    seconds: list[float] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    extra: int = 0
    memory: int = 0

    def add(self, batch: Batch, seconds: float) -> None:
        n = batch.stop - batch.start
        self.samples += n
        self.seconds.append(seconds / n)
        self.extra += batch.n_bytes
        self.memory = max(self.memory, sum(block.values.nbytes for block in batch.taps.values()))
        for name, block in batch.taps.items():
            self.rows[name] = self.rows.get(name, 0) + len(block.values)
            if _any_below_zero(block.values):
                self.signed.add(name)


def _any_below_zero(values: np.ndarray) -> bool:
    """By the bits: the sign is the highest one, and -0 the lowest number that has it. NumPy compares float16 slowly."""
    bits = values.view(f"u{values.itemsize}")
    return bool(values.size) and bool(bits.max() > 1 << (8 * values.itemsize - 1))


def cost_of(plan: Plan, seen: Seen, total: int, finished: int, directory: Path | None) -> RecordingCost:
    """The cost of samples finished … total, as `seen` says. `directory` is where they go."""
    left = total - finished
    rows = {name: round(n * left / seen.samples) for name, n in seen.rows.items()}
    item = {"float16": 2, "float32": 4}
    n_bytes = seen.extra * left // seen.samples + _PER_TAP * len(plan.specs)
    for s in plan.specs:
        in_all = round(seen.rows[s.name] * total / seen.samples)
        per_unit = _index_bytes(
            in_all, total * s.n_units, len(plan.classes.names), item[s.dtype], s.name in seen.signed
        )
        n_bytes += s.n_units * (rows[s.name] * item[s.dtype] + per_unit)
    per_sample = min(seen.seconds)
    free, warning = free_bytes(directory), ""
    if free is not None and n_bytes > _FILL * free:
        warning = f"needs {size(n_bytes)}, but only {size(free)} are free: keep fewer taps, tokens or samples"
    return RecordingCost(
        n_bytes, per_sample * left, 1 / per_sample, seen.memory, left, rows, free, warning, finished
    )


def _index_bytes(rows: int, values: int, n_classes: int, item: int, signed: bool) -> int:
    """Bytes of the feature index per unit: the table, and a correlation sketch in large stores; in long taps also,
    for dense units, strongest and sampled rows, slots, quantile buckets, class means. Slots and buckets on both sides
    of 0 are twice as many."""
    n = 150 + (1_024 if values > EXACT_VALUES else 0)
    if rows <= SHORT_ROWS:
        return n
    sides = 2 if signed else 1
    return n + (4 + item) * (64 + sides * 253) + item * 512 + sides * 5 * 250 + 15 * n_classes


def free_bytes(directory: Path | None) -> int | None:
    """Free bytes on the disk of `directory` or of its nearest parent that exists."""
    if directory is None:
        return None
    path = Path(directory).absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


class Forecast:
    """Looks at the first batches of a recording: refuses after the first what the disk cannot hold, and tells
    `announce` the cost after the second."""

    def __init__(
        self, plan: Plan, total: int, finished: int, directory: Path, announce: Callable[[RecordingCost], None] | None
    ) -> None:  # fmt: skip
        self._about, self._announce, self._seen = (plan, total, finished, directory), announce, Seen()
        self._stop, self._done = total, False

    def see(self, batch: Batch, seconds: float) -> None:
        """Raises TooLarge, with the numbers."""
        if self._done:
            return
        self._seen.add(batch, seconds)
        plan, total, finished, directory = self._about
        cost = cost_of(plan, self._seen, total, finished, directory)
        if len(self._seen.seconds) == 1 and cost.warning:
            raise TooLarge(
                f"recording {cost.n_samples:,} samples {cost.warning.partition(':')[0]}",
                "room for all of them",
                "Free some space, or keep fewer taps, tokens or samples",
            )
        self._done = len(self._seen.seconds) >= BATCHES or batch.stop >= total
        if self._done and self._announce is not None:
            self._announce(cost)
