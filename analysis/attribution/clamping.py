"""One unit of a site held at a value, the rest of the sample as it is: what the network then answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution import targets
from analysis.attribution.sample_run import SampleRun
from analysis.errors import InputError, NotFound, ParameterError

EVERY, LAST = "every token", "the last token"
WHERE = (EVERY, LAST)
AT_ONCE = 32  # values in one forward pass


def clamped(run: SampleRun, unit: int, values: np.ndarray, where: str = EVERY) -> np.ndarray:
    """(m, outputs) probabilities, of the next token where there are tokens, with `unit` at each of `values` (m,) at
    every token of the site or at its last one.

    Raises NotFound: no such unit. ParameterError: no such place. InputError: a network without logits.
    """
    import torch

    if not 0 <= unit < run.shape[1]:
        raise NotFound(f"unit {unit} of {run.site}", f"0 … {run.shape[1] - 1}")
    if where not in WHERE:
        raise ParameterError(f"clamped at {where!r}", "one of " + ", ".join(WHERE))
    at, found = slice(None) if where == EVERY else slice(-1, None), []
    for start in range(0, len(values), AT_ONCE):
        some = torch.as_tensor(np.asarray(values[start : start + AT_ONCE]), dtype=run.clean.dtype)
        x = run.clean[None].repeat(len(some), 1, 1)
        x[:, at, unit] = some[:, None]
        logits = targets.at_position(run.logits_at(x), -1)
        found.append(torch.softmax(logits.detach().double(), dim=-1).cpu().numpy())
    return np.concatenate(found)


def answered(run: SampleRun) -> np.ndarray:
    """(outputs,) probabilities of the sample as it is."""
    import torch

    return torch.softmax(targets.at_position(run.logits, -1)[0].detach().double(), dim=-1).cpu().numpy()


@dataclass(frozen=True)
class Moved:
    """`mean`, `spread` (values, outputs) over n samples; `null` the mean with other units at the same places; `effect`
    (n, outputs) from one end of the unit's own values to the other; `apart` (n,) total variation of the two, `chance`
    (others, n) of other units and `by_others` (others, outputs) their mean effects; `before` (outputs,) unclamped."""

    mean: np.ndarray
    spread: np.ndarray
    null: np.ndarray
    effect: np.ndarray
    apart: np.ndarray
    chance: np.ndarray
    by_others: np.ndarray
    before: np.ndarray

    @property
    def n(self) -> int:
        return len(self.apart)


def refuse_numbers(samples) -> None:
    """Raises InputError where outputs are no classes, or there is only one: they have no probabilities."""
    one = targets.at_position(samples.run(0).logits, -1).shape[-1] == 1
    if samples.number or one:
        raise InputError(
            f"{samples.what} gives {samples.number or 'one output'}, which has no probabilities",
            "classes, or a language model", "See 'The answer over a feature's range' for a number",
        )  # fmt: skip


def ranges(samples, unit: int | None, progress) -> tuple[np.ndarray, int]:
    """(2, units) least and largest value over all tokens of the samples; the unit. Raises NotFound, InputError."""
    n, low, high, total, square, count = len(samples.samples), np.inf, -np.inf, 0.0, 0.0, 0
    for i in range(n):
        progress(0.1 + 0.2 * i / n, "reading the unit's values")
        x = samples.run(i).clean.double().cpu().numpy()
        low, high = np.minimum(low, x.min(axis=0)), np.maximum(high, x.max(axis=0))
        total, square, count = total + x.sum(axis=0), square + (x**2).sum(axis=0), count + len(x)
    ends = np.array([low, high])
    if unit is None:
        unit = int(np.argmax(square / count - (total / count) ** 2))
    if unit >= ends.shape[1]:
        raise NotFound(f"unit {unit}", f"0 … {ends.shape[1] - 1}")
    if not high[unit] > low[unit]:
        raise InputError(
            f"unit {unit} is {low[unit]:g} at every token", "a unit that varies", "Choose another"
        )
    return ends, unit


def moved(samples, unit: int, others, grid, ends, where: str, progress) -> Moved:
    """Clamp `unit` on `grid` (values,) and `others` at the same places of their own `ends` (2, units)."""
    n, place = len(samples.samples), (grid - ends[0, unit]) / (ends[1, unit] - ends[0, unit])
    total, square, null, before, by_others, effect, apart, chance = 0.0, 0.0, 0.0, 0.0, 0.0, [], [], []
    for i in range(n):
        progress(0.3 + 0.7 * i / n, "clamping")
        run = samples.run(i)
        p = clamped(run, unit, np.r_[grid, ends[:, unit]], where)
        total, square, before = total + p[:-2], square + p[:-2] ** 2, before + answered(run)
        effect.append(p[-1] - p[-2])
        apart.append(np.abs(effect[-1]).sum() / 2)
        row, moves = [], []
        for j in others:
            own = ends[0, j] + place * (ends[1, j] - ends[0, j])
            q = clamped(run, int(j), np.r_[own, ends[:, j]], where)
            null = null + q[:-2] / len(others)
            moves.append((q[-1] - q[-2]) / n)
            row.append(n * np.abs(moves[-1]).sum() / 2)
        chance.append(row)
        by_others = by_others + np.array(moves)
    mean = total / n
    spread = np.sqrt(np.maximum(square / n - mean**2, 0) * n / (n - 1))
    return Moved(
        mean, spread, null / n, np.array(effect), np.array(apart), np.array(chance).T, by_others, before / n
    )
