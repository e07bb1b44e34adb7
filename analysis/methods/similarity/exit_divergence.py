"""How much of a network's answer can be read off each of its layers by a linear exit?

Taps: layers in their order, the network's outputs (logits or probabilities) last. On each layer an exit is trained to
mimic the network's own probabilities p: multinomial logistic regression with soft labels, five folds of samples, its
penalty chosen inside the training samples (`compute.outputs.soft_exits`). Drawn over the layers is the mean divergence
KL(p || exit) on held-out samples, in nats, or the share of samples with the network's top class, and with the right
class where there are labels.

Null (dashed): the divergence of the constant exit, the mean probabilities of the training samples: what remains where a
layer tells nothing; the p-value is of Student's test that a sample's divergence falls below it, one-sided. Of
shares the mean over all exchanges of samples, exact. Bands: samples.

When it lies: a linear exit sees what is there linearly, not what later layers use; a low divergence at an early layer
does not say that the network has decided there; with few samples and many units exits are poor, and the curve says so
of the samples, not of the layer; pooled tokens hide where things are; folds share training samples, so that bands are a
little too narrow; a network that is nearly sure makes divergences large on the few samples that an exit gets wrong.

Cost: O(n d C) for each step of the fit, some thousand steps a layer at most; memory O(n (Σ d + C)).

References: Z. Hao et al. (2023), "One-for-All: Bridge the gap between heterogeneous architectures in knowledge
distillation" (layers compared in the space of logits); G. Alain & Y. Bengio (2016), "Understanding intermediate layers
using linear classifier probes"; D. Böhning (1992), "Multinomial logistic regression algorithm".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import kl
from analysis.compute.outputs.exit_report import (
    KL,
    SAME,
    Exits,
    divergences,
    exit_caveats,
    exit_estimates,
    exit_reading,
    shares,
)
from analysis.compute.outputs.model_outputs import (
    KINDS,
    labels_of,
    log_probabilities,
    refuse_no_label,
    refuse_single_class,
)
from analysis.compute.outputs.soft_exits import FOLDS, constant_exit, held_out_exit, log_softmax
from analysis.compute.rows.common_samples import CommonSamples, common_samples
from analysis.compute.rows.constant_units import constant_notes
from analysis.compute.rows.tap_names import tap_names
from analysis.errors import InputError, TooLarge
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, MOST_CLASSES, TYPICAL_STEPS = 25, 4096, 400
OUTPUTS = 0.9  # of samples, whose largest output is what the network predicted


@dataclass(frozen=True)
class ExitParams:
    show: str = param(
        "divergence", "Divergence in nats, or how often the top class is the network's and the right one.",
        choices=("divergence", "top class"),
    )  # fmt: skip
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    label: str = param(
        "", "Sample column with the right class; empty: 'label' where there is one that fits.", column=True
    )
    scaling: str = param(
        "standardised", "Units each with deviation 1, or as they are: the penalty then spares large units.",
        choices=("standardised", "as recorded"),
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(3000, "Most samples; a seeded random subset above.", low=50, high=100_000)


def exit_divergence(*taps, params: ExitParams = ExitParams(), rng=None, progress=no_progress) -> Curve:
    """Divergence of a linear exit on each layer from the network's answer.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units): layers in their order; last the outputs (rows, classes).

    Returns
    -------
    Curve
        x = layer 1, 2, …; held-out divergence, or shares of samples with the network's and the right top class, with
        bands and nulls. Estimates: both for each layer (at most twelve layers), and the network's own accuracy.

    Raises
    ------
    ParameterError, InputError, NotFound
        Fewer than two taps; outputs with one unit; equal samples; no such column, or labels that name no class.
    NotEnoughData, TooLarge
        Fewer than 25 common samples; more than 4,096 classes, or 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    if taps:
        refuse_single_class(taps[-1])
        _refuse_many_classes(taps[-1])
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress,
        span=(0.0, 0.2),
    )  # fmt: skip
    names, said = tap_names([t.name for t in taps]), []
    logs = log_probabilities(data.values[-1], params.outputs, names[-1], said)
    _refuse_no_outputs(taps[-1], logs, _positions(taps, data))
    found, constant = _exits(data, logs, _labels(taps, data, params), names, params, rng, progress)
    layers = names[:-1]
    estimates = exit_estimates(found, layers, [x.shape[1] for x in data.values])
    shown = divergences(found) if params.show == "divergence" else shares(found)
    notes = [*exit_caveats(found, constant, layers), *constant_notes(names, data.values), *said, *data.notes]
    return Curve(
        title=f"What a linear exit on each layer knows of {names[-1]}", reading=exit_reading(found, layers),
        caveats=tuple(notes), estimates=estimates, x=np.arange(1, len(layers) + 1), x_name="layer",
        x_labels=tuple(layers),
        y_name="held-out divergence (nats)" if params.show == "divergence" else "share of held-out samples", **shown,
    )  # fmt: skip


def _refuse_many_classes(tap) -> None:
    if tap.shape[1] > MOST_CLASSES:
        raise TooLarge(
            f"{tap.name} has {tap.shape[1]:,} classes", f"at most {MOST_CLASSES:,}",
            "Record the outputs of the classes that matter only",
        )  # fmt: skip


def _refuse_no_outputs(tap, logs: np.ndarray, position: np.ndarray) -> None:
    """Where it is known what the network predicted, its outputs say the same."""
    if "predicted" not in tap.samples:
        return
    try:
        said = labels_of(tap, "predicted", tap.unit_names, position)
        same = float((logs.argmax(axis=1) == said).mean())
    except InputError:  # answers that are no units of the tap
        same = 0.0
    if same < OUTPUTS:
        raise InputError(
            f"the largest unit of {tap.name} is what the network predicted in {same:.0%} of the samples",
            "the outputs of the network as the last tap", "Add its outputs behind the layers, or record them",
        )  # fmt: skip


def _positions(taps, data: CommonSamples) -> np.ndarray:
    """Of the common samples in the last tap."""
    ids = np.asarray(taps[-1].samples["id"]).astype(str)
    by_id = np.argsort(ids)
    return by_id[np.searchsorted(ids, data.ids, sorter=by_id)]


def _labels(taps, data: CommonSamples, params) -> np.ndarray:
    position = _positions(taps, data)
    label = labels_of(taps[-1], params.label, taps[-1].unit_names, position)
    if params.label:
        refuse_no_label(label, params.label, taps[-1].name)
    return label


def _exits(data, logs, label, names, params, rng, progress) -> tuple[Exits, list[int]]:
    """Exits of all layers, and of each layer how many folds chose the constant one."""
    n, layers = len(logs), len(names) - 1
    fold = rng.permutation(np.arange(n) % FOLDS)
    nothing = constant_exit(logs, fold)
    apart, top, constant = np.empty((layers, n)), np.empty((layers, n), np.int64), []
    for i, x in enumerate(data.values[:-1]):
        span = (0.2 + 0.8 * i / layers, 0.2 + 0.8 * (i + 1) / layers)
        made, count = held_out_exit(
            _scaled(x, params.scaling), logs, fold, progress, span, f"fitting exits on {names[i]}"
        )
        apart[i], top[i] = kl(logs, made), made.argmax(axis=1)
        constant.append(count)
    return Exits(apart, top, kl(logs, nothing), logs.argmax(axis=1), label), constant


def _scaled(x: np.ndarray, scaling: str) -> np.ndarray:
    """Units about their mean over all samples, which no answer enters, and with deviation 1 where asked."""
    centred = x - x.mean(axis=0)
    if scaling == "standardised":
        spread = centred.std(axis=0)
        centred /= np.where(spread > 1e-12 * np.abs(x).max(axis=0), spread, np.inf)
    largest = float(np.abs(centred).max(initial=0.0))
    return centred / (largest or 1.0)


def _cost(shapes, params: ExitParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    *d, classes = [units for _, units in shapes]
    rank = [min(units, n) for units in d]
    flops = sum(4.0 * n * r * classes * TYPICAL_STEPS * FOLDS for r in rank)
    flops += sum(2.0 * FOLDS * 2 * (2.0 * n * u * r + 5.0 * r**3) for u, r in zip(d, rank, strict=True))
    moved = len(d) * TYPICAL_STEPS * FOLDS * 8.0 * n * classes * 30
    vectors = max(10 * min(classes, 4096) * r for r in rank)  # L-BFGS remembers ten pairs
    return Cost(
        m.seconds(flops64=flops, moved=moved, calls=len(d) * TYPICAL_STEPS * FOLDS * 40) + 0.02,
        8.0 * (n * (sum(d) + 5 * classes + 4 * max(d)) + 3.0 * vectors),
    )


def _check() -> tuple[CheckLine, ...]:
    """Logits that are a linear map of the last layer: divergence 0, all top classes. A layer that holds one of two
    independent bits of which four sure answers are made: ln 2 of the constant exit's ln 4, half of the top classes.
    An unrelated layer: what the constant exit has."""
    rng = np.random.default_rng(37)
    z = rng.standard_normal((400, 12))
    soft = z @ rng.standard_normal((12, 5)) + 3
    first, second = (np.resize([0, 0, 1, 1], 400), np.resize([0, 1], 400))
    sure = 30.0 * np.eye(4)[2 * first + second]
    noise = rng.standard_normal((400, 60))
    bit = np.eye(2)[first] + 0.01 * rng.standard_normal((400, 2))
    one, two = (
        exit_divergence(noise, z, soft),
        exit_divergence(bit, np.hstack([bit, np.eye(2)[second]]), sure),
    )
    tops, half = (next(e.value for e in r.estimates if SAME in e.name and e.name.startswith(name))
                  for r, name in ((one, "array (2)"), (two, "array (1)")))  # fmt: skip
    twisted = exit_divergence(z, ArrayActivations(np.exp(log_softmax(soft))))
    nothing = one.null[KL][0]
    return (
        CheckLine("logits linear in the layer: divergence", 0.0, float(one.series[KL][1]), 1e-4),
        CheckLine("the same from probabilities", 0.0, float(twisted.series[KL][0]), 1e-4),
        CheckLine("top classes", 1.0, tops, 0.01),
        CheckLine("unrelated layer: share of the constant exit's", 1.0, float(one.series[KL][0] / nothing), 0.05),
        CheckLine("one bit of two: ln 2", float(np.log(2)), float(two.series[KL][0]), 0.03),
        CheckLine("both bits", 0.0, float(two.series[KL][1]), 0.02),
        CheckLine("constant exit, four answers: ln 4", float(np.log(4)), float(two.null[KL][0]), 0.01),
        CheckLine("one bit of two: top classes", 0.5, half, 0.08),
    )  # fmt: skip


METHODS = (
    Method(
        id="exit_divergence", family="similarity", title="Linear exits by layer", version=2,
        function=exit_divergence,
        summary="How much of the network's own answer a linear exit can read off each layer.",
        params=ExitParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        begins="outputs", minimum_rows=FEWEST,
        invariance="shifting or scaling any unit of a layer; adding a number to all logits of a sample; the order of "
        "samples",
        papers=(
            "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
            "Dynamic Perceiver for Efficient Visual Recognition",),
    ),
)  # fmt: skip
