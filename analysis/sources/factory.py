"""`package.module:factory`: the user's own code that builds a network, named on their own command line.

Never reached from an uploaded file or a page: `open_checkpoint(..., allow_code=False)` refuses it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from analysis.errors import InputError, NotFound, ParameterError


def build(spec: str):
    """Import the factory (the current folder counts) and call it.

    Raises
    ------
    ParameterError
        `spec` is not of the form package.module:factory.
    NotFound
        The module or the name in it does not exist.
    InputError
        The factory failed or returned something that is not a torch.nn.Module.
    """
    from torch import nn

    target = find(spec)
    if isinstance(target, nn.Module):
        return target
    try:
        module = target()
    except Exception as error:
        raise InputError(
            f"{spec} failed: {type(error).__name__}: {error}",
            "a factory that needs no argument",
            "Try it in Python",
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{spec} returned a {type(module).__name__}", "a torch.nn.Module")
    return module


def find(spec: str):
    """The object that `spec` names."""
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise ParameterError(f"--model {spec!r}", "package.module:factory, such as my_nets:small_cnn")
    here = str(Path.cwd())
    added = here not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        importlib.invalidate_caches()
        value = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotFound(
            f"there is no Python module {error.name!r} (asked for by --model {spec})",
            f"an installed module or a file {module_name.replace('.', '/')}.py in {here}",
            "Run from the folder that holds it, or install it",
        ) from error
    except Exception as error:
        raise InputError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    for part in name.split("."):
        if not hasattr(value, part):
            offered = [n for n in dir(value) if not n.startswith("_") and callable(getattr(value, n))]
            raise NotFound(
                f"{module_name} has no '{part}'", "one of " + ", ".join(offered[:12]) if offered else ""
            )
        value = getattr(value, part)
    return value
