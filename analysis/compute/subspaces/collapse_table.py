"""Neural collapse class by class, and what cannot be said of it."""

from __future__ import annotations

import numpy as np

from analysis.compute.rows.samples import LabelledMatrix
from analysis.compute.subspaces.collapse_report import Collapse
from analysis.compute.subspaces.neural_collapse import ClassMeans, cosines_of

HELP = {
    "class": "value of the column",
    "samples": "samples of the class",
    "length": "distance of the class mean from the mean of all class means",
    "noise": "what sampling adds to that length, squared and averaged, as a length",
    "spread": "root of the mean squared distance of a sample from its class mean",
    "spread over length": "the two divided: small where the class has collapsed",
    "largest cosine": "of its centred mean with that of another class; -1 / (C - 1) in a simplex",
    "closest class": "the class of that cosine",
    "own mean nearest": "share of its samples that lie nearest to their own class mean, held out",
    "cosine with the head": "NC3: of its centred mean with its centred row of the classifier",
}


def class_columns(data: LabelledMatrix, means: ClassMeans, found: Collapse, cosines) -> dict[str, np.ndarray]:
    """The columns of `HELP`, each (C,); the last only where there are `cosines` (C,) with a head."""
    classes = len(data.names)
    gram = means.gram(False)
    between = cosines_of(gram)
    np.fill_diagonal(between, -np.inf)
    length, spread = np.sqrt(np.diag(gram)), np.sqrt(means.within)
    added = np.diag(gram) - np.diag(means.gram(True))
    right = np.bincount(data.of, found.nearest == data.of, classes) / data.counts
    columns = {
        "class": np.array(data.names), "samples": data.counts, "length": length, "noise": np.sqrt(np.maximum(added, 0)),
        "spread": spread, "spread over length": spread / length, "largest cosine": between.max(axis=1),
        "closest class": np.array(data.names)[between.argmax(axis=1)], "own mean nearest": right,
    }  # fmt: skip
    return columns if cosines is None else columns | {"cosine with the head": cosines}


def collapse_caveats(found: Collapse, data: LabelledMatrix) -> list[str]:
    """What cannot be concluded from the numbers of a tap."""
    notes = []
    if not found.resolved:
        notes.append(
            "A class mean lies no further from the mean of all than sampling puts it: lengths and angles (NC2) are "
            "those of noise, and are not given without it."
        )
    if found.classes == 2:
        notes.append("Two class means are always equally long and opposite: NC2 says nothing.")
    if found.null[:, 5].mean() < 0.2 and found.classes > 2:
        notes.append(
            f"Noise alone makes class means a simplex here (exchanged classes: {found.null[:, 5].mean():.2f} from it): "
            "of NC2 believe only what is without sampling."
        )
    if len(set(data.counts)) > 1:
        notes.append("Classes differ in size; each counts once.")
    notes.append(
        "NC1 by Σ_B⁺ is not freed of sampling: compare it at equal numbers of samples, classes and units."
    )
    return notes
