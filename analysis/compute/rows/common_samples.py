"""One line per sample for several taps, of whatever networks: the samples they have in common, matched by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, ArrayActivations
from analysis.arrays import finite_rows
from analysis.compute import kept
from analysis.compute.rows.copies import copies, copies_note
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.row_number_ids import row_number_notes
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import InputError, NotEnoughData, ParameterError, TooLarge
from analysis.spec import Progress, no_progress

MOST_BYTES = 4 << 30
KEPT_BYTES = 256 << 20  # of one tap's pooled tokens


@dataclass(frozen=True)
class CommonSamples:
    """`values`, one (n, d_i) array per tap, float64 unless asked otherwise, of the same samples; their `ids` (n,);
    `notes` on what was left out; `keys`, one digest per tap of what its values are made of: equal keys mean equal
    values, whatever the other taps are."""

    values: tuple[np.ndarray, ...]
    ids: np.ndarray
    notes: tuple[str, ...]
    keys: tuple[str, ...] = ()


def common_samples(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    maximum: int,
    minimum: int,
    pooling: str = "mean",
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
    as_stored: bool = False,
) -> CommonSamples:
    """The samples that every tap has, in the order of the first, at most `maximum` of them (a seeded random subset).

    Tokens are pooled by `pooling` ("mean" or "max") over the finite rows of a sample, in one pass over a tap that is
    kept for the next comparison; samples without a finite row in some tap are left out. Time O(n Σ d), memory 8 bytes
    per sample and unit. `as_stored`: values of a tap without tokens stay in the precision they have, and are not to be
    written to, for who centres them in float64 anyway.

    Raises
    ------
    ParameterError
        Fewer than two taps.
    InputError
        A tap with one id twice; a tap whose samples are all equal.
    NotEnoughData, TooLarge
        Fewer than `minimum` common samples, with the counts; over 4 GiB.
    """
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two or more")
    positions, said = shared_positions(taps, minimum)
    chosen, more = random_part(positions.shape[1], maximum, rng)
    positions, said = positions[:, chosen], [*said, *more]
    n = positions.shape[1]
    size = 8 * n * sum(t.shape[1] for t in taps)
    if size > MOST_BYTES:
        raise TooLarge(
            f"{len(taps)} taps of {n:,} samples need {size / 2**30:.1f} GiB",
            "at most 4 GiB",
            "Choose fewer taps or samples",
        )
    values, good = [], np.ones(n, bool)
    for i, (tap, at) in enumerate(zip(taps, positions, strict=True)):
        step = (span[1] - span[0]) / len(taps)
        x, finite, notes = _sample_vectors(
            tap, pooling, at, progress, (span[0] + i * step, span[0] + (i + 1) * step), as_stored
        )
        if not finite.any():
            raise InputError(
                f"no sample of {tap.name} has a finite row", "finite activations", "Choose another tap"
            )
        if not finite.all():
            whole = np.full((n, tap.shape[1]), np.nan)
            whole[finite] = x
            x = whole
        values.append(x)
        good &= finite
        said += [f"{tap.name}: {note}" for note in notes]
    if not good.all():
        said.append(f"{int((~good).sum())} sample(s) without a finite row in some tap left out.")
        values = [v[good] for v in values]
    if good.sum() < minimum:
        raise NotEnoughData(
            f"{int(good.sum())} sample(s) are finite in every tap",
            f"at least {minimum}",
            "Record more samples",
        )
    for tap, v in zip(taps, values, strict=True):
        if (v[:8] == v[0]).all() and (v == v[0]).all():
            raise InputError(
                f"all samples of {tap.name} are equal", "samples that differ", "Choose another tap"
            )
    worst = int(np.argmax([copies(v) for v in values]))
    said += copies_note(values[worst], f"samples of {taps[worst].name}")
    ids = np.asarray(taps[0].samples["id"]).astype(str)[positions[0][good]]
    keys = tuple(_key(tap, pooling, at[good]) for tap, at in zip(taps, positions, strict=True))
    return CommonSamples(tuple(values), ids, tuple(dict.fromkeys(said)), keys)


def _key(tap: Activations, pooling: str, at: np.ndarray) -> str:
    how = None if tap.layout.is_pooled else pooling
    made_of = {"tap": tap.digest, "pooling": how, "at": kept.content_digest(at)}
    return kept.key_of("common samples", made_of)


def _sample_vectors(
    tap: Activations, pooling: str, at: np.ndarray, progress: Progress, span, as_stored: bool
):
    """`pooled_samples` of the samples `at`. Pooling reads every token, so what it gives is kept, of all samples."""
    n, d = tap.layout.n_samples, tap.shape[1]
    if as_stored and tap.layout.is_pooled:
        if (
            isinstance(tap, ArrayActivations)
            and np.array_equal(at, np.arange(n))
            and finite_rows(tap.values).all()
        ):
            return tap.values, np.ones(n, bool), []
        return pooled_samples(tap, pooling, at, progress, span, as_stored=True)
    if tap.layout.is_pooled or 8 * n * d > KEPT_BYTES:
        return pooled_samples(tap, pooling, at, progress, span)
    made_of = {"tap": tap.digest, "pooling": pooling, "version": 1}
    found = kept.find("sample vectors", made_of)
    if found is None:
        x, finite, notes = pooled_samples(tap, pooling, np.arange(n), progress, span)
        arrays = {"values": x, "finite": finite, "notes": np.array(notes, dtype=str)}
        found = kept.keep("sample vectors", made_of, arrays)
    finite = found["finite"]
    place = np.cumsum(finite) - 1
    chosen = at[finite[at]]
    return found["values"][place[chosen]], finite[at], [str(note) for note in found["notes"]]


def shared_positions(taps: Sequence[Activations], minimum: int) -> tuple[np.ndarray, list[str]]:
    """Positions (taps, n) of the common samples in each tap, in the order of the first; notes. Raises as
    `common_samples` does for ids."""
    all_ids = [np.asarray(t.samples["id"]).astype(str) for t in taps]
    if all(np.array_equal(all_ids[0], ids) for ids in all_ids[1:]):
        return np.tile(np.arange(len(all_ids[0])), (len(taps), 1)), row_number_notes(taps)
    common = None
    for tap, ids in zip(taps, all_ids, strict=True):
        kinds, counts = np.unique(ids, return_counts=True)
        if len(kinds) < len(ids):
            raise InputError(
                f"{tap.name} has {len(ids)} samples under {len(kinds)} ids (such as {kinds[counts.argmax()]!r} "
                f"{counts.max()} times)",
                "an id of its own for each sample, by which two stores are matched",
                "Record again with unique ids",
            )
        common = kinds if common is None else np.intersect1d(common, kinds, assume_unique=True)
    counted = ", ".join(f"{t.name} {len(ids):,}" for t, ids in zip(taps, all_ids, strict=True))
    if len(common) < minimum:
        raise NotEnoughData(
            f"{len(common)} sample(s) with the same id in all taps ({counted})",
            f"at least {minimum}",
            "Record the networks on the same data",
        )
    order = all_ids[0][np.isin(all_ids[0], common)]
    found = []
    for ids in all_ids:
        by_id = np.argsort(ids)
        found.append(by_id[np.searchsorted(ids, order, sorter=by_id)])
    notes = row_number_notes(taps, np.array(found))
    return np.array(found), [f"{len(common):,} samples matched by id ({counted}).", *notes]
