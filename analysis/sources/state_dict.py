"""Finding the one state dict inside what people save, and fitting it to a module.

Files in the wild nest it ({"state_dict": …, "config": …}, {"model": …, "optimizer": …}), wrap it in lists and
prefix its keys ("module.", "_orig_mod."). What is unambiguous is resolved and said; the rest is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis.errors import InputError, NotFound

WRAPPERS = ("module.", "_orig_mod.", "model.", "encoder.", "net.", "network.", "backbone.")
NOT_WEIGHTS = ("optim", "sched", "scaler", "rng", "amp", "lr_", "history", "eval", "config", "args")
SHOWN = 5  # keys named in a refusal


def is_state_dict(value) -> bool:
    """A non-empty mapping of names to tensors (torch's "_extra_state" entries aside)."""
    import torch

    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(k, str) for k in value)
        and all(isinstance(v, torch.Tensor) or k.endswith("_extra_state") for k, v in value.items())
        and any(isinstance(v, torch.Tensor) for v in value.values())
    )


def candidates(value, path: str = "", depth: int = 3) -> dict[str, Mapping]:
    """State dicts inside nested dicts and lists, by dotted path ("state_dict", "models.0"); "" is `value` itself.

    Optimizer state and the like is left out.
    """
    if is_state_dict(value):
        return {path: value}
    if depth == 0:
        return {}
    if isinstance(value, Mapping):
        entries = [(str(k), v) for k, v in value.items() if not _is_bookkeeping(str(k))]
    elif isinstance(value, (list, tuple)):
        entries = [(str(i), v) for i, v in enumerate(value)]
    else:
        return {}
    found = {}
    for key, entry in entries:
        found |= candidates(entry, f"{path}.{key}" if path else key, depth - 1)
    return found


def _is_bookkeeping(key: str) -> bool:
    return any(word in key.lower() for word in NOT_WEIGHTS)


def find_state_dict(value, name: str, state_key: str | None = None) -> tuple[dict, list[str]]:
    """The state dict inside `value` and a note on how it was found.

    Parameters
    ----------
    value : object
        What `load_weights` gave.
    name : str
        The file, for messages.
    state_key : str, optional
        Dotted path of the state dict where there are several, e.g. "generator" or "state_dict.0".

    Raises
    ------
    NotFound
        `state_key` is not there.
    InputError
        There is no state dict, or several and no `state_key`.
    """
    found = candidates(value)
    if state_key is not None:
        if state_key not in found:
            raise NotFound(
                f"{name} holds no state dict under '{state_key}'", _listing(found) or "a file with one"
            )
        return dict(found[state_key]), [f"State dict taken from '{state_key}'"]
    if not found:
        raise InputError(
            f"{name} holds {_what(value)}, no state dict",
            "a mapping of parameter names to tensors",
            "Save module.state_dict()",
        )
    if len(found) > 1:
        raise InputError(
            f"{name} holds {len(found)} state dicts: {_listing(found)}",
            "one",
            "Say which with state_key (--state-key)",
        )
    [(path, state)] = found.items()
    if not path:
        return dict(state), []
    others = [str(k) for k in value if str(k) != path.split(".")[0]] if isinstance(value, Mapping) else []
    beside = f"; not used: {', '.join(others[:8])}" if others else ""
    return dict(state), [f"State dict taken from '{path}'{beside}"]


def _listing(found: Mapping) -> str:
    shown = [f"'{k}' ({len(v)} tensors)" for k, v in list(found.items())[:SHOWN]]
    return ", ".join(shown) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _what(value) -> str:
    if isinstance(value, (Mapping, list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"


def strip_prefix(state: Mapping, prefix: str) -> dict:
    """`state` without `prefix` on every key that has it."""
    return {k.removeprefix(prefix): v for k, v in state.items()}


def fit_keys(state: Mapping, wanted: set[str], strip: str | None = None) -> tuple[dict, list[str]]:
    """Strip or add the one prefix that makes the keys those `wanted`; unchanged where none does."""
    if strip:
        return strip_prefix(state, strip), [f"Prefix '{strip}' stripped from the keys"]
    if set(state) == wanted:
        return dict(state), []
    for prefix in WRAPPERS:
        if all(k.startswith(prefix) for k in state) and set(strip_prefix(state, prefix)) == wanted:
            return strip_prefix(state, prefix), [f"Prefix '{prefix}' stripped from the keys"]
        if {prefix + k for k in state} == wanted:
            return {prefix + k: v for k, v in state.items()}, [f"Prefix '{prefix}' added to the keys"]
    return dict(state), []


def load_into(module, state: Mapping, name: str, strip: str | None = None) -> list[str]:
    """Load strictly; floating weights become the module's own type. Returns notes.

    Raises InputError with the counts and first mismatches when keys or shapes do not fit.
    """
    own = module.state_dict()
    state, notes = fit_keys(state, set(own), strip)
    problems = mismatches(state, own)
    if problems:
        raise InputError(
            f"{name} does not fit {type(module).__name__}: {problems}",
            f"the {len(own)} keys and shapes of the module's state_dict()",
            "Check the factory's sizes, or give state_key or strip (a key prefix)",
        )
    changed = {
        f"{v.dtype} to {own[k].dtype}".replace("torch.", "")
        for k, v in state.items()
        if hasattr(v, "dtype") and hasattr(own[k], "dtype") and v.dtype != own[k].dtype
    }
    module.load_state_dict(state, strict=True)
    return notes + [f"Weights converted from {c}" for c in sorted(changed)]


def mismatches(state: Mapping, own: Mapping) -> str:
    """Counts and first names of missing keys, unexpected keys and other shapes; "" where all fit."""
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and getattr(state[k], "shape", None) != getattr(own[k], "shape", None)
    ]
    parts = [(missing, "missing"), (unexpected, "not known to the module"), (shapes, "of another shape")]
    return "; ".join(
        f"{len(names)} {what} ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"
        for names, what in parts
        if names
    )
