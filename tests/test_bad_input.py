"""Bad input: refused in words with exit code 1 or 2, or a failed job in words; the workspace is not touched.

Where a part of the data is bad (an unreadable image, NaN activations), the rest is recorded, and what was left
out is counted, listed and shown.
"""

from __future__ import annotations

import errno
import json
import os
import pickle  # to write what must never be read
import shutil
import signal
import struct
import subprocess
import sys
import time
import wave
import zlib
from pathlib import Path

import bad_input_nets as nets
import numpy as np
import pytest
import tiny_networks
import torch
from PIL import Image
from safetensors.torch import save_file

from analysis.jobs import queue, worker
from analysis.store import durable
from analysis.store.reader import Store
from analysis.workspace import Workspace
from dashboard.cli import main

HERE = Path(__file__).parent
N = 40


class Payload:
    """Unpickling it creates a file: the proof that code ran."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def loupe(capsys, *arguments: object) -> tuple[int, str, str]:
    """Exit code, output and messages of a command; never a traceback, never a fault of the program."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert "unexpectedly" not in err, err
    return code, out, err


def refused(capsys, *arguments: object, code: int = 1, says=()) -> str:
    got, _, err = loupe(capsys, *arguments)
    assert got == code, err
    for words in (says,) if isinstance(says, str) else says:
        assert words in err, err
    return err


def accepted(capsys, *arguments: object) -> str:
    code, out, err = loupe(capsys, *arguments)
    assert code == 0, err
    return out


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a workspace but the record of its jobs."""
    files = (f for f in path.rglob("*") if f.is_file() and "jobs" not in f.relative_to(path).parts)
    return {str(f.relative_to(path)): f.read_bytes() for f in files}


def job(workspace: Path, kind: str, arguments: dict) -> queue.JobStatus:
    """A job run to its end in this process, as the worker does."""
    id = queue.submit(workspace, kind, arguments, start=False)
    worker.run_job(workspace, id)
    return queue.status(workspace, id)


def job_refused(workspace: Path, kind: str, arguments: dict, says: str = "") -> None:
    status = job(workspace, kind, arguments)
    assert status.state == "failed", status
    assert "id" not in status.error, status.error  # an id stands for a fault of the program
    assert says in " ".join(status.error.values()), status.error
    assert not (workspace / "jobs" / status.id / "log.txt").exists()


def weights(folder: Path, name: str = "plain") -> Path:
    path = folder / f"{name}.pt"
    torch.save(getattr(nets, name)().state_dict(), path)
    return path


def recording(checkpoint, data, workspace, *more: object, name: str = "new", model: str = "plain") -> list:
    given = ["record", checkpoint, data, "--workspace", workspace, "--name", name]
    return [*given, *(["--model", f"bad_input_nets:{model}"] if model else []), *more]


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size it does not have."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0" * 10)) + part(b"IEND", b"")


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, rows) -> Path:
    """A workspace with one store."""
    folder = tmp_path_factory.mktemp("bad")
    arguments = recording(weights(folder), rows, folder / "w", "--taps", "*", name="good")
    assert main([str(a) for a in arguments]) == 0
    return folder / "w"


@pytest.fixture
def workspace(whole):
    """The same workspace; whatever the test does must leave every byte of it as it was."""
    before = contents(whole)
    yield whole
    after = contents(whole)
    assert sorted(after) == sorted(before)
    assert after == before


@pytest.fixture
def spare(whole, tmp_path) -> Path:
    """A copy of the workspace that the test may damage or record into."""
    return Path(shutil.copytree(whole, tmp_path / "spare"))


@pytest.fixture
def proof(tmp_path):
    path = tmp_path / "code_ran"
    yield path
    assert not path.exists(), "the file's code was run"


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    import transformers

    path = tmp_path_factory.mktemp("vit") / "vit"
    for part in tiny_networks.vit(transformers):
        part.save_pretrained(path)
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    folder = tmp_path / "images"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (16, 16), (40 * i, 9, 200)).save(folder / name / f"{i}.png")
    return folder


def refused_everywhere(capsys, workspace, checkpoint, data, says: str, model: str = "plain") -> None:
    """By the command line, by its dry run, and by both kinds of job."""
    for more in ((), ("--dry-run",)):
        refused(capsys, *recording(checkpoint, data, workspace, *more, model=model), says=says)
    given = {
        "checkpoint": str(checkpoint),
        "data": str(data),
        "name": "new",
        "taps": ["*"],
        "allow_code": True,
    }
    for kind in ("dry_run", "record"):
        job_refused(workspace, kind, given | ({"model": f"bad_input_nets:{model}"} if model else {}), says)


# ---------------------------------------------------------------------------------------- checkpoints


def st_truncated(path: Path) -> None:
    save_file(nets.plain().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-20])


def pt_truncated(path: Path) -> None:
    torch.save(nets.plain().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("cut.safetensors", st_truncated, "not a whole safetensors file"),
        ("text.safetensors", lambda p: p.write_text("not a tensor in sight"), "not a whole safetensors file"),
        ("empty.safetensors", Path.touch, "0 bytes"),
        ("cut.pt", pt_truncated, "truncated"),
        ("text.pt", lambda p: p.write_text("hello"), "text.pt"),
    ],
)
def test_truncated_and_foreign_weights(capsys, workspace, tmp_path, rows, name, write, says):
    write(tmp_path / name)
    refused_everywhere(capsys, workspace, tmp_path / name, rows, says)
    refused(capsys, "info", tmp_path / name, says=says)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "pickle.safetensors"])
def test_weights_that_would_run_code(capsys, workspace, tmp_path, rows, proof, name):
    path = tmp_path / name
    if name.startswith("pickle"):
        path.write_bytes(pickle.dumps(Payload(proof)))
    else:
        state = {"a": torch.ones(2), "b": Payload(proof)}
        torch.save(state, path, _use_new_zipfile_serialization=name.startswith("zip"))
    refused_everywhere(capsys, workspace, path, rows, "could run code")
    refused(capsys, "info", path, says="could run code")


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


def test_a_hugging_face_directory_with_only_a_pickle(capsys, workspace, vit, images, tmp_path, proof):
    folder = Path(shutil.copytree(vit, tmp_path / "hf"))
    (folder / "model.safetensors").unlink()
    torch.save({"w": Payload(proof)}, folder / "pytorch_model.bin")
    refused_everywhere(capsys, workspace, folder, images, "pytorch_model.bin", model="")


CONFIGS = {
    "deep": ("[" * 100_000, "nested too deeply"),
    "list": ("[]", "a list"),
    "no JSON": ("\0", "not JSON"),
    "unknown type": ('{"model_type": "nope"}', "nope"),
    "huge": (json.dumps({"a": "x" * 5_000_000}), "model_type"),
    "remote code": ('{"model_type": "vit", "auto_map": {"AutoModel": "evil.E"}}', "was not run"),
    "no name": ('{"model_type": "vit", "architectures": [3]}', "architectures = [3]"),
    "endless": (json.dumps({"model_type": "vit", "num_hidden_layers": 10**7}), "10,000,000"),
    "wrong type": ('{"model_type": "vit", "hidden_size": "x"}', "hidden_size"),
    "negative": ('{"model_type": "vit", "hidden_size": -5, "num_attention_heads": 0}', "config.json"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_configurations(capsys, workspace, tmp_path, images, case):
    text, says = CONFIGS[case]
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(text)
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    refused(capsys, *recording(folder, images, workspace, model=""), says=says)
    code, _, _ = loupe(capsys, "info", folder)
    assert code in (0, 1)


def test_keys_that_do_not_fit(capsys, workspace, tmp_path, rows):
    path = tmp_path / "other.pt"
    state = {"0.weight": torch.ones(8, 7), **{f"q{i}": torch.ones(1) for i in range(30)}}
    torch.save(state, path)
    refused_everywhere(capsys, workspace, path, rows, "3 missing (0.bias, 2.weight, 2.bias)")
    says = ["30 not known to the module (q0, q1,", "1 of another shape (0.weight (8, 7) instead of (8, 6))"]
    refused(capsys, *recording(path, rows, workspace), says=says)


@pytest.mark.parametrize(
    ("model", "says"),
    [("number", "returned a int"), ("broken", "out of order"), ("nothing", "has no 'nothing'")],
)
def test_factories_that_fail(capsys, workspace, tmp_path, rows, model, says):
    refused_everywhere(capsys, workspace, weights(tmp_path), rows, says, model=model)


def test_a_state_dict_without_a_factory(capsys, workspace, tmp_path, rows):
    refused_everywhere(capsys, workspace, weights(tmp_path), rows, "--model package.module:factory", model="")


def test_a_page_may_not_name_code(workspace, tmp_path, rows):
    given = {"checkpoint": str(weights(tmp_path)), "data": str(rows), "model": "os:getcwd", "name": "new"}
    job_refused(workspace, "dry_run", given, "may not run code")


# ---------------------------------------------------------------------------------------- taps and activations


def test_taps_that_cannot_be_recorded(capsys, workspace, tmp_path, rows):
    def arguments(tap):
        return recording(weights(tmp_path, "odd"), rows, workspace, "--taps", tap, model="odd")

    refused(capsys, *arguments("never"), says="did not run in the forward pass")
    refused(capsys, *arguments("text"), says="a dict without a tensor")
    refused(capsys, *arguments("recrd*"), says=["no tap matches 'recrd*'", "'record"])
    refused(capsys, *arguments("record@tokens=foo"), code=2, says="one of all, mean")
    refused(capsys, *arguments("record@call=7"), code=2, says="0..0")
    given = {"checkpoint": str(weights(tmp_path)), "data": str(rows), "name": "new", "taps": ["nothing.*"]}
    given |= {"model": "bad_input_nets:plain", "allow_code": True}
    job_refused(workspace, "record", given, "no tap matches 'nothing.*'")


def test_tuples_dataclasses_and_strange_names(capsys, spare, tmp_path, rows):
    given = recording(weights(tmp_path, "odd"), rows, spare, "--taps", "**", model="odd")
    listed = accepted(capsys, *given, "--dry-run")
    for words in ("returns a Pair; its 'hidden' is taken", "entry 0, its first tensor, is taken"):
        assert words in listed
    assert "\n*  named" not in listed
    assert "<b>x</b>\\n" in accepted(capsys, *given)
    store = Workspace.open(spare).store("new")
    assert {"record", "tuple", "named.a:b", "named.c/d", "named.<b>x</b>\n[2J"} <= set(store.taps)
    for tap in ("named.a:b", "named.c/d", "named.<b>x</b>\n[2J"):
        assert store.activations(tap).shape[0] == N
        accepted(capsys, "run", "pca", f"new:{tap}", "--workspace", spare, "--out", tmp_path / "f.svg")


def test_activations_that_are_not_finite(capsys, spare, tmp_path, rows):
    given = recording(weights(tmp_path, "not_finite"), rows, spare, "--taps", "*", model="not_finite")
    assert "NaN or infinite" in accepted(capsys, *given)
    store = Workspace.open(spare).store("new")
    table = store.index("1").table()
    infinite = int(table["nonfinite"][1])
    assert list(table["nonfinite"][:1]) == [N]
    assert 0 < infinite < N
    assert list(table["count"][:3]) == [0, N - infinite, N]
    assert np.isfinite(table["mean"][1:]).all()
    said = [p for p in store.problems if p.startswith("Tap 1:")]
    assert f"{N + infinite} value(s) in 2 unit(s)" in said[0]
    assert said[0] in accepted(capsys, "info", store.path)
    refused(capsys, "run", "pca", "new:1", "--workspace", spare, says="finite row")


def test_values_beyond_float16(capsys, spare, tmp_path, rows):
    given = recording(weights(tmp_path, "large"), rows, spare, "--taps", "1", model="large")
    said = accepted(capsys, *given)
    assert f"{N * nets.UNITS} finite value(s) are beyond the range of float16" in said
    accepted(capsys, *[a if a != "new" else "wide" for a in given], "--dtype", "float32")
    assert not Workspace.open(spare).store("wide").problems


def test_a_batch_that_the_network_refuses_is_named_and_the_rest_kept(capsys, spare, tmp_path):
    values = np.zeros((20, 6), np.float32)
    values[12] = 7
    np.save(tmp_path / "x.npy", values)
    given = recording(weights(tmp_path, "picky"), tmp_path / "x.npy", spare, "--batch", 5, model="picky")
    refused(capsys, *given, "--taps", "*", says=["sevens", "samples 10 to 14"])
    assert "5 samples" in (out := accepted(capsys, "info", spare / "stores" / "new")) or "10 samples" in out


# ---------------------------------------------------------------------------------------- images, clips, tables


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


# ---------------------------------------------------------------------------------------- arrays and dumps


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
    said = refused(capsys, "run", "class_selectivity", "new:x", "--workspace", spare, says="0 class(es)")
    assert len(said) < 2000


def test_nothing_is_left_of_a_dump_that_breaks_off(capsys, spare, tmp_path):
    """The name is free again; a folder that was there before is never removed."""
    from analysis.errors import InputError
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


# ---------------------------------------------------------------------------------------- few samples and options


def test_one_sample(capsys, spare, tmp_path, rows):
    accepted(capsys, *recording(weights(tmp_path), rows, spare, "--taps", "*", "--limit", 1))
    accepted(capsys, "info", spare / "stores" / "new")
    for method in ("pca", "unit_statistics", "umap"):
        refused(capsys, "run", method, "new:0", "--workspace", spare, says=["1 row(s)", "at least"])


def test_limits_and_batches_beyond_the_data(capsys, spare, tmp_path, rows):
    given = recording(weights(tmp_path), rows, spare, "--taps", "0", "--limit", 10**9, "--batch", 10**12)
    accepted(capsys, *given)
    assert Workspace.open(spare).store("new").n_samples == N


@pytest.mark.parametrize(
    "more",
    [
        ("--limit", "0"), ("--limit", "1e3"), ("--batch", "-1"), ("--seed", "-1"), ("--seed", "9" * 30),
        ("--dtype", "float64"), ("--tokens", "all of them"), ("--kind", "video"),
    ],
)  # fmt: skip
def test_wrong_options(capsys, workspace, tmp_path, rows, more):
    err = refused(capsys, *recording(weights(tmp_path), rows, workspace, *more), code=2, says=more[0])
    assert "_whole" not in err
    assert "_positive" not in err


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "a\nb", "x" * 200, "ü", "a\0b", "<b>"])
def test_names_that_cannot_name_a_store(capsys, workspace, tmp_path, rows, name):
    given = [*recording(weights(tmp_path), rows, workspace)]
    given[given.index("--name") : given.index("--name") + 2] = [f"--name={name}"]
    refused(capsys, *given, code=2, says="cannot name a store")
    arguments = {"path": str(rows), "name": name}
    job_refused(workspace, "import", arguments, "cannot name a store")


@pytest.mark.parametrize(
    "text",
    ["k=1e999", "components=1e999", "components=nan", "components", "=", "components=", "components=-1"],
)
def test_wrong_parameters(capsys, workspace, text):
    refused(capsys, "run", "pca", "good:0", "--workspace", workspace, "--set", text, code=2)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "\0", '{"method": "pca", "inputs": 3}', '{"method": "pca", "inputs": [3]}', "[" * 100_000,
        '{"method": "pca", "inputs": [{"name": "good:0"}], "seed": "x"}',
        '{"method": "pca", "inputs": [{"name": "good:0"}], "params": [1]}',
        '{"method": "pca", "inputs": [{"name": "good:0"}], "figure": [1]}',
        '{"method": "none", "inputs": [{"name": "good:0"}]}',
    ],
)  # fmt: skip
def test_recipes(capsys, workspace, tmp_path, text):
    (tmp_path / "recipe.json").write_text(text)
    arguments = ("--out", tmp_path / "x.csv", "--workspace", workspace)
    refused(capsys, "render", tmp_path / "recipe.json", *arguments)
    refused(capsys, "render", tmp_path, *arguments)
    assert not (tmp_path / "x.csv").exists()


def test_paths_that_are_something_else(capsys, workspace, tmp_path, rows):
    path = weights(tmp_path)
    refused(capsys, *recording(path, rows, path), says="is a file")
    refused(capsys, *recording(path, rows, path / "below"), says="Not a directory")
    refused(capsys, *recording(workspace, rows, workspace), says="no config.json")
    refused(capsys, *recording(path, workspace, workspace))
    refused(capsys, *recording(path, path, workspace))
    refused(capsys, "import", workspace, "--workspace", workspace, "--name", "new")
    refused(capsys, "run", "pca", "good:0", "--workspace", path, says="not a workspace")
    refused(capsys, "run", "pca", "good:0", "--workspace", workspace, "--out", tmp_path / "x.exe", code=2)


# ---------------------------------------------------------------------------------------- damaged workspaces


def changed_json(path: Path, **values) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_newer_workspace(capsys, spare, tmp_path, rows):
    changed_json(spare / "workspace.json", schema=99)
    before = contents(spare)
    for arguments in (
        ("info", spare),
        ("info", spare, "--verify"),
        ("run", "pca", "good:0", "--workspace", spare),
        ("import", rows, "--workspace", spare, "--name", "new"),
        recording(weights(tmp_path), rows, spare),
    ):
        refused(capsys, *arguments, says=["schema 99", "Update"])
    job_refused(spare, "import", {"path": str(rows), "name": "new"}, "schema 99")
    assert contents(spare) == before


def test_a_newer_store_hides_no_other(capsys, spare, tmp_path, rows):
    shutil.copytree(spare / "stores" / "good", spare / "stores" / "newer")
    changed_json(spare / "stores" / "newer" / "manifest.json", schema=99)
    before = contents(spare)
    out = accepted(capsys, "info", spare)
    assert "schema 99" in out
    assert f"good: {N} samples" in out
    refused(capsys, "info", spare / "stores" / "newer", says=["schema 99", "Update"])
    refused(capsys, "run", "pca", "newer:0", "--workspace", spare, says="schema 99")
    for more, says in (((), "already a store"), (("--resume",), "schema 99")):
        refused(capsys, *recording(weights(tmp_path), rows, spare, *more, name="newer"), says=says)
    assert contents(spare) == before


@pytest.mark.parametrize(
    ("file", "at", "named"),
    [
        ("taps/0/000000.rows", 50, "chunk 0/000000.rows"),
        ("taps/0/index/table.npy", -10, "taps/0/index/table.npy"),
        ("samples.parquet", 50, "samples.parquet"),
    ],
)
def test_a_flipped_byte_is_named_by_verify(capsys, spare, file, at, named):
    store = spare / "stores" / "good"
    assert "as written" in accepted(capsys, "info", store, "--verify")
    data = bytearray((store / file).read_bytes())
    data[at] ^= 1
    (store / file).write_bytes(data)
    for path in (store, spare):
        code, out, _ = loupe(capsys, "info", path, "--verify")
        assert code == 1
        assert named in out
    code, out, _ = loupe(capsys, "info", store, "--verify", "--json")
    assert code == 1
    assert named in json.loads(out)["damaged"]["good"][0]
    if file.endswith(".rows"):
        refused(capsys, "run", "pca", "good:0", "--workspace", spare, says=named)


def test_verify_needs_a_store(capsys, rows):
    refused(capsys, "info", rows, "--verify", code=2, says="a store")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"schema": 1}', b"\xff\xfe"])
def test_a_damaged_manifest(capsys, spare, text):
    manifest = spare / "stores" / "good" / "manifest.json"
    manifest.write_bytes(text)
    refused(capsys, "run", "pca", "good:0", "--workspace", spare, says="manifest")
    refused(capsys, "info", spare / "stores" / "good", says="manifest")
    assert "manifest" in accepted(capsys, "info", spare)
    assert manifest.read_bytes() == text


def test_a_damaged_workspace_file_or_people_file(capsys, spare):
    (spare / "people.db").write_bytes(b"garbage" * 1000)
    refused(capsys, "info", spare, says="people.db")
    accepted(capsys, "run", "pca", "good:0", "--workspace", spare)
    (spare / "workspace.json").write_text("[]")
    refused(capsys, "info", spare, says="workspace.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_workspace(capsys, spare, tmp_path, rows):
    (spare / "stores").chmod(0o555)
    try:
        refused(capsys, *recording(weights(tmp_path), rows, spare), says="Permission denied")
    finally:
        (spare / "stores").chmod(0o755)


# ---------------------------------------------------------------------------------------- interruptions


def same(store: Store, other: Store) -> None:
    assert store.complete
    assert store.n_samples == other.n_samples
    assert store.digest == other.digest
    assert store.verify() == []


@pytest.mark.parametrize("room", [3_000, 9_000, 40_000])
def test_a_disk_that_fills_up(capsys, spare, tmp_path, rows, monkeypatch, room):
    """Readable meanwhile, and whole once there is room."""
    given = recording(weights(tmp_path), rows, spare, "--taps", "*", "--batch", 5)
    left = [room]

    def write_all(fd, data):
        left[0] -= len(memoryview(data).cast("B"))
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(fd, data)

    original = durable.write_all
    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_all", write_all)
        refused(capsys, *given, says=["the disk is full", "Free some space and resume"])
        assert f"good: {N} samples" in accepted(capsys, "info", spare)
    if (spare / "stores" / "new" / "manifest.json").exists():
        assert "not finished" in accepted(capsys, "info", spare / "stores" / "new")
        refused(capsys, *given, says="already a store")
    accepted(capsys, *given, "--resume")
    both = Workspace.open(spare)
    accepted(capsys, *["whole" if a == "new" else a for a in given])
    same(both.store("new"), both.store("whole"))


def test_an_import_on_a_full_disk_resumes(capsys, spare, rows, monkeypatch):
    given = ("import", rows, "--workspace", spare, "--name", "new")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("analysis.store.writer.finish_store", full)
        refused(capsys, *given, says="the disk is full")
    refused(capsys, *given, says="already a store")
    other = rows.with_name("other.npy")
    np.save(other, np.load(rows) + 1)
    refused(capsys, "import", other, *given[2:], "--resume", says="other content")
    accepted(capsys, *given, "--resume")
    store = Workspace.open(spare).store("new")
    assert (store.complete, store.n_samples) == (True, N)
    assert job(spare, "import", {"path": str(rows), "name": "new", "resume": True}).state == "done"


def started(arguments: list, store: Path, samples: int) -> subprocess.Popen:
    """`loupe record` in a process of its own, once it has written that many samples."""
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dashboard.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    until = time.monotonic() + 60
    while not (store / "manifest.json").exists() or Store.open(store).n_samples < samples:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def test_interrupted_killed_busy_and_resumed(capsys, spare, tmp_path, rows):
    """Ctrl-C, then kill -9, with a second process turned away in between; then whole, nothing twice."""
    given = recording(weights(tmp_path, "slow"), rows, spare, "--taps", "*", "--batch", 1, model="slow")
    store = spare / "stores" / "new"
    process = started(given, store, 2)
    refused(capsys, *given, says="already a store")
    refused(capsys, *given, "--resume", says="another process")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "what was finished is kept" in err
    assert "Traceback" not in err
    kept = Store.open(store).n_samples
    assert 2 <= kept < N
    process = started([*given, "--resume"], store, kept + 3)
    process.kill()
    process.communicate()
    assert kept + 3 <= Store.open(store).n_samples < N
    assert "not finished" in accepted(capsys, "info", store)
    accepted(capsys, *given, "--resume")
    accepted(capsys, *["whole" if a == "new" else a for a in given])
    both = Workspace.open(spare)
    same(both.store("new"), both.store("whole"))
    refused(capsys, *given, "--resume", "--tokens", "all", says="begun with tokens")
