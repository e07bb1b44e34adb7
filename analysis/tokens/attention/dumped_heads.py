"""The heads of a dump of one's own (`analysis.tokens.recorded_dump`): weights as they were recorded, or softmax of what
was recorded of queries and keys; where only tokens were, one head a block, whose queries and keys they are.

Where weights were recorded without queries and keys, log A stands for queries and the identity for keys: q k' is then
log A, and its softmax the recorded weights.
"""

from __future__ import annotations

import numpy as np

LEAST = 1e-12  # below which a weight's logarithm counts as this
STAND_IN = (
    "Queries and keys were not recorded: the logarithm of the weights stands for their products, so that ranks and "
    "lengths of queries and keys say nothing."
)
TOKENS = "Neither weights nor queries and keys were recorded: the tokens behind each block stand for both."


def dumped_heads(recorded: dict[str, list[np.ndarray]], places: np.ndarray):
    """(queries, keys (L lists of (n, H, T, e)), weights (L lists of (n, H, T, T)) or None, scale or None, notes) of the
    samples at `places`."""
    said = (f"No network was run: heads are those that were recorded of {len(recorded['between'])} blocks.",)
    weights = [a[places] for a in recorded["attention"]] if "attention" in recorded else None
    if "queries" in recorded and "keys" in recorded:
        q, k = ([x[places] for x in recorded[name]] for name in ("queries", "keys"))
        if weights is None or all(a.shape[1] == w.shape[1] for a, w in zip(q, weights, strict=True)):
            return q, k, weights, None, said
    if weights is not None:
        eye = np.eye(weights[0].shape[3])
        q = [np.log(np.maximum(w, LEAST)) for w in weights]
        return q, [np.broadcast_to(eye, x.shape) for x in q], weights, 1.0, (*said, STAND_IN)
    x = [h[places][:, None] for h in recorded["hidden"][1:]]
    return x, x, None, None, (*said, TOKENS)
