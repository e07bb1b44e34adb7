"""Samples of a tap with all that is needed to split one number of the answer over units, the same for every sample: the
number, the background, the players.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.attribution import backgrounds, targets
from analysis.attribution.backgrounds import Background
from analysis.attribution.explained_samples import explained_samples, refuse_few_samples
from analysis.attribution.path_gradients import path_values
from analysis.attribution.players import Coordinates, Features, each_token
from analysis.attribution.sample_run import INPUT
from analysis.attribution.split_game import split_game
from analysis.attribution.tap_features import contributions_of
from analysis.attribution.units.unit_game import unit_game
from analysis.compute.games.gaussian_conditional import GaussianConditional
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import NotEnoughData, ParameterError
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.spec import Progress, param

FEWEST, LOOKED = 12, 64  # samples
AUTO, SHAPLEY, SLOPES = "automatic", "Shapley values", "expected gradients"
TAP, INPUT_COLUMNS = "the units of the tap", "what the network is given"
INTERVENTIONAL, CONDITIONAL = "as in the background", "as the present units tell"


@dataclass(frozen=True)
class UnitPartsParams:
    players: str = param(
        TAP, "Who may be owed something: the tap's units, or the network's input, such as the columns of a table.",
        label="units", choices=(TAP, INPUT_COLUMNS), late=True,
    )  # fmt: skip
    number: str = param(
        targets.LOGIT, "Number of the answer that is explained, the same for every sample.",
        label="number explained", choices=targets.KINDS, late=True,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the one that is largest on average.", low=0, high=1_000_000,
        late=True,
    )  # fmt: skip
    way: str = param(
        AUTO, "How parts are found; automatic: Shapley values in networks of tables and probes of one-token samples, "
        "slopes in others and of features.", choices=(AUTO, SHAPLEY, SLOPES), late=True,
    )  # fmt: skip
    absent: str = param(
        INTERVENTIONAL, "What absent units are: a background row as it is (interventional), or moved by what the "
        "present units tell of them (conditional, Gaussian).", label="absent units",
        choices=(INTERVENTIONAL, CONDITIONAL), late=True,
    )  # fmt: skip
    background: str = param(
        backgrounds.SAMPLES, "What stands where a unit is absent.", choices=backgrounds.KINDS, late=True
    )
    background_samples: int = param(
        25, "Samples that the background is made of, all of them used.", low=2, high=5000, late=True
    )
    rounds: int = param(
        4, "Orders of the units, each with its reverse, that a sample's Shapley values average.", low=2, high=1000,
        label="orders", late=True,
    )  # fmt: skip
    maximum_samples: int = param(
        300, "Most samples explained; a seeded random subset above.", low=FEWEST, high=100_000, late=True
    )
    maximum_units: int = param(
        32, "Most units that play alone: the strongest by slopes; all others play as one.", low=2, high=2000,
        late=True,
    )  # fmt: skip
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS, late=True)
    column: str | None = param(
        None, "Labels of a probe; automatic: 'label' where there is one.", column=True, late=True
    )


@dataclass(frozen=True)
class Explained:
    """Samples of a tap with all that is needed to explain each: `target`, one for all, `words` what it is; `others`
    at the site, `players` (units, or features of the set that encoded the tap) with `units` (m,) their numbers, -1 for
    those that play as one and for what the set leaves over; `way` that was asked for or chosen."""

    samples: object
    target: object
    words: str
    others: list
    players: Coordinates | Features
    units: np.ndarray
    conditional: GaussianConditional | None
    notes: tuple[str, ...]
    site: str | None = None
    way: str = SHAPLEY

    @property
    def n(self) -> int:
        return len(self.samples.samples)

    @property
    def whose(self) -> str:
        """Whose the units are, in words."""
        if isinstance(self.players, Features):
            return "features"
        return "the network's inputs" if self.site else "units"

    def run(self, i: int):
        """The i-th sample at the site that is explained."""
        return self.samples.run(int(i), self.site)

    def behind(self, run, params: UnitPartsParams) -> Background:
        return backgrounds.background(params.background, run.clean, self.others)

    def game(self, run, params: UnitPartsParams, **books):
        if isinstance(self.players, Features):
            return split_game(run, self.players, self.behind(run, params), self.target, **books)
        return unit_game(run, self.players, self.behind(run, params), self.target, self.conditional, **books)


def explained_units(
    tap: Activations, params: UnitPartsParams, rng: np.random.Generator, progress: Progress, span
) -> Explained:  # fmt: skip
    """Opens the network (or the probe) and chooses number, background and players.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        Neither a network that can be run nor labels; fewer than twelve samples or two units; no such output; choices
        that do not go together.
    """
    made = tap_dictionary(tap) if getattr(tap, "source", None) is not None and params.players == TAP else None
    if params.absent == CONDITIONAL and (
        params.way == SLOPES or params.background == backgrounds.ZERO or made
    ):
        raise ParameterError(
            f"absent units {CONDITIONAL} with {'features of a set' if made else params.way} and a background of "
            f"{params.background}",
            f"{SHAPLEY} of units, and a background of samples or their mean",
        )
    source = tap if made is None else made.source
    seen, at = Pass(), span[0] + 0.5 * (span[1] - span[0])
    for _ in finite_blocks(source, seen, progress, "reading", (span[0], at), as_stored=True):
        pass
    samples, notes = explained_samples(source, params.reader, params.column, params.maximum_samples, rng, progress,
                                       (at, span[1]))  # fmt: skip
    refuse_few_samples(tap, samples, FEWEST)
    n, site = len(samples.samples), INPUT if params.players == INPUT_COLUMNS else None
    looked = [
        samples.run(int(i), site) for i in rng.choice(n, size=min(LOOKED, n), replace=False)
    ]  # in no order
    target, words = _number(samples, looked, params)
    some = np.sort(rng.choice(n, size=min(params.background_samples, n), replace=False))
    needed = params.background != backgrounds.ZERO
    others = [samples.run(int(i), site).clean for i in some] if needed else []
    if made is not None:
        players, units, told = _features(made, looked, others, target, params)
    else:
        names = _names(tap, samples, looked[0].shape[1], site)
        players, units, told = _players(names, looked, others, target, params)
    way = params.way
    if way == AUTO:
        one = max(run.shape[0] for run in looked) == 1 and made is None
        quick = not samples.is_network or bool(samples.input_names)  # a probe, or a network of a table
        way = SHAPLEY if (one and quick) or params.absent == CONDITIONAL else SLOPES
    conditional = None
    if params.absent == CONDITIONAL:
        conditional = GaussianConditional(_covariance(samples, site))
    behind = backgrounds.background(params.background, looked[0].clean, others).words
    said = [f"Absent units: {behind}" + (f", {CONDITIONAL} (Gaussian)." if conditional else ", whatever the present "
            "units are: where units hang together such rows may be unlike any that the network has seen.")]  # fmt: skip
    if needed:
        said.append("Samples of the background are explained too, held against a mean that they are part of.")
    if needed and n < params.background_samples:
        said.append(f"The background was to be of {params.background_samples:,} samples; there are {n:,}.")
    if site and not samples.is_network:
        said.append("A probe is given the tap itself: its units are explained.")
    return Explained(samples, target, words, others, players, units, conditional,
                     (*seen.notes, *notes, *said, *told), site, way)  # fmt: skip


def _number(samples, looked, params: UnitPartsParams):
    """The target, one for all samples, and what it is."""
    logits = [targets.at_position(run.logits, -1).double() for run in looked]
    if samples.number and params.number != targets.LOGIT:
        raise ParameterError(
            f"the {params.number} of a network that gives {samples.number}, which is no class",
            f"the number itself ('{targets.LOGIT}')",
        )
    target = targets.logit_target(sum(logits) / len(logits), params.number, params.answer)
    return target, targets.words_of(samples, target, looked[0].logits)


def _names(tap: Activations, samples, d: int, site: str | None) -> list[str]:
    """(d,) what the units are called."""
    given = samples.input_names if site and samples.is_network else tap.unit_names
    names = list(given) if len(given) == d else [str(j) for j in range(d)]
    if d < 2:
        raise NotEnoughData(f"{tap.name} has {d} unit", "at least 2 to share an answer", "Choose a wider tap")
    return [f"{'input' if site else 'unit'} {name}" if name.isdecimal() else name for name in names]


def _players(names: list[str], looked, others, target, params):
    """A player for each unit, at most so many, the strongest by slopes; the others together."""
    d = len(names)
    if d <= params.maximum_units:
        return Coordinates(np.arange(d)[None], tuple(names)), np.arange(d), ()
    rough = np.zeros(d)
    for run in looked[:16]:
        behind = backgrounds.background(backgrounds.MEAN if others else backgrounds.ZERO, run.clean, others)
        slopes = path_values(run, each_token(run.shape[0]), behind, target, steps=3).slopes
        rough += np.abs((slopes * (run.clean - behind.rows[0]).double()).sum(dim=0).numpy())
    best = np.sort(np.argsort(-rough, kind="stable")[: params.maximum_units])
    owner = np.full(d, len(best))
    owner[best] = np.arange(len(best))
    told = f"The {len(best):,} strongest of {d:,} units by slopes play alone, the others as one."
    return (Coordinates(owner[None], (*(names[j] for j in best), f"the other {d - len(best):,} units")),
            np.append(best, -1), (told,))  # fmt: skip


def _features(made: TapDictionary, looked, others, target, params):
    """A player for each feature, at most so many, the strongest by slopes; the others together, and what is left."""
    k, codes, decoder = made.features.n_features, contributions_of(made), made.features.decoder
    names = made.called
    everyone = Features(codes, decoder, np.arange(k), names)
    if k <= params.maximum_units:
        return everyone, np.append(np.arange(k), -1), ()
    rough = np.zeros(k)
    for run in looked[:16]:
        behind = backgrounds.background(backgrounds.MEAN if others else backgrounds.ZERO, run.clean, others)
        rough += np.abs(path_values(run, everyone, behind, target, steps=3).values[:k])
    best = np.sort(np.argsort(-rough, kind="stable")[: params.maximum_units])
    told = f"The {len(best):,} strongest of {k:,} features by slopes play alone, the others as one."
    return Features(codes, decoder, best, [names[j] for j in best]), np.r_[best, -1, -1], (told,)


def _covariance(samples, site) -> np.ndarray:
    """(units, units) of the rows of at most 2,000 of the explained samples."""
    some = np.unique(np.linspace(0, len(samples.samples) - 1, min(2000, len(samples.samples))).astype(int))
    x = np.concatenate([samples.run(int(i), site).clean.double().numpy() for i in some])
    return np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1])
