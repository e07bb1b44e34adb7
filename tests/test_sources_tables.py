"""Tables and arrays as data: which columns, which labels, and what is refused."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.sources.data import open_data

CSV = "a,b,label,place\n1,2.5,cat,here\n3,,dog,there\n5,6.5,cat,\n"


def write(tmp_path, text, name="t.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


class TestTables:
    def test_features_labels_and_metadata(self, tmp_path):
        data = open_data(write(tmp_path, CSV))
        assert data.kind == "table"
        assert data.feature_names == ("a", "b")
        assert data.classes == ("cat", "dog")
        assert data.labels.tolist() == [0, 1, 0]
        assert data.ids.tolist() == ["0", "1", "2"]
        assert data.items(0, 1)[0].dtype == np.float32
        assert data.items(0, 1)[0].tolist() == [1, 2.5]
        assert np.isnan(data.items(1, 2)[0][1])
        assert data.columns["place"].tolist() == ["here", "there", ""]
        said = " ".join(data.notes)
        assert "'label' taken as the label" in said
        assert "1 rows lack a value in b (1)" in said

    def test_missing_rows_can_be_dropped(self, tmp_path):
        data = open_data(write(tmp_path, CSV), missing="drop")
        assert data.labels.tolist() == [0, 0]
        assert data.ids.tolist() == ["0", "2"]  # the numbers of the file
        assert data.skipped == ["row 1: no value in b"]

    def test_columns_in_the_order_asked_for(self, tmp_path):
        data = open_data(write(tmp_path, CSV), columns=["b", "a"], label="place")
        assert data.items(0, 1)[0].tolist() == [2.5, 1]
        assert data.labels.tolist() == [0, 1, -1]
        with pytest.raises(NotFound, match="no feature column 'z'"):
            open_data(write(tmp_path, CSV), columns=["z"])
        with pytest.raises(InputError, match=r"'place' of .* holds text"):
            open_data(write(tmp_path, CSV), columns=["place"])

    def test_missing_label_column(self, tmp_path):
        with pytest.raises(NotFound, match=r"no label column 'klass'.*one of a, b, label, place"):
            open_data(write(tmp_path, CSV), label="klass")

    def test_a_continuous_label(self, tmp_path):
        rows = "\n".join(f"{i},{i * 0.37}" for i in range(30))
        data = open_data(write(tmp_path, "x,y\n" + rows))
        assert data.labels is None
        assert data.classes == ()
        assert data.columns["target"][2] == pytest.approx(0.74)

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    def test_delimiters_and_marks(self, tmp_path, delimiter, encoding):
        path = write(tmp_path, CSV.replace(",", delimiter), encoding=encoding)
        assert open_data(path).feature_names == ("a", "b")

    def test_other_encodings(self, tmp_path):
        path = write(tmp_path, "a,label\n1,café\n2,thé\n", encoding="latin-1")
        with pytest.raises(InputError, match="encoding"):
            open_data(path)
        assert open_data(path, encoding="latin-1").classes == ("café", "thé")
        wide = write(tmp_path, "a,label\n1,café\n2,thé\n", "w.csv", encoding="utf-16")
        assert open_data(wide).classes == ("café", "thé")

    def test_quoted_delimiters(self, tmp_path):
        data = open_data(write(tmp_path, 'text,label\n"one, two",a\n"three\nfour",b\n'))
        assert data.items(0, 2) == ["one, two", "three\nfour"]

    def test_ragged_rows_are_named(self, tmp_path):
        with pytest.raises(InputError, match=r"Row #3.*Expected 2 columns, got 3"):
            open_data(write(tmp_path, "a,b\n1,2\n3,4,5\n"))

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("", "0 bytes"),
            ("a,b\n", "no row"),
            ("a,a\n1,2\n", "more than once"),
            ("name\nx\ny\n", "no numeric column"),
        ],
    )
    def test_useless_tables(self, tmp_path, text, match):
        with pytest.raises(InputError, match=match):
            open_data(write(tmp_path, text))

    def test_binary_named_csv(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(bytes(range(256)))
        with pytest.raises(InputError, match="binary"):
            open_data(tmp_path / "t.csv")

    def test_ids(self, tmp_path):
        path = write(tmp_path, "who,a\nx,1\ny,2\nx,3\n")
        with pytest.raises(InputError, match=r"1 ids more than once \('x'\)"):
            open_data(path, id="who")
        assert open_data(path).ids.tolist() == ["0", "1", "2"]

    def test_one_row(self, tmp_path):
        assert len(open_data(write(tmp_path, "a,b\n1,2\n"))) == 1

    def test_text_columns(self, tmp_path):
        path = write(tmp_path, "text,label,n\nhello,1,5\n ,0,6\nbye,1,7\n")
        data = open_data(path)
        assert data.kind == "text"
        assert data.items(0, 2) == ["hello", "bye"]
        assert data.labels.tolist() == [1, 1]
        assert data.columns["n"].tolist() == [5, 7]
        assert data.skipped == ["row 1: no text in column 'text'"]
        assert open_data(path, columns=["n"]).kind == "table"

    def test_parquet_with_nulls_and_decimals(self, tmp_path):
        from decimal import Decimal

        table = pa.table(
            {"x": [1, None, 3], "yes": [True, False, None], "d": [Decimal("1.5")] * 3, "s": ["a", None, "b"]}
        )
        parquet.write_table(table, tmp_path / "t.parquet")
        data = open_data(tmp_path / "t.parquet", label="s")
        assert data.feature_names == ("x", "yes", "d")
        assert data.labels.tolist() == [0, -1, 1]
        assert np.isnan(data.items(1, 2)[0]).tolist() == [True, False, False]

    def test_truncated_parquet(self, tmp_path):
        parquet.write_table(pa.table({"x": np.arange(1000.0)}), tmp_path / "t.parquet")
        path = tmp_path / "t.parquet"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match="not a whole parquet"):
            open_data(path)

    def test_json_lines(self, tmp_path):
        path = write(tmp_path, '{"a": 1, "label": "x"}\n{"a": 2, "label": "y"}\n', "t.jsonl")
        assert open_data(path).classes == ("x", "y")

    def test_label_files(self, tmp_path):
        path = write(tmp_path, "a\n1\n2\n3\n")
        (tmp_path / "labels.txt").write_text("p\nq\np\n")
        assert open_data(path, labels=tmp_path / "labels.txt").labels.tolist() == [0, 1, 0]
        (tmp_path / "labels.csv").write_text("id,label\n1,p\n2,q\n3,q\n")
        assert open_data(path, labels=tmp_path / "labels.csv").labels.tolist() == [0, 1, 1]
        (tmp_path / "labels.txt").write_text("p\nq\n")
        with pytest.raises(ShapeError, match="2 labels for 3 rows"):
            open_data(path, labels=tmp_path / "labels.txt")

    def test_unknown_choices(self, tmp_path):
        with pytest.raises(ParameterError, match="keep or drop"):
            open_data(write(tmp_path, CSV), missing="guess")


class TestArrays:
    def test_npy_is_mapped_not_read(self, tmp_path):
        np.save(tmp_path / "x.npy", np.arange(24.0).reshape(4, 6))
        data = open_data(tmp_path / "x.npy")
        assert isinstance(data.values, np.memmap)
        assert data.items(1, 2)[0].tolist() == [6, 7, 8, 9, 10, 11]
        assert data.thumbnails(0, 4) is None

    def test_npz_with_labels_and_names(self, tmp_path):
        images = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
        np.savez_compressed(tmp_path / "x.npz", images=images, labels=[2, 0, 2], label_names=["a", "b", "c"])
        data = open_data(tmp_path / "x.npz")
        assert data.classes == ("a", "b", "c")
        assert data.labels.tolist() == [2, 0, 2]
        assert len(data.thumbnails(0, 3)) == 3
        assert "Samples from array 'images'" in data.describe()

    def test_names_the_user_picks(self, tmp_path):
        np.savez(tmp_path / "x.npz", first=np.ones((3, 2)), second=np.zeros((3, 4)), kind=["p", "q", "p"])
        with pytest.raises(InputError, match=r"first \(3, 2\), second \(3, 4\).*array="):
            open_data(tmp_path / "x.npz")
        data = open_data(tmp_path / "x.npz", array="second", label="kind")
        assert data.values.shape == (3, 4)
        assert data.classes == ("p", "q")
        with pytest.raises(NotFound, match="no array 'third'"):
            open_data(tmp_path / "x.npz", array="third")
        with pytest.raises(ShapeError, match="for 3 samples"):
            open_data(tmp_path / "x.npz", array="second", label="first")

    def test_safetensors(self, tmp_path):
        save_file({"x": np.ones((3, 2), np.float32), "y": np.array([1, 0, 1])}, tmp_path / "x.safetensors")
        data = open_data(tmp_path / "x.safetensors")
        assert data.labels.tolist() == [1, 0, 1]
        assert data.values.shape == (3, 2)

    def test_label_file_of_another_length(self, tmp_path):
        np.save(tmp_path / "x.npy", np.ones((4, 2)))
        np.save(tmp_path / "y.npy", np.ones(3))
        with pytest.raises(ShapeError, match="3 labels for 4 samples"):
            open_data(tmp_path / "x.npy", labels=tmp_path / "y.npy")

    @pytest.mark.parametrize(
        ("array", "error", "match"),
        [
            (np.ones(5), ShapeError, "samples along the first axis"),
            (np.ones((0, 5)), InputError, "empty"),
            (np.array([["a", "b"]]), InputError, "no numbers"),
        ],
    )
    def test_useless_arrays(self, tmp_path, array, error, match):
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(error, match=match):
            open_data(tmp_path / "x.npy")

    @pytest.mark.parametrize("name", ["x.npy", "x.npz"])
    @pytest.mark.parametrize("keep", [0, 5, 50, -30])
    def test_truncated(self, tmp_path, name, keep):
        path = tmp_path / name
        np.savez_compressed(path, x=np.ones((50, 50))) if name == "x.npz" else np.save(
            path, np.ones((50, 50))
        )
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(InputError):
            open_data(path)

    def test_a_damaged_member(self, tmp_path, rng):
        path = tmp_path / "x.npz"
        np.savez(path, x=rng.standard_normal((50, 50)))
        data = bytearray(path.read_bytes())
        data[5000] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"'x' of .* is damaged"):
            open_data(path)

    def test_by_content_whatever_the_name(self, tmp_path):
        with open(tmp_path / "x.dat", "wb") as file:
            np.save(file, np.ones((3, 2)))
        assert len(open_data(tmp_path / "x.dat")) == 3
        (tmp_path / "y.dat").write_bytes(b"\x00\x01\x02\x03 what is this")
        with pytest.raises(InputError, match="no known kind"):
            open_data(tmp_path / "y.dat")


class TestLabels:
    @pytest.mark.parametrize(
        ("values", "classes", "index"),
        [
            ([3, 1, 3], ("0", "1", "2", "3"), [3, 1, 3]),
            ([100, 7, 100], ("7", "100"), [1, 0, 1]),
            ([1.0, 0.0, np.nan], ("0", "1"), [1, 0, -1]),
            ([-1, 0, 1], ("0", "1"), [-1, 0, 1]),
            (["10", "9", ""], ("9", "10"), [1, 0, -1]),
            ([True, False, True], ("0", "1"), [1, 0, 1]),
        ],
    )
    def test_classes(self, values, classes, index):
        from analysis.sources.labels import as_labels

        read = as_labels(np.array(values))
        assert read.classes == classes
        assert read.index.tolist() == index

    def test_given_names(self):
        from analysis.sources.labels import as_labels

        assert as_labels(np.array([1, -1]), ["a", "b"]).index.tolist() == [1, -1]
        with pytest.raises(InputError, match="class number 2"):
            as_labels(np.array([2]), ["a", "b"])
