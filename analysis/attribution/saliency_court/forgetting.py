"""A trial whose network forgets what it learned, stage by stage: layers reset from the output downwards, or a probe
fitted to permuted labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from analysis.attribution.saliency_court import reset_layers
from analysis.attribution.saliency_court.permuted_labels import permuted_probe
from analysis.attribution.saliency_court.site_views import place_run
from analysis.attribution.saliency_court.trial import Case, Trial
from analysis.errors import InputError


def stages_behind(trial: Trial, params) -> tuple[tuple[str, ...], list[list[str]]]:
    """What stands on the axis, and the layers that each stage resets; of a probe one stage, its labels. Raises
    InputError where no layer runs behind the site."""
    if not trial.is_network:
        return ("as fitted", "labels permuted"), [[]]
    case = trial.cases[0]
    layers, lost = reset_layers.layers_behind(case.run, case.target)
    if not layers:
        raise InputError(f"no layer with weights runs behind {case.run.site}", "an earlier tap")
    if lost:
        trial.notes.append(f"Not reset, as they do not run by themselves: {', '.join(lost[:5])}.")
    stages = reset_layers.stages_of(layers, params.stages)
    down = ", then ".join(stage[-1] or "the whole" for stage in stages)
    trial.notes.append(f"Layers are reset down to {down}.")
    return ("as trained", *(reset_layers.short_name(stage[-1]) for stage in stages)), stages


def reset_cases(trial: Trial, stages, params, rng) -> Iterator[list[Case]]:
    """The cases of each stage, in a network whose weights are not its own as long as the stage lasts."""
    if trial.is_network:
        with reset_layers.reset_weights(trial.cases[0].run.loaded.module, params.weights, rng) as reset:
            for stage in stages:
                reset(stage)
                yield trial.cases
        return
    probe = permuted_probe(trial.tap, params.column, trial.probe_seed, rng)
    place = {int(s): i for i, s in enumerate(probe.samples)}
    at = [place[int(trial.samples.samples[case.number])] for case in trial.cases]
    yield [
        dataclasses.replace(case, run=place_run(probe.run(i), trial.tap.layout))
        for case, i in zip(trial.cases, at, strict=True)
    ]
