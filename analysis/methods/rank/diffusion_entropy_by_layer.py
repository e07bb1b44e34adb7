"""Diffusion spectral entropy from layer to layer or checkpoint to checkpoint, on the same samples.

Each tap's entropy S (`compute.neighbours.diffusion_entropy`), the kernel's width σ at the same share of that tap's own
median distance: a width fixed in the units of the activations would compare layers of different scale, not of different
shape. With a class column also the mutual information with the classes, DSMI.

Null: for S one Gaussian cloud with the covariance of the tap, for DSMI shuffled labels. Bands: random halves of the
samples (delete-half jackknife), the same halves for all taps.

When it lies: S hangs on σ, t and n, and the order of layers may turn with σ; a layer of more dimensions has distances
more alike and so another S at the same share; DSMI is biased and can be negative; bands of single
taps say nothing of the difference of two, which share their samples: that of the last and the first has its own.

Cost: O(n³) for each tap, some five times; memory O(n² + n Σ d).

References: D. Liao, C. Liu et al. (2023), "Assessing neural network representations during training using
noise-resilient diffusion spectral entropy".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.neighbours.diffusion_entropy import (
    HALVES,
    entropies,
    half_width,
    matched_gaussian,
    median_distance,
    mutual_information,
    random_half,
    squared_distances,
)
from analysis.compute.rows.class_codes import ClassCodes, class_codes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, SHUFFLES = 16, 3, 10
ENTROPY, INFORMATION = "entropy", "DSMI with the classes"
SHOWN = 12  # taps with an estimate each


@dataclass(frozen=True)
class DiffusionByLayerParams:
    width: float = param(0.5, "σ as a share of each tap's median distance.", low=1e-3, high=100.0)
    time: int = param(1, "Steps t of the walk.", low=1, high=1000)
    anisotropy: float = param(
        0.5, "How far density is divided out: 1/2 as published, 0 not at all, 1 wholly.", low=0.0, high=1.0
    )
    column: str = param("", "Class column for the mutual information; empty: none.", column=True)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples n; a seeded random part above.", low=50, high=8192)


def diffusion_entropy_by_layer(
    *taps, params: DiffusionByLayerParams = DiffusionByLayerParams(), rng=None, progress=no_progress
) -> Curve:
    """Entropy (and mutual information with classes) of each tap.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), layers or checkpoints in their order; samples are matched by id.

    Returns
    -------
    Curve
        x = tap 1, 2, …; bits. Estimates: each of at most twelve taps, and the change from the first to the last.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, NotFound, TooLarge
        One tap; equal samples; fewer than sixteen common samples; no such column, or fewer than two classes of four
        samples; over 4 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    labels = sample_column(taps[0], params.column) if params.column else None
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    codes = None if labels is None else class_codes(_labels_of(taps[0], labels, data.ids), params.column, 4)
    n = len(data.ids)
    parts = [random_half(np.arange(n), rng) for _ in range(HALVES)]
    shuffled = [] if codes is None else [rng.permutation(codes.codes) for _ in range(SHUFFLES)]
    found = []
    for i, x in enumerate(data.values):
        progress(0.3 + 0.7 * i / len(taps), f"finding eigenvalues of tap {i + 1}")
        found.append(_measured(x, parts, codes, shuffled, params, rng))
    names = tap_names([t.name for t in taps])
    series, null, halves = (
        {k: np.array([f[part][k] for f in found]) for k in found[0][part]} for part in range(3)
    )
    bands = {k: half_width(halves[k].T) for k in series}
    ceiling = {ENTROPY: np.log2(n), INFORMATION: np.inf}
    estimates = _estimates(series, null, halves, names, n, data.values)
    progress(1.0, "done")
    return Curve(
        title=f"Diffusion spectral entropy of {len(taps)} taps", reading=_reading(estimates, names, n, params),
        caveats=(*data.notes, *_caveats(n, names, codes, params)), estimates=estimates, x=np.arange(1, len(taps) + 1),
        x_name="tap, in the order given", x_labels=names, y_name="bits", series=series,
        null={k: v.mean(axis=1) for k, v in null.items()},
        low={k: np.maximum(v - bands[k], 0.0 if k == ENTROPY else -np.inf) for k, v in series.items()},
        high={k: np.minimum(v + bands[k], ceiling[k]) for k, v in series.items()},
    )  # fmt: skip


def _labels_of(tap, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The first tap's labels of the common samples."""
    own = np.asarray(tap.samples["id"]).astype(str)
    order = np.argsort(own)
    return labels[order[np.searchsorted(own, ids, sorter=order)]]


def _measured(x, parts, codes: ClassCodes | None, shuffled, params, rng) -> tuple[dict, dict, dict]:
    """Values, nulls (draws,) and halves (HALVES,) of one tap, by series."""
    squared = squared_distances(x)

    def entropy(s):
        return entropies(s, params.width * median_distance(s), (params.time,), params.anisotropy)[0]

    value = {ENTROPY: entropy(squared)}
    null = {ENTROPY: [entropy(squared_distances(matched_gaussian(x, rng))) for _ in range(DRAWS)]}
    halves = {ENTROPY: [entropy(squared[np.ix_(p, p)]) for p in parts]}
    if codes is not None:
        how = params.width * median_distance(squared), params.time, params.anisotropy, rng
        known, place = np.flatnonzero(codes.stay), np.cumsum(codes.stay) - 1
        inner = squared[np.ix_(known, known)]
        value[INFORMATION] = mutual_information(inner, codes.codes, *how)
        null[INFORMATION] = [mutual_information(inner, of, *how) for of in shuffled]
        mine = [place[p[codes.stay[p]]] for p in parts]
        halves[INFORMATION] = [mutual_information(inner[np.ix_(p, p)], codes.codes[p], *how) for p in mine]
    return value, null, halves


def _estimates(series, null, halves, names, n: int, values) -> tuple[Estimate, ...]:
    out = []
    for k in series:
        how = "one Gaussian cloud of the same covariance" if k == ENTROPY else "labels shuffled"
        for i, name in enumerate(names[:SHOWN]):
            half, chance, value = float(half_width(halves[k][i])), null[k][i], float(series[k][i])
            out.append(Estimate(
                f"{k}, {name}", value, value - half, value + half, null=float(chance.mean()),
                null_low=float(chance.min()),
                null_high=float(chance.max()), null_method=f"{how}: mean and ends of {len(chance)} draws", n=n,
                interval=f"delete-half jackknife, {HALVES} halves", d=values[i].shape[1], unit="bits",
                estimator="eigenvalues of the diffusion operator",
            ))  # fmt: skip
        change, half = float(series[k][-1] - series[k][0]), float(half_width(halves[k][-1] - halves[k][0]))
        out.append(Estimate(
            f"change of {k}, last less first", change, change - half, change + half, n=n, d=len(names), unit="bits",
            interval=f"delete-half jackknife, {HALVES} halves, the same for both", null=0.0,
            null_method="no change", estimator="difference",
        ))  # fmt: skip
    return tuple(out)


def _reading(estimates, names, n: int, params) -> str:
    change = next(e for e in estimates if e.name.startswith("change"))
    first = estimates[0]
    said = (
        f"At σ = {params.width:g} of each tap's median distance and t = {params.time} the entropy of {names[0]} is "
        f"{first.value:.2f} of at most {np.log2(n):.2f} bits ({first.null:.2f} for a Gaussian cloud of the same "
        f"covariance); to {names[-1]} it changes by {change.value:+.2f} ({change.low:+.2f} to {change.high:+.2f})."
    )
    for e in estimates:
        if e.name.startswith(f"change of {INFORMATION}"):
            said += (
                f" The DSMI with the classes changes by {e.value:+.2f} ({e.low:+.2f} to {e.high:+.2f}) bits."
            )
    return said


def _caveats(n: int, names, codes: ClassCodes | None, params) -> list[str]:
    notes = [
        f"The entropy is of {n:,} samples and grows with their number; it hangs on width and time: see how it changes "
        "with both before trusting an order of layers.",
    ]
    if len(names) > SHOWN:
        notes.append(f"Numbers are listed for the first {SHOWN} of {len(names)} taps; the curve shows all.")
    if codes is not None:
        notes += [
            *codes.notes,
            "DSMI is biased: a random part of a class's size misses groups; it can be negative.",
        ]
    return notes


def _cost(shapes, params: DiffusionByLayerParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    whole, once = sum(units for _, units in shapes), 1 + DRAWS + HALVES / 8
    flops = len(shapes) * once * 4.0 * n**3 + (DRAWS + 1) * 2.0 * n * n * whole
    if params.column:
        flops += len(shapes) * (SHUFFLES + 2) * 3 * 4.0 * n**3 / 4
    moved = len(shapes) * once * 8.0 * n * n * 30
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, 8.0 * (4.0 * n * n + 2 * n * whole))


def _check() -> tuple[CheckLine, ...]:
    """Two groups, then eight, then a cloud: 1 bit, 3 bits, as its own null. The eight groups as labels say nothing
    of the cloud."""
    rng = np.random.default_rng(50)
    of, cloud = np.repeat(np.arange(8), 16), rng.standard_normal((128, 4))
    noise = 1e-4 * rng.standard_normal((128, 8))
    taps = (100 * np.eye(8)[of // 4] + noise, 100 * np.eye(8)[of] + noise, cloud)
    taps = [ArrayActivations(x, samples={"label": of}) for x in taps]
    found = diffusion_entropy_by_layer(*taps, params=DiffusionByLayerParams(width=0.2, column="label"))
    bits, told = found.series[ENTROPY], found.series[INFORMATION]
    return (
        CheckLine("two groups: bits", 1.0, float(bits[0]), 1e-3),
        CheckLine("eight groups: bits", 3.0, float(bits[1]), 1e-3),
        CheckLine("a cloud against its null", float(found.null[ENTROPY][2]), float(bits[2]), 0.3),
        CheckLine("DSMI of eight groups", 2.84, float(told[1]), 0.06),
        CheckLine("DSMI of two groups of them", 1.0, float(told[0]), 0.01),
        CheckLine("DSMI of the cloud", float(found.null[INFORMATION][2]), float(told[2]), 0.1),
    )


METHODS = (
    Method(
        id="diffusion_entropy_by_layer", family="rank", title="Diffusion spectral entropy by layer", version=2,
        function=diffusion_entropy_by_layer,
        summary="How many groups a random walk between samples tells apart, from layer to layer.",
        params=DiffusionByLayerParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating, shifting or scaling each tap",
        papers=(
            "Assessing Neural Network Representations During Training Using Noise-Resilient Diffusion Spectral Entropy",
        ),
    ),
)  # fmt: skip
