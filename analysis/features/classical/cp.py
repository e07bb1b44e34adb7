"""CP factors: features that have one profile over the positions and one over the samples.

    X[i, t] ≈ m[t] + Σ_r w_r a_r[i] b_r[t] d_r        sample i, position t;   d_r, of length 1, the directions
    codes of any row: least squares, argmin |x - centre - c D|²; over c >= 0 where nothing may be negative

m[t] is the mean of a position (or of all rows, or 0). A direction is a feature that comes and goes over the positions
in the same way in every sample, more or less of it. Unlike principal components such directions are unique up to order
and sign, as long as the profiles differ (Kruskal's condition, see "How many components of samples × positions ×
units"): orthogonality is not what singles them out. Where what a position shows depends on the sample, as in most text,
few components leave most over: `explained_by_model` beside the same number for samples mixed unit by unit says how far
the model goes. Codes of a row do not use the profiles. Fitted by alternating least squares from several starts.
Position profiles can be made smooth (a Gaussian process, functional CP after the functional Tucker model). O(n t d k)
for each sweep; one block in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.tensors.asking import ANY, NOT_NEGATIVE, signed_modes
from analysis.compute.tensors.blocks import ALL, CUT, EACH, ORIGIN, REFUSE
from analysis.compute.tensors.cp import SWEEPS, Components, core_consistency, cp, worst_cancelling
from analysis.compute.tensors.products import mixed_along_samples
from analysis.compute.tensors.smoothing import chosen_smoothness, smoothed
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.tensor_rows import about_centre, fitted_block
from analysis.spec import param

ROUGH, SMOOTH = "as fitted", "smooth"
CANCELLING, ENOUGH = -0.85, 6  # product of cosines that is called degenerate; positions that smoothing needs
DIGITS = 4


@dataclass(frozen=True)
class CPParams:
    components: int = param(8, "How many features", low=1, high=256)
    signs: str = param(
        ANY, "Whether profiles may be negative; directions may all the same where activations are",
        choices=(ANY, NOT_NEGATIVE),
    )  # fmt: skip
    profiles: str = param(
        ROUGH, "Whether profiles over positions are smooth, with a length that foretells positions left out",
        choices=(ROUGH, SMOOTH), label="position profiles",
    )  # fmt: skip
    centre: str = param(
        EACH, "What activations are taken about for the fit: the mean at each position, the mean of all rows, or the "
        "origin", choices=(EACH, ALL, ORIGIN),
    )  # fmt: skip
    lengths: str = param(CUT, "What to do with samples of different lengths", choices=(CUT, REFUSE))
    starts: int = param(3, "Seeded starts, the best of which counts", low=1, high=20)
    maximum_samples: int = param(
        400, "Most samples held in memory; a seeded random part above", low=8, high=100_000
    )


def make(rows: FitRows, params: CPParams, rng, progress) -> Fitted:
    """Raises NotEnoughData for a tap without tokens."""
    block = fitted_block(
        rows, params.lengths, params.maximum_samples, rng, lambda s, doing="": progress(0.1 * s, doing)
    )
    plain = params.signs == NOT_NEGATIVE
    x, centre = about_centre(block.values, ORIGIN if plain else params.centre)
    refuse_more_than(
        params.components, min(len(x) * x.shape[1], x.shape[2] * x.shape[1]), "profiles", rows.name
    )
    signs, more = signed_modes(x) if plain else ((), [])

    def told(share: float) -> None:
        progress(0.1 + 0.6 * share, "fitting")

    found = cp(x, params.components, rng, nonnegative=signs, starts=params.starts, tick=told)
    said, facts = [*block.notes, *more], {}
    if params.profiles == SMOOTH:
        progress(0.7, "finding how smooth profiles are")
        found, facts = _smooth(x, found, block.places, signs, rng, said)
    progress(0.9, "what mixed samples give")
    mixed = cp(mixed_along_samples(x, rng), params.components, rng, nonnegative=signs, starts=1, sweeps=50)
    said += _caveats(found, mixed, x, core := core_consistency(x, found), params)
    decoder = found.factors[2].T
    return Fitted(
        decoder, centre, rules.NONNEGATIVE if plain else rules.LINEAR,
        encoder=None if plain else np.linalg.pinv(decoder), caveats=tuple(said),
        components=_components(found),
        facts={"explained_by_model": found.explained, "explained_of_mixed_samples": mixed.explained,
               "core_consistency": core, "positions": x.shape[1],
               "position_profiles": np.round(found.factors[1].T, DIGITS), **facts},
    )  # fmt: skip


def _smooth(x, found: Components, places, signs, rng, said: list[str]) -> tuple[Components, dict]:
    if x.shape[1] < ENOUGH:
        said.append(f"{x.shape[1]} positions are too few to say how smooth profiles are: they are as fitted.")
        return found, {}
    chosen = chosen_smoothness(x, len(found.weights), 1, places, rng, signs)
    facts = {"smoothness": {"length": chosen.scale, "noise": chosen.noise, "held_out_error": chosen.error}}
    if not chosen.helps:
        said.append(
            "No smooth curve foretold a position from the others better than chance: profiles are as fitted."
        )
        return found, facts
    said.append(
        f"Profiles are smooth over {chosen.scale:g} position(s): at positions left out that leaves {chosen.error:.0%} "
        "of what the mean profile leaves."
    )
    return smoothed(x, found, 1, places, chosen, signs)[0], facts


def _components(found: Components) -> dict[str, np.ndarray]:
    energy = found.factors[1] ** 2
    return {
        "weight": found.weights, "share of the codes": found.weights**2 / (found.weights**2).sum(),
        "strongest position": np.abs(found.factors[1]).argmax(axis=0),
        "positions used": 1 / (energy**2).sum(axis=0),
    }  # fmt: skip


def _caveats(found: Components, mixed: Components, x, core: float, params: CPParams) -> list[str]:
    said = [
        f"Profiles explain {found.explained:.1%} of the samples that were fitted, {mixed.explained:.1%} where samples "
        "are mixed unit by unit. The codes of a row do not use profiles."
    ]
    if len(found.weights) < params.components:
        said.append(
            f"{params.components - len(found.weights)} feature(s) were never active and were left out."
        )
    if not found.settled:
        said.append(f"Not settled after {SWEEPS} sweeps: another run may look somewhat different.")
    if worst_cancelling(found) < CANCELLING:
        said.append(
            "Two components nearly cancel each other: there are too many, and their weights mean nothing."
        )
    if core < 50:
        said.append(
            f"Core consistency is {core:.0f} of 100: profiles of different components go together, as they do where "
            "there are too many components or none that are CP. Use fewer, or Tucker."
        )
    if len(found.weights) > x.shape[2]:
        said.append(f"More features than the {x.shape[2]} units: codes are the shortest that fit.")
    return said


CLASSICAL = Classical(
    "cp", "CP factors", "Features with one profile over positions and one over samples; needs tokens", CPParams,
    ("Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",
     "Strivec: Sparse Tri-Vector Radiance Fields"), make,
)  # fmt: skip
