"""Samples of a tap, each ready to be explained: in the network that the tap was recorded from, or, where that cannot be
run, in a linear probe of labels that did not see the sample.

The site is the tap itself, token by token. Of the probe it is the rows of the sample; their mean is what is read.
"""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.arrays import finite_rows
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.errors import InputError, NotEnoughData
from analysis.features.probe_reader import ProbeReader
from analysis.features.readers import network_or_probe
from analysis.sources.hooked_run import modules_of
from analysis.sources.loaded_model import LoadedModel
from analysis.spec import Progress


class NetworkSamples:
    """`samples` (n,) of the store; `site` the tap, or another module; `classes` names of its outputs, where known;
    `what` is run; `notes`. `number` is what the network gives where that is no class, "" where it is; `input_names` of
    a table that it reads, if known. `live`: what the module gives now is asked for, not what was recorded, which may be
    a mean over its tokens."""

    is_network = True

    def __init__(
        self, tap: Activations, maximum: int, rng: np.random.Generator, *, live: bool = False, site: str = ""
    ) -> None:
        from analysis.sources.rerun import rerun

        tokens = getattr(getattr(tap, "spec", None), "tokens", "")
        if not (live or site) and tap.layout.is_pooled and tokens in ("mean", "spatial-mean"):
            raise InputError(
                f"{tap.name} holds means over tokens, which the network does not pass on",
                "a tap recorded with all tokens",
            )
        self._run = rerun(tap, maximum, partial=True, rng=rng)
        self.site = site or tap.name.partition(":")[2] or tap.name
        modules_of(self._run.loaded.module, [self.site])  # its refusal
        self.samples, self.classes = self._run.samples, tuple(self._run.loaded.class_names)
        self.what = f"the network ({type(self._run.loaded.module).__name__})"
        self.notes = (self._run.note,)
        loaded = self._run.loaded
        unit = f" ({loaded.output_unit})" if loaded.output_unit else ""
        self.number = "" if loaded.classifies else (loaded.output_name or "output") + unit
        self.input_names = tuple(loaded.input_names)

    def run(self, i: int, site: str | None = None) -> SampleRun:
        """The i-th of `samples`, in its network; at another site than the tap's on request."""
        return SampleRun(self.loaded(i), self.item(i), site or self.site)

    def loaded(self, i: int) -> LoadedModel:
        """What runs it."""
        return self._run.loaded

    @property
    def modules(self) -> frozenset[str]:
        """Names of the network's modules."""
        return frozenset(n for n, _ in self._run.loaded.module.named_modules(remove_duplicate=False))

    def words(self, i: int) -> tuple[str, ...]:
        """Of a text its tokens, else nothing."""
        found = self._run.loaded.tokens([self.item(i)])
        return tuple(found[0]) if found else ()

    def item(self, i: int):
        """The i-th of `samples`, as `loaded(i).prepare` takes it."""
        return self._run.data.items(i, i + 1)[0]

    def word(self, answer: int) -> str:
        """What an output stands for."""
        if answer < len(self.classes):
            return self.classes[answer]
        decode = self._run.loaded.decode
        return repr(decode(answer)) if decode else str(answer)


class ProbeSamples:
    """The same with the probe of the other half of the samples."""

    is_network, site, number, input_names = False, INPUT, "", ()

    def __init__(
        self, tap: Activations, column: str, maximum: int, rng: np.random.Generator, progress: Progress, span
    ) -> None:
        reader = ProbeReader(tap, column, maximum, rng, progress, span)
        self._tap, self._half = tap, reader.half
        self.samples, self.classes = reader.samples, tuple(map(str, reader.classes))
        self.what, self.notes = reader.what, reader.notes
        self._loaded = [_linear(reader.probes[h]) for h in (0, 1)]

    def run(self, i: int, site: str | None = None) -> SampleRun:
        """At the tap, which is all that a probe reads."""
        return SampleRun(self.loaded(i), self.item(i), INPUT)

    def loaded(self, i: int) -> LoadedModel:
        return self._loaded[self._half[i]]

    def item(self, i: int) -> np.ndarray:
        rows = np.arange(*self._tap.layout.offsets[self.samples[i] : self.samples[i] + 2])
        x = np.asarray(self._tap.take(rows), np.float64)
        return x[finite_rows(x)]

    def words(self, i: int) -> tuple[str, ...]:
        return ()

    def word(self, answer: int) -> str:
        return self.classes[answer]


def _linear(probe) -> LoadedModel:
    """The mean over tokens, then the probe, as a network."""
    import torch

    weights = torch.as_tensor(probe.weights)
    shift = torch.as_tensor(probe.fit.intercept - probe.mean @ probe.weights)

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights, self.shift = (torch.nn.Parameter(t, requires_grad=False) for t in (weights, shift))

        def forward(self, x):
            return x.mean(dim=1) @ self.weights + self.shift

    return LoadedModel(Mean(), "array", lambda items: torch.as_tensor(np.stack(items)))


def explained_samples(
    tap: Activations,
    reader: str,
    column: str | None,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress,
    span,
    *,
    live: bool = False,
    site: str = "",
) -> tuple[NetworkSamples | ProbeSamples, tuple[str, ...]]:
    """The samples, at most so many, and notes; in a network at module `site`, the tap's own by default. `live`: also
    where the tap holds means over tokens, for what does not put its rows back. Raises as
    `analysis.features.readers.network_or_probe`."""
    return network_or_probe(
        tap, reader, column, progress, span,
        network=lambda: NetworkSamples(tap, maximum, rng, live=live, site=site),
        probe=lambda labels: ProbeSamples(tap, labels, maximum, rng, progress, span),
    )  # fmt: skip


def refuse_few_samples(tap: Activations, samples, least: int) -> None:
    """Raises NotEnoughData."""
    if len(samples.samples) < least:
        raise NotEnoughData(
            f"{tap.name} has {len(samples.samples)} sample(s) to explain",
            f"at least {least}",
            "Record more samples",
        )
