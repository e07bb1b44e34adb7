"""Frames of clips in several layers with what is to be found in them, and which layers find it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotFound, ShapeError
from analysis.spec import Progress
from analysis.tokens.sets.clips import Clips
from analysis.tokens.sets.moments import auroc, chance_means, chance_of_means, turned

MOMENT_COLUMNS, QUERY_COLUMNS, MOST_QUERIES = ("moment", "query", "label"), ("id", "text", "label"), 60


@dataclass
class Frames:
    """`x` by clip a list over layers of (F, d_l); `labels` by clip (F,) text; `numbers` by clip (F,); `asked` the clip
    that was asked for; `text` (Q, d) by name of embedded queries, empty where frames of other clips stand for them."""

    name: str
    layers: tuple[str, ...]
    x: list[list[np.ndarray]]
    labels: list[np.ndarray]
    numbers: list[np.ndarray]
    clip_names: list[str]
    asked: int
    text: dict[str, np.ndarray]
    notes: list[str] = field(default_factory=list)

    def scores(self, clip: int, query: str) -> np.ndarray:
        """(layers, F) cosines of the frames of a clip with a query. Raises NotFound."""
        return np.stack([self._of_layer(k, clip, query) for k in range(len(self.layers))])

    def chance(self, query: str, by: list[np.ndarray], which: list[int]) -> np.ndarray:
        """(draws, layers) mean AUROC over the clips `which` with all moments turned `by`, and the queries of them."""
        inside, out = [label == query for label in self.labels], []
        for k in range(len(self.layers)):
            middle = np.concatenate([c[k] for c in self.x]).mean(axis=0)
            out.append(chance_of_means([c[k] - middle for c in self.x], inside, by, which))
        return np.stack(out, axis=1)

    def _of_layer(self, layer: int, clip: int, query: str) -> np.ndarray:
        x = self.x[clip][layer]
        if self.text:
            if query not in self.text:
                raise NotFound(f"query {query!r}", "one of " + ", ".join(list(self.text)[:10]))
            return _cosines(x, self.text[query])
        middle = np.concatenate([c[layer] for c in self.x]).mean(axis=0)
        others = [c[layer][lab == query] for j, (c, lab) in enumerate(zip(self.x, self.labels, strict=True))
                  if j != clip or len(self.x) == 1]  # fmt: skip
        own = np.concatenate(others) if others else np.zeros((0, 1))
        if not len(own):
            raise NotFound(f"query {query!r} in another clip than {self.clip_names[clip]}",
                           "one that two clips have, or a tap of queries given last")  # fmt: skip
        return _cosines(x - middle, own.mean(axis=0) - middle)


def _cosines(x: np.ndarray, query: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(query)
    # rounding to nine digits: frames that are the same score the same
    return np.round(np.where(lengths > 0, x @ query / np.where(lengths > 0, lengths, 1.0), 0.0), 9)


@dataclass
class Found:
    """`value` (L, Q) AUROC of `layers` and `queries`; `chance` (draws, L, Q); `without` (C, L) mean over queries
    without each clip, or None; `clips` that told something."""

    layers: tuple[str, ...]
    queries: list[str]
    value: np.ndarray
    chance: np.ndarray
    without: np.ndarray | None
    clips: int


def frames_of(taps: Sequence[Activations], params, rng, progress: Progress) -> Frames:
    """Raises InputError, ShapeError, NotFound, NotEnoughData."""
    taps, words, said = _split(taps)
    first = taps[0]
    column = params.moments or next((c for c in MOMENT_COLUMNS if c in first.samples), None)
    if column is None:
        raise NotFound(
            f"{first.name} has no sample column that says what is to be found in a frame",
            "'moment', 'query' or 'label', or a column that is named", "Record with one",
        )  # fmt: skip
    labels = sample_column(first, column).astype(str)
    readers = [Clips(t, params.clip, params.frame, None, samples_are_frames=True) for t in taps]
    asked, _ = readers[0].at(params.sample)
    chosen = np.union1d(np.sort(rng.permutation(readers[0].n)[: params.maximum_clips]), [asked])
    x, named, numbers, kept = [], [], [], []
    for i, k in enumerate(chosen):
        progress(i / len(chosen), "reading frames")
        read = [r.read(int(k)) for r in readers]
        if any(r is None for r in read) or len({tuple(r.frames) for r in read}) > 1:
            continue
        x.append([r.means for r in read])
        named.append(labels[read[0].samples])
        numbers.append(read[0].frames)
        kept.append(int(k))
    refuse_few(first.name, len(x), 1, "clip(s) of two frames that are finite in every layer")
    said += [note for r in readers for note in r.notes]
    if len(chosen) < readers[0].n:
        said.append(f"A random {len(chosen)} of {readers[0].n:,} clips were read.")
    if len(x) < len(chosen):
        said.append(
            f"{len(chosen) - len(x)} clip(s) without two frames that are finite in every layer left out."
        )
    text, more = _text(words, taps) if words is not None else ({}, [])
    said += more
    if not text:
        said.append("No tap of queries was given last: a query is the mean of its frames in the other clips.")
    return Frames(
        first.name.partition(":")[0], tuple(t.name.partition(":")[2] or t.name for t in taps), x, named, numbers,
        [readers[0].names[k] for k in kept], kept.index(asked) if asked in kept else 0, text, list(dict.fromkeys(said)),
    )  # fmt: skip


def _split(taps: Sequence[Activations]) -> tuple[list[Activations], Activations | None, list[str]]:
    """(layers, the queries or None, notes): the last tap is of queries where its samples are not those of the first."""
    ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    words = None if np.array_equal(ids[0], ids[-1]) else taps[-1]
    layers = list(taps if words is None else taps[:-1])
    for t, own in zip(layers, ids, strict=False):
        if not np.array_equal(own, ids[0]):
            raise InputError(
                f"{layers[0].name} and {t.name} hold different samples",
                "layers of one recording, queries last",
            )
    return layers, words, []


def _text(words: Activations, taps) -> tuple[dict[str, np.ndarray], list[str]]:
    """((d,) mean embedding of each query under every name it has, notes)."""
    for t in taps:
        if t.shape[1] != words.shape[1]:
            raise ShapeError(
                f"{t.name} has {t.shape[1]} units and the queries of {words.name} {words.shape[1]}",
                "layers in the space of the queries",
                "Record the layers behind the projection into the shared space, or leave the queries out",
            )
    found, offsets, left = {}, words.layout.offsets, 0
    for i in range(words.layout.n_samples):
        row = np.asarray(words.take(np.arange(offsets[i], offsets[i + 1])), np.float64).mean(axis=0)
        for column in QUERY_COLUMNS:
            if column in words.samples and np.isfinite(row).all():
                found.setdefault(str(words.samples[column][i]), row)
        left += not np.isfinite(row).all()
    return found, [f"{left} queries with NaN or infinity left out."] if left else []


def find(frames: Frames, draws: int, rng: np.random.Generator, progress: Progress) -> Found:
    """Every query that some clip has frames inside and outside of."""
    names = [
        q for q in np.unique(np.concatenate(frames.labels)) if q and (not frames.text or q in frames.text)
    ]
    queries, value, chance, by_clip = [], [], [], []
    by = [rng.integers(len(label), size=draws) for label in frames.labels]
    for i, q in enumerate(names[:MOST_QUERIES]):
        progress(i / len(names), "turning moments")
        turns, which = [], []
        for c, label in enumerate(frames.labels):
            inside = label == q
            if inside.any() and not inside.all() and (frames.text or _elsewhere(frames, c, q)):
                scores = frames.scores(c, q)
                turns.append(turned(scores, inside) if frames.text else auroc(scores, inside)[None])
                which.append(c)
        if turns:
            queries.append(str(q))
            value.append(np.mean([t[0] for t in turns], axis=0))
            chance.append(
                chance_means(turns, [by[c] for c in which]) if frames.text else frames.chance(q, by, which)
            )
            by_clip.append({c: t[0] for c, t in zip(which, turns, strict=True)})
    if len(names) > MOST_QUERIES:
        frames.notes.append(f"The first {MOST_QUERIES} of {len(names)} queries.")
    if not queries:
        return Found(frames.layers, [], np.zeros((0, 0)), np.zeros((0, 0, 0)), None, 0)
    clips = sorted({c for of in by_clip for c in of})
    return Found(frames.layers, queries, np.stack(value, axis=1), np.stack(chance, axis=2), _without(by_clip, clips),
                 len(clips))  # fmt: skip


def _elsewhere(frames: Frames, clip: int, query: str) -> bool:
    return any((label == query).any() for c, label in enumerate(frames.labels) if c != clip)


def _without(by_clip: list[dict], clips: list[int]) -> np.ndarray | None:
    """(C, L) mean over the queries of their mean over clips, without each clip."""
    if len(clips) < 3:
        return None
    found = []
    for left in clips:
        means = [
            np.mean([v for c, v in of.items() if c != left], axis=0) for of in by_clip if set(of) - {left}
        ]
        if means:
            found.append(np.mean(means, axis=0))
    return np.array(found)
