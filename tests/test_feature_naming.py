"""Names on the Features page: a note before a name that beats chance before the tap's own."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from analysis.errors import NotFound
from analysis.results import Origin, Table
from dashboard.browse import feature_list, naming, table_rows

FOUND = Table(
    title="t",
    columns={
        "feature": np.array([0, 2, 3]), "name": np.array(["comma", "(digit)", "colon"]),
        "detection AUROC": np.array([0.98, 0.51, 0.9]), "low": np.array([0.9, 0.4, 0.8]),
        "high": np.array([1.0, 0.6, 1.0]), "by chance": np.full(3, 0.5), "F1": np.array([0.9, 0.1, 0.8]),
        "level": np.full(3, "active"), "beyond chance": np.array(["yes", "no", "yes"]),
    },
)  # fmt: skip


def test_a_note_wins_and_a_name_within_chance_is_no_name():
    called = naming.names(FOUND, ["a", "b", "c", "d"], {3: "  mine\nand more", 1: " ", 9: "nowhere"})
    assert called == ("comma", "b", "c", "mine")
    assert naming.names(None, ["", ""], {0: "x" * 99}) == ("x" * 60, "")


def test_the_sentence_says_score_interval_and_chance():
    said = naming.sentence(FOUND, 0)
    assert "“comma”" in said
    assert "0.98 (0.90 to 1.00; 0.50 by chance), F1 0.90" in said
    assert naming.sentence(FOUND, 2).startswith("No name beats chance; the nearest is “digit”")
    assert "not active" in naming.sentence(FOUND, 1)
    assert naming.sentence(None, 0) == ""


def test_a_list_can_be_ordered_by_how_well_names_fit():
    fits = naming.fits(FOUND, 4)
    np.testing.assert_array_equal(fits, [0.9, np.nan, np.nan, 0.8])
    assert naming.fits(None, 4) is None
    table = {"unit": np.arange(4), "dead": np.zeros(4, bool), "maximum": np.ones(4),
             "fraction_positive": np.full(4, 0.1), "top_class_share": np.full(4, np.nan)}  # fmt: skip
    names = naming.names(FOUND, [""] * 4, {})
    tap = feature_list.Tap(table, unit_names=names, fits=fits, word="feature")
    assert feature_list.listed(tap, order="fits").units.tolist() == [0, 3, 1, 2]
    assert feature_list.listed(tap, order="fits", rising=True).units.tolist() == [3, 0, 1, 2]
    assert feature_list.listed(feature_list.Tap(table), order="fits").units.tolist() == [0, 1, 2, 3]


def test_a_row_of_a_table_of_features_leads_to_its_card():
    class Here:
        def activations(self, reference):
            if reference != "s:t":
                raise NotFound(f"no {reference}")
            return SimpleNamespace(unit_names=("a", "b", "7"))

    made = Origin("m", 1, {}, ({"name": "s:t", "digest": ""},), 0, {})
    by_number = Table(title="t", columns={"feature": np.array([2, 9])}, origin=made)
    opens = table_rows.card_of(by_number, Here())
    assert [opens(by_number.columns, i) for i in (0, 1)] == [2, None]
    by_name = replace(by_number, columns={"feature": np.array(["b", "7", "b or 7"])})
    assert [opens(by_name.columns, i) for i in range(3)] == [1, 2, None]
    assert table_rows.card_of(replace(by_number, columns={"unit": np.array([2])}), Here()) is None
    assert table_rows.card_of(replace(by_number, origin=None), Here()) is None
    for inputs in (({"name": "gone:t"},), ({"name": "s:t"}, {"name": "s:t"})):
        assert table_rows.card_of(replace(by_number, origin=replace(made, inputs=inputs)), Here()) is None
