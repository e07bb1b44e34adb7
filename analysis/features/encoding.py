"""Encoding: what each feature of a set does in every row of a tap, written beside the tap as a tap of its own.

The new tap is called TAP@SET. It is sparse on disk and like any other tap elsewhere: it has cards, a map, correlations,
and every method runs on it.
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ShapeError
from analysis.features.feature_set import FeatureSet
from analysis.spec import Progress, no_progress
from analysis.store.encoded import EncodedWriter
from analysis.store.manifest import TapSpec
from analysis.store.reader import Store

INDEXING = 0.9  # share of the progress that is encoding


def encode_tap(
    store: Store, tap: str, features: FeatureSet, name: str = "", progress: Progress = no_progress
) -> Store:
    """Write the codes of `features` on the rows of `tap` as the tap `name` (TAP@SET where empty) of the same store, and
    open the store anew.

    One pass over the tap; rows that are not finite stay unknown. Time: a product of (rows, units) with (units,
    features), and about 1 µs for each code that is not 0; memory about 400 MB. Nothing is left behind where it fails or
    is cancelled.

    Raises
    ------
    NotFound, InputError
        No such tap, an unfinished store, a name that is taken.
    ShapeError
        The set was made for another width.
    """
    activations, name = store.activations(tap), name or f"{tap}@{features.name}"
    if activations.shape[1] != features.n_units:
        raise ShapeError(
            f"{activations.name} has {activations.shape[1]} units",
            f"{features.n_units}, the width that '{features.name}' was made for",
            "Choose the tap it was made for",
        )
    about = {"name": features.name, "digest": features.digest, "rule": features.rule, **features.about}
    total, done = max(activations.shape[0], 1), 0
    with EncodedWriter(store, tap, TapSpec(name, features.n_features, "float32"), about) as writer:
        for counts, units, values, gaps in features.encoded_blocks(activations):
            writer.append(counts, units, values, gaps)
            done += len(counts)
            progress(INDEXING * done / total, f"{done:,} of {total:,} rows encoded")
        features.save(writer.set_folder)
        writer.finish(lambda share, doing="": progress(INDEXING + (1 - INDEXING) * share, doing))
    return Store.open(store.path)


def firing_counts(store: Store, tap: str) -> np.ndarray:
    """(features,) in how many rows each feature of an encoded tap is not 0."""
    table = store.index(tap).table()
    return np.round(table["fraction_nonzero"] * table["count"]).astype(np.int64)
