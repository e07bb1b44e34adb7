"""Ablation, patching, direct logit attribution, Shapley values of parts and steering on networks of known answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import analysis
from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.errors import InputError, NotEnoughData
from analysis.features.readers import PROBE
from analysis.interventions import components as parts
from analysis.interventions import interventions as done
from analysis.interventions import subspaces, sweep_numbers
from analysis.interventions.ablation import ablations, changes, random_twins
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.component_game import component_game
from analysis.interventions.components import NetworkParts, Site, units_of
from analysis.interventions.direct_paths import direct_parts, direct_paths
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.many_targets import many_targets
from analysis.interventions.pairs import ANOTHER, NOISE, SAME, TOKENS, likeliest, pairs_of
from analysis.interventions.sweeps import AT_TOKENS, Swept, grid_of, sweep
from analysis.methods.attribution import activation_patching as patching
from analysis.methods.attribution.ablation_effect import AblationParams, ablation_effect
from analysis.methods.attribution.component_shapley import ComponentShapleyParams, component_shapley
from analysis.methods.attribution.direct_logit_attribution import DirectLogitParams, direct_logit_attribution
from analysis.methods.attribution.self_repair import SelfRepairParams, self_repair
from analysis.methods.attribution.steering import ANSWERS, SteeringParams, steering
from analysis.sources.loaded_model import LoadedModel

torch = pytest.importorskip("torch")
from test_interventions import hooks, hugging_face  # noqa: E402

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "workspace"
D, CLASSES = 6, 3


class OneTokenReads(torch.nn.Module):
    """Tokens through a linear map; the answer is read from token 2 alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.map, self.head = torch.nn.Linear(D, 5), torch.nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.head(self.map(x)[:, 2])


def bench_of(model, inputs, parts, number=targets.LOGIT, answer=None):
    """A bench of one batch, without a tap."""
    run = BatchRun(LoadedModel(model.eval(), "array", None), inputs)
    return SimpleNamespace(
        batches=[SimpleNamespace(run=run)], runs=[run], targets=[many_targets(run, number, answer)], n=run.n,
        parts=parts, answer=answer, notes=[], tap=SimpleNamespace(name="tap"),
    )  # fmt: skip


@pytest.fixture
def bench():
    x = torch.as_tensor(np.random.default_rng(0).standard_normal((20, 4, D)))
    return bench_of(OneTokenReads().double(), x, NetworkParts(layers=("map",)), targets.LOGIT, 1)


# ---------------------------------------------------------------------------- ablation
def test_taking_units_out_of_a_linear_network_changes_the_logit_by_weight_times_what_goes(bench, rng):
    site, run = Site("map"), bench.runs[0]
    x = run.caught([site])[site].numpy()
    weight = run.loaded.module.head.weight[1].detach().numpy()
    units = units_of(site, range(5))
    for way, expected in ((done.ZERO, 0.0), (done.MEAN, x[:, 2].mean(axis=0))):
        found = changes(bench, ablations(bench, units, way, rng))
        np.testing.assert_allclose(found, (weight * (expected - x[:, 2])).T, atol=1e-12)
    resampled = changes(bench, ablations(bench, units, done.RESAMPLE, rng)) / weight[:, None] + x[:, 2].T
    donor = [int(np.abs(x[:, 2].T - own[:, None]).sum(axis=0).argmin()) for own in resampled.T]
    np.testing.assert_allclose(resampled.T, x[donor, 2], atol=1e-12)  # all units from one other sample
    assert sorted(donor) == list(range(20))
    assert all(i != j for i, j in enumerate(donor))


def test_random_twins_move_every_token_as_far_in_one_direction(bench, rng):
    site, run = Site("map"), bench.runs[0]
    x = run.caught([site])[site]
    cells = ablations(bench, units_of(site, [1, 3]), done.ZERO, rng)
    twins = random_twins(bench, cells, 3, rng)[0]
    assert len(twins) == 6
    moved = [(cell[0].applied(x) - x).numpy() for cell in twins]
    for k, own in enumerate(moved):
        np.testing.assert_allclose(np.linalg.norm(own, axis=2), np.abs(x[..., (1, 3)[k // 3]]), atol=1e-12)
        way = own / np.linalg.norm(own, axis=2, keepdims=True)
        np.testing.assert_allclose(way, np.broadcast_to(way[:, :1], way.shape), atol=1e-9)
    assert not np.allclose(moved[0], moved[1])


# ---------------------------------------------------------------------------- patching
@pytest.mark.parametrize("corruption", [ANOTHER, TOKENS, NOISE])
@pytest.mark.parametrize("restore", [True, False])
def test_only_the_token_that_is_read_restores_and_it_restores_all(bench, rng, corruption, restore):
    pairs = pairs_of(bench, corruption, 2.0, rng)
    grid = grid_of(bench, pairs, AT_TOKENS, 32)
    assert grid.columns == ("token 0", "token 1", "token 2", "token 3")
    found = sweep(grid, pairs, restore, rng, lambda *_: None, (0.0, 1.0))
    assert np.abs(found.gap).min() > 1e-6
    np.testing.assert_allclose(found.effect[0, 2], found.gap, atol=1e-12)
    np.testing.assert_allclose(found.effect[0, [0, 1, 3]], 0, atol=1e-12)
    assert np.abs(found.chance[0, 2] - found.gap).mean() > 1e-3
    clean = pairs[0].target.of(pairs[0].clean.logits).numpy()
    np.testing.assert_allclose(found.source if restore else found.base, clean)
    assert hooks(bench.runs[0].loaded.module) == 0
    halves = grid_of(bench, pairs, AT_TOKENS, 2)
    assert halves.columns == ("tokens 0–1", "tokens 2–3")
    both = sweep(halves, pairs, restore, rng, lambda *_: None, (0.0, 1.0)).effect
    np.testing.assert_allclose(both[0], np.stack([np.zeros_like(found.gap), found.gap]), atol=1e-12)


def test_partners_answer_as_asked_and_differences_are_to_their_answer(bench, rng):
    for kind, alike in ((ANOTHER, False), (SAME, True)):
        own = pairs_of(bench, kind, 1.0, rng)[0]
        assert ((likeliest(own.clean) == likeliest(own.corrupted)) == alike).all()
        beside = (own.clean.inputs != own.corrupted.inputs).flatten(1)
        assert beside.any(dim=1).all()  # nobody is its own partner
    bench.targets = [many_targets(bench.runs[0], targets.DIFFERENCE)]
    bench.answer = None
    own = pairs_of(bench, ANOTHER, 1.0, rng)[0]
    np.testing.assert_array_equal(own.target.answer, likeliest(own.clean))
    np.testing.assert_array_equal(own.target.against, likeliest(own.corrupted))
    few = bench_of(OneTokenReads().double(), bench.runs[0].inputs[:5], bench.parts)
    with pytest.raises(NotEnoughData, match="at least 8"):
        pairs_of(few, TOKENS, 1.0, rng)


def test_shares_are_told_only_of_a_difference_that_is_there(rng):
    base, effect = np.zeros(30), rng.standard_normal((1, 2, 30))
    there = Swept(effect, effect, base, 5 + rng.standard_normal(30))
    gone = Swept(effect, effect, base, rng.standard_normal(30) - rng.standard_normal(30).mean())
    gone = Swept(effect, effect, base, gone.source - gone.source.mean())
    assert sweep_numbers.told(there)
    assert not sweep_numbers.told(gone)
    n = np.full((1, 2), 30)
    values, low, high, null = sweep_numbers.cells(there, n, True, rng)
    known = effect.mean(axis=2) / there.gap.mean()
    np.testing.assert_allclose(values, known)
    np.testing.assert_allclose(null, known)
    assert ((low < values) & (values < high)).all()
    label = np.arange(40) % 2
    tap = ArrayActivations(rng.standard_normal((40, 3)) + 3 * label[:, None], samples={"label": label})
    same = patching.activation_patching(
        tap, patching.PatchingParams(corruption=SAME, reader=PROBE, number="logit")
    )
    if any("cannot be told" in c for c in same.caveats):
        assert "change of" in same.value_name


# ---------------------------------------------------------------------------- the straight way to the logits
@pytest.mark.parametrize("kind", ["gpt2", "llama", "vit"])
def test_parts_add_up_to_the_logit_difference_and_taking_one_out_takes_its_part(kind):
    model, inputs = hugging_face(kind)
    run, found = BatchRun(model, inputs), network_parts(model, inputs)
    target = many_targets(run, targets.DIFFERENCE)
    direct = direct_paths(run, found, target.position)
    values = direct.values(target)
    assert direct.names[0] == "embedding"
    assert len(values) == len(direct_parts(found)) + 2
    own = target.of(run.logits).numpy()
    assert np.abs(values.sum(axis=0) - own).max() < 1e-5 * np.abs(own).max()
    logit = many_targets(run, targets.LOGIT, 2)
    assert direct.values(logit).sum(axis=0) == pytest.approx(logit.of(run.logits).numpy(), abs=1e-5)
    head = direct_parts(found)[1]
    caught = run.caught(head.sites)
    np.testing.assert_allclose(direct.removed(done.zeroed(head), caught, target), values[2], atol=1e-6)


def test_a_network_that_is_not_such_a_sum_is_refused():
    for kind, said in (("bert", "neither one token"), ("resnet", "no stream")):
        model, inputs = hugging_face(kind)
        run, found = BatchRun(model, inputs), network_parts(model, inputs)
        with pytest.raises(InputError, match=said):
            direct_paths(run, found, run.last)


# ---------------------------------------------------------------------------- Shapley values of parts
def test_values_of_parts_are_those_of_all_orders_and_linear_ones_are_what_ablation_takes(rng):
    from analysis.compute.games.exact import exact_values

    model, inputs = hugging_face("gpt2")
    run, found = BatchRun(model, inputs), network_parts(model, inputs)
    bench = SimpleNamespace(runs=[run], targets=[many_targets(run, targets.DIFFERENCE)], n=4)
    players = found.components(parts.ATTENTION)
    values = exact_values(component_game(bench, players, 2, rng))
    assert values.values.shape == (3, 1 + 4 + 2)
    np.testing.assert_allclose(values.values[:, 0], values.values[:, 1:5].mean(axis=1), atol=1e-9)
    clean = bench.targets[0].of(run.logits).numpy()
    np.testing.assert_allclose(values.full[1:5], clean, atol=1e-6)
    mean = {c.sites[0]: run.caught(c.sites)[c.sites[0]] for c in players}
    mean = {s: x[run.real(7)].double().mean(dim=0) for s, x in mean.items()}
    alone = run.answers(
        [tuple(e for c in players for e in done.put(c, mean.__getitem__))], bench.targets[0].of
    )
    np.testing.assert_allclose(values.empty[1:5], alone[0], atol=1e-6)

    label = np.arange(40) % 2
    tap = ArrayActivations(rng.standard_normal((40, 4)) + 2 * label[:, None], samples={"label": label})
    shapley = component_shapley(
        tap, ComponentShapleyParams(reader=PROBE, parts="units of the tap", null_draws=2)
    )
    taken = ablation_effect(tap, AblationParams(reader=PROBE, parts="units of the tap", draws=2))
    assert shapley.names == tuple(taken.columns["part"])
    np.testing.assert_allclose(shapley.values, -taken.columns["change"], atol=1e-9)
    assert shapley.residual == pytest.approx(0, abs=1e-9)
    with pytest.raises(NotEnoughData, match="a budget of 64"):
        component_shapley(
            ArrayActivations(rng.standard_normal((40, 30)), samples={"label": label}),
            ComponentShapleyParams(reader=PROBE, budget=64, most=30),
        )


# ---------------------------------------------------------------------------- steering
def test_steering_between_answers_goes_the_way_of_the_means(rng):
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 3)) + 4 * np.outer(label, [1, 0, 0])
    tap = ArrayActivations(x, samples={"label": label})
    found = steering(
        tap,
        SteeringParams(
            reader=PROBE, direction=ANSWERS, answer=1, number="logit", maximum_samples=100, draws=4
        ),
    )
    name = next(iter(found.series))
    assert name == "1 less 0"
    assert found.series[name][len(found.x) // 2] == 0
    slope = next(e for e in found.estimates if e.name == "slope at 0")
    rise = (found.series[name][-1] - found.series[name][0]) / (found.x[-1] - found.x[0])
    assert slope.value == pytest.approx(rise, rel=1e-9)
    assert slope.value > slope.null_high
    assert set(found.marks[name]) < set(found.x)
    assert np.abs(found.marks[name]).min() > 0
    with pytest.raises(analysis.errors.NotFound, match="class 7"):
        steering(tap, SteeringParams(reader=PROBE, direction=ANSWERS, answer=7))


# ---------------------------------------------------------------------------- few directions
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("where", subspaces.WHERE[1:])
def test_all_directions_are_the_run_and_none_is_its_mean(kind, where, rng):
    model, inputs = hugging_face(kind)
    run, found = BatchRun(model, inputs), network_parts(model, inputs)
    places = subspaces.places_of(SimpleNamespace(parts=found), where, 1)
    shared = kind == "llama" and where in (subspaces.KEYS, subspaces.VALUES)
    assert len(places) == (1 if shared else 3)
    fitted = subspaces.Fitted([run], places)
    assert fitted.width == 4
    every, turned = next(run.logits_with([fitted.held(4), fitted.random(4, rng)]))[1]
    for logits in (every, turned):
        torch.testing.assert_close(logits, run.logits, atol=1e-6, rtol=0)
    x = run.caught([places[-1].site])[places[-1].site]
    own = done.part_of(places[-1]).read(x).double()
    mean = own[torch.as_tensor(run.real(7))].mean(dim=0)
    for r in (0, 1):
        (changed,) = (e.applied(x) for e in fitted.held(r)[-1:])
        held = done.part_of(places[-1]).read(changed).double() - mean
        assert torch.linalg.matrix_rank(held.flatten(0, 1), atol=1e-5) == r
    left = (own - mean - held)[torch.as_tensor(run.real(7))]
    rows = (own - mean)[torch.as_tensor(run.real(7))].numpy()
    np.testing.assert_allclose((left**2).sum(), (np.linalg.svd(rows)[1][1:] ** 2).sum(), rtol=1e-5)


def test_queries_are_what_the_fused_map_gives_first():
    model, inputs = hugging_face("gpt2")
    bench = SimpleNamespace(parts=network_parts(model, inputs))
    first = [subspaces.places_of(bench, w, 0)[1] for w in subspaces.WHERE[1:4]]
    assert [p.start for p in first] == [4, 16, 28]
    assert {p.site.module for p in first} == {"transformer.h.0.attn.c_attn"}
    with pytest.raises(analysis.errors.NotFound, match="layer 3"):
        subspaces.places_of(bench, subspaces.KEYS, 3)


# ---------------------------------------------------------------------------- in the network of a store
@pytest.fixture(scope="module")
def vit():
    if not SAMPLE.exists():
        pytest.skip("no sample workspace")
    return analysis.open_workspace(SAMPLE).activations("digits-vit:vit.layers.2")


def test_heads_of_a_stored_network_are_taken_out_and_what_they_write_adds_up(vit):
    out = ablation_effect(vit, AblationParams(parts="heads", maximum_samples=8, draws=2))
    assert len(out.columns["part"]) == 16
    assert any("rows went through the network" in c for c in out.caveats)
    ledger = direct_logit_attribution(vit, DirectLogitParams(maximum_samples=8, null_draws=3))
    assert abs(ledger.residual) < 1e-5 * abs(ledger.end)
    assert len(ledger.names) == 22
    repair = self_repair(vit, SelfRepairParams(maximum_samples=8))
    assert len(repair.positions) == 20
    np.testing.assert_allclose(
        repair.positions[:, 0] - repair.positions[:, 1], repair.columns["gap"], atol=1e-9
    )
    taken = dict(zip(out.columns["part"], out.columns["change"], strict=True))
    lost = dict(zip(repair.columns["part"], repair.positions[:, 1], strict=True))
    for name, change in taken.items():
        assert lost[name] == pytest.approx(-change, abs=1e-5)


def planted_probe(n=60, seed=0):
    rng, label = np.random.default_rng(seed), np.arange(n) % 3
    x = np.c_[3.0 * np.eye(3)[label], rng.standard_normal((n, 3))] + 0.3 * rng.standard_normal((n, 6))
    return ArrayActivations(x, name="planted", samples={"label": label})


def test_the_score_of_two_answers_is_between_0_and_1_and_not_the_loss():
    found = {
        number: ablation_effect(
            planted_probe(), AblationParams(parts="units of the tap", reader=PROBE, number=number, draws=2)
        )
        for number in ("readout score", "loss", "logit difference")
    }
    score, loss = (found[n].columns["change"] for n in ("readout score", "loss"))
    assert np.abs(score).max() < 1
    assert not np.allclose(score, loss)
    assert np.sign(score[np.abs(score).argmax()]) == np.sign(
        found["logit difference"].columns["change"].min()
    )


def test_noise_at_the_input_breaks_what_it_restores():
    """The whole input is the cell: either way the runs' whole difference is brought."""
    for way in ("restore the corrupted run", "break the clean run"):
        asked = patching.PatchingParams(direction=way, corruption=NOISE, reader=PROBE)
        found = patching.activation_patching(planted_probe(), asked)
        gap, effect = found.estimates[0].value, found.estimates[1].value
        assert abs(gap) > 0.1
        assert effect == pytest.approx(gap, rel=1e-6)


# ---------------------------------------------------------------------------- texts of other lengths
@pytest.fixture
def texts():
    """Twelve texts of 5, 6 or 7 words (one of 4) in a tiny language model, padded behind."""
    model, _ = hugging_face("gpt2")
    lengths = np.array([7, 5, 6] * 4)
    lengths[-1] = 4
    ids = torch.as_tensor(np.random.default_rng(1).integers(1, 20, (12, 7)))
    mask = torch.as_tensor(np.arange(7) < lengths[:, None]).long()
    inputs = {"input_ids": ids * mask, "attention_mask": mask}
    run = BatchRun(model, inputs)
    made = SimpleNamespace(
        batches=[SimpleNamespace(run=run)], runs=[run], targets=[many_targets(run)], n=12,
        parts=network_parts(model, inputs), answer=None, notes=[], tap=SimpleNamespace(name="tap"),
    )  # fmt: skip
    return made, lengths


def test_partners_are_of_as_many_words_and_the_lonely_are_left_out(texts, rng, monkeypatch):
    bench, _ = texts
    monkeypatch.setattr("analysis.interventions.pairs.likeliest", lambda run, *_: np.zeros(run.n, int))
    pairs = pairs_of(bench, SAME, 1.0, rng)
    clean, other = (r.mask.sum(dim=1).numpy() for r in (pairs[0].clean, pairs[0].corrupted))
    np.testing.assert_array_equal(clean, other)
    assert pairs[0].clean.n == 11  # nobody else has four words
    assert any("1 of 12 samples have no partner" in note for note in bench.notes)
    np.testing.assert_array_equal(pairs[0].clean.last, clean - 1)
    np.testing.assert_array_equal(pairs[0].target.position, clean - 1)


def test_padding_is_neither_patched_nor_part_of_what_is_told(texts, rng):
    """Other words in the padding change no cell; the last tokens are told of the longer texts alone."""
    bench, lengths = texts
    swept = []
    for fill in (0, 3):
        inputs = dict(bench.runs[0].inputs)
        inputs["input_ids"] = torch.where(inputs["attention_mask"] > 0, inputs["input_ids"], fill)
        run = bench.runs[0].of_inputs(inputs)
        own = SimpleNamespace(
            **{**vars(bench), "batches": [SimpleNamespace(run=run)], "runs": [run], "notes": []}
        )
        pairs = pairs_of(own, NOISE, 2.0, np.random.default_rng(2))
        grid = grid_of(own, pairs, AT_TOKENS, 32)
        swept.append(sweep(grid, pairs, True, np.random.default_rng(3), lambda *_: None, (0.0, 1.0)))
    known = np.isfinite(swept[0].effect[0])
    np.testing.assert_array_equal(known.sum(axis=1), [(lengths > t).sum() for t in range(7)])
    drawn = np.isfinite(swept[1].effect[0])
    np.testing.assert_array_equal(known, drawn)
    np.testing.assert_allclose(swept[0].effect[:, known], swept[1].effect[:, known], atol=1e-5)


def test_the_numbers_of_both_runs_are_told_with_their_errors():
    found = patching.activation_patching(planted_probe(), patching.PatchingParams(reader=PROBE))
    words = next(c for c in found.caveats if "pairs: beside" in c)
    assert words.count("±") == 2
    assert "standard errors" in words
    for e in found.estimates:
        assert e.null is not None, e.name
        assert e.low is not None or e.name.startswith("natural variance"), e.name
    assert found.low is not None
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()


class Late(torch.nn.Module):
    """Blocks, then one token or the mean of all, and only then the norm."""

    def __init__(self, pick) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.pick = torch.nn.Linear(3, 6), pick
        self.blocks = torch.nn.ModuleList(Sums() for _ in range(2))
        self.norm, self.head = torch.nn.LayerNorm(6), torch.nn.Linear(6, 4)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(self.pick(x)))


class Sums(torch.nn.Module):
    """A stand-in for attention: values of all tokens before, then an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.value, self.out = torch.nn.Linear(6, 5), torch.nn.Linear(5, 6)
        self.up, self.down = torch.nn.Linear(6, 9), torch.nn.Linear(9, 6)

    def forward(self, x):
        x = x + self.out(self.value(x).cumsum(dim=1))
        return x + self.down(torch.relu(self.up(x)))


@pytest.mark.parametrize("pick", [lambda x: x[:, 2], lambda x: x.mean(dim=1)])
def test_parts_add_up_where_the_norm_comes_after_the_token_is_taken(pick):
    model = LoadedModel(Late(pick).double(), "array", lambda items: torch.as_tensor(np.stack(items)))
    inputs = model.prepare(list(np.random.default_rng(0).standard_normal((5, 4, 3))))
    run, found = BatchRun(model, inputs), network_parts(model, inputs)
    assert found.norm == "norm"
    target = many_targets(run, targets.DIFFERENCE)
    values = direct_paths(run, found, target.position).values(target)
    np.testing.assert_allclose(values.sum(axis=0), target.of(run.logits).numpy(), atol=1e-9)
    assert len(values) == 1 + 4 + 1
