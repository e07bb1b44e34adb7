"""Do the class tokens of a network see different things, and which token finds what another misses?

A tap whose first N tokens are class tokens has N embeddings of each sample. Drawn is the mean |cosine| of the tokens of
one sample, token by token: 1 where two tokens are the same, that of random directions where they have nothing in
common; or the rescues: the share of samples at which the row's token names the nearest neighbour's class wrongly and
the column's rightly. The fused embedding puts all unit tokens side by side: its cosine is the mean of the tokens'.

For each token and fused: how often the nearest other sample is of the same class (rank 1), and the mean average
precision (mAP). Samples of the same class and the same camera are not ranked, where a column says the camera. Spread is
the mean of 1 - cosine with the mean direction of the sample's class.

Nulls: random directions for the cosines; classes exchanged between samples for retrieval and spread.

When it lies: activations with a large common mean have cosines near 1 whatever they say, so it can be taken off; two
tokens can be turned copies of each other: cosines see none of that, but rescues are then empty; a token can rescue by
luck; near-duplicates of a query make retrieval easy.

Cost: O(n² N d + n² N log n); memory O(n² + n N d).

References: W. Li et al. (2023), "DC-Former: diverse and compact transformer for person re-identification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.retrieval.token_report import diversity_of, retrieved, spread_of
from analysis.compute.retrieval.token_retrieval import rescues, unit_tokens
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.random_part import random_part
from analysis.compute.subspaces.sinkhorn import random_cosine
from analysis.errors import InputError
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, MOST_TOKENS, SHOWN = 2, 64, 12
DIVERSITY, RESCUES = "mean |cosine|", "rescues"


@dataclass(frozen=True)
class ClassTokensParams:
    tokens: int | None = param(None, "Class tokens at the start of each sample; automatic: the leading tokens that are "
                               "known, or all.", low=1, high=MOST_TOKENS)  # fmt: skip
    column: str = param("label", "The sample column with the classes or identities.", column=True)
    camera: str = param("", "Column whose value a found sample must not share; empty: none.", column=True)
    show: str = param(DIVERSITY, "What the cells hold.", choices=(DIVERSITY, RESCUES))
    centre: bool = param(False, "Take each token's mean over all samples off first.")
    permutations: int = param(19, "Exchanges of the classes for the null.", low=19, high=1000)
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=50, high=5000)


def class_tokens(
    activations, params: ClassTokensParams = ClassTokensParams(), rng=None, progress=no_progress
) -> Matrix:
    """Diversity, compactness and rescues of class tokens.

    Parameters
    ----------
    activations : Activations with tokens and the sample column `params.column`

    Returns
    -------
    Matrix
        Tokens x tokens, see `show`. Estimates: mean |cosine| of two tokens, rank 1 and mAP of the fused embedding and
        of each token, the spread of each token.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such column; fewer than two classes with two samples; samples with fewer tokens than asked for, or all equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    x, of, cameras, notes = _read(activations, params, rng, progress)
    if params.centre:
        x = x - x.mean(axis=0)
    z, d = unit_tokens(x), x.shape[2]
    if not z.any():
        raise InputError(
            f"all class tokens of {activations.name} are 0",
            "tokens that have a direction",
            "Choose another tap",
        )
    n, count = z.shape[:2]
    left_out = np.eye(n, dtype=bool)
    if cameras is not None:
        left_out |= (of[:, None] == of) & (cameras[:, None] == cameras)
    draws = [rng.permutation(n) for _ in range(params.permutations)]
    fused, first, estimates = np.zeros((n, n)), [], []
    names = [f"token {t + 1}" for t in range(count)]
    for t in range(count):
        progress(0.2 + 0.6 * t / count, f"ranking by {names[t]}")
        similar = z[:, t] @ z[:, t].T
        fused += similar / count
        found, made = retrieved(similar, of, left_out, draws, names[t], d)
        first.append(found.first[found.asks])
        if t < SHOWN:
            estimates += [*made, spread_of(z[:, t], of, draws, names[t])]
    progress(0.8, "ranking by all tokens")
    _, whole = retrieved(fused, of, left_out, draws, "fused", count * d)
    cosines = np.abs(np.einsum("ntd,nsd->nts", z, z))
    diversity, rescue = cosines.mean(axis=0), rescues(np.array(first))
    apart = diversity_of(cosines, d)
    shown = diversity if params.show == DIVERSITY else rescue
    chance = np.full_like(shown, random_cosine(d)) if params.show == DIVERSITY else None
    if chance is not None:
        np.fill_diagonal(chance, 1.0)
    estimates = (*apart, *whole, *estimates)
    return Matrix(
        title=f"Class tokens of {activations.name}, {params.show}", values=shown, row_names=tuple(names),
        column_names=tuple(names), value_name=params.show, limits=(0.0, 1.0) if chance is not None else None,
        null=chance, reading=_reading(diversity, rescue, whole, estimates, names), estimates=estimates,
        caveats=(*_caveats(count, first, n), *notes),
    )  # fmt: skip


def _read(activations, params, rng, progress):
    """Tokens (n, N, d), classes (n,), cameras (n,) or None, notes."""
    layout, labels = activations.layout, sample_column(activations, params.column)
    cameras = np.asarray(sample_column(activations, params.camera)) if params.camera else None
    codes = class_codes(labels, params.column, FEWEST)
    chosen, notes = np.flatnonzero(codes.stay), list(codes.notes)
    lengths = np.diff(layout.offsets)[chosen]
    count = params.tokens or min(layout.leading or int(lengths.min()), MOST_TOKENS)
    if lengths.min() < count or count < 1:
        raise InputError(
            f"a sample of {activations.name} has {lengths.min()} token(s), and {count} are asked for",
            "class tokens in every sample", "Record the tap with all tokens, or ask for fewer",
        )  # fmt: skip
    chosen, said = random_part(chosen, params.maximum_samples, rng)
    notes += said
    progress(0.1, "reading class tokens")
    rows = (layout.offsets[chosen][:, None] + np.arange(count)).reshape(-1)
    x = np.asarray(activations.take(rows), dtype=np.float64)
    good = finite_rows(x).reshape(len(chosen), count).all(axis=1)
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) with NaN or infinity in a class token left out.")
    chosen, x = chosen[good], x.reshape(len(good), count, -1)[good]
    again = class_codes(np.asarray(labels)[chosen], params.column, FEWEST)
    cameras = None if cameras is None else cameras[chosen[again.stay]]
    x = x[again.stay]
    if x.any() and (x == x[0]).all():
        raise InputError(
            f"all samples of {activations.name} are equal", "samples that differ", "Choose another tap"
        )
    return x, again.codes, cameras, [*notes, *again.notes, *copies_note(x.reshape(len(x), -1))]


def _reading(diversity, rescue, whole, estimates, names) -> str:
    fused = (
        f"All tokens together find a sample of the same class first for {whole[0].value:.1%} of samples (exchanged "
        f"classes: {whole[0].null:.1%})"
    )
    if len(names) == 1:
        return fused + "; there is one class token, and nothing to compare it with."
    a, b = np.unravel_index(rescue.argmax(), rescue.shape)
    best = max(
        (e for e in estimates if e.name.endswith("rank 1") and e.name[0] == "t"), key=lambda e: e.value
    )
    return (
        f"{fused}; the best one alone, {best.name.partition(':')[0]}, for {best.value:.1%}. Two tokens of a sample "
        f"have a mean |cosine| of {estimates[0].value:.2f} (random directions: {estimates[0].null:.2f}). Most rescues: "
        f"{names[b]} is right where {names[a]} is wrong for {rescue[a, b]:.1%} of samples."
    )


def _caveats(count: int, first, n: int) -> list[str]:
    notes = (
        ["The best token was chosen on these samples, so its lead is a little too large."]
        if count > 1
        else []
    )
    if len(first[0]) < n:
        notes.append(
            f"{n - len(first[0])} sample(s) have no other of their class to be found and ask nothing."
        )
    if count > SHOWN:
        notes.append(f"Numbers of the first {SHOWN} of {count} tokens are listed; all are drawn.")
    return notes


def _cost(shapes, params: ClassTokensParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, count = min(rows, params.maximum_samples), params.tokens or 1
    once = m.seconds(flops64=2.0 * n * n * d, moved=n * n * (100.0 + 40.0 * params.permutations))
    return Cost((count + 1) * once + 0.02, n * n * 60.0 + n * count * d * 8 * 5.0 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Three tokens in 16 units: the second is the first, and rescues nothing; the third knows only the classes that the
    first does not; the fused cosine is the mean of the tokens'."""
    rng = np.random.default_rng(4)
    of, n = np.arange(240) % 6, 240
    known = np.array([4, 4, 4, 0, 0, 0])[of][:, None]
    a = known * np.eye(16)[of] + 0.3 * rng.standard_normal((n, 16))
    b = (4 - known) * np.eye(16)[of] + 0.3 * rng.standard_normal((n, 16))
    x = np.stack([a, a, b], axis=1).reshape(-1, 16)
    tap = ArrayActivations(x, samples={"label": of}, layout=Layout(np.arange(n + 1, dtype=np.int64) * 3))
    diverse = class_tokens(tap, ClassTokensParams(tokens=3))
    rescue = class_tokens(tap, ClassTokensParams(tokens=3, show=RESCUES)).values
    z = unit_tokens(x.reshape(n, 3, 16))
    side = z.reshape(n, -1) / np.sqrt(3)
    fused = np.mean([z[:, t] @ z[:, t].T for t in range(3)], axis=0)
    noise = ArrayActivations(rng.standard_normal((n, 16)), samples={"label": of})
    blind = class_tokens(noise).estimates
    return (
        CheckLine("identical tokens: |cosine|", 1.0, float(diverse.values[0, 1]), 1e-12),
        CheckLine("identical tokens: rescues", 0.0, float(rescue[0, 1]), 1e-12),
        CheckLine(
            "the third rescues half of the samples less luck", 0.5 * (1 - 1 / 3), float(rescue[0, 2]), 0.1
        ),
        CheckLine(
            "fused cosine less mean of cosines, largest",
            0.0,
            float(np.abs(side @ side.T - fused).max()),
            1e-12,
        ),
        CheckLine("noise: rank 1 is the share of the class", 39 / 239, blind[0].value, 0.1),
        CheckLine("noise: mAP is near that share", 39 / 239, blind[1].value, 0.04),
    )


METHODS = (
    Method(
        id="class_tokens", family="subspaces", title="Class tokens", version=1, function=class_tokens,
        summary="Whether several class tokens see different things, and which finds what another misses.",
        params=ClassTokensParams, result=Matrix, check=_check, cost=_cost, minimum_rows=4,
        invariance="rotating all units of a token together (of all tokens, for the cosines) or rescaling any token",
        papers=("DC-Former: diverse and compact transformer for re-ID",),
    ),
)  # fmt: skip
