"""Which features of a dictionary are there in other networks too?

The first tap's features are matched with those of every other tap by the correlation of what they do on the same
samples (tokens pooled). Partners are found on one half of the samples and scored on the other, both ways, so that
looking for the best of many does not raise the score. Any number of features may share a partner; matched once is shown
beside it. With s_i = Σ |activation| of feature i and r_i its score,

    wMPPC = Σ s_i r_i / Σ s_i

is the share of the first tap's activation that lies in features that the other has as well. A feature is present where
r is beyond chance (false-discovery rate) and at least as large as asked.

Null: samples of the others exchanged, partners found and scored anew.

When it lies: two features may agree because both follow the label or the length of the text; tokens are pooled, so that
features that fire on different tokens of the same samples look alike; features that fire in few samples have few to
match by and are left out; a concept in several features of one side has no single partner.

Cost: for each other tap 3 + 2 draws products of (features, samples) with (samples, features), and assignments.

References: C. Cornet, R. Besançon & H. Le Borgne (2025), "Explaining how visual, textual and multimodal encoders share
concepts"; "SAEs reveal universal feature spaces across LLMs" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.presence import Presence, presence
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 16  # samples
MOST_DRAWS = 500
SHOWN = 6  # taps with columns of their own
PRESENT, ABSENT, FEW = "present", "not found", "too few samples"


@dataclass(frozen=True)
class PresenceElsewhereParams:
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    least: float = param(0.5, "Least held-out correlation of a feature that is present.", low=0.0, high=1.0)
    level: float = param(0.05, "False-discovery rate of features beyond chance.", low=1e-4, high=0.5)
    fewest: int = param(8, "Samples in which a feature must fire to be looked for.", low=2, high=10_000)
    draws: int = param(5, "Times the samples are exchanged for the null.", low=2, high=100)
    maximum_samples: int = param(5_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def presence_elsewhere(
    *activations, params: PresenceElsewhereParams = PresenceElsewhereParams(), rng=None, progress=no_progress
) -> Table:
    """Features of the first tap in the others.

    Parameters
    ----------
    *activations : two or more Activations or arrays (rows, units)
        Encoded taps, or any others: then their units are looked at as features.

    Returns
    -------
    Table
        A line for each feature of the first. Estimates: wMPPC of every other tap, many to one and matched once.

    Raises
    ------
    InputError, NotEnoughData
        One tap only; fewer than sixteen common samples, or no feature that fires in enough of them.
    """
    rng, taps = rng or np.random.default_rng(0), [as_activations(a) for a in activations]
    if len(taps) < 2:
        raise InputError(
            f"{len(taps)} tap", "two or more on the same samples", "Add a tap of another network"
        )
    common = common_samples(taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling,
                            progress=progress, span=(0.0, 0.3))  # fmt: skip
    x, n = common.values[0], len(common.ids)
    usual = np.sort(x, axis=0)[n // 2]
    asked = np.flatnonzero((x != usual).sum(axis=0) >= min(params.fewest, n // 2))
    if not len(asked):
        raise InputError(
            f"no feature of {taps[0].name} fires in {params.fewest} samples", "one or more",
            "Take more samples, or ask for fewer",
        )  # fmt: skip
    halves, done = rng.permutation(np.arange(n) % 2).astype(bool), 0
    draws = min(
        max(params.draws, int(np.ceil(2 / params.level / len(asked)))), MOST_DRAWS
    )  # or no p could be small
    steps = draws * (len(taps) - 1)

    def step():
        nonlocal done
        progress(0.3 + 0.7 * done / steps, "exchanging samples")
        done += 1

    found = [presence(x[:, asked], y, halves, draws, rng, step) for y in common.values[1:]]
    progress(1.0, "done")
    weight = np.abs(x[:, asked]).sum(axis=0)
    columns, about, null = _columns(found, asked, taps, params)
    yes = int((columns["verdict"] == PRESENT).sum())
    others = f"{len(taps) - 1} other tap" + ("s" if len(taps) > 2 else "")
    return Table(
        title=f"Features of {taps[0].name} in {others}",
        reading=f"{yes:,} of {len(asked):,} features that fire in enough samples are present in at least one of "
        f"{others}; with samples exchanged the best held-out correlation is {null.mean():.3f} on average.",
        caveats=(*common.notes, *_caveats(taps, x, asked)), estimates=_estimates(found, weight, taps, n, rng),
        columns=columns, index="feature", sort="held-out r", help=about,
    )  # fmt: skip


def _columns(found: list[Presence], asked, taps, params) -> tuple[dict, dict, np.ndarray]:
    k = taps[0].shape[1]
    names, other_names = np.array(taps[0].unit_names), tap_names([t.name for t in taps])
    most = np.max([p.many for p in found], axis=0)
    null = np.sort(np.max([p.null_many for p in found], axis=0).ravel())  # the best of as many taps
    p = (1 + len(null) - np.searchsorted(null, most, side="left")) / (1 + len(null))
    q = benjamini_hochberg(p)
    present = (q <= params.level) & (most >= params.least)
    columns = {
        "feature": names, "held-out r": _full(k, asked, most), "by chance": _full(k, asked, null.mean()),
        "above chance": _full(k, asked, most - null.mean()), "q": _full(k, asked, q),
        "matched once": _full(k, asked, np.max([f.once for f in found], axis=0)),
        "present in": _full(k, asked, sum((f.many >= params.least) & present for f in found), 0.0),
        "verdict": np.full(k, FEW, dtype="U16"),
    }  # fmt: skip
    columns["verdict"][asked] = np.where(present, PRESENT, ABSENT)
    about = {
        "feature": "The feature of the first tap.",
        "held-out r": "Correlation with its partner on samples that did not choose it, in the best of the taps.",
        "by chance": "Mean of the same with samples exchanged.", "above chance": "Held-out r less that.",
        "q": "False-discovery rate at which it is beyond chance.",
        "matched once": "The same where each feature of the other tap serves one feature only.",
        "present in": "In how many of the other taps it reaches what is asked.",
        "verdict": "present, not found, or too few samples in which it fires.",
    }  # fmt: skip
    for i, (one, tap) in enumerate(list(zip(found, taps[1:], strict=True))[:SHOWN], start=1):
        partner, title = np.full(k, "", dtype=object), f"partner {i}"
        partner[asked] = np.where(one.partner >= 0, np.array(tap.unit_names)[one.partner], "")
        columns[title], columns[f"r {i}"] = partner.astype(str), _full(k, asked, one.many)
        about[title] = f"The feature of {other_names[i]} that correlates most, on all samples."
        about[f"r {i}"] = f"Held-out r in {other_names[i]}."
    return columns, about, null


def _full(k: int, at: np.ndarray, values, empty: float = np.nan) -> np.ndarray:
    out = np.full(k, empty)
    out[at] = values
    return out


def _estimates(found: list[Presence], weight, taps, n: int, rng) -> tuple[Estimate, ...]:
    made, names = [], tap_names([t.name for t in taps])
    total = weight.sum()
    for one, name in zip(found, names[1:], strict=True):
        for how, r, null in (
            ("many to one", one.many, one.null_many),
            ("matched once", one.once, one.null_once),
        ):
            value, chance = float(weight @ r / total), null @ weight / total
            low, high = ratio_interval(weight * r, weight, rng, draws=500)
            made.append(
                Estimate(f"wMPPC into {name}, {how}", value, low, high, interval="bootstrap over features",
                         null_method=f"samples exchanged, {len(chance)} times: mean, 95 %", n=n, d=len(weight),
                         estimator="held-out correlation, weighted by activation", **against(value, chance))
            )  # fmt: skip
    return tuple(made)


def _caveats(taps, x, asked) -> list[str]:
    said = ["Presence says that another network has a feature that does the same on these samples, not why."]
    if not all(t.layout.is_pooled for t in taps):
        said.append("Tokens are pooled by sample: which token a feature fires on is not compared.")
    if len(asked) < x.shape[1]:
        said.append(f"{x.shape[1] - len(asked):,} features fire in too few samples and are not looked for.")
    if len({t.name.partition(":")[0] for t in taps if ":" in t.name}) == 1:
        said.append(
            "All taps are of one store: this compares layers or dictionaries of one network, not networks."
        )
    return said


def _cost(shapes, params: PresenceElsewhereParams) -> Cost:
    n, m, k = min(shapes[0][0], params.maximum_samples), machine(), shapes[0][1]
    products = 3 + 2 * params.draws
    flops = sum(products * (2.0 * n * k * q + 2.0 * min(k, q) * max(k, q) ** 1.5) for _, q in shapes[1:])
    wide = sum(q for _, q in shapes)
    held = 8.0 * n * wide * 3.0 + 32.0 * k * max(q for _, q in shapes[1:]) + 16.0 * params.draws * k
    return Cost(m.seconds(flops64=flops, moved=60.0 * n * wide) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """The same units in another order and scaled: all present, 1. Unrelated ones: none, and 0 but for luck."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 400, 12))
    same = presence_elsewhere(
        ArrayActivations(x, "x"), ArrayActivations(3 * x[:, rng.permutation(12)] + 1, "y")
    )
    other = presence_elsewhere(ArrayActivations(x, "x"), ArrayActivations(y, "y"))
    return (
        CheckLine("the same units: wMPPC", 1.0, same.estimates[0].value, 1e-9),
        CheckLine("the same units: matched once", 1.0, same.estimates[1].value, 1e-9),
        CheckLine("the same units: present", 12.0, float((same.columns["verdict"] == PRESENT).sum()), 0.0),
        CheckLine("unrelated: wMPPC", 0.0, other.estimates[0].value, 0.08),
        CheckLine("unrelated: present", 0.0, float((other.columns["verdict"] == PRESENT).sum()), 0.0),
    )


METHODS = (
    Method(
        id="presence_elsewhere", family="dictionaries", title="Presence in other networks", version=1,
        function=presence_elsewhere,
        summary="Which features other networks have as well: held-out correlation with the best partner, less chance.",
        params=PresenceElsewhereParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, others="networks",
        invariance="reordering features of any tap; scaling by positive numbers and shifting (wMPPC's weights aside)",
        papers=("SAEs Reveal Universal Feature Spaces Across LLMs",
                "Explaining How Visual, Textual and Multimodal Encoders Share Concepts"),
    ),
)  # fmt: skip
