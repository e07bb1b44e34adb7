"""What something that reads a tap says when the tap's rows are replaced: the network itself, or a probe in its place.

A replacement is a function `(x (m, d) float64, rows (m,)) -> (m, d)` of rows of the tap and their numbers in it. All
replacements, and the untouched rows, go through the same reader on the same samples; padding is never replaced and
never counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from analysis.spec import Progress

Replacement = Callable[[np.ndarray, np.ndarray], np.ndarray]
CLEAN = "untouched"


@dataclass(frozen=True)
class Answers:
    """Of n samples: `loss` (n,) nats; `kl` (n,) nats from the untouched answer, mean over a sample's tokens;
    `predicted` (n,) class, -1 where there are none; `later` by tap: squared difference (n,) from the untouched values
    there."""

    loss: np.ndarray
    kl: np.ndarray
    predicted: np.ndarray
    later: dict[str, np.ndarray] = field(default_factory=dict)


class Reader(Protocol):
    """`samples` (n,) which samples of the tap are read; `of` (n,) their true class, -1 for none, among `classes`
    (empty where the answers are no classes); `what` reads, in words; `is_network`; `notes`."""

    samples: np.ndarray
    of: np.ndarray
    classes: tuple[str, ...]
    what: str
    is_network: bool
    notes: tuple[str, ...]

    def read(
        self,
        replacements: Mapping[str, Replacement],
        progress: Progress,
        span: tuple[float, float],
        only=None,
    ) -> dict[str, Answers]:
        """Answers to the untouched rows (`CLEAN`) and to every replacement; `only` (n,) bool: of these samples."""
        ...

    def probabilities(
        self, replacements: Mapping[str, Replacement], n: int, progress: Progress, span: tuple[float, float]
    ) -> dict[str, np.ndarray]:
        """(n, outputs) probabilities of n samples spread over the data: untouched, and for every replacement."""
        ...

    def slopes(self, progress: Progress, span: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers (m,) and the slope (m, d) of each sample's loss in its rows."""
        ...


def spread(total: int, n: int) -> np.ndarray:
    """At most n of `total` numbers, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(n, total)).round().astype(np.int64))


def divergence(clean: np.ndarray, other: np.ndarray) -> np.ndarray:
    """KL (n,) in nats between softmaxes of log-probabilities `clean` and `other` (n, C)."""
    return np.maximum((np.exp(clean) * (clean - other)).sum(axis=-1), 0.0)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """(…, C) float64."""
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
