"""What the card of one latent is made of, for the other benchmarks: everything that is drawn when it opens, without the
browser, and the two parts that compare it with all other latents, apart."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dashboard.browse import feature_facts, feature_sets
from dashboard.browse.unit import Unit


def card(store, reference: str, latent: int) -> dict:
    """From the index and the latent's own entries: sentences, strongest examples, density, histogram by class, means
    per class."""
    unit = Unit(store, reference, latent)
    dead = unit.is_dead
    return {
        "sentences": unit.sentences(), "tiles": [] if dead else unit.tiles(15), "histogram": unit.histogram(),
        "classes": unit.class_means(), "density": "" if dead else feature_facts.density(unit), "unit": unit,
    }  # fmt: skip


def bands(store, reference: str, latent: int) -> list:
    """Weaker examples, which the card reads when they are asked for."""
    return Unit(store, reference, latent).index.bands(latent)


def decoder_neighbours(workspace, store, reference: str, latent: int) -> list:
    return feature_sets.neighbours(workspace, store, reference.partition(":")[2], latent)


def correlated(store, reference: str, latent: int) -> list:
    return Unit(store, reference, latent).index.correlated(latent, 5)
