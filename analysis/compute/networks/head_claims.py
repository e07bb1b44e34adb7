"""What reading an attention head as kernel principal component analysis implies, measured sequence by sequence, beside
the same with the tokens of the values shuffled."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.networks.claim_report import Line
from analysis.compute.networks.kernel_attention import (
    KeySpace,
    assigned,
    captured,
    cosines,
    key_space,
    log_term_ratio,
    participation,
    u_centred,
    unit_columns,
)
from analysis.compute.rows.matched_taps import matched_taps
from analysis.compute.rows.shared_places import shared_places
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress

FEWEST, FEWEST_LEFT = 3, 6  # tokens of a sequence; of one that parts of can be left out
SPECTRUM_DRAWS = 20
QUANTITIES = (
    "largest |cosine| of a column of V with an eigenvector", "assigned |cosine|, mean over pairs",
    "linear CKA of V with the eigenvectors", "linear CKA, biased", "CKA of V Vᵀ with the Gram matrix",
    "captured by V", "captured by the first components", "log10 of |φ(q)|² over |h(q)|²",
)  # fmt: skip
CLAIMED = (1.0, 1.0, 1.0, None, 1.0, None, None, None)  # what is captured must reach the components', not 1
SPECTRA = ("dimensions of the Gram matrix", "dimensions of V")
TESTED = 5  # "captured by V" is tested against the share that the components capture


@dataclass(frozen=True)
class Sequence:
    """Queries, keys (N, d) and values (N, c) of one head on one sequence."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray


def sequences(
    taps: Several[Activations],
    columns: Several[slice],
    most: int,
    most_tokens: int,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[list[Sequence], list[str]]:
    """The sequences of three taps, the `columns` of one head; all rows are one where no tap has tokens.

    Raises NotEnoughData and InputError where none has three tokens, or keys or values that differ.
    """
    if all(t.layout.is_pooled for t in taps):
        data = matched_taps(taps, rng, maximum_rows=most_tokens, minimum=FEWEST, progress=progress)
        parts, notes = (
            [np.arange(len(data.rows))],
            [*data.notes, "Rows have no tokens: all are one sequence."],
        )
    else:
        data = shared_places(taps, rng, maximum=most, minimum=1, progress=progress, span=(0.0, 0.1))
        parts, notes = [], list(data.notes)
        for i in range(data.n_samples):
            rows = np.flatnonzero(data.sample == i)
            if len(rows) > most_tokens:
                rows = np.sort(rng.choice(rows, size=most_tokens, replace=False))
            parts.append(rows)
        if np.bincount(data.sample).max() > most_tokens:
            notes.append(f"Of longer sequences a random {most_tokens} tokens used.")
    long = [rows for rows in parts if len(rows) >= FEWEST]
    if not long:
        raise NotEnoughData("no sequence has three tokens", "at least 3 tokens", "Record without pooling")
    found = [Sequence(*(x[rows, c] for x, c in zip(data.values, columns, strict=True))) for rows in long]
    good = [s for s in found if _differ(s.k) and _differ(s.v)]
    if not good:
        raise InputError(
            "the keys or the values of this head are equal at all tokens", "tokens that differ", "Choose another head"
        )  # fmt: skip
    if len(good) < len(parts):
        notes.append(
            f"{len(parts) - len(good)} sequence(s) with under three tokens, or equal keys or values, left out."
        )
    return good, notes


def _differ(x: np.ndarray) -> bool:
    return unit_columns(x).shape[1] > 0


def head_claims(
    found: Several[Sequence], kernel: str, draws: int, rng: np.random.Generator, progress: Progress
) -> list[Line]:
    """A line for each quantity; without those that some sequence is too short for."""
    values, null = np.empty((len(found), len(QUANTITIES))), np.empty((draws, len(found), len(QUANTITIES)))
    spectra, other = np.empty((len(found), 2)), np.empty((SPECTRUM_DRAWS, len(found), 2))
    for i, s in enumerate(found):
        progress(0.1 + 0.9 * i / len(found), f"sequence {i + 1} of {len(found)}")
        measure, space = _measure(s, kernel)
        same = np.arange(len(s.v))
        values[i] = measure(same)
        for draw in null[:, i]:
            draw[:] = measure(rng.permutation(same))
        spectra[i] = participation(space.values), _dimensions(s.v)
        for draw in other[:, i]:
            keys = rng.permuted(s.k, axis=0)
            draw[:] = (
                participation(key_space(s.q, keys, kernel).values),
                _dimensions(rng.permuted(s.v, axis=0)),
            )
    halves = _halves(found[0], kernel, rng) if len(found) == 1 else None
    how = "tokens of the values shuffled"
    ends = [(0, 1)] * 2 + [(-1, 1)] * 3 + [(0, 1)] * 2 + [(-np.inf, np.inf)]
    lines = []
    for j, name in enumerate(QUANTITIES):
        if not np.isfinite(values[:, j]).all():
            continue
        claimed = float(values[:, 6].mean()) if j == TESTED else CLAIMED[j]
        lines.append(Line(name, values[:, j], null[:, :, j].mean(axis=1), how, claimed, ends[j],
                          None if halves is None else halves[j]))  # fmt: skip
    for j, name in enumerate(SPECTRA):
        lines.append(Line(name, spectra[:, j], other[:, :, j].mean(axis=1), "every unit shuffled by itself",
                          None, (0, np.inf)))  # fmt: skip
    return lines


def _halves(s: Sequence, kernel: str, rng: np.random.Generator) -> list[float | None] | None:
    """Half-widths of the quantities' intervals by leaving out groups of tokens; None where these are too few."""
    n = len(s.v)
    if n < FEWEST_LEFT:
        return None
    without = []
    for group in sample_groups(n, rng):
        stay = np.delete(np.arange(n), group)
        part = Sequence(s.q[stay], s.k[stay], s.v[stay])
        if _differ(part.k) and _differ(part.v):
            without.append(_measure(part, kernel)[0](np.arange(len(stay))))
    half = jackknife_half(np.array(without)) if without else None
    return None if half is None else [float(h) for h in half]


def _dimensions(v: np.ndarray) -> float:
    return participation(np.linalg.svd(v - v.mean(axis=0), compute_uv=False) ** 2)


def _measure(s: Sequence, kernel: str):
    """A function from an order of the values' tokens (N,) to the quantities (8,), and the key space."""
    space, n = key_space(s.q, s.k, kernel), len(s.v)
    first = space.vectors[:, : s.v.shape[1]]
    v = s.v - s.v.mean(axis=0)
    v = v / np.abs(v).max()
    grams = (first @ first.T, v @ v.T, space.gram)
    sizes = [np.linalg.norm(g) for g in grams]
    clean = [u_centred(g) for g in grams] if n > 3 else None

    def measure(order: np.ndarray) -> np.ndarray:
        moved, at = v[order], np.ix_(order, order)
        near = cosines(moved, space)
        biased = float((grams[0] * grams[1][at]).sum()) / (sizes[0] * sizes[1])
        unbiased = (
            (np.nan, np.nan) if clean is None else [float((c * clean[1][at]).sum()) for c in clean[::2]]
        )
        of_first = _captured_in_order(space, first, order)
        return np.array([near.max(), assigned(near), unbiased[0], biased, unbiased[1], captured(space, moved),
                         of_first, log_term_ratio(s.q, s.k, s.v[order], kernel)])  # fmt: skip

    return measure, space


def _captured_in_order(space: KeySpace, first: np.ndarray, order: np.ndarray) -> float:
    return captured(space, first[order])
