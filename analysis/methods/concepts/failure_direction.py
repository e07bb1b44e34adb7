"""Which real samples lead a sample to failure? The feature at which a probe fails, as a sum of samples to look at.

For each named sample (or the most fragile ones) three groups: the sample; those with the largest positive coefficients
in the feature x + Σ c_j x_j at which another class leads, which the way goes towards; and those with the most negative
ones, which it leaves. Margins and directions are those of fragile_samples: the gradient of the loss of a probe that did
not see the sample, projected on the span of a batch of other samples; features centred and of unit length.

Null: positive coefficients fall on the class that samples fail as about as often as that class is in the batch.

When it lies: as for fragile_samples; the batch is drawn at random, so that another seed shows other samples of the same
direction; a coefficient is no similarity: a sample far away can have a large one.

Cost: as fragile_samples with two refits. Memory O(n (d + batch)).

Reference: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.subspaces.compared_probes import FEWEST
from analysis.compute.subspaces.fragile_report import (
    FragileData,
    FragileParams,
    fragile_caveats,
    fragile_data,
    fragile_data_cost,
    fragile_estimates,
)
from analysis.errors import NotFound, ParameterError
from analysis.results import Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param

REFITS, MOST_NAMED = 2, 6  # three groups of each fit into a gallery


@dataclass(frozen=True)
class FailureDirectionParams(FragileParams):
    samples: str = param("", "Ids, with commas between; empty: the most fragile ones.")
    count: int = param(3, "How many of the most fragile ones, where none is named.", low=1, high=MOST_NAMED)
    examples: int = param(8, "Samples shown on either side.", low=1, high=30)
    epsilon: float = param(
        0.1, "Length of the step where no class leads on the way.", low=0.001, high=2.0, late=True
    )


def failure_direction(
    activations, params: FailureDirectionParams = FailureDirectionParams(), rng=None, progress=no_progress
) -> Gallery:
    """The samples that a failing feature is made of.

    Parameters
    ----------
    activations : Activations with the class column

    Returns
    -------
    Gallery
        For each sample three groups, with coefficients in the feature at which the probe fails; of a tap with tokens a
        sample is shown by its first. Estimates as for fragile_samples.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        No such sample among those used; more than six of them; otherwise as for fragile_samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    named = [name.strip() for name in params.samples.split(",") if name.strip()]
    if len(named) > MOST_NAMED:
        raise ParameterError(f"{len(named)} samples", f"at most {MOST_NAMED}", "Name fewer")
    data = fragile_data(tap, params, REFITS, rng, progress)
    chosen = [_place(data, name) for name in named] or data.order()[: params.count].tolist()
    progress(1.0, "done")
    groups, values, start = {}, {}, np.asarray(tap.layout.offsets)
    for i in chosen:
        for name, places, c in _parts(data, i, params):
            groups[name], values[name] = start[data.samples[places]], c
    return Gallery(
        title=f"Ways to failure in {tap.name} ({params.column})", groups=groups, values=values,
        value_name="coefficient in the feature that fails", reading=_reading(data, chosen, params.epsilon),
        caveats=fragile_caveats(data), estimates=fragile_estimates(data, params.epsilon),
    )  # fmt: skip


def _place(data: FragileData, name: str) -> int:
    found = np.flatnonzero(data.ids == name)
    if not len(found):
        raise NotFound(f"no labelled sample {name!r} among the {len(data.ids):,} used", "an id of this store")
    return int(found[0])


def _parts(data: FragileData, i: int, params) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(name, places, coefficients) of the three groups; an empty side is left out."""
    own = str(data.ids[i])
    out = [(own, np.array([i]), np.ones(1))]
    for sign, word in ((1, "towards"), (-1, "away")):
        places, c = data.leading(i, params.epsilon, params.examples, sign)
        if len(places):
            out.append((f"{own}, {word}", places, c))
    return out


def _reading(data: FragileData, chosen: list[int], epsilon: float) -> str:
    said = []
    for i in chosen:
        at, own = float(data.found.fails_at[i]), f"Sample {data.ids[i]} ({data.names[data.of[i]]})"
        end = data.names[data.found.becomes[i]]
        if at == 0:
            said.append(f"{own} is taken for {end} already; shown is one more step of {epsilon:g}.")
        elif np.isfinite(at):
            said.append(f"{own} is taken for {end} after {at:.2g} feature lengths.")
        else:
            said.append(f"{own} never fails along its direction; shown is a step of {epsilon:g}.")
    return " ".join(said)


def _cost(shapes, params: FailureDirectionParams) -> Cost:
    return fragile_data_cost(shapes, params, REFITS)


def _check() -> tuple[CheckLine, ...]:
    """Two far classes: the way of a sample goes towards the other class and away from its own; its coefficients make
    the feature that fails."""
    rng = np.random.default_rng(2)
    label = np.arange(80) % 2
    x = 0.1 * rng.standard_normal((80, 6))
    x[:, 0] += np.where(label, 1.0, -1.0)
    found = failure_direction(
        ArrayActivations(x, samples={"label": label}),
        FailureDirectionParams(samples="0", epochs=5, others=30),
    )
    own, towards, away = found.groups.values()
    weight = found.estimates[-1]
    return (
        CheckLine("the sample itself", 0, float(own[0]), 0.0),
        CheckLine("towards: of the other class", 1.0, float(label[towards].mean()), 0.0),
        CheckLine("away from: of its own class", 0.0, float(label[away].mean()), 0.0),
        CheckLine("towards: positive", 0.0, float(found.values["0, towards"].min()), 0.0, "at least"),
        CheckLine("weight on the class it fails as", 0.95, weight.value, 0.0, "at least"),
        CheckLine("by chance", 0.5, weight.null, 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="failure_direction", family="concepts", title="Samples that lead to failure", version=1,
        function=failure_direction,
        summary="The real samples that the easiest way to a wrong answer is made of, for the most fragile samples.",
        params=FailureDirectionParams, result=Gallery, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing but the random control",
        papers=("SeA: semantic adversarial augmentation of last-layer features",),
    ),
)  # fmt: skip
