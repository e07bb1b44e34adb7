"""Training film: linear Barlow Twins in closed form and integrated, crossings, jumps and their null, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from analysis.activations import ArrayActivations
from analysis.compute.rows.checkpoint_steps import checkpoint_steps
from analysis.compute.subspaces import tracked_modes as compute
from analysis.compute.subspaces.tracked_modes import halfway, jumps_of, modes_of, tracked
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.methods.rank import training_film as module
from analysis.methods.rank.training_film import RANKS, TrainingFilmParams, barlow_twins, training_film

FEW = settings(max_examples=10, deadline=None)


def patterns_of(rng, n, k):
    """(n, k) centred, uncorrelated, of variance 1."""
    x = rng.standard_normal((n, k))
    return np.linalg.qr(x - x.mean(axis=0))[0] * np.sqrt(n - 1)


def film(xs, **params):
    return training_film(*xs, params=TrainingFilmParams(**params))


# ---------------------------------------------------------------------------- the closed form
def test_the_closed_form_is_the_gradient_flow():
    """d s / dt = 4 γ s (1 - γ s²) for aligned weights, integrated."""
    gamma, start, t = np.array([1.0, 0.3]), 0.05, np.linspace(0, 3, 13)
    flow = solve_ivp(lambda _, s: 4 * gamma * s * (1 - gamma * s**2), (0, 3), [start] * 2, t_eval=t, rtol=1e-11,
                     atol=1e-13)  # fmt: skip
    np.testing.assert_allclose(barlow_twins(gamma, start, t), flow.y.T, rtol=1e-8)
    late = barlow_twins(gamma, start, np.array([60.0]))[0]
    np.testing.assert_allclose(late, gamma**-0.5, rtol=1e-8)


@FEW
@given(st.integers(0, 10**6))
def test_modes_of_barlow_twins_are_followed_through_their_crossings(seed):
    """Modes with larger γ come first and end smaller, so that all eigenvalues cross."""
    rng = np.random.default_rng(seed)
    gamma, t = np.sort(rng.uniform(0.2, 2, 4))[::-1] * [1.6, 1.3, 1.1, 1.0], np.linspace(0, 10, 30)
    s, u = barlow_twins(gamma, 1e-2, t), patterns_of(rng, 40, 4)
    xs = [(u * a) @ np.linalg.qr(rng.standard_normal((7, 7)))[0][:4] + 3 for a in s]
    found = tracked([modes_of(x, 4) for x in xs], 4)
    order = np.argsort(-s[-1])
    np.testing.assert_allclose(found.eigenvalues[1:], s[1:, order] ** 2, rtol=1e-7)
    by_size = np.sort(s**2, axis=1)[:, ::-1]
    assert np.abs(by_size - s[:, order] ** 2).max() > 0.1  # by their index they would not be these


def test_half_way_is_where_it_is():
    gamma, start, t = np.array([1.0, 0.5]), 1e-2, np.linspace(0, 9, 400)
    expected = np.log(1 / (gamma * start**2) - 1) / (8 * gamma)
    assert halfway(t, barlow_twins(gamma, start, t) ** 2) == pytest.approx(expected, abs=5e-3)
    assert np.isnan(halfway(t[:2], np.ones((2, 1)))).all()


# ---------------------------------------------------------------------------- modes
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(30, 8), (12, 20)]))
def test_modes_are_those_of_the_covariance(seed, shape):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 1e-3 + 50
    found = modes_of(x, 3)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    k = min(shape[1], shape[0] - 1)
    np.testing.assert_allclose(found.eigenvalues, values[::-1][:k], rtol=1e-6)
    scores = (x - x.mean(axis=0)) @ vectors[:, ::-1][:, :3]
    cosine = (scores * found.patterns[:, :3]).sum(axis=0) / np.linalg.norm(scores, axis=0)
    np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-6)
    np.testing.assert_allclose(found.patterns.T @ found.patterns, np.eye(found.patterns.shape[1]), atol=1e-8)


@FEW
@given(st.integers(0, 10**6))
def test_rotating_and_shifting_single_checkpoints_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    xs = [rng.standard_normal((30, 5)) * np.arange(1, 6) * (i + 1) for i in range(3)]
    turned = [x @ np.linalg.qr(rng.standard_normal((5, 5)))[0] + rng.standard_normal(5) for x in xs]
    one, other = film(xs), film(turned)
    for name in one.series:
        np.testing.assert_allclose(other.series[name], one.series[name], rtol=1e-7)


def test_the_error_of_growth_sees_the_spread_over_samples():
    """Deviation of ln λ' - ln λ over 200 data sets against the mean error, within 20 %."""
    growth, error = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((150, 2)) * [5, 1]
        y = x * [2, 1] + rng.standard_normal((150, 2)) * [3, 0]
        found = tracked([modes_of(v, 1) for v in (x, y)], 1)
        growth.append(found.growth()[0, 0])
        error.append(found.growth_error()[0, 0])
    assert np.mean(error) == pytest.approx(np.std(growth), rel=0.2)


# ---------------------------------------------------------------------------- jumps
def test_noise_rarely_jumps():
    """Independent samples of one distribution at each checkpoint: in at most 6 of 60 films is there any jump."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base = rng.standard_normal((60, 4)) * [8, 4, 2, 1]
        xs = [base + 0.3 * rng.standard_normal((60, 4)) for _ in range(6)]
        hits += bool(jumps_of(tracked([modes_of(x, 4) for x in xs], 4))[0].any())
    assert hits <= 6


def test_one_planted_jump_is_found_with_the_samples_that_moved(rng):
    u = patterns_of(rng, 80, 2)
    u[:5, 1] += 20
    xs = [np.c_[u[:, 0] * 30, u[:, 1] * (1 if i < 3 else 3), rng.standard_normal((80, 2))] for i in range(6)]
    found = film([ArrayActivations(x, name=f"run:step{10**i}") for i, x in enumerate(xs)], modes=2)
    assert "1 of the 2 modes jump, in 1 step(s)" in found.reading
    assert "from step 100 to 1000" in found.reading
    named = found.reading.split("along it are ")[1].rstrip(".").split(", ")
    assert set(named) == {"0", "1", "2", "3", "4"}
    assert found.log_x


def test_ranks_are_a_staircase_with_a_null(rng):
    u = patterns_of(rng, 60, 5)
    xs = [(u * np.where(np.arange(5) <= i, 1.0, 1e-5)) @ np.eye(5, 8) for i in range(5)]
    found = film(xs, show=RANKS)
    for name in found.series:
        assert found.series[name] == pytest.approx([1, 2, 3, 4, 5], rel=0.02)
        assert (found.low[name] <= found.series[name]).all()
        assert (found.high[name] >= found.series[name]).all()
    assert found.estimates[-1].null is not None


# ---------------------------------------------------------------------------- steps
@pytest.mark.parametrize(
    ("names", "text", "expected", "numbered"),
    [
        (["seed1:step10", "seed1:step200", "seed1:step3000"], "", [10, 200, 3000], True),
        (["a", "b", "c"], "", [1, 2, 3], False),
        (["l0 1", "l1 2", "l2 3"], "", [1, 2, 3], False),
        (["s3", "s2", "s1"], "", [1, 2, 3], False),
        (["a", "b", "c"], "0, 5,7.5", [0, 5, 7.5], True),
    ],
)
def test_steps_are_read(names, text, expected, numbered):
    steps, said = checkpoint_steps(text, names)
    assert steps.tolist() == expected
    assert said == numbered


@pytest.mark.parametrize("text", ["1,2", "1,2,x", "3,2,1", "1,1,2", "1,2,nan"])
def test_steps_that_do_not_rise_are_refused(rng, text):
    with pytest.raises(ParameterError, match="steps"):
        film([rng.standard_normal((20, 3))] * 3, steps=text)


# ---------------------------------------------------------------------------- bad input
def test_refusals(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(ParameterError, match="2 tap"):
        film([x, x])
    with pytest.raises(NotEnoughData):
        film([x[:7]] * 3)
    with pytest.raises(InputError, match="equal"):
        film([x, np.ones((20, 3)), x])


def test_modes_that_are_lost_are_counted(rng):
    found = film([rng.standard_normal((200, 6)) for _ in range(4)], modes=2)
    assert any("have an overlap below" in c for c in found.caveats)
    same = rng.standard_normal((200, 6)) * np.arange(1, 7)
    assert not any("have an overlap below" in c for c in film([same] * 4, modes=2).caveats)


def test_a_jump_out_of_noise_is_said_to_be_unsure(rng):
    """Before the jump there is no such mode: nothing links it to what comes after."""
    u = patterns_of(rng, 200, 1)
    xs = [rng.standard_normal((200, 4)) + (20 * u if i > 2 else 0) for i in range(5)]
    found = film(xs, modes=1)
    assert "In 1 of these steps the mode is hardly the same before and after" in found.reading


def test_checkpoints_of_different_widths_and_few_directions(rng):
    x = rng.standard_normal((40, 2))
    found = film([x @ rng.standard_normal((2, 50)), np.c_[x, x], x * 3], modes=8)
    assert list(found.series) == ["mode 1", "mode 2"]


# ---------------------------------------------------------------------------- broken code
def _by_size(series, count):
    k = min(count, *(m.patterns.shape[1] for m in series))
    values = np.array([m.eigenvalues[:k] for m in series])
    patterns = np.array([m.patterns[:, :k] for m in series])
    return compute.Tracked(values, patterns, np.ones((len(series) - 1, k)))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "tracked", _by_size),
        (module, "halfway", lambda x, e: np.full(e.shape[1], x[len(x) // 2])),
        (module, "jumps_of", lambda film: (film.growth() > 0, np.zeros_like(film.growth()))),
        (module, "jumps_of", lambda film: (film.growth() > 99, np.ones_like(film.growth()))),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
