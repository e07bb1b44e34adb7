"""Arrays, dumps and label files that are damaged, unsafe or do not belong."""

from __future__ import annotations

import pickle  # to write what must never be read
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_input import (
    accepted,
    job_refused,
    loupe,
    recording,
    refused,
    refused_everywhere,
    weights,
)
from payload import Payload
from safetensors.torch import save_file

from analysis.errors import InputError
from analysis.workspace import Workspace


@pytest.mark.parametrize("name", ["objects.npy", "objects.npz", "pickle.npy"])
def test_arrays_that_would_run_code(capsys, workspace, tmp_path, proof, name):
    path, objects = tmp_path / name, np.array([[Payload(proof)], [1]], dtype=object)
    if name.startswith("pickle"):
        path.write_bytes(pickle.dumps(Payload(proof)))
    else:
        np.savez(path, x=objects) if name.endswith("npz") else np.save(path, objects, allow_pickle=True)
    refused_everywhere(capsys, workspace, weights(tmp_path), path, "could run code")
    refused(capsys, "import", path, "--workspace", workspace, "--name", "new", says="could run code")
    job_refused(workspace, "import", {"path": str(path), "name": "new"}, "could run code")


def header_says(shape: bytes):
    def write(path: Path) -> None:
        np.save(path, np.ones((100, 6), np.float32))
        path.write_bytes(path.read_bytes().replace(b"(100, 6)", shape))

    return write


def flipped(path: Path) -> None:
    np.savez(path, x=np.ones((100, 6), np.float32))
    data = bytearray(path.read_bytes())
    data[400] ^= 0xFF
    path.write_bytes(data)


def npy(*shape: int, dtype="f4"):
    return lambda path: np.save(path, np.zeros(shape, dtype))


DUMPS = {
    "no row": ("x.npy", npy(0, 6), "empty"),
    "no unit": ("x.npy", npy(6, 0), "empty"),
    "scalar": ("x.npy", npy(), "()"),
    "five axes": ("x.npy", npy(2, 2, 2, 2, 2), "(2, 2, 2, 2, 2)"),
    "complex": ("x.npy", npy(4, 6, dtype="c8"), "(4, 6)"),
    "texts": ("x.npy", npy(4, 6, dtype="U3"), "(4, 6)"),
    "records": ("x.npy", npy(4, dtype="f4,i4"), "(4,)"),
    "cut": ("x.npy", lambda p: (npy(100, 6)(p), p.write_bytes(p.read_bytes()[:-100])), "2,300 bytes"),
    "lying": ("x.npy", header_says(b"(9999999999, 6)"), "truncated"),
    "negative": ("x.npy", header_says(b"(-10, 6)"), "(-10, 6)"),
    "folder": ("x.npy", Path.mkdir, "x.npy"),
    "no zip": ("x.npz", lambda p: p.write_bytes(b"PK\x03\x04garbage" * 9), "not a whole .npz"),
    "flipped": ("x.npz", flipped, "damaged"),
    "empty zip": ("x.npz", np.savez, "holds nothing"),
    "lengths": ("x.npz", lambda p: np.savez(p, a=np.ones((9, 3)), b=np.ones((8, 3))), "a 9, b 8"),
    "labels": ("x.npz", lambda p: np.savez(p, a=np.ones((9, 3)), labels=np.ones(8)), "8 entries for 9"),
    "tensors": (
        "x.safetensors",
        lambda p: save_file({"a": torch.ones(9, 3), "b": torch.ones(8, 3)}, p),
        "a 9",
    ),
    "ragged tsv": ("tensors.tsv", lambda p: p.write_text("1\t2\n3\t4\n1\n"), "line 3"),
    "word tsv": ("tensors.tsv", lambda p: p.write_text("1\t2\n1\tx\n"), "line 2"),
    "unknown": ("x.xyz", lambda p: p.write_text("?"), "no known dump format"),
}


@pytest.mark.parametrize("case", DUMPS)
def test_dumps(capsys, workspace, tmp_path, case):
    name, write, says = DUMPS[case]
    write(tmp_path / name)
    refused(capsys, "import", tmp_path / name, "--workspace", workspace, "--name", "new", says=says)
    job_refused(workspace, "import", {"path": str(tmp_path / name), "name": "new"}, says)
    code, _, _ = loupe(capsys, "info", tmp_path / name)
    assert code in (0, 1)


def test_labels_that_do_not_belong(capsys, workspace, tmp_path, rows):
    short, empty = tmp_path / "short.txt", tmp_path / "empty.txt"
    short.write_text("a\nb\n")
    empty.touch()
    for labels, says in (
        (short, "2 labels for 40 samples"),
        (empty, "0 bytes"),
        (tmp_path / "none", "no labels"),
        (weights(tmp_path), "UTF-8"),
    ):
        arguments = ("--workspace", workspace, "--name", "new", "--labels", labels)
        refused(capsys, "import", rows, *arguments, says=says)
        refused(capsys, *recording(weights(tmp_path), rows, workspace, "--labels", labels), says=says)
        job_refused(workspace, "import", {"path": str(rows), "name": "new", "labels": str(labels)}, says)


def test_ten_thousand_classes_with_markup(capsys, spare, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((10_000, 2), np.float32))
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {i} <b>ü</b> ../../x" for i in range(10_000)))
    given = ("--workspace", spare, "--name", "new", "--labels", labels)
    accepted(capsys, "import", tmp_path / "x.npy", *given)
    assert len(Workspace.open(spare).store("new").classes) == 10_000
    said = refused(
        capsys, "run", "class_selectivity", "new:x", "--workspace", spare, says="no class has 5 or more"
    )
    assert len(said) < 2000


def test_nothing_is_left_of_a_dump_that_breaks_off(capsys, spare, tmp_path):
    """The name is free again; a folder that was there before is never removed."""
    from analysis.recording.import_dump import import_dump
    from analysis.sources.dumps import open_dump

    path = tmp_path / "tensors.tsv"
    path.write_text("1\t2\n1\n")
    refused(capsys, "import", path, "--workspace", spare, "--name", "new")
    assert not (spare / "stores" / "new").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("mine")
    with pytest.raises(InputError):
        import_dump(open_dump(path), mine, name="new")
    assert (mine / "letter.txt").read_text() == "mine"
