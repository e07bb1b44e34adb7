"""What the Subspaces page asks, view by view, and which methods answer it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """`methods`: ids, the most asked for first."""

    title: str
    question: str
    methods: tuple[str, ...]


QUESTIONS = {  # by name in the URL
    "rank": View("Rank", "How many directions does this layer really use?", ("pca_spectrum", "layer_utilisation")),
    "classes": View("Classes", "Does each class have a space of its own?", ("coding_rate", "pair_gate", "gate_overlap")),
}  # fmt: skip
