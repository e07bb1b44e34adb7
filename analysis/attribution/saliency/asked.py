"""What a page asks of maps: which samples, where, of which number, against which background; and maps of other samples,
which say how much is owed to a token whatever stands there (the middle of pictures, the first word)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations, as_activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.saliency.by_unit import ByUnit
from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way, checked_map
from analysis.attribution.saliency.ways import WAYS
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import LoupeError, NotFound
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import recorded_tap
from analysis.results import Estimate
from analysis.sources.input_picture import picture_of
from analysis.spec import Progress, param

FEWEST = 8
TAP, THE_INPUT = "the tap", "the network's input"
MOST_LEADING = 5  # class token and registers
TOKENS_A_SIDE = 8  # windows to a side of the grid, where none is given
TOKENS, INPUT_TOKENS = 64, 1 << 16  # of a sample, for estimates of memory
DRAWN_PASSES = 20_000  # for the maps of other samples


@dataclass(frozen=True)
class AskedParams:
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is explained; a difference is to the second answer.",
        label="number explained", choices=targets.KINDS, late=True,
    )  # fmt: skip
    answer: int | None = param(
        None,
        "Output whose number it is; automatic: the likeliest of each sample.",
        low=0,
        high=1_000_000,
        late=True,
    )
    background: str = param(
        backgrounds.MEAN, "What stands where something is taken away.", choices=backgrounds.KINDS, late=True
    )
    background_samples: int = param(
        20, "Samples that the background is made of.", low=1, high=1000, late=True
    )
    steps: int = param(
        32, "Slopes of integrated gradients, and more where their sum misses.", low=1, high=500, late=True
    )
    window: int | None = param(
        None,
        "Side of what is covered at once, in tokens; automatic: an eighth of the side.",
        low=1,
        high=512,
        late=True,
    )
    masks: int = param(500, "Random masks of RISE.", low=20, high=100_000, late=True)
    budget: int = param(1000, "Most coalitions of Shapley values.", low=64, high=1_000_000, late=True)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS, late=True)
    column: str | None = param(
        None, "Labels of a probe; automatic: 'label' where there is one.", column=True, late=True
    )


@dataclass(frozen=True)
class NulledParams(AskedParams):
    null_samples: int = param(19, "Other samples whose maps give the null.", low=2, high=200, late=True)


class Asked:
    """Samples of a tap, ready to be asked: `samples`, `notes`, `units` whether units take the places of tokens."""

    def __init__(self, activations, params: AskedParams, site: str, rng, progress: Progress) -> None:
        tap = as_activations(activations)
        self.tap: Activations = recorded_tap(tap)
        seen = Pass()
        for _ in finite_blocks(self.tap, seen, progress, "reading", (0.0, 0.05), as_stored=True):
            pass
        total = self.tap.layout.n_samples
        self.samples, said = explained_samples(
            self.tap, params.reader, params.column, total, rng, progress, (0.05, 0.1), live=True
        )
        refuse_few_samples(self.tap, self.samples, FEWEST)
        self.params, self._rng = params, rng
        self._order = rng.permutation(len(self.samples.samples))
        self._site = INPUT if site == THE_INPUT and self.samples.is_network else ""
        self.notes = (*seen.notes, *(() if self.samples.is_network else said))
        self._behind: dict[tuple[str, int], list] = {}
        self.first = self.run(0)
        self.units = isinstance(self.first, ByUnit)

    def places(self, sample: int, more: int) -> np.ndarray:
        """Place of the named sample among those that can be explained, and of so many random others."""
        own = np.flatnonzero(self.samples.samples == sample)
        if not len(own):
            raise NotFound(
                f"sample {sample} of {self.tap.name} to explain",
                f"one of its {len(self.samples.samples):,} samples with finite rows and, of a probe, a label",
            )
        kept = max(0, len(self.samples.samples) - 1 - 2)  # two are left for the null
        return np.r_[own, self.others(own)[: min(more, kept)]]

    def others(self, own: np.ndarray) -> np.ndarray:
        """All others, in an order that is random and the same whichever sample is explained."""
        return self._order[~np.isin(self._order, own)]

    def first_of_all(self, count: int) -> np.ndarray:
        """The first `count` of that order, those that are explained among them."""
        return self._order[:count]

    def run(self, i: int, site: str = "") -> SampleRun:
        """The i-th sample at the site that was asked for, or another one."""
        run = self.samples.run(int(i), site or self._site)
        if run.shape[0] == 1:
            return ByUnit(run)
        self._place(run)
        return run

    def _place(self, run: SampleRun) -> None:
        """The grid of tokens in a row, as the tap knows it or as a square fits."""
        layout, (tokens, _) = self.tap.layout, run.shape
        if run.grid is not None:
            return
        if layout.grid is not None and tokens == layout.leading + layout.grid[0] * layout.grid[1]:
            run.grid, run.leading = tuple(layout.grid), layout.leading
        elif picture_of(run.inputs) is not None:
            side = int(tokens**0.5)
            if side > 1 and tokens - side * side <= MOST_LEADING:
                run.grid, run.leading = (side, side), tokens - side * side

    def question(self, i: int, site: str = "", answer: int | None = None) -> Question:
        run, p = self.run(i, site), self.params
        target = targets.logit_target(run.logits, p.number, p.answer if answer is None else answer)
        target = replace(target, words=self.words_of(target))
        others = self._others(run, site) if p.background != backgrounds.ZERO else []
        behind = backgrounds.background(p.background, run.clean, others)
        return Question(run, target, behind, self._rng, self.settings(run))

    def settings(self, run: SampleRun) -> Settings:
        side = max(run.grid) if run.grid else run.shape[0]
        p, window = self.params, min(side, self.params.window or max(1, -(-side // TOKENS_A_SIDE)))
        if isinstance(run, ByUnit):  # units have no neighbours
            window = 1
        return Settings(p.steps, window, max(1, window // 2), p.masks, p.budget)

    def _others(self, run: SampleRun, site: str) -> list:
        key = (site, run.shape[1])
        if key not in self._behind:
            n = len(self.samples.samples)
            some = self._rng.choice(n, size=min(self.params.background_samples, n), replace=False)
            self._behind[key] = [self.run(j, site).clean for j in np.sort(some)]
        return self._behind[key]

    def has_places(self, i: int, site: str) -> bool:
        return not isinstance(self.run(i, site), ByUnit)

    def layers(self) -> list[str]:
        """Recorded taps of the store that are modules, as they were recorded; "" where there is only the tap."""
        store = getattr(self.tap, "store", None)
        if not self.samples.is_network or store is None:
            return [""]
        known = self.samples.modules
        return [name for name in store.recorded if name in known] or [""]

    def words_of(self, target) -> str:
        asked = [target.answer] if target.against is None else [target.answer, target.against]
        return f"{target.kind} of " + " less ".join(self.samples.word(c) for c in asked)

    def where(self, site: str = "") -> str:
        run = self.first
        name = "the rows of the sample" if not self.samples.is_network else site or run.site
        return f"units of {name}" if self.units else f"{run.shape[0]:,} tokens of {name}"

    def other_maps(
        self, ways: Sequence[Way], own: np.ndarray, draws: int, progress: Progress, span
    ) -> tuple[list[list[SaliencyMap | None]], str]:
        """Of random other samples than `own` the map by each of `ways`, None where one gives none; and why the first of
        these did not."""
        found, why = [], ""
        for k, i in enumerate(self.others(own)[:draws]):
            progress(span[0] + (span[1] - span[0]) * k / draws, "maps of other samples")
            question = self.question(int(i))
            found.append([])
            for way in ways:
                try:
                    found[-1].append(checked_map(way, question))
                except LoupeError as refusal:  # such as slopes of 0 everywhere, of that sample
                    found[-1].append(None)
                    why = why or refusal.found
        return found, why

    def draws(self, ways: Sequence[Way], own: int, layers: int = 1) -> int:
        """Of how many other samples maps are made: as many as are asked for, unless they cost too much."""
        behind = self.params.background_samples if self.params.background == backgrounds.SAMPLES else 1
        run = self.first
        cost = sum(way.passes(run.shape[0], behind, self.settings(run)) for way in ways)
        each = layers * max(1, cost)
        left = len(self.samples.samples) - own
        return int(max(2, min(self.params.null_samples, left, DRAWN_PASSES // each)))


def held_by(ways: Sequence[Way], units: int, settings: Settings, at_input: bool = False) -> float:
    """Bytes that the ways keep at most, told before the tokens are known: as many as units, or as an input may have."""
    tokens = INPUT_TOKENS if at_input else max(TOKENS, units)
    return max(way.held(tokens, settings) for way in ways)


def way_of(name: str) -> Way:
    return WAYS[name]


def residual_estimate(maps: list[SaliencyMap], sizes: list[float], d: int) -> Estimate | None:
    """Of ways whose parts sum to the answer: the mean of what they miss, as a share of its size."""
    left = [
        abs(m.residual) / max(abs(s), 1e-300)
        for m, s in zip(maps, sizes, strict=True)
        if m.residual is not None
    ]
    if not left:
        return None
    ends = mean_interval(np.array(left), 0.0) or {"interval": "none: one sample"}
    return Estimate("residual", float(np.mean(left)), **ends, n=len(left), d=d, null=0.0,
                    null_method="parts that add up, exactly",
                    estimator="mean |sum of the map - (answer - background)| / |answer - background|")  # fmt: skip


def notes_of(maps: list[SaliencyMap]) -> list[str]:
    """What maps said, notes that begin alike once."""
    alike: dict[str, list[str]] = {}
    for note in (note for m in maps for note in m.notes):
        alike.setdefault(note[:24], []).append(note)
    return [
        notes[0]
        if len(notes) == 1 or len(maps) == 1
        else f"In {len(notes)} of {len(maps)} maps, as in the first of them: {notes[0]}"
        for notes in alike.values()
    ]
