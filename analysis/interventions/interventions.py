"""What is done to a part of what stands at a site, for all samples of a batch and all or some of their tokens.

    put   the part's value becomes another: 0 or a mean (ablation), another sample's (resampling), a number (clamping),
          that of another run (patching)
    add   alpha times a direction (steering)

The part is some units, the coordinate along a direction, or features of a set: x + (new - z(x)) direction, so that
whatever the set does not hold stays. Putting back what stands there changes nothing, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.interventions.components import Component, Place, Site

ZERO, MEAN, RESAMPLE = "zero", "mean", "resample"
ABLATIONS = (MEAN, ZERO, RESAMPLE)


class Part(Protocol):
    def read(self, x):
        """Values (n, tokens, k) of x (n, tokens, units)."""
        ...

    def written(self, x, values):
        """x with these values; `values` broadcast to those of `read`."""
        ...


@dataclass(frozen=True)
class Units:
    """Units `start` to `stop`; all of them without."""

    start: int | None = None
    stop: int | None = None

    def read(self, x):
        return x[..., self.start : self.stop]

    def written(self, x, values):
        new = x.clone()
        new[..., self.start : self.stop] = values
        return new


class Along:
    """The coordinate along `direction` (units,), which is made of length 1."""

    def __init__(self, direction: np.ndarray) -> None:
        size = float(np.linalg.norm(direction))
        if not np.isfinite(size) or size == 0:
            raise InputError(f"a direction of length {size}", "one that is not zero and is finite")
        self._direction = np.asarray(direction, np.float64) / size

    def read(self, x):
        return (x.double() @ self._own(x)).unsqueeze(-1)

    def written(self, x, values):
        moved = (values - self.read(x)) * self._own(x)
        return x + moved.to(x.dtype)

    def _own(self, x):
        import torch

        if x.shape[-1] != len(self._direction):
            raise ShapeError(
                f"a direction of {len(self._direction)} units", f"{x.shape[-1]}, as the site has"
            )
        return torch.as_tensor(self._direction)


class Features:
    """Features of a set: `codes` of rows (n, units) to activations (n, features), numpy; `directions` (features,
    units); `chosen` (k,) of them."""

    def __init__(self, codes: Callable[[np.ndarray], np.ndarray], directions: np.ndarray, chosen) -> None:
        self._codes, self._chosen = codes, np.atleast_1d(np.asarray(chosen, np.int64))
        self._directions = np.asarray(directions, np.float64)[self._chosen]

    def joined(self, other: Features) -> Features | None:
        """Both at once, where they are of one set and have none in common."""
        if other._codes is not self._codes or np.isin(other._chosen, self._chosen).any():
            return None
        both = object.__new__(Features)
        both._codes, both._chosen = self._codes, np.concatenate([self._chosen, other._chosen])
        both._directions = np.concatenate([self._directions, other._directions])
        return both

    def read(self, x):
        import torch

        rows = x.detach().double().reshape(-1, x.shape[-1]).numpy()
        return torch.as_tensor(self._codes(rows)[:, self._chosen]).reshape(*x.shape[:-1], -1)

    def written(self, x, values):
        import torch

        return x + ((values - self.read(x)) @ torch.as_tensor(self._directions)).to(x.dtype)


@dataclass(frozen=True)
class Intervention:
    """`values` (n, tokens, k), or what broadcasts to it, in the place of the `part`'s; of "add" `part` is ignored and
    they are added to all units. A function that makes them is called whenever they are needed, so that many
    interventions need not be held. `tokens`: bool (n, tokens) or (tokens,), where; everywhere without."""

    site: Site
    values: object
    part: Part = Units()
    way: str = "put"
    tokens: object = None

    def made(self):
        return self.values() if callable(self.values) else self.values

    def applied(self, x):
        """x (n, tokens, units), which is not written to, after it."""
        import torch

        values = torch.as_tensor(self.made())
        new = x + values.to(x.dtype) if self.way == "add" else self.part.written(x, _fitting(values, x))
        if new.shape != x.shape:
            raise ShapeError(
                f"values {tuple(values.shape)} at {self.site.module}", f"some that fit {tuple(x.shape)}"
            )
        if self.tokens is None:
            return new
        return torch.where(torch.as_tensor(self.tokens, dtype=torch.bool)[..., None], new, x)


def _fitting(values, x):
    return values.to(x.dtype) if x.dtype == values.dtype else values.double()


Cell = tuple[Intervention, ...]  # what is done at once


def together(cell: Cell) -> Cell:
    """The same with features of one set at one site put at once: each from what it was before any of them changed,
    as taking one out can change which others are active."""
    import torch

    found: list[Intervention] = []
    for e in cell:
        last = found[-1] if found else e
        both = None
        everywhere = e.tokens is None and last.tokens is None
        if found and everywhere and (e.way, e.site) == (last.way, last.site):
            pair = isinstance(e.part, Features) and isinstance(last.part, Features)
            both = last.part.joined(e.part) if pair else None
        if both is None:
            found.append(e)
            continue
        values = [torch.as_tensor(v, dtype=torch.float64) for v in (last.made(), e.made())]
        sizes = [len(i.part._chosen) for i in (last, e)]
        values = [v.expand(*v.shape[:-1], k) for v, k in zip(values, sizes, strict=True)]
        lead = torch.broadcast_shapes(*(v.shape[:-1] for v in values))
        joined = torch.cat([v.expand(*lead, v.shape[-1]) for v in values], dim=-1)
        found[-1] = Intervention(e.site, joined, both)
    return tuple(found)


def part_of(place: Place) -> Part:
    """What a place of a component is of its site."""
    return place.special if place.special is not None else Units(place.start, place.stop)


def put(component: Component, values: Callable[[Site], object], tokens=None) -> Cell:
    """At every place of a component what `values(site)` (n, tokens, units) has there, or what broadcasts to it: a mean
    (units,), another run."""
    return put_values(component, lambda p: _read(values(p.site), p), tokens)


def put_values(component: Component, values: Callable[[Place], object], tokens=None) -> Cell:
    """At every place of a component `values(place)`, of its part alone."""
    return tuple(Intervention(p.site, values(p), part_of(p), tokens=tokens) for p in component.places)


def zeroed(component: Component, tokens=None) -> Cell:
    return put_values(component, lambda _place: 0.0, tokens)


def clamped(site: Site, part: Part, value: float, tokens=None) -> Cell:
    """The part held at a number."""
    return (Intervention(site, float(value), part, tokens=tokens),)


def steered(site: Site, direction: np.ndarray, alpha: float, tokens=None) -> Cell:
    """alpha times `direction` (units,) added."""
    return (Intervention(site, alpha * np.asarray(direction, np.float64), way="add", tokens=tokens),)


def patched(component: Component, source, tokens=None) -> Cell:
    """What `source`, a mapping of sites to (n, tokens, units) of another run, has there."""
    return put(component, source.__getitem__, tokens)


def _read(values, place: Place):
    import torch

    return part_of(place).read(torch.as_tensor(values))


def at_tokens(n_tokens: int, *positions: int):
    """(tokens,) bool: these positions, from the end where negative. Raises InputError."""
    import torch

    found = torch.zeros(n_tokens, dtype=torch.bool)
    for p in positions:
        if not -n_tokens <= p < n_tokens:
            raise InputError(f"token {p} of {n_tokens} tokens", f"0 … {n_tokens - 1}")
        found[p] = True
    return found
