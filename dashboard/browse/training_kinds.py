"""The kinds of dictionary that can be made of a tap, for the page that offers them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.features.architectures import ARCHITECTURES
from analysis.features.classical import CLASSICAL as KNOWN

LEARNED, CLASSICAL = "Learned by gradient", "Classical"


@dataclass(frozen=True)
class Kind:
    """One kind. `words`: its equation in plain words; `equation`: the text of its file, formula first; `job`: what
    makes it; `sparsity`: the parameter that says how sparse, "" where there is none; `beside`: the parameter that
    names a second tap; `live`: the network itself is run."""

    name: str
    title: str
    group: str
    summary: str
    words: str
    equation: str
    params: type
    job: str
    papers: tuple[str, ...] = ()
    sparsity: str = ""
    beside: str = ""
    live: bool = False


def kinds() -> dict[str, Kind]:
    """By name, learned ones first."""
    return {kind.name: kind for kind in (*_learned(), *_classical())}


def _learned() -> list[Kind]:
    return [
        Kind(
            a.name, a.title, LEARNED, a.summary, a.words, _text(a.make), a.params, "train", a.papers, a.sparsity,
            a.beside, a.live,
        )
        for a in ARCHITECTURES.values()
    ]  # fmt: skip


def _classical() -> list[Kind]:
    return [
        Kind(c.name, c.title, CLASSICAL, c.summary, "", _text(c.make), c.params, "make_features", c.papers)
        for c in KNOWN
    ]


def _text(made) -> str:
    """What the file that makes a kind says on top."""
    return (sys.modules[made.__module__].__doc__ or "").strip()
