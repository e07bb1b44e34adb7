"""How a network weighs the routes of its scans: what it recorded of them, as shares of 1 for each sample.

A tap has a unit for each route (of several heads: one after the other, head by head), a row for each sample or token.
Numbers between 0 and 1 are divided by their sum, others are logits, whose softmax weighs; those of a sample's tokens
are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.rows.random_part import random_part
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import no_progress
from analysis.tokens.mixers.routes import BACK, ROUTES, several
from analysis.tokens.routing.gates import LOGITS, PARTS, gates, logits_from

FEWEST = 3  # samples
CROSS = ("row", "column", f"row{BACK}", f"column{BACK}")  # as the cross-scan of VMamba has them
BOTH_WAYS = ("row", f"row{BACK}")
USUAL = {2: BOTH_WAYS, 4: CROSS}
ASK = (
    "Routes in the order of the weights, with semicolons; empty: names of units, else the usual two or four."
)
NAMED = "The order of routes is not recorded: they are taken as "


@dataclass(frozen=True)
class RouteWeights:
    """`shares` (n, routes), each of sum 1, of the samples `samples` (n,); `names` of routes; `notes`."""

    shares: np.ndarray
    samples: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]


def route_weights_of(
    tap, asked: str, heads: int, head: int | None, maximum: int, rng, progress, fewest: int = FEWEST
) -> RouteWeights:
    """Of at most `maximum` samples; of one head from 1, or the mean over heads. Raises InputError, ParameterError,
    NotEnoughData."""
    units = tap.shape[1]
    if units % heads or units // heads < 2:
        raise InputError(
            f"{units} units of {tap.name} for {heads} head(s)", "two routes or more of each head, a unit for each",
            "Choose the tap with the weights of routes, or another number of heads",
        )  # fmt: skip
    if head is not None and head > heads:
        raise ParameterError(f"head {head}", f"1 to {heads}")
    names, said = named_routes(tuple(map(str, tap.unit_names))[: units // heads], asked)
    at, notes = random_part(tap.layout.n_samples, maximum, rng)
    wanted, seen, blocks, owner = np.isin(np.arange(tap.layout.n_samples), at), Pass(), [], []
    for rows, block in finite_blocks(tap, seen, progress, f"reading {tap.name}", (0.0, 0.8)):
        of = tap.layout.sample_of(rows)
        blocks.append(block[wanted[of]])
        owner.append(of[wanted[of]])
    refuse_few(tap.name, sum(map(len, owner)), fewest, "finite row(s)")
    shares, kind = normalised(np.concatenate(blocks), heads)
    shares = shares.mean(axis=1) if head is None else shares[:, head - 1]
    samples, of = np.unique(np.concatenate(owner), return_inverse=True)
    refuse_few(tap.name, len(samples), fewest, "sample(s) of finite rows")
    total = np.zeros((len(samples), shares.shape[1]))
    np.add.at(total, of, shares)
    told = {LOGITS: ("Weights leave 0 to 1: they are read as logits, and their softmax is shown.",),
            PARTS: ("Weights do not sum to 1: they are divided by their sum.",)}.get(kind, ())  # fmt: skip
    mean = ("Shown is the mean over heads.",) if heads > 1 and head is None else ()
    return RouteWeights(
        total / np.bincount(of)[:, None], samples, names, (*notes, *seen.notes, *told, *mean, *said)
    )


def normalised(values: np.ndarray, heads: int) -> tuple[np.ndarray, str]:
    """((n, heads, routes), each of sum 1, what the values (n, heads x routes) were taken for)."""
    logits, kind = logits_from(values.reshape(len(values) * heads, -1))
    return gates(logits).reshape(len(values), heads, -1), kind


def named_routes(units: tuple[str, ...], asked: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names of routes, notes): as asked, by the names of units, or the usual ones of two or four. Raises
    ParameterError."""
    count = len(units)
    if asked.strip():
        found = tuple(_known(part) for part in asked.split(";") if part.strip())
        if len(found) != count:
            raise ParameterError(f"{len(found)} routes, {asked!r}", f"{count}, one for each weight")
        if len(set(found)) < count:
            raise ParameterError(
                f"a route that is named twice, {asked!r}", "a name of its own for each weight"
            )
        return found, ()
    named = tuple(map(_known, units))
    if len(set(named)) == count and not all(u.isdigit() for u in units):
        return named, ()
    if count in USUAL:
        return USUAL[count], (f"{NAMED}{'; '.join(USUAL[count])}.",)
    return tuple(f"route {i + 1}" for i in range(count)), ()


def _known(name: str) -> str:
    """A name as `routes` has it, where it says the same: "row back" is "row, backwards"."""
    plain = name.strip().lower().replace("_", " ").replace(",", " ").split()
    if (
        plain
        and plain[0] in ROUTES
        and len(plain) <= 2
        and (len(plain) == 1 or "backwards".startswith(plain[1]))
    ):
        return plain[0] + BACK * (len(plain) == 2)
    return name.strip()


def weighed(tap, weights, params, grid: tuple[int, int], rng) -> tuple[dict[str, float], tuple[str, ...]]:
    """(share of each route in the sample `params.sample` of a tap of tokens, notes), the same sample by its id.

    Raises NotFound, InputError, ParameterError: no weights for it; routes that are none of those of the grid.
    """
    weights = as_activations(weights)
    ids = np.asarray(weights.samples["id"]).astype(str)
    own = str(np.asarray(tap.samples["id"])[params.sample])
    at = np.flatnonzero(ids == own)
    found = route_weights_of(weights, params.routes, 1, None, weights.layout.n_samples, rng, no_progress, 1)
    place = np.flatnonzero(np.isin(found.samples, at))
    if not len(place):
        raise NotFound(f"weights of routes of sample '{own}' in {weights.name}", "a row of it",
                       "Choose a tap of the same samples")  # fmt: skip
    known = several(grid)
    strange = [name for name in found.names if name not in known]
    if strange:
        raise InputError(
            f"routes {', '.join(strange[:4])} of {weights.name}", "; ".join(known),
            "Name them in the settings, in the order of the weights",
        )  # fmt: skip
    shares = dict(zip(found.names, map(float, found.shares[place[0]]), strict=True))
    said = f"Percentages are the network's own weights of its routes in this sample, of {weights.name}."
    return shares, (*found.notes, said)
