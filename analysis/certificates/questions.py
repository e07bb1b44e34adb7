"""What a certificate asks of each feature: which method answers, in which columns, and what its verdicts mean.

again       other dictionaries of the same activations find it: matched cosine, random dictionaries as chance
stable      other samples give it the same direction: bootstrap refits with codes fixed, exchanged samples as chance
unique      no other feature could take its place in non-negative codes
shows       it brings more variance than a spectrum of so few samples needs to show a direction
elsewhere   other networks have it: held-out correlation on the same samples, exchanged samples as chance
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.results import Table

YES, NO, OPEN, NONE = "yes", "no", "open", ""
TESTS = {  # by name: what it says of a feature that passes, and what its number and its chance are
    "again": ("is found again by other seeds", "matched cosine", "random dictionaries"),
    "stable": ("keeps its direction in other samples", "cosine of refits", "samples exchanged"),
    "unique": ("has rows of its own", "size of the largest trade, 1 for none", ""),
    "shows": ("rises out of the noise", "strength, in units of the noise", "least strength that can show"),
    "elsewhere": ("is present in other networks", "held-out correlation", "samples exchanged"),
}
COLUMNS = (
    "feature", "dead", "passed", "failed", "asked",
    *(f"{t}{part}" for t in TESTS for part in ("", " value", " chance")),
    "neighbour", "nearest", "nearest cosine",
)  # fmt: skip


@dataclass(frozen=True)
class Question:
    """A method that is run. Of a `test`: the column that has its verdict and what each of them is, the columns of its
    number and of its chance, or of how far the number is `beyond` it. `more`: columns taken over by name. One without a
    test and without more is run for the cards alone."""

    method: str
    test: str = ""
    said: str = "verdict"
    words: Mapping[str, str] = field(default_factory=dict)
    value: str = ""
    chance: str = ""
    beyond: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def fills(self) -> bool:
        return bool(self.test or self.more)

    def read(self, found: Table) -> dict[str, np.ndarray]:
        """Columns of the certificate from the method's result."""
        c = found.columns
        columns = {own: c[theirs] for own, theirs in self.more.items()}
        if not self.test:
            return columns
        verdict = np.array([self.words.get(str(w), NONE) for w in c[self.said]], "U4")
        columns |= {self.test: verdict, f"{self.test} value": c[self.value]}
        if self.beyond:
            columns[f"{self.test} chance"] = c[self.value] - c[self.beyond]
        elif self.chance:
            columns[f"{self.test} chance"] = c[self.chance]
        return columns


NEIGHBOUR = Question(
    "feature_table", more={"neighbour": "verdict", "nearest": "nearest", "nearest cosine": "cosine"}
)
TOGETHER, ENERGY, NAMES = Question("co_activation"), Question("atom_energy"), Question("feature_names")
AGAIN = Question(
    "seed_consistency", "again", "certified", {"yes": YES, "no": NO}, "matched", beyond="above chance"
)
STABLE = Question(
    "direction_stability", "stable", words={"stable": YES, "not stable": NO, "too few rows": OPEN}, value="stability",
    chance="by chance",
)  # fmt: skip
UNIQUE = Question(
    "uniqueness", "unique", words={"has rows of its own": YES, "can be traded": NO, "open": OPEN},
    value="q of the trade",
)  # fmt: skip
SHOWS = Question(
    "spike_detectability", "shows", words={"shows": YES, "hidden": NO, "on the border": OPEN}, value="strength",
    chance="threshold",
)  # fmt: skip
ELSEWHERE = Question(
    "presence_elsewhere", "elsewhere", words={"present": YES, "not found": NO, "too few samples": OPEN},
    value="held-out r", chance="by chance",
)  # fmt: skip


def asked(
    store, tap: str, reference: str, seeds: Sequence[str], networks: Sequence[str]
) -> list[tuple[Question, list[str], str]]:
    """What is run for a certificate of an encoded tap: the question, of which taps, and why it is not asked ("" where
    it is)."""
    source = f"{reference.partition(':')[0]}:{store.entry(tap)['of']}"
    negative = bool((store.index(tap).table()["minimum"] < 0).any())
    return [
        (NEIGHBOUR, [reference], ""),
        (TOGETHER, [reference], ""),
        (ENERGY, [source, reference], ""),
        (NAMES, [reference], ""),
        (AGAIN, [reference, *seeds], "" if seeds else "no other seed was named"),
        (STABLE, [reference], ""),
        (UNIQUE, [reference], "codes are negative too" if negative else ""),
        (SHOWS, [reference], ""),
        (ELSEWHERE, [reference, *networks], "" if networks else "no other network was named"),
    ]


def unanswered(store, tap: str) -> dict[str, np.ndarray]:
    """The columns before anything is asked."""
    k = store.activations(tap).shape[1]
    dead = np.asarray(store.index(tap).table()["dead"], bool)
    columns = {"feature": np.array(store.activations(tap).unit_names), "dead": dead}
    for test in TESTS:
        unknown = np.full(k, np.nan)
        columns |= {test: np.full(k, NONE, "U4"), f"{test} value": unknown, f"{test} chance": unknown.copy()}
    return columns | {"neighbour": np.full(k, "", "U16"), "nearest": np.full(k, "", "U32")}


def count(columns: dict[str, np.ndarray]) -> None:
    """How many tests were asked of a feature, and how many it passed and failed; dead features are asked nothing."""
    said = np.stack([columns[t] for t in TESTS])
    said[:, columns["dead"]] = NONE
    for test, own in zip(TESTS, said, strict=True):
        columns[test] = own
    columns["passed"] = (said == YES).sum(axis=0)
    columns["failed"] = (said == NO).sum(axis=0)
    columns["asked"] = (said != NONE).sum(axis=0)
