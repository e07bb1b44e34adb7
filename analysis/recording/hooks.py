"""Forward hooks that copy or pool what passes, one user per model at a time, always removed.

A hook keeps a detached **copy** (or a pooled value): an in-place ReLU after the tap would otherwise overwrite
what was recorded. Pooling happens inside the hook, so that the unpooled tensor can be freed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.recording.layout import Axes, to_tokens
from analysis.recording.padding import Padding
from analysis.recording.pooling import pool
from analysis.sources.hooked_run import model_lock


def pick_tensor(output):
    """The tensor of a module's output, and in words how it was picked ("" for a plain tensor).

    From a dataclass or mapping `last_hidden_state`, then `logits`, then the first tensor; from a tuple the
    first tensor, nested ones included. (None, reason) where there is none.
    """
    import torch

    if isinstance(output, torch.Tensor):
        return output, ""
    kind = type(output).__name__
    if hasattr(output, "__dataclass_fields__") and not isinstance(output, Mapping):
        output = {name: getattr(output, name) for name in output.__dataclass_fields__}
    if isinstance(output, Mapping):
        for key in ("last_hidden_state", "logits", *output.keys()):
            if isinstance(output.get(key), torch.Tensor):
                return output[key], f"returns a {kind}; its '{key}' is taken"
        return None, f"returns a {kind} without a tensor"
    if isinstance(output, (tuple, list)):
        for i, entry in enumerate(output):
            if isinstance(entry, torch.Tensor):
                return entry, f"returns a {kind} of {len(output)}; entry {i}, its first tensor, is taken"
        for i, entry in enumerate(output):
            found, _ = pick_tensor(entry) if isinstance(entry, (tuple, list, Mapping)) else (None, "")
            if found is not None:
                return found, f"returns a nested {kind}; the first tensor, in entry {i}, is taken"
    return None, f"returns {kind}, no tensor"


@dataclass(frozen=True)
class Want:
    """What to keep of one module's output."""

    name: str
    module: str  # name inside the model; "" is the model itself
    axes: Axes
    tokens: str = "all"
    leading: int = 0
    call: int = -1  # which call of a forward pass, -1 the last
    half: bool = False  # it will be stored as float16
    order: tuple[int, ...] = ()  # places of its tokens as they are kept, where not as they are


def _ordered(x, mask, want: Want):
    """Tokens (batch, tokens, units) and their mask in the order in which they are kept."""
    if len(want.order) != x.shape[1]:
        raise InputError(
            f"tap '{want.name}' gave {x.shape[1]} tokens", f"the {len(want.order)} that its token types say",
            "Token types hold for inputs of one size",
        )  # fmt: skip
    order = list(want.order)
    return x[:, order], None if mask is None else mask[:, order]


@dataclass
class Captured:
    """Rows kept of one batch: `values` (rows, units) tensor, `counts` (batch,) or None as in TapBlock."""

    values: object
    counts: np.ndarray | None


@dataclass
class Taps:
    """Hooks on a model for the length of a `with` block.

    >>> with Taps(model, wants) as taps:
    ...     for batch in batches:
    ...         model(batch)
    ...         captured = taps.take()

    `padding` may be set before a forward pass: it says for a number of tokens which of them are padding.
    """

    model: object
    wants: Sequence[Want]
    padding: Padding | None = None
    _handles: list = field(default_factory=list)
    _calls: dict = field(default_factory=dict)
    _captured: dict = field(default_factory=dict)

    def __enter__(self) -> Taps:
        self._lock = model_lock(self.model)
        self._lock.acquire()
        try:
            modules = dict(self.model.named_modules(remove_duplicate=False))
            for want in self.wants:
                if want.module not in modules:
                    raise InputError(f"the model has no module '{want.module}'", "a name from the dry run")
                self._handles.append(modules[want.module].register_forward_hook(self._hook(want)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        try:
            while self._handles:
                self._handles.pop().remove()
        finally:
            self._captured.clear()
            self._calls.clear()
            self._lock.release()

    def take(self) -> dict[str, Captured]:
        """What the last forward pass gave, by tap name; the taps are empty afterwards.

        Raises InputError naming the taps that did not run.
        """
        captured, self._captured, self._calls = self._captured, {}, {}
        missing = [w.name for w in self.wants if w.name not in captured]
        if missing:
            raise InputError(
                f"tap '{missing[0]}' did not run in this forward pass",
                "every tap to run on every batch",
                "Leave it out: the network skips this module for some inputs",
            )
        return captured

    def _hook(self, want: Want):
        def keep(_module, _inputs, output) -> None:  # returning None leaves the forward pass as it is
            call = self._calls.get(want.name, 0)
            self._calls[want.name] = call + 1
            if want.call not in (-1, call):
                return
            tensor, reason = pick_tensor(output)
            if tensor is None:
                raise InputError(f"tap '{want.name}' {reason}", "a tensor", "Choose a tap inside or after it")
            x = to_tokens(tensor.detach(), want.axes)
            mask = None if self.padding is None else self.padding.mask(*x.shape[:2])
            if want.order:
                x, mask = _ordered(x, mask, want)
            rows, counts = pool(x, want.tokens, leading=want.leading, mask=mask, half=want.half)
            self._captured[want.name] = Captured(rows, counts)

        return keep
