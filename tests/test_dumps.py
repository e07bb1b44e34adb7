"""Dumps of activations: every format gives the same numbers in any chunks, and what disagrees is refused."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from analysis.errors import Cancelled, InputError, NotFound, ParameterError, ShapeError
from analysis.recording.import_dump import import_dump
from analysis.sources.dumps import open_dump

X = np.random.default_rng(0).standard_normal((37, 5)).astype(np.float32)
LABELS = np.arange(37) % 3


def write_list_column(path, x, kind=None):
    values = (
        pa.array(list(x))
        if kind is None
        else pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), x.shape[1])
    )
    parquet.write_table(pa.table({"vector": values, "label": LABELS}), path, row_group_size=10)


def write_tsv(folder, x, labels=LABELS):
    folder.mkdir(exist_ok=True)
    (folder / "tensors.tsv").write_text("\n".join("\t".join(map(repr, row)) for row in x.tolist()) + "\n")
    (folder / "metadata.tsv").write_text("\n".join(map(str, labels)) + "\n")


FORMATS = {
    "npy": lambda p: np.save(p / "d.npy", X) or p / "d.npy",
    "fortran npy": lambda p: np.save(p / "d.npy", np.asfortranarray(X)) or p / "d.npy",
    "npz": lambda p: np.savez(p / "d.npz", tap=X, label=LABELS) or p / "d.npz",
    "compressed npz": lambda p: np.savez_compressed(p / "d.npz", tap=X, label=LABELS) or p / "d.npz",
    "safetensors": lambda p: (
        save_file({"tap": X, "label": LABELS}, p / "d.safetensors") or p / "d.safetensors"
    ),
    "parquet columns": lambda p: (
        parquet.write_table(
            pa.table({**{f"u{j}": X[:, j] for j in range(5)}, "label": LABELS}),
            p / "d.parquet",
            row_group_size=8,
        )
        or p / "d.parquet"
    ),
    "parquet list": lambda p: write_list_column(p / "d.parquet", X) or p / "d.parquet",
    "parquet fixed list": lambda p: write_list_column(p / "d.parquet", X, "fixed") or p / "d.parquet",
    "projector folder": lambda p: write_tsv(p / "log", X) or p / "log",
    "projector file": lambda p: write_tsv(p / "log", X) or p / "log" / "tensors.tsv",
}


def rows(dump, samples=None):
    """All rows of the only tap."""
    [name] = dump.taps
    return np.concatenate([chunk.values[name] for chunk in dump.chunks(samples)])


@pytest.mark.parametrize("samples", [1, 10, 37, 1000, None])
@pytest.mark.parametrize("how", FORMATS)
def test_every_format_in_any_chunks(tmp_path, how, samples):
    dump = open_dump(FORMATS[how](tmp_path))
    assert len(dump) == 37
    np.testing.assert_array_equal(rows(dump, samples), X)
    if "npy" not in how:
        assert dump.classes == ("0", "1", "2")
        assert dump.labels.tolist() == LABELS.tolist()
        assert "taken as the label" in dump.describe()


@pytest.mark.parametrize("how", ["npy", "parquet list", "projector folder"])
def test_into_a_store(tmp_path, how):
    np.save(tmp_path / "labels.npy", LABELS)
    dump = open_dump(FORMATS[how](tmp_path), labels=tmp_path / "labels.npy")
    said = []
    store = import_dump(
        dump, tmp_path / "store", name="dumped", samples=10, progress=lambda f, d: said.append((f, d))
    )
    [tap] = store.taps
    np.testing.assert_array_equal(store.activations(tap).take(np.arange(37)), X)
    assert store.complete
    assert store.classes == ("0", "1", "2")
    assert store.samples["label"].tolist() == [str(v) for v in LABELS]
    assert store.samples["id"].tolist() == [str(i) for i in range(37)]
    assert store.manifest["checkpoint"]["kind"] == "dump"
    assert store.manifest["data"]["digest"] == dump.digest
    assert said[-1] == (1.0, "37 of 37 samples")


def test_a_cancelled_import_resumes(tmp_path):
    dump = open_dump(FORMATS["npz"](tmp_path))

    def stop(fraction, doing):
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        import_dump(dump, tmp_path / "store", name="d", samples=10, progress=stop)
    store = import_dump(dump, tmp_path / "store", name="d", samples=7, resume=True)
    np.testing.assert_array_equal(store.activations("tap").take(np.arange(37)), X)


def test_tokens_and_image_positions(tmp_path, rng):
    three = rng.standard_normal((6, 4, 3)).astype(np.float32)
    four = rng.standard_normal((6, 3, 2, 5)).astype(np.float32)
    np.savez(tmp_path / "d.npz", three=three, four=four)
    dump = open_dump(tmp_path / "d.npz")
    [chunk] = dump.chunks()
    np.testing.assert_array_equal(chunk.values["three"].reshape(6, 4, 3), three)
    np.testing.assert_array_equal(chunk.values["four"].reshape(6, 2, 5, 3), four.transpose(0, 2, 3, 1))
    assert dump.taps["four"].grid == (2, 5)
    assert "10 positions (2 x 5) of 3 units" in dump.describe()
    store = import_dump(dump, tmp_path / "store", name="d")
    assert store.activations("three").shape == (24, 3)
    assert store.activations("four").layout.grid == (2, 5)
    means = open_dump(tmp_path / "d.npz", tokens="mean")
    [chunk] = means.chunks()
    np.testing.assert_allclose(chunk.values["four"], four.mean(axis=(2, 3)), atol=1e-6)
    last = open_dump(tmp_path / "d.npz", arrays=["four"], channels="last")
    assert (last.taps["four"].n_units, last.taps["four"].grid) == (5, (3, 2))


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [("float16", "float16"), ("float32", "float32"), ("float64", "float32"), ("int16", "float32")],
)
def test_types(tmp_path, dtype, stored):
    x = (X * 100).astype(dtype)
    np.save(tmp_path / "d.npy", x)
    store = import_dump(open_dump(tmp_path / "d.npy"), tmp_path / "store", name="d")
    assert store.taps["d"].dtype == stored
    np.testing.assert_array_equal(store.activations("d").take(np.arange(37)), x.astype(stored))
    assert any("float64" in p for p in store.problems) == (dtype == "float64")


def test_bfloat16(tmp_path):
    save_torch({"tap": torch.from_numpy(X).bfloat16()}, tmp_path / "d.safetensors")
    np.testing.assert_array_equal(
        rows(open_dump(tmp_path / "d.safetensors"), 7), torch.from_numpy(X).bfloat16().float()
    )


def test_unit_names_of_parquet(tmp_path):
    store = import_dump(open_dump(FORMATS["parquet columns"](tmp_path)), tmp_path / "store", name="d")
    assert store.taps["d"].unit_names == ("u0", "u1", "u2", "u3", "u4")
    dump = open_dump(tmp_path / "d.parquet", units=["u3", "u1"])
    np.testing.assert_array_equal(rows(dump), X[:, [3, 1]])
    assert set(dump.columns) == {"u0", "u2", "u4"}
    with pytest.raises(NotFound, match="no column 'u9'"):
        open_dump(tmp_path / "d.parquet", units=["u9"])


def test_projector_metadata_with_a_header(tmp_path):
    write_tsv(tmp_path, X)
    lines = ["word\tlabel", *(f"w{i}\t{i % 2}" for i in range(37))]
    (tmp_path / "metadata.tsv").write_text("\r\n".join(lines))
    dump = open_dump(tmp_path, id="word")
    assert dump.ids[:2].tolist() == ["w0", "w1"]
    assert dump.classes == ("0", "1")
    (tmp_path / "metadata.tsv").write_text("word\tlabel\nw0\t1\nw1\n")
    with pytest.raises(ShapeError, match=r"line 3 of .*metadata\.tsv has 1 fields"):
        open_dump(tmp_path)


def test_metadata_beside_a_dump(tmp_path):
    (tmp_path / "about.csv").write_text("name,score\n" + "".join(f"n{i},{i}\n" for i in range(37)))
    dump = open_dump(FORMATS["npy"](tmp_path), metadata=tmp_path / "about.csv", id="name")
    assert dump.ids[3] == "n3"
    assert dump.columns["score"].tolist() == list(range(37))
    with pytest.raises(NotFound, match="no metadata column 'nome'"):
        open_dump(tmp_path / "d.npy", metadata=tmp_path / "about.csv", id="nome")
    (tmp_path / "about.csv").write_text("name\n" + "n\n" * 37)
    with pytest.raises(InputError, match=r"1 ids more than once \('n'\)"):
        open_dump(tmp_path / "d.npy", metadata=tmp_path / "about.csv", id="name")
    (tmp_path / "about.csv").write_text("name\nn\n")
    with pytest.raises(ShapeError, match="1 rows for 37 samples"):
        open_dump(tmp_path / "d.npy", metadata=tmp_path / "about.csv")


class TestDisagreement:
    def test_labels_and_rows(self, tmp_path):
        np.savez(tmp_path / "d.npz", tap=X, label=LABELS[:-1])
        with pytest.raises(ShapeError, match=r"'label' of .* has 36 entries for 37 samples"):
            open_dump(tmp_path / "d.npz")
        np.save(tmp_path / "labels.npy", LABELS[:-1])
        with pytest.raises(ShapeError, match="36 labels for 37 samples"):
            open_dump(FORMATS["npy"](tmp_path), labels=tmp_path / "labels.npy")
        write_tsv(tmp_path, X, LABELS[:-1])
        with pytest.raises(ShapeError, match="36 entries for 37"):
            open_dump(tmp_path)

    @pytest.mark.parametrize(
        "save", [np.savez, lambda path, **kw: save_file(kw, path)], ids=["npz", "safetensors"]
    )
    def test_several_arrays(self, tmp_path, save):
        path = tmp_path / ("d.npz" if save is np.savez else "d.safetensors")
        save(path, first=X, second=X[:-1])
        with pytest.raises(ShapeError, match="different lengths: first 37, second 36"):
            open_dump(path)
        assert len(open_dump(path, arrays=["second"])) == 36

    def test_a_ragged_list_column(self, tmp_path):
        lists = [list(map(float, row)) for row in X]
        lists[20] = lists[20][:3]
        parquet.write_table(pa.table({"v": lists}), tmp_path / "d.parquet")
        with pytest.raises(ShapeError, match=r"row 20 of .* has 3 values"):
            rows(open_dump(tmp_path / "d.parquet"), 8)
        lists[20] = None
        parquet.write_table(pa.table({"v": lists}), tmp_path / "d.parquet")
        with pytest.raises(ShapeError, match=r"row 20 of .* has no list"):
            rows(open_dump(tmp_path / "d.parquet"), 8)

    def test_a_ragged_line(self, tmp_path):
        write_tsv(tmp_path, X)
        text = (tmp_path / "tensors.tsv").read_text().split("\n")
        text[11] += "\t1.0"
        (tmp_path / "tensors.tsv").write_text("\n".join(text))
        with pytest.raises(ShapeError, match=r"line 12 of .* has 6 numbers"):
            rows(open_dump(tmp_path))

    def test_a_header_where_none_belongs(self, tmp_path):
        (tmp_path / "tensors.tsv").write_text("x\ty\n1\t2\n")
        with pytest.raises(InputError, match=r"line 1 of .* holds text"):
            rows(open_dump(tmp_path))


class TestUseless:
    @pytest.mark.parametrize("name", ["d.npy", "d.npz", "d.safetensors", "d.parquet", "tensors.tsv"])
    def test_empty_files(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(InputError, match="0 bytes"):
            open_dump(tmp_path / name)

    @pytest.mark.parametrize("how", [h for h in FORMATS if "projector" not in h])
    @pytest.mark.parametrize("share", [0.3, 0.8])
    def test_truncated_files(self, tmp_path, how, share):
        path = FORMATS[how](tmp_path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(InputError):
            rows(open_dump(path))

    def test_damage_is_noticed_while_streaming(self, tmp_path, rng):
        np.savez(tmp_path / "d.npz", tap=rng.standard_normal((500, 50)))
        data = bytearray((tmp_path / "d.npz").read_bytes())
        data[100_000] ^= 1
        (tmp_path / "d.npz").write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            rows(open_dump(tmp_path / "d.npz"), 50)

    @pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5, 6), (0, 4), (4, 0)])
    def test_shapes(self, tmp_path, shape):
        np.save(tmp_path / "d.npy", np.ones(shape))
        with pytest.raises(ShapeError):
            open_dump(tmp_path / "d.npy")

    def test_texts(self, tmp_path):
        np.save(tmp_path / "d.npy", np.array([["a", "b"]]))
        with pytest.raises(ShapeError, match="an array"):
            open_dump(tmp_path / "d.npy")

    def test_unknown_names_and_choices(self, tmp_path):
        path = FORMATS["npz"](tmp_path)
        with pytest.raises(NotFound, match="no array 'tip'"):
            open_dump(path, arrays=["tip"])
        with pytest.raises(ParameterError, match="all or mean"):
            open_dump(path, tokens="some")
        with pytest.raises(ParameterError, match="first or last"):
            open_dump(path, channels="middle")
        with pytest.raises(NotFound, match="no dump"):
            open_dump(tmp_path / "nowhere.npy")
        with pytest.raises(NotFound, match=r"no tensors\.tsv"):
            open_dump(tmp_path)
        (tmp_path / "d.h5").write_bytes(b"\x89HDF\r\n\x1a\n12345678")
        with pytest.raises(InputError, match="no known dump format"):
            open_dump(tmp_path / "d.h5")

    def test_fortran_order_in_an_archive(self, tmp_path):
        np.savez(tmp_path / "d.npz", tap=np.asfortranarray(X))
        with pytest.raises(InputError, match="Fortran"):
            open_dump(tmp_path / "d.npz")


def test_one_sample(tmp_path):
    np.save(tmp_path / "d.npy", X[:1])
    assert import_dump(open_dump(tmp_path / "d.npy"), tmp_path / "store", name="d").n_samples == 1


def test_missing_values_arrive(tmp_path):
    x = X.copy()
    x[3, 2] = np.nan
    np.save(tmp_path / "d.npy", x)
    store = import_dump(open_dump(tmp_path / "d.npy"), tmp_path / "store", name="d")
    assert np.isnan(store.activations("d").take([3])[0, 2])


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors", "parquet"])
def test_never_whole_in_memory(tmp_path, suffix):
    """64 MB of activations through chunks of 1 MB: the peak of NumPy and of pyarrow stays a few chunks."""
    x = np.zeros((16_000, 1000), np.float32)
    path = tmp_path / f"d.{suffix}"
    if suffix == "npy":
        np.save(path, x)
    elif suffix == "npz":
        np.savez(path, tap=x)
    elif suffix == "safetensors":
        save_file({"tap": x}, path)
    else:
        lists = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 1000)
        parquet.write_table(pa.table({"v": lists}), path, row_group_size=250)
    del x
    dump = open_dump(path)
    arrow = pa.default_memory_pool()
    before = arrow.bytes_allocated()
    largest = n = 0
    tracemalloc.start()
    try:
        for chunk in dump.chunks(250):
            n += len(next(iter(chunk.values.values())))
            largest = max(largest, arrow.bytes_allocated() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n == 16_000
    assert peak < 8e6
    assert largest < 16e6


def test_the_digest_follows_values_and_labels(tmp_path):
    path = FORMATS["npy"](tmp_path)
    np.save(tmp_path / "labels.npy", LABELS)
    first = open_dump(path).digest
    assert open_dump(path).digest == first
    assert open_dump(path, labels=tmp_path / "labels.npy").digest != first
    np.save(path, X + 1)
    assert open_dump(path).digest != first
