"""Taps and their correlation maps, for the tests of maps."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations
from analysis.methods.correlation.map import CorrelationMapParams, correlation_map


def tap(x, ids=None, name="t", layout=None, **samples):
    columns = samples if ids is None else {**samples, "id": np.asarray(ids)}
    return ArrayActivations(x, name=name, samples=columns, layout=layout)


def mapped(*taps, order="as stored", **params):
    return correlation_map(*taps, params=CorrelationMapParams(order=order, **params))
