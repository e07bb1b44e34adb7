"""`loupe describe`: the layers of a network that the user's own code builds, as data, so that pages can run it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dashboard.commands.output import one_line, print_json, say


def describe(given) -> int:
    from analysis.errors import ParameterError
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data
    from analysis.sources.declared.describing import describe as write
    from analysis.sources.torch_model import guess_modality

    sys.path.insert(0, os.getcwd())  # the user's own factory, asked for on the user's own command line
    named = {"model": given.model, "state_key": given.state_key, "strip": given.strip}
    own = open_checkpoint(given.weights, **named).load()
    modality = given.modality or guess_modality(own.module)
    if modality is None:
        raise ParameterError(
            "the network does not say what it takes", "--modality image, table, array or audio"
        )
    data = open_data(given.data, **({"kind": given.kind} if given.kind else {})) if given.data else None
    classes, said = _classes(given, own, data)
    made = write(
        own.module, given.weights, modality, _input(given, modality, own.module, data), out=given.out,
        classes=classes, output=_output(given), state_key=given.state_key,
        prefixes=_prefixes(own.module, given), replace=given.replace, own=own, data=data,
    )  # fmt: skip
    notes = [*made.notes, *said]
    if data is None and callable(getattr(own.module, "prepare", None)):
        notes.append("How items are prepared was not compared with your prepare(items): give --data to do so")
    if given.json:
        return print_json({"kind": "description", "path": str(made.path), "notes": notes})
    print(f"written: {one_line(str(made.path))}")
    for note in notes:
        say(given, note)
    return 0


def _classes(given, own, data) -> tuple[tuple[str, ...] | int, list[str]]:
    """Names of the outputs, or their number: as said, the network's own, or those of data with as many classes."""
    if given.output:
        return (), []
    if given.classes and len(given.classes) == 1 and given.classes[0].isdecimal():
        return int(given.classes[0]), []
    if given.classes or own.class_names:
        return tuple(given.classes or own.class_names), []
    names = tuple(data.classes) if data is not None else ()
    if names:
        logits = own.forward(own.prepare(data.items(0, 1))).logits
        if logits is not None and logits.ndim == 2 and logits.shape[1] == len(names):
            return names, [f"Classes taken from the data, in its order: {', '.join(names[:6])}"]
    return (), [
        "No classes are named: the outputs are read as a vector (--classes, or --output, changes that)"
    ]


def _output(given) -> dict:
    return {k: v for k, v in (("name", given.output), ("unit", given.unit)) if v}


def _input(given, modality: str, module, data) -> dict:
    """ "input" of the description, from what was said and, for sizes, from the first item of the data."""
    from analysis.errors import ParameterError

    item = data.items(0, 1)[0] if data is not None else None
    found: dict = {}
    if modality == "image":
        found = {"size": given.input_size or _size(item), "channels": given.channels or _channels(module)}
        found |= {"resample": given.resample, "range": given.range}
    elif modality == "table":
        found = {"columns": [_column(c) for c in given.columns or list(getattr(item, "names", ()))]}
    elif modality == "array":
        found = {"shape": given.shape or (list(item.shape) if hasattr(item, "shape") else None)}
    elif modality == "audio":
        found = {
            "sampling_rate": given.sampling_rate or getattr(module, "sampling_rate", None),
            "samples": given.samples,
        }
    missing = [
        k for k in ("size", "columns", "shape", "sampling_rate", "samples") if k in found and not found[k]
    ]
    if missing:
        option = {"size": "input-size", "sampling_rate": "sampling-rate"}.get(missing[0], missing[0])
        raise ParameterError(
            f"the {missing[0]} of the inputs is not known", f"--{option}, or --data to read it from"
        )
    scale = given.std if modality == "table" else None
    found |= {"mean": given.mean, **({"scale": scale} if modality == "table" else {"std": given.std})}
    if modality in ("image", "array"):
        found["scale"] = given.scale
    return {k: v for k, v in found.items() if v is not None}


def _size(item) -> list[int] | None:
    size = getattr(item, "size", None)
    if isinstance(size, tuple):
        return [size[1], size[0]]
    shape = getattr(item, "shape", ())
    return (
        list(shape[:2])
        if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
        else list(shape[-2:]) or None
    )


def _channels(module) -> int:
    from analysis.sources.preparing import first_layer

    layer = first_layer(module)
    return getattr(layer, "in_channels", 1)


def _column(text: str):
    """ "rooms/homes" is a ratio of two columns."""
    above, slash, below = text.partition("/")
    return {"name": text, "ratio": [above, below]} if slash and above and below else text


def _prefixes(module, given) -> dict[str, str]:
    """Between the module's keys and those of the file, as they were fitted when it was opened."""
    from analysis.sources.state_dict import WRAPPERS
    from analysis.sources.state_files import read_state

    theirs, own = set(read_state(Path(given.weights), given.state_key)[0]), set(module.state_dict())
    if theirs == own:
        return {}
    for prefix in (*((given.strip,) if given.strip else ()), *WRAPPERS):
        if {prefix + k for k in own} == theirs:
            return {"": prefix}
        if {prefix + k for k in theirs} == own:
            return {prefix: ""}
    return {"": given.strip} if given.strip else {}


def hint(given, loaded) -> None:
    """After a recording with a factory: that a plain stack can be described."""
    from analysis.sources.declared.layers import ARGUMENTS

    leaves = [m for m in loaded.module.modules() if not any(True for _ in m.children())]
    if given.model and leaves and all(type(m).__name__ in ARGUMENTS for m in leaves):
        say(
            given,
            "The network is made of layers that can be described: with `loupe describe --model "
            f"{given.model} --weights {given.checkpoint}` pages can run it too (attribution, causal tests)",
        )
