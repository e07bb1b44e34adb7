"""Projections of keys and values that somebody trained: nested orthogonal matrices of every layer and head.

    P_r = U_{:r} U_{:r}',    U (e, e) with U'U = 1, its columns in the order in which they are cut

They are arrays of a file (.safetensors, .npz), or further arrays of the network's own checkpoint:

    keys, values                  (layers, heads, e, e) each
    model.layers.0.….key_…        (heads, e, e), or (e, e) for all heads; the first number of a name is its layer,
                                  and "v" or "value" in it tells values from keys

Of a checkpoint those are taken that are orthogonal: nothing else in it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound, ShapeError

ORTHOGONAL = 1e-2  # largest entry of U'U - 1: half precision leaves 1e-3
ROLE = re.compile(r"(?:^|[._])(k|v)(?=$|[._])|(key|value)", re.IGNORECASE)
KEYS, VALUES = "keys", "values"
HELP = "File with trained nested projections (.safetensors, .npz); empty: those of the checkpoint, where it holds some."


class Nested:
    """Projection onto the first columns of an orthogonal matrix (e, e)."""

    def __init__(self, axes: np.ndarray) -> None:
        self.axes = np.asarray(axes, np.float64)

    def __call__(self, rank: int) -> np.ndarray:
        u = self.axes[:, :rank]
        return u @ u.T


def projections_in(path: str, tap, shape: tuple[int, int, int]) -> tuple[dict[str, np.ndarray], str]:
    """({KEYS: (L, H, e, e), VALUES: the same where they are there}, what was read), of the file `path`, or with an
    empty one of the checkpoint of `tap`; ({}, "") where that has none. `shape` (L, H, e) of the cache.

    Raises NotFound, InputError, ShapeError: no such file; nothing in it that is a projection; one of other sizes.
    """
    if path:
        found = assembled(_of_file(Path(path).expanduser(), shape[2]), shape, path)
        return found, f"Trained projections of {', '.join(found)} were read from {Path(path).name}."
    found = assembled(_of_checkpoint(tap, shape[2]), shape, "the checkpoint", strict=False)
    return found, f"The checkpoint holds trained projections of {', '.join(found)}." if found else ""


def assembled(
    tensors: Mapping[str, np.ndarray], shape: tuple[int, int, int], where: str, strict: bool = True
) -> dict[str, np.ndarray]:
    """(L, H, e, e) of keys, and of values, from arrays by name. Unless `strict`, what is not orthogonal is passed
    by."""
    layers, heads, e = shape
    parts: dict[str, dict[int, np.ndarray]] = {}
    for name, x in tensors.items():
        role = _role(name)
        if role is None or x.shape[-2:] != (e, e) or x.ndim not in (2, 3, 4):
            continue
        x = np.asarray(x, np.float64)
        off = float(np.abs(x.swapaxes(-1, -2) @ x - np.eye(e)).max())
        if not off <= ORTHOGONAL:
            if not strict:
                continue
            raise InputError(
                f"'{name}' in {where} is no orthogonal matrix: U'U is {off:.2g} off 1",
                "columns of length 1 at right angles, in the order in which they are cut",
                "Save the projection itself, not what it is made from",
            )
        number = re.search(r"\d+", name)
        if x.ndim == 4:
            parts.setdefault(role, {}).update(enumerate(x))
        elif number is not None:
            parts.setdefault(role, {})[int(number.group())] = (
                np.broadcast_to(x, (heads, e, e)) if x.ndim == 2 else x
            )
    found = {role: _stacked(of, (layers, heads, e), role, where) for role, of in sorted(parts.items())}
    if strict and KEYS not in found:
        raise InputError(
            f"{where} has no projection of keys among {', '.join(list(tensors)[:4]) or 'no arrays'}",
            f"an array 'keys' ({layers}, {heads}, {e}, {e}), or one for each layer with its number and 'key' in it",
        )
    return found if KEYS in found else {}


def _stacked(of: dict[int, np.ndarray], shape, role: str, where: str) -> np.ndarray:
    layers, heads, e = shape
    wrong = next((x.shape for x in of.values() if x.shape != (heads, e, e)), None)
    if sorted(of) != list(range(layers)) or wrong:
        raise ShapeError(
            f"{where} has projections of {role} for layers {', '.join(map(str, sorted(of)))}"
            + (f" of shape {wrong}" if wrong else ""),
            f"{heads} of {e} x {e} for each of the layers 0 to {layers - 1}; heads that share keys have one",
        )
    return np.stack([of[i] for i in range(layers)])


def _role(name: str) -> str | None:
    found = ROLE.findall(name)
    if not found:
        return None
    return VALUES if (found[-1][0] or found[-1][1]).lower().startswith("v") else KEYS


def _of_file(path: Path, e: int) -> dict[str, np.ndarray]:
    from analysis.sources.array_files import array_shapes, load_named

    if not path.is_file():
        raise NotFound(f"there is no file {path}", "a .safetensors or .npz file with trained projections")
    return {n: load_named(path, n) for n, (shape, _) in array_shapes(path).items() if shape[-2:] == (e, e)}


def _of_checkpoint(tap, e: int) -> dict[str, np.ndarray]:
    """Square arrays of this side; none where the tap knows no checkpoint."""
    from analysis.sources.weights import weights_of

    source = getattr(tap, "source", None)
    try:
        network = weights_of(tap if source is None else source())
    except (InputError, NotFound):
        return {}
    return {n: network.tensor(n) for n, s in network.shapes.items() if s[-2:] == (e, e) and _role(n)}
