"""A checkpoint's module tree from parameter names and shapes, without running its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BUFFERS = (
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "position_ids",
    "inv_freq",
    "attn.bias",
    "attn.masked_bias",
)


@dataclass(frozen=True)
class ModuleLine:
    """One module. `shapes`: parameter and buffer shapes by their short names. `inferred`: the type was read off
    the shapes ("Linear or Embedding"), since a weight file does not name classes."""

    name: str
    type: str = ""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    inferred: bool = False

    @property
    def depth(self) -> int:
        """How deep in the tree: 0 for the model's direct children (and the model itself)."""
        return self.name.count(".")

    @property
    def n_parameters(self) -> int:
        return sum(size(s) for k, s in self.shapes.items() if not is_buffer(k))


def size(shape: tuple[int, ...]) -> int:
    """Number of entries."""
    n = 1
    for length in shape:
        n *= length
    return n


def is_buffer(name: str) -> bool:
    """By its name, since files do not tell parameters from buffers."""
    return name.endswith(BUFFERS)


def count_parameters(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Entries of everything that is not a buffer by its name."""
    return sum(size(s) for name, s in shapes.items() if not is_buffer(name))


def tree_of_shapes(shapes: Mapping[str, tuple[int, ...]]) -> list[ModuleLine]:
    """Lines in the file's order, parents before children; a parent without parameters of its own has none."""
    modules: dict[str, dict[str, tuple[int, ...]]] = {}
    for key in shapes:
        module, _, short = key.rpartition(".")
        parts = module.split(".") if module else []
        for depth in range(1, len(parts)):
            modules.setdefault(".".join(parts[:depth]), {})
        modules.setdefault(module, {})[short] = tuple(shapes[key])
    return [ModuleLine(name, guess_type(own), own, inferred=bool(own)) for name, own in modules.items()]


def in_natural_order(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """layers.2 before layers.10: safetensors files list their tensors alphabetically."""
    return dict(sorted(shapes.items(), key=lambda item: _natural(item[0])))


def _natural(key: str) -> tuple:
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in key.split("."))


def guess_type(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The kind of layer that parameters of these names and shapes usually belong to."""
    if "running_mean" in shapes:
        return "BatchNorm"
    weight = shapes.get("weight")
    if weight is None:
        return "" if not shapes else "parameters"
    if len(weight) >= 3:
        return f"Conv{len(weight) - 2}d"
    if len(weight) == 2:
        return "Linear" if "bias" in shapes else "Linear or Embedding"
    return "Norm"


def tree_of_module(module) -> list[ModuleLine]:
    """The true tree of a `torch.nn.Module`, shared modules under each of their names."""
    lines = []
    for name, child in module.named_modules(remove_duplicate=False):
        own = {k: tuple(p.shape) for k, p in child.named_parameters(recurse=False)}
        own |= {k: tuple(b.shape) for k, b in child.named_buffers(recurse=False) if b is not None}
        if name or own:
            lines.append(ModuleLine(name, type(child).__name__, own))
    return lines
