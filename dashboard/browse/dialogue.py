"""A dialogue of flips turn by turn: what is asked, what can be guessed, what is answered, who shows the concept."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import LoupeError
from analysis.results import Table
from dashboard.browse.pictured import Pictured

NEEDED = ("step", "concept", "change", "before", "after", "choices", "said", "probability after")
SHOWN = "shown by"


@dataclass(frozen=True)
class Turn:
    """`asked` before the guess, one of `choices`; `said` and `answer` after it, with the `wanted` answer's probability;
    `shows`: numbers of samples that show the concept."""

    asked: str
    choices: tuple[str, ...]
    answer: str
    said: str
    wanted: float
    shows: tuple[int, ...]


def turns(result: Table) -> list[Turn]:
    """Of the table of `counterfactual_dialogue`; none of any other."""
    c = result.columns
    if any(name not in c for name in NEEDED):
        return []
    shown = [name for name in c if name.startswith(SHOWN)]
    found = []
    for i in range(len(c["step"])):
        first = "It says" if i == 0 else "Now it says"
        asked = f"{first} {c['before'][i]}. What would it say {c['change'][i]} {c['concept'][i]}?"
        choices = tuple(dict.fromkeys([*str(c["choices"][i]).split(" | "), str(c["after"][i])]))
        found.append(Turn(asked, tuple(sorted(choices)), str(c["after"][i]), str(c["said"][i]),
                          float(c["probability after"][i]), tuple(int(c[name][i]) for name in shown)))  # fmt: skip
    return found


def faces(workspace, result: Table, turn: Turn) -> Pictured | None:
    """The sample itself beside those that show the concept of a turn; None where they have no picture or text."""
    if result.origin is None or not result.origin.inputs:
        return None
    reference = str(result.origin.inputs[0].get("name", ""))
    try:
        store = workspace.store(reference.partition(":")[0])
        layout = workspace.activations(reference).layout
    except LoupeError:
        return None
    pictures = store.thumbnail(0) is not None
    own = int(result.origin.params.get("sample", 0))
    if not (pictures or store.tokens(0)) or max((own, *turn.shows)) >= layout.n_samples:
        return None
    at = lambda samples: ([int(layout.offsets[i]) for i in samples], [""] * len(samples))  # noqa: E731
    groups = {"the sample": at([own]), "samples that show the concept": at(list(dict.fromkeys(turn.shows)))}
    return Pictured(groups, store, reference, layout, "pictures" if pictures else "texts")


def score(guesses: list[str], found: list[Turn]) -> str:
    """How often the guesses were right, in a sentence."""
    right = int(np.sum([g == t.answer for g, t in zip(guesses, found, strict=False)]))
    return f"You foresaw {right} of {len(guesses)} answer{'s' * (len(guesses) != 1)}."


def plain(turn: Turn) -> Turn:
    """Without characters that a page would take for markup."""
    clean = lambda text: "".join(ch if ch not in "*_`$[]<>#~\\" else " " for ch in text)  # noqa: E731
    return replace(turn, asked=clean(turn.asked), said=clean(turn.said))
