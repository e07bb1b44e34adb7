"""Expected gains of one sample against the integral that they stand for, and an order that hangs on what was seen."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.games.reveal import GaussianReader
from analysis.compute.games.reveal_one import NONE, divergence, expected_gains, own_order
from analysis.errors import NotFound
from analysis.methods.attribution.reveal_one import RevealOneParams, reveal_one


def planted() -> GaussianReader:
    """Two classes in three correlated columns."""
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((2, 3, 3))
    return GaussianReader(
        np.log([0.4, 0.6]), rng.standard_normal((2, 3)), roots @ roots.transpose(0, 2, 1) + np.eye(3)
    )


def test_an_expected_gain_is_the_integral_over_what_might_stand_there():
    reader, row, seen, new = planted(), np.array([0.3, -1.0, 2.0]), np.array([0, 2]), np.array([1])
    drawn = expected_gains(reader, row, seen, new, 40_000, np.random.default_rng(1))
    grid = np.linspace(-40, 40, 8001)
    rows = np.tile(row, (len(grid), 1))
    rows[:, 1] = grid
    joint = np.zeros(len(grid))
    for c in (0, 1):
        apart = rows - reader.means[c]
        quadratic = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(reader.spreads[c]), apart)
        joint += np.exp(reader.priors[c] - 0.5 * quadratic) / np.sqrt(np.linalg.det(reader.spreads[c]))
    density = joint / joint.sum()  # of the hidden column given the seen ones, whatever the class
    after = np.exp(reader.log_posteriors(rows, np.arange(3)))
    before = np.exp(reader.log_posteriors(row[None], seen)[0])
    known = float((density * divergence(after, before)).sum())
    assert drawn.mean() == pytest.approx(known, abs=4.5 * drawn.std() / 200)
    assert known > 0.01


def test_the_next_group_hangs_on_what_was_seen():
    """Column 0 says whether column 1 or column 2 tells the class: each sample has an order of its own."""
    rng = np.random.default_rng(2)
    context, label = rng.integers(2, size=400), rng.integers(2, size=400)
    kind = 2 * context + label  # four classes, of which the context tells half
    x = np.column_stack(
        [10.0 * context, np.where(context == 0, 4.0 * label, 2.0), np.where(context, 4.0 * label, 2.0)]
    )
    x += 0.3 * rng.standard_normal(x.shape)
    means = np.stack([x[kind == k].mean(axis=0) for k in range(4)])
    spreads = np.tile(0.09 * np.eye(3), (4, 1, 1))
    reader, groups = (
        GaussianReader(np.log(np.full(4, 0.25)), means, spreads),
        [np.array([j]) for j in range(3)],
    )
    for i in range(12):
        steps = own_order(reader, x[i], groups, np.ones(3), 200, rng, 3)
        after = [s.group for s in steps if s.group]  # once the context is known
        assert steps[-1].posterior.argmax() == kind[i]
        assert (after[0] == 1) == (context[i] == 0) or steps[0].group != 0
    dear = own_order(reader, x[0], groups, np.array([1.0, 1e6, 1e6]), 50, rng, 1)
    assert dear[0].group == 0
    assert expected_gains(reader, x[0], NONE, groups[0], 200, rng).mean() == pytest.approx(1.0, abs=0.05)


def test_a_sample_beyond_the_random_part_is_followed_and_one_that_is_not_there_refused():
    rng = np.random.default_rng(3)
    label = np.arange(80) % 2
    tap = ArrayActivations(rng.standard_normal((80, 4)) + 3 * label[:, None], "x", {"label": label})
    for sample in range(4):  # some of them are not among the twenty
        found = reveal_one(
            tap, RevealOneParams(sample=sample, maximum_samples=20, groups=2, followed=8, draws=20)
        )
        assert len(found.columns["step"]) == 2
    with pytest.raises(NotFound, match="sample 80"):
        reveal_one(tap, RevealOneParams(sample=80))
