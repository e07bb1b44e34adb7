"""The sample workspace of the checkout holds what its first pages draw, by the methods as they are now."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import registry, results
from analysis.certificates import certificate_of, stale
from analysis.pipeline import versions
from analysis.workspace import Workspace

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "workspace"
TAPS = ("digits-vit-patches:vit.layers.2@vit-topk-s0", "python-gpt-code:transformer.h.2@gpt-topk-s0")
OF_ONE_DICTIONARY = (
    "dictionary_court", "dictionary_report", "feature_table", "feature_names", "kind_features",
)  # fmt: skip
DRAWN = [
    *[(method, [tap]) for tap in TAPS for method in OF_ONE_DICTIONARY],
    *[("seed_consistency", [tap[:-1] + seed for seed in "012"]) for tap in TAPS],
    *[("umap", [tap]) for tap in ("digits-vit:vit.layers.3", "python-gpt:transformer.h.3")],
]  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> list[results.Result]:
    return [results.load(path) for path in sorted((SAMPLE / "cache").glob("[!s.]*.npz"))]


@pytest.mark.parametrize(("method", "references"), DRAWN, ids=lambda v: v if isinstance(v, str) else v[0])
def test_it_is_kept(kept, method, references):
    """With any versions of the numerical libraries; found by the key where these are the installed ones."""
    space, asked = Workspace.open(SAMPLE), registry.method(method)
    digests = [space.activations(r).digest for r in references]
    found = [
        r for r in kept
        if r.origin.method == method and r.origin.version == asked.version
        and [i["digest"] for i in r.origin.inputs] == digests
    ]  # fmt: skip
    assert found, "make the sample workspace again: python sample_data/make_workspace.py"
    if found[0].origin.versions == versions(asked.libraries):
        assert space.cached(method, references) is not None


@pytest.mark.parametrize("tap", TAPS)
def test_certificates_are_of_the_methods_as_they_are(tap):
    space, (store, name) = Workspace.open(SAMPLE), tap.split(":")
    found = certificate_of(space.store(store), name)
    assert found is not None
    assert stale(space, tap, found) == "", (
        "make the sample workspace again: python sample_data/make_workspace.py"
    )
