"""What the tokens of a sample are called: words of a text, places of an image, numbers otherwise."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations


def token_names(tap: Activations, sample: int, tokens: np.ndarray) -> tuple[str, ...]:
    """A name, no two alike, for each of the `tokens` (m,), numbers inside the sample; rows and columns from 1."""
    layout, store = tap.layout, getattr(tap, "store", None)
    count = int(layout.offsets[sample + 1] - layout.offsets[sample])
    if layout.grid is not None and count == layout.leading + layout.grid[0] * layout.grid[1]:
        wide = layout.grid[1]
        return tuple(
            f"leading token {t + 1}"
            if t < layout.leading
            else "row {}, column {}".format(*(int(v) + 1 for v in divmod(t - layout.leading, wide)))
            for t in map(int, tokens)
        )
    texts = store.tokens(sample) if store is not None else None
    leading = count - len(texts) if texts else -1
    if not texts or leading not in (0, layout.leading):
        return ("the whole sample",) if count == 1 else tuple(f"token {int(t)}" for t in tokens)
    return tuple(f"{t}: {texts[t - leading]!r}" if t >= leading else f"token {t}" for t in map(int, tokens))
