"""How does the subspace turn when a place is hidden? The principal angles behind the heat of each place.

The heat of *What does hiding each place do?* is one number, 1 - mean cos² θ_i; here are the angles θ_1 ≤ … ≤ θ_k
themselves, in degrees, for each hidden place, between the subspace of the sample under augmentations and that of the
same augmentations with the place hidden:

    0° 0° 90°       one direction is lost and the others stay
    30° 30° 30°     everything turns a little

Two places of the same heat can differ in this. The places of the first rows turn the subspace most.

Null of a cell: the same angle of two random subspaces; below stands what other samples under the same augmentations
give, with its interval over them.

When it lies: as the heat; small angles are of directions that the augmentations themselves make, the last angle is the
one that noise turns first; angles have an order and no names, so that θ_2 of two places need not be one direction.

Cost: as the heat, of which nothing is asked again but the angles.

Reference: P. Valois, K. Niinuma & K. Fukui (2024), "Occlusion sensitivity analysis with augmentation subspace
perturbation in deep feature space".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.hidden_places import ACROSS
from analysis.attribution.turned_subspaces import FEWEST, OccludedParams, Turned, caveats_of, turned_subspaces
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.random_subspaces import random_angles
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FIRST, SECOND = "mean of other samples", "blurred, or another sample"
DRAWS, MOST_UNITS = (
    100,
    2048,
)  # of random subspaces; units from which on angles of fewer are the same to the eye


@dataclass(frozen=True)
class OcclusionAnglesParams(OccludedParams):
    fill: str = param(FIRST, "What stands in a hidden place.", choices=(FIRST, SECOND))
    shown: int = param(40, "Most places that are shown, those that turn most.", low=1, high=4096)


def occlusion_angles(
    activations, params: OcclusionAnglesParams = OcclusionAnglesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Principal angles for every hidden place of one sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        (places, k) degrees, places that turn most first. Estimates: largest angle of the hottest place, angles of
        other samples, how even the angles of the hottest place are.

    Raises
    ------
    NotFound, NotEnoughData, InputError, ParameterError, TooLarge
        No such sample; fewer than eight samples; the network does not give what the tap recorded; as many dimensions
        as versions.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = turned_subspaces(tap, params, rng, progress)
    f = (FIRST, SECOND).index(params.fill)
    random = np.degrees(random_angles(found.k, found.k, tap.shape[1], rng, DRAWS))
    order = np.argsort(-found.heats[f], kind="stable")[: params.shown]
    angles = degrees(found.squares[f][order])
    names = found.places.players.names
    estimates = _estimates(found, f, angles, random, tap.shape[1])
    progress(1.0, "done")
    return Matrix(
        title=f"Angles by which hiding a place of sample {params.sample} turns {tap.name}",
        reading=_reading(names[order[0]], angles[0], estimates, params),
        caveats=(*found.notes, *caveats_of(found), f"Filled with: {found.fills[f]}."), estimates=estimates,
        values=angles, row_names=tuple(f"{names[i]} (heat {found.heats[f, i]:.2g})" for i in order),
        column_names=tuple(f"θ{i + 1}" for i in range(found.k)), value_name="angle (degrees)",
        null=np.broadcast_to(random.mean(axis=0), angles.shape).copy(), limits=(0.0, 90.0),
    )  # fmt: skip


def degrees(squares: np.ndarray) -> np.ndarray:
    """Angles of cos², rising along the last axis."""
    return np.degrees(np.arccos(np.sqrt(np.clip(squares, 0.0, 1.0))))


def _estimates(found: Turned, f: int, angles, random, d: int) -> tuple[Estimate, ...]:
    last, others = angles[0, -1], degrees(found.apart_squares)
    made = [
        Estimate("largest angle of the hottest place", float(last), **against(float(last), random[:, -1]),
                 interval="none: of this sample alone",
                 null_method=f"{DRAWS} pairs of random subspaces", unit="degrees", n=found.heats.shape[1], d=d,
                 estimator="largest principal angle"),
    ]  # fmt: skip
    for name, values, null in (
        ("largest angle of another sample", others[:, -1], random[:, -1]),
        ("smallest angle of another sample", others[:, 0], random[:, 0]),
    ):
        made.append(Estimate(
            name, float(values.mean()), **mean_interval(values, 0.0, 90.0), null=float(null.mean()),
            null_method=f"{DRAWS} pairs of random subspaces", unit="degrees", n=len(values), d=d,
            estimator="principal angle to other samples under the same augmentations, mean",
        ))  # fmt: skip
    lost = np.sin(np.radians(angles[0])) ** 2
    if len(lost) > 1 and lost.sum() > 0:
        made.append(Estimate(
            "share of the heat in the largest angle", float(lost[-1] / lost.sum()),
            interval="none: of this sample alone", null=1 / len(lost),
            null_method="all angles alike", n=len(lost), d=d, estimator="sin² of the largest / their sum",
        ))  # fmt: skip
    return tuple(made)


def _reading(name: str, angles, estimates, params) -> str:
    said = ", ".join(f"{a:.0f}°" for a in angles[:6]) + " …" * (len(angles) > 6)
    return (
        f"In sample {params.sample} hiding {name} turns the subspace most, by {said}; another sample "
        f"turns it by up to {estimates[1].value:.0f}°, random subspaces are {estimates[0].null:.0f}° apart."
    )


def _cost(shapes, params: OcclusionAnglesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    passes = params.augmentations * (2 * ACROSS**2 + params.others + 1)
    held = 24.0 * min(n, max(4 * params.others, 50)) * d + 120.0 * params.augmentations * d + 1.5e5
    return Cost(5.0 + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """One vector without augmentation: the angle of two means; what is hidden by itself turns nothing."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((12, 4, 9))
    x[5, 3] = x[np.arange(12) != 5, 3].mean(axis=0)
    tap = ArrayActivations(x.reshape(-1, 9), layout=Layout(np.arange(13, dtype=np.int64) * 4))
    found = occlusion_angles(tap, OcclusionAnglesParams(sample=5, augmentations=1, dimensions=1, others=11))
    gone = x[5].copy()
    gone[0] = x[np.arange(12) != 5, 0].mean(axis=0)
    f, g = x[5].mean(axis=0), gone.mean(axis=0)
    known = np.degrees(np.arccos(abs(f @ g) / np.linalg.norm(f) / np.linalg.norm(g)))
    at = [i for i, name in enumerate(found.row_names) if name.startswith("token 0")]
    return (
        CheckLine("angle of the means", known, float(found.values[at[0], 0]), 1e-6),
        CheckLine("hidden by what stands there", 0.0, float(found.values[-1, 0]), 0.0),
        CheckLine("one direction of three lost", 90.0, float(degrees(np.array([1.0, 1.0, 0.0]))[-1]), 1e-12),
    )


METHODS = (
    Method(
        id="occlusion_angles", family="attribution", title="Angles behind the heat of a place", version=1,
        function=occlusion_angles,
        summary="The principal angles by which a sample's subspace of augmented features turns, place by place.",
        params=OcclusionAnglesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or rescaling all units of the tap together (not centred)",
        papers=("Occlusion sensitivity with augmentation subspaces (OSA-DAS)",), libraries=("torch",),
    ),
)  # fmt: skip
