"""From a tap to its dictionary: the codes, the activations they were made from, and the directions they stand for.

A method is given taps. One that a feature set encoded (TAP@SET) keeps that set beside its codes and knows the tap it
came from. Any other tap is the dictionary of its own units: each unit is a feature, with itself as the direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.errors import InputError, NotFound, TooLarge
from analysis.features import rules
from analysis.features.feature_set import FeatureSet

MOST_UNITS = 16_384  # of a tap taken as its own dictionary: the identity has their square


@dataclass(frozen=True)
class TapDictionary:
    """`codes` (rows, k) of `features` on `source` (rows, d); `of_units` where the features are the units themselves."""

    codes: Activations
    source: Activations
    features: FeatureSet
    of_units: bool

    @property
    def given_names(self) -> tuple[str, ...]:
        """(k,) what the tap, or the set that encoded it, calls each feature; "" where that is its number only."""
        own = ["" if str(name).isdecimal() else str(name) for name in self.codes.unit_names]
        told = self.features.feature_names or own
        return tuple(a or b for a, b in zip(own, told, strict=True)) if len(own) == len(told) else tuple(told)

    @property
    def called(self) -> tuple[str, ...]:
        """(k,) in words: "unit 3", or the column's name; "feature 12", or with the name that it was given "feature 12
        brackets"."""
        if self.of_units:
            return tuple(name or f"unit {j}" for j, name in enumerate(self.given_names))
        return tuple(f"feature {j} {name}".rstrip() for j, name in enumerate(self.given_names))

    @property
    def notes(self) -> tuple[str, ...]:
        """A caveat where no feature set made the tap."""
        if not self.of_units:
            return ()
        return (
            f"{self.codes.name} was not encoded by a feature set: its features are its own units, which rebuild it "
            "exactly.",
        )

    @property
    def fitted_note(self) -> tuple[str, ...]:
        """A caveat where the set was fitted to rows of this very tap, for what judges how well it rebuilds them."""
        about = self.features.about
        if self.of_units or about.get("store_digest") != self.source.digest:
            return ()
        held = (about.get("held_out") or {}).get("explained_variance")
        told = (
            "" if held is None else f"; of the variance of those that were held out it explained {held:.4g}"
        )
        return (
            f"{self.features.name} was fitted to rows of this tap, which are among those judged here{told}.",
        )

    @property
    def typical_active(self) -> int:
        """Mean number of active features of a row, rounded, at least 1: of an encoded tap from its entries."""
        entries, (n, k) = getattr(self.codes, "n_entries", None), self.codes.shape
        if entries is None:
            return k if self.features.rule == rules.LINEAR else max(1, self.features.active or k)
        return max(1, round(entries / max(n - len(self.codes.gaps), 1)))


def recorded_tap(activations: Activations) -> Activations:
    """The tap that a feature set encoded, of an encoded one; any other tap itself."""
    source = getattr(activations, "source", None)
    return activations if source is None else source()


def tap_dictionary(activations: Activations) -> TapDictionary:
    """The dictionary of a tap. Reads the weights of an encoded one, 4 (2 k d) bytes.

    Raises NotFound where an encoded tap has no feature set beside it, StoreDamaged where that has changed, TooLarge for
    a tap of more than 16,384 units that was not encoded, InputError for a transcoder.
    """
    source = getattr(activations, "source", None)
    if source is not None:
        try:
            features = FeatureSet.open(activations.set_folder)
        except NotFound:
            raise NotFound(
                f"{activations.name} has no feature set beside it",
                "the set that encoded it",
                "Encode it again",
            ) from None
        if features.transcoder:
            raise InputError(
                f"'{features.name}' of {activations.name} is a transcoder: it tells another tap than it reads",
                "a dictionary that rebuilds the tap it reads",
                "What it explains of the other tap is in its description",
            )
        return TapDictionary(activations, source(), features, False)
    d = activations.shape[1]
    if d > MOST_UNITS:
        raise TooLarge(
            f"{activations.name} has {d:,} units", f"at most {MOST_UNITS:,} of a tap that was not encoded",
            "Choose a tap that a feature set encoded",
        )  # fmt: skip
    zero, one = np.zeros(d, np.float32), np.eye(d, dtype=np.float32)
    features = FeatureSet("units", rules.LINEAR, one, one, zero, zero, zero, about={"architecture": "units"})
    return TapDictionary(activations, activations, features, True)
