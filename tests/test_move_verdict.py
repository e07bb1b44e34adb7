"""The verdict that causal methods carry: its parts against their definitions, each doubt alone, nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attribution import targets
from analysis.attribution.patches.patch_verdict import FAITHFUL, ILLUSORY, NOTHING, SUSPICIOUS, orthonormal
from analysis.errors import Cancelled
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import Site
from analysis.interventions.interventions import Intervention, Units, steered
from analysis.interventions.many_targets import many_targets
from analysis.interventions.move_trial import judge_moves
from analysis.interventions.move_verdict import CONNECTED, GIVEN, HELD, LEFT, Claim
from analysis.interventions.site_slopes import site_slopes
from analysis.interventions.verdict_words import verdict_caveats, verdict_numbers, verdict_sentence
from analysis.sources.loaded_model import LoadedModel

torch = pytest.importorskip("torch")
SLOPE = np.array([0.0, 2.0, 1.0])


class Read(torch.nn.Module):
    """What passes through a site, then a straight number of it."""

    def __init__(self, slope) -> None:
        super().__init__()
        self.pass_on, self.slope = torch.nn.Identity(), torch.as_tensor(slope)

    def forward(self, x):
        return self.pass_on(x).mean(dim=1) @ self.slope[:, None]


def judged(rows, slope, changed, *, reader=None, first=None, **claim):
    """The verdict on putting `changed` (n, d) where `rows` (n, d) stand, one token each."""
    run = BatchRun(LoadedModel((reader or Read(slope)).eval(), "array", None), torch.as_tensor(rows[:, None]))
    cell = (Intervention(Site("pass_on"), changed[:, None]),)
    target = many_targets(run, targets.LOGIT, 0)
    return judge_moves([run], [target], [Claim("it", (cell,), **claim)], np.random.default_rng(0), lambda *_: None,
                       (0.0, 1.0), first=first)[0]  # fmt: skip


def patched(rows, source, direction):
    v = orthonormal(np.atleast_2d(direction).T.astype(np.float64))
    return rows + (source - rows) @ v @ v.T


def copied(rng, n=60):
    x = np.abs(3 * rng.standard_normal(n))
    return np.outer(x, [1.0, 0.0, 1.0]), np.outer(-np.roll(x, 1), [1.0, 0.0, 1.0])


def test_the_known_illusion_is_flagged_and_what_is_right_is_not(rng):
    rows, source = copied(rng)
    every = np.concatenate([rows, source])
    other = np.concatenate([source, rows])
    for direction, word in (([1, 1, 0], ILLUSORY), ([1, 0, 0], NOTHING), ([0, 1, 0], NOTHING)):
        # towards the source, whichever way that is: the size of the effect is claimed
        found = judged(every, SLOPE, patched(every, other, direction), sized=True)
        assert found.judged()[0] == word, direction
    found = judged(every, SLOPE, patched(every, other, [1, 1, 0]), sized=True)
    np.testing.assert_allclose(found.share(HELD), 0, atol=1e-12)
    np.testing.assert_allclose(found.share(CONNECTED), 1)  # of one number its slope always works
    assert found.off.mean() > found.off_natural.mean() + 0.4
    right = judged(every, SLOPE, patched(every, other, [0, 0, 1]), sized=True)
    assert right.judged()[0] == FAITHFUL
    whole = judged(every, SLOPE, other, whole=True, sized=True)
    assert whole.judged()[0] == FAITHFUL
    assert "no dormant way can be woken" in " ".join(verdict_caveats([whole]))


def test_parts_are_what_they_are_called(rng):
    rows, slope = rng.standard_normal((40, 5)), rng.standard_normal(5)
    change = np.outer(np.ones(40), rng.standard_normal(5))
    found = judged(rows, slope, rows + change)
    unit = slope / np.linalg.norm(slope)
    np.testing.assert_allclose(found.effects[GIVEN], change @ slope, atol=1e-9)
    np.testing.assert_allclose(found.effects[CONNECTED], (change @ unit) * (unit @ slope), atol=1e-9)
    np.testing.assert_allclose(found.effects[LEFT], 0, atol=1e-9)
    low, high = (np.array([np.percentile(rows[:, j], q) for j in range(5)]) for q in (0.5, 99.5))
    # ranges are of other samples, so never wider than those of all
    assert (np.abs(found.effects[HELD]) <= np.abs(slope) @ np.abs(np.maximum(high - low, 0)) + 1e-9).all()
    np.testing.assert_allclose(found.variance, np.var(rows @ unit))
    assert (found.rank, found.d) == (1, 5)
    assert found.random.shape[1] == 40


def test_what_never_varies_and_what_goes_far_are_each_told(rng):
    rows = rng.standard_normal((80, 6)) * np.array([3.0, 3, 3, 3, 3, 0.01])
    step = np.zeros(6)
    step[5] = 0.005
    dormant = judged(rows, np.eye(6)[5], rows + step)
    word, why = dormant.judged()
    assert word == SUSPICIOUS
    assert why == ("its connected part hardly varies by nature",)
    near, far = (judged(rows, np.eye(6)[0], rows + a * np.eye(6)[0]) for a in (0.5, 100.0))
    assert near.judged()[0] == FAITHFUL
    assert far.judged()[0] in (SUSPICIOUS, ILLUSORY)
    assert far.off.mean() == pytest.approx(1.0)
    told = {e.name: e for e in verdict_numbers([dormant], rng)}
    assert told["natural variance moved, it"].p_value < 0.05
    assert all(e.null is not None for e in told.values())
    assert verdict_sentence(near).startswith("Verdict on it: faithful;")


def test_a_way_that_is_asleep_is_seen_in_what_the_slopes_leave(rng):
    """y = h0 + relu(h1 - 10) with h1 near 0: only the patch opens the gate, so that slopes do not hear it."""

    class Gate(Read):
        def forward(self, x):
            h = self.pass_on(x)[:, 0]
            return (h[:, :1] + 5 * torch.relu(h[:, 1:2] - 10)).repeat(1, 1)

    rows = rng.standard_normal((60, 4))
    found = judged(rows, np.ones(4), rows + np.array([0.5, 20.0, 0, 0]), reader=Gate(np.ones(4)))
    assert found.judged()[0] == ILLUSORY
    assert found.share(CONNECTED) < 0.1
    assert found.share(LEFT) > 0.9


def test_units_at_an_input_are_counted_in_their_own_deviations(rng):
    """Columns of a table in other units of measure: the same verdict."""
    rows, slope = rng.standard_normal((60, 4)), np.array([1.0, 0.5, 0, 0])
    change = np.array([0.3, 0, 0.3, 0])
    unit, found = np.array([1.0, 1000.0, 1e-3, 5.0]), []
    for u in (np.ones(4), unit):
        model = LoadedModel(Read(slope / u).eval(), "array", None)
        run = BatchRun(model, torch.as_tensor((rows * u)[:, None]))
        cell = steered(Site("input"), change * u, 1.0)
        found += judge_moves([run], [many_targets(run, targets.LOGIT, 0)], [Claim("it", (cell,))],
                             np.random.default_rng(0), lambda *_: None, (0.0, 1.0))  # fmt: skip
    np.testing.assert_allclose(found[0].variance, found[1].variance, rtol=1e-9)
    np.testing.assert_allclose(found[0].random_variance, found[1].random_variance, rtol=1e-9)
    np.testing.assert_allclose(found[0].effects[CONNECTED], found[1].effects[CONNECTED], rtol=1e-9)
    np.testing.assert_allclose(found[0].off, found[1].off, rtol=1e-9)


def test_slopes_are_those_of_autograd_and_inputs_stay_as_they_were(rng):
    class InPlace(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pass_on, self.head = torch.nn.Identity(), torch.nn.Linear(3, 2).double()

        def forward(self, x):
            x += 1.0
            return self.head(self.pass_on(x)[:, 0] ** 2)

    model, x = InPlace().eval(), torch.as_tensor(rng.standard_normal((4, 1, 3)))
    before = x.clone()
    run = BatchRun(LoadedModel(model, "array", None), x)
    target = many_targets(run, targets.LOGIT, 1)
    site_slopes(run, [Site("pass_on")], target)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    found = site_slopes(run, [Site("pass_on"), Site("input")], target)
    known = 2 * (before + 1) * model.head.weight[1].detach()
    torch.testing.assert_close(found[Site("pass_on")], known)
    torch.testing.assert_close(found[Site("input")], known)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    assert not model.pass_on._forward_hooks


def test_a_claim_begins_where_something_was_done_before(rng):
    rows, unit = rng.standard_normal((30, 3)), Units(1, 2)
    site = Site("pass_on")
    run = BatchRun(LoadedModel(Read(SLOPE).eval(), "array", None), torch.as_tensor(rows[:, None]))
    low, high = ((Intervention(site, v, unit),) for v in (-1.0, 1.0))
    found = judge_moves([run], [many_targets(run, targets.LOGIT, 0)], [Claim("it", (high,))],
                        np.random.default_rng(0), lambda *_: None, (0.0, 1.0), first=[low])[0]  # fmt: skip
    np.testing.assert_allclose(found.effects[GIVEN], 4.0)  # 2 h2 from -1 to 1


def test_a_cancelled_verdict_leaves_nothing_on_the_network(rng):
    rows = rng.standard_normal((30, 3))
    run = BatchRun(LoadedModel(Read(SLOPE).eval(), "array", None), torch.as_tensor(rows[:, None]))
    cell = (Intervention(Site("pass_on"), 0.0, Units(1, 2)),)

    def stop(*_):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        judge_moves(
            [run], [many_targets(run, targets.LOGIT, 0)], [Claim("it", (cell,))], rng, stop, (0.0, 1.0)
        )
    assert not any(
        m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in run.loaded.module.modules()
    )


def test_two_things_done_at_some_tokens_of_one_site_follow_each_other(rng):
    x = torch.as_tensor(rng.standard_normal((10, 3, 3)))
    run = BatchRun(LoadedModel(Read(SLOPE).eval(), "array", None), x)
    site, at = Site("pass_on"), np.arange(3) == 2
    cell = (Intervention(site, -1.0, Units(1, 2), tokens=at), Intervention(site, 5.0, Units(1, 2), tokens=at))
    found = run.answers([cell], many_targets(run, targets.LOGIT, 0).of)[0]
    new = x.numpy().copy()
    new[:, 2, 1] = 5.0
    np.testing.assert_allclose(found, new.mean(axis=1) @ SLOPE)


def test_honest_patches_are_seldom_doubted_and_the_illusion_always():
    """A unit exchanged between samples of independent units: about one in twenty is doubted, however few there are."""
    honest, illusions, n = 0, 0, 10
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rows, slope = rng.standard_normal((n, 6)), np.r_[2.0, rng.standard_normal(5)]
        new = patched(rows, np.roll(rows, 1, axis=0), np.eye(6)[0])
        honest += judged(rows, slope, new, sized=True).judged()[0] == FAITHFUL
        rows = np.outer(3 * rng.standard_normal(n), [1.0, 0.0, 1.0])
        new = patched(rows, np.roll(rows, 1, axis=0), [1, 1, 0])
        illusions += judged(rows, SLOPE, new, sized=True).judged()[0] == ILLUSORY
    assert honest >= 25  # of 30; five or fewer wrong has probability 0.997 at one in twenty
    assert illusions == 30


def test_the_interval_of_a_variance_holds_the_truth_as_often_as_it_says():
    """Draws of a bell curve of variance 4: the interval holds it in about 95 % of 4,000."""
    from analysis.interventions.verdict_words import _variance_ends

    rows = 2 * np.random.default_rng(0).standard_normal((4000, 12))
    ends = [_variance_ends(float(v), 12) for v in rows.var(axis=1, ddof=1)]
    held = np.mean([e["low"] < 4 < e["high"] for e in ends])
    assert held == pytest.approx(0.95, abs=0.012)
    assert "low" not in _variance_ends(1.0, 1)
