"""The certificate of an encoded tap: for each feature, how far it is reproducible, by tests that say what chance gives.
What is asked stands in `questions`.

What else a card shows of a feature beyond the index (nearest directions, features that fire with it, energy in the
active subspace, a name) is made in the same go, so that every card opens at once afterwards.

Each test is a method of the family `dictionaries`, run through the workspace, so that nothing is computed twice. Their
columns are kept as one table beside the encoded tap, with the key of every run: a key holds the digests of the taps,
the method's version, its parameters, and the libraries. Where one of them is not what it was, the certificate is stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from analysis import results
from analysis.certificates.questions import TESTS, asked, count, unanswered
from analysis.errors import Cancelled, InputError, LoupeError, StoreDamaged
from analysis.results import Origin, Table
from analysis.spec import Progress, no_progress
from analysis.store.encoded import is_encoded
from analysis.workspace import Workspace

FILE = "certificate.npz"
VERSION = 1


def certify(
    workspace: Workspace, reference: str, seeds: Sequence[str] = (), networks: Sequence[str] = (), *, seed: int = 0,
    progress: Progress = no_progress,
) -> Table:  # fmt: skip
    """Make the certificate of the encoded tap "store:tap" and keep it beside the tap.

    Parameters
    ----------
    seeds : encoded taps of the same activations by other dictionaries; without any, "again" is not asked.
    networks : taps of other networks on the same samples; without any, "elsewhere" is not asked.

    Returns
    -------
    Table
        A line for each feature, see `questions`; caveats say which tests were not made and why.

    Raises
    ------
    InputError, NotFound
        A tap that was recorded, or is among its own others; no such tap.
    """
    store, tap = _encoded(workspace, reference)
    seeds, networks = tuple(dict.fromkeys(seeds)), tuple(dict.fromkeys(networks))
    for other in (*seeds, *networks):
        if other == reference:
            raise InputError(f"{other} is the tap itself", "other taps")
        workspace.activations(other)  # refuses what is not there
    wanted, made, said = asked(store, tap, reference, seeds, networks), {}, []
    columns = unanswered(store, tap)
    for i, (question, references, reason) in enumerate(wanted):
        if reason:
            said.append(f"Not asked: {question.test}, {reason}.")
            continue
        at = lambda share, doing="", i=i: progress((i + share) / len(wanted), doing)  # noqa: E731
        try:
            found = workspace.run(question.method, references, seed=seed, progress=at)
        except Cancelled:
            raise
        except LoupeError as refusal:
            said.append(f"Not answered: {question.test or question.method}. {refusal}")
            continue
        columns.update(question.read(found))
        if question.fills:  # what is only made for the cards does not make a certificate stale
            made[question.method] = {
                "key": workspace.key(question.method, references, seed=seed), "inputs": list(references),
            }  # fmt: skip
        said += [f"{question.test}: {caveat}" for caveat in found.caveats[:1] if question.test]
    count(columns)
    table = _table(workspace, reference, columns, said, made, seeds, networks, seed)
    results.save(table, _path(store, tap))
    progress(1.0, "done")
    return table


def _encoded(workspace: Workspace, reference: str):
    workspace.activations(reference)
    name, _, tap = reference.partition(":")
    store = workspace.store(name)
    if not is_encoded(store.entry(tap)):
        raise InputError(
            f"'{reference}' was recorded",
            "a tap that a feature set encoded",
            "Encode it with a feature set first",
        )
    return store, tap


def _path(store, tap: str) -> Path:
    return store.folder(tap) / FILE


def _table(workspace, reference, columns, said, made, seeds, networks, seed: int) -> Table:
    inputs = tuple(
        {"name": r, "digest": workspace.activations(r).digest, "as": role}
        for role, references in (("tap", [reference]), ("seed", seeds), ("network", networks))
        for r in references
    )
    alive = int((~columns["dead"]).sum())
    whole = int(((columns["failed"] == 0) & (columns["passed"] > 0)).sum())
    about = {t: f"yes where it {words[0]}; open where the data cannot tell" for t, words in TESTS.items()}
    return Table(
        title=f"Certificate of {reference}", columns=columns, index="feature", sort="passed", help=about,
        reading=f"{whole:,} of {alive:,} features that fire pass a test and fail none.", caveats=tuple(said),
        origin=Origin(
            "certificate", VERSION, {"made": made, "seeds": list(seeds), "networks": list(networks)}, inputs, seed, {},
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        ),
    )  # fmt: skip


# ---------------------------------------------------------------------------- reading it again
def certificate_of(store, tap: str) -> Table | None:
    """The kept certificate of an encoded tap; None where there is none, or it cannot be read."""
    if not is_encoded(store.entry(tap)) or not _path(store, tap).is_file():
        return None
    try:
        found = results.load(_path(store, tap))
    except StoreDamaged:
        return None
    fits = (
        isinstance(found, Table) and len(found.columns.get("passed", ())) == store.activations(tap).shape[1]
    )
    return found if fits and found.origin is not None and found.origin.version == VERSION else None


def made_at(store, tap: str) -> int:
    """When the certificate was written, in nanoseconds; 0 where there is none."""
    try:
        return _path(store, tap).stat().st_mtime_ns
    except OSError:
        return 0


def stale(workspace: Workspace, reference: str, certificate: Table) -> str:
    """Why the certificate does not hold any more, in a sentence; "" where it does."""
    name, _, tap = reference.partition(":")
    made_with = workspace.store(name).entry(tap).get("feature_set") or {}
    for facts in workspace.features.facts():
        if facts.name == made_with.get("name") and facts.digest and facts.digest != made_with.get("digest"):
            return f"The set {facts.name} has changed since this tap was encoded with it."
    for one in certificate.origin.inputs:
        try:
            now = workspace.activations(one["name"]).digest
        except LoupeError:
            return f"{one['name']}, which it was made with, is not here any more."
        if now != one["digest"]:
            return f"{one['name']} has changed since it was made."
    for method, run in certificate.origin.params["made"].items():
        if workspace.key(method, run["inputs"], seed=certificate.origin.seed) != run["key"]:
            return f"The method {method} or the libraries under it have changed since it was made."
    return ""


def likely_others(workspace: Workspace, reference: str) -> tuple[list[str], list[str]]:
    """(seeds, networks) that a certificate of this tap would most likely be made with: dictionaries of the same
    activations with the same rule and size; encoded taps of other stores on the same data, else their tap of the same
    name."""
    store, tap = _encoded(workspace, reference)
    own = store.entry(tap)
    seeds, networks = [], []
    data = (store.manifest.get("data") or {}).get("digest")
    for other in (entry.store for entry in workspace.stores() if entry.store is not None):
        encoded = [t for t in other.taps if t not in other.recorded]
        here = other.path.name
        if here == store.path.name:
            seeds += [f"{here}:{t}" for t in encoded if t != tap and _alike(own, other.entry(t))]
        elif data and (other.manifest.get("data") or {}).get("digest") == data:
            networks += [f"{here}:{t}" for t in encoded] or [f"{here}:{own['of']}"] * (
                own["of"] in other.taps
            )
    return seeds, networks


def _alike(a: dict, b: dict) -> bool:
    one, other = a["feature_set"], b["feature_set"]
    same = (
        a["of"] == b["of"]
        and one.get("rule") == other.get("rule")
        and one.get("digest") != other.get("digest")
    )
    return same and _width(a) == _width(b)


def _width(entry: dict) -> int:
    from analysis.store.manifest import tap_of

    return tap_of(entry).n_units
