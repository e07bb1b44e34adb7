"""What a layer of torch was built with, as a description says it."""

from __future__ import annotations

import inspect

from analysis.errors import InputError
from analysis.sources.declared.layers import ARGUMENTS, NEEDED

IRRELEVANT = ("inplace", "device", "dtype", "momentum", "init")  # to a network that is only run
REMEDY = "A network that is no stack of such layers needs its own code: `loupe record --model`"


def is_known(module) -> bool:
    """Whether it is one of torch's own layers that can be described, no subclass."""
    from torch import nn

    kind = type(module).__name__
    return kind in ARGUMENTS and type(module) is getattr(nn, kind, None)


def arguments_of(module, name: str) -> dict:
    """What the layer was built with, where it differs from torch's default. Raises InputError for what no description
    can say."""
    kind, found = type(module).__name__, {}
    known = inspect.signature(type(module).__init__).parameters
    for key, parameter in known.items():
        if key in ("self", *IRRELEVANT) or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            continue
        value = getattr(module, key, parameter.default)
        if key == "bias":
            value = getattr(module, "bias", None) is not None
            if kind == "LayerNorm" and not module.elementwise_affine:
                value = True
        needed = key in NEEDED.get(kind, ())
        value = list(value) if key == "normalized_shape" else _plain(value)
        if not needed and (value == _plain(parameter.default) or _is_usual(module, key, value)):
            continue
        if key not in ARGUMENTS[kind]:
            raise InputError(
                f"'{name}' ({kind}) has {key} = {value!r}", f"torch's default, {parameter.default!r}", REMEDY
            )
        found[key] = value
    return found


def _is_usual(module, key: str, value) -> bool:
    """Whether an attribute is what torch makes of a default: the stride of a pool is its kernel."""
    return key == "stride" and "Pool" in type(module).__name__ and value == _plain(module.kernel_size)


def _plain(value):
    """As JSON says it; one number for equal ones."""
    if isinstance(value, tuple | list):
        values = list(value)
        return values[0] if len(set(values)) == 1 else values
    return value
