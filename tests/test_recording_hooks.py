"""Hooks: they copy, pick the right tensor, hold the model's lock, and are gone afterwards whatever happens."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import pytest

from analysis.errors import InputError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.recording.hooks import Taps, Want, pick_tensor  # noqa: E402
from analysis.recording.layout import Axes  # noqa: E402
from analysis.sources.hooked_run import model_lock  # noqa: E402

FLAT = Axes(0, 1, ())


def hooks_left(module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def free_for_others(module) -> bool:
    """Whether another thread can take the model's lock (the thread that holds it always can)."""
    taken = []

    def attempt() -> None:
        if model_lock(module).acquire(blocking=False):
            taken.append(1)
            model_lock(module).release()

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return bool(taken)


def in_place():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)).eval()


def test_an_in_place_relu_after_the_tap_does_not_reach_the_record():
    model, x = in_place(), torch.randn(16, 4)
    with torch.inference_mode(), Taps(model, [Want("0", "0", FLAT)]) as taps:
        model(x)
        kept = taps.take()["0"].values
        assert torch.equal(kept, model[0](x))
    assert kept.min() < 0


@pytest.mark.parametrize("end", ["success", "exception in forward", "exception in the block"])
def test_hooks_are_removed(end):
    model = in_place()
    wants = [Want("0", "0", FLAT), Want("2", "2", FLAT)]
    if end == "success":
        with Taps(model, wants) as taps:
            model(torch.randn(2, 4))
            taps.take()
    else:
        x = torch.randn(2, 3 if end == "exception in forward" else 4)
        with pytest.raises((RuntimeError, ZeroDivisionError)), Taps(model, wants):
            print(1 / (model(x).shape[0] - 2))
    assert hooks_left(model) == 0
    assert free_for_others(model)


def test_a_wrong_tap_is_refused_and_leaves_nothing():
    model = in_place()
    with (
        pytest.raises(InputError, match="no module 'nowhere'"),
        Taps(model, [Want("0", "0", FLAT), Want("x", "nowhere", FLAT)]),
    ):
        pass
    assert hooks_left(model) == 0
    assert free_for_others(model)


def test_a_tap_that_did_not_run_is_named():
    model = in_place()
    model.unused = nn.Linear(4, 4)
    model.forward = lambda x: model[0](x)
    with Taps(model, [Want("unused", "unused", FLAT)]) as taps:
        model(torch.randn(2, 4))
        with pytest.raises(InputError, match="'unused' did not run"):
            taps.take()


def test_two_recorders_of_one_model_take_turns():
    model, order = in_place(), []
    inside = threading.Event()

    def second():
        inside.wait()
        with Taps(model, [Want("2", "2", FLAT)]):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with Taps(model, [Want("0", "0", FLAT)]):
        inside.set()
        thread.join(timeout=0.2)
        assert thread.is_alive()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_locks_do_not_keep_models_alive():
    import gc
    import weakref

    model = in_place()
    model_lock(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@dataclass
class Out:
    aux: object
    last_hidden_state: object


T = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (T, ""),
        ((None, T), "entry 1"),
        (((T, T), 1), "nested"),
        (Out(torch.zeros(2, 3), T), "last_hidden_state"),
        (OrderedDict(a=None, logits=T), "'logits'"),
        ({"x": T}, "'x'"),
    ],
)
def test_the_tensor_is_picked_and_it_is_said_how(output, said):
    tensor, words = pick_tensor(output)
    assert torch.equal(tensor, T)
    assert said in words


@pytest.mark.parametrize("output", [None, 3, (1, "a"), {"a": 1}])
def test_an_output_without_a_tensor_is_said(output):
    tensor, words = pick_tensor(output)
    assert tensor is None
    assert "tensor" in words


def test_a_module_called_twice_gives_the_last_call_or_the_one_asked_for():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(x) - 1)

    model, x = Twice(), torch.tensor([[3.0, -1.0]])
    wants = [Want("last", "relu", FLAT), Want("first", "relu", FLAT, call=0)]
    with Taps(model, wants) as taps:
        model(x)
        kept = taps.take()
    assert kept["last"].values.tolist() == [[2.0, 0.0]]
    assert kept["first"].values.tolist() == [[3.0, 0.0]]
