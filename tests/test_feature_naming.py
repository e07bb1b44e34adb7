"""Names on the Features page: a note before a name that beats chance before the tap's own."""

import numpy as np

from analysis.results import Table
from dashboard.browse import naming

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
