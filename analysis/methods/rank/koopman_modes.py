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

from analysis.activations import as_activations
from analysis.compute.linear.koopman import KoopmanParams
from analysis.compute.linear.koopman_modes import (
    mode_caveats,
    mode_estimates,
    modes_cost,
    planted_sequences,
    tap_modes,
)
from analysis.results import Table
from analysis.spec import CheckLine, Method, no_progress

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
class KoopmanModesParams(KoopmanParams):
    """As every view of the map."""


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
    data, found = tap_modes(activations, params, rng, progress)
    values, error, size, beyond = found.values, found.error, np.abs(found.values), found.beyond
    columns = {
        "mode": np.arange(1, len(values) + 1), "magnitude": size, "error": error,
        "frequency": np.abs(np.angle(values)) / (2 * np.pi), "real": values.real, "imaginary": values.imag,
        "energy": found.energy, "beyond shuffled time": beyond,
    }  # fmt: skip
    estimates = mode_estimates(found, data.groups, data.x.shape[1])
    progress(1.0, "done")
    return Table(
        title=f"Koopman modes of {activations.name}", reading=_reading(values, beyond, estimates),
        caveats=(*data.notes, *mode_caveats(found, data.x.shape[1])), estimates=estimates, columns=columns,
        index="mode", sort="magnitude", help=HELP,
    )  # fmt: skip


def _reading(values, beyond, estimates) -> str:
    first, condition = estimates
    turns = np.abs(np.angle(values[0])) / (2 * np.pi)
    how = f"turns {turns:.3f} times a step" if turns > 1e-9 else "does not turn"
    return (
        f"{int(beyond.sum())} of {len(values)} modes last longer than any of shuffled time. The largest has magnitude "
        f"{first.value:.3f} (shuffled {first.null:.3f}) and {how}. The eigenvectors have the condition number "
        f"{condition.value:.3g}, 1 if they were orthogonal."
    )


def _check() -> tuple[CheckLine, ...]:
    """Two planted rotations, one of them damped, and a decaying line: their magnitudes and frequencies to the digits.
    Energies of an orthogonal rotation of known amplitudes. White noise has no mode beyond shuffled time."""
    rng = np.random.default_rng(27)
    kappa = np.array([np.exp(2j * np.pi * 0.05), 0.9 * np.exp(2j * np.pi * 0.2), 0.7])
    found = koopman_modes(planted_sequences(kappa, rng), KoopmanModesParams(share=1.0)).columns
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
        params=KoopmanModesParams, result=Table, check=_check, cost=modes_cost, minimum_rows=21,
        invariance="shifting, or any invertible linear map where all axes are kept; energies: rotations only",
        papers=("Information Shapes Koopman Representation",),
    ),
)  # fmt: skip
