"""A disk that is really full: exports, results, imports and notes fail with words, and nothing is there half.

On a file system of two megabytes in memory; skipped where this process may not mount one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import LoupeError
from analysis.jobs import queue, worker
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main


@pytest.fixture
def small(tmp_path):
    """A disk of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True, timeout=20)


def fill(place: Path, leave: int = 0) -> None:
    """Take all but `leave` bytes."""
    with open(place / "filler", "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
        f.truncate(max(0, f.tell() - leave))


def made(path: Path, rows: int = 300) -> Workspace:
    workspace = Workspace.create(path)
    x = np.random.default_rng(0).normal(size=(rows, 16)).astype(np.float32)
    write_store(path / "stores" / "rows", name="rows", taps={"layer": x}, labels=np.arange(rows) % 3)
    return workspace


@pytest.mark.parametrize("suffix", ["pdf", "svg", "png", "csv"])
def test_an_export_to_a_full_disk_says_so_and_leaves_the_old_figure(tmp_path, small, capsys, suffix):
    made(tmp_path / "w")
    out = small / f"figure.{suffix}"
    given = ["run", "pca", "rows:layer", "--workspace", str(tmp_path / "w"), "--out", str(out)]
    out.write_bytes(b"the old one")
    fill(small)
    assert main(given) == 1
    said = capsys.readouterr().err
    assert "disk is full" in said
    assert "Traceback" not in said
    assert out.read_bytes() == b"the old one"
    assert sorted(p.name for p in small.iterdir()) == sorted(["filler", out.name])
    (small / "filler").unlink()
    assert main(given) == 0
    assert out.stat().st_size > 100


def run(path: Path, kind: str, arguments: dict, leave: int | None = None) -> queue.JobStatus:
    """As if there had been room when it was asked for and when it began."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (queue, worker):
            patch.setattr(module, "refuse_full", lambda *_: None)
        id = queue.submit(path, kind, arguments, start=False)
        if leave is not None:
            fill(path.parent, leave)
        worker.run_job(path, id)
    return queue.status(path, id)


def test_a_result_that_cannot_be_kept_says_so_and_is_not_there_half(small):
    workspace = made(small / "w", 3000)
    job = run(workspace.path, "method", {"method": "pca", "inputs": ["rows:layer"]}, leave=20_000)
    assert job.state == "failed"
    assert "disk is full" in job.error["found"], job.error
    (small / "filler").unlink()
    assert workspace.cached("pca", ["rows:layer"]) is None
    assert not list(workspace.path.glob("cache/.*"))
    assert run(workspace.path, "method", {"method": "pca", "inputs": ["rows:layer"]}).state == "done"


def test_an_import_that_fills_the_disk_says_so_and_what_was_there_stays(tmp_path, small):
    workspace = made(small / "w", 200)
    rows = tmp_path / "rows.npy"
    np.save(rows, np.random.default_rng(1).normal(size=(20_000, 64)).astype(np.float32))
    job = run(workspace.path, "import", {"path": str(rows), "name": "new"})
    assert job.state == "failed"
    assert "disk is full" in job.error["found"], job.error
    assert Workspace.open(workspace.path).activations("rows:layer").shape == (200, 16)


def test_a_note_on_a_full_disk_is_refused_and_the_old_one_stays(small):
    people = made(small / "w", 100).people
    people.note("rows", "layer", 3, "the old note")
    fill(small)
    with pytest.raises(LoupeError):
        people.note("rows", "layer", 3, "x" * 4000)
    assert people.notes("rows", "layer") == {3: "the old note"}
    (small / "filler").unlink()
    people.note("rows", "layer", 3, "the new note")
    assert people.notes("rows", "layer") == {3: "the new note"}
