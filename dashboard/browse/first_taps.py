"""Which recorded taps a method of several begins with, where the layers of one store would answer nothing.

"outputs"        the layers of the store, then what its network says
"two networks"   the layers of the store, then those of one that was recorded from other weights on the same samples
"the same two"   the same layers of both, as they are called
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.browse.projections import is_output

OUTPUTS, TWO, SAME = "outputs", "two networks", "the same two"


def first_taps(workspace, begins: str, reference: str, fitting: Sequence[str]) -> list[str]:
    """Of the taps `fitting` ("store:tap"), [] where there are none of the kind."""
    name = reference.partition(":")[0]
    own = _layers(workspace, name, fitting)
    if begins == OUTPUTS:
        said = f"{name}:outputs.logits"
        return [*own, said] if own and said in fitting else []
    return _of_two(workspace, name, own, fitting, begins == SAME) if begins in (TWO, SAME) else []


def _of_two(workspace, name: str, own: list[str], fitting: Sequence[str], same: bool) -> list[str]:
    """With the network that has most layers of one name; the first of several."""
    weights, best, shared = _weights(workspace, name), [], -1
    for other in dict.fromkeys(r.partition(":")[0] for r in fitting):
        if other == name or (weights is not None and _weights(workspace, other) == weights):
            continue
        layers = _layers(workspace, other, fitting)
        alike = {_tap(r) for r in own} & {_tap(r) for r in layers}
        if layers and len(alike) > max(shared, 0 if same else -1):
            shared = len(alike)
            best = [r for r in [*own, *layers] if not same or _tap(r) in alike]
    return best if own else []


def _layers(workspace, store: str, fitting: Sequence[str]) -> list[str]:
    """Recorded taps of a store that are no outputs, in its order."""
    recorded = workspace.store(store).recorded
    return [r for r in fitting if r.startswith(f"{store}:") and _tap(r) in recorded and not is_output(r)]


def _tap(reference: str) -> str:
    return reference.partition(":")[2]


def _weights(workspace, store: str) -> str | None:
    return (workspace.store(store).manifest.get("checkpoint") or {}).get("digest")
