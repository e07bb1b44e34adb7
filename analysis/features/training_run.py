"""One training under way: steps, the curve, checkpoints, and going on from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.compute.statistics.moments import UnitMoments
from analysis.errors import Cancelled, LoupeError
from analysis.features.adam import Adam
from analysis.features.architectures.architecture import SparseDictionary
from analysis.features.checkpoints import has_checkpoint, load_checkpoint, save_checkpoint, write_curve
from analysis.features.feature_set import FeatureSet
from analysis.features.finished_set import finished_set
from analysis.features.row_stream import Place, RowStream, geometric_median
from analysis.features.run_state import is_finite, restore, state_of
from analysis.features.starting import start_inside
from analysis.features.training_settings import Training
from analysis.spec import Progress

if TYPE_CHECKING:
    from torch import Tensor

IMPROVES = 1e-4  # a held-out loss below the best by this share of it counts as better
MEDIAN_ROWS = 4096
LOOKING = 0.05  # share of the progress that is the first pass


class Diverged(LoupeError):
    """The loss is no longer a number."""


class Run:
    """One training: the dictionary, Adam, how far it is, and what was seen on the way."""

    def __init__(
        self,
        dictionary: SparseDictionary,
        stream: RowStream,
        training: Training,
        what: dict,
        directory: Path | None,
    ) -> None:
        import torch

        self.dictionary, self.stream, self.training, self.what = dictionary, stream, training, what
        self.directory = None if directory is None else Path(directory)
        self.adam = Adam(dictionary.weights)
        self.quiet = torch.zeros(dictionary.n_latents, dtype=torch.int64)  # rows since each was active
        self.step, self.tokens, self.place = 0, 0, Place()
        self.curve: list[dict] = []
        self.best, self.stale, self.saved = float("inf"), 0, None
        self.stopped, self.changed = "", []  # why it stopped early; what was changed on the way
        dictionary.beside = stream.beside
        self.started: dict = {}

    # ------------------------------------------------------------------ begin and go on
    def begin(self, resume: bool) -> None:
        """Start anew, or where the last checkpoint is."""
        import torch

        if resume and self.directory is not None and has_checkpoint(self.directory):
            restore(self, *load_checkpoint(self.directory))
            return
        if self.training.start != "mean":
            with torch.no_grad():
                self.dictionary.weights["centre"].copy_(torch.from_numpy(self._start()))
        if self.training.directions != "random":
            self.started = start_inside(self.dictionary, self.stream)
        self.dictionary.begin(self.first_rows)

    def _start(self) -> np.ndarray:
        """(d,) in units of z, where the mean is 0."""
        if self.training.start == "origin":
            return -self.rebuilt.scale * self.rebuilt.mean
        return geometric_median(self.dictionary.wanted(self.first_rows()).numpy())

    def first_rows(self) -> Tensor:
        import torch

        return torch.from_numpy(next(self.stream.scaled_rows(MEDIAN_ROWS))[1])

    def go(self, progress: Progress) -> None:
        """Steps until all rows are seen, or nothing improves."""
        steps = self.training.steps
        for place, z in self.stream.batches(self.training.batch, self.place):
            if self.step >= steps or self.stopped:
                break
            self._step(z)
            self.place = place
            if self.step % self.training.every == 0 or self.step == steps:
                self._look()
            if self.step % self.training.checkpoint_every == 0:
                self.save()
            try:
                progress(LOOKING + (1 - LOOKING) * self.step / steps, self.line())
            except Cancelled:
                self.save()
                raise

    def _step(self, z: np.ndarray) -> None:
        import torch

        dead = self.quiet >= self.training.dead_rows
        found = self.dictionary.loss(
            torch.from_numpy(z),
            dead,
            self.training.auxiliary,
            self.step,
            (self.step + 1) / self.training.steps,
        )
        if not bool(torch.isfinite(found.total)):
            self._diverged(float(found.total.detach()))
        self.adam.zero()
        found.total.backward()
        self.dictionary.before_step()
        self.adam.step(self.training.rate(self.step), self.step + 1)
        self.dictionary.after_step(found.codes)
        rows = len(found.codes)
        self.step, self.tokens = self.step + 1, self.tokens + rows
        active = (found.codes != 0).any(dim=0)
        self.quiet = torch.where(active, 0, self.quiet + rows)
        self.loss = float(found.total.detach())

    def _diverged(self, loss: float) -> None:
        kept = (
            f"The checkpoint of step {self.saved} is kept in {self.directory}"
            if self.saved is not None
            else ""
        )
        raise Diverged(
            f"the loss is {loss} at step {self.step + 1} of {self.training.steps}", "a finite loss",
            f"{kept}. Go on from it with a lower learning rate" if kept else "Use a lower learning rate",
        )  # fmt: skip

    # ------------------------------------------------------------------ what is seen on the way
    def _look(self) -> None:
        """One line of the curve, from the held-out samples by the rule of training."""
        import torch

        loss, left, l0, n, share = 0.0, 0.0, 0, 0, min(1.0, self.step / self.training.steps)
        with torch.no_grad():
            for z in self.held_parts():
                found = self.dictionary.loss(z, step=self.step, share=share)
                rows = len(found.codes)
                loss += float(found.total) * rows
                left += float(found.parts["unexplained"].double()) * rows
                l0, n = l0 + int((found.codes != 0).sum()), n + rows
        dead = float((self.quiet >= self.training.dead_rows).double().mean())
        explained = 1 - left / self._held_size
        self.curve.append(
            {
                "step": self.step, "tokens": self.tokens, "loss": self.loss, "held_out_loss": loss / n,
                "explained_variance": explained, "l0": l0 / n, "dead": dead,
            }
        )  # fmt: skip
        if self.directory is not None:
            write_curve(self.directory, self.curve)
        better = loss / n < self.best * (1 - IMPROVES)
        self.best, self.stale = (loss / n, 0) if better else (self.best, self.stale + 1)
        settled = self.step >= max(self.training.warm_up, 0.1) * self.training.steps  # penalties have risen
        if not settled:
            self.best, self.stale = float("inf"), 0
        elif self.training.patience and self.stale >= self.training.patience:
            self.stopped = f"stopped at step {self.step}: the held-out loss no longer fell"

    def held_parts(self):
        """Batches of held-out rows as tensors."""
        import torch

        return (torch.from_numpy(z) for z in self.stream.held_parts(self.training.batch))

    @property
    def rebuilt(self):
        """Whose `held` rows and `scale` are those of what is rebuilt: of the tap, or of the tap beside."""
        return self.stream.beside if self.dictionary.rebuilds_beside else self.stream

    @property
    def _held_size(self) -> float:
        """Sum of squares of the held-out rows about their own mean, in units of z."""
        if not hasattr(self, "_size"):
            found, held = None, self.rebuilt.held
            for part in np.array_split(held, -(-len(held) // 4096)):
                found = UnitMoments.of(part) if found is None else found.merge(UnitMoments.of(part))
            self._size = float(found.m2.sum()) * self.rebuilt.scale**2
        return self._size or float("nan")

    def line(self) -> str:
        """How it stands, in words."""
        text = f"{self.tokens:,} of {self.training.tokens:,} rows"
        if not self.curve:
            return text
        at = self.curve[-1]
        return (
            f"{text}: {at['explained_variance']:.1%} of the held-out variance explained with {at['l0']:.1f} active "
            f"features, {at['dead']:.0%} dead"
        )

    def save(self) -> None:
        """A checkpoint of now, where there is a folder; never one of weights that are not finite."""
        if self.directory is not None and is_finite(self):
            save_checkpoint(self.directory, *state_of(self))
            self.saved = self.step

    def finished(self, name: str) -> FeatureSet:
        """The set, with everything to cite it by."""
        return finished_set(self, name)
