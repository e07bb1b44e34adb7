"""How many latents an autoencoder needs: their deviations, what pruning the smallest costs, and the volume they fill.

First tap: latents z; second: what they stand for (inputs or reconstructions), of the same samples. Latents are ordered
by deviation σ, the largest first, and held at their mean one after the other from the end; drawn is the error of a
linear decoder fitted on all of them (`compute.linear.pruned_decoder`), on samples held out, over the number kept.

    volume = (Π (σ_i + η))^(1/m)

A volume means nothing while the decoder is free: z / c with a decoder times c is the same autoencoder with any volume.
It is given only for a decoder of known Lipschitz bound, multiplied by it; without one, for the linear decoder found
here, by its norm, and only where that decoder explains the targets. Otherwise there is none, and the reading says why.

Null: latents kept in random order (error); the volume of latents with equal deviations and the same sum of variances,
which is the largest possible. Intervals: bootstrap over samples, and first-order contributions (volume).

When it lies: a decoder that is not linear may need latents that the linear one does not, and the other way round; a
small deviation is no proof that a latent is idle where the decoder amplifies it; correlated latents fill less than the
product of their deviations.

Cost: O(m n p) and as much for each of ten random orders; memory O(n (m + p)).

References: Q. Chen & M. Fuge (2024), "Compressing latent space via least volume".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.pruned_decoder import PrunedErrors, pruned_errors
from analysis.compute.linear.sample_spectrum import log_interval
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import NotEnoughData, TooLarge
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

ORDERS, FEWEST, MOST_LATENTS = 10, 10, 2048
EXPLAINED = 0.2  # error of the linear decoder above which it stands for no decoder at all
ERROR, SIZE = "error with k latents", "deviation of latent k"


@dataclass(frozen=True)
class LatentVolumeParams:
    lipschitz: float | None = param(
        None, "Lipschitz bound of the network's decoder (spectral normalisation: 1); empty: it has none.", low=1e-6,
        high=1e6,
    )  # fmt: skip
    eta: float = param(0.0, "η, added to each deviation, as a share of the largest.", low=0.0, high=1.0)
    tolerance: float = param(
        0.01, "Error above that of all latents that counts as nothing lost.", low=1e-6, high=1.0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(5000, "Most samples; a seeded random part above.", low=50, high=200_000)


def latent_volume(
    latents, targets, params: LatentVolumeParams = LatentVolumeParams(), rng=None, progress=no_progress
) -> Curve:
    """Error over the number of latents kept, their deviations, and their volume where it means something.

    Parameters
    ----------
    latents, targets : Activations or arrays (rows, units)
        Matched by id, tokens pooled.

    Returns
    -------
    Curve
        x = latents kept, 0 .. m. Estimates: error with all, latents needed, volume.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than ten common samples, or no more than twice as many as latents; equal samples; more than 2,048 latents;
        over 4 GiB.
    """
    taps, rng = [as_activations(t) for t in (latents, targets)], rng or np.random.default_rng(0)
    names = tap_names([t.name for t in taps])
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    z, y = data.values
    n, m = z.shape
    if m > MOST_LATENTS:
        raise TooLarge(f"{m:,} latents", f"at most {MOST_LATENTS:,}", "Choose a narrower tap")
    if n < 2 * m + 4:
        raise NotEnoughData(
            f"{n:,} samples for {m:,} latents", f"at least {2 * m + 4:,}: each half of them must define a decoder",
            "Record more samples",
        )  # fmt: skip
    size = _deviations(z)
    order, fold = np.argsort(-size, kind="stable"), rng.permutation(np.arange(n) % 2)
    found = pruned_errors(z, y, order, fold)
    chance = []
    for i in range(ORDERS):
        progress(0.4 + 0.06 * i, "pruning in random order")
        chance.append(pruned_errors(z, y, rng.permutation(m), fold).relative())
    error, sizes = found.relative(), size[order] / size.max()
    ends = np.array([ratio_interval(lost, found.size, rng, draws=200) for lost in found.lost])
    estimates = _estimates(z, y, found, np.array(chance), order, params, ends)
    progress(1.0, "done")
    return Curve(
        title=f"Latents of {names[0]} needed for {names[1]}", reading=_reading(estimates, m, params),
        caveats=(*data.notes, *_caveats(z, size)), estimates=estimates, x=np.arange(m + 1), x_name="latents kept, k",
        y_name="share", series={ERROR: error, SIZE: np.r_[1.0, sizes]}, null={ERROR: np.mean(chance, axis=0)},
        low={ERROR: ends[:, 0]}, high={ERROR: ends[:, 1]},
    )  # fmt: skip


def needed(error: np.ndarray, tolerance: float) -> int:
    """Fewest latents whose error stays within `tolerance` of that of all, whatever is added."""
    return int(np.flatnonzero(np.r_[True, error[:-1] > error[-1] + tolerance])[-1])


def _estimates(z, y, found: PrunedErrors, chance, order, params, ends) -> tuple[Estimate, ...]:
    (n, m), error = z.shape, found.relative()
    made, how = {"n": n, "d": m}, f"latents in random order, {ORDERS} draws"
    counts = [needed(e, params.tolerance) for e in chance]
    out = [
        Estimate("error with all latents", float(error[-1]), float(ends[-1, 0]), float(ends[-1, 1]),
                 interval="bootstrap over samples", null=1.0, null_method="the mean of the targets",
                 estimator="linear decoder, samples held out", **made),
        Estimate("latents needed", needed(error, params.tolerance), null=float(np.mean(counts)),
                 null_low=float(min(counts)), null_high=float(max(counts)), null_method=how, unit="latents",
                 estimator=f"error within {params.tolerance:g} of that of all", **made),
    ]  # fmt: skip
    bound = params.lipschitz
    if bound is None and error[-1] <= EXPLAINED:
        bound = float(np.linalg.norm(found.decoder, 2))
    if bound is not None:
        out.append(_volume(z, bound, params))
    return tuple(out)


def _volume(z: np.ndarray, bound: float, params) -> Estimate:
    """Volume times the bound: the same after z / c with a decoder times c. Of latents that vary."""
    n, m = z.shape
    size = _deviations(z)
    eta, alive = params.eta * float(size.max()), size > 0
    counted = size if eta > 0 else size[alive]  # without η a dead latent would make any volume 0
    value = bound * float(np.exp(np.log(counted + eta).mean()))
    some, centred = size[alive], z[:, alive] - z[:, alive].mean(axis=0)
    changes = ((centred**2 / some**2 - 1) / 2 * (some / (some + eta))).sum(axis=1, keepdims=True) / len(
        counted
    )
    low, high = log_interval(np.array([value]), changes)
    return Estimate(
        "volume times the decoder's bound", value, float(low[0]), float(high[0]), n=n, d=m,
        interval="infinitesimal jackknife over samples", null=bound * (float(np.sqrt((counted**2).mean())) + eta),
        null_method="equal deviations of the same sum of variances: the largest volume",
        estimator="geometric mean of deviations, "
        + ("given bound" if params.lipschitz else "norm of the linear decoder"),
    )  # fmt: skip


def _deviations(z: np.ndarray) -> np.ndarray:
    """(m,) of the latents, exactly 0 where they never vary."""
    return np.where((z != z[0]).any(axis=0), z.std(axis=0, ddof=1), 0.0)


def _reading(estimates, m: int, params) -> str:
    error, count, *volume = estimates
    said = (
        f"A linear decoder of all {m} latents leaves {error.value:.1%} of the targets' variance. The "
        f"{int(count.value)} latents of largest deviation do as well (within {params.tolerance:g}); in random order "
        f"{count.null:.0f} are needed."
    )
    if not volume:
        return said + (
            " Volume is not interpreted: the decoder has no known bound and a linear one does not stand for it, and "
            "dividing the latents by any number, which a free decoder undoes, would change it at will."
        )
    e = volume[0]
    return (
        said
        + f" Their volume is {e.value:.3g} at a decoder of bound 1, {e.value / e.null:.1%} of the largest possible."
    )


def _caveats(z: np.ndarray, size: np.ndarray) -> list[str]:
    notes = []
    if len(z) < 5 * z.shape[1]:
        notes.append(
            f"{len(z):,} samples for {z.shape[1]:,} latents: the decoder's own error is a good part of the rest."
        )
    notes += ["Pruned latents are held at their mean; the decoder is not fitted again."]
    dead = int((size == 0).sum())
    if dead:
        notes.append(
            f"{dead} latent(s) never vary: pruning them changes nothing, and without η volume leaves them out."
        )
    notes.append("Deviations see single latents: correlated ones fill less than their product.")
    return notes


def _cost(shapes, params: LatentVolumeParams) -> Cost:
    (rows, m), (others, p) = shapes
    n, fast = min(rows, others, params.maximum_samples), machine()
    moved = (ORDERS + 1) * m * (8.0 * n * p * 6) + 200 * (m + 1) * 8.0 * n * 6
    flops = (2 * ORDERS + 4) * (6.0 * n * m * min(n, m + p))
    return Cost(fast.seconds(flops64=flops, moved=moved) + 0.02, 8.0 * (3.0 * n * (m + p) + n * (m + 1)))


def _check() -> tuple[CheckLine, ...]:
    """A linear autoencoder with an orthonormal decoder: latents are principal scores, and the error of k is the
    variance that k components leave. A dead latent costs nothing. Latents over 100 for the same targets:
    the same volume."""
    rng = np.random.default_rng(65)
    frame = np.linalg.qr(rng.standard_normal((20, 6)))[0]
    z = rng.standard_normal((4000, 6)) * [6, 4, 2, 1, 0.5, 0.0]
    z = np.hstack(
        [np.linalg.qr(z[:, :5] - z[:, :5].mean(axis=0))[0] * [6, 4, 2, 1, 0.5], np.zeros((4000, 1))]
    )
    y = z @ frame.T
    found = latent_volume(z, y)
    left = 1 - np.r_[0, np.cumsum(np.square([6, 4, 2, 1, 0.5, 0.0]))] / 57.25
    scaled, free = latent_volume(z / 100, y), latent_volume(z, rng.standard_normal((4000, 3)))
    expected = np.prod([6, 4, 2, 1, 0.5]) ** 0.2 / np.sqrt(3999)
    return (
        *(CheckLine(f"error with {k} latents", float(left[k]), float(found.series[ERROR][k]), 0.02) for k in (1, 2, 3)),
        CheckLine("error with all", 0.0, found.estimates[0].value, 1e-10),
        CheckLine("a dead latent changes", 0.0, float(np.abs(np.diff(found.series[ERROR][-2:])).max()), 1e-12),
        CheckLine("volume of an orthonormal decoder", expected, found.estimates[2].value, 1e-9),
        CheckLine("volume of latents over 100", expected, scaled.estimates[2].value, 1e-9),
        CheckLine("no volume without a decoder", 2.0, float(len(free.estimates)), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="latent_volume", family="rank", title="Latents needed, and their volume", version=1,
        function=latent_volume,
        summary="How many latents a linear decoder needs, in the order of their deviations, and the volume they fill.",
        params=LatentVolumeParams, result=Curve, check=_check, cost=_cost, inputs=2,
        roles=("latents", "targets that they rebuild"), minimum_rows=FEWEST,
        invariance="shifting the latents or the targets, rotating the targets, scaling all latents together",
        papers=("Compressing Latent Space via Least Volume",),
    ),
)  # fmt: skip
