"""Tucker factors: the unit directions of a basis for samples, for positions and for units at once.

    X[i, t] ≈ m[t] + Σ_pqr G[p, q, r] a_p[i] b_q[t] d_r       D orthonormal;   codes of any row: (x - centre) Dᵀ

m[t] is the mean of a position (or of all rows, or 0). As principal components, but those directions count that few
profiles over positions and samples explain: what changes without a pattern over the positions is left to the noise.
With all profiles of both, about the mean of all rows, they are the principal components. **Unique only up to a
rotation**: the directions shown are those of the canonical orientation (slices of the core orthogonal, the largest
first), one basis of a subspace that is determined; CP factors are the ones that have no rotation free. Fitted by
higher-order orthogonal iteration (De Lathauwer, De Moor & Vandewalle 2000). O(n t d · smallest side) for each sweep;
one block in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.tensors.blocks import ALL, CUT, EACH, ORIGIN, REFUSE
from analysis.compute.tensors.products import mixed_along_samples, mode_spectra
from analysis.compute.tensors.tucker import tucker
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.tensor_rows import about_centre, fitted_block
from analysis.spec import param

DIGITS, SHOWN = 4, 32


@dataclass(frozen=True)
class TuckerParams:
    components: int = param(16, "How many directions of units, the features", low=1, high=1024)
    position_profiles: int = param(4, "How many profiles over positions", low=1, high=512)
    sample_profiles: int = param(16, "How many profiles over samples", low=1, high=1024)
    centre: str = param(
        EACH, "What activations are taken about for the fit: the mean at each position, the mean of all rows, or the "
        "origin", choices=(EACH, ALL, ORIGIN),
    )  # fmt: skip
    lengths: str = param(CUT, "What to do with samples of different lengths", choices=(CUT, REFUSE))
    maximum_samples: int = param(
        400, "Most samples held in memory; a seeded random part above", low=8, high=100_000
    )


def make(rows: FitRows, params: TuckerParams, rng, progress) -> Fitted:
    """Raises NotEnoughData for a tap without tokens."""
    block = fitted_block(
        rows, params.lengths, params.maximum_samples, rng, lambda s, doing="": progress(0.1 * s, doing)
    )
    x, centre = about_centre(block.values, params.centre)
    asked = (params.sample_profiles, params.position_profiles, params.components)
    ranks, said = _possible(asked, x.shape), list(block.notes)
    if ranks[2] < params.components:
        said.append(f"There are no more than {ranks[2]} directions for so many profiles and units.")
    progress(0.2, "fitting")
    found = tucker(x, ranks)
    progress(0.7, "what mixed samples give")
    mixed = tucker(mixed_along_samples(x, rng), ranks, 10)
    energy = (found.core**2).sum(axis=(0, 1))
    said += [
        "The subspace of these directions is determined, each single one is not: any rotation of them fits as well.",
        f"Profiles explain {found.explained:.1%} of the samples that were fitted, {mixed.explained:.1%} where samples "
        "are mixed unit by unit. The codes of a row do not use profiles.",
    ]
    spectra = mode_spectra(x)
    return Fitted(
        found.factors[2].T, centre, caveats=tuple(said),
        components={"share of the squares": energy / found.total,
                    "strongest position profile": (found.core**2).sum(axis=0).argmax(axis=0)},
        facts={"explained_by_model": found.explained, "explained_of_mixed_samples": mixed.explained,
               "core": list(found.core.shape), "positions": x.shape[1],
               "mode_shares": {name: np.round(s[:SHOWN] ** 2 / found.total, 6)
                               for name, s in zip(block.modes, spectra, strict=True)},
               "position_profiles": np.round(found.factors[1].T, DIGITS)},
    )  # fmt: skip


def _possible(asked, shape) -> tuple[int, ...]:
    """Ranks that a core can have: none above its size, nor above the product of the others."""
    ranks = [min(a, size) for a, size in zip(asked, shape, strict=True)]
    for _ in range(3):
        ranks = [min(r, int(np.prod(ranks)) // r) for r in ranks]
    return tuple(ranks)


CLASSICAL = Classical(
    "tucker", "Tucker factors", "Directions of units that few profiles over positions explain; needs tokens",
    TuckerParams, ("Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",), make,
)  # fmt: skip
