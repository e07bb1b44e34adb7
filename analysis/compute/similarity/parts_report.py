"""What is said of subspaces of parts of one tap: every two compared, vague cuts hatched and named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.similarity.subspace_grid import SubspaceMeasure, subspace_grid
from analysis.compute.subspaces.part_subspaces import is_clear
from analysis.compute.subspaces.tap_subspaces import TapSubspaces
from analysis.results import Estimate, Matrix
from analysis.spec import Progress


def parts_matrix(
    found: TapSubspaces,
    name: str,
    measure: SubspaceMeasure,
    lost: int,
    fixed: bool,
    rng: np.random.Generator,
    progress: Progress,
) -> Matrix:
    """Of parts of the tap `name`, of whose units so many never vary and are `lost`; `fixed`: weights or units among the
    parts, which no sample changes."""
    grid = subspace_grid(found, measure, rng, progress)
    top = measure.largest([m.k for m in found.members])
    made = "drawn" if measure.distant else "exact mean and deviation; p exact for a line, else drawn"
    words = Words(
        f"{measure.name} distance of subspaces" if measure.distant else "subspace overlap", measure.formula,
        f"random subspaces of these dimensions, {made}", perfect=0.0 if measure.distant else 1.0, bounds=(0.0, top),
        limits=(0.0, top if np.isfinite(top) else float(grid.values.max()) or 1.0), distance=measure.distant,
        interval="jackknife over groups of samples, axes found anew, t",
    )  # fmt: skip
    result = similarity_matrix(grid, words, found.names, (*found.notes, *_caveats(lost, fixed)))
    said = result.reading.replace(f"unrelated representations of {found.n:,} samples", "random subspaces")
    named = tuple(replace(e, name=e.name.replace("two taps", "two parts")) for e in result.estimates)
    vague = ~np.array([is_clear(m) for m in found.members])
    doubtful = (vague[:, None] | vague[None, :]) & ~np.eye(len(vague), dtype=bool)
    names = ", ".join(m.name for m, v in zip(found.members, vague, strict=True) if v)
    unclear = (
        "Eigenvalues at the cut are not told apart, another sample would give another subspace (hatched)"
    )
    unclear = (f"{unclear}: {names}.",) if vague.any() else ()
    return replace(
        result, few=result.few | doubtful, caveats=(*unclear, *result.caveats),
        title=f"{words.name[:1].upper()}{words.name[1:]} in the units of {name}",
        reading=said.replace("two taps", "two parts"), estimates=(*named, *_dimensions(found)),
    )  # fmt: skip


def _dimensions(found: TapSubspaces) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(f"dimension of {m.name} ({m.subspace.share:.0%} of its variance or energy)", m.k, n=m.subspace.n,
                 d=m.subspace.d, estimator="count", unit="directions")
        for m in found.members
    )  # fmt: skip


def _caveats(lost: int, fixed: bool) -> list[str]:
    notes = ["Parts that share samples, such as the whole and its classes, overlap by that alone."]
    if fixed:
        notes.append(
            "Weights and units have no sampling error; cells between them have an interval of no width."
        )
    if lost:
        notes.append(f"Units that never vary were left out: {lost}.")
    return [*notes, "All directions inside a cut count alike, whatever variance they have."]
