"""Samples with the values of their attributes, the features that fire in them, and the rows that these were made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.known_factors import factors_of
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features.probe_reader import probe_of
from analysis.features.tap_dictionary import tap_dictionary
from analysis.spec import Progress, param

FEWEST = 20
ANSWERS = ("predicted", "correct", "confidence", "loss")  # what the network said is no attribute


@dataclass(frozen=True)
class AttributeParams:
    """What every view of the features of attributes asks."""

    columns: str = param("", "Sample columns with commas between; empty: all with classes.")
    draws: int = param(9, "Exchanges of labels.", low=4, high=199, late=True)
    maximum_samples: int = param(
        2_000, "Most samples; a seeded random subset above.", low=50, high=50_000, late=True
    )


@dataclass(frozen=True)
class AttributeValues:
    """Of n `samples`: `codes` (n, k) pooled features that vary, numbers `fires` (k,), with `feature_names`; `x` (n, d)
    mean rows; `hot` (n, V) bool, `names` (V,) of values, `factor` (V,) number of their attribute; `notes`."""

    samples: np.ndarray
    codes: np.ndarray
    fires: np.ndarray
    feature_names: np.ndarray
    x: np.ndarray
    hot: np.ndarray
    names: tuple[str, ...]
    factor: np.ndarray
    notes: tuple[str, ...]

    @property
    def keys(self) -> np.ndarray:
        """(n,) number of each combination of values, at most 50 kinds: rare ones are one."""
        kinds, of, counts = np.unique(self.hot, axis=0, return_inverse=True, return_counts=True)
        of = of.reshape(-1)
        rank = np.empty(len(kinds), np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(kinds))
        return np.minimum(rank[of], 49)

    def probe_says(self, first: np.ndarray) -> np.ndarray:
        """(n, V) bool: what held-out probes of each attribute say of the mean rows."""
        out = np.zeros(self.hot.shape, bool)
        for f in np.unique(self.factor):
            own = np.flatnonzero(self.factor == f)
            known = self.hot[:, own].any(axis=1)
            of = self.hot[:, own].argmax(axis=1)
            for half in (first, ~first):
                fit = half & known
                if len(np.unique(of[fit])) == len(own):
                    said = probe_of(self.x[fit], of[fit], len(own)).scores(self.x[~half]).argmax(axis=1)
                    out[np.ix_(~half, own)] = said[:, None] == np.arange(len(own))
        return out

    def listed(self, found) -> list[int]:
        """Numbers of the values to list: of two values of an attribute, the one that features tell better."""

        def told(v: int) -> tuple[bool, float]:
            return found[v].copies > 0, max(found[v].f1, found[v].together) - found[v].always

        keep = []
        for f in np.unique(self.factor):
            own = np.flatnonzero(self.factor == f).tolist()
            keep += [max(own, key=told)] if len(own) == 2 else own
        return sorted(keep)


def attribute_values(
    tap: Activations, params: AttributeParams, pooling: str, rng, progress: Progress, span
) -> AttributeValues:
    """At most `maximum_samples` (a seeded random part). Raises NotFound without an attribute, NotEnoughData below 20
    finite samples, InputError where no feature varies."""
    made = tap_dictionary(tap)
    samples, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    half = (span[0] + span[1]) / 2
    codes, kept, said = pooled_samples(tap, pooling, samples, progress, (span[0], half))
    samples = samples[kept]
    x, kept, more = pooled_samples(made.source, "mean", samples, progress, (half, span[1]))
    samples, codes = samples[kept], codes[kept]
    if len(samples) < FEWEST:
        raise NotEnoughData(
            f"{tap.name} has {len(samples)} finite sample(s)", f"at least {FEWEST}", "Record more samples"
        )
    fires = np.flatnonzero((codes != codes[0]).any(axis=0))
    if not len(fires):
        raise InputError(f"no feature of {tap.name} varies between samples", "features that differ")
    factors, about = factors_of([tap], np.asarray(tap.samples["id"]).astype(str)[samples], params.columns)
    asked = {c.strip() for c in params.columns.split(",")}
    factors = [f for f in factors if not f.is_number and (f.name in asked or f.name not in ANSWERS)]
    if not factors:
        raise NotFound(
            f"{tap.name} has no attribute of classes",
            "a sample column of 2 to 50 classes",
            "Record with labels",
        )
    hot = np.concatenate([f.of[:, None] == np.arange(len(f.classes)) for f in factors], axis=1)
    names = tuple(f"{f.name} = {c}" for f in factors for c in f.classes)
    factor = np.concatenate([np.full(len(f.classes), i) for i, f in enumerate(factors)])
    return AttributeValues(
        samples, codes[:, fires], fires, np.array(tap.unit_names)[fires], x, hot, names, factor,
        tuple(dict.fromkeys((*notes, *said, *(m for m in more if "NaN" in m), *about, *made.notes))),
    )  # fmt: skip
