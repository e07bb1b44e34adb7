"""Numbers to explain of encoders without classes: where a sample lies at a tap.

similarity to another sample         cos(v, v')
movement towards another sample      <v - m, u> ,  u = (v' - m) / |v' - m|
distance to a class mean             |v - m_c|
movement towards a class             <v - m, u> ,  u = (m_c - m) / |m_c - m|
movement in the main subspace        |Uᵀ (v - m)| ,  U the first principal directions of the samples
one feature of the tap               its activation, mean over tokens

v is the sample at the tap (mean over its tokens), m the mean of the others: means and directions are of samples without
v. For the null the same is asked with another reference: other samples, means of as many random samples, random
subspaces, other features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.attribution.one_sample.tap_vector import (
    CosineTarget,
    DistanceTarget,
    FeatureTarget,
    MovementTarget,
    TapVector,
)
from analysis.compute.retrieval.class_numbers import class_numbers
from analysis.compute.rows.token_sets import TokenSets, token_sets
from analysis.compute.subspaces.random_subspaces import random_basis
from analysis.errors import InputError, NotFound
from analysis.features import rules
from analysis.features.tap_dictionary import TapDictionary

SIMILARITY, TOWARDS_SAMPLE = "similarity to another sample", "movement towards another sample"
DISTANCE, TOWARDS_CLASS = "distance to a class mean", "movement towards a class"
SUBSPACE, FEATURE = "movement in the main subspace", "one feature of the tap"
KINDS = (SIMILARITY, TOWARDS_SAMPLE, DISTANCE, TOWARDS_CLASS, SUBSPACE, FEATURE)
SMOOTH = (
    rules.LINEAR,
    rules.RELU,
    rules.TOPK,
    rules.JUMP,
)  # rules whose active features are linear in the input


class TapNumbers:
    """The numbers of one `kind`, of samples at the tap that `made` is the dictionary of.

    `other`: the other sample (None: the next one); `answer`: number of the class (None: the sample's own) or of the
    feature (None: the largest on the sample); `directions` of the main subspace; `column` of labels.
    """

    def __init__(
        self, made: TapDictionary, kind: str, rng: np.random.Generator, *, sample: int, other: int | None,
        answer: int | None, directions: int, column: str | None, maximum: int, progress, span,
    ) -> None:  # fmt: skip
        tap = made.source
        self.made, self.kind, self._rng, self._sample, self._answer = made, kind, rng, sample, answer
        if other is None:
            other = sample + 1 if sample + 1 < tap.layout.n_samples else 0
        wanted = (sample, other) if kind in (SIMILARITY, TOWARDS_SAMPLE) else (sample,)
        self.sets: TokenSets = token_sets(tap, rng, maximum=maximum, minimum=8, wanted=wanted, progress=progress,
                                          span=span)  # fmt: skip
        self.other, self.x = other, self.sets.means()
        self.at = self.sets.place(sample)
        self.rest = np.delete(
            self.x, self.at, axis=0
        )  # what a sample is held against does not hold the sample
        self.mean = self.rest.mean(axis=0)
        self._of, self._labels, self._column = class_numbers(tap, column, self.sets.samples)
        self.directions = min(directions, tap.shape[1], len(self.rest) - 1)

    def target(self, vector: TapVector):
        """What is explained, with its words."""
        if self.kind in (SIMILARITY, TOWARDS_SAMPLE):
            where = self.x[self.sets.place(self.other)]
            return self._of_reference(
                vector, where, f"{self.kind.replace('another sample', f'sample {self.other}')}"
            )
        if self.kind in (DISTANCE, TOWARDS_CLASS):
            rows, name = self._class()
            where = self.x[rows].mean(axis=0)
            words = f"{self.kind.replace('a class mean', f'the mean of {name}').replace('a class', name)}"
            return self._of_reference(vector, where, words)
        if self.kind == SUBSPACE:
            base = np.linalg.svd(self.rest - self.mean, full_matrices=False)[2][: self.directions].T
            return MovementTarget(
                vector, base, self.mean, f"movement in the first {self.directions} principal directions"
            )
        at = self._feature()
        return self._of_feature(vector, at)

    def exchanged(self, vector: TapVector, draws: int) -> Iterator:
        """At most `draws` targets of the same kind with another reference."""
        others = np.delete(np.arange(len(self.x)), self.at)
        if self.kind in (SIMILARITY, TOWARDS_SAMPLE):
            for at in self._rng.permutation(others)[:draws]:
                yield self._of_reference(vector, self.x[at], "")
        elif self.kind in (DISTANCE, TOWARDS_CLASS):
            size = min(len(self._class()[0]), len(others))
            for _ in range(draws):
                some = self._rng.choice(others, size, replace=False)
                yield self._of_reference(vector, self.x[some].mean(axis=0), "")
        elif self.kind == SUBSPACE:
            for _ in range(draws):
                base = random_basis(self.x.shape[1], self.directions, self._rng)
                yield MovementTarget(vector, base, self.mean)
        else:
            every = np.delete(np.arange(self.made.features.n_features), self._feature())
            for at in self._rng.permutation(every)[:draws]:
                yield self._of_feature(vector, int(at))

    @property
    def null_words(self) -> str:
        return {
            SIMILARITY: "other samples to be similar to", TOWARDS_SAMPLE: "other samples to move to",
            DISTANCE: "means of as many random samples", TOWARDS_CLASS: "means of as many random samples",
            SUBSPACE: "random subspaces", FEATURE: "other features",
        }[self.kind]  # fmt: skip

    def _of_reference(self, vector: TapVector, where: np.ndarray, words: str):
        if self.kind == SIMILARITY:
            return CosineTarget(vector, where, np.zeros(len(where)), words)
        if self.kind == DISTANCE:
            return DistanceTarget(vector, where, words)
        along = where - self.mean
        size = float(np.linalg.norm(along))
        if size <= 1e-12 * max(float(np.abs(self.x).max()), 1e-300):
            raise InputError(
                "a direction of length 0: it leads to the mean of all samples", "another class or sample"
            )
        return MovementTarget(vector, along / size, self.mean, words)

    def _class(self) -> tuple[np.ndarray, str]:
        """Rows of the class asked for without the sample itself, and its name."""
        if self._column is None:
            raise NotFound(f"{self.made.source.name} has no labels", "a column of classes", "Name a column")
        own = int(self._of[self.at]) if self._answer is None else self._answer
        every = np.flatnonzero(self._of == own) if own >= 0 else np.zeros(0, int)
        rows = every[every != self.at]
        if len(every) and not len(rows):
            raise NotFound(
                f"class {own} has no sample but sample {self._sample}", "a class of other samples",
                "Name another class",
            )  # fmt: skip
        if not len(rows):
            raise NotFound(
                f"class {own} of sample {self._sample}" if own < 0 else f"class {own}",
                f"0 … {int(self._of.max())}, the classes of '{self._column}' in their order",
            )
        return rows, str(self._labels[rows[0]])

    def _feature(self) -> int:
        k = self.made.features.n_features
        if self._answer is None:
            codes = self.made.features.encode(self.sets.of(self.at).astype(np.float32))
            return int(np.abs(codes).mean(axis=0).argmax())
        if self._answer >= k:
            raise NotFound(f"feature {self._answer}", f"0 … {k - 1}")
        return self._answer

    def _of_feature(self, vector: TapVector, at: int):
        made, features = self.made, self.made.features
        name = made.called[at]
        if made.of_units:
            return FeatureTarget(vector, lambda rows: rows[:, at], np.eye(features.n_units)[at], name)
        if features.rule not in SMOOTH or features.normalise or features.hidden is not None:
            raise InputError(
                f"features of '{features.name}' ({features.rule}) as the number explained", "linear ones where active",
                "Take a sparse autoencoder without normalisation, or a unit",
            )  # fmt: skip
        ends = np.vstack([np.zeros(features.n_units), np.eye(features.n_units)]).astype(np.float32)
        inside = np.asarray(features.encoder_input(ends), np.float64)
        reader = (inside[1:] - inside[0]) @ np.asarray(features.encoder, np.float64)[:, at]
        return FeatureTarget(
            vector,
            lambda rows: features.encode(rows.astype(np.float32)).astype(np.float64)[:, at],
            reader,
            name,
        )
