"""Which places of which earlier frames does one place of a video read? The affinity map over a memory of frames.

    W_j = softmax_j s_j / τ over all tokens j of the frames in the memory; mass of a frame = Σ W_j of its tokens

with s the negative squared distance / √d, the dot product / √d, or the cosine of keys (formulas in
`analysis.tokens.sets.memory`; the title says which). W sums to 1. A tap of keys is what a memory network compares; any
other tap answers what one would read that compared its rows. Frames are the tokens of a sample, samples that a column
names, or samples in a row.

Interval: jackknife over groups of units for the one place; Student's t over the places of the frame, which resemble
each other, so that it is too narrow. The frame told of is the one read most. Null: what frames of other clips, which
never saw this memory, read most; of one clip alone every memory token read alike.

When it lies: a network that was not trained to be read so need not mean what its distances say; by dot products a long
token is read by all; at a large τ everything is read, near 0 one token; the frame before looks most alike in any video.

Cost: O(P F P d) of F frames of P patches.

Reference: Y. Yang, J. Dong, J. Tang & J. Pan (2024), "ColorMNet: a memory-based deep spatial-temporal feature
propagation network for video colorization"; H. K. Cheng, Y.-W. Tai & C.-K. Tang (2021) for the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.errors import NotEnoughData, ParameterError
from analysis.results import TokenMap
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.clips import RUN, Clip, Clips
from analysis.tokens.sets.memory import ALL, BEFORE, DOT, MemoryParams, bank, even, read_frames
from analysis.tokens.sets.memory_chance import others_read, without_units
from analysis.tokens.sets.memory_numbers import read_estimates

PLACES = 200  # of the frame


@dataclass(frozen=True)
class MemoryReadParams(MemoryParams):
    sample: int = param(0, "The clip, or the frame of it that reads.", low=0, high=1_000_000_000)
    query_frame: int | None = param(
        None, "Which frame reads, from 1; automatic: the sample, for a clip or its first frame the last.", low=1,
        high=1_000_000,
    )  # fmt: skip
    place: int | None = param(
        None, "Its patch, row by row from 1; automatic: the middle.", low=1, high=1_000_000
    )


def memory_read(
    activations, params: MemoryReadParams = MemoryReadParams(), rng=None, progress=no_progress
) -> TokenMap:
    """What one place reads.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Keys of frames; of a tap without columns or tokens 16 samples in a row are a clip.

    Returns
    -------
    TokenMap
        A map for each frame in the memory, in multiples of an even share.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such sample, frame or place; no frame in the memory.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    clips = Clips(tap, params.clip, params.frame, params.frames)
    progress(0.0, "reading the clip")
    clip, at = clips.read_one(params.sample)
    at = _frame(clip, at, params)
    held = bank(clip.n, at, params.memory, params.every)
    if not len(held):
        raise NotEnoughData(
            f"no frame in the memory of {clip.frame_name(at)} of {clip.name}", "one or more",
            "Choose a later frame, or a memory of all other frames",
        )  # fmt: skip
    place = _place(clip, at, params.place)
    own = read_frames(clip, clip.x[at, [place]], held, params, np.array([place]))[0]
    progress(0.4, "all places of the frame")
    places = np.flatnonzero(clip.present[at])
    places = np.sort(rng.permutation(places)[:PLACES])
    every = read_frames(clip, clip.x[at, places], held, params, places)
    progress(0.7, "places of other clips")
    chance = others_read(clips, clip, held, params, rng)
    progress(0.9, "without groups of units")
    without = without_units(clip, at, place, held, params, rng)
    progress(1.0, "done")
    return _map(clip, at, place, held, (own, without), (places, every), chance, params, clips.notes, tap)


def _frame(clip: Clip, at: int | None, params) -> int:
    if params.query_frame is None:
        alone = at is None or (at == 0 and params.memory == BEFORE)
        return clip.n - 1 if alone else at  # a first frame has no frame before it
    if params.query_frame > clip.n:
        raise ParameterError(f"query frame = {params.query_frame}", f"1 to {clip.n} of {clip.name}")
    return params.query_frame - 1


def _place(clip: Clip, at: int, place: int | None) -> int:
    if place is None:
        grid = clip.grid
        place = clip.patches // 2 if grid is None else grid[0] // 2 * grid[1] + grid[1] // 2
        there = np.flatnonzero(clip.present[at])
        return int(there[np.abs(there - place).argmin()])
    if place > clip.patches or not clip.present[at, place - 1]:
        raise ParameterError(f"place = {place}", f"a finite patch of 1 to {clip.patches}")
    return place - 1


def _map(clip, at, place, held, this, frame, chance, params, notes, tap) -> TokenMap:
    (own, _), ages = this, clip.ages(at, held)
    shared, alike = (even(clip, held, params, p).mean(axis=0) for p in (np.array([place]), frame[0]))
    values = np.where(shared > 0, own / np.where(shared > 0, shared, 1.0), 0.0)
    names = tuple(f"{clip.frame_name(f)}, {_age(a)}" for f, a in zip(held, ages, strict=True))
    flat = clip.patches == 1
    best, where = int(own.sum(axis=1).argmax()), int(own[own.sum(axis=1).argmax()].argmax())
    spot = _spot(clip, where, " most", "; there ")
    said = [*notes, *_caveats(clip, params)]
    pictures = None if flat else pictures_below(tap, clip.samples[held], clip.grid)
    if pictures is not None:
        said.append(BELOW)
    if len(frame[0]) < clip.present[at].sum():
        said.append(f"Of the frame {len(frame[0])} of {int(clip.present[at].sum())} places read, at random.")
    return TokenMap(
        title=f"What {_spot(clip, place, ' of ')}{clip.frame_name(at)} of {clip.name} reads, by {params.affinity}, "
              f"{tap.name}",
        reading=f"It reads {clip.frame_name(held[best])} ({_age(ages[best])}) most: {own[best].sum():.0%} of the mass, "
                f"read alike {shared[best].sum():.0%}{spot}. The whole frame pays it "
                f"{frame[1][:, best].sum(axis=1).mean():.0%}.",
        caveats=tuple(said),
        estimates=read_estimates(clip, held, this, frame, chance, (shared, alike), params, tap.shape[1]),
        samples=clip.samples[[at]] if flat else clip.samples[held], values=values.T if flat else values,
        value_name="times an even share", grid=None if flat else clip.grid,
        names=(clip.frame_name(at),) if flat else names, pictures=pictures,
    )  # fmt: skip


def _age(age: int) -> str:
    return "itself" if age == 0 else f"{abs(age)} {'back' if age > 0 else 'ahead'}"


def _spot(clip: Clip, place: int, behind: str = "", before: str = "") -> str:
    """Where a place is, with what joins it; nothing where frames are one token."""
    if clip.patches == 1:
        return ""
    if clip.grid is None:
        return f"{before}patch {place + 1}{behind}"
    return f"{before}the patch in row {place // clip.grid[1] + 1}, column {place % clip.grid[1] + 1}{behind}"


def _caveats(clip: Clip, params) -> list[str]:
    said = ["Places of one frame resemble each other: intervals over them are too narrow."]
    if params.affinity == DOT:
        said.append(
            "By dot products a frame that is in the memory need not read itself most: long tokens win."
        )
    if params.local and clip.grid is None:
        said.append("The patches fill no grid, so no window was applied.")
    return said


def _cost(shapes, params: MemoryReadParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 8.0 * RUN * d * 5 + 40.0 * n + 3e4
    return Cost(0.01 + m.seconds(flops64=4.0 * RUN * RUN * d, moved=held) + 1e-6 * n, held)


def _check() -> tuple[CheckLine, ...]:
    """A place that is in the memory itself; one memory frame; two memory tokens at distances 0 and √d; a window."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 9, 40))
    tap = ArrayActivations(x.reshape(-1, 40), layout=Layout(np.array([0, 36, 72])))

    def found(tap, **more):
        return memory_read(tap, MemoryReadParams(**more))

    itself = found(tap, frames=4, memory=ALL, place=6, temperature=0.1)
    local = found(tap, frames=4, place=1, local=True, window=1, temperature=10.0)
    two = np.zeros((3, 4))
    two[1] = 1.0  # squared distance 4, over √4: 2
    pair = found(ArrayActivations(np.vstack([two, two]), layout=Layout(np.array([0, 3, 6]))))
    return (
        CheckLine("weights sum to 1", 27.0, float(found(tap, frames=4).values.sum()), 1e-9 * 27),
        CheckLine("a place reads itself", 5.0, float(itself.values[3].argmax()), 0.0),
        CheckLine("a place reads its own frame", 3.0, float(itself.values.sum(axis=1).argmax()), 0.0),
        CheckLine("outside the window", 0.0, float(local.values[:, [2, 5, 6, 7, 8]].max()), 0.0),
        CheckLine("at distances 0 and 2: share", 1 / (1 + np.exp(-2)), float(pair.values[0, 0]) / 2, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="memory_read", family="tokens", title="What a place reads of a memory of frames", version=4,
        summary="The affinity of one place of a video with every place of the frames in its memory.",
        function=memory_read, params=MemoryReadParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=RUN,
        invariance="by distance: rotations of the units and a constant added to each; by dot product: rotations; by "
                   "cosine: rotations and the length of tokens",
        papers=("ColorMNet: A Memory-based Deep Spatial-Temporal Feature Propagation Network for Video Colorization",),
    ),
)  # fmt: skip
