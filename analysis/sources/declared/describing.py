"""Writing the description of a network that a person's own code built, and trying it: same inputs, same bits.

The person's code runs here, so this is for her own command line and notebook only. What is written is kept only where
the network built from it gives the same output, bit for bit, on random inputs that the layers were not read from.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import InputError, ParameterError
from analysis.sources.declared.description import FORMAT, NAME, VERSION
from analysis.sources.declared.inputs import read_input
from analysis.sources.declared.tracing import trace

ROWS, TRIED_ROWS, ITEMS = 64, 256, 32  # of random inputs to read from, to try, and items of data to try
SHOWN = 6  # modules named in a note
MOST_NUMBERS = 1 << 21  # of random inputs
REFUSED_HINT = "The description was not kept"


@dataclass(frozen=True)
class Described:
    """`path` of the description, its `text`, and what was tried, in `notes`."""

    path: Path
    text: str
    notes: list[str] = field(default_factory=list)


def describe(
    module,
    weights: str | Path,
    modality: str,
    given: Mapping,
    *,
    out: str | Path | None = None,
    classes=(),
    output: Mapping[str, str] | None = None,
    state_key: str | None = None,
    prefixes: Mapping[str, str] | None = None,
    replace: bool = False,
    own=None,
    data=None,
    seed: int = 0,
) -> Described:
    """Read the layers of `module` off a run, write the description, open it and compare.

    Parameters
    ----------
    module : torch.nn.Module
        With the weights of the file loaded.
    weights : path
        The file, in the folder of the description or below.
    modality, given : as "modality" and "input" of a description
    out : path, optional
        network.json beside the weights otherwise.
    prefixes : beginnings of the module's keys to those of the file.
    own, data : the LoadedModel of the module and a DataSource, to compare how items are prepared.

    Raises
    ------
    InputError
        No stack of known layers; other bits, or items prepared otherwise; another description is there and `replace`
        is not set.
    """
    import torch

    weights = Path(weights).resolve()
    out = Path(out).resolve() if out else weights.parent / NAME
    if not weights.is_relative_to(out.parent):
        raise ParameterError(
            f"the description {out} would not stand beside the weights {weights}",
            f"a path such as {weights.parent / NAME}",
        )
    rules = read_input(modality, given, "the description")
    module.eval()
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    layers, renamed = trace(module, _random(rules.shape, dtype, ROWS, seed))
    said = {
        "format": FORMAT, "version": VERSION, "weights": weights.relative_to(out.parent).as_posix(), "layers": layers,
        "modality": modality, "input": dict(given), 
        "classes": classes if isinstance(classes, int) else list(classes), "output": dict(output or {}),
        "state_key": state_key, "precision": str(dtype).removeprefix("torch."),
        "prefixes": _prefixes(prefixes or {}, renamed, module),
    }  # fmt: skip

    def tried(path: Path) -> list[str]:
        notes = _tried(path, module, _random(rules.shape, dtype, TRIED_ROWS, seed + 1))
        return notes if data is None else [*notes, _same_preparation(path, own, data)]

    return _kept(out, said, replace, tried)


def _random(shape, dtype, rows: int, seed: int):
    """Normal numbers, of three sizes; fewer rows of large items."""
    import torch

    rows = max(6, min(rows, MOST_NUMBERS // math.prod(shape)))
    made = torch.randn((rows, *shape), dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return made * torch.tensor([0.1, 1.0, 10.0], dtype=dtype)[torch.arange(rows) % 3].reshape(
        -1, *[1] * len(shape)
    )


def _prefixes(given: Mapping[str, str], renamed: Mapping[str, str], module) -> dict[str, str]:
    """Those of layers that are called otherwise, and the file's own on top."""

    def in_file(key: str) -> str:
        best = max((p for p in given if key.startswith(p)), key=len, default=None)
        return key if best is None else given[best] + key.removeprefix(best)

    weighty = {own: of for own, of in renamed.items() if any(k.startswith(of) for k in module.state_dict())}
    return {**given, **{own: in_file(of) for own, of in weighty.items()}}


def _kept(out: Path, said: dict, replace: bool, tried) -> Described:
    """Written beside, tried, and only then put in its place."""
    text = json.dumps({k: v for k, v in said.items() if v not in (None, [], {}, "")}, indent=1) + "\n"
    if out.exists() and out.read_text() != text and not replace:
        raise InputError(
            f"{out} is there already and says something else", "a new path", "Give --out, or --replace"
        )
    handle, name = tempfile.mkstemp(prefix=".network-", suffix=".json", dir=out.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        notes = tried(Path(name))
        os.chmod(name, 0o644)
        os.replace(name, out)
    finally:
        Path(name).unlink(missing_ok=True)
    return Described(out, text, notes)


def _tried(path: Path, module, x) -> list[str]:
    """Compare the two networks, all layers that both have. Raises InputError where an answer differs."""
    import torch

    from analysis.sources.declared.network import load

    made = load(path).module
    ours, theirs = _outputs(made, x), _outputs(module, x)
    if not torch.equal(ours[""], theirs[""]):
        apart = (
            (ours[""].double() - theirs[""].double()).abs().max()
            if ours[""].shape == theirs[""].shape
            else None
        )
        raise InputError(
            "the network as described gives other numbers than yours"
            + ("" if apart is None else f", up to {float(apart):.2g} apart"),
            "the same bits on random inputs", f"{REFUSED_HINT}; what differs may run only on some inputs",
        )  # fmt: skip
    both = [n for n in theirs if n and n in ours]
    other = [n for n in both if ours[n].shape != theirs[n].shape or not torch.equal(ours[n], theirs[n])]
    missing = [n for n in theirs if n and n not in ours]
    notes = [
        f"Tried on {len(x)} random inputs: the same bits, also of {len(both) - len(other)} modules by name"
    ]
    said = ("Other numbers under the same name (called again later, or what follows stands outside)",
            "Modules of yours that have another name here, or none")  # fmt: skip
    for words, names in zip(said, (other, missing), strict=True):
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        notes += [f"{words}: {', '.join(names[:SHOWN])}{more}"] if names else []
    return notes


def _outputs(module, x) -> dict:
    """What each module gave when it last ran, "" the whole."""
    import torch

    found: dict = {}

    def hook(name):
        return lambda _m, _given, made: (
            found.__setitem__(name, made.clone()) if isinstance(made, torch.Tensor) else None
        )

    handles = [m.register_forward_hook(hook(n)) for n, m in module.named_modules()]
    try:
        with torch.no_grad():
            module(x.clone())
    finally:
        for handle in handles:
            handle.remove()
    return found


def _same_preparation(path: Path, own, data) -> str:
    """How the description prepares the first items of `data` against `own`, the LoadedModel of the person's code; in a
    sentence. Raises InputError where they differ by more than rounding."""
    import torch

    from analysis.sources.declared.network import load

    items = data.items(0, min(ITEMS, len(data)))
    ours, theirs = load(path).prepare(items), own.prepare(items)
    if tuple(ours.shape) == tuple(theirs.shape) and torch.equal(ours.isnan(), theirs.isnan()):
        ours, theirs = ours.nan_to_num(), theirs.nan_to_num()  # rows that lack a value
        if torch.equal(ours.double(), theirs.double()):
            return f"{len(items)} items of {data.name} are prepared to the same bits"
        apart = float((ours.double() - theirs.double()).abs().max())
        if apart <= 1e-5 * max(float(theirs.double().abs().max()), 1e-300):
            return f"{len(items)} items of {data.name} are prepared alike, up to {apart:.1g}"
        found = f"items are prepared otherwise than by your code, up to {apart:.2g} apart"
    else:
        found = f"items are prepared to {tuple(ours.shape)}, and by your code to {tuple(theirs.shape)}"
    raise InputError(
        found,
        "the same inputs",
        f"{REFUSED_HINT}; correct --scale, --mean, --std, --input-size or the columns",
    )
