"""Taps that cannot be recorded, and activations that are not finite, too large or refused halfway."""

from __future__ import annotations

import bad_input_nets as nets
import numpy as np
from bad_input import (
    N,
    accepted,
    job_refused,
    recording,
    refused,
    weights,
)

from analysis.workspace import Workspace


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
    assert "10 of 20 samples so far" in accepted(capsys, "info", spare / "stores" / "new")
    assert Workspace.open(spare).store("new").samples["id"].tolist() == [str(i) for i in range(10)]
