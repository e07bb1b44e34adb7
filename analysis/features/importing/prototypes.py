"""Prototypes of a ProtoPNet: prototype_vectors (P, D, 1, 1), last_layer.weight (classes, P), and what is beside them.

A prototype is a patch in the space of the last feature map; its code is the similarity log((d² + 1) / (d² + ε)), and
the logit of a class is the last layer's product with the largest similarity of each prototype over the patches. Read:
prototype_class_identity (P, classes) or (P,), where a file has it, else the class of a prototype is the one that its
largest connection goes to; last_layer.bias; epsilon. Names may have anything before them (module., model., …).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.features import rules
from analysis.features.feature_set import FeatureSet

EPSILON = 1e-4
VECTORS, LAST, IDENTITY = "prototype_vectors", "last_layer.weight", "prototype_class_identity"
NAMES = ("prototypes", "protopnet")


def fits(tensors: dict) -> bool:
    return any(name.endswith(VECTORS) for name in tensors)


def refuse_settings(architecture: str, k: int | None, scale: float | None, file: Path) -> None:
    """Raises InputError where something is asked of the file that prototypes do not have."""
    for what, given, fine in (
        ("the architecture", architecture, architecture.lower() in ("", *NAMES)),
        ("k", k, k is None),
        ("scale", scale, scale is None),
    ):
        if not fine:
            raise InputError(f"{file} holds prototypes, and {what} {given!r} is asked for", "none of it")


def read(tensors: dict, name: str, file: Path, epsilon: float | None = None) -> FeatureSet:
    """The prototypes as a feature set of the tap whose rows are the patches. Raises InputError, ShapeError."""
    key, vectors = _vectors(tensors, file)
    before = key[: -len(VECTORS)]
    last = tensors.get(before + LAST)
    if not isinstance(last, np.ndarray):
        raise InputError(
            f"{file} has {key} and no {before}{LAST}", f"the last layer, (classes, {len(vectors)})",
            "Save the whole state of the network: without it nothing says what a prototype speaks for",
        )  # fmt: skip
    if last.ndim != 2 or last.shape[1] != len(vectors):
        raise ShapeError(
            f"{before}{LAST} of {file} has shape {last.shape}", f"(classes, {len(vectors)} prototypes)"
        )
    owners, said = _owners(tensors.get(before + IDENTITY), last, file)
    told = tensors.get(before + "epsilon", tensors.get("epsilon"))
    told = None if told is None else float(np.ravel(told)[0])
    if None not in (told, epsilon) and not np.isclose(told, epsilon, rtol=1e-6):
        raise InputError(f"{file} says ε = {told:g}, and ε = {epsilon:g} is asked for", "one of them")
    epsilon = next((e for e in (epsilon, told) if e is not None), EPSILON)
    bias, zero = tensors.get(before + "last_layer.bias"), np.zeros(vectors.shape[1], np.float32)
    about = {
        "format": "prototypes", "architecture": "prototypes", "file": file.name, "hook": "",
        "prototype_classes": owners, "classes_from": said,
        "output_bias": [] if bias is None else np.asarray(bias, np.float64).ravel().tolist(),
    }  # fmt: skip
    return FeatureSet(
        name, rules.PROTOTYPE, vectors.T, vectors, np.zeros(len(vectors)), zero, zero,
        epsilon=epsilon, connections=last, about=about,
    )  # fmt: skip


def _vectors(tensors: dict, file: Path) -> tuple[str, np.ndarray]:
    found = [n for n, v in tensors.items() if n.endswith(VECTORS) and isinstance(v, np.ndarray)]
    if len(found) != 1:
        raise InputError(
            f"{file} has {len(found)} tensors of prototypes ({', '.join(found) or 'none of numbers'})", "one"
        )
    vectors = tensors[found[0]]
    if vectors.ndim not in (2, 4) or not vectors.size:
        raise ShapeError(f"{found[0]} of {file} has shape {vectors.shape}", "(prototypes, units, 1, 1)")
    if vectors.shape[2:] not in ((), (1, 1)):
        raise ShapeError(
            f"{found[0]} of {file} has shape {vectors.shape}: each prototype spans "
            f"{vectors.shape[2]} × {vectors.shape[3]} places",
            "1 × 1: one row of a tap is one place",
            "Only prototypes of a single patch can be features of a tap",
        )
    return found[0], vectors.reshape(vectors.shape[0], vectors.shape[1])


def _owners(identity, last: np.ndarray, file: Path) -> tuple[list[int], str]:
    """The class of each prototype, -1 for none, and where that is from."""
    classes, n = last.shape
    if not isinstance(identity, np.ndarray):
        own = last.argmax(axis=0)
        alone = (last == last.max(axis=0)).sum(axis=0) == 1
        return np.where(alone & (last.max(axis=0) > 0), own, -1).tolist(), "its largest connection"
    if identity.shape == (n,):
        own = identity.astype(np.int64)
    elif identity.shape == (n, classes):
        own = np.where(identity.any(axis=1), identity.argmax(axis=1), -1)
    else:
        raise ShapeError(f"{IDENTITY} of {file} has shape {identity.shape}", f"({n}, {classes}) or ({n},)")
    if own.min() < -1 or own.max() >= classes:
        raise InputError(f"{IDENTITY} of {file} names class {own.max()}", f"one of its {classes} classes")
    return own.tolist(), "the file"
