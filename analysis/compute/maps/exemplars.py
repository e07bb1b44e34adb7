"""Samples that stand for others: those that a person names, and the one nearest to the mean of each class."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np

from analysis.activations import Activations, row_column
from analysis.arrays import finite_rows
from analysis.compute.rows.cloud import Cloud
from analysis.compute.rows.samples import known_labels
from analysis.errors import InputError, ParameterError

LONGEST = 40  # characters of a name in a sentence
MOST = 4  # exemplars that can be named
CLASS = "class:"


def point_name(activations: Activations, row: int) -> str:
    """The sample's id, with the token after a # where samples have several rows; cut in the middle when long."""
    sample = int(activations.layout.sample_of(row))
    name = short(activations.samples["id"][sample])
    return name if activations.layout.is_pooled else f"{name}#{int(activations.layout.token_of(row))}"


def short(text, most: int = LONGEST) -> str:
    """One line of at most `most` characters."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - most + most // 2 + 1 :]}"


def named_points(text: str, activations: Activations, cloud: Cloud, column: str) -> tuple[Cloud, list[int]]:
    """Read `17, "a, b", 4#2, class:cat`: the cloud, with those samples in it, and their places in it.

    A sample that was left out of the cloud to keep it small is put back.

    Raises
    ------
    ParameterError, InputError, NotFound
        An id, token or class that is not there, or one sample twice; a row with NaN; no such column.
    """
    words = _words(text)
    if len(words) > MOST:
        raise ParameterError(f"{len(words):,} exemplars", f"at most {MOST}")
    rows = {w: _row_of(w, activations) for w in words if not _is_class(w, activations)}
    cloud = _with_rows(cloud, activations, np.array(sorted(set(rows.values())), dtype=np.int64))
    places = []
    for word in words:
        if word in rows:
            places.append(int(np.searchsorted(cloud.rows, rows[word])))
        else:
            places.append(_of_class(word.removeprefix(CLASS).strip(), activations, cloud, column))
    if len(set(places)) < len(places):
        raise ParameterError(f"the exemplars {short(text)!r} name one sample twice", "different samples")
    return cloud, places


def class_exemplars(activations: Activations, cloud: Cloud, column: str) -> dict[str, int]:
    """By class, the place in the cloud of the point nearest to the mean of the class's points. O(n d classes).

    Raises NotFound without the column.
    """
    labels = row_column(activations, column)[cloud.rows]
    known = np.flatnonzero(known_labels(labels))
    names, of = np.unique(labels[known].astype(str), return_inverse=True)
    if not len(names):
        return {}
    order = np.argsort(of, kind="stable")
    x, of = cloud.x[known[order]], of[order]
    starts = np.searchsorted(of, np.arange(len(names)))
    means = np.add.reduceat(x, starts, axis=0) / np.diff(np.append(starts, len(of)))[:, None]
    from_mean = ((x - means[of]) ** 2).sum(axis=1)
    first = order[np.lexsort((from_mean, of))[starts]]
    return {str(name): int(known[i]) for name, i in zip(names, first, strict=True)}


def _words(text: str) -> list[str]:
    try:
        lines = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error:
        raise ParameterError(f"the exemplars {short(text)!r} cannot be read", "ids with commas") from None
    return [word.strip() for line in lines for word in line if word.strip()]


def _is_class(word: str, activations: Activations) -> bool:
    return word.startswith(CLASS) and not (np.asarray(activations.samples["id"]).astype(str) == word).any()


def _of_class(name: str, activations, cloud: Cloud, column: str) -> int:
    found = class_exemplars(activations, cloud, column)
    if name not in found:
        known = ", ".join(short(n) for n in list(found)[:20]) or "none"
        raise ParameterError(f"exemplar class:{short(name)} is not known", f"one of the classes {known}")
    return found[name]


def _row_of(word: str, activations: Activations) -> int:
    """The row in the tap of `id`, or of `id#token` where samples have several rows."""
    ids, layout = np.asarray(activations.samples["id"]).astype(str), activations.layout
    sample, token = np.flatnonzero(ids == word), "" if layout.is_pooled else "?"
    if not len(sample) and not layout.is_pooled and "#" in word:
        id, _, token = word.rpartition("#")
        sample = np.flatnonzero(ids == id.strip())
    if not len(sample):
        some = ", ".join(short(i) + ("#0" if token else "") for i in ids[:3])
        raise ParameterError(
            f"exemplar {short(word)!r} is no sample of {activations.name}",
            f"ids such as {some}, with commas, or class:name",
        )
    start, stop = (int(v) for v in layout.offsets[sample[0] : sample[0] + 2])
    if not token or stop - start == 1:
        return start
    if not token.isdecimal() or int(token) >= stop - start:
        raise ParameterError(
            f"exemplar {short(word)!r}: the sample has {stop - start} tokens",
            f"a token, as in {short(ids[sample[0]])}#0 … #{stop - start - 1}",
        )
    return start + int(token)


def _with_rows(cloud: Cloud, activations: Activations, rows: np.ndarray) -> Cloud:
    """The cloud with these rows (rising) of the tap in it."""
    missing = np.setdiff1d(rows, cloud.rows)
    if not len(missing):
        return cloud
    values = np.asarray(activations.take(missing), dtype=np.float64)
    good = finite_rows(values)
    if not good.all():
        name = point_name(activations, int(missing[np.argmin(good)]))
        raise InputError(f"exemplar {name!r} holds NaN or infinity", "a finite row", "Name another sample")
    order = np.argsort(np.r_[cloud.rows, missing], kind="stable")
    rows = np.r_[cloud.rows, missing][order]
    owner = activations.layout.sample_of(rows)
    numbers, sample = np.unique(owner, return_inverse=True)
    if len(numbers) == 1:
        numbers, sample = owner, np.arange(len(rows))
    return replace(
        cloud,
        x=np.concatenate([cloud.x, values])[order],
        rows=rows,
        sample=sample.reshape(-1),
        sample_numbers=numbers,
    )
