"""Clean samples beside corrupted ones, token by token: what patching takes from one run into the other.

    another answer   a sample that the network answers otherwise
    same answer      a sample that it answers alike
    tokens           every token that of another sample, drawn anew at every place
    noise            Gaussian noise on the input, or on the embedding of words, in standard deviations of each unit

The number that is looked at is that of the clean sample; a difference is to the answer of the corrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.attribution import targets
from analysis.attribution.sample_run import INPUT, as_site, as_tokens, input_key
from analysis.attribution.targets import at_position
from analysis.errors import NotEnoughData
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.bench import FEWEST, Bench
from analysis.interventions.components import Site
from analysis.interventions.interventions import Cell, Intervention
from analysis.interventions.many_targets import ManyTargets, many_targets

ANOTHER, SAME, TOKENS, NOISE = (
    "a sample of another answer",
    "a sample of the same answer",
    "other tokens",
    "noise",
)
CORRUPTIONS = (ANOTHER, SAME, TOKENS, NOISE)


@dataclass(frozen=True)
class Pairs:
    """`clean` and `corrupted` runs of n pairs; `cell` is done to the corrupted run, too; `target` of each pair."""

    clean: BatchRun
    corrupted: BatchRun
    cell: Cell
    target: ManyTargets


def pairs_of(bench: Bench, kind: str, size: float, rng: np.random.Generator) -> list[Pairs]:
    """One batch of pairs for each batch of samples; `size` of the noise. Samples without a partner are left out and
    counted in the bench's notes. Raises NotEnoughData for fewer than eight pairs."""
    found, total = [], 0
    for batch in bench.batches:
        run = batch.run
        kept, order = _partners(run, kind, rng)
        if len(kept) < 2:
            continue
        total += len(kept)
        clean = run if len(kept) == run.n else run.of_inputs(taken(run.inputs, kept))
        corrupted, cell = _corrupted(bench, clean, run, kind, order, size, rng)
        found.append(Pairs(clean, corrupted, cell, _target(bench, clean, corrupted, cell)))
    if total < FEWEST:
        raise NotEnoughData(
            f"{total} of {bench.n} samples of {bench.tap.name} have {kind} beside them", f"at least {FEWEST}",
            "Take more samples, or another corruption",
        )  # fmt: skip
    if total < bench.n:
        bench.notes.append(f"{bench.n - total} of {bench.n} samples have no partner and were left out.")
    return found


def taken(inputs, at: np.ndarray):
    """The prepared inputs of some samples."""
    if isinstance(inputs, Mapping):
        return {k: taken(v, at) for k, v in inputs.items()}
    return inputs[at] if hasattr(inputs, "shape") and inputs.ndim else inputs


def likeliest(run: BatchRun, logits=None) -> np.ndarray:
    """(n,) the likeliest answer of each sample, after its last token."""
    logits = run.logits if logits is None else logits
    return np.array([int(at_position(logits[i : i + 1], int(t))[0].argmax()) for i, t in enumerate(run.last)])


def _partners(run: BatchRun, kind: str, rng) -> tuple[np.ndarray, np.ndarray]:
    """Samples (m,) that have a partner of as many tokens, and it (m,)."""
    if kind not in (ANOTHER, SAME):
        return np.arange(run.n), np.arange(run.n)
    answers, kept, order = likeliest(run), [], []
    # of as many tokens: the corrupted run is read at the clean sample's last one
    tokens = np.zeros(run.n) if run.mask is None else run.lengths(run.mask.shape[1])
    for i, own in enumerate(answers):
        others = np.flatnonzero(
            ((answers != own) if kind == ANOTHER else (answers == own)) & (tokens == tokens[i])
        )
        others = others[others != i]
        if len(others):
            kept.append(i)
            order.append(int(rng.choice(others)))
    return np.array(kept, np.int64), np.array(order, np.int64)


def _corrupted(bench: Bench, clean, run, kind: str, order, size: float, rng) -> tuple[BatchRun, Cell]:
    if kind in (ANOTHER, SAME):
        return run.of_inputs(taken(run.inputs, order)), ()
    if kind == TOKENS:
        return run.of_inputs(mixed_inputs(clean, rng)), ()
    words = bench.parts is not None and bench.parts.embedding
    site = Site(bench.parts.embedding if words else INPUT)
    x = clean.caught([site])[site].double()
    real = clean.real(x.shape[1])
    noise = size * x.numpy()[real].std(axis=0) * rng.standard_normal(tuple(x.shape))
    return clean, (Intervention(site, noise, way="add"),)


def mixed_inputs(run: BatchRun, rng):
    """The inputs with every token that of another sample at the same place, where one has a token there."""
    inputs = run.inputs
    if isinstance(inputs, Mapping) and "input_ids" in inputs:
        ids = inputs["input_ids"]
        donor = _donors(run.real(ids.shape[1]), rng)
        return {**inputs, "input_ids": ids[donor, np.arange(ids.shape[1])]}
    key = input_key(inputs)
    x = inputs if key is None else inputs[key]
    tokens = as_tokens(x)
    donor = _donors(np.ones(tuple(tokens.shape[:2]), bool), rng)
    mixed = as_site(tokens[donor, np.arange(tokens.shape[1])], tuple(x.shape))
    return mixed if key is None else {**inputs, key: mixed}


def _donors(real: np.ndarray, rng) -> np.ndarray:
    """(n, tokens) number of a sample that has a token at the place, another one where there is one."""
    n, tokens = real.shape
    donor = np.repeat(np.arange(n)[:, None], tokens, axis=1)
    for t in range(tokens):
        own = np.flatnonzero(real[:, t])
        if len(own) > 1:
            donor[own, t] = own[(np.arange(len(own)) + rng.integers(1, len(own), size=len(own))) % len(own)]
    return donor


def _target(bench: Bench, clean: BatchRun, corrupted: BatchRun, cell: Cell) -> ManyTargets:
    asked = bench.targets[0]
    answer = likeliest(clean) if bench.answer is None else np.full(clean.n, bench.answer)
    if asked.kind not in targets.OF_TWO:
        return many_targets(clean, asked.kind, answer)
    logits = next(corrupted.logits_with([cell]))[1][0] if cell else corrupted.logits
    own = many_targets(clean, asked.kind, answer).against
    other = likeliest(corrupted, logits)
    return many_targets(clean, asked.kind, answer, np.where(other == answer, own, other))
