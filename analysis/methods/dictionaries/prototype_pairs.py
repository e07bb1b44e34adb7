"""This looks like that: the patch of a sample that each telling prototype saw, beside the patch it stands for.

The prototypes that add most to one logit over another (the ledger of prototypes has all of them, in numbers). Of each:
the patch of the sample with the largest similarity s = log((d² + 1) / (d² + ε)), then the patches of the whole tap that
are most similar to the prototype, the first of which is the prototype itself where it was moved onto one of them.
Below each patch its similarity. Whether a similarity is large is told by the numbers: the same logits over samples that
are not of the class.

When it lies: two patches that are near in the last feature map need not look alike to a person, and a patch of that map
has seen more of the image than its frame; the pair shows what the prototype saw, not why it is similar; where the data
are not those that the prototypes were moved onto, the nearest patch is not the source.

Cost: two passes over the tap.

References: C. Chen et al. (2019), "This looks like that: deep learning for interpretable image recognition"; "Improving
prototypical parts abstraction for case-based reasoning explanations designed for the kidney stone type recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass
from analysis.features.planted_prototypes import planted_prototypes
from analysis.features.prototype_estimates import ledger_estimates
from analysis.features.prototype_evidence import code_blocks
from analysis.features.prototype_question import FEWEST, QuestionParams, asked_question, rows_seen
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class PrototypePairsParams(QuestionParams):
    prototypes: int = param(6, "Prototypes shown, those that add most to the difference.", low=1, high=20)
    patches: int = param(4, "Patches that each is most similar to, one of a sample.", low=1, high=11)


def prototype_pairs(
    activations, params: PrototypePairsParams = PrototypePairsParams(), rng=None, progress=no_progress
) -> Gallery:
    """A group for each prototype: what it saw in the sample, then what it looks like.

    Parameters
    ----------
    activations : Activations
        Best a tap that a set of prototypes encoded, patch by patch; any other with classes gets a fitted read-out.

    Returns
    -------
    Gallery
        Rows with their similarities. Estimates: as of the ledger.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample, class or column; fewer than eight samples; over 4 GiB.
    """
    made = tap_dictionary(as_activations(activations))
    return pairs_of(made, params, rng or np.random.default_rng(0), progress)


def pairs_of(made: TapDictionary, params: PrototypePairsParams, rng, progress=no_progress) -> Gallery:
    """As `prototype_pairs`, of codes, activations and features."""
    q = asked_question(made, params, rng, progress)
    s, weight = q.found.values[q.at], q.read.weights[q.a] - q.read.weights[q.b]
    shown = np.argsort(-np.abs(weight * s), kind="stable")[: params.prototypes]
    shown = (
        shown[(weight * s)[shown] != 0] if (weight * s).any() else shown[:1]
    )  # what adds nothing tells nothing
    seen = rows_seen(made, int(q.found.samples[q.at]))
    rows, values = _most_similar(made, shown, params.patches, progress)
    groups, told = {}, {}
    for i, j in enumerate(shown):
        owner = f", class {q.read.names[q.read.owner[j]]}" if q.read.owner[j] >= 0 else ""
        name = f"{made.codes.unit_names[j]}{owner}: {weight[j] * s[j]:+.3g}"
        good = rows[i] >= 0
        groups[name] = np.r_[seen[j], rows[i][good]].astype(np.int64)
        told[name] = np.r_[s[j], values[i][good]]
    progress(1.0, "done")
    names = q.read.names
    return Gallery(
        title=f"Why {names[q.a]} and not {names[q.b]}: {q.sample} first, then what each prototype looks like",
        groups=groups, values=told, value_name="similarity", caveats=q.notes, estimates=ledger_estimates(q, rng),
        reading=f"{q.sample} has logit {q.logits[q.at, q.a]:.3g} for {names[q.a]} and {q.logits[q.at, q.b]:.3g} for "
        f"{names[q.b]}; beside the name of each prototype, what it adds to the difference.",
    )  # fmt: skip


def _most_similar(
    made: TapDictionary, shown: np.ndarray, many: int, progress
) -> tuple[np.ndarray, np.ndarray]:
    """(m, many) rows of different samples with the largest codes of each feature, -1 for none, and these codes."""
    layout, width = made.codes.layout, len(shown)
    rows, values = np.full((width, many), -1), np.full((width, many), -np.inf)
    for at, codes in code_blocks(made, Pass(), progress, (0.8, 0.99)):
        cut = np.flatnonzero(np.r_[True, np.diff(layout.sample_of(at)) != 0])
        best = np.maximum.reduceat(codes[:, shown], cut, axis=0)
        for i in range(width):
            top = np.argsort(-best[:, i], kind="stable")[:many]
            ends = np.append(cut, len(at))
            own = [int(at[ends[t] + codes[ends[t] : ends[t + 1], shown[i]].argmax()]) for t in top]
            both, size = np.r_[rows[i], own], np.r_[values[i], best[top, i]]
            order = np.argsort(-size, kind="stable")
            rows[i], values[i] = _different(both[order], size[order], layout, many)
    return rows, values


def _different(rows: np.ndarray, values: np.ndarray, layout, many: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `many` rows of different samples, falling."""
    out, size, known = np.full(many, -1), np.full(many, -np.inf), set()
    for row, value in zip(rows, values, strict=True):
        sample = int(layout.sample_of(row)) if row >= 0 else -1
        if row >= 0 and sample not in known and len(known) < many:
            out[len(known)], size[len(known)] = row, value
            known.add(sample)
    return out, size


def _cost(shapes, params: PrototypePairsParams) -> Cost:
    (rows, k), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    held = 8.0 * n * k * 4 + 8.0 * min(n, k) ** 2 * 2 + 8.0 * min(rows, 4096) * k * 3
    return Cost(
        m.seconds(flops64=4.0 * rows * k * 64 + 2.0 * n * k * min(n, k), moved=96.0 * rows * k) + 0.02, held
    )


def _check() -> tuple[CheckLine, ...]:
    """Planted prototypes: the nearest patch of each is the one that was put on it, and its sample saw it there."""
    made, _, _ = planted_prototypes(np.random.default_rng(0))
    found = pairs_of(made, PrototypePairsParams(sample="4", prototypes=6), np.random.default_rng(0))
    at = {int(name.partition(",")[0]): rows for name, rows in found.groups.items()}
    owners = [0, 3, 1, 4, 2, 5]  # the image that was put on each prototype: classes take turns
    wrong = sum(int(at[p][1] != 9 * i + i % 9) for p, i in enumerate(owners) if p in at)
    return (
        CheckLine("prototypes whose nearest patch is another", 0.0, float(wrong), 0.0),
        CheckLine("its similarity", np.log(1e4), float(found.values[next(iter(found.values))][1]), 1e-6),
        CheckLine("patch that prototype 3 saw in sample 4", 9 * 4 + 4.0, float(at[3][0]), 0.0),
    )


METHODS = (
    Method(
        id="prototype_pairs", family="dictionaries", title="This looks like that", version=1, function=prototype_pairs,
        summary="What the telling prototypes saw in a sample, beside the patches that they look like.",
        params=PrototypePairsParams, result=Gallery, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering prototypes; one number added to the weights of a prototype to every class",
        papers=(
            "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney "
            "Stone Type Recognition",
        ),
    ),
)  # fmt: skip
