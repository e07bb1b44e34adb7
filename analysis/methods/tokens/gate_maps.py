"""What do attention gates do over a data set: scale channels once and for all, or answer to each sample?

    g_ic = m + a_c + b_i + e_ic:   variance = static (a, a fixed scaling of each channel or position) + volume (b, one
    number for the whole sample) + content (e, what makes it attention)

of gates g between 0 and 1 (sigmoids), samples x channels; or samples x positions of a spatial gate. Values that leave 0
to 1 are taken for what goes into the sigmoid, which is taken of each before positions are averaged. A gate that is
constant over samples could be multiplied into the weights. All gates at one half halve the output.

Null: of the static share gates whose channels change places within each sample, of volume and content gates whose
samples change places within each channel. Intervals: jackknife over groups of samples; of the mean gate Student's t.

When it lies: a small variance can matter where what is scaled is large, and a large one not; static here need not be
static on other data; positions can only be compared where all samples have as many; the mean over positions of a
channel gate that varies over them hides that.

Cost: one pass, O(n C) for each draw.

References: H. Liu, F. Liu, X. Fan & D. Huang (2021), "Polarized self-attention: towards high-quality pixel-wise
regression"; J. Hu, L. Shen & G. Sun (2018), "Squeeze-and-excitation networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.nulls import null_spread
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval
from analysis.compute.streaming import finite_blocks, refuse_few
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.open_gates import SQUASHED, open_gates, variance_parts

CHANNELS, POSITIONS = "channels", "positions, where there are some"
FEWEST, STATIC = 8, 0.01
PARTS = ("static scaling", "volume of a sample", "content")


@dataclass(frozen=True)
class GateMapsParams:
    over: str = param(CHANNELS, "What has a gate of its own.", choices=(CHANNELS, POSITIONS))
    images: int = param(
        40, "Most samples drawn, spread over the data.", label="samples drawn", low=2, high=500
    )
    shown: int = param(60, "Most channels or positions drawn, those that vary most.", low=2, high=500)
    draws: int = param(20, "Draws of the null.", low=9, high=1000, late=True)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def gate_maps(
    activations, params: GateMapsParams = GateMapsParams(), rng=None, progress=no_progress
) -> Matrix:
    """Gates over samples.

    Parameters
    ----------
    activations : Activations or array (rows, gates)
        A tap behind a sigmoid, or before it.

    Returns
    -------
    Matrix
        `values` (samples, channels or positions). Estimates: shares of the variance, static gates, the mean gate.

    Raises
    ------
    NotEnoughData, TooLarge
        Fewer than eight finite samples or two gates; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen, notes = random_part(tap.layout.n_samples, params.maximum_samples, rng)
    opened, kind = _opened(tap, progress)
    g, kept, names, said = _table(opened, chosen, params, progress)
    refuse_few(tap.name, len(g), FEWEST, "finite sample(s)")
    if g.shape[1] < 2:
        raise NotEnoughData(f"{tap.name} has {g.shape[1]} gate", "at least 2", "Choose another tap")
    null = []
    for i in range(params.draws):
        progress(0.5 + 0.5 * i / params.draws, "exchanging gates")
        within, across = variance_parts(rng.permuted(g, axis=1)), variance_parts(rng.permuted(g, axis=0))
        null.append((within[0], across[1], across[2]))
    progress(1.0, "done")
    estimates = _estimates(g, np.array(null), rng)
    rows = np.unique(np.linspace(0, len(g) - 1, min(params.images, len(g))).round().astype(int))
    columns = np.sort(np.argsort(-g.std(axis=0), kind="stable")[: params.shown])
    label = tap.samples.get("label")
    mark = [str(i) if label is None else f"{i} ({label[i]})" for i in chosen[kept][rows]]
    return Matrix(
        title=f"Gates of {tap.name} over samples", reading=_reading(estimates, g), estimates=estimates,
        caveats=(*notes, *said, *_caveats(kind, g, rows, columns)), values=g[np.ix_(rows, columns)],
        row_names=tuple(mark), column_names=tuple(names[c] for c in columns), value_name="gate", limits=(0.0, 1.0),
    )  # fmt: skip


class _Squashed:
    """A tap behind a sigmoid that it stands before."""

    def __init__(self, tap) -> None:
        self._tap = tap

    def __getattr__(self, name: str):
        return getattr(self._tap, name)

    def chunks(self, *given):
        for start, block in self._tap.chunks(*given):
            yield start, _squashed(block)

    def take(self, rows):
        return _squashed(self._tap.take(rows))


def _squashed(block) -> np.ndarray:
    """Sigmoids; what is not finite stays so."""
    x = np.asarray(block, np.float64)
    return np.where(np.isfinite(x), expit(x), np.nan)


def _opened(tap, progress):
    """(the tap as gates, what its numbers were taken for), by all of its finite rows."""
    least, most = np.inf, -np.inf
    for _, block in finite_blocks(tap, None, progress, "looking for gates", (0.0, 0.2)):
        least, most = min(least, float(block.min())), max(most, float(block.max()))
    _, kind = open_gates(np.array([least, most]) if least <= most else np.zeros(1))
    return (_Squashed(tap) if kind == SQUASHED else tap), kind


def _table(tap, chosen, params, progress):
    """((n, C) gates, (m,) bool which of the chosen have some, names, notes)."""
    layout = tap.layout
    counts = np.diff(layout.offsets)[chosen]
    if params.over == POSITIONS and len(chosen) and (counts == counts[0]).all() and counts[0] > 1:
        rows = (layout.offsets[chosen][:, None] + np.arange(counts[0])).ravel()
        values = np.asarray(tap.take(rows), np.float64).mean(axis=1).reshape(len(chosen), -1)
        progress(0.5, "reading")
        kept = np.isfinite(values).all(axis=1)
        lost = int((~kept).sum())
        said = [f"{lost} sample(s) with NaN or infinity left out."] if lost else []
        return values[kept], kept, [f"position {t}" for t in range(counts[0])], said
    values, kept, said = pooled_samples(tap, "mean", chosen, progress, (0.2, 0.5))
    if params.over == POSITIONS:
        said.append("Samples have no positions, or not as many: channels are shown.")
    return values, kept, list(map(str, tap.unit_names)), said


def _estimates(g: np.ndarray, null: np.ndarray, rng) -> tuple[Estimate, ...]:
    (n, c), groups, out = g.shape, groups_of(len(g), rng), []
    shares = variance_parts(g)
    without = np.array([variance_parts(g[groups != k]) for k in range(groups.max() + 1)])
    half = jackknife_half(without)
    swapped = ("channels exchanged within samples", *["samples exchanged within channels"] * 2)
    for j, name in enumerate(PARTS):
        v = float(shares[j])
        out.append(Estimate(f"{name}: share of the variance", v, max(v - half[j], 0.0), min(v + half[j], 1.0),
                            interval="jackknife over groups of samples", **null_spread(null[:, j]),
                            null_method=swapped[j], n=n, d=c, estimator="two-way decomposition"))  # fmt: skip
    out.append(Estimate("static gates", float((g.std(axis=0) < STATIC).mean()),
                        interval="none: a count of what is seen",
                        null_method="none: no chance is at work", n=n, d=c,
                        estimator=f"share with a standard deviation below {STATIC:g} over samples"))  # fmt: skip
    out.append(Estimate("mean gate", float(g.mean()), **mean_interval(g.mean(axis=1), 0.0, 1.0), null=0.5,
                        null_method="a sigmoid of 0: the output is halved", n=n, d=c, estimator="mean"))  # fmt: skip
    return tuple(out)


def _reading(estimates, g: np.ndarray) -> str:
    static, volume, content, fixed, mean = estimates
    if not g.std() > 1e-12:
        return f"All gates are {mean.value:.2f}: the output is multiplied by one number."
    return (
        f"{static.value:.0%} of what varies in the gates is a fixed scaling of each channel or position (by chance "
        f"{static.null:.1%}), {volume.value:.0%} one number for a whole sample, {content.value:.0%} depends on both. "
        f"{fixed.value:.0%} of the gates are constant over samples: they could be part of the weights. The mean gate "
        f"is {mean.value:.2f}."
    )


def _caveats(kind: str, g, rows, columns) -> list[str]:
    said = ["A sigmoid is taken: the tap leaves 0 to 1."] if kind == SQUASHED else []
    if len(rows) < len(g) or len(columns) < g.shape[1]:
        said.append(
            f"{len(rows)} of {len(g):,} samples and {len(columns)} of {g.shape[1]:,} gates are drawn, those that vary "
            "most; numbers are of all."
        )
    return said


def _cost(shapes, params: GateMapsParams) -> Cost:
    (n, c), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * c + (2 * params.draws + 12) * some * c * 60.0)
    return Cost(0.05 + seconds, some * c * 8.0 * 5 + 16.0 * c * min(n, 4096))


def _check() -> tuple[CheckLine, ...]:
    """A fixed gate for each channel is all static, one for each sample all volume; halves have a mean of 0.5."""
    rng, few = np.random.default_rng(0), GateMapsParams(draws=9)
    a, b = rng.random(20), rng.random(60)
    static = gate_maps(ArrayActivations(np.tile(a, (60, 1)), "static"), few).estimates
    volume = gate_maps(ArrayActivations(np.tile(b[:, None], (1, 20)), "volume"), few).estimates
    both = gate_maps(ArrayActivations((a + b[:, None]) / 2, "both"), few).estimates
    half = gate_maps(ArrayActivations(np.full((60, 20), 0.5), "halves"), few).estimates
    free = gate_maps(ArrayActivations(rng.random((400, 20)), "free"), few).estimates
    spatial = ArrayActivations(np.tile(a, 60)[:, None], "spatial", layout=Layout(np.arange(61) * 20))
    where = gate_maps(spatial, GateMapsParams(over=POSITIONS, draws=9)).estimates
    return (
        CheckLine("fixed gates: static", 1.0, static[0].value, 1e-12),
        CheckLine("fixed gates: constant over samples", 1.0, static[3].value, 0.0),
        CheckLine("one gate for a sample: volume", 1.0, volume[1].value, 1e-12),
        CheckLine("their sum: no content", 0.0, both[2].value, 1e-12),
        CheckLine("independent gates: static as by chance", free[0].null, free[0].value, 0.003),
        CheckLine("all at one half: mean", 0.5, half[4].value, 1e-12),
        CheckLine("a spatial gate that never changes", 1.0, where[0].value, 1e-12),
    )


METHODS = (
    Method(
        id="gate_maps", family="tokens", title="Attention gates over samples", version=3, function=gate_maps,
        summary="Sigmoid gates of channels or positions, samples by gates: fixed scaling, volume, or content.",
        params=GateMapsParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of samples and of channels; gates between 0 and 1 also one shift or factor of all "
        "that keeps them there, as far as shares of the variance go",
        papers=("Polarized Self-Attention: Towards High-quality Pixel-wise Regression",),
    ),
)  # fmt: skip
