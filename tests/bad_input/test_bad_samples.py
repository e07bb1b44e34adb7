"""Images, clips and tables that are unreadable, strange or empty."""

from __future__ import annotations

import os
import struct
import time
import wave
import zlib

import pytest
from bad_input import (
    accepted,
    job_refused,
    recording,
    refused,
    refused_everywhere,
    weights,
)
from PIL import Image

from analysis.workspace import Workspace


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size it does not have."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" * 10)) + part(b"IEND", b"")


def test_unreadable_images_among_many(capsys, spare, vit, images):
    (images / "a" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    (images / "a" / "cut.png").write_bytes((images / "a" / "1.png").read_bytes()[:60])
    (images / "b" / "empty.jpg").touch()
    (images / "b" / "bomb.png").write_bytes(png(100_000, 100_000))
    (images / "b" / "new\nline ünï <b>*x* $a$.png").write_bytes(b"no image")
    names = ["bad.png", "cut.png", "empty.jpg", "bomb.png", "new\\nline ünï <b>*x* $a$.png"]
    accepted(capsys, *recording(vit, images, spare, model=""))
    store = Workspace.open(spare).store("new")
    assert store.n_samples == 6
    assert any("5 item(s) were skipped" in p for p in store.problems)
    out = accepted(capsys, "info", store.path)
    assert "5 item(s) were skipped" in out
    for name in names:
        assert f"{name}:" in out
    assert "5 skipped" in accepted(capsys, "info", images)


def test_strange_but_readable_images(capsys, spare, vit, images):
    Image.new("RGB", (1, 1)).save(images / "a" / "one.png")
    Image.new("RGB", (3000, 10)).save(images / "a" / "wide.png")
    Image.new("I;16", (5, 5)).save(images / "a" / "sixteen.png")
    Image.new("RGB", (8, 8)).save(images / "a" / "new\nline ünï <b>*x* $a$.png")
    (images / "loop").symlink_to(images)
    (images / "self").symlink_to(images / "self")
    (images / "dangling.png").symlink_to("/nonexistent")
    (images / "folder.png").mkdir()
    os.mkfifo(images / "pipe.png")
    accepted(capsys, *recording(vit, images, spare, model=""))
    store = Workspace.open(spare).store("new")
    assert store.n_samples == 10
    assert "a/new\nline ünï <b>*x* $a$.png" in set(store.samples["id"])


def test_images_of_several_sizes_for_a_plain_network(capsys, workspace, tmp_path, images):
    Image.new("RGB", (3000, 10)).save(images / "a" / "wide.png")
    refused(capsys, *recording(weights(tmp_path), images, workspace), says="2 sizes")


def test_folders_without_samples(capsys, workspace, tmp_path, vit):
    for name, says in (("empty", "nothing"), ("other", ".xyz"), ("bad", "1 skipped")):
        folder = tmp_path / name
        folder.mkdir()
        if name != "empty":
            (folder / ("a.xyz" if name == "other" else "a.png")).write_text("x")
        refused_everywhere(capsys, workspace, vit, folder, says, model="")
        refused(capsys, "info", folder, says=says)


def test_clips_without_sound(capsys, tmp_path):
    for name, frames in (("empty", 0), ("good", 800)):
        with wave.open(str(tmp_path / f"{name}.wav"), "wb") as f:
            f.setparams((1, 2, 8000, 0, "NONE", ""))
            f.writeframes(b"\0\1" * frames)
    (tmp_path / "junk.wav").write_bytes(b"RIFFjunk")
    out = accepted(capsys, "info", tmp_path)
    assert "1 clips" in out
    assert "empty.wav: no sound" in out
    assert "junk.wav: unreadable" in out


HEAD = "a,b,c,d,e,f,y\n"
LINES = "".join(f"{i},2,3,4,5,6,{i % 3}\n" for i in range(9))
TABLES = {
    "ragged": (HEAD + LINES + "1,2,3\n" + LINES, "Row #11: Expected 7 columns, got 3"),
    "too long": (HEAD + LINES + "1,2,3,4,5,6,7,8\n", "got 8"),
    "open quote": (HEAD + LINES + '"never closed,1\n', "got 1"),
    "no row": (HEAD, "no row"),
    "no byte": ("", "0 bytes"),
    "blank": ("\n\n\n", "not a table"),
    "twice": ("a,a,b,c,d,e,y\n" + LINES, "more than once"),
    "binary": (bytes(range(256)) * 9, "binary"),
    "latin": (HEAD.encode() + "ü,1,2,3,4,5,6\n".encode("latin-1"), "utf-8"),
    "no such label": (HEAD.replace("y", "z") + LINES, "no label column 'y'"),
    "too narrow": ("a,b,y\n" + "1,2,0\n" * 5, "failed on inputs of shape (2, 2)"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(capsys, workspace, tmp_path, case):
    content, says = TABLES[case]
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(capsys, *recording(weights(tmp_path), path, workspace, "--label", "y"), says=says)
    given = {"checkpoint": str(weights(tmp_path)), "data": str(path), "name": "new", "taps": ["*"]}
    given |= {"model": "bad_input_nets:plain", "allow_code": True, "data_options": {"label": "y"}}
    job_refused(workspace, "record", given, says)


def test_a_table_of_five_thousand_columns_opens_at_once(capsys, tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{i}" for i in range(5000)) + "\n" + (",".join(["1"] * 5000) + "\n") * 3)
    started = time.process_time()
    assert "3 rows" in accepted(capsys, "info", path)
    assert time.process_time() - started < 15  # every column was once searched for among all
