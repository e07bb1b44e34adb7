"""What would be sent for a feature, word for word. Nothing here can send anything."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.naming import prompts
from analysis.naming.evidence import evidence

REQUESTS = 2  # for each feature, at most


@dataclass(frozen=True)
class Preview:
    """The questions for a `name` and which examples `fit` it, as (role, text); the second with a place for the name.
    `told` says what examples are; `few` why there is no second question."""

    name: tuple[tuple[str, str], ...]
    fit: tuple[tuple[str, str], ...]
    told: str
    few: str

    @property
    def requests(self) -> int:
        return REQUESTS if self.fit else 1


def preview(store, tap: str, feature: int, seed: int = 0) -> Preview:
    """Needs no model to be configured. Raises as `evidence`."""
    told = evidence(store, tap, feature, seed)
    second = _plain(prompts.fit_messages(told, prompts.PLACE)) if told.held_out else ()
    return Preview(_plain(prompts.name_messages(told)), second, told.words, told.few)


def _plain(messages: list[dict]) -> tuple[tuple[str, str], ...]:
    return tuple((m["role"], m["content"]) for m in messages)
