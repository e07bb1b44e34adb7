"""Maps of samples as they are, way by way in blocks of samples: every trial that asks for the same ones finds them
made, and a trial that was stopped goes on at the block where it was.

With a shelf (a workspace) a block is kept under a digest of all that made it: the tap, what is explained, the
background, the way and its settings, the samples and the seed. Maps of samples that a trial has changed (other weights,
noise) are kept under what it did, all ways in one block. A map's own randomness comes from the seed, the sample and the
way, so that a kept map and one made anew are the same to the bit.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable

import numpy as np

from analysis.compute import kept

VERSION = 1  # of the numbers kept
BLOCK = 4  # samples
ASKED = ("site", "number", "answer", "background", "background_samples", "steps", "reader", "column")


@dataclasses.dataclass(frozen=True)
class Made:
    """`values` (tokens,), the `passes` that they took; `why` there is no map, "" where there is one."""

    values: np.ndarray
    passes: int = 0
    why: str = ""


def made_of(tap, samples, params, number: str | None, settings, seed: int) -> dict:
    """What maps of a trial are made of, beside the way and the samples."""
    asked = {name: getattr(params, name) for name in ASKED}
    return {
        "tap": tap.digest, "version": VERSION, "read": samples.what, "seed": seed, "params": asked, "number": number,
        "settings": dataclasses.asdict(settings), "pool": kept.content_digest(np.asarray(samples.samples)),
    }  # fmt: skip


def drawn_rng(seed: int, draw: int) -> np.random.Generator:
    """Of what a trial draws for the so-manieth time: the same ones again when it goes on."""
    return np.random.default_rng([seed, draw])


def own_rng(seed: int, sample: int, way: str, changed: dict | None) -> np.random.Generator:
    """Of one map: another one of a sample that is changed, or random maps would stay."""
    return np.random.default_rng(
        [seed, sample, zlib.crc32(json.dumps([way, changed], sort_keys=True).encode())]
    )


def block_of_maps(key: dict | None, samples: list[int], many: int, make: Callable[[int], Made]) -> list[Made]:
    """`many` maps, `make(k)` the k-th, of `samples` (numbers in the store), from the shelf where they are there; never
    with `key` None."""
    keeps = key is not None and kept.shelved()
    whole = {**(key or {}), "samples": samples}
    found = kept.find("maps on trial", whole) if keeps else None
    if found is None:
        made = [make(k) for k in range(many)]
        if keeps:
            kept.keep("maps on trial", whole, _packed(made))
        return made
    each = np.split(found["values"], found["ends"][:-1])
    return [Made(v, int(p), str(w)) for v, p, w in zip(each, found["passes"], found["why"], strict=True)]


def _packed(made: list[Made]) -> dict[str, np.ndarray]:
    return {
        "values": np.concatenate([one.values for one in made]),
        "ends": np.cumsum([len(one.values) for one in made]),
        "passes": np.array([one.passes for one in made]),
        "why": np.array([one.why for one in made]),
    }
