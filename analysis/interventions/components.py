"""What can be changed in a network: layers, attention, heads, MLPs and units, as places where tensors are exchanged.

Which modules these are is found by how the network runs (`finding_parts.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import NotFound

OUTPUT, INPUT = "output", "input"
LAYERS, RESIDUALS, ATTENTION, HEADS, MLPS = "layers", "residual stream", "attention", "heads", "MLPs"
KINDS = (LAYERS, RESIDUALS, ATTENTION, HEADS, MLPS)


@dataclass(frozen=True, order=True)
class Site:
    """A tensor on the way: what `module` gives, or is given. "input" alone is the input of the network."""

    module: str
    side: str = OUTPUT


@dataclass(frozen=True)
class Place:
    """The units `start` to `stop` of a site; all of them without; or the `special` part of `interventions` there."""

    site: Site
    start: int | None = None
    stop: int | None = None
    special: object = None


@dataclass(frozen=True)
class Component:
    """Something that can be changed: `places`, all at once. `layer`, `number` (of a head) from 0; -1 for none."""

    name: str
    kind: str
    places: tuple[Place, ...]
    layer: int = -1
    number: int = -1

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(dict.fromkeys(p.site for p in self.places))


@dataclass(frozen=True)
class NetworkParts:
    """Names of modules: `blocks` in the order in which they run; of each block `attention`, the projection behind its
    heads, and `mlps`, its last linear map, None where there is none. `heads` of `head_width` units each, 0 where
    unknown (`no_heads` says why). `embedding` of words, None without. `layers` where there are no blocks. `norm` that
    runs after the blocks, `read_out`, the last linear map. `readers` of each block: the maps before its projection,
    which make queries, keys and values, each with its width."""

    blocks: tuple[str, ...] = ()
    attention: tuple[str | None, ...] = ()
    mlps: tuple[str | None, ...] = ()
    heads: int = 0
    head_width: int = 0
    embedding: str | None = None
    layers: tuple[str, ...] = ()
    no_heads: str = ""
    norm: str | None = None
    read_out: str | None = None
    readers: tuple[tuple[tuple[str, int], ...], ...] = ()

    @property
    def depth(self) -> int:
        return len(self.blocks) or len(self.layers)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of components that there are."""
        found = {LAYERS: self.depth, RESIDUALS: self.blocks, ATTENTION: any(self.attention), HEADS: self.heads,
                 MLPS: any(self.mlps)}  # fmt: skip
        return tuple(kind for kind in KINDS if found[kind])

    def components(self, *kinds: str) -> list[Component]:
        """All components of these kinds, kind by kind. Raises NotFound in words where one has none."""
        found = []
        for kind in kinds:
            own = [c for i in range(self.depth) for c in self._of_layer(kind, i)]
            if not own:
                raise NotFound(
                    self._missing(kind), "one of " + ", ".join(self.kinds), "Choose other components"
                )
            found += own
        return found

    def _missing(self, kind: str) -> str:
        if kind == HEADS and self.no_heads:
            return self.no_heads
        return f"the network has no {kind} that can be told by how it runs"

    def _of_layer(self, kind: str, i: int) -> list[Component]:
        if kind not in KINDS:
            raise NotFound(f"components called {kind!r}", "one of " + ", ".join(KINDS))
        if not self.blocks:
            whole = (Place(Site(self.layers[i])),)
            return [Component(f"layer {i} ({self.layers[i]})", kind, whole, i)] if kind == LAYERS else []
        attention, mlp = self.attention[i], self.mlps[i]
        if kind == RESIDUALS:
            return [Component(f"residual stream after layer {i}", kind, (Place(Site(self.blocks[i])),), i)]
        if kind == LAYERS:
            places = tuple(Place(Site(m)) for m in (attention, mlp) if m)
            return [Component(f"layer {i}", kind, places, i)] if places else []
        if kind == HEADS:
            w = self.head_width
            return [Component(f"head {i}.{h}", kind, (Place(Site(attention, INPUT), h * w, (h + 1) * w),), i, h)
                    for h in range(self.heads) if attention]  # fmt: skip
        module, word = (attention, "attention") if kind == ATTENTION else (mlp, "MLP")
        return [Component(f"{word} {i}", kind, (Place(Site(module)),), i)] if module else []


def units_of(site: Site, units: Sequence[int], word: str = "unit") -> list[Component]:
    """Single units (channels of a map) of a site."""
    return [Component(f"{word} {u}", word, (Place(site, int(u), int(u) + 1),), number=int(u)) for u in units]
