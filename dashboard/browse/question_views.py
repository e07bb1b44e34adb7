"""A page of questions: what one of its views is called, what it is about, and what it asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """`asks`: method by question, the most asked for first; the page shows those that are installed."""

    title: str
    about: str
    asks: dict[str, str]
