"""The eigenvalues of the linear map that carries sequences one step on: which modes decay, persist or turn.

Eigenvalues κ of K (`compute.linear.koopman`), conjugate pairs as one mode: magnitude |κ| (on the unit circle the mode
persists, inside it decays), frequency |arg κ| / 2π in cycles a step, and energy, the mean square of the mode's
amplitude over that of all. With the standard error of |κ| (jackknife over sequences, each refit's nearest eigenvalue).

Null: the rows of each sequence in random order; a mode counts as dynamics where |κ| exceeds the largest of every draw.

When it lies: eigenvectors are not orthogonal, so energies overlap and do not add up to that of the data, and a large
condition number makes single eigenvalues meaningless; noise pulls all eigenvalues inwards (a persistent mode in noise
seems to decay); a frequency above one half a step looks like a lower one.

Cost: O(m d²) for ten groups and ten draws; memory O(m d).

References: P. J. Schmid (2010), "Dynamic mode decomposition of numerical and experimental data"; X. Cheng et al.
(2025), "Information shapes Koopman representation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.linear.koopman import Sequences, StepMap, sequences_of, step_map
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_error, sample_groups
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 10
HELP = {
    "mode": "Number of the mode, by falling magnitude.",
    "magnitude": "|κ|: 1 persists, below 1 decays by this factor each step.",
    "error": "Standard error of the magnitude, jackknife over groups of sequences.",
    "frequency": "Cycles a step; 0 for a mode that does not turn.",
    "real": "Real part of κ.",
    "imaginary": "Imaginary part of κ, of a pair the positive one.",
    "energy": "Mean squared amplitude over that of all modes; modes overlap.",
    "beyond shuffled time": "Whether the magnitude exceeds the largest of every shuffled draw.",
}


@dataclass(frozen=True)
class KoopmanModesParams:
    share: float = param(0.999, "Share of the variance that the axes of the map hold.", low=0.5, high=1.0)
    maximum_rows: int = param(20_000, "Most rows: the first sequences.", low=50, high=500_000)


def koopman_modes(
    activations, params: KoopmanModesParams = KoopmanModesParams(), rng=None, progress=no_progress
) -> Table:
    """Modes of the one-step map.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Rows of a sample are consecutive times; of a tap without tokens all rows are.

    Returns
    -------
    Table
        A row for each real eigenvalue or conjugate pair. Estimates: the largest magnitude and the condition number.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        As `koopman_health`.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = sequences_of(activations, params.maximum_rows, rng, progress)
    model = step_map(data, params.share)
    values, energy = _modes(data, model)
    null = []
    for i in range(DRAWS):
        progress(0.2 + 0.04 * i, "shuffling time")
        null.append(np.abs(step_map(data.shuffled(rng), params.share).eigenvalues()).max())
    nearest = []
    for left in sample_groups(data.groups, rng):
        progress(0.6, "leaving sequences out")
        other = step_map(data.only(~np.isin(data.group, left)), params.share).eigenvalues()
        nearest.append(np.abs(other[np.abs(values[:, None] - other).argmin(axis=1)]))
    error, size = jackknife_error(np.array(nearest)), np.abs(values)
    beyond = size > np.max(null)
    columns = {
        "mode": np.arange(1, len(values) + 1), "magnitude": size, "error": error,
        "frequency": np.abs(np.angle(values)) / (2 * np.pi), "real": values.real, "imaginary": values.imag,
        "energy": energy, "beyond shuffled time": beyond,
    }  # fmt: skip
    condition = model.condition()
    estimates = (
        Estimate(
            "largest magnitude", float(size[0]), max(float(size[0] - 1.96 * error[0]), 0.0),
            float(size[0] + 1.96 * error[0]), interval="jackknife over groups of sequences", n=data.groups,
            d=data.x.shape[1], null_method=f"rows of each sequence in random order, {DRAWS} draws",
            estimator="least squares", **against(float(size[0]), np.array(null)),
        ),
        Estimate("condition number of the eigenvectors", condition, n=data.groups, d=data.x.shape[1], null=1.0,
                 null_method="a normal map", estimator="unit eigenvectors"),
    )  # fmt: skip
    progress(1.0, "done")
    return Table(
        title=f"Koopman modes of {activations.name}", reading=_reading(values, beyond, estimates),
        caveats=(*data.notes, *_caveats(data, model, condition)), estimates=estimates, columns=columns, index="mode",
        sort="magnitude", help=HELP,
    )  # fmt: skip


def _modes(data: Sequences, model: StepMap) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (modes,), of pairs the one above the real axis, by falling magnitude; energies (modes,) of sum 1."""
    values, vectors = np.linalg.eig(model.matrix)
    amplitude = np.linalg.pinv(vectors) @ ((data.x - model.mean) @ model.basis.T).T
    energy = (np.abs(amplitude) ** 2).mean(axis=1)
    tiny = 1e-12 * np.abs(values).max()
    upper = values.imag >= -tiny
    energy = np.where(np.abs(values.imag) > tiny, 2.0, 1.0) * energy
    values, energy = values[upper], energy[upper]
    order = np.argsort(-np.abs(values), kind="stable")
    return values[order], (energy / max(energy.sum(), 1e-300))[order]


def _reading(values, beyond, estimates) -> str:
    first, condition = estimates
    turns = np.abs(np.angle(values[0])) / (2 * np.pi)
    how = f"turns {turns:.3f} times a step" if turns > 1e-9 else "does not turn"
    return (
        f"{int(beyond.sum())} of {len(values)} modes last longer than any of shuffled time. The largest has magnitude "
        f"{first.value:.3f} (shuffled {first.null:.3f}) and {how}. The eigenvectors have the condition number "
        f"{condition.value:.3g}, 1 if they were orthogonal."
    )


def _caveats(data: Sequences, model: StepMap, condition: float) -> list[str]:
    notes = [
        f"The map lives on {len(model.basis)} of {data.x.shape[1]} principal axes.",
        "Noise pulls eigenvalues towards 0: a persistent mode in noise seems to decay.",
    ]
    if condition > 100:
        notes.append(
            "The eigenvectors are far from orthogonal: single eigenvalues and energies mean little here, and errors "
            "can grow for some steps although all modes decay."
        )
    return notes


def _cost(shapes, params: KoopmanModesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    side = min(n, d)
    flops = (DRAWS + 12) * (8.0 * n * d * side + 60.0 * side**3)
    return Cost(m.seconds(flops64=flops, moved=n * d * 8.0 * 100) + 0.02, 8.0 * (6.0 * n * d + 6 * d * d))


def _check() -> tuple[CheckLine, ...]:
    """Two planted rotations, one of them damped, and a decaying line: their magnitudes and frequencies to the digits.
    Energies of an orthogonal rotation of known amplitudes. White noise has no mode beyond shuffled time."""
    rng = np.random.default_rng(27)
    kappa = np.array([np.exp(2j * np.pi * 0.05), 0.9 * np.exp(2j * np.pi * 0.2), 0.7])
    start = rng.standard_normal((40, 3)) + 1j * rng.standard_normal((40, 3)) * [1, 1, 0]
    z = start[:, None] * kappa ** np.arange(15)[:, None]
    x = np.concatenate([z[..., :2].real, z[..., :2].imag, z[..., 2:].real], axis=2).reshape(600, 5)
    layout = Layout(np.arange(41) * 15)
    tap = ArrayActivations(x @ rng.standard_normal((5, 5)), layout=layout)
    found = koopman_modes(tap, KoopmanModesParams(share=1.0)).columns
    slow, fast = (np.exp(2j * np.pi * f * np.arange(400)) for f in (0.013, 0.21))
    both = np.c_[3 * slow.real, 3 * slow.imag, fast.real, fast.imag]
    energy = koopman_modes(both, KoopmanModesParams(share=1.0)).columns["energy"]
    noise = koopman_modes(rng.standard_normal((3000, 4)), KoopmanModesParams(share=1.0)).estimates[0]
    return (
        *(CheckLine(f"magnitude of mode {i + 1}", float(abs(k)), float(found["magnitude"][i]), 1e-8)
          for i, k in enumerate(kappa)),
        *(CheckLine(f"frequency of mode {i + 1}", f, float(found["frequency"][i]), 1e-8)
          for i, f in enumerate((0.05, 0.2, 0.0))),
        CheckLine("energy of a turn three times as wide", 0.9, float(energy.max()), 0.01),
        CheckLine("white noise: magnitude against shuffled time", noise.null, noise.value, 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="koopman_modes", family="rank", title="Koopman modes of sequences", version=1, function=koopman_modes,
        summary="Which modes of a sequence decay, persist or turn under the best linear map of one step.",
        params=KoopmanModesParams, result=Table, check=_check, cost=_cost, minimum_rows=21,
        invariance="shifting, or any invertible linear map where all axes are kept; energies: rotations only",
        papers=("Information Shapes Koopman Representation",),
    ),
)  # fmt: skip
