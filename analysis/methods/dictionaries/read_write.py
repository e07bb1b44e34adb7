"""Does a feature read, write, or both? Its input score against its output score, and four quadrants.

The outputs (tokens, or classes) that a feature's direction raises most by logit weights are its outputs. *Input score*:
the share of its strongest contexts whose own token or class is one of them; contexts are rows of different samples, at
most 100, of classes a tenth of the samples. *Output score*: (1 - best rank / V) x (highest probability) of them after
the feature is amplified, averaged over prompts, which are samples spread over the data; the spread between them is a
column. A feature reads or writes where its score is above that of 95 % of random ones, which have as many contexts.

    reads and writes    both          reads          input alone
    writes              output alone  neither        no score beyond chance

Null: random latents: a random direction as long and as strong as a feature, and as many contexts drawn at random as
the feature has, since one of three is easily had by luck and one third of a hundred is not.
At amplification 0 the output score is that of the unsteered network, exactly.

When it lies: it depends on the prompts, the amplification and the norm after the tap; logit weights leave out all
layers in between, so early taps score low on both; common tokens are the outputs of many features by chance; a probe
in the place of the network has no layers in between and knows its own classes only. Where there is neither vocabulary
nor labels it refuses.

Cost: one pass over the codes, and one run of the prompts for each feature and each random direction.

References: D. Arad, A. Mueller & Y. Belinkov (2025), "SAEs are good for steering - if you select the right features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, bootstrap_mean, wilson
from analysis.compute.streaming import Pass
from analysis.features.answers import CLEAN
from analysis.features.read_write import (
    amplified,
    chance_levels,
    input_score,
    output_score,
    refuse_none,
    strongest_contexts,
    words_of,
)
from analysis.features.readers import AUTOMATIC, READERS, reader_of
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

NETWORK, FEWEST, NAMED = 5.0, 8, 3
BOTH, READS, WRITES, NEITHER = "reads and writes", "reads", "writes", "neither"


@dataclass(frozen=True)
class ReadWriteParams:
    outputs: int = param(20, "Outputs of a feature; never more than a tenth of all.", low=1, high=1000)
    amplification: float = param(
        10.0, "How often its mean strongest value is added; 0: none.", low=0.0, high=1e4
    )
    prompts: int = param(
        6, "Samples that the amplified features are tried on, spread over the data.", low=1, high=32
    )
    latents: int = param(128, "Most features, those active in most samples.", low=4, high=100_000)
    draws: int = param(40, "Random latents.", low=20, high=1000)
    reader: str = param(AUTOMATIC, "Who answers.", choices=READERS)
    column: str | None = param(None, "Labels of a probe; automatic: 'label' where there is one.", column=True)
    maximum_samples: int = param(2000, "Most samples that a probe is fitted to.", low=16, high=100_000)


def read_write(
    activations, params: ReadWriteParams = ReadWriteParams(), rng=None, progress=no_progress
) -> Scatter:
    """Input score and output score of every feature.

    Parameters
    ----------
    activations : Activations
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Scatter
        A point for each feature, of kind "units". Estimates: shares that read, write, do both; mean scores.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No output layer of the tap's width, no vocabulary and no labels; no network and no labels; no feature fires.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    reader, notes = reader_of(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                              (0.0, 0.1))  # fmt: skip
    words = words_of(tap, made, reader)
    found = strongest_contexts(tap, words, np.arange(tap.shape[1]), seen, progress, (0.1, 0.3))
    fires = (found.rows >= 0).sum(axis=1)
    shown = np.sort(np.argsort(-fires, kind="stable")[: params.latents])
    shown = shown[fires[shown] > 0]
    refuse_none(shown, tap.name)
    count = max(1, min(params.outputs, len(words.names) // 10))
    directions = made.features.directions.astype(np.float64)
    drawn = _random_latents(directions[shown], found.size[shown], params.draws, rng)
    every = {str(j): (directions[j], float(found.size[j])) for j in shown} | drawn
    raised = {name: words.raised(d, count) for name, (d, _) in every.items()}
    changes = {n: amplified(made, d, params.amplification * size) for n, (d, size) in every.items()}
    answers = reader.probabilities(changes, params.prompts, progress, (0.3, 1.0))
    written = {n: output_score(answers[n], raised[n]) for n in every}
    read = {str(j): input_score(words, found.rows[j], raised[str(j)]) for j in shown}
    random = [raised[n] for n in drawn]
    shares, least = chance_levels(words, random, fires[shown], rng)
    like = rng.integers(len(shown), size=len(drawn))  # whose number of contexts each random latent has
    by_luck = rng.binomial(fires[shown][like], shares) / fires[shown][like]
    progress(1.0, "done")
    points = np.array([[read[str(j)], written[str(j)].mean()] for j in shown])
    null = np.array([[luck, written[n].mean()] for luck, n in zip(by_luck, drawn, strict=True)])
    writes = float(np.percentile(null[:, 1], 95))
    levels = np.column_stack([least, np.full(len(shown), writes)])
    place, chance, most = _place(points, levels), _place(null, levels[like]), levels[fires[shown].argmax()]
    before = {str(j): output_score(answers[CLEAN], raised[str(j)]).mean() for j in shown}
    columns = {
        "place": place,
        "outputs": np.array([", ".join(words.names[i] for i in raised[str(j)][:NAMED]) for j in shown]),
        "output score, unsteered": np.array([before[str(j)] for j in shown]),
        "spread over prompts": np.array([written[str(j)].std() for j in shown]),
        "contexts": fires[shown].astype(np.int64),
        "input score to beat": least,
    }
    return Scatter(
        title=f"What the features of {tap.name} read and write", reading=_reading(place, points, shown, words, tap),
        caveats=(*seen.notes, *notes, *made.notes, *_caveats(params, count, words, shown, fires, len(answers[CLEAN]))),
        estimates=_estimates(points, null, place, chance, rng), positions=points, rows=shown, of="units",
        axes=("input score", "output score"), colour="place", columns=columns,
        guides={f"95 % of random latents, input ({most[0]:.2f})": np.array([[most[0], 0.0], [most[0], 1.0]]),
                f"95 % of random latents, output ({writes:.2f})": np.array([[0.0, writes], [1.0, writes]])},
    )  # fmt: skip


def _random_latents(directions: np.ndarray, sizes: np.ndarray, draws: int, rng) -> dict:
    """Random directions, each as long and as strong as a feature drawn at random."""
    out = {}
    for i in range(draws):
        j, r = rng.integers(len(directions)), rng.standard_normal(directions.shape[1])
        out[f"random {i}"] = (
            r / np.linalg.norm(r) * np.linalg.norm(directions[j]),
            float(sizes[rng.integers(len(sizes))]),
        )
    return out


def _place(points: np.ndarray, levels: np.ndarray) -> np.ndarray:
    reads, writes = (points > levels).T
    return np.select([reads & writes, reads, writes], [BOTH, READS, WRITES], NEITHER)


def _estimates(points, null, place, by_chance, rng) -> tuple[Estimate, ...]:
    n, out = len(points), []
    for name, own in (("share that reads", (BOTH, READS)), ("share that writes", (BOTH, WRITES)),
                      ("share that does both", (BOTH,))):  # fmt: skip
        hits = int(np.isin(place, own).sum())
        out.append(Estimate(
            name, hits / n, *wilson(hits, n), interval="Wilson over features",
            null=float(np.isin(by_chance, own).mean()), null_method=f"{len(null)} random latents", n=n, d=2,
            estimator="score above 95 % of random latents",
        ))  # fmt: skip
    for i, name in enumerate(("mean input score", "mean output score")):
        value, (low, high) = float(points[:, i].mean()), bootstrap_mean(points[:, i], rng)
        means = null[:, i][rng.integers(len(null), size=(500, n))].mean(axis=1)
        out.append(Estimate(
            name, value, min(float(low), value), max(float(high), value), interval="bootstrap over features",
            **against(value, means), null_method="means over as many random latents", n=n, d=2,
        ))  # fmt: skip
    return tuple(out)


def _reading(place, points, shown, words, tap) -> str:
    counts = {p: int((place == p).sum()) for p in (BOTH, READS, WRITES, NEITHER)}
    said = (
        f"Of {len(shown)} features {counts[BOTH]} read and write, {counts[READS]} read their outputs without writing "
        f"them, {counts[WRITES]} write without reading, and {counts[NEITHER]} do neither beyond random latents."
    )
    best = [i for i in np.argsort(-points[:, 1], kind="stable")[:NAMED] if place[i] in (BOTH, WRITES)]
    if best:
        named = ", ".join(str(tap.unit_names[shown[i]]) for i in best)
        said += f" To steer by, begin with {named}: those with the largest output score."
    return said


def _caveats(params, count: int, words, shown, fires, prompts: int) -> list[str]:
    said = [
        f"Outputs are by logit weights of {words.said}: {count} of {len(words.names):,} for each feature.",
        f"The output score depends on the {prompts} prompt(s) and on the amplification, {params.amplification:g} times "
        "the mean of the strongest values.",
    ]
    if len(shown) < (fires > 0).sum():
        said.append(
            f"The {len(shown)} of {int((fires > 0).sum()):,} features that are active in most samples."
        )
    if fires[shown].min() < fires[shown].max():
        said.append(
            f"Features have {fires[shown].min()} to {fires[shown].max()} contexts; the line of the input score is that "
            "of the most, a feature with fewer has to be above its own."
        )
    if (fires == 0).any():
        said.append(f"{int((fires == 0).sum())} feature(s) that are never above 0 are not drawn.")
    if count == 1:
        said.append("There are few outputs: a feature has one only, and scores by chance are not small.")
    return said


def _cost(shapes, params: ReadWriteParams) -> Cost:
    (n, k), m = shapes[0], machine()
    runs, some = min(k, params.latents) + params.draws, min(n, params.maximum_samples)
    seconds = m.seconds(moved=60.0 * n * k + runs * params.prompts * 2e5) + NETWORK + 0.01 * runs
    return Cost(seconds, 16.0 * n * k + 8.0 * some * k * 3 + 8.0 * min(n, 4096) * k * 2)


def _check() -> tuple[CheckLine, ...]:
    """Units that are classes read and write their class; without amplification the unsteered answer stays."""
    rng = np.random.default_rng(0)
    of = np.arange(120) % 4
    x = 0.05 * rng.random((120, 8))
    x[:, :4] += np.eye(4)[of]
    tap = ArrayActivations(x, "planted", {"label": of})
    found, still = (read_write(tap, ReadWriteParams(amplification=a, draws=20)) for a in (10.0, 0.0))
    own = found.positions[:4]
    moved = still.positions[:, 1] - still.columns["output score, unsteered"]
    return (
        CheckLine("a unit that is a class reads it", 1.0, float(own[:, 0].min()), 0.0, "at least"),
        CheckLine("and writes it", 1.0, float(own[:, 1].min()), 0.05),
        CheckLine("units of noise write less", 0.1, float(own[:, 1].mean() - found.positions[4:, 1].mean()), 0.0,
                  "at least"),
        CheckLine("no amplification: the unsteered answer", 0.0, float(np.abs(moved).max()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="read_write", family="dictionaries", title="What features read and write", version=2, function=read_write,
        summary="Each feature at (input score, output score): which read their outputs, which write them.",
        params=ReadWriteParams, result=Scatter, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; scaling a direction up and its codes down",
        papers=("SAEs are good for steering \u2014 with the right features",),
    ),
)  # fmt: skip
