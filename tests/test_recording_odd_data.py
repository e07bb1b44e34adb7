"""Recording what is odd: names that are not UTF-8, broken items by the hundred, a disk full at the first word."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from analysis.errors import Cancelled, LoupeError, ParameterError

torch = pytest.importorskip("torch")
import recording_subject as subject  # noqa: E402
from recording_subject import rows  # noqa: E402
from torch import nn  # noqa: E402

from analysis.recording.batches import run_batch  # noqa: E402
from analysis.recording.choosing import choose_taps  # noqa: E402
from analysis.recording.hooks import Taps  # noqa: E402
from analysis.recording.import_dump import import_dump  # noqa: E402
from analysis.recording.plan import make_plan  # noqa: E402
from analysis.recording.pooling import pool  # noqa: E402
from analysis.recording.recorder import record  # noqa: E402
from analysis.recording.taps import dry_run  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.sources.data import open_data  # noqa: E402
from analysis.sources.dumps import open_dump  # noqa: E402
from analysis.store import durable, journal  # noqa: E402
from analysis.store.manifest import read as read_manifest  # noqa: E402
from analysis.store.reader import Store  # noqa: E402


def broken(n: int):
    """Data of which `n` items could not be read."""
    return rows(np.ones((4, 6)), skipped=[f"x{i}.png: broken" for i in range(n)])


def recorded(path, data, **more) -> Store:
    return record(open_checkpoint(subject.network()), data, path, name="s", taps="0", batch=2, **more)


def test_an_image_whose_name_is_not_utf8_is_recorded(tmp_path):
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "pictures" / os.fsdecode(b"caf\xe9s")
    folder.mkdir(parents=True)
    for name in (b"a.png", b"caf\xe9.png"):
        image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(os.fsencode(folder) + b"/" + name)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    data = open_data(tmp_path / "pictures")
    store = record(open_checkpoint(model), data, tmp_path / "s", name="s")
    assert store.samples["id"].tolist() == ["caf\\udce9s/a.png", "caf\\udce9s/caf\\udce9.png"]
    assert all(os.path.exists(path) for path in store.samples["media_path"])
    assert store.classes[store.class_index[0]] == store.samples["label"][0]
    assert store.verify() == []


@pytest.mark.parametrize(
    ("n", "said", "unsaid"),
    [
        (3, "3 item(s) were skipped: x0.png: broken; x1.png: broken; x2.png: broken", "more"),
        (12, "x9.png: broken; and 2 more, listed by `loupe info`", "x10"),
        (150, "and 140 more, listed by `loupe info`; the list ends after 100", "x10.png"),
    ],
)
def test_skipped_items_are_named(tmp_path, n, said, unsaid):
    store = recorded(tmp_path / "s", broken(n))
    assert said in store.problems[0]
    assert unsaid not in store.problems[0]
    assert len(store.manifest["data"]["skipped_items"]) == min(n, 100)


def full_for_notes(monkeypatch) -> None:
    """The disk is full for the journal, nothing else."""
    real = durable.write_all

    def write_all(fd, data):
        if journal.FILE in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(durable, "write_all", write_all)


def test_a_note_that_fails_leaves_the_recording_free_to_resume_and_is_said_then(tmp_path, monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        full_for_notes(patch)
        with pytest.raises(LoupeError, match="disk is full"):
            recorded(tmp_path / "s", broken(2))
    assert len(os.listdir("/proc/self/fd")) == before
    assert read_manifest(tmp_path / "s")["complete"] is False
    with pytest.raises(Cancelled):
        recorded(tmp_path / "s", broken(2), resume=True, cancelled=lambda: True)
    store = recorded(tmp_path / "s", broken(2), resume=True)
    assert ["skipped" in line for line in store.problems] == [True]  # once, however often it is resumed


def test_the_same_of_an_import(tmp_path, monkeypatch):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(6, 3)))
    dump, before = open_dump(tmp_path / "rows.npy"), len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        full_for_notes(patch)
        with pytest.raises(LoupeError, match="disk is full"):
            import_dump(dump, tmp_path / "s", name="s")
    assert len(os.listdir("/proc/self/fd")) == before
    store = import_dump(dump, tmp_path / "s", name="s", resume=True)
    assert [line.startswith("float64 in the dump") for line in store.problems] == [True]


def test_columns_of_the_data_are_kept_beside_ours(tmp_path):
    columns = {"label": np.array(list("abcd")), "data_label": np.array(list("efgh"))}
    data = rows(np.ones((4, 6)), np.array([0, 1, 0, 1]), ("x", "y"), columns=columns)
    kept = {name: list(values) for name, values in recorded(tmp_path / "s", data).samples.items()}
    assert kept["label"] == list("xyxy")
    assert list("abcd") in kept.values()
    assert kept["data_label"] == list("efgh")


def test_a_batch_seeds_no_device_but_its_own_and_puts_it_back(monkeypatch):
    loaded, data = open_checkpoint(subject.network()).load(), subject.slow_data(None, 0)
    plan = make_plan(loaded, data, "0", tokens="mean", batch=5, dtype="float32", limit=None, seed=0)
    monkeypatch.setattr(
        torch.cuda, "manual_seed_all", lambda seed: pytest.fail("every CUDA device was seeded")
    )
    before = torch.random.get_rng_state()
    with Taps(loaded.module, plan.hooked) as taps:
        run_batch(loaded, data, plan, taps, 0, 5, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_batch_puts_the_generator_of_its_gpu_back():
    loaded, data = open_checkpoint(subject.network().cuda()).load(), subject.slow_data(None, 0)
    plan = make_plan(loaded, data, "0", tokens="mean", batch=5, dtype="float32", limit=None, seed=0)
    before = torch.cuda.get_rng_state()
    with Taps(loaded.module, plan.hooked) as taps:
        run_batch(loaded, data, plan, taps, 0, 5, seed=7)
    assert torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize("choice", ["call=²", "leading=²", "call=-1", "call=1"])
def test_a_choice_that_is_no_number_is_refused_in_words(choice):
    infos = dry_run(open_checkpoint(subject.network()).load(), subject.slow_data(None, 0))
    with pytest.raises(ParameterError, match="call=last"):
        choose_taps(infos, f"0@{choice}")


@pytest.mark.parametrize(
    ("peak", "dtype"),
    [(1e-8, torch.float32), (0.0, torch.float16), (1e-3, torch.float16), (1e5, torch.float32)],
)
def test_rows_that_are_all_tiny_are_not_halved_before_they_are_counted(peak, dtype):
    x = torch.zeros(2, 3, 4)
    x[0, 0, 0] = -peak
    assert pool(x, "all", half=True)[0].dtype == dtype
