"""The network of a tap, or, where it cannot be run, a dump of its rows in the place of tokens."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound
from analysis.spec import Progress
from analysis.tokens.dump import TokenDump
from analysis.tokens.opened import Opened, opened
from analysis.tokens.tap_dump import NOTE, dump_of_rows


def opened_or_rows(
    tap: Activations, maximum: int, rng: np.random.Generator, progress: Progress
) -> tuple[Opened | None, TokenDump | None, tuple[str, ...]]:
    """(network, None, notes) or (None, dump, notes), of at most `maximum` samples. `progress` goes to one half.

    Raises NotEnoughData where neither has two samples of two tokens.
    """
    progress(0.0, "opening")
    why = ""
    if getattr(tap, "store", None) is not None or getattr(tap, "source", None) is not None:
        try:
            live = opened(tap, maximum, rng)
            progress(0.5, "opened")
            return live, None, tuple(live.notes)
        except (InputError, NotFound) as error:
            why = f"It cannot be run: {error.found}."
    dump, seen = dump_of_rows(tap, maximum, rng, progress)
    return None, dump, (NOTE, *([why] if why else []), *seen.notes)
