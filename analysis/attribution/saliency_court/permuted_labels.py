"""A probe of labels that say nothing: the same samples, each with the label of another one."""

from __future__ import annotations

from collections import ChainMap

import numpy as np

from analysis.activations import Activations
from analysis.attribution.explained_samples import ProbeSamples
from analysis.attribution.saliency_court.on_trial import FITTED
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.cluster_columns import label_column
from analysis.features.probe_reader import SMALLEST
from analysis.spec import no_progress


class OtherLabels:
    """`tap` with other `labels` in a column."""

    def __init__(self, tap: Activations, column: str, labels: np.ndarray) -> None:
        self._tap, self.samples = tap, ChainMap({column: labels}, dict(tap.samples))

    def __getattr__(self, name: str):
        return getattr(self._tap, name)


def permuted_probe(tap: Activations, column: str | None, seed: int, rng: np.random.Generator) -> ProbeSamples:
    """The probe of the same samples (`seed` is that of their choice) with labels permuted among them."""
    column = label_column(tap, column)
    labels = np.asarray(tap.samples[column])
    used = np.flatnonzero(class_codes(labels, column, SMALLEST).stay)
    other = labels.copy()
    other[used] = labels[rng.permutation(used)]
    chosen = np.random.default_rng(seed)
    return ProbeSamples(OtherLabels(tap, column, other), column, FITTED, chosen, no_progress, (0.0, 0.0))
