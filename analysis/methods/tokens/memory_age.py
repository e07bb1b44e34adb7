"""How old is what a video's frames read of their memory? Mass by age, and what a local window would miss.

    mass at age a = mean over frames t and places p of Σ W_pj over tokens j of frame t - a; hits: the largest W_pj alone

with the weights W of `memory_read`, mean over frames and then over clips. Local attention to the frame before sees a
window around each place: the share of what is read of that frame outside it is its leak, exactly 0 where reading is
restricted to the window. A memory of one frame gives one bar.

Interval: Student's t over clips; of one clip over its frames, which resemble each other. Null: every token of each
memory read alike, exactly, which is not flat: late frames have more to read, so small ages occur more often.

When it lies: a network that was not trained to be read so need not mean what its distances say; a still video is read
at all ages alike, and so is one whose rows hardly differ; age counts frames, not seconds.

Cost: O(clips F² places P d).

Reference: Y. Yang, J. Dong, J. Tang & J. Pan (2024), "ColorMNet: a memory-based deep spatial-temporal feature
propagation network for video colorization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.sets.clips import RUN, Clip, Clips
from analysis.tokens.sets.memory import MemoryParams, bank, even, near, read_frames

MASS, HITS = "mass read", "strongest reads"
AGE, YOUNGEST, LEAK = 0, 1, 2  # numbers of each frame, beside its ages


@dataclass(frozen=True)
class MemoryAgeParams(MemoryParams):
    places: int = param(16, "Most places of each frame that read, at random.", low=1, high=10_000)
    maximum_clips: int = param(20, "Most clips; a seeded random subset above.", low=1, high=1000)


def memory_age(
    activations, params: MemoryAgeParams = MemoryAgeParams(), rng=None, progress=no_progress
) -> Curve:
    """Mass by age.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Keys of frames; of a tap without columns or tokens 16 samples in a row are a clip.

    Returns
    -------
    Curve
        Mass and strongest reads over age in frames. Estimates: mean age, mass of the youngest age, what of the frame
        before lies outside the window.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; no clip with a frame that has a memory.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.0, "reading clips")
    clips = Clips(tap, params.clip, params.frame, params.frames)
    read = clips.read_all(params.maximum_clips, rng)
    most = 1 + max(int(c.at[-1]) for c in read)
    found = []
    for k, clip in enumerate(read):
        progress(0.1 + 0.9 * k / len(read), f"{clip.name} reads its memory")
        one = _of_clip(clip, most, params, rng)
        if one is not None:
            found.append(one)
    refuse_few(tap.name, len(found), 1, "clip(s) with a frame that has a memory")
    progress(1.0, "done")
    alone = len(found) == 1
    ages, numbers = (found[0][i] if alone else np.stack([f[i].mean(axis=0) for f in found]) for i in range(2))
    return _curve(tap, ages, numbers, alone, params, clips.notes, max(c.patches for c in read))


def _of_clip(clip: Clip, most: int, params, rng) -> tuple[np.ndarray, np.ndarray] | None:
    """Of each frame with a memory (frames, 3, 2 most - 1) mass, hits and even reading by age, the age 0 in the middle,
    and (frames, 2, 3) numbers as they are and when all is read alike."""
    ages, numbers = [], []
    for at in range(clip.n):
        held = bank(clip.n, at, params.memory, params.every)
        if len(held):
            places = rng.permutation(np.flatnonzero(clip.present[at]))[: params.places]
            w = read_frames(clip, clip.x[at, places], held, params, places)
            reads = w.sum(axis=(1, 2)) > 0  # a place whose window holds nothing reads nothing, of no age
            if not reads.any():
                continue
            one, more = _of_frame(clip, clip.ages(at, held), held, places[reads], w[reads], most, params)
            ages.append(one)
            numbers.append(more)
    return (np.stack(ages), np.stack(numbers)) if ages else None


def _of_frame(clip: Clip, age, held, places, w, most: int, params) -> tuple[np.ndarray, np.ndarray]:
    out, numbers = np.zeros((3, 2 * most - 1)), np.zeros((2, 3))
    w = w / np.maximum(w.sum(axis=(1, 2), keepdims=True), 1e-300)
    top = w >= w.max(axis=(1, 2), keepdims=True) * (
        1 - 1e-9
    )  # of equally strong reads all count, none is the first
    hits = (top / top.sum(axis=(1, 2), keepdims=True)).sum(axis=2).mean(axis=0)
    alike = even(clip, held, params, places)
    out[0, most - 1 + age] = w.sum(axis=2).mean(axis=0)
    out[1, most - 1 + age] = hits
    out[2, most - 1 + age] = alike.sum(axis=2).mean(axis=0)
    young = int(np.abs(age).argmin())
    for i, row in enumerate((out[0], out[2])):
        numbers[i, AGE] = row @ np.arange(1 - most, most)
        numbers[i, YOUNGEST] = row[most - 1 + age[young]]
    numbers[:, LEAK] = _leak(clip, places, w[:, young], clip.present[held[young]], params.window)
    return out, numbers


def _leak(clip: Clip, places, w: np.ndarray, there: np.ndarray, window: int) -> tuple[float, float]:
    """Share of what is read of one frame, w (m, P), outside the window, and of its tokens read alike."""
    if clip.grid is None:
        return np.nan, np.nan  # no places, no window
    away = ~near(clip.grid, places, window)
    return float((w * away).sum() / max(w.sum(), 1e-300)), float(
        (away & there).sum() / (len(w) * there.sum())
    )


def _curve(tap, ages, numbers, alone: bool, params, notes, places: int) -> Curve:
    mean, most = ages.mean(axis=0), (ages.shape[2] + 1) // 2
    shown = np.flatnonzero((mean > 0).any(axis=0))
    shown = np.arange(shown[0], shown[-1] + 1)
    x, n = (shown - most + 1).astype(np.float64), len(ages)
    around = [[mean_interval(ages[:, i, j], 0.0, 1.0) for j in shown] for i in range(2)]
    names = (MASS, HITS)
    low, high = ({name: np.array([a[end] for a in around[i]]) for i, name in enumerate(names)} if n > 1 else {}
                 for end in ("low", "high"))  # fmt: skip
    best = int(mean[0, shown].argmax())
    share, alike = mean[0, shown[best]], mean[2, shown[best]]
    who = "frames of one clip" if alone else "clips"
    said = [
        *notes,
        "What is read is a comparison of rows, by the affinity that was chosen; it is no proof of use.",
    ]
    if params.places < places:
        said.append(f"Of each frame {params.places} of {places} places read, at random.")
    if alone and n > 1:
        said.append("Frames of one clip resemble each other: intervals over them are too narrow.")
    return Curve(
        title=f"Age of what frames read of their memory, by {params.affinity}, {tap.name}",
        reading=f"Most is read of frames {x[best]:g} back, {share:.0%} of the mass (read alike {alike:.0%}); the mean "
                f"age is {numbers[:, 0, AGE].mean():.3g} frames (read alike {numbers[:, 1, AGE].mean():.3g}).",
        caveats=tuple(said), estimates=_estimates(numbers, who, params, tap.shape[1]), x=x,
        x_name="frames back (below 0: ahead)" if x[0] < 0 else "frames back", y_name="share",
        series={name: mean[i, shown] for i, name in enumerate(names)}, low=low, high=high,
        null={name: mean[2, shown] for name in names},
    )  # fmt: skip


def _estimates(numbers, who: str, params, d: int) -> tuple[Estimate, ...]:
    told = (("mean age", AGE, "frames", -np.inf, np.inf), ("mass on the youngest frame", YOUNGEST, "", 0.0, 1.0),
            (f"of that, outside {params.window} patches around", LEAK, "", 0.0, 1.0))  # fmt: skip
    found = []
    for name, i, unit, least, most in told:
        if np.isnan(numbers[:, 0, i]).any():
            continue
        around = mean_interval(numbers[:, 0, i], least, most)
        how = (
            around | {"interval": f"Student's t over {who}"}
            if around
            else {"interval": f"none: one of {who}"}
        )
        found.append(
            Estimate(name, float(numbers[:, 0, i].mean()), **how, null=float(numbers[:, 1, i].mean()), unit=unit,
                     null_method="every memory token read alike", n=len(numbers), d=d,
                     estimator="mean over frames, then over clips")
        )  # fmt: skip
    return tuple(found)


def _cost(shapes, params: MemoryAgeParams) -> Cost:
    (n, d), m = shapes[0], machine()
    clips = min(max(n // RUN, 1), params.maximum_clips)
    held = 8.0 * RUN * d * (clips + 4) + 120.0 * n + 6e4
    work = clips * RUN * (RUN / 2) * 2.0 * d
    return Cost(0.01 + m.seconds(flops64=work, moved=held, calls=60.0 * clips * RUN) + 1e-6 * n, held)


def _check() -> tuple[CheckLine, ...]:
    """Two frames: one bar. A still video: read alike. Frames that repeat every third: hits at ages 3, 6 … A window."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 1, 16, 30))

    def found(x, **more):
        n, f, p, d = x.shape
        tap = ArrayActivations(x.reshape(-1, d), layout=Layout(np.arange(n + 1) * f * p))
        return memory_age(tap, MemoryAgeParams(frames=f, **more))

    two = found(rng.standard_normal((2, 2, 16, 30)))
    still = found(np.tile(x, (1, 6, 1, 1)))
    waves = rng.standard_normal((2, 3, 16, 30))
    turns = found(np.tile(waves, (1, 3, 1, 1)), temperature=0.01)
    here = found(rng.standard_normal((2, 4, 16, 30)), local=True, window=1)
    threes = turns.series[HITS][np.isin(turns.x, [3, 6])].sum()
    return (
        CheckLine("one memory frame: bars", 1.0, float(len(two.x)), 0.0),
        CheckLine("one memory frame: its mass", 1.0, float(two.series[MASS][0]), 1e-12),
        CheckLine("still video: off an even reading", 0.0,
                  float(np.abs(still.series[MASS] - still.null[MASS]).max()), 1e-9),
        CheckLine("repeats: hits at their age, 6 of 8 frames", 0.75, float(threes), 1e-12),
        CheckLine("read in the window: leak", 0.0, here.estimates[2].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="memory_age", family="tokens", title="Age of what is read of a memory", version=2, function=memory_age,
        summary="How old the frames are that a video's places read, and what a local window would miss.",
        params=MemoryAgeParams, result=Curve, check=_check, cost=_cost, minimum_rows=RUN,
        invariance="by distance: rotations of the units and a constant added to each; by dot product: rotations; by "
                   "cosine: rotations and the length of tokens",
        papers=("ColorMNet: A Memory-based Deep Spatial-Temporal Feature Propagation Network for Video Colorization",),
    ),
)  # fmt: skip
