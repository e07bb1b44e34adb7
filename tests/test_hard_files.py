"""Files on which a source could mislead without failing: gaps in labels, unreadable files, text among units."""

from __future__ import annotations

import os

import numpy as np
import pytest

from analysis.errors import InputError
from analysis.recording.layout import batch_axis
from analysis.sources.data import open_data
from analysis.sources.dumps import open_dump


def test_a_gap_in_whole_number_labels_keeps_their_names(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    (tmp_path / "metadata.csv").write_text("file_name,label\n0.txt,3\n1.txt,7\n2.txt,3\n")
    data = open_data(tmp_path)
    assert set(data.classes) >= {"3", "7"}
    assert not any("." in c for c in data.classes)
    assert data.labels[3] == -1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_skipped_and_named(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    (tmp_path / "b.txt").chmod(0)
    data = open_data(tmp_path)
    assert len(data) == 1
    assert "b.txt" in data.skipped[0]


def test_an_image_that_goes_away_is_skipped_and_named(tmp_path, monkeypatch):
    from PIL import Image

    from analysis.sources import image_folder

    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    look = image_folder.Path.read_bytes

    def read(path):
        if path.name == "b.png":
            raise PermissionError(13, "Permission denied")
        return look(path)

    monkeypatch.setattr(image_folder.Path, "read_bytes", read)
    data = open_data(tmp_path, kind="image")
    assert len(data) == 1
    assert "b.png: unreadable (Permission denied)" in data.skipped[0]


def test_text_among_the_units_of_a_table_is_refused(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [0.5, 1.5], "name": ["x", "y"]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"column 'name'.*string"):
        open_dump(tmp_path / "t.parquet", units=["a", "name"])


def test_the_digest_of_a_dump_knows_how_it_is_read(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((5, 4, 4, 4)).astype(np.float32))
    digests = [
        open_dump(tmp_path / "x.npy", **more).digest
        for more in ({}, {"channels": "last"}, {"tokens": "mean"})
    ]
    assert len(set(digests)) == 3


def test_an_empty_output_has_no_batch_axis():
    import torch

    assert batch_axis(torch.zeros(0, 2, 5), 2) is None
