"""What is each feature for, in words?

A feature gets the words that its active rows share and others lack: a class, the value of a column, a kind of character
(indentation, opening bracket), a token, a word that the token lies in, what it follows, a place in an image. The words
and the level of the feature (active, above its median, in its upper tenth) of the best F1 are chosen on the samples of
one half and scored on the other by detection: AUROC of the words as the announcement that the feature is active,
½ (1 + P(words | active) - P(words | not)), 0.5 where they say nothing. The same search with each sample given another
one's activations, tokens turned by a random number, says what it reaches by chance; a name that does not beat it is
shown in brackets.

When it lies: words come from a fixed list, so that a feature may mean something that has none; the AUROC is high for a
name that is too general as well, which is what F1 beside it is for; a tap's features that fire for one token among
thousands have few held-out rows and wide intervals.

Cost: one product of features by attributes over active rows, for every exchange.

References: S. Bills et al. (2023), "Language models can explain neurons in language models" (scoring on held-out
examples); G. Paulo et al. (2024), "Automatically interpreting millions of features in large language models"
(detection).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.detection import LEVEL_WORDS, LEVELS, Z95
from analysis.compute.dictionaries.held_out_names import (
    FEWEST_SAMPLES,
    NamingParams,
    best_attribute,
    observed,
    strongest_texts,
)
from analysis.compute.dictionaries.planted_names import planted_texts
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, bootstrap_mean, share_over
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress

SHOWN = 2_000  # features whose examples are read: one read each
HELP = {
    "feature": "Its number in the tap.",
    "name": "The words of the best F1 on one half of the samples; in brackets where they do not beat chance.",
    "detection AUROC": "On the other half: how well the words announce that the feature is active; 0.5 is nothing.",
    "low": "95 % interval over samples.",
    "high": "95 % interval over samples.",
    "by chance": "Mean AUROC of the same search with each sample given another one's activations.",
    "F1": "On the other half: of the words and the feature at this level.",
    "level": "At which the feature counts as active: not 0, above the median or among the upper tenth of its values.",
    "rows": "On the other half: where the feature is active at this level.",
    "sort": "What the words are: class, column, character, token, word, end of a word, after, place, own.",
    "beyond chance": "Whether the AUROC is above that of every exchange and its interval above 0.5.",
    "same on the other half": "Whether the other half chooses the same words.",
    "strongest": "Up to the ⟦token⟧ where it is strongest, in different samples.",
}


@dataclass(frozen=True)
class FeatureNamesParams(NamingParams):
    """As every view of words and features."""


def feature_names(
    activations, params: FeatureNamesParams = FeatureNamesParams(), rng=None, progress=no_progress
) -> Table:
    """Name every feature by what its active rows share, scored on samples that the name was not chosen on.

    Parameters
    ----------
    activations : Activations
        A tap that a feature set encoded, or any other, with labels, text columns or token texts.

    Returns
    -------
    Table
        A line for each feature that is ever active, see `HELP`. Estimates: mean AUROC, share of features beyond chance.

    Raises
    ------
    NotEnoughData, ParameterError
        Fewer than eight samples; nothing that rows could share; kinds that cannot be read.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    seen = observed(tap, params, rng, progress)
    detector, attribute, scored = seen.choose_and_judge(seen.attributes.hot, best_attribute)
    at, other = seen.halves[1]
    again = best_attribute(other, seen.attributes.hot.tocsr()[at].tocsc())[1]
    null = [j.auroc for j in seen.by_chance(best_attribute, params.draws, rng, progress, (0.3, 0.8))]
    kept = np.flatnonzero((scored.p > 0) & np.isfinite(scored.auroc))
    columns = _columns(
        tap, seen, detector, attribute, scored, again == attribute, np.array(null), kept, progress
    )
    progress(1.0, "done")
    return Table(
        title=f"Names of the features of {tap.name}", reading=_reading(columns, tap.shape[1]),
        caveats=_caveats(seen, columns, tap.shape[1]), columns=columns,
        estimates=_estimates(columns, np.array(null)[:, kept], len(seen.rows), tap, rng),
        index="feature", sort="detection AUROC", help=HELP,
    )  # fmt: skip


def _columns(tap, seen, detector, attribute, scored, same, null, kept, progress) -> dict[str, np.ndarray]:
    low = scored.auroc - Z95 * scored.auroc_error
    chance = np.nan_to_num(null, nan=0.5)
    beyond = (scored.auroc > chance.max(axis=0)) & (low > 0.5)
    words = seen.attributes.names[attribute]
    words = np.where(beyond, words, np.char.add(np.char.add("(", words), ")"))
    strongest = []
    for i, j in enumerate(kept):
        progress(0.8 + 0.2 * i / len(kept), "reading examples")
        strongest.append(strongest_texts(tap, int(j)) if i < SHOWN else "")
    return {
        "feature": kept.astype(np.int64), "name": words[kept], "detection AUROC": scored.auroc[kept],
        "low": np.clip(low, 0, 1)[kept], "high": np.clip(scored.auroc + Z95 * scored.auroc_error, 0, 1)[kept],
        "by chance": chance.mean(axis=0)[kept], "F1": scored.f1[kept],
        "level": np.array(LEVEL_WORDS)[detector // seen.found.n_features][kept],
        "rows": scored.p[kept].astype(np.int64),
        "sort": seen.attributes.sorts[attribute][kept], "beyond chance": np.where(beyond, "yes", "no")[kept],
        "same on the other half": np.where(same, "yes", "no")[kept], "strongest": np.array(strongest, dtype=str),
    }  # fmt: skip


def _estimates(c, null, rows: int, tap, rng) -> tuple[Estimate, ...]:
    if not len(c["feature"]):
        return ()
    value, common = float(c["detection AUROC"].mean()), {"n": rows, "d": tap.shape[1]}
    low, high = bootstrap_mean(c["detection AUROC"], rng)
    return (
        Estimate("mean detection AUROC", value, float(low), float(high), interval="bootstrap over features",
                 null_method=f"texts exchanged between samples, {len(null)} times",
                 estimator="chosen on one half of the samples, judged on the other",
                 **against(value, np.nan_to_num(null, nan=0.5).mean(axis=1)), **common),
        Estimate("share of features with a name beyond chance",
                 **share_over(c["beyond chance"] == "yes", "features active on the half that judges"),
                 null=1 / (1 + len(null)), null_method="above every exchange of texts", estimator="exchange", **common),
    )  # fmt: skip


def _reading(c, k: int) -> str:
    named = c["beyond chance"] == "yes"
    if not len(named):
        return f"None of the {k:,} features is active on the samples that names are judged by."
    best = np.argsort(-np.where(named, c["F1"], -1), kind="stable")[:3]
    said = f"{int(named.sum()):,} of {len(named):,} active features have a name that beats chance on held-out samples."
    if named.any():
        said += " The steadiest: " + "; ".join(
            f"{c['feature'][i]} for {c['name'][i]} (F1 {c['F1'][i]:.2f})" for i in best if named[i]
        )
        said += "."
    return said


def _caveats(seen, c, k: int) -> tuple[str, ...]:
    said = [seen.note] if seen.note else []
    said.append(
        f"{len(seen.attributes.names):,} words were tried for each feature at {len(LEVELS)} levels; a name is the best "
        "of these, not a proof of what the feature does."
    )
    if len(c["feature"]) < k:
        said.append(
            f"{k - len(c['feature']):,} features are not active on the held-out half and have no line."
        )
    if len(c["feature"]) > SHOWN:
        said.append(f"Examples are shown for the first {SHOWN:,} features.")
    return tuple(said)


def _cost(shapes, params: FeatureNamesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows, attributes = min(n, params.maximum_rows), 150
    active = rows * min(k, 64)
    seconds = m.seconds(moved=active * 200.0 + (params.draws + 2) * (active * 60.0 + 24.0 * k * attributes))
    return Cost(seconds + 0.002 * k + 0.3, active * 48.0 + 24.0 * k * attributes)


def _check() -> tuple[CheckLine, ...]:
    """Features planted for a class of tokens, a word, and nothing, in texts made here."""
    tap, truth = planted_texts(np.random.default_rng(0))
    c = feature_names(tap, FeatureNamesParams(draws=4)).columns
    return (
        CheckLine("opening bracket: AUROC", 1.0, c["detection AUROC"][0], 1e-12),
        CheckLine(
            "opening bracket: named", 1.0, float(c["name"][0] in ("opening bracket", "token '('")), 0.0
        ),
        CheckLine("word 'self': named", 1.0, float(c["name"][1] == "word 'self'"), 0.0),
        CheckLine("word 'self': F1", 1.0, c["F1"][1], 1e-12),
        CheckLine("random rows: beyond chance", 0.0, float(c["beyond chance"][2] == "yes"), 0.0),
        CheckLine("half of the digits: AUROC", truth["half"], c["detection AUROC"][3], 0.03),
    )


METHODS = (
    Method(
        id="feature_names", family="dictionaries", title="What each feature is for", version=3,
        function=feature_names, summary="Words for every feature, chosen and scored on different samples.",
        params=FeatureNamesParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST_SAMPLES,
        invariance="any rising map of a feature's values; the order of features",
        papers=("Disentangling Dense Embeddings with Sparse Autoencoders",),
    ),
)  # fmt: skip
