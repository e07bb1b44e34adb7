"""Which mixers a tap has, each as T x T matrices: attention or scans of its network where that can be run, filters of a
convolution, or mixers made of the recorded rows themselves.

Without a network the rows of a sample (see `analysis.tokens.tap_dump`) are queries, keys, inputs and outputs at once:
softmax, linear or Gaussian attention between them, or a scan B = x, C = x / √d that forgets half in eight tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations
from analysis.compute.streaming import Pass
from analysis.errors import InputError, NotFound
from analysis.sources.input_picture import picture_of
from analysis.spec import Progress, no_progress
from analysis.tokens.mixers import linear_attention, scan_capture
from analysis.tokens.mixers.convolution import grid_matrix
from analysis.tokens.mixers.hidden_attention import Selective, hidden_attention
from analysis.tokens.opened import TRIED
from analysis.tokens.subject import AUTOMATIC, ROWS
from analysis.tokens.tap_dump import RUN, dump_of_rows, sampled
from analysis.tokens.view import PATCH

OWN, SCAN = "its own", "decaying scan"
MIXERS = (OWN, *linear_attention.KERNELS, SCAN)
FORGETS = 8.0  # tokens after which a scan of rows has forgotten half
MOST_TOKENS = 1024


@dataclass
class Mixers:
    """`samples` (n,) their places in the store. `layers` names; `what` mixes, in words; `units` of the tap.
    `read(place)` gives a `Mixing` of the place-th sample; `of_scans`: with its scans."""

    what: str
    samples: np.ndarray
    layers: tuple[str, ...]
    notes: tuple[str, ...]
    units: int
    read: object
    head: str = "head"
    of_network: bool = True
    of_scans: bool = False

    @property
    def n(self) -> int:
        return len(self.samples)

    def place(self, sample: int) -> int:
        """Raises NotFound."""
        at = np.flatnonzero(self.samples == sample)
        if not len(at):
            raise NotFound(f"sample {sample}", f"one of the {self.n:,} samples that are looked at")
        return int(at[0])


@dataclass
class Mixing:
    """One sample: `heads` (L,) of each layer, `give(layer, heads)` (len(heads), T, T) matrices, `cell` (T,) on the
    `grid` (-1: nowhere), `words` (T) or (), `picture` or None, `scans` that were captured."""

    heads: tuple[int, ...]
    give: object
    cell: np.ndarray
    grid: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    picture: np.ndarray | None = None
    scans: list = field(default_factory=list)
    grids: tuple[tuple[int, int], ...] = ()  # of each layer, where layers have different ones

    @property
    def tokens(self) -> int:
        return len(self.cell)

    def lies(self, layer: int) -> tuple[np.ndarray, tuple[int, int] | None]:
        """(cell (T,), grid or None) of the tokens of a layer."""
        if not self.grids:
            return self.cell, self.grid
        grid = self.grids[layer]
        return np.arange(grid[0] * grid[1]), grid

    def matrix(self, layer: int, head: int) -> np.ndarray:
        """(T, T). Raises NotFound."""
        if not 0 <= layer < len(self.heads):
            raise NotFound(f"layer {layer + 1}", f"1 to {len(self.heads)}")
        if not 0 <= head < self.heads[layer]:
            raise NotFound(f"head or channel {head + 1} of layer {layer + 1}", f"1 to {self.heads[layer]}")
        return self.give(layer, np.array([head]))[0]

    def some(self, layer: int, most: int) -> np.ndarray:
        """At most so many heads of a layer, evenly spread."""
        count = self.heads[layer]
        return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def mixers(
    tap: Activations, maximum: int, rng: np.random.Generator, mixer: str = OWN, source: str = AUTOMATIC,
    progress: Progress = no_progress,
) -> Mixers:  # fmt: skip
    """The mixers of a tap, with at most `maximum` of its samples. Raises NotEnoughData."""
    why = ()
    if source != ROWS:
        try:
            return network_mixers(tap, maximum, rng, mixer)
        except (InputError, NotFound) as error:
            why = (f"The network is not run: {str(error).split('. ')[0]}.",)
    found = _of_rows(tap, maximum, rng, mixer, progress)
    found.notes = (*why, *found.notes)
    return found


def network_mixers(tap: Activations, maximum: int, rng, mixer: str = OWN) -> Mixers:
    """Those of the network of a tap. Raises InputError, NotFound: it cannot be run, or mixes in no known way."""
    from analysis.sources.rerun import rerun

    own = getattr(tap, "source", None)
    run = rerun(tap if own is None else own(), maximum, partial=True, rng=rng)
    module, units = run.loaded.module, tap.shape[1]
    if scan_capture.scan_modules(module):
        if mixer != OWN:
            raise InputError(f"'{mixer}' of a network of scans, which has no queries and keys", f"'{OWN}'")
        return of_scans(run.loaded, run.data, run.samples, (run.note,), units, tap.layout)
    from analysis.tokens.networks.token_network import TokenNetwork
    from analysis.tokens.opened import types_said

    try:
        items = run.data.items(0, min(TRIED, run.n))
        network = TokenNetwork(run.loaded, items, types=types_said(tap))
    except InputError:
        filters = _filters(module)
        if not filters or mixer != OWN:
            raise
        return _of_filters(run, filters, units)
    return _of_attention(run, network, units, mixer)


# ---------------------------------------------------------------------------- scans
def of_scans(loaded, data, samples, notes, units: int, layout=None) -> Mixers:
    """Of a network of selective scans; `data.items(i, j)` are its samples."""
    names = tuple(scan_capture.scan_modules(loaded.module))

    def read(place: int) -> Mixing:
        items = data.items(place, place + 1)
        given = loaded.prepare(items)
        scans = scan_capture.captured(loaded, given)
        t = _refuse_long(len(scans[0].scan.u))
        words = loaded.tokens(items)
        grid, cell = _grid_of(layout, t)
        return Mixing(
            tuple(s.scan.channels for s in scans), lambda layer, heads: scans[layer].matrices(heads), cell, grid,
            tuple(words[0])[:t] if words else (), picture_of(given), scans,
        )  # fmt: skip

    what = f"the selective scans of {type(loaded.module).__name__}"
    notes = (*notes, "The matrix of a scan is without its filter, its gate and its skip D.")
    return Mixers(what, samples, names, notes, units, read, "channel", of_scans=True)


def _grid_of(layout, tokens: int):
    """(grid or None, (T,) cells), as the tap has it."""
    grid = None if layout is None or layout.is_pooled else layout.grid
    if grid is None or grid[0] * grid[1] + layout.leading != tokens:
        return None, np.arange(tokens)
    return tuple(grid), np.arange(tokens) - layout.leading


def _refuse_long(tokens: int) -> int:
    if tokens > MOST_TOKENS:
        raise InputError(f"{tokens:,} tokens", f"at most {MOST_TOKENS:,}, whose matrix can be held and shown")
    return tokens


# ---------------------------------------------------------------------------- attention
def _of_attention(run, network, units: int, mixer: str) -> Mixers:
    wanted = ("attention",) if mixer == OWN else ("queries", "keys")

    def read(place: int) -> Mixing:
        items = run.data.items(place, place + 1)
        given = run.loaded.prepare(items)
        found = network.run(given, record=wanted)
        there, layout = found.layout.present[0], found.layout
        _refuse_long(int(there.sum()))
        kept = [found.recorded[name] for name in wanted]

        def give(layer: int, heads: np.ndarray) -> np.ndarray:
            if mixer == OWN:
                return kept[0][layer][0][heads][:, there][:, :, there].astype(np.float64)
            q, k = (x[layer][0] for x in kept)
            k = np.repeat(k, len(q) // len(k), axis=0)
            return _made(q[heads][:, there], k[heads][:, there], mixer, layout.causal)

        words = run.loaded.tokens(items)
        heads = tuple(x.shape[1] for x in kept[0])
        cell = layout.cell[0, there] if layout.grid else np.arange(there.sum())
        return Mixing(heads, give, cell, layout.grid, tuple(words[0]) if words else (),
                      picture_of(given))  # fmt: skip

    kind = "attention" if mixer == OWN else f"{mixer} of the queries and keys"
    names = tuple(b.name for b in network.blocks)
    return Mixers(
        f"the {kind} of {type(run.loaded.module).__name__}", run.samples, names, (run.note,), units, read
    )


def _made(q: np.ndarray, k: np.ndarray, mixer: str, causal: bool = False) -> np.ndarray:
    """(H, T, T) of queries and keys (H, T, d)."""
    if mixer != SCAN:
        return linear_attention.attention_of(
            q, k, linear_attention.SOFTMAX if mixer == OWN else mixer, causal
        )
    return np.stack([decaying_scan(a, b) for a, b in zip(q, k, strict=True)])


def decaying_scan(c: np.ndarray, b: np.ndarray, forgets: float = FORGETS) -> np.ndarray:
    """(T, T) of a scan with C = c / √d, B = b (T, d) that forgets half in `forgets` tokens."""
    t, d = c.shape
    one = np.ones((t, 1))
    scan = Selective(one, one, np.array([[-np.log(2) / forgets]]), b, c / np.sqrt(d), np.zeros(1))
    return hidden_attention(scan, np.array([0]))[0]


# ---------------------------------------------------------------------------- convolution
def _filters(module) -> dict[str, object]:
    """Convolutions that keep the grid: odd sides, stride 1, padded with zeros to the same size."""
    import torch

    layers = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Conv2d)}
    return {name: m for name, m in layers.items() if _keeps_grid(m)}


def _keeps_grid(m) -> bool:
    sides, apart = m.kernel_size, m.dilation
    same = tuple(d * (k // 2) for d, k in zip(apart, sides, strict=True))
    odd = sides[0] % 2 == sides[1] % 2 == 1 and max(sides) > 1
    return (
        odd
        and m.stride == (1, 1)
        and apart[0] == apart[1]
        and m.padding_mode == "zeros"
        and m.padding in ("same", same)
    )


def _of_filters(run, filters: dict, units: int) -> Mixers:
    """One filter for every output channel: its root mean square over what it reads (a depthwise one: itself)."""
    import torch

    from analysis.sources.hooked_run import hooked_run

    names = tuple(filters)

    def read(place: int) -> Mixing:
        given = run.loaded.prepare(run.data.items(place, place + 1))
        with hooked_run(run.loaded.module, catch=names) as caught, torch.no_grad():
            run.loaded.call(run.loaded.module, given) if run.loaded.call else run.loaded.run(given)
        grids = [tuple(caught[name].shape[-2:]) for name in names]
        grid = grids[0]
        _refuse_long(max(g[0] * g[1] for g in grids))

        def give(layer: int, heads: np.ndarray) -> np.ndarray:
            m = filters[names[layer]]
            w = m.weight.detach().double().numpy()[heads]
            w = w[:, 0] if w.shape[1] == 1 else np.sqrt((w**2).mean(axis=1))
            return np.stack([grid_matrix(one, grids[layer], m.dilation[0]) for one in w])

        return Mixing(tuple(m.out_channels for m in filters.values()), give, np.arange(grid[0] * grid[1]), grid,
                      picture=picture_of(given), grids=tuple(grids))  # fmt: skip

    notes = (
        run.note,
        "Of a filter that reads several channels the root mean square over them is shown.",
        "Filters are the same for all samples, so that an interval over samples has no width.",
    )
    return Mixers(f"the filters of {type(run.loaded.module).__name__}", run.samples, names, notes, units, read,
                  "channel")  # fmt: skip


# ---------------------------------------------------------------------------- rows
@dataclass(frozen=True)
class RowTokens:
    """Rows of samples as tokens: `x` (n) of (t, d), centred and of unit size, `cell` (n) of (t,), what was read."""

    x: list[np.ndarray]
    cell: list[np.ndarray]
    grid: tuple[int, int] | None
    samples: np.ndarray
    notes: tuple[str, ...]
    seen: Pass


def row_tokens(
    tap: Activations, maximum: int, rng, progress: Progress = no_progress, also: int | None = None
) -> RowTokens:
    """With the sample `also` behind the others, where it is not among them. Raises NotEnoughData below two samples of
    two tokens, NotFound."""
    dump, samples, seen = dump_of_rows(tap, maximum, rng, progress, also=also)
    tokens, layout = dump.recorded["hidden"][0], dump.layout
    there = layout.kinds == PATCH
    said = [*seen.notes, *sampled(tap, maximum)]
    if tap.layout.is_pooled:
        said.append(f"{tap.name} holds one row of each sample: {RUN} neighbours are read as one sample.")
    cells = [layout.cell[b, m] if layout.grid else np.arange(m.sum()) for b, m in enumerate(there)]
    return RowTokens(
        [t[m] for t, m in zip(tokens, there, strict=True)], cells, layout.grid, samples, tuple(said), seen
    )


def _of_rows(tap, maximum: int, rng, mixer: str, progress) -> Mixers:
    rows = row_tokens(tap, maximum, rng, progress)

    def read(place: int) -> Mixing:
        x = rows.x[place]
        _refuse_long(len(x))
        return Mixing((1,), lambda _layer, heads: _made(x[None], x[None], mixer), rows.cell[place], rows.grid)

    kind = linear_attention.SOFTMAX if mixer == OWN else mixer
    notes = (*rows.notes, "No network was run: the rows of the tap are queries and keys at once.")
    if mixer == SCAN:
        notes = (*notes, f"The scan forgets half in {FORGETS:g} tokens; what it forgets is not learned.")
    return Mixers(
        f"{kind} of the rows", rows.samples, (tap.name,), notes, tap.shape[1], read, of_network=False
    )
