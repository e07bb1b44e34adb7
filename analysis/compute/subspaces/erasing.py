"""A concept erased by every method on one half of the samples, to be read by probes on the other half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.compute.groups.concept import Concept
from analysis.compute.groups.concept_samples import ConceptSamples
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.adversarial_erasure import adversarial_projection
from analysis.compute.subspaces.concept_moments import ConceptMoments, concept_moments
from analysis.compute.subspaces.erasure import (
    Eraser,
    covariance_projection,
    discriminant_projection,
    leace,
    mean_projection,
    orthogonal,
    refuse_few_for_units,
)
from analysis.compute.subspaces.iterated_erasure import iterated_nullspace
from analysis.compute.subspaces.probes import probe_folds
from analysis.errors import NotEnoughData
from analysis.spec import Progress

FEWEST = 16  # samples of a class: eight find the directions, eight are read in folds
MEAN, COVARIANCE, LEACE = "mean projection", "cross-covariance projection", "LEACE"
INLP, RLACE, LDA = "INLP", "R-LACE", "LDA projection"
ERASERS = (LEACE, MEAN, COVARIANCE, RLACE, INLP, LDA)
NESTED = (LEACE, MEAN, COVARIANCE, INLP, LDA)  # fewer dimensions are the first of more
BOUNDED = (LEACE, MEAN, COVARIANCE, LDA)  # have no more dimensions than the concept
BY_MOMENTS = (LEACE, MEAN, COVARIANCE)  # need no rows


@dataclass(frozen=True)
class Halves:
    """`fit` (m, d) and `fit_concept`, on which directions are found, with their `moments`; `x` (n, d) and `concept`,
    other samples, on which probes are fitted and judged over folds `fold` (n,); `held` (n,) their places."""

    fit: np.ndarray
    fit_concept: Concept
    moments: ConceptMoments
    x: np.ndarray
    concept: Concept
    fold: np.ndarray
    held: np.ndarray


def halved(data: ConceptSamples, folds: int, rng: np.random.Generator) -> Halves:
    """Two random halves with the same share of each class. Raises NotEnoughData for half < d + 1 samples,
    or a number that is constant in a half."""
    half = folds_of(data.concept.keys, 2, rng)
    first, held = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    refuse_few_for_units(len(first), data.x.shape[1], "samples, half of those with the concept,")
    concept = data.concept.only(held)
    made = data.concept.only(first)
    for part in (made, concept) if concept.is_number else ():
        if not is_varying(part.values.var(), part.values.mean()):
            raise NotEnoughData(
                f"half of the {len(data.x):,} samples have one value of '{concept.name}'",
                "a number that varies in both halves",
                "Record more samples, or choose another column",
            )  # fmt: skip
    return Halves(
        data.x[first], made, concept_moments(data.x[first], made), data.x[held], concept,
        probe_folds(concept, folds, rng), held,
    )  # fmt: skip


def erased(name: str, x: np.ndarray, concept: Concept, m: ConceptMoments, k: int) -> Eraser:
    """The eraser `name` of k dimensions, or as many as there are, found on rows `x` (n, d) with moments `m`."""
    if name == INLP:
        return iterated_nullspace(x, concept, m, k)
    if name == RLACE:
        return adversarial_projection(x, concept, m, k)
    if name == LDA:
        return discriminant_projection(x, concept, m, k)
    return erased_by_moments(name, m, k)


def erased_by_moments(name: str, m: ConceptMoments, k: int) -> Eraser:
    """The eraser `name`, one of `BY_MOMENTS`, of k dimensions or as many as there are, from moments alone."""
    if name == LEACE:
        return leace(m, k)
    return mean_projection(m, k) if name == MEAN else covariance_projection(m, k)


def first_dimensions(eraser: Eraser, k: int) -> Eraser:
    """Its first k dimensions, for the `NESTED` ones."""
    return Eraser(eraser.name, eraser.mean, eraser.read[:, :k], eraser.write[:, :k])


def erasers_by_rank(halves: Halves, method: str, most: int, progress: Progress) -> list[Eraser]:
    """Of 0, 1, 2, 4, … dimensions, as many as the concept has, and `most`, or as many as there are."""
    steps = sorted({*(2**i for i in range(12) if 2**i < most), most, min(most, halves.concept.rank)})
    d, out = halves.x.shape[1], []
    out.append(orthogonal(method, halves.moments.mean, np.zeros((d, 0))))
    make = (halves.fit, halves.fit_concept, halves.moments)
    if method in NESTED:
        progress(0.15, f"finding directions: {method}")
        found = erased(method, *make, most)
        steps = sorted({min(k, found.rank) for k in steps} - {0})
        return [*out, *(first_dimensions(found, k) for k in steps)]
    for i, k in enumerate(steps):
        progress(0.1 + 0.3 * i / len(steps), f"finding {k} direction(s)")
        found = erased(method, *make, k)
        if found.rank > out[-1].rank:
            out.append(found)
    return out


def covariance_left(eraser: Eraser, m: ConceptMoments) -> float:
    """‖Σ_x'z‖ / ‖Σ_xz‖ on the samples of `m` (Frobenius); 0 where no linear probe beats a constant there."""
    left = m.cross - eraser.write @ (eraser.read.T @ m.cross)
    return float(np.linalg.norm(left) / max(np.linalg.norm(m.cross), 1e-300))


def expected_rest(halves: Halves) -> str:
    """What sampling alone leaves to be read, in words: after exact erasure on the fit half, the means of two Gaussian
    classes still differ elsewhere by d (1 / n_0 + 1 / n_1) squared deviations on average."""
    if halves.concept.is_number or len(halves.concept.classes) != 2:
        return ""
    d, counts = halves.x.shape[1], np.bincount(halves.fit_concept.of)
    rest = float(ndtr(np.sqrt(d * (1 / counts).sum()) / 2))
    return (
        f"The means of {counts[0]:,} and {counts[1]:,} samples are uncertain: where they are made equal, two Gaussian "
        f"classes of equal size could still be told apart elsewhere by an ideal linear probe {rest:.1%} of the time."
    )


def squared_edits(eraser: Eraser, x: np.ndarray) -> np.ndarray:
    """‖x - x'‖² (n,) of rows `x` (n, d). O(n d k)."""
    read = (x - eraser.mean) @ eraser.read
    return np.einsum("ij,ij->i", read @ (eraser.write.T @ eraser.write), read)
