"""A tiny network and small data for the tests of recording; also run as a script in a process that is
killed before its last batch.

python recording_subject.py DIRECTORY LOG SECONDS_PER_BATCH
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

N, BATCH, UNITS = 230, 10, 24


def network():
    import torch
    from torch import nn

    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, UNITS), nn.ReLU(), nn.Linear(UNITS, 3)).eval()


def slow_data(log: Path | None, seconds: float, *, until: int = N):
    """Rows whose reading takes time and is written down in `log`, one line per batch read.

    Reading a batch that ends after sample `until` never returns.
    """
    from analysis.sources.data_source import DataSource

    values = np.random.default_rng(1).normal(size=(N, 6)).astype(np.float32)

    class Slow(DataSource):
        def items(self, start: int, stop: int) -> list:
            if log is not None and stop - start > 1:  # the dry run reads one
                time.sleep(seconds if stop <= until else 3600)
                with open(log, "a") as f:
                    f.write(f"{start} {stop}\n")
            return list(values[start:stop])

        def content(self) -> str:
            return "slow"

    labels = np.arange(N) % 3
    return Slow("array", "slow", Path("."), np.arange(N).astype(str), labels, ("a", "b", "c"))


def rows(values, labels=None, classes=(), **more):
    """A data source of rows in memory."""
    from analysis.sources.data_source import DataSource

    held = np.asarray(values, np.float32)

    class Rows(DataSource):
        def items(self, start: int, stop: int) -> list:
            return list(held[start:stop])

        def content(self) -> str:
            return str(held.sum())

    return Rows("array", "rows", Path("."), np.arange(len(held)), labels, classes, **more)


def values_of(store, tap):
    """All rows of a tap."""
    return store.activations(tap).take(np.arange(store.activations(tap).shape[0]))


def run(directory, log: Path | None, seconds: float = 0.0, *, until: int = N, **options):
    from analysis.recording.recorder import record
    from analysis.sources.checkpoint import open_checkpoint

    settings = {"name": "subject", "taps": ["0", "1"], "batch": BATCH, **options}
    return record(open_checkpoint(network()), slow_data(log, seconds, until=until), directory, **settings)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    run(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), until=N - 1, resume=True)
