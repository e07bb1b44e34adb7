"""Who may be owed something of one sample: parts of its site, features of its tap, or principal directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.one_sample.site_players import (
    COLUMNS,
    GROUPS,
    PATCHES,
    TOKENS,
    hierarchy,
    site_players,
)
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import Features, Players, each_token
from analysis.attribution.tap_features import contributions_of
from analysis.compute.rows.token_names import token_names
from analysis.compute.rows.token_sets import token_sets
from analysis.features.tap_dictionary import TapDictionary

FEATURES, DIRECTIONS = "features", "principal directions"
CORRELATED = 50  # samples whose columns say what belongs together


@dataclass(frozen=True)
class Chosen:
    """`who` plays; `tree` of them where they join as wholes; `notes`."""

    who: Players
    tree: list | None = None
    notes: tuple[str, ...] = ()


def chosen_players(
    made: TapDictionary, samples, at: int, run, behind, target, others: np.ndarray, params, slopes: bool
) -> Chosen:
    """`params`: players, size, alone, steps; `slopes`: parts are found by slopes, so that all features may play."""
    kind, notes = params.players, ()
    foreign = getattr(samples, "own_input", False)
    if foreign and kind in (FEATURES, DIRECTIONS):
        asked = kind
        kind = PATCHES if run.grid is not None else COLUMNS if run.shape[0] == 1 else TOKENS
        notes = (f"The network's input has no {asked}: its {kind} play.",)
    if kind == FEATURES:
        return Chosen(_features(made, run, behind, target, params, slopes))
    if kind == DIRECTIONS:
        return Chosen(_directions(made, int(samples.samples[at]), params))
    if kind == TOKENS and not foreign:
        return Chosen(each_token(run.shape[0]))
    grid, leading = _grid(run, made.source)
    names, columns = _names(made.source, samples, at, run, grid, leading)
    who = site_players(kind, run.shape, grid, leading, params.size, names, columns)
    if kind != GROUPS:
        return Chosen(who, None, notes)
    rows = np.concatenate([samples.run(int(i)).clean.double().numpy() for i in np.sort(others[:CORRELATED])])
    tree = hierarchy(who, grid, leading, rows) if len(who.names) > 1 else [0]
    return Chosen(who, tree, (*notes, f"Groups of groups of {len(who.names):,} players: Owen values."))


def _features(made: TapDictionary, run, behind, target, params, slopes: bool) -> Features:
    k, names = made.features.n_features, made.called
    codes = contributions_of(made)
    everyone = Features(codes, made.features.decoder, np.arange(k), names)
    if slopes or k <= params.alone:
        return everyone
    rough = np.abs(path_values(run, everyone, behind, target, steps=params.steps).values[:k])
    best = np.sort(np.argsort(-rough, kind="stable")[: params.alone])
    return Features(codes, made.features.decoder, best, [names[j] for j in best])


def _directions(made: TapDictionary, sample: int, params) -> Features:
    """Principal directions of the other samples at the tap (mean over tokens), the first ones alone."""
    sets = token_sets(
        made.source, np.random.default_rng(0), maximum=params.maximum_samples, minimum=2, span=(0.15, 0.2)
    )
    x = sets.means()[sets.samples != sample]
    x = x - x.mean(axis=0)
    base = np.linalg.eigh(x.T @ x)[1][:, ::-1].T
    alone = np.arange(min(params.alone, len(base)))
    return Features(lambda rows: rows @ base.T, base, alone, [f"principal direction {j + 1}" for j in alone])


def _grid(run, tap) -> tuple[tuple[int, int] | None, int]:
    if run.grid is not None:
        return run.grid, 0
    layout = tap.layout
    fits = layout.grid is not None and layout.leading + layout.grid[0] * layout.grid[1] == run.shape[0]
    return (layout.grid, layout.leading) if fits else (None, 0)


def _names(tap, samples, at: int, run, grid, leading: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the site's tokens and of its units, nothing where not known."""
    (tokens, units), sample = run.shape, int(samples.samples[at])
    if grid is not None:
        first = tuple(f"leading token {i + 1}" for i in range(leading))
        return (*first, *(f"row {r + 1}, column {c + 1}" for r, c in np.ndindex(*grid))), ()
    if hasattr(samples, "names"):
        found = samples.names(at, run)
        if any(found):
            return found
    columns = tuple(f"unit {n}" for n in tap.unit_names) if units == tap.shape[1] else ()
    count = int(tap.layout.offsets[sample + 1] - tap.layout.offsets[sample])
    return (token_names(tap, sample, np.arange(tokens)) if count == tokens > 1 else ()), columns
