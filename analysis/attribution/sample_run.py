"""One sample in its network, run with what stands at one site exchanged: many exchanges in one forward pass.

The site is the input itself or a module, seen as (tokens, units). The same forward pass serves values and slopes; torch
is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace

from analysis.attribution.targets import Target
from analysis.errors import InputError, ShapeError
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel, logits_of, shapes_of

INPUT = "input"


class SampleRun:
    """Parameters
    ----------
    loaded : LoadedModel
    item : one item of a data source, as `loaded.prepare` takes it
    site : "input" or the name of a module

    Attributes
    ----------
    grid : (height, width) of the tokens after the `leading` ones where the site is an image or a map, else None.

    Raises
    ------
    NotFound
        No such module.
    InputError
        The input holds whole numbers (words): they cannot be taken half, the embedding behind them can.
    """

    def __init__(self, loaded: LoadedModel, item, site: str = INPUT) -> None:
        self.loaded, self.inputs = loaded, loaded.prepare([item])
        self._stand_at(site)

    def _stand_at(self, site: str) -> None:
        self.site, self.leading = site, 0
        self._key = input_key(self.inputs) if site == INPUT else None
        self._shape: tuple[int, ...] = ()
        self._clean, self.logits = self._first()
        self.grid = tuple(self._shape[-2:]) if len(self._shape) == 4 else None

    def elsewhere(self, site: str) -> SampleRun:
        """The same sample at another site. Raises as the constructor."""
        other = copy(self)
        other._stand_at(site)
        return other

    def in_network(self, module) -> SampleRun:
        """The same sample at the same site of a copy of the network, a torch module."""
        other = copy(self)
        other.loaded = replace(self.loaded, module=module)
        return other

    def holding(self, x) -> SampleRun:
        """The same sample with x (tokens, units) at its site in the place of its own; its logits are not asked anew."""
        other = copy(self)
        other._clean = x.detach().to(self._clean.dtype).clone()
        if self.site == INPUT:
            put = as_site(other._clean[None], self._shape)
            other.inputs = put if self._key is None else {**self.inputs, self._key: put}
        return other

    @property
    def shape(self) -> tuple[int, int]:
        """(tokens, units) of the site."""
        return tuple(self._clean.shape)

    @property
    def clean(self):
        """(tokens, units) tensor: what stands at the site."""
        return self._clean

    def values(self, x, target: Target, gradients: bool = False):
        """(m,) tensor: the target for each of x (m, tokens, units) at the site; differentiable in x on request.

        Memory: m samples in the network.
        """
        return target.of(*self._with(x, target.catch, gradients))

    def logits_at(self, x):
        """Logits of the network for each of x (m, tokens, units) at the site, without slopes; None without a head."""
        return self._with(x, (), False)[0]

    def _with(self, x, catch, gradients: bool):
        if tuple(x.shape[1:]) != self.shape:
            raise ShapeError(
                f"{tuple(x.shape)} at {self.site}", f"(any number, {self.shape[0]}, {self.shape[1]})"
            )
        put = as_site(x, (len(x), *self._shape[1:]))
        if put.data_ptr() == x.data_ptr():
            put = put.clone()  # what works in place behind the site must not reach x
        exchange = {} if self.site == INPUT else {self.site: lambda _given: put}
        if self.site == INPUT and self._key is None:
            inputs = put
        else:
            inputs = repeated(self.inputs, len(x))
            inputs = {**inputs, self._key: put} if self.site == INPUT else inputs
        logits, caught = self._run(inputs, catch, exchange, gradients)
        if self.site in catch:  # what is read there is what was put there, whatever works in place behind it
            caught.tensors[self.site] = as_site(x, (len(x), *self._shape[1:]))
        return logits, caught

    def caught(self, module: str):
        """(tokens, units) that `module` gives for the sample as it is."""
        return as_tokens(self._run(repeated(self.inputs, 1), (module,), {}, False)[1][module])[0]

    def _first(self):
        if self.site == INPUT:
            x = self.inputs if self._key is None else self.inputs[self._key]
            logits, _ = self._run(repeated(self.inputs, 1), (), {}, False)  # which may work in place
        else:
            logits, caught = self._run(repeated(self.inputs, 1), (self.site,), {}, False)
            x = caught[self.site]
        if not x.is_floating_point() or x.ndim < 2 or x.shape[0] != 1:
            raise InputError(
                f"{self.site} holds {str(x.dtype).removeprefix('torch.')} of shape {tuple(x.shape)} for one sample",
                "real numbers, one sample first",
            )
        self._shape = tuple(x.shape)
        return as_tokens(x)[0].detach().clone(), logits

    def _run(self, inputs, catch, exchange: Mapping, gradients: bool):
        loaded = self.loaded
        with hooked_run(loaded.module, catch, exchange, gradients=gradients) as caught:
            raw = loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)
        return logits_of(raw), caught


def fitting_rows(run: SampleRun) -> int:
    """How many samples to have in the network at once: as many as keep the site at some 200,000 numbers. More of them
    save calls, but what lies between layers then falls out of the processor's cache (measured: 8 to 32 samples of
    64 x 64 x 3 are faster than 256, of 16 x 16 x 3 256 are)."""
    tokens, units = run.shape
    return min(256, max(8, 200_000 // (tokens * units)))


def input_key(inputs) -> str | None:
    """The one input of real numbers; None where the inputs are a tensor. Raises InputError."""
    if not isinstance(inputs, Mapping):
        return None
    real = [k for k, v in inputs.items() if hasattr(v, "is_floating_point") and v.is_floating_point()]
    if len(real) != 1:
        raise InputError(
            f"inputs of {shapes_of(inputs)}, {len(real)} of them real numbers", "exactly one",
            "Take a module as the site: of a text the embedding of its words",
        )  # fmt: skip
    return real[0]


def repeated(inputs, times: int):
    """The prepared inputs of one sample, so many times."""
    if isinstance(inputs, Mapping):
        return {k: repeated(v, times) for k, v in inputs.items()}
    if not hasattr(inputs, "repeat") or inputs.ndim == 0:
        return inputs
    return inputs.repeat(times, *[1] * (inputs.ndim - 1))


def as_tokens(x):
    """(b, tokens, units) of (b, units), (b, tokens, units) or (b, channels, height, width)."""
    if x.ndim == 4:
        return x.flatten(2).transpose(1, 2)
    return x[:, None] if x.ndim == 2 else x.flatten(2)


def as_site(x, shape: tuple[int, ...]):
    """The tensor of that shape that `as_tokens` reads as `x`."""
    return x.transpose(1, 2).reshape(shape) if len(shape) == 4 else x.reshape(shape)
