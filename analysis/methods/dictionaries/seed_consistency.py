"""Would another seed have found the same features? A certificate for each.

Two or more dictionaries of the same activations, trained from different seeds, are matched feature by feature with the
largest sum of cosines of their directions. PW-MCC, the mean matched cosine over all pairs of dictionaries, is far from
0 for dictionaries that have nothing in common (0.15 to 0.38), so it is shown beside that of random dictionaries of the
same shapes, and less that. A feature of the first dictionary is certified where its matched cosine, averaged over the
others, is beyond those of random dictionaries (false-discovery rate), and in each other at least as large as asked.
Cosines have a sign where codes are rectified; of a dictionary without a rule (PCA, ICA) the sign means nothing and
|cosine| is taken.

Dictionaries of different activations (two networks, two layers) have no directions in common. They are matched by what
they do instead: the correlation of codes over the samples that they share, by chance after moving the samples.

When it lies: random directions fill the whole space, while those of dictionaries trained on the same activations lie
where the activations do, so that agreement beyond chance need not be agreement on concepts; features that never fire
count in the mean and stay where training began: dictionaries from one initial value agree on them; a duplicated feature
has one partner only; by codes, features that fire in few samples correlate by luck more than the pooled null says.

Cost: (S (S - 1) / 2 + draws (S - 1)) matchings, each O(k² d) and O(k³) at worst; greedy above 4,096 features.

References: "Position: Mechanistic interpretability should prioritize feature consistency in SAEs" (2025); H. Kuhn
(1955).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.consistency import (
    Consistency,
    lines,
    moved_sets,
    pairwise_consistency,
    random_sets,
)
from analysis.compute.dictionaries.firing import firing
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, bootstrap_mean, share_over
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, ShapeError
from analysis.features import rules
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

AUTOMATIC, DIRECTIONS, CODES = "automatic", "directions", "codes"
FEWEST = 8  # samples
SHOWN = 8  # dictionaries whose partners have a column


@dataclass(frozen=True)
class SeedConsistencyParams:
    by: str = param(
        AUTOMATIC, "Match directions, or codes over the same samples; automatic takes directions where all "
        "dictionaries are of the same activations.", choices=(AUTOMATIC, DIRECTIONS, CODES),
    )  # fmt: skip
    least: float = param(
        0.7,
        "Least matched cosine, in every other dictionary, of a feature that is certified.",
        low=0.0,
        high=1.0,
    )
    level: float = param(0.05, "False-discovery rate of features beyond chance.", low=1e-4, high=0.5)
    draws: int = param(5, "Sets of unrelated dictionaries to compare with.", low=2, high=100)
    maximum_samples: int = param(5_000, "Most samples where codes are matched; a seeded random subset above.",
                                 low=50, high=200_000)  # fmt: skip


def seed_consistency(
    *activations, params: SeedConsistencyParams = SeedConsistencyParams(), rng=None, progress=no_progress
) -> Table:
    """Features of the first dictionary in the others.

    Parameters
    ----------
    *activations : two or more Activations or arrays (rows, units)
        Taps encoded by feature sets; of any other tap the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature of the first. Estimates: PW-MCC, the same less chance, the certified share.

    Raises
    ------
    InputError, ShapeError, NotEnoughData
        One dictionary only, or no feature that varies; directions of different widths; fewer than eight samples.
    """
    rng, taps, seen = rng or np.random.default_rng(0), [as_activations(a) for a in activations], Pass()
    if len(taps) < 2:
        raise InputError(f"{len(taps)} dictionary", "two or more of the same activations", "Add another")
    made = [tap_dictionary(t) for t in taps]
    same = not any(m.of_units for m in made) and len({m.source.digest for m in made}) == 1
    by = params.by if params.by != AUTOMATIC else DIRECTIONS if same else CODES
    signed = all(m.features.rule != rules.LINEAR for m in made)
    fired = firing(taps[0], seen, progress, (0.0, 0.1))
    refuse_few(taps[0].name, fired.n, FEWEST)
    if by == DIRECTIONS:
        if len({m.features.n_units for m in made}) > 1:
            widths = ", ".join(str(m.features.n_units) for m in made)
            raise ShapeError(f"directions in {widths} dimensions", "one number of units", "Match by codes")
        sets, notes = [lines(m.features.directions) for m in made], list(seen.notes)
        notes += [note for m in made for note in m.notes]
        if not same:
            notes.append("These are dictionaries of different activations, whose directions need not agree.")
        null, draw = "random dictionaries", lambda: random_sets(sets, rng)
    else:
        common = common_samples(taps, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress,
                                span=(0.1, 0.2))  # fmt: skip
        sets, notes = [lines((v - v.mean(axis=0)).T) for v in common.values], list(common.notes)
        null, draw = "samples of the others moved", lambda: moved_sets(sets, rng)
        notes.append(
            "Matched by codes: features that fire in few samples correlate by luck more than this null says."
        )
    found = pairwise_consistency(sets, signed, draw, params.draws, progress, (0.2, 1.0))
    progress(1.0, "done")
    columns, about = _columns(found, made, fired, params)
    estimates = _estimates(found, columns, fired.count > 0, null, params, len(sets[0]), rng)
    what = ("cosine of directions" if by == DIRECTIONS else "correlation of codes") if signed else f"|{by}|"
    return Table(
        title=f"Features of {taps[0].name} in {len(taps) - 1} other dictionar{'y' if len(taps) == 2 else 'ies'}",
        reading=_reading(found, columns, what, null), caveats=tuple(dict.fromkeys((*notes, *_caveats(sets)))),
        estimates=estimates, columns=columns, index="feature", sort="matched", help=about,
    )  # fmt: skip


def _columns(found: Consistency, made, fired, params) -> tuple[dict, dict]:
    value, null = found.cosine.mean(axis=0), np.sort(found.null_feature)
    p = (1 + len(null) - np.searchsorted(null, value, side="left")) / (1 + len(null))
    q = benjamini_hochberg(p)
    columns = {
        "feature": np.array(made[0].codes.unit_names), "matched": value, "least": found.cosine.min(axis=0),
        "above chance": value - null.mean(), "q": q,
        "certified": np.where((q <= params.level) & (found.cosine.min(axis=0) >= params.least), "yes", "no"),
        "firing rate": fired.count / fired.n,
    }  # fmt: skip
    about = {
        "feature": "The feature of the first dictionary.",
        "matched": "Cosine with its partner, averaged over the other dictionaries.",
        "least": "The smallest of these cosines.", "above chance": f"Matched less its chance, {null.mean():.3f}.",
        "q": "False-discovery rate at which it is beyond chance.",
        "certified": f"Beyond chance, and matched at {params.least:g} or more in every other dictionary.",
        "firing rate": "Share of rows in which it is not 0.",
    }  # fmt: skip
    names = tap_names([m.codes.name for m in made])
    for k in range(min(len(made) - 1, SHOWN)):
        units, partner = np.array(made[k + 1].codes.unit_names), found.partner[k]
        title = f"partner {k + 1}"
        columns[title] = np.where(partner >= 0, units[partner], "")
        about[title] = f"Its partner in {names[k + 1]}."
    return columns, about


def _estimates(found: Consistency, columns, fires, null: str, params, k: int, rng) -> tuple[Estimate, ...]:
    value, chance = found.pw_mcc, against(found.pw_mcc, found.null_mean)
    pairs = np.concatenate(found.matched)
    low, high = (float(v) for v in bootstrap_mean(pairs if len(pairs) else np.zeros(1), rng, draws=500))
    low, high = min(low, value), max(high, value)
    over = "bootstrap over matched pairs"
    common = {"n": max(len(pairs), 1), "d": k}
    method = f"{null}, matched again, {len(found.null_mean)} times: mean, 95 %"
    less = {f: chance[f] - chance["null"] for f in ("null", "null_low", "null_high")}
    made = [
        Estimate("PW-MCC", value, low, high, interval=over, null_method=method, estimator="mean matched cosine",
                 **chance, **common),
        Estimate("PW-MCC less chance", value - chance["null"], low - chance["null"], high - chance["null"],
                 interval=over + ", chance held fixed", null_method=method, estimator="mean matched cosine - chance",
                 **less, **common),
        Estimate("certified share", **share_over(columns["certified"] == "yes", "features"), null=0.0,
                 null_method=f"false-discovery rate {params.level:g}", estimator="Benjamini-Hochberg", **common),
    ]  # fmt: skip
    if fires.any() and not fires.all():
        own = columns["matched"][fires]
        value, ends = float(own.mean()), bootstrap_mean(own, rng, draws=500)
        made.append(
            Estimate("mean matched cosine of features that fire", value, min(float(ends[0]), value),
                     max(float(ends[1]), value), interval="bootstrap over features", null=chance["null"],
                     null_method=method, estimator="first dictionary", **common)
        )  # fmt: skip
    return tuple(made)


def _reading(found: Consistency, columns, what: str, null: str) -> str:
    yes, k = int((columns["certified"] == "yes").sum()), len(columns["certified"])
    return (
        f"The mean matched {what} is {found.pw_mcc:.3f}; {null} reach {found.null_mean.mean():.3f} when they are "
        f"matched in the same way. {yes:,} of {k:,} features of the first dictionary are certified."
    )


def _caveats(sets) -> tuple[str, ...]:
    said = ["A certificate says that training finds the feature again, not that it means anything."]
    if max(map(len, sets)) > 4096:
        said.append("Above 4,096 features pairs are taken greedily, strongest first.")
    if len({len(s) for s in sets}) > 1:
        said.append("The dictionaries differ in size; features without a partner count as 0.")
    return tuple(said)


def _cost(shapes, params: SeedConsistencyParams) -> Cost:
    n, m, s = min(shapes[0][0], params.maximum_samples), machine(), len(shapes)
    k = max(shape[1] for shape in shapes)
    matchings = s * (s - 1) / 2 + params.draws * (s - 1)
    flops = matchings * (2.0 * k * k * n + 4.0 * k**2.5)
    seconds = m.seconds(flops64=flops, moved=80.0 * sum(a * b for a, b in shapes)) + 0.05
    reading = min(1.1e7, 40.0 * shapes[0][0] * k)  # a block of rows that are not kept sparse
    return Cost(seconds, reading + 8.0 * n * sum(shape[1] for shape in shapes) * 2.5 + 24.0 * k * k)


def _check() -> tuple[CheckLine, ...]:
    """Units against themselves in another order: every feature comes back. Against unrelated units: none does."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 300, 20))
    same = seed_consistency(ArrayActivations(x, "x"), ArrayActivations(x[:, rng.permutation(20)], "y"))
    other = seed_consistency(ArrayActivations(x, "x"), ArrayActivations(y, "y"))
    return (
        CheckLine("permuted: PW-MCC", 1.0, same.estimates[0].value, 1e-9),
        CheckLine("permuted: certified", 1.0, same.estimates[2].value, 0.0),
        CheckLine("unrelated: PW-MCC less chance", 0.0, other.estimates[1].value, 0.03),
        CheckLine("unrelated: certified", 0.0, other.estimates[2].value, 0.0),
    )


METHODS = (
    Method(
        id="seed_consistency", family="dictionaries", title="Consistency across seeds", version=2,
        function=seed_consistency,
        summary="Which features other seeds find again: matched cosine less what random dictionaries reach.",
        params=SeedConsistencyParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        others="dictionaries",
        minimum_rows=FEWEST, invariance="reordering the features of a dictionary; scaling each by a positive number",
        papers=("Position: Mechanistic Interpretability Should Prioritize Feature Consistency in SAEs",),
    ),
)  # fmt: skip
