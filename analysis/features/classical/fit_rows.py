"""Rows of a tap for fitting a classical dictionary: all but those of held-out samples, streamed or held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.arrays import finite_rows
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.moments import Moments
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.features.row_stream import HELD_ROWS, held_out_rows, judged_rows
from analysis.spec import Progress, no_progress

FEWEST = 8
TAKEN = 4096  # rows at a time
MOST_BYTES = 4 << 30


class FitRows:
    """The rows of `activations` that a dictionary is fitted to.

    Parameters
    ----------
    held_out : share of the samples that the fit never sees; the same ones as a training with this seed.
    selections : name of a selection -> (m,) row numbers of the tap, raising NotFound for one that there is not; None
        where no selections can be named.

    Attributes
    ----------
    fitted, held_out : (rows,) bool, which rows the fit may see and which not.
    held, held_rows : (m, d) float32 and (m,) int64, finite held-out rows, those of as many samples, at random, as have
        16,384 rows, and their numbers; `held_samples` how many samples these are.
    n_seen, n_nonfinite : of the pass or the subset that the fit used, finite rows and those that were left out.
    """

    def __init__(
        self,
        activations: Activations,
        held_out: float,
        seed: int,
        selections: Callable[[str], np.ndarray] | None = None,
    ) -> None:
        self.activations, self.name, self.units = activations, activations.name, activations.shape[1]
        self.held_out, _ = held_out_rows(activations, held_out, seed)
        self._judged, self.held_samples = judged_rows(activations, self.held_out, seed)
        self.fitted = ~self.held_out
        self._selections, self._seed = selections, seed
        self.held_rows, self.held = self._held()
        self.n_seen = self.n_nonfinite = 0

    def _held(self) -> tuple[np.ndarray, np.ndarray]:
        rows, kept, found = np.flatnonzero(self._judged), [], []
        for start in range(0, len(rows), TAKEN):
            some = rows[start : start + TAKEN]
            block = self.activations.take(some)
            good = finite_rows(block)
            kept.append(some[good])
            found.append(np.asarray(block[good], np.float32))
            if sum(map(len, kept)) >= HELD_ROWS:
                break
        at = np.concatenate(kept)[:HELD_ROWS] if kept else np.zeros(0, np.int64)
        if not len(at):
            raise NotEnoughData(
                f"{self.name} has no finite row among its held-out samples",
                "at least 1",
                "Record more samples",
            )
        return at, np.concatenate(found)[:HELD_ROWS]

    # ------------------------------------------------------------------ streamed
    def blocks(
        self,
        progress: Progress = no_progress,
        span: tuple[float, float] = (0.0, 1.0),
        doing: str = "reading",
        among: np.ndarray | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (row numbers (m,), rows (m, d) float64) in order; only those of `among` (rows,) bool."""
        mask = self.fitted if among is None else self.fitted & among
        self.n_seen = self.n_nonfinite = 0
        for start, block in self.activations.chunks():
            progress(span[0] + (span[1] - span[0]) * start / max(1, len(mask)), doing)
            own = mask[start : start + len(block)]
            good = own & finite_rows(block) if own.any() else own
            self.n_nonfinite += int(own.sum() - good.sum())
            self.n_seen += int(good.sum())
            if good.any():
                yield start + np.flatnonzero(good), block[good].astype(np.float64)
        progress(span[1], doing)

    def moments(
        self,
        progress: Progress = no_progress,
        span: tuple[float, float] = (0.0, 1.0),
        among: np.ndarray | None = None,
        what: str = "",
    ) -> Moments:
        """Mean and scatter in one pass. Raises NotEnoughData below eight finite rows. O(n d²), memory O(d²)."""
        total = None
        for _, block in self.blocks(progress, span, "measuring covariance", among):
            part = Moments.of(block)
            total = part if total is None else total.merge(part)
        self.refuse_few(0 if total is None else total.n, what)
        return total

    # ------------------------------------------------------------------ in memory
    def loaded(
        self,
        maximum: int,
        progress: Progress = no_progress,
        span: tuple[float, float] = (0.0, 1.0),
        among: np.ndarray | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """(row numbers (m,), rows (m, d) float64, caveats): at most `maximum`, a seeded random subset above. Raises
        NotEnoughData below eight finite rows, TooLarge above 4 GiB."""
        at = np.flatnonzero(self.fitted if among is None else self.fitted & among)
        said = ()
        if len(at) > maximum:
            rng = np.random.default_rng([self._seed, 4])
            said = (f"Fitted to a random {maximum:,} of {len(at):,} rows, as many as are held in memory.",)
            at = np.sort(rng.choice(at, size=maximum, replace=False))
        if len(at) * self.units * 8 > most_bytes:
            raise TooLarge(
                f"{len(at):,} rows of {self.units:,} units take {len(at) * self.units * 8 / 2**30:.1f} GiB in memory",
                f"at most {most_bytes / 2**30:.1f} GiB", "Lower 'maximum rows'",
            )  # fmt: skip
        values, good = np.empty((len(at), self.units)), np.zeros(len(at), bool)
        for start in range(0, len(at), TAKEN):
            progress(span[0] + (span[1] - span[0]) * start / max(1, len(at)), "reading")
            some = slice(start, start + TAKEN)
            values[some] = self.activations.take(at[some])
            good[some] = finite_rows(values[some])
        self.n_seen, self.n_nonfinite = int(good.sum()), int((~good).sum())
        self.refuse_few(self.n_seen)
        progress(span[1], "reading")
        return (at, values, said) if good.all() else (at[good], values[good], said)

    def refuse_few(self, n: int, what: str = "") -> None:
        if n < FEWEST:
            raise NotEnoughData(
                f"{self.name} has {n} finite row(s) to fit to{f' in {what}' if what else ''}", f"at least {FEWEST}",
                "Record or select more samples",
            )  # fmt: skip

    # ------------------------------------------------------------------ whose rows they are
    def samples_of(self, rows: np.ndarray) -> np.ndarray:
        return self.activations.layout.sample_of(rows)

    def group(self, said: str) -> np.ndarray:
        """(rows,) bool: the rows of "column=value", of a selection by name, or of a class of the column "label".

        Raises ParameterError where nothing is named, NotFound where there is no such thing, InputError where it is
        empty.
        """
        said = said.strip()
        if not said:
            raise ParameterError(
                "no group is named", "the name of a selection, or COLUMN=VALUE such as label=cat"
            )
        mask = self._by_column(said) if "=" in said else self._by_name(said)
        if not mask.any():
            raise InputError(f"'{said}' covers no row of {self.name}", "a group with rows", "Name another")
        return mask

    def _by_column(self, said: str) -> np.ndarray:
        column, value = (part.strip() for part in said.split("=", 1))
        found = sample_column(self.activations, column)
        there = found.astype(str)
        if value not in there:
            values = np.unique(there[known_labels(found)])
            shown = ", ".join(values[:10]) + (f" and {len(values) - 10} more" if len(values) > 10 else "")
            raise NotFound(f"no sample has {column} = {value!r}", f"one of {shown}")
        return self._of_samples(there == value)

    def _by_name(self, said: str) -> np.ndarray:
        try:
            if self._selections is None:
                raise NotFound(f"no selection {said!r}", "a workspace with selections")
            mask = np.zeros(len(self.fitted), bool)
            mask[self._selections(said)] = True
            return mask
        except NotFound:
            labels = self.activations.samples.get("label")
            if labels is None or said not in np.asarray(labels).astype(str):
                raise
        return self._of_samples(np.asarray(labels).astype(str) == said)

    def _of_samples(self, samples: np.ndarray) -> np.ndarray:
        return np.repeat(samples, np.diff(self.activations.layout.offsets))
