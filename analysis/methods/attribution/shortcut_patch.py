"""Do maps find a shortcut whose place is known?

The region is one that the data have (a logo, a word) and that a person names, or a patch of one colour that is planted
here: in rows of a tap in a share of the samples of one class, before a probe is fitted to them, so that it decides; or
in the input of the trained network, which was never taught it. For every way and sample that has it:

    share of the map inside = Σ_inside |m_u| / Σ |m_u| ,   place = share of equal regions that hold less of the map

and whether the largest value lies inside (the pointing game).

Null: the area of the region, which a map that is the same everywhere gives; half for the place; and the controls. What
a way has to find is told first: how much of the answer goes when the region is taken out, against equal regions. Tests
of share against area and against edges by random signs over samples, together at 5 % false discoveries; the pointing
game by Wilson's interval. That a region is among the first tenth of its equals has by chance what any of them has:
of few equals, or of equal effects, this is not a tenth.

When it lies: a way cannot be blamed for not finding what the answer does not hang on; a bright patch has strong edges,
so that edges find it, too: only the distance to edges tells of the network. At the edge of a grid a deep layer sees the
patch in the places around it. Equal regions overlap the region itself.

Cost: the maps of every sample, as their ways tell, and a pass for each of 40 equal regions.

References: J. Adebayo et al. (2020), "Debugging tests for model explanations"; J. Zhang et al. (2018), "Top-down neural
attention by excitation backprop" (the pointing game).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution.saliency_court.asking import FEWEST, CourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.on_trial import EDGES
from analysis.attribution.saliency_court.paired import adjusted, paired_columns
from analysis.attribution.saliency_court.patch_trial import (
    CHOICES,
    PLANTED,
    TAKEN,
    answer_parts,
    opened_patches,
)
from analysis.attribution.saliency_court.regions import chance_to_be_first, placed
from analysis.compute.statistics.nulls import share_over, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress, param

HELP = {
    "way": "How the map is made; the controls look at no network.",
    "control": "Whether it is a control.",
    "share inside": "Mean share of the map's size inside the region; the area says what a map without form gives.",
    "low": "95 % interval of it, Student's t over samples.",
    "high": "95 % interval of it, Student's t over samples.",
    "area": "Mean share of the tokens that lie inside.",
    "over area": "Share less area.",
    "over area, low": "95 % interval of it.",
    "over area, high": "95 % interval of it.",
    "over area, q": "Share of false discoveries if this is called more than the area; of a control 1.",
    "over edges": "Share less that of the edges of the same samples.",
    "over edges, low": "95 % interval of it.",
    "over edges, high": "95 % interval of it.",
    "over edges, q": "Share of false discoveries if this is called more than edges hold; of a control 1.",
    "place": "Mean share of equal regions that hold less of the map: 1 the first of all, 0.5 by chance.",
    "largest inside": "Share of samples whose largest value lies inside (pointing game).",
    "largest inside, low": "95 % interval of it, Wilson over samples.",
    "largest inside, high": "95 % interval of it, Wilson over samples.",
}


@dataclass(frozen=True)
class ShortcutPatchParams(CourtParams):
    shortcut: str = param(PLANTED, "Where the shortcut comes from.", choices=CHOICES)
    top: int = param(1, "First row of the region, from 1.", low=1, high=100_000, label="first row")
    left: int = param(1, "First column of the region, or first token of a line, from 1.", low=1, high=1_000_000,
                      label="first column or token")  # fmt: skip
    height: int | None = param(None, "Rows of the region; automatic: a quarter.", low=1, high=100_000)
    width: int | None = param(
        None, "Columns or tokens of the region; automatic: a quarter.", low=1, high=1_000_000
    )
    words: str | None = param(None, "Words that are the region, with commas between; of data that have them.")
    level: float = param(3.0, "Height of a planted patch, in standard deviations.", low=0.1, high=100.0)
    fraction: float = param(0.9, "Share of one class that has it, for a probe.", low=0.1, high=1.0)


def shortcut_patch(
    activations, params: ShortcutPatchParams = ShortcutPatchParams(), rng=None, progress=no_progress
) -> Table:
    """How much of each way's map lies in a region that is known to decide.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each way, see `HELP`. Estimates: how much of the answer hangs on the region; share inside of each
        way.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData
        A region outside the grid; no sample with the words; no such way; neither a network that can be run nor labels;
        fewer than eight samples; a patch to be planted where the places of maps are nowhere in the input.
    """
    rng = rng or np.random.default_rng(0)
    trial, regions = opened_patches(activations, params, rng, progress)
    maps = trial.without_silent(trial.maps(progress, (0.15, 0.8)))
    parts, others = answer_parts(trial, regions, progress, (0.8, 0.95))
    n, ways = len(regions), len(trial.ways)
    share, place, hit = (np.empty((n, ways)) for _ in range(3))
    for i, (region, own) in enumerate(zip(regions, maps, strict=True)):
        for k, values in enumerate(own):
            share[i, k], place[i, k] = region.share(values), region.place(values)
            hit[i, k] = region.hit(values if trial.ways[k].signed else np.abs(values), rng)
    area = np.array([region.area for region in regions])[:, None]
    columns = _columns(trial, share, place, hit, area, rng)
    progress(1.0, "done")
    answer = _answer(parts, others, n, int(np.median(trial.tokens)))
    return Table(
        title=f"Maps and a shortcut in {regions[0].words}", reading=_reading(columns, trial, answer),
        caveats=(*trial.caveats(), *_said(columns, answer)), estimates=(*answer, *_estimates(columns, trial, n)),
        columns=columns, index="way", sort="share inside", help={name: HELP[name] for name in columns},
    )  # fmt: skip


def _columns(trial, share, place, hit, area, rng) -> dict[str, np.ndarray]:
    n, ends = len(share), [mean_interval(share[:, k], 0.0, 1.0) for k in range(share.shape[1])]
    columns = {
        "way": np.array(trial.names), "control": ~trial.explaining, "share inside": share.mean(axis=0),
        "low": np.array([e["low"] for e in ends]), "high": np.array([e["high"] for e in ends]),
        "area": np.full(share.shape[1], area.mean()),
    }  # fmt: skip
    against, tests = {"over area": area}, {}
    if EDGES in trial.names:
        against["over edges"] = share[:, [trial.names.index(EDGES)]]
    for name, other in against.items():
        more, tests[name] = paired_columns(share, other, name, rng)
        columns |= more
    columns |= {f"{name}, q": q for name, q in adjusted(tests, trial.explaining).items()}
    wilsons = np.array([wilson(float(h.sum()), n) for h in hit.T])
    inside = hit.mean(axis=0)
    return {
        **columns, "place": place.mean(axis=0), "largest inside": inside,
        "largest inside, low": np.minimum(wilsons[:, 0], inside),
        "largest inside, high": np.maximum(wilsons[:, 1], inside),
    }  # fmt: skip


def _answer(parts: np.ndarray, others: list[np.ndarray], n: int, d: int) -> tuple[Estimate, ...]:
    """How much of the answer goes with the region, and how often more than with any equal one."""
    sizes = [np.abs(np.r_[p, o]) for p, o in zip(parts, others, strict=True)]
    first = np.array([placed(each[0], each[1:]) for each in sizes])
    by_chance = float(np.mean([chance_to_be_first(each, TAKEN) for each in sizes]))
    chance = np.array([o.mean() for o in others])
    low, high = (mean_interval(chance)[end] for end in ("low", "high"))
    return (
        Estimate("share of the answer that goes with the region", float(parts.mean()), **mean_interval(parts),
                 null=float(chance.mean()), null_low=low, null_high=high, null_method="equal regions taken out", n=n,
                 d=d, estimator="(y - y without the region) / mean |y - y of the background|"),
        Estimate("region matters more than most equal ones", **share_over(first > TAKEN, "samples"), null=by_chance,
                 null_method="any of the same regions in its place", n=n, d=d,
                 estimator="share of samples in its uppermost tenth"),
    )  # fmt: skip


def _estimates(columns, trial, n: int) -> tuple[Estimate, ...]:
    d = int(np.median(trial.tokens))
    return tuple(
        Estimate(f"share inside, {name}", float(columns["share inside"][k]), float(columns["low"][k]),
                 float(columns["high"][k]), interval="Student's t over samples", null=float(columns["area"][k]),
                 null_method="area of the region", n=n, d=d, estimator="size of the map inside / in all")
        for k, name in enumerate(trial.names) if trial.explaining[k]
    )  # fmt: skip


def _decides(answer) -> bool:
    return answer[1].low > answer[1].null


def _reading(columns, trial, answer) -> str:
    own, area = trial.explaining, columns["area"][0]
    found = own & (columns["over area, q"] < 0.05)
    whole, other = answer[0].value, answer[0].null
    told = f"{whole:.0%} of the answer of {trial.what} goes with the region (equal regions {other:.0%}); "
    told += (
        f"{int(found.sum())} of {int(own.sum())} ways put more of their map there than its area of {area:.1%}"
    )
    if "over edges, q" in columns:
        told += f", {int((own & (columns['over edges, q'] < 0.05)).sum())} more than edges do"
    missed = ", ".join(columns["way"][own & ~found])
    return told + (f". Missed by: {missed}." if missed and _decides(answer) else ".")


def _said(columns, answer) -> tuple[str, ...]:
    if _decides(answer):
        return ()
    return (
        "The answer does not hang on the region more than on equal ones: that a way does not find it is no fault of "
        "its own.",
    )


def _cost(shapes, params: ShortcutPatchParams):
    return court_cost(shapes, params, 1, 45)


def _check() -> tuple[CheckLine, ...]:
    """A planted patch decides the labels of a probe: the parts of a linear probe find it, random maps hold its area."""
    rng = np.random.default_rng(0)
    label = np.arange(80) % 2
    tap = ArrayActivations(rng.standard_normal((80, 16)), name="planted", samples={"label": label})
    params = ShortcutPatchParams(
        ways="integrated gradients", reader=PROBE, width=2, fraction=1.0, level=6.0, steps=1
    )
    table = shortcut_patch(tap, params)
    at = dict(zip(table.columns["way"], range(3), strict=True))
    share, hit = table.columns["share inside"].tolist(), table.columns["largest inside"].tolist()
    return (
        CheckLine("area of the region", 2 / 16, float(table.columns["area"][0]), 1e-12),
        CheckLine("parts of the answer lie inside", 0.5, share[at["integrated gradients"]], 0.0, "at least"),
        CheckLine("the largest of them, too", 1.0, hit[at["integrated gradients"]], 0.0),
        CheckLine("random maps hold the area", 2 / 16, share[at["random"]], 0.12),
        CheckLine("the answer hangs on it", 0.5, table.estimates[0].value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="shortcut_patch",
        family="attribution",
        title="Maps and a known shortcut",
        summary="How much of each way's map lies in a region that is known, or planted, to decide the answer.",
        version=2,
        function=shortcut_patch,
        params=ShortcutPatchParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a factor of a map; the sign of its values but for the pointing game",
        papers=("Mask of truth: model sensitivity to unexpected regions of medical images",),
        libraries=("torch",),
    ),
)
