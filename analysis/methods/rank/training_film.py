"""The film of a training: every large eigenvalue of the covariance from checkpoint to checkpoint, and where it jumps.

    λ_j(t) of the modes that are largest at the end, each followed by its pattern over the samples and not by its rank
    (`compute.subspaces.tracked_modes`); or the effective ranks of all eigenvalues, the staircase that jumps make.

A *jump* is a step between checkpoints in which a mode at least doubles and grows more than twice as fast as if its
whole growth were spread evenly over the checkpoints, beyond sampling error (one-sided, Benjamini-Hochberg over all
modes and steps). Even growth is the null of a jump; for the eigenvalues it is the largest one of unrelated units with
the same variances, for the ranks theirs.

When it lies: steps are seen only from small beginnings, and only where checkpoints are dense enough; modes of equal
eigenvalue mix, and then their overlap with their neighbours in time is low, which is counted; a mode that is not yet
there at the start is traced to noise; checkpoints spaced unevenly make even growth look uneven, for it is even over
checkpoints and not over time; what an augmentation or another data set shows may be other modes.

Cost: O(n d min(n, d)) for each checkpoint, memory O(n d) and 32 patterns a checkpoint.

References: J. B. Simon, M. Knutins, L. Ziyin, D. Geisz, A. J. Fetterman & J. Albrecht (2023), "On the stepwise nature
of self-supervised learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.sample_spectrum import log_interval, spectrum_of
from analysis.compute.linear.spectra import ranks
from analysis.compute.machine import machine
from analysis.compute.rows.checkpoint_steps import checkpoint_steps
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import gaussian_eigenvalues
from analysis.compute.subspaces.film_curves import mode_curves, rank_curves
from analysis.compute.subspaces.tracked_modes import CANDIDATES, Tracked, halfway, jumps_of, modes_of, tracked
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

EIGENVALUES, RANKS = "eigenvalues", "effective ranks"
FEWEST, DRAWS, MOVED = 8, 5, 5
LOST = 0.5  # overlap of a mode with itself at the next checkpoint, below which it counts as lost


@dataclass(frozen=True)
class TrainingFilmParams:
    show: str = param(EIGENVALUES, "Single modes, or the ranks made of all.", choices=(EIGENVALUES, RANKS))
    modes: int = param(8, "How many modes to follow: the largest at the last checkpoint.", low=1, high=50)
    steps: str = param("", "Training steps, separated by commas; empty: read from the names, or 1, 2, …")
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random part above.", low=50, high=100_000)


def training_film(
    *taps, params: TrainingFilmParams = TrainingFilmParams(), rng=None, progress=no_progress
) -> Curve:
    """Eigenvalues, or ranks, over training.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), three or more checkpoints in their order; samples matched by id.

    Returns
    -------
    Curve
        A series for each mode (squared units), or for each rank, with bands and null. Estimates: half-way step and
        largest growth of each mode, jumps, and the ranks of the first and the last checkpoint.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than three taps, or steps that do not rise with them; equal samples; fewer than eight common samples;
        over 4 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if len(taps) < 3:
        raise ParameterError(f"{len(taps)} tap(s)", "three checkpoints or more, in their order")
    names = tap_names([t.name for t in taps])
    steps, numbered = checkpoint_steps(params.steps, names)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    modes, spectra, chance = [], [], []
    for i, x in enumerate(data.values):
        progress(0.3 + 0.7 * i / len(taps), f"decomposing {names[i]}")
        modes.append(modes_of(x, params.modes))
        found = spectrum_of(x)
        spectra.append((list(ranks(found.eigenvalues).values()), found.rank_changes()))
        chance.append(gaussian_eigenvalues(x.var(axis=0, ddof=1), len(x), rng, DRAWS))
    film = tracked(modes, params.modes)
    jumps, p = jumps_of(film)
    estimates = _estimates(film, steps, p, spectra, chance, data.values)
    progress(1.0, "done")
    drawn = rank_curves(spectra, chance) if params.show == RANKS else mode_curves(film, chance)
    return Curve(
        title=f"Training film of {names[0]} to {names[-1]}",
        reading=_reading(film, steps, jumps, estimates, data.ids), estimates=estimates,
        caveats=(*data.notes, *_caveats(film, numbered)), x=steps, x_name="training step" if numbered else "checkpoint",
        x_labels=() if numbered else names,
        y_name="effective rank" if params.show == RANKS else "eigenvalue of the covariance",
        log_x=bool(numbered and (steps > 0).all()), **drawn,
    )  # fmt: skip


def _estimates(film: Tracked, steps, p, spectra, chance, values) -> tuple[Estimate, ...]:
    n, out = len(values[0]), []
    growth, error, half = film.growth(), film.growth_error(), halfway(steps, film.eigenvalues)
    for j in range(growth.shape[1]):
        i = int(growth[:, j].argmax())
        g, e = growth[i, j], 1.959964 * error[i, j]
        made = {"n": n, "d": values[-1].shape[1]}
        out.append(Estimate(
            f"mode {j + 1}: largest growth of a step, to {steps[i + 1]:g}", float(np.exp(g)), float(np.exp(g - e)),
            float(np.exp(g + e)), interval="infinitesimal jackknife over samples, paired", unit="times",
            null=float(np.exp(growth[:, j].mean())),
            null_method="its growth spread evenly over the checkpoints; p: of twice that, or of doubling",
            p_value=float(p[i, j]), estimator="ratio of eigenvalues", **made,
        ))  # fmt: skip
        if np.isfinite(half[j]):
            out.append(
                Estimate(
                    f"mode {j + 1}: half-way", float(half[j]), estimator="ln λ between checkpoints", **made
                )
            )
    for i, said in ((0, "first"), (-1, "last")):
        value, changes = spectra[i]
        low, high = log_interval(np.array(value), changes)
        null = np.mean([list(ranks(row).values()) for row in chance[i]], axis=0)
        for r, name in enumerate(ranks(np.ones(2))):
            out.append(Estimate(
                f"{said} checkpoint: {name}", float(value[r]), float(low[r]), float(high[r]), n=n, null=float(null[r]),
                interval="infinitesimal jackknife over samples", d=values[i].shape[1], estimator="plug-in",
                null_method=f"independent Gaussian units of the same variances, {DRAWS} draws",
            ))  # fmt: skip
    return tuple(out)


def _reading(film: Tracked, steps, jumps, estimates, ids) -> str:
    first, last = (
        next(e for e in estimates if e.name.startswith(f"{s} checkpoint: entropy")) for s in ("first", "last")
    )
    said = f"The entropy rank of λ goes from {first.value:.1f} to {last.value:.1f}. "
    k = film.eigenvalues.shape[1]
    if not jumps.any():
        which = f"None of the {k} modes" if k > 1 else "The mode that is followed does not jump"
        return said + (f"{which} jumps" if k > 1 else which) + ": no step is beyond even growth."
    at = np.argwhere(jumps)
    i, j = at[np.argmax(film.growth()[jumps])]
    moved = np.diff(film.patterns[:, :, j] * np.sqrt(film.eigenvalues[:, j])[:, None], axis=0)[i]
    most = ", ".join(ids[np.argsort(-np.abs(moved), kind="stable")[:MOVED]])
    unsure = int((film.overlaps[jumps] < LOST).sum())
    where = f" In {unsure} of these steps the mode is hardly the same before and after." if unsure else ""
    return said + (
        f"{len(set(at[:, 1].tolist()))} of the {k} modes jump, in {len(at)} step(s). The largest jump is that of "
        f"mode {j + 1} from step {steps[i]:g} to {steps[i + 1]:g}, {np.exp(film.growth()[i, j]):.3g} times; the "
        f"samples that move most along it are {most}.{where}"
    )


def _caveats(film: Tracked, numbered: bool) -> list[str]:
    lost = int((film.overlaps < LOST).sum())
    n = film.patterns.shape[1]
    notes = []
    if not numbered:
        notes.append("The names give no training steps: checkpoints are counted 1, 2, ….")
    if lost:
        notes.append(
            f"{lost} of {film.overlaps.size} links between neighbouring checkpoints have an overlap below {LOST:g} "
            f"(by chance {1 / (n - 1):.2g}): there modes mix or are not there yet, and growth across them means little."
        )
    notes.append("Growth is called a jump against even growth over the checkpoints, however they are spaced.")
    return notes


def _cost(shapes, params: TrainingFilmParams) -> Cost:
    m, seconds, held = machine(), 0.0, 0.0
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    for _, d in shapes:
        side = min(n, d)
        seconds += m.seconds(flops64=8.0 * n * d * side + (40 + 25.0 * DRAWS) * side**3 + 25.0 * DRAWS * d**3)
        held += 8.0 * n * (d + 2 * min(CANDIDATES * params.modes, side) + 3)
    widest = max(d for _, d in shapes)
    return Cost(seconds + 0.02, held + 8.0 * (4 * n * widest + 6 * widest**2))


def barlow_twins(gamma: np.ndarray, start: float, t: np.ndarray) -> np.ndarray:
    """(S, k) singular values of a linear network under the Barlow Twins loss from small, aligned weights."""
    grown = np.exp(8 * gamma * t[:, None])
    return np.sqrt(grown) / np.sqrt(start**-2.0 + (grown - 1) * gamma)


def _check() -> tuple[CheckLine, ...]:
    """A linear network under the Barlow Twins loss, in closed form: modes rise one after the other in the order of γ,
    to γ^(-1/2), so that the last to come overtakes all. A network that grows evenly has no jump."""
    rng = np.random.default_rng(34)
    gamma, t = np.array([1.0, 0.5, 0.25]), np.linspace(0.01, 12, 40)
    s = barlow_twins(gamma, 1e-2, t)
    patterns = rng.standard_normal((60, 3))
    patterns = np.linalg.qr(patterns - patterns.mean(axis=0))[0] * np.sqrt(59)
    turns = [np.linalg.qr(rng.standard_normal((6, 6)))[0][:3] for _ in t]

    def film(at):
        taps = ((patterns * a) @ turns[i] for i, a in enumerate(s[at]))
        said = ",".join(f"{v:.6f}" for v in t[at])
        return training_film(*taps, params=TrainingFilmParams(modes=3, steps=said))

    found, coarse = film(slice(None)), film(slice(None, None, 3))
    expected = np.log(1 / (gamma * 1e-4) - 1) / (8 * gamma)
    half = [next(e.value for e in found.estimates if e.name == f"mode {j}: half-way") for j in (1, 2, 3)]
    worst = max(np.abs(found.series[f"mode {3 - j}"] / s[:, j] ** 2 - 1).max() for j in range(3))
    even = [np.hstack([patterns * np.exp(0.3 * i), rng.standard_normal((60, 2))]) for i in range(6)]
    calm = training_film(*even, params=TrainingFilmParams(modes=3))
    return (
        *(CheckLine(f"half-way of mode {3 - j}", float(expected[j]), half[2 - j], 0.1) for j in range(3)),
        CheckLine("largest error of an eigenvalue over time", 0.0, float(worst), 1e-8),
        CheckLine("modes that jump", 1.0, float("3 of the 3 modes jump" in coarse.reading), 0.0),
        CheckLine("even growth: no jump", 1.0, float("None of the 3" in calm.reading), 0.0),
    )


METHODS = (
    Method(
        id="training_film", family="rank", title="Training film of eigenvalues", version=2, function=training_film,
        summary="Every large eigenvalue from checkpoint to checkpoint, followed through crossings, with its jumps.",
        params=TrainingFilmParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating or shifting the activations of any checkpoint on its own",
        papers=("On the Stepwise Nature of Self-Supervised Learning",),
    ),
)  # fmt: skip
