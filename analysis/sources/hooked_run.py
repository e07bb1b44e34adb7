"""A network run with what some of its modules give caught or replaced, and nothing of it left behind.

    with hooked_run(loaded.module, catch=["layers.3"], replace={"layers.1": lambda x: 0 * x}) as caught:
        out = loaded.forward(inputs)
    caught["layers.3"]

Meanwhile the model is in eval mode and belongs to one thread. What is caught is a copy: an in-place ReLU behind a
module would otherwise overwrite it. What a module is given can be caught and replaced like what it gives: attention
heads are slices of what goes into the projection behind them. A module can be passed over, too, and gives what is
known of it instead. torch is imported when a network is run.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from analysis.errors import InputError, NotFound
from analysis.sources.module_output import first_tensor, put_back

Change = Callable[[object], object]  # of a tensor; None leaves the output as it is

_locks: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def model_lock(module) -> threading.RLock:
    """The one lock of a model: hooks are not thread-safe, so whoever attaches them holds it meanwhile."""
    with _guard:
        if module not in _locks:
            _locks[module] = threading.RLock()
        return _locks[module]


def modules_of(model, names: Iterable[str]) -> dict[str, object]:
    """The modules of these names. Raises NotFound."""
    known = dict(model.named_modules(remove_duplicate=False))
    for name in names:
        if name not in known:
            raise NotFound(
                f"the network has no module '{name}'", "the name of a module, as taps have it",
                "A tap made of another one (encoded, erased, logits) cannot be put back into the network",
            )  # fmt: skip
    return {name: known[name] for name in names}


class Caught:
    """What modules gave when they last ran, before any replacement; by name. `ran`: of each hooked module the number
    of its first and of its last run among all of them. `given`: what modules were given, before any replacement.
    `plain`: those that give a tensor and nothing beside it."""

    def __init__(self) -> None:
        self.tensors: dict[str, object] = {}
        self.plain: set[str] = set()
        self.given: dict[str, object] = {}
        self.asked: set[str] = set()
        self.ran: dict[str, tuple[int, int]] = {}
        self._runs = 0

    def note(self, name: str) -> None:
        self._runs += 1
        self.ran[name] = (self.ran.get(name, (self._runs,))[0], self._runs)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str):
        """Raises InputError where the module did not run."""
        self.refuse_idle([name])
        return self.tensors[name]

    def into(self, name: str):
        """What the module was given. Raises InputError where it did not run."""
        self.refuse_unasked([name])
        return self.given[name]

    def after(self, name: str) -> dict[str, object]:
        """What was caught of modules that ended a run after the first one of `name`, in that order."""
        first = self.ran[name][0]
        later = [n for n in self.tensors if n != name and self.ran[n][1] > first]
        return {n: self.tensors[n] for n in sorted(later, key=lambda n: self.ran[n][1])}

    def refuse_idle(self, names: Iterable[str]) -> None:
        _refuse_idle(names, self.ran)

    def refuse_unasked(self, names: Iterable[str]) -> None:
        """The same of modules that are hooked where they are given something."""
        _refuse_idle(names, self.asked)


def _refuse_idle(names: Iterable[str], ran) -> None:
    for name in names:
        if name not in ran:
            raise InputError(
                f"module '{name}' did not run in the forward pass", "a module that runs for every input",
                "Choose a tap that the network passes",
            )  # fmt: skip


@contextmanager
def hooked_run(
    model, catch: Iterable[str] = (), replace: Mapping[str, Change] | None = None, *, gradients: bool = False,
    catch_inputs: Iterable[str] = (), replace_inputs: Mapping[str, Change] | None = None,
    instead: Mapping[str, Callable[[], object]] | None = None,
) -> Iterator[Caught]:  # fmt: skip
    """Forward passes of `model`, a torch module, inside the block.

    Parameters
    ----------
    catch : names of modules whose output (its first tensor) is kept.
    replace : by name, what is put in the place of that tensor: one of its shape, whose values become its type.
    gradients : whether the passes are differentiable, through what is caught and what is put in place as well;
        otherwise what is caught is detached.
    catch_inputs, replace_inputs : the same of the first tensor that a module is given.
    instead : modules that do not run, by name, and what makes that which they give; what is replaced in it still is.

    Raises
    ------
    NotFound
        No such module.
    InputError
        A module gives no tensor, a replacement has another shape, or a module to be replaced did not run.
    """
    import torch

    caught, replace, handles = Caught(), dict(replace or {}), []
    catch, catch_inputs, replace_inputs = set(catch), set(catch_inputs), dict(replace_inputs or {})
    with model_lock(model):
        training = [m for m in model.modules() if m.training]
        idle: list[Callable[[], None]] = []
        try:
            for name, module in modules_of(model, sorted(instead or {})).items():
                idle.append(_passed_over(module, instead[name]))
            for name, module in modules_of(model, sorted(catch | set(replace))).items():
                hook = _hook(name, caught, name in catch, replace.get(name), gradients)
                handles.append(module.register_forward_hook(hook))
            for name, module in modules_of(model, sorted(catch_inputs | set(replace_inputs))).items():
                hook = _input_hook(name, caught, name in catch_inputs, replace_inputs.get(name), gradients)
                handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
            if training:
                model.eval()
            with torch.set_grad_enabled(gradients):
                yield caught
        finally:
            for handle in handles:
                handle.remove()
            for undo in reversed(idle):
                undo()
            for module in training:
                module.training = True
    caught.refuse_idle(replace)
    caught.refuse_unasked(replace_inputs)


def _passed_over(module, gives: Callable[[], object]) -> Callable[[], None]:
    """`module` gives that without running; what undoes it."""
    own = module.__dict__.get("forward")
    module.forward = lambda *_given, **_named: gives()
    return partial(setattr, module, "forward", own) if own else partial(delattr, module, "forward")


def _hook(name: str, caught: Caught, keep: bool, change: Change | None, gradients: bool):
    def hook(_module, _inputs, output):
        tensor = first_tensor(output, name)
        caught.note(name)
        if tensor is output:
            caught.plain.add(name)
        if keep:
            caught.tensors[name] = (tensor if gradients else tensor.detach()).clone()
        new = None if change is None else change(tensor)
        if new is None:
            return None
        return put_back(output, _fitting(new, tensor, f"of what module '{name}' gives"))

    return hook


def _input_hook(name: str, caught: Caught, keep: bool, change: Change | None, gradients: bool):
    def hook(_module, given, named):
        at = _first_given(given, named, name)
        tensor = given[at] if isinstance(at, int) else named[at]
        caught.asked.add(name)
        if keep:
            caught.given[name] = (tensor if gradients else tensor.detach()).clone()
        new = None if change is None else change(tensor)
        if new is None:
            return None
        new = _fitting(new, tensor, f"of what module '{name}' is given")
        if isinstance(at, int):
            return (*given[:at], new, *given[at + 1 :]), named
        return given, {**named, at: new}

    return hook


def _first_given(given: tuple, named: Mapping, name: str) -> int | str:
    """The place of the first tensor among what a module is given, by number or by name. Raises InputError."""
    import torch

    for at, value in (*enumerate(given), *named.items()):
        if isinstance(value, torch.Tensor):
            return at
    raise InputError(
        f"module '{name}' is given no tensor", "a module that reads one", "Choose another module"
    )


def _fitting(new, tensor, place: str):
    if tuple(new.shape) != tuple(tensor.shape):
        raise InputError(
            f"a tensor of shape {tuple(new.shape)} in the place {place}", f"its shape, {tuple(tensor.shape)}"
        )
    return new.to(tensor.dtype)
