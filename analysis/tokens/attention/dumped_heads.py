"""The heads of a dump of one's own (`analysis.tokens.recorded_dump`): weights as they were recorded, or softmax of what
was recorded of queries and keys; where only tokens were, one head a block, whose queries and keys they are.

Where weights were recorded without queries and keys, log A stands for queries and the identity for keys: q k' is then
log A, and its softmax the recorded weights.
"""

from __future__ import annotations

import numpy as np

LEAST, OFF = 1e-12, 0.01  # below which a weight's logarithm counts as this; of a row's sum
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
    said += no_shares(weights) if weights else ()
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


def no_shares(weights: list[np.ndarray]) -> tuple[str, ...]:
    """What is to be said of weights that are no shares of 1: learned maps in the place of softmax give such."""
    off = max(float(np.abs(w.sum(axis=3) - 1).max()) for w in weights)
    mass = sum(float(np.abs(w).sum()) for w in weights)
    below = -sum(float(np.minimum(w, 0).sum()) for w in weights) / max(mass, LEAST)
    said = []
    if below > LEAST:
        said.append(f"{below:.1%} of the mass of the recorded weights is negative and counts as 0 here.")
    if off > OFF:
        said.append(f"Rows of the recorded weights sum to 1 only within {off:.2g}; they are made whole here.")
    return tuple(said)
