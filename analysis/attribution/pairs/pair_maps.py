"""Where in a sample is its likeness to another one? Maps of a pair's score through the network.

occlusion    s(x, y) - s(x without this part, y), part by part
Score-CAM    Σ_k w_k (A_k - A_k of the blank), not below 0, with A_k the map of unit k at the tap, M_k the same drawn
             between 0 and 1 and enlarged to the input, and w = softmax_k(s(x M_k + blank (1 - M_k), y) - s(blank, y))

The network is run once for each part or unit and gives vectors; scores with any number of partners follow from them.

Reference: H. Wang et al. (2020), "Score-CAM: Score-weighted visual explanations for convolutional neural networks".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.one_sample.tap_vector import TapVector
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import map_of
from analysis.errors import InputError
from analysis.spec import Progress

ROWS = 64


def vectors(run: SampleRun, x, vector: TapVector, progress: Progress, span) -> np.ndarray:
    """(m, units) float64 of x (m, tokens, units) at the site."""
    import torch

    found, parts = [], x.split(ROWS)
    for i, part in enumerate(parts):
        progress(span[0] + (span[1] - span[0]) * i / len(parts), "running masked samples")
        with torch.no_grad():
            found.append(run.values(part, vector).double().numpy())
    return np.concatenate(found)


def scores(found: np.ndarray, others: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(m, partners) cosines of vectors (m, d) with centred `others` (partners, d); 0 for one without direction."""
    x = found - centre
    size = np.linalg.norm(x, axis=1, keepdims=True) * np.linalg.norm(others, axis=1)
    small = size <= 1e-12 * max(float(size.max(initial=0.0)), 1e-300)
    return np.where(small, 0.0, x @ others.T / np.where(small, 1.0, size))


def occluded(run: SampleRun, players, blank, vector: TapVector, progress: Progress, span) -> np.ndarray:
    """(players + 1, units): the vector of the sample, and without each player, `blank` (tokens, units) there."""
    import torch

    there = torch.cat(
        [torch.ones((1, len(players.names)), dtype=torch.bool),
         ~torch.eye(len(players.names), dtype=torch.bool)]
    )  # fmt: skip
    return vectors(run, players.mixed(there, run.clean, blank), vector, progress, span)


def drops(found: np.ndarray, others: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(partners, players) of what `occluded` found."""
    s = scores(found, others, centre)
    return (s[:1] - s[1:]).T


class ScoreCam:
    """The masked runs of one sample: `maps` (positions, units) less those of the blank, on `grid`; `heat` for any
    partners."""

    def __init__(self, run: SampleRun, blank, vector: TapVector, progress: Progress, span) -> None:
        import torch

        given, grid, leading = map_of(run, vector.module)
        tokens = run.shape[0]
        if (grid is None and len(given) != tokens) or (grid is not None and run.grid is None):
            raise InputError(
                f"'{vector.module}' gives {len(given)} tokens for an input of {tokens}",
                "a map of the input, or as many tokens",
                "Take occlusion, or another tap",
            )
        self.grid, raw = grid, given[leading:]
        with torch.no_grad():
            empty = run.values(blank[None], _Tokens(vector.module))[0].double().numpy()[leading:]
        if vector.units is not None:
            raw, empty = raw[:, vector.units], empty[:, vector.units]
        masks = _enlarged(_drawn(raw), grid, run.grid)
        x, at = run.clean, torch.as_tensor(masks.T[:, :, None]).to(run.clean.dtype)
        mixed = torch.cat([blank[None], blank + at * (x - blank)])
        self.maps, self.passes = raw - empty, len(mixed)
        self._found = vectors(run, mixed, vector, progress, span)

    def heat(self, others: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """(partners, positions)"""
        s = scores(self._found, others, centre)
        gain = s[1:] - s[:1]
        weight = np.exp(gain - gain.max(axis=0))
        return np.maximum(self.maps @ (weight / weight.sum(axis=0)), 0.0).T


class _Tokens(TapVector):
    """All tokens of a module, as they are."""

    def of(self, logits, caught):
        return self.tokens(caught)


def _drawn(maps: np.ndarray) -> np.ndarray:
    """(positions, units) each between 0 and 1; a constant map is 0."""
    low, reach = maps.min(axis=0), np.ptp(maps, axis=0)
    return np.where(reach > 0, (maps - low) / np.where(reach > 0, reach, 1.0), 0.0)


def _enlarged(masks: np.ndarray, grid, to) -> np.ndarray:
    """(tokens of the input, units)"""
    if grid is None or grid == to:
        return masks
    import torch

    pictures = torch.as_tensor(masks.T.reshape(1, -1, *grid))
    large = torch.nn.functional.interpolate(pictures, size=tuple(to), mode="bilinear", align_corners=False)
    return large[0].flatten(1).T.numpy()
