"""Texts longer than the network takes: cut, counted over a kill and resume too, and said."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import Cancelled

pytest.importorskip("transformers")
from hugging_face_subjects import text_model

from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from dashboard.cli import main

LENGTHS = [3, 20, 8, 9, 2, 11, 40, 1]  # words; the network takes 8
OUT = [n - 8 if n > 8 else np.nan for n in LENGTHS]
SAID = (
    "4 text(s) were cut at 8 tokens, the most that the network takes (of the longest 32 more were left out)"
)


@pytest.fixture
def given(tmp_path):
    text_model(tmp_path / "net")
    (tmp_path / "texts.txt").write_text("\n".join(" ".join("abcd"[i % 4] for i in range(n)) for n in LENGTHS))
    return tmp_path / "net", tmp_path / "texts.txt"


def test_cut_texts_are_counted_and_said_once_over_a_resume(given, tmp_path):
    options = {"name": "s", "taps": "*blocks*", "tokens": "all", "batch": 2}
    checkpoint, data = open_checkpoint(given[0]), open_data(given[1], split="line")
    store = record(checkpoint, data, tmp_path / "whole", **options)
    for stop in (2, 1):
        asked = iter(range(9))
        with pytest.raises(Cancelled):
            record(
                checkpoint, data, tmp_path / "s", resume=True,
                cancelled=lambda asked=asked, stop=stop: next(asked) == stop, **options,
            )  # fmt: skip
    resumed = record(checkpoint, data, tmp_path / "s", resume=True, **options)
    for found in (store, resumed):
        assert [SAID in line for line in found.problems] == [True]
        np.testing.assert_array_equal(found.samples["cut_tokens"], OUT)
        assert np.diff(found.layout("transformer.h.0").offsets).tolist() == [min(n, 8) for n in LENGTHS]


def test_the_command_line_says_it(given, tmp_path, capsys):
    arguments = ["record", *map(str, given), "--workspace", str(tmp_path / "w"), "--name", "s"]
    assert main(arguments) == 0
    assert f"note: {SAID}" in capsys.readouterr().out


def test_texts_that_fit_need_no_word(given, tmp_path):
    given[1].write_text("a b c d\na b")
    store = record(open_checkpoint(given[0]), open_data(given[1], split="line"), tmp_path / "s", name="s")
    assert store.problems == []
    assert "cut_tokens" not in store.samples
