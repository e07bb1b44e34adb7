"""Taps and their matched units, for the tests of matching."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.matching.unit_sides import unit_norm
from analysis.methods.matching.unit_matching import UnitMatchingParams, unit_matching


def tap(x, ids=None, name="t", layout=None):
    samples = {} if ids is None else {"id": np.asarray(ids)}
    return ArrayActivations(x, name=name, samples=samples, layout=layout)


def match(x, y, seed=0, **params):
    return unit_matching(x, y, UnitMatchingParams(**params), rng=np.random.default_rng(seed))


def value(result, start):
    return next(e for e in result.estimates if e.name.startswith(start))


def lines(rng, p, n=40):
    return unit_norm(rng.standard_normal((p, n)))


def by_unit(result, column):
    """A column by the number of the unit of the first tap."""
    mine = result.columns["unit a"] >= 0
    return dict(
        zip(result.columns["unit a"][mine].tolist(), result.columns[column][mine].tolist(), strict=True)
    )
