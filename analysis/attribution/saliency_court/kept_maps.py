"""Maps of samples as they are, way by way in blocks of samples: every trial that asks for the same ones finds them
made, and a trial that was stopped goes on at the block where it was.

With a shelf (a workspace) a block is kept under a digest of all that made it: the tap, what is explained, the
background, the way and its settings, the samples and the seed. A map's own randomness comes from the seed, the sample
and the way, so that a kept map and one made anew are the same to the bit.
"""

from __future__ import annotations

import dataclasses
import zlib

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


def own_rng(seed: int, sample: int, way: str) -> np.random.Generator:
    return np.random.default_rng([seed, sample, zlib.crc32(way.encode())])


def block_of_maps(key: dict | None, way: str, samples: list[int], make) -> list[Made]:
    """Of each of `samples` (numbers in the store) what `make(place)` gives, from the shelf where it is there; never
    with `key` None."""
    keeps = key is not None and kept.shelved()
    whole = {**(key or {}), "way": way, "samples": samples}
    found = kept.find("maps on trial", whole) if keeps else None
    if found is None:
        made = [make(k) for k in range(len(samples))]
        if keeps:
            found = {f"values {k}": one.values for k, one in enumerate(made)}
            found["passes"] = np.array([one.passes for one in made])
            found["why"] = np.array([one.why for one in made])
            kept.keep("maps on trial", whole, found)
        return made
    return [
        Made(found[f"values {k}"], int(found["passes"][k]), str(found["why"][k])) for k in range(len(samples))
    ]
