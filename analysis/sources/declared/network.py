"""From a description and its weights to a network ready to run; no code but torch's own layers is run.

The layers are built first, without numbers, and held against the file: what does not fit is named before any memory is
taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from analysis.errors import InputError
from analysis.sources.declared.description import Description, read_description
from analysis.sources.declared.items import Prepare
from analysis.sources.declared.layers import build
from analysis.sources.declared.trial import outputs_of
from analysis.sources.loaded_model import LoadedModel
from analysis.sources.module_tree import ModuleLine

SHOWN = 4
COUNTER = "num_batches_tracked"  # files of an old torch lack it, and nothing reads it


def files_of(description: Description) -> list[Path]:
    """The description and its weights."""
    return [description.path, description.weights]


def state_of(description: Description) -> tuple[dict, list[str]]:
    """The weights by the names that the network has for them, and notes. Raises InputError for two of one name."""
    from analysis.sources.state_files import read_state

    state, notes = read_state(description.weights, description.state_key)
    found: dict = {}
    for key, value in state.items():
        if any(key.startswith(start) for start in description.left_out):
            continue
        name = _own_name(key, description.prefixes)
        if name in found:
            raise InputError(f"{description.path}: two weights of the file become '{name}'", "other prefixes")
        found[name] = value
    if len(found) < len(state):
        notes = [
            *notes,
            f"{len(state) - len(found)} weights of the file are not used, as the description says",
        ]
    return found, notes


def _own_name(key: str, prefixes: Mapping[str, str]) -> str:
    """The network's name of a key of the file; one that no prefix fits is kept, and does not fit the network."""
    for own, theirs in sorted(prefixes.items(), key=lambda p: -len(p[1])):
        if key.startswith(theirs):
            return own + key.removeprefix(theirs)
    return key


def shapes_of(description: Description) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by the network's names, in the order of its layers."""
    state, _ = state_of(description)
    order = {name: i for i, (name, _) in enumerate(description.leaves())}
    names = sorted(state, key=lambda k: order.get(k.rpartition(".")[0], len(order)))
    return {k: tuple(state[k].shape) for k in names if hasattr(state[k], "shape")}


def tree_of(description: Description, shapes: Mapping[str, tuple[int, ...]]) -> list[ModuleLine]:
    """Every layer with its type, also those without weights."""
    own: dict[str, dict] = {}
    for key, shape in shapes.items():
        layer, _, short = key.rpartition(".")
        own.setdefault(layer, {})[short] = shape
    return [ModuleLine(name, layer.type, own.get(name, {})) for name, layer in description.leaves()]


def load(path: Path) -> LoadedModel:
    """Raises InputError, NotFound, UnsafeFile: the description, the weights, or the two together."""
    description = read_description(path)
    module = build(description.layers, str(path))
    state, notes = state_of(description)
    _refuse_misfit(description, module, state)
    dtype, said = _precision(description, state)
    _fill(description, module, state, dtype)
    rules, classes = description.inputs, description.classes
    n = outputs_of(module, rules.shape, dtype, str(path))
    if description.n_classes not in (0, n):
        raise InputError(
            f"{path} has {description.n_classes} classes and the network {n} outputs",
            "a class for each output",
        )
    notes = [*notes, *said, f"Built from {path.name} with torch's own layers; no code was run"]
    if not description.n_classes:
        unit = f" ({description.output['unit']})" if description.output.get("unit") else ""
        what = description.output.get("name", "a vector")
        notes.append(f"{n} output(s), read as {what}{unit}, not as classes")
    return LoadedModel(
        module, rules.modality, Prepare(rules, dtype), class_names=classes, notes=notes,
        sampling_rate=rules.given.get("sampling_rate"), classifies=description.n_classes > 0, input_names=rules.names,
        output_name=description.output.get("name", ""), output_unit=description.output.get("unit", ""),
    )  # fmt: skip


def _refuse_misfit(description: Description, module, state: Mapping) -> None:
    from analysis.sources.state_dict import WRAPPERS, mismatches, strip_prefix

    own = {k: v for k, v in module.state_dict().items() if k in state or not k.endswith(COUNTER)}
    problems = mismatches(state, own)
    if not problems:
        return
    fits = [p for p in WRAPPERS if set(strip_prefix(state, p)) == set(own)]
    wanted, there = (
        ", ".join([*list(names)[:SHOWN], *(["…"] if len(names) > SHOWN else [])]) for names in (own, state)
    )
    raise InputError(
        f"{description.weights.name} does not fit the layers of {description.path}: {problems}. The file has {there}",
        f"exactly the weights of its layers ({wanted})",
        f'Give "prefixes": {{"": "{fits[0]}"}}' if fits
        else "Name the layers as the file does, give prefixes, or list what is not used under left_out",
    )  # fmt: skip


def _precision(description: Description, state: Mapping) -> tuple[str, list[str]]:
    """ "float32" or "float64", and what was decided, in words."""
    import torch

    kinds = {v.dtype for k, v in state.items() if not k.endswith(COUNTER)}
    odd = next((k for k in kinds if not k.is_floating_point), None)
    if odd is not None:
        raise InputError(
            f"{description.weights} holds {str(odd).removeprefix('torch.')} weights", "floating-point weights"
        )
    own = "float64" if torch.float64 in kinds else "float32"
    chosen = description.precision or own
    same = kinds <= {getattr(torch, chosen)}
    if same and chosen == "float32":
        return chosen, []
    before = ", ".join(sorted(str(k).removeprefix("torch.") for k in kinds))
    return chosen, [f"Weights kept in {chosen}" if same else f"Weights converted from {before} to {chosen}"]


def _fill(description: Description, module, state: Mapping, dtype: str) -> None:
    """Put the numbers in. Raises InputError for weights that are not numbers."""
    import torch

    values = {}
    for key, own in module.state_dict().items():
        if key.endswith(COUNTER):
            values[key] = torch.zeros((), dtype=torch.int64)
            continue
        value = state[key].detach().to(getattr(torch, dtype))
        bad = int((~torch.isfinite(value)).sum())
        if bad:
            raise InputError(
                f"{description.weights}: {bad} of {own.numel()} numbers of '{key}' are NaN or infinite",
                "finite weights", "The training may have diverged; take an earlier checkpoint",
            )  # fmt: skip
        values[key] = value.clone()
    module.load_state_dict(values, strict=True, assign=True)
