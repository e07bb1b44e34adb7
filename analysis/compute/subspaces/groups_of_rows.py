"""The rows of a tap that parts of it are made of: all, those of each class, those of each named selection."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.common_rows import CommonRows
from analysis.compute.rows.membership import unpack_named
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.some_samples import EVERY
from analysis.errors import NotEnoughData

WHOLE = "all samples"


def groups_of_rows(tap: Activations, data: CommonRows, params) -> dict[str, np.ndarray]:
    """The rows (n,) bool of the whole, of each class and of each named selection, as `params` asks (`whole`, `classes`,
    `column`, `groups`, `tokens`). Raises NotFound, ParameterError, and NotEnoughData for fewer than two classes."""
    found = {WHOLE: np.ones(len(data.sample), bool)} if params.whole else {}
    place = {id: i for i, id in enumerate(np.asarray(tap.samples["id"]).astype(str))}
    positions = np.array([place[id] for id in data.ids.astype(str)])[data.sample]
    if params.classes:
        labels = sample_column(tap, params.column)[positions]
        values = np.unique(labels[known_labels(labels)])
        if len(values) < 2:
            raise NotEnoughData(
                f"'{params.column}' has {len(values)} of the at least two classes that it takes to compare them",
                "a column of classes", "Choose another column, or leave classes out",
            )  # fmt: skip
        for value in values:
            found[f"{params.column} {value}"] = labels == value
    offsets = np.asarray(tap.layout.offsets)
    for name, mask in unpack_named(params.groups, tap.shape[0]).items():
        if params.tokens == EVERY:
            found[f"selection {name}"] = mask[offsets[positions] + data.place]
        else:
            before = np.append(0, np.cumsum(mask))
            found[f"selection {name}"] = (before[offsets[1:]] > before[offsets[:-1]])[positions]
    return found
