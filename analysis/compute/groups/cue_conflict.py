"""Two cues to one label, and who follows which where they disagree.

A cue is a column of classes; each of its values says the label that it goes with most often. A *conflict* is a sample
whose cues say different labels. The optimal reader weighs what can be read of both cues: held-out scores of each on
the activations, on which Fisher's discriminant names the label, Σ⁻¹ μ for two Gaussian cues.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.bayes_probe import held_out_classes
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.rows.class_codes import class_codes
from analysis.errors import NotEnoughData

FEWEST_CONFLICTS, FOLDS, SMALLEST = 30, 5, 10  # SMALLEST: samples of a class
PENALTY = 1e-2  # ridge of the probes, on standardised units
CORE, SHORTCUT = "core", "shortcut"
CUES = (CORE, SHORTCUT)


@dataclass(frozen=True)
class TwoCues:
    """Of n samples: the `label` (n,) among `names`; by cue its value `of` (n,), what it `says` (n,) of the label, and
    its name; `fold` (n,) of the samples; `stay` (all samples,) bool, which these are; `notes`."""

    label: np.ndarray
    names: tuple[str, ...]
    of: dict[str, np.ndarray]
    says: dict[str, np.ndarray]
    called: dict[str, str]
    fold: np.ndarray
    stay: np.ndarray
    notes: tuple[str, ...]

    @property
    def conflict(self) -> np.ndarray:
        """(n,) bool."""
        return self.says[CORE] != self.says[SHORTCUT]

    def agreement(self, cue: str) -> np.ndarray:
        """(n,) bool: the cue says the label."""
        return self.says[cue] == self.label


def two_cues(
    label: np.ndarray, cues: dict[str, np.ndarray], called: dict[str, str], column: str, rng
) -> TwoCues:
    """Of columns (n,). Raises NotEnoughData: fewer than two classes of ten samples in one of them, or than 30
    conflicts."""
    coded = {"": class_codes(label, column, SMALLEST)}
    coded |= {cue: class_codes(values, called[cue], SMALLEST) for cue, values in cues.items()}
    stay = np.all([c.stay for c in coded.values()], axis=0)
    codes = {name: c.codes[stay[c.stay]] for name, c in coded.items()}
    own, names = codes.pop(""), coded[""].names
    says = {}
    for cue, of in codes.items():
        counts = np.zeros((int(of.max()) + 1, len(names)))
        np.add.at(counts, (of, own), 1)
        says[cue] = counts.argmax(axis=1)[of]
    apart = int((says[CORE] != says[SHORTCUT]).sum())
    if apart < FEWEST_CONFLICTS:
        raise NotEnoughData(
            f"'{called[CORE]}' and '{called[SHORTCUT]}' say different labels of {apart} of {len(own)} sample(s)",
            f"at least {FEWEST_CONFLICTS}, below which the share that follows one of them means nothing",
            "Record samples in which the two cues disagree",
        )
    keys = np.unique(np.stack([own, *codes.values()]), axis=1, return_inverse=True)[1].reshape(-1)
    notes = tuple(dict.fromkeys(n for c in coded.values() for n in c.notes))
    return TwoCues(own, names, codes, says, called, folds_of(keys, FOLDS, rng), stay, notes)


def planted_cue(label: np.ndarray, agreement: float, strength: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """A cue that says the label of a share `agreement` of the samples, exactly, and another one of the others; and
    units (n, classes) that hold it: `strength` at its value, with Gaussian noise of deviation 1."""
    names, of = np.unique(label, return_inverse=True)
    wrong = rng.permutation(len(of))[: round((1 - agreement) * len(of))]
    cue = of.copy()
    cue[wrong] = (of[wrong] + rng.integers(1, len(names), len(wrong))) % len(names)
    units = strength * np.eye(len(names))[cue] + rng.standard_normal((len(of), len(names)))
    return names[cue].astype(str), units


@dataclass(frozen=True)
class Followed:
    """Of n samples at a tap: `read` by cue (n,) bool, whether a held-out probe reads its value, and the same of a probe
    that was fitted to few (`few`); `optimal` (n,) the optimal reader's label; `probe` (n,) a held-out probe's."""

    read: dict[str, np.ndarray]
    few: dict[str, np.ndarray]
    optimal: np.ndarray
    probe: np.ndarray


def followed(x: np.ndarray, cues: TwoCues, rng: np.random.Generator) -> Followed:
    """Of activations `x` (n, d). Fits of softmax regressions, five times the folds."""
    size = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(size > 1e-9 * max(float(size.max()), 1e-300), size, 1.0)
    some = folds_of(cues.label, 10, rng)  # the few are a tenth of what the others are fitted to
    read, few, scores = {}, {}, []
    for cue in CUES:
        of = cues.of[cue]
        own, little = held_out_scores(z, of, cues.fold), held_out_scores(z, of, cues.fold, some)
        read[cue], few[cue] = own.argmax(axis=1) == of, little.argmax(axis=1) == of
        scores.append(own)
    optimal = optimal_labels(scores, cues)
    return Followed(read, few, optimal, held_out_scores(z, cues.label, cues.fold).argmax(axis=1))


def optimal_labels(scores: list[np.ndarray], cues: TwoCues) -> np.ndarray:
    """(n,) label that the optimal reader names, from held-out scores (n, classes) of each cue."""
    both = np.hstack(scores)
    return held_out_classes(both - both.mean(axis=0), [cues.label], len(cues.names), cues.fold)[0]


def held_out_scores(
    z: np.ndarray, of: np.ndarray, fold: np.ndarray, some: np.ndarray | None = None, steps: int = 200
) -> np.ndarray:
    """(n, classes) centred scores of a softmax regression of the other folds, or of a part `some` (n,) of them that is
    numbered like the fold; linear in `z` (n, d), so that what is Gaussian stays so."""
    classes = int(of.max()) + 1
    out, fit = (
        np.empty((len(z), classes)),
        None,
    )  # each fold starts from the one before: the minimum is the same
    for f in range(int(fold.max()) + 1):
        train, test = fold != f, fold == f
        if some is not None:
            train &= some == f
        fit = softmax_fit(z[train], of[train], classes, PENALTY, start=fit, steps=steps)
        out[test] = z[test] @ fit.weights + fit.intercept
    return out - out.mean(axis=1, keepdims=True)
