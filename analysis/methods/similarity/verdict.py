"""In which sense two representations are the same: the same units, a rotation apart, linearly re-mixed, or different.

Three similarities that ignore more and more (`compute.similarity.sameness`): matched units (Hungarian; order, sign and
size of units), unbiased CKA (rotations), mean squared canonical correlation (every invertible linear map). The verdict
is the strictest sense whose whole interval lies above the level that counts as the same. Beside them, how well the
units of each are predicted linearly from the other on held-out samples, which tells a representation that holds the
other and more from one that only overlaps with it.

Null: of matched units, the samples of one side moved and the matching repeated; of CKA and of canonical correlations,
exact moments under exchanged samples; of predictions, 0 or less.

When it lies: the level is a convention; CKA is ruled by the directions of largest variance, canonical correlations
weigh every direction alike, so that noise in small ones lowers them (SVCCA leaves these out); pooled tokens hide where
things are; sameness on these samples says nothing about others.

Cost: matching O(max(p, q)³) at worst and about ten products, CKA a product, canonical correlations O(n (p² + q²)).

References: Y. Li et al. (2016), "Convergent learning"; S. Kornblith et al. (2019), "Similarity of neural network
representations revisited", for the groups of changes that a similarity should ignore; H. Hotelling (1936).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.pairing_tests import moves
from analysis.compute.matching.unit_sides import FEWEST
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.sameness import HOLDS, IGNORES, LARGE, Evidence, held_whole, senses, verdict
from analysis.compute.similarity.sameness_evidence import of_information, of_prediction, of_subspace, of_units
from analysis.compute.similarity.similarity_report import two_decimals
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "sense": "in which sense the two could be the same, from strict to lax",
    "measure": "the similarity that asks so, 1 where they are",
    "ignores": "changes of a representation that leave the similarity as it is",
    "value": "the similarity on all samples",
    "low": "lower end of its 95 % interval (jackknife over groups of samples)",
    "high": "upper end",
    "null": "what unrelated representations of these shapes give on average",
    "p": "chance of as much for unrelated ones, at most (Cantelli); of units at least 1 / (moves + 1)",
    "the same": "holds: the whole interval is above the level that counts as the same (of matched units on held-out "
                "samples too); fails: all of it is below; open: these samples cannot say; for large variance: it holds "
                "by CKA, which small directions hardly count for, and not all directions are shared",
}  # fmt: skip


@dataclass(frozen=True)
class VerdictParams:
    same: float = param(
        0.9, "From which similarity on two representations count as the same.", low=0.5, high=0.999
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def same_in_which_sense(
    a, b, params: VerdictParams = VerdictParams(), rng=None, progress=no_progress
) -> Table:
    """The verdict on two taps.

    Parameters
    ----------
    a, b : Activations or arrays (rows, units), of the same samples (matched by id), any numbers of units.

    Returns
    -------
    Table
        A line for each sense, strict to lax; see `HELP`. Estimates: the three similarities, R² both ways, and the
        matching held out.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        An id twice; fewer than eight common samples; no unit that varies; over 4 GiB.
    """
    taps = [as_activations(a), as_activations(b)]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    subspace = of_subspace(
        data, rng, progress
    )  # first, so that its groups of samples are those of the CKA method
    units, apart, notes = of_units(data, names, rng, progress)
    found = [units, subspace, of_information(data, names, rng, progress)]
    ways = of_prediction(data, names, rng, progress)
    estimates = (*(_estimate(e, data) for e in (*found, *ways)), apart)
    return Table(
        title=f"{names[0]} and {names[1]}: the same in which sense?",
        reading=_reading(found, ways, names, params.same, len(data.ids)),
        caveats=(*_caveats(found, data, params), *notes, *data.notes), estimates=estimates,
        columns=_columns(found, params.same), index="sense", help=HELP,
    )  # fmt: skip


# ---------------------------------------------------------------------------- words
def _estimate(e: Evidence, data) -> Estimate:
    low, high = e.interval
    ends = {"low": low, "high": high, "interval": "jackknife over groups of samples, t"}
    band = {"null_low": max(2 * e.null - e.null_high, e.least), "null_high": e.null_high}
    return Estimate(
        f"{e.sense}: {e.measure}", e.value, **(ends if np.isfinite(low) else {}), null=e.null,
        **(band if np.isfinite(e.deviation) else {}), null_method=e.null_method,
        **({"p_value": e.p} if np.isfinite(e.p) else {}), n=len(data.ids), d=max(x.shape[1] for x in data.values),
        estimator=e.measure,
    )  # fmt: skip


def _columns(found: list[Evidence], same: float) -> dict[str, np.ndarray]:
    ends = np.array([e.interval for e in found])
    return {
        "sense": np.array([e.sense for e in found]),
        "the same": np.array(senses(found, same)),
        "value": np.array([e.value for e in found]),
        "low": ends[:, 0],
        "high": ends[:, 1],
        "null": np.array([e.null for e in found]),
        "p": np.array([e.p for e in found]),
        "measure": np.array([e.measure for e in found]),
        "ignores": np.array([IGNORES[e.sense] for e in found]),
    }


def _reading(found: list[Evidence], ways: list[Evidence], names, same: float, n: int) -> str:
    said, held = verdict(found, same), held_whole(ways, names, same)
    if held and HOLDS not in senses(found, same):
        tail = f" {said}" if LARGE in senses(found, same) else ""
        said = held[:1].upper() + held[1:] + tail
    parts = []
    for e in (*found, *ways):
        low, high = e.interval
        within = f"{two_decimals(low)} to {two_decimals(high)}, " if np.isfinite(low) else ""
        name = e.measure if e.sense in IGNORES else f"{e.measure} of {e.sense}"
        parts.append(f"{name} {two_decimals(e.value)} ({within}unrelated {two_decimals(e.null)})")
    return (
        f"{said}\n\n{names[0]} and {names[1]} on {n:,} samples: "
        f"{'; '.join(parts)}. The same counts as {same:g} or more."
    )


def _caveats(found: list[Evidence], data, params: VerdictParams) -> list[str]:
    p, q = (x.shape[1] for x in data.values)
    notes = []
    if p != q:
        notes.append(
            f"Of {p} and {q} units only {min(p, q)} pairs can be made: the others have no partner and count as 0."
        )
    if found[2].few:
        notes.append(
            f"Canonical correlations of up to {max(p, q)} directions from fewer than ten times as many samples are "
            "too high: theirs can only speak against. SVCCA or held-out CCA ask for less."
        )
    if found[1].says(params.same) != HOLDS:
        notes.append(
            "Directions of large variance rule CKA, and canonical correlations weigh every direction alike."
        )
    return notes


def _cost(shapes, params: VerdictParams) -> Cost:
    (n, p), (m, q) = shapes
    n, speed = min(n, m, params.maximum_samples), machine()
    draws, r = moves(p, q), min(max(p, q), n)
    flops = 2.0 * n * p * q * (draws + 6) + 12.0 * n * (p + q) * r + 60.0 * r**3
    matchings = (draws + 3) * 2.5e-7 * max(p, q) ** 1.9
    moved = 8.0 * n * (p + q) * 60 + draws * 8.0 * (6.0 * n * q + 10.0 * p * q)
    memory = 8.0 * (p * q * 4 + 8.0 * n * (p + q) + 24.0 * r * r) + min(10e6, 40.0 * n * (p + q))
    return Cost(speed.seconds(flops64=flops, moved=moved) + matchings + 0.05, memory)


def _check() -> tuple[CheckLine, ...]:
    """A signed permutation is the same in every sense, a rotation in the last two, an invertible map in the last,
    unrelated data in none."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1200, 32))
    turn = np.linalg.qr(rng.standard_normal((32, 32)))[0]
    mixed = turn * np.logspace(0, 1.5, 32)
    cases = {
        "signed permutation": (x[:, rng.permutation(32)] * rng.choice([-1.0, 1.0], 32), 3),
        "rotation": (x @ turn, 2),
        "invertible map": (x @ mixed @ turn.T, 1),
        "unrelated": (rng.standard_normal((1200, 32)), 0),
    }
    lines = []
    for name, (y, expected) in cases.items():
        found = same_in_which_sense(x, y)
        held = float((found.columns["the same"] == HOLDS).sum())
        lines.append(CheckLine(f"{name}: senses in which it is the same", expected, held, 0.0))
        if name == "rotation":
            value, theory = found.columns["value"][0], 0.9 * np.sqrt(2 * np.log(32) / 32)
            lines.append(
                CheckLine("rotation: matched |r| about 0.9 √(2 ln d / d)", theory, float(value), 0.04)
            )
    return tuple(lines)


METHODS = (
    Method(
        id="verdict", family="similarity", title="The same in which sense?", version=2, function=same_in_which_sense,
        summary="Whether two layers or networks have the same units, the same subspace, the same information, or none.",
        params=VerdictParams, result=Table, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="each line of the table says what it ignores; the first ignores order, sign and size of units",
        papers=("Convergent Learning",),
    ),
)  # fmt: skip
