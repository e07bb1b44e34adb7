"""Learned vectors, such as soft prompts, and the words that they are compared with, and what each is called.

Both are rows of a tap, or of a tensor in the checkpoint of its network.
"""

from __future__ import annotations

import numpy as np

from analysis.arrays import finite_rows
from analysis.compute.streaming import refuse_few
from analysis.errors import LoupeError, NotFound, ShapeError
from analysis.features.logit_weights import output_names
from analysis.sources.own_module import recorded_from
from analysis.sources.unit_weights import is_table
from analysis.sources.weights import weights_of

FEWEST = 2  # words, or vectors


def learned_vectors(tap, tensor: str, most: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """((m, d) finite vectors, (m,) their names, notes): the first `most` rows of the tap, or of the `tensor` (…, d) of
    its checkpoint, where one is named. Raises NotFound."""
    x, names, said = _of_tensor(tap, tensor, most) if tensor else _of_rows(tap, most)
    good = finite_rows(x)
    return x[good], names[good], (*left_out(good, "vector(s)"), *said)


def word_table(tap, d: int, table: str, most: int) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """((V, d) finite words, their names, notes): of a language model its largest table of input embeddings of this
    width, with `table` in its name; else the rows of the tap. The first `most`. Raises ShapeError, NotEnoughData."""
    found = None if is_table(tap) else _of_model(tap, d, table, most)
    if found is None and tap.shape[1] != d:
        raise ShapeError(f"vectors of {d} units and words of {tap.shape[1]}", "one space",
                         f"Choose words of the encoder that reads the prompts, or name a tensor of the checkpoint as "
                         f"the vectors. {recorded_from('*prompt*')}")  # fmt: skip
    x, names, said = found or _words_of_rows(tap, most)
    good = finite_rows(x)
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    return x[good], tuple(names[good]), (*left_out(good, "word(s)"), *said)


def _of_rows(tap, most: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    rows, lone = np.arange(min(tap.shape[0], most)), tap.layout.is_pooled
    sample, token = tap.layout.sample_of(rows), tap.layout.token_of(rows)
    names = np.array([f"{s}" if lone else f"{s}, {t}" for s, t in zip(sample, token, strict=True)])
    return np.asarray(tap.take(rows), np.float64), names, first_of(tap.shape[0], most, "vectors")


def _of_tensor(tap, asked: str, most: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """A tensor (…, units) of the checkpoint, row by row."""
    network = weights_of(tap)
    fits = [k for k, s in network.shapes.items() if len(s) > 1 and (k == asked or k.endswith(asked))]
    fits = [asked] if asked in fits else fits
    if len(fits) != 1:
        known = [k for k, s in network.shapes.items() if len(s) > 1 and not k.endswith(".weight")]
        raise NotFound(
            f"{len(fits)} tensors called '{asked}' in {network.path.name}",
            "one of " + ", ".join((known or list(network.shapes))[:8]), "Name it whole",
        )  # fmt: skip
    x = np.asarray(network.tensor(fits[0]), np.float64)
    places = np.array([", ".join(map(str, at)) for at in np.ndindex(x.shape[:-1])])
    x, said = x.reshape(-1, x.shape[-1]), f"Vectors are rows of {fits[0]} of {network.path.name}."
    return x[:most], places[:most], (said, *first_of(len(x), most, "vectors"))


def _of_model(tap, d: int, table: str, most: int):
    """Words of a language model, or None of a dump without a checkpoint, whose rows are the words."""
    try:
        network = weights_of(tap)
        fits = [n for n in network.lookups if network.shapes[f"{n}.weight"][1] == d and table in n]
        if not fits:
            return None
        name = max(fits, key=lambda n: network.shapes[f"{n}.weight"][0])
        x = np.asarray(network.tensor(f"{name}.weight"), np.float64)
        said = (f"Words are rows of {name} of {network.path.name}.", *first_of(len(x), most, "words"))
        x = x[:most]
        return x, np.array(output_names(network.path, len(x), ())), said
    except LoupeError:
        return None


def _words_of_rows(tap, most: int):
    n = min(tap.shape[0], most)
    column = next((c for c in ("text", "id") if c in tap.samples), None)
    of = tap.layout.sample_of(np.arange(n))
    names = np.asarray(tap.samples[column]).astype(str)[of] if column else np.arange(n).astype(str)
    return np.asarray(tap.take(np.arange(n)), np.float64), names, first_of(tap.shape[0], most, "words")


def first_of(count: int, most: int, what: str) -> tuple[str, ...]:
    """That not all were read, where it is so."""
    return (f"The first {most:,} of {count:,} {what}.",) if count > most else ()


def left_out(good: np.ndarray, what: str) -> tuple[str, ...]:
    bad = int((~good).sum())
    return (f"{bad} {what} with NaN or infinity were left out.",) if bad else ()
