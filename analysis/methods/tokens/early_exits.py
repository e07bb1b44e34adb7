"""If samples could leave the network early, when would each leave, and what would it save? Accuracy over confidence.

    a sample leaves behind the first layer whose answer has a probability of at least the threshold

Exits are the network's own readout behind each layer (`logit_lens`; nothing is trained), or, of a network that was
trained with exits, its readout where they share one. The cost of leaving is that of the layers passed, in multiply-adds
in closed form, and of all that stands outside the blocks, as a share of the whole network. At threshold 0 all leave at
the first exit; above 1 none before the last, whose answer is the network's; the cost only rises with the threshold.

Null: as many samples leave at each exit, but other ones, exact mean (of the right answer among samples with a label):
what confidence is worth. Interval: Wilson's.

When it lies: confidence is not calibrated, and less so in early layers, which were never asked; a readout made for the
last layer undersells early ones (see `exit_divergence` for trained exits); multiply-adds are not seconds, and a batch
waits for its slowest sample.

Cost: as many passes of every sample as there are layers.

References: Y. Han et al. (2023), "Dynamic Perceiver for efficient visual recognition"; S. Teerapittayanon et al.
(2016), "BranchyNet".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.exits import RIGHT, SAME, THRESHOLDS, costs_of, hits, leaving, lens_exits
from analysis.tokens.stream import BLOCKS, OUTPUTS, RandomStream, stream
from analysis.tokens.stream_cost import AT_ONCE, SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

COST, THRESHOLD = "cost", "threshold"
SHARE = "share of the cost"


@dataclass(frozen=True)
class EarlyExitsParams:
    over: str = param(
        COST, "What answers are drawn over: what is spent, or the threshold.", choices=(COST, THRESHOLD)
    )
    maximum_samples: int = param(128, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def early_exits(
    activations, params: EarlyExitsParams = EarlyExitsParams(), rng=None, progress=no_progress
) -> Curve:
    """What leaving early keeps and saves.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer of classes or of text that can be run again; otherwise its rows go through random
        blocks.

    Returns
    -------
    Curve
        Over the mean cost (or the threshold): the share with the full network's answer, and the right one where there
        are labels, beside as many random samples leaving.

    Raises
    ------
    InputError, NotEnoughData
        Outputs that are no classes; rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    if not who.classifies:
        raise InputError(f"outputs of {who.what} that are no classes", "probabilities to be confident of",
                         "Choose a network that classifies")  # fmt: skip
    logs = lens_exits(who, lambda f: progress(0.2 + 0.75 * f, "reading layers out"))
    costs, right = costs_of(who), hits(logs, who.labels)
    progress(1.0, "done")
    return _curve(who, logs, costs, right, params.over, tap.shape[1], notes)


def _curve(who, logs, costs, right, over: str, d: int, notes) -> Curve:
    left = np.stack([leaving(logs, t) for t in THRESHOLDS])  # (thresholds, n)
    spent = costs[left].mean(axis=1)
    series, low, high, null = {}, {}, {}, {}
    for name, hit in right.items():
        got = [hit[at, np.arange(len(at))] for at in left]
        got = [g[np.isfinite(g)] for g in got]
        series[name], ends = np.array([g.mean() for g in got]), [share_interval(g) for g in got]
        low[name], high[name] = (np.array([e[s] for e in ends]) for s in ("low", "high"))
        null[name] = np.array([_by_chance(hit, at) for at in left])
    if over == THRESHOLD:
        series[SHARE] = spent
    x = spent if over == COST else THRESHOLDS
    told = _estimates(logs, costs, right, d)
    return Curve(
        title=f"Leaving {who.what} early", x=x, x_name=SHARE if over == COST else "threshold of confidence",
        y_name="share of samples", series=series, low=low, high=high, null=null, estimates=told,
        reading=_reading(told), caveats=(*notes, *_caveats(who, logs, right)),
    )  # fmt: skip


def _by_chance(hit: np.ndarray, left: np.ndarray) -> float:
    """Mean hit where as many samples leave at each exit, whichever they are."""
    known = np.isfinite(hit[0])
    share = np.bincount(left[known], minlength=len(hit)) / known.sum()
    return float(share @ hit[:, known].mean(axis=1))


def _estimates(logs, costs, right, d: int) -> tuple[Estimate, ...]:
    n, out = logs.shape[1], []
    for threshold in (0.5, 0.9):
        left = leaving(logs, threshold)
        cost = costs[left]
        out.append(Estimate(f"{SHARE} at confidence {threshold:g}", float(cost.mean()), **mean_interval(cost, 0.0, 1.0),
                            null=1.0, null_method="all samples through all layers", n=n, d=d,
                            estimator="multiply-adds in closed form, mean over samples"))  # fmt: skip
        for name, hit in right.items():
            got = hit[left, np.arange(n)]
            got = got[np.isfinite(got)]
            out.append(Estimate(f"{name} at confidence {threshold:g}", float(got.mean()), **share_interval(got),
                                null=_by_chance(hit, left), null_method="other samples leave, exact mean", n=len(got),
                                d=d, estimator="share of samples"))  # fmt: skip
    return tuple(out)


def _reading(told) -> str:
    cost, same = told[0], told[1]
    later = next(e for e in told if e.name.startswith(f"{SHARE} at confidence 0.9"))
    kept = next(e for e in told if e.name == f"{SAME} at confidence 0.9")
    return (
        f"Leaving at a confidence of 0.9 costs {later.value:.0%} of the network and keeps its answer in "
        f"{kept.value:.0%} of samples ({kept.null:.0%} if others left); at 0.5 it costs "
        f"{cost.value:.0%} and keeps {same.value:.0%}."
    )


def _caveats(who, logs, right) -> list[str]:
    said = [f"{logs.shape[1]:,} samples, {len(logs)} exits: the network's own readout behind each layer, untrained.",
            f"Multiply-adds of a sample of the mean length of the first {min(logs.shape[1], AT_ONCE)}, not seconds; "
            "the readout itself is counted once."]  # fmt: skip
    if RIGHT in right and not np.isfinite(right[RIGHT]).all():
        said.append(f"{int(np.isfinite(right[RIGHT][0]).sum())} samples have a label.")
    if who.labels is None:
        said.append("There are no labels: answers are held against the full network's alone.")
    return said


def _check() -> tuple[CheckLine, ...]:
    """Threshold 0: all leave first; above 1: all last, with the network's answer; cost rises; p_e of exits sum to 1."""
    rng = np.random.default_rng(0)
    who = RandomStream(rng.standard_normal((30, 6, 8)), np.ones((30, 6), bool), rng, 4)
    logs, costs = lens_exits(who), costs_of(who)
    left = np.stack([leaving(logs, t) for t in THRESHOLDS])
    spent = costs[left].mean(axis=1)
    shares = np.bincount(left[8], minlength=4) / 30
    return (
        CheckLine("threshold 0: last exit that is used", 0, int(left[0].max()), 0.0),
        CheckLine("above 1: first exit that is used", 3, int(left[-1].min()), 0.0),
        CheckLine("above 1: the network's answer", 1.0, float(hits(logs, None)[SAME][3].mean()), 0.0),
        CheckLine("above 1: cost", 1.0, float(spent[-1]), 1e-12),
        CheckLine("cost never falls", 0.0, float(np.diff(spent).min()), 1e-12, "at least"),
        CheckLine("Σ p_e F_e", float(shares @ costs), float(spent[8]), 1e-12),
    )


METHODS = (
    Method(
        id="early_exits", family="tokens", network="blocks", title="Leaving early", version=3, function=early_exits,
        summary="Samples leave behind the first layer that is sure enough: what is kept, what is saved.",
        params=EarlyExitsParams, result=Curve, check=_check,
        cost=lambda shapes, params: passes_cost(
            shapes, params, BLOCKS, 24.0 * (BLOCKS + 1) * OUTPUTS * min(shapes[0][0], params.maximum_samples)
        ),
        minimum_rows=2, invariance="the order of samples; a constant added to all logits",
        papers=("Dynamic Perceiver for Efficient Visual Recognition",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
