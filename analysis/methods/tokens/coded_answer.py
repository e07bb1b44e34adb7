"""What does the answer lose when a tap is coded at few bits and put back?

Rows are quantised at one step Δ for all numbers, around the mean of each unit,

    by unit            x̂ = μ + Δ round((x - μ) / Δ)
    principal axes     x̂ = μ + Δ round((x - μ) A / Δ) A',  A fitted on the other half of the samples

the network goes on from x̂, and the answer is compared with the one that it gave without: Kullback-Leibler divergence in
nats, mean over the tokens of a text. Bits of a number are the empirical entropy of the whole numbers, mean over units;
steps go from 8 standard deviations, where nothing but the mean is left, down to an eighth of one.

Interval: of means over samples what Student's t, bootstrap-t and, of lognormal losses, the exact one reach together; of
bits at a loss where the ends of the mean loss cross it. Null: Gaussian noise of the same mean squared error, the same
in all directions.

When it lies: no interval of a mean holds for every distribution of losses (of eight lognormal ones this held 96 %);
entropies of few rows are too low at fine steps, and a code for them must be learned, too; one tap is coded and all else
is not; the layers behind might make up for more if they had been trained with it; a loss of the answer that was given
says nothing of whether it was right; lines between steps that halve are coarse where few bits are left; where a linear
probe stands in for the network it reads means over tokens, in which errors average out.

Cost: a pass of the network for each of seven steps, two codes and the noise of each.

References: C. Gao et al. (2024), "Feature coding in the era of large models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.skewed_means import SAID, skewed_interval, skewed_mean
from analysis.compute.streaming import refuse_few
from analysis.errors import NotEnoughData
from analysis.features.answers import CLEAN
from analysis.features.readers import AUTOMATIC, OPENING, PROBE, READERS, reader_of
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.recoding import Coder, beyond_tried, bits_for, coder_of, rate_and_error

FEWEST = 20  # rows
STEPS = 2.0 ** np.arange(3, -4, -1)  # in standard deviations of all numbers
UNITS, AXES, NOISE = "by unit", "principal axes", "noise of that size"
MEANS = "Rows of {} are means over tokens, which cannot be put back into the network: record all tokens."
WAYS = {UNITS: False, AXES: True}


@dataclass(frozen=True)
class CodedAnswerParams:
    limit: float = param(0.05, "Loss in nats that the answer may have.", low=0.0001, high=10.0)
    reader: str = param(AUTOMATIC, "What answers.", choices=READERS)
    column: str | None = param(None, "Classes of a probe; empty: 'label' where there is one.", column=True)
    maximum_samples: int = param(64, "Most samples that are answered for.", low=8, high=5000)
    maximum_rows: int = param(4000, "Most rows that axes and bits are of.", low=50, high=200_000)


def coded_answer(
    activations, params: CodedAnswerParams = CodedAnswerParams(), rng=None, progress=no_progress
) -> Curve:
    """Loss of the answer over the bits of a number.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap whose rows are tokens, of a network that can be run again; otherwise of labelled samples.

    Returns
    -------
    Curve
        x = bits of a number, y = nats, a line for each code, the same noise as null. Estimates: bits at which the
        answer loses `limit`, and what principal axes save at one bit.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than 20 rows, or rows that do not vary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    source = getattr(tap, "source", None)
    tap = tap if source is None else source()
    asked, why = (PROBE, (MEANS.format(tap.name),)) if _means(tap) else (params.reader, ())
    reader, notes = reader_of(tap, asked, params.column, params.maximum_samples, rng, progress, (0.0, 0.1))
    x, rows, said = _rows(tap, params, rng)
    owner = np.asarray(tap.layout.sample_of(np.arange(tap.shape[0])))
    coder = coder_of(x, rows, owner, rng)
    if not coder.size > 0:
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    rates = {w: [rate_and_error(coder, x, rows, s * coder.size, t) for s in STEPS] for w, t in WAYS.items()}
    answers = reader.read(_replacements(coder, rates, rng), progress, (0.2, 0.95))
    nats = {name: a.kl for name, a in answers.items() if name != CLEAN}
    progress(1.0, "done")
    return _curve(tap, reader, rates, nats, params, (*why, *notes, *said), rng)


def _means(tap) -> bool:
    tokens = getattr(getattr(tap, "spec", None), "tokens", "")
    return tap.layout.is_pooled and tokens in ("mean", "spatial-mean")


def _rows(tap, params, rng) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows, notes = random_part(tap.shape[0], params.maximum_rows, rng, "rows")
    x = np.asarray(tap.take(rows), np.float64)
    good = finite_rows(x)
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    if not good.all():
        notes = [
            *notes,
            f"{int((~good).sum()):,} rows with a number that is not finite were left out of the axes.",
        ]
    return x[good], rows[good], list(notes)


def _replacements(coder: Coder, rates, rng: np.random.Generator) -> dict:
    """By name of a way and a step, coded rows; and noise of the same mean squared error."""
    made, seed = {}, int(rng.integers(2**31))

    def coded(step: float, turned: bool):
        return lambda x, rows: coder.coded(x, rows, step, turned)

    def noisy(error: float, k: int):
        own = np.random.default_rng([seed, k])
        return lambda x, rows: x + np.sqrt(error) * own.standard_normal(x.shape)

    for way, turned in WAYS.items():
        for k, (step, (_, error)) in enumerate(zip(STEPS, rates[way], strict=True)):
            made[f"{way} {k}"] = coded(step * coder.size, turned)
            made[f"{way} {NOISE} {k}"] = noisy(error, k)
    return made


def _curve(tap, reader, rates, nats, params, notes, rng) -> Curve:
    bits = {w: np.maximum.accumulate([r for r, _ in of]) for w, of in rates.items()}
    at = np.linspace(max(b[0] for b in bits.values()), min(b[-1] for b in bits.values()), 13)
    lines = {
        name: (way, np.stack([nats[f"{name} {k}"] for k in range(len(STEPS))], axis=1))  # (n, steps)
        for way in WAYS for name in (way, f"{way} {NOISE}")
    }  # fmt: skip
    good = np.all(
        [np.isfinite(found).all(axis=1) for _, found in lines.values()], axis=0
    )  # the same samples in all
    if good.sum() < 2:
        raise NotEnoughData(
            f"{int(good.sum())} of {len(good)} samples of which {reader.what} gives answers to compare",
            "two of them, and a network with logits", "Choose a probe, or more samples",
        )  # fmt: skip
    if not good.all():
        notes = (
            *notes,
            f"{int((~good).sum())} of {len(good)} samples had answers that are no numbers, left out.",
        )
    each = {
        name: np.stack([np.interp(at, bits[way], line) for line in found[good]])
        for name, (way, found) in lines.items()
    }
    ends = {w: skewed_interval(each[w], rng, 0.0) for w in WAYS}
    told = _estimates(each, ends, at, params.limit, tap.shape[1], rng)
    return Curve(
        title=f"What {reader.what} loses when {tap.name} is coded", x=at, x_name="bits of a number",
        y_name="divergence of the answer (nats)", series={w: each[w].mean(axis=0) for w in WAYS},
        low={w: low for w, (low, _) in ends.items()}, high={w: high for w, (_, high) in ends.items()},
        null={w: each[f"{w} {NOISE}"].mean(axis=0) for w in WAYS}, estimates=told,
        reading=_reading(told, params.limit), caveats=(*notes, *_caveats(at, tap.shape[1]),
                 *(said for w in WAYS for said in beyond_tried(w, each[w].mean(axis=0), params.limit))),
    )  # fmt: skip


def _estimates(each, ends, at, limit: float, d: int, rng) -> tuple[Estimate, ...]:
    n, told = len(each[UNITS]), []
    for way in WAYS:
        low, high = (bits_for(at, line, limit) for line in ends[way])
        value = bits_for(at, each[way].mean(axis=0), limit)
        told.append(Estimate(
            f"bits at a loss of {limit:g} nats, {way}", value, low=min(float(low), value), high=max(float(high), value),
            interval=f"where the ends of the mean loss cross it ({SAID})", n=n, d=d, unit="bits of a number",
            null=bits_for(at, each[f"{way} {NOISE}"].mean(axis=0), limit),
            null_method="Gaussian noise of the same mean squared error", estimator="lines between steps",
        ))  # fmt: skip
    one = int(np.argmin(np.abs(at - 1.0)))
    saved = each[UNITS][:, one] - each[AXES][:, one]
    told.append(Estimate(
        f"nats that principal axes save at {at[one]:.2g} bits", float(saved.mean()), **skewed_mean(saved, rng),
        null=0.0, null_method="the same code", n=n, d=d, unit="nats", estimator="difference, paired by sample",
    ))  # fmt: skip
    return tuple(told)


def _reading(told, limit: float) -> str:
    units, axes, saved = told
    return (
        f"The answer loses {limit:g} nats at {units.value:.2g} bits a number coded by unit and at {axes.value:.2g} on "
        f"principal axes; noise of the same size at {units.null:.2g}."
        + (f" {saved.name[0].upper()}{saved.name[1:]}: {saved.value:.2g}." if saved.low is not None else "")
    )


def _caveats(at: np.ndarray, d: int) -> list[str]:
    return [
        f"Bits are empirical entropies of single numbers; a row of {d:,} numbers at {at[-1]:.1f} bits takes "
        f"{at[-1] * d / 8:,.0f} bytes.",
        "Where a line starts, little but the mean row is left.",
    ]


def _cost(shapes, params: CodedAnswerParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_rows)
    work = 4.0 * len(STEPS) * rows * d * (d + 40)
    return Cost(
        OPENING + m.seconds(flops64=work, moved=8.0 * n * d), 8.0 * rows * d * 6 + 48.0 * d * d + 9.0 * n + 1e6,
        min(n, params.maximum_samples) * (1 + 4 * len(STEPS)),
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Two classes told by one unit of eight: at fine steps the probe answers as before, at the coarsest as of the mean
    row alone, and bits fall when a larger loss is allowed."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    x = rng.standard_normal((80, 8))
    x[:, 0] += 3.0 * label
    tap = ArrayActivations(x, name="planted", samples={"label": label}, layout=Layout(np.arange(81)))
    found, loose = (coded_answer(tap, CodedAnswerParams(limit=limit)) for limit in (0.05, 0.3))
    line = found.series[UNITS]
    return (
        CheckLine("nats at an eighth of a standard deviation", 0.0, float(line[-1]), 0.01),
        CheckLine("nats where the mean is left", 0.2, float(line[0]), 0.0, "at least"),
        CheckLine("fewer bits for a larger loss", 0.0, loose.estimates[0].value - found.estimates[0].value, 0.0,
                  "at most"),
        CheckLine("a half step on a line", 1.5, bits_for(np.array([0.0, 1, 2]), np.array([2.0, 1, 0]), 0.5), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="coded_answer", family="tokens", title="What coding a tap costs the answer", version=3,
        function=coded_answer,
        summary="A tap is quantised at few bits and put back into the network: what its answer loses, over bits.",
        params=CodedAnswerParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="one factor of all units and a constant of each, where what reads the tap does not mind",
        papers=("Feature Coding in the Era of Large Models: Dataset, Test Conditions, and Benchmark",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
