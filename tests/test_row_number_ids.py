"""Two stores whose ids are only row numbers match, whatever they hold: the result has to say so."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.errors import InputError


def tap(name: str, rng, n: int = 30, **columns) -> ArrayActivations:
    return ArrayActivations(rng.standard_normal((n, 3)), name=name, samples=columns)


def test_row_numbers_of_two_stores_are_said(rng):
    (note,) = row_number_notes([tap("one:a", rng), tap("two:a", rng)])
    assert "one, two are row numbers" in note


@pytest.mark.parametrize(
    "taps",
    [
        ("one:a", "one:b"),  # one recording
        ("left", "right"),  # arrays of a notebook, in the order their owner knows
    ],
)
def test_taps_of_one_store_or_plain_arrays_need_no_warning(rng, taps):
    assert row_number_notes([tap(name, rng) for name in taps]) == []


def test_ids_of_their_own_need_no_warning(rng):
    ids = np.array([f"image {i}" for i in range(30)])
    assert row_number_notes([tap("one:a", rng, id=ids), tap("two:a", rng, id=ids)]) == []


def test_labels_that_agree_are_evidence_enough(rng):
    label = rng.integers(0, 5, 30)
    assert row_number_notes([tap("one:a", rng, label=label), tap("two:a", rng, label=label)]) == []


def test_labels_that_differ_are_counted(rng):
    label = rng.integers(0, 5, 30)
    other = label.copy()
    other[[2, 7, 11]] += 1
    (note,) = row_number_notes([tap("one:a", rng, label=label), tap("two:a", rng, label=other)])
    assert "'label' differs for 3 of 30 samples of one and two" in note


def test_labels_are_compared_at_the_matched_samples(rng):
    """The second store has ten samples more, whose labels do not matter."""
    label = rng.integers(0, 5, 40)
    taps = [tap("one:a", rng, label=label[:30]), tap("two:a", rng, n=40, label=label)]
    data = common_samples(taps, rng, maximum=100, minimum=4)
    assert data.notes == ("30 samples matched by id (one:a 30, two:a 40).",)


def test_what_compares_samples_and_what_compares_rows_say_it(rng):
    taps = [tap("one:a", rng), tap("two:a", rng)]
    for data in (
        common_samples(taps, rng, maximum=100, minimum=4),
        matched_taps(taps, rng, maximum_rows=100, minimum=4),
    ):
        assert any("row numbers" in note for note in data.notes)


def test_other_labels_are_other_samples(rng):
    """Labels of other samples agree by chance only: such a comparison is refused, with the count."""
    label = rng.integers(0, 5, 30)
    taps = [tap("one:a", rng, label=label), tap("two:a", rng, label=rng.permutation(label))]
    with pytest.raises(InputError, match=r"'label' differs for .. of 30 samples of one and two"):
        common_samples(taps, rng, maximum=100, minimum=4)


def test_a_column_of_one_kind_says_nothing(rng):
    label = np.zeros(30, int)
    (note,) = row_number_notes([tap("one:a", rng, label=label), tap("two:a", rng, label=label)])
    assert "row numbers" in note
