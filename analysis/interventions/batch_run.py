"""Prepared samples in their network, run as they are or with parts of it changed: many changes in one forward pass.

Each cell of a sweep is something that is done to all n samples. Cells are stacked along the batch: the inputs are
repeated, and of the rows cell * n + sample only those of a cell are changed by it. As many cells go at once as rows and
memory allow. Where the blocks of the network are known, those before the first change of many cells are run once and
not for every cell (`kept_prefix`). torch is imported when a network is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from analysis.attribution.sample_run import INPUT, as_site, as_tokens, input_key, repeated
from analysis.errors import InputError
from analysis.interventions.components import OUTPUT, Site
from analysis.interventions.interventions import Cell, together
from analysis.interventions.kept_prefix import KEPT as KEPT_PREFIX
from analysis.interventions.kept_prefix import Prefix, usable
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel, logits_of, shapes_of
from analysis.spec import Progress, no_progress

ROWS, MEMORY = 256, 2.5e8  # of the network at once; bytes that one forward pass may hold
KEPT = 6.4e7  # bytes of logits of one batch; larger ones are run again when they are asked for
COPIES = 24  # of what stands at a site, held in a forward pass: layers, and what they are made of
FEWEST = 4  # cells for which it pays to keep what comes before them


class BatchRun:
    """Parameters
    ----------
    loaded : LoadedModel
    inputs : prepared inputs of n samples
    blocks : names of modules that run one after the other, as `NetworkParts` has them

    Attributes
    ----------
    logits : what the network gives to them, (n, classes) or (n, tokens, words); `logit_bytes` of one sample
    mask : (n, tokens) bool, False at padding; None without
    passes : rows that went through the network so far
    """

    def __init__(self, loaded: LoadedModel, inputs, blocks: Sequence[str] = ()) -> None:
        self.loaded, self.inputs, self.mask = loaded, inputs, loaded.token_mask(inputs)
        self.blocks = tuple(blocks)
        self.passes, self._sizes = 0, {}
        self.n = _samples(inputs)
        logits = self._run((), ())[0]
        self.logit_bytes = 0 if logits is None else logits[0].numel() * logits.element_size()
        self._logits = logits if self.logit_bytes * self.n <= KEPT else None
        self._known = logits is None or self._logits is not None

    @classmethod
    def of_items(cls, loaded: LoadedModel, items: Sequence) -> BatchRun:
        return cls(loaded, loaded.prepare(items))

    def of_inputs(self, inputs) -> BatchRun:
        """Other prepared inputs in the same network."""
        return BatchRun(self.loaded, inputs, self.blocks)

    @property
    def logits(self):
        return self._logits if self._known else self._run((), ())[0]

    @property
    def last(self) -> np.ndarray:
        """(n,) the last token that is not padding; -1 where there is no padding."""
        if self.mask is None:
            return np.full(self.n, -1)
        tokens = self.mask.shape[1]
        return tokens - 1 - self.mask.flip(1).int().argmax(dim=1).numpy()

    def lengths(self, tokens: int) -> np.ndarray:
        """(n,) tokens of each sample at a site that has so many of them: without padding, where it has as many."""
        return self.real(tokens).sum(axis=1)

    def real(self, tokens: int) -> np.ndarray:
        """(n, tokens) bool of a site that has so many tokens: False at padding."""
        if self.mask is None or self.mask.shape[1] != tokens:
            return np.ones((self.n, tokens), dtype=bool)
        return self.mask.numpy()

    def caught(self, sites: Iterable[Site], cell: Cell = ()) -> dict[Site, object]:
        """(n, tokens, units) tensors of what stands at the sites before anything is changed there, in the run as it is
        or with the interventions of a cell."""
        return self._run(tuple(dict.fromkeys(sites)), (cell,) if cell else ())[1]

    def logits_with(
        self, cells: Sequence[Cell], rows: int = ROWS, progress: Progress = no_progress
    ) -> Iterator[tuple[int, object]]:
        """Yield (number of the first cell, logits (cells, n, …)) of as many cells as go at once."""
        most = self._at_once(cells, rows)
        prefix, levels = self._prefix(cells)
        for first, stop, level in _chunks(levels, most):
            some = cells[first:stop]
            progress(first / len(cells), "running the network")
            logits = self._run((), some, prefix.instead(level, len(some)))[0]
            yield first, logits.reshape(len(some), self.n, *logits.shape[1:])

    def answers(
        self, cells: Sequence[Cell], read: Callable, rows: int = ROWS, progress: Progress = no_progress
    ) -> np.ndarray:
        """(cells, n, …) float64: what `read` makes of logits (cells, n, …), such as `ManyTargets.of`."""
        found = [read(logits).double().numpy() for _, logits in self.logits_with(cells, rows, progress)]
        return np.concatenate(found) if found else np.empty((0, self.n))

    # ------------------------------------------------------------------ running
    def _prefix(self, cells: Sequence[Cell]) -> tuple[Prefix, list[int]]:
        """What the blocks give before anything but what all cells begin with is changed, from one pass, and how many of
        them each cell leaves alone."""
        none = Prefix(), [0] * len(cells)
        if not self.blocks or len(cells) < FEWEST:
            return none
        shared = _shared(cells, Prefix(self.blocks))
        levels = [Prefix(self.blocks).unchanged(e.site for e in c[len(shared) :]) for c in cells]
        kept = self.blocks[: max(levels)]
        if not kept or len(kept) * self.n * max(self._sizes.values(), default=0) > KEPT_PREFIX:
            return none
        caught = self._run((), (shared,) if shared else (), keep=kept)[2]
        return (
            (Prefix(self.blocks, [caught[b] for b in kept]), levels) if usable(kept, caught, self.n) else none
        )

    def _call(self, inputs):
        loaded = self.loaded
        return loaded.call(loaded.module, inputs) if loaded.call else loaded.run(inputs)

    def _at_once(self, cells: Sequence[Cell], rows: int) -> int:
        """Cells of one forward pass."""
        sites = {e.site for cell in cells for e in cell}
        new = [s for s in sites if s not in self._sizes]
        if new and len(cells) > 1:
            self._sizes.update({s: x[0].numel() * x.element_size() for s, x in self.caught(new).items()})
        wide = max((self._sizes.get(s, 0) for s in sites), default=0)
        most = min(rows, int(MEMORY / max(2 * self.logit_bytes + COPIES * wide, 1)))
        return max(1, most // self.n)

    def _run(self, catch: Sequence[Site], cells: Sequence[Cell], instead=None, keep: Sequence[str] = ()):
        """Logits (cells n, …), (n, tokens, units) by site, and what was caught of modules as they give it: of the sites
        and of `keep`. `instead` of modules that need not run."""
        module, times = self.loaded.module, max(len(cells), 1)
        inputs = repeated(self.inputs, times)  # a copy: the network may work in place
        changes = {site: self._change(site, cells) for site in {e.site: 0 for cell in cells for e in cell}}
        found: dict[Site, object] = {}
        inputs = self._at_the_input(inputs, catch, changes, found)
        inside = {s: c for s, c in changes.items() if s.module != INPUT}
        asked = [s for s in catch if s.module != INPUT]
        self.passes += times * self.n
        with hooked_run(
            module, [*keep, *(s.module for s in asked if s.side == OUTPUT)],
            {s.module: c for s, c in inside.items() if s.side == OUTPUT},
            catch_inputs=[s.module for s in asked if s.side != OUTPUT],
            replace_inputs={s.module: c for s, c in inside.items() if s.side != OUTPUT}, instead=instead,
        ) as caught:  # fmt: skip
            raw = self._call(inputs)
        for site in asked:
            tensor = caught[site.module] if site.side == OUTPUT else caught.into(site.module)
            found[site] = self._tokens(site, tensor, times).clone()
        logits = logits_of(raw)
        return None if logits is None else logits.detach(), found, caught

    def _at_the_input(self, inputs, catch, changes, found):
        """The inputs with what is changed in them; nothing of the samples' own is written to."""
        site = Site(INPUT)
        if site not in changes and site not in catch:
            return inputs
        key = input_key(inputs)
        x = inputs if key is None else inputs[key]
        if site in catch:
            found[site] = as_tokens(x).clone()
        if site not in changes:
            return inputs
        x = changes[site](x)
        return x if key is None else {**inputs, key: x}

    def _change(self, site: Site, cells: Sequence[Cell]):
        own = [
            (i, e) for i, cell in enumerate(cells) for e in together(tuple(e for e in cell if e.site == site))
        ]

        def change(tensor):
            x = self._tokens(site, tensor, len(cells)).detach().clone()
            for i, intervention in own:
                rows = slice(i * self.n, (i + 1) * self.n)
                x[rows] = intervention.applied(x[rows])
            return as_site(x, tuple(tensor.shape))

        return change

    def _tokens(self, site: Site, tensor, times: int):
        if tensor.ndim < 2 or tensor.shape[0] != times * self.n or not tensor.is_floating_point():
            raise InputError(
                f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)} at {site.module} for "
                f"{times * self.n} samples",
                "real numbers, sample by sample", "Choose another module",
            )  # fmt: skip
        return as_tokens(tensor)


def _shared(cells: Sequence[Cell], prefix: Prefix) -> Cell:
    """What all cells begin with outside the blocks: the very same interventions."""
    found = 0
    while all(len(c) > found and c[found] is cells[0][found] for c in cells) and not prefix.holds(
        cells[0][found].site
    ):
        found += 1
    return cells[0][:found]


def _chunks(levels: Sequence[int], most: int) -> Iterator[tuple[int, int, int]]:
    """First cell, the one behind the last, and how many blocks come before all of them: as many cells as go at once,
    fewer where half of these is full and the next ones begin elsewhere."""
    first = 0
    for k in range(1, len(levels) + 1):
        full = k - first >= most
        turns = k < len(levels) and levels[k] != levels[k - 1] and 2 * (k - first) >= most
        if k == len(levels) or full or turns:
            yield first, k, min(levels[first:k])
            first = k


def _samples(inputs) -> int:
    values = inputs.values() if hasattr(inputs, "values") and not hasattr(inputs, "shape") else [inputs]
    found = {int(v.shape[0]) for v in values if hasattr(v, "shape") and v.ndim}
    if len(found) != 1:
        raise InputError(f"inputs of {shapes_of(inputs)}", "as many samples in each")
    return found.pop()
