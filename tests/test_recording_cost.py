"""The cost of a recording beforehand: bytes as written, what is left of an interrupted one, and refused disks."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from analysis.errors import Cancelled, LoupeError, TooLarge

torch = pytest.importorskip("torch")
import recording_subject as subject  # noqa: E402
from recording_subject import rows, values_of  # noqa: E402
from torch import nn  # noqa: E402

from analysis.jobs.handlers import estimate as estimate_job  # noqa: E402
from analysis.recording.estimate import estimate  # noqa: E402
from analysis.recording.recorder import record  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.store import durable  # noqa: E402
from analysis.store.reader import Store  # noqa: E402
from analysis.workspace import Workspace  # noqa: E402


def network(kind: str, activation: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    if kind == "pooled":
        return nn.Sequential(nn.Linear(16, 96), activation(), nn.Linear(96, 5)).eval()
    return nn.Sequential(
        nn.Conv2d(1, 16, 3), activation(), nn.Conv2d(16, 24, 3), nn.Flatten(), nn.Linear(24 * 16, 5)
    ).eval()


def free(monkeypatch, n_bytes: float) -> None:
    """As if the disk had so many bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 0, int(n_bytes)))


def disk_of(monkeypatch, n_bytes: float) -> None:
    """As if there were so many bytes in all, and only writing took them."""
    left, real = [int(n_bytes)], durable.write_all

    def write_all(fd, data):
        left[0] -= len(memoryview(data).cast("B"))
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(durable, "write_all", write_all)


def half_recorded(path) -> Store:
    asked = iter(range(100))
    with pytest.raises(Cancelled):
        subject.run(path, None, cancelled=lambda: next(asked) == 12)
    return Store.open(path)


# -- bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize(
    ("kind", "tokens", "shape"),
    [("pooled", "mean", (300, 16)), ("pooled", "mean", (8500, 16)), ("map", "all", (300, 1, 8, 8)),
     ("map", "mean", (300, 1, 8, 8))],
)  # fmt: skip
def test_the_bytes_are_foreseen_within_a_tenth(tmp_path, kind, tokens, shape, activation, dtype):
    """Short and long taps; 8,500 rows are just enough for the whole index, where its share is largest."""
    values = np.random.default_rng(0).normal(size=shape)
    data, checkpoint = rows(values, np.arange(len(values)) % 5), open_checkpoint(network(kind, activation))
    taps = (
        "1" if kind == "pooled" else "*"
    )  # the activation alone: after a ReLU a unit's index is half as long
    given = {"taps": taps, "tokens": tokens, "dtype": dtype, "batch": 100}
    cost, told = estimate(checkpoint.load(), data, directory=tmp_path, **given), []
    store = record(checkpoint, data, tmp_path / "s", name="s", announce=told.append, **given)
    assert cost.bytes == pytest.approx(store.n_bytes, rel=0.1)
    assert cost.rows == {tap: store.activations(tap).shape[0] for tap in store.taps}
    assert [(c.bytes, c.rows) for c in told] == [(cost.bytes, cost.rows)]  # `record` says the same, once


def test_what_is_left_of_an_interrupted_recording(tmp_path):
    before = half_recorded(tmp_path / "s")
    loaded, data = open_checkpoint(subject.network()).load(), subject.slow_data(None, 0)
    given = {"batch": subject.BATCH, "directory": tmp_path / "s"}
    whole, left = (estimate(loaded, data, ["0", "1"], resume=r, **given) for r in (False, True))
    assert (before.n_samples, left.finished, whole.finished) == (120, 120, 0)
    assert left.n_samples == subject.N - 120
    assert left.words.startswith("110 of 230 samples left, ")
    assert left.rows == dict.fromkeys(("0", "1", "outputs.logits"), 110)
    width = 2 * (24 + 24 + 3)
    assert whole.bytes - left.bytes == pytest.approx(120 * width, rel=0.5)  # and 120 lines of the table
    assert left.seconds * left.samples_per_second == pytest.approx(110)
    assert estimate(loaded, data, "0", resume=True, batch=10, directory=tmp_path / "none").finished == 0
    subject.run(tmp_path / "s", None, resume=True)
    done = estimate(loaded, data, ["0", "1"], resume=True, **given)
    assert (done.n_samples, done.bytes, done.seconds, done.finished) == (0, 0, 0, subject.N)


def test_a_job_and_the_command_line_estimate_what_is_left(tmp_path, capsys):
    from dashboard.cli import main

    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32))
    torch.save(subject.network().state_dict(), tmp_path / "net.pt")
    paths = [str(tmp_path / "net.pt"), str(tmp_path / "rows.npy")]
    model, where = "recording_subject:network", tmp_path / "w"
    given = ["record", *paths, "--workspace", str(where), "--name", "s", "--model", model, "--batch", "10"]
    from analysis.sources.data import open_data

    path, asked = Workspace.create(where).new_store_path("s"), iter(range(9))
    checkpoint = open_checkpoint(paths[0], model=model)
    with pytest.raises(Cancelled):
        record(checkpoint, open_data(paths[1]), path, name="s", batch=10, cancelled=lambda: next(asked) == 4)
    assert main([*given, "--dry-run", "--resume", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    assert (cost["finished"], cost["n_samples"]) == (40, 20)
    arguments = {"checkpoint": paths[0], "data": paths[1], "model": model, "name": "s", "taps": ["*blocks*"],
                 "batch": 10, "allow_code": True, "resume": True}  # fmt: skip
    job = estimate_job(where, arguments, lambda *_: None)
    assert (job["finished"], job["n_samples"], job["bytes"]) == (40, 20, cost["bytes"])
    assert main([*given, "--resume"]) == 0
    assert "to record: 20 of 60 samples left" in capsys.readouterr().err


# -- disks -----------------------------------------------------------------------------------------------------


def test_a_disk_without_room_is_refused_beforehand_with_the_numbers(tmp_path, monkeypatch):
    free(monkeypatch, 3000)
    with pytest.raises(TooLarge, match=r"recording 230 samples needs \d+\.?\d* kB, but only 3 kB are free"):
        subject.run(tmp_path / "s", None)
    assert not (tmp_path / "s").exists()  # the name is free
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(TooLarge):
        subject.run(tmp_path / "mine", None)
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_disk_that_fills_half_way(tmp_path, monkeypatch):
    """Readable meanwhile, refused with the numbers while it is full, and whole once there is room."""
    whole = subject.run(tmp_path / "whole", None)
    with monkeypatch.context() as patch:
        disk_of(patch, 0.5 * whole.n_bytes)
        with pytest.raises(LoupeError, match="disk is full"):
            subject.run(tmp_path / "s", None)
    kept = Store.open(tmp_path / "s")
    assert 0 < kept.n_samples < subject.N
    assert kept.verify() == []
    np.testing.assert_array_equal(values_of(kept, "0"), values_of(whole, "0")[: kept.n_samples])
    with monkeypatch.context() as patch:
        free(patch, 1000)
        left = subject.N - kept.n_samples
        with pytest.raises(TooLarge, match=f"recording {left} samples needs .* only 1 kB are free"):
            subject.run(tmp_path / "s", None, resume=True)
    assert Store.open(tmp_path / "s").n_samples == kept.n_samples
    store = subject.run(tmp_path / "s", None, resume=True)
    assert store.digest == whole.digest
    assert store.verify() == []
