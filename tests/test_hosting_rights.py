"""Nothing is written by somebody who may only look: every public function that is not known to read is called as a
viewer, with plausible arguments, and must refuse before it touches anything."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from pathlib import Path
from unittest.mock import MagicMock

import page_stores
import pytest
from hosted_pages import EDITOR, OWNER, STRANGER, VIEWER, become, hosted, open_as

from analysis.access import Person, acting_as
from analysis.errors import Forbidden
from analysis.features import unfinished
from analysis.features.shelf import FeatureShelf
from analysis.jobs import queue
from analysis.naming.proposals import Proposals
from analysis.people import People
from analysis.selection import Selection
from analysis.sharing.baskets.shelf import Baskets
from analysis.store.encoded import remove_encoded
from analysis.workspace import Workspace
from dashboard import allowed
from dashboard.hosting.roles import Members

READS = {  # everything else of these classes writes, and asks who may
    Workspace: {"create", "open", "stores", "store", "new_store_path", "activations", "run", "cost", "key", "cached",
                "selections", "selection", "combined", "samples_of", "rows", "search", "stars", "notes", "names",
                "tags"},
    People: {"selections", "selection", "on_tap", "stars", "notes", "about", "entries", "all_tags", "names", "tags",
             "history", "selection_version", "feed", "authors", "follow", "tours", "tour", "export", "refuse_unsound",
             "where", "figure_keys"},
    FeatureShelf: {"names", "entries", "facts", "open", "refuse_taken"},
    Members: {"role", "listed"},
    Proposals: {"of"},
    Baskets: {"names", "path", "open"},
}  # fmt: skip
QUEUE = {"submit": ("method", {}), "cancel": ("ID",), "again": ("ID",)}
GIVEN = {
    "unit": 1, "number": 1, "on": True, "text": "a text", "name": "some", "old": "some", "new": "other", "id": "abc",
    "store": "images", "tap": "pooled", "reference": "images:pooled", "features": "set", "email": "vic@example.org",
    "role": "owner", "params": {}, "page": "map", "seq": 1, "field": "note", "word": "tag", "part": "1",
}  # fmt: skip


def writers():
    """(class, name) of every public function that is not known to read."""
    for of, reads in READS.items():
        for name, _ in inspect.getmembers(of, callable):
            if not name.startswith("_") and name not in reads:
                yield pytest.param(of, name, id=f"{of.__name__}.{name}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    workspace = page_stores.make_workspace(tmp_path_factory.mktemp("rights") / "ws")
    workspace.save_selection(Selection("some", "samples", "images", "", ["0"]))
    return workspace


def content(path: Path) -> dict[str, str]:
    files = (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def instance(of: type, workspace: Workspace):
    if of is Workspace:
        return workspace
    kept = {FeatureShelf: workspace.features, People: workspace.people}
    return kept.get(of) or of(workspace.path)


def arguments(function, workspace: Workspace) -> dict:
    selection = Selection("some", "samples", "images", "", ["0"])
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            continue
        odd = MagicMock() if name != "selection" else selection
        found[name] = GIVEN.get(name, odd) if not (name == "features" and "add" in str(function)) else odd
    return found


@pytest.mark.parametrize(("of", "name"), writers())
@pytest.mark.parametrize("role", ["viewer", "none"])
def test_whoever_may_only_look_writes_nothing(made, of, name, role):
    function = getattr(instance(of, made), name)
    before = content(made.path)
    with acting_as(Person("vic@example.org", role, "sub-vic")), pytest.raises(Forbidden, match="may not"):
        function(**arguments(function, made))
    assert content(made.path) == before


def test_the_list_of_what_reads_names_nothing_that_writes_by_its_name():
    """A slip in READS would hide a hole: these words never read."""
    words = (
        "save",
        "delete",
        "remove",
        "add",
        "write",
        "put",
        "rename",
        "set_",
        "edit",
        "restore",
        "encode",
        "star_",
    )
    assert not [name for reads in READS.values() for name in reads if name.startswith(words)]


@pytest.mark.parametrize("role", ["viewer", "none"])
@pytest.mark.parametrize("name", QUEUE)
def test_whoever_may_only_look_starts_and_stops_no_work(made, role, name):
    with acting_as(Person("eva@example.org", "editor", "sub-eva")):
        id = queue.submit(made.path, "check", {"method": "pca"}, start=False)
    before = content(made.path)
    given = [id if value == "ID" else value for value in QUEUE[name]]
    with acting_as(Person("vic@example.org", role, "sub-vic")), pytest.raises(Forbidden, match="may not"):
        getattr(queue, name)(made.path, *given)
    assert content(made.path) == before


def test_every_function_of_the_queue_that_writes_is_known():
    public = {
        name for name, f in inspect.getmembers(queue, inspect.isfunction) if f.__module__ == queue.__name__
    }
    reads = {"status", "listing", "wait", "lane_of", "worker_alive", "waiting", "seconds_today", "ids"}
    server = {"start_worker", "start_waiting", "close"}  # what the server itself does: they queue nothing
    assert {name for name in public if not name.startswith("_")} <= reads | server | set(QUEUE)


def test_an_editor_stops_her_own_work_and_an_owner_everybodys(made):
    with acting_as(Person("eva@example.org", "editor", "sub-eva")):
        id = queue.submit(made.path, "check", {"method": "pca"}, start=False)
    with acting_as(Person("max@example.org", "editor", "sub-max")), pytest.raises(Forbidden):
        queue.cancel(made.path, id)
    with acting_as(Person("ada@example.org", "owner", "sub-ada")):
        queue.cancel(made.path, id)
    assert queue.status(made.path, id).state == "cancelled"


def test_an_editor_does_not_remove_what_others_work_with(made, tmp_path):
    (tmp_path / "t").mkdir()
    with acting_as(Person("eva@example.org", "editor")):
        with pytest.raises(Forbidden, match="role of owner"):
            made.features.delete("set")
        with pytest.raises(Forbidden, match="role of owner"):
            remove_encoded(made.store("images"), "pooled")
        unfinished.drop(tmp_path / "t")
    with acting_as(Person("vic@example.org", "viewer")), pytest.raises(Forbidden):
        unfinished.drop(tmp_path)


def test_a_job_says_who_asked_and_is_done_in_her_name(made, monkeypatch):
    from analysis import access
    from analysis.jobs import worker

    with acting_as(Person("eva@example.org", "editor", "sub-eva")):
        id = queue.submit(made.path, "check", {"method": "pca"}, start=False)
    seen = []
    monkeypatch.setitem(worker.HANDLERS, "check", lambda *_: seen.append(access.acting()) or {})
    worker.run_job(made.path, id)
    assert (seen[0].name, seen[0].role) == ("eva@example.org", "editor")
    assert queue.status(made.path, id).by == "eva@example.org"


# ---------------------------------------------------------------------------- on the pages of a host
@pytest.fixture
def serving(tmp_path, monkeypatch, made):
    thesis = Workspace.create(tmp_path / "thesis").path
    with hosted(monkeypatch, tmp_path, {"lab": made.path, "thesis": thesis}) as serving:
        yield serving
    (made.path / "members.json").unlink()


def said(at) -> str:
    from app_pages import texts

    return texts(at)


def test_a_viewer_who_presses_what_an_editor_may_press_is_refused_and_it_is_written_down(
    serving, made, monkeypatch
):
    """Grey buttons keep nobody out: here they are as an editor has them."""
    monkeypatch.setattr(allowed, "to", lambda role, **given: given)
    at = open_as(VIEWER, "analyses", ws="lab", method="pca", tap="images:pooled")
    before = {j.id for j in queue.listing(made.path)}
    button = next(b for b in at.button if b.label == "Run")
    at = button.click().run()
    assert "vic@example.org may not start" in said(at).replace("\\", "")
    assert {j.id for j in queue.listing(made.path)} == before
    lines = [line for line in _audit(serving) if line["what"] == "refused"]
    assert lines[-1]["who"] == VIEWER
    assert lines[-1]["which"].startswith("start")


def test_a_stranger_sees_that_she_has_no_role_and_nothing_of_the_workspace(serving):
    for page in ("map", "features", "workspace", "analyses"):
        at = open_as(STRANGER, page, ws="lab", tap="images:pooled")
        assert "has no role in the workspace lab" in said(at).replace("\\", "")
        assert "images" not in said(at)
        assert not at.get("bidi_component")


def _opens() -> None:
    """What a fragment or a callback does, which runs without the frame that says who is let in."""
    import streamlit as st

    from dashboard import errors, state

    with errors.shown():
        st.markdown(f"opened {state.workspace().path.name}")


def test_the_workspace_itself_is_closed_not_only_its_pages(serving):
    from streamlit.testing.v1 import AppTest

    for email, name, opened in ((VIEWER, "lab", True), (STRANGER, "lab", False), (VIEWER, "thesis", False)):
        become(email)
        at = AppTest.from_function(_opens)
        at.query_params["ws"] = name
        at.run()
        assert ("opened" in said(at)) is opened, (email, name)
        assert ("may not open the workspace" in said(at)) is not opened


def test_a_role_is_of_one_workspace_only(serving):
    assert "Stores" not in said(open_as(VIEWER, "workspace", ws="thesis"))
    at = open_as(VIEWER, "workspace", ws="lab")
    assert "has no role" not in said(at)
    with acting_as(Person(OWNER, "owner")):
        serving.people("lab").remove(VIEWER)
    at = at.run()
    assert "has no role in the workspace lab" in said(at).replace("\\", ""), "it holds in a page that is open"


@pytest.mark.parametrize("name", ["../lab", "/etc", "nowhere", "", "lab/../thesis", "x" * 9000, "\x00"])
def test_a_workspace_that_the_host_does_not_serve_is_never_opened(serving, name):
    at = open_as(VIEWER, "workspace", ws=name)
    assert at.query_params["ws"] in ("lab", ["lab"]), "the first one open to her"
    assert not at.exception


def test_signing_out_ends_what_is_open(serving, monkeypatch):
    from dashboard.hosting import host

    at = open_as(EDITOR, "workspace", ws="lab")
    monkeypatch.setattr(host, "identity", lambda: None)
    at = at.run()
    assert "You are signed out" in said(at)
    assert "images" not in said(at)


def test_only_owners_change_the_people(serving):
    at = open_as(VIEWER, "workspace", ws="lab", show="people")
    assert not [b for b in at.button if b.label in ("Give this role", "Remove")]
    at = open_as(OWNER, "workspace", ws="lab", show="people")
    at.text_input(key="member:email").input("new@example.org")
    next(b for b in at.button if b.label == "Give this role").click().run()
    assert serving.role("lab", "new@example.org") == "viewer"
    changed = [line for line in _audit(serving) if line["what"] == "changed"]
    assert changed[-1]["which"] == "make new@example.org viewer of this workspace"
    assert changed[-1]["who"] == OWNER


def test_what_is_opened_is_written_down_once(serving):
    at = open_as(VIEWER, "features", ws="lab", tap="images:pooled", unit="3")
    at.run()
    lines = [line for line in _audit(serving) if line["what"] == "opened" and "unit=3" in line["which"]]
    assert len(lines) == 1
    assert (lines[0]["who"], lines[0]["workspace"]) == (VIEWER, "lab")


def test_what_is_taken_away_is_written_down_as_hers(serving):
    from dashboard.hosting import host

    with acting_as(Person(VIEWER, "viewer")):
        call = host.exporting(lambda: b"bytes", "pca.pdf")
    assert call() == b"bytes"
    line = _audit(serving)[-1]
    assert (line["what"], line["who"], line["which"]) == ("exported", VIEWER, "pca.pdf")
    with acting_as(Person(STRANGER, "none")), pytest.raises(Forbidden):
        host.exporting(lambda: b"bytes", "pca.pdf")


def test_what_cannot_be_written_down_is_not_done(serving, made, monkeypatch):
    from dashboard.hosting.audit import AuditLog

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AuditLog, "write", full)
    before = {j.id for j in queue.listing(made.path)}
    with acting_as(Person(EDITOR, "editor")), pytest.raises(OSError, match="No space"):
        queue.submit(made.path, "check", {"method": "pca"}, start=False)
    assert {j.id for j in queue.listing(made.path)} == before


def _audit(serving) -> list[dict]:
    from dashboard.hosting import audit

    return list(audit.read(serving.settings.audit))


# ---------------------------------------------------------------------------- what every page keeps to
DASHBOARD = Path(__file__).parents[1] / "dashboard"
PAGES = [
    p
    for folder in ("parts", "components", "views", "browse", "baskets")
    for p in (DASHBOARD / folder).rglob("*.py")
]


def test_every_file_that_a_page_hands_out_is_written_down():
    """A download button takes its file from `host.exporting`."""
    found = []
    for path in PAGES:
        for call in (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "download_button":
                data = (
                    call.args[1]
                    if len(call.args) > 1
                    else next(k.value for k in call.keywords if k.arg == "data")
                )
                found.append((path.name, ast.unparse(data).startswith("host.exporting(")))
    assert found
    assert not [name for name, fine in found if not fine]


def test_every_path_that_is_typed_on_a_page_goes_by_the_roots():
    assert not [p.name for p in PAGES if re.search(r"expanduser|os\.path\.exists|lexists", p.read_text())]


def test_no_page_takes_a_file_without_asking_whether_uploads_are_on():
    takes = [
        p
        for p in PAGES
        if re.search(r"st\.(file_uploader|camera_input|audio_input|chat_input)", p.read_text())
    ]
    assert takes
    assert not [p.name for p in takes if "host.takes_uploads()" not in p.read_text()]
