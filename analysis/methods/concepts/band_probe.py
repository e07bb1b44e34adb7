"""Where in the spectrum a concept lies: the same probe in bands of principal components, by the variance they hold.

Components are ordered by variance. *Top p %* are the fewest leading ones that hold at least p % of it, *bottom p %* the
fewest trailing ones; with p above 50 the two overlap, as is meant (the leading components with 90 % of the variance and
the trailing ones with 20 % share some). Each band is scaled to one overall variance and read by one probe, fitted and
judged in folds. Beside it the same probe reads as many random directions, since dimensions help by their number alone.

Bands split orthogonally: for any cut the variance above and below it adds to 1, and the projections add to x.

Null: the concept's values exchanged between the held-out samples while predictions stay.

When it lies: a band with many small components can be read because it has many; a band that cannot be read linearly may
be read by an MLP; the order by variance changes when units are rescaled; components of nearly equal variance mix at a
cut; a concept can lie across a cut.

Cost: one eigenproblem O(min(n, d)³), two probes in folds for each band. Memory O(n d).

References: R. Balestriero & Y. LeCun (2024), "Learning by Reconstruction Produces Uninformative Features for
Perception".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.linear.linalg import principal_components
from analysis.compute.machine import machine
from analysis.compute.subspaces.probe_cost import classes_of, probe_cost, times
from analysis.compute.subspaces.probes import LINEAR, PROBES, Score, probe_folds, scored
from analysis.errors import ParameterError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
HELP = {
    "band": "which components, by the variance asked for",
    "first": "number of the first component, from 1",
    "last": "number of the last",
    "components": "how many there are",
    "variance share": "share of the variance that they hold",
    "score": "held-out accuracy (of a number R²) of the probe",
    "low": "lower end of its 95 % interval",
    "high": "upper end of its 95 % interval",
    "p": "p of scoring so well on exchanged values",
    "random directions": "the same probe on as many random directions of the whole",
    "reads": "beyond exchanged values (p < 0.05), with the interval above the majority rate",
}


@dataclass(frozen=True)
class BandProbeParams(ConceptParams):
    shares: str = param(
        "10, 25, 50, 75, 90, 95", "Percent of the variance, from the top and from the bottom each."
    )
    probe: str = param(LINEAR, "What reads the bands.", choices=PROBES)
    folds: int = param(4, "Folds in which the probe is fitted and judged.", low=2, high=10)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def band_probe(
    activations, params: BandProbeParams = BandProbeParams(), rng=None, progress=no_progress
) -> Table:
    """Probe scores by band of principal components.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Table
        A line per band, see `HELP`: all components first, then from the top, then from the bottom. Estimates: the
        score of each, and the variance shares above and below the cut at the first share, which add to 1.

    Raises
    ------
    ParameterError, NotFound
        A share outside 0 to 100; no such column or value.
    NotEnoughData, InputError, TooLarge
        Fewer than two classes with 8 samples; a constant concept; over 50 classes.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    shares = _shares(params.shares)
    data = concept_samples(
        activations, params, minimum=FEWEST, maximum=params.maximum_samples, rng=rng, progress=progress
    )
    mean, directions, values = principal_components(data.x, min(data.x.shape))
    z, held = (data.x - mean) @ directions.T, values / values.sum()
    bands, fold = _bands(held, shares), probe_folds(data.concept, params.folds, rng)
    turn, seed, rows = (
        np.linalg.qr(rng.standard_normal((len(held), len(held))))[0],
        int(rng.integers(2**31)),
        [],
    )
    for i, (name, first, last) in enumerate(bands):
        progress(0.15 + 0.85 * i / len(bands), f"probing {name}")
        k = last - first
        read = [
            _score(part, data.concept, fold, params.probe, seed)
            for part in (z[:, first:last], z @ turn[:, :k])
        ]
        rows.append((name, first + 1, last, k, float(held[first:last].sum()), *read))
    return _table(activations.name, params, data, held, rows, shares)


def _shares(text: str) -> list[float]:
    try:
        found = sorted({float(part) for part in text.split(",") if part.strip()})
    except ValueError:
        found = []
    if not found or found[0] <= 0 or found[-1] >= 100:
        raise ParameterError(f"shares {text!r}", "percentages between 0 and 100, such as 10, 50, 90")
    return found


def _bands(held: np.ndarray, shares: list[float]) -> list[tuple[str, int, int]]:
    """(name, first, last) half-open; `held` (r,) falling shares of the variance."""
    r, above, below = len(held), np.cumsum(held), np.cumsum(held[::-1])
    out = [("all components", 0, r)]
    out += [(f"top {p:g} %", 0, _fewest(above, p)) for p in shares]
    return out + [(f"bottom {p:g} %", r - _fewest(below, p), r) for p in shares]


def _fewest(cumulated: np.ndarray, percent: float) -> int:
    return min(len(cumulated), int(np.searchsorted(cumulated, percent / 100 * (1 - 1e-12))) + 1)


def _score(z: np.ndarray, concept, fold, probe: str, seed: int) -> Score:
    return scored(z, concept, fold, probe, float(np.sqrt(z.var(axis=0).mean())), np.random.default_rng(seed))


def _table(name: str, params, data, held, rows, shares) -> Table:
    d, own = data.x.shape[1], [row[5] for row in rows]
    columns = {key: np.array([row[i] for row in rows]) for i, key in enumerate(list(HELP)[:5])}
    columns |= {
        "score": np.array([s.value for s in own]), "low": np.array([s.low for s in own]),
        "high": np.array([s.high for s in own]), "p": np.array([s.p for s in own]),
        "random directions": np.array([row[6].value for row in rows]), "reads": np.array([s.reads for s in own]),
    }  # fmt: skip
    cut = rows[1][2]
    energies = [
        Estimate(f"variance share {where} component {cut}", float(v), null=k / len(held), n=len(data.x), d=d,
                 null_method="equal eigenvalues: share of the components", estimator="sum of eigenvalues / all of them")
        for where, v, k in (("up to", held[:cut].sum(), cut), ("after", held[cut:].sum(), len(held) - cut))
    ]  # fmt: skip
    probed = [row[5].estimate(f"{params.probe} probe, {row[0]}", d, params.probe) for row in rows]
    return Table(
        title=f"{data.concept.name} by band of principal components of {name}", columns=columns, index="band",
        help=HELP, reading=_reading(rows, data.concept), estimates=(*probed, *energies),
        caveats=(
            f"Components are those of all {len(data.x):,} samples, without looking at the concept; probes are fitted "
            f"and judged in {params.folds} folds. Bands are not corrected for their number.",
            "Compare a band with as many random directions, which mix all components: many are read for their number.",
            *data.notes,
        ),
    )  # fmt: skip


def _reading(rows, concept) -> str:
    what, whole = "R²" if concept.is_number else "accuracy", rows[0][5]
    first = f"All {rows[0][3]} components: held-out {what} {whole.value:.2f} (majority {whole.chance:.2f})."
    if concept.is_number:
        first = f"All {rows[0][3]} components: held-out {what} {whole.value:.2f} (the mean 0)."
    bands = [row for row in rows[1:] if row[5].reads]
    if not bands:
        return f"{first} No band is read beyond chance."
    half = (len(rows) - 1) // 2
    said = []
    for row in (rows[1], rows[half], rows[half + 1], rows[-1]):
        said.append(f"{row[0]} ({row[3]} component(s), {row[4]:.0%} of the variance) {row[5].value:.2f}")
    return f"{first} By band: {'; '.join(dict.fromkeys(said))}."


def _cost(shapes, params: BandProbeParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, bands = min(rows, params.maximum_samples), 2 * len(params.shares.split(",")) + 1
    spent = times(probe_cost(params.probe, n, min(n, d) * 0.6, classes_of(params), params.folds), 2 * bands)
    spent["flops64"] += 20.0 * min(n, d) ** 3
    return Cost(m.seconds(**spent) + 0.05, 8.0 * n * d * 4.0 + 8.0 * 3 * min(n, d) ** 2 + 2e5)


def _check() -> tuple[CheckLine, ...]:
    """The label in the component of least variance: only the bottom is read; in the one of most: the top. Variance
    above
    and below a cut adds to 1."""
    rng = np.random.default_rng(8)
    label, n = np.arange(1200) % 2, 1200
    scale = np.array([10.0, 8, 6, 5, 4, 3, 2, 1])
    low = rng.standard_normal((n, 8)) * scale
    low[:, 7] = label * 0.6 + 0.05 * rng.standard_normal(n)
    high = rng.standard_normal((n, 8)) * scale
    high[:, 0] = label * 30 + rng.standard_normal(n)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]

    def table(x) -> tuple[dict, Table]:
        data = ArrayActivations(x @ turn + 3, samples={"label": label})
        found = band_probe(data, BandProbeParams(shares="0.1, 50, 95"))
        return dict(zip(found.columns["band"].tolist(), found.columns["score"].tolist(), strict=True)), found

    bottom, table_low = table(low)
    top, _ = table(high)
    shares = [e.value for e in table_low.estimates if e.name.startswith("variance share")]
    return (
        CheckLine("label in the last component: top 95 %", 0.5, bottom["top 95 %"], 0.07),
        CheckLine("label in the last component: bottom 0.1 %", 1.0, bottom["bottom 0.1 %"], 0.01),
        CheckLine("label in the first component: top 50 %", 1.0, top["top 50 %"], 0.01),
        CheckLine("label in the first component: bottom 0.1 %", 0.5, top["bottom 0.1 %"], 0.07),
        CheckLine("variance above and below the cut", 1.0, sum(shares), 1e-12),
    )


METHODS = (
    Method(
        id="band_probe", family="concepts", title="Where in the spectrum a concept lies", version=2,
        function=band_probe,
        summary="The same probe in the principal components of largest and of smallest variance.",
        params=BandProbeParams, result=Table, check=_check, cost=_cost, minimum_rows=16,
        invariance="rotating, shifting or scaling all units by one factor changes nothing but draws; rescaling "
        "single units does",
        papers=("Learning by Reconstruction Produces Uninformative Features",),
    ),
)  # fmt: skip
