"""A host reads what really lies under its roots: paths that climb, links, odd names; and it runs no visitor's code."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
from app_pages import texts
from hosted_pages import hosted, open_as
from payload import Payload

from analysis import access, roots
from analysis.access import Person, acting_as
from analysis.errors import Forbidden, LoupeError, NotFound, ParameterError, UnsafeFile
from analysis.features.importing import import_feature_set
from analysis.jobs import job_inputs, queue, worker
from analysis.sources import array_files, audio_files, checkpoint, data, image_folder, text_files
from analysis.workspace import Workspace

EDITOR = Person("eva@example.org", "editor", "sub-eva")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A root with a file, a neighbour whose name begins as the root's does, and a secret elsewhere."""
    root, beside, outside = tmp_path / "data", tmp_path / "data-of-others", tmp_path / "outside"
    for folder in (root, beside, outside):
        folder.mkdir()
        np.save(folder / "x.npy", np.zeros((6, 3), np.float32))
    (outside / "secret.txt").write_text("the secret")
    monkeypatch.setenv(access.HOSTED, "1")
    monkeypatch.setenv(roots.ROOTS, str(root))
    return root, beside, outside


def test_on_ones_own_machine_everything_is_read(tmp_path, monkeypatch):
    monkeypatch.delenv(access.HOSTED, raising=False)
    monkeypatch.setenv(roots.ROOTS, str(tmp_path / "elsewhere"))
    assert roots.readable(tmp_path) == tmp_path.resolve()
    roots.refuse_links_out(tmp_path)
    job_inputs.refuse({"checkpoint": "/nowhere", "model": "x:y", "allow_code": True})


def test_what_lies_under_a_root_is_read(places):
    root, _, _ = places
    (root / "inside").symlink_to(root / "x.npy")
    assert roots.readable(root / "x.npy") == root / "x.npy"
    assert roots.readable(str(root / "inside")) == root / "x.npy"
    assert roots.readable(root) == root
    with pytest.raises(NotFound, match="There is no"):
        roots.readable(root / "absent.npy")
    os.mkfifo(root / "pipe")
    with pytest.raises(NotFound, match="There is no"):
        roots.readable(root / "pipe")


def test_whatever_leads_out_is_refused_in_the_same_words_there_or_not(places, tmp_path, monkeypatch):
    root, beside, outside = places
    (root / "link").symlink_to(outside / "secret.txt")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    (root / "two").symlink_to(root / "folder" / "x.npy")
    monkeypatch.chdir(root)
    said = set()
    for path in (
        outside / "secret.txt", outside / "absent", beside / "x.npy", root / ".." / "outside" / "secret.txt",
        root / "link", root / "folder" / "x.npy", root / "two", root / "folder" / ".." / "outside" / "x.npy",
        "../outside/x.npy", "/etc/passwd", "/etc/absent", "/proc/self/environ", "/", "//", "~/x", "~nobody/x",
        f"{root}/../data-of-others/x.npy", "/dev/zero", root / "loop",
    ):  # fmt: skip
        with pytest.raises(Forbidden) as refused:
            roots.readable(path)
        said.add(str(refused.value).replace(repr(os.fspath(path)), "PATH"))
    assert len(said) == 1, said


@pytest.mark.parametrize("path", ["", " ", "a\0b", "x" * 5000])
def test_what_is_no_path_is_refused(places, path):
    with pytest.raises(ParameterError):
        roots.readable(path)


def test_without_roots_a_host_reads_nothing(places, monkeypatch):
    monkeypatch.setenv(roots.ROOTS, "")
    with pytest.raises(Forbidden):
        roots.readable(places[0] / "x.npy")


def test_a_folder_with_a_link_out_is_refused_before_it_is_opened(places):
    root, _, outside = places
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "fine").symlink_to(root / "x.npy")
    roots.refuse_links_out(root / "deep")
    (root / "deep" / "er" / "a.txt").symlink_to(outside / "secret.txt")
    with pytest.raises(Forbidden, match=r"er/a\.txt"):
        roots.refuse_links_out(root / "deep")


@pytest.mark.parametrize(
    "arguments",
    [{"checkpoint": "OUT"}, {"data": "OUT"}, {"path": "OUT"}, {"path": "IN", "labels": "OUT"},
     {"data": "IN", "data_options": {"labels": "OUT"}}, {"data": "IN", "data_options": {"metadata": "OUT"}},
     {"data": "IN", "data_options": {"pattern": "../*"}}, {"data": "IN", "data_options": {"pattern": "/etc/*"}},
     {"data": "IN", "data_options": {"labels": "../outside/secret.txt"}}],
)  # fmt: skip
def test_no_job_reads_outside(places, tmp_path, arguments):
    root, _, outside = places

    def real(value):
        if isinstance(value, dict):
            return {k: real(v) for k, v in value.items()}
        return {"OUT": str(outside / "secret.txt"), "IN": str(root / "x.npy")}.get(value, value)

    ws = Workspace.create(tmp_path / "ws").path
    with acting_as(EDITOR), pytest.raises(Forbidden):
        queue.submit(ws, "record", real(arguments), start=False)
    assert not list((ws / "jobs").glob("2*"))


def test_a_labels_column_is_no_path(places):
    job_inputs.refuse({"data": str(places[0] / "x.npy"), "data_options": {"labels": "y"}})


def test_a_link_that_is_bent_after_the_job_was_asked_for_is_refused_by_the_worker(places, tmp_path):
    root, _, outside = places
    (root / "folder").mkdir()
    (root / "folder" / "a.txt").write_text("mine")
    ws = Workspace.create(tmp_path / "ws").path
    with acting_as(EDITOR):
        id = queue.submit(ws, "import", {"path": str(root / "folder"), "name": "x"}, start=False)
    (root / "folder" / "b.txt").symlink_to(outside / "secret.txt")
    worker.run_job(ws, id)
    job = queue.status(ws, id)
    assert job.state == "failed"
    assert "is a link out of" in job.error["found"]


@pytest.mark.parametrize("code", [{"model": "os:system"}, {"allow_code": True}])
def test_no_job_names_code(places, tmp_path, code):
    ws = Workspace.create(tmp_path / "ws").path
    with acting_as(EDITOR), pytest.raises(UnsafeFile, match="weights only"):
        queue.submit(ws, "record", {"checkpoint": str(places[0]), **code}, start=False)


def test_no_job_names_the_program_that_names_features(places, tmp_path, monkeypatch):
    """What is run or asked comes from the host's environment alone, whatever a job says."""
    from analysis.naming.settings import configured

    proof = tmp_path / "ran"
    monkeypatch.delenv("LOUPE_NAMER_COMMAND", raising=False)
    monkeypatch.delenv("LOUPE_NAMER_URL", raising=False)
    ws = Workspace.create(tmp_path / "ws").path
    wanted = {
        "command": f"touch {proof}",
        "LOUPE_NAMER_COMMAND": f"touch {proof}",
        "url": "http://127.0.0.1:9",
    }
    with acting_as(EDITOR):
        id = queue.submit(
            ws, "name_features", {"input": "a:b", "features": [0], "shown": "", **wanted}, start=False
        )
    worker.run_job(ws, id)
    assert queue.status(ws, id).state == "failed"
    assert configured() is None
    assert not proof.exists()


# ---------------------------------------------------------------------------- the forms
@pytest.mark.parametrize(
    ("page", "params"),
    [("workspace", {"show": "import", "dump": "PATH"}), ("workspace", {"show": "record", "checkpoint": "PATH"}),
     ("workspace", {"show": "record", "data": "PATH"}), ("workspace", {"show": "import", "dump_labels": "PATH"}),
     ("dictionaries", {"view": "import", "path": "PATH"})],
)  # fmt: skip
def test_a_path_in_the_address_of_a_form_is_refused_in_words(tmp_path, monkeypatch, page, params):
    with hosted(monkeypatch, tmp_path, roots=()) as serving:
        at = open_as(
            "eva@example.org", page, **{k: v.replace("PATH", "/etc/passwd") for k, v in params.items()}
        )
        if page == "workspace":
            assert "is not among the files that this host reads" in texts(at)
        assert "root:" not in texts(at)
        assert not list((serving.workspaces["lab"] / "jobs").glob("2*"))


# ---------------------------------------------------------------------------- pickles
SUFFIXES = sorted({
    *data.TABLES, *data.ARRAYS, *audio_files.SUFFIXES, *text_files.SUFFIXES, *image_folder.SUFFIXES,
    *checkpoint.WEIGHT_SUFFIXES, ".json", ".pkl", ".zip", "", *getattr(array_files, "SUFFIXES", ()),
})  # fmt: skip


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zip"])
def test_a_pickle_in_every_accepted_extension_runs_nothing(tmp_path, proof, suffix, zipped):
    from analysis.sources.checkpoint import open_checkpoint
    from analysis.sources.data import open_data
    from analysis.sources.dumps import open_dump

    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("payload", "model", "data", "pytorch_model"):
        file, raw = folder / f"{name}{suffix}", pickle.dumps(Payload(proof))
        if not zipped:
            file.write_bytes(raw)
            continue
        with zipfile.ZipFile(file, "w") as archive:
            for inner in ("data.pkl", "archive/data.pkl", "x.npy", "payload/data.pkl"):
                archive.writestr(inner, raw)
    (folder / "config.json").write_text('{"model_type": "vit"}') if suffix != ".json" else None
    for target in (folder, folder / f"payload{suffix}"):
        for opener in (open_data, open_dump, _loaded(open_checkpoint), import_feature_set):
            try:
                _read_all(opener(target))
            except LoupeError:
                continue
    # `proof` fails the test where anything ran


def _loaded(opener):
    def load(path):
        return opener(path, allow_code=False).load()

    return load


def _read_all(found) -> None:
    for i in range(min(4, len(found))) if hasattr(found, "__len__") else ():
        found[i] if hasattr(found, "__getitem__") else None
