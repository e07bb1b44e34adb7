"""Does the part that should hold the meaning also hold the domain, and the other way round? Parts of a representation
by targets, each cell the held-out accuracy of a linear probe.

A representation split into a *semantic* and a *noise* part (two taps, or one tap cut in two) is disentangled where the
semantic part tells the class and not the domain, and the noise part the domain and not the class. The probe is
Fisher's with the classes' frequencies (`compute.linear.bayes_probe`): knowing nothing, it is right as often as the
most frequent class is, so the floor is the majority rate and not 1 / K.

Null: the majority rate of each target; p from 30 exchanges of the labels, the probe fitted again (Student's t).
Intervals are Wilson's, samples as draws. A part leaks where its accuracy passes Benjamini-Hochberg at 5 % over the
table and lies above the majority rate.

When it lies: a linear probe; what it does not find may be there otherwise; where class and domain go together in the
data, each part that tells one tells the other, without any leak (their agreement is said); a part with more units has
more to read from.

Cost: 5 fits of O(n d min(n, d)) for each part and target, and 31 times O(n d classes); memory O(n d).

References: P. Xia et al. (2024), "Generalizing to unseen domains in diabetic retinopathy with disentangled
representations"; R. Fisher (1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.bayes_probe import held_out_classes
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import ClassCodes
from analysis.compute.statistics.cramers_v import cramers_v
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.two_parts import FEWEST, part_targets, two_parts
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FOLDS, DRAWS, LEVEL = 5, 30, 0.05


@dataclass(frozen=True)
class LeakTestParams:
    semantic: str = param(
        "label", "Sample column that the first part should tell (the grade, the class).", column=True
    )
    domain: str = param(
        "", "Sample column that the second part should tell (the hospital, the scanner); empty: the first other one.",
        column=True,
    )  # fmt: skip
    units: int = param(
        0, "Of one tap: how many units, from the first on, are the first part; 0: half of them.", low=0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(3000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def leak_test(*taps, params: LeakTestParams = LeakTestParams(), rng=None, progress=no_progress) -> Matrix:
    """Parts by targets.

    Parameters
    ----------
    *taps : Activations
        The semantic and the noise part of the same samples (matched by id), or one tap that is cut in two.

    Returns
    -------
    Matrix
        `values` (2, targets) held-out accuracy; `null` the majority rates; `low`, `high`, `significant`.

    Raises
    ------
    ParameterError, NotFound, NotEnoughData, InputError, TooLarge
        More than two taps; a cut that leaves nothing; no such column; fewer than two classes of ten samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    parts, names, ids, notes = two_parts(taps, params, rng, progress)
    targets = part_targets(taps[0], ids, params)
    found, agreement = [], _agreement(targets)
    for j, (name, codes) in enumerate(targets):
        for i, x in enumerate(parts):
            progress(0.2 + 0.8 * (j * 2 + i) / (2 * len(targets)), f"probing for {name}")
            found.append(_cell(x[codes.stay], codes, rng))
    progress(1.0, "done")
    cells = np.array(found).reshape(len(targets), 2, 5).transpose(1, 0, 2)
    values, low, high, null, p = np.moveaxis(cells, 2, 0)
    significant = (benjamini_hochberg(p) < LEVEL) & (values > null)
    return Matrix(
        title=f"What the parts {names[0]} and {names[1]} tell",
        reading=_reading(names, targets, values, null, significant),
        caveats=(*_caveats(targets, agreement), *(n for _, c in targets for n in c.notes), *notes),
        estimates=_estimates(names, parts, targets, cells), values=values, row_names=names,
        column_names=tuple(name for name, _ in targets), value_name="held-out accuracy", limits=(0.0, 1.0), null=null,
        low=low, high=high, significant=significant,
    )  # fmt: skip


def _cell(x: np.ndarray, codes: ClassCodes, rng) -> tuple[float, float, float, float, float]:
    """Accuracy, its interval, the majority rate and p."""
    n, classes = len(x), len(codes.names)
    if n < FEWEST:
        raise NotEnoughData(f"{n} sample(s) with a class", f"at least {FEWEST}", "Record more samples")
    fold = folds_of(codes.codes, FOLDS, rng)
    every = [codes.codes, *(rng.permutation(codes.codes) for _ in range(DRAWS))]
    right = (held_out_classes(x - x.mean(axis=0), every, classes, fold) == np.array(every)).mean(axis=1)
    value, chance = float(right[0]), right[1:]
    low, high = wilson(value * n, n)
    spread = max(float(chance.std(ddof=1)), 0.5 / n)
    p = float(stdtr(DRAWS - 1, -(value - chance.mean()) / (spread * np.sqrt(1 + 1 / DRAWS))))
    return value, min(low, value), max(high, value), float(codes.counts.max() / n), p


def _agreement(targets) -> float | None:
    """Cramér's V of the two targets, of the samples that have both."""
    if len(targets) < 2:
        return None
    (_, a), (_, b) = targets
    both = a.stay & b.stay
    return cramers_v(a.codes[both[a.stay]], b.codes[both[b.stay]])


def _estimates(names, parts, targets, cells) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(
            f"accuracy of {target} from {names[i]}", *map(float, cells[i, j, :3]), interval="Wilson, samples as draws",
            null=float(cells[i, j, 3]), null_method=f"majority rate; p from {DRAWS} exchanges of the labels",
            p_value=float(cells[i, j, 4]), n=len(codes.codes), d=parts[i].shape[1],
            estimator=f"Fisher's discriminant with frequencies, {FOLDS} folds",
        )
        for i in (0, 1)
        for j, (target, codes) in enumerate(targets)
    )  # fmt: skip


def _reading(names, targets, values, null, significant) -> str:
    said = [
        f"{names[i]} tells {target}: {values[i, j]:.0%}, majority {null[i, j]:.0%}"
        if significant[i, j]
        else f"{names[i]} does not tell {target} beyond the majority rate ({values[i, j]:.0%}, {null[i, j]:.0%})"
        for i in (0, 1)
        for j, (target, _) in enumerate(targets)
    ]
    text = "; ".join(said) + "."
    if len(targets) == 2:
        leaks = int(significant[0, 1]) + int(significant[1, 0])
        text += f" {leaks} of the 2 crossed cells leak" + (
            "." if leaks else ": as far as linear probes see, none does."
        )
    return text


def _caveats(targets, agreement) -> list[str]:
    notes = ["Accuracy is held against the majority rate, not against one in the number of classes."]
    if agreement is None:
        notes.append("There is one column of classes only: without a second there are no crossed cells.")
    elif agreement > 0.2:
        notes.append(
            f"The two columns go together (Cramér's V {agreement:.2f}): a part that tells one tells the other "
            "without a leak."
        )
    return notes


def _cost(shapes, params: LeakTestParams) -> Cost:
    m, rows = machine(), min(r for r, _ in shapes)
    n, d = min(rows, params.maximum_samples), sum(u for _, u in shapes)
    side = d / 2 if len(shapes) == 1 else max(u for _, u in shapes)
    small = min(n, side)
    flops = 2 * 2 * FOLDS * (4.0 * n * side * small + 10.0 * small**3 + (DRAWS + 1) * 8.0 * n * side * 4)
    held = 8.0 * (n * d * 2.0 + n * side * 4.0 + 4.0 * small**2)
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """A perfectly disentangled pair: diagonal near 1, crossed cells at the majority rate of unequal classes. A domain
    that is also in the semantic part: found there."""
    rng = np.random.default_rng(9)
    n = 1200
    grade, hospital = (rng.random(n) < 0.2).astype(int), rng.choice(3, size=n, p=[0.7, 0.2, 0.1])
    semantic, noise = rng.standard_normal((2, n, 6))
    semantic[:, 0] += 8 * grade
    noise[:, :3] += 8 * np.eye(3)[hospital]
    samples = {"grade": grade, "hospital": hospital}

    def table(first) -> Matrix:
        taps = [ArrayActivations(x, samples=samples) for x in (first, noise)]
        return leak_test(*taps, params=LeakTestParams(semantic="grade", domain="hospital"))

    clean, leaking = table(semantic), table(semantic + 8 * np.eye(6)[hospital + 1])
    majority = [np.bincount(grade).max() / n, np.bincount(hospital).max() / n]
    return (
        CheckLine("the class from the semantic part", 1.0, float(clean.values[0, 0]), 0.01),
        CheckLine("the domain from the noise part", 1.0, float(clean.values[1, 1]), 0.01),
        CheckLine("the domain from the semantic part: majority rate", majority[1], float(clean.values[0, 1]), 0.01),
        CheckLine("the class from the noise part: majority rate", majority[0], float(clean.values[1, 0]), 0.01),
        CheckLine("crossed cells that leak", 0.0, float(clean.significant[[0, 1], [1, 0]].sum()), 0.0),
        CheckLine("a domain put into the semantic part", 1.0, float(leaking.values[0, 1]), 0.01),
        CheckLine("that leak is found", 1.0, float(leaking.significant[0, 1]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="leak_test", family="concepts", title="Leak test of two parts", version=1, function=leak_test,
        summary="Whether each of two parts of a representation tells what it should, and not what the other should.",
        params=LeakTestParams, result=Matrix, check=_check, cost=_cost, inputs=1, more_inputs=True, most_inputs=2,
        minimum_rows=FEWEST,
        invariance="shifting, scaling or rotating a part changes nothing; moving units to the other part does",
        papers=("Generalizing to Unseen Domains in Diabetic Retinopathy with Disentangled Representations",),
    ),
)  # fmt: skip
