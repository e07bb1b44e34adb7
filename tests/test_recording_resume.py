"""Cancelled, failed, full disk: what is finished is kept, and only the same recording goes on."""

import errno

import numpy as np
import pytest

from analysis.errors import Cancelled, InputError, LoupeError

torch = pytest.importorskip("torch")
import recording_subject as subject  # noqa: E402
from recording_subject import rows, values_of  # noqa: E402
from torch import nn  # noqa: E402

from analysis.recording.recorder import record  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.store.reader import Store  # noqa: E402


def test_cancelling_keeps_what_is_finished_and_resuming_goes_on(tmp_path):
    asked = []

    def after_seven() -> bool:
        asked.append(1)
        return len(asked) > 7

    with pytest.raises(Cancelled, match="Resume"):
        subject.run(tmp_path / "s", None, cancelled=after_seven)
    assert Store.open(tmp_path / "s").n_samples == 7 * subject.BATCH  # nothing that was computed is lost

    def told(fraction, text):
        if fraction > 0.5:
            raise Cancelled
        said.append(text)

    said = []
    with pytest.raises(Cancelled):
        subject.run(tmp_path / "s", tmp_path / "log", seconds=0.3, resume=True, progress=told)
    assert "samples/s" in said[-1]
    assert said[-1].endswith("left")
    store = subject.run(tmp_path / "s", None, resume=True)
    whole = subject.run(tmp_path / "w", None)
    for tap in whole.taps:
        np.testing.assert_array_equal(values_of(store, tap), values_of(whole, tap))


def test_resume_of_a_complete_store_does_nothing(tmp_path):
    subject.run(tmp_path / "s", None)
    log = tmp_path / "log"
    assert subject.run(tmp_path / "s", log, resume=True).complete
    assert not log.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 5}, "batch = 10, not 5"),
        ({"dtype": "float32"}, "float16"),
        ({"taps": ["0"]}, "taps"),
        ({"seed": 1}, "seed"),
    ],
)
def test_resume_with_other_settings_is_refused(tmp_path, change, said):
    with pytest.raises(Cancelled):
        subject.run(tmp_path / "s", None, cancelled=lambda: True)
    with pytest.raises(InputError, match=said):
        subject.run(tmp_path / "s", None, resume=True, **change)


def test_resume_with_another_checkpoint_or_data_is_refused(tmp_path):
    with pytest.raises(Cancelled):
        subject.run(tmp_path / "s", None, cancelled=lambda: True)
    options = {"name": "subject", "taps": ["0", "1"], "batch": subject.BATCH, "resume": True}
    other = nn.Sequential(nn.Linear(6, subject.UNITS), nn.ReLU(), nn.Linear(subject.UNITS, 3))
    with pytest.raises(InputError, match="begun with checkpoint"):
        record(open_checkpoint(other), subject.slow_data(None, 0), tmp_path / "s", **options)
    with pytest.raises(InputError, match="begun with data"):
        record(open_checkpoint(subject.network()), rows(np.ones((230, 6))), tmp_path / "s", **options)


def test_recording_over_a_store_is_refused(tmp_path):
    subject.run(tmp_path / "s", None)
    with pytest.raises(InputError, match="already holds a store"):
        subject.run(tmp_path / "s", None)


def test_an_error_in_the_network_leaves_a_store_to_resume(tmp_path):
    model = subject.network()
    whole = subject.run(tmp_path / "w", None)
    calls = []

    def fails(module, inputs, output):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("out of luck")

    handle = model[0].register_forward_hook(fails)
    options = {"name": "subject", "taps": ["0", "1"], "batch": subject.BATCH}
    checkpoint, data = open_checkpoint(model), subject.slow_data(None, 0)
    with pytest.raises((RuntimeError, InputError), match="out of luck"):
        record(checkpoint, data, tmp_path / "s", **options)
    handle.remove()
    assert sum(len(m._forward_hooks) for m in model.modules()) == 0
    store = record(checkpoint, data, tmp_path / "s", resume=True, **options)
    np.testing.assert_array_equal(values_of(store, "1"), values_of(whole, "1"))


def test_a_full_disk_is_said_and_leaves_a_store_to_resume(tmp_path, monkeypatch):
    from analysis.store import durable

    real, written = durable.os.write, []

    def limited(fd, data):
        written.append(len(data))
        if sum(written) > 30_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "write", limited)
        with pytest.raises(LoupeError, match="disk is full"):
            subject.run(tmp_path / "s", None)
    assert 0 < Store.open(tmp_path / "s").n_samples < subject.N
    store = subject.run(tmp_path / "s", None, resume=True)
    assert store.n_samples == subject.N
    assert store.verify() == []
