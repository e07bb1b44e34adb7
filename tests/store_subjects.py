"""A store of ragged tokens and pooled rows, written batch by batch: what tests of writing and resuming share."""

from __future__ import annotations

import numpy as np

from analysis.store.manifest import TapSpec
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

TAPS = (TapSpec("a.pooled", 12, "float16"), TapSpec("b/tokens", 5, "float32", tokens="all"))
BATCH = 300


def batch_of(k: int):
    """Batch k, always the same: pooled rows, ragged tokens, columns, classes, thumbnails, token texts."""
    rng = np.random.default_rng(k)
    counts = rng.integers(0, 9, BATCH)
    rows = rng.normal(size=(int(counts.sum()), 5)).astype(np.float32)
    ids = [f"s{k * BATCH + i}" for i in range(BATCH)]
    return {
        "samples": {
            "id": ids,
            "loss": rng.random(BATCH),
            "note": ["ü" if i % 2 else None for i in range(BATCH)],
        },
        "taps": {
            "a.pooled": TapBlock(rng.normal(size=(BATCH, 12)).astype(np.float32)),
            "b/tokens": TapBlock(rows, counts),
        },
        "class_index": rng.integers(-1, 3, BATCH),
        "thumbnails": [f"png {i}".encode() for i in ids],
        "tokens": [[f"t{j}" for j in range(c)] for c in counts],
    }


def create(path) -> StoreWriter:
    return StoreWriter.create(
        path, name="w", taps=TAPS, classes=("x", "y", "z"), settings={"seed": 5}, n_expected=9000
    )


def write(writer: StoreWriter, batches: int) -> None:
    for k in range(writer.finished_batches, batches):
        batch = batch_of(k)
        writer.append(batch.pop("samples"), batch.pop("taps"), **batch)


def whole(folder) -> Store:
    """All batches, written without a break."""
    with create(folder / "w") as writer:
        write(writer, 30)
        return writer.finish()


def assert_equal(store: Store, reference: Store) -> None:
    files = [sorted(str(f.relative_to(s.path)) for f in s.path.rglob("*")) for s in (store, reference)]
    assert files[0] == files[1]  # nothing half-made is left behind
    assert store.digest == reference.digest
    assert store.verify() == []
    for tap in store.taps:
        for name in ("layout", "class_index"):
            a, b = (getattr(s, name) for s in (store, reference))
            a, b = (a(tap).offsets, b(tap).offsets) if name == "layout" else (a, b)
            np.testing.assert_array_equal(a, b)
        for f in sorted((reference.folder(tap) / "index").iterdir()):
            assert f.read_bytes() == (store.folder(tap) / "index" / f.name).read_bytes(), f.name
    assert store.tokens(1234) == reference.tokens(1234)
    assert store.thumbnail(8999) == b"png s8999"
