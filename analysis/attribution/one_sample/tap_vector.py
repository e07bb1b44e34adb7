"""The vector that stands for a sample at a tap, read while its network runs, and numbers of it to explain.

mean over tokens, or one token        v
movement along a direction            <v - origin, u>
movement in a subspace                |Uᵀ (v - origin)|
a feature                             its activation, mean over tokens or at one
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.sources.module_output import RECORDED

MOST_LEADING = 8


@dataclass(frozen=True)
class TapVector:
    """Of what `module` gives: the mean over its tokens from number `skip` on, or token `position`; some `units` or all.
    As a target it is (b, units): for who compares one run with many things."""

    module: str
    position: int | None = None
    skip: int = 0
    units: np.ndarray | None = None
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return (self.module,)

    def tokens(self, caught):
        """(b, tokens, units), those that are read."""
        from analysis.attribution.sample_run import as_tokens

        x = as_tokens(caught[self.module])
        if self.position is not None:
            at = self.position % x.shape[1]
            return x[:, at : at + 1]
        return x[:, self.skip :]

    def of(self, logits, caught):
        x = self.tokens(caught).mean(dim=1)
        return x if self.units is None else x[:, self.units]


@dataclass(frozen=True)
class MovementTarget:
    """How far a vector has moved from `origin` (units,): along `directions` (units,), or inside the span of orthonormal
    `directions` (units, k)."""

    vector: TapVector
    directions: np.ndarray
    origin: np.ndarray
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return self.vector.catch

    def of(self, logits, caught):
        import torch

        x = self.vector.of(logits, caught)
        base, origin = (torch.as_tensor(v, dtype=x.dtype) for v in (self.directions, self.origin))
        if len(base) != x.shape[1]:
            raise InputError(
                f"directions of {len(base)} units", f"{x.shape[1]}, those of '{self.vector.module}'"
            )
        along = (x - origin) @ base
        return along if base.ndim == 1 else _length(along)


@dataclass(frozen=True)
class DistanceTarget:
    """Of a vector to `reference` (units,)."""

    vector: TapVector
    reference: np.ndarray
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return self.vector.catch

    def of(self, logits, caught):
        import torch

        x = self.vector.of(logits, caught)
        return _length(x - torch.as_tensor(self.reference, dtype=x.dtype))


@dataclass(frozen=True)
class CosineTarget:
    """Of a vector and `reference` (units,), both less `centre` (units,)."""

    vector: TapVector
    reference: np.ndarray
    centre: np.ndarray
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return self.vector.catch

    def of(self, logits, caught):
        import torch

        x = self.vector.of(logits, caught)
        centre = torch.as_tensor(self.centre, dtype=x.dtype)
        other = torch.as_tensor(self.reference, dtype=x.dtype) - centre
        return torch.nn.functional.cosine_similarity(x - centre, other[None], dim=1)


@dataclass(frozen=True)
class FeatureTarget:
    """The activation of one feature, mean over the tokens that are read: `encode` rows (n, units) to its activations
    (n,), `reader` (units,) their slopes where it is active. Its own choice of who is active is taken as it is."""

    vector: TapVector
    encode: object
    reader: np.ndarray
    words: str = ""

    @property
    def catch(self) -> tuple[str, ...]:
        return self.vector.catch

    def of(self, logits, caught):
        import torch

        x = self.vector.tokens(caught)
        rows = x.detach().double().numpy().reshape(-1, x.shape[2])
        value = torch.as_tensor(self.encode(rows)).reshape(x.shape[:2]).to(x.dtype)
        slope = x @ torch.as_tensor(self.reader, dtype=x.dtype)
        moving = torch.where(value != 0, slope - slope.detach(), torch.zeros_like(slope))
        return (value + moving).mean(dim=1)


def _length(x):
    """(b,) Euclidean, with the slope 0 at 0."""
    import torch

    square = (x * x).sum(dim=1)
    return torch.where(square > 0, torch.sqrt(torch.where(square > 0, square, 1.0)), 0.0 * square)


def vector_of(module: str, given: np.ndarray, stored: np.ndarray, name: str) -> TapVector:
    """How the `stored` (rows, units) of a sample follow from what its module gave, `given` (tokens, units): found by
    their values. Raises InputError where they do not."""
    scale = RECORDED * max(float(np.abs(stored).max(initial=0)), 1e-300)

    def same(found) -> bool:
        return found.shape == stored.shape and bool((np.abs(found - stored) <= scale).all())

    if same(given):
        return TapVector(module)
    for position in (0, -1):
        if same(given[[position]]):
            return TapVector(module, position)
    for skip in range(min(MOST_LEADING, len(given) - 1) + 1):
        if same(given[skip:].mean(axis=0, keepdims=True)):
            return TapVector(module, skip=skip)
    raise InputError(
        f"module '{module}' gives {given.shape[0]} tokens of {given.shape[1]} units that are not what {name} has of "
        "the sample",
        "the output that was recorded",
        "Record the tap again from this checkpoint",
    )
