"""Which samples leave early, and which need the whole network? Samples by the exit that they leave at.

    a sample leaves behind the first layer whose answer has a probability of at least the threshold

with the network's own readout behind each layer (`early_exits`, `logit_lens`). Of each exit the surest samples come
first; behind the last layer stand those that never were sure enough, the least sure first.

Null: of the share that leaves at each exit an even one; of the share whose answer is the full network's, that of all
samples at that exit, whichever leave there. Interval: Wilson's.

When it lies: confidence is not calibrated in layers that were never asked, so that "easy" means that an early readout
is loud; which samples come first depends on the threshold; an early leaver may be wrong, and stays so.

Cost: as many passes of every sample as there are layers.

Reference: Y. Han et al. (2023), "Dynamic Perceiver for efficient visual recognition".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import InputError
from analysis.results import Estimate, Gallery
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.exits import SAME, hits, leaving, lens_exits
from analysis.tokens.stream import BLOCKS, OUTPUTS, RandomStream, stream
from analysis.tokens.stream_cost import SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN


@dataclass(frozen=True)
class ExitSamplesParams:
    threshold: float = param(0.9, "Probability at which a sample leaves.", low=0.0, high=1.05)
    number: int = param(12, "Most samples that are shown of each exit.", low=1, high=200)
    maximum_samples: int = param(128, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def exit_samples(
    activations, params: ExitSamplesParams = ExitSamplesParams(), rng=None, progress=no_progress
) -> Gallery:
    """Samples by the layer behind which they leave.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer of classes or of text that can be run again; otherwise its rows go through random
        blocks.

    Returns
    -------
    Gallery
        First rows of samples, with their confidence, of each exit that is used.

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
    progress(1.0, "done")
    left = leaving(logs, params.threshold)
    groups = grouped(logs, left, params.number)
    rows = (
        who.samples * RUN if tap.layout.is_pooled and not who.is_network else tap.layout.offsets[who.samples]
    )
    told = _estimates(logs, left, who, tap.shape[1])
    shown = {f"behind {who.names[e]}": at for e, at in groups.items()}
    sure = np.exp(logs.max(axis=2))
    return Gallery(
        title=f"Samples by the layer behind which they leave {who.what}",
        groups={name: rows[at] for name, at in shown.items()},
        values={name: sure[left[at], at] for name, at in shown.items()}, value_name="confidence",
        of="samples", estimates=told,
        reading=_reading(left, who.names, params.threshold),
        caveats=(*notes, f"{who.n:,} samples; the network's own readout behind each layer, untrained."),
    )  # fmt: skip


def grouped(logs: np.ndarray, left: np.ndarray, number: int) -> dict[int, np.ndarray]:
    """Places of at most `number` samples by exit: the surest first, the least sure first at the last exit."""
    sure, last = np.exp(logs.max(axis=2)), len(logs) - 1
    found = {}
    for e in np.unique(left).tolist():
        at = np.flatnonzero(left == e)
        order = np.argsort(sure[e, at] * (1 if e == last else -1), kind="stable")
        found[e] = at[order][:number]
    return found


def _estimates(logs, left, who, d: int) -> tuple[Estimate, ...]:
    n, out, same = logs.shape[1], [], hits(logs, None)[SAME]
    for e, name in enumerate(who.names):
        here = (left == e).astype(float)
        out.append(Estimate(f"leave behind {name}", float(here.mean()), **share_interval(here), null=1 / len(logs),
                            null_method="as many at each exit", n=n, d=d, estimator="share of samples"))  # fmt: skip
        if here.any():
            right = same[e, left == e]
            told = f"{SAME}, of those that leave behind {name}"
            out.append(Estimate(told, float(right.mean()), **share_interval(right),
                                null=float(same[e].mean()), null_method="all samples at this exit", n=len(right), d=d,
                                estimator="share of samples"))  # fmt: skip
    return tuple(out)


def _reading(left: np.ndarray, names, threshold: float) -> str:
    share = np.bincount(left, minlength=len(names)) / len(left)
    most = int(share.argmax())
    return (
        f"At a confidence of {threshold:g}, {share[0]:.0%} of the samples leave behind {names[0]} and {share[-1]:.0%} "
        f"only behind {names[-1]}; most ({share[most]:.0%}) leave behind {names[most]}."
    )


def _check() -> tuple[CheckLine, ...]:
    """Every sample leaves once; at threshold 0 behind the first layer, above 1 behind the last; the surest come
    first."""
    rng = np.random.default_rng(0)
    logs = lens_exits(RandomStream(rng.standard_normal((30, 6, 8)), np.ones((30, 6), bool), rng, 4))
    found = grouped(logs, leaving(logs, 0.5), 30)
    first = np.exp(logs.max(axis=2))[0, grouped(logs, leaving(logs, 0.0), 30)[0]]
    return (
        CheckLine("samples in all groups", 30, sum(map(len, found.values())), 0.0),
        CheckLine("threshold 0: samples behind the first layer", 30, len(first), 0.0),
        CheckLine("the surest come first", 0.0, float(np.diff(first).max()), 0.0, "at most"),
        CheckLine("above 1: only exit", 3, min(grouped(logs, leaving(logs, 1.05), 30)), 0.0),
    )


METHODS = (
    Method(
        id="exit_samples", family="tokens", network="blocks",
        title="Easy and hard samples", version=3, function=exit_samples,
        summary="Samples by the layer behind which they would leave the network, the surest first.",
        params=ExitSamplesParams, result=Gallery, check=_check, minimum_rows=2,
        cost=lambda shapes, params: passes_cost(
            shapes, params, BLOCKS, 24.0 * (BLOCKS + 1) * OUTPUTS * min(shapes[0][0], params.maximum_samples)
        ),
        invariance="the order of samples; a constant added to all logits",
        papers=("Dynamic Perceiver for Efficient Visual Recognition",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
