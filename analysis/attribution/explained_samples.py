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
    """`samples` (n,) of the store; `classes` names of its outputs, where known; `what` is run; `notes`. `live`: what
    the module gives now is asked for, not what was recorded, which may be a mean over its tokens."""

    is_network = True

    def __init__(self, tap: Activations, maximum: int, rng: np.random.Generator, live: bool = False) -> None:
        from analysis.sources.rerun import rerun

        tokens = getattr(getattr(tap, "spec", None), "tokens", "")
        if not live and tap.layout.is_pooled and tokens in ("mean", "spatial-mean"):
            raise InputError(
                f"{tap.name} holds means over tokens, which the network does not pass on",
                "a tap recorded with all tokens",
            )
        self._run = rerun(tap, maximum, partial=True, rng=rng)
        self._site = tap.name.partition(":")[2] or tap.name
        modules_of(self._run.loaded.module, [self._site])  # its refusal
        self.samples, self.classes = self._run.samples, tuple(self._run.loaded.class_names)
        self.what = f"the network ({type(self._run.loaded.module).__name__})"
        self.notes = (self._run.note,)

    def run(self, i: int, site: str = "") -> SampleRun:
        """The i-th of `samples`, in its network, at the tap or another site."""
        return SampleRun(self._run.loaded, self._item(i), site or self._site)

    @property
    def modules(self) -> frozenset[str]:
        """Names of the network's modules."""
        return frozenset(n for n, _ in self._run.loaded.module.named_modules(remove_duplicate=False))

    def words(self, i: int) -> tuple[str, ...]:
        """Of a text its tokens, else nothing."""
        found = self._run.loaded.tokens([self._item(i)])
        return tuple(found[0]) if found else ()

    def _item(self, i: int):
        return self._run.data.items(i, i + 1)[0]

    def word(self, answer: int) -> str:
        """What an output stands for."""
        if answer < len(self.classes):
            return self.classes[answer]
        decode = self._run.loaded.decode
        return repr(decode(answer)) if decode else str(answer)


class ProbeSamples:
    """The same with the probe of the other half of the samples."""

    is_network = False

    def __init__(
        self, tap: Activations, column: str, maximum: int, rng: np.random.Generator, progress: Progress, span
    ) -> None:
        reader = ProbeReader(tap, column, maximum, rng, progress, span)
        self._tap, self._half = tap, reader.half
        self.samples, self.classes = reader.samples, tuple(map(str, reader.classes))
        self.what, self.notes = reader.what, reader.notes
        self._loaded = [_linear(reader.probes[h]) for h in (0, 1)]

    def run(self, i: int, site: str = "") -> SampleRun:
        """The i-th of `samples`; rows of the tap are the only site there is."""
        rows = np.arange(*self._tap.layout.offsets[self.samples[i] : self.samples[i] + 2])
        x = np.asarray(self._tap.take(rows), np.float64)
        return SampleRun(self._loaded[self._half[i]], x[finite_rows(x)], INPUT)

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
        def forward(self, x):
            return x.mean(dim=1) @ weights + shift

    return LoadedModel(Mean(), "array", lambda items: torch.as_tensor(np.stack(items)))


def explained_samples(
    tap: Activations,
    reader: str,
    column: str | None,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress,
    span,
    live: bool = False,
) -> tuple[NetworkSamples | ProbeSamples, tuple[str, ...]]:
    """The samples, at most so many, and notes. Raises as `analysis.features.readers.network_or_probe`."""
    return network_or_probe(
        tap, reader, column, progress, span, network=lambda: NetworkSamples(tap, maximum, rng, live),
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
