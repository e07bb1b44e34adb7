"""The samples of a tap as paths: their tokens in order are points, some units or components are the channels.

A signature does not see where a path begins nor how fast it is walked: a time channel (place of the token over the
longest, so that gaps stay gaps) and a step from the origin to the first point bring these in. Tokens that are missing
or not finite are left out, and the path runs straight on over the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.rows.class_codes import class_codes
from analysis.errors import InputError, NotFound
from analysis.spec import Progress, no_progress
from analysis.tokens.pooling.token_sets import TokenSets, token_sets

ALL_UP_TO, COMPONENTS, OF_A_CLASS, NUMBERS = 4, 3, 5, 20


@dataclass(frozen=True)
class Paths:
    """`steps` (n, T, d), 0 behind the last of `lengths` (n,), of channels called `names`; `start` (n, d) the first
    point; `samples` (n,) of the tap. `target` (n, m) to be predicted, `classes` names or () of a number; `notes`;
    `gathered` where rows stand for the tokens of samples."""

    steps: np.ndarray
    lengths: np.ndarray
    start: np.ndarray
    names: tuple[str, ...]
    samples: np.ndarray
    target: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    gathered: bool = False

    @property
    def n(self) -> int:
        return len(self.steps)

    def without(self, channel: int) -> np.ndarray:
        """Steps without a channel."""
        return np.delete(self.steps, channel, axis=2)

    def word(self, word: tuple[int, ...]) -> str:
        return " · ".join(self.names[c] for c in word)


def paths_of(
    tap: Activations,
    channels: str,
    column: str,
    time: bool,
    base: bool,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    wanted: int | None = None,
) -> Paths:
    """`wanted`: a sample that has to be among those that are read.

    Raises NotFound (no such column or unit), NotEnoughData, InputError (tokens that do not vary), TooLarge."""
    only = None
    if wanted is not None and not tap.layout.is_pooled and wanted < tap.layout.n_samples:
        only = chosen_samples(tap.layout.n_samples, maximum, rng)
        only = only if wanted in only else np.sort(np.append(only[1:], wanted))
    sets = token_sets(tap, maximum, rng, progress, column=column, minimum=2 * OF_A_CLASS, only=only)
    target, classes, stay, said = _target(sets.labels, column)
    sets = sets.only(stay)
    x, names, more = _channels(tap, sets, channels)
    steps, lengths, start = _steps(x, sets.present, time, base)
    if time:
        names = ("time", *names)
    return Paths(
        steps,
        lengths,
        start,
        names,
        sets.samples,
        target,
        classes,
        tuple(dict.fromkeys((*sets.notes, *said, *more))),
        sets.gathered,
    )


def _target(labels: np.ndarray, column: str):
    """(target (m, C), class names, stay (n,), notes): a number with many values as it is, else classes as 0 and 1."""
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        good = np.isfinite(labels)
        if len(np.unique(labels[good])) > NUMBERS and (labels[good] != np.round(labels[good])).any():
            return labels[good][:, None].astype(np.float64), (), good, ()
    codes = class_codes(labels, column, OF_A_CLASS)
    return codes.one_hot(), codes.names, codes.stay, codes.notes


def _channels(tap: Activations, sets: TokenSets, asked: str):
    """(x (n, T, d) each of deviation 1, names, notes)."""
    rows = sets.x[sets.present]
    mean = rows.mean(axis=0)
    spread = rows.std(axis=0)
    if not (spread > 1e-12 * (1 + np.abs(mean))).any():
        raise InputError(f"the tokens of {tap.name} do not vary", "a path that moves")
    names = tuple(map(str, tap.unit_names)) if len(tap.unit_names) == tap.shape[1] else ()
    if asked.strip():
        units = [_unit(word.strip(), names, tap) for word in asked.split(",") if word.strip()]
    elif tap.shape[1] <= ALL_UP_TO:
        units = list(range(tap.shape[1]))
    else:
        values, vectors = np.linalg.eigh(np.cov(rows.T))
        top = vectors[:, ::-1][:, :COMPONENTS] / np.sqrt(np.maximum(values[::-1][:COMPONENTS], 1e-300))
        top = top[:, values[::-1][:COMPONENTS] > 1e-12 * values[-1]]
        note = (
            f"{top.shape[1]} principal components of {tap.shape[1]} units are read; name units to read these."
        )
        return (sets.x - mean) @ top, tuple(f"PC{i + 1}" for i in range(top.shape[1])), (note,)
    units = [u for u in dict.fromkeys(units) if spread[u] > 1e-12 * (1 + abs(mean[u]))]
    if not units:
        raise InputError(f"these units of {tap.name} do not vary", "units that change from token to token")
    return sets.x[:, :, units] / spread[units], tuple(names[u] if names else f"unit {u}" for u in units), ()


def _unit(word: str, names: tuple[str, ...], tap: Activations) -> int:
    if word in names:
        return names.index(word)
    if word.isdigit() and int(word) < tap.shape[1]:
        return int(word)
    raise NotFound(f"unit '{word}' of {tap.name}", f"a name, or a number from 0 to {tap.shape[1] - 1}")


def _steps(x: np.ndarray, present: np.ndarray, time: bool, base: bool):
    """(steps (n, T, d), lengths (n,), start (n, d))."""
    n, length, d = x.shape
    steps, lengths = np.zeros((n, length, d + time)), np.zeros(n, np.int64)
    start = np.zeros((n, d + time))
    for i in range(n):
        at = np.flatnonzero(present[i])
        points = x[i, at]
        if time:
            points = np.column_stack([at / max(length - 1, 1), points])
        start[i] = points[0]
        moves = np.diff(np.vstack([np.zeros_like(points[:1]), points]) if base else points, axis=0)
        lengths[i] = len(moves)
        steps[i, : len(moves)] = moves
    return steps, lengths, start
