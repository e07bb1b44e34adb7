"""Which sample column holds the labels that clusters are compared with and named after."""

from __future__ import annotations

from analysis.activations import Activations, sample_column

COLUMN_HELP = "Labels to compare with and to name clusters by; automatic: 'label' where there is one."
NAMES_HELP = (
    "What clusters are named by: their labels, the words of their texts or the units that fire most; automatic takes "
    "the first of these that says something."
)


def label_column(activations: Activations, column: str | None) -> str | None:
    """The column's name; None where none was asked for and there is no "label". Raises NotFound."""
    if column is None:
        return "label" if "label" in activations.samples else None
    sample_column(activations, column)
    return column
