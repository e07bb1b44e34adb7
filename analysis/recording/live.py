"""A feature on a text or picture of one's own: the network is opened again, run once, and its activations encoded.

Only networks that need no code of their own are opened (Hugging Face directories, described networks), from the very
files that the store was recorded from, verified by their digest. The input is recorded as the store's samples were,
into a temporary directory that goes away afterwards.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, NotFound
from analysis.features.feature_set import FeatureSet
from analysis.sources.weights import refuse_code, weights_of
from analysis.spec import Progress, no_progress
from analysis.store.encoded import is_encoded

MOST_TEXT, MOST_PICTURE = 20_000, 4 << 20  # characters, bytes
STRONGEST = 8  # other features that are named
KINDS = {"text": ".txt", "image": ".png"}


@dataclass(frozen=True)
class Lived:
    """One feature on one input: `values` (t,) of each token, one where tokens are pooled; `tokens` (t,) their texts or
    None; `grid` and `leading` as of the tap; `others`: the features with the largest sum over the input, (number, sum).
    """

    values: np.ndarray
    tokens: tuple[str, ...] | None
    grid: tuple[int, int] | None
    leading: int
    others: tuple[tuple[int, float], ...]


def input_kind(store, tap: str) -> str:
    """ "text" or "image", what the network of an encoded tap takes.

    Raises InputError, NotFound: no checkpoint that can be opened again, or another kind of data.
    """
    entry = store.entry(tap)
    if not is_encoded(entry):
        raise InputError(f"'{tap}' was recorded", "a tap that a feature set encoded")
    source = store.activations(entry["of"])
    refuse_code(weights_of(source), source.name)
    if str(entry["of"]).startswith("outputs."):
        raise InputError(f"{source.name} holds outputs", "a module of the network")
    kind = str((store.manifest.get("data") or {}).get("kind"))
    if kind not in KINDS:
        raise InputError(f"the network of {source.name} takes {kind}", "text or images")
    return kind


def try_input(
    store, tap: str, feature: int, *, text: str = "", picture: bytes = b"", progress: Progress = no_progress
) -> Lived:
    """What feature `feature` of the encoded tap `tap` does on a text, or on a picture given as the bytes of its file.

    Time: that of opening the network, and one forward pass. Raises InputError, NotFound.
    """
    from analysis.recording.recorder import record
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data

    kind, entry = input_kind(store, tap), store.entry(tap)
    of = store.entry(entry["of"])
    if not 0 <= feature < store.activations(tap).shape[1]:
        raise NotFound(f"no feature {feature}", f"0 … {store.activations(tap).shape[1] - 1}")
    given = _checked(kind, text, picture)
    features = FeatureSet.open(store.folder(tap) / "set")
    progress(0.1, "opening the network")
    with tempfile.TemporaryDirectory(prefix="feature-loupe-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "own"
        data.mkdir()
        ending = ".jpg" if given.startswith(b"\xff\xd8") and kind == "image" else KINDS[kind]
        (data / f"own{ending}").write_bytes(given)
        checkpoint = open_checkpoint(weights_of(store.activations(entry["of"])).path)
        progress(0.3, "running it")
        made = record(
            checkpoint, open_data(data, kind=kind), Path(folder) / "store", name="own", taps=(entry["of"],),
            tokens=of["tokens"], batch=1, dtype=of["dtype"],
        )  # fmt: skip
        name = (
            entry["of"]
            if entry["of"] in made.taps
            else next(t for t in made.taps if not t.startswith("outputs."))
        )
        recorded, spec = made.activations(name), made.taps[name]
        codes = features.encode(recorded.take(np.arange(recorded.shape[0])))
        tokens = None if recorded.layout.is_pooled else made.tokens(0)
    progress(1.0, "done")
    total = codes.sum(axis=0)
    best = [int(j) for j in np.argsort(-total, kind="stable")[:STRONGEST] if total[j] > 0]
    return Lived(codes[:, feature].astype(np.float64), None if tokens is None else tuple(tokens), spec.grid,
                 spec.leading, tuple((j, float(total[j])) for j in best))  # fmt: skip


def _checked(kind: str, text: str, picture: bytes) -> bytes:
    from analysis.sources.pictures import refuse_large

    if kind == "text":
        if not text.strip():
            raise InputError("an empty text", "at least one word")
        if len(text) > MOST_TEXT:
            raise InputError(f"{len(text):,} characters", f"at most {MOST_TEXT:,}", "Take a shorter text")
        return text.encode()
    if not picture:
        raise InputError("no picture", "a PNG or JPEG file")
    if len(picture) > MOST_PICTURE:
        raise InputError(
            f"a picture of {len(picture):,} bytes", f"at most {MOST_PICTURE:,}", "Take a smaller one"
        )
    refuse_large(picture)
    return picture
