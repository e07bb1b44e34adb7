"""Concepts in a hierarchy, by training: which dictionary finds them, and that explained variance does not tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import ArrayActivations
from analysis.features.training import train

PARENTS, CHILDREN, D, ALIKE = 3, 4, 12, 0.7
FAST = {"tokens": 102_400, "batch": 128, "learning_rate": 1e-2, "every": 800}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planted():
    """(parents, children, rows): each row is of a parent and one of its four children, with sizes 0.5 to 1.5; parents
    are orthogonal to each other and to all children, those of a parent have cosine 0.65: 15 concepts in 12 units."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((D, D)))[0].T
    children = []
    for _ in range(PARENTS):
        common = rng.standard_normal(D - PARENTS)
        common /= np.linalg.norm(common)
        for _ in range(CHILDREN):
            own = rng.standard_normal(D - PARENTS)
            own -= common * (own @ common)
            own /= np.linalg.norm(own)
            children.append((np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * own) @ basis[PARENTS:])
    children, n = np.array(children), 2000
    parent, child = rng.integers(PARENTS, size=n), rng.integers(CHILDREN, size=n)
    sizes = rng.uniform(0.5, 1.5, (2, n, 1))
    x = sizes[0] * basis[parent] + sizes[1] * children[parent * CHILDREN + child]
    return basis[:PARENTS], children, x.astype(np.float32)


def test_pursuit_finds_children_orthogonal_to_their_parents_and_topk_mixes_them():
    """Twice as many latents as concepts and k = 2. What TopK finds for a child holds a part of its parent, because one
    linear map must tell siblings apart that are alike; what is left after a parent was taken tells them by itself.
    The variance explained is the same."""
    parents, children, x = planted()

    class Rows:
        name = "s"

        def activations(self, tap):
            return ArrayActivations(x)

    own, mixed, explained, cosines = {}, {}, {}, {}
    for name in ("pursuit", "topk"):
        made = train(Rows(), "x", name, {"latents": 32, "k": 2}, FAST)
        found = made.decoder[(made.decoder @ children.T).argmax(axis=0)].reshape(PARENTS, CHILDREN, D)
        above = made.decoder[(made.decoder @ parents.T).argmax(axis=0)]
        explained[name] = made.about["held_out"]["explained_variance"]
        own[name] = (found * children.reshape(found.shape)).sum(axis=2)
        mixed[name] = np.abs(np.einsum("pcd,pd->pc", found, above)).mean()
        cosines[name] = found
        if name == "pursuit":
            assert np.unique((made.decoder @ children.T).argmax(axis=0)).size == PARENTS * CHILDREN
    assert min(explained.values()) > 0.98
    assert abs(explained["pursuit"] - explained["topk"]) < 0.02
    assert own["pursuit"].mean() >= 0.95
    assert own["topk"].mean() < 0.9
    assert mixed["pursuit"] < 0.05  # orthogonal to the parent that comes with it
    assert mixed["topk"] > 0.2
    siblings = np.einsum("pcd,ped->pce", cosines["pursuit"], cosines["pursuit"])
    apart = ~np.eye(CHILDREN, dtype=bool)
    assert siblings[:, apart].mean() == pytest.approx(0.65, abs=0.1)  # and still as alike as they are
