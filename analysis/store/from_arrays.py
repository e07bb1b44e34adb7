"""A store from arrays in one call: for notebooks, imports and tests."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from analysis.errors import InputError, ShapeError
from analysis.spec import no_progress
from analysis.store.manifest import TapSpec
from analysis.store.writer import StoreWriter, TapBlock


def write_store(
    directory: str | os.PathLike,
    *,
    name: str,
    taps: Mapping[str, np.ndarray | Sequence[np.ndarray]],
    samples: Mapping[str, Sequence] | None = None,
    labels: Sequence | None = None,
    classes: Sequence[str] = (),
    dtype: str = "float32",
    specs: Mapping[str, TapSpec] | None = None,
    checkpoint: dict | None = None,
    data: dict | None = None,
    settings: dict | None = None,
    thumbnails: Sequence[bytes | None] | None = None,
    tokens: Sequence[Sequence[str]] | None = None,
    batch: int = 1024,
    progress=no_progress,
):
    """Write a finished store and open it.

    Parameters
    ----------
    taps : name -> (n, units), (n, tokens, units), or a sequence of n arrays (tokens_i, units).
    samples : columns of length n. labels : (n,) integers into `classes`, or names (then `classes` is their sorted
        set unless given); they become the column "label" where samples have none.
    dtype : stored type, "float32" or "float16". specs : TapSpecs that replace the plain ones.
    batch : samples per append.

    Raises
    ------
    InputError, ShapeError
        Shapes, lengths, labels or ids that do not fit. Nothing is left behind then, as after any other error.
    """
    n, specs = _checked(name, taps, specs, dtype)
    index, classes = _classes(labels, classes, n)
    columns = _columns(samples or {}, index, classes, n)
    path = Path(directory)
    made_here = not path.exists() or not any(path.iterdir())
    with StoreWriter.create(
        path, name=name, taps=list(specs.values()), checkpoint=checkpoint, data=data, settings=settings,
        classes=classes, n_expected=n,
    ) as writer, _removed_on_failure(writer, made_here):  # fmt: skip
        for start in range(0, n, batch):
            at = slice(start, start + batch)
            writer.append(
                {key: column[at] for key, column in columns.items()},
                {key: _block(key, values[at], specs[key].n_units) for key, values in taps.items()},
                class_index=None if index is None else index[at],
                thumbnails=None if thumbnails is None else thumbnails[at],
                tokens=None if tokens is None else tokens[at],
            )
            progress(min(1.0, (start + batch) / n), f"writing {name}")
        return writer.finish()


@contextlib.contextmanager
def _removed_on_failure(writer: StoreWriter, made_here: bool) -> Iterator[None]:
    """The arrays are still there: half a store would only take up the name."""
    try:
        yield
    except BaseException:
        writer.close()
        if made_here:
            shutil.rmtree(writer.path, ignore_errors=True)
        raise


def _checked(name: str, taps: Mapping, specs: Mapping | None, dtype: str) -> tuple[int, dict[str, TapSpec]]:
    """Samples that every tap has, and what each tap is."""
    if not taps:
        raise InputError(f"store '{name}' has no tap", "at least one array")
    key, values = next(iter(taps.items()))
    if _length(values) == 0:
        raise InputError(f"tap '{key}' of store '{name}' has no sample", "at least one")
    for other, array in taps.items():
        if _length(array) != len(values):
            raise ShapeError(
                f"tap '{other}' has {_length(array)} samples", f"{len(values)}, as many as tap '{key}'"
            )
    specs = dict(specs or {key: _spec(key, values, dtype) for key, values in taps.items()})
    if set(specs) != set(taps):
        raise InputError(f"specs of {sorted(specs)}", f"of {sorted(taps)}")
    return len(values), specs


def _length(values) -> int:
    return 0 if isinstance(values, np.ndarray) and values.ndim == 0 else len(values)


def _columns(samples: Mapping, index: np.ndarray | None, classes: Sequence[str], n: int) -> dict:
    """The sample columns, with "label" and "id" where there are none; no id twice."""
    columns = {k: np.asarray(v) if isinstance(v, np.ndarray) else list(v) for k, v in samples.items()}
    if index is not None and "label" not in columns:
        columns["label"] = [classes[i] if i >= 0 else None for i in index]
    columns.setdefault("id", [str(i) for i in range(n)])
    for key, values in columns.items():
        if len(values) != n:
            raise ShapeError(f"sample column '{key}' has {len(values)} entries", f"{n}, one per sample")
    often = Counter(map(str, columns["id"]))
    if len(often) < n:
        twice = [i for i, count in often.items() if count > 1]
        raise InputError(
            f"{len(twice)} id(s) are there more than once ({', '.join(map(repr, twice[:5]))})",
            "an id of its own for every sample",
            "Leave the ids out to number the samples",
        )
    return columns


def _spec(name: str, values, dtype: str) -> TapSpec:
    if isinstance(values, np.ndarray):
        if values.ndim not in (2, 3):
            raise ShapeError(
                f"tap '{name}' has shape {values.shape}", "(n, units) or (n, tokens, units)",
                "Put the units last, and the positions of a map into one axis of tokens",
            )  # fmt: skip
        return TapSpec(name, values.shape[-1], dtype, tokens="mean" if values.ndim == 2 else "all")
    first = np.asarray(values[0])
    if first.ndim != 2:
        raise ShapeError(f"the first sample of tap '{name}' has shape {first.shape}", "(tokens, units)")
    return TapSpec(name, first.shape[-1], dtype, tokens="all")


def _block(name: str, values, n_units: int) -> TapBlock:
    if isinstance(values, np.ndarray):
        return TapBlock(values.reshape(-1, values.shape[-1]))
    parts = [np.asarray(v) for v in values]
    wrong = [p.shape for p in parts if p.ndim != 2 or p.shape[1] != n_units]
    if wrong:
        raise ShapeError(f"a sample of tap '{name}' has shape {wrong[0]}", f"(tokens, {n_units})")
    return TapBlock(np.concatenate(parts), np.array([len(p) for p in parts]))


def _classes(labels, classes: Sequence[str], n: int) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if labels is None:
        return None, tuple(classes)
    given, labels = labels, np.asarray(labels)
    if labels.shape != (n,):
        raise ShapeError(f"labels have shape {labels.shape}", f"({n},)")
    if labels.dtype.kind in "iu":
        names = tuple(classes) or tuple(str(i) for i in range(int(labels.max(initial=-1)) + 1))
        wrong = labels[(labels < -1) | (labels >= len(names))]
        if len(wrong):
            raise InputError(f"label {wrong[0]}", f"-1 … {len(names) - 1} ({len(names)} class names)")
        return labels.astype(np.int64), names
    return _named_classes(list(given) if labels.dtype.kind in "UO" else labels.tolist(), tuple(classes))


def _named_classes(labels: list, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels that are names; None is no class."""
    odd = next((v for v in labels if not isinstance(v, (str, bool, type(None)))), None)
    if odd is not None:
        raise InputError(
            f"label {odd!r} ({type(odd).__name__})", "whole numbers, or names and None", "Keep it as a column"
        )
    text = [v if v is None else str(v) for v in labels]
    names = names or tuple(sorted({t for t in text if t is not None}))
    place = {name: i for i, name in enumerate(names)}
    unknown = sorted({t for t in text if t is not None and t not in place})
    if unknown:
        raise InputError(f"label {unknown[0]!r} is not a class", "one of " + ", ".join(names[:20]))
    return np.array([-1 if t is None else place[t] for t in text], np.int64), names
