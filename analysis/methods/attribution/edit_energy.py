"""Where was something added? Energy of the change between two recordings of the same samples, position by position.

    e(p) = Σ_units (x_refined - x_init)²    at position p,    inside share = Σ_{p in mask} e(p) / Σ_p e(p)

The mask holds the *critical* positions of each sample: those of the largest values of a third tap (a class activation
map), or, without one, those where the first recording has most energy. Taps may be images, or any map of a network.

Null: the masks of other samples, which keep what place alone gives. Interval: Student's t over samples.

When it lies: energy at a late layer is not where pixels changed, since every position there looks at many; a mask by
energy is not what the answer hangs on; a change that is the same everywhere has its share inside by the size of the
mask alone; samples without any change have no share and are left out of it.

Cost: O(n P units); memory the same.

References: M.-T. Tran et al. (2025), "Enhancing dataset distillation via non-critical region refinement".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.sample_maps import sample_maps
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import bootstrap_mean, null_spread, share_over
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData, ParameterError, ShapeError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, EXCHANGES = 8, 50


@dataclass(frozen=True)
class EditEnergyParams:
    critical: float = param(0.25, "Share of the positions that the mask holds.", low=0.01, high=0.99)
    shown: int = param(12, "Samples that are drawn, those that changed most.", low=1, high=200)
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=8, high=20_000)


def edit_energy(
    *taps, params: EditEnergyParams = EditEnergyParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Energy of a change, inside and outside a mask.

    Parameters
    ----------
    *taps : Activations of the same samples with the same positions: the first and the refined recording, of equally
        many units, and, as a third, a map whose largest values are the mask.

    Returns
    -------
    TokenMap
        Energy by position, of the samples that changed most. Estimates: share inside the mask, energy inside and
        outside by position, samples that changed at all.

    Raises
    ------
    ParameterError, ShapeError, NotEnoughData, InputError, TooLarge
        More than three taps, other numbers of units or samples; fewer than eight finite samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if not 2 <= len(taps) <= 3:
        raise ParameterError(f"{len(taps)} tap(s)", "the first, the refined and perhaps a mask")
    if taps[0].shape[1] != taps[1].shape[1]:
        raise ShapeError(
            f"{taps[1].name} has {taps[1].shape[1]} units", f"{taps[0].shape[1]}, as {taps[0].name}"
        )
    found = sample_maps(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=(0.0, 0.6)
    )
    whole = taps[0].layout.grid is not None and found.positions > 1
    skip = taps[0].layout.leading if whole else 0
    first, refined, *more = (v[:, skip:] for v in found.values)
    progress(0.7, "measuring")
    energy = ((refined - first) ** 2).sum(axis=2)
    guide = more[0].mean(axis=2) if more else (first**2).sum(axis=2)
    mask = mask_of(guide, params.critical)
    changed = energy.sum(axis=1) > 0
    if 0 < changed.sum() < FEWEST:
        raise NotEnoughData(
            f"{int(changed.sum())} sample(s) that changed", f"at least {FEWEST}, or none", "Use more"
        )
    order = np.argsort(-energy.sum(axis=1), kind="stable")[: params.shown]
    estimates = _estimates(energy, mask, changed, first.shape[2], rng)
    progress(1.0, "done")
    notes = [f"The mask holds the {mask[0].sum()} of {mask.shape[1]} positions where "
             + (f"{taps[2].name} is largest." if more else f"{taps[0].name} has most energy; a map of importance as a "
                "third tap would say more.")]  # fmt: skip
    if mask.shape[1] == 1:
        notes.append("There is one position only: it is inside.")
    return TokenMap(
        title=f"Where {taps[1].name} differs from {taps[0].name}", reading=_reading(estimates, changed),
        caveats=(*found.notes, *notes, *_left_out(taps)), estimates=estimates, values=energy[order],
        samples=found.samples[order].astype(np.int64), value_name="energy of the change",
        grid=taps[0].layout.grid if whole else None,
    )  # fmt: skip


def mask_of(guide: np.ndarray, share: float) -> np.ndarray:
    """(n, P) bool: the positions of the largest values of `guide` (n, P), so many of each sample, at least one."""
    count = max(1, round(share * guide.shape[1]))
    rank = np.argsort(np.argsort(-guide, axis=1, kind="stable"), axis=1, kind="stable")
    return rank < count


def _inside(energy: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(n,) share of each sample's energy in its mask; NaN without any energy."""
    total = energy.sum(axis=1)
    return np.where(total > 0, (energy * mask).sum(axis=1) / np.where(total > 0, total, 1.0), np.nan)


def _estimates(energy, mask, changed, d: int, rng) -> tuple[Estimate, ...]:
    n, out = len(energy), []
    size = float(mask.mean())
    if changed.any():
        e, m = energy[changed], mask[changed]
        own = _inside(e, m)
        null = np.array([_inside(e, m[rng.permutation(len(m))]).mean() for _ in range(EXCHANGES)])
        out.append(Estimate("share of the energy inside the mask", float(own.mean()), **mean_interval(own, 0.0, 1.0),
                            **null_spread(null), null_method="masks of other samples", n=len(own), d=d,
                            estimator="mean over samples that changed"))  # fmt: skip
        out.append(Estimate("over an even change", float(own.mean()) / size,
                            **{k: v / size if k != "interval" else v for k, v in mean_interval(own, 0.0, 1.0).items()},
                            null=1.0, null_method="a change that is the same everywhere", n=len(own), d=d,
                            estimator="share inside / share of the positions in the mask"))  # fmt: skip
    total = energy.sum(axis=1)
    low, high = (float(v) for v in bootstrap_mean(total, rng, draws=300))
    mean = float(total.mean())
    out.append(
        Estimate(
            "energy of the change",
            mean,
            min(low, mean),
            max(high, mean),
            interval="bootstrap over samples",
            null=0.0,
            null_method="no change",
            n=n,
            d=d,
            estimator="squared distance, mean over samples",
        )
    )
    out.append(
        Estimate(
            "share of the samples that changed",
            **share_over(changed, "samples"),
            null=0.0,
            n=n,
            d=d,
            null_method="no change",
        )
    )
    return tuple(out)


def _reading(estimates, changed) -> str:
    if not changed.any():
        return "Nothing changed: the energy is 0 everywhere."
    one, even = estimates[:2]
    return (
        f"{one.value:.0%} of the change lies inside the mask, {even.value:.2f} times what an even change would have "
        f"there ({one.null:.0%} inside the masks of other samples); {int(changed.sum()):,} of {len(changed):,} samples "
        "changed."
    )


def _left_out(taps) -> list[str]:
    lead = taps[0].layout.leading
    return (
        [f"{lead} token(s) before the grid are left out."] if lead and taps[0].layout.grid is not None else []
    )


def _cost(shapes, params: EditEnergyParams) -> Cost:
    m, (n, d) = machine(), shapes[0]
    rows = min(n, params.maximum_samples) if n else 0
    return Cost(m.seconds(moved=60.0 * n * d) + 0.02, 8.0 * rows * d * 3.5 * len(shapes) / 2 + 400.0 * rows)


def _check() -> tuple[CheckLine, ...]:
    """A change outside the mask alone has no energy inside, one inside alone all of it; equal recordings have none."""
    rng = np.random.default_rng(0)
    n, p = 12, 16
    x, cam = rng.random((n, p, 3)), rng.random((n, p))
    mask = mask_of(cam, 0.25)
    layout = Layout(np.arange(n + 1) * p, grid=(4, 4))
    tap = lambda v: ArrayActivations(v.reshape(n * p, -1), layout=layout)  # noqa: E731
    found = {
        name: edit_energy(tap(x), tap(x + change[:, :, None]), tap(cam)).estimates
        for name, change in (("outside", 1.0 * ~mask), ("inside", 2.0 * mask), ("even", np.ones((n, p))))
    }
    same = edit_energy(tap(x), tap(x), tap(cam)).estimates
    return (
        CheckLine("changed outside: energy inside", 0.0, found["outside"][0].value, 0.0),
        CheckLine("changed inside: energy inside", 1.0, found["inside"][0].value, 1e-12),
        CheckLine("an even change", 1.0, found["even"][1].value, 1e-12),
        CheckLine("energy of 4 positions, 3 units, by 2", 48.0, found["inside"][2].value, 1e-9),
        CheckLine("equal recordings", 0.0, same[0].value, 0.0),
    )


METHODS = (
    Method(
        id="edit_energy", family="attribution", title="Where something was added", version=1, function=edit_energy,
        summary="Energy of the change between two recordings of the same samples, inside and outside a mask.",
        params=EditEnergyParams, result=TokenMap, check=_check, cost=_cost, inputs=2, more_inputs=True, most_inputs=3,
        matches="rows", minimum_rows=FEWEST,
        invariance="shifting or rotating the units of both recordings alike; for shares, scaling them",
        papers=("Enhancing Dataset Distillation via Non-Critical Region Refinement",),
    ),
)  # fmt: skip
