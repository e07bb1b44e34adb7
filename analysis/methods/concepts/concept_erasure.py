"""A concept erased by six methods side by side: what linear, MLP and nearest-neighbour probes read before and after.

x' = x - (x - μ) A Bᵀ with A, B (d, k): mean projection, cross-covariance projection, LEACE, R-LACE, INLP and LDA (the
formulas are in `analysis.compute.subspaces`), and k random directions as a control. Directions are found on one half
of the samples; on the other half probes are fitted and judged in folds, and the edit E‖x - x'‖² is measured.

A method blinds a probe whose held-out score is not beyond that of exchanged values (p >= 0.05), or whose interval
reaches down to the majority rate. Among the methods that blind the linear probe the one with the least edit is
marked: on the samples of the fit no affine map that makes Σ_xz = 0 edits less than LEACE (Belrose et al. 2023).

Null: the concept's values exchanged between the held-out samples while predictions stay.

When it lies: a linear probe that is blinded says nothing of other readers, so look at the MLP and kNN; with few samples
per unit the directions do not carry over to the other half and probes there read what is left; LDA removes the best
reader and not what it reads; a probe that fails may be too weak; what is erased here can be made again by later layers.

Cost: one factorisation O(d³); R-LACE 80 steps of O(n d C + d³), INLP its rounds; 24 probes in folds. Memory O(n d +
d²).

References: S. Ravfogel et al. (2022), "Linear Adversarial Concept Erasure"; N. Belrose et al. (2023), "LEACE: Perfect
linear concept erasure in closed form"; S. Ravfogel et al. (2020), "Null It Out"; S. Shao et al. (2023).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import Concept, ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.machine import machine
from analysis.compute.subspaces.erasing import (
    ERASERS,
    FEWEST,
    INLP,
    LDA,
    LEACE,
    MEAN,
    RLACE,
    Halves,
    erased,
    expected_rest,
    halved,
)
from analysis.compute.subspaces.erasure import Eraser, orthogonal, random_projection
from analysis.compute.subspaces.erasure_table import HELP, NOTHING, edit_estimates, erasure_columns
from analysis.compute.subspaces.probe_cost import classes_of, eraser_cost, probe_cost, times
from analysis.compute.subspaces.probes import LINEAR, MLP, PROBES, Score, probe_folds, scored
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class ConceptErasureParams(ConceptParams):
    rank: int | None = param(
        None, "Dimensions to remove; empty: as many as a linear probe reads (classes - 1, one for a number).",
        low=1, high=512,
    )  # fmt: skip
    folds: int = param(4, "Folds in which probes are fitted and judged.", low=2, high=10)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def concept_erasure(
    activations, params: ConceptErasureParams = ConceptErasureParams(), rng=None, progress=no_progress
) -> Table:
    """Probe scores before and after erasing, and the size of the edit.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Table
        One line per method, after "nothing erased", see `HELP`. Estimates: every score with interval and null.

    Raises
    ------
    NotFound, ParameterError
        No such column or value; a membership of another length.
    NotEnoughData, InputError, TooLarge
        Fewer than two classes with 16 samples; half of the samples fewer than units + 1; a constant concept; more
        than 50 classes.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations, params, minimum=FEWEST, maximum=params.maximum_samples, rng=rng, progress=progress
    )
    halves = halved(data, params.folds, rng)
    k = min(params.rank or data.concept.rank, data.x.shape[1])
    erasers = _erasers(halves, k, rng, progress)
    scores = _scores(halves, erasers, rng, progress)
    columns = erasure_columns(halves, erasers, scores)
    estimates = tuple(
        scores[e.name, probe].estimate(f"{probe} probe, {e.name}", data.x.shape[1], probe)
        for e in erasers for probe in PROBES
    )  # fmt: skip
    return Table(
        title=f"Erasing {data.concept.name} from {activations.name}", columns=columns, index="method",
        help=HELP, reading=_reading(columns, scores, data.concept),
        estimates=(*estimates, *edit_estimates(halves, erasers)),
        caveats=(*_caveats(data, halves, erasers, k), *data.notes),
    )  # fmt: skip


def _erasers(halves: Halves, k: int, rng, progress) -> list[Eraser]:
    d, found = halves.x.shape[1], []
    found.append(orthogonal(NOTHING, halves.moments.mean, np.zeros((d, 0))))
    for i, name in enumerate(ERASERS):
        progress(0.1 + 0.3 * i / len(ERASERS), f"finding directions: {name}")
        found.append(erased(name, halves.fit, halves.fit_concept, halves.moments, k))
    return [*found, random_projection(halves.moments, k, rng)]


def _scores(halves: Halves, erasers: list[Eraser], rng, progress) -> dict[tuple[str, str], Score]:
    scores, seed = {}, int(rng.integers(2**31))
    for i, e in enumerate(erasers):
        left = e(halves.x)
        for j, probe in enumerate(PROBES):
            progress(0.4 + 0.6 * (i + j / len(PROBES)) / len(erasers), f"{probe} probe: {e.name}")
            own = np.random.default_rng(seed)  # the same draws for all, so that they differ by the edit alone
            scores[e.name, probe] = scored(
                left, halves.concept, halves.fold, probe, halves.moments.scale, own
            )
    return scores


def _reading(columns, scores, concept) -> str:
    def said(name: str) -> str:
        return ", ".join(f"{p} {scores[name, p].value:.2f}" for p in PROBES)

    chance, what = scores[NOTHING, LINEAR].chance, "R²" if concept.is_number else "accuracy"
    floor = "0 for the mean" if concept.is_number else f"majority {chance:.2f}"
    first = f"Before erasing, held-out {what} is {said(NOTHING)} ({floor})."
    if columns["blinds"][0]:
        return f"{first} There is nothing that a linear probe reads, so nothing is shown by erasing it."
    if not columns["least edit"].any():
        return (
            f"{first} After no method is the linear probe at chance on samples that did not find the directions: more "
            "samples, or more dimensions, are needed."
        )
    at = int(np.flatnonzero(columns["least edit"])[0])
    best = str(columns["method"][at])
    others = [p for p in PROBES[1:] if scores[best, p].reads]
    after = f"After {best} ({columns['dimensions'][at]} dimension(s)) it is {said(best)}"
    rest = (
        f"; the {' and the '.join(others)} still read(s) it." if others else "; no probe reads it any more."
    )
    return (
        f"{first} {int(columns['blinds'][1:-1].sum())} of {len(ERASERS)} methods blind the linear probe; of these "
        f"{best} edits least ({columns['edit'][at]:.3g}, {columns['edit share'][at]:.0%} of the variance). "
        f"{after}{rest}"
    )


def _caveats(data, halves: Halves, erasers, k: int) -> list[str]:
    n, d = halves.fit.shape
    notes = [
        f"Directions are found on {n:,} samples, probes are fitted and judged on {len(halves.x):,} others, in "
        f"{int(halves.fold.max()) + 1} folds; tests of methods are not corrected for their number.",
        "Mean and cross-covariance projection are the same for two classes, and at full rank.",
        "R-LACE on a number is the cross-covariance projection, the closed form of its game."
        if data.concept.is_number
        else "R-LACE is a search: covariance left above 0 says how far from its optimum it stopped.",
    ]
    short = [f"{e.name} {e.rank}" for e in erasers if e.name in ERASERS and e.rank < k]
    if short:
        notes.append(f"Fewer than {k} dimensions carry the concept for: {', '.join(short)}.")
    if k < data.concept.rank:
        notes.append(
            f"A linear probe reads {data.concept.rank} dimensions: {k} are not expected to blind it."
        )
    if expected_rest(halves):
        notes.append(expected_rest(halves))
    if n < 10 * d:
        notes.append(
            f"{n:,} samples for {d} units find directions that carry over only in part: what probes read after "
            "erasing is an upper bound of what a larger fit would leave."
        )
    return notes


def _cost(shapes, params: ConceptErasureParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, c = min(rows, params.maximum_samples) / 2, classes_of(params)
    k = min(params.rank or c - 1, d)
    probes = sum((probe_cost(p, n, d, c, params.folds) for p in PROBES), Counter())
    found = sum((eraser_cost(name, n, d, c, k) for name in ERASERS), Counter())
    memory = 8.0 * (6 * n * d + 6 * d * d) + 10.0 * n * n / params.folds + 3e5
    return Cost(m.seconds(**(times(probes, len(ERASERS) + 2) + found)) + 0.1, memory)


def _check() -> tuple[CheckLine, ...]:
    """Two Gaussian classes in correlated units: mean projection, cross-covariance and LEACE leave no covariance where
    they were found and blind the linear probe elsewhere; LEACE edits least of them; R-LACE finds the same direction;
    random directions leave everything; two classes that differ in spread alone are read by the MLP only."""
    rng = np.random.default_rng(5)
    label, mix = np.arange(1600) % 2, rng.standard_normal((5, 5))
    x = rng.standard_normal((1600, 5)) @ mix + 1.5 * label[:, None] * rng.standard_normal(5) + 9
    found = concept_erasure(ArrayActivations(x, samples={"label": label}), ConceptErasureParams(folds=2))
    at = {str(name): i for i, name in enumerate(found.columns["method"])}
    c = found.columns
    spread, halves = rng.standard_normal((800, 4)) * np.where(label[:800], 3.0, 0.7)[:, None], label[:800]
    concept = Concept("label", halves, ("0", "1"), None)
    curved = {
        p: scored(spread, concept, probe_folds(concept, 2, rng), p, 1.0, rng).value for p in (LINEAR, MLP)
    }
    exact = max(c["covariance left"][at[name]] for name in (LEACE, MEAN))
    return (
        CheckLine("linear accuracy before", 0.85, float(c[LINEAR][0]), 0.0, "at least"),
        CheckLine("covariance left by mean projection and LEACE", 0.0, float(exact), 1e-9),
        CheckLine("linear probe after LEACE, held out", 0.5, float(c[LINEAR][at[LEACE]]), 0.08),
        CheckLine("edit of LEACE over that of mean projection", 0.9, float(c["edit"][at[LEACE]] / c["edit"][at[MEAN]]),
                  0.0, "at most"),
        CheckLine("R-LACE leaves as little", 0.0, float(c["covariance left"][at[RLACE]]), 0.03),
        CheckLine("INLP and LDA of one dimension leave more", 0.05,
                  float(min(c["covariance left"][at[INLP]], c["covariance left"][at[LDA]])), 0.0, "at least"),
        CheckLine("linear probe after a random direction", 0.6, float(c[LINEAR][-1]), 0.0, "at least"),
        CheckLine("spread alone: linear probe", 0.5, curved[LINEAR], 0.08),
        CheckLine("spread alone: MLP", 0.85, curved[MLP], 0.0, "at least"),
        CheckLine("LEACE marked as the least edit", 1.0, float(c["least edit"][at[LEACE]]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="concept_erasure", family="concepts", title="Erase a concept, six ways", version=2,
        function=concept_erasure, params=ConceptErasureParams, result=Table, check=_check, cost=_cost,
        summary="What linear, MLP and neighbour probes read of a concept before and after six ways of erasing it, and "
        "which way changes the activations least.",
        minimum_rows=2 * FEWEST,
        invariance="shifting the activations or scaling all of them by one factor changes no score; a rotation "
        "only the draws of the MLP and of random directions; LEACE follows every linear change of the units",
        papers=("Linear Adversarial Concept Erasure (R-LACE)", "Linear Adversarial Concept Erasure"),
    ),
)  # fmt: skip
