"""A tap replaced inside a running network: a tiny language model with padding against the same forward pass by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dictionary_subjects import encoded, set_of
from torch import nn

from analysis.arrays import chosen_samples
from analysis.errors import InputError
from analysis.features import network_reader
from analysis.features.answers import CLEAN
from analysis.features.network_reader import NetworkReader
from analysis.features.rivals import MEAN, OWN, RANDOM, ZERO
from analysis.methods.dictionaries.gradient_plane import GradientPlaneParams, gradient_plane
from analysis.methods.dictionaries.loss_recovered import loss_recovered
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import no_progress

N, T, D, V = 12, 7, 6, 9


class Tiny(nn.Module):
    """Every position sees those before it; what comes after the tap is not linear."""

    def __init__(self, deaf=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.mlp, self.after = nn.Embedding(V, D), nn.Linear(D, D), nn.Linear(D, D)
        self.head, self.deaf = nn.Linear(D, V), deaf
        with torch.no_grad():
            self.head.weight *= 4

    def forward(self, input_ids, attention_mask):
        x = self.embed(input_ids) * attention_mask[:, :, None]
        x = self.mlp(x.cumsum(dim=1))
        return self.rest(x * 0 if self.deaf else x)

    def rest(self, x):
        return self.head(torch.tanh(self.after(2 * x)).cumsum(dim=1))


class Fake(SimpleNamespace):
    """What `rerun` gives."""

    note = "The network was run on all samples."


@pytest.fixture(scope="module")
def net():
    """Texts that the network itself makes, so that it knows what comes next."""
    model, lengths = Tiny().eval(), 3 + np.arange(N) % (T - 2)
    ids, mask = (
        (torch.arange(N) % V)[:, None].repeat(1, T),
        torch.arange(T)[None] < torch.from_numpy(lengths)[:, None],
    )
    for t in range(1, T):
        with torch.no_grad():
            ids[:, t] = model(ids, torch.ones_like(mask))[:, t - 1].argmax(dim=1)
    return SimpleNamespace(model=model, deaf=Tiny(deaf=True).eval(), ids=ids, mask=mask, lengths=lengths)


def inside(net, model=None):
    """(tap (N, T, D), later (N, T, D)) of the network."""
    model, caught = model or net.model, {}
    handles = [
        getattr(model, k).register_forward_hook(lambda m, i, o, k=k: caught.update({k: o}))
        for k in ("mlp", "after")
    ]
    with torch.no_grad():
        model(net.ids, net.mask)
    for h in handles:
        h.remove()
    return caught["mlp"], caught["after"]


def losses(net, tap) -> np.ndarray:
    """(N,) mean next-token loss with these rows in the tap, written out."""
    with torch.no_grad():
        logs = torch.log_softmax(net.model.rest(tap).double(), dim=-1)
    return np.array([
        -np.mean([logs[i, t - 1, net.ids[i, t]] for t in range(1, net.lengths[i])]) for i in range(N)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def made(net, tmp_path_factory):
    """The tap "mlp" of a store, encoded by a set of a few directions."""
    x = inside(net)[0][net.mask].numpy()
    rng = np.random.default_rng(1)
    atoms = rng.standard_normal((10, D))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    features = set_of("few", atoms, active=2, centre=x.mean(axis=0))
    return encoded(tmp_path_factory.mktemp("s") / "s", x, [features], tokens=net.lengths), x, features


@pytest.fixture
def opened(net, made, monkeypatch):
    """With `rerun` that gives the tiny network; `run` puts another in its place."""
    store, x, features = made

    def run(model):
        def rerun(tap, maximum, partial=False, rng=None):
            loaded = LoadedModel(
                model, "text", lambda items: {"input_ids": net.ids[items], "attention_mask": net.mask[items]},
                causal=True,
            )  # fmt: skip
            some = chosen_samples(N, maximum, rng or np.random.default_rng(0))
            data = SimpleNamespace(items=lambda a, b: some[a:b].tolist())
            return Fake(loaded=loaded, data=data, labels=None, n=len(some), samples=some)

        monkeypatch.setattr(network_reader, "rerun", rerun)

    run(net.model)
    return SimpleNamespace(store=store, run=run, x=x, features=features)


def lines(found) -> dict[str, dict[str, float]]:
    c = found.columns
    return {n: {k: c[k][i] for k in c if k != "replaced by"} for i, n in enumerate(c["replaced by"])}


def test_untouched_is_one_and_the_ablations_are_zero_exactly(opened, net):
    found = lines(loss_recovered(opened.store.activations("mlp")))
    assert found[CLEAN]["loss recovered"] == found[OWN]["loss recovered"] == 1.0
    assert found[CLEAN]["KL"] == 0.0
    assert found[MEAN]["loss recovered"] == 0.0
    assert found[MEAN]["against zero"] != 0.0
    assert found[ZERO]["against zero"] == 0.0
    assert found[OWN]["lost without its part"] == pytest.approx(
        1.0, abs=1e-5
    )  # all of it taken out is the mean


def test_losses_and_shares_again_from_a_forward_pass_by_hand(opened, net):
    found = lines(loss_recovered(opened.store.activations("mlp@few")))
    tap = inside(net)[0]
    mean = opened.x.astype(np.float64).mean(axis=0)

    def put(rows):
        out = tap.clone()
        out[net.mask] = torch.from_numpy(np.asarray(rows, np.float32))
        return losses(net, out)

    rebuilt = opened.features.reconstruct(opened.x)
    clean, ablated = losses(net, tap), put(np.broadcast_to(mean, opened.x.shape))
    own, zero, without = put(rebuilt), put(0 * opened.x), put(opened.x - (rebuilt - mean))
    assert found[OWN]["loss"] == pytest.approx(own.mean(), abs=1e-5)
    assert found[OWN]["loss recovered"] == pytest.approx(
        1 - (own - clean).sum() / (ablated - clean).sum(), abs=1e-4
    )
    assert found[OWN]["against zero"] == pytest.approx(
        1 - (own - clean).sum() / (zero - clean).sum(), abs=1e-4
    )
    assert found[OWN]["lost without its part"] == pytest.approx(
        (without - clean).sum() / (ablated - clean).sum(), abs=1e-4
    )
    assert found[OWN]["low"] <= found[OWN]["loss recovered"] <= found[OWN]["high"]
    assert {OWN, RANDOM, "principal components"} <= set(found)


def test_probabilities_are_those_behind_the_last_token_of_samples_spread_over_the_data(opened, net):
    """Of four samples: as they are, and with one direction added to all rows, as a pass by hand has them."""
    reader, shift = NetworkReader(opened.store.activations("mlp"), 100), 3 * opened.features.directions[2]
    asked = {"same": lambda x, rows: x, "more": lambda x, rows: x + shift}
    found = reader.probabilities(asked, 4, no_progress, (0, 1))
    tap, at = inside(net)[0], np.round(np.linspace(0, N - 1, 4)).astype(int)
    for name, add in ((CLEAN, 0.0), ("same", 0.0), ("more", torch.from_numpy(shift))):
        with torch.no_grad():
            moved = torch.where(net.mask[:, :, None], tap + add, tap)
            logits = net.model.rest(moved)[torch.arange(N), torch.from_numpy(net.lengths) - 1]
        by_hand = torch.softmax(logits.double(), dim=1).numpy()[at]
        np.testing.assert_allclose(found[name], by_hand, atol=1e-5)
    assert np.abs(found["more"] - found[CLEAN]).max() > 0.01


def test_padding_is_neither_replaced_nor_counted(opened, net):
    """The network gets as many rows as the store has, and KL is the mean over tokens that are no padding."""
    reader, seen = NetworkReader(opened.store.activations("mlp"), 100), []

    def zeros(x, rows):
        seen.append(rows)
        return 0 * x

    found = reader.read({"zero": zeros}, no_progress, (0, 1))["zero"]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(len(opened.x)))
    with torch.no_grad():
        p = torch.log_softmax(net.model.rest(inside(net)[0]).double(), dim=-1)
        tap = inside(net)[0].clone()
        tap[net.mask] = 0
        q = torch.log_softmax(net.model.rest(tap).double(), dim=-1)
    kl = (p.exp() * (p - q)).sum(dim=-1)
    by_hand = [kl[i, : net.lengths[i]].mean() for i in range(N)]
    np.testing.assert_allclose(found.kl, by_hand, atol=1e-6)


def test_a_part_of_the_samples_is_read_by_its_own_rows(opened, net, monkeypatch):
    """Losses, slopes and replaced rows of five samples are those of a reader of all, batch by batch."""
    monkeypatch.setattr(network_reader, "BATCH", 2)
    tap, rng = opened.store.activations("mlp"), np.random.default_rng(3)
    whole, part, seen = NetworkReader(tap, 100), NetworkReader(tap, 5, rng), []
    np.testing.assert_array_equal(part.samples, chosen_samples(N, 5, rng))
    assert part.samples.tolist() != list(range(5))
    assert part.of.tolist() == [-1] * 5

    def half(x, rows):
        seen.append(rows)
        np.testing.assert_allclose(x, np.asarray(tap.take(rows)), atol=1e-6)
        return x / 2

    found = part.read({"half": half}, no_progress, (0, 1))
    every = whole.read({"half": lambda x, rows: x / 2}, no_progress, (0, 1))
    for name in (CLEAN, "half"):
        np.testing.assert_allclose(found[name].loss, every[name].loss[part.samples], atol=1e-6)
    offsets = tap.layout.offsets
    own = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in part.samples])
    np.testing.assert_array_equal(np.concatenate(seen), own)
    rows, slopes = part.slopes(no_progress, (0, 1))
    np.testing.assert_array_equal(rows, own)
    np.testing.assert_allclose(slopes, whole.slopes(no_progress, (0, 1))[1][own], atol=1e-6)


def test_nothing_is_said_where_ablation_does_not_hurt(opened, net):
    opened.run(net.deaf)
    with pytest.raises(InputError, match="neither ablation raises the loss"):
        loss_recovered(opened.store.activations("mlp@few"))


def test_rows_that_the_network_does_not_give_are_refused(opened, net):
    other = Tiny()
    with torch.no_grad():
        other.mlp.bias += 5
    opened.run(other.eval())
    with pytest.raises(InputError, match="does not hold the"):
        NetworkReader(opened.store.activations("mlp"), 100).read({}, no_progress, (0, 1))


def test_slopes_are_those_of_small_steps_and_attributions_sum_to_the_whole(opened, net):
    reader = NetworkReader(opened.store.activations("mlp"), 100)
    rows, slopes = reader.slopes(no_progress, (0, 1))
    np.testing.assert_array_equal(rows, np.arange(len(opened.x)))
    direction, step = np.random.default_rng(3).standard_normal(slopes.shape), 3e-3
    ends = [
        reader.read({"s": lambda x, r, s=s: x + s * direction[r]}, no_progress, (0, 1))["s"].loss.sum()
        for s in (step, -step)
    ]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx((slopes * direction).sum(), rel=2e-3)
    found = gradient_plane(opened.store.activations("mlp@few"), GradientPlaneParams(measured=5, beta=0))
    e = {x.name: x.value for x in found.estimates}
    assert 0 <= e["attributions less the effect of the reconstruction"] < 1e-12
    assert "share of the TopK changed by slopes (β)" not in e  # no say of the slopes: the plain TopK
    assert (
        0
        < {
            x.name: x.value
            for x in gradient_plane(
                opened.store.activations("mlp@few"), GradientPlaneParams(measured=5)
            ).estimates
        }["share of the TopK changed by slopes (β)"]
        < 1
    )
