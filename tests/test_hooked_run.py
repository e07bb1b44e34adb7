"""Outputs of modules caught and replaced: against the same computation by hand, and nothing left on the model after."""

from __future__ import annotations

import threading

import pytest

from analysis.errors import InputError, NotFound

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.sources.hooked_run import hooked_run, model_lock  # noqa: E402


class Pair(nn.Module):
    """Gives a tuple."""

    def forward(self, x):
        return 2 * x, "state"


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.rise, self.pair, self.last = (
            nn.Linear(3, 4), nn.ReLU(inplace=True), Pair(), nn.Linear(4, 2))  # fmt: skip
        self.idle, self.drop = nn.Identity(), nn.Dropout(0.5)

    def forward(self, x):
        return self.last(self.drop(self.pair(self.rise(self.first(x)))[0]))


@pytest.fixture
def model():
    return Small().eval()


X = torch.linspace(-2, 2, 15).reshape(5, 3)


def hooks(model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_what_is_caught_is_a_copy_from_before_the_replacement_and_in_the_order_of_running(model):
    put = torch.arange(20.0).reshape(5, 4)
    with hooked_run(model, ["last", "pair", "first"], {"pair": lambda x: put.double()}) as caught:
        out = model(X)
    first = model.first(X).detach()
    assert (first < 0).any()
    torch.testing.assert_close(caught["first"], first)  # though the ReLU behind it works in place
    torch.testing.assert_close(caught["pair"], 2 * first.clamp(min=0))
    torch.testing.assert_close(out, model.last(put).detach())
    assert list(caught.after("first")) == ["pair", "last"]
    assert list(caught.after("pair")) == ["last"]
    assert not out.requires_grad
    assert not caught["first"].requires_grad
    assert hooks(model) == 0
    torch.testing.assert_close(model(X), model.last(2 * first.clamp(min=0)))


def test_gradients_flow_through_what_is_put_in_place_and_to_what_is_caught(model):
    put = torch.ones(5, 4, requires_grad=True)
    with hooked_run(model, ["last"], {"pair": lambda x: put * 3}, gradients=True) as caught:
        model(X)
    (found,) = torch.autograd.grad(caught["last"][:, 0].sum(), put)
    torch.testing.assert_close(found, 3 * model.last.weight[0].expand(5, 4))
    with hooked_run(model, ["first"], gradients=True) as caught:
        model(X)
    assert caught["first"].requires_grad


def test_a_change_that_gives_none_leaves_the_output(model):
    seen = []
    with hooked_run(model, replace={"first": seen.append}):
        out = model(X)
    torch.testing.assert_close(out, model(X).detach())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"catch": ["first", "none"]}, NotFound, "no module 'none'"),
        ({"replace": {"idle": lambda x: x}}, InputError, "module 'idle' did not run"),
        ({"replace": {"first": lambda x: x[:, :2]}}, InputError, r"shape \(5, 2\) in the place of what"),
        ({"replace": {"first": lambda x: 1 / 0}}, ZeroDivisionError, "division"),
    ],
)
def test_no_hook_lock_or_mode_is_left_after_a_failure(model, asked, error, said):
    model.drop.train()
    with pytest.raises(error, match=said), hooked_run(model, **asked):
        model(X)
    assert hooks(model) == 0
    assert model.drop.training
    assert not model.first.training
    free = []
    other = threading.Thread(target=lambda: free.append(model_lock(model).acquire(blocking=False)))
    other.start()
    other.join()
    assert free == [True]


def test_what_did_not_run_is_said_where_it_is_asked_for(model):
    with hooked_run(model, ["idle"]) as caught:
        model(X)
    assert "idle" not in caught
    with pytest.raises(InputError, match="module 'idle' did not run"):
        caught["idle"]


def test_a_model_in_training_is_run_in_eval_mode_and_one_thread_has_it(model):
    model.train()
    model.first.eval()
    held = []
    with hooked_run(model):
        one, two = model(X), model(X)
        other = threading.Thread(target=lambda: held.append(model_lock(model).acquire(blocking=False)))
        other.start()
        other.join()
    torch.testing.assert_close(one, two)  # no dropout
    assert held == [False]
    assert model.training
    assert model.drop.training
    assert not model.first.training


def test_what_a_module_is_given_is_caught_and_replaced_too(model):
    put = torch.arange(20.0).reshape(5, 4)
    with hooked_run(model, catch_inputs=["last", "rise"], replace_inputs={"last": lambda x: put}) as caught:
        out = model(X)
    torch.testing.assert_close(
        caught.into("rise"), model.first(X).detach()
    )  # though it is overwritten in place
    torch.testing.assert_close(caught.into("last"), 2 * model.first(X).detach().clamp(min=0))
    torch.testing.assert_close(out, model.last(put).detach())
    for name, said in (("last", "in the place of what module 'last' is given"), ("idle", "did not run")):
        with pytest.raises(InputError, match=said), hooked_run(model, replace_inputs={name: lambda x: x[:2]}):
            model(X)
    assert hooks(model) == 0
