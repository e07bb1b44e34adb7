"""A classical dictionary of a tap as a feature set, with everything to cite it by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical import classical
from analysis.features.classical.classical import Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.features.feature_set import FeatureSet
from analysis.features.held_out import judged
from analysis.spec import Progress, make_params, no_progress
from analysis.store.reader import Store

FITTING = 0.95  # share of the progress


def make(
    store: Store,
    tap: str,
    kind_name: str,
    params: dict | object | None = None,
    *,
    name: str = "",
    seed: int = 0,
    held_out: float = 0.1,
    selections: Callable[[str], np.ndarray] | None = None,
    progress: Progress = no_progress,
) -> FeatureSet:
    """Fit a dictionary to the rows of a tap.

    Parameters
    ----------
    kind_name : a name of `analysis.features.classical.CLASSICAL`.
    params : the kind's parameters, as its dataclass or as plain values.
    name : of the set; kind and tap where empty.
    held_out : share of the samples that the fit never sees; the same ones as a training with this seed.
    selections : name of a selection -> row numbers of the tap, for kinds that take a group of rows.

    Returns
    -------
    FeatureSet, whose `about` has tap, store, digests, parameters, seed, rows, numbers for each component, what the set
    does on the held-out samples, and caveats.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such tap or kind; parameters out of range; too few rows; rows that do not vary or that the kind cannot take.
    """
    kind = classical(kind_name)
    given = dataclasses.asdict(params) if dataclasses.is_dataclass(params) else dict(params or {})
    made = make_params(kind.params, given)
    activations = store.activations(tap)
    if tap not in store.recorded:
        raise InputError(
            f"'{tap}' was encoded by a feature set", "a recorded tap: " + ", ".join(store.recorded),
            "Fit to the tap it was made of",
        )  # fmt: skip
    rows = FitRows(activations, held_out, seed, selections)
    found = kind.make(
        rows, made, np.random.default_rng([seed, 0]), lambda share, doing="": progress(FITTING * share, doing)
    )
    progress(FITTING, "trying it on the held-out samples")
    about = {
        "store": store.name, "tap": tap, "store_digest": activations.digest, "architecture": kind.name,
        "classical": True, "parameters": dataclasses.asdict(made), "seed": seed, "held_out_share": held_out,
    }  # fmt: skip
    features = _feature_set(found, name or f"{kind.name} {tap}", about)
    about |= _facts(found, rows, features)
    progress(1.0, "done")
    return features


def _feature_set(found: Fitted, name: str, about: dict) -> FeatureSet:
    k = len(found.decoder)
    return FeatureSet(
        name, found.rule, found.decoder.T if found.encoder is None else found.encoder, found.decoder,
        np.zeros(k) if found.bias is None else found.bias, found.centre, found.centre, active=found.active,
        levels=found.levels, about=about,
    )  # fmt: skip


def _facts(found: Fitted, rows: FitRows, features: FeatureSet) -> dict:
    held = judged(features, rows.held)
    if features.rule == rules.LINEAR:  # of other rules it depends on the data: make the random dictionary
        held["random_directions"] = min(features.n_features / features.n_units, 1.0)
    said = list(found.caveats)
    if rows.n_nonfinite:
        said.insert(0, f"{rows.n_nonfinite:,} rows hold NaN or infinity and were left out.")
    if held["explained_variance"] is None:
        said.append("The held-out rows are all equal: nothing can be said of the variance that is explained.")
    return {
        **_plain(found.facts), "components": _plain(found.components),
        "rows": {"trained_on": rows.n_seen, "not_finite": rows.n_nonfinite, "held_out": len(rows.held),
                 "held_out_samples": rows.held_samples},
        "held_out": held, "caveats": said,
    }  # fmt: skip


def _plain(value):
    """Arrays and NumPy numbers as JSON has them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
