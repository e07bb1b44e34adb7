"""What does a state space answer to an impulse, and to waves?

    K[l] = 2 Re Σ_n C_n B̄_n Ā_n^l    (the factor 2 where one of each conjugate pair is kept)

with zero-order hold Ā = exp(Δ A), B̄ = (Ā - 1) B / A, or bilinear Ā = (1 + Δ A / 2) / (1 - Δ A / 2). Of the channels
of a layer those with the least, middle and most memory are drawn; memory is the lag within which half of Σ |K|
lies. Shown over lags, or as |Σ_l K[l] e^{-iωl}| over cycles per token. Without a state space it is the mean power of
the poles of the best linear recurrence from token to token, which has steps already: how continuous time becomes steps
is no question there.

Of a selective scan (Mamba) Δ, B and C depend on the input: they are captured at run time where the network can be run,
and K[l] is the mean over places s of M[s + l, s] (`analysis.tokens.mixers.run_time`).

Interval: none of weights, which are no sample; at run time Student's t over samples; of a fit jackknife over groups.
Null: the same C, B and Δ with the modes where they start; of a fit tokens in random order.

When it lies: a kernel is cut at the longest lag; one of Mamba's weights alone is that of an input of 0 with all modes
alike, and at run time places differ from their mean; the skip D, the gate and what stands around the layer are not in
it.

Cost: O(channels modes lags); a fit O(rows d²).

References: A. Gu, A. Gupta, K. Goel & C. Ré (2022), "On the parameterization and initialization of diagonal state space
models".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.reading import Mixers
from analysis.tokens.mixers.responses import (
    FREQUENCY,
    IMPULSE,
    by_memory,
    finite_kernel,
    memory,
    named_in_layer,
    response,
    response_axis,
)
from analysis.tokens.mixers.run_time import (
    CAPTURED,
    SAMPLES_HELP,
    STEPS_HELP,
    WEIGHTS,
    answers_at_run_time,
    over_samples,
    run_time_notes,
    scans_at_run_time,
)
from analysis.tokens.mixers.state_spaces import Spaces, start_of, state_spaces
from analysis.tokens.own_layer import layer_of_tap, named_layer


@dataclass(frozen=True)
class SsmKernelParams:
    show: str = param(IMPULSE, "Answer to an impulse over lags, or to waves.", choices=(IMPULSE, FREQUENCY))
    layer: int | None = param(
        None, "Which state space, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    lags: int = param(64, "Longest lag, in tokens.", low=8, high=16_384)
    steps: str = param(CAPTURED, STEPS_HELP, choices=(CAPTURED, WEIGHTS))
    maximum_samples: int = param(16, SAMPLES_HELP, low=2, high=1000)
    way: str = param(ssm.ZOH, "How continuous time becomes steps.", choices=ssm.WAYS)
    draws: int = param(
        20, "Random orders of the tokens, where a recurrence is fitted.", low=5, high=500, late=True
    )


def ssm_kernel(
    activations, params: SsmKernelParams = SsmKernelParams(), rng=None, progress=no_progress
) -> Curve:
    """Impulse or frequency response of channels of a state space.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a checkpoint with state spaces; of others a recurrence is fitted to its rows.

    Returns
    -------
    Curve
        Channels of short, middle and long memory with what they start from. Estimates: memory, and the sum of |K|.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such layer; keys that do not fit each other; rows that never change; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    scans = scans_at_run_time(tap, params, rng)
    if scans is not None:
        layer = named_layer(params.layer, layer_of_tap(tap, scans.layers), len(scans.layers))
        return at_run_time(scans, layer, params, progress)
    found = state_spaces(tap, params.draws, rng, progress)
    progress(1.0, "done")
    if found.fitted:  # has steps already
        params = replace(params, way=ssm.ZOH)
    own = layer_of_tap(tap, [space.name for space in found.spaces])
    space = found.layer(named_layer(params.layer, own, len(found.spaces)))
    own = finite_kernel(ssm.kernel(space, params.lags, params.way))
    chosen = by_memory(own)
    null = _null(found, space, params)
    x, name = response_axis(params)
    told = _estimates(found, space, params)
    return Curve(
        title=f"{params.show.capitalize()} of {space.name}", x=x, x_name=name,
        y_name="K" if params.show == IMPULSE else "size of the answer",
        series={label: response(own[h], params.show) for label, h in chosen.items()},
        null={label: response(null[h], params.show) for label, h in chosen.items()},
        estimates=told, reading=_reading(told, params, found.fitted is not None),
        caveats=(*found.notes, *_caveats(own, params)),
    )  # fmt: skip


def at_run_time(scans: Mixers, layer: int, params, progress=no_progress) -> Curve:
    """With the Δ, B and C of samples: the mean answer to an impulse over the places where it may come."""
    found = answers_at_run_time(scans, layer, params.lags, progress)
    progress(1.0, "done")
    there = np.isfinite(found.own).any(axis=(0, 1))
    own, null = (np.nanmean(x[:, :, there], axis=0) for x in (found.own, found.null))
    params = replace(params, lags=int(there.sum()))
    each, begun = (np.array([memory(np.nan_to_num(k)).mean() for k in x]) for x in (found.own, found.null))
    sums, first = (np.nansum(np.abs(x), axis=2).mean(axis=1) for x in (found.own, found.null))
    told = (over_samples("memory: half of |K|", each, begun, scans.units, "tokens", 0.0),
            over_samples("sum of |K|", sums, first, scans.units, least=0.0))  # fmt: skip
    chosen = by_memory(own)
    x, name = response_axis(params)
    return Curve(
        title=f"{params.show.capitalize()} of {found.name}, at run time", x=x, x_name=name,
        y_name="K" if params.show == IMPULSE else "size of the answer",
        series={label: response(own[h], params.show) for label, h in named_in_layer(chosen, found.channels).items()},
        null={label: response(null[h], params.show) for label, h in named_in_layer(chosen, found.channels).items()},
        estimates=told,
        reading=f"Half of the answer lies within {told[0].value:.3g} tokens on average over channels, places and "
                f"samples (with the rates that modes start with: {told[0].null:.3g}).",
        caveats=(*run_time_notes(scans, len(found.channels), "read"),
                 f"Kernels end at {params.lags} tokens, the longest sample or what was asked.",
                 "An answer is the mean over the places where the impulse may come; each place has its own."),
    )  # fmt: skip


def _null(found: Spaces, space: ssm.StateSpace, params) -> np.ndarray:
    if found.fitted:
        return np.mean([ssm.kernel(s, params.lags, params.way) for s in found.fitted.chance], axis=0)
    return ssm.kernel(start_of(space)[1], params.lags, params.way)


def _estimates(found: Spaces, space: ssm.StateSpace, params) -> tuple:
    def lasting(s):
        return memory(ssm.kernel(s, params.lags, params.way))

    def size(s):
        return np.abs(ssm.kernel(s, params.lags, params.way)).sum(axis=1)

    return (
        found.estimate("memory: half of |K|", lasting, [space], "tokens"),
        found.estimate("sum of |K|", size, [space]),
    )


def _reading(told, params, fitted: bool) -> str:
    how = "in random order" if fitted else "at the start"
    return (
        f"Half of the answer lies within {told[0].value:.3g} tokens on average over channels ({how}: "
        f"{told[0].null:.3g}){'' if fitted else f', by {params.way}'}."
    )


def _caveats(kernels: np.ndarray, params) -> list[str]:
    tail = np.abs(kernels[:, -1]) / np.maximum(np.abs(kernels).max(axis=1), 1e-300)
    said = [f"Kernels end at {params.lags:,} tokens."]
    if (tail > 0.05).any():
        said.append(
            f"{(tail > 0.05).sum():,} of {len(tail):,} channels have not faded by then: ask for more lags."
        )
    return said


def _cost(shapes, params: SsmKernelParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, 4096)
    held = 26.0 * rows * k + 9.0 * 17 * rows + 17.0 * k * k + 6e4
    work = 2.0 * rows * k * k + 9.0 * k**3 + 100.0 * params.lags * params.draws
    passes = min(n, params.maximum_samples) if params.steps == CAPTURED else 0
    return Cost(0.05 + m.seconds(flops64=work, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Tokens that shrink by 0.8: powers; and the kernel of a state space is its recurrence."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal((40, 3))
    first[20:] = -first[:20]
    x = first[:, None] * 0.8 ** np.arange(12)[:, None]
    tap = ArrayActivations(x.reshape(480, 3), name="planted", layout=Layout(np.arange(0, 481, 12)))
    found = ssm_kernel(tap, SsmKernelParams(draws=5))
    space = ssm.StateSpace("s", ssm.started(ssm.LIN, 4)[None], np.ones((1, 4)), rng.standard_normal((1, 4)) + 0j,
                           np.array([0.1]), np.zeros(1))  # fmt: skip
    unit = np.ones((1, 1)) + 0j
    one = ssm.StateSpace("one", -unit, unit, unit, np.ones(1), np.zeros(1))
    u = np.zeros((30, 1))
    u[0] = 1
    gaps = [
        float(np.abs(ssm.kernel(space, 30, w)[0] - ssm.recurrence(space, u, w)[:, 0]).max()) for w in ssm.WAYS
    ]
    return (
        CheckLine("fifth power of the planted factor", 0.8**5, float(found.series["impulse"][5]), 1e-6),
        CheckLine("its memory", np.log(2) / -np.log(0.8), found.estimates[0].value, 1e-3),
        CheckLine("kernel less recurrence, zero-order hold", 0.0, gaps[0], 1e-12),
        CheckLine("bilinear", 0.0, gaps[1], 1e-12),
        CheckLine(
            "bilinear Ā of A = -1, Δ = 1", 1 / 3, float(ssm.discrete(one, ssm.BILINEAR)[0].real[0, 0]), 1e-12
        ),
    )


METHODS = (
    Method(
        id="ssm_kernel",
        family="tokens",
        network="scans",
        title="Answer of a state space to an impulse",
        summary="Impulse and frequency response of state-space channels, beside those of the modes they start from.",
        version=5,
        function=ssm_kernel,
        params=SsmKernelParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="the order of modes, conjugation of a pair; of a fit rotations and the scale of the units",
        papers=("On the Parameterization and Initialization of Diagonal State Space Models",),
        libraries=("torch", "transformers"),
    ),
)
