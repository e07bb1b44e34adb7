"""Which names a glob chooses."""

from __future__ import annotations

import pytest

from analysis.recording.choosing import matches


@pytest.mark.parametrize(
    ("name", "pattern", "fits"),
    [
        ("vit.layers.3", "vit.layers.*", True),
        ("vit.layers.3.mlp", "vit.layers.*", False),
        ("vit.layers.3.mlp", "vit.layers.**", True),
        ("vit.layers.3.mlp.fc1", "vit.**.fc1", True),
        ("vit.layers.3.mlp.fc1", "vit.layers.[0-2].mlp.fc1", False),
        ("vit.layers.3.attention", "*attention*", True),
        ("vit.layers.3.attention", "vit.*.attention", False),
        ("relu", "*", True),
        ("a.b", "*", True),
        ("a.b", "a.?", True),
        ("a", "a.*", False),
        ("a", "a.**", True),
    ],
)
def test_matches(name, pattern, fits):
    assert matches(name, pattern) is fits
