"""The checks of the concept methods fail on code that is broken on purpose."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

from analysis import registry
from analysis.compute.linear import ranking_axes
from analysis.compute.subspaces import erasing


def _no_edit(name, x, concept, m, k):
    made = REAL(name, x, concept, m, k)
    return dataclasses.replace(made, write=0 * made.write)


REAL = erasing.erased
FOLDER = "analysis.methods.concepts."
BROKEN = [
    (
        "concept_erasure",
        "analysis.compute.subspaces.erasing.leace",
        lambda m, k: dataclasses.replace(erasing.mean_projection(m, k), name="LEACE"),
    ),
    ("concept_erasure", "analysis.compute.subspaces.adversarial_erasure.PLAYING", 1e-7),
    ("erasure_by_rank", "analysis.compute.subspaces.erasing.first_dimensions", lambda e, k: e),
    ("collateral_damage", FOLDER + "collateral_damage.erased", _no_edit),
    ("collateral_damage", "analysis.compute.subspaces.collateral._damage", lambda *_: (0.1, 0.05, 0.2)),
    ("rankability", "analysis.compute.linear.ranking_ways.ridge_axis", lambda x, y: np.eye(x.shape[1])[0]),
    (
        "rankability",
        "analysis.compute.linear.ranking_ways.ends",
        lambda y, m: (np.arange(m), np.arange(m, 2 * m)),
    ),
    (
        "rankability",
        "analysis.compute.linear.ranking_ways.least_squares_axis",
        lambda x, y: ranking_axes.ridge_axis(x, y),
    ),
    ("rank_label_curve", FOLDER + "rank_label_curve.ridge_axis", lambda x, y: x[0]),
    ("rank_along_axis", FOLDER + "rank_along_axis.cross_fitted", lambda x, fold, fit, *_: Placed(fit(-1))),
    ("rank_along_axis", FOLDER + "rank_along_axis.ridge_axis", lambda x, y: x[0]),
    ("axis_cosines", FOLDER + "axis_cosines.unit_columns", lambda a: a),
    ("band_probe", FOLDER + "band_probe._fewest", lambda cumulated, p: len(cumulated)),
    (
        "band_probe",
        FOLDER + "band_probe.scored",
        lambda z, c, f, p, s, r: SCORED(np.ones_like(z), c, f, p, 1.0, r),
    ),
    ("layer_trajectory", FOLDER + "layer_trajectory.placed", lambda x, labels, fold: x[:, [0] * len(labels)]),
    ("layer_trajectory", FOLDER + "layer_trajectory.auroc_of", lambda place, first: 0.9),
]
SCORED = importlib.import_module(FOLDER + "band_probe").scored


class Placed:
    """Samples placed by the axis that they made: the classical mistake."""

    def __init__(self, made):
        self.mean, self.weights = made

    def held_out(self, x, sample):
        return (x - self.mean) @ self.weights


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_check_fails_on_broken_code(monkeypatch, method, target, broken):
    declared = registry.methods()[method]
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in declared.check())
