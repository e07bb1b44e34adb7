"""What does each input band carry? One band after the other is taken away, and what changes is charted over wavelength.

A band (a channel of the image, a column of a table) is replaced by its mean over samples and places, or by what another
sample has there; many bands go in groups of neighbours. Told for each:

    feature    |x' - x| / |x| of what the tap's module gives, the embedding
    answer     |z' - z| / |z| of the logits, each less its mean (of no classifier: of the output)

The axis is in nm where wavelengths are given, the network's configuration has them, or units are named so.

Interval: Student's t over samples. Null: random numbers added in all bands of the sample, together as long as what was
taken away, so that a band which merely varies much does not count as read (paired t, one-sided, at 5 % false
discoveries over bands). Of the band that matters most the interval holds for all bands together, and the null is the
largest of theirs.

When it lies: neighbouring bands carry much the same, so that the loss of either is made up for by the other; a band
that is put to its mean is an input that the network may never have seen; a network that was trained with bands missing
bears it better than one that was not; no change of this embedding is not no use.

Cost: (1 + 2 groups) passes of every sample; the inputs of all samples are held.

References: "LESS ViT: multi-modal & hyperspectral geospatial foundation model".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import larger, mean_interval
from analysis.compute.streaming import refuse_few
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers.alone import relative
from analysis.tokens.mixers.axis_reading import wavelengths
from analysis.tokens.mixers.bands import MEAN, WAYS, as_much, bands_of, groups, without
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, COLOURS = 6.0, ("red", "green", "blue")
ANSWER = "the answer"


@dataclass(frozen=True)
class BandDropoutParams:
    instead: str = param(MEAN, "What stands in the place of a band.", choices=WAYS)
    wavelengths: str = param("", "Of the bands in nm, with commas; empty: as the network or the units say.")
    most_bands: int = param(
        16, "Most groups that bands are gathered in.", label="most groups of bands", low=2, high=512
    )
    maximum_samples: int = param(24, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC,
        "Whose bands: of the network's inputs, or the units of the tap.",
        choices=SOURCES,
        late=True,
    )


def band_dropout(
    activations, params: BandDropoutParams = BandDropoutParams(), rng=None, progress=no_progress
) -> Curve:
    """What changes without each band.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap of a network that reads several bands and can be run again; otherwise its units are the bands.

    Returns
    -------
    Curve
        Over bands, in nm where known. Estimates: mean over bands, and the band that matters most.

    Raises
    ------
    ParameterError, InputError, NotEnoughData
        Wavelengths that are no numbers or not as many as bands; a single band; rows that are all alike; fewer than two
        samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = bands_of(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    refuse_few(tap.name, who.n, 2, "sample(s)")
    count = who.values.shape[1]
    nm = wavelengths(params.wavelengths, who.facts, () if who.is_network else tap.unit_names, count)
    order = np.arange(count) if nm is None else np.argsort(nm, kind="stable")
    parts = [order[g] for g in groups(count, params.most_bands)]
    found, null = _dropped(who, parts, params, rng, lambda f: progress(0.2 + 0.75 * f, "bands taken away"))
    progress(1.0, "done")
    names = [who.feature_name] if not who.is_network else [ANSWER, who.feature_name][: found.shape[2]]
    lines: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for c, name in enumerate(names):
        ends = [mean_interval(found[:, p, c], 0.0) for p in range(len(parts))]
        put = (found[:, :, c].mean(axis=0), *(np.array([e[k] for e in ends]) for k in ("low", "high")),
               null[:, :, c].mean(axis=0))  # fmt: skip
        for line, values in zip(lines, put, strict=True):
            line[name] = values
    called = _names(parts, nm, who, tap)
    told = _estimates(names, called, found, null, tap.shape[1])
    said = [
        f"{who.n:,} samples, {count} bands" + (f" in {len(parts)} groups." if len(parts) < count else ".")
    ]
    if who.is_network and not who.tap:
        said.append(f"{tap.name} is no module of the network: there is no embedding to look at.")
    if nm is None:
        said.append("No wavelengths are known: bands are counted. Give them in the settings.")
    return Curve(
        title=f"{who.what} without each band: {params.instead}",
        x=np.arange(len(parts)) if nm is None else np.array([nm[p].mean() for p in parts]),
        x_name="band" if nm is None else "wavelength, nm", x_labels=called if nm is None else (),
        y_name="relative change", series=lines[0], low=lines[1], high=lines[2], null=lines[3], estimates=told,
        reading=_reading(names, called, found, null), caveats=(*notes, *said),
    )  # fmt: skip


def _names(parts, nm, who, tap) -> tuple[str, ...]:
    if nm is not None:
        named = [f"{x:g} nm" for x in nm]
    elif not who.is_network:
        named = list(tap.unit_names)
    else:
        count = who.values.shape[1]
        named = list(COLOURS) if count == 3 and who.values.ndim == 4 else [f"band {k}" for k in range(count)]
    return tuple(named[p[0]] if len(p) == 1 else f"{named[p[0]]} to {named[p[-1]]}" for p in parts)


def _dropped(who, parts, params, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """((n, groups, answer and feature) changes, the same by chance)."""
    found, null = [], []
    for k in range(who.n):
        progress(k / who.n)
        own, rows = who.passed(k, who.values[k]), ([], [])
        other = (k + 1 + int(rng.integers(who.n - 1))) % who.n
        for bands in parts:
            less = without(who.values, k, bands, params.instead, other)
            for side, values in zip(rows, (less, as_much(who.values[k], less, rng)), strict=True):
                side.append([relative(a, b) for a, b in zip(own, who.passed(k, values), strict=True)])
        found.append(rows[0])
        null.append(rows[1])
    return np.array(found), np.array(null)


def _estimates(names, called, found, null, d: int) -> tuple[Estimate, ...]:
    n, out = len(found), []
    made = {
        "n": n,
        "d": d,
        "estimator": "mean over samples",
        "null_method": "random numbers as long in all bands",
    }
    for c, name in enumerate(names):
        each, chance = found[:, :, c], null[:, :, c]
        most = int(each.mean(axis=0).argmax())
        out.append(Estimate(f"change, mean over bands, {name}", float(each.mean()), null=float(chance.mean()),
                            **mean_interval(each.mean(axis=1), 0.0), **made))  # fmt: skip
        out.append(Estimate(f"change without {called[most]}, {name}, most of {len(called)}",
                            float(each[:, most].mean()), null=float(chance.mean(axis=0).max()),
                            **mean_interval(each[:, most], 0.0, chosen_of=len(called)),
                            **made | {"null_method": f"{made['null_method']}, the largest of bands"}))  # fmt: skip
    return tuple(out)


def _reading(names, called, found, null) -> str:
    mean, chance = found[:, :, -1].mean(axis=0), null[:, :, -1].mean(axis=0)
    most, least = int(mean.argmax()), int(mean.argmin())
    more = int(larger(found[:, :, -1], null[:, :, -1]).sum())
    return (
        f"Of {names[-1]} most changes without {called[most]} ({mean[most]:.2f} of its size; random numbers as long: "
        f"{chance[most]:.2f}) and least without {called[least]} ({mean[least]:.2f}; {chance[least]:.2f}). "
        f"{more} of {len(called)} bands matter more than random numbers as long."
    )


def _cost(shapes, params: BandDropoutParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = max(min(n // RUN + 1, params.maximum_samples), 1)
    held = 42.0 * samples * RUN * k + 9.0 * 17 * n + 1e5
    passes = samples * (1 + 2 * params.most_bands)
    return Cost(OPENING + m.seconds(flops64=1e6 * n + 200.0 * passes * k, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Of rows the change is what the band holds; a band that never varies changes nothing."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 6))
    x[:, 4] = 2.0
    tap = ArrayActivations(
        np.repeat(x, 2, axis=0), name="planted", layout=Layout(np.arange(0, 81, 2)),
        unit_names=tuple(f"{400 + 50 * k} nm" for k in range(6)),
    )  # fmt: skip
    found = band_dropout(tap, BandDropoutParams(maximum_samples=40))
    centred = x - x.mean(axis=0)
    by_hand = np.mean(np.abs(centred[:, 1]) / np.linalg.norm(centred, axis=1))
    series = found.series["the row"]
    return (
        CheckLine("a band of rows: what it holds of them", float(by_hand), float(series[1]), 1e-9),
        CheckLine("a band that never varies", 0.0, float(series[4]), 1e-12),
        CheckLine("places in nm, as units are named", 550.0, float(found.x[3]), 0.0),
        CheckLine(
            "random numbers as long change a row as much",
            float(series[1]),
            float(found.null["the row"][1]),
            1e-9,
        ),
    )


METHODS = (
    Method(
        id="band_dropout", family="tokens", title="Bands taken away", version=2, function=band_dropout,
        summary="What embedding and answer lose without each input band, over wavelength.", params=BandDropoutParams,
        result=Curve, check=_check, cost=_cost, minimum_rows=4, invariance="the order of bands and of samples",
        papers=("LESS ViT: multi-modal & hyperspectral geospatial foundation model",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
