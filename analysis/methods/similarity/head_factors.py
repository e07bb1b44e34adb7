"""Which known factors a projection head keeps, weakens or loses: the weight of every sample column before and after it,
or layer by layer.

Two weights of a factor (a class or a number that is known of each sample):

    probe               what held-out ridge regression tells of it: balanced accuracy for classes, R² for a number
    share of variance   |P X|² / |X|², P the projection onto what the factor spans over the samples

Null of the probe: the factor moved to other samples and everything fitted again, p by Student's t from the mean and
deviation of these. Null of the share: r / (n - 1) for a factor of rank r, exact. From the first tap to the last a
factor is *lost* when its probe was above chance, falls, and is no longer above chance; *weakened* or *strengthened*
when it changes and is still there (paired test over samples by exchanging the two taps; q < 5 % by Benjamini-Hochberg
over factors, as for being above chance).

`power` a adds a fixed re-weighting beside the real head: the first tap with its singular values σ raised to σ^a. It
loses no direction; what falls with it falls because small directions became too small for a regularised probe.

When it lies: a probe finds what is linearly there, used or not, and a wider tap offers more to it; with few samples the
penalty hides weak factors of wide taps; columns that go together (a label and its prediction) share their fate; a
factor that is constant in this data set was not asked about.

Cost: each tap: O(folds n d min(n, d) + draws n r k) for k targets in all; memory O(n Σ d) and 64 MB of moved targets.

References: Y. Xue et al. (2024), "Investigating the benefits of projection head for representation learning"; G. Golub,
M. Heath & G. Wahba (1979); F. Kazi-Aoual et al. (1995); Q. McNemar (1947).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.sample_spectrum import spectrum_of
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.known_factors import factors_of
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.factor_verdicts import WORDS, verdict_columns
from analysis.compute.similarity.factor_weights import probes, share_of_variance
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20  # samples
FOLDS = 5
SHOWN = 4  # factors with estimates of their own


@dataclass(frozen=True)
class HeadFactorParams:
    columns: str = param("", "Sample columns that are factors, with commas between; empty: all that can be.")
    power: float = param(
        1.0,
        "Power of the first tap's singular values that imitates a head; 1 adds no imitation.",
        low=0.0,
        high=4.0,
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    draws: int = param(50, "Times that a factor is moved to other samples.", low=20, high=1000)
    maximum_samples: int = param(4000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def head_factors(
    *taps, params: HeadFactorParams = HeadFactorParams(), rng=None, progress=no_progress
) -> Table:
    """The weight of every known factor in two or more taps of the same samples.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), before the head first, after it last; layers in order between.

    Returns
    -------
    Table
        A line for each factor, the largest loss first: its probe, the probe's chance level and its share of the
        variance in every tap, the change from the first to the last with its interval and q, and a verdict. Estimates:
        the probes of the factors that change most.

    Raises
    ------
    NotFound
        No such column, or none that is a factor.
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_samples`; fewer than 20 common samples.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    factors, notes = factors_of(taps, data.ids, params.columns)
    names, values = list(tap_names([t.name for t in taps])), list(data.values)
    if params.power != 1:
        values.insert(1, spectrum_of(values[0]).powered(params.power).scores)
        names.insert(1, f"{names[0]} with σ^{params.power:g}")
    fold = folds_of(np.zeros(len(data.ids)), FOLDS, rng)
    moves = np.array([rng.permutation(len(data.ids)) for _ in range(params.draws)])
    found, shares = [], []
    for i, x in enumerate(values):
        ends = tuple(0.3 + 0.65 * (i + j) / len(values) for j in (0, 1))
        x = x - x.mean(axis=0)
        x /= np.abs(x).max()
        found.append(probes(x, factors, fold, moves, progress, ends))
        shares.append([share_of_variance(x, f) for f in factors])
    progress(0.95, "comparing")
    columns, order = verdict_columns(factors, names, found, shares, rng)
    widths = [x.shape[1] for x in values]
    return Table(
        title=f"Known factors from {names[0]} to {names[-1]}", columns=columns, reading=_reading(columns, names),
        caveats=(*_caveats(widths, len(data.ids), params), *notes, *data.notes),
        estimates=_estimates(
            [factors[i] for i in order], names, [[tap[i] for i in order] for tap in found], widths, params
        ),
        index="factor", help=_help(names),
    )  # fmt: skip


def _help(names) -> dict[str, str]:
    out = {
        "samples": "samples of which the factor is known",
        "verdict": "from the first tap to the last: lost, weakened, kept, strengthened, gained, not there, or unsure",
        "change": "probe in the last tap less that in the first, on the same samples",
        "change_low": "lower end of its 95 % interval (normal, paired over samples)",
        "change_high": "upper end of its 95 % interval (normal, paired over samples)",
        "q_value": "Benjamini-Hochberg q over factors of the paired test that the two taps could be exchanged",
        "variance by chance": "share of the variance that the factor moved to other samples has on average, exactly",
    }
    for name in names:
        out[f"probe: {name}"] = "held-out balanced accuracy (classes) or R² (number) of ridge regression"
        out[f"chance: {name}"] = "the same with the factor moved to other samples"
        out[f"variance: {name}"] = "share of the variance that the factor accounts for"
    return out


def _estimates(factors, names, found, widths, params: HeadFactorParams) -> tuple[Estimate, ...]:
    """Of the factors that change most, in the first tap and in the last."""
    change = np.array([b.value - a.value for a, b in zip(found[0], found[-1], strict=True)])
    out = []
    for i in np.argsort(-np.abs(change), kind="stable")[:SHOWN]:
        for at in (0, -1):
            f, number = found[at][i], factors[i].is_number
            low, high = np.percentile(f.null, [2.5, 97.5])
            out.append(Estimate(
                f"{factors[i].name} in {names[at]}", f.value, f.low, f.high,
                interval="delta method over samples" if number else "Wilson, samples as draws",
                null=float(f.null.mean()), null_low=float(low), null_high=float(high),
                null_method=f"factor moved to other samples, {params.draws} times", p_value=f.p, n=len(f.each),
                d=widths[at], estimator="held-out R², ridge" if number else "held-out balanced accuracy, ridge",
            ))  # fmt: skip
    return tuple(out)


def _reading(columns, names) -> str:
    verdict, factor = columns["verdict"], columns["factor"]
    parts = []
    for word in WORDS:
        members = factor[verdict == word]
        if len(members):
            parts.append(
                f"{len(members)} {word} ({', '.join(members[:4])}{', …' if len(members) > 4 else ''})"
            )
    return f"Of {len(factor)} known factors, from {names[0]} to {names[-1]}: {'; '.join(parts)}."


def _caveats(widths, n: int, params: HeadFactorParams) -> list[str]:
    notes = [
        f"Probes are fitted on four fifths of {n:,} samples and read on the rest, with the same folds in every tap."
    ]
    if len(set(widths)) > 1:
        notes.append(
            "A wider tap offers a probe more directions: part of a difference may be the width alone."
        )
    if params.power != 1:
        notes.append("The imitated head re-weights singular values and loses no direction.")
    return notes


def _cost(shapes, params: HeadFactorParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    targets = 12.0  # how many columns there are is not known beforehand
    flops = moved = held = 0.0
    for rows, d in shapes:
        side = min(n, d)
        flops += (
            FOLDS * (4.0 * n * d * side + 20.0 * side**3 + 4.0 * n * side * targets * params.draws)
            + 2.0 * n * d * side
        )
        moved += 24.0 * rows * d + FOLDS * 60.0 * n * targets * params.draws
        held += 8.0 * n * d
    widest = max(d for _, d in shapes)
    block = min(64 << 20, 8.0 * n * targets * params.draws)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.1, held + 8.0 * n * widest * 3 + 1.5 * block)


def _check() -> tuple[CheckLine, ...]:
    """Three factors on units of their own; a head that reads the first, shrinks the second into noise and drops the
    third: kept, weakened, lost; a fourth was never there. Shares of variance of an analysis of variance."""
    rng = np.random.default_rng(3)
    n = 600
    kept, shrunk, dropped, never = (rng.integers(3, size=n) for _ in range(4))
    x = 0.6 * rng.standard_normal((n, 12))
    for i, factor in enumerate((kept, shrunk, dropped)):
        x[:, 3 * i : 3 * i + 3] += np.eye(3)[factor]
    after = np.hstack([x[:, :3], 0.5 * x[:, 3:6] + 0.45 * rng.standard_normal((n, 3))])
    samples = {"kept": kept, "shrunk": shrunk, "dropped": dropped, "never": never}
    taps = [ArrayActivations(v, name=k, samples=samples) for k, v in (("before", x), ("after", after))]
    found = head_factors(*taps).columns
    verdict = dict(zip(found["factor"], found["verdict"], strict=True))
    at = list(found["factor"]).index("kept")
    means = np.array([x[kept == c].mean(axis=0) for c in range(3)])
    between = ((means[kept] - x.mean(axis=0)) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()
    expected = {"kept": "kept", "shrunk": "weakened", "dropped": "lost", "never": "not there"}
    return (
        *(
            CheckLine(f"a factor that is {word}", 1.0, float(verdict[name] == word), 0.0)
            for name, word in expected.items()
        ),
        CheckLine("share of variance between classes", float(between), float(found["variance: before"][at]), 1e-12),
        CheckLine("its null: 2 / (n - 1)", 2 / 599, float(found["variance by chance"][at]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_factors", family="similarity", title="Factors kept and lost by a head", version=1,
        function=head_factors,
        summary="Which known properties of the samples a projection head, or each layer, keeps, weakens or loses.",
        params=HeadFactorParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting a tap; stretching a direction changes its share of the variance",
        papers=("Investigating the Benefits of Projection Head for Representation Learning",),
    ),
)  # fmt: skip
