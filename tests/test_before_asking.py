"""Refused before anything is computed: heads of a network without any. Sentences of a table are written out whole."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from analysis.errors import InputError
from analysis.features.readers import PROBE
from dashboard.browse import before_asking
from dashboard.parts import long_words


@pytest.fixture
def tap(tmp_path):
    """`tap(**configuration)`: of a checkpoint with these settings."""

    def made(**configuration):
        (tmp_path / "config.json").write_text(json.dumps(configuration))
        checkpoint = {"kind": "hugging_face", "path": str(tmp_path)}
        store = SimpleNamespace(manifest={"checkpoint": checkpoint})
        return SimpleNamespace(name="net:tap", store=store)

    return made


def test_heads_of_a_network_without_attention_are_refused_in_words(tap):
    with pytest.raises(InputError, match="no attention"):
        before_asking.refuse("head_cuts", tap(num_channels=3), {})


def test_a_probe_and_networks_with_heads_and_other_questions_are_asked(tap):
    before_asking.refuse("head_cuts", tap(num_channels=3), {"reader": PROBE})
    before_asking.refuse("attention_atlas", tap(num_channels=3), {})
    before_asking.refuse("head_cuts", tap(num_attention_heads=4), {})


def test_sentences_that_a_cell_would_cut_leave_the_table_whole():
    columns = {
        "fault": np.array(["a", "b"]),
        "found": np.arange(2),
        "what it means": np.array(["x" * 90, ""]),
    }
    fits, long = long_words.parted(columns)
    assert list(fits) == ["fault", "found"]
    assert long["what it means"].tolist() == ["x" * 90, ""]


def test_a_long_table_and_one_of_sentences_alone_stay_tables():
    many = {"a": np.arange(99), "b": np.array(["x" * 90] * 99)}
    assert long_words.parted(many) == (many, {})
    alone = {"b": np.array(["x" * 90])}
    assert long_words.parted(alone)[1] == {}


def test_what_names_the_rows_stays_in_the_table_however_long():
    columns = {"tap": np.array(["encoder." * 8]), "meaning": np.array(["x" * 90]), "found": np.arange(1)}
    fits, long = long_words.parted(columns)
    assert list(fits) == ["tap", "found"]
    assert list(long) == ["meaning"]
