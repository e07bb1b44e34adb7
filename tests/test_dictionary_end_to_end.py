"""Dictionaries trained through the live network: losses by their definition, identities, refusals, and that what is
kept are the directions that the answers depend on."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from analysis.activations import ArrayActivations, Layout
from analysis.errors import Cancelled, InputError, NotFound, ParameterError
from analysis.features.architectures.end_to_end import (
    ANSWERS,
    DOWNSTREAM,
    LOCAL,
    EndToEnd,
    EndToEndParams,
    LaterErrors,
    divergence,
    later_names,
    unexplained,
)
from analysis.features.sample_stream import SampleStream
from analysis.features.training import train
from analysis.recording.gradients import gradient_store
from analysis.sources.live_tap import LiveTap, as_rows, with_rows
from analysis.sources.loaded_model import LoadedModel
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

N, T, D = 120, 3, 6
SHORT = {"tokens": 720, "batch": 36, "learning_rate": 1e-2, "every": 4, "checkpoint_every": 6, "patience": 0}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Net(nn.Module):
    """Tokens → `first` → an in-place ReLU → `second`, which reads two of the six units only → mean → `head`."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(4, D), nn.Linear(D, 5), nn.Linear(5, 3)
        with torch.no_grad():
            self.second.weight[:, 2:] = 0
            self.second.weight *= 3

    def forward(self, x):
        z = self.second(self.first(x))
        return self.head(torch.relu_(z).mean(dim=1))


class Data:
    def __init__(self):
        self.x = np.random.default_rng(0).standard_normal((N, T, 4)).astype(np.float32)

    def items(self, start, stop):
        return list(self.x[start:stop])


def live(module="first", later=("second",)):
    loaded = LoadedModel(Net(), "array", lambda items: torch.from_numpy(np.stack(items)))
    return LiveTap(loaded, Data(), module, later)


class Recorded:
    """The tap as a store has it: all tokens, in half precision."""

    name = "s"

    def __init__(self, moved=0.0):
        with torch.no_grad():
            x = Net().first(torch.from_numpy(Data().x)).numpy() + moved
        self.x = x.reshape(-1, D).astype(np.float16).astype(np.float32)

    def activations(self, tap):
        return ArrayActivations(self.x, f"s:{tap}", layout=Layout(np.arange(0, N * T + 1, T)))


def attached(objective=DOWNSTREAM, latents=14, **more):
    stream = SampleStream(Recorded().activations("first"), 0.1, 0)
    params = EndToEndParams(latents, objective=objective, **{"penalty": 0.02, **more})
    dictionary = EndToEnd(params, D, np.random.default_rng(0))
    dictionary.attach(stream, live())
    return dictionary, stream


def perfect(dictionary):
    """Units and their opposites: ẑ = z."""
    both = torch.from_numpy(np.concatenate([np.eye(D), -np.eye(D), np.zeros((2, D))]).astype(np.float32))
    with torch.no_grad():
        dictionary.weights["decoder"].copy_(both)
        dictionary.weights["encoder"].copy_(both.T)


# ---------------------------------------------------------------------- the parts
def test_divergence_is_that_of_kullback_and_leibler():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 7, 4))
    p, q = (np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for v in (a, b))
    found = divergence(torch.from_numpy(a), torch.from_numpy(b)).item()
    assert found == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), rel=1e-5)
    assert divergence(torch.from_numpy(a), torch.from_numpy(a + 3)).item() == pytest.approx(0, abs=1e-6)
    a, b = torch.from_numpy(a), torch.from_numpy(b)
    assert unexplained({"x": a}, {"x": a})["x"].item() == 0
    assert unexplained({"x": a}, {"x": a.mean(dim=0) + 0 * a})["x"].item() == pytest.approx(1)
    assert later_names(EndToEndParams(later=" a.b, c ,")) == ["a.b", "c"]


def test_rows_go_in_and_out_of_every_shape():
    rng = np.random.default_rng(2)
    mask = torch.tensor([[True, True, False], [False, True, True]])
    for shape, use in (((2, 4), None), ((2, 3, 4), None), ((2, 3, 4), mask), ((2, 4, 3, 5), None)):
        x = torch.from_numpy(rng.standard_normal(shape))
        rows = as_rows(x, use)
        assert rows.shape[1] == 4
        assert torch.equal(with_rows(x, rows, use), x)
        new = torch.from_numpy(rng.standard_normal(rows.shape))
        assert torch.equal(as_rows(with_rows(x, new, use), use), new)
        if use is not None:
            assert torch.equal(with_rows(x, new, use)[~use], x[~use])  # padding stays


def test_what_is_put_in_reaches_the_answers_and_the_hooks_are_gone():
    tap, at = live(), np.array([3, 8])
    inputs, clean = tap.clean(at)
    net = tap.loaded.module
    np.testing.assert_array_equal(clean.logits.numpy(), net(inputs).detach().numpy())
    before = net.second(clean.rows).detach()
    np.testing.assert_allclose(
        clean.later["second"].numpy(), before, atol=1e-6
    )  # a copy: the ReLU is in place
    assert (before < 0).any()
    rows = torch.zeros_like(clean.rows, requires_grad=True)
    put = tap.spliced(inputs, rows)
    expected = net.head(torch.relu(net.second(torch.zeros(2, T, D))).mean(dim=1))
    np.testing.assert_allclose(put.logits.detach().numpy(), expected.detach().numpy(), atol=1e-6)
    put.logits.sum().backward()
    assert (rows.grad[:, 2:] == 0).all()
    assert rows.grad[:, :2].abs().max() > 0
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())


# ---------------------------------------------------------------------- the loss
@pytest.mark.parametrize("objective", [LOCAL, ANSWERS, DOWNSTREAM])
def test_the_loss_is_its_equation_and_its_gradient_agrees_with_differences(objective):
    """The network written out in NumPy."""
    dictionary, stream = attached(objective, downstream=0.7)
    for name, w in dictionary.weights.items():
        dictionary.weights[name] = w.detach().double().requires_grad_(True)
    net = dictionary.live.loaded.module.double()
    dictionary.live.loaded.preparer = lambda items: torch.from_numpy(np.stack(items)).double()
    dictionary.mean, at = torch.from_numpy(stream.mean), torch.arange(8)
    dictionary.rows_of = lambda clean: (clean.rows - dictionary.mean) * stream.scale  # without rounding
    found = dictionary.loss(at, share=1.0)
    w = {n: v.detach().numpy() for n, v in dictionary.weights.items()}
    own = {n: v.detach().numpy() for n, v in net.state_dict().items()}
    a = Data().x[:8].astype(np.float64) @ own["first.weight"].T + own["first.bias"]
    z = (a - stream.mean) * stream.scale
    codes = np.maximum(z @ w["encoder"] + w["bias"], 0)
    z_hat = codes @ w["decoder"] + w["centre"]
    second = [
        v @ own["second.weight"].T + own["second.bias"] for v in (a, z_hat / stream.scale + stream.mean)
    ]
    logits = [np.maximum(v, 0).mean(axis=1) @ own["head.weight"].T + own["head.bias"] for v in second]
    p, q = (np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for v in logits)
    kl = (p * np.log(p / q)).sum(axis=1).mean()
    off = ((second[0] - second[1]) ** 2).sum() / ((second[0] - second[0].mean(axis=(0, 1))) ** 2).sum()
    local, price = ((z - z_hat) ** 2).sum(axis=2).mean(), 0.02 * codes.sum(axis=2).mean()
    expected = {LOCAL: local, ANSWERS: kl, DOWNSTREAM: kl + 0.7 * off}[objective] + price
    assert found.total.item() == pytest.approx(expected, rel=1e-5)
    assert found.parts["unexplained"].item() == pytest.approx(local, rel=1e-5)
    if objective == DOWNSTREAM:
        agrees_with_differences(dictionary, at)


def agrees_with_differences(dictionary, at, step=1e-3):
    """Logits are compared in float32, so that the step is wide."""
    rng = np.random.default_rng(4)
    dictionary.loss(at, share=1.0).total.backward()
    for name, w in dictionary.weights.items():
        flat, found = w.detach().view(-1), w.grad.view(-1)
        for i in rng.choice(len(flat), 3, replace=False):
            old, sides = float(flat[i]), []
            for sign in (1, -1):
                flat[i] = old + sign * step
                sides.append(dictionary.loss(at, share=1.0).total.item())
            flat[i] = old
            assert found[i].item() == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=2e-3), name


def test_a_perfect_dictionary_changes_nothing_and_the_mean_says_what_nothing_costs():
    dictionary, stream = attached(penalty=0.0)
    perfect(dictionary)
    found = dictionary.loss(torch.arange(10))
    assert found.total.item() == pytest.approx(0, abs=1e-6)
    said = dictionary.facts([torch.from_numpy(part) for part in stream.held_parts(12)])["end_to_end"]
    assert said["divergence"] == pytest.approx(0, abs=1e-6)
    assert said["later_unexplained"]["second"] == pytest.approx(0, abs=1e-6)
    assert said["divergence_of_mean"] > 0.01


# ---------------------------------------------------------------------- training
def test_end_to_end_spends_on_what_the_answers_depend_on():
    """At the same price of codes: two units of six are read by what follows."""
    made = {}
    for objective in (LOCAL, ANSWERS):
        params = {"latents": 24, "penalty": 0.01, "objective": objective}
        made[objective] = train(
            Recorded(), "first", "end_to_end", params, {**SHORT, "tokens": 5400}, live=live()
        )
    answers = made[ANSWERS].about["end_to_end"]
    assert answers["divergence"] < answers["divergence_of_mean"] * 0.5
    assert made[ANSWERS].about["held_out"]["l0"] < made[LOCAL].about["held_out"]["l0"]
    x = Recorded().x
    left = {o: ((x - made[o].reconstruct(x)) ** 2).mean(axis=0) / x.var(axis=0) for o in made}
    assert left[ANSWERS][2:].mean() > left[ANSWERS][:2].mean() + 0.2
    assert left[ANSWERS][2:].mean() > left[LOCAL][2:].mean() + 0.2
    assert (
        made[ANSWERS].about["held_out"]["explained_variance"]
        < made[LOCAL].about["held_out"]["explained_variance"]
    )
    json.dumps(made[ANSWERS].about)


def test_the_set_codes_stored_rows_as_the_training_codes_live_ones():
    made = train(Recorded(), "first", "end_to_end", {"latents": 14}, SHORT, live=live())
    dictionary, _ = attached()
    _, clean = dictionary.live.clean(np.arange(5))
    stored = made.encode(Recorded().x[: 5 * T])
    np.testing.assert_allclose(stored, made.encode(clean.rows.numpy()), atol=5e-3)
    assert (stored != 0).any()
    curve = made.about["curve"][-1]
    assert curve["explained_variance"] == pytest.approx(
        made.about["held_out"]["explained_variance"], abs=5e-3
    )
    assert made.about["tokens"] == 720


def test_a_resume_has_the_same_bits(tmp_path):
    params, said = {"latents": 14}, []
    whole = train(Recorded(), "first", "end_to_end", params, SHORT, name="f", live=live())

    def stop(share, doing=""):
        said.append("rows:" in doing or doing.endswith("rows"))
        if sum(said) == 13:  # in the second epoch
            raise Cancelled

    with pytest.raises(Cancelled):
        train(
            Recorded(), "first", "end_to_end", params, SHORT, directory=tmp_path, live=live(), progress=stop
        )
    again = train(
        Recorded(),
        "first",
        "end_to_end",
        params,
        SHORT,
        name="f",
        directory=tmp_path,
        resume=True,
        live=live(),
    )
    assert again.digest == whole.digest
    assert again.about == whole.about


def test_networks_that_are_not_the_stores_are_refused():
    params = {"latents": 14}
    with pytest.raises(InputError, match="with other values"):
        train(Recorded(moved=1.0), "first", "end_to_end", params, SHORT, live=live())
    with pytest.raises(InputError, match="gives 12 rows of 5 units for 4 samples"):
        train(Recorded(), "first", "end_to_end", params, SHORT, live=live("second", ()))
    with pytest.raises(InputError, match="no tap after 'first'"):
        train(Recorded(), "first", "end_to_end", params, SHORT, live=live(later=()))
    with pytest.raises(NotFound, match="no module 'third'"):
        live("third")
    with pytest.raises(InputError):  # rows in memory do not say which network they are of
        train(Recorded(), "first", "end_to_end", params, SHORT)


# ---------------------------------------------------------------------- gradients to train with
def test_gradients_are_those_of_the_answer():
    """Against differences of the network's own answers, and 0 for units that nothing reads."""
    tap, at = live(), np.array([2, 9])
    for scalar in ("margin", "answer"):
        found = tap.gradients(at, scalar)
        inputs, clean = tap.clean(at)
        assert found.shape == (2 * T, D)
        assert not found[:, 2:].any()

        def asked(rows, inputs=inputs, scalar=scalar):
            with torch.no_grad():
                logits = tap.spliced(inputs, rows).logits.numpy().astype(np.float64)
            top = logits.max(axis=1)
            if scalar == "margin":
                return (top - logits.mean(axis=1)).sum()
            return (top - np.log(np.exp(logits).sum(axis=1))).sum()

        for row, unit in ((0, 0), (3, 1), (5, 0)):
            sides = []
            for sign in (1, -1):
                moved = clean.rows.clone()
                moved[row, unit] += sign * 1e-2
                sides.append(asked(moved))
            assert found[row, unit] == pytest.approx((sides[0] - sides[1]) / 2e-2, abs=2e-3)


def test_a_store_of_gradients_trains_a_dictionary_by_them(tmp_path):
    workspace = Workspace.create(tmp_path)
    rows = Recorded().x.reshape(N, T, D)
    write_store(tmp_path / "stores" / "s", name="s", taps={"first": rows, "mean": rows.mean(axis=1)})
    made = gradient_store(workspace, "s", "first", live=live())
    assert list(made.recorded) == ["first", "first.gradient"]
    everything = np.arange(N * T)
    np.testing.assert_array_equal(made.activations("first").take(everything), Recorded().x)
    expected = live().gradients(np.arange(N))
    np.testing.assert_allclose(made.activations("first.gradient").take(everything), expected, atol=1e-6)
    assert made.manifest["data"]["gradients"]["scalar"] == "margin"
    params = {"latents": 12, "k": 2, "gradients": "first.gradient"}
    assert train(made, "first", "gradient", params, SHORT).about["gradients"]["swapped"] > 0
    with pytest.raises(ParameterError, match="scalar 'loss'"):
        gradient_store(workspace, "s", "first", "loss", live=live())
    with pytest.raises(InputError, match="s:mean has 4 of 6"):
        gradient_store(workspace, "s", "mean", name="other", live=live())
    assert sorted(p.name for p in (tmp_path / "stores").iterdir()) == ["s", "s with gradients"]


def test_later_errors_of_batches_are_those_of_all_rows_together():
    rng = np.random.default_rng(0)
    a = torch.from_numpy(rng.standard_normal((40, 3)) + np.repeat([0.0, 30.0], 20)[:, None])
    b = a + torch.from_numpy(rng.standard_normal((40, 3)))
    whole, parts = float(unexplained({"t": a}, {"t": b})["t"]), LaterErrors()
    for at in (slice(0, 20), slice(20, 40)):
        parts.add({"t": a[at]}, {"t": b[at]})
    assert parts.shares["t"] == pytest.approx(whole, rel=1e-5)
    assert float(unexplained({"t": a[:20]}, {"t": b[:20]})["t"]) > 50 * whole
