"""Whether two maps show the same points: then a selection may go from one to the other in the browser."""

from __future__ import annotations

import hashlib

import numpy as np

from analysis.results import Scatter
from dashboard.browse.kept import Kept
from dashboard.browse.map_identity import identity

_found = Kept(16)


def rows_word(result: Scatter, store, layout, part: str = "") -> str:
    """A digest of which samples and tokens the points are, in their order; of the units where those are the points.

    `part`: the digest of the selection that filters the map, since filtered maps may have equally many points.
    """
    key = (identity(result), store.digest, id(layout), part)
    return _found.get(key, lambda: _digest(result, store, layout))


def _digest(result: Scatter, store, layout) -> str:
    rows = np.ascontiguousarray(np.asarray(result.rows, np.int64))
    digest = hashlib.blake2b(result.of.encode(), digest_size=12)
    digest.update(rows.tobytes())
    if result.of == "units":
        digest.update(store.digest.encode())
    else:
        digest.update(np.ascontiguousarray(layout.offsets).tobytes())
        digest.update("\n".join(map(str, np.asarray(store.samples["id"]))).encode())
    return digest.hexdigest()
