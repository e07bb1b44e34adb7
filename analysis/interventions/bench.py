"""A tap's network, or a probe in its place, made ready for causal tests: samples in batches, what is looked at, parts.

The probe is one site, the tap itself: its rows are the tokens, and whoever asks for heads or layers of it is told that
it has none and gets the units.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations, as_activations
from analysis.attribution import targets
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.tap_features import contributions_of
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, LoupeError
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.interventions.components import KINDS, RESIDUALS, Component, NetworkParts, Place, Site
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.interventions import Features
from analysis.interventions.many_samples import Batch, batches
from analysis.interventions.many_targets import ManyTargets, many_targets
from analysis.spec import Progress, param

UNITS, FEATURES = "units of the tap", "features of the tap"
CHOICES = (*(k for k in KINDS if k != RESIDUALS), UNITS, FEATURES)
FEWEST = 8  # samples
OPENING = 5.0  # seconds to open and run a small network, where there is one


@dataclass(frozen=True)
class BenchParams:
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is looked at; a difference is to the second answer.",
        label="number looked at", choices=targets.KINDS, late=True,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest of each sample.", low=0, high=1_000_000, late=True
    )  # fmt: skip
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS, late=True)
    column: str | None = param(
        None, "Labels of a probe; automatic: 'label' where there is one.", column=True, late=True
    )
    maximum_samples: int = param(
        40, "Most samples; a seeded random subset above.", low=8, high=10_000, late=True
    )


@dataclass
class Bench:
    """`batches` of samples with the number of each that is looked at, `targets`; `clean` (n,) its values, in the order
    of the batches. `parts` None of a probe. `answer` the output that was asked for. `notes` are caveats."""

    tap: Activations
    made: TapDictionary
    samples: object
    batches: list[Batch]
    targets: list[ManyTargets]
    parts: NetworkParts | None
    answer: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        return sum(b.run.n for b in self.batches)

    @property
    def site(self) -> Site:
        return Site(self.samples.site)

    @property
    def runs(self) -> list:
        return [b.run for b in self.batches]

    @property
    def clean(self) -> np.ndarray:
        return np.concatenate(
            [t.of(b.run.logits).numpy() for b, t in zip(self.batches, self.targets, strict=True)]
        )

    @property
    def passes(self) -> int:
        """Rows that went through the network so far."""
        return sum(run.passes for run in self.runs)

    @property
    def what(self) -> str:
        return self.samples.what

    def components(self, kind: str, most: int) -> list[Component]:
        """What may be changed, of one kind; of units and features at most `most`, those that vary most. Raises
        NotFound where the network has none."""
        if self.parts is not None and kind in KINDS:
            return self.parts.components(kind)
        if self.parts is None and kind in KINDS:
            self.notes.append(
                f"A probe has no {kind}: the units of {self.made.source.name} stand in their place."
            )
            kind = UNITS
        return self._of_the_tap(kind == FEATURES, most)

    def _of_the_tap(self, features: bool, most: int) -> list[Component]:
        made = self.made
        codes = contributions_of(made) if features and not made.of_units else lambda rows: rows
        spread = self._spread(codes)
        chosen = np.sort(np.argsort(-spread, kind="stable")[:most])
        if len(chosen) < len(spread):
            self.notes.append(
                f"The {len(chosen):,} of {len(spread):,} that vary most over the samples were taken."
            )
        if features and not made.of_units:
            names, way = made.called, made.features.decoder
            return [
                Component(names[j], FEATURES, (Place(self.site, special=Features(codes, way, j)),),
                          number=int(j)) for j in chosen
            ]  # fmt: skip
        names = made.source.unit_names
        return [
            Component(_named("unit", names[j] if j < len(names) else str(j)), UNITS, (Place(self.site, j, j + 1),),
                      number=int(j)) for j in map(int, chosen)
        ]  # fmt: skip

    def _spread(self, codes) -> np.ndarray:
        """(k,) standard deviations over the rows of all samples."""
        return codes(self.rows()[0]).std(axis=0)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, units) float64 of the tap as the network has it, and the sample (rows,) of each, in the order of the
        batches."""
        rows, owner, first = [], [], 0
        for run in self.runs:
            x = run.caught([self.site])[self.site]
            real = run.real(x.shape[1])
            rows.append(x.double().numpy()[real])
            owner.append(first + np.nonzero(real)[0])
            first += run.n
        return np.concatenate(rows), np.concatenate(owner)


def _named(word: str, name: str) -> str:
    return f"{word} {name}" if str(name).isdecimal() else str(name)


def open_bench(
    activations, params: BenchParams, rng, progress: Progress, span: tuple[float, float], *, at_the_tap: bool = False
) -> Bench:  # fmt: skip
    """`at_the_tap`: features of the tap are put back, so that it must hold all tokens. Raises as
    `explained_samples`; NotEnoughData for fewer than eight samples."""
    tap, seen = as_activations(activations), Pass()
    made = tap_dictionary(tap)
    middle = span[0] + (span[1] - span[0]) / 2
    for _ in finite_blocks(made.source, seen, progress, "reading", (span[0], middle), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (middle, span[1]), live=not at_the_tap)  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    found = list(batches(samples))
    asked = [many_targets(b.run, params.number, params.answer) for b in found]
    said = ["Of each text the answer after its last token is looked at."] if asked[0].by_token else []
    notes = [*seen.notes, *notes, *said]
    return Bench(tap, made, samples, found, asked, parts_of(samples, found), params.answer, notes)


def parts_of(samples, found: list[Batch]) -> NetworkParts | None:
    """Parts of the network that runs the batches; none of a probe."""
    if not samples.is_network:
        return None
    run = found[0].run
    try:
        parts = network_parts(run.loaded, run.inputs)
        for batch in found:
            batch.run.blocks = parts.blocks or parts.layers
        return parts
    except LoupeError as why:  # the tap's own units can still be changed
        return NetworkParts(no_heads=why.found)


def refuse_unmoved(changes: np.ndarray, bench: Bench) -> None:
    """Raises InputError where nothing that was done changed any answer."""
    if not np.abs(changes).any():
        raise InputError(
            f"nothing that was changed changes the answer of {bench.what}", "a part that the answer hangs on",
            "Choose other components, another number or another tap",
        )  # fmt: skip
