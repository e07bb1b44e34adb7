"""Modes of state spaces as places in a plane, beside where stability ends and where families of modes start."""

from __future__ import annotations

import numpy as np

from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.state_spaces import NEVER, Spaces

CONTINUOUS, DISCRETE = "A, continuous", "Ā = exp(Δ A), one step"
DRIFT = "drift from the start"
ROUND = np.linspace(0, 2 * np.pi, 181)


def modes_in_plane(space: ssm.StateSpace, plane: str) -> dict[str, np.ndarray]:
    """Columns (channels x modes,) of a layer: its modes' places, half-lives, sizes, drift from the start, and names."""
    h, n = space.a.shape
    turn = ssm.discrete(space)[0]
    _, drift = ssm.nearest_start(space.a)
    return {
        "place": (space.a if plane == CONTINUOUS else turn).ravel(),
        "half-life (steps)": np.minimum(ssm.half_lives(space), NEVER).ravel(),
        "size of Ā": np.abs(turn).ravel(),
        DRIFT: drift.ravel(),
        "channel": np.repeat(np.arange(1, h + 1), n),
        "layer": np.full(h * n, space.name),
    }


def plane_guides(found: Spaces, plane: str) -> dict[str, np.ndarray]:
    """Lines (k, 2) by name: where stability ends, and where families of modes start."""
    if plane == DISCRETE:
        return {"unit circle": np.column_stack([np.cos(ROUND), np.sin(ROUND)])}
    reach = max(float(np.abs(s.a.imag).max()) for s in found.spaces) or 1.0
    guides = {"Re A = 0": np.array([[0.0, -reach], [0.0, reach]])}
    if found.fitted:
        return guides
    modes = found.spaces[0].a.shape[1]
    for family in ssm.FAMILIES if modes > 1 else ():
        start = ssm.started(family, modes)
        start = start[np.abs(start.imag) <= 2 * reach + 1]
        if len(start) > 1:
            guides[f"start of {family}"] = np.column_stack([start.real, start.imag])
    return guides
