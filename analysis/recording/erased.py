"""A store with a concept erased from one tap: a derived feature set, on which everything else runs as on any store.

The eraser is found on the samples that have the concept, tokens pooled by their mean: LEACE, mean and cross-covariance
projection from second moments of all of them, with a few (units, units) in memory however many there are; the other
methods from at most 50,000 samples, held in memory. It is applied to every row of the tap, token by token, batch by
batch. It is affine, so the mean of erased tokens is the erased mean; single tokens may still tell. Rows with NaN or
infinity, and constant units, stay as they are.

What is written says of what it was made: `data.erased` in the manifest names the source tap with its digest, the
concept, the method and the dimensions removed, and `problems` says it in words. Since all samples with the concept
find the directions, probes in the new store see samples that took part: a linear probe there is at the majority by
construction. What is left on samples that took no part is what the method `concept_erasure` says.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np

from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.subspaces.concept_moments import concept_moments, tap_concept_moments
from analysis.compute.subspaces.erasing import BY_MOMENTS, ERASERS, FEWEST, LEACE, erased, erased_by_moments
from analysis.compute.subspaces.erasure import Eraser, refuse_few_for_units
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress
from analysis.store.reader import Store
from analysis.store.writer import StoreWriter, TapBlock

MOST = 50_000  # samples that find the directions of a method that needs them all at once
BATCH = 256  # samples written at a time


def erased_store(
    workspace,
    store: str,
    tap: str,
    column: str,
    method: str = LEACE,
    k: int | None = None,
    name: str = "",
    *,
    first: str = "",
    second: str = "",
    inside: str = "",
    outside: str = "",
    seed: int = 0,
    progress: Progress = no_progress,
) -> Store:
    """Write `store` again under `name`, with only the tap `tap` in it and the concept erased from that.

    Parameters
    ----------
    workspace : analysis.workspace.Workspace
    column, first, second, inside, outside : the concept, as in `analysis.compute.groups.concept`.
    method : one of `analysis.compute.subspaces.erasing.ERASERS`.
    k : dimensions; None for as many as a linear probe reads.
    name : of the new store; "" for "STORE without COLUMN".

    Raises
    ------
    NotFound, ParameterError, InputError
        No such store, tap, column or method; the name is taken; a constant concept.
    NotEnoughData, TooLarge
        As for the method `concept_erasure`. Nothing is left behind then.
    """
    if method not in ERASERS:
        raise ParameterError(f"method {method!r}", "one of " + ", ".join(ERASERS))
    source, name = workspace.store(store), name or f"{store} without {column}"
    directory = workspace.new_store_path(name)
    eraser, units, concept = found_eraser(
        source.activations(tap),
        ConceptParams(column, first, second, inside, outside),
        method,
        k,
        seed,
        progress,
    )
    made_here = not directory.exists()
    try:
        with _created(source, tap, directory, name, method, eraser, concept, seed) as writer:
            _write(source, tap, writer, eraser, units, progress)
            return writer.finish()
    except BaseException:
        if made_here:  # half a store would only take up the name; the source is still there
            shutil.rmtree(directory, ignore_errors=True)
        raise


def found_eraser(
    activations,
    ask: ConceptParams,
    method: str,
    k: int | None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[Eraser, np.ndarray, str]:
    """The eraser on the samples that have the concept, the units (m,) it is about, and the concept in words."""
    if method in BY_MOMENTS:
        moments, units, concept = tap_concept_moments(
            activations, ask, minimum=FEWEST, progress=progress, span=(0, 0.3)
        )
        refuse_few_for_units(moments.n, len(units), "samples with the concept")
        return erased_by_moments(method, moments, k or concept.rank), units, concept.described
    rng = np.random.default_rng(seed)
    data = concept_samples(
        activations, ask, minimum=FEWEST, maximum=MOST, rng=rng, progress=progress, span=(0, 0.3)
    )
    refuse_few_for_units(len(data.x), data.x.shape[1], "samples with the concept")
    moments = concept_moments(data.x, data.concept)
    return (
        erased(method, data.x, data.concept, moments, k or data.concept.rank),
        data.units,
        data.concept.described,
    )


def _created(
    source: Store, tap: str, directory, name, method, eraser: Eraser, concept: str, seed: int
) -> StoreWriter:
    about = source.manifest
    of = f"{source.name}:{tap}"
    facts = {
        "of": of, "digest": source.activations(tap).digest, "concept": concept, "method": method,
        "dimensions": eraser.rank, "seed": seed,
    }  # fmt: skip
    spec = replace(source.taps[tap], dtype="float32", unit_names=tuple(source.activations(tap).unit_names))
    writer = StoreWriter.create(
        directory, name=name, taps=[spec], checkpoint=dict(about.get("checkpoint") or {}),
        data={**(about.get("data") or {}), "erased": facts}, settings={"seed": seed}, classes=source.classes,
        n_expected=source.n_samples,
    )  # fmt: skip
    writer.note_problem(f"Derived: {concept} erased from {of} by {method}, {eraser.rank} dimension(s).")
    return writer


def _write(source: Store, tap: str, writer: StoreWriter, eraser: Eraser, units, progress: Progress) -> None:
    activations, n = source.activations(tap), source.n_samples
    offsets = activations.layout.offsets
    columns = {c: np.asarray(source.samples[c]) for c in source.samples}
    classes = source.class_index
    for start in range(0, n, BATCH):
        stop = min(start + BATCH, n)
        progress(0.3 + 0.7 * start / n, f"{start:,} of {n:,} samples written")
        rows = np.arange(offsets[start], offsets[stop])
        values = np.array(activations.take(rows), dtype=np.float64)
        good = np.isfinite(values).all(axis=1)
        part = values[good][:, units]
        values[np.ix_(good, units)] = eraser(part)
        counts = np.diff(offsets[start : stop + 1])
        writer.append(
            {c: v[start:stop] for c, v in columns.items()},
            {tap: TapBlock(values.astype(np.float32), counts)},
            class_index=None if classes is None else classes[start:stop],
            thumbnails=[source.thumbnail(i) for i in range(start, stop)],
            tokens=_tokens(source, start, stop),
        )


def _tokens(source: Store, start: int, stop: int):
    found = [source.tokens(i) for i in range(start, stop)]
    return None if all(t is None for t in found) else [t or [] for t in found]
