"""Steps Δ of selective scans over the samples of a tap: captured while its network runs, or rows in their place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.tokens.mixers.reading import network_mixers
from analysis.tokens.subject import ROWS

FEWEST, SOME = 6, 4000  # samples; numbers of one that are kept


@dataclass(frozen=True)
class Steps:
    """Of n samples at the places `samples` of the store: `means` by layer (n, channels) of ln Δ over tokens, `some` (n)
    arrays of log10 Δ, `what` they are, `notes`."""

    samples: np.ndarray
    means: dict[str, np.ndarray]
    some: list[np.ndarray]
    what: str
    notes: tuple[str, ...]


def steps_of(tap: Activations, maximum: int, source: str, rng, progress) -> Steps:
    """Of at most `maximum` samples. Raises NotEnoughData below six."""
    why = ()
    if source != ROWS:
        try:
            mixers = network_mixers(tap, maximum, rng)
            if mixers.of_scans:
                return _captured(mixers, progress)
            why = (f"{mixers.what[0].upper()}{mixers.what[1:]} are no scans.",)
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    at, notes = random_part(tap.layout.n_samples, maximum, rng)
    wanted, seen, rows, owner = np.isin(np.arange(tap.layout.n_samples), at), Pass(), [], []
    for where, block in finite_blocks(tap, seen, progress, f"reading {tap.name}", (0.0, 0.7)):
        of = tap.layout.sample_of(where)
        rows.append(block[wanted[of]])
        owner.append(of[wanted[of]])
    refuse_few(tap.name, sum(map(len, rows)), FEWEST, "finite row(s)")
    x, owner = np.concatenate(rows), np.concatenate(owner)
    if len(np.unique(owner)) < FEWEST:
        raise NotEnoughData(f"{len(np.unique(owner))} sample(s) of {tap.name}", f"at least {FEWEST}")
    logs = np.log(x) if (x > 0).all() else x
    samples, of = np.unique(owner, return_inverse=True)
    sums = np.zeros((len(samples), x.shape[1]))
    np.add.at(sums, of, logs)
    kept = [logs[of == s].ravel()[:SOME] / np.log(10) for s in range(len(samples))]
    said = "Rows of the tap stand for steps" + (": not all are positive, so they are taken as logarithms."
                                                if (x <= 0).any() else ".")  # fmt: skip
    return Steps(samples, {tap.name: sums / np.bincount(of)[:, None]}, kept, f"the rows of {tap.name}",
                 (*why, *notes, *seen.notes, said))  # fmt: skip


def _captured(mixers, progress) -> Steps:
    means: dict[str, list] = {name: [] for name in mixers.layers}
    some = []
    for place in range(mixers.n):
        progress(0.75 * place / mixers.n, "scans")
        logs = []
        for layer in mixers.read(place).scans:
            each = np.log(np.maximum(layer.scan.step, 1e-30))
            means[layer.name].append(each.mean(axis=0))
            logs.append(each.ravel())
        every = np.concatenate(logs) / np.log(10)
        some.append(every[:: max(len(every) // SOME, 1)])
    return Steps(np.asarray(mixers.samples), {k: np.array(v) for k, v in means.items()}, some, mixers.what,
                 mixers.notes)  # fmt: skip
