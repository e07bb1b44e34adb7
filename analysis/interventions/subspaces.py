"""What stands at a site, or in each attention head's queries, keys or values, held to a few directions around its mean.

    x -> m + (x - m) B_r B_r'

with the mean m and the leading r principal directions B_r of the samples it is fitted to, or r random ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.bench import Bench
from analysis.interventions.components import INPUT, NetworkParts, Place, Site
from analysis.interventions.interventions import Cell, Intervention, part_of

TAP, QUERIES, KEYS, VALUES, HEADS = "the tap", "queries", "keys", "values", "outputs of heads"
WHERE = (TAP, QUERIES, KEYS, VALUES, HEADS)


class Held:
    """A part: units `start` to `stop` held to the columns of `basis` (units, r) around `mean` (units,)."""

    def __init__(self, place: Place, mean: np.ndarray, basis: np.ndarray) -> None:
        self._units, self._mean, self._basis = part_of(place), mean, basis

    def read(self, x):
        import torch

        return (self._units.read(x).double() - torch.as_tensor(self._mean)) @ torch.as_tensor(self._basis)

    def written(self, x, values):
        import torch

        held = torch.as_tensor(self._mean) + self.read(x) @ torch.as_tensor(self._basis).T
        return self._units.written(x, held.to(x.dtype))


class Coordinates:
    """A part: where units `start` to `stop` stand along the orthonormal columns of `basis` (units, r)."""

    def __init__(self, place: Place, basis: np.ndarray) -> None:
        self._units, self._basis = part_of(place), basis

    def read(self, x):
        import torch

        return self._units.read(x).double() @ torch.as_tensor(self._basis)

    def written(self, x, values):
        import torch

        moved = (values - self.read(x)) @ torch.as_tensor(self._basis).T
        return self._units.written(x, self._units.read(x) + moved.to(x.dtype))


def places_of(bench: Bench, where: str, layer: int | None) -> list[Place]:
    """One place for the tap, or one for each head of a layer (of all layers: None). Raises NotFound, InputError."""
    if bench.parts is None or where == TAP:
        return [Place(bench.site)]
    parts = bench.parts
    if not parts.heads:
        raise NotFound(
            parts.no_heads or "the network has no attention heads", "a transformer", "Choose the tap"
        )
    if layer is not None and layer >= parts.depth:
        raise NotFound(f"layer {layer}", f"0 … {parts.depth - 1}, the layers of the network")
    layers = range(parts.depth) if layer is None else [layer]
    return [place for i in layers for place in _heads_of(parts, where, i)]


def _heads_of(parts: NetworkParts, where: str, i: int) -> list[Place]:
    w, heads, own = parts.head_width, parts.heads, parts.readers[i]
    if where == HEADS:
        return [Place(Site(parts.attention[i], INPUT), h * w, (h + 1) * w) for h in range(heads)]
    at = (QUERIES, KEYS, VALUES).index(where)
    names, widths = zip(*own, strict=True)
    if len(own) == 3:  # fewer heads of keys and values where these are shared
        return [Place(Site(names[at]), h * w, (h + 1) * w) for h in range(widths[at] // w)]
    if len(own) == 1 and widths[0] == 3 * heads * w:
        first = at * heads * w
        return [Place(Site(names[0]), first + h * w, first + (h + 1) * w) for h in range(heads)]
    raise InputError(
        f"layer {i} makes queries, keys and values by {len(own)} linear maps", "one for each, or one for all three",
        "Choose the outputs of heads",
    )  # fmt: skip


class Fitted:
    """Means and principal directions of places, from the runs it is given."""

    def __init__(self, runs: Sequence[BatchRun], places: Sequence[Place]) -> None:
        rows: dict[Place, list[np.ndarray]] = {p: [] for p in places}
        for run in runs:
            caught = run.caught([p.site for p in places])
            for place, found in rows.items():
                x = part_of(place).read(caught[place.site]).double().numpy()
                found.append(x[run.real(x.shape[1])])
        self._spread = max(float(np.concatenate(x).var(axis=0).max()) for x in rows.values())
        self._of = {p: _directions(np.concatenate(x)) for p, x in rows.items()}

    @property
    def spread(self) -> float:
        """Largest variance of any unit of any place."""
        return self._spread

    @property
    def width(self) -> int:
        """Directions of the widest place."""
        return max(len(mean) for mean, _ in self._of.values())

    def held(self, r: int) -> Cell:
        """Every place held to its leading r directions."""
        return tuple(Intervention(p.site, 0.0, Held(p, m, b[:, :r])) for p, (m, b) in self._of.items())

    def taken_over(self, r: int, given) -> Cell:
        """Every place along its leading r directions as `given`, by site (n, tokens, units), has it."""
        parts = [(p.site, Coordinates(p, b[:, :r])) for p, (_, b) in self._of.items()]
        return tuple(Intervention(s, part.read(given[s]), part) for s, part in parts)

    def random(self, r: int, rng: np.random.Generator) -> Cell:
        """Every place held to r random directions around the same mean."""
        cell = []
        for p, (mean, basis) in self._of.items():
            d = len(basis)
            drawn = np.linalg.qr(rng.standard_normal((d, d)))[0][:, :r]
            cell.append(Intervention(p.site, 0.0, Held(p, mean, drawn)))
        return tuple(cell)


def _directions(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(x) < 2:
        raise NotEnoughData(f"{len(x)} token to find directions from", "at least 2")
    mean = x.mean(axis=0)
    return mean, np.linalg.eigh((x - mean).T @ (x - mean))[1][:, ::-1].copy()
