"""Samples of a tap ready to be explained from their network's input, or from the tap where it is the number itself that
is read there."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.attribution.explained_samples import explained_samples
from analysis.attribution.hidden_places import column_names, word_names
from analysis.attribution.one_sample.tap_vector import TapVector, vector_of
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.tap_runs import TapRuns, tap_runs
from analysis.errors import NotEnoughData, NotFound
from analysis.features.readers import AUTOMATIC

TAP, INPUT = "the tap", "the network's input"
SITES = (TAP, INPUT)
ITSELF = "No network is run: the tokens of the tap itself stand in the place of its input."


class SiteSamples:
    """As `explained_samples.NetworkSamples`, at `site`; `vector` says how the tap is read."""

    is_network = True

    def __init__(self, runs: TapRuns, site: str, samples: np.ndarray) -> None:
        self._runs, self.samples = runs, samples
        self._at_tap = site == TAP and runs.is_network
        self.classes = tuple(runs.loaded.class_names)
        self.what, self.notes = runs.what, runs.notes
        self.number = "" if runs.loaded.classifies else runs.loaded.output_name or "output"

    def run(self, i: int) -> SampleRun:
        sample, runs = int(self.samples[i]), self._runs
        if self._at_tap:
            return SampleRun(runs.loaded, runs.item(sample), runs.module)
        return runs.run(sample)

    def vector(self, i: int, run: SampleRun) -> TapVector:
        sample, runs = int(self.samples[i]), self._runs
        if not self._at_tap:
            return runs.vector(run, sample)
        given = run.clean.detach().double().numpy()
        return vector_of(runs.module, given, runs.rows(sample), runs.tap.name)

    def word(self, answer: int) -> str:
        """What an output stands for."""
        if answer < len(self.classes):
            return self.classes[answer]
        return repr(self._runs.loaded.decode(answer)) if self._runs.loaded.decode else str(answer)

    def names(self, i: int, run: SampleRun) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of the tokens and of the columns of the site, nothing where not known."""
        if self._at_tap:
            return (), ()
        return word_names(self._runs, int(self.samples[i]), run.shape[0]), column_names(
            self._runs, run.shape[1]
        )

    @property
    def own_input(self) -> bool:
        """Whether the site is something else than the tap."""
        return self._runs.is_network and not self._at_tap


def site_samples(
    tap: Activations, site: str, of_classes: bool, finite: np.ndarray, reader: str, column: str | None,
    rng: np.random.Generator, progress, span,
):  # fmt: skip
    """The samples, all of the store, and notes. `of_classes`: a number of the answer is explained, else one of the tap;
    `finite`: the samples with finite rows. Raises as `explained_samples`."""
    runs = tap_runs(tap) if (reader == AUTOMATIC and site == INPUT) or not of_classes else None
    if runs is None or (of_classes and not runs.is_network):
        found, notes = explained_samples(tap, reader, column, tap.layout.n_samples, rng, progress, span)
        return found, (*notes, ITSELF) if site == INPUT else notes
    progress(span[1], "opening the network")
    found = SiteSamples(runs, site, finite)
    return found, found.notes


def place_of(samples, sample: int, least: int, tap: Activations) -> int:
    """Which of the samples it is. Raises NotEnoughData below `least`, NotFound."""
    found = np.flatnonzero(samples.samples == sample)
    if len(samples.samples) < least:
        raise NotEnoughData(
            f"{tap.name} has {len(samples.samples)} samples to explain",
            f"at least {least}",
            "Record more samples",
        )
    if not len(found):
        raise NotFound(
            f"sample {sample} of {tap.name} to explain",
            f"one of its {len(samples.samples):,} samples with finite rows and, of a probe, a label",
        )
    return int(found[0])
