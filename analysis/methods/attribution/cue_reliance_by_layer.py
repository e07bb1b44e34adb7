"""Along the layers: how well two cues can be read, and which of them a reader there follows where they disagree.

At each tap the share of samples of which a held-out linear probe reads the core cue and the shortcut, and the share of
conflicts (samples whose cues say different labels) that a linear probe of the label there, and the optimal reader of
both cues, decide by the shortcut; definitions as in `cue_reliance`. A shortcut that is easy to read early and a core
cue that comes late is what shortcut learning feeds on.

Null: the most frequent value of a cue; of reliance, the answers of other conflicts. Bands: Wilson's over samples and
over conflicts.

When it lies: as `cue_reliance`; what a linear probe can read at a layer need not be what later layers use, and the
network's own answer is one for all layers, drawn as a level where it is known.

Cost: for each tap 25 softmax regressions, O(n d classes) for each of their steps; memory O(n Σ d).

References: K. Hermann et al. (2024), "On the foundations of shortcut learning"; G. Alain & Y. Bengio (2017) for probes
along the layers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.cue_conflict import CORE, CUES, SHORTCUT
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import wilson
from analysis.compute.subspaces.cue_lines import FEWEST, CueParams, bias_estimate, cue_lines, exchanged
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress

READ = {cue: f"{cue} is read" for cue in CUES}
PROBE, OPTIMAL, NETWORK = "probe follows it", "optimal follows it", "network follows it"


@dataclass(frozen=True)
class CueRelianceByLayerParams(CueParams):
    """Asks no more."""


def cue_reliance_by_layer(
    *taps, params: CueRelianceByLayerParams = CueRelianceByLayerParams(), rng=None, progress=no_progress
) -> Curve:
    """Availability of two cues and reliance on the shortcut along taps.

    Parameters
    ----------
    *taps : two or more Activations of the same samples, in order of depth; the first has the sample columns.

    Returns
    -------
    Curve
        Shares over the taps with bands and null. Estimates: the bias at each tap.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As `cue_reliance`.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    found = cue_lines(taps, params, rng, progress)
    cues, apart = found.cues, found.cues.conflict
    says = cues.says[SHORTCUT][apart]
    yes = {
        **{READ[cue]: [f.read[cue] for f in found.found] for cue in CUES},
        PROBE: [f.probe[apart] == says for f in found.found],
        OPTIMAL: [f.optimal[apart] == says for f in found.found],
    }
    if found.answers is not None:
        yes[NETWORK] = [found.answers[apart] == says] * len(taps)
    null = {READ[cue]: np.full(len(taps), np.bincount(cues.of[cue]).max() / len(cues.label)) for cue in CUES}
    null[PROBE] = np.array([exchanged(f.probe[apart], says) for f in found.found])
    ends = {name: np.array([wilson(y.sum(), len(y)) for y in each]) for name, each in yes.items()}
    estimates = tuple(
        bias_estimate(dataclasses.replace(found, answers=None), i) for i in range(len(taps))
    )  # of the probe at each tap
    progress(1.0, "done")
    return Curve(
        title=f"'{cues.called[CORE]}' and '{cues.called[SHORTCUT]}' along {len(taps)} taps",
        reading=_reading(found, yes), caveats=found.notes, estimates=estimates, x=np.arange(len(taps), dtype=float),
        x_name="tap", x_labels=found.taps, y_name="share of samples, or of conflicts",
        series={name: np.array([float(y.mean()) for y in each]) for name, each in yes.items()},
        low={name: e[:, 0] for name, e in ends.items()}, high={name: e[:, 1] for name, e in ends.items()}, null=null,
    )  # fmt: skip


def _reading(found, yes) -> str:
    first, last = ({cue: yes[READ[cue]][i].mean() for cue in CUES} for i in (0, -1))
    probe = [float(y.mean()) for y in yes[PROBE]]
    top = int(np.argmax(probe))
    return (
        f"From {found.taps[0]} to {found.taps[-1]} the core cue is read of {first[CORE]:.0%} to {last[CORE]:.0%} of "
        f"samples and the shortcut of {first[SHORTCUT]:.0%} to {last[SHORTCUT]:.0%}. A probe of the label follows the "
        f"shortcut most at {found.taps[top]}, in {probe[top]:.0%} of {int(found.cues.conflict.sum()):,} conflicts."
    )


def _cost(shapes, params: CueRelianceByLayerParams) -> Cost:
    m, n = machine(), min(min(r for r, _ in shapes), params.maximum_samples)
    d = sum(u + 4 for _, u in shapes)
    seconds = m.seconds(flops64=25 * 150 * 12.0 * n * d, moved=30.0 * n * d)
    return Cost(seconds + 0.05 * len(shapes), 8.0 * n * d * 5 + 600.0 * n)


def _check() -> tuple[CheckLine, ...]:
    """A core cue that is not in the first tap and clear in the second, a shortcut that is clear in both."""
    rng = np.random.default_rng(4)
    y = np.arange(400) % 2
    cue = np.where(rng.random(400) < 0.75, y, 1 - y)
    early = np.column_stack([4.0 * cue, np.zeros(400)]) + 0.5 * rng.standard_normal((400, 2))
    late = early + np.outer(4.0 * y, [0.0, 1.0])
    taps = [
        ArrayActivations(x, name, {"label": y, "cue": cue}) for x, name in ((early, "early"), (late, "late"))
    ]
    s = cue_reliance_by_layer(*taps, params=CueRelianceByLayerParams(shortcut="cue")).series
    return (
        CheckLine("the shortcut is read early", 1.0, float(s[READ[SHORTCUT]][0]), 0.01),
        CheckLine("a probe follows it there", 1.0, float(s[PROBE][0]), 0.01),
        CheckLine("so does the optimal reader", 1.0, float(s[OPTIMAL][0]), 0.01),
        CheckLine("the core cue is read late", 1.0, float(s[READ[CORE]][1]), 0.01),
        CheckLine("a probe follows the shortcut no more", 0.0, float(s[PROBE][1]), 0.01),
    )


METHODS = (
    Method(
        id="cue_reliance_by_layer", family="attribution", title="Cue conflict along the layers", version=2,
        function=cue_reliance_by_layer,
        summary="How well a core cue and a shortcut can be read at each layer, and which a reader there follows.",
        params=CueRelianceByLayerParams, result=Curve, check=_check, cost=_cost, inputs=2,
        more_inputs=True, minimum_rows=FEWEST,
        invariance="shifting or scaling units; naming the labels otherwise",
        papers=("On the Foundations of Shortcut Learning",),
    ),
)  # fmt: skip
