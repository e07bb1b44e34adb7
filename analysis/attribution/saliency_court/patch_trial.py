"""Samples that have a shortcut, given or planted, on trial; and how much of their answer hangs on it."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.activations import as_activations
from analysis.attribution import targets
from analysis.attribution.saliency_court.asking import FEWEST
from analysis.attribution.saliency_court.on_trial import cases_of, opened_trial, sample_run
from analysis.attribution.saliency_court.planting import PlantedTap, painted, refuse_without_place
from analysis.attribution.saliency_court.regions import Region, of_words, rectangle
from analysis.attribution.saliency_court.site_views import place_run
from analysis.attribution.saliency_court.trial import Case, Trial
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.cluster_columns import label_column
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.features.probe_reader import SMALLEST
from analysis.features.tap_dictionary import recorded_tap
from analysis.spec import Progress

PLANTED, GIVEN = "a patch that is planted here", "the data have it"
CHOICES = (PLANTED, GIVEN)
EQUAL, TAKEN = 40, 0.9  # equal regions that are taken out; place from which on a region matters


def opened_patches(
    activations, params, rng: np.random.Generator, progress: Progress
) -> tuple[Trial, list[Region]]:
    """The trial, and the region of each of its cases. Raises as `opened_trial`, and ParameterError, NotFound."""
    tap, plant = recorded_tap(as_activations(activations)), params.shortcut == PLANTED
    if not plant:
        trial = opened_trial(tap, params, rng, progress, (0.0, 0.15))
        return trial, _given(trial, params, rng)
    chosen: dict = {}

    def planted(source):
        chosen["samples"], chosen["class"] = _samples_of_a_class(source, params, rng)
        return PlantedTap(source, chosen["samples"], _places(source, params), params.level)

    trial = opened_trial(tap, params, rng, progress, (0.0, 0.15), planted=planted)
    if trial.is_network:
        _paint(trial, params)
    else:
        _keep_planted(trial, chosen, params)
    return trial, [_region(trial, case, params) for case in trial.cases]


def _region(trial: Trial, case: Case, params) -> Region:
    grid, leading = trial.grid_of(case)
    return rectangle(grid, leading, case.run.shape[0], params.top, params.left, params.height, params.width)


def _given(trial: Trial, params, rng) -> list[Region]:
    if not params.words:
        return [_region(trial, case, params) for case in trial.cases]
    asked, cases, regions = params.words.split(","), [], []
    for case in trial.cases:
        try:
            regions.append(of_words(_texts(case), asked, rng))
            cases.append(case)
        except NotFound:
            continue
    if len(cases) < FEWEST:
        raise NotEnoughData(
            f"{len(cases)} of {len(trial.cases)} samples have one of the words {params.words}", f"at least {FEWEST}",
            "Choose more samples or other words",
        )  # fmt: skip
    trial.cases = cases
    trial.notes.append(f"{len(cases):,} samples have one of the words.")
    return regions


def _texts(case: Case) -> list[str]:
    """Of every token of the site."""
    run = case.run
    ids = run.inputs.get("input_ids") if hasattr(run.inputs, "get") else None
    if ids is None or run.loaded.decode is None or ids.shape[1] != run.shape[0]:
        raise InputError(
            "samples whose tokens are no words",
            "a text, and a tap with all its tokens",
            "Name rows and columns",
        )
    return [run.loaded.decode(int(i)) for i in ids[0]]


def _samples_of_a_class(tap, params, rng) -> tuple[np.ndarray, int]:
    """A share of the samples of the largest class, and its number."""
    column = label_column(tap, params.column)
    found = class_codes(np.asarray(tap.samples[column]), column, SMALLEST)
    stay = np.flatnonzero(found.stay)
    of = int(np.bincount(found.codes).argmax())
    own = stay[found.codes == of]
    return np.sort(rng.choice(own, size=max(1, round(params.fraction * len(own))), replace=False)), of


def _places(tap, params) -> np.ndarray:
    """Rows of a sample, or units of its one row, that the patch covers."""
    layout = tap.layout
    if layout.is_pooled:
        region = rectangle(None, 0, tap.shape[1], params.top, params.left, params.height, params.width)
    else:
        tokens = int(np.diff(layout.offsets).max())
        grid = layout.grid if layout.grid and layout.leading + np.prod(layout.grid) == tokens else None
        leading = layout.leading if grid else 0
        region = rectangle(grid, leading, tokens, params.top, params.left, params.height, params.width)
    return np.flatnonzero(region.inside)


def _paint(trial: Trial, params) -> None:
    """A patch in the input of every case; what is explained is the answer to it. Raises InputError where the places of
    the maps are nowhere in the input."""
    cases = []
    for case in trial.cases:
        grid, leading = trial.grid_of(case)
        refuse_without_place(case.run, grid)
        inside = _region(trial, case, params).inside[leading:]
        run = painted(sample_run(trial.samples, case.number, params), grid, inside, params.level)
        target = targets.logit_target(run.logits, params.number, params.answer)
        cases.append(dataclasses.replace(case, run=place_run(run, trial.tap.layout), target=target))
    trial.cases = cases
    trial.passes += len(cases)
    trial.notes.append(
        "The patch stands in the input of the trained network, which was not taught that it decides."
    )


def _keep_planted(trial: Trial, chosen: dict, params) -> None:
    """Only samples that have the patch, in the place of those drawn; explained is the class that it stands for."""
    samples = trial.samples
    have = np.flatnonzero(np.isin(samples.samples, chosen["samples"]))
    if len(have) < FEWEST:
        raise NotEnoughData(
            f"{len(have)} samples with the patch", f"at least {FEWEST}", "Plant it in a larger share"
        )
    picked = np.sort(trial.rng.choice(have, size=min(params.samples, len(have)), replace=False))
    answer = chosen["class"] if params.answer is None else params.answer
    trial.cases = cases_of(
        samples, picked, dataclasses.replace(params, answer=answer), None, trial.rng, trial.tap.layout
    )
    trial.passes += len(picked)
    trial.notes.append(
        f"A patch was planted in {len(chosen['samples']):,} samples of class {samples.word(chosen['class'])} before "
        f"the probe was fitted; {len(picked):,} of them are explained."
    )


def answer_parts(
    trial: Trial, regions: list[Region], progress: Progress, span
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(n,) by how much the number falls as the region is taken out, over the mean size of the difference of sample and
    background; and the same of some equal regions of each."""
    import torch

    parts, others, whole = [], [], []
    for i, (case, region) in enumerate(zip(trial.cases, regions, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / len(regions), "taking regions out")
        equal = len(region.equal)  # at random, as neighbours overlap alike
        some = region.equal[trial.rng.choice(equal, size=min(EQUAL, equal), replace=False)]
        out = np.concatenate([region.inside[None], some, np.zeros((1, len(region.inside)), bool)])
        out = torch.as_tensor(np.concatenate([out, np.ones((1, len(region.inside)), bool)]))
        x = torch.where(out[:, :, None], case.background.rows[0], case.run.clean)
        y = case.run.values(x, case.target).double().numpy()
        trial.passes += len(y)
        parts.append(y[-2] - y[0])
        others.append(y[-2] - y[1:-2])
        whole.append(y[-2] - y[-1])
    size = float(np.abs(whole).mean())
    if not size > 0:
        raise InputError(
            "the same answer on every sample and on its background", "one that hangs on the site"
        )
    return np.array(parts) / size, [o / size for o in others]
