"""Samples of a tap in the network that it was recorded from, at the tap's module or at the input, as the network gives
them now: a tap that keeps means over tokens has all of its tokens there."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.attribution.explained_samples import NetworkSamples
from analysis.attribution.sample_run import INPUT
from analysis.sources.hooked_run import modules_of


class LiveSamples(NetworkSamples):
    """`NetworkSamples` at the module, or at the input."""

    def __init__(self, tap: Activations, maximum: int, rng: np.random.Generator, at_input: bool) -> None:
        from analysis.sources.rerun import rerun

        self._run = rerun(tap, maximum, partial=True, rng=rng)
        module = tap.name.partition(":")[2] or tap.name
        modules_of(self._run.loaded.module, [module])  # its refusal
        self._site = INPUT if at_input else module
        self.samples, self.classes = self._run.samples, tuple(self._run.loaded.class_names)
        self.what = f"the network ({type(self._run.loaded.module).__name__})"
        self.notes = (self._run.note,)
