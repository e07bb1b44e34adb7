"""Encoded taps: kept beside a store, with the index that the same values have when they are kept densely."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from analysis.errors import InputError, NotFound, ShapeError
from analysis.store import correlation, encoded, frequent_units, sparse_index, sparse_shards
from analysis.store.encoded import EncodedWriter, remove_encoded
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store

N, UNITS = 90, 9
TOKENS = np.random.default_rng(1).integers(1, 9, N)
ROWS = int(TOKENS.sum())


def codes(kind="positive", seed=0):
    """(rows, 9): one unit never fires, one nearly always, one has ties, one fires in three rows only."""
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((ROWS, UNITS)) < 0.3, rng.gamma(2.0, size=(ROWS, UNITS)), 0)
    x[:, 0] = 0
    x[:, 1] = np.where(rng.random(ROWS) < 0.97, 1 + rng.random(ROWS), 0)
    x[:, 2] = (rng.random(ROWS) < 0.5) * 2.0
    x[:, 3] = 0
    x[[5, 50, 200], 3] = 1, 3, 2
    if kind == "signed":
        x[:, 4:7] *= rng.choice([-1, 1], (ROWS, 3))
        x[:, 8] = -x[:, 8]
    return x.astype(np.float32)


@pytest.fixture(params=[False, True], ids=["column", "files"])
def store(tmp_path, request, monkeypatch):
    """A store with one tap of tokens; `files`: its dense twin keeps the files of a long tap."""
    if request.param:
        monkeypatch.setattr("analysis.store.index_files.SHORT_ROWS", 0)
    labels = np.random.default_rng(2).integers(-1, 3, N)
    made = write_store(
        tmp_path / "s", name="s", labels=labels, classes=("a", "b", "c"),
        taps={"x": np.split(np.random.default_rng(3).standard_normal((ROWS, 4)).astype(np.float32),
                            np.cumsum(TOKENS)[:-1])},
    )  # fmt: skip
    yield made
    shutil.rmtree(tmp_path / "s")


def write(store, x, name="x@set", gaps=(), step=60, about=None):
    spec = TapSpec(name, x.shape[1], "float32", "all")
    with EncodedWriter(store, "x", spec, about or {"name": "set", "digest": "f"}) as writer:
        for start in range(0, len(x), step):
            part = x[start : start + step]
            rows, units = np.nonzero(part)
            own = [g - start for g in gaps if start <= g < start + len(part)]
            writer.append(np.bincount(rows, minlength=len(part)), units, part[rows, units], own)
        writer.finish()
    return Store.open(store.path)


def dense_twin(tmp_path, store, x, gaps=()):
    x = x.copy()
    x[list(gaps)] = np.nan
    return write_store(
        tmp_path / "twin", name="twin", taps={"x@set": np.split(x, np.cumsum(TOKENS)[:-1])},
        labels=store.class_index, classes=store.classes,
    )  # fmt: skip


@pytest.mark.parametrize("gaps", [(), (0, 7, 8, 300)], ids=["whole", "gaps"])
@pytest.mark.parametrize("kind", ["positive", "signed"])
def test_the_index_is_that_of_the_same_values_kept_densely(tmp_path, store, kind, gaps, monkeypatch):
    monkeypatch.setattr(sparse_shards, "SHARD_ROWS", 100)
    monkeypatch.setattr(encoded, "SHARD_ROWS", 100)
    monkeypatch.setattr(sparse_index, "BLOCK_ENTRIES", 150)
    x = codes(kind)
    x[list(gaps)] = 0
    sparse = write(store, x, gaps=gaps)
    twin = dense_twin(tmp_path, store, x, gaps)
    assert len(sparse.shards("x@set")) > 2
    ours, known = sparse.index("x@set"), twin.index("x@set")
    for name, column in known.table().items():
        close = (
            {"rtol": 0.07, "atol": 1e-6} if name.startswith(("q", "median")) else {"rtol": 1e-9, "atol": 1e-9}
        )
        np.testing.assert_allclose(ours.table()[name], column, err_msg=name, **close)
    for unit in range(UNITS):
        rows, values = known.top(unit)
        np.testing.assert_array_equal(ours.top(unit)[0], rows)
        np.testing.assert_array_equal(ours.top(unit)[1], values)
        for a, b in zip(ours.histogram(unit), known.histogram(unit), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(ours.classes(unit)[1:], known.classes(unit)[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(ours.quantile(unit, [0, 1]), known.quantile(unit, [0, 1]))
        np.testing.assert_allclose(
            ours.quantile(unit, [0.3, 0.9]), known.quantile(unit, [0.3, 0.9]), rtol=0.07
        )
        np.testing.assert_array_equal(
            sparse.activations("x@set").unit(unit), twin.activations("x@set").unit(unit)
        )


def test_features_that_fire_often_are_read_from_files_of_their_own(tmp_path, store, monkeypatch):
    for module in (sparse_shards, encoded):
        monkeypatch.setattr(module, "SHARD_ROWS", 100)
    monkeypatch.setattr(frequent_units, "FREQUENT", 150)
    monkeypatch.setattr(sparse_shards, "NEAR", 3)
    x, gaps = codes("signed"), (0, 7, 8, 300)
    x[list(gaps)] = 0
    sparse, known = write(store, x, gaps=gaps), dense_twin(tmp_path, store, x, gaps).index("x@set")
    ours, tap = sparse.index("x@set"), sparse.activations("x@set")
    frequent = np.flatnonzero((x != 0).sum(axis=0) >= 150)
    assert [u for u in range(UNITS) if ours.is_frequent(u)] == frequent.tolist() != []
    monkeypatch.setattr(ours._units, "entries", None)  # nothing below may read them
    for unit in frequent.tolist():
        for a, b in zip(ours.top(unit), known.top(unit), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(ours.classes(unit)[1:], known.classes(unit)[1:], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(ours.quantile(unit, 0.3), known.quantile(unit, 0.3), rtol=0.07)
        assert [(b.low, b.high, b.n) for b in ours.bands(unit)][:1] == [
            (b.low, b.high, b.n) for b in known.bands(unit)
        ][:1]
        samples = np.repeat(np.arange(N), TOKENS)[x[:, unit] != 0]
        assert ours.active_samples(unit) == len(np.unique(samples))
        assert ours.histogram_of_entries(unit, 8)[1].sum() == (x[:, unit] != 0).sum()
        whole = tap.unit(unit)
        for start, stop in ((0, 12), (95, 130), (ROWS - 20, ROWS), (50, 51)):
            np.testing.assert_array_equal(tap.piece(unit, start, stop), whole[start:stop])


def test_correlated_features_are_those_of_the_same_values_kept_densely(tmp_path, store):
    x, gaps = codes("signed"), (0, 7)
    x[list(gaps)] = 0
    ours, known = (
        s.index("x@set") for s in (write(store, x, gaps=gaps), dense_twin(tmp_path, store, x, gaps))
    )
    assert ours.correlated(0) == known.correlated(0) == []
    for unit in (1, 4):
        expected = [line for line in known.correlated(unit, UNITS) if line[0] == "x@set"]
        found = {line[1]: line for line in ours.correlated(unit, 2 * UNITS) if line[0] == "x@set"}
        for _, j, r, _, _, n in expected:
            assert found[j][2] == pytest.approx(r, abs=1e-9)
            assert (
                found[j][5]
                == n
                == N - len({int(np.searchsorted(np.cumsum(TOKENS), g, side="right")) for g in gaps})
            )


def test_quantiles_are_exact(store):
    x = codes("signed")
    table = write(store, x).index("x@set").table()
    for name, q in (("q05", 0.05), ("median", 0.5), ("q95", 0.95)):
        expected = np.quantile(x.astype(np.float64), q, axis=0, method="inverted_cdf")
        np.testing.assert_array_equal(table[name], expected)


def test_bands_show_rows_that_lie_in_them_and_count_every_row(tmp_path, store):
    x = codes()
    ours = write(store, x).index("x@set")
    known = dense_twin(tmp_path, store, x).index("x@set")
    for unit in range(UNITS):
        bands = ours.bands(unit)
        for band, twin in zip(bands, known.bands(unit), strict=True):
            assert (band.low, band.high) == (twin.low, twin.high)
            np.testing.assert_array_equal(x[band.rows, unit], band.values)
        if bands:
            assert sum(b.n for b in bands) == ROWS - len(ours.top(unit)[0])


def test_the_sketch_estimates_correlations_as_that_of_a_dense_tap(tmp_path, store, monkeypatch):
    for place in ("analysis.store.encoded", "analysis.store.index_files", "analysis.store.finishing"):
        monkeypatch.setattr(f"{place}.EXACT_VALUES", 0, raising=False)
    x = codes()
    found = write(store, x)
    twin = dense_twin(tmp_path, store, x)
    ours = np.load(found.folder("x@set") / "index" / "sketch.npy").astype(float)
    dense = twin.folder("x@set") / "index" / "sketch.npy"
    if not dense.exists():
        from analysis.store.rebuilding import summarise_tap

        known = summarise_tap(twin, "x@set").finish().sketch.astype(float)
    else:
        known = np.load(dense).astype(float)
    assert np.abs(ours - known).max() <= 1


def test_a_store_is_as_it_was(store):
    before, digest = (store.path / "manifest.json").read_bytes(), store.digest
    found = write(store, codes())
    assert (store.path / "manifest.json").read_bytes() == before
    assert found.digest == digest
    assert list(found.recorded) == ["x"]
    assert list(found.taps) == ["x", "x@set"]
    assert found.verify() == []
    assert found.entry("x@set")["feature_set"]["name"] == "set"
    np.testing.assert_array_equal(found.layout("x@set").offsets, store.layout("x").offsets)
    remove_encoded(found, "x@set")
    assert list(Store.open(store.path).taps) == ["x"]
    with pytest.raises(InputError, match="was recorded"):
        remove_encoded(store, "x")


def test_damage_is_found_and_named(store):
    found = write(store, codes())
    shard = found.shards("x@set")[0].path
    data = bytearray(shard.read_bytes())
    data[-5] ^= 1
    shard.write_bytes(data)
    assert any("000000.codes" in line for line in found.verify())
    about = json.loads((found.folder("x@set") / "manifest.json").read_text())
    about["n_rows"] += 1
    (found.folder("x@set") / "manifest.json").write_text(json.dumps(about))
    assert list(Store.open(store.path).taps) == ["x"]


def test_what_does_not_fit_is_refused_and_leaves_nothing(store):
    x = codes()
    with pytest.raises(ShapeError, match="rows encoded"):
        write(store, x[:-1])
    with pytest.raises(InputError, match="not finite"):
        write(store, np.where(x > 3, np.inf, x))
    with pytest.raises(NotFound):
        EncodedWriter(store, "y", TapSpec("z", 3), {})
    spec = TapSpec("x@set", 2, "float32", "all")
    with EncodedWriter(store, "x", spec, {}) as writer, pytest.raises(InputError, match="unit 2"):
        writer.append([1], [2], [1.0])
    assert list((store.path / "features").iterdir()) == []
    found = write(store, x)
    with pytest.raises(InputError, match="already"):
        write(found, x)


KILLED = """
import os, sys
from analysis.store.encoded import EncodedWriter
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store

writer = EncodedWriter(Store.open(sys.argv[1]), "x", TapSpec("x@killed", 9, "float32", "all"), {"name": "k"})
writer.append([1] * 50, [2] * 50, [1.0] * 50)
writer._write_shard()
os._exit(9)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_one_at_work_is_not(store):
    place, x = store.path / "features", codes()
    done = write(store, x, "x@done")
    subprocess.run([sys.executable, "-c", KILLED, str(store.path)], check=False, timeout=60)
    left = {p.name for p in place.iterdir()} - {done.folder("x@done").name}
    assert len(left) == 1
    assert list(Store.open(store.path).taps) == ["x", "x@done"]
    with EncodedWriter(store, "x", TapSpec("x@slow", UNITS, "float32", "all"), {}) as slow:
        assert not left & {p.name for p in place.iterdir()}
        found = write(store, x, "x@killed")
        assert slow.folder.exists()
    assert list(found.taps) == ["x", "x@done", "x@killed"]
    assert {p.name for p in place.iterdir()} == {found.folder(t).name for t in ("x@done", "x@killed")}


@pytest.mark.parametrize("gaps", [(), (0, 7, 8, 300)], ids=["whole", "gaps"])
def test_means_of_samples_are_those_of_the_same_values_kept_densely(tmp_path, store, gaps, monkeypatch):
    for module in (sparse_shards, encoded):
        monkeypatch.setattr(module, "SHARD_ROWS", 100)
    x = codes("signed")
    x[list(gaps)] = 0
    sparse, twin = write(store, x, gaps=gaps), dense_twin(tmp_path, store, x, gaps)
    np.testing.assert_allclose(
        correlation._standardised(sparse, "x@set"), correlation._standardised(twin, "x@set"), atol=2e-7
    )


def test_correlations_from_memory_are_those_of_the_columns(tmp_path, store):
    """Columns without gaps are not read; one with a gap is, since its pairs are fewer."""
    x = codes("signed")
    x[0, 4] = np.nan
    twin = write_store(
        tmp_path / "twin", name="twin", taps={"x@set": np.split(x, np.cumsum(TOKENS)[:-1])}
    )  # fmt: skip
    means = np.stack([part.mean(axis=0) for part in np.split(x.astype(np.float64), np.cumsum(TOKENS)[:-1])])
    for unit in (1, 2, 4):
        found = twin.index("x@set").correlated(unit, 5)
        assert len(found) == 5
        for _, other, r, _, _, n in found:
            both = np.isfinite(means[:, [unit, other]]).all(axis=1)
            assert n == both.sum() == N - (4 in (unit, other))
            assert r == pytest.approx(np.corrcoef(means[both][:, [unit, other]].T)[0, 1], abs=2e-7)
