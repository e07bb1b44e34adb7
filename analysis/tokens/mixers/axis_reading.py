"""The two axes that tokens of a tap attend along, and what the places of the first are called: bands in nm, frames."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import param
from analysis.tokens.mixers.attended import grid_of, network_or_why, sample_rows
from analysis.tokens.mixers.axes import Factored, factored_of, near_square, of_rows, of_two
from analysis.tokens.mixers.reading import MOST_TOKENS
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES

FACTS = ("wavelengths", "band_wavelengths", "wavelengths_nm", "wavelength")  # of a configuration
MICROMETRES = 30.0  # light of this wavelength in nm is no light: a configuration below counts in micrometres
NANOMETRES = re.compile(r"(\d+(?:\.\d+)?)\s*nm\b")


@dataclass(frozen=True)
class AxisParams:
    """What both methods of two axes ask for: whose attention, and how tokens lie along the axes."""

    sample: int = param(0, "Its place in the store.", low=0, high=1_000_000_000)
    block: int = param(1, "Which pair of attentions of the network, from 1.", low=1, high=999)
    places: int | None = param(
        None,
        "Places of a line, of a tap of tokens without a grid (bands, frames); automatic: near a square.",
        low=1,
        high=100_000,
    )
    wavelengths: str = param(
        "", "Of the first axis in nm, with commas; empty: as the network or the units say."
    )
    source: str = param(
        AUTOMATIC, "Whose attention: the network's, or that of the recorded rows.", choices=SOURCES, late=True
    )


@dataclass(frozen=True)
class Axes:
    """`factored`; `names` (W,) of places on the first axis, `at` (W,) where they lie, in `unit`; `picture` and `inside`
    (h, w) the grid of lines on it, or None; `others` the same of a few other samples."""

    factored: Factored
    names: tuple[str, ...]
    at: np.ndarray
    unit: str
    picture: np.ndarray | None
    inside: tuple[int, int] | None
    notes: tuple[str, ...]
    others: tuple[Factored, ...] = ()

    @property
    def all(self) -> tuple[Factored, ...]:
        return (self.factored, *self.others)


def of_one_tap(taps, params) -> bool:
    """Whether the network of a tap may be asked: two taps are what each has of its axis."""
    return len(taps) == 1


def axes_of(taps, params, rng, progress) -> Axes:
    """Of one tap the network's attention, or that of its rows along both axes; of two taps what each has of its axis.

    Raises NotFound, InputError, NotEnoughData.
    """
    tap, source = taps[0], ROWS if len(taps) > 1 else params.source
    own, why = network_or_why(tap, params.sample, rng, source)
    facts, picture = {}, None
    if own is not None:
        found = factored_of(own.calls)
        if found:
            if params.block > len(found):
                raise NotFound(f"block {params.block} of {own.what}", f"1 to {len(found)}")
            facts, picture = own.facts, own.picture
            one = found[params.block - 1]
            more = (
                pairs[params.block - 1]
                for pairs in map(factored_of, own.others())
                if len(pairs) >= params.block
            )
            return _named(one, facts, picture, params, taps, why, more)
        why = (
            *why,
            f"{own.what} attends along one axis only: no two attentions follow each other of which the lines of one "
            "are the places of the other. Shown is attention of the tap's rows along both axes.",
        )
    if len(taps) > 1:
        rows = [
            sample_rows(t, params.sample, rng, progress if i == 0 else _quiet) for i, t in enumerate(taps[:2])
        ]
        _refuse(*(len(r.x) for r in rows))
        either = [r.plain if len(r.plain) == len(r.x) else r.x for r in rows]
        made = of_two(f"{taps[0].name}, {taps[1].name}", *_weights_or_rows(either, [r.x for r in rows]))
        common = [(rows[0].others[k], rows[1].others[k]) for k in rows[0].others if k in rows[1].others]
        more = (of_two(made.name, *_weights_or_rows([a[1], b[1]], [a[0], b[0]])) for a, b in common)
        return _named(made, facts, None, params, taps, (*why, *rows[0].notes), more)
    rows = sample_rows(tap, params.sample, rng, progress)
    _refuse(len(rows.x))
    grid = _grid(len(rows.x), rows.grid, params)
    said = (
        "The rows of the tap are queries and keys at once, along each axis; no weights of a network are in it.",
    )
    if rows.grid is None and params.places is None:
        said = (*said, f"Nothing tells two axes of these {len(rows.x)} tokens: they were laid in {grid[0]} lines of "
                f"{grid[1]}, which means nothing where they come one after another.")  # fmt: skip
    more = (of_rows("", x, grid) for x, _ in rows.others.values())
    one = of_rows(f"rows of {tap.name}", rows.x, grid)
    return _named(one, facts, None, params, taps, (*why, *rows.notes, *said), more)


def _quiet(_fraction, _doing="") -> None:
    pass


def _weights_or_rows(plain, rows):
    from analysis.tokens.mixers.own_grids import recorded

    return [p if recorded(p) is not None else x for p, x in zip(plain, rows, strict=True)]


def _refuse(*tokens: int) -> None:
    if max(tokens) > MOST_TOKENS:
        raise InputError(f"{max(tokens):,} tokens", f"at most {MOST_TOKENS:,}, whose attention can be held")


def _grid(tokens: int, grid, params) -> tuple[int, int]:
    if params.places is None:
        return grid or near_square(tokens)
    if tokens % params.places:
        raise ParameterError(f"{params.places} places of {tokens} tokens", "a number that divides them")
    return tokens // params.places, params.places


def _named(found: Factored, facts: dict, picture, params, taps, notes, more) -> Axes:
    h, w = found.grid
    others = tuple(one for one in more if one.grid == found.grid)
    count = 1 + len(others)
    notes = (*notes, "Maps and numbers are of one sample." if count == 1 else
             f"Maps are of one sample, numbers over {count} samples.")  # fmt: skip
    nm = wavelengths(params.wavelengths, facts, taps[0].unit_names, w)
    inside, _ = grid_of(h, picture)
    inside = inside if inside[0] > 1 and inside[0] * inside[1] == h else None
    if nm is None:
        return Axes(
            found,
            tuple(str(j + 1) for j in range(w)),
            np.arange(w, dtype=float),
            "places",
            picture,
            inside,
            notes,
            others,
        )
    return Axes(found, tuple(f"{x:g} nm" for x in nm), nm, "nm", picture, inside, notes, others)


def wavelengths(given: str, facts: dict, unit_names, count: int) -> np.ndarray | None:
    """(count,) in nm: as given, as the network's configuration has them, or as units are named ("665 nm"); None where
    nothing tells. Raises ParameterError where those given are no numbers, or not so many."""
    if given.strip():
        try:
            found = np.array([float(x) for x in given.replace(";", ",").split(",") if x.strip()])
        except ValueError:
            raise ParameterError(f"wavelengths '{given}'", "numbers in nm with commas between them") from None
        if len(found) != count or not (np.isfinite(found) & (found > 0)).all():
            raise ParameterError(
                f"{len(found)} wavelengths for {count} bands", f"{count} finite numbers above 0"
            )
        return found
    for name in FACTS:
        own = facts.get(name)
        if (
            isinstance(own, (list, tuple))
            and len(own) == count
            and all(isinstance(x, (int, float)) for x in own)
        ):
            in_nm = np.asarray(own, float)
            if not (np.isfinite(in_nm) & (in_nm > 0)).all():
                continue
            return 1000 * in_nm if in_nm.max() < MICROMETRES else in_nm
    read = [NANOMETRES.search(str(name)) for name in unit_names]
    if len(read) == count and all(read):
        return np.array([float(m.group(1)) for m in read])
    return None
