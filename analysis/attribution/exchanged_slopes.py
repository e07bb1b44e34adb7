"""What parts would be owed if the network read something else: the changes of a sample with slopes of other samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import Players, each_token
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target


def as_long(rows, tokens: int):
    """(b, tokens, units) of rows (b, any number, units), taken again from the beginning where they end."""
    return rows[:, np.arange(tokens) % rows.shape[1]]


def slopes_of(run: SampleRun, rows, target: Target, steps: int):
    """(tokens, units) tensor: mean slopes of `run` on the way from the first of the background `rows`."""
    base = Background(as_long(rows[:1], run.shape[0]), "")
    return path_values(run, each_token(run.shape[0]), base, target, steps=steps).slopes


def exchanged_parts(x, players: Players, background: Background, slopes: Iterable) -> np.ndarray:
    """(n, players): the parts of the sample x (tokens, units) with each of n `slopes` in place of its own."""
    found = []
    for one in slopes:
        own = as_long(one[None], len(x))[0]
        found.append(np.mean([players.inner(own, x, b).numpy() for b in background.rows], axis=0))
    return np.array(found)
