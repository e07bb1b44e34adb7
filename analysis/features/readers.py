"""Which reader judges a tap: its network where that can be run, else a linear probe of labels, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.cluster_columns import label_column
from analysis.errors import InputError, NotFound
from analysis.features.answers import Reader
from analysis.features.network_reader import NetworkReader
from analysis.features.probe_reader import ProbeReader
from analysis.spec import Progress

AUTOMATIC, PROBE = "the network, where it can be run", "a linear probe"
READERS = (AUTOMATIC, PROBE)
OPENING = 5.0  # seconds to open and run a small network, where there is one


def reader_of(
    tap: Activations,
    asked: str,
    column: str | None,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress,
    span,
) -> tuple[Reader, tuple[str, ...]]:
    """The reader, and notes. Raises as `network_or_probe`."""
    return network_or_probe(
        tap, asked, column, progress, span, network=lambda: NetworkReader(tap, maximum, rng),
        probe=lambda labels: ProbeReader(tap, labels, maximum, rng, progress, span),
    )  # fmt: skip


def network_or_probe(
    tap: Activations, asked: str, column: str | None, progress: Progress, span, *, network: Callable[[], Any],
    probe: Callable[[str], Any],
) -> tuple[Any, tuple[str, ...]]:  # fmt: skip
    """What `network` makes where it can be run and is asked for, else what `probe` makes of a column of labels; and its
    notes. `column`: None for 'label' where there is one.

    Raises
    ------
    NotFound
        No such column; none where a probe is needed.
    NotEnoughData
        A probe of too few labelled samples.
    InputError
        The network cannot be run, and there are no labels either.
    """
    if column is not None:
        sample_column(tap, column)  # its refusal
    refused = None
    if asked == AUTOMATIC and getattr(tap, "store", None) is not None:
        progress(span[0], "opening the network")
        try:
            found = network()
            return found, found.notes
        except (InputError, NotFound) as why:
            refused = why
    column = label_column(tap, column)
    if column is None:
        if refused is not None:
            raise refused
        raise NotFound(
            f"{tap.name} has no labels and no network that can be run", "one of them to say what the tap is for",
            "Name a column of classes, or record the tap from a network that needs no code (`loupe describe`)",
        )  # fmt: skip
    found = probe(column)
    why = () if refused is None else (f"The network cannot be run here: {refused.found}.",)
    return found, (*why, *found.notes)
