"""Adapters of a class-incremental learner: prototypes that are made up, and whether each adapter owns its task."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.subspaces import prototypes as mathematics
from analysis.compute.subspaces.prototypes import complemented, prototypes
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces import adapter_tasks as tasks_module
from analysis.methods.subspaces import prototype_matrix as module
from analysis.methods.subspaces.adapter_tasks import ALL, CONFUSION, AdapterTasksParams, adapter_tasks
from analysis.methods.subspaces.prototype_matrix import PrototypeMatrixParams, prototype_matrix
from analysis.methods.subspaces.subspace_distances import SubspaceDistancesParams, subspace_distances
from dashboard.figures import matrix as drawing
from dashboard.figures.style import LIGHT

TASK = PrototypeMatrixParams(task="task")


def taps(values, of, task):
    samples = {"label": np.asarray(of), "task": np.asarray(task)[of]}
    return [ArrayActivations(v, samples=samples, name=f"a{i}") for i, v in enumerate(values)]


@pytest.fixture
def made(rng):
    """Three adapters of widths 6, 7 and 5, seven classes in tasks 0 0 1 1 1 2 2."""
    task = np.array([0, 0, 1, 1, 1, 2, 2])
    of = np.arange(280) % 7
    values = [
        (2 * rng.standard_normal((7, d)) + 1)[of] + 0.8 * rng.standard_normal((280, d)) for d in (6, 7, 5)
    ]
    return taps(values, of, task), of, task


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


# ---------------------------------------------------------------------------- made-up prototypes
def test_cells_by_the_paper_s_equations_one_by_one(made):
    stack, of, task = made
    found = prototype_matrix(*stack, params=TASK)
    mean = [np.array([t.values[of == c].mean(axis=0) for c in range(7)]) for t in stack]
    for i in range(7):
        for a in range(3):
            if task[i] >= a:
                assert found.values[i, a] == 1.0
                assert not found.few[i, a]
                continue
            new, home = np.flatnonzero(task == a), mean[task[i]]
            like = np.exp([cosine(home[i], home[j]) for j in new])
            synthetic = sum(w * mean[a][j] for w, j in zip(like / like.sum(), new, strict=True))
            assert found.few[i, a]
            assert found.values[i, a] == pytest.approx(cosine(synthetic, mean[a][i]), abs=1e-12)
            assert found.low[i, a] <= found.values[i, a] <= found.high[i, a]


def test_nothing_is_made_up_on_the_diagonal_stage(made):
    stack, _, task = made
    found = prototype_matrix(*stack, params=TASK)
    own = found.values[np.arange(7), task]
    assert (own == 1.0).all()
    assert (found.low[~found.few] == 1.0).all()
    assert np.isnan(found.null[~found.few]).all()
    assert found.few.sum() == 2 * 2 + 3


def test_the_null_is_the_mean_over_all_exchanges(made):
    stack, of, task = made
    found = prototype_matrix(*stack, params=TASK)
    mean = [prototypes(np.asarray(t.values), of, 7) for t in stack]
    late = complemented(mean, task)
    whole = []
    for a in (1, 2):
        old = np.flatnonzero(task < a)
        every = [
            [cosine(late[a][i], mean[a][j]) for i, j in zip(old, p, strict=True)] for p in permutations(old)
        ]
        whole += np.mean(every, axis=0).tolist()
        np.testing.assert_allclose(found.null[old, a], np.mean(every, axis=0), atol=1e-12)
    assert found.estimates[0].null == pytest.approx(np.mean(whole), abs=1e-12)


def test_at_temperature_1_no_new_class_weighs_more_than_e_squared_times_another(rng):
    known = [rng.standard_normal((6, 4)) for _ in range(2)]
    task = np.array([0, 0, 0, 1, 1, 1])
    for temperature, most in ((1.0, np.exp(2)), (0.5, np.exp(4))):
        late = complemented(known, task, temperature)[1]
        weight = np.linalg.lstsq(known[1][3:].T, late[:3].T, rcond=None)[0]
        np.testing.assert_allclose(weight.sum(axis=0), 1.0, atol=1e-9)
        assert (weight.max(axis=0) / weight.min(axis=0) <= most + 1e-9).all()
    cold = complemented(known, task, 0.001)[1][:3]
    nearest = (mathematics.unit_length(known[0][:3]) @ mathematics.unit_length(known[0][3:]).T).argmax(axis=1)
    np.testing.assert_allclose(cold, known[1][3:][nearest], atol=1e-3)


def test_an_even_softmax_is_said(rng):
    """Old classes all alike beside the new ones: the same prototype is made for each."""
    task, of = np.array([0, 0, 1, 1]), np.arange(120) % 4
    first = np.array([[5, 0, 0.1], [5, 0.1, 0], [5, 0.0, 0.2], [5, 0.2, 0.0]])
    noise = 0.01 * rng.standard_normal((120, 3))
    found = prototype_matrix(
        *taps([first[of] + noise, rng.standard_normal((4, 3))[of] + noise], of, task), params=TASK
    )
    assert any("too even" in c for c in found.caveats)
    assert found.estimates[0].null == pytest.approx(found.estimates[0].value, abs=1e-3)


def test_rotating_and_scaling_an_adapter_changes_nothing_and_shifting_does(made, rng):
    stack, of, task = made
    turned = [
        3 * np.asarray(t.values) @ np.linalg.qr(rng.standard_normal((t.shape[1],) * 2))[0] for t in stack
    ]
    one, two = (prototype_matrix(*s, params=TASK) for s in (stack, taps(turned, of, task)))
    np.testing.assert_allclose(one.values, two.values, atol=1e-9)
    shifted = prototype_matrix(*taps([np.asarray(t.values) + 5 for t in stack], of, task), params=TASK)
    assert np.abs(shifted.values - one.values).max() > 0.05


def test_accuracies_by_brute_force(made):
    """The classifier with prototypes of all other samples, sample by sample's fold."""
    stack, of, task = made
    found = prototype_matrix(*stack, params=TASK, rng=np.random.default_rng(3))
    part = mathematics.folds_of(of, mathematics.PARTS, np.random.default_rng(3))
    right = {"true": 0, "made": 0}
    for p in range(mathematics.PARTS):
        rest = [prototypes(np.asarray(t.values)[part != p], of[part != p], 7) for t in stack]
        for name, known in (("true", rest), ("made", complemented(rest, task))):
            side = np.hstack(known)
            for row in np.flatnonzero(part == p):
                x = np.concatenate([np.asarray(t.values)[row] for t in stack])
                right[name] += int(np.argmax([cosine(x, s) for s in side]) == of[row])
    assert found.estimates[2].value == pytest.approx(right["true"] / 280)
    assert found.estimates[3].value == pytest.approx(right["made"] / 280)
    assert found.estimates[4].value == pytest.approx((right["true"] - right["made"]) / 280)


def test_hatched_cells_are_said_to_be_made_up_and_not_that_samples_are_few(made):
    found = prototype_matrix(*made[0], params=TASK)
    said = " ".join([*drawing.notes(found), drawing.words(found)])
    assert "made up from other classes" in said
    assert "too few" not in said
    assert "made up from other classes, not computed from data" in drawing.table(found)
    text = str(drawing.screen(found, LIGHT).to_plotly_json())
    assert "made up from other classes" in text
    assert "too few" not in text


# ---------------------------------------------------------------------------- adapters and tasks
def network(rng, up: float):
    """Embeddings of a frozen residual block without and with a bottleneck adapter beside it, whose up-projection is
    scaled by `up`."""
    x, w = rng.standard_normal((200, 10)), rng.standard_normal((10, 10)) / 3
    down, raise_ = rng.standard_normal((10, 3)), rng.standard_normal((3, 10))
    frozen = x + np.tanh(x @ w)
    return frozen, frozen + np.maximum(x @ down, 0) @ (up * raise_)


def test_an_adapter_whose_up_projection_is_0_is_the_frozen_network_exactly(rng):
    of, task = np.arange(200) % 4, np.array([0, 0, 1, 1])
    frozen, still = network(rng, 0.0)
    _, moved = network(rng, 1.0)
    assert np.array_equal(frozen, still)
    for params in (AdapterTasksParams(task="task"), AdapterTasksParams(task="task", show=ALL)):
        found = adapter_tasks(*taps([frozen, still], of, task), params=params)
        assert np.array_equal(found.values[:, 0], found.values[:, 1])
        assert found.estimates[2].value == 0.0
    how = SubspaceDistancesParams(dimension=3, space="units")
    same = subspace_distances(*taps([frozen, still], of, task), params=how)
    assert same.values[0, 1] == pytest.approx(1.0, abs=1e-12)
    other = subspace_distances(*taps([frozen, moved], of, task), params=how)
    assert other.values[0, 1] < 0.99
    assert other.null[0, 1] == pytest.approx(3 / 10)  # Σ cos² θ / k by chance: k / d


@pytest.mark.parametrize("show", ["own classes", ALL])
def test_shares_by_brute_force(made, show):
    stack, of, task = made
    found = adapter_tasks(
        *stack, params=AdapterTasksParams(task="task", show=show), rng=np.random.default_rng(5)
    )
    part = mathematics.folds_of(of, mathematics.PARTS, np.random.default_rng(5))
    for a, tap in enumerate(stack):
        right = np.zeros(280, bool)
        for row in range(280):
            rest = prototypes(np.asarray(tap.values)[part != part[row]], of[part != part[row]], 7)
            among = np.flatnonzero(task == task[of[row]]) if show == "own classes" else np.arange(7)
            right[row] = among[np.argmax([cosine(tap.values[row], rest[c]) for c in among])] == of[row]
        for t in range(3):
            assert found.values[t, a] == pytest.approx(right[task[of] == t].mean())


def test_confusion_of_one_adapter_and_of_all(rng):
    """The first adapter sees only its own classes; side by side all are told apart."""
    of, task = np.arange(200) % 4, np.array([0, 0, 1, 1])
    noise = 0.05 * rng.standard_normal((2, 200, 5))
    one = 4 * np.eye(5)[np.where(of < 2, of, 0)] + noise[0]  # the second task's classes look like class 0
    two = 4 * np.eye(5)[of] + noise[1]
    stack = taps([one, two], of, task)
    first = adapter_tasks(*stack, params=AdapterTasksParams(task="task", show=CONFUSION, adapter=1))
    both = adapter_tasks(*stack, params=AdapterTasksParams(task="task", show=CONFUSION))
    np.testing.assert_allclose(first.values.sum(axis=1), 1.0)
    assert first.values[1, 0] > 0.2
    assert first.values[0, 0] < 0.95
    np.testing.assert_array_equal(both.values, np.eye(2))


def test_dealt_adapters_have_a_mean_gain_of_0(made):
    found = adapter_tasks(*made[0], params=AdapterTasksParams(task="task"))
    gain = found.estimates[2]
    assert gain.null_low <= 0 <= gain.null_high
    assert gain.p_value in [k / 6 for k in range(1, 7)]
    own, others = found.estimates[:2]
    assert own.value - others.value == pytest.approx(gain.value)
    assert own.null == pytest.approx((own.value + 2 * others.value) / 3)


def test_tasks_in_natural_order_and_classes_cut_without_a_column(made):
    stack, of, _ = made
    names = np.array(["task 10", "task 10", "task 2", "task 2", "task 2", "task 1", "task 1"])[of]
    stack = [ArrayActivations(t.values, samples={"label": of, "stage": names}) for t in stack]
    found = prototype_matrix(*stack, params=PrototypeMatrixParams(task="stage"))
    assert found.few[:2].sum() == 0  # of the last task
    assert found.row_names[0] == "0 (task 10)"
    assert [found.row_names[i][0] for i in found.row_order] == list("5623401")
    cut = prototype_matrix(*stack)
    assert [n.split("(")[1] for n in cut.row_names] == [f"task {t})" for t in (1, 1, 1, 2, 2, 3, 3)]
    assert any("cut into as many tasks" in c for c in cut.caveats)


def test_refusals(made):
    stack, of, _ = made
    for method, params in ((prototype_matrix, PrototypeMatrixParams), (adapter_tasks, AdapterTasksParams)):
        with pytest.raises(ParameterError, match="one for each task"):
            method(stack[0])
        with pytest.raises(InputError, match="3 tasks in 'task' and 2 taps"):
            method(*stack[:2], params=params(task="task"))
        with pytest.raises(NotFound):
            method(*stack, params=params(task="stage"))
        mixed = [ArrayActivations(t.values, samples={"label": of, "task": np.arange(280) % 3}) for t in stack]
        with pytest.raises(InputError, match="class 0 has samples of 3 tasks"):
            method(*mixed, params=params(task="task"))
        with pytest.raises(NotEnoughData, match="7 classes for 8 taps"):
            method(*stack, *stack, *stack[:2])
    with pytest.raises(ParameterError, match="at most 3"):
        adapter_tasks(*stack, params=AdapterTasksParams(show=CONFUSION, adapter=4))


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "complemented", lambda known, task, t: [k * 1.0 for k in known]),
        (module, "complemented", lambda known, task, t: mathematics.complemented(known, task, 2 * t)),
        (
            module,
            "cells_of",
            lambda c, task: (np.stack([np.diag(v) for v in c], 1) - 1e-6, task[:, None] >= [0, 1]),
        ),
        (tasks_module, "prototypes", lambda x, of, c: np.ones((c, x.shape[1]))),
        (tasks_module, "cosines_to", lambda x, m: -mathematics.cosines_to(x, m)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = where.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
