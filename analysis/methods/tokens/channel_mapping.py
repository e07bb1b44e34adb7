"""Which channels of one sensor stand for which of another, and how well are they told by them?

Taps of the channels of two sensors (satellites) on the same scenes, matched by id. Channels are units, or the tokens of
a network that keeps one for each channel, as vectors. Drawn: their correlations over scenes, channels by channels, with
the one-to-one pairs of the largest sum outlined; or the weights by which the first sensor's channels make up each of
the second's. Told:

    R²        of each channel of the second sensor from all of the first, linear (ridge), on held-out scenes, mean
    nearest   share of channels whose best match is also the nearest in wavelength, and R² from that channel alone

Wavelengths are as given, or as units are named ("665 nm").

Interval: of a correlation Fisher's; of R² a jackknife over groups of scenes, predictions held; of shares Wilson's,
channels as draws. Null: scenes of one sensor exchanged (of the pairs' mean the same assignment after it); of the
nearest a match at random, one in q. Cells count after Benjamini-Hochberg at 5 %.

When it lies: neighbouring bands carry much the same, so that a match beside the true one is hardly worse; taps of two
networks may agree because both know the scene and not the band; scenes of another day or light differ for reasons of
their own; a linear map is none for what one sensor does not see; tokens of two networks lie in unlike spaces.

Cost: O(n p q + n p min(n, p)) for each fold and exchange.

References: "LESS ViT: multi-modal & hyperspectral geospatial foundation model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import groups_of, share_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.axis_reading import wavelengths
from analysis.tokens.mixers.channel_maps import (
    FOLDS,
    assigned,
    correlations,
    explained,
    held_out,
    nearest_channel,
    pairs_interval,
    spread,
)
from analysis.tokens.mixers.channel_reading import FEWEST, TOKENS, UNITS, channel_names, read_channels

DRAWS, REFITS, LEVEL = 50, 3, 0.05
LIKENESS, WEIGHTS = "correlation", "weights that make up the second"


@dataclass(frozen=True)
class ChannelMappingParams:
    show: str = param(LIKENESS, "What is drawn.", choices=(LIKENESS, WEIGHTS))
    channels: str = param(UNITS, "What a channel is in the taps.", choices=(UNITS, TOKENS))
    wavelengths: str = param("", "Of the first sensor's channels in nm, with commas; empty: as units say.")
    other_wavelengths: str = param("", "The same of the second sensor's.")
    maximum_samples: int = param(2000, "Most scenes; a seeded random subset above.", low=10, high=200_000)


def channel_mapping(
    first, second, params: ChannelMappingParams = ChannelMappingParams(), rng=None, progress=no_progress
) -> Matrix:
    """Channels of two sensors, matched.

    Parameters
    ----------
    first, second : Activations or arrays (rows, channels)
        The same scenes; with `channels` = "tokens" a token for each channel, as many units in both.

    Returns
    -------
    Matrix
        Channels by channels, pairs outlined. Estimates: R² on held-out scenes, the pairs' mean, what wavelengths tell.

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        Wavelengths that are not as many as channels; tokens that are none; fewer than ten scenes in common.
    """
    taps, rng = (as_activations(first), as_activations(second)), rng or np.random.default_rng(0)
    x, y, notes = read_channels(taps, params.channels, params.maximum_samples, rng, progress)
    names = [channel_names(t, v.shape[1], params.channels) for t, v in zip(taps, (x, y), strict=True)]
    asked = (params.wavelengths, params.other_wavelengths)
    nm = [wavelengths(a, {}, n, len(n)) for a, n in zip(asked, names, strict=True)]
    progress(0.4, "correlations")
    r = correlations(x, y)
    fold = groups_of(len(x), rng) % FOLDS
    progress(0.5, "held-out scenes")
    told = _estimates(x, y, r, nm, fold, rng, lambda f: progress(0.5 + 0.45 * f, "scenes exchanged"))
    progress(1.0, "done")
    return _matrix(taps, names, x, y, r, nm, told, notes, params)


def _estimates(x, y, r, nm, fold, rng, progress) -> tuple[Estimate, ...]:
    (n, p, _), q = x.shape, y.shape[1]
    around, facts = spread(y, fold), {"n": n, "d": p}
    groups = groups_of(n, rng)
    out = [explained("R² of the second sensor's channels", held_out(x, y, fold), around, groups, facts,
                      "ridge on all channels, held-out scenes, mean over channels",
                      [held_out(x[rng.permutation(n)], y, fold) for _ in range(REFITS)])]  # fmt: skip
    rows, columns = assigned(r)
    pairs = float(r[rows, columns].mean())
    luck = []
    for k in range(DRAWS):
        progress(k / DRAWS)
        other = correlations(x[rng.permutation(n)], y)
        luck.append(other[assigned(other)].mean())
    out.append(Estimate("correlation of one-to-one pairs", pairs, **pairs_interval(x, y, rows, columns, groups, pairs),
                        **against(pairs, np.array(luck)), null_method=f"scenes exchanged, matched again, {DRAWS} draws",
                        estimator="mean over the pairs of the largest sum", **facts))  # fmt: skip
    if nm[0] is None or nm[1] is None:
        return tuple(out)
    near = nearest_channel(nm[1], nm[0])  # of the first sensor, for each of the second
    out.append(explained("R² from the nearest in wavelength alone", held_out(x, y, fold, near), around, groups, facts,
                          "one channel each, held-out scenes, mean over channels",
                          [held_out(x[rng.permutation(n)], y, fold, near) for _ in range(REFITS)]))  # fmt: skip
    hits = (r.argmax(axis=0) == near).astype(float)
    out.append(Estimate("best match is the nearest in wavelength", float(hits.mean()),
                        **{**share_interval(hits), "interval": "Wilson, channels as draws"}, null=1 / p, n=q, d=p,
                        null_method="a match at random", estimator="share of the second's channels"))  # fmt: skip
    gap = np.abs(nm[0][rows] - nm[1][columns])
    out.append(Estimate("gap of one-to-one pairs", float(gap.mean()), interval="none: these are all pairs", unit="nm",
                        null=float(np.abs(nm[0][:, None] - nm[1]).mean()), null_method="pairs at random, exact mean",
                        n=len(gap), d=p, estimator="mean over the pairs"))  # fmt: skip
    return tuple(out)


def _matrix(taps, names, x, y, r, nm, told, notes, params) -> Matrix:
    n = len(x)
    rows, columns = assigned(r)
    t = r * np.sqrt((n - 2) / np.maximum(1 - r**2, 1e-12))
    sure = benjamini_hochberg(2 * stdtr(n - 2, -np.abs(t))) <= LEVEL
    around = float(ndtri(0.975)) / np.sqrt(max(n - 3, 1))
    low, high = (np.tanh(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)) + s * around) for s in (-1, 1))
    named = [
        tuple(f"{w:g} nm" for w in v) if v is not None else labels
        for v, labels in zip(nm, names, strict=True)
    ]
    best = int(r.max(axis=0).argmin())
    more = "" if len(told) < 3 else (
        f" The nearest in wavelength alone tells {told[2].value:.2f}; it is the best match of {told[3].value:.0%} of "
        f"channels.")  # fmt: skip
    facts = {"row_names": tuple(named[0]), "column_names": tuple(named[1])}
    drawn = {"values": r, "low": low, "high": high, "significant": sure, "null": np.zeros_like(r),
             "value_name": LIKENESS, "limits": (-1.0, 1.0)}  # fmt: skip
    if params.show == WEIGHTS:
        drawn = {"values": _weights(x, y), "value_name": "weight, in standard deviations"}
    lost = () if len(told) > 2 else ("No wavelengths are known: give them in the settings.",)
    return Matrix(
        title=f"Channels of {taps[0].name} for those of {taps[1].name}", diverging=True, **facts, **drawn,
        outlines=np.stack([rows, rows + 1, columns, columns + 1], axis=1), outline_name="one-to-one pairs",
        estimates=told,
        reading=f"All channels of the first sensor tell {told[0].value:.2f} of the second's variance, scenes held out "
                f"({told[0].null:.2f} with scenes exchanged). Pairs correlate by {told[1].value:.2f} "
                f"({told[1].null:.2f}); least matched is {named[1][best]} ({r[:, best].max():.2f}).{more}",
        caveats=(*notes, *lost, f"{n:,} scenes in common. Neighbouring bands carry much the same: a pair is the best, "
                 "not the only one."),
    )  # fmt: skip


def _weights(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(p, q) of the ridge on all scenes, for channels of standard deviation 1."""
    from analysis.compute.linear.ridge_probe import ridge_weights

    a, b = (np.moveaxis(v, 2, 1).reshape(-1, v.shape[1]) for v in (x, y))
    size = [np.where(v.std(axis=0) > 0, v.std(axis=0), 1.0) for v in (a, b)]
    return ridge_weights(a / size[0], b / size[1])


def _cost(shapes, params: ChannelMappingParams) -> Cost:
    (n, p), q = shapes[0], shapes[1][1]
    n = min(n, shapes[1][0], params.maximum_samples)
    held = 8.0 * n * (4.0 * p + 7.0 * q) + 40.0 * p * q + 16.0 * p * p + 1e5
    fits = (1 + REFITS) * FOLDS
    flops = fits * (6.0 * n * p * min(n, p) + 4.0 * n * p * q) + DRAWS * (
        2.0 * n * p * q + 1e-1 * (p + q) ** 3
    )
    return Cost(0.05 + machine().seconds(flops64=flops, moved=8.0 * n * (p + q) * 4 * DRAWS), held)


def _check() -> tuple[CheckLine, ...]:
    """A second sensor whose channels are those of the first in another order, or mixtures of them; scenes that have
    nothing to do with each other; bands at the same wavelengths; tokens turned alike."""
    rng = np.random.default_rng(0)
    x, order = rng.standard_normal((400, 6)), np.array([3, 0, 5, 1, 4, 2])
    nm = np.array([443.0, 490, 560, 665, 842, 1610])

    def found(y, waves=None, **more):
        tap = ArrayActivations(
            y, "second", unit_names=() if waves is None else tuple(f"{w:g} nm" for w in waves)
        )
        return channel_mapping(ArrayActivations(x, "first", unit_names=tuple(f"{w:g} nm" for w in nm)), tap,
                               ChannelMappingParams(**more))  # fmt: skip

    same, mixed = found(x[:, order], nm[order] + 3), found(x @ rng.standard_normal((6, 4)))
    noise, tokens = found(rng.standard_normal((400, 6))), rng.standard_normal((60, 4, 5))
    taps = [ArrayActivations(v.reshape(240, 5), layout=Layout(np.arange(61) * 4))
            for v in (tokens, tokens[:, [2, 0, 3, 1]])]  # fmt: skip
    by_token = channel_mapping(*taps, params=ChannelMappingParams(channels=TOKENS))
    pairs = same.outlines[:, [0, 2]]
    return (
        CheckLine("channels in another order: matched", 6.0, float((pairs[:, 0] == order[pairs[:, 1]]).sum()), 0.0),
        CheckLine("and told wholly", 1.0, same.estimates[0].value, 1e-3),
        CheckLine("best match is the nearest in wavelength", 1.0, same.estimates[3].value, 0.0),
        CheckLine("3 nm apart", 3.0, same.estimates[4].value, 1e-12),
        CheckLine("mixtures are told wholly", 1.0, mixed.estimates[0].value, 1e-3),
        CheckLine("nothing in common: R²", 0.0, noise.estimates[0].value, 0.05),
        CheckLine("nothing in common: pairs less chance", noise.estimates[1].null, noise.estimates[1].value, 0.04),
        CheckLine("tokens in another order: matched", 1.0, by_token.estimates[1].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="channel_mapping", family="tokens", title="Channels of two sensors", version=1, function=channel_mapping,
        summary="Which channels of one sensor stand for which of another, by scenes and by wavelength, and how well.",
        params=ChannelMappingParams, result=Matrix, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        roles=("channels of the first sensor", "channels of the second"),
        invariance="the order of scenes; a factor above 0 and a shift of each channel, up to the ridge",
        papers=("LESS ViT: multi-modal & hyperspectral geospatial foundation model",),
    ),
)  # fmt: skip
