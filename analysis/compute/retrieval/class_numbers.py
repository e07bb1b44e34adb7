"""Class numbers of some samples for retrieval, where there are labels."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.rows.samples import known_labels


def class_numbers(
    tap: Activations, column: str | None, samples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str | None]:
    """(n,) numbers, -1 for none, the labels (n,) as text, and the column; all -1 where there is no such column and none
    was asked for. Raises NotFound."""
    column = label_column(tap, column)
    of, text = np.full(len(samples), -1), np.full(len(samples), "", "<U1")
    if column is None:
        return of, text, None
    labels = np.asarray(sample_column(tap, column))[samples]
    known = known_labels(labels)
    of[known] = np.unique(labels[known], return_inverse=True)[1]
    return of, np.where(known, labels.astype(str), ""), column
