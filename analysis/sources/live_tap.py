"""A network that is run with what one of its modules gives replaced: gradients flow back to what is put there.

The network is one of its own, opened for this, in eval mode, with weights that are not learned; nothing else hooks it.
What the module gives must be what the store recorded of it, all tokens one by one: a mean over tokens cannot be put
back. torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.sources.hooked_run import hooked_run, modules_of
from analysis.sources.loaded_model import LoadedModel, logits_of
from analysis.sources.module_output import RECORDED

TRIED = 4  # samples that are compared with the store
SCALARS = ("margin", "answer")


@dataclass
class Passed:
    """One forward pass: `rows` (n, d) of the tap, `later` (m, e) rows of each later module by name, in the order in
    which they ran, `logits` (q, c): of samples, or of tokens that are not padding."""

    rows: object = None
    later: dict = field(default_factory=dict)
    logits: object = None


class LiveTap:
    """The module `module` of `loaded` on the samples of `data`; `later` : modules whose output is kept, too, where
    they run after it.

    `data` is a DataSource or anything with `items(start, stop)`, in the order of the store's samples.
    """

    def __init__(self, loaded: LoadedModel, data, module: str, later: Sequence[str] = ()) -> None:
        modules_of(loaded.module, (module, *later))
        self.loaded, self.data, self.module, self.later = loaded, data, module, tuple(later)
        loaded.module.eval()
        for p in loaded.module.parameters():
            p.requires_grad_(False)

    def clean(self, samples: np.ndarray) -> tuple[object, Passed]:
        """(prepared inputs, what the network as it is gives) for `samples`."""
        import torch

        inputs = self.loaded.prepare([self.data.items(int(i), int(i) + 1)[0] for i in samples])
        with torch.no_grad():
            return inputs, self._run(inputs, None)

    def spliced(self, inputs, rows) -> Passed:
        """The same with `rows` (n, d) in place of what the module gave; differentiable in `rows`."""
        return self._run(inputs, rows)

    def gradients(self, samples: np.ndarray, scalar: str = "margin") -> np.ndarray:
        """(n, d) float32: the derivative of `scalar`, one of `SCALARS`, with respect to every row of `samples`.

        "margin" : the largest logit less the mean of all; "answer" : log p of the likeliest answer, next to nothing
        where the network is certain. Summed over the answers of a sample, which may each depend on many rows.
        """
        import torch

        inputs, clean = self.clean(samples)
        rows = clean.rows.requires_grad_(True)
        with torch.enable_grad():
            logits = self.spliced(inputs, rows).logits.float()
            if scalar == "answer":
                logits = torch.log_softmax(logits, dim=1)
            top = logits.amax(dim=1)
            asked = top if scalar == "answer" else top - logits.mean(dim=1)
            (found,) = torch.autograd.grad(asked.sum(), rows)
        return found.float().numpy()

    def _run(self, inputs, rows) -> Passed:
        import torch

        loaded, mask = self.loaded, self.loaded.token_mask(inputs)
        put = {} if rows is None else {self.module: lambda x: with_rows(x, rows, mask)}
        asked = (self.module, *self.later)
        with hooked_run(loaded.module, asked, put, gradients=torch.is_grad_enabled()) as caught:
            raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
        own = as_rows(caught[self.module], mask).detach()
        later = {name: as_rows(x, mask) for name, x in caught.after(self.module).items()}
        logits = logits_of(raw)
        if logits is None:
            raise InputError(
                f"{type(self.loaded.module).__name__} gives no logits",
                "a network with a head, whose answers can differ",
            )
        return Passed(own, later, as_rows(logits, mask, last=True))

    def refuse_others(self, activations) -> None:
        """Raises InputError where the network does not give the rows that the store has of its first samples."""
        samples = np.arange(min(TRIED, activations.layout.n_samples))
        stored = np.asarray(activations.take(np.arange(activations.layout.offsets[len(samples)])), np.float64)
        found = self.clean(samples)[1].rows.double().numpy()
        size = max(np.abs(stored).max(initial=0), 1e-300)
        if found.shape != stored.shape or not np.abs(found - stored).max(initial=0) <= RECORDED * size:
            raise InputError(
                f"module '{self.module}' gives {found.shape[0]:,} rows of {found.shape[1]:,} units for {len(samples)} "
                f"samples, and {activations.name} has {stored.shape[0]:,} of {stored.shape[1]:,}"
                + (", with other values" if found.shape == stored.shape else ""),
                "the very output of the module, token by token",
                "Record the tap with all tokens, from this checkpoint and these data",
            )


def live_tap(activations, later: Sequence[str] = ()) -> LiveTap:
    """The network of a stored tap, opened again. `later` : names of later taps; where none are given, the other taps
    that the store recorded. Raises InputError, NotFound as `analysis.sources.rerun`."""
    from analysis.sources.rerun import rerun

    run = rerun(activations, activations.layout.n_samples)
    run.loaded.refuse_numbers(activations.name)
    store, tap = activations.store, activations.name.partition(":")[2] or activations.name
    known = dict(run.loaded.module.named_modules())
    names = later or [n for n in store.recorded if n != tap and n in known]
    return LiveTap(run.loaded, run.data, tap, names)


def as_rows(x, mask=None, last: bool = False):
    """(n, d) view or copy of an output (b, d), (b, t, d) or (b, c, height, width) with the rows that `mask` (b, t)
    has; `last` : units are the last axis in any case."""
    if x.ndim == 4 and not last:
        x = x.flatten(2).transpose(1, 2)
    if x.ndim == 3 and mask is not None and tuple(mask.shape) == tuple(x.shape[:2]):
        return x[mask]
    return x.reshape(-1, x.shape[-1])


def with_rows(x, rows, mask=None):
    """A tensor as `x` that `as_rows` makes `rows` of; padding stays."""
    import torch

    rows = rows.to(x.dtype)
    if x.ndim == 4:
        b, c, h, w = x.shape
        return rows.reshape(b, h * w, c).transpose(1, 2).reshape(b, c, h, w)
    if x.ndim == 3 and mask is not None and tuple(mask.shape) == tuple(x.shape[:2]):
        at = torch.nonzero(mask.reshape(-1)).expand(-1, x.shape[-1])
        return x.reshape(-1, x.shape[-1]).scatter(0, at, rows).reshape(x.shape)
    return rows.reshape(x.shape)
