"""A tap as its list of features knows it: statistics, classes, names, stars, certificate."""

from __future__ import annotations

from analysis.workspace import Workspace
from dashboard.browse import certificates, naming
from dashboard.browse.feature_list import STRONGEST, Tap
from dashboard.browse.labels import labels_of
from dashboard.browse.unit_words import word_of

AT_TOKENS = (
    16  # samples that the strongest rows of a tap with tokens are taken for: several are of one sample
)


def listed_tap(workspace: Workspace, store_name: str, tap: str) -> Tap:
    """Read it. Raises NotFound, StoreDamaged."""
    store = workspace.store(store_name)
    pooled, own = store.activations(tap).layout.is_pooled, store.taps[tap].unit_names
    written = workspace.people.on_tap(store_name, tap)
    named, notes = naming.kept(workspace, f"{store_name}:{tap}"), naming.given(written)
    proposals = naming.proposed(workspace, f"{store_name}:{tap}")
    blank = own or [""] * store.taps[tap].n_units
    return Tap(
        table=store.index(tap).table(),
        classes=store.classes,
        unit_names=naming.names(named, blank, notes, proposals) if named or notes or proposals else own,
        stars=written.stars,
        tags=written.tags,
        labels=labels_of(store),
        samples_at_top=STRONGEST if pooled else AT_TOKENS,
        word=word_of(store, tap),
        certificate=certificates.of(store, tap),
        fits=naming.fits(named, store.taps[tap].n_units),
    )
